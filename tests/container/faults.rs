//! What a test over sockets cannot do: SIGKILL of either end's container from the host, a new container on the old
//! one's volume, and a network that is cut for 30 s. Two agents: one by the compose file that users have, whose volume
//! has a name, and one by a file that knows of no volume.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::{Engine, Peer, Stack};

/// How long the network is cut.
const CUT: Duration = Duration::from_secs(30);

/// How long the plane is away.
const AWAY: Duration = Duration::from_secs(5);

/// A silence of so long is a dead session, by default.
const SILENCE: Duration = Duration::from_secs(15);

/// The longest delay between two tries, and some more for a busy machine.
const BACK: Duration = Duration::from_secs(70);

/// How often somebody is asked.
const TICK: Duration = Duration::from_millis(50);

/// The agent of the compose file that users have, and its integration.
const NAMED: (&str, &str) = ("federation-agent", "demo");

/// The agent whose volume has no name, and its integration.
const UNNAMED: (&str, &str) = ("unnamed", "unnamed");

#[tokio::test]
async fn comes_back_and_leaves_nothing_behind_after_sigkill_of_either_container_and_a_cut_network() {
    let engine = match Engine::find() {
        Ok(engine) => engine,
        Err(why) => {
            println!("the container test of faults did not run: {why}");
            return;
        }
    };
    let stack = Stack::build(engine, "faults", &["peers.yaml", "unnamed.yaml"]);
    stack.compose(&["up", "--detach"]);
    let plane = Peer { address: stack.address("plane", 8072) };
    let gateway = Peer { address: stack.address("gateway", 4566) };
    let mut scene = Scene { stack, plane, gateway, rows: Vec::new() };
    let begun = Instant::now();
    for (service, integration) in [NAMED, UNNAMED] {
        scene.plane.ask("POST", &format!("/plane/{integration}/connected"));
        scene.works(integration);
        let log = scene.stack.logs(service);
        assert!(log.contains("it outlives the container"), "{service}: {log}");
    }
    let path = format!("/plane/demo/subscribe?{PLAN}");
    let key = scene.plane.ask("POST", &path)["apiKey"].as_str().expect("a key").to_owned();

    scene.killed(NAMED, "SIGKILL of the agent's container, idle").await;
    scene.killed_in_subscribe(NAMED).await;
    scene.replaced_in_subscribe(NAMED).await;
    scene.cut_off().await;
    assert_eq!(scene.gateway.call(Some(&key)), 200, "none of that took the accepted subscription's key away");
    let state = scene.plane.ask("GET", "/plane/state");
    let id = state["integrations"][0]["subscriptions"][0]["id"].as_str().expect("a subscription").to_owned();
    scene.plane.ask("POST", &format!("/plane/demo/unsubscribe?id={id}"));
    scene.settled(0).await;
    for (service, _) in [NAMED, UNNAMED] {
        assert_eq!(scene.stack.layer(service), "", "{service} has written beside its volume");
    }
    scene.plane_killed().await;

    println!("| fault | counted from | connected again after | first command answered after | failed before it |");
    println!("| --- | --- | --- | --- | --- |");
    for Row { fault, since, connected, answered, failed } in &scene.rows {
        let (connected, answered) = (connected.as_secs_f64(), answered.as_secs_f64());
        println!("| {fault} | {since} | {connected:.1} s | {answered:.1} s | {failed} |");
    }
    println!("all of it: {:.0} s", begun.elapsed().as_secs_f64());
    for Row { fault, connected, .. } in scene.rows {
        assert!(connected < BACK, "{fault}: {connected:?}");
    }
}

/// What is subscribed to.
const PLAN: &str = "api=eu-west-1%3Ap3ts7ore01%3Aprod&plan=br0nz3&application=a%20partner";

struct Scene {
    stack: Stack,
    plane: Peer,
    gateway: Peer,
    rows: Vec<Row>,
}

/// A line of the table.
struct Row {
    fault: &'static str,
    since: &'static str,
    connected: Duration,
    answered: Duration,
    /// Commands that failed in between.
    failed: usize,
}

impl Scene {
    /// The agent dies with nothing under way; its restart policy brings it back.
    async fn killed(&mut self, agent: (&str, &str), fault: &'static str) {
        let (before, died) = (self.hellos(), Instant::now());
        self.stack.kill(agent.0);
        self.back(agent.1, before, died, fault, "SIGKILL").await;
        self.settled(1).await;
        self.works(agent.1);
        assert_eq!(self.states(agent.0), ["live"], "the journal still has what was accepted");
    }

    /// The agent dies after its key was bound, before the plane was told; its restart policy brings it back.
    async fn killed_in_subscribe(&mut self, agent: (&str, &str)) {
        let asked = self.subscribes(agent.1).await;
        let (before, died) = (self.hellos(), Instant::now());
        self.stack.kill(agent.0);
        refused(asked.await.expect("an end"));
        self.back(agent.1, before, died, "SIGKILL of the agent's container in a SUBSCRIBE", "SIGKILL").await;
        self.settled(self.accepted()).await;
        self.works(agent.1);
    }

    /// The same; a new container with another environment takes over, on the volume of the dead one.
    async fn replaced_in_subscribe(&mut self, agent: (&str, &str)) {
        let named = agent == NAMED;
        let volume = "{{range .Mounts}}{{.Destination}} {{.Name}}{{end}}";
        let (container, mounted) = (self.stack.container(agent.0), self.stack.inspect(agent.0, volume));
        let (place, name) = mounted.split_once(' ').expect("one volume");
        assert_eq!((place, name.ends_with("_data")), ("/var/lib/federation-agent", named), "{name}");

        let asked = self.subscribes(agent.1).await;
        let before = self.hellos();
        self.stack.kill_for_good(agent.0);
        refused(asked.await.expect("an end"));
        assert_eq!(self.bound(), self.accepted() + 1, "nobody has settled yet what the dead one left");
        let died = Instant::now();
        self.stack.compose_with(&[("FEDERATION_AGENT_BUDGET", "49s")], &["up", "--detach", agent.0]);
        let fault = if named {
            "`docker kill` in a SUBSCRIBE, new environment (named volume)"
        } else {
            "`docker kill` in a SUBSCRIBE, new environment (volume without a name)"
        };
        self.back(agent.1, before, died, fault, "`up -d`").await;
        assert_ne!(self.stack.container(agent.0), container, "it is a new container");
        assert_eq!(self.stack.inspect(agent.0, volume), mounted, "on the same volume");
        self.settled(self.accepted()).await;
        self.works(agent.1);
    }

    /// The network of the named agent is cut: nobody hears a FIN. The other agent has its own fault meanwhile.
    async fn cut_off(&mut self) {
        let (service, integration) = NAMED;
        let cut = Instant::now();
        self.stack.disconnect(service);
        while self.stack.is_ready(service) {
            assert!(cut.elapsed() < CUT, "it does not notice");
            sleep(TICK).await;
        }
        println!(
            "noticed {:.1} s after the cut; by default a session is dead after {SILENCE:?}",
            cut.elapsed().as_secs_f64()
        );
        self.replaced_in_subscribe(UNNAMED).await;
        self.stack.exec(service, &["health"]);
        sleep(CUT.saturating_sub(cut.elapsed())).await;
        let before = self.hellos();
        self.stack.connect(service);
        self.back(integration, before, Instant::now(), "network cut for 30 s", "network back").await;
        self.works(integration);
    }

    /// The plane dies with an ingest under way. It forgets all, and so the agent is new to it.
    async fn plane_killed(&mut self) {
        self.plane.ask("POST", "/plane/demo/ingest");
        self.stack.kill_for_good("plane");
        sleep(AWAY).await;
        self.stack.compose(&["start", "plane"]);
        let started = Instant::now();
        self.plane = Peer { address: self.stack.address("plane", 8072) };
        let fault = "SIGKILL of the plane's container in an ingest, 5 s away";
        self.back("demo", 0, started, fault, "plane started").await;
        self.works("demo");
    }

    /// Begins a SUBSCRIBE that the gateway carries out and does not answer: from here on the key is bound.
    async fn subscribes(&self, integration: &str) -> tokio::task::JoinHandle<(u16, String)> {
        let (status, _) = self.gateway.request("POST", "/standin/withhold/POST/usageplans/br0nz3/keys", None);
        assert_eq!(status, 200);
        let bound = self.bound();
        let (plane, path) = (self.plane.clone(), format!("/plane/{integration}/subscribe?{PLAN}"));
        let asked = spawn_blocking(move || plane.request("POST", &path, None));
        let limit = Instant::now() + BACK;
        while self.bound() == bound {
            assert!(Instant::now() < limit && !asked.is_finished(), "no key is bound");
            sleep(TICK).await;
        }
        asked
    }

    /// Waits until the agent has said HELLO again and answers commands, and notes both.
    async fn back(&mut self, integration: &str, hellos: u64, since: Instant, fault: &'static str, from: &'static str) {
        while self.hellos() <= hellos {
            assert!(since.elapsed() < 2 * BACK, "{fault}: no HELLO comes");
            sleep(TICK).await;
        }
        // A controller that has heard no FIN keeps the dead channel beside the new one until its TCP gives up, and any
        // channel of an integration may get a command, Gravitee's controller included. One that is sent into the dead
        // channel fails; the next goes to the living. So it is asked until it is answered.
        self.plane.ask("POST", &format!("/plane/{integration}/connected"));
        let connected = since.elapsed();
        let mut failed = 0;
        loop {
            let (status, body) = self.plane.request("POST", &format!("/plane/{integration}/discover"), None);
            if status == 200 {
                break;
            }
            let channel = body.contains("the connection ended") || body.contains("no reply in");
            assert!(channel && since.elapsed() < 2 * BACK, "{fault}: {status} {body}");
            failed += 1;
            sleep(TICK).await;
        }
        self.rows.push(Row { fault, since: from, connected, answered: since.elapsed(), failed });
    }

    /// Waits until the gateway has so many keys, all of them bound.
    async fn settled(&self, keys: u64) {
        let limit = Instant::now() + BACK;
        loop {
            let state = self.gateway.ask("GET", "/standin/state");
            if (&state["keys"], &state["bound"]) == (&json!(keys), &json!(keys)) {
                return;
            }
            assert!(Instant::now() < limit, "{keys} keys are due: {state}");
            sleep(TICK).await;
        }
    }

    /// Discovers and ingests, to the end.
    fn works(&self, integration: &str) {
        assert_eq!(self.plane.ask("POST", &format!("/plane/{integration}/discover"))["isPartialDiscovery"], false);
        let job = self.plane.ask("POST", &format!("/plane/{integration}/ingest?wait=true"));
        assert_eq!(job["phase"], "done", "{job}");
    }

    /// How many HELLOs the plane has heard.
    fn hellos(&self) -> u64 {
        self.plane.ask("GET", "/plane/state")["seen"]["hellos"].as_u64().expect("a number")
    }

    /// How many subscriptions the plane has accepted.
    fn accepted(&self) -> u64 {
        let state = self.plane.ask("GET", "/plane/state");
        let of = |integration: &Value| integration["subscriptions"].as_array().map_or(0, Vec::len) as u64;
        state["integrations"].as_array().into_iter().flatten().map(of).sum()
    }

    /// How many keys open something.
    fn bound(&self) -> u64 {
        self.gateway.ask("GET", "/standin/state")["bound"].as_u64().expect("a number")
    }

    /// The states of all grants in the journal.
    fn states(&self, service: &str) -> Vec<String> {
        let listed = self.stack.exec(service, &["grants", "--output", "json"]);
        let listed: Value = serde_json::from_str(&listed).expect("JSON");
        let listed = listed.as_array().into_iter().flatten();
        listed.filter_map(|grant| grant["state"].as_str().map(str::to_owned)).collect()
    }
}

/// The plane must not have accepted it.
fn refused((status, body): (u16, String)) {
    assert_eq!(status, 503, "{body}");
}

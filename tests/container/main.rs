//! The image and the compose file, on a real Docker engine: the agent as users run it, and its two peers in containers
//! of their own on a private network. Needs an engine, a compose command and a static binary (`make test` builds it);
//! without them it says that it did not run.

mod engine;
mod faults;

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use engine::{Engine, Stack};
use serde_json::Value;

/// The longest that an answer may take: the plane's own wait for a reply and some more.
const PATIENCE: Duration = Duration::from_secs(70);

#[test]
fn connects_discovers_subscribes_and_comes_back_after_a_restart() {
    let engine = match Engine::find() {
        Ok(engine) => engine,
        Err(why) => {
            println!("the container test did not run: {why}");
            return;
        }
    };
    let stack = Stack::build(engine, "image", &["peers.yaml"]);
    assert!(stack.image_size() < 15_000_000, "the image has {} bytes", stack.image_size());
    stack.compose(&["up", "--detach"]);
    let plane = Peer { address: stack.address("plane", 8072) };
    let gateway = Peer { address: stack.address("gateway", 4566) };

    is_confined(&stack);
    plane.ask("POST", "/plane/demo/connected");
    stack.exec("federation-agent", &["health"]);
    stack.exec("federation-agent", &["health", "--ready"]);
    let found = plane.ask("POST", "/plane/demo/discover");
    let ids: Vec<&str> = found["apis"].as_array().into_iter().flatten().filter_map(|api| api["id"].as_str()).collect();
    assert!(ids.contains(&"eu-west-1:p3ts7ore01:prod"), "{found}");
    assert_eq!(found["isPartialDiscovery"], false);

    let job = plane.ask("POST", "/plane/demo/ingest?wait=true");
    assert_eq!((&job["phase"], &job["received"]), (&"done".into(), &ids.len().into()), "{job}");

    assert_eq!(gateway.call(None), 403);
    let subscription = plane
        .ask("POST", "/plane/demo/subscribe?api=eu-west-1%3Ap3ts7ore01%3Aprod&plan=br0nz3&application=a%20partner");
    let key = subscription["apiKey"].as_str().expect("a key");
    assert_eq!(gateway.call(Some(key)), 200);

    stack.compose(&["restart", "federation-agent"]);
    plane.ask("POST", "/plane/demo/connected");
    assert_eq!(plane.ask("GET", "/plane/state")["seen"]["hellos"], 2);
    assert_eq!(gateway.call(Some(key)), 200, "a restart takes no key away");

    // What is needed to undo the subscription comes back from the plane; the journal's volume is not asked.
    let id = subscription["id"].as_str().expect("an id");
    plane.ask("POST", &format!("/plane/demo/unsubscribe?id={id}"));
    assert_eq!(gateway.call(Some(key)), 403);
    assert_eq!(gateway.ask("GET", "/standin/state")["keys"], 0);

    stack.compose(&["stop", "federation-agent"]);
    assert_eq!(stack.inspect("federation-agent", "{{.State.ExitCode}} {{.State.OOMKilled}}"), "0 false");
}

/// The limits that the compose file names are in force, whichever compose command read it.
fn is_confined(stack: &Stack) {
    let says = |template| stack.inspect("federation-agent", template);
    assert_eq!(says("{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}"), "134217728 134217728");
    assert_eq!(says("{{.HostConfig.NanoCpus}}"), "1000000000");
    assert_eq!(says("{{.HostConfig.PidsLimit}}"), "256");
    assert_eq!(says("{{.HostConfig.ReadonlyRootfs}}"), "true");
    assert_eq!(says("{{json .HostConfig.CapDrop}} {{json .HostConfig.CapAdd}}"), r#"["ALL"] null"#);
    assert_eq!(says("{{json .HostConfig.SecurityOpt}}"), r#"["no-new-privileges:true"]"#);
    assert_eq!(says("{{.HostConfig.RestartPolicy.Name}} {{.Config.StopTimeout}}"), "always 15");
    assert_eq!(says("{{.Config.User}}"), "65532:65532");
    assert_eq!(says("{{json .Config.Healthcheck.Test}}"), r#"["CMD","/usr/local/bin/federation-agent","health"]"#);
    assert_eq!(says("{{json .HostConfig.PortBindings}}"), "{}", "nothing is opened to the outside");
    let environment = says("{{json .Config.Env}}");
    assert!(!environment.contains("\"AWS_REGION="), "a list of regions must not reach the SDK: {environment}");
}

/// One of the two other ends, reached from here.
#[derive(Clone)]
struct Peer {
    address: String,
}

impl Peer {
    /// The JSON that a request is answered with; it must succeed.
    fn ask(&self, method: &str, path: &str) -> Value {
        let (status, body) = self.request(method, path, None);
        assert_eq!(status, 200, "{method} {path}: {body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// The status of a call to an API of the gateway, with `key` when there is one.
    fn call(&self, key: Option<&str>) -> u16 {
        self.request("GET", "/execute/p3ts7ore01/prod/pets", key).0
    }

    fn request(&self, method: &str, path: &str, key: Option<&str>) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("the port is published");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let key = key.map(|key| format!("x-api-key: {key}\r\n")).unwrap_or_default();
        let host = &self.address;
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n{key}content-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("the request is taken");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        (status, body)
    }
}

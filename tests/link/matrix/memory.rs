//! The rows over streams in memory.

use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    pin::Pin,
    sync::Mutex,
};

use async_trait::async_trait;
use federation_agent::{
    exchange::ReplyBody,
    link::{AskError, BoxStream, Dial, Endpoint},
    model::{Error, Subscription, Texts},
};
use tokio::{
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::{Instant, sleep},
};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
/// How long an outage lasts: the longest delay is reached.
const OUTAGE: Duration = Duration::from_mins(10);

type Run = fn(u64) -> Pin<Box<dyn Future<Output = Outcome>>>;

macro_rules! row {
    ($fault:literal, $does:literal, $since:literal, $bound:expr, $says:literal, |$seed:ident| $run:expr) => {{
        let row = Row { fault: $fault, does: $does, since: $since, bound: $bound, says: $says };
        let run: Run = |$seed| Box::pin($run);
        (row, run)
    }};
}

/// All of them.
#[expect(clippy::too_many_lines, reason = "it is a table")]
pub(super) fn rows() -> Vec<(Row, Run)> {
    vec![
        row!(
            "plane down at the start, refused, for 10 min",
            "back-off",
            "plane up",
            Some(LONGEST),
            "nobody listens",
            |seed| World::away_at_the_start(seed, Way::Refused)
        ),
        row!(
            "plane black-holed at the start (no SYN is answered), for 10 min",
            "gives each try up, back-off",
            "plane up",
            Some(UNANSWERED),
            "no answer came within 10s",
            |seed| World::away_at_the_start(seed, Way::Dropped)
        ),
        row!(
            "upgrade never answered, for 10 min",
            "gives each try up, back-off",
            "plane mended",
            Some(UNANSWERED),
            "the upgrade took longer than 10s",
            |seed| World::bad_at_the_start(seed, Behaviour::NoAnswer)
        ),
        row!(
            "HELLO never answered, for 10 min",
            "gives each try up, back-off",
            "plane mended",
            Some(UNANSWERED),
            "did not answer HELLO",
            |seed| World::bad_at_the_start(seed, Behaviour::IgnoreHello)
        ),
        row!(
            "401, then the token is good",
            "slow lane: a person must mend it",
            "token good",
            Some(SLOW),
            "refused the token (401)",
            |seed| World::bad_at_the_start(seed, Behaviour::Answer { status: 401, headers: Vec::new() })
        ),
        row!(
            "closes at once after the upgrade, for 10 min",
            "back-off",
            "plane mended",
            Some(LONGEST),
            "closed the session (1011)",
            |seed| World::bad_at_the_start(seed, Behaviour::Close(1011))
        ),
        row!(
            "closes at once after HELLO, for 10 min",
            "back-off; a young session resets nothing",
            "plane mended",
            Some(LONGEST),
            "closed the session (1011)",
            |seed| World::bad_at_the_start(seed, Behaviour::CloseAfterHello(1011))
        ),
        row!(
            "cut in a frame at once after HELLO, for 10 min",
            "back-off; a young session resets nothing",
            "plane mended",
            Some(LONGEST),
            "cut without a close frame",
            |seed| World::bad_at_the_start(seed, Behaviour::CutAfterHello)
        ),
        row!(
            "cut in a frame, once",
            "comes back",
            "cut",
            Some(FIRST),
            "cut without a close frame",
            |seed| async move {
                let mut world = World::connected(seed).await;
                world.plane.cut_in_frame(ID).await;
                world.back(Instant::now()).await
            }
        ),
        row!(
            "GOOD_BYE, reconnect",
            "closes with 1013, comes back",
            "GOOD_BYE",
            Some(AT_ONCE),
            "wants this agent back",
            |seed| async move {
                let mut world = World::connected(seed).await;
                world.plane.good_bye(ID, true).await;
                let outcome = world.back(Instant::now()).await;
                assert_eq!(world.plane.endings()[0].code, Some(1013));
                outcome
            }
        ),
        row!(
            "GOOD_BYE for good",
            "closes with 1000, stays away and alive, says so every hour",
            "-",
            None,
            "said good bye for good",
            |seed| async move {
                let mut world = World::connected(seed).await;
                world.plane.good_bye(ID, false).await;
                world.until(|state| matches!(state, State::Away { .. })).await;
                sleep(24 * 60 * MINUTE).await;
                assert_eq!((world.plane.endings()[0].code, world.plane.seen().upgrades), (Some(1000), 1));
                assert!(!world.running.is_finished());
                Outcome { took: Duration::ZERO, said: world.said() }
            }
        ),
        row!(
            "GOOD_BYE for good, with autoReconnect",
            "closes with 1000, comes back",
            "GOOD_BYE",
            Some(FIRST),
            "said good bye for good",
            |seed| async move {
                let mut world = World::new(seed, &["plane"], true);
                world.settle().await;
                world.plane.good_bye(ID, false).await;
                world.back(Instant::now()).await
            }
        ),
        row!(
            "plane restarts under load, 10 s away",
            "commands under way and INGEST end at once; back-off",
            "plane up",
            Some(LONGEST),
            "cut without a close frame",
            |seed| restart_under_load(seed)
        ),
        row!(
            "half-open: the peer vanishes without FIN, the plane is back at once",
            "dead after the silence",
            "peer vanished",
            Some(SILENT),
            "silent for 15s",
            |seed| async move {
                let mut world = World::connected(seed).await;
                world.plane.mute(ID).await;
                world.back(Instant::now()).await
            }
        ),
        row!(
            "half-open while a message is written",
            "dead after the silence",
            "peer vanished",
            Some(SILENT),
            "for 15s: the connection is dead",
            |seed| async move {
                let mut world = World::connected(seed).await;
                let session = world.session.clone().expect("connected");
                let asked = tokio::spawn(async move { session.ask(ingest(200_000), 10 * MINUTE).await });
                world.plane.mute(ID).await;
                let outcome = world.back(Instant::now()).await;
                assert!(matches!(asked.await.expect("no panic"), Err(AskError::Gone(_) | AskError::Torn)));
                outcome
            }
        ),
        row!(
            "two endpoints, the first refuses, at the start",
            "tries the other",
            "start",
            Some(FIRST),
            "nobody listens",
            |seed| two_at_the_start(seed, Way::Refused)
        ),
        row!(
            "two endpoints, the first black-holed, at the start",
            "tries the other",
            "start",
            Some(PASSED_OVER),
            "no answer came within 10s",
            |seed| two_at_the_start(seed, Way::Dropped)
        ),
        row!(
            "two endpoints, the one in use dies and refuses",
            "tries it once, then the other",
            "cut",
            Some(SECOND_REFUSED),
            "nobody listens",
            |seed| async move {
                let mut world = World::two(seed).await;
                world.put("plane", Way::Refused);
                world.plane.cut(ID).await;
                world.back(Instant::now()).await
            }
        ),
        row!(
            "two endpoints, the one in use vanishes",
            "tries it once, then the other",
            "peer vanished",
            Some(SECOND_DROPPED),
            "silent for 15s",
            |seed| async move {
                let mut world = World::two(seed).await;
                world.put("plane", Way::Dropped);
                world.plane.mute(ID).await;
                world.back(Instant::now()).await
            }
        ),
    ]
}

async fn two_at_the_start(seed: u64, first: Way) -> Outcome {
    let mut world = World::new(seed, &["plane", "other"], false);
    world.put("other", Way::To(world.plane.clone()));
    world.put("plane", first);
    world.back(Instant::now()).await
}

/// Twenty commands and an INGEST are under way when the plane goes; the one that comes back is served.
async fn restart_under_load(seed: u64) -> Outcome {
    let mut world = World::connected(seed).await;
    let (old, new) = (world.plane.clone(), plane());
    let mut asked = JoinSet::new();
    for n in 0..20 {
        let plane = old.clone();
        asked.spawn(async move { plane.send(ID, subscribe(n)).await });
    }
    let session = world.session.clone().expect("connected");
    let ingesting = tokio::spawn(async move {
        loop {
            if let Err(error) = session.ask(ingest(1_000), MINUTE).await {
                return error;
            }
            // Under a paused clock, whoever never waits lets no time pass.
            sleep(SECOND / 20).await;
        }
    });
    sleep(SECOND).await;
    world.put("plane", Way::Refused);
    old.stop();
    let stopped = Instant::now();
    assert!(matches!(ingesting.await.expect("no panic"), AskError::Gone(_) | AskError::Torn));
    while let Some(lost) = asked.join_next().await {
        assert!(lost.expect("no panic").is_err());
    }
    assert!(stopped.elapsed() < SECOND / 10, "nobody waits for a plane that has gone");
    sleep(10 * SECOND).await;
    world.put("plane", Way::To(new.clone()));
    let outcome = world.back(Instant::now()).await;
    new.connected(ID).await;
    let mut asked = JoinSet::new();
    for n in 0..20 {
        let plane = new.clone();
        asked.spawn(async move { plane.send(ID, subscribe(n)).await });
    }
    while let Some(answered) = asked.join_next().await {
        answered.expect("no panic").expect("a reply");
    }
    outcome
}

fn plane() -> Plane {
    let plane = Plane::new(PlaneSettings::default());
    plane.register(ID, PROVIDER);
    plane
}

fn subscribe(n: u32) -> CommandBody {
    let subscription = Subscription {
        id: format!("s-{n}"),
        application_id: None,
        application_name: None,
        kind: None,
        metadata: Texts::new(),
    };
    CommandBody::Subscribe { api_id: "a".into(), subscription }
}

fn ingest(len: usize) -> Command {
    let body = CommandBody::Ingest { job_id: "j".repeat(len), apis: Vec::new(), done: true };
    Command { id: "i".into(), body }
}

/// Takes three seconds for a command.
struct Busy;

impl Receiver for Busy {
    fn command(self: Arc<Self>, command: Command, session: Session) {
        tokio::spawn(async move {
            sleep(3 * SECOND).await;
            let _ = session.reply(command.succeed(ReplyBody::Subscribe(None))).await;
        });
    }
}

/// What is at a host.
#[derive(Clone)]
enum Way {
    Refused,
    Dropped,
    To(Plane),
}

/// A network in memory.
#[derive(Default)]
struct Ways(Mutex<HashMap<String, Way>>);

#[async_trait]
impl Dial for Ways {
    async fn connect(&self, endpoint: &Endpoint) -> Result<BoxStream, Error> {
        let way = self.0.lock().expect("unpoisoned").get(&endpoint.host).cloned();
        match way {
            Some(Way::To(plane)) => {
                let (ours, theirs) = tokio::io::duplex(64 * 1024);
                plane.serve_stream(theirs);
                Ok(Box::new(ours))
            }
            Some(Way::Dropped) => std::future::pending().await,
            Some(Way::Refused) | None => Err(Error::unavailable("nobody listens")),
        }
    }

    async fn secure(&self, stream: BoxStream, _: &Endpoint) -> Result<BoxStream, Error> {
        Ok(stream)
    }
}

/// A link at the defaults, its plane, and what stands between them.
struct World {
    plane: Plane,
    ways: Arc<Ways>,
    state: watch::Receiver<State>,
    /// The last session that was seen.
    session: Option<Session>,
    said: Arc<Mutex<BTreeSet<String>>>,
    running: JoinHandle<()>,
}

impl World {
    fn new(seed: u64, hosts: &[&str], auto_reconnect: bool) -> Self {
        let mut settings = settings("http://plane");
        settings.retry = defaults();
        settings.connector.auto_reconnect = auto_reconnect;
        settings.connector.endpoints =
            hosts.iter().map(|host| format!("http://{host}").parse().expect("a URL")).collect();
        let ways = Arc::new(Ways::default());
        let dial: Arc<dyn Dial> = Arc::clone(&ways) as Arc<dyn Dial>;
        let link = Link::new(settings, dial, Arc::new(Busy), seed).expect("settings");
        let state = link.state();
        let said = Arc::new(Mutex::new(BTreeSet::new()));
        tokio::spawn({
            let (mut state, said) = (state.clone(), Arc::clone(&said));
            async move {
                while state.changed().await.is_ok() {
                    if let State::Waiting { why, .. } = &*state.borrow_and_update() {
                        said.lock().expect("unpoisoned").insert(why.clone());
                    }
                }
            }
        });
        let running = tokio::spawn(async move { link.run(CancellationToken::new()).await });
        let world = Self { plane: plane(), ways, state, session: None, said, running };
        world.put("plane", Way::To(world.plane.clone()));
        world
    }

    /// One that has been connected for minutes.
    async fn connected(seed: u64) -> Self {
        let mut world = Self::new(seed, &["plane"], false);
        world.settle().await;
        world
    }

    /// The same with a second endpoint that is there too.
    async fn two(seed: u64) -> Self {
        let mut world = Self::new(seed, &["plane", "other"], false);
        let other = plane();
        world.put("other", Way::To(other));
        world.settle().await;
        world
    }

    async fn settle(&mut self) {
        self.back(Instant::now()).await;
        self.plane.connected(ID).await;
        sleep(3 * MINUTE).await;
        self.said.lock().expect("unpoisoned").clear();
    }

    async fn away_at_the_start(seed: u64, way: Way) -> Outcome {
        let mut world = Self::new(seed, &["plane"], false);
        world.put("plane", way);
        sleep(OUTAGE).await;
        world.put("plane", Way::To(world.plane.clone()));
        world.back(Instant::now()).await
    }

    async fn bad_at_the_start(seed: u64, behaviour: Behaviour) -> Outcome {
        let mut world = Self::new(seed, &["plane"], false);
        world.plane.behave(behaviour);
        sleep(OUTAGE).await;
        world.plane.behave(Behaviour::Faithful);
        let mended = Instant::now();
        // A session that the bad plane still had does not count.
        loop {
            let outcome = world.back(mended).await;
            let Some(session) = world.session.clone() else { return outcome };
            tokio::select! {
                () = session.gone() => {}
                () = sleep(SECOND) => return outcome,
            }
        }
    }

    fn put(&self, host: &str, way: Way) {
        self.ways.0.lock().expect("unpoisoned").insert(host.to_owned(), way);
    }

    fn said(&self) -> Vec<String> {
        self.said.lock().expect("unpoisoned").iter().cloned().collect()
    }

    async fn until(&mut self, wanted: impl Fn(&State) -> bool) {
        while !wanted(&self.state.borrow_and_update()) {
            self.state.changed().await.expect("the link runs");
        }
    }

    /// Waits for a session other than the last one.
    async fn back(&mut self, since: Instant) -> Outcome {
        let last = self.session.take();
        let is_new = |session: &Session| last.as_ref().is_none_or(|last| !last.is(session));
        let limit = Instant::now() + 60 * MINUTE;
        loop {
            let now = match &*self.state.borrow_and_update() {
                State::Connected { session, .. } if is_new(session) => Some(session.clone()),
                _ => None,
            };
            if now.is_some() {
                self.session = now;
                return Outcome { took: since.elapsed(), said: self.said() };
            }
            let changed = tokio::time::timeout_at(limit, self.state.changed()).await;
            assert!(matches!(changed, Ok(Ok(()))), "not connected again in an hour: {:?}", self.said());
        }
    }
}

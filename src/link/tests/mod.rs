//! The link over streams in memory and under paused time, against the plane and against scripted peers.

mod echo;
mod endings;
mod hostile;
mod pace;
mod recorded;
mod session;
mod told;
mod wire;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    io::DuplexStream,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{AskError, BoxStream, Dial, Endpoint, Link, LinkSettings, Receiver, Session, State};
use crate::{
    exchange::{Command, Limits},
    model::Error,
    plane::{Plane, PlaneSettings},
    settings::{Connector, Proxy, Retry, Tls},
};

const ID: &str = "int-1";
const PROVIDER: &str = "aws-api-gateway";
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Who stands at a host's name.
type Peer = Box<dyn Fn() -> Result<BoxStream, Error> + Send + Sync>;

/// A network in memory that notes who was dialled, and when.
struct Memory {
    began: Instant,
    peers: HashMap<String, Peer>,
    dialled: Mutex<Vec<(Instant, String)>>,
}

#[async_trait]
impl Dial for Memory {
    async fn connect(&self, endpoint: &Endpoint) -> Result<BoxStream, Error> {
        self.dialled.lock().unwrap().push((Instant::now(), endpoint.host.clone()));
        match self.peers.get(&endpoint.host) {
            Some(peer) => peer(),
            None => Err(Error::unavailable(format!("nobody is at {}", endpoint.host))),
        }
    }

    async fn secure(&self, stream: BoxStream, _: &Endpoint) -> Result<BoxStream, Error> {
        Ok(stream)
    }
}

/// Hands what comes in to the test.
struct Inbox(mpsc::UnboundedSender<(Command, Session)>);

impl Receiver for Inbox {
    fn command(self: Arc<Self>, command: Command, session: Session) {
        let _ = self.0.send((command, session));
    }
}

/// A link under test and all that it touches.
struct World {
    memory: Arc<Memory>,
    inbox: mpsc::UnboundedReceiver<(Command, Session)>,
    state: watch::Receiver<State>,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

fn retry() -> Retry {
    Retry {
        initial: SECOND,
        max: MINUTE,
        reset_after: MINUTE,
        slow: 5 * MINUTE,
        ping: 5 * SECOND,
        silence: 15 * SECOND,
        handshake: 10 * SECOND,
    }
}

fn settings(urls: &[&str]) -> LinkSettings {
    let connector = Connector {
        endpoints: urls.iter().map(|url| url.parse().unwrap()).collect(),
        headers: vec![("Authorization".into(), "bearer plane-token".into())],
        auto_reconnect: false,
        limits: Limits::default(),
        tls: Tls::default(),
        proxy: Proxy::Direct,
    };
    LinkSettings { connector, retry: retry(), integration_id: ID.into(), provider: PROVIDER.into() }
}

fn plane() -> Plane {
    let plane = Plane::new(PlaneSettings::default());
    plane.register(ID, PROVIDER);
    plane
}

/// `plane` as a peer.
fn at(plane: &Plane) -> Peer {
    let plane = plane.clone();
    Box::new(move || {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        plane.serve_stream(theirs);
        Ok(Box::new(ours))
    })
}

/// A peer whose end of each connection goes to the test.
fn scripted(buffer: usize) -> (Peer, mpsc::UnboundedReceiver<DuplexStream>) {
    let (give, streams) = mpsc::unbounded_channel();
    let peer = move || {
        let (ours, theirs) = tokio::io::duplex(buffer);
        let _ = give.send(theirs);
        Ok(Box::new(ours) as BoxStream)
    };
    (Box::new(peer), streams)
}

fn memory(peers: impl IntoIterator<Item = (&'static str, Peer)>) -> Arc<Memory> {
    let peers = peers.into_iter().map(|(host, peer)| (host.to_owned(), peer)).collect();
    Arc::new(Memory { began: Instant::now(), peers, dialled: Mutex::default() })
}

impl World {
    fn new(settings: LinkSettings, memory: Arc<Memory>) -> Self {
        Self::with(settings, memory, |link| link)
    }

    fn with(settings: LinkSettings, memory: Arc<Memory>, change: impl FnOnce(Link) -> Link) -> Self {
        let (give, inbox) = mpsc::unbounded_channel();
        let dial = Arc::clone(&memory);
        let link = change(Link::new(settings, dial, Arc::new(Inbox(give)), 7).expect("settings"));
        let state = link.state();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { link.run(shutdown).await }
        });
        Self { memory, inbox, state, shutdown, running }
    }

    /// One endpoint, `plane`, and nothing else.
    fn of(plane: &Plane) -> Self {
        Self::new(settings(&["http://plane"]), memory([("plane", at(plane))]))
    }

    /// Waits for a state that `wanted` knows.
    async fn until<T>(&mut self, wanted: impl Fn(&State) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(&self.state.borrow_and_update()) {
                return found;
            }
            self.state.changed().await.expect("the link runs");
        }
    }

    async fn connected(&mut self) -> Session {
        self.until(|state| match state {
            State::Connected { session, .. } => Some(session.clone()),
            _ => None,
        })
        .await
    }

    /// The sentence with which the link waits.
    async fn waiting(&mut self) -> String {
        self.until(|state| match state {
            State::Waiting { why, .. } if !why.contains("no try") => Some(why.clone()),
            _ => None,
        })
        .await
    }

    fn dials(&self) -> Vec<(Instant, String)> {
        self.memory.dialled.lock().unwrap().clone()
    }

    /// Waits until there have been `count` dials, and tells when each was.
    async fn dialled(&mut self, count: usize) -> Vec<Instant> {
        while self.dials().len() < count {
            self.state.changed().await.expect("the link runs");
        }
        self.dials().into_iter().map(|(when, _)| when).collect()
    }

    async fn shut_down(self) {
        self.shutdown.cancel();
        self.running.await.expect("no panic");
        assert!(matches!(*self.state.borrow(), State::Closed));
    }
}

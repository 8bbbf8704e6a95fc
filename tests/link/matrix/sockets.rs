//! The rows over real sockets, with short intervals.

use std::{future::Future, net::SocketAddr, pin::Pin, sync::RwLock};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::PrivateKeyDer,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::*;
use crate::certificates::{Ca, Identity};

/// How long an outage lasts: the longest delay is reached.
const OUTAGE: Duration = Duration::from_millis(1500);

type Run = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// Short, since this is a real clock.
pub(super) fn retry() -> Retry {
    Retry {
        initial: Duration::from_millis(20),
        max: Duration::from_millis(200),
        reset_after: Duration::from_millis(300),
        slow: Duration::from_millis(500),
        ping: Duration::from_millis(50),
        silence: Duration::from_millis(400),
        handshake: Duration::from_millis(300),
    }
}

/// All of them.
pub(super) fn rows() -> Vec<(Row, Run)> {
    let row = |fault, does, since, bound, says| Row { fault, does, since, bound: Some(bound), says };
    vec![
        (
            row("port closed at the start", "back-off", "plane up", LONGEST, "the connection was refused"),
            Box::pin(refused()),
        ),
        (
            row(
                "SYN dropped at the start",
                "gives each try up, back-off",
                "plane up",
                UNANSWERED,
                "no answer came within 300ms",
            ),
            Box::pin(dropped()),
        ),
        (
            row("TLS certificate expired, then renewed", "back-off", "certificate renewed", LONGEST, "it expired"),
            Box::pin(expired()),
        ),
        (
            row(
                "proxy hangs: CONNECT never answered",
                "gives each try up, back-off",
                "proxy well",
                UNANSWERED,
                "made no tunnel within 300ms",
            ),
            Box::pin(hanging_proxy()),
        ),
        (
            row(
                "plane restarts under load on its port",
                "commands under way end at once; back-off",
                "plane up",
                LONGEST,
                "the connection was refused",
            ),
            Box::pin(restarted()),
        ),
        (
            row(
                "half-open: nothing comes through any more, new connections do",
                "dead after the silence",
                "peer vanished",
                SILENT,
                "for 400ms: the connection is dead",
            ),
            Box::pin(vanished()),
        ),
        (
            row("two endpoints, the first refuses", "tries the other", "start", FIRST, "the connection was refused"),
            Box::pin(two()),
        ),
    ]
}

async fn refused() -> Outcome {
    let address = free_port();
    let mut world = World::new(settings(&format!("http://{address}")));
    sleep(OUTAGE).await;
    let plane = plane_at(address).await;
    let outcome = world.back(Instant::now()).await;
    plane.connected(ID).await;
    outcome
}

/// A listener that accepts nothing and whose queue is full: the kernel answers no SYN.
async fn dropped() -> Outcome {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_nonblocking(true).expect("set");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    socket.listen(0).expect("it listens");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("an address");
    let mut filling = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        filling.push(stream.expect("connected"));
        assert!(filling.len() < 100, "the queue never fills");
    }
    let mut world = World::new(settings(&format!("http://{address}")));
    sleep(OUTAGE).await;
    // Somebody accepts again: the queue has room.
    let plane = plane(PlaneSettings::default()).await;
    let listener = TcpListener::from_std(socket.into()).expect("a listener");
    tokio::spawn(Gate::serve(listener, plane.address().expect("it listens"), watch::channel(true).1));
    world.back(Instant::now()).await
}

async fn expired() -> Outcome {
    let ca = Ca::new("ours");
    let renewable = Arc::new(Renewable(RwLock::new(certified(&ca.issue_expired(&["localhost"])))));
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::clone(&renewable) as Arc<dyn ResolvesServerCert>);
    let plane = plane(PlaneSettings { tls: Some(Arc::new(tls)), ..PlaneSettings::default() }).await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, ca.certificate.pem()).expect("written");
    let mut settings = settings(&plane.url());
    settings.connector.tls.extra_ca = Some(path);
    let mut world = World::new(settings);
    sleep(OUTAGE).await;
    *renewable.0.write().expect("unpoisoned") = certified(&ca.issue(&["localhost"]));
    world.back(Instant::now()).await
}

async fn hanging_proxy() -> Outcome {
    let plane = plane(PlaneSettings::default()).await;
    let to = plane.address().expect("it listens");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (well, is_well) = watch::channel(false);
    tokio::spawn(async move {
        let mut hanging = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            if !*is_well.borrow() {
                hanging.push(stream);
                continue;
            }
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                let Ok(mut to) = TcpStream::connect(to).await else { return };
                let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await;
                let _ = copy_bidirectional(&mut stream, &mut to).await;
            });
        }
    });
    let mut settings = settings("http://plane.example");
    settings.connector.proxy = Proxy::Http { host: address.ip().to_string(), port: address.port(), user: None };
    let mut world = World::new(settings);
    sleep(OUTAGE).await;
    well.send_replace(true);
    world.back(Instant::now()).await
}

async fn restarted() -> Outcome {
    let address = free_port();
    let old = plane_at(address).await;
    let mut world = World::new(settings(&format!("http://{address}")));
    old.connected(ID).await;
    world.back(Instant::now()).await;
    let mut asked = JoinSet::new();
    for _ in 0..20 {
        let plane = old.clone();
        let body = CommandBody::StartIngest { job_id: "never answered".into(), api_ids: Vec::new() };
        asked.spawn(async move { plane.send(ID, body).await });
    }
    let session = world.session.clone().expect("connected");
    old.stop();
    while let Some(lost) = asked.join_next().await {
        assert!(lost.expect("no panic").is_err());
    }
    session.gone().await;
    drop(old);
    sleep(OUTAGE).await;
    let new = plane_at(address).await;
    let outcome = world.back(Instant::now()).await;
    new.connected(ID).await;
    assert!(new.discover(ID).await.is_ok());
    outcome
}

async fn vanished() -> Outcome {
    let plane = plane(PlaneSettings::default()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (flowing, flows) = watch::channel(true);
    tokio::spawn(Gate::serve(listener, plane.address().expect("it listens"), flows));
    let mut world = World::new(settings(&format!("http://{address}")));
    world.back(Instant::now()).await;
    flowing.send_replace(false);
    let since = Instant::now();
    let outcome = world.back(since).await;
    assert!(outcome.took + retry().ping >= retry().silence, "not dead before it is silent: {:?}", outcome.took);
    outcome
}

async fn two() -> Outcome {
    let plane = plane(PlaneSettings::default()).await;
    let mut settings = settings(&format!("http://{}", free_port()));
    settings.connector.endpoints.push(plane.url().parse().expect("a URL"));
    let since = Instant::now();
    World::new(settings).back(since).await
}

fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port")
}

async fn plane_at(address: SocketAddr) -> Plane {
    let plane = Plane::bind(address, PlaneSettings::default()).await.expect("the port is free again");
    plane.register(ID, PROVIDER);
    plane
}

/// A way to a plane that can be stopped up: what was connected then stays, and nothing comes through.
struct Gate;

impl Gate {
    async fn serve(listener: TcpListener, to: SocketAddr, flows: watch::Receiver<bool>) {
        while let Ok((mut here, _)) = listener.accept().await {
            let mut flows = flows.clone();
            flows.mark_unchanged();
            tokio::spawn(async move {
                let Ok(mut there) = TcpStream::connect(to).await else { return };
                tokio::select! {
                    _ = copy_bidirectional(&mut here, &mut there) => return,
                    Ok(()) = flows.changed() => {}
                }
                // Both ends are held, and neither is told.
                std::future::pending::<()>().await;
            });
        }
    }
}

/// A certificate that is renewed while the server runs.
#[derive(Debug)]
struct Renewable(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Renewable {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().expect("unpoisoned")))
    }
}

fn certified(identity: &Identity) -> Arc<CertifiedKey> {
    let key = PrivateKeyDer::try_from(identity.key.serialize_der()).expect("a key");
    let key = ring::sign::any_supported_type(&key).expect("a key that signs");
    Arc::new(CertifiedKey::new(vec![identity.certificate.der().clone()], key))
}

/// Answers DISCOVER, and nothing else.
struct Sluggish;

impl Receiver for Sluggish {
    fn command(self: Arc<Self>, command: Command, session: Session) {
        if matches!(command.body, CommandBody::Discover) {
            Arc::new(Nothing).command(command, session);
        }
    }
}

/// A link on the real network.
struct World {
    state: watch::Receiver<State>,
    session: Option<Session>,
    said: watch::Receiver<Vec<String>>,
    shutdown: CancellationToken,
}

impl World {
    fn new(mut settings: LinkSettings) -> Self {
        settings.retry = retry();
        let network = network(&settings, &ProxyEnvironment::default()).expect("a network");
        let link = Link::new(settings, Arc::new(network), Arc::new(Sluggish), 1).expect("settings");
        let (note, said) = watch::channel(Vec::new());
        tokio::spawn({
            let mut state = link.state();
            async move {
                while state.changed().await.is_ok() {
                    let stand = state.borrow_and_update().to_string();
                    note.send_if_modified(|said| {
                        let news = !said.contains(&stand);
                        if news {
                            said.push(stand);
                        }
                        news
                    });
                }
            }
        });
        let (state, shutdown) = (link.state(), CancellationToken::new());
        let stop = shutdown.clone();
        tokio::spawn(async move { link.run(stop).await });
        Self { state, session: None, said, shutdown }
    }

    /// Waits for a session other than the last one.
    async fn back(&mut self, since: Instant) -> Outcome {
        let last = self.session.take();
        let is_new = |session: &Session| last.as_ref().is_none_or(|last| !last.is(session));
        loop {
            let now = match &*self.state.borrow_and_update() {
                State::Connected { session, .. } if is_new(session) => Some(session.clone()),
                _ => None,
            };
            if now.is_some() {
                self.session = now;
                let took = since.elapsed();
                self.said.wait_for(|said| said.iter().any(|stand| stand == "connected")).await.expect("it notes");
                return Outcome { took, said: self.said.borrow().clone() };
            }
            self.state.changed().await.expect("the link runs");
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

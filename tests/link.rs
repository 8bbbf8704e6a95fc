//! The link over real sockets: TLS and proxies, against the plane and against a proxy of a few lines.

#[path = "link/certificates.rs"]
mod certificates;
#[path = "link/matrix.rs"]
mod matrix;
#[path = "link/proxy.rs"]
mod proxy;
#[path = "link/tls.rs"]
mod tls;

use std::{sync::Arc, time::Duration};

use federation_agent::{
    exchange::{Command, CommandBody, Discovered, Limits, ReplyBody},
    link::{Link, LinkSettings, Network, Receiver, Session, State, Step, Tried, probe},
    plane::{Behaviour, Plane, PlaneSettings},
    settings::{Connector, Faults, Proxy, ProxyEnvironment, Retry, Tls},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const ID: &str = "int-1";
const PROVIDER: &str = "aws-api-gateway";

/// Short, since this is a real clock.
fn retry() -> Retry {
    Retry {
        initial: Duration::from_millis(20),
        max: Duration::from_millis(200),
        reset_after: Duration::from_secs(1),
        slow: Duration::from_millis(300),
        ping: Duration::from_millis(50),
        silence: Duration::from_secs(5),
        handshake: Duration::from_secs(5),
    }
}

fn settings(url: &str) -> LinkSettings {
    let connector = Connector {
        endpoints: vec![url.parse().expect("a URL")],
        headers: vec![("Authorization".into(), "bearer plane-token".into())],
        auto_reconnect: false,
        limits: Limits::default(),
        tls: Tls::default(),
        proxy: Proxy::Direct,
    };
    LinkSettings { connector, retry: retry(), integration_id: ID.into(), provider: PROVIDER.into() }
}

async fn plane(settings: PlaneSettings) -> Plane {
    let plane = Plane::bind("127.0.0.1:0", settings).await.expect("a plane");
    plane.register(ID, PROVIDER);
    plane
}

fn network(settings: &LinkSettings, proxies: &ProxyEnvironment) -> Result<Network, Faults> {
    Network::new(&settings.connector, proxies, settings.retry.silence)
}

/// The steps that a probe takes, and the sentence at which it stops.
async fn tried(settings: &LinkSettings, proxies: &ProxyEnvironment) -> (Vec<Step>, Option<String>) {
    let network = network(settings, proxies).expect("a network");
    let (tell, mut told) = mpsc::channel(8);
    probe(settings, &network, tell).await;
    let (mut steps, mut fault) = (Vec::new(), None);
    while let Some(Tried { step, outcome, .. }) = told.recv().await {
        steps.push(step);
        fault = outcome.err().map(|error| error.sentence().to_owned());
    }
    (steps, fault)
}

/// Answers DISCOVER with nothing.
struct Nothing;

impl Receiver for Nothing {
    fn command(self: Arc<Self>, command: Command, session: Session) {
        tokio::spawn(async move {
            let body = ReplyBody::Discover(Some(Discovered { apis: Vec::new(), partial: false }));
            let _ = session.reply(command.succeed(body)).await;
        });
    }
}

#[tokio::test]
async fn it_connects_serves_is_cut_comes_back_and_leaves() {
    let plane = plane(PlaneSettings { prefix: "/integration-controller".into(), ..PlaneSettings::default() }).await;
    plane.behave_once(Behaviour::Answer { status: 401, headers: Vec::new() });
    let settings = settings(&format!("{}/", plane.url()));
    let network = network(&settings, &ProxyEnvironment::default()).expect("a network");
    let link = Arc::new(Link::new(settings, Arc::new(network), Arc::new(Nothing), 1).expect("settings"));
    let state = link.state();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { link.run(shutdown).await }
    });
    plane.connected(ID).await;
    assert!(plane.discover(ID).await.is_ok());
    plane.until(|plane| plane.seen().pings > 3).await;
    for again in 0..3 {
        match again {
            0 => plane.cut(ID).await,
            1 => plane.good_bye(ID, true).await,
            _ => plane.close(ID, 1011).await,
        }
        plane.disconnected(ID).await;
        plane.connected(ID).await;
        assert!(plane.discover(ID).await.is_ok());
    }
    shutdown.cancel();
    running.await.expect("no panic");
    assert!(matches!(*state.borrow(), State::Closed));
    plane.until(|plane| plane.endings().last().is_some_and(|ending| ending.code == Some(1000))).await;
    let body = CommandBody::Discover;
    assert!(plane.send(ID, body).await.is_err(), "nobody is there any more");
}

#[tokio::test]
async fn a_wrong_prefix_and_a_closed_port_are_said_to() {
    let plane = plane(PlaneSettings::default()).await;
    let none = ProxyEnvironment::default();
    let (steps, fault) = tried(&settings(&format!("{}/wrong", plane.url())), &none).await;
    assert_eq!(steps, [Step::Connect, Step::Upgrade]);
    let fault = fault.expect("refused");
    assert!(fault.contains("/wrong/exchange/controller") && fault.contains("(404)"), "{fault}");

    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("an address")
    };
    let (steps, fault) = tried(&settings(&format!("http://{closed}")), &none).await;
    assert_eq!(steps, [Step::Connect]);
    let fault = fault.expect("refused");
    assert!(fault.contains("the connection was refused; is the plane up") && fault.contains("HTTP_PROXY"), "{fault}");
    assert_eq!(fault.matches(&closed.ip().to_string()).count(), 1, "{fault}");
    assert!(fault.contains(&closed.to_string()) && !fault.contains("os error"), "{fault}");

    let (_, fault) = tried(&settings("http://no-such-host.invalid"), &none).await;
    let fault = fault.expect("no such host");
    assert!(fault.contains("http://no-such-host.invalid: its host name cannot be resolved; is it right"), "{fault}");
    assert_eq!(fault.matches("no-such-host").count(), 1, "{fault}");
}

//! A signal while there is no session: nothing is waited for.

use std::{net::SocketAddr, time::Duration};

use federation_agent::plane::Behaviour;
use socket2::{Domain, Socket, Type};
use tokio::{net::TcpStream, time::Instant};

use crate::{
    ONE,
    support::{Process, Stage, soon},
};

/// Long waits, so that one that is sat out is seen.
const WAITS: [(&str, &str); 6] = [
    ("FEDERATION_AGENT_DRAIN", "600s"),
    ("FEDERATION_AGENT_HANDSHAKE", "600s"),
    ("FEDERATION_AGENT_RETRY_INITIAL", "600s"),
    ("FEDERATION_AGENT_RETRY_MAX", "600s"),
    ("FEDERATION_AGENT_RETRY_SLOW", "600s"),
    ("FEDERATION_AGENT_SILENCE", "600s"),
];
/// What ending at once may take on a busy machine.
const AT_ONCE: Duration = Duration::from_secs(4);

/// Ends `agent` with both signals' words; it has nothing to wait for.
async fn ends_at_once(name: &str, agent: Process, signal: &str) {
    let at = Instant::now();
    agent.signal(signal);
    let (status, said) = agent.end().await;
    assert_eq!(status.code(), Some(0), "{name}, {signal}:\n{}", said.join("\n"));
    assert!(at.elapsed() < AT_ONCE, "{name}, {signal}: {:?}\n{}", at.elapsed(), said.join("\n"));
    println!("| {name} | SIG{signal} | 0 | {:.1} s |", at.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_plane_is_not_there() {
    for signal in ["TERM", "INT"] {
        let stage = Stage::set(&[ONE]).await;
        let environment = stage.environment(&WAITS);
        stage.plane.stop();
        let Stage { plane, .. } = stage;
        drop(plane);
        let mut agent = Process::start(&[], environment);
        agent.says("not connected").await;
        ends_at_once("refused, waiting to try again", agent, signal).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_is_refused_and_the_next_try_is_far() {
    for signal in ["TERM", "INT"] {
        let stage = Stage::set(&[ONE]).await;
        stage.plane.behave(Behaviour::Answer { status: 401, headers: Vec::new() });
        let mut agent = Process::start(&[], stage.environment(&WAITS));
        let line = agent.says("not connected").await;
        assert!(line.contains("401"), "{line}");
        ends_at_once("401, in the slow lane", agent, signal).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_it_connects() {
    let upgrades = |plane: &federation_agent::plane::Plane| plane.seen().upgrades > 0;
    for (name, behaviour) in [
        ("the upgrade is not answered", Behaviour::NoAnswer),
        ("upgraded, then silence", Behaviour::Mute),
        ("HELLO is not answered", Behaviour::IgnoreHello),
    ] {
        for signal in ["TERM", "INT"] {
            let stage = Stage::set(&[ONE]).await;
            stage.plane.behave(behaviour.clone());
            let agent = Process::start(&[], stage.environment(&WAITS));
            soon("the upgrade", stage.plane.until(upgrades)).await;
            ends_at_once(name, agent, signal).await;
        }
    }
}

/// A port whose queue is full: the system does not answer who connects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nothing_comes_back_at_all() {
    for signal in ["TERM", "INT"] {
        let stage = Stage::set(&[ONE]).await;
        let hole = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        hole.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        hole.listen(0).expect("to listen");
        let address = hole.local_addr().expect("its address").as_socket().expect("an internet address");
        // As many as find a place; the first that does not shows that the hole is black.
        let mut inside = Vec::new();
        while let Ok(stream) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
            inside.push(stream.expect("a connection"));
        }
        let endpoint = format!("http://{address}");
        let more: Vec<_> =
            [("gravitee_integration_connector_ws_endpoints_0", endpoint.as_str())].into_iter().chain(WAITS).collect();
        let mut agent = Process::start(&[], stage.environment(&more));
        // Said after the links have been set to work, when the gateway has told who the agent is.
        agent.says("account 123456789012 as arn").await;
        ends_at_once("the connection hangs (black hole)", agent, signal).await;
        drop(inside);
    }
}

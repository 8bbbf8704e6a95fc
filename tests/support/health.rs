//! The health surface, asked as a probe asks it.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::support::{Process, soon};

/// Where the agent's health surface listens, as its log says.
pub(crate) async fn health_address(agent: &mut Process) -> String {
    let line = agent.says("health: http://").await;
    let rest = line.split_once("http://").unwrap().1;
    rest[..rest.find('/').unwrap()].to_owned()
}

/// What `GET http://address/path` answers: the status and the body.
pub(crate) async fn get(address: &str, path: &str) -> (u16, serde_json::Value) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let status = text.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap_or_default())
}

/// Asks until the answer is as wanted: what the log says may be a moment ahead of what the surface says.
pub(crate) async fn get_until(address: &str, path: &str, holds: impl Fn(u16, &serde_json::Value) -> bool) {
    let asked = async {
        loop {
            let (status, body) = get(address, path).await;
            if holds(status, &body) {
                return;
            }
        }
    };
    soon(path, asked).await;
}

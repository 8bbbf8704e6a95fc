//! The controller's side of the conversations recorded from the real one, played to the link.

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{
        Message as Ws,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::*;

const RECORDED: &str = include_str!("../../../tests/fixtures/exchange-1.9.1.json");

/// The JSON of a message, and the field before it.
fn split(message: &str) -> (&str, Value) {
    let (head, json) = message.split_once(";;e:").expect("a message");
    (head, serde_json::from_str(json).expect("JSON"))
}

async fn hear(socket: &mut WebSocketStream<DuplexStream>) -> (String, Value) {
    loop {
        match socket.next().await {
            Some(Ok(Ws::Binary(bytes))) => {
                let text = std::str::from_utf8(&bytes).expect("UTF-8");
                let (head, json) = split(text);
                return (head.to_owned(), json);
            }
            Some(Ok(Ws::Ping(_) | Ws::Pong(_))) => {}
            other => panic!("no message but {other:?}"),
        }
    }
}

/// The close code that comes from the link, and then nothing.
async fn left_with(socket: &mut WebSocketStream<DuplexStream>) -> u16 {
    while let Some(Ok(message)) = socket.next().await {
        if let Ws::Close(Some(frame)) = message {
            while let Some(Ok(_)) = socket.next().await {}
            return frame.code.into();
        }
    }
    panic!("no close frame")
}

#[tokio::test(start_paused = true)]
async fn the_link_does_what_each_recorded_conversation_calls_for() {
    let cases: Vec<Value> = serde_json::from_str(RECORDED).expect("JSON");
    let mut played = 0;
    for case in &cases {
        let name = case["case"].as_str().expect("a name");
        let steps = case["steps"].as_array().expect("steps");
        let says_hello = steps.iter().any(|step| step["send"].as_str().is_some_and(|sent| sent.contains("et:HELLO")));
        let (peer, mut streams) = scripted(256 * 1024);
        let mut world = World::new(settings(&["http://peer"]), memory([("peer", peer)]));
        let mut stream = streams.recv().await.expect("dialled");
        match steps[0]["handshake"].as_u64().expect("a status") {
            101 if says_hello => {
                let mut socket = accept_async(stream).await.expect("an upgrade");
                play(name, &steps[1..], &mut socket, &mut world).await;
            }
            101 => continue,
            status => {
                let mut head = vec![0; 16 * 1024];
                assert!(stream.read(&mut head).await.expect("a request") > 0);
                let answer = format!("HTTP/1.1 {status} Refused\r\ncontent-length: 0\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.expect("written");
                assert!(world.waiting().await.contains(&status.to_string()), "{name}");
            }
        }
        played += 1;
        world.shut_down().await;
    }
    assert!(played >= 34, "{played} of {}", cases.len());
}

async fn play(name: &str, steps: &[Value], socket: &mut WebSocketStream<DuplexStream>, world: &mut World) {
    let (head, hello) = hear(socket).await;
    assert_eq!(head, "t:COMMAND;;et:HELLO");
    assert_eq!(hello["type"], "HELLO");
    assert_eq!(hello["payload"], serde_json::json!({"targetId": ID, "provider": PROVIDER}));
    for step in steps {
        if let Some(text) = step["recv"].as_str() {
            let (head, mut json) = split(text);
            if head == "t:REPLY;;et:HELLO" && json["commandId"] == "h-1" {
                json["commandId"] = hello["id"].clone();
            }
            socket.send(Ws::Binary(format!("{head};;e:{json}").into())).await.expect("sent");
            match (head, json["type"].as_str().expect("a type")) {
                ("t:REPLY;;et:HELLO", _) if json["commandStatus"] == "ERROR" => {
                    // The GOOD_BYE that follows is not waited for.
                    assert_eq!(left_with(socket).await, 1000, "{name}");
                    assert!(world.waiting().await.contains("refused integration"), "{name}");
                    return;
                }
                ("t:REPLY;;et:HELLO", _) => {
                    world.connected().await;
                }
                ("t:COMMAND;;et:GOOD_BYE", _) => {
                    assert_eq!(left_with(socket).await, 1013, "{name}");
                    return;
                }
                ("t:COMMAND;;et:PRIMARY" | "t:COMMAND;;et:HEALTH_CHECK", kind) => {
                    let (head, reply) = hear(socket).await;
                    assert_eq!(head, format!("t:REPLY;;et:{kind}"), "{name}");
                    assert_eq!(reply["commandId"], json["id"], "{name}");
                    assert_eq!(reply["commandStatus"], "SUCCEEDED", "{name}");
                    let payload = if kind == "PRIMARY" { "{}" } else { r#"{"healthy":true}"# };
                    assert_eq!(reply["payload"].to_string(), payload, "{name}");
                }
                (head, kind) if head.starts_with("t:COMMAND") => {
                    let (command, _) = world.inbox.recv().await.expect("a command");
                    assert_eq!(command.id, json["id"], "{name}");
                    assert_eq!(command.body.kind(), kind, "{name}");
                }
                // Replies to what the recording asked and this link did not.
                _ => {}
            }
        } else if let Some(code) = step["closed"].as_u64() {
            let code = CloseCode::from(u16::try_from(code).expect("a code"));
            let reason = step["reason"].as_str().unwrap_or_default().to_owned().into();
            socket.send(Ws::Close(Some(CloseFrame { code, reason }))).await.expect("sent");
            assert!(world.waiting().await.contains("closed the session"), "{name}");
            return;
        } else if let Some(seconds) = step["nothing_for_s"].as_f64() {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            assert!(!world.connected().await.is_gone(), "{name}");
        } else if step["tcp"].is_string() {
            assert!(!world.connected().await.is_gone(), "{name}");
            socket.get_mut().shutdown().await.expect("shut down");
            assert!(world.waiting().await.contains("cut without a close frame"), "{name}");
            return;
        }
    }
}

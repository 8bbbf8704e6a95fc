//! Our plane against conversations recorded from the real controller (gravitee-exchange 1.9.1): each one, driven from
//! the connector's end over a real socket, must go the same way. Ids differ from run to run and are mapped.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::{collections::HashMap, time::Duration};

use federation_agent::{
    exchange::{self, CommandBody, Message, Reply, Status},
    plane::{Plane, PlaneError, PlaneSettings},
};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self,
        client::IntoClientRequest as _,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

const TOKEN: &str = "the-token";
/// The recorded controller asked for health every 2 s; ours is asked at a twentieth of that, and so is all else.
const HASTE: f64 = 20.0;
/// How long an expected step may take.
const PATIENCE: Duration = Duration::from_secs(10);

type Socket = WebSocketStream<TcpStream>;
type Faults = Result<(), String>;

fn recorded() -> Vec<Value> {
    serde_json::from_str(include_str!("fixtures/exchange-1.9.1.json")).unwrap()
}

fn settings(case: &str) -> PlaneSettings {
    // Only where a reply is lost is the wait for it the point; elsewhere a busy machine must not end it.
    let lost = case == "unknown enum value in a reply";
    PlaneSettings {
        token: TOKEN.into(),
        splits_double_semicolon: true,
        registration: Duration::from_millis(5),
        refusal_good_bye: Duration::from_millis(100),
        health_check: Duration::from_millis(100),
        reply_wait: if lost { Duration::from_millis(400) } else { PATIENCE },
        job_delay: Duration::ZERO,
        ..PlaneSettings::default()
    }
}

/// One conversation.
struct Conversation {
    plane: Plane,
    socket: Option<Socket>,
    /// Recorded command ids, and ours in their place.
    ids: HashMap<String, String>,
    /// What the plane asked because the recording says so, and the status that its reply is to have.
    asked: Vec<JoinHandle<Result<Reply, PlaneError>>>,
    /// Messages received ahead of the step that expects them.
    kinds_wanted: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recorded_conversation_goes_the_same_way() {
    let cases = recorded();
    assert_eq!(cases.len(), 37);
    let mut running = tokio::task::JoinSet::new();
    for case in cases {
        running.spawn(async move {
            let name = case["case"].as_str().unwrap().to_owned();
            let outcome = timeout(4 * PATIENCE, converse(&case)).await;
            outcome.unwrap_or_else(|_| Err("it does not end".into())).map_err(|fault| format!("{name}: {fault}"))
        });
    }
    let outcomes = running.join_all().await;
    let faults: Vec<String> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(faults.is_empty(), "{} of 37 conversations went another way:\n{}", faults.len(), faults.join("\n"));
}

async fn converse(case: &Value) -> Faults {
    let plane = Plane::bind("127.0.0.1:0", settings(case["case"].as_str().unwrap())).await.unwrap();
    plane.register("int-1", "aws-api-gateway");
    let mut conversation =
        Conversation { plane, socket: None, ids: HashMap::new(), asked: Vec::new(), kinds_wanted: Vec::new() };
    let steps = case["steps"].as_array().unwrap();
    for (at, step) in steps.iter().enumerate() {
        let rest = steps[at..].iter().filter_map(|step| step["recv"].as_str());
        conversation.kinds_wanted = rest.map(kind).collect();
        let (verb, value) = step.as_object().unwrap().iter().next().unwrap();
        let done = match verb.as_str() {
            "handshake" => conversation.handshake(case["case"].as_str().unwrap(), value.as_u64().unwrap()).await,
            "send" => conversation.send(case["case"].as_str().unwrap(), value.as_str().unwrap()).await,
            "send_text" => conversation.put(tungstenite::Message::text(value.as_str().unwrap())).await,
            "recv" => conversation.receive(value.as_str().unwrap()).await,
            "nothing_for_s" => conversation.nothing(Duration::from_secs_f64(value.as_f64().unwrap() / HASTE)).await,
            "closed" | "reason" => conversation.closed(&step["closed"], &step["reason"]).await,
            "tcp" => conversation.dropped().await,
            other => panic!("an unknown step: {other}"),
        };
        done.map_err(|fault| format!("step {at} ({verb}): {fault}"))?;
    }
    conversation.outcome(case).await
}

impl Conversation {
    async fn handshake(&mut self, case: &str, expected: u64) -> Faults {
        let address = self.plane.address().unwrap();
        let path = if case.contains("wrong path") { "/nowhere" } else { "/exchange/controller" };
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        let headers = request.headers_mut();
        if !case.contains("no Authorization header") {
            let token = if case.contains("wrong token") { "another" } else { TOKEN };
            headers.insert("authorization", format!("bearer {token}").parse().unwrap());
        }
        if !case.contains("no protocol header") {
            headers.insert("x-gravitee-exchange-protocol", "v1".parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let status = match client_async(request, stream).await {
            Ok((socket, _)) => {
                self.socket = Some(socket);
                101
            }
            Err(tungstenite::Error::Http(response)) => u64::from(response.status().as_u16()),
            Err(error) => return Err(error.to_string()),
        };
        same(&json!(expected), &json!(status))
    }

    async fn send(&mut self, case: &str, text: &str) -> Faults {
        let (bytes, frame) = match long_ingest(text) {
            Some(made) => made,
            // Some cuts of three bytes each fall inside the two of an `é`.
            None if case == "split inside a character" => (text.as_bytes().to_vec(), 3),
            None => (self.with_our_ids(text).into_bytes(), usize::MAX),
        };
        let mut chunks = bytes.chunks(frame.min(bytes.len())).peekable();
        let mut opcode = Data::Binary;
        while let Some(chunk) = chunks.next() {
            let frame = Frame::message(chunk.to_vec(), OpCode::Data(opcode), chunks.peek().is_none());
            opcode = Data::Continue;
            let sent = self.socket.as_mut().unwrap().feed(tungstenite::Message::Frame(frame)).await;
            if sent.is_err() {
                // Dropped while it was being sent, as some steps that follow expect.
                return Ok(());
            }
        }
        _ = self.socket.as_mut().unwrap().flush().await;
        Ok(())
    }

    async fn put(&mut self, message: tungstenite::Message) -> Faults {
        self.socket.as_mut().unwrap().send(message).await.map_err(|error| error.to_string())
    }

    fn with_our_ids(&self, text: &str) -> String {
        self.ids.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
    }

    /// Receives `expected`; what the plane says of its own accord only because it was told to is asked for here.
    async fn receive(&mut self, expected: &str) -> Faults {
        if let Ok(Message::Command(command)) = exchange::decode(expected.as_bytes()) {
            let told = matches!(
                command.body,
                CommandBody::Discover
                    | CommandBody::StartIngest { .. }
                    | CommandBody::Subscribe { .. }
                    | CommandBody::Unsubscribe { .. }
            );
            if told {
                let plane = self.plane.clone();
                self.asked.push(tokio::spawn(async move {
                    plane.connected("int-1").await;
                    plane.send("int-1", command.body).await
                }));
            }
        }
        let received =
            timeout(PATIENCE, self.next()).await.map_err(|_| format!("nothing came in place of {expected}"))?;
        let received = received?.ok_or_else(|| format!("the connection ended in place of {expected}"))?;
        let (head, wanted) = split(expected);
        let (our_head, ours) = split(&received);
        same(&json!(head), &json!(our_head))?;
        if let (Some(theirs), Some(id)) = (wanted["id"].as_str(), ours["id"].as_str()) {
            self.ids.insert(theirs.to_owned(), id.to_owned());
        }
        let wanted: Value = serde_json::from_str(&self.with_our_ids(&wanted.to_string())).unwrap();
        same(&wanted, &ours)
    }

    /// The next message that the recording does not leave out; `None` when the plane closes.
    async fn next(&mut self) -> Result<Option<String>, String> {
        loop {
            match self.socket.as_mut().unwrap().next().await {
                Some(Ok(tungstenite::Message::Binary(bytes))) => {
                    let text = String::from_utf8(bytes.to_vec()).unwrap();
                    if self.is_left_out(&text).await? {
                        continue;
                    }
                    return Ok(Some(text));
                }
                Some(Ok(tungstenite::Message::Ping(_) | tungstenite::Message::Pong(_))) => {}
                Some(Ok(other)) => return Err(format!("{other:?}")),
                Some(Err(error)) => return Err(error.to_string()),
                None => return Ok(None),
            }
        }
    }

    /// PRIMARY and HEALTH_CHECK are answered, and left out where they are not the point.
    async fn is_left_out(&mut self, text: &str) -> Result<bool, String> {
        let kind = kind(text);
        if !["PRIMARY", "HEALTH_CHECK"].contains(&kind.as_str()) || self.kinds_wanted.contains(&kind) {
            return Ok(false);
        }
        let (_, command) = split(text);
        let payload = if kind == "PRIMARY" { json!({}) } else { json!({ "healthy": true }) };
        let reply = json!({
            "commandId": command["id"], "type": kind, "commandStatus": "SUCCEEDED", "payload": payload,
        });
        self.put(tungstenite::Message::binary(format!("t:REPLY;;et:{kind};;e:{reply}"))).await?;
        Ok(true)
    }

    async fn nothing(&mut self, wait: Duration) -> Faults {
        match timeout(wait, self.next()).await {
            Err(_) => Ok(()),
            Ok(came) => Err(format!("{came:?} came")),
        }
    }

    async fn closed(&mut self, code: &Value, reason: &Value) -> Faults {
        let ended = async {
            loop {
                match self.socket.as_mut().unwrap().next().await {
                    Some(Ok(tungstenite::Message::Close(Some(frame)))) => return Ok(frame),
                    Some(Ok(tungstenite::Message::Binary(_) | tungstenite::Message::Ping(_))) => {}
                    other => return Err(format!("{other:?} came")),
                }
            }
        };
        let frame = timeout(PATIENCE, ended).await.map_err(|_| "it was not closed")??;
        same(&json!([code, reason]), &json!([u16::from(frame.code), frame.reason.as_str()]))
    }

    async fn dropped(&mut self) -> Faults {
        let ended = async {
            loop {
                match self.socket.as_mut().unwrap().next().await {
                    Some(Ok(tungstenite::Message::Binary(_) | tungstenite::Message::Ping(_))) => {}
                    None | Some(Err(_)) => return Ok(()),
                    other => return Err(format!("{other:?} came")),
                }
            }
        };
        timeout(PATIENCE, ended).await.map_err(|_| "it was not dropped")?
    }

    /// What became of the plane's own questions; and, where nothing was said, that the session lives on.
    async fn outcome(mut self, case: &Value) -> Faults {
        let lost = case["case"] == "unknown enum value in a reply";
        for asked in std::mem::take(&mut self.asked) {
            match asked.await.unwrap() {
                Ok(_) if lost => return Err("the plane read a reply that the real one loses".into()),
                Err(PlaneError::Silence(_)) if lost => {}
                Ok(reply) => {
                    let failed = case["case"] == "discover: error";
                    let wanted = if failed { Status::Error } else { Status::Succeeded };
                    if reply.status != wanted {
                        return Err(format!("{reply:?}"));
                    }
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        let quiet = case["steps"].as_array().unwrap().last().unwrap().get("nothing_for_s").is_some();
        if quiet {
            self.kinds_wanted.clear();
            let again = r#"t:COMMAND;;et:FOO;;e:{"id":"alive","type":"FOO","payload":{}}"#;
            self.put(tungstenite::Message::binary(again.to_owned())).await?;
            let reply = timeout(PATIENCE, self.next()).await.map_err(|_| "the session does not live on")??;
            if !reply.as_deref().is_some_and(|reply| reply.contains("\"alive\"")) {
                return Err(format!("{reply:?} came where the session should live on"));
            }
        }
        Ok(())
    }
}

fn same(wanted: &Value, ours: &Value) -> Faults {
    if wanted == ours { Ok(()) } else { Err(format!("\n  recorded {wanted}\n  ours     {ours}")) }
}

/// The header of a message and its JSON.
fn split(text: &str) -> (&str, Value) {
    let (head, json) = text.split_once(";;e:").unwrap();
    (head, serde_json::from_str(json).unwrap())
}

fn kind(text: &str) -> String {
    split(text).1["type"].as_str().unwrap().to_owned()
}

/// `INGEST of N bytes, frames of M bytes`: such a message, and M.
fn long_ingest(text: &str) -> Option<(Vec<u8>, usize)> {
    let sizes = text.strip_prefix("INGEST of ")?;
    let (length, frame) = sizes.strip_suffix(" bytes")?.split_once(" bytes, frames of ")?;
    let (length, frame): (usize, usize) = (length.parse().unwrap(), frame.parse().unwrap());
    let with = |content: &str| {
        format!(
            r#"t:COMMAND;;et:INGEST;;e:{{"id":"i-1","type":"INGEST","payload":{{"ingestJobId":"j","apis":[{{"uniqueId":"u","id":"u","name":"n","pages":[{{"pageType":"SWAGGER","content":"{content}","filename":"openapi.json"}}],"plans":[]}}],"done":true}}}}"#
        )
    };
    let padding = length - with("").len();
    let message = with(&"x".repeat(padding));
    assert_eq!(message.len(), length);
    Some((message.into_bytes(), frame))
}

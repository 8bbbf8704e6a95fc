//! What the other end of the link sends: the answer of a proxy, the answer to the upgrade, frames in any pieces.

use std::{
    io::{self, Read, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use federation_agent::{
    exchange::{Command, CommandBody, Limits, Message, decode},
    link::{BoxStream, Dial, Endpoint, Link, LinkSettings, Receiver, Session, State, fuzz},
    model::Error,
    settings::{Connector, Proxy, Retry, Tls},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf};
use tokio_tungstenite::tungstenite::{
    self,
    handshake::derive_accept_key,
    protocol::{
        Role, WebSocket,
        frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::LevelFilter;

use super::{MARK, block_on, is_marked, sound, sound_error};

/// What either side takes, small enough for a fuzzer to reach.
const LIMITS: Limits = Limits { frame: 512, message: 4_096 };

/// The answer to CONNECT.
pub(super) fn tunnel(input: &[u8]) {
    let endpoint = "https://plane.example".parse().expect("a URL");
    if let Err(error) = block_on(fuzz::tunnel(&endpoint, MARK, input)) {
        sound_error(input, &error);
    }
}

/// The answer to the upgrade and whatever comes behind it; `{accept}` stands for the right key.
pub(super) fn upgrade(input: &[u8]) {
    play(input, &Script { greets: false, piece: usize::MAX, answer: None, rest: input });
}

/// Frames. The first byte says in how large pieces they arrive, and whether HELLO is answered before.
pub(super) fn frames(input: &[u8]) {
    let Some((&first, rest)) = input.split_first() else { return };
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                  Sec-WebSocket-Accept: {accept}\r\n\r\n";
    let piece = if first & 0x40 == 0 { usize::MAX } else { usize::from(first & 0x1f) + 1 };
    play(input, &Script { greets: first & 0x80 == 0, piece, answer: Some(answer), rest });
}

/// What the other end does.
struct Script<'a> {
    /// Answers HELLO.
    greets: bool,
    /// How many bytes are sent at once.
    piece: usize,
    /// To the upgrade, before the rest.
    answer: Option<&'a str>,
    rest: &'a [u8],
}

/// Holds a link to an end that follows `script` once and hangs up; the link is shut down when it comes again.
fn play(input: &[u8], script: &Script<'_>) {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::DEBUG)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let told = block_on(async {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let shutdown = CancellationToken::new();
        let dial = Arc::new(Once { stream: Mutex::new(Some(ours)), shutdown: shutdown.clone() });
        let link = Link::new(settings(), dial, Arc::new(Refusing), 7).expect("settings that are in order");
        let mut states = link.state();
        let watching = async {
            let mut reasons = Vec::new();
            while states.changed().await.is_ok() {
                match &*states.borrow_and_update() {
                    State::Waiting { why, .. } => reasons.push(why.clone()),
                    State::Away { .. } => shutdown.cancel(),
                    State::Closed => break,
                    _ => {}
                }
            }
            reasons
        };
        let (reasons, said, ()) = tokio::join!(watching, speak(theirs, script), link.run(shutdown.clone()));
        for reason in reasons {
            sound(input, &reason);
        }
        said
    });
    let lines = String::from_utf8_lossy(&lines.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned();
    assert!(is_marked(input) || !lines.contains(MARK), "a secret is logged: {lines}");
    answers(&told, input.len());
}

/// Does what the script says; returns what the link said behind its request.
async fn speak(stream: DuplexStream, script: &Script<'_>) -> Vec<u8> {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let mut said = Vec::new();
    let end = loop {
        if let Some(end) = memchr::memmem::find(&said, b"\r\n\r\n") {
            break end + 4;
        }
        more(&mut reading, &mut said).await;
    };
    let head = String::from_utf8_lossy(&said[..end]).into_owned();
    assert!(head.contains(MARK), "the token is not sent: {head}");
    said.drain(..end);
    let mut rest = script.rest.to_vec();
    match script.answer {
        Some(answer) => send(&mut writing, &accepted(answer.as_bytes(), &head)).await,
        None => rest = accepted(&rest, &head),
    }
    if script.greets {
        let id = loop {
            match read(&said).into_iter().next() {
                Some(Message::Command(Command { id, body: CommandBody::Hello { .. } })) => break id,
                Some(other) => panic!("HELLO is said first, not {other:?}"),
                None => more(&mut reading, &mut said).await,
            }
        };
        let reply = format!(
            r#"t:REPLY;;et:HELLO;;e:{{"type":"HELLO","commandId":"{id}","commandStatus":"SUCCEEDED","payload":{{}}}}"#
        );
        let mut frame = Vec::new();
        let whole = Frame::message(reply.into_bytes(), OpCode::Data(Data::Binary), true);
        whole.format(&mut frame).expect("a frame in memory");
        send(&mut writing, &frame).await;
    }
    for piece in rest.chunks(script.piece) {
        send(&mut writing, piece).await;
        // The link reads what there is before more comes.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
    }
    let _ = writing.shutdown().await;
    // Whatever it says to the end.
    let _ = reading.read_to_end(&mut said).await;
    said
}

async fn send(writing: &mut (impl tokio::io::AsyncWrite + Unpin), bytes: &[u8]) {
    // The link may have gone before.
    let _ = writing.write_all(bytes).await;
}

async fn more(reading: &mut ReadHalf<DuplexStream>, said: &mut Vec<u8>) {
    assert_ne!(reading.read_buf(said).await.expect("memory"), 0, "it leaves before it was answered");
}

/// `answer` with the right key in it.
fn accepted(answer: &[u8], head: &str) -> Vec<u8> {
    let Some(at) = memchr::memmem::find(answer, b"{accept}") else { return answer.to_vec() };
    let key = head.lines().find_map(|line| {
        let (name, key) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("sec-websocket-key").then_some(key)
    });
    let accept = derive_accept_key(key.expect("a key is sent").as_bytes());
    [&answer[..at], accept.as_bytes(), &answer[at + "{accept}".len()..]].concat()
}

/// What a link says is masked frames of whole messages, and no more of them than it was told things.
fn answers(said: &[u8], told: usize) {
    let messages = read(said);
    // HELLO, and at most one answer to each command: a frame of none is shorter than this.
    let most = 1 + told / "t:COMMAND;;e:{}".len();
    assert!(messages.len() <= most, "{} messages are the answer to {told} bytes", messages.len());
}

/// The messages in frames that a client wrote.
fn read(said: &[u8]) -> Vec<Message> {
    let mut socket = WebSocket::from_raw_socket(Written(said), Role::Server, None);
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(tungstenite::Message::Binary(bytes)) => {
                assert!(bytes.len() <= LIMITS.message, "a message of {} bytes is sent", bytes.len());
                messages.push(decode(&bytes).unwrap_or_else(|error| panic!("it says what nobody can read: {error}")));
            }
            Ok(tungstenite::Message::Text(text)) => panic!("text is sent: {text}"),
            Ok(_) => {}
            // What it wrote ends here, whole or cut.
            Err(tungstenite::Error::Io(_) | tungstenite::Error::ConnectionClosed) => return messages,
            Err(tungstenite::Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
                return messages;
            }
            Err(error) => panic!("it says what is no websocket: {error}"),
        }
    }
}

/// What was written, to be read; what is answered to it goes nowhere.
struct Written<'a>(&'a [u8]);

impl Read for Written<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut self.0, into)
    }
}

impl Write for Written<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lets the link in once.
struct Once {
    stream: Mutex<Option<DuplexStream>>,
    shutdown: CancellationToken,
}

#[async_trait]
impl Dial for Once {
    async fn connect(&self, _: &Endpoint) -> Result<BoxStream, Error> {
        if let Some(stream) = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Ok(Box::new(stream));
        }
        self.shutdown.cancel();
        Err(Error::unavailable("once is enough"))
    }

    async fn secure(&self, stream: BoxStream, _: &Endpoint) -> Result<BoxStream, Error> {
        Ok(stream)
    }
}

/// Answers every command that it cannot.
struct Refusing;

impl Receiver for Refusing {
    fn command(self: Arc<Self>, command: Command, session: Session) {
        tokio::spawn(async move {
            // The session may have ended.
            let _ = session.reply(command.fail("not today")).await;
        });
    }
}

/// The log, in memory.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn settings() -> LinkSettings {
    let second = Duration::from_secs(1);
    let connector = Connector {
        endpoints: vec!["http://plane.example".parse().expect("a URL")],
        headers: vec![("Authorization".into(), format!("bearer {MARK}").into())],
        auto_reconnect: false,
        limits: LIMITS,
        tls: Tls::default(),
        proxy: Proxy::Direct,
    };
    let retry = Retry {
        initial: second,
        max: second,
        reset_after: 60 * second,
        slow: second,
        ping: 5 * second,
        silence: 15 * second,
        handshake: 10 * second,
    };
    LinkSettings { connector, retry, integration_id: "int-1".into(), provider: "aws-api-gateway".into() }
}

//! Against a plane that is broken, or not the one it should be: limits, a sentence for each, and nothing of it in the log.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message as Ws};

use super::{
    pace::Lines,
    wire::{greeted, say},
    *,
};
use crate::{
    exchange::{self, CommandBody, Message, ReplyBody, Status},
    link::guard::{BYTES, COMMANDS},
    model::{Subscription, Texts},
    plane::Behaviour,
};

const DISCOVER: &str = "t:COMMAND;;et:DISCOVER;;e:{\"id\":\"d\",\"type\":\"DISCOVER\"}";

/// A link that has said HELLO to a peer of the test's.
async fn greet() -> (World, WebSocketStream<DuplexStream>, mpsc::UnboundedReceiver<DuplexStream>) {
    let (peer, mut streams) = scripted(1 << 20);
    let mut world = World::new(settings(&["http://peer"]), memory([("peer", peer)]));
    let socket = greeted(streams.recv().await.expect("dialled")).await;
    world.connected().await;
    (world, socket, streams)
}

/// The head of a frame that is not masked, as a server's is.
fn head(first: u8, len: u64) -> Vec<u8> {
    let mut head = vec![first];
    match len {
        0..126 => head.push(u8::try_from(len).unwrap()),
        126..65_536 => {
            head.push(126);
            head.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        _ => {
            head.push(127);
            head.extend(len.to_be_bytes());
        }
    }
    head
}

fn framed(first: u8, payload: &[u8]) -> Vec<u8> {
    [head(first, payload.len() as u64), payload.to_vec()].concat()
}

async fn reply(socket: &mut WebSocketStream<DuplexStream>) -> exchange::Reply {
    loop {
        let Some(Ok(message)) = socket.next().await else { panic!("the link has gone") };
        let Ws::Binary(bytes) = message else { continue };
        if let Ok(Message::Reply(reply)) = exchange::decode(&bytes) {
            return reply;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_breaks_the_websocket_protocol_ends_the_session_with_a_sentence_and_another_one_follows() {
    let limit = Limits::default().message as u64;
    for (what, bytes, word) in [
        ("a masked frame", [&[0x82, 0x83][..], b"maskabc"].concat(), "broke the websocket protocol"),
        ("a reserved bit", framed(0xc2, b"abc"), "broke the websocket protocol"),
        ("all reserved bits", framed(0xf2, b"abc"), "broke the websocket protocol"),
        ("a reserved data frame", framed(0x83, b"abc"), "broke the websocket protocol"),
        ("a reserved control frame", framed(0x8b, b"abc"), "broke the websocket protocol"),
        ("an end without a beginning", framed(0x80, b"abc"), "broke the websocket protocol"),
        (
            "a message inside another",
            [framed(0x02, b"t:"), framed(0x82, b"t:")].concat(),
            "broke the websocket protocol",
        ),
        ("a ping in pieces", framed(0x09, b"abc"), "broke the websocket protocol"),
        ("a long ping", framed(0x89, &[0; 126]), "broke the websocket protocol"),
        ("a close of one byte", framed(0x88, &[3]), "the plane"),
        ("a length beyond the limit", head(0x82, limit + 1), "maxWebSocketMessageSize"),
        ("a length beyond all limits", head(0x82, u64::MAX >> 1), "maxWebSocketMessageSize"),
        ("the longest length", head(0x82, u64::MAX), "the plane"),
        ("text", framed(0x81, b"t:COMMAND"), "text message"),
        ("text that is none", framed(0x81, &[0xff, 0xfe]), "the plane"),
        ("noise", (0..=255).rev().cycle().take(4096).collect(), "the plane"),
        ("HTTP", b"HTTP/1.1 500 Oops\r\n".repeat(100), "the plane"),
    ] {
        let (mut world, socket, mut streams) = greet().await;
        let session = world.connected().await;
        let began = Instant::now();
        let mut raw = socket.into_inner();
        raw.write_all(&bytes).await.expect("taken");
        tokio::time::timeout(5 * SECOND, session.gone()).await.unwrap_or_else(|_| panic!("{what}: it goes on"));
        let why = world.waiting().await;
        assert!(why.contains(word), "{what}: {why}");
        assert!(why.len() < 300 && !why.contains(char::is_control), "{what}: {why}");
        drop(raw);
        greeted(streams.recv().await.expect("dialled again")).await;
        assert!(began.elapsed() < 5 * SECOND, "{what}: {:?}", began.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn fragments_without_an_end_are_given_up_at_the_limit_of_a_message() {
    let (mut world, socket, _streams) = greet().await;
    let mut raw = socket.into_inner();
    let mut first = 0x02;
    let mut sent = 0;
    let piece = framed(0, &vec![b'x'; 65_000]);
    loop {
        let mut piece = piece.clone();
        piece[0] = std::mem::take(&mut first);
        if raw.write_all(&piece).await.is_err() {
            break;
        }
        sent += 65_000;
        assert!(sent < 2 * Limits::default().message, "it takes everything");
        tokio::task::yield_now().await;
    }
    assert!(world.waiting().await.contains("maxWebSocketMessageSize"));
}

#[tokio::test(start_paused = true)]
async fn half_a_frame_is_silence_and_half_a_message_between_pings_costs_nothing_else() {
    let (mut world, socket, _streams) = greet().await;
    let mut raw = socket.into_inner();
    raw.write_all(&head(0x82, 1000)).await.expect("taken");
    raw.write_all(b"t:COMMAND").await.expect("taken");
    let began = Instant::now();
    assert!(world.waiting().await.contains("silent for 15s"));
    assert!(began.elapsed() <= 15 * SECOND);

    let (mut world, socket, _streams) = greet().await;
    let session = world.connected().await;
    let mut raw = socket.into_inner();
    raw.write_all(&framed(0x02, &DISCOVER.as_bytes()[..9])).await.expect("taken");
    for _ in 0..20 {
        raw.write_all(&framed(0x89, b"")).await.expect("taken");
        tokio::time::sleep(5 * SECOND).await;
        let mut waste = [0; 4096];
        assert!(raw.read(&mut waste).await.expect("pongs") > 0);
    }
    assert!(!session.is_gone());
    raw.write_all(&framed(0x80, &DISCOVER.as_bytes()[9..])).await.expect("taken");
    assert!(matches!(world.inbox.recv().await.expect("a command").0.body, CommandBody::Discover));
}

#[tokio::test(start_paused = true)]
async fn a_command_byte_by_byte_is_a_command() {
    let (mut world, socket, _streams) = greet().await;
    let mut raw = socket.into_inner();
    for byte in framed(0x82, DISCOVER.as_bytes()) {
        raw.write_all(&[byte]).await.expect("taken");
        tokio::time::sleep(5 * SECOND).await;
    }
    assert!(matches!(world.inbox.recv().await.expect("a command").0.body, CommandBody::Discover));
}

fn subscribe(id: &str, api_id: &str, subscription: &str) -> Message {
    let subscription = Subscription {
        id: subscription.into(),
        application_id: None,
        application_name: None,
        kind: None,
        metadata: Texts::new(),
    };
    Message::Command(Command { id: id.into(), body: CommandBody::Subscribe { api_id: api_id.into(), subscription } })
}

#[tokio::test(start_paused = true)]
async fn of_thousands_of_commands_so_many_are_taken_and_the_others_are_told_at_once() {
    const ALL: usize = 5_000;
    let (lines, _guard) = Lines::hear();
    for same in [false, true] {
        let (mut world, mut socket, _streams) = greet().await;
        let began = Instant::now();
        let mut told = 0;
        for n in 0..ALL {
            let id = if same { "always the same".to_owned() } else { n.to_string() };
            say(&mut socket, &subscribe(&id, "a", "s")).await;
            if n >= COMMANDS {
                let reply = reply(&mut socket).await;
                assert_eq!(reply.status, Status::Error);
                assert!(reply.error.expect("a sentence").contains("too many commands"));
                told += 1;
            }
        }
        say(&mut socket, &wire::command("h", CommandBody::HealthCheck)).await;
        assert!(matches!(reply(&mut socket).await.body, ReplyBody::HealthCheck { healthy: true, .. }));
        assert!(began.elapsed() < SECOND, "{:?}", began.elapsed());
        let mut taken = Vec::new();
        while let Ok(command) = world.inbox.try_recv() {
            taken.push(command);
        }
        assert_eq!((taken.len(), told), (COMMANDS, ALL - COMMANDS));
        // Each that is answered makes room for another.
        let (command, session) = taken.pop().expect("one");
        session.reply(command.succeed(ReplyBody::Subscribe(None))).await.expect("sent");
        assert_eq!(reply(&mut socket).await.status, Status::Succeeded);
        // Waiting for its echo takes up nothing.
        let _echoing = session.after_answer();
        say(&mut socket, &subscribe("one more", "a", "s")).await;
        assert_eq!(world.inbox.recv().await.expect("a command").0.id, "one more");
    }
    assert_eq!(lines.count("WARN", "more commands than can be carried out"), 2, "{}", lines.text());
}

#[tokio::test(start_paused = true)]
async fn of_long_commands_so_many_bytes_are_taken_over_all_sessions() {
    let (mut world, mut socket, mut streams) = greet().await;
    let mut metadata = Texts::new();
    metadata.insert("k".into(), "v".repeat(1 << 20));
    let Message::Command(mut long) = subscribe("l", "a", "s") else { unreachable!() };
    if let CommandBody::Subscribe { subscription, .. } = &mut long.body {
        subscription.metadata = metadata;
    }
    let long = Message::Command(long);
    let mut taken = Vec::new();
    for _ in 0..40 {
        say(&mut socket, &long).await;
        tokio::select! {
            command = world.inbox.recv() => taken.push(command.expect("a command")),
            reply = reply(&mut socket) => assert!(reply.error.expect("a sentence").contains("too many commands")),
        }
    }
    assert_eq!(taken.len(), (BYTES >> 20) - 1);
    // A new session is no new load.
    drop(socket);
    let mut socket = greeted(streams.recv().await.expect("dialled again")).await;
    say(&mut socket, &long).await;
    assert_eq!(reply(&mut socket).await.status, Status::Error);
    drop(taken);
    say(&mut socket, &long).await;
    assert!(world.inbox.recv().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn odd_json_is_answered_or_passed_over_and_its_content_is_not_logged() {
    let (lines, guard) = Lines::hear();
    let (mut world, mut socket, _streams) = greet().await;
    let deep = 1 << 20;
    let subscribe = |payload: &str| {
        format!("t:COMMAND;;et:SUBSCRIBE;;e:{{\"id\":\"1\",\"type\":\"SUBSCRIBE\",\"payload\":{payload}}}").into_bytes()
    };
    let nested = format!("{}{}", "[".repeat(deep), "]".repeat(deep));
    for (what, bytes) in [
        ("a key in place of an object", subscribe("{\"subscription\":\"s3cret\",\"apiId\":\"a\"}")),
        ("a key in place of all", subscribe("\"s3cret\"")),
        ("a key in a list", subscribe("{\"subscription\":{\"metadata\":[\"s3cret\"]}}")),
        ("deep lists", subscribe(&nested)),
        ("deep lists where text is meant", subscribe(&format!("{{\"apiId\":{nested}}}"))),
        ("deep lists where nothing is meant", subscribe(&format!("{{\"s3cret\":{nested}}}"))),
        (
            "control characters",
            subscribe("{\"apiId\":\"\\u0000\\u001b[2J\\n\",\"subscription\":{\"graviteeSubscriptionId\":\"s\"}}"),
        ),
        (
            "a type with control characters",
            b"t:COMMAND;;et:X;;e:{\"id\":\"1\",\"type\":\"\\u001b[2J\\r\\nINFO all is well\"}".to_vec(),
        ),
        (
            "an endless type",
            format!("t:COMMAND;;et:X;;e:{{\"id\":\"1\",\"type\":\"{}\"}}", "Ü".repeat(100_000)).into_bytes(),
        ),
    ] {
        socket.send(Ws::Binary(bytes.into())).await.expect("sent");
        let reply = reply(&mut socket).await;
        assert_eq!((reply.command_id.as_str(), &reply.status), ("1", &Status::Error), "{what}");
    }
    // Bytes that are no text stand for themselves: the command is the agent's.
    let garbled =
        [b"t:COMMAND;;et:START_INGEST;;e:{\"id\":\"2\",\"payload\":{\"ingestJobId\":\"\xff\xfe\"}}".as_slice()]
            .concat();
    socket.send(Ws::Binary(garbled.into())).await.expect("sent");
    let (command, _) = world.inbox.recv().await.expect("a command");
    assert!(matches!(command.body, CommandBody::StartIngest { job_id, .. } if job_id == "\u{fffd}\u{fffd}"));
    // No command at all: nobody can be answered.
    for bytes in [b"t:COMMAND;;e:{\"id\":\"s3cret".to_vec(), [b"t:COMMAND;;e:", "[".repeat(deep).as_bytes()].concat()] {
        socket.send(Ws::Binary(bytes.into())).await.expect("sent");
    }
    say(&mut socket, &wire::command("h", CommandBody::HealthCheck)).await;
    assert!(matches!(reply(&mut socket).await.body, ReplyBody::HealthCheck { healthy: true, .. }));
    assert!(world.inbox.try_recv().is_err());
    world.shut_down().await;
    drop(guard);
    let text = lines.text();
    assert_eq!(lines.count("WARN", "cannot be read, ignored"), 2, "{text}");
    assert!(!text.contains("s3cret"), "{text}");
    is_tidy(&text);
}

#[tokio::test(start_paused = true)]
async fn an_id_that_no_plane_gives_is_refused_and_not_logged_whole() {
    let (lines, guard) = Lines::hear();
    let (mut world, mut socket, _streams) = greet().await;
    let long = "x".repeat(10_000);
    let job = |job_id: &str, api: &str| {
        wire::command("1", CommandBody::StartIngest { job_id: job_id.into(), api_ids: vec!["a".into(), api.into()] })
    };
    for message in [
        subscribe(&long, "a", "s"),
        subscribe("1", &long, "s"),
        subscribe("1", "a", &long),
        subscribe("1\r\n INFO all is well", "a", "s"),
        subscribe("1", "a\u{1b}[2J", "s"),
        subscribe("1", "a", "s\u{0}"),
        job(&long, "b"),
        job("j", &long),
        job("j", "\n"),
    ] {
        say(&mut socket, &message).await;
        let Message::Command(command) = &message else { unreachable!() };
        let reply = reply(&mut socket).await;
        assert_eq!((&reply.command_id, reply.status), (&command.id, Status::Error));
        assert!(reply.error.expect("a sentence").contains("nothing was done"));
    }
    assert!(world.inbox.try_recv().is_err());
    // What is long and may be is let through.
    say(&mut socket, &job("j", &"x".repeat(1_024))).await;
    assert!(world.inbox.recv().await.is_some());
    world.shut_down().await;
    drop(guard);
    assert_eq!(lines.count("WARN", "is not carried out"), 9, "{}", lines.text());
    is_tidy(&lines.text());
}

#[tokio::test(start_paused = true)]
async fn what_the_plane_says_is_shown_without_control_characters_and_cut() {
    let evil = format!("no\r\n INFO all is well \u{1b}[2J{}", "ü".repeat(10_000));
    let (lines, guard) = Lines::hear();
    let plane = plane();
    plane.behave_once(Behaviour::RefuseHello(evil.clone()));
    let mut world = World::of(&plane);
    let why = world.waiting().await;
    assert!(why.contains("no\\r\\n INFO all is well \\u{1b}[2Jü") && why.contains("letters more)"), "{why}");
    assert!(why.len() < 1_200 && !why.contains(char::is_control), "{why}");
    world.shut_down().await;

    let (mut world, socket, _streams) = greet().await;
    let mut raw = socket.into_inner();
    raw.write_all(&framed(0x88, b"\x03\xf3bye\r\n INFO \x1b[2J")).await.expect("taken");
    let why = world.waiting().await;
    assert!(why.contains("(1011: bye\\r\\n INFO \\u{1b}[2J)"), "{why}");
    drop(guard);
    is_tidy(&lines.text());
}

#[tokio::test(start_paused = true)]
async fn answers_that_nobody_reads_stop_the_reading_and_then_the_session() {
    let (peer, mut streams) = scripted(4096);
    let mut world = World::new(settings(&["http://peer"]), memory([("peer", peer)]));
    let mut socket = greeted(streams.recv().await.expect("dialled")).await;
    world.connected().await;
    // Each is answered with its own id, and no answer is read.
    let message = exchange::encode(&subscribe(&"x".repeat(200_000), "a", "s"), &Limits::default()).expect("short");
    let mut taken = 0;
    let asking = async {
        loop {
            if socket.send(Ws::Binary(message.clone().into())).await.is_err() {
                std::future::pending::<()>().await;
            }
            taken += 1;
        }
    };
    let why = tokio::select! {
        biased;
        why = world.waiting() => why,
        () = asking => unreachable!("it ends with the link"),
    };
    assert!(why.contains("has taken no byte for 15s"), "{why}");
    assert!((5..10).contains(&taken), "{taken} answers of 200,000 bytes wait");
}

/// No line is long, none was made by the plane, and no control character is in them.
fn is_tidy(log: &str) {
    for line in log.lines() {
        assert!(line.len() < 1_500, "a line of {} bytes: {}", line.len(), &line[..200]);
        assert!(!line.contains(char::is_control), "{line:?}");
        assert!(!line.trim_start().starts_with("INFO all is well"), "{line}");
    }
    assert!(!log.is_empty());
}

//! Against peers that a plane is never: they do not read, write at the wrong time, or write what no plane writes.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::{
    WebSocketStream, accept_async,
    tungstenite::{
        Message as Ws,
        protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        },
    },
};

use super::*;
use crate::exchange::{self, CommandBody, Discovered, Message, ReplyBody, Status};

/// Takes the upgrade and HELLO.
pub(super) async fn greeted(stream: DuplexStream) -> WebSocketStream<DuplexStream> {
    let mut socket = accept_async(stream).await.expect("an upgrade");
    let Some(Ok(Ws::Binary(bytes))) = socket.next().await else { panic!("no HELLO") };
    let Ok(Message::Command(hello)) = exchange::decode(&bytes) else { panic!("no HELLO") };
    let reply = hello.succeed(ReplyBody::Hello(Some(ID.into())));
    say(&mut socket, &Message::Reply(reply)).await;
    socket
}

pub(super) async fn say(socket: &mut WebSocketStream<DuplexStream>, message: &Message) {
    let bytes = exchange::encode(message, &Limits::default()).expect("short");
    socket.send(Ws::Binary(bytes.into())).await.expect("sent");
}

pub(super) fn command(id: &str, body: CommandBody) -> Message {
    Message::Command(Command { id: id.into(), body })
}

pub(super) fn long_ingest(id: &str, len: usize) -> Command {
    let body = CommandBody::Ingest { job_id: "j".repeat(len), apis: Vec::new(), done: true };
    Command { id: id.into(), body }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_writes_and_does_not_read_is_dead_in_fifteen_seconds() {
    let (peer, mut streams) = scripted(1024);
    let mut world = World::new(settings(&["http://peer"]), memory([("peer", peer)]));
    let mut socket = greeted(streams.recv().await.expect("dialled")).await;
    let session = world.connected().await;
    let asked = tokio::spawn(async move { session.ask(long_ingest("1", 100_000), 10 * MINUTE).await });
    let began = Instant::now();
    // Raw pings: nothing of what comes is read.
    let chatter = async {
        while socket.get_mut().write_all(&[0x89, 0]).await.is_ok() {
            tokio::time::sleep(SECOND).await;
        }
    };
    let why = tokio::select! {
        why = world.waiting() => why,
        () = chatter => world.waiting().await,
    };
    assert!(why.contains("has taken no byte for 15s"), "{why}");
    assert!(began.elapsed() <= 22 * SECOND, "{:?}", began.elapsed());
    assert!(asked.await.expect("no panic").is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_written_is_no_sign_of_the_peers_life() {
    let (peer, mut streams) = scripted(1024);
    let mut world = World::new(settings(&["http://peer"]), memory([("peer", peer)]));
    let socket = greeted(streams.recv().await.expect("dialled")).await;
    world.connected().await;
    let began = Instant::now();
    // It takes everything, our pings and messages, and says nothing.
    let mut raw = socket.into_inner();
    let taking = tokio::spawn(async move {
        let mut waste = [0; 1024];
        while raw.read(&mut waste).await.is_ok_and(|len| len > 0) {}
    });
    let why = world.waiting().await;
    assert!(why.contains("silent for 15s"), "{why}");
    assert!(began.elapsed() <= 16 * SECOND, "{:?}", began.elapsed());
    taking.abort();
}

#[tokio::test(start_paused = true)]
async fn two_long_messages_pass_each_other_on_a_narrow_stream() {
    let (peer, mut streams) = scripted(256);
    let mut world = World::new(settings(&["http://peer"]), memory([("peer", peer)]));
    let mut socket = greeted(streams.recv().await.expect("dialled")).await;
    let session = world.connected().await;
    let asked = tokio::spawn(async move { session.ask(long_ingest("1", 300_000), MINUTE).await });
    // The peer writes all of its own before it reads anything.
    let ids = vec!["x".repeat(1000); 300];
    say(&mut socket, &command("2", CommandBody::StartIngest { job_id: "j".into(), api_ids: ids })).await;
    let (command, _) = world.inbox.recv().await.expect("a command");
    assert!(matches!(command.body, CommandBody::StartIngest { api_ids, .. } if api_ids.len() == 300));
    loop {
        let Some(Ok(message)) = socket.next().await else { panic!("the link has gone") };
        let Ws::Binary(bytes) = message else { continue };
        let Ok(Message::Command(ingest)) = exchange::decode(&bytes) else { panic!("not the command") };
        say(&mut socket, &Message::Reply(ingest.succeed(ReplyBody::Ingest))).await;
        break;
    }
    assert_eq!(asked.await.expect("no panic").expect("a reply").status, Status::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn frames_keep_the_limit_and_a_health_check_waits_for_one_message_only() {
    let (peer, mut streams) = scripted(2048);
    let mut settings = settings(&["http://peer"]);
    settings.connector.limits.frame = 1000;
    let mut world = World::new(settings, memory([("peer", peer)]));
    let mut socket = greeted(streams.recv().await.expect("dialled")).await;
    let session = world.connected().await;
    for n in 0..3 {
        let session = session.clone();
        tokio::spawn(async move { session.ask(long_ingest(&n.to_string(), 20_000), MINUTE).await });
    }
    tokio::task::yield_now().await;
    say(&mut socket, &command("health", CommandBody::HealthCheck)).await;
    // Read frame by frame: the limit is on the frame.
    let mut raw = socket.into_inner();
    let mut kinds = Vec::new();
    let mut frames = 0;
    while !kinds.contains(&"health") || kinds.len() < 4 {
        let frame = frame(&mut raw).await;
        assert!(frame.payload.len() <= 1000, "a frame of {} bytes", frame.payload.len());
        frames += 1;
        match frame.kind {
            2 if frame.payload.starts_with(b"t:REPLY") => kinds.push("health"),
            2 => kinds.push("ingest"),
            _ => {}
        }
    }
    assert!(frames > 40, "{frames}");
    assert_ne!(kinds.last(), Some(&"health"), "{kinds:?}");
}

/// A frame as it is on the stream.
pub(super) struct Raw {
    pub(super) last: bool,
    pub(super) kind: u8,
    pub(super) payload: Vec<u8>,
}

pub(super) async fn frame(raw: &mut DuplexStream) -> Raw {
    let mut head = [0; 2];
    raw.read_exact(&mut head).await.expect("a frame");
    let len = match head[1] & 0x7f {
        126 => u64::from(raw.read_u16().await.expect("a length")),
        127 => raw.read_u64().await.expect("a length"),
        len => len.into(),
    };
    let mask = raw.read_u32().await.expect("a mask").to_be_bytes();
    let mut payload = vec![0; usize::try_from(len).expect("not so long")];
    raw.read_exact(&mut payload).await.expect("a payload");
    for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
    Raw { last: head[0] & 0x80 != 0, kind: head[0] & 0x0f, payload }
}

#[tokio::test(start_paused = true)]
async fn a_message_as_long_as_a_frame_is_one_frame_and_a_longer_one_is_two() {
    let (peer, mut streams) = scripted(1 << 20);
    let mut world = World::new(settings(&["http://peer"]), memory([("peer", peer)]));
    let socket = greeted(streams.recv().await.expect("dialled")).await;
    let session = world.connected().await;
    let mut raw = socket.into_inner();
    let limit = Limits::default().frame;
    let bare = exchange::encode(&Message::Command(long_ingest("1", 0)), &Limits::default()).expect("short").len();
    for (over, lens) in [(0, vec![limit]), (1, vec![limit, 1]), (limit, vec![limit, limit])] {
        let command = long_ingest("1", limit - bare + over);
        let session = session.clone();
        let asked = tokio::spawn(async move { session.ask(command, MINUTE).await });
        let mut seen = Vec::new();
        loop {
            let frame = frame(&mut raw).await;
            // Pings go in between.
            if frame.kind < 3 {
                assert_eq!(frame.kind, if seen.is_empty() { 2 } else { 0 }, "binary, then continued");
                seen.push(frame.payload.len());
                if frame.last {
                    break;
                }
            }
        }
        assert_eq!(seen, lens);
        asked.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_given_up_before_it_was_begun_is_not_sent() {
    let (peer, mut streams) = scripted(1024);
    let mut world = World::new(settings(&["http://peer"]), memory([("peer", peer)]));
    let socket = greeted(streams.recv().await.expect("dialled")).await;
    let session = world.connected().await;
    let asks: Vec<_> = ["1", "2", "3"]
        .into_iter()
        .map(|id| {
            let session = session.clone();
            tokio::spawn(async move { session.ask(long_ingest(id, 20_000), MINUTE).await })
        })
        .collect();
    // The first is under way; of those that wait, one at the wire and one in the queue, nobody waits any more.
    tokio::time::sleep(SECOND).await;
    asks[1].abort();
    asks[2].abort();
    tokio::time::sleep(SECOND).await;
    let mut raw = socket.into_inner();
    let mut begun = 0;
    let reading = async {
        loop {
            begun += usize::from(frame(&mut raw).await.kind == 2);
        }
    };
    // What came is taken; the peer stays alive by what it writes afterwards.
    assert!(tokio::time::timeout(5 * SECOND, reading).await.is_err());
    assert_eq!(begun, 1);
    let quiet = async {
        for _ in 0..30 {
            raw.write_all(&[0x8a, 0]).await.expect("the link lives");
            tokio::time::sleep(SECOND).await;
            let mut waste = [0; 4096];
            let _ = tokio::time::timeout(Duration::from_millis(1), raw.read(&mut waste)).await;
        }
    };
    quiet.await;
    assert!(!session.is_gone(), "nothing waits to be written: it is not stalled");
}

#[tokio::test(start_paused = true)]
async fn text_is_closed_with_1003() {
    let (peer, mut streams) = scripted(4096);
    let mut world = World::new(settings(&["http://peer"]), memory([("peer", peer)]));
    let mut socket = greeted(streams.recv().await.expect("dialled")).await;
    socket.send(Ws::Text("hello".into())).await.expect("sent");
    let Some(Ok(Ws::Close(Some(frame)))) = socket.next().await else { panic!("no close") };
    assert_eq!(u16::from(frame.code), 1003);
    drop(socket);
    assert!(world.waiting().await.contains("text message"));
}

#[tokio::test(start_paused = true)]
async fn a_message_in_pieces_is_one_message_and_a_slow_one_is_a_sign_of_life() {
    let (peer, mut streams) = scripted(64 * 1024);
    let mut world = World::new(settings(&["http://peer"]), memory([("peer", peer)]));
    let mut socket = greeted(streams.recv().await.expect("dialled")).await;
    let Ok(bytes) = exchange::encode(&command("1", CommandBody::Discover), &Limits::default()) else { panic!() };
    let pieces: Vec<_> = bytes.chunks(7).map(<[u8]>::to_vec).collect();
    for (n, piece) in pieces.iter().enumerate() {
        let kind = if n == 0 { Data::Binary } else { Data::Continue };
        let frame = Frame::message(piece.clone(), OpCode::Data(kind), n + 1 == pieces.len());
        socket.send(Ws::Frame(frame)).await.expect("sent");
        tokio::time::sleep(10 * SECOND).await;
    }
    let (command, session) = world.inbox.recv().await.expect("a command");
    let body = ReplyBody::Discover(Some(Discovered { apis: Vec::new(), partial: false }));
    session.reply(command.succeed(body)).await.expect("sent");
}

#[tokio::test(start_paused = true)]
async fn what_does_not_speak_http_is_said_to() {
    let (peer, mut streams) = scripted(4096);
    let mut world = World::new(settings(&["http://peer"]), memory([("peer", peer)]));
    let mut stream = streams.recv().await.expect("dialled");
    stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n\r\n").await.expect("written");
    let why = world.waiting().await;
    assert!(why.contains("does not speak HTTP"), "{why}");
}

fn grant_reply(id: &str, len: usize) -> exchange::Reply {
    let Message::Command(asked) = command(id, CommandBody::Discover) else { panic!("a command") };
    asked.fail("x".repeat(len))
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_was_begun_may_arrive_after_the_session_is_gone_and_one_that_was_not_never_does() {
    let (peer, mut streams) = scripted(1024);
    let mut world = World::new(settings(&["http://peer"]), memory([("peer", peer)]));
    let mut socket = greeted(streams.recv().await.expect("dialled")).await;
    let session = world.connected().await;
    let sent: Vec<_> = ["1", "2", "3"]
        .into_iter()
        .map(|id| {
            let session = session.clone();
            tokio::spawn(async move { session.reply(grant_reply(id, 2_000)).await })
        })
        .collect();
    tokio::time::sleep(SECOND).await;
    // A peer that has not read yet, and says that it goes.
    let good_bye = CommandBody::GoodBye { target_id: Some(ID.into()), reconnect: true };
    say(&mut socket, &command("bye", good_bye)).await;
    session.gone().await;
    let mut errors = Vec::new();
    for sent in sent {
        errors.push(sent.await.expect("no panic").expect_err("not written"));
    }
    assert!(matches!(errors[..], [AskError::Torn, AskError::Gone(_), AskError::Gone(_)]), "{errors:?}");
    let mut replies = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        if let Ws::Binary(bytes) = message
            && let Ok(Message::Reply(reply)) = exchange::decode(&bytes)
        {
            replies.push(reply.command_id);
        }
    }
    assert_eq!(replies, ["1"], "it lay in a buffer, and left with the farewell");
}

#[tokio::test(start_paused = true)]
async fn a_reply_whose_time_is_over_before_it_was_begun_is_not_sent_and_one_that_was_begun_may_be() {
    let (peer, mut streams) = scripted(1024);
    let mut world = World::new(settings(&["http://peer"]), memory([("peer", peer)]));
    let mut socket = greeted(streams.recv().await.expect("dialled")).await;
    let session = world.connected().await;
    let by = Instant::now() + 2 * SECOND;
    let (first, second) =
        tokio::join!(session.reply_by(grant_reply("1", 2_000), by), session.reply_by(grant_reply("2", 10), by));
    assert!(matches!((&first, &second), (Err(AskError::Torn), Err(AskError::Gone(_)))), "{first:?} {second:?}");
    assert_eq!(Instant::now(), by);
    session.reply_by(grant_reply("3", 10), by).await.expect_err("too late from the beginning");
    let mut replies = Vec::new();
    let reading = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Ws::Binary(bytes) = message
                && let Ok(Message::Reply(reply)) = exchange::decode(&bytes)
            {
                replies.push(reply.command_id);
            }
        }
    };
    assert!(tokio::time::timeout(SECOND, reading).await.is_err());
    assert_eq!(replies, ["1"]);
}

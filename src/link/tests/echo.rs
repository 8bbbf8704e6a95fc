//! The echo: what came before it has arrived.

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _, future::join_all};
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message as Ws;

use super::{
    wire::{command, frame, greeted, long_ingest, say},
    *,
};
use crate::{
    exchange::{self, CommandBody, Message, ReplyBody},
    link::{Gone, SessionEnd, pair},
};

fn reply() -> crate::exchange::Reply {
    Command { id: "1".into(), body: CommandBody::Discover }.succeed(ReplyBody::Discover(None))
}

/// Takes the next message and says that it was written.
async fn write(end: &mut SessionEnd) {
    let outgoing = end.next().await.expect("a message");
    outgoing.written.send(()).expect("somebody waits");
}

#[tokio::test(start_paused = true)]
async fn an_echo_is_wanted_and_comes_after_the_reply() {
    let (session, mut end) = pair(Limits::default());
    let (sent, ()) = tokio::join!(session.reply(reply()), write(&mut end));
    sent.expect("written");
    let echo = session.echo();
    let plane = async {
        let payload = end.next_ping().await;
        assert!(!payload.is_empty(), "a beat's has no payload");
        assert_eq!(end.awaited(), Some(payload.clone()));
        assert!(end.echoed(&payload));
        assert_eq!(end.awaited(), None);
        assert!(!end.echoed(&payload), "it is told once");
    };
    assert_eq!(tokio::join!(echo, plane).0, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_echo_that_never_comes_ends_with_the_session() {
    let (session, end) = pair(Limits::default());
    let echoing = tokio::spawn({
        let session = session.clone();
        async move { session.echo().await }
    });
    end.next_ping().await;
    tokio::time::sleep(MINUTE).await;
    assert!(!echoing.is_finished());
    drop(end);
    assert_eq!(echoing.await.expect("no panic"), Err(Gone));
    assert_eq!(session.echo().await, Err(Gone));
}

#[tokio::test(start_paused = true)]
async fn another_pings_pong_does_not_count_and_a_later_echos_does() {
    let (session, end) = pair(Limits::default());
    let (mut first, mut second) = (Box::pin(session.echo()), Box::pin(session.echo()));
    assert!((&mut first).now_or_never().is_none());
    let one = end.next_ping().await;
    assert!((&mut second).now_or_never().is_none());
    let two = end.next_ping().await;
    let unknown = u64::MAX.to_be_bytes();
    for payload in [&b""[..], b"beat", &[0; 8], &[0; 9], &unknown] {
        assert!(!end.echoed(payload), "{payload:?}");
    }
    assert!((&mut first).now_or_never().is_none());
    assert!(end.echoed(&one));
    assert_eq!((&mut first).now_or_never(), Some(Ok(())));
    assert!((&mut second).now_or_never().is_none(), "the earlier one's pong says nothing of the later");

    let mut third = Box::pin(session.echo());
    assert!((&mut third).now_or_never().is_none());
    let three = end.next_ping().await;
    assert_ne!(two, three);
    assert!(end.echoed(&three));
    assert_eq!((second.now_or_never(), third.now_or_never()), (Some(Ok(())), Some(Ok(()))));
}

#[tokio::test(start_paused = true)]
async fn an_echo_that_is_dropped_is_forgotten_and_wants_no_ping() {
    let (session, end) = pair(Limits::default());
    for _ in 0..1_000 {
        assert!(session.echo().now_or_never().is_none());
    }
    assert_eq!(end.awaited(), None);
    assert!(end.next_ping().now_or_never().is_none());
    // Many at once share a ping.
    let echoes = join_all((0..1_000).map(|_| session.echo()));
    let plane = async {
        let payload = end.next_ping().await;
        assert!(end.echoed(&payload));
        assert!(end.next_ping().now_or_never().is_none());
    };
    assert!(tokio::join!(echoes, plane).0.iter().all(Result::is_ok));
}

#[tokio::test(start_paused = true)]
async fn an_echo_in_the_sessions_last_moment_came_back() {
    let (session, end) = pair(Limits::default());
    let mut echo = Box::pin(session.echo());
    assert!((&mut echo).now_or_never().is_none());
    let payload = end.next_ping().await;
    assert!(end.echoed(&payload));
    drop(end);
    assert_eq!(echo.await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn the_plane_echoes_what_it_has_read() {
    let plane = plane();
    let mut world = World::of(&plane);
    let session = world.connected().await;
    for _ in 0..100 {
        session.echo().await.expect("the session lives");
    }
    assert!(join_all((0..100).map(|_| session.echo())).await.iter().all(Result::is_ok));
    assert!(world.memory.began.elapsed() < SECOND, "at once, not with the next beat");
    // Until it does not read any more.
    plane.connected(ID).await;
    plane.mute(ID).await;
    assert_eq!(session.echo().await, Err(Gone));
}

#[tokio::test(start_paused = true)]
async fn on_the_socket_the_echo_comes_after_the_reply_and_beats_do_not_settle_it() {
    let (peer, mut streams) = scripted(1 << 20);
    let mut world = World::new(settings(&["http://peer"]), memory([("peer", peer)]));
    let mut socket = greeted(streams.recv().await.expect("dialled")).await;
    say(&mut socket, &command("1", CommandBody::Discover)).await;
    let (asked, session) = world.inbox.recv().await.expect("a command");
    session.reply(asked.succeed(ReplyBody::Discover(None))).await.expect("sent");
    let echoing = tokio::spawn({
        let session = session.clone();
        async move { session.echo().await }
    });
    let mut raw = socket.into_inner();
    let mut seen = Vec::new();
    while seen.last() != Some(&9) {
        let frame = frame(&mut raw).await;
        // A peer's beat, and a pong that belongs to no ping.
        raw.write_all(&[0x89, 0, 0x8a, 0]).await.expect("the link lives");
        raw.write_all(b"\x8a\x04beat").await.expect("the link lives");
        seen.push(frame.kind);
        if frame.kind == 9 {
            assert_eq!(frame.payload.len(), 8);
        }
    }
    assert_eq!(seen, [2, 9]);
    // Beats go on, and carry the payload again: a peer may answer the last of several pings only.
    let payload = loop {
        let frame = frame(&mut raw).await;
        raw.write_all(&[0x8a, 0]).await.expect("the link lives");
        if frame.kind == 9 {
            break frame.payload;
        }
    };
    assert!(!echoing.is_finished());
    raw.write_all(&[0x8a, 8]).await.expect("the link lives");
    raw.write_all(&payload).await.expect("the link lives");
    echoing.await.expect("no panic").expect("echoed");
    // And then they are empty as before.
    loop {
        let frame = frame(&mut raw).await;
        raw.write_all(&[0x8a, 0]).await.expect("the link lives");
        if frame.kind == 9 {
            assert_eq!(frame.payload, b"");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_echo_waits_for_no_long_message_of_others() {
    let (peer, mut streams) = scripted(64);
    let mut settings = settings(&["http://peer"]);
    settings.connector.limits.frame = 1000;
    let mut world = World::new(settings, memory([("peer", peer)]));
    let mut socket = greeted(streams.recv().await.expect("dialled")).await;
    let session = world.connected().await;
    let long = tokio::spawn({
        let session = session.clone();
        async move { session.ask(long_ingest("1", 200_000), MINUTE).await }
    });
    // It is under way, and stuck.
    tokio::time::sleep(SECOND).await;
    let echo = session.echo();
    let reading = async {
        loop {
            match socket.next().await {
                Some(Ok(Ws::Binary(bytes))) => {
                    let Ok(Message::Command(ingest)) = exchange::decode(&bytes) else { panic!("not the command") };
                    say(&mut socket, &Message::Reply(ingest.succeed(ReplyBody::Ingest))).await;
                }
                Some(Ok(_)) => socket.flush().await.expect("flushed"),
                _ => panic!("the link has gone"),
            }
        }
    };
    tokio::select! {
        echoed = echo => assert_eq!(echoed, Ok(())),
        () = reading => {}
    }
    assert!(!long.is_finished());
    long.abort();
}

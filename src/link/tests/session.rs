//! What a session does while it lives.

use super::*;
use crate::{
    exchange::{self, CommandBody, Discovered, Message, ReplyBody, Status},
    model::{Api, Texts},
};

fn api(n: usize, description: &str) -> Api {
    Api {
        unique_id: format!("u{n}"),
        id: format!("a{n}"),
        name: format!("API {n}"),
        version: Some("1".into()),
        description: Some(description.into()),
        connection: Texts::new(),
        plans: Vec::new(),
        documents: Vec::new(),
        metadata: Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_comes_in_and_its_reply_goes_out() {
    let plane = plane();
    let mut world = World::of(&plane);
    plane.connected(ID).await;
    let asked = tokio::spawn({
        let plane = plane.clone();
        async move { plane.discover(ID).await }
    });
    let (command, session) = world.inbox.recv().await.expect("a command");
    assert!(matches!(command.body, CommandBody::Discover));
    assert!(session.is(&world.connected().await));
    let apis: Vec<_> = (0..3).map(|n| api(n, "a;;b")).collect();
    let body = ReplyBody::Discover(Some(Discovered { apis, partial: false }));
    session.reply(command.succeed(body)).await.expect("sent");
    let found = asked.await.expect("no panic").expect("found");
    assert_eq!(found.apis.len(), 3);

    let (path, headers) = plane.last_request().expect("a request");
    assert_eq!(path, "/exchange/controller");
    assert_eq!(headers["x-gravitee-exchange-protocol"], "v1");
    assert_eq!(headers["authorization"], "bearer plane-token");
    assert_eq!(headers["host"], "plane");
    world.shut_down().await;
    assert_eq!(plane.endings()[0].code, Some(1000));
}

#[tokio::test(start_paused = true)]
async fn a_long_message_goes_out_in_frames_that_the_plane_takes() {
    let plane = plane();
    let mut world = World::of(&plane);
    plane.connected(ID).await;
    let asked = tokio::spawn({
        let plane = plane.clone();
        async move { plane.discover(ID).await }
    });
    let (command, session) = world.inbox.recv().await.expect("a command");
    let apis: Vec<_> = (0..40).map(|n| api(n, &"long ".repeat(20_000))).collect();
    let body = ReplyBody::Discover(Some(Discovered { apis, partial: false }));
    session.reply(command.succeed(body)).await.expect("sent");
    assert_eq!(asked.await.expect("no panic").expect("found").apis.len(), 40);
    assert_eq!(plane.seen().upgrades, 1);
}

#[tokio::test(start_paused = true)]
async fn the_plane_is_asked_and_answers() {
    let plane = plane();
    let mut world = World::of(&plane);
    let session = world.connected().await;
    let command =
        Command { id: "i-1".into(), body: CommandBody::Ingest { job_id: "j".into(), apis: Vec::new(), done: true } };
    let reply = session.ask(command, MINUTE).await.expect("a reply");
    assert_eq!(reply.status, Status::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_session_lives_on_pings_and_health_checks_while_commands_take_their_time() {
    let plane = plane();
    let (tell, detail) = watch::channel(Some("eu-west-1 is slow".to_owned()));
    let mut world =
        World::with(settings(&["http://plane"]), memory([("plane", at(&plane))]), |link| link.with_detail(detail));
    plane.connected(ID).await;
    let asked = tokio::spawn({
        let plane = plane.clone();
        async move { plane.send(ID, CommandBody::Discover).await }
    });
    // It is not answered at all.
    let _unanswered = world.inbox.recv().await.expect("a command");
    plane.until(|plane| plane.seen().health_checks >= 20).await;
    assert!(asked.await.expect("no panic").is_err(), "the plane gave up");
    let reply = plane.send(ID, CommandBody::HealthCheck).await.expect("a reply");
    assert!(
        matches!(&reply.body, ReplyBody::HealthCheck { healthy: true, detail } if detail.as_deref() == Some("eu-west-1 is slow"))
    );
    tell.send_replace(None);
    let reply = plane.send(ID, CommandBody::HealthCheck).await.expect("a reply");
    assert!(matches!(reply.body, ReplyBody::HealthCheck { healthy: true, detail: None }));
    assert_eq!(plane.seen().upgrades, 1);
    assert!(plane.seen().pings >= 60, "{:?}", plane.seen());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_handles_is_answered_by_the_link() {
    let plane = plane();
    let mut world = World::of(&plane);
    plane.connected(ID).await;
    let unknown = CommandBody::Unknown { kind: "FOO".into(), fault: None };
    let reply = plane.send(ID, unknown).await.expect("a reply");
    assert_eq!(reply.status, Status::Error);
    assert!(matches!(reply.body, ReplyBody::Unknown { .. }));
    let hello = CommandBody::Hello { target_id: ID.into(), provider: PROVIDER.into() };
    let reply = plane.send(ID, hello).await.expect("a reply");
    assert_eq!(reply.status, Status::Error);
    assert!(matches!(reply.body, ReplyBody::NoReply));
    let primary = Command { id: "p".into(), body: CommandBody::Primary { primary: false } };
    let bytes = exchange::encode(&Message::Command(primary), &Limits::default()).expect("short");
    plane.send_raw(ID, bytes).await.expect("sent");
    // The first came with the session.
    plane.until(|plane| plane.seen().primaries == 2).await;
    assert!(world.inbox.try_recv().is_err(), "none of them reached the agent");
}

#[tokio::test(start_paused = true)]
async fn unreadable_json_and_replies_to_nothing_are_passed_over() {
    let plane = plane();
    let mut world = World::of(&plane);
    plane.connected(ID).await;
    for text in [
        "t:COMMAND;;et:DISCOVER;;e:{\"id\":\"5\"",
        "t:REPLY;;et:DISCOVER;;e:{\"commandId\":\"nope\",\"type\":\"DISCOVER\",\"commandStatus\":\"SUCCEEDED\"}",
    ] {
        plane.send_raw(ID, text.into()).await.expect("sent");
    }
    let reply = plane.send(ID, CommandBody::HealthCheck).await.expect("a reply");
    assert_eq!(reply.status, Status::Succeeded);
    assert_eq!(plane.seen().upgrades, 1);
    assert!(!world.connected().await.is_gone());
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_at_all_is_closed_with_1002() {
    let plane = plane();
    let mut world = World::of(&plane);
    plane.connected(ID).await;
    plane.send_raw(ID, b"nonsense".to_vec()).await.expect("sent");
    assert!(world.waiting().await.contains("8 bytes"));
    plane.until(|plane| plane.endings().iter().any(|ending| ending.code == Some(1002))).await;
}

#[tokio::test(start_paused = true)]
async fn a_detail_that_fits_in_no_message_costs_no_health_check() {
    let plane = plane();
    let (_tell, detail) = watch::channel(Some("it is slow; ".repeat(1_000)));
    let mut settings = settings(&["http://plane"]);
    settings.connector.limits.message = 4_096;
    let _world = World::with(settings, memory([("plane", at(&plane))]), |link| link.with_detail(detail));
    plane.connected(ID).await;
    let reply = plane.send(ID, CommandBody::HealthCheck).await.expect("a reply");
    assert!(matches!(reply.body, ReplyBody::HealthCheck { healthy: true, detail: None }));
}

/// A receiver with a fault of ours.
struct Loose;

impl Receiver for Loose {
    fn command(self: Arc<Self>, _: Command, _: Session) {
        panic!("a bolt came loose")
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_costs_the_session_and_not_the_link() {
    let plane = plane();
    let dial = memory([("plane", at(&plane))]);
    let link = Link::new(settings(&["http://plane"]), dial, Arc::new(Loose), 7).expect("settings");
    let state = link.state();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { link.run(shutdown).await }
    });
    for upgrades in 1..=3 {
        plane.connected(ID).await;
        assert_eq!(plane.seen().upgrades, upgrades);
        assert!(plane.send(ID, CommandBody::Discover).await.is_err());
        plane.disconnected(ID).await;
    }
    plane.connected(ID).await;
    shutdown.cancel();
    running.await.expect("the link ends well");
    assert!(matches!(*state.borrow(), State::Closed));
}

#[tokio::test(start_paused = true)]
async fn a_reply_in_the_sessions_last_moment_has_come() {
    for _ in 0..20 {
        let (session, mut end) = crate::link::pair(Limits::default());
        let ingest = CommandBody::Ingest { job_id: "j".into(), apis: Vec::new(), done: true };
        let command = Command { id: "i-1".into(), body: ingest };
        let reply = command.succeed(ReplyBody::Ingest);
        let asked = tokio::spawn(async move { session.ask(command, MINUTE).await });
        let outgoing = end.next().await.expect("a message");
        outgoing.written.send(()).expect("somebody waits");
        tokio::task::yield_now().await;
        assert!(end.deliver(reply));
        drop(end);
        assert_eq!(asked.await.expect("no panic").expect("a reply").status, Status::Succeeded);
    }
}

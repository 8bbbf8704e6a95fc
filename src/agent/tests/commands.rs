//! What holds for every command: once per id, a budget, a line in the log, a reply in time.

use super::*;
use crate::agent::lanes::{OTHERS, SUBSCRIPTIONS};

fn key_of(reply: &Reply) -> Option<String> {
    match &reply.body {
        ReplyBody::Subscribe(Some(subscribed)) => {
            subscribed.api_key.as_ref().map(|key| secrecy::ExposeSecret::expose_secret(key).to_owned())
        }
        _ => None,
    }
}

fn slow_subscribe(span: Duration) -> Gateway {
    Gateway::of(&[]).subscribe(move |_, subscription| async move {
        tokio::time::sleep(span).await;
        Ok(grant(&subscription.id))
    })
}

#[tokio::test(start_paused = true)]
async fn the_same_id_is_carried_out_once_and_answered_twice() {
    let rig = Rig::new(slow_subscribe(secs(2)));
    let mut line = rig.connect();
    rig.deliver(&line, "c1", subscribe("s1"));
    rig.deliver(&line, "c1", subscribe("s1"));
    for _ in 0..2 {
        assert_eq!(key_of(&line.reply("c1").await).as_deref(), Some(KEY));
    }
    // And once more, after it was answered.
    assert_eq!(key_of(&rig.ask(&mut line, "c1", subscribe("s1")).await).as_deref(), Some(KEY));
    assert_eq!(rig.gateway.calls(), ["subscribe s1"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_value_is_not_kept_longer_than_the_plane_waits() {
    let rig = Rig::new(Gateway::of(&[]));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", subscribe("s1")).await;
    tokio::time::sleep(secs(61)).await;
    let reply = rig.ask(&mut line, "c1", subscribe("s1")).await;
    assert!(sentence(&reply).contains("carried out before"));
    assert_eq!(rig.gateway.calls(), ["subscribe s1"]);
}

#[tokio::test(start_paused = true)]
async fn an_unsubscription_is_answered_alike_also_later() {
    let rig = Rig::new(Gateway::of(&[]));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", unsubscribe("s1")).await;
    tokio::time::sleep(secs(300)).await;
    let reply = rig.ask(&mut line, "c1", unsubscribe("s1")).await;
    assert_eq!(reply.status, Status::Succeeded);
    assert_eq!(rig.gateway.calls(), ["unsubscribe s1"]);
}

#[tokio::test(start_paused = true)]
async fn ids_are_remembered_in_bounded_memory() {
    let rig = Rig::new(Gateway::of(&[]));
    let mut line = rig.connect();
    for n in 0..1_100 {
        rig.ask(&mut line, &format!("c{n}"), unsubscribe("s1")).await;
    }
    rig.ask(&mut line, "c1099", unsubscribe("s1")).await;
    assert_eq!(rig.gateway.calls().len(), 1_100);
    rig.ask(&mut line, "c0", unsubscribe("s1")).await;
    assert_eq!(rig.gateway.calls().len(), 1_101, "the oldest is forgotten");
}

#[tokio::test(start_paused = true)]
async fn commands_without_an_id_are_different_commands() {
    let rig = Rig::new(Gateway::of(&[]));
    let mut line = rig.connect();
    rig.ask(&mut line, "", subscribe("s1")).await;
    rig.ask(&mut line, "", subscribe("s2")).await;
    assert_eq!(rig.gateway.calls(), ["subscribe s1", "subscribe s2"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_that_commands_error() {
    let log = Log::new();
    let rig = Rig::new(Gateway::of(&[]).subscribe(|_, subscription| async move {
        assert!(subscription.id != "s1", "a bolt came loose");
        Ok(grant(&subscription.id))
    }));
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", subscribe("s1")).await;
    assert!(sentence(&reply).contains("a fault of this program"));
    assert!(!sentence(&reply).contains("bolt"));
    let said = log.with("a bolt came loose");
    assert_eq!(said.len(), 1);
    assert!(said[0].contains(file!()), "where it happened: {}", said[0]);
    assert!(log.text().contains("agent::tests::commands"), "a backtrace");
    // Nothing is left locked.
    let reply = rig.ask(&mut line, "c2", unsubscribe("s1")).await;
    assert_eq!(reply.status, Status::Succeeded);
}

#[tokio::test(start_paused = true)]
async fn a_provider_is_told_its_deadline_and_cancelled_at_it() {
    let rig = Rig::new(Gateway::of(&[]).subscribe(|call, _| async move {
        assert_eq!((call.deadline - Instant::now()).as_secs(), 50);
        assert_eq!(call.id, "c1");
        call.cancel.cancelled().await;
        // What it undoes takes a moment.
        tokio::time::sleep(secs(2)).await;
        Err(Error::unavailable("the gateway is slow; what was made is removed"))
    }));
    let mut line = rig.connect();
    let start = Instant::now();
    let reply = rig.ask(&mut line, "c1", subscribe("s1")).await;
    assert_eq!(start.elapsed().as_secs(), 52);
    assert_eq!(sentence(&reply), "the gateway is slow; what was made is removed");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_does_not_return_is_answered_for_and_undone_later() {
    let rig = Rig::new(slow_subscribe(secs(90)));
    let mut line = rig.connect();
    let start = Instant::now();
    let reply = rig.ask(&mut line, "c1", subscribe("s1")).await;
    assert_eq!(start.elapsed().as_secs(), 55, "before the plane gives up at 60 s");
    assert!(sentence(&reply).contains("did not end within 50 s"));
    assert!(!rig.agent.is_idle());
    rig.idle().await;
    assert_eq!(start.elapsed().as_secs(), 90);
    assert_eq!(rig.gateway.calls(), ["subscribe s1", "unsubscribe s1"]);
}

#[tokio::test(start_paused = true)]
async fn too_many_commands_get_a_clear_error_at_once() {
    let rig = Rig::new(slow_subscribe(secs(1)));
    let mut line = rig.connect();
    let all = SUBSCRIPTIONS + 5;
    for n in 0..all {
        rig.deliver(&line, &format!("c{n}"), subscribe(&format!("s{n}")));
    }
    let start = Instant::now();
    let mut refused = 0;
    for _ in 0..all {
        let Message::Reply(reply) = line.next().await else { panic!("a reply") };
        if reply.status == Status::Error {
            assert!(sentence(&reply).contains("too many SUBSCRIBE commands are waiting"));
            assert!(start.elapsed() < secs(1));
            refused += 1;
        }
    }
    assert_eq!(refused, 5);
    assert_eq!(rig.gateway.calls().len(), SUBSCRIPTIONS);
    assert_eq!(rig.gateway.busiest.load(Ordering::SeqCst), 16);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_of_other_commands_does_not_starve_subscribe() {
    let rig = Rig::new(Gateway::of(&[]).list(|call, _| async move {
        call.cancel.cancelled().await;
        Ok(())
    }));
    let mut line = rig.connect();
    for n in 0..OTHERS {
        rig.deliver(&line, &format!("d{n}"), CommandBody::Discover);
    }
    let reply = rig.ask(&mut line, "c1", subscribe("s1")).await;
    assert_eq!(reply.status, Status::Succeeded);
    let reply = rig.ask(&mut line, "d-more", CommandBody::Discover).await;
    assert!(sentence(&reply).contains("too many DISCOVER commands"));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_waits_in_the_lane_too_long_is_an_error_and_does_nothing() {
    let rig = Rig::new(slow_subscribe(secs(40)));
    let mut line = rig.connect();
    for n in 0..33 {
        rig.deliver(&line, &format!("c{n}"), subscribe(&format!("s{n}")));
    }
    let mut waited = 0;
    for _ in 0..33 {
        let Message::Reply(reply) = line.next().await else { panic!("a reply") };
        if reply.status == Status::Error {
            waited += usize::from(sentence(&reply).contains("waited for others until its time was over"));
        }
    }
    // 16 are done at 40 s; the next 16 are given up on at 55 s; the last one has no turn within 50 s.
    assert_eq!(waited, 1);
    assert_eq!(rig.gateway.count("subscribe"), 32);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_understood_is_answered() {
    let rig = Rig::new(Gateway::of(&[]));
    let mut line = rig.connect();
    let unknown = CommandBody::Unknown { kind: "DANCE".into(), fault: None };
    let reply = rig.ask(&mut line, "c1", unknown).await;
    assert_eq!(sentence(&reply), "No handler found for command type 'DANCE'. Ignoring");
    assert_eq!(reply.body.kind(), "UNKNOWN");
    let unreadable = CommandBody::Unknown { kind: "SUBSCRIBE".into(), fault: Some("apiId is missing".into()) };
    let reply = rig.ask(&mut line, "c2", unreadable).await;
    assert_eq!(sentence(&reply), "the SUBSCRIBE command could not be read: apiId is missing");
    let reply = rig.ask(&mut line, "c3", CommandBody::HealthCheck).await;
    assert_eq!(reply.body.kind(), "NO_REPLY");
}

#[tokio::test(start_paused = true)]
async fn every_command_ends_in_one_line_and_no_line_holds_a_key() {
    let log = Log::new();
    let rig = Rig::new(Gateway::of(&["orders"]).unsubscribe(|_, _| async { Err(Error::denied("DELETE /apikeys/*")) }));
    let mut line = rig.connect();
    rig.ask(&mut line, "cmd-a", CommandBody::Discover).await;
    rig.ask(&mut line, "cmd-b", subscribe("s1")).await;
    rig.ask(&mut line, "cmd-c", unsubscribe("s1")).await;
    rig.ask(&mut line, "cmd-d", start("job-1", &[])).await;
    line.take_job().await;
    rig.idle().await;
    for (id, parts) in [
        ("cmd-a", &["INFO", "DISCOVER", "integration-1", "succeeded", "millis=0"][..]),
        ("cmd-b", &["INFO", "SUBSCRIBE", "integration-1", "succeeded", "api=\"orders\"", "subscription=\"s1\""]),
        ("cmd-c", &["WARN", "UNSUBSCRIBE", "class=\"denied\"", "DELETE /apikeys/*", "subscription=\"s1\""]),
        ("cmd-d", &["INFO", "START_INGEST", "succeeded"]),
    ] {
        let lines = log.with(id);
        assert_eq!(lines.len(), 1, "{id}: {lines:#?}");
        for part in parts {
            assert!(lines[0].contains(part), "{part} in {}", lines[0]);
        }
    }
    assert!(!log.text().contains(KEY));
}

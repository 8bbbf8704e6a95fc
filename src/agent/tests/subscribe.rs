//! A grant exists if, and only if, the plane could be told of it.

use secrecy::ExposeSecret;

use super::*;

#[tokio::test(start_paused = true)]
async fn the_reply_carries_the_key_and_what_undoing_needs() {
    let rig = Rig::new(Gateway::of(&[]));
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", subscribe("s1")).await;
    let ReplyBody::Subscribe(Some(subscribed)) = reply.body else { panic!("{reply:?}") };
    assert_eq!(subscribed.subscription_id, "s1");
    assert_eq!(subscribed.api_key.unwrap().expose_secret(), KEY);
    assert_eq!(subscribed.metadata, Texts::from([("key-id".into(), "key-of-s1".into())]));
}

#[tokio::test(start_paused = true)]
async fn the_sentence_of_a_refusal_reaches_the_plane() {
    let rig = Rig::new(Gateway::of(&[]).subscribe(|_, _| async { Err(Error::not_found("the plan gold is gone")) }));
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", subscribe("s1")).await;
    assert_eq!(sentence(&reply), "the plan gold is gone");
    rig.idle().await;
    assert_eq!(rig.gateway.calls(), ["subscribe s1"], "nothing is there to be undone");
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_reply_no_socket_took_is_undone() {
    let log = Log::new();
    let rig = Rig::new(Gateway::of(&[]));
    let line = rig.connect();
    rig.deliver(&line, "c1", subscribe("s1"));
    line.cut().await;
    rig.idle().await;
    assert_eq!(rig.gateway.calls(), ["subscribe s1", "unsubscribe s1"]);
    // As the plane's own UNSUBSCRIBE would have it: the connection, and the grant's metadata over it.
    let removed = rig.gateway.removed.lock().unwrap()[0].clone();
    assert_eq!(removed["key-id"], "key-of-s1");
    assert_eq!(removed["url"], "https://gateway.example");
    assert_eq!(log.with("its grant was removed again").len(), 1);
    // What was undone counts as not carried out.
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", subscribe("s1")).await;
    assert_eq!(reply.status, Status::Succeeded);
    assert_eq!(rig.gateway.count("subscribe"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_kept_when_one_of_two_sessions_takes_the_reply() {
    let rig = Rig::new(Gateway::of(&[]).subscribe(|_, subscription| async move {
        tokio::time::sleep(secs(5)).await;
        Ok(grant(&subscription.id))
    }));
    let first = rig.connect();
    rig.deliver(&first, "c1", subscribe("s1"));
    let mut second = rig.connect();
    rig.deliver(&second, "c1", subscribe("s1"));
    drop(first);
    assert_eq!(second.reply("c1").await.status, Status::Succeeded);
    rig.idle().await;
    assert_eq!(rig.gateway.calls(), ["subscribe s1"]);
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_whose_session_dies_is_cancelled() {
    let rig = Rig::new(Gateway::of(&[]).subscribe(|call, _| async move {
        call.cancel.cancelled().await;
        Err(Error::unavailable("cancelled; removed"))
    }));
    let line = rig.connect();
    let start = Instant::now();
    rig.deliver(&line, "c1", subscribe("s1"));
    tokio::time::sleep(secs(1)).await;
    drop(line);
    rig.idle().await;
    assert!(start.elapsed() < secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_that_is_too_far_to_be_cancelled_is_undone() {
    let rig = Rig::new(Gateway::of(&[]).subscribe(|_, subscription| async move {
        tokio::time::sleep(secs(3)).await;
        Ok(grant(&subscription.id))
    }));
    let line = rig.connect();
    rig.deliver(&line, "c1", subscribe("s1"));
    tokio::time::sleep(secs(1)).await;
    drop(line);
    rig.idle().await;
    assert_eq!(rig.gateway.calls(), ["subscribe s1", "unsubscribe s1"]);
}

#[tokio::test(start_paused = true)]
async fn an_unsubscribe_goes_on_without_its_session() {
    let log = Log::new();
    let rig = Rig::new(Gateway::of(&[]).unsubscribe(|call, _| async move {
        tokio::select! {
            () = tokio::time::sleep(secs(10)) => Ok(Revoked::Deleted),
            () = call.cancel.cancelled() => Err(Error::unavailable("cancelled")),
        }
    }));
    let line = rig.connect();
    rig.deliver(&line, "c1", unsubscribe("s1"));
    tokio::time::sleep(secs(1)).await;
    drop(line);
    rig.idle().await;
    assert_eq!(log.with("access removed").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn undoing_is_tried_again_and_a_leftover_is_named() {
    for (error, tries) in [(Error::unavailable("time-out"), 5), (Error::denied("no right"), 1)] {
        let log = Log::new();
        let (class, text) = (error.class(), error.sentence().to_owned());
        let rig = Rig::new(Gateway::of(&[]).unsubscribe(move |_, _| {
            let error = Error::new(class, text.clone());
            async move { Err(error) }
        }));
        let line = rig.connect();
        rig.deliver(&line, "c1", subscribe("s1"));
        line.cut().await;
        rig.idle().await;
        assert_eq!(rig.gateway.count("unsubscribe"), tries);
        let named = log.with("could not be removed");
        assert_eq!(named.len(), 1);
        assert!(named[0].contains("key-of-s1") && named[0].contains("subscription=\"s1\""), "{named:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn commands_of_one_subscription_go_one_after_the_other() {
    let rig = Rig::new(
        Gateway::of(&[])
            .subscribe(|_, subscription| async move {
                tokio::time::sleep(secs(5)).await;
                Ok(grant(&subscription.id))
            })
            .unsubscribe(|_, _| async {
                tokio::time::sleep(secs(5)).await;
                Ok(Revoked::Deleted)
            }),
    );
    let mut line = rig.connect();
    let start = Instant::now();
    rig.deliver(&line, "c1", subscribe("s1"));
    tokio::task::yield_now().await;
    rig.deliver(&line, "c2", unsubscribe("s1"));
    rig.deliver(&line, "c3", subscribe("s2"));
    let mut order = Vec::new();
    for _ in 0..3 {
        let Message::Reply(reply) = line.next().await else { panic!("a reply") };
        order.push((reply.command_id, start.elapsed().as_secs()));
    }
    order.sort();
    assert_eq!(order, [("c1".into(), 5), ("c2".into(), 10), ("c3".into(), 5)]);
}

#[tokio::test(start_paused = true)]
async fn the_next_command_waits_until_the_grant_is_undone() {
    let rig = Rig::new(Gateway::of(&[]).unsubscribe(|_, _| async {
        tokio::time::sleep(secs(5)).await;
        Ok(Revoked::Deleted)
    }));
    let line = rig.connect();
    rig.deliver(&line, "c1", subscribe("s1"));
    line.cut().await;
    tokio::time::sleep(secs(1)).await;
    assert_eq!(rig.gateway.calls(), ["subscribe s1", "unsubscribe s1"]);
    let mut line = rig.connect();
    let start = Instant::now();
    rig.ask(&mut line, "c2", subscribe("s1")).await;
    assert_eq!(start.elapsed().as_secs(), 4);
}

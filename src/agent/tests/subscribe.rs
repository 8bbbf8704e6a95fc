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
async fn undoing_is_tried_until_it_is_done_and_a_leftover_is_named() {
    for (error, tries) in [(Error::unavailable("time-out"), 5), (Error::denied("no right"), 1)] {
        let log = Log::new();
        let (class, text) = (error.class(), error.sentence().to_owned());
        let asked = Arc::new(AtomicUsize::new(0));
        let rig = Rig::new(Gateway::of(&[]).unsubscribe(move |_, _| {
            let error = Error::new(class, text.clone());
            let times = asked.fetch_add(1, Ordering::SeqCst);
            async move { if times < tries + 2 { Err(error) } else { Ok(Revoked::Deleted) } }
        }));
        let line = rig.connect();
        rig.deliver(&line, "c1", subscribe("s1"));
        line.cut().await;
        rig.idle().await;
        let named = log.with("could not be removed yet");
        assert_eq!(named.len(), 1);
        assert!(named[0].contains("key-of-s1") && named[0].contains("subscription=\"s1\""), "{named:?}");
        assert_eq!(rig.book("s1").await, [("key-of-s1".into(), "removing")]);
        // Nobody waits for it any more, and it is done all the same.
        tokio::time::sleep(Duration::from_mins(20)).await;
        assert_eq!(rig.gateway.count("unsubscribe"), tries + 3);
        assert_eq!(rig.book("s1").await, []);
        assert_eq!(log.with("is finished").len(), 1);
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

#[tokio::test(start_paused = true)]
async fn a_grant_whose_reply_was_written_in_the_sessions_last_moment_stays() {
    let rig = Rig::new(Gateway::of(&[]));
    let mut line = rig.connect();
    rig.deliver(&line, "c1", subscribe("s1"));
    let reply = line.end.next().await.unwrap();
    // The plane has read it, and closes in the same breath.
    reply.written.send(()).unwrap();
    drop(line);
    rig.idle().await;
    assert_eq!(rig.gateway.calls(), ["subscribe s1"], "the plane was told of a success");
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_reply_the_socket_does_not_take_in_time_is_undone_and_the_reply_not_sent() {
    let rig = Rig::new(Gateway::of(&[]));
    let mut line = rig.connect();
    let begin = Instant::now();
    rig.deliver(&line, "c1", subscribe("s1"));
    while rig.gateway.count("unsubscribe") == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(begin.elapsed().as_secs(), 58, "the plane gives up at 60 s, and takes the subscription as rejected");
    rig.idle().await;
    assert!(line.is_quiet_for(secs(60)).await, "no success is told of what is gone");
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_reply_was_begun_when_the_session_died_is_kept_as_unconfirmed() {
    let log = Log::new();
    let rig = Rig::new(Gateway::of(&[]));
    let mut line = rig.connect();
    rig.deliver(&line, "c1", subscribe("s1"));
    let reply = line.end.next().await.unwrap();
    assert!(reply.begin());
    drop(line);
    rig.idle().await;
    assert_eq!(rig.gateway.calls(), ["subscribe s1"], "the plane may have all of it");
    assert_eq!(rig.book("s1").await, [("key-of-s1".into(), "unconfirmed")]);
    assert_eq!(log.with("kept as unconfirmed").len(), 1);
    // Delivered again, it is told of again.
    let mut line = rig.connect();
    assert_eq!(rig.ask(&mut line, "c1", subscribe("s1")).await.status, Status::Succeeded);
    line.echo().await;
    rig.idle().await;
    assert_eq!(rig.gateway.calls(), ["subscribe s1"]);
    assert_eq!(rig.book("s1").await, [("key-of-s1".into(), "live")]);
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_reply_is_stuck_half_way_is_kept_as_unconfirmed_and_holds_up_nobody() {
    let rig = Rig::new(Gateway::of(&[]));
    let mut line = rig.connect();
    rig.deliver(&line, "c1", subscribe("s1"));
    let reply = line.end.next().await.unwrap();
    assert!(reply.begin());
    rig.idle().await;
    assert_eq!(rig.book("s1").await, [("key-of-s1".into(), "unconfirmed")]);
    assert_eq!(rig.gateway.calls(), ["subscribe s1"], "what is begun goes on, and the plane may take it");
    assert_eq!(rig.ask(&mut line, "c2", unsubscribe("s1")).await.status, Status::Succeeded);
    assert_eq!(rig.book("s1").await, []);
}

#[tokio::test(start_paused = true)]
async fn what_the_plane_shows_to_have_received_too_late_stays_unconfirmed() {
    for (after, state) in [(58, "live"), (59, "unconfirmed")] {
        let rig = Rig::new(Gateway::of(&[]).subscribe(|_, subscription| async move {
            tokio::time::sleep(secs(40)).await;
            Ok(grant(&subscription.id))
        }));
        let mut line = rig.connect();
        let begin = Instant::now();
        rig.ask(&mut line, "c1", subscribe("s1")).await;
        tokio::time::sleep_until(begin + secs(after) + Duration::from_millis(1)).await;
        if after < 59 {
            line.echo().await;
        }
        rig.idle().await;
        assert_eq!(rig.book("s1").await, [("key-of-s1".into(), state)], "the plane gives a SUBSCRIBE up after 60 s");
        assert!(begin.elapsed() < secs(60));
    }
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_the_plane_cannot_store_is_undone() {
    for (name, value, fits) in [
        ("n".repeat(128), "v".repeat(4_000), true),
        ("n".into(), "v".repeat(4_001), false),
        ("n".repeat(129), "v".into(), false),
    ] {
        let metadata = Texts::from([(name, value)]);
        let rig = Rig::new(Gateway::of(&[]).subscribe(move |_, _| {
            let metadata = metadata.clone();
            async move { Ok(Grant { api_key: Some(SecretString::from(KEY)), plan: None, metadata }) }
        }));
        let mut line = rig.connect();
        let reply = rig.ask(&mut line, "c1", subscribe("s1")).await;
        assert_eq!(reply.status == Status::Succeeded, fits, "{reply:?}");
        assert_eq!(rig.gateway.count("unsubscribe"), usize::from(!fits));
        if !fits {
            assert!(sentence(&reply).contains("longer than the plane can store"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_failed_unheard_is_carried_out_when_it_is_delivered_again() {
    let rig = Rig::new(Gateway::of(&[]).subscribe(|call, subscription| async move {
        tokio::select! {
            () = tokio::time::sleep(secs(5)) => Ok(grant(&subscription.id)),
            () = call.cancel.cancelled() => Err(Error::unavailable("cancelled; removed")),
        }
    }));
    let line = rig.connect();
    rig.deliver(&line, "c1", subscribe("s1"));
    tokio::time::sleep(secs(1)).await;
    drop(line);
    rig.idle().await;
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", subscribe("s1")).await;
    assert_eq!(reply.status, Status::Succeeded, "{reply:?}");
    assert_eq!(rig.gateway.calls(), ["subscribe s1", "subscribe s1"]);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_gone_is_not_told_of_again() {
    let rig = Rig::new(Gateway::of(&[]));
    let mut line = rig.connect();
    for (id, body) in [("c1", subscribe("s1")), ("c2", subscribe("s2")), ("c3", subscribe("s3"))] {
        assert_eq!(rig.ask(&mut line, id, body).await.status, Status::Succeeded);
        line.echo().await;
    }
    rig.ask(&mut line, "c4", unsubscribe("s1")).await;
    rig.ask(&mut line, "c5", subscribe("s2")).await;
    line.echo().await;
    for (id, subscription) in [("c1", "s1"), ("c2", "s2")] {
        let again = rig.ask(&mut line, id, subscribe(subscription)).await;
        assert!(sentence(&again).contains("carried out before"), "{again:?}");
    }
    for (id, subscription) in [("c3", "s3"), ("c5", "s2")] {
        assert_eq!(rig.ask(&mut line, id, subscribe(subscription)).await.status, Status::Succeeded);
    }
}

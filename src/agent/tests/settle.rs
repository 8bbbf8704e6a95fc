//! What stands in the journal when, and what a next life makes of it.

use super::{gateway::LOST, *};
use crate::journal::{Name, Record, State as Stage};

/// A grant of `s1` in `state`, with the key `key` if it is known.
fn record(state: Stage, key: Option<&str>) -> Record {
    let name = Name { integration: "integration-1".into(), subscription: "s1".into() };
    let metadata = key.map(|key| ("key-id".to_owned(), key.to_owned())).into_iter().collect();
    Record { key_id: key.map(str::to_owned), metadata, ..Record::intended(&name, "orders", "c0") }.now(state)
}

/// A journal in which an earlier life left these.
async fn left(records: &[Record]) -> Journal {
    let journal = Journal::in_memory();
    for record in records {
        let page = journal.try_hold(&record.name()).await.unwrap();
        page.put(record.clone()).await.unwrap();
    }
    journal
}

#[tokio::test(start_paused = true)]
async fn a_grant_is_unconfirmed_until_the_plane_has_shown_that_it_heard() {
    let rig = Rig::new(Gateway::of(&[]));
    let line = rig.connect();
    rig.deliver(&line, "c1", subscribe("s1"));
    let mut line = line;
    let reply = line.end.next().await.unwrap();
    assert_eq!(rig.book("s1").await, [("key-of-s1".into(), "unconfirmed")], "before a byte is written");
    reply.written.send(()).unwrap();
    line.echo().await;
    rig.idle().await;
    assert_eq!(rig.book("s1").await, [("key-of-s1".into(), "live")]);
    rig.ask(&mut line, "c2", unsubscribe("s1")).await;
    assert_eq!(rig.book("s1").await, []);
    assert_eq!(rig.gateway.calls(), ["subscribe s1", "unsubscribe s1"]);
}

#[tokio::test(start_paused = true)]
async fn a_grant_whose_session_dies_before_the_echo_is_kept_and_named() {
    let log = Log::new();
    let rig = Rig::new(Gateway::of(&[]));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", subscribe("s1")).await;
    drop(line);
    rig.idle().await;
    assert_eq!(rig.book("s1").await, [("key-of-s1".into(), "unconfirmed")]);
    assert_eq!(log.with("kept as unconfirmed").len(), 1);
    assert_eq!(rig.gateway.calls(), ["subscribe s1"]);
    // The same command again, in the same life: answered, nothing done, and now it is known.
    let mut line = rig.connect();
    assert_eq!(rig.ask(&mut line, "c1", subscribe("s1")).await.status, Status::Succeeded);
    line.echo().await;
    rig.idle().await;
    assert_eq!(rig.book("s1").await, [("key-of-s1".into(), "live")]);
    assert_eq!(rig.gateway.calls(), ["subscribe s1"]);
}

#[tokio::test(start_paused = true)]
async fn each_thing_that_was_under_way_is_settled_and_what_stands_is_kept() {
    for (state, key, calls, left_over) in [
        (Stage::Intended, None, &[][..], None),
        (Stage::Made, Some("k"), &["unsubscribe s1"], None),
        (Stage::Removing, Some("k"), &["unsubscribe s1"], None),
        (Stage::Unconfirmed, Some("k"), &[], Some("unconfirmed")),
        (Stage::Live, Some("k"), &[], Some("live")),
        (Stage::Leftover, None, &["sweep s1 but []"], Some("making")),
        (Stage::Stuck, Some("k"), &[], Some("stuck")),
    ] {
        let rig = Rig::on(left(&[record(state, key)]).await, Gateway::of(&[]), |_| {});
        rig.agent.begin();
        tokio::time::sleep(secs(1)).await;
        assert_eq!(rig.gateway.calls(), calls, "{state:?}");
        let book: Vec<&str> = rig.book("s1").await.into_iter().map(|(_, word)| word).collect();
        assert_eq!(book, left_over.into_iter().collect::<Vec<_>>(), "{state:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_making_was_not_answered_is_looked_for_until_it_must_be_known() {
    let log = Log::new();
    let rig = Rig::new(Gateway::of(&[]).subscribe(|_, _| async { Err(Error::unavailable(format!("{LOST}: cut"))) }));
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", subscribe("s1")).await;
    assert_eq!(reply.status, Status::Error);
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(rig.gateway.count("sweep s1 but []") > 2, "one look soon after proves nothing: {:?}", rig.gateway.calls());
    assert_eq!(rig.book("s1").await, [(String::new(), "making")], "the system's clock stands still here");

    let long_ago = SystemTime::now() - Duration::from_mins(2);
    let making = Record { since: long_ago, ..record(Stage::Making, None) };
    let rig = Rig::on(left(&[making]).await, Gateway::of(&[]), |_| {});
    rig.agent.begin();
    tokio::time::sleep(secs(1)).await;
    assert_eq!(rig.gateway.calls(), ["sweep s1 but []"]);
    assert_eq!(rig.book("s1").await, []);
    assert_eq!(log.with("was never made").len(), 1);

    let rig = Rig::on(
        left(&[record(Stage::Making, None)]).await,
        Gateway::of(&[]).sweep(|_| async { Ok(Revoked::Deleted) }),
        |_| {},
    );
    rig.agent.begin();
    tokio::time::sleep(secs(1)).await;
    assert_eq!(rig.book("s1").await, []);
    assert_eq!(log.with("was found and removed").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_look_it_stays_listed_and_is_not_looked_for_again() {
    let log = Log::new();
    let gateway = Gateway::of(&[]).sweep(|trace| async move {
        assert_eq!(trace["where"], "here");
        Err(Error::denied("GET /apikeys is not allowed"))
    });
    let making = Record { metadata: Texts::from([("where".into(), "here".into())]), ..record(Stage::Making, None) };
    let rig = Rig::on(left(&[making]).await, gateway, |_| {});
    rig.agent.begin();
    tokio::time::sleep(Duration::from_hours(2)).await;
    assert_eq!(rig.gateway.count("sweep"), 1);
    assert_eq!(rig.book("s1").await, [(String::new(), "leftover")]);
    assert_eq!(log.with("stays listed until somebody looks").len(), 1);

    // The next life looks once more: the right may have been given.
    let found = rig.journal.read("integration-1").await.records;
    let rig = Rig::on(left(&found).await, Gateway::of(&[]).sweep(|_| async { Ok(Revoked::Deleted) }), |_| {});
    rig.agent.begin();
    tokio::time::sleep(secs(1)).await;
    assert_eq!(rig.book("s1").await, []);
}

#[tokio::test(start_paused = true)]
async fn an_older_grant_is_gone_before_the_new_one_is_answered_and_the_new_one_is_spared_by_what_comes_later() {
    for state in [Stage::Live, Stage::Unconfirmed, Stage::Made, Stage::Removing, Stage::Stuck] {
        let rig = Rig::on(left(&[record(state, Some("old"))]).await, Gateway::of(&[]), |_| {});
        let mut line = rig.connect();
        assert_eq!(rig.ask(&mut line, "c1", subscribe("s1")).await.status, Status::Succeeded);
        assert_eq!(rig.gateway.calls(), ["unsubscribe s1", "subscribe s1"], "{state:?}");
        assert_eq!(rig.gateway.removed.lock().unwrap()[0]["key-id"], "old");
        assert_eq!(rig.book("s1").await, [("key-of-s1".into(), "unconfirmed")], "{state:?}");
    }
    let rig = Rig::on(left(&[record(Stage::Making, None)]).await, Gateway::of(&[]), |_| {});
    let mut line = rig.connect();
    assert_eq!(rig.ask(&mut line, "c1", subscribe("s1")).await.status, Status::Succeeded);
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(rig.gateway.calls()[0], "subscribe s1", "what opens nothing holds up nobody");
    assert!(
        rig.gateway.calls()[1..].iter().all(|call| call == "sweep s1 but [\"key-of-s1\"]"),
        "{:?}",
        rig.gateway.calls()
    );
    assert_eq!(rig.book("s1").await, [(String::new(), "making"), ("key-of-s1".into(), "unconfirmed")]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_made_while_an_older_grant_stands_that_cannot_be_removed() {
    let gateway = Gateway::of(&[]).unsubscribe(|_, _| async { Err(Error::denied("DELETE is not allowed")) });
    let rig = Rig::on(left(&[record(Stage::Live, Some("old"))]).await, gateway, |_| {});
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", subscribe("s1")).await;
    assert!(sentence(&reply).contains("nothing was made") && sentence(&reply).contains("DELETE is not allowed"));
    assert_eq!(rig.gateway.count("subscribe"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_is_put_aside_after_three_tries_and_what_passes_is_tried_on() {
    let log = Log::new();
    let gateway = Gateway::of(&[]).unsubscribe(|_, _| async { Err(Error::conflict("it will not go")) });
    let rig = Rig::on(left(&[record(Stage::Made, Some("k"))]).await, gateway, |_| {});
    rig.agent.begin();
    tokio::time::sleep(Duration::from_hours(3)).await;
    assert_eq!(rig.gateway.count("unsubscribe"), 3);
    assert_eq!(rig.book("s1").await, [("k".into(), "stuck")]);
    assert_eq!(log.with("put aside after 3 tries").len(), 1);

    for class in [Error::unavailable(""), Error::denied("")].map(|error| error.class()) {
        let tries = Arc::new(AtomicUsize::new(0));
        let gateway = Gateway::of(&[]).unsubscribe(move |_, _| {
            let times = tries.fetch_add(1, Ordering::SeqCst);
            async move { if times < 10 { Err(Error::new(class, "not now")) } else { Ok(Revoked::Deleted) } }
        });
        let rig = Rig::on(left(&[record(Stage::Made, Some("k"))]).await, gateway, |_| {});
        rig.agent.begin();
        tokio::time::sleep(Duration::from_hours(12)).await;
        assert_eq!(rig.gateway.count("unsubscribe"), 11);
        assert_eq!(rig.book("s1").await, []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_try_in_which_the_process_dies_counts() {
    let mut found = vec![record(Stage::Removing, Some("k"))];
    for life in 1..=4 {
        let log = Log::new();
        // A life that dies lets go of its pages: the next one finds what stands in them.
        let gateway = Gateway::of(&[]).unsubscribe(|_, _| std::future::pending());
        let rig = Rig::on(left(&found).await, gateway, |_| {});
        rig.agent.begin();
        tokio::time::sleep(secs(1)).await;
        assert_eq!(rig.gateway.count("unsubscribe"), usize::from(life == 1), "a suspect is not tried at once");
        tokio::time::sleep(secs([0, 2, 60, 60][life - 1])).await;
        assert_eq!(rig.gateway.count("unsubscribe"), usize::from(life <= 3), "in life {life}");
        found = rig.journal.read("integration-1").await.records;
        assert_eq!(found[0].state, if life <= 3 { Stage::Removing } else { Stage::Stuck });
        assert_eq!(log.with("put aside after 3 tries").len(), usize::from(life > 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_waits_until_its_subscription_is_settled() {
    let gateway = Gateway::of(&[]).unsubscribe(|_, _| async {
        tokio::time::sleep(secs(5)).await;
        Ok(Revoked::Deleted)
    });
    let rig = Rig::on(left(&[record(Stage::Made, Some("k"))]).await, gateway, |_| {});
    rig.agent.begin();
    tokio::time::sleep(secs(1)).await;
    let mut line = rig.connect();
    let begin = Instant::now();
    rig.deliver(&line, "c1", subscribe("s1"));
    rig.deliver(&line, "c2", subscribe("s2"));
    assert_eq!(line.reply("c2").await.status, Status::Succeeded);
    assert_eq!(begin.elapsed(), Duration::ZERO, "others do not wait");
    assert_eq!(line.reply("c1").await.status, Status::Succeeded);
    assert_eq!(begin.elapsed(), secs(4));
    assert_eq!(rig.gateway.calls(), ["unsubscribe s1", "subscribe s2", "subscribe s1"]);
}

#[tokio::test(start_paused = true)]
async fn an_unsubscribe_that_fails_leaves_the_grant_as_it_was() {
    let rig = Rig::on(
        left(&[record(Stage::Live, Some("k"))]).await,
        Gateway::of(&[]).unsubscribe(|_, _| async { Err(Error::denied("no right")) }),
        |_| {},
    );
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", unsubscribe("s1")).await;
    assert_eq!(reply.status, Status::Error);
    assert_eq!(rig.book("s1").await, [("k".into(), "live")]);
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(rig.gateway.count("unsubscribe"), 1, "the plane keeps the subscription, so its grant is kept");
    // The journal knows the key that the plane does not name.
    assert_eq!(rig.gateway.removed.lock().unwrap()[0]["key-id"], "k");
}

#[tokio::test(start_paused = true)]
async fn an_older_grant_that_a_subscribe_could_not_remove_is_removed_later_without_being_asked() {
    let tries = Arc::new(AtomicUsize::new(0));
    let gateway = Gateway::of(&[]).unsubscribe(move |_, _| {
        let times = tries.fetch_add(1, Ordering::SeqCst);
        async move { if times < 2 { Err(Error::unavailable("not now")) } else { Ok(Revoked::Deleted) } }
    });
    let rig = Rig::on(left(&[record(Stage::Live, Some("old"))]).await, gateway, |_| {});
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", subscribe("s1")).await;
    assert!(sentence(&reply).contains("nothing was made"));
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(rig.gateway.calls(), ["unsubscribe s1"; 3]);
    assert_eq!(rig.book("s1").await, []);
}

#[tokio::test(start_paused = true)]
async fn a_fault_while_subscribing_leaves_nothing_and_one_while_unsubscribing_leaves_the_grant_as_it_was() {
    let fault = || -> Result<Grant, Error> { panic!("a fault") };
    let gateway = Gateway::of(&[]).subscribe(move |_, _| async move { fault() });
    let gateway = gateway.sweep(|_| async { Ok(Revoked::Deleted) });
    let rig = Rig::new(gateway);
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", subscribe("s1")).await;
    assert!(sentence(&reply).contains("a fault of this program"));
    tokio::time::sleep(secs(10)).await;
    assert_eq!(rig.gateway.calls(), ["subscribe s1", "sweep s1 but []"]);
    assert_eq!(rig.book("s1").await, []);

    let fault = || -> Result<Revoked, Error> { panic!("a fault") };
    let gateway = Gateway::of(&[]).unsubscribe(move |_, _| async move { fault() });
    let rig = Rig::on(left(&[record(Stage::Live, Some("k"))]).await, gateway, |_| {});
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", unsubscribe("s1")).await;
    assert!(sentence(&reply).contains("a fault of this program"));
    assert_eq!(rig.book("s1").await, [("k".into(), "live")], "the plane keeps the subscription");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_was_years_ahead_does_not_keep_a_leftover_for_years() {
    let ahead = SystemTime::now() + Duration::from_hours(50_000);
    let making = Record { since: ahead, ..record(Stage::Making, None) };
    let rig = Rig::on(left(&[making]).await, Gateway::of(&[]), |_| {});
    rig.agent.begin();
    tokio::time::sleep(secs(5)).await;
    assert!(rig.gateway.count("sweep") > 0);
    let records = rig.journal.read("integration-1").await.records;
    assert!(records[0].since <= SystemTime::now(), "its minute begins with the first look");
}

#[tokio::test(start_paused = true)]
async fn what_another_agent_on_the_folder_left_is_settled_when_it_does_not_come_back() {
    let rig = Rig::new(Gateway::of(&[]));
    rig.agent.begin();
    tokio::time::sleep(secs(1)).await;
    let now = record(Stage::Made, Some("k"));
    let long_ago = Record { since: SystemTime::now() - Duration::from_mins(6), ..now.clone() };
    for (record, calls) in [(now, &[][..]), (long_ago, &["unsubscribe s1"])] {
        let page = rig.journal.try_hold(&record.name()).await.unwrap();
        page.put(record).await.unwrap();
        drop(page);
        tokio::time::sleep(Duration::from_mins(11)).await;
        assert_eq!(rig.gateway.calls(), calls, "the first may be under way: the system's clock stands still here");
    }
    assert_eq!(rig.book("s1").await, []);
}

//! SIGTERM: what can end in time ends, what can not is undone.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_idle_agent_has_nothing_to_drain() {
    let rig = Rig::new(Gateway::of(&[]));
    assert!(rig.agent.is_idle());
    let start = Instant::now();
    assert!(rig.agent.drain(secs(8)).await);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn subscriptions_are_carried_out_and_lists_are_refused() {
    let rig = Rig::new(Gateway::of(&["orders"]).subscribe(|_, subscription| async move {
        tokio::time::sleep(secs(2)).await;
        Ok(grant(&subscription.id))
    }));
    let mut line = rig.connect();
    rig.deliver(&line, "c1", subscribe("s1"));
    tokio::task::yield_now().await;
    let agent = Arc::clone(&rig.agent);
    let draining = tokio::spawn(async move { agent.drain(secs(8)).await });
    tokio::task::yield_now().await;
    for (id, body) in [("d1", CommandBody::Discover), ("d2", start("job-1", &[]))] {
        let reply = rig.ask(&mut line, id, body).await;
        assert_eq!(sentence(&reply), "the agent is shutting down; try again in a minute");
    }
    rig.deliver(&line, "c2", subscribe("s2"));
    let mut answered = Vec::new();
    for _ in 0..2 {
        let Message::Reply(reply) = line.next().await else { panic!("a reply") };
        assert_eq!(reply.status, Status::Succeeded);
        answered.push(reply.command_id);
    }
    answered.sort();
    assert_eq!(answered, ["c1", "c2"]);
    assert!(draining.await.unwrap());
    let mut calls = rig.gateway.calls();
    calls.sort();
    assert_eq!(calls, ["subscribe s1", "subscribe s2"]);
}

#[tokio::test(start_paused = true)]
async fn lists_that_run_are_answered_at_once() {
    let rig = Rig::new(Gateway::of(&[]).list(|call, _| async move {
        call.cancel.cancelled().await;
        Ok(())
    }));
    let mut line = rig.connect();
    rig.deliver(&line, "d1", CommandBody::Discover);
    rig.deliver(&line, "d2", start("job-1", &[]));
    tokio::task::yield_now().await;
    let agent = Arc::clone(&rig.agent);
    let begin = Instant::now();
    let draining = tokio::spawn(async move { agent.drain(secs(8)).await });
    for _ in 0..2 {
        let Message::Reply(reply) = line.next().await else { panic!("a reply") };
        assert!(sentence(&reply).contains("shutting down"));
    }
    assert!(draining.await.unwrap());
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_finish_is_cancelled_two_seconds_before_the_end_and_undone() {
    let rig = Rig::new(Gateway::of(&[]).subscribe(|call, _| async move {
        call.cancel.cancelled().await;
        tokio::time::sleep(secs(1)).await;
        Err(Error::unavailable("cancelled; removed"))
    }));
    let mut line = rig.connect();
    rig.deliver(&line, "c1", subscribe("s1"));
    tokio::task::yield_now().await;
    let begin = Instant::now();
    let agent = Arc::clone(&rig.agent);
    let draining = tokio::spawn(async move { agent.drain(secs(8)).await });
    let reply = line.reply("c1").await;
    assert_eq!(sentence(&reply), "the agent is shutting down; try again in a minute");
    assert_eq!(begin.elapsed(), secs(7));
    assert!(draining.await.unwrap());
    // Too late for anything that makes something.
    let reply = rig.ask(&mut line, "c2", subscribe("s2")).await;
    assert!(sentence(&reply).contains("shutting down"));
    assert_eq!(rig.gateway.calls(), ["subscribe s1"]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_in_time_is_said() {
    let log = Log::new();
    let rig = Rig::new(Gateway::of(&[]).unsubscribe(|_, _| std::future::pending()));
    let line = rig.connect();
    rig.deliver(&line, "c1", unsubscribe("s1"));
    tokio::task::yield_now().await;
    let begin = Instant::now();
    assert!(!rig.agent.drain(secs(8)).await);
    assert_eq!(begin.elapsed(), secs(8));
    assert!(!rig.agent.drain(secs(1)).await);
    assert_eq!(log.with("the time to finish is over").len(), 1, "said once");
    assert!(!rig.agent.settled());
    let said = log.with("not everything could be ended");
    assert!(said.len() == 1 && said[0].contains("s1"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_running_ingest_sends_its_done_and_says_what_is_missing() {
    let log = Log::new();
    let names: Vec<String> = (0..100).map(|n| format!("api-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rig = Rig::new(Gateway::of(&names));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let batch = line.ingest().await;
    let begin = Instant::now();
    let agent = Arc::clone(&rig.agent);
    let draining = tokio::spawn(async move { agent.drain(secs(8)).await });
    tokio::task::yield_now().await;
    line.accept(&batch);
    let last = line.ingest().await;
    assert!(last.done && last.apis.is_empty(), "{last:?}");
    line.accept(&last);
    assert!(draining.await.unwrap());
    assert!(begin.elapsed() < secs(1));
    let said = log.with("ended early");
    assert_eq!(said.len(), 1, "{}", log.text());
    assert!(said[0].contains("apis=20") && said[0].contains("80 were not"), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_plane_gets_its_done_all_the_same() {
    let rig = Rig::new(Gateway::of(&["orders"]));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    line.ingest().await;
    let agent = Arc::clone(&rig.agent);
    let draining = tokio::spawn(async move { agent.drain(secs(8)).await });
    let last = line.ingest().await;
    assert!(last.done);
    assert!(draining.await.unwrap(), "it does not wait for a reply for ever");
}

#[tokio::test(start_paused = true)]
async fn a_drained_agent_serves_while_others_drain() {
    let rig = Rig::new(Gateway::of(&[]));
    let mut line = rig.connect();
    assert!(rig.agent.drain(secs(8)).await);
    let reply = rig.ask(&mut line, "c1", subscribe("s1")).await;
    assert_eq!(reply.status, Status::Succeeded, "an ERROR would be final for the person");
    assert!(rig.agent.drain(secs(8)).await);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_nobody_waits_for_holds_up_nothing() {
    let rig = Rig::new(Gateway::of(&[]).list(|_, _| std::future::pending()));
    let line = rig.connect();
    rig.deliver(&line, "c1", CommandBody::Discover);
    tokio::task::yield_now().await;
    drop(line);
    rig.idle().await;
    let begin = Instant::now();
    assert!(rig.agent.drain(secs(8)).await);
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_start_was_being_answered_at_the_signal_gets_its_done() {
    let rig = Rig::new(Gateway::of(&["orders"]));
    let mut line = rig.connect();
    rig.deliver(&line, "c1", start("job-1", &[]));
    let reply = line.end.next().await.unwrap();
    let agent = Arc::clone(&rig.agent);
    let draining = tokio::spawn(async move { agent.drain(secs(8)).await });
    tokio::task::yield_now().await;
    reply.written.send(()).unwrap();
    let last = line.ingest().await;
    assert!(last.done && last.apis.is_empty(), "the plane knows the job, and would wait for it: {last:?}");
    line.accept(&last);
    assert!(draining.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_subscription_is_served_in_every_moment_of_a_drain() {
    for moment in [0, 1_000, 3_000, 5_900] {
        let rig = Rig::new(Gateway::of(&["orders"]).unsubscribe(|_, subscription| async move {
            // What keeps the drain open until its last two seconds.
            if subscription.id == "slow" {
                std::future::pending::<()>().await;
            }
            Ok(Revoked::Deleted)
        }));
        let mut line = rig.connect();
        rig.deliver(&line, "c1", unsubscribe("slow"));
        tokio::task::yield_now().await;
        let agent = Arc::clone(&rig.agent);
        let draining = tokio::spawn(async move { agent.drain(secs(8)).await });
        tokio::time::sleep(Duration::from_millis(moment)).await;
        for (id, body) in [("c2", subscribe("s1")), ("c3", unsubscribe("s1"))] {
            assert_eq!(rig.ask(&mut line, id, body).await.status, Status::Succeeded, "{id} at {moment} ms");
        }
        assert!(!draining.await.unwrap(), "the slow one never ends");
    }
}

//! How a job's APIs are sent: batches, one at a time, halved when they fail, `done` last.

use super::*;

fn gateway_of(count: usize) -> Gateway {
    let names: Vec<String> = (0..count).map(|n| format!("api-{n:03}")).collect();
    Gateway::of(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

fn lens(batches: &[Batch]) -> Vec<usize> {
    batches.iter().map(|batch| batch.apis.len()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_full_by_number() {
    let rig = Rig::new(gateway_of(45));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    assert_eq!(lens(&line.take_job().await), [20, 20, 5, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_full_by_bytes() {
    let rig = Rig::new(gateway_of(10).read(|_, listed| async move { Ok(with_document(listed.api, 400_000)) }));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    assert_eq!(lens(&line.take_job().await), [2, 2, 2, 2, 2, 0]);
}

#[tokio::test(start_paused = true)]
async fn an_api_longer_than_a_batch_goes_alone_and_at_once() {
    let rig = Rig::new(gateway_of(6).read(|_, listed| async move {
        let len = if listed.api.id == "api-003" { 9_000_000 } else { 10 };
        Ok(with_document(listed.api, len))
    }));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let begin = Instant::now();
    let batches = line.take_job().await;
    assert!(batches.iter().any(|batch| batch.names() == ["api-003"]));
    assert!(begin.elapsed() < secs(5), "nothing waits for room that is never made");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_fills_slowly_is_sent_after_30_seconds_also_empty() {
    let begin = Instant::now();
    let rig = Rig::new(gateway_of(3).read(move |_, listed| async move {
        match listed.api.id.as_str() {
            "api-001" => tokio::time::sleep(secs(20)).await,
            // Read twice: not now, and again five seconds later.
            "api-002" => {
                tokio::time::sleep(secs(55)).await;
                if Instant::now() - begin < secs(60) {
                    return Err(Error::unavailable("time-out"));
                }
            }
            _ => {}
        }
        Ok(with_document(listed.api, 10))
    }));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let batches = line.take_job().await;
    let at: Vec<u64> = batches.iter().map(|batch| (batch.at - begin).as_secs()).collect();
    assert_eq!(lens(&batches), [2, 0, 0, 1, 0]);
    assert_eq!(at, [31, 61, 91, 115, 115]);
}

#[tokio::test(start_paused = true)]
async fn one_ingest_at_a_time_and_subscriptions_beside_it() {
    let rig = Rig::new(gateway_of(45));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let batch = line.ingest().await;
    // The plane answers late; meanwhile its accepted subscriptions come and go.
    let reply = rig.ask(&mut line, "c2", unsubscribe("s1")).await;
    assert_eq!(reply.status, Status::Succeeded);
    let reply = rig.ask(&mut line, "c3", subscribe("s2")).await;
    assert_eq!(reply.status, Status::Succeeded);
    assert!(line.is_quiet_for(secs(50)).await, "each INGEST waits for the reply to the one before");
    line.accept(&batch);
    assert_eq!(lens(&line.take_job().await), [20, 5, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_poison_api_is_found_by_halving_and_given_up_by_name() {
    let log = Log::new();
    let rig = Rig::new(gateway_of(20));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let batches = line.take_job_but(|batch| batch.names().contains(&"api-011")).await;
    let poisoned: Vec<usize> =
        batches.iter().filter(|batch| batch.names().contains(&"api-011")).map(|batch| batch.apis.len()).collect();
    assert_eq!((poisoned[0], poisoned.last()), (20, Some(&1)));
    assert!(poisoned.windows(2).all(|pair| pair[1] <= pair[0].div_ceil(2)), "{poisoned:?}");
    let taken: usize =
        batches.iter().filter(|batch| !batch.names().contains(&"api-011")).map(|batch| batch.apis.len()).sum();
    assert_eq!(taken, 19);
    rig.idle().await;
    let warnings = log.with("WARN");
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].contains("api-011 (the plane stumbled)") && warnings[0].contains("apis=19"));
}

#[tokio::test(start_paused = true)]
async fn a_single_api_is_sent_twice_before_it_is_given_up() {
    let rig = Rig::new(gateway_of(1));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let batches = line.take_job_but(|batch| !batch.done).await;
    assert_eq!(lens(&batches), [1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_does_not_come_counts_as_an_error() {
    let rig = Rig::new(gateway_of(2));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let first = line.ingest().await;
    let batches = line.take_job().await;
    assert_eq!((batches[0].at - first.at).as_secs(), 60);
    assert_eq!(lens(&batches), [1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_session_costs_nothing_the_next_one_goes_on() {
    let log = Log::new();
    let rig = Rig::new(gateway_of(30));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let first = line.ingest().await;
    assert_eq!(first.apis.len(), 20);
    drop(line);
    tokio::time::sleep(secs(100)).await;
    let mut line = rig.connect();
    let batches = line.take_job().await;
    assert_eq!(lens(&batches), [10, 10, 10, 0]);
    rig.idle().await;
    assert_eq!(log.with("ingest done").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_api_under_which_every_session_ends_is_given_up() {
    let log = Log::new();
    let rig = Rig::new(gateway_of(2));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let mut poisoned = 0;
    let done = loop {
        let batch = line.ingest().await;
        if batch.names().contains(&"api-000") {
            poisoned += 1;
            line = rig.connect();
        } else {
            line.accept(&batch);
            if batch.done {
                break batch;
            }
        }
    };
    assert!(done.apis.is_empty());
    assert_eq!(poisoned, 4, "with the other one, then three times alone");
    rig.idle().await;
    assert_eq!(log.with("api-000 (the session ended whenever it was sent)").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn done_is_sent_again_until_it_is_answered() {
    let rig = Rig::new(gateway_of(1));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let batch = line.ingest().await;
    line.accept(&batch);
    assert!(line.ingest().await.done);
    let mut line = rig.connect();
    let done = line.ingest().await;
    assert!(done.done);
    line.answer(&done, Status::Error);
    let done = line.ingest().await;
    line.accept(&done);
    rig.idle().await;
}

#[tokio::test(start_paused = true)]
async fn a_plane_that_stays_away_ends_the_job() {
    let log = Log::new();
    let rig = Rig::new(gateway_of(500));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    line.ingest().await;
    drop(line);
    let begin = Instant::now();
    rig.idle().await;
    assert_eq!(begin.elapsed().as_secs(), 300, "after five silent minutes the plane has given the job up");
    assert!(rig.gateway.count("read") < 100, "and nothing more is read for it");
    assert_eq!(log.with("the plane did not confirm").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_closed_link_ends_the_job() {
    let rig = Rig::new(gateway_of(50));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    line.ingest().await;
    drop(line);
    rig.states.send_replace(State::Closed);
    let begin = Instant::now();
    rig.idle().await;
    assert!(begin.elapsed() < secs(1));
}

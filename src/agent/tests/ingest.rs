//! START_INGEST, and what is read for a job.

use super::*;

/// The names of all APIs in `batches`, sorted.
fn sent(batches: &[Batch]) -> Vec<&str> {
    let mut names: Vec<&str> = batches.iter().flat_map(Batch::names).collect();
    names.sort_unstable();
    names
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("api-{n:03}")).collect()
}

fn gateway_of(names: &[String]) -> Gateway {
    Gateway::of(&names.iter().map(String::as_str).collect::<Vec<_>>())
}

#[tokio::test(start_paused = true)]
async fn no_ids_mean_all() {
    let log = Log::new();
    let rig = Rig::new(Gateway::of(&["orders", "users"]));
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", start("job-1", &[])).await;
    assert_eq!(total(&reply), 2);
    let answered = Instant::now();
    let batches = line.take_job().await;
    assert!(batches[0].at - answered >= secs(1), "the plane is left a moment to know the job");
    assert_eq!(sent(&batches), ["orders", "users"]);
    assert!(batches.iter().all(|batch| batch.job == "job-1"));
    let dones: Vec<bool> = batches.iter().map(|batch| batch.done).collect();
    assert_eq!(dones, [false, true], "done is said once, last");
    let api = &batches[0].apis[0];
    assert_eq!((api.plans.len(), api.documents.len(), api.metadata.len()), (1, 1, 1));
    assert_eq!(api.connection["url"], "https://gateway.example");
    rig.idle().await;
    assert_eq!(log.with("ingest done").len(), 1);
    assert!(log.with("WARN").is_empty());
}

#[tokio::test(start_paused = true)]
async fn only_what_is_asked_for_and_what_is_gone_is_said() {
    let log = Log::new();
    let rig = Rig::new(Gateway::of(&["orders", "users", "stock"]));
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", start("job-1", &["users", "vanished", "stock"])).await;
    assert_eq!(total(&reply), 2);
    assert_eq!(sent(&line.take_job().await), ["stock", "users"]);
    assert_eq!(rig.gateway.count("read orders"), 0);
    assert_eq!(log.with("no source that could be listed has them: vanished").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_a_total_of_zero_and_no_job() {
    let rig = Rig::new(Gateway::of(&["orders"]));
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", start("job-1", &["vanished"])).await;
    assert_eq!(total(&reply), 0);
    assert!(line.is_quiet_for(secs(600)).await);
    assert!(rig.agent.is_idle());
}

#[tokio::test(start_paused = true)]
async fn nothing_beside_a_failed_source_is_an_error() {
    let rig = Rig::new(Gateway::of(&[]).list(|_, out| async move {
        let error = Error::denied("no right");
        out.send(Found::Failed { source: "account 2".into(), error }).await.ok();
        Ok(())
    }));
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", start("job-1", &[])).await;
    assert!(sentence(&reply).contains("account 2: denied: no right"));
}

#[tokio::test(start_paused = true)]
async fn when_every_source_fails_the_sentence_is_the_lists() {
    let rig = Rig::new(Gateway::of(&[]).list(|_, _| async { Err(Error::denied("the key is not valid")) }));
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", start("job-1", &[])).await;
    assert_eq!(sentence(&reply), "the key is not valid");
    assert!(line.is_quiet_for(secs(600)).await);
}

#[tokio::test(start_paused = true)]
async fn a_list_longer_than_the_budget_is_answered_in_time_and_sent_whole() {
    for early in [0, 3] {
        let rig = Rig::new(Gateway::of(&[]).list(move |_, out| async move {
            for n in 0..early {
                out.send(found(&format!("early-{n}"), "a")).await.ok();
            }
            tokio::time::sleep(secs(120)).await;
            out.send(found("late", "a")).await.ok();
            Ok(())
        }));
        let mut line = rig.connect();
        let begin = Instant::now();
        let reply = rig.ask(&mut line, "c1", start("job-1", &[])).await;
        assert_eq!(begin.elapsed().as_secs(), 50);
        assert_eq!(total(&reply), early.max(1), "zero would end the job");
        let batches = line.take_job().await;
        assert_eq!(sent(&batches).len(), early as usize + 1);
        assert_eq!(rig.gateway.count("list"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_denied_everywhere_fails_start_ingest() {
    let rig = Rig::new(
        gateway_of(&numbered(50)).read(|_, _| async { Err(Error::denied("apigateway:GET on exports is missing")) }),
    );
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", start("job-1", &[])).await;
    assert!(sentence(&reply).contains("apigateway:GET on exports is missing"));
    assert!(line.is_quiet_for(secs(600)).await);
    assert_eq!(rig.gateway.count("read"), 1, "one document of each source is tried");
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_denied_in_one_source_leaves_that_one_out() {
    let log = Log::new();
    let rig = Rig::new(
        Gateway::of(&[])
            .list(|_, out| async move {
                for (name, source) in [("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")] {
                    out.send(found(name, source)).await.ok();
                }
                Ok(())
            })
            .read(|_, listed| async move {
                if &*listed.source == "a" {
                    return Err(Error::denied("exports are denied"));
                }
                Ok(with_document(listed.api, 10))
            }),
    );
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", start("job-1", &[])).await;
    assert_eq!(total(&reply), 4);
    assert_eq!(sent(&line.take_job().await), ["b1", "b2"]);
    rig.idle().await;
    let warnings = log.with("WARN");
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].contains("a1 (exports are denied)") && warnings[0].contains("left_out=2"));
}

#[tokio::test(start_paused = true)]
async fn a_document_that_cannot_be_read_now_is_tried_again_at_the_end() {
    let log = Log::new();
    let tries = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&tries);
    let rig = Rig::new(Gateway::of(&["shaky", "dead", "good"]).read(move |_, listed| {
        let tries = Arc::clone(&seen);
        async move {
            match listed.api.id.as_str() {
                "shaky" if tries.fetch_add(1, Ordering::SeqCst) == 0 => Err(Error::unavailable("time-out")),
                "dead" => Err(Error::unavailable("500 from the gateway")),
                _ => Ok(with_document(listed.api, 10)),
            }
        }
    }));
    let mut line = rig.connect();
    assert_eq!(total(&rig.ask(&mut line, "c1", start("job-1", &[])).await), 3);
    let batches = line.take_job().await;
    // Without its page the plane would delete the page: it is not sent at all.
    assert_eq!(sent(&batches), ["good", "shaky"]);
    assert_eq!(rig.gateway.count("read dead"), 2);
    rig.idle().await;
    let warnings = log.with("WARN");
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    assert!(warnings[0].contains("dead (500 from the gateway)") && warnings[0].contains("left_out=1"));
}

#[tokio::test(start_paused = true)]
async fn an_api_that_vanished_meanwhile_is_skipped() {
    let rig = Rig::new(Gateway::of(&["orders", "users"]).read(|_, listed| async move {
        if listed.api.id == "orders" { Err(Error::not_found("gone")) } else { Ok(with_document(listed.api, 10)) }
    }));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    assert_eq!(sent(&line.take_job().await), ["users"]);
    assert_eq!(rig.gateway.count("read orders"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_document_that_cannot_exist_or_fit_is_left_out_and_its_api_sent() {
    let log = Log::new();
    let rig = Rig::new(Gateway::of(&["odd", "huge", "good"]).read(|_, listed| async move {
        match listed.api.id.as_str() {
            "odd" => Err(Error::invalid("a stage with no methods has no export")),
            "huge" => Ok(with_document(listed.api, 60_000)),
            _ => Ok(with_document(listed.api, 10)),
        }
    }));
    let mut line = rig.connect_with(Limits { frame: 1_024, message: 50_000 });
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let batches = line.take_job().await;
    assert_eq!(sent(&batches), ["good", "huge", "odd"]);
    for api in batches.iter().flat_map(|batch| &batch.apis) {
        assert_eq!(api.documents.len(), usize::from(api.id == "good"), "{}", api.id);
        assert_eq!(api.plans.len(), 1);
    }
    assert_eq!(log.with("a stage with no methods has no export").len(), 1);
    assert_eq!(log.with("fits in no message with them").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn names_are_brought_into_the_planes_limits() {
    let log = Log::new();
    let rig = Rig::new(Gateway::of(&["orders"]).read(|_, listed| async move {
        let mut api = listed.api;
        api.plans[0].name = "n".repeat(200);
        Ok(api)
    }));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let batches = line.take_job().await;
    assert_eq!(batches[0].apis[0].plans[0].name.len(), 64);
    assert_eq!(log.with("plan name shortened from 200 to 64").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_reading_costs_one_api() {
    let rig = Rig::new(Gateway::of(&["orders", "users"]).read(|_, listed| async move {
        assert!(listed.api.id != "users", "a bolt came loose");
        Ok(with_document(listed.api, 10))
    }));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    assert_eq!(sent(&line.take_job().await), ["orders"]);
}

#[tokio::test(start_paused = true)]
async fn the_memory_of_a_large_estate_is_a_few_batches() {
    let rig = Rig::with(
        gateway_of(&numbered(300)).read(|_, listed| async move { Ok(with_document(listed.api, 10_000)) }),
        |settings| settings.batch_bytes = 50_000,
    );
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let first = line.ingest().await;
    assert_eq!(first.apis.len(), 4, "a batch is full by bytes");
    // The plane takes its time: nothing more is read than fits beside the batch under way.
    tokio::time::sleep(secs(50)).await;
    let read = rig.gateway.count("read");
    assert!(read <= 3 * 5 + 9, "{read} documents in memory");
    assert!(rig.gateway.busiest.load(Ordering::SeqCst) <= 8);
    line.accept(&first);
    assert_eq!(sent(&line.take_job().await).len(), 296);
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_no_socket_took_begins_no_job() {
    let rig = Rig::new(Gateway::of(&["orders"]));
    let line = rig.connect();
    rig.deliver(&line, "c1", start("job-1", &[]));
    line.cut().await;
    let mut line = rig.connect();
    assert!(line.is_quiet_for(secs(600)).await, "the plane knows no such job");
    assert!(rig.agent.is_idle());
}

#[tokio::test(start_paused = true)]
async fn a_start_ingest_whose_session_dies_stops() {
    let rig = Rig::new(Gateway::of(&[]).list(|call, _| async move {
        call.cancel.cancelled().await;
        Ok(())
    }));
    let line = rig.connect();
    let begin = Instant::now();
    rig.deliver(&line, "c1", start("job-1", &[]));
    tokio::time::sleep(secs(1)).await;
    drop(line);
    rig.idle().await;
    assert!(begin.elapsed() < secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_second_start_ingest_ends_the_first_job_with_done() {
    let names = numbered(60);
    let rig = Rig::new(gateway_of(&names));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let first = line.ingest().await;
    rig.deliver(&line, "c2", start("job-2", &["api-007"]));
    assert_eq!(total(&line.reply("c2").await), 1);
    line.accept(&first);
    let last = line.ingest().await;
    assert_eq!((last.job.as_str(), last.done, last.apis.len()), ("job-1", true, 0));
    // One INGEST at a time, over all jobs.
    assert!(line.is_quiet_for(Duration::from_millis(1_500)).await);
    line.accept(&last);
    let batches = line.take_job().await;
    assert!(batches.iter().all(|batch| batch.job == "job-2"));
    assert_eq!(sent(&batches), ["api-007"]);
}

#[tokio::test(start_paused = true)]
async fn a_second_start_ingest_ends_a_first_that_still_lists() {
    let rig = Rig::new(Gateway::of(&[]).list(|call, out| async move {
        out.send(found("orders", "a")).await.ok();
        tokio::select! {
            () = tokio::time::sleep(secs(10)) => Ok(()),
            () = call.cancel.cancelled() => Ok(()),
        }
    }));
    let mut line = rig.connect();
    rig.deliver(&line, "c1", start("job-1", &[]));
    tokio::time::sleep(secs(1)).await;
    rig.deliver(&line, "c2", start("job-2", &[]));
    assert_eq!(sentence(&line.reply("c1").await), "a newer START_INGEST has taken its place");
    assert_eq!(total(&line.reply("c2").await), 1);
    assert_eq!(sent(&line.take_job().await), ["orders"]);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_does_not_end_costs_one_api() {
    let log = Log::new();
    let rig = Rig::new(Gateway::of(&["orders", "stuck"]).read(|_, listed| async move {
        if listed.api.id == "stuck" {
            std::future::pending::<()>().await;
        }
        Ok(with_document(listed.api, 10))
    }));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    assert_eq!(sent(&line.take_job().await), ["orders"]);
    tokio::time::sleep(secs(1)).await;
    assert_eq!(log.with("stuck (the gateway did not answer in time)").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_does_not_end_ends_the_job_all_the_same() {
    let log = Log::new();
    let rig = Rig::new(Gateway::of(&[]).list(|_, out| async move {
        out.send(found("orders", "a")).await.ok();
        std::future::pending().await
    }));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let begin = Instant::now();
    assert_eq!(sent(&line.take_job().await), ["orders"]);
    assert!(begin.elapsed() < secs(600));
    tokio::time::sleep(secs(1)).await;
    assert_eq!(log.with("the list broke off").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_takes_an_hour_is_handed_over_whole() {
    // A call for each of thousands of APIs, at the gateway's pace.
    let rig = Rig::new(Gateway::of(&[]).list(|call, out| async move {
        for n in 0..60 {
            if call.cancel.is_cancelled() || Instant::now() > call.deadline {
                return Err(Error::unavailable("out of time"));
            }
            out.send(found(&format!("api-{n}"), "a")).await.ok();
            tokio::time::sleep(secs(60)).await;
        }
        Ok(())
    }));
    let log = Log::new();
    let mut line = rig.connect();
    assert_eq!(total(&rig.ask(&mut line, "c1", start("job-1", &[])).await), 1);
    let batches = line.take_job().await;
    assert_eq!(sent(&batches).len(), 60);
    assert!(batches.windows(2).all(|pair| pair[1].at - pair[0].at <= secs(31)), "the plane hears of the job");
    rig.idle().await;
    assert_eq!(log.with("ingest done").len(), 1, "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn the_first_jobs_batch_under_way_is_waited_for_before_its_done() {
    let rig = Rig::new(gateway_of(&numbered(60)));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let first = line.ingest().await;
    rig.deliver(&line, "c2", start("job-2", &["api-007"]));
    assert_eq!(total(&line.reply("c2").await), 1);
    // The plane is busy with what it was sent.
    assert!(line.is_quiet_for(secs(14)).await);
    line.accept(&first);
    let last = line.ingest().await;
    assert_eq!((last.job.as_str(), last.done), ("job-1", true));
    line.accept(&last);
    assert_eq!(sent(&line.take_job().await), ["api-007"]);
}

#[tokio::test(start_paused = true)]
async fn a_plane_that_says_nothing_to_the_first_job_does_not_hold_up_the_second() {
    let rig = Rig::new(gateway_of(&numbered(60)));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    line.ingest().await;
    let begin = Instant::now();
    rig.deliver(&line, "c2", start("job-2", &["api-007"]));
    line.reply("c2").await;
    assert!(line.ingest().await.done, "the first one's");
    assert_eq!(line.ingest().await.job, "job-2");
    assert!(begin.elapsed() < secs(60), "{:?}", begin.elapsed());
}

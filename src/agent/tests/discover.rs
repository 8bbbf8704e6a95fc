use super::*;
use crate::exchange::Discovered;

fn discovered(reply: &Reply) -> &Discovered {
    match &reply.body {
        ReplyBody::Discover(Some(discovered)) => discovered,
        other => panic!("{other:?}: {:?}", reply.error),
    }
}

fn names(reply: &Reply) -> Vec<&str> {
    discovered(reply).apis.iter().map(|api| api.id.as_str()).collect()
}

/// One API at once, another after `late`.
fn slow(late: Duration) -> Gateway {
    Gateway::of(&[]).list(move |call, out| async move {
        out.send(found("orders", "a")).await.ok();
        tokio::select! {
            () = tokio::time::sleep(late) => {}
            () = call.cancel.cancelled() => return Err(Error::unavailable("cancelled")),
        }
        out.send(found("users", "a")).await.ok();
        Ok(())
    })
}

#[tokio::test(start_paused = true)]
async fn the_preview_is_whole_and_light() {
    let rig = Rig::new(Gateway::of(&["orders", "users", "orders"]));
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", CommandBody::Discover).await;
    assert_eq!(reply.status, Status::Succeeded);
    let discovered = discovered(&reply);
    assert!(!discovered.partial);
    assert_eq!(names(&reply), ["orders", "users"], "one API is told once");
    let first = &discovered.apis[0];
    assert_eq!((first.unique_id.as_str(), first.name.as_str()), ("u-orders", "The orders API"));
    assert_eq!(first.version.as_deref(), Some("1.0"));
    assert!(first.plans.is_empty() && first.documents.is_empty() && first.metadata.is_empty());
    assert!(first.description.is_none() && first.connection.is_empty());
    assert_eq!(rig.gateway.calls(), ["list"], "nothing is fetched that the preview does not show");
}

#[tokio::test(start_paused = true)]
async fn a_failed_source_is_named_and_stops_nobody() {
    let log = Log::new();
    let rig = Rig::new(Gateway::of(&[]).list(|_, out| async move {
        let error = Error::denied("apigateway:GET on /restapis is missing");
        out.send(Found::Failed { source: "account 2, eu-west-1".into(), error }).await.ok();
        out.send(found("orders", "account 1, eu-west-1")).await.ok();
        Ok(())
    }));
    let health = rig.agent.health_detail();
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", CommandBody::Discover).await;
    assert_eq!(names(&reply), ["orders"]);
    assert!(!discovered(&reply).partial);
    let warnings = log.with("WARN");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("account 2, eu-west-1") && warnings[0].contains("/restapis is missing"));
    let health = health.borrow().clone();
    assert_eq!(health.as_deref(), Some("account 2, eu-west-1: denied: apigateway:GET on /restapis is missing"));
}

#[tokio::test(start_paused = true)]
async fn when_all_sources_fail_the_sentence_reaches_the_console() {
    let rig = Rig::new(Gateway::of(&[]).list(|_, _| async { Err(Error::denied("the key is not valid")) }));
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", CommandBody::Discover).await;
    assert_eq!(sentence(&reply), "the key is not valid");
    assert_eq!(rig.agent.health_detail().borrow().as_deref(), Some("denied: the key is not valid"));
    // A list that failed is not used again.
    rig.ask(&mut line, "c2", CommandBody::Discover).await;
    assert_eq!(rig.gateway.count("list"), 2);
}

#[tokio::test(start_paused = true)]
async fn out_of_time_the_list_goes_on_and_the_next_discover_joins_it() {
    let rig = Rig::new(slow(secs(80)));
    let mut line = rig.connect();
    let start = Instant::now();
    let reply = rig.ask(&mut line, "c1", CommandBody::Discover).await;
    assert_eq!(start.elapsed().as_secs(), 50);
    assert!(discovered(&reply).partial);
    assert_eq!(names(&reply), ["orders"]);
    rig.idle().await;
    assert!(start.elapsed() < secs(51), "nobody waits for the list");

    let reply = rig.ask(&mut line, "c2", CommandBody::Discover).await;
    assert_eq!(start.elapsed().as_secs(), 80);
    assert!(!discovered(&reply).partial);
    assert_eq!(names(&reply), ["orders", "users"]);
    assert_eq!(rig.gateway.count("list"), 1, "it was joined");
}

#[tokio::test(start_paused = true)]
async fn what_a_late_list_found_is_used_for_ten_minutes() {
    let rig = Rig::new(slow(secs(80)));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", CommandBody::Discover).await;
    tokio::time::sleep(secs(300)).await;
    let start = Instant::now();
    let reply = rig.ask(&mut line, "c2", CommandBody::Discover).await;
    assert!(start.elapsed() < secs(1));
    assert_eq!(names(&reply), ["orders", "users"]);
    tokio::time::sleep(secs(600)).await;
    rig.ask(&mut line, "c3", CommandBody::Discover).await;
    assert_eq!(rig.gateway.count("list"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_was_in_time_is_not_used_again() {
    let rig = Rig::new(slow(secs(5)));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", CommandBody::Discover).await;
    rig.ask(&mut line, "c2", CommandBody::Discover).await;
    assert_eq!(rig.gateway.count("list"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_session_died_goes_on() {
    let rig = Rig::new(slow(secs(30)));
    let line = rig.connect();
    rig.deliver(&line, "c1", CommandBody::Discover);
    tokio::time::sleep(secs(1)).await;
    drop(line);
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c2", CommandBody::Discover).await;
    assert_eq!(names(&reply), ["orders", "users"]);
    assert_eq!(rig.gateway.count("list"), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_but_failures_in_time_is_an_error_not_an_empty_preview() {
    let rig = Rig::new(Gateway::of(&[]).list(|call, out| async move {
        let error = Error::unavailable("time-out");
        out.send(Found::Failed { source: "account 2".into(), error }).await.ok();
        call.cancel.cancelled().await;
        Ok(())
    }));
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", CommandBody::Discover).await;
    assert!(sentence(&reply).contains("account 2: unavailable: time-out"), "{}", sentence(&reply));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_says_nothing_is_an_error_not_an_empty_preview() {
    let rig = Rig::new(Gateway::of(&[]).list(|call, _| async move {
        call.cancel.cancelled().await;
        Ok(())
    }));
    let mut line = rig.connect();
    let begin = Instant::now();
    let reply = rig.ask(&mut line, "c1", CommandBody::Discover).await;
    assert!(sentence(&reply).contains("the gateway is slow or does not answer"), "{reply:?}");
    assert_eq!(begin.elapsed().as_secs(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_preview_that_no_message_holds_is_cut_and_says_so() {
    let names: Vec<String> = (0..200).map(|n| format!("api-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rig = Rig::new(Gateway::of(&names));
    let mut line = rig.connect_with(Limits { frame: 1_024, message: 8_000 });
    let reply = rig.ask(&mut line, "c1", CommandBody::Discover).await;
    let discovered = discovered(&reply);
    assert!(discovered.partial);
    assert!(discovered.apis.len() > 40 && discovered.apis.len() < 200, "{}", discovered.apis.len());
}

#[tokio::test(start_paused = true)]
async fn a_list_that_never_ends_is_not_joined_for_ever() {
    let rig = Rig::new(Gateway::of(&[]).list(|_, out| async move {
        out.send(found("orders", "a")).await.ok();
        std::future::pending().await
    }));
    let mut line = rig.connect();
    assert!(discovered(&rig.ask(&mut line, "c1", CommandBody::Discover).await).partial);
    tokio::time::sleep(secs(600)).await;
    assert!(discovered(&rig.ask(&mut line, "c2", CommandBody::Discover).await).partial);
    assert_eq!(rig.gateway.count("list"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_panics_is_an_error_and_the_next_one_begins_anew() {
    let rig = Rig::new(Gateway::of(&[]).list(|_, out| async move {
        out.send(found("orders", "a")).await.ok();
        panic!("a bolt came loose")
    }));
    let mut line = rig.connect();
    for (n, id) in ["c1", "c2"].into_iter().enumerate() {
        let reply = rig.ask(&mut line, id, CommandBody::Discover).await;
        assert!(sentence(&reply).contains("a fault of this program"));
        assert_eq!(rig.gateway.count("list"), n + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_was_stopped_before_its_end_is_not_taken_for_whole() {
    let log = Log::new();
    // It says that all went well when it is told to stop, as a provider may.
    let rig = Rig::new(Gateway::of(&[]).list(|call, out| async move {
        out.send(found("orders", "a")).await.ok();
        call.cancel.cancelled().await;
        Ok(())
    }));
    let mut line = rig.connect();
    assert!(discovered(&rig.ask(&mut line, "c1", CommandBody::Discover).await).partial);
    tokio::time::sleep(secs(510)).await;
    let begin = Instant::now();
    let reply = rig.ask(&mut line, "c2", CommandBody::Discover).await;
    assert_eq!(names(&reply), ["orders"]);
    assert_eq!(log.with("WARN").len(), 1, "{}", log.text());
    assert!(rig.agent.health_detail().borrow().as_deref().is_some_and(|detail| detail.contains("before it was whole")));
    assert_eq!(begin.elapsed().as_secs(), 40, "ten minutes after it found something last");
}

#[tokio::test(start_paused = true)]
async fn the_health_detail_is_bounded() {
    let rig = Rig::new(Gateway::of(&[]).list(|_, out| async move {
        for n in 0..500 {
            let error = Error::unavailable("it does not answer");
            out.send(Found::Failed { source: format!("account {n}"), error }).await.ok();
        }
        out.send(found("orders", "a")).await.ok();
        Ok(())
    }));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", CommandBody::Discover).await;
    let detail = rig.agent.health_detail().borrow().clone().unwrap();
    assert!(detail.contains("account 0") && detail.contains("and 480 more") && detail.len() < 2_000, "{detail}");
}

#[tokio::test(start_paused = true)]
async fn an_estate_larger_than_a_message_is_never_swallowed() {
    // 13,200 APIs with the longest names there are, in the plane's real limits.
    let rig = Rig::new(Gateway::of(&[]).list(|_, out| async move {
        for n in 0..13_200 {
            let mut one = listed(&format!("eu-central-1:{n:010}:{}", "s".repeat(128)), "a");
            one.api.name = "ü".repeat(512);
            out.send(Found::Api(Box::new(one))).await.ok();
        }
        Ok(())
    }));
    let mut line = rig.connect();
    let reply = rig.ask(&mut line, "c1", CommandBody::Discover).await;
    let told = discovered(&reply);
    assert!(told.partial, "the console then ingests everything");
    assert!(told.apis.len() > 5_000 && told.apis.len() < 13_200, "{}", told.apis.len());
}

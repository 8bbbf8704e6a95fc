//! What no peer does on demand: throttling, limits, broken answers, cut connections, refusals. On the stand-in alone.

use std::{sync::Arc, time::Duration};

use federation_agent::{
    model::Class,
    provider::Found,
    standin::{ACCOUNT, Estate, Failure, Gateway, GatewaySettings, Operation, Pace, REGION, RestApi, UsagePlan},
};
use serde_json::Value;
use tokio::{sync::mpsc, time::Instant};

use crate::{
    shop::{PETS, Shop, user},
    suite::{
        asking::{call, call_for, ending, leaving, list, listed, texts},
        peer::Peer,
        raw,
    },
};

// What a command costs.

#[tokio::test]
async fn a_region_of_500_apis_costs_its_list_pages_and_nothing_per_api() {
    let shop = Shop::of(Estate::large(500, 0)).await;
    let told = listed(&shop.provider).await;
    assert_eq!(told.apis.len(), 500);
    let calls = shop.gateway().calls();
    let of_the_gateway: Vec<_> = calls.iter().filter(|(name, _)| **name != "GetCallerIdentity").collect();
    assert_eq!(of_the_gateway, [(&"GetRestApis", &1), (&"GetUsagePlans", &1)]);
}

#[tokio::test]
async fn all_pages_are_read_at_500_a_page() {
    let mut estate = Estate::large(1_201, 0);
    let region = estate.region(ACCOUNT, REGION);
    for nth in 0..500 {
        region.plans.push(UsagePlan::new(&format!("more{nth:03}"), "More").covers("large00000", "prod"));
    }
    let shop = Shop::of(estate).await;
    let told = listed(&shop.provider).await;
    assert_eq!(told.apis.len(), 1_201);
    assert_eq!(told.api("eu-west-1:large00000:prod").api.plans.len(), 501);
    let count = |operation| shop.gateway().count(operation);
    assert_eq!((count(Operation::GetRestApis), count(Operation::GetUsagePlans)), (3, 2));
    assert!(
        shop.gateway()
            .requests()
            .iter()
            .filter(|request| request.path == "/restapis")
            .all(|request| { request.query.contains("limit=500") })
    );
}

#[tokio::test]
async fn a_subscription_costs_two_writes_and_an_end_one() {
    let shop = Shop::new().await;
    let api = shop.pets().await;
    let grant = shop.subscribe(&call()).await.unwrap();
    let writes = |shop: &Shop| {
        let requests = shop.gateway().requests();
        requests
            .iter()
            .filter(|request| request.verb != "GET")
            .filter_map(|request| request.operation)
            .collect::<Vec<_>>()
    };
    assert_eq!(writes(&shop), [Operation::CreateApiKey, Operation::CreateUsagePlanKey]);
    shop.gateway().forget();
    shop.provider.unsubscribe(&call(), &api.id, &ending(&api, &grant)).await.unwrap();
    assert_eq!(writes(&shop), [Operation::DeleteApiKey]);
}

#[tokio::test]
async fn what_was_called_is_counted_as_the_gateway_counts_it() {
    let shop = Shop::new().await;
    let told = listed(&shop.provider).await;
    for listed in &told.apis {
        shop.provider.read(&call(), listed).await.unwrap();
    }
    let counted: Vec<_> = shop.provider.calls().into_iter().filter(|(_, count)| *count > 0).collect();
    for (name, count) in shop.gateway().calls() {
        assert!(counted.contains(&(name, count)), "{name} {count} is not in {counted:?}");
    }
}

// Pace.

#[tokio::test]
async fn the_agent_keeps_below_what_aws_allows() {
    let settings = GatewaySettings { estate: Estate::large(40, 0), pace: Some(Pace::AWS), seed: None };
    let gateway = Gateway::bind(([127, 0, 0, 1], 0).into(), settings).await.unwrap();
    let peer = Peer::of(gateway.clone());
    let provider = peer.provider(&user(), &[("region", REGION), ("callsPerSecond", "8"), ("burst", "30")]);
    let told = listed(&provider).await;
    for listed in &told.apis {
        provider.read(&call(), listed).await.unwrap();
    }
    assert!(gateway.requests().iter().all(|request| request.status == Some(200)));
}

#[tokio::test]
async fn a_throttled_call_is_repeated_not_before_the_time_given() {
    let shop = Shop::new().await;
    shop.gateway().fault(Failure::Throttled(Some(1)).on(Operation::CreateApiKey).times(1));
    let began = Instant::now();
    shop.subscribe(&call()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!((shop.gateway().count(Operation::CreateApiKey), shop.keys()), (2, 1));
}

#[tokio::test]
async fn a_throttled_call_without_a_time_is_repeated_too() {
    let shop = Shop::new().await;
    shop.gateway().fault(Failure::Throttled(None).on(Operation::GetUsagePlans).times(2));
    assert_eq!(listed(&shop.provider).await.apis.len(), 5);
}

#[tokio::test]
async fn a_wait_that_no_clock_can_add_ends_the_call_and_nothing_else() {
    let shop = Shop::new().await;
    shop.gateway().fault(Failure::Throttled(Some(u64::MAX)).on(Operation::GetRestApis).times(1));
    let error = list(&shop.provider, &call_for(Duration::from_secs(5))).await.outcome.expect_err("no time for that");
    assert!(error.class().is_passing(), "{error:?}");
}

/// The stages are asked for while documents of others are read: the reader must get its turn in the bucket though
/// nobody takes what was found meanwhile.
#[tokio::test]
async fn a_slow_taker_does_not_hold_up_what_it_waits_for() {
    let peer = Peer::of(Gateway::start(Estate::large(30, 0)).await.unwrap());
    let settings =
        [("region", REGION), ("acceptApiWithoutUsagePlan", "true"), ("callsPerSecond", "50"), ("burst", "1")];
    let provider = peer.provider(&user(), &settings);
    let (sender, mut receiver) = mpsc::channel(1);
    let listing = tokio::spawn({
        let (provider, asked) = (Arc::clone(&provider), call());
        async move { provider.list(&asked, sender).await }
    });
    let mut read = 0;
    while let Some(found) = receiver.recv().await {
        let Found::Api(listed) = found else { continue };
        provider.read(&call_for(Duration::from_secs(5)), &listed).await.unwrap();
        read += 1;
    }
    listing.await.unwrap().unwrap();
    assert_eq!(read, 30);
}

#[tokio::test]
async fn throttling_without_end_ends_with_the_budget() {
    let shop = Shop::new().await;
    shop.gateway().fault(Failure::Throttled(None).on(Operation::GetRestApis));
    let told = list(&shop.provider, &call_for(Duration::from_secs(2))).await;
    assert!(told.apis.is_empty());
    let error = told.outcome.expect_err("nothing could be read");
    assert!(error.class().is_passing(), "{error:?}");
}

#[tokio::test]
async fn a_limit_that_is_reached_is_not_asked_again() {
    let shop = Shop::new().await;
    shop.gateway().fault(Failure::LimitExceeded.on(Operation::CreateApiKey));
    let error = shop.subscribe(&call()).await.unwrap_err();
    assert_eq!(error.class(), Class::Conflict, "{error:?}");
    assert_eq!(shop.gateway().count(Operation::CreateApiKey), 1);
}

// Whole or not at all.

#[tokio::test]
async fn plans_that_could_not_be_read_are_unknown_not_empty() {
    for failure in
        [Failure::Error(500, "InternalFailure", "Something broke"), Failure::Garbage, Failure::Denied, Failure::CutAmid]
    {
        let shop = Shop::new().await;
        shop.gateway().fault(failure.clone().on(Operation::GetUsagePlans));
        let told = list(&shop.provider, &call_for(Duration::from_secs(2))).await;
        assert!(told.apis.is_empty(), "{failure:?}: {:?}", told.ids());
        told.outcome.expect_err("the only source failed");
    }
}

#[tokio::test]
async fn a_second_page_that_fails_takes_no_plan_away() {
    let mut estate = Estate::large(3, 0);
    let region = estate.region(ACCOUNT, REGION);
    for nth in 0..500 {
        region.plans.push(UsagePlan::new(&format!("more{nth:03}"), "More").covers("large00000", "prod"));
    }
    let shop = Shop::of(estate).await;
    shop.gateway().fault(Failure::Error(500, "InternalFailure", "Broken").on(Operation::GetUsagePlans).after(1));
    let told = list(&shop.provider, &call_for(Duration::from_secs(2))).await;
    assert!(told.apis.is_empty());
    told.outcome.expect_err("the plans are not known");
}

#[tokio::test]
async fn a_passing_failure_of_a_read_is_tried_again() {
    for failure in [Failure::Error(500, "InternalFailure", "Broken"), Failure::CutBefore, Failure::CutAmid] {
        let shop = Shop::new().await;
        shop.gateway().fault(failure.clone().on(Operation::GetRestApis).times(1));
        assert_eq!(listed(&shop.provider).await.apis.len(), 5, "{failure:?}");
    }
}

#[tokio::test]
async fn pages_that_go_round_in_circles_end() {
    let shop = Shop::new().await;
    shop.gateway().fault(Failure::SamePosition.on(Operation::GetRestApis));
    let told = list(&shop.provider, &call_for(Duration::from_secs(10))).await;
    assert!(shop.gateway().count(Operation::GetRestApis) < 10, "{:?}", shop.gateway().calls());
    told.outcome.expect_err("a list without an end is no list");
}

#[tokio::test]
async fn a_region_that_is_down_stops_nobody_else() {
    let mut estate = Estate::demo();
    estate.region(ACCOUNT, "us-east-1").apis.push(RestApi::new("us00000001", "Lost").stage("prod"));
    let shop = Shop::of(estate).await;
    shop.gateway().fault(Failure::Error(503, "ServiceUnavailableException", "Down").always().in_region("us-east-1"));
    let provider = shop.peer.provider(&user(), &[("region", "eu-west-1,us-east-1")]);
    let told = list(&provider, &call_for(Duration::from_secs(3))).await;
    told.outcome.unwrap();
    assert_eq!(told.apis.len(), 5);
    let [(source, error)] = told.failed.as_slice() else { panic!("{:?}", told.failed) };
    assert!(source.contains("us-east-1") && error.class().is_passing(), "{source}: {error:?}");
}

#[tokio::test]
async fn a_denied_right_is_named_and_not_tried_again() {
    let shop = Shop::new().await;
    shop.gateway().fault(Failure::Denied.on(Operation::GetUsagePlans));
    let error = list(&shop.provider, &call()).await.outcome.expect_err("the only source is denied");
    assert_eq!(error.class(), Class::Denied);
    assert!(error.sentence().contains("apigateway:GET") && error.sentence().contains("/usageplans"), "{error}");
    assert_eq!(shop.gateway().count(Operation::GetUsagePlans), 1);
}

#[tokio::test]
async fn a_denied_export_names_its_right() {
    let shop = Shop::new().await;
    let told = listed(&shop.provider).await;
    shop.gateway().fault(Failure::Denied.on(Operation::GetExport));
    let error = shop.provider.read(&call(), told.api(PETS)).await.unwrap_err();
    assert_eq!(error.class(), Class::Denied);
    assert!(error.sentence().contains("apigateway:GET") && error.sentence().contains("/exports/"), "{error}");
}

#[tokio::test]
async fn a_document_that_is_none_is_not_handed_over() {
    let shop = Shop::new().await;
    let told = listed(&shop.provider).await;
    shop.gateway().fault(Failure::Garbage.on(Operation::GetExport));
    let error = shop.provider.read(&call_for(Duration::from_secs(2)), told.api(PETS)).await.unwrap_err();
    // "No document can exist" would have the plane delete the one that it has.
    assert!(error.class().is_passing(), "{error:?}");
}

#[tokio::test]
async fn a_gateway_that_is_away_is_unavailable() {
    let shop = Shop::new().await;
    let api = shop.pets().await;
    shop.gateway().stop();
    let error = list(&shop.provider, &call_for(Duration::from_secs(2))).await.outcome.unwrap_err();
    assert!(error.class().is_passing(), "{error:?}");
    let metadata = texts(&[("aws-api-key-id", "abcdefghij"), ("aws-account-id", ACCOUNT), ("aws-region", REGION)]);
    let error = shop.provider.unsubscribe(&call_for(Duration::from_secs(2)), &api.id, &leaving(metadata)).await;
    assert!(error.expect_err("never gone").class().is_passing());
}

#[tokio::test]
async fn a_receiver_that_went_away_ends_the_list() {
    let shop = Shop::of(Estate::large(1_000, 0)).await;
    let (sender, mut receiver) = mpsc::channel(1);
    let (provider, asked) = (Arc::clone(&shop.provider), call());
    let listing = tokio::spawn(async move { provider.list(&asked, sender).await });
    receiver.recv().await.expect("the first");
    drop(receiver);
    listing.await.unwrap().unwrap();
}

// Forms that only some gateways have.

#[tokio::test]
async fn a_base_path_with_a_slash_gives_no_double_slash() {
    let mut estate = Estate::demo();
    for api in &mut estate.region(ACCOUNT, REGION).apis {
        api.slashed_base_path = true;
    }
    let shop = Shop::of(estate).await;
    let told = listed(&shop.provider).await;
    let api = shop.provider.read(&call(), told.api(PETS)).await.unwrap();
    let document: Value = serde_json::from_str(&api.documents[0].content).unwrap();
    let server = document["servers"][0]["url"].as_str().unwrap();
    assert_eq!(server, "https://p3ts7ore01.execute-api.eu-west-1.amazonaws.com/prod");
}

#[tokio::test]
async fn a_chinese_region_has_its_own_domain() {
    let mut estate = Estate::new();
    estate.anybody(ACCOUNT);
    let region = estate.region(ACCOUNT, "cn-north-1");
    region.apis.push(RestApi::new("china00001", "Tea").stage("prod").method("GET", "/"));
    region.plans.push(UsagePlan::new("plan01", "Plan").covers("china00001", "prod"));
    let peer = Peer::of(Gateway::start(estate).await.unwrap());
    let provider = peer.provider(&user(), &[("region", "cn-north-1")]);
    let told = listed(&provider).await;
    let api = provider.read(&call(), told.api("cn-north-1:china00001:prod")).await.unwrap();
    let url = "https://china00001.execute-api.cn-north-1.amazonaws.com.cn/prod";
    assert_eq!(api.connection["url"], url);
    assert!(api.documents[0].content.contains(url));
}

#[tokio::test]
async fn the_standin_says_how_it_stands() {
    let shop = Shop::new().await;
    shop.subscribe(&call()).await.unwrap();
    let (status, state) = raw::send(shop.gateway().address(), "GET", "/standin/state", &[], "").await.unwrap();
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!((status, &state["keys"], &state["bound"]), (200, &1.into(), &1.into()));
    assert_eq!(state["calls"]["CreateApiKey"], 1);
}

//! What no peer does on demand: throttling, limits, broken answers, cut connections, refusals. On the stand-in alone.

use std::{sync::Arc, time::Duration};

use federation_agent::{
    model::{Api, Class, Error, Grant},
    provider::{Call, Provider, Revoked},
    standin::{
        ACCOUNT, Estate, Failure, Gateway, GatewaySettings, Operation, Pace, REGION, Request, RestApi, UsagePlan,
    },
};
use serde_json::Value;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::suite::{
    asking::{asking, call, call_for, ending, leaving, list, listed, texts},
    peer::{Peer, User},
    raw,
};

/// The demo's estate, with this failure.
struct Shop {
    peer: Peer,
    provider: Arc<dyn Provider>,
}

const PETS: &str = "eu-west-1:p3ts7ore01:prod";
const GOLD: &str = "g0ld77";

impl Shop {
    async fn new() -> Self {
        Self::of(Estate::demo()).await
    }

    async fn of(estate: Estate) -> Self {
        let peer = Peer::of(Gateway::start(estate).await.expect("a loopback port"));
        let provider = peer.provider(&user(), &[("region", REGION)]);
        Self { peer, provider }
    }

    fn gateway(&self) -> &Gateway {
        self.peer.gateway().expect("the stand-in")
    }

    async fn pets(&self) -> Api {
        listed(&self.provider).await.api(PETS).api.clone()
    }

    /// Subscribes to Petstore's Gold plan.
    async fn subscribe(&self, call: &Call) -> Result<Grant, Error> {
        let api = self.pets().await;
        self.gateway().forget();
        self.provider.subscribe(call, &api.id, &asking(&api, GOLD)).await
    }

    fn keys(&self) -> usize {
        self.gateway().with(|estate| estate.keys().count())
    }
}

fn user() -> User {
    User { access_key_id: "AKIAANYBODY000000000".to_owned(), secret: "any".to_owned() }
}

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

// Creating once.

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_not_repeated() {
    for failure in [Failure::CutBefore, Failure::CutAfter, Failure::CutAmid, Failure::Garbage] {
        let shop = Shop::new().await;
        shop.gateway().fault(failure.clone().on(Operation::CreateApiKey).times(1));
        let error = shop.subscribe(&call()).await.expect_err("nobody knows whether there is a key");
        assert!(error.class().is_passing() || error.class() == Class::Bug, "{failure:?}: {error:?}");
        assert_eq!(shop.gateway().count(Operation::CreateApiKey), 1, "{failure:?}");
    }
}

#[tokio::test]
async fn a_create_that_certainly_made_nothing_may_be_repeated_and_makes_one() {
    let shop = Shop::new().await;
    shop.gateway().fault(Failure::Throttled(None).on(Operation::CreateApiKey).times(2));
    shop.subscribe(&call()).await.unwrap();
    assert_eq!(shop.keys(), 1);
}

#[tokio::test]
async fn a_key_that_could_not_be_bound_is_deleted() {
    for failure in [
        Failure::Error(404, "NotFoundException", "Invalid Usage Plan identifier specified"),
        Failure::Error(409, "ConflictException", "Usage plan key already exists"),
        Failure::Error(400, "BadRequestException", "Usage Plan is not what it was"),
        Failure::Denied,
        Failure::LimitExceeded,
    ] {
        let shop = Shop::new().await;
        shop.gateway().fault(failure.clone().on(Operation::CreateUsagePlanKey));
        let error = shop.subscribe(&call()).await.expect_err("it cannot be bound");
        assert!(!error.sentence().is_empty() && !error.class().is_passing(), "{failure:?}: {error:?}");
        assert_eq!((shop.gateway().count(Operation::CreateApiKey), shop.keys()), (1, 0), "{failure:?}");
    }
}

#[tokio::test]
async fn a_binding_nobody_knows_of_is_undone_with_its_key() {
    for failure in [Failure::CutAfter, Failure::CutAmid] {
        let shop = Shop::new().await;
        shop.gateway().fault(failure.clone().on(Operation::CreateUsagePlanKey));
        let outcome = shop.subscribe(&call()).await;
        // Binding again is refused as a duplicate, which proves the binding: either way is right, a stray key is not.
        let expected = usize::from(outcome.is_ok());
        assert_eq!(shop.keys(), expected, "{failure:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn undoing_is_tried_again_when_it_fails() {
    let shop = Shop::new().await;
    shop.gateway().fault(Failure::Denied.on(Operation::CreateUsagePlanKey));
    shop.gateway()
        .fault(Failure::Error(503, "ServiceUnavailableException", "Later").on(Operation::DeleteApiKey).times(1));
    shop.subscribe(&call()).await.unwrap_err();
    assert_eq!((shop.gateway().count(Operation::DeleteApiKey), shop.keys()), (2, 0));
}

#[tokio::test]
async fn a_subscription_that_nobody_waits_for_is_undone() {
    let shop = Shop::new().await;
    let held = CancellationToken::new();
    shop.gateway().fault(Failure::Held(held.clone()).on(Operation::CreateApiKey));
    let wanted = call();
    let giving_up = async {
        let made = |request: &Request| request.operation == Some(Operation::CreateApiKey);
        shop.gateway().until(|requests| requests.iter().any(made)).await;
        wanted.cancel.cancel();
        // What is made must be known, or it cannot be removed: the answer is waited for.
        held.cancel();
    };
    let (outcome, ()) = tokio::join!(shop.subscribe(&wanted), giving_up);
    outcome.expect_err("nobody waits for it");
    assert_eq!(shop.keys(), 0);
}

#[tokio::test]
async fn a_subscription_that_runs_out_of_time_is_undone() {
    let shop = Shop::new().await;
    let held = CancellationToken::new();
    shop.gateway().fault(Failure::Held(held.clone()).on(Operation::CreateUsagePlanKey));
    let outcome = shop.subscribe(&call_for(Duration::from_millis(2_300))).await;
    let error = outcome.expect_err("it ran out of time");
    assert!(error.class().is_passing(), "{error:?}");
    assert_eq!((shop.gateway().count(Operation::CreateApiKey), shop.keys()), (1, 0));
    held.cancel();
}

#[tokio::test]
async fn a_subscription_without_time_is_not_begun() {
    let shop = Shop::new().await;
    let error = shop.subscribe(&call_for(Duration::from_millis(500))).await.expect_err("there is no time");
    assert!(error.class().is_passing(), "{error:?}");
    assert_eq!(shop.gateway().count(Operation::CreateApiKey), 0);
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
    shop.provider.read(&call_for(Duration::from_secs(2)), told.api(PETS)).await.unwrap_err();
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

// Ends of subscriptions.

#[tokio::test]
async fn an_end_whose_answer_was_lost_is_still_an_end() {
    let shop = Shop::new().await;
    let api = shop.pets().await;
    let grant = shop.subscribe(&call()).await.unwrap();
    shop.gateway().fault(Failure::CutAfter.on(Operation::DeleteApiKey).times(1));
    shop.provider.unsubscribe(&call(), &api.id, &ending(&api, &grant)).await.unwrap();
    assert_eq!(shop.keys(), 0);
}

#[tokio::test]
async fn a_key_is_not_gone_while_one_account_cannot_be_asked() {
    let shop = Shop::new().await;
    shop.gateway().fault(Failure::Denied.on(Operation::DeleteApiKey).in_region("us-east-1"));
    let provider = shop.peer.provider(&user(), &[("region", "eu-west-1,us-east-1")]);
    let nowhere = leaving(texts(&[("aws-api-key-id", "abcdefghij")]));
    let error = provider.unsubscribe(&call(), "an-id-of-another", &nowhere).await.expect_err("one did not answer");
    assert!(error.sentence().contains(ACCOUNT), "{error}");
    shop.gateway().heal();
    let revoked = provider.unsubscribe(&call(), "an-id-of-another", &nowhere).await.unwrap();
    assert_eq!(revoked, Revoked::AlreadyGone);
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

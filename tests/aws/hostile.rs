//! Answers that AWS never gives, and something in its place might. On the stand-in alone.

use std::time::Duration;

use federation_agent::{
    model::{Class, SubscriptionKind},
    provider::Revoked,
    standin::{ACCOUNT, Estate, Failure, Operation, REGION, RestApi, UsagePlan},
};

use crate::{
    shop::{GOLD, Shop, user},
    suite::{
        asking::{asking, call, call_for, leaving, list, listed, nobody, texts},
        discovery::{id, shop},
        peer::Peer,
    },
};

/// Without its plans an API would lose them in the plane, and its subscriptions with them.
#[tokio::test]
async fn a_list_that_is_not_told_is_not_empty() {
    for answer in [
        "{}",
        r#"{"item":null}"#,
        r#"{"_embedded":{"item":[]}}"#,
        r#"{"item":[{"name":"Gold"}]}"#,
        r#"{"item":[{"id":""}]}"#,
        r#"{"item":[{"id":"g0ld77","apiStages":[{"apiId":"p3ts7ore01"}]}]}"#,
    ] {
        let shop = Shop::new().await;
        shop.gateway().fault(Failure::Answer(answer).on(Operation::GetUsagePlans));
        let provider = shop.peer.provider(&user(), &[("region", REGION), ("acceptApiWithoutUsagePlan", "true")]);
        let told = list(&provider, &call_for(Duration::from_secs(1))).await;
        assert!(told.apis.is_empty(), "{answer}: {:?}", told.ids());
        assert!(told.outcome.expect_err("the only source failed").class().is_passing(), "{answer}");
    }
    let shop = Shop::new().await;
    shop.gateway().fault(Failure::Answer("{}").on(Operation::GetRestApis));
    list(&shop.provider, &call_for(Duration::from_secs(1))).await.outcome.expect_err("no list of APIs");
}

#[tokio::test]
async fn an_answer_without_end_is_broken_off() {
    let shop = Shop::new().await;
    shop.gateway().fault(Failure::Huge(13 << 20).on(Operation::GetRestApis));
    let error = list(&shop.provider, &call_for(Duration::from_secs(2))).await.outcome.expect_err("it is too long");
    assert!(error.class().is_passing(), "{error:?}");
    shop.gateway().heal();
    shop.gateway().fault(Failure::Huge(8 << 20).on(Operation::GetRestApis));
    listed(&shop.provider).await;
}

#[tokio::test]
async fn what_could_not_be_read_again_is_left_out_by_name() {
    let mut estate = Estate::new();
    estate.anybody(ACCOUNT);
    let region = estate.region(ACCOUNT, REGION);
    region.apis.push(RestApi::new("good000001", "Good").stage("prod"));
    region.apis.push(RestApi::new("bad:000001", "Colon").stage("prod"));
    region.apis.push(RestApi::new("odd0000001", "Stage").stage("$default"));
    region.plans.push(
        UsagePlan::new("plan01", "Plan")
            .covers("good000001", "prod")
            .covers("bad:000001", "prod")
            .covers("odd0000001", "$default"),
    );
    let told = listed(&Shop::of(estate).await.provider).await;
    assert_eq!(told.ids(), ["eu-west-1:good000001:prod"]);
    for name in ["bad:000001", "odd0000001"] {
        assert!(told.left_out.iter().any(|(what, _)| what.contains(name)), "{:?}", told.left_out);
    }
}

#[tokio::test]
async fn members_that_are_null_are_not_known() {
    let shop = Shop::new().await;
    let answer = r#"{"item":[{"id":null,"name":"Nobody"},{"id":"p3ts7ore01","name":null,"version":null,"tags":null,
        "endpointConfiguration":null,"apiKeySource":"SOMETHING_NEW","disableExecuteApiEndpoint":null}]}"#;
    shop.gateway().fault(Failure::Answer(answer).on(Operation::GetRestApis));
    let told = listed(&shop.provider).await;
    assert!(told.apis.iter().all(|listed| listed.api.name.starts_with("p3ts7ore01 (")), "{:?}", told.apis);
    assert!(!told.apis.is_empty());
}

#[tokio::test]
async fn a_key_that_is_not_named_is_not_made_again() {
    for answer in ["{}", r#"{"id":null}"#, r#"{"id":"","value":""}"#] {
        let shop = Shop::new().await;
        shop.gateway().fault(Failure::Answer(answer).on(Operation::CreateApiKey));
        let error = shop.subscribe(&call()).await.expect_err("nobody knows its id");
        assert!(error.sentence().contains("may exist") && error.sentence().contains("gravitee-"), "{error}");
        let counts = [Operation::CreateApiKey, Operation::CreateUsagePlanKey, Operation::DeleteApiKey]
            .map(|operation| shop.gateway().count(operation));
        assert_eq!(counts, [1, 0, 0], "{answer}");
    }
}

/// Two accounts, of which one does not answer: the other's API is found all the same.
#[tokio::test]
async fn an_account_that_is_down_does_not_hide_anothers_api() {
    let peer = Peer::standin().await;
    let (home, one, two) = (peer.account(), peer.account(), peer.account());
    for account in [&one, &two] {
        peer.build(account, REGION, shop(account)).await;
    }
    let roles = [peer.role(&one, "federation", None).await, peer.role(&two, "federation", None).await].join(",");
    let provider = peer.provider(&peer.user(&home, "agent").await, &[("region", REGION), ("roleArn", &roles)]);
    let gateway = peer.gateway().expect("the stand-in");
    gateway.fault(Failure::Error(503, "ServiceUnavailableException", "Down").always().in_account(&one));
    let url = |account: &str| format!("https://{}.execute-api.{REGION}.amazonaws.com/prod", id(account, "pets"));
    let gold = peer.plan(&two, REGION, "Gold").await;
    let subscription = |account: &str| {
        let mut subscription = leaving(texts(&[("url", &url(account)), ("planId", &gold)]));
        subscription.kind = Some(SubscriptionKind::ApiKey);
        subscription
    };
    provider.subscribe(&call(), "an-id-of-another", &subscription(&two), &nobody()).await.expect("the other has it");
    let missing =
        provider.subscribe(&call_for(Duration::from_secs(5)), "an-id-of-another", &subscription(&one), &nobody()).await;
    let error = missing.expect_err("its account does not answer");
    assert!(error.class().is_passing() && error.sentence().contains(&one), "{error:?}");
}

/// Two roles into one account, of which one may delete nothing: the other is asked.
#[tokio::test]
async fn another_role_of_the_account_is_asked_where_one_is_refused() {
    let peer = Peer::standin().await;
    let (home, account) = (peer.account(), peer.account());
    let roles = [peer.role(&account, "reads", None).await, peer.role(&account, "writes", None).await].join(",");
    let provider = peer.provider(&peer.user(&home, "agent").await, &[("region", REGION), ("roleArn", &roles)]);
    let session = "federation-agent-1f0b2c3d-0000-4000-8000-00000000cafe";
    let arn = format!("arn:aws:sts::{account}:assumed-role/reads/{session}");
    peer.gateway().expect("the stand-in").fault(Failure::Denied.on(Operation::DeleteApiKey).by(&arn));
    for named in [true, false] {
        let made = peer.root(&account, REGION).create_api_key().name("theirs").enabled(true).send().await;
        let made = made.expect("root may");
        let mut metadata = texts(&[("aws-api-key-id", made.id().expect("an id")), ("aws-region", REGION)]);
        if named {
            metadata.insert("aws-account-id".to_owned(), account.clone());
        }
        for expected in [Revoked::Deleted, Revoked::AlreadyGone] {
            let revoked = provider.unsubscribe(&call(), "x", &leaving(metadata.clone())).await;
            assert_eq!(revoked.map_err(|error| error.class()), Ok::<_, Class>(expected));
        }
    }
}

/// A usage plan can go on naming a REST API that is deleted: no key is made for it.
#[tokio::test]
async fn an_api_that_only_its_plan_still_names_gets_no_key() {
    let shop = Shop::new().await;
    let api = shop.pets().await;
    // Another life of the agent, which remembers nothing.
    let provider = shop.peer.provider(&user(), &[("region", REGION)]);
    shop.gateway().fault(Failure::Answer(r#"{"item":[]}"#).on(Operation::GetRestApis));
    let error = provider.subscribe(&call(), &api.id, &asking(&api, GOLD), &nobody()).await.expect_err("it is gone");
    assert_eq!(error.class(), Class::NotFound, "{error:?}");
    assert!(error.sentence().contains("is not there any more"), "{error:?}");
    assert_eq!(shop.gateway().count(Operation::CreateApiKey), 0);
    // A list that cannot be read proves nothing.
    shop.gateway().heal();
    shop.gateway().fault(Failure::Answer("{}").on(Operation::GetRestApis));
    provider.subscribe(&call(), &api.id, &asking(&api, GOLD), &nobody()).await.expect("the plan covers it");
}

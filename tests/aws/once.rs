//! A subscription makes one key or none, whatever goes wrong, and its end is one. On the stand-in alone.

use std::time::Duration;

use federation_agent::{
    model::Class,
    provider::Revoked,
    standin::{ACCOUNT, Failure, Operation, Request},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    shop::{GOLD, Shop, user},
    suite::asking::{asking, call, call_for, ending, leaving, nobody, texts},
};

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

/// Whoever asked may be dropped at any point: what is made until then is undone.
#[tokio::test]
async fn a_subscription_that_is_dropped_half_way_leaves_no_key() {
    for operation in [Operation::GetUsagePlans, Operation::CreateApiKey, Operation::CreateUsagePlanKey] {
        let shop = Shop::new().await;
        let api = shop.pets().await;
        shop.gateway().forget();
        let held = CancellationToken::new();
        shop.gateway().fault(Failure::Held(held.clone()).on(operation));
        let asked = tokio::spawn({
            let (provider, api) = (shop.provider.clone(), api.clone());
            async move { provider.subscribe(&call(), &api.id, &asking(&api, GOLD), &nobody()).await }
        });
        let came = |request: &Request| request.operation == Some(operation);
        shop.gateway().until(|requests| requests.iter().any(came)).await;
        asked.abort();
        asked.await.expect_err("it was dropped");
        held.cancel();
        let undone =
            |request: &Request| request.operation == Some(Operation::DeleteApiKey) && request.status == Some(202);
        shop.gateway().until(|requests| requests.iter().any(undone)).await;
        assert_eq!((shop.gateway().count(Operation::CreateApiKey), shop.keys()), (1, 0), "{operation:?}");
    }
}

/// A quota that is used up while a key is undone: the answer waits no longer than undoing may, and says who goes on.
#[tokio::test]
async fn what_could_not_be_undone_in_time_is_said_to_be_tried_on() {
    let shop = Shop::new().await;
    shop.gateway().fault(Failure::Denied.on(Operation::CreateUsagePlanKey));
    // More than the two seconds and the six that undoing has.
    shop.gateway().fault(Failure::Throttled(Some(9)).on(Operation::DeleteApiKey).times(1));
    let began = Instant::now();
    let error = shop.subscribe(&call_for(Duration::from_millis(2_500))).await.expect_err("it cannot be bound");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert_eq!(error.class(), Class::Denied, "{error:?}");
    for told in ["goes on trying", "federation-agent grants", "api key"] {
        assert!(error.sentence().to_lowercase().contains(told), "{error}");
    }
    assert_eq!(shop.keys(), 1);
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

//! Keys that are known by their names alone: found, spared, listed; and never anybody else's.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_sdk_apigateway::Client;
use federation_agent::{
    model::{Class, Error},
    provider::{Held, Keys, Provider, Revoked},
    standin::{ApiKey, Failure, Operation},
};
use tokio::sync::mpsc;

use super::{
    asking::{asking, call, leaving, listed, nobody, texts},
    cases::table,
    discovery::{REGION, id, shop},
    peer::{INTEGRATION, Peer},
};

table! {
    a_leftover_is_found_by_its_exact_name,
    a_leftover_is_looked_for_where_it_can_be,
    a_leftover_that_appears_late_is_found_then,
    a_leftover_elsewhere_is_never_gone,
    refused_credentials_are_no_missing_right,
    missing_rights_to_look_are_named_for_their_partition,
    keys_of_this_integration_are_listed_and_no_others,
    keys_of_every_page_are_listed,
    two_roles_of_an_account_list_a_key_once,
    a_source_that_cannot_be_listed_hides_no_other,
}

const SUBSCRIPTION: &str = "5ab5c21b-0000-4000-8000-000000000001";
const ANOTHER: &str = "5ab5c21b-0000-4000-8000-000000000002";

fn name(subscription: &str) -> String {
    format!("gravitee-{INTEGRATION}-{subscription}")
}

async fn made(root: &Client, name: &str) -> String {
    let made = root.create_api_key().name(name).enabled(true).send().await.expect("root may");
    made.id().expect("an id").to_owned()
}

/// The agent's provider as a user of a new account, and that account.
async fn at_home(peer: &Peer, regions: &str) -> (String, Arc<dyn Provider>) {
    let account = peer.account();
    let user = peer.user(&account, "agent").await;
    let provider = peer.provider(&user, &[("region", regions)]);
    (account, provider)
}

/// A stand-in of its own, for a case that spoils or counts calls which others make too.
async fn apart(peer: Peer) -> Peer {
    if peer.gateway().is_some() { Peer::standin().await } else { peer }
}

#[track_caller]
fn may_not_look<T: std::fmt::Debug>(outcome: Result<T, Error>, account: &str) {
    let error = outcome.expect_err("it may not look");
    assert_eq!(error.class(), Class::Denied, "{error:?}");
    for told in ["apigateway:GET", "::/apikeys", "iam/find-leftovers.json", account] {
        assert!(error.sentence().contains(told), "{told}: {error}");
    }
}

async fn a_leftover_is_found_by_its_exact_name(peer: Peer) {
    let (account, provider) = at_home(&peer, REGION).await;
    let root = peer.root(&account, REGION);
    let mut others = BTreeSet::new();
    for other in [&format!("{}-copy", name(SUBSCRIPTION)), &name(ANOTHER), "gravitee-", "theirs"] {
        others.insert(made(&root, other).await);
    }
    others.insert(root.create_api_key().enabled(true).send().await.expect("root may").id().expect("an id").to_owned());
    let spared = made(&root, &name(SUBSCRIPTION)).await;
    others.insert(spared.clone());
    for _ in 0..2 {
        made(&root, &name(SUBSCRIPTION)).await;
    }
    let trace = texts(&[("aws-account-id", &account), ("aws-region", REGION)]);
    let spare = [texts(&[("aws-api-key-id", &spared), ("aws-region", REGION)]), texts(&[("url", "x")])];
    let sweep = async || provider.sweep(&call(), "x", SUBSCRIPTION, &trace, &spare).await;
    if !peer.may_find() {
        return may_not_look(sweep().await, &account);
    }
    assert_eq!(sweep().await.expect("it may"), Revoked::Deleted);
    assert_eq!(peer.keys(&account, REGION).await.into_iter().collect::<BTreeSet<_>>(), others);
    assert_eq!(sweep().await.expect("it may"), Revoked::AlreadyGone);
    assert_eq!(peer.keys(&account, REGION).await.len(), others.len());
}

/// In the region that the trace names and in no other; without a trace, everywhere.
async fn a_leftover_is_looked_for_where_it_can_be(peer: Peer) {
    if !peer.may_find() {
        return;
    }
    let (account, provider) = at_home(&peer, "eu-west-1,us-east-1").await;
    made(&peer.root(&account, "us-east-1"), &name(SUBSCRIPTION)).await;
    let trace = texts(&[("aws-account-id", &account), ("aws-region", REGION)]);
    let swept = provider.sweep(&call(), "x", SUBSCRIPTION, &trace, &[]).await;
    assert_eq!(swept.expect("it may"), Revoked::AlreadyGone);
    assert_eq!(peer.keys(&account, "us-east-1").await.len(), 1, "it is of another region");
    let swept = provider.sweep(&call(), "x", SUBSCRIPTION, &texts(&[]), &[]).await;
    assert_eq!(swept.expect("it may"), Revoked::Deleted);
    assert!(peer.keys(&account, "us-east-1").await.is_empty());
}

async fn a_leftover_that_appears_late_is_found_then(peer: Peer) {
    if !peer.may_find() {
        return;
    }
    let (account, provider) = at_home(&peer, REGION).await;
    let trace = texts(&[("aws-account-id", &account), ("aws-region", REGION)]);
    let sweep = async || provider.sweep(&call(), "x", SUBSCRIPTION, &trace, &[]).await;
    assert_eq!(sweep().await.expect("it may"), Revoked::AlreadyGone);
    made(&peer.root(&account, REGION), &name(SUBSCRIPTION)).await;
    assert_eq!(sweep().await.expect("it may"), Revoked::Deleted);
}

async fn a_leftover_elsewhere_is_never_gone(peer: Peer) {
    let (_, provider) = at_home(&peer, REGION).await;
    let elsewhere = texts(&[("aws-account-id", "999999999999"), ("aws-region", REGION)]);
    let error = provider.sweep(&call(), "x", SUBSCRIPTION, &elsewhere, &[]).await.expect_err("nobody can say");
    assert_eq!(error.class(), Class::Invalid, "{error:?}");
    assert!(error.sentence().contains("999999999999") && error.sentence().contains("roleArn"), "{error}");
}

/// Whoever asks tries on then: a key is put aside only where the right is missing.
async fn refused_credentials_are_no_missing_right(peer: Peer) {
    let peer = apart(peer).await;
    let Some(gateway) = peer.gateway() else { return };
    let (account, provider) = at_home(&peer, REGION).await;
    let trace = texts(&[("aws-account-id", &account), ("aws-region", REGION)]);
    for refusal in [
        Failure::Error(403, "ExpiredTokenException", "The security token included in the request is expired"),
        Failure::Error(403, "SomethingElse", "Blocked by the proxy"),
    ] {
        gateway.fault(refusal.clone().on(Operation::GetApiKeys));
        let error = provider.sweep(&call(), "x", SUBSCRIPTION, &trace, &[]).await.expect_err("it is refused");
        assert!(error.class().is_passing(), "{refusal:?}: {error:?}");
        gateway.heal();
    }
}

/// China's ARNs begin otherwise.
async fn missing_rights_to_look_are_named_for_their_partition(peer: Peer) {
    let peer = apart(peer).await;
    let (account, provider) = at_home(&peer, "cn-north-1").await;
    if let Some(gateway) = peer.gateway() {
        gateway.fault(Failure::Denied.on(Operation::GetApiKeys));
    } else if peer.may_find() {
        return;
    }
    let trace = texts(&[("aws-account-id", &account), ("aws-region", "cn-north-1")]);
    let error = provider.sweep(&call(), "x", SUBSCRIPTION, &trace, &[]).await.expect_err("it may not");
    assert!(error.sentence().contains("arn:aws-cn:apigateway:cn-north-1::/apikeys"), "{error}");
    may_not_look(Err::<(), _>(error), &account);
}

/// What a listing found.
struct Listing {
    keys: Vec<Held>,
    failed: Vec<(String, Error)>,
    outcome: Result<(), Error>,
}

async fn keys(provider: &Arc<dyn Provider>, known: &[&str]) -> Listing {
    let (sender, mut receiver) = mpsc::channel(1);
    let known: BTreeSet<String> = known.iter().map(|id| (*id).to_owned()).collect();
    let listing = tokio::spawn({
        let provider = Arc::clone(provider);
        async move { provider.keys(&call(), &known, sender).await }
    });
    let (mut keys, mut failed) = (Vec::new(), Vec::new());
    while let Some(found) = receiver.recv().await {
        match found {
            Keys::Key(key) => keys.push(*key),
            Keys::Failed { source, error } => failed.push((source, error)),
        }
    }
    keys.sort_by(|one: &Held, other| one.name.cmp(&other.name));
    Listing { keys, failed, outcome: listing.await.expect("a provider does not panic") }
}

async fn keys_of_this_integration_are_listed_and_no_others(peer: Peer) {
    let peer = apart(peer).await;
    let (account, provider) = at_home(&peer, REGION).await;
    peer.build(&account, REGION, shop(&account)).await;
    let root = peer.root(&account, REGION);
    for other in [
        &format!("gravitee-{INTEGRATION}-more-{SUBSCRIPTION}"),
        &format!("gravitee-{INTEGRATION}-{SUBSCRIPTION}-copy"),
        &format!("gravitee-{INTEGRATION}-production"),
        &format!("gravitee-{INTEGRATION}-"),
        &format!("gravitee-{INTEGRATION}"),
        &format!("gravitee-2f0b2c3d-0000-4000-8000-00000000cafe-{SUBSCRIPTION}"),
        &format!("gravitee--{SUBSCRIPTION}"),
        "somebody-else's",
    ] {
        made(&root, other).await;
    }
    root.create_api_key().enabled(true).send().await.expect("root may");
    let known = made(&root, "of-another-agent").await;
    let disabled = root.create_api_key().name(name(ANOTHER)).enabled(false).send().await.expect("root may");
    let gold = peer.plan(&account, REGION, "Gold").await;
    let api = listed(&provider).await.api(&format!("{REGION}:{}:prod", id(&account, "pets"))).api.clone();
    let grant = provider.subscribe(&call(), &api.id, &asking(&api, &gold), &nobody()).await.expect("it can");

    let told = keys(&provider, &[&known, "gone-since"]).await;
    if !peer.may_find() {
        assert!(told.keys.is_empty());
        return may_not_look(told.outcome, &account);
    }
    told.outcome.expect("it may look");
    let [mine, another, theirs] = told.keys.as_slice() else { panic!("{:?}", told.keys) };
    assert_eq!((&mine.name, mine.subscription.as_deref()), (&name(SUBSCRIPTION), Some(SUBSCRIPTION)));
    assert_eq!((mine.key_id.as_str(), mine.enabled), (grant.metadata["aws-api-key-id"].as_str(), true));
    assert_eq!((another.key_id.as_str(), another.enabled), (disabled.id().expect("an id"), false));
    assert_eq!((another.name.as_str(), another.subscription.as_deref()), (name(ANOTHER).as_str(), Some(ANOTHER)));
    assert_eq!((theirs.key_id.as_str(), theirs.subscription.as_deref()), (known.as_str(), None));
    let age = SystemTime::now().duration_since(mine.created.expect("a moment")).unwrap_or_default();
    assert!(age < Duration::from_mins(5), "{age:?}");
    // MiniStack tells every plan, whatever key is asked for.
    if peer.gateway().is_some() {
        assert_eq!((&mine.plans, &another.plans), (&vec![gold], &Vec::new()));
        assert_eq!(mine.metadata, grant.metadata);
    }
    for key in [mine, another, theirs] {
        let revoked = provider.unsubscribe(&call(), "x", &leaving(key.metadata.clone())).await;
        assert_eq!(revoked.expect("what is told is enough"), Revoked::Deleted);
    }
    assert!(keys(&provider, &[&known]).await.keys.is_empty());
    if let Some(gateway) = peer.gateway() {
        // What others made is looked at only when their keys are wanted, and no value ever.
        gateway.forget();
        assert!(keys(&provider, &[]).await.keys.is_empty());
        let [request] = &gateway.requests()[..] else { panic!("{:?}", gateway.requests()) };
        assert!(request.query.contains(&format!("name=gravitee-{INTEGRATION}-")), "{}", request.query);
        assert!(!request.query.contains("includeValues=true"), "{}", request.query);
    }
}

/// Only on the stand-in: it takes its time to make so many.
async fn keys_of_every_page_are_listed(peer: Peer) {
    let peer = apart(peer).await;
    let Some(gateway) = peer.gateway() else { return };
    let (account, provider) = at_home(&peer, REGION).await;
    gateway.with(|estate| {
        let keys = &mut estate.region(&account, REGION).keys;
        for nth in 0..1_201_u32 {
            let ours = format!("gravitee-{INTEGRATION}-5ab5c21b-0000-4000-8000-{nth:012}");
            let name = if nth % 100 == 0 { ours } else { format!("theirs-{nth}") };
            let (id, value) = (format!("key{nth:07}"), format!("a-value-of-twenty-letters-{nth}"));
            let (name, description, tags) = (Some(name), None, std::collections::BTreeMap::default());
            keys.push(ApiKey { id, value, name, description, enabled: true, tags, created: 1 });
        }
    });
    gateway.forget();
    let told = keys(&provider, &["key0000001"]).await;
    told.outcome.expect("it may look");
    assert_eq!(told.keys.len(), 13 + 1);
    assert_eq!((gateway.count(Operation::GetApiKeys), gateway.count(Operation::GetUsagePlans)), (3, 14));

    // A list without an end is no list, and nobody who listens ends it.
    gateway.fault(Failure::SamePosition.on(Operation::GetApiKeys));
    let told = keys(&provider, &["key0000001"]).await;
    assert_eq!(told.keys.len(), 5, "the first page's, once");
    told.outcome.expect_err("it goes round");
    gateway.heal();
    let (sender, receiver) = mpsc::channel(1);
    drop(receiver);
    gateway.forget();
    provider.keys(&call(), &BTreeSet::from(["x".to_owned()]), sender).await.expect("nobody minds");
    assert_eq!(gateway.count(Operation::GetApiKeys), 1);
}

async fn two_roles_of_an_account_list_a_key_once(peer: Peer) {
    let (home, account) = (peer.account(), peer.account());
    let roles = [peer.role(&account, "one", None).await, peer.role(&account, "two", None).await].join(",");
    let provider = peer.provider(&peer.user(&home, "agent").await, &[("region", REGION), ("roleArn", &roles)]);
    let key = made(&peer.root(&account, REGION), &name(SUBSCRIPTION)).await;
    // The agent's own account is none of those that are federated.
    made(&peer.root(&home, REGION), &name(ANOTHER)).await;
    let told = keys(&provider, &[]).await;
    if !peer.may_find() {
        return may_not_look(told.outcome, &account);
    }
    told.outcome.expect("it may look");
    let [found] = told.keys.as_slice() else { panic!("{:?}", told.keys) };
    assert_eq!((&found.key_id, &found.metadata["aws-account-id"]), (&key, &account));
}

async fn a_source_that_cannot_be_listed_hides_no_other(peer: Peer) {
    let peer = apart(peer).await;
    if peer.gateway().is_none() && peer.may_find() {
        return;
    }
    let (account, provider) = at_home(&peer, "eu-west-1,us-east-1").await;
    made(&peer.root(&account, REGION), &name(SUBSCRIPTION)).await;
    if let Some(gateway) = peer.gateway() {
        gateway.fault(Failure::Denied.on(Operation::GetApiKeys).in_region("us-east-1"));
        let told = keys(&provider, &[]).await;
        told.outcome.expect("one could be read");
        let [(source, error)] = told.failed.as_slice() else { panic!("{:?}", told.failed) };
        assert!(source.contains(&account) && source.contains("us-east-1"), "{source}");
        assert_eq!((told.keys.len(), error.class()), (1, Class::Denied), "{error:?}");
        gateway.fault(Failure::Denied.on(Operation::GetApiKeys));
    }
    let told = keys(&provider, &[]).await;
    assert_eq!((told.keys.len(), told.failed.len()), (0, 2));
    may_not_look(told.outcome, &account);
}

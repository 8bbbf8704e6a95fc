//! Subscriptions through the provider: keys made, bound, removed.

use std::sync::Arc;

use federation_agent::{
    model::{Api, Class, SubscriptionKind},
    provider::{Provider, Revoked, Verdict},
    standin::{Failure, Operation},
};
use secrecy::ExposeSecret;

use super::{
    asking::{asking, call, ending, leaving, listed, nobody, texts},
    cases::table,
    discovery::{REGION, id, shop},
    peer::{INTEGRATION, Peer, User},
    raw,
};

table! {
    a_key_is_made_bound_and_removed,
    a_key_opens_the_api_and_then_not_any_more,
    removing_twice_is_gone_twice,
    what_cannot_be_subscribed_to_leaves_no_key,
    other_kinds_of_access_are_refused,
    a_key_goes_to_the_account_of_its_api,
    apis_of_another_agent_are_resolved,
    keys_of_another_agent_are_removed,
    keys_are_looked_for_where_they_can_be,
    an_account_that_is_not_ours_is_never_gone,
    a_subscription_that_names_no_key_is_ended_by_the_keys_name,
    missing_rights_are_named,
    the_agent_says_who_it_is,
    wrong_credentials_are_told_once,
}

/// A shop, its account, and the agent's provider there.
struct Shop {
    account: String,
    user: User,
    provider: Arc<dyn Provider>,
}

impl Shop {
    async fn new(peer: &Peer) -> Self {
        let account = peer.account();
        peer.build(&account, REGION, shop(&account)).await;
        let user = peer.user(&account, "agent").await;
        let provider = peer.provider(&user, &[("region", REGION)]);
        Self { account, user, provider }
    }

    async fn api(&self, name: &str, stage: &str) -> Api {
        listed(&self.provider).await.api(&format!("{REGION}:{}:{stage}", id(&self.account, name))).api.clone()
    }
}

async fn a_key_is_made_bound_and_removed(peer: Peer) {
    let shop = Shop::new(&peer).await;
    let api = shop.api("pets", "prod").await;
    let gold = peer.plan(&shop.account, REGION, "Gold").await;
    let grant = shop.provider.subscribe(&call(), &api.id, &asking(&api, &gold), &nobody()).await.expect("it can");

    let keys = peer.keys(&shop.account, REGION).await;
    assert_eq!(keys.len(), 1);
    assert_eq!(grant.metadata["aws-api-key-id"], keys[0]);
    assert_eq!(grant.metadata["aws-account-id"], shop.account);
    assert_eq!(grant.metadata["aws-region"], REGION);
    assert_eq!(grant.metadata["aws-usage-plan-id"], gold);
    assert_eq!(peer.bound(&shop.account, REGION, &gold).await, keys);
    let root = peer.root(&shop.account, REGION);
    let key = root.get_api_key().api_key(&keys[0]).include_value(true).send().await.expect("root may");
    assert!(key.enabled());
    assert_eq!(key.value(), grant.api_key.as_ref().map(ExposeSecret::expose_secret));
    assert_eq!(key.name(), Some(format!("gravitee-{INTEGRATION}-5ab5c21b-0000-4000-8000-000000000001").as_str()));
    let description = key.description().expect("a person finds out what it is for");
    for told in ["Storefront", &id(&shop.account, "pets"), "prod"] {
        assert!(description.contains(told), "{description}");
    }

    let revoked = shop.provider.unsubscribe(&call(), &api.id, &ending(&api, &grant)).await.expect("it can");
    assert_eq!(revoked, Revoked::Deleted);
    assert!(peer.keys(&shop.account, REGION).await.is_empty());
}

/// Only the stand-in has a call side that looks at keys.
async fn a_key_opens_the_api_and_then_not_any_more(peer: Peer) {
    if peer.gateway().is_none() {
        return;
    }
    let shop = Shop::new(&peer).await;
    let api = shop.api("pets", "prod").await;
    let gold = peer.plan(&shop.account, REGION, "Gold").await;
    let enter = async |stage: &str, key: &str| {
        let path = format!("/execute/{}/{stage}/pets/7", id(&shop.account, "pets"));
        raw::send(peer.address(), "GET", &path, &[("x-api-key", key)], "").await.expect("an answer").0
    };
    let grant = shop.provider.subscribe(&call(), &api.id, &asking(&api, &gold), &nobody()).await.expect("it can");
    let key = grant.api_key.as_ref().expect("a key").expose_secret();
    assert_eq!((enter("prod", key).await, enter("dev", key).await, enter("prod", "other").await), (200, 403, 403));
    shop.provider.unsubscribe(&call(), &api.id, &ending(&api, &grant)).await.expect("it can");
    assert_eq!(enter("prod", key).await, 403);
}

async fn removing_twice_is_gone_twice(peer: Peer) {
    let shop = Shop::new(&peer).await;
    let api = shop.api("ordr", "prod").await;
    let gold = peer.plan(&shop.account, REGION, "Gold").await;
    let grant = shop.provider.subscribe(&call(), &api.id, &asking(&api, &gold), &nobody()).await.expect("it can");
    let ending = ending(&api, &grant);
    let mut outcomes = Vec::new();
    for _ in 0..2 {
        outcomes.push(shop.provider.unsubscribe(&call(), &api.id, &ending).await.expect("it can"));
    }
    assert_eq!(outcomes, [Revoked::Deleted, Revoked::AlreadyGone]);
}

async fn what_cannot_be_subscribed_to_leaves_no_key(peer: Peer) {
    let shop = Shop::new(&peer).await;
    let (pets, orders) = (shop.api("pets", "prod").await, shop.api("ordr", "prod").await);
    let gold = peer.plan(&shop.account, REGION, "Gold").await;
    let bronze = peer.plan(&shop.account, REGION, "Bronze").await;
    let gone = format!("{REGION}:{}:gone", id(&shop.account, "pets"));
    let mut nowhere = pets.clone();
    nowhere.connection.clear();
    let mut sentences = std::collections::BTreeSet::new();
    for (what, api, api_id, plan) in [
        ("a plan that is not there", &pets, pets.id.as_str(), "nothing"),
        ("a plan that does not cover the stage", &orders, orders.id.as_str(), bronze.as_str()),
        ("a stage that is not there", &pets, gone.as_str(), gold.as_str()),
        ("an id that says nothing", &nowhere, "nothing", gold.as_str()),
    ] {
        let error = shop.provider.subscribe(&call(), api_id, &asking(api, plan), &nobody()).await.expect_err(what);
        assert!(matches!(error.class(), Class::NotFound | Class::Invalid | Class::Conflict), "{what}: {error:?}");
        println!("{what}: {error}");
        assert!(sentences.insert(error.sentence().to_owned()), "{what}: each has its own sentence: {error}");
    }
    assert!(peer.keys(&shop.account, REGION).await.is_empty());
}

async fn other_kinds_of_access_are_refused(peer: Peer) {
    let shop = Shop::new(&peer).await;
    let api = shop.api("pets", "prod").await;
    let gold = peer.plan(&shop.account, REGION, "Gold").await;
    for kind in [SubscriptionKind::OAuth, SubscriptionKind::Jwt, SubscriptionKind::Other("MTLS".to_owned())] {
        let mut subscription = asking(&api, &gold);
        subscription.kind = Some(kind);
        let error = shop.provider.subscribe(&call(), &api.id, &subscription, &nobody()).await.expect_err("keys alone");
        assert_eq!(error.class(), Class::Invalid, "{error:?}");
    }
    assert!(peer.keys(&shop.account, REGION).await.is_empty());
}

async fn a_key_goes_to_the_account_of_its_api(peer: Peer) {
    let (home, one, two) = (peer.account(), peer.account(), peer.account());
    for account in [&one, &two] {
        peer.build(account, REGION, shop(account)).await;
    }
    let roles = [peer.role(&one, "federation", None).await, peer.role(&two, "federation", None).await].join(",");
    let user = peer.user(&home, "agent").await;
    let settings = [("region", "us-east-1,eu-west-1"), ("roleArn", roles.as_str())];
    let provider = peer.provider(&user, &settings);
    let told = listed(&provider).await;
    let api = &told.api(&format!("{REGION}:{}:prod", id(&two, "pets"))).api;
    let gold = peer.plan(&two, REGION, "Gold").await;

    // Another process, which has listed nothing: what the plane hands back is enough.
    let provider = peer.provider(&user, &settings);
    let grant = provider.subscribe(&call(), &api.id, &asking(api, &gold), &nobody()).await.expect("it can");
    assert_eq!((peer.keys(&one, REGION).await.len(), peer.keys(&two, REGION).await.len()), (0, 1));
    let provider = peer.provider(&user, &settings);
    provider.unsubscribe(&call(), &api.id, &ending(api, &grant)).await.expect("it can");
    assert!(peer.keys(&two, REGION).await.is_empty());
}

/// Another agent's ids have forms of their own; its `url` says where the API is.
async fn apis_of_another_agent_are_resolved(peer: Peer) {
    let peer = peer.with_also(include_str!("../../iam/another-agents-apis.json"));
    let (home, one, two) = (peer.account(), peer.account(), peer.account());
    for account in [&one, &two] {
        peer.build(account, REGION, shop(account)).await;
    }
    let roles = [peer.role(&one, "federation", None).await, peer.role(&two, "federation", None).await].join(",");
    let provider = peer.provider(&peer.user(&home, "agent").await, &[("region", REGION), ("roleArn", &roles)]);
    let gold = peer.plan(&two, REGION, "Gold").await;
    let url = format!("https://{}.execute-api.{REGION}.amazonaws.com/prod", id(&two, "pets"));
    for plan in [gold.clone(), format!("{REGION}/{gold}/of-another")] {
        let mut subscription = leaving(texts(&[("url", &url), ("planId", &plan)]));
        subscription.kind = Some(SubscriptionKind::ApiKey);
        let grant =
            provider.subscribe(&call(), "an-id-of-another", &subscription, &nobody()).await.expect("it is resolved");
        assert_eq!(peer.bound(&two, REGION, &gold).await, [grant.metadata["aws-api-key-id"].clone()]);
        let mut metadata = grant.metadata.clone();
        metadata.insert("url".to_owned(), url.clone());
        provider.unsubscribe(&call(), "an-id-of-another", &leaving(metadata)).await.expect("it can");
        assert!(peer.keys(&two, REGION).await.is_empty());
        // A peer that keeps the bindings of deleted keys would show the first of them again.
        let root = peer.root(&two, REGION);
        for key in peer.bound(&two, REGION, &gold).await {
            root.delete_usage_plan_key().usage_plan_id(&gold).key_id(key).send().await.expect("root may");
        }
    }
    let mut unknown = leaving(texts(&[("url", &url), ("planId", "no-plan-at-all")]));
    unknown.kind = Some(SubscriptionKind::ApiKey);
    provider.subscribe(&call(), "an-id-of-another", &unknown, &nobody()).await.expect_err("no plan is meant");
    assert!(peer.keys(&one, REGION).await.is_empty() && peer.keys(&two, REGION).await.is_empty());
}

/// Another agent leaves the key's id alone, and the API's URL.
async fn keys_of_another_agent_are_removed(peer: Peer) {
    let shop = Shop::new(&peer).await;
    let root = peer.root(&shop.account, REGION);
    let url = format!("https://{}.execute-api.{REGION}.amazonaws.com/prod", id(&shop.account, "pets"));
    let key = root.create_api_key().name("theirs").enabled(true).send().await.expect("root may");
    let metadata = texts(&[("aws-api-key-id", key.id().expect("an id")), ("url", &url)]);
    let revoked = shop.provider.unsubscribe(&call(), "an-id-of-another", &leaving(metadata.clone())).await;
    assert_eq!(revoked.expect("it can"), Revoked::Deleted);
    let again = shop.provider.unsubscribe(&call(), "an-id-of-another", &leaving(metadata)).await;
    assert_eq!(again.expect("no account has it"), Revoked::AlreadyGone);
}

/// A key whose place nobody wrote down: in every account and region, the base identity's own included.
async fn keys_are_looked_for_where_they_can_be(peer: Peer) {
    let (home, one, two) = (peer.account(), peer.account(), peer.account());
    let roles = [peer.role(&one, "federation", None).await, peer.role(&two, "federation", None).await].join(",");
    let user = peer.user(&home, "agent").await;
    let provider = peer.provider(&user, &[("region", "eu-west-1,us-east-1"), ("roleArn", &roles)]);
    for account in [&two, &home] {
        let root = peer.root(account, "us-east-1");
        let key = root.create_api_key().name("theirs").enabled(true).send().await.expect("root may");
        let metadata = texts(&[("aws-api-key-id", key.id().expect("an id"))]);
        let revoked = provider.unsubscribe(&call(), "an-id-of-another", &leaving(metadata)).await;
        assert_eq!(revoked.expect("it is found"), Revoked::Deleted);
        assert!(peer.keys(account, "us-east-1").await.is_empty());
    }
}

async fn an_account_that_is_not_ours_is_never_gone(peer: Peer) {
    let shop = Shop::new(&peer).await;
    let elsewhere =
        texts(&[("aws-api-key-id", "abcdefghij"), ("aws-account-id", "999999999999"), ("aws-region", REGION)]);
    let error = shop.provider.unsubscribe(&call(), "x", &leaving(elsewhere)).await.expect_err("it cannot be asked");
    assert!(error.sentence().contains("999999999999"), "{error}");
    let nothing = leaving(texts(&[("aws-account-id", "999999999999"), ("aws-region", REGION)]));
    let error = shop.provider.unsubscribe(&call(), "x", &nothing).await.expect_err("no key is named");
    assert!(error.sentence().contains("999999999999"), "{error}");
}

/// Its name leads to it, where the agent may look for names; where it may not, the right that would help is named.
async fn a_subscription_that_names_no_key_is_ended_by_the_keys_name(peer: Peer) {
    let shop = Shop::new(&peer).await;
    let root = peer.root(&shop.account, REGION);
    let leaving = leaving(texts(&[("aws-account-id", &shop.account), ("aws-region", REGION)]));
    let name = format!("gravitee-{INTEGRATION}-{}", leaving.id);
    for other in ["theirs", &format!("{name}-another")] {
        root.create_api_key().name(other).enabled(true).send().await.expect("root may");
    }
    root.create_api_key().name(&name).enabled(true).send().await.expect("root may");
    let revoked = shop.provider.unsubscribe(&call(), "x", &leaving).await;
    if !peer.may_find() {
        let error = revoked.expect_err("it may not look");
        assert_eq!(error.class(), Class::Denied, "{error:?}");
        assert!(error.sentence().contains("apigateway:GET") && error.sentence().contains("/apikeys"), "{error}");
        assert!(error.sentence().contains(&name) && error.sentence().contains(&shop.account), "{error}");
        assert!(error.sentence().contains("iam/find-leftovers.json"), "{error}");
        return;
    }
    assert_eq!(revoked.expect("it is found"), Revoked::Deleted);
    assert_eq!(peer.keys(&shop.account, REGION).await.len(), 2, "the others stay");
    let again = shop.provider.unsubscribe(&call(), "x", &leaving).await;
    assert_eq!(again.expect("it is looked for"), Revoked::AlreadyGone);
}

async fn missing_rights_are_named(peer: Peer) {
    let reader = peer.under(include_str!("../../iam/discovery.json"));
    let account = peer.account();
    peer.build(&account, REGION, shop(&account)).await;
    let user = reader.user(&account, "reader").await;
    if let Some(gateway) = peer.gateway() {
        for operation in [Operation::CreateApiKey, Operation::DeleteApiKey, Operation::CreateUsagePlanKey] {
            gateway.fault(Failure::Denied.on(operation).by(&format!("arn:aws:iam::{account}:user/reader")));
        }
    }
    let shop = Shop { provider: peer.provider(&user, &[("region", REGION)]), account, user };
    let api = shop.api("pets", "prod").await;
    let gold = peer.plan(&shop.account, REGION, "Gold").await;
    let error =
        shop.provider.subscribe(&call(), &api.id, &asking(&api, &gold), &nobody()).await.expect_err("it may not");
    assert_eq!(error.class(), Class::Denied, "{error:?}");
    assert!(error.sentence().contains("POST") && error.sentence().contains("/apikeys"), "{error}");
    assert!(!error.sentence().contains(&shop.user.secret));

    let root = peer.root(&shop.account, REGION);
    let key = root.create_api_key().name("theirs").enabled(true).send().await.expect("root may");
    let metadata = texts(&[
        ("aws-api-key-id", key.id().expect("an id")),
        ("aws-account-id", &shop.account),
        ("aws-region", REGION),
    ]);
    let error = shop.provider.unsubscribe(&call(), &api.id, &leaving(metadata)).await.expect_err("it may not");
    assert_eq!(error.class(), Class::Denied, "{error:?}");
    assert!(error.sentence().contains("DELETE") && error.sentence().contains(&shop.account), "{error}");
}

async fn the_agent_says_who_it_is(peer: Peer) {
    let (home, far) = (peer.account(), peer.account());
    let role = peer.role(&far, "federation", None).await;
    let user = peer.user(&home, "agent").await;
    let lines = identity(&peer.provider(&user, &[("region", REGION)])).await;
    assert_eq!(lines, [Ok(format!("account {home} as arn:aws:iam::{home}:user/agent"))]);
    let lines = identity(&peer.provider(&user, &[("region", REGION), ("roleArn", &role)])).await;
    let [Ok(line)] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(line.starts_with(&format!("account {far} as arn:aws:sts::{far}:assumed-role/federation/")), "{line}");
}

/// Neither a line nor a step of the check repeats what one wrong pair means.
async fn wrong_credentials_are_told_once(peer: Peer) {
    let account = peer.account();
    let user = User { access_key_id: "AKIANOBODYKNOWSTHIS0".into(), secret: "wrong".into() };
    if let Some(gateway) = peer.gateway() {
        gateway.with(|estate| estate.user(&account, "wrong", &user.access_key_id));
        let refusal = Failure::Error(403, "InvalidClientTokenId", "The security token is invalid");
        gateway.fault(refusal.always().by(&format!("arn:aws:iam::{account}:user/wrong")));
    }
    let provider = peer.provider(&user, &[("region", "eu-west-1,us-east-1")]);
    let lines = identity(&provider).await;
    let [Err(sentence)] = lines.as_slice() else { panic!("{lines:?}") };
    assert!(sentence.contains("does not know the credentials"), "{sentence}");
    assert_eq!(identity(&provider).await, [], "it was told");

    let (sender, mut findings) = tokio::sync::mpsc::channel(100);
    provider.check(&call(), sender).await;
    let mut bad = Vec::new();
    while let Some(finding) = findings.recv().await {
        if finding.verdict == Verdict::Bad {
            bad.push(finding);
        }
    }
    let [bad] = bad.as_slice() else { panic!("{bad:?}") };
    assert_eq!(bad.what, "identity");
    assert!(bad.says.starts_with("AWS does not know the credentials"), "{bad:?}");
}

async fn identity(provider: &Arc<dyn Provider>) -> Vec<Result<String, String>> {
    let lines = provider.identify(&call()).await;
    lines.into_iter().map(|line| line.map_err(|error| error.sentence().to_owned())).collect()
}

//! Two agents for one integration; the plane's commands go to either. With one data folder there is never more than one
//! key for a subscription, and what one of them leaves the other ends; with two folders each knows its own grants only.

use std::collections::BTreeSet;

use federation_agent::{
    exchange::{CommandBody, ReplyBody},
    model::{Subscription, SubscriptionKind},
};
use tempfile::TempDir;

use super::{
    books::{Books, settled},
    support::{Process, Stage, soon},
};

const ONE: &str = "one";

/// Two agents, connected, the second with its data in `folder`.
async fn two(stage: &Stage, folder: &std::path::Path) -> [Process; 2] {
    let first = stage.agent(&[]).await;
    let mut second =
        Process::start(&[], stage.environment(&[("FEDERATION_AGENT_DATA_DIR", folder.to_str().expect("plain"))]));
    soon("ready", second.says("ready, waiting for the plane's commands")).await;
    soon("two channels", stage.plane.until(|plane| plane.channels(ONE) == 2)).await;
    stage.plane.ask_in_turn();
    [first, second]
}

/// The plane's SUBSCRIBE for the subscription `id`, whoever gets it.
async fn subscribe(stage: &Stage, api: &str, id: &str) -> Option<String> {
    let connection = stage.plane.apis(ONE).into_iter().find(|known| known.id == api).expect("ingested").connection;
    let mut metadata = connection;
    metadata.insert("planId".to_owned(), "g0ld77".to_owned());
    let subscription = Subscription {
        id: id.to_owned(),
        application_id: Some("shop".to_owned()),
        application_name: Some("shop".to_owned()),
        kind: Some(SubscriptionKind::ApiKey),
        metadata,
    };
    let body = CommandBody::Subscribe { api_id: api.to_owned(), subscription };
    let reply = soon("reply", stage.plane.send(ONE, body)).await.ok()?;
    match reply.body {
        ReplyBody::Subscribe(Some(made)) => made.metadata.get("aws-api-key-id").cloned(),
        _ => None,
    }
}

/// The ids of the keys that open something.
fn bound(stage: &Stage) -> Vec<String> {
    stage.gateway.with(|estate| estate.bound_keys().map(ToOwned::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_folder_a_subscription_has_one_key_whoever_is_asked() {
    let stage = Stage::set(&[ONE]).await;
    let agents = two(&stage, stage.data.path()).await;
    let api = stage.ingested(ONE).await;
    let mut last = None;
    for _ in 0..12 {
        last = subscribe(&stage, &api, "s1").await;
        assert_eq!(bound(&stage), last.iter().cloned().collect::<Vec<_>>(), "the older one is gone before the answer");
    }
    assert!(last.is_some());
    // Also when they are asked at once.
    let asked: Vec<_> = futures_util::future::join_all((0..8).map(|_| subscribe(&stage, &api, "s2"))).await;
    assert!(asked.iter().all(Option::is_some), "each was answered in its turn: {asked:?}");
    assert_eq!(bound(&stage).len(), 2, "one for each subscription");
    for mut agent in agents {
        agent.signal("TERM");
        let settled = agent.says("federation-agent ends").await;
        assert!(settled.contains("INFO"), "{settled}");
        agent.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_one_folder_each_ends_what_the_other_began() {
    let stage = Stage::set(&[ONE]).await;
    let [first, second] = two(&stage, stage.data.path()).await;
    let api = stage.ingested(ONE).await;
    let subscription = soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "shop")).await.expect("it works");
    first.signal("TERM");
    first.end().await;
    soon("connected", stage.plane.connected(ONE)).await;
    soon("unsubscribe", stage.plane.unsubscribe(&subscription.id)).await.expect("the other one does it");
    assert_eq!(stage.keys(), 0);
    second.signal("TERM");
    second.end().await;
    assert_eq!(settled(stage.data.path(), ONE, &stage.gateway).await, []);
}

/// One agent is killed in the midst of a SUBSCRIBE, and does not come back: the one that starts on its folder ends it,
/// while one that is held at work is left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_agent_is_at_work_on_is_left_alone_until_it_dies() {
    let stage = Stage::set(&[ONE]).await;
    let agent = stage.agent(&[]).await;
    let api = stage.ingested(ONE).await;
    agent.signal("TERM");
    agent.end().await;
    let stopped = [("FEDERATION_AGENT_TEST_FAULT_POINT", "call:CreateUsagePlanKey:after")];
    let mut first = stage.agent(&stopped).await;
    let plane = stage.plane.clone();
    let asked = tokio::spawn(async move { plane.subscribe(ONE, &api, "g0ld77", "shop").await.is_ok() });
    soon("stopped", first.says("stopped at fault point")).await;
    let mut second = Process::start(&[], stage.environment(&[]));
    soon("settling", second.says("that were under way when the agent ended")).await;
    soon("ready", second.says("ready, waiting for the plane's commands")).await;
    assert_eq!(bound(&stage).len(), 1, "it is being worked on");
    first.signal("KILL");
    first.end().await;
    assert!(!soon("the plane's end", asked).await.expect("it ends"));
    let records = settled(stage.data.path(), ONE, &stage.gateway).await;
    let books = Books::compare(&stage.plane, &stage.gateway, ONE, &records, &BTreeSet::new());
    assert_eq!((books, stage.keys()), (Books::default(), 0));
    second.signal("TERM");
    second.end().await;
}

/// What is not promised without a shared folder, so that nobody believes it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_two_folders_each_supersedes_its_own_grants_only() {
    let stage = Stage::set(&[ONE]).await;
    let other = TempDir::new().expect("a folder");
    let agents = two(&stage, other.path()).await;
    let api = stage.ingested(ONE).await;
    for _ in 0..12 {
        subscribe(&stage, &api, "s1").await.expect("answered");
    }
    assert!((1..=2).contains(&bound(&stage).len()), "at most one for each folder: {:?}", bound(&stage));
    for agent in agents {
        agent.signal("TERM");
        agent.end().await;
    }
}

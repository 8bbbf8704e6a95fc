//! The real binary, a usage plan that somebody's tool makes anew, and a plane that deletes what an ingest no longer
//! mentions: who has a subscription keeps the key, unless the setting lets it go.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod support;

use std::fs;

use federation_agent::{
    plane::{Phase, PlaneSubscription},
    standin::UsagePlan,
};
use secrecy::ExposeSecret;
use support::{Process, Stage, soon};

const ONE: &str = "one";
const PLAN_LOSS: &str = "FEDERATION_AGENT_PLAN_LOSS";

/// The subscription `id`, as the plane has it now.
fn accepted(stage: &Stage, id: &str) -> Option<PlaneSubscription> {
    stage.plane.subscriptions(ONE).into_iter().find(|subscription| subscription.id == id)
}

/// Ends `agent` as an update of the container does.
async fn ended(agent: Process) -> Vec<String> {
    agent.signal("TERM");
    let (status, said) = agent.end().await;
    assert_eq!(status.code(), Some(0), "{}", said.join("\n"));
    said
}

/// A stage whose Petstore was ingested, with a subscription to its plan Gold; the agent that did it has ended.
async fn subscribed() -> (Stage, PlaneSubscription) {
    let stage = Stage::set(&[ONE]).await;
    let agent = stage.agent(&[]).await;
    let api = stage.ingested(ONE).await;
    let subscription = soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "shop")).await.unwrap();
    ended(agent).await;
    (stage, subscription)
}

/// The plan Gold is deleted and made again: the same name and stages, another id, no keys.
fn made_anew(stage: &Stage) {
    stage.gateway.with(|estate| {
        let plans = &mut estate.region(federation_agent::standin::ACCOUNT, federation_agent::standin::REGION).plans;
        let at = plans.iter().position(|plan| plan.id == "g0ld77").unwrap();
        let old = plans.remove(at);
        let anew = UsagePlan::new("an3w01", &old.name);
        plans.push(old.stages.iter().fold(anew, |plan, (api, stage)| plan.covers(api, stage)));
    });
}

/// Ingests everything; how many APIs came, and how many the plane was told of.
async fn ingest(stage: &Stage) -> (usize, u32) {
    let all: [&str; 0] = [];
    let job = soon("START_INGEST", stage.plane.ingest(ONE, all)).await.unwrap();
    let job = soon("ingest", job.ended()).await;
    assert_eq!((job.phase, job.dropped), (Phase::Done, 0), "{job:?}");
    (job.received, job.total)
}

/// The value of the key that the plane has for `subscription`, when the gateway has it too.
fn key(stage: &Stage, subscription: &PlaneSubscription) -> Option<String> {
    let value = accepted(stage, &subscription.id)?.api_key?.expose_secret().to_owned();
    stage.gateway.with(|estate| estate.keys().any(|key| key.value == value)).then_some(value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_usage_plan_that_was_made_anew_does_not_cost_a_subscription_its_key() {
    let (stage, subscription) = subscribed().await;
    made_anew(&stage);
    let mut agent = stage.agent(&[]).await;
    assert_eq!(ingest(&stage).await, (2, 2), "those without the plan come");
    let line = soon("the report", agent.says("ingest incomplete")).await;
    for part in ["3 APIs are held back", "p3ts7ore01:prod", "g0ld77", "Gold", "FEDERATION_AGENT_PLAN_LOSS=once"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(key(&stage, &subscription).is_some(), "the subscription has lost its key");
    let told = soon("START_INGEST", stage.plane.ingest(ONE, [&subscription.api_id])).await.unwrap_err().to_string();
    assert!(told.contains("1 API is held back") && told.contains("g0ld77"), "{told}");
    assert_eq!(soon("discover", stage.plane.discover(ONE)).await.unwrap().apis.len(), 5, "the preview lists them");

    // The old plan is given its stages back: nothing stands in the way any more.
    stage.gateway.with(|estate| {
        let plans = &mut estate.region(federation_agent::standin::ACCOUNT, federation_agent::standin::REGION).plans;
        let anew = plans.iter().find(|plan| plan.id == "an3w01").unwrap().clone();
        plans.push(UsagePlan { id: "g0ld77".into(), ..anew });
    });
    assert_eq!(ingest(&stage).await, (5, 5));
    assert!(key(&stage, &subscription).is_some());
    ended(agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_always_it_does() {
    let (stage, subscription) = subscribed().await;
    made_anew(&stage);
    let mut agent = stage.agent(&[(PLAN_LOSS, "always")]).await;
    soon("the warning", agent.says("FEDERATION_AGENT_PLAN_LOSS=always: an ingest hands over")).await;
    assert_eq!(ingest(&stage).await, (5, 5));
    soon("the report", agent.says("as FEDERATION_AGENT_PLAN_LOSS=always lets it")).await;
    assert!(accepted(&stage, &subscription.id).is_none(), "our plane is kinder than Gravitee's");
    assert_eq!(stage.keys(), 0);
    ended(agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_lasts_for_one_ingest_over_all_restarts() {
    let (stage, subscription) = subscribed().await;
    made_anew(&stage);
    let once = [(PLAN_LOSS, "once")];
    let mut agent = stage.agent(&once).await;
    assert_eq!(ingest(&stage).await, (5, 5));
    soon("the end of it", agent.says("FEDERATION_AGENT_PLAN_LOSS=once is used up")).await;
    assert!(accepted(&stage, &subscription.id).is_none());
    ended(agent).await;

    stage.gateway.with(|estate| {
        let plans = &mut estate.region(federation_agent::standin::ACCOUNT, federation_agent::standin::REGION).plans;
        plans.iter_mut().find(|plan| plan.id == "an3w01").unwrap().id = "an3w02".into();
    });
    let mut agent = stage.agent(&once).await;
    soon("the warning", agent.says("FEDERATION_AGENT_PLAN_LOSS=once was used up at")).await;
    assert_eq!(ingest(&stage).await, (2, 2));
    ended(agent).await;
    let mut agent = stage.agent(&[]).await;
    soon("the word", agent.says("may be set to `once` again")).await;
    ended(agent).await;
    let agent = stage.agent(&once).await;
    assert_eq!(ingest(&stage).await, (5, 5));
    ended(agent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discover_marks_it_beside_a_running_agent_and_without_a_folder_says_nothing() {
    let (stage, _) = subscribed().await;
    made_anew(&stage);
    let agent = stage.agent(&[]).await;
    let (status, said) = Process::start(&["discover"], stage.environment(&[])).end().await;
    let text = said.join("\n");
    assert_eq!(status.code(), Some(0), "{text}");
    let marked: Vec<&String> = said.iter().filter(|line| line.contains("an ingest holds it back")).collect();
    assert_eq!(marked.len(), 3, "{text}");
    assert!(marked.iter().any(|line| line.contains("Petstore (prod)") && line.contains("g0ld77")), "{text}");

    let (_, said) = Process::start(&["discover", "--output", "json"], stage.environment(&[])).end().await;
    let told: serde_json::Value = serde_json::from_str(&said.join("\n")).unwrap();
    let apis = told["integrations"][0]["apis"].as_array().unwrap();
    let held: Vec<_> = apis.iter().filter(|api| api["heldBack"] == true).collect();
    assert_eq!(held.len(), 3, "{told:#}");
    assert!(held.iter().all(|api| api["lostPlans"][0]["id"] == "g0ld77" && api["lostPlans"][0]["name"] == "Gold"));
    assert!(apis.iter().filter(|api| api["heldBack"] == false).all(|api| api["lostPlans"] == serde_json::json!([])));

    let let_go = stage.environment(&[(PLAN_LOSS, "once")]);
    let (_, said) = Process::start(&["discover"], let_go).end().await;
    assert_eq!(said.iter().filter(|line| line.contains("the plane deletes the plan")).count(), 3, "{said:#?}");

    let nowhere = stage.data.path().join("not-there");
    let elsewhere = stage.environment(&[("FEDERATION_AGENT_DATA_DIR", nowhere.to_str().unwrap())]);
    let (status, said) = Process::start(&["discover"], elsewhere).end().await;
    let text = said.join("\n");
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(!text.contains("plane") && !text.contains("WARN"), "{text}");
    assert!(!nowhere.exists(), "looking makes nothing");

    ended(agent).await;
}

/// A stage that is in no usage plan is not listed, unless the setting has it listed: then it has lost all its plans.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_is_taken_out_of_all_plans_keeps_its_subscriptions() {
    let (stage, subscription) = subscribed().await;
    stage.gateway.with(|estate| {
        let plans = &mut estate.region(federation_agent::standin::ACCOUNT, federation_agent::standin::REGION).plans;
        for plan in plans {
            plan.stages.retain(|(api, stage)| (api.as_str(), stage.as_str()) != ("p3ts7ore01", "prod"));
        }
    });
    let agent = stage.agent(&[]).await;
    assert_eq!(ingest(&stage).await, (4, 4));
    ended(agent).await;
    let accept = "gravitee_integration_providers_0_configuration_acceptApiWithoutUsagePlan";
    let mut agent = stage.agent(&[(accept, "true")]).await;
    // Weather was never in a plan, and loses nothing.
    assert_eq!(ingest(&stage).await, (5, 5));
    let line = soon("the report", agent.says("1 API is held back")).await;
    assert!(line.contains("g0ld77") && line.contains("br0nz3"), "{line}");
    assert!(key(&stage, &subscription).is_some());
    ended(agent).await;
}

/// A folder that cannot be used costs the memory of the next life, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_that_cannot_be_used_stops_nobody() {
    let stage = Stage::set(&[ONE]).await;
    fs::write(stage.data.path().join("ingested"), "a file where the folder should be").unwrap();
    let mut agent = stage.agent(&[]).await;
    assert_eq!(ingest(&stage).await, (5, 5));
    soon("what it costs", agent.says("cannot be kept")).await;
    made_anew(&stage);
    assert_eq!(ingest(&stage).await, (2, 2), "in this life it is known");
    let said = ended(agent).await;
    assert_eq!(said.iter().filter(|line| line.contains("cannot be kept")).count(), 1, "{}", said.join("\n"));
}

//! The policies in `iam/` are enough, and no more than enough.
//!
//! Enough: the provider's whole suite runs against MiniStack with `AUTH=true`, whose users and roles have these
//! policies and nothing else. No more: what the stand-in saw is compared with what the policies allow.

#[path = "iam/policy.rs"]
mod policy;
#[path = "iam/stack.rs"]
mod stack;
#[path = "aws/mod.rs"]
mod suite;

use std::{collections::BTreeSet, sync::Arc};

use federation_agent::{
    model::Texts,
    provider::{Provider, Revoked},
    standin::{Failure, Gateway, Operation, Region, Request, RestApi, UsagePlan},
};
use policy::{Allowed, Done, allowed};
use suite::{
    asking::{asking, call, ending, leaving, listed, nobody},
    cases::run_all,
    peer::{FIND_LEFTOVERS, INTEGRATION, Peer, User},
    provider_cases,
};
use tokio::sync::mpsc;

const DISCOVERY: &str = include_str!("../iam/discovery.json");
const AGENT: &str = include_str!("../iam/agent.json");
const EVERY_STAGE: &str = include_str!("../iam/every-stage.json");
const ANOTHER_AGENTS_APIS: &str = include_str!("../iam/another-agents-apis.json");
const PUBLISHED: &str = include_str!("../iam/gravitee-published.json");

#[tokio::test]
async fn the_suite_runs_under_our_policy() {
    if let Some(peer) = Peer::ministack().await {
        run_all(&peer.under(AGENT), &provider_cases()).await;
    }
}

#[tokio::test]
async fn leftovers_are_found_under_our_policy_and_the_option_for_it() {
    if let Some(peer) = Peer::ministack().await {
        run_all(&peer.under(AGENT).with_also(FIND_LEFTOVERS), &provider_cases()).await;
    }
}

#[tokio::test]
async fn discovery_runs_under_the_discovery_policy() {
    if let Some(peer) = Peer::ministack().await {
        run_all(&peer.under(DISCOVERY), suite::discovery::CASES).await;
    }
}

#[tokio::test]
async fn the_suite_runs_under_the_policy_that_gravitee_publishes() {
    if let Some(peer) = Peer::ministack().await {
        run_all(&peer.under(PUBLISHED), &provider_cases()).await;
    }
}

#[tokio::test]
async fn the_agents_policy_is_what_the_agent_does_and_nothing_else() {
    let gateway = a_working_day(&[("region", "eu-west-1,us-east-1")], Work::All).await;
    exact(&[AGENT], &gateway.requests());
}

#[tokio::test]
async fn the_discovery_policy_is_what_discovery_does_and_nothing_else() {
    let gateway = a_working_day(&[("region", "eu-west-1,us-east-1")], Work::Discovery).await;
    exact(&[DISCOVERY], &gateway.requests());
}

#[tokio::test]
async fn the_discovery_policy_allows_no_writing() {
    for allowed in allowed(DISCOVERY) {
        assert_eq!(allowed.action, "apigateway:GET");
    }
}

#[tokio::test]
async fn apis_without_a_usage_plan_need_one_right_more() {
    let settings = [("region", "eu-west-1,us-east-1"), ("acceptApiWithoutUsagePlan", "true")];
    let gateway = a_working_day(&settings, Work::All).await;
    exact(&[AGENT, EVERY_STAGE], &gateway.requests());
}

#[tokio::test]
async fn everything_is_within_the_policy_that_gravitee_publishes() {
    let settings = [("region", "eu-west-1,us-east-1"), ("acceptApiWithoutUsagePlan", "true")];
    let gateway = a_working_day(&settings, Work::All).await;
    let published = allowed(PUBLISHED);
    for done in done(&gateway.requests()) {
        assert!(published.iter().any(|allowed| allowed.covers(&done)), "{done:?}");
    }
}

/// The one exception: keys are looked through to settle a leftover, to end a subscription that names no key, and for a
/// person who asks for them. That needs one right more and no other.
#[tokio::test]
async fn looking_through_keys_needs_one_right_more() {
    let (gateway, provider) = a_day_at_work(&[("region", "eu-west-1,us-east-1")], Work::All).await;
    let lost = Failure::CutAfter.on(Operation::CreateApiKey).times(2);
    gateway.fault(lost);
    let told = listed(&provider).await;
    for region in ["eu-west-1", "us-east-1"] {
        let api = &told.api(&format!("{region}:one1111111:prod")).api;
        provider.subscribe(&call(), &api.id, &asking(api, "gold01"), &nobody()).await.expect_err("it is lost");
    }
    let subscription = leaving(Texts::new());
    let trace = Texts::from([("aws-region".to_owned(), "eu-west-1".to_owned())]);
    let swept = provider.sweep(&call(), "x", &subscription.id, &trace, &[]).await.expect("it can");
    assert_eq!(swept, Revoked::Deleted);
    assert_eq!(provider.unsubscribe(&call(), "x", &subscription).await.expect("it can"), Revoked::Deleted);
    gateway.with(|estate| assert_eq!(estate.key_counts(), (0, 0)));
    let (sender, mut found) = mpsc::channel(100);
    provider.keys(&call(), &BTreeSet::new(), sender).await.expect("it can");
    assert!(found.recv().await.is_none());
    exact(&[AGENT, FIND_LEFTOVERS], &gateway.requests());
    let looked = |request: &&Request| request.operation == Some(Operation::GetApiKeys);
    let requests = gateway.requests();
    let mut asked = requests.iter().filter(looked);
    assert!(asked.all(|request| request.query.contains(INTEGRATION) && !request.query.contains("includeValues=true")));
}

/// Nothing that goes wrong in the work of every day has the agent look through keys.
#[tokio::test]
async fn keys_are_not_looked_through_in_the_work_of_every_day() {
    let (gateway, provider) = a_day_at_work(&[("region", "eu-west-1,us-east-1")], Work::All).await;
    let told = listed(&provider).await;
    let api = &told.api("eu-west-1:one1111111:prod").api;
    let (sender, mut findings) = mpsc::channel(100);
    provider.check(&call(), sender).await;
    while findings.recv().await.is_some() {}
    for operation in [Operation::CreateApiKey, Operation::CreateUsagePlanKey, Operation::DeleteApiKey] {
        for failure in [
            Failure::Denied,
            Failure::CutBefore,
            Failure::CutAfter,
            Failure::Garbage,
            Failure::Throttled(None),
            Failure::Error(404, "NotFoundException", "No"),
            Failure::Error(409, "ConflictException", "No"),
            Failure::Error(500, "InternalFailure", "No"),
        ] {
            gateway.fault(failure.on(operation).times(1));
            if let Ok(grant) = provider.subscribe(&call(), &api.id, &asking(api, "gold01"), &nobody()).await {
                let _outcome = provider.unsubscribe(&call(), &api.id, &ending(api, &grant)).await;
            }
        }
    }
    let allowed = allowed(AGENT);
    for done in done(&gateway.requests()) {
        assert!(allowed.iter().any(|allowed| allowed.covers(&done)), "{done:?}");
        assert!(!(done.action == "apigateway:GET" && done.resource.contains("/apikeys")), "{done:?}");
    }
    assert_eq!(gateway.count(Operation::GetApiKeys), 0);
}

#[tokio::test]
async fn the_least_policy_of_a_configuration_is_the_file_for_it() {
    let peer = Peer::standin().await;
    let user = User { access_key_id: "AKIAANYBODY000000000".to_owned(), secret: "any".to_owned() };
    let least = |settings: &[(&str, &str)]| peer.provider(&user, settings).least_policy();
    let region = ("region", "eu-west-1");
    assert_eq!(allowed(&least(&[region])), in_region(&[AGENT], "eu-west-1"));
    let every_stage = least(&[region, ("acceptApiWithoutUsagePlan", "true")]);
    assert_eq!(allowed(&every_stage), in_region(&[AGENT, EVERY_STAGE], "eu-west-1"));

    // With roles there are two policies: for each role, and for who assumes them; lines with # tell them apart.
    let roles = "arn:aws:iam::111111111111:role/one,arn:aws:iam::222222222222:role/two";
    let text = least(&[region, ("roleArn", roles)]);
    let documents: Vec<String> = text
        .split_inclusive('\n')
        .fold(vec![String::new()], |mut documents, line| {
            if line.starts_with('#') {
                documents.push(String::new());
            } else {
                documents.last_mut().expect("never empty").push_str(line);
            }
            documents
        })
        .into_iter()
        .filter(|document| !document.trim().is_empty())
        .collect();
    let [of_roles, of_the_agent] = documents.as_slice() else { panic!("{text}") };
    let files = in_region(&[AGENT, ANOTHER_AGENTS_APIS], "eu-west-1");
    let of_roles = allowed(of_roles);
    assert!(of_roles.iter().all(|allowed| files.contains(allowed)), "{of_roles:?}");
    for needed in files {
        let done = Done { action: needed.action.clone(), resource: needed.resource.clone() };
        assert!(of_roles.iter().any(|allowed| allowed.covers(&done)), "{needed:?}");
    }
    let assumed: Vec<String> = allowed(of_the_agent).into_iter().map(|allowed| allowed.resource).collect();
    assert_eq!(assumed.join(","), roles);
}

/// What the files allow, in one region instead of all.
fn in_region(files: &[&str], region: &str) -> Vec<Allowed> {
    let mut all: Vec<Allowed> = files
        .iter()
        .flat_map(|file| allowed(&file.replace(":apigateway:*::", &format!(":apigateway:{region}::"))))
        .collect();
    all.sort();
    all.dedup();
    all
}

/// How much a day has.
#[derive(Clone, Copy, PartialEq)]
enum Work {
    Discovery,
    All,
}

/// Two regions with two of everything, so that whatever is open in a policy is seen to differ.
async fn a_working_day(settings: &[(&str, &str)], work: Work) -> Gateway {
    a_day_at_work(settings, work).await.0
}

/// The same, and who worked.
async fn a_day_at_work(settings: &[(&str, &str)], work: Work) -> (Gateway, Arc<dyn Provider>) {
    let peer = Peer::standin().await;
    let account = peer.account();
    for region in ["eu-west-1", "us-east-1"] {
        let estate = Region {
            apis: vec![
                RestApi::new("one1111111", "One").stage("prod").stage("dev").method("GET", "/"),
                RestApi::new("two2222222", "Two").stage("prod").method("GET", "/"),
            ],
            plans: vec![
                UsagePlan::new("gold01", "Gold").covers("one1111111", "prod").covers("two2222222", "prod"),
                UsagePlan::new("brnz01", "Bronze").covers("one1111111", "dev"),
            ],
            ..Region::default()
        };
        peer.build(&account, region, estate).await;
    }
    let user = peer.user(&account, "agent").await;
    let provider = peer.provider(&user, settings);
    for listed in &listed(&provider).await.apis {
        provider.read(&call(), listed).await.expect("it can be read");
        for plan in listed.api.plans.iter().filter(|_| work == Work::All) {
            let subscription = asking(&listed.api, &plan.id);
            let grant = provider.subscribe(&call(), &listed.api.id, &subscription, &nobody()).await.expect("it can");
            let ending = ending(&listed.api, &grant);
            provider.unsubscribe(&call(), &listed.api.id, &ending).await.expect("it can");
        }
    }
    (peer.gateway().expect("the stand-in").clone(), provider)
}

/// Every call to API Gateway as IAM sees it. `GetCallerIdentity` needs no right.
fn done(requests: &[Request]) -> BTreeSet<Done> {
    let of_api_gateway =
        requests.iter().filter(|request| request.operation.is_none_or(|operation| !operation.is_sts()));
    of_api_gateway
        .map(|request| Done {
            action: format!("apigateway:{}", request.verb),
            resource: format!("arn:aws:apigateway:{}::{}", request.region, request.path),
        })
        .collect()
}

/// Every call is allowed; everything allowed is used; and whatever is open (`*`) is one part of a path, and was seen
/// with different values, so that no narrower text would do.
#[track_caller]
fn exact(policies: &[&str], requests: &[Request]) {
    let done = done(requests);
    let all: Vec<Allowed> = policies.iter().flat_map(|policy| allowed(policy)).collect();
    for done in &done {
        assert!(all.iter().any(|allowed| allowed.covers_narrowly(done)), "not allowed: {done:?}");
    }
    for allowed in &all {
        let uses: Vec<&Done> = done.iter().filter(|done| allowed.covers_narrowly(done)).collect();
        assert!(!uses.is_empty(), "never used: {allowed:?}");
        let parts = |resource: &str| resource.split(['/', ':']).map(ToOwned::to_owned).collect::<Vec<_>>();
        for (nth, _) in parts(&allowed.resource).iter().enumerate().filter(|(_, part)| part.contains('*')) {
            let seen: BTreeSet<String> = uses.iter().map(|done| parts(&done.resource)[nth].clone()).collect();
            assert!(seen.len() > 1, "part {nth} of {} need not be open: only {seen:?} was used", allowed.resource);
        }
    }
}

//! Is the stand-in like an AWS of other hands? The same questions to both, by the SDK alone. Where MiniStack is known
//! not to be AWS, the point is named by [`differs`].

#![expect(clippy::unwrap_used, reason = "a case fails by a panic, as a test does")]

use std::fmt::Debug;

use aws_sdk_apigateway::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::QuotaSettings,
};
use federation_agent::standin::{Region, RestApi, UsagePlan};
use serde_json::Value;

use crate::suite::{
    cases::table,
    peer::{Peer, User},
};

const REGION: &str = "eu-west-1";

table! {
    lists_come_in_pages,
    apis_and_stages_tell_what_they_are,
    an_export_is_the_openapi_document,
    what_is_not_there_is_not_found,
    keys_are_made_listed_and_deleted,
    keys_are_found_by_how_their_names_begin,
    key_values_have_rules,
    keys_are_bound_and_unbound,
    a_key_is_in_one_plan_a_stage,
    who_is_unknown_is_refused,
    roles_are_assumed,
}

/// A point in which MiniStack is known not to be AWS. The stand-in must do as AWS; when MiniStack does so too some
/// day, this fails, and the point can go.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "the points read better without references")]
fn differs<T: PartialEq + Debug>(peer: &Peer, what: &str, found: T, aws: T, ministack: T) {
    if peer.gateway().is_some() {
        assert_eq!(found, aws, "{what} (the stand-in is to do as AWS does)");
    } else {
        assert_eq!(found, ministack, "{what} (MiniStack is known to do otherwise than AWS; has it changed?)");
    }
}

/// A few APIs and plans, with ids that no other case has.
fn estate(account: &str) -> Region {
    let id = |nth: u32| format!("{}{nth}", &account[6..]);
    let api = |nth: u32| RestApi::new(&id(nth), &format!("API {nth}")).stage("prod").method("GET", "/pets/{petId}");
    Region {
        apis: vec![
            api(0).version("1.4.0").description("Pets.").tag("team", "storefront").stage("dev"),
            api(1).private(),
            api(2).open_method("GET", "/open"),
        ],
        plans: vec![
            UsagePlan::new("p0", "Gold").covers(&id(0), "prod").covers(&id(0), "dev").throttle(5.5, 10),
            UsagePlan::new("p1", "Silver").covers(&id(0), "prod").quota(1000, "DAY").description("Less."),
            UsagePlan::new("p2", "Bronze").covers(&id(1), "prod"),
        ],
        ..Region::default()
    }
}

async fn built(peer: &Peer) -> (String, Client) {
    let account = peer.account();
    peer.build(&account, REGION, estate(&account)).await;
    let client = peer.root(&account, REGION);
    (account, client)
}

/// The error's type, whatever the operation.
fn code<T, E: ProvideErrorMetadata>(outcome: Result<T, SdkError<E>>) -> String {
    match outcome {
        Ok(_) => "none".to_owned(),
        Err(error) => error.code().unwrap_or("without a code").to_owned(),
    }
}

async fn lists_come_in_pages(peer: Peer) {
    let (account, client) = built(&peer).await;
    let first = client.get_rest_apis().limit(2).send().await.unwrap();
    assert_eq!(first.items().len(), 2);
    let second = client.get_rest_apis().limit(2).position(first.position().unwrap()).send().await.unwrap();
    assert_eq!((second.items().len(), second.position()), (1, None));

    let whole = client.get_usage_plans().limit(500).send().await.unwrap();
    assert_eq!((whole.items().len(), whole.position()), (3, None));
    let paged = client.get_usage_plans().into_paginator().page_size(1).items().send();
    assert_eq!(paged.collect::<Result<Vec<_>, _>>().await.unwrap().len(), 3);

    assert_eq!(code(client.get_rest_apis().position("nonsense").send().await), "BadRequestException");
    let elsewhere = peer.root(&account, "us-east-1").get_rest_apis().send().await.unwrap();
    assert!(elsewhere.items().is_empty(), "another region is another estate");
}

async fn apis_and_stages_tell_what_they_are(peer: Peer) {
    let (account, client) = built(&peer).await;
    let id = format!("{}0", &account[6..]);
    let api = client.get_rest_api().rest_api_id(&id).send().await.unwrap();
    assert_eq!((api.name(), api.version(), api.description()), (Some("API 0"), Some("1.4.0"), Some("Pets.")));
    assert_eq!(api.api_key_source().unwrap().as_str(), "HEADER");
    assert_eq!(api.endpoint_configuration().unwrap().types()[0].as_str(), "REGIONAL");
    assert_eq!(api.tags().unwrap()["team"], "storefront");
    assert!(api.created_date().is_some() && !api.disable_execute_api_endpoint());

    let stages = client.get_stages().rest_api_id(&id).send().await.unwrap();
    let names: Vec<_> = stages.item().iter().filter_map(|stage| stage.stage_name()).collect();
    assert_eq!(names, ["prod", "dev"]);
    let stage = client.get_stage().rest_api_id(&id).stage_name("dev").send().await.unwrap();
    assert!(stage.deployment_id().is_some() && stage.last_updated_date().is_some());

    let other = client.get_rest_api().rest_api_id(format!("{}1", &account[6..])).send().await.unwrap();
    assert_eq!(other.endpoint_configuration().unwrap().types()[0].as_str(), "PRIVATE");
    differs(&peer, "a version nobody gave", other.version(), None, Some(""));

    let plans = client.get_usage_plans().send().await.unwrap();
    let plan = |name: &str| plans.items().iter().find(|plan| plan.name() == Some(name)).unwrap();
    let stages: Vec<_> =
        plan("Gold").api_stages().iter().map(|at| (at.api_id().unwrap(), at.stage().unwrap())).collect();
    assert_eq!(stages, [(id.as_str(), "prod"), (id.as_str(), "dev")]);
    assert_eq!(plan("Gold").throttle().map(|limit| (limit.rate_limit(), limit.burst_limit())), Some((5.5, 10)));
    assert_eq!(plan("Silver").quota().map(QuotaSettings::limit), Some(1000));
    assert_eq!(plan("Silver").quota().unwrap().period().unwrap().as_str(), "DAY");
    assert_eq!(plan("Silver").description(), Some("Less."));
    differs(&peer, "a limit nobody set", plan("Silver").throttle().is_some(), false, true);
    let one = client.get_usage_plan().usage_plan_id(plan("Gold").id().unwrap()).send().await.unwrap();
    assert_eq!(one.name(), Some("Gold"));
}

async fn an_export_is_the_openapi_document(peer: Peer) {
    let (account, client) = built(&peer).await;
    let id = format!("{}0", &account[6..]);
    let export = |kind: &'static str| {
        client.get_export().rest_api_id(&id).stage_name("dev").export_type(kind).accepts("application/json")
    };
    let answer = export("oas30").send().await.unwrap();
    assert!(answer.content_disposition().unwrap().starts_with("attachment"));
    differs(
        &peer,
        "how JSON is called",
        answer.content_type(),
        Some("application/octet-stream"),
        Some("application/json"),
    );
    let document: Value = serde_json::from_slice(answer.body().unwrap().as_ref()).unwrap();
    assert_eq!(document["openapi"], "3.0.1");
    assert_eq!((&document["info"]["title"], &document["info"]["version"]), (&"API 0".into(), &"1.4.0".into()));
    let server = document["servers"][0]["url"].as_str().unwrap();
    let host = format!("https://{id}.execute-api.{REGION}.amazonaws.com");
    let (by_variable, in_full) = (format!("{host}/{{basePath}}"), format!("{host}/dev"));
    differs(&peer, "how the stage stands in the URL", server, &by_variable, &in_full);
    let default = document["servers"][0]["variables"]["basePath"]["default"].as_str();
    differs(&peer, "the stage as a variable", default, Some("dev"), None);
    let operation = &document["paths"]["/pets/{petId}"]["get"];
    assert_eq!(operation["security"], serde_json::json!([{ "api_key": [] }]));
    assert_eq!(document["components"]["securitySchemes"]["api_key"]["in"], "header");
    assert!(!document.to_string().contains("backend.internal"), "the backend is told to nobody who did not ask");

    let asked = export("oas30").parameters("extensions", "integrations").send().await.unwrap();
    let document = String::from_utf8_lossy(asked.body().unwrap().as_ref()).into_owned();
    assert!(document.contains("x-amazon-apigateway-integration") && document.contains("backend.internal"));
    assert_eq!(code(export("oas99").send().await), "BadRequestException");
}

async fn what_is_not_there_is_not_found(peer: Peer) {
    let (account, client) = built(&peer).await;
    let id = format!("{}0", &account[6..]);
    let export = |id: &str, stage: &str| client.get_export().rest_api_id(id).stage_name(stage).export_type("oas30");
    for found in [
        code(client.get_rest_api().rest_api_id("nothing").send().await),
        code(client.get_stages().rest_api_id("nothing").send().await),
        code(client.get_stage().rest_api_id(&id).stage_name("nothing").send().await),
        code(export("nothing", "prod").accepts("application/json").send().await),
        code(export(&id, "nothing").accepts("application/json").send().await),
        code(client.get_usage_plan().usage_plan_id("nothing").send().await),
        code(client.get_api_key().api_key("nothing").send().await),
        code(client.delete_api_key().api_key("nothing").send().await),
        code(client.create_usage_plan_key().usage_plan_id("nothing").key_id("k").key_type("API_KEY").send().await),
        code(client.delete_usage_plan_key().usage_plan_id("nothing").key_id("k").send().await),
    ] {
        assert_eq!(found, "NotFoundException");
    }
    let keys = code(client.get_usage_plan_keys().usage_plan_id("nothing").send().await);
    differs(&peer, "the keys of a plan that is not there", keys.as_str(), "none", "NotFoundException");
}

async fn keys_are_made_listed_and_deleted(peer: Peer) {
    let account = peer.account();
    let client = peer.root(&account, REGION);
    let make = |name: &str| client.create_api_key().name(name).description("For a test.").enabled(true);
    let first = make("gravitee-one").send().await.unwrap();
    let second = make("gravitee-two").send().await.unwrap();
    make("other").send().await.unwrap();
    let (id, value) = (first.id().unwrap(), first.value().unwrap());
    assert!(first.enabled() && first.created_date().is_some() && value.len() >= 30);
    differs(&peer, "how long an id is", id.len(), 10, 8);
    let by_default = client.create_api_key().name("x").send().await.unwrap();
    differs(&peer, "whether a key that nobody enabled is", by_default.enabled(), false, true);

    let found = client.get_api_keys().name_query("gravitee-").send().await.unwrap();
    let ids: Vec<_> = found.items().iter().filter_map(|key| key.id()).collect();
    let (older, newer) = (id, second.id().unwrap());
    differs(&peer, "in which order keys are listed", ids, vec![newer, older], vec![older, newer]);
    differs(&peer, "whether a list tells values", found.items()[0].value().is_some(), false, true);
    let told = client.get_api_keys().name_query("gravitee-one").include_values(true).send().await.unwrap();
    assert_eq!(told.items()[0].value(), Some(value));
    assert!(client.get_api_keys().name_query("Gravitee-").send().await.unwrap().items().is_empty());

    client.delete_api_key().api_key(id).send().await.unwrap();
    let again = client.delete_api_key().api_key(id).send().await.unwrap_err();
    assert_eq!(again.code(), Some("NotFoundException"));
    assert_eq!(again.message(), Some("Invalid API Key identifier specified"));
}

async fn keys_are_found_by_how_their_names_begin(peer: Peer) {
    let client = peer.root(&peer.account(), REGION);
    let mut made = Vec::new();
    for name in ["gravitee-a-1", "gravitee-a-1-more", "gravitee-a-2", "gravitee-A-1", "my-gravitee-a-1", "gravitee"] {
        made.push(client.create_api_key().name(name).enabled(true).send().await.unwrap().id().unwrap().to_owned());
    }
    client.create_api_key().enabled(true).send().await.unwrap();
    let found = async |query: &str| {
        let found = client.get_api_keys().name_query(query).include_values(false).limit(500).send().await.unwrap();
        assert_eq!(found.position(), None);
        let mut names: Vec<String> = found.items().iter().map(|key| key.name().unwrap().to_owned()).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(found("gravitee-a-1").await, ["gravitee-a-1", "gravitee-a-1-more"], "whole names are but beginnings");
    assert_eq!(found("gravitee-a-").await, ["gravitee-a-1", "gravitee-a-1-more", "gravitee-a-2"]);
    assert_eq!(found("a-1").await, [""; 0], "not in the middle");
    assert_eq!(found("nothing").await, [""; 0]);

    // Page by page, each with the question.
    let mut ids = Vec::new();
    let mut position = None;
    for left in [2, 1] {
        let ask = client.get_api_keys().name_query("gravitee-a-").limit(2).set_position(position);
        let page = ask.send().await.unwrap();
        assert_eq!(page.items().len(), left);
        ids.extend(page.items().iter().map(|key| key.id().unwrap().to_owned()));
        position = page.position().map(ToOwned::to_owned);
        let told = page.items().iter().any(|key| key.value().is_some());
        differs(&peer, "whether a list tells values", told, false, true);
    }
    assert_eq!(position, None);
    let oldest_first = ids == made[..3];
    differs(&peer, "whether the oldest key comes first", oldest_first, false, true);
    ids.sort_unstable();
    made.truncate(3);
    made.sort_unstable();
    assert_eq!(ids, made);
    let nothing = client.get_api_keys().name_query("nothing").send().await.unwrap();
    assert!(nothing.items.is_some(), "an empty list is told");
}

async fn key_values_have_rules(peer: Peer) {
    let client = peer.root(&peer.account(), REGION);
    let make = |length: usize| client.create_api_key().value("v".repeat(length)).send();
    assert_eq!(code(make(19).await), "BadRequestException");
    assert_eq!(code(make(20).await), "none");
    assert_eq!(code(make(128).await), "none");
    differs(&peer, "a value that is too long", code(make(129).await).as_str(), "BadRequestException", "none");
    differs(&peer, "a value that is taken", code(make(20).await).as_str(), "ConflictException", "none");
}

async fn keys_are_bound_and_unbound(peer: Peer) {
    let (account, client) = built(&peer).await;
    let plan = peer.plan(&account, REGION, "Gold").await;
    let key = client.create_api_key().name("one").enabled(true).send().await.unwrap();
    let key_id = key.id().unwrap();
    let bind = |key: &str| client.create_usage_plan_key().usage_plan_id(&plan).key_id(key).key_type("API_KEY").send();
    let bound = bind(key_id).await.unwrap();
    assert_eq!((bound.id(), bound.r#type(), bound.value()), (Some(key_id), Some("API_KEY"), key.value()));
    assert_eq!(peer.bound(&account, REGION, &plan).await, [key_id]);
    differs(&peer, "binding twice", code(bind(key_id).await).as_str(), "ConflictException", "none");
    let plans = client.get_usage_plans().key_id(key_id).send().await.unwrap();
    differs(&peer, "the plans of a key alone", plans.items().len(), 1, 3);

    client.delete_usage_plan_key().usage_plan_id(&plan).key_id(key_id).send().await.unwrap();
    assert!(peer.bound(&account, REGION, &plan).await.is_empty());
    bind(key_id).await.unwrap();
    client.delete_api_key().api_key(key_id).send().await.unwrap();
    let left = peer.bound(&account, REGION, &plan).await.len();
    differs(&peer, "bindings of a deleted key", left, 0, 1);
    differs(&peer, "binding what is not there", code(bind("nothing").await).as_str(), "NotFoundException", "none");
}

async fn a_key_is_in_one_plan_a_stage(peer: Peer) {
    let (account, client) = built(&peer).await;
    let key = client.create_api_key().name("one").enabled(true).send().await.unwrap();
    let mut outcomes = Vec::new();
    for name in ["Gold", "Bronze", "Silver"] {
        let plan = peer.plan(&account, REGION, name).await;
        let bind = client.create_usage_plan_key().usage_plan_id(&plan).key_type("API_KEY");
        outcomes.push(code(bind.key_id(key.id().unwrap()).send().await));
    }
    assert_eq!(outcomes[..2], ["none", "none"], "plans of different stages");
    differs(&peer, "two plans of one stage", outcomes[2].as_str(), "ConflictException", "none");
}

async fn who_is_unknown_is_refused(peer: Peer) {
    let nobody = User { access_key_id: "AKIANOBODYKNOWSTHIS0".to_owned(), secret: "any".to_owned() };
    let error = peer.client(&nobody, REGION).get_rest_apis().send().await.unwrap_err();
    assert_eq!(error.code(), Some("UnrecognizedClientException"));
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 403);
}

async fn roles_are_assumed(peer: Peer) {
    let (home, away) = (peer.account(), peer.account());
    let user = peer.user(&home, "agent").await;
    let sts = peer.sts(&user, REGION);
    let caller = sts.get_caller_identity().send().await.unwrap();
    assert_eq!(caller.account(), Some(home.as_str()));
    assert_eq!(caller.arn(), Some(format!("arn:aws:iam::{home}:user/agent").as_str()));

    peer.build(&away, REGION, estate(&away)).await;
    let role = peer.role(&away, "federation", Some("open sesame")).await;
    let assume = |id: Option<&str>| {
        let call = sts.assume_role().role_arn(&role).role_session_name("a-test");
        call.set_external_id(id.map(ToOwned::to_owned)).send()
    };
    assert_eq!(assume(None).await.unwrap_err().code(), Some("AccessDenied"));
    assert_eq!(assume(Some("wrong")).await.unwrap_err().code(), Some("AccessDenied"));
    let assumed = assume(Some("open sesame")).await.unwrap();
    assert_eq!(
        assumed.assumed_role_user().unwrap().arn(),
        format!("arn:aws:sts::{away}:assumed-role/federation/a-test")
    );
    let credentials = assumed.credentials().unwrap();
    let client = peer.session(credentials, REGION);
    assert_eq!(client.get_rest_apis().send().await.unwrap().items().len(), 3, "it sees the role's account");
    let half = User {
        access_key_id: credentials.access_key_id().to_owned(),
        secret: credentials.secret_access_key().to_owned(),
    };
    let refused = peer.client(&half, REGION).get_rest_apis().send().await.unwrap_err();
    assert_eq!(refused.raw_response().unwrap().status().as_u16(), 403, "the session token is missing");
    let missing = sts.assume_role().role_arn(format!("arn:aws:iam::{away}:role/none")).role_session_name("a-test");
    assert_eq!(missing.send().await.unwrap_err().code(), Some("AccessDenied"));
}

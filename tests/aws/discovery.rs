//! Discovery through the provider.

use federation_agent::{
    model::{Class, DocumentKind, MetadataFormat, PlanSecurity},
    standin::{Region, RestApi, UsagePlan},
};
use serde_json::Value;

use super::{
    asking::{call, list, listed},
    cases::table,
    peer::Peer,
};

pub(crate) const REGION: &str = "eu-west-1";

table! {
    stages_that_plans_cover_are_found,
    plans_tell_their_limits,
    stages_without_a_plan_come_in_when_asked_for,
    a_stage_filter_leaves_the_others_out,
    every_role_is_read_in_every_region,
    accounts_have_regions_stages_and_external_ids_of_their_own,
    two_roles_into_one_account_give_an_api_once,
    a_refused_account_is_left_out_and_named,
    a_document_is_read_and_is_right,
    what_has_vanished_is_not_found,
}

/// REST API ids of a case: no other has them.
pub(crate) fn id(account: &str, name: &str) -> String {
    format!("{name}{}", &account[6..])
}

/// A shop: three APIs with plans, one without, one private.
pub(crate) fn shop(account: &str) -> Region {
    let id = |name: &str| id(account, name);
    Region {
        apis: vec![
            RestApi::new(&id("pets"), "Petstore")
                .version("1.4.0")
                .description("Pets and their owners.")
                .tag("team", "storefront")
                .stage("prod")
                .stage("dev")
                .method("GET", "/pets")
                .method("GET", "/pets/{petId}"),
            RestApi::new(&id("ordr"), "Orders").stage("prod").method("POST", "/orders"),
            RestApi::new(&id("wthr"), "Weather").stage("prod").open_method("GET", "/today"),
            RestApi::new(&id("slry"), "Salaries").private().stage("prod").method("GET", "/salaries"),
        ],
        plans: vec![
            UsagePlan::new("gold01", "Gold")
                .description("For partners.")
                .covers(&id("pets"), "prod")
                .covers(&id("ordr"), "prod")
                .throttle(100.0, 200)
                .quota(1_000_000, "MONTH"),
            UsagePlan::new("brnz01", "Bronze").covers(&id("pets"), "dev").throttle(5.5, 10).quota(1_000, "DAY"),
            UsagePlan::new("staf01", "Staff").covers(&id("slry"), "prod"),
        ],
        ..Region::default()
    }
}

async fn stages_that_plans_cover_are_found(peer: Peer) {
    let account = peer.account();
    peer.build(&account, REGION, shop(&account)).await;
    let provider = peer.provider(&peer.user(&account, "agent").await, &[("region", REGION)]);
    let told = listed(&provider).await;
    let name = |api: &str, stage: &str| format!("{REGION}:{}:{stage}", id(&account, api));
    let mut expected = [name("pets", "prod"), name("pets", "dev"), name("ordr", "prod"), name("slry", "prod")];
    expected.sort_unstable();
    assert_eq!(told.ids(), expected);

    let listed = told.api(&name("pets", "dev"));
    let pets = &listed.api;
    assert_eq!((pets.id.as_str(), pets.name.as_str()), (pets.unique_id.as_str(), "Petstore (dev)"));
    assert_eq!(pets.version.as_deref(), Some("1.4.0"));
    assert_eq!(pets.description.as_deref(), Some("Pets and their owners."));
    assert!(pets.documents.is_empty(), "the preview does not show documents");
    let url = format!("https://{}.execute-api.{REGION}.amazonaws.com/dev", id(&account, "pets"));
    let connection: Vec<(&str, &str)> =
        pets.connection.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(connection, [("aws-account-id", account.as_str()), ("aws-region", REGION), ("url", url.as_str())]);
    assert!(listed.source.contains(&account) && listed.source.contains(REGION), "{}", listed.source);

    let metadata = |name: &str| {
        let found = pets.metadata.iter().find(|entry| entry.name == name);
        found.map_or_else(|| panic!("no metadata {name}"), |entry| (entry.value.as_str(), entry.format))
    };
    assert_eq!(metadata("aws-account-id"), (account.as_str(), MetadataFormat::String));
    assert_eq!(metadata("aws-region"), (REGION, MetadataFormat::String));
    assert_eq!(metadata("aws-rest-api-id"), (id(&account, "pets").as_str(), MetadataFormat::String));
    assert_eq!(metadata("aws-stage"), ("dev", MetadataFormat::String));
    assert_eq!(metadata("aws-endpoint-type"), ("REGIONAL", MetadataFormat::String));
    assert_eq!(metadata("aws-api-key-source"), ("HEADER", MetadataFormat::String));
    assert_eq!(metadata("aws-invoke-url"), (url.as_str(), MetadataFormat::Url));
    assert!(metadata("aws-tags").0.contains("storefront"));
    assert!(pets.metadata.iter().all(|entry| !entry.name.contains("aws-api-gateway") && !entry.value.is_empty()));

    let version = told.api(&name("ordr", "prod")).api.version.as_deref().unwrap_or("0.0.0");
    assert_eq!(version, "0.0.0", "a version that nobody gave");
    let private = told.api(&name("slry", "prod")).api.metadata.iter().find(|entry| entry.name == "aws-endpoint-type");
    assert_eq!(private.map(|entry| entry.value.as_str()), Some("PRIVATE"));
}

async fn plans_tell_their_limits(peer: Peer) {
    let account = peer.account();
    peer.build(&account, REGION, shop(&account)).await;
    let provider = peer.provider(&peer.user(&account, "agent").await, &[("region", REGION)]);
    let told = listed(&provider).await;
    let plans = |api: &str, stage: &str| told.api(&format!("{REGION}:{}:{stage}", id(&account, api))).api.plans.clone();

    let [gold] = plans("pets", "prod").try_into().expect("one plan");
    assert_eq!(gold.id, peer.plan(&account, REGION, "Gold").await);
    assert_eq!((gold.name.as_str(), gold.security), ("Gold", PlanSecurity::ApiKey));
    let description = gold.description.expect("it opens another stage");
    assert!(description.starts_with("For partners.") && description.contains("Orders"), "{description}");
    assert_eq!(
        gold.characteristics,
        ["Rate: 100.0 requests per second", "Burst: 200 requests", "Quota: 1000000 requests per month"]
    );
    let [bronze] = plans("pets", "dev").try_into().expect("one plan");
    assert_eq!(
        bronze.characteristics,
        ["Rate: 5.5 requests per second", "Burst: 10 requests", "Quota: 1000 requests per day"]
    );
    let [staff] = plans("slry", "prod").try_into().expect("one plan");
    // MiniStack tells a throttle of 0 where AWS tells none.
    assert!(staff.characteristics.is_empty() || peer.gateway().is_none(), "{:?}", staff.characteristics);
}

async fn stages_without_a_plan_come_in_when_asked_for(peer: Peer) {
    let peer = peer.with_also(include_str!("../../iam/every-stage.json"));
    let account = peer.account();
    peer.build(&account, REGION, shop(&account)).await;
    let user = peer.user(&account, "agent").await;
    let weather = format!("{REGION}:{}:prod", id(&account, "wthr"));

    let told = listed(&peer.provider(&user, &[("region", REGION)])).await;
    let why = told.left_out.iter().find(|(what, _)| what.contains(&id(&account, "wthr")));
    assert!(why.is_some_and(|(_, why)| why.contains("acceptApiWithoutUsagePlan")), "{:?}", told.left_out);

    let told = listed(&peer.provider(&user, &[("region", REGION), ("acceptApiWithoutUsagePlan", "true")])).await;
    assert_eq!(told.apis.len(), 5);
    assert!(told.api(&weather).api.plans.is_empty());
}

async fn a_stage_filter_leaves_the_others_out(peer: Peer) {
    let account = peer.account();
    peer.build(&account, REGION, shop(&account)).await;
    let user = peer.user(&account, "agent").await;
    let told = listed(&peer.provider(&user, &[("region", REGION), ("stage", "dev,test")])).await;
    assert_eq!(told.ids(), [format!("{REGION}:{}:dev", id(&account, "pets"))]);
}

async fn every_role_is_read_in_every_region(peer: Peer) {
    let (home, one, two) = (peer.account(), peer.account(), peer.account());
    let mut expected = Vec::new();
    for account in [&one, &two] {
        for (nth, region) in ["eu-west-1", "us-east-1"].into_iter().enumerate() {
            let id = id(account, &format!("api{nth}"));
            let what = Region {
                apis: vec![RestApi::new(&id, "Something").stage("prod").method("GET", "/")],
                plans: vec![UsagePlan::new(&format!("plan0{nth}"), "Plan").covers(&id, "prod")],
                ..Region::default()
            };
            peer.build(account, region, what).await;
            expected.push((format!("{region}:{id}:prod"), account.clone(), region));
        }
    }
    let roles = [peer.role(&one, "federation", None).await, peer.role(&two, "federation", None).await].join(",");
    let user = peer.user(&home, "agent").await;
    let provider = peer.provider(&user, &[("region", "eu-west-1,us-east-1"), ("roleArn", &roles)]);
    let told = listed(&provider).await;
    assert_eq!(told.apis.len(), 4);
    for (id, account, region) in &expected {
        let api = &told.api(id).api;
        assert_eq!(
            (api.connection["aws-account-id"].as_str(), api.connection["aws-region"].as_str()),
            (account.as_str(), *region)
        );
    }
    let described = provider.describe().join("\n");
    assert!(described.contains(&one) && described.contains("us-east-1"), "{described}");
    assert!(!described.contains(&user.secret));
}

async fn accounts_have_regions_stages_and_external_ids_of_their_own(peer: Peer) {
    let (home, one, two) = (peer.account(), peer.account(), peer.account());
    for account in [&one, &two] {
        peer.build(account, "eu-west-1", shop(account)).await;
    }
    let roles = (peer.role(&one, "first", Some("sesame")).await, peer.role(&two, "second", None).await);
    let user = peer.user(&home, "agent").await;
    let told = listed(&peer.provider(
        &user,
        &[
            ("region", "us-east-1"),
            ("accounts_0_roleArn", &roles.0),
            ("accounts_0_externalId", "sesame"),
            ("accounts_0_regions", "eu-west-1"),
            ("accounts_0_stages", "dev"),
            ("accounts_1_roleArn", &roles.1),
        ],
    ))
    .await;
    assert_eq!(told.ids(), [format!("eu-west-1:{}:dev", id(&one, "pets"))], "the second's region is empty");
}

async fn two_roles_into_one_account_give_an_api_once(peer: Peer) {
    let (home, account) = (peer.account(), peer.account());
    peer.build(&account, REGION, shop(&account)).await;
    let roles = [peer.role(&account, "first", None).await, peer.role(&account, "second", None).await].join(",");
    let user = peer.user(&home, "agent").await;
    let told = listed(&peer.provider(&user, &[("region", REGION), ("roleArn", &roles)])).await;
    let mut once = told.ids();
    once.dedup();
    assert_eq!((once.len(), told.apis.len()), (4, 4));
}

async fn a_refused_account_is_left_out_and_named(peer: Peer) {
    let (home, one, two) = (peer.account(), peer.account(), peer.account());
    peer.build(&one, REGION, shop(&one)).await;
    let good = peer.role(&one, "federation", None).await;
    let shut = peer.role(&two, "federation", Some("sesame")).await;
    let user = peer.user(&home, "agent").await;
    let roles = [good.as_str(), &shut].join(",");
    let told = list(&peer.provider(&user, &[("region", REGION), ("roleArn", &roles)]), &call()).await;
    told.outcome.expect("one account is enough");
    assert_eq!(told.apis.len(), 4);
    let [(source, error)] = told.failed.as_slice() else { panic!("{:?}", told.failed) };
    assert!(source.contains(&two), "{source}");
    assert_eq!(error.class(), Class::Denied, "{error:?}");

    let told = list(&peer.provider(&user, &[("region", REGION), ("roleArn", &shut)]), &call()).await;
    assert!(told.apis.is_empty());
    assert_eq!(told.outcome.expect_err("all accounts failed").class(), Class::Denied);
}

async fn a_document_is_read_and_is_right(peer: Peer) {
    let account = peer.account();
    peer.build(&account, REGION, shop(&account)).await;
    let provider = peer.provider(&peer.user(&account, "agent").await, &[("region", REGION)]);
    let told = listed(&provider).await;
    let listed = told.api(&format!("{REGION}:{}:prod", id(&account, "pets")));
    let api = provider.read(&call(), listed).await.expect("it can be read");
    assert_eq!(
        (&api.unique_id, &api.plans, &api.connection),
        (&listed.api.unique_id, &listed.api.plans, &listed.api.connection)
    );
    let [document] = api.documents.as_slice() else { panic!("{:?}", api.documents) };
    assert_eq!((document.kind, document.filename.as_str()), (DocumentKind::Swagger, "openapi.json"));
    assert!(!document.content.contains("backend.internal"), "backends are nobody's business");
    let read: Value = serde_json::from_str(&document.content).expect("JSON");
    assert_eq!(read["openapi"], "3.0.1");
    assert!(read["paths"]["/pets/{petId}"]["get"].is_object());
    // Whatever the gateway's way to write it, a caller who puts the parts together arrives at the stage.
    let mut url = read["servers"][0]["url"].as_str().expect("a server").to_owned();
    for (name, variable) in read["servers"][0]["variables"].as_object().into_iter().flatten() {
        url = url.replace(&format!("{{{name}}}"), variable["default"].as_str().expect("a default"));
    }
    assert_eq!(url, format!("https://{}.execute-api.{REGION}.amazonaws.com/prod", id(&account, "pets")));
}

async fn what_has_vanished_is_not_found(peer: Peer) {
    let account = peer.account();
    peer.build(&account, REGION, shop(&account)).await;
    let provider = peer.provider(&peer.user(&account, "agent").await, &[("region", REGION)]);
    let told = listed(&provider).await;
    peer.drop_stage(&account, REGION, &id(&account, "ordr"), "prod").await;
    let gone = told.api(&format!("{REGION}:{}:prod", id(&account, "ordr")));
    let error = provider.read(&call(), gone).await.expect_err("it is gone");
    assert_eq!(error.class(), Class::NotFound, "{error:?}");
}

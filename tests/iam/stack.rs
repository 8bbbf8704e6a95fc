//! The CloudFormation template and the trust policies, on MiniStack: the stack comes up, its role has the policies of
//! the files, and who is trusted can assume it.

use std::sync::Arc;

use serde_json::Value;

use crate::{
    AGENT, ANOTHER_AGENTS_APIS, DISCOVERY, EVERY_STAGE,
    policy::{Allowed, allowed},
    suite::{
        ministack::{MiniStack, element},
        peer::{FIND_LEFTOVERS, Peer},
    },
};

const TEMPLATE: &str = include_str!("../../iam/cloudformation.yaml");

/// Makes a stack of the template in the account; the role's ARN.
async fn stack(ministack: &MiniStack, account: &str, name: &str, parameters: &[(&str, &str)]) -> String {
    let numbered: Vec<(String, &str)> = (1..)
        .zip([("RoleName", name)].iter().chain(parameters))
        .flat_map(|(nth, (key, value))| {
            let at = format!("Parameters.member.{nth}");
            [(format!("{at}.ParameterKey"), *key), (format!("{at}.ParameterValue"), *value)]
        })
        .collect();
    let mut form = vec![
        ("Action", "CreateStack"),
        ("StackName", name),
        ("TemplateBody", TEMPLATE),
        ("Capabilities.member.1", "CAPABILITY_NAMED_IAM"),
    ];
    form.extend(numbered.iter().map(|(key, value)| (key.as_str(), *value)));
    ministack.query("cloudformation", "2010-05-15", account, &form).await;
    let described = loop {
        let form = [("Action", "DescribeStacks"), ("StackName", name)];
        let described = ministack.query("cloudformation", "2010-05-15", account, &form).await;
        match element(&described, "StackStatus").as_str() {
            "CREATE_COMPLETE" => break described,
            "CREATE_IN_PROGRESS" => {}
            other => panic!("{name}: {other}: {described}"),
        }
    };
    element(&described, "OutputValue")
}

/// All that the role's own policies allow.
async fn rights(ministack: &MiniStack, account: &str, role: &str) -> Vec<Allowed> {
    let listed = ministack.iam(account, &[("Action", "ListRolePolicies"), ("RoleName", role)]).await;
    let mut all = Vec::new();
    for name in listed.split("<member>").skip(1).filter_map(|rest| rest.split('<').next()) {
        let form = [("Action", "GetRolePolicy"), ("RoleName", role), ("PolicyName", name)];
        all.extend(allowed(&document(&ministack.iam(account, &form).await, "PolicyDocument")));
    }
    all.sort();
    all
}

/// A document in IAM's XML is percent-encoded JSON.
fn document(xml: &str, name: &str) -> String {
    let text = element(xml, name).replace("&quot;", "\"").replace("&amp;", "&");
    percent_encoding::percent_decode_str(&text).decode_utf8().expect("UTF-8").into_owned()
}

fn of_files(files: &[&str]) -> Vec<Allowed> {
    let mut all: Vec<Allowed> = files.iter().flat_map(|file| allowed(file)).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_stack_gives_the_rights_of_the_files() {
    let Some(ministack) = &MiniStack::start().await else { return };
    let account = "100000000001".to_owned();
    let ec2 = ("RunsOn", "ec2");
    for (name, parameters, files) in [
        ("reader", vec![ec2, ("Rights", "discovery")], vec![DISCOVERY]),
        ("agent", vec![ec2], vec![AGENT]),
        ("every", vec![ec2, ("EveryStage", "true")], vec![AGENT, EVERY_STAGE]),
        ("takeover", vec![ec2, ("AnotherAgentsApis", "true")], vec![AGENT, ANOTHER_AGENTS_APIS]),
        ("finder", vec![ec2, ("FindLeftovers", "true")], vec![AGENT, FIND_LEFTOVERS]),
    ] {
        let arn = stack(ministack, &account, name, &parameters).await;
        assert_eq!(arn, format!("arn:aws:iam::{account}:role/{name}"));
        assert_eq!(rights(ministack, &account, name).await, of_files(&files), "{name}");
    }
    let roles = "arn:aws:iam::111111111111:role/one,arn:aws:iam::222222222222:role/two";
    stack(ministack, &account, "hub", &[ec2, ("Rights", "none"), ("AssumeRoles", roles)]).await;
    let hub = rights(ministack, &account, "hub").await;
    assert!(hub.iter().all(|allowed| allowed.action == "sts:AssumeRole"));
    assert_eq!(hub.iter().map(|allowed| allowed.resource.as_str()).collect::<Vec<_>>().join(","), roles);
}

#[tokio::test]
async fn a_stack_trusts_whom_it_should() {
    let Some(ministack) = &MiniStack::start().await else { return };
    let account = "100000000001".to_owned();
    let provider = "oidc.eks.eu-west-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B716D3041E";
    for (name, parameters, file) in [
        ("on-ec2", vec![("RunsOn", "ec2")], include_str!("../../iam/trust-ec2.json")),
        ("on-ecs", vec![("RunsOn", "ecs")], include_str!("../../iam/trust-ecs.json")),
        ("on-eks", vec![("RunsOn", "eks"), ("ClusterName", "my-cluster")], include_str!("../../iam/trust-eks.json")),
        (
            "on-oidc",
            vec![("RunsOn", "eks-oidc"), ("OidcProvider", provider)],
            include_str!("../../iam/trust-eks-oidc.json"),
        ),
        (
            "away",
            vec![
                ("RunsOn", "account"),
                ("TrustedArn", "arn:aws:iam::333333333333:role/federation-agent"),
                ("ExternalId", "choose-a-long-random-text"),
            ],
            include_str!("../../iam/trust-account.json"),
        ),
    ] {
        stack(ministack, &account, name, &parameters).await;
        let told = ministack.iam(&account, &[("Action", "GetRole"), ("RoleName", name)]).await;
        let made: Value = serde_json::from_str(&document(&told, "AssumeRolePolicyDocument")).expect("JSON");
        // The files speak of an example's account where the stack speaks of its own.
        let own = if name == "away" { file.to_owned() } else { file.replace("333333333333", &account) };
        let mut expected: Value = serde_json::from_str(&own).expect("JSON");
        for statement in expected["Statement"].as_array_mut().expect("statements") {
            statement.as_object_mut().expect("a statement").remove("Sid");
        }
        assert_eq!(made, expected, "{name}");
    }
}

#[tokio::test]
async fn the_role_of_a_stack_is_assumed_with_its_external_id() {
    let Some(ministack) = MiniStack::start().await.map(Arc::new) else { return };
    let peer = Peer::of_stack(Arc::clone(&ministack));
    let (home, away) = (peer.account(), peer.account());
    let user = peer.user(&home, "agent").await;
    let who = format!("arn:aws:iam::{home}:user/agent");
    let parameters = [("RunsOn", "account"), ("TrustedArn", who.as_str()), ("ExternalId", "sesame")];
    let role = stack(&ministack, &away, "federation", &parameters).await;
    let sts = peer.sts(&user, "eu-west-1");
    let assume = |external_id: &str| {
        sts.assume_role().role_arn(&role).role_session_name("a-test").external_id(external_id).send()
    };
    assume("wrong").await.expect_err("the external id is asked for");
    let session = assume("sesame").await.expect("it is trusted");
    let client = peer.session(session.credentials().expect("credentials"), "eu-west-1");
    client.get_rest_apis().send().await.expect("the policy allows it");
    client.get_api_keys().send().await.expect_err("the policy does not allow it");
}

#[test]
fn the_policy_for_assuming_names_roles_and_no_patterns() {
    for allowed in allowed(include_str!("../../iam/assume-role.json")) {
        assert_eq!(allowed.action, "sts:AssumeRole");
        assert!(!allowed.resource.contains('*'));
    }
}

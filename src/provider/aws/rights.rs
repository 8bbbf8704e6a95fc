//! The least policy for a configuration: what the code asks for, and nothing else.

use serde::Serialize;

use super::{config::Config, region::Partition};

/// A policy, written in the order in which people read it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: &'static str,
    action: String,
    resource: Vec<String>,
}

/// The policies as text. With roles there are two: one for the roles, and one for who assumes them.
pub(super) fn least_policy(config: &Config) -> String {
    let roles: Vec<String> =
        config.accounts.iter().filter_map(|account| account.role.as_ref().map(|role| role.text.clone())).collect();
    let gateway = written(statements(config));
    if roles.is_empty() {
        return gateway;
    }
    let whose = roles.join(", ");
    let assume = Statement { sid: "AssumeTheRoles", effect: "Allow", action: "sts:AssumeRole".into(), resource: roles };
    let assume = written(vec![assume]);
    format!("# For each of the roles {whose}:\n{gateway}\n\n# For the identity that assumes them:\n{assume}")
}

fn statements(config: &Config) -> Vec<Statement> {
    let mut reads = vec!["/restapis", "/restapis/*/stages/*/exports/oas30", "/usageplans"];
    if config.without_plan {
        reads.push("/restapis/*/stages");
    }
    if config.accounts.len() > 1 {
        // GetRestApi tells which account has an API that Gravitee's own agent has ingested.
        reads.push("/restapis/*");
        reads.retain(|path| !path.starts_with("/restapis/*/"));
    }
    vec![
        statement("ListAndRead", "GET", &reads, config),
        statement("MakeAndBindKeys", "POST", &["/apikeys", "/usageplans/*/keys"], config),
        statement("DeleteKeys", "DELETE", &["/apikeys/*"], config),
    ]
}

fn statement(sid: &'static str, verb: &str, paths: &[&str], config: &Config) -> Statement {
    let mut resource = Vec::new();
    for region in config.regions() {
        let partition = Partition::of_region(region).name;
        resource.extend(paths.iter().map(|path| format!("arn:{partition}:apigateway:{region}::{path}")));
    }
    Statement { sid, effect: "Allow", action: format!("apigateway:{verb}"), resource }
}

fn written(statement: Vec<Statement>) -> String {
    // Texts alone: nothing in it can fail to be written.
    serde_json::to_string_pretty(&Policy { version: "2012-10-17", statement }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::provider::aws::config::tests::read;

    fn resources(policy: &str, statement: usize) -> Vec<String> {
        let policy: Value = serde_json::from_str(policy).unwrap();
        let resources = policy["Statement"][statement]["Resource"].as_array().unwrap();
        resources.iter().map(|resource| resource.as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn one_account_needs_little() {
        let policy = least_policy(&read(&[("region", "eu-west-1")]).unwrap());
        assert_eq!(
            resources(&policy, 0),
            [
                "arn:aws:apigateway:eu-west-1::/restapis",
                "arn:aws:apigateway:eu-west-1::/restapis/*/stages/*/exports/oas30",
                "arn:aws:apigateway:eu-west-1::/usageplans",
            ]
        );
        assert_eq!(
            resources(&policy, 1),
            ["arn:aws:apigateway:eu-west-1::/apikeys", "arn:aws:apigateway:eu-west-1::/usageplans/*/keys"]
        );
        assert_eq!(resources(&policy, 2), ["arn:aws:apigateway:eu-west-1::/apikeys/*"]);
    }

    #[test]
    fn settings_widen_it_no_more_than_needed() {
        let config = read(&[("region", "cn-north-1"), ("acceptApiWithoutUsagePlan", "true")]).unwrap();
        let policy = least_policy(&config);
        assert!(resources(&policy, 0).contains(&"arn:aws-cn:apigateway:cn-north-1::/restapis/*/stages".to_owned()));
        let config = read(&[
            ("region", "eu-west-1"),
            ("roleArn", "arn:aws:iam::111111111111:role/a,arn:aws:iam::222222222222:role/b"),
        ]);
        let policy = least_policy(&config.unwrap());
        assert!(policy.contains("\"sts:AssumeRole\"") && policy.contains("arn:aws:iam::222222222222:role/b"));
    }
}

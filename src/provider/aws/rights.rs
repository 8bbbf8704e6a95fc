//! The least policy for a configuration: what the code asks for, and nothing else.

use serde_json::{Value, json};

use super::{config::Config, region::Partition};

/// The policies as text. With roles there are two: one for the roles, and one for who assumes them.
pub(super) fn least_policy(config: &Config) -> String {
    let roles: Vec<&str> =
        config.accounts.iter().filter_map(|account| account.role.as_ref().map(|role| role.text.as_str())).collect();
    let gateway = pretty(&json!({ "Version": "2012-10-17", "Statement": statements(config) }));
    if roles.is_empty() {
        return gateway;
    }
    let assume = pretty(&json!({
        "Version": "2012-10-17",
        "Statement": [{ "Sid": "Assume", "Effect": "Allow", "Action": "sts:AssumeRole", "Resource": roles }],
    }));
    format!(
        "# For each of the roles {}:\n{gateway}\n\n# For the identity that assumes them:\n{assume}",
        roles.join(", ")
    )
}

fn statements(config: &Config) -> Value {
    let mut reads = vec!["/restapis", "/restapis/*/stages/*/exports/oas30", "/usageplans"];
    if config.without_plan {
        reads.push("/restapis/*/stages");
    }
    if config.accounts.len() > 1 {
        // GetRestApi tells which account has an API that Gravitee's own agent has ingested.
        reads.push("/restapis/*");
        reads.retain(|path| !path.starts_with("/restapis/*/"));
    }
    json!([
        statement("Read", "GET", &reads, config),
        statement("Subscribe", "POST", &["/apikeys", "/usageplans/*/keys"], config),
        statement("Unsubscribe", "DELETE", &["/apikeys/*"], config),
    ])
}

fn statement(name: &str, verb: &str, paths: &[&str], config: &Config) -> Value {
    let mut resources = Vec::new();
    for region in config.regions() {
        let partition = Partition::of_region(region).name;
        resources.extend(paths.iter().map(|path| format!("arn:{partition}:apigateway:{region}::{path}")));
    }
    json!({ "Sid": name, "Effect": "Allow", "Action": format!("apigateway:{verb}"), "Resource": resources })
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

#[cfg(test)]
mod tests {
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

//! The settings as a whole, from outside.

mod any_environment;
mod documents;
mod faults;
mod files;
mod link;

use std::{io, path::Path};

use federation_agent::{
    cli::config,
    settings::{self, COMPOSE, Environment, Faults, Proxy, Settings},
};
use secrecy::ExposeSecret;

/// Variables that are enough.
const ENOUGH: [(&str, &str); 5] = [
    ("gravitee_integration_connector_ws_endpoints_0", "https://apim.example.com/integration-controller"),
    ("gravitee_integration_connector_ws_headers_0_name", "Authorization"),
    ("gravitee_integration_connector_ws_headers_0_value", "bearer the-token"),
    ("gravitee_integration_providers_0_type", "aws-api-gateway"),
    ("gravitee_integration_providers_0_integrationId", "f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84"),
];

/// An environment of these variables, with two files.
fn environment(variables: &[(&str, &str)]) -> Environment {
    let environment: Environment = variables.iter().copied().collect();
    environment.with_files(|path: &Path| match path.to_str() {
        Some("/run/secrets/token") => Ok(b"bearer from-a-file\n".to_vec()),
        Some("/run/secrets/key") => Ok(b"wJalr\r\n".to_vec()),
        Some("/run/secrets/empty") => Ok(b"\n".to_vec()),
        Some("/ca.pem" | "/tls.crt" | "/tls.key" | "/store") => Ok(b"-----BEGIN CERTIFICATE-----\n".to_vec()),
        Some("/agent.p12") => Ok(vec![0x30, 0x82]),
        Some("/mislabelled.p12") => Ok(vec![0xFE, 0xED, 0xFE, 0xED, 0]),
        _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such file")),
    })
}

fn load(variables: &[(&str, &str)]) -> Result<Settings, Faults> {
    settings::load(&environment(variables), &config::tables())
}

/// What `variables` give beside what is enough.
fn with(variables: &[(&str, &str)]) -> Settings {
    load(&[&ENOUGH, variables].concat()).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The faults that `variables` make beside what is enough, a line each.
fn faults(variables: &[(&str, &str)]) -> String {
    match load(&[&ENOUGH, variables].concat()) {
        Ok(settings) => panic!("no fault: {settings:?}"),
        Err(faults) => faults.to_string(),
    }
}

fn ws(name: &str) -> String {
    format!("gravitee_integration_connector_ws_{name}")
}

#[test]
fn gravitees_compose_file_works_unchanged() {
    let settings = load(&[
        ("gravitee_integration_connector_ws_endpoints_0", "https://apim.example.com/integration-controller"),
        ("gravitee_integration_connector_ws_headers_0_name", "Authorization"),
        ("gravitee_integration_connector_ws_headers_0_value", "bearer the-token"),
        ("gravitee_integration_providers_0_type", "aws-api-gateway"),
        ("gravitee_integration_providers_0_integrationId", "f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84"),
        ("gravitee_integration_providers_0_configuration_accessKeyId", "AKIA"),
        ("gravitee_integration_providers_0_configuration_secretAccessKey", "wJalr"),
        ("gravitee_integration_providers_0_configuration_region", "us-east-1, eu-west-1,"),
        ("gravitee_integration_providers_0_configuration_roleArn", ""),
        ("gravitee_integration_providers_0_configuration_acceptApiWithoutUsagePlan", "true"),
        ("gravitee_integration_providers_0_configuration_0_stage", "prod"),
        ("gravitee_integration_providers_0_configuration_1_stage", "dev"),
        ("ROLE_BASED_AUTH", "true"),
        ("WS_ORG_ID", "DEFAULT"),
        ("PATH", "/bin"),
    ])
    .unwrap();
    assert_eq!(settings.warnings, [""; 0]);
    let connector = &settings.connector;
    assert_eq!(connector.endpoints[0].as_str(), "https://apim.example.com/integration-controller");
    assert_eq!(connector.headers[0].0, "Authorization");
    assert_eq!(connector.headers[0].1.expose_secret(), "bearer the-token");
    assert!(!connector.auto_reconnect && !connector.tls.trust_all && !connector.tls.skip_host_check);
    assert!(matches!(connector.proxy, Proxy::Environment));
    let [integration] = &settings.integrations[..] else { panic!("one integration") };
    assert_eq!((integration.index, integration.kind.as_str()), (0, "aws-api-gateway"));
    assert_eq!(integration.values.list("region"), ["us-east-1", "eu-west-1"]);
    assert_eq!(integration.values.list("stage"), ["prod", "dev"]);
    assert!(integration.values.list("roleArn").is_empty());
    assert!(integration.values.flag("acceptApiWithoutUsagePlan"));
}

#[test]
fn upper_case_works_the_same() {
    let upper: Vec<(String, &str)> = ENOUGH.iter().map(|(name, value)| (name.to_uppercase(), *value)).collect();
    let pairs: Vec<(&str, &str)> = upper.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let settings = load(&pairs).unwrap();
    assert_eq!(settings.warnings, [""; 0]);
    assert_eq!(settings.integrations[0].id, "f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84");
}

#[test]
fn several_integrations_run_in_one_process() {
    let settings = with(&[
        ("gravitee_integration_providers_2_type", "aws-api-gateway"),
        ("gravitee_integration_providers_2_integrationId", "two"),
        ("gravitee_integration_providers_2_configuration_accounts_0_roleArn", "arn:aws:iam::1:role/r"),
        ("gravitee_integration_providers_2_configuration_accounts_0_regions_0", "eu-west-1"),
        ("gravitee_integration_providers_2_configuration_accounts_0_regions_1", "eu-west-3"),
    ]);
    assert_eq!(settings.integrations.iter().map(|one| one.index).collect::<Vec<_>>(), [0, 2]);
    assert_eq!(settings.integrations[1].values.group("accounts")[0].list("regions"), ["eu-west-1", "eu-west-3"]);
    assert_eq!(
        settings.warnings,
        ["gravitee_integration_providers has no entry 1, but one with index 2: what stands after the gap is used \
          here; Gravitee's agent would stop at the gap"]
    );
}

#[test]
fn secrets_come_from_files() {
    let mut variables = ENOUGH.to_vec();
    variables[2] = ("gravitee_integration_connector_ws_headers_0_value_FILE", "/run/secrets/token");
    variables.push(("GRAVITEE_INTEGRATION_PROVIDERS_0_CONFIGURATION_SECRETACCESSKEY_FILE", "/run/secrets/key"));
    let settings = load(&variables).unwrap();
    assert_eq!(settings.warnings, [""; 0]);
    assert_eq!(settings.connector.headers[0].1.expose_secret(), "bearer from-a-file");
    let key = settings.integrations[0].values.secret("secretAccessKey").unwrap();
    assert_eq!(key.expose_secret(), "wJalr");
}

#[test]
fn the_line_ends_of_windows_are_no_part_of_a_secret() {
    let configuration = "gravitee_integration_providers_0_configuration";
    let settings = with(&[
        ("gravitee_integration_connector_ws_headers_0_value", "bearer abc\r"),
        (&format!("{configuration}_accessKeyId"), "AKIA\r"),
        (&format!("{configuration}_secretAccessKey"), "wJalr\r\n"),
    ]);
    assert_eq!(settings.connector.headers[0].1.expose_secret(), "bearer abc");
    let values = &settings.integrations[0].values;
    assert_eq!(values.text("accessKeyId"), Some("AKIA"));
    assert_eq!(values.secret("secretAccessKey").unwrap().expose_secret(), "wJalr");
}

#[test]
fn gateways_need_no_plane() {
    let variables = [
        ("gravitee_integration_providers_0_type", "aws-api-gateway"),
        ("gravitee_integration_providers_0_configuration_region", "eu-west-1"),
        ("gravitee_integration_connector_ws_autoReconnect", "perhaps"),
    ];
    let gateways = settings::gateways(&environment(&variables), &config::tables()).unwrap();
    assert_eq!(gateways.integrations[0].id, "integration-0");
    assert_eq!(gateways.integrations[0].values.list("region"), ["eu-west-1"]);
    assert_eq!(gateways.warnings, [""; 0]);
    let faults = settings::gateways(&environment(&[]), &config::tables()).unwrap_err();
    assert_eq!(faults.0.len(), 1, "{faults}");
}

#[test]
fn files_are_read_from_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "bearer of-the-disk\r\n").unwrap();
    let mut variables = ENOUGH.to_vec();
    variables[2] = ("gravitee_integration_connector_ws_headers_0_value_FILE", path.to_str().unwrap());
    let settings = settings::load(&variables.iter().copied().collect(), &config::tables()).unwrap();
    assert_eq!(settings.connector.headers[0].1.expose_secret(), "bearer of-the-disk");
    variables[2].1 = folder.path().to_str().unwrap();
    let faults = settings::load(&variables.iter().copied().collect(), &config::tables()).unwrap_err();
    assert!(faults.to_string().contains("it is a directory"), "{faults}");
}

#[test]
fn an_environment_shows_names_only() {
    assert_eq!(format!("{:?}", environment(&[("A", "hunter2"), ("B", "x")])), r#"Environment{"A", "B"}"#);
}

#[test]
fn names_of_the_compose_file_become_declared_ones() {
    for name in COMPOSE {
        let Some(variable) = name.variable else { continue };
        let value = if name.name.contains("ACCEPT") { "true" } else { "https://x" };
        let mut variables = ENOUGH.to_vec();
        variables.retain(|(known, _)| *known != variable);
        variables.push((variable, value));
        if name.name == "INTEGRATION_ID" {
            variables.push((variable, "id"));
        }
        let settings = load(&variables).unwrap_or_else(|faults| panic!("{faults}"));
        assert!(!settings.warnings.iter().any(|warning| warning.contains("not known")), "{:?}", settings.warnings);
    }
}

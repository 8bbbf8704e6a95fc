//! What is wrong, and what is doubtful, as a person reads it.

use federation_agent::{
    cli::config,
    settings::{self, Environment},
};

use super::{ENOUGH, faults, load, with, ws};

#[test]
fn nothing_set_says_all_that_is_missing() {
    insta::assert_snapshot!(load(&[]).unwrap_err(), @r"
    gravitee_integration_connector_ws_endpoints_0: must be set: where the plane's integration controller is, for example https://apim.example.com/integration-controller
    gravitee_integration_providers_0_type: must be set. Which kind of gateway this is. For example: aws-api-gateway
    gravitee_integration_providers_0_integrationId: must be set. The integration's id, as the plane's console shows it. For example: f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84
    ");
}

#[test]
fn an_unfilled_env_file_says_what_is_missing() {
    let variables = [
        ("WS_ENDPOINTS", "https://apim.example.com"),
        ("gravitee_integration_connector_ws_endpoints_0", ""),
        ("gravitee_integration_connector_ws_headers_0_name", "Authorization"),
        ("gravitee_integration_connector_ws_headers_0_value", "bearer "),
        ("gravitee_integration_providers_0_type", "aws-api-gateway"),
        ("gravitee_integration_providers_0_integrationId", ""),
    ];
    insta::assert_snapshot!(load(&variables).unwrap_err(), @r"
    gravitee_integration_connector_ws_endpoints_0 is empty: must be set: where the plane's integration controller is, for example https://apim.example.com/integration-controller. WS_ENDPOINTS is set, but that is a name of the compose file, which maps it to this variable
    gravitee_integration_connector_ws_headers_0_value=bearer: the token is missing; bearer and a token are accepted
    gravitee_integration_providers_0_integrationId is empty: must be set. The integration's id, as the plane's console shows it. For example: f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84
    ");
}

#[test]
fn everything_wrong_is_reported_at_once() {
    let ws_name = ws;
    let names = [
        (
            "endpoints",
            "https://user:hunter2@a.example.com,ftp://b,https://c.example.com/x?token=hunter2,not an address",
        ),
        ("headers_0_name", "Author ization"),
        ("headers_0_value", "bearer hunter2"),
        ("headers_1_name", "X-Other"),
        ("autoReconnect", "perhaps"),
        ("maxWebSocketFrameSize", "3"),
        ("ssl_truststore_path", "/etc/trust.jks"),
        ("ssl_keystore_path", "/nowhere.p12"),
        ("ssl_keystore_password", "hunter2"),
        ("proxy_enabled", "true"),
        ("proxy_type", "SOCKS5"),
        ("proxy_host", "http://user:hunter2@proxy:3128"),
    ]
    .map(|(name, value)| (ws_name(name), value));
    let mut variables: Vec<(&str, &str)> = names.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    variables.extend([
        ("gravitee_integration_providers_0_type", "aws-api-gatewy"),
        ("gravitee_integration_providers_0_integrationId", "<integration id>"),
        ("gravitee_integration_providers_1_type", "solace"),
        ("gravitee_integration_providers_1_integrationId", "one"),
        ("gravitee_integration_providers_2_type", "aws-api-gateway"),
        ("gravitee_integration_providers_2_integrationId", "one"),
        ("gravitee_integration_providers_2_configuration_burst", "lots"),
        ("gravitee_integration_providers_2_configuration_secretAccessKey", "hunter2"),
        ("gravitee_integration_providers_2_configuration_secretAccessKey_FILE", "/run/secrets/key"),
        ("FEDERATION_AGENT_DRAIN", "8"),
    ]);
    let report = load(&variables).unwrap_err().to_string();
    assert!(!report.contains("hunter2"), "{report}");
    insta::assert_snapshot!(report);
}

#[test]
fn a_secret_file_that_gives_none_is_a_fault() {
    let name = "gravitee_integration_providers_0_configuration_secretAccessKey";
    let file = &format!("{name}_FILE");
    assert_eq!(
        faults(&[(file, "/nowhere")]),
        format!(
            "{file}=/nowhere: the file cannot be read: no such file; the path of a file that holds the secret is accepted"
        )
    );
    assert_eq!(
        faults(&[(file, "/run/secrets/empty")]),
        format!("{file}=/run/secrets/empty: the file is empty; the path of a file that holds the secret is accepted")
    );
    assert_eq!(
        faults(&[(file, "/run/secrets/key"), (name, "x")]),
        format!("{name}=********: {file} is set as well; keep one of the two")
    );
    assert_eq!(
        faults(&[(name, "secret://kubernetes/agent:key")]),
        format!("{name}=secret://…: there is no /run/secrets/agent/key, and no store of secrets is at hand")
    );
}

#[test]
fn unknown_names_are_warned_of_with_what_was_meant() {
    let settings = with(&[
        ("gravitee_integration_providers_0_configuration_regoin", "x"),
        ("gravitee_integration_providers_0_integration_id", "x"),
        ("gravitee_integration_providers_0_configuration_accounts_0_roleArn", "x"),
        ("gravitee_integration_providers_0_configuration_accounts_0_region", "x"),
        ("gravitee_integration_connector_ws_endpoints_100", "x"),
        ("gravitee_something_else", "x"),
        ("Gravitee_integration_providers_0_type", "x"),
        ("FEDERATION_AGENT_LOGFORMAT", "x"),
        ("FEDERATION_AGENT_log", "x"),
        ("FEDERATION_AGENT_COLOUR_OF_THE_SKY", "x"),
        // Neither typing errors nor needed.
        ("gravitee_services_core_http_port", "18084"),
        ("gravitee_secrets_kubernetes_enabled", "true"),
        ("gravitee_integration_connector_ws_maxRetry", "5"),
        ("FEDERATION_AGENT_SERVICE_HOST", "10.0.0.1"),
        ("FEDERATION_AGENT_PORT_18084_TCP_ADDR", "10.0.0.1"),
        ("GRAVITEE_APIM_API_SERVICE_PORT_HTTP", "83"),
        ("GRAVITEE_APIM_API_PORT", "tcp://10.0.0.1:83"),
        ("gravitee_empty", ""),
    ]);
    insta::assert_snapshot!(settings.warnings.join("\n"));
}

#[test]
fn placeholders_of_gravitees_examples_are_faults() {
    let mut variables = ENOUGH.to_vec();
    variables[0].1 = "https://[your-APIM-management-API-host]/integration-controller";
    variables[2].1 = "bearer [your-token]";
    variables[4].1 = "[your-integration-id]";
    variables.push(("GRAVITEE_LOG_LEVEL", "DEBUG"));
    insta::assert_snapshot!(load(&variables).unwrap_err(), @r"
    gravitee_integration_connector_ws_endpoints_0=https://[your-APIM-management-API-host]/integration-controller: this is the placeholder of an example; an address like https://apim.example.com/integration-controller is accepted
    gravitee_integration_connector_ws_headers_0_value=********: this is the placeholder of an example; put the token there
    gravitee_integration_providers_0_integrationId=[your-integration-id]: this is the placeholder of an example; the id that the console shows for the integration is accepted, like f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84
    ");
}

#[test]
fn what_is_missing_names_what_was_meant() {
    let mut variables = ENOUGH.to_vec();
    variables[4].0 = "gravitee_integration_providers_0_integrationid";
    variables[0].0 = "gravitee_integration_connector_ws_endpoint_0";
    insta::assert_snapshot!(load(&variables).unwrap_err(), @r"
    gravitee_integration_connector_ws_endpoints_0: must be set: where the plane's integration controller is, for example https://apim.example.com/integration-controller. gravitee_integration_connector_ws_endpoint_0 is set, and stands for nothing: was it meant to be this one?
    gravitee_integration_providers_0_integrationId: must be set. The integration's id, as the plane's console shows it. For example: f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84. gravitee_integration_providers_0_integrationid is set, and stands for nothing: was it meant to be this one?
    ");
}

#[cfg(unix)]
#[test]
fn a_value_that_is_no_text_is_a_fault() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt};
    let mut variables: Vec<(OsString, OsString)> =
        ENOUGH.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    variables.push(("FEDERATION_AGENT_LOG".into(), OsString::from_vec(vec![0xFF])));
    variables.push(("LS_COLORS".into(), OsString::from_vec(vec![0xFF])));
    variables.push((OsString::from_vec(vec![0xFF]), "x".into()));
    let faults = settings::load(&Environment::of_os(variables), &config::tables()).unwrap_err();
    assert_eq!(faults.to_string(), "FEDERATION_AGENT_LOG: its value is not UTF-8 text, which alone is accepted");
}

#[test]
fn a_whole_value_that_is_a_placeholder_is_one() {
    let name = &ws("headers_0_value");
    for value in ["<bearer token>", "[your-token]", "${WS_AUTH_TOKEN}"] {
        assert_eq!(
            faults(&[(name, value)]),
            format!("{name}=********: this is the placeholder of an example; bearer and a token are accepted")
        );
    }
}

#[test]
fn an_endpoint_without_its_scheme_says_so() {
    let name = &ws("endpoints_0");
    let report = faults(&[(name, "apim.example.com/integration-controller")]);
    assert!(report.contains("the scheme is missing (https://)"), "{report}");
}

#[test]
fn a_log_level_that_is_none_would_silence_the_whole_log() {
    for value in ["verbose", "warning", "info,verbose"] {
        let report = faults(&[("FEDERATION_AGENT_LOG", value)]);
        assert!(report.contains("off, error, warn, info, debug or trace is accepted"), "{value}: {report}");
    }
    for value in ["INFO", "off", "warn,federation_agent::link=debug", "federation_agent", "info, hyper=off"] {
        with(&[("FEDERATION_AGENT_LOG", value)]);
    }
}

#[test]
fn each_file_of_a_key_pair_has_its_own_fault() {
    let (cert, key) = (&ws("ssl_keystore_certPath"), &ws("ssl_keystore_keyPath"));
    let report = faults(&[(cert, "/nowhere.crt"), (key, "/nowhere.key")]);
    assert!(report.contains(&format!("{cert}=/nowhere.crt: the file cannot be read")), "{report}");
    assert!(report.contains(&format!("{key}=/nowhere.key: the file cannot be read")), "{report}");
}

#[test]
fn several_addresses_in_one_entry_are_a_fault() {
    let name = &ws("endpoints_0");
    let report = faults(&[(name, "https://a.example.com/x,https://b.example.com/x")]);
    assert!(report.contains("these are several addresses") && report.contains("endpoints_1"), "{report}");
    assert!(!faults(&[(name, "https://a:hunter2@b,https://c")]).contains("hunter2"));
}

#[test]
fn a_reference_within_a_value_is_warned_of() {
    let token = &ws("headers_0_value");
    let settings = with(&[(token, "bearer secret://kubernetes/apim:token")]);
    assert_eq!(
        settings.warnings,
        [format!(
            "{token} has `secret://` in the middle, and is used as it stands: only a value that is a reference as a whole is \
             resolved. Put all of the value into the secret, `bearer` too"
        )]
    );
}

#[test]
fn quotation_marks_and_placeholders_are_warned_of() {
    let configuration = "gravitee_integration_providers_0_configuration";
    let (token, id) = (&ws("headers_0_value"), "gravitee_integration_providers_0_integrationId");
    let settings = with(&[
        (token, "bearer 'hunter2'"),
        (id, "\"one\""),
        (&format!("{configuration}_accessKeyId"), "[your-access-key]"),
        (&format!("{configuration}_secretAccessKey"), "<secret>"),
    ]);
    assert_eq!(
        settings.warnings,
        [
            format!("{token} has the token in quotation marks, and they are sent as part of it"),
            format!(
                "{id} is in quotation marks, and they are taken as part of it, as an --env-file of Docker hands them \
                 over; leave them away"
            ),
            format!("{configuration}_accessKeyId looks like the placeholder of an example, and is used as it is"),
            format!("{configuration}_secretAccessKey looks like the placeholder of an example, and is used as it is"),
        ]
    );
}

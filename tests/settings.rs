//! The settings as a whole: Gravitee's compose files, the whole report of faults, and the documents made of the table.

use std::{fs, io, path::Path};

use federation_agent::{
    cli::config::{self, Format, document, env, markdown, render},
    settings::{self, COMPOSE, Environment, Faults, Proxy, Settings, StoreKind, StoreSource},
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
    gravitee_integration_connector_ws_endpoints_0=: must be set: where the plane's integration controller is, for example https://apim.example.com/integration-controller. WS_ENDPOINTS is set, but that is a name of the compose file, which maps it to this variable
    gravitee_integration_connector_ws_headers_0_value=bearer: the token is missing; bearer and a token are accepted
    gravitee_integration_providers_0_integrationId=: must be set. The integration's id, as the plane's console shows it. For example: f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84
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
        format!(
            "{name}=secret://…: references to a secret store are not resolved; mount the secret as a file and name it \
             in the same variable with _FILE at its end"
        )
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
fn what_is_missing_names_what_was_meant() {
    let mut variables = ENOUGH.to_vec();
    variables[4].0 = "gravitee_integration_providers_0_integrationid";
    variables[0].0 = "gravitee_integration_connector_ws_endpoint_0";
    insta::assert_snapshot!(load(&variables).unwrap_err(), @r"
    gravitee_integration_connector_ws_endpoints_0: must be set: where the plane's integration controller is, for example https://apim.example.com/integration-controller. gravitee_integration_connector_ws_endpoint_0 is set, and stands for nothing: was it meant to be this one?
    gravitee_integration_providers_0_integrationId: must be set. The integration's id, as the plane's console shows it. For example: f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84. gravitee_integration_providers_0_integrationid is set, and stands for nothing: was it meant to be this one?
    ");
}

#[test]
fn endpoints_are_checked_and_the_protocols_own_path_is_cut_off() {
    let settings = with(&[
        ("gravitee_integration_connector_ws_endpoints_1", "wss://b.example.com:8443/p/exchange/controller/"),
        ("gravitee_integration_connector_ws_endpoints_2", "ws://[::1]:8072/"),
        ("gravitee_integration_connector_ws_endpoints_3", "http://10.0.0.1:8072/exchange/controller"),
        ("gravitee_integration_connector_ws_endpoints_4", "http://localhost:8072"),
    ]);
    let urls: Vec<&str> = settings.connector.endpoints.iter().map(url::Url::as_str).collect();
    assert_eq!(
        urls,
        [
            "https://apim.example.com/integration-controller",
            "wss://b.example.com:8443/p",
            "ws://[::1]:8072/",
            "http://10.0.0.1:8072/",
            "http://localhost:8072/",
        ]
    );
    insta::assert_snapshot!(settings.warnings.join("\n"), @r"
    gravitee_integration_connector_ws_endpoints_1: /exchange/controller at the end of an endpoint is not needed, since the agent appends it; wss://b.example.com:8443/p is used
    gravitee_integration_connector_ws_endpoints_3: /exchange/controller at the end of an endpoint is not needed, since the agent appends it; http://10.0.0.1:8072 is used
    http://10.0.0.1:8072 is not encrypted: whoever is on the way can read the token; use https or wss
    ");
}

#[test]
fn unsafe_choices_and_odd_headers_are_warned_of() {
    let settings = load(&[
        ENOUGH[0],
        ENOUGH[3],
        ENOUGH[4],
        ("gravitee_integration_connector_ws_headers_0_name", "Host"),
        ("gravitee_integration_connector_ws_headers_0_value", "x"),
        ("gravitee_integration_connector_ws_headers_1_name", "X-Team"),
        ("gravitee_integration_connector_ws_headers_1_value", "a"),
        ("gravitee_integration_connector_ws_headers_2_name", "x-team"),
        ("gravitee_integration_connector_ws_headers_2_value", "b"),
        ("gravitee_integration_connector_ws_ssl_trustAll", "true"),
        ("gravitee_integration_connector_ws_ssl_verifyHost", "false"),
        ("gravitee_integration_connector_ws_autoReconnect", "true"),
        ("gravitee_system_proxy_host", "proxy"),
        ("GRAVITEE_INTEGRATION_CONNECTOR_WS_AUTORECONNECT", "false"),
    ])
    .unwrap();
    assert!(settings.connector.tls.trust_all && settings.connector.tls.skip_host_check);
    assert!(settings.connector.auto_reconnect);
    assert_eq!(settings.connector.headers.len(), 1);
    assert_eq!(settings.connector.headers[0].1.expose_secret(), "b");
    insta::assert_snapshot!(settings.warnings.join("\n"));
}

#[test]
fn stores_are_found_by_type_name_or_content() {
    let settings = with(&[
        ("gravitee_integration_connector_ws_ssl_truststore_content", "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg=="),
        ("gravitee_integration_connector_ws_ssl_keystore_path", "/agent.p12"),
        ("gravitee_integration_connector_ws_ssl_keystore_password", "p"),
        ("gravitee_integration_connector_ws_ssl_keystore_alias", "agent"),
        ("FEDERATION_AGENT_CA_FILE", "/ca.pem"),
    ]);
    let tls = settings.connector.tls;
    let truststore = tls.truststore.unwrap();
    assert_eq!(truststore.kind, StoreKind::Pem);
    assert!(matches!(&truststore.source, StoreSource::Inline(bytes) if bytes.starts_with(b"-----BEGIN ")));
    let keystore = tls.keystore.unwrap();
    assert_eq!(keystore.kind, StoreKind::Pkcs12);
    assert_eq!(keystore.alias.as_deref(), Some("agent"));
    assert_eq!(keystore.named_by, "gravitee_integration_connector_ws_ssl_keystore_path");
    assert_eq!(tls.extra_ca.unwrap().to_str(), Some("/ca.pem"));

    for pair in [["certPath", "keyPath"], ["certificates_0_cert", "certificates_0_key"]] {
        let [cert, key] = pair.map(|name| ws(&format!("ssl_keystore_{name}")));
        let keystore = with(&[(&cert, "/tls.crt"), (&key, "/tls.key")]).connector.tls.keystore.unwrap();
        assert!(matches!(keystore.source, StoreSource::Files(files) if files.len() == 2));
    }
}

#[test]
fn stores_that_cannot_be_read_are_faults() {
    let store = |name: &str| ws(&format!("ssl_truststore_{name}"));
    let (path, kind) = (store("path"), store("type"));
    let keytool = "convert it with `keytool -importkeystore -srckeystore /etc/trust.jks -destkeystore /etc/trust.p12 \
                   -deststoretype PKCS12`, then set the path to the new file and the type to PKCS12";
    assert_eq!(
        faults(&[(&path, "/etc/trust.jks"), (&kind, "JKS")]),
        format!("{kind}=JKS: JKS stores are not read; {keytool}")
    );
    assert_eq!(
        faults(&[(&path, "/etc/trust.jks")]),
        format!("{path}=/etc/trust.jks: JKS stores are not read; {keytool}")
    );
    assert!(faults(&[(&path, "/mislabelled.p12")]).contains("JKS stores are not read"));
    assert_eq!(
        faults(&[(&path, "/nowhere")]),
        format!(
            "{path}=/nowhere: the file cannot be read: no such file; the path of a store is accepted\n{kind}: must be \
             set, since the name of the store does not tell its format; PEM or PKCS12 is accepted"
        )
    );
    assert_eq!(
        faults(&[(&path, "/ca.pem"), (&kind, "BCFKS")]),
        format!("{kind}=BCFKS: PEM, PKCS12 or JKS is accepted")
    );
    assert_eq!(
        faults(&[(&store("content"), "*"), (&kind, "PKCS12")]),
        format!("{}=********: this is not base64; a store as base64 is accepted", store("content"))
    );
    assert!(with(&[(&path, "/store")]).connector.tls.truststore.is_some(), "PEM is known by what it begins with");
}

#[test]
fn the_proxy_is_gravitees_or_the_environments() {
    let proxy = |name: &str| ws(&format!("proxy_{name}"));
    assert!(matches!(with(&[(&proxy("enabled"), "false")]).connector.proxy, Proxy::Direct));
    let settings = with(&[
        (&proxy("enabled"), "true"),
        (&proxy("host"), "proxy.example.com"),
        (&proxy("port"), "3128"),
        (&proxy("username"), "u"),
        (&proxy("password"), "p"),
    ]);
    let Proxy::Http { host, port, user: Some((user, password)) } = settings.connector.proxy else { panic!("a proxy") };
    assert_eq!((host.as_str(), port, user.as_str(), password.expose_secret()), ("proxy.example.com", 3128, "u", "p"));

    let settings = with(&[
        (&proxy("enabled"), "true"),
        (&proxy("useSystemProxy"), "true"),
        ("gravitee_system_proxy_host", "10.1.1.1"),
        ("gravitee_system_proxy_port", "8080"),
    ]);
    assert!(matches!(settings.connector.proxy, Proxy::Http { port: 8080, user: None, .. }));

    let unused = with(&[(&proxy("host"), "proxy.example.com")]);
    assert!(matches!(unused.connector.proxy, Proxy::Environment));
    assert_eq!(unused.warnings, [format!("{} is not used, since {} is not true", proxy("host"), proxy("enabled"))]);

    assert_eq!(
        faults(&[
            (&proxy("enabled"), "true"),
            (&proxy("type"), "socks5"),
            (&proxy("host"), "h"),
            (&proxy("port"), "1")
        ]),
        format!(
            "{}=SOCKS5: SOCKS proxies are not spoken; HTTP (a proxy that knows CONNECT) is accepted",
            proxy("type")
        )
    );
}

#[test]
fn the_clouds_client_gives_defaults() {
    let settings = with(&[
        ("gravitee_cloud_client_ssl_trustAll", "true"),
        ("gravitee_cloud_client_ssl_truststore_path", "/ca.pem"),
        ("gravitee_cloud_client_proxy_enabled", "true"),
        ("gravitee_cloud_client_proxy_host", "cloud-proxy"),
        ("gravitee_cloud_client_proxy_port", "1"),
    ]);
    assert!(settings.connector.tls.trust_all && settings.connector.tls.truststore.is_some());
    assert!(matches!(settings.connector.proxy, Proxy::Http { port: 1, .. }));

    let settings = with(&[
        ("gravitee_cloud_client_ssl_trustAll", "true"),
        ("gravitee_integration_connector_ws_ssl_trustAll", "false"),
        ("gravitee_cloud_client_proxy_enabled", "true"),
        ("gravitee_cloud_client_proxy_host", "cloud-proxy"),
        ("gravitee_integration_connector_ws_proxy_enabled", "false"),
    ]);
    assert!(!settings.connector.tls.trust_all);
    assert!(matches!(settings.connector.proxy, Proxy::Direct));
}

#[test]
fn the_clouds_token_needs_endpoints() {
    let cloud = ("gravitee_cloud_token", "the-cloud-token");
    insta::assert_snapshot!(load(&[cloud, ENOUGH[3], ENOUGH[4]]).unwrap_err(), @"gravitee_cloud_token=********: where the controller of Gravitee Cloud is, and how this token opens it, is not public; set gravitee_integration_connector_ws_endpoints_0 (for example https://apim.example.com/integration-controller), and gravitee_integration_connector_ws_headers_0_name=Authorization with gravitee_integration_connector_ws_headers_0_value=<bearer and a token>; then this token is used only when no Authorization header is set");
    let settings = load(&[cloud, ENOUGH[0], ENOUGH[3], ENOUGH[4]]).unwrap();
    assert_eq!(settings.warnings, [""; 0]);
    assert_eq!(settings.connector.headers[0].0, "Authorization");
    assert_eq!(settings.connector.headers[0].1.expose_secret(), "bearer the-cloud-token");
    let settings = with(&[cloud]);
    assert_eq!(settings.connector.headers[0].1.expose_secret(), "bearer the-token");
    assert_eq!(settings.warnings, ["gravitee_cloud_token is not used: an Authorization header is set"]);
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
fn an_environment_shows_names_only() {
    assert_eq!(format!("{:?}", environment(&[("A", "hunter2"), ("B", "x")])), r#"Environment{"A", "B"}"#);
}

#[test]
fn config_shows_every_setting() {
    let variables = [
        &ENOUGH[..2],
        &ENOUGH[3..],
        &[
            ("gravitee_integration_connector_ws_headers_0_value_FILE", "/run/secrets/token"),
            ("gravitee_integration_providers_0_configuration_region", "eu-west-1,eu-west-3"),
            ("gravitee_integration_providers_0_configuration_secretAccessKey", "hunter2"),
            ("gravitee_integration_providers_0_configuration_regoin", "eu-west-1"),
            ("gravitee_services_core_http_port", "18084"),
            ("FEDERATION_AGENT_DRAIN", "8"),
            ("FEDERATION_AGENT_PING", "2s"),
            ("WS_ORG_ID", "DEFAULT"),
            ("HTTPS_PROXY", "http://user:hunter2@proxy:3128"),
            ("no_proxy", "localhost"),
        ],
    ]
    .concat();
    let environment = environment(&variables);
    let text = render(&environment, Format::Text);
    assert_eq!(text.faults, 1);
    assert!(!text.text.contains("hunter2") && !text.text.contains("from-a-file"), "{}", text.text);
    insta::assert_snapshot!(text.text);

    let json = render(&environment, Format::Json).text;
    assert!(!json.contains("hunter2") && !json.contains("from-a-file"), "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let setting = |name: &str| {
        let found = json["settings"].as_array().unwrap().iter().find(|setting| setting["variable"] == name);
        found.unwrap_or_else(|| panic!("{name}")).clone()
    };
    let header = setting("gravitee_integration_connector_ws_headers_0_value_FILE");
    assert_eq!((&header["value"], &header["source"]), (&"********".into(), &"file".into()));
    assert_eq!(header["file"], "/run/secrets/token");
    assert_eq!(setting("FEDERATION_AGENT_PING")["value"], "2s");
    assert_eq!(setting("FEDERATION_AGENT_PING")["default"], "5s");
    assert_eq!(setting("FEDERATION_AGENT_LOG")["source"], "default");
    assert_eq!(json["faults"][0]["variable"], "FEDERATION_AGENT_DRAIN");
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

/// The documents are what the table says. `SETTINGS_REWRITE=1 cargo test --test settings` writes them anew.
#[test]
fn documents_follow_the_table() {
    const BEGIN: &str = "<!-- settings:begin -->\n";
    const END: &str = "<!-- settings:end -->";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rewrite = std::env::var_os("SETTINGS_REWRITE").is_some();
    let mut expected = vec![("docs/settings.md", document()), (".env.example", env())];
    match fs::read_to_string(root.join("README.md")) {
        Ok(readme) if readme.contains(BEGIN) => {
            let (head, rest) = readme.split_once(BEGIN).unwrap();
            let (_, tail) = rest.split_once(END).expect("README.md has no settings:end after its settings:begin");
            expected.push(("README.md", format!("{head}{BEGIN}\n{}\n{END}{tail}", markdown())));
        }
        _ => println!("README.md has no place for the settings' table: not compared"),
    }
    for (file, content) in expected {
        if rewrite {
            fs::write(root.join(file), &content).unwrap();
        }
        let found = fs::read_to_string(root.join(file)).unwrap_or_default();
        assert!(
            found == content,
            "{file} is not what the table of settings says; write it anew with \
             `SETTINGS_REWRITE=1 cargo test --test settings`"
        );
    }
}

//! `config` as a person sees it, and the documents made of the table.

use std::{fs, io, path::Path};

use federation_agent::{
    cli::config::{Format, compose_table, document, env, render},
    settings::Environment,
};

#[test]
fn config_shows_every_setting() {
    let variables = [
        ("gravitee_integration_connector_ws_endpoints_0", "https://apim.example.com/integration-controller"),
        ("gravitee_integration_connector_ws_headers_0_name", "Authorization"),
        ("gravitee_integration_providers_0_type", "aws-api-gateway"),
        ("gravitee_integration_providers_0_integrationId", "f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84"),
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
    ];
    let environment: Environment = variables.into_iter().collect();
    let environment = environment.with_files(|path: &Path| match path.to_str() {
        Some("/run/secrets/token") => Ok(b"bearer from-a-file\n".to_vec()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    });
    let text = render(&environment, Format::Text);
    // The drain's own, and that of the pair's missing half, which only the provider sees.
    assert_eq!(text.faults, 2);
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
            expected.push(("README.md", format!("{head}{BEGIN}\n{}\n{END}{tail}", compose_table())));
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

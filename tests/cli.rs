//! The command line as a person meets it: the real binary, its words and its exit codes.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::Output,
    thread,
};

use assert_cmd::{Command, cargo::cargo_bin};

/// The binary with nothing in its environment.
fn agent() -> Command {
    let mut command = Command::new(cargo_bin!("federation-agent"));
    command.env_clear();
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_names_every_command_and_where_to_begin() {
    let output = agent().arg("--help").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!("help", stdout(&output));
}

#[test]
fn every_command_has_a_help_of_its_own() {
    for command in ["run", "discover", "check", "config", "iam", "grants", "demo", "health", "completions"] {
        let output = agent().args([command, "--help"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{command}");
        let text = stdout(&output);
        assert!(text.contains("Usage: federation-agent") && text.lines().count() > 5, "{command}: {text}");
    }
    for peer in ["plane", "gateway"] {
        let text = stdout(&agent().args(["demo", peer, "--help"]).output().unwrap());
        assert!(text.contains("--listen"), "{text}");
    }
}

#[test]
fn the_version_has_the_commit_when_there_is_one() {
    let output = agent().arg("--version").output().unwrap();
    let text = stdout(&output);
    assert!(text.starts_with(concat!("federation-agent ", env!("CARGO_PKG_VERSION"))), "{text}");
    if std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.git")).exists() {
        let commit = text.trim_end().rsplit_once('(').unwrap().1.trim_end_matches(')');
        assert!(commit.len() >= 12 && commit.chars().all(|c| c.is_ascii_hexdigit()), "{text}");
    }
}

#[test]
fn what_is_not_a_command_ends_with_2() {
    let output = agent().arg("discovr").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("discover"), "{}", stderr(&output));
    assert_eq!(agent().args(["demo", "plane", "--listen", "nowhere"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn completions_are_printed_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = agent().args(["completions", shell]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("discover"), "{shell}");
    }
}

#[test]
fn all_faults_are_told_at_once_and_end_with_2() {
    let output = agent()
        .env("gravitee_integration_connector_ws_endpoints_0", "ftp://plane")
        .env("gravitee_integration_providers_0_type", "aws-api-gateway")
        .env("gravitee_integration_providers_0_configuration_secretAccessKey", "never-to-be-seen")
        .env("gravitee_integration_providers_0_configuration_burst", "many")
        .env("FEDERATION_AGENT_DRAIN", "soon")
        .env("FEDERATION_AGENT_LISTEN", "everywhere")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    for variable in [
        "gravitee_integration_connector_ws_endpoints_0",
        "gravitee_integration_providers_0_integrationId",
        "gravitee_integration_providers_0_configuration_burst",
        "FEDERATION_AGENT_DRAIN",
        "FEDERATION_AGENT_LISTEN",
    ] {
        assert!(text.lines().any(|line| line.contains(variable)), "{variable} is not in:\n{text}");
    }
    assert!(text.contains("federation-agent config"), "{text}");
    assert!(!text.contains("never-to-be-seen"), "{text}");
}

#[test]
fn faults_that_only_a_provider_or_the_network_sees_are_told_with_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("empty.pem");
    std::fs::write(&store, "no certificate").unwrap();
    for command in ["run", "check", "config"] {
        let output = agent()
            .arg(command)
            .env("gravitee_integration_connector_ws_endpoints_0", "https://plane.example.com")
            .env("gravitee_integration_connector_ws_ssl_truststore_path", &store)
            .env("gravitee_integration_providers_0_type", "aws-api-gateway")
            .env("gravitee_integration_providers_0_integrationId", "one")
            .env("gravitee_integration_providers_0_configuration_region", "europe")
            .env("gravitee_integration_providers_0_configuration_roleArn", "admin")
            .env("gravitee_integration_providers_0_configuration_accessKeyId", "AKIAEXAMPLE")
            .env("gravitee_integration_providers_1_type", "aws-api-gateway")
            .env("gravitee_integration_providers_1_integrationId", "two")
            .env("FEDERATION_AGENT_BATCH_APIS", "0")
            .env("FEDERATION_AGENT_CA_FILE", &store)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}");
        let text = stdout(&output) + &stderr(&output);
        for fault in [
            "configuration_region=europe",
            "configuration_roleArn=admin",
            "configuration_secretAccessKey: is missing",
            "providers_1_configuration_region: must be set",
            "it holds no certificate",
            "FEDERATION_AGENT_BATCH_APIS=0",
            ": holds no certificate",
        ] {
            assert_eq!(text.matches(fault).count(), 1, "{command}, {fault}:\n{text}");
        }
        // The CA is read by the link and by each provider, and told once.
        assert!(!text.contains("holds no certificate in PEM"), "{command}:\n{text}");
    }
}

#[test]
fn a_fault_names_the_compose_files_name_too() {
    let output = agent().env("gravitee_integration_connector_ws_headers_0_value", "bearer ").output().unwrap();
    let text = stderr(&output);
    assert!(text.contains("[WS_AUTH_TOKEN in .env]") || text.contains("[INTEGRATION_ID in .env]"), "{text}");
}

#[test]
fn without_any_setting_it_says_which_are_needed() {
    for command in [vec![], vec!["run"], vec!["check"], vec!["discover"], vec!["iam"]] {
        let output = agent().args(&command).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{command:?}");
        assert!(stderr(&output).contains("gravitee_integration_providers_0_"), "{command:?}: {}", stderr(&output));
    }
}

#[test]
fn discover_and_iam_need_no_plane() {
    let configured = || {
        let mut command = agent();
        command
            .env("gravitee_integration_providers_0_type", "aws-api-gateway")
            .env("gravitee_integration_providers_0_integrationId", "one")
            .env("gravitee_integration_providers_0_configuration_accessKeyId", "AKIAEXAMPLE")
            .env("gravitee_integration_providers_0_configuration_secretAccessKey", "never-to-be-seen")
            .env("gravitee_integration_providers_0_configuration_region", "eu-west-1");
        command
    };
    let output = configured().arg("iam").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let policy: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(policy["Version"], "2012-10-17");

    let output = configured().args(["discover", "--integration", "7"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("0 (one)"), "{}", stderr(&output));
}

#[test]
fn config_shows_every_setting_and_no_secret() {
    for output in ["text", "json"] {
        let output = agent()
            .args(["config", "--output", output])
            .env("gravitee_integration_providers_0_type", "aws-api-gateway")
            .env("gravitee_integration_providers_0_configuration_secretAccessKey", "never-to-be-seen")
            .output()
            .unwrap();
        let text = stdout(&output);
        assert!(text.contains("FEDERATION_AGENT_DRAIN"), "{text}");
        assert!(!text.contains("never-to-be-seen") && !stderr(&output).contains("never-to-be-seen"), "{text}");
    }
}

/// Answers one connection with `answer`, and returns the request's first line.
#[expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]
fn answering(answer: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let len = stream.read(&mut request).unwrap();
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..len]).lines().next().unwrap_or_default().to_owned()
    });
    (address, asked)
}

#[test]
fn health_is_what_the_agent_answers() {
    let (address, asked) = answering("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n");
    let output = agent().arg("health").env("FEDERATION_AGENT_LISTEN", &address).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(asked.join().unwrap(), "GET /livez HTTP/1.1");

    let (address, asked) = answering("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nno\n");
    let output = agent().args(["health", "--ready"]).env("FEDERATION_AGENT_LISTEN", &address).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "no\n");
    assert_eq!(asked.join().unwrap(), "GET /readyz HTTP/1.1");
}

#[test]
fn health_says_why_nobody_can_be_asked() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let output = agent().arg("health").env("FEDERATION_AGENT_LISTEN", &free).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&free), "{}", stderr(&output));

    let output = agent().arg("health").env("FEDERATION_AGENT_LISTEN", "off").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("off"), "{}", stderr(&output));
}

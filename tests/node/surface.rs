//! What is asked and answered.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    ONE,
    certificates::Ca,
    support::{AWS_SECRET, Process, Stage, TOKEN, soon},
};

pub(crate) const USERS: &str = "gravitee_services_core_http_authentication_users_admin";
const PASSWORD: &str = "password-never-to-be-seen";

/// Where the surface listens, as the log says.
pub(crate) async fn address(agent: &mut Process) -> String {
    let line = agent.says("health: http").await;
    let rest = line.split_once("://").unwrap().1;
    rest[..rest.find('/').unwrap()].to_owned()
}

/// The status, the head and the body of the answer.
pub(crate) async fn ask(
    address: &str,
    line: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<(u16, String, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let length = body.len();
    let request = format!("{line} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Ok((status, head.to_lowercase(), body.to_owned()))
}

pub(crate) fn basic(credentials: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(credentials))
}

async fn get(address: &str, path: &str, headers: &str) -> (u16, Value) {
    let (status, _, body) = soon(path, ask(address, &format!("GET {path}"), headers, "")).await.unwrap();
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drop_in_answers_gravitees_paths_and_shows_no_secret() {
    let stage = Stage::set(&[ONE]).await;
    let users = [(USERS, PASSWORD)];
    let mut agent = stage.agent(&users).await;
    let line = agent.says("health: http").await;
    assert!(line.contains("for the users admin"), "{line}");
    let address = address(&mut agent).await;
    let admin = basic(&format!("admin:{PASSWORD}"));

    let (status, node) = get(&address, "/_node", &admin).await;
    assert_eq!((status, &node["metadata"]["integrations"]), (200, &json!([ONE])));
    agent.says("ready, waiting").await;
    let (status, health) = get(&address, "/_node/health", &admin).await;
    let well = json!({"healthy": true, "message": null});
    assert_eq!(
        (status, health),
        (200, json!({"process": well, "plane-one": well, "gateway-one": well, "journal": well}))
    );
    let (status, health) = get(&address, "/_node/health?probes=plane-one,cpu", &admin).await;
    assert_eq!((status, &health["cpu"]["message"]), (500, &json!("probe not found")));

    let (status, settings) = get(&address, "/_node/configuration", &admin).await;
    assert_eq!(status, 200);
    assert_eq!(settings["integration_connector_ws_headers_0_value"], "********");
    assert_eq!(settings["services_core_http_authentication_users_admin"], "********");
    assert_eq!(settings["integration_providers_0_integrationId"], ONE);
    let (_, monitor) = get(&address, "/_node/monitor", &admin).await;
    assert!(monitor["process"]["mem"]["resident"].as_u64().unwrap() > 1_000_000, "{monitor}");

    let mut seen = Vec::new();
    for path in [
        "/",
        "/status",
        "/metrics",
        "/_node",
        "/_node/health",
        "/_node/monitor",
        "/_node/configuration",
        "/_node/logging",
        "/_node/metrics/prometheus",
        "/readyz",
        "/livez",
        "/nothing",
    ] {
        let (_, head, body) = ask(&address, &format!("GET {path}"), &admin, "").await.unwrap();
        seen.extend([head, body]);
    }
    agent.signal("TERM");
    let (status, said) = agent.end().await;
    assert_eq!(status.code(), Some(0));
    for text in seen.iter().chain(&said) {
        for secret in [TOKEN, AWS_SECRET, PASSWORD] {
            assert!(!text.contains(secret), "{secret} is in: {text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_of_once_a_burst_and_never_shown() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent = stage.agent(&[(USERS, PASSWORD)]).await;
    let address = address(&mut agent).await;
    let mut statuses = Vec::new();
    for n in 0..20 {
        statuses.push(get(&address, "/status", &basic(&format!("admin:guess-{n}"))).await.0);
    }
    assert_eq!(statuses[..4], [401; 4]);
    assert!(statuses[4..].iter().filter(|status| **status == 429).count() > 10, "{statuses:?}");
    assert_eq!(get(&address, "/status", "").await.0, 401, "a browser is asked for a password all the same");
    assert_eq!(get(&address, "/livez", "").await.0, 200);
    agent.signal("TERM");
    let (_, said) = agent.end().await;
    let told: Vec<&String> = said.iter().filter(|line| line.contains("wrong credentials")).collect();
    assert!(told.len() == 1 && told[0].contains("WARN") && told[0].contains("127.0.0.1"), "{told:?}");
    assert!(!said.iter().any(|line| line.contains("guess-")), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_logs_level_is_changed_while_running_and_other_crates_stay_silent() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent = stage.agent(&[]).await;
    let address = address(&mut agent).await;
    let json = "Content-Type: application/json\r\n";
    let post = async |body: &str| {
        let (status, _, body) = ask(&address, "POST /_node/logging", json, body).await.unwrap();
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    assert!(!agent.said.iter().any(|line| line.contains("DEBUG")));
    let all =
        r#"{"ROOT": "TRACE", "tungstenite": "TRACE", "aws_smithy_runtime": "TRACE", "hyper": "TRACE", "aws": "ALL"}"#;
    let (status, levels) = post(all).await;
    assert_eq!((status, &levels["ROOT"], &levels["tungstenite"]), (200, &json!("TRACE"), &json!("WARN")));
    agent.says("the log's levels are changed while running: ROOT=TRACE").await;
    soon("discover", stage.plane.discover(ONE)).await.unwrap();
    agent.says("DEBUG").await;
    let (status, levels) =
        post(r#"{"ROOT": "", "tungstenite": "", "aws_smithy_runtime": "", "hyper": "", "aws": ""}"#).await;
    assert_eq!((status, levels), (200, json!({"ROOT": "INFO"})));
    agent.signal("TERM");
    let (_, said) = agent.end().await;
    for line in &said {
        assert!(!line.contains(TOKEN) && !line.contains(AWS_SECRET), "{line}");
        let line: Value = serde_json::from_str(line).unwrap();
        let (level, target) = (line["level"].as_str().unwrap(), line["target"].as_str().unwrap());
        assert!(target.starts_with("federation_agent") || matches!(level, "WARN" | "ERROR"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_listens_where_gravitees_names_say_and_says_what_is_wrong_with_them() {
    let stage = Stage::set(&[ONE]).await;
    let without_ours = |more: &[(&str, &str)]| {
        let mut variables = stage.environment(more);
        variables.retain(|(name, _)| name != "FEDERATION_AGENT_LISTEN");
        variables
    };
    let theirs = [("gravitee_services_core_http_port", "0"), ("gravitee_services_core_http_host", "0.0.0.0")];
    let mut agent = Process::start(&[], without_ours(&theirs));
    let address = address(&mut agent).await;
    let port = address.strip_prefix("0.0.0.0:").unwrap();
    let address = format!("127.0.0.1:{port}");
    assert_eq!(get(&address, "/livez", "").await.0, 200);
    // Other machines can ask, and nobody is asked for a password.
    let json = "Content-Type: application/json\r\n";
    let (status, _, says) = ask(&address, "POST /_node/logging", json, "{}").await.unwrap();
    assert!(status == 403 && says.contains("gravitee_services_core_http_authentication_users_"), "{says}");
    // A port that was asked for and is taken ends the start.
    let (status, said) =
        Process::start(&[], without_ours(&[("gravitee_services_core_http_port", port), theirs[1]])).end().await;
    assert_eq!(status.code(), Some(1), "{said:?}");
    assert!(
        said.iter().any(|line| line.contains("cannot be listened on") && line.contains("core_http_port")),
        "{said:?}"
    );
    agent.signal("TERM");
    agent.end().await;

    let off = [("gravitee_services_core_http_enabled", "false")];
    let mut agent = Process::start(&[], without_ours(&off));
    agent.says("ready, waiting").await;
    agent.signal("TERM");
    let (_, said) = agent.end().await;
    assert!(!said.iter().any(|line| line.contains("health: http")), "{said:?}");

    let wrong =
        [("gravitee_services_core_http_authentication_type", "basic"), ("gravitee_services_core_http_secured", "true")];
    let (status, said) = Process::start(&[], without_ours(&wrong)).end().await;
    let text = said.join("\n");
    assert_eq!(status.code(), Some(2), "{text}");
    assert!(
        text.contains("basic authentication needs a user") && text.contains("needs a certificate and its key"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secured_it_speaks_tls_and_the_health_command_still_gets_its_answer() {
    let stage = Stage::set(&[ONE]).await;
    let folder = tempfile::TempDir::new().unwrap();
    let identity = Ca::new("node").issue(&["localhost"]);
    let (cert_path, key_path) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    std::fs::write(&cert_path, identity.certificate.pem()).unwrap();
    std::fs::write(&key_path, identity.key.serialize_pem()).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = listener.local_addr().unwrap().to_string();
    drop(listener);
    let http = "gravitee_services_core_http_";
    let pairs = [
        ("FEDERATION_AGENT_LISTEN".to_owned(), listen.clone()),
        (USERS.to_owned(), PASSWORD.to_owned()),
        (format!("{http}secured"), "true".to_owned()),
        (format!("{http}ssl_keystore_certPath"), cert_path.to_str().unwrap().to_owned()),
        (format!("{http}ssl_keystore_keyPath"), key_path.to_str().unwrap().to_owned()),
    ];
    let more: Vec<(&str, &str)> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut agent = stage.agent(&more).await;
    let line = agent.says("health: https://").await;
    assert!(line.contains(&listen), "{line}");
    // Nothing is answered in clear.
    let clear = soon("in clear", ask(&listen, "GET /livez", "", "")).await;
    assert!(clear.is_err() || clear.is_ok_and(|(status, ..)| status == 0), "answered without TLS");
    for arguments in [&["health"][..], &["health", "--ready"]] {
        let (status, said) = Process::start(arguments, stage.environment(&more)).end().await;
        assert_eq!(status.code(), Some(0), "{said:?}");
    }
    agent.signal("TERM");
    assert_eq!(agent.end().await.0.code(), Some(0));

    // What cannot be used is a fault, and nothing is served in clear instead.
    std::fs::write(&key_path, "no key").unwrap();
    let (status, said) = Process::start(&[], stage.environment(&more)).end().await;
    assert_eq!(status.code(), Some(2), "{said:?}");
    assert!(said.iter().any(|line| line.contains("holds no private key")), "{said:?}");
}

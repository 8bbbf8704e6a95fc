//! Nobody's secret in any line, at any level: a whole life of the agent at trace level.

#[expect(dead_code, reason = "the other test uses all of it")]
#[path = "link/certificates.rs"]
mod certificates;
#[expect(dead_code, reason = "the other test uses all of it")]
mod support;

use std::{
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use certificates::{Ca, p12_truststore};
use federation_agent::plane::{Plane, PlaneSettings};
use secrecy::ExposeSecret;
use support::{AWS_SECRET, Process, Stage, TOKEN, soon};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

const ONE: &str = "one";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_any_line_of_a_whole_life_at_trace_level() {
    for format in ["text", "json"] {
        let stage = Stage::set(&[ONE]).await;
        let trace = [
            ("FEDERATION_AGENT_LOG", "trace,tungstenite=trace,aws_smithy_runtime=trace,hyper=trace,rustls=trace"),
            ("FEDERATION_AGENT_LOG_FORMAT", format),
            ("RUST_LOG", "trace"),
        ];
        let mut agent = stage.agent(&trace).await;
        soon("discover", stage.plane.discover(ONE)).await.unwrap();
        let api = stage.ingested(ONE).await;
        let subscription = soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "shop")).await.unwrap();
        let key = subscription.api_key.as_ref().unwrap().expose_secret().to_owned();

        stage.plane.cut(ONE).await;
        agent.says("connected to the plane again").await;
        soon("connected again", stage.plane.connected(ONE)).await;
        soon("unsubscribe", stage.plane.unsubscribe(&subscription.id)).await.unwrap();
        agent.signal("TERM");
        let (status, said) = agent.end().await;
        assert_eq!(status.code(), Some(0));
        assert!(said.iter().any(|line| line.contains("DEBUG") || line.contains("TRACE")), "nothing was traced");
        assert_free_of(&said, &[TOKEN, AWS_SECRET, &key]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_any_file_of_the_data_folder_and_nobody_else_may_read_them() {
    let stage = Stage::set(&[ONE]).await;
    let agent = stage.agent(&[]).await;
    let api = stage.ingested(ONE).await;
    let mut keys = Vec::new();
    for application in ["shop", "till"] {
        let subscription = soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", application)).await.unwrap();
        keys.push(subscription.api_key.as_ref().unwrap().expose_secret().to_owned());
        assert_eq!(looked_through(&stage, &keys), ["ingested", "journal"]);
        if application == "till" {
            soon("unsubscribe", stage.plane.unsubscribe(&subscription.id)).await.unwrap();
        }
    }
    assert_eq!(looked_through(&stage, &keys), ["ingested", "journal"]);
    agent.signal("KILL");
    agent.end().await;
    assert_eq!(looked_through(&stage, &keys), ["ingested", "journal"], "killed in the middle of it");
}

/// Looks into every file of the data folder for the token, the secret access key and these keys, and at their modes; the
/// folders in it that hold files with something in them.
fn looked_through(stage: &Stage, keys: &[String]) -> Vec<String> {
    let root = stage.data.path();
    let secrets: Vec<&str> = keys.iter().map(String::as_str).chain([TOKEN, AWS_SECRET]).collect();
    let mut holding = std::collections::BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let about = match std::fs::symlink_metadata(&path) {
                Ok(about) => about,
                // A file of a moment.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => panic!("{error}"),
            };
            let mode = about.permissions().mode() & 0o7777;
            if about.is_dir() {
                assert_eq!(mode, 0o700, "{}", path.display());
                folders.push(path);
                continue;
            }
            assert_eq!(mode, 0o600, "{}: {mode:o}", path.display());
            let bytes = std::fs::read(&path).unwrap_or_default();
            for secret in &secrets {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "a secret is in {}", path.display());
            }
            if !bytes.is_empty() {
                let within = path.strip_prefix(root).expect("in the folder").components().next();
                holding.extend(within.map(|first| first.as_os_str().to_string_lossy().into_owned()));
            }
        }
    }
    holding.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_command_prints_a_secret() {
    let stage = Stage::set(&[ONE]).await;
    for command in [&["check"][..], &["discover"], &["discover", "--output", "json"], &["config"], &["iam"]] {
        let environment = stage.environment(&[("FEDERATION_AGENT_LOG", "trace")]);
        let (_, said) = Process::start(command, environment).end().await;
        assert!(!said.is_empty(), "{command:?}");
        assert_free_of(&said, &[TOKEN, AWS_SECRET]);
    }
}

/// Where each password is asked for: the link's proxy, AWS's proxy, both stores.
const PASSWORDS: [&str; 4] = ["link-proxy-secret", "aws-proxy-secret", "truststore-secret", "keystore-secret"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_password_of_a_proxy_or_a_store_is_in_any_line_at_trace_level() {
    let [link_proxy, aws_proxy, truststore, keystore] = PASSWORDS;
    let ca = Ca::new("ours");
    let mut stage = Stage::set(&[ONE]).await;
    let tls = Some(ca.issue(&["localhost", "127.0.0.1"]).server(Some(&ca)));
    let settings = PlaneSettings { token: TOKEN.into(), tls, ..PlaneSettings::default() };
    stage.plane = Plane::bind("127.0.0.1:0", settings).await.unwrap();
    stage.plane.register(ONE, "aws-api-gateway");

    let folder = tempfile::TempDir::new().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let agent = ca.issue(&["agent"]);
    let trusted = file("trust.p12", &p12_truststore(&[("ours", &ca.certificate)], truststore));
    let identity = file("identity.p12", &agent.p12("agent", &ca, keystore));
    let (address, seen) = proxy().await;
    let gateway_port = stage.gateway.url().rsplit(':').next().unwrap().trim_end_matches('/').to_owned();
    let environment = |keystore_password: &str, link_password: &str| {
        let ws = "gravitee_integration_connector_ws";
        let aws = "gravitee_integration_providers_0_configuration";
        let mut variables = stage.environment(&[
            ("FEDERATION_AGENT_LOG", "trace,tungstenite=trace,aws_smithy_runtime=trace,hyper=trace,rustls=trace"),
            ("HTTP_PROXY", &format!("http://agent:{aws_proxy}@{address}")),
        ]);
        variables.retain(|(name, _)| !name.ends_with("_endpointUrl"));
        variables.extend(
            [
                (format!("{aws}_endpointUrl"), format!("http://gateway.example:{gateway_port}")),
                (format!("{ws}_proxy_enabled"), "true".into()),
                (format!("{ws}_proxy_type"), "HTTP".into()),
                (format!("{ws}_proxy_host"), address.ip().to_string()),
                (format!("{ws}_proxy_port"), address.port().to_string()),
                (format!("{ws}_proxy_username"), "agent".into()),
                (format!("{ws}_proxy_password"), link_password.into()),
                (format!("{ws}_ssl_truststore_path"), trusted.clone()),
                (format!("{ws}_ssl_truststore_password"), truststore.into()),
                (format!("{ws}_ssl_keystore_path"), identity.clone()),
                (format!("{ws}_ssl_keystore_password"), keystore_password.into()),
            ]
            .map(|(name, value): (String, String)| (name, value)),
        );
        variables
    };

    let running = Process::start(&[], environment(keystore, link_proxy));
    soon("connected", stage.plane.connected(ONE)).await;
    let api = stage.ingested(ONE).await;
    let subscription = soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "shop")).await.unwrap();
    soon("unsubscribe", stage.plane.unsubscribe(&subscription.id)).await.unwrap();
    running.signal("TERM");
    let (_, mut said) = running.end().await;
    // Both proxies were asked with their passwords, which is what could have been printed.
    let used = seen.lock().unwrap().clone();
    for password in [link_proxy, aws_proxy] {
        assert!(used.contains(&pair(password)), "{password} was not used: {used:?}");
    }

    // What is wrong is said, and the wrong password is as secret as the right one.
    for (keystore_password, link_password, word) in
        [("wrong-keystore-secret", link_proxy, "its password is wrong"), (keystore, "wrong-proxy-secret", "(407)")]
    {
        let (_, lines) = Process::start(&["check"], environment(keystore_password, link_password)).end().await;
        assert!(lines.iter().any(|line| line.contains(word)), "`{word}` is not said: {}", lines.join("\n"));
        said.extend(lines);
    }
    let (_, shown) = Process::start(&["config"], environment(keystore, link_proxy)).end().await;
    said.extend(shown);

    let pairs: Vec<String> = [link_proxy, aws_proxy, "wrong-proxy-secret"].map(pair).into();
    assert_free_of(&said, &pairs.iter().map(String::as_str).collect::<Vec<_>>());
    assert_free_of(&said, &["proxy-secret", "store-secret", TOKEN, AWS_SECRET]);
    let key = agent.key.serialize_pem();
    assert_free_of(&said, &[key.lines().nth(1).unwrap()]);
}

/// How a proxy is told who asks.
fn pair(password: &str) -> String {
    BASE64_STANDARD.encode(format!("agent:{password}"))
}

/// A proxy that notes the credentials that it is shown. It wants one of the right passwords; every name leads to this
/// machine.
async fn proxy() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(forward(stream, Arc::clone(&notes)));
        }
    });
    (address, seen)
}

async fn forward(mut stream: TcpStream, notes: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let told = text.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim_start_matches("Basic ").to_owned())
    })?;
    notes.lock().expect("unpoisoned").push(told.clone());
    if !PASSWORDS.iter().any(|password| pair(password) == told) {
        let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
        return stream.write_all(refusal).await.ok();
    }
    let mut words = text.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let authority = target.trim_start_matches("http://").split('/').next()?;
    let port = authority.rsplit(':').next()?;
    let mut to = TcpStream::connect(format!("127.0.0.1:{port}")).await.ok()?;
    if method == "CONNECT" {
        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.ok()?;
    } else {
        to.write_all(&head).await.ok()?;
    }
    copy_bidirectional(&mut stream, &mut to).await.ok().map(|_| ())
}

fn assert_free_of(said: &[String], secrets: &[&str]) {
    for secret in secrets {
        if let Some(line) = said.iter().find(|line| line.contains(secret)) {
            panic!("a secret is in this line: {line}");
        }
    }
}

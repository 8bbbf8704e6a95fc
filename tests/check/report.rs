//! The report: what is in it, and that no secret and no name is, whatever is set and whatever fails.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use federation_agent::plane::Behaviour;

use super::{
    certificates::{Ca, p12_truststore},
    support::{AWS_SECRET, Process, Stage, TOKEN},
    *,
};

const ID: &str = "7d2d9a52-6a3e-4b5d-9d0e-2f1f3f6f7a99";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_pasted_and_names_nobody() {
    let stage = Stage::set(&[ID]).await;
    let roles = format!("{PROVIDER}_configuration_roleArn");
    let endpoint = format!("{WS}_endpoints_1");
    let more = [
        (roles.as_str(), "arn:aws:iam::210987654321:role/acme-boss"),
        (endpoint.as_str(), "http://apim.acme.invalid:8072"),
        ("NO_PROXY", "intranet.acme.invalid,10.11.12.13"),
        ("gravitee_services_core_http_authentication_users_acme_boss", "a password that is long"),
    ];
    let (_, said) = Process::start(&["check", "--output", "report"], with(&stage, &more)).end().await;
    let text = said.join("\n");
    assert!(text.starts_with("**federation-agent check**\n\n```text\nversion: ") && text.ends_with("\n```"), "{text}");
    assert_eq!(text.matches("```").count(), 2, "{text}");
    for word in [
        "platform: linux",
        "integrations: 1 (aws-api-gateway); endpoints: 2",
        "settings that are set",
        "integration-1",
        "host-1",
        "account-1",
        "_users_user-1 = ***",
    ] {
        assert!(text.contains(word), "`{word}` is not in:\n{text}");
    }
    for name in [ID, "acme", "210987654321", "10.11.12.13", TOKEN, AWS_SECRET] {
        assert!(!text.contains(name), "{name} is in:\n{text}");
    }
    let arguments = ["check", "--output", "report", "--with-names"];
    let (_, said) = Process::start(&arguments, with(&stage, &more)).end().await;
    let text = said.join("\n");
    for name in [ID, "apim.acme.invalid", "210987654321"] {
        assert!(text.contains(name), "{name} is not in:\n{text}");
    }
    assert!(!text.contains(TOKEN) && !text.contains(AWS_SECRET), "{text}");
}

/// A secret in every place that can hold one, on every way that can fail: none in any output.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_any_output() {
    const MARK: &str = "pl4nted";
    let marked = |what: &str| format!("{MARK}-{what}");
    let ca = Ca::new("ours");
    let folder = tempfile::TempDir::new().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    };
    let (trust, key) = (marked("trust"), marked("key"));
    let trusted = file("trust.p12", &p12_truststore(&[("ours", &ca.certificate)], &trust));
    let identity = file("identity.p12", &ca.issue(&["agent"]).p12("agent", &ca, &key));
    let refusing = answering("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await;
    let stage = Stage::set(&[ONE]).await;
    let token = format!("bearer {}", marked("token"));
    let names = |ends: &[&str]| ends.iter().map(|end| format!("{WS}_{end}")).collect::<Vec<_>>();
    let store =
        names(&["ssl_truststore_path", "ssl_truststore_password", "ssl_keystore_path", "ssl_keystore_password"]);
    let proxy = names(&["proxy_enabled", "proxy_host", "proxy_port", "proxy_username", "proxy_password"]);
    let link = names(&["headers_0_value", "endpoints_0", "headers_1_name", "headers_1_value", "endpoints_1"]);
    let secret = format!("{PROVIDER}_configuration_secretAccessKey");
    let external = format!("{PROVIDER}_configuration_externalId");
    let value = marked("aws");
    let (proxy_password, host, port) = (marked("proxy"), refusing.ip().to_string(), refusing.port().to_string());
    let url_with = format!("http://agent:{}@{refusing}", marked("environment"));
    let base: Vec<(&str, &str)> = vec![
        (&link[0], &token),
        (&link[2], "X-Api-Key"),
        (&link[3], &token),
        (&secret, &value),
        (&store[0], &trusted),
        (&store[1], &trust),
        (&store[2], &identity),
        (&store[3], &key),
        ("FEDERATION_AGENT_LOG", "trace,tungstenite=trace,aws_smithy_runtime=trace,hyper=trace,rustls=trace"),
    ];
    let (in_url, wrong_store) = (format!("http://me:{}@{refusing}", marked("url")), marked("wrong"));
    let query = format!("https://localhost:1/?token={}", marked("query"));
    let variants: Vec<Vec<(&str, &str)>> = vec![
        vec![],
        vec![
            (&proxy[0], "true"),
            (&proxy[1], &host),
            (&proxy[2], &port),
            (&proxy[3], "agent"),
            (&proxy[4], &proxy_password),
            (&link[1], "http://plane.example"),
        ],
        vec![
            ("HTTPS_PROXY", &url_with),
            ("HTTP_PROXY", &url_with),
            ("ALL_PROXY", &url_with),
            (&link[1], "https://plane.example"),
        ],
        vec![("https_proxy", &in_url), (&link[4], &query)],
        vec![(&link[1], &in_url)],
        vec![(&store[3], &wrong_store)],
        vec![(&proxy[0], "true"), (&proxy[1], &in_url), (&proxy[2], &port)],
        vec![(&external, "not-told-to-everybody"), ("FEDERATION_AGENT_DRAIN", "soon")],
    ];
    let paired = BASE64_STANDARD.encode(format!("agent:{proxy_password}"));
    for variant in &variants {
        let mut more = base.clone();
        more.retain(|(name, _)| !variant.iter().any(|(other, _)| name == other));
        more.extend(variant);
        for arguments in [
            &["check"][..],
            &["check", "--output", "json"],
            &["check", "--output", "report"],
            &["check", "--output", "report", "--with-names"],
        ] {
            let (_, said) = Process::start(arguments, with(&stage, &more)).end().await;
            let text = said.join("\n");
            assert!(
                !text.is_empty() && !text.contains(MARK) && !text.contains(&paired),
                "{arguments:?} {variant:?}:\n{text}"
            );
            assert!(
                !arguments.contains(&"report") || !text.contains("not-told-to-everybody") || arguments.len() == 4,
                "{text}"
            );
        }
    }
    // Nor in what the start's check logs.
    stage.plane.behave(Behaviour::Answer { status: 401, headers: Vec::new() });
    let mut more = base.clone();
    more.push(("FEDERATION_AGENT_CHECK", "require"));
    let (status, said) = Process::start(&[], with(&stage, &more)).end().await;
    let text = said.join("\n");
    assert!(status.code() == Some(1) && !text.contains(MARK), "{text}");
}

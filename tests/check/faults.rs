//! Each fault on the way to the plane and to the gateway: found, with what to do; and one warning of it in the log of the
//! running agent.

use std::time::{Duration, SystemTime};

use federation_agent::{
    plane::{Behaviour, Plane, PlaneSettings},
    standin::{Failure, Operation, Role},
};

use super::{
    certificates::{Ca, Identity},
    support::{Process, Stage, TOKEN},
    *,
};

/// The running agent warns once of it, and says all these words.
async fn warns(stage: &Stage, more: &[(&str, &str)], words: &[&str]) {
    let mut agent = Process::start(&[], with(stage, more));
    let line = agent.says(words[0]).await;
    assert!(line.contains("WARN"), "{line}");
    for word in words {
        assert!(line.contains(word), "`{word}` is not in: {line}");
    }
    agent.signal("TERM");
    let (_, said) = agent.end().await;
    let warned = said.iter().filter(|line| line.contains("WARN") && line.contains(words[0])).count();
    assert_eq!(warned, 1, "{}", said.join("\n"));
}

async fn secured(stage: &mut Stage, identity: &Identity) {
    let settings = PlaneSettings { token: TOKEN.into(), tls: Some(identity.server(None)), ..PlaneSettings::default() };
    stage.plane = Plane::bind("127.0.0.1:0", settings).await.unwrap();
    stage.plane.register(ONE, "aws-api-gateway");
}

/// The day in so many days.
fn in_days(days: i64) -> (i32, u8, u8) {
    let span = Duration::from_hours(24 * days.unsigned_abs());
    let now = SystemTime::now();
    let text = humantime::format_rfc3339_seconds(if days < 0 { now - span } else { now + span }).to_string();
    let mut parts = text[..10].split('-');
    let mut next = || parts.next().unwrap();
    (next().parse().unwrap(), next().parse().unwrap(), next().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_that_are_not_taken() {
    let (ca, stranger) = (Ca::new("ours"), Ca::new("stranger"));
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, ca.certificate.pem()).unwrap();
    let trusting = [("FEDERATION_AGENT_CA_FILE", path.to_str().unwrap())];
    let mut stage = Stage::set(&[ONE]).await;
    for (identity, shown, logged) in [
        (
            ca.issue_expired(&["localhost"]),
            &["expired", "renew it", "valid until 2021-01-01", "CN=ours"][..],
            &["days ago; renew it"][..],
        ),
        (
            ca.issue_between(&["localhost"], in_days(10), in_days(400)),
            &["not valid yet", "clock right", "valid from"],
            &["it is not valid yet, but in ", "is this machine's clock right?"],
        ),
        (
            stranger.issue(&["localhost"]),
            &["not signed by an authority that is trusted here", "CN=stranger", "FEDERATION_AGENT_CA_FILE"],
            &["not signed by an authority that is trusted here", "CN=stranger", "FEDERATION_AGENT_CA_FILE"],
        ),
        (
            ca.issue(&["other.example", "*.other.example"]),
            &["not for the host name localhost", "it is for other.example, *.other.example"],
            &["not for the host name localhost", "it is for other.example", "verifyHost=false"],
        ),
    ] {
        secured(&mut stage, &identity).await;
        Checked::of(&stage, &trusting)
            .await
            .only_bad(&["plane.certificate"])
            .says("plane.certificate", "bad", shown)
            .says("plane.upgrade", "untried", &["not tried: TLS failed"])
            .says("plane.hello", "untried", &["not tried: TLS failed"])
            .says("gateway.identity", "good", &[]);
        warns(&stage, &trusting, logged).await;
    }
    secured(&mut stage, &ca.issue_between(&["localhost"], in_days(-360), in_days(5))).await;
    let words = ["it expires in", "renew it", "TLS 1.3", "for localhost", "by `CN=ours"];
    Checked::of(&stage, &trusting).await.only_bad(&[]).says("plane.certificate", "doubtful", &words);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_that_do_not_let_through() {
    let stage = Stage::set(&[ONE]).await;
    for (answer, word, advice) in [
        ("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "(407)", "ws_proxy_username"),
        ("HTTP/1.1 403 Forbidden\r\n\r\n", "(403)", "have plane.example:80 put on its list"),
        ("", "made no tunnel within", "is the proxy up"),
    ] {
        let proxy = answering(answer).await;
        let (host, port) = (proxy.ip().to_string(), proxy.port().to_string());
        let (keys, endpoint) =
            (["enabled", "host", "port"].map(|key| format!("{WS}_proxy_{key}")), format!("{WS}_endpoints_0"));
        let more = [
            (endpoint.as_str(), "http://plane.example"),
            (keys[0].as_str(), "true"),
            (keys[1].as_str(), host.as_str()),
            (keys[2].as_str(), port.as_str()),
            ("FEDERATION_AGENT_HANDSHAKE", "400ms"),
        ];
        Checked::of(&stage, &more)
            .await
            .only_bad(&["plane.proxy"])
            .says("plane.proxy", "bad", &[word, advice, "from the settings of the link"])
            .says("plane.connection", "untried", &["the proxy failed"]);
        warns(&stage, &more, &[word, advice]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_nobody_knows() {
    let stage = Stage::set(&[ONE]).await;
    let endpoint = format!("{WS}_endpoints_0");
    let more = [(endpoint.as_str(), "http://no-such-host.invalid")];
    Checked::of(&stage, &more)
        .await
        .only_bad(&["plane.name"])
        .says("plane.name", "bad", &["its host name cannot be resolved", "HTTP_PROXY"])
        .says("plane.connection", "untried", &["not tried: name failed"]);
    warns(&stage, &more, &["its host name cannot be resolved", "is it right"]).await;

    let gateway = format!("{PROVIDER}_configuration_endpointUrl");
    Checked::of(&stage, &[(&gateway, "https://no-such-gateway.invalid")]).await.only_bad(&["gateway.name"]).says(
        "gateway.right",
        "untried",
        &["none of the places"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_plane_refuses() {
    let stage = Stage::set(&[ONE]).await;
    let (token, id) = (format!("{WS}_headers_0_value"), format!("{PROVIDER}_integrationId"));
    let wrong_token = [(token.as_str(), "bearer wrong")];
    Checked::of(&stage, &wrong_token)
        .await
        .only_bad(&["plane.upgrade"])
        .says("plane.upgrade", "bad", &["refused the token (401)", "check the Authorization header"])
        .says("clock", "good", &["the plane"]);
    warns(&stage, &wrong_token, &["refused the token (401)", "check the Authorization header"]).await;

    let wrong_id = [(id.as_str(), "nobody")];
    let words = ["refused integration nobody", "integrationId, from the console"];
    Checked::of(&stage, &wrong_id).await.only_bad(&["plane.hello"]).says("plane.hello", "bad", &words);
    warns(&stage, &wrong_id, &words).await;

    stage.plane.register(ONE, "solace");
    let words = ["it is one for `solace`", "_type=solace"];
    Checked::of(&stage, &[]).await.only_bad(&["plane.hello"]).says("plane.hello", "bad", &words);
    warns(&stage, &[], &words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_are_missing() {
    let stage = Stage::set(&[ONE]).await;
    stage.gateway.fault(Failure::Denied.on(Operation::GetUsagePlans));
    let words = ["denied: allow apigateway:GET on arn:aws:apigateway:eu-west-1::/usageplans to"];
    Checked::of(&stage, &[]).await.only_bad(&["gateway.right"]).says("gateway.right", "bad", &words).says(
        "gateway.right",
        "untried",
        &["there is no stage to try it on"],
    );
    let mut agent = stage.agent(&[]).await;
    assert!(stage.plane.discover(ONE).await.is_err());
    let line = agent.says("allow apigateway:GET on arn:aws:apigateway:eu-west-1::/usageplans").await;
    assert!(line.contains("WARN"), "{line}");
    agent.signal("TERM");
    let (_, said) = agent.end().await;
    let warned = said.iter().filter(|line| line.contains("WARN") && line.contains("allow apigateway:GET"));
    assert_eq!(warned.count(), 1, "{}", said.join("\n"));
    stage.gateway.heal();

    stage.gateway.fault(Failure::Throttled(Some(1)).on(Operation::GetUsagePlans).times(1));
    Checked::of(&stage, &[]).await.only_bad(&[]).says("gateway.throttling", "doubtful", &["1 calls were turned away"]);
    stage.gateway.heal();

    // Beside roles: who assumes them, and each right of each of them.
    let roles = format!("{PROVIDER}_configuration_roleArn");
    let role = "arn:aws:iam::210987654321:role/nobody";
    let checked = Checked::of(&stage, &[(&roles, role)]).await;
    checked.says("gateway.credentials", "bad", &["may not be assumed", "trust policy"]).says(
        "gateway.right",
        "untried",
        &["there are no credentials"],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_differ() {
    let stage = Stage::set(&[ONE]).await;
    stage.plane.behave(Behaviour::Clock(3_600));
    Checked::of(&stage, &[]).await.only_bad(&[]).says(
        "clock",
        "doubtful",
        &["behind that of the plane", "so look at the plane"],
    );
    let an_hour = || stage.gateway.fault(Failure::Clock(3_600).always());
    an_hour();
    Checked::of(&stage, &[]).await.only_bad(&["clock"]).says(
        "clock",
        "bad",
        &["this machine's clock is wrong", "behind", "which agree", "NTP", "refuses signatures"],
    );
    stage.plane.behave(Behaviour::Faithful);
    Checked::of(&stage, &[]).await.only_bad(&["clock"]).says(
        "clock",
        "bad",
        &["behind that of the gateway of one", "agrees with this machine's"],
    );
    stage.gateway.heal();
    stage.gateway.fault(Failure::Clock(-45).always());
    Checked::of(&stage, &[]).await.only_bad(&[]).says("clock", "doubtful", &["ahead of that of the gateway of one"]);
}

/// With several roles each has its rights tried, and the agent's own identity the one that it may use beside them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_of_several_roles() {
    let stage = Stage::set(&[ONE]).await;
    let arns = ["111111111111", "222222222222"].map(|number| format!("arn:aws:iam::{number}:role/federation"));
    stage.gateway.with(|estate| {
        for number in ["111111111111", "222222222222"] {
            estate.account(number).roles.insert("federation".into(), Role::open());
        }
    });
    let (roles, both) = (format!("{PROVIDER}_configuration_roleArn"), arns.join(","));
    let asked = |stage: &Stage, operation| stage.gateway.count(operation);
    let checked = Checked::of(&stage, &[(&roles, &both)]).await;
    checked.only_bad(&[]);
    let told = |what: &str| checked.findings().filter(|one| one["what"].as_str().unwrap().starts_with(what)).count();
    assert_eq!((told("GET /restapis/* (account"), told("DELETE /apikeys/*")), (2, 3), "{}", checked.listed());
    checked
        .says("gateway.right", "doubtful", &["there is no REST API, or none is shown"])
        .says("gateway.right", "untried", &["there is no stage to try it on"])
        .says("gateway.right", "good", &["allowed to the agent's own identity too"]);
    assert_eq!(asked(&stage, Operation::GetRestApi), 2);

    stage.gateway.fault(Failure::Denied.on(Operation::GetRestApi).in_account("222222222222"));
    stage.gateway.fault(Failure::Denied.on(Operation::DeleteApiKey).in_account(federation_agent::standin::ACCOUNT));
    Checked::of(&stage, &[(&roles, &both)])
        .await
        .only_bad(&["gateway.right"])
        .says("gateway.right", "bad", &["allow apigateway:GET on arn:aws:apigateway:eu-west-1::/restapis/* to role"])
        .says("gateway.right", "good", &["not allowed to the agent's own identity"]);
}

/// What does not answer costs the time of one step, wherever it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_silent_costs_little() {
    let stage = Stage::set(&[ONE]).await;
    let silent = answering("").await;
    let (endpoint, gateway) = (format!("{WS}_endpoints_0"), format!("{PROVIDER}_configuration_endpointUrl"));
    let (plane_url, gateway_url) = (format!("http://{silent}"), format!("https://{silent}"));
    let more = [
        (endpoint.as_str(), plane_url.as_str()),
        (gateway.as_str(), gateway_url.as_str()),
        ("FEDERATION_AGENT_HANDSHAKE", "300ms"),
    ];
    let begun = tokio::time::Instant::now();
    Checked::of(&stage, &more).await.only_bad(&["plane.upgrade", "gateway.certificate"]).says(
        "gateway.credentials",
        "untried",
        &["none of the places"],
    );
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

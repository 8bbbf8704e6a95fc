//! The real binary between a plane and a gateway over real sockets: what it does, and how it ends.

#[path = "support/health.rs"]
mod health;
mod support;

use federation_agent::{
    plane::{Behaviour, Ending},
    standin::{Failure, Operation},
};
use health::{get, get_until, health_address};
use secrecy::ExposeSecret;
use support::{Process, Stage, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

const ONE: &str = "one";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connects_discovers_ingests_subscribes_and_unsubscribes() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent = stage.agent(&[]).await;
    soon("ready", agent.says("ready, waiting for the plane's commands; connected integrations: 1")).await;

    let found = soon("discover", stage.plane.discover(ONE)).await.unwrap();
    assert!(!found.partial);
    let mut names: Vec<&str> = found.apis.iter().map(|api| api.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["Orders (prod)", "Payments (prod)", "Petstore (dev)", "Petstore (prod)", "Salaries (prod)"]);

    let api = stage.ingested(ONE).await;
    let subscription = soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "shop")).await.unwrap();
    let key = subscription.api_key.as_ref().unwrap().expose_secret();
    stage.gateway.with(|estate| {
        let made = estate.keys().find(|made| made.value == key).unwrap();
        assert!(made.enabled && estate_binds(estate, &made.id));
    });
    soon("unsubscribe", stage.plane.unsubscribe(&subscription.id)).await.unwrap();
    assert_eq!(stage.keys(), 0);

    agent.signal("TERM");
    let (status, _) = agent.end().await;
    assert_eq!(status.code(), Some(0));
}

fn estate_binds(estate: &federation_agent::standin::Estate, id: &str) -> bool {
    let (keys, bound) = estate.key_counts();
    keys == 1 && bound == 1 && estate.keys().any(|key| key.id == id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_says_who_it_is_and_which_credentials_are_wrong() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent = stage.agent(&[]).await;
    let line = agent.says("account 123456789012 as arn:aws:iam::123456789012:").await;
    assert!(line.contains("INFO"), "{line}");
    assert_eq!(stage.gateway.count(Operation::GetCallerIdentity), 1);
    soon("discover", stage.plane.discover(ONE)).await.unwrap();
    assert_eq!(stage.gateway.count(Operation::GetCallerIdentity), 1, "it is known");

    let wrong = Failure::Error(403, "InvalidClientTokenId", "The security token included in the request is invalid.");
    stage.gateway.fault(wrong.on(Operation::GetCallerIdentity));
    let mut agent = stage.agent(&[]).await;
    let line = agent.says("AWS does not know the credentials").await;
    assert!(line.contains("WARN") && line.contains("The access key is wrong"), "{line}");
    soon("discover", stage.plane.discover(ONE)).await.unwrap();
    agent.signal("TERM");
    let (_, said) = agent.end().await;
    let told = said.iter().filter(|line| line.contains("AWS does not know") || line.contains("STS does not tell"));
    assert_eq!(told.count(), 1, "{}", said.join("\n"));
}

/// Neither an STS that is slow delays HELLO, nor one that never answers the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_it_is_keeps_nobody_waiting() {
    let stage = Stage::set(&[ONE]).await;
    stage.gateway.fault(Failure::Held(CancellationToken::new()).on(Operation::GetCallerIdentity));
    let agent = stage.agent(&[]).await;
    let asked = |requests: &[federation_agent::standin::Request]| !requests.is_empty();
    soon("GetCallerIdentity", stage.gateway.until(asked)).await;
    agent.signal("TERM");
    let (status, said) = agent.end().await;
    assert_eq!(status.code(), Some(0), "{}", said.join("\n"));
    assert!(!said.iter().any(|line| line.contains("GetCallerIdentity")), "{}", said.join("\n"));
}

/// The environment without the static pair: credentials come from AWS's default chain.
fn without_keys(stage: &Stage, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut variables = stage.environment(more);
    variables.retain(|(name, _)| !name.ends_with("accessKeyId") && !name.ends_with("secretAccessKey"));
    variables
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_that_cannot_be_had_say_why_and_what_to_do() {
    let stage = Stage::set(&[ONE]).await;
    let profile = [("AWS_PROFILE", "nope"), ("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", "/nonexistent")];
    let (status, said) = Process::start(&["check"], without_keys(&stage, &profile)).end().await;
    let text = said.join("\n");
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("AWS_PROFILE names the profile `nope`"), "{text}");
    assert_eq!(text.matches('✗').count(), 1, "what needs credentials is not tried: {text}");

    for (token, why) in [(200, "HTTP 403"), (403, "request forbidden")] {
        let endpoint = forbidding_metadata(token).await;
        let metadata = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.as_str()), ("HOME", "/nonexistent")];
        let (_, said) = Process::start(&["check"], without_keys(&stage, &metadata)).end().await;
        let text = said.join("\n");
        assert!(text.contains(&format!("the instance's metadata gives no AWS credentials: {why}")), "{text}");
        assert!(text.contains("or set accessKeyId and secretAccessKey"), "{text}");
    }
}

/// An instance's metadata that hands out tokens with this status and forbids everything else; its URL.
#[expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]
async fn forbidding_metadata(token: u16) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).await.unwrap_or_default();
            let status = if request[..read].starts_with(b"PUT") { token } else { 403 };
            let answer = format!(
                "HTTP/1.1 {status} X\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\nContent-Length: 5\r\n\
                 Connection: close\r\n\r\ntoken"
            );
            let _gone = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_it_leaves_at_once_with_1000() {
    for signal in ["TERM", "INT"] {
        let stage = Stage::set(&[ONE]).await;
        let agent = stage.agent(&[("FEDERATION_AGENT_DRAIN", "600s")]).await;
        agent.signal(signal);
        let (status, said) = agent.end().await;
        assert_eq!(status.code(), Some(0), "{}", said.join("\n"));
        let ended = |plane: &federation_agent::plane::Plane| !plane.endings().is_empty();
        soon("the close frame", stage.plane.until(ended)).await;
        assert_eq!(stage.plane.endings(), [Ending { integration: Some(ONE.into()), code: Some(1000) }]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn busy_it_finishes_what_is_under_way() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent = stage.agent(&[("FEDERATION_AGENT_DRAIN", "60s")]).await;
    let api = stage.ingested(ONE).await;
    let release = CancellationToken::new();
    stage.gateway.fault(Failure::Held(release.clone()).on(Operation::CreateUsagePlanKey));

    let plane = stage.plane.clone();
    let subscribed = tokio::spawn(async move { plane.subscribe(ONE, &api, "g0ld77", "shop").await });
    let asked = |requests: &[federation_agent::standin::Request]| {
        requests.iter().any(|request| request.operation == Some(Operation::CreateUsagePlanKey))
    };
    soon("CreateUsagePlanKey", stage.gateway.until(asked)).await;
    agent.signal("TERM");
    agent.says("finishing what is under way").await;

    let refused = soon("discover", stage.plane.discover(ONE)).await.unwrap_err();
    assert!(refused.to_string().contains("shutting down"), "{refused}");

    release.cancel();
    let subscription = soon("subscribe", subscribed).await.unwrap().unwrap();
    assert!(subscription.api_key.is_some());
    let (status, said) = agent.end().await;
    assert_eq!(status.code(), Some(0), "{}", said.join("\n"));
    assert_eq!(stage.keys(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_finish_is_undone() {
    let stage = Stage::set(&[ONE]).await;
    let agent = stage.agent(&[("FEDERATION_AGENT_DRAIN", "4s")]).await;
    let api = stage.ingested(ONE).await;
    stage.gateway.fault(Failure::Held(CancellationToken::new()).on(Operation::CreateUsagePlanKey));

    let plane = stage.plane.clone();
    let subscribed = tokio::spawn(async move { plane.subscribe(ONE, &api, "g0ld77", "shop").await });
    soon(
        "CreateUsagePlanKey",
        stage
            .gateway
            .until(|requests| requests.iter().any(|request| request.operation == Some(Operation::CreateUsagePlanKey))),
    )
    .await;
    agent.signal("TERM");
    assert!(soon("subscribe", subscribed).await.unwrap().is_err());
    let (status, said) = agent.end().await;
    assert_eq!(status.code(), Some(0), "{}", said.join("\n"));
    assert_eq!(stage.keys(), 0, "{}", said.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_it_at_once_with_1() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent = stage.agent(&[("FEDERATION_AGENT_DRAIN", "600s")]).await;
    let api = stage.ingested(ONE).await;
    stage.gateway.fault(Failure::Held(CancellationToken::new()).on(Operation::CreateApiKey));

    let plane = stage.plane.clone();
    let subscribed = tokio::spawn(async move { plane.subscribe(ONE, &api, "g0ld77", "shop").await });
    soon(
        "CreateApiKey",
        stage
            .gateway
            .until(|requests| requests.iter().any(|request| request.operation == Some(Operation::CreateApiKey))),
    )
    .await;
    agent.signal("TERM");
    agent.says("finishing what is under way").await;
    agent.signal("INT");
    let (status, said) = agent.end().await;
    assert_eq!(status.code(), Some(1), "{}", said.join("\n"));
    assert!(soon("subscribe", subscribed).await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_integrations_run_in_one_process_each_on_its_own_link() {
    let stage = Stage::set(&[ONE, "two"]).await;
    let mut agent = stage.agent(&[]).await;
    assert_eq!(stage.plane.sessions(), 2);
    let address = health_address(&mut agent).await;
    let plane = &stage.plane;
    let (one, two) = tokio::join!(plane.discover(ONE), plane.discover("two"));
    assert_eq!(one.unwrap().apis.len(), two.unwrap().apis.len());

    get_until(&address, "/readyz", |status, body| {
        status == 200 && body["integrations"].as_array().map(Vec::len) == Some(2)
    })
    .await;

    plane.register("two", "solace");
    plane.cut("two").await;
    soon("the loss", agent.says("solace")).await;
    get_until(&address, "/readyz", |status, body| {
        let [one, two] = [&body["integrations"][0], &body["integrations"][1]];
        status == 503
            && (&one["connected"], &two["connected"]) == (&true.into(), &false.into())
            && two["why"].as_str().is_some_and(|why| why.contains("solace"))
    })
    .await;
    assert!(plane.is_connected(ONE));
    assert_eq!(get(&address, "/livez").await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_alive_and_not_ready_while_the_plane_is_away() {
    let stage = Stage::set(&[ONE]).await;
    stage.plane.behave(Behaviour::Answer { status: 401, headers: Vec::new() });
    let mut agent = Process::start(&["run"], stage.environment(&[]));
    let address = health_address(&mut agent).await;
    agent.says("not connected").await;
    assert_eq!(get(&address, "/livez").await.0, 200);
    get_until(&address, "/readyz", |status, body| {
        status == 503 && body["integrations"][0]["why"].as_str().is_some_and(|why| why.contains("401"))
    })
    .await;

    let health = |arguments: &'static [&'static str]| {
        Process::start(arguments, [("FEDERATION_AGENT_LISTEN".to_owned(), address.clone())]).end()
    };
    assert_eq!(health(&["health"]).await.0.code(), Some(0));
    assert_eq!(health(&["health", "--ready"]).await.0.code(), Some(1));

    stage.plane.behave(Behaviour::Faithful);
    soon("connected", stage.plane.connected(ONE)).await;
    get_until(&address, "/readyz", |status, _| status == 200).await;
    assert_eq!(health(&["health", "--ready"]).await.0.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_port_that_was_asked_for_is_an_error() {
    let stage = Stage::set(&[ONE]).await;
    let taken = stage.gateway.address().to_string();
    let (status, said) = Process::start(&[], stage.environment(&[("FEDERATION_AGENT_LISTEN", &taken)])).end().await;
    assert_eq!(status.code(), Some(1));
    assert!(said.iter().any(|line| line.contains("FEDERATION_AGENT_LISTEN") && line.contains(&taken)), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discover_tells_what_there_is_what_not_and_what_failed() {
    let stage = Stage::set(&[ONE]).await;
    let (status, said) = Process::start(&["discover"], stage.environment(&[])).end().await;
    let text = said.join("\n");
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(text.contains("Petstore (prod)") && text.contains("Bronze, Gold"), "{text}");
    // All come from one source: it is named once, and the table fits a terminal of 80 columns.
    assert_eq!(text.matches("account 123456789012, eu-west-1").count(), 1, "{text}");
    let wide = said.iter().take_while(|line| !line.contains("APIs found")).filter(|line| line.chars().count() > 80);
    assert_eq!(wide.count(), 0, "{text}");

    let (status, said) = Process::start(&["discover", "--output", "json"], stage.environment(&[])).end().await;
    assert_eq!(status.code(), Some(0));
    let told: serde_json::Value = serde_json::from_str(&said.join("\n")).unwrap();
    assert_eq!(told["integrations"][0]["apis"].as_array().unwrap().len(), 5, "{told}");

    stage.gateway.fault(Failure::Denied.on(Operation::GetUsagePlans));
    let (status, said) = Process::start(&["discover"], stage.environment(&[])).end().await;
    let text = said.join("\n");
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("nothing could be read") && !text.contains("APIs found"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_tries_everything_and_is_never_given_a_command() {
    let stage = Stage::set(&[ONE]).await;
    let (status, said) = Process::start(&["check"], stage.environment(&[])).end().await;
    let text = said.join("\n");
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(text.contains("✓") && text.contains("HELLO") && !text.contains("✗"), "{text}");
    // The endpoint stands in one heading, not in every line.
    assert_eq!(text.matches("http://").count(), 1, "{text}");
    assert_eq!(stage.plane.seen().hellos, 1);
    assert_eq!(stage.keys(), 0);

    stage.plane.behave(Behaviour::Answer { status: 401, headers: Vec::new() });
    let (status, said) = Process::start(&["check", "--output", "json"], stage.environment(&[])).end().await;
    assert_eq!(status.code(), Some(1));
    let told: serde_json::Value = serde_json::from_str(&said.join("\n")).unwrap();
    let bad: Vec<_> = told["findings"].as_array().unwrap().iter().filter(|one| one["verdict"] == "bad").collect();
    assert_eq!((told["good"].as_bool(), bad.len()), (Some(false), 1), "{told}");
    assert!(bad[0]["says"].as_str().unwrap().contains("401"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_tells_its_story_and_ends_with_0() {
    let (status, said) = Process::start(&["demo"], []).end().await;
    let text = said.join("\n");
    assert_eq!(status.code(), Some(0), "{text}");
    for line in ["with the new key: 200", "without a key: 403", "no key is left", "with the same key: 403"] {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demos_peers_run_alone_and_an_agent_between_them() {
    let mut plane = Process::start(&["demo", "plane", "--listen", "127.0.0.1:0", "--integration", ONE], []);
    let mut gateway = Process::start(&["demo", "gateway", "--listen", "127.0.0.1:0"], []);
    let plane_url = url_in(&plane.says("A management plane listens on").await);
    let gateway_url = url_in(&gateway.says("stand-in listens on").await);
    let provider = "gravitee_integration_providers_0";
    let ws = "gravitee_integration_connector_ws";
    let mut agent = Process::start(
        &[],
        [
            (format!("{ws}_endpoints_0"), plane_url.clone()),
            (format!("{ws}_headers_0_name"), "Authorization".into()),
            (format!("{ws}_headers_0_value"), "bearer demo-token".into()),
            (format!("{provider}_type"), "aws-api-gateway".into()),
            (format!("{provider}_integrationId"), ONE.into()),
            (format!("{provider}_configuration_region"), "eu-west-1".into()),
            ("AWS_ACCESS_KEY_ID".into(), "AKIADEMO".into()),
            ("AWS_SECRET_ACCESS_KEY".into(), "any".into()),
            ("AWS_ENDPOINT_URL".into(), gateway_url),
            ("FEDERATION_AGENT_LISTEN".into(), "off".into()),
        ],
    );
    agent.says("connected to the plane").await;
    let (status, body) = get(plane_url.strip_prefix("http://").unwrap(), "/plane/state").await;
    assert_eq!(status, 200, "{body}");
    for process in [agent, plane, gateway] {
        process.signal("TERM");
        assert_eq!(process.end().await.0.code(), Some(0));
    }
}

/// The first URL in `line`.
#[expect(clippy::unwrap_used, reason = "a test that cannot read its peer's line has failed")]
fn url_in(line: &str) -> String {
    let from = line.find("http://").unwrap();
    line[from..].split(|c: char| c.is_whitespace()).next().unwrap().trim_end_matches(['.', ':', ',']).to_owned()
}

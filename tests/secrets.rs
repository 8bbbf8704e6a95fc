//! Nobody's secret in any line, at any level: a whole life of the agent at trace level.

#[expect(dead_code, reason = "the other test uses all of it")]
mod support;

use secrecy::ExposeSecret;
use support::{AWS_SECRET, Process, Stage, TOKEN, soon};

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
async fn no_command_prints_a_secret() {
    let stage = Stage::set(&[ONE]).await;
    for command in [&["check"][..], &["discover"], &["discover", "--output", "json"], &["config"], &["iam"]] {
        let environment = stage.environment(&[("FEDERATION_AGENT_LOG", "trace")]);
        let (_, said) = Process::start(command, environment).end().await;
        assert!(!said.is_empty(), "{command:?}");
        assert_free_of(&said, &[TOKEN, AWS_SECRET]);
    }
}

fn assert_free_of(said: &[String], secrets: &[&str]) {
    for secret in secrets {
        if let Some(line) = said.iter().find(|line| line.contains(secret)) {
            panic!("a secret is in this line: {line}");
        }
    }
}

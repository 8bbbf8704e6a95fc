//! What the metrics say after discover, ingest, subscribe and unsubscribe, and after what goes wrong.

use federation_agent::standin::{Failure, Operation};

use super::{
    ONE,
    health::{get, get_until, health_address},
    sample::Exposition,
    support::{AWS_SECRET, Stage, TOKEN, soon},
};

/// The most series that an agent with one integration may have before its first command.
const IDLE: usize = 330;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_agent_has_the_series_that_alerts_look_at_and_not_many_more() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent = stage.agent(&[]).await;
    let address = health_address(&mut agent).await;
    agent.says("account 123456789012 as").await;
    let idle = Exposition::until(&address, "ready", |now| now.count("federation_agent_ready", &[]) == 1).await;
    println!("an idle agent with one integration has {} series, {} bytes", idle.len(), idle.text.len());
    assert!(idle.len() < IDLE, "{} series:\n{}", idle.len(), idle.text);

    assert_eq!(idle.count("federation_agent_link_connected", &[("integration", ONE)]), 1);
    assert_eq!(idle.count("federation_agent_link_state", &[("integration", ONE)]), 1, "it is in one state");
    assert_eq!(idle.count("federation_agent_journal_writable", &[]), 1);
    assert_eq!(
        idle.count("federation_agent_gateway_calls_total", &[("operation", "GetCallerIdentity"), ("outcome", "ok")]),
        1
    );
    for (name, labels) in [
        ("federation_agent_commands_total", [("type", "SUBSCRIBE"), ("outcome", "error")]),
        ("federation_agent_commands_total", [("type", "UNSUBSCRIBE"), ("outcome", "undone")]),
        ("federation_agent_command_errors_total", [("type", "SUBSCRIBE"), ("class", "conflict")]),
        ("federation_agent_gateway_calls_total", [("operation", "CreateApiKey"), ("outcome", "denied")]),
        ("federation_agent_grants", [("integration", ONE), ("state", "stuck")]),
        ("federation_agent_ingests_total", [("integration", ONE), ("outcome", "incomplete")]),
    ] {
        assert_eq!(idle.count(name, &labels), 0, "{name} {labels:?}");
    }
    let resident = idle.sum("process_resident_memory_bytes", &[]);
    assert!(
        resident > 1_000_000.0 && idle.count("process_open_fds", &[]) > 3 && idle.count("process_threads", &[]) > 0
    );
    assert!(idle.sum("process_start_time_seconds", &[]) > 1.7e9);
    assert!(idle.count("federation_agent_log_lines_total", &[("level", "info")]) > 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_figures_follow_discover_ingest_subscribe_and_unsubscribe() {
    let stage = Stage::set(&[ONE, "two"]).await;
    let mut agent = stage.agent(&[]).await;
    let address = health_address(&mut agent).await;
    soon("discover", stage.plane.discover(ONE)).await.unwrap();
    let api = stage.ingested(ONE).await;
    let kept = soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "shop")).await.unwrap();
    let ended = soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "till")).await.unwrap();
    soon("unsubscribe", stage.plane.unsubscribe(&ended.id)).await.unwrap();
    stage.gateway.fault(Failure::LimitExceeded.on(Operation::CreateApiKey));
    soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "late")).await.unwrap_err();

    let mine = [("integration", ONE)];
    let done = [("integration", ONE), ("outcome", "done")];
    let now = Exposition::until(&address, "the job's end", |now| {
        now.count("federation_agent_ingests_total", &done) == 1
            && now.count("federation_agent_commands_in_flight", &mine) == 0
            && now.count("federation_agent_commands_total", &[("type", "SUBSCRIBE"), ("outcome", "error")]) == 1
    })
    .await;
    for (kind, outcome, count) in [
        ("DISCOVER", "succeeded", 1),
        ("START_INGEST", "succeeded", 1),
        ("SUBSCRIBE", "succeeded", 2),
        ("SUBSCRIBE", "error", 1),
        ("UNSUBSCRIBE", "succeeded", 1),
    ] {
        let labels = [("integration", ONE), ("type", kind), ("outcome", outcome)];
        assert_eq!(now.count("federation_agent_commands_total", &labels), count, "{labels:?}");
    }
    assert_eq!(now.count("federation_agent_command_errors_total", &[("type", "SUBSCRIBE"), ("class", "conflict")]), 1);
    assert_eq!(
        now.count("federation_agent_command_duration_seconds_count", &[("integration", ONE), ("type", "SUBSCRIBE")]),
        3
    );
    assert_eq!(now.count("federation_agent_commands_total", &[("integration", "two")]), 0, "they are counted apart");

    assert_eq!(now.count("federation_agent_discoveries_total", &[("integration", ONE), ("outcome", "whole")]), 2);
    assert_eq!(now.count("federation_agent_discovery_apis", &mine), 5);
    assert_eq!(now.count("federation_agent_discovery_plans", &mine), 3, "a plan of two APIs counts once");
    assert!(now.sum("federation_agent_discovery_last_success_timestamp_seconds", &mine) > 1.7e9);
    assert_eq!(now.count("federation_agent_apis_held_back", &mine), 0);
    assert_eq!(now.count("federation_agent_ingest_apis_taken_total", &mine), 5);
    assert_eq!(now.count("federation_agent_ingest_job_apis", &mine), 5);
    assert_eq!(now.count("federation_agent_ingest_job_apis_taken", &mine), 5);
    assert_eq!(now.count("federation_agent_ingest_apis_failed_total", &mine), 0);

    // What the gateway itself has counted, of both integrations together.
    for (operation, count) in stage.gateway.calls() {
        let told = now.count("federation_agent_gateway_calls_total", &[("operation", operation)]);
        assert_eq!(told, i64::try_from(count).unwrap(), "{operation}");
    }
    assert_eq!(
        now.count("federation_agent_gateway_calls_total", &[("operation", "CreateApiKey"), ("outcome", "conflict")]),
        1
    );
    let bucket = [("integration", ONE), ("account", "123456789012")];
    assert!(
        now.sum("federation_agent_gateway_bucket_tokens", &bucket)
            <= now.sum("federation_agent_gateway_bucket_capacity_tokens", &bucket)
    );

    // The journal was read at the first scrape; whether the plane's sign of life was there by then is chance.
    let grants = |state: &str| now.count("federation_agent_grants", &[("integration", ONE), ("state", state)]);
    assert_eq!(grants("live") + grants("unconfirmed"), 1, "{}", now.text);
    assert!(now.sum("federation_agent_journal_bytes", &mine) > 100.0);

    for unbounded in [TOKEN, AWS_SECRET, &api, &kept.id, "p3ts7ore01", "g0ld77", "shop"] {
        assert!(!now.text.contains(unbounded), "{unbounded} stands in a label");
    }
    let ended = |status: &serde_json::Value| status["integrations"][0]["ingest"]["outcome"] == "done";
    get_until(&address, "/status", |code, status| code == 200 && ended(status)).await;
    let (_, status) = get(&address, "/status").await;
    let text = status.to_string();
    assert!(!text.contains(TOKEN) && !text.contains(AWS_SECRET), "{text}");
    let one = &status["integrations"][0];
    assert_eq!((one["id"].as_str(), one["connected"].as_bool()), (Some(ONE), Some(true)), "in the settings' order");
    assert_eq!(one["title"], "AWS API Gateway");
    assert_eq!(one["commands"].as_array().map(Vec::len), Some(6));
    assert_eq!(
        (one["commands"][0]["kind"].as_str(), one["commands"][0]["class"].as_str()),
        (Some("SUBSCRIBE"), Some("conflict"))
    );
    assert_eq!((one["discovery"]["apis"].as_u64(), one["ingest"]["taken"].as_u64()), (Some(5), Some(5)));
    assert_eq!(one["ingest"]["outcome"], "done");
    let configured = status["configuration"].as_array().unwrap();
    let pause = configured.iter().find(|setting| setting["name"] == "FEDERATION_AGENT_INGEST_PAUSE").unwrap();
    assert_eq!(pause["value"], "200ms");

    assert_eq!(stage.keys(), 1);
    agent.signal("TERM");
    let (status, said) = agent.end().await;
    assert_eq!(status.code(), Some(0), "{}", said.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_can_be_seen() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent = stage.agent(&[]).await;
    let address = health_address(&mut agent).await;
    stage.gateway.fault(Failure::Throttled(Some(1)).on(Operation::GetUsagePlans).times(1));
    soon("discover", stage.plane.discover(ONE)).await.unwrap();
    stage.gateway.fault(Failure::Denied.on(Operation::GetRestApis));
    soon("discover", stage.plane.discover(ONE)).await.unwrap_err();
    let mine = [("integration", ONE)];
    let failed = [("integration", ONE), ("outcome", "failed")];
    let now = Exposition::until(&address, "the failed list", |now| {
        now.count("federation_agent_discoveries_total", &failed) == 1
    })
    .await;
    let throttled = now.sum("federation_agent_gateway_throttled_seconds_total", &mine);
    assert!((0.9..1.2).contains(&throttled), "{throttled}");
    let outcome = |operation, outcome| {
        now.count("federation_agent_gateway_calls_total", &[("operation", operation), ("outcome", outcome)])
    };
    assert_eq!((outcome("GetUsagePlans", "throttled"), outcome("GetRestApis", "denied")), (1, 1));
    assert_eq!(now.count("federation_agent_discovery_failed_sources", &mine), 1);
    assert_eq!(now.count("federation_agent_discovery_apis", &mine), 5, "as of the last list that did not fail");

    stage.plane.register(ONE, "solace");
    stage.plane.cut(ONE).await;
    let lost = [("integration", ONE), ("reason", "unavailable")];
    let refused = [("integration", ONE), ("reason", "denied")];
    let now = Exposition::until(&address, "the loss", |now| {
        now.count("federation_agent_link_tries_failed_total", &refused) > 0
    })
    .await;
    assert_eq!(now.count("federation_agent_link_sessions_ended_total", &lost), 1);
    assert_eq!(now.count("federation_agent_link_connected", &mine), 0);
    assert_eq!(now.count("federation_agent_ready", &[]), 0);
}

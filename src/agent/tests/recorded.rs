//! What the recorder is told: how commands and jobs ended, why APIs were not handed over, who waits.

use super::*;
use crate::observe::{Board, status::IntegrationStatus};

/// What is shown of the rig's integration, and its metrics.
pub(super) async fn shown(rig: &Rig) -> (IntegrationStatus, String) {
    let board = Board::new();
    board.enlist(rig.agent.settings.recorder.clone());
    (board.status().integrations.remove(0), board.metrics_text().await)
}

fn has(metrics: &str, series: &str) -> bool {
    metrics.lines().any(|line| line == format!("federation_agent_{series}"))
}

#[tokio::test(start_paused = true)]
async fn how_a_command_ended_is_told_also_when_nobody_took_its_answer() {
    let rig = Rig::new(Gateway::of(&[]).unsubscribe(|_, _| async { Ok(Revoked::Deleted) }));
    let line = rig.connect();
    rig.deliver(&line, "c1", subscribe("s1"));
    line.cut().await;
    rig.idle().await;
    let mut line = rig.connect();
    rig.deliver(&line, "c2", subscribe("s2"));
    assert!(line.end.next().await.unwrap().begin());
    drop(line);
    rig.idle().await;
    let line = rig.connect();
    rig.deliver(&line, "c3", unsubscribe("s3"));
    line.cut().await;
    rig.idle().await;
    let mut line = rig.connect();
    rig.ask(&mut line, "c4", subscribe("s4")).await;
    rig.deliver(&line, "c4", subscribe("s4"));
    line.reply("c4").await;
    rig.idle().await;

    let (one, metrics) = shown(&rig).await;
    let ended: Vec<(&str, &str)> =
        one.commands.iter().map(|command| (command.id.as_str(), command.outcome.as_str())).collect();
    assert_eq!(
        ended,
        [
            ("c4", "succeeded"),
            ("c3", "succeeded, and nobody took the answer"),
            ("c2", "succeeded, and nobody can say who has the answer"),
            ("c1", "nobody took the answer; it is undone"),
        ]
    );
    assert_eq!((one.commands[3].subscription.as_deref(), one.commands_under_way), (Some("s1"), 0));
    for series in [
        r#"commands_total{integration="",type="SUBSCRIBE",outcome="undone"} 1.0"#,
        r#"commands_total{integration="",type="SUBSCRIBE",outcome="doubtful"} 1.0"#,
        r#"commands_total{integration="",type="UNSUBSCRIBE",outcome="succeeded-unheard"} 1.0"#,
        r#"commands_delivered_again_total{integration=""} 1.0"#,
    ] {
        assert!(has(&metrics, series), "{series}\n{metrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_another_command_of_its_subscription_is_counted() {
    let rig = Rig::new(Gateway::of(&[]).subscribe(|_, subscription| async move {
        tokio::time::sleep(secs(5)).await;
        Ok(grant(&subscription.id))
    }));
    let mut line = rig.connect();
    rig.deliver(&line, "c1", subscribe("s1"));
    rig.deliver(&line, "c2", unsubscribe("s1"));
    tokio::time::sleep(secs(1)).await;
    let (one, metrics) = shown(&rig).await;
    assert_eq!(one.commands_under_way, 2);
    assert!(has(&metrics, r#"commands_waiting{integration=""} 1.0"#), "{metrics}");
    line.reply("c1").await;
    line.reply("c2").await;
    rig.idle().await;
    let (_, metrics) = shown(&rig).await;
    assert!(has(&metrics, r#"commands_waiting{integration=""} 0.0"#), "{metrics}");
    // Five seconds are more than 2.5, and no more than five and what is between them.
    assert!(
        has(&metrics, r#"command_duration_seconds_bucket{le="2.5",integration="",type="SUBSCRIBE"} 0"#),
        "{metrics}"
    );
    assert!(
        has(&metrics, r#"command_duration_seconds_bucket{le="10.0",integration="",type="SUBSCRIBE"} 1"#),
        "{metrics}"
    );
}

#[tokio::test(start_paused = true)]
async fn every_api_that_was_not_handed_over_has_its_cause() {
    let rig =
        Rig::new(Gateway::of(&["good", "denied", "gone", "dead", "refused", "broken"]).read(|_, listed| async move {
            match listed.api.id.as_str() {
                "denied" => Err(Error::denied("apigateway:GET is missing")),
                "gone" => Err(Error::not_found("gone")),
                "dead" => Err(Error::unavailable("500")),
                "broken" => panic!("a fault of ours"),
                _ => Ok(with_document(listed.api, 10)),
            }
        }));
    let mut line = rig.connect();
    let asked = ["denied", "gone", "dead", "refused", "broken", "good", "missing"];
    rig.ask(&mut line, "c1", start("job-1", &asked)).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let (one, metrics) = shown(&rig).await;
    let job = one.ingest.unwrap();
    assert_eq!((job.job.as_str(), job.total, job.ended), ("job-1", 6, None), "it is under way");
    assert!(has(&metrics, r#"ingests_running{integration=""} 1.0"#), "{metrics}");
    line.take_job_but(|batch| batch.names().contains(&"refused")).await;
    rig.idle().await;

    let (one, metrics) = shown(&rig).await;
    let job = one.ingest.unwrap();
    assert_eq!((job.taken, job.outcome.as_deref()), (1, Some("incomplete")));
    let causes = ["bug", "denied", "gone", "missing", "refused", "unreadable"].map(|cause| (cause.to_owned(), 1));
    assert_eq!(job.failed, causes.into());
    assert!(has(&metrics, r#"ingest_apis_failed_total{integration="",cause="denied"} 1.0"#), "{metrics}");
    assert!(has(&metrics, r#"ingests_total{integration="",outcome="incomplete"} 1.0"#), "{metrics}");
    assert!(has(&metrics, r#"ingests_running{integration=""} 0.0"#), "{metrics}");
    let list = one.discovery.unwrap();
    assert_eq!((list.by.as_str(), list.whole, list.apis, list.plans), ("START_INGEST", true, 6, 1));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_a_newer_one_ends_says_so_and_an_empty_one_is_done() {
    let names: Vec<String> = (0..60).map(|n| format!("api-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let rig = Rig::new(Gateway::of(&names));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", start("job-1", &[])).await;
    let first = line.ingest().await;
    rig.deliver(&line, "c2", start("job-2", &["nothing-that-there-is"]));
    assert_eq!(total(&line.reply("c2").await), 0);
    line.accept(&first);
    let last = line.ingest().await;
    line.accept(&last);
    rig.idle().await;
    let (one, metrics) = shown(&rig).await;
    let job = one.ingest.unwrap();
    assert_eq!((job.job.as_str(), job.outcome.as_deref()), ("job-2", Some("done")));
    for series in [
        r#"ingests_total{integration="",outcome="ended-early"} 1.0"#,
        r#"ingests_total{integration="",outcome="done"} 1.0"#,
        r#"ingest_apis_failed_total{integration="",cause="not-sent"} 40.0"#,
        r#"ingest_apis_taken_total{integration=""} 20.0"#,
    ] {
        assert!(has(&metrics, series), "{series}\n{metrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_is_told_with_what_it_left_out_and_what_failed() {
    let rig = Rig::new(Gateway::of(&[]).list(|_, out| async move {
        out.send(found("orders", "account 1")).await.ok();
        // Seen twice, by two roles into one account.
        out.send(found("orders", "account 1")).await.ok();
        out.send(Found::LeftOut { what: "users:test".into(), why: "no usage plan".into() }).await.ok();
        let error = Error::denied("apigateway:GET is missing");
        out.send(Found::Failed { source: "account 2, eu-west-1".into(), error }).await.ok();
        tokio::time::sleep(secs(3)).await;
        Ok(())
    }));
    let mut line = rig.connect();
    rig.ask(&mut line, "c1", CommandBody::Discover).await;
    let (one, metrics) = shown(&rig).await;
    let list = one.discovery.unwrap();
    assert_eq!((list.by.as_str(), list.whole, list.apis, list.plans, list.left_out), ("DISCOVER", false, 1, 1, 1));
    assert_eq!((list.failed.len(), list.millis), (1, 3_000));
    assert!(list.failed[0].contains("account 2, eu-west-1: denied"), "{:?}", list.failed);
    assert!(has(&metrics, r#"discoveries_total{integration="",outcome="partial"} 1.0"#), "{metrics}");
    assert!(has(&metrics, r#"discovery_duration_seconds{integration=""} 3.0"#), "{metrics}");
}

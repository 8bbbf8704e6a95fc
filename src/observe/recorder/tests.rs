#![expect(clippy::float_cmp, reason = "counts and whole seconds are exact")]

use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::{
    model::Class,
    observe::{Board, Census, Ledger, Standing, Warnings, status::Configured},
};

fn ended(outcome: Outcome, class: Option<Class>) -> Ended<'static> {
    let (api, subscription) = (Some("eu-west-1:a1:prod"), Some("s1"));
    Ended { id: "c1", api, subscription, took: Duration::from_millis(1_500), outcome, class, note: "access granted" }
}

/// The value of the series that is written like this.
async fn value(board: &Board, series: &str) -> f64 {
    let text = board.metrics_text().await;
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in\n{text}")).parse().expect("a number")
}

fn one() -> (Board, Recorder) {
    let (board, recorder) = (Board::new(), Recorder::new("one", "aws-api-gateway"));
    board.enlist(recorder.clone());
    (board, recorder)
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ended_counts_once_and_a_try_that_failed_is_none() {
    let (board, recorder) = one();
    let unavailable = Parting::Failed(Class::Unavailable);
    recorder.connecting("wss://plane");
    recorder.parted(Parting::Failed(Class::Denied));
    recorder.connecting("wss://plane");
    recorder.connected();
    tokio::time::advance(Duration::from_secs(90)).await;
    assert_eq!(value(&board, r#"federation_agent_link_session_age_seconds{integration="one"}"#).await, 90.0);
    assert_eq!(value(&board, r#"federation_agent_link_connected{integration="one"}"#).await, 1.0);
    recorder.parted(unavailable);
    recorder.parted(unavailable);
    for (series, count) in [
        (r#"federation_agent_link_tries_failed_total{integration="one",reason="denied"}"#, 1.0),
        (r#"federation_agent_link_tries_failed_total{integration="one",reason="unavailable"}"#, 0.0),
        (r#"federation_agent_link_sessions_ended_total{integration="one",reason="unavailable"}"#, 1.0),
        (r#"federation_agent_link_sessions_total{integration="one"}"#, 1.0),
        (r#"federation_agent_link_connected{integration="one"}"#, 0.0),
        (r#"federation_agent_link_state{integration="one",state="waiting"}"#, 1.0),
        (r#"federation_agent_link_session_age_seconds{integration="one"}"#, 0.0),
    ] {
        assert_eq!(value(&board, series).await, count, "{series}");
    }
}

#[tokio::test]
async fn commands_count_by_type_and_outcome_and_an_unknown_type_is_other() {
    let (board, recorder) = one();
    let subscribe = recorder.command("SUBSCRIBE", Instant::now());
    let waiting = recorder.waiting();
    assert_eq!(value(&board, r#"federation_agent_commands_waiting{integration="one"}"#).await, 1.0);
    drop(waiting);
    let in_flight = r#"federation_agent_commands_in_flight{integration="one",type="SUBSCRIBE"}"#;
    assert_eq!(value(&board, in_flight).await, 1.0);
    subscribe.ended(&ended(Outcome::Error, Some(Class::Conflict)));
    recorder.turned_away("MAKE_COFFEE", "c2", "it is not known");
    drop(recorder.command("UNSUBSCRIBE", Instant::now()));
    for (series, count) in [
        (in_flight, 0.0),
        (r#"federation_agent_commands_total{integration="one",type="SUBSCRIBE",outcome="error"}"#, 1.0),
        (r#"federation_agent_commands_total{integration="one",type="SUBSCRIBE",outcome="succeeded"}"#, 0.0),
        (r#"federation_agent_command_errors_total{integration="one",type="SUBSCRIBE",class="conflict"}"#, 1.0),
        (r#"federation_agent_command_duration_seconds_bucket{le="2.5",integration="one",type="SUBSCRIBE"}"#, 1.0),
        (r#"federation_agent_command_duration_seconds_bucket{le="1.0",integration="one",type="SUBSCRIBE"}"#, 0.0),
        (r#"federation_agent_commands_total{integration="one",type="other",outcome="turned-away"}"#, 1.0),
        (r#"federation_agent_commands_in_flight{integration="one",type="UNSUBSCRIBE"}"#, 0.0),
    ] {
        assert_eq!(value(&board, series).await, count, "{series}");
    }
    let text = board.metrics_text().await;
    assert!(!text.contains("COFFEE") && !text.contains("eu-west-1:a1") && !text.contains("s1\""), "{text}");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_is_given_up() {
    let (board, recorder) = one();
    recorder.operations(&["GetRestApis"]);
    assert_eq!(recorder.calls(), [], "none was begun");
    recorder.calling("GetRestApis").ended(CallOutcome::Failed(Class::Throttled(None)));
    drop(recorder.calling("GetRestApis"));
    let under_way = recorder.calling("GetRestApis");
    assert_eq!(recorder.calls(), [("GetRestApis", 3)]);
    under_way.ended(CallOutcome::Good);
    for outcome in ["throttled", "given-up", "ok"] {
        let series = format!(
            r#"federation_agent_gateway_calls_total{{integration="one",operation="GetRestApis",outcome="{outcome}"}}"#
        );
        assert_eq!(value(&board, &series).await, 1.0, "{outcome}");
    }
}

fn list<'a>(error: Option<&'a str>, apis: u64, failed: &'a [String]) -> List<'a> {
    let took = Duration::from_secs(2);
    List { by: "DISCOVER", error, apis, plans: 2, held_back: 1, left_out: 3, failed, took, calls: 9 }
}

#[tokio::test]
async fn a_list_that_failed_leaves_what_is_known() {
    let (board, recorder) = one();
    recorder.listed(&list(None, 5, &[]));
    recorder.listed(&list(Some("nothing could be read"), 0, &[]));
    for (series, count) in [
        (r#"federation_agent_discovery_apis{integration="one"}"#, 5.0),
        (r#"federation_agent_apis_held_back{integration="one"}"#, 1.0),
        (r#"federation_agent_discovery_failed_sources{integration="one"}"#, 1.0),
        (r#"federation_agent_discoveries_total{integration="one",outcome="whole"}"#, 1.0),
        (r#"federation_agent_discoveries_total{integration="one",outcome="failed"}"#, 1.0),
    ] {
        assert_eq!(value(&board, series).await, count, "{series}");
    }
    let last = board.status().integrations.remove(0).discovery.expect("there was one");
    assert_eq!((last.whole, last.apis, last.failed.len()), (false, 5, 1));
}

#[test]
fn the_newest_job_is_shown_and_an_older_one_ends_for_itself() {
    let (board, recorder) = one();
    let shown = || board.status().integrations.remove(0).ingest.expect("there was one");
    let (older, newer) = (recorder.job("j1", 9), recorder.job("j2", 4));
    older.taken(7);
    newer.taken(3);
    newer.failed(Cause::TooLong, 1);
    assert_eq!((shown().job, shown().taken, shown().ended), ("j2".into(), 3, None));
    older.ended(JobOutcome::EndedEarly);
    drop(newer);
    assert_eq!(shown().outcome.as_deref(), Some("broken-off"));
    assert_eq!(recorder.pages().jobs.running, 0);
    assert_eq!(recorder.pages().jobs.taken, 10);
}

#[test]
fn so_many_commands_are_remembered_and_none_in_full_length() {
    let (board, recorder) = one();
    for number in 0..100 {
        let id = format!("c{number}");
        let note = "é".repeat(10_000);
        recorder.command("DISCOVER", Instant::now()).ended(&Ended {
            id: &id,
            note: &note,
            ..ended(Outcome::Succeeded, None)
        });
    }
    let commands = board.status().integrations.remove(0).commands;
    assert_eq!((commands.len(), commands[0].id.as_str(), commands[19].id.as_str()), (20, "c99", "c80"));
    assert_eq!(commands[0].note.chars().count(), LONGEST + 1);
}

#[derive(Debug)]
struct Book;

impl Ledger for Book {
    fn states(&self) -> Vec<&'static str> {
        vec!["live", "stuck"]
    }

    fn census(&self, _: &str) -> std::io::Result<Census> {
        Ok(Census { grants: [("live", 7)].into(), bytes: 900, unreadable: 0 })
    }

    fn trouble(&self) -> Option<String> {
        Some("no room".into())
    }
}

/// People's scripts and the page read it: a name that goes or changes breaks them.
#[tokio::test]
async fn the_shape_of_the_status() {
    let (board, recorder) = one();
    board.enlist(Recorder::new("two", "aws-api-gateway"));
    board.watch_journal(Arc::new(Book));
    board.tell_journal("the journal of grants is in /data/journal".into());
    let configured = Configured { name: "X".into(), value: "****".into(), source: "variable".into() };
    board.tell_configuration(vec![configured]);
    let warnings = Warnings::new();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(warnings.layer()), || {
        (0..3).for_each(|_| tracing::warn!(target: "federation_agent", integration = "one", "not connected"));
    });
    board.tell_warnings(warnings);
    recorder.describe("AWS API Gateway", vec!["the account of the credentials".into()]);
    recorder.identified(vec![Identity { known: true, says: "account 123456789012".into() }]);
    recorder.connecting("wss://plane");
    recorder.connected();
    board.put("one", "aws-api-gateway", Standing { connected: true, since: SystemTime::UNIX_EPOCH, why: None });
    recorder.command("SUBSCRIBE", Instant::now()).ended(&ended(Outcome::Succeeded, Some(Class::Denied)));
    recorder.listed(&list(None, 5, &["account 1: denied: no".to_owned()]));
    let job = recorder.job("j1", 5);
    job.taken(4);
    job.failed(Cause::Denied, 1);
    job.ended(JobOutcome::Incomplete);
    recorder.calling("GetRestApis").ended(CallOutcome::Good);
    // The journal is read when it is asked for.
    board.metrics_text().await;

    let status = serde_json::to_value(board.status()).unwrap();
    let mut shape = Vec::new();
    flatten("", &status, &mut shape);
    insta::assert_snapshot!(shape.join("\n"));
}

/// Every leaf with its path; times are told to be times.
fn flatten(path: &str, value: &serde_json::Value, lines: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) if map.is_empty() => lines.push(format!("{path} = {{}}")),
        serde_json::Value::Object(map) => {
            map.iter().for_each(|(name, value)| flatten(&format!("{path}.{name}"), value, lines));
        }
        serde_json::Value::Array(list) => {
            for (number, value) in list.iter().enumerate() {
                flatten(&format!("{path}[{number}]"), value, lines);
            }
            if list.is_empty() {
                lines.push(format!("{path} = []"));
            }
        }
        serde_json::Value::String(text) if humantime::parse_rfc3339(text).is_ok() => {
            lines.push(format!("{path} = (a time)"));
        }
        _ if path == ".version" => lines.push(format!("{path} = (the version)")),
        other => lines.push(format!("{path} = {other}")),
    }
}

//! The lines that matter, as people and machines read them: of the real binary between a plane and a gateway.

#[expect(dead_code, reason = "each test binary uses its part")]
mod support;

use federation_agent::standin::{Failure, Operation};
use support::{AWS_SECRET, Process, Stage, TOKEN, soon};
use tokio_util::sync::CancellationToken;

const ONE: &str = "one";

/// Everything that differs from run to run, and from machine to machine, taken out.
fn redacted(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    // Ids first: what is left of them is no number.
    while let Some(next) = rest.chars().next() {
        let is_id = |length: usize| rest.get(..length).is_some_and(|id| uuid::Uuid::try_parse(id).is_ok());
        let length = if is_id(36) {
            36
        } else if is_id(32) {
            32
        } else {
            0
        };
        if length > 0 {
            text.push_str("[ID]");
            rest = &rest[length..];
        } else {
            text.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    let digits = |letter: char| letter.is_ascii_digit();
    let word = |letter: char| letter.is_ascii_alphanumeric();
    for before in ["millis=", "millis\":", "127.0.0.1:", "after "] {
        text = masked(&text, before, "N", digits);
    }
    for before in [", key ", "key=\"", "access key …"] {
        text = masked(&text, before, "[KEY]", word);
    }
    // Both are words for a length of time, in quotation marks.
    text = masked(&text, "next_try_in=\"", "[SPAN]", |letter| letter != '"');
    text = masked(&text, "away=\"", "[SPAN]", |letter| letter != '"');
    text = masked(&text, "federation-agent 0.1.0 (", "[COMMIT]", |letter| letter != ')');
    text = masked(&text, "\"timestamp\":\"", "[TIME]", |letter| letter != '"');
    if let Some((time, rest)) = text.split_once("Z ")
        && time.len() == "2026-11-22T21:36:13.284".len()
        && time.ends_with(|letter: char| letter.is_ascii_digit())
    {
        text = format!("[TIME] {}", rest.trim_start());
    }
    // Where it lies depends on the machine, and so does whether that is worth a warning.
    match text.split_once("the journal of grants is in ") {
        Some((before, _)) => before.replace("WARN", "INFO") + "the journal of grants is in …",
        None => text,
    }
}

/// What follows `before` and `is_part`, everywhere in `text`, replaced.
fn masked(text: &str, before: &str, with: &str, is_part: impl Fn(char) -> bool) -> String {
    let mut pieces = text.split(before);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = piece.trim_start_matches(&is_part);
        out.push_str(before);
        out.push_str(if rest.len() < piece.len() { with } else { "" });
        out.push_str(rest);
    }
    out
}

/// A whole start: what is beside everything else (the journal, the identity) comes in no order, and is put last.
async fn start(stage: &Stage, format: &str) -> (Process, String) {
    let mut agent = stage.agent(&[("FEDERATION_AGENT_LOG_FORMAT", format)]).await;
    for line in ["the journal of grants is in", "account 123456789012 as", "ready, waiting"] {
        agent.says(line).await;
    }
    let mut lines: Vec<String> = agent.said.iter().map(|line| redacted(line)).collect();
    lines.sort_by_key(|line| line.contains("the journal of") || line.contains("account 123456789012 as"));
    let beside = lines.len() - 2;
    lines[beside..].sort();
    (agent, lines.join("\n"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_start_is_worth_reading() {
    let stage = Stage::set(&[ONE]).await;
    let (agent, text) = start(&stage, "text").await;
    insta::assert_snapshot!("start_text", text);
    drop(agent);
    let (_agent, json) = start(&stage, "json").await;
    insta::assert_snapshot!("start_json", json);
}

/// What was said since `from`, without what comes by the way.
fn since(agent: &Process, from: usize) -> String {
    let lines: Vec<String> = agent.said[from..].iter().map(|line| redacted(line)).collect();
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_thing_that_happens_to_a_request_is_a_line() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent = start(&stage, "text").await.0;
    let from = agent.said.len();

    soon("discover", stage.plane.discover(ONE)).await.unwrap();
    agent.says("DISCOVER: ").await;
    let api = stage.ingested(ONE).await;
    agent.says("ingest done").await;
    let made = soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "shop")).await.unwrap();
    agent.says("SUBSCRIBE: access granted").await;
    soon("unsubscribe", stage.plane.unsubscribe(&made.id)).await.unwrap();
    agent.says("UNSUBSCRIBE: access removed").await;

    stage.gateway.fault(Failure::Denied.on(Operation::GetUsagePlans));
    soon("discover", stage.plane.discover(ONE)).await.unwrap_err();
    agent.says("DISCOVER: GetUsagePlans").await;
    stage.gateway.heal();
    stage.gateway.fault(Failure::Denied.on(Operation::CreateUsagePlanKey));
    soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "shop")).await.unwrap_err();
    agent.says("SUBSCRIBE: CreateUsagePlanKey").await;
    insta::assert_snapshot!("commands", since(&agent, from));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_link_and_an_end_are_a_few_lines() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent = start(&stage, "text").await.0;
    let api = stage.ingested(ONE).await;
    agent.says("ingest done").await;
    let from = agent.said.len();
    stage.plane.close(ONE, 1011).await;
    agent.says("connected to the plane again").await;
    soon("connected", stage.plane.connected(ONE)).await;

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
    release.cancel();
    soon("subscribe", subscribed).await.unwrap().unwrap();
    let (_, said) = agent.end().await;
    let lines: Vec<String> = said[from..].iter().map(|line| redacted(line)).collect();
    insta::assert_snapshot!("outage_and_end", lines.join("\n"));
}

/// Every line within a command has it, at every level; no field twice; no secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_lines_tell_whose_work_they_are_and_repeat_nothing() {
    let stage = Stage::set(&[ONE]).await;
    let more = [("FEDERATION_AGENT_LOG_FORMAT", "json"), ("FEDERATION_AGENT_LOG", "debug")];
    let mut agent = stage.agent(&more).await;
    let api = stage.ingested(ONE).await;
    let made = soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "shop")).await.unwrap();
    agent.says("SUBSCRIBE: access granted").await;
    agent.signal("TERM");
    let (_, said) = agent.end().await;
    let mut calls = Vec::new();
    for text in &said {
        let line: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap();
        for name in ["timestamp", "level", "target", "message"] {
            assert!(line[name].is_string(), "{name}: {text}");
        }
        for name in line.keys() {
            assert_eq!(text.matches(&format!("\"{name}\":")).count(), 1, "{name} stands there twice: {text}");
        }
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z') && humantime::parse_rfc3339(time).is_ok(), "{time}");
        if text.contains("called API Gateway") {
            assert_eq!(line["integration"], ONE, "{text}");
            calls.push(line);
        }
        assert!(!text.contains(TOKEN) && !text.contains(AWS_SECRET), "{text}");
    }
    let subscribed = calls.iter().find(|line| line["operation"] == "CreateApiKey").unwrap();
    let id = subscribed["command"].as_str().unwrap();
    assert_eq!(subscribed["trace_id"], id.replace('-', ""));
    assert_eq!(subscribed["subscription"], made.id.as_str());
    let read = calls.iter().find(|line| line["operation"] == "GetExport").unwrap();
    assert!(read["trace_id"].is_string(), "{read:?}");
}

//! What Prometheus makes of it: promtool's checks, and a real Prometheus that scrapes a running agent, evaluates the
//! rules and answers the dashboard's queries.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{
    ONE,
    health::health_address,
    names::file,
    sample::{Exposition, ask},
    support::{Stage, soon},
};

/// Where the rules lie.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus");

/// Whether `program` can be run; says so when it cannot.
fn is_there(program: &str, what: &str) -> bool {
    let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let there = version.is_ok_and(|status| status.success());
    if !there {
        println!("{what} did not run: there is no {program} (Debian's package prometheus has it)");
    }
    there
}

fn promtool(arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(FOLDER)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn promtool_takes_the_rules_and_their_tests() {
    if !is_there("promtool", "the check of the alert rules") {
        return;
    }
    for arguments in [
        ["check", "rules", "federation-agent.rules.yml"].as_slice(),
        &["check", "config", "--syntax-only", "prometheus.yml"],
        &["test", "rules", "federation-agent.rules.test.yml", "federation-agent.rules.days.test.yml"],
    ] {
        let (good, said) = promtool(arguments, "");
        assert!(good, "promtool {arguments:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promtool_finds_nothing_to_say_of_the_exposition() {
    if !is_there("promtool", "the check of the exposition") {
        return;
    }
    let stage = Stage::set(&[ONE]).await;
    let mut agent = stage.agent(&[]).await;
    let address = health_address(&mut agent).await;
    soon("discover", stage.plane.discover(ONE)).await.unwrap();
    let exposition = Exposition::of(&address).await;
    let (good, said) = promtool(&["check", "metrics"], &exposition.text);
    assert!(good && said.trim().is_empty(), "{said}");
}

/// A Prometheus; killed when it is dropped.
struct Prometheus {
    address: String,
    _child: tokio::process::Child,
    _data: TempDir,
}

impl Prometheus {
    /// One that scrapes `agent` five times a second and knows the rules.
    async fn scraping(agent: &str) -> Self {
        let data = TempDir::new().unwrap();
        let config = file("deploy/prometheus/prometheus.yml")
            .replace("30s", "200ms")
            .replace("- federation-agent.rules.yml", &format!("- {FOLDER}/federation-agent.rules.yml"))
            .replace("federation-agent:18084", agent);
        let path = data.path().join("prometheus.yml");
        std::fs::write(&path, config).unwrap();
        // It does not tell which port it took: one that was free a moment ago.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let argument = |name: &str, value: &Path| format!("--{name}={}", value.display());
        let mut child = tokio::process::Command::new("prometheus")
            .arg(argument("config.file", &path))
            .arg(argument("storage.tsdb.path", &data.path().join("data")))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = async {
            let mut said = Vec::new();
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("Server is ready to receive web requests") {
                    return;
                }
                said.push(line);
            }
            panic!("Prometheus has ended:\n{}", said.join("\n"));
        };
        soon("Prometheus", ready).await;
        // Nobody reads it any more, and it must not wait for that.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { address, _child: child, _data: data }
    }

    async fn asked(&self, path: &str) -> Value {
        let (head, body) = ask(&self.address, path).await;
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error}\n{head}\n{body}"))
    }

    /// What the query comes to now.
    async fn query(&self, query: &str) -> Vec<Value> {
        let query_ = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let answer = self.asked(&format!("/api/v1/query?query={query_}")).await;
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// Asks until the query has this one value.
    async fn until(&self, query: &str, wanted: &str) {
        let asked = async {
            loop {
                let found = self.query(query).await;
                if found.len() == 1 && found[0]["value"][1] == wanted {
                    return;
                }
            }
        };
        soon(query, asked).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_prometheus_scrapes_it_and_answers_the_dashboards_queries() {
    if !is_there("prometheus", "the scrape by a real Prometheus") {
        return;
    }
    let stage = Stage::set(&[ONE]).await;
    let mut agent = stage.agent(&[]).await;
    let prometheus = Prometheus::scraping(&health_address(&mut agent).await).await;
    prometheus.until("up", "1").await;
    prometheus.until(r#"federation_agent_link_connected{integration="one",job="federation-agent"}"#, "1").await;
    prometheus.until(r#"federation_agent_commands_total{type="DISCOVER",outcome="succeeded"}"#, "0").await;
    soon("discover", stage.plane.discover(ONE)).await.unwrap();
    prometheus.until(r#"federation_agent_commands_total{type="DISCOVER",outcome="succeeded"}"#, "1").await;
    prometheus.until("federation_agent_discovery_apis", "5").await;
    prometheus.until(r#"sum(increase(federation_agent_commands_total{type="DISCOVER"}[1m])) > bool 0"#, "1").await;

    let rules = prometheus.asked("/api/v1/rules").await;
    let rules = rules["data"]["groups"][0]["rules"].as_array().unwrap().clone();
    let alerts = file("deploy/prometheus/federation-agent.rules.yml").matches("- alert: ").count();
    assert_eq!(rules.len(), alerts);
    let unhealthy: Vec<_> = rules.iter().filter(|rule| rule["health"] == "err").collect();
    assert!(unhealthy.is_empty(), "{unhealthy:#?}");

    let dashboard: Value = serde_json::from_str(&file("deploy/grafana/federation-agent.json")).unwrap();
    let mut queries = Vec::new();
    gather(&dashboard, &mut queries);
    assert!(queries.len() > 50, "{}", queries.len());
    let mut empty = Vec::new();
    for query in queries {
        let asked = query.replace("$__rate_interval", "1m").replace("$integration", ".*");
        assert!(!asked.contains('$'), "{query} has a variable that nobody knows");
        if prometheus.query(&asked).await.is_empty() && !query.contains("> 0") && !query.contains("histogram") {
            empty.push(query);
        }
    }
    assert!(empty.is_empty(), "these panels would be empty: {empty:#?}");
}

/// Every query of the dashboard.
fn gather(value: &Value, queries: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            queries.extend(map.get("expr").and_then(Value::as_str).map(str::to_owned));
            map.values().for_each(|value| gather(value, queries));
        }
        Value::Array(list) => list.iter().for_each(|value| gather(value, queries)),
        _ => {}
    }
}

//! Whoever names a metric names one that is there, and each is documented: `METRICS_REWRITE=1` writes its table anew.

#![expect(clippy::unwrap_used, reason = "a document that cannot be read fails its test")]

use std::{collections::BTreeSet, env, fmt::Write as _, fs, path::Path};

use federation_agent::observe::{METRICS, Sort};

use super::{
    ONE,
    health::health_address,
    sample::Exposition,
    support::{Stage, soon},
};

/// What the table in the document stands between.
const MARKS: (&str, &str) = ("<!-- metrics: made by METRICS_REWRITE=1 -->\n", "<!-- end of metrics -->\n");

pub(crate) fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The metrics that `text` names, a histogram's parts as the histogram.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|letter: char| !(letter.is_ascii_alphanumeric() || letter == '_'));
    let ours = words.filter(|word| word.starts_with("federation_agent_") || word.starts_with("process_"));
    ours.map(|word| {
        let parts = ["_bucket", "_sum", "_count"].into_iter().filter_map(|part| word.strip_suffix(part));
        let is_histogram = |name: &&str| METRICS.iter().any(|one| one.name == *name && one.sort == Sort::Histogram);
        parts.into_iter().find(is_histogram).unwrap_or(word).to_owned()
    })
    .collect()
}

fn all() -> BTreeSet<String> {
    METRICS.iter().map(|metric| metric.name.to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exposition_has_every_metric_of_the_table_and_no_other() {
    let stage = Stage::set(&[ONE]).await;
    let mut agent = stage.agent(&[]).await;
    let address = health_address(&mut agent).await;
    soon("discover", stage.plane.discover(ONE)).await.unwrap();
    let told = Exposition::of(&address).await.names;
    assert_eq!(told, all());
}

#[test]
fn the_dashboard_and_the_rules_name_metrics_that_are_there() {
    for path in [
        "deploy/grafana/federation-agent.json",
        "deploy/prometheus/federation-agent.rules.yml",
        "deploy/prometheus/federation-agent.rules.test.yml",
        "deploy/prometheus/federation-agent.rules.days.test.yml",
        "docs/metrics.md",
    ] {
        let unknown: Vec<String> = named(&file(path)).difference(&all()).cloned().collect();
        assert!(unknown.is_empty(), "{path} names {unknown:?}");
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let shown = named(&file("deploy/grafana/federation-agent.json"));
    // Beside the resident memory it says nothing; the states are the link's, drawn by whether it is connected; the most
    // files that may be open are for the alert.
    let more = ["process_virtual_memory_bytes", "federation_agent_link_state", "process_max_fds"];
    let missing: Vec<String> =
        all().difference(&shown).filter(|name| !more.contains(&name.as_str())).cloned().collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn every_alert_is_tested() {
    let rules = file("deploy/prometheus/federation-agent.rules.yml");
    let tests = file("deploy/prometheus/federation-agent.rules.test.yml")
        + &file("deploy/prometheus/federation-agent.rules.days.test.yml");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let untested: Vec<&&str> = alerts.iter().filter(|alert| !tests.contains(&format!("\"{alert}\""))).collect();
    assert!(alerts.len() > 20 && untested.is_empty(), "{untested:?}");
    for text in ["summary: ", "description: ", "severity: "] {
        assert_eq!(rules.matches(text).count(), alerts.len(), "every alert has a {text}");
    }
}

#[test]
fn the_document_has_every_metric() {
    let mut table = String::from("| metric | sort | labels | what it says |\n| --- | --- | --- | --- |\n");
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, sort) = (metric.name, metric.sort.word());
        writeln!(table, "| `{name}` | {sort} | {} | {} |", labels.join(", "), metric.help).unwrap();
    }
    let document = file("docs/metrics.md");
    let (before, rest) = document.split_once(MARKS.0).unwrap();
    let (_, after) = rest.split_once(MARKS.1).unwrap();
    let made = format!("{before}{}{table}{}{after}", MARKS.0, MARKS.1);
    if env::var_os("METRICS_REWRITE").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md"), made).unwrap();
        return;
    }
    assert!(document == made, "docs/metrics.md is out of date: METRICS_REWRITE=1 cargo test --test metrics");
}

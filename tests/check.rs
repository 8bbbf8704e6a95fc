//! `check` and the check at the start, by the real binary, against each fault that a person meets: what is found, and
//! what the running agent's log says of the same.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

#[expect(dead_code, reason = "another test uses all of it")]
#[path = "link/certificates.rs"]
mod certificates;
#[path = "check/faults.rs"]
mod faults;
#[path = "check/machine.rs"]
mod machine;
#[path = "check/report.rs"]
mod report;
#[path = "check/start.rs"]
mod start;
#[expect(dead_code, reason = "another test uses all of it")]
mod support;

use std::{fmt::Write as _, net::SocketAddr};

use serde_json::Value;
use support::{Process, Stage};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

const ONE: &str = "one";
const WS: &str = "gravitee_integration_connector_ws";
const PROVIDER: &str = "gravitee_integration_providers_0";

/// What `check --output json` said, and its exit code.
struct Checked {
    code: i32,
    document: Value,
}

impl Checked {
    /// With the settings of `stage` and these in their place.
    async fn of(stage: &Stage, more: &[(&str, &str)]) -> Self {
        let (status, said) = Process::start(&["check", "--output", "json"], with(stage, more)).end().await;
        let text = said.join("\n");
        let document = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"));
        Self { code: status.code().unwrap(), document }
    }

    fn findings(&self) -> impl Iterator<Item = &Value> {
        self.document["findings"].as_array().unwrap().iter()
    }

    /// The verdicts of all findings of this kind, and what they say.
    fn told(&self, id: &str) -> Vec<(&str, &str)> {
        let of_kind = self.findings().filter(|finding| finding["id"] == id);
        of_kind.map(|one| (one["verdict"].as_str().unwrap(), one["says"].as_str().unwrap())).collect()
    }

    /// The one finding of this kind has this verdict and says all these words.
    fn says(&self, id: &str, verdict: &str, words: &[&str]) -> &Self {
        let told = self.told(id);
        let fits = |says: &str| words.iter().all(|word| says.contains(word));
        let found = told.iter().any(|(had, says)| *had == verdict && fits(says));
        assert!(found, "no {verdict} {id} with {words:?}: {}", self.listed());
        self
    }

    /// These kinds alone are bad.
    fn only_bad(&self, ids: &[&str]) -> &Self {
        let bad: Vec<&str> =
            self.findings().filter(|one| one["verdict"] == "bad").map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(bad, ids, "{}", self.listed());
        assert_eq!(self.code, i32::from(!ids.is_empty()), "{}", self.listed());
        assert_eq!(self.document["good"], ids.is_empty());
        self
    }

    fn listed(&self) -> String {
        self.findings().fold(String::new(), |mut all, one| {
            let _ = write!(all, "\n{} {} {}: {}", one["verdict"], one["id"], one["what"], one["says"]);
            all
        })
    }
}

/// The settings of `stage`, with `more` in their place.
fn with(stage: &Stage, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut variables = stage.environment(&[]);
    variables.retain(|(name, _)| !more.iter().any(|(other, _)| name == other));
    variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    variables
}

/// Listens, and answers every request head with these bytes; with none, never. Its address.
async fn answering(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    head.push(byte);
                }
                if answer.is_empty() {
                    std::future::pending::<()>().await;
                }
                let _gone = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    address
}

#[test]
fn its_help_says_all_of_it() {
    let output = assert_cmd::Command::new(assert_cmd::cargo::cargo_bin!("federation-agent"))
        .args(["check", "--help"])
        .env_clear()
        .output()
        .unwrap();
    insta::assert_snapshot!("check_help", String::from_utf8(output.stdout).unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_is_well_everything_was_looked_at() {
    let stage = Stage::set(&[ONE]).await;
    let checked = Checked::of(&stage, &[]).await;
    checked.only_bad(&[]);
    let Checked { document, .. } = &checked;
    assert_eq!(document["format"], 1);
    assert!(document["version"].as_str().unwrap().starts_with(env!("CARGO_PKG_VERSION")), "{document}");
    assert!(document["at"].as_str().unwrap().ends_with('Z'), "{document}");
    let mut kinds: Vec<&str> = checked.findings().map(|finding| finding["id"].as_str().unwrap()).collect();
    kinds.dedup();
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/check.md")).unwrap();
    for kind in &kinds {
        assert!(documented.contains(&format!("`{kind}`")), "docs/check.md does not explain {kind}");
    }
    for finding in checked.findings() {
        let mut keys: Vec<&str> = finding.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(keys, ["about", "id", "says", "took_ms", "verdict", "what"]);
    }
    checked
        .says("plane.proxy", "good", &["none: no setting names one"])
        .says("plane.hello", "good", &["takes this agent for one as aws-api-gateway"])
        .says("gateway.connection", "good", &["is open"])
        .says("gateway.quota", "good", &["a discovery makes 2 calls", "AWS allows 10 and 40"])
        .says("gateway.throttling", "good", &["no call was turned away"])
        .says("disk.folder", "good", &["was written"])
        .says("clock", "good", &["the same as that of the plane", "the gateway of one"]);
    assert_eq!(stage.keys(), 0, "nothing was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_read_a_line_a_step() {
    let stage = Stage::set(&[ONE]).await;
    let (status, said) = Process::start(&["check"], with(&stage, &[])).end().await;
    assert_eq!(status.code(), Some(0));
    // What differs from run to run and from machine to machine.
    let machine = said.iter().position(|line| line == "this machine").unwrap();
    let port = |url: String| url.rsplit(':').next().unwrap().to_owned();
    let shown: Vec<String> = said[..machine]
        .iter()
        .map(|line| {
            let line = line.replace(&port(stage.plane.url()), "PLANE").replace(&port(stage.gateway.url()), "GATEWAY");
            match line.rsplit_once(" (") {
                Some((front, end)) if end.ends_with(" ms)") => format!("{front} (N ms)"),
                _ => line,
            }
        })
        .collect();
    insta::assert_snapshot!("check_text", shown.join("\n"));
    assert!(said[machine..].iter().any(|line| line.starts_with("✓ clock")), "{said:?}");
    assert_eq!(said.last().unwrap().contains("Nothing is broken"), said.iter().any(|line| line.starts_with("! ")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_settings_are_a_document_too_and_end_with_2() {
    let stage = Stage::set(&[ONE]).await;
    let wrong = [("FEDERATION_AGENT_DRAIN", "soon")];
    for output in ["json", "report"] {
        let (status, said) = Process::start(&["check", "--output", output], with(&stage, &wrong)).end().await;
        let text = said.join("\n");
        assert_eq!(status.code(), Some(2), "{text}");
        assert!(text.matches("FEDERATION_AGENT_DRAIN=soon").count() >= 2, "on stdout and on stderr: {text}");
    }
    let (status, _) = Process::start(&["check", "--with-names"], with(&stage, &[])).end().await;
    assert_eq!(status.code(), Some(2), "names are kept in a report alone");
}

//! How findings are told: to people as they come, to machines at the end.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::{
    super::{
        arguments::{CheckOutput, VERSION},
        exit::Exit,
        terminal::{self, Mark, Terminal, printable},
    },
    Told,
};
use crate::provider::Verdict;

/// The version of the JSON document's shape.
const FORMAT: u32 = 1;

/// Tells findings, and keeps them.
pub(super) struct Teller {
    output: CheckOutput,
    terminal: Terminal,
    kept: Vec<Told>,
}

impl Teller {
    pub(super) fn new(output: CheckOutput, terminal: Terminal) -> Self {
        Self { output, terminal, kept: Vec::new() }
    }

    pub(super) fn output(&self) -> CheckOutput {
        self.output
    }

    /// Everything that was told, in its order.
    pub(super) fn kept(&self) -> &[Told] {
        &self.kept
    }

    /// Tells it to people at once, and keeps it.
    pub(super) fn tell(&mut self, told: Told) {
        if self.output == CheckOutput::Text {
            match &told {
                Told::Heading(what) => terminal::say(format_args!("\n{}", self.terminal.strong(&printable(what)))),
                Told::Finding { finding, .. } => {
                    let mark = self.terminal.mark(mark(finding.verdict));
                    terminal::say(format_args!("{mark} {}", printable(&words(told_of(&told)))));
                }
            }
        }
        self.keep(told);
    }

    /// Keeps it.
    pub(super) fn keep(&mut self, told: Told) {
        self.kept.push(told);
    }

    /// How many findings have that verdict.
    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.kept
            .iter()
            .filter(|told| matches!(told, Told::Finding { finding, .. } if finding.verdict == verdict))
            .count()
    }

    /// How it ended.
    pub(super) fn exit(&self) -> Exit {
        if self.count(Verdict::Bad) == 0 { Exit::Good } else { Exit::Failed }
    }

    /// The last words.
    pub(super) fn end(self) -> Exit {
        let (bad, doubtful) = (self.count(Verdict::Bad), self.count(Verdict::Doubtful));
        match self.output {
            CheckOutput::Json => self.print_json(),
            CheckOutput::Text => terminal::say(format_args!("\n{}", summary(bad, doubtful))),
            CheckOutput::Report => {}
        }
        self.exit()
    }

    /// The document for machines.
    pub(super) fn print_json(&self) {
        terminal::say(terminal::json(&self.json()));
    }

    fn json(&self) -> Value {
        let findings: Vec<Value> = self
            .kept
            .iter()
            .filter_map(|told| match told {
                Told::Heading(_) => None,
                Told::Finding { about, finding } => Some(json!({
                    "id": finding.id,
                    "about": about,
                    "verdict": finding.verdict.word(),
                    "what": finding.what,
                    "says": finding.says,
                    "took_ms": finding.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
                })),
            })
            .collect();
        json!({
            "format": FORMAT,
            "version": VERSION,
            "at": humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            "good": self.count(Verdict::Bad) == 0,
            "findings": findings,
        })
    }
}

/// What all of it comes to.
pub(super) fn summary(bad: usize, doubtful: usize) -> String {
    match (bad, doubtful) {
        (0, 0) => "All is well.".into(),
        (0, _) => format!("Nothing is broken; {doubtful} to look at."),
        _ => format!("{bad} to mend, {doubtful} to look at."),
    }
}

fn told_of(told: &Told) -> (&str, &str, Option<std::time::Duration>) {
    match told {
        Told::Heading(what) => (what, "", None),
        Told::Finding { finding, .. } => (&finding.what, &finding.says, finding.took),
    }
}

/// A finding in one line, without its mark.
pub(super) fn words((what, says, took): (&str, &str, Option<std::time::Duration>)) -> String {
    let colon = if says.is_empty() { "" } else { ": " };
    let took = took.map_or_else(String::new, |took| format!(" ({} ms)", took.as_millis()));
    format!("{what}{colon}{says}{took}")
}

fn mark(verdict: Verdict) -> Mark {
    match verdict {
        Verdict::Good => Mark::Good,
        Verdict::Untried => Mark::Untried,
        Verdict::Doubtful => Mark::Doubtful,
        Verdict::Bad => Mark::Bad,
    }
}

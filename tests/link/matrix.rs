//! The link matrix: what can happen to the way to the plane, what the link does about it, and how long it takes until it
//! is connected again. `cargo nextest run --test link matrix --no-capture` prints the table.
//!
//! Over streams in memory the clock is virtual, the intervals are the defaults, and every row is run with many seeds.
//! Over real sockets the intervals are short; the same formula bounds both.

#[path = "matrix/memory.rs"]
mod memory;
#[path = "matrix/sockets.rs"]
mod sockets;

use federation_agent::settings::Process;

use super::*;

/// The defaults of the settings.
fn defaults() -> Retry {
    Process::default().retry
}

/// The longest that a way back may take, as a sum of the settings.
#[derive(Clone, Copy)]
struct Bound(&'static str, fn(&Retry) -> Duration);

const AT_ONCE: Bound = Bound("0.5 s", |retry| retry.initial.min(Duration::from_millis(500)));
const FIRST: Bound = Bound("first delay", |retry| retry.initial);
const LONGEST: Bound = Bound("longest delay", |retry| retry.max);
const UNANSWERED: Bound = Bound("handshake + longest delay", |retry| retry.handshake + retry.max);
const SLOW: Bound = Bound("slow lane + 20 %", |retry| retry.slow.mul_f64(1.2));
const SILENT: Bound = Bound("silence + first delay", |retry| retry.silence + retry.initial);
const SECOND_REFUSED: Bound = Bound("first two delays", |retry| 3 * retry.initial);
const SECOND_DROPPED: Bound =
    Bound("silence + handshake + first two delays", |retry| retry.silence + retry.handshake + 3 * retry.initial);
const PASSED_OVER: Bound = Bound("handshake + first delay", |retry| retry.handshake + retry.initial);

/// A line of the table.
struct Row {
    fault: &'static str,
    does: &'static str,
    /// From when the time is counted.
    since: &'static str,
    /// `None`: it never comes back, by the plane's wish.
    bound: Option<Bound>,
    /// A word of the sentence with which the link waits.
    says: &'static str,
}

/// What a row came to.
struct Outcome {
    took: Duration,
    /// The sentences with which the link waited.
    said: Vec<String>,
}

impl Row {
    /// The table's line; what is wrong with the outcomes is added to `faults`.
    fn line(&self, outcomes: &[Outcome], retry: &Retry, slack: Duration, faults: &mut Vec<String>) -> String {
        let mut took: Vec<_> = outcomes.iter().map(|outcome| outcome.took).collect();
        took.sort();
        let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
        if let Some(Bound(formula, of)) = self.bound
            && worst > of(retry) + slack
        {
            faults.push(format!("{}: {worst:?} is more than {formula}, {:?}", self.fault, of(retry)));
        }
        let silent = |outcome: &&Outcome| !outcome.said.iter().any(|sentence| sentence.contains(self.says));
        if let Some(outcome) = outcomes.iter().find(silent) {
            faults.push(format!("{}: `{}` is not in {:?}", self.fault, self.says, outcome.said));
        }
        let (took, bound) = match self.bound {
            None => ("never".into(), "-".into()),
            Some(Bound(formula, of)) => {
                let exact = |span: Duration| format!("{:.1} s", span.as_secs_f64());
                let default = humantime::format_duration(of(&defaults()));
                (format!("{} / {}", exact(median), exact(worst)), format!("{formula} = {default}"))
            }
        };
        format!("| {} | {} | {} | {took} | {bound} |", self.fault, self.does, self.since)
    }
}

fn print(title: &str, lines: &[String]) {
    println!("\n{title}\n");
    println!("| fault | what the link does | counted from | median / worst | at most, at the defaults |");
    println!("| --- | --- | --- | --- | --- |");
    for line in lines {
        println!("{line}");
    }
}

#[test]
fn the_matrix_in_virtual_time() {
    const SEEDS: u64 = 40;
    let mut faults = Vec::new();
    let mut lines = Vec::new();
    for (row, run) in memory::rows() {
        let outcomes: Vec<_> = (0..SEEDS)
            .map(|seed| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
                runtime.expect("a runtime").block_on(run(seed))
            })
            .collect();
        lines.push(row.line(&outcomes, &defaults(), Duration::from_millis(100), &mut faults));
    }
    print(&format!("virtual time, {SEEDS} seeds, the settings' defaults"), &lines);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_matrix_over_real_sockets() {
    let mut faults = Vec::new();
    let mut lines = Vec::new();
    for (row, run) in sockets::rows() {
        let outcome = tokio::time::timeout(Duration::from_mins(1), run).await;
        let Ok(outcome) = outcome else { panic!("{}: not connected again in a minute", row.fault) };
        // The machine may be busy: what is asserted is the order of magnitude.
        lines.push(row.line(&[outcome], &sockets::retry(), Duration::from_secs(3), &mut faults));
    }
    let Retry { initial, max, slow, silence, handshake, .. } = sockets::retry();
    let title = format!(
        "real sockets, once each: first delay {initial:?}, longest {max:?}, slow lane {slow:?}, silence {silence:?}, \
         handshake {handshake:?}"
    );
    print(&title, &lines);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

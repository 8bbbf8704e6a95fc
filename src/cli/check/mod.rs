//! `check`: tries everything that the agent needs, in the order in which it needs it, and says what to do. Also at the
//! start of `run`.

mod clock;
mod gateway;
mod machine;
mod names;
mod plane;
mod report;
mod round;
mod start;
mod teller;

pub(super) use start::at_start;

use tokio::sync::mpsc;

use super::{
    arguments::CheckOutput,
    exit::{Exit, Stop},
    gateways::{self, Ready},
    start as starting,
    terminal::Terminal,
};
use crate::{
    provider::{Finding, Verdict},
    settings::{Environment, Faults},
};
use round::Round;
use teller::Teller;

/// Findings that may wait to be printed.
const QUEUE: usize = 16;

/// Something to be told.
pub(super) enum Told {
    /// What comes next is about this.
    Heading(String),
    /// A step, and what it is about: an integration's id, `settings` or `machine`.
    Finding {
        /// What it is about.
        about: String,
        /// What was found.
        finding: Finding,
    },
}

pub(super) fn check(environment: &Environment, output: CheckOutput, with_names: bool) -> Result<Exit, Stop> {
    if with_names && output != CheckOutput::Report {
        return Err(Stop::usage("--with-names goes with --output report alone: the other outputs name everything"));
    }
    let mut teller = Teller::new(output, Terminal::of_stdout(environment));
    let ready = match gateways::ready(environment) {
        Ok(ready) => ready,
        Err(faults) => return Err(wrong(&mut teller, environment, with_names, faults)),
    };
    // What could be warned of is among the findings.
    let _logging = starting::log(&ready.process, environment, starting::Habit::Silent)?;
    let runtime = starting::runtime()?;
    let tried = runtime.block_on(async {
        let cancel = starting::cancelled_by_signal()?;
        let (tell, mut told) = mpsc::channel(QUEUE);
        let round = Round::new(&ready, true, cancel.clone());
        let telling = async {
            while let Some(told) = told.recv().await {
                // A signal makes everything fail; that is no finding.
                if !cancel.is_cancelled() {
                    teller.tell(told);
                }
            }
        };
        tokio::select! {
            _ = async { tokio::join!(round.go(tell), telling) } => {}
            () = cancel.cancelled() => {}
        }
        if cancel.is_cancelled() {
            return Err(Stop::failed("stopped by a signal before everything was tried"));
        }
        Ok(())
    });
    runtime.shutdown_background();
    tried?;
    if output == CheckOutput::Report {
        return Ok(report::print(environment, Some(&ready), &teller, with_names));
    }
    Ok(teller.end())
}

/// The settings are wrong: programs and issues get that as a document too.
fn wrong(teller: &mut Teller, environment: &Environment, with_names: bool, faults: Faults) -> Stop {
    for fault in &faults.0 {
        let finding = Finding::new("settings", Verdict::Bad, fault.variable.clone(), fault.to_string());
        teller.keep(Told::Finding { about: "settings".into(), finding });
    }
    match teller.output() {
        CheckOutput::Text => {}
        CheckOutput::Json => {
            teller.print_json();
        }
        CheckOutput::Report => {
            report::print(environment, None, teller, with_names);
        }
    }
    Stop::Settings(faults)
}

/// What stands before any other finding: that the settings are read, and what is doubtful about them.
fn of_settings(ready: &Ready) -> Vec<Finding> {
    let says = format!("read and complete; integrations: {}", ready.gateways.len());
    let read = Finding::new("settings", Verdict::Good, "settings", says);
    let doubtful = |warning: &String| Finding::new("settings", Verdict::Doubtful, "settings", warning.clone());
    std::iter::once(read).chain(ready.warnings.iter().map(doubtful)).collect()
}

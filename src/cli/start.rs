//! What every command needs before it can begin: the log, the runtime.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::{exit::Stop, terminal};
use crate::{
    observe::{Filter, Logging, Style, Traces},
    settings::{Environment, Fault, Faults, LogFormat, Process},
};

/// The variable that says what is logged.
const LOG: &str = "FEDERATION_AGENT_LOG";

/// Threads for what blocks: names that are looked up, files. They exist while they are needed. Every gateway takes four
/// at most, so that one whose name server is silent leaves the others theirs.
const BLOCKING: usize = 64;

/// What a command logs when nobody said what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Habit {
    /// What the settings' default says: an agent.
    Agent,
    /// Warnings only: a command that tells its result by itself.
    Quiet,
    /// Nothing: a command whose result has everything that could be warned of.
    Silent,
}

/// Starts the log on stderr.
pub(super) fn log(process: &Process, environment: &Environment, habit: Habit) -> Result<Logging, Stop> {
    let asked = environment.get(LOG).is_some_and(|text| !text.trim().is_empty());
    let filter = if asked || habit == Habit::Agent {
        process
            .log
            .parse()
            .map_err(|says| Faults(vec![Fault { variable: LOG.into(), found: Some(process.log.clone()), says }]))?
    } else if habit == Habit::Quiet {
        Filter::warnings()
    } else {
        Filter::nothing()
    };
    let terminal = io::stderr().is_terminal();
    let style = match process.log_format {
        LogFormat::Json => Style::Json,
        LogFormat::Auto if !terminal && habit == Habit::Agent => Style::Json,
        LogFormat::Auto | LogFormat::Text => Style::Text { colours: terminal::wants_colours(terminal, environment) },
    };
    let traces = if habit == Habit::Agent { Traces::read(environment)? } else { None };
    Logging::start_with(filter, style, traces)
        .map_err(|error| Stop::failed(format_args!("the log cannot be started: {error}")))
}

/// The runtime: two threads carry every link and gateway, and leave the machine to what the agent stands beside.
pub(super) fn runtime() -> Result<Runtime, Stop> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING)
        .thread_keep_alive(Duration::from_secs(1))
        .thread_name("federation-agent")
        .enable_all()
        .build()
        .map_err(|error| Stop::failed(format_args!("the system gave no threads: {error}")))
}

/// SIGTERM, SIGINT and SIGHUP, from now on ours.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// `None` when it is ignored, as `nohup` has it: then it stays so.
    hangup: Option<Signal>,
}

impl Signals {
    /// Takes them; needs the runtime.
    pub(super) fn take() -> Result<Self, Stop> {
        let take = |kind| signal(kind).map_err(|error| Stop::failed(format_args!("signals cannot be had: {error}")));
        let hangup = if ignores_hangup() { None } else { Some(take(SignalKind::hangup())?) };
        Ok(Self { terminate: take(SignalKind::terminate())?, interrupt: take(SignalKind::interrupt())?, hangup })
    }

    /// The next one's name.
    pub(super) async fn next(&mut self) -> &'static str {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            _ = hangup => "SIGHUP",
        }
    }
}

/// Whether whoever started this process had SIGHUP ignored. Where the kernel does not tell, it is left alone.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is number 1, the lowest bit.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_none_or(|mask| mask & 1 == 1)
}

/// Cancelled by the first SIGTERM, SIGINT or SIGHUP: for commands that end when a person has had enough.
pub(super) fn cancelled_by_signal() -> Result<CancellationToken, Stop> {
    let (cancel, mut signals) = (CancellationToken::new(), Signals::take()?);
    let theirs = cancel.clone();
    tokio::spawn(async move {
        signals.next().await;
        theirs.cancel();
    });
    Ok(cancel)
}

//! How a command ends.

use std::{fmt, process::ExitCode};

use super::terminal;
use crate::{
    model::Error,
    settings::{COMPOSE, Faults},
};

/// How a command that ran to its end went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// All is well: 0.
    Good,
    /// Something failed, and has been told: 1.
    Failed,
    /// The settings or the arguments are wrong, and it has been told: 2.
    Wrong,
}

/// Why a command stopped before its end.
#[derive(Debug)]
pub(super) enum Stop {
    /// The settings are wrong.
    Settings(Faults),
    /// The arguments ask for what is not there.
    Usage(String),
    /// Something failed.
    Failed(String),
}

impl Stop {
    /// Something failed; `sentence` says what, why, and what to do.
    pub(super) fn failed(sentence: impl fmt::Display) -> Self {
        Self::Failed(sentence.to_string())
    }

    /// The arguments ask for what is not there; `sentence` says what there is.
    pub(super) fn usage(sentence: impl fmt::Display) -> Self {
        Self::Usage(sentence.to_string())
    }

    /// Tells it on stderr: settings' faults all at once, one a line, and where to look.
    pub(super) fn tell(&self) -> Exit {
        match self {
            Self::Settings(faults) => {
                let count = faults.0.len();
                let noun = if count == 1 { "setting is" } else { "settings are" };
                terminal::complain(format_args!("federation-agent: {count} {noun} wrong:"));
                for fault in &faults.0 {
                    // Who came here by docker-compose.yaml knows it by another name.
                    let name = COMPOSE.iter().find(|name| name.variable == Some(&fault.variable));
                    let alias = name.map(|name| format!(" [{} in .env]", name.name)).unwrap_or_default();
                    terminal::complain(format_args!("  {fault}{alias}"));
                }
                terminal::complain(format_args!(
                    "`federation-agent config` shows every setting, where it comes from and what it means; \
                     `federation-agent demo` needs none."
                ));
                Exit::Wrong
            }
            Self::Usage(sentence) => {
                terminal::complain(format_args!("federation-agent: {sentence}"));
                Exit::Wrong
            }
            Self::Failed(sentence) => {
                terminal::complain(format_args!("federation-agent: {sentence}"));
                Exit::Failed
            }
        }
    }
}

impl From<Faults> for Stop {
    fn from(faults: Faults) -> Self {
        Self::Settings(faults)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::failed(error)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Good => Self::SUCCESS,
            Exit::Failed => Self::FAILURE,
            Exit::Wrong => Self::from(2),
        }
    }
}

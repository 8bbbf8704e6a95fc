//! The command line: one file a command. Only here are things wired together.

mod arguments;
mod check;
mod completions;
pub mod config;
mod demo;
mod discover;
mod exit;
mod gateways;
mod grants;
mod health;
mod iam;
mod memory;
mod run;
mod start;
mod surface;
mod terminal;
mod wiring;

use std::{ffi::OsString, process::ExitCode, sync::Arc};

use clap::Parser;

use crate::{kubernetes::Cluster, settings::Environment};
use arguments::{Arguments, Command};
use exit::Exit;

/// Runs what `arguments` ask for, with the settings of `environment`; the exit code is 0 (good), 1 (failed) or 2 (the
/// settings or the arguments are wrong).
pub fn main(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> ExitCode {
    memory::give_back();
    let environment = &environment.clone().with_secrets(Arc::new(Cluster::default()));
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(said) => {
            // Help and version come this way too, with code 0. A closed pipe is nobody's fault.
            let _ = said.print();
            return ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(2));
        }
    };
    let exit = match arguments.command.unwrap_or(Command::Run) {
        Command::Health { ready } => health::health(environment, ready),
        Command::Completions { shell } => completions::completions(shell),
        Command::Discover { output, integration } => discover::discover(environment, output, integration.as_deref()),
        Command::Iam { integration } => iam::iam(environment, integration.as_deref()),
        Command::Grants(asked) => grants::grants(environment, &asked),
        Command::Demo { peer } => demo::demo(environment, peer.as_ref()),
        Command::Run => run::run(environment),
        Command::Check { output, with_names } => check::check(environment, output, with_names),
        Command::Config { output } => Ok(show(environment, output)),
    };
    exit.unwrap_or_else(|stop| stop.tell()).into()
}

/// `config`: every setting as it stands; wrong ones are among them, and end it with 2.
fn show(environment: &Environment, format: config::Format) -> Exit {
    let rendered = config::render(environment, format);
    terminal::say(rendered.text.trim_end());
    if rendered.faults == 0 { Exit::Good } else { Exit::Wrong }
}

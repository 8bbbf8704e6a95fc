//! `completions`: what a shell needs to complete our command line.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{
    arguments::Arguments,
    exit::{Exit, Stop},
};

#[expect(clippy::unnecessary_wraps, reason = "every command has the same form")]
pub(super) fn completions(shell: Shell) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "federation-agent", &mut script);
    // A reader that has gone away is no failure.
    let _ = io::stdout().write_all(&script);
    Ok(Exit::Good)
}

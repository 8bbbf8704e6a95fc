//! `federation-agent`: see `federation-agent --help`.

use std::process::ExitCode;

use federation_agent::{cli, settings::Environment};

fn main() -> ExitCode {
    cli::main(std::env::args_os(), &Environment::of_process())
}

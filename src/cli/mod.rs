//! The command line: one file a command. Only here are things wired together.
/// stub
pub fn main(_: std::env::ArgsOs, _: &crate::settings::Environment) -> std::process::ExitCode { std::process::ExitCode::SUCCESS }

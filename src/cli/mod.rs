//! The command line: one file a command. Only here are things wired together.

pub mod config;

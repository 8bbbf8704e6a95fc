//! Logs and health: anybody may record, only `cli::run` serves.

mod health;
mod log;
mod server;

pub use health::{Board, Standing};
pub use log::{Filter, Logging, Style};
pub use server::Server;

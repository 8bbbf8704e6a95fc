//! Logs and health: anybody may record, only `cli::run` serves.

mod health;
mod log;
mod page;
mod recorder;
mod server;
pub mod status;
mod warnings;

pub use health::{Board, Standing};
pub use log::{Filter, Logging, Style};
pub use page::{PAGE, PAGE_POLICY};
pub use recorder::Recorder;
pub use server::Server;
pub use warnings::Warnings;

//! Logs and health: anybody may record, only `cli::run` serves.

mod health;
mod line;
mod log;
#[cfg(feature = "otlp")]
mod otlp;
mod page;
mod recorder;
mod server;
pub mod span;
pub mod status;
pub mod traces;

pub use health::{Board, Standing};
#[cfg(test)]
pub(crate) use log::subscriber;
pub use log::{Filter, Logging, Style};
pub use recorder::Recorder;
pub use server::Server;
pub use traces::Traces;

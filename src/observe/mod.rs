//! Logs, health and the node surface: anybody may record, only `cli::run` serves.

mod health;
mod log;
mod page;
mod recorder;
mod server;
pub mod status;
mod vitals;

pub use health::{Board, Standing};
pub use log::{Filter, Logging, Style};
pub use recorder::Recorder;
pub use server::{Levels, Server, Surface};
pub use vitals::{Health, Part, STUCK, Vitals};

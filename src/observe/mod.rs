//! Logs, metrics and health: anybody may record, only `cli::run` serves.

mod book;
mod health;
mod ledger;
mod log;
mod metrics;
mod page;
mod recorder;
mod server;
pub mod status;
mod told;
mod warnings;

pub use health::{Board, LastWarnings, Standing};
pub use ledger::{Census, Ledger};
pub use log::{Filter, Logging, Style};
pub use metrics::{METRICS, METRICS_TYPE, Metric, Sort};
pub use page::{PAGE, PAGE_POLICY};
pub use recorder::{Calling, Job, Queued, Recorder, Underway, Waiting};
pub use server::Server;
pub use told::{CallOutcome, Cause, Ended, JobOutcome, Kind, List, Outcome, Parting, Tokens};
pub use warnings::Warnings;

//! Logs, metrics, the status page, health and the node surface: anybody may record, only `cli::run` serves.

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
mod vitals;
mod warnings;

pub use health::{Board, Standing};
pub use ledger::{Census, Ledger};
pub use log::{Filter, Logging, Style};
pub use metrics::{METRICS, METRICS_TYPE, Metric, Sort};
pub use page::{PAGE, PAGE_POLICY};
pub use recorder::{Calling, Job, Queued, Recorder, Underway, Waiting};
pub use server::{Levels, Server, Surface};
pub use told::{CallOutcome, Cause, Ended, JobOutcome, Kind, List, Outcome, Parting, Tokens};
pub use vitals::{Health, Part, STUCK, Vitals};
pub use warnings::Warnings;

//! Logs, metrics, the status page, health and the node surface: anybody may record, only `cli::run` serves.

mod book;
mod health;
mod ledger;
mod line;
mod log;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod page;
mod recorder;
mod server;
pub mod span;
pub mod status;
mod told;
pub mod traces;
mod vitals;
mod warnings;

pub use health::{Board, Standing};
pub use ledger::{Census, Ledger};
#[cfg(test)]
pub(crate) use log::subscriber;
pub use log::{Filter, Logging, Style};
pub use metrics::{METRICS, METRICS_TYPE, Metric, Sort};
pub use page::{PAGE, PAGE_POLICY};
pub use recorder::{Calling, Job, Queued, Recorder, Underway, Waiting};
pub use server::{Levels, Server, Surface};
pub use told::{CallOutcome, Cause, Ended, JobOutcome, Kind, List, Outcome, Parting, Tokens};
pub use traces::Traces;
pub use vitals::{Health, Part, STUCK, Vitals};
pub use warnings::Warnings;

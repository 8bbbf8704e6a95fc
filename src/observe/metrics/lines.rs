//! Counts the log's lines.

use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{Layer, layer::Context};

/// The levels, as labels.
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// A process has one log.
static COUNTS: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];

/// Counts what it is shown; it stands behind the log's filter.
#[derive(Debug, Clone, Copy)]
pub(in crate::observe) struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => 0,
            Level::WARN => 1,
            Level::INFO => 2,
            Level::DEBUG => 3,
            Level::TRACE => 4,
        };
        COUNTS[level].fetch_add(1, Ordering::Relaxed);
    }
}

/// Every level with its count.
pub(super) fn counts() -> impl Iterator<Item = (&'static str, u64)> {
    LEVELS.into_iter().zip(COUNTS.iter().map(|count| count.load(Ordering::Relaxed)))
}

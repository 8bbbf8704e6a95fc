//! What is taken down of one integration, as it is kept.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use prometheus_client::metrics::histogram::Histogram;
use tokio::time::Instant;

use super::{
    status::{CommandStatus, DiscoveryStatus, Identity, IngestStatus},
    told::{Cause, JobOutcome, Kind, Outcome, Tokens},
};

/// Commands that are remembered.
const COMMANDS: usize = 20;

/// Upper ends of a command's durations, in seconds: its budget is 50, the plane waits 60.
const OF_COMMANDS: [f64; 10] = [0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 60.0];

/// Upper ends of a gateway call's durations, in seconds: an attempt has 20.
const OF_CALLS: [f64; 8] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 20.0];

/// All that is known of one integration.
#[derive(Debug, Default)]
pub(super) struct Pages {
    pub(super) title: String,
    pub(super) gateway: Vec<String>,
    pub(super) identities: Vec<Identity>,
    pub(super) link: LinkPage,
    pub(super) commands: CommandPage,
    pub(super) lists: ListPage,
    pub(super) jobs: JobPage,
    pub(super) calls: CallPage,
}

/// Where a link stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum LinkState {
    Connecting,
    Connected,
    #[default]
    Waiting,
    Away,
    Closed,
}

impl LinkState {
    pub(super) const ALL: [Self; 5] = [Self::Connecting, Self::Connected, Self::Waiting, Self::Away, Self::Closed];

    /// The label.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Waiting => "waiting",
            Self::Away => "away",
            Self::Closed => "closed",
        }
    }
}

/// Of the link.
#[derive(Debug, Default)]
pub(super) struct LinkPage {
    pub(super) state: LinkState,
    /// Since when the session lives.
    pub(super) since: Option<Instant>,
    pub(super) endpoint: Option<String>,
    pub(super) sessions: u64,
    pub(super) ended: BTreeMap<&'static str, u64>,
    pub(super) failed: BTreeMap<&'static str, u64>,
}

/// Of the commands; a row a [`Kind`].
#[derive(Debug, Default)]
pub(super) struct CommandPage {
    pub(super) in_flight: [u64; Kind::ALL.len()],
    pub(super) waiting: u64,
    pub(super) again: u64,
    pub(super) outcomes: [[u64; Outcome::ALL.len()]; Kind::ALL.len()],
    pub(super) errors: [BTreeMap<&'static str, u64>; Kind::ALL.len()],
    took: [Option<Histogram>; Kind::ALL.len()],
    /// The newest first.
    pub(super) recent: VecDeque<CommandStatus>,
}

impl CommandPage {
    pub(super) fn took(&mut self, kind: Kind) -> &Histogram {
        self.took[kind as usize].get_or_insert_with(|| Histogram::new(OF_COMMANDS))
    }

    pub(super) fn remember(&mut self, command: CommandStatus) {
        self.recent.truncate(COMMANDS - 1);
        self.recent.push_front(command);
    }
}

/// Of the lists.
#[derive(Debug, Default)]
pub(super) struct ListPage {
    pub(super) ended: BTreeMap<&'static str, u64>,
    pub(super) last: Option<SystemTime>,
    pub(super) last_good: Option<SystemTime>,
    pub(super) found: Option<DiscoveryStatus>,
    pub(super) took: Duration,
}

/// Of the jobs.
#[derive(Debug, Default)]
pub(super) struct JobPage {
    pub(super) running: u64,
    pub(super) taken: u64,
    pub(super) failed: [u64; Cause::ALL.len()],
    pub(super) ended: [u64; JobOutcome::ALL.len()],
    pub(super) last_good: Option<SystemTime>,
    pub(super) newest: Option<Arc<Mutex<IngestStatus>>>,
}

impl JobPage {
    /// The last job, or the one under way.
    pub(super) fn newest(&self) -> Option<IngestStatus> {
        self.newest.as_ref().map(|job| job.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// Of the calls to the gateway.
#[derive(Debug, Default)]
pub(super) struct CallPage {
    pub(super) operations: BTreeMap<&'static str, Operation>,
    pub(super) queued: u64,
    pub(super) waited: Duration,
    pub(super) throttled: Duration,
    pub(super) buckets: Vec<Bucket>,
}

/// One operation of a gateway.
#[derive(Debug, Default)]
pub(super) struct Operation {
    pub(super) begun: u64,
    pub(super) outcomes: BTreeMap<&'static str, u64>,
    /// `None` until it was called.
    pub(super) took: Option<Histogram>,
}

impl Operation {
    pub(super) fn took(&mut self) -> &Histogram {
        self.took.get_or_insert_with(|| Histogram::new(OF_CALLS))
    }
}

/// Where calls to an account take their tokens from.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) account: String,
    /// Empty: one bucket for all regions.
    pub(super) region: String,
    pub(super) tokens: Weak<dyn Tokens>,
}

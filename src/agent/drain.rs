//! The end: what is under way is finished while there is time, and undone when there is none.

use std::{sync::Arc, time::Duration};

use tokio::time::{timeout, timeout_at};

use super::Agent;

/// How much of the drain is kept for undoing.
const UNDOING: Duration = Duration::from_secs(2);

/// How long a disk that failed may take at the end.
const WRITING: Duration = Duration::from_secs(1);

impl Agent {
    /// Whether nothing is under way that somebody waits for.
    pub fn is_idle(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Ends the work within `limit`. From now on DISCOVER and START_INGEST get an ERROR and a running ingest sends its
    /// `done`; SUBSCRIBE and UNSUBSCRIBE are carried out. Two seconds before the end what is still under way is
    /// cancelled and undone, and nothing new is begun.
    ///
    /// Done as soon as nothing is left; what comes in later is carried out still, and may be drained again. `false`:
    /// something did not end in time; see [`settled`](Self::settled).
    pub async fn drain(self: &Arc<Self>, limit: Duration) -> bool {
        let start = tokio::time::Instant::now();
        self.draining.cancel();
        self.tracker.close();
        let undoing = UNDOING.min(limit / 2);
        if timeout_at(start + limit.saturating_sub(undoing), self.tracker.wait()).await.is_ok() {
            return true;
        }
        if !self.give_up.is_cancelled() {
            tracing::warn!(
                integration = self.integration(),
                tasks = self.tracker.len(),
                "the time to finish is over: what is under way is cancelled and undone"
            );
        }
        self.give_up.cancel();
        timeout_at(start + limit, self.tracker.wait()).await.is_ok()
    }

    /// Writes into the journal what the disk did not take when it was to. What it does not take now either is named: it
    /// ends with the process.
    pub async fn write_rest(&self) {
        let integration = self.integration();
        if self.journal.unwritten(integration).is_empty() {
            return;
        }
        let _ = timeout(WRITING, self.journal.catch_up()).await;
        let subscriptions = self.journal.unwritten(integration);
        if !subscriptions.is_empty() {
            tracing::error!(
                integration,
                subscriptions = subscriptions.join(", "),
                "the disk did not take what the journal knows of these subscriptions, and the next start may not know of \
                 their grants; `federation-agent grants --orphans` finds the keys"
            );
        }
    }

    /// The last word before the process ends: whether all has ended. What has not is named, since nobody else will.
    pub fn settled(&self) -> bool {
        if self.is_idle() {
            return true;
        }
        let subscriptions = self.lanes.busy();
        tracing::error!(
            integration = self.integration(),
            tasks = self.tracker.len(),
            subscriptions = subscriptions.join(", "),
            "not everything could be ended or undone in time; look for grants of these subscriptions in the gateway"
        );
        false
    }
}

//! The end: what is under way is finished while there is time, and undone when there is none.

use std::{sync::Arc, time::Duration};

use super::Agent;

/// How much of the drain is kept for undoing.
const UNDOING: Duration = Duration::from_secs(2);

impl Agent {
    /// Whether nothing is under way that somebody waits for.
    pub fn is_idle(&self) -> bool {
        self.tracker.is_empty()
    }

    /// Ends the work within `limit`. From now on DISCOVER and START_INGEST get an ERROR and a running ingest sends its
    /// `done`; SUBSCRIBE and UNSUBSCRIBE are carried out, until two seconds before the end what is still under way is
    /// cancelled and undone. Done as soon as nothing is left; `false` when something did not end in time.
    pub async fn drain(self: &Arc<Self>, limit: Duration) -> bool {
        let start = tokio::time::Instant::now();
        self.draining.cancel();
        self.tracker.close();
        self.background.close();
        let undoing = UNDOING.min(limit / 2);
        let finished = tokio::time::timeout_at(start + limit.saturating_sub(undoing), self.tracker.wait()).await;
        if finished.is_err() {
            tracing::warn!(
                integration = self.integration(),
                tasks = self.tracker.len(),
                "the time to finish is over: what is under way is cancelled and undone"
            );
        }
        self.give_up.cancel();
        let all = async {
            self.tracker.wait().await;
            self.background.wait().await;
        };
        let ended = tokio::time::timeout_at(start + limit, all).await.is_ok();
        if !self.tracker.is_empty() {
            tracing::error!(
                integration = self.integration(),
                tasks = self.tracker.len(),
                "not everything could be ended or undone in time; look for grants of the last commands in the gateway"
            );
        }
        ended
    }
}

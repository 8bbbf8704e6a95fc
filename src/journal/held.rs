//! Which pages this process holds, beside the locks that keep other processes out.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{Journal, Name};

/// The pages that this process holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    pages: Mutex<HashMap<Name, Stage>>,
    pub(super) let_go: Notify,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Held,
    /// Nobody has it any more, and a thread lets go of its file.
    Closing,
}

/// That a page is held. Dropping it lets go of it.
#[derive(Debug)]
pub(super) struct Mine {
    journal: Journal,
    name: Name,
}

impl Held {
    fn pages(&self) -> MutexGuard<'_, HashMap<Name, Stage>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mine {
    /// Holds the page of `name`; `None`: somebody has it, or a thread has not let go of it `by` then.
    pub(super) async fn take(journal: &Journal, name: &Name, by: Instant) -> Option<Self> {
        loop {
            let let_go = journal.0.held.let_go.notified();
            tokio::pin!(let_go);
            let_go.as_mut().enable();
            let stage = {
                let mut pages = journal.0.held.pages();
                let stage = pages.get(name).copied();
                if stage.is_none() {
                    pages.insert(name.clone(), Stage::Held);
                }
                stage
            };
            match stage {
                None => return Some(Self { journal: journal.clone(), name: name.clone() }),
                Some(Stage::Held) => return None,
                Some(Stage::Closing) => timeout_at(by, let_go).await.ok()?,
            }
        }
    }

    /// From now on it is only a matter of moments until it is free.
    pub(super) fn closing(&self) {
        self.journal.0.held.pages().insert(self.name.clone(), Stage::Closing);
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        self.journal.0.held.pages().remove(&self.name);
        self.journal.0.held.let_go.notify_waiters();
    }
}

//! How long a provider is waited for. Its methods are never dropped half-way: they are told to stop, left a moment,
//! and then left to end by themselves.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinHandle},
    time::Instant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use super::{Agent, fault::caught};
use crate::{
    model::Error,
    provider::{Call, Found},
};

/// How long a provider may need to return after it was told to stop. The plane waits 60 s, the budget is 50 s.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// A list that finds nothing for so long is stuck.
pub(super) const IDLE: Duration = Duration::from_mins(10);

/// What a provider may find before somebody takes it.
const FOUND: usize = 64;

/// What `task` comes to. At the deadline of `call` it is told to stop; a little later it is not waited for any more.
pub(super) async fn patient<T>(call: &Call, mut task: JoinHandle<Result<T, Error>>) -> Result<T, Error> {
    tokio::select! {
        biased;
        done = &mut task => return done.unwrap_or_else(|lost| Err(dropped(&lost))),
        () = tokio::time::sleep_until(call.deadline) => call.cancel.cancel(),
        () = call.cancel.cancelled() => {}
    }
    match tokio::time::timeout(GRACE, task).await {
        Ok(done) => done.unwrap_or_else(|lost| Err(dropped(&lost))),
        Err(_) => Err(Error::unavailable("the gateway did not answer in time")),
    }
}

/// A task that ended without a result, as an error: panics are [caught], so the runtime is going down.
pub(super) fn dropped(lost: &JoinError) -> Error {
    Error::bug(format!("the work was dropped before it ended: {lost}"))
}

/// A list of the gateway as it comes in.
pub(super) struct Lister {
    finds: mpsc::Receiver<Found>,
    list: BoxFuture<'static, Result<(), Error>>,
    ended: Option<Result<(), Error>>,
    /// When it found something last.
    found: Instant,
    cancel: CancellationToken,
    /// It has been told that the list is not whole.
    told: bool,
}

/// What a [`Lister`] says next.
pub(super) enum Event {
    /// Something was found.
    Found(Found),
    /// That was all. An error means that every source failed.
    Ended(Result<(), Error>),
}

impl Lister {
    /// Begins a list, as a task of `tracker`.
    pub(super) fn begin(agent: &Arc<Agent>, tracker: &TaskTracker, call: Call) -> Self {
        let (found, finds) = mpsc::channel(FOUND);
        let (agent, listing, cancel) = (Arc::clone(agent), call.clone(), call.cancel.clone());
        let list = caught(async move { agent.provider.list(&listing, found).await });
        let list = tracker.spawn(list.in_current_span());
        let list = async move { patient(&call, list).await }.boxed();
        Self { finds, list, ended: None, found: Instant::now(), cancel, told: false }
    }

    /// What comes next; to be asked until [`Event::Ended`]. May be dropped at any time without loss.
    pub(super) async fn next(&mut self) -> Event {
        while self.ended.is_none() {
            tokio::select! {
                biased;
                Some(found) = self.finds.recv() => return self.found(found),
                ended = &mut self.list => self.ended = Some(ended),
                () = tokio::time::sleep_until(self.found + IDLE), if !self.cancel.is_cancelled() => self.cancel.cancel(),
            }
        }
        // What was found just before the end.
        if let Ok(found) = self.finds.try_recv() {
            return self.found(found);
        }
        // One that was told to stop may have ended well, but not with all that there is.
        if matches!(self.ended, Some(Ok(()))) && self.cancel.is_cancelled() && !self.told {
            self.told = true;
            let error = Error::unavailable("it was ended before it was whole, the gateway is too slow");
            return Event::Found(Found::Failed { source: "the rest of the list".into(), error });
        }
        Event::Ended(self.ended.take().unwrap_or(Ok(())))
    }

    fn found(&mut self, found: Found) -> Event {
        self.found = Instant::now();
        self.told |= matches!(found, Found::Failed { .. }) && self.cancel.is_cancelled();
        Event::Found(found)
    }
}

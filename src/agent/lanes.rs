//! How many commands run and wait at once. SUBSCRIBE and UNSUBSCRIBE have a lane of their own, so that no ingest and
//! no discovery can starve them; commands for the same subscription go one after the other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::{exchange::CommandBody, model::Error, observe::Recorder, provider::Call};

/// SUBSCRIBE and UNSUBSCRIBE that talk to the gateway at once.
const RUNNING: usize = 16;

/// SUBSCRIBE and UNSUBSCRIBE that run or wait.
pub(super) const SUBSCRIPTIONS: usize = 256;

/// All other commands that run or wait.
pub(super) const OTHERS: usize = 32;

/// Subscriptions that are settled at once, beside those that somebody waits for.
const SETTLING: u32 = 4;

/// The lanes of one agent.
pub(super) struct Lanes {
    subscriptions: Arc<Semaphore>,
    others: Arc<Semaphore>,
    running: Arc<Semaphore>,
    settling: Arc<Semaphore>,
    locks: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    recorder: Recorder,
}

/// The right to work on a subscription's grant; held until what was made is delivered or undone.
pub(super) struct Turn {
    _subscription: OwnedMutexGuard<()>,
    _running: OwnedSemaphorePermit,
}

impl Lanes {
    /// Empty ones; `recorder` is told of who waits.
    pub(super) fn new(recorder: Recorder) -> Self {
        Self {
            subscriptions: Arc::new(Semaphore::new(SUBSCRIPTIONS)),
            others: Arc::new(Semaphore::new(OTHERS)),
            running: Arc::new(Semaphore::new(RUNNING)),
            settling: Arc::new(Semaphore::new(SETTLING as usize)),
            locks: Mutex::default(),
            recorder,
        }
    }

    /// A place in the lane of `body`, or the ERROR when too many wait already.
    pub(super) fn admit(&self, body: &CommandBody) -> Result<OwnedSemaphorePermit, Error> {
        let lane = match body {
            CommandBody::Subscribe { .. } | CommandBody::Unsubscribe { .. } => &self.subscriptions,
            _ => &self.others,
        };
        Arc::clone(lane).try_acquire_owned().map_err(|_| {
            Error::unavailable(format!(
                "too many {} commands are waiting at this agent; nothing was done, try again in a minute",
                body.kind()
            ))
        })
    }

    /// Waits, within `call`, until no other command works on `subscription` and the gateway may be talked to.
    pub(super) async fn turn(&self, subscription: &str, call: &Call) -> Result<Turn, Error> {
        let _waiting = self.recorder.waiting();
        let lock = self.lock_of(subscription);
        let turn = async {
            let subscription = lock.lock_owned().await;
            let running = Arc::clone(&self.running).acquire_owned().await;
            // The semaphore is never closed.
            running.ok().map(|running| Turn { _subscription: subscription, _running: running })
        };
        tokio::select! {
            biased;
            turn = turn => turn.ok_or_else(|| Error::bug("a fault of this program: the lane is closed")),
            () = tokio::time::sleep_until(call.deadline) => Err(Error::unavailable(
                "the command waited for others until its time was over; nothing was done, try again in a minute",
            )),
            () = call.cancel.cancelled() => Err(Error::unavailable("nobody waits for this command any more; nothing was done")),
        }
    }

    /// Waits until no command works on `subscription`, to settle it as long as it takes; with `alone`, until nothing else
    /// is settled.
    pub(super) async fn settling(
        &self,
        subscription: &str,
        alone: bool,
    ) -> (OwnedMutexGuard<()>, Option<OwnedSemaphorePermit>) {
        let places = if alone { SETTLING } else { 1 };
        // The semaphore is never closed.
        let place = Arc::clone(&self.settling).acquire_many_owned(places).await.ok();
        (self.lock_of(subscription).lock_owned().await, place)
    }

    /// The subscriptions that commands work on, or wait for.
    pub(super) fn busy(&self) -> Vec<String> {
        let locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut busy: Vec<String> =
            locks.iter().filter(|(_, lock)| lock.strong_count() > 0).map(|(id, _)| id.clone()).collect();
        busy.sort_unstable();
        busy
    }

    fn lock_of(&self, subscription: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(subscription).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        locks.insert(subscription.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

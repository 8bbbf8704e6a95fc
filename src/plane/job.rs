//! An ingest, from the plane's side: a job that exists only a moment after START_INGEST was answered, and is given up
//! when it hears nothing for too long.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

/// An ingest that can be watched.
#[derive(Debug, Clone)]
pub struct Job {
    state: watch::Receiver<JobState>,
}

/// Where an ingest stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobState {
    /// The plane's id of it.
    pub id: String,
    /// What START_INGEST was answered with.
    pub total: u32,
    /// APIs received, doubles included.
    pub received: usize,
    /// INGEST commands received.
    pub batches: usize,
    /// INGEST commands that came before the job was known or after it was given up: answered SUCCEEDED and dropped.
    pub dropped: usize,
    /// Its stage of life.
    pub phase: Phase,
    deadline: Option<Instant>,
}

/// The stages of a job's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// START_INGEST has been sent; the job does not exist yet.
    Starting,
    /// It exists and takes INGESTs.
    Pending,
    /// The last INGEST has come, or there was nothing to come.
    Done,
    /// It heard nothing for too long; the console shows a time-out.
    TimedOut,
}

impl Job {
    pub(super) fn state_of(tell: &watch::Sender<JobState>) -> Self {
        Self { state: tell.subscribe() }
    }

    /// Where it stands now.
    pub fn state(&self) -> JobState {
        self.state.borrow().clone()
    }

    /// Waits for a change; `false` when there will be none.
    pub async fn changed(&mut self) -> bool {
        self.state.changed().await.is_ok()
    }

    /// Waits until it is done or given up.
    pub async fn ended(&self) -> JobState {
        let mut state = self.state.clone();
        match state.wait_for(JobState::is_over).await {
            Ok(state) => state.clone(),
            Err(_) => self.state(),
        }
    }
}

impl JobState {
    pub(super) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            total: 0,
            received: 0,
            batches: 0,
            dropped: 0,
            phase: Phase::Starting,
            deadline: None,
        }
    }

    /// Whether nothing more can happen to it.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Done | Phase::TimedOut)
    }
}

/// START_INGEST was answered: the job comes to be after `delay`, and is given up after each `patience` in silence.
pub(super) fn begin(tell: &Arc<watch::Sender<JobState>>, total: u32, delay: Duration, patience: Duration) {
    tell.send_modify(|job| {
        job.total = total;
        if total == 0 {
            job.phase = Phase::Done;
        } else if delay.is_zero() {
            job.phase = Phase::Pending;
            job.deadline = Some(Instant::now() + patience);
        }
    });
    if total > 0 {
        tokio::spawn(live(Arc::clone(tell), delay, patience));
    }
}

/// Makes the job exist when its time has come, and ends it when it has heard nothing for too long.
async fn live(tell: Arc<watch::Sender<JobState>>, delay: Duration, patience: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
        tell.send_modify(|job| {
            job.phase = Phase::Pending;
            job.deadline = Some(Instant::now() + patience);
        });
    }
    let mut changes = tell.subscribe();
    loop {
        let deadline = match &*changes.borrow_and_update() {
            JobState { phase: Phase::Pending, deadline: Some(deadline), .. } => *deadline,
            _ => return,
        };
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep_until(deadline) => {
                tell.send_if_modified(|job| {
                    let over = job.phase == Phase::Pending && job.deadline == Some(deadline);
                    if over {
                        job.phase = Phase::TimedOut;
                    }
                    over
                });
            }
        }
    }
}

/// An INGEST of `apis` APIs has come; `false` when the job does not exist and it is dropped.
pub(super) fn heard(tell: &watch::Sender<JobState>, patience: Duration) -> bool {
    let mut exists = false;
    tell.send_modify(|job| {
        exists = job.phase == Phase::Pending;
        if exists {
            job.batches += 1;
            job.deadline = Some(Instant::now() + patience);
        } else {
            job.dropped += 1;
        }
    });
    exists
}

/// What came has been stored.
pub(super) fn stored(tell: &watch::Sender<JobState>, apis: usize, done: bool) {
    tell.send_modify(|job| {
        job.received += apis;
        if done && job.phase == Phase::Pending {
            job.phase = Phase::Done;
        }
    });
}

//! Sends a job's APIs: batch after batch, each after the reply to the one before, halved when one fails, `done` last.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Agent,
    batch::{Batcher, halve},
    guard::{Packed, Receipts},
    job::Room,
    scout::ENVELOPE,
};
use crate::{
    exchange::{Command, CommandBody, Status},
    link::AskError,
    observe::{Cause, Job, span},
};

/// How often it is said how far a job has got.
const PROGRESS: Duration = Duration::from_mins(1);

/// The plane gives up a job that it hears nothing of for so long.
const JOB_SILENCE: Duration = Duration::from_mins(5);

/// How long a job that a newer one has ended waits for the plane: for the reply under way, and for that to `done`.
const FAREWELL: Duration = Duration::from_secs(15);

/// How often one API is sent alone when sessions end under it; a session ends for other reasons, too.
const ALONE_OVER_LOST_SESSIONS: u32 = 3;

/// How often `done` is sent when it is answered by an ERROR or not at all.
const DONE_TRIES: u32 = 3;

/// An API on its way, and the room in memory that it takes.
pub(super) struct Item {
    api: Packed,
    /// How often it was sent, and how often alone.
    sent: u32,
    alone: u32,
    _room: Room,
}

impl Item {
    pub(super) fn new(api: Packed, room: Room) -> Self {
        Self { api, sent: 0, alone: 0, _room: room }
    }
}

/// What sending came to.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// How many APIs the plane has taken.
    pub(super) apis: usize,
    /// APIs that it did not take, with the reason.
    pub(super) given_up: Vec<(String, String)>,
    /// Whether `done` was answered.
    pub(super) acknowledged: bool,
}

/// Sends the APIs of one job.
pub(super) struct Courier {
    agent: Arc<Agent>,
    job_id: String,
    /// A newer job has come, or the process ends: only `done` is sent any more.
    end: CancellationToken,
    /// The plane cannot be reached any more, or has given up the job.
    lost: bool,
    sent: Sent,
    /// What the plane has taken and nobody has written down yet.
    receipts: Receipts,
    book: Arc<Job>,
    /// When it was said last how far it has got.
    told: Instant,
}

/// Why an INGEST failed.
enum Failure {
    /// The plane's ERROR, or no reply.
    Refused(String),
    /// The session ended.
    Lost,
    /// There was no session for too long, or there is no time any more.
    Over,
}

impl Courier {
    pub(super) fn new(agent: Arc<Agent>, job_id: String, end: CancellationToken, book: Arc<Job>) -> Self {
        Self {
            agent,
            job_id,
            end,
            lost: false,
            sent: Sent::default(),
            receipts: Receipts::default(),
            book,
            told: Instant::now(),
        }
    }

    /// Sends all `items`, then `done`.
    pub(super) async fn run(mut self, mut items: mpsc::Receiver<Item>) -> Sent {
        let settings = &self.agent.settings;
        let wait = settings.batch_wait;
        let message = self.agent.limits().message.saturating_sub(ENVELOPE);
        let mut batcher = Batcher::new(settings.batch_bytes.min(message), settings.batch_apis);
        let end = self.end.clone();
        let mut due = Instant::now() + wait;
        loop {
            let item = tokio::select! {
                biased;
                () = end.cancelled() => break,
                item = items.recv() => item,
                () = tokio::time::sleep_until(due) => {
                    self.deliver(batcher.take()).await;
                    if self.lost {
                        break;
                    }
                    due = Instant::now() + wait;
                    continue;
                }
            };
            let Some(item) = item else { break };
            let len = item.api.encoded.len();
            let mut ready: Vec<Vec<Item>> = batcher.push(item, len).into_iter().collect();
            if batcher.is_full() {
                ready.push(batcher.take());
            }
            for batch in ready {
                self.deliver(batch).await;
                due = Instant::now() + wait;
            }
            if self.lost {
                break;
            }
        }
        if batcher.len() > 0 {
            self.deliver(batcher.take()).await;
        }
        // Whoever reads learns that nobody takes any more.
        drop(items);
        self.finish().await;
        self.sent
    }

    /// Sends `batch`, and what fails of it again in halves; empty to be heard of.
    async fn deliver(&mut self, batch: Vec<Item>) {
        if batch.is_empty() {
            if let Err(Failure::Over) = self.ingest(&[], false).await {
                self.lost |= !self.end.is_cancelled();
            }
            return;
        }
        let mut waiting = vec![batch];
        while let Some(mut batch) = waiting.pop() {
            if self.lost || self.end.is_cancelled() {
                return;
            }
            let failure = match self.ingest(&batch, false).await {
                Ok(()) => {
                    self.sent.apis += batch.len();
                    self.book.taken(batch.len());
                    self.tell_progress();
                    for item in batch {
                        self.receipts.add(item.api);
                    }
                    if self.receipts.are_due() {
                        self.write_receipts().await;
                    }
                    continue;
                }
                Err(failure) => failure,
            };
            if let Failure::Over = failure {
                self.lost |= !self.end.is_cancelled();
                return;
            }
            for item in &mut batch {
                item.sent += 1;
            }
            if batch.len() > 1 {
                let (first, second) = halve(batch);
                waiting.push(second);
                waiting.push(first);
                continue;
            }
            for mut item in batch {
                item.alone += 1;
                if item.is_hopeless(&failure) {
                    self.book.failed(failure.cause(), 1);
                    self.sent.given_up.push((item.api.encoded.id().to_owned(), failure.why()));
                } else {
                    waiting.push(vec![item]);
                }
            }
        }
    }

    /// Sends nothing but `done`, for a job whose courier came to grief.
    pub(super) async fn only_done(mut self) -> Sent {
        self.finish().await;
        self.sent
    }

    /// Sends `done`: without it the plane's job stays open for minutes, and nobody can discover meanwhile.
    async fn finish(&mut self) {
        self.write_receipts().await;
        let mut tries = 0;
        while !self.lost && tries < DONE_TRIES {
            match self.ingest(&[], true).await {
                Ok(()) => {
                    self.sent.acknowledged = true;
                    return;
                }
                Err(Failure::Refused(_)) => tries += 1,
                Err(Failure::Lost) => {}
                Err(Failure::Over) => return,
            }
        }
    }

    /// How far it has got, once a minute at most: a large estate takes hours.
    fn tell_progress(&mut self) {
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            let (apis, given_up) = (self.sent.apis, self.sent.given_up.len());
            tracing::info!(
                integration = self.agent.integration(),
                job = self.job_id,
                apis,
                given_up,
                "ingest under way"
            );
        }
    }

    /// What the plane has taken is what the next ingest must not lose.
    async fn write_receipts(&mut self) {
        self.agent.settings.guard.taken(self.agent.integration(), &self.job_id, &mut self.receipts).await;
    }

    /// Sends one INGEST on the live session, waiting for one, and waits for its reply.
    async fn ingest(&self, items: &[Item], done: bool) -> Result<(), Failure> {
        let settings = &self.agent.settings;
        let command = Command {
            id: uuid::Uuid::new_v4().to_string(),
            body: CommandBody::Ingest {
                job_id: self.job_id.clone(),
                apis: items.iter().map(|item| item.api.encoded.clone()).collect(),
                done,
            },
        };
        // A job that is ended waits for the plane a moment more, not a minute; less when the process ends.
        let out_of_time = async {
            self.end.cancelled().await;
            tokio::select! {
                () = tokio::time::sleep(FAREWELL) => {}
                () = self.agent.draining.cancelled() => tokio::time::sleep(settings.drain / 4).await,
            }
        };
        tokio::pin!(out_of_time);
        let session = tokio::select! {
            biased;
            () = self.agent.give_up.cancelled() => return Err(Failure::Over),
            session = tokio::time::timeout(JOB_SILENCE, self.agent.connected()) => match session {
                Ok(Some(session)) => session,
                Ok(None) | Err(_) => return Err(Failure::Over),
            },
            () = &mut out_of_time => return Err(Failure::Over),
        };
        let bytes = items.iter().map(|item| item.api.encoded.len()).sum();
        let asked = tokio::select! {
            biased;
            asked = session.ask(command, settings.reply_wait).instrument(span::batch(items.len(), bytes, done)) => asked,
            () = self.agent.give_up.cancelled() => return Err(Failure::Over),
            () = &mut out_of_time => return Err(Failure::Over),
        };
        let failure = match asked {
            Ok(reply) if reply.status == Status::Succeeded => return Ok(()),
            Ok(reply) => Failure::Refused(reply.error.unwrap_or_else(|| "the plane answered an ERROR".to_owned())),
            Err(AskError::Gone(_) | AskError::Torn) => Failure::Lost,
            Err(error @ (AskError::Silence(_) | AskError::Encode(_))) => Failure::Refused(error.to_string()),
        };
        tracing::debug!(
            integration = self.agent.integration(),
            job = self.job_id,
            apis = items.len(),
            done,
            why = failure.why(),
            "an INGEST failed"
        );
        Err(failure)
    }
}

impl Item {
    /// Whether it has failed for good: alone, and not at its first try.
    fn is_hopeless(&self, failure: &Failure) -> bool {
        match failure {
            Failure::Lost => self.alone >= ALONE_OVER_LOST_SESSIONS,
            Failure::Refused(_) | Failure::Over => self.sent >= 2,
        }
    }
}

impl Failure {
    fn cause(&self) -> Cause {
        match self {
            Self::Refused(_) => Cause::Refused,
            Self::Lost => Cause::Lost,
            Self::Over => Cause::NotSent,
        }
    }

    fn why(&self) -> String {
        match self {
            Self::Refused(why) => why.clone(),
            Self::Lost => "the session ended whenever it was sent".to_owned(),
            Self::Over => "out of time".to_owned(),
        }
    }
}

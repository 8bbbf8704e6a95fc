//! A job: APIs are read and handed to the courier, which sends them; one job of an integration at a time.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use super::{
    Agent,
    courier::{Courier, Item, Sent},
    fault::caught,
    guard::{self, Packed},
    ingest::Prepared,
    patience::dropped,
    scout::{Counts, Pace, Read, Scout, Step, names},
};
use crate::{
    link::Session,
    model::Error,
    observe::{Cause, Job, JobOutcome, span},
};

/// How long a job waits before it reads once more what could not be read.
const SECOND_TRY: Duration = Duration::from_secs(5);

/// How many batches may be in memory: one under way, one that fills, one that waits for its place.
const BATCHES: usize = 3;

/// The memory's unit, in bytes: a semaphore counts in 32 bits.
const UNIT: usize = 1_024;

/// The jobs of one integration: the newest ends the one before.
#[derive(Default)]
pub(super) struct Jobs {
    newest: Mutex<Option<CancellationToken>>,
    /// Held by the job that sends: INGESTs go one after the other.
    sending: Arc<tokio::sync::Mutex<()>>,
}

/// A job's place as the newest.
pub(super) struct Seat {
    /// Cancelled when a newer job has come or the process ends.
    pub(super) end: CancellationToken,
}

/// What reading came to.
#[derive(Default)]
struct Fed {
    counts: Counts,
    /// No longer there.
    gone: Vec<String>,
    /// Not sent, with the reason.
    left_out: Vec<(String, String)>,
    /// The job was ended before the list was.
    listing: bool,
    /// The list broke off.
    broken: Option<Error>,
}

/// Reads, and hands to the courier.
struct Feeder {
    scout: Scout,
    items: mpsc::Sender<Item>,
    room: Arc<Semaphore>,
    /// The most room that one API takes.
    most: usize,
    end: CancellationToken,
    fed: Fed,
    book: Arc<Job>,
}

impl Jobs {
    /// Makes a job the newest; the one before ends.
    pub(super) fn take(&self, draining: &CancellationToken) -> Seat {
        let end = draining.child_token();
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = newest.replace(end.clone()) {
            before.cancel();
        }
        Seat { end }
    }
}

impl Agent {
    /// Begins `job`, whose START_INGEST was answered on `session` just now.
    pub(super) fn launch(self: &Arc<Self>, job: Prepared, session: &Session) {
        let span = span::job(self.integration(), &job.job_id, job.total);
        span.in_scope(|| {
            let (integration, job, total) = (self.integration(), &job.job_id, job.total);
            tracing::info!(integration, job, total, "ingest begins");
            tracing::debug!(?session, "its START_INGEST was answered");
        });
        self.tracker.spawn(Arc::clone(self).run_job(job).instrument(span));
    }

    async fn run_job(self: Arc<Self>, job: Prepared) {
        let Prepared { job_id, total, scout, reads, seat } = job;
        let (end, begun) = (seat.end, Instant::now());
        let most = self.settings.batch_bytes.clamp(UNIT, 1 << 30);
        let book = Arc::new(self.settings.recorder.job(&job_id, total));
        let (items, taken) = mpsc::channel(self.settings.batch_apis.max(1));
        let feeder = Feeder {
            scout,
            items,
            room: Arc::new(Semaphore::new(BATCHES * most.div_ceil(UNIT))),
            most,
            end: end.clone(),
            fed: Fed::default(),
            book: Arc::clone(&book),
        };
        let feeding = caught(async move { Ok(feeder.run(reads).await) });
        let feeding = self.tracker.spawn(feeding.in_current_span());
        // At a shutdown the plane is left a part of its time only: a `done` that never comes costs it five minutes.
        let hurried = async {
            self.draining.cancelled().await;
            tokio::time::sleep(self.settings.drain / 4).await;
        };
        tokio::select! {
            () = tokio::time::sleep(self.settings.ingest_pause) => {}
            () = hurried => {}
        }
        let sending = Arc::clone(&self.jobs.sending).lock_owned().await;
        let courier = || Courier::new(Arc::clone(&self), job_id.clone(), end.clone(), Arc::clone(&book));
        let sent = match caught(async { Ok(courier().run(taken).await) }).await {
            Ok(sent) => sent,
            Err(_) => courier().only_done().await,
        };
        drop(sending);
        let fed = feeding.await.unwrap_or_else(|lost| Err(dropped(&lost)));
        let fed = fed.unwrap_or_else(|error| Fed { broken: Some(error), ..Fed::default() });
        self.report(&job_id, total, &fed, &sent, end.is_cancelled(), begun, &book);
    }

    /// The one line that a job ends in.
    #[expect(clippy::too_many_arguments, reason = "all that a job comes to")]
    fn report(&self, job: &str, total: u32, fed: &Fed, sent: &Sent, ended: bool, begun: Instant, book: &Job) {
        let integration = self.integration();
        let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let missing: Vec<String> =
            fed.left_out.iter().chain(&sent.given_up).map(|(id, why)| format!("{id} ({why})")).collect();
        let (apis, gone, left_out) = (sent.apis, fed.gone.len(), fed.left_out.len());
        let cut = fed.counts.matched.saturating_sub(apis + gone + missing.len());
        let (given_up, skipped, failed) = (sent.given_up.len(), fed.counts.missing.len(), fed.counts.failed.len());
        let (held_back, let_go) = (fed.counts.held.len(), fed.counts.let_go.len());
        book.failed(Cause::HeldBack, held_back);
        book.failed(Cause::Missing, skipped);
        book.failed(Cause::NotSent, cut);
        if let_go > 0 {
            let word = self.settings.guard.plan_loss().word();
            tracing::warn!(
                integration,
                job,
                let_go,
                "handed over although the plane deletes plans for it, as FEDERATION_AGENT_PLAN_LOSS={word} lets it: {}",
                names(&fed.counts.let_go)
            );
        }
        if held_back == 0 && missing.is_empty() && cut == 0 && sent.acknowledged && fed.broken.is_none() && !ended {
            book.ended(JobOutcome::Done);
            span::job_ended(&Span::current(), apis, "succeeded", false);
            tracing::info!(
                integration,
                job,
                total,
                apis,
                gone,
                skipped,
                failed,
                millis,
                outcome = "succeeded",
                "ingest done"
            );
            return;
        }
        book.ended(if ended { JobOutcome::EndedEarly } else { JobOutcome::Incomplete });
        let mut words = Vec::new();
        if held_back > 0 {
            words.push(guard::held_back(&fed.counts.held));
        }
        if !missing.is_empty() {
            words.push(format!("not handed over: {}", names(&missing)));
        }
        if ended {
            let more = if fed.listing { " or more" } else { "" };
            words.push(format!("ended early, {cut}{more} were not read or not sent"));
        } else if cut > 0 {
            words.push(format!("{cut} were not sent"));
        }
        if let Some(error) = &fed.broken {
            words.push(format!("the list broke off: {error}"));
        }
        if !sent.acknowledged {
            words.push("the plane did not confirm the end of the job".to_owned());
        }
        span::job_ended(&Span::current(), apis, "incomplete", true);
        tracing::warn!(
            integration,
            job,
            total,
            apis,
            gone,
            left_out,
            given_up,
            skipped,
            failed,
            held_back,
            millis,
            outcome = "incomplete",
            "ingest incomplete: {}",
            words.join("; ")
        );
    }
}

impl Feeder {
    async fn run(mut self, reads: Vec<Read>) -> Fed {
        let (end, courier) = (self.end.clone(), self.items.clone());
        tokio::select! {
            biased;
            () = end.cancelled() => {}
            () = courier.closed() => {}
            () = self.feed(reads) => {}
        }
        self.fed.listing = self.scout.is_listing();
        self.fed.counts = std::mem::take(&mut self.scout.counts);
        self.fed
    }

    async fn feed(&mut self, reads: Vec<Read>) {
        let mut later = Vec::new();
        for read in reads {
            self.settle(read, Some(&mut later)).await;
        }
        self.pass(Some(&mut later)).await;
        if later.is_empty() {
            return;
        }
        tokio::time::sleep(SECOND_TRY).await;
        for listed in later {
            self.scout.again(listed);
        }
        self.pass(None).await;
    }

    /// Reads all that is there; with `later`, what cannot be read now is put there.
    async fn pass(&mut self, mut later: Option<&mut Vec<crate::provider::Listed>>) {
        loop {
            match self.scout.step(Pace::Full).await {
                Step::Nothing => return,
                Step::Listed | Step::ListEnded(Ok(())) => {}
                Step::ListEnded(Err(error)) => self.fed.broken = Some(error),
                Step::Read(read) => self.settle(read, later.as_deref_mut()).await,
            }
        }
    }

    async fn settle(&mut self, read: Read, later: Option<&mut Vec<crate::provider::Listed>>) {
        match read {
            Read::Ready(api) => {
                self.scout.counts.let_go.extend(api.loss.clone());
                self.hand_over(api).await;
            }
            Read::Held(loss) => {
                self.scout.counts.matched -= 1;
                self.scout.counts.held.push(loss);
            }
            Read::Gone(id) => {
                self.book.failed(Cause::Gone, 1);
                self.fed.gone.push(id);
            }
            Read::Denied(id, error) => self.leave_out(id, error.sentence(), Cause::Denied),
            Read::Broken(id, error) => self.leave_out(id, error.sentence(), Cause::Bug),
            Read::TooLong(id) => self.leave_out(id, "it fits in no message", Cause::TooLong),
            Read::Later(listed, error) => match later {
                Some(later) => later.push(*listed),
                None => self.leave_out(listed.api.id, error.sentence(), Cause::Unreadable),
            },
        }
    }

    fn leave_out(&mut self, id: String, why: &str, cause: Cause) {
        self.book.failed(cause, 1);
        self.fed.left_out.push((id, why.to_owned()));
    }

    /// Waits for room, then hands `api` to the courier. Back-pressure begins here.
    async fn hand_over(&mut self, api: Packed) {
        let units = u32::try_from(api.encoded.len().min(self.most).div_ceil(UNIT).max(1)).unwrap_or(u32::MAX);
        // Neither is closed before this ends, unless the job is ended.
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(units).await else { return };
        self.items.send(Item::new(api, room)).await.ok();
    }
}

/// Room in memory that an API takes until it is sent.
pub(super) type Room = OwnedSemaphorePermit;

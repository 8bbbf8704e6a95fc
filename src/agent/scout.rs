//! Finds the APIs of an ingest and reads them: the list as it comes in, a bounded number of reads at once, and what
//! came of each. Used before the START_INGEST reply (one API of each source is tried) and for the job itself.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

use super::{
    Agent,
    discover::LISTING,
    fault::caught,
    guard::{Packed, Verdict, View},
    patience::{Event, Lister, patient},
    shape::shape,
    tally::Tally,
};
use crate::{
    exchange::EncodedApi,
    model::{Class, Error},
    observe::span,
    provider::{Call, Found, Listed},
};

/// How many APIs are read at once.
const READS: usize = 8;

/// How long one read may take.
const READ_BUDGET: Duration = Duration::from_mins(1);

/// What an INGEST needs besides its APIs, in bytes; generous.
pub(super) const ENVELOPE: usize = 4_096;

/// The list and the reads of one ingest. Dropping it tells both to stop.
pub(super) struct Scout {
    agent: Arc<Agent>,
    job_id: String,
    cancel: CancellationToken,
    _stop: DropGuard,
    tally: Tally,
    list: Option<Lister>,
    /// The ids that are asked for and were not found yet; `None`: all.
    wanted: Option<HashSet<String>>,
    seen: HashSet<String>,
    sources: HashSet<Arc<str>>,
    /// Which plans the plane has.
    view: Arc<View>,
    /// The APIs that are held back, also when nobody asks for them, by [`Api::unique_id`](crate::model::Api::unique_id).
    losing: HashSet<String>,
    /// The first API of each source, to be tried first.
    first: VecDeque<Listed>,
    rest: VecDeque<Listed>,
    running: FuturesUnordered<BoxFuture<'static, Read>>,
    /// The longest API that fits in a message, in bytes.
    longest: usize,
    pub(super) counts: Counts,
}

/// What a list came to.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// APIs to be handed over.
    pub(super) matched: usize,
    /// Sources that failed, each with its reason.
    pub(super) failed: Vec<String>,
    /// Ids that were asked for and do not exist.
    pub(super) missing: Vec<String>,
    /// APIs that are held back, since the plane would delete a plan: which, and what hangs on it.
    pub(super) held: Vec<String>,
    /// APIs that are handed over all the same.
    pub(super) let_go: BTreeSet<String>,
}

/// What came of reading an API.
pub(super) enum Read {
    /// In its final bytes.
    Ready(Packed),
    /// It has lost a plan since it was listed.
    Held(String),
    /// It no longer exists.
    Gone(String),
    /// The right is missing.
    Denied(String, Error),
    /// It could not be read now.
    Later(Box<Listed>, Error),
    /// It fits in no message, even without documents.
    TooLong(String),
    /// Reading it ended in a fault of ours, or not at all.
    Broken(String, Error),
}

/// What a scout did.
pub(super) enum Step {
    /// It learned something.
    Listed,
    /// The list ended; an error means that every source failed.
    ListEnded(Result<(), Error>),
    /// An API was read.
    Read(Read),
    /// There is nothing left to be listed, nor to be read.
    Nothing,
}

/// Which APIs may be read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// The first of each source.
    Probe,
    /// All.
    Full,
    /// None: those under way are waited for.
    Hold,
}

impl Scout {
    /// Begins to list. `api_ids` are the ones to be handed over, all when empty; a message takes `message` bytes.
    pub(super) fn begin(
        agent: &Arc<Agent>,
        view: View,
        job_id: &str,
        api_ids: &[String],
        cancel: CancellationToken,
        message: usize,
    ) -> Self {
        let call =
            Call { id: format!("list-{job_id}"), deadline: Instant::now() + LISTING, cancel: cancel.child_token() };
        let list = span::list(agent.integration(), &call.id).in_scope(|| Lister::begin(agent, &agent.tracker, call));
        Self {
            agent: Arc::clone(agent),
            job_id: job_id.to_owned(),
            _stop: cancel.clone().drop_guard(),
            cancel,
            tally: Tally::begin("START_INGEST", &agent.settings.recorder),
            list: Some(list),
            wanted: (!api_ids.is_empty()).then(|| api_ids.iter().cloned().collect()),
            seen: HashSet::new(),
            sources: HashSet::new(),
            view: Arc::new(view),
            losing: HashSet::new(),
            first: VecDeque::new(),
            rest: VecDeque::new(),
            running: FuturesUnordered::new(),
            longest: message.saturating_sub(ENVELOPE),
            counts: Counts::default(),
        }
    }

    /// Whether the list is still under way.
    pub(super) fn is_listing(&self) -> bool {
        self.list.is_some()
    }

    /// Whether a first API of a source is still to be tried or being tried.
    pub(super) fn is_probing(&self) -> bool {
        !self.first.is_empty() || !self.running.is_empty()
    }

    /// `listed` is to be read once more, last.
    pub(super) fn again(&mut self, listed: Listed) {
        self.rest.push_back(listed);
    }

    /// The next thing that happens. May be dropped at any time without loss.
    pub(super) async fn step(&mut self, pace: Pace) -> Step {
        self.fill(pace);
        tokio::select! {
            biased;
            Some(read) = self.running.next(), if !self.running.is_empty() => Step::Read(read),
            event = next_of(&mut self.list), if self.list.is_some() => match event {
                Event::Found(found) => {
                    self.take(found);
                    Step::Listed
                }
                Event::Ended(ended) => {
                    self.list = None;
                    self.list_ended(&ended);
                    Step::ListEnded(ended)
                }
            },
            else => Step::Nothing,
        }
    }

    fn take(&mut self, found: Found) {
        self.tally.found(&found);
        match found {
            Found::Api(listed) => {
                let verdict = self.view.verdict(&listed.api);
                if let Verdict::HoldBack(_) = &verdict {
                    self.losing.insert(listed.api.unique_id.clone());
                }
                let asked_for = self.wanted.as_mut().is_none_or(|wanted| wanted.remove(&listed.api.id));
                if !asked_for || !self.seen.insert(listed.api.unique_id.clone()) {
                    return;
                }
                match verdict {
                    Verdict::Send => {}
                    Verdict::HoldBack(loss) => return self.counts.held.push(loss.to_string()),
                    Verdict::LetGo(loss) => {
                        self.counts.let_go.insert(loss.to_string());
                    }
                }
                self.counts.matched += 1;
                if self.sources.insert(Arc::clone(&listed.source)) {
                    self.first.push_back(*listed);
                } else {
                    self.rest.push_back(*listed);
                }
            }
            Found::LeftOut { what, why } => {
                tracing::debug!(integration = self.agent.integration(), job = self.job_id, what, why, "left out");
            }
            Found::Failed { source, error } => {
                let failed = self.agent.source_failed(&source, &error);
                self.counts.failed.push(failed);
            }
        }
    }

    fn list_ended(&mut self, ended: &Result<(), Error>) {
        self.agent.tell_list(ended, &self.counts.failed, self.losing.len());
        self.tally.end(ended, &self.counts.failed, self.agent.held_back());
        let mut missing: Vec<String> = self.wanted.take().into_iter().flatten().collect();
        missing.sort_unstable();
        if ended.is_ok() && !missing.is_empty() {
            tracing::warn!(
                integration = self.agent.integration(),
                job = self.job_id,
                "asked for and skipped, since no source that could be listed has them: {}",
                names(&missing)
            );
        }
        self.counts.missing = missing;
    }

    fn fill(&mut self, pace: Pace) {
        while pace != Pace::Hold && self.running.len() < READS {
            let next = self.first.pop_front();
            let Some(listed) = next.or_else(|| if pace == Pace::Full { self.rest.pop_front() } else { None }) else {
                return;
            };
            let id = listed.api.id.clone();
            let call = Call {
                id: format!("read-{}", self.job_id),
                deadline: Instant::now() + READ_BUDGET,
                cancel: self.cancel.child_token(),
            };
            let agent = Arc::clone(&self.agent);
            let reading = read(agent, Arc::clone(&self.view), call.clone(), Box::new(listed), self.longest);
            let reading = caught(async move { Ok(reading.await) }).instrument(span::read(&id));
            let task = self.agent.tracker.spawn(reading.in_current_span());
            self.running.push(Box::pin(async move {
                patient(&call, task).await.unwrap_or_else(|error| Read::Broken(id, error))
            }));
        }
    }
}

async fn next_of(list: &mut Option<Lister>) -> Event {
    match list {
        Some(list) => list.next().await,
        None => Event::Ended(Ok(())),
    }
}

/// Reads one API, brings it into shape and into its final bytes; the original is dropped at once.
async fn read(agent: Arc<Agent>, view: Arc<View>, call: Call, listed: Box<Listed>, longest: usize) -> Read {
    let id = listed.api.id.clone();
    let mut api = match agent.provider.read(&call, &listed).await {
        Ok(api) => api,
        Err(error) => match error.class() {
            Class::NotFound => return Read::Gone(id),
            Class::Denied => return Read::Denied(id, error),
            Class::Bug => return Read::Broken(id, error),
            Class::Invalid => {
                tracing::warn!(
                    integration = agent.integration(),
                    api = id,
                    "handed over without a document, since none can exist: {error}"
                );
                let mut api = listed.api;
                api.documents.clear();
                api
            }
            _ => return Read::Later(listed, error),
        },
    };
    let changes = shape(&mut api);
    if !changes.is_empty() {
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        tracing::info!(
            integration = agent.integration(),
            api = id,
            "brought into the plane's limits: {}",
            names(&changes)
        );
    }
    // A gateway may tell more of an API when it is read, and a plan may have gone since the list.
    let loss = match view.verdict(&api) {
        Verdict::Send => None,
        Verdict::LetGo(loss) => Some(loss.to_string()),
        Verdict::HoldBack(loss) => return Read::Held(loss.to_string()),
    };
    let packed = |encoded, api| Read::Ready(Packed::new(encoded, api, loss));
    let encoded = EncodedApi::new(&api);
    if encoded.len() <= longest {
        return packed(encoded, &api);
    }
    tracing::warn!(
        integration = agent.integration(),
        api = id,
        bytes = encoded.len(),
        limit = longest,
        "handed over without its documents, since it fits in no message with them"
    );
    api.documents.clear();
    let encoded = EncodedApi::new(&api);
    if encoded.len() <= longest { packed(encoded, &api) } else { Read::TooLong(id) }
}

/// The first of `names`, and how many more there are.
pub(super) fn names<'a>(names: impl IntoIterator<Item = &'a String, IntoIter: ExactSizeIterator>) -> String {
    const SHOWN: usize = 20;
    let names = names.into_iter();
    let count = names.len();
    let shown = names.take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match count.saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

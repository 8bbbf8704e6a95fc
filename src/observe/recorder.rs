//! What happens in one integration, told by whoever does it: its link, its agent, its provider. The metrics and the
//! status page are made of what is taken down here, and of nothing else.
//!
//! A call takes a lock for some hundred nanoseconds and never waits for anything else: it may be made anywhere.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    book::{Bucket, LinkState, Pages},
    status::{CommandStatus, DiscoveryStatus, Identity, IngestStatus},
    told::{CallOutcome, Cause, Ended, JobOutcome, Kind, List, Outcome, Parting, Tokens},
};

/// So much is kept of a sentence.
const LONGEST: usize = 600;

/// Takes down what happens in one integration, for the metrics and the status page. Cheap to clone; all clones write
/// the same book. The default one belongs to no integration, and what it takes down is shown nowhere.
#[derive(Debug, Clone, Default)]
pub struct Recorder {
    book: Arc<Book>,
}

/// What is taken down of one integration.
#[derive(Debug, Default)]
struct Book {
    integration: String,
    provider: String,
    pages: Mutex<Pages>,
}

impl Recorder {
    /// One for the integration `id`, whose gateway is a `provider`.
    pub fn new(id: &str, provider: &str) -> Self {
        let (integration, provider) = (id.to_owned(), provider.to_owned());
        Self { book: Arc::new(Book { integration, provider, pages: Mutex::default() }) }
    }

    /// The plane's id of the integration; empty for the default one.
    pub fn integration(&self) -> &str {
        &self.book.integration
    }

    /// The provider's type.
    pub fn provider(&self) -> &str {
        &self.book.provider
    }

    pub(super) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.book.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the gateway is: the provider's name for people, and its lines of the start.
    pub fn describe(&self, title: &str, lines: Vec<String>) {
        let mut pages = self.pages();
        (pages.title, pages.gateway) = (title.to_owned(), lines);
    }

    /// Who the agent is in the gateway, or why that is not known.
    pub fn identified(&self, identities: Vec<Identity>) {
        self.pages().identities = identities;
    }
}

/// The link's calls.
impl Recorder {
    /// A try to connect to `endpoint` begins.
    pub fn connecting(&self, endpoint: &str) {
        let link = &mut self.pages().link;
        link.state = LinkState::Connecting;
        if link.endpoint.as_deref() != Some(endpoint) {
            link.endpoint = Some(endpoint.to_owned());
        }
    }

    /// HELLO has been answered: a session lives.
    pub fn connected(&self) {
        let link = &mut self.pages().link;
        (link.state, link.since) = (LinkState::Connected, Some(Instant::now()));
        link.sessions += 1;
    }

    /// A session or a try has ended; told twice of the same one it counts once.
    pub fn parted(&self, parting: Parting) {
        let link = &mut self.pages().link;
        match link.state {
            LinkState::Connected => *link.ended.entry(parting.word()).or_default() += 1,
            LinkState::Connecting => *link.failed.entry(parting.word()).or_default() += 1,
            LinkState::Waiting | LinkState::Away | LinkState::Closed => {}
        }
        (link.state, link.since) = (LinkState::Waiting, None);
    }

    /// The plane wants no more of this agent.
    pub fn away(&self) {
        self.pages().link.state = LinkState::Away;
    }

    /// The link has ended.
    pub fn closed(&self) {
        let link = &mut self.pages().link;
        (link.state, link.since) = (LinkState::Closed, None);
    }

    /// The link has refused the command `id` by itself, and why.
    pub fn turned_away(&self, kind: &str, id: &str, why: &str) {
        let took = Duration::ZERO;
        let (api, subscription, outcome, class) = (None, None, Outcome::TurnedAway, None);
        self.count(Kind::of(kind), kind, &Ended { id, api, subscription, took, outcome, class, note: why });
    }
}

/// The agent's calls.
impl Recorder {
    /// A command of this kind (its word on the wire), which `arrived` then, is carried out from now on, until what this returns is told how it
    /// ended, or dropped.
    pub fn command(&self, kind: &str, arrived: Instant) -> Underway {
        let kind_of = Kind::of(kind);
        self.pages().commands.in_flight[kind_of as usize] += 1;
        Underway { recorder: self.clone(), kind: kind_of, word: cut(kind), arrived }
    }

    /// A command that is carried out or was answered was delivered again.
    pub fn delivered_again(&self) {
        self.pages().commands.again += 1;
    }

    /// A SUBSCRIBE or UNSUBSCRIBE waits for its turn, until what this returns is dropped.
    pub fn waiting(&self) -> Waiting {
        self.pages().commands.waiting += 1;
        Waiting(self.clone())
    }

    /// A list of the gateway has ended.
    pub fn listed(&self, list: &List<'_>) {
        let mut pages = self.pages();
        let now = SystemTime::now();
        let lists = &mut pages.lists;
        *lists.ended.entry(list.outcome()).or_default() += 1;
        lists.last = Some(now);
        if list.error.is_none() {
            lists.last_good = Some(now);
        }
        let mut failed: Vec<String> = list.failed.iter().map(|failed| cut(failed)).collect();
        failed.extend(list.error.map(cut));
        let known = lists.found.take().unwrap_or_default();
        // Of a list that failed nothing is known: what was known before still is.
        let (apis, plans, held_back, left_out) = match list.error {
            None => (list.apis, list.plans, list.held_back, list.left_out),
            Some(_) => (known.apis, known.plans, known.held_back, known.left_out),
        };
        lists.found = Some(DiscoveryStatus {
            at: moment(now),
            by: list.by.to_owned(),
            whole: list.error.is_none() && failed.is_empty(),
            apis,
            plans,
            held_back,
            left_out,
            failed,
            millis: millis(list.took),
            calls: list.calls,
        });
        lists.took = list.took;
    }

    /// The job `id` begins: `total` APIs were announced. Told of what becomes of them by what this returns.
    pub fn job(&self, id: &str, total: u32) -> Job {
        let began = moment(SystemTime::now());
        let status = IngestStatus { job: cut(id), began, total: total.into(), ..IngestStatus::default() };
        let status = Arc::new(Mutex::new(status));
        let mut pages = self.pages();
        pages.jobs.running += 1;
        pages.jobs.newest = Some(Arc::clone(&status));
        Job { recorder: self.clone(), status }
    }
}

/// The provider's calls.
impl Recorder {
    /// The operations that the gateway may be asked for: their series exist before the first call.
    pub fn operations(&self, operations: &[&'static str]) {
        let calls = &mut self.pages().calls;
        for operation in operations {
            calls.operations.entry(operation).or_default();
        }
    }

    /// The gateway is asked for `operation` now; what this returns is told what came of it. Dropped, it was given up.
    pub fn calling(&self, operation: &'static str) -> Calling {
        self.pages().calls.operations.entry(operation).or_default().begun += 1;
        Calling { recorder: self.clone(), operation, began: Instant::now(), outcome: CallOutcome::GivenUp }
    }

    /// A call waits for its turn and for a token, until what this returns is dropped.
    pub fn queued(&self) -> Queued {
        self.pages().calls.queued += 1;
        Queued { recorder: self.clone(), since: Instant::now() }
    }

    /// The gateway has said that it is called too often: no call is made for `span` longer than before.
    pub fn throttled(&self, span: Duration) {
        self.pages().calls.throttled += span;
    }

    /// Calls to `account` (and `region`, where each has a pace of its own) take their tokens from `tokens`.
    pub fn bucket(&self, account: Option<&str>, region: Option<&str>, tokens: Weak<dyn Tokens>) {
        let (account, region) = (account.unwrap_or("unknown").to_owned(), region.unwrap_or_default().to_owned());
        let buckets = &mut self.pages().calls.buckets;
        buckets.retain(|bucket| bucket.account != account || bucket.region != region);
        buckets.push(Bucket { account, region, tokens });
    }

    /// Calls to the gateway that were begun, by operation, in the order of the names.
    pub fn calls(&self) -> Vec<(&'static str, u64)> {
        let pages = self.pages();
        let begun = pages.calls.operations.iter().filter(|(_, operation)| operation.begun > 0);
        begun.map(|(name, operation)| (*name, operation.begun)).collect()
    }
}

impl Recorder {
    fn count(&self, kind: Kind, word: &str, ended: &Ended<'_>) {
        let mut pages = self.pages();
        let commands = &mut pages.commands;
        commands.outcomes[kind as usize][ended.outcome as usize] += 1;
        if let Some(class) = ended.class {
            *commands.errors[kind as usize].entry(class.word()).or_default() += 1;
        }
        if ended.outcome != Outcome::TurnedAway {
            commands.took(kind).observe(ended.took.as_secs_f64());
        }
        commands.remember(CommandStatus {
            at: moment(SystemTime::now()),
            id: cut(ended.id),
            kind: cut(word),
            api: ended.api.map(cut),
            subscription: ended.subscription.map(cut),
            millis: millis(ended.took),
            outcome: ended.outcome.says().to_owned(),
            class: ended.class.map(|class| class.word().to_owned()),
            note: cut(ended.note),
        });
    }
}

/// A command that is carried out.
#[derive(Debug)]
pub struct Underway {
    recorder: Recorder,
    kind: Kind,
    word: String,
    arrived: Instant,
}

impl Underway {
    /// How long ago it arrived.
    pub fn took(&self) -> Duration {
        self.arrived.elapsed()
    }

    /// How it ended.
    pub fn ended(self, ended: &Ended<'_>) {
        self.recorder.count(self.kind, &self.word, ended);
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.recorder.pages().commands.in_flight[self.kind as usize] -= 1;
    }
}

/// A SUBSCRIBE or UNSUBSCRIBE that waits for its turn.
#[derive(Debug)]
pub struct Waiting(Recorder);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.pages().commands.waiting -= 1;
    }
}

/// A job that is under way. Dropped before it is told how it ended, it has broken off.
#[derive(Debug)]
pub struct Job {
    recorder: Recorder,
    status: Arc<Mutex<IngestStatus>>,
}

impl Job {
    /// The plane has taken so many APIs more.
    pub fn taken(&self, apis: usize) {
        let apis = apis as u64;
        self.status().taken += apis;
        self.recorder.pages().jobs.taken += apis;
    }

    /// So many APIs more could not be handed over.
    pub fn failed(&self, cause: Cause, apis: usize) {
        if apis == 0 {
            return;
        }
        let apis = apis as u64;
        *self.status().failed.entry(cause.word().to_owned()).or_default() += apis;
        self.recorder.pages().jobs.failed[cause as usize] += apis;
    }

    /// How it ended.
    pub fn ended(&self, outcome: JobOutcome) {
        {
            let mut status = self.status();
            if status.ended.is_some() {
                return;
            }
            status.ended = Some(moment(SystemTime::now()));
            status.outcome = Some(outcome.word().to_owned());
        }
        let jobs = &mut self.recorder.pages().jobs;
        jobs.running -= 1;
        jobs.ended[outcome as usize] += 1;
        if outcome == JobOutcome::Done {
            jobs.last_good = Some(SystemTime::now());
        }
    }

    fn status(&self) -> MutexGuard<'_, IngestStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.ended(JobOutcome::BrokenOff);
    }
}

/// A call to the gateway that is under way.
#[derive(Debug)]
pub struct Calling {
    recorder: Recorder,
    operation: &'static str,
    began: Instant,
    outcome: CallOutcome,
}

impl Calling {
    /// What came of it.
    pub fn ended(mut self, outcome: CallOutcome) {
        self.outcome = outcome;
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        let mut pages = self.recorder.pages();
        let operation = pages.calls.operations.entry(self.operation).or_default();
        *operation.outcomes.entry(self.outcome.word()).or_default() += 1;
        operation.took().observe(self.began.elapsed().as_secs_f64());
    }
}

/// A call that waits for a token.
#[derive(Debug)]
pub struct Queued {
    recorder: Recorder,
    since: Instant,
}

impl Drop for Queued {
    fn drop(&mut self) {
        let calls = &mut self.recorder.pages().calls;
        calls.queued -= 1;
        calls.waited += self.since.elapsed();
    }
}

/// A time as the status page tells it.
pub(super) fn moment(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// What is kept of `text`: the plane's ids and a gateway's sentences may be long.
fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

#[cfg(test)]
mod tests;

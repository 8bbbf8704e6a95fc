//! An ingest that destroys is held back. The plane deletes what an API no longer lists: a plan, with its subscriptions and
//! keys. A usage plan that somebody's tool has made anew has another id, and is such a plan.
//!
//! Known are the plans of the last ingest that the plane has acknowledged, and the plans that live grants name. What has
//! lost one of them is not sent, unless the setting lets it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    time::Duration,
};

use tokio::time::Instant;

use super::scout::names;
use crate::{
    exchange::EncodedApi,
    journal::{
        Journal, State,
        ingested::{Change, Ingested, Once, Taken},
    },
    model::{Api, Plan, Texts},
    settings::PlanLoss,
};

/// What the plane has taken is written down so often at most, while a job runs.
const WRITTEN: Duration = Duration::from_secs(1);

/// How many lost plans of one API are named.
const SHOWN: usize = 5;

/// Says which APIs an ingest must not hand over, and remembers what the plane has. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Guard {
    ingested: Ingested,
    journal: Journal,
    plan_loss: PlanLoss,
}

/// What is known of one integration at one moment.
#[derive(Debug, Default)]
pub struct View {
    /// By [`Api::unique_id`].
    known: BTreeMap<String, Taken>,
    /// How many live grants there are, by [`Api::id`] and plan.
    granted: HashMap<String, HashMap<String, usize>>,
    /// Whether what loses plans is handed over all the same.
    lets: bool,
    /// What could not be read of the last ingest, and why.
    pub unreadable: Option<String>,
}

/// What is to be done with an API.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Handed over: nothing is lost.
    Send,
    /// Not handed over.
    HoldBack(Loss),
    /// Handed over: the setting lets it.
    LetGo(Loss),
}

/// What the plane would delete of an API.
#[derive(Debug, PartialEq, Eq)]
pub struct Loss {
    /// [`Api::id`].
    pub api: String,
    /// [`Api::name`].
    pub name: String,
    /// The plans that it has no more; never empty.
    pub plans: Vec<LostPlan>,
}

/// A plan that the plane has and the gateway's API has no more.
#[derive(Debug, PartialEq, Eq)]
pub struct LostPlan {
    /// [`Plan::id`].
    pub id: String,
    /// Its name, when the last ingest told.
    pub name: Option<String>,
    /// How many live grants hang on it, as far as the journal knows.
    pub grants: usize,
}

/// An API in its final bytes, and what the plane has of it once it has taken it.
pub(super) struct Packed {
    pub(super) encoded: EncodedApi,
    unique_id: String,
    taken: Taken,
    /// What the plane deletes for it.
    pub(super) loss: Option<String>,
}

/// What the plane has taken and is not written down yet.
pub(super) struct Receipts {
    apis: BTreeMap<String, Taken>,
    loses: bool,
    since: Instant,
}

impl Guard {
    /// By what `ingested` and `journal` know, as `plan_loss` says.
    pub fn new(ingested: Ingested, journal: Journal, plan_loss: PlanLoss) -> Self {
        Self { ingested, journal, plan_loss }
    }

    /// One that knows of this life of the process only, and of no grants.
    pub fn in_memory(plan_loss: PlanLoss) -> Self {
        Self::new(Ingested::in_memory(), Journal::in_memory(), plan_loss)
    }

    /// The setting.
    pub fn plan_loss(&self) -> PlanLoss {
        self.plan_loss
    }

    /// At the start of the process: says what the setting means today, and gives the one time afresh when the setting
    /// has been taken back.
    pub async fn begin(&self, integration: &str) {
        let used = self.ingested.read(integration).await.once_used;
        match (self.plan_loss, used) {
            (PlanLoss::Never, Some(_)) => {
                self.ingested.keep(integration, Change { once: Some(Once::Afresh), ..Change::default() }).await;
                tracing::info!(integration, "FEDERATION_AGENT_PLAN_LOSS may be set to `once` again");
            }
            (PlanLoss::Once, Some(when)) => tracing::warn!(
                integration,
                "FEDERATION_AGENT_PLAN_LOSS=once was used up at {when}: what loses plans is held back; take the setting \
                 away, and after a start without it `once` counts again"
            ),
            (PlanLoss::Once, None) => tracing::warn!(
                integration,
                "FEDERATION_AGENT_PLAN_LOSS=once: the next ingest that would have held something back hands it over, and \
                 the plane deletes the plans that are lost, with their subscriptions and keys"
            ),
            (PlanLoss::Always, _) => tracing::warn!(
                integration,
                "FEDERATION_AGENT_PLAN_LOSS=always: an ingest hands over what has lost a plan, and the plane deletes the \
                 plan with its subscriptions and keys"
            ),
            (PlanLoss::Never, None) => {}
        }
    }

    /// What is known of `integration` now. Writes nothing.
    pub async fn view(&self, integration: &str) -> View {
        let known = self.ingested.read(integration).await;
        if let Some(why) = &known.unreadable {
            tracing::warn!(integration, "only APIs on which live grants hang are held back from an ingest: {why}");
        }
        let mut granted: HashMap<String, HashMap<String, usize>> = HashMap::new();
        let grants = self.journal.read(integration).await;
        if let Some((_, why)) = grants.unreadable.first() {
            tracing::warn!(
                integration,
                pages = grants.unreadable.len(),
                "grants that the journal cannot tell of hold nothing back from an ingest: {why}"
            );
        }
        for record in grants.records {
            // A grant in the making may be in the plane a moment later; one that waits for a person is not.
            let (true, Some(plan)) =
                (matches!(record.state, State::Live | State::Unconfirmed | State::Made), record.plan)
            else {
                continue;
            };
            *granted.entry(record.api).or_default().entry(plan).or_default() += 1;
        }
        let lets = match self.plan_loss {
            PlanLoss::Never => false,
            PlanLoss::Once => known.once_used.is_none(),
            PlanLoss::Always => true,
        };
        View { known: known.apis, granted, lets, unreadable: known.unreadable }
    }

    /// Writes down what the plane has taken in the job `job`; `receipts` are empty then.
    pub(super) async fn taken(&self, integration: &str, job: &str, receipts: &mut Receipts) {
        let Receipts { apis, loses, .. } = std::mem::take(receipts);
        if apis.is_empty() {
            return;
        }
        let used = loses && self.plan_loss == PlanLoss::Once;
        // A job uses it up with its first batch of that kind, and is let go to its end.
        let news = used && self.ingested.read(integration).await.once_used.is_none();
        self.ingested.keep(integration, Change { apis, once: used.then_some(Once::Used) }).await;
        if news {
            tracing::warn!(
                integration,
                job,
                "FEDERATION_AGENT_PLAN_LOSS=once is used up: from the next ingest on, what loses plans is held back; take \
                 the setting away, and after a start without it `once` counts again"
            );
        }
    }
}

impl View {
    /// What is to be done with `api`.
    pub fn verdict(&self, api: &Api) -> Verdict {
        let none = (Texts::new(), HashMap::new());
        let before = self.known.get(&api.unique_id).map_or(&none.0, |taken| &taken.plans);
        let granted = self.granted.get(&api.id).unwrap_or(&none.1);
        let plans = lost(before, granted, &api.plans);
        if plans.is_empty() {
            return Verdict::Send;
        }
        let loss = Loss { api: api.id.clone(), name: api.name.clone(), plans };
        if self.lets { Verdict::LetGo(loss) } else { Verdict::HoldBack(loss) }
    }
}

/// The plans that were there before, or that grants hang on, and that are not there now; by id.
fn lost(before: &Texts, granted: &HashMap<String, usize>, now: &[Plan]) -> Vec<LostPlan> {
    let now: HashSet<&str> = now.iter().map(|plan| plan.id.as_str()).collect();
    let mut all: Vec<&String> = before.keys().chain(granted.keys()).filter(|id| !now.contains(id.as_str())).collect();
    all.sort_unstable();
    all.dedup();
    let plan = |id: &String| LostPlan {
        id: id.clone(),
        name: before.get(id).cloned(),
        grants: granted.get(id).copied().unwrap_or_default(),
    };
    all.into_iter().map(plan).collect()
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) has lost ", self.api, printable(&self.name))?;
        for (n, plan) in self.plans.iter().take(SHOWN).enumerate() {
            write!(f, "{}{plan}", if n > 0 { ", " } else { "" })?;
        }
        match self.plans.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl fmt::Display for LostPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "the plan {} \"{}\"", self.id, printable(name))?,
            None => write!(f, "the plan {}", self.id)?,
        }
        match self.grants {
            0 => Ok(()),
            1 => write!(f, " with 1 live grant"),
            grants => write!(f, " with {grants} live grants"),
        }
    }
}

/// What somebody else wrote, fit for one line.
fn printable(text: &str) -> String {
    let mut letters = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut short: String = letters.by_ref().take(80).collect();
    if letters.next().is_some() {
        short.push('…');
    }
    short
}

/// What is held back, why, and what to do.
pub(super) fn held_back(losses: &[String]) -> String {
    let (are, each) = if losses.len() == 1 { ("API is", "it has") } else { ("APIs are", "each has") };
    format!(
        "{} {are} held back, since {each} lost a plan that the plane would delete, with its subscriptions and keys: {}. \
         Give the API its old plan back in the gateway; or, when those subscriptions may end, start the agent with \
         FEDERATION_AGENT_PLAN_LOSS=once and ingest again",
        losses.len(),
        names(losses)
    )
}

/// The same for the `detail` of HEALTH_CHECK.
pub(super) fn health(held: usize) -> String {
    let (are, each) = if held == 1 { ("API is", "it has") } else { ("APIs are", "each has") };
    format!(
        "{held} {are} held back from ingests, since {each} lost a plan that the plane would delete; the log and \
         `federation-agent discover` say which"
    )
}

impl Packed {
    /// `encoded` is what `api` has become.
    pub(super) fn new(encoded: EncodedApi, api: &Api, loss: Option<String>) -> Self {
        Self { encoded, unique_id: api.unique_id.clone(), taken: Taken::of(api), loss }
    }
}

impl Default for Receipts {
    fn default() -> Self {
        Self { apis: BTreeMap::new(), loses: false, since: Instant::now() }
    }
}

impl Receipts {
    /// The plane has taken `api`.
    pub(super) fn add(&mut self, api: Packed) {
        self.loses |= api.loss.is_some();
        self.apis.insert(api.unique_id, api.taken);
    }

    /// Whether they are to be written now: after a while, and at once when something was lost.
    pub(super) fn are_due(&self) -> bool {
        self.loses || self.since.elapsed() >= WRITTEN
    }
}

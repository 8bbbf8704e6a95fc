//! Gateways, each behind the one trait [`Provider`]. A provider speaks [`model`](crate::model) and knows nothing of
//! websockets or planes; providers do not know each other. Adding one is a folder and a line in [`KINDS`].

pub mod aws;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    model::{Api, Dated, Error, Grant, Subscription, Texts},
    observe::Recorder,
    settings::{Faults, Integration, KeyTable, Process},
};

/// A kind of gateway: its name in the settings, the keys it reads, and how one is built.
pub struct Kind {
    /// The type string (`aws-api-gateway`), as the plane knows it.
    pub name: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The settings under `configuration` that it reads.
    pub keys: &'static KeyTable,
    /// Builds one from checked settings; touches no network.
    pub build: Build,
}

/// Builds a provider from checked settings; it tells the recorder what it does.
pub type Build = fn(&Integration, &Process, &Recorder) -> Result<Arc<dyn Provider>, Faults>;

/// Every kind of gateway that this agent speaks.
pub static KINDS: &[&Kind] = &[&aws::KIND];

/// The kind of that name.
pub fn kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().copied().find(|kind| kind.name == name)
}

/// One gateway (in AWS: all accounts and regions of one integration).
///
/// A method is never dropped half-way: it is given a [`Call`] and returns soon after its budget ends or it is
/// cancelled, having undone what it must.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// The type string.
    fn kind(&self) -> &'static str;

    /// A line or two for the log of a start: accounts, regions, filters. No secret, no network.
    fn describe(&self) -> Vec<String>;

    /// Asks, as cheaply as can be, who the agent is in the gateway: a line for each identity that is known now, an error
    /// for each that is not, which says what to do. No line twice. A kind of gateway without identities has none.
    async fn identify(&self, _call: &Call) -> Vec<Result<String, Error>> {
        Vec::new()
    }

    /// Finds every API, sending each as it becomes known, with all that the gateway's lists tell: identity, name,
    /// version, plans, metadata; documents not. An API is sent only when its plans are known whole.
    ///
    /// An error means that *all* sources failed; a source that fails beside others is a [`Found::Failed`]. A closed
    /// receiver ends the work early without error. Bounded memory: the receiver's pace is the pace.
    async fn list(&self, call: &Call, found: mpsc::Sender<Found>) -> Result<(), Error>;

    /// Completes what [`list`](Self::list) told: reads its documents and whatever else an ingest needs.
    ///
    /// `NotFound`: it no longer exists. `Denied`: the right is named. `Invalid`: no document can exist; the API is
    /// handed over without. Anything else: it could not be read *now*.
    async fn read(&self, call: &Call, listed: &Listed) -> Result<Api, Error>;

    /// Makes a grant for `subscription` of the API `api_id`, and tells `witness` of each step before it is taken. On any
    /// error, also on cancellation and at the end of the budget, nothing is left behind, or what may be is what `witness`
    /// was told last: it is removed later.
    async fn subscribe(
        &self,
        call: &Call,
        api_id: &str,
        subscription: &Subscription,
        witness: &Arc<dyn Witness>,
    ) -> Result<Grant, Error>;

    /// Removes the grant of `subscription`, by what its metadata says. `Ok` means gone: removed now, or proved absent.
    async fn unsubscribe(&self, call: &Call, api_id: &str, subscription: &Subscription) -> Result<Revoked, Error>;

    /// Removes what may have come of a [`subscribe`](Self::subscribe) whose answer was lost: by its name, since nothing
    /// else is known. `trace` is what [`Witness::making`] was told; the grants whose metadata are in `spare` stay.
    ///
    /// `Denied`: looking for names needs a right that the least policy has not. `NotFound` is no error but
    /// [`Revoked::AlreadyGone`]; the gateway may know what was made a moment ago only in a while.
    async fn sweep(
        &self,
        call: &Call,
        api_id: &str,
        subscription_id: &str,
        trace: &Texts,
        spare: &[Texts],
    ) -> Result<Revoked, Error>;

    /// Finds the credentials in the gateway that are this integration's: by their names, and those whose ids are in
    /// `known` (other agents' work); never anybody else's. For people only: it needs the right that
    /// [`sweep`](Self::sweep) needs.
    ///
    /// A source that cannot be read is a [`Keys::Failed`]; an error means that all failed.
    async fn keys(&self, call: &Call, known: &BTreeSet<String>, found: mpsc::Sender<Keys>) -> Result<(), Error>;

    /// Of a subscription's metadata, what finding and removing its grant needs. No secret among it: it is kept on disk.
    fn lasting(&self, metadata: &Texts) -> Texts;

    /// The credential's id in the gateway, of a grant's metadata.
    fn key_id(&self, metadata: &Texts) -> Option<String>;

    /// Tries credentials, identity and each right, and sends a [`Finding`] a step. Makes and removes nothing.
    async fn check(&self, call: &Call, findings: mpsc::Sender<Finding>);

    /// Where the gateway is asked, as far as it is known without asking: for `check`, which tries the way there.
    async fn doors(&self) -> Vec<Door> {
        Vec::new()
    }

    /// The gateway's clock, by its last answer.
    fn clock(&self) -> Option<Dated> {
        None
    }

    /// The least policy for this configuration, as text to be put into the gateway's rights (AWS: IAM JSON).
    fn least_policy(&self) -> String;

    /// How many calls to the gateway were made since the start, by operation.
    fn calls(&self) -> Vec<(&'static str, u64)>;
}

/// What one command may cost: until when it must be done, and whether it is still wanted.
#[derive(Debug, Clone)]
pub struct Call {
    /// The plane's command id, or another word that ties log lines together.
    pub id: String,
    /// When work must have ended. What must be undone after it has a few seconds more.
    pub deadline: Instant,
    /// Cancelled when nobody waits any more.
    pub cancel: CancellationToken,
}

/// What [`Provider::list`] finds.
#[derive(Debug)]
pub enum Found {
    /// An API.
    Api(Box<Listed>),
    /// Something that is not handed over, and why.
    LeftOut {
        /// What: a stage, by its id.
        what: String,
        /// Why, and what would bring it in.
        why: String,
    },
    /// A source (account and region) that could not be read; the others go on.
    Failed {
        /// The source's name for people: `account 123456789012, eu-west-1`.
        source: String,
        /// What happened.
        error: Error,
    },
}

/// An API as the gateway's lists tell it.
#[derive(Debug, Clone)]
pub struct Listed {
    /// All but its documents.
    pub api: Api,
    /// Where it comes from (account and region), for people; the same text for all of one source.
    pub source: Arc<str>,
}

/// Is told what a grant in the making is at, before the gateway is, so that it outlives the process.
#[async_trait]
pub trait Witness: Send + Sync {
    /// From now on something may exist whose id is not known. `trace` is all that looking for it needs besides the
    /// subscription's id.
    async fn making(&self, trace: &Texts);

    /// It exists; `metadata` is what [`Grant::metadata`] will be.
    async fn made(&self, metadata: &Texts);

    /// It is certain that nothing was made, or that what was made is gone.
    async fn unmade(&self);
}

/// What [`Provider::keys`] finds.
#[derive(Debug)]
pub enum Keys {
    /// A credential of this integration.
    Key(Box<Held>),
    /// A source (account and region) that could not be read.
    Failed {
        /// The source's name for people.
        source: String,
        /// What happened.
        error: Error,
    },
}

/// A credential as the gateway has it. Its value is not asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its id in the gateway.
    pub key_id: String,
    /// Its name in the gateway.
    pub name: String,
    /// The subscription that its name says it is for; `None`: it was made by another agent.
    pub subscription: Option<String>,
    /// The plans that it opens ([`Plan::id`](crate::model::Plan::id)): none means that it opens nothing.
    pub plans: Vec<String>,
    /// Whether it may be used.
    pub enabled: bool,
    /// When it was made, as far as the gateway tells.
    pub created: Option<SystemTime>,
    /// What [`Provider::unsubscribe`] needs to remove it.
    pub metadata: Texts,
}

/// How a grant came to be gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revoked {
    /// Removed now.
    Deleted,
    /// It was not there any more.
    AlreadyGone,
}

/// A place at which a gateway is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// Its URL, without a secret.
    pub url: Url,
    /// What is asked there: `API Gateway, eu-west-1`.
    pub what: String,
}

/// One step of [`Provider::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which kind of finding it is: `gateway.right`. Programs know it by this; `docs/check.md` lists them.
    pub id: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was tried: `GET /restapis (account 123456789012, eu-west-1)`.
    pub what: String,
    /// What came of it; for a failure, what to do.
    pub says: String,
    /// How long it took, where that tells something.
    pub took: Option<Duration>,
}

impl Finding {
    /// A finding that took no time worth telling.
    pub fn new(id: &'static str, verdict: Verdict, what: impl Into<String>, says: impl Into<String>) -> Self {
        Self { id, verdict, what: what.into(), says: says.into(), took: None }
    }

    /// The same with the time that it took.
    #[must_use]
    pub fn taking(self, took: Duration) -> Self {
        Self { took: Some(took), ..self }
    }
}

/// How a checked thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Good.
    Good,
    /// It was not looked at, for the reason that is told.
    Untried,
    /// Works, but a person should look.
    Doubtful,
    /// Broken.
    Bad,
}

impl Verdict {
    /// The word for machines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Untried => "untried",
            Self::Doubtful => "doubtful",
            Self::Bad => "bad",
        }
    }
}

//! The plane's commands, and what came of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use federation_agent::{
    exchange::{CommandBody, ReplyBody, Status, Subscribed},
    model::{Subscription, SubscriptionKind, Texts},
    plane::{Plane, PlaneError},
};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use tokio::{sync::Semaphore, time::MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{INTEGRATION, STAGES, within};

/// So many subscriptions are held on average.
const LIVE: u32 = 200;
/// So many subscription commands are under way at most.
const AT_ONCE: usize = 64;
/// The time between two DISCOVER, and how many of them until an ingest of everything.
const LISTS: (Duration, u64) = (Duration::from_secs(5), 4);

/// A subscription that the plane has accepted.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    api_id: String,
    /// The connection and the grant's.
    metadata: Texts,
    /// An UNSUBSCRIBE was not confirmed: whether the key is there still is not known.
    tried: bool,
}

/// Everything that is asked and what is known of it.
pub(crate) struct Work {
    plane: Plane,
    seed: u64,
    /// Each API's id and connection, with its plan.
    apis: Mutex<Vec<(String, Texts)>>,
    live: Mutex<BTreeMap<String, Live>>,
    /// Subscriptions whose SUBSCRIBE was under way when its session ended: the plane takes them as failed.
    unheard: Mutex<BTreeSet<String>>,
    counts: Mutex<BTreeMap<(&'static str, String), u64>>,
    commands: AtomicU64,
    errors: AtomicU64,
    /// Replies that the agent remembers for a minute: a key's or a list's.
    remembered: AtomicU64,
}

impl Work {
    pub(crate) fn new(plane: Plane, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            plane,
            seed,
            apis: Mutex::default(),
            live: Mutex::default(),
            unheard: Mutex::default(),
            counts: Mutex::default(),
            commands: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            remembered: AtomicU64::new(0),
        })
    }

    /// Ingests everything, so that there is something to subscribe to.
    pub(crate) async fn learn(&self) -> io::Result<()> {
        let job = self.plane.ingest(INTEGRATION, [] as [String; 0]).await.map_err(io::Error::other)?;
        within("the first ingest", job.ended()).await?;
        let told = self.plane.apis(INTEGRATION).into_iter().filter_map(|api| {
            let plan = api.plans.first()?.id.clone();
            let mut texts = api.connection;
            texts.insert("planId".into(), plan);
            Some((api.id, texts))
        });
        *lock(&self.apis) = told.collect();
        match lock(&self.apis).len() {
            STAGES => Ok(()),
            other => Err(io::Error::other(format!("{other} of {STAGES} APIs came with the first ingest"))),
        }
    }

    /// SUBSCRIBE and UNSUBSCRIBE, `rate` a second, until `stop`; then waits for those under way.
    pub(crate) async fn subscriptions(self: Arc<Self>, rate: f64, stop: CancellationToken) {
        let mut chance = StdRng::seed_from_u64(self.seed ^ 1);
        let (places, tasks) = (Arc::new(Semaphore::new(AT_ONCE)), TaskTracker::new());
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
            let ends = chance.random_range(0..2 * LIVE) < u32::try_from(lock(&self.live).len()).unwrap_or(u32::MAX);
            let (nth, work) = (chance.next_u64(), Arc::clone(&self));
            tasks.spawn(async move {
                if ends {
                    work.unsubscribe_one(nth).await;
                } else {
                    work.subscribe_one(nth).await;
                }
                drop(place);
            });
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn subscribe_one(&self, nth: u64) {
        let id = Uuid::new_v4().to_string();
        let (api_id, metadata) = pick(&lock(&self.apis), nth);
        let subscription = Subscription {
            id: id.clone(),
            application_id: Some("soak".into()),
            application_name: Some("Soak".into()),
            kind: Some(SubscriptionKind::ApiKey),
            metadata: metadata.clone(),
        };
        let body = CommandBody::Subscribe { api_id: api_id.clone(), subscription };
        match self.ask("SUBSCRIBE", body).await {
            Ok(ReplyBody::Subscribe(Some(Subscribed { metadata: made, .. }))) => {
                let mut metadata = metadata;
                metadata.extend(made);
                lock(&self.live).insert(id, Live { api_id, metadata, tried: false });
            }
            Err(PlaneError::ChannelClosed) => _ = lock(&self.unheard).insert(id),
            _ => {}
        }
    }

    async fn unsubscribe_one(&self, nth: u64) {
        // Out of the list while it is asked for: nobody else asks for the same.
        let taken = {
            let mut live = lock(&self.live);
            let at = usize::try_from(nth % (live.len().max(1) as u64)).unwrap_or_default();
            let id = live.keys().nth(at).cloned();
            id.and_then(|id| live.remove_entry(&id))
        };
        if let Some((id, known)) = taken {
            self.unsubscribe(id, known).await;
        }
    }

    /// Ends a subscription; it stays when that is not confirmed.
    async fn unsubscribe(&self, id: String, known: Live) -> bool {
        let Live { api_id, metadata, .. } = known.clone();
        let subscription =
            Subscription { id: id.clone(), application_id: None, application_name: None, kind: None, metadata };
        let confirmed = self.ask("UNSUBSCRIBE", CommandBody::Unsubscribe { api_id, subscription }).await.is_ok();
        if !confirmed {
            lock(&self.live).insert(id, Live { tried: true, ..known });
        }
        confirmed
    }

    /// DISCOVER and START_INGEST of everything, one after the other, until `stop`.
    pub(crate) async fn lists(self: Arc<Self>, stop: CancellationToken) {
        let mut turn = 0;
        while stop.run_until_cancelled(tokio::time::sleep(LISTS.0)).await.is_some() {
            turn += 1;
            if turn % LISTS.1 == 0 {
                self.ingest(&stop).await;
            } else {
                _ = self.ask("DISCOVER", CommandBody::Discover).await;
            }
        }
    }

    async fn ingest(&self, stop: &CancellationToken) {
        let asked = self.plane.ingest(INTEGRATION, [] as [String; 0]).await;
        let outcome = match &asked {
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        self.count("START_INGEST", outcome.err());
        if let Ok(job) = asked {
            // One that was cut off is given up by the plane after five minutes: nobody here waits for that.
            let ended = tokio::time::timeout(Duration::from_secs(30), job.ended());
            _ = stop.run_until_cancelled(ended).await;
            let whole = job.state().is_over() && job.state().received == STAGES;
            *lock(&self.counts).entry(("ingest job", if whole { "whole" } else { "not whole" }.into())).or_default() +=
                1;
        }
    }

    /// Every subscription whose end was not confirmed is ended again until it is; how many there were.
    pub(crate) async fn settle(&self) -> usize {
        let tried: Vec<(String, Live)> = lock(&self.live)
            .iter()
            .filter(|(_, live)| live.tried)
            .map(|(id, live)| (id.clone(), live.clone()))
            .collect();
        for (id, known) in &tried {
            loop {
                lock(&self.live).remove(id);
                if self.unsubscribe(id.clone(), known.clone()).await {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        tried.len()
    }

    async fn ask(&self, name: &'static str, body: CommandBody) -> Result<ReplyBody, PlaneError> {
        let replied = self.plane.send(INTEGRATION, body).await.and_then(|reply| match reply.status {
            Status::Succeeded => Ok(reply.body),
            _ => Err(PlaneError::Failed(reply.error.unwrap_or_default())),
        });
        if let Ok(ReplyBody::Subscribe(_) | ReplyBody::Discover(_)) = &replied {
            self.remembered.fetch_add(1, Ordering::Relaxed);
        }
        self.count(name, replied.as_ref().err());
        replied
    }

    fn count(&self, name: &'static str, error: Option<&PlaneError>) {
        let outcome = match error {
            None => "succeeded",
            Some(PlaneError::NotConnected(_)) => "not sent: the plane has no session",
            Some(PlaneError::ChannelClosed) => "session ended before the reply",
            Some(PlaneError::Silence(_)) => SILENCE,
            Some(PlaneError::Failed(_)) => "ERROR",
            Some(_) => "other",
        };
        if !matches!(error, Some(PlaneError::NotConnected(_))) {
            self.commands.fetch_add(1, Ordering::Relaxed);
            self.errors.fetch_add(u64::from(error.is_some()), Ordering::Relaxed);
        }
        *lock(&self.counts).entry((name, outcome.into())).or_default() += 1;
    }

    /// Commands that were sent so far, and how many of them did not succeed.
    pub(crate) fn done(&self) -> (u64, u64) {
        (self.commands.load(Ordering::Relaxed), self.errors.load(Ordering::Relaxed))
    }

    /// Replies so far that the agent remembers for a minute.
    pub(crate) fn remembered(&self) -> u64 {
        self.remembered.load(Ordering::Relaxed)
    }

    /// The plane's subscriptions, each with its grant's metadata.
    pub(crate) fn subscriptions_now(&self) -> BTreeMap<String, Texts> {
        lock(&self.live).iter().map(|(id, live)| (id.clone(), live.metadata.clone())).collect()
    }

    /// Whether the session of this one's SUBSCRIBE ended before the reply.
    pub(crate) fn is_unheard(&self, id: &str) -> bool {
        lock(&self.unheard).contains(id)
    }

    pub(crate) fn print(&self) {
        println!("{:<14} {:<44} {:>10}", "command", "came to", "times");
        for ((name, outcome), times) in &*lock(&self.counts) {
            println!("{name:<14} {outcome:<44} {times:>10}");
        }
    }

    /// Whether no command was left without a reply while its session lived.
    pub(crate) fn all_answered(&self) -> bool {
        let silent: u64 =
            lock(&self.counts).iter().filter(|((_, outcome), _)| outcome == SILENCE).map(|(_, n)| n).sum();
        println!("commands that nobody answered: {silent}{}", if silent == 0 { "" } else { "   <-- must be 0" });
        silent == 0
    }
}

/// What a command came to that the agent left without a reply.
const SILENCE: &str = "no reply in 60 s";

fn pick(apis: &[(String, Texts)], nth: u64) -> (String, Texts) {
    let at = usize::try_from(nth % (apis.len().max(1) as u64)).unwrap_or_default();
    apis.get(at).cloned().unwrap_or_default()
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

//! How fast an account is called: a bucket of tokens, one a call, refilled evenly, and shut for as long as the gateway
//! asks. AWS's quota is shared with everybody who calls the account, so ours lies below it.
//!
//! Tokens go to the calls of subscriptions first: an ingest of some hundred APIs reads for minutes, and the plane waits
//! for a SUBSCRIBE no longer than one.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{Mutex as Turn, Notify, OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until, timeout},
};

use crate::observe::Tokens;

/// No bucket is refilled slower, in tokens a second: a wait must be a time that a clock can add.
const SLOWEST: f64 = 0.001;
/// How many patient calls may be under way at once in one region of a bucket.
const PATIENT_AT_ONCE: usize = 12;
/// How many urgent ones, beside them.
const URGENT_AT_ONCE: usize = 16;
/// How many urgent calls may take a token in a row while a patient one waits: a crowd of subscriptions slows an ingest
/// down and does not stop it.
const URGENT_IN_A_ROW: u32 = 3;
/// How long an urgent call lets a patient one go before it: whoever waits without being driven holds up nobody.
const LONGEST_YIELD: Duration = Duration::from_secs(2);

/// The buckets in use. The quota is the account's, whoever calls it: integrations of one process that share an account
/// share its bucket, though they know nothing of each other.
static BUCKETS: Mutex<BTreeMap<Quota, Weak<Bucket>>> = Mutex::new(BTreeMap::new());

/// Whose calls a bucket counts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Quota {
    /// Where AWS is asked, when it is not at its public addresses.
    pub(super) endpoint: Option<String>,
    /// The account's number.
    pub(super) account: String,
    /// The region, when each has a quota of its own.
    pub(super) region: Option<String>,
}

/// How soon a call is made while others wait too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    /// One of the few that somebody waits for.
    Urgent,
    /// One of the many that an ingest or a list needs.
    Patient,
}

/// The bucket of one account, or of one region of it. Waiters of one haste are served in the order of their coming.
#[derive(Debug)]
pub(super) struct Bucket {
    level: Mutex<Level>,
    urgent: Queue,
    patient: Queue,
    /// A token was taken or a waiter has left: whose turn it is may have changed.
    changed: Notify,
    /// By region: calls that hang in one region leave the others their places.
    places: Mutex<BTreeMap<String, Places>>,
}

/// Those who wait for a token.
#[derive(Debug, Default)]
struct Queue {
    turn: Turn<()>,
    len: AtomicUsize,
}

/// How many calls may be under way in one region.
#[derive(Debug, Clone)]
struct Places {
    urgent: Arc<Semaphore>,
    patient: Arc<Semaphore>,
}

impl Default for Places {
    fn default() -> Self {
        Self { urgent: Arc::new(Semaphore::new(URGENT_AT_ONCE)), patient: Arc::new(Semaphore::new(PATIENT_AT_ONCE)) }
    }
}

/// One who waits for a token, also when it is dropped before there is one.
struct Waiting<'a> {
    bucket: &'a Bucket,
    haste: Haste,
}

impl<'a> Waiting<'a> {
    fn new(bucket: &'a Bucket, haste: Haste) -> Self {
        bucket.queue(haste).len.fetch_add(1, Ordering::SeqCst);
        Self { bucket, haste }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.bucket.queue(self.haste).len.fetch_sub(1, Ordering::SeqCst);
        self.bucket.changed.notify_waiters();
    }
}

/// What is in a bucket. Pure: the time comes in.
#[derive(Debug, Clone)]
struct Level {
    per_second: f64,
    burst: f64,
    tokens: f64,
    /// What `tokens` is as of; later than now while the bucket is shut.
    at: Instant,
    /// How many tokens went to urgent calls since a patient one had its last.
    in_a_row: u32,
}

impl Level {
    /// Takes one token, or says when there will be one.
    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        if self.at > now {
            return Err(self.at);
        }
        self.tokens = self.tokens(now);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        // A millisecond more than exact, or rounding could ask for the same wait again and again.
        Err(now + Duration::from_secs_f64((1.0 - self.tokens) / self.per_second) + Duration::from_millis(1))
    }

    /// Whether the next token is for a call of that haste, `urgent` and `patient` ones waiting.
    fn is_turn_of(&self, haste: Haste, urgent: usize, patient: usize) -> bool {
        let of_patient = urgent == 0 || self.in_a_row >= URGENT_IN_A_ROW;
        match haste {
            Haste::Urgent => patient == 0 || !of_patient,
            Haste::Patient => of_patient,
        }
    }

    /// A token went to a call of that haste.
    fn went_to(&mut self, haste: Haste) {
        self.in_a_row = match haste {
            Haste::Urgent => self.in_a_row.saturating_add(1),
            Haste::Patient => 0,
        };
    }

    /// Holds no more and is refilled no faster than this.
    fn tighten(&mut self, per_second: f64, burst: u32) {
        self.per_second = self.per_second.min(per_second.max(SLOWEST));
        self.burst = self.burst.min(f64::from(burst.max(1)));
        self.tokens = self.tokens.min(self.burst);
    }

    /// Shuts the bucket until `until`, and says how much longer that is than it was shut before. It opens with one token:
    /// a full burst would only be refused again.
    fn shut(&mut self, now: Instant, until: Instant) -> Duration {
        if until <= self.at {
            return Duration::ZERO;
        }
        let longer = until - self.at.max(now);
        self.at = until;
        self.tokens = 1.0;
        longer
    }

    /// What is in it.
    fn tokens(&self, now: Instant) -> f64 {
        if self.at > now {
            return 0.0;
        }
        (self.tokens + (now - self.at).as_secs_f64() * self.per_second).min(self.burst)
    }
}

impl Bucket {
    /// A full bucket of `burst` tokens, refilled by `per_second`.
    pub(super) fn new(per_second: f64, burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Self {
            level: Mutex::new(Level {
                per_second: per_second.max(SLOWEST),
                burst,
                tokens: burst,
                at: Instant::now(),
                in_a_row: 0,
            }),
            urgent: Queue::default(),
            patient: Queue::default(),
            changed: Notify::new(),
            places: Mutex::default(),
        }
    }

    /// The bucket of `quota`, shared with everybody who asks for it. When their settings differ, the least counts.
    pub(super) fn shared(quota: Quota, per_second: f64, burst: u32) -> Arc<Self> {
        let mut buckets = BUCKETS.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|_, bucket| bucket.strong_count() > 0);
        if let Some(bucket) = buckets.get(&quota).and_then(Weak::upgrade) {
            bucket.level.lock().unwrap_or_else(PoisonError::into_inner).tighten(per_second, burst);
            return bucket;
        }
        let bucket = Arc::new(Self::new(per_second, burst));
        buckets.insert(quota, Arc::downgrade(&bucket));
        bucket
    }

    /// Waits for a free place in `region`, then for a token; the call is under way while the answer is held.
    pub(super) async fn enter(&self, region: &str, haste: Haste) -> Option<OwnedSemaphorePermit> {
        let place = self.places(region, haste).acquire_owned().await.ok()?;
        let _waiting = Waiting::new(self, haste);
        let _turn = self.queue(haste).turn.lock().await;
        let mut yields = true;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            match self.take(haste, yields) {
                Taken::Token => return Some(place),
                Taken::Wait(until) => sleep_until(until).await,
                Taken::Yield if haste == Haste::Patient => changed.await,
                Taken::Yield => yields = timeout(LONGEST_YIELD, changed).await.is_ok(),
            }
        }
    }

    fn take(&self, haste: Haste, yields: bool) -> Taken {
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |queue: &Queue| queue.len.load(Ordering::SeqCst);
        if yields && !level.is_turn_of(haste, waiting(&self.urgent), waiting(&self.patient)) {
            return Taken::Yield;
        }
        match level.take(Instant::now()) {
            Ok(()) => {
                level.went_to(haste);
                Taken::Token
            }
            Err(until) => Taken::Wait(until),
        }
    }

    fn queue(&self, haste: Haste) -> &Queue {
        match haste {
            Haste::Urgent => &self.urgent,
            Haste::Patient => &self.patient,
        }
    }

    fn places(&self, region: &str, haste: Haste) -> Arc<Semaphore> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let Places { urgent, patient } = places.entry(region.to_owned()).or_default();
        Arc::clone(match haste {
            Haste::Urgent => urgent,
            Haste::Patient => patient,
        })
    }

    /// Shuts the bucket for `span`: the gateway said that it is called too often. By how much longer than it was shut
    /// before.
    pub(super) fn pause(&self, span: Duration) -> Duration {
        let now = Instant::now();
        self.level.lock().unwrap_or_else(PoisonError::into_inner).shut(now, now + span)
    }
}

impl Tokens for Bucket {
    fn tokens(&self) -> (f64, f64) {
        let level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        (level.tokens(Instant::now()), level.burst)
    }
}

/// What asking for a token came to.
enum Taken {
    /// It is there.
    Token,
    /// Not before this.
    Wait(Instant),
    /// Others go first.
    Yield,
}

#[cfg(test)]
mod tests;

//! How fast an account is called: a bucket of tokens, one a call, refilled evenly, and shut for as long as the gateway
//! asks. AWS's quota is shared with everybody who calls the account, so ours lies below it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{
    sync::{Mutex as Turn, Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};

/// No bucket is refilled slower, in tokens a second: a wait must be a time that a clock can add.
const SLOWEST: f64 = 0.001;
/// How many calls of one bucket may be under way at once.
const AT_ONCE: usize = 12;

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

/// The bucket of one account, or of one region of it. Waiters are served in the order of their coming.
#[derive(Debug)]
pub(super) struct Bucket {
    level: Mutex<Level>,
    turn: Turn<()>,
    under_way: Semaphore,
}

/// What is in a bucket. Pure: the time comes in.
#[derive(Debug, Clone)]
struct Level {
    per_second: f64,
    burst: f64,
    tokens: f64,
    /// What `tokens` is as of; later than now while the bucket is shut.
    at: Instant,
}

impl Level {
    /// Takes one token, or says when there will be one.
    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        if self.at > now {
            return Err(self.at);
        }
        self.tokens = (self.tokens + (now - self.at).as_secs_f64() * self.per_second).min(self.burst);
        self.at = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        // A millisecond more than exact, or rounding could ask for the same wait again and again.
        Err(now + Duration::from_secs_f64((1.0 - self.tokens) / self.per_second) + Duration::from_millis(1))
    }

    /// Holds no more and is refilled no faster than this.
    fn tighten(&mut self, per_second: f64, burst: u32) {
        self.per_second = self.per_second.min(per_second.max(SLOWEST));
        self.burst = self.burst.min(f64::from(burst.max(1)));
        self.tokens = self.tokens.min(self.burst);
    }

    /// Shuts the bucket until `until`. It opens with one token: a full burst would only be refused again.
    fn shut(&mut self, until: Instant) {
        if until > self.at {
            self.at = until;
            self.tokens = 1.0;
        }
    }
}

impl Bucket {
    /// A full bucket of `burst` tokens, refilled by `per_second`.
    pub(super) fn new(per_second: f64, burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Self {
            level: Mutex::new(Level { per_second: per_second.max(SLOWEST), burst, tokens: burst, at: Instant::now() }),
            turn: Turn::new(()),
            under_way: Semaphore::new(AT_ONCE),
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

    /// Waits for a token, then for a free place; the call is under way while the answer is held.
    pub(super) async fn enter(&self) -> Option<SemaphorePermit<'_>> {
        let place = self.under_way.acquire().await.ok()?;
        let _turn = self.turn.lock().await;
        loop {
            let now = Instant::now();
            let taken = self.level.lock().unwrap_or_else(PoisonError::into_inner).take(now);
            match taken {
                Ok(()) => return Some(place),
                Err(until) => sleep_until(until).await,
            }
        }
    }

    /// Shuts the bucket for `span`: the gateway said that it is called too often.
    pub(super) fn pause(&self, span: Duration) {
        self.level.lock().unwrap_or_else(PoisonError::into_inner).shut(Instant::now() + span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(per_second: f64, burst: f64) -> Level {
        Level { per_second, burst, tokens: burst, at: Instant::now() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_then_an_even_pace() {
        let bucket = Bucket::new(8.0, 30);
        let start = Instant::now();
        for _ in 0..30 {
            drop(bucket.enter().await);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..80 {
            drop(bucket.enter().await);
        }
        let took = start.elapsed().as_secs_f64();
        assert!((10.0..10.2).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everybody_and_opens_gently() {
        let bucket = Arc::new(Bucket::new(10.0, 30));
        drop(bucket.enter().await);
        bucket.pause(Duration::from_secs(3));
        let start = Instant::now();
        let waiters: Vec<_> = (0..5)
            .map(|_| {
                let bucket = bucket.clone();
                tokio::spawn(async move {
                    drop(bucket.enter().await);
                    start.elapsed().as_millis()
                })
            })
            .collect();
        let mut times = Vec::new();
        for waiter in waiters {
            times.push(waiter.await.unwrap());
        }
        assert!(times[0] >= 3_000 && times[0] < 3_010, "{times:?}");
        assert!(times[4] >= 3_400 && times[4] < 3_450, "{times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_lengthens_a_wait_that_has_begun() {
        let bucket = Arc::new(Bucket::new(1.0, 1));
        drop(bucket.enter().await);
        let start = Instant::now();
        let waiter = tokio::spawn({
            let bucket = bucket.clone();
            async move {
                drop(bucket.enter().await);
                start.elapsed()
            }
        });
        tokio::time::advance(Duration::from_millis(500)).await;
        bucket.pause(Duration::from_secs(5));
        assert!(waiter.await.unwrap() >= Duration::from_millis(5_500));
    }

    #[tokio::test(start_paused = true)]
    async fn who_shares_an_account_shares_its_bucket_and_the_least_setting_counts() {
        let quota = |endpoint: &str, account: &str, region: Option<&str>| Quota {
            endpoint: Some(endpoint.into()),
            account: account.into(),
            region: region.map(str::to_owned),
        };
        let first = Bucket::shared(quota("shared", "1", None), 8.0, 30);
        let second = Bucket::shared(quota("shared", "1", None), 100.0, 5);
        assert!(Arc::ptr_eq(&first, &second));
        for other in [quota("other", "1", None), quota("shared", "2", None), quota("shared", "1", Some("eu-west-1"))] {
            assert!(!Arc::ptr_eq(&first, &Bucket::shared(other, 8.0, 30)));
        }
        let start = Instant::now();
        for _ in 0..5 + 8 {
            drop(second.enter().await);
        }
        assert!((0.99..1.1).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
        drop((first, second));
        let fresh = Bucket::shared(quota("shared", "1", None), 8.0, 30);
        assert!((fresh.level.lock().unwrap().burst - 30.0).abs() < f64::EPSILON);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiter_that_leaves_takes_nothing() {
        let bucket = Bucket::new(1.0, 1);
        drop(bucket.enter().await);
        let gone = tokio::time::timeout(Duration::from_millis(100), bucket.enter()).await;
        assert!(gone.is_err());
        let start = Instant::now();
        drop(bucket.enter().await);
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_shorter_pause_does_not_open_a_longer_one() {
        let mut level = level(10.0, 5.0);
        let now = Instant::now();
        level.shut(now + Duration::from_secs(9));
        level.shut(now + Duration::from_secs(1));
        assert_eq!(level.take(now + Duration::from_secs(2)), Err(now + Duration::from_secs(9)));
        assert_eq!(level.take(now + Duration::from_secs(9)), Ok(()));
    }
}

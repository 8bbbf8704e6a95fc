//! How fast an account is called: a bucket of tokens, one a call, refilled evenly, and shut for as long as the gateway
//! asks. AWS's quota is shared with everybody who calls the account, so ours lies below it.

use std::{sync::Mutex, sync::PoisonError, time::Duration};

use tokio::{
    sync::{Mutex as Turn, Semaphore, SemaphorePermit},
    time::{Instant, sleep_until},
};

/// How many calls of one bucket may be under way at once.
const AT_ONCE: usize = 12;

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
            level: Mutex::new(Level { per_second: per_second.max(0.001), burst, tokens: burst, at: Instant::now() }),
            turn: Turn::new(()),
            under_way: Semaphore::new(AT_ONCE),
        }
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
    use std::sync::Arc;

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

//! The journal in numbers, as it was read last. Reading it is done off the runtime, and seldom: the journal is the
//! agent's, and whoever looks must not slow it down.

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    runtime::Handle,
    task::JoinHandle,
    time::{Instant, timeout},
};

/// It is not read more often than this.
const EVERY: Duration = Duration::from_secs(30);

/// Reading it takes no more than one part in so many of the time.
const SHARE: u32 = 100;

/// So long somebody who wants to know waits for fresh numbers; then the last ones are told.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is known of grants, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    /// Grants by the word of their state.
    pub grants: BTreeMap<&'static str, u64>,
    /// What they take on the disk, in bytes.
    pub bytes: u64,
    /// Pages that cannot be read.
    pub unreadable: u64,
}

/// Where grants are written down.
pub trait Ledger: fmt::Debug + Send + Sync + 'static {
    /// The words of all states that a grant may stand in.
    fn states(&self) -> Vec<&'static str>;

    /// The numbers of `integration`. Blocks, for as long as reading takes.
    fn census(&self, integration: &str) -> io::Result<Census>;

    /// Why it cannot be written now, as far as is known. Does not block.
    fn trouble(&self) -> Option<String>;
}

/// What was read of a ledger last. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub(super) struct Sampler(Arc<Mutex<Sample>>);

#[derive(Debug, Default)]
struct Sample {
    ledger: Option<Arc<dyn Ledger>>,
    read: BTreeMap<String, (Census, SystemTime)>,
    /// When it may be read again.
    due: Option<Instant>,
    under_way: bool,
    took: Duration,
}

impl Sampler {
    fn sample(&self) -> MutexGuard<'_, Sample> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on it is this one that is read.
    pub(super) fn watch(&self, ledger: Arc<dyn Ledger>) {
        self.sample().ledger = Some(ledger);
    }

    pub(super) fn ledger(&self) -> Option<Arc<dyn Ledger>> {
        self.sample().ledger.clone()
    }

    /// What was read of `integration` last, and when.
    pub(super) fn read(&self, integration: &str) -> Option<(Census, SystemTime)> {
        self.sample().read.get(integration).cloned()
    }

    /// How long reading took, the last time.
    pub(super) fn took(&self) -> Duration {
        self.sample().took
    }

    /// Reads again what `integrations` have, if it is time; the numbers are there when what is returned has ended.
    pub(super) fn refresh(&self, integrations: Vec<String>) -> Option<JoinHandle<()>> {
        let runtime = Handle::try_current().ok()?;
        let ledger = {
            let mut sample = self.sample();
            if sample.under_way || sample.due.is_some_and(|due| Instant::now() < due) {
                return None;
            }
            let ledger = sample.ledger.clone()?;
            sample.under_way = true;
            ledger
        };
        let sampler = self.clone();
        Some(runtime.spawn_blocking(move || {
            let under_way = UnderWay { sampler, began: Instant::now() };
            for integration in integrations {
                // One that cannot be read is as it was.
                if let Ok(census) = ledger.census(&integration) {
                    under_way.sampler.sample().read.insert(integration, (census, SystemTime::now()));
                }
            }
        }))
    }

    /// The same, waiting a moment for it.
    pub(super) async fn refreshed(&self, integrations: Vec<String>) {
        if let Some(reading) = self.refresh(integrations) {
            // One that is late, or broke off, has left what was there.
            let _ = timeout(PATIENCE, reading).await;
        }
    }
}

/// A reading that is under way, until it is dropped.
struct UnderWay {
    sampler: Sampler,
    began: Instant,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let took = self.began.elapsed();
        let mut sample = self.sampler.sample();
        (sample.under_way, sample.took) = (false, took);
        sample.due = Some(self.began + (took * SHARE).max(EVERY));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Counted(AtomicU64);

    impl Ledger for Counted {
        fn states(&self) -> Vec<&'static str> {
            vec!["live"]
        }

        fn census(&self, integration: &str) -> io::Result<Census> {
            let bytes = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            if integration == "broken" {
                Err(io::Error::other("no"))
            } else {
                Ok(Census { bytes, ..Census::default() })
            }
        }

        fn trouble(&self) -> Option<String> {
            None
        }
    }

    fn bytes(sampler: &Sampler) -> Option<u64> {
        sampler.read("one").map(|(census, _)| census.bytes)
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_read_every_thirty_seconds_at_most_and_what_cannot_be_read_is_as_it_was() {
        let sampler = Sampler::default();
        assert!(sampler.refresh(vec!["one".into()]).is_none(), "there is nothing to be read");
        sampler.watch(Arc::new(Counted::default()));
        for _ in 0..3 {
            sampler.refreshed(vec!["one".into()]).await;
            assert_eq!(bytes(&sampler), Some(1));
        }
        tokio::time::advance(EVERY).await;
        sampler.refreshed(vec!["broken".into(), "one".into()]).await;
        assert_eq!((bytes(&sampler), sampler.read("broken")), (Some(3), None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_one_is_read_for_a_hundredth_of_the_time() {
        let sampler = Sampler::default();
        sampler.watch(Arc::new(Counted::default()));
        sampler.sample().under_way = true;
        let under_way = UnderWay { sampler: sampler.clone(), began: Instant::now() };
        assert!(sampler.refresh(vec!["one".into()]).is_none(), "it is under way");
        tokio::time::advance(Duration::from_secs(3)).await;
        drop(under_way);
        tokio::time::advance(Duration::from_secs(296)).await;
        assert!(sampler.refresh(vec!["one".into()]).is_none());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(sampler.refresh(vec!["one".into()]).is_some());
    }
}

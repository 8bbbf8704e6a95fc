//! Credentials of one identity: kept while they are good, renewed before they end, and not asked for again at once
//! when they cannot be had. The SDK would ask STS for every call that fails.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, error::CredentialsError, future},
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

use crate::model::{Class, Error};

/// How long getting credentials may take; instance metadata that does not answer needs most of it.
const PATIENCE: Duration = Duration::from_secs(15);
/// Credentials are renewed so long before they end.
const MARGIN: Duration = Duration::from_mins(3);
/// The waits after failures, doubled from the first to the last.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// The least wait after a refusal: only a person mends it.
const DENIED_WAIT: Duration = Duration::from_secs(15);

type Fetch = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Credentials, Error>> + Send>> + Send + Sync>;

/// The credentials of one identity.
pub(super) struct Vault {
    fetch: Fetch,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: Option<Credentials>,
    failure: Option<Failed>,
}

struct Failed {
    class: Class,
    sentence: String,
    in_a_row: u32,
    again: Instant,
}

impl Vault {
    /// Credentials that `fetch` gets.
    pub(super) fn new<F, Fut>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Credentials, Error>> + Send + 'static,
    {
        Self { fetch: Box::new(move || Box::pin(fetch())), state: Mutex::new(State::default()) }
    }

    /// Good credentials, or why there are none. Askers share one fetch; after a failure the same answer is given for a
    /// while without asking anybody.
    pub(super) async fn get(&self) -> Result<Credentials, Error> {
        let mut state = self.state.lock().await;
        let now = SystemTime::now();
        if let Some(kept) = state.kept.as_ref().filter(|kept| lasts(kept, now, MARGIN)) {
            return Ok(kept.clone());
        }
        if let Some(failed) = state.failure.as_ref().filter(|failed| failed.again > Instant::now()) {
            return match state.kept.as_ref().filter(|kept| lasts(kept, now, Duration::ZERO)) {
                Some(kept) => Ok(kept.clone()),
                None => Err(Error::new(failed.class, failed.sentence.clone())),
            };
        }
        let fetched = timeout(PATIENCE, (self.fetch)()).await.unwrap_or_else(|_| {
            Err(Error::unavailable(format!("credentials could not be had within {} s", PATIENCE.as_secs())))
        });
        match fetched {
            Ok(credentials) => {
                state.failure = None;
                state.kept = Some(credentials.clone());
                Ok(credentials)
            }
            Err(error) => {
                let in_a_row = state.failure.as_ref().map_or(0, |failed| failed.in_a_row).saturating_add(1);
                let again = Instant::now() + wait(error.class(), in_a_row);
                let (class, sentence) = (error.class(), error.sentence().to_owned());
                state.failure = Some(Failed { class, sentence, in_a_row, again });
                match state.kept.as_ref().filter(|kept| lasts(kept, SystemTime::now(), Duration::ZERO)) {
                    Some(kept) => {
                        tracing::warn!(error = %error, "credentials could not be renewed; the old ones still last");
                        Ok(kept.clone())
                    }
                    None => Err(error),
                }
            }
        }
    }

    /// Drops what is kept: AWS refused it. What comes next is fetched anew, unless `refused` is no longer kept.
    pub(super) async fn refused(&self, access_key_id: &str) {
        let mut state = self.state.lock().await;
        if state.kept.as_ref().is_some_and(|kept| kept.access_key_id() == access_key_id) {
            state.kept = None;
        }
    }
}

/// Whether credentials are good for `margin` more.
fn lasts(credentials: &Credentials, now: SystemTime, margin: Duration) -> bool {
    credentials.expiry().is_none_or(|expiry| expiry > now + margin)
}

fn wait(class: Class, in_a_row: u32) -> Duration {
    let doubled = WAITS.0.saturating_mul(1 << in_a_row.saturating_sub(1).min(10)).min(WAITS.1);
    if class.is_passing() { doubled } else { doubled.max(DENIED_WAIT) }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault")
    }
}

/// A vault as the SDK asks for credentials.
#[derive(Debug, Clone)]
pub(super) struct FromVault(pub(super) std::sync::Arc<Vault>);

impl ProvideCredentials for FromVault {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { self.0.get().await.map_err(CredentialsError::provider_error) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    fn credentials(id: &str, lasts: Option<Duration>) -> Credentials {
        Credentials::new(id, "s", None, lasts.map(|span| SystemTime::now() + span), "test")
    }

    fn vault(answers: impl Fn(u32) -> Result<Credentials, Error> + Send + Sync + 'static) -> (Arc<AtomicU32>, Vault) {
        let asked = Arc::new(AtomicU32::new(0));
        let vault = Vault::new({
            let asked = asked.clone();
            let answers = Arc::new(answers);
            move || {
                let (asked, answers) = (asked.clone(), answers.clone());
                async move { answers(asked.fetch_add(1, Ordering::SeqCst)) }
            }
        });
        (asked, vault)
    }

    #[tokio::test(start_paused = true)]
    async fn good_credentials_are_fetched_once() {
        let (asked, vault) = vault(|_| Ok(credentials("a", Some(Duration::from_hours(1)))));
        for _ in 0..10 {
            assert_eq!(vault.get().await.unwrap().access_key_id(), "a");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        vault.refused("other").await;
        vault.get().await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        vault.refused("a").await;
        vault.get().await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_not_asked_again_at_once() {
        let (asked, vault) =
            vault(|n| if n < 2 { Err(Error::unavailable("down")) } else { Ok(credentials("a", None)) });
        for _ in 0..50 {
            assert_eq!(vault.get().await.unwrap_err().sentence(), "down");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        tokio::time::advance(Duration::from_millis(1_001)).await;
        assert!(vault.get().await.is_err());
        tokio::time::advance(Duration::from_millis(1_001)).await;
        assert!(vault.get().await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(vault.get().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_that_still_last_outlive_a_failed_renewal() {
        let (asked, vault) =
            vault(
                |n| {
                    if n == 0 { Ok(credentials("a", Some(Duration::from_mins(1)))) } else { Err(Error::denied("no")) }
                },
            );
        for _ in 0..5 {
            assert_eq!(vault.get().await.unwrap().access_key_id(), "a");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn waits_double_and_end() {
        let waits: Vec<u64> = (1..=8).map(|n| wait(Class::Unavailable, n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(wait(Class::Denied, 1), DENIED_WAIT);
    }
}

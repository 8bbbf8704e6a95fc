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

use super::failure::{Cause, Failure};
use crate::model::{Class, Error};

/// How long getting credentials may take; instance metadata that does not answer needs most of it.
const PATIENCE: Duration = Duration::from_secs(15);
/// Credentials are renewed so long before they end, or in the last quarter of their time when that is shorter.
const MARGIN: Duration = Duration::from_mins(3);
/// Whoever hands them out may hand out the same ones until shortly before their end: not asked again for so long.
const SETTLED: Duration = Duration::from_secs(10);
/// Credentials that were refused, fetched anew and refused again are not fetched once more for so long.
const REFUSED_WAIT: Duration = Duration::from_secs(5);
/// The waits after failures, doubled from the first to the last.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// The least wait after a refusal: only a person mends it.
const DENIED_WAIT: Duration = Duration::from_secs(15);

type Fetch = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Credentials, Error>> + Send>> + Send + Sync>;

/// The credentials of one identity.
pub(super) struct Vault {
    /// The plane's id of the integration, for the log.
    integration: String,
    fetch: Fetch,
    /// What a person can do about credentials that are refused, when fetching them again cannot help.
    fixed: Option<&'static str>,
    clock: fn() -> SystemTime,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    kept: Option<Kept>,
    failure: Option<Failed>,
    /// What was refused last, and when.
    refused: Option<(Credentials, Instant)>,
}

struct Kept {
    credentials: Credentials,
    /// From then on better ones are asked for.
    renew: Option<SystemTime>,
}

impl Kept {
    fn new(credentials: Credentials, now: SystemTime) -> Self {
        let renew = credentials.expiry().map(|expiry| renewal(now, expiry));
        Self { credentials, renew }
    }

    fn is_fresh(&self, now: SystemTime) -> bool {
        self.lasts(now) && self.renew.is_none_or(|renew| renew > now)
    }

    fn lasts(&self, now: SystemTime) -> bool {
        self.credentials.expiry().is_none_or(|expiry| expiry > now)
    }
}

/// When credentials that were fetched at `now` and end at `expiry` are to be renewed.
fn renewal(now: SystemTime, expiry: SystemTime) -> SystemTime {
    let left = expiry.duration_since(now).unwrap_or_default();
    now + left.saturating_sub(MARGIN.min(left / 4)).max(SETTLED)
}

struct Failed {
    class: Class,
    sentence: String,
    in_a_row: u32,
    again: Instant,
}

impl Vault {
    /// Credentials of `integration` that `fetch` gets.
    pub(super) fn new<F, Fut>(integration: &str, fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Credentials, Error>> + Send + 'static,
    {
        let fetch: Fetch = Box::new(move || Box::pin(fetch()));
        Self {
            integration: integration.to_owned(),
            fetch,
            fixed: None,
            clock: SystemTime::now,
            state: Mutex::default(),
        }
    }

    /// The same for credentials that cannot change; `advice` says what a person can do when they are refused.
    #[must_use]
    pub(super) fn fixed(self, advice: &'static str) -> Self {
        Self { fixed: Some(advice), ..self }
    }

    /// Good credentials, or why there are none. Askers share one fetch; after a failure the same answer is given for a
    /// while without asking anybody.
    pub(super) async fn get(&self) -> Result<Credentials, Error> {
        let mut state = self.state.lock().await;
        let now = (self.clock)();
        if let Some(kept) = state.kept.as_ref().filter(|kept| kept.is_fresh(now)) {
            return Ok(kept.credentials.clone());
        }
        if let Some(failed) = state.failure.as_ref().filter(|failed| failed.again > Instant::now()) {
            return match state.kept.as_ref().filter(|kept| kept.lasts(now)) {
                Some(kept) => Ok(kept.credentials.clone()),
                None => Err(Error::new(failed.class, failed.sentence.clone())),
            };
        }
        let fetched = timeout(PATIENCE, (self.fetch)()).await.unwrap_or_else(|_| {
            Err(Error::unavailable(format!("credentials could not be had within {} s", PATIENCE.as_secs())))
        });
        let now = (self.clock)();
        match fetched {
            Ok(credentials) => {
                state.failure = None;
                state.kept = Some(Kept::new(credentials.clone(), now));
                Ok(credentials)
            }
            Err(error) => {
                let in_a_row = state.failure.as_ref().map_or(0, |failed| failed.in_a_row).saturating_add(1);
                let again = Instant::now() + wait(error.class(), in_a_row);
                let (class, sentence) = (error.class(), error.sentence().to_owned());
                state.failure = Some(Failed { class, sentence, in_a_row, again });
                // What has ended is of no use to anybody any more.
                state.kept.take_if(|kept| !kept.lasts(now));
                match &state.kept {
                    Some(kept) => {
                        tracing::warn!(
                            integration = self.integration,
                            class = error.class().word(),
                            "credentials could not be renewed; the old ones still last: {error}"
                        );
                        Ok(kept.credentials.clone())
                    }
                    None => Err(error),
                }
            }
        }
    }

    /// AWS refused `credentials`: what comes next is fetched anew, unless others are kept by now or the same ones came
    /// again a moment ago.
    pub(super) async fn refused(&self, credentials: &Credentials) {
        let mut state = self.state.lock().await;
        if state.kept.as_ref().is_none_or(|kept| kept.credentials != *credentials) {
            return;
        }
        let again = state.refused.as_ref().is_some_and(|(old, at)| old == credentials && at.elapsed() < REFUSED_WAIT);
        if !again {
            state.kept = None;
            state.refused = Some((credentials.clone(), Instant::now()));
        }
    }

    /// `failure` of credentials that were refused, with what a person can do about it when new ones will not come by
    /// themselves.
    pub(super) fn advise(&self, failure: Failure) -> Failure {
        match self.fixed.filter(|_| failure.cause == Cause::Credentials) {
            Some(advice) => {
                let error = Error::new(failure.class(), format!("{}. {advice}", failure.error.sentence()));
                Failure { error, ..failure }
            }
            None => failure,
        }
    }
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
        let vault = Vault::new("integration", {
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
        vault.refused(&credentials("other", None)).await;
        vault.get().await.unwrap();
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn refused_ones_are_fetched_anew_and_the_same_ones_not_over_and_over() {
        let (asked, vault) = vault(|n| Ok(credentials(if n < 2 { "a" } else { "b" }, None)));
        let refused = vault.get().await.unwrap();
        for _ in 0..10 {
            vault.refused(&refused).await;
            assert_eq!(vault.get().await.unwrap(), refused, "whoever hands them out has no others");
        }
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        tokio::time::advance(REFUSED_WAIT).await;
        vault.refused(&refused).await;
        assert_eq!(vault.get().await.unwrap().access_key_id(), "b");
        // What another call was refused with meanwhile is not kept any more.
        vault.refused(&refused).await;
        assert_eq!(vault.get().await.unwrap().access_key_id(), "b");
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[test]
    fn they_are_renewed_before_their_end_and_short_ones_not_all_the_time() {
        let (now, secs) = (SystemTime::UNIX_EPOCH, Duration::from_secs);
        for (lasts, renewed) in [(3_600, 3_420), (900, 720), (60, 45), (20, 15), (5, 10), (0, 10)] {
            assert_eq!(renewal(now, now + secs(lasts)), now + secs(renewed), "{lasts}");
            let kept = Kept::new(Credentials::new("a", "s", None, Some(now + secs(lasts)), "test"), now);
            assert!(!kept.is_fresh(now + secs(lasts)), "{lasts}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn they_are_renewed_in_time() {
        static NOW: AtomicU32 = AtomicU32::new(0);
        let clock = || SystemTime::UNIX_EPOCH + Duration::from_secs(NOW.load(Ordering::SeqCst).into());
        let (_, mut vault) = vault(move |n| {
            let expiry = clock() + Duration::from_mins(15);
            if n == 2 {
                Err(Error::unavailable("down"))
            } else {
                Ok(Credentials::new(format!("{n}"), "s", None, Some(expiry), "test"))
            }
        });
        vault.clock = clock;
        for (at, id) in [(0, "0"), (719, "0"), (720, "1"), (1_439, "1"), (1_440, "1"), (1_619, "1")] {
            NOW.store(at, Ordering::SeqCst);
            assert_eq!(vault.get().await.unwrap().access_key_id(), id, "{at}");
        }
        NOW.store(1_620, Ordering::SeqCst);
        assert_eq!(vault.get().await.unwrap_err().sentence(), "down", "they have ended");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(vault.get().await.unwrap().access_key_id(), "3");
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

    #[test]
    fn waits_double_and_end() {
        let waits: Vec<u64> = (1..=8).map(|n| wait(Class::Unavailable, n).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(wait(Class::Denied, 1), DENIED_WAIT);
    }
}

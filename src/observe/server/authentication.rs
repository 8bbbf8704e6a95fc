//! Who may ask: Basic authentication with the users of the settings, and patience with those whose credentials are
//! wrong.
//!
//! A source (an address; of IPv6 its /64) may be wrong three times; then it has to wait before it is listened to again,
//! twice as long after each further time. Nothing is held for that: it is answered at once, and its credentials are not
//! even looked at, right or wrong, so that waiting cannot be saved by trying beside it. Other sources notice nothing.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};
use rand::RngExt as _;
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::settings::Named;

/// How often a source may be wrong before it has to wait.
const FREE: u32 = 3;
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);
/// A source that has not been wrong for so long is as good as new.
const FORGIVEN: Duration = Duration::from_mins(10);
/// Sources that are remembered; the one whose wait is over first makes room.
const SOURCES: usize = 256;
/// Wrong credentials are told of once in so long.
const TOLD_AGAIN: Duration = Duration::from_mins(5);

/// Knows the users, and who was wrong.
pub(super) struct Guard {
    users: Vec<User>,
    salt: [u8; 32],
    sources: Mutex<Sources>,
}

struct User {
    named: Named,
    digest: [u8; 32],
}

#[derive(Default)]
struct Sources {
    by_address: HashMap<IpAddr, Source>,
    /// When wrong credentials were told of last, and how many were not since.
    told: Option<Instant>,
    untold: u64,
}

struct Source {
    wrong: u32,
    last_wrong: Instant,
    /// Until then it is not listened to.
    until: Instant,
}

/// What is to be done with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There are no users: everybody may ask.
    Open,
    /// This user may ask.
    Welcome(String),
    /// It came without credentials.
    Unasked,
    /// Its credentials are wrong.
    Wrong,
    /// Its source has to wait so long; its credentials were not looked at.
    Later(Duration),
}

impl Guard {
    pub(super) fn new(users: Vec<Named>) -> Self {
        let salt: [u8; 32] = rand::rng().random();
        let users = users
            .into_iter()
            .map(|named| User { digest: digest(&salt, named.secret.expose_secret().as_bytes()), named })
            .collect();
        Self { users, salt, sources: Mutex::default() }
    }

    /// Whether anybody is asked for a password.
    pub(super) fn asks(&self) -> bool {
        !self.users.is_empty()
    }

    /// What is to be done with a request from `address`.
    pub(super) fn judge(&self, headers: &HeaderMap, address: IpAddr) -> Verdict {
        if !self.asks() {
            return Verdict::Open;
        }
        let Some(credentials) = basic(headers) else { return Verdict::Unasked };
        let (source, now) = (source(address), Instant::now());
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = sources.by_address.get(&source)
            && known.until > now
        {
            return Verdict::Later(known.until - now);
        }
        if let Some(user) = self.user(&credentials) {
            return Verdict::Welcome(user);
        }
        sources.wrong(source, now);
        Verdict::Wrong
    }

    /// Whose credentials these are. Takes the same steps whether the user is known or not, and compares what is no
    /// secret: digests with a salt that nobody knows.
    fn user(&self, credentials: &[u8]) -> Option<String> {
        let colon = credentials.iter().position(|byte| *byte == b':').unwrap_or(credentials.len());
        let name = String::from_utf8_lossy(&credentials[..colon]);
        let given = digest(&self.salt, credentials.get(colon + 1..).unwrap_or_default());
        let mut found = None;
        for user in &self.users {
            let apart = user.digest.iter().zip(given).fold(0, |apart, (one, other)| apart | (one ^ other));
            if user.named.is_named(&name) && apart == 0 {
                found = Some(user.named.name.clone());
            }
        }
        found
    }
}

impl Sources {
    fn wrong(&mut self, source: IpAddr, now: Instant) {
        match self.by_address.get_mut(&source) {
            Some(known) => {
                known.wrong = if now - known.last_wrong >= FORGIVEN { 1 } else { known.wrong.saturating_add(1) };
                known.last_wrong = now;
                known.until = now + wait(known.wrong);
            }
            None => self.remember(source, Source { wrong: 1, last_wrong: now, until: now }),
        }
        if self.told.is_some_and(|told| now - told < TOLD_AGAIN) {
            self.untold += 1;
            return;
        }
        let more = std::mem::take(&mut self.untold);
        self.told = Some(now);
        tracing::warn!(
            source = %source,
            not_told = more,
            "wrong credentials for the health and node surface: who goes on so has to wait longer and longer; further \
             tries are told of in {} minutes at the earliest. A probe of Kubernetes needs the user and password of \
             services.core.http.authentication.users",
            TOLD_AGAIN.as_secs() / 60
        );
    }

    fn remember(&mut self, source: IpAddr, what: Source) {
        if self.by_address.len() >= SOURCES {
            // Whoever has to wait longest is forgotten last.
            let first = self.by_address.iter().min_by_key(|(_, known)| (known.until, known.last_wrong));
            if let Some(first) = first.map(|(address, _)| *address) {
                self.by_address.remove(&first);
            }
        }
        self.by_address.insert(source, what);
    }
}

/// How long a source has to wait after it was wrong `times` times.
fn wait(times: u32) -> Duration {
    match times.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(doublings) => LONGEST.min(Duration::from_secs(1 << doublings.min(5))),
    }
}

/// Whoever has one address of an IPv6 network has them all.
pub(super) fn source(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// What stands in `Authorization: Basic`; empty when that cannot be read, which nobody's credentials are.
fn basic(headers: &HeaderMap) -> Option<Vec<u8>> {
    let (scheme, text) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| BASE64_STANDARD.decode(text.trim()).unwrap_or_default())
}

fn digest(salt: &[u8], password: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(salt).chain_update(password).finalize().into()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::time::advance;

    use super::*;

    fn guard() -> Guard {
        let user = |name: &str, secret: &str| Named { name: name.into(), secret: secret.into(), any_case: false };
        Guard::new(vec![user("admin", "hunter2"), user("prometheus", "s:crape")])
    }

    fn with(credentials: &str) -> HeaderMap {
        let text = format!("Basic {}", BASE64_STANDARD.encode(credentials));
        HeaderMap::from_iter([(AUTHORIZATION, text.parse().unwrap())])
    }

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    #[tokio::test(start_paused = true)]
    async fn only_the_right_password_of_a_user_is_welcome() {
        let guard = guard();
        assert_eq!(guard.judge(&with("admin:hunter2"), HERE), Verdict::Welcome("admin".into()));
        assert_eq!(guard.judge(&with("prometheus:s:crape"), HERE), Verdict::Welcome("prometheus".into()));
        assert_eq!(guard.judge(&HeaderMap::new(), HERE), Verdict::Unasked);
        let wrong =
            ["admin:", "admin", "", ":hunter2", "admin:hunter", "Admin:hunter2", "prometheus:hunter2", "\u{0}:x"];
        for (n, credentials) in wrong.iter().enumerate() {
            let from = IpAddr::V4(Ipv4Addr::new(10, 1, 0, u8::try_from(n).unwrap()));
            assert_eq!(guard.judge(&with(credentials), from), Verdict::Wrong, "{credentials}");
        }
        let odd = HeaderMap::from_iter([(AUTHORIZATION, "Basic %%%".parse().unwrap())]);
        assert_eq!(guard.judge(&odd, THERE), Verdict::Wrong);
        assert_eq!(Guard::new(Vec::new()).judge(&HeaderMap::new(), HERE), Verdict::Open);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_wrong_again_and_again_waits_longer_and_others_do_not() {
        let guard = guard();
        let mut waited = Vec::new();
        for n in 0..10 {
            assert_eq!(guard.judge(&with("admin:guess"), HERE), Verdict::Wrong);
            if n >= FREE {
                let later = guard.judge(&with("admin:hunter2"), HERE);
                let Verdict::Later(wait) = later else { panic!("{later:?}") };
                waited.push(wait.as_secs());
                advance(wait).await;
            }
            assert_eq!(guard.judge(&with("admin:hunter2"), THERE), Verdict::Welcome("admin".into()));
        }
        assert_eq!(waited, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(guard.judge(&with("admin:hunter2"), HERE), Verdict::Welcome("admin".into()));
        // Being right in between does not open the door for more guesses.
        assert_eq!(guard.judge(&with("admin:guess"), HERE), Verdict::Wrong);
        assert!(matches!(guard.judge(&with("admin:hunter2"), HERE), Verdict::Later(_)));
        advance(FORGIVEN).await;
        assert_eq!(guard.judge(&with("admin:guess"), HERE), Verdict::Wrong);
        assert_eq!(guard.judge(&with("admin:hunter2"), HERE), Verdict::Welcome("admin".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_from_many_sources_costs_no_memory_and_frees_no_guesser() {
        let guard = guard();
        for _ in 0..8 {
            let _ = guard.judge(&with("admin:guess"), HERE);
            advance(Duration::from_secs(1)).await;
        }
        assert!(matches!(guard.judge(&with("admin:guess"), HERE), Verdict::Later(_)));
        for n in 0..10_000_u32 {
            guard.judge(&with("admin:guess"), IpAddr::V4(Ipv4Addr::from_bits(0x0a80_0000 + n)));
        }
        assert_eq!(guard.sources.lock().unwrap().by_address.len(), SOURCES);
        assert!(matches!(guard.judge(&with("admin:guess"), HERE), Verdict::Later(_)));
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let of = |text: &str| source(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), HERE);
    }
}

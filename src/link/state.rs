//! Where the link stands, and every way from one stand to the next, with the line that each writes to the log.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, SystemTime},
};

use tokio::{sync::watch, time::Instant};
use tracing::{debug, info, warn};

use super::{Endpoint, Session, policy::End};
use crate::observe::{Parting, Recorder};

/// How often a link that cannot connect, for always the same reasons, says so again.
const REMINDER: Duration = Duration::from_mins(10);

/// So many sessions in a row that died young are not told of one by one any more.
const FLAPPING: u32 = 2;

/// Reasons that are remembered within one outage.
const REASONS: usize = 32;

/// Where the link stands; watched by whoever needs a session and by `/readyz`.
#[derive(Debug, Clone)]
pub enum State {
    /// Dialling, upgrading or saying HELLO.
    Connecting {
        /// Which endpoint.
        endpoint: String,
    },
    /// HELLO has been answered; the console shows *Connected*.
    Connected {
        /// Since when.
        since: SystemTime,
        /// The session.
        session: Session,
    },
    /// Between two tries.
    Waiting {
        /// Since when it has not been connected.
        since: SystemTime,
        /// Why the last try or session ended, for a person.
        why: String,
    },
    /// Told to stay away; alive and saying so.
    Away {
        /// Since when.
        since: SystemTime,
    },
    /// Shut down.
    Closed,
}

/// A new link's state, to be told and to be watched.
pub fn states() -> (watch::Sender<State>, watch::Receiver<State>) {
    watch::channel(State::Waiting { since: SystemTime::now(), why: "no try has been made yet".into() })
}

/// The only one who moves the state.
pub(super) struct Life<'a> {
    states: &'a watch::Sender<State>,
    integration: &'a str,
    recorder: &'a Recorder,
    provider: &'a str,
    /// When the try under way began.
    begun: Instant,
    /// Since when it has not been connected: for people, and for counting.
    lost: (SystemTime, Instant),
    /// Whether there ever was a session.
    was_connected: bool,
    /// How many sessions in a row died young.
    brief: u32,
    outage: Outage,
}

/// What has been said since the last session; of sessions that die young one after the other, since the last that held.
#[derive(Default)]
struct Outage {
    tries: u32,
    reasons: BTreeSet<String>,
    reminded: Option<Instant>,
}

impl<'a> Life<'a> {
    pub(super) fn new(
        states: &'a watch::Sender<State>,
        integration: &'a str,
        provider: &'a str,
        recorder: &'a Recorder,
    ) -> Self {
        let lost = (SystemTime::now(), Instant::now());
        Self {
            states,
            integration,
            provider,
            recorder,
            begun: lost.1,
            lost,
            was_connected: false,
            brief: 0,
            outage: Outage::default(),
        }
    }

    /// A try begins.
    pub(super) fn connecting(&mut self, endpoint: &Endpoint) {
        self.outage.tries = self.outage.tries.saturating_add(1);
        self.begun = Instant::now();
        if self.outage.tries == 1 && !self.is_flapping() {
            info!(integration = self.integration, %endpoint, "connecting to the plane");
        } else {
            debug!(integration = self.integration, %endpoint, try_number = self.outage.tries, "connecting to the plane");
        }
        self.recorder.connecting(&endpoint.to_string());
        self.states.send_replace(State::Connecting { endpoint: endpoint.to_string() });
    }

    /// HELLO has been answered.
    pub(super) fn connected(&mut self, endpoint: &Endpoint, session: Session) {
        let tries = self.outage.tries;
        if self.is_flapping() {
            debug!(integration = self.integration, %endpoint, tries, "connected to the plane once more");
        } else if self.was_connected || tries > 1 {
            let away = whole_seconds(self.lost.1.elapsed());
            info!(integration = self.integration, %endpoint, tries, away, "connected to the plane again");
        } else {
            let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            info!(
                integration = self.integration,
                provider = self.provider,
                %endpoint,
                millis,
                "connected to the plane"
            );
        }
        self.was_connected = true;
        if self.is_flapping() {
            self.outage.tries = 0;
        } else {
            self.outage = Outage::default();
        }
        self.recorder.connected();
        self.states.send_replace(State::Connected { since: SystemTime::now(), session });
    }

    /// The session has lived long enough to be trusted: what was said before it may be said again.
    pub(super) fn settled(&mut self) {
        if self.is_flapping() {
            info!(integration = self.integration, "connected to the plane again, and the session holds");
        }
        self.brief = 0;
        self.outage = Outage::default();
    }

    /// A session has ended; what comes next is said by whoever calls next.
    pub(super) fn lost(&mut self, end: &End) {
        // Counts for nothing after `settled`, which makes it nought.
        self.brief = self.brief.saturating_add(1);
        self.lost = (SystemTime::now(), Instant::now());
        self.recorder.parted(parting(end));
        self.states.send_replace(State::Waiting { since: self.lost.0, why: why(end) });
    }

    /// The next try comes after `delay`.
    pub(super) fn waiting(&mut self, end: &End, delay: Duration) {
        match end {
            End::Failed(error) => self.reason(error.class().word(), error.sentence(), delay),
            End::GoodBye { .. } if self.is_flapping() => self.reason("good-bye", &why(end), delay),
            End::GoodBye { .. } | End::Shutdown => {
                let next_try_in = in_words(delay);
                info!(integration = self.integration, next_try_in, "{}; connecting again", why(end));
            }
        }
        self.recorder.parted(parting(end));
        self.states.send_replace(State::Waiting { since: self.lost.0, why: why(end) });
    }

    /// The plane wants us gone.
    pub(super) fn away(&mut self) {
        warn!(
            integration = self.integration,
            "the plane said good bye for good: this agent stays away and alive. Restart it to connect again, or set \
             gravitee_integration_connector_ws_autoReconnect=true to have it come back by itself"
        );
        self.recorder.away();
        self.states.send_replace(State::Away { since: self.lost.0 });
    }

    /// Still so.
    pub(super) fn still_away(&self) {
        let since = whole_seconds(self.lost.1.elapsed());
        info!(
            integration = self.integration,
            since, "still staying away, as the plane asked; restart the agent to connect again"
        );
    }

    /// The end.
    pub(super) fn closed(&mut self) {
        info!(integration = self.integration, "the link is closed");
        self.recorder.closed();
        self.states.send_replace(State::Closed);
    }

    fn is_flapping(&self) -> bool {
        self.brief >= FLAPPING
    }

    /// Each reason is told once an outage; all of them together again every ten minutes.
    fn reason(&mut self, class: &str, error: &str, delay: Duration) {
        let next_try_in = in_words(delay);
        let known = self.outage.reasons.contains(error);
        if !known && self.outage.reasons.len() < REASONS {
            self.outage.reasons.insert(error.to_owned());
            self.outage.reminded.get_or_insert_with(Instant::now);
            warn!(integration = self.integration, class, next_try_in, "not connected: {error}");
        } else if self.outage.reminded.is_none_or(|last| last.elapsed() >= REMINDER) {
            self.outage.reminded = Some(Instant::now());
            let since = whole_seconds(self.lost.1.elapsed());
            let (tries, sessions) = (self.outage.tries, self.brief);
            if self.is_flapping() {
                warn!(
                    integration = self.integration,
                    class, next_try_in, sessions, "connected again and again, and lost each time: {error}"
                );
            } else {
                warn!(integration = self.integration, class, next_try_in, since, tries, "still not connected: {error}");
            }
        } else {
            debug!(integration = self.integration, class, next_try_in, "not connected: {error}");
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connecting { endpoint } => write!(f, "connecting to {endpoint}"),
            Self::Connected { .. } => f.write_str("connected"),
            Self::Waiting { why, .. } => write!(f, "not connected: {why}"),
            Self::Away { .. } => f.write_str("staying away, as the plane asked"),
            Self::Closed => f.write_str("closed"),
        }
    }
}

fn why(end: &End) -> String {
    match end {
        End::Failed(error) => error.sentence().to_owned(),
        End::GoodBye { reconnect: true } => "the plane said good bye and wants this agent back".to_owned(),
        End::GoodBye { reconnect: false } => "the plane said good bye for good".to_owned(),
        End::Shutdown => "this agent is shutting down".to_owned(),
    }
}

fn parting(end: &End) -> Parting {
    match end {
        End::Failed(error) => Parting::Failed(error.class()),
        End::GoodBye { reconnect: true } => Parting::GoodBye,
        End::GoodBye { reconnect: false } => Parting::GoodByeForGood,
        End::Shutdown => Parting::Shutdown,
    }
}

fn whole_seconds(span: Duration) -> String {
    humantime::format_duration(Duration::from_secs(span.as_secs())).to_string()
}

/// Whole seconds; of less than one, whole milliseconds.
fn in_words(span: Duration) -> String {
    if span >= Duration::from_secs(1) {
        return whole_seconds(span);
    }
    humantime::format_duration(Duration::from_millis(span.subsec_millis().into())).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_told_in_whole_seconds_and_a_short_one_in_milliseconds() {
        for (span, words) in [
            (Duration::from_micros(262_764_123), "4m 22s"),
            (Duration::from_millis(1_999), "1s"),
            (Duration::from_micros(764_900), "764ms"),
            (Duration::ZERO, "0s"),
        ] {
            assert_eq!(in_words(span), words, "{span:?}");
        }
    }
}

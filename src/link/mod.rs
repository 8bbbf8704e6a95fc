//! The websocket to the controller: dial, session, reconnect. Knows messages, not what they mean.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `policy` | whether and when to try again: pure |
//! | `state` | where the link stands, and every way on from there |
//! | `dial`, `proxy`, `tls`, `trust`, `store` | the way to a stream |
//! | `upgrade` | from a stream to a websocket, and what refusals mean |
//! | `wire` | frames in and out, both at once |
//! | `conversation` | one session, from HELLO to its end |
//! | `guard` | what of the plane's commands and texts is let through |
//! | `probe`, `certificate` | the same way in, once, step by step, and what is seen on it |

mod certificate;
mod conversation;
mod dial;
mod endpoint;
#[doc(hidden)]
pub mod fuzz;
mod guard;
mod policy;
mod probe;
mod proxy;
mod serve;
mod session;
mod state;
mod store;
#[cfg(test)]
mod tests;
mod tls;
mod trust;
mod upgrade;
mod wire;

pub use certificate::{Age, Certificate, Presented, own_certificate, roughly};
pub use dial::{BoxStream, Dial, LookedUp, Network, Stream};
pub use endpoint::Endpoint;
pub use probe::{Seen, Step, Tried, probe, probe_one};
pub(crate) use serve::{server_tls, tls_to_ourselves};
pub use session::{AskError, Gone, Outgoing, Session, SessionEnd, pair};
pub use state::{State, states};
pub use store::certificates;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    exchange::Command,
    model::Error,
    observe::Recorder,
    settings::{Connector, Retry},
};
use conversation::{Conversation, Ending};
use guard::Load;
use policy::{End, Lane, Pace};
use probe::within;
use state::Life;

/// How often a link that was told to stay away says that it does.
const AWAY_REMINDER: Duration = Duration::from_hours(1);

/// Who takes the plane's commands. HELLO, HEALTH_CHECK, PRIMARY and GOOD_BYE never reach it: the link answers them.
pub trait Receiver: Send + Sync + 'static {
    /// `command` has come in on `session`. Must return at once: work is spawned.
    fn command(self: Arc<Self>, command: Command, session: Session);
}

/// What one link needs to know.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// Endpoints, headers, TLS, proxy.
    pub connector: Connector,
    /// Its pace.
    pub retry: Retry,
    /// The plane's id of the integration.
    pub integration_id: String,
    /// The provider's type, as the plane knows it.
    pub provider: String,
}

/// The link of one integration, through all its sessions.
pub struct Link {
    settings: LinkSettings,
    endpoints: Vec<Endpoint>,
    dial: Arc<dyn Dial>,
    receiver: Arc<dyn Receiver>,
    states: watch::Sender<State>,
    detail: Option<watch::Receiver<Option<String>>>,
    seed: u64,
    load: Load,
    recorder: Recorder,
}

impl Link {
    /// A link that hands the plane's commands to `receiver`. `seed` gives the chance in its delays. Faults: an endpoint
    /// or a header that cannot be used.
    pub fn new(
        settings: LinkSettings,
        dial: Arc<dyn Dial>,
        receiver: Arc<dyn Receiver>,
        seed: u64,
    ) -> Result<Self, Error> {
        let endpoints = settings.connector.endpoints.iter().map(Endpoint::new).collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(Error::invalid("no endpoint is set (gravitee_integration_connector_ws_endpoints_0)"));
        }
        upgrade::checked(&settings.connector.headers)?;
        let (states, _) = states();
        let load = Load::new(settings.connector.limits.message);
        Ok(Self {
            settings,
            endpoints,
            dial,
            receiver,
            states,
            detail: None,
            seed,
            load,
            recorder: Recorder::default(),
        })
    }

    /// The same link telling its state to `states`, for a receiver that had to know the state before the link was made.
    #[must_use]
    pub fn telling(mut self, states: watch::Sender<State>) -> Self {
        self.states = states;
        self
    }

    /// The same link with a text for the plane's health checks: what a person should know about the gateway.
    #[must_use]
    pub fn with_detail(mut self, detail: watch::Receiver<Option<String>>) -> Self {
        self.detail = Some(detail);
        self
    }

    /// The same link telling `recorder` of its sessions.
    #[must_use]
    pub fn recording(mut self, recorder: Recorder) -> Self {
        self.recorder = recorder;
        self
    }

    /// Where the link stands, now and from now on.
    pub fn state(&self) -> watch::Receiver<State> {
        self.states.subscribe()
    }

    /// Connects, and connects again, until `shutdown`; then closes with 1000. Whoever shuts down has drained before.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut life = Life::new(&self.states, &self.settings.integration_id, &self.settings.provider, &self.recorder);
        let mut pace = Pace::new(self.settings.retry, self.seed);
        let mut turn = 0_usize;
        loop {
            let count = self.endpoints.len();
            let Some(endpoint) = self.endpoints.get(turn % count.max(1)) else { break };
            // A fault of ours costs the session it happened in, not the link.
            let Ending { end, lived } =
                AssertUnwindSafe(self.once(endpoint, &mut life, &shutdown)).catch_unwind().await.unwrap_or_else(|_| {
                    let error = Error::bug("a fault of this program ended the session; please report what it printed");
                    Ending { end: End::Failed(error), lived: None }
                });
            if matches!(end, End::Shutdown) {
                break;
            }
            turn = if lived.is_some() { 0 } else { turn.wrapping_add(1) };
            let mut lane = policy::lane(&end, self.settings.connector.auto_reconnect);
            // The slow lane is for when every endpoint has been asked.
            if lane == Lane::Slow && !turn.is_multiple_of(count) {
                lane = Lane::BackOff;
            }
            let Some(delay) = pace.next(lane, lived) else {
                life.away();
                while !is_cut_short(&shutdown, AWAY_REMINDER).await {
                    life.still_away();
                }
                break;
            };
            life.waiting(&end, delay);
            if is_cut_short(&shutdown, delay).await {
                break;
            }
        }
        life.closed();
    }

    /// One try, and the session that it becomes.
    async fn once(&self, endpoint: &Endpoint, life: &mut Life<'_>, shutdown: &CancellationToken) -> Ending {
        life.connecting(endpoint);
        let wire = tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ending { end: End::Shutdown, lived: None },
            wire = self.enter(endpoint) => wire,
        };
        let wire = match wire {
            Ok(wire) => wire,
            Err(error) => return Ending { end: End::Failed(error), lived: None },
        };
        let (settings, receiver, detail) = (&self.settings, &self.receiver, self.detail.as_ref());
        let (load, recorder) = (&self.load, &self.recorder);
        Conversation { settings, endpoint, receiver, detail, life, shutdown, load, recorder }.hold(wire).await
    }

    /// The way in: connection, TLS, upgrade, each with its own time limit.
    async fn enter(&self, endpoint: &Endpoint) -> Result<wire::Wire, Error> {
        let limit = self.settings.retry.handshake;
        let connector = &self.settings.connector;
        let dial = &*self.dial;
        let mut stream = within(limit, dial, endpoint, Step::Connect, dial.connect(endpoint)).await?;
        if endpoint.secure {
            stream = within(limit, dial, endpoint, Step::Tls, dial.secure(stream, endpoint)).await?;
        }
        let upgrading = upgrade::upgrade(stream, endpoint, &connector.headers, connector.limits);
        within(limit, dial, endpoint, Step::Upgrade, upgrading).await
    }
}

/// Waits for `delay`; whether a shutdown came first.
async fn is_cut_short(shutdown: &CancellationToken, delay: Duration) -> bool {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => true,
        () = sleep(delay) => false,
    }
}

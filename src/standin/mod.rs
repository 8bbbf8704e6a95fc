//! An AWS API Gateway stand-in of our own, for the demo and for what real peers will not do (throttle, fail, lie).
//!
//! Three faces on one plain-HTTP listener: API Gateway's control plane (`/restapis`, `/usageplans`, `/apikeys`) and
//! STS (`POST /`), both by account (the access key) and region (the signature's scope); the call side
//! (`/execute/{REST API}/{stage}/…`), which checks `x-api-key`; and its own: `GET /standin/state` counts, and
//! `POST /standin/withhold/{verb}/{path}` has the next such call carried out and never answered, for who kills a caller
//! in the midst of it from outside.
//!
//! It follows AWS where that is known, and the same suite runs against it and against a peer of other hands
//! (`tests/aws.rs`). What it does not do: check signatures, evaluate policies, throttle the call side.

mod answer;
mod apis;
mod estate;
mod execute;
mod export;
mod fault;
mod identity;
mod keys;
mod operation;
mod plans;
mod query;
mod record;
mod samples;
mod serve;
mod sts;

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rand::{SeedableRng, rngs::StdRng};
use tokio::{net::TcpListener, sync::watch, time::Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use estate::{Account, Estate, Method, Region, RestApi, Stage, UsagePlan};
pub use fault::{Failure, Fault};
pub use identity::{Principal, Role};
pub use keys::ApiKey;
pub use operation::Operation;
pub use record::Request;
pub use samples::{ACCOUNT, REGION};

/// What a stand-in begins with.
#[derive(Debug, Default)]
pub struct GatewaySettings {
    /// What stands in it.
    pub estate: Estate,
    /// How many calls each account may make; `None`: any number.
    pub pace: Option<Pace>,
    /// Where ids and key values come from; `None`: other ones each time.
    pub seed: Option<u64>,
}

/// How many calls an account may make before it gets 429 `TooManyRequestsException`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Calls a second.
    pub per_second: f64,
    /// Calls at once.
    pub burst: f64,
}

impl Pace {
    /// What AWS allows: 10 a second, 40 at once.
    pub const AWS: Self = Self { per_second: 10.0, burst: 40.0 };
}

/// A running stand-in. Clones are the same one; it ends when the last of them is dropped.
#[derive(Clone)]
pub struct Gateway {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    _guard: Arc<DropGuard>,
}

/// What all connections share.
struct Shared {
    world: Mutex<World>,
    /// How many requests have come and been answered; changes with each.
    turns: watch::Sender<u64>,
}

/// What stands behind the one lock. Held for the time of one operation, never across a wait.
struct World {
    estate: Estate,
    faults: Vec<Fault>,
    record: Record,
    pace: Option<Pace>,
    buckets: BTreeMap<String, (f64, Instant)>,
    chance: StdRng,
    served: u64,
}

use record::Record;

impl Gateway {
    /// Listens on `address` (port 0: a free one) and serves from now on.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub async fn bind(address: SocketAddr, settings: GatewaySettings) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            world: Mutex::new(World {
                estate: settings.estate,
                faults: Vec::new(),
                record: Record::default(),
                pace: settings.pace,
                buckets: BTreeMap::new(),
                chance: settings.seed.map_or_else(rand::make_rng, StdRng::seed_from_u64),
                served: 0,
            }),
            turns: watch::Sender::new(0),
        });
        let stop = CancellationToken::new();
        tokio::spawn(serve::accept(listener, Arc::clone(&shared), stop.clone()));
        Ok(Self { address, shared, _guard: Arc::new(stop.clone().drop_guard()), stop })
    }

    /// A stand-in on a free loopback port.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(estate: Estate) -> io::Result<Self> {
        Self::bind(([127, 0, 0, 1], 0).into(), GatewaySettings { estate, ..GatewaySettings::default() }).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What `AWS_ENDPOINT_URL` is set to.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where an API's stage is called: `{url}/execute/{REST API}/{stage}`.
    pub fn call_url(&self, api_id: &str, stage: &str) -> String {
        format!("{}/execute/{api_id}/{stage}", self.url())
    }

    /// Serves until `shutdown` ends, then closes every connection.
    pub async fn serve_until(self, shutdown: impl Future<Output = ()>) {
        shutdown.await;
        self.stop();
    }

    /// Closes the listener and every connection, whoever else holds a clone.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Looks at the estate, or changes it.
    pub fn with<R>(&self, change: impl FnOnce(&mut Estate) -> R) -> R {
        change(&mut self.shared.world().estate)
    }

    /// Adds a rule of what goes wrong; rules are tried in the order in which they were added.
    pub fn fault(&self, fault: Fault) {
        self.shared.world().faults.push(fault);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.shared.world().faults.clear();
    }

    /// Every request so far (the last 20,000), in the order in which they came.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.world().record.requests()
    }

    /// How many calls there were, by operation.
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.shared.world().record.calls()
    }

    /// How many calls of this operation there were.
    pub fn count(&self, operation: Operation) -> u64 {
        self.calls().get(operation.name()).copied().unwrap_or_default()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.shared.world().record.forget();
    }

    /// Waits until `done` says so of the requests so far; asked again whenever one comes in or is answered.
    pub async fn until(&self, mut done: impl FnMut(&[Request]) -> bool) {
        let mut turns = self.shared.turns.subscribe();
        loop {
            turns.mark_unchanged();
            if done(&self.requests()) || turns.changed().await.is_err() {
                return;
            }
        }
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Shared {
    /// The world; a panic elsewhere does not take it away.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self) {
        self.turns.send_modify(|turn| *turn += 1);
    }
}

impl World {
    /// Takes a call out of the account's bucket; false when there is none left.
    fn takes(&mut self, account: &str) -> bool {
        let Some(pace) = self.pace else { return true };
        let now = Instant::now();
        let (left, since) = self.buckets.entry(account.to_owned()).or_insert((pace.burst, now));
        *left = (*left + now.duration_since(*since).as_secs_f64() * pace.per_second).min(pace.burst);
        *since = now;
        let enough = *left >= 1.0;
        if enough {
            *left -= 1.0;
        }
        enough
    }
}

//! The health and node surface: a small HTTP server, loopback by default.
//!
//! `/livez` says that the process goes on, whatever the plane and the gateways do, and how many tasks it has; `/readyz`
//! says whether every integration has a live session, and which has not, since when and why. Both are for orchestrators
//! and ask nobody for a password. `/` is the status page, `/status` its data, `/metrics` is for Prometheus, and `/_node`
//! is what Gravitee's own agents have there.

mod answer;
mod authentication;
mod levels;
mod monitor;
mod node;
mod routes;
#[cfg(test)]
mod tests;

pub use levels::Levels;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    time::{Instant, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Board, Vitals};
use crate::settings::Named;
use routes::Shared;

/// Connections served at once. One more, and the oldest of the address that has most is closed: clients that say nothing
/// must not keep a probe out, from wherever they are.
const CONNECTIONS: usize = 32;
/// Connections of one address (of IPv6 its /64). One more, and its oldest is closed: behind a router's address there may be
/// the probe as well.
const OF_ONE_ADDRESS: usize = 16;
/// Connections there are at once, with those that were told to close and have not yet.
const PLACES: usize = 2 * CONNECTIONS;
/// How long a client may take for TLS, and to send its request's head.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection may live in all.
const CONNECTION: Duration = Duration::from_secs(10);
/// The longest head of a request.
const LONGEST_HEAD: usize = 16 * 1024;
/// How long nothing is accepted after accepting failed (out of file descriptors).
const PAUSE: Duration = Duration::from_millis(100);

/// What the surface has to tell, and to whom.
pub struct Surface {
    /// Where the integrations stand.
    pub board: Board,
    /// Whether the process goes on.
    pub vitals: Vitals,
    /// The version, as `--version` prints it.
    pub version: String,
    /// The plane's ids of the integrations.
    pub integrations: Vec<String>,
    /// The id of this process.
    pub id: String,
    /// When it started.
    pub started: Instant,
    /// The settings as they stand, masked, by Gravitee's property.
    pub configuration: BTreeMap<String, String>,
    /// Whether `/_node/metrics/prometheus` is served.
    pub prometheus: bool,
    /// The levels of the log.
    pub levels: Levels,
    /// Who may ask; empty: everybody.
    pub users: Vec<Named>,
}

impl fmt::Debug for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surface").field("id", &self.id).field("users", &self.users).finish_non_exhaustive()
    }
}

/// A surface that is bound and not yet served.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Takes the address. The error is the system's: taken, not ours, not allowed.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, tls: None })
    }

    /// The same by TLS, when there is a certificate.
    #[must_use]
    pub fn with_tls(self, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        Self { tls: tls.map(TlsAcceptor::from), ..self }
    }

    /// Where it listens; the port is the one taken when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers from `surface` until `shutdown`.
    pub async fn serve(self, surface: Surface, shutdown: CancellationToken) {
        let shared = Arc::new(Shared::new(surface, self.address.ip().to_canonical().is_loopback()));
        let (places, addresses) = (Arc::new(Semaphore::new(PLACES)), Arc::new(Addresses::default()));
        loop {
            let accepted = async {
                // The semaphore is never closed.
                let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
                Ok::<_, io::Error>((self.listener.accept().await?, place))
            };
            let ((stream, peer), place) = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = accepted => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::debug!(%error, "the health surface cannot accept a connection");
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            let taken = addresses.take(authentication::source(peer.ip()));
            let (shared, tls) = (Arc::clone(&shared), self.tls.clone());
            tokio::spawn(async move {
                let _place = place;
                let conversation = async {
                    match tls {
                        None => converse(stream, peer.ip(), &shared).await,
                        // Whoever does not get through it is not our trouble: a probe that speaks no TLS, a scanner.
                        Some(tls) => {
                            if let Ok(Ok(stream)) = timeout(HEAD, tls.accept(stream)).await {
                                converse(stream, peer.ip(), &shared).await;
                            }
                        }
                    }
                };
                taken.closed.run_until_cancelled(conversation).await;
            });
        }
    }
}

/// Answers the one request that comes on `stream` from `address`.
async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, address: IpAddr, shared: &Shared) {
    let service = service_fn(async |request| Ok::<_, Infallible>(shared.answer(request, address).await));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LONGEST_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A client that goes away or never ends its request is not our trouble.
    let _ = timeout(CONNECTION, connection).await;
}

/// The connections, by age.
#[derive(Default)]
struct Addresses(Mutex<Vec<Arc<One>>>);

/// One of them.
struct One {
    address: IpAddr,
    closed: CancellationToken,
}

/// A connection's place, until it is dropped.
struct Taken {
    of: Arc<Addresses>,
    one: Arc<One>,
    /// Cancelled when another one needs the place.
    closed: CancellationToken,
}

impl Addresses {
    /// One more of `address`; when that is too many, another one is closed.
    fn take(self: &Arc<Self>, address: IpAddr) -> Taken {
        let mut all = self.all();
        let count = |address: IpAddr| all.iter().filter(|one| one.address == address).count();
        let crowded = if count(address) >= OF_ONE_ADDRESS {
            Some(address)
        } else if all.len() >= CONNECTIONS {
            all.iter().map(|one| one.address).max_by_key(|address| count(*address))
        } else {
            None
        };
        if let Some(oldest) = crowded.and_then(|address| all.iter().position(|one| one.address == address)) {
            all.remove(oldest).closed.cancel();
        }
        let closed = CancellationToken::new();
        let one = Arc::new(One { address, closed: closed.clone() });
        all.push(Arc::clone(&one));
        Taken { of: Arc::clone(self), one, closed }
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<One>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.of.all().retain(|one| !Arc::ptr_eq(one, &self.one));
    }
}

//! To an endpoint and into TLS: the real network, behind a trait that tests replace by streams in memory.

use std::{
    collections::BTreeSet,
    io,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rustls::{ClientConfig, ProtocolVersion, client::Resumption, pki_types::ServerName};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::Url;

use super::{Endpoint, certificate::Presented, proxy, tls, trust};
use crate::{
    exchange::Limits,
    model::Error,
    settings::{Connector, Fault, Faults, Proxy, ProxyEnvironment, Tls},
};

/// How long one address is tried alone before the next one is tried beside it.
const STAGGER: Duration = Duration::from_millis(250);

/// A connection of any kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection of any kind, on the heap.
pub type BoxStream = Box<dyn Stream>;

/// How an endpoint is reached. The link puts a time limit on each of the two steps.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// A connection to `endpoint`, not yet encrypted.
    async fn connect(&self, endpoint: &Endpoint) -> Result<BoxStream, Error>;

    /// `stream` with TLS around it; asked for only where the endpoint is [secure](Endpoint::secure).
    async fn secure(&self, stream: BoxStream, endpoint: &Endpoint) -> Result<BoxStream, Error>;

    /// The proxy that stands before `endpoint`, for a person; `None` when there is none.
    fn through(&self, _endpoint: &Endpoint) -> Option<String> {
        None
    }

    /// Why there is none.
    fn why_straight(&self, _endpoint: &Endpoint) -> &'static str {
        "no setting names one"
    }

    /// Looks up the name that is dialled: the proxy's, where there is one. `None`: there is nothing to look up.
    async fn look_up(&self, _endpoint: &Endpoint) -> Option<Result<LookedUp, Error>> {
        None
    }

    /// [`secure`](Self::secure), and what the other end showed, also when it is not trusted.
    async fn examine(&self, stream: BoxStream, endpoint: &Endpoint) -> (Result<BoxStream, Error>, Presented) {
        (self.secure(stream, endpoint).await, Presented::default())
    }
}

/// A name and its addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookedUp {
    /// The name.
    pub name: String,
    /// Its addresses, as the system's name service orders them.
    pub addresses: Vec<IpAddr>,
}

/// The real network: TCP, straight or through a proxy, and TLS as the settings say.
pub struct Network {
    routes: Vec<Way>,
    tls: Option<tls::Client>,
    user_timeout: Duration,
}

/// How an endpoint is reached.
struct Way {
    endpoint: Endpoint,
    route: Option<proxy::Route>,
    /// Why there is no proxy, where there is none.
    straight: &'static str,
}

impl Network {
    /// The network as `connector` and the proxy variables set it. Certificates are read here, once. All faults are
    /// told at once, each by the variable that is to be mended. `silence` is how long sent bytes may stay unacknowledged.
    pub fn new(connector: &Connector, proxies: &ProxyEnvironment, silence: Duration) -> Result<Self, Faults> {
        Self::to(Endpoint::new, connector, proxies, silence)
    }

    /// The network to gateways at `urls`, trusting what the system trusts and what `extra_ca` holds: for `check`, which
    /// tries the way there. Faults are told as [`new`](Self::new) does.
    pub fn to_gateways(
        urls: Vec<Url>,
        extra_ca: Option<PathBuf>,
        proxies: &ProxyEnvironment,
        silence: Duration,
    ) -> Result<Self, Faults> {
        let connector = Connector {
            endpoints: urls,
            headers: Vec::new(),
            auto_reconnect: false,
            limits: Limits::default(),
            tls: Tls { extra_ca, ..Tls::default() },
            proxy: Proxy::Environment,
        };
        Self::to(Endpoint::of_gateway, &connector, proxies, silence)
    }

    fn to(
        endpoint: fn(&Url) -> Result<Endpoint, Error>,
        connector: &Connector,
        proxies: &ProxyEnvironment,
        silence: Duration,
    ) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let mut routes = Vec::new();
        for url in &connector.endpoints {
            let wrong = |error: Error| Fault {
                variable: "gravitee_integration_connector_ws_endpoints".into(),
                found: None,
                says: error.sentence().to_owned(),
            };
            let route = endpoint(url).map_err(wrong).and_then(|endpoint| {
                let route = proxy::route(&endpoint, &connector.proxy, proxies)?;
                let straight = proxy::why_straight(&endpoint, &connector.proxy, proxies);
                Ok(Way { endpoint, route, straight })
            });
            match route {
                Ok(route) => routes.push(route),
                Err(fault) => faults.push(fault),
            }
        }
        let mut tls = None;
        if routes.iter().any(|way: &Way| way.endpoint.secure) {
            match tls::client(&connector.tls) {
                Ok(client) => tls = Some(client),
                Err(more) => faults.extend(more),
            }
        }
        if faults.is_empty() { Ok(Self { routes, tls, user_timeout: silence }) } else { Err(Faults(faults)) }
    }

    fn route(&self, endpoint: &Endpoint) -> Option<&proxy::Route> {
        self.way(endpoint).and_then(|way| way.route.as_ref())
    }

    fn way(&self, endpoint: &Endpoint) -> Option<&Way> {
        self.routes.iter().find(|way| way.endpoint == *endpoint)
    }

    fn tls(&self) -> Result<&tls::Client, Error> {
        self.tls.as_ref().ok_or_else(|| Error::bug("TLS was not made ready for a secure endpoint"))
    }
}

async fn handshake(
    config: Arc<ClientConfig>,
    stream: BoxStream,
    endpoint: &Endpoint,
) -> Result<TlsStream<BoxStream>, Error> {
    let name = ServerName::try_from(endpoint.host.clone())
        .map_err(|_| Error::invalid(format!("`{}` is not a host name that TLS can check", endpoint.host)))?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| tls::sentence(&error, endpoint))
}

#[async_trait]
impl Dial for Network {
    async fn connect(&self, endpoint: &Endpoint) -> Result<BoxStream, Error> {
        let Some(route) = self.route(endpoint) else {
            let stream = tcp(&endpoint.host, endpoint.port, self.user_timeout)
                .await
                .map_err(|unreached| unreached.of(endpoint, None))?;
            return Ok(Box::new(stream));
        };
        let mut stream = tcp(&route.host, route.port, self.user_timeout)
            .await
            .map_err(|unreached| unreached.of(endpoint, Some(route)))?;
        proxy::tunnel(&mut stream, route, endpoint).await?;
        Ok(Box::new(stream))
    }

    async fn secure(&self, stream: BoxStream, endpoint: &Endpoint) -> Result<BoxStream, Error> {
        Ok(Box::new(handshake(Arc::clone(&self.tls()?.config), stream, endpoint).await?))
    }

    async fn examine(&self, stream: BoxStream, endpoint: &Endpoint) -> (Result<BoxStream, Error>, Presented) {
        let client = match self.tls() {
            Ok(client) => client,
            Err(error) => return (Err(error), Presented::default()),
        };
        let watching = Arc::new(trust::Watching::new(Arc::clone(&client.verifier)));
        let mut config = ClientConfig::clone(&client.config);
        config.dangerous().set_certificate_verifier(Arc::<trust::Watching>::clone(&watching));
        // Where a session is taken up again nothing is shown.
        config.resumption = Resumption::disabled();
        let outcome = handshake(Arc::new(config), stream, endpoint).await;
        let version = match &outcome {
            Ok(stream) => stream.get_ref().1.protocol_version(),
            Err(_) => None,
        };
        let version = version.map(|version| match version {
            ProtocolVersion::TLSv1_2 => "TLS 1.2",
            ProtocolVersion::TLSv1_3 => "TLS 1.3",
            _ => "TLS",
        });
        (outcome.map(|stream| Box::new(stream) as BoxStream), Presented { version, chain: watching.shown() })
    }

    async fn look_up(&self, endpoint: &Endpoint) -> Option<Result<LookedUp, Error>> {
        let route = self.route(endpoint);
        let (name, port) = route.map_or((&endpoint.host, endpoint.port), |route| (&route.host, route.port));
        if name.parse::<IpAddr>().is_ok() {
            return None;
        }
        let found = lookup_host((name.as_str(), port)).await.map_err(|error| Unreached::NoName(Some(error)));
        let addresses = found.and_then(|found| {
            let mut addresses: Vec<IpAddr> = Vec::new();
            for address in found {
                if !addresses.contains(&address.ip()) {
                    addresses.push(address.ip());
                }
            }
            if addresses.is_empty() { Err(Unreached::NoName(None)) } else { Ok(addresses) }
        });
        let looked_up = |addresses| LookedUp { name: name.clone(), addresses };
        Some(addresses.map(looked_up).map_err(|unreached| unreached.of(endpoint, route)))
    }

    fn why_straight(&self, endpoint: &Endpoint) -> &'static str {
        self.way(endpoint).map_or("no setting names one", |way| way.straight)
    }

    fn through(&self, endpoint: &Endpoint) -> Option<String> {
        self.route(endpoint).map(ToString::to_string)
    }
}

/// What to look at when `endpoint` is out of reach.
pub(super) fn advice(endpoint: &Endpoint) -> String {
    let (proxy, whose) = (proxy_variable(endpoint), endpoint.whose());
    format!(
        "is {whose} up, is the port {} right, and does a firewall stand in between or is a proxy needed ({proxy})?",
        endpoint.port
    )
}

/// The variable that names a proxy before `endpoint`.
fn proxy_variable(endpoint: &Endpoint) -> &'static str {
    if endpoint.secure { "HTTPS_PROXY" } else { "HTTP_PROXY" }
}

/// What the network did, in words without the system's own numbers.
pub(super) fn words(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::ConnectionRefused => "the connection was refused".into(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            "the other end cut the connection".into()
        }
        io::ErrorKind::UnexpectedEof => "the other end closed the connection".into(),
        io::ErrorKind::TimedOut => "no answer came in time".into(),
        io::ErrorKind::HostUnreachable => "the host is unreachable".into(),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown => "the network is unreachable".into(),
        io::ErrorKind::PermissionDenied => "this machine does not let the connection out".into(),
        other => other.to_string(),
    }
}

/// Why there is no TCP connection.
enum Unreached {
    /// The name has no address; the system's reason is of no type that tells one from another.
    NoName(Option<io::Error>),
    /// None of its addresses answered.
    NoAnswer { faults: BTreeSet<(IpAddr, io::ErrorKind)>, is_name: bool },
    /// There was one, and it could not be set up.
    NotSetUp(io::Error),
}

impl Unreached {
    /// The sentence for `endpoint`, or for the proxy that stands before it.
    fn of(self, endpoint: &Endpoint, route: Option<&proxy::Route>) -> Error {
        if let Some(route) = route {
            let advice = "is the proxy up, and are its host and port right?";
            return self.sentence(&format!("the proxy {route}"), advice, "");
        }
        let proxy = format!(", or is a proxy needed ({})", proxy_variable(endpoint));
        self.sentence(&endpoint.to_string(), &advice(endpoint), &proxy)
    }

    /// What failed, where, and what to look at: `advice` when nothing answers, `or_proxy` added for a name.
    fn sentence(self, place: &str, advice: &str, or_proxy: &str) -> Error {
        match self {
            Self::NoName(why) => {
                let error = Error::unavailable(format!(
                    "cannot reach {place}: its host name cannot be resolved; is it right, does this \
                     machine's (or container's) name service know it{or_proxy}?"
                ));
                match why {
                    Some(why) => error.caused_by(why),
                    None => error,
                }
            }
            Self::NoAnswer { faults, is_name } => {
                let kinds: BTreeSet<_> = faults.iter().map(|(_, kind)| *kind).collect();
                let addresses = || faults.iter().map(|(address, _)| address.to_string()).collect::<Vec<_>>().join(", ");
                let what = match kinds.first() {
                    Some(kind) if kinds.len() == 1 && is_name => format!("{} ({})", words(*kind), addresses()),
                    Some(kind) if kinds.len() == 1 => words(*kind),
                    _ => {
                        let each = faults.iter().map(|(address, kind)| format!("{} ({address})", words(*kind)));
                        each.collect::<Vec<_>>().join(", ")
                    }
                };
                Error::unavailable(format!("cannot reach {place}: {what}; {advice}"))
            }
            Self::NotSetUp(error) => {
                let what = words(error.kind());
                Error::unavailable(format!("the connection to {place} could not be set up: {what}")).caused_by(error)
            }
        }
    }
}

/// A TCP connection to the first address of `host` that answers.
async fn tcp(host: &str, port: u16, user_timeout: Duration) -> Result<TcpStream, Unreached> {
    let addresses: Vec<SocketAddr> =
        lookup_host((host, port)).await.map_err(|error| Unreached::NoName(Some(error)))?.collect();
    if addresses.is_empty() {
        return Err(Unreached::NoName(None));
    }
    let stream = first(&addresses)
        .await
        .map_err(|faults| Unreached::NoAnswer { faults, is_name: host.parse::<IpAddr>().is_err() })?;
    adjust(&stream, user_timeout).map_err(Unreached::NotSetUp)?;
    Ok(stream)
}

/// Tries the addresses in their order, the next one as soon as one fails or is slow, and keeps the first that answers.
async fn first(addresses: &[SocketAddr]) -> Result<TcpStream, BTreeSet<(IpAddr, io::ErrorKind)>> {
    let mut waiting = addresses.iter();
    let mut tries = FuturesUnordered::new();
    let mut faults = BTreeSet::new();
    loop {
        if let Some(&address) = waiting.next() {
            tries.push(async move { (address, TcpStream::connect(address).await) });
        }
        tokio::select! {
            Some((address, connected)) = tries.next() => match connected {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    faults.insert((address.ip(), error.kind()));
                }
            },
            () = tokio::time::sleep(STAGGER), if waiting.len() > 0 => {}
            else => break,
        }
    }
    Err(faults)
}

/// A peer that vanished without a word is noticed by the kernel too, also while nothing is sent.
fn adjust(stream: &TcpStream, user_timeout: Duration) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keep_alive = TcpKeepalive::new().with_time(Duration::from_secs(30)).with_interval(Duration::from_secs(10));
    socket.set_tcp_keepalive(&keep_alive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(user_timeout))?;
    #[cfg(not(target_os = "linux"))]
    let _ = user_timeout;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_fail_alike_are_told_together_and_in_one_order() {
        let (four, six) = (IpAddr::from([10, 0, 0, 7]), IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, 7]));
        let said = |faults: [(IpAddr, io::ErrorKind); 2]| {
            Unreached::NoAnswer { faults: faults.into(), is_name: true }.sentence(
                "https://plane.example",
                "is it up?",
                "",
            )
        };
        let alike = said([(six, io::ErrorKind::ConnectionRefused), (four, io::ErrorKind::ConnectionRefused)]);
        assert_eq!(
            alike.sentence(),
            "cannot reach https://plane.example: the connection was refused (10.0.0.7, fd00::7); is it up?"
        );
        let apart = said([(six, io::ErrorKind::NetworkUnreachable), (four, io::ErrorKind::TimedOut)]);
        assert_eq!(
            apart.sentence(),
            "cannot reach https://plane.example: no answer came in time (10.0.0.7), the network is unreachable \
             (fd00::7); is it up?"
        );
    }
}

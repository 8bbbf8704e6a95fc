//! The one HTTP client that every AWS and STS call goes through: rustls with ring, the proxies of the environment, an
//! extra CA. Metadata endpoints, which are on the machine or its link, are never asked through a proxy.

use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, ToSocketAddrs},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    dns::{DnsFuture, ResolveDns, ResolveDnsError},
    http::{
        HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
        http_client_fn,
    },
    orchestrator::HttpRequest,
    runtime_components::RuntimeComponents,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::{sync::Semaphore, time::Instant};
use url::{Host, Url};

use super::{
    answer::{Kind, Most},
    watch::Watch,
};
use crate::settings::{Fault, ProxyEnvironment};

/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// How many names are looked up at once. A look-up holds a thread of the process for as long as the name server is
/// silent, also when nobody waits for it any more: one gateway's must not take them all.
const LOOKUPS: usize = 4;
/// How many unused connections are kept a host.
const IDLE_CONNECTIONS: usize = 4;

/// The proxies of the environment, checked.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies {
    /// For `https://`.
    https: Option<SecretString>,
    /// For `http://`.
    http: Option<SecretString>,
    /// Who is reached without.
    no: Option<String>,
}

impl Proxies {
    /// Checks what the environment names; a proxy for everything stands in for those that are not named.
    pub(super) fn read(environment: &ProxyEnvironment, faults: &mut Vec<Fault>) -> Self {
        let mut check = |variable: &str, url: Option<&SecretString>| {
            let url = url.filter(|url| !url.expose_secret().trim().is_empty())?;
            let text = url.expose_secret().trim();
            let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
            match Url::parse(&text) {
                // The connector's own reader is the judge of what it will be given later.
                Ok(url) if matches!(url.scheme(), "http" | "https") && ProxyConfig::all(text.as_str()).is_ok() => {
                    Some(SecretString::from(text))
                }
                Ok(url) if url.scheme().starts_with("socks") => {
                    faults.push(proxy_fault(variable, "SOCKS proxies are not spoken: name an HTTP proxy"));
                    None
                }
                _ => {
                    faults.push(proxy_fault(variable, "is no URL of a proxy: http://host:port is accepted"));
                    None
                }
            }
        };
        let all = check("ALL_PROXY", environment.all.as_ref());
        let https = check("HTTPS_PROXY", environment.https.as_ref());
        let http = check("HTTP_PROXY", environment.http.as_ref());
        Self { https: https.or_else(|| all.clone()), http: http.or(all), no: environment.no.clone() }
    }
}

fn proxy_fault(variable: &str, says: &str) -> Fault {
    Fault { variable: variable.into(), found: None, says: says.into() }
}

/// The client. Its connections are shared by everything that has the same time-outs; `watch` looks at what is answered.
pub(super) fn client(proxies: Proxies, extra_ca: Option<Vec<u8>>, watch: Arc<Watch>) -> SharedHttpClient {
    let ways = Arc::new(Ways { proxies, extra_ca, watch, names: Names(Arc::new(Semaphore::new(LOOKUPS))) });
    let known: Mutex<HashMap<Timeouts, SharedHttpConnector>> = Mutex::new(HashMap::new());
    http_client_fn(move |settings: &HttpConnectorSettings, _: &RuntimeComponents| {
        let timeouts = (settings.connect_timeout(), settings.read_timeout());
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let router = || {
            SharedHttpConnector::new(Router {
                ways: ways.clone(),
                settings: settings.clone(),
                straight: OnceLock::new(),
                plain: OnceLock::new(),
                secure: OnceLock::new(),
            })
        };
        known.entry(timeouts).or_insert_with(router).clone()
    })
}

type Timeouts = (Option<Duration>, Option<Duration>);

struct Ways {
    proxies: Proxies,
    extra_ca: Option<Vec<u8>>,
    watch: Arc<Watch>,
    names: Names,
}

/// Sends each request its way. A way is built when it is first needed: the secure one holds every root there is.
struct Router {
    ways: Arc<Ways>,
    settings: HttpConnectorSettings,
    /// To the machine itself and its link: no proxy, no TLS.
    straight: OnceLock<Connector>,
    /// `http://`, through its proxy when there is one.
    plain: OnceLock<Connector>,
    /// `https://`, through its proxy when there is one.
    secure: OnceLock<Connector>,
}

impl Router {
    fn way(&self, url: &str) -> &Connector {
        let proxies = &self.ways.proxies;
        let url = Url::parse(url).ok();
        if url.as_ref().is_some_and(|url| url.scheme() == "https") {
            return self.secure.get_or_init(|| {
                let proxy = proxies.https.as_ref().and_then(|url| ProxyConfig::https(url.expose_secret()).ok());
                self.build(proxy, true)
            });
        }
        if proxies.http.is_none() || url.as_ref().is_some_and(is_near) {
            return self.straight.get_or_init(|| self.build(None, false));
        }
        self.plain.get_or_init(|| {
            let proxy = proxies.http.as_ref().and_then(|url| ProxyConfig::http(url.expose_secret()).ok());
            self.build(proxy, true)
        })
    }

    fn build(&self, proxy: Option<ProxyConfig>, trusts: bool) -> Connector {
        let mut store = TrustStore::empty();
        if trusts {
            store = store.with_native_roots(true);
            if let Some(pem) = &self.ways.extra_ca {
                store = store.with_pem_certificate(pem.clone());
            }
        }
        let proxy = match (proxy, &self.ways.proxies.no) {
            (Some(proxy), Some(no)) => proxy.no_proxy(no),
            (Some(proxy), None) => proxy,
            (None, _) => ProxyConfig::disabled(),
        };
        let builder = Connector::builder()
            .connector_settings(self.settings.clone())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .proxy_config(proxy)
            .tls_provider(Provider::Rustls(CryptoMode::Ring));
        match TlsContext::builder().with_trust_store(store).build() {
            Ok(context) => builder.tls_context(context).build_with_resolver(self.ways.names.clone()),
            // The builder has nothing that can fail; should it learn to, the system's roots are the default.
            Err(_) => builder.build_with_resolver(self.ways.names.clone()),
        }
    }
}

impl HttpConnector for Router {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let kind = Kind::of(request.method(), request.uri());
        let answering = self.way(request.uri()).call(request);
        let ways = Arc::clone(&self.ways);
        HttpConnectorFuture::new(async move {
            let begun = Instant::now();
            let answer = answering.await?;
            ways.watch.saw(answer.status().as_u16(), answer.headers(), begun.elapsed());
            let most = Most::of(kind, answer.status().as_u16());
            Ok(answer.map(|body| most.keep(body)))
        })
    }
}

/// Looks names up as the system does, a few at once.
#[derive(Debug, Clone)]
struct Names(Arc<Semaphore>);

impl ResolveDns for Names {
    fn resolve_dns<'a>(&'a self, name: &'a str) -> DnsFuture<'a> {
        let (places, name) = (Arc::clone(&self.0), name.to_owned());
        DnsFuture::new(async move {
            let place = places.acquire_owned().await.map_err(ResolveDnsError::new)?;
            let looking = tokio::task::spawn_blocking(move || {
                // The look-up goes on when nobody waits for it, and so it keeps its place.
                let _place = place;
                let found = (name.as_str(), 0).to_socket_addrs()?;
                Ok::<Vec<IpAddr>, io::Error>(found.map(|address| address.ip()).collect())
            });
            looking.await.map_err(ResolveDnsError::new)?.map_err(ResolveDnsError::new)
        })
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Router")
    }
}

/// Whether a host is this machine or on its link: emulators on loopback, and the endpoints that hand out credentials
/// (169.254.169.254, 169.254.170.2, 169.254.170.23, fd00:ec2::…).
fn is_near(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_link_local(),
        Some(Host::Ipv6(ip)) => {
            ip.is_loopback() || ip.is_unicast_link_local() || ip.segments()[..2] == [0xfd00, 0x0ec2]
        }
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(https: &str, http: &str, all: &str) -> ProxyEnvironment {
        let secret = |text: &str| (!text.is_empty()).then(|| SecretString::from(text.to_owned()));
        ProxyEnvironment { https: secret(https), http: secret(http), all: secret(all), no: Some("localhost".into()) }
    }

    fn exposed(secret: Option<&SecretString>) -> Option<&str> {
        secret.map(SecretString::expose_secret)
    }

    #[test]
    fn proxies_are_read() {
        let mut faults = Vec::new();
        let proxies = Proxies::read(&environment("http://me:pw@proxy:3128", "", "proxy2:80"), &mut faults);
        assert_eq!(exposed(proxies.https.as_ref()), Some("http://me:pw@proxy:3128"));
        assert_eq!(exposed(proxies.http.as_ref()), Some("http://proxy2:80"));
        assert!(faults.is_empty());
        assert!(!format!("{proxies:?}").contains("pw"));
    }

    #[test]
    fn bad_proxies_are_faults_that_show_no_password() {
        let mut faults = Vec::new();
        Proxies::read(&environment("socks5://me:pw@proxy:1080", "ftp://me:pw@x", "http://"), &mut faults);
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told.iter().any(|line| line.contains("SOCKS")));
        assert!(!told.iter().any(|line| line.contains("pw")));
    }

    #[test]
    fn metadata_endpoints_are_near() {
        for url in ["http://169.254.169.254/x", "http://169.254.170.2", "http://[fd00:ec2::254]/", "http://127.0.0.1:1"]
        {
            assert!(is_near(&Url::parse(url).unwrap()), "{url}");
        }
        for url in ["http://10.0.0.1", "http://apigateway.eu-west-1.amazonaws.com", "http://[fd00::1]"] {
            assert!(!is_near(&Url::parse(url).unwrap()), "{url}");
        }
    }
}

//! Which proxy stands before an endpoint, and how a tunnel is asked of it (HTTP CONNECT).

use std::{fmt, io, net::IpAddr};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use url::Url;

use super::{Endpoint, dial};
use crate::{
    model::Error,
    settings::{Fault, Proxy, ProxyEnvironment},
};

/// The longest answer to CONNECT that is read, in bytes.
const ANSWER: usize = 16 * 1024;

/// A proxy to go through.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) host: String,
    pub(super) port: u16,
    user: Option<(String, SecretString)>,
    /// The setting that named it, for error messages.
    named_by: &'static str,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{} (from {})", self.host, self.port, self.named_by)
    }
}

/// The proxy that stands before `endpoint`, if any. Loopback is reached straight unless a setting of the link's own
/// names a proxy.
pub(super) fn route(
    endpoint: &Endpoint,
    settings: &Proxy,
    environment: &ProxyEnvironment,
) -> Result<Option<Route>, Fault> {
    match settings {
        Proxy::Direct => Ok(None),
        Proxy::Http { host, port, user } => Ok(Some(Route {
            host: host.clone(),
            port: *port,
            user: user.clone(),
            named_by: "the settings of the link",
        })),
        Proxy::Environment => {
            let own =
                if endpoint.secure { (&environment.https, "HTTPS_PROXY") } else { (&environment.http, "HTTP_PROXY") };
            let found = [own, (&environment.all, "ALL_PROXY")]
                .into_iter()
                .find_map(|(value, name)| Some((value.as_ref().filter(|value| !is_blank(value))?, name)));
            match found {
                Some((value, name)) if !is_excepted(endpoint, environment.no.as_deref()) => read(value, name).map(Some),
                _ => Ok(None),
            }
        }
    }
}

/// Why no proxy stands before `endpoint`, where [`route`] has found none.
pub(super) fn why_straight(endpoint: &Endpoint, settings: &Proxy, environment: &ProxyEnvironment) -> &'static str {
    let named = [&environment.https, &environment.http, &environment.all];
    let own = if endpoint.secure { &environment.https } else { &environment.http };
    let is_named = |value: &Option<SecretString>| value.as_ref().is_some_and(|value| !is_blank(value));
    match settings {
        Proxy::Direct => "the link's settings switch proxies off",
        Proxy::Http { .. } | Proxy::Environment if !named.into_iter().any(is_named) => "no setting names one",
        _ if !is_named(own) && !is_named(&environment.all) => {
            if endpoint.secure {
                "HTTP_PROXY is for http:// alone, and HTTPS_PROXY is not set"
            } else {
                "HTTPS_PROXY is for https:// alone, and HTTP_PROXY is not set"
            }
        }
        _ if is_this_machine(endpoint) => "this machine is reached without",
        _ => "NO_PROXY names this host",
    }
}

fn is_this_machine(endpoint: &Endpoint) -> bool {
    let host = endpoint.host.trim_end_matches('.').to_ascii_lowercase();
    let is_loopback = host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    host == "localhost" || host.ends_with(".localhost") || is_loopback
}

fn is_blank(value: &SecretString) -> bool {
    value.expose_secret().trim().is_empty()
}

/// The proxy in a variable's value: `http://user:password@host:port`, or without the scheme.
fn read(value: &SecretString, named_by: &'static str) -> Result<Route, Fault> {
    let fault = |says| Fault { variable: named_by.into(), found: None, says };
    let value = value.expose_secret().trim();
    let whole = if value.contains("://") { value.to_owned() } else { format!("http://{value}") };
    // The value may hold a password: it is not repeated.
    let url: Url =
        whole.parse().map_err(|error| fault(format!("it is not a proxy's URL ({error}); write http://host:port")))?;
    match url.scheme() {
        "http" => {}
        scheme if scheme.starts_with("socks") => {
            return Err(fault(
                "it names a SOCKS proxy, which this agent does not speak; name an HTTP proxy (http://host:port), or \
                 put the endpoint's host into NO_PROXY"
                    .to_owned(),
            ));
        }
        scheme => {
            return Err(fault(format!(
                "it names a proxy by `{scheme}://`; only http://host:port is accepted (what goes through the \
                 tunnel is encrypted all the same)"
            )));
        }
    }
    let host = url.host_str().ok_or_else(|| fault("it names no host".to_owned()))?;
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let user = (!url.username().is_empty())
        .then(|| (decode(url.username()), SecretString::from(decode(url.password().unwrap_or_default()))));
    Ok(Route {
        host: host.trim_matches(['[', ']']).to_owned(),
        port: url.port_or_known_default().unwrap_or(80),
        user,
        named_by,
    })
}

/// Whether `NO_PROXY` names the endpoint: by name (itself and what lies below it), `.suffix`, `*`, address, network
/// (`10.0.0.0/8`), each with a port or without.
fn is_excepted(endpoint: &Endpoint, no_proxy: Option<&str>) -> bool {
    let host = endpoint.host.trim_end_matches('.').to_ascii_lowercase();
    let address: Option<IpAddr> = host.parse().ok();
    if is_this_machine(endpoint) {
        return true;
    }
    no_proxy.unwrap_or_default().split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        if entry == "*" {
            return true;
        }
        let entry = entry.to_ascii_lowercase();
        if let (Some(address), Some((network, bits))) = (address, entry.split_once('/')) {
            return bits.parse().is_ok_and(|bits| is_within(address, network, bits));
        }
        let (name, port) = split_port(&entry);
        if port.is_some_and(|port| port != endpoint.port) {
            return false;
        }
        if let Some(address) = address {
            return name.parse() == Ok(address);
        }
        let name = name.trim_start_matches('*').trim_start_matches('.').trim_end_matches('.');
        !name.is_empty() && (host == name || host.strip_suffix(name).is_some_and(|front| front.ends_with('.')))
    })
}

/// `name:port`, `[::1]:port`, or a bare name or address.
fn split_port(entry: &str) -> (&str, Option<u16>) {
    if let Some((address, rest)) = entry.strip_prefix('[').and_then(|entry| entry.split_once(']')) {
        return (address, rest.strip_prefix(':').and_then(|port| port.parse().ok()));
    }
    match entry.split_once(':') {
        Some((name, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (entry, None),
        },
        _ => (entry, None),
    }
}

fn is_within(address: IpAddr, network: &str, bits: u32) -> bool {
    match (address, network.parse()) {
        (IpAddr::V4(address), Ok(IpAddr::V4(network))) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(address), Ok(IpAddr::V6(network))) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

/// Makes a tunnel to `endpoint` of a connection to the proxy.
pub(super) async fn tunnel<S>(stream: &mut S, route: &Route, endpoint: &Endpoint) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let target = endpoint.host_and_port();
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some((user, password)) = &route.user {
        let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose_secret()));
        request.push_str("Proxy-Authorization: Basic ");
        request.push_str(&pair);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    let broke = |error: io::Error| {
        Error::unavailable(format!("the connection to the proxy {route} broke: {}", dial::words(error.kind())))
    };
    stream.write_all(request.as_bytes()).await.map_err(broke)?;
    stream.flush().await.map_err(broke)?;

    let mut answer = Vec::with_capacity(512);
    let end = loop {
        if let Some(end) = memchr::memmem::find(&answer, b"\r\n\r\n") {
            break end + 4;
        }
        if answer.len() > ANSWER {
            return Err(Error::unavailable(format!(
                "the proxy {route} answered CONNECT with more than {ANSWER} bytes"
            )));
        }
        if stream.read_buf(&mut answer).await.map_err(broke)? == 0 {
            return Err(Error::unavailable(format!(
                "the proxy {route} closed the connection without an answer to CONNECT {target}"
            )));
        }
    };
    match status(&answer) {
        // A server speaks first in neither TLS nor HTTP: bytes behind the answer are not the endpoint's.
        Some(200..=299) if answer.len() > end => {
            Err(Error::unavailable(format!("the proxy {route} sent bytes of its own behind its answer to CONNECT")))
        }
        Some(200..=299) => Ok(()),
        Some(407) => Err(Error::denied(match route.user {
            Some(_) => format!(
                "the proxy {route} refused its user name or password (407); correct them in {}",
                credentials(route.named_by)
            ),
            None => format!(
                "the proxy {route} wants a user name and a password (407); set them in {}",
                credentials(route.named_by)
            ),
        })),
        Some(403) => Err(Error::denied(format!(
            "the proxy {route} does not allow a tunnel to {target} (403); have {target} put on its list of what is \
             allowed"
        ))),
        Some(code) => {
            Err(Error::unavailable(format!("the proxy {route} could not make a tunnel to {target} ({code})")))
        }
        None => Err(Error::unavailable(format!("what answers at the proxy {route} does not speak HTTP"))),
    }
}

fn credentials(named_by: &'static str) -> &'static str {
    match named_by {
        "HTTPS_PROXY" => "HTTPS_PROXY=http://user:password@host:port",
        "HTTP_PROXY" => "HTTP_PROXY=http://user:password@host:port",
        "ALL_PROXY" => "ALL_PROXY=http://user:password@host:port",
        _ => {
            "gravitee_integration_connector_ws_proxy_username and gravitee_integration_connector_ws_proxy_password (with \
             useSystemProxy: gravitee_system_proxy_username and gravitee_system_proxy_password)"
        }
    }
}

fn status(answer: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(answer.split(|&byte| byte == b'\r').next()?).ok()?;
    let mut words = line.split(' ');
    words.next()?.strip_prefix("HTTP/1.")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::new(&url.parse().expect("a URL")).expect("an endpoint")
    }

    fn environment(https: &str, no: &str) -> ProxyEnvironment {
        ProxyEnvironment { https: Some(https.into()), no: Some(no.into()), ..ProxyEnvironment::default() }
    }

    fn goes_straight(url: &str, no: &str) -> bool {
        let environment = ProxyEnvironment { http: Some("p:1".into()), ..environment("p:1", no) };
        route(&endpoint(url), &Proxy::Environment, &environment).expect("a route").is_none()
    }

    #[test]
    fn no_proxy_is_read_as_everybody_reads_it() {
        for (url, no, straight) in [
            ("https://plane.example", "", false),
            ("https://plane.example", "*", true),
            ("https://plane.example", "other.example, plane.example", true),
            ("https://PLANE.example", "Plane.Example", true),
            ("https://a.plane.example", "plane.example", true),
            ("https://a.plane.example", ".plane.example", true),
            ("https://a.plane.example", "*.plane.example", true),
            ("https://plane.example", ".plane.example", true),
            ("https://airplane.example", "plane.example", false),
            ("https://plane.example:8443", "plane.example:8443", true),
            ("https://plane.example", "plane.example:8443", false),
            ("https://10.1.2.3", "10.0.0.0/8", true),
            ("https://11.1.2.3", "10.0.0.0/8", false),
            ("https://10.1.2.3", "10.1.2.3", true),
            ("https://10.1.2.3", "0.0.0.0/0", true),
            ("https://10.1.2.3", "10.0.0.0/99", false),
            ("https://[fd00::1]", "fd00::/8", true),
            ("https://[fd00::1]:8443", "[fd00::1]:8443", true),
            ("https://[fd00::1]", "fd00::1", true),
            ("https://localhost:8443", "", true),
            ("https://127.0.0.9", "", true),
            ("https://[::1]", "", true),
            ("http://plane.example", "", false),
        ] {
            assert_eq!(goes_straight(url, no), straight, "{url} with NO_PROXY={no}");
        }
    }

    #[test]
    fn a_proxy_is_read_with_and_without_its_parts() {
        let at = endpoint("https://plane.example");
        let found =
            |value| route(&at, &Proxy::Environment, &environment(value, "")).map(|route| route.expect("a proxy"));
        let proxy = found("http://us%40er:p%3Aw@proxy.example:3128").expect("a proxy");
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example", 3128));
        let (user, password) = proxy.user.expect("a user");
        assert_eq!((user.as_str(), password.expose_secret()), ("us@er", "p:w"));
        assert_eq!(found("proxy.example:8080").expect("a proxy").port, 8080);
        assert_eq!(found("http://[::1]:8080").expect("a proxy").host, "::1");
        for wrong in ["socks5://proxy.example:1080", "https://proxy.example", "http://:3128", "http://u:secret@:x"] {
            let fault = found(wrong).expect_err(wrong);
            assert!(fault.variable == "HTTPS_PROXY" && !fault.says.contains("secret"), "{fault}");
        }
        assert!(found("socks5h://p:1").expect_err("refused").says.contains("SOCKS"));
    }

    #[test]
    fn only_the_links_own_setting_puts_a_proxy_before_loopback() {
        let settings = Proxy::Http { host: "proxy.example".into(), port: 3128, user: None };
        let none = ProxyEnvironment::default();
        assert!(route(&endpoint("https://localhost"), &settings, &none).expect("a route").is_some());
        let environment = environment("p:1", "");
        assert!(route(&endpoint("https://plane.example"), &Proxy::Direct, &environment).expect("a route").is_none());
    }
}

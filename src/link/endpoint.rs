//! Where a controller is: a configured URL, taken apart once.

use std::fmt;

use url::{Host, Url};

use crate::model::Error;

/// The protocol's own path, below the endpoint's.
const PATH: &str = "/exchange/controller";

/// Where a controller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether TLS is spoken (`https`, `wss`).
    pub secure: bool,
    /// Its host name or address, without brackets.
    pub host: String,
    /// Its port; 80 or 443 when none was given.
    pub port: u16,
    /// The path to ask for, the protocol's own included.
    pub path: String,
    /// `host[:port]` as a URL has it.
    pub authority: String,
    label: String,
    gateway: bool,
}

impl Endpoint {
    /// The endpoint that `url` names.
    pub fn new(url: &Url) -> Result<Self, Error> {
        let secure = match url.scheme() {
            "https" | "wss" => true,
            "http" | "ws" => false,
            other => {
                return Err(Error::invalid(format!(
                    "the endpoint's scheme is `{other}`; http, https, ws and wss are accepted"
                )));
            }
        };
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(Error::invalid("the endpoint has no host")),
        };
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let authority = url.port().map_or(bracketed.clone(), |port| format!("{bracketed}:{port}"));
        let path = url.path();
        let path = path.strip_suffix('/').unwrap_or(path);
        // Neither user information nor a query stands in the label: both can hold a secret.
        let label = format!("{}://{authority}{path}", url.scheme());
        let port = url.port().unwrap_or(if secure { 443 } else { 80 });
        Ok(Self { secure, host, port, path: format!("{path}{PATH}"), authority, label, gateway: false })
    }

    /// Where a gateway is, at `url`: for `check`, which tries the way there too.
    pub fn of_gateway(url: &Url) -> Result<Self, Error> {
        Ok(Self { gateway: true, ..Self::new(url)? })
    }

    /// Whether it is a gateway's and not a controller's.
    pub fn is_gateway(&self) -> bool {
        self.gateway
    }

    /// Whose it is, for a person.
    pub fn whose(&self) -> &'static str {
        if self.gateway { "the gateway" } else { "the plane" }
    }

    /// Host and port as CONNECT wants them.
    pub fn host_and_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::new(&url.parse().expect("a URL")).expect("an endpoint")
    }

    #[test]
    fn one_trailing_slash_is_dropped_and_the_path_appended() {
        for (url, path) in [
            ("https://plane.example/integration-controller", "/integration-controller/exchange/controller"),
            ("https://plane.example/integration-controller/", "/integration-controller/exchange/controller"),
            ("https://plane.example/a//", "/a//exchange/controller"),
            ("http://plane.example", "/exchange/controller"),
        ] {
            assert_eq!(endpoint(url).path, path, "{url}");
        }
    }

    #[test]
    fn ports_default_by_scheme() {
        for (url, secure, port) in [
            ("http://h", false, 80),
            ("ws://h", false, 80),
            ("https://h", true, 443),
            ("wss://h", true, 443),
            ("ws://h:8072", false, 8072),
            ("wss://[::1]:8072", true, 8072),
        ] {
            let endpoint = endpoint(url);
            assert_eq!((endpoint.secure, endpoint.port), (secure, port), "{url}");
        }
        assert_eq!(endpoint("ws://[::1]:8072/x").host, "::1");
        assert_eq!(endpoint("ws://[::1]:8072/x").host_and_port(), "[::1]:8072");
        assert_eq!(endpoint("ws://[::1]:8072/x").authority, "[::1]:8072");
    }

    #[test]
    fn the_label_holds_no_secret() {
        assert_eq!(endpoint("https://u:p@h/x?token=t").to_string(), "https://h/x");
        assert!(Endpoint::new(&"ftp://h".parse().expect("a URL")).is_err());
    }
}

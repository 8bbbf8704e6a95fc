//! ARNs, regions, URLs, ids and names of APIs, addresses of endpoints and proxies.

use std::time::Duration;

use federation_agent::{
    link::{Endpoint, Network},
    provider::aws,
    settings::{Connector, Proxy, ProxyEnvironment, Tls},
};
use secrecy::SecretString;
use url::Url;

use super::{MARK, is_marked, sound_error};

/// What is read as something of ours is written as it was. Three lines: an address, a proxy, and who needs none.
pub(super) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    assert!(aws::fuzz::places(&text), "{text:?} is read as one thing and written as another");
    let mut lines = text.lines();
    let (address, proxy, no) = (lines.next().unwrap_or_default(), lines.next(), lines.next());
    assert!(aws::fuzz::places(address), "{address:?} is read as one thing and written as another");
    let Ok(url) = Url::parse(address) else { return };
    match Endpoint::new(&url) {
        Ok(endpoint) => {
            assert!(endpoint.path.ends_with("/exchange/controller"), "{}", endpoint.path);
            // As long as the setting is.
            assert!(!endpoint.to_string().chars().any(char::is_control), "{endpoint}");
        }
        Err(error) => sound_error(input, &error),
    }
    if url.scheme() != "http" {
        return;
    }
    // What stands behind the mark is the proxy's host and port.
    let secret = proxy.map(|proxy| SecretString::from(proxy.replacen('@', &format!("{MARK}@"), 1)));
    let environment = ProxyEnvironment { http: secret, no: no.map(str::to_owned), ..ProxyEnvironment::default() };
    let connector = Connector {
        endpoints: vec![url],
        headers: Vec::new(),
        auto_reconnect: false,
        limits: federation_agent::exchange::Limits::default(),
        tls: Tls::default(),
        proxy: Proxy::Environment,
    };
    if let Err(faults) = Network::new(&connector, &environment, Duration::from_secs(1)) {
        assert!(is_marked(input) || !faults.to_string().contains(MARK), "a secret is said: {faults}");
    }
}

//! Stores of certificates and keys: PEM, PKCS#12, and what is neither.

use std::time::Duration;

use federation_agent::{
    exchange::Limits,
    link::Network,
    settings::{Connector, Proxy, ProxyEnvironment, Store, StoreKind, StoreSource, Tls},
};

use super::{MARK, is_marked};

/// The first byte says what the rest is taken for.
pub(super) fn run(input: &[u8]) {
    let Some((&first, bytes)) = input.split_first() else { return };
    let kind = if first & 1 == 0 { StoreKind::Pem } else { StoreKind::Pkcs12 };
    let store = |what: &str| Store {
        kind,
        source: StoreSource::Inline(bytes.to_vec()),
        password: (first & 4 == 0).then(|| format!("{MARK}-store").into()),
        alias: (first & 8 != 0).then(|| "one".to_owned()),
        named_by: format!("gravitee_integration_connector_ws_ssl_{what}_content"),
    };
    let is_identity = first & 2 != 0;
    let tls = Tls {
        // Without it the system's certificates would be read each time, which are not what is tried here.
        trust_all: is_identity,
        truststore: (!is_identity).then(|| store("truststore")),
        keystore: is_identity.then(|| store("keystore")),
        ..Tls::default()
    };
    let connector = Connector {
        endpoints: vec!["https://plane.example".parse().expect("a URL")],
        headers: Vec::new(),
        auto_reconnect: false,
        limits: Limits::default(),
        tls,
        proxy: Proxy::Direct,
    };
    if let Err(faults) = Network::new(&connector, &ProxyEnvironment::default(), Duration::from_secs(1)) {
        let said = faults.to_string();
        assert!(said.contains("ssl_"), "the setting is not named: {said}");
        assert!(said.len() <= 4_096, "{} bytes are said", said.len());
        assert!(!said.chars().any(|c| c.is_control() && c != '\n'), "a control character is said: {said:?}");
        assert!(is_marked(input) || !said.contains(MARK), "a secret is said: {said}");
    }
}

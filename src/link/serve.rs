//! TLS of what this process serves itself, by the stores and the stack of the link.

use std::sync::Arc;

use rustls::{ClientConfig, ServerConfig, crypto::ring};

use super::{store, trust};
use crate::settings::{Fault, Store};

/// The server's side of TLS with the certificate and key of `keystore`; clients show none.
///
/// # Errors
/// What is wrong with the store, by the setting that names it.
pub(crate) fn server_tls(keystore: &Store) -> Result<Arc<ServerConfig>, Fault> {
    let (chain, key) = store::identity(keystore)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        // TLS 1.2 and 1.3 are both compiled in, with suites for both.
        .expect("ring speaks the default versions of TLS")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| super::tls::unusable(keystore, &error))?;
    Ok(Arc::new(config))
}

/// A client's side of TLS that takes any certificate: to ask this machine's own agent, and to tell it nothing.
pub(crate) fn tls_to_ourselves() -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let anybody = Arc::new(trust::Anybody::new(&provider));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks the default versions of TLS")
        .dangerous()
        .with_custom_certificate_verifier(anybody)
        .with_no_client_auth();
    Arc::new(config)
}

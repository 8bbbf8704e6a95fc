//! TLS as the settings say, and rustls's errors as sentences for a person.

use std::{fs, io, sync::Arc};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error as TlsError, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::{Endpoint, store, trust};
use crate::{
    model::Error,
    settings::{Store, Tls},
};

const TRUSTSTORE: &str = "gravitee_integration_connector_ws_ssl_truststore_…";
const KEYSTORE: &str = "gravitee_integration_connector_ws_ssl_keystore_…";
const EXTRA: &str = "FEDERATION_AGENT_CA_FILE";

/// The client's side of TLS. All faults at once.
pub(super) fn client(settings: &Tls) -> Result<ClientConfig, Vec<Error>> {
    let provider = Arc::new(ring::default_provider());
    let mut faults = Vec::new();
    let verifier = verifier(settings, &provider).map_err(|fault| faults.push(fault)).ok();
    let identity = settings.keystore.as_ref().and_then(|keystore| {
        store::identity(keystore).map(|identity| (keystore, identity)).map_err(|fault| faults.push(fault)).ok()
    });
    let Some(verifier) = verifier else { return Err(faults) };
    if !faults.is_empty() {
        return Err(faults);
    }
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| vec![Error::bug(format!("TLS cannot be set up: {error}"))])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some((keystore, (chain, key))) = identity else { return Ok(builder.with_no_client_auth()) };
    builder.with_client_auth_cert(chain, key).map_err(|error| vec![unusable(keystore, &error)])
}

fn unusable(keystore: &Store, error: &TlsError) -> Error {
    Error::invalid(match error {
        TlsError::InconsistentKeys(_) => {
            format!("{}: the private key does not belong to the certificate", keystore.named_by)
        }
        other => format!("{}: the certificate and its key cannot be used: {other}", keystore.named_by),
    })
}

fn verifier(settings: &Tls, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    if settings.trust_all {
        return Ok(Arc::new(trust::Anybody::new(provider)));
    }
    let mut given = Vec::new();
    if let Some(path) = &settings.extra_ca {
        let bytes = fs::read(path)
            .map_err(|error| Error::invalid(format!("{EXTRA}: {} cannot be read: {error}", path.display())))?;
        let before = given.len();
        for certificate in CertificateDer::pem_slice_iter(&bytes) {
            given.push(
                certificate
                    .map_err(|error| Error::invalid(format!("{EXTRA}: {} is not PEM: {error}", path.display())))?,
            );
        }
        if given.len() == before {
            return Err(Error::invalid(format!("{EXTRA}: {} holds no certificate in PEM", path.display())));
        }
    }
    let mut named_by = EXTRA;
    let mut system = Vec::new();
    if let Some(truststore) = &settings.truststore {
        given.extend(store::certificates(truststore)?);
        named_by = &truststore.named_by;
    } else {
        let found = rustls_native_certs::load_native_certs();
        system = found.certs;
        if system.is_empty() && given.is_empty() {
            let why = found.errors.first().map_or(String::new(), |error| format!(" ({error})"));
            return Err(Error::invalid(format!(
                "this system has no CA certificates{why}; install its ca-certificates package, or name the plane's CA \
                 in {TRUSTSTORE} or {EXTRA}"
            )));
        }
    }
    let mut roots = RootCertStore::empty();
    // A system's bundle has odd ones in it that nobody needs; what was named by a setting must be good.
    roots.add_parsable_certificates(system);
    for certificate in &given {
        roots
            .add(certificate.clone())
            .map_err(|error| Error::invalid(format!("{named_by}: a certificate in it cannot be read: {error}")))?;
    }
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| Error::invalid(format!("{named_by}: no trust can be built on it: {error}")))?;
    Ok(Arc::new(trust::Named::new(inner, given, settings.skip_host_check)))
}

/// Why TLS with `endpoint` failed, and what mends it.
pub(super) fn sentence(error: &io::Error, endpoint: &Endpoint) -> Error {
    let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
        return Error::unavailable(match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                format!("{endpoint} ended the connection during the TLS handshake; is TLS spoken at this port?")
            }
            _ => format!("the TLS handshake with {endpoint} broke: {error}"),
        });
    };
    Error::unavailable(match cause {
        TlsError::InvalidCertificate(fault) => {
            format!("the certificate of {endpoint} is not trusted: {}", distrust(fault, endpoint))
        }
        TlsError::InvalidMessage(_) => {
            format!("what answers at {endpoint} does not speak TLS; if it is plain HTTP, the scheme must be http")
        }
        TlsError::NoCertificatesPresented => format!("{endpoint} showed no certificate"),
        TlsError::AlertReceived(AlertDescription::CertificateRequired) => {
            format!("{endpoint} wants a client certificate; name one in {KEYSTORE}")
        }
        TlsError::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::AccessDenied),
        ) => format!("{endpoint} refused our client certificate ({alert:?}); see {KEYSTORE}"),
        TlsError::AlertReceived(alert) => format!(
            "{endpoint} refused the TLS handshake ({alert:?}); if it wants a client certificate, name one in {KEYSTORE}"
        ),
        other => format!("the TLS handshake with {endpoint} failed: {other}"),
    })
}

fn distrust(fault: &CertificateError, endpoint: &Endpoint) -> String {
    match fault {
        CertificateError::Expired => "it has expired; renew it".into(),
        CertificateError::ExpiredContext { time, not_after } => {
            let days = time.as_secs().saturating_sub(not_after.as_secs()) / 86_400;
            format!("it expired {days} days ago; renew it (or set this machine's clock right)")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet; is this machine's clock right?".into()
        }
        CertificateError::UnknownIssuer => format!(
            "nobody known here has issued it; name the CA that did in {TRUSTSTORE} or {EXTRA} (the endpoint may also \
             be leaving out an intermediate certificate)"
        ),
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => format!(
            "it is not for the host name {}; it is for {}. Use one of these in the endpoint, or set \
             gravitee_integration_connector_ws_ssl_verifyHost=false",
            endpoint.host,
            presented.join(", ")
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "it does not name {} (nor any host: a subject's common name does not count); use a certificate with \
             subject alternative names, or set gravitee_integration_connector_ws_ssl_verifyHost=false",
            endpoint.host
        ),
        CertificateError::Other(_) => {
            format!("it is a CA's own ({fault}); if it is the server's all the same, name it itself in {TRUSTSTORE}")
        }
        other => other.to_string(),
    }
}

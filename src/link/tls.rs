//! TLS as the settings say, and rustls's errors as sentences for a person.

use std::{fs, io, path::Path, sync::Arc, time::Duration};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, Error as TlsError, OtherError, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::{Endpoint, certificate::roughly, dial, guard::shown, store, trust};
use crate::{
    model::Error,
    settings::{Fault, Store, Tls},
};

const TRUSTSTORE: &str = "gravitee_integration_connector_ws_ssl_truststore_…";
const KEYSTORE: &str = "gravitee_integration_connector_ws_ssl_keystore_…";
const EXTRA: &str = "FEDERATION_AGENT_CA_FILE";

/// The client's side of TLS, and who in it says whom to trust.
pub(super) struct Client {
    /// For every connection.
    pub(super) config: Arc<ClientConfig>,
    /// The same one that `config` has.
    pub(super) verifier: Arc<dyn ServerCertVerifier>,
}

/// The client's side of TLS. All faults at once, each by the variable that is to be mended.
pub(super) fn client(settings: &Tls) -> Result<Client, Vec<Fault>> {
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
        // TLS 1.2 and 1.3 are both compiled in, with suites for both.
        .expect("ring speaks the default versions of TLS")
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier));
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((keystore, (chain, key))) => {
            builder.with_client_auth_cert(chain, key).map_err(|error| vec![unusable(keystore, &error)])?
        }
    };
    Ok(Client { config: Arc::new(config), verifier })
}

pub(super) fn unusable(keystore: &Store, error: &TlsError) -> Fault {
    match error {
        TlsError::InconsistentKeys(_) => store::fault(keystore, "the private key does not belong to the certificate"),
        other => store::fault(keystore, &format!("the certificate and its key cannot be used: {other}")),
    }
}

/// The certificates of the file at `path`, which [`EXTRA`] names.
fn extra(path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let fault = |says| Fault { variable: EXTRA.into(), found: Some(path.display().to_string()), says };
    let bytes = fs::read(path).map_err(|error| fault(store::unread(&error)))?;
    let found = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| fault(format!("it is not PEM: {}", store::words(&error))))?;
    if found.is_empty() { Err(fault("it holds no certificate in PEM".into())) } else { Ok(found) }
}

fn verifier(settings: &Tls, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Fault> {
    if settings.trust_all {
        return Ok(Arc::new(trust::Anybody::new(provider)));
    }
    let by = |variable: &str, says: String| Fault { variable: variable.into(), found: None, says };
    let mut roots = RootCertStore::empty();
    let mut given = Vec::new();
    if let Some(path) = &settings.extra_ca {
        given.extend(extra(path)?.into_iter().map(|certificate| (EXTRA, certificate)));
    }
    if let Some(truststore) = &settings.truststore {
        let named_by = truststore.named_by.as_str();
        given.extend(store::certificates(truststore)?.into_iter().map(|certificate| (named_by, certificate)));
    } else {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() && given.is_empty() {
            let why = found.errors.first().map_or(String::new(), |error| format!(" ({error})"));
            return Err(by(
                EXTRA,
                format!(
                    "this system has no CA certificates{why}; install its ca-certificates package, or name the \
                     plane's CA here or in {TRUSTSTORE}"
                ),
            ));
        }
        // A system's bundle has odd ones in it that nobody needs; what was named by a setting must be good.
        roots.add_parsable_certificates(found.certs);
    }
    for (named_by, certificate) in &given {
        roots
            .add(certificate.clone())
            .map_err(|error| by(named_by, format!("a certificate in it cannot be read: {error}")))?;
    }
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| by(EXTRA, format!("no trust can be built on the certificates of this system: {error}")))?;
    let given = given.into_iter().map(|(_, certificate)| certificate).collect();
    Ok(Arc::new(trust::Named::new(inner, given, settings.skip_host_check)))
}

/// Why TLS with `endpoint` failed, and what mends it.
pub(super) fn sentence(error: &io::Error, endpoint: &Endpoint) -> Error {
    let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>()) else {
        return Error::unavailable(match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                format!("{endpoint} ended the connection during the TLS handshake; is TLS spoken at this port?")
            }
            kind => format!("the TLS handshake with {endpoint} broke: {}", dial::words(kind)),
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
        TlsError::PeerIncompatible(_) => format!(
            "{endpoint} and this agent have no version or cipher of TLS in common; this agent speaks TLS 1.2 and 1.3"
        ),
        TlsError::AlertReceived(alert) => alerted(*alert, endpoint),
        other => format!("the TLS handshake with {endpoint} failed: {other}"),
    })
}

/// What a peer meant that ended the handshake.
fn alerted(alert: AlertDescription, endpoint: &Endpoint) -> String {
    let refused = |why: &str| format!("{endpoint} refused our client certificate: {why}; see {KEYSTORE}");
    match alert {
        AlertDescription::CertificateRequired => {
            format!("{endpoint} wants a client certificate; name one in {KEYSTORE}")
        }
        AlertDescription::UnknownCA => refused("it does not trust the authority that signed it"),
        AlertDescription::CertificateExpired => refused("it has expired"),
        AlertDescription::CertificateRevoked => refused("it was revoked"),
        AlertDescription::AccessDenied => refused("it is not let in"),
        AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate => refused("it does not accept it"),
        AlertDescription::UnrecognisedName => {
            format!("{endpoint} serves no host of the name {}; is the host of the endpoint right?", endpoint.host)
        }
        AlertDescription::ProtocolVersion => {
            format!("{endpoint} speaks neither TLS 1.2 nor 1.3, which this agent speaks")
        }
        other => format!(
            "{endpoint} refused the TLS handshake (TLS alert {}); if it wants a client certificate, name one in \
             {KEYSTORE}",
            u8::from(other)
        ),
    }
}

fn distrust(fault: &CertificateError, endpoint: &Endpoint) -> String {
    match fault {
        CertificateError::Expired => "it has expired; renew it".into(),
        CertificateError::ExpiredContext { time, not_after } => {
            let days = time.as_secs().saturating_sub(not_after.as_secs()) / 86_400;
            format!("it expired {days} days ago; renew it (or set this machine's clock right)")
        }
        CertificateError::NotValidYet => "it is not valid yet; is this machine's clock right?".into(),
        CertificateError::NotValidYetContext { time, not_before } => {
            let wait = Duration::from_secs(not_before.as_secs().saturating_sub(time.as_secs()));
            format!("it is not valid yet, but in {}; is this machine's clock right?", roughly(wait))
        }
        CertificateError::UnknownIssuer => unsigned("", endpoint),
        CertificateError::Other(OtherError(cause)) if cause.is::<trust::Unsigned>() => {
            let cause = cause.downcast_ref::<trust::Unsigned>();
            let issuer = cause.map_or_else(String::new, |cause| format!(" (but by `{}`)", shown(&cause.issuer)));
            unsigned(&issuer, endpoint)
        }
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => format!(
            "it is not for the host name {}; it is for {}. Use one of these in the endpoint{}",
            endpoint.host,
            presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", "),
            unchecked(endpoint)
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => format!(
            "it does not name {} (nor any host: a subject's common name does not count); use a certificate with \
             subject alternative names{}",
            endpoint.host,
            unchecked(endpoint)
        ),
        CertificateError::Other(OtherError(cause)) if cause.is::<trust::SelfSigned>() => format!(
            "it is self-signed, not signed by an authority that is trusted here; if it is the right one all the same, \
             name the certificate itself in {}",
            trusted_in(endpoint)
        ),
        // Of what rustls has no word for, this is the one that happens.
        CertificateError::Other(_) => format!(
            "it is not a server's certificate (it calls itself a CA's, most likely); use one that was issued for the \
             server, or name it itself in {}",
            trusted_in(endpoint)
        ),
        CertificateError::BadEncoding => "it cannot be read; it is damaged, or of a kind that is not known".into(),
        CertificateError::BadSignature => "the signature on it is wrong; it is damaged or forged".into(),
        CertificateError::Revoked => "it was revoked; renew it".into(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it was not issued for a server (its extended key usage is another)".into()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "it is signed in a way that is not accepted, such as SHA-1; renew it".into()
        }
        other => other.to_string(),
    }
}

fn unsigned(issuer: &str, endpoint: &Endpoint) -> String {
    let stores = trusted_in(endpoint);
    format!(
        "it is not signed by an authority that is trusted here{issuer}; name the CA that signed it in {stores} (the \
         endpoint may also be leaving out an intermediate certificate)"
    )
}

/// How the plane's name may go unchecked; a gateway's may not.
fn unchecked(endpoint: &Endpoint) -> &'static str {
    if endpoint.is_gateway() { "" } else { ", or set gravitee_integration_connector_ws_ssl_verifyHost=false" }
}

/// Where a CA is named for `endpoint`.
fn trusted_in(endpoint: &Endpoint) -> String {
    if endpoint.is_gateway() { EXTRA.to_owned() } else { format!("{TRUSTSTORE} or {EXTRA}") }
}

/// A certificate's name as rustls tells it, `DnsName("plane.example")`, without its wrapping.
fn bare(name: &str) -> &str {
    name.split_once('(').and_then(|(_, name)| name.strip_suffix(')')).map_or(name, |name| name.trim_matches('"'))
}

//! Certificates made for a test.

use std::sync::Arc;

use p12_keystore::{Certificate as P12Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};

/// A CA that issues what a test asks for.
pub(crate) struct Ca {
    pub(crate) certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: Certificate,
    pub(crate) key: KeyPair,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = params(&[], name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.sign(&params(names, "plane"))
    }

    pub(crate) fn issue_expired(&self, names: &[&str]) -> Identity {
        self.issue_between(names, (2020, 1, 1), (2021, 1, 1))
    }

    /// Valid between these days (year, month, day).
    pub(crate) fn issue_between(&self, names: &[&str], from: (i32, u8, u8), until: (i32, u8, u8)) -> Identity {
        let mut params = params(names, "plane");
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity { certificate, key }
    }
}

/// Signed by itself; one that calls itself a CA is what `openssl req -x509` makes.
pub(crate) fn self_signed(names: &[&str], is_ca: bool) -> Identity {
    let mut params = params(names, "alone");
    if is_ca {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    Identity { certificate, key }
}

fn params(names: &[&str], common_name: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

impl Identity {
    /// A server that shows this certificate, and wants one of `clients` from whoever comes.
    pub(crate) fn server(&self, clients: Option<&Ca>) -> Arc<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(ca) => {
                let mut roots = RootCertStore::empty();
                roots.add(ca.certificate.der().clone()).expect("a root");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.expect("a verifier"))
            }
        };
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        Arc::new(builder.with_single_cert(vec![self.certificate.der().clone()], key).expect("a server"))
    }

    /// Certificate, then key.
    pub(crate) fn pem(&self) -> String {
        self.certificate.pem() + &self.key.serialize_pem()
    }

    /// Certificate, CA and key under `alias`.
    pub(crate) fn p12(&self, alias: &str, ca: &Ca, password: &str) -> Vec<u8> {
        let chain = PrivateKeyChain::new(
            "1",
            PrivateKey::from_der(&self.key.serialize_der()).expect("a key"),
            [p12(self.certificate.der()), p12(ca.certificate.der())],
        );
        write(&[(alias, KeyStoreEntry::PrivateKeyChain(chain))], password)
    }
}

/// Trusted certificates under their aliases.
pub(crate) fn p12_truststore(certificates: &[(&str, &Certificate)], password: &str) -> Vec<u8> {
    let entries: Vec<_> = certificates
        .iter()
        .map(|(alias, certificate)| (*alias, KeyStoreEntry::Certificate(p12(certificate.der()))))
        .collect();
    write(&entries, password)
}

fn p12(der: &CertificateDer<'_>) -> P12Certificate {
    P12Certificate::from_der(der).expect("a certificate")
}

fn write(entries: &[(&str, KeyStoreEntry)], password: &str) -> Vec<u8> {
    let mut store = KeyStore::new();
    for (alias, entry) in entries {
        store.add_entry(alias, entry.clone());
    }
    store.writer(password).encryption_iterations(100).mac_iterations(100).write().expect("a store")
}

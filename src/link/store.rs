//! Stores of certificates, PEM and PKCS#12: read, opened, and searched. Every fault names the setting and the file.

use std::{fs, io};

use p12_keystore::{CertificateBag, Pkcs12Archive, PrivateKeyBag, error::Error as P12Error};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer,
    pem::{self, PemObject as _},
};
use secrecy::ExposeSecret as _;

use crate::settings::{Fault, Store, StoreKind, StoreSource};

/// The certificates that `store` trusts; at least one.
///
/// # Errors
/// Why it cannot be read, by the setting that names it.
pub fn certificates(store: &Store) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found = match store.kind {
        StoreKind::Pem => pem_certificates(&read(store)?, store)?,
        StoreKind::Pkcs12 => {
            let certs = open(store)?.certs;
            let named = certs.iter().filter(|bag| is_named(store, bag.friendly_name.as_deref()));
            named.map(der).collect()
        }
    };
    if found.is_empty() {
        return Err(nothing(store, "certificate"));
    }
    Ok(found)
}

/// Our certificate, its chain, and its key.
pub(super) fn identity(store: &Store) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Fault> {
    match store.kind {
        StoreKind::Pem => {
            let bytes = read(store)?;
            let chain = pem_certificates(&bytes, store)?;
            if chain.is_empty() {
                return Err(nothing(store, "certificate"));
            }
            let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
                if memchr::memmem::find(&bytes, b"ENCRYPTED PRIVATE KEY").is_some()
                    || memchr::memmem::find(&bytes, b"Proc-Type: 4,ENCRYPTED").is_some()
                {
                    fault(
                        store,
                        "its private key is encrypted; decrypt it (openssl pkey -in key.pem -out plain.pem) or use a \
                         PKCS12 store",
                    )
                } else {
                    fault(store, "it holds no private key in PEM; give the key's file beside the certificate's")
                }
            })?;
            Ok((chain, key))
        }
        StoreKind::Pkcs12 => {
            let Pkcs12Archive { keys, certs, .. } = open(store)?;
            let key = keys.into_iter().find(|bag| is_named(store, bag.friendly_name.as_deref()));
            let key = key.ok_or_else(|| nothing(store, "private key"))?;
            let chain = chain(&key, &certs);
            if chain.is_empty() {
                return Err(nothing(store, "certificate of its private key"));
            }
            Ok((chain, PrivatePkcs8KeyDer::from(key.key.as_der().to_vec()).into()))
        }
    }
}

/// The certificate of `key` and those above it.
fn chain(key: &PrivateKeyBag, certs: &[CertificateBag]) -> Vec<CertificateDer<'static>> {
    let is_its_own = |bag: &&CertificateBag| match (&key.local_key_id, &bag.local_key_id) {
        (Some(key), Some(certificate)) => key.as_ref() == certificate.as_slice(),
        _ => false,
    };
    // A store without key ids: the key's certificate is the one that has issued none of the others.
    let is_a_leaf = |bag: &&CertificateBag| {
        certs.iter().all(|other| other.cert == bag.cert || other.cert.issuer() != bag.cert.subject())
    };
    let mut next = certs.iter().find(is_its_own).or_else(|| certs.iter().find(is_a_leaf));
    let mut chain: Vec<&CertificateBag> = Vec::new();
    while let Some(bag) = next.filter(|bag| !chain.contains(bag)) {
        chain.push(bag);
        next = certs.iter().find(|above| above.cert.subject() == bag.cert.issuer());
    }
    chain.into_iter().map(der).collect()
}

fn der(bag: &CertificateBag) -> CertificateDer<'static> {
    CertificateDer::from(bag.cert.as_der().to_vec())
}

/// Java compares aliases without case.
fn is_named(store: &Store, name: Option<&str>) -> bool {
    store.alias.as_deref().is_none_or(|alias| name.is_some_and(|name| name.eq_ignore_ascii_case(alias)))
}

fn pem_certificates(bytes: &[u8], store: &Store) -> Result<Vec<CertificateDer<'static>>, Fault> {
    CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| fault(store, &format!("it is not PEM: {}", words(&error))))
}

/// What is wrong with PEM, without any of its bytes.
pub(super) fn words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a line that begins a section is not whole",
        pem::Error::Base64Decode(_) => "what stands between the lines of a section is not base64",
        pem::Error::SectionTooLarge => "a section is too large",
        _ => "it cannot be read",
    }
}

fn open(store: &Store) -> Result<Pkcs12Archive, Fault> {
    let bytes = read(store)?;
    let password = store.password.as_ref().map_or("", |password| password.expose_secret());
    Pkcs12Archive::from_pkcs12(&bytes, password).map_err(|error| match error {
        P12Error::MacError(_) if store.password.is_none() => fault(store, "it needs a password, and none is set"),
        P12Error::MacError(_) => fault(store, "its password is wrong"),
        P12Error::DerError(_) if bytes.starts_with(&[0xfe, 0xed, 0xfe, 0xed]) => fault(
            store,
            "it is a JKS store; convert it (keytool -importkeystore -srckeystore store.jks -destkeystore store.p12 \
             -deststoretype PKCS12)",
        ),
        P12Error::DerError(_) if bytes.starts_with(b"-----BEGIN") => {
            fault(store, "it is PEM, not PKCS12; set its type to PEM")
        }
        other => fault(store, &format!("it cannot be opened as PKCS12 ({other}); is its password right?")),
    })
}

fn read(store: &Store) -> Result<Vec<u8>, Fault> {
    match &store.source {
        StoreSource::Inline(bytes) => Ok(bytes.clone()),
        StoreSource::Files(paths) => {
            let mut all = Vec::new();
            for path in paths {
                let bytes = fs::read(path).map_err(|error| Fault {
                    variable: store.named_by.clone(),
                    found: Some(path.display().to_string()),
                    says: unread(&error),
                })?;
                all.extend(bytes);
                if store.kind == StoreKind::Pem {
                    all.push(b'\n');
                }
            }
            Ok(all)
        }
    }
}

/// Why a file could not be read.
pub(super) fn unread(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "the file cannot be read: no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "the file cannot be read: this process may not read it".to_owned(),
        kind => format!("the file cannot be read: {kind}"),
    }
}

fn nothing(store: &Store, what: &str) -> Fault {
    match &store.alias {
        Some(alias) => fault(store, &format!("it holds no {what} under the alias `{alias}`")),
        None => fault(store, &format!("it holds no {what}")),
    }
}

/// What is wrong with `store`, by the setting that names it, with its files.
pub(super) fn fault(store: &Store, what: &str) -> Fault {
    let found = match &store.source {
        StoreSource::Files(paths) => {
            Some(paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))
        }
        StoreSource::Inline(_) => None,
    };
    Fault { variable: store.named_by.clone(), found, says: what.to_owned() }
}

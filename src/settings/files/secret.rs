//! `secret://kubernetes/<name>:<key>?namespace=<namespace>`: a value that stands in a secret of Kubernetes.

use std::{collections::BTreeMap, io, path::Path};

use secrecy::SecretString;

use crate::settings::Environment;

/// How a reference begins.
pub(in crate::settings) const SCHEME: &str = "secret://";

/// Where mounted secrets are looked for when [`FOLDER`] does not say.
pub(in crate::settings) const DEFAULT_FOLDER: &str = "/run/secrets";
/// The variable that names the folder of mounted secrets.
const FOLDER: &str = "FEDERATION_AGENT_SECRETS_DIR";

const ACCEPTED: &str =
    "secret://kubernetes/<name>:<key>, with ?namespace=<namespace> at its end or without, is accepted";

/// A store of secrets that is asked for those that are not mounted.
pub trait Secrets: Send + Sync {
    /// All keys of a secret. Blocks; what it needs of variables and files comes from `environment`.
    ///
    /// # Errors
    /// A sentence that says what failed, why and what to do, with nothing secret in it.
    fn read(&self, environment: &Environment, asked: &SecretName) -> Result<BTreeMap<String, Vec<u8>>, String>;
}

/// Which secret is asked for, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretName {
    /// Its namespace; `None` is the one that the agent runs in.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// A reference, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) secret: SecretName,
    pub(super) key: String,
}

/// Takes `text` apart. An error is a sentence.
pub(super) fn parse(text: &str) -> Result<Reference, String> {
    let rest = text.trim().strip_prefix(SCHEME).unwrap_or_default();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let Some((store, place)) = rest.split_once('/') else {
        return Err(format!("this is no reference to a secret; {ACCEPTED}"));
    };
    if store != "kubernetes" {
        return Err(format!(
            "only secrets of Kubernetes are resolved; {ACCEPTED}. From another store, have the secret mounted as a file and \
             name it in the same variable with _FILE at its end"
        ));
    }
    let Some((name, key)) = place.split_once(':').filter(|(_, key)| !key.is_empty()) else {
        return Err(format!("the reference names no key of the secret; {ACCEPTED}"));
    };
    let namespace = query.split('&').find_map(|pair| pair.strip_prefix("namespace=")).filter(|text| !text.is_empty());
    // They become parts of a path and of an address.
    if !is_name(name) || !namespace.is_none_or(is_name) {
        return Err(format!("a secret's name and namespace have small letters, digits, `-` and `.`; {ACCEPTED}"));
    }
    if key.len() > 253
        || key.starts_with("..")
        || !key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    {
        return Err(format!("a secret's key has letters, digits, `-`, `_` and `.`; {ACCEPTED}"));
    }
    Ok(Reference {
        secret: SecretName { namespace: namespace.map(str::to_owned), name: name.to_owned() },
        key: key.to_owned(),
    })
}

pub(super) fn is_name(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= 253
        && text.bytes().all(|byte| is_inner(byte) || b"-.".contains(&byte))
        && text.bytes().next().is_some_and(is_inner)
        && text.bytes().last().is_some_and(is_inner)
}

/// What `reference` stands for: of the folder of mounted secrets, else of the environment's store.
pub(super) fn resolve(
    environment: &Environment,
    reference: Reference,
    store_is_on: bool,
) -> Result<SecretString, String> {
    let Reference { secret, key } = reference;
    let folder = environment.get(FOLDER).map(str::trim).filter(|text| !text.is_empty()).unwrap_or(DEFAULT_FOLDER);
    let mounted = Path::new(folder).join(&secret.name).join(&key);
    match environment.read_file(&mounted) {
        Ok(content) => return text(content, &mounted.display().to_string()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
        Err(error) => return Err(format!("{} cannot be read: {error}", mounted.display())),
    }
    if !store_is_on {
        return Err(format!(
            "there is no {}, and secrets.kubernetes.enabled is false; mount the secret there, or switch it on",
            mounted.display()
        ));
    }
    let found = environment.secret(&secret).map_err(|says| format!("there is no {}, and {says}", mounted.display()))?;
    match found.get(&key) {
        Some(content) => text(content.clone(), &format!("the key {key} of the secret {}", secret.name)),
        None => Err(format!(
            "the secret {} has no key {key}; it has {}",
            secret.name,
            if found.is_empty() { "none".into() } else { found.into_keys().collect::<Vec<_>>().join(", ") }
        )),
    }
}

/// `content` as text, without the line end that editors and `echo` leave.
fn text(content: Vec<u8>, place: &str) -> Result<SecretString, String> {
    let text = String::from_utf8(content).map_err(|_| format!("{place} is not UTF-8 text"))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() { Err(format!("{place} is empty")) } else { Ok(SecretString::from(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        let of = |text| parse(text).map(|Reference { secret, key }| (secret.namespace, secret.name, key));
        assert_eq!(of("secret://kubernetes/apim:token"), Ok((None, "apim".into(), "token".into())));
        assert_eq!(
            of(" secret://kubernetes/a.b-1:tls.crt?watch=true&namespace=ns "),
            Ok((Some("ns".into()), "a.b-1".into(), "tls.crt".into()))
        );
        for (text, word) in [
            ("secret://", "no reference"),
            ("secret://hunter2", "no reference"),
            ("secret://vault/a:b", "only secrets of Kubernetes"),
            ("secret://kubernetes/a", "no key"),
            ("secret://kubernetes/a:", "no key"),
            ("secret://kubernetes/../a:b", "name and namespace"),
            ("secret://kubernetes/..:b", "name and namespace"),
            ("secret://kubernetes/a:b?namespace=A/b", "name and namespace"),
            ("secret://kubernetes/a:..", "key has letters"),
            ("secret://kubernetes/a:b/c", "key has letters"),
        ] {
            let says = parse(text).unwrap_err();
            assert!(says.contains(word) && !says.contains("hunter2"), "{text}: {says}");
        }
    }
}

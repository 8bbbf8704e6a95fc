//! How the controller is trusted, and who the agent is to it.

use std::path::{Path, PathBuf};

use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretString};

use super::{
    Store, StoreKind, StoreSource, Tls, Values,
    reader::{MASK, Reader, shown},
};

const TRUSTSTORE: &str = "ssl.truststore.";
const KEYSTORE: &str = "ssl.keystore.";

/// What every JKS file begins with.
const JKS_MAGIC: [u8; 4] = [0xFE, 0xED, 0xFE, 0xED];

/// Reads the TLS keys: the connector's, else those of the cloud's client, each store as a whole.
pub(super) fn read(reader: &mut Reader<'_>, ws: &Values, cloud: &Values) -> Tls {
    let trust = one(ws, cloud, "ssl.trustAll");
    let verify = one(ws, cloud, "ssl.verifyHost");
    let tls = Tls {
        trust_all: trust.flag("ssl.trustAll"),
        skip_host_check: !verify.flag("ssl.verifyHost"),
        truststore: store(reader, family(ws, cloud, TRUSTSTORE), TRUSTSTORE),
        extra_ca: None,
        keystore: keystore(reader, family(ws, cloud, KEYSTORE)),
    };
    if tls.trust_all {
        reader.warnings.push(format!(
            "{} is true: any certificate is trusted, and whoever stands between can read the token",
            trust.variable("ssl.trustAll")
        ));
    }
    if tls.skip_host_check {
        reader.warnings.push(format!(
            "{} is false: the certificate of any host is taken for the controller's",
            verify.variable("ssl.verifyHost")
        ));
    }
    if tls.trust_all && tls.truststore.is_some() {
        reader.warnings.push(format!("the trust store has no effect while {} is true", trust.variable("ssl.trustAll")));
    }
    tls
}

/// The values that hold `name`: the connector's when it is set there or nowhere.
fn one<'v>(ws: &'v Values, cloud: &'v Values, name: &str) -> &'v Values {
    if !ws.is_given(name) && cloud.is_given(name) { cloud } else { ws }
}

/// The values that hold the keys which begin with `prefix`: the connector's when any is set there, or none anywhere.
pub(super) fn family<'v>(ws: &'v Values, cloud: &'v Values, prefix: &str) -> &'v Values {
    if !has_family(ws, prefix) && has_family(cloud, prefix) { cloud } else { ws }
}

pub(super) fn has_family(values: &Values, prefix: &str) -> bool {
    values.given().any(|name| name.starts_with(prefix))
}

/// The certificate and key that the keys below `ssl.keystore.` name.
pub(super) fn keystore(reader: &mut Reader<'_>, values: &Values) -> Option<Store> {
    let mut pairs: Vec<([String; 2], [Option<&str>; 2])> = Vec::new();
    let cert = values.text("ssl.keystore.certPath");
    let key = values.text("ssl.keystore.keyPath");
    if cert.is_some() || key.is_some() {
        let names = ["ssl.keystore.certPath", "ssl.keystore.keyPath"].map(|name| values.variable(name));
        pairs.push((names, [cert, key]));
        for (name, path, other) in [("certPath", cert, "keyPath"), ("keyPath", key, "certPath")] {
            if path.is_none() {
                let other = values.variable(&format!("{KEYSTORE}{other}"));
                let says = format!("must be set as well as {other}");
                reader.fault(&values.variable(&format!("{KEYSTORE}{name}")), None, says);
            }
        }
    }
    let group = values.group("ssl.keystore.certificates");
    pairs.extend(group.iter().map(|entry| {
        let names = ["cert", "key"];
        (names.map(|name| entry.variable(name)), names.map(|name| entry.text(name)))
    }));
    let Some((names, paths)) = pairs.first() else { return store(reader, values, KEYSTORE) };
    let named_by = &names[0];

    let whole =
        [values.text("ssl.keystore.path"), values.secret("ssl.keystore.content").map(ExposeSecret::expose_secret)];
    if pairs.len() > 1 || whole.iter().any(Option::is_some) {
        let says = "the agent shows one certificate; keep one of path, content, certPath and certificates_0";
        reader.fault(named_by, None, says);
    }
    if let Some(kind) = values.text("ssl.keystore.type").filter(|kind| *kind != "PEM") {
        let says = "certificate and key in two files are PEM; PEM is accepted".to_owned();
        reader.fault(&values.variable("ssl.keystore.type"), Some(kind.to_owned()), says);
    }
    let mut files = Vec::new();
    for (name, path) in names.iter().zip(paths) {
        if let Some(path) = path {
            readable(reader, name, Path::new(path));
            files.push(PathBuf::from(path));
        }
    }
    Some(Store {
        kind: StoreKind::Pem,
        source: StoreSource::Files(files),
        password: values.secret("ssl.keystore.password").cloned(),
        alias: None,
        named_by: named_by.clone(),
    })
}

/// The store whose keys begin with `prefix`.
fn store(reader: &mut Reader<'_>, values: &Values, prefix: &str) -> Option<Store> {
    let key = |name: &str| format!("{prefix}{name}");
    let path = values.text(&key("path"));
    let content = values.secret(&key("content"));
    if path.is_none() && content.is_none() {
        if let Some(alone) = values.given().find(|name| name.starts_with(prefix)) {
            let (alone, path) = (values.variable(alone), values.variable(&key("path")));
            reader.warnings.push(format!("{alone} is not used, since {path} is not set"));
        }
        return None;
    }
    if let (Some(path), Some(_)) = (path, content) {
        let says = format!("{} is set as well; keep one of the two", values.variable(&key("content")));
        reader.fault(&values.variable(&key("path")), Some(shown(path)), says);
        return None;
    }
    let type_name = values.variable(&key("type"));
    let word = values.text(&key("type"));
    let named_by = values.variable(&key(if path.is_some() { "path" } else { "content" }));
    let jks = |reader: &mut Reader<'_>, named_by: &str| {
        let (name, found) = match (word, path) {
            (Some(word), _) => (type_name.as_str(), word.to_owned()),
            (None, Some(path)) => (named_by, shown(path)),
            (None, None) => (named_by, MASK.to_owned()),
        };
        let says = format!(
            "JKS stores are not read; convert it with `{}`, then set the path to the new file and the type to PKCS12",
            keytool(path.unwrap_or("store.jks"))
        );
        reader.fault(name, Some(found), says);
    };
    let by_name = path.and_then(|path| type_by_name(Path::new(path)));
    // Said whether the file is there or not: what has to be done is the same.
    if word.or(by_name) == Some("JKS") {
        jks(reader, &named_by);
        return None;
    }
    let (source, bytes) = match (path, content) {
        (Some(path), _) => {
            (StoreSource::Files(vec![PathBuf::from(path)]), readable(reader, &named_by, Path::new(path)))
        }
        (None, Some(content)) => {
            let bytes = decoded(reader, &named_by, content);
            (StoreSource::Inline(bytes.clone().unwrap_or_default()), bytes)
        }
        (None, None) => return None,
    };
    if bytes.as_ref().is_some_and(|bytes| bytes.starts_with(&JKS_MAGIC)) {
        jks(reader, &named_by);
        return None;
    }
    let by_content = bytes.as_ref().filter(|bytes| bytes.starts_with(b"-----BEGIN ")).map(|_| "PEM");
    let kind = match word.or(by_name).or(by_content) {
        Some("PEM") => StoreKind::Pem,
        Some(_) => StoreKind::Pkcs12,
        None => {
            // A word that is no type has its fault already.
            if !values.is_given(&key("type")) {
                let says =
                    "must be set, since the name of the store does not tell its format; PEM or PKCS12 is accepted";
                reader.fault(&type_name, None, says);
            }
            return None;
        }
    };
    bytes.map(|_| Store {
        kind,
        source,
        password: values.secret(&key("password")).cloned(),
        alias: values.text(&key("alias")).map(str::to_owned),
        named_by,
    })
}

/// The line that makes a PKCS#12 store of the JKS store at `path`.
fn keytool(path: &str) -> String {
    let new = Path::new(path).with_extension("p12");
    let quoted = |path: &str| {
        let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+".contains(c));
        if plain { path.to_owned() } else { format!("'{}'", shown(path).replace('\'', "'\\''")) }
    };
    format!(
        "keytool -importkeystore -srckeystore {} -destkeystore {} -deststoretype PKCS12",
        quoted(path),
        quoted(&new.to_string_lossy())
    )
}

fn type_by_name(path: &Path) -> Option<&'static str> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "pem" | "crt" | "cer" | "key" => Some("PEM"),
        "p12" | "pfx" | "pkcs12" => Some("PKCS12"),
        "jks" => Some("JKS"),
        _ => None,
    }
}

fn readable(reader: &mut Reader<'_>, name: &str, path: &Path) -> Option<Vec<u8>> {
    match reader.environment.read_file(path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            let found = shown(&path.to_string_lossy());
            reader.fault(
                name,
                Some(found),
                format!("the file cannot be read: {error}; the path of a store is accepted"),
            );
            None
        }
    }
}

/// The bytes of an inline store: base64, or PEM text as it is.
fn decoded(reader: &mut Reader<'_>, name: &str, content: &SecretString) -> Option<Vec<u8>> {
    let text = content.expose_secret();
    if text.contains("-----BEGIN ") {
        return Some(text.as_bytes().to_vec());
    }
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    match BASE64_STANDARD.decode(compact) {
        Ok(bytes) if !bytes.is_empty() => Some(bytes),
        _ => {
            reader.fault(name, Some(MASK.into()), "this is not base64; a store as base64 is accepted");
            None
        }
    }
}

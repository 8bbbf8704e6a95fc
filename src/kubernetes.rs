//! The secrets of the cluster that the agent runs in, asked of its API with the pod's service account: what
//! `secret://kubernetes/…` in the settings stands for when it is not mounted.
//!
//! One GET a secret (Kubernetes API, `core/v1`, "read the specified Secret"), at the start, by TLS with the cluster's own
//! CA alone, never through a proxy. Nothing is watched: a changed secret is seen at the next start.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde::Deserialize;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;

use crate::settings::{Environment, SecretName, Secrets};

/// Where Kubernetes mounts a pod's service account.
pub const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pauses between tries.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
/// The longest answer: a secret has 1 MiB at most, a third more as base64, and what describes it.
const LONGEST: usize = 4 * 1024 * 1024;

/// The cluster around this process, if there is one.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// Why its API could not be reached: then it is not asked for the other secrets, each of which would take as long.
    unreached: Arc<OnceLock<String>>,
}

/// How its API is reached.
struct Api {
    host: String,
    port: u16,
    token: String,
    namespace: String,
    tls: Arc<ClientConfig>,
}

/// A secret, as far as it matters here.
#[derive(Deserialize)]
struct Secret {
    #[serde(default)]
    data: BTreeMap<String, String>,
}

/// What a failed request comes to.
enum Failure {
    /// It may go better the next time.
    Passing(String),
    /// It will not.
    Lasting(String),
}

impl Secrets for Cluster {
    fn read(&self, environment: &Environment, asked: &SecretName) -> Result<BTreeMap<String, Vec<u8>>, String> {
        if let Some(why) = self.unreached.get() {
            return Err(why.clone());
        }
        let api = Api::of(environment, asked)?;
        let (name, unreached) = (asked.name.clone(), Arc::clone(&self.unreached));
        // Settings are read before there is a runtime, and by tests within one: this has a thread of its own.
        let reading = thread::Builder::new().name("kubernetes".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| format!("the system gave nothing to ask the Kubernetes API with: {error}"))?;
            runtime.block_on(api.read_patiently(&name, &unreached))
        });
        match reading.map(thread::JoinHandle::join) {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err("asking the Kubernetes API failed inside the agent; please report it".into()),
            Err(error) => Err(format!("the system gave no thread to ask the Kubernetes API: {error}")),
        }
    }
}

impl Api {
    fn of(environment: &Environment, asked: &SecretName) -> Result<Self, String> {
        let variable = |name: &str| environment.get(name).map(str::trim).filter(|text| !text.is_empty());
        let (Some(host), Some(port)) = (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT"))
        else {
            return Err(
                "this is no pod of Kubernetes whose API could be asked (KUBERNETES_SERVICE_HOST is not set); mount \
                        the secret there"
                    .into(),
            );
        };
        let port = port.parse().map_err(|_| format!("KUBERNETES_SERVICE_PORT is no port: {port}"))?;
        let account = |name: &str| {
            let path = Path::new(ACCOUNT).join(name);
            environment.read_file(&path).map_err(|error| {
                let why = if error.kind() == io::ErrorKind::NotFound {
                    "is not there; set automountServiceAccountToken: true for the pod".to_owned()
                } else {
                    format!("cannot be read: {error}")
                };
                format!("the Kubernetes API cannot be asked: {} {why}, or mount the secret", path.display())
            })
        };
        let text = |name: &str| {
            let text = String::from_utf8(account(name)?).unwrap_or_default().trim().to_owned();
            if text.is_empty() || text.contains(|letter: char| letter.is_control() || letter == '/') {
                return Err(format!("the Kubernetes API cannot be asked: {ACCOUNT}/{name} is not what it should be"));
            }
            Ok(text)
        };
        let namespace = match &asked.namespace {
            Some(namespace) => namespace.clone(),
            None => text("namespace")?,
        };
        let token = String::from_utf8(account("token")?).unwrap_or_default().trim().to_owned();
        Ok(Self { host: host.to_owned(), port, token, namespace, tls: trusting(&account("ca.crt")?)? })
    }

    /// Reads a secret, several times when it may be of use.
    async fn read_patiently(
        &self,
        name: &str,
        unreached: &OnceLock<String>,
    ) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let mut pauses = PAUSES.iter();
        loop {
            let tried = match timeout(PATIENCE, self.read(name)).await {
                Ok(tried) => tried,
                Err(_) => Err(Failure::Passing(format!("no answer came within {} s", PATIENCE.as_secs()))),
            };
            let why = match tried {
                Ok(found) => return Ok(found),
                Err(Failure::Lasting(says)) => return Err(says),
                Err(Failure::Passing(why)) => why,
            };
            if let Some(pause) = pauses.next() {
                tokio::time::sleep(*pause).await;
                continue;
            }
            let says = format!(
                "the Kubernetes API at {}:{} could not be asked for it: {why}; tried {} times. Does a network policy let \
                 the agent reach it?",
                self.host,
                self.port,
                PAUSES.len() + 1
            );
            return Err(unreached.get_or_init(|| says).clone());
        }
    }

    async fn read(&self, name: &str) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
        let passing = |what: &str, error: &dyn std::fmt::Display| Failure::Passing(format!("{what}: {error}"));
        let server = ServerName::try_from(self.host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| Failure::Lasting(format!("KUBERNETES_SERVICE_HOST is no host: {}", self.host)))?;
        let stream = TcpStream::connect((self.host.trim_matches(['[', ']']), self.port))
            .await
            .map_err(|error| passing("no connection", &error))?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(server, stream).await.map_err(|error| {
            let by_certificate = error
                .get_ref()
                .is_some_and(|inner| matches!(inner.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))));
            if by_certificate {
                Failure::Lasting(format!(
                    "what answers at {}:{} is not the Kubernetes API that {ACCOUNT}/ca.crt is of: {error}",
                    self.host, self.port
                ))
            } else {
                passing("TLS failed", &error)
            }
        })?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| passing("no HTTP", &error))?;
        tokio::spawn(connection);
        let mut bearer = http::HeaderValue::from_str(&format!("Bearer {}", self.token))
            .map_err(|_| Failure::Lasting(format!("{ACCOUNT}/token is no token")))?;
        bearer.set_sensitive(true);
        let request = Request::get(format!("/api/v1/namespaces/{}/secrets/{name}", self.namespace))
            .header(header::HOST, format!("{}:{}", self.host, self.port))
            .header(header::AUTHORIZATION, bearer)
            .header(header::ACCEPT, "application/json")
            .body(Empty::<bytes::Bytes>::new())
            .map_err(|error| Failure::Lasting(format!("the Kubernetes API cannot be asked for it: {error}")))?;
        let answer = sender.send_request(request).await.map_err(|error| passing("no answer", &error))?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(self.refused(status, name));
        }
        let body = Limited::new(answer.into_body(), LONGEST)
            .collect()
            .await
            .map_err(|error| passing("the answer broke off", &error))?;
        // Neither error may repeat what it met.
        let unread = || Failure::Lasting("the Kubernetes API's answer is not a secret".into());
        let secret: Secret = serde_json::from_slice(&body.to_bytes()).map_err(|_| unread())?;
        secret
            .data
            .into_iter()
            .map(|(key, value)| Ok((key, BASE64_STANDARD.decode(value).map_err(|_| unread())?)))
            .collect()
    }

    /// What an answer other than the secret means, and what to do.
    fn refused(&self, status: StatusCode, name: &str) -> Failure {
        let namespace = &self.namespace;
        match status {
            StatusCode::UNAUTHORIZED => Failure::Lasting(format!(
                "the Kubernetes API does not take the token of the pod's service account (401); is {ACCOUNT}/token one of \
                 this cluster?"
            )),
            StatusCode::FORBIDDEN => Failure::Lasting(format!(
                "the pod's service account may not read the secret {name} in the namespace {namespace} (403); give it a Role \
                 there with the rule apiGroups: [\"\"], resources: [\"secrets\"], resourceNames: [\"{name}\"], verbs: \
                 [\"get\"], and a RoleBinding of that Role to it"
            )),
            StatusCode::NOT_FOUND => Failure::Lasting(format!(
                "there is no secret {name} in the namespace {namespace} (404); create it, or name its namespace with \
                 ?namespace=<namespace>"
            )),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Failure::Passing(format!("it answered {status}"))
            }
            status => {
                Failure::Lasting(format!("the Kubernetes API answered {status} to the question for the secret {name}"))
            }
        }
    }
}

/// TLS that trusts the certificates in `pem` and no others.
fn trusting(pem: &[u8]) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let added = certificate.ok().and_then(|certificate| roots.add(certificate).ok());
        if added.is_none() {
            return Err(format!("the Kubernetes API cannot be asked: {ACCOUNT}/ca.crt holds a bad certificate"));
        }
    }
    if roots.is_empty() {
        return Err(format!("the Kubernetes API cannot be asked: {ACCOUNT}/ca.crt holds no certificate"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be had: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

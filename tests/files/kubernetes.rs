//! Secrets of a Kubernetes API: a small one by TLS in the test, asked as a pod asks.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use federation_agent::{
    kubernetes::{ACCOUNT, Cluster},
    settings::{Environment, SecretName, Secrets},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

/// An API that gives these answers one after the other, the last one for ever, and notes what it was asked.
struct Api {
    port: u16,
    ca: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Api {
    async fn start(answers: Vec<(u16, String)>) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).expect("a certificate");
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".into()]).expect("parameters");
        let certificate = params.signed_by(&own, &issuer).expect("a certificate");
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .expect("a configuration");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let theirs = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut answers = answers;
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let (mut head, mut byte) = (Vec::new(), [0]);
                while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte).await, Ok(1)) {
                    head.push(byte[0]);
                }
                theirs.lock().expect("nobody panics").push(String::from_utf8_lossy(&head).into_owned());
                let (status, body) = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
                let answer =
                    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
                let _gone = stream.write_all(answer.as_bytes()).await;
                let _gone = stream.shutdown().await;
            }
        });
        Self { port, ca: ca.pem(), asked }
    }

    /// What a pod of the namespace `own` has; `files` instead of some of its files.
    fn environment(&self, files: &[(&str, &str)]) -> Environment {
        let mut all: BTreeMap<String, String> =
            [("token", "the-pods-token\n"), ("namespace", "own"), ("ca.crt", self.ca.as_str())]
                .into_iter()
                .chain(files.iter().copied())
                .map(|(name, text)| (format!("{ACCOUNT}/{name}"), text.to_owned()))
                .collect();
        all.retain(|_, text| text != "absent");
        let environment: Environment = [
            ("KUBERNETES_SERVICE_HOST", "127.0.0.1".to_owned()),
            ("KUBERNETES_SERVICE_PORT", self.port.to_string()),
            // The API is never reached by a proxy.
            ("HTTPS_PROXY", "http://127.0.0.1:1".to_owned()),
        ]
        .into_iter()
        .collect();
        environment.with_files(move |path: &Path| match all.get(&path.display().to_string()) {
            Some(text) => Ok(text.clone().into_bytes()),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        })
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panics").clone()
    }
}

async fn read(environment: Environment, namespace: Option<&str>) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let asked = SecretName { namespace: namespace.map(str::to_owned), name: "apim".into() };
    tokio::task::spawn_blocking(move || Cluster::default().read(&environment, &asked)).await.expect("no panic")
}

fn secret() -> (u16, String) {
    (
        200,
        format!(
            r#"{{"kind":"Secret","metadata":{{"name":"apim"}},"data":{{"token":"{}"}},"type":"Opaque"}}"#,
            BASE64_STANDARD.encode("bearer x")
        ),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_asked_for_as_a_pod_asks() {
    let api = Api::start(vec![secret()]).await;
    let found = read(api.environment(&[]), None).await.expect("the secret");
    assert_eq!(found["token"], b"bearer x");
    read(api.environment(&[]), Some("apim-system")).await.expect("the secret");
    let asked = api.asked();
    assert!(asked[0].starts_with("GET /api/v1/namespaces/own/secrets/apim HTTP/1.1\r\n"), "{asked:?}");
    assert!(asked[0].contains("authorization: Bearer the-pods-token\r\n"), "{asked:?}");
    assert!(asked[1].starts_with("GET /api/v1/namespaces/apim-system/secrets/apim "), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_is_tried_again_and_what_lasts_is_not() {
    let api = Api::start(vec![(500, String::new()), (429, String::new()), secret()]).await;
    read(api.environment(&[]), None).await.expect("the secret");
    assert_eq!(api.asked().len(), 3);
    for (answer, words, times) in [
        ((403, "{}"), "resourceNames: [\"apim\"], verbs: [\"get\"], and a RoleBinding", 1),
        ((404, "{}"), "no secret apim in the namespace own (404)", 1),
        ((401, "{}"), "does not take the token", 1),
        ((200, "hunter2"), "is not a secret", 1),
        ((200, r#"{"data":{"token":"hunter2 is no base64"}}"#), "is not a secret", 1),
        ((503, "{}"), "503 Service Unavailable; tried 3 times", 3),
        ((302, "{}"), "answered 302", 1),
    ] {
        let api = Api::start(vec![(answer.0, answer.1.to_owned())]).await;
        let says = read(api.environment(&[]), None).await.expect_err("a fault");
        assert!(says.contains(words) && !says.contains("hunter2") && !says.contains("the-pods-token"), "{says}");
        assert_eq!(api.asked().len(), times, "{says}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_that_cannot_be_reached_is_not_asked_for_every_secret() {
    let api = Api::start(vec![(503, String::new())]).await;
    let environment = api.environment(&[]);
    let said = tokio::task::spawn_blocking(move || {
        let cluster = Cluster::default();
        ["apim", "aws", "users"].map(|name| {
            let asked = SecretName { namespace: None, name: name.to_owned() };
            cluster.read(&environment, &asked).expect_err("a fault")
        })
    });
    let said = said.await.expect("no panic");
    assert!(said.iter().all(|says| says.contains("tried 3 times")), "{said:?}");
    assert_eq!(api.asked().len(), 3, "each would take as long as the first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_around_the_pod_is_named() {
    let (api, other) = (Api::start(vec![secret()]).await, Api::start(vec![secret()]).await);
    for (file, words) in [
        (("token", "absent"), "token is not there; set automountServiceAccountToken: true"),
        (("ca.crt", "absent"), "ca.crt is not there"),
        (("ca.crt", "nothing"), "ca.crt holds no certificate"),
        (("ca.crt", other.ca.as_str()), "is not the Kubernetes API that"),
        (("namespace", "a/../b"), "namespace is not what it should be"),
    ] {
        let says = read(api.environment(&[file]), None).await.expect_err("a fault");
        assert!(says.contains(words), "{says}");
    }
    assert!(api.asked().is_empty(), "nobody but the cluster sees the token");
    let says = read(Environment::default(), None).await.expect_err("a fault");
    assert!(says.contains("KUBERNETES_SERVICE_HOST is not set"), "{says}");
}

//! The ways to AWS: through proxies, over TLS with a CA of one's own, and to the places that hand out credentials. The
//! proxy and the TLS are real; what only the environment can say goes through the real binary.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use federation_agent::{
    provider::Provider,
    settings::{Process, ProxyEnvironment},
    standin::{Estate, Gateway, REGION},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    shop::{PETS, user},
    suite::{
        asking::{call_for, list, listed},
        peer::Peer,
    },
};

/// The name under which the gateway is asked for: only a proxy can lead there.
const NAME: &str = "apigateway.test";

type Notes = Arc<Mutex<Vec<String>>>;

fn noted(notes: &Notes) -> Vec<String> {
    notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Serves every connection to a free port by `serve`.
async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// A request's head, to its empty line.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// A proxy that asks for `agent:s3cret`; every name leads to this machine.
async fn proxy() -> (SocketAddr, Notes) {
    let notes = Notes::default();
    let asked = Arc::clone(&notes);
    let serve = move |mut stream: TcpStream| {
        let asked = Arc::clone(&asked);
        async move {
            let Some(head) = head(&mut stream).await else { return };
            let mut words = head.split(' ');
            let (verb, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            asked.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{verb} {target}"));
            let wanted = format!("proxy-authorization: basic {}", BASE64_STANDARD.encode("agent:s3cret"));
            if !head.lines().any(|line| line.eq_ignore_ascii_case(&wanted)) {
                let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
                let _gone = stream.write_all(refusal).await;
                return;
            }
            let host = target.trim_start_matches("http://").split('/').next().unwrap_or_default();
            let port = host.rsplit(':').next().unwrap_or_default();
            let Ok(mut to) = TcpStream::connect(format!("127.0.0.1:{port}")).await else { return };
            let begun = match verb {
                "CONNECT" => stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await,
                _ => to.write_all(head.as_bytes()).await,
            };
            if begun.is_ok() {
                let _ended = copy_bidirectional(&mut stream, &mut to).await;
            }
        }
    };
    (listen(serve).await, notes)
}

/// TLS before the gateway, by a certificate of a CA that nobody trusts; the CA in PEM.
async fn secure(gateway: &Gateway) -> (SocketAddr, String) {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let ca = params.self_signed(&key).expect("a certificate").pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![NAME.to_owned(), "localhost".to_owned()]).expect("names");
    let certificate = params.signed_by(&key, &issuer).expect("a certificate");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).expect("a key"),
        );
    let acceptor = TlsAcceptor::from(Arc::new(config.expect("a server")));
    let to = gateway.address();
    let serve = move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            if let Ok(mut to) = TcpStream::connect(to).await {
                let _ended = copy_bidirectional(&mut stream, &mut to).await;
            }
        }
    };
    (listen(serve).await, ca)
}

async fn demo() -> Peer {
    Peer::of(Gateway::start(Estate::demo()).await.expect("a loopback port"))
}

fn at(peer: &Peer, url: &str, process: &Process) -> Arc<dyn Provider> {
    peer.provider_in(process, &user(), &[("region", REGION), ("endpointUrl", url)])
}

/// Reads everything once: list, STS and documents.
async fn works(provider: &Arc<dyn Provider>) {
    let told = listed(provider).await;
    provider.read(&call_for(Duration::from_secs(20)), told.api(PETS)).await.expect("it can be read");
}

async fn fails(provider: &Arc<dyn Provider>) -> String {
    let error = list(provider, &call_for(Duration::from_secs(20))).await.outcome.expect_err("no way leads there");
    assert!(error.class().is_passing(), "{error:?}");
    error.sentence().to_owned()
}

fn through(proxy: String) -> SecretString {
    SecretString::from(proxy)
}

#[tokio::test]
async fn https_goes_through_its_proxy_and_trusts_the_extra_ca() {
    let peer = demo().await;
    let (address, ca) = secure(peer.gateway().expect("the stand-in")).await;
    let (proxy, notes) = proxy().await;
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, ca).expect("it can be written");
    let url = format!("https://{NAME}:{}", address.port());
    let https = Some(through(format!("http://agent:s3cret@{proxy}")));
    let process = Process {
        ca_file: Some(ca_file),
        proxy_environment: ProxyEnvironment { https, ..ProxyEnvironment::default() },
        ..Process::default()
    };
    works(&at(&peer, &url, &process)).await;
    let asked = noted(&notes);
    assert!(!asked.is_empty() && asked.iter().all(|line| *line == format!("CONNECT {NAME}:{}", address.port())));

    let untrusted = Process { ca_file: None, ..process.clone() };
    let said = fails(&at(&peer, &url, &untrusted)).await;
    assert!(said.contains("FEDERATION_AGENT_CA_FILE"), "{said}");

    let https = Some(through(format!("http://agent:wr0ng@{proxy}")));
    let refused =
        Process { proxy_environment: ProxyEnvironment { https, ..ProxyEnvironment::default() }, ..process.clone() };
    let said = fails(&at(&peer, &url, &refused)).await;
    assert!(said.contains("HTTPS_PROXY") && !said.contains("wr0ng"), "{said}");

    // Whom NO_PROXY names is reached without.
    let before = noted(&notes).len();
    let mut straight = process;
    straight.proxy_environment.no = Some("localhost,10.0.0.0/8".to_owned());
    works(&at(&peer, &format!("https://localhost:{}", address.port()), &straight)).await;
    assert_eq!(noted(&notes).len(), before);
}

#[tokio::test]
async fn http_goes_through_its_own_proxy_and_loopback_through_none() {
    let peer = demo().await;
    let (proxy, notes) = proxy().await;
    let http = Some(through(format!("http://agent:s3cret@{proxy}")));
    let process =
        Process { proxy_environment: ProxyEnvironment { http, ..ProxyEnvironment::default() }, ..Process::default() };
    let url = format!("http://{NAME}:{}", peer.address().port());
    works(&at(&peer, &url, &process)).await;
    let asked = noted(&notes);
    // The first request of each connection, told whole: not a tunnel.
    let whole = format!(" {url}/");
    assert!(!asked.is_empty() && asked.iter().all(|line| line.contains(&whole)), "{asked:?}");
    let before = asked.len();
    works(&at(&peer, &peer.url(), &process)).await;
    assert_eq!(noted(&notes).len(), before);
}

// The default chain, by the real binary.

/// Answers requests whose line begins like this, each on a connection of its own; what is not known gets 404.
async fn endpoint(answers: Vec<(&'static str, &'static str, String)>) -> (SocketAddr, Notes) {
    let notes = Notes::default();
    let asked = Arc::clone(&notes);
    let answers = Arc::new(answers);
    let serve = move |mut stream: TcpStream| {
        let (asked, answers) = (Arc::clone(&asked), Arc::clone(&answers));
        async move {
            let Some(head) = head(&mut stream).await else { return };
            asked.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")
                    .map(|length| length.trim().parse::<usize>().unwrap_or_default())
            });
            let mut body = vec![0; length.unwrap_or_default()];
            let _body = stream.read_exact(&mut body).await;
            let answer = match answers.iter().find(|(line, ..)| head.starts_with(line)) {
                Some((_, headers, body)) => {
                    format!(
                        "HTTP/1.1 200 OK\r\nConnection: close\r\n{headers}\r\nContent-Length: {}\r\n\r\n{body}",
                        body.len()
                    )
                }
                None => "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_owned(),
            };
            let _gone = stream.write_all(answer.as_bytes()).await;
        }
    };
    (listen(serve).await, notes)
}

/// What the chain's endpoints hand out, as each of them words it.
fn handed_out(access_key_id: &str) -> String {
    format!(
        r#"{{"Code":"Success","Type":"AWS-HMAC","LastUpdated":"2026-01-01T00:00:00Z","AccessKeyId":"{access_key_id}","SecretAccessKey":"any","Token":"t","RoleArn":"x","Expiration":"2099-01-01T00:00:00Z"}}"#
    )
}

/// A shop with one user, whose access key alone opens it.
async fn guarded() -> (Peer, String) {
    let peer = Peer::standin().await;
    let account = peer.account();
    peer.build(&account, REGION, crate::suite::discovery::shop(&account)).await;
    let user = peer.user(&account, "agent").await;
    (peer, user.access_key_id)
}

/// Runs `discover` with these variables, all of AWS at `peer`, and proxies that lead nowhere; what it said.
async fn discovers(peer: &Peer, variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = tokio::process::Command::new(assert_cmd::cargo::cargo_bin!("federation-agent"));
    command.args(["discover", "--output", "json"]).env_clear().kill_on_drop(true);
    let nowhere = "http://127.0.0.1:1";
    for (name, value) in [
        ("gravitee_integration_providers_0_type", "aws-api-gateway"),
        ("gravitee_integration_providers_0_integrationId", "1f0b2c3d-0000-4000-8000-00000000cafe"),
        ("gravitee_integration_providers_0_configuration_region", REGION),
        ("AWS_ENDPOINT_URL", &peer.url()),
        ("HTTP_PROXY", nowhere),
        ("HTTPS_PROXY", nowhere),
    ]
    .iter()
    .chain(variables)
    {
        command.env(name, value);
    }
    let output = command.output().await.expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[track_caller]
fn found((well, said): (bool, String)) {
    assert!(well && said.contains("Petstore"), "{said}");
}

#[tokio::test]
async fn credentials_come_from_the_environment() {
    let (peer, id) = guarded().await;
    found(discovers(&peer, &[("AWS_ACCESS_KEY_ID", &id), ("AWS_SECRET_ACCESS_KEY", "any")]).await);
    let (well, said) = discovers(&peer, &[("AWS_ACCESS_KEY_ID", "AKIAOTHER"), ("AWS_SECRET_ACCESS_KEY", "any")]).await;
    assert!(!well && said.contains("does not know the credentials"), "{said}");
}

#[tokio::test]
async fn credentials_come_from_a_profile() {
    let (peer, id) = guarded().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (config, pairs) = (folder.path().join("config"), folder.path().join("credentials"));
    std::fs::write(&config, "[profile portal]\nregion = eu-north-1\n").expect("it can be written");
    std::fs::write(&pairs, format!("[portal]\naws_access_key_id = {id}\naws_secret_access_key = any\n")).expect("it");
    let (config, pairs) = (config.display().to_string(), pairs.display().to_string());
    found(
        discovers(
            &peer,
            &[("AWS_CONFIG_FILE", &config), ("AWS_SHARED_CREDENTIALS_FILE", &pairs), ("AWS_PROFILE", "portal")],
        )
        .await,
    );
}

#[tokio::test]
async fn credentials_come_from_a_containers_endpoint_past_the_proxy() {
    let (peer, id) = guarded().await;
    let (address, notes) = endpoint(vec![("GET /role", "Content-Type: application/json", handed_out(&id))]).await;
    let url = format!("http://{address}/role");
    let variables =
        [("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod")];
    found(discovers(&peer, &variables).await);
    let asked = noted(&notes);
    assert!(asked.iter().any(|head| head.to_lowercase().contains("authorization: pod")), "{asked:?}");
}

#[tokio::test]
async fn credentials_come_from_a_web_identity() {
    let (peer, id) = guarded().await;
    let xml = format!(
        "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <AssumeRoleWithWebIdentityResult><AssumedRoleUser><AssumedRoleId>AROA:x</AssumedRoleId>\
         <Arn>arn:aws:sts::123456789012:assumed-role/pod/x</Arn></AssumedRoleUser><Credentials>\
         <AccessKeyId>{id}</AccessKeyId><SecretAccessKey>any</SecretAccessKey><SessionToken>t</SessionToken>\
         <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>\
         </AssumeRoleWithWebIdentityResponse>"
    );
    let (address, notes) = endpoint(vec![("POST /", "Content-Type: text/xml", xml)]).await;
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "a-token").expect("it can be written");
    let (token, sts) = (token.display().to_string(), format!("http://{address}"));
    found(
        discovers(
            &peer,
            &[
                ("AWS_WEB_IDENTITY_TOKEN_FILE", &token),
                ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/pod"),
                // Not a region: a compose file may hold a list there.
                ("AWS_REGION", "eu-west-1,us-east-1"),
                ("AWS_ENDPOINT_URL_STS", &sts),
            ],
        )
        .await,
    );
    assert!(!noted(&notes).is_empty());
}

#[tokio::test]
async fn credentials_come_from_an_instances_role_past_the_proxy() {
    let (peer, id) = guarded().await;
    let json = "Content-Type: application/json";
    let role = "/latest/meta-data/iam/security-credentials";
    let (address, notes) = endpoint(vec![
        ("PUT /latest/api/token", "x-aws-ec2-metadata-token-ttl-seconds: 21600", "token".to_owned()),
        ("GET /latest/meta-data/iam/security-credentials/portal", json, handed_out(&id)),
        ("GET /latest/meta-data/iam/security-credentials/", "Content-Type: text/plain", "portal".to_owned()),
    ])
    .await;
    let url = format!("http://{address}");
    found(discovers(&peer, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)]).await);
    assert!(noted(&notes).iter().any(|head| head.starts_with(&format!("GET {role}/portal"))));
}

/// With a hop limit of 1 the instance's answer never reaches a container: it connects and hears nothing.
#[tokio::test]
async fn an_instance_role_that_does_not_answer_names_the_hop_limit() {
    let peer = demo().await;
    let address = listen(|stream| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let began = Instant::now();
    let url = format!("http://{address}");
    let (well, said) = discovers(&peer, &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)]).await;
    assert!(!well && said.contains("hop limit"), "{:?}: {said}", began.elapsed());
}

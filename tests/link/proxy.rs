//! Through a real HTTP proxy of a few lines.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use super::{certificates::Ca, *};

/// A proxy that lets through whoever gives its credentials, to wherever they ask for; names lead to this machine.
struct TestProxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    async fn start(credentials: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Self::serve(stream, credentials, Arc::clone(&notes)));
            }
        });
        Self { address, asked }
    }

    async fn serve(mut stream: TcpStream, credentials: Option<&'static str>, asked: Arc<Mutex<Vec<String>>>) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else { return };
            head.push(byte);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        asked.lock().expect("unpoisoned").push(target.clone());
        let wanted = credentials.map(|pair| format!("Proxy-Authorization: Basic {}", BASE64_STANDARD.encode(pair)));
        if wanted.is_some_and(|wanted| !head.lines().any(|line| line == wanted)) {
            let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
            let _ = stream.write_all(refusal).await;
            return;
        }
        let port = target.rsplit(':').next().unwrap_or_default();
        match TcpStream::connect(format!("127.0.0.1:{port}")).await {
            Ok(mut to) => {
                let _ = stream.write_all(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n").await;
                let _ = copy_bidirectional(&mut stream, &mut to).await;
            }
            Err(_) => {
                let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
            }
        }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("unpoisoned").clone()
    }

    fn setting(&self, user: Option<(&str, &str)>) -> Proxy {
        let user = user.map(|(user, password)| (user.to_owned(), SecretString::from(password)));
        Proxy::Http { host: self.address.ip().to_string(), port: self.address.port(), user }
    }
}

#[tokio::test]
async fn the_links_own_proxy_is_used_with_its_credentials_for_http_and_https() {
    let proxy = TestProxy::start(Some("agent:s3cret")).await;
    let ca = Ca::new("ours");
    let tls = Some(ca.issue(&["plane.example"]).server(None));
    let secure = plane(PlaneSettings { tls, ..PlaneSettings::default() }).await;
    let plain = plane(PlaneSettings::default()).await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let path = folder.path().join("ca.pem");
    std::fs::write(&path, ca.certificate.pem()).expect("written");

    let port = |plane: &Plane| plane.address().expect("it listens").port();
    let urls = [format!("http://plane.example:{}", port(&plain)), format!("https://plane.example:{}", port(&secure))];
    for url in &urls {
        let mut settings = settings(url);
        settings.connector.tls.extra_ca = Some(path.clone());
        settings.connector.proxy = proxy.setting(Some(("agent", "s3cret")));
        let (steps, fault) = tried(&settings, &ProxyEnvironment::default()).await;
        assert_eq!((steps.last(), fault), (Some(&Step::Hello), None), "{url}");
    }
    assert_eq!(proxy.asked(), [format!("plane.example:{}", port(&plain)), format!("plane.example:{}", port(&secure))]);
}

#[tokio::test]
async fn a_refused_or_missing_password_names_the_setting_and_not_the_password() {
    let proxy = TestProxy::start(Some("agent:s3cret")).await;
    for (user, word) in [(Some(("agent", "wr0ng")), "refused its user name or password"), (None, "wants a user name")] {
        let mut settings = settings("http://plane.example:1");
        settings.connector.proxy = proxy.setting(user);
        let (steps, fault) = tried(&settings, &ProxyEnvironment::default()).await;
        let fault = fault.expect("refused");
        assert_eq!(steps, [Step::Connect]);
        assert!(fault.contains(word) && fault.contains("ws_proxy_password"), "{fault}");
        assert!(!fault.contains("wr0ng"), "{fault}");
    }
    let https = Some(format!("http://agent:wr0ng@{}", proxy.address).into());
    let environment = ProxyEnvironment { https, ..ProxyEnvironment::default() };
    let mut settings = settings("https://plane.example:1");
    settings.connector.proxy = Proxy::Environment;
    settings.connector.tls.trust_all = true;
    let fault = tried(&settings, &environment).await.1.expect("refused");
    assert!(fault.contains("HTTPS_PROXY") && !fault.contains("wr0ng"), "{fault}");
}

#[tokio::test]
async fn the_environments_proxy_is_used_unless_no_proxy_or_loopback_says_otherwise() {
    let proxy = TestProxy::start(None).await;
    let plane = plane(PlaneSettings::default()).await;
    let port = plane.address().expect("it listens").port();
    let environment = |no: &str| ProxyEnvironment {
        http: Some(format!("http://{}", proxy.address).into()),
        no: Some(no.into()),
        ..ProxyEnvironment::default()
    };
    let go = async |url: String, environment: ProxyEnvironment| {
        let mut settings = settings(&url);
        settings.connector.proxy = Proxy::Environment;
        tried(&settings, &environment).await
    };
    assert_eq!(go(format!("http://plane.invalid:{port}"), environment("")).await.1, None);
    assert_eq!(proxy.asked(), [format!("plane.invalid:{port}")]);
    // Loopback goes straight.
    assert_eq!(go(plane.url(), environment("")).await.1, None);
    let fault = go(format!("http://plane.invalid:{port}"), environment(".invalid")).await.1.expect("no such host");
    assert!(fault.contains("cannot be resolved"), "{fault}");
    assert_eq!(proxy.asked().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_cannot_reach_the_plane_or_is_none_is_said_to() {
    let proxy = TestProxy::start(None).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let mut to_closed = settings(&format!("http://{closed}"));
    to_closed.connector.proxy = proxy.setting(None);
    let fault = tried(&to_closed, &ProxyEnvironment::default()).await.1.expect("stopped");
    assert!(fault.contains("could not make a tunnel") && fault.contains("(502)"), "{fault}");

    let mut through_closed = settings("http://plane.example");
    through_closed.connector.proxy = Proxy::Http { host: closed.ip().to_string(), port: closed.port(), user: None };
    let fault = tried(&through_closed, &ProxyEnvironment::default()).await.1.expect("stopped");
    assert!(fault.contains("cannot reach the proxy"), "{fault}");

    let mut socks = settings("http://plane.example");
    socks.connector.proxy = Proxy::Environment;
    let environment =
        ProxyEnvironment { all: Some("socks5://proxy.example:1080".into()), ..ProxyEnvironment::default() };
    let faults = network(&socks, &environment).err().expect("refused");
    assert!(faults.0[0].says.contains("SOCKS") && faults.0[0].variable == "ALL_PROXY", "{faults:?}");
}

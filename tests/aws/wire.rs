//! What comes over the wire when it is not AWS that answers: bytes that no HTTP library of ours would send, written by
//! hand into the socket. One of two regions misbehaves; the other one is served by the stand-in behind.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use federation_agent::{
    model::{Class, Error},
    provider::Provider,
    standin::{ACCOUNT, Estate, Gateway, REGION, RestApi, UsagePlan},
};
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use crate::{
    shop::user,
    suite::{
        asking::{Listing, asking, call_for, list, listed, nobody},
        peer::Peer,
    },
};

/// The region that misbehaves.
const ODD: &str = "us-east-1";
/// What a list beside an odd region may take.
const BUDGET: Duration = Duration::from_secs(8);
/// The most that is read of one answer, and what sockets hold by themselves.
const MOST: usize = (12 + 12) << 20;

/// What is written instead of an answer.
#[derive(Debug, Clone)]
enum Say {
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// These bytes, then nothing, with the connection open.
    Hold(Vec<u8>),
    /// The first, then the second over and over until nobody reads it.
    Endless(Vec<u8>, Vec<u8>),
    /// A byte now and then.
    Trickle(Vec<u8>),
}

/// A socket before a stand-in that answers what it is told to.
struct Wire {
    address: SocketAddr,
    odd: Arc<Mutex<Option<(String, Say)>>>,
    written: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    _gateway: Gateway,
}

impl Wire {
    async fn before(gateway: Gateway) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let wire = Self {
            address: listener.local_addr().expect("bound"),
            odd: Arc::default(),
            written: Arc::default(),
            asked: Arc::default(),
            _gateway: gateway.clone(),
        };
        let (odd, written, asked) = (wire.odd.clone(), wire.written.clone(), wire.asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (odd, written, asked) = (odd.clone(), written.clone(), asked.clone());
                let behind = gateway.address();
                tokio::spawn(async move {
                    // Who does not read any more is what is looked for.
                    let _gone = serve(stream, behind, &odd, &written, &asked).await;
                });
            }
        });
        wire
    }

    /// From now on, requests to the odd region with this verb and path are answered so.
    fn says(&self, line: &str, say: Say) {
        *self.odd.lock().expect("nobody panics with it") = Some((line.to_owned(), say));
        self.written.store(0, Ordering::SeqCst);
        self.asked.store(0, Ordering::SeqCst);
    }

    fn heal(&self) {
        *self.odd.lock().expect("nobody panics with it") = None;
    }
}

async fn serve(
    mut stream: TcpStream,
    behind: SocketAddr,
    odd: &Mutex<Option<(String, Say)>>,
    written: &AtomicUsize,
    asked: &AtomicUsize,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let head = loop {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
        if let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8_lossy(&request[..head]).into_owned();
    let length = text.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    while request.len() < head + length.unwrap_or(0) {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let is_odd = text.contains(&format!("/{ODD}/apigateway/"));
    let say = odd
        .lock()
        .expect("nobody panics with it")
        .clone()
        .filter(|(line, _)| is_odd && text.starts_with(line.as_str()));
    let Some((_, say)) = say else {
        let mut forward = TcpStream::connect(behind).await?;
        let end = text.find("\r\n").unwrap_or(0) + 2;
        request.splice(end..end, b"connection: close\r\n".iter().copied());
        forward.write_all(&request).await?;
        tokio::io::copy(&mut forward, &mut stream).await?;
        return Ok(());
    };
    asked.fetch_add(1, Ordering::SeqCst);
    match say {
        Say::Bytes(bytes) => stream.write_all(&bytes).await?,
        Say::Hold(bytes) => {
            stream.write_all(&bytes).await?;
            // Until the other side has had enough.
            stream.read_to_end(&mut Vec::new()).await?;
        }
        Say::Endless(first, more) => {
            stream.write_all(&first).await?;
            loop {
                stream.write_all(&more).await?;
                written.fetch_add(more.len(), Ordering::SeqCst);
            }
        }
        Say::Trickle(bytes) => {
            for byte in bytes.chunks(1) {
                stream.write_all(byte).await?;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
    stream.shutdown().await
}

/// One API in each of two regions, and the wire before them.
async fn set() -> (Wire, Peer, Arc<dyn Provider>) {
    set_for(&format!("{REGION},{ODD}")).await
}

/// The same, seen by a provider for these regions.
async fn set_for(regions: &str) -> (Wire, Peer, Arc<dyn Provider>) {
    let mut estate = Estate::new();
    estate.anybody(ACCOUNT);
    for (region, id) in [(REGION, "good000001"), (ODD, "odd0000001")] {
        let region = estate.region(ACCOUNT, region);
        region.apis.push(RestApi::new(id, "Orders").stage("prod").method("GET", "/"));
        region.plans.push(UsagePlan::new("plan01", "Gold").covers(id, "prod"));
    }
    let gateway = Gateway::start(estate).await.expect("a loopback port");
    let wire = Wire::before(gateway.clone()).await;
    let peer = Peer::of(gateway);
    let url = format!("http://{}", wire.address);
    let provider = peer.provider(&user(), &[("region", regions), ("endpointUrl", &url)]);
    (wire, peer, provider)
}

/// An answer of this status and body, of the right length.
fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn page(body: impl AsRef<[u8]>) -> Say {
    Say::Bytes(answer(200, "content-type: application/json\r\n", body.as_ref()))
}

/// A sentence for a person: one line, not endless, and the call in it.
#[track_caller]
fn is_told(error: &Error, operation: &str, what: &str) {
    let sentence = error.sentence();
    assert!(sentence.contains(operation), "{what}: {sentence}");
    assert!(sentence.len() < 1_000 && !sentence.chars().any(char::is_control), "{what}: {sentence}");
}

/// The good region was read; what the odd one came to.
#[track_caller]
fn of_odd(told: &Listing, what: &str) -> Option<String> {
    assert!(told.outcome.is_ok() && told.ids().contains(&"eu-west-1:good000001:prod"), "{what}: {told:?}");
    let [(source, error)] = told.failed.as_slice() else {
        assert!(told.failed.is_empty() && told.ids().len() == 2, "{what}: {told:?}");
        return None;
    };
    assert!(source.contains(ODD), "{what}: {source}");
    assert!(error.class().is_passing(), "{what}: {error:?}");
    is_told(error, "GetRestApis", what);
    Some(error.sentence().to_owned())
}

#[tokio::test]
async fn whatever_one_region_says_the_other_is_read() {
    let canary = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let elsewhere = format!("location: http://{}/restapis\r\n", canary.local_addr().expect("bound"));
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let endless = |head: &str, more: Vec<u8>| Say::Endless(head.as_bytes().to_vec(), more);
    let gzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
    let cases = [
        (
            "a body without end",
            endless("HTTP/1.1 200 OK\r\ncontent-length: 9999999999999\r\n\r\n", vec![b' '; 1 << 16]),
        ),
        (
            "chunks without end",
            endless(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                [&b"10000\r\n"[..], &vec![b' '; 1 << 16], b"\r\n"].concat(),
            ),
        ),
        (
            "headers without end",
            endless("HTTP/1.1 200 OK\r\n", format!("x-more: {}\r\n", "x".repeat(1_000)).into_bytes()),
        ),
        ("no line end", endless("HTTP/1.1 200 ", vec![b'x'; 1 << 16])),
        ("half of it", Say::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"item\":[".to_vec())),
        (
            "a chunk that is none",
            Say::Bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n".to_vec()),
        ),
        (
            "chunks that break off",
            Say::Bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{\"item\":[\r\n".to_vec()),
        ),
        ("no HTTP", Say::Bytes(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec())),
        ("nothing", Say::Bytes(Vec::new())),
        ("an interim answer and nothing", Say::Hold(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())),
        ("204", Say::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())),
        ("a byte now and then", Say::Trickle(answer(200, "", br#"{"item":[{"id":"odd0000001"}]}"#))),
        ("a redirect", Say::Bytes(answer(302, &elsewhere, b""))),
        ("a redirect that keeps the verb", Say::Bytes(answer(307, &elsewhere, b"<html>moved</html>"))),
        ("gzip", Say::Bytes(answer(200, "content-encoding: gzip\r\n", &gzip))),
        ("no UTF-8", page(b"{\"item\":[{\"id\":\"odd0000001\",\"name\":\"\xff\xfe\xc3\"}]}")),
        ("10,000 deep where nobody looks", page(format!(r#"{{"item":[],"more":{}}}"#, nested(10_000)))),
        ("10,000 deep where somebody looks", page(format!(r#"{{"item":{}}}"#, nested(10_000)))),
        ("a million empty ones", page(format!(r#"{{"item":[{}{{}}]}}"#, "{},".repeat(1_000_000)))),
        ("a number that is none", page(br#"{"item":[{"id":"odd0000001","createdDate":1e999999}]}"#)),
        ("a word where a list is due", page(br#"{"item":"odd0000001"}"#)),
        ("a refusal of megabytes", Say::Bytes(answer(500, "", &vec![b'x'; 5 << 20]))),
        ("a refusal in no letters", Say::Bytes(answer(503, "", b"\xff\xfe\x00\x1b[2J"))),
        ("a position of megabytes", page(format!(r#"{{"item":[],"position":"{}"}}"#, "x".repeat(1 << 20)))),
    ];
    let all = cases.map(|(what, say)| async move {
        let (wire, _peer, provider) = set().await;
        wire.says("GET /restapis?", say);
        let began = Instant::now();
        let told = list(&provider, &call_for(BUDGET)).await;
        assert!(began.elapsed() < BUDGET + Duration::from_secs(2), "{what}: {:?}", began.elapsed());
        let error = of_odd(&told, what).unwrap_or_else(|| panic!("{what}: it was taken"));
        let (written, asked) = (wire.written.load(Ordering::SeqCst), wire.asked.load(Ordering::SeqCst));
        assert!(asked > 0 && written <= MOST * asked, "{what}: {written} bytes were read of {asked} answers");
        println!("{what}: {error}");
        wire.heal();
        assert_eq!(listed(&provider).await.ids().len(), 2, "after {what}");
    });
    join_all(all).await;
    assert!(
        tokio::time::timeout(Duration::from_millis(50), canary.accept()).await.is_err(),
        "credentials were carried elsewhere"
    );
}

#[tokio::test]
async fn what_is_odd_and_right_is_taken() {
    let (wire, _peer, provider) = set().await;
    let good = br#"{"item":[{"id":"odd0000001","name":"Orders"}]}"#;
    let mut hinted = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n".to_vec();
    hinted.extend(answer(200, "", good));
    let twice = br#"{"item":[{"id":"odd0000001","name":"Old"},{"id":"odd0000001","name":"Orders"}]}"#;
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2e;x=y\r\n"
        .iter()
        .chain(good)
        .chain(b"\r\n0\r\nx-end: y\r\n\r\n");
    for (what, say) in [
        ("interim answers before it", Say::Bytes(hinted)),
        ("chunks with extensions and trailers", Say::Bytes(chunked.copied().collect())),
        ("the same id twice", page(twice)),
        ("no length", Say::Bytes([&b"HTTP/1.0 200 OK\r\n\r\n"[..], good].concat())),
    ] {
        wire.says("GET /restapis?", say);
        let told = list(&provider, &call_for(BUDGET)).await;
        assert_eq!(of_odd(&told, what), None, "{what}: {:?}", told.failed);
        assert_eq!(told.api("us-east-1:odd0000001:prod").api.name, "Orders (prod)", "{what}");
    }
}

/// The class of a refusal is known by its status and headers, whatever its body is.
#[tokio::test]
async fn a_refusal_that_cannot_be_read_is_a_refusal() {
    let bodies =
        [vec![b'x'; 2 << 20], b"\xff\xfe".to_vec(), br#"{"message":["#.to_vec(), vec![b'['; 100_000], Vec::new()];
    let refusals = [
        (403, "x-amzn-errortype: AccessDeniedException\r\n", Class::Denied),
        (403, "", Class::Denied),
        (429, "retry-after: 9\r\n", Class::Throttled(Some(Duration::from_secs(9)))),
        (500, "", Class::Unavailable),
    ];
    let all = bodies.iter().flat_map(|body| refusals.map(|refusal| (body, refusal)));
    let all = all.map(|(body, (status, headers, class))| async move {
        let (wire, _peer, provider) = set_for(ODD).await;
        wire.says("GET /restapis?", Say::Bytes(answer(status, headers, body)));
        let error = list(&provider, &call_for(BUDGET)).await.outcome.expect_err("a refusal");
        assert_eq!(error.class(), class, "{status} with {} bytes: {error}", body.len());
        is_told(&error, "GetRestApis", "a refusal");
    });
    join_all(all).await;
}

/// Pages that go on and on, with a new position each.
#[tokio::test]
async fn pages_that_never_end_are_no_list() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let pages = Arc::new(AtomicUsize::new(0));
    tokio::spawn({
        let pages = pages.clone();
        async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let pages = pages.clone();
                tokio::spawn(async move {
                    let mut request = vec![0; 1 << 16];
                    while matches!(stream.read(&mut request).await, Ok(1..)) {
                        let n = pages.fetch_add(1, Ordering::SeqCst);
                        let page = format!(r#"{{"item":[{{"id":"plan{n}","name":"Gold"}}],"position":"p{n}"}}"#);
                        if stream.write_all(&answer(200, "", page.as_bytes())).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    let peer = Peer::of(Gateway::start(Estate::new()).await.expect("a loopback port"));
    let provider = peer.provider(&user(), &[("region", REGION), ("endpointUrl", &url)]);
    let error = list(&provider, &call_for(Duration::from_secs(20))).await.outcome.expect_err("no list");
    is_told(&error, "GetUsagePlans", "pages");
    assert!(error.sentence().contains("more than 200 pages"), "{error}");
    assert!(pages.load(Ordering::SeqCst) < 210);
}

#[tokio::test]
async fn a_key_that_is_told_in_megabytes_may_exist_and_is_named() {
    let (wire, _peer, provider) = set().await;
    let told = listed(&provider).await;
    let api = &told.api("us-east-1:odd0000001:prod").api;
    let huge =
        [br#"{"id":"k1","value":"secret-value","more":""#.to_vec(), vec![b'x'; 2 << 20], b"\"}".to_vec()].concat();
    for (what, say) in [
        ("megabytes", Say::Bytes(answer(201, "", &huge))),
        ("half of it", Say::Bytes(b"HTTP/1.1 201 Created\r\ncontent-length: 100\r\n\r\n{\"id\":\"k1\"".to_vec())),
        ("204", Say::Bytes(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())),
        ("no UTF-8", Say::Bytes(answer(201, "", b"{\"id\":\"k1\",\"value\":\"\xff\"}"))),
    ] {
        wire.says("POST /apikeys", say);
        let error =
            provider.subscribe(&call_for(BUDGET), &api.id, &asking(api, "plan01"), &nobody()).await.expect_err(what);
        assert!(
            error.sentence().contains("may exist") && !error.sentence().contains("secret-value"),
            "{what}: {error}"
        );
        assert_eq!(wire.asked.load(Ordering::SeqCst), 1, "{what}: a second key");
    }
    wire.heal();
    provider.subscribe(&call_for(BUDGET), &api.id, &asking(api, "plan01"), &nobody()).await.expect("it goes on");
}

#[tokio::test]
async fn a_document_that_is_odd_is_not_handed_over() {
    let (wire, _peer, provider) = set().await;
    let told = listed(&provider).await;
    let deep = format!(r#"{{"openapi":"3.0.1","paths":{}1{}}}"#, r#"{"a":"#.repeat(10_000), "}".repeat(10_000));
    for (what, say, class) in [
        ("13 MiB", Say::Bytes(answer(200, "", &vec![b' '; 13 << 20])), Class::Unavailable),
        ("10,000 deep", page(deep), Class::Unavailable),
        ("no JSON", page("openapi: 3.0.1"), Class::Unavailable),
        ("no UTF-8", page(b"{\"openapi\":\"\xff\"}"), Class::Unavailable),
        ("a redirect", Say::Bytes(answer(302, "location: http://127.0.0.1:1/\r\n", b"")), Class::Unavailable),
    ] {
        wire.says("GET /restapis/odd0000001/stages/prod/exports", say);
        let error = provider.read(&call_for(BUDGET), told.api("us-east-1:odd0000001:prod")).await.expect_err(what);
        assert_eq!(error.class(), class, "{what}: {error}");
        assert!(error.sentence().len() < 1_000, "{what}: {error}");
        provider.read(&call_for(BUDGET), told.api("eu-west-1:good000001:prod")).await.expect("the other goes on");
    }
}

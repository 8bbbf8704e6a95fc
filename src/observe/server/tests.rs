//! The surface over sockets, and over streams in memory where time is paused.

use std::{future::pending, time::SystemTime};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    net::{TcpSocket, TcpStream},
    time::sleep,
};

use super::*;
use crate::observe::{Part, STUCK, Standing};

#[path = "../../../tests/support/kubelet.rs"]
mod kubelet;

fn surface(users: &[(&str, &str)]) -> Surface {
    let named =
        |(name, secret): &(&str, &str)| Named { name: (*name).to_owned(), secret: (*secret).into(), any_case: false };
    Surface {
        board: Board::new(),
        vitals: Vitals::default(),
        version: "0.1.0 (abc)".into(),
        integrations: vec!["one".into()],
        id: "f3b1c6a2".into(),
        started: Instant::now(),
        configuration: BTreeMap::from([("integration_providers_0_type".into(), "aws-api-gateway".into())]),
        prometheus: true,
        levels: Levels::new("info", |_| {}),
        users: users.iter().map(named).collect(),
    }
}

fn basic(credentials: &str) -> String {
    format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(credentials))
}

/// An answer, taken apart.
#[derive(Debug)]
struct Answered {
    status: u16,
    head: String,
    body: String,
}

impl Answered {
    fn of(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }
}

/// Asks over a stream in memory, as from `address`.
async fn ask_from(shared: &Shared, address: [u8; 4], line: &str, rest: &str) -> Answered {
    let (mut ours, theirs) = duplex(64 * 1024);
    let asked = async {
        ours.write_all(format!("{line} HTTP/1.1\r\n{rest}").as_bytes()).await.unwrap();
        let mut text = String::new();
        ours.read_to_string(&mut text).await.unwrap();
        text
    };
    let (text, ()) = tokio::join!(asked, converse(theirs, address.into(), shared));
    Answered::of(&text)
}

async fn ask(shared: &Shared, line: &str, headers: &str) -> Answered {
    ask_from(shared, [127, 0, 0, 1], line, &format!("Host: localhost:18084\r\n{headers}\r\n")).await
}

async fn post(shared: &Shared, headers: &str, body: &str) -> Answered {
    let rest = format!("{headers}Content-Length: {}\r\n\r\n{body}", body.len());
    ask_from(shared, [127, 0, 0, 1], "POST /_node/logging", &rest).await
}

const LOCAL: &str = "Host: 127.0.0.1:18084\r\n";
const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn gravitees_paths_have_gravitees_forms() {
    let shared = Shared::new(surface(&[]), true);
    for path in ["/_node", "/_node/"] {
        let answer = ask(&shared, &format!("GET {path}"), "").await;
        assert!(answer.status == 200 && answer.head.contains("content-type: application/json"), "{answer:?}");
        assert_eq!(
            answer.json(),
            json!({"id": "f3b1c6a2", "name": "federation-agent", "metadata": {"integrations": ["one"]},
                "version": {"BUILD_ID": "0.1.0 (abc)", "BUILD_NUMBER": "0.1.0", "MAJOR_VERSION": "0.1.0",
                    "REVISION": "unknown"}})
        );
    }
    let configuration = ask(&shared, "GET /_node/configuration", "").await;
    assert_eq!(configuration.json(), json!({"integration_providers_0_type": "aws-api-gateway"}));
    let monitor = ask(&shared, "GET /_node/monitor", "").await.json();
    assert!(monitor["os"]["mem"]["total"].is_u64() && monitor["process"]["mem"]["totalVirtual"].is_u64(), "{monitor}");
    assert!(monitor.get("jvm").is_none());
    for path in ["/metrics", "/_node/metrics/prometheus"] {
        let answer = ask(&shared, &format!("GET {path}"), "").await;
        assert!(
            answer.status == 200
                && answer.head.contains("text/plain; version=0.0.4")
                && answer.body.contains("\nfederation_agent_ready 0"),
            "{answer:?}"
        );
    }
    for path in ["/_node/heapdump", "/_node/threaddump", "/_node/nothing", "/hooks", "/nothing"] {
        assert_eq!(ask(&shared, &format!("GET {path}"), "").await.status, 404, "{path}");
    }
    let off = Shared::new(Surface { prometheus: false, ..surface(&[]) }, true);
    assert_eq!(ask(&off, "GET /_node/metrics/prometheus", "").await.status, 404);
    assert_eq!(ask(&off, "GET /metrics", "").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn health_is_a_map_of_probes_and_an_unknown_one_is_not_found() {
    let surface = surface(&[]);
    surface.board.put("one", "aws-api-gateway", lost("refused"));
    let vitals = surface.vitals.clone();
    let process = tokio::spawn(vitals.watch(Part::Process, pending::<()>()));
    let link = tokio::spawn(vitals.watch(Part::Link("one".into()), pending::<()>()));
    let shared = Shared::new(surface, true);
    let well = json!({"healthy": true, "message": null});
    let lost = json!({"healthy": true, "message": "not connected to the plane since 1970-01-01T00:00:00Z: refused"});

    let answer = ask(&shared, "GET /_node/health", "").await;
    assert_eq!((answer.status, answer.json()), (200, json!({"process": well, "plane-one": lost})));
    let answer = ask(&shared, "GET /_node/health?probes=process", "").await;
    assert_eq!((answer.status, answer.json()), (200, json!({"process": well})));
    let answer = ask(&shared, "GET /_node/health?probes=process,cpu&probes=plane%2Done", "").await;
    let unknown = json!({"healthy": false, "message": "probe not found"});
    assert_eq!((answer.status, answer.json()), (500, json!({"process": well, "cpu": unknown, "plane-one": lost})));

    // A fault of ours ends the link.
    link.abort();
    assert!(link.await.is_err());
    let answer = ask(&shared, "GET /_node/health", "").await;
    assert_eq!((answer.status, &answer.json()["plane-one"]["healthy"]), (500, &json!(false)));
    assert_eq!(ask(&shared, "GET /livez", "").await.status, 500);
    // On purpose: then it is well.
    vitals.leave();
    assert_eq!(ask(&shared, "GET /_node/health", "").await.status, 200);
    assert_eq!(ask(&shared, "GET /livez", "").await.status, 200);
    process.abort();
}

fn lost(why: &str) -> Standing {
    Standing { connected: false, since: SystemTime::UNIX_EPOCH, why: Some(why.into()) }
}

/// The chart's probes by `GET /_node/health` with the Basic header that it computes, until `over`.
async fn probed(shared: &Shared, over: Duration) -> kubelet::Seen {
    let header = format!("{}Host: 10.0.0.7:18084\r\n\r\n", basic("admin:adminadmin"));
    let ask = async || ask_from(shared, [10, 0, 0, 1], "GET /_node/health", &header).await.status == 200;
    kubelet::watch(Duration::from_secs(1), Duration::from_secs(1), ask, sleep(over)).await
}

#[tokio::test(start_paused = true)]
async fn the_probes_of_gravitees_chart_restart_nobody_for_a_lost_plane_and_restart_who_is_stuck() {
    let surface = surface(&[("admin", "adminadmin")]);
    let (board, vitals) = (surface.board.clone(), surface.vitals.clone());
    let connected = || Standing { connected: true, since: SystemTime::UNIX_EPOCH, why: None };
    tokio::spawn(vitals.watch(Part::Process, pending::<()>()));
    let (stick, told) = tokio::sync::oneshot::channel();
    tokio::spawn(vitals.watch(Part::Link("one".into()), async {
        let _ = told.await;
        panic!("a fault of ours");
    }));
    board.put("one", "aws-api-gateway", connected());
    let shared = Arc::new(Shared::new(surface, false));

    // Two minutes with the plane, five without, two with it.
    let outage = tokio::spawn(async move {
        sleep(Duration::from_mins(2)).await;
        board.put("one", "aws-api-gateway", lost("refused"));
        sleep(Duration::from_mins(5)).await;
        board.put("one", "aws-api-gateway", connected());
    });
    let seen = probed(&shared, Duration::from_mins(9)).await;
    assert!(seen.restart.is_none() && seen.unready == 0 && seen.well > 500, "{seen:?}");
    outage.await.unwrap();

    stick.send(()).unwrap();
    let seen = probed(&shared, Duration::from_mins(9)).await;
    // It does not even start up again: the test cannot restart it.
    assert_eq!((seen.restart, seen.well), (Some("startup"), 0), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_blocks_for_a_minute_is_restarted_by_the_same_probes() {
    let surface = surface(&[("admin", "adminadmin")]);
    tokio::spawn(surface.vitals.watch(Part::Process, pending::<()>()));
    // Never polled, as when its thread waits for a lock that nobody lets go of.
    let _blocked = surface.vitals.watch(Part::Link("one".into()), pending::<()>());
    let shared = Shared::new(surface, false);
    let begun = tokio::time::Instant::now();
    let seen = probed(&shared, Duration::from_mins(9)).await;
    assert_eq!(seen.restart, Some("liveness"), "{seen:?}");
    let after = begun.elapsed();
    assert!(after > STUCK && after < STUCK + Duration::from_secs(15), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn every_path_but_the_orchestrators_asks_for_the_password() {
    let shared = Shared::new(surface(&[("admin", "hunter2")]), false);
    for path in routes_of_all() {
        let answer = ask(&shared, &format!("GET {path}"), "").await;
        assert_eq!((answer.status, answer.body.as_str()), (401, "Unauthorized\n"), "{path}");
        assert!(answer.head.contains("www-authenticate: basic realm="), "{path}");
        let right = ask(&shared, &format!("GET {path}"), &basic("admin:hunter2")).await;
        assert_eq!(right.status, if path == "/nothing" { 404 } else { 200 }, "{path}");
    }
    let posted = post(&shared, &format!("{LOCAL}{JSON}"), "{}").await;
    assert_eq!(posted.status, 401);
    assert_eq!(ask(&shared, "GET /livez", "").await.status, 200);
    assert_eq!(ask(&shared, "GET /readyz", "").await.status, 503);
    // What is wrong does not show: neither the user nor the password.
    let of_known = ask_from(&shared, [10, 0, 0, 1], "GET /status", &(basic("admin:x") + "Host: a\r\n\r\n")).await;
    let of_unknown = ask_from(&shared, [10, 0, 0, 2], "GET /status", &(basic("root:x") + "Host: a\r\n\r\n")).await;
    let dateless = |answer: &Answered| {
        let lines = answer.head.lines().filter(|line| !line.starts_with("date")).map(str::to_owned);
        (lines.collect::<Vec<_>>(), answer.body.clone())
    };
    assert_eq!(dateless(&of_known), dateless(&of_unknown));
}

fn routes_of_all() -> [&'static str; 10] {
    [
        "/",
        "/status",
        "/metrics",
        "/_node",
        "/_node/health?probes=process",
        "/_node/monitor",
        "/_node/configuration",
        "/_node/logging",
        "/_node/metrics/prometheus",
        "/nothing",
    ]
}

#[tokio::test(start_paused = true)]
async fn who_guesses_waits_and_neither_others_nor_the_probes_of_the_same_address_suffer() {
    let shared = Shared::new(surface(&[("admin", "hunter2")]), false);
    let get = async |from: u8, path: &str, credentials: &str| {
        let rest = format!("{}Host: a\r\n\r\n", basic(credentials));
        ask_from(&shared, [10, 0, 0, from], &format!("GET {path}"), &rest).await
    };
    assert_eq!(get(1, "/_node/health", "admin:hunter2").await.status, 200);
    for _ in 0..4 {
        assert_eq!(get(1, "/status", "admin:guess").await.status, 401);
        assert_eq!(get(2, "/status", "admin:guess").await.status, 401);
    }
    let later = get(1, "/status", "admin:hunter2").await;
    assert!(later.status == 429 && later.head.contains("retry-after: 2"), "{later:?}");
    // The kubelet is told whether the process lives, and no more.
    let bare = get(1, "/_node/health", "admin:guess").await;
    assert_eq!((bare.status, bare.json()), (200, json!({"process": {"healthy": true, "message": null}})));
    // Also when the guesses came before its first probe: `/livez` tells everybody the same.
    let bare = get(2, "/_node/health", "admin:hunter2").await;
    assert_eq!((bare.status, bare.json()), (200, json!({"process": {"healthy": true, "message": null}})));
    assert_eq!(get(3, "/status", "admin:hunter2").await.status, 200);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(get(1, "/status", "admin:hunter2").await.status, 200);
}

#[tokio::test]
async fn levels_are_changed_by_those_who_may() {
    let shared = Shared::new(surface(&[]), true);
    let asked = r#"{"io.gravitee.exchange": "DEBUG"}"#;
    let answer = post(&shared, &format!("{LOCAL}{JSON}"), asked).await;
    let changed = json!({"ROOT": "INFO", "io.gravitee.exchange": "DEBUG"});
    assert_eq!((answer.status, answer.json()), (200, changed.clone()));
    assert_eq!(ask(&shared, "GET /_node/logging", "").await.json(), changed);

    let wrong = r#"{"ROOT": "LOUD"}"#;
    let long = format!("{{\"ROOT\": \"{}\"}}", "x".repeat(9000));
    for (headers, body, status) in [
        (format!("{LOCAL}{JSON}"), wrong, 400),
        (format!("{LOCAL}{JSON}"), "[]", 400),
        (format!("{LOCAL}{JSON}"), "{", 400),
        (format!("{LOCAL}{JSON}"), long.as_str(), 413),
        (LOCAL.to_owned(), asked, 415),
        (format!("{LOCAL}Content-Type: text/plain\r\n"), asked, 415),
        // A page of the web: by a name that means this machine, or from its own origin.
        (format!("Host: evil.example:18084\r\n{JSON}"), asked, 403),
        (format!("Host: localhost.evil.example\r\n{JSON}"), asked, 403),
        (format!("{LOCAL}{JSON}Origin: http://evil.example\r\n"), asked, 403),
        (format!("{LOCAL}{JSON}Origin: null\r\n"), asked, 403),
    ] {
        let answer = post(&shared, &headers, body).await;
        assert_eq!(answer.status, status, "{headers} {answer:?}");
        assert!(answer.json()["error"].is_string());
    }
    let same = post(&shared, &format!("{LOCAL}{JSON}Origin: http://127.0.0.1:18084\r\n"), "{}").await;
    assert_eq!((same.status, same.json()), (200, changed));
    let cross = ask(&shared, "OPTIONS /_node/logging", "Origin: http://evil.example\r\n").await;
    assert!(cross.status == 405 && !cross.head.contains("access-control"), "{cross:?}");

    // Asked by other machines, and nobody is asked for a password.
    let open = Shared::new(surface(&[]), false);
    let refused = post(&open, &format!("Host: 10.0.0.7:18084\r\n{JSON}"), asked).await;
    assert_eq!(refused.status, 403);
    let says = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(says.contains("gravitee_services_core_http_authentication_users_<name>"), "{says}");
    assert_eq!(ask_from(&open, [10, 0, 0, 1], "GET /_node/logging", "Host: agent\r\n\r\n").await.status, 200);

    let asking = Shared::new(surface(&[("admin", "hunter2")]), false);
    let answer = post(&asking, &format!("{}Host: agent:18084\r\n{JSON}", basic("admin:hunter2")), asked).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn a_name_that_is_not_this_machines_is_refused_where_nobody_is_asked_for_a_password() {
    let shared = Shared::new(surface(&[]), true);
    for (host, status) in [
        ("Host: localhost\r\n", 200),
        ("Host: LOCALHOST:80\r\n", 200),
        ("Host: 127.0.0.2:1\r\n", 200),
        ("Host: [::1]:18084\r\n", 200),
        ("Host: agent.example\r\n", 403),
        ("Host: 127.0.0.1.evil.example\r\n", 403),
        ("Host: localhost\r\nHost: evil.example\r\n", 403),
        ("Host: 10.0.0.1\r\n", 403),
        ("Host: \r\n", 403),
    ] {
        for path in ["/status", "/", "/_node/configuration"] {
            let answer = ask_from(&shared, [127, 0, 0, 1], &format!("GET {path}"), &format!("{host}\r\n")).await;
            assert_eq!(answer.status, status, "{host} {path}");
        }
        let probe = ask_from(&shared, [127, 0, 0, 1], "GET /livez", &format!("{host}\r\n")).await;
        assert_eq!(probe.status, 200, "{host}");
    }
}

#[tokio::test]
async fn methods_are_checked_and_a_browser_is_told_what_the_page_may_do() {
    let shared = Shared::new(surface(&[]), true);
    for (line, allowed) in [
        ("DELETE /livez", "allow: get, head"),
        ("POST /status", "allow: get, head"),
        ("PUT /_node/", "allow: get, head"),
        ("POST /_node/health", "allow: get, head"),
        ("DELETE /_node/logging", "allow: get, head, post"),
    ] {
        let answer = ask(&shared, line, "").await;
        assert!(answer.status == 405 && answer.head.contains(allowed), "{line} {answer:?}");
    }
    assert_eq!(ask(&shared, "POST /nothing", "").await.status, 404);
    for path in ["/", "/status", "/_node/health", "/_node/logging", "/metrics", "/livez"] {
        let answer = ask(&shared, &format!("HEAD {path}"), "").await;
        assert!(answer.status == 200 && answer.body.is_empty(), "{path} {answer:?}");
        for header in ["x-content-type-options: nosniff", "referrer-policy: no-referrer", "cache-control: no-store"] {
            assert!(answer.head.contains(header), "{path} {answer:?}");
        }
    }
    let page = ask(&shared, "GET /", "").await;
    for part in ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(page.head.contains(part), "{}", page.head);
    }
    assert!(page.head.contains("text/html") && !page.head.contains("unsafe-inline"), "{}", page.head);
}

async fn served(surface: Surface) -> (SocketAddr, CancellationToken) {
    let server = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let (address, shutdown) = (server.address(), CancellationToken::new());
    tokio::spawn(server.serve(surface, shutdown.clone()));
    (address, shutdown)
}

async fn get(address: SocketAddr, path: &str) -> Answered {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    Answered::of(&text)
}

#[tokio::test]
async fn says_who_is_connected_and_who_is_not_since_when_and_why() {
    let surface = surface(&[]);
    let board = surface.board.clone();
    let (address, shutdown) = served(surface).await;
    assert_eq!(get(address, "/livez").await.status, 200);

    let connected = Standing { connected: true, since: SystemTime::UNIX_EPOCH, why: None };
    board.put("one", "aws-api-gateway", connected.clone());
    board.put("two", "aws-api-gateway", lost("no token"));
    let answer = get(address, "/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.json()["integrations"][1],
        json!({"integration": "two", "provider": "aws-api-gateway", "connected": false,
            "since": "1970-01-01T00:00:00Z", "why": "no token"})
    );
    board.put("two", "aws-api-gateway", connected);
    assert_eq!(get(address, "/readyz").await.status, 200);
    shutdown.cancel();
}

#[tokio::test]
async fn tells_how_many_tasks_there_are() {
    let (address, shutdown) = served(surface(&[])).await;
    let tasks = async || get(address, "/livez").await.json()["tasks"].as_u64().unwrap();
    let before = tasks().await;
    let more: Vec<_> = (0..100).map(|_| tokio::spawn(pending::<()>())).collect();
    let after = tasks().await;
    assert!((100..110).contains(&(after - before)), "{before}, with {} more {after}", more.len());
    shutdown.cancel();
}

#[tokio::test]
async fn many_silent_clients_do_not_keep_a_probe_out() {
    let (address, shutdown) = served(surface(&[])).await;
    let connect = async |from: u8| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(([127, 0, 0, from], 0).into()).unwrap();
        socket.connect(address).await.unwrap()
    };
    // As many as an address may have, the probe's among them; then all there may be, of others.
    for froms in [[1, 1], [2, 3]] {
        let mut silent = Vec::new();
        for from in froms {
            for _ in 0..OF_ONE_ADDRESS {
                silent.push(connect(from).await);
            }
        }
        let answer = timeout(Duration::from_secs(1), get(address, "/livez")).await.unwrap();
        assert_eq!(answer.status, 200);
        // The oldest made room.
        assert_eq!(silent[0].read(&mut [0]).await.unwrap_or_default(), 0);
    }
    shutdown.cancel();
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let (address, shutdown) = served(surface(&[])).await;
    let long = get(address, &format!("/{}", "x".repeat(2 * LONGEST_HEAD))).await;
    assert!(matches!(long.status, 414 | 431), "{long:?}");
    shutdown.cancel();
}

#[tokio::test]
async fn a_taken_port_is_the_systems_error() {
    let first = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let error = Server::bind(first.address()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
}

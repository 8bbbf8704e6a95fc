//! Which path answers what, and to whom.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, StatusCode,
    header::{CONTENT_SECURITY_POLICY, HOST, HeaderValue, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE, X_FRAME_OPTIONS},
};
use hyper::body::Body;
use serde_json::json;

use super::{
    Surface,
    answer::{Answer, json, refusal, text, wrong_method},
    authentication::{Guard, Verdict},
    monitor, node,
};
use crate::observe::{
    metrics::METRICS_TYPE,
    page::{PAGE, PAGE_POLICY},
};

/// Every path, for somebody who has asked for another.
const PATHS: [&str; 11] = [
    "/",
    "/status",
    "/metrics",
    "/livez",
    "/readyz",
    "/_node",
    "/_node/health",
    "/_node/monitor",
    "/_node/configuration",
    "/_node/logging",
    "/_node/metrics/prometheus",
];

/// What all connections share.
pub(super) struct Shared {
    surface: Surface,
    guard: Guard,
    /// Whether only this machine can ask.
    loopback: bool,
}

impl Shared {
    pub(super) fn new(mut surface: Surface, loopback: bool) -> Self {
        let guard = Guard::new(std::mem::take(&mut surface.users));
        Self { surface, guard, loopback }
    }

    /// The answer to `request` from `address`.
    pub(super) async fn answer<B>(&self, request: Request<B>, address: IpAddr) -> Answer
    where
        B: Body<Data = Bytes>,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = request.uri().path().to_owned();
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        // What an orchestrator asks tells nothing of anybody, and asks nobody for a password.
        if matches!(path.as_str(), "/livez" | "/readyz") {
            return if reads { self.probe(&path).await } else { wrong_method("GET, HEAD") };
        }
        let by = match self.guard.judge(request.headers(), address) {
            Verdict::Open => None,
            Verdict::Welcome(user) => Some(user),
            Verdict::Unasked | Verdict::Wrong => return unauthorized(),
            // Whoever guesses from the address of a probe must not have the agent restarted, and learns what `/livez` tells.
            Verdict::Later(_) if path == "/_node/health" && reads => {
                return node::bare_health(&self.surface).await;
            }
            Verdict::Later(wait) => {
                let mut answer = refusal(StatusCode::TOO_MANY_REQUESTS, "too many wrong credentials; wait");
                answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
                return answer;
            }
        };
        // Without a password, a page of the web must not come here by a name of its own that means this machine.
        if self.loopback && !self.guard.asks() && !is_of_this_machine(request.headers()) {
            return refusal(
                StatusCode::FORBIDDEN,
                "this agent listens on this machine only, and is asked as localhost or 127.0.0.1; for another name set \
                 gravitee_services_core_http_authentication_users_<name>",
            );
        }
        if path == "/_node/logging" {
            let changes = self.changes(request.headers()).map(|()| by.as_deref());
            return node::logging(&self.surface, request, changes).await;
        }
        if !reads && PATHS.contains(&path.trim_end_matches('/')) {
            return wrong_method("GET, HEAD");
        }
        let query = request.uri().query();
        match path.as_str() {
            _ if !reads => not_found(),
            "/" => Self::page(),
            "/status" => json(StatusCode::OK, &self.surface.board.status()),
            "/metrics" => self.metrics().await,
            "/_node/metrics/prometheus" if self.surface.prometheus => self.metrics().await,
            "/_node" | "/_node/" => node::who(&self.surface),
            "/_node/health" => node::health(&self.surface, query).await,
            "/_node/monitor" => json(StatusCode::OK, &monitor::figures(self.surface.started.elapsed())),
            "/_node/configuration" => node::configuration(&self.surface),
            _ => not_found(),
        }
    }

    /// `/livez`: whether the process goes on, whatever the plane and the gateways do. `/readyz`: whether every
    /// integration has a live session.
    async fn probe(&self, path: &str) -> Answer {
        if path == "/livez" {
            let alive = !node::is_stuck(&self.surface).await;
            let status = if alive { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
            return json(status, &json!({"alive": alive, "tasks": tasks()}));
        }
        let report = self.surface.board.report();
        json(if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &report)
    }

    fn page() -> Answer {
        let mut answer = text(StatusCode::OK, "text/html; charset=utf-8", PAGE);
        // Nothing but letters of ASCII.
        let policy = HeaderValue::from_str(&PAGE_POLICY).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        answer.headers_mut().insert(CONTENT_SECURITY_POLICY, policy);
        answer.headers_mut().insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        answer
    }

    async fn metrics(&self) -> Answer {
        text(StatusCode::OK, METRICS_TYPE, self.surface.board.metrics_text().await)
    }

    /// Whether whoever has come so far may change something; the error says what to do.
    fn changes(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        if !self.guard.asks() && !self.loopback {
            return Err(
                "the log's levels are changed by users only, since this agent is asked by other machines: set \
                        gravitee_services_core_http_authentication_users_<name>, or listen on 127.0.0.1",
            );
        }
        if is_of_another_origin(headers) {
            return Err("a page of another origin may not change anything here");
        }
        Ok(())
    }
}

fn not_found() -> Answer {
    json(StatusCode::NOT_FOUND, &json!({"error": "not found", "paths": PATHS}))
}

fn unauthorized() -> Answer {
    let mut answer = text(StatusCode::UNAUTHORIZED, "text/plain; charset=utf-8", "Unauthorized\n");
    let challenge = HeaderValue::from_static("Basic realm=\"federation-agent\", charset=\"UTF-8\"");
    answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    answer
}

/// Whether the request is addressed to this machine by a name that nobody else can have. HTTP/1.0 needs none.
fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return !headers.contains_key(HOST) };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    name.is_some_and(|name| {
        name.eq_ignore_ascii_case("localhost")
            || name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
            || name.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_loopback())
    })
}

/// Whether a browser sent it for a page that is not this agent's.
fn is_of_another_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let host = headers.get(HOST).map_or(&b""[..], HeaderValue::as_bytes);
    ![&b"http://"[..], b"https://"].iter().any(|scheme| origin.as_bytes().strip_prefix(*scheme) == Some(host))
}

/// How many tasks the process has: a number that grows for days is a defect.
fn tasks() -> Option<usize> {
    tokio::runtime::Handle::try_current().ok().map(|runtime| runtime.metrics().num_alive_tasks())
}

//! Before the websocket: HTTP on the plane's listener, where an upgrade is granted or refused.

use std::{
    convert::Infallible,
    io,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, DATE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{Behaviour, control, hub::Hub, session::Session};

/// The protocol's own path, behind the prefix.
const PATH: &str = "/exchange/controller";
/// The header that asks for the protocol which this program speaks, and its value.
const PROTOCOL: (&str, &str) = ("x-gravitee-exchange-protocol", "v1");

/// Serves one connection until it ends or is upgraded.
pub(super) async fn serve<S>(hub: Arc<Hub>, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stop = hub.stop.clone();
    let service = service_fn(move |request| answer(Arc::clone(&hub), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::select! {
        // How it ended is of no interest: a connection that is cut is cut.
        _ = connection => {}
        () = stop.cancelled() => {}
    }
}

/// An error makes hyper drop the connection.
async fn answer(hub: Arc<Hub>, mut request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
    let path = request.uri().path();
    if path.starts_with("/plane/") {
        return Ok(control::answer(&hub, &request).await);
    }
    let is_ours = path.strip_prefix(hub.settings.prefix.trim_end_matches('/')) == Some(PATH);
    let Some(key) = upgrade_key(request.headers()) else {
        if !is_ours {
            return Ok(plain(StatusCode::NOT_FOUND, "Resource not found"));
        }
        return Ok(plain(StatusCode::UPGRADE_REQUIRED, "a websocket is served here"));
    };
    let behaviour = note(&hub, &request);
    match &behaviour {
        Behaviour::Answer { status, headers } => return Ok(injected(*status, headers)),
        Behaviour::NoAnswer => match std::future::pending::<Infallible>().await {},
        Behaviour::HangUp => return Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
        _ => {}
    }
    if !is_ours {
        return Ok(plain(StatusCode::NOT_FOUND, "Resource not found"));
    }
    if !is_authorized(&hub, request.headers()) {
        return Ok(plain(StatusCode::UNAUTHORIZED, "Unauthorized"));
    }
    let legacy = request.headers().get(PROTOCOL.0).is_none_or(|value| value != PROTOCOL.1);
    let clock = if let Behaviour::Clock(off) = behaviour { Some(off) } else { None };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            Session::run(hub, upgraded, behaviour, legacy).await;
        }
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(date) = clock.and_then(|off| HeaderValue::from_str(&dated(off)).ok()) {
        headers.insert(DATE, date);
    }
    Ok(response)
}

/// Counts and keeps the request, and tells how its connection is to be treated.
fn note(hub: &Hub, request: &Request<Incoming>) -> Behaviour {
    let mut headers = request.headers().clone();
    for value in headers.values_mut() {
        value.set_sensitive(true);
    }
    hub.change(|state| {
        state.seen.upgrades += 1;
        state.last_request = Some((request.uri().path().to_owned(), headers));
        state.next.pop_front().unwrap_or_else(|| state.always.clone())
    })
}

fn upgrade_key(headers: &HeaderMap) -> Option<HeaderValue> {
    let websocket = headers.get(UPGRADE)?.to_str().ok()?.eq_ignore_ascii_case("websocket");
    headers.get(SEC_WEBSOCKET_KEY).filter(|_| websocket).cloned()
}

/// As the controller does it: the scheme is cut off by its length, not read.
fn is_authorized(hub: &Hub, headers: &HeaderMap) -> bool {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    header.and_then(|value| value.get(6..)).is_some_and(|token| token.trim() == hub.settings.token.expose_secret())
}

fn injected(status: u16, headers: &[(String, String)]) -> Response<Full<Bytes>> {
    let mut response = plain(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), "");
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// The date by a clock that is off by so many seconds.
fn dated(off: i64) -> String {
    let span = Duration::from_secs(off.unsigned_abs());
    let now = SystemTime::now();
    httpdate::fmt_http_date(if off < 0 { now - span } else { now + span })
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

//! From a stream to a websocket: the request, and what each kind of refusal means for a person.

use std::{
    error::Error as StdError,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::Instant;
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{
        Error as WsError,
        error::ProtocolError,
        handshake::client::{Request, generate_key},
        protocol::WebSocketConfig,
    },
};

use super::{
    Endpoint,
    dial::{self, BoxStream},
    guard::shown,
    tls,
    wire::{Metered, Wire},
};
use crate::{
    exchange::Limits,
    model::{Class, Dated, Error},
};

/// Without it the controller talks its legacy protocol.
const PROTOCOL: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-gravitee-exchange-protocol"), HeaderValue::from_static("v1"));

/// What to look at where http was spoken to something that did not answer.
const PLAIN: &str = "is the plane up? If this port speaks TLS, the scheme must be https";

const READ_BUFFER: usize = 8 * 1024;

/// The websocket that the controller at `endpoint` makes of `stream`.
pub(super) async fn upgrade(
    stream: BoxStream,
    endpoint: &Endpoint,
    headers: &[(String, SecretString)],
    limits: Limits,
) -> Result<Wire, Error> {
    dated(stream, endpoint, headers, limits).await.0
}

/// The same, and what clock the other end has, when its answer tells, whatever that is.
pub(super) async fn dated(
    stream: BoxStream,
    endpoint: &Endpoint,
    headers: &[(String, SecretString)],
    limits: Limits,
) -> (Result<Wire, Error>, Option<Dated>) {
    let request = match request(endpoint, headers) {
        Ok(request) => request,
        Err(error) => return (Err(error), None),
    };
    let begun = Instant::now();
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        // Each frame goes out by itself: what waits in a buffer delays a ping.
        .write_buffer_size(0)
        .max_message_size(Some(limits.message))
        .max_frame_size(Some(limits.message));
    let of = |headers: &HeaderMap| {
        let theirs = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
        Some(Dated { theirs, ours: SystemTime::now(), took: begun.elapsed() })
    };
    match client_async_with_config(request, Metered::new(stream), Some(config)).await {
        Ok((socket, answer)) => (Ok(Wire::new(socket, limits)), of(answer.headers())),
        Err(error) => {
            let dated = if let WsError::Http(answer) = &error { of(answer.headers()) } else { None };
            (Err(refusal(error, endpoint)), dated)
        }
    }
}

/// Whether `headers` can be sent at all; what is wrong with one that cannot, without its value.
pub(super) fn checked(headers: &[(String, SecretString)]) -> Result<HeaderMap, Error> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let key = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| {
            Error::invalid(format!(
                "`{name}` is not a header's name (gravitee_integration_connector_ws_headers_…_name)"
            ))
        })?;
        let mut value = HeaderValue::from_str(value.expose_secret().trim()).map_err(|_| {
            Error::invalid(format!(
                "the value of the header `{name}` holds a character that no header may hold, such as a line break \
                 (gravitee_integration_connector_ws_headers_…_value)"
            ))
        })?;
        value.set_sensitive(true);
        map.append(key, value);
    }
    Ok(map)
}

fn request(endpoint: &Endpoint, headers: &[(String, SecretString)]) -> Result<Request, Error> {
    let mut all = checked(headers)?;
    let scheme = if endpoint.secure { "wss" } else { "ws" };
    let uri = format!("{scheme}://{}{}", endpoint.authority, endpoint.path);
    let wrong = || Error::invalid(format!("`{endpoint}` cannot be asked for: it holds a character that no URL may"));
    if !all.contains_key(header::HOST) {
        all.insert(header::HOST, HeaderValue::from_str(&endpoint.authority).map_err(|_| wrong())?);
    }
    if !all.contains_key(header::USER_AGENT) {
        let agent = concat!("federation-agent/", env!("CARGO_PKG_VERSION"));
        all.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    }
    all.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    all.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    all.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    // Sixteen random bytes in base64 are a header's value.
    all.insert(header::SEC_WEBSOCKET_KEY, HeaderValue::from_str(&generate_key()).map_err(|_| wrong())?);
    // Neither is offered by us, and an answer to a configured one would break the handshake.
    all.remove(header::SEC_WEBSOCKET_EXTENSIONS);
    all.remove(header::SEC_WEBSOCKET_PROTOCOL);
    let (name, value) = PROTOCOL;
    all.insert(name, value);
    let mut request = Request::builder().uri(uri).body(()).map_err(|_| wrong())?;
    *request.headers_mut() = all;
    Ok(request)
}

fn refusal(error: WsError, endpoint: &Endpoint) -> Error {
    match error {
        WsError::Http(response) => answered(response.status(), response.headers(), endpoint),
        // In TLS 1.3 a server refuses a client's certificate only after the client's handshake is done.
        WsError::Io(error) if error.get_ref().is_some_and(<dyn StdError + Send + Sync>::is::<rustls::Error>) => {
            tls::sentence(&error, endpoint)
        }
        WsError::Io(error) => Error::unavailable(format!(
            "the connection to {endpoint} broke at the upgrade: {}; {}",
            dial::words(error.kind()),
            if endpoint.secure { "is the plane up, and what stands before it?" } else { PLAIN }
        )),
        WsError::Protocol(ProtocolError::HandshakeIncomplete) | WsError::ConnectionClosed => {
            Error::unavailable(format!(
                "{endpoint} closed the connection without an answer to the upgrade; {}",
                if endpoint.secure { "is the plane up, and what stands before it?" } else { PLAIN }
            ))
        }
        WsError::Protocol(ProtocolError::WrongHttpVersion) => Error::unavailable(format!(
            "what answers at {endpoint} does not speak HTTP/1.1; check its host and port, and what stands before it"
        )),
        WsError::Protocol(ProtocolError::HttparseError(_)) => Error::unavailable(format!(
            "what answers at {endpoint} does not speak HTTP; check its host and port{}",
            if endpoint.secure { "" } else { ", and if it speaks TLS, its scheme must be https" }
        )),
        WsError::Protocol(
            ProtocolError::MissingUpgradeWebSocketHeader
            | ProtocolError::MissingConnectionUpgradeHeader
            | ProtocolError::SecWebSocketAcceptKeyMismatch,
        ) => Error::unavailable(format!(
            "the answer of {endpoint} to the upgrade is not a websocket's; a proxy in between may not let websockets \
             through"
        )),
        other => Error::unavailable(format!("the upgrade at {endpoint} failed: {other}")),
    }
}

fn answered(status: StatusCode, headers: &HeaderMap, endpoint: &Endpoint) -> Error {
    let path = &endpoint.path;
    let after = retry_after(headers);
    match status.as_u16() {
        code @ (401 | 403) => Error::denied(format!(
            "{endpoint} refused the token ({code}): check the Authorization header \
             (gravitee_integration_connector_ws_headers_…); its user needs the environment's INTEGRATION permissions \
             Create, Read, Update and Delete, all four, and the plane needs a licence for federation"
        )),
        404 => Error::not_found(format!(
            "nothing is at {path} of {endpoint} (404): the controller itself serves /exchange/controller, and the \
             prefix before it (usually /integration-controller) depends on the ingress in front of it; add or remove \
             it in gravitee_integration_connector_ws_endpoints_…"
        )),
        code @ (410 | 503) => {
            passing(format!("the controller at {endpoint} is stopping or not up yet ({code})"), after)
        }
        429 => passing(format!("{endpoint} gets too many requests (429)"), after),
        407 => Error::denied(format!(
            "a proxy before {endpoint} wants credentials (407); set gravitee_integration_connector_ws_proxy_username \
             and _password"
        )),
        code @ 500.. => {
            passing(format!("the plane at {endpoint} failed the upgrade ({code}); its own log says why"), after)
        }
        code @ (200..=299) => Error::unavailable(format!(
            "{endpoint} answered the upgrade of {path} with {code}: something answers there that is not the \
             controller, or a proxy in between does not let websockets through"
        )),
        code @ (300..=399) => {
            let to = headers
                .get(header::LOCATION)
                .and_then(|to| to.to_str().ok())
                .map(|to| to.split(['?', '#']).next().unwrap_or_default());
            Error::unavailable(format!(
                "{endpoint} answered {path} with a redirect ({code}) to {}; set the endpoint to where the controller \
                 is{}",
                shown(to.unwrap_or("nowhere")),
                if endpoint.secure { "" } else { " (with https, most often)" }
            ))
        }
        code => Error::unavailable(format!("{endpoint} refused the upgrade of {path} with {code}")),
    }
}

fn passing(sentence: String, after: Option<Duration>) -> Error {
    match after {
        Some(after) => {
            let wait = humantime::format_duration(after);
            Error::new(Class::Throttled(Some(after)), format!("{sentence} and asks to wait {wait}"))
        }
        None => Error::unavailable(sentence),
    }
}

/// `Retry-After`, in seconds or as a date, which is read against the answer's own `Date`: no clock needed.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let then = httpdate::parse_http_date(value).ok()?;
    let now = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
    Some(then.duration_since(now).unwrap_or_default())
}

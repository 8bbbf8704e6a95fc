//! What every answer has in common.

use bytes::Bytes;
use http::{
    Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use http_body_util::Full;
use serde::Serialize;
use serde_json::json;

/// An answer.
pub(super) type Answer = Response<Full<Bytes>>;

/// JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    // Nothing that is answered here is without a form in JSON.
    let body = serde_json::to_string(body).unwrap_or_default();
    text(status, "application/json", body + "\n")
}

/// A refusal, with the sentence that says what to do.
pub(super) fn refusal(status: StatusCode, says: &str) -> Answer {
    json(status, &json!({"error": says}))
}

/// A method that the path does not have; `allowed` are those that it has.
pub(super) fn wrong_method(allowed: &'static str) -> Answer {
    let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, &format!("accepted: {allowed}"));
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// Any text.
pub(super) fn text(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin"));
    answer
}

//! What is sent back, before it is bytes.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response};
use serde_json::{Value, json};

/// An answer: status, headers, body.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn json(status: u16, value: &Value) -> Self {
        Self::raw(status, "application/json", value.to_string())
    }

    pub(super) fn raw(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        Self { status, headers: vec![("content-type", content_type.to_owned())], body: body.into() }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// An error as API Gateway's control plane words it.
    pub(super) fn error(status: u16, kind: &str, message: &str) -> Self {
        Self::json(status, &json!({ "message": message })).with("x-amzn-errortype", kind)
    }

    pub(super) fn bad_request(message: &str) -> Self {
        Self::error(400, "BadRequestException", message)
    }

    pub(super) fn not_found(message: &str) -> Self {
        Self::error(404, "NotFoundException", message)
    }

    pub(super) fn conflict(message: &str) -> Self {
        Self::error(409, "ConflictException", message)
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The answer with its headers, its body still in one piece; `served` makes the request id.
    pub(super) fn into_response(self, served: u64) -> Response<Bytes> {
        let length = self.body.len().to_string();
        let mut response = Response::new(self.body);
        *response.status_mut() = http::StatusCode::from_u16(self.status).unwrap_or_default();
        let more = [("content-length", length), ("x-amzn-requestid", format!("standin-{served}"))];
        for (name, value) in self.headers.into_iter().chain(more) {
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

//! The spans in which work is done: whose it is, and the trace that it belongs to. Lines within one have its
//! `integration`, `command`, `job`, `subscription` and `trace_id`; with the feature `otlp` the spans are exported.
//!
//! No span holds a secret: ids, names and numbers only.

use tracing::{Span, field::Empty};
use tracing_subscriber::{Registry, registry::LookupSpan};
use uuid::Uuid;

use super::line::Carried;

/// The target of all spans. Those at ERROR are always there, whatever is logged: lines need them. Those at DEBUG are for
/// whoever exports them.
pub(super) const TARGET: &str = "federation_agent::span";

/// The field that has the trace's id.
pub(super) const TRACE: &str = "trace_id";

/// The W3C trace id of the command `id`: the digits of a UUID, else one by chance. 32 hexadecimal digits, not all nought.
pub fn trace_id(id: &str) -> String {
    let id = Uuid::try_parse(id).ok().filter(|id| !id.is_nil());
    id.unwrap_or_else(Uuid::new_v4).simple().to_string()
}

/// A command of the plane, from its arrival until nothing of it is under way any more.
pub fn command(integration: &str, id: &str, kind: &str, api: Option<&str>, subscription: Option<&str>) -> Span {
    tracing::error_span!(
        target: TARGET,
        parent: None,
        "command",
        otel.name = kind,
        otel.kind = "consumer",
        otel.status_code = Empty,
        integration,
        command = id,
        kind,
        api,
        subscription,
        trace_id = trace_id(id),
        outcome = Empty,
        class = Empty,
        millis = Empty,
    )
}

/// Tells the span of a command how it ended.
pub fn ended(span: &Span, outcome: &str, class: Option<&str>, millis: u64) {
    span.record("outcome", outcome).record("class", class).record("millis", millis);
    span.record("otel.status_code", if class.is_some() { "ERROR" } else { "OK" });
}

/// A list of the gateway. It may outlive the command that began it, in whose trace it stands.
pub fn list(integration: &str, command: &str) -> Span {
    beside(|trace_id| tracing::error_span!(target: TARGET, parent: None, "list", integration, command, trace_id))
}

/// An ingest job, in the trace of its START_INGEST, which it outlives.
pub fn job(integration: &str, job: &str, total: u32) -> Span {
    beside(|trace_id| {
        tracing::error_span!(
            target: TARGET,
            parent: None,
            "ingest",
            integration,
            job,
            trace_id,
            total,
            apis = Empty,
            outcome = Empty,
            otel.status_code = Empty,
        )
    })
}

/// Tells the span of a job how it ended.
pub fn job_ended(span: &Span, apis: usize, outcome: &str, failed: bool) {
    span.record("apis", apis).record("outcome", outcome);
    span.record("otel.status_code", if failed { "ERROR" } else { "OK" });
}

/// Reading one API for an ingest.
pub fn read(api: &str) -> Span {
    tracing::debug_span!(target: TARGET, "read", api)
}

/// One INGEST, until it is answered.
pub fn batch(apis: usize, bytes: usize, done: bool) -> Span {
    tracing::debug_span!(target: TARGET, "INGEST", otel.kind = "producer", apis, bytes, done)
}

/// What an earlier life left of a subscription is ended.
pub fn settle(integration: &str, subscription: &str) -> Span {
    tracing::error_span!(
        target: TARGET, parent: None, "settle", integration, subscription, trace_id = trace_id("")
    )
}

/// What one integration does by itself: its link, its start. Only for lines.
pub fn integration(id: &str) -> Span {
    tracing::error_span!(target: QUIET, parent: None, "integration", integration = id)
}

/// The target of spans that are never exported: they last as long as the process.
pub(super) const QUIET: &str = "federation_agent::span::quiet";

/// One attempt of a call to a gateway, by the semantic conventions for calls to AWS.
pub fn call(operation: &str, verb: &str, path: &str, region: &str, place: &str, attempt: u32) -> Span {
    tracing::debug_span!(
        target: TARGET,
        "call",
        otel.name = format_args!("ApiGateway/{operation}"),
        otel.kind = "client",
        otel.status_code = Empty,
        rpc.system = "aws-api",
        rpc.service = "ApiGateway",
        rpc.method = operation,
        cloud.region = region,
        http.request.method = verb,
        url.path = path,
        http.response.status_code = Empty,
        aws.request_id = Empty,
        error.type = Empty,
        place,
        attempt,
        outcome = Empty,
    )
}

/// Tells the span of a call how it ended; `error` is the class of a failure.
pub fn called(span: &Span, outcome: &str, status: Option<u16>, request: Option<&str>, error: Option<&str>) {
    span.record("outcome", outcome).record("error.type", error).record("aws.request_id", request);
    span.record("http.response.status_code", status);
    if error.is_some() {
        span.record("otel.status_code", "ERROR");
    }
}

/// A span beside the one that is current, in the same trace. Were it inside, the other could not end before it.
fn beside(make: impl FnOnce(&str) -> Span) -> Span {
    let around = Span::current();
    let span = make(&trace_of(&around).unwrap_or_else(|| trace_id("")));
    #[cfg(feature = "otlp")]
    super::otlp::adopt(&span, &around);
    span
}

/// The trace that `span` belongs to.
fn trace_of(span: &Span) -> Option<String> {
    span.with_subscriber(|(id, dispatch)| {
        let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
        span.scope().find_map(|span| Some(span.extensions().get::<Carried>()?.get(TRACE)?.to_owned()))
    })?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuids_digits_are_the_traces_id_and_any_other_id_has_one_by_chance() {
        assert_eq!(trace_id("6f0b4c1e-58a5-4f2e-8d7c-0a1b2c3d4e5f"), "6f0b4c1e58a54f2e8d7c0a1b2c3d4e5f");
        for odd in ["", "no uuid", "00000000-0000-0000-0000-000000000000"] {
            let id = trace_id(odd);
            assert!(
                id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()) && id != "0".repeat(32),
                "{id}"
            );
            assert_ne!(id, trace_id(odd));
        }
    }
}

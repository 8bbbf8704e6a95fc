//! Traces of the real binary, taken by a receiver that decodes them.
#![cfg(feature = "otlp")]
#![expect(clippy::unwrap_used, reason = "a receiver that cannot be set up or read has failed the test")]

#[expect(dead_code, reason = "each test binary uses its part")]
mod support;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use federation_agent::standin::Operation;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message;
use secrecy::ExposeSecret;
use support::{AWS_SECRET, Process, Stage, TOKEN, soon};
use tokio::net::TcpListener;

const ONE: &str = "one";
/// What a header of the exporter holds: it goes to the receiver, and nowhere else.
const HEADER: &str = "header-never-to-be-seen";

/// An export: its path, its header, its body.
type Taken = (String, Option<String>, Bytes);

/// A collector that keeps what it gets.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Taken>>>);

impl Collector {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let taken = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let taken = taken.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let taken = taken.clone();
                    async move {
                        let path = request.uri().path().to_owned();
                        let header = request.headers().get("x-auth").map(|value| value.to_str().unwrap().to_owned());
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        taken.0.lock().unwrap().push((path, header, body));
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        url
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let taken = self.0.lock().unwrap();
        taken.iter().map(|(_, _, body)| ExportTraceServiceRequest::decode(body.clone()).unwrap()).collect()
    }

    /// All spans, in the order of their beginnings.
    fn spans(&self) -> Vec<Span> {
        let resources = self.requests().into_iter().flat_map(|request| request.resource_spans);
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        let mut spans: Vec<Span> = scopes.flat_map(|scope| scope.spans).collect();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans
    }
}

fn text<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    let value = attributes.iter().find(|attribute| attribute.key == name)?.value.as_ref()?;
    match value.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

fn id_of(span: &Span) -> Vec<u8> {
    uuid::Uuid::parse_str(text(&span.attributes, "command").unwrap()).unwrap().as_bytes().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commands_trace_has_its_id_and_its_calls_to_the_gateway() {
    let (stage, collector) = (Stage::set(&[ONE]).await, Collector::default());
    let endpoint = collector.start().await;
    let headers = format!("x-auth={HEADER}");
    let mut agent = stage
        .agent(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_HEADERS", &headers),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
            ("FEDERATION_AGENT_LOG", "warn,federation_agent::cli=info"),
        ])
        .await;
    agent.says("traces: http://").await;
    let api = stage.ingested(ONE).await;
    stage.gateway.forget();
    let made = soon("subscribe", stage.plane.subscribe(ONE, &api, "g0ld77", "shop")).await.unwrap();
    let asked: Vec<Operation> = stage.gateway.requests().into_iter().filter_map(|request| request.operation).collect();
    agent.signal("TERM");
    let (_, said) = agent.end().await;

    let spans = collector.spans();
    let named =
        |name: &str| spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("no {name}: {said:?}"));
    let command = named("SUBSCRIBE");
    assert_eq!(command.trace_id, id_of(command));
    assert!(command.parent_span_id.is_empty(), "it is the root");
    for (name, value) in [("integration", ONE), ("api", &api), ("subscription", &made.id), ("outcome", "succeeded")] {
        assert_eq!(text(&command.attributes, name), Some(value), "{name}");
    }
    let calls: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id == command.span_id).collect();
    let told: Vec<&str> = calls.iter().filter_map(|span| text(&span.attributes, "rpc.method")).collect();
    let mut expected: Vec<String> = asked.iter().map(|operation| format!("{operation:?}")).collect();
    let mut sorted = told.clone();
    expected.sort();
    sorted.sort_unstable();
    assert_eq!(sorted, expected, "every call, once");
    let place = |name: &str| told.iter().position(|operation| *operation == name);
    assert!(place("CreateApiKey") < place("CreateUsagePlanKey") && place("CreateApiKey").is_some(), "{told:?}");
    for call in calls {
        assert_eq!(call.trace_id, command.trace_id);
        assert_eq!(text(&call.attributes, "rpc.system"), Some("aws-api"), "{call:?}");
        assert_eq!(text(&call.attributes, "outcome"), Some("ok"), "{call:?}");
    }

    // A job outlives its START_INGEST and belongs to its trace.
    let (start, job) = (named("START_INGEST"), named("ingest"));
    assert_eq!((&job.trace_id, &job.parent_span_id), (&start.trace_id, &start.span_id));
    assert!(start.end_time_unix_nano < job.end_time_unix_nano);
    assert_eq!(named("INGEST").parent_span_id, job.span_id);
    assert_eq!(named("read").trace_id, start.trace_id);

    let requests = collector.requests();
    let resource = requests[0].resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(text(&resource.attributes, "service.name"), Some("federation-agent"));
    assert_eq!(text(&resource.attributes, "service.version"), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(text(&resource.attributes, "deployment.environment"), Some("test"));

    let key = made.api_key.as_ref().unwrap().expose_secret();
    for (path, header, body) in collector.0.lock().unwrap().iter() {
        assert_eq!((path.as_str(), header.as_deref()), ("/v1/traces", Some(HEADER)));
        let text = String::from_utf8_lossy(body);
        for secret in [TOKEN, AWS_SECRET, key, HEADER] {
            assert!(!text.contains(secret), "a span holds a secret");
        }
    }
    assert!(!said.iter().any(|line| line.contains(HEADER)), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_away_costs_one_warning() {
    let stage = Stage::set(&[ONE]).await;
    // Taken and let go of: nobody listens there.
    let away = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut agent = stage
        .agent(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{away}")), ("OTEL_BSP_SCHEDULE_DELAY", "20")])
        .await;
    for _ in 0..3 {
        soon("discover", stage.plane.discover(ONE)).await.unwrap();
    }
    let line = agent.says("traces are not taken by their receiver").await;
    assert!(line.contains("WARN") && line.contains("refused"), "{line}");
    agent.signal("TERM");
    let (status, said) = agent.end().await;
    assert_eq!(status.code(), Some(0));
    let warned = said.iter().filter(|line| line.contains("traces are not taken")).count();
    assert_eq!(warned, 1, "{}", said.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_honoured_is_refused_at_the_start() {
    let stage = Stage::set(&[ONE]).await;
    let more = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")];
    let (status, said) = Process::start(&["run"], stage.environment(&more)).end().await;
    let text = said.join("\n");
    assert_eq!(status.code(), Some(2), "{text}");
    assert!(text.contains("OTEL_EXPORTER_OTLP_PROTOCOL=grpc") && text.contains("http/protobuf"), "{text}");
}

//! Traces by OTLP (http/protobuf), when the feature `otlp` is built in and the variables ask for it: OpenTelemetry's own
//! SDK, over the HTTP and TLS stack that everything else here uses.
//!
//! The exporter has a thread and a small runtime of its own: what it waits for holds up no command, and what is left can
//! be handed over when the process's runtime is gone.

use std::{
    cell::Cell,
    error::Error as StdError,
    fmt, fs,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use opentelemetry::trace::{SpanId, TraceId, TracerProvider};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{IdGenerator, RandomIdGenerator, SdkTracerProvider},
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::{
    runtime::{Builder, Runtime},
    time::Instant,
};
use tracing::{
    Span, Subscriber,
    level_filters::LevelFilter,
    span::{Attributes, Id},
};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::Targets, layer::Context, registry::LookupSpan};

use super::{
    line::Carried,
    span::{QUIET, TARGET, TRACE},
    traces::Asked,
};

/// How often it is said that a receiver takes nothing.
const REMINDER: Duration = Duration::from_hours(1);
/// How long handing over the rest may hold up the end.
const FAREWELL: Duration = Duration::from_secs(3);
/// The longest answer of a receiver that is read.
const ANSWER: usize = 64 * 1024;

thread_local! {
    /// The trace that the span belongs to which begins on this thread.
    static BEGINS: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// What exports the spans of this process.
#[derive(Debug)]
pub(super) struct Exporter {
    provider: SdkTracerProvider,
    endpoint: String,
}

impl Exporter {
    /// Begins to export as `asked`. The error is a sentence.
    pub(super) fn begin(asked: &Asked) -> Result<Self, String> {
        let endpoint = asked.endpoint.to_string();
        let carrier = Carrier {
            runtime: Mutex::new(None),
            client: client(asked)?,
            timeout: asked.timeout,
            endpoint: endpoint.clone(),
            told: Mutex::new(None),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(carrier)
            .with_endpoint(endpoint.clone())
            .with_timeout(asked.timeout)
            .build()
            .map_err(|error| error.to_string())?;
        let mut resource = Resource::builder();
        if !asked.named {
            resource = resource.with_service_name(env!("CARGO_PKG_NAME"));
        }
        let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_id_generator(Ids(RandomIdGenerator::default()))
            .with_resource(resource.with_attribute(version).build())
            .build();
        Ok(Self { provider, endpoint })
    }

    /// Where spans go.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Exports this program's spans, and nothing of its events: their texts are not made for strangers.
    pub(super) fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            .with_filter(Targets::new().with_target(TARGET, LevelFilter::TRACE).with_target(QUIET, LevelFilter::OFF))
    }

    /// Hands over what is left, in a few seconds at most.
    pub(super) fn finish(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FAREWELL) {
            tracing::debug!(endpoint = self.endpoint, %error, "the last traces were not handed over");
        }
    }
}

/// Makes `span`, which has just been made, a child of `around` for those who receive it: for `tracing` it is none, so
/// that `around` can end before it.
pub(super) fn adopt(span: &Span, around: &Span) {
    // Fails where nothing is exported.
    let _ = span.set_parent(around.context());
}

/// Tells the trace's id of a span that begins, as its field has it, to [`Ids`]. To be put before the exporting layer.
pub(super) fn starter<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> + Send + Sync {
    Starter.with_filter(Targets::new().with_target(TARGET, LevelFilter::ERROR).with_target(QUIET, LevelFilter::OFF))
}

struct Starter;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Starter {
    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        BEGINS.set(None);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        let trace = context.span(id).and_then(|span| {
            let carried = span.extensions();
            TraceId::from_hex(carried.get::<Carried>()?.get(TRACE)?).ok()
        });
        BEGINS.set(trace);
    }

    fn on_exit(&self, _: &Id, _: Context<'_, S>) {
        BEGINS.set(None);
    }
}

/// Gives a command's trace the command's id.
#[derive(Debug)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        BEGINS.get().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

/// Carries requests to the receiver.
struct Carrier {
    /// Made on the exporter's own thread, when it is first needed.
    runtime: Mutex<Option<Runtime>>,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
    endpoint: String,
    /// When it was said last that nothing gets there.
    told: Mutex<Option<Instant>>,
}

impl fmt::Debug for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Carrier").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Carrier {
    /// Says that a receiver takes nothing: once an hour.
    fn complain(&self, why: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|last| last.elapsed() >= REMINDER) {
            *told = Some(Instant::now());
            tracing::warn!(
                endpoint = self.endpoint,
                "traces are not taken by their receiver and are lost, which is said once an hour: {why}"
            );
        }
    }

    async fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.client.request(request.map(Full::new)).await?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, ANSWER).collect().await?.to_bytes();
        Ok(Response::from_parts(head, body))
    }
}

#[async_trait]
impl HttpClient for Carrier {
    /// Is called on the exporter's own thread, which has nothing else to do meanwhile.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = match runtime.take() {
            Some(made) => runtime.insert(made),
            None => runtime.insert(Builder::new_current_thread().enable_all().build()?),
        };
        let asked = runtime.block_on(async { tokio::time::timeout(self.timeout, self.ask(request)).await });
        let answer = asked.unwrap_or_else(|_| Err(format!("no answer within {:?}", self.timeout).into()));
        match &answer {
            Ok(answer) if answer.status().is_success() => {}
            Ok(answer) => self.complain(&format!("it answered {}", answer.status())),
            Err(error) => self.complain(&whole(&**error)),
        }
        answer
    }
}

/// An error with its causes: the outer one alone says "client error (Connect)".
fn whole(error: &(dyn StdError + 'static)) -> String {
    let mut says = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        says = format!("{says}: {error}");
        cause = error.source();
    }
    says
}

fn client(asked: &Asked) -> Result<Client<HttpsConnector<HttpConnector>, Full<Bytes>>, String> {
    let endpoint: Uri =
        asked.endpoint.as_str().parse().map_err(|error| format!("is no URL of a collector: {error}"))?;
    let mut roots = RootCertStore::empty();
    // The system's take half a megabyte: only where they are needed.
    if endpoint.scheme_str() == Some("https") {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = &asked.authorities {
            let unreadable = |why: &dyn fmt::Display| format!("OTEL_EXPORTER_OTLP_CERTIFICATE cannot be read: {why}");
            let pem = fs::read(path).map_err(|error| unreadable(&error))?;
            let given: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            roots.add_parsable_certificates(given.map_err(|error| unreadable(&error))?);
        }
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

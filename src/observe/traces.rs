//! Whether traces are exported, and whither: what OpenTelemetry's own variables say, read as its specification does.

#[cfg(feature = "otlp")]
use std::{path::PathBuf, sync::Arc, time::Duration};

#[cfg(feature = "otlp")]
use url::Url;

#[cfg(feature = "otlp")]
use super::otlp::Exporter;
#[cfg(feature = "otlp")]
use crate::settings::Fault;
use crate::settings::{Environment, Faults};

/// What the names of OpenTelemetry's variables begin with.
const PREFIX: &str = "OTEL_";

/// Traces that are exported. In a build without the feature `otlp` there are none.
#[derive(Debug, Clone)]
pub struct Traces {
    #[cfg(feature = "otlp")]
    exporter: Arc<Exporter>,
    #[cfg(not(feature = "otlp"))]
    none: std::convert::Infallible,
}

/// What the variables say.
#[cfg(feature = "otlp")]
#[derive(Debug)]
pub(super) struct Asked {
    /// Where traces go: scheme, host, port and path.
    pub(super) endpoint: Url,
    /// How long handing over may take.
    pub(super) timeout: Duration,
    /// A file with authorities that are trusted beside the system's.
    pub(super) authorities: Option<PathBuf>,
    /// Whether the variables give the service's name.
    pub(super) named: bool,
}

/// The variables that are set and that this build does not honour, as a sentence; `None` when there are none.
pub fn unheard(environment: &Environment) -> Option<String> {
    if cfg!(feature = "otlp") {
        return None;
    }
    let set = environment.iter().filter(|(name, value)| name.starts_with(PREFIX) && !value.trim().is_empty());
    let names: Vec<&str> = set.map(|(name, _)| name).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{} set and not honoured: this build exports no traces (it was made without the cargo feature `otlp`)",
            match &names[..] {
                [one] => format!("{one} is"),
                several => format!("{} are", several.join(", ")),
            }
        )
    })
}

#[cfg(not(feature = "otlp"))]
impl Traces {
    /// None.
    pub fn read(_environment: &Environment) -> Result<Option<Self>, Faults> {
        Ok(None)
    }

    /// Where they go, for the log of a start.
    pub fn describe(&self) -> String {
        match self.none {}
    }

    /// Hands over what is left.
    pub(super) fn finish(&self) {
        match self.none {}
    }
}

#[cfg(feature = "otlp")]
impl Traces {
    /// What `environment` asks for: none when it names no endpoint.
    pub fn read(environment: &Environment) -> Result<Option<Self>, Faults> {
        let Some(asked) = asked(environment)? else { return Ok(None) };
        let endpoint = asked.endpoint.to_string();
        match Exporter::begin(&asked) {
            Ok(exporter) => Ok(Some(Self { exporter: Arc::new(exporter) })),
            Err(why) => Err(Faults(vec![Fault { variable: ENDPOINT.into(), found: Some(endpoint), says: why }])),
        }
    }

    /// Where they go, for the log of a start.
    pub fn describe(&self) -> String {
        format!("traces: {}", self.exporter.endpoint())
    }

    /// Exports the spans of this program.
    pub(super) fn layer<S>(&self) -> impl tracing_subscriber::Layer<S> + Send + Sync + use<S>
    where
        S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a> + Send + Sync,
    {
        self.exporter.layer()
    }

    /// Hands over what is left.
    pub(super) fn finish(&self) {
        self.exporter.finish();
    }
}

#[cfg(feature = "otlp")]
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

#[cfg(feature = "otlp")]
fn asked(environment: &Environment) -> Result<Option<Asked>, Faults> {
    let get = |name: &str| environment.get(name).map(str::trim).filter(|value| !value.is_empty());
    // The one for traces counts before the one for everything.
    let either = |end: &str| {
        let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{end}"), format!("OTEL_EXPORTER_OTLP_{end}")];
        names.into_iter().find_map(|name| get(&name).map(|value| (name, value.to_owned())))
    };
    if get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let mut faults = Vec::new();
    let mut fault = |variable: &str, found: &str, says: &str| {
        faults.push(Fault { variable: variable.into(), found: Some(found.into()), says: says.into() });
    };
    let exporter = get("OTEL_TRACES_EXPORTER");
    match exporter {
        None | Some("otlp") => {}
        Some("none") => return Ok(None),
        Some(other) => fault("OTEL_TRACES_EXPORTER", other, "otlp and none are accepted"),
    }
    let endpoint = either("ENDPOINT");
    if endpoint.is_none() && exporter.is_none() {
        return Ok(None);
    }
    if let Some((name, value)) = either("PROTOCOL")
        && value != "http/protobuf"
    {
        fault(&name, &value, "only http/protobuf is spoken: set that, with the collector's port for it (4318)");
    }
    if let Some((name, value)) = either("COMPRESSION")
        && value != "none"
    {
        fault(&name, &value, "traces are sent as they are: none is accepted");
    }
    if let Some(value) = get("OTEL_TRACES_SAMPLER") {
        let known = ["always_on", "always_off", "traceidratio"];
        if !known.contains(&value.strip_prefix("parentbased_").unwrap_or(value)) {
            let says = "always_on, always_off, traceidratio and the same with parentbased_ before are accepted";
            fault("OTEL_TRACES_SAMPLER", value, says);
        } else if value.ends_with("traceidratio") {
            let share = get("OTEL_TRACES_SAMPLER_ARG").unwrap_or("1");
            if !share.parse::<f64>().is_ok_and(|share| (0.0..=1.0).contains(&share)) {
                fault("OTEL_TRACES_SAMPLER_ARG", share, "the share of traces that are exported, from 0 to 1");
            }
        }
    }
    let timeout = match either("TIMEOUT") {
        None => Duration::from_secs(10),
        Some((name, value)) => value.parse().map_or_else(
            |_| {
                fault(&name, &value, "a number of milliseconds is accepted: 10000");
                Duration::ZERO
            },
            Duration::from_millis,
        ),
    };
    let (name, value) = endpoint.unwrap_or_else(|| (ENDPOINT.into(), "http://localhost:4318".into()));
    let url = match Url::parse(&value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host().is_some() => {
            if url.username().is_empty() && url.password().is_none() {
                Some(url)
            } else {
                // Not shown: it holds a password.
                faults.push(Fault {
                    variable: name.clone(),
                    found: None,
                    says: "has a user or a password in it: give them in OTEL_EXPORTER_OTLP_HEADERS".into(),
                });
                None
            }
        }
        _ => {
            fault(&name, &value, "is no URL of a collector: http://host:4318 is accepted");
            None
        }
    };
    match url {
        Some(mut endpoint) if faults.is_empty() => {
            if name == ENDPOINT {
                endpoint.set_path(&format!("{}/v1/traces", endpoint.path().trim_end_matches('/')));
            }
            let attributes = get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
            let named = get("OTEL_SERVICE_NAME").is_some()
                || attributes.split(',').any(|pair| pair.trim_start().starts_with("service.name="));
            Ok(Some(Asked {
                endpoint,
                timeout,
                authorities: either("CERTIFICATE").map(|(_, path)| path.into()),
                named,
            }))
        }
        _ => Err(Faults(faults)),
    }
}

#[cfg(all(test, feature = "otlp"))]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let environment: Environment = variables.iter().copied().collect();
        asked(&environment)
            .map(|asked| asked.map(|asked| asked.endpoint.to_string()))
            .map_err(|faults| faults.to_string())
    }

    #[test]
    fn nothing_is_exported_unless_it_is_asked_for() {
        let endpoint = (ENDPOINT, "http://collector:4318");
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[(ENDPOINT, " ")]), Ok(None));
        assert_eq!(read(&[endpoint, ("OTEL_SDK_DISABLED", "true")]), Ok(None));
        assert_eq!(read(&[endpoint, ("OTEL_TRACES_EXPORTER", "none")]), Ok(None));
        assert_eq!(read(&[("OTEL_TRACES_EXPORTER", "otlp")]), Ok(Some("http://localhost:4318/v1/traces".into())));
    }

    #[test]
    fn the_endpoint_for_traces_is_taken_as_it_is_and_the_common_one_has_their_path_added() {
        let common = (ENDPOINT, "http://collector:4318/otlp/");
        assert_eq!(read(&[common]), Ok(Some("http://collector:4318/otlp/v1/traces".into())));
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://other/x");
        assert_eq!(read(&[common, own]), Ok(Some("https://other/x".into())));
    }

    #[test]
    fn all_that_cannot_be_honoured_is_refused_at_once() {
        let says = read(&[
            (ENDPOINT, "collector"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_TRACES_SAMPLER", "xray"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ])
        .unwrap_err();
        for part in ["no URL", "http/protobuf", "parentbased_", "milliseconds", "none is accepted"] {
            assert!(says.contains(part), "{part}: {says}");
        }
        let secret = read(&[(ENDPOINT, "http://me:marker@collector")]).unwrap_err();
        assert!(secret.contains("_HEADERS") && !secret.contains("marker"), "{secret}");
    }
}

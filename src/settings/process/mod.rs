//! The process's own settings: flat, `FEDERATION_AGENT_…`, read with `envy` into texts and checked here, so that all
//! that is wrong can be said at once.

mod keys;

pub use keys::{KEYS, PREFIX};

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::Deserialize;

use keys::{
    BATCH_APIS, BATCH_BYTES, BATCH_WAIT, BUDGET, CA_FILE, CHECK, CONFIG, DATA_DIR, DRAIN, HANDSHAKE, INGEST_PAUSE,
    LISTEN, LOG, LOG_FORMAT, PING, PLAN_LOSS, REPLY_WAIT, RETRY_INITIAL, RETRY_MAX, RETRY_RESET, RETRY_SLOW,
    SECRETS_DIR, SILENCE,
};

use super::{
    Environment, Fault, Http, Key, LogFormat, PlanLoss, Process, ProxyEnvironment, Retry, Setting, Source, StartCheck,
    reader::{MASK, Reader, parse, shown},
    services,
    values::Value,
};

/// The texts as `envy` finds them. Texts only: `envy` stops at the first value of another type that is wrong.
#[derive(Debug, Default, Deserialize)]
struct Raw {
    log: Option<String>,
    log_format: Option<String>,
    listen: Option<String>,
    data_dir: Option<String>,
    drain: Option<String>,
    budget: Option<String>,
    ingest_pause: Option<String>,
    batch_bytes: Option<String>,
    batch_apis: Option<String>,
    batch_wait: Option<String>,
    reply_wait: Option<String>,
    plan_loss: Option<String>,
    retry_initial: Option<String>,
    retry_max: Option<String>,
    retry_reset: Option<String>,
    retry_slow: Option<String>,
    ping: Option<String>,
    silence: Option<String>,
    handshake: Option<String>,
    check: Option<String>,
    ca_file: Option<String>,
    config: Option<String>,
    secrets_dir: Option<String>,
}

/// The whole variable's name.
pub(super) fn variable(key: &Key) -> String {
    format!("{PREFIX}{}", key.name)
}

/// Reads the process's settings. What is wrong goes to the reader, and its default stands for it.
pub(super) fn read(reader: &mut Reader<'_>) -> Process {
    let environment = reader.environment;
    let declared = environment
        .iter()
        .filter(|(name, value)| {
            !value.trim().is_empty()
                && name.strip_prefix(PREFIX).is_some_and(|rest| KEYS.iter().any(|key| key.name == rest))
        })
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let raw: Raw = envy::prefixed(PREFIX).from_iter(declared).unwrap_or_else(|error| {
        reader.fault(PREFIX, None, format!("the settings of this prefix cannot be read: {error}"));
        Raw::default()
    });
    let asked_to_listen = raw.listen.is_some();
    let mut checks = Checks { reader };
    let second = Duration::from_secs(1);
    let tick = Duration::from_millis(1);
    let mut process = Process {
        log: checks.log(raw.log),
        log_format: match checks.text(&LOG_FORMAT, raw.log_format).as_deref() {
            Some("text") => LogFormat::Text,
            Some("json") => LogFormat::Json,
            _ => LogFormat::Auto,
        },
        listen: checks.listen(raw.listen),
        http: Http::default(),
        data_dir: PathBuf::from(checks.text(&DATA_DIR, raw.data_dir).unwrap_or_default()),
        drain: checks.span(&DRAIN, raw.drain, Duration::ZERO, 600 * second),
        budget: checks.span(&BUDGET, raw.budget, tick, 51 * second),
        ingest_pause: checks.span(&INGEST_PAUSE, raw.ingest_pause, Duration::ZERO, 60 * second),
        batch_bytes: checks.size(&BATCH_BYTES, raw.batch_bytes),
        batch_apis: checks.size(&BATCH_APIS, raw.batch_apis),
        batch_wait: checks.span(&BATCH_WAIT, raw.batch_wait, tick, 240 * second),
        reply_wait: checks.span(&REPLY_WAIT, raw.reply_wait, tick, 600 * second),
        plan_loss: match checks.text(&PLAN_LOSS, raw.plan_loss).as_deref() {
            Some("once") => PlanLoss::Once,
            Some("always") => PlanLoss::Always,
            _ => PlanLoss::Never,
        },
        retry: Retry {
            initial: checks.span(&RETRY_INITIAL, raw.retry_initial, tick, 600 * second),
            max: checks.span(&RETRY_MAX, raw.retry_max, tick, 3600 * second),
            reset_after: checks.span(&RETRY_RESET, raw.retry_reset, tick, 86_400 * second),
            slow: checks.span(&RETRY_SLOW, raw.retry_slow, tick, 86_400 * second),
            ping: checks.span(&PING, raw.ping, tick, 600 * second),
            silence: checks.span(&SILENCE, raw.silence, tick, 3600 * second),
            handshake: checks.span(&HANDSHAKE, raw.handshake, tick, 600 * second),
        },
        start_check: match checks.text(&CHECK, raw.check).as_deref() {
            Some("warn") => StartCheck::Warn,
            Some("require") => StartCheck::Require,
            _ => StartCheck::Off,
        },
        ca_file: checks.readable_file(&CA_FILE, raw.ca_file),
        proxy_environment: proxy_environment(environment),
        trusted: None,
        files: environment.layers().files.clone(),
    };
    // Their values were needed before anything else could be read; here they are checked and shown.
    checks.text(&CONFIG, raw.config);
    checks.text(&SECRETS_DIR, raw.secrets_dir);
    if process.retry.max < process.retry.initial {
        checks.relation(&RETRY_MAX, process.retry.max, "be at least", &RETRY_INITIAL, process.retry.initial);
    }
    if process.retry.silence <= process.retry.ping {
        checks.relation(&SILENCE, process.retry.silence, "be longer than", &PING, process.retry.ping);
    }
    let ours = asked_to_listen.then(|| variable(&LISTEN));
    let services = services::read(reader, ours.as_deref());
    process.http = services.http;
    if !asked_to_listen {
        process.listen = services.address;
        if services.moved {
            let shown = process.listen.map_or("off".into(), |address| address.to_string());
            reader.show(&variable(&LISTEN), &shown);
        }
    }
    process
}

impl Default for Process {
    /// What an empty environment gives.
    fn default() -> Self {
        read(&mut Reader::new(&Environment::default()))
    }
}

struct Checks<'r, 'e> {
    reader: &'r mut Reader<'e>,
}

impl Checks<'_, '_> {
    /// The value of `key`, checked for its shape and by `check`, which says what is accepted when it is not that.
    fn value<T>(&mut self, key: &Key, raw: Option<String>, check: impl Fn(Value) -> Result<T, String>) -> Option<T> {
        let name = variable(key);
        let mut source = if key.default.is_some() { Source::Default } else { Source::Unset };
        let mut value = None;
        let mut wrong = false;
        if let Some(raw) = raw {
            source = Source::Variable;
            let checked = match parse(key.shape, raw.trim()) {
                Some(parsed) => check(parsed.clone()).map(|checked| (parsed.shown(), checked)),
                None => Err(format!("{} is accepted", key.shape.accepts())),
            };
            match checked {
                Ok(checked) => value = Some(checked),
                Err(says) => {
                    wrong = true;
                    self.reader.fault(&name, Some(shown(&raw)), says);
                }
            }
        }
        let of_table = || {
            let parsed = parse(key.shape, key.default?)?;
            Some((parsed.shown(), check(parsed).ok()?))
        };
        let value = value.or_else(of_table);
        let (text, value) = value.unzip();
        self.reader.settings.push(Setting {
            variable: name,
            value: match source {
                Source::Default => key.default.map(str::to_owned),
                _ => text.filter(|_| !wrong),
            },
            source,
            default: key.default,
            help: key.help,
        });
        value
    }

    fn text(&mut self, key: &Key, raw: Option<String>) -> Option<String> {
        self.value(key, raw, |value| match value {
            Value::Text(text) => Ok(text),
            _ => Err("a text is accepted".into()),
        })
    }

    fn log(&mut self, raw: Option<String>) -> String {
        let below = self.reader.environment.layers().log.clone().filter(|_| raw.is_none());
        let (below, place) = below.unzip();
        let filter = self.value(&LOG, raw.or(below), |value| match value {
            Value::Text(text) if is_log_filter(&text) => Ok(text),
            _ => {
                Err("off, error, warn, info, debug or trace is accepted, or comma-separated pairs target=level".into())
            }
        });
        if let (Some(place), Some(setting)) = (place, self.reader.settings.last_mut()) {
            setting.source = Source::Property(place);
        }
        filter.unwrap_or_default()
    }

    fn listen(&mut self, raw: Option<String>) -> Option<SocketAddr> {
        let address = self.value(&LISTEN, raw, |value| match value {
            Value::Text(text) if text.eq_ignore_ascii_case("off") => Ok(None),
            Value::Text(text) => match text.parse::<SocketAddr>() {
                Ok(address) => Ok(Some(address)),
                Err(_) => Err("an IP address with a port is accepted, like 0.0.0.0:18084 or [::]:18084, or off".into()),
            },
            _ => Err("a text is accepted".into()),
        });
        address.flatten()
    }

    fn span(&mut self, key: &Key, raw: Option<String>, from: Duration, to: Duration) -> Duration {
        let span = self.value(key, raw, |value| match value {
            Value::Span(span) if (from..=to).contains(&span) => Ok(span),
            _ => Err(format!(
                "a time span from {} to {} is accepted",
                humantime::format_duration(from),
                humantime::format_duration(to)
            )),
        });
        span.unwrap_or_default()
    }

    fn size(&mut self, key: &Key, raw: Option<String>) -> usize {
        let size = self.value(key, raw, |value| match value {
            Value::Number(number) => usize::try_from(number).map_err(|_| "a smaller number is accepted".to_owned()),
            _ => Err("a whole number is accepted".into()),
        });
        size.unwrap_or_default()
    }

    fn readable_file(&mut self, key: &Key, raw: Option<String>) -> Option<PathBuf> {
        let environment = self.reader.environment;
        self.value(key, raw, |value| match value {
            Value::Text(path) => {
                let path = PathBuf::from(path);
                match environment.read_file(&path) {
                    Ok(_) => Ok(path),
                    Err(error) => Err(format!("the file cannot be read: {error}; the path of a PEM file is accepted")),
                }
            }
            _ => Err("a path is accepted".into()),
        })
    }

    fn relation(&mut self, key: &Key, value: Duration, must: &str, than: &Key, least: Duration) {
        self.reader.faults.push(Fault {
            variable: variable(key),
            found: Some(humantime::format_duration(value).to_string()),
            says: format!("must {must} {} ({})", variable(than), humantime::format_duration(least)),
        });
    }
}

/// Whether `text` is a level, or pairs of a target and a level. A word alone that is no level would be a target too,
/// and the only one that is logged: of `verbose` the whole log would be silent.
fn is_log_filter(text: &str) -> bool {
    text.parse::<tracing_subscriber::filter::Targets>().is_ok()
        && text.split(',').map(str::trim).all(|part| {
            part.contains('=')
                || part.starts_with("federation_agent")
                || part.parse::<tracing_subscriber::filter::LevelFilter>().is_ok()
        })
}

/// The proxy variables, the lower-case spelling first, as curl has it.
fn proxy_environment(environment: &Environment) -> ProxyEnvironment {
    let text = |name: &str| {
        [name.to_lowercase(), name.to_uppercase()]
            .iter()
            .find_map(|name| environment.get(name))
            .map(str::trim)
            .filter(|value| !value.is_empty())
    };
    let java = &environment.layers().proxy;
    let of_java = |place: &Option<(String, String)>| place.as_ref().map(|(address, _)| address.clone());
    // What the environment has for any scheme goes before.
    let java_counts = text("ALL_PROXY").is_none();
    let either = |name, place| text(name).map(str::to_owned).or_else(|| of_java(place).filter(|_| java_counts));
    ProxyEnvironment {
        https: either("HTTPS_PROXY", &java.https).map(SecretString::from),
        http: either("HTTP_PROXY", &java.http).map(SecretString::from),
        all: text("ALL_PROXY").map(SecretString::from),
        no: text("NO_PROXY").map(str::to_owned).or_else(|| of_java(&java.no)),
    }
}

/// The proxy variables for `config`. What holds an `@` may hold a password.
pub(super) fn explain_proxy_environment(environment: &Environment, settings: &mut Vec<Setting>) {
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"] {
        for name in [name.to_lowercase(), name.to_owned()] {
            let Some(value) = environment.get(&name).filter(|value| !value.trim().is_empty()) else { continue };
            settings.push(Setting {
                variable: name,
                value: Some(if value.contains('@') { MASK.to_owned() } else { shown(value) }),
                source: Source::Variable,
                default: None,
                help: "How the plane and the gateways are reached, unless a proxy is configured.",
            });
            break;
        }
    }
    let java = &environment.layers().proxy;
    for (address, label) in [&java.https, &java.http, &java.no].into_iter().flatten() {
        settings.push(Setting {
            variable: label.clone(),
            value: Some(shown(address)),
            source: Source::Property(label.split(':').next().unwrap_or_default().to_owned()),
            default: None,
            help: "The proxy of Java's options; HTTPS_PROXY, HTTP_PROXY and NO_PROXY go before.",
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(variables: &[(&str, &str)]) -> (Process, Vec<String>) {
        let environment: Environment = variables.iter().copied().collect();
        let mut reader = Reader::new(&environment);
        let process = read(&mut reader);
        (process, reader.faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_defaults_are_those_of_the_table_and_faultless() {
        let (process, faults) = read_all(&[]);
        assert_eq!(faults, [""; 0]);
        assert_eq!(process.log, "info");
        assert_eq!(process.listen.unwrap().to_string(), "127.0.0.1:18084");
        assert_eq!(process.budget, Duration::from_secs(50));
        assert_eq!(process.batch_bytes, 1 << 20);
        assert_eq!(process.batch_apis, 20);
        assert_eq!(process.retry.slow, Duration::from_mins(5));
        assert!(process.ca_file.is_none());
    }

    #[test]
    fn every_key_is_read() {
        let environment = Environment::default();
        let mut reader = Reader::new(&environment);
        read(&mut reader);
        let explained: Vec<String> = reader.settings.into_iter().map(|setting| setting.variable).collect();
        let explained: Vec<String> = explained.into_iter().filter(|name| name.starts_with(PREFIX)).collect();
        let mut declared: Vec<String> = KEYS.iter().map(variable).collect();
        let mut sorted = explained.clone();
        declared.sort();
        sorted.sort();
        assert_eq!(sorted, declared);
    }

    #[test]
    fn values_are_taken_and_empty_ones_are_unset() {
        let (process, faults) = read_all(&[
            ("FEDERATION_AGENT_LOG", "federation_agent::link=debug,info"),
            ("FEDERATION_AGENT_LOG_FORMAT", "JSON"),
            ("FEDERATION_AGENT_LISTEN", "off"),
            ("FEDERATION_AGENT_DRAIN", ""),
            ("FEDERATION_AGENT_BUDGET", "500ms"),
            ("FEDERATION_AGENT_BATCH_APIS", " 3 "),
        ]);
        assert_eq!(faults, [""; 0]);
        assert_eq!(process.log_format, LogFormat::Json);
        assert_eq!(process.listen, None);
        assert_eq!(process.drain, Duration::from_secs(8));
        assert_eq!(process.budget, Duration::from_millis(500));
        assert_eq!(process.batch_apis, 3);
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let (_, faults) = read_all(&[
            ("FEDERATION_AGENT_LOG", "loud=very"),
            ("FEDERATION_AGENT_LISTEN", "18084"),
            ("FEDERATION_AGENT_BUDGET", "50"),
            ("FEDERATION_AGENT_REPLY_WAIT", "2h"),
            ("FEDERATION_AGENT_BATCH_BYTES", "1"),
            ("FEDERATION_AGENT_SILENCE", "5s"),
        ]);
        assert_eq!(
            faults,
            [
                "FEDERATION_AGENT_LOG=loud=very: off, error, warn, info, debug or trace is accepted, or comma-separated \
                 pairs target=level",
                "FEDERATION_AGENT_LISTEN=18084: an IP address with a port is accepted, like 0.0.0.0:18084 or \
                 [::]:18084, or off",
                "FEDERATION_AGENT_BUDGET=50: a time span with its unit, like 500ms, 8s or 2m is accepted",
                "FEDERATION_AGENT_BATCH_BYTES=1: a whole number from 1024 to 13107200 is accepted",
                "FEDERATION_AGENT_REPLY_WAIT=2h: a time span from 1ms to 10m is accepted",
                "FEDERATION_AGENT_SILENCE=5s: must be longer than FEDERATION_AGENT_PING (5s)",
            ]
        );
    }

    #[test]
    fn proxy_variables_are_found_in_either_case() {
        let (process, _) = read_all(&[("https_proxy", "http://u:p@proxy:3128"), ("NO_PROXY", "10.0.0.0/8")]);
        assert!(process.proxy_environment.https.is_some());
        assert!(process.proxy_environment.http.is_none());
        assert_eq!(process.proxy_environment.no.as_deref(), Some("10.0.0.0/8"));
        assert!(!format!("{process:?}").contains("u:p"));
    }
}

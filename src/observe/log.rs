//! What is logged, and how: lines for people on a terminal, JSON for machines, on stderr (stdout is for results).

use std::{collections::BTreeMap, io, str::FromStr};

use tracing::{level_filters::LevelFilter, subscriber::Subscriber};
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt::MakeWriter,
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
    util::{SubscriberInitExt, TryInitError},
};

use super::{
    line::{Carrier, Form},
    metrics::Lines,
    span,
    traces::Traces,
    warnings::Warnings,
};
use crate::model::is_plain;

/// The target under which all of this program's events stand.
const OURS: &str = "federation_agent";

/// The most that other crates may say. At trace level tungstenite prints the upgrade request (the token) and every
/// message, and the AWS SDK prints responses (key values): no setting may open that.
const OTHERS: LevelFilter = LevelFilter::WARN;

/// The AWS library's crates may say less: a warning of theirs holds the whole answer of whoever was asked for
/// credentials, over and over, and all that they warn of comes to us as an error, with a sentence of our own.
const AWS: (&str, LevelFilter) = ("aws", LevelFilter::ERROR);

/// Which events are logged. Whatever it was made from, other crates' events below WARN never are.
#[derive(Debug, Clone)]
pub struct Filter(Targets);

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For people, with colours or without.
    Text {
        /// Whether colours are used.
        colours: bool,
    },
    /// One JSON object a line.
    Json,
}

/// The log that has been started; its filter can be changed while the program runs.
#[derive(Debug, Clone)]
pub struct Logging {
    handle: reload::Handle<Targets, Registry>,
    warnings: Warnings,
    /// What it was started with.
    first: Filter,
    traces: Option<Traces>,
}

impl Filter {
    /// Only warnings and errors.
    pub fn warnings() -> Self {
        Self(
            Targets::new()
                .with_default(LevelFilter::WARN)
                .with_target(AWS.0, AWS.1)
                .with_target(span::TARGET, LevelFilter::ERROR),
        )
    }

    /// Nothing.
    pub fn nothing() -> Self {
        Self(Targets::new().with_default(LevelFilter::OFF))
    }

    /// The same with `level` for `target`, as far as it may say that.
    fn with(self, target: &str, level: LevelFilter) -> Self {
        let level = if is_ours(target) { level } else { level.min(most_of(target)) };
        Self(self.0.with_target(target, level))
    }
}

/// Whether `target` is one of this program's.
fn is_ours(target: &str) -> bool {
    target == OURS || target.strip_prefix(OURS).is_some_and(|rest| rest.starts_with("::"))
}

#[cfg(test)]
impl Filter {
    /// Whether it lets an event through.
    pub(super) fn lets(&self, target: &str, level: tracing::Level) -> bool {
        self.0.would_enable(target, &level)
    }
}

impl FromStr for Filter {
    type Err = String;

    /// Reads a level (`info`) or `target=level` pairs (`warn,federation_agent::link=debug`). The error is a sentence.
    fn from_str(text: &str) -> Result<Self, String> {
        let asked: Targets = text.parse().map_err(|_| {
            format!(
                "`{text}` is not a log filter: a level (off, error, warn, info, debug, trace) or target=level pairs"
            )
        })?;
        let default = asked.default_level().unwrap_or(LevelFilter::OFF);
        // A target that is longer than ours wins over it for our own rooms; every other one is capped.
        let named = asked.iter().map(|(target, level)| {
            (target.to_owned(), if is_ours(target) { level } else { level.min(most_of(target)) })
        });
        let others = default.min(OTHERS);
        let targets = Targets::new().with_target(OURS, default).with_target(AWS.0, others.min(AWS.1));
        // Whose work it is must be known for every line that is let through.
        let spans = (span::TARGET, LevelFilter::ERROR);
        Ok(Self(targets.with_targets(named).with_default(others).with_target(spans.0, spans.1)))
    }
}

/// The most that a crate that is not ours may say.
fn most_of(target: &str) -> LevelFilter {
    if target.starts_with(AWS.0) { AWS.1 } else { OTHERS }
}

impl Logging {
    /// Starts the log of the process, on stderr. An error says that one was started before.
    pub fn start(filter: Filter, style: Style) -> Result<Self, TryInitError> {
        Self::start_with(filter, style, None)
    }

    /// The same, with `traces` exported.
    pub fn start_with(filter: Filter, style: Style, traces: Option<Traces>) -> Result<Self, TryInitError> {
        let first = filter.clone();
        let (filter, handle) = reload::Layer::new(filter.0);
        let warnings = Warnings::new();
        let registry = tracing_subscriber::registry()
            .with(lines(style, io::stderr).and_then(Lines).with_filter(filter))
            .with(carrier())
            .with(warnings.layer());
        #[cfg(feature = "otlp")]
        let registry = registry.with(super::otlp::starter()).with(traces.as_ref().map(Traces::layer));
        registry.try_init()?;
        Ok(Self { handle, warnings, first, traces })
    }

    /// The last warnings and errors, whatever was let into the log.
    pub fn warnings(&self) -> Warnings {
        self.warnings.clone()
    }

    /// Logs by `filter` from now on.
    pub fn set(&self, filter: Filter) {
        // Fails only when the subscriber is gone, and then nothing is logged at all.
        let _ = self.handle.modify(|current| *current = filter.0);
    }

    /// Logs what is said under `target` from `level` on, and all else as before. The error is a sentence.
    pub fn set_level(&self, target: &str, level: &str) -> Result<(), String> {
        let level: LevelFilter =
            level.trim().to_ascii_lowercase().parse().map_err(|_| {
                format!("`{level}` is not a level: off, error, warn, info, debug and trace are accepted")
            })?;
        let filter = self.handle.with_current(|current| Filter(current.clone())).unwrap_or_else(|_| self.first.clone());
        self.set(filter.with(target, level));
        Ok(())
    }

    /// Logs as it did at the start.
    pub fn reset(&self) {
        self.set(self.first.clone());
    }

    /// From which level on what is logged, by target; the one that is called `*` stands for all that are not named.
    pub fn levels(&self) -> BTreeMap<String, String> {
        self.handle.with_current(levels).unwrap_or_default()
    }

    /// The traces that are exported.
    pub fn traces(&self) -> Option<&Traces> {
        self.traces.as_ref()
    }

    /// Hands over what has not been exported yet. To be called last; takes a few seconds at most.
    pub fn finish(&self) {
        if let Some(traces) = &self.traces {
            traces.finish();
        }
    }
}

fn levels(targets: &Targets) -> BTreeMap<String, String> {
    let name = |level: LevelFilter| level.to_string().to_ascii_uppercase();
    let named = targets.iter().filter(|(target, _)| *target != span::TARGET);
    let default = targets.default_level().unwrap_or(LevelFilter::OFF);
    named.map(|(target, level)| (target.to_owned(), name(level))).chain([("*".to_owned(), name(default))]).collect()
}

/// Keeps with each span what the lines within it need of it.
pub(super) fn carrier<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    Carrier.with_filter(Targets::new().with_target(span::TARGET, LevelFilter::ERROR))
}

/// What writes every line to `writer`, for tests.
#[cfg(test)]
pub(crate) fn subscriber<W>(style: Style, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    tracing_subscriber::registry().with(lines(style, writer)).with(carrier())
}

/// The layer that writes lines.
pub(crate) fn lines<S, W>(style: Style, writer: W) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let colours = style == Style::Text { colours: true };
    let writer = Plain { inner: writer, colours };
    tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(writer).event_format(Form(style))
}

/// Keeps every event on its line: what a gateway or a plane calls a thing may hold line ends, and letters that turn the
/// rest round. An event comes whole, in one piece, and its escape sequences are our own colours: others are escaped
/// before.
#[derive(Clone)]
struct Plain<W> {
    inner: W,
    colours: bool,
}

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for Plain<W> {
    type Writer = Plain<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Plain { inner: self.inner.make_writer(), colours: self.colours }
    }
}

impl<W: io::Write> io::Write for Plain<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        let is_odd = |letter: char| !(is_plain(letter) || (self.colours && letter == '\x1b'));
        if line.contains(is_odd) {
            let line = line.replace(is_odd, " ") + end;
            self.inner.write_all(line.as_bytes())?;
        } else {
            self.inner.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::Level;

    use super::*;

    fn lets(filter: &Filter, target: &str, level: Level) -> bool {
        filter.0.would_enable(target, &level)
    }

    #[test]
    fn other_crates_are_capped_whatever_the_filter_says() {
        for text in ["trace", "trace,tungstenite=trace", "tungstenite::protocol=trace,hyper=debug", "aws=trace,t=trace"]
        {
            let filter: Filter = text.parse().unwrap();
            for target in ["tungstenite::protocol", "hyper::proto", "aws_smithy_runtime", "rustls", "t", "tokio"] {
                for level in [Level::TRACE, Level::DEBUG, Level::INFO] {
                    assert!(!lets(&filter, target, level), "{text} lets {target} at {level}");
                }
            }
        }
    }

    #[test]
    fn our_rooms_follow_the_filter() {
        let filter: Filter = "trace".parse().unwrap();
        assert!(lets(&filter, "federation_agent::link::session", Level::TRACE));
        assert!(lets(&filter, "hyper", Level::WARN));

        let filter: Filter = "warn,federation_agent::link=debug".parse().unwrap();
        assert!(lets(&filter, "federation_agent::link", Level::DEBUG));
        assert!(!lets(&filter, "federation_agent::agent", Level::INFO));
        assert!(lets(&filter, "federation_agent::agent", Level::WARN));

        let filter: Filter = "federation_agent=debug".parse().unwrap();
        assert!(lets(&filter, "federation_agent::agent", Level::DEBUG));
        assert!(!lets(&filter, "hyper", Level::ERROR));

        let filter: Filter = "off".parse().unwrap();
        assert!(!lets(&filter, "federation_agent", Level::ERROR));
    }

    #[test]
    fn the_aws_librarys_warnings_hold_whole_answers_and_are_not_logged() {
        for text in ["info", "trace", "aws_config=trace,warn", "aws=warn"] {
            let filter: Filter = text.parse().unwrap();
            for target in ["aws_config::meta::credentials::chain", "aws_smithy_runtime", "aws_credential_types"] {
                assert!(!lets(&filter, target, Level::WARN), "{text} lets {target} warn");
                assert!(lets(&filter, target, Level::ERROR) || !text.starts_with("aws_config"), "{text} {target}");
            }
        }
        assert!(!lets(&Filter::warnings(), "aws_config", Level::WARN));
        assert!(!lets(&Filter::nothing(), "federation_agent", Level::ERROR));
        assert!(!lets(&"off".parse().unwrap(), "aws_config", Level::ERROR));
    }

    #[test]
    fn a_filter_that_cannot_be_read_says_what_is_accepted() {
        let sentence = "federation_agent=loud".parse::<Filter>().unwrap_err();
        assert!(sentence.contains("loud") && sentence.contains("debug"), "{sentence}");
    }

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Sink {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn the_level_can_be_changed_while_running() {
        let sink = Sink::default();
        let (filter, handle) = reload::Layer::new("warn".parse::<Filter>().unwrap().0);
        let logging = Logging { handle, warnings: Warnings::new(), first: Filter::warnings(), traces: None };
        let subscriber = tracing_subscriber::registry().with(lines(Style::Json, sink.clone()).with_filter(filter));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "federation_agent::test", "before");
            logging.set("info".parse().unwrap());
            tracing::info!(target: "federation_agent::test", answer = 42, "after");
        });
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((line["message"].as_str(), line["answer"].as_u64()), (Some("after"), Some(42)));
    }

    #[test]
    fn one_targets_level_can_be_set_and_all_be_reset_and_told() {
        let first: Filter = "info,federation_agent::link=debug".parse().unwrap();
        let (filter, handle) = reload::Layer::new(first.0.clone());
        let logging = Logging { handle, warnings: Warnings::new(), first, traces: None };
        let _subscriber = tracing_subscriber::registry().with(lines(Style::Json, Sink::default()).with_filter(filter));
        let at_first = logging.levels();
        assert_eq!(at_first["federation_agent::link"], "DEBUG");
        assert_eq!((&*at_first["federation_agent"], &*at_first["*"]), ("INFO", "WARN"), "others are capped");
        assert!(!at_first.contains_key(span::TARGET), "{at_first:?}");

        logging.set_level("federation_agent::agent", "TRACE").unwrap();
        logging.set_level("tungstenite", "trace").unwrap();
        let levels = logging.levels();
        assert_eq!(levels["federation_agent::agent"], "TRACE");
        assert_eq!(levels["tungstenite"], "WARN", "it would print the token");
        assert!(logging.set_level("federation_agent", "loud").unwrap_err().contains("debug"));
        logging.reset();
        assert_eq!(logging.levels(), at_first);
    }

    #[test]
    fn a_line_within_a_span_has_its_fields_once_at_whatever_level() {
        for style in [Style::Json, Style::Text { colours: false }] {
            let sink = Sink::default();
            let filter: Filter = "warn".parse().unwrap();
            let subscriber =
                tracing_subscriber::registry().with(lines(style, sink.clone()).with_filter(filter.0)).with(carrier());
            tracing::subscriber::with_default(subscriber, || {
                let id = "6f0b4c1e-58a5-4f2e-8d7c-0a1b2c3d4e5f";
                let command = span::command("one", id, "SUBSCRIBE", Some("a1"), Some("s1"));
                command.in_scope(|| {
                    let _call = span::call("GetStage", "GET", "/x", "eu-west-1", "somewhere", 1).entered();
                    tracing::warn!(target: "federation_agent::test", integration = "two", command = id, "within");
                    span::list("one", id).in_scope(|| tracing::warn!(target: "federation_agent::test", "listed"));
                });
            });
            let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
            let (within, listed) = text.trim_end().split_once('\n').unwrap();
            for (name, count) in [("integration", 1), ("command", 1), ("subscription", 1)] {
                assert_eq!(within.matches(name).count(), count, "{name}: {within}");
            }
            assert!(within.contains("two") && !within.contains("one"), "the event's own word counts: {within}");
            assert!(listed.contains("one"), "{listed}");
            let trace = "6f0b4c1e58a54f2e8d7c0a1b2c3d4e5f";
            assert_eq!(within.contains(trace) && listed.contains(trace), style == Style::Json, "{text}");
        }
    }

    #[test]
    fn an_event_is_a_line_whatever_it_tells_of() {
        let odd = "one\ntwo\r\u{1b}[2J\u{202e}three\u{2028}";
        for (style, colours) in
            [(Style::Json, false), (Style::Text { colours: false }, false), (Style::Text { colours: true }, true)]
        {
            let sink = Sink::default();
            let subscriber = tracing_subscriber::registry().with(lines(style, sink.clone()));
            tracing::subscriber::with_default(subscriber, || tracing::info!(name = odd, "named {odd}"));
            let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
            let line = text.strip_suffix('\n').unwrap();
            assert!(line.chars().all(|letter| is_plain(letter) || (colours && letter == '\x1b')), "{line:?}");
            assert!(line.contains("three") && !line.contains("\x1b[2J"), "{line:?}");
        }
    }
}

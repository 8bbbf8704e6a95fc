//! What a line looks like. A line has its event's own fields, and, of the spans around it, those that tell whose work it
//! is: so nothing that happens within a command needs to say which, and nothing is said twice.

use std::{fmt, time::SystemTime};

use serde_json::Value;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id},
};
use tracing_subscriber::{
    Layer,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    layer::Context,
    registry::LookupSpan,
};

use super::{log::Style, span::TRACE};
use crate::model::is_plain;

/// The fields of a span that lines within it have too, in the order in which they come.
const CARRIED: [&str; 5] = ["integration", "command", "job", "subscription", TRACE];

/// What a span gives to the lines within it.
#[derive(Debug, Default)]
pub(super) struct Carried(Vec<(&'static str, String)>);

impl Carried {
    /// The value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

impl Visit for Carried {
    fn record_str(&mut self, field: &Field, value: &str) {
        if let Some(name) = CARRIED.into_iter().find(|name| *name == field.name()) {
            self.0.push((name, value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Keeps with each span what the lines within it need of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Carrier;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Carrier {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut carried = Carried::default();
        attributes.record(&mut carried);
        if let (false, Some(span)) = (carried.0.is_empty(), context.span(id)) {
            span.extensions_mut().insert(carried);
        }
    }
}

/// The fields of one line.
#[derive(Default)]
struct Fields {
    message: String,
    /// Name, value, and whether it is a text and not only formatted as one: that is quoted.
    all: Vec<(&'static str, Value, bool)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.all.push((field.name(), value, false));
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.all.push((field.name(), value.into(), true));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.put(field, format!("{value:?}").into());
        }
    }
}

/// Writes events as `style` says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form(pub(super) Style);

impl<S, N> FormatEvent<S, N> for Form
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut around: Vec<(&str, Value, bool)> = Vec::new();
        // From the inside out: the nearest span's word counts.
        for span in context.event_scope().into_iter().flatten() {
            if let Some(carried) = span.extensions().get::<Carried>() {
                for (name, value) in &carried.0 {
                    if !fields.all.iter().any(|(known, ..)| known == name)
                        && !around.iter().any(|(known, ..)| known == name)
                    {
                        around.push((*name, Value::from(value.as_str()), true));
                    }
                }
            }
        }
        around.sort_by_key(|(name, ..)| CARRIED.iter().position(|carried| carried == name));
        let now = humantime::format_rfc3339_millis(SystemTime::now());
        let metadata = event.metadata();
        match self.0 {
            Style::Json => {
                // By hand, to have them in an order that a person can read too.
                write!(writer, "{{\"timestamp\":\"{now}\",\"level\":\"{}\"", metadata.level())?;
                write!(
                    writer,
                    ",\"target\":{},\"message\":{}",
                    Value::from(metadata.target()),
                    Value::from(fields.message)
                )?;
                let (trace, around): (Vec<_>, Vec<_>) = around.into_iter().partition(|(name, ..)| *name == TRACE);
                for (name, value, _) in around.into_iter().chain(fields.all).chain(trace) {
                    write!(writer, ",{}:{value}", Value::from(name))?;
                }
                writeln!(writer, "}}")
            }
            Style::Text { colours } => {
                let (dim, level, end) =
                    if colours { ("\x1b[2m", colour(*metadata.level()), "\x1b[0m") } else { ("", "", "") };
                write!(writer, "{dim}{now}{end} {level}{:>5}{end} ", metadata.level().as_str())?;
                put_plain(&mut writer, &fields.message)?;
                // The trace's id is the command's, for machines.
                around.retain(|(name, ..)| *name != TRACE);
                for (name, value, quoted) in around.into_iter().chain(fields.all) {
                    write!(writer, " {dim}{name}={end}")?;
                    match value {
                        Value::String(text) if quoted || text.contains(char::is_whitespace) => {
                            put_plain(&mut writer, &format!("{text:?}"))?;
                        }
                        Value::String(text) => put_plain(&mut writer, &text)?,
                        other => write!(writer, "{other}")?,
                    }
                }
                writeln!(writer)
            }
        }
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\x1b[31m",
        Level::WARN => "\x1b[33m",
        Level::INFO => "\x1b[32m",
        _ => "\x1b[34m",
    }
}

/// Writes `text` without letters that a terminal would obey.
fn put_plain(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|letter| writer.write_char(if is_plain(letter) { letter } else { ' ' }))
}

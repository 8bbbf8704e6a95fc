//! Metrics in the text format of Prometheus, made when they are asked for, of what the recorders have taken down.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `table` | every metric: name, sort, labels, help |
//! | `integration` | which figure of an integration is which metric |
//! | `process` | the process, as the system sees it |
//! | `lines` | the log's lines |
//!
//! Label values are bounded: no API, no subscription, no command has one.

mod integration;
mod lines;
mod process;
mod table;

pub(super) use lines::Lines;
pub use table::{METRICS, Metric, Sort};

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    time::{SystemTime, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, histogram::Histogram},
    registry::Registry,
};

use super::{ledger::Sampler, recorder::Recorder};

/// The media type of what [`Board::metrics_text`](super::Board::metrics_text) tells.
pub const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The version as `--version` has it, and the commit that stands in it.
pub(super) const VERSION: &str = env!("FEDERATION_AGENT_VERSION");

/// Everything that an exposition is made of.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) recorders: Vec<Recorder>,
    pub(super) sampler: Sampler,
    pub(super) ready: bool,
    pub(super) started: SystemTime,
}

/// One series: its labels and its value.
type Row<'r, V> = (Vec<(&'static str, Cow<'r, str>)>, V);

impl Scrape {
    /// The exposition.
    pub(super) fn text(self) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        // Writing to a text does not fail.
        let _ = text::encode_registry(&mut text, &registry);
        classic(&text)
    }

    fn process(&self, sheet: &mut Sheet<'_, '_>) -> fmt::Result {
        let (version, commit) = VERSION.split_once(" (").unwrap_or((VERSION, ""));
        let build = vec![("version", version.into()), ("commit", commit.trim_end_matches(')').into())];
        sheet.series(&table::BUILD, [(build, 1.0)])?;
        sheet.one(&table::READY, f64::from(u8::from(self.ready)))?;
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            sheet.one(&table::TASKS, whole(runtime.metrics().num_alive_tasks() as u64))?;
        }
        sheet.series(
            &table::LINES,
            lines::counts().map(|(level, lines)| (vec![("level", level.into())], whole(lines))),
        )?;
        sheet.one(&table::MEMORY_LIMIT, whole(process::memory_limit().unwrap_or_default()))?;
        sheet.one(&table::STARTED, moment(Some(self.started)))?;
        let Some(figures) = process::figures() else { return Ok(()) };
        sheet.one(&table::CPU, figures.cpu.as_secs_f64())?;
        sheet.one(&table::MEMORY, whole(figures.resident))?;
        sheet.one(&table::MEMORY_VIRTUAL, whole(figures.virtual_))?;
        sheet.one(&table::THREADS, whole(figures.threads))?;
        sheet.series(&table::FILES, figures.open_files.map(|files| (Vec::new(), whole(files))))?;
        sheet.series(&table::FILES_MOST, figures.most_files.map(|files| (Vec::new(), whole(files))))
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut sheet = Sheet(&mut encoder);
        self.process(&mut sheet)?;
        integration::write(self, &mut sheet)
    }
}

/// Where metrics are written.
struct Sheet<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Sheet<'_, '_> {
    /// A metric without labels.
    fn one(&mut self, metric: &Metric, value: f64) -> fmt::Result {
        self.series(metric, [(Vec::new(), value)])
    }

    /// A counter or a gauge.
    fn series<'r>(&mut self, metric: &Metric, rows: impl IntoIterator<Item = Row<'r, f64>>) -> fmt::Result {
        match metric.sort {
            Sort::Counter => self.family(metric, MetricType::Counter, rows, ConstCounter::new),
            _ => self.family(metric, MetricType::Gauge, rows, ConstGauge::new),
        }
    }

    fn histograms<'r>(&mut self, metric: &Metric, rows: impl IntoIterator<Item = Row<'r, Histogram>>) -> fmt::Result {
        self.family(metric, MetricType::Histogram, rows, |histogram| histogram)
    }

    fn family<'r, V, M: EncodeMetric>(
        &mut self,
        metric: &Metric,
        kind: MetricType,
        rows: impl IntoIterator<Item = Row<'r, V>>,
        made_of: impl Fn(V) -> M,
    ) -> fmt::Result {
        let mut rows = rows.into_iter().peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let mut family = self.0.encode_descriptor(bare(metric), metric.help, None, kind)?;
        for (labels, value) in rows {
            if labels.is_empty() {
                made_of(value).encode(family)?;
                // Without labels there is one only.
                return Ok(());
            }
            made_of(value).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// The name as the encoder wants it: it adds a counter's ending.
fn bare(metric: &Metric) -> &'static str {
    if metric.sort == Sort::Counter { metric.name.trim_end_matches("_total") } else { metric.name }
}

/// `text`, which is OpenMetrics, as every scraper since 2014 reads it: a counter is described under its whole name.
fn classic(text: &str) -> String {
    let counters: Vec<&Metric> = METRICS.iter().copied().filter(|metric| metric.sort == Sort::Counter).collect();
    let mut classic = String::with_capacity(text.len() + 1_024);
    for line in text.lines() {
        let described = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE "));
        let name = described.and_then(|described| described.split(' ').next());
        let counter = name.and_then(|name| counters.iter().find(|counter| bare(counter) == name));
        // Writing to a text does not fail.
        let _ = match (name, counter) {
            (Some(name), Some(counter)) => writeln!(classic, "{}", line.replacen(name, counter.name, 1)),
            _ => writeln!(classic, "{line}"),
        };
    }
    classic
}

/// A count as a metric's value: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "a metric is a float, whoever reads it")]
fn whole(count: u64) -> f64 {
    count as f64
}

/// A time as a metric's value; 0 when there was none.
fn moment(time: Option<SystemTime>) -> f64 {
    time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).map_or(0.0, |since| since.as_secs_f64().floor())
}

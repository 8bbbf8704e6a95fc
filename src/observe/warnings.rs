//! The last warnings and errors of the log, for the status page: whoever looks there has not read the log.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    filter::filter_fn,
    layer::{Context, Layer},
    registry::LookupSpan,
};

use super::status::Warning;
use crate::model::is_plain;

/// So many different ones are kept.
const KEPT: usize = 30;
/// So much of a sentence is kept, in letters.
const LONGEST: usize = 600;
/// The target under which all of this program's events stand.
const OURS: &str = "federation_agent";

/// The last warnings and errors that this program logged, each sentence once. Cheap to clone; all clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Warnings {
    kept: Arc<Mutex<VecDeque<Kept>>>,
}

#[derive(Debug)]
struct Kept {
    at: SystemTime,
    level: Level,
    integration: Option<String>,
    says: String,
    times: u64,
}

impl Warnings {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What takes them down, whatever the log's own filter says: a quiet log is no reason for a page without warnings.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let filter = filter_fn(is_kept).with_max_level_hint(LevelFilter::WARN);
        Keeper(self.clone()).with_filter(filter)
    }

    /// All that are kept, the newest first.
    pub fn all(&self) -> Vec<Warning> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(Kept::told).collect()
    }

    fn add(&self, at: SystemTime, level: Level, seen: Seen) {
        let Seen { integration, says, .. } = seen;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |one: &Kept| one.level == level && one.integration == integration && one.says == says;
        let times = match kept.iter().position(same).and_then(|place| kept.remove(place)) {
            Some(known) => known.times.saturating_add(1),
            None => 1,
        };
        kept.push_front(Kept { at, level, integration, says, times });
        kept.truncate(KEPT);
    }
}

impl Kept {
    fn told(&self) -> Warning {
        Warning {
            at: humantime::format_rfc3339_seconds(self.at).to_string(),
            level: self.level.to_string(),
            integration: self.integration.clone(),
            says: self.says.clone(),
            times: self.times,
        }
    }
}

/// Takes down every event that is let through to it.
struct Keeper(Warnings);

impl<S: Subscriber> Layer<S> for Keeper {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut seen = Seen::default();
        event.record(&mut seen);
        self.0.add(SystemTime::now(), *event.metadata().level(), seen);
    }
}

fn is_kept(metadata: &Metadata<'_>) -> bool {
    let ours = metadata.target().strip_prefix(OURS).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    ours && *metadata.level() <= Level::WARN
}

/// What of an event is kept.
#[derive(Default)]
struct Seen {
    integration: Option<String>,
    says: String,
}

impl Visit for Seen {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.says = plain(value),
            "integration" => self.integration = Some(plain(value)),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if matches!(field.name(), "message" | "integration") {
            let mut text = String::new();
            // Writing to a string does not fail.
            let _ = write!(text, "{value:?}");
            self.record_str(field, &text);
        }
    }
}

/// `text` as one line of bounded length, as the log has it.
fn plain(text: &str) -> String {
    let mut letters = text.chars();
    let mut plain: String =
        letters.by_ref().take(LONGEST).map(|letter| if is_plain(letter) { letter } else { ' ' }).collect();
    if letters.next().is_some() {
        plain.push('…');
    }
    plain
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn logged(what: impl FnOnce()) -> Vec<Warning> {
        let warnings = Warnings::new();
        let subscriber = tracing_subscriber::registry().with(warnings.layer());
        tracing::subscriber::with_default(subscriber, what);
        warnings.all()
    }

    #[test]
    fn warnings_and_errors_of_ours_are_kept_the_newest_first_and_each_once() {
        let kept = logged(|| {
            for _ in 0..3 {
                tracing::warn!(target: "federation_agent::link", integration = "one", secret = "s3cret", "not connected: {}", 401);
            }
            tracing::info!(target: "federation_agent::link", "an information");
            tracing::warn!(target: "hyper", "not ours");
            tracing::warn!(target: "federation_agents", "not ours either");
            tracing::error!(target: "federation_agent", "the disk is full");
            tracing::warn!(target: "federation_agent::link", integration = %"two", "not connected: {}", 401);
        });
        let told: Vec<_> = kept
            .iter()
            .map(|one| (one.level.as_str(), one.integration.as_deref(), one.says.as_str(), one.times))
            .collect();
        assert_eq!(
            told,
            [
                ("WARN", Some("two"), "not connected: 401", 1),
                ("ERROR", None, "the disk is full", 1),
                ("WARN", Some("one"), "not connected: 401", 3),
            ]
        );
    }

    #[test]
    fn what_comes_again_is_new_again_and_the_oldest_go() {
        let kept = logged(|| {
            for n in 0..KEPT + 5 {
                tracing::warn!(target: "federation_agent", "number {n}");
            }
            tracing::warn!(target: "federation_agent", "number 6");
        });
        assert_eq!((kept.len(), kept[0].says.as_str(), kept[0].times), (KEPT, "number 6", 2));
        assert_eq!(kept[KEPT - 1].says, "number 5");
    }

    #[test]
    fn a_sentence_stays_on_its_line_and_is_bounded() {
        let long = "é".repeat(10_000);
        let kept = logged(|| tracing::warn!(target: "federation_agent", "one\ntwo\u{202e}{long}"));
        assert!(kept[0].says.starts_with("one two é") && kept[0].says.ends_with('…'), "{}", kept[0].says);
        assert_eq!(kept[0].says.chars().count(), LONGEST + 1);
    }
}

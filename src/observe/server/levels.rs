//! The levels of the log, changed while the agent runs: `/_node/logging` as Gravitee's has it, a map from a logger's name
//! to its level.
//!
//! Java's names stand for the rooms of this program that do the same:
//!
//! | logger | rooms |
//! | --- | --- |
//! | `ROOT` | all; the crates that it uses never say more than WARN |
//! | `io.gravitee`, `com.graviteesource` | all of this program's |
//! | `io.gravitee.exchange` and below | `federation_agent::link`, `federation_agent::exchange` |
//! | `com.graviteesource.federationprovider` and below | `federation_agent::agent`, `…::provider`, `…::journal` |
//! | `com.graviteesource.federationprovider.aws` and below | `federation_agent::provider::aws` |
//! | `io.gravitee.node` and below | `federation_agent::observe` |
//!
//! Another of Java's names is kept and shown, and of no effect, as in Java. Names of this program's own rooms and of the
//! crates that it uses are taken as they are.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Map, Value};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use crate::observe::Filter;

/// Loggers whose level can be set at once.
const MOST: usize = 64;
/// The longest name of one.
const LONGEST: usize = 200;
const ROOT: &str = "ROOT";

/// Java's loggers, the longest first, and whether those below mean the same.
const JAVA: [(&str, &[&str], bool); 6] = [
    ("com.graviteesource.federationprovider.aws", &["federation_agent::provider::aws"], true),
    (
        "com.graviteesource.federationprovider",
        &["federation_agent::agent", "federation_agent::provider", "federation_agent::journal"],
        true,
    ),
    ("io.gravitee.exchange", &["federation_agent::link", "federation_agent::exchange"], true),
    ("io.gravitee.node", &["federation_agent::observe"], true),
    ("com.graviteesource", &["federation_agent"], false),
    ("io.gravitee", &["federation_agent"], false),
];

/// The levels of the log: those of the settings, and what was changed since.
pub struct Levels {
    settings: String,
    changed: Mutex<BTreeMap<String, LevelFilter>>,
    apply: Box<dyn Fn(Filter) + Send + Sync>,
}

impl fmt::Debug for Levels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Levels").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Levels {
    /// Those of `settings`, a level or `target=level` pairs; a change is handed to `apply`.
    pub fn new(settings: &str, apply: impl Fn(Filter) + Send + Sync + 'static) -> Self {
        Self { settings: settings.to_owned(), changed: Mutex::default(), apply: Box::new(apply) }
    }

    /// Every logger that has a level of its own, with it.
    pub(super) fn shown(&self) -> BTreeMap<String, String> {
        let mut shown = BTreeMap::new();
        if let Ok(targets) = self.settings.parse::<Targets>() {
            shown.insert(ROOT.to_owned(), word(targets.default_level().unwrap_or(LevelFilter::OFF)));
            shown.extend(targets.iter().map(|(target, level)| (target.to_owned(), word(most(target, level)))));
        }
        shown.extend(self.changed().iter().map(|(name, level)| (name.clone(), word(most(name, *level)))));
        shown
    }

    /// Takes over `asked`, a map from a name to a level; an empty one, or null, is that of the settings again. All or
    /// nothing: the error says what is wrong, and nothing is changed.
    pub(super) fn change(&self, asked: &Map<String, Value>, by: Option<&str>) -> Result<(), String> {
        let mut changed = self.changed();
        let mut wanted = changed.clone();
        for (name, level) in asked {
            let name = checked(name)?;
            match level {
                Value::Null => drop(wanted.remove(name)),
                Value::String(text) if text.trim().is_empty() => drop(wanted.remove(name)),
                Value::String(text) => drop(wanted.insert(name.to_owned(), level_of(name, text)?)),
                _ => return Err(format!("the level of {name} must be a text; nothing was changed")),
            }
        }
        if wanted.len() > MOST {
            return Err(format!("at most {MOST} loggers can have a level of their own; nothing was changed"));
        }
        let filter = self.filter(&wanted)?;
        let told: Vec<String> =
            asked.iter().map(|(name, level)| format!("{name}={}", level.as_str().unwrap_or_default().trim())).collect();
        // Before: afterwards it might not be logged.
        tracing::info!(by, "the log's levels are changed while running: {}", told.join(", "));
        *changed = wanted;
        (self.apply)(filter);
        Ok(())
    }

    /// The filter of the settings with `changed` over it. It is read as that of the settings is, and caps other crates
    /// likewise.
    fn filter(&self, changed: &BTreeMap<String, LevelFilter>) -> Result<Filter, String> {
        let mut text = self.settings.clone();
        // A name comes before those below it.
        for (name, level) in changed {
            if name == ROOT {
                let _ = write!(text, ",{level}");
            }
            for target in targets(name) {
                let _ = write!(text, ",{target}={level}");
            }
        }
        text.parse()
    }

    fn changed(&self) -> MutexGuard<'_, BTreeMap<String, LevelFilter>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The rooms for which `name` stands.
fn targets(name: &str) -> Vec<&str> {
    let known = JAVA.iter().find(|(logger, _, below)| {
        name.strip_prefix(logger).is_some_and(|rest| rest.is_empty() || (*below && rest.starts_with('.')))
    });
    match known {
        Some((_, targets, _)) => targets.to_vec(),
        None if name == ROOT || name.contains('.') => Vec::new(),
        None => vec![name],
    }
}

/// The name as it is kept; only letters that cannot be taken for a part of the filter.
fn checked(name: &str) -> Result<&str, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'$' | b'-');
    if name.eq_ignore_ascii_case(ROOT) {
        Ok(ROOT)
    } else if !name.is_empty() && name.len() <= LONGEST && name.bytes().all(is_plain) {
        Ok(name)
    } else {
        Err("a logger's name has 1 to 200 letters, digits and . _ : $ -; nothing was changed".into())
    }
}

fn level_of(name: &str, text: &str) -> Result<LevelFilter, String> {
    match text.trim().to_ascii_uppercase().as_str() {
        "OFF" => Ok(LevelFilter::OFF),
        "ERROR" => Ok(LevelFilter::ERROR),
        "WARN" => Ok(LevelFilter::WARN),
        "INFO" => Ok(LevelFilter::INFO),
        "DEBUG" => Ok(LevelFilter::DEBUG),
        "TRACE" | "ALL" => Ok(LevelFilter::TRACE),
        _ => Err(format!(
            "the level of {name} is none: OFF, ERROR, WARN, INFO, DEBUG and TRACE are accepted, and an empty text for that \
             of the settings; nothing was changed"
        )),
    }
}

/// The level that `name` really has: other crates' are capped.
fn most(name: &str, level: LevelFilter) -> LevelFilter {
    if name == ROOT || name.contains('.') || name == "federation_agent" || name.starts_with("federation_agent::") {
        level
    } else if name.starts_with("aws") {
        level.min(LevelFilter::ERROR)
    } else {
        level.min(LevelFilter::WARN)
    }
}

fn word(level: LevelFilter) -> String {
    level.to_string().to_uppercase()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::*;

    /// Levels over `settings`, and the filter that was applied last, as it writes itself.
    fn levels(settings: &str) -> (Levels, Arc<Mutex<String>>) {
        let applied = Arc::new(Mutex::new(String::new()));
        let theirs = Arc::clone(&applied);
        (Levels::new(settings, move |filter| *theirs.lock().unwrap() = format!("{filter:?}")), applied)
    }

    fn change(levels: &Levels, asked: &Value) -> Result<(), String> {
        levels.change(asked.as_object().unwrap(), None)
    }

    fn same_as(filter: &str) -> String {
        format!("{:?}", filter.parse::<Filter>().unwrap())
    }

    #[test]
    fn javas_names_change_what_does_the_same_here_and_an_empty_level_brings_the_settings_back() {
        let (levels, applied) = levels("info,federation_agent::link=warn");
        assert_eq!(json!(levels.shown()), json!({"ROOT": "INFO", "federation_agent::link": "WARN"}));
        for (asked, filter) in [
            (
                json!({"io.gravitee.exchange": "debug"}),
                "info,federation_agent::link=debug,federation_agent::exchange=debug",
            ),
            (json!({"io.gravitee.exchange": ""}), "info,federation_agent::link=warn"),
            (json!({"root": "ALL"}), "trace,federation_agent::link=warn"),
            (json!({"ROOT": null}), "info,federation_agent::link=warn"),
            (
                json!({"com.graviteesource.federationprovider.aws.client": "TRACE"}),
                "info,federation_agent::link=warn,federation_agent::provider::aws=trace",
            ),
            (
                json!({"com.graviteesource.federationprovider.aws.client": "", "io.gravitee": "OFF"}),
                "info,federation_agent::link=warn,federation_agent=off",
            ),
            (json!({"io.gravitee": "", "io.gravitee.plugin": "DEBUG"}), "info,federation_agent::link=warn"),
            (
                json!({"federation_agent::agent": "DEBUG"}),
                "info,federation_agent::link=warn,federation_agent::agent=debug",
            ),
        ] {
            change(&levels, &asked).unwrap();
            assert_eq!(*applied.lock().unwrap(), same_as(filter), "{asked}");
        }
        assert_eq!(
            json!(levels.shown()),
            json!({"ROOT": "INFO", "federation_agent::link": "WARN", "federation_agent::agent": "DEBUG",
                "io.gravitee.plugin": "DEBUG"})
        );
    }

    #[test]
    fn other_crates_stay_capped_whatever_is_asked_for() {
        for asked in [
            json!({"ROOT": "TRACE"}),
            json!({"tungstenite": "TRACE", "aws_smithy_runtime": "TRACE", "hyper::proto": "DEBUG"}),
            json!({"aws": "ALL", "t": "TRACE", "tungstenite::protocol": "TRACE"}),
        ] {
            let (levels, applied) = levels("warn");
            change(&levels, &asked).unwrap();
            let applied = applied.lock().unwrap().clone();
            let targets: Filter = levels.filter(&levels.changed()).unwrap();
            assert_eq!(applied, format!("{targets:?}"));
            for target in ["tungstenite::protocol", "hyper::proto::h1", "aws_smithy_runtime", "t", "rustls", "tokio"] {
                assert!(!targets.lets(target, tracing::Level::INFO), "{asked} opens {target}: {applied}");
            }
            assert!(!targets.lets("aws_config", tracing::Level::WARN), "{asked}");
        }
        let (levels, _) = levels("info");
        change(&levels, &json!({"hyper": "TRACE", "aws_config": "TRACE"})).unwrap();
        assert_eq!(json!(levels.shown()), json!({"ROOT": "INFO", "hyper": "WARN", "aws_config": "ERROR"}));
    }

    #[test]
    fn what_is_wrong_changes_nothing() {
        let (levels, applied) = levels("info");
        let many: Map<String, Value> = (0..=MOST).map(|n| (format!("logger{n}"), json!("INFO"))).collect();
        for (asked, says) in [
            (json!({"ROOT": "DEBUG", "io.gravitee.exchange": "LOUD"}), "TRACE are accepted"),
            (json!({"ROOT": 5}), "must be a text"),
            (json!({"a=trace,b": "DEBUG"}), "a logger's name"),
            (json!({"": "DEBUG"}), "a logger's name"),
            (json!({"ROOT\n": "DEBUG"}), "a logger's name"),
            (Value::Object(many), "at most 64"),
        ] {
            let error = change(&levels, &asked).unwrap_err();
            assert!(error.contains(says) && error.ends_with("nothing was changed"), "{error}");
        }
        assert_eq!(json!(levels.shown()), json!({"ROOT": "INFO"}));
        assert!(applied.lock().unwrap().is_empty());
    }
}

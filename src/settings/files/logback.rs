//! The levels of a `logback.xml`, in the form of `FEDERATION_AGENT_LOG`. Everything else of it means nothing here.

use xmlparser::{ElementEnd, Token, Tokenizer};

/// A level that was found, and its line.
struct Found {
    /// `None` is the root.
    logger: Option<String>,
    word: &'static str,
    line: usize,
}

/// The filter that the levels in `text` come to, and the line of the first of them. `None` when there is none, or the
/// text is no XML. `look` has the value of a name in `${NAME:-default}`.
pub(super) fn filter(text: &str, look: &dyn Fn(&str) -> Option<String>) -> Option<(String, usize)> {
    let levels = levels(text, look)?;
    let line = levels.first()?.line;
    let mut root = None;
    let mut ours: Option<&str> = None;
    let mut parts: Vec<String> = Vec::new();
    for Found { logger, word: level, .. } in &levels {
        match logger.as_deref() {
            None => root = Some(*level),
            Some(logger) => match target(logger) {
                Some("federation_agent") => ours = Some(level),
                Some(target) => {
                    parts.retain(|part| !part.starts_with(&format!("{target}=")));
                    parts.push(format!("{target}={level}"));
                }
                None => {}
            },
        }
    }
    let root = root.unwrap_or("info");
    let mut filter = vec![root.to_owned()];
    filter.extend(ours.map(|level| format!("federation_agent={level}")));
    filter.append(&mut parts);
    Some((filter.join(","), line))
}

/// Where in this program that stands of which a logger of Gravitee's agent tells; `None` for other programs' loggers.
pub(super) fn target(logger: &str) -> Option<&'static str> {
    let below =
        |package: &str| logger == package || logger.strip_prefix(package).is_some_and(|rest| rest.starts_with('.'));
    match () {
        () if below("io.gravitee.exchange") => Some("federation_agent::link"),
        () if below("com.graviteesource.federationprovider") => Some("federation_agent::provider"),
        () if matches!(logger, "io.gravitee" | "com.graviteesource" | "io" | "com") => Some("federation_agent"),
        () => None,
    }
}

fn levels(text: &str, look: &dyn Fn(&str) -> Option<String>) -> Option<Vec<Found>> {
    let mut levels = Vec::new();
    let (mut element, mut name, mut level, mut start) = (String::new(), None, None, 0);
    for token in Tokenizer::from(text) {
        match token.ok()? {
            Token::ElementStart { local, span, .. } => {
                (element, name, level, start) = (local.as_str().to_lowercase(), None, None, span.start());
            }
            Token::Attribute { local, value, .. } => match local.as_str() {
                "name" => name = Some(value.as_str().to_owned()),
                "level" => level = word(value.as_str(), look),
                _ => {}
            },
            Token::ElementEnd { end: ElementEnd::Open | ElementEnd::Empty, .. } => {
                let logger = match (element.as_str(), name.take()) {
                    ("root", _) => None,
                    ("logger", Some(name)) => Some(name),
                    _ => continue,
                };
                if let Some(word) = level.take() {
                    let line = text[..start].matches('\n').count() + 1;
                    levels.push(Found { logger, word, line });
                }
            }
            _ => {}
        }
    }
    Some(levels)
}

/// Our word for a level of theirs, `${NAME:-default}` resolved.
fn word(text: &str, look: &dyn Fn(&str) -> Option<String>) -> Option<&'static str> {
    let resolved;
    let text = match text.trim().strip_prefix("${").and_then(|text| text.strip_suffix('}')) {
        Some(inner) => {
            let (name, default) = inner.split_once(":-").unwrap_or((inner, ""));
            resolved = look(name).unwrap_or_else(|| default.to_owned());
            resolved.as_str()
        }
        None => text,
    };
    match text.trim().to_ascii_lowercase().as_str() {
        "off" => Some("off"),
        "error" => Some("error"),
        "warn" => Some("warn"),
        "info" => Some("info"),
        "debug" => Some("debug"),
        "trace" | "all" => Some("trace"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<(String, usize)> {
        filter(text, &|name| (name == "LEVEL").then(|| "DEBUG".to_owned()))
    }

    #[test]
    fn levels_are_taken_over() {
        let text = "<?xml version=\"1.0\"?>\n<configuration>\n<!-- <logger name=\"io.gravitee\" level=\"TRACE\"/> -->\n\
                    <logger name=\"io.gravitee\" level=\"INFO\"/>\n<logger name=\"io.gravitee.exchange\" level=\"${LEVEL}\"/>\n\
                    <logger name='com.graviteesource.federationprovider.aws' level='${NO:-ERROR}' additivity=\"false\"></logger>\n\
                    <logger name=\"org.eclipse.jetty\" level=\"TRACE\"/>\n<root level=\"WARN\"><appender-ref ref=\"X\"/></root>\n\
                    </configuration>";
        let filter = "warn,federation_agent=info,federation_agent::link=debug,federation_agent::provider=error";
        assert_eq!(of(text), Some((filter.into(), 4)));
        assert_eq!(of("<configuration><root level=\"ALL\"/></configuration>"), Some(("trace".into(), 1)));
        assert_eq!(of("<configuration><logger name=\"io.gravitee\"/></configuration>"), None);
        assert_eq!(of("no xml"), None);
        assert_eq!(of("<a level="), None);
    }
}

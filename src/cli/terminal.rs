//! What a person sees: results on stdout, complaints on stderr, marks, colours where they are wanted.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal, Write},
};

use crate::{model::is_plain, settings::Environment};

/// Whether results go to a person, and whether that person wants colours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terminal {
    colours: bool,
}

/// How a line is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// ✓
    Good,
    /// !
    Doubtful,
    /// ✗
    Bad,
    /// ·
    Untried,
}

impl Terminal {
    /// Of stdout; `NO_COLOR` takes the colours away.
    pub(super) fn of_stdout(environment: &Environment) -> Self {
        Self { colours: wants_colours(io::stdout().is_terminal(), environment) }
    }

    /// `text`, strong.
    pub(super) fn strong(self, text: &str) -> String {
        self.painted("1", text)
    }

    /// `text`, pale.
    pub(super) fn pale(self, text: &str) -> String {
        self.painted("2", text)
    }

    /// The mark's character.
    pub(super) fn mark(self, mark: Mark) -> String {
        match mark {
            Mark::Good => self.painted("32", "✓"),
            Mark::Doubtful => self.painted("33", "!"),
            Mark::Bad => self.painted("31", "✗"),
            Mark::Untried => self.painted("2", "·"),
        }
    }

    fn painted(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Whether a stream that is a terminal, or is not, is to have colours.
pub(super) fn wants_colours(terminal: bool, environment: &Environment) -> bool {
    terminal && environment.get("NO_COLOR").is_none_or(str::is_empty) && environment.get("TERM") != Some("dumb")
}

/// Writes a line to stdout. A reader that has gone away (`| head`) is no failure.
pub(super) fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Writes a line to stderr.
pub(super) fn complain(line: impl fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// What somebody else wrote, fit for a terminal: nothing that steers it, and nothing that turns its letters round.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if is_plain(c) { c } else { ' ' }).collect()
}

/// A JSON document, fit for a terminal too: what steers it stands there as JSON's escapes.
pub(super) fn json(document: &serde_json::Value) -> String {
    let mut text = String::new();
    for c in format!("{document:#}").chars() {
        if c != '\n' && !is_plain(c) {
            // They all stand within texts, and in the first plane.
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_gets_through() {
        let nasty = "a\u{1b}[31m\u{9b}2J\u{7}\r\nb\u{202e}c\u{2028}";
        assert_eq!(printable(nasty), "a [31m 2J   b c ");
        let document = serde_json::json!({ "name": nasty });
        let text = json(&document);
        assert!(!text.chars().any(|c| c != '\n' && !is_plain(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), document);
    }
}

//! What can go wrong, by what is to be done about it.

use std::{error::Error as StdError, fmt, time::Duration};

/// What is to be done about an error. Decided where the error arises, never by reading its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The request or the settings are wrong: the same again fails again.
    Invalid,
    /// Credentials or rights are missing; the sentence names the right.
    Denied,
    /// The thing is not there.
    NotFound,
    /// The gateway's state forbids it: a duplicate, or a limit that is reached. Not mended by waiting.
    Conflict,
    /// Too many calls; try again, not before the time given when there is one.
    Throttled(Option<Duration>),
    /// Not reachable, broken or out of time: try again.
    Unavailable,
    /// A fault of this program.
    Bug,
}

impl Class {
    /// Whether the same call can succeed later with nothing changed by a person.
    pub fn is_passing(self) -> bool {
        matches!(self, Self::Throttled(_) | Self::Unavailable)
    }

    /// One word for logs and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Denied => "denied",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Throttled(_) => "throttled",
            Self::Unavailable => "unavailable",
            Self::Bug => "bug",
        }
    }
}

/// A failure: its class, and one sentence for a person that says what failed, why, and what to do.
pub struct Error {
    class: Class,
    sentence: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// The longest [`line()`], in characters.
const LONGEST: usize = 2_000;
/// How much of its end is kept of a longer one: there stands what to do.
const END: usize = 500;

/// `text` as one line for a person: names and answers of others may hold control characters and have any length.
pub fn line(text: impl Into<String>) -> String {
    let mut text = text.into();
    if !text.chars().all(is_plain) {
        text = text.chars().map(|letter| if is_plain(letter) { letter } else { ' ' }).collect();
    }
    let count = if text.len() > LONGEST { text.chars().count() } else { 0 };
    if count > LONGEST {
        let begin = text.chars().take(LONGEST - END - 3);
        text = begin.chain(" … ".chars()).chain(text.chars().skip(count - END)).collect();
    }
    text
}

impl Error {
    /// An error of `class`; `sentence` must hold no secret: it is logged and shown in the console. It is made a
    /// [`line()`].
    pub fn new(class: Class, sentence: impl Into<String>) -> Self {
        Self { class, sentence: line(sentence), source: None }
    }

    /// [`Class::Invalid`].
    pub fn invalid(sentence: impl Into<String>) -> Self {
        Self::new(Class::Invalid, sentence)
    }

    /// [`Class::Denied`].
    pub fn denied(sentence: impl Into<String>) -> Self {
        Self::new(Class::Denied, sentence)
    }

    /// [`Class::NotFound`].
    pub fn not_found(sentence: impl Into<String>) -> Self {
        Self::new(Class::NotFound, sentence)
    }

    /// [`Class::Conflict`].
    pub fn conflict(sentence: impl Into<String>) -> Self {
        Self::new(Class::Conflict, sentence)
    }

    /// [`Class::Unavailable`].
    pub fn unavailable(sentence: impl Into<String>) -> Self {
        Self::new(Class::Unavailable, sentence)
    }

    /// [`Class::Bug`].
    pub fn bug(sentence: impl Into<String>) -> Self {
        Self::new(Class::Bug, sentence)
    }

    /// The same with what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same with words before its sentence: `during: sentence`.
    #[must_use]
    pub fn during(mut self, what: impl fmt::Display) -> Self {
        self.sentence = line(format!("{what}: {}", self.sentence));
        self
    }

    /// What is to be done about it.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The sentence for a person.
    pub fn sentence(&self) -> &str {
        &self.sentence
    }
}

/// Whether a character stays in its line and in its place: neither control characters do, nor what turns the
/// direction of writing round.
pub fn is_plain(letter: char) -> bool {
    let breaks = matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}');
    let turns = matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !(letter.is_control() || breaks || turns)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class.word(), self.sentence)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_is_one_line_whatever_things_are_called() {
        let error =
            Error::invalid("the plan Go\nld\u{1b}[2J\u{202e}dlog\u{2028}x\u{9b}1m is \u{5d0}\u{5d1}").during("a\r\nb");
        assert_eq!(error.sentence(), "a  b: the plan Go ld [2J dlog x 1m is \u{5d0}\u{5d1}");
        assert_eq!(line("as it is: é …"), "as it is: é …");
        let long = Error::invalid(format!("{}: do this", "é".repeat(10_000))).during("reading");
        assert_eq!(long.sentence().chars().count(), LONGEST);
        assert!(
            long.sentence().starts_with("reading: é") && long.sentence().ends_with("é: do this"),
            "its end is kept"
        );
    }
}

//! What a [`Recorder`](super::Recorder) is told, in types: their words are the labels of the metrics, and are bounded.

use std::{fmt, time::Duration};

use crate::model::Class;

/// A command's type; those that the agent does not know are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// DISCOVER
    Discover,
    /// START_INGEST
    StartIngest,
    /// SUBSCRIBE
    Subscribe,
    /// UNSUBSCRIBE
    Unsubscribe,
    /// Any other.
    Other,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Discover, Self::StartIngest, Self::Subscribe, Self::Unsubscribe, Self::Other];

    /// That of a command's word on the wire.
    pub fn of(word: &str) -> Self {
        Self::ALL.into_iter().find(|kind| kind.word() == word).unwrap_or(Self::Other)
    }

    /// The label: the word on the wire.
    pub fn word(self) -> &'static str {
        match self {
            Self::Discover => "DISCOVER",
            Self::StartIngest => "START_INGEST",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Other => "other",
        }
    }
}

/// Why a session, or a try to have one, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// It failed, or was refused.
    Failed(Class),
    /// The plane said GOOD_BYE and wants the agent back.
    GoodBye,
    /// The plane said GOOD_BYE for good.
    GoodByeForGood,
    /// The agent ends.
    Shutdown,
}

impl Parting {
    /// The words with which a session usually ends: their series are there from the start.
    pub const OF_SESSIONS: [&'static str; 4] = ["unavailable", "good-bye", "good-bye-for-good", "shutdown"];
    /// The words with which a try usually fails.
    pub const OF_TRIES: [&'static str; 3] = ["unavailable", "denied", "throttled"];

    /// The label.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed(class) => class.word(),
            Self::GoodBye => "good-bye",
            Self::GoodByeForGood => "good-bye-for-good",
            Self::Shutdown => "shutdown",
        }
    }
}

/// A command that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// The plane's id of it.
    pub id: &'a str,
    /// The API that it names.
    pub api: Option<&'a str>,
    /// The subscription that it names.
    pub subscription: Option<&'a str>,
    /// From its arrival to its answer.
    pub took: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// The class of its error.
    pub class: Option<Class>,
    /// What the log says of it.
    pub note: &'a str,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was carried out, and the plane was told.
    Succeeded,
    /// It failed, and the plane was told.
    Error,
    /// It was carried out, and no session took the answer; nothing hangs on it.
    SucceededUnheard,
    /// It failed, and no session took the answer.
    ErrorUnheard,
    /// A grant was made, and nobody can say whether the plane knows.
    Doubtful,
    /// What was made is undone, since nobody took the answer.
    Undone,
    /// The link has not let it through.
    TurnedAway,
}

impl Outcome {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Succeeded,
        Self::Error,
        Self::SucceededUnheard,
        Self::ErrorUnheard,
        Self::Doubtful,
        Self::Undone,
        Self::TurnedAway,
    ];

    /// The label.
    pub fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Error => "error",
            Self::SucceededUnheard => "succeeded-unheard",
            Self::ErrorUnheard => "error-unheard",
            Self::Doubtful => "doubtful",
            Self::Undone => "undone",
            Self::TurnedAway => "turned-away",
        }
    }

    /// The words of the log.
    pub fn says(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Error => "error",
            Self::SucceededUnheard => "succeeded, and nobody took the answer",
            Self::ErrorUnheard => "error, and nobody took the answer",
            Self::Doubtful => "succeeded, and nobody can say who has the answer",
            Self::Undone => "nobody took the answer; it is undone",
            Self::TurnedAway => "turned away",
        }
    }
}

/// A list of the gateway that has ended.
#[derive(Debug, Clone, Copy)]
pub struct List<'a> {
    /// The type of the command that it was made for.
    pub by: &'static str,
    /// Why it failed as a whole; `None`: it was read as far as its sources could be.
    pub error: Option<&'a str>,
    /// APIs found, each once.
    pub apis: u64,
    /// Plans found, each once.
    pub plans: u64,
    /// APIs that an ingest holds back, since the plane would delete a plan of them.
    pub held_back: u64,
    /// Things that are not handed over.
    pub left_out: u64,
    /// The sources that could not be read, with the sentence.
    pub failed: &'a [String],
    /// How long it took.
    pub took: Duration,
    /// Calls to the gateway that were begun meanwhile.
    pub calls: u64,
}

impl List<'_> {
    /// How a list may end.
    pub const OUTCOMES: [&'static str; 3] = ["whole", "partial", "failed"];

    /// The label.
    pub(super) fn outcome(&self) -> &'static str {
        match (self.error, self.failed) {
            (Some(_), _) => "failed",
            (None, []) => "whole",
            (None, _) => "partial",
        }
    }
}

/// Why an API was not handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its document may not be read.
    Denied,
    /// It could not be read, and not at the second try either.
    Unreadable,
    /// It fits in no message.
    TooLong,
    /// It was gone when it was to be read.
    Gone,
    /// It was asked for by its id, and no source has it.
    Missing,
    /// The plane would delete a plan of it.
    HeldBack,
    /// The plane did not take it.
    Refused,
    /// The session ended whenever it was sent.
    Lost,
    /// The job ended before it was read or sent.
    NotSent,
    /// A fault of this program.
    Bug,
}

impl Cause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Denied,
        Self::Unreadable,
        Self::TooLong,
        Self::Gone,
        Self::Missing,
        Self::HeldBack,
        Self::Refused,
        Self::Lost,
        Self::NotSent,
        Self::Bug,
    ];

    /// The label.
    pub fn word(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Unreadable => "unreadable",
            Self::TooLong => "too-long",
            Self::Gone => "gone",
            Self::Missing => "missing",
            Self::HeldBack => "held-back",
            Self::Refused => "refused",
            Self::Lost => "lost",
            Self::NotSent => "not-sent",
            Self::Bug => "bug",
        }
    }
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobOutcome {
    /// All was handed over.
    Done,
    /// Something was not.
    Incomplete,
    /// A newer job or the end of the process has ended it.
    EndedEarly,
    /// Nobody said how it ended: a fault of this program.
    BrokenOff,
}

impl JobOutcome {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Done, Self::Incomplete, Self::EndedEarly, Self::BrokenOff];

    /// The label.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Incomplete => "incomplete",
            Self::EndedEarly => "ended-early",
            Self::BrokenOff => "broken-off",
        }
    }
}

/// What came of a call to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// An answer.
    Good,
    /// A refusal, or no answer.
    Failed(Class),
    /// Nobody waited for it any more.
    GivenUp,
}

impl CallOutcome {
    /// The words whose series are there from the start.
    pub const USUAL: [&'static str; 4] = ["ok", "denied", "throttled", "unavailable"];

    /// The label.
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Failed(class) => class.word(),
            Self::GivenUp => "given-up",
        }
    }
}

/// Where a call takes its token from.
pub trait Tokens: fmt::Debug + Send + Sync {
    /// How many tokens there are now, and how many there can be.
    fn tokens(&self) -> (f64, f64);
}

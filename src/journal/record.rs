//! What the journal knows of one grant, and the line that it stands in. Every line is a whole record: the last one of a
//! grant is true, and a line that a crash tore leaves the one before it, which was true until then.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::model::Texts;

/// The version of the format that is written. 1 knew neither `plan` nor `tries`.
pub const FORMAT: u32 = 2;

/// One grant, or what may have become one. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// Tells the grants of one subscription apart.
    pub grant: String,
    /// The plane's id of the integration.
    pub integration: String,
    /// The plane's id of the subscription.
    pub subscription: String,
    /// The API, as the plane named it.
    pub api: String,
    /// The plan that the grant is bound to ([`Plan::id`](crate::model::Plan::id)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// The command that it was made or is removed for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command: String,
    /// The credential's id in the gateway, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// All that finding and removing it needs: what the provider said while making it, then the grant's metadata.
    #[serde(default, skip_serializing_if = "Texts::is_empty")]
    pub metadata: Texts,
    /// How it stands.
    pub state: State,
    /// Since when it stands so.
    #[serde(with = "moment")]
    pub since: SystemTime,
    /// How often settling it was begun and neither ended well nor failed for a reason that passes.
    #[serde(default, skip_serializing_if = "is_none")]
    pub tries: u32,
    /// Why the last try failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// SUBSCRIBE has come; nothing was asked of the gateway that makes anything.
    Intended,
    /// The gateway is asked to make it: it may exist, under a name, and its id is not known.
    Making,
    /// It exists, and the plane has not been told.
    Made,
    /// The plane is being told, or was told without a sign that it has heard: it may be in use, and is kept.
    Unconfirmed,
    /// The plane has it.
    Live,
    /// It is to be removed.
    Removing,
    /// It may exist under its name, opens nothing, and may not be looked for: it waits for a person.
    Leftover,
    /// Settling it has failed too often: it waits for a person.
    Stuck,
    /// It is gone. Written only where other grants stand in the same page.
    Gone,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Intended,
        Self::Making,
        Self::Made,
        Self::Unconfirmed,
        Self::Live,
        Self::Removing,
        Self::Leftover,
        Self::Stuck,
        Self::Gone,
    ];

    /// The word for people and machines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Making => "making",
            Self::Made => "made",
            Self::Unconfirmed => "unconfirmed",
            Self::Live => "live",
            Self::Removing => "removing",
            Self::Leftover => "leftover",
            Self::Stuck => "stuck",
            Self::Gone => "gone",
        }
    }

    /// Whether an agent that finds it at its start has to end it.
    pub fn is_unsettled(self) -> bool {
        matches!(self, Self::Intended | Self::Making | Self::Made | Self::Removing)
    }
}

/// A line of a page.
#[derive(Serialize, Deserialize)]
struct Line {
    v: u32,
    #[serde(flatten)]
    record: Record,
}

/// Why a page cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Unreadable {
    /// A newer release wrote it.
    #[error("line {line} has format {found}, and this release knows none above {FORMAT}")]
    Newer {
        /// Which line, from 1.
        line: usize,
        /// Its format.
        found: u32,
    },
    /// It is damaged.
    #[error("line {line} is damaged: {why}")]
    Damaged {
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it; never its content.
        why: String,
    },
}

impl Record {
    /// Its line, with the newline.
    pub fn line(&self) -> Vec<u8> {
        let line = Line { v: FORMAT, record: self.clone() };
        // Maps of texts and plain enums: there is nothing in it that could fail.
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }
}

/// The grants of which `text` tells, the oldest first, without those that are gone. A last line without its newline was
/// torn by a crash: what it was to announce was never begun, and it does not count.
pub fn read(text: &[u8]) -> Result<Vec<Record>, Unreadable> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let mut records: Vec<Record> = Vec::new();
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    for (index, line) in text[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let damaged = |error: serde_json::Error| Unreadable::Damaged {
            line: number,
            why: format!("{:?} error in column {}", error.classify(), error.column()),
        };
        let Version { v } = serde_json::from_slice(line).map_err(damaged)?;
        if v > FORMAT {
            return Err(Unreadable::Newer { line: number, found: v });
        }
        let Line { record, .. } = serde_json::from_slice(line).map_err(damaged)?;
        match records.iter_mut().find(|known| known.grant == record.grant) {
            Some(known) => *known = record,
            None => records.push(record),
        }
    }
    records.retain(|record| record.state != State::Gone);
    Ok(records)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_none(tries: &u32) -> bool {
    *tries == 0
}

/// Times as people read them.
mod moment {
    use std::time::SystemTime;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(*time))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
        humantime::parse_rfc3339(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

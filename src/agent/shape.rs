//! The plane's columns are short, and what does not fit fails there without a word to us: every API is brought into
//! shape here, for every provider. Pure.
//!
//! What serves as an identity or is shown in a list is shortened to its beginning and `~` with eight hexadecimal
//! digits of the whole text: the same from run to run, and different for texts that differ, also to a database that
//! ignores case. Lengths are in UTF-16 units, as the plane counts.

use std::{collections::HashSet, fmt};

use crate::model::{Api, MetadataFormat, is_plain};

const API_NAME: usize = 512;
const VERSION: usize = 64;
const DESCRIPTION: usize = 4_000;
const PLAN_NAME: usize = 64;
const PAGE_NAME: usize = 64;
const CHARACTERISTIC: usize = 64;
const METADATA_KEY: usize = 64;
const METADATA_VALUE: usize = 1_024;

/// What was changed, for the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A text was too long.
    Shortened {
        /// Which.
        what: &'static str,
        /// How long it was, in UTF-16 units.
        len: usize,
        /// How long it may be.
        limit: usize,
    },
    /// It was there before, perhaps in other case.
    Dropped {
        /// Which.
        what: &'static str,
    },
    /// It held control characters; they became blanks.
    Cleaned {
        /// Which.
        what: &'static str,
    },
    /// It differed from another by case only.
    Renamed {
        /// Which.
        what: &'static str,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shortened { what, len, limit } => write!(f, "{what} shortened from {len} to {limit}"),
            Self::Dropped { what } => write!(f, "{what} dropped as a duplicate"),
            Self::Cleaned { what } => write!(f, "{what} freed of control characters"),
            Self::Renamed { what } => write!(f, "{what} renamed, as another differs from it by case only"),
        }
    }
}

/// Brings `api` into the plane's limits; what was changed comes back.
pub(super) fn shape(api: &mut Api) -> Vec<Change> {
    let mut changes = Vec::new();
    name(&mut api.name, "name", API_NAME, &mut changes);
    if let Some(version) = &mut api.version {
        name(version, "version", VERSION, &mut changes);
    }
    prose(api.description.as_mut(), "description", &mut changes);
    plans(api, &mut changes);
    pages(api, &mut changes);
    metadata(api, &mut changes);
    changes
}

fn plans(api: &mut Api, changes: &mut Vec<Change>) {
    // The plane drops the whole update of an API in which two plans have the same id.
    let mut ids = HashSet::new();
    api.plans.retain(|plan| keep(ids.insert(plan.id.clone()), "plan", changes));
    for plan in &mut api.plans {
        name(&mut plan.name, "plan name", PLAN_NAME, changes);
        prose(plan.description.as_mut(), "plan description", changes);
        for characteristic in &mut plan.characteristics {
            name(characteristic, "characteristic", CHARACTERISTIC, changes);
        }
        // Part of a primary key there: a duplicate fails the plan.
        let mut seen = HashSet::new();
        plan.characteristics.retain(|text| keep(seen.insert(fold(text)), "characteristic", changes));
    }
}

fn pages(api: &mut Api, changes: &mut Vec<Change>) {
    for document in &mut api.documents {
        name(&mut document.filename, "page name", PAGE_NAME, changes);
    }
    let mut names = HashSet::new();
    api.documents.retain(|document| keep(names.insert(document.filename.clone()), "page", changes));
}

fn metadata(api: &mut Api, changes: &mut Vec<Change>) {
    let mut names = HashSet::new();
    api.metadata.retain(|entry| keep(names.insert(entry.name.clone()), "metadata", changes));
    let mut keys = HashSet::new();
    for entry in &mut api.metadata {
        let original = entry.name.clone();
        name(&mut entry.name, "metadata key", METADATA_KEY, changes);
        if !keys.insert(fold(&entry.name)) {
            // A key is part of a primary key there, and a failure costs the rest of the batch.
            entry.name = marked(&entry.name, &original, METADATA_KEY);
            keys.insert(fold(&entry.name));
            changes.push(Change::Renamed { what: "metadata key" });
        }
        if name(&mut entry.value, "metadata value", METADATA_VALUE, changes) {
            // Half a URL or a number is none.
            entry.format = MetadataFormat::String;
        }
    }
}

/// `kept`, with a word in `changes` when it is not.
fn keep(kept: bool, what: &'static str, changes: &mut Vec<Change>) -> bool {
    if !kept {
        changes.push(Change::Dropped { what });
    }
    kept
}

/// Shortens `text` so that it stays distinct; whether it was too long.
fn name(text: &mut String, what: &'static str, limit: usize, changes: &mut Vec<Change>) -> bool {
    let original = text.clone();
    let odd = |letter| !is_plain(letter);
    if text.contains(odd) {
        *text = text.replace(odd, " ");
        changes.push(Change::Cleaned { what });
    }
    let len = units(text);
    if len <= limit {
        return false;
    }
    *text = marked(text, &original, limit);
    changes.push(Change::Shortened { what, len, limit });
    true
}

/// Shortens what is for reading only.
fn prose(text: Option<&mut String>, what: &'static str, changes: &mut Vec<Change>) {
    let Some(text) = text else { return };
    // PostgreSQL refuses it; line ends and tabs are welcome.
    if text.contains('\0') {
        *text = text.replace('\0', " ");
        changes.push(Change::Cleaned { what });
    }
    let len = units(text);
    if len > DESCRIPTION {
        text.truncate(fitting(text, DESCRIPTION - 1));
        text.push('…');
        changes.push(Change::Shortened { what, len, limit: DESCRIPTION });
    }
}

/// The beginning of `text` and a mark made of all of `original`; at most `limit` units.
fn marked(text: &str, original: &str, limit: usize) -> String {
    let mark = format!("~{:08x}", digest(original));
    let beginning = &text[..fitting(text, limit - mark.len())];
    format!("{beginning}{mark}")
}

/// How many bytes of `text` are at most `limit` units.
fn fitting(text: &str, limit: usize) -> usize {
    let mut units = 0;
    for (at, letter) in text.char_indices() {
        units += letter.len_utf16();
        if units > limit {
            return at;
        }
    }
    text.len()
}

/// How long `text` is for the plane.
pub(super) fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// As a database sees it that ignores case and blanks at the end.
fn fold(text: &str) -> String {
    text.trim_end().to_lowercase()
}

/// FNV-1a, 64 bits folded to 32. Ours, since it is stored for ever and the standard library's may change.
fn digest(text: &str) -> u32 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    let (upper, lower) = (hash >> 32, hash & u64::from(u32::MAX));
    u32::try_from(upper ^ lower).unwrap_or_default()
}

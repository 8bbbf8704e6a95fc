//! Where every integration stands: written by whoever holds the links, read by `/readyz`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use serde::Serialize;

use super::status::Status;

/// The board on which the integrations stand. Cheap to clone; all clones are the same board.
#[derive(Debug, Clone, Default)]
pub struct Board {
    rows: Arc<Mutex<BTreeMap<String, Row>>>,
}

/// Where one integration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whether a session lives.
    pub connected: bool,
    /// Since when it has been so.
    pub since: SystemTime,
    /// Why it is not connected, for a person.
    pub why: Option<String>,
}

#[derive(Debug, Clone)]
struct Row {
    provider: String,
    standing: Standing,
}

/// What `/readyz` answers.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) ready: bool,
    integrations: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    integration: String,
    provider: String,
    connected: bool,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl Board {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the integration `id` where it stands now. Losing a session moves `since`; failing to come back does not.
    pub fn put(&self, id: &str, provider: &str, standing: Standing) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        match rows.get_mut(id) {
            Some(row) => {
                let since = if row.standing.connected == standing.connected && !standing.connected {
                    row.standing.since
                } else {
                    standing.since
                };
                // A try that is under way says nothing new; why the last one failed stays.
                let why = standing.why.or_else(|| row.standing.why.take().filter(|_| !standing.connected));
                row.standing = Standing { since, why, ..standing };
            }
            None => {
                rows.insert(id.to_owned(), Row { provider: provider.to_owned(), standing });
            }
        }
    }

    /// Where the integration `id` stands.
    pub fn standing(&self, id: &str) -> Option<Standing> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).get(id).map(|row| row.standing.clone())
    }

    /// Whether every integration has a live session; an empty board is not ready.
    pub fn is_ready(&self) -> bool {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        !rows.is_empty() && rows.values().all(|row| row.standing.connected)
    }

    /// Everything that the status page shows.
    pub fn status(&self) -> Status {
        Status { ready: self.is_ready(), ..Status::default() }
    }

    pub(super) fn report(&self) -> Report {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let integrations: Vec<Entry> = rows
            .iter()
            .map(|(id, row)| Entry {
                integration: id.clone(),
                provider: row.provider.clone(),
                connected: row.standing.connected,
                since: humantime::format_rfc3339_seconds(row.standing.since).to_string(),
                why: row.standing.why.clone(),
            })
            .collect();
        Report { ready: !integrations.is_empty() && integrations.iter().all(|entry| entry.connected), integrations }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn off(seconds: u64, why: Option<&str>) -> Standing {
        Standing { connected: false, since: at(seconds), why: why.map(Into::into) }
    }

    #[test]
    fn ready_is_every_integration_connected() {
        let board = Board::new();
        assert!(!board.is_ready());
        board.put("one", "aws-api-gateway", Standing { connected: true, since: at(1), why: None });
        assert!(board.is_ready());
        board.put("two", "aws-api-gateway", off(2, None));
        assert!(!board.is_ready());
        assert!(!board.report().ready);
    }

    #[test]
    fn not_since_when_is_when_the_session_was_lost_and_why_outlives_the_next_try() {
        let board = Board::new();
        board.put("one", "aws-api-gateway", Standing { connected: true, since: at(1), why: None });
        board.put("one", "aws-api-gateway", off(10, Some("401")));
        board.put("one", "aws-api-gateway", off(20, None));
        assert_eq!(board.standing("one"), Some(off(10, Some("401"))));
        board.put("one", "aws-api-gateway", Standing { connected: true, since: at(30), why: None });
        assert_eq!(board.standing("one"), Some(Standing { connected: true, since: at(30), why: None }));
        board.put("one", "aws-api-gateway", off(40, Some("gone")));
        assert_eq!(board.standing("one"), Some(off(40, Some("gone"))));
    }
}

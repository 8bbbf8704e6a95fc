//! What the process knows of itself: where every integration stands, for `/readyz`, and all that its recorders have taken
//! down, for the metrics and the status page.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use serde::Serialize;

use super::{
    ledger::{Ledger, Sampler},
    metrics::{Scrape, VERSION},
    recorder::{Recorder, moment},
    status::{Configured, IntegrationStatus, Status, Warning},
};

/// Who tells the last warnings of the log, the newest first.
pub type LastWarnings = Arc<dyn Fn() -> Vec<Warning> + Send + Sync>;

/// The board on which the integrations stand. Cheap to clone; all clones are the same board.
#[derive(Debug, Clone)]
pub struct Board {
    rows: Arc<Mutex<BTreeMap<String, Row>>>,
    told: Arc<Mutex<Told>>,
    sampler: Sampler,
    started: SystemTime,
}

/// What the board was told besides.
#[derive(Default)]
struct Told {
    /// In the order of the settings.
    recorders: Vec<Recorder>,
    journal: String,
    configuration: Vec<Configured>,
    warnings: Option<LastWarnings>,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Told").field("recorders", &self.recorders).finish_non_exhaustive()
    }
}

impl Default for Board {
    fn default() -> Self {
        let (rows, told, sampler) = (Arc::default(), Arc::default(), Sampler::default());
        Self { rows, told, sampler, started: SystemTime::now() }
    }
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
    /// An empty one, of a process that starts now.
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

    /// What `recorder` takes down is shown from now on, after those that were enlisted before.
    pub fn enlist(&self, recorder: Recorder) {
        self.told().recorders.push(recorder);
    }

    /// The journal's numbers are read from `ledger` from now on.
    pub fn watch_journal(&self, ledger: Arc<dyn Ledger>) {
        self.sampler.watch(ledger);
    }

    /// Where the journal lies and whether that lasts, as a sentence.
    pub fn tell_journal(&self, says: String) {
        self.told().journal = says;
    }

    /// The settings that are set, masked, in the order of the tables.
    pub fn tell_configuration(&self, configuration: Vec<Configured>) {
        self.told().configuration = configuration;
    }

    /// The last warnings are asked of `warnings` from now on.
    pub fn tell_warnings(&self, warnings: LastWarnings) {
        self.told().warnings = Some(warnings);
    }

    /// When the process started.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// Every metric, in the format that [`METRICS_TYPE`](super::METRICS_TYPE) names. Waits a moment for the journal, when
    /// it is time to read it again.
    pub async fn metrics_text(&self) -> String {
        let recorders = self.told().recorders.clone();
        self.sampler.refreshed(names(&recorders)).await;
        let (sampler, ready, started) = (self.sampler.clone(), self.is_ready(), self.started);
        Scrape { recorders, sampler, ready, started }.text()
    }

    /// Everything that the status page shows. What it tells of the journal is as it was read last; when that is long ago,
    /// it is read again meanwhile.
    pub fn status(&self) -> Status {
        let (recorders, journal, configuration, warnings) = {
            let told = self.told();
            (told.recorders.clone(), told.journal.clone(), told.configuration.clone(), told.warnings.clone())
        };
        drop(self.sampler.refresh(names(&recorders)));
        Status {
            version: VERSION.to_owned(),
            started: moment(self.started),
            now: moment(SystemTime::now()),
            ready: self.is_ready(),
            journal,
            journal_trouble: self.sampler.ledger().and_then(|ledger| ledger.trouble()),
            integrations: recorders.iter().map(|recorder| self.of_one(recorder)).collect(),
            warnings: warnings.map(|warnings| warnings()).unwrap_or_default(),
            configuration,
        }
    }

    fn of_one(&self, recorder: &Recorder) -> IntegrationStatus {
        let id = recorder.integration();
        let standing = self.standing(id);
        let read = self.sampler.read(id);
        let calls = recorder.calls().into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        let (grants, grants_as_of) = match read {
            Some((census, at)) => {
                let grants = census.grants.into_iter().map(|(state, count)| (state.to_owned(), count)).collect();
                (grants, Some(moment(at)))
            }
            None => (BTreeMap::new(), None),
        };
        let pages = recorder.pages();
        IntegrationStatus {
            id: id.to_owned(),
            provider: recorder.provider().to_owned(),
            title: pages.title.clone(),
            connected: standing.as_ref().is_some_and(|standing| standing.connected),
            since: moment(standing.as_ref().map_or(self.started, |standing| standing.since)),
            why: standing.and_then(|standing| standing.why),
            endpoint: pages.link.endpoint.clone(),
            sessions_lost: pages.link.ended.values().sum(),
            gateway: pages.gateway.clone(),
            identities: pages.identities.clone(),
            commands: pages.commands.recent.iter().cloned().collect(),
            commands_under_way: pages.commands.in_flight.iter().sum(),
            discovery: pages.lists.found.clone(),
            ingest: pages.jobs.newest(),
            grants,
            grants_as_of,
            calls,
        }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
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

fn names(recorders: &[Recorder]) -> Vec<String> {
    recorders.iter().map(|recorder| recorder.integration().to_owned()).collect()
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

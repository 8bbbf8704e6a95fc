//! What the status page shows, as data: `GET /status` answers it as JSON and the page draws it.
//!
//! A test pins the shape: people's scripts read it too. Times are RFC 3339 in UTC, spans are in the unit that the name
//! says. Nothing in it is secret: values of settings come masked, sentences are those of the log.

use std::collections::BTreeMap;

use serde::Serialize;

/// The agent as it stands.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The version, as `--version` prints it.
    pub version: String,
    /// When the process started.
    pub started: String,
    /// When this was written.
    pub now: String,
    /// Whether every integration has a live session.
    pub ready: bool,
    /// Where the journal of grants lies and whether that lasts, as a sentence.
    pub journal: String,
    /// Why the journal cannot be written now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_trouble: Option<String>,
    /// Every integration, in the order of the settings.
    pub integrations: Vec<IntegrationStatus>,
    /// The last warnings and errors of the log, the newest first.
    pub warnings: Vec<Warning>,
    /// The settings that are set, masked, in the order of the tables.
    pub configuration: Vec<Configured>,
}

/// One integration.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationStatus {
    /// The plane's id of it.
    pub id: String,
    /// The provider's type.
    pub provider: String,
    /// The provider's name for people.
    pub title: String,
    /// Whether a session lives.
    pub connected: bool,
    /// Since when it has been so.
    pub since: String,
    /// Why it is not connected, as the log says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The controller's endpoint that was dialled last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// How many sessions were lost since the start.
    pub sessions_lost: u64,
    /// Accounts, regions, filters: the provider's lines of the start.
    pub gateway: Vec<String>,
    /// Who the agent is in the gateway, or why that is not known.
    pub identities: Vec<Identity>,
    /// The last commands that ended, the newest first.
    pub commands: Vec<CommandStatus>,
    /// Commands that are carried out or wait for their turn.
    pub commands_under_way: u64,
    /// The last list of the gateway that ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery: Option<DiscoveryStatus>,
    /// The last ingest, or the one in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingest: Option<IngestStatus>,
    /// Grants in the journal by the word of their state, as of `grants_as_of`; states without any are left out.
    pub grants: BTreeMap<String, u64>,
    /// When the journal was read for `grants`; `None`: not yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants_as_of: Option<String>,
    /// Calls to the gateway since the start, by operation.
    pub calls: BTreeMap<String, u64>,
}

/// Who the agent is in a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Whether it is known.
    pub known: bool,
    /// The line of the log.
    pub says: String,
}

/// A command that ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandStatus {
    /// When it ended.
    pub at: String,
    /// The plane's id of it.
    pub id: String,
    /// Its type: `SUBSCRIBE`.
    pub kind: String,
    /// The API that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// The subscription that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<String>,
    /// How long it took.
    pub millis: u64,
    /// How it ended: the words of the log, `succeeded` first among them.
    pub outcome: String,
    /// The class of its error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// What the log says of it.
    pub note: String,
}

/// A list of the gateway that ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiscoveryStatus {
    /// When it ended.
    pub at: String,
    /// For which command: `DISCOVER` or `START_INGEST`.
    pub by: String,
    /// Whether every source was read to its end.
    pub whole: bool,
    /// APIs found.
    pub apis: u64,
    /// Plans found: a usage plan that opens several APIs counts once.
    pub plans: u64,
    /// APIs that are held back from ingests, since the plane would delete a plan of them.
    pub held_back: u64,
    /// Things that are not handed over.
    pub left_out: u64,
    /// The sources that could not be read, with the sentence.
    pub failed: Vec<String>,
    /// How long it took.
    pub millis: u64,
    /// Calls to the gateway that were made meanwhile.
    pub calls: u64,
}

/// An ingest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IngestStatus {
    /// The plane's id of the job.
    pub job: String,
    /// When it began.
    pub began: String,
    /// When it ended; `None`: it is in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// APIs that it is about.
    pub total: u64,
    /// APIs that the plane has taken.
    pub taken: u64,
    /// APIs that could not be handed over, by the word of the cause.
    pub failed: BTreeMap<String, u64>,
    /// How it ended: a word of the log's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
}

/// A warning or an error of the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Warning {
    /// When it was last logged.
    pub at: String,
    /// `WARN` or `ERROR`.
    pub level: String,
    /// Whose it is, when the line says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integration: Option<String>,
    /// The sentence.
    pub says: String,
    /// How often the same was logged since the start.
    pub times: u64,
}

/// A setting that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Configured {
    /// Its variable, or its property where it stands in a file.
    pub name: String,
    /// Its value, secrets masked.
    pub value: String,
    /// Where it comes from.
    pub source: String,
}

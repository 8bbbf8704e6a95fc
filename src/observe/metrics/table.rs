//! Every metric that there is: the exposition is written from this table, and so is `docs/metrics.md`.

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name, as a query names it; that of a histogram without `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// Its sort.
    pub sort: Sort,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

/// The sort of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// As it is now.
    Gauge,
    /// How many values lie below which bounds.
    Histogram,
}

impl Sort {
    /// The word of the exposition format.
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Makes a static of each, and the table of all.
macro_rules! metrics {
    ($($id:ident: $sort:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(pub(super) static $id: Metric =
            Metric { name: $name, sort: Sort::$sort, labels: &[$($label),*], help: $help };)*
        /// Every metric, in the order of the exposition.
        pub static METRICS: &[&Metric] = &[$(&$id),*];
    };
}

metrics! {
    BUILD: Gauge "federation_agent_build_info" ["version", "commit"] "1; which version this is.";
    READY: Gauge "federation_agent_ready" [] "1 when every integration has a live session, else 0; what /readyz says.";
    TASKS: Gauge "federation_agent_tasks" [] "Tasks of the runtime; a number that grows for days is a defect.";
    LINES: Counter "federation_agent_log_lines_total" ["level"] "Lines of the log, by level.";
    MEMORY_LIMIT: Gauge "federation_agent_memory_limit_bytes" [] "What the container may take (cgroup); 0: no limit is known.";

    INTEGRATION: Gauge "federation_agent_integration_info" ["integration", "provider"] "1; which gateway an integration is for.";
    LINK_CONNECTED: Gauge "federation_agent_link_connected" ["integration"] "1 while a session lives and the console shows Connected, else 0.";
    LINK_STATE: Gauge "federation_agent_link_state" ["integration", "state"] "1 for the state that the link is in, 0 for the others.";
    LINK_SESSIONS: Counter "federation_agent_link_sessions_total" ["integration"] "Sessions that began: HELLO was answered.";
    LINK_ENDED: Counter "federation_agent_link_sessions_ended_total" ["integration", "reason"] "Sessions that ended, by why: the class of the error, good-bye, good-bye-for-good, shutdown.";
    LINK_FAILED: Counter "federation_agent_link_tries_failed_total" ["integration", "reason"] "Tries to connect that failed, by the class of the error.";
    LINK_AGE: Gauge "federation_agent_link_session_age_seconds" ["integration"] "How long the session has lived; 0: there is none.";

    COMMANDS: Counter "federation_agent_commands_total" ["integration", "type", "outcome"] "Commands of the plane that ended, by type and outcome.";
    COMMAND_ERRORS: Counter "federation_agent_command_errors_total" ["integration", "type", "class"] "Commands that failed, by type and by what is to be done about it.";
    COMMAND_TOOK: Histogram "federation_agent_command_duration_seconds" ["integration", "type"] "From a command's arrival to its answer; the plane waits 60 s.";
    COMMANDS_IN_FLIGHT: Gauge "federation_agent_commands_in_flight" ["integration", "type"] "Commands that are carried out or wait for their turn.";
    COMMANDS_WAITING: Gauge "federation_agent_commands_waiting" ["integration"] "SUBSCRIBE and UNSUBSCRIBE that wait for their turn.";
    COMMANDS_AGAIN: Counter "federation_agent_commands_delivered_again_total" ["integration"] "Commands that the plane delivered again while they were carried out or after they were answered.";

    CALLS: Counter "federation_agent_gateway_calls_total" ["integration", "operation", "outcome"] "Attempts to call the gateway, by operation and outcome: ok, given-up, or the class of the error.";
    CALL_TOOK: Histogram "federation_agent_gateway_call_duration_seconds" ["integration", "operation"] "How long an attempt took, without the wait for its token.";
    CALLS_WAITING: Gauge "federation_agent_gateway_calls_waiting" ["integration"] "Calls that wait for a place or a token.";
    CALLS_WAITED: Counter "federation_agent_gateway_wait_seconds_total" ["integration"] "Time that calls have waited for a place or a token, added up.";
    THROTTLED: Counter "federation_agent_gateway_throttled_seconds_total" ["integration"] "Time for which no call was made because the gateway said that it is called too often.";
    TOKENS: Gauge "federation_agent_gateway_bucket_tokens" ["integration", "account", "region"] "Calls that could be made at once now; 0 while the gateway wants a pause. The region is empty where an account has one pace.";
    TOKENS_MOST: Gauge "federation_agent_gateway_bucket_capacity_tokens" ["integration", "account", "region"] "The most calls that can be made at once.";

    LISTS: Counter "federation_agent_discoveries_total" ["integration", "outcome"] "Lists of the gateway that ended, for DISCOVER or START_INGEST: whole, partial (a source failed), failed.";
    LIST_APIS: Gauge "federation_agent_discovery_apis" ["integration"] "APIs that the last list found that did not fail.";
    LIST_PLANS: Gauge "federation_agent_discovery_plans" ["integration"] "Plans that it found; one that opens several APIs counts once.";
    LIST_LEFT_OUT: Gauge "federation_agent_discovery_left_out" ["integration"] "Things that it found and that are not handed over; `discover` tells which and why.";
    LIST_FAILED: Gauge "federation_agent_discovery_failed_sources" ["integration"] "Sources (account and region) that the last list could not read.";
    LIST_TOOK: Gauge "federation_agent_discovery_duration_seconds" ["integration"] "How long the last list took.";
    LIST_CALLS: Gauge "federation_agent_discovery_calls" ["integration"] "Calls to the gateway that were begun during the last list.";
    LIST_AT: Gauge "federation_agent_discovery_last_timestamp_seconds" ["integration"] "When the last list ended; 0: there was none.";
    LIST_GOOD_AT: Gauge "federation_agent_discovery_last_success_timestamp_seconds" ["integration"] "When the last list ended that did not fail; 0: there was none.";
    HELD_BACK: Gauge "federation_agent_apis_held_back" ["integration"] "APIs that ingests hold back, since the plane would delete a plan of them; as of the last list.";

    JOBS: Counter "federation_agent_ingests_total" ["integration", "outcome"] "Ingests that ended, by outcome.";
    JOBS_RUNNING: Gauge "federation_agent_ingests_running" ["integration"] "Ingests that are under way.";
    JOB_TAKEN: Counter "federation_agent_ingest_apis_taken_total" ["integration"] "APIs that the plane has taken.";
    JOB_FAILED: Counter "federation_agent_ingest_apis_failed_total" ["integration", "cause"] "APIs that were not handed over, by cause.";
    JOB_NOW: Gauge "federation_agent_ingest_job_apis" ["integration"] "APIs that the newest ingest is about.";
    JOB_NOW_TAKEN: Gauge "federation_agent_ingest_job_apis_taken" ["integration"] "APIs of the newest ingest that the plane has taken.";
    JOB_GOOD_AT: Gauge "federation_agent_ingest_last_success_timestamp_seconds" ["integration"] "When the last ingest ended that handed over all; 0: there was none.";

    GRANTS: Gauge "federation_agent_grants" ["integration", "state"] "Grants in the journal, by state; read every 30 s at most.";
    JOURNAL_BYTES: Gauge "federation_agent_journal_bytes" ["integration"] "What the journal's pages take on the disk.";
    JOURNAL_UNREADABLE: Gauge "federation_agent_journal_unreadable_pages" ["integration"] "Pages of the journal that cannot be read.";
    JOURNAL_READ_AT: Gauge "federation_agent_journal_read_timestamp_seconds" ["integration"] "When the journal was read for these numbers; 0: not yet.";
    JOURNAL_READ_TOOK: Gauge "federation_agent_journal_read_duration_seconds" [] "How long reading it for these numbers took.";
    JOURNAL_WRITABLE: Gauge "federation_agent_journal_writable" [] "1 when the journal can be written, as far as is known; 0: what is under way does not outlive the process.";

    CPU: Counter "process_cpu_seconds_total" [] "Time of processors that the process has used.";
    FILES: Gauge "process_open_fds" [] "Open file descriptors.";
    FILES_MOST: Gauge "process_max_fds" [] "How many file descriptors may be open.";
    MEMORY: Gauge "process_resident_memory_bytes" [] "Resident memory.";
    MEMORY_VIRTUAL: Gauge "process_virtual_memory_bytes" [] "Virtual memory.";
    THREADS: Gauge "process_threads" [] "Threads of the system.";
    STARTED: Gauge "process_start_time_seconds" [] "When the process started.";
}

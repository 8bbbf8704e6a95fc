//! From the environment to checked, typed settings. Reads, and does nothing else.
//!
//! Two families: Gravitee's names (`gravitee_integration_…`, and in files `integration: …`), asked for key by key from
//! declared tables by Gravitee's binding rules, and our own flat ones (`FEDERATION_AGENT_…`), read with `envy`. Everything that is wrong is
//! reported at once, as [`Faults`].

mod binding;
mod compose;
mod connector;
mod environment;
mod explain;
mod fault;
mod files;
mod integrations;
mod key;
mod load;
mod named;
mod process;
mod proxy;
mod reader;
mod services;
mod suggest;
mod tables;
mod tls;
mod values;

pub use compose::{COMPOSE, ComposeName};
pub use environment::Environment;
pub use explain::{Explanation, Setting, Source};
pub use fault::{Fault, Faults};
pub use files::{SecretName, Secrets};
pub use key::{Group, Key, KeyTable, Shape};
pub use load::{Draft, Gateways, draft, draft_of_gateways, explain, gateways, load, process, reachable};
pub use named::Named;
pub use process::{KEYS as PROCESS_KEYS, PREFIX as PROCESS_PREFIX};
pub use services::Http;
pub use tables::{Section, sections};
pub use values::Values;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use secrecy::SecretString;
use url::Url;

/// All settings, checked.
#[derive(Debug)]
pub struct Settings {
    /// Of the process.
    pub process: Process,
    /// Of the link; the same for every integration.
    pub connector: Connector,
    /// One a provider entry.
    pub integrations: Vec<Integration>,
    /// What a person should know: unknown keys, gaps in lists, unsafe choices. Logged at every start.
    pub warnings: Vec<String>,
}

/// Settings of the process: our own, flat.
#[derive(Debug, Clone)]
pub struct Process {
    /// What is logged: a level, or `target=level` pairs as `tracing` reads them.
    pub log: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// Where the health and node surface is served; `None` is off.
    pub listen: Option<SocketAddr>,
    /// How it is served, and to whom.
    pub http: Http,
    /// Where state will be kept.
    pub data_dir: PathBuf,
    /// How long work may go on after SIGTERM.
    pub drain: Duration,
    /// What one command may cost; the plane waits 60 s.
    pub budget: Duration,
    /// How long the plane is left to know an ingest job before the first INGEST.
    pub ingest_pause: Duration,
    /// A batch is sent when it holds so many bytes,
    pub batch_bytes: usize,
    /// or so many APIs,
    pub batch_apis: usize,
    /// or has waited so long.
    pub batch_wait: Duration,
    /// How long a reply to INGEST is waited for.
    pub reply_wait: Duration,
    /// Whether an ingest may hand over an API that has lost a plan.
    pub plan_loss: PlanLoss,
    /// How reconnection is paced.
    pub retry: Retry,
    /// Whether everything is checked before the links connect.
    pub start_check: StartCheck,
    /// An extra CA for the link and the gateways (PEM).
    pub ca_file: Option<PathBuf>,
    /// `HTTPS_PROXY`, `NO_PROXY` and their kin, as found; else what the options for Java say.
    pub proxy_environment: ProxyEnvironment,
    /// The trust store that options for Java name, when no other is configured: for the gateways too, beside the system's.
    pub trusted: Option<Store>,
    /// The YAML files that settings came from, a later one going before.
    pub files: Vec<PathBuf>,
}

/// What the check at the start of `run` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StartCheck {
    /// It is not made.
    #[default]
    Off,
    /// It warns.
    Warn,
    /// What is broken ends the start.
    Require,
}

/// How reconnection is paced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The first delay's upper end; delays have full jitter.
    pub initial: Duration,
    /// The longest delay.
    pub max: Duration,
    /// A session that lived so long resets the delay.
    pub reset_after: Duration,
    /// The delay after what only a person can mend: a refused token, an unknown integration.
    pub slow: Duration,
    /// How often a ping is sent.
    pub ping: Duration,
    /// A session with no frame for so long is dead.
    pub silence: Duration,
    /// How long connecting, upgrading and HELLO may take, each.
    pub handshake: Duration,
}

/// Whether an ingest may hand over an API that has lost a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PlanLoss {
    /// It is held back.
    #[default]
    Never,
    /// One ingest of the integration may.
    Once,
    /// It may.
    Always,
}

impl PlanLoss {
    /// As the setting has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Once => "once",
            Self::Always => "always",
        }
    }
}

/// How lines are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// The proxy variables of the environment, as found (either case).
#[derive(Debug, Clone, Default)]
pub struct ProxyEnvironment {
    /// `HTTPS_PROXY`.
    pub https: Option<SecretString>,
    /// `HTTP_PROXY`.
    pub http: Option<SecretString>,
    /// `ALL_PROXY`.
    pub all: Option<SecretString>,
    /// `NO_PROXY`.
    pub no: Option<String>,
}

/// Settings of the link (`gravitee_integration_connector_ws_…`).
#[derive(Debug, Clone)]
pub struct Connector {
    /// Where controllers are: `http`, `https`, `ws` or `wss`, without the protocol's own path. At least one.
    pub endpoints: Vec<Url>,
    /// Sent with the upgrade.
    pub headers: Vec<(String, SecretString)>,
    /// Come back also after a GOOD_BYE that says not to.
    pub auto_reconnect: bool,
    /// What the controller takes.
    pub limits: crate::exchange::Limits,
    /// How the controller is trusted, and who we are to it.
    pub tls: Tls,
    /// How it is reached.
    pub proxy: Proxy,
}

/// TLS of the link.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Trust any certificate. Unsafe; Gravitee's agents have it.
    pub trust_all: bool,
    /// Do not compare the host's name with the certificate. Unsafe; Gravitee's agents have it.
    pub skip_host_check: bool,
    /// Trust only these, not the system's.
    pub truststore: Option<Store>,
    /// Trust these too (PEM).
    pub extra_ca: Option<PathBuf>,
    /// Our certificate and key.
    pub keystore: Option<Store>,
}

/// A store of certificates.
#[derive(Debug, Clone)]
pub struct Store {
    /// Which format.
    pub kind: StoreKind,
    /// Where it is.
    pub source: StoreSource,
    /// What opens it.
    pub password: Option<SecretString>,
    /// Which entry of it.
    pub alias: Option<String>,
    /// The setting that named it, for error messages.
    pub named_by: String,
}

/// Formats of certificate stores. JKS is refused by the settings, with the `keytool` line that converts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    /// PEM text.
    Pem,
    /// PKCS#12.
    Pkcs12,
}

/// Where a store is.
#[derive(Clone)]
pub enum StoreSource {
    /// In one file, or several (PEM key stores: certificate and key apart).
    Files(Vec<PathBuf>),
    /// In the setting itself, decoded from base64.
    Inline(Vec<u8>),
}

impl std::fmt::Debug for StoreSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Files(paths) => f.debug_tuple("Files").field(paths).finish(),
            Self::Inline(bytes) => write!(f, "Inline({} bytes)", bytes.len()),
        }
    }
}

/// How the controller is reached.
#[derive(Debug, Clone, Default)]
pub enum Proxy {
    /// As the environment's `HTTPS_PROXY` and `NO_PROXY` say.
    #[default]
    Environment,
    /// Straight, whatever the environment says.
    Direct,
    /// By HTTP CONNECT through this one.
    Http {
        /// Its host.
        host: String,
        /// Its port.
        port: u16,
        /// Basic authentication.
        user: Option<(String, SecretString)>,
    },
}

/// One provider entry (`gravitee_integration_providers_N_…`).
#[derive(Debug, Clone)]
pub struct Integration {
    /// N.
    pub index: usize,
    /// The provider's type.
    pub kind: String,
    /// The plane's id of the integration.
    pub id: String,
    /// What stands under `configuration`, by the provider's own table.
    pub values: Values,
}

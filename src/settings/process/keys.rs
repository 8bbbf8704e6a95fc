//! The declared keys of the process's own settings.

use crate::settings::{Key, Shape, files::SECRETS_FOLDER};

/// How the names of our own settings begin.
pub const PREFIX: &str = "FEDERATION_AGENT_";

const fn key(name: &'static str, shape: Shape, default: Option<&'static str>, help: &'static str) -> Key {
    Key {
        name,
        shape,
        required: false,
        default,
        help,
        example: match default {
            Some(default) => default,
            None => "",
        },
    }
}

pub(super) const LOG: Key = key(
    "LOG",
    Shape::Text,
    Some("info"),
    "What is logged: off, error, warn, info, debug or trace, or pairs like `federation_agent::link=debug,info`.",
);
pub(super) const LOG_FORMAT: Key = key(
    "LOG_FORMAT",
    Shape::Word(&["auto", "text", "json"]),
    Some("auto"),
    "How it is logged. `auto`: text on a terminal, JSON otherwise.",
);
pub(super) const LISTEN: Key = key(
    "LISTEN",
    Shape::Text,
    Some("127.0.0.1:18084"),
    "Where the status page, health, metrics and Gravitee's `/_node` are served: an address and a port, or `off`.",
);
pub(super) const DATA_DIR: Key = key(
    "DATA_DIR",
    Shape::Text,
    Some("/var/lib/federation-agent"),
    "The folder that is kept from one start to the next: the journal of grants, and what the last ingest had. One that \
     cannot be written is an error in the log, and the agent goes on without.",
);
pub(super) const DRAIN: Key = key(
    "DRAIN",
    Shape::Span,
    Some("8s"),
    "How long work that is under way may go on after SIGTERM. Docker kills after 10 seconds.",
);
pub(super) const BUDGET: Key = key(
    "BUDGET",
    Shape::Span,
    Some("50s"),
    "How long one command of the plane may take, at most 51s: the plane waits 60 seconds, and stopping and answering \
     take some.",
);
pub(super) const INGEST_PAUSE: Key = key(
    "INGEST_PAUSE",
    Shape::Span,
    Some("1s"),
    "How long the plane is left to know an ingest job before the first APIs are sent.",
);
pub(super) const BATCH_BYTES: Key = key(
    "BATCH_BYTES",
    Shape::Number(1024, 13_107_200),
    Some("1048576"),
    "An ingest sends a batch of APIs when it holds so many bytes.",
);
pub(super) const BATCH_APIS: Key = key(
    "BATCH_APIS",
    Shape::Number(1, 1000),
    Some("20"),
    "An ingest sends a batch of APIs when it holds so many of them.",
);
pub(super) const BATCH_WAIT: Key = key(
    "BATCH_WAIT",
    Shape::Span,
    Some("30s"),
    "An ingest sends what it has after so long. The plane gives a job up after five silent minutes.",
);
pub(super) const REPLY_WAIT: Key =
    key("REPLY_WAIT", Shape::Span, Some("60s"), "How long the plane's reply to a batch is waited for.");
pub(super) const PLAN_LOSS: Key = key(
    "PLAN_LOSS",
    Shape::Word(&["never", "once", "always"]),
    Some("never"),
    "Whether an ingest may hand over an API that has lost a plan: the plane deletes the plan with its subscriptions and \
     keys. `once`: one ingest of each integration may, and then none until the agent has been started with `never`; \
     without a lasting data folder, one in every life of the process.",
);
pub(super) const RETRY_INITIAL: Key = key(
    "RETRY_INITIAL",
    Shape::Span,
    Some("1s"),
    "The longest first delay before connecting again. It doubles with each failure; delays are random up to it.",
);
pub(super) const RETRY_MAX: Key =
    key("RETRY_MAX", Shape::Span, Some("60s"), "The longest delay before connecting again.");
pub(super) const RETRY_RESET: Key =
    key("RETRY_RESET", Shape::Span, Some("60s"), "A session that lived so long starts the delays from the beginning.");
pub(super) const RETRY_SLOW: Key = key(
    "RETRY_SLOW",
    Shape::Span,
    Some("5m"),
    "The delay after what only a person can mend: a refused token, an unknown integration.",
);
pub(super) const PING: Key = key("PING", Shape::Span, Some("5s"), "How often the connection is pinged.");
pub(super) const SILENCE: Key =
    key("SILENCE", Shape::Span, Some("15s"), "A connection on which nothing came in for so long is dead.");
pub(super) const HANDSHAKE: Key =
    key("HANDSHAKE", Shape::Span, Some("10s"), "How long connecting, upgrading and HELLO may take, each.");
pub(super) const CHECK: Key = key(
    "CHECK",
    Shape::Word(&["off", "warn", "require"]),
    Some("off"),
    "What `federation-agent check` looks at, at the start of `run`, before it connects. `warn`: what is wrong or doubtful \
     is a warning in the log. `require`: what is wrong ends the start with code 1.",
);
pub(super) const CONFIG: Key = Key {
    example: "/etc/federation-agent/gravitee.yml",
    ..key(
        "CONFIG",
        Shape::Text,
        None,
        "YAML files with Gravitee's names, with commas between them; a later one goes before. Without it: those that \
         `-Dgravitee.conf` in `JDK_JAVA_OPTIONS` names, else those that are where Gravitee's chart mounts them.",
    )
};
pub(super) const SECRETS_DIR: Key = key(
    "SECRETS_DIR",
    Shape::Text,
    Some(SECRETS_FOLDER),
    "Where `secret://kubernetes/<name>:<key>` is looked for first: in the file `<name>/<key>` below it.",
);
pub(super) const CA_FILE: Key = Key {
    example: "/etc/ssl/company-ca.pem",
    ..key(
        "CA_FILE",
        Shape::Text,
        None,
        "A PEM file with certificates to trust beside the system's, for the plane and for the gateways.",
    )
};

/// Our own settings, below [`PREFIX`].
pub static KEYS: &[Key] = &[
    LOG,
    LOG_FORMAT,
    LISTEN,
    DATA_DIR,
    DRAIN,
    BUDGET,
    INGEST_PAUSE,
    BATCH_BYTES,
    BATCH_APIS,
    BATCH_WAIT,
    REPLY_WAIT,
    PLAN_LOSS,
    RETRY_INITIAL,
    RETRY_MAX,
    RETRY_RESET,
    RETRY_SLOW,
    PING,
    SILENCE,
    HANDSHAKE,
    CHECK,
    CA_FILE,
    CONFIG,
    SECRETS_DIR,
];

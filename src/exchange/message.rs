//! What is said: commands and replies, as the rest of the program sees them.

use crate::model::{Api, Subscription, Texts};
use secrecy::SecretString;

use super::EncodedApi;

/// One message, in either direction.
#[derive(Debug, Clone)]
pub enum Message {
    /// Asks for something; answered by one [`Reply`] with its id (but `GOOD_BYE`, which has none).
    Command(Command),
    /// Answers a command.
    Reply(Reply),
}

/// Asks for something.
#[derive(Debug, Clone)]
pub struct Command {
    /// Chosen by who asks; comes back as [`Reply::command_id`].
    pub id: String,
    /// What is asked for.
    pub body: CommandBody,
}

/// What a command asks for. Who sends it is in brackets.
#[derive(Debug, Clone)]
pub enum CommandBody {
    /// (agent) Opens the session.
    Hello {
        /// The integration's id.
        target_id: String,
        /// The provider's type, as the plane knows it.
        provider: String,
    },
    /// (plane, every 30 s) Is the agent there?
    HealthCheck,
    /// (plane) Whether this session is the integration's first one; all of them may get commands.
    Primary {
        /// Whether it is.
        primary: bool,
    },
    /// (either) The session ends; no reply.
    GoodBye {
        /// The integration's id; absent after a failed HELLO.
        target_id: Option<String>,
        /// Whether the agent is to come back.
        reconnect: bool,
    },
    /// (plane) What APIs are there?
    Discover,
    /// (plane) Hand over these APIs.
    StartIngest {
        /// The plane's id of the job.
        job_id: String,
        /// [`Api::id`]s; empty means all.
        api_ids: Vec<String>,
    },
    /// (agent) Here are some.
    Ingest {
        /// The plane's id of the job.
        job_id: String,
        /// APIs with all their plans and documents.
        apis: Vec<EncodedApi>,
        /// Whether these are the last.
        done: bool,
    },
    /// (plane) Give an application access.
    Subscribe {
        /// [`Api::id`].
        api_id: String,
        /// Who, and to which plan (`planId` in its metadata).
        subscription: Subscription,
    },
    /// (plane) Take the access away.
    Unsubscribe {
        /// [`Api::id`].
        api_id: String,
        /// Only id and metadata are there.
        subscription: Subscription,
    },
    /// A type that this release does not know, or a payload that it cannot read.
    Unknown {
        /// The type's name on the wire.
        kind: String,
        /// Why it is not understood, when the type is known.
        fault: Option<String>,
    },
}

/// Answers a command.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The command's id.
    pub command_id: String,
    /// How it went.
    pub status: Status,
    /// What went wrong, for a person; with [`Status::Error`].
    pub error: Option<String>,
    /// The answer's kind and content.
    pub body: ReplyBody,
}

/// How a command went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// Not begun.
    Pending,
    /// Not finished.
    InProgress,
    /// Done.
    Succeeded,
    /// Failed.
    Error,
    /// One that this release does not know; never written.
    Other(String),
}

/// The content of a reply; `None` where an ERROR carries no payload.
#[derive(Debug, Clone)]
pub enum ReplyBody {
    /// To HELLO: the integration's id.
    Hello(Option<String>),
    /// To HEALTH_CHECK.
    HealthCheck {
        /// `false` makes the controller throw the agent out.
        healthy: bool,
        /// What a person should know.
        detail: Option<String>,
    },
    /// To PRIMARY.
    Primary,
    /// To DISCOVER.
    Discover(Option<Discovered>),
    /// To START_INGEST.
    StartIngest(Option<StartedIngest>),
    /// To INGEST.
    Ingest,
    /// To SUBSCRIBE.
    Subscribe(Option<Subscribed>),
    /// To UNSUBSCRIBE.
    Unsubscribe,
    /// To a command that nobody handles here (`NO_REPLY` on the wire).
    NoReply,
    /// To a command that was not understood; or a reply of a type that this release does not know.
    Unknown {
        /// The type's name on the wire; `UNKNOWN` is written.
        kind: String,
    },
}

/// What DISCOVER found. The plane's preview reads `id`, `name`, `version` and `unique_id` only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovered {
    /// The APIs; plans, documents and metadata may be left empty.
    pub apis: Vec<Api>,
    /// Whether time ran out. Takes the selection away from the person, so only then.
    pub partial: bool,
}

/// What START_INGEST begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartedIngest {
    /// The plane's id of the job.
    pub job_id: String,
    /// How many APIs will come; 0 ends the job.
    pub total: u32,
}

/// What SUBSCRIBE made.
#[derive(Debug, Clone)]
pub struct Subscribed {
    /// The plane's id of the subscription.
    pub subscription_id: String,
    /// The key.
    pub api_key: Option<SecretString>,
    /// Stored by the plane, comes back in UNSUBSCRIBE. Never leave it empty when undoing needs it.
    pub metadata: Texts,
}

impl CommandBody {
    /// The type's name on the wire.
    pub fn kind(&self) -> &str {
        match self {
            Self::Hello { .. } => "HELLO",
            Self::HealthCheck => "HEALTH_CHECK",
            Self::Primary { .. } => "PRIMARY",
            Self::GoodBye { .. } => "GOOD_BYE",
            Self::Discover => "DISCOVER",
            Self::StartIngest { .. } => "START_INGEST",
            Self::Ingest { .. } => "INGEST",
            Self::Subscribe { .. } => "SUBSCRIBE",
            Self::Unsubscribe { .. } => "UNSUBSCRIBE",
            Self::Unknown { kind, .. } => kind,
        }
    }
}

impl ReplyBody {
    /// The type's name on the wire.
    pub fn kind(&self) -> &str {
        match self {
            Self::Hello(_) => "HELLO",
            Self::HealthCheck { .. } => "HEALTH_CHECK",
            Self::Primary => "PRIMARY",
            Self::Discover(_) => "DISCOVER",
            Self::StartIngest(_) => "START_INGEST",
            Self::Ingest => "INGEST",
            Self::Subscribe(_) => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::NoReply => "NO_REPLY",
            Self::Unknown { kind } => kind,
        }
    }

    /// The empty answer that an ERROR to `command` carries.
    pub fn failed(command: &CommandBody) -> Self {
        match command {
            CommandBody::Hello { .. } => Self::Hello(None),
            CommandBody::HealthCheck => Self::HealthCheck { healthy: false, detail: None },
            CommandBody::Primary { .. } => Self::Primary,
            CommandBody::Discover => Self::Discover(None),
            CommandBody::StartIngest { .. } => Self::StartIngest(None),
            CommandBody::Ingest { .. } => Self::Ingest,
            CommandBody::Subscribe { .. } => Self::Subscribe(None),
            CommandBody::Unsubscribe { .. } => Self::Unsubscribe,
            CommandBody::GoodBye { .. } => Self::NoReply,
            CommandBody::Unknown { .. } => Self::Unknown { kind: "UNKNOWN".into() },
        }
    }
}

impl Command {
    /// The ERROR reply to this command; `sentence` is shown to a person.
    pub fn fail(&self, sentence: impl Into<String>) -> Reply {
        Reply {
            command_id: self.id.clone(),
            status: Status::Error,
            error: Some(sentence.into()),
            body: ReplyBody::failed(&self.body),
        }
    }

    /// The SUCCEEDED reply to this command.
    pub fn succeed(&self, body: ReplyBody) -> Reply {
        Reply { command_id: self.id.clone(), status: Status::Succeeded, error: None, body }
    }
}

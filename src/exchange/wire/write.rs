//! What is written: borrowed mirrors, serialized once.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{document_word, format_word, security_word, status_word, subscription_word};
use crate::{
    exchange::{self, CommandBody, ReplyBody, Status},
    model::{self, Texts},
};

/// A command or a reply, ready to be serialized.
#[derive(Serialize)]
#[serde(untagged)]
pub(in crate::exchange) enum Message<'a> {
    Command(Command<'a>),
    Reply(Reply<'a>),
}

#[derive(Serialize)]
pub(in crate::exchange) struct Command<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    payload: CommandPayload<'a>,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum CommandPayload<'a> {
    Empty {},
    Hello {
        target_id: &'a str,
        provider: &'a str,
    },
    Primary {
        primary: bool,
    },
    GoodBye {
        #[serde(skip_serializing_if = "Option::is_none")]
        target_id: Option<&'a str>,
        reconnect: bool,
    },
    StartIngest {
        ingest_job_id: &'a str,
        api_ids: &'a [String],
    },
    Ingest {
        ingest_job_id: &'a str,
        apis: Vec<&'a RawValue>,
        done: bool,
    },
    Subscription {
        api_id: &'a str,
        subscription: Subscription<'a>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Subscription<'a> {
    #[serde(rename = "graviteeSubscriptionId")]
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gravitee_application_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gravitee_application_name: Option<&'a str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    metadata: &'a Texts,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::exchange) struct Reply<'a> {
    command_id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    command_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_details: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<ReplyPayload<'a>>,
}

#[derive(Serialize)]
#[serde(untagged, rename_all_fields = "camelCase")]
enum ReplyPayload<'a> {
    Empty {},
    Hello {
        target_id: &'a str,
    },
    HealthCheck {
        healthy: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'a str>,
    },
    Discover {
        apis: Vec<Api<'a>>,
        is_partial_discovery: bool,
    },
    StartIngest {
        ingest_job_id: &'a str,
        total: u32,
    },
    Subscribe {
        subscription: Subscribed<'a>,
    },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Subscribed<'a> {
    gravitee_subscription_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_key: Option<Key<'a>>,
    metadata: &'a Texts,
}

/// An API. Lists are written also when they are empty: the plane reads `pages` without asking whether it is there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::exchange) struct Api<'a> {
    unique_id: &'a str,
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    connection_details: &'a Texts,
    #[serde(rename = "type")]
    kind: &'static str,
    pages: Vec<Page<'a>>,
    plans: Vec<Plan<'a>>,
    metadata: Vec<Metadata<'a>>,
}

#[derive(Serialize)]
struct Page<'a> {
    #[serde(rename = "pageType")]
    kind: &'static str,
    content: &'a str,
    filename: &'a str,
}

#[derive(Serialize)]
struct Plan<'a> {
    id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(rename = "planSecurityType")]
    security: &'static str,
    characteristics: &'a [String],
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    value: &'a str,
    format: &'static str,
}

/// A key on its way out.
struct Key<'a>(&'a SecretString);

/// The one place where a key leaves its wrapping.
impl Serialize for Key<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.expose_secret().serialize(serializer)
    }
}

impl<'a> From<&'a exchange::Message> for Message<'a> {
    fn from(message: &'a exchange::Message) -> Self {
        match message {
            exchange::Message::Command(command) => Self::Command(Command {
                id: &command.id,
                kind: command.body.kind(),
                payload: CommandPayload::from(&command.body),
            }),
            exchange::Message::Reply(reply) => Self::Reply(Reply {
                command_id: &reply.command_id,
                kind: reply_kind(&reply.body),
                command_status: status_word(&reply.status),
                error_details: reply.error.as_deref(),
                payload: reply_payload(reply),
            }),
        }
    }
}

impl<'a> From<&'a CommandBody> for CommandPayload<'a> {
    fn from(body: &'a CommandBody) -> Self {
        match body {
            CommandBody::Hello { target_id, provider } => Self::Hello { target_id, provider },
            CommandBody::Primary { primary } => Self::Primary { primary: *primary },
            CommandBody::GoodBye { target_id, reconnect } => {
                Self::GoodBye { target_id: target_id.as_deref(), reconnect: *reconnect }
            }
            CommandBody::StartIngest { job_id, api_ids } => Self::StartIngest { ingest_job_id: job_id, api_ids },
            CommandBody::Ingest { job_id, apis, done } => Self::Ingest {
                ingest_job_id: job_id,
                apis: apis.iter().map(exchange::EncodedApi::json).collect(),
                done: *done,
            },
            CommandBody::Subscribe { api_id, subscription } | CommandBody::Unsubscribe { api_id, subscription } => {
                Self::Subscription { api_id, subscription: subscription.into() }
            }
            CommandBody::HealthCheck | CommandBody::Discover | CommandBody::Unknown { .. } => Self::Empty {},
        }
    }
}

/// A type that nobody knows is not repeated: `UNKNOWN` is the answer to it.
pub(in crate::exchange) fn reply_kind(body: &ReplyBody) -> &str {
    match body {
        ReplyBody::Unknown { .. } => "UNKNOWN",
        known => known.kind(),
    }
}

/// What has no content is `{}`, but left out with an ERROR, as Gravitee's own connector does it.
fn reply_payload(reply: &exchange::Reply) -> Option<ReplyPayload<'_>> {
    match &reply.body {
        ReplyBody::Hello(target_id) => target_id.as_deref().map(|target_id| ReplyPayload::Hello { target_id }),
        ReplyBody::HealthCheck { healthy, detail } => {
            Some(ReplyPayload::HealthCheck { healthy: *healthy, detail: detail.as_deref() })
        }
        ReplyBody::Discover(found) => found.as_ref().map(|found| ReplyPayload::Discover {
            apis: found.apis.iter().map(Api::from).collect(),
            is_partial_discovery: found.partial,
        }),
        ReplyBody::StartIngest(started) => started
            .as_ref()
            .map(|started| ReplyPayload::StartIngest { ingest_job_id: &started.job_id, total: started.total }),
        ReplyBody::Subscribe(subscribed) => subscribed.as_ref().map(|subscribed| ReplyPayload::Subscribe {
            subscription: Subscribed {
                gravitee_subscription_id: &subscribed.subscription_id,
                api_key: subscribed.api_key.as_ref().map(Key),
                metadata: &subscribed.metadata,
            },
        }),
        ReplyBody::NoReply | ReplyBody::Unknown { .. } => Some(ReplyPayload::Empty {}),
        ReplyBody::Primary | ReplyBody::Ingest | ReplyBody::Unsubscribe => {
            (reply.status != Status::Error).then_some(ReplyPayload::Empty {})
        }
    }
}

impl<'a> From<&'a model::Subscription> for Subscription<'a> {
    fn from(subscription: &'a model::Subscription) -> Self {
        Self {
            id: &subscription.id,
            gravitee_application_id: subscription.application_id.as_deref(),
            gravitee_application_name: subscription.application_name.as_deref(),
            kind: subscription.kind.as_ref().and_then(subscription_word),
            metadata: &subscription.metadata,
        }
    }
}

impl<'a> From<&'a model::Api> for Api<'a> {
    fn from(api: &'a model::Api) -> Self {
        Self {
            unique_id: &api.unique_id,
            id: &api.id,
            name: &api.name,
            version: api.version.as_deref(),
            description: api.description.as_deref(),
            connection_details: &api.connection,
            kind: "PROXY",
            pages: api
                .documents
                .iter()
                .map(|document| Page {
                    kind: document_word(document.kind),
                    content: &document.content,
                    filename: &document.filename,
                })
                .collect(),
            plans: api
                .plans
                .iter()
                .map(|plan| Plan {
                    id: &plan.id,
                    name: &plan.name,
                    description: plan.description.as_deref(),
                    security: security_word(plan.security),
                    characteristics: &plan.characteristics,
                })
                .collect(),
            metadata: api
                .metadata
                .iter()
                .map(|entry| Metadata { name: &entry.name, value: &entry.value, format: format_word(entry.format) })
                .collect(),
        }
    }
}

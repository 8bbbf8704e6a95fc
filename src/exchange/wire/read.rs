//! What is read: as much as can be made sense of. Fields may be missing, null, unknown, or numbers where text is meant.
//!
//! Two readers with two measures. What the *agent* reads takes unknown enum values as they come. What only the *plane*
//! reads (APIs) is refused whole for one unknown value, as Gravitee's controller does it.

use serde::{
    Deserialize,
    de::{DeserializeOwned, Error as _},
};
use serde_json::value::RawValue;

use super::{
    Fault,
    api::Api,
    status, subscription_kind,
    text::{Text, TextMap},
};
use crate::{
    exchange::{Command, CommandBody, Discovered, EncodedApi, Reply, ReplyBody, StartedIngest, Status, Subscribed},
    model,
};

/// The JSON of a message. Every field stays raw, so that one that is odd costs none of the others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::exchange) struct Envelope<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    command_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    command_status: Option<&'a RawValue>,
    #[serde(borrow)]
    error_details: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// A raw field as text; anything else than text is told as it stands.
fn text(raw: Option<&RawValue>) -> Option<String> {
    let raw = raw?.get();
    serde_json::from_str::<Text>(raw).map_or_else(|_| Some(raw.to_owned()), |text| text.0)
}

fn payload<T: DeserializeOwned>(raw: Option<&RawValue>) -> Result<T, Fault> {
    serde_json::from_str(raw.map_or("{}", RawValue::get)).map_err(|error| fault(&error))
}

/// What is wrong with JSON, without a word of it: it may hold a key.
fn fault(error: &serde_json::Error) -> Fault {
    if error.is_data() {
        return format!("a value is not of the kind that it should be, before column {}", error.column());
    }
    error.to_string()
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Hello {
    target_id: Text,
    provider: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Primary {
    primary: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct GoodBye {
    target_id: Text,
    reconnect: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct StartIngest {
    ingest_job_id: Text,
    api_ids: Option<Vec<Text>>,
    total: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Ingest {
    #[serde(rename = "ingestJobId")]
    job_id: Text,
    apis: Option<Vec<Box<RawValue>>>,
    done: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Subscribing {
    api_id: Text,
    #[serde(rename = "subscription")]
    told: Option<Subscription>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Subscription {
    #[serde(rename = "graviteeSubscriptionId")]
    id: Text,
    gravitee_application_id: Text,
    gravitee_application_name: Text,
    #[serde(rename = "type")]
    kind: Text,
    api_key: Text,
    metadata: TextMap,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Health {
    healthy: Option<bool>,
    detail: Text,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Discovery {
    apis: Option<Vec<Api>>,
    is_partial_discovery: Option<bool>,
}

impl Subscribing {
    fn read(self) -> Result<(String, model::Subscription), Fault> {
        let subscription = self.told.ok_or("the field subscription is missing")?;
        Ok((
            self.api_id.required("apiId")?,
            model::Subscription {
                id: subscription.id.required("graviteeSubscriptionId")?,
                application_id: subscription.gravitee_application_id.0,
                application_name: subscription.gravitee_application_name.0,
                kind: subscription.kind.0.map(subscription_kind),
                metadata: subscription.metadata.into(),
            },
        ))
    }
}

impl Envelope<'_> {
    /// The command; `named` is the type that the header tells, for when the JSON tells none.
    pub(in crate::exchange) fn command(self, named: &str) -> Command {
        let kind = text(self.kind).unwrap_or_else(|| named.to_owned());
        let body = command_body(&kind, self.payload)
            .unwrap_or_else(|fault| CommandBody::Unknown { kind: kind.clone(), fault: Some(fault) });
        Command { id: text(self.id).unwrap_or_default(), body }
    }

    /// The reply; `named` as in [`command`](Self::command).
    pub(in crate::exchange) fn reply(self, named: &str) -> Result<Reply, Fault> {
        let kind = text(self.kind).unwrap_or_else(|| named.to_owned());
        Ok(Reply {
            command_id: text(self.command_id).unwrap_or_default(),
            status: text(self.command_status).map_or_else(|| Status::Other(String::new()), status),
            error: text(self.error_details),
            body: reply_body(kind, self.payload)?,
        })
    }
}

fn command_body(kind: &str, raw: Option<&RawValue>) -> Result<CommandBody, Fault> {
    Ok(match kind {
        "HELLO" => {
            let hello: Hello = payload(raw)?;
            CommandBody::Hello { target_id: hello.target_id.or_empty(), provider: hello.provider.or_empty() }
        }
        "HEALTH_CHECK" => CommandBody::HealthCheck,
        "PRIMARY" => CommandBody::Primary { primary: payload::<Primary>(raw)?.primary.unwrap_or(false) },
        "GOOD_BYE" => {
            let bye: GoodBye = payload(raw)?;
            // To stay away needs a person to come back from: it must have been said.
            CommandBody::GoodBye { target_id: bye.target_id.0, reconnect: bye.reconnect.unwrap_or(true) }
        }
        "DISCOVER" => CommandBody::Discover,
        "START_INGEST" => {
            let start: StartIngest = payload(raw)?;
            CommandBody::StartIngest {
                job_id: start.ingest_job_id.required("ingestJobId")?,
                api_ids: start.api_ids.unwrap_or_default().into_iter().filter_map(|id| id.0).collect(),
            }
        }
        "INGEST" => {
            let ingest: Ingest = payload(raw)?;
            CommandBody::Ingest {
                job_id: ingest.job_id.or_empty(),
                apis: ingest.apis.unwrap_or_default().into_iter().map(EncodedApi::from_raw).collect(),
                done: ingest.done.unwrap_or(false),
            }
        }
        "SUBSCRIBE" => {
            let (api_id, subscription) = payload::<Subscribing>(raw)?.read()?;
            CommandBody::Subscribe { api_id, subscription }
        }
        "UNSUBSCRIBE" => {
            let (api_id, subscription) = payload::<Subscribing>(raw)?.read()?;
            CommandBody::Unsubscribe { api_id, subscription }
        }
        unknown => CommandBody::Unknown { kind: unknown.to_owned(), fault: None },
    })
}

fn reply_body(kind: String, raw: Option<&RawValue>) -> Result<ReplyBody, Fault> {
    Ok(match kind.as_str() {
        "HELLO" => ReplyBody::Hello(payload::<Hello>(raw).unwrap_or_default().target_id.0),
        "HEALTH_CHECK" => {
            let health: Health = payload(raw).unwrap_or_default();
            ReplyBody::HealthCheck { healthy: health.healthy.unwrap_or(false), detail: health.detail.0 }
        }
        "PRIMARY" => ReplyBody::Primary,
        "DISCOVER" => ReplyBody::Discover(raw.map(|raw| discovered(payload(Some(raw))?)).transpose()?),
        "START_INGEST" => ReplyBody::StartIngest(raw.map(|raw| started(payload(Some(raw))?)).transpose()?),
        "INGEST" => ReplyBody::Ingest,
        "SUBSCRIBE" => {
            let subscribing: Subscribing = payload(raw)?;
            ReplyBody::Subscribe(subscribing.told.map(|subscription| Subscribed {
                subscription_id: subscription.id.or_empty(),
                api_key: subscription.api_key.0.map(Into::into),
                metadata: subscription.metadata.into(),
            }))
        }
        "UNSUBSCRIBE" => ReplyBody::Unsubscribe,
        "NO_REPLY" => ReplyBody::NoReply,
        _ => ReplyBody::Unknown { kind },
    })
}

fn discovered(discovery: Discovery) -> Result<Discovered, Fault> {
    let apis = discovery.apis.unwrap_or_default().into_iter().map(Api::read).collect::<Result<_, _>>()?;
    Ok(Discovered { apis, partial: discovery.is_partial_discovery.unwrap_or(false) })
}

fn started(started: StartIngest) -> Result<StartedIngest, Fault> {
    Ok(StartedIngest {
        job_id: started.ingest_job_id.or_empty(),
        total: started.total.ok_or("the field total is missing")?,
    })
}

/// [`model::Api::id`] alone, without building the rest.
pub(in crate::exchange) fn api_id(json: &str) -> String {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Identified {
        id: Text,
    }
    serde_json::from_str::<Identified>(json).unwrap_or_default().id.or_empty()
}

impl<'a> Envelope<'a> {
    /// The JSON of a message.
    pub(in crate::exchange) fn of(json: &'a str) -> Result<Self, Fault> {
        let envelope: Self = serde_json::from_str(json).map_err(|error| fault(&error))?;
        // serde also takes an array for a struct; a message is an object.
        if json.trim_start().starts_with('{') {
            Ok(envelope)
        } else {
            Err(serde_json::Error::custom("not an object").to_string())
        }
    }
}

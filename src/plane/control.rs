//! A plane steered by plain HTTP on its own listener, for containers and benchmarks:
//!
//! | request | does |
//! | --- | --- |
//! | `GET /plane/state` | tells everything |
//! | `POST /plane/{integration}/discover` | DISCOVER; answers with the APIs found |
//! | `POST /plane/{integration}/ingest?api=…&api=…&wait=true` | START_INGEST of these or all; `wait` until it is over |
//! | `POST /plane/{integration}/subscribe?api=…&plan=…&application=…` | SUBSCRIBE; answers with the key |
//! | `POST /plane/{integration}/unsubscribe?id=…` | UNSUBSCRIBE |
//! | `POST /plane/{integration}/goodbye?reconnect=true` | GOOD_BYE |
//! | `POST /plane/{integration}/connected` | answers when an agent is connected |
//!
//! It asks for no token: such a plane belongs on loopback or in a network of its own.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::body::Incoming;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{
    Plane, PlaneError, PlaneSubscription,
    hub::Hub,
    job::{JobState, Phase},
};

/// Answers a request below `/plane/`.
pub(super) async fn answer(hub: &Arc<Hub>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, body) = match route(hub, request).await {
        Ok(body) => (StatusCode::OK, body),
        Err((status, error)) => (status, json!({ "error": error })),
    };
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

type Refusal = (StatusCode, String);

async fn route(hub: &Arc<Hub>, request: &Request<Incoming>) -> Result<Value, Refusal> {
    let path: Vec<_> = request.uri().path().split('/').skip(2).collect();
    match (request.method(), path.as_slice()) {
        (&Method::GET, ["state"]) => Ok(state(hub)),
        (&Method::POST, [integration, action]) => {
            let integration = percent_encoding::percent_decode_str(integration).decode_utf8_lossy();
            let query = request.uri().query().unwrap_or_default();
            act(&Plane::of(hub), &integration, action, &Query(query)).await
        }
        _ => Err((StatusCode::NOT_FOUND, "no such thing: see GET /plane/state".into())),
    }
}

async fn act(plane: &Plane, integration: &str, action: &str, query: &Query<'_>) -> Result<Value, Refusal> {
    match action {
        "discover" => {
            let found = plane.discover(integration).await.map_err(|error| refusal(&error))?;
            let apis = found.apis.iter().map(
                |api| json!({ "id": api.id, "uniqueId": api.unique_id, "name": api.name, "version": api.version }),
            );
            Ok(json!({ "apis": apis.collect::<Vec<_>>(), "isPartialDiscovery": found.partial }))
        }
        "ingest" => {
            let job = plane.ingest(integration, query.all("api")).await.map_err(|error| refusal(&error))?;
            let state = if query.says("wait") { job.ended().await } else { job.state() };
            Ok(job_json(&state))
        }
        "subscribe" => {
            let (api, plan) = (query.one("api")?, query.one("plan")?);
            let application = query.one("application").unwrap_or_else(|_| "application".into());
            let subscription =
                plane.subscribe(integration, &api, &plan, &application).await.map_err(|error| refusal(&error))?;
            let mut answer = subscription_json(&subscription);
            answer["apiKey"] = json!(subscription.api_key.as_ref().map(ExposeSecret::expose_secret));
            Ok(answer)
        }
        "unsubscribe" => {
            plane.unsubscribe(&query.one("id")?).await.map_err(|error| refusal(&error))?;
            Ok(json!({}))
        }
        "goodbye" => {
            plane.good_bye(integration, query.says("reconnect")).await;
            Ok(json!({}))
        }
        "connected" => {
            plane.connected(integration).await;
            Ok(json!({}))
        }
        _ => Err((StatusCode::NOT_FOUND, format!("nothing is called {action}"))),
    }
}

fn state(hub: &Hub) -> Value {
    let ids: Vec<String> = hub.state().integrations.keys().cloned().collect();
    let integrations = ids.iter().map(|id| {
        let sessions = hub.channels(Some(id));
        let state = hub.state();
        let known = state.integrations.get(id);
        let job = known.and_then(|known| known.jobs.get(known.last_job.as_ref()?));
        json!({
            "id": id,
            "provider": known.map(|known| &known.provider),
            "connected": sessions > 0,
            "sessions": sessions,
            "apis": known.map_or(0, |known| known.apis.len()),
            "subscriptions": known.map(|known| known.subscriptions.values().map(subscription_json).collect::<Vec<_>>()),
            "lastJob": job.map(|job| job_json(&job.borrow())),
        })
    });
    let integrations: Vec<Value> = integrations.collect();
    let seen = hub.state().seen;
    json!({
        "integrations": integrations,
        "seen": {
            "upgrades": seen.upgrades,
            "hellos": seen.hellos,
            "healthChecks": seen.health_checks,
            "pings": seen.pings,
            "lost": seen.lost,
        },
    })
}

fn job_json(job: &JobState) -> Value {
    let phase = match job.phase {
        Phase::Starting => "starting",
        Phase::Pending => "pending",
        Phase::Done => "done",
        Phase::TimedOut => "timed-out",
    };
    json!({
        "id": job.id,
        "total": job.total,
        "received": job.received,
        "batches": job.batches,
        "dropped": job.dropped,
        "phase": phase,
        "done": job.phase == Phase::Done,
    })
}

/// All but the key.
fn subscription_json(subscription: &PlaneSubscription) -> Value {
    json!({
        "id": subscription.id,
        "apiId": subscription.api_id,
        "planId": subscription.plan_id,
        "application": subscription.application,
        "metadata": subscription.metadata,
    })
}

fn refusal(error: &PlaneError) -> Refusal {
    let status = match error {
        PlaneError::NotConnected(_) | PlaneError::ChannelClosed => StatusCode::SERVICE_UNAVAILABLE,
        PlaneError::NotFound(_) => StatusCode::NOT_FOUND,
        PlaneError::Silence(_) => StatusCode::GATEWAY_TIMEOUT,
        PlaneError::Failed(_) | PlaneError::Strange(_) => StatusCode::BAD_GATEWAY,
        PlaneError::TooLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
    };
    (status, error.to_string())
}

struct Query<'a>(&'a str);

impl Query<'_> {
    fn all(&self, name: &str) -> Vec<String> {
        let pairs = url::form_urlencoded::parse(self.0.as_bytes());
        pairs.filter(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.into_owned()).collect()
    }

    fn one(&self, name: &str) -> Result<String, Refusal> {
        let first = self.all(name).into_iter().next();
        first.ok_or_else(|| (StatusCode::BAD_REQUEST, format!("the parameter {name} is missing")))
    }

    fn says(&self, name: &str) -> bool {
        self.all(name).iter().any(|value| value == "true")
    }
}

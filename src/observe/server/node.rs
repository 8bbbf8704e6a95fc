//! Gravitee's paths below `/_node`, in the forms that its dashboards, charts and scripts know.
//!
//! Source: gravitee-node's management endpoints. What its agents show in clear, this one masks.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use serde_json::{Map, Value, json};
use tokio::time::sleep;
use url::form_urlencoded;

use super::{
    Surface,
    answer::{Answer, json, refusal, wrong_method},
};
use crate::observe::vitals::Health;

/// The longest body that is read.
const LONGEST: usize = 8 * 1024;
/// Probes that can be asked for by name at once.
const MOST_PROBES: usize = 64;
/// After how long a second look is taken before something is called stuck: after a pause of the whole process (a frozen
/// container) its own timers come a moment later than the question. Less than a probe of Kubernetes waits, 1 s.
const SECOND_LOOK: Duration = Duration::from_millis(250);

/// `/_node`: who this is.
pub(super) fn who(surface: &Surface) -> Answer {
    let version = env!("CARGO_PKG_VERSION");
    let body = json!({
        "id": surface.id,
        "name": "federation-agent",
        "version": {
            "BUILD_ID": surface.version,
            "BUILD_NUMBER": version,
            "MAJOR_VERSION": version,
            "REVISION": "unknown",
        },
        "metadata": {"integrations": surface.integrations},
    });
    json(StatusCode::OK, &body)
}

/// `/_node/health`: every probe, or those that `?probes=` names.
pub(super) async fn health(surface: &Surface, query: Option<&str>) -> Answer {
    let mut probes = surface.vitals.probes(&surface.board);
    if probes.values().any(|health| !health.healthy) {
        sleep(SECOND_LOOK).await;
        probes = surface.vitals.probes(&surface.board);
    }
    let asked: Vec<String> = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .filter(|(name, _)| name == "probes")
        .flat_map(|(_, ids)| ids.split(',').map(str::to_owned).collect::<Vec<_>>())
        .take(MOST_PROBES)
        .collect();
    if !asked.is_empty() {
        let unknown = || Health { healthy: false, message: Some("probe not found".into()) };
        probes = asked.into_iter().map(|id| (id.clone(), probes.remove(&id).unwrap_or_else(unknown))).collect();
    }
    answer_of(&probes)
}

/// `/_node/health` for somebody who has to wait until credentials are looked at: what `/livez` tells everybody.
pub(super) async fn bare_health(surface: &Surface) -> Answer {
    let healthy = !is_stuck(surface).await;
    answer_of(&BTreeMap::from([("process".to_owned(), Health { healthy, message: None })]))
}

/// Whether something is stuck, also after a second look.
pub(super) async fn is_stuck(surface: &Surface) -> bool {
    if surface.vitals.stuck().is_empty() {
        return false;
    }
    sleep(SECOND_LOOK).await;
    !surface.vitals.stuck().is_empty()
}

fn answer_of(probes: &BTreeMap<String, Health>) -> Answer {
    let well = probes.values().all(|health| health.healthy);
    json(if well { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR }, probes)
}

/// `/_node/configuration`: the settings as they stand, masked.
pub(super) fn configuration(surface: &Surface) -> Answer {
    json(StatusCode::OK, &surface.configuration)
}

/// `/_node/logging`: the log's levels; by POST they are changed. `changes` says whether whoever asks may do that, and who
/// it is, or why not.
pub(super) async fn logging<B>(surface: &Surface, request: Request<B>, changes: Result<Option<&str>, &str>) -> Answer
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::POST => {
            let by = match changes {
                Ok(by) => by,
                Err(says) => return refusal(StatusCode::FORBIDDEN, says),
            };
            if let Err((status, says)) = change(surface, request, by).await {
                return refusal(status, &says);
            }
        }
        _ => return wrong_method("GET, HEAD, POST"),
    }
    json(StatusCode::OK, &surface.levels.shown())
}

async fn change<B>(surface: &Surface, request: Request<B>, by: Option<&str>) -> Result<(), (StatusCode, String)>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // A page of another origin cannot send this type without asking first, and is not answered then.
    if !is_json(request.headers()) {
        let says = "the body must be JSON, told by `Content-Type: application/json`";
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, says.into()));
    }
    let body = Limited::new(request.into_body(), LONGEST).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            (StatusCode::PAYLOAD_TOO_LARGE, format!("at most {LONGEST} bytes are read"))
        } else {
            (StatusCode::BAD_REQUEST, "the body did not come to its end".into())
        }
    })?;
    let asked: Map<String, Value> = serde_json::from_slice(&body.to_bytes()).map_err(|_| {
        let says = "a map of loggers to levels is accepted, like {\"io.gravitee.exchange\": \"DEBUG\"}";
        (StatusCode::BAD_REQUEST, says.to_owned())
    })?;
    surface.levels.change(&asked, by).map_err(|says| (StatusCode::BAD_REQUEST, says))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

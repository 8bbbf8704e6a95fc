//! The call side: `/execute/{REST API}/{stage}/…` is what `https://{REST API}.execute-api.{region}…/{stage}/…` is on
//! AWS. A method that needs a key lets a call through with an enabled key of a usage plan that covers the stage.

use serde_json::json;

use super::{
    answer::Answer,
    estate::{Estate, Method, Region},
};

/// A call to an API.
pub(super) fn call(estate: &Estate, verb: &str, parts: &[&str], key: Option<&str>) -> Answer {
    let [api_id, stage, path @ ..] = parts else {
        return missing();
    };
    let Some((region, api)) = estate.regions().find_map(|region| Some((region, region.api(api_id)?))) else {
        return forbidden();
    };
    if api.endpoint_disabled || !api.stages.iter().any(|found| found.name == *stage) {
        return forbidden();
    }
    let Some(method) = api.methods.iter().find(|method| serves(method, verb, path)) else {
        return missing();
    };
    if method.key_required && !key.is_some_and(|key| opens(region, api_id, stage, key)) {
        return forbidden();
    }
    Answer::json(
        200,
        &json!({ "api": api.name, "stage": stage, "method": method.verb, "path": format!("/{}", path.join("/")) }),
    )
}

/// Whether an enabled key of that value is bound to a usage plan that covers the stage.
fn opens(region: &Region, api_id: &str, stage: &str, value: &str) -> bool {
    region.keys.iter().filter(|key| key.enabled && key.value == value).any(|key| {
        region.plans.iter().any(|plan| {
            plan.holds(&key.id) && plan.stages.iter().any(|(api, covered)| api == api_id && covered == stage)
        })
    })
}

fn serves(method: &Method, verb: &str, path: &[&str]) -> bool {
    let declared: Vec<&str> = method.path.split('/').filter(|part| !part.is_empty()).collect();
    (method.verb == verb || method.verb == "ANY")
        && declared.len() == path.len()
        && declared.iter().zip(path).all(|(declared, found)| declared.starts_with('{') || declared == found)
}

fn forbidden() -> Answer {
    Answer::json(403, &json!({ "message": "Forbidden" })).with("x-amzn-errortype", "ForbiddenException")
}

fn missing() -> Answer {
    Answer::json(403, &json!({ "message": "Missing Authentication Token" }))
        .with("x-amzn-errortype", "MissingAuthenticationTokenException")
}

//! REST APIs and their stages, as AWS shows them.

use serde_json::{Value, json};

use super::{
    answer::Answer,
    estate::{Region, RestApi, Stage},
};

/// Finds the REST API or says what AWS says.
pub(super) fn api<'a>(region: &'a Region, id: &str) -> Result<&'a RestApi, Answer> {
    region.api(id).ok_or_else(|| Answer::not_found("Invalid API identifier specified"))
}

/// Finds the stage or says what AWS says.
pub(super) fn stage<'a>(region: &'a Region, api_id: &str, name: &str) -> Result<(&'a RestApi, &'a Stage), Answer> {
    let api = api(region, api_id)?;
    let stage = api.stages.iter().find(|stage| stage.name == name);
    Ok((api, stage.ok_or_else(|| Answer::not_found("Invalid Stage identifier specified"))?))
}

/// `GetStages`: all of them, there are no pages.
pub(super) fn stages(region: &Region, api_id: &str) -> Result<Answer, Answer> {
    let stages: Vec<Value> = api(region, api_id)?.stages.iter().map(show_stage).collect();
    Ok(Answer::json(200, &json!({ "item": stages })))
}

/// A `RestApi`.
pub(super) fn show(api: &RestApi) -> Value {
    let mut shown = json!({
        "id": api.id,
        "name": api.name,
        "createdDate": api.created,
        "apiKeySource": api.api_key_source,
        "endpointConfiguration": { "types": [api.endpoint_type], "ipAddressType": "ipv4" },
        "disableExecuteApiEndpoint": api.endpoint_disabled,
        "rootResourceId": format!("r{}", api.id),
        "apiStatus": "AVAILABLE",
    });
    put(&mut shown, "version", api.version.as_deref());
    put(&mut shown, "description", api.description.as_deref());
    if !api.tags.is_empty() {
        shown["tags"] = json!(api.tags);
    }
    shown
}

/// A `Stage`.
pub(super) fn show_stage(stage: &Stage) -> Value {
    let mut shown = json!({
        "stageName": stage.name,
        "deploymentId": stage.deployment_id,
        "cacheClusterEnabled": false,
        "cacheClusterStatus": "NOT_AVAILABLE",
        "methodSettings": {},
        "tracingEnabled": false,
        "createdDate": stage.created,
        "lastUpdatedDate": stage.updated,
    });
    put(&mut shown, "description", stage.description.as_deref());
    if !stage.tags.is_empty() {
        shown["tags"] = json!(stage.tags);
    }
    shown
}

/// Adds a member that AWS leaves out when there is nothing to say.
pub(super) fn put(shown: &mut Value, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        shown[name] = value.into();
    }
}

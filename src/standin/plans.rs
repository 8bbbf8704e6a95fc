//! Usage plans and the keys bound to them.

use serde_json::{Value, json};

use super::{
    answer::Answer,
    apis::put,
    estate::{Region, UsagePlan},
    keys::ApiKey,
    query::Query,
};

/// `GetUsagePlans`, with `keyId` only those that hold the key.
pub(super) fn list(region: &Region, query: &Query) -> Answer {
    let plans: Vec<&UsagePlan> =
        region.plans.iter().filter(|plan| query.get("keyId").is_none_or(|key| plan.holds(key))).collect();
    query.page(&plans, |plan| show(plan))
}

/// Finds the plan or says what AWS says.
pub(super) fn plan<'a>(region: &'a Region, id: &str) -> Result<&'a UsagePlan, Answer> {
    region.plan(id).ok_or_else(|| Answer::not_found("Invalid Usage Plan identifier specified"))
}

/// `GetUsagePlanKeys`: always with values; of an unknown plan the list is empty, as on AWS.
pub(super) fn keys(region: &Region, plan_id: &str, query: &Query) -> Answer {
    let prefix = query.get("name").unwrap_or_default();
    let keys: Vec<&ApiKey> = region
        .plan(plan_id)
        .map(|plan| plan.keys.iter().filter_map(|id| region.key(id)).filter(|key| key.name_starts(prefix)).collect())
        .unwrap_or_default();
    query.page(&keys, |key| show_key(key))
}

/// `CreateUsagePlanKey`.
pub(super) fn bind(region: &mut Region, plan_id: &str, body: &[u8]) -> Result<Answer, Answer> {
    let asked: Value = serde_json::from_slice(body).map_err(|_| Answer::bad_request("Invalid request input"))?;
    if asked["keyType"] != "API_KEY" {
        return Err(Answer::bad_request("Invalid key type. Must be API_KEY"));
    }
    let key_id = asked["keyId"].as_str().unwrap_or_default();
    let plan = plan(region, plan_id)?;
    let key = region.key(key_id).ok_or_else(|| Answer::not_found("Invalid API Key identifier specified"))?;
    if plan.holds(key_id) {
        return Err(Answer::conflict("Usage plan key already exists"));
    }
    let shares_a_stage =
        |other: &&UsagePlan| other.holds(key_id) && other.stages.iter().any(|stage| plan.stages.contains(stage));
    if let Some(other) = region.plans.iter().find(shares_a_stage) {
        let message = format!("API Key {key_id} is already in usage plan {} for one of the API stages", other.id);
        return Err(Answer::conflict(&message));
    }
    let shown = show_key(key);
    if let Some(plan) = region.plans.iter_mut().find(|plan| plan.id == plan_id) {
        plan.keys.push(key_id.to_owned());
    }
    Ok(Answer::json(201, &shown))
}

/// `DeleteUsagePlanKey`.
pub(super) fn unbind(region: &mut Region, plan_id: &str, key_id: &str) -> Result<Answer, Answer> {
    if !plan(region, plan_id)?.holds(key_id) {
        return Err(Answer::not_found("Invalid Usage Plan ID or API Key ID specified"));
    }
    if let Some(plan) = region.plans.iter_mut().find(|plan| plan.id == plan_id) {
        plan.keys.retain(|id| id != key_id);
    }
    Ok(Answer::empty(202))
}

/// A `UsagePlan`.
pub(super) fn show(plan: &UsagePlan) -> Value {
    let stages: Vec<Value> = plan.stages.iter().map(|(api, stage)| json!({ "apiId": api, "stage": stage })).collect();
    let mut shown = json!({ "id": plan.id, "name": plan.name, "apiStages": stages });
    put(&mut shown, "description", plan.description.as_deref());
    if let Some((rate, burst)) = plan.throttle {
        shown["throttle"] = json!({ "rateLimit": rate, "burstLimit": burst });
    }
    if let Some((limit, period)) = &plan.quota {
        shown["quota"] = json!({ "limit": limit, "offset": 0, "period": period });
    }
    shown
}

/// A `UsagePlanKey`.
fn show_key(key: &ApiKey) -> Value {
    let mut shown = json!({ "id": key.id, "type": "API_KEY", "value": key.value });
    put(&mut shown, "name", key.name.as_deref());
    shown
}

//! API keys.

use std::{collections::BTreeMap, fmt};

use rand::{RngExt, distr::Alphanumeric, rngs::StdRng};
use serde_json::{Value, json};

use super::{answer::Answer, apis::put, estate::Region, query::Query};

/// An API key.
#[derive(Clone)]
pub struct ApiKey {
    /// Ten letters and digits.
    pub id: String,
    /// What callers send; unique in the region.
    pub value: String,
    /// Its name; need not be unique.
    pub name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Whether calls with it are let through.
    pub enabled: bool,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

impl ApiKey {
    pub(super) fn name_starts(&self, prefix: &str) -> bool {
        prefix.is_empty() || self.name.as_deref().is_some_and(|name| name.starts_with(prefix))
    }
}

/// `CreateApiKey`. `enabled` is false unless asked for; `now` is in seconds since 1970.
pub(super) fn create(region: &mut Region, body: &[u8], chance: &mut StdRng, now: u64) -> Result<Answer, Answer> {
    let asked: Value = serde_json::from_slice(body).map_err(|_| Answer::bad_request("Invalid request input"))?;
    let text = |name: &str| asked[name].as_str().filter(|text| !text.is_empty()).map(ToOwned::to_owned);
    if text("name").is_some_and(|name| name.chars().count() > 1024) {
        return Err(Answer::bad_request("API Key name exceeds maximum size of 1024 characters"));
    }
    let value = match text("value") {
        Some(value) if value.chars().count() < 20 => {
            return Err(Answer::bad_request("API Key value should be at least 20 characters"));
        }
        Some(value) if value.chars().count() > 128 => {
            return Err(Answer::bad_request("API Key value exceeds maximum size of 128 characters"));
        }
        Some(value) if region.keys.iter().any(|key| key.value == value) => {
            return Err(Answer::conflict("API Key already exists"));
        }
        Some(value) => value,
        None => chance.sample_iter(Alphanumeric).take(40).map(char::from).collect(),
    };
    if region.keys.len() >= region.key_limit {
        let message = format!("API keys limit of {} reached for this account", region.key_limit);
        return Err(Answer::error(429, "LimitExceededException", &message));
    }
    let tags = asked["tags"].as_object().into_iter().flatten();
    let key = ApiKey {
        id: id(chance),
        value,
        name: text("name"),
        description: text("description"),
        enabled: asked["enabled"].as_bool().unwrap_or(false),
        tags: tags.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
        created: now,
    };
    let shown = show(&key, true);
    region.keys.push(key);
    Ok(Answer::json(201, &shown))
}

/// `GetApiKeys`: the newest first; the name's beginning as it is spelled; values only when asked for.
pub(super) fn list(region: &Region, query: &Query) -> Answer {
    let prefix = query.get("name").unwrap_or_default();
    let keys: Vec<&ApiKey> = region.keys.iter().rev().filter(|key| key.name_starts(prefix)).collect();
    query.page(&keys, |key| show(key, query.flag("includeValues")))
}

/// `GetApiKey`.
pub(super) fn get(region: &Region, id: &str, query: &Query) -> Result<Answer, Answer> {
    let key = region.key(id).ok_or_else(|| Answer::not_found("Invalid API Key identifier specified"))?;
    Ok(Answer::json(200, &show(key, query.flag("includeValue"))))
}

/// `DeleteApiKey`: also takes it out of its usage plans.
pub(super) fn delete(region: &mut Region, id: &str) -> Result<Answer, Answer> {
    if region.key(id).is_none() {
        return Err(Answer::not_found("Invalid API Key identifier specified"));
    }
    region.keys.retain(|key| key.id != id);
    for plan in &mut region.plans {
        plan.keys.retain(|key| key != id);
    }
    Ok(Answer::empty(202))
}

fn show(key: &ApiKey, with_value: bool) -> Value {
    let mut shown = json!({
        "id": key.id,
        "enabled": key.enabled,
        "createdDate": key.created,
        "lastUpdatedDate": key.created,
        "stageKeys": [],
    });
    put(&mut shown, "name", key.name.as_deref());
    put(&mut shown, "description", key.description.as_deref());
    put(&mut shown, "value", with_value.then_some(key.value.as_str()));
    if !key.tags.is_empty() {
        shown["tags"] = json!(key.tags);
    }
    shown
}

/// Ten small letters and digits.
fn id(chance: &mut StdRng) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    (0..10).map(|_| char::from(LETTERS[chance.random_range(0..LETTERS.len())])).collect()
}

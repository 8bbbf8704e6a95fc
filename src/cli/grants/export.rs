//! What the plane knows of subscriptions, from files that its management API's answers were written to.
//!
//! Understood are `GET …/management/v2/environments/{env}/apis/{api}/subscriptions` (schemas `SubscriptionsResponse`,
//! `Subscription`, `SubscriptionStatus` and `Pagination` in gravitee-api-management's `openapi-apis.yaml`) and its older
//! sister `GET …/management/organizations/{org}/environments/{env}/apis/{api}/subscriptions` (`SubscriptionEntity`), one
//! page or many, in arrays or one after the other, and bare subscriptions. What is not needed is not looked at; what is
//! needed and not understood is an error, since a subscription that is overlooked makes its key look like nobody's.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use aws_smithy_types::{DateTime, date_time::Format};
use serde_json::{Map, Value};

use crate::model::Texts;

/// A subscription as the plane has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subscription {
    /// The plane's id.
    pub(super) id: String,
    /// The plane's id of the API, which is none of the gateway's.
    pub(super) api: Option<String>,
    /// The API's name, where the export has it.
    pub(super) api_name: Option<String>,
    /// The application's name, else its id.
    pub(super) application: Option<String>,
    /// How it stands.
    pub(super) status: Status,
    /// From when it is in force; `None`: from ever.
    pub(super) starts: Option<SystemTime>,
    /// Until when; `None`: for ever.
    pub(super) ends: Option<SystemTime>,
    /// What the agent's reply left with it.
    pub(super) metadata: Texts,
    /// When it was changed last.
    updated: Option<SystemTime>,
}

/// How a subscription stands in the plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Pending,
    Rejected,
    Accepted,
    Paused,
    Closed,
}

impl Status {
    /// The plane's word for it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Rejected => "REJECTED",
            Self::Accepted => "ACCEPTED",
            Self::Paused => "PAUSED",
            Self::Closed => "CLOSED",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let known = [
            ("PENDING", Self::Pending),
            ("REJECTED", Self::Rejected),
            ("ACCEPTED", Self::Accepted),
            // In force again.
            ("RESUMED", Self::Accepted),
            ("PAUSED", Self::Paused),
            ("CLOSED", Self::Closed),
        ];
        known.iter().find(|(word, _)| text.eq_ignore_ascii_case(word)).map(|(_, status)| *status)
    }
}

/// Files, read one after the other.
#[derive(Debug, Default)]
pub(super) struct Export {
    subscriptions: BTreeMap<String, Subscription>,
    lists: BTreeMap<(String, u64), List>,
}

/// A list that came in pages.
#[derive(Debug, Default)]
struct List {
    pages: BTreeSet<u64>,
    of: u64,
    file: String,
}

impl Export {
    /// Takes in `text`, which lies in `file`.
    ///
    /// # Errors
    /// A sentence that names the file and what is wrong in it.
    pub(super) fn add(&mut self, file: &str, text: &[u8]) -> Result<(), String> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err(format!(
                "{file} is empty: whatever was to write it has failed. An API without subscriptions gives an answer, too"
            ));
        }
        let mut found = 0;
        for value in serde_json::Deserializer::from_slice(text).into_iter::<Value>() {
            found += 1;
            let value = value.map_err(|error| not_json(file, text, &error))?;
            self.value(&format!("{file}, document {found}"), file, &value)?;
        }
        Ok(())
    }

    /// Everything, once all pages of all lists are there.
    ///
    /// # Errors
    /// A sentence that names the list of which a page is missing.
    pub(super) fn whole(self) -> Result<Vec<Subscription>, String> {
        for ((api, _), List { pages, of, file }) in &self.lists {
            if let Some(missing) = (1..=*of).find(|page| !pages.contains(page)) {
                return Err(format!(
                    "{file} is not whole: page {missing} of {of} of the subscriptions of the API {api} is missing, and \
                     keys that it would explain would look like nobody's; fetch every page (`page=1`, `page=2`, …, \
                     `perPage=100`)"
                ));
            }
        }
        Ok(self.subscriptions.into_values().collect())
    }

    fn value(&mut self, place: &str, file: &str, value: &Value) -> Result<(), String> {
        match value {
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    self.value(&format!("{place}[{index}]"), file, value)?;
                }
                Ok(())
            }
            Value::Object(object) => match object.get("data") {
                Some(Value::Array(data)) => self.page(place, file, object, data),
                _ if object.contains_key("id") && object.contains_key("status") => {
                    self.subscription(place, object, None).map(drop)
                }
                _ => Err(not_subscriptions(place, object)),
            },
            _ => Err(format!("{place} is no page of subscriptions and no subscription, but {}", kind(value))),
        }
    }

    fn page(&mut self, place: &str, file: &str, page: &Map<String, Value>, data: &[Value]) -> Result<(), String> {
        // The older API has the names of what it refers to beside the list.
        let names = page.get("metadata").and_then(Value::as_object);
        let mut api = None;
        for (index, value) in data.iter().enumerate() {
            let place = format!("{place}, data[{index}]");
            let Value::Object(object) = value else {
                return Err(format!("{place} is no subscription, but {}", kind(value)));
            };
            let of = self.subscription(&place, object, names)?;
            api = api.or(of);
        }
        let number = |object: &Map<String, Value>, names: [&str; 2]| {
            names.iter().find_map(|name| object.get(*name)).and_then(Value::as_u64)
        };
        let paging = ["pagination", "page"].iter().find_map(|name| page.get(*name)).and_then(Value::as_object);
        let Some(paging) = paging else { return Ok(()) };
        let of = number(paging, ["pageCount", "total_pages"]).unwrap_or(1);
        if let (Some(page), Some(api)) = (number(paging, ["page", "current"]), api) {
            let total = number(paging, ["totalCount", "total_elements"]).unwrap_or_default();
            let list = self.lists.entry((api, total)).or_default();
            list.pages.insert(page);
            list.of = list.of.max(of);
            file.clone_into(&mut list.file);
        }
        Ok(())
    }

    /// Takes in one subscription; its API.
    fn subscription(
        &mut self,
        place: &str,
        object: &Map<String, Value>,
        names: Option<&Map<String, Value>>,
    ) -> Result<Option<String>, String> {
        let id = match object.get("id") {
            Some(Value::String(id)) if !id.trim().is_empty() => id.clone(),
            _ => return Err(format!("{place} is no subscription of the plane's: it has no id")),
        };
        let status = match object.get("status") {
            Some(Value::String(text)) => Status::parse(text).ok_or_else(|| {
                format!("{place}: the subscription {id} has the status {text}, which this release does not know")
            })?,
            _ => return Err(format!("{place} is no subscription of the plane's: it has no status")),
        };
        let time = |names: [&str; 2]| match names.iter().find_map(|name| object.get(*name)) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => moment(value).map(Some).ok_or_else(|| {
                format!("{place}: {} of the subscription {id} is no time that this release knows: {value}", names[0])
            }),
        };
        let metadata = match object.get("metadata") {
            None | Some(Value::Null) => Texts::new(),
            Some(Value::Object(entries)) => {
                entries.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
            }
            Some(other) => return Err(format!("{place}: the metadata of the subscription {id} is {}", kind(other))),
        };
        let name = |id: &str| names?.get(id)?.get("name")?.as_str().map(str::to_owned);
        let (api, api_name) = reference(object.get("api"));
        let (application, application_name) = reference(object.get("application"));
        let found = Subscription {
            api_name: api_name.or_else(|| name(api.as_deref()?)),
            application: application_name.or_else(|| name(application.as_deref()?)).or(application),
            api: api.clone(),
            status,
            starts: time(["startingAt", "starting_at"])?,
            ends: time(["endingAt", "ending_at"])?,
            updated: time(["updatedAt", "updated_at"])?,
            metadata,
            id: id.clone(),
        };
        // The same one twice: from pages between which the list has moved, or from two files. The newer one counts.
        let known = self.subscriptions.get(&id);
        if known.is_none_or(|known| known.updated <= found.updated) {
            self.subscriptions.insert(id, found);
        }
        Ok(api)
    }
}

/// The id and the name of what is referred to: by its id alone (older API), or as an object.
fn reference(value: Option<&Value>) -> (Option<String>, Option<String>) {
    match value {
        Some(Value::String(id)) => (Some(id.clone()), None),
        Some(Value::Object(object)) => {
            let field = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
            (field("id"), field("name"))
        }
        _ => (None, None),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

/// A time of the plane's: RFC 3339 with any offset, or milliseconds since 1970 (older API).
fn moment(value: &Value) -> Option<SystemTime> {
    match value {
        Value::String(text) => {
            let time = DateTime::from_str(text, Format::DateTimeWithOffset).ok()?;
            SystemTime::try_from(time).ok()
        }
        Value::Number(_) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(value.as_u64()?)),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What an object is that is no page and no subscription.
fn not_subscriptions(place: &str, object: &Map<String, Value>) -> String {
    let status = ["httpStatus", "http_status"].iter().find_map(|name| object.get(*name)).and_then(Value::as_u64);
    if let (Some(status), Some(Value::String(message))) = (status, object.get("message")) {
        return format!(
            "{place} holds no subscriptions, but the plane's answer to a request that failed: {status}, {message}"
        );
    }
    let mut fields = String::new();
    for name in object.keys().take(5) {
        let _ = write!(fields, "{}{name}", if fields.is_empty() { "" } else { ", " });
    }
    format!(
        "{place} is no page of subscriptions and no subscription: it has neither `data` nor `id` and `status`, but {}; \
         docs/grants.md shows how the file is made",
        if fields.is_empty() { "nothing" } else { &fields }
    )
}

/// The console's button exports CSV, which lacks the one thing that is needed.
fn not_json(file: &str, text: &[u8], error: &serde_json::Error) -> String {
    let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let looks_like_csv = !matches!(first.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'[' | b'<'))
        && first.iter().filter(|byte| matches!(byte, b';' | b',')).count() >= 3;
    if looks_like_csv {
        return format!(
            "{file} looks like the CSV that the console exports, which does not say which key a subscription has; \
             docs/grants.md shows how the file is made from the management API"
        );
    }
    if first.trim_ascii_start().starts_with(b"<") {
        return format!("{file} is a web page, not JSON: was it the management API that was asked, with a token?");
    }
    format!("{file} is not JSON, or not whole: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<Vec<Subscription>, String> {
        let mut export = Export::default();
        export.add("subs.json", text.as_bytes())?;
        export.whole()
    }

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    /// As APIM 4.x answers, with what is not needed.
    fn page(ids: &[&str], page: u64, of: u64) -> Value {
        let data: Vec<Value> = ids
            .iter()
            .map(|id| {
                json!({
                    "id": id,
                    "api": { "id": "6c530064-0b2c-4004-9300-640b2ce0047b" },
                    "plan": { "id": "p" },
                    "application": { "id": "app-1", "name": "Shop" },
                    "consumerMessage": null,
                    "metadata": { "aws-api-key-id": "k1", "odd": null, "number": 7 },
                    "status": "ACCEPTED",
                    "consumerStatus": "STARTED",
                    "startingAt": "2023-05-20T12:30:42.101Z",
                    "endingAt": "2023-05-20T14:30:42.101+02:00",
                    "updatedAt": "2023-05-20T12:30:42.101Z",
                    "invented": { "later": true },
                })
            })
            .collect();
        json!({
            "data": data,
            "pagination": { "page": page, "perPage": 2, "pageCount": of, "pageItemsCount": ids.len(), "totalCount": 3 },
            "links": { "self": "https://apim/…" },
        })
    }

    #[test]
    fn the_answer_of_the_second_api_is_read() {
        let all = read(&page(&["s1"], 1, 1).to_string()).unwrap();
        let [one] = all.as_slice() else { panic!("{all:?}") };
        assert_eq!((one.id.as_str(), one.status), ("s1", Status::Accepted));
        assert_eq!(one.api.as_deref(), Some("6c530064-0b2c-4004-9300-640b2ce0047b"));
        assert_eq!(one.application.as_deref(), Some("Shop"));
        assert_eq!(one.metadata["aws-api-key-id"], "k1");
        assert_eq!(one.metadata["number"], "7");
        assert!(!one.metadata.contains_key("odd"));
        assert_eq!(one.starts, Some(at(1_684_585_842_101)));
        assert_eq!(one.ends, one.starts, "an offset is the same moment");
    }

    #[test]
    fn the_answer_of_the_first_api_is_read_with_its_names() {
        let text = json!({
            "data": [{
                "id": "s1", "api": "api-1", "plan": "p", "application": "app-1", "status": "paused",
                "starting_at": 1_684_585_842_101_u64, "ending_at": null, "keys": ["secret"], "security": "API_KEY",
            }],
            "metadata": { "app-1": { "name": "Shop" }, "api-1": { "name": "Petstore" } },
            "page": { "current": 1, "per_page": 10, "size": 1, "total_pages": 1, "total_elements": 1 },
        });
        let all = read(&text.to_string()).unwrap();
        assert_eq!(all[0].status, Status::Paused);
        assert_eq!(all[0].application.as_deref(), Some("Shop"));
        assert_eq!(all[0].api_name.as_deref(), Some("Petstore"));
        assert_eq!((all[0].starts, all[0].ends), (Some(at(1_684_585_842_101)), None));
    }

    #[test]
    fn pages_may_lie_in_lines_in_arrays_or_bare() {
        let (one, two) = (page(&["s1", "s2"], 1, 2), page(&["s3"], 2, 2));
        let bare = two["data"][0].clone();
        for text in [
            format!("{one}\n{two}\n"),
            format!("{one:#}{two:#}"),
            format!("\u{feff}[{one}, {two}]"),
            format!("{}\n{}\n{bare}", one["data"][0], one["data"][1]),
            json!([one["data"][0], one["data"][1], bare]).to_string(),
        ] {
            let ids: Vec<String> = read(&text).unwrap().into_iter().map(|one| one.id).collect();
            assert_eq!(ids, ["s1", "s2", "s3"], "{text}");
        }
        assert_eq!(read(r#"{"data":[]}"#).unwrap(), []);
    }

    #[test]
    fn a_missing_page_is_an_error() {
        let error = read(&page(&["s3"], 2, 2).to_string()).unwrap_err();
        assert!(error.contains("page 1 of 2") && error.contains("6c530064"), "{error}");
        let error = read(&page(&["s1", "s2"], 1, 2).to_string()).unwrap_err();
        assert!(error.contains("page 2 of 2"), "{error}");
    }

    #[test]
    fn of_the_same_subscription_twice_the_newer_one_counts() {
        let older = json!({ "id": "s", "status": "ACCEPTED", "updatedAt": "2024-01-01T00:00:00Z" });
        let newer = json!({ "id": "s", "status": "CLOSED", "updatedAt": "2024-01-02T00:00:00Z" });
        for text in [format!("{older}{newer}"), format!("{newer}{older}")] {
            assert_eq!(read(&text).unwrap()[0].status, Status::Closed);
        }
    }

    #[test]
    fn what_is_not_understood_is_told() {
        for (text, says) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("{\"data\":[", "not whole"),
            ("Plan;Application;Creation date;Process date;Start date;End date;Status\n", "CSV"),
            ("<!doctype html>", "web page"),
            ("7", "a number"),
            (r#"{"httpStatus":401,"message":"Unauthorized"}"#, "401, Unauthorized"),
            (r#"{"errors":[]}"#, "errors"),
            (r#"{"data":["s1"]}"#, "data[0]"),
            (r#"{"data":[{"status":"ACCEPTED"}]}"#, "no id"),
            (r#"{"data":[{"id":"s"}]}"#, "no status"),
            (r#"{"id":"s","status":"SLEEPING"}"#, "SLEEPING"),
            (r#"{"id":"s","status":"ACCEPTED","endingAt":"tomorrow"}"#, "endingAt"),
            (r#"{"id":"s","status":"ACCEPTED","endingAt":-1}"#, "endingAt"),
            (r#"{"id":"s","status":"ACCEPTED","metadata":[]}"#, "metadata"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says) && error.contains("subs.json"), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let mut export = Export::default();
            if export.add("f", &text).is_ok() {
                let _ = export.whole();
            }
        }
    }
}

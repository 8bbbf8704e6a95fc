//! Query strings and forms, and lists in pages.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::answer::Answer;

/// AWS's page, when none is asked for.
const DEFAULT_LIMIT: usize = 25;

/// AWS's largest page.
const MAX_LIMIT: usize = 500;

/// Names and values of a query string or a form.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn read(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// One page of `items`: `limit` of them (25, at most 500) from `position` on.
    pub(super) fn page<T>(&self, items: &[T], show: impl Fn(&T) -> Value) -> Answer {
        let limit = match self.get("limit").map(str::parse::<usize>) {
            None => DEFAULT_LIMIT,
            Some(Ok(limit)) if (1..=MAX_LIMIT).contains(&limit) => limit,
            Some(_) => return Answer::bad_request("Invalid limit: it must be between 1 and 500"),
        };
        let from = match self.get("position") {
            None => 0,
            Some(token) => match position(token) {
                Some(from) => from,
                None => return Answer::bad_request("Invalid position parameter"),
            },
        };
        let rest = items.get(from..).unwrap_or_default();
        let shown: Vec<Value> = rest.iter().take(limit).map(show).collect();
        let mut answer = json!({ "item": shown });
        if rest.len() > limit {
            answer["position"] = token(from + limit).into();
        }
        Answer::json(200, &answer)
    }
}

fn token(from: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("from:{from}"))
}

fn position(token: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    text.strip_prefix("from:")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(query: &str) -> Value {
        let items: Vec<u32> = (0..60).collect();
        let answer = Query::read(query.as_bytes()).page(&items, |item| json!(item));
        serde_json::from_slice(&answer.body).unwrap()
    }

    #[test]
    fn a_page_is_25_unless_asked_otherwise_and_the_last_has_no_position() {
        let first = shown("");
        assert_eq!(first["item"].as_array().unwrap().len(), 25);
        let second = shown(&format!("position={}", first["position"].as_str().unwrap()));
        assert_eq!(second["item"][0], 25);
        let whole = shown("limit=60");
        assert_eq!((whole["item"].as_array().unwrap().len(), whole.get("position")), (60, None));
    }

    #[test]
    fn limits_and_positions_that_make_no_sense_are_refused() {
        for query in ["limit=0", "limit=501", "limit=many", "position=nonsense", "position=%00"] {
            assert!(shown(query)["message"].is_string(), "{query}");
        }
    }
}

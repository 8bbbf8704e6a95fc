//! IAM policies, as far as these need: allow, action, resource, and `*`.

use serde_json::Value;

/// One thing that a policy allows: an action on a resource, either with `*` in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Allowed {
    pub(crate) action: String,
    pub(crate) resource: String,
}

/// What was done: an action on a resource, with nothing left open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Done {
    pub(crate) action: String,
    pub(crate) resource: String,
}

/// All that a policy's text allows, in order, once each.
pub(crate) fn allowed(text: &str) -> Vec<Allowed> {
    let policy: Value = serde_json::from_str(text).expect("a policy is JSON");
    assert_eq!(policy["Version"], "2012-10-17");
    let mut all = Vec::new();
    for statement in many(&policy["Statement"]) {
        assert_eq!(statement["Effect"], "Allow", "these policies only allow");
        for action in many(&statement["Action"]) {
            for resource in many(&statement["Resource"]) {
                all.push(Allowed { action: text_of(action), resource: text_of(resource) });
            }
        }
    }
    all.sort();
    all.dedup();
    all
}

impl Allowed {
    /// Whether it allows this, as IAM reads `*`: any characters, slashes too.
    pub(crate) fn covers(&self, done: &Done) -> bool {
        like(&self.action, &done.action, false) && like(&self.resource, &done.resource, false)
    }

    /// The same, but that `*` stands for one part of the path only.
    pub(crate) fn covers_narrowly(&self, done: &Done) -> bool {
        self.action == done.action && like(&self.resource, &done.resource, true)
    }
}

/// IAM lets a single thing stand for a list of one.
fn many(value: &Value) -> Vec<&Value> {
    value.as_array().map_or_else(|| vec![value], |values| values.iter().collect())
}

fn text_of(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Whether `text` is like `pattern`; with `within_parts` a `*` ends at `/` and `:`.
fn like(pattern: &str, text: &str, within_parts: bool) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    let ends = rest.find(|c| within_parts && (c == '/' || c == ':')).unwrap_or(rest.len());
    (0..=ends).filter(|end| rest.is_char_boundary(*end)).any(|end| like(after, &rest[end..], within_parts))
}

#[test]
fn a_star_is_read_as_iam_reads_it_or_narrowly() {
    let export = "arn:aws:apigateway:eu-west-1::/restapis/a/stages/prod/exports/oas30";
    for (pattern, widely, narrowly) in [
        ("arn:aws:apigateway:*::/restapis/*/stages/*/exports/oas30", true, true),
        ("arn:aws:apigateway:*::/restapis/*", true, false),
        ("*", true, false),
        ("arn:aws:apigateway:*::/restapis", false, false),
        ("arn:aws:apigateway:us-east-1::/restapis/*", false, false),
    ] {
        assert_eq!((like(pattern, export, false), like(pattern, export, true)), (widely, narrowly), "{pattern}");
    }
}

//! The OpenAPI document of a stage, passed through: only its top level is looked at, never a tree of it built.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{address::StageAddress, call::Operation, client::Target, failure::Failure};
use crate::{
    model::{Class, Document, DocumentKind, Error},
    provider::Call,
};

/// The page's name, which is its identity in the plane.
const FILENAME: &str = "openapi.json";
/// A larger document fits in no message to the plane.
const LARGEST: usize = 10 * 1024 * 1024;
/// How deep it may be nested: the plane's JSON library refuses what is deeper than 1,000, and with it the message.
const DEEPEST: usize = 500;
/// What AWS adds for itself: policies, VPC endpoints, binary types.
const EXTENSION: &str = "x-amazon-apigateway-";

/// Reads the document of `address` from the account and region of `target`.
pub(super) async fn read(target: &Target, call: &Call, address: &StageAddress) -> Result<Document, Error> {
    let StageAddress { rest_api, stage, .. } = address;
    let operation = Operation::get("GetExport", format!("/restapis/{rest_api}/stages/{stage}/exports/oas30")).patient();
    let send = || {
        target
            .client
            .get_export()
            .rest_api_id(rest_api)
            .stage_name(stage)
            .export_type("oas30")
            .accepts("application/json")
            .send()
    };
    let answer = target.ask(call, &operation, send).await.map_err(explained)?;
    let bytes = answer.body.map(aws_smithy_types::Blob::into_inner).unwrap_or_default();
    let content = rewritten(&bytes, &address.invoke_url()).map_err(|unfit| {
        let sentence = format!("the OpenAPI document of {address} ({}) {unfit}", target.place);
        match unfit {
            Unfit::TooLarge(_) => Error::invalid(sentence),
            // What came is not what API Gateway wrote: it says nothing about the document, which may be there next time.
            Unfit::NotUtf8 | Unfit::NotJson(_) | Unfit::NotOpenApi | Unfit::TooDeep => {
                Error::unavailable(format!("{sentence}; look at proxies and endpointUrl"))
            }
        }
    })?;
    Ok(Document { kind: DocumentKind::Swagger, content, filename: FILENAME.into() })
}

/// A stage that AWS cannot export is told so in words that do not read like a fault of the agent.
fn explained(failure: Failure) -> Error {
    match failure.class() {
        Class::Invalid => failure.error.during("API Gateway cannot write an OpenAPI 3.0 document of it"),
        _ => failure.error,
    }
}

/// Why what was exported is not handed over.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("has {0} bytes and cannot fit in a message to the plane")]
    TooLarge(usize),
    #[error("is not UTF-8")]
    NotUtf8,
    #[error("is no JSON object: {0}")]
    NotJson(serde_json::Error),
    #[error("has no `openapi` at its top level")]
    NotOpenApi,
    #[error("is nested more than {DEEPEST} deep")]
    TooDeep,
}

/// The document with the URL that callers use as its only server, and without AWS's own additions at its top level.
fn rewritten(bytes: &[u8], url: &str) -> Result<String, Unfit> {
    if bytes.len() > LARGEST {
        return Err(Unfit::TooLarge(bytes.len()));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| Unfit::NotUtf8)?;
    let document: TopLevel<'_> = serde_json::from_str(text).map_err(Unfit::NotJson)?;
    if !document.0.iter().any(|(name, _)| name == "openapi") {
        return Err(Unfit::NotOpenApi);
    }
    if is_deep(text) {
        return Err(Unfit::TooDeep);
    }
    let servers = serde_json::json!([{ "url": url }]).to_string();
    let mut out = String::with_capacity(text.len() + servers.len() + 16);
    out.push('{');
    let mut has_servers = false;
    for (name, value) in &document.0 {
        if name.starts_with(EXTENSION) || (name == "servers" && has_servers) {
            continue;
        }
        let value = if name == "servers" {
            has_servers = true;
            &servers
        } else {
            value.get()
        };
        entry(&mut out, name, value);
    }
    if !has_servers {
        entry(&mut out, "servers", &servers);
    }
    out.push('}');
    Ok(out)
}

/// Whether objects and arrays lie deeper in each other than the plane's reader goes. `text` is JSON.
fn is_deep(text: &str) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    text.bytes().any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > DEEPEST
    })
}

fn entry(out: &mut String, name: &str, value: &str) {
    if out.len() > 1 {
        out.push(',');
    }
    out.push_str(&serde_json::Value::from(name).to_string());
    out.push(':');
    out.push_str(value);
}

/// The entries of a JSON object in their order, each value as it was written.
struct TopLevel<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for TopLevel<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Entries).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://a1.execute-api.eu-west-1.amazonaws.com/prod";

    #[test]
    fn servers_are_replaced_and_extensions_removed() {
        let document = r#"{
  "openapi" : "3.0.1",
  "info" : {"title": "Orders", "version": "2026-06-25T06:52:05Z"},
  "servers" : [{"url": "https://a1.execute-api.eu-west-1.amazonaws.com/{basePath}",
    "variables": {"basePath": {"default": "prod"}}}],
  "paths" : {"/orders": {"get": {"x-keep": 1.0}}},
  "x-amazon-apigateway-policy": {"Statement": []},
  "x-own": true
}"#;
        assert_eq!(
            rewritten(document.as_bytes(), URL).unwrap(),
            format!(
                r#"{{"openapi":"3.0.1","info":{{"title": "Orders", "version": "2026-06-25T06:52:05Z"}},"servers":[{{"url":"{URL}"}}],"paths":{{"/orders": {{"get": {{"x-keep": 1.0}}}}}},"x-own":true}}"#
            )
        );
    }

    #[test]
    fn servers_are_added_where_there_are_none() {
        assert_eq!(
            rewritten(br#"{"openapi":"3.0.1"}"#, "u").unwrap(),
            r#"{"openapi":"3.0.1","servers":[{"url":"u"}]}"#
        );
    }

    #[test]
    fn names_keep_their_escapes() {
        assert_eq!(
            rewritten(br#"{"openapi":"3","a\"\n":1}"#, "u").unwrap(),
            r#"{"openapi":"3","a\"\n":1,"servers":[{"url":"u"}]}"#
        );
    }

    #[test]
    fn what_is_too_deep() {
        let nested =
            |depth: usize| format!(r#"{{"openapi":"[[[\"{{","a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(rewritten(nested(DEEPEST - 1).as_bytes(), URL).is_ok());
        assert!(rewritten(nested(DEEPEST).as_bytes(), URL).unwrap_err().to_string().contains("500 deep"));
    }

    #[test]
    fn what_is_no_document() {
        for (bytes, says) in [
            (&b""[..], "no JSON object"),
            (b"[]", "no JSON object"),
            (b"\"text\"", "no JSON object"),
            (b"openapi: 3.0.1", "no JSON object"),
            (b"{\"a\":1} x", "no JSON object"),
            (b"{\"message\":\"sorry\"}", "no `openapi`"),
            (b"{\"a\":\"\xff\"}", "not UTF-8"),
        ] {
            assert!(rewritten(bytes, URL).unwrap_err().to_string().contains(says), "{bytes:?}");
        }
        let large = vec![b' '; LARGEST + 1];
        assert!(rewritten(&large, URL).unwrap_err().to_string().contains("cannot fit"));
    }
}

//! `GetExport`: the OpenAPI 3.0 document of a stage, made when it is asked for.

use aws_smithy_types::{DateTime, date_time::Format};
use serde_json::{Map, Value, json};

use super::{
    answer::Answer,
    apis,
    estate::{Method, Region, RestApi},
    identity::domain,
    query::Query,
};

/// How many bytes one filling schema has, about.
const FILLING: usize = 1_000;

/// `GetExport` of a REST API's stage in the region of that name.
pub(super) fn export(
    region: &Region,
    region_name: &str,
    (api_id, stage, kind): (&str, &str, &str),
    query: &Query,
) -> Result<Answer, Answer> {
    let (api, stage) = apis::stage(region, api_id, stage)?;
    if kind != "oas30" {
        return Err(Answer::bad_request("Unsupported export type. The stand-in writes oas30 only"));
    }
    let with_backend = query.get("extensions").is_some_and(|names| names.contains("integrations"));
    let mut document = document(api, &stage.name, region_name, with_backend);
    fill(&mut document, api.document_bytes);
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    let disposition = format!("attachment; filename=\"{kind}_{}.json\"", stage.updated);
    Ok(Answer::raw(200, "application/octet-stream", text).with("content-disposition", disposition))
}

fn document(api: &RestApi, stage: &str, region: &str, with_backend: bool) -> Value {
    let stamp = i64::try_from(api.created).ok().and_then(|at| DateTime::from_secs(at).fmt(Format::DateTime).ok());
    let mut info = json!({
        "title": api.name,
        "version": api.version.clone().or(stamp).unwrap_or_default(),
    });
    apis::put(&mut info, "description", api.description.as_deref());
    let mut paths = Map::new();
    for method in &api.methods {
        let path = paths.entry(method.path.clone()).or_insert_with(|| json!({}));
        path[method.verb.to_lowercase()] = operation(api, method, with_backend);
    }
    let base_path = if api.slashed_base_path { format!("/{stage}") } else { stage.to_owned() };
    let mut components = json!({
        "schemas": { "Empty": { "title": "Empty Schema", "type": "object" } },
    });
    if api.methods.iter().any(|method| method.key_required) {
        components["securitySchemes"] = json!({ "api_key": { "type": "apiKey", "name": "x-api-key", "in": "header" } });
    }
    json!({
        "openapi": "3.0.1",
        "info": info,
        "servers": [{
            "url": format!("https://{}.execute-api.{region}.{}/{{basePath}}", api.id, domain(region)),
            "variables": { "basePath": { "default": base_path } },
        }],
        "paths": paths,
        "components": components,
    })
}

fn operation(api: &RestApi, method: &Method, with_backend: bool) -> Value {
    let parameters: Vec<Value> = method
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    let mut operation = json!({
        "responses": {
            "200": {
                "description": "200 response",
                "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Empty" } } },
            },
        },
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if method.key_required {
        operation["security"] = json!([{ "api_key": [] }]);
    }
    if with_backend {
        operation["x-amazon-apigateway-integration"] = json!({
            "type": "http_proxy",
            "httpMethod": method.verb,
            "uri": format!("https://backend.internal/{}{}", api.id, method.path),
        });
    }
    operation
}

/// Adds schemas until the document has at least `bytes` bytes.
fn fill(document: &mut Value, bytes: usize) {
    let text = "Lorem ipsum dolor sit amet. ".repeat(FILLING / 28);
    for nth in 0..bytes.div_ceil(FILLING) {
        document["components"]["schemas"][format!("Filling{nth:06}")] =
            json!({ "type": "string", "description": text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exported(api: RestApi, region_name: &str, query: &str) -> Value {
        let id = api.id.clone();
        let region = Region { apis: vec![api], ..Region::default() };
        let answer = export(&region, region_name, (&id, "prod", "oas30"), &Query::read(query.as_bytes())).unwrap();
        serde_json::from_slice(&answer.body).unwrap()
    }

    #[test]
    fn a_document_names_its_host_its_stage_and_its_keyed_operations() {
        let api = RestApi::new("abcdefghij", "Pets").stage("prod").method("GET", "/pets/{id}").open_method("GET", "/");
        let document = exported(api, "cn-north-1", "");
        assert_eq!(
            document["servers"][0]["url"],
            "https://abcdefghij.execute-api.cn-north-1.amazonaws.com.cn/{basePath}"
        );
        assert_eq!(document["servers"][0]["variables"]["basePath"]["default"], "prod");
        assert_eq!(document["info"]["version"], "2023-11-14T22:13:20Z");
        assert_eq!(document["paths"]["/pets/{id}"]["get"]["security"], json!([{ "api_key": [] }]));
        assert_eq!(document["paths"]["/"]["get"].get("security"), None);
        assert!(!document.to_string().contains("backend.internal"));
    }

    #[test]
    fn the_backend_is_told_only_when_asked_for() {
        let api = RestApi::new("abcdefghij", "Pets").stage("prod").method("GET", "/pets");
        assert!(exported(api, "eu-west-1", "extensions=integrations").to_string().contains("backend.internal"));
    }

    #[test]
    fn a_document_is_as_large_as_asked_for() {
        let api = RestApi::new("abcdefghij", "Pets").stage("prod").document_bytes(100_000);
        let length = exported(api, "eu-west-1", "").to_string().len();
        assert!((100_000..120_000).contains(&length), "{length}");
    }
}

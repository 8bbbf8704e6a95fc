//! An API, as the plane reads it.

use serde::Deserialize;

use super::{
    Fault, document_kind, metadata_format, plan_security,
    text::{Text, TextMap},
};
use crate::model;

/// An API, as the plane reads it.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::exchange) struct Api {
    unique_id: Text,
    id: Text,
    name: Text,
    version: Text,
    description: Text,
    connection_details: TextMap,
    #[serde(rename = "type")]
    kind: Text,
    pages: Option<Vec<Page>>,
    plans: Option<Vec<Plan>>,
    metadata: Option<Vec<Metadata>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Page {
    #[serde(rename = "pageType")]
    kind: Text,
    content: Text,
    filename: Text,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Plan {
    id: Text,
    name: Text,
    description: Text,
    #[serde(rename = "planSecurityType")]
    security: Text,
    characteristics: Option<Vec<Text>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Metadata {
    name: Text,
    value: Text,
    format: Text,
}

fn listed<T>(word: Text, what: &str, of: fn(&str) -> Option<T>) -> Result<T, Fault> {
    let word = word.or_empty();
    of(&word).ok_or_else(|| format!("{what} cannot be '{word}'"))
}

impl Api {
    /// The API; refused for one enum value that is not listed.
    pub(in crate::exchange) fn read(self) -> Result<model::Api, Fault> {
        if let Some(kind) = self.kind.0.filter(|kind| kind != "PROXY" && kind != "MESSAGE") {
            return Err(format!("an API's type cannot be '{kind}'"));
        }
        let pages = self.pages.unwrap_or_default().into_iter().map(|page| {
            Ok(model::Document {
                kind: listed(page.kind, "a page's type", document_kind)?,
                content: page.content.or_empty(),
                filename: page.filename.or_empty(),
            })
        });
        let plans = self.plans.unwrap_or_default().into_iter().map(|plan| {
            Ok(model::Plan {
                id: plan.id.or_empty(),
                name: plan.name.or_empty(),
                description: plan.description.0,
                security: listed(plan.security, "a plan's security", plan_security)?,
                characteristics: plan
                    .characteristics
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|text| text.0)
                    .collect(),
            })
        });
        let metadata = self.metadata.unwrap_or_default().into_iter().map(|entry| {
            Ok(model::Metadata {
                name: entry.name.or_empty(),
                value: entry.value.or_empty(),
                format: listed(entry.format, "a metadata's format", metadata_format)?,
            })
        });
        Ok(model::Api {
            unique_id: self.unique_id.or_empty(),
            id: self.id.or_empty(),
            name: self.name.or_empty(),
            version: self.version.0,
            description: self.description.0,
            connection: self.connection_details.into(),
            plans: plans.collect::<Result<_, Fault>>()?,
            documents: pages.collect::<Result<_, Fault>>()?,
            metadata: metadata.collect::<Result<_, Fault>>()?,
        })
    }
}

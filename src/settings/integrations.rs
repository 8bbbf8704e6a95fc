//! The provider entries: which gateways are federated, as which integrations.

use std::fmt::Write as _;

use secrecy::ExposeSecret;

use super::{
    Integration, KeyTable, Shape, Values,
    connector::is_placeholder,
    reader::{Reader, shown},
    suggest::nearest,
    tables::{PROVIDER, PROVIDERS},
};

/// Types of Gravitee's agents; those that are not among `kinds` are refused with a sentence of their own.
const GRAVITEES: [&str; 8] = [
    "aws-api-gateway",
    "azure-api-management",
    "apigee",
    "ibm-api-connect",
    "solace",
    "confluent-platform",
    "mulesoft",
    "edge-stack",
];

/// Reads all provider entries. Without a plane, an entry needs no integration id. What is wrong goes to the reader.
pub(super) fn read(
    reader: &mut Reader<'_>,
    kinds: &[(&'static str, &'static KeyTable)],
    with_plane: bool,
) -> Vec<Integration> {
    let mut indices = reader.indices(PROVIDERS);
    if indices.is_empty() {
        // So that the faults say what is missing.
        indices.push(0);
    }
    let mut integrations: Vec<Integration> = Vec::new();
    let mut ids: Vec<(String, String)> = Vec::new();
    for index in indices {
        let base = format!("{PROVIDERS}[{index}]");
        let faults_before = reader.faults.len();
        let entry = reader.values(&PROVIDER, &base);
        if !with_plane {
            let id_variable = entry.variable("integrationId");
            if !entry.is_given("integrationId") {
                let kept: Vec<_> = reader.faults.drain(faults_before..).filter(|f| f.variable != id_variable).collect();
                reader.faults.extend(kept);
            }
        } else if let Some(id) = entry.text("integrationId") {
            check_id(reader, &entry, id, &mut ids);
        }
        let configuration = format!("{base}.configuration");
        let Some(kind) = entry.text("type") else {
            reader.take_below(&configuration);
            continue;
        };
        let Some((kind, table)) = kinds.iter().find(|(name, _)| *name == kind) else {
            unknown_type(reader, &entry, kind, kinds);
            reader.take_below(&configuration);
            continue;
        };
        let values = reader.values(table, &configuration);
        warn_of_placeholders(reader, table, &values);
        let id = entry.text("integrationId").map_or_else(|| format!("integration-{index}"), str::to_owned);
        integrations.push(Integration { index, kind: (*kind).to_owned(), id, values });
    }
    integrations
}

/// What is left over from an example. A warning only: nobody knows what a gateway's password may look like.
fn warn_of_placeholders(reader: &mut Reader<'_>, table: &KeyTable, values: &Values) {
    for key in table.keys {
        let text = match key.shape {
            Shape::Text => values.text(key.name),
            Shape::Secret => values.secret(key.name).map(ExposeSecret::expose_secret),
            _ => None,
        };
        let left_over = text.is_some_and(|text| {
            text.starts_with("${")
                || [('<', '>'), ('[', ']')].iter().any(|(a, b)| text.starts_with(*a) && text.ends_with(*b))
        });
        if left_over {
            let name = values.variable(key.name);
            reader.warnings.push(format!("{name} looks like the placeholder of an example, and is used as it is"));
        }
    }
}

fn check_id(reader: &mut Reader<'_>, entry: &Values, id: &str, ids: &mut Vec<(String, String)>) {
    let name = entry.variable("integrationId");
    let accepted = "the id that the console shows for the integration is accepted, like \
                    f3b1c6a2-9d4e-4c57-8a30-2b6f0e1d9c84";
    if is_placeholder(id) {
        reader.fault(&name, Some(shown(id)), format!("this is the placeholder of an example; {accepted}"));
    } else if id.chars().any(|c| c.is_whitespace() || c.is_control()) {
        reader.fault(&name, Some(shown(id)), format!("an id has no blanks; {accepted}"));
    }
    match ids.iter().find(|(known, _)| known == id) {
        Some((_, first)) => {
            let says = format!("{first} has the same id; each provider entry needs an integration of its own");
            reader.fault(&name, Some(shown(id)), says);
        }
        None => ids.push((id.to_owned(), name)),
    }
}

fn unknown_type(reader: &mut Reader<'_>, entry: &Values, kind: &str, kinds: &[(&'static str, &'static KeyTable)]) {
    let known: Vec<&str> = kinds.iter().map(|(name, _)| *name).collect();
    let mut says = if GRAVITEES.contains(&kind) {
        format!("this agent does not speak to this kind of gateway yet; {} is accepted", known.join(" or "))
    } else {
        format!("there is no such type; {} is accepted", known.join(" or "))
    };
    if let Some(near) = nearest(kind, known.iter().copied()).filter(|_| !GRAVITEES.contains(&kind)) {
        let _ = write!(says, "; did you mean {near}?");
    }
    reader.fault(&entry.variable("type"), Some(shown(kind)), says);
}

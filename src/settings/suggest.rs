//! What a name that stands for nothing was probably meant to be.

use std::fmt::Write as _;

use super::{
    Environment, Fault, Key, KeyTable, Shape,
    binding::{INDICES, PREFIXES, fold},
    process,
    reader::{Reader, join},
    tables,
};

/// Properties of Gravitee's agent that this one does not need, with what is to be said of them. Folded; one that ends
/// with `_` stands for all below it.
const NOT_NEEDED: [(&str, &str); 21] = [
    ("integration_connector_ws_keepalive", "connections are always kept alive"),
    ("integration_connector_ws_maxretry", "the agent tries again for ever"),
    ("services_core_http_alpn", "HTTP/1.1 is spoken"),
    ("services_core_endpoints_", "there is no Java machine whose heap or threads could be dumped"),
    ("services_health_", "/_node/health is always served, and its probes are looked at when it is asked"),
    ("services_metrics_", "the metrics have one form; see docs/observing.md"),
    ("services_", "the agent has no such service; see docs/observing.md"),
    ("secrets_", "only secrets of Kubernetes are resolved; see docs/files.md"),
    ("secret_", "secrets come from files; see the variables that end with _FILE"),
    ("cloud_", "only the token and the client's ssl and proxy are read"),
    ("node_", "see FEDERATION_AGENT_LOG"),
    ("log_level", "see FEDERATION_AGENT_LOG"),
    ("logging_", "see FEDERATION_AGENT_LOG"),
    ("http_", "see FEDERATION_AGENT_LISTEN"),
    ("cluster_", "the agent needs no cluster"),
    ("cache_", "the agent needs no cache"),
    ("plugins_", "there are no plug-ins"),
    ("license_", "the plane has the licence"),
    ("organization_", "the organization comes from the token"),
    ("home", "there is nothing to be found there"),
    ("conf", "see FEDERATION_AGENT_CONFIG"),
];

/// Variables without Gravitee's prefix that its compose files and templates have.
const OF_COMPOSE: [(&str, &str); 4] = [
    ("ROLE_BASED_AUTH", "roles are assumed when roleArn is set"),
    ("WS_ORG_ID", "the organization comes from the token"),
    ("APIM_REGISTRY", "only compose reads it"),
    ("AGENT_VERSION", "only compose reads it"),
];

/// How many letters may be wrong in a name for it to be taken for a slip of the pen.
const FARTHEST: usize = 4;

/// Looks for names that stand for nothing, or cannot be read.
pub(super) fn check_names(reader: &mut Reader<'_>, kinds: &[(&'static str, &'static KeyTable)]) {
    let mut warnings = Vec::new();
    let left_over = reader.left_over();
    // Most starts have nothing left over, and need no list of names.
    let known = if left_over.is_empty() { Vec::new() } else { known_names(kinds) };
    let faults = &mut reader.faults;
    for (name, rest) in left_over {
        if is_of_kubernetes(rest) || not_needed(rest, &known).is_some() {
            continue;
        }
        let of_file = reader.environment.layers().property(name).is_some();
        let (near, near_property) = meant(rest, &known).unzip();
        // What is missing is said already: there the hint is of more use.
        let missing = faults.iter_mut().find(|fault| Some(&fault.variable) == near.as_ref() && fault.found.is_none());
        if let Some(fault) = missing {
            let _ = write!(fault.says, ". {name} is set, and stands for nothing: was it meant to be this one?");
        }
        let near = if of_file { near_property } else { near };
        warnings.push(match (too_far(rest), near) {
            (Some(index), _) => {
                format!("{name} is not read: indices go from 0 to {}, and {index} is beyond", INDICES - 1)
            }
            (None, Some(near)) => format!("{name} is not known; did you mean {near}?"),
            (None, None) => format!("{name} is not known and not read"),
        });
    }
    for name in reader.environment.names() {
        if is_empty(reader.environment, name) {
            continue;
        }
        let other_case = name.len() > 9
            && name.is_char_boundary(9)
            && PREFIXES.iter().any(|prefix| name[..9].eq_ignore_ascii_case(prefix))
            && !PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if other_case {
            warnings.push(format!("{name} is not read: names begin with gravitee_ or GRAVITEE_, in one case"));
        }
        let Some(rest) = name.strip_prefix(process::PREFIX) else { continue };
        if process::KEYS.iter().any(|key| key.name == rest) || is_of_kubernetes(rest) {
            continue;
        }
        let names = process::KEYS.iter().map(|key| key.name);
        warnings.push(match nearest(rest, names) {
            Some(near) => format!("{name} is not known; did you mean {}{near}?", process::PREFIX),
            None => format!("{name} is not known and not read"),
        });
    }
    for name in reader.environment.not_text() {
        if name.starts_with(process::PREFIX) || PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            reader.faults.push(Fault {
                variable: name.clone(),
                found: None,
                says: "its value is not UTF-8 text, which alone is accepted".into(),
            });
        }
    }
    reader.warnings.extend(warnings);
}

/// What is set that Gravitee's agent knows and this one does not need; for `config`.
pub(super) fn notes(reader: &Reader<'_>, kinds: &[(&'static str, &'static KeyTable)]) -> Vec<String> {
    let known = known_names(kinds);
    let mut notes = reader.notes.clone();
    let left_over = reader.left_over().into_iter();
    notes.extend(
        left_over.filter_map(|(name, rest)| Some(format!("{name} is not needed: {}", not_needed(rest, &known)?))),
    );
    for (name, why) in OF_COMPOSE {
        if reader.environment.get(name).is_some_and(|value| !value.is_empty()) {
            notes.push(format!("{name} is not needed: {why}"));
        }
    }
    notes
}

fn is_empty(environment: &Environment, name: &str) -> bool {
    environment.get(name).is_none_or(|value| value.trim().is_empty())
}

/// Why `rest` is not needed. What looks like a slip of the pen in a declared name is not excused.
fn not_needed(rest: &str, known: &[Known]) -> Option<&'static str> {
    let folded = fold(rest);
    if let Some((_, why)) = NOT_NEEDED.iter().find(|(name, _)| folded == *name) {
        return Some(why);
    }
    // What protects the surface must not be taken for something that is not needed.
    if folded.starts_with("services_core_http_") {
        return None;
    }
    let (_, why) = NOT_NEEDED.iter().find(|(name, _)| name.ends_with('_') && folded.starts_with(name))?;
    meant(rest, known).is_none().then_some(*why)
}

/// Kubernetes puts such variables into every container for every service of the namespace.
fn is_of_kubernetes(rest: &str) -> bool {
    let numbered = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let rest = format!("_{rest}");
    if rest.ends_with("_SERVICE_HOST") || rest.contains("_SERVICE_PORT") || rest.ends_with("_PORT") {
        return true;
    }
    rest.match_indices("_PORT_").any(|(at, word)| {
        let mut parts = rest[at + word.len()..].split('_');
        parts.next().is_some_and(numbered) && parts.next().is_some_and(|kind| matches!(kind, "TCP" | "UDP" | "SCTP"))
    })
}

/// An index of the name that is beyond what is asked for.
fn too_far(rest: &str) -> Option<&str> {
    rest.split(['_', '.', '[', ']'])
        .find(|part| part.len() > 2 && part.len() < 10 && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A declared name, with `N` for an index.
struct Known {
    /// `gravitee_integration_providers_N_type`.
    variable: String,
    /// `integration.providers[N].type`.
    property: String,
}

/// Every declared name of Gravitee's.
fn known_names(kinds: &[(&'static str, &'static KeyTable)]) -> Vec<Known> {
    let mut names = Vec::new();
    for section in tables::sections(kinds) {
        let mut add = |key: &Key, variable: String, property: String| {
            let mut add = |ends: [&str; 2]| {
                names.push(Known {
                    variable: format!("{variable}{}", ends[0]),
                    property: format!("{property}{}", ends[1]),
                });
            };
            match key.shape {
                Shape::List => add(["_N", "[N]"]),
                Shape::Secret => add(["_FILE", "_FILE"]),
                _ => {}
            }
            add(["", ""]);
        };
        for key in section.table.keys {
            add(key, section.variable(key), join(&section.base, key.name));
        }
        for group in section.table.groups {
            for key in group.keys {
                let property = join(&section.base, &format!("{}[N].{}", group.name, key.name));
                add(key, section.group_variable(group, key), property);
            }
        }
    }
    names
}

/// The declared variable and property that are nearest to `rest`, with the indices of `rest`.
fn meant(rest: &str, known: &[Known]) -> Option<(String, String)> {
    let mut indices = Vec::new();
    let folded = fold(rest);
    let parts: Vec<&str> = folded
        .split('_')
        .map(|part| {
            let is_index = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            if is_index {
                indices.push(part.to_owned());
            }
            if is_index { "N" } else { part }
        })
        .collect();
    let asked = format!("gravitee_{}", parts.join("_"));
    let near = known
        .iter()
        .filter(|one| one.variable.len().abs_diff(asked.len()) <= FARTHEST)
        .map(|one| (strsim::osa_distance(&asked, &fold_keeping_n(&one.variable)), one))
        .filter(|(distance, _)| *distance <= FARTHEST)
        .min_by_key(|(distance, _)| *distance)?
        .1;
    let mut property = near.property.clone();
    for index in &indices {
        property = property.replacen("[N]", &format!("[{index}]"), 1);
    }
    let mut indices = indices.into_iter();
    let parts: Vec<String> = near
        .variable
        .split('_')
        .map(|part| if part == "N" { indices.next().unwrap_or_else(|| "0".into()) } else { part.to_owned() })
        .collect();
    Some((parts.join("_"), property.replace("[N]", "[0]")))
}

fn fold_keeping_n(name: &str) -> String {
    name.split('_').map(|part| if part == "N" { part.to_owned() } else { fold(part) }).collect::<Vec<_>>().join("_")
}

/// The one of `known` that `text` was probably meant to be.
pub(super) fn nearest<'n>(text: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let text = text.to_lowercase();
    known
        .map(|name| (strsim::normalized_damerau_levenshtein(&text, &name.to_lowercase()), name))
        .filter(|(likeness, _)| *likeness >= 0.5)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, name)| name)
}

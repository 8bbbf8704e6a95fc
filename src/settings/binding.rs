//! Gravitee's relaxed binding: which environment variables can stand for a property.
//!
//! A property is asked for by its full name, `integration.connector.ws.endpoints[0]`. Names of variables are never
//! taken apart, since `_` is both a separator and a letter of some keys.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Environment,
    files::{Layers, Leaf},
};

/// How a variable that stands for a property may begin; other mixtures of case are not read.
pub(super) const PREFIXES: [&str; 4] = ["gravitee_", "gravitee.", "GRAVITEE_", "GRAVITEE."];

/// Indices that are asked for: 0 to 99.
pub(super) const INDICES: usize = 100;

/// The variables that begin with one of the prefixes, by what follows the prefix.
#[derive(Debug)]
pub(super) struct Variables<'e> {
    by_rest: BTreeMap<&'e str, Vec<(&'e str, &'e str)>>,
    /// Those that are there and empty.
    empty: BTreeMap<&'e str, &'e str>,
    /// Every name that is not empty, folded as [`fold`] does: finds out in one step that nothing can be there.
    folded: BTreeSet<String>,
}

impl<'e> Variables<'e> {
    pub(super) fn of(environment: &'e Environment) -> Self {
        let mut names = Self { by_rest: BTreeMap::new(), empty: BTreeMap::new(), folded: BTreeSet::new() };
        for (name, value) in environment.iter() {
            if let Some(rest) = PREFIXES.iter().find_map(|prefix| name.strip_prefix(prefix)) {
                if value.trim().is_empty() {
                    names.empty.insert(rest, name);
                    continue;
                }
                names.by_rest.entry(rest).or_default().push((name, value));
                names.folded.insert(fold(rest));
            }
        }
        for variables in names.by_rest.values_mut() {
            // The spelling of the documentation first.
            variables.sort_by_key(|(name, _)| PREFIXES.iter().position(|prefix| name.starts_with(prefix)));
        }
        names
    }

    /// The variables that stand for `property`, the first of them binding: name and value.
    pub(super) fn find(&self, property: &str, suffix: &str) -> Vec<(&'e str, &'e str)> {
        if !self.folded.contains(&fold(&format!("{property}{suffix}"))) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for spelling in spellings(property) {
            for suffix in [suffix.to_owned(), suffix.to_uppercase()].iter().take(1 + usize::from(!suffix.is_empty())) {
                for variable in self.by_rest.get(format!("{spelling}{suffix}").as_str()).into_iter().flatten() {
                    if !found.contains(variable) {
                        found.push(*variable);
                    }
                }
            }
        }
        found
    }

    /// The empty variable that stands for `property`.
    fn find_empty(&self, property: &str) -> Option<&'e str> {
        if self.empty.is_empty() {
            return None;
        }
        spellings(property).iter().find_map(|spelling| self.empty.get(spelling.as_str()).copied())
    }

    /// Whether any variable can stand for something below `property`.
    pub(super) fn any_below(&self, property: &str) -> bool {
        let start = format!("{}_", fold(property));
        self.folded.range(start.clone()..).next().is_some_and(|name| name.starts_with(&start))
    }

    /// Whether any variable can stand for an entry of the list `property`.
    fn any_entry(&self, property: &str) -> bool {
        let (from, to) = entries_of(property);
        self.folded.range(from..to).next().is_some()
    }
}

/// Everything that can stand for a property: the variables, and below them what files and options for Java have.
#[derive(Debug)]
pub(super) struct Names<'e> {
    variables: Variables<'e>,
    layers: &'e Layers,
}

impl<'e> Names<'e> {
    pub(super) fn of(environment: &'e Environment) -> Self {
        Self { variables: Variables::of(environment), layers: environment.layers() }
    }

    /// What stands for `property`, the first of it binding: name and value. A variable that is there, also an empty one,
    /// hides what stands below the environment.
    pub(super) fn find(&self, property: &str, suffix: &str) -> Vec<(&'e str, &'e str)> {
        let found = self.variables.find(property, suffix);
        if !found.is_empty() || self.variables.find_empty(property).is_some() {
            return found;
        }
        let leaf = self.below(property, suffix);
        leaf.map(|leaf| (leaf.label.as_str(), leaf.value.as_str())).into_iter().collect()
    }

    /// What stands below the environment for `property`, hidden or not.
    pub(super) fn below(&self, property: &str, suffix: &str) -> Option<&'e Leaf> {
        self.layers.find(property, suffix)
    }

    /// The variable that is there for `property`, and is empty.
    pub(super) fn empty_variable(&self, property: &str) -> Option<&'e str> {
        self.variables.find_empty(property)
    }

    /// Whether anything can stand for something below `property`.
    pub(super) fn any_below(&self, property: &str) -> bool {
        self.variables.any_below(property) || self.layers.any_from(&format!("{}_", fold(property)))
    }

    /// Whether anything can stand for an entry of the list `property`.
    pub(super) fn any_entry(&self, property: &str) -> bool {
        let (from, to) = entries_of(property);
        self.variables.any_entry(property) || self.layers.any_between(from, to)
    }

    /// All names that are not empty, with the property: what follows the prefix of a variable.
    pub(super) fn all(&self) -> impl Iterator<Item = (&'e str, &'e str)> {
        let variables = self.variables.by_rest.iter();
        let variables = variables.flat_map(|(rest, variables)| variables.iter().map(|(name, _)| (*name, *rest)));
        variables.chain(self.layers.all())
    }
}

/// Between which folded names the entries of the list `property` stand. In ASCII the colon comes after the digits.
fn entries_of(property: &str) -> (String, String) {
    let list = fold(property);
    (format!("{list}_0"), format!("{list}_:"))
}

/// How `property` may be written, the first that is there binding: as it is, dots to `_`, without hyphens, both, with
/// `[n]` as `.n` the same again, and all that in upper case.
pub(super) fn spellings(property: &str) -> Vec<String> {
    let mut spellings = Vec::with_capacity(16);
    let mut add = |spelling: String| {
        if !spellings.contains(&spelling) {
            spellings.push(spelling);
        }
    };
    let dotted = property.replace('[', ".").replace(']', "");
    for case in [str::to_owned, str::to_uppercase] {
        for name in [property, dotted.as_str()] {
            let plain = name.replace('-', "");
            for spelling in [name.to_owned(), name.replace('.', "_"), plain.clone(), plain.replace('.', "_")] {
                add(case(&spelling));
            }
        }
    }
    spellings
}

/// The variable's name as the documentation writes it.
pub(super) fn variable(property: &str) -> String {
    format!("gravitee_{}", property.replace('[', ".").replace([']', '-'], "").replace('.', "_"))
}

/// One form for all spellings. It joins more than Gravitee's rules do, so it only ever says what can *not* be there.
pub(super) fn fold(name: &str) -> String {
    name.chars()
        .filter(|letter| !matches!(letter, ']' | '-'))
        .map(|letter| if matches!(letter, '.' | '[') { '_' } else { letter.to_ascii_lowercase() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_gravitees_rules_and_no_other() {
        assert_eq!(
            spellings("a.endpointUrls[0].max-size"),
            [
                "a.endpointUrls[0].max-size",
                "a_endpointUrls[0]_max-size",
                "a.endpointUrls[0].maxsize",
                "a_endpointUrls[0]_maxsize",
                "a.endpointUrls.0.max-size",
                "a_endpointUrls_0_max-size",
                "a.endpointUrls.0.maxsize",
                "a_endpointUrls_0_maxsize",
                "A.ENDPOINTURLS[0].MAX-SIZE",
                "A_ENDPOINTURLS[0]_MAX-SIZE",
                "A.ENDPOINTURLS[0].MAXSIZE",
                "A_ENDPOINTURLS[0]_MAXSIZE",
                "A.ENDPOINTURLS.0.MAX-SIZE",
                "A_ENDPOINTURLS_0_MAX-SIZE",
                "A.ENDPOINTURLS.0.MAXSIZE",
                "A_ENDPOINTURLS_0_MAXSIZE",
            ]
        );
    }

    #[test]
    fn all_four_prefixes_bind_and_other_mixtures_do_not() {
        for (name, binds) in [
            ("gravitee_integration_providers_0_integrationId", true),
            ("gravitee.integration.providers[0].integrationId", true),
            ("GRAVITEE_INTEGRATION_PROVIDERS_0_INTEGRATIONID", true),
            ("GRAVITEE.integration.providers.0.integrationId", true),
            ("gravitee_INTEGRATION_PROVIDERS_0_INTEGRATIONID", true),
            ("Gravitee_integration_providers_0_integrationId", false),
            ("gravitee_integration_providers_0_integrationid", false),
            ("gravitee_integration_providers_0_integration_id", false),
            ("gravitee_integration.providers_0_integrationId", false),
            ("integration_providers_0_integrationId", false),
        ] {
            let environment: Environment = [(name, "x")].into_iter().collect();
            let found = Names::of(&environment).find("integration.providers[0].integrationId", "");
            assert_eq!(!found.is_empty(), binds, "{name}");
        }
    }

    #[test]
    fn empty_variables_are_not_there() {
        let environment: Environment = [("gravitee_a_b", ""), ("gravitee_a_c", "  ")].into_iter().collect();
        assert!(!Names::of(&environment).any_below("a"));
        assert_eq!(Names::of(&environment).empty_variable("a.b"), Some("gravitee_a_b"));
    }

    #[test]
    fn the_documented_spelling_of_a_variable() {
        assert_eq!(variable("integration.connector.ws.endpoints[0]"), "gravitee_integration_connector_ws_endpoints_0");
    }
}

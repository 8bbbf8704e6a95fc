//! What was read for the keys of a table.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use secrecy::SecretString;

use super::{Environment, Fault, Faults, KeyTable, named::Named, reader::Reader};

/// Values by declared key, checked for their shape, the table's defaults applied; empty texts are not there.
///
/// Asking for a key that the table does not declare is a fault of the program (a debug assertion).
#[derive(Debug, Clone, Default)]
pub struct Values {
    by_key: BTreeMap<&'static str, Value>,
    groups: BTreeMap<&'static str, Vec<Values>>,
    variables: BTreeMap<&'static str, String>,
    given: BTreeSet<&'static str>,
    /// The variable of each entry of a list.
    entries: BTreeMap<&'static str, Vec<String>>,
}

/// A checked value. Its `Debug` form hides secrets, also the password of an address.
#[derive(Clone)]
pub(super) enum Value {
    Text(String),
    Secret(SecretString),
    Flag(bool),
    Number(u64),
    Decimal(f64),
    List(Vec<String>),
    Span(Duration),
    Secrets(Vec<Named>),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Values {
    /// Reads `pairs`, named as below the prefix (`stage_0`, `accounts_0_roleArn`), by `table`. For tests.
    ///
    /// A pair that `table` does not declare is a fault here, so that a test cannot pass by a typing error.
    pub fn of(table: &'static KeyTable, prefix: &str, pairs: &[(&str, &str)]) -> Result<Self, Faults> {
        let base = ["gravitee_", "gravitee.", "GRAVITEE_", "GRAVITEE."]
            .iter()
            .find_map(|start| prefix.strip_prefix(start))
            .unwrap_or(prefix)
            .trim_end_matches(['_', '.']);
        let below = |name: &str| if base.is_empty() { name.to_owned() } else { format!("{base}_{name}") };
        let environment: Environment =
            pairs.iter().map(|(name, value)| (format!("gravitee_{}", below(name)), *value)).collect();
        let mut reader = Reader::new(&environment);
        let values = reader.values(table, base);
        let mut faults = reader.faults;
        for (name, _) in environment.iter().filter(|(name, value)| !value.is_empty() && !reader.asked.contains(*name)) {
            faults.push(Fault {
                variable: name.to_owned(),
                found: None,
                says: "no key of the table has this name".into(),
            });
        }
        if faults.is_empty() { Ok(values) } else { Err(Faults(faults)) }
    }

    pub(super) fn put(&mut self, name: &'static str, variable: String, given: bool, value: Option<Value>) {
        self.variables.insert(name, variable);
        if given {
            self.given.insert(name);
        }
        if let Some(value) = value {
            self.by_key.insert(name, value);
        }
    }

    pub(super) fn put_entries(&mut self, name: &'static str, variables: Vec<String>) {
        self.entries.insert(name, variables);
    }

    pub(super) fn put_group(&mut self, name: &'static str, variable: String, entries: Vec<Values>) {
        self.variables.insert(name, variable);
        if !entries.is_empty() {
            self.given.insert(name);
        }
        self.groups.insert(name, entries);
    }

    /// The keys and groups for which there is a variable that is not empty, also one with a wrong value.
    pub(super) fn given(&self) -> impl Iterator<Item = &'static str> {
        self.given.iter().copied()
    }

    /// Whether there is a variable for `name` that is not empty, also one with a wrong value.
    pub fn is_given(&self, name: &str) -> bool {
        debug_assert!(self.variables.contains_key(name), "the table declares no key {name}");
        self.given.contains(name)
    }

    /// The text or word of `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.value(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The secret of `name`.
    pub fn secret(&self, name: &str) -> Option<&SecretString> {
        match self.value(name) {
            Some(Value::Secret(secret)) => Some(secret),
            _ => None,
        }
    }

    /// The list of `name`: trimmed, without blanks and doubles; empty when nothing is set.
    pub fn list(&self, name: &str) -> &[String] {
        match self.value(name) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    /// The flag of `name`; `false` when it is neither set nor has a default.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.value(name), Some(Value::Flag(true)))
    }

    /// The whole number of `name`; 0 when it is neither set nor has a default.
    pub fn number(&self, name: &str) -> u64 {
        match self.value(name) {
            Some(Value::Number(number)) => *number,
            _ => 0,
        }
    }

    /// The decimal number of `name`; 0 when it is neither set nor has a default.
    pub fn decimal(&self, name: &str) -> f64 {
        match self.value(name) {
            Some(Value::Decimal(number)) => *number,
            _ => 0.0,
        }
    }

    /// The time span of `name`; zero when it is neither set nor has a default.
    pub fn span(&self, name: &str) -> Duration {
        match self.value(name) {
            Some(Value::Span(span)) => *span,
            _ => Duration::ZERO,
        }
    }

    /// The secrets below `name`, by the names that were found there.
    pub fn named_secrets(&self, name: &str) -> &[Named] {
        match self.value(name) {
            Some(Value::Secrets(named)) => named,
            _ => &[],
        }
    }

    /// The entries of the group `name`, in the order of their indices.
    pub fn group(&self, name: &str) -> &[Values] {
        debug_assert!(self.variables.contains_key(name), "the table declares no group {name}");
        self.groups.get(name).map_or(&[], Vec::as_slice)
    }

    /// The environment variable of `name`, for error sentences: as the person wrote it, or as it would be written.
    pub fn variable(&self, name: &str) -> String {
        debug_assert!(self.variables.contains_key(name), "the table declares no key {name}");
        self.variables.get(name).cloned().unwrap_or_else(|| name.to_owned())
    }

    /// The environment variable of entry `n` of the list `name`; that of the list when there is no such entry.
    pub fn entry_variable(&self, name: &str, n: usize) -> String {
        let entry = self.entries.get(name).and_then(|variables| variables.get(n));
        entry.cloned().unwrap_or_else(|| self.variable(name))
    }

    fn value(&self, name: &str) -> Option<&Value> {
        debug_assert!(self.variables.contains_key(name), "the table declares no key {name}");
        self.by_key.get(name)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use secrecy::ExposeSecret;

    use super::*;
    use crate::{
        provider::aws::KEYS,
        settings::{Group, Key, Shape},
    };

    const PREFIX: &str = "gravitee_integration_providers_0_configuration_";

    fn aws(pairs: &[(&str, &str)]) -> Values {
        Values::of(&KEYS, PREFIX, pairs).unwrap()
    }

    #[test]
    fn defaults_of_the_table_are_applied() {
        let values = aws(&[]);
        assert!(!values.flag("acceptApiWithoutUsagePlan"));
        assert_eq!(values.text("apiName"), Some("{name} ({stage})"));
        assert!((values.decimal("callsPerSecond") - 8.0).abs() < f64::EPSILON);
        assert_eq!(values.number("burst"), 30);
        assert_eq!(values.text("callsPer"), Some("account"));
        assert_eq!(values.text("accessKeyId"), None);
        assert!(values.secret("secretAccessKey").is_none());
        assert!(values.list("region").is_empty());
        assert!(values.group("accounts").is_empty());
        assert_eq!(values.variable("region"), format!("{PREFIX}region"));
    }

    #[test]
    fn lists_come_in_every_spelling() {
        for pairs in [
            &[("stage", "prod, dev,,prod ,")][..],
            &[("stage_0", "prod"), ("stage_1", "dev")],
            &[("0_stage", "prod"), ("1_stage", "dev")],
            &[("stage_0", "prod"), ("1_stage", "dev"), ("stage_2", "prod")],
            &[("stage", "prod"), ("stage_0", "dev")],
            &[("stage_0", "prod"), ("stage_1", ""), ("stage_2", "dev")],
        ] {
            let values = aws(pairs);
            assert_eq!(values.list("stage"), ["prod", "dev"], "{pairs:?}");
            let second = pairs.iter().find(|(_, value)| value.contains("dev")).unwrap().0;
            assert_eq!(values.entry_variable("stage", 1), format!("{PREFIX}{second}"));
        }
        assert!(aws(&[("stage", " , ")]).list("stage").is_empty());
    }

    #[test]
    fn groups_hold_texts_and_lists() {
        let values = aws(&[
            ("accounts_0_roleArn", "arn:0"),
            ("accounts_0_regions_0", "eu-west-1"),
            ("accounts_0_regions_1", "eu-west-3"),
            ("accounts_1_roleArn", "arn:1"),
            ("accounts_1_externalId", "x"),
            ("accounts_1_stages", "prod"),
            ("accounts_2_roleArn", ""),
        ]);
        let [first, second] = values.group("accounts") else { panic!("two entries") };
        assert_eq!(first.text("roleArn"), Some("arn:0"));
        assert_eq!(first.list("regions"), ["eu-west-1", "eu-west-3"]);
        assert_eq!(second.text("externalId"), Some("x"));
        assert_eq!(second.list("stages"), ["prod"]);
        assert_eq!(second.variable("roleArn"), format!("{PREFIX}accounts_1_roleArn"));
    }

    #[test]
    fn empty_texts_are_not_there() {
        let values = aws(&[("accessKeyId", ""), ("secretAccessKey", ""), ("roleArn", "")]);
        assert_eq!(values.text("accessKeyId"), None);
        assert!(values.secret("secretAccessKey").is_none());
        assert!(values.list("roleArn").is_empty());
    }

    #[test]
    fn secrets_are_not_shown() {
        let values = aws(&[("secretAccessKey", "wJalrXUtnFEMI")]);
        assert_eq!(values.secret("secretAccessKey").unwrap().expose_secret(), "wJalrXUtnFEMI");
        assert!(!format!("{values:?}").contains("wJalr"));
    }

    #[test]
    fn every_wrong_value_is_a_fault() {
        let pairs = [
            ("burst", "0"),
            ("callsPerSecond", "-1"),
            ("callsPer", "planet"),
            ("acceptApiWithoutUsagePlan", "maybe"),
            ("accounts_0_regions", "eu-west-1"),
            ("regoin", "eu-west-1"),
        ];
        let faults = Values::of(&KEYS, "p", &pairs).unwrap_err();
        assert_eq!(
            faults.to_string(),
            "gravitee_p_acceptApiWithoutUsagePlan=maybe: true or false is accepted\n\
             gravitee_p_callsPerSecond=-1: a decimal number from 0.001 to 1000000 is accepted\n\
             gravitee_p_burst=0: a whole number from 1 to 1000 is accepted\n\
             gravitee_p_callsPer=planet: account or region is accepted\n\
             gravitee_p_accounts_0_roleArn: must be set. The role to assume in this account. For example: \
             arn:aws:iam::123456789012:role/GraviteeFederationDiscoveryRole\n\
             gravitee_p_regoin: no key of the table has this name"
        );
    }

    #[test]
    fn every_shape_has_its_accessor() {
        const fn key(name: &'static str, shape: Shape) -> Key {
            Key { name, shape, required: false, default: None, help: "", example: "" }
        }
        static TABLE: KeyTable = KeyTable {
            keys: &[
                key("wait", Shape::Span),
                key("trust.all", Shape::Flag),
                key("size", Shape::Number(0, u64::MAX)),
                key("word", Shape::Word(&["one", "Two"])),
            ],
            groups: &[Group { name: "users", help: "", keys: &[key("name", Shape::Text)] }],
        };
        let pairs = [("wait", "2m"), ("trust_all", "YES"), ("size", "7"), ("word", "two"), ("users_3_name", "ann")];
        let values = Values::of(&TABLE, "", &pairs).unwrap();
        assert_eq!(values.span("wait"), Duration::from_mins(2));
        assert!(values.flag("trust.all"));
        assert_eq!(values.number("size"), 7);
        assert_eq!(values.text("word"), Some("Two"));
        assert_eq!(values.group("users")[0].text("name"), Some("ann"));
        assert_eq!(values.variable("trust.all"), "gravitee_trust_all");
    }
}

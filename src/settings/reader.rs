//! Reads declared keys from the environment and collects what is wrong, what is doubtful, and what stands where.

use std::{cmp::Ordering, collections::BTreeSet, path::Path, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use super::{
    Environment, Fault, Key, KeyTable, Shape, Values,
    binding::{INDICES, Names, fold, variable},
    explain::{Setting, Source},
    files::{Leaf, SECRET},
    key::{GREATEST_DECIMAL, LEAST_DECIMAL},
    values::Value,
};

/// What stands for a secret wherever something is shown.
pub(super) const MASK: &str = "********";

/// One reading of an environment.
pub(super) struct Reader<'e> {
    pub(super) environment: &'e Environment,
    pub(super) names: Names<'e>,
    /// What is wrong.
    pub(super) faults: Vec<Fault>,
    /// What a person should know.
    pub(super) warnings: Vec<String>,
    /// What is set and not needed, for `config`.
    pub(super) notes: Vec<String>,
    /// Every key that was read, in the order of the tables, for `config`.
    pub(super) settings: Vec<Setting>,
    /// Every name that stands for a declared key: of a variable, or the label of what a file or an option has.
    pub(super) asked: BTreeSet<String>,
    /// The names whose value came by a reference to a secret: it is one, whatever the key is.
    hidden: BTreeSet<String>,
    /// Whether references to secrets are resolved. Not for those who only want to know which names there are.
    pub(super) resolves: bool,
    /// The variable of each entry of the list that was read last.
    entries: Vec<String>,
}

impl<'e> Reader<'e> {
    pub(super) fn new(environment: &'e Environment) -> Self {
        let layers = environment.layers();
        Self {
            environment,
            names: Names::of(environment),
            faults: layers.faults.clone(),
            warnings: layers.warnings.clone(),
            notes: layers.notes.clone(),
            settings: Vec::new(),
            asked: BTreeSet::new(),
            hidden: BTreeSet::new(),
            resolves: true,
            entries: Vec::new(),
        }
    }

    /// The values of `table` below `base`. What is wrong stands in `faults`; its key is as if it were not set.
    pub(super) fn values(&mut self, table: &KeyTable, base: &str) -> Values {
        let mut values = self.keys(table.keys, base);
        for group in table.groups {
            let list = join(base, group.name);
            let indices = self.indices(&list);
            if indices.is_empty() {
                self.settings.extend(group.keys.iter().map(|key| Setting {
                    variable: variable(&format!("{list}[0].{}", key.name)),
                    value: None,
                    source: Source::Unset,
                    default: None,
                    help: key.help,
                }));
            }
            let entries = indices.into_iter().map(|n| self.keys(group.keys, &format!("{list}[{n}]"))).collect();
            values.put_group(group.name, variable(&list), entries);
        }
        values
    }

    /// Which entries the list `property` has. A gap is warned of.
    pub(super) fn indices(&mut self, property: &str) -> Vec<usize> {
        let indices: Vec<usize> = (0..INDICES).filter(|n| self.names.any_below(&format!("{property}[{n}]"))).collect();
        self.warn_of_gap(&variable(property), &indices);
        indices
    }

    /// All variables with Gravitee's prefixes that stand for no declared key, with what follows the prefix; and the same of
    /// files and options, by label and property.
    pub(super) fn left_over(&self) -> Vec<(&'e str, &'e str)> {
        self.names.all().filter(|(name, _)| !self.asked.contains(*name)).collect()
    }

    /// Marks all variables below `property` as asked for: whose they are cannot be told.
    pub(super) fn take_below(&mut self, property: &str) {
        let start = format!("{}_", fold(property));
        self.asked.extend(
            self.names.all().filter(|(_, rest)| fold(rest).starts_with(&start)).map(|(name, _)| name.to_owned()),
        );
    }

    /// What binds `property`: its name and value, a reference to a secret resolved. What cannot be resolved has its fault,
    /// and is as if it were not set.
    pub(super) fn find(&mut self, property: &str) -> Option<(&'e str, &'e str)> {
        let found = self.find_with(property, "");
        self.resolved(found)
    }

    fn resolved(&mut self, found: Option<(&'e str, &'e str)>) -> Option<(&'e str, &'e str)> {
        let (name, value) = found?;
        if !self.resolves {
            return Some((name, value));
        }
        let Some(resolved) = self.environment.layers().secret(self.environment, value) else {
            return Some((name, value));
        };
        match resolved {
            Ok(secret) => {
                self.hidden.insert(name.to_owned());
                Some((name, secret))
            }
            Err(says) => {
                self.faults.push(Fault { variable: name.to_owned(), found: Some("secret://…".into()), says });
                None
            }
        }
    }

    fn find_with(&mut self, property: &str, suffix: &str) -> Option<(&'e str, &'e str)> {
        let found = self.names.find(property, suffix);
        if let Some(below) = self.names.below(property, suffix)
            && self.asked.insert(below.label.clone())
            && found.is_empty()
            && let Some(empty) = self.names.empty_variable(property)
        {
            self.notes.push(format!("{} is not used: the variable {empty} is there, and empty", below.label));
        }
        let first = *found.first()?;
        self.asked.extend(found.iter().map(|(name, _)| (*name).to_owned()));
        for (name, value) in &found[1..] {
            if *value != first.1 {
                self.warnings.push(format!("{name} is not used: {} stands for the same setting", first.0));
            }
        }
        if is_quoted(first.1) {
            self.warnings.push(format!(
                "{} is in quotation marks, and they are taken as part of it, as an --env-file of Docker hands them \
                 over; leave them away",
                first.0
            ));
        }
        if first.1.contains(SECRET) && !first.1.trim_start().starts_with(SECRET) {
            self.warnings.push(format!(
                "{} has `{SECRET}` in the middle, and is used as it stands: only a value that is a reference as a whole is \
                 resolved. Put all of the value into the secret, `bearer` too",
                first.0
            ));
        }
        Some(first)
    }

    /// Where the value of `name` comes from.
    fn source(&self, name: &str) -> Source {
        match self.below(name) {
            Some(leaf) => Source::Property(leaf.place.clone()),
            None => Source::Variable,
        }
    }

    /// What stands below the environment under this label.
    fn below(&self, name: &str) -> Option<&'e Leaf> {
        self.environment.layers().labelled(name)
    }

    /// Of two names that exclude each other, whether the first goes before the second: a variable before all that stands
    /// below the environment, a later file before an earlier one. `None` when neither does.
    fn goes_before(&self, one: &str, other: &str) -> Option<bool> {
        let rank = |name: &str| self.below(name).map_or((1, 0), |leaf| (0, leaf.rank));
        match rank(one).cmp(&rank(other)) {
            Ordering::Equal => None,
            ordering => Some(ordering == Ordering::Greater),
        }
    }

    fn keys(&mut self, keys: &[Key], base: &str) -> Values {
        let mut values = Values::default();
        for key in keys {
            if key.shape == Shape::Secrets {
                let (name, named) = self.named_secrets(&join(base, key.name), key.help);
                values.put(key.name, name, !named.is_empty(), Some(Value::Secrets(named)));
                continue;
            }
            let (name, given, value) = self.key(key, base);
            values.put(key.name, name, given, value);
            values.put_entries(key.name, std::mem::take(&mut self.entries));
        }
        values
    }

    /// The variable's name, whether it is set, and the value of `key`.
    fn key(&mut self, key: &Key, base: &str) -> (String, bool, Option<Value>) {
        let property = join(base, key.name);
        let faults_before = self.faults.len();
        let (name, source, value) = match key.shape {
            Shape::List => self.list(&property, base, key),
            Shape::Secret => self.secret(&property),
            _ => match self.find(&property) {
                Some((name, text)) => {
                    let value = parse(key.shape, text.trim());
                    if value.is_none() {
                        self.fault(name, Some(shown(text)), format!("{} is accepted", key.shape.accepts()));
                    }
                    (name.to_owned(), self.source(name), value)
                }
                None => (variable(&property), Source::Unset, None),
            },
        };
        let (source, value) = match (value, key.default) {
            (None, Some(default)) if faults_before == self.faults.len() => (Source::Default, parse(key.shape, default)),
            (value, _) => (source, value),
        };
        if value.is_none() && key.required && faults_before == self.faults.len() {
            let says = format!("must be set. {} For example: {}", key.help, key.example);
            match self.environment.layers().find_empty(&property) {
                Some(empty) if self.environment.get(&name).is_none() => {
                    self.fault(&empty.label, Some(String::new()), says);
                }
                _ => self.fault(&name, self.environment.get(&name).map(|text| shown(text.trim())), says),
            }
        }
        let given = !matches!(source, Source::Default | Source::Unset);
        let is_hidden = self.hidden.contains(&name);
        self.settings.push(Setting {
            variable: name.clone(),
            value: match source {
                Source::Default => key.default.map(str::to_owned),
                _ if is_hidden => value.as_ref().map(|_| MASK.to_owned()),
                _ => value.as_ref().map(Value::shown),
            },
            source,
            default: key.default,
            help: key.help,
        });
        (name, given, value)
    }

    pub(super) fn secret(&mut self, property: &str) -> (String, Source, Option<Value>) {
        let faults = self.faults.len();
        let direct = self.find_with(property, "");
        let mut file = self.find_with(property, "_FILE");
        if let (Some((name, _)), Some((file_name, _))) = (direct, file) {
            match self.goes_before(name, file_name) {
                Some(true) => file = None,
                Some(false) => {}
                None => {
                    self.fault(name, Some(MASK.into()), format!("{file_name} is set as well; keep one of the two"));
                    return (name.to_owned(), self.source(name), None);
                }
            }
        }
        let Some((file_name, path)) = file else {
            return match self.resolved(direct) {
                Some((name, text)) => {
                    // What a file with the line ends of Windows leaves; no secret has it, and nobody would see it.
                    let text = text.trim_end_matches(['\r', '\n']);
                    (name.to_owned(), self.source(name), Some(Value::Secret(SecretString::from(text))))
                }
                None => match direct.filter(|_| self.faults.len() > faults) {
                    Some((name, _)) => (name.to_owned(), self.source(name), None),
                    None => (variable(property), Source::Unset, None),
                },
            };
        };
        let source = Source::File(path.to_owned());
        let secret = self.secret_file(file_name, path).map(Value::Secret);
        (file_name.to_owned(), source, secret)
    }

    /// The secret in the file at `path`, its last line break cut off. A fault when there is none.
    fn secret_file(&mut self, name: &str, path: &str) -> Option<SecretString> {
        let path = path.trim();
        let problem = match self.environment.read_file(Path::new(path)) {
            Ok(content) => match String::from_utf8(content) {
                Ok(text) => {
                    let text = text.strip_suffix('\n').unwrap_or(&text);
                    let text = text.strip_suffix('\r').unwrap_or(text);
                    if !text.trim().is_empty() {
                        return Some(SecretString::from(text));
                    }
                    "the file is empty".to_owned()
                }
                Err(_) => "the file is not UTF-8 text".to_owned(),
            },
            Err(error) => format!("the file cannot be read: {error}"),
        };
        self.fault(name, Some(shown(path)), format!("{problem}; the path of a file that holds the secret is accepted"));
        None
    }

    fn list(&mut self, property: &str, base: &str, key: &Key) -> (String, Source, Option<Value>) {
        let mut entries: Vec<String> = Vec::new();
        let mut whole = self.find(property);
        let spellings = [
            self.names.any_entry(property).then(|| (property.to_owned(), String::new())),
            self.names.any_entry(base).then(|| (base.to_owned(), format!(".{}", key.name))),
        ];
        let mut found = Vec::new();
        for n in 0..INDICES {
            for (before, after) in spellings.iter().flatten() {
                found.extend(self.find(&format!("{before}[{n}]{after}")).map(|(name, text)| (n, name, text)));
            }
        }
        // A list that is written as a whole and one by entries are two ways to say one thing: from the same place they
        // add to each other, else one of them is hidden.
        if let Some((name, _)) = whole {
            if found.iter().any(|(_, entry, _)| self.goes_before(entry, name) == Some(true)) {
                whole = None;
            } else {
                found.retain(|(_, entry, _)| self.goes_before(name, entry).is_none());
            }
        } else if self.names.empty_variable(property).is_some() {
            found.retain(|(_, entry, _)| self.below(entry).is_none());
        }
        if let Some((name, text)) = whole {
            for entry in text.split(',').map(str::trim) {
                self.add(&mut entries, entry, name);
            }
        }
        let mut first = whole.map(|(name, _)| name);
        for &(_, name, text) in &found {
            if text.contains(',') {
                self.warnings.push(format!(
                    "{name} holds a comma and is taken as one entry; a comma-separated list goes into {}",
                    variable(property)
                ));
            }
            first = first.or(Some(name));
            self.add(&mut entries, text.trim(), name);
        }
        if let Some(hidden) =
            found.iter().map(|(_, name, _)| *name).chain(first).find(|name| self.hidden.contains(*name))
        {
            // The list is shown by the name of its first entry.
            self.hidden.extend(first.filter(|_| !hidden.is_empty()).map(str::to_owned));
        }
        let mut indices: Vec<usize> = found.iter().map(|(n, ..)| *n).collect();
        indices.dedup();
        self.warn_of_gap(&variable(property), &indices);
        match first {
            // Commas alone are no entry.
            Some(name) if entries.is_empty() => (name.to_owned(), Source::Unset, None),
            Some(name) => (name.to_owned(), self.source(name), Some(Value::List(entries))),
            None => (variable(property), Source::Unset, None),
        }
    }

    fn add(&mut self, entries: &mut Vec<String>, entry: &str, variable: &str) {
        if !entry.is_empty() && !entries.iter().any(|known| known == entry) {
            entries.push(entry.to_owned());
            self.entries.push(variable.to_owned());
        }
    }

    fn warn_of_gap(&mut self, list: &str, indices: &[usize]) {
        let mut expected = 0;
        for &n in indices {
            if n != expected {
                let gap = if n == expected + 1 { format!("{expected}") } else { format!("{expected} to {}", n - 1) };
                self.warnings.push(format!(
                    "{list} has no entry {gap}, but one with index {n}: what stands after the gap is used here; \
                     Gravitee's agent would stop at the gap"
                ));
            }
            expected = n + 1;
        }
    }

    /// Has `config` show `text` as the value of `variable`, unless that is hidden.
    pub(super) fn show(&mut self, variable: &str, text: &str) {
        if self.hidden.contains(variable) {
            return;
        }
        for setting in self.settings.iter_mut().filter(|setting| setting.variable == variable) {
            setting.value = Some(text.to_owned());
        }
    }

    /// Notes a fault. What came by a reference to a secret is not shown.
    pub(super) fn fault(&mut self, variable: &str, found: Option<String>, says: impl Into<String>) {
        let found = if self.hidden.contains(variable) { found.map(|_| MASK.to_owned()) } else { found };
        self.faults.push(Fault { variable: variable.to_owned(), found, says: says.into() });
    }
}

impl Value {
    /// As `config` shows it.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => clean(text),
            Self::Secret(secret) => {
                debug_assert!(!secret.expose_secret().is_empty(), "an empty secret is not there");
                MASK.into()
            }
            Self::Flag(flag) => flag.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Decimal(number) => number.to_string(),
            Self::List(entries) => entries.iter().map(|entry| clean(entry)).collect::<Vec<_>>().join(","),
            Self::Span(span) => humantime::format_duration(*span).to_string(),
            Self::Secrets(named) => named.iter().map(|one| clean(&one.name)).collect::<Vec<_>>().join(","),
        }
    }
}

/// The value of that shape that `text` is.
pub(super) fn parse(shape: Shape, text: &str) -> Option<Value> {
    match shape {
        Shape::Text => Some(Value::Text(text.to_owned())),
        Shape::Secret => Some(Value::Secret(SecretString::from(text))),
        // What Spring takes for a boolean, since that is what reads Gravitee's files.
        Shape::Flag => match text.to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Some(Value::Flag(true)),
            "false" | "off" | "no" | "0" => Some(Value::Flag(false)),
            _ => None,
        },
        Shape::Number(from, to) => text.parse().ok().filter(|n| (from..=to).contains(n)).map(Value::Number),
        Shape::Decimal => {
            text.parse().ok().filter(|n| (LEAST_DECIMAL..=GREATEST_DECIMAL).contains(n)).map(Value::Decimal)
        }
        Shape::List => Some(Value::List(text.split(',').map(|entry| entry.trim().to_owned()).collect())),
        Shape::Span => span(text).map(Value::Span),
        // Read name by name.
        Shape::Secrets => None,
        Shape::Word(words) => {
            words.iter().find(|word| word.eq_ignore_ascii_case(text)).map(|word| Value::Text((*word).to_owned()))
        }
    }
}

fn span(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

/// Whether `text` stands in quotation marks: somebody took a file of variables for a shell script.
pub(super) fn is_quoted(text: &str) -> bool {
    let text = text.trim();
    text.len() > 1 && ['"', '\''].iter().any(|mark| text.starts_with(*mark) && text.ends_with(*mark))
}

/// `text` as it can be shown in a line: as [`clean`] leaves it, and not longer than a line bears.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 160;
    let clean = clean(text);
    match clean.char_indices().nth(LONGEST) {
        Some((cut, _)) => format!("{}…", &clean[..cut]),
        None => clean,
    }
}

/// `text` with control characters escaped and what could be an address's password masked.
fn clean(text: &str) -> String {
    let masked;
    let text = match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            masked = format!("{}://{MASK}{}", &text[..scheme], &text[at..]);
            &masked
        }
        _ => text,
    };
    let mut clean = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() {
            clean.extend(letter.escape_default());
        } else {
            clean.push(letter);
        }
    }
    clean
}

/// The property `name` below `base`.
pub(super) fn join(base: &str, name: &str) -> String {
    if base.is_empty() { name.to_owned() } else { format!("{base}.{name}") }
}

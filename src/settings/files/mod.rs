//! What stands below the environment: Gravitee's YAML files, and the options for Java that name them.
//!
//! Both come to *leaves*, properties with a text each. A later file goes before an earlier one leaf by leaf, a system
//! property (`-Dname=value`) before every file, and a variable before them all. Made once an environment, when the first
//! setting is asked for.

mod java;
mod logback;
mod placeholder;
mod secret;
mod yaml;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use secrecy::{ExposeSecret, SecretString};

pub use secret::{SecretName, Secrets};

use super::{
    Environment, Fault, Shape,
    binding::{Variables, fold, spellings},
    reader::{parse, shown},
    values::Value,
};
use java::Options;
pub(super) use secret::{DEFAULT_FOLDER as SECRETS_FOLDER, SCHEME as SECRET};

/// The variable that lists the files.
pub(super) const CONFIG: &str = "FEDERATION_AGENT_CONFIG";

/// Where Gravitee's chart mounts its files, and where its older images have them.
const FOLDERS: [&str; 2] = ["/opt/graviteeio-federation-agent/config", "/opt/graviteeio-integration-agent/config"];
/// The files that are looked for there, a later one going before.
const NAMES: [&str; 2] = ["gravitee.yml", "gravitee-override.yml"];
const LOGBACK: &str = "logback.xml";

/// The longest file of settings.
const LONGEST: usize = 1024 * 1024;

/// Gravitee's families: what a system property must be of to mean something here.
const FAMILIES: [&str; 4] = ["integration.", "cloud.", "services.", "secrets."];
/// Gravitee's proxy of the system; other names with this beginning are Java's.
const SYSTEM_PROXY: &str = "system.proxy.";

/// How Java is told of its trust store, and the key that stands for it here.
pub(super) const TRUST_STORE: [(&str, &str); 3] = [
    ("javax.net.ssl.trustStore", "path"),
    ("javax.net.ssl.trustStorePassword", "password"),
    ("javax.net.ssl.trustStoreType", "type"),
];

/// A property that stands in a file or an option.
#[derive(Debug)]
pub(super) struct Leaf {
    /// Its text, placeholders resolved.
    pub(super) value: String,
    /// How faults and warnings name it: `gravitee.yml:12: integration.providers[0].type`.
    pub(super) label: String,
    /// Where it stands: `gravitee.yml:12`, `JDK_JAVA_OPTIONS`.
    pub(super) place: String,
    /// Of two that exclude each other, the greater one counts.
    pub(super) rank: usize,
}

/// The proxy that options for Java name.
#[derive(Debug, Default)]
pub(super) struct JavaProxy {
    /// For https: the address, and the option.
    pub(super) https: Option<(String, String)>,
    /// For http.
    pub(super) http: Option<(String, String)>,
    /// In the form of `NO_PROXY`.
    pub(super) no: Option<(String, String)>,
}

/// Everything below the variables.
#[derive(Debug, Default)]
pub(super) struct Layers {
    leaves: BTreeMap<String, Leaf>,
    /// The property of each label.
    labels: BTreeMap<String, String>,
    /// The properties that are not empty, folded.
    folded: BTreeSet<String>,
    /// Every reference to a secret that stands anywhere, and what it stands for once that was asked for.
    references: BTreeMap<String, OnceLock<Result<SecretString, String>>>,
    secrets_are_off: bool,
    /// The namespace of references that name none.
    namespace: Option<String>,
    pub(super) faults: Vec<Fault>,
    pub(super) warnings: Vec<String>,
    pub(super) notes: Vec<String>,
    /// The files that were read, in their order.
    pub(super) files: Vec<PathBuf>,
    pub(super) proxy: JavaProxy,
    /// What is logged, by a `logback.xml`: the filter and its place.
    pub(super) log: Option<(String, String)>,
}

impl Layers {
    /// Reads the files that `environment` names, or those that are where Gravitee has them.
    pub(super) fn of(environment: &Environment) -> Self {
        let mut layers = Self::default();
        let mut options = Options::of(environment);
        for variable in &options.unclosed {
            layers.fault(variable, "a quotation mark is never closed; Java would refuse it too");
        }
        let variables = Variables::of(environment);
        layers.read_files(environment, &mut options);
        layers.read_options(&mut options);
        layers.resolve_placeholders(environment, &variables);
        layers.take_trust_store(&mut options, &variables);
        layers.take_proxy(&mut options);
        layers.tell_ignored(options);
        // As with variables, what is empty makes no entry of a list.
        let filled = layers.leaves.iter().filter(|(_, leaf)| !leaf.value.trim().is_empty());
        layers.folded = filled.map(|(property, _)| fold(property)).collect();
        layers.labels = layers.leaves.iter().map(|(property, leaf)| (leaf.label.clone(), property.clone())).collect();
        let values =
            layers.leaves.values().map(|leaf| leaf.value.as_str()).chain(environment.iter().map(|(_, value)| value));
        layers.references = values
            .map(str::trim)
            .filter(|value| value.starts_with(SECRET))
            .map(|value| (value.to_owned(), OnceLock::new()))
            .collect();
        let of = |property: &str| {
            let variable = variables.find(property, "").first().map(|(_, value)| *value);
            variable.or_else(|| layers.find(property, "").map(|leaf| leaf.value.as_str())).map(str::trim)
        };
        let off = of("secrets.kubernetes.enabled")
            .is_some_and(|value| parse(Shape::Flag, value).is_some_and(|value| matches!(value, Value::Flag(false))));
        let namespace = of("secrets.kubernetes.namespace").filter(|name| secret::is_name(name)).map(str::to_owned);
        (layers.secrets_are_off, layers.namespace) = (off, namespace);
        layers
    }

    /// The leaf that stands for `property` with `suffix`, unless it is empty.
    pub(super) fn find(&self, property: &str, suffix: &str) -> Option<&Leaf> {
        if !self.folded.contains(&fold(&format!("{property}{suffix}"))) {
            return None;
        }
        spellings(property).into_iter().find_map(|spelling| self.leaves.get(&format!("{spelling}{suffix}")))
    }

    /// The leaf that stands for `property` and is empty.
    pub(super) fn find_empty(&self, property: &str) -> Option<&Leaf> {
        if self.leaves.is_empty() {
            return None;
        }
        let leaf = spellings(property).into_iter().find_map(|spelling| self.leaves.get(&spelling))?;
        leaf.value.trim().is_empty().then_some(leaf)
    }

    /// The leaf of this label.
    pub(super) fn labelled(&self, label: &str) -> Option<&Leaf> {
        self.leaves.get(self.labels.get(label)?)
    }

    /// The property of the leaf of this label.
    pub(super) fn property(&self, label: &str) -> Option<&str> {
        self.labels.get(label).map(String::as_str)
    }

    /// Whether a folded property begins with `start`.
    pub(super) fn any_from(&self, start: &str) -> bool {
        self.folded.range(start.to_owned()..).next().is_some_and(|name| name.starts_with(start))
    }

    /// Whether a folded property stands in the range.
    pub(super) fn any_between(&self, from: String, to: String) -> bool {
        self.folded.range(from..to).next().is_some()
    }

    /// The labels and properties of all that is not empty.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let filled = self.leaves.iter().filter(|(_, leaf)| !leaf.value.trim().is_empty());
        filled.map(|(property, leaf)| (leaf.label.as_str(), property.as_str()))
    }

    /// What the reference `text` stands for; `None` when it is none. The first one who asks waits for it.
    pub(super) fn secret(&self, environment: &Environment, text: &str) -> Option<Result<&str, String>> {
        let cell = self.references.get(text.trim())?;
        let resolved = cell.get_or_init(|| {
            let mut reference = secret::parse(text)?;
            reference.secret.namespace = reference.secret.namespace.or_else(|| self.namespace.clone());
            secret::resolve(environment, reference, !self.secrets_are_off)
        });
        Some(resolved.as_ref().map(ExposeSecret::expose_secret).map_err(Clone::clone))
    }

    fn fault(&mut self, place: &str, says: impl Into<String>) {
        self.faults.push(Fault { variable: place.to_owned(), found: None, says: says.into() });
    }

    /// Which files there are to read, and who says so; `None`: they are where they are looked for, and need not be.
    fn read_files(&mut self, environment: &Environment, options: &mut Options) {
        let ours = environment.get(CONFIG).filter(|text| !text.trim().is_empty());
        let conf = options.take("gravitee.conf");
        let home = options.take("gravitee.home");
        let named = match (ours, conf) {
            (Some(paths), conf) => {
                self.notes.extend(conf.map(|conf| format!("{} is not needed: {CONFIG} is set", conf.label())));
                Some((paths.to_owned(), CONFIG.to_owned()))
            }
            (None, Some(conf)) => Some((conf.value.clone(), conf.label())),
            (None, None) => None,
        };
        if let Some((paths, by)) = named {
            let paths: Vec<&str> = paths.split(',').map(str::trim).filter(|path| !path.is_empty()).collect();
            for path in &paths {
                let path = Path::new(path.strip_prefix("file:").unwrap_or(path));
                match environment.read_file(path) {
                    Ok(content) => self.read(path, content),
                    Err(error) => self.faults.push(Fault {
                        variable: by.clone(),
                        found: Some(shown(&path.display().to_string())),
                        says: format!("the file cannot be read: {error}; a list of YAML files with commas between them is accepted"),
                    }),
                }
            }
            if let Some(folder) = paths.first().and_then(|path| Path::new(path).parent()) {
                self.read_levels(environment, folder);
            }
            return;
        }
        let home = home.map(|home| Path::new(home.value.trim()).join("config"));
        for folder in home.into_iter().chain(FOLDERS.map(PathBuf::from)) {
            let mut found = false;
            for name in NAMES {
                let path = folder.join(name);
                match environment.read_file(&path) {
                    Ok(content) => {
                        found = true;
                        self.read(&path, content);
                    }
                    Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {}
                    Err(error) => {
                        found = true;
                        let says = format!(
                            "the file is there and cannot be read: {error}; give the agent's user the right to, or set {CONFIG}"
                        );
                        self.fault(&path.display().to_string(), says);
                    }
                }
            }
            found |= self.read_levels(environment, &folder);
            if found {
                return;
            }
        }
    }

    /// Takes the levels of a `logback.xml` over, which Gravitee's images have beside the files.
    fn read_levels(&mut self, environment: &Environment, folder: &Path) -> bool {
        let path = folder.join(LOGBACK);
        let Ok(content) = environment.read_file(&path) else { return false };
        let look = |name: &str| environment.get(name).map(str::to_owned);
        let text = String::from_utf8_lossy(&content);
        match logback::filter(&text, &look).filter(|_| content.len() <= LONGEST) {
            Some((filter, line)) => {
                self.notes.push(format!(
                    "{}: only the levels are read ({filter}), unless FEDERATION_AGENT_LOG is set; see FEDERATION_AGENT_LOG_FORMAT for the form",
                    path.display()
                ));
                self.log = Some((filter, format!("{LOGBACK}:{line}")));
            }
            None => self.notes.push(format!("{} is not needed: see FEDERATION_AGENT_LOG", path.display())),
        }
        true
    }

    fn read(&mut self, path: &Path, content: Vec<u8>) {
        self.files.push(path.to_owned());
        let name =
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
        if content.len() > LONGEST {
            self.fault(&name, "the file is longer than 1 MiB, which no settings are; is it the right one?");
            return;
        }
        let Ok(text) = String::from_utf8(content) else {
            self.fault(&name, "the file is not UTF-8 text, which alone is accepted");
            return;
        };
        let rank = self.files.len();
        match yaml::leaves(&text) {
            Ok(leaves) => {
                for yaml::Leaf { property, value, line } in leaves {
                    let place = format!("{name}:{line}");
                    let label = format!("{place}: {}", shown(&property));
                    self.leaves.insert(property, Leaf { value, label, place, rank });
                }
            }
            Err(problems) => {
                for yaml::Problem { line, column, says } in problems {
                    let column = column.map(|column| format!(":{column}")).unwrap_or_default();
                    self.fault(&format!("{name}:{line}{column}"), says);
                }
            }
        }
    }

    /// System properties of Gravitee's names go before the files.
    fn read_options(&mut self, options: &mut Options) {
        let is_known =
            |name: &str| name.starts_with(SYSTEM_PROXY) || FAMILIES.iter().any(|family| name.starts_with(family));
        let (known, others) = std::mem::take(&mut options.properties).into_iter().partition(|one| is_known(&one.name));
        options.properties = others;
        let known: Vec<java::Property> = known;
        for property in known {
            let label = property.label();
            let leaf = Leaf { value: property.value, label, place: property.variable.to_owned(), rank: usize::MAX };
            self.leaves.insert(property.name, leaf);
        }
    }

    fn resolve_placeholders(&mut self, environment: &Environment, variables: &Variables<'_>) {
        if !self.leaves.values().any(|leaf| leaf.value.contains("${")) {
            return;
        }
        let look = |name: &str| {
            let of_gravitee = variables.find(name, "").first().map(|(_, value)| (*value).to_owned());
            let of_system = || {
                let plain = name.replace(['.', '-'], "_");
                [name, plain.as_str(), plain.to_uppercase().as_str()]
                    .iter()
                    .find_map(|name| environment.get(name).map(str::to_owned))
            };
            of_gravitee.or_else(of_system).or_else(|| {
                spellings(name).iter().find_map(|spelling| self.leaves.get(spelling)).map(|leaf| leaf.value.clone())
            })
        };
        let mut resolved = Vec::new();
        let (mut warnings, mut faults) = (Vec::new(), Vec::new());
        let mut found = placeholder::Found::default();
        for (property, leaf) in self.leaves.iter().filter(|(_, leaf)| leaf.value.contains("${")) {
            match placeholder::resolve(&leaf.value, &look, &mut found) {
                Ok(value) => resolved.push((property.clone(), value)),
                Err(says) => faults.push(Fault { variable: leaf.label.clone(), found: None, says }),
            }
            for name in found.unresolved.drain(..) {
                let name = shown(&name);
                warnings.push(format!(
                    "{}: no variable and no property is named {name}, and ${{{name}}} is left as it is; ${{{name}:}} has an empty \
                     default",
                    leaf.label
                ));
            }
            for name in found.of_the_shell.drain(..) {
                let name = shown(&name);
                warnings.push(format!(
                    "{}: the default of ${{{name}:-…}} begins with a hyphen, since only the colon parts it from the name, other \
                     than in a shell",
                    leaf.label
                ));
            }
        }
        for (property, value) in resolved {
            if let Some(leaf) = self.leaves.get_mut(&property) {
                leaf.value = value;
            }
        }
        self.warnings.extend(warnings);
        self.faults.extend(faults);
    }

    /// Java's trust store counts where no other is configured for the link.
    fn take_trust_store(&mut self, options: &mut Options, variables: &Variables<'_>) {
        let found: Vec<(java::Property, &str)> =
            TRUST_STORE.iter().filter_map(|(name, key)| Some((options.take(name)?, *key))).collect();
        let bases = ["integration.connector.ws.ssl.truststore", "cloud.client.ssl.truststore"];
        let is_set = |base: &str| {
            let start = format!("{base}.");
            variables.any_below(base)
                || self.leaves.iter().any(|(name, leaf)| name.starts_with(&start) && !leaf.value.is_empty())
        };
        if bases.iter().any(|base| is_set(base)) {
            self.notes.extend(found.iter().map(|(property, _)| {
                format!("{} is not used: a trust store is configured for the link", property.label())
            }));
            return;
        }
        for (property, key) in found {
            // The key's default place: what is set for the connector would go before.
            let leaf =
                Leaf { label: property.label(), value: property.value, place: property.variable.to_owned(), rank: 0 };
            self.leaves.insert(format!("{}.{key}", bases[1]), leaf);
        }
    }

    fn take_proxy(&mut self, options: &mut Options) {
        for (scheme, port) in [("https", 443), ("http", 80)] {
            let asked = options.take(&format!("{scheme}.proxyPort"));
            let Some(host) = options.take(&format!("{scheme}.proxyHost")) else { continue };
            let (label, host) = (host.label(), host.value.trim().to_owned());
            if host.is_empty() {
                continue;
            }
            let port = asked.map_or_else(|| port.to_string(), |port| port.value.trim().to_owned());
            let bracketed = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
            let address = format!("http://{bracketed}:{port}");
            if url::Url::parse(&address).is_err() || bracketed.contains(['@', '/', '?', '#']) {
                self.fault(&label, format!("this and -D{scheme}.proxyPort are not the host and the port of a proxy"));
                continue;
            }
            let place = Some((address, label));
            if scheme == "https" { self.proxy.https = place } else { self.proxy.http = place }
        }
        if let Some(hosts) = options.take("http.nonProxyHosts") {
            let label = hosts.label();
            let (no, odd) = java::no_proxy(&hosts.value);
            for odd in odd {
                self.warnings.push(format!(
                    "{label}: `{}` is not used: a `*` is read at the beginning of a name or in place of an address's last \
                     parts",
                    shown(&odd)
                ));
            }
            self.proxy.no = Some((no, label));
        }
        let _port = options.take("socksProxyPort");
        if let Some(socks) = options.take("socksProxyHost") {
            self.fault(
                &socks.label(),
                "SOCKS proxies are not spoken; name an HTTP proxy that knows CONNECT by -Dhttps.proxyHost and -Dhttps.proxyPort, \
                 or in HTTPS_PROXY",
            );
        }
    }

    /// One note a variable: what means nothing here is nothing to worry about.
    fn tell_ignored(&mut self, options: Options) {
        let mut by_variable: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (variable, words) in options.ignored {
            by_variable.entry(variable).or_default().extend(words);
        }
        for property in options.properties {
            by_variable.entry(property.variable).or_default().push(format!("-D{}", property.name));
        }
        for (variable, words) in by_variable {
            let mut note = format!("{variable}: not needed, since there is no Java here: ");
            let _ = write!(note, "{}", shown(&words.join(" ")));
            self.notes.push(note);
        }
    }
}

//! The whole way from the environment to settings, for each of those who need some.

use super::{
    Connector, Environment, Explanation, Faults, Integration, KeyTable, Process, Settings, Store, connector, files,
    integrations, process as own, reader::Reader, suggest, tables,
};

/// What commands need that speak to gateways and to no plane.
#[derive(Debug)]
pub struct Gateways {
    /// Of the process.
    pub process: Process,
    /// One a provider entry. Where no integration id is set, `integration-N` stands for it.
    pub integrations: Vec<Integration>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Settings as far as they could be read, for those who have faults of their own to add before anything is reported:
/// the providers, the network.
#[derive(Debug)]
pub struct Draft {
    /// Of the process; the defaults stand for what is wrong.
    pub process: Process,
    /// Of the link; `None` when something of it is wrong, or no plane is needed.
    pub connector: Option<Connector>,
    /// The provider entries whose type is known. A key that is wrong is as if it were not set.
    pub integrations: Vec<Integration>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// What is set and not needed, or read in part: files and options for Java.
    pub notes: Vec<String>,
    /// What is wrong.
    pub faults: Faults,
}

/// All settings. `kinds` are the provider types with their tables.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(environment: &Environment, kinds: &[(&'static str, &'static KeyTable)]) -> Result<Settings, Faults> {
    let Draft { process, connector, integrations, warnings, faults, .. } = draft(environment, kinds);
    match connector {
        Some(connector) if faults.0.is_empty() => Ok(Settings { process, connector, integrations, warnings }),
        _ => Err(faults),
    }
}

/// All settings, right or wrong.
pub fn draft(environment: &Environment, kinds: &[(&'static str, &'static KeyTable)]) -> Draft {
    let mut reader = Reader::new(environment);
    let (process, connector, integrations) = read(&mut reader, kinds);
    suggest::check_names(&mut reader, kinds);
    let notes = environment.layers().notes.clone();
    Draft { process, connector, integrations, warnings: reader.warnings, notes, faults: Faults(reader.faults) }
}

/// The settings of the process and of the gateways, without a plane: what concerns only the plane is not looked at.
///
/// # Errors
/// Everything that is wrong with them, at once.
pub fn gateways(environment: &Environment, kinds: &[(&'static str, &'static KeyTable)]) -> Result<Gateways, Faults> {
    let Draft { process, integrations, warnings, faults, .. } = draft_of_gateways(environment, kinds);
    faultless(Gateways { process, integrations, warnings }, faults.0)
}

/// The settings of [`gateways`], right or wrong.
pub fn draft_of_gateways(environment: &Environment, kinds: &[(&'static str, &'static KeyTable)]) -> Draft {
    let mut reader = Reader::new(environment);
    let integrations = integrations::read(&mut reader, kinds, false);
    let mut process = own::read(&mut reader);
    read_secrets(&mut reader);
    // The plane's keys are no typing errors only because nobody asks for them here.
    let mut plane = Reader::new(environment);
    plane.resolves = false;
    process.trusted = of_java(&connector::read(&mut plane));
    reader.asked.extend(plane.asked);
    suggest::check_names(&mut reader, kinds);
    let notes = environment.layers().notes.clone();
    Draft { process, connector: None, integrations, warnings: reader.warnings, notes, faults: Faults(reader.faults) }
}

/// The process's own settings alone.
///
/// # Errors
/// Everything that is wrong with them, at once.
pub fn process(environment: &Environment) -> Result<Process, Faults> {
    let mut reader = Reader::new(environment);
    let process = own::read(&mut reader);
    faultless(process, reader.faults)
}

/// The process's own settings for somebody who only wants to reach the running agent: no reference to a secret is
/// resolved, which its address needs none of, and which might take longer than a probe waits.
///
/// # Errors
/// Everything that is wrong with them, at once.
pub fn reachable(environment: &Environment) -> Result<Process, Faults> {
    let mut reader = Reader::new(environment);
    reader.resolves = false;
    let process = own::read(&mut reader);
    faultless(process, reader.faults)
}

/// Every setting as it stands, right or wrong.
pub fn explain(environment: &Environment, kinds: &[(&'static str, &'static KeyTable)]) -> Explanation {
    let mut reader = Reader::new(environment);
    read(&mut reader, kinds);
    own::explain_proxy_environment(environment, &mut reader.settings);
    suggest::check_names(&mut reader, kinds);
    let notes = suggest::notes(&reader, kinds);
    for setting in &mut reader.settings {
        // The place stands in a column of its own.
        if let Some(property) = environment.layers().property(&setting.variable) {
            setting.variable = property.to_owned();
        }
    }
    Explanation { settings: reader.settings, faults: reader.faults, warnings: reader.warnings, notes }
}

fn read(
    reader: &mut Reader<'_>,
    kinds: &[(&'static str, &'static KeyTable)],
) -> (Process, Option<Connector>, Vec<Integration>) {
    let connector = connector::read(reader);
    let trusted = of_java(&connector);
    let connector = Some(connector).filter(|_| reader.faults.is_empty());
    let integrations = integrations::read(reader, kinds, true);
    let process = Process { trusted, ..own::read(reader) };
    read_secrets(reader);
    let connector = connector.map(|mut connector| {
        connector.tls.extra_ca.clone_from(&process.ca_file);
        connector
    });
    (process, connector, integrations)
}

/// The link's trust store, when it is the one that options for Java name.
fn of_java(connector: &Connector) -> Option<Store> {
    connector.tls.truststore.clone().filter(|store| store.named_by.ends_with(files::TRUST_STORE[0].0))
}

/// How references are resolved: known since the first was, and here checked and shown.
fn read_secrets(reader: &mut Reader<'_>) {
    reader.values(&tables::SECRETS, tables::SECRETS_KUBERNETES);
}

fn faultless<T>(settings: T, faults: Vec<super::Fault>) -> Result<T, Faults> {
    if faults.is_empty() { Ok(settings) } else { Err(Faults(faults)) }
}

//! From read values to a checked configuration. Every fault is found, not only the first.

use std::path::PathBuf;

use rustls_pki_types::{CertificateDer, pem::PemObject};
use secrecy::SecretString;
use url::Url;

use super::{
    http::Proxies,
    region::{Partition, RoleArn, is_region, is_stage},
    template::NameTemplate,
};
use crate::settings::{Fault, Faults, Integration, Process, Store, StoreSource, Values};

/// What one integration reads, checked.
#[derive(Debug, Clone)]
pub(super) struct Config {
    /// The plane's id of the integration.
    pub(super) integration: String,
    /// The static pair; without it the default chain is used.
    pub(super) pair: Option<(String, SecretString)>,
    /// The accounts whose APIs are federated; at least one, each with at least one region.
    pub(super) accounts: Vec<AccountConfig>,
    /// Also stages that no usage plan covers.
    pub(super) without_plan: bool,
    /// How APIs are named.
    pub(super) api_name: NameTemplate,
    /// Tokens a second.
    pub(super) calls_per_second: f64,
    /// Tokens that a full bucket holds.
    pub(super) burst: u32,
    /// A bucket a region instead of one an account.
    pub(super) bucket_per_region: bool,
    /// Where AWS is asked instead of its public addresses.
    pub(super) endpoint: Option<Url>,
    /// How AWS is reached.
    pub(super) proxies: Proxies,
    /// Trusted beside the system's roots (PEM).
    pub(super) extra_ca: Option<Vec<u8>>,
}

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AccountConfig {
    /// The role to assume; `None` is the account of the credentials themselves.
    pub(super) role: Option<RoleArn>,
    /// What the role's trust policy asks for.
    pub(super) external_id: Option<String>,
    /// Its regions.
    pub(super) regions: Vec<String>,
    /// Only these stages; empty is all.
    pub(super) stages: Vec<String>,
}

impl AccountConfig {
    /// Whether a stage of that name is federated.
    pub(super) fn accepts(&self, stage: &str) -> bool {
        self.stages.is_empty() || self.stages.iter().any(|accepted| accepted == stage)
    }
}

impl Config {
    /// Checks what was read; touches the disk for the extra CA and nothing else.
    pub(super) fn read(integration: &Integration, process: &Process) -> Result<Self, Faults> {
        let values = &integration.values;
        let mut faults = Vec::new();
        let pair = pair(values, &mut faults);
        let accounts = accounts(values, &mut faults);
        let api_name = match NameTemplate::parse(values.text("apiName").unwrap_or_default()) {
            Ok(template) => Some(template),
            Err(says) => {
                faults.push(fault(values, "apiName", values.text("apiName"), says));
                None
            }
        };
        let endpoint = endpoint(values, &mut faults);
        let extra_ca = process.ca_file.as_ref().and_then(|path| extra_ca(path, &mut faults));
        let extra_ca = match &process.trusted {
            Some(store) => with_trusted(extra_ca, store, &mut faults),
            None => extra_ca,
        };
        let proxies = Proxies::read(&process.proxy_environment, &mut faults);
        let Some(api_name) = api_name.filter(|_| faults.is_empty()) else { return Err(Faults(faults)) };
        Ok(Self {
            integration: integration.id.clone(),
            pair,
            accounts,
            without_plan: values.flag("acceptApiWithoutUsagePlan"),
            api_name,
            calls_per_second: values.decimal("callsPerSecond"),
            burst: u32::try_from(values.number("burst")).unwrap_or(u32::MAX),
            bucket_per_region: values.text("callsPer") == Some("region"),
            endpoint,
            proxies,
            extra_ca,
        })
    }

    /// Every region of every account, each once, in the order of the settings.
    pub(super) fn regions(&self) -> Vec<&str> {
        let mut regions: Vec<&str> = Vec::new();
        for region in self.accounts.iter().flat_map(|account| &account.regions) {
            if !regions.contains(&region.as_str()) {
                regions.push(region);
            }
        }
        regions
    }
}

fn fault(values: &Values, name: &str, found: Option<&str>, says: impl Into<String>) -> Fault {
    Fault { variable: values.variable(name), found: found.map(str::to_owned), says: says.into() }
}

fn pair(values: &Values, faults: &mut Vec<Fault>) -> Option<(String, SecretString)> {
    match (values.text("accessKeyId"), values.secret("secretAccessKey")) {
        (Some(id), Some(secret)) => Some((id.to_owned(), secret.clone())),
        (None, None) => None,
        (id, _) => {
            let (missing, there) =
                if id.is_some() { ("secretAccessKey", "accessKeyId") } else { ("accessKeyId", "secretAccessKey") };
            faults.push(fault(
                values,
                missing,
                None,
                format!(
                    "is missing beside {}: set both, or neither to use AWS's default chain (environment, profile, \
                     container, instance role)",
                    values.variable(there)
                ),
            ));
            None
        }
    }
}

fn accounts(values: &Values, faults: &mut Vec<Fault>) -> Vec<AccountConfig> {
    let regions = checked(values, "region", faults, is_region, REGION);
    let stages = checked(values, "stage", faults, is_stage, STAGE);
    let external_id = values.text("externalId");
    let mut accounts = Vec::new();
    let mut named: Vec<String> = Vec::new();
    let groups = values.group("accounts");
    for text in values.list("roleArn") {
        if let Some(role) = role(values, text, &mut named, faults) {
            let external_id = external_id.map(str::to_owned);
            accounts.push(AccountConfig {
                role: Some(role),
                external_id,
                regions: regions.clone(),
                stages: stages.clone(),
            });
        }
    }
    let from_lists = accounts.len();
    for entry in groups {
        let role = entry.text("roleArn").and_then(|text| role(entry, text, &mut named, faults));
        let own_regions = checked(entry, "regions", faults, is_region, REGION);
        let own_stages = checked(entry, "stages", faults, is_stage, STAGE);
        if own_regions.is_empty() && entry.list("regions").is_empty() && values.list("region").is_empty() {
            faults.push(fault(
                entry,
                "regions",
                None,
                format!("must be set, or {} for all accounts: eu-west-1,us-east-1", values.variable("region")),
            ));
        }
        if let Some(role) = role {
            accounts.push(AccountConfig {
                role: Some(role),
                external_id: entry.text("externalId").or(external_id).map(str::to_owned),
                regions: if own_regions.is_empty() { regions.clone() } else { own_regions },
                stages: if entry.list("stages").is_empty() { stages.clone() } else { own_stages },
            });
        }
    }
    if groups.is_empty() && values.list("roleArn").is_empty() {
        accounts.push(AccountConfig { role: None, external_id: None, regions: regions.clone(), stages });
    }
    let lists_need_regions = groups.is_empty() || !values.list("roleArn").is_empty();
    if lists_need_regions && values.list("region").is_empty() {
        faults.push(fault(values, "region", None, "must be set: the regions to read, such as eu-west-1,us-east-1"));
    }
    partitions(values, groups, &accounts, from_lists, faults);
    accounts
}

const REGION: &str = "a region's name is accepted, such as eu-west-1";
const STAGE: &str = "a stage's name is accepted: letters, digits, `_` and `-`, at most 128";

fn checked(
    values: &Values,
    name: &str,
    faults: &mut Vec<Fault>,
    is_good: fn(&str) -> bool,
    accepted: &str,
) -> Vec<String> {
    let (good, bad): (Vec<_>, Vec<_>) = values.list(name).iter().cloned().partition(|text| is_good(text));
    for text in bad {
        faults.push(fault(values, name, Some(&text), accepted));
    }
    good
}

fn role(values: &Values, text: &str, named: &mut Vec<String>, faults: &mut Vec<Fault>) -> Option<RoleArn> {
    match RoleArn::parse(text) {
        Ok(role) if named.contains(&role.text) => {
            faults.push(fault(values, "roleArn", Some(text), "is named twice: give each role one place"));
            None
        }
        Ok(role) => {
            named.push(role.text.clone());
            Some(role)
        }
        Err(says) => {
            faults.push(fault(values, "roleArn", Some(text), says));
            None
        }
    }
}

/// A role reaches the regions of its own partition only, and credentials know one partition.
fn partitions(
    values: &Values,
    groups: &[Values],
    accounts: &[AccountConfig],
    from_lists: usize,
    faults: &mut Vec<Fault>,
) {
    let mut first: Option<Partition> = None;
    for (n, account) in accounts.iter().enumerate() {
        let entry = n.checked_sub(from_lists).and_then(|n| groups.get(n)).filter(|_| account.role.is_some());
        let (whose, name) = match entry {
            Some(entry) if !entry.list("regions").is_empty() => (entry, "regions"),
            _ => (values, "region"),
        };
        for region in &account.regions {
            let partition = Partition::of_region(region);
            let wanted = account.role.as_ref().map(|role| role.partition).or(first).unwrap_or(partition);
            let says = if wanted == partition {
                None
            } else if let Some(role) = &account.role {
                Some(format!("is a region of {}, but the role {role} is one of {}", partition.name, wanted.name))
            } else {
                Some(format!(
                    "is a region of {}, but others are of {}: one integration can be in one partition",
                    partition.name, wanted.name
                ))
            };
            if let Some(says) = says {
                let new = fault(whose, name, Some(region), says);
                if !faults.contains(&new) {
                    faults.push(new);
                }
            }
            first.get_or_insert(wanted);
        }
    }
}

fn endpoint(values: &Values, faults: &mut Vec<Fault>) -> Option<Url> {
    let text = values.text("endpointUrl")?;
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty() => Some(url),
        _ => {
            let says = "an http or https URL without user name is accepted, such as http://localhost:4566";
            faults.push(fault(values, "endpointUrl", Some(text), says));
            None
        }
    }
}

/// Reads the file and tries every certificate in it: the SDK would panic on a bad one.
fn extra_ca(path: &PathBuf, faults: &mut Vec<Fault>) -> Option<Vec<u8>> {
    let says = match std::fs::read(path) {
        Ok(pem) => match certificates(&pem) {
            Ok(()) => return Some(pem),
            Err(says) => says,
        },
        Err(error) => format!("cannot be read: {error}"),
    };
    faults.push(Fault { variable: "FEDERATION_AGENT_CA_FILE".into(), found: Some(path.display().to_string()), says });
    None
}

/// `pem` and the certificates of `store`, which are in PEM too.
fn with_trusted(pem: Option<Vec<u8>>, store: &Store, faults: &mut Vec<Fault>) -> Option<Vec<u8>> {
    let StoreSource::Inline(trusted) = &store.source else { return pem };
    match certificates(trusted) {
        Ok(()) => Some([pem.unwrap_or_default().as_slice(), b"\n", trusted].concat()),
        Err(says) => {
            faults.push(Fault { variable: store.named_by.clone(), found: None, says });
            pem
        }
    }
}

fn certificates(pem: &[u8]) -> Result<(), String> {
    const ACCEPTED: &str = "certificates in PEM are accepted";
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| format!("holds no readable PEM: {ACCEPTED}"))?;
        roots.add(certificate).map_err(|error| format!("holds a bad certificate ({error}): {ACCEPTED}"))?;
    }
    if roots.is_empty() { Err(format!("holds no certificate: {ACCEPTED}")) } else { Ok(()) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::provider::aws::KEYS;

    const PREFIX: &str = "gravitee_integration_providers_0_configuration_";

    pub(in super::super) fn read(pairs: &[(&str, &str)]) -> Result<Config, Faults> {
        let values = Values::of(&KEYS, PREFIX, pairs)?;
        let integration = Integration { index: 0, kind: "aws-api-gateway".into(), id: "int-1".into(), values };
        Config::read(&integration, &Process::default())
    }

    #[test]
    fn every_role_goes_to_every_region() {
        let config = read(&[
            ("region", "eu-west-1,us-east-1"),
            ("roleArn", "arn:aws:iam::111111111111:role/a,arn:aws:iam::222222222222:role/b"),
            ("externalId", "x"),
            ("0_stage", "prod"),
        ])
        .unwrap();
        assert_eq!(config.accounts.len(), 2);
        for account in &config.accounts {
            assert_eq!(account.regions, ["eu-west-1", "us-east-1"]);
            assert_eq!(account.external_id.as_deref(), Some("x"));
            assert!(account.accepts("prod") && !account.accepts("dev"));
        }
        assert_eq!(config.regions(), ["eu-west-1", "us-east-1"]);
    }

    #[test]
    fn accounts_have_regions_of_their_own() {
        let config = read(&[
            ("accounts_0_roleArn", "arn:aws:iam::111111111111:role/a"),
            ("accounts_0_regions", "eu-west-1"),
            ("accounts_1_roleArn", "arn:aws:iam::222222222222:role/b"),
            ("accounts_1_regions", "us-east-1,eu-west-1"),
            ("accounts_1_externalId", "y"),
            ("accounts_1_stages", "dev"),
        ])
        .unwrap();
        assert_eq!(config.accounts[0].regions, ["eu-west-1"]);
        assert_eq!(config.accounts[1].external_id.as_deref(), Some("y"));
        assert!(!config.accounts[1].accepts("prod"));
        assert_eq!(config.regions(), ["eu-west-1", "us-east-1"]);
    }

    #[test]
    fn without_roles_the_credentials_own_account_is_read() {
        let config = read(&[("region", "eu-west-1"), ("accessKeyId", ""), ("secretAccessKey", "")]).unwrap();
        assert_eq!(config.accounts.len(), 1);
        assert_eq!(config.accounts[0].role, None);
        assert!(config.pair.is_none());
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let faults = read(&[
            ("accessKeyId", "AKIAEXAMPLE"),
            ("region", "eu-west-1,Ireland,cn-north-1"),
            ("roleArn", "arn:aws:iam::111111111111:role/a,GraviteeRole"),
            ("stage", "prod,a b"),
            ("apiName", "{name} {what}"),
            ("endpointUrl", "ftp://x"),
        ])
        .unwrap_err();
        let told: Vec<String> = faults.0.iter().map(ToString::to_string).collect();
        let all = told.join("\n").replace(PREFIX, "");
        for part in [
            "secretAccessKey: is missing beside accessKeyId",
            "region=Ireland: a region's name",
            "region=cn-north-1: is a region of aws-cn, but the role arn:aws:iam::111111111111:role/a is one of aws",
            "roleArn=GraviteeRole: a role's ARN",
            "stage=a b: a stage's name",
            "apiName={name} {what}: ",
            "endpointUrl=ftp://x: an http or https URL",
        ] {
            assert!(all.contains(part), "{part}\nin\n{all}");
        }
        assert_eq!(told.len(), 7, "{all}");
    }

    #[test]
    fn regions_and_partitions_are_needed() {
        assert!(read(&[]).unwrap_err().to_string().contains("region: must be set"));
        let mixed = read(&[("region", "eu-west-1,cn-north-1")]).unwrap_err().to_string();
        assert!(mixed.contains("one integration can be in one partition"), "{mixed}");
        let twice = read(&[
            ("region", "eu-west-1"),
            ("roleArn", "arn:aws:iam::111111111111:role/a"),
            ("accounts_0_roleArn", "arn:aws:iam::111111111111:role/a"),
        ]);
        assert!(twice.unwrap_err().to_string().contains("named twice"));
        let none = read(&[("accounts_0_roleArn", "arn:aws:iam::111111111111:role/a")]).unwrap_err().to_string();
        assert!(none.contains("accounts_0_regions: must be set"), "{none}");
    }

    #[test]
    fn secrets_are_not_shown() {
        let config = read(&[("region", "eu-west-1"), ("accessKeyId", "AKIA"), ("secretAccessKey", "wJalr")]).unwrap();
        assert!(!format!("{config:?}").contains("wJalr"));
    }
}

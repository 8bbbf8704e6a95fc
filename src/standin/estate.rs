//! What stands in the stand-in: accounts, their regions, and in each region REST APIs, usage plans and API keys.

use std::collections::BTreeMap;

use super::{
    identity::{Principal, Role},
    keys::ApiKey,
};

/// Everything there is, in all accounts.
#[derive(Debug, Default)]
pub struct Estate {
    pub(super) accounts: BTreeMap<String, Account>,
    pub(super) principals: BTreeMap<String, Principal>,
    pub(super) anybody: Option<String>,
}

/// One account.
#[derive(Debug, Default)]
pub struct Account {
    /// Its regions by name.
    pub regions: BTreeMap<String, Region>,
    /// Its roles by name, path included (`ops/discovery`).
    pub roles: BTreeMap<String, Role>,
}

/// API Gateway in one region of one account.
#[derive(Debug)]
pub struct Region {
    /// In the order in which they are listed.
    pub apis: Vec<RestApi>,
    /// In the order in which they are listed.
    pub plans: Vec<UsagePlan>,
    /// In the order in which they were made.
    pub keys: Vec<ApiKey>,
    /// How many keys there can be; one more is `LimitExceededException`. AWS: 10,000.
    pub key_limit: usize,
}

impl Default for Region {
    fn default() -> Self {
        Self { apis: Vec::new(), plans: Vec::new(), keys: Vec::new(), key_limit: 10_000 }
    }
}

/// A REST API.
#[derive(Debug, Clone)]
pub struct RestApi {
    /// Ten letters and digits on AWS.
    pub id: String,
    /// Its name; need not be unique.
    pub name: String,
    /// Its version, when its owner gave one.
    pub version: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// `REGIONAL`, `EDGE` or `PRIVATE`.
    pub endpoint_type: String,
    /// Whether the `execute-api` host name is switched off.
    pub endpoint_disabled: bool,
    /// `HEADER` or `AUTHORIZER`.
    pub api_key_source: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Its stages.
    pub stages: Vec<Stage>,
    /// Its operations, the same on every stage.
    pub methods: Vec<Method>,
    /// How long its exported document is at least, in bytes. Made when asked for, never kept.
    pub document_bytes: usize,
    /// Whether the document's base path is `/prod` as AWS wrote it for years, or `prod` as it does now.
    pub slashed_base_path: bool,
}

/// A stage.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Its name, the first part of the path.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
    /// Changes with every deployment.
    pub deployment_id: String,
    /// Tags.
    pub tags: BTreeMap<String, String>,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// When it was last changed.
    pub updated: u64,
}

/// An operation of a REST API.
#[derive(Debug, Clone)]
pub struct Method {
    /// `GET` and so on.
    pub verb: String,
    /// `/pets/{petId}`.
    pub path: String,
    /// Whether a call needs an API key.
    pub key_required: bool,
}

/// A usage plan.
#[derive(Debug, Clone)]
pub struct UsagePlan {
    /// Six letters and digits on AWS.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: Option<String>,
    /// The stages that its keys open: REST API id and stage.
    pub stages: Vec<(String, String)>,
    /// Requests a second, and the burst.
    pub throttle: Option<(f64, u32)>,
    /// Requests a period: `DAY`, `WEEK` or `MONTH`.
    pub quota: Option<(u32, String)>,
    /// The ids of the keys bound to it.
    pub keys: Vec<String>,
}

impl Estate {
    /// Nothing at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// The account, made when it is not there.
    pub fn account(&mut self, id: &str) -> &mut Account {
        self.accounts.entry(id.to_owned()).or_default()
    }

    /// The region of the account, both made when they are not there.
    pub fn region(&mut self, account: &str, region: &str) -> &mut Region {
        self.account(account).regions.entry(region.to_owned()).or_default()
    }

    /// A user of `account` who signs with `access_key_id`.
    pub fn user(&mut self, account: &str, name: &str, access_key_id: &str) {
        self.account(account);
        self.principals.insert(access_key_id.to_owned(), Principal::user(account, name));
    }

    /// Every access key that is nobody's belongs to this account. For demos and benchmarks.
    pub fn anybody(&mut self, account: &str) {
        self.account(account);
        self.anybody = Some(account.to_owned());
    }

    /// All keys, in all accounts.
    pub fn keys(&self) -> impl Iterator<Item = &ApiKey> {
        self.regions().flat_map(|region| &region.keys)
    }

    /// How many keys there are, and how many of them are bound to a usage plan.
    pub fn key_counts(&self) -> (usize, usize) {
        let bound = self.regions().map(|region| region.keys.iter().filter(|key| region.is_bound(&key.id)).count());
        (self.keys().count(), bound.sum())
    }

    /// The ids of the keys that are bound to a usage plan.
    pub fn bound_keys(&self) -> impl Iterator<Item = &str> {
        self.regions().flat_map(|region| {
            region.keys.iter().filter(move |key| region.is_bound(&key.id)).map(|key| key.id.as_str())
        })
    }

    pub(super) fn regions(&self) -> impl Iterator<Item = &Region> {
        self.accounts.values().flat_map(|account| account.regions.values())
    }
}

impl Region {
    /// The REST API of that id.
    pub fn api(&self, id: &str) -> Option<&RestApi> {
        self.apis.iter().find(|api| api.id == id)
    }

    /// The usage plan of that id.
    pub fn plan(&self, id: &str) -> Option<&UsagePlan> {
        self.plans.iter().find(|plan| plan.id == id)
    }

    /// The key of that id.
    pub fn key(&self, id: &str) -> Option<&ApiKey> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// Whether the key is bound to any usage plan.
    pub fn is_bound(&self, key_id: &str) -> bool {
        self.plans.iter().any(|plan| plan.holds(key_id))
    }
}

impl RestApi {
    /// A regional one without stages.
    pub fn new(id: &str, name: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            version: None,
            description: None,
            endpoint_type: "REGIONAL".to_owned(),
            endpoint_disabled: false,
            api_key_source: "HEADER".to_owned(),
            tags: BTreeMap::new(),
            created: 1_700_000_000,
            stages: Vec::new(),
            methods: Vec::new(),
            document_bytes: 0,
            slashed_base_path: false,
        }
    }

    /// The same with a version.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        self.version = Some(version.to_owned());
        self
    }

    /// The same with a description.
    #[must_use]
    pub fn description(mut self, description: &str) -> Self {
        self.description = Some(description.to_owned());
        self
    }

    /// The same with one more stage.
    #[must_use]
    pub fn stage(mut self, name: &str) -> Self {
        let nth = self.stages.len();
        self.stages.push(Stage {
            name: name.to_owned(),
            description: None,
            deployment_id: format!("d{}{nth}", self.id.get(..4).unwrap_or("0000")),
            tags: BTreeMap::new(),
            created: self.created,
            updated: self.created,
        });
        self
    }

    /// The same with one more operation that needs a key.
    #[must_use]
    pub fn method(mut self, verb: &str, path: &str) -> Self {
        self.methods.push(Method { verb: verb.to_owned(), path: path.to_owned(), key_required: true });
        self
    }

    /// The same with one more operation that needs no key.
    #[must_use]
    pub fn open_method(mut self, verb: &str, path: &str) -> Self {
        self.methods.push(Method { verb: verb.to_owned(), path: path.to_owned(), key_required: false });
        self
    }

    /// The same, reachable through VPC endpoints only.
    #[must_use]
    pub fn private(mut self) -> Self {
        "PRIVATE".clone_into(&mut self.endpoint_type);
        self
    }

    /// The same with a tag.
    #[must_use]
    pub fn tag(mut self, name: &str, value: &str) -> Self {
        self.tags.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The same with a document of at least so many bytes.
    #[must_use]
    pub fn document_bytes(mut self, bytes: usize) -> Self {
        self.document_bytes = bytes;
        self
    }
}

impl UsagePlan {
    /// One that covers nothing and limits nothing.
    pub fn new(id: &str, name: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: name.to_owned(),
            description: None,
            stages: Vec::new(),
            throttle: None,
            quota: None,
            keys: Vec::new(),
        }
    }

    /// The same with a description.
    #[must_use]
    pub fn description(mut self, description: &str) -> Self {
        self.description = Some(description.to_owned());
        self
    }

    /// The same, covering one stage more.
    #[must_use]
    pub fn covers(mut self, api_id: &str, stage: &str) -> Self {
        self.stages.push((api_id.to_owned(), stage.to_owned()));
        self
    }

    /// The same with a rate (requests a second) and a burst.
    #[must_use]
    pub fn throttle(mut self, rate: f64, burst: u32) -> Self {
        self.throttle = Some((rate, burst));
        self
    }

    /// The same with a quota: requests in each `DAY`, `WEEK` or `MONTH`.
    #[must_use]
    pub fn quota(mut self, limit: u32, period: &str) -> Self {
        self.quota = Some((limit, period.to_owned()));
        self
    }

    /// Whether the key is bound to it.
    pub fn holds(&self, key_id: &str) -> bool {
        self.keys.iter().any(|id| id == key_id)
    }
}

//! Accounts, their credentials, and the clients for their regions.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use aws_config::{AppName, BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_apigateway::config::{IdentityCache, StalledStreamProtectionConfig};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use futures_util::{StreamExt, future::ready, stream};
use tokio::{
    sync::OnceCell,
    time::{Instant, timeout},
};

use super::{
    config::{AccountConfig, Config},
    credentials::{Assume, Chain, IDENTITY, base_vault, of_sts, session_name},
    failure::{self, Asked, Cause, Failure},
    http,
    pace::{Bucket, Quota},
    vault::{FromVault, Vault},
    watch::Watch,
};
use crate::{
    model::Error,
    observe::{CallOutcome, Recorder, Tokens},
};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// After a failure STS is not asked again who we are for so long.
const IDENTITY_AGAIN: Duration = Duration::from_mins(1);
/// How many accounts are asked at once who we are.
const ACCOUNTS_AT_ONCE: usize = 8;
/// A body that stands still for so long is given up.
const STALLED: Duration = Duration::from_secs(10);

/// Everything that calls AWS goes through here.
#[derive(Debug)]
pub(super) struct Access {
    /// What was configured.
    pub(super) config: Config,
    /// The accounts whose APIs are federated, in the order of the settings.
    pub(super) accounts: Vec<Arc<Account>>,
    /// The account of the credentials themselves; one of `accounts` when no role is configured.
    pub(super) base: Arc<Account>,
    /// Is told of every call.
    pub(super) recorder: Recorder,
    /// Looks at every answer.
    pub(super) watch: Arc<Watch>,
    loaded: OnceCell<SdkConfig>,
    buckets: Mutex<Buckets>,
}

/// The buckets in use, by the account's number and, where each has its own, the region.
type Buckets = HashMap<(Option<String>, Option<String>), Arc<Bucket>>;

/// One identity in one account.
#[derive(Debug)]
pub(super) struct Account {
    /// What was configured for it.
    pub(super) config: AccountConfig,
    /// Who asks, for people: `role arn:…` or `the agent's own identity`.
    pub(super) whom: String,
    ready: OnceCell<Ready>,
    identity: tokio::sync::Mutex<Identity>,
    clients: Mutex<BTreeMap<String, aws_sdk_apigateway::Client>>,
}

/// What an account is called with, once it was needed.
#[derive(Debug)]
struct Ready {
    config: SdkConfig,
    vault: Arc<Vault>,
}

#[derive(Debug, Default)]
struct Identity {
    known: Option<Known>,
    /// When and why STS did not tell, the last time.
    failed: Option<(Instant, Error)>,
    /// Whether a person has been told of that.
    told: bool,
}

/// Who an identity is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    /// The account's number.
    pub(super) account: String,
    /// The identity's ARN, when STS told it.
    pub(super) arn: Option<String>,
}

/// One account and region, ready to be called.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The account.
    pub(super) account: Arc<Account>,
    /// The account's number, when it is known.
    pub(super) number: Option<String>,
    /// The region's name.
    pub(super) region: String,
    /// For people: `account 123456789012, eu-west-1`.
    pub(super) place: Arc<str>,
    /// Calls API Gateway there.
    pub(super) client: aws_sdk_apigateway::Client,
    /// Its credentials.
    pub(super) vault: Arc<Vault>,
    /// Its pace.
    pub(super) bucket: Arc<Bucket>,
    /// Is told of every call.
    pub(super) recorder: Recorder,
}

impl Account {
    fn new(config: AccountConfig) -> Arc<Self> {
        let whom =
            config.role.as_ref().map_or_else(|| "the agent's own identity".into(), |role| format!("role {role}"));
        Arc::new(Self {
            config,
            whom,
            ready: OnceCell::new(),
            identity: tokio::sync::Mutex::default(),
            clients: Mutex::default(),
        })
    }

    /// The account's number as the settings tell it.
    pub(super) fn configured_number(&self) -> Option<&str> {
        self.config.role.as_ref().map(|role| role.account.as_str())
    }
}

impl Access {
    /// Everything for `config`; touches no network.
    pub(super) fn new(config: Config, recorder: Recorder) -> Self {
        let accounts: Vec<Arc<Account>> = config.accounts.iter().cloned().map(Account::new).collect();
        let base = accounts.iter().find(|account| account.config.role.is_none()).cloned().unwrap_or_else(|| {
            let regions = config.regions().into_iter().map(str::to_owned).collect();
            Account::new(AccountConfig { role: None, external_id: None, regions, stages: Vec::new() })
        });
        Self {
            config,
            accounts,
            base,
            recorder,
            watch: Arc::default(),
            loaded: OnceCell::new(),
            buckets: Mutex::default(),
        }
    }

    /// The same with an SDK that is set up already.
    #[must_use]
    pub(super) fn with_loaded(mut self, loaded: SdkConfig) -> Self {
        self.loaded = OnceCell::new_with(Some(loaded));
        self
    }

    /// `account` in `region`, ready to be called; asks STS for the account's number when only STS can tell it.
    pub(super) async fn target(&self, account: &Arc<Account>, region: &str) -> Target {
        let ready = self.ready(account).await;
        let number = self.number(account).await;
        let client = account
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(region.to_owned())
            .or_insert_with(|| {
                let config = aws_sdk_apigateway::config::Builder::from(&ready.config)
                    .region(Region::new(region.to_owned()))
                    .build();
                aws_sdk_apigateway::Client::from_conf(config)
            })
            .clone();
        let place = match &number {
            Some(number) => format!("account {number}, {region}"),
            None => format!("the agent's own account, {region}"),
        };
        Target {
            account: account.clone(),
            bucket: self.bucket(number.as_deref(), region),
            number,
            region: region.to_owned(),
            place: place.into(),
            client,
            vault: ready.vault.clone(),
            recorder: self.recorder.clone(),
        }
    }

    /// Every account and region of the settings.
    pub(super) async fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        for account in &self.accounts {
            for region in &account.config.regions {
                targets.push(self.target(account, region).await);
            }
        }
        targets
    }

    /// The account's number: from the role, from the credentials, or from STS.
    pub(super) async fn number(&self, account: &Arc<Account>) -> Option<String> {
        match account.configured_number() {
            Some(number) => Some(number.to_owned()),
            None => self.known(account).await.map(|known| known.account),
        }
    }

    /// Who `account`'s identity is, as far as it can be known. A failure is a warning: nothing depends on it but names.
    pub(super) async fn known(&self, account: &Arc<Account>) -> Option<Known> {
        let mut identity = account.identity.lock().await;
        self.find_out(account, &mut identity).await;
        if let (Some((_, error)), false) = (&identity.failed, identity.told) {
            let integration = &self.config.integration;
            tracing::warn!(
                integration,
                identity = %account.whom,
                class = error.class().word(),
                "STS does not tell which account this is: {error}"
            );
            identity.told = true;
        }
        identity.known.clone()
    }

    /// A line for every account whose identity is known, an error for every other that nobody has told yet.
    pub(super) async fn identify(&self) -> Vec<Result<String, Error>> {
        let asking = stream::iter(0..self.accounts.len()).map(|n| async move {
            let account = &self.accounts[n];
            let mut identity = account.identity.lock().await;
            self.find_out(account, &mut identity).await;
            if let Some(Known { account, arn }) = &identity.known {
                return Some(Ok(arn
                    .as_ref()
                    .map_or_else(|| format!("account {account}"), |arn| format!("account {account} as {arn}"))));
            }
            let told = std::mem::replace(&mut identity.told, true);
            let (_, error) = identity.failed.as_ref().filter(|_| !told)?;
            Some(Err(Error::new(error.class(), error.sentence())))
        });
        let mut lines: Vec<Result<String, Error>> = Vec::new();
        for line in asking.buffered(ACCOUNTS_AT_ONCE).filter_map(ready).collect::<Vec<_>>().await {
            // Roles that are assumed with credentials that are not there all fail for one reason.
            if !lines.iter().any(|told| words(told) == words(&line)) {
                lines.push(line);
            }
        }
        lines
    }

    /// Asks STS, unless the answer is known or the last failure is fresh.
    async fn find_out(&self, account: &Arc<Account>, identity: &mut Identity) {
        let recently = identity.failed.as_ref().is_some_and(|(asked, _)| asked.elapsed() < IDENTITY_AGAIN);
        if identity.known.is_some() || recently {
            return;
        }
        match self.ask_identity(account).await {
            Ok(known) => *identity = Identity { known: Some(known), ..Identity::default() },
            Err(failure) => identity.failed = Some((Instant::now(), unidentified(failure))),
        }
    }

    /// Asks STS who `account`'s identity is. [`Cause::Credentials`]: there are none, or AWS does not take them.
    pub(super) async fn ask_identity(&self, account: &Arc<Account>) -> Result<Known, Failure> {
        let ready = self.ready(account).await;
        let credentials = match ready.vault.get().await {
            Ok(credentials) => credentials,
            Err(error) => return Err(Failure { cause: Cause::Credentials, ..Failure::harmless(error) }),
        };
        let sts = aws_sdk_sts::Client::new(&of_sts(&ready.config));
        let calling = self.recorder.calling("GetCallerIdentity");
        let asked =
            Asked { operation: "GetCallerIdentity", right: "sts:GetCallerIdentity", place: "STS", whom: &account.whom };
        let answer = match timeout(IDENTITY, Box::pin(sts.get_caller_identity().send())).await {
            Ok(Ok(answer)) => {
                calling.ended(CallOutcome::Good);
                answer
            }
            Ok(Err(error)) => {
                let failed = failure::of_sdk(&error, &asked);
                calling.ended(CallOutcome::Failed(failed.class()));
                if failed.cause == Cause::Credentials {
                    ready.vault.refused(&credentials).await;
                }
                return Err(ready.vault.advise(failed));
            }
            Err(_) => {
                let lost = failure::lost(&asked, "no answer in time");
                calling.ended(CallOutcome::Failed(lost.class()));
                return Err(lost);
            }
        };
        let number = answer.account.or_else(|| credentials.account_id().map(|id| id.as_str().to_owned()));
        match number {
            Some(account) => Ok(Known { account, arn: answer.arn }),
            None => Err(Failure::harmless(Error::unavailable("GetCallerIdentity (STS) names no account"))),
        }
    }

    /// Whether `account` has credentials.
    pub(super) async fn credentials(&self, account: &Arc<Account>) -> Result<Credentials, Error> {
        self.ready(account).await.vault.get().await
    }

    fn bucket(&self, number: Option<&str>, region: &str) -> Arc<Bucket> {
        let Config { calls_per_second, burst, .. } = self.config;
        let region = self.config.bucket_per_region.then(|| region.to_owned());
        let new = || match number {
            Some(number) => {
                let endpoint = self.config.endpoint.as_ref().map(ToString::to_string);
                let quota = Quota { endpoint, account: number.to_owned(), region: region.clone() };
                Bucket::shared(quota, calls_per_second, burst)
            }
            // Whose account this is cannot be known, so that it can be shared with nobody.
            None => Arc::new(Bucket::new(calls_per_second, burst)),
        };
        let key = (number.map(str::to_owned), region.clone());
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let told = |bucket: Arc<Bucket>| {
            let tokens: Weak<dyn Tokens> = Arc::downgrade(&(Arc::clone(&bucket) as Arc<dyn Tokens>));
            self.recorder.bucket(number, region.as_deref(), tokens);
            bucket
        };
        buckets.entry(key).or_insert_with(|| told(new())).clone()
    }

    async fn ready<'a>(&'a self, account: &'a Arc<Account>) -> &'a Ready {
        let Some(role) = &account.config.role else { return self.base_ready().await };
        account
            .ready
            .get_or_init(|| async {
                let base = self.base_ready().await;
                let region = account.config.regions.first().cloned().unwrap_or_default();
                let assume = Assume {
                    sts: aws_sdk_sts::Client::new(&of_sts(&at(&base.config, &region))),
                    base: base.vault.clone(),
                    recorder: self.recorder.clone(),
                    role: role.text.clone(),
                    external_id: account.config.external_id.clone(),
                    session: session_name(&self.config.integration),
                    region: region.clone(),
                };
                let vault = assume.into_vault(&self.config.integration);
                Ready::new(&base.config, vault, &region)
            })
            .await
    }

    async fn base_ready(&self) -> &Ready {
        self.base
            .ready
            .get_or_init(|| async {
                let loaded = self.loaded().await;
                let region = self.base.config.regions.first().cloned().unwrap_or_default();
                let (http, config) = (loaded.http_client(), self.config.clone());
                let chain: Chain = Arc::new(move || {
                    let (http, config) = (http.clone(), config.clone());
                    Box::pin(async move { load(&config, http).await.credentials_provider() })
                });
                Ready::new(loaded, base_vault(chain, &self.config), &region)
            })
            .await
    }

    /// What the SDK was set up with.
    pub(super) async fn sdk(&self) -> &SdkConfig {
        self.loaded().await
    }

    /// What all clients share.
    async fn loaded(&self) -> &SdkConfig {
        self.loaded
            .get_or_init(|| async {
                let http =
                    http::client(self.config.proxies.clone(), self.config.extra_ca.clone(), Arc::clone(&self.watch));
                load(&self.config, Some(http)).await
            })
            .await
    }
}

/// Reads the profile files and the environment; touches no network.
pub(super) async fn load(config: &Config, http: Option<SharedHttpClient>) -> SdkConfig {
    let region = config.regions().first().map_or("us-east-1", |region| region).to_owned();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        // Never the environment's: a compose file may hold a list there.
        .region(Region::new(region))
        // The one loop that repeats is ours.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT).build())
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled().upload_enabled(false).grace_period(STALLED).build(),
        )
        .identity_cache(IdentityCache::no_cache());
    if let Some(http) = http {
        loader = loader.http_client(http);
    }
    if let Ok(name) = AppName::new(concat!("federation-agent-", env!("CARGO_PKG_VERSION"))) {
        loader = loader.app_name(name);
    }
    if let Some(url) = &config.endpoint {
        loader = loader.endpoint_url(url.as_str().trim_end_matches('/'));
    }
    Box::pin(loader.load()).await
}

impl Ready {
    fn new(config: &SdkConfig, vault: Vault, region: &str) -> Self {
        let vault = Arc::new(vault);
        let provider = SharedCredentialsProvider::new(FromVault(vault.clone()));
        let config = at(config, region).to_builder().credentials_provider(provider).build();
        Self { config, vault }
    }
}

/// What a failure to learn who we are means for a person.
pub(super) fn unidentified(failure: Failure) -> Error {
    match failure.cause {
        Cause::Credentials => failure.error,
        _ => Error::new(
            failure.class(),
            format!("{}. The agent works without this answer, but may not be able to name the account", failure.error),
        ),
    }
}

fn words(line: &Result<String, Error>) -> &str {
    match line {
        Ok(line) => line,
        Err(error) => error.sentence(),
    }
}

/// The same in `region`.
pub(super) fn at(config: &SdkConfig, region: &str) -> SdkConfig {
    config.to_builder().region(Region::new(region.to_owned())).build()
}

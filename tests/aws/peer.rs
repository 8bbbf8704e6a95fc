//! The AWS that a case runs against: the stand-in, or MiniStack. A case sees no difference, unless it asks for one.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_credential_types::Credentials;
use aws_sdk_apigateway::{
    Client,
    config::{BehaviorVersion, Region as RegionName, retry::RetryConfig},
};
use federation_agent::{
    observe::Recorder,
    provider::{self, Provider},
    settings::{Integration, Process, Values},
    standin::{Estate, Gateway, Region, Role},
};

use super::ministack::{MiniStack, element};

/// Account numbers are dealt out, so that cases share a peer and never meet.
static ACCOUNTS: AtomicU64 = AtomicU64::new(100_000_000_001);

/// An AWS.
#[derive(Clone)]
pub(crate) struct Peer {
    kind: Kind,
    /// What users and roles may do; none: everything. Only MiniStack looks at it.
    policies: Vec<&'static str>,
}

#[derive(Clone)]
enum Kind {
    StandIn(Gateway),
    MiniStack(Arc<MiniStack>),
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) access_key_id: String,
    pub(crate) secret: String,
}

impl User {
    fn credentials(&self) -> Credentials {
        Credentials::new(&self.access_key_id, &self.secret, None, None, "test")
    }
}

impl Peer {
    /// The stand-in, empty.
    pub(crate) async fn standin() -> Self {
        let gateway = Gateway::start(Estate::new()).await.expect("a loopback port");
        Self::of(gateway)
    }

    /// This stand-in.
    pub(crate) fn of(gateway: Gateway) -> Self {
        Self { kind: Kind::StandIn(gateway), policies: Vec::new() }
    }

    /// A MiniStack whose users and roles may do everything; `None` when there is none on this machine.
    pub(crate) async fn ministack() -> Option<Self> {
        Some(Self::of_stack(Arc::new(MiniStack::start().await?)))
    }

    /// This MiniStack.
    pub(crate) fn of_stack(ministack: Arc<MiniStack>) -> Self {
        Self { kind: Kind::MiniStack(ministack), policies: Vec::new() }
    }

    /// The same peer, giving this policy alone to the users and roles that are made from now on.
    pub(crate) fn under(&self, policy: &'static str) -> Self {
        Self { policies: vec![policy], ..self.clone() }
    }

    /// The same peer, giving this policy too, unless they may do everything or have Gravitee's policy, which holds it.
    pub(crate) fn with_also(&self, policy: &'static str) -> Self {
        let mut peer = self.clone();
        let published = include_str!("../../iam/gravitee-published.json");
        if !peer.policies.is_empty() && !peer.policies.contains(&published) {
            peer.policies.push(policy);
        }
        peer
    }

    /// Whether users and roles may look for keys by their names.
    pub(crate) fn may_find(&self) -> bool {
        self.policies.is_empty() || self.policies.contains(&FIND_LEFTOVERS)
    }

    /// The stand-in's handle, when it is the stand-in.
    pub(crate) fn gateway(&self) -> Option<&Gateway> {
        match &self.kind {
            Kind::StandIn(gateway) => Some(gateway),
            Kind::MiniStack(_) => None,
        }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        match &self.kind {
            Kind::StandIn(gateway) => gateway.address(),
            Kind::MiniStack(ministack) => ministack.address(),
        }
    }

    /// What `endpointUrl` is set to.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// An account that nobody else uses.
    pub(crate) fn account(&self) -> String {
        let account = ACCOUNTS.fetch_add(1, Ordering::Relaxed).to_string();
        if let Kind::StandIn(gateway) = &self.kind {
            gateway.with(|estate| estate.user(&account, "root", &account));
        }
        account
    }

    /// Puts REST APIs and usage plans into an account's region. The ids of usage plans may become others: ask
    /// [`Peer::plan`].
    pub(crate) async fn build(&self, account: &str, region: &str, what: Region) {
        match &self.kind {
            Kind::StandIn(gateway) => gateway.with(|estate| *estate.region(account, region) = what),
            Kind::MiniStack(ministack) => ministack.build(account, region, &what).await,
        }
    }

    /// The id of the usage plan of that name.
    pub(crate) async fn plan(&self, account: &str, region: &str, name: &str) -> String {
        let plans = self.root(account, region).get_usage_plans().limit(500).send().await.expect("root may");
        let plan = plans.items().iter().find(|plan| plan.name() == Some(name)).expect("built before");
        plan.id().expect("a plan has an id").to_owned()
    }

    /// A user with this peer's policy, and the right to assume any role.
    pub(crate) async fn user(&self, account: &str, name: &str) -> User {
        match &self.kind {
            Kind::StandIn(gateway) => {
                let access_key_id = format!("AKIA{account}{name}");
                gateway.with(|estate| estate.user(account, name, &access_key_id));
                User { access_key_id, secret: "any".to_owned() }
            }
            Kind::MiniStack(ministack) => {
                ministack.iam(account, &[("Action", "CreateUser"), ("UserName", name)]).await;
                for (nth, document) in self.rights().into_iter().chain([ASSUME_ANY]).enumerate() {
                    let policy = format!("rights-{nth}");
                    let put = [
                        ("Action", "PutUserPolicy"),
                        ("UserName", name),
                        ("PolicyName", &policy),
                        ("PolicyDocument", document),
                    ];
                    ministack.iam(account, &put).await;
                }
                let made = ministack.iam(account, &[("Action", "CreateAccessKey"), ("UserName", name)]).await;
                User { access_key_id: element(&made, "AccessKeyId"), secret: element(&made, "SecretAccessKey") }
            }
        }
    }

    /// A role with this peer's policy that everybody may assume, or everybody who knows the external id. Its ARN.
    pub(crate) async fn role(&self, account: &str, name: &str, external_id: Option<&str>) -> String {
        match &self.kind {
            Kind::StandIn(gateway) => {
                let role = external_id.map_or_else(Role::open, Role::with_external_id);
                gateway.with(|estate| estate.account(account).roles.insert(name.to_owned(), role));
            }
            Kind::MiniStack(ministack) => {
                let mut trust = serde_json::json!({
                    "Version": "2012-10-17",
                    "Statement": [{ "Effect": "Allow", "Principal": { "AWS": "*" }, "Action": "sts:AssumeRole" }],
                });
                if let Some(external_id) = external_id {
                    trust["Statement"][0]["Condition"] =
                        serde_json::json!({ "StringEquals": { "sts:ExternalId": external_id } });
                }
                let trust = trust.to_string();
                let make = [("Action", "CreateRole"), ("RoleName", name), ("AssumeRolePolicyDocument", trust.as_str())];
                ministack.iam(account, &make).await;
                for (nth, document) in self.rights().into_iter().enumerate() {
                    let policy = format!("rights-{nth}");
                    let put = [
                        ("Action", "PutRolePolicy"),
                        ("RoleName", name),
                        ("PolicyName", &policy),
                        ("PolicyDocument", document),
                    ];
                    ministack.iam(account, &put).await;
                }
            }
        }
        format!("arn:aws:iam::{account}:role/{name}")
    }

    fn rights(&self) -> Vec<&'static str> {
        if self.policies.is_empty() { vec![EVERYTHING] } else { self.policies.clone() }
    }

    /// The SDK, as the account's root user: to build with, and to see what became of things.
    pub(crate) fn root(&self, account: &str, region: &str) -> Client {
        self.client(&User { access_key_id: account.to_owned(), secret: "test".to_owned() }, region)
    }

    /// The SDK as this user.
    pub(crate) fn client(&self, user: &User, region: &str) -> Client {
        self.client_of(user.credentials(), region)
    }

    /// The SDK with temporary credentials.
    pub(crate) fn session(&self, session: &aws_sdk_sts::types::Credentials, region: &str) -> Client {
        let token = session.session_token().to_owned();
        let credentials =
            Credentials::new(session.access_key_id(), session.secret_access_key(), Some(token), None, "test");
        self.client_of(credentials, region)
    }

    fn client_of(&self, credentials: Credentials, region: &str) -> Client {
        let config = aws_sdk_apigateway::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(credentials)
            .region(RegionName::new(region.to_owned()))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(self.url());
        Client::from_conf(config.build())
    }

    /// STS as this user.
    pub(crate) fn sts(&self, user: &User, region: &str) -> aws_sdk_sts::Client {
        let config = aws_sdk_sts::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .credentials_provider(user.credentials())
            .region(RegionName::new(region.to_owned()))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(self.url());
        aws_sdk_sts::Client::from_conf(config.build())
    }

    /// The agent's provider as this user, with these settings beside the endpoint and an open bucket.
    pub(crate) fn provider(&self, user: &User, settings: &[(&str, &str)]) -> Arc<dyn Provider> {
        self.provider_in(&Process::default(), user, settings)
    }

    /// The same in a process with these settings.
    pub(crate) fn provider_in(&self, process: &Process, user: &User, settings: &[(&str, &str)]) -> Arc<dyn Provider> {
        let url = self.url();
        let mut pairs = vec![("accessKeyId", user.access_key_id.as_str()), ("secretAccessKey", user.secret.as_str())];
        for (name, value) in [("endpointUrl", url.as_str()), ("callsPerSecond", "10000"), ("burst", "1000")] {
            if settings.iter().all(|(set, _)| *set != name) {
                pairs.push((name, value));
            }
        }
        pairs.extend_from_slice(settings);
        let kind = provider::kind("aws-api-gateway").expect("AWS is one of the kinds");
        let prefix = "gravitee_integration_providers_0_configuration_";
        let values = Values::of(kind.keys, prefix, &pairs).unwrap_or_else(|faults| panic!("{faults}"));
        let integration = Integration { index: 0, kind: kind.name.to_owned(), id: INTEGRATION.to_owned(), values };
        (kind.build)(&integration, process, &Recorder::default()).unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// Takes a stage away from a REST API; usage plans that cover it go on saying so.
    pub(crate) async fn drop_stage(&self, account: &str, region: &str, api_id: &str, stage: &str) {
        match &self.kind {
            Kind::StandIn(gateway) => gateway.with(|estate| {
                for api in estate.region(account, region).apis.iter_mut().filter(|api| api.id == api_id) {
                    api.stages.retain(|found| found.name != stage);
                }
            }),
            Kind::MiniStack(_) => {
                let drop = self.root(account, region).delete_stage().rest_api_id(api_id).stage_name(stage);
                drop.send().await.expect("root may");
            }
        }
    }

    /// The ids of the keys bound to the plan.
    pub(crate) async fn bound(&self, account: &str, region: &str, plan: &str) -> Vec<String> {
        let keys = self.root(account, region).get_usage_plan_keys().usage_plan_id(plan).send().await.expect("root may");
        keys.items().iter().filter_map(|key| key.id().map(ToOwned::to_owned)).collect()
    }

    /// The ids of all keys of the account's region.
    pub(crate) async fn keys(&self, account: &str, region: &str) -> Vec<String> {
        let keys = self.root(account, region).get_api_keys().limit(500).send().await.expect("root may");
        keys.items().iter().filter_map(|key| key.id().map(ToOwned::to_owned)).collect()
    }
}

/// The integration's id in every test.
pub(crate) const INTEGRATION: &str = "1f0b2c3d-0000-4000-8000-00000000cafe";

/// What looking for keys by their names needs.
pub(crate) const FIND_LEFTOVERS: &str = include_str!("../../iam/find-leftovers.json");

const EVERYTHING: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"apigateway:*","Resource":"*"}]}"#;

const ASSUME_ANY: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}"#;

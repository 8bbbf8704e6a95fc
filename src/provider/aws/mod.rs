//! AWS API Gateway: REST APIs and their stages, usage plans, API keys.
//!
//! An API of the plane is a stage of a REST API; a plan is a usage plan; a grant is an API key bound to one.

mod address;
mod answer;
mod call;
mod check;
mod client;
mod config;
mod credentials;
mod doors;
mod export;
mod failure;
mod foreign;
#[doc(hidden)]
pub mod fuzz;
mod held;
mod http;
mod keys;
mod list;
mod lookup;
mod map;
mod nameless;
mod pace;
mod region;
mod rights;
mod subscribe;
mod template;
mod unsubscribe;
mod vault;
mod watch;

pub use keys::KEYS;

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use tokio::sync::mpsc;

use self::{
    client::Access,
    config::Config,
    foreign::{Names, Routes},
};
use super::{Call, Door, Finding, Found, Keys, Kind, Listed, Provider, Revoked, Witness};
use crate::{
    model::{Api, Dated, Error, Grant, Subscription, Texts},
    observe::Recorder,
    settings::{Faults, Integration, Process},
};

/// How the settings name it.
pub static KIND: Kind = Kind { name: "aws-api-gateway", title: "AWS API Gateway", keys: &KEYS, build };

/// What AWS may be asked for while the agent runs; a role is assumed only where one is configured.
const OPERATIONS: [&str; 10] = [
    "GetCallerIdentity",
    "GetRestApis",
    "GetRestApi",
    "GetStages",
    "GetUsagePlans",
    "GetExport",
    "CreateApiKey",
    "CreateUsagePlanKey",
    "DeleteApiKey",
    "GetApiKeys",
];

fn build(integration: &Integration, process: &Process, recorder: &Recorder) -> Result<Arc<dyn Provider>, Faults> {
    let config = Config::read(integration, process)?;
    recorder.operations(&OPERATIONS);
    if config.accounts.iter().any(|account| account.role.is_some()) {
        recorder.operations(&["AssumeRole"]);
    }
    let inner =
        Inner { access: Access::new(config, recorder.clone()), routes: Routes::default(), names: Names::default() };
    Ok(Arc::new(Aws(Arc::new(inner))))
}

/// AWS API Gateway, in all accounts and regions of one integration.
struct Aws(Arc<Inner>);

/// What the work on one command shares with that on others.
struct Inner {
    access: Access,
    /// Which account has which REST API, for commands that do not tell.
    routes: Routes,
    /// What REST APIs are called, for the descriptions of keys.
    names: Names,
}

#[async_trait]
impl Provider for Aws {
    fn kind(&self) -> &'static str {
        KIND.name
    }

    fn describe(&self) -> Vec<String> {
        let config = &self.0.access.config;
        let identity = match &config.pair {
            Some((id, _)) => {
                let end: String = id.chars().skip(id.chars().count().saturating_sub(4)).collect();
                format!("credentials: the pair of the settings, access key …{end}")
            }
            None => "credentials: AWS's default chain".into(),
        };
        let mut lines = vec![identity];
        for account in &config.accounts {
            let whose = match &account.role {
                Some(role) => {
                    let external_id = if account.external_id.is_some() { ", with an external id" } else { "" };
                    format!("account {} (role {role}{external_id})", role.account)
                }
                None => "the account of the credentials".into(),
            };
            let stages = if account.stages.is_empty() { "all".into() } else { account.stages.join(", ") };
            let plans = if config.without_plan { "with or without usage plan" } else { "with a usage plan" };
            lines.push(format!("{whose}: regions {}; stages {stages}, {plans}", account.regions.join(", ")));
        }
        if let Some(url) = &config.endpoint {
            lines.push(format!("AWS is asked at {url}"));
        }
        lines
    }

    async fn identify(&self, call: &Call) -> Vec<Result<String, Error>> {
        call::within(call, "asking STS who we are", self.0.access.identify())
            .await
            .unwrap_or_else(|error| vec![Err(error)])
    }

    async fn list(&self, call: &Call, found: mpsc::Sender<Found>) -> Result<(), Error> {
        list::list(&self.0, call, found).await
    }

    async fn read(&self, call: &Call, listed: &Listed) -> Result<Api, Error> {
        let Inner { access, routes, .. } = &*self.0;
        let address = foreign::address(&listed.api.id, &listed.api.connection)?;
        let finding = foreign::target(access, routes, call, &address, &listed.api.connection);
        let target = call::within(call, "finding the account of the API", finding).await??;
        let document = export::read(&target, call, &address).await?;
        Ok(Api { documents: vec![document], ..listed.api.clone() })
    }

    async fn subscribe(
        &self,
        call: &Call,
        api_id: &str,
        subscription: &Subscription,
        witness: &Arc<dyn Witness>,
    ) -> Result<Grant, Error> {
        subscribe::subscribe(&self.0, call, api_id, subscription, witness).await
    }

    async fn unsubscribe(&self, call: &Call, api_id: &str, subscription: &Subscription) -> Result<Revoked, Error> {
        unsubscribe::unsubscribe(&self.0, call, api_id, subscription).await
    }

    async fn sweep(
        &self,
        call: &Call,
        api_id: &str,
        subscription_id: &str,
        trace: &Texts,
        spare: &[Texts],
    ) -> Result<Revoked, Error> {
        nameless::sweep(&self.0.access, call, api_id, subscription_id, trace, spare).await
    }

    async fn keys(&self, call: &Call, known: &BTreeSet<String>, found: mpsc::Sender<Keys>) -> Result<(), Error> {
        held::keys(&self.0.access, call, known, found).await
    }

    fn lasting(&self, metadata: &Texts) -> Texts {
        unsubscribe::lasting(metadata)
    }

    fn key_id(&self, metadata: &Texts) -> Option<String> {
        map::key::told(metadata, map::key::API_KEY).map(str::to_owned)
    }

    async fn check(&self, call: &Call, findings: mpsc::Sender<Finding>) {
        check::check(&self.0, call, findings).await;
    }

    async fn doors(&self) -> Vec<Door> {
        doors::doors(&self.0.access).await
    }

    fn clock(&self) -> Option<Dated> {
        self.0.access.watch.clock()
    }

    fn least_policy(&self) -> String {
        rights::least_policy(&self.0.access.config)
    }

    fn calls(&self) -> Vec<(&'static str, u64)> {
        self.0.access.recorder.calls()
    }
}

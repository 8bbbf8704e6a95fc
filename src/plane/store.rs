//! What the plane keeps of an integration, and Gravitee's rules for it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use secrecy::SecretString;
use tokio::sync::watch;

use super::job::JobState;
use crate::model::{Api, Texts};

/// One integration.
pub(super) struct Integration {
    pub(super) provider: String,
    /// By [`Api::unique_id`].
    pub(super) apis: BTreeMap<String, Api>,
    /// By [`PlaneSubscription::id`]; accepted ones only.
    pub(super) subscriptions: BTreeMap<String, PlaneSubscription>,
    pub(super) jobs: BTreeMap<String, Arc<watch::Sender<JobState>>>,
    pub(super) last_job: Option<String>,
}

/// An accepted subscription.
#[derive(Debug, Clone)]
pub struct PlaneSubscription {
    /// The plane's id of it.
    pub id: String,
    /// Which integration.
    pub integration: String,
    /// [`Api::id`].
    pub api_id: String,
    /// [`Plan::id`](crate::model::Plan::id).
    pub plan_id: String,
    /// Whose it is.
    pub application: String,
    /// The key, when there is one.
    pub api_key: Option<SecretString>,
    /// What the agent wants back when it ends.
    pub metadata: Texts,
}

impl Integration {
    pub(super) fn new(provider: &str) -> Self {
        Self {
            provider: provider.to_owned(),
            apis: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            jobs: BTreeMap::new(),
            last_job: None,
        }
    }

    /// The API with that [`Api::id`].
    pub(super) fn api(&self, id: &str) -> Option<&Api> {
        self.apis.values().find(|api| api.id == id)
    }

    /// What SUBSCRIBE carries: the connection's details, over them the API's metadata whose key contains the provider's
    /// type, over them the plan.
    pub(super) fn subscribe_metadata(&self, api: &Api, plan_id: &str) -> Texts {
        let mut texts = api.connection.clone();
        let provided = api.metadata.iter().filter(|entry| entry.name.contains(&self.provider));
        texts.extend(provided.map(|entry| (entry.name.clone(), entry.value.clone())));
        texts.insert("planId".into(), plan_id.to_owned());
        texts
    }

    /// What UNSUBSCRIBE carries: the connection's details as they are now, over them what the subscription holds.
    pub(super) fn unsubscribe_metadata(&self, subscription: &PlaneSubscription) -> Texts {
        let mut texts = self.api(&subscription.api_id).map(|api| api.connection.clone()).unwrap_or_default();
        texts.extend(subscription.metadata.clone());
        texts
    }

    /// The subscriptions that end because `api` comes without their plan.
    pub(super) fn ended_by(&self, api: &Api) -> Vec<String> {
        let Some(known) = self.apis.get(&api.unique_id) else { return Vec::new() };
        let plans: BTreeSet<&str> = api.plans.iter().map(|plan| plan.id.as_str()).collect();
        let ends = |subscription: &&PlaneSubscription| {
            subscription.api_id == known.id && !plans.contains(subscription.plan_id.as_str())
        };
        self.subscriptions.values().filter(ends).map(|subscription| subscription.id.clone()).collect()
    }

    /// Stores `api`, over what is known of it: plans and documents that it does not list are gone, metadata is never
    /// removed, a plan keeps its security. `false` when the plane would give it up: two plans with one id.
    pub(super) fn store(&mut self, mut api: Api) -> bool {
        if let Some(known) = self.apis.get(&api.unique_id) {
            let distinct: BTreeSet<&str> = api.plans.iter().map(|plan| plan.id.as_str()).collect();
            if distinct.len() < api.plans.len() {
                return false;
            }
            for plan in &mut api.plans {
                if let Some(old) = known.plans.iter().find(|old| old.id == plan.id) {
                    plan.security = old.security;
                }
            }
            for old in &known.metadata {
                match api.metadata.iter_mut().find(|entry| entry.name == old.name) {
                    Some(entry) => entry.format = old.format,
                    None => api.metadata.push(old.clone()),
                }
            }
        }
        self.apis.insert(api.unique_id.clone(), api);
        true
    }
}

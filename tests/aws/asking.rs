//! Asking a provider as the agent does.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use federation_agent::{
    model::{Api, Error, Grant, Subscription, SubscriptionKind, Texts},
    provider::{Call, Found, Listed, Provider, Witness},
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

/// A command that may take a minute and is wanted.
pub(crate) fn call() -> Call {
    call_for(Duration::from_secs(50))
}

/// A command that may take so long.
pub(crate) fn call_for(budget: Duration) -> Call {
    Call { id: "a-test".to_owned(), deadline: Instant::now() + budget, cancel: CancellationToken::new() }
}

/// A witness that remembers nothing.
pub(crate) fn nobody() -> Arc<dyn Witness> {
    struct Nobody;

    #[async_trait]
    impl Witness for Nobody {
        async fn making(&self, _: &Texts) {}
        async fn made(&self, _: &Texts) {}
        async fn unmade(&self) {}
    }

    Arc::new(Nobody)
}

/// All that a list told.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) apis: Vec<Listed>,
    pub(crate) left_out: Vec<(String, String)>,
    pub(crate) failed: Vec<(String, Error)>,
    pub(crate) outcome: Result<(), Error>,
}

impl Listing {
    /// The APIs' ids in order.
    pub(crate) fn ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.apis.iter().map(|listed| listed.api.unique_id.as_str()).collect();
        ids.sort_unstable();
        ids
    }

    /// The API of that id.
    #[track_caller]
    pub(crate) fn api(&self, id: &str) -> &Listed {
        let found = self.apis.iter().find(|listed| listed.api.unique_id == id);
        found.unwrap_or_else(|| panic!("{id} is not among {:?}", self.ids()))
    }
}

/// Lists to the end.
pub(crate) async fn list(provider: &Arc<dyn Provider>, call: &Call) -> Listing {
    let (sender, mut receiver) = mpsc::channel(16);
    let (provider, call) = (Arc::clone(provider), call.clone());
    let listing = tokio::spawn(async move { provider.list(&call, sender).await });
    let mut told = Listing { apis: Vec::new(), left_out: Vec::new(), failed: Vec::new(), outcome: Ok(()) };
    while let Some(found) = receiver.recv().await {
        match found {
            Found::Api(listed) => told.apis.push(*listed),
            Found::LeftOut { what, why } => told.left_out.push((what, why)),
            Found::Failed { source, error } => told.failed.push((source, error)),
        }
    }
    told.outcome = listing.await.expect("a provider does not panic");
    told
}

/// Lists, and nothing may go wrong.
pub(crate) async fn listed(provider: &Arc<dyn Provider>) -> Listing {
    let told = list(provider, &call()).await;
    told.outcome.as_ref().expect("the list succeeds");
    assert!(told.failed.is_empty(), "{:?}", told.failed);
    told
}

/// A subscription to a plan of an API, as the plane tells it at SUBSCRIBE.
pub(crate) fn asking(api: &Api, plan: &str) -> Subscription {
    let mut metadata = api.connection.clone();
    metadata.insert("planId".to_owned(), plan.to_owned());
    Subscription {
        id: "5ab5c21b-0000-4000-8000-000000000001".to_owned(),
        application_id: Some("a-99".to_owned()),
        application_name: Some("Storefront".to_owned()),
        kind: Some(SubscriptionKind::ApiKey),
        metadata,
    }
}

/// The same subscription, as the plane tells it at UNSUBSCRIBE.
pub(crate) fn ending(api: &Api, grant: &Grant) -> Subscription {
    let mut metadata = api.connection.clone();
    metadata.extend(grant.metadata.clone());
    leaving(metadata)
}

/// A subscription that ends, with this metadata.
pub(crate) fn leaving(metadata: Texts) -> Subscription {
    Subscription {
        id: "5ab5c21b-0000-4000-8000-000000000001".to_owned(),
        application_id: None,
        application_name: None,
        kind: None,
        metadata,
    }
}

/// Texts by name.
pub(crate) fn texts(pairs: &[(&str, &str)]) -> Texts {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

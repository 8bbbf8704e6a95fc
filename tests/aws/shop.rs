//! A stand-in with the demo's estate and a provider that asks it, for what no peer does on demand.

use std::sync::Arc;

use federation_agent::{
    model::{Api, Error, Grant},
    provider::{Call, Provider, Witness},
    standin::{Estate, Gateway, REGION},
};

use crate::suite::{
    asking::{asking, listed, nobody},
    peer::{Peer, User},
};

/// The demo's estate, with this failure.
pub(crate) struct Shop {
    pub(crate) peer: Peer,
    pub(crate) provider: Arc<dyn Provider>,
}

pub(crate) const PETS: &str = "eu-west-1:p3ts7ore01:prod";
pub(crate) const GOLD: &str = "g0ld77";

impl Shop {
    pub(crate) async fn new() -> Self {
        Self::of(Estate::demo()).await
    }

    pub(crate) async fn of(estate: Estate) -> Self {
        let peer = Peer::of(Gateway::start(estate).await.expect("a loopback port"));
        let provider = peer.provider(&user(), &[("region", REGION)]);
        Self { peer, provider }
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        self.peer.gateway().expect("the stand-in")
    }

    pub(crate) async fn pets(&self) -> Api {
        listed(&self.provider).await.api(PETS).api.clone()
    }

    /// Subscribes to Petstore's Gold plan.
    pub(crate) async fn subscribe(&self, call: &Call) -> Result<Grant, Error> {
        self.subscribe_before(call, &nobody()).await
    }

    /// The same before this witness.
    pub(crate) async fn subscribe_before(&self, call: &Call, witness: &Arc<dyn Witness>) -> Result<Grant, Error> {
        let api = self.pets().await;
        self.gateway().forget();
        self.provider.subscribe(call, &api.id, &asking(&api, GOLD), witness).await
    }

    pub(crate) fn keys(&self) -> usize {
        self.gateway().with(|estate| estate.keys().count())
    }
}

pub(crate) fn user() -> User {
    User { access_key_id: "AKIAANYBODY000000000".to_owned(), secret: "any".to_owned() }
}

//! SUBSCRIBE and UNSUBSCRIBE: a grant is made or removed, and a grant that the plane never heard of is undone.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Agent,
    command::{Done, Effect, Outcome},
    fault::caught,
    lanes::Turn,
    patience::patient,
    shape::units,
    shutting_down,
};
use crate::{
    exchange::{ReplyBody, Subscribed},
    model::{Error, Subscription, Texts},
    provider::{Call, Revoked, Witness},
};

/// How often undoing is tried.
const UNDO_TRIES: u32 = 5;

/// How long one try may take.
const UNDO_BUDGET: Duration = Duration::from_secs(20);

/// The longest name and value that the plane stores with a subscription, in UTF-16 units.
const STORED: (usize, usize) = (128, 4_000);

/// A grant whose reply is on its way, and all that undoing it needs.
pub(super) struct Made {
    api_id: String,
    /// As UNSUBSCRIBE would tell it: the API's connection and, over it, the grant's metadata.
    subscription: Subscription,
    /// Nobody else works on the subscription before the reply is out or the grant is undone.
    turn: Turn,
}

impl Agent {
    pub(super) async fn subscribe(self: &Arc<Self>, call: &Call, api_id: &str, subscription: &Subscription) -> Outcome {
        if self.give_up.is_cancelled() {
            return Err(shutting_down());
        }
        let turn = self.lanes.turn(&subscription.id, call).await?;
        let witness: Arc<dyn Witness> = Arc::new(Nobody);
        let grant = self.provider.subscribe(call, api_id, subscription, &witness).await?;
        let mut undo = subscription.clone();
        undo.metadata.extend(grant.metadata.clone());
        let made = Made { api_id: api_id.to_owned(), subscription: undo, turn };
        if let Some(name) = unstorable(&grant.metadata) {
            self.undo(made, "the plane cannot store what was made").await;
            return Err(Error::bug(format!(
                "the grant's `{name}` is longer than the plane can store; the grant was removed again, please report this"
            )));
        }
        let body = ReplyBody::Subscribe(Some(Subscribed {
            subscription_id: subscription.id.clone(),
            api_key: grant.api_key,
            metadata: grant.metadata,
        }));
        let application = subscription.application_name.as_deref().unwrap_or("an application without name");
        Ok(Done { body, effect: Effect::Granted(Box::new(made)), note: format!("access granted to {application}") })
    }

    pub(super) async fn unsubscribe(
        self: &Arc<Self>,
        call: &Call,
        api_id: &str,
        subscription: &Subscription,
    ) -> Outcome {
        if self.give_up.is_cancelled() {
            return Err(shutting_down());
        }
        let _turn = self.lanes.turn(&subscription.id, call).await?;
        let note = match self.provider.unsubscribe(call, api_id, subscription).await? {
            Revoked::Deleted => "access removed",
            Revoked::AlreadyGone => "access was gone already",
        };
        Ok(Done::new(ReplyBody::Unsubscribe, note))
    }

    /// Removes a grant that the plane does not know of. Tried several times: nobody else will.
    pub(super) async fn undo(self: &Arc<Self>, made: Made, why: &str) {
        let Made { api_id, subscription, turn } = made;
        let mut pause = Duration::from_secs(1);
        for left in (0..UNDO_TRIES).rev() {
            let error = match self.undo_once(&api_id, &subscription).await {
                Ok(revoked) => {
                    tracing::warn!(
                        integration = self.integration(),
                        api = api_id,
                        subscription = subscription.id,
                        already_gone = revoked == Revoked::AlreadyGone,
                        "{why}: its grant was removed again"
                    );
                    drop(turn);
                    return;
                }
                Err(error) => error,
            };
            if left == 0 || !error.class().is_passing() {
                tracing::error!(
                    integration = self.integration(),
                    api = api_id,
                    subscription = subscription.id,
                    grant = ?subscription.metadata,
                    class = error.class().word(),
                    "a grant that the plane does not know of could not be removed; remove it in the gateway: {error}"
                );
                return;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    /// One try of [`undo`](Self::undo).
    async fn undo_once(self: &Arc<Self>, api_id: &str, subscription: &Subscription) -> Result<Revoked, Error> {
        let call = Call {
            id: format!("undo-{}", subscription.id),
            deadline: Instant::now() + UNDO_BUDGET,
            // Not the drain's: undoing is what the drain's last seconds are for.
            cancel: CancellationToken::new(),
        };
        let (agent, api_id, subscription) = (Arc::clone(self), api_id.to_owned(), subscription.clone());
        let undoing = call.clone();
        let work = async move { agent.provider.unsubscribe(&undoing, &api_id, &subscription).await };
        let task = self.tracker.spawn(caught(work));
        patient(&call, task).await
    }
}

/// The name of an entry that the plane could not store: its database would refuse the subscription after all, and
/// nobody could undo the grant.
fn unstorable(metadata: &Texts) -> Option<&str> {
    let long = |(name, value): &(&String, &String)| units(name) > STORED.0 || units(value) > STORED.1;
    metadata.iter().find(long).map(|(name, _)| name.as_str())
}

struct Nobody;

#[async_trait::async_trait]
impl Witness for Nobody {
    async fn making(&self, _: &Texts) {}
    async fn made(&self, _: &Texts) {}
    async fn unmade(&self) {}
}

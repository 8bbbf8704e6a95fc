//! SUBSCRIBE and UNSUBSCRIBE: a grant is made or removed. What is being done stands in the journal before it is done,
//! and a grant that the plane never heard of is undone.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Agent,
    command::{Done, Effect, Outcome},
    fault::caught,
    lanes::Turn,
    settle::Older,
    shape::units,
    shutting_down,
};
use crate::{
    exchange::{ReplyBody, Subscribed},
    journal::{Name, Page, Record, Stale, State},
    link::Session,
    model::{Error, Grant, Subscription, Texts},
    provider::{Call, Provider, Revoked, Witness},
};

/// How often undoing is tried before it is left to the background.
const UNDO_TRIES: u32 = 5;

/// How long one try may take.
const UNDO_BUDGET: Duration = Duration::from_secs(20);

/// How long after a command's arrival the plane's end may show that it has received the reply. The plane waits 60 s,
/// and the command was on its way for a part of them: of one that it gave up it knows nothing.
const ECHO: Duration = Duration::from_secs(59);

/// How long a page is waited for to write that down.
const PAGE: Duration = Duration::from_mins(1);

/// The same once the process ends.
const LAST_ECHO: Duration = Duration::from_secs(1);

/// The longest name and value that the plane stores with a subscription, in UTF-16 units.
const STORED: (usize, usize) = (128, 4_000);

/// A grant whose reply is on its way, and all that undoing it needs.
pub(super) struct Made {
    /// As it stands in the journal.
    record: Record,
    page: Arc<Page>,
    /// Nobody else works on the subscription before the reply is out or the grant is undone.
    turn: Turn,
}

/// Which grant of a subscription a sign of life is for.
enum Told {
    Grant(String),
    Command(String),
}

impl Agent {
    pub(super) async fn subscribe(self: &Arc<Self>, call: &Call, api_id: &str, subscription: &Subscription) -> Outcome {
        if self.give_up.is_cancelled() {
            return Err(shutting_down());
        }
        let turn = self.lanes.turn(&subscription.id, call).await?;
        let name = self.name(&subscription.id);
        let page = Arc::new(self.journal.hold(&name, call.deadline).await?);
        if let Err(error) = self.settle_page(&page, call, Older::Superseded).await {
            // The plane has asked for another one: it is to go, whether that is asked for again or not.
            self.settle_later(&subscription.id);
            return Err(
                error.during("an older grant of this subscription could not be removed first, nothing was made")
            );
        }
        let record = Record::intended(&name, api_id, &call.id);
        // What stood in the page before is gone, or is gone on with whatever comes of this.
        let _ = page.put(record.clone()).await;
        let scribe = Arc::new(Scribe { page: Arc::clone(&page), record, provider: Arc::clone(&self.provider) });
        let witness: Arc<dyn Witness> = Arc::clone(&scribe) as Arc<dyn Witness>;
        // Caught here: what a fault leaves is seen to like what any other error leaves.
        let grant = match caught(self.provider.subscribe(call, api_id, subscription, &witness)).await {
            Ok(grant) => grant,
            Err(error) => {
                self.leave(&page, &scribe.record.grant).await;
                return Err(error);
            }
        };
        let Grant { api_key, plan, metadata } = grant;
        let mut all = subscription.metadata.clone();
        all.extend(metadata.clone());
        let record = Record { plan, ..scribe.made_of(&all) };
        let made = Made { record, page, turn };
        if let Some(name) = unstorable(&metadata) {
            self.undo(made, "the plane cannot store what was made").await;
            return Err(Error::bug(format!(
                "the grant's `{name}` is longer than the plane can store; the grant was removed again, please report this"
            )));
        }
        // From here on the reply may be on its way, and nobody can say whether the plane has it.
        if let Err(Stale) = made.page.put(made.record.clone().now(State::Unconfirmed)).await {
            self.undo(made, "the journal would have it removed after the next start").await;
            return Err(Error::unavailable(
                "the agent's journal cannot be written, and what it holds of this subscription is wrong: the grant was \
                 removed again; look at the agent's data folder",
            ));
        }
        let subscription_id = subscription.id.clone();
        let key = made.record.key_id.as_deref().map_or_else(String::new, |key| format!(", key {key}"));
        let body = ReplyBody::Subscribe(Some(Subscribed { subscription_id, api_key, metadata }));
        let application = subscription.application_name.as_deref().unwrap_or("an application without name");
        Ok(Done {
            body,
            effect: Effect::Granted(Box::new(made)),
            note: format!("access granted to {application}{key}"),
        })
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
        let name = self.name(&subscription.id);
        let page = self.journal.hold(&name, call.deadline).await?;
        let mut subscription = subscription.clone();
        let told = self.provider.key_id(&subscription.metadata);
        let known = page.records().await.into_iter().rev();
        // Where the plane has lost what it was told, the journal has not.
        let before = known.filter(|known| known.key_id.is_some()).find(|known| told.is_none() || known.key_id == told);
        if let (None, Some(before)) = (&told, &before) {
            subscription.metadata.extend(before.metadata.clone());
        }
        let record = before.clone().unwrap_or_else(|| Record::intended(&name, api_id, &call.id));
        let metadata = self.provider.lasting(&subscription.metadata);
        let key_id = self.provider.key_id(&metadata);
        let removing = Record { key_id, metadata, command: call.id.clone(), ..record }.now(State::Removing);
        // A delete that is asked for twice is no fault, and one that is asked for too late neither.
        let _ = page.put(removing.clone()).await;
        let revoked = match caught(self.provider.unsubscribe(call, api_id, &subscription)).await {
            Ok(revoked) => revoked,
            Err(error) => {
                self.keep(&page, before, removing).await;
                return Err(error);
            }
        };
        let gone_key = removing.key_id.clone();
        let _ = page.put(removing.now(State::Gone)).await;
        self.once().forget(&subscription.id);
        if let Err(error) = self.settle_page(&page, call, Older::Superseded).await {
            tracing::warn!(
                integration = self.integration(),
                subscription = subscription.id,
                "another grant of a subscription that has ended is not removed yet, it is tried on: {error}"
            );
            self.settle_later(&subscription.id);
        }
        let note = match revoked {
            Revoked::Deleted => "access removed",
            Revoked::AlreadyGone => "access was gone already",
        };
        let note = gone_key.map_or_else(|| note.to_owned(), |key| format!("{note}, key {key}"));
        Ok(Done::new(ReplyBody::Unsubscribe, note))
    }

    /// An UNSUBSCRIBE has failed. The plane is told, and keeps the subscription: so is its grant kept.
    async fn keep(&self, page: &Page, before: Option<Record>, removing: Record) {
        let unknown = before.is_none();
        // Also one that the journal did not know is in use, as the plane's word has it.
        let kept = before.unwrap_or_else(|| removing.clone().now(State::Live));
        if let Err(Stale) = page.put(kept).await {
            tracing::error!(
                integration = self.integration(),
                subscription = removing.subscription,
                api = removing.api,
                key = removing.key_id,
                "the plane keeps this subscription, its UNSUBSCRIBE has failed, and the journal cannot be written: it \
                 still says that the key is to be removed, and an agent that starts on it now would do so. Give the \
                 data folder room before this agent is restarted: then it is written as it is"
            );
            return;
        }
        if unknown {
            let _ = page.put(removing.now(State::Gone)).await;
        }
    }

    /// A SUBSCRIBE has failed: what may be left of it is seen to in the background.
    async fn leave(self: &Arc<Self>, page: &Page, grant: &str) {
        match page.record(grant).await {
            None => {}
            Some(record) if record.state == State::Intended => {
                let _ = page.put(record.now(State::Gone)).await;
            }
            Some(record) => self.settle_later(&record.subscription),
        }
    }

    /// Removes a grant that the plane does not know of: at once, and when that fails in the background.
    pub(super) async fn undo(self: &Arc<Self>, made: Made, why: &str) {
        let Made { record, page, turn } = made;
        let removing = record.now(State::Removing);
        let (api, subscription) = (removing.api.clone(), removing.subscription.clone());
        // A page that says otherwise is out of date either way; what matters is done now.
        let _ = page.put(removing.clone()).await;
        let mut pause = Duration::from_secs(1);
        for left in (0..UNDO_TRIES).rev() {
            let call = Call {
                id: format!("undo-{subscription}"),
                deadline: Instant::now() + UNDO_BUDGET,
                // Not the drain's: undoing is what the drain's last seconds are for.
                cancel: CancellationToken::new(),
            };
            let error = match self.remove(&page, removing.clone(), &call).await {
                Ok(revoked) => {
                    tracing::warn!(
                        integration = self.integration(),
                        api,
                        subscription,
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
                    api,
                    subscription,
                    grant = ?removing.metadata,
                    class = error.class().word(),
                    "a grant that the plane does not know of could not be removed yet; it is tried on: {error}"
                );
                break;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        drop(page);
        self.settle_later(&subscription);
    }

    /// A socket has taken the reply that tells of `made`: it is the plane's when the plane's end shows a sign of having
    /// received it.
    pub(super) fn told(self: &Arc<Self>, made: Made, session: Session, arrived: Instant) {
        let Made { record, page, turn } = made;
        // A command for the subscription shows that the plane has heard: it need not wait.
        drop((page, turn));
        self.await_echo(record.subscription, Told::Grant(record.grant), session, arrived);
    }

    /// The same of an answer that was given again, to a delivery that `arrived` then.
    pub(super) fn told_again(self: &Arc<Self>, subscription: &str, command: &str, session: Session, arrived: Instant) {
        self.await_echo(subscription.to_owned(), Told::Command(command.to_owned()), session, arrived);
    }

    /// A socket has begun with the reply that tells of `made`, and not shown that it took all of it.
    pub(super) fn half_told(&self, made: Made) {
        let Made { record, page, turn } = made;
        drop((page, turn));
        self.doubt(&record);
    }

    fn await_echo(self: &Arc<Self>, subscription: String, told: Told, session: Session, arrived: Instant) {
        let (agent, session) = (Arc::clone(self), session.after_answer());
        self.tracker.spawn(async move {
            let out_of_time = async {
                tokio::select! {
                    () = tokio::time::sleep_until(arrived + ECHO) => {}
                    () = agent.draining.cancelled() => tokio::time::sleep(LAST_ECHO).await,
                }
            };
            let heard = tokio::select! {
                biased;
                echo = session.echo() => echo.is_ok(),
                () = out_of_time => false,
            };
            agent.heard(&subscription, &told, heard).await;
        });
    }

    /// Writes down whether the plane's end has received the reply.
    async fn heard(&self, subscription: &str, told: &Told, heard: bool) {
        let by = Instant::now() + PAGE;
        let Ok(page) = self.journal.hold(&self.name(subscription), by).await else { return };
        let meant = |record: &Record| match told {
            Told::Grant(grant) => record.grant == *grant,
            Told::Command(command) => record.command == *command,
        };
        let unconfirmed =
            page.records().await.into_iter().find(|record| record.state == State::Unconfirmed && meant(record));
        // A later command has taken it away.
        let Some(record) = unconfirmed else { return };
        if heard {
            let _ = page.put(record.now(State::Live)).await;
            return;
        }
        self.doubt(&record);
    }

    /// Says that the grant of `record` stays unconfirmed.
    fn doubt(&self, record: &Record) {
        tracing::warn!(
            integration = self.integration(),
            subscription = record.subscription,
            api = record.api,
            key = record.key_id,
            "nobody can say whether the answer to SUBSCRIBE reached the plane in time: the session ended, or nothing came \
             back on it. The grant is kept as unconfirmed. If the plane shows the subscription as accepted, all is well; \
             if not, remove it: federation-agent grants revoke"
        );
    }

    /// The name of a subscription's page.
    pub(super) fn name(&self, subscription: &str) -> Name {
        Name { integration: self.integration().to_owned(), subscription: subscription.to_owned() }
    }
}

/// Writes down what a provider tells of a grant in the making.
struct Scribe {
    page: Arc<Page>,
    /// As it was intended.
    record: Record,
    provider: Arc<dyn Provider>,
}

impl Scribe {
    /// The record of the grant that has this metadata.
    fn made_of(&self, metadata: &Texts) -> Record {
        let metadata = self.provider.lasting(metadata);
        Record { key_id: self.provider.key_id(&metadata), metadata, ..self.record.clone() }.now(State::Made)
    }
}

#[async_trait]
impl Witness for Scribe {
    async fn making(&self, trace: &Texts) {
        let making = Record { metadata: trace.clone(), ..self.record.clone() }.now(State::Making);
        let _ = self.page.put(making).await;
    }

    async fn made(&self, metadata: &Texts) {
        let _ = self.page.put(self.made_of(metadata)).await;
    }

    async fn unmade(&self) {
        let _ = self.page.put(self.record.clone().now(State::Gone)).await;
    }
}

/// The name of an entry that the plane could not store: its database would refuse the subscription after all, and
/// nobody could undo the grant.
fn unstorable(metadata: &Texts) -> Option<&str> {
    let long = |(name, value): &(&String, &String)| units(name) > STORED.0 || units(value) > STORED.1;
    metadata.iter().find(long).map(|(name, _)| name.as_str())
}

//! What an earlier life of the agent, or a failed command, left undone: it is ended in the background, one subscription
//! at a time, and a command for the same subscription ends it first.
//!
//! The number of tries is written down before a try. One that fails for a reason that passes, or for want of a right,
//! does not count; after three that came to grief otherwise, or in which the process died, the grant is put aside for a
//! person.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use tracing::Instrument;

use super::{Agent, fault::caught, patience::patient};
use crate::{
    journal::{Page, Record, State},
    model::{Class, Error, Subscription},
    observe::span,
    provider::{Call, Revoked},
};

/// How long one try may take.
const BUDGET: Duration = Duration::from_secs(30);

/// So many tries may come to grief.
const TRIES: u32 = 3;

/// A gateway knows what was made in it, and tells of it under its name, after so long.
const SETTLED: Duration = Duration::from_mins(1);

/// How often the journal is asked to write what it could not, and it is looked whether another agent on its folder has
/// left something: one that does not come back settles nothing.
const LOOK_AGAIN: Duration = Duration::from_mins(5);

/// Nobody works on what has stood still for so long.
const ABANDONED: Duration = Duration::from_mins(5);

/// The pauses between tries, for what passes and for what a person has to mend: the first and the longest.
const PASSING: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));
const PERSON: (Duration, Duration) = (Duration::from_mins(5), Duration::from_hours(1));

/// What becomes of grants that are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Older {
    /// They stay.
    Kept,
    /// They are removed: a command for their subscription has taken their place. What opens nothing may stay a while.
    Superseded,
}

impl Agent {
    /// Begins to settle what an earlier life left. Returns at once; nothing waits for it.
    pub fn begin(self: &Arc<Self>) {
        let agent = Arc::clone(self);
        let span = span::integration(self.integration());
        let beginning = async move {
            let contents = agent.journal.read(agent.integration()).await;
            let mut unreadable = false;
            for (name, why) in contents.unreadable {
                if let Some(name) = name {
                    // Holding it puts it aside, and says so.
                    drop(agent.journal.try_hold(&name).await);
                } else {
                    unreadable = true;
                    tracing::error!(integration = agent.integration(), "{why}: what was under way is not settled");
                }
            }
            let count = |state| contents.records.iter().filter(|record| record.state == state).count();
            let unsettled = contents.records.iter().filter(|record| record.state.is_unsettled());
            let unsettled: Vec<_> = unsettled.map(|record| (record.subscription.as_str(), record.tries)).collect();
            let (live, unconfirmed) = (count(State::Live), count(State::Unconfirmed));
            let waiting = count(State::Leftover) + count(State::Stuck);
            let integration = agent.integration();
            if !unsettled.is_empty() {
                let grants = unsettled.len();
                tracing::warn!(integration, grants, "settling grants that were under way when the agent ended");
            }
            if waiting + unconfirmed > 0 {
                tracing::warn!(
                    integration,
                    unconfirmed,
                    waiting,
                    "somebody has to look at grants of an earlier life: federation-agent grants"
                );
            }
            if unsettled.is_empty() && waiting + unconfirmed == 0 && live > 0 {
                tracing::info!(integration, live, "the journal has nothing to settle");
            } else if !unreadable {
                tracing::debug!(integration, live, "the journal is read");
            }
            for (subscription, tries) in unsettled {
                agent.settle_after(subscription, tries);
            }
            let leftovers = contents.records.iter().filter(|record| record.state == State::Leftover);
            for record in leftovers {
                agent.look_once_more(record).await;
            }
            agent.look_again().await;
        };
        self.background.spawn(beginning.instrument(span));
    }

    /// A key that may be there and could not be looked for: somebody may have given the right since.
    async fn look_once_more(self: &Arc<Self>, leftover: &Record) {
        let Some(page) = self.journal.try_hold(&leftover.name()).await else { return };
        let still = page.record(&leftover.grant).await.filter(|record| record.state == State::Leftover);
        if let Some(record) = still {
            let _ = page.put(Record { state: State::Making, ..record }).await;
            drop(page);
            self.settle_later(&leftover.subscription);
        }
    }

    /// Looks after the journal until the process ends.
    async fn look_again(self: &Arc<Self>) {
        while !self.ended_within(LOOK_AGAIN).await {
            self.journal.catch_up().await;
            for record in self.journal.read(self.integration()).await.records {
                let fresh = record.since.elapsed().is_ok_and(|age| age < ABANDONED);
                if record.state.is_unsettled() && !fresh {
                    self.settle_after(&record.subscription, record.tries);
                }
            }
        }
    }

    /// Settles `subscription` in the background, unless that is under way.
    pub(super) fn settle_later(self: &Arc<Self>, subscription: &str) {
        self.settle_after(subscription, 0);
    }

    /// The same for one that was being tried when the process died, so many times.
    fn settle_after(self: &Arc<Self>, subscription: &str, deaths: u32) {
        if !self.settling().insert(subscription.to_owned()) {
            return;
        }
        let (agent, subscription) = (Arc::clone(self), subscription.to_owned());
        let span = span::settle(self.integration(), &subscription);
        let settling = async move {
            let settling = caught(async {
                let ended = agent.ended_within(suspicion(deaths)).await;
                Ok(!ended && agent.settle_on(&subscription, deaths > 0).await)
            });
            // A fault has been told; the next start tries again, three times at most.
            if !settling.await.unwrap_or(false) {
                agent.settling().remove(&subscription);
            }
        };
        self.background.spawn(settling.instrument(span));
    }

    /// Tries until nothing is left to do; `false` when the process ends before: what is left stands in the journal.
    async fn settle_on(self: &Arc<Self>, subscription: &str, suspect: bool) -> bool {
        let (mut passing, mut person) = (PASSING.0, PERSON.0);
        loop {
            let Err(error) = self.settle_once(subscription, suspect).await else { return true };
            let pause = match error.class() {
                Class::Denied => doubled(&mut person, PERSON.1),
                _ => doubled(&mut passing, PASSING.1),
            };
            tracing::warn!(
                integration = self.integration(),
                subscription,
                class = error.class().word(),
                "what was left of a subscription is not removed yet, next try in {}: {error}",
                humantime::format_duration(pause)
            );
            if self.ended_within(pause).await {
                return false;
            }
        }
    }

    /// Waits for `pause`; whether the process began to end meanwhile.
    async fn ended_within(&self, pause: Duration) -> bool {
        tokio::time::timeout(pause, self.draining.cancelled()).await.is_ok()
    }

    async fn settle_once(self: &Arc<Self>, subscription: &str, suspect: bool) -> Result<(), Error> {
        let _turn = self.lanes.settling(subscription, suspect).await;
        let call = Call {
            id: format!("settle-{subscription}"),
            deadline: Instant::now() + BUDGET,
            cancel: self.draining.child_token(),
        };
        let page = self.journal.hold(&self.name(subscription), call.deadline).await?;
        let settled = self.settle_page(&page, &call, Older::Kept).await;
        let unsettled = page.records().await.iter().any(|record| record.state.is_unsettled());
        if unsettled && settled.is_err() {
            return settled;
        }
        // While the page is held: whoever leaves something in it after this finds nobody at work on it.
        self.settling().remove(subscription);
        Ok(())
    }

    /// Ends what is unsettled in `page`; the first thing that could not be ended is the error.
    pub(super) async fn settle_page(self: &Arc<Self>, page: &Page, call: &Call, older: Older) -> Result<(), Error> {
        let mut first = None;
        for record in page.records().await {
            let superseded = older == Older::Superseded;
            let ended = match record.state {
                State::Intended => {
                    let _ = page.put(record.now(State::Gone)).await;
                    Ok(())
                }
                State::Making if superseded => {
                    // It opens nothing: it holds up nobody.
                    self.settle_later(&record.subscription);
                    Ok(())
                }
                State::Making => self.look_for(page, record, call).await,
                State::Made | State::Removing => self.end(page, record, call).await,
                State::Unconfirmed | State::Live | State::Stuck if superseded => {
                    let removing = Record { tries: 0, ..record }.now(State::Removing);
                    let _ = page.put(removing.clone()).await;
                    self.end(page, removing, call).await
                }
                State::Unconfirmed | State::Live | State::Stuck | State::Leftover | State::Gone => Ok(()),
            };
            if let Err(error) = ended {
                first.get_or_insert(error);
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Removes the grant of `record`, and says so.
    async fn end(self: &Arc<Self>, page: &Page, record: Record, call: &Call) -> Result<(), Error> {
        let (integration, subscription, key) = (self.integration(), record.subscription.clone(), record.key_id.clone());
        let made = record.state == State::Made;
        let revoked = self.remove(page, record, call).await?;
        let already_gone = revoked == Revoked::AlreadyGone;
        if made {
            tracing::warn!(
                integration,
                subscription,
                key,
                already_gone,
                "the grant of a SUBSCRIBE whose answer never left was removed"
            );
        } else {
            tracing::info!(integration, subscription, key, already_gone, "a removal that was under way is finished");
        }
        Ok(())
    }

    /// One try to remove the grant of `record`, with the count of tries written before it.
    pub(super) async fn remove(self: &Arc<Self>, page: &Page, record: Record, call: &Call) -> Result<Revoked, Error> {
        let subscription = Subscription {
            id: record.subscription.clone(),
            application_id: None,
            application_name: None,
            kind: None,
            metadata: record.metadata.clone(),
        };
        let (agent, api, asking) = (Arc::clone(self), record.api.clone(), call.clone());
        let work = async move { agent.provider.unsubscribe(&asking, &api, &subscription).await };
        let (begun, revoked) = self.try_it(page, record, call, work).await;
        match revoked {
            Ok(revoked) => {
                self.once().forget(&begun.subscription);
                let _ = page.put(begun.now(State::Gone)).await;
                Ok(revoked)
            }
            Err(error) => Err(self.failed(page, begun, error).await),
        }
    }

    /// Looks for a key whose making was not answered.
    async fn look_for(self: &Arc<Self>, page: &Page, record: Record, call: &Call) -> Result<(), Error> {
        let spare: Vec<_> = page
            .records()
            .await
            .into_iter()
            .filter(|known| known.grant != record.grant && known.key_id.is_some())
            .map(|known| known.metadata)
            .collect();
        // One that is from the future was written by a clock that went wrong: its minute begins now.
        let (age, since) = match record.since.elapsed() {
            Ok(age) => (age, record.since),
            Err(_) => (Duration::ZERO, SystemTime::now()),
        };
        let (agent, asked, asking) = (Arc::clone(self), record.clone(), call.clone());
        let work = async move {
            let Record { api, subscription, metadata, .. } = &asked;
            agent.provider.sweep(&asking, api, subscription, metadata, &spare).await
        };
        let (begun, swept) = self.try_it(page, record, call, work).await;
        let (integration, subscription) = (self.integration(), begun.subscription.clone());
        match swept {
            Ok(Revoked::Deleted) => {
                tracing::warn!(integration, subscription, "a key whose making was not answered was found and removed");
                let _ = page.put(begun.now(State::Gone)).await;
                Ok(())
            }
            Ok(Revoked::AlreadyGone) if age < SETTLED => {
                let tries = begun.tries.saturating_sub(1);
                let _ = page.put(Record { since, tries, ..begun }).await;
                Err(Error::unavailable(
                    "a key whose making was not answered is not to be seen; the gateway may know it only in a minute",
                ))
            }
            Ok(Revoked::AlreadyGone) => {
                tracing::info!(integration, subscription, "a key whose making was not answered was never made");
                let _ = page.put(begun.now(State::Gone)).await;
                Ok(())
            }
            Err(error) if error.class() == Class::Denied => {
                tracing::warn!(
                    integration,
                    subscription,
                    "a key may have been made for a SUBSCRIBE that failed; it is bound to no plan and opens nothing, and \
                     it stays listed until somebody looks (federation-agent grants): {error}"
                );
                let why = Some(error.sentence().to_owned());
                let _ = page.put(Record { why, ..begun }.now(State::Leftover)).await;
                Ok(())
            }
            Err(error) => Err(self.failed(page, begun, error).await),
        }
    }

    /// Writes the try down, then does it.
    async fn try_it<T: Send + 'static>(
        &self,
        page: &Page,
        record: Record,
        call: &Call,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> (Record, Result<T, Error>) {
        let begun = Record { tries: record.tries + 1, ..record };
        if begun.tries > TRIES {
            let why = begun.why.clone().unwrap_or_else(|| "the agent has died each time it tried".to_owned());
            return (begun, Err(Error::bug(why)));
        }
        let _ = page.put(begun.clone()).await;
        let task = self.tracker.spawn(caught(work).in_current_span());
        (begun, patient(call, task).await)
    }

    /// A try has failed: whether it counts, and whether it was the last.
    async fn failed(&self, page: &Page, record: Record, error: Error) -> Error {
        let why = Some(error.sentence().to_owned());
        let passes = error.class().is_passing() || error.class() == Class::Denied;
        if passes {
            let tries = record.tries.saturating_sub(1);
            let _ = page.put(Record { tries, why, ..record }).await;
        } else if record.tries >= TRIES {
            tracing::error!(
                integration = self.integration(),
                subscription = record.subscription,
                key = record.key_id,
                class = error.class().word(),
                "a grant that nobody needs cannot be removed and is put aside after {TRIES} tries; see to it in the gateway, \
                 then `federation-agent grants revoke`: {error}"
            );
            let _ = page.put(Record { why, ..record }.now(State::Stuck)).await;
        } else {
            let _ = page.put(Record { why, ..record }).await;
        }
        error
    }
}

/// How long a grant waits during whose settling the process has died: so that one that was only near does not get the
/// blame, suspects are tried last, alone, and not again and again while the process dies for other reasons.
fn suspicion(deaths: u32) -> Duration {
    match deaths {
        0 => Duration::ZERO,
        1 => Duration::from_secs(2),
        _ => Duration::from_mins(1),
    }
}

/// The pause now; the next one is twice as long, at most `most`.
fn doubled(pause: &mut Duration, most: Duration) -> Duration {
    let now = *pause;
    *pause = (now * 2).min(most);
    now
}

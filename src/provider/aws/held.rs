//! The API keys that are this integration's: those that have its name, and those that somebody else says are.

use std::{
    collections::{BTreeSet, HashSet},
    ops::ControlFlow,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use aws_sdk_apigateway::types::ApiKey;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    call::{Operation, within},
    client::{Access, Target},
    failure::Failure,
    list::{PAGE, Pages, all_failed, whole},
    lookup,
    map::key,
    subscribe::{key_name, trace},
    unsubscribe::{Place, configured},
};
use crate::{
    model::{Class, Error},
    provider::{Call, Held, Keys},
};

/// How many accounts and regions are read at once.
const PLACES_AT_ONCE: usize = 8;
/// For how many keys of one account and region it is asked at once which plans they open.
const PLANS_AT_ONCE: usize = 4;
/// The ids of the plane's subscriptions have this length.
const UUID: usize = 36;

/// Finds them; see [`Provider::keys`](crate::provider::Provider::keys).
pub(super) async fn keys(
    access: &Access,
    call: &Call,
    known: &BTreeSet<String>,
    found: mpsc::Sender<Keys>,
) -> Result<(), Error> {
    let places = within(call, "finding out which accounts there are", configured(access)).await?;
    let prefix = key_name(&access.config.integration, "");
    let search = Search { call, prefix: &prefix, known, found: &found, told: Mutex::default() };
    let failed: Mutex<Vec<(Class, String)>> = Mutex::default();
    let sources = places.len();
    let work = stream::iter(places).for_each_concurrent(PLACES_AT_ONCE, |place| {
        let (search, failed, found) = (&search, &failed, &found);
        async move {
            let Err(Failure { error, .. }) = search.look_in(&place).await else { return };
            failed.lock().unwrap_or_else(PoisonError::into_inner).push((error.class(), error.sentence().to_owned()));
            if sources > 1 {
                let source = place.name().to_owned();
                let _closed = found.send(Keys::Failed { source, error }).await;
            }
        }
    });
    work.await;
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed.len() < sources { Ok(()) } else { Err(all_failed(failed)) }
}

struct Search<'a> {
    call: &'a Call,
    /// What the names of this integration's keys begin with.
    prefix: &'a str,
    known: &'a BTreeSet<String>,
    found: &'a mpsc::Sender<Keys>,
    /// The regions and ids of those already told: two identities of one account see the same.
    told: Mutex<HashSet<(String, String)>>,
}

impl Search<'_> {
    async fn look_in(&self, place: &Place) -> Result<(), Failure> {
        place.ask(|target| self.look(target)).await
    }

    async fn look(&self, target: Target) -> Result<(), Failure> {
        // Keys that others made have names of their own: all must be looked at.
        let prefix = self.known.is_empty().then_some(self.prefix);
        let page = |keys: Vec<ApiKey>| {
            let target = &target;
            let ours: Vec<Ours> = keys.into_iter().filter_map(|key| self.claim(key, &target.region)).collect();
            async move {
                let telling = stream::iter(ours)
                    .map(Ok)
                    // Each does its own sending: one that waits for its turn in the bucket is never left undriven.
                    .try_for_each_concurrent(PLANS_AT_ONCE, |key| self.tell(key, target))
                    .await;
                telling
                    .map(|()| if self.found.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            }
        };
        lookup::pages(&target, self.call, prefix, page).await.map(|_| ())
    }

    /// The key, if it is this integration's and was not told before.
    fn claim(&self, key: ApiKey, region: &str) -> Option<Ours> {
        let id = key.id.filter(|id| !id.is_empty())?;
        let name = key.name.unwrap_or_default();
        let by_name = subscription_of(&name, self.prefix).map(str::to_owned);
        if by_name.is_none() && !self.known.contains(&id) {
            return None;
        }
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).contains(&(region.to_owned(), id.clone()));
        let created = key.created_date.and_then(|created| SystemTime::try_from(created).ok());
        (!told).then_some(Ours { id, name, subscription: by_name, enabled: key.enabled, created })
    }

    async fn tell(&self, key: Ours, target: &Target) -> Result<(), Failure> {
        let plans = match plans_of(target, self.call, &key.id).await {
            // It was deleted a moment ago.
            Err(failure) if failure.class() == Class::NotFound => return Ok(()),
            plans => plans?,
        };
        let Ours { id, name, subscription, enabled, created } = key;
        if !self.told.lock().unwrap_or_else(PoisonError::into_inner).insert((target.region.clone(), id.clone())) {
            return Ok(());
        }
        let mut metadata = trace(target);
        metadata.insert(key::API_KEY.to_owned(), id.clone());
        if let [plan] = plans.as_slice() {
            metadata.insert(key::USAGE_PLAN.to_owned(), plan.clone());
        }
        let held = Held { key_id: id, name, subscription, plans, enabled, created, metadata };
        // Nobody listens any more: the page ends it.
        let _closed = self.found.send(Keys::Key(Box::new(held))).await;
        Ok(())
    }
}

/// A key that is this integration's.
struct Ours {
    id: String,
    name: String,
    subscription: Option<String>,
    enabled: bool,
    created: Option<SystemTime>,
}

/// The subscription that a key's name says it is for. Ids of integrations may begin alike, so that what is behind
/// `prefix` must be a subscription's id and nothing else: then no name can be of two integrations.
fn subscription_of<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix).filter(|id| id.len() == UUID && Uuid::try_parse(id).is_ok())
}

/// The ids of the usage plans that hold a key.
async fn plans_of(target: &Target, call: &Call, key_id: &str) -> Result<Vec<String>, Failure> {
    let operation = Operation::get("GetUsagePlans", "/usageplans");
    let mut plans = Vec::new();
    let mut pages = Pages::default();
    while pages.more {
        let position = &pages.position;
        let send = || target.client.get_usage_plans().key_id(key_id).limit(PAGE).set_position(position.clone()).send();
        let answer = target.ask(call, &operation, send).await?;
        plans.extend(whole(answer.items, &operation, target)?.into_iter().filter_map(|plan| plan.id));
        pages.turn(answer.position, &operation, target)?;
    }
    Ok(plans)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBSCRIPTION: &str = "5ab5c21b-0000-4000-8000-000000000001";

    #[test]
    fn a_name_is_of_one_integration_only() {
        let mine = key_name("one", "");
        let of = |name: &str| subscription_of(name, &mine).map(str::to_owned);
        assert_eq!(of(&key_name("one", SUBSCRIPTION)).as_deref(), Some(SUBSCRIPTION));
        for others in [
            key_name("one-more", SUBSCRIPTION),
            key_name("one-5ab5c21b", SUBSCRIPTION),
            key_name("on", SUBSCRIPTION),
            key_name("two", SUBSCRIPTION),
            key_name("one", &format!("{SUBSCRIPTION}-copy")),
            key_name("one", &format!("{{{SUBSCRIPTION}}}")),
            key_name("one", &SUBSCRIPTION.replace('-', "")),
            key_name("one", &format!("urn:uuid:{}", SUBSCRIPTION.replace('-', ""))),
            key_name("one", "production"),
            key_name("one", ""),
            key_name("ONE", SUBSCRIPTION),
            format!("my-gravitee-one-{SUBSCRIPTION}"),
            String::new(),
        ] {
            assert_eq!(of(&others), None, "{others}");
        }
    }
}

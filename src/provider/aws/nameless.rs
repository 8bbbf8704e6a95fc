//! The end of an API key whose id nobody knows: the answer that would have told it was lost, or the subscription's
//! metadata was.
//!
//! Nothing but the key's name leads to it then. Looking for a name needs a right that the agent does without otherwise
//! (GET on `/apikeys`); without it the key cannot be found, and the error says which right would help.

use std::{collections::BTreeSet, ops::ControlFlow};

use futures_util::{StreamExt, stream};

use super::{
    call::within,
    client::{Access, Target},
    failure::{Cause, Failure},
    lookup,
    map::key,
    subscribe::{delete, key_name},
    unsubscribe::{Place, places, region},
};
use crate::{
    model::{Class, Error, Texts},
    provider::{Call, Revoked},
};

/// How many accounts are asked at once.
const AT_ONCE: usize = 8;

/// Ends a subscription that names no key: deletes the key that has its name, in the account `number` or in all of them.
pub(super) async fn remove(
    access: &Access,
    call: &Call,
    subscription: &str,
    number: Option<&str>,
    region: Option<&str>,
) -> Result<Revoked, Error> {
    let wanted = Wanted {
        name: key_name(&access.config.integration, subscription),
        why: format!("subscription {subscription} names no API key ({} is missing in its metadata)", key::API_KEY),
        number,
        spare: BTreeSet::new(),
    };
    let revoked = wanted.remove(call, places(access, region, number)).await?;
    if revoked == Revoked::AlreadyGone {
        tracing::warn!(
            command = %call.id, subscription, key_name = %wanted.name,
            "{}, and one named {} is nowhere: if another agent made a key for it under another name, delete that by hand",
            wanted.why, wanted.name
        );
    }
    Ok(revoked)
}

/// Deletes what a CreateApiKey without an answer may have made: see [`Provider::sweep`](crate::provider::Provider::sweep).
pub(super) async fn sweep(
    access: &Access,
    call: &Call,
    api_id: &str,
    subscription: &str,
    trace: &Texts,
    spare: &[Texts],
) -> Result<Revoked, Error> {
    let region = region(api_id, trace);
    let number = key::told(trace, key::ACCOUNT);
    let wanted = Wanted {
        name: key_name(&access.config.integration, subscription),
        why: format!("the answer to CreateApiKey for subscription {subscription} was lost"),
        number,
        spare: spare.iter().filter_map(|grant| key::told(grant, key::API_KEY)).collect(),
    };
    let there = async {
        let mut places = places(access, region.as_deref(), number).await;
        if let Some(region) = &region {
            places.retain(|place| place.region == *region);
        }
        places
    };
    wanted.remove(call, there).await
}

/// A key that is known by its name alone.
struct Wanted<'a> {
    name: String,
    /// Why it is looked for, as the beginning of a sentence.
    why: String,
    /// The account in which it must be.
    number: Option<&'a str>,
    /// The ids of those of that name that stay.
    spare: BTreeSet<&'a str>,
}

impl Wanted<'_> {
    /// Deletes it wherever it is in `places`. `AlreadyGone`: everybody who could have it was asked, and nobody has.
    async fn remove(&self, call: &Call, places: impl Future<Output = Vec<Place>>) -> Result<Revoked, Error> {
        let Self { name, why, .. } = self;
        let looking = async {
            let places = places.await;
            let mut found = Found { deleted: false, asked: !places.is_empty(), unasked: Vec::new() };
            let mut answers = stream::iter(places)
                .map(|place| async move { (place.ask(|target| self.remove_from(target, call)).await, place) })
                .buffer_unordered(AT_ONCE);
            while let Some((answer, place)) = answers.next().await {
                match answer {
                    Ok(true) => found.deleted = true,
                    Ok(false) if self.number.is_none() || place.number.is_some() => {}
                    Ok(false) => found.unasked.push(Failure::harmless(Error::unavailable(
                        "STS does not tell whose account the agent's own identity is of: allow sts:GetCallerIdentity",
                    ))),
                    Err(failure) => found.unasked.push(failure),
                }
            }
            found
        };
        let found = within(call, &format!("looking for an API key named {name}"), looking).await?;
        if found.deleted {
            tracing::info!(command = %call.id, key_name = %name, "{why}, and the key named {name} is deleted");
            return Ok(Revoked::Deleted);
        }
        if found.unasked.is_empty() {
            return if found.asked {
                Ok(Revoked::AlreadyGone)
            } else {
                Err(Error::invalid(format!(
                    "{why}, and one named {name} would be in account {}, which is not configured: name a role of that \
                     account in roleArn or accounts",
                    self.number.unwrap_or("unknown")
                )))
            };
        }
        let sentences: Vec<&str> = found.unasked.iter().map(|failure| failure.error.sentence()).collect();
        let sentence =
            format!("{why}, and one named {name} could not be looked for everywhere: {}", sentences.join("; "));
        Err(Error::new(class(&found.unasked), sentence))
    }

    /// Deletes every key of exactly that name but those that stay; whether there was one.
    async fn remove_from(&self, target: Target, call: &Call) -> Result<bool, Failure> {
        let mut ids = Vec::new();
        let _whole = lookup::pages(&target, call, Some(&self.name), |keys| {
            let named = keys.into_iter().filter(|key| key.name.as_deref() == Some(self.name.as_str()));
            ids.extend(named.filter_map(|key| key.id).filter(|id| !self.spare.contains(id.as_str())));
            std::future::ready(Ok(ControlFlow::Continue(())))
        })
        .await?;
        let mut deleted = false;
        for id in ids {
            match delete(&target, call, &id).await {
                Ok(()) => deleted = true,
                Err(failure) if failure.class() == Class::NotFound => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(deleted)
    }
}

/// What is to be done about those who could not be asked. Denied is only the right: credentials that AWS does not take
/// today say nothing about it, and may be others tomorrow.
fn class(unasked: &[Failure]) -> Class {
    let passing = unasked.iter().map(Failure::class).find(|class| class.is_passing());
    let is_right = |failure: &&Failure| failure.cause == Cause::Right;
    passing.unwrap_or_else(|| {
        if unasked.iter().any(|failure| failure.class() == Class::Denied && !is_right(&failure)) {
            return Class::Unavailable;
        }
        unasked.iter().find(is_right).or(unasked.first()).map_or(Class::Unavailable, Failure::class)
    })
}

/// What came of looking everywhere.
struct Found {
    deleted: bool,
    /// There was somebody to ask.
    asked: bool,
    unasked: Vec<Failure>,
}

//! The end of a subscription that does not name its API key: its metadata was lost, or was never written.
//!
//! Nothing but the key's name leads to it then. Looking for a name needs a right that the agent does without otherwise
//! (GET on `/apikeys`); without it the subscription cannot be ended, and the error says which right would help.

use futures_util::{StreamExt, stream};

use super::{
    call::{Operation, within},
    client::{Access, Target},
    failure::Failure,
    list::Pages,
    map::key,
    subscribe::{delete, key_name},
    unsubscribe::places,
};
use crate::{
    model::{Class, Error},
    provider::{Call, Revoked},
};

/// How many accounts are asked at once.
const AT_ONCE: usize = 8;
/// Keys whose names begin alike are few.
const PAGE: i32 = 500;

/// Deletes the key that has the subscription's name: in the account `number`, or in all of them.
pub(super) async fn remove(
    access: &Access,
    call: &Call,
    subscription: &str,
    number: Option<&str>,
    region: Option<&str>,
) -> Result<Revoked, Error> {
    let name = key_name(&access.config.integration, subscription);
    let looking = async {
        let places = places(access, region, number).await;
        let mut found = Found { deleted: false, asked: !places.is_empty(), unasked: Vec::new() };
        let name = name.as_str();
        let mut answers = stream::iter(places)
            .map(|place| async move { (place.ask(|target| remove_named(target, call, name)).await, place) })
            .buffer_unordered(AT_ONCE);
        while let Some((answer, place)) = answers.next().await {
            match answer {
                Ok(true) => found.deleted = true,
                Ok(false) if number.is_none() || place.number.is_some() => {}
                Ok(false) => found.unasked.push(Error::unavailable(
                    "STS does not tell whose account the agent's own identity is of: allow sts:GetCallerIdentity",
                )),
                Err(failure) => found.unasked.push(failure.error),
            }
        }
        found
    };
    let found = within(call, &format!("looking for an API key named {name}"), looking).await?;
    let nameless = format!(
        "subscription {subscription} names no API key ({} is missing in its metadata), and one named {name}",
        key::API_KEY
    );
    if found.deleted {
        tracing::info!(command = %call.id, subscription, api_key_name = %name, "{nameless} is deleted");
        return Ok(Revoked::Deleted);
    }
    let Some(first) = found.unasked.first() else {
        if !found.asked {
            return Err(Error::invalid(format!(
                "{nameless} would be in account {}, which is not configured: name a role of that account in roleArn or \
                 accounts, and close the subscription again",
                number.unwrap_or("unknown")
            )));
        }
        tracing::warn!(
            command = %call.id, subscription, api_key_name = %name,
            "{nameless} is nowhere: if another agent made a key for it under another name, delete that by hand"
        );
        return Ok(Revoked::AlreadyGone);
    };
    let class = found.unasked.iter().map(Error::class).find(|class| class.is_passing()).unwrap_or(first.class());
    let sentences: Vec<&str> = found.unasked.iter().map(Error::sentence).collect();
    Err(Error::new(class, format!("{nameless} could not be looked for everywhere: {}", sentences.join("; "))))
}

/// What came of looking everywhere.
struct Found {
    deleted: bool,
    /// There was somebody to ask.
    asked: bool,
    unasked: Vec<Error>,
}

/// Deletes every key of exactly that name; whether there was one.
async fn remove_named(target: Target, call: &Call, name: &str) -> Result<bool, Failure> {
    let operation = Operation::get("GetApiKeys", "/apikeys");
    let mut ids = Vec::new();
    let mut pages = Pages::default();
    while pages.more {
        let position = &pages.position;
        let send = || {
            let request = target.client.get_api_keys().name_query(name).include_values(false);
            request.limit(PAGE).set_position(position.clone()).send()
        };
        let answer = target.ask(call, &operation, send).await?;
        let keys = answer.items.unwrap_or_default().into_iter().filter(|key| key.name.as_deref() == Some(name));
        ids.extend(keys.filter_map(|key| key.id));
        pages.turn(answer.position, &operation, &target)?;
    }
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

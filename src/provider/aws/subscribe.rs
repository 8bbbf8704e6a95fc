//! A subscription becomes an API key, bound to a usage plan. Whatever happens after the key exists and before the
//! reply is handed over, the key is deleted again. What cannot be deleted in the command's time is what the witness was
//! told last, and is the caller's to go on with.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{
    Inner,
    address::StageAddress,
    call::{Operation, within},
    client::Target,
    failure::{Cause, Effect, Failure},
    foreign, list,
    lookup::FINDING,
    map::{PlanFacts, key},
};
use crate::{
    model::{Class, Error, Grant, Subscription, SubscriptionKind, Texts},
    provider::{Call, Witness},
};

/// What is begun must have so long to end in.
const LEAST_TIME: Duration = Duration::from_secs(2);
/// Undoing may take so long after the command's time is over, or after nobody waits any more.
const UNDO_TIME: Duration = Duration::from_secs(6);
/// A key that was made a moment ago may not be known to AWS yet when it is to be deleted: it is tried once more after
/// so long.
const KNOWN_TIME: Duration = Duration::from_secs(1);
/// What becomes of what could not be undone.
const GOES_ON: &str = "the agent goes on trying, also after a restart; `federation-agent grants` shows it";
/// The REST API's name is nice to have in a key's description, and worth no longer wait.
const NAME_TIME: Duration = Duration::from_secs(5);
/// How many characters of a name go into a key's description.
const NAME: usize = 200;

/// Makes a grant. The work goes on when the caller does not wait for it: it then undoes what it made.
pub(super) async fn subscribe(
    inner: &Arc<Inner>,
    call: &Call,
    api_id: &str,
    subscription: &Subscription,
    witness: &Arc<dyn Witness>,
) -> Result<Grant, Error> {
    let (reply, answer) = oneshot::channel();
    let work = {
        let (inner, call, witness) = (inner.clone(), call.clone(), witness.clone());
        let (api_id, subscription) = (api_id.to_owned(), subscription.clone());
        async move {
            let made = make(&inner, &call, &api_id, &subscription, &witness).await;
            // An answer that nobody takes is dropped, here or in the channel, and what it made is undone.
            let _taken = reply.send(made);
        }
    };
    tokio::spawn(work.in_current_span());
    match answer.await {
        Ok(made) => made.map(Made::keep),
        Err(_) => Err(Error::bug("the work on a subscription ended without an answer")),
    }
}

/// A grant that is undone unless it is kept.
struct Made {
    grant: Grant,
    key: Key,
}

impl Made {
    fn keep(self) -> Grant {
        let Self { grant, mut key } = self;
        key.kept = true;
        grant
    }
}

/// An API key that exists. Dropped without being kept, it is deleted.
struct Key {
    target: Target,
    command: String,
    id: String,
    witness: Arc<dyn Witness>,
    kept: bool,
}

impl Key {
    /// Deletes it, in the time until `deadline`.
    async fn undo(mut self, deadline: Instant) -> Result<(), Error> {
        self.kept = true;
        delete_made(&self.target, &self.command, &self.id, &*self.witness, deadline).await
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let (target, command, id) = (self.target.clone(), self.command.clone(), self.id.clone());
        let witness = self.witness.clone();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => {
                let deadline = Instant::now() + UNDO_TIME;
                let deleting = async move { delete_made(&target, &command, &id, &*witness, deadline).await };
                runtime.spawn(deleting.in_current_span());
            }
            Err(_) => not_deleted(&self.target, &self.command, &self.id, "the agent has ended"),
        }
    }
}

async fn make(
    inner: &Inner,
    call: &Call,
    api_id: &str,
    subscription: &Subscription,
    witness: &Arc<dyn Witness>,
) -> Result<Made, Error> {
    match &subscription.kind {
        None | Some(SubscriptionKind::ApiKey) => {}
        Some(other) => return Err(refused(other)),
    }
    let metadata = &subscription.metadata;
    let plan_id = key::told(metadata, key::PLAN).ok_or_else(|| {
        Error::invalid("the subscription names no plan (planId is missing): no usage plan to bind a key to")
    })?;
    let address = foreign::address(api_id, metadata)?;
    let finding = foreign::target(&inner.access, &inner.routes, call, &address, metadata);
    let target = within(call, "finding the account of the API", finding).await??;
    // The plan is looked at before anything is made. The list is the one way that the published policy allows.
    let plans = list::usage_plans(&target, call).await?;
    let plan = foreign::plan(&plans, &address, plan_id)?.clone();
    drop(plans);
    let mut rest_api = inner.names.get(&address.region, &address.rest_api);
    if rest_api.is_none() {
        let soon = Call { deadline: call.deadline.min(Instant::now() + NAME_TIME), ..call.clone() };
        rest_api = match list::look_for(&target, &soon, &address.rest_api).await {
            list::Looked::There(name) => name,
            list::Looked::Unknown => None,
            list::Looked::Gone => {
                return Err(Error::not_found(format!(
                    "the REST API {} is not there any more ({}), though the usage plan {} still names its stage: take \
                     it out of the plan, and out of the plane",
                    address.rest_api, target.place, plan.id
                )));
            }
        };
    }
    if let Some(rest_api) = &rest_api {
        inner.names.put(&address.region, &address.rest_api, rest_api.clone());
    }
    let description = description(subscription, &address, rest_api.as_deref());
    let name = key_name(&inner.access.config.integration, &subscription.id);
    has_time(&target, call)?;
    // The witness is waited for, not raced with the clock: one that is left half-way may tell of it later than of what
    // came next. It may take long, so that time is looked at again.
    witness.making(&trace(&target)).await;
    let begun = has_time(&target, call);
    let created = match begun {
        Ok(()) => create(&target, call, &name, &description).await,
        Err(error) => Err(NotCreated::Nothing(error)),
    };
    let (id, value) = match created {
        Ok(created) => created,
        Err(NotCreated::Nothing(error)) => {
            witness.unmade().await;
            return Err(error);
        }
        Err(NotCreated::Unknown(error)) => return Err(error),
    };
    let made = Key { target: target.clone(), command: call.id.clone(), id, witness: witness.clone(), kept: false };
    let metadata = grant_metadata(&target, &made.id, &plan.id);
    // Whether anybody still waits or not: who does not know of it cannot remove it.
    witness.made(&metadata).await;
    // Binding need not be waited for once nobody waits: whether it came about or not, deleting the key ends it.
    let bound = tokio::select! {
        biased;
        () = call.cancel.cancelled() => {
            Err(Error::unavailable("the subscription was given up: nobody waits for it any more"))
        }
        bound = bind(&target, call, &plan, &address, &made.id) => bound,
    };
    let bound = match (bound, value) {
        (Ok(()), Some(value)) if Instant::now() < call.deadline => Ok(value),
        (Ok(()), Some(_)) => Err(Error::unavailable(format!("the time for this command is over ({})", target.place))),
        (Ok(()), None) => Err(Error::unavailable(format!("CreateApiKey ({}) told no value", target.place))),
        (Err(error), _) => Err(error),
    };
    match bound {
        Ok(value) => {
            let grant = Grant { api_key: Some(value), plan: Some(plan.id.clone()), metadata };
            tracing::debug!(
                integration = %inner.access.config.integration, command = %call.id, subscription = %subscription.id,
                key = %made.id, plan = %plan.id, place = %target.place,
                "made an API key and bound it to the usage plan"
            );
            Ok(Made { grant, key: made })
        }
        Err(error) => Err(undone(made, call, error).await),
    }
}

fn refused(kind: &SubscriptionKind) -> Error {
    let kind = match kind {
        SubscriptionKind::OAuth => "OAuth",
        SubscriptionKind::Jwt => "JWT",
        SubscriptionKind::ApiKey => "API key",
        SubscriptionKind::Other(name) => name,
    };
    Error::invalid(format!(
        "AWS API Gateway gives access by API key only: a subscription of type {kind} cannot be made"
    ))
}

/// What a subscription's key is called in AWS. Stored for ever.
pub(super) fn key_name(integration: &str, subscription: &str) -> String {
    format!("gravitee-{integration}-{subscription}")
}

/// What the key is for, for whoever finds it in AWS.
fn description(subscription: &Subscription, address: &StageAddress, rest_api: Option<&str>) -> String {
    let cut = |text: &str| text.chars().take(NAME).collect::<String>();
    let application = cut(subscription.application_name.as_deref().unwrap_or("-"));
    let application_id = subscription.application_id.as_deref().unwrap_or("-");
    let api = match rest_api {
        Some(name) => format!("{} ({})", cut(name), address.rest_api),
        None => address.rest_api.clone(),
    };
    format!(
        "Gravitee subscription {}: application {application} ({application_id}), API {api}, stage {}",
        subscription.id, address.stage
    )
}

/// Where a key is, as metadata tell it: all that looking for its name needs.
pub(super) fn trace(target: &Target) -> Texts {
    let mut trace = Texts::from([(key::REGION.to_owned(), target.region.clone())]);
    if let Some(number) = &target.number {
        trace.insert(key::ACCOUNT.to_owned(), number.clone());
    }
    trace
}

fn grant_metadata(target: &Target, key_id: &str, plan_id: &str) -> Texts {
    let mut metadata = trace(target);
    metadata.insert(key::API_KEY.to_owned(), key_id.to_owned());
    metadata.insert(key::USAGE_PLAN.to_owned(), plan_id.to_owned());
    metadata
}

/// What is begun must have time to end in, and somebody who waits for it.
fn has_time(target: &Target, call: &Call) -> Result<(), Error> {
    if call.cancel.is_cancelled() {
        return Err(Error::unavailable("the subscription was given up: nobody waits for it any more"));
    }
    if Instant::now() + LEAST_TIME > call.deadline {
        return Err(Error::unavailable(format!("no time is left to make an API key ({})", target.place)));
    }
    Ok(())
}

/// Why there is no key whose id is known.
enum NotCreated {
    /// Certainly there is none.
    Nothing(Error),
    /// There may be one.
    Unknown(Error),
}

/// Makes the key. Its value is wrapped before anything else is done with the answer.
async fn create(
    target: &Target,
    call: &Call,
    name: &str,
    description: &str,
) -> Result<(String, Option<SecretString>), NotCreated> {
    let operation = Operation::create("CreateApiKey", "/apikeys");
    let send = || target.client.create_api_key().name(name).description(description).enabled(true).send();
    let mut answer = match target.ask(call, &operation, send).await {
        Ok(answer) => answer,
        Err(failure) => return Err(not_created(failure, target, call, name)),
    };
    let value = answer.value.take().filter(|value| !value.is_empty()).map(SecretString::from);
    match answer.id.filter(|id| !id.is_empty()) {
        Some(id) => Ok((id, value)),
        None => Err(may_exist(target, call, name, "the answer names no key")),
    }
}

fn not_created(failure: Failure, target: &Target, call: &Call, name: &str) -> NotCreated {
    if failure.effect == Effect::Unknown {
        return may_exist(target, call, name, failure.error.sentence());
    }
    NotCreated::Nothing(match (failure.cause, failure.class()) {
        (Cause::Limit, _) => Error::conflict(format!(
            "no more API keys can be made in {}: AWS allows 10,000 in an account and region; delete keys that nobody \
             uses",
            target.place
        )),
        (_, Class::Conflict) => Error::conflict(format!(
            "AWS made no API key named {name} in {}: {}",
            target.place,
            failure.error.sentence()
        )),
        _ => failure.error,
    })
}

/// The answer was lost: nothing can be deleted, since the id is not known.
fn may_exist(target: &Target, call: &Call, name: &str, why: &str) -> NotCreated {
    tracing::error!(
        command = %call.id, key_name = %name, place = %target.place,
        "an API key of this name may exist, bound to nothing; the agent looks for it where it may ({FINDING}), else it \
         stays listed by `federation-agent grants`: {why}"
    );
    NotCreated::Unknown(Error::unavailable(format!(
        "whether AWS made the API key is not known ({why}). A key named {name} may exist in {}, bound to no usage plan \
         and so opening nothing: the agent looks for it and deletes it where it may ({FINDING}), else \
         `federation-agent grants` lists it",
        target.place
    )))
}

async fn bind(
    target: &Target,
    call: &Call,
    plan: &PlanFacts,
    address: &StageAddress,
    key_id: &str,
) -> Result<(), Error> {
    let operation = Operation::create("CreateUsagePlanKey", format!("/usageplans/{}/keys", plan.id));
    let send =
        || target.client.create_usage_plan_key().usage_plan_id(&plan.id).key_id(key_id).key_type("API_KEY").send();
    match target.ask(call, &operation, send).await {
        Ok(_) => Ok(()),
        Err(failure) => Err(match (failure.cause, failure.class()) {
            (Cause::Limit, _) => Error::conflict(format!(
                "the usage plan {} ({}) takes no more keys in {}: {}",
                plan.name,
                plan.id,
                target.place,
                failure.error.sentence()
            )),
            (_, Class::Conflict) => Error::conflict(format!(
                "the new key cannot be bound to the usage plan {} ({}) for {address}: {}",
                plan.name,
                plan.id,
                failure.error.sentence()
            )),
            (_, Class::NotFound) => Error::not_found(format!(
                "the new key cannot be bound: the usage plan {} ({}) has just been deleted. Discover and ingest the \
                 API so that the plane learns its plans of today; {}",
                plan.name,
                plan.id,
                failure.error.sentence()
            )),
            _ => failure.error,
        }),
    }
}

/// Deletes what was made for a subscription that failed with `error`, and says so when it cannot.
async fn undone(made: Key, call: &Call, error: Error) -> Error {
    let now = Instant::now();
    let until = if call.cancel.is_cancelled() { now } else { call.deadline.max(now) };
    let key_id = made.id.clone();
    match made.undo(until + UNDO_TIME).await {
        Ok(()) => error,
        Err(undoing) => Error::new(
            error.class(),
            format!("{error}. The API key {key_id} made for it could not be deleted ({undoing}): {GOES_ON}"),
        ),
    }
}

/// Deletes a key that was made in vain, in the time until `deadline`, and tells the witness when it is gone.
async fn delete_made(
    target: &Target,
    command: &str,
    key_id: &str,
    witness: &dyn Witness,
    deadline: Instant,
) -> Result<(), Error> {
    // Whoever gave the command up has not given up the undoing.
    let call = Call { id: command.to_owned(), deadline, cancel: CancellationToken::new() };
    let mut deleted = delete(target, &call, key_id).await;
    let known = |deleted: &Result<(), Failure>| !matches!(deleted, Err(failure) if failure.class() == Class::NotFound);
    if !known(&deleted) {
        sleep_until(deadline.min(Instant::now() + KNOWN_TIME)).await;
        deleted = delete(target, &call, key_id).await;
    }
    match deleted {
        Err(failure) if failure.class() != Class::NotFound => {
            not_deleted(target, command, key_id, failure.error.sentence());
            Err(failure.error)
        }
        _ => {
            tracing::info!(command, key = key_id, place = %target.place, "deleted the API key of a subscription that failed");
            witness.unmade().await;
            Ok(())
        }
    }
}

/// Deletes an API key, and with it its bindings.
pub(super) async fn delete(target: &Target, call: &Call, key_id: &str) -> Result<(), Failure> {
    let operation = Operation::delete("DeleteApiKey", format!("/apikeys/{key_id}"));
    let send = || target.client.delete_api_key().api_key(key_id).send();
    target.ask(call, &operation, send).await.map(|_| ())
}

fn not_deleted(target: &Target, command: &str, key_id: &str, why: &str) {
    tracing::error!(
        command, key = key_id, place = %target.place,
        "the API key of a subscription that failed is not deleted yet; {GOES_ON}: {why}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription() -> Subscription {
        Subscription {
            id: "sub-1".into(),
            application_id: Some("app-1".into()),
            application_name: Some("Mobile".into()),
            kind: Some(SubscriptionKind::ApiKey),
            metadata: Texts::new(),
        }
    }

    #[test]
    fn descriptions_are_pinned() {
        let address = StageAddress::new("eu-west-1", "a1", "prod");
        assert_eq!(
            description(&subscription(), &address, Some("Orders")),
            "Gravitee subscription sub-1: application Mobile (app-1), API Orders (a1), stage prod"
        );
        assert_eq!(
            description(&subscription(), &address, None),
            "Gravitee subscription sub-1: application Mobile (app-1), API a1, stage prod"
        );
        let long_name = "é".repeat(5_000);
        let long = Subscription { application_name: Some("é".repeat(5_000)), ..subscription() };
        assert!(description(&long, &address, Some(&long_name)).chars().count() < 600);
    }

    #[test]
    fn other_kinds_of_access_are_refused_by_name() {
        for (kind, word) in [
            (SubscriptionKind::OAuth, "OAuth"),
            (SubscriptionKind::Jwt, "JWT"),
            (SubscriptionKind::Other("MTLS".into()), "MTLS"),
        ] {
            let error = refused(&kind);
            assert_eq!(error.class(), Class::Invalid);
            assert!(error.sentence().contains(word), "{error}");
        }
    }
}

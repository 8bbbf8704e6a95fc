//! Which stage, account and usage plan a command means, also when its ids were given by Gravitee's own agent.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt, stream};

use super::{
    address::StageAddress,
    call::Operation,
    client::{Access, Account, Target},
    map::{PlanFacts, key},
};
use crate::{
    model::{Class, Error, Texts},
    provider::Call,
};

/// How many accounts are asked at once.
const AT_ONCE: usize = 8;
/// How many REST APIs are remembered.
const REMEMBERED: usize = 10_000;

/// What is remembered of REST APIs, by region and id. Nothing rests on it but calls that need not be made again.
#[derive(Debug)]
pub(super) struct Remembered<T>(Mutex<HashMap<(String, String), T>>);

/// Which account has which REST API, as far as it had to be asked.
pub(super) type Routes = Remembered<Arc<Account>>;

/// What REST APIs are called.
pub(super) type Names = Remembered<String>;

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Remembered<T> {
    /// What is remembered of the REST API `id`.
    pub(super) fn get(&self, region: &str, id: &str) -> Option<T> {
        let key = (region.to_owned(), id.to_owned());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// Remembers `what` of the REST API `id`.
    pub(super) fn put(&self, region: &str, id: &str, what: T) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert((region.to_owned(), id.to_owned()), what);
    }
}

/// The stage that `api_id` means: by our own form, or by the invoke URL in the metadata.
pub(super) fn address(api_id: &str, metadata: &Texts) -> Result<StageAddress, Error> {
    if let Some(address) = StageAddress::parse(api_id) {
        return Ok(address);
    }
    metadata.get(key::URL).and_then(|url| StageAddress::of_url(url)).ok_or_else(|| {
        Error::invalid(format!(
            "the API `{api_id}` cannot be found in AWS: its id is not of the form region:restApiId:stage, and no invoke \
             URL comes with it. Discover and ingest it again with this agent"
        ))
    })
}

/// The account and region that has `address`: the account that the metadata names, else the only one, else the one
/// whose role can read the REST API.
pub(super) async fn target(
    access: &Access,
    routes: &Routes,
    call: &Call,
    address: &StageAddress,
    metadata: &Texts,
) -> Result<Target, Error> {
    let region = &address.region;
    let candidates: Vec<&Arc<Account>> =
        access.accounts.iter().filter(|account| account.config.regions.contains(region)).collect();
    if candidates.is_empty() {
        return Err(Error::invalid(format!(
            "{address} lies in {region}, which is not among the configured regions: add it to the settings"
        )));
    }
    if let Some(number) = key::told(metadata, key::ACCOUNT) {
        return of_number(access, &candidates, number, region).await;
    }
    if let [only] = candidates.as_slice() {
        return Ok(access.target(only, region).await);
    }
    if let Some(known) = routes.get(region, &address.rest_api) {
        return Ok(access.target(&known, region).await);
    }
    let mut refusals = Vec::new();
    let mut unanswered = None;
    // All at once: one that does not answer must not use up the time of the one that has it.
    let mut answers = stream::iter(candidates.into_iter().cloned().collect::<Vec<_>>())
        .map(|account| async move {
            let target = access.target(&account, region).await;
            let operation = Operation::get("GetRestApi", format!("/restapis/{}", address.rest_api));
            let send = || target.client.get_rest_api().rest_api_id(&address.rest_api).send();
            let answer = target.ask(call, &operation, send).await;
            answer.map(|_| (account, target))
        })
        .buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        match answer {
            Ok((account, target)) => {
                routes.put(region, &address.rest_api, account);
                return Ok(target);
            }
            Err(failure) if failure.class() == Class::NotFound => {}
            Err(failure) if failure.class() == Class::Denied => refusals.push(failure.error.sentence().to_owned()),
            Err(failure) => unanswered = Some(failure.error),
        }
    }
    // Whoever has it may be the one that does not answer now.
    if let Some(error) = unanswered {
        return Err(error.during(format!("no account that answers has the REST API {} in {region}", address.rest_api)));
    }
    Err(match refusals.first() {
        None => Error::not_found(format!("no configured account has the REST API {} in {region}", address.rest_api)),
        Some(refusal) => Error::denied(format!(
            "no configured account shows the REST API {} in {region}; {} could not be asked: {refusal}",
            address.rest_api,
            if refusals.len() == 1 { "one".into() } else { format!("{} of them", refusals.len()) },
        )),
    })
}

async fn of_number(access: &Access, candidates: &[&Arc<Account>], number: &str, region: &str) -> Result<Target, Error> {
    let mut unknown = None;
    for account in candidates {
        match access.number(account).await {
            Some(known) if known == number => return Ok(access.target(account, region).await),
            Some(_) => {}
            None => unknown = Some(*account),
        }
    }
    // STS does not say which account the credentials are of. If they are of another, AWS will not know the ids.
    if let (Some(account), 1) = (unknown, candidates.len()) {
        return Ok(access.target(account, region).await);
    }
    Err(Error::invalid(format!(
        "account {number} is not configured for {region}: name a role of it in roleArn or accounts, with that region"
    )))
}

/// The usage plan of `plans` that `plan_id` means for `address`: the one with that id, else the only one whose id is
/// contained in it.
pub(super) fn plan<'a>(plans: &'a [PlanFacts], address: &StageAddress, plan_id: &str) -> Result<&'a PlanFacts, Error> {
    let covers = |plan: &&PlanFacts| plan.covers(&address.rest_api, &address.stage);
    if let Some(plan) = plans.iter().find(|plan| plan.id == plan_id) {
        if covers(&plan) {
            return Ok(plan);
        }
        return Err(Error::not_found(format!(
            "the usage plan {} ({}) no longer covers {address}: associate the stage with it again, or discover and \
             ingest the API so that the plane learns its plans of today",
            plan.name, plan.id
        )));
    }
    let contained: Vec<&PlanFacts> = plans.iter().filter(covers).filter(|plan| plan_id.contains(&plan.id)).collect();
    match contained.as_slice() {
        [only] => Ok(only),
        [] => Err(Error::not_found(format!(
            "there is no usage plan `{plan_id}` for {address} any more: discover and ingest the API so that the plane \
             learns its plans of today"
        ))),
        several => {
            let ids: Vec<&str> = several.iter().map(|plan| plan.id.as_str()).collect();
            Err(Error::invalid(format!(
                "the plan `{plan_id}` could mean several usage plans of {address} ({}): discover and ingest the API \
                 with this agent",
                ids.join(", ")
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_apigateway::types::{ApiStage, UsagePlan};

    use super::*;

    fn plans() -> Vec<PlanFacts> {
        let plan = |id: &str, stage: &str| {
            let stage = ApiStage::builder().api_id("a1").stage(stage).build();
            PlanFacts::of(UsagePlan::builder().id(id).name("Gold").api_stages(stage).build()).unwrap()
        };
        vec![plan("gold12", "prod"), plan("silver", "prod"), plan("bronze", "dev")]
    }

    fn prod() -> StageAddress {
        StageAddress::new("eu-west-1", "a1", "prod")
    }

    fn chosen(plan_id: &str) -> Result<String, Class> {
        plan(&plans(), &prod(), plan_id).map(|plan| plan.id.clone()).map_err(|error| error.class())
    }

    #[test]
    fn plans_are_resolved_never_refused_for_their_form() {
        assert_eq!(chosen("gold12"), Ok("gold12".into()));
        assert_eq!(chosen("123456789012:eu-west-1:a1:prod:gold12"), Ok("gold12".into()));
        assert_eq!(chosen("gold12-silver"), Err(Class::Invalid));
        assert_eq!(chosen("bronze"), Err(Class::NotFound));
        assert_eq!(chosen("x-bronze-x"), Err(Class::NotFound));
        assert_eq!(chosen("gone00"), Err(Class::NotFound));
    }

    #[test]
    fn addresses_come_from_the_id_or_the_url() {
        let url = "https://a1.execute-api.eu-west-1.amazonaws.com/prod".to_owned();
        let metadata = Texts::from([(key::URL.to_owned(), url)]);
        assert_eq!(address("eu-west-1:a1:prod", &Texts::new()).unwrap(), prod());
        assert_eq!(address("some-other-form", &metadata).unwrap(), prod());
        assert_eq!(address("some-other-form", &Texts::new()).unwrap_err().class(), Class::Invalid);
    }
}

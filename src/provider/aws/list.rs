//! Discovery: what an account has in a region, from its lists alone.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

use super::{
    Inner,
    address::StageAddress,
    call::{Operation, Repeats, within},
    client::{Access, Target},
    failure::Failure,
    foreign::Names,
    map::{self, PlanFacts, RestApiFacts},
};
use crate::{
    model::{Class, Error, line},
    provider::{Call, Found, Listed},
};

/// How many accounts and regions are read at once.
const TARGETS_AT_ONCE: usize = 8;
/// How many REST APIs of one account and region are asked for their stages at once.
const STAGES_AT_ONCE: usize = 4;
/// AWS's largest page.
pub(super) const PAGE: i32 = 500;
/// How many pages a list may have: a hundred thousand things, of which AWS allows some thousand.
const PAGES: usize = 200;
/// The longest position of a page, in bytes; AWS's have some hundred.
const POSITION: usize = 4_096;
/// How much is kept of one list, in bytes.
const KEPT: usize = 64 << 20;

/// Ends work early without an error: nobody listens any more.
struct Closed;

/// Why a target ended early.
enum Ended {
    Closed,
    Failed(Error),
}

impl From<Closed> for Ended {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.error)
    }
}

/// Finds everything; see [`Provider::list`](crate::provider::Provider::list).
pub(super) async fn list(inner: &Inner, call: &Call, found: mpsc::Sender<Found>) -> Result<(), Error> {
    let Inner { access, names, .. } = inner;
    let targets = within(call, "finding out which accounts there are", access.targets()).await?;
    let sources = targets.len();
    let seen = Mutex::new(HashSet::new());
    let failed: Mutex<Vec<(Class, String)>> = Mutex::default();
    let work = stream::iter(0..sources).for_each_concurrent(TARGETS_AT_ONCE, |n| {
        let (target, found, seen, failed) = (&targets[n], &found, &seen, &failed);
        async move {
            let Err(Ended::Failed(error)) = (Scan { access, names, target, call, found, seen }).run().await else {
                return;
            };
            failed.lock().unwrap_or_else(PoisonError::into_inner).push((error.class(), error.sentence().to_owned()));
            if sources > 1 {
                let source = target.place.to_string();
                let _closed = found.send(Found::Failed { source, error }).await;
            }
        }
    });
    work.await;
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed.len() < sources { Ok(()) } else { Err(all_failed(failed)) }
}

/// The one error for work in which every source failed.
pub(super) fn all_failed(failed: Vec<(Class, String)>) -> Error {
    let count = failed.len();
    // One that passes makes trying again worth while, so its class is the whole's.
    let worst = failed.iter().position(|(class, _)| class.is_passing()).unwrap_or(0);
    match failed.into_iter().nth(worst) {
        Some((class, sentence)) if count == 1 => Error::new(class, sentence),
        Some((class, sentence)) => {
            Error::new(class, format!("none of {count} accounts and regions could be read; {sentence}"))
        }
        None => Error::bug("no account and region is configured"),
    }
}

/// One account and region being read.
struct Scan<'a> {
    access: &'a Access,
    names: &'a Names,
    target: &'a Target,
    call: &'a Call,
    found: &'a mpsc::Sender<Found>,
    /// Identities already sent: two roles into one account give an API once.
    seen: &'a Mutex<HashSet<String>>,
}

/// What plans name, by REST API id and stage, and the plans that do.
type Covered<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a PlanFacts>>;

fn covered(plans: &[PlanFacts]) -> Covered<'_> {
    let mut covered = Covered::new();
    for plan in plans {
        for (api, stage) in &plan.stages {
            covered.entry((api, stage)).or_default().push(plan);
        }
    }
    covered
}

impl Scan<'_> {
    async fn run(&self) -> Result<(), Ended> {
        let plans = all_usage_plans(self.target, self.call, usage_plans_list().patient()).await?;
        let covered = covered(&plans);
        let rest_apis = self.rest_apis(&covered).await?;
        let names: HashMap<String, String> =
            rest_apis.iter().map(|rest_api| (rest_api.id.clone(), rest_api.name.clone())).collect();
        if self.access.config.without_plan {
            return self.every_stage(&rest_apis, &covered, &names).await;
        }
        for rest_api in &rest_apis {
            for stage in stages_of(&covered, &rest_api.id) {
                self.send(rest_api, stage, &covered, &names).await?;
            }
        }
        Ok(())
    }

    /// Every REST API whose stages may be handed over. The others, and what plans name in vain, are left out.
    async fn rest_apis(&self, covered: &Covered<'_>) -> Result<Vec<RestApiFacts>, Ended> {
        let operation = Operation::get("GetRestApis", "/restapis").patient();
        let mut all: BTreeMap<String, RestApiFacts> = BTreeMap::new();
        let mut pages = Pages::default();
        while pages.more {
            let position = &pages.position;
            let send = || self.target.client.get_rest_apis().limit(PAGE).set_position(position.clone()).send();
            let answer = self.target.ask(self.call, &operation, send).await?;
            for rest_api in whole(answer.items, &operation, self.target)?.into_iter().filter_map(RestApiFacts::of) {
                pages.keep(rest_api.size(), &operation, self.target)?;
                all.insert(rest_api.id.clone(), rest_api);
            }
            pages.turn(answer.position, &operation, self.target)?;
        }
        for ((api, stage), plans) in covered.iter().filter(|((api, _), _)| !all.contains_key(*api)) {
            let plan = plans.first().map_or("", |plan| &plan.name);
            let why = format!(
                "the usage plan {plan} names it, but its REST API does not exist any more or is not shown to the agent"
            );
            self.leave_out(StageAddress::new(&self.target.region, api, stage).to_string(), why).await?;
        }
        let mut kept = Vec::new();
        for rest_api in all.into_values() {
            if self.access.config.without_plan || stages_of(covered, &rest_api.id).next().is_some() {
                kept.push(rest_api);
                continue;
            }
            let what = format!("{}:{} ({})", self.target.region, rest_api.id, rest_api.name);
            let why = "no usage plan covers a stage of it: associate one with a usage plan, or set \
                       acceptApiWithoutUsagePlan";
            self.leave_out(what, why.into()).await?;
        }
        Ok(kept)
    }

    /// With `acceptApiWithoutUsagePlan`, each REST API tells its own stages.
    async fn every_stage(
        &self,
        rest_apis: &[RestApiFacts],
        covered: &Covered<'_>,
        names: &HashMap<String, String>,
    ) -> Result<(), Ended> {
        // Tasks of their own: while an API waits to be taken, nobody would drive them here, and one that stands in the
        // bucket's queue without being driven holds up everybody behind it, the reader of documents among them.
        let mut answers = stream::iter(0..rest_apis.len())
            .map(|n| {
                let (target, call, id) = (self.target.clone(), self.call.clone(), rest_apis[n].id.clone());
                let asking = tokio::spawn(async move { stages(&target, &call, &id).await }.in_current_span());
                async move { (n, AbortOnDropHandle::new(asking).await) }
            })
            .buffered(STAGES_AT_ONCE);
        let mut some_were_read = rest_apis.is_empty();
        let mut refusal = None;
        while let Some((n, answer)) = answers.next().await {
            let rest_api = &rest_apis[n];
            let what = || format!("{}:{} ({})", self.target.region, rest_api.id, rest_api.name);
            let answer = answer.map_err(|_| Error::bug("asking for the stages of a REST API ended without an answer"));
            match answer.map_err(Ended::Failed)? {
                Ok(stages) => {
                    some_were_read = true;
                    for gone in stages_of(covered, &rest_api.id).filter(|stage| !stages.iter().any(|s| s == stage)) {
                        let address = StageAddress::new(&self.target.region, &rest_api.id, gone).to_string();
                        self.leave_out(address, "a usage plan names it, but there is no such stage any more".into())
                            .await?;
                    }
                    for stage in &stages {
                        self.send(rest_api, stage, covered, names).await?;
                    }
                }
                // Gone since the list was read, or kept from us: this one is left out, the others go on.
                Err(failure) if matches!(failure.class(), Class::NotFound | Class::Denied | Class::Invalid) => {
                    self.leave_out(what(), format!("its stages cannot be read: {}", failure.error)).await?;
                    if failure.class() == Class::Denied {
                        refusal.get_or_insert(failure.error);
                    }
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        match refusal {
            // Nothing at all may be read: the right is missing as a whole.
            Some(refusal) if !some_were_read => Err(Ended::Failed(refusal)),
            _ => Ok(()),
        }
    }

    /// Hands one stage over, unless the filter holds it back or another role has sent it.
    async fn send(
        &self,
        rest_api: &RestApiFacts,
        stage: &str,
        covered: &Covered<'_>,
        names: &HashMap<String, String>,
    ) -> Result<(), Closed> {
        let address = StageAddress::new(&self.target.region, &rest_api.id, stage);
        if !address.is_sound() {
            let why = "its REST API's id or its stage's name is not of the form that AWS gives";
            return self.leave_out(address.to_string(), why.into()).await;
        }
        if !self.target.account.config.accepts(stage) {
            let wanted = self.target.account.config.stages.join(", ");
            let why = format!("the settings accept only the stages {wanted}");
            return self.leave_out(address.to_string(), why).await;
        }
        if !self.seen.lock().unwrap_or_else(PoisonError::into_inner).insert(address.to_string()) {
            return Ok(());
        }
        self.names.put(&self.target.region, &rest_api.id, rest_api.name.clone());
        let plans = covered.get(&(rest_api.id.as_str(), stage)).map_or(&[][..], Vec::as_slice);
        let found = map::Found { address: &address, account: self.target.number.as_deref() };
        let api = map::api(found, rest_api, plans, names, &self.access.config.api_name);
        let listed = Listed { api, source: self.target.place.clone() };
        self.found.send(Found::Api(Box::new(listed))).await.map_err(|_| Closed)
    }

    async fn leave_out(&self, what: String, why: String) -> Result<(), Closed> {
        // Both hold names that anybody may have given.
        let (what, why) = (line(what), line(why));
        self.found.send(Found::LeftOut { what, why }).await.map_err(|_| Closed)
    }
}

async fn stages(target: &Target, call: &Call, rest_api: &str) -> Result<Vec<String>, Failure> {
    let operation = Operation::get("GetStages", format!("/restapis/{rest_api}/stages")).patient();
    let send = || target.client.get_stages().rest_api_id(rest_api).send();
    let answer = target.ask(call, &operation, send).await?;
    let mut stages: Vec<String> =
        whole(answer.item, &operation, target)?.into_iter().filter_map(|stage| stage.stage_name).collect();
    stages.sort_unstable();
    stages.dedup();
    Ok(stages)
}

fn stages_of<'a>(covered: &'a Covered<'_>, rest_api: &'a str) -> impl Iterator<Item = &'a str> {
    covered.range((rest_api, "")..).take_while(move |((api, _), _)| *api == rest_api).map(|((_, stage), _)| *stage)
}

/// Every usage plan, whole: with a part of them an API's plans would be deleted in the plane.
pub(super) async fn usage_plans(target: &Target, call: &Call) -> Result<Vec<PlanFacts>, Failure> {
    all_usage_plans(target, call, usage_plans_list()).await
}

fn usage_plans_list() -> Operation {
    Operation::get("GetUsagePlans", "/usageplans")
}

async fn all_usage_plans(target: &Target, call: &Call, operation: Operation) -> Result<Vec<PlanFacts>, Failure> {
    let mut plans = Vec::new();
    let mut pages = Pages::default();
    while pages.more {
        let position = &pages.position;
        let send = || target.client.get_usage_plans().limit(PAGE).set_position(position.clone()).send();
        let answer = target.ask(call, &operation, send).await?;
        for plan in whole(answer.items, &operation, target)? {
            let plan = PlanFacts::of(plan).ok_or_else(|| not_whole(&operation, target))?;
            pages.keep(plan.size(), &operation, target)?;
            plans.push(plan);
        }
        pages.turn(answer.position, &operation, target)?;
    }
    Ok(plans)
}

/// What the list of REST APIs says of one of them.
pub(super) enum Looked {
    /// It is there, by this name.
    There(Option<String>),
    /// The list was read whole, and it is not in it.
    Gone,
    /// The list could not be read.
    Unknown,
}

/// Looks for a REST API in the list, which is allowed wherever the agent works.
pub(super) async fn look_for(target: &Target, call: &Call, rest_api: &str) -> Looked {
    let operation = Operation { repeats: Repeats::Never, ..Operation::get("GetRestApis", "/restapis") };
    let mut pages = Pages::default();
    while pages.more {
        let position = &pages.position;
        let send = || target.client.get_rest_apis().limit(PAGE).set_position(position.clone()).send();
        let Ok(answer) = target.ask(call, &operation, send).await else { return Looked::Unknown };
        let Some(items) = answer.items else { return Looked::Unknown };
        if let Some(found) = items.into_iter().find(|found| found.id() == Some(rest_api)) {
            return Looked::There(found.name);
        }
        if pages.turn(answer.position, &operation, target).is_err() {
            return Looked::Unknown;
        }
    }
    Looked::Gone
}

/// What a page lists. An answer without a list says nothing: what it did not tell is unknown, not empty.
pub(super) fn whole<T>(items: Option<Vec<T>>, operation: &Operation, target: &Target) -> Result<Vec<T>, Failure> {
    items.ok_or_else(|| not_whole(operation, target))
}

fn not_whole(operation: &Operation, target: &Target) -> Failure {
    Failure::harmless(Error::unavailable(format!(
        "{} ({}) was answered without what it lists: its list cannot be read whole. Look at proxies and endpointUrl",
        operation.name, target.place
    )))
}

/// Where a list is being read.
pub(super) struct Pages {
    /// What the next page is asked for by; `None` is the first.
    pub(super) position: Option<String>,
    /// Whether there is a next page.
    pub(super) more: bool,
    seen: HashSet<String>,
    /// How much was kept of the pages so far, in bytes.
    kept: usize,
}

impl Default for Pages {
    fn default() -> Self {
        Self { position: None, more: true, seen: HashSet::new(), kept: 0 }
    }
}

impl Pages {
    /// Goes on to `next`. What leads round, or on for ever, is no list.
    pub(super) fn turn(&mut self, next: Option<String>, operation: &Operation, target: &Target) -> Result<(), Failure> {
        self.position = next.filter(|next| !next.is_empty());
        self.more = self.position.is_some();
        let Some(next) = &self.position else { return Ok(()) };
        let why = if next.len() > POSITION {
            format!("names its next page by {} bytes", next.len())
        } else if !self.seen.insert(next.clone()) {
            "names the same page twice".to_owned()
        } else if self.seen.len() >= PAGES {
            format!("has more than {PAGES} pages")
        } else {
            return Ok(());
        };
        Err(endless(operation, target, &why))
    }

    /// So many bytes more are kept of what was listed.
    fn keep(&mut self, bytes: usize, operation: &Operation, target: &Target) -> Result<(), Failure> {
        self.kept += bytes;
        if self.kept <= KEPT {
            return Ok(());
        }
        Err(endless(operation, target, &format!("has more than {KEPT} bytes")))
    }
}

fn endless(operation: &Operation, target: &Target, why: &str) -> Failure {
    Failure::harmless(Error::unavailable(format!(
        "{} ({}) {why}: its list cannot be read whole. Look at proxies and endpointUrl",
        operation.name, target.place
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_of_one_rest_api_are_found() {
        let covered: Covered<'_> =
            [("a", "dev"), ("a", "prod"), ("ab", "prod"), ("b", "x")].map(|stage| (stage, Vec::new())).into();
        let of = |api| stages_of(&covered, api).collect::<Vec<_>>();
        assert_eq!(of("a"), ["dev", "prod"]);
        assert_eq!(of("ab"), ["prod"]);
        assert_eq!(of("c"), [""; 0]);
    }

    #[test]
    fn the_error_of_all_is_one_that_passes_when_there_is_one() {
        let denied = (Class::Denied, "denied".to_owned());
        let down = (Class::Unavailable, "down".to_owned());
        let one = all_failed(vec![denied.clone()]);
        assert_eq!((one.class(), one.sentence()), (Class::Denied, "denied"));
        let two = all_failed(vec![denied, down]);
        assert_eq!(two.class(), Class::Unavailable);
        assert_eq!(two.sentence(), "none of 2 accounts and regions could be read; down");
    }
}

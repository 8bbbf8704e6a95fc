//! The rights to read, each tried once, and how much there is to read.

use std::collections::BTreeSet;

use tokio::time::Instant;

use super::{NOTHING, Refused, Trial, quota};
use crate::{
    model::{Class, Error},
    provider::{
        Verdict,
        aws::{
            address::StageAddress,
            call::Operation,
            export,
            failure::{Cause, Failure},
            list::{self, PAGE},
            map::PlanFacts,
        },
    },
};

const STAGES: &str = "/restapis/*/stages";
const EXPORT: &str = "/restapis/*/stages/*/exports/oas30";

impl Trial<'_> {
    /// Tries them. An error: the credentials are refused here, or nobody answers.
    pub(super) async fn reads(&mut self) -> Result<(), Refused> {
        let plans = self.usage_plans().await?;
        let (first, apis) = self.rest_apis().await?;
        if let Some(apis) = apis {
            let stages: BTreeSet<_> = plans.iter().flat_map(|plan| &plan.stages).collect();
            let work = quota::Work {
                apis: apis.count,
                more: apis.more,
                plans: plans.len(),
                stages: stages.len(),
                every_stage: self.inner.access.config.without_plan,
            };
            self.all.push(quota::of_region(&self.inner.access.config, self.target, &work).into());
        }
        let mut stage = plans.iter().flat_map(|plan| &plan.stages).next().cloned();
        if self.inner.access.config.without_plan {
            stage = stage.or(self.stages(first.as_deref()).await);
        }
        if self.inner.access.config.accounts.len() > 1 {
            self.rest_api(first.as_deref()).await;
        }
        self.export(stage).await;
        Ok(())
    }

    async fn usage_plans(&mut self) -> Result<Vec<PlanFacts>, Refused> {
        let begun = Instant::now();
        match list::usage_plans(self.target, &self.step()).await {
            Ok(plans) => {
                self.tell(Verdict::Good, "GET", "/usageplans", format!("{} usage plans", plans.len()), begun);
                Ok(plans)
            }
            Err(failure) => {
                self.tell_failure("GET", "/usageplans", &failure.error, begun);
                hopeless(&failure).map_or(Ok(Vec::new()), Err)
            }
        }
    }

    /// The first REST API's id, and how many there are when the list could be read.
    async fn rest_apis(&mut self) -> Result<(Option<String>, Option<Counted>), Refused> {
        let operation = Operation::get("GetRestApis", "/restapis");
        let begun = Instant::now();
        let send = || self.target.client.get_rest_apis().limit(PAGE).send();
        match self.target.ask(&self.step(), &operation, send).await {
            Ok(answer) => {
                let more = answer.position.is_some();
                let items = answer.items.unwrap_or_default();
                let count = items.len();
                let first = items.into_iter().find_map(|rest_api| rest_api.id);
                let (verdict, says) = match count {
                    0 => (Verdict::Doubtful, "there is no REST API, or none is shown".to_owned()),
                    1 => (Verdict::Good, "1 REST API is shown".to_owned()),
                    _ if more => (Verdict::Good, format!("{count} REST APIs are shown, and there are more")),
                    _ => (Verdict::Good, format!("{count} REST APIs are shown")),
                };
                self.tell(verdict, "GET", "/restapis", says, begun);
                Ok((first, Some(Counted { count, more })))
            }
            Err(failure) => {
                self.tell_failure("GET", "/restapis", &failure.error, begun);
                hopeless(&failure).map_or(Ok((None, None)), Err)
            }
        }
    }

    /// A stage, when the right to list them is there.
    async fn stages(&mut self, rest_api: Option<&str>) -> Option<(String, String)> {
        let Some(rest_api) = rest_api else {
            self.tell_untried("GET", STAGES, "there is no REST API to try it on");
            return None;
        };
        let operation = Operation::get("GetStages", format!("/restapis/{rest_api}/stages"));
        let begun = Instant::now();
        let send = || self.target.client.get_stages().rest_api_id(rest_api).send();
        match self.target.ask(&self.step(), &operation, send).await {
            Ok(answer) => {
                self.tell(Verdict::Good, "GET", STAGES, "allowed", begun);
                let name = answer.item.unwrap_or_default().into_iter().find_map(|stage| stage.stage_name);
                name.map(|name| (rest_api.to_owned(), name))
            }
            Err(failure) => {
                self.tell_failure("GET", STAGES, &failure.error, begun);
                None
            }
        }
    }

    /// With several accounts a REST API is asked for by its id, to find out whose it is.
    async fn rest_api(&mut self, rest_api: Option<&str>) {
        const PATH: &str = "/restapis/*";
        let id = rest_api.unwrap_or(NOTHING);
        let operation = Operation::get("GetRestApi", format!("/restapis/{id}"));
        let begun = Instant::now();
        let send = || self.target.client.get_rest_api().rest_api_id(id).send();
        match self.target.ask(&self.step(), &operation, send).await {
            Ok(_) => self.tell(Verdict::Good, "GET", PATH, "allowed", begun),
            Err(failure) if failure.class() == Class::NotFound => {
                self.tell(Verdict::Good, "GET", PATH, "allowed", begun);
            }
            Err(failure) => {
                let error = Error::new(failure.class(), failure.error.sentence().replace(&operation.path, PATH));
                self.tell_failure("GET", PATH, &error, begun);
            }
        }
    }

    async fn export(&mut self, stage: Option<(String, String)>) {
        let Some((rest_api, stage)) = stage else {
            return self.tell_untried("GET", EXPORT, "there is no stage to try it on");
        };
        let address = StageAddress::new(&self.target.region, &rest_api, &stage);
        let begun = Instant::now();
        match export::read(self.target, &self.step(), &address).await {
            Ok(document) => {
                let says = format!("read the document of {address}, {} bytes", document.content.len());
                self.tell(Verdict::Good, "GET", EXPORT, says, begun);
            }
            Err(error) if matches!(error.class(), Class::NotFound | Class::Invalid) => {
                let says = format!("allowed, but {address} gave no document: {error}");
                self.tell(Verdict::Doubtful, "GET", EXPORT, says, begun);
            }
            Err(error) => self.tell_failure("GET", EXPORT, &error, begun),
        }
    }
}

/// How long the first page of a list is, and whether there is another.
struct Counted {
    count: usize,
    more: bool,
}

/// Whether everything else would end the same way.
fn hopeless(failure: &Failure) -> Option<Refused> {
    match (failure.cause, failure.class()) {
        (Cause::Credentials, _) => Some(Refused("AWS does not take the credentials here")),
        (Cause::Cancelled, _) => Some(Refused("nobody waits for it any more")),
        (_, Class::Unavailable) => Some(Refused("AWS cannot be asked here, as above")),
        _ => None,
    }
}

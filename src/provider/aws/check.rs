//! Trying everything that the agent needs in AWS, without making or removing anything.

use tokio::sync::mpsc;

use super::{
    Inner,
    address::StageAddress,
    call::{Operation, Repeats},
    client::{Target, unidentified},
    export,
    failure::{Cause, Failure},
    list,
    pace::Haste,
    subscribe,
};
use crate::{
    model::{Class, Error},
    provider::{Call, Finding, Verdict},
};

/// An id that nothing has.
const NOTHING: &str = "federationagentcheck0";
/// A key's value that is too short to be taken.
const TOO_SHORT: &str = "check";
/// What is said, once, of rights that only a request which cannot succeed may try.
const UNVERIFIED: &str = "this and the other writes are tried by requests that cannot succeed; that AWS looks at the \
                          right before anything else is not verified";

/// Tries everything, telling each step. What needs credentials that failed is not tried.
pub(super) async fn check(inner: &Inner, call: &Call, findings: mpsc::Sender<Finding>) {
    let mut teller = Teller { findings, unverified_told: false };
    let mut missing = String::new();
    for account in &inner.access.accounts {
        let of = account.config.role.as_ref().map_or_else(String::new, |_| format!(" of {}", account.whom));
        let what = format!("credentials{of}");
        match inner.access.credentials(account).await {
            Ok(_) => teller.tell(Verdict::Good, what, "there").await,
            Err(error) => {
                // All roles are assumed with the same credentials.
                let says = if missing == error.sentence() { "as above" } else { error.sentence() };
                teller.tell(Verdict::Bad, what, says).await;
                error.sentence().clone_into(&mut missing);
                continue;
            }
        }
        let what = format!("identity{of}");
        match inner.access.ask_identity(account).await {
            Ok(known) => {
                let says = known.arn.unwrap_or_else(|| format!("account {}", known.account));
                teller.tell(Verdict::Good, what, &says).await;
            }
            Err(failure) => {
                let refused = failure.cause == Cause::Credentials;
                let verdict = if refused { Verdict::Bad } else { Verdict::Doubtful };
                teller.tell(verdict, what, plain(unidentified(failure).sentence(), "STS")).await;
                if refused {
                    continue;
                }
            }
        }
        for region in &account.config.regions {
            let target = inner.access.target(account, region).await;
            if reads(inner, &target, call, &teller).await.is_ok() {
                writes(&target, call, &mut teller).await;
            }
        }
    }
}

struct Teller {
    findings: mpsc::Sender<Finding>,
    unverified_told: bool,
}

/// AWS does not take the credentials here: whatever else is tried would say the same.
struct Refused;

impl Teller {
    async fn tell(&self, verdict: Verdict, what: impl Into<String>, says: &str) {
        let _closed = self.findings.send(Finding { verdict, what: what.into(), says: says.to_owned() }).await;
    }

    /// Tells a failure of what was tried in `target`.
    async fn tell_failure(&self, verb: &str, path: &str, target: &Target, error: &Error) {
        self.tell(Verdict::Bad, what(verb, path, target), plain(error.sentence(), &target.place)).await;
    }
}

/// A sentence without `Operation (place)` at its head: what was tried where stands before it.
fn plain<'a>(sentence: &'a str, place: &str) -> &'a str {
    let rest = match sentence.split_once(&format!(" ({place})")) {
        Some((operation, rest)) if !operation.contains(' ') => rest.trim_start_matches(':').trim_start(),
        _ => sentence,
    };
    rest.strip_prefix("is ").unwrap_or(rest)
}

fn what(verb: &str, path: &str, target: &Target) -> String {
    format!("{verb} {path} ({})", target.place)
}

async fn reads(inner: &Inner, target: &Target, call: &Call, teller: &Teller) -> Result<(), Refused> {
    let plans = match list::usage_plans(target, call).await {
        Ok(plans) => {
            let says = format!("{} usage plans", plans.len());
            teller.tell(Verdict::Good, what("GET", "/usageplans", target), &says).await;
            plans
        }
        Err(failure) => {
            teller.tell_failure("GET", "/usageplans", target, &failure.error).await;
            if failure.cause == Cause::Credentials {
                return Err(Refused);
            }
            Vec::new()
        }
    };
    let operation = Operation::get("GetRestApis", "/restapis");
    let send = || target.client.get_rest_apis().limit(1).send();
    let first = match target.ask(call, &operation, send).await {
        Ok(answer) => {
            let first = answer.items.unwrap_or_default().into_iter().find_map(|rest_api| rest_api.id);
            let says = if first.is_some() { "REST APIs are shown" } else { "there is no REST API, or none is shown" };
            let verdict = if first.is_some() { Verdict::Good } else { Verdict::Doubtful };
            teller.tell(verdict, what("GET", "/restapis", target), says).await;
            first
        }
        Err(failure) => {
            teller.tell_failure("GET", "/restapis", target, &failure.error).await;
            None
        }
    };
    let mut stage = plans.iter().flat_map(|plan| &plan.stages).next().cloned();
    if inner.access.config.without_plan {
        let path = "/restapis/*/stages";
        match &first {
            None => teller.tell(Verdict::Doubtful, what("GET", path, target), "no REST API to try it on").await,
            Some(rest_api) => match stages(target, call, rest_api).await {
                Ok(name) => {
                    teller.tell(Verdict::Good, what("GET", path, target), "allowed").await;
                    stage = stage.or_else(|| Some((rest_api.clone(), name?)));
                }
                Err(failure) => teller.tell_failure("GET", path, target, &failure.error).await,
            },
        }
    }
    let path = "/restapis/*/stages/*/exports/oas30";
    let Some((rest_api, stage)) = stage else {
        teller.tell(Verdict::Doubtful, what("GET", path, target), "no stage to try it on").await;
        return Ok(());
    };
    let address = StageAddress::new(&target.region, &rest_api, &stage);
    match export::read(target, call, &address).await {
        Ok(document) => {
            let says = format!("read the document of {address}, {} bytes", document.content.len());
            teller.tell(Verdict::Good, what("GET", path, target), &says).await;
        }
        Err(error) if matches!(error.class(), Class::NotFound | Class::Invalid) => {
            let says = format!("allowed, but {address} gave no document: {error}");
            teller.tell(Verdict::Doubtful, what("GET", path, target), &says).await;
        }
        Err(error) => teller.tell_failure("GET", path, target, &error).await,
    }
    Ok(())
}

async fn stages(target: &Target, call: &Call, rest_api: &str) -> Result<Option<String>, Failure> {
    let operation = Operation::get("GetStages", format!("/restapis/{rest_api}/stages"));
    let send = || target.client.get_stages().rest_api_id(rest_api).send();
    let answer = target.ask(call, &operation, send).await?;
    Ok(answer.item.unwrap_or_default().into_iter().find_map(|stage| stage.stage_name))
}

/// The rights to write, by requests that name nothing there is.
async fn writes(target: &Target, call: &Call, teller: &mut Teller) {
    let once = |name, verb, path: String| Operation { name, verb, path, repeats: Repeats::Never, haste: Haste::Urgent };

    let operation = once("CreateApiKey", "POST", "/apikeys".into());
    let send = || target.client.create_api_key().name(NOTHING).value(TOO_SHORT).send();
    match target.ask(call, &operation, send).await {
        Err(failure) => tell_write(teller, target, &operation, "/apikeys", &failure).await,
        Ok(answer) => {
            // No gateway should take so short a value. This one did: it must not keep it.
            let removed = match answer.id {
                Some(id) => subscribe::delete(target, call, &id).await.is_ok(),
                None => false,
            };
            let says = if removed {
                "allowed; a key was made in spite of its forbidden value, and deleted again"
            } else {
                "allowed; a key named federationagentcheck0 was made in spite of its forbidden value: delete it by hand"
            };
            teller.tell(Verdict::Doubtful, what("POST", "/apikeys", target), says).await;
        }
    }

    let operation = once("CreateUsagePlanKey", "POST", format!("/usageplans/{NOTHING}/keys"));
    let send =
        || target.client.create_usage_plan_key().usage_plan_id(NOTHING).key_id(NOTHING).key_type("API_KEY").send();
    match target.ask(call, &operation, send).await {
        Err(failure) => tell_write(teller, target, &operation, "/usageplans/*/keys", &failure).await,
        Ok(_) => teller.tell(Verdict::Good, what("POST", "/usageplans/*/keys", target), "allowed").await,
    }

    let operation = once("DeleteApiKey", "DELETE", format!("/apikeys/{NOTHING}"));
    let send = || target.client.delete_api_key().api_key(NOTHING).send();
    match target.ask(call, &operation, send).await {
        Err(failure) => tell_write(teller, target, &operation, "/apikeys/*", &failure).await,
        Ok(_) => teller.tell(Verdict::Good, what("DELETE", "/apikeys/*", target), "allowed").await,
    }
}

async fn tell_write(teller: &mut Teller, target: &Target, operation: &Operation, path: &str, failure: &Failure) {
    match failure.class() {
        Class::NotFound | Class::Invalid | Class::Conflict => {
            let first = !std::mem::replace(&mut teller.unverified_told, true);
            let says = if first { format!("allowed ({UNVERIFIED})") } else { "allowed".into() };
            teller.tell(Verdict::Good, what(operation.verb, path, target), &says).await;
        }
        Class::Denied => {
            let error = Error::denied(failure.error.sentence().replace(&operation.path, path));
            teller.tell_failure(operation.verb, path, target, &error).await;
        }
        _ => teller.tell_failure(operation.verb, path, target, &failure.error).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_says_things_once() {
        let place = "account 123456789012, eu-west-1";
        for (sentence, says) in [
            ("GetUsagePlans (account 123456789012, eu-west-1) is denied: allow x to y", "denied: allow x to y"),
            ("GetExport (account 123456789012, eu-west-1): AWS saw no credentials", "AWS saw no credentials"),
            ("a text of another shape", "a text of another shape"),
            ("another (account 123456789012, eu-west-1) of them", "of them"),
            ("not of one word (account 123456789012, eu-west-1)", "not of one word (account 123456789012, eu-west-1)"),
        ] {
            assert_eq!(plain(sentence, place), says);
        }
    }
}

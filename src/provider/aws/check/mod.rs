//! Trying everything that the agent needs in AWS, without making or removing anything.
//!
//! Accounts and regions are tried side by side and told in the order of the settings.

mod quota;
mod reads;
mod writes;

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, stream};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Inner,
    client::{Account, Target, unidentified},
    failure::Cause,
    pace::Haste,
};
use crate::{
    model::Error,
    provider::{Call, Finding, Verdict},
};

/// An id that nothing has.
const NOTHING: &str = "federationagentcheck0";
/// How many accounts are tried at once, and of each how many regions.
const AT_ONCE: usize = 4;
/// How long one call may take, repetitions and all: where nothing answers, this is what it costs.
const STEP: Duration = Duration::from_secs(8);
/// What is said, once, of rights that only a request which cannot succeed may try.
const UNVERIFIED: &str = "this and the other writes are tried by requests that cannot succeed; that AWS looks at the \
                          right before anything else is not verified";

/// What is found, before it is known what was said before.
enum Found {
    /// To be told as it is.
    Told(Finding),
    /// There are no credentials: all roles are assumed with the same ones, and would fail alike.
    NoCredentials(Finding),
    /// A right to write, which may be had.
    Write(Finding),
}

impl From<Finding> for Found {
    fn from(finding: Finding) -> Self {
        Self::Told(finding)
    }
}

/// Tries everything, telling each step. What needs credentials that failed is not tried.
pub(super) async fn check(inner: &Inner, call: &Call, findings: mpsc::Sender<Finding>) {
    let mut missing = String::new();
    let mut unverified_told = false;
    let accounts = 0..inner.access.accounts.len();
    let mut all = stream::iter(accounts).map(|n| account(inner, &inner.access.accounts[n], call)).buffered(AT_ONCE);
    while let Some(found) = all.next().await {
        for found in found {
            let finding = match found {
                Found::NoCredentials(finding) if finding.says == missing => {
                    Finding { says: "as above".into(), ..finding }
                }
                Found::NoCredentials(finding) => {
                    missing.clone_from(&finding.says);
                    finding
                }
                Found::Write(finding) if !std::mem::replace(&mut unverified_told, true) => {
                    Finding { says: format!("{} ({UNVERIFIED})", finding.says), ..finding }
                }
                Found::Write(finding) | Found::Told(finding) => finding,
            };
            let _closed = findings.send(finding).await;
        }
    }
    drop(all);
    for finding in quota::of_all(inner) {
        let _closed = findings.send(finding).await;
    }
}

/// One account: who we are there, then its regions.
async fn account(inner: &Inner, account: &Arc<Account>, call: &Call) -> Vec<Found> {
    let of = account.config.role.as_ref().map_or_else(String::new, |_| format!(" of {}", account.whom));
    let mut all: Vec<Found> = Vec::new();
    let untried = |why: &str| {
        let says = format!("not tried: {why}");
        Found::Told(Finding::new("gateway.right", Verdict::Untried, format!("rights{of}"), says))
    };
    let begun = Instant::now();
    let what = format!("credentials{of}");
    match inner.access.credentials(account).await {
        Ok(_) => {
            let finding = Finding::new("gateway.credentials", Verdict::Good, what, "there");
            all.push(finding.taking(begun.elapsed()).into());
        }
        Err(error) => {
            let finding = Finding::new("gateway.credentials", Verdict::Bad, what, error.sentence());
            all.push(Found::NoCredentials(finding.taking(begun.elapsed())));
            all.push(untried("there are no credentials"));
            return all;
        }
    }
    let begun = Instant::now();
    let what = format!("identity{of}");
    match inner.access.ask_identity(account).await {
        Ok(known) => {
            let says = known.arn.unwrap_or_else(|| format!("account {}", known.account));
            let finding = Finding::new("gateway.identity", Verdict::Good, what, says);
            all.push(finding.taking(begun.elapsed()).into());
        }
        Err(failure) => {
            let refused = failure.cause == Cause::Credentials;
            let verdict = if refused { Verdict::Bad } else { Verdict::Doubtful };
            let says = plain(unidentified(failure).sentence(), "STS").to_owned();
            all.push(Finding::new("gateway.identity", verdict, what, says).taking(begun.elapsed()).into());
            if refused {
                all.push(untried("AWS does not take the credentials"));
                return all;
            }
        }
    }
    let regions = 0..account.config.regions.len();
    let regions = stream::iter(regions).map(|n| region(inner, account, &account.config.regions[n], call));
    all.extend(regions.buffered(AT_ONCE).collect::<Vec<_>>().await.into_iter().flatten());
    all
}

async fn region(inner: &Inner, account: &Arc<Account>, region: &str, call: &Call) -> Vec<Found> {
    let target = inner.access.target(account, region).await;
    let mut trial = Trial { inner, target: &target, call, all: Vec::new() };
    let Err(Refused(why)) = trial.reads().await else {
        trial.writes().await;
        trial.base_deletes().await;
        return trial.all;
    };
    let what = format!("the other rights ({})", target.place);
    trial.all.push(Finding::new("gateway.right", Verdict::Untried, what, format!("not tried: {why}")).into());
    trial.all
}

/// One account and region being tried.
struct Trial<'a> {
    inner: &'a Inner,
    target: &'a Target,
    call: &'a Call,
    all: Vec<Found>,
}

/// Whatever else is tried here would say the same; why.
struct Refused(&'static str);

impl Trial<'_> {
    /// What one step may cost. A slow pace of the settings' own is waited for.
    fn step(&self) -> Call {
        let turn = Duration::try_from_secs_f64(3.0 / self.inner.access.config.calls_per_second);
        let step = STEP.max(turn.unwrap_or(STEP).min(4 * STEP));
        Call { deadline: self.call.deadline.min(Instant::now() + step), ..self.call.clone() }
    }

    fn tell(&mut self, verdict: Verdict, verb: &str, path: &str, says: impl Into<String>, begun: Instant) {
        self.tell_at(self.target, verdict, (verb, path), says, begun);
    }

    fn tell_at(
        &mut self,
        target: &Target,
        verdict: Verdict,
        (verb, path): (&str, &str),
        says: impl Into<String>,
        begun: Instant,
    ) {
        let what = format!("{verb} {path} ({})", target.place);
        self.all.push(Finding::new("gateway.right", verdict, what, says).taking(begun.elapsed()).into());
    }

    /// Tells a right that nothing could be tried on.
    fn tell_untried(&mut self, verb: &str, path: &str, why: &str) {
        let what = format!("{verb} {path} ({})", self.target.place);
        let says = format!("not tried: {why}");
        self.all.push(Finding::new("gateway.right", Verdict::Untried, what, says).into());
    }

    /// Tells a failure of what was tried.
    fn tell_failure(&mut self, verb: &str, path: &str, error: &Error, begun: Instant) {
        let says = plain(error.sentence(), &self.target.place).to_owned();
        self.tell(Verdict::Bad, verb, path, says, begun);
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

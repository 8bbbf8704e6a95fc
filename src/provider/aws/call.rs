//! The one loop that every call to API Gateway goes through: credentials, pace, time, repetition, and a line in the
//! log for each attempt.

use std::{future::Future, time::Duration};

use aws_credential_types::Credentials;
use aws_sdk_apigateway::{
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{Instrument, Span};

use super::{
    client::Target,
    failure::{self, Asked, Cause, Effect, Failure},
    pace::Haste,
    region::Partition,
};
use crate::{
    model::{Class, Error},
    observe::{CallOutcome, span},
    provider::Call,
};

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(20);
/// The answer to a call that creates is waited for so long after the command's time is over: what is made must be
/// known, or it cannot be removed.
pub(super) const CREATE_GRACE: Duration = Duration::from_secs(2);
/// How often a call that fails is made, unless its quota is used up: that is waited out while there is time.
const ATTEMPTS: u32 = 5;
/// The longest that a bucket is shut, whatever `Retry-After` says.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
/// Delays between attempts: the first, and the longest.
const DELAYS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// What is asked of API Gateway: its verb and path are also the right that it needs.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    /// Its name: `GetRestApis`.
    pub(super) name: &'static str,
    /// The HTTP verb, which IAM calls the action.
    pub(super) verb: &'static str,
    /// The path, which IAM calls the resource.
    pub(super) path: String,
    /// How it may be repeated.
    pub(super) repeats: Repeats,
    /// Whether it goes before others.
    pub(super) haste: Haste,
}

/// How a call may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeats {
    /// After any passing failure, a few times.
    Freely,
    /// After any passing failure, while there is time.
    Stubbornly,
    /// Only after an answer that proves that nothing was made. It is also not given up half-way.
    WhenNothingWasMade,
    /// Never.
    Never,
}

impl Operation {
    /// A call that only reads.
    pub(super) fn get(name: &'static str, path: impl Into<String>) -> Self {
        Self { name, verb: "GET", path: path.into(), repeats: Repeats::Freely, haste: Haste::Urgent }
    }

    /// A call that makes something.
    pub(super) fn create(name: &'static str, path: impl Into<String>) -> Self {
        Self { name, verb: "POST", path: path.into(), repeats: Repeats::WhenNothingWasMade, haste: Haste::Urgent }
    }

    /// A call that removes something: the same again does no harm.
    pub(super) fn delete(name: &'static str, path: impl Into<String>) -> Self {
        Self { name, verb: "DELETE", path: path.into(), repeats: Repeats::Stubbornly, haste: Haste::Urgent }
    }

    /// The same as one of the many that a list or an ingest needs: the few of a subscription go first.
    #[must_use]
    pub(super) fn patient(self) -> Self {
        Self { haste: Haste::Patient, ..self }
    }

    /// The right that it needs in `region`.
    pub(super) fn right(&self, region: &str) -> String {
        let partition = Partition::of_region(region).name;
        format!("apigateway:{} on arn:{partition}:apigateway:{region}::{}", self.verb, self.path)
    }
}

impl Target {
    /// Makes a call, repeating it as [`Operation::repeats`] says within the time of `call`.
    pub(super) async fn ask<O, E, F, Fut>(&self, call: &Call, operation: &Operation, send: F) -> Result<O, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<O, SdkError<E, HttpResponse>>>,
        O: RequestId,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let right = operation.right(&self.region);
        let asked = Asked { operation: operation.name, right: &right, place: &self.place, whom: &self.account.whom };
        let mut attempt = 0;
        let mut last: Option<Failure> = None;
        let mut refused: Option<Credentials> = None;
        loop {
            attempt += 1;
            // Credentials that AWS does not take may have been replaced: one more try, with new ones.
            let mut renew = false;
            let entered = async {
                let credentials = self.vault.get().await?;
                // The same again would be refused again.
                if refused.as_ref() == Some(&credentials) {
                    return Ok((credentials, None));
                }
                let _queued = self.recorder.queued();
                let place = self.bucket.enter(&self.region, operation.haste).await;
                Ok::<_, Error>((credentials, place))
            };
            let failed = match self.in_time(call, &asked, entered).await {
                Err(given_up) => return Err(last.map_or(given_up, |last| ended(last, &asked))),
                Ok(Err(error)) => Failure::harmless(error.during(format!("{} ({})", operation.name, self.place))),
                Ok(Ok((_, None))) => {
                    let bug = || Failure::harmless(Error::bug("the way to the gateway is closed"));
                    return Err(last.unwrap_or_else(bug));
                }
                Ok(Ok((credentials, Some(_place)))) => {
                    let started = Instant::now();
                    let calling = self.recorder.calling(operation.name);
                    crate::faultpoint::reached(&format!("call:{}:before", operation.name)).await;
                    // Boxed: the SDK's futures are large, and many may be waiting.
                    let span = self.span(operation, attempt);
                    let answer = self.attempt(call, operation, &asked, Box::pin(send()));
                    let answer = answer.instrument(span.clone()).await;
                    crate::faultpoint::reached(&format!("call:{}:after", operation.name)).await;
                    match answer {
                        Ok(Ok(output)) => {
                            calling.ended(CallOutcome::Good);
                            span::called(&span, "ok", None, output.request_id(), None);
                            self.log(call, operation, attempt, started, None, "ok");
                            return Ok(output);
                        }
                        Ok(Err(error)) => {
                            let failed = self.vault.advise(failure::of_sdk(&error, &asked));
                            let status = failure::status_of(&error);
                            calling.ended(CallOutcome::Failed(failed.class()));
                            let (outcome, request) = (failed.class().word(), failure::request_of(&error));
                            span::called(&span, outcome, status, request, Some(outcome));
                            self.log(call, operation, attempt, started, status, outcome);
                            if failed.cause == Cause::Credentials {
                                self.vault.refused(&credentials).await;
                                renew = refused.is_none() && operation.repeats != Repeats::Never;
                                refused = Some(credentials);
                            }
                            failed
                        }
                        Err(given_up) => {
                            calling.ended(of_given_up(&given_up));
                            span::called(&span, "given up", None, None, Some("given up"));
                            self.log(call, operation, attempt, started, None, "given up");
                            given_up
                        }
                    }
                }
            };
            match (failed.cause, last.take()) {
                // What went wrong before says more than that the time was over while it was tried again.
                (Cause::OutOfTime, Some(before)) => {
                    return Err(Failure { cause: failed.cause, effect: failed.effect, ..ended(before, &asked) });
                }
                (Cause::OutOfTime | Cause::Cancelled, _) => return Err(failed),
                _ => {}
            }
            let delay = delay(attempt, rand::random());
            if let Class::Throttled(after) = failed.class() {
                self.recorder.throttled(self.bucket.pause(after.unwrap_or(delay).min(LONGEST_PAUSE)));
            }
            if !renew && !may_repeat(operation.repeats, &failed, attempt) {
                return Err(failed);
            }
            let wait = if renew { Duration::ZERO } else { failed.after.unwrap_or(delay).max(delay) };
            if Instant::now() + wait >= call.deadline {
                return Err(failed);
            }
            match self.in_time(call, &asked, sleep(wait)).await {
                Ok(()) => last = Some(failed),
                Err(given_up) => return Err(if given_up.cause == Cause::Cancelled { given_up } else { failed }),
            }
        }
    }

    /// One attempt, in its own time and the command's.
    async fn attempt<T>(
        &self,
        call: &Call,
        operation: &Operation,
        asked: &Asked<'_>,
        answer: impl Future<Output = T>,
    ) -> Result<T, Failure> {
        let patience = Instant::now() + ATTEMPT;
        if operation.repeats == Repeats::WhenNothingWasMade {
            let until = patience.min(call.deadline + CREATE_GRACE);
            return timeout_at(until, answer).await.map_err(|_| failure::lost(asked, "no answer in time"));
        }
        match self.in_time(call, asked, timeout_at(patience, answer)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(failure::lost(asked, "no answer in time")),
            Err(mut given_up) => {
                given_up.effect = Effect::Unknown;
                Err(given_up)
            }
        }
    }

    /// `work`, unless the command is cancelled or its time is over before.
    async fn in_time<T>(&self, call: &Call, asked: &Asked<'_>, work: impl Future<Output = T>) -> Result<T, Failure> {
        let (cause, says) = tokio::select! {
            biased;
            () = call.cancel.cancelled() => (Cause::Cancelled, "was given up: nobody waits for it any more"),
            () = sleep_until(call.deadline) => (Cause::OutOfTime, "did not come about in the time for this command"),
            done = work => return Ok(done),
        };
        let error = Error::unavailable(format!("{} ({}) {says}", asked.operation, asked.place));
        Err(Failure { cause, ..Failure::harmless(error) })
    }

    fn span(&self, operation: &Operation, attempt: u32) -> Span {
        let Operation { name, verb, path, .. } = operation;
        span::call(name, verb, path, &self.region, &self.place, attempt)
    }

    fn log(
        &self,
        call: &Call,
        operation: &Operation,
        attempt: u32,
        started: Instant,
        status: Option<u16>,
        outcome: &str,
    ) {
        tracing::debug!(
            command = %call.id,
            operation = operation.name,
            path = %operation.path,
            place = %self.place,
            attempt,
            status,
            outcome,
            millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "called API Gateway"
        );
    }
}

/// `work` that asks for no time itself, such as finding out who we are; `what` it is for is told when it is given up.
pub(super) async fn within<T>(call: &Call, what: &str, work: impl Future<Output = T>) -> Result<T, Error> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = call.cancel.cancelled() => Err(Error::unavailable(format!("{what} was given up: nobody waits for it any more"))),
        () = sleep_until(call.deadline) => Err(Error::unavailable(format!("{what} did not come about in the time for this command"))),
    }
}

/// What a call that has no answer counts as: ours to give up, or the gateway's to be late.
fn of_given_up(failed: &Failure) -> CallOutcome {
    match failed.cause {
        Cause::Cancelled | Cause::OutOfTime => CallOutcome::GivenUp,
        _ => CallOutcome::Failed(failed.class()),
    }
}

/// What is told when the time is over while something that failed before is tried again.
fn ended(last: Failure, asked: &Asked<'_>) -> Failure {
    last.during(format!("no time is left for another {}", asked.operation))
}

/// Whether a failed call may be made again. Pure.
fn may_repeat(repeats: Repeats, failed: &Failure, attempt: u32) -> bool {
    let class = failed.class();
    if !class.is_passing() {
        return false;
    }
    let throttled = matches!(class, Class::Throttled(_));
    match repeats {
        Repeats::Never => false,
        Repeats::Freely => throttled || attempt < ATTEMPTS,
        Repeats::Stubbornly => true,
        Repeats::WhenNothingWasMade => failed.effect == Effect::Nothing && (throttled || attempt < ATTEMPTS),
    }
}

/// The delay after attempt `attempt`: doubled each time, half of it by chance. `draw` is from 0 to 1.
fn delay(attempt: u32, draw: f64) -> Duration {
    let whole = DELAYS.0.saturating_mul(1 << attempt.saturating_sub(1).min(10)).min(DELAYS.1);
    whole.mul_f64(0.5 + draw.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(class: Class, effect: Effect) -> Failure {
        Failure { effect, ..Failure::harmless(Error::new(class, "x")) }
    }

    #[test]
    fn a_create_is_repeated_only_when_nothing_was_made() {
        let create = Repeats::WhenNothingWasMade;
        assert!(may_repeat(create, &failed(Class::Throttled(None), Effect::Nothing), 9));
        assert!(may_repeat(create, &failed(Class::Unavailable, Effect::Nothing), 1));
        assert!(!may_repeat(create, &failed(Class::Unavailable, Effect::Unknown), 1));
        assert!(!may_repeat(create, &failed(Class::Throttled(None), Effect::Unknown), 1));
    }

    #[test]
    fn only_passing_failures_are_repeated() {
        for class in [Class::Invalid, Class::Denied, Class::NotFound, Class::Conflict, Class::Bug] {
            for repeats in [Repeats::Freely, Repeats::Stubbornly, Repeats::WhenNothingWasMade] {
                assert!(!may_repeat(repeats, &failed(class, Effect::Nothing), 1), "{class:?} {repeats:?}");
            }
        }
        let unavailable = failed(Class::Unavailable, Effect::Unknown);
        assert!(may_repeat(Repeats::Freely, &unavailable, ATTEMPTS - 1));
        assert!(!may_repeat(Repeats::Freely, &unavailable, ATTEMPTS));
        assert!(may_repeat(Repeats::Stubbornly, &unavailable, 99));
    }

    #[test]
    fn delays_double_with_chance_and_end() {
        assert_eq!(delay(1, 0.0), Duration::from_millis(100));
        assert_eq!(delay(1, 1.0), Duration::from_millis(200));
        assert_eq!(delay(3, 1.0), Duration::from_millis(800));
        assert_eq!(delay(60, 1.0), Duration::from_secs(5));
    }

    #[test]
    fn rights_are_the_request_line() {
        let operation = Operation::get("GetRestApis", "/restapis");
        assert_eq!(operation.right("eu-west-1"), "apigateway:GET on arn:aws:apigateway:eu-west-1::/restapis");
        assert_eq!(
            Operation::delete("DeleteApiKey", "/apikeys/k1").right("cn-north-1"),
            "apigateway:DELETE on arn:aws-cn:apigateway:cn-north-1::/apikeys/k1"
        );
    }
}

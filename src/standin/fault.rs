//! What goes wrong on purpose: which calls, how often, and how.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{
    answer::Answer,
    identity::{Principal, partition},
    operation::Operation,
    sts,
};

/// A rule: which calls fail, and how. The first rule that matches a call takes it.
#[derive(Debug, Clone)]
pub struct Fault {
    failure: Failure,
    operation: Option<Operation>,
    line: Option<(String, String)>,
    account: Option<String>,
    principal: Option<String>,
    region: Option<String>,
    skip: usize,
    left: Option<usize>,
}

/// How a call fails.
#[derive(Debug, Clone)]
pub enum Failure {
    /// 429 `TooManyRequestsException`, with `Retry-After` in seconds when one is given. Nothing is done.
    Throttled(Option<u64>),
    /// 429 `LimitExceededException`: no more of these, ever. Nothing is done.
    LimitExceeded,
    /// 403 `AccessDeniedException` in AWS's words. Nothing is done.
    Denied,
    /// An error of this status, type and message. Nothing is done.
    Error(u16, &'static str, &'static str),
    /// Carried out and answered, but later by so much.
    Slow(Duration),
    /// Carried out and answered when the token is cancelled.
    Held(CancellationToken),
    /// Carried out at once, and answered when the token is cancelled.
    Withheld(CancellationToken),
    /// The connection is cut; nothing is done.
    CutBefore,
    /// It is done; then the connection is cut without an answer.
    CutAfter,
    /// It is done; the connection is cut in the middle of the answer's body.
    CutAmid,
    /// It is done; the answer is no JSON.
    Garbage,
    /// It is done; the answer's body is this.
    Answer(&'static str),
    /// It is done; the page names the position that was asked for (or `again`) as the next one, for ever.
    SamePosition,
    /// It is done; the answer's `Date` is off by so many seconds.
    Clock(i64),
    /// It is done; the answer has so many more bytes of blanks before it.
    Huge(usize),
}

impl Failure {
    /// Makes a rule that takes every call.
    pub fn always(self) -> Fault {
        Fault {
            failure: self,
            operation: None,
            line: None,
            account: None,
            principal: None,
            region: None,
            skip: 0,
            left: None,
        }
    }

    /// Makes a rule for one operation.
    pub fn on(self, operation: Operation) -> Fault {
        Fault { operation: Some(operation), ..self.always() }
    }

    /// Makes a rule for one verb and path (without the query).
    pub fn at(self, verb: &str, path: &str) -> Fault {
        Fault { line: Some((verb.to_owned(), path.to_owned())), ..self.always() }
    }

    /// The answer of a failure that does nothing; `None` for the others.
    pub(super) fn refusal(&self, call: &Asked) -> Option<Answer> {
        let sts = call.operation.is_some_and(Operation::is_sts);
        let error = |status, kind: &str, message: &str| {
            if sts { sts::error(status, kind, message) } else { Answer::error(status, kind, message) }
        };
        Some(match self {
            Self::Throttled(after) => {
                let answer = error(429, "TooManyRequestsException", "Too Many Requests");
                match after {
                    Some(seconds) => answer.with("retry-after", seconds.to_string()),
                    None => answer,
                }
            }
            Self::LimitExceeded => error(429, "LimitExceededException", "API keys limit reached for this account"),
            Self::Denied if sts => error(403, "AccessDenied", &call.denial()),
            Self::Denied => error(403, "AccessDeniedException", &call.denial()),
            Self::Error(status, kind, message) => error(*status, kind, message),
            _ => return None,
        })
    }

    /// What becomes of the answer of a call that was carried out.
    pub(super) fn spoil(&self, mut answer: Answer, position: Option<&str>) -> Answer {
        match self {
            Self::Garbage => answer.body = "<html>This is not what you asked for".into(),
            Self::Answer(body) => answer.body = (*body).into(),
            Self::Clock(off) => {
                let (now, span) = (SystemTime::now(), Duration::from_secs(off.unsigned_abs()));
                let date = if *off < 0 { now - span } else { now + span };
                answer = answer.with("date", httpdate::fmt_http_date(date));
            }
            Self::Huge(bytes) => {
                let mut body = vec![b' '; *bytes];
                body.extend_from_slice(&answer.body);
                answer.body = body.into();
            }
            Self::SamePosition => {
                if let Ok(mut page) = serde_json::from_slice::<Value>(&answer.body) {
                    page["position"] = position.unwrap_or("again").into();
                    answer.body = page.to_string().into();
                }
            }
            _ => {}
        }
        answer
    }
}

impl Fault {
    /// Only in this account.
    #[must_use]
    pub fn in_account(mut self, account: &str) -> Self {
        self.account = Some(account.to_owned());
        self
    }

    /// Only for who has this ARN.
    #[must_use]
    pub fn by(mut self, arn: &str) -> Self {
        self.principal = Some(arn.to_owned());
        self
    }

    /// Only in this region.
    #[must_use]
    pub fn in_region(mut self, region: &str) -> Self {
        self.region = Some(region.to_owned());
        self
    }

    /// Only after so many matching calls have gone well.
    #[must_use]
    pub fn after(mut self, calls: usize) -> Self {
        self.skip = calls;
        self
    }

    /// Only so many times.
    #[must_use]
    pub fn times(mut self, times: usize) -> Self {
        self.left = Some(times);
        self
    }

    /// How the call fails, when it is one that this rule takes.
    pub(super) fn take(&mut self, call: &Asked) -> Option<Failure> {
        let matches = self.operation.is_none_or(|operation| call.operation == Some(operation))
            && self.line.as_ref().is_none_or(|(verb, path)| *verb == call.verb && *path == call.path)
            && self.account.as_ref().is_none_or(|account| *account == call.principal.account)
            && self.principal.as_ref().is_none_or(|arn| *arn == call.principal.arn)
            && self.region.as_ref().is_none_or(|region| *region == call.region);
        if !matches || self.left == Some(0) {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.left = self.left.map(|left| left - 1);
        Some(self.failure.clone())
    }
}

/// A call as the rules see it.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) verb: String,
    pub(super) path: String,
    pub(super) operation: Option<Operation>,
    pub(super) principal: Principal,
    pub(super) region: String,
}

impl Asked {
    /// AWS's sentence for a right that no policy gives.
    fn denial(&self) -> String {
        let who = &self.principal.arn;
        if let Some(operation) = self.operation.filter(|operation| operation.is_sts()) {
            return format!("User: {who} is not authorized to perform: sts:{operation}");
        }
        format!(
            "User: {who} is not authorized to perform: apigateway:{verb} on resource: \
             arn:{partition}:apigateway:{region}::{path} because no identity-based policy allows the \
             apigateway:{verb} action",
            verb = self.verb,
            partition = partition(&self.region),
            region = self.region,
            path = self.path,
        )
    }
}

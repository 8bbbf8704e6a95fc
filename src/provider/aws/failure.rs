//! What a failed call means: its class, whether it may have had an effect, and the sentence for a person. Decided by
//! HTTP status and error code, never by the words of a message.

use std::{
    error::Error as StdError,
    time::{Duration, SystemTime},
};

use aws_sdk_apigateway::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::date_time::{DateTime, Format};

use crate::model::{Class, Error};

/// How many characters of AWS's own message are told.
const MESSAGE: usize = 300;
/// The longest wait that is believed: what a gateway asks for beyond it is nonsense, and no clock can add it.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// From which difference on the clock is blamed for a refused signature; AWS allows five minutes.
const SKEW: Duration = Duration::from_mins(4);

/// A failed call.
#[derive(Debug)]
pub(super) struct Failure {
    /// What and why.
    pub(super) error: Error,
    /// Whether the gateway may have done what it was asked.
    pub(super) effect: Effect,
    /// What kind of refusal it is, where callers treat one apart.
    pub(super) cause: Cause,
    /// When the gateway wants to be asked again.
    pub(super) after: Option<Duration>,
}

/// Whether a failed call can have changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Proved: nothing was done.
    Nothing,
    /// The answer was lost or says nothing.
    Unknown,
}

/// Refusals that are treated apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The credentials are refused, not the right: new ones may help.
    Credentials,
    /// The identity is known and lacks the right.
    Right,
    /// A limit of the account is reached.
    Limit,
    /// The command was given up.
    Cancelled,
    /// The time for the command is over.
    OutOfTime,
    /// Anything else.
    Other,
}

impl Failure {
    /// A failure that had no effect.
    pub(super) fn harmless(error: Error) -> Self {
        Self { error, effect: Effect::Nothing, cause: Cause::Other, after: None }
    }

    /// The same with words before its sentence.
    #[must_use]
    pub(super) fn during(mut self, what: impl std::fmt::Display) -> Self {
        self.error = self.error.during(what);
        self
    }

    /// What is to be done about it.
    pub(super) fn class(&self) -> Class {
        self.error.class()
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

/// What is asked of whom: all that sentences about a failure need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// The operation's name: `GetExport`.
    pub(super) operation: &'a str,
    /// The right that it needs: `apigateway:GET on arn:aws:apigateway:eu-west-1::/restapis`.
    pub(super) right: &'a str,
    /// Where: `account 123456789012, eu-west-1`.
    pub(super) place: &'a str,
    /// Who asks: `role arn:…` or `the agent's own identity`.
    pub(super) whom: &'a str,
}

/// An answer that is a refusal.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Answer<'a> {
    /// HTTP status.
    pub(super) status: u16,
    /// AWS's error code; none means that it was not AWS that answered.
    pub(super) code: Option<&'a str>,
    /// AWS's message.
    pub(super) message: Option<&'a str>,
    /// The `Retry-After` header.
    pub(super) retry_after: Option<&'a str>,
    /// The `Date` header.
    pub(super) date: Option<&'a str>,
}

/// What an SDK error means.
pub(super) fn of_sdk<E>(error: &SdkError<E, HttpResponse>, asked: &Asked<'_>) -> Failure
where
    E: ProvideErrorMetadata + StdError + 'static,
{
    match error {
        SdkError::ServiceError(service) => {
            let headers = service.raw().headers();
            let answer = Answer {
                status: service.raw().status().as_u16(),
                code: service.err().code(),
                message: service.err().message(),
                retry_after: headers.get("retry-after"),
                date: headers.get("date"),
            };
            of_answer(&answer, asked, SystemTime::now())
        }
        SdkError::DispatchFailure(dispatch) => {
            let why = dispatch.as_connector_error().map_or_else(String::new, |error| root_cause(error));
            let connector: Option<&(dyn StdError + 'static)> = match dispatch.as_connector_error() {
                Some(error) => Some(error),
                None => None,
            };
            if connector.is_some_and(never_sent) { unreachable(asked, &why) } else { lost(asked, &why) }
        }
        SdkError::TimeoutError(_) => lost(asked, "no answer in time"),
        // The sentence of a refusal cannot be read: its status can.
        SdkError::ResponseError(response) if response.raw().status().as_u16() >= 400 => {
            let headers = response.raw().headers();
            let answer = Answer {
                status: response.raw().status().as_u16(),
                code: headers.get("x-amzn-errortype").and_then(|kind| kind.split(':').next()),
                message: None,
                retry_after: headers.get("retry-after"),
                date: headers.get("date"),
            };
            of_answer(&answer, asked, SystemTime::now())
        }
        SdkError::ResponseError(_) => {
            lost(asked, &format!("the answer broke off or cannot be read: {}", root_cause(error)))
        }
        other => Failure::harmless(Error::bug(format!(
            "{} ({}) could not be put together: {}",
            asked.operation,
            asked.place,
            root_cause(other)
        ))),
    }
}

/// The status that an SDK error came with, for the log.
pub(super) fn status_of<E>(error: &SdkError<E, HttpResponse>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// AWS's id of the request, by which its support finds it.
pub(super) fn request_of<E>(error: &SdkError<E, HttpResponse>) -> Option<&str> {
    error.raw_response()?.headers().get("x-amzn-requestid")
}

/// No connection, so that nothing was sent.
pub(super) fn unreachable(asked: &Asked<'_>, why: &str) -> Failure {
    Failure::harmless(Error::unavailable(format!(
        "{} ({}) could not be sent: {why}. Check the network, HTTPS_PROXY and, with a proxy that opens TLS, \
         FEDERATION_AGENT_CA_FILE",
        asked.operation, asked.place
    )))
}

/// Sent, and no usable answer came.
pub(super) fn lost(asked: &Asked<'_>, why: &str) -> Failure {
    let error = Error::unavailable(format!("{} ({}) had no usable answer: {why}", asked.operation, asked.place));
    Failure { error, effect: Effect::Unknown, cause: Cause::Other, after: None }
}

/// What an answer means. Pure.
pub(super) fn of_answer(answer: &Answer<'_>, asked: &Asked<'_>, now: SystemTime) -> Failure {
    let Asked { operation, right, place, whom } = asked;
    let said = said(answer);
    let what = format!("{operation} ({place})");
    let after = answer.retry_after.and_then(|text| text.trim().parse().ok());
    let after = after.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
    let harmless = |error: Error, cause| Failure { error, effect: Effect::Nothing, cause, after };
    let unknown = |error: Error| Failure { error, effect: Effect::Unknown, cause: Cause::Other, after };
    let credentials = |sentence: String| harmless(Error::denied(sentence), Cause::Credentials);
    match answer.code.unwrap_or_default() {
        "LimitExceededException" => {
            return harmless(Error::conflict(format!("{what}: a limit of the account is reached{said}")), Cause::Limit);
        }
        "TooManyRequestsException"
        | "ThrottlingException"
        | "Throttling"
        | "RequestLimitExceeded"
        | "RequestThrottled" => return throttled(asked, after),
        "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" => {
            return credentials(format!(
                "{what}: the credentials of {whom} have expired. Whatever hands them out must renew them; a static \
                 pair must be a user's, not a session's"
            ));
        }
        "UnrecognizedClientException" | "InvalidClientTokenId" | "InvalidAccessKeyId" => {
            return credentials(format!(
                "{what}: AWS does not know the credentials of {whom}. The access key is wrong, deleted or inactive, \
                 belongs to another partition, or the region is not enabled for the account"
            ));
        }
        // The message repeats what was signed, the session token among it: it is not told.
        "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "RequestTimeTooSkewed"
        | "IncompleteSignature"
        | "IncompleteSignatureException" => return credentials(signature(&what, whom, answer, now)),
        "MissingAuthenticationToken" | "MissingAuthenticationTokenException" => {
            return credentials(format!(
                "{what}: AWS saw no credentials. Does endpointUrl name API Gateway's control plane?"
            ));
        }
        "AccessDeniedException"
        | "AccessDenied"
        | "UnauthorizedException"
        | "UnauthorizedOperation"
        | "OptInRequired" => {
            let error = Error::denied(format!("{what} is denied: allow {right} to {whom}{said}"));
            return harmless(error, Cause::Right);
        }
        _ => {}
    }
    match answer.status {
        429 => throttled(asked, after),
        404 if answer.code == Some("NotFoundException") => {
            harmless(Error::not_found(format!("{what} found nothing{said}")), Cause::Other)
        }
        409 => harmless(Error::conflict(format!("{what} is in conflict with what is there{said}")), Cause::Other),
        401 | 403 => harmless(
            Error::denied(format!(
                "{what} is refused with HTTP {} by something that is not API Gateway: look at proxies, firewalls and \
                 endpointUrl{said}",
                answer.status
            )),
            Cause::Other,
        ),
        400..=499 if answer.code.is_some() => {
            harmless(Error::invalid(format!("{what} is refused as wrong{said}")), Cause::Other)
        }
        500..=599 => unknown(Error::unavailable(format!("{what} failed at AWS with HTTP {}{said}", answer.status))),
        status => unknown(Error::unavailable(format!(
            "{what} was answered with HTTP {status} by something that is not API Gateway: look at proxies and \
             endpointUrl"
        ))),
    }
}

fn throttled(asked: &Asked<'_>, after: Option<Duration>) -> Failure {
    let error = Error::new(
        Class::Throttled(after),
        format!(
            "{} ({}) is throttled: the account's quota of API Gateway calls is used up, by the agent or by others; a \
             lower callsPerSecond leaves more to others",
            asked.operation, asked.place
        ),
    );
    Failure { error, effect: Effect::Nothing, cause: Cause::Other, after }
}

fn signature(what: &str, whom: &str, answer: &Answer<'_>, now: SystemTime) -> String {
    let skew = answer
        .date
        .and_then(|date| DateTime::from_str(date, Format::HttpDate).ok())
        .and_then(|date| SystemTime::try_from(date).ok())
        .map(|theirs| now.duration_since(theirs).unwrap_or_else(|error| error.duration()))
        .filter(|skew| *skew >= SKEW);
    match skew {
        Some(skew) => format!(
            "{what}: AWS refuses the signature, and this machine's clock differs from AWS's by {}: set the clock",
            humantime::format_duration(Duration::from_secs(skew.as_secs()))
        ),
        None => format!(
            "{what}: AWS refuses the signature: the secret access key of {whom} does not belong to its access key id"
        ),
    }
}

/// AWS's own words, cut and without control characters.
fn said(answer: &Answer<'_>) -> String {
    let Some(message) = answer.message.filter(|message| !message.trim().is_empty()) else { return String::new() };
    let clean: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE).collect();
    format!(". AWS says: {}", clean.trim())
}

/// An error and all that caused it; the payload of an I/O error counts, which `source` skips.
pub(super) fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
        None => error.source(),
    })
}

/// Whether the connection failed before a byte of the request could be sent: name, TCP, proxy or TLS.
fn never_sent(error: &(dyn StdError + 'static)) -> bool {
    chain(error).any(|error| {
        error
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect)
    })
}

/// The last error of the chain in words: the one that tells something.
pub(super) fn root_cause(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().map_or_else(String::new, ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked<'_> = Asked {
        operation: "GetRestApis",
        right: "apigateway:GET on arn:aws:apigateway:eu-west-1::/restapis",
        place: "account 123456789012, eu-west-1",
        whom: "role arn:aws:iam::123456789012:role/a",
    };

    fn of(status: u16, code: Option<&str>, message: Option<&str>) -> Failure {
        of_answer(&Answer { status, code, message, ..Answer::default() }, &ASKED, SystemTime::now())
    }

    #[test]
    fn classes_come_from_status_and_code() {
        let none = None;
        for (status, code, class, effect) in [
            (429, Some("TooManyRequestsException"), Class::Throttled(none), Effect::Nothing),
            (429, None, Class::Throttled(none), Effect::Nothing),
            (400, Some("ThrottlingException"), Class::Throttled(none), Effect::Nothing),
            (429, Some("LimitExceededException"), Class::Conflict, Effect::Nothing),
            (403, Some("AccessDeniedException"), Class::Denied, Effect::Nothing),
            (401, Some("UnauthorizedException"), Class::Denied, Effect::Nothing),
            (403, Some("ExpiredTokenException"), Class::Denied, Effect::Nothing),
            (403, Some("UnrecognizedClientException"), Class::Denied, Effect::Nothing),
            (403, Some("InvalidSignatureException"), Class::Denied, Effect::Nothing),
            (403, None, Class::Denied, Effect::Nothing),
            (404, Some("NotFoundException"), Class::NotFound, Effect::Nothing),
            (404, None, Class::Unavailable, Effect::Unknown),
            (409, Some("ConflictException"), Class::Conflict, Effect::Nothing),
            (400, Some("BadRequestException"), Class::Invalid, Effect::Nothing),
            (400, None, Class::Unavailable, Effect::Unknown),
            (500, None, Class::Unavailable, Effect::Unknown),
            (503, Some("ServiceUnavailableException"), Class::Unavailable, Effect::Unknown),
        ] {
            let failure = of(status, code, None);
            assert_eq!((failure.class(), failure.effect), (class, effect), "{status} {code:?}");
        }
        assert_eq!(of(429, Some("LimitExceededException"), None).cause, Cause::Limit);
        assert_eq!(of(403, Some("ExpiredToken"), None).cause, Cause::Credentials);
    }

    #[test]
    fn a_denial_names_the_right_and_who_needs_it() {
        let failure = of(403, Some("AccessDeniedException"), Some("User: x is not authorized"));
        assert_eq!(
            failure.error.sentence(),
            "GetRestApis (account 123456789012, eu-west-1) is denied: allow apigateway:GET on \
             arn:aws:apigateway:eu-west-1::/restapis to role arn:aws:iam::123456789012:role/a. AWS says: User: x is \
             not authorized"
        );
    }

    #[test]
    fn retry_after_is_read() {
        let answer = Answer { status: 429, retry_after: Some(" 7 "), ..Answer::default() };
        let failure = of_answer(&answer, &ASKED, SystemTime::now());
        assert_eq!(failure.after, Some(Duration::from_secs(7)));
        assert_eq!(failure.class(), Class::Throttled(Some(Duration::from_secs(7))));
        let answer = Answer { retry_after: Some("18446744073709551615"), ..answer };
        assert_eq!(of_answer(&answer, &ASKED, SystemTime::now()).after, Some(LONGEST_WAIT));
        let answer = Answer { retry_after: Some("soon"), ..answer };
        assert_eq!(of_answer(&answer, &ASKED, SystemTime::now()).after, None);
    }

    #[test]
    fn a_refused_signature_blames_the_clock_only_when_it_is_wrong() {
        let date = "Sun, 22 Nov 2026 14:00:00 GMT";
        let theirs = SystemTime::try_from(DateTime::from_str(date, Format::HttpDate).unwrap()).unwrap();
        let answer = Answer {
            status: 403,
            code: Some("InvalidSignatureException"),
            message: Some("x-amz-security-token:SECRET"),
            date: Some(date),
            ..Answer::default()
        };
        let wrong_clock = of_answer(&answer, &ASKED, theirs + Duration::from_mins(10));
        assert!(wrong_clock.error.sentence().ends_with("by 10m: set the clock"), "{:?}", wrong_clock.error);
        let wrong_secret = of_answer(&answer, &ASKED, theirs + Duration::from_secs(10));
        assert!(wrong_secret.error.sentence().contains("secret access key"));
        for failure in [wrong_clock, wrong_secret] {
            assert!(!failure.error.sentence().contains("SECRET"));
        }
    }

    #[test]
    fn messages_are_cut_and_cleaned() {
        let long = "a\n".repeat(1_000);
        assert!(of(400, Some("BadRequestException"), Some(&long)).error.sentence().len() < 500);
        assert!(!of(400, Some("BadRequestException"), Some(&long)).error.sentence().contains('\n'));
    }
}

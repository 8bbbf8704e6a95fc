//! Looking through the API keys of an account and region, by the right that the agent does without otherwise (GET on
//! `/apikeys`). Asked only to settle a leftover, to end a subscription that names no key, and by
//! `federation-agent grants`. Values are never asked for.

use std::ops::ControlFlow;

use aws_sdk_apigateway::types::ApiKey;

use super::{
    call::Operation,
    client::Target,
    failure::{Cause, Failure},
    list::{PAGE, Pages, whole},
};
use crate::{model::Error, provider::Call};

/// The right, and who gives it.
pub(super) const FINDING: &str = "GET /apikeys, which iam/find-leftovers.json allows";

/// Reads the keys whose names begin with `prefix`, or all, page by page; `take` has each page and says whether to go on.
pub(super) async fn pages<F, Fut>(
    target: &Target,
    call: &Call,
    prefix: Option<&str>,
    mut take: F,
) -> Result<ControlFlow<()>, Failure>
where
    F: FnMut(Vec<ApiKey>) -> Fut,
    Fut: Future<Output = Result<ControlFlow<()>, Failure>>,
{
    let operation = Operation::get("GetApiKeys", "/apikeys");
    let mut pages = Pages::default();
    while pages.more {
        let position = &pages.position;
        let send = || {
            let request = target.client.get_api_keys().set_name_query(prefix.map(str::to_owned)).include_values(false);
            request.limit(PAGE).set_position(position.clone()).send()
        };
        let answer = target.ask(call, &operation, send).await.map_err(hinted)?;
        if take(whole(answer.items, &operation, target)?).await?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        pages.turn(answer.position, &operation, target)?;
    }
    Ok(ControlFlow::Continue(()))
}

/// A refusal, with the file that gives the right.
fn hinted(mut failure: Failure) -> Failure {
    if failure.cause == Cause::Right {
        let hint = "iam/find-leftovers.json gives that right, which shows the values of all keys";
        failure.error = Error::denied(format!("{} ({hint})", failure.error.sentence()));
    }
    failure
}

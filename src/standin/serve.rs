//! A request's way: who asks, which operation, what goes wrong on purpose, the operation, the answer.

use std::{io, sync::Arc, time::SystemTime};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Response, request::Parts};
use http_body_util::{BodyExt, Full, Limited, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    Shared, World,
    answer::Answer,
    apis,
    estate::Region,
    execute, export,
    fault::{Asked, Failure},
    identity::Claim,
    keys,
    operation::Operation,
    plans,
    query::Query,
    record::Request,
    sts,
};

/// The longest request body that is read.
const MAX_BODY: usize = 1 << 20;

type Body = BoxBody<Bytes, io::Error>;

/// Serves connections until `stop`.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) {
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        // A connection that was gone before it was accepted is nobody's trouble.
        let Ok((stream, _)) = accepted else { continue };
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| respond(Arc::clone(&shared), request));
            let connection =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            // A cut connection is an error of the service, made on purpose; any other is the client's own.
            let _ = stop.run_until_cancelled(connection).await;
        });
    }
}

/// Answers a request; an error cuts the connection.
async fn respond(shared: Arc<Shared>, request: http::Request<Incoming>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Ok(finish(Answer::bad_request("Request body is too long"), 0));
    };
    let body = body.to_bytes();
    let path = head.uri.path().to_owned();
    let decoded: Vec<String> = path
        .split('/')
        .filter(|part| !part.is_empty())
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    let parts: Vec<&str> = decoded.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["standin", "state"] => Ok(finish(state(&shared), 0)),
        ["standin", "withhold", verb, path @ ..] if head.method == Method::POST => {
            let rule = Failure::Withheld(CancellationToken::new()).at(verb, &format!("/{}", path.join("/")));
            shared.world().faults.push(rule.times(1));
            Ok(finish(Answer::empty(200), 0))
        }
        ["execute", rest @ ..] => {
            let number = came(&shared, &head, None, None);
            let key = header(&head.headers, "x-api-key");
            let answer = execute::call(&shared.world().estate, head.method.as_str(), rest, key);
            Ok(answered(&shared, number, answer))
        }
        _ => control(&shared, &head, &parts, &body).await,
    }
}

/// A call to API Gateway's control plane or to STS.
async fn control(shared: &Shared, head: &Parts, parts: &[&str], body: &[u8]) -> io::Result<Response<Body>> {
    let query = Query::read(head.uri.query().unwrap_or_default().as_bytes());
    let form = Query::read(body);
    let claim = Claim::read(&head.headers);
    let of_sts = claim.as_ref().is_some_and(|claim| claim.service == "sts");
    let (operation, ids) = if of_sts {
        (sts::operation(&form), Vec::new())
    } else {
        Operation::of(head.method.as_str(), parts).map_or((None, Vec::new()), |(found, ids)| (Some(found), ids))
    };
    let principal = claim.as_ref().and_then(|claim| shared.world().estate.principal(claim));
    let (Some(claim), Some(principal)) = (claim.as_ref(), principal) else {
        let number = came(shared, head, operation, None);
        return Ok(answered(shared, number, stranger(claim.is_some(), of_sts)));
    };
    let asked = Asked {
        verb: head.method.to_string(),
        path: head.uri.path().to_owned(),
        operation,
        principal,
        region: claim.region.clone(),
    };
    let number = came(shared, head, operation, Some(&asked));
    let Some(operation) = operation else {
        let answer = if of_sts {
            sts::error(400, "InvalidAction", "Could not find operation for version 2011-06-15")
        } else {
            Answer::error(404, "UnknownOperationException", "The stand-in does not know this operation")
        };
        return Ok(answered(shared, number, answer));
    };
    let failure = {
        let mut world = shared.world();
        if !of_sts && !world.takes(&asked.principal.account) {
            let answer = Failure::Throttled(None).refusal(&asked);
            drop(world);
            return Ok(answered(shared, number, answer.unwrap_or_else(|| Answer::empty(429))));
        }
        world.faults.iter_mut().find_map(|fault| fault.take(&asked))
    };
    match &failure {
        Some(Failure::CutBefore) => return Err(cut()),
        Some(Failure::Slow(delay)) => tokio::time::sleep(*delay).await,
        Some(Failure::Held(release)) => release.cancelled().await,
        Some(failure) => {
            if let Some(answer) = failure.refusal(&asked) {
                return Ok(answered(shared, number, answer));
            }
        }
        None => {}
    }
    let mut answer = shared.world().carry_out(operation, &asked, &ids, &query, &form, body);
    match &failure {
        Some(Failure::CutAfter) => return Err(cut()),
        Some(Failure::CutAmid) => return Ok(halved(answer)),
        Some(Failure::Withheld(release)) => release.cancelled().await,
        Some(failure) => answer = failure.spoil(answer, query.get("position")),
        None => {}
    }
    Ok(answered(shared, number, answer))
}

impl World {
    /// Does what is asked for, by somebody who may.
    fn carry_out(
        &mut self,
        operation: Operation,
        asked: &Asked,
        ids: &[&str],
        query: &Query,
        form: &Query,
        body: &[u8],
    ) -> Answer {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let Self { estate, chance, .. } = self;
        match operation {
            Operation::GetCallerIdentity => return sts::caller(&asked.principal),
            Operation::AssumeRole => {
                return sts::assume(estate, &asked.principal, &asked.region, form, chance, now);
            }
            _ => {}
        }
        let region: &mut Region = estate.region(&asked.principal.account, &asked.region);
        let id = |nth: usize| ids.get(nth).copied().unwrap_or_default();
        let answer = match operation {
            Operation::GetRestApis => Ok(query.page(&region.apis, apis::show)),
            Operation::GetRestApi => apis::api(region, id(0)).map(|api| Answer::json(200, &apis::show(api))),
            Operation::GetStages => apis::stages(region, id(0)),
            Operation::GetStage => {
                apis::stage(region, id(0), id(1)).map(|(_, stage)| Answer::json(200, &apis::show_stage(stage)))
            }
            Operation::GetExport => export::export(region, &asked.region, (id(0), id(1), id(2)), query),
            Operation::GetUsagePlans => Ok(plans::list(region, query)),
            Operation::GetUsagePlan => plans::plan(region, id(0)).map(|plan| Answer::json(200, &plans::show(plan))),
            Operation::GetUsagePlanKeys => Ok(plans::keys(region, id(0), query)),
            Operation::CreateUsagePlanKey => plans::bind(region, id(0), body),
            Operation::DeleteUsagePlanKey => plans::unbind(region, id(0), id(1)),
            Operation::GetApiKeys => Ok(keys::list(region, query)),
            Operation::GetApiKey => keys::get(region, id(0), query),
            Operation::CreateApiKey => keys::create(region, body, chance, now),
            Operation::DeleteApiKey => keys::delete(region, id(0)),
            Operation::GetCallerIdentity | Operation::AssumeRole => Ok(Answer::empty(500)),
        };
        answer.unwrap_or_else(|refusal| refusal)
    }
}

/// What `GET /standin/state` says.
fn state(shared: &Shared) -> Answer {
    let world = shared.world();
    let (keys, bound) = world.estate.key_counts();
    Answer::json(200, &json!({ "keys": keys, "bound": bound, "calls": world.record.calls() }))
}

/// What somebody hears whom nobody knows.
fn stranger(signed: bool, of_sts: bool) -> Answer {
    if of_sts {
        return sts::error(403, "InvalidClientTokenId", "The security token included in the request is invalid.");
    }
    if signed {
        let message = "The security token included in the request is invalid.";
        return Answer::error(403, "UnrecognizedClientException", message);
    }
    Answer::error(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
}

/// Notes a request that came in.
fn came(shared: &Shared, head: &Parts, operation: Option<Operation>, asked: Option<&Asked>) -> usize {
    let number = shared.world().record.came(Request {
        verb: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        operation,
        account: asked.map(|asked| asked.principal.account.clone()).unwrap_or_default(),
        principal: asked.map(|asked| asked.principal.arn.clone()).unwrap_or_default(),
        region: asked.map(|asked| asked.region.clone()).unwrap_or_default(),
        status: None,
    });
    shared.turn();
    number
}

/// Notes the answer and sends it.
fn answered(shared: &Shared, number: usize, answer: Answer) -> Response<Body> {
    let served = {
        let mut world = shared.world();
        world.record.answered(number, answer.status);
        world.served += 1;
        world.served
    };
    shared.turn();
    finish(answer, served)
}

fn finish(answer: Answer, served: u64) -> Response<Body> {
    answer.into_response(served).map(|bytes| Full::new(bytes).map_err(|never| match never {}).boxed())
}

/// The first half of the answer, then nothing.
fn halved(answer: Answer) -> Response<Body> {
    answer.into_response(0).map(|mut bytes| {
        let rest = bytes.split_off(bytes.len() / 2);
        drop(rest);
        BodyExt::boxed(StreamBody::new(stream::iter([Ok(Frame::data(bytes)), Err(cut())])))
    })
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "cut on purpose")
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

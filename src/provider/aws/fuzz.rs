//! A way in for the fuzzer to what no public item leads to. No part of the library's interface.

use std::{fmt, sync::Arc};

use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;

use super::{
    Aws, Inner,
    address::{StageAddress, region_of_url},
    answer::{Kind, Most},
    client::{Access, load},
    config::Config,
    foreign::{Names, Routes},
    region::{RoleArn, is_region},
    template::{NameTemplate, Named},
};
use crate::{
    observe::Recorder,
    provider::Provider,
    settings::{Faults, Integration, Process},
};

/// What stands in AWS's place answers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status; what is none of HTTP is a cut.
    pub status: u16,
    /// Its headers; those that no answer can have are left out.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

/// Answers a request, by its URL; `None` is a cut.
pub type Answers = dyn Fn(&str) -> Option<Answer> + Send + Sync;

/// The provider of `integration`, with `answers` in AWS's place.
pub async fn provider(
    integration: &Integration,
    process: &Process,
    answers: Arc<Answers>,
) -> Result<Arc<dyn Provider>, Faults> {
    let config = Config::read(integration, process)?;
    let connector = SharedHttpConnector::new(InMemory(answers));
    let loaded = load(&config, Some(http_client_fn(move |_, _| connector.clone()))).await;
    let access = Access::new(config, Recorder::default()).with_loaded(loaded);
    Ok(Arc::new(Aws(Arc::new(Inner { access, routes: Routes::default(), names: Names::default() }))))
}

struct InMemory(Arc<Answers>);

impl fmt::Debug for InMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InMemory")
    }
}

impl HttpConnector for InMemory {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let answer = (self.0)(request.uri());
        let kind = Kind::of(request.method(), request.uri());
        HttpConnectorFuture::ready(match answer {
            Some(Answer { status, headers, body }) if let Ok(status) = StatusCode::try_from(status) => {
                let mut response = HttpResponse::new(status, Most::of(kind, status.as_u16()).keep(SdkBody::from(body)));
                for (name, value) in headers {
                    // What cannot be a header never gets here from the network either.
                    let _ = response.headers_mut().try_append(name, value);
                }
                Ok(response)
            }
            _ => Err(ConnectorError::io(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into())),
        })
    }
}

/// Reads `text` as everything that settings and metadata hold of AWS's places; whether what is read as one is written
/// as it was, and each URL of ours is read again.
pub fn places(text: &str) -> bool {
    let address = StageAddress::parse(text);
    let of_url = StageAddress::of_url(text, text);
    let role = RoleArn::parse(text);
    let region = region_of_url(text);
    let template = NameTemplate::parse(text);
    let sound = |address: &StageAddress| {
        address.is_sound()
            && StageAddress::parse(&address.to_string()).as_ref() == Some(address)
            // What begins like this is no host name unless it is another's encoding: no id of AWS's does.
            && (address.rest_api.starts_with("xn--")
                || StageAddress::of_url(&address.invoke_url(), "").as_ref() == Some(address))
    };
    let filled = template.map_or(0, |template| {
        let named = Named { name: text, stage: "prod", region: "eu-west-1", account: None, id: "a1" };
        template.fill(&named).len()
    });
    address.as_ref().is_none_or(|address| address.to_string() == text && sound(address))
        && of_url.as_ref().is_none_or(sound)
        && role.as_ref().map_or_else(|says| !says.is_empty(), |role| role.to_string() == text)
        && region.is_none_or(|region| is_region(&region))
        // Every place takes two letters at least, and the longest of what fills one is the text itself.
        && filled <= text.len().saturating_add(1).saturating_mul(text.len().saturating_add(16))
}

//! The environment: a `NAME=value` a line, and after a line `%%` a `gravitee.yml`. From them everything is made that a
//! start makes without a network.

use std::{io, path::Path, sync::Arc};

use async_trait::async_trait;
use federation_agent::{
    cli::config::{Format, render, tables},
    exchange::Command,
    link::{BoxStream, Dial, Endpoint, Link, LinkSettings, Receiver, Session},
    model::Error,
    observe::Recorder,
    provider,
    settings::{self, Environment},
};

use super::{MARK, is_marked, sound_error};

/// What ends like this is a secret, whoever reads it.
const SECRETS: &[&str] = &["password", "secretaccesskey", "headers_0_value", "headers_1_value"];

struct Nobody;

#[async_trait]
impl Dial for Nobody {
    async fn connect(&self, _: &Endpoint) -> Result<BoxStream, Error> {
        Err(Error::unavailable("nobody is there"))
    }

    async fn secure(&self, stream: BoxStream, _: &Endpoint) -> Result<BoxStream, Error> {
        Ok(stream)
    }
}

impl Receiver for Nobody {
    fn command(self: Arc<Self>, _: Command, _: Session) {}
}

pub(super) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (text, file) = text.split_once("\n%%\n").unwrap_or((&text, ""));
    let file = file.to_owned();
    let variables = text.lines().filter_map(|line| line.split_once('=')).map(|(name, value)| {
        let lower = name.to_ascii_lowercase();
        let is_secret = SECRETS.iter().any(|secret| lower.ends_with(secret));
        (name.to_owned(), if is_secret { format!("{value}{MARK}") } else { value.to_owned() })
    });
    let environment: Environment = variables.collect();
    let environment = environment.with_files(move |path: &Path| match path.to_str() {
        Some("/secret") => Ok(format!("{MARK}\n").into_bytes()),
        Some("/ca.pem") => Ok(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec()),
        Some("/opt/graviteeio-federation-agent/config/gravitee.yml") if !file.is_empty() => {
            Ok(file.clone().into_bytes())
        }
        Some("/odd") => Ok(vec![0xfe, 0xed, 0xfe, 0xed]),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    });
    let mut said = vec![
        format!("{environment:?}"),
        render(&environment, Format::Text).text,
        render(&environment, Format::Json).text,
    ];
    match settings::load(&environment, &tables()) {
        Err(faults) => said.extend([faults.to_string(), format!("{faults:?}")]),
        Ok(loaded) => {
            said.push(format!("{loaded:?}"));
            for integration in &loaded.integrations {
                let kind = provider::kind(&integration.kind).expect("a kind that the settings took");
                match (kind.build)(integration, &loaded.process, &Recorder::default()) {
                    Ok(provider) => {
                        said.extend(provider.describe());
                        said.push(provider.least_policy());
                    }
                    Err(faults) => said.push(faults.to_string()),
                }
                let settings = LinkSettings {
                    connector: loaded.connector.clone(),
                    retry: loaded.process.retry,
                    integration_id: integration.id.clone(),
                    provider: integration.kind.clone(),
                };
                if let Err(error) = Link::new(settings, Arc::new(Nobody), Arc::new(Nobody), 7) {
                    sound_error(input, &error);
                }
            }
        }
    }
    for said in said {
        assert!(is_marked(input) || !said.contains(MARK), "a secret is said: {said}");
    }
}

//! What a gateway answers: lists and their pages, documents, keys, errors, and STS's XML.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use federation_agent::{
    cli::config::tables,
    exchange::{Command, CommandBody, EncodedApi, Limits, Message, encode},
    model::{Subscription, SubscriptionKind, Texts},
    provider::{
        Call, Found, Provider, Witness,
        aws::fuzz::{Answer, Answers, provider},
    },
    settings::{self, Environment, Settings},
};
use serde_json::value::RawValue;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{block_on, sound, sound_error};

/// What a command may cost; undoing may take a while more.
const BUDGET: Duration = Duration::from_secs(20);
const UNDOING: Duration = Duration::from_secs(20);
/// The API that is subscribed to.
const API: &str = "eu-west-1:a1b2c3:prod";
/// What stands between two answers.
const SEPARATOR: &[u8] = b"\n----\n";
/// No command calls the gateway more often in its budget: ten times the pace of the settings.
const CALLS: usize = 2_000;

const SETTINGS: &[(&str, &str)] = &[
    ("gravitee_integration_connector_ws_endpoints_0", "http://plane.example"),
    ("gravitee_integration_providers_0_type", "aws-api-gateway"),
    ("gravitee_integration_providers_0_integrationId", "int-1"),
    ("gravitee_integration_providers_0_configuration_accessKeyId", "AKIATESTTESTTESTTEST"),
    ("gravitee_integration_providers_0_configuration_secretAccessKey", "hunter2-aws"),
    ("gravitee_integration_providers_0_configuration_region", "eu-west-1"),
];

/// The first letter says what is asked (`l`ist and read, `L` of every stage, `s`ubscribe, `u`nsubscribe, s`w`eep, `k`eys, `c`heck), the
/// rest are the answers, one after the other: a line with the status and then what a header holds (`429 7`: Retry-After),
/// and the body. When they are used up, nobody answers any more.
pub(super) fn run(input: &[u8]) {
    let Some((&asked, rest)) = input.split_first() else { return };
    let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    let mut told: Vec<Answer> = split(rest).into_iter().map(answer).collect();
    told.reverse();
    let told = Mutex::new((told, 0_usize));
    let answers: Arc<Answers> = Arc::new(move |_url: &str| {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        told.1 += 1;
        assert!(told.1 <= CALLS, "it asks for ever");
        told.0.pop()
    });
    block_on(async {
        let settings = if asked == b'L' { &*EVERY_STAGE } else { &*COVERED };
        let provider = provider(&settings.integrations[0], &settings.process, answers).await;
        let provider = provider.expect("settings that are in order");
        let call = Call { id: "1".into(), deadline: Instant::now() + BUDGET, cancel: CancellationToken::new() };
        let began = Instant::now();
        ask(input, asked, &*provider, &call).await;
        assert!(began.elapsed() <= BUDGET + UNDOING, "it takes {:?}", began.elapsed());
    });
}

// Read once: reading them takes longer than most that is asked here.
static COVERED: LazyLock<Settings> = LazyLock::new(|| settings(false));
static EVERY_STAGE: LazyLock<Settings> = LazyLock::new(|| settings(true));

fn settings(every_stage: bool) -> Settings {
    let mut variables = SETTINGS.to_vec();
    if every_stage {
        variables.push(("gravitee_integration_providers_0_configuration_acceptApiWithoutUsagePlan", "true"));
    }
    settings::load(&Environment::from_iter(variables), &tables()).expect("settings that are in order")
}

fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some(at) = memchr::memmem::find(bytes, SEPARATOR) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + SEPARATOR.len()..];
    }
    parts.push(bytes);
    parts
}

fn answer(bytes: &[u8]) -> Answer {
    let end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let (status, header) = line.split_once(' ').unwrap_or((&line, ""));
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    if !header.is_empty() {
        headers.extend(["retry-after", "x-amzn-errortype", "date"].map(|name| (name.to_owned(), header.to_owned())));
    }
    let body = bytes.get(end + 1..).unwrap_or_default().to_vec();
    Answer { status: status.parse().unwrap_or(200), headers, body }
}

async fn ask(input: &[u8], asked: u8, provider: &dyn Provider, call: &Call) {
    match asked {
        b's' => {
            let heard = Arc::new(Heard::default());
            let witness: Arc<dyn Witness> = heard.clone();
            let subscribed = provider.subscribe(call, API, &subscription(), &witness).await;
            let last = heard.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match subscribed {
                Ok(grant) => {
                    assert!(grant.api_key.is_some(), "a grant without a key");
                    assert!(grant.metadata.contains_key("aws-api-key-id"), "{:?}", grant.metadata);
                    assert_eq!(last, Some(Told::Made(grant.metadata)), "what was made is told");
                }
                Err(error) => sound_error(input, &error),
            }
        }
        b'w' => {
            let trace = subscription().metadata;
            if let Err(error) = provider.sweep(call, API, "sub-1", &trace, &[]).await {
                sound_error(input, &error);
            }
        }
        b'k' => {
            let (tell, mut found) = mpsc::channel(1);
            let known = BTreeSet::from(["k1e2y3".to_owned()]);
            let hearing = async { while found.recv().await.is_some() {} };
            let (outcome, ()) = tokio::join!(provider.keys(call, &known, tell), hearing);
            if let Err(error) = outcome {
                sound_error(input, &error);
            }
        }
        b'u' => {
            if let Err(error) = provider.unsubscribe(call, API, &subscription()).await {
                sound_error(input, &error);
            }
        }
        b'c' => {
            let (tell, mut findings) = mpsc::channel::<federation_agent::provider::Finding>(1);
            let hearing = async {
                while let Some(finding) = findings.recv().await {
                    sound(input, &finding.what);
                    sound(input, &finding.says);
                }
            };
            tokio::join!(provider.check(call, tell), hearing);
            for line in provider.identify(call).await {
                match line {
                    Ok(line) => sound(input, &line),
                    Err(error) => sound_error(input, &error),
                }
            }
        }
        _ => list(input, provider, call).await,
    }
}

async fn list(input: &[u8], provider: &dyn Provider, call: &Call) {
    let (tell, mut found) = mpsc::channel(1);
    let hearing = async {
        let mut first = None;
        while let Some(found) = found.recv().await {
            match found {
                Found::Api(listed) => {
                    is_handed_over(&listed.api);
                    first.get_or_insert(listed);
                }
                Found::LeftOut { what, why } => {
                    sound(input, &what);
                    sound(input, &why);
                }
                Found::Failed { source, error } => {
                    sound(input, &source);
                    sound_error(input, &error);
                }
            }
        }
        first
    };
    let (outcome, first) = tokio::join!(provider.list(call, tell), hearing);
    if let Err(error) = outcome {
        sound_error(input, &error);
    }
    let Some(first) = first else { return };
    match provider.read(call, &first).await {
        Ok(api) => {
            let document = api.documents.first().expect("a document was read");
            // Values are passed through as they stand: half a surrogate in one is none of ours.
            let document: BTreeMap<String, Box<RawValue>> =
                serde_json::from_str(&document.content).expect("a document is a JSON object");
            assert!(document.contains_key("openapi"), "{document:?}");
            assert!(
                document.get("servers").is_some_and(|servers| servers.get().contains("execute-api")),
                "{document:?}"
            );
            is_handed_over(&api);
        }
        Err(error) => sound_error(input, &error),
    }
}

/// Whatever is found can be told to the plane, by the name that is its own for ever.
fn is_handed_over(api: &federation_agent::model::Api) {
    assert_eq!(api.id, api.unique_id);
    assert_eq!(api.id.split(':').count(), 3, "{}", api.id);
    assert!(!api.id.chars().any(char::is_control), "{:?}", api.id);
    let apis = vec![EncodedApi::new(api)];
    let body = CommandBody::Ingest { job_id: "1".into(), apis, done: true };
    let sent = encode(&Message::Command(Command { id: "1".into(), body }), &Limits::default());
    super::exchange::run(&sent.expect("it fits"));
}

/// What a witness was told last.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    Making,
    Made(Texts),
    Unmade,
}

#[derive(Default)]
struct Heard(Mutex<Option<Told>>);

impl Heard {
    fn put(&self, told: Told) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
    }
}

#[async_trait]
impl Witness for Heard {
    async fn making(&self, _: &Texts) {
        self.put(Told::Making);
    }

    async fn made(&self, metadata: &Texts) {
        self.put(Told::Made(metadata.clone()));
    }

    async fn unmade(&self) {
        self.put(Told::Unmade);
    }
}

fn subscription() -> Subscription {
    let metadata = [
        ("planId", "g0ld77"),
        ("aws-account-id", "123456789012"),
        ("aws-region", "eu-west-1"),
        ("aws-api-key-id", "k1e2y3"),
    ];
    Subscription {
        id: "sub-1".into(),
        application_id: Some("app-1".into()),
        application_name: Some("Shop".into()),
        kind: Some(SubscriptionKind::ApiKey),
        metadata: metadata.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Texts>(),
    }
}

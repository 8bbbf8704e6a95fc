//! The agent between a gateway and a plane that are both scripted, in virtual time.

mod commands;
mod courier;
mod discover;
mod drain;
mod full;
mod gateway;
mod guard;
mod ingest;
mod log;
mod recorded;
mod settle;
mod shape;
mod subscribe;

use std::{
    collections::BTreeSet,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use futures_util::{FutureExt, future::BoxFuture};
use secrecy::SecretString;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use gateway::Gateway;
use log::Log;

use super::{Agent, AgentSettings, guard::Guard};
use crate::{
    exchange::{self, Command, CommandBody, Limits, Message, Reply, ReplyBody, Status},
    journal::Journal,
    link::{self, Receiver, Session, SessionEnd, State},
    model::{
        Api, Document, DocumentKind, Error, Grant, Metadata, MetadataFormat, Plan, PlanSecurity, Subscription,
        SubscriptionKind, Texts,
    },
    observe::Recorder,
    provider::{Call, Finding, Found, Keys, Listed, Provider, Revoked, Witness},
    settings::PlanLoss,
};

/// The value of every key that the scripted gateway makes.
const KEY: &str = "the-key-value-nobody-may-see";

/// An agent, its gateway, and the watch that tells it which session lives.
struct Rig {
    agent: Arc<Agent>,
    gateway: Arc<Gateway>,
    states: watch::Sender<State>,
    journal: Journal,
}

impl Rig {
    fn new(gateway: Gateway) -> Self {
        Self::with(gateway, |_| {})
    }

    fn with(gateway: Gateway, change: impl FnOnce(&mut AgentSettings)) -> Self {
        Self::on(Journal::in_memory(), gateway, change)
    }

    /// On a journal in which something may stand already.
    fn on(journal: Journal, gateway: Gateway, change: impl FnOnce(&mut AgentSettings)) -> Self {
        let mut settings = AgentSettings {
            integration_id: "integration-1".into(),
            budget: Duration::from_secs(50),
            ingest_pause: Duration::from_secs(1),
            batch_bytes: 1 << 20,
            batch_apis: 20,
            batch_wait: Duration::from_secs(30),
            reply_wait: Duration::from_mins(1),
            drain: Duration::from_secs(8),
            guard: Guard::in_memory(PlanLoss::Never),
            recorder: Recorder::default(),
        };
        change(&mut settings);
        let gateway = Arc::new(gateway);
        let (states, sessions) = watch::channel(State::Connecting { endpoint: "memory".into() });
        let agent = Agent::new(settings, Arc::clone(&gateway) as Arc<dyn Provider>, sessions, journal.clone());
        Self { agent, gateway, states, journal }
    }

    /// A new session.
    fn connect(&self) -> Line {
        self.connect_with(Limits::default())
    }

    fn connect_with(&self, limits: Limits) -> Line {
        let (session, end) = link::pair(limits);
        let since = SystemTime::UNIX_EPOCH;
        self.states.send_replace(State::Connected { since, session: session.clone() });
        Line { session, end }
    }

    /// The plane's `body` comes in on `line`, with the id `id`.
    fn deliver(&self, line: &Line, id: &str, body: CommandBody) {
        Arc::clone(&self.agent).command(Command { id: id.into(), body }, line.session.clone());
    }

    /// The same, and the reply to it.
    async fn ask(&self, line: &mut Line, id: &str, body: CommandBody) -> Reply {
        self.deliver(line, id, body);
        line.reply(id).await
    }

    /// Done when nothing is under way.
    async fn idle(&self) {
        while !self.agent.is_idle() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Rig {
    /// How the grants of `subscription` stand in the journal, by their keys.
    async fn book(&self, subscription: &str) -> Vec<(String, &'static str)> {
        let mut records = self.journal.read("integration-1").await.records;
        records.retain(|record| record.subscription == subscription);
        records.into_iter().map(|record| (record.key_id.unwrap_or_default(), record.state.word())).collect()
    }
}

/// The plane's end of a session.
struct Line {
    session: Session,
    end: SessionEnd,
}

/// An INGEST as the plane reads it.
#[derive(Debug)]
struct Batch {
    id: String,
    job: String,
    apis: Vec<Api>,
    done: bool,
    at: Instant,
}

impl Batch {
    fn names(&self) -> Vec<&str> {
        self.apis.iter().map(|api| api.id.as_str()).collect()
    }
}

impl Line {
    /// The next message that the agent writes.
    async fn next(&mut self) -> Message {
        let out = tokio::time::timeout(Duration::from_hours(1), self.end.next()).await.expect("a message").unwrap();
        assert!(out.bytes.len() <= self.session.limits().message);
        out.written.send(()).ok();
        exchange::decode(&out.bytes).unwrap()
    }

    /// The plane's end shows that it has received what was written.
    async fn echo(&self) {
        let ping = self.end.next_ping();
        let payload = tokio::time::timeout(Duration::from_secs(5), ping).await.expect("a ping");
        assert!(self.end.echoed(&payload));
    }

    /// The session dies while the next message waits for the socket.
    async fn cut(mut self) {
        let unwritten = self.end.next().await;
        drop(self);
        drop(unwritten);
    }

    async fn reply(&mut self, id: &str) -> Reply {
        match self.next().await {
            Message::Reply(reply) => {
                assert_eq!(reply.command_id, id);
                reply
            }
            Message::Command(command) => panic!("{command:?} instead of a reply to {id}"),
        }
    }

    async fn ingest(&mut self) -> Batch {
        match self.next().await {
            Message::Command(Command { id, body: CommandBody::Ingest { job_id, apis, done } }) => {
                let apis = apis.iter().map(|api| api.decode().unwrap()).collect();
                Batch { id, job: job_id, apis, done, at: Instant::now() }
            }
            other => panic!("{other:?} instead of an INGEST"),
        }
    }

    fn accept(&self, batch: &Batch) {
        self.answer(batch, Status::Succeeded);
    }

    fn answer(&self, batch: &Batch, status: Status) {
        let error = (status == Status::Error).then(|| "the plane stumbled".to_owned());
        let reply = Reply { command_id: batch.id.clone(), status, error, body: ReplyBody::Ingest };
        assert!(self.end.deliver(reply), "nobody waits for the reply to {}", batch.id);
    }

    /// Takes every INGEST until `done`, refusing those of which `refuse` says so.
    async fn take_job_but(&mut self, refuse: impl Fn(&Batch) -> bool) -> Vec<Batch> {
        let mut batches = Vec::new();
        loop {
            let batch = self.ingest().await;
            self.answer(&batch, if refuse(&batch) { Status::Error } else { Status::Succeeded });
            let done = batch.done;
            batches.push(batch);
            if done {
                return batches;
            }
        }
    }

    async fn take_job(&mut self) -> Vec<Batch> {
        self.take_job_but(|_| false).await
    }

    /// Whether the agent has written something.
    async fn is_quiet_for(&mut self, span: Duration) -> bool {
        tokio::time::timeout(span, self.end.next()).await.is_err()
    }
}

fn listed(name: &str, source: &str) -> Listed {
    Listed { api: api(name), source: source.into() }
}

fn found(name: &str, source: &str) -> Found {
    Found::Api(Box::new(listed(name, source)))
}

fn api(name: &str) -> Api {
    Api {
        unique_id: format!("u-{name}"),
        id: name.into(),
        name: format!("The {name} API"),
        version: Some("1.0".into()),
        description: Some("What it is for".into()),
        connection: Texts::from([("url".into(), "https://gateway.example".into())]),
        plans: vec![Plan {
            id: "gold".into(),
            name: "Gold".into(),
            description: None,
            security: PlanSecurity::ApiKey,
            characteristics: vec!["Rate: 10.0 requests per second".into()],
        }],
        documents: Vec::new(),
        metadata: vec![Metadata { name: "stage".into(), value: "prod".into(), format: MetadataFormat::String }],
    }
}

fn with_document(mut api: Api, len: usize) -> Api {
    let content = "x".repeat(len);
    api.documents = vec![Document { kind: DocumentKind::Swagger, content, filename: "openapi.json".into() }];
    api
}

fn subscription(id: &str) -> Subscription {
    Subscription {
        id: id.into(),
        application_id: Some("app-1".into()),
        application_name: Some("The app".into()),
        kind: Some(SubscriptionKind::ApiKey),
        metadata: Texts::from([("url".into(), "https://gateway.example".into()), ("planId".into(), "gold".into())]),
    }
}

fn grant(id: &str) -> Grant {
    Grant {
        api_key: Some(SecretString::from(KEY)),
        plan: None,
        metadata: Texts::from([("key-id".into(), format!("key-of-{id}"))]),
    }
}

fn subscribe(id: &str) -> CommandBody {
    CommandBody::Subscribe { api_id: "orders".into(), subscription: subscription(id) }
}

fn unsubscribe(id: &str) -> CommandBody {
    CommandBody::Unsubscribe { api_id: "orders".into(), subscription: subscription(id) }
}

fn start(job: &str, ids: &[&str]) -> CommandBody {
    CommandBody::StartIngest { job_id: job.into(), api_ids: ids.iter().map(|id| (*id).to_owned()).collect() }
}

/// How many APIs a START_INGEST reply promises.
fn total(reply: &Reply) -> u32 {
    match &reply.body {
        ReplyBody::StartIngest(Some(started)) => started.total,
        other => panic!("{other:?}: {:?}", reply.error),
    }
}

/// The sentence of an ERROR reply.
fn sentence(reply: &Reply) -> &str {
    assert_eq!(reply.status, Status::Error, "{reply:?}");
    reply.error.as_deref().unwrap()
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

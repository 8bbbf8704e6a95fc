//! What a command of the plane means: deadlines, batches, undoing. A function from command to reply, plus the handle
//! to send INGEST; testable without a socket.
//!
//! A command's life: [`Agent::command`](Receiver::command) remembers its id (`once`) and spawns it; `command` gives
//! it a budget and a lane and carries it out; `discover`, `ingest` and `subscribe` say what each type means; the
//! reply goes to every session that asked, and what was made for a reply that nobody could take is undone. What is done
//! to grants stands in the journal before it is done; `settle` ends what an earlier life left there.

mod batch;
mod command;
mod courier;
mod discover;
mod drain;
mod fault;
pub mod guard;
mod ingest;
mod job;
mod lanes;
mod once;
mod patience;
mod scout;
mod settle;
mod shape;
mod subscribe;
mod tally;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument;

use guard::Guard;

use crate::{
    exchange::{Command, CommandBody, Reply, Status},
    journal::Journal,
    link::{Receiver, Session, State},
    model::Error,
    observe::{Recorder, span},
    provider::Provider,
    settings::Process,
};

/// How the agent of one integration works.
#[derive(Debug, Clone)]
pub struct AgentSettings {
    /// The plane's id of the integration.
    pub integration_id: String,
    /// What one command may cost; the plane waits 60 s.
    pub budget: Duration,
    /// How long the plane is left to know an ingest job before the first INGEST.
    pub ingest_pause: Duration,
    /// A batch is sent when it holds so many bytes,
    pub batch_bytes: usize,
    /// or so many APIs,
    pub batch_apis: usize,
    /// or has waited so long.
    pub batch_wait: Duration,
    /// How long a reply to INGEST is waited for.
    pub reply_wait: Duration,
    /// How long work may go on after SIGTERM.
    pub drain: Duration,
    /// Keeps an ingest from making the plane delete plans.
    pub guard: Guard,
    /// Is told of commands, lists and jobs.
    pub recorder: Recorder,
}

impl AgentSettings {
    /// Those of `process`, for the integration `integration_id`; the guard knows of this life of the process only.
    pub fn new(integration_id: impl Into<String>, process: &Process) -> Self {
        Self {
            integration_id: integration_id.into(),
            budget: process.budget,
            ingest_pause: process.ingest_pause,
            batch_bytes: process.batch_bytes,
            batch_apis: process.batch_apis,
            batch_wait: process.batch_wait,
            reply_wait: process.reply_wait,
            drain: process.drain,
            guard: Guard::in_memory(process.plan_loss),
            recorder: Recorder::default(),
        }
    }
}

/// Carries out the plane's commands for one integration.
pub struct Agent {
    settings: AgentSettings,
    provider: Arc<dyn Provider>,
    sessions: watch::Receiver<State>,
    journal: Journal,
    /// What somebody waits for: commands, jobs, undoing. Empty means idle.
    tracker: TaskTracker,
    /// What may end at any time without loss: lists for DISCOVER, and settling, which stands in the journal.
    background: TaskTracker,
    /// Cancelled by SIGTERM: no DISCOVER, no START_INGEST any more, jobs end.
    draining: CancellationToken,
    /// Cancelled shortly before the end of the drain: everything stops and undoes.
    give_up: CancellationToken,
    once: Mutex<once::Once>,
    lanes: lanes::Lanes,
    listing: Mutex<Option<Arc<discover::Listing>>>,
    jobs: job::Jobs,
    /// The subscriptions that are being settled.
    settling: Mutex<HashSet<String>>,
    health: watch::Sender<Option<String>>,
    /// How many APIs the last list would not let into an ingest.
    held_back: AtomicUsize,
}

impl Agent {
    /// An agent that carries out commands by `provider`, sends INGEST on the session that `sessions` tells, and writes
    /// down in `journal` what it does to grants.
    pub fn new(
        settings: AgentSettings,
        provider: Arc<dyn Provider>,
        sessions: watch::Receiver<State>,
        journal: Journal,
    ) -> Arc<Self> {
        Arc::new(Self {
            provider,
            sessions,
            journal,
            tracker: TaskTracker::new(),
            background: TaskTracker::new(),
            draining: CancellationToken::new(),
            give_up: CancellationToken::new(),
            once: Mutex::default(),
            lanes: lanes::Lanes::new(settings.recorder.clone()),
            listing: Mutex::default(),
            jobs: job::Jobs::default(),
            settling: Mutex::default(),
            settings,
            health: watch::Sender::new(None),
            held_back: AtomicUsize::new(0),
        })
    }

    /// What a person should know of the gateway's state, for the `detail` of HEALTH_CHECK: `None` when the last list
    /// was whole, else which sources failed and why.
    pub fn health_detail(&self) -> watch::Receiver<Option<String>> {
        self.health.subscribe()
    }

    /// How many APIs are held back from ingests, since the plane would delete a plan of them; as of the last list.
    pub fn held_back(&self) -> usize {
        self.held_back.load(Ordering::Relaxed)
    }

    fn integration(&self) -> &str {
        &self.settings.integration_id
    }

    fn once(&self) -> MutexGuard<'_, once::Once> {
        self.once.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settling(&self) -> MutexGuard<'_, HashSet<String>> {
        self.settling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells `detail` to whoever watches, when it is news.
    fn tell_health(&self, detail: Option<String>) {
        self.health.send_if_modified(|now| {
            let news = *now != detail;
            *now = detail;
            news
        });
    }

    /// The live session, waited for; `None` when there will be none any more.
    async fn connected(&self) -> Option<Session> {
        let mut sessions = self.sessions.clone();
        loop {
            match &*sessions.borrow_and_update() {
                State::Connected { session, .. } if !session.is_gone() => return Some(session.clone()),
                State::Closed => return None,
                _ => {}
            }
            sessions.changed().await.ok()?;
        }
    }
}

impl Receiver for Agent {
    fn command(self: Arc<Self>, command: Command, session: Session) {
        let arrived = Instant::now();
        // A command without an id cannot be told from another one without.
        let key = if command.id.is_empty() { uuid::Uuid::new_v4().to_string() } else { command.id.clone() };
        let seen = self.once().arrive(&key, &session);
        if !matches!(seen, once::Seen::New) {
            self.settings.recorder.delivered_again();
        }
        let again: Reply = match seen {
            once::Seen::New => {
                let agent = Arc::clone(&self);
                let body = &command.body;
                let (api, subscription) = (api_of(body), subscription_of(body));
                let span = span::command(self.integration(), &command.id, body.kind(), api, subscription);
                self.tracker.spawn(agent.carry_out(command, key, arrived).instrument(span));
                return;
            }
            once::Seen::Running => {
                tracing::info!(
                    integration = self.integration(),
                    command = command.id,
                    kind = command.body.kind(),
                    "delivered again while it is carried out; it will be answered twice"
                );
                return;
            }
            once::Seen::Answered(reply) => reply,
            once::Seen::Carried => command
                .fail("this command was carried out before and its answer is not kept any more; nothing was done now"),
        };
        let agent = Arc::clone(&self);
        self.tracker.spawn(async move {
            let granted = again.status == Status::Succeeded && matches!(command.body, CommandBody::Subscribe { .. });
            let taken = session.reply(again).await.is_ok();
            if let (true, true, Some(subscription)) = (granted, taken, subscription_of(&command.body)) {
                agent.told_again(subscription, &command.id, session, arrived);
            }
            tracing::info!(
                integration = agent.integration(),
                command = command.id,
                kind = command.body.kind(),
                taken,
                "delivered again; answered as before"
            );
        });
    }
}

/// The ERROR of what cannot be begun, or not ended, because the process ends.
fn shutting_down() -> Error {
    Error::unavailable("the agent is shutting down; try again in a minute")
}

/// The [`model::Api::id`](crate::model::Api::id) that `body` names.
fn api_of(body: &CommandBody) -> Option<&str> {
    match body {
        CommandBody::Subscribe { api_id, .. } | CommandBody::Unsubscribe { api_id, .. } => Some(api_id),
        _ => None,
    }
}

/// The subscription's id that `body` names.
fn subscription_of(body: &CommandBody) -> Option<&str> {
    match body {
        CommandBody::Subscribe { subscription, .. } | CommandBody::Unsubscribe { subscription, .. } => {
            Some(&subscription.id)
        }
        _ => None,
    }
}

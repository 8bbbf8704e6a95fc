//! A command's way: a place in its lane, a budget, the work, the reply to everybody who waits, one line in the log.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    task::{JoinError, JoinHandle},
    time::Instant,
};
use tracing::{Instrument, Span};

use super::{
    Agent, api_of,
    fault::caught,
    ingest::Prepared,
    once::REPLY_KEPT,
    patience::{GRACE, dropped},
    shutting_down,
    subscribe::Made,
    subscription_of,
};
use crate::{
    exchange::{Command, CommandBody, EncodeError, Reply, ReplyBody, Status},
    link::{AskError, Session},
    model::{Class, Error},
    observe::{self, Ended, Underway, span},
    provider::Call,
};

/// How long the socket may need to take a reply on which something hangs. With the budget of 50 s and [`GRACE`] it has
/// gone before the plane, which waits 60 s, gives the command up; later it would tell of what the plane takes as failed.
const HANDING_OVER: Duration = Duration::from_secs(3);

/// Why a grant is undone that could not be told of.
const UNHEARD: &str = "the answer to SUBSCRIBE did not reach the plane";

/// What a command came to.
pub(super) struct Done {
    /// The reply's content.
    pub(super) body: ReplyBody,
    /// What hangs on whether the reply gets through.
    pub(super) effect: Effect,
    /// For the log: numbers, how it went.
    pub(super) note: String,
}

/// What hangs on whether the reply gets through.
pub(super) enum Effect {
    /// Nothing.
    None,
    /// A grant was made: it is undone when nobody could take the reply.
    Granted(Box<Made>),
    /// A job begins: it is dropped when nobody could take the reply.
    Job(Box<Prepared>),
}

pub(super) type Outcome = Result<Done, Error>;

/// What became of a reply.
enum Handed {
    /// This session's socket took all of it.
    Taken(Session),
    /// No socket took all of it, but one had begun: the plane may have it, or get it still.
    Torn,
    /// Certainly nobody has it.
    Nobody,
}

impl Done {
    pub(super) fn new(body: ReplyBody, note: impl Into<String>) -> Self {
        Self { body, effect: Effect::None, note: note.into() }
    }
}

impl Agent {
    /// Carries out `command`, which arrived at `arrived` and is remembered as `key`.
    pub(super) async fn carry_out(self: Arc<Self>, command: Command, key: String, arrived: Instant) {
        let command = Arc::new(command);
        let under_way = self.settings.recorder.command(command.body.kind(), arrived);
        let outcome = caught(async {
            let _place = self.lanes.admit(&command.body)?;
            self.within_budget(&command, &key, arrived).await
        });
        let outcome = outcome.await;
        let (reply, effect, note, class) = match outcome {
            Ok(done) => (command.succeed(done.body), done.effect, done.note, None),
            Err(error) => {
                let mut reply = command.fail(error.sentence());
                if !is_ours(&command.body) {
                    reply.body = ReplyBody::NoReply;
                }
                (reply, Effect::None, error.sentence().to_owned(), Some(error.class()))
            }
        };
        let undoable = !matches!(effect, Effect::None);
        let by = undoable.then(|| arrived + self.settings.budget + GRACE + HANDING_OVER);
        let handed = caught(async { Ok(self.answer(&command, &key, reply, by).await) });
        let handed = match handed.await {
            Ok(handed) => handed,
            Err(error) => {
                let reply = command.fail(error.sentence());
                // A second fault in the same place leaves nothing that could be said.
                let _ = caught(async { Ok(self.answer(&command, &key, reply, None).await) }).await;
                Handed::Nobody
            }
        };
        self.log(&command, under_way, &note, class, &handed, &effect);
        match (effect, handed) {
            (Effect::None, _) => {}
            (Effect::Granted(made), Handed::Taken(session)) => self.told(*made, session, arrived),
            (Effect::Granted(made), Handed::Torn) => self.half_told(*made),
            (Effect::Granted(made), Handed::Nobody) => self.undo(*made, UNHEARD).await,
            (Effect::Job(job), Handed::Taken(session)) => self.launch(*job, &session),
            // Dropping it stops its list.
            (Effect::Job(job), Handed::Torn | Handed::Nobody) => drop(job),
        }
    }

    /// The work of `command`, told to stop at the end of its budget, when nobody waits for it any more and when the
    /// process ends; given up on a little later, and then left to end and undo by itself.
    async fn within_budget(self: &Arc<Self>, command: &Arc<Command>, key: &str, arrived: Instant) -> Outcome {
        let call = Call {
            id: command.id.clone(),
            deadline: arrived + self.settings.budget,
            cancel: self.give_up.child_token(),
        };
        let mut work =
            self.tracker.spawn(caught(Arc::clone(self).work(Arc::clone(command), call.clone())).in_current_span());
        let nobody_waits = async {
            match command.body {
                // What is to be taken away is taken away, whoever listens.
                CommandBody::Unsubscribe { .. } => std::future::pending().await,
                _ => self.nobody_waits(key).await,
            }
        };
        tokio::select! {
            biased;
            done = &mut work => return self.joined(done),
            () = tokio::time::sleep_until(call.deadline) => {}
            () = call.cancel.cancelled() => {}
            () = nobody_waits => {}
        }
        call.cancel.cancel();
        tokio::select! {
            biased;
            done = &mut work => return self.joined(done),
            () = tokio::time::sleep(GRACE) => {}
        }
        self.tracker.spawn(Arc::clone(self).settle_late(Arc::clone(command), work).in_current_span());
        Err(Error::unavailable(format!(
            "{} did not end within {} s; what it may still do is undone, try again in a minute",
            command.body.kind(),
            self.settings.budget.as_secs_f64()
        )))
    }

    async fn work(self: Arc<Self>, command: Arc<Command>, call: Call) -> Outcome {
        match &command.body {
            CommandBody::Discover => self.discover(&call).await,
            CommandBody::StartIngest { job_id, api_ids } => self.start_ingest(&call, job_id, api_ids).await,
            CommandBody::Subscribe { api_id, subscription } => self.subscribe(&call, api_id, subscription).await,
            CommandBody::Unsubscribe { api_id, subscription } => self.unsubscribe(&call, api_id, subscription).await,
            CommandBody::Unknown { kind, fault: Some(fault) } => {
                Err(Error::invalid(format!("the {kind} command could not be read: {fault}")))
            }
            other => Err(Error::invalid(format!("No handler found for command type '{}'. Ignoring", other.kind()))),
        }
    }

    /// What a finished task came to.
    fn joined(&self, done: Result<Outcome, JoinError>) -> Outcome {
        let outcome = done.unwrap_or_else(|lost| Err(dropped(&lost)));
        outcome.map_err(|error| {
            let cut_short = self.give_up.is_cancelled() && error.class().is_passing();
            if cut_short { shutting_down().caused_by(error) } else { error }
        })
    }

    /// Waits for work that was given up on, and undoes what it made after all.
    async fn settle_late(self: Arc<Self>, command: Arc<Command>, work: JoinHandle<Outcome>) {
        let outcome = work.await.unwrap_or_else(|lost| Err(dropped(&lost)));
        tracing::warn!(
            integration = self.integration(),
            command = command.id,
            kind = command.body.kind(),
            subscription = subscription_of(&command.body),
            outcome = outcome.as_ref().err().map(Error::sentence),
            "ended after it was given up on"
        );
        if let Ok(Done { effect: Effect::Granted(made), .. }) = outcome {
            self.undo(*made, UNHEARD).await;
        }
    }

    /// Done when every session that waits for `key`'s reply has ended.
    async fn nobody_waits(&self, key: &str) {
        loop {
            let alive = self.once().alive(key);
            match alive {
                Some(session) => session.gone().await,
                None => return,
            }
        }
    }

    /// Sends `reply` to everybody who waits for it. With `by`, it is told only until then: what it tells of is undone
    /// when certainly nobody has it.
    async fn answer(self: &Arc<Self>, command: &Command, key: &str, mut reply: Reply, by: Option<Instant>) -> Handed {
        let mut handed = Handed::Nobody;
        let (mut heard, mut replaced) = (false, false);
        loop {
            // What is undone counts as not carried out, and so does what failed without anybody having heard of it:
            // delivered again, on the next session, it is carried out.
            let stands = heard || (by.is_none() && reply.status == Status::Succeeded);
            let waiting = self.once().next(key, stands.then_some(&reply));
            if waiting.is_empty() {
                break;
            }
            for session in waiting {
                loop {
                    // An ERROR that took its place has no time limit: nothing hangs on it.
                    let sent = match by.filter(|_| !replaced) {
                        Some(by) => session.reply_by(reply.clone(), by).await,
                        None => session.reply(reply.clone()).await,
                    };
                    match sent {
                        Ok(()) => {
                            heard = true;
                            if !replaced {
                                handed = Handed::Taken(session);
                            }
                        }
                        Err(AskError::Torn) => {
                            if !replaced && matches!(handed, Handed::Nobody) {
                                handed = Handed::Torn;
                            }
                            // A grant that is kept for that: delivered again, it is told of again.
                            heard |= matches!(reply.body, ReplyBody::Subscribe(Some(_)));
                        }
                        Err(AskError::Gone(_) | AskError::Silence(_)) => {}
                        Err(AskError::Encode(EncodeError::TooLong { len, limit })) => {
                            if !shrink(&mut reply, len, limit) {
                                if replaced {
                                    break;
                                }
                                replaced = true;
                                reply = command.fail(format!(
                                    "the answer is {len} bytes long and the plane takes {limit} at most"
                                ));
                            }
                            continue;
                        }
                    }
                    break;
                }
            }
        }
        if matches!(reply.body, ReplyBody::Subscribe(Some(_)) | ReplyBody::Discover(Some(_))) {
            let (agent, key) = (Arc::downgrade(self), key.to_owned());
            tokio::spawn(expire_later(agent, key));
        }
        if replaced { Handed::Nobody } else { handed }
    }

    /// The one line that every command ends in, and its entry in the books.
    fn log(
        &self,
        command: &Command,
        under_way: Underway,
        note: &str,
        class: Option<Class>,
        handed: &Handed,
        effect: &Effect,
    ) {
        let taken = matches!(handed, Handed::Taken(_));
        let outcome = match (class, handed, effect) {
            (Some(_), Handed::Taken(_), _) => observe::Outcome::Error,
            (Some(_), _, _) => observe::Outcome::ErrorUnheard,
            (None, Handed::Taken(_), _) => observe::Outcome::Succeeded,
            (None, _, Effect::None) => observe::Outcome::SucceededUnheard,
            (None, Handed::Torn, Effect::Granted(_)) => observe::Outcome::Doubtful,
            (None, _, _) => observe::Outcome::Undone,
        };
        let (integration, id, kind) = (self.integration(), &command.id, command.body.kind());
        let (api, subscription) = (api_of(&command.body), subscription_of(&command.body));
        let took = under_way.took();
        under_way.ended(&Ended { id, api, subscription, took, outcome, class, note });
        let outcome = outcome.says();
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let class = class.map(Class::word);
        span::ended(&Span::current(), outcome, class, millis);
        if class.is_none() && taken {
            tracing::info!(integration, command = id, kind, api, subscription, millis, outcome, "{kind}: {note}");
        } else {
            tracing::warn!(
                integration,
                command = id,
                kind,
                api,
                subscription,
                millis,
                outcome,
                class,
                "{kind}: {note}"
            );
        }
    }
}

/// Whether a command of this kind is the agent's to answer; the others are the link's and never come here.
fn is_ours(body: &CommandBody) -> bool {
    matches!(
        body,
        CommandBody::Discover
            | CommandBody::StartIngest { .. }
            | CommandBody::Subscribe { .. }
            | CommandBody::Unsubscribe { .. }
            | CommandBody::Unknown { .. }
    )
}

/// Makes a DISCOVER reply that is `len` bytes long fit into `limit`; `false` when there is nothing to leave out.
fn shrink(reply: &mut Reply, len: usize, limit: usize) -> bool {
    let ReplyBody::Discover(Some(discovered)) = &mut reply.body else { return false };
    let all = discovered.apis.len();
    if all == 0 {
        return false;
    }
    let fitting = all.saturating_mul(limit) / len.max(1);
    discovered.apis.truncate((fitting * 9 / 10).min(all - 1));
    discovered.partial = true;
    tracing::warn!(
        all,
        told = discovered.apis.len(),
        "the plane's messages are too short for all APIs that were found"
    );
    true
}

/// Drops the reply of `key` when no plane waits for it any more, without keeping the agent alive.
async fn expire_later(agent: Weak<Agent>, key: String) {
    tokio::time::sleep(REPLY_KEPT).await;
    if let Some(agent) = agent.upgrade() {
        agent.once().expire(&key);
    }
}

//! One session, from HELLO to its end: what the link answers by itself, what it hands on, and when it calls the other
//! end dead.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior, interval_at, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{
    Endpoint, LinkSettings, Receiver, Session, SessionEnd,
    guard::{Load, odd, shown},
    pair,
    policy::End,
    state::Life,
    wire::{Event, Wire},
};
use crate::{
    exchange::{self, Command, CommandBody, DecodeError, Message, Reply, ReplyBody, Status},
    model::Error,
    observe::Recorder,
};

/// How long a peer may take to answer our close.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// Closes as the protocol asks for it.
pub(super) mod close {
    /// All is done.
    pub(in crate::link) const NORMAL: u16 = 1000;
    /// The peer broke the protocol.
    pub(in crate::link) const PROTOCOL: u16 = 1002;
    /// The peer sent text.
    pub(in crate::link) const UNSUPPORTED: u16 = 1003;
    /// We come back.
    pub(in crate::link) const TRY_AGAIN: u16 = 1013;
}

/// How a session ended, and how long it had lived, when it ever did.
pub(super) struct Ending {
    pub(super) end: End,
    pub(super) lived: Option<Duration>,
}

/// What a session needs from its link.
pub(super) struct Conversation<'a, 'b> {
    pub(super) settings: &'a LinkSettings,
    pub(super) endpoint: &'a Endpoint,
    pub(super) receiver: &'a Arc<dyn Receiver>,
    pub(super) detail: Option<&'a watch::Receiver<Option<String>>>,
    pub(super) life: &'a mut Life<'b>,
    pub(super) shutdown: &'a CancellationToken,
    pub(super) load: &'a Load,
    pub(super) recorder: &'a Recorder,
}

/// Why the session ends, and the code to close with; `None` when nobody is there to read it.
struct Leave {
    end: End,
    code: Option<u16>,
}

impl Leave {
    fn dead(sentence: impl Into<String>) -> Self {
        Self { end: End::Failed(Error::unavailable(sentence)), code: None }
    }
}

impl Conversation<'_, '_> {
    /// Says HELLO on `wire` and holds the session until it ends.
    pub(super) async fn hold(mut self, mut wire: Wire) -> Ending {
        let (session, end) = pair(self.settings.connector.limits);
        let mut born = None;
        let leave = self.talk(&mut wire, &session, end, &mut born).await;
        // The handle is dead and the state is told before the farewell begins: nobody waits for what will not come.
        if born.is_some() {
            self.life.lost(&leave.end);
        }
        if let Some(code) = leave.code {
            wire.close(code, FAREWELL).await;
        }
        Ending { end: leave.end, lived: born.map(|born| born.elapsed()) }
    }

    async fn talk(
        &mut self,
        wire: &mut Wire,
        session: &Session,
        mut end: SessionEnd,
        born: &mut Option<Instant>,
    ) -> Leave {
        let retry = &self.settings.retry;
        let hello = match hello(self.settings) {
            Ok((id, bytes)) => {
                wire.answer(bytes);
                id
            }
            Err(error) => return Leave { end: End::Failed(error), code: Some(close::NORMAL) },
        };
        let answer_by = Instant::now() + retry.handshake;
        // A period of nothing is not one.
        let period = retry.ping.max(Duration::from_millis(1));
        let mut ping = interval_at(Instant::now() + period, period);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut settled = false;
        loop {
            let connected = born.is_some();
            let dead = wire.dies_at(retry.silence);
            let echo = end.next_ping();
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return Leave { end: End::Shutdown, code: Some(close::NORMAL) },
                // A beat while an echo waits carries its payload: the peer may answer the last ping only.
                _ = ping.tick(), if connected => wire.ping(end.awaited().unwrap_or_default()),
                payload = echo => wire.ping(payload),
                () = sleep_until(born.map_or(answer_by, |born| born + retry.reset_after)), if connected && !settled => {
                    settled = true;
                    self.life.settled();
                }
                () = sleep_until(answer_by), if !connected => {
                    let wait = humantime::format_duration(retry.handshake);
                    return Leave::dead(format!("{} did not answer HELLO within {wait}", self.endpoint));
                }
                Some(outgoing) = end.next(), if wire.has_room() => wire.send(outgoing),
                event = wire.next() => match event {
                    Err(error) => return Leave { end: End::Failed(error), code: None },
                    Ok(event) => {
                        let told = match event {
                            Event::Beat | Event::Room => continue,
                            Event::Pong(payload) => {
                                end.echoed(&payload);
                                continue;
                            }
                            Event::Closed(why) => {
                                return Leave { end: End::Failed(closed(why)), code: Some(close::NORMAL) };
                            }
                            Event::Text => {
                                let error = Error::unavailable("the plane sent a text message, which the protocol has not");
                                return Leave { end: End::Failed(error), code: Some(close::UNSUPPORTED) };
                            }
                            Event::Message(bytes) => {
                                let len = bytes.len();
                                exchange::decode(&bytes).map(|message| (message, len)).map_err(|error| (error, len))
                            }
                        };
                        let left = match told {
                            Ok((Message::Reply(reply), _)) if !connected && reply.command_id == hello => {
                                self.answered(&reply, session, born)
                            }
                            Ok((Message::Reply(reply), _)) => {
                                let id = shown(&reply.command_id).into_owned();
                                if !end.deliver(reply) {
                                    debug!(command = id, "a reply that nobody waits for");
                                }
                                None
                            }
                            Ok((Message::Command(command), len)) => {
                                self.command(command, len, wire, session, connected)
                            }
                            Err((fault, len)) => self.unreadable(&fault, len),
                        };
                        if let Some(leave) = left {
                            return leave;
                        }
                    }
                },
                () = sleep_until(dead) => {
                    // Bytes that are no whole frame yet are a sign of life too.
                    if wire.dies_at(retry.silence) > Instant::now() {
                        continue;
                    }
                    let silence = humantime::format_duration(retry.silence);
                    return Leave::dead(if wire.is_stalled(retry.silence) {
                        format!("the plane has taken no byte for {silence}: the connection is dead")
                    } else {
                        format!("the plane has been silent for {silence}: the connection is dead")
                    });
                }
            }
        }
    }

    fn answered(&mut self, reply: &Reply, session: &Session, born: &mut Option<Instant>) -> Option<Leave> {
        match &reply.status {
            Status::Succeeded => {
                *born = Some(Instant::now());
                self.life.connected(self.endpoint, session.clone());
                None
            }
            // The plane means to say GOOD_BYE and to have us back at once, for ever: we do not stay to hear it.
            Status::Error => {
                let error = refused(self.settings, reply.error.as_deref());
                Some(Leave { end: End::Failed(error), code: Some(close::NORMAL) })
            }
            Status::Pending | Status::InProgress | Status::Other(_) => None,
        }
    }

    fn command(
        &self,
        command: Command,
        len: usize,
        wire: &mut Wire,
        session: &Session,
        connected: bool,
    ) -> Option<Leave> {
        let reply = match &command.body {
            CommandBody::HealthCheck => {
                let detail = self.detail.and_then(|detail| detail.borrow().clone());
                command.succeed(ReplyBody::HealthCheck { healthy: true, detail })
            }
            CommandBody::Primary { primary } => {
                let integration = &self.settings.integration_id;
                if *primary {
                    debug!(integration, "this agent is the integration's first one");
                } else {
                    info!(integration, "another agent is connected to this integration too; both may get commands");
                }
                command.succeed(ReplyBody::Primary)
            }
            CommandBody::GoodBye { reconnect, .. } => {
                let code = if *reconnect { close::TRY_AGAIN } else { close::NORMAL };
                return Some(Leave { end: End::GoodBye { reconnect: *reconnect }, code: Some(code) });
            }
            CommandBody::Unknown { kind, fault } => {
                let integration = &self.settings.integration_id;
                let (kind, fault) = (shown(kind), fault.as_deref().map(shown));
                warn!(
                    integration,
                    kind = &*kind,
                    fault = fault.as_deref(),
                    "the plane sent a command that this release does not understand"
                );
                command.fail(match fault {
                    Some(fault) => format!("This agent cannot read the command '{kind}': {fault}"),
                    None => format!("This agent does not know the command '{kind}'"),
                })
            }
            CommandBody::Hello { .. } | CommandBody::Ingest { .. } => {
                let kind = command.body.kind();
                Reply {
                    body: ReplyBody::NoReply,
                    ..command.fail(format!("No handler found for command type '{kind}'. Ignoring"))
                }
            }
            _ if !connected => command.fail("This agent has not been answered its HELLO yet"),
            _ => match (odd(&command), self.load.share(len)) {
                (None, Some(share)) => {
                    Arc::clone(self.receiver).command(command, session.with(share));
                    return None;
                }
                (Some(why), _) => {
                    let (integration, id) = (&self.settings.integration_id, shown(&command.id));
                    let kind = command.body.kind();
                    warn!(integration, command = &*id, kind, "the plane sent a command that is not carried out: {why}");
                    command.fail(format!("This agent does not take the command {kind}: {why}"))
                }
                (None, None) => {
                    let integration = &self.settings.integration_id;
                    if self.load.is_news() {
                        warn!(
                            integration,
                            "the plane sends more commands than can be carried out; some are turned away"
                        );
                    }
                    command
                        .fail("too many commands are under way at this agent; nothing was done, try again in a minute")
                }
            },
        };
        if let Some(why) = &reply.error {
            self.recorder.turned_away(&shown(command.body.kind()), &shown(&command.id), why);
        }
        let limits = &self.settings.connector.limits;
        let encoded = exchange::encode(&Message::Reply(reply), limits).or_else(|error| match command.body {
            // Without an answer the plane throws the agent out: the detail is not worth that.
            CommandBody::HealthCheck => {
                let body = ReplyBody::HealthCheck { healthy: true, detail: None };
                exchange::encode(&Message::Reply(command.succeed(body)), limits)
            }
            _ => Err(error),
        });
        match encoded {
            Ok(bytes) => wire.answer(bytes),
            Err(error) => warn!(
                integration = self.settings.integration_id,
                kind = &*shown(command.body.kind()),
                "an answer of the link's own could not be sent: {error}"
            ),
        }
        None
    }

    /// Neither content nor any part of it is logged: it may hold a key.
    fn unreadable(&self, fault: &DecodeError, len: usize) -> Option<Leave> {
        let integration = &self.settings.integration_id;
        match fault {
            DecodeError::NotAMessage => {
                let error = Error::unavailable(format!("the plane sent {len} bytes that are no message: {fault}"));
                Some(Leave { end: End::Failed(error), code: Some(close::PROTOCOL) })
            }
            DecodeError::Json(_) => {
                warn!(integration, len, "the plane sent a message that cannot be read, ignored: {fault}");
                None
            }
        }
    }
}

/// A HELLO: its id and its bytes.
pub(super) fn hello(settings: &LinkSettings) -> Result<(String, Vec<u8>), Error> {
    let id = uuid::Uuid::new_v4().to_string();
    let body = CommandBody::Hello { target_id: settings.integration_id.clone(), provider: settings.provider.clone() };
    let message = Message::Command(Command { id: id.clone(), body });
    let bytes = exchange::encode(&message, &settings.connector.limits)
        .map_err(|error| Error::invalid(format!("HELLO cannot be sent: {error}")))?;
    Ok((id, bytes))
}

/// What an ERROR to HELLO means. The plane's sentence is shown as it is; which of its two reasons it names decides
/// only which advice is given.
pub(super) fn refused(settings: &LinkSettings, details: Option<&str>) -> Error {
    let (id, provider) = (&settings.integration_id, &settings.provider);
    let details = details.map(shown);
    let details = details.as_deref();
    let said = details.unwrap_or("nothing more");
    let expected = details
        .and_then(|details| details.split_once("Expected provider [provider="))
        .and_then(|(_, rest)| rest.split_once(']'))
        .map(|(expected, _)| expected);
    Error::denied(match expected {
        Some(expected) => format!(
            "the plane refused integration {id}: it is one for `{expected}` and this agent offers `{provider}`. Use \
             the id of an integration for `{provider}` (gravitee_integration_providers_…_integrationId), or, where the agent \
             speaks it, set gravitee_integration_providers_…_type={expected} (the plane said: {said})"
        ),
        None => format!(
            "the plane refused integration {id}: either no integration has this id in the token's organisation \
             (gravitee_integration_providers_…_integrationId, from the console), or the token's user lacks the \
             environment's INTEGRATION permissions Create, Read, Update and Delete, all four (the plane said: {said})"
        ),
    })
}

/// Why a peer that closed did so.
pub(super) fn closed(why: Option<(u16, String)>) -> Error {
    Error::unavailable(match why {
        Some((code, reason)) if reason.is_empty() => format!("the plane closed the session ({code})"),
        Some((code, reason)) => format!("the plane closed the session ({code}: {})", shown(&reason)),
        None => "the plane closed the session".to_owned(),
    })
}

//! One connection after its upgrade, seen from the controller.

use std::{sync::Arc, time::Duration};

use hyper::upgrade::Upgraded;
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, sleep_until},
};
use tokio_tungstenite::tungstenite::{self, error::ProtocolError};
use uuid::Uuid;

use super::{
    Behaviour, Ending, Seen,
    hub::{Hub, Order},
    socket::Socket,
};
use crate::exchange::{self, Command, CommandBody, DecodeError, Message, Reply, ReplyBody, Status};

/// Orders that may wait for a connection.
const QUEUE: usize = 64;

/// One connection.
pub(super) struct Session {
    hub: Arc<Hub>,
    socket: Socket,
    behaviour: Behaviour,
    /// No header of the protocol came with the upgrade: an older one is meant, which nobody here speaks.
    legacy: bool,
    number: u64,
    orders: mpsc::Sender<Order>,
    /// Set by a HELLO that succeeded.
    integration: Option<String>,
    /// Whether the hub knows this connection as a channel.
    registered: bool,
    /// When it becomes one.
    register_at: Option<Instant>,
    /// When the GOOD_BYE after a refused HELLO is due.
    good_bye_at: Option<Instant>,
    /// The HEALTH_CHECK that is not answered yet, and until when it must be.
    health: Option<(String, Instant)>,
}

/// How a connection goes on.
enum Next {
    On,
    Close(u16, &'static str),
    Drop,
    Mute,
}

impl Session {
    /// Serves an upgraded connection until it ends.
    pub(super) async fn run(hub: Arc<Hub>, upgraded: Upgraded, behaviour: Behaviour, legacy: bool) {
        let socket = Socket::new(upgraded, hub.settings.limits).await;
        let (orders, queue) = mpsc::channel(QUEUE);
        let mut session = Self {
            number: hub.number(),
            hub,
            socket,
            behaviour,
            orders,
            legacy,
            integration: None,
            registered: false,
            register_at: None,
            good_bye_at: None,
            health: None,
        };
        let stop = session.hub.stop.clone();
        tokio::select! {
            () = session.live(queue) => {}
            () = stop.cancelled() => {}
        }
        session.unregister();
        session.hub.forget(session.number);
    }

    async fn live(&mut self, mut queue: mpsc::Receiver<Order>) {
        let mut next = match self.behaviour {
            Behaviour::Mute => Next::Mute,
            Behaviour::Close(code) => Next::Close(code, ""),
            Behaviour::Drop => Next::Drop,
            _ => Next::On,
        };
        let mut ping = ticker(self.hub.settings.ping);
        let mut check = ticker(self.hub.settings.health_check);
        loop {
            next = match next {
                Next::On => tokio::select! {
                    biased;
                    Some(order) = queue.recv() => self.obey(order).await,
                    received = self.socket.next() => match received {
                        Some(Ok(message)) => self.received(message).await,
                        Some(Err(error)) => self.broken(&error),
                        None => self.ended(None),
                    },
                    () = due(self.register_at) => self.register(&mut ping, &mut check).await,
                    () = due(self.good_bye_at) => {
                        self.good_bye_at = None;
                        self.ask(CommandBody::GoodBye { target_id: None, reconnect: true }).await
                    }
                    () = due(self.health.as_ref().map(|(_, until)| *until)) => self.good_bye(true).await,
                    _ = ping.tick(), if self.registered => self.ping().await,
                    _ = check.tick(), if self.registered && self.health.is_none() => self.check_health().await,
                },
                Next::Close(code, reason) => return self.close(code, reason).await,
                Next::Mute => return self.mute(&mut queue).await,
                Next::Drop => return,
            };
        }
    }

    async fn obey(&mut self, order: Order) -> Next {
        match order {
            Order::Say(bytes) => self.send(&bytes).await,
            Order::GoodBye { reconnect } => self.good_bye(reconnect).await,
            Order::Close(code) => Next::Close(code, ""),
            Order::Cut => Next::Drop,
            Order::CutInFrame => self.cut_in_frame().await,
            Order::Mute => Next::Mute,
        }
    }

    async fn received(&mut self, message: tungstenite::Message) -> Next {
        match message {
            tungstenite::Message::Binary(_) if self.legacy => Next::On,
            tungstenite::Message::Binary(bytes) => self.message(&bytes).await,
            tungstenite::Message::Text(_) => Next::Close(1003, "Unsupported text frame"),
            tungstenite::Message::Ping(_) => self.saw(|seen| seen.pings += 1),
            tungstenite::Message::Pong(_) => self.saw(|seen| seen.pongs += 1),
            tungstenite::Message::Frame(_) => Next::On,
            tungstenite::Message::Close(frame) => {
                self.unregister();
                self.ended(Some(frame.map_or(1005, |frame| frame.code.into())));
                self.socket.drain().await;
                Next::Drop
            }
        }
    }

    async fn message(&mut self, bytes: &[u8]) -> Next {
        if bytes.len() > self.hub.settings.limits.message {
            return self.saw(|seen| seen.lost += 1);
        }
        let bytes = if self.hub.settings.splits_double_semicolon { until_second_separator(bytes) } else { bytes };
        match exchange::decode(bytes) {
            Ok(Message::Command(command)) => self.command(command).await,
            Ok(Message::Reply(reply)) => self.reply(reply).await,
            Err(DecodeError::NotAMessage) => Next::Close(1002, "Exchange message unknown"),
            Err(DecodeError::Json(_)) => self.saw(|seen| seen.lost += 1),
        }
    }

    async fn command(&mut self, command: Command) -> Next {
        let Command { id, body } = command;
        match (body, &self.integration) {
            (CommandBody::Hello { target_id, provider }, _) => self.hello(id, target_id, &provider).await,
            (_, None) => Next::Close(1002, "Hello Command is first expected to initialize the exchange channel"),
            (CommandBody::GoodBye { .. }, _) => {
                self.unregister();
                Next::Close(1013, "")
            }
            (CommandBody::Ingest { job_id, apis, done }, Some(integration)) => {
                let (hub, orders, integration) = (Arc::clone(&self.hub), self.orders.clone(), integration.clone());
                // Apart, since ending a subscription on the way asks this very connection.
                tokio::spawn(async move {
                    let reply = Message::Reply(success(id, ReplyBody::Ingest));
                    match (hub.ingest(&integration, &job_id, &apis, done).await, hub.encode(&reply)) {
                        (Ok(()), Ok(bytes)) => _ = orders.send(Order::Say(bytes)).await,
                        _ => hub.change(|state| state.seen.lost += 1),
                    }
                });
                Next::On
            }
            (CommandBody::Unknown { fault: Some(_), .. }, _) => self.saw(|seen| seen.lost += 1),
            (CommandBody::Unknown { kind, fault: None }, _) => {
                self.answer(failure(id, "Command unknown".into(), ReplyBody::Unknown { kind })).await
            }
            (body, _) => {
                let text = format!("No handler found for command type '{}'. Ignoring", body.kind());
                self.answer(failure(id, text, ReplyBody::NoReply)).await
            }
        }
    }

    async fn hello(&mut self, id: String, target_id: String, provider: &str) -> Next {
        let heard = self.hub.hello(&target_id, provider);
        let heard = match &self.behaviour {
            Behaviour::IgnoreHello => return Next::On,
            Behaviour::RefuseHello(text) => Err(text.clone()),
            _ => heard,
        };
        if let Err(text) = heard {
            self.good_bye_at = Some(Instant::now() + self.hub.settings.refusal_good_bye);
            return self.answer(failure(id, text, ReplyBody::Hello(None))).await;
        }
        self.good_bye_at = None;
        self.integration = Some(target_id.clone());
        let next = self.answer(success(id, ReplyBody::Hello(Some(target_id)))).await;
        match (next, &self.behaviour) {
            (Next::On, Behaviour::MuteAfterHello) => {
                self.enter();
                Next::Mute
            }
            (Next::On, Behaviour::CutAfterHello) => self.cut_in_frame().await,
            (Next::On, Behaviour::CloseAfterHello(code)) => Next::Close(*code, ""),
            (Next::On, _) if !self.registered => {
                self.register_at = Some(Instant::now() + self.hub.settings.registration);
                Next::On
            }
            (next, _) => next,
        }
    }

    async fn reply(&mut self, reply: Reply) -> Next {
        if self.health.as_ref().is_some_and(|(id, _)| *id == reply.command_id) {
            self.health = None;
            self.saw(|seen| seen.health_checks += 1);
            return match reply {
                Reply { status: Status::Succeeded, body: ReplyBody::HealthCheck { healthy: true, .. }, .. } => Next::On,
                _ => self.good_bye(true).await,
            };
        }
        if let ReplyBody::Primary = reply.body {
            return self.saw(|seen| seen.primaries += 1);
        }
        self.hub.deliver(self.number, reply);
        Next::On
    }

    /// Becomes a channel; whether the primary one.
    fn enter(&mut self) -> bool {
        self.register_at = None;
        self.registered = true;
        let integration = self.integration.as_deref().unwrap_or_default();
        self.hub.register(self.number, integration, self.orders.clone())
    }

    async fn register(&mut self, ping: &mut Interval, check: &mut Interval) -> Next {
        let primary = self.enter();
        ping.reset();
        check.reset();
        self.ask(CommandBody::Primary { primary }).await
    }

    /// No channel any more. Replies to what was asked before are still taken.
    fn unregister(&mut self) {
        self.register_at = None;
        self.health = None;
        if std::mem::take(&mut self.registered) {
            self.hub.unregister(self.number);
        }
    }

    async fn check_health(&mut self) -> Next {
        let id = Uuid::new_v4().to_string();
        self.health = Some((id.clone(), Instant::now() + self.hub.settings.reply_wait));
        self.say(&Message::Command(Command { id, body: CommandBody::HealthCheck })).await
    }

    /// Throws the connector out; it is the one to close.
    async fn good_bye(&mut self, reconnect: bool) -> Next {
        self.unregister();
        self.ask(CommandBody::GoodBye { target_id: self.integration.clone(), reconnect }).await
    }

    async fn ask(&mut self, body: CommandBody) -> Next {
        self.say(&Message::Command(Command { id: Uuid::new_v4().to_string(), body })).await
    }

    async fn answer(&mut self, reply: Reply) -> Next {
        self.say(&Message::Reply(reply)).await
    }

    async fn say(&mut self, message: &Message) -> Next {
        match self.hub.encode(message) {
            Ok(bytes) => self.send(&bytes).await,
            Err(_) => Next::On,
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Next {
        match self.socket.send(bytes).await {
            Ok(()) => Next::On,
            Err(error) => self.broken(&error),
        }
    }

    async fn ping(&mut self) -> Next {
        match self.socket.ping().await {
            Ok(()) => Next::On,
            Err(error) => self.broken(&error),
        }
    }

    /// A frame above the limit, or against the rules, makes us drop the connection with no close frame; else the
    /// connector has dropped it.
    fn broken(&mut self, error: &tungstenite::Error) -> Next {
        match error {
            tungstenite::Error::Capacity(_) => Next::Drop,
            tungstenite::Error::Protocol(fault) if *fault != ProtocolError::ResetWithoutClosingHandshake => Next::Drop,
            _ => self.ended(None),
        }
    }

    fn ended(&mut self, code: Option<u16>) -> Next {
        let integration = self.integration.clone();
        self.hub.change(|state| state.endings.push(Ending { integration, code }));
        Next::Drop
    }

    fn saw(&self, count: impl FnOnce(&mut Seen)) -> Next {
        self.hub.change(|state| count(&mut state.seen));
        Next::On
    }

    async fn close(&mut self, code: u16, reason: &'static str) {
        self.unregister();
        self.socket.close(code, reason).await;
    }

    async fn cut_in_frame(&mut self) -> Next {
        self.socket.begin_frame().await;
        Next::Drop
    }

    /// Says nothing and hears nothing, until the connector has gone or the plane cuts it.
    async fn mute(&mut self, queue: &mut mpsc::Receiver<Order>) {
        let cut = async {
            while let Some(order) = queue.recv().await {
                if let Order::Cut | Order::CutInFrame = order {
                    return;
                }
            }
        };
        tokio::select! {
            () = cut => {}
            () = self.socket.ignore() => { self.ended(None); }
        }
    }
}

fn success(command_id: String, body: ReplyBody) -> Reply {
    Reply { command_id, status: Status::Succeeded, error: None, body }
}

fn failure(command_id: String, text: String, body: ReplyBody) -> Reply {
    Reply { command_id, status: Status::Error, error: Some(text), body }
}

/// What controllers before exchange 2.0.2 make of a message: they split it at every `;;`, the JSON too.
fn until_second_separator(bytes: &[u8]) -> &[u8] {
    let mut start = 0;
    loop {
        let end = memchr::memmem::find(&bytes[start..], b";;").map(|at| start + at);
        match end {
            Some(end) if !bytes[start..].starts_with(b"e:") => start = end + 2,
            Some(end) => return &bytes[..end],
            None => return bytes,
        }
    }
}

fn ticker(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period.max(Duration::from_millis(1)));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn due(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

//! A link tried once, step by step, for `check`: it leaves in the step that reads the HELLO reply, so that it is
//! never given a command.

use std::{fmt, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

use super::{
    Dial, Endpoint, LinkSettings,
    conversation::{FAREWELL, close, closed, hello, refused},
    dial::advice,
    upgrade::upgrade,
    wire::{Event, Wire},
};
use crate::{
    exchange::{self, CommandBody, Message, Status},
    model::Error,
};

/// One step of the way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The name was resolved, the proxy (if any) made a tunnel, TCP is up.
    Connect,
    /// The certificate is trusted.
    Tls,
    /// The path is right and the token is taken.
    Upgrade,
    /// The integration is known, the token may serve it, and the provider's type is the right one.
    Hello,
}

/// How a step went.
#[derive(Debug)]
pub struct Tried {
    /// Where.
    pub endpoint: String,
    /// What.
    pub step: Step,
    /// How long it took.
    pub took: Duration,
    /// How it went; an endpoint's first failure is its last step.
    pub outcome: Result<(), Error>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connection",
            Self::Tls => "TLS",
            Self::Upgrade => "token and path",
            Self::Hello => "HELLO",
        })
    }
}

/// Tries every endpoint once, up to HELLO, and tells each step to `tell` when it is done. Dropped, it leaves at once.
pub async fn probe(settings: &LinkSettings, dial: &dyn Dial, tell: mpsc::Sender<Tried>) {
    for url in &settings.connector.endpoints {
        let endpoint = match Endpoint::new(url) {
            Ok(endpoint) => endpoint,
            Err(error) => {
                let (step, took) = (Step::Connect, Duration::ZERO);
                let tried = Tried { endpoint: "the endpoint".to_owned(), step, took, outcome: Err(error) };
                // Nobody listens: nothing to tell.
                let _ = tell.send(tried).await;
                continue;
            }
        };
        let mut walk = Walk { endpoint: &endpoint, tell: &tell, begun: Instant::now() };
        // What failed has been told.
        let _ = walk.go(settings, dial).await;
    }
}

/// One endpoint's steps.
struct Walk<'a> {
    endpoint: &'a Endpoint,
    tell: &'a mpsc::Sender<Tried>,
    begun: Instant,
}

/// A step failed, and has been told.
struct Stop;

impl Walk<'_> {
    async fn go(&mut self, settings: &LinkSettings, dial: &dyn Dial) -> Result<(), Stop> {
        let endpoint = self.endpoint;
        let limit = settings.retry.handshake;
        let mut stream =
            self.step(Step::Connect, within(limit, endpoint, Step::Connect, dial.connect(endpoint))).await?;
        if endpoint.secure {
            let securing = within(limit, endpoint, Step::Tls, dial.secure(stream, endpoint));
            stream = self.step(Step::Tls, securing).await?;
        }
        let connector = &settings.connector;
        let upgrading = upgrade(stream, endpoint, &connector.headers, connector.limits);
        let mut wire = self.step(Step::Upgrade, within(limit, endpoint, Step::Upgrade, upgrading)).await?;
        let greeting = async {
            let outcome = greet(settings, endpoint, &mut wire).await;
            wire.close(close::NORMAL, FAREWELL).await;
            outcome
        };
        self.step(Step::Hello, greeting).await
    }

    async fn step<T>(&mut self, step: Step, work: impl Future<Output = Result<T, Error>>) -> Result<T, Stop> {
        let (outcome, made) = match work.await {
            Ok(made) => (Ok(()), Ok(made)),
            Err(error) => (Err(error), Err(Stop)),
        };
        let took = self.begun.elapsed();
        // Nobody listens: nothing to tell.
        let _ = self.tell.send(Tried { endpoint: self.endpoint.to_string(), step, took, outcome }).await;
        self.begun = Instant::now();
        made
    }
}

/// HELLO and its reply.
async fn greet(settings: &LinkSettings, endpoint: &Endpoint, wire: &mut Wire) -> Result<(), Error> {
    let (id, bytes) = hello(settings)?;
    wire.answer(bytes);
    let wait = settings.retry.handshake;
    let by = Instant::now() + wait;
    loop {
        let late = |_| {
            Error::unavailable(format!("{endpoint} did not answer HELLO within {}", humantime::format_duration(wait)))
        };
        match timeout_at(by, wire.next()).await.map_err(late)?? {
            Event::Beat | Event::Pong(_) | Event::Room => {}
            Event::Closed(why) => return Err(closed(why)),
            Event::Text => return Err(Error::unavailable(format!("{endpoint} answered HELLO with a text message"))),
            Event::Message(bytes) => match exchange::decode(&bytes) {
                Ok(Message::Reply(reply)) if reply.command_id == id => match reply.status {
                    Status::Succeeded => return Ok(()),
                    Status::Error => return Err(refused(settings, reply.error.as_deref())),
                    Status::Pending | Status::InProgress | Status::Other(_) => {}
                },
                Ok(Message::Command(command)) if matches!(command.body, CommandBody::GoodBye { .. }) => {
                    return Err(Error::unavailable(format!("{endpoint} answered HELLO with GOOD_BYE")));
                }
                Ok(_) => {}
                Err(error) => return Err(Error::unavailable(format!("{endpoint} answered HELLO unreadably: {error}"))),
            },
        }
    }
}

/// `work` with a limit to its time, and a sentence when it takes longer.
pub(super) async fn within<T>(
    limit: Duration,
    endpoint: &Endpoint,
    step: Step,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(limit, work).await.unwrap_or_else(|_| {
        let limit = humantime::format_duration(limit);
        Err(Error::unavailable(match step {
            Step::Connect => format!("cannot reach {endpoint}: no answer came within {limit}; {}", advice(endpoint)),
            Step::Tls => format!("{endpoint}: the TLS handshake took longer than {limit}; is TLS spoken at this port?"),
            Step::Upgrade | Step::Hello => format!(
                "{endpoint}: the upgrade took longer than {limit}; is this the controller's port, and is the plane well?"
            ),
        }))
    })
}

//! A link tried once, step by step, for `check`: it leaves in the step that reads the HELLO reply, so that it is
//! never given a command.

use std::{fmt, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, timeout, timeout_at},
};

use super::{
    Dial, Endpoint, LinkSettings, LookedUp, Presented,
    conversation::{FAREWELL, close, closed, hello, refused},
    dial::advice,
    upgrade,
    wire::{Event, Wire},
};
use crate::{
    exchange::{self, CommandBody, Message, Status},
    model::{Dated, Error},
};

/// One step of the way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The name was resolved: the proxy's, where there is one. Not told of an address.
    Name,
    /// TCP is up, and the proxy (if any) made a tunnel.
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
    /// What was seen on the way, also when it failed.
    pub seen: Seen,
}

/// What a step has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// [`Step::Name`]: the name and its addresses.
    pub name: Option<LookedUp>,
    /// [`Step::Tls`]: what the other end showed.
    pub tls: Option<Presented>,
    /// [`Step::Upgrade`]: the other end's clock.
    pub clock: Option<Dated>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
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
        match Endpoint::new(url) {
            Ok(endpoint) => probe_one(&endpoint, settings, dial, Step::Hello, &tell).await,
            Err(error) => {
                let (step, took) = (Step::Connect, Duration::ZERO);
                let (outcome, seen) = (Err(error), Seen::default());
                let tried = Tried { endpoint: "the endpoint".to_owned(), step, took, outcome, seen };
                // Nobody listens: nothing to tell.
                let _ = tell.send(tried).await;
            }
        }
    }
}

/// Tries one endpoint, up to and with the step `last`. Dropped, it leaves at once.
pub async fn probe_one(
    endpoint: &Endpoint,
    settings: &LinkSettings,
    dial: &dyn Dial,
    last: Step,
    tell: &mpsc::Sender<Tried>,
) {
    let mut walk = Walk { endpoint, last, tell, begun: Instant::now() };
    // What failed has been told.
    let _ = walk.go(settings, dial).await;
}

/// One endpoint's steps.
struct Walk<'a> {
    endpoint: &'a Endpoint,
    last: Step,
    tell: &'a mpsc::Sender<Tried>,
    begun: Instant,
}

/// A step failed, and has been told, or was the last one.
struct Stop;

impl Walk<'_> {
    async fn go(&mut self, settings: &LinkSettings, dial: &dyn Dial) -> Result<(), Stop> {
        let endpoint = self.endpoint;
        let limit = settings.retry.handshake;
        let looking = within(limit, dial, endpoint, Step::Name, async { dial.look_up(endpoint).await.transpose() });
        match looking.await {
            // There was nothing to look up.
            Ok(None) => self.begun = Instant::now(),
            found => {
                let (outcome, name) = match found {
                    Ok(name) => (Ok(()), name),
                    Err(error) => (Err(error), None),
                };
                self.step(Step::Name, outcome, Seen { name, ..Seen::default() }).await?;
            }
        }
        if self.last < Step::Connect {
            return Err(Stop);
        }
        let connected = within(limit, dial, endpoint, Step::Connect, dial.connect(endpoint)).await;
        let mut stream = self.step(Step::Connect, connected, Seen::default()).await?;
        if endpoint.secure && self.last >= Step::Tls {
            let mut shown = None;
            let securing = async {
                let (outcome, presented) = dial.examine(stream, endpoint).await;
                shown = Some(presented);
                outcome
            };
            let secured = within(limit, dial, endpoint, Step::Tls, securing).await;
            stream = self.step(Step::Tls, secured, Seen { tls: shown, ..Seen::default() }).await?;
        }
        if self.last < Step::Upgrade {
            return Err(Stop);
        }
        let connector = &settings.connector;
        let mut clock = None;
        let upgrading = async {
            let (outcome, dated) = upgrade::dated(stream, endpoint, &connector.headers, connector.limits).await;
            clock = dated;
            outcome
        };
        let upgraded = within(limit, dial, endpoint, Step::Upgrade, upgrading).await;
        let mut wire = self.step(Step::Upgrade, upgraded, Seen { clock, ..Seen::default() }).await?;
        let greeted = if self.last < Step::Hello { None } else { Some(greet(settings, endpoint, &mut wire).await) };
        wire.close(close::NORMAL, FAREWELL).await;
        match greeted {
            Some(greeted) => self.step(Step::Hello, greeted, Seen::default()).await,
            None => Err(Stop),
        }
    }

    async fn step<T>(&mut self, step: Step, done: Result<T, Error>, seen: Seen) -> Result<T, Stop> {
        let (outcome, made) = match done {
            Ok(made) => (Ok(()), Ok(made)),
            Err(error) => (Err(error), Err(Stop)),
        };
        let took = self.begun.elapsed();
        // Nobody listens: nothing to tell.
        let _ = self.tell.send(Tried { endpoint: self.endpoint.to_string(), step, took, outcome, seen }).await;
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
    dial: &dyn Dial,
    endpoint: &Endpoint,
    step: Step,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(limit, work).await.unwrap_or_else(|_| {
        let limit = humantime::format_duration(limit);
        Err(Error::unavailable(match step {
            Step::Name => format!(
                "cannot reach {endpoint}: the name service did not answer within {limit} when it was asked for the {}; \
                 is this machine's (or container's) name service up?",
                if dial.through(endpoint).is_some() { "proxy's address" } else { "host's address" }
            ),
            Step::Connect => match dial.through(endpoint) {
                None => format!("cannot reach {endpoint}: no answer came within {limit}; {}", advice(endpoint)),
                Some(proxy) => format!(
                    "cannot reach {endpoint}: the proxy {proxy} made no tunnel within {limit}; is the proxy up, does it \
                     let through to {}, and is {} up?",
                    endpoint.host_and_port(),
                    endpoint.whose()
                ),
            },
            Step::Tls => format!("{endpoint}: the TLS handshake took longer than {limit}; is TLS spoken at this port?"),
            Step::Upgrade | Step::Hello => format!(
                "{endpoint}: the upgrade took longer than {limit}; is this the controller's port, and is the plane well?"
            ),
        }))
    })
}

//! A link tried once, step by step, for `check`: it leaves in the step that reads the HELLO reply, so that it is
//! never given a command.

use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use super::{
    Dial, Endpoint, LinkSettings,
    conversation::{FAREWELL, close, closed, hello, refused},
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

/// Tries every endpoint once, up to HELLO.
pub async fn probe(settings: &LinkSettings, dial: &dyn Dial) -> Vec<Tried> {
    let mut tried = Vec::new();
    for url in &settings.connector.endpoints {
        match Endpoint::new(url) {
            Ok(endpoint) => {
                // The failure is in the list already.
                let _ = walk(settings, dial, &endpoint, &mut tried).await;
            }
            Err(error) => tried.push(Tried {
                endpoint: "?".to_owned(),
                step: Step::Connect,
                took: Duration::ZERO,
                outcome: Err(error),
            }),
        }
    }
    tried
}

struct Stop;

async fn walk(
    settings: &LinkSettings,
    dial: &dyn Dial,
    endpoint: &Endpoint,
    tried: &mut Vec<Tried>,
) -> Result<(), Stop> {
    let limit = settings.retry.handshake;
    let mut begun = Instant::now();
    let mut note = |step, outcome: Result<(), Error>| {
        let went_well = outcome.is_ok();
        tried.push(Tried { endpoint: endpoint.to_string(), step, took: begun.elapsed(), outcome });
        begun = Instant::now();
        if went_well { Ok(()) } else { Err(Stop) }
    };
    macro_rules! step {
        ($step:expr, $made:expr) => {
            match $made {
                Ok(made) => {
                    note($step, Ok(()))?;
                    made
                }
                Err(error) => return note($step, Err(error)),
            }
        };
    }
    let stream = step!(Step::Connect, within(limit, endpoint, "connecting", dial.connect(endpoint)).await);
    let stream = if endpoint.secure {
        step!(Step::Tls, within(limit, endpoint, "the TLS handshake", dial.secure(stream, endpoint)).await)
    } else {
        stream
    };
    let connector = &settings.connector;
    let upgrading = upgrade(stream, endpoint, &connector.headers, connector.limits);
    let mut wire = step!(Step::Upgrade, within(limit, endpoint, "the upgrade", upgrading).await);
    let outcome = greet(settings, endpoint, &mut wire).await;
    wire.close(close::NORMAL, FAREWELL).await;
    note(Step::Hello, outcome)
}

/// HELLO and its reply.
async fn greet(settings: &LinkSettings, endpoint: &Endpoint, wire: &mut Wire) -> Result<(), Error> {
    let (id, bytes) = hello(settings)?;
    wire.answer(bytes);
    let wait = settings.retry.handshake;
    let by = Instant::now() + wait;
    loop {
        let late = |_| Error::unavailable(format!("{endpoint} did not answer HELLO within {wait:?}"));
        match timeout_at(by, wire.next()).await.map_err(late)?? {
            Event::Beat | Event::Room => {}
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
    what: &str,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    timeout(limit, work).await.unwrap_or_else(|_| {
        let limit = humantime::format_duration(limit);
        Err(Error::unavailable(format!("{endpoint}: {what} took longer than {limit}")))
    })
}

//! A handle to one connection of the link, and the other end of that handle, which the connection's loop holds.
//!
//! The handle knows nothing of sockets: it hands encoded messages over a bounded channel and learns when the last
//! byte was written, so the agent is tested with [`pair`] alone.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::exchange::{self, Command, EncodeError, Limits, Message, Reply};

/// Messages that may wait for the socket; whoever sends more waits.
const QUEUE: usize = 16;

/// A handle to one session. Cheap to clone; outlives the session, and then answers [`Gone`].
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
    out: mpsc::Sender<Outgoing>,
}

/// The loop's end of a [`Session`]. Dropping it ends the session.
pub struct SessionEnd {
    shared: Arc<Shared>,
    out: mpsc::Receiver<Outgoing>,
}

/// An encoded message on its way to the socket.
pub struct Outgoing {
    /// The message's bytes, to be cut into frames.
    pub bytes: Vec<u8>,
    /// Told when the last byte was handed to the socket; dropped when it never will be.
    pub written: oneshot::Sender<()>,
}

impl Outgoing {
    /// Whether nobody waits any more for it to be written: it must not be begun.
    pub fn is_given_up(&self) -> bool {
        self.written.is_closed()
    }
}

struct Shared {
    waiting: Mutex<HashMap<String, oneshot::Sender<Reply>>>,
    gone: CancellationToken,
    limits: Limits,
}

/// The session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session has ended")]
pub struct Gone;

/// Why a message was not sent, or got no reply.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The session ended first.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// No reply in time.
    #[error("no reply in {0:?}")]
    Silence(Duration),
    /// The message is too long to be sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// A session and its loop's end.
pub fn pair(limits: Limits) -> (Session, SessionEnd) {
    let shared = Arc::new(Shared { waiting: Mutex::default(), gone: CancellationToken::new(), limits });
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Session { shared: Arc::clone(&shared), out: sender }, SessionEnd { shared, out: receiver })
}

impl Session {
    /// Sends `reply`; done when its last byte was handed to the socket. Dropped before it was begun, it is not sent.
    pub async fn reply(&self, reply: Reply) -> Result<(), AskError> {
        self.send(&Message::Reply(reply)).await
    }

    /// Sends `command` and waits at most `wait` for its reply, counted from when the socket has taken it.
    pub async fn ask(&self, command: Command, wait: Duration) -> Result<Reply, AskError> {
        let (told, reply) = oneshot::channel();
        let waiter = Waiter { shared: &self.shared, id: command.id.clone() };
        self.shared.waiting().insert(command.id.clone(), told);
        self.send(&Message::Command(command)).await?;
        let reply = tokio::select! {
            biased;
            // First: a reply that came in the session's last moment has come.
            reply = tokio::time::timeout(wait, reply) => reply.map_err(|_| AskError::Silence(wait))?,
            () = self.shared.gone.cancelled() => return Err(Gone.into()),
        };
        drop(waiter);
        reply.map_err(|_| Gone.into())
    }

    /// Done when the session has ended.
    pub async fn gone(&self) {
        self.shared.gone.cancelled().await;
    }

    /// Whether the session has ended.
    pub fn is_gone(&self) -> bool {
        self.shared.gone.is_cancelled()
    }

    /// What the controller takes.
    pub fn limits(&self) -> Limits {
        self.shared.limits
    }

    /// Whether both are handles to the same session.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    async fn send(&self, message: &Message) -> Result<(), AskError> {
        let bytes = exchange::encode(message, &self.shared.limits)?;
        let (written, done) = oneshot::channel();
        tokio::select! {
            biased;
            // First: what was written in the session's last moment was written, and the peer may have read it.
            sent = async {
                self.out.send(Outgoing { bytes, written }).await.map_err(|_| Gone)?;
                done.await.map_err(|_| Gone)
            } => Ok(sent?),
            () = self.shared.gone.cancelled() => Err(Gone.into()),
        }
    }
}

impl SessionEnd {
    /// The next message to be written; `None` when no handle is left. What its sender has given up is passed over.
    pub async fn next(&mut self) -> Option<Outgoing> {
        loop {
            let outgoing = self.out.recv().await?;
            if !outgoing.is_given_up() {
                return Some(outgoing);
            }
        }
    }

    /// Hands a reply to whoever waits for it; `false` when nobody does.
    pub fn deliver(&self, reply: Reply) -> bool {
        let waiter = self.shared.waiting().remove(&reply.command_id);
        waiter.is_some_and(|waiter| waiter.send(reply).is_ok())
    }
}

impl Drop for SessionEnd {
    fn drop(&mut self) {
        self.shared.gone.cancel();
        self.shared.waiting().clear();
    }
}

impl Shared {
    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Reply>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a question when nobody waits for its reply any more.
struct Waiter<'a> {
    shared: &'a Shared,
    id: String,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.shared.waiting().remove(&self.id);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_gone() { "Session(gone)" } else { "Session" })
    }
}

//! A handle to one connection of the link, and the other end of that handle, which the connection's loop holds.
//!
//! The handle knows nothing of sockets: it hands encoded messages over a bounded channel and learns when the last
//! byte was written, so the agent is tested with [`pair`] alone.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{Notify, mpsc, oneshot},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::guard::Share;
use crate::exchange::{self, Command, EncodeError, Limits, Message, Reply};

/// Messages that may wait for the socket; whoever sends more waits.
const QUEUE: usize = 16;

/// A handle to one session. Cheap to clone; outlives the session, and then answers [`Gone`].
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
    out: mpsc::Sender<Outgoing>,
    /// The share of the command that this handle came with; given back with its last clone.
    _share: Option<Arc<Share>>,
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
    start: Start,
}

impl Outgoing {
    /// Whether nobody waits any more for it to be written: it must not be begun.
    pub fn is_given_up(&self) -> bool {
        self.written.is_closed() || self.start.is_given_up()
    }

    /// To be called before its first byte is handed on; `false`: its sender has given it up, and no byte of it may leave.
    pub fn begin(&self) -> bool {
        !self.written.is_closed() && self.start.settle(Start::BEGUN)
    }
}

/// Whether a message was begun or given up, whichever came first: its sender and the socket agree on it.
#[derive(Clone, Default)]
struct Start(Arc<AtomicU8>);

impl Start {
    const WAITS: u8 = 0;
    const BEGUN: u8 = 1;
    const GIVEN_UP: u8 = 2;

    /// Whether it is `as_what` from now on.
    fn settle(&self, as_what: u8) -> bool {
        self.0.compare_exchange(Self::WAITS, as_what, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) == Self::GIVEN_UP
    }
}

struct Shared {
    waiting: Mutex<HashMap<String, oneshot::Sender<Reply>>>,
    echoes: Mutex<Echoes>,
    /// An echo wants its ping.
    pings: Notify,
    gone: CancellationToken,
    limits: Limits,
}

/// The echoes that are waited for, by their number, which is their ping's payload.
#[derive(Default)]
struct Echoes {
    last: u64,
    waiting: BTreeMap<u64, oneshot::Sender<()>>,
}

/// The session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the session has ended")]
pub struct Gone;

/// Why a message was not sent, or got no reply.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The session ended, or the time was over, before a byte left: the other end has nothing of it.
    #[error(transparent)]
    Gone(#[from] Gone),
    /// The same, after it was begun: the other end may have all of it, or get it still.
    #[error("the session ended, or the time was over, while the message was on its way")]
    Torn,
    /// No reply in time.
    #[error("no reply in {0:?}")]
    Silence(Duration),
    /// The message is too long to be sent.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// A session and its loop's end.
pub fn pair(limits: Limits) -> (Session, SessionEnd) {
    let shared = Arc::new(Shared {
        waiting: Mutex::default(),
        echoes: Mutex::default(),
        pings: Notify::new(),
        gone: CancellationToken::new(),
        limits,
    });
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Session { shared: Arc::clone(&shared), out: sender, _share: None }, SessionEnd { shared, out: receiver })
}

impl Session {
    /// Sends `reply`; done when its last byte was handed to the socket. Dropped before it was begun, it is not sent.
    ///
    /// # Errors
    /// `Gone`: certainly nothing of it was sent. `Torn`: nobody can say. `Encode`: it is too long.
    pub async fn reply(&self, reply: Reply) -> Result<(), AskError> {
        self.send(&Message::Reply(reply), None).await
    }

    /// The same, given up when it is not written until `by`.
    pub async fn reply_by(&self, reply: Reply, by: Instant) -> Result<(), AskError> {
        self.send(&Message::Reply(reply), Some(by)).await
    }

    /// Sends `command` and waits at most `wait` for its reply, counted from when the socket has taken it.
    pub async fn ask(&self, command: Command, wait: Duration) -> Result<Reply, AskError> {
        let (told, reply) = oneshot::channel();
        let waiter = Waiter { shared: &self.shared, id: command.id.clone() };
        self.shared.waiting().insert(command.id.clone(), told);
        self.send(&Message::Command(command), None).await?;
        let reply = tokio::select! {
            biased;
            // First: a reply that came in the session's last moment has come.
            reply = tokio::time::timeout(wait, reply) => reply.map_err(|_| AskError::Silence(wait))?,
            () = self.shared.gone.cancelled() => return Err(Gone.into()),
        };
        drop(waiter);
        reply.map_err(|_| Gone.into())
    }

    /// A barrier: done when the other end has received everything that this session's socket had taken before the
    /// call, any reply whose [`Session::reply`] has returned above all. A ping with a payload of its own goes out, and
    /// its pong has come back: websocket and TCP keep the order. Whether the plane has *done* anything with what it
    /// received, it does not tell.
    ///
    /// A plane that sends other things and never a pong keeps this waiting while the session lives: put a time limit
    /// around it. Dropped, the future leaves nothing behind.
    pub async fn echo(&self) -> Result<(), Gone> {
        let (told, back) = oneshot::channel();
        let waiter = {
            let mut echoes = self.shared.echoes();
            echoes.last = echoes.last.wrapping_add(1);
            let number = echoes.last;
            echoes.waiting.insert(number, told);
            EchoWaiter { shared: &self.shared, number }
        };
        self.shared.pings.notify_one();
        let outcome = tokio::select! {
            biased;
            // First: what came back in the session's last moment came back.
            back = back => back.map_err(|_| Gone),
            () = self.shared.gone.cancelled() => Err(Gone),
        };
        drop(waiter);
        outcome
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

    /// The handle to be given out with one command, which takes up `share` while a clone of it lives.
    pub(super) fn with(&self, share: Share) -> Self {
        Self { _share: Some(Arc::new(share)), ..self.clone() }
    }

    /// The same session, for what goes on after the command that this handle came with was answered: it takes up none of
    /// the load.
    #[must_use]
    pub fn after_answer(self) -> Self {
        Self { _share: None, ..self }
    }

    async fn send(&self, message: &Message, by: Option<Instant>) -> Result<(), AskError> {
        let bytes = exchange::encode(message, &self.shared.limits)?;
        let (written, done) = oneshot::channel();
        let start = Start::default();
        let outgoing = Outgoing { bytes, written, start: start.clone() };
        let late = async {
            match by {
                Some(by) => sleep_until(by).await,
                None => std::future::pending().await,
            }
        };
        let sent = tokio::select! {
            biased;
            // First: what was written in the session's last moment was written, and the peer may have read it.
            sent = async {
                self.out.send(outgoing).await.map_err(|_| Gone)?;
                done.await.map_err(|_| Gone)
            } => sent,
            () = self.shared.gone.cancelled() => Err(Gone),
            () = late => Err(Gone),
        };
        // What is begun is not called back: it may lie in a buffer, and leave it with the session's farewell.
        sent.map_err(|gone| if start.settle(Start::GIVEN_UP) { gone.into() } else { AskError::Torn })
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

    /// The payload of the next ping that a [`Session::echo`] wants sent, after everything that was written before.
    /// Several echoes may share one. Owns what it needs: it borrows nothing from the end.
    pub fn next_ping(&self) -> impl Future<Output = Bytes> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            loop {
                shared.pings.notified().await;
                // Whoever wanted it may have gone.
                if let Some(payload) = shared.awaited() {
                    return payload;
                }
            }
        }
    }

    /// The payload of the youngest echo that is still waited for. A peer may answer only the last of several pings, so
    /// one that is sent meanwhile for another reason must carry it too.
    pub fn awaited(&self) -> Option<Bytes> {
        self.shared.awaited()
    }

    /// A pong with `payload` has come: tells the echo that it belongs to, and those before it. `false` when it is
    /// nobody's, as a heartbeat's is.
    pub fn echoed(&self, payload: &[u8]) -> bool {
        let Ok(number) = payload.try_into().map(u64::from_be_bytes) else { return false };
        let mut echoes = self.shared.echoes();
        if number > echoes.last {
            return false;
        }
        let later = echoes.waiting.split_off(&number.saturating_add(1));
        let settled = std::mem::replace(&mut echoes.waiting, later);
        drop(echoes);
        // All of them are told: no `any`.
        settled.into_values().filter_map(|waiter| waiter.send(()).ok()).count() > 0
    }
}

impl Drop for SessionEnd {
    fn drop(&mut self) {
        self.shared.gone.cancel();
        self.shared.waiting().clear();
        self.shared.echoes().waiting.clear();
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Reply>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn echoes(&self) -> MutexGuard<'_, Echoes> {
        self.echoes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn awaited(&self) -> Option<Bytes> {
        let echoes = self.echoes();
        echoes.waiting.last_key_value().map(|(number, _)| Bytes::copy_from_slice(&number.to_be_bytes()))
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

/// Forgets an echo when nobody waits for it any more.
struct EchoWaiter<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for EchoWaiter<'_> {
    fn drop(&mut self) {
        self.shared.echoes().waiting.remove(&self.number);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_gone() { "Session(gone)" } else { "Session" })
    }
}

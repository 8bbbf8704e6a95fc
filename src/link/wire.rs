//! One websocket, both directions at once: messages in as they come, messages out cut into frames, and when a byte
//! last moved. Knows frames, not what they say.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Sink as _, SinkExt as _, StreamExt as _};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::oneshot,
    time::Instant,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as WsError, Message,
        error::{CapacityError, ProtocolError},
        protocol::{
            CloseFrame,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

use super::{
    Outgoing,
    dial::{self, BoxStream},
};
use crate::{exchange::Limits, model::Error};

/// Answers that may wait for the socket before nothing more is read: a peer that asks and does not read.
const ANSWERS: usize = 256;

/// The same in bytes: an answer repeats the command's id, however long that is.
const ANSWER_BYTES: usize = 1 << 20;

/// A websocket.
pub(super) struct Wire {
    socket: WebSocketStream<Metered>,
    limits: Limits,
    /// The payload of a ping that is to be sent.
    ping: Option<Bytes>,
    answers: VecDeque<Bytes>,
    /// Bytes in `answers`.
    answer_bytes: usize,
    /// The message that is written after the current one.
    following: Option<Outgoing>,
    current: Option<Cut>,
    /// Whom to tell after the next flush.
    finished: Option<oneshot::Sender<()>>,
    /// Since when something waits to be written.
    busy: Option<Instant>,
    unflushed: bool,
    has_room: bool,
}

/// What has come in.
#[derive(Debug)]
pub(super) enum Event {
    /// A binary message.
    Message(Bytes),
    /// A text message: never right in this protocol.
    Text,
    /// A ping: answered already.
    Beat,
    /// A pong, and its payload.
    Pong(Bytes),
    /// The message handed to [`Wire::send`] is on its way: there is room for another.
    Room,
    /// The peer closed, with its code and reason.
    Closed(Option<(u16, String)>),
}

/// A message on its way out. The link's own answers tell nobody.
struct Cut {
    rest: Bytes,
    begun: bool,
    written: Option<oneshot::Sender<()>>,
}

impl Wire {
    pub(super) fn new(socket: WebSocketStream<Metered>, limits: Limits) -> Self {
        Self {
            socket,
            limits,
            ping: None,
            answers: VecDeque::new(),
            answer_bytes: 0,
            following: None,
            current: None,
            finished: None,
            busy: None,
            unflushed: false,
            has_room: false,
        }
    }

    /// Whether [`Wire::send`] may be called.
    pub(super) fn has_room(&self) -> bool {
        self.following.is_none()
    }

    /// Begins to write a message; [`Wire::next`] does the work.
    pub(super) fn send(&mut self, outgoing: Outgoing) {
        self.following = Some(outgoing);
        self.wants_to_write();
    }

    /// The link's own answer: it goes out before the next message, never inside one.
    pub(super) fn answer(&mut self, bytes: Vec<u8>) {
        self.answer_bytes = self.answer_bytes.saturating_add(bytes.len());
        self.answers.push_back(bytes.into());
        self.wants_to_write();
    }

    /// A ping: goes out between two frames, after all that was told to be written. Takes the place of one that has not
    /// gone out yet.
    pub(super) fn ping(&mut self, payload: Bytes) {
        self.ping = Some(payload);
        self.wants_to_write();
    }

    /// When this socket counts as dead, if nothing moves until then.
    pub(super) fn dies_at(&self, silence: Duration) -> Instant {
        let meter = self.socket.get_ref();
        let silent = meter.heard + silence;
        self.busy.map_or(silent, |busy| silent.min(busy.max(meter.told) + silence))
    }

    /// Whether it is our writing that does not get on, rather than the peer that is silent.
    pub(super) fn is_stalled(&self, silence: Duration) -> bool {
        let told = self.socket.get_ref().told;
        self.busy.is_some_and(|busy| busy.max(told) + silence <= Instant::now())
    }

    /// What comes next. Writes while it waits. Nothing is lost when it is dropped.
    pub(super) async fn next(&mut self) -> Result<Event, Error> {
        poll_fn(|context| self.poll(context)).await
    }

    /// Closes with `code`, and waits at most `grace` for the peer to have heard it.
    pub(super) async fn close(mut self, code: u16, grace: Duration) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
        let farewell = async {
            // Refused where the peer has closed first: then reading sends the answer to its close.
            let _ = self.socket.send(Message::Close(Some(frame))).await;
            while let Some(Ok(_)) = self.socket.next().await {}
        };
        // Whoever does not answer is left standing: the connection ends with `self`.
        let _ = tokio::time::timeout(grace, farewell).await;
    }

    fn wants_to_write(&mut self) {
        self.busy.get_or_insert_with(Instant::now);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        // Both directions are driven every time: a peer that writes and does not read must not hold us up, nor one
        // that reads and does not write.
        let failed = match self.poll_write(context) {
            Poll::Ready(Err(error)) => Some(sentence(&error)),
            _ => None,
        };
        let has_room = self.answers.len() < ANSWERS && self.answer_bytes < ANSWER_BYTES;
        if (failed.is_some() || has_room)
            && let Poll::Ready(read) = self.socket.poll_next_unpin(context)
        {
            // What the peer said before it went, its close above all, says more than that we cannot write.
            return Poll::Ready(match read {
                Some(Ok(message)) => Ok(event(message)),
                Some(Err(error)) => Err(sentence(&error)),
                None => Ok(Event::Closed(None)),
            });
        }
        if let Some(error) = failed {
            return Poll::Ready(Err(error));
        }
        if std::mem::take(&mut self.has_room) { Poll::Ready(Ok(Event::Room)) } else { Poll::Pending }
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WsError>> {
        loop {
            ready!(Pin::new(&mut self.socket).poll_ready(context))?;
            if let Some(message) = self.next_frame() {
                Pin::new(&mut self.socket).start_send(message)?;
                self.unflushed = true;
                // The flush before has told that all was written, also when this one waited behind it.
                self.wants_to_write();
            } else if self.unflushed {
                ready!(Pin::new(&mut self.socket).poll_flush(context))?;
                self.unflushed = false;
                self.busy = None;
                if let Some(written) = self.finished.take() {
                    // Whoever sent it may have gone.
                    let _ = written.send(());
                }
            } else {
                // Also where the message that waited was given up.
                self.busy = None;
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Pings go between frames; answers between messages, before the next one.
    fn next_frame(&mut self) -> Option<Message> {
        if let Some(payload) = self.ping.take() {
            return Some(Message::Ping(payload));
        }
        // The message before is flushed, and told of, first.
        if self.finished.is_some() {
            return None;
        }
        if self.current.is_none() {
            self.current = self.next_message();
        }
        let current = self.current.as_mut()?;
        let frame = current.rest.split_to(current.rest.len().min(self.limits.frame.max(1)));
        let kind = if current.begun { Data::Continue } else { Data::Binary };
        current.begun = true;
        let last = current.rest.is_empty();
        if last {
            self.finished = self.current.take().and_then(|cut| cut.written);
        }
        Some(Message::Frame(Frame::message(frame, OpCode::Data(kind), last)))
    }

    fn next_message(&mut self) -> Option<Cut> {
        if let Some(rest) = self.answers.pop_front() {
            self.answer_bytes = self.answer_bytes.saturating_sub(rest.len());
            return Some(Cut { rest, begun: false, written: None });
        }
        let outgoing = self.following.take()?;
        self.has_room = true;
        if !outgoing.begin() {
            return None;
        }
        let Outgoing { bytes, written, .. } = outgoing;
        Some(Cut { rest: bytes.into(), begun: false, written: Some(written) })
    }
}

fn event(message: Message) -> Event {
    match message {
        Message::Binary(bytes) => Event::Message(bytes),
        Message::Text(_) => Event::Text,
        Message::Ping(_) | Message::Frame(_) => Event::Beat,
        Message::Pong(payload) => Event::Pong(payload),
        Message::Close(frame) => Event::Closed(frame.map(|frame| (frame.code.into(), frame.reason.to_string()))),
    }
}

fn sentence(error: &WsError) -> Error {
    Error::unavailable(match error {
        WsError::Io(error) if !is_cut(error.kind()) => {
            format!("the connection to the plane broke: {}", dial::words(error.kind()))
        }
        WsError::Io(_) | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            "the connection to the plane was cut without a close frame; a proxy or an ingress with an idle time-out \
             does that, and so does a plane that is killed"
                .to_owned()
        }
        WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => format!(
            "the plane sent a message of {size} bytes and {max_size} are accepted; raise \
             gravitee_integration_connector_ws_maxWebSocketMessageSize"
        ),
        other => format!("the plane broke the websocket protocol: {other}"),
    })
}

/// The ways in which the system says that the other end has gone.
fn is_cut(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(kind, BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// A stream that knows when a byte last moved, in either direction.
pub(super) struct Metered {
    stream: BoxStream,
    heard: Instant,
    told: Instant,
}

impl Metered {
    pub(super) fn new(stream: BoxStream) -> Self {
        let now = Instant::now();
        Self { stream, heard: now, told: now }
    }
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, into);
        if into.filled().len() > before {
            self.heard = Instant::now();
        }
        read
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.told = Instant::now();
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

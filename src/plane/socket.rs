//! The websocket of one connection: frames out, messages in, and ways to do it wrong.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self,
        protocol::{
            CloseFrame, Role, WebSocketConfig,
            frame::{
                Frame,
                coding::{CloseCode, Data, OpCode},
            },
        },
    },
};

use crate::exchange::{self, Limits};

/// How long the other side may take to answer a close frame.
const CLOSING: Duration = Duration::from_secs(5);
/// Times the message limit. What is between the two is read and swallowed, and the session goes on.
const SWALLOW: usize = 8;

pub(super) struct Socket {
    stream: WebSocketStream<TokioIo<Upgraded>>,
    limits: Limits,
}

impl Socket {
    pub(super) async fn new(upgraded: Upgraded, limits: Limits) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .max_frame_size(Some(limits.frame))
            .max_message_size(Some(limits.message.saturating_mul(SWALLOW)));
        let stream = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
        Self { stream, limits }
    }

    /// The next message; `None` when the connection has ended. Nothing is lost when it is not waited for to the end.
    pub(super) async fn next(&mut self) -> Option<Result<tungstenite::Message, tungstenite::Error>> {
        self.stream.next().await
    }

    /// Sends a message, in as many frames as it needs.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<(), tungstenite::Error> {
        let mut frames = exchange::frames(bytes, &self.limits).peekable();
        let mut kind = Data::Binary;
        while let Some(payload) = frames.next() {
            let payload = Bytes::copy_from_slice(payload);
            let frame = Frame::message(payload, OpCode::Data(kind), frames.peek().is_none());
            kind = Data::Continue;
            self.stream.feed(tungstenite::Message::Frame(frame)).await?;
        }
        self.stream.flush().await
    }

    pub(super) async fn ping(&mut self) -> Result<(), tungstenite::Error> {
        self.stream.send(tungstenite::Message::Ping(Bytes::new())).await
    }

    /// Closes, and waits for the other side to close too.
    pub(super) async fn close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        if self.stream.close(Some(frame)).await.is_ok() {
            self.drain().await;
        }
    }

    /// Reads until the connection is closed, that close frames may pass each other.
    pub(super) async fn drain(&mut self) {
        let rest = async { while let Some(Ok(_)) = self.stream.next().await {} };
        _ = tokio::time::timeout(CLOSING, rest).await;
    }

    /// Begins a frame that nobody will end.
    pub(super) async fn begin_frame(&mut self) {
        // A final binary frame of 4,096 bytes, of which eight come.
        let begun = [0x82, 126, 0x10, 0x00, b't', b':', b'C', b'O', b'M', b'M', b'A', b'N'];
        let stream = self.stream.get_mut();
        if stream.write_all(&begun).await.is_ok() {
            _ = stream.flush().await;
        }
    }

    /// Takes bytes and does nothing with them, until the other side has gone.
    pub(super) async fn ignore(&mut self) {
        let mut unread = [0; 4096];
        while matches!(self.stream.get_mut().read(&mut unread).await, Ok(1..)) {}
    }
}

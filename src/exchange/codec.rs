//! Messages to bytes and back.

use super::Message;

/// How much the controller takes. A longer frame drops the connection; a longer message is swallowed silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest payload of one websocket frame, in bytes (`connector.ws.maxWebSocketFrameSize`).
    pub frame: usize,
    /// The largest message, in bytes (`connector.ws.maxWebSocketMessageSize`).
    pub message: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { frame: 65_536, message: 13_107_200 }
    }
}

/// Why a message cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// It would be swallowed without a word.
    #[error("the message is {len} bytes long and the controller takes {limit} at most")]
    TooLong {
        /// Its length, in bytes.
        len: usize,
        /// [`Limits::message`].
        limit: usize,
    },
}

/// Why bytes are not a message.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No field `t`, or neither COMMAND nor REPLY: the peer closes with 1002.
    #[error("neither a command nor a reply")]
    NotAMessage,
    /// The JSON is cut or not JSON: no reply, no close, the session goes on.
    #[error("unreadable JSON: {0}")]
    Json(String),
}

/// The bytes of `message`; refused when they are more than `limits` allow.
pub fn encode(message: &Message, limits: &Limits) -> Result<Vec<u8>, EncodeError> {
    let _ = (message, limits);
    todo!("exchange")
}

/// The message in `bytes`.
pub fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
    let _ = bytes;
    todo!("exchange")
}

/// `encoded` cut into the payloads of websocket frames; at least one.
pub fn frames<'a>(encoded: &'a [u8], limits: &Limits) -> impl Iterator<Item = &'a [u8]> {
    encoded.chunks(limits.frame.max(1))
}

//! Messages to bytes and back: `t:COMMAND;;et:HELLO;;e:{…}`.

use std::io;

use serde::Serialize;

use super::{
    Message,
    wire::{read, write},
};

/// What stands between the fields of a message.
pub(super) const SEPARATOR: &[u8] = b";;";

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
///
/// Nowhere in the JSON do two `;` stand side by side: controllers before exchange 2.0.2 would cut it there.
pub fn encode(message: &Message, limits: &Limits) -> Result<Vec<u8>, EncodeError> {
    let (kind, apis) = match message {
        Message::Command(command) => (
            command.body.kind(),
            match &command.body {
                super::CommandBody::Ingest { apis, .. } => apis.iter().map(|api| api.len() + 1).sum(),
                _ => 0,
            },
        ),
        Message::Reply(reply) => (write::reply_kind(&reply.body), 0),
    };
    let mut bytes = Vec::with_capacity(apis + 256);
    bytes.extend_from_slice(match message {
        Message::Command(_) => b"t:COMMAND;;et:",
        Message::Reply(_) => b"t:REPLY;;et:",
    });
    // A type of the protocol has no `;`; one that somebody made up must not end the field.
    bytes.extend(kind.bytes().filter(|&byte| byte != b';'));
    bytes.extend_from_slice(b";;e:");
    write_json(&mut bytes, &write::Message::from(message));
    match bytes.len() {
        len if len > limits.message => Err(EncodeError::TooLong { len, limit: limits.message }),
        _ => Ok(bytes),
    }
}

/// The message in `bytes`. Fields may stand in any order; the first one that starts with `e:` is the last: what follows
/// is its JSON, `;;` or not.
///
/// A command whose JSON is whole keeps its id, however odd the rest: it becomes `CommandBody::Unknown` and can be
/// answered. An unreadable payload of a *reply* that matters is [`DecodeError::Json`]: nobody could be told.
pub fn decode(bytes: &[u8]) -> Result<Message, DecodeError> {
    let Fields { kind, named, json } = Fields::of(bytes);
    let kind = match kind {
        Some(b"COMMAND") => Kind::Command,
        Some(b"REPLY") => Kind::Reply,
        _ => return Err(DecodeError::NotAMessage),
    };
    let json = String::from_utf8_lossy(json.ok_or_else(|| DecodeError::Json("there is none".into()))?);
    let named = String::from_utf8_lossy(named.unwrap_or_default());
    let envelope = read::Envelope::of(&json).map_err(DecodeError::Json)?;
    Ok(match kind {
        Kind::Command => Message::Command(envelope.command(&named)),
        Kind::Reply => Message::Reply(envelope.reply(&named).map_err(DecodeError::Json)?),
    })
}

/// `encoded` cut into the payloads of websocket frames; at least one. Cuts may fall inside a character: only the whole
/// is text.
pub fn frames<'a>(encoded: &'a [u8], limits: &Limits) -> impl Iterator<Item = &'a [u8]> {
    let empty = encoded.is_empty().then_some(encoded);
    empty.into_iter().chain(encoded.chunks(limits.frame.max(1)))
}

/// Writes `value` as JSON behind what stands in `bytes`, with no `;;` in it.
pub(super) fn write_json(bytes: &mut Vec<u8>, value: &impl Serialize) {
    serde_json::to_writer(Apart(bytes), value).expect("names are texts and no number is infinite: it can be written");
}

/// Keeps semicolons apart: one that would follow another is written as its escape. In JSON they stand in strings only,
/// so the meaning stays the same. Looks at what was written before, so a pair in two writes is seen too.
struct Apart<'a>(&'a mut Vec<u8>);

impl io::Write for Apart<'_> {
    fn write(&mut self, json: &[u8]) -> io::Result<usize> {
        let mut rest = json;
        while let Some(at) = memchr::memchr(b';', rest) {
            self.0.extend_from_slice(&rest[..at]);
            self.0.extend_from_slice(if self.0.last() == Some(&b';') { b"\\u003b" } else { b";" });
            rest = &rest[at + 1..];
        }
        self.0.extend_from_slice(rest);
        Ok(json.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Kind {
    Command,
    Reply,
}

/// The fields of a message, as far as they are known.
struct Fields<'a> {
    kind: Option<&'a [u8]>,
    named: Option<&'a [u8]>,
    json: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn of(mut bytes: &'a [u8]) -> Self {
        let mut fields = Self { kind: None, named: None, json: None };
        loop {
            if let Some(json) = bytes.strip_prefix(b"e:") {
                fields.json = Some(json);
                return fields;
            }
            let end = memchr::memmem::find(bytes, SEPARATOR);
            let field = &bytes[..end.unwrap_or(bytes.len())];
            if let Some(kind) = field.strip_prefix(b"t:") {
                fields.kind.get_or_insert(kind);
            } else if let Some(named) = field.strip_prefix(b"et:") {
                fields.named.get_or_insert(named);
            }
            let Some(end) = end else { return fields };
            bytes = &bytes[end + SEPARATOR.len()..];
        }
    }
}

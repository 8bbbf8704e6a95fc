//! The wire format of Gravitee's exchange protocol, v1, both directions: messages and their bytes. No I/O, no clock.
//!
//! One message is `t:COMMAND;;et:HELLO;;e:{…}`, binary. See `docs/protocol.md`.

mod codec;
mod encoded;
mod message;
mod wire;

#[cfg(test)]
mod tests;

pub use codec::{DecodeError, EncodeError, Limits, decode, encode, frames};
pub use encoded::EncodedApi;
pub use message::{Command, CommandBody, Discovered, Message, Reply, ReplyBody, StartedIngest, Status, Subscribed};

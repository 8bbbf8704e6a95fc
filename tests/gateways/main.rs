//! Gateways that fail beside others that work, crowds of commands, and credentials that change: the real binary over
//! real sockets.

mod apart;
mod crowd;
mod odd;
mod rotation;
#[expect(dead_code, reason = "the other tests use all of it")]
#[path = "../support/mod.rs"]
mod support;

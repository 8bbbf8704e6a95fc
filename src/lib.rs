//! The federation agent: stands beside an API gateway, holds one outbound websocket to a management plane's
//! integration controller, and discovers, hands over and governs the gateway's APIs.
//!
//! The rooms, from the top floor down; each may use what lies below it, never what lies above or beside it:
//!
//! | room | what it knows |
//! | --- | --- |
//! | [`cli`] | one file a command; only here are things wired together |
//! | [`agent`] | what a command of the plane means: deadlines, batches, undoing |
//! | [`journal`] | what is being done to grants, on the disk before it is done |
//! | [`link`] | the websocket: dial, session, reconnect; messages, not their meaning |
//! | [`provider`] | one gateway each, behind one trait; nothing of websockets or planes |
//! | [`exchange`] | the wire format: messages and their bytes; no I/O, no clock |
//! | [`kubernetes`] | secrets that settings refer to, asked of the cluster's API |
//! | [`settings`] | environment to checked, typed settings |
//! | [`model`] | API, plan, document, grant, error classes: plain data |
//! | [`observe`] | logs, health; anybody may record, only `cli::run` serves |
//! | [`plane`], [`standin`] | the two other ends, of our own, for the demo and the tests |

pub mod agent;
pub mod cli;
pub mod exchange;
mod faultpoint;
pub mod journal;
pub mod kubernetes;
pub mod link;
pub mod model;
pub mod observe;
pub mod plane;
pub mod provider;
pub mod settings;
pub mod standin;

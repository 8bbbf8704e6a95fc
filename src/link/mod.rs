//! The websocket to the controller: dial, session, reconnect. Knows messages, not what they mean.

mod session;

pub use session::{AskError, Gone, Outgoing, Session, SessionEnd, pair};

use std::{sync::Arc, time::SystemTime};

use crate::exchange::Command;

/// Who takes the plane's commands. HELLO, HEALTH_CHECK, PRIMARY and GOOD_BYE never reach it: the link answers them.
pub trait Receiver: Send + Sync + 'static {
    /// `command` has come in on `session`. Must return at once: work is spawned.
    fn command(self: Arc<Self>, command: Command, session: Session);
}

/// Where the link stands; watched by whoever needs a session and by `/readyz`.
#[derive(Debug, Clone)]
pub enum State {
    /// Dialling, upgrading or saying HELLO.
    Connecting {
        /// Which endpoint.
        endpoint: String,
    },
    /// HELLO has been answered; the console shows *Connected*.
    Connected {
        /// Since when.
        since: SystemTime,
        /// The session.
        session: Session,
    },
    /// Between two tries.
    Waiting {
        /// Since when it has not been connected.
        since: SystemTime,
        /// Why the last try or session ended, for a person.
        why: String,
    },
    /// Told to stay away; alive and saying so.
    Away {
        /// Since when.
        since: SystemTime,
    },
    /// Shut down.
    Closed,
}

//! What a plane can be made to do wrong, so that the other end can be seen to bear it.

/// How a connection is treated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// As the real controller treats it.
    #[default]
    Faithful,
    /// The upgrade is answered with this and the connection is not a websocket.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Headers beside it: `Retry-After`.
        headers: Vec<(String, String)>,
    },
    /// As the real controller, with a clock that is off by so many seconds: `Date` of the upgrade's answer tells.
    Clock(i64),
    /// The upgrade is never answered.
    NoAnswer,
    /// The connection is dropped in place of an answer to the upgrade.
    HangUp,
    /// Upgraded, then neither read nor written: not even a pong comes.
    Mute,
    /// Upgraded and closed at once with this code.
    Close(u16),
    /// Upgraded and dropped at once, with no close frame.
    Drop,
    /// HELLO is never answered; pings are.
    IgnoreHello,
    /// HELLO is answered with ERROR and this text; GOOD_BYE with `reconnect: true` follows, as it does.
    RefuseHello(String),
    /// HELLO is answered, then nothing is read or written any more. The session counts as connected.
    MuteAfterHello,
    /// HELLO is answered, then a frame begins and the connection is dropped in the midst of it.
    CutAfterHello,
    /// HELLO is answered, and the connection is closed at once with this code.
    CloseAfterHello(u16),
}

/// What a plane has seen since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Upgrades asked for, granted or not.
    pub upgrades: usize,
    /// HELLO commands, refused ones too.
    pub hellos: usize,
    /// Replies to HEALTH_CHECK.
    pub health_checks: usize,
    /// Replies to PRIMARY.
    pub primaries: usize,
    /// Websocket pings.
    pub pings: usize,
    /// Websocket pongs.
    pub pongs: usize,
    /// Messages lost without a word: too long, cut, or not understood; and replies that nobody waited for.
    pub lost: usize,
}

/// How a connection that had been upgraded ended by the connector's doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The integration, once HELLO has succeeded.
    pub integration: Option<String>,
    /// The code of its close frame; `None` when there was no close frame.
    pub code: Option<u16>,
}

//! What the link lets through to the agent, and how the plane's texts are shown: a plane may be broken, or not the one it
//! should be.

use std::{
    borrow::Cow,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    exchange::{Command, CommandBody},
    model::is_plain,
};

/// Commands that the agent has and whose replies are not with the socket yet. More than its lanes take, so that in the
/// end it is its own sentence that a plane in a hurry gets.
pub(super) const COMMANDS: usize = 512;

/// The bytes of all of them together; never less than the longest message.
pub(super) const BYTES: usize = 32 << 20;

/// The longest id, in bytes. The controller's are UUIDs, ours of APIs have some 60, and every one is written to the log.
const ID: usize = 1_024;

/// The most that is shown of a text of the plane's, in letters.
const SHOWN: usize = 300;

/// How often it is said that too much is under way.
const REMINDER: Duration = Duration::from_secs(10);

/// How much the agent has to do, over all sessions of a link.
pub(super) struct Load {
    commands: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    said: Mutex<Option<Instant>>,
}

/// One command's share of the load; dropped when the command has been answered.
pub(super) struct Share {
    _command: OwnedSemaphorePermit,
    _bytes: OwnedSemaphorePermit,
}

impl Load {
    /// For messages of at most `longest` bytes.
    pub(super) fn new(longest: usize) -> Self {
        let bytes = BYTES.max(longest).min(Semaphore::MAX_PERMITS);
        Self {
            commands: Arc::new(Semaphore::new(COMMANDS)),
            bytes: Arc::new(Semaphore::new(bytes)),
            said: Mutex::default(),
        }
    }

    /// A share for a command of `len` bytes; `None` when too much is under way.
    pub(super) fn share(&self, len: usize) -> Option<Share> {
        let command = Arc::clone(&self.commands).try_acquire_owned().ok()?;
        let bytes = Arc::clone(&self.bytes).try_acquire_many_owned(u32::try_from(len).ok()?).ok()?;
        Some(Share { _command: command, _bytes: bytes })
    }

    /// Whether it is time to say that a command was turned away.
    pub(super) fn is_news(&self) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let news = said.is_none_or(|said| said.elapsed() >= REMINDER);
        if news {
            *said = Some(Instant::now());
        }
        news
    }
}

/// Why `command` cannot be the agent's: an id that no plane gives.
pub(super) fn odd(command: &Command) -> Option<&'static str> {
    let ids: [&str; 3] = match &command.body {
        CommandBody::Subscribe { api_id, subscription } | CommandBody::Unsubscribe { api_id, subscription } => {
            [&command.id, api_id, &subscription.id]
        }
        CommandBody::StartIngest { job_id, .. } => [&command.id, job_id, ""],
        _ => [&command.id, "", ""],
    };
    let more: &[String] = match &command.body {
        CommandBody::StartIngest { api_ids, .. } => api_ids,
        _ => &[],
    };
    let is_odd = |id: &str| id.len() > ID || id.contains(char::is_control);
    (ids.into_iter().any(is_odd) || more.iter().any(|id| is_odd(id)))
        .then_some("an id in it is longer than 1,024 bytes or holds control characters; nothing was done")
}

/// A text of the plane's as it is put into a sentence: nothing that leaves its line or turns it round, and not too long.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN && text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for letter in text.chars().take(SHOWN) {
        if is_plain(letter) {
            shown.push(letter);
        } else {
            shown.extend(letter.escape_default());
        }
    }
    let left = text.chars().count().saturating_sub(SHOWN);
    if left > 0 {
        // Writing to a text does not fail.
        let _ = write!(shown, "… ({left} letters more)");
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_shown_without_control_characters_and_cut() {
        assert_eq!(shown("plain: é"), "plain: é");
        assert_eq!(shown("a\r\n\u{1b}[31mred\u{85}"), "a\\r\\n\\u{1b}[31mred\\u{85}");
        assert_eq!(shown("a\u{202e}b"), "a\\u{202e}b");
        let long = shown(&"é".repeat(10_000)).into_owned();
        assert!(long.ends_with("é… (9700 letters more)"), "{long}");
        assert!(long.chars().count() < 330);
    }

    #[test]
    fn a_share_comes_back_when_it_is_dropped() {
        let load = Load::new(100);
        let shares: Vec<_> = (0..COMMANDS).map_while(|_| load.share(10)).collect();
        assert_eq!(shares.len(), COMMANDS);
        assert!(load.share(10).is_none());
        drop(shares);
        let whole = load.share(BYTES).expect("room");
        assert!(load.share(1).is_none());
        drop(whole);
        assert!(load.share(1).is_some());
        assert!(Load::new(2 * BYTES).share(2 * BYTES).is_some(), "the longest message always fits");
    }
}

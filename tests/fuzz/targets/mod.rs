//! What is fuzzed: every reader of bytes from outside, each with what must hold for any input. A target that returns
//! is content; one that panics has found something.

mod exchange;
mod gateway;
mod journal;
mod link;
mod places;
mod settings;
mod stores;

use federation_agent::model::Error;

/// One reader.
pub(crate) struct Target {
    /// Its name, and its folder in the corpus.
    pub(crate) name: &'static str,
    /// Reads the bytes.
    pub(crate) run: fn(&[u8]),
}

/// Every reader of bytes from outside.
pub(crate) static TARGETS: &[Target] = &[
    Target { name: "exchange", run: exchange::run },
    Target { name: "frames", run: link::frames },
    Target { name: "upgrade", run: link::upgrade },
    Target { name: "tunnel", run: link::tunnel },
    Target { name: "stores", run: stores::run },
    Target { name: "settings", run: settings::run },
    Target { name: "places", run: places::run },
    Target { name: "gateway", run: gateway::run },
    Target { name: "journal", run: journal::run },
];

/// Stands in every secret that a target gives to the agent.
const MARK: &str = "hunter2";

/// Whether `input` holds the mark itself: then its coming out proves nothing.
fn is_marked(input: &[u8]) -> bool {
    memchr::memmem::find(input, MARK.as_bytes()).is_some()
}

/// What is said to a person is a line of bounded length and gives no secret away.
#[track_caller]
fn sound(input: &[u8], said: &str) {
    assert!(said.len() <= 4_096, "{} bytes are said: {}…", said.len(), said.chars().take(200).collect::<String>());
    assert!(!said.chars().any(char::is_control), "a control character is said: {said:?}");
    assert!(is_marked(input) || !said.contains(MARK), "a secret is said: {said}");
}

/// The same for an error and all that it says of its cause.
#[track_caller]
fn sound_error(input: &[u8], error: &Error) {
    sound(input, error.sentence());
    sound(input, &format!("{error:?}"));
}

/// Runs `work` on a runtime of its own with paused time: whoever waits, waits for nothing.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}

//! Places at which a test stops the process, to kill it exactly there. In a release build there are none.

/// The variable that names the point to stop at: `journal:made:before`, `call:CreateApiKey:after`; with `#2` behind it,
/// at the second time.
#[cfg(debug_assertions)]
const VARIABLE: &str = "FEDERATION_AGENT_TEST_FAULT_POINT";

/// Stops here for ever, telling so on stderr, when this point was named; else nothing.
#[cfg(debug_assertions)]
pub(crate) async fn reached(point: &str) {
    if is_named(point) {
        std::future::pending::<()>().await;
    }
}

/// The same where a thread may block.
#[cfg(debug_assertions)]
pub(crate) fn reached_by_thread(point: &str) {
    if is_named(point) {
        loop {
            std::thread::park();
        }
    }
}

/// Whether to stop at `point` now; then it is told on stderr.
#[cfg(debug_assertions)]
fn is_named(point: &str) -> bool {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    };
    #[expect(clippy::disallowed_methods, reason = "no setting: there is no such thing in a release build")]
    static NAMED: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let text = std::env::var(VARIABLE).ok()?;
        let (name, time) = text.split_once('#').unwrap_or((&text, "1"));
        Some((name.to_owned(), time.parse().unwrap_or(1)))
    });
    static TIMES: AtomicU32 = AtomicU32::new(0);
    let Some((name, time)) = &*NAMED else { return false };
    let now = name == point && TIMES.fetch_add(1, Ordering::SeqCst) + 1 == *time;
    if now {
        eprintln!("stopped at fault point {point}");
    }
    now
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[expect(clippy::unused_async, reason = "as in a debug build")]
pub(crate) async fn reached(_: &str) {}

/// Nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn reached_by_thread(_: &str) {}

//! Places at which a test stops the process, to kill it exactly there. In a release build there are none.

/// The variable that names the point to stop at: `journal:made:before`, `call:CreateApiKey:after`; with `#2` behind it,
/// at the second time.
#[cfg(debug_assertions)]
const VARIABLE: &str = "FEDERATION_AGENT_TEST_FAULT_POINT";

/// Stops here for ever, telling so on stderr, when this point was named; else nothing.
#[cfg(debug_assertions)]
pub(crate) async fn reached(point: &str) {
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
    let Some((name, time)) = &*NAMED else { return };
    if name == point && TIMES.fetch_add(1, Ordering::SeqCst) + 1 == *time {
        eprintln!("stopped at fault point {point}");
        std::future::pending::<()>().await;
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[expect(clippy::unused_async, reason = "as in a debug build")]
pub(crate) async fn reached(_: &str) {}

//! What Kubernetes does with the three probes of Gravitee's chart, in the length of second that the test gives it.
//!
//! The figures are the chart's (4.10.7): all three ask `GET /_node/health`. Kubernetes gives an answer 1 s where a chart
//! says nothing; a status of 200 to 399 is a success.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// One probe: seconds before the first question and between two, and how many failures in a row count.
pub(crate) struct Probe {
    initial: u32,
    period: u32,
    failures: u32,
}

const STARTUP: Probe = Probe { initial: 10, period: 10, failures: 29 };
const READINESS: Probe = Probe { initial: 10, period: 2, failures: 2 };
const LIVENESS: Probe = Probe { initial: 15, period: 2, failures: 3 };

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Which probe had the container restarted.
    pub(crate) restart: Option<&'static str>,
    /// How often the container became unready.
    pub(crate) unready: u32,
    /// How many questions were answered well.
    pub(crate) well: u32,
}

/// Probes by `ask`, which says whether the answer was a success, until `over` or a restart. A second is `second` long, and
/// an answer may take `patience`.
pub(crate) async fn watch(
    second: Duration,
    patience: Duration,
    ask: impl AsyncFn() -> bool,
    over: impl Future<Output = ()>,
) -> Seen {
    let mut seen = Seen::default();
    tokio::select! {
        restart = probe(second, patience, &ask, &mut seen) => seen.restart = Some(restart),
        () = over => {}
    }
    seen
}

/// Ends with the name of the probe that has the container restarted.
async fn probe(second: Duration, patience: Duration, ask: &impl AsyncFn() -> bool, seen: &mut Seen) -> &'static str {
    let one = async || timeout(patience, ask()).await.unwrap_or(false);
    sleep(second * STARTUP.initial).await;
    let mut failed = 0;
    while !one().await {
        failed += 1;
        if failed == STARTUP.failures {
            return "startup";
        }
        sleep(second * STARTUP.period).await;
    }
    seen.well += 1;
    // Both have begun with the container.
    let begun = STARTUP.initial + failed * STARTUP.period;
    sleep(second * READINESS.initial.max(LIVENESS.initial).saturating_sub(begun)).await;
    let (mut unready, mut dead) = (0, 0);
    loop {
        // Their periods are the same, so that they ask in turn.
        if one().await {
            (seen.well, unready) = (seen.well + 1, 0);
        } else {
            unready += 1;
            seen.unready += u32::from(unready == READINESS.failures);
        }
        if one().await {
            (seen.well, dead) = (seen.well + 1, 0);
        } else {
            dead += 1;
            if dead == LIVENESS.failures {
                return "liveness";
            }
        }
        sleep(second * LIVENESS.period).await;
    }
}

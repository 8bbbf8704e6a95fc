//! The check at the start of `run`, when `FEDERATION_AGENT_CHECK` asks for it: before the links connect, so that what is
//! wrong is said, or ends the start, before the plane shows anything.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{exit::Stop, gateways::Ready},
    QUEUE, Told,
    round::Round,
    teller::{summary, words},
};
use crate::{
    model::line,
    provider::{Finding, Verdict},
    settings::StartCheck,
};

/// How long it may take. What is not done by then is told as such.
const PATIENCE: Duration = Duration::from_mins(1);

/// The gateways end so long before, so that what they found is told.
const MARGIN: Duration = Duration::from_secs(5);

/// Makes it, unless it is off. HELLO is not said: the plane would show the integration as connected, and then as another
/// agent's a moment later.
///
/// # Errors
/// `require`, and something is broken or was not done in time.
pub(in super::super) async fn at_start(ready: &Ready, cancel: &CancellationToken) -> Result<(), Stop> {
    let mode = ready.process.start_check;
    if mode == StartCheck::Off {
        return Ok(());
    }
    tracing::info!(
        "checking everything before connecting (FEDERATION_AGENT_CHECK), for {} s at most",
        PATIENCE.as_secs()
    );
    let begun = Instant::now();
    let mut round = Round::new(ready, false, cancel.clone());
    round.deadline = begun + PATIENCE - MARGIN;
    let (tell, mut told) = mpsc::channel(QUEUE);
    let mut count = Count::default();
    let listening = async {
        while let Some(told) = told.recv().await {
            if let Told::Finding { about, finding } = told {
                count.tell(&about, &finding, mode);
            }
        }
    };
    let whole = async { tokio::join!(round.go(tell), listening) };
    if timeout_at(begun + PATIENCE, whole).await.is_err() {
        let says =
            format!("not everything was tried within {} s; `federation-agent check` has more time", PATIENCE.as_secs());
        count.tell("machine", &Finding::new("check", Verdict::Bad, "check", says), mode);
    }
    if cancel.is_cancelled() {
        return Ok(());
    }
    let millis = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let Count { bad, doubtful, first } = count;
    let sum = summary(bad, doubtful);
    match first {
        Some(first) if mode == StartCheck::Require => Err(Stop::failed(format_args!(
            "the check at the start found {bad} to mend, and FEDERATION_AGENT_CHECK=require asks for none: {first}"
        ))),
        _ if bad + doubtful > 0 => {
            tracing::warn!(millis, bad, doubtful, "checked before connecting: {sum} The agent goes on");
            Ok(())
        }
        _ => {
            tracing::info!(millis, "checked before connecting: {sum}");
            Ok(())
        }
    }
}

/// What was found so far.
#[derive(Default)]
struct Count {
    bad: usize,
    doubtful: usize,
    /// The first that is broken.
    first: Option<String>,
}

impl Count {
    fn tell(&mut self, about: &str, finding: &Finding, mode: StartCheck) {
        let Finding { id, verdict, what, says, .. } = finding;
        let sentence = line(words((what, says, None)));
        let integration = (!matches!(about, "settings" | "machine")).then_some(about);
        match verdict {
            Verdict::Good | Verdict::Untried => tracing::debug!(integration, id, "checked: {sentence}"),
            // The warnings of the settings are in the log already.
            Verdict::Doubtful if *id == "settings" => {}
            Verdict::Doubtful => {
                self.doubtful += 1;
                tracing::warn!(integration, id, "doubtful: {sentence}");
            }
            Verdict::Bad => {
                self.bad += 1;
                if mode == StartCheck::Require {
                    tracing::error!(integration, id, "to be mended: {sentence}");
                } else {
                    tracing::warn!(integration, id, "to be mended: {sentence}");
                }
                self.first.get_or_insert(sentence);
            }
        }
    }
}

//! How far the quota of calls reaches: the pace of the settings, what AWS allows, and what there is to read.

use std::time::Duration;

use super::Inner;
use crate::provider::{
    Finding, Verdict,
    aws::{client::Target, config::Config, list::PAGE},
};

/// How many calls a second AWS allows in an account, all callers together, and how many at once.
const ALLOWED: (f64, u32) = (10.0, 40);
/// A DISCOVER that takes longer is answered with what is known by then.
const DISCOVER: Duration = Duration::from_secs(50);

/// What there is to read in an account and region.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    /// REST APIs on the first page,
    pub(super) apis: usize,
    /// and whether there are more.
    pub(super) more: bool,
    /// Usage plans.
    pub(super) plans: usize,
    /// Stages that plans name.
    pub(super) stages: usize,
    /// Whether each REST API is asked for its stages.
    pub(super) every_stage: bool,
}

impl Work {
    /// Calls of a discovery, and of an ingest of everything besides.
    fn calls(&self) -> (usize, usize) {
        let page = usize::try_from(PAGE).unwrap_or(1);
        let pages = |count: usize| count.div_ceil(page).max(1);
        let lists = pages(self.apis) + usize::from(self.more) + pages(self.plans);
        (
            lists + if self.every_stage { self.apis } else { 0 },
            self.stages.max(if self.every_stage { self.apis } else { 0 }),
        )
    }
}

/// How long so many calls take at the pace of the settings.
fn time(calls: usize, config: &Config) -> Duration {
    let burst = usize::try_from(config.burst).unwrap_or(usize::MAX);
    #[expect(clippy::cast_precision_loss, reason = "some thousand calls")]
    let rest = calls.saturating_sub(burst) as f64;
    Duration::try_from_secs_f64(rest / config.calls_per_second.max(0.001)).unwrap_or(Duration::MAX)
}

/// What the pace means for one account and region.
pub(super) fn of_region(config: &Config, target: &Target, work: &Work) -> Finding {
    let (discovery, ingest) = work.calls();
    let (discovery_takes, ingest_takes) = (time(discovery, config), time(discovery + ingest, config));
    let or_more = if work.more { " or more" } else { "" };
    let (allowed, at_once) = ALLOWED;
    let (pace, burst) = (config.calls_per_second, config.burst);
    let mut says = format!(
        "a discovery makes {discovery} calls{or_more} ({}), an ingest of everything {ingest}{or_more} besides ({}), at \
         callsPerSecond {pace} and burst {burst}; AWS allows {allowed} and {at_once}, all callers of the account together",
        seconds(discovery_takes),
        seconds(ingest_takes),
    );
    let mut verdict = Verdict::Good;
    if pace >= allowed || config.burst >= at_once {
        verdict = Verdict::Doubtful;
        says.push_str("; that leaves nothing to others: lower callsPerSecond or burst");
    } else if discovery_takes > DISCOVER {
        verdict = Verdict::Doubtful;
        says.push_str(
            "; the plane waits a minute for a discovery, and gets what is known by then: spread accounts and \
                       regions over several integrations, or raise callsPerSecond",
        );
    }
    Finding::new("gateway.quota", verdict, format!("pace ({})", target.place), says)
}

fn seconds(span: Duration) -> String {
    if span < Duration::from_secs(1) { "at once".into() } else { format!("about {} s", span.as_secs()) }
}

/// What was seen of the quota while everything was tried, and what was not looked at.
pub(super) fn of_all(inner: &Inner) -> Vec<Finding> {
    let throttled = inner.access.watch.throttled();
    let (verdict, says) = match throttled {
        0 => (Verdict::Good, "no call was turned away while this was tried".to_owned()),
        _ => (
            Verdict::Doubtful,
            format!(
                "{throttled} calls were turned away (429) while this was tried: the account's quota is used up by \
                 others, or callsPerSecond is too high"
            ),
        ),
    };
    vec![
        Finding::new("gateway.throttling", verdict, "throttling", says),
        Finding::new(
            "gateway.keys",
            Verdict::Untried,
            "number of API keys",
            "not looked at: counting them needs a right that the least policy has not (GET /apikeys). AWS allows 10,000 \
             in an account and region",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::aws::config::tests::read;

    #[test]
    fn calls_and_their_time_are_reckoned() {
        let work = Work { apis: 120, more: false, plans: 3, stages: 40, every_stage: false };
        assert_eq!(work.calls(), (2, 40));
        assert_eq!(Work { every_stage: true, ..work }.calls(), (122, 120));
        assert_eq!(Work { apis: 500, more: true, ..work }.calls(), (3, 40));
        let config = read(&[("region", "eu-west-1"), ("callsPerSecond", "5"), ("burst", "30")]).unwrap();
        assert_eq!(time(2, &config), Duration::ZERO);
        assert_eq!(time(130, &config), Duration::from_secs(20));
    }
}

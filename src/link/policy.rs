//! Whether and when to try again, as pure functions of how the last try ended. No I/O, no clock of its own.
//!
//! `backoff` is unmaintained; only its delay sequence is used, and only in this file. Chance comes from a seed.

use std::time::Duration;

use backoff::{SystemClock, backoff::Backoff as _, exponential::ExponentialBackoff};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use crate::{
    model::{Class, Error},
    settings::Retry,
};

/// The longest jitter of a return that the plane asked for.
const HURRY: Duration = Duration::from_millis(500);

/// The shortest upper end of a delay: nothing doubled is nothing, and a link must not spin.
const SHORTEST: Duration = Duration::from_millis(10);

/// A `Retry-After` beyond this is not believed.
const LONGEST_AFTER: Duration = Duration::from_hours(1);

/// How a try, or the session that it became, ended.
#[derive(Debug)]
pub(super) enum End {
    /// It failed, or was refused.
    Failed(Error),
    /// The plane said GOOD_BYE.
    GoodBye {
        /// Whether it wants us back.
        reconnect: bool,
    },
    /// We were told to shut down.
    Shutdown,
}

/// What an end calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Again, after a delay that grows.
    BackOff,
    /// Again at once: the plane asked for it.
    AtOnce,
    /// Again after minutes: only a person can mend it.
    Slow,
    /// Again, not before so long.
    After(Duration),
    /// Not again.
    Away,
}

/// What `end` calls for; with `auto_reconnect` a GOOD_BYE for good is tried again, slowly.
pub(super) fn lane(end: &End, auto_reconnect: bool) -> Lane {
    match end {
        End::Failed(error) => match error.class() {
            Class::Denied | Class::Invalid => Lane::Slow,
            Class::Throttled(Some(after)) => Lane::After(after),
            Class::Throttled(None) | Class::Unavailable | Class::NotFound | Class::Conflict | Class::Bug => {
                Lane::BackOff
            }
        },
        End::GoodBye { reconnect: true } => Lane::AtOnce,
        End::GoodBye { reconnect: false } if auto_reconnect => Lane::BackOff,
        End::GoodBye { reconnect: false } | End::Shutdown => Lane::Away,
    }
}

/// The pace of one link's tries.
pub(super) struct Pace {
    retry: Retry,
    sequence: ExponentialBackoff<SystemClock>,
    chance: StdRng,
    /// The last return was at once; another one so soon is not.
    hurried: bool,
}

impl Pace {
    /// The pace that `retry` sets, with the chance that `seed` gives.
    pub(super) fn new(mut retry: Retry, seed: u64) -> Self {
        retry.initial = retry.initial.max(SHORTEST);
        retry.max = retry.max.max(retry.initial);
        let mut sequence = ExponentialBackoff::<SystemClock> {
            initial_interval: retry.initial,
            max_interval: retry.max,
            multiplier: 2.0,
            // The jitter is ours: it must come from the seed.
            randomization_factor: 0.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        sequence.reset();
        Self { retry, sequence, chance: StdRng::seed_from_u64(seed), hurried: false }
    }

    /// How long to wait, or `None` to stay away. `lived` is how long the session lived, when there was one: only one
    /// that lived long enough makes the next delay a short one.
    pub(super) fn next(&mut self, lane: Lane, lived: Option<Duration>) -> Option<Duration> {
        if lived.is_some_and(|lived| lived >= self.retry.reset_after) {
            self.sequence.reset();
            self.hurried = false;
        }
        match lane {
            Lane::Away => None,
            // A plane that says hello and good bye in a circle is not obeyed twice in a row.
            Lane::AtOnce if !self.hurried => {
                self.hurried = true;
                Some(self.below(HURRY.min(self.retry.initial)))
            }
            Lane::AtOnce | Lane::BackOff => {
                let upper = self.upper();
                Some(self.below(upper))
            }
            Lane::Slow => {
                let slow = self.retry.slow;
                Some(slow.mul_f64(0.8) + self.below(slow.mul_f64(0.4)))
            }
            Lane::After(after) => {
                let upper = self.upper();
                Some(after.min(LONGEST_AFTER) + self.below(upper))
            }
        }
    }

    /// The upper end of the next delay.
    fn upper(&mut self) -> Duration {
        self.sequence.next_backoff().unwrap_or(self.retry.max).min(self.retry.max)
    }

    /// Full jitter: anything from nothing to `upper`.
    fn below(&mut self, upper: Duration) -> Duration {
        upper.mul_f64(self.chance.random::<f64>())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn retry() -> Retry {
        crate::settings::Process::default().retry
    }

    fn any_lane() -> impl Strategy<Value = Lane> {
        prop_oneof![
            Just(Lane::BackOff),
            Just(Lane::AtOnce),
            Just(Lane::Slow),
            (0..100_000_u64).prop_map(|seconds| Lane::After(Duration::from_secs(seconds))),
        ]
    }

    #[test]
    fn what_a_person_must_mend_goes_to_the_slow_lane() {
        assert_eq!(lane(&End::Failed(Error::denied("")), false), Lane::Slow);
        assert_eq!(lane(&End::Failed(Error::invalid("")), false), Lane::Slow);
        assert_eq!(lane(&End::Failed(Error::unavailable("")), false), Lane::BackOff);
        assert_eq!(lane(&End::Failed(Error::not_found("")), false), Lane::BackOff);
        let after = Duration::from_secs(7);
        assert_eq!(lane(&End::Failed(Error::new(Class::Throttled(Some(after)), "")), false), Lane::After(after));
        assert_eq!(lane(&End::GoodBye { reconnect: true }, false), Lane::AtOnce);
        assert_eq!(lane(&End::GoodBye { reconnect: false }, false), Lane::Away);
        assert_eq!(lane(&End::GoodBye { reconnect: false }, true), Lane::BackOff);
    }

    #[test]
    fn the_upper_end_doubles_up_to_the_longest_and_a_long_session_resets_it() {
        let mut pace = Pace::new(retry(), 1);
        let uppers: Vec<_> = (0..8).map(|_| pace.upper().as_secs()).collect();
        assert_eq!(uppers, [1, 2, 4, 8, 16, 32, 60, 60]);
        pace.next(Lane::BackOff, Some(Duration::from_secs(59)));
        assert_eq!(pace.upper(), Duration::from_mins(1));
        assert!(pace.next(Lane::BackOff, Some(Duration::from_mins(1))).expect("again") <= Duration::from_secs(1));
        assert_eq!(pace.upper(), Duration::from_secs(2));
    }

    #[test]
    fn no_setting_makes_it_spin() {
        let mut pace = Pace::new(Retry { initial: Duration::ZERO, max: Duration::ZERO, ..retry() }, 3);
        assert!((0..100).all(|_| pace.upper() >= SHORTEST));
        let mut pace = Pace::new(Retry { initial: Duration::ZERO, ..retry() }, 3);
        assert!((0..20).map(|_| pace.upper()).max() == Some(Duration::from_mins(1)));
    }

    #[test]
    fn a_circle_of_good_byes_is_slowed_down() {
        let mut pace = Pace::new(retry(), 2);
        let brief = Some(Duration::from_millis(5));
        assert!(pace.next(Lane::AtOnce, brief).expect("again") <= HURRY);
        let waits: Duration = (0..20).filter_map(|_| pace.next(Lane::AtOnce, brief)).sum();
        assert!(waits > Duration::from_mins(3), "{waits:?}");
        assert!(pace.next(Lane::AtOnce, Some(Duration::from_hours(1))).expect("again") <= HURRY);
    }

    proptest! {
        #[test]
        fn a_delay_keeps_its_bounds(seed: u64, lanes in prop::collection::vec(any_lane(), 1..60)) {
            let mut pace = Pace::new(retry(), seed);
            for lane in lanes {
                let delay = pace.next(lane, None).expect("again");
                match lane {
                    Lane::Slow => prop_assert!(delay >= Duration::from_mins(4) && delay <= Duration::from_mins(6)),
                    Lane::After(after) => {
                        prop_assert!(delay >= after.min(LONGEST_AFTER));
                        prop_assert!(delay <= LONGEST_AFTER + Duration::from_mins(1));
                    }
                    _ => prop_assert!(delay <= Duration::from_mins(1)),
                }
            }
        }

        #[test]
        fn the_same_seed_gives_the_same_delays(seed: u64) {
            let delays = |mut pace: Pace| (0..9).map(|_| pace.next(Lane::BackOff, None)).collect::<Vec<_>>();
            prop_assert_eq!(delays(Pace::new(retry(), seed)), delays(Pace::new(retry(), seed)));
        }
    }
}

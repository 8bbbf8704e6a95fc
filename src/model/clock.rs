//! Two clocks compared, by the `Date` of an HTTP answer.

use std::time::{Duration, SystemTime};

/// A `Date` has whole seconds.
const COARSE: Duration = Duration::from_secs(1);

/// What another machine's clock showed, and when that was here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dated {
    /// The answer's `Date`.
    pub theirs: SystemTime,
    /// This machine's clock when the answer came.
    pub ours: SystemTime,
    /// How long the question and its answer took: somewhere in that time `theirs` was looked at.
    pub took: Duration,
}

/// By how much this machine's clock differs from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    /// By how much at least; what the way and the whole seconds of a `Date` may explain is taken off.
    pub by: Duration,
    /// Whether this machine's clock is the one that is ahead.
    pub ahead: bool,
}

impl Dated {
    /// The difference that is certain.
    pub fn skew(&self) -> Skew {
        let earliest = self.ours.checked_sub(self.took).unwrap_or(self.ours);
        // It was within `earliest..=ours` here when it was within `theirs..theirs + COARSE` there.
        if let Ok(by) = earliest.duration_since(self.theirs + COARSE) {
            return Skew { by, ahead: true };
        }
        match self.theirs.duration_since(self.ours) {
            Ok(by) => Skew { by, ahead: false },
            Err(_) => Skew { by: Duration::ZERO, ahead: false },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_way_explains_is_no_difference() {
        let at = |seconds: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + seconds);
        let secs = Duration::from_secs;
        for (theirs, ours, took, by, ahead) in [
            (100, 100, 0, 0, false),
            (100, 101, 0, 0, true),
            (100, 105, 5, 0, false),
            (100, 161, 0, 60, true),
            (100, 165, 4, 60, true),
            (160, 100, 5, 60, false),
            (3_700, 100, 0, 3_600, false),
        ] {
            let skew = Dated { theirs: at(theirs), ours: at(ours), took: secs(took) }.skew();
            assert_eq!(skew.by, secs(by), "{theirs} {ours} {took}");
            assert!(by == 0 || skew.ahead == ahead, "{theirs} {ours} {took}");
        }
    }
}

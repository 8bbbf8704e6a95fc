//! This machine's clock, compared with the others that were seen.

use std::time::Duration;

use crate::{
    link::roughly,
    model::{Dated, Skew},
    provider::{Finding, Verdict},
};

/// From such a difference on a person should look,
const DOUBTFUL: Duration = Duration::from_secs(30);
/// and from this on it is broken: AWS refuses signatures that are off by five minutes.
const BAD: Duration = Duration::from_mins(4);
/// Two clocks that differ from ours by nearly the same agree with each other.
const ALIKE: Duration = Duration::from_secs(10);

/// What the clocks of others say about ours. Pure.
pub(super) fn compare(clocks: &[(String, Dated)]) -> Vec<Finding> {
    let find = |verdict, says: String| Finding::new("clock", verdict, "clock", says);
    let mut seen: Vec<(&str, Skew)> = Vec::new();
    for (whose, dated) in clocks {
        // The same endpoint serves several integrations.
        if !seen.iter().any(|(known, _)| known == whose) {
            seen.push((whose, dated.skew()));
        }
    }
    // They come in as they were answered; the plane's stand first.
    seen.sort_by_key(|(whose, _)| (!whose.starts_with("the plane"), *whose));
    if seen.is_empty() {
        return vec![find(Verdict::Untried, "not compared: nobody's answer has a date".into())];
    }
    let off: Vec<&(&str, Skew)> = seen.iter().filter(|(_, skew)| skew.by >= DOUBTFUL).collect();
    let names = |of: &[&(&str, Skew)]| of.iter().map(|(whose, _)| *whose).collect::<Vec<_>>().join(", ");
    let Some((first, rest)) = off.split_first() else {
        let all: Vec<_> = seen.iter().collect();
        return vec![find(Verdict::Good, format!("the same as that of {}", names(&all)))];
    };
    let agree = rest.iter().all(|(_, skew)| skew.ahead == first.1.ahead && skew.by.abs_diff(first.1.by) <= ALIKE);
    if off.len() == seen.len() && seen.len() > 1 && agree {
        let says = format!(
            "this machine's clock is wrong: it is {} that of {}, which agree: set the clock (NTP){}",
            difference(first.1),
            names(&off),
            because(first.1)
        );
        return vec![find(verdict(first.1), says)];
    }
    let right = seen.iter().filter(|(_, skew)| skew.by < DOUBTFUL).collect::<Vec<_>>();
    off.iter()
        .map(|(whose, skew)| {
            let is_plane = whose.starts_with("the plane");
            // A plane with another clock is served all the same.
            let verdict = if is_plane && !right.is_empty() { Verdict::Doubtful } else { verdict(*skew) };
            let which = if right.is_empty() {
                "which of the two is wrong is not known; look at both".to_owned()
            } else {
                format!("that of {} agrees with this machine's, so look at {whose}", names(&right))
            };
            let because = if is_plane { String::new() } else { because(*skew) };
            find(verdict, format!("this machine's clock is {} that of {whose}: {which}{because}", difference(*skew)))
        })
        .collect()
}

fn verdict(skew: Skew) -> Verdict {
    if skew.by >= BAD { Verdict::Bad } else { Verdict::Doubtful }
}

fn difference(skew: Skew) -> String {
    format!("{} {}", roughly(skew.by), if skew.ahead { "ahead of" } else { "behind" })
}

fn because(skew: Skew) -> String {
    if skew.by >= BAD { ". AWS refuses signatures that are off by five minutes".into() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn told(clocks: &[(&str, i64)]) -> Vec<(Verdict, String)> {
        let ours = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 50);
        let clocks: Vec<(String, Dated)> = clocks
            .iter()
            .map(|(whose, off)| {
                let span = Duration::from_secs(off.unsigned_abs());
                let theirs = if *off < 0 { ours - span } else { ours + span };
                ((*whose).to_owned(), Dated { theirs, ours, took: Duration::ZERO })
            })
            .collect();
        compare(&clocks).into_iter().map(|finding| (finding.verdict, finding.says)).collect()
    }

    #[test]
    fn the_wrong_clock_is_named() {
        insta::assert_debug_snapshot!([
            told(&[]),
            told(&[("the plane (p)", 0), ("the gateway of one", 1)]),
            told(&[("the plane (p)", 3_600), ("the gateway of one", 3_601)]),
            told(&[("the plane (p)", -61), ("the gateway of one", -60)]),
            told(&[("the plane (p)", 3_600), ("the gateway of one", 0)]),
            told(&[("the plane (p)", 0), ("the gateway of one", -600)]),
            told(&[("the gateway of one", 600)]),
            told(&[("the plane (p)", 600), ("the gateway of one", -600)]),
        ]);
    }
}

//! Flat or not: the last quarter's median against the first's, and the slope between, with a limit for each.

use std::time::Duration;

use crate::{
    Plan, SHORTEST,
    sample::{Sample, Samples},
};

/// What is not counted at the begin: the allocator's and the caches' first growth, and replies that are remembered for
/// a minute.
const WARMING: Duration = Duration::from_secs(90);

/// Something that must not grow.
struct Row {
    name: &'static str,
    unit: &'static str,
    of: fn(&Sample) -> Option<f64>,
    /// What a unit is divided by to be shown.
    scale: f64,
    /// How much more the last quarter may have than the first: this part of it,
    part: f64,
    /// and so much.
    more: f64,
}

/// The share that memory may grow by, and what is noise: a batch of documents more or less.
const MEMORY: (f64, f64) = (0.10, 1024.0);

const ROWS: [Row; 7] = [
    Row {
        name: "resident memory",
        unit: "MB",
        of: |one| number(one.resident_kib),
        scale: 1e3 / 1.024,
        part: MEMORY.0,
        more: MEMORY.1,
    },
    Row {
        name: "  anonymous",
        unit: "MB",
        of: |one| number(one.anonymous_kib),
        scale: 1e3 / 1.024,
        part: MEMORY.0,
        more: MEMORY.1,
    },
    Row { name: "open files", unit: "", of: |one| number(one.files_open), scale: 1.0, part: 0.0, more: 4.0 },
    Row { name: "threads", unit: "", of: |one| number(one.threads), scale: 1.0, part: 0.0, more: 2.0 },
    // The reply with a key or a list is remembered for a minute by a task of its own: their number follows the pace.
    Row { name: "tasks", unit: "", of: |one| one.tasks.and_then(number), scale: 1.0, part: 0.0, more: f64::INFINITY },
    Row { name: "  beyond the replies of a minute", unit: "", of: of_their_own, scale: 1.0, part: 0.0, more: 100.0 },
    Row { name: "journal, files beyond subscriptions", unit: "", of: beyond, scale: 1.0, part: 0.0, more: 20.0 },
];

/// What a row came to.
struct Judged {
    first: f64,
    last: f64,
    /// For an hour.
    slope: f64,
    limit: f64,
    flat: bool,
}

/// Prints the table and the verdict; `true`: flat, or too short to say. `journalled`: leftovers and unconfirmed grants
/// that the journal rightly keeps for ever.
pub(crate) fn print(plan: &Plan, samples: &Samples, journalled: usize) -> bool {
    let judging = plan.lasts >= SHORTEST;
    let from = if judging { WARMING.as_secs_f64() } else { 0.0 };
    let taken: Vec<&Sample> = samples.taken.iter().filter(|sample| sample.at >= from).collect();
    println!(
        "\n{:<38} {:>12} {:>12} {:>12} {:>12}",
        "what the agent holds (medians)", "1st quarter", "4th quarter", "slope an h", "limit"
    );
    let mut flat = true;
    for row in &ROWS {
        let points: Vec<(f64, f64)> = taken.iter().filter_map(|one| Some((one.at / 3600.0, (row.of)(one)?))).collect();
        let kept = if row.name.starts_with("journal") { number(journalled as u64).unwrap_or_default() } else { 0.0 };
        let Some(judged) = judge(&points, row, kept) else {
            println!("{:<38} not told by this binary", row.name);
            continue;
        };
        let show = |value: f64| format!("{:.1} {:<2}", value / row.scale, row.unit);
        println!(
            "{:<38} {:>12} {:>12} {:>12} {:>12}{}",
            row.name,
            show(judged.first),
            show(judged.last),
            show(judged.slope),
            if judged.limit.is_finite() { format!("+{}", show(judged.limit)) } else { "-".to_owned() },
            if judged.flat || !judging { "" } else { "   <-- grows" }
        );
        flat &= judged.flat;
    }
    println!(
        "resident memory at its highest: {:.1} MB",
        f64::from(u32::try_from(samples.highest_kib).unwrap_or(u32::MAX)) * 1.024 / 1000.0
    );
    let (commands, errors) = samples.taken.last().map_or((0, 0), |last| (last.commands, last.errors));
    println!("{} samples, {commands} commands sent, {errors} of them failed, as faults make them", samples.taken.len());
    println!(
        "limits: the last quarter's median and the slope of an hour may not exceed the first quarter's median by more than `limit`"
    );
    if !judging {
        println!("verdict: none, {} s are too short to tell growth from warming up", plan.lasts.as_secs());
        return true;
    }
    println!("verdict: {}", if flat { "flat" } else { "not flat" });
    flat
}

/// Compares the quarters of `points` (hours, value); `None` when there are too few of them.
fn judge(points: &[(f64, f64)], row: &Row, kept: f64) -> Option<Judged> {
    let quarter = points.len() / 4;
    if quarter == 0 {
        return None;
    }
    let values = |part: &[(f64, f64)]| median(part.iter().map(|(_, value)| *value).collect());
    let first = values(&points[..quarter])?;
    let last = values(&points[points.len() - quarter..])?;
    let slope = slope(points);
    let limit = first * row.part + row.more + kept;
    // A slope over less than an hour is no forecast: what it came to in this time counts.
    let grown = slope * (points.last()?.0 - points.first()?.0).min(1.0);
    Some(Judged { first, last, slope, limit, flat: last - first <= limit && grown <= limit })
}

/// The median of the slopes between all pairs (Theil and Sen): single peaks do not move it.
fn slope(points: &[(f64, f64)]) -> f64 {
    // An hour has 360 samples; of a longer run every nth is enough.
    let step = points.len().div_ceil(400).max(1);
    let some: Vec<&(f64, f64)> = points.iter().step_by(step).collect();
    let pairs = some.iter().enumerate().flat_map(|(nth, one)| some[nth + 1..].iter().map(move |two| (one, two)));
    let slopes = pairs.filter(|(one, two)| two.0 > one.0).map(|(one, two)| (two.1 - one.1) / (two.0 - one.0));
    median(slopes.collect()).unwrap_or_default()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Files in the data folder that no living subscription accounts for.
fn beyond(one: &Sample) -> Option<f64> {
    Some(number(one.journal.files)? - number(one.subscriptions)?.min(number(one.journal.files)?))
}

/// Tasks that no remembered reply accounts for.
fn of_their_own(one: &Sample) -> Option<f64> {
    Some(number(one.tasks?)? - number(one.fresh)?)
}

fn number(count: u64) -> Option<f64> {
    u32::try_from(count).ok().map(f64::from)
}

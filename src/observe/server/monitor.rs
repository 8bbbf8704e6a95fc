//! `/_node/monitor`: figures of the machine and the process, by the names that Gravitee's node has for them where they
//! mean the same. There is no `jvm`. What the system does not tell is left out.
//!
//! Source of the names: gravitee-node's `OsInfo` and `ProcessInfo`. Sizes are in bytes, times in milliseconds.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value, json};

/// Ticks of the processor time in `/proc/self/stat`; 100 a second on every Linux that Rust runs on (`USER_HZ`).
const TICK_MILLIS: u64 = 10;

/// The figures now; `uptime` is the process's.
pub(super) fn figures(uptime: Duration) -> Value {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (memory, status) = (read("/proc/meminfo"), read("/proc/self/status"));
    let mut os = Map::new();
    os.insert("timestamp".into(), millis(now));
    put(&mut os, "cpu", load(&read("/proc/loadavg")).map(|load| json!({"loadAverage": load})));
    put(&mut os, "mem", both(kilobytes(&memory, "MemTotal:"), kilobytes(&memory, "MemFree:")).map(used));
    let swap = both(kilobytes(&memory, "SwapTotal:"), kilobytes(&memory, "SwapFree:"));
    put(&mut os, "swap", swap.map(|(total, free)| json!({"total": total, "free": free})));

    let mut process = Map::new();
    process.insert("timestamp".into(), millis(now));
    process.insert("uptime".into(), millis(uptime));
    let open = fs::read_dir("/proc/self/fd").map(|open| json!(open.count())).ok();
    put(&mut process, "openFileDescriptors", open);
    put(&mut process, "maxFileDescriptors", most_files(&read("/proc/self/limits")).map(Into::into));
    put(&mut process, "cpu", processor_time(&read("/proc/self/stat")).map(|total| json!({"total": total})));
    let (virtual_size, resident) = (kilobytes(&status, "VmSize:"), kilobytes(&status, "VmRSS:"));
    put(
        &mut process,
        "mem",
        both(virtual_size, resident).map(|(all, resident)| json!({"totalVirtual": all, "resident": resident})),
    );
    put(&mut process, "threads", field(&status, "Threads:").map(Into::into));
    json!({"os": os, "process": process})
}

fn put(figures: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    if let Some(value) = value {
        figures.insert(name.to_owned(), value);
    }
}

fn both<T>(one: Option<T>, other: Option<T>) -> Option<(T, T)> {
    one.zip(other)
}

fn millis(span: Duration) -> Value {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX).into()
}

fn used((total, free): (u64, u64)) -> Value {
    let used = total.saturating_sub(free);
    let percent = |part: u64| (part * 100 + total / 2).checked_div(total).unwrap_or_default();
    json!({
        "total": total, "free": free, "used": used,
        "usedPercent": percent(used), "freePercent": percent(free),
    })
}

/// The number behind `name` in a file of lines `Name:   value`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    field(text, name).map(|kilobytes| kilobytes * 1024)
}

fn load(text: &str) -> Option<Vec<f64>> {
    let load: Vec<f64> = text.split_whitespace().take(3).filter_map(|load| load.parse().ok()).collect();
    (load.len() == 3).then_some(load)
}

/// The soft limit; `unlimited` is left out.
fn most_files(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?.parse().ok()
}

/// User and system time in milliseconds. The program's name stands in brackets before, and may hold anything.
fn processor_time(text: &str) -> Option<u64> {
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<u64>().ok());
    // Fields 14 and 15; the first behind the bracket is the third.
    both(ticks(11), ticks(12)).map(|(user, system)| (user + system) * TICK_MILLIS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_have_gravitees_names_and_are_plausible() {
        let figures = figures(Duration::from_millis(1234));
        let number = |path: &str| figures.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}"));
        assert_eq!(number("/process/uptime"), 1234);
        assert!(number("/process/openFileDescriptors") >= 3);
        assert!(number("/process/mem/totalVirtual") > number("/process/mem/resident"));
        assert!(number("/process/mem/resident") > 1_000_000 && number("/process/threads") >= 1);
        assert_eq!(number("/os/mem/total"), number("/os/mem/used") + number("/os/mem/free"));
        assert_eq!(number("/os/mem/usedPercent") + number("/os/mem/freePercent"), 100);
        assert_eq!(figures.pointer("/os/cpu/loadAverage").unwrap().as_array().unwrap().len(), 3);
        let _ = number("/process/cpu/total");
    }

    #[test]
    fn files_of_the_kernel_are_read_and_odd_ones_are_left_out() {
        let stat = "42 (a) b (c)) S 1 1 1 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 3 0 1";
        assert_eq!(processor_time(stat), Some(3000));
        assert_eq!(most_files("Limit   Soft   Hard\nMax open files            1024     4096    files\n"), Some(1024));
        assert_eq!(most_files("Max open files            unlimited  unlimited files\n"), None);
        assert_eq!(load("0.10 0.20 0.30 1/2 3"), Some(vec![0.1, 0.2, 0.3]));
        assert_eq!((processor_time(""), load("x"), field("Threads:", "Threads:")), (None, None, None));
        assert_eq!(used((0, 0))["usedPercent"], 0);
    }
}

//! The process as the system sees it, from `/proc`. Where there is none, nothing is told.

use std::{fs, time::Duration};

/// What the kernel counts a second of a processor in, for programs: the same on every architecture that Linux has
/// been given in this century.
const TICKS: u32 = 100;

/// Where a container's limit stands: cgroup 2, cgroup 1.
const LIMITS: [&str; 2] = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];

/// What is more than this is the kernel's way of saying that there is no limit.
const NO_LIMIT: u64 = 1 << 50;

/// The process as it is now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) cpu: Duration,
    pub(super) resident: u64,
    pub(super) virtual_: u64,
    pub(super) threads: u64,
    pub(super) open_files: Option<u64>,
    pub(super) most_files: Option<u64>,
}

/// The process as it is now.
pub(super) fn figures() -> Option<Figures> {
    let read = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).ok();
    let mut figures = of(&read("status")?, &read("stat")?)?;
    figures.most_files = read("limits").and_then(|limits| most_files(&limits));
    // The folder that is read is one of them.
    let open = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64);
    figures.open_files = open.map(|open| open.saturating_sub(1));
    Some(figures)
}

/// What the container may take.
pub(super) fn memory_limit() -> Option<u64> {
    let limit = LIMITS.into_iter().find_map(|path| fs::read_to_string(path).ok())?;
    limit.trim().parse().ok().filter(|limit| *limit < NO_LIMIT)
}

fn of(status: &str, stat: &str) -> Option<Figures> {
    let line = |name: &str| {
        let rest = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    // The name of the program stands in brackets and may hold blanks; the third field follows it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()?.saturating_add(ticks()?);
    Some(Figures {
        cpu: Duration::from_millis(ticks.saturating_mul(1_000)) / TICKS,
        resident: line("VmRSS")? * 1_024,
        virtual_: line("VmSize")? * 1_024,
        threads: line("Threads")?,
        open_files: None,
        most_files: None,
    })
}

fn most_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_what_the_kernel_says() {
        let status = "Name:\tx\nVmPeak:\t  9 kB\nVmSize:\t  300 kB\nVmRSS:\t  200 kB\nThreads:\t4\n";
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 5 6 20 0 4 0 12345 300 200 1";
        let figures = of(status, stat).unwrap();
        assert_eq!((figures.resident, figures.virtual_, figures.threads), (204_800, 307_200, 4));
        assert_eq!(figures.cpu, Duration::from_secs(2));
        let limits = "Limit   Soft Limit  Hard Limit  Units\nMax open files            1024     4096     files\n";
        assert_eq!(most_files(limits), Some(1_024));
        assert_eq!(most_files("Max open files  unlimited unlimited files"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_figures() {
        let figures = figures().unwrap();
        assert!(figures.resident > 1 << 20 && figures.threads > 0 && figures.open_files > Some(2), "{figures:?}");
    }
}

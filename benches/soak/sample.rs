//! What the agent holds, from outside: the kernel's numbers, its data folder, and its own count of tasks.

use std::{
    fs::File,
    io::{self, Write},
    time::Duration,
};

use tokio::time::Instant;

use crate::{folder::Holds, http, stage::Stage, work::Work};

/// How often a line tells how it goes.
const TELLING: Duration = Duration::from_mins(1);

/// One look at the agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Seconds since the begin.
    pub(crate) at: f64,
    pub(crate) resident_kib: u64,
    pub(crate) anonymous_kib: u64,
    pub(crate) files_open: u64,
    pub(crate) threads: u64,
    /// What runs in the agent's runtime; `None` when it did not tell.
    pub(crate) tasks: Option<u64>,
    /// Replies that it remembered for a minute, all so far.
    pub(crate) remembered: u64,
    /// Those of the last minute: each has a task.
    pub(crate) fresh: u64,
    /// Its data folder.
    pub(crate) journal: Holds,
    /// Subscriptions of the plane.
    pub(crate) subscriptions: u64,
    pub(crate) commands: u64,
    pub(crate) errors: u64,
}

/// All of them, on disk as they are taken.
pub(crate) struct Samples {
    began: Instant,
    lasts: Duration,
    told: Instant,
    file: File,
    pub(crate) taken: Vec<Sample>,
    /// Resident memory at its highest, in KiB.
    pub(crate) highest_kib: u64,
}

impl Samples {
    pub(crate) fn begin(lasts: Duration) -> io::Result<Self> {
        let mut file = File::create("target/soak.csv")?;
        writeln!(
            file,
            "seconds,resident_kib,anonymous_kib,open_files,threads,tasks,fresh_replies,journal_files,journal_bytes,subscriptions,commands,errors"
        )?;
        println!(
            "{:>8} {:>12} {:>6} {:>8} {:>7} {:>14} {:>9} {:>8}",
            "time", "resident", "files", "threads", "tasks", "journal", "commands", "errors"
        );
        Ok(Self { began: Instant::now(), lasts, told: Instant::now(), file, taken: Vec::new(), highest_kib: 0 })
    }

    /// Looks once more.
    pub(crate) async fn take(&mut self, stage: &Stage, work: &Work) -> io::Result<()> {
        let id = stage.agent.child.id().ok_or_else(|| io::Error::other("the agent has ended by itself"))?;
        let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
        let resident = stage.agent.resident()?;
        let (commands, errors) = work.done();
        let (at, remembered) = (self.began.elapsed().as_secs_f64(), work.remembered());
        let minute_ago = self.taken.iter().rev().find(|before| before.at <= at - 60.0);
        let sample = Sample {
            at,
            remembered,
            fresh: remembered - minute_ago.map_or(0, |before| before.remembered),
            resident_kib: resident.now,
            anonymous_kib: field(&status, "RssAnon:")?,
            files_open: std::fs::read_dir(format!("/proc/{id}/fd"))?.count() as u64,
            threads: field(&status, "Threads:")?,
            tasks: tasks(&stage.health).await,
            journal: Holds::of(stage.folder.path()),
            subscriptions: work.subscriptions_now().len() as u64,
            commands,
            errors,
        };
        self.highest_kib = resident.highest;
        self.write(&sample)?;
        if self.told.elapsed() >= TELLING.min(self.lasts / 6) {
            self.told = Instant::now();
            println!(
                "{:>7.0}s {:>9.1} MB {:>6} {:>8} {:>7} {:>6} {:>5} kB {:>9} {:>8}",
                sample.at,
                f64::from(u32::try_from(sample.resident_kib).unwrap_or(u32::MAX)) * 1.024 / 1000.0,
                sample.files_open,
                sample.threads,
                sample.tasks.map_or_else(|| "?".to_owned(), |tasks| tasks.to_string()),
                sample.journal.files,
                sample.journal.bytes / 1000,
                commands,
                errors
            );
        }
        self.taken.push(sample);
        Ok(())
    }

    fn write(&mut self, one: &Sample) -> io::Result<()> {
        let tasks = one.tasks.map(|tasks| tasks.to_string()).unwrap_or_default();
        writeln!(
            self.file,
            "{:.1},{},{},{},{},{tasks},{},{},{},{},{},{}",
            one.at,
            one.resident_kib,
            one.anonymous_kib,
            one.files_open,
            one.threads,
            one.fresh,
            one.journal.files,
            one.journal.bytes,
            one.subscriptions,
            one.commands,
            one.errors
        )
    }
}

/// A number of `/proc/{id}/status`.
fn field(status: &str, name: &str) -> io::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("the kernel does not tell {name}")))
}

/// How many tasks the agent says it has.
async fn tasks(health: &str) -> Option<u64> {
    let told = http::get(&format!("{health}/livez"), &[]).await.ok()?;
    serde_json::from_slice::<serde_json::Value>(&told).ok()?["tasks"].as_u64()
}

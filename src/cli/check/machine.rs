//! What the agent stands on: the data folder, the grants that its journal knows, limits.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::time::timeout;

use super::{super::gateways::Ready, round::Section};
use crate::{
    journal::{Files, Journal, Lasting, Record, State, lasting_of},
    link::roughly,
    provider::{Finding, Verdict},
};

/// A disk that does not answer for so long is broken.
const PATIENCE: Duration = Duration::from_secs(5);
/// The user that the image runs as.
const IMAGE_USER: u32 = 65_532;
/// With less room than this, in bytes, a person should look; with less than the other, nothing can be written.
const ROOM: (u64, u64) = (64 << 20, 1 << 20);
/// The same for the files that may still be made.
const INODES: (u64, u64) = (1_000, 1);
/// The least memory that a crowd of large documents is carried in, in bytes.
const MEMORY: u64 = 64 << 20;
/// The least number of open files: connections to gateways and to the plane, pages of the journal.
const FILES: u64 = 256;
/// What is still under way after so long is not.
const OLD: Duration = Duration::from_mins(10);

/// Looks at all of it.
pub(super) async fn look(ready: &Ready, section: &Section) {
    let folder = ready.process.data_dir.clone();
    let of_folder = tokio::task::spawn_blocking(move || data_folder(&folder));
    match timeout(PATIENCE, of_folder).await {
        Ok(Ok(findings)) => section.findings(findings),
        Ok(Err(_)) => section.find("disk.folder", Verdict::Untried, "data folder", "not tried: the try itself failed"),
        Err(_) => {
            let says = format!(
                "{} does not answer within {} s: look at the disk, or at the volume's server",
                ready.process.data_dir.display(),
                PATIENCE.as_secs()
            );
            section.find("disk.folder", Verdict::Bad, "data folder", says);
        }
    }
    let journal = Journal::at(&ready.process.data_dir);
    for gateway in &ready.gateways {
        let contents = journal.read(&gateway.integration.id).await;
        let what = format!("grants of {}", gateway.integration.id);
        for (_, why) in contents.unreadable {
            section.find("journal.grants", Verdict::Doubtful, &what, why);
        }
        let (verdict, says) = grants(&contents.records, SystemTime::now());
        section.find("journal.grants", verdict, &what, says);
    }
    section.findings(limits());
}

/// Whether the data folder is there, can be written, lasts, and has room.
fn data_folder(folder: &Path) -> Vec<Finding> {
    let place = folder.display();
    let mut findings = Vec::new();
    match Files::new(folder).check() {
        Ok(()) => {
            let says = format!("{place} was written and read");
            findings.push(Finding::new("disk.folder", Verdict::Good, "data folder", says));
        }
        Err(error) => {
            let says = format!(
                "{place} cannot be written: {}. Until it can, what is under way is not settled after a crash",
                why(folder, &error)
            );
            findings.push(Finding::new("disk.folder", Verdict::Bad, "data folder", says));
        }
    }
    let lasting = lasting_of(folder);
    let verdict = match lasting {
        Lasting::Machine | Lasting::Volume(_) => Verdict::Good,
        Lasting::Anonymous | Lasting::Pod | Lasting::Container | Lasting::Memory | Lasting::Unknown => {
            Verdict::Doubtful
        }
    };
    findings.push(Finding::new("disk.lasting", verdict, "data folder lasts", format!("{place} is {lasting}")));
    findings.push(room(folder));
    findings
}

/// What a person can do about a folder that cannot be written.
fn why(folder: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            let there = nearest(folder);
            let owner = fs::metadata(&there).map_or_else(
                |_| String::new(),
                |of| format!(", which user {} owns (mode {:03o})", of.uid(), of.mode() & 0o777),
            );
            let me = fs::metadata("/proc/self").map_or(IMAGE_USER, |of| of.uid());
            format!(
                "this process is user {me} and may not write in {}{owner}; make it that user's (chown -R {me}; in \
                 Kubernetes: fsGroup: {me})",
                there.display()
            )
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "it is mounted read-only; mount a volume there that may be written".to_owned()
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full; make room on it".to_owned(),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "a file is where a folder belongs; set FEDERATION_AGENT_DATA_DIR to a folder".to_owned()
        }
        _ => format!("{error}; set FEDERATION_AGENT_DATA_DIR to a folder that this process may write"),
    }
}

/// The folder, or the nearest one above it that is there.
fn nearest(folder: &Path) -> PathBuf {
    folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// How much room its file system has.
fn room(folder: &Path) -> Finding {
    let find = |verdict, says: String| Finding::new("disk.space", verdict, "room for data", says);
    match rustix::fs::statvfs(nearest(folder)) {
        Err(error) => find(Verdict::Untried, format!("not looked at: {error}")),
        Ok(of) if of.f_blocks == 0 => find(Verdict::Untried, "the file system does not tell".into()),
        Ok(of) => {
            // Some file systems make files as they are needed, and say that there are none.
            let inodes = (of.f_files > 0).then_some(of.f_favail);
            let (verdict, says) = judge_room(of.f_bavail.saturating_mul(of.f_frsize), inodes);
            find(verdict, says)
        }
    }
}

/// What so many bytes and so many files that may still be made are worth. Pure.
fn judge_room(bytes: u64, inodes: Option<u64>) -> (Verdict, String) {
    let left = inodes.map_or_else(String::new, |inodes| format!(", for {inodes} files"));
    let says = format!("{} MB free{left}", bytes >> 20);
    let inodes = inodes.unwrap_or(u64::MAX);
    if bytes < ROOM.1 || inodes < INODES.1 {
        (Verdict::Bad, format!("{says}: nothing more can be written; make room"))
    } else if bytes < ROOM.0 || inodes < INODES.0 {
        (Verdict::Doubtful, format!("{says}: make room before it is full"))
    } else {
        (Verdict::Good, says)
    }
}

/// What the journal's grants need of a person. Pure.
fn grants(records: &[Record], now: SystemTime) -> (Verdict, String) {
    let count = |state: State| records.iter().filter(|record| record.state == state).count();
    let waiting: Vec<String> = [State::Stuck, State::Leftover, State::Unconfirmed]
        .into_iter()
        .filter(|state| count(*state) > 0)
        .map(|state| format!("{} {}", count(state), state.word()))
        .collect();
    let under_way: Vec<&Record> = records.iter().filter(|record| record.state.is_unsettled()).collect();
    let oldest = under_way.iter().map(|record| now.duration_since(record.since).unwrap_or_default()).max();
    let mut says = match count(State::Live) {
        1 => "1 live".to_owned(),
        live => format!("{live} live"),
    };
    if let Some(oldest) = oldest {
        says = format!("{says}, {} under way, the oldest for {}", under_way.len(), roughly(oldest));
    }
    if !waiting.is_empty() {
        let says = format!("{says}, {}: `federation-agent grants` shows which, and what to do", waiting.join(", "));
        return (Verdict::Doubtful, says);
    }
    if oldest.is_some_and(|oldest| oldest > OLD) {
        let says = format!("{says}: a running agent ends them; if one runs, `federation-agent grants` shows which");
        return (Verdict::Doubtful, says);
    }
    (Verdict::Good, says)
}

/// The limits that this process runs under, as far as the kernel tells.
fn limits() -> Vec<Finding> {
    let mut findings = Vec::new();
    let memory = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .into_iter()
        .find_map(|path| fs::read_to_string(path).ok());
    findings.extend(memory.and_then(|text| judge_memory(&text)));
    let files = fs::read_to_string("/proc/self/limits").ok();
    findings.extend(files.and_then(|text| judge_files(&text)));
    findings
}

/// A container's memory limit; `None`: there is none worth telling.
fn judge_memory(text: &str) -> Option<Finding> {
    let bytes: u64 = text.trim().parse().ok()?;
    // The first version of control groups has no word for none, but a very large number.
    if bytes > 1 << 50 {
        return None;
    }
    let megabytes = bytes >> 20;
    let (verdict, says) = if bytes < MEMORY {
        (Verdict::Doubtful, format!("{megabytes} MB: large documents need 64 MB; raise the container's memory limit"))
    } else {
        (Verdict::Good, format!("{megabytes} MB"))
    };
    Some(Finding::new("limits.memory", verdict, "memory limit", says))
}

/// The limit of open files, as `/proc/self/limits` has it.
fn judge_files(text: &str) -> Option<Finding> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    let (verdict, says) = match soft.parse::<u64>() {
        Ok(limit) if limit < FILES => {
            (Verdict::Doubtful, format!("{limit}: raise it to {FILES} or more (ulimit -n, LimitNOFILE)"))
        }
        _ => (Verdict::Good, soft.to_owned()),
    };
    Some(Finding::new("limits.files", verdict, "open files limit", says))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_is_seen_before_there_is_none() {
        let verdict = |bytes, inodes| judge_room(bytes, inodes).0;
        assert_eq!(verdict(10 << 30, Some(100_000)), Verdict::Good);
        assert_eq!(verdict(10 << 30, None), Verdict::Good, "some file systems count no files");
        assert_eq!(verdict(63 << 20, Some(100_000)), Verdict::Doubtful);
        assert_eq!(verdict(10 << 30, Some(999)), Verdict::Doubtful);
        assert_eq!(verdict(4096, Some(100_000)), Verdict::Bad);
        assert_eq!(verdict(10 << 30, Some(0)), Verdict::Bad);
    }

    #[test]
    fn every_reason_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        for (kind, word) in [
            (io::ErrorKind::PermissionDenied, "chown -R"),
            (io::ErrorKind::ReadOnlyFilesystem, "mount a volume"),
            (io::ErrorKind::StorageFull, "make room"),
            (io::ErrorKind::NotADirectory, "FEDERATION_AGENT_DATA_DIR"),
            (io::ErrorKind::Other, "FEDERATION_AGENT_DATA_DIR"),
        ] {
            let says = why(&folder.path().join("not there"), &io::Error::from(kind));
            assert!(says.contains(word), "{kind}: {says}");
        }
    }

    #[test]
    fn a_folder_that_is_a_file_is_bad_and_a_good_one_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let of = |path: &Path| data_folder(path).into_iter().map(|one| (one.id, one.verdict)).collect::<Vec<_>>();
        assert_eq!(of(folder.path())[0], ("disk.folder", Verdict::Good));
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(of(&file)[0], ("disk.folder", Verdict::Bad));
    }

    #[test]
    fn low_limits_are_doubtful() {
        let memory = |text: &str| judge_memory(text).map(|finding| finding.verdict);
        assert_eq!(memory("max\n"), None);
        assert_eq!(memory("9223372036854771712\n"), None);
        assert_eq!(memory("33554432\n"), Some(Verdict::Doubtful));
        assert_eq!(memory("134217728\n"), Some(Verdict::Good));
        let files = |soft: &str| {
            judge_files(&format!("Limit  Soft\nMax open files            {soft}      4096      files\n"))
                .unwrap()
                .verdict
        };
        assert_eq!(files("128"), Verdict::Doubtful);
        assert_eq!(files("1024"), Verdict::Good);
        assert_eq!(files("unlimited"), Verdict::Good);
    }

    #[test]
    fn grants_that_wait_for_a_person_are_doubtful() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 20_000);
        let record = |state: State, minutes: u64| Record {
            grant: "g".into(),
            integration: "one".into(),
            subscription: "s".into(),
            api: "a".into(),
            plan: None,
            command: String::new(),
            key_id: None,
            metadata: crate::model::Texts::new(),
            state,
            since: now - Duration::from_mins(minutes),
            tries: 0,
            why: None,
        };
        let of = |records: &[Record]| grants(records, now);
        assert_eq!(of(&[]), (Verdict::Good, "0 live".into()));
        assert_eq!(of(&[record(State::Live, 1), record(State::Removing, 2)]).0, Verdict::Good);
        let (verdict, says) = of(&[record(State::Removing, 120)]);
        assert!(verdict == Verdict::Doubtful && says.contains("the oldest for 2 hours"), "{says}");
        for state in [State::Stuck, State::Leftover, State::Unconfirmed] {
            let (verdict, says) = of(&[record(State::Live, 1), record(state, 1)]);
            assert!(verdict == Verdict::Doubtful && says.contains(&format!("1 {}", state.word())), "{says}");
        }
    }
}

//! Two processes on one data folder, one that is killed, and one whose disk is full: this binary runs itself again as the
//! other one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use federation_agent::journal::{Files, Journal, Name, Record, State, Store, read};
use tokio::time::Instant;

/// Names the folder for the other process; without it the test that is the other process does nothing.
const FOLDER: &str = "FEDERATION_AGENT_TEST_JOURNAL";

const WRITES: u32 = 1_000;

fn name() -> Name {
    Name { integration: "integration".into(), subscription: "shared".into() }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

/// A process that is killed when the test fails.
struct Other(Child);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Other {
    fn start(folder: &Path, task: &str) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["the_other_process", "--exact", "--ignored", "--nocapture"])
            .env(FOLDER, folder.join(task))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    /// The same in a shell that does `first` before it.
    fn start_after(first: &str, shell: &[&str], folder: &Path, task: &str, more: &[(&str, &str)]) -> Self {
        let child = Command::new(shell[0])
            .args(&shell[1..])
            .args(["sh", "-c", &format!("{first} && exec \"$@\""), "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["the_other_process", "--exact", "--ignored", "--nocapture"])
            .env(FOLDER, folder.join(task))
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        Self(child.unwrap())
    }

    /// Its end: whether all was well, and everything that it said.
    fn end(mut self) -> (bool, String) {
        let mut said = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.0.wait().unwrap().success(), said)
    }

    /// Waits until it stops at the fault point `point`; kills it there; everything that it said on stdout.
    fn killed_at(mut self, point: &str) -> String {
        let mut lines = BufReader::new(self.0.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains(&format!("stopped at fault point {point}"))), "not at {point}");
        self.0.kill().unwrap();
        self.0.wait().unwrap();
        let mut said = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        said
    }

    /// Waits for a line that it says.
    fn says(&mut self, what: &str) {
        let mut output = BufReader::new(self.0.stdout.as_mut().unwrap());
        let mut line = String::new();
        while !line.contains(what) {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "it ended without saying {what}");
        }
    }

    fn stdin(&mut self) -> &mut ChildStdin {
        self.0.stdin.as_mut().unwrap()
    }
}

/// Adds one to what the page counts, so often; nobody may come between reading and writing.
async fn count(journal: &Journal, grant: &str) {
    for _ in 0..WRITES / 20 {
        let page = journal.hold(&name(), soon()).await.unwrap();
        let known = page.record(grant).await;
        let mut record =
            known.unwrap_or_else(|| Record { grant: grant.into(), ..Record::intended(&name(), "api", "c") });
        for _ in 0..20 {
            record.tries += 1;
            page.put(record.clone().now(State::Live)).await.unwrap();
        }
    }
}

/// A record of some 500 bytes that tells its number.
fn long(number: u32) -> Record {
    let intended = Record { grant: "long".into(), why: Some("x".repeat(300)), ..Record::intended(&name(), "api", "c") };
    Record { tries: number, ..intended }.now(State::Live)
}

fn page_in(folder: &Path) -> PathBuf {
    folder.join("journal/integration/shared.jsonl")
}

/// A file may not grow above a limit, and a line is written by half.
fn short_file(folder: &Path) {
    let files = Files::open(folder).unwrap();
    let mut sheet = files.take(&name()).unwrap().unwrap();
    let mut lines = Vec::new();
    loop {
        let line = long(1).line();
        if let Err(error) = sheet.append(&line) {
            println!("after {} bytes: {error}", lines.len());
            break;
        }
        lines.extend(line);
    }
    assert!(!lines.is_empty());
    assert_eq!(fs::read(page_in(folder)).unwrap(), lines, "the half line is taken away at once");
    assert!(sheet.append(&long(2).line()).is_err());
    assert_eq!(sheet.read().unwrap(), lines);
    let two = [long(3).line(), long(4).line()].concat();
    sheet.replace(&two).unwrap();
    sheet.append(&long(5).line()).unwrap();
    assert_eq!(read(&fs::read(page_in(folder)).unwrap()).unwrap()[0].tries, 5);
    assert!(sheet.replace(&lines.repeat(3)).is_err(), "it is larger than a file may be");
    assert_eq!(fs::read_dir(page_in(folder).parent().unwrap()).unwrap().count(), 1, "and leaves nothing behind");
    assert_eq!(read(&sheet.read().unwrap()).unwrap()[0].tries, 5);
}

/// On a file system of some kilobytes.
async fn full_disk(folder: &Path, journal: &Journal) {
    let lies_there = || {
        let found = Files::new(folder).read_all("integration").unwrap();
        found.iter().flat_map(|page| read(page.text.as_ref().unwrap()).unwrap()).map(|record| record.state).collect()
    };
    let page = journal.hold(&name(), soon()).await.unwrap();
    let record = Record { why: Some("x".repeat(3_000)), ..long(1) };
    page.put(record.clone().now(State::Intended)).await.unwrap();
    page.put(record.clone().now(State::Made)).await.unwrap();
    let states: Vec<State> = lies_there();
    assert_eq!((journal.trouble(), states), (None, vec![State::Made]));
    let ballast = folder.join("ballast");
    let mut file = fs::File::create(&ballast).unwrap();
    let full = loop {
        if let Err(error) = file.write_all(&[0; 512]) {
            break error;
        }
    };
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    let larger = Record { why: Some("x".repeat(6_000)), ..record };
    for state in [State::Unconfirmed, State::Live] {
        page.put(larger.clone().now(state)).await.unwrap();
        assert!(journal.trouble().is_some_and(|why| why.contains("space")), "{:?}", journal.trouble());
        // `Made` would have the key removed that the plane may have.
        let states: Vec<State> = lies_there();
        assert_eq!(states, []);
        assert_eq!(journal.read("integration").await.records[0].state, state, "it is known while this process lives");
    }
    drop(file);
    fs::remove_file(ballast).unwrap();
    drop(page);
    let page = journal.hold(&name(), soon()).await.unwrap();
    let states: Vec<State> = lies_there();
    assert_eq!((journal.trouble(), states), (None, vec![State::Live]), "there is room again");
    page.put(larger.now(State::Gone)).await.unwrap();
    let states: Vec<State> = lies_there();
    assert_eq!(states, []);
}

/// What the other process does: the last part of the folder's path.
#[tokio::test]
#[ignore = "run by the tests of this file"]
async fn the_other_process() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let journal = Journal::open(folder.parent().unwrap()).await;
    match folder.file_name().unwrap().to_str().unwrap() {
        "hold" => {
            let page = journal.hold(&name(), soon()).await.unwrap();
            page.put(Record::intended(&name(), "api", "command").now(State::Making)).await.unwrap();
            println!("holding");
            std::future::pending::<()>().await;
        }
        "write" => {
            let page = journal.hold(&name(), soon()).await.unwrap();
            for number in 1..1_000 {
                page.put(long(number)).await.unwrap();
                println!("written {number}");
            }
        }
        "short" => short_file(folder.parent().unwrap()),
        "full" => full_disk(folder.parent().unwrap(), &journal).await,
        task => {
            println!("counting");
            std::io::stdout().flush().unwrap();
            std::io::stdin().read_line(&mut String::new()).unwrap();
            count(&journal, task).await;
            println!("counted");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_lose_no_write_and_nobody_reads_a_torn_line() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).await;
    let mut other = Other::start(dir.path(), "both");
    other.says("counting");
    other.stdin().write_all(b"go\n").unwrap();
    let done = AtomicBool::new(false);
    let reading = async {
        let third = Journal::open(dir.path()).await;
        let mut reads = 0_u32;
        while !done.load(Ordering::Relaxed) {
            let contents = third.read("integration").await;
            assert!(contents.unreadable.is_empty(), "{:?}", contents.unreadable);
            reads += 1;
        }
        reads
    };
    let counting = async {
        count(&journal, "both").await;
        other.says("counted");
        done.store(true, Ordering::Relaxed);
    };
    let (reads, ()) = tokio::join!(reading, counting);
    let page = journal.hold(&name(), soon()).await.unwrap();
    let records = page.records().await;
    assert_eq!((records.len(), records[0].tries), (1, 2 * WRITES));
    assert!(reads > 10, "it was read {reads} times meanwhile");
}

#[tokio::test]
async fn a_page_is_free_when_who_held_it_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).await;
    let mut other = Other::start(dir.path(), "hold");
    other.says("holding");
    assert!(journal.try_hold(&name()).await.is_none(), "the other process has it");
    assert_eq!(journal.read("integration").await.records[0].state, State::Making, "reading asks nobody");
    other.0.kill().unwrap();
    other.0.wait().unwrap();
    let page = journal.try_hold(&name()).await.expect("the kernel has freed it");
    assert_eq!(page.records().await[0].state, State::Making, "what was synced is there");
}

#[tokio::test]
async fn killed_while_a_page_is_written_anew_leaves_the_old_one_or_the_new_one_whole() {
    for (point, one_more) in [("journal:compaction:before", 0), ("journal:compaction:after", 1)] {
        let dir = tempfile::tempdir().unwrap();
        let named = [("FEDERATION_AGENT_TEST_FAULT_POINT", point)];
        let said = Other::start_after("true", &["env"], dir.path(), "write", &named).killed_at(point);
        let written = said.lines().filter_map(|line| line.strip_prefix("written ")?.parse::<u32>().ok()).max().unwrap();
        let size = fs::metadata(page_in(dir.path())).unwrap().len();
        assert_eq!(size > 60 << 10, one_more == 0, "{size} bytes");

        let journal = Journal::open(dir.path()).await;
        let contents = journal.read("integration").await;
        assert!(contents.unreadable.is_empty(), "{:?}", contents.unreadable);
        let numbers: Vec<u32> = contents.records.iter().map(|record| record.tries).collect();
        assert_eq!(numbers, [written + one_more], "{point}: what was said to be written stands there");
        let page = journal.hold(&name(), soon()).await.unwrap();
        for number in 1_000..1_300 {
            page.put(long(number)).await.unwrap();
        }
        let size = fs::metadata(page_in(dir.path())).unwrap().len();
        assert!(size <= 65 << 10 && journal.trouble().is_none(), "{size} bytes, {:?}", journal.trouble());
        let files = fs::read_dir(page_in(dir.path()).parent().unwrap()).unwrap().count();
        assert_eq!(files, 1, "what the dead one had begun is out of the way");
    }
}

#[test]
fn a_line_that_a_file_has_no_room_for_leaves_the_lines_before_it_whole() {
    let dir = tempfile::tempdir().unwrap();
    let first = "trap '' XFSZ && ulimit -f 6";
    let (well, said) = Other::start_after(first, &["env"], dir.path(), "short", &[]).end();
    assert!(well && said.contains("bytes: File too large"), "{said}");
}

#[test]
fn a_full_disk_costs_memory_only_and_leaves_nothing_that_removes_a_key_in_use() {
    let dir = tempfile::tempdir().unwrap();
    // A file system that only that process sees, and that ends with it.
    let mount = "mount -t tmpfs -o size=48k none \"${FEDERATION_AGENT_TEST_JOURNAL%/*}\" && echo mounted";
    let shell = ["unshare", "--user", "--map-root-user", "--mount"];
    let (well, said) = Other::start_after(mount, &shell, dir.path(), "full", &[]).end();
    if said.contains("mounted") {
        assert!(well, "{said}");
    } else {
        println!("NOT TESTED: a full disk, this machine lets nobody mount one: {said}");
    }
}

//! Two processes on one data folder: this binary runs itself again as the other one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use federation_agent::journal::{Journal, Name, Record, State};
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

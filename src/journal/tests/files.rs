//! The store on a real disk.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

use tempfile::TempDir;

use super::super::{Files, Journal, Name, Record, Sheet, State, Store, disk::SYNCED};

fn name(subscription: &str) -> Name {
    Name { integration: "integration".into(), subscription: subscription.into() }
}

fn folder() -> (TempDir, Files) {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::open(dir.path()).unwrap();
    (dir, files)
}

fn path(dir: &TempDir, subscription: &str) -> PathBuf {
    dir.path().join("journal/integration").join(format!("{subscription}.jsonl"))
}

fn take(files: &Files, subscription: &str) -> Box<dyn Sheet> {
    files.take(&name(subscription)).unwrap().expect("nobody has it")
}

#[test]
fn a_line_is_found_by_the_next_who_opens_the_folder() {
    let (dir, files) = folder();
    let mut sheet = take(&files, "s");
    sheet.append(b"{}\n").unwrap();
    drop(sheet);
    let next = Files::open(dir.path()).unwrap();
    assert_eq!(take(&next, "s").read().unwrap(), b"{}\n");
    let found = next.read_all("integration").unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.clone(), found[0].text.as_ref().unwrap().as_slice()), (Some(name("s")), &b"{}\n"[..]));
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(path(&dir, "s")), mode(dir.path().join("journal/integration"))), (0o600, 0o700));
}

#[test]
fn a_page_is_held_by_one() {
    let (dir, files) = folder();
    let other = Files::open(dir.path()).unwrap();
    let sheet = take(&files, "s");
    assert!(files.take(&name("s")).unwrap().is_none(), "in one process");
    assert!(other.take(&name("s")).unwrap().is_none(), "by the lock of the file");
    assert!(other.take(&name("t")).unwrap().is_some(), "another one is free");
    drop(sheet);
    assert!(other.take(&name("s")).unwrap().is_some());
    assert!(!path(&dir, "s").exists(), "nothing was written: nothing stays");
}

/// Between opening a page's file and locking it, whoever held it may have removed it.
#[test]
fn nobody_holds_a_file_that_is_not_the_pages_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let (held, holds) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                // Its own locks, as another process has them.
                let files = Files::open(dir.path()).unwrap();
                for _ in 0..3_000 {
                    let Some(sheet) = files.take(&name("s")).unwrap() else { continue };
                    assert!(!held.swap(true, Ordering::SeqCst), "two hold it at once");
                    holds.fetch_add(1, Ordering::Relaxed);
                    thread::yield_now();
                    assert!(path(&dir, "s").exists(), "nobody would find what is written to it");
                    held.store(false, Ordering::SeqCst);
                    // Nothing stands in it: it is removed.
                    drop(sheet);
                }
            });
        }
    });
    assert!(holds.into_inner() >= 100);
}

/// What a power cut would take is what was not synced; no test can cut the power.
#[test]
fn a_name_is_on_the_disk_before_a_line_under_it_is_said_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (journal, pages) = (data.join("journal"), data.join("journal/integration"));
    SYNCED.take();
    let files = Files::open(&data).unwrap();
    assert_eq!(SYNCED.take(), [dir.path().to_owned(), data]);
    let mut sheet = take(&files, "s");
    assert_eq!(SYNCED.take(), [journal]);
    sheet.append(b"1\n").unwrap();
    assert_eq!(SYNCED.take(), [pages.as_path()], "a new page");
    sheet.append(b"2\n").unwrap();
    assert!(SYNCED.take().is_empty(), "its name is there already");
    sheet.replace(b"3\n").unwrap();
    assert_eq!(SYNCED.take(), [pages.as_path()], "another file under its name");
    sheet.put_aside().unwrap();
    assert_eq!(SYNCED.take(), [pages.as_path()], "no file under its name");
    sheet.append(b"4\n").unwrap();
    assert_eq!(SYNCED.take(), [pages.as_path()], "a new one");
}

#[test]
fn a_torn_line_is_cut_off_before_the_next_one_is_added() {
    let (dir, files) = folder();
    drop(take(&files, "s"));
    fs::write(path(&dir, "s"), b"{\"v\":2}\n{\"v\":2,\"gra").unwrap();
    let mut sheet = take(&files, "s");
    assert_eq!(sheet.read().unwrap(), b"{\"v\":2}\n");
    sheet.append(b"{}\n").unwrap();
    assert_eq!(fs::read(path(&dir, "s")).unwrap(), b"{\"v\":2}\n{}\n");
}

#[test]
fn replaced_and_put_aside_pages_are_still_held() {
    let (dir, files) = folder();
    let other = Files::open(dir.path()).unwrap();
    let mut sheet = take(&files, "s");
    sheet.append(b"1\n").unwrap();
    sheet.replace(b"2\n").unwrap();
    assert!(other.take(&name("s")).unwrap().is_none());
    sheet.append(b"3\n").unwrap();
    assert_eq!(fs::read(path(&dir, "s")).unwrap(), b"2\n3\n");
    let aside = sheet.put_aside().unwrap();
    assert_eq!(fs::read(&aside).unwrap(), b"2\n3\n");
    assert!(other.take(&name("s")).unwrap().is_none());
    sheet.append(b"4\n").unwrap();
    assert_eq!(sheet.read().unwrap(), b"4\n");
    sheet.clear().unwrap();
    drop(sheet);
    assert!(!path(&dir, "s").exists() && PathBuf::from(aside).exists());
    assert!(files.read_all("integration").unwrap().is_empty(), "what was put aside is not read again");
}

#[test]
fn what_was_put_aside_is_bounded_and_never_overwritten() {
    let (dir, files) = folder();
    let mut sheet = take(&files, "s");
    for number in 0..20 {
        sheet.append(format!("{number}\n").as_bytes()).unwrap();
        sheet.put_aside().unwrap();
    }
    drop(sheet);
    let entries = fs::read_dir(dir.path().join("journal/integration")).unwrap();
    let mut texts: Vec<_> = entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect();
    texts.sort();
    assert_eq!(texts, ["12\n", "13\n", "14\n", "15\n", "16\n", "17\n", "18\n", "19\n"]);
}

#[tokio::test]
async fn a_journal_on_the_disk_outlives_who_wrote_it() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path()).await;
    assert_eq!(journal.trouble(), None);
    let page = journal.try_hold(&name("s")).await.unwrap();
    let record = Record::intended(&name("s"), "api", "command");
    page.put(record.clone().now(State::Live)).await.unwrap();
    drop((page, journal));
    let next = Journal::open(dir.path()).await;
    let contents = next.read("integration").await;
    assert_eq!((contents.records.len(), contents.records[0].state), (1, State::Live));
    assert_eq!(next.try_hold(&name("s")).await.unwrap().record(&record.grant).await.unwrap().state, State::Live);
    let described = next.describe().await;
    assert!(described.contains(&dir.path().display().to_string()), "{described}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_costs_memory_only_and_is_used_once_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("data");
    fs::write(&place, "a file where the folder should be").unwrap();
    let journal = Journal::open(&place).await;
    assert!(journal.trouble().is_some());
    assert!(journal.describe().await.contains("in memory"));
    let page = journal.try_hold(&name("s")).await.unwrap();
    let record = Record::intended(&name("s"), "api", "command");
    page.put(record.clone()).await.unwrap();
    page.put(record.now(State::Live)).await.unwrap();
    drop(page);
    assert_eq!(journal.read("integration").await.records.len(), 1);
    fs::remove_file(&place).unwrap();
    let page = journal.try_hold(&name("t")).await.unwrap();
    page.put(Record::intended(&name("t"), "api", "command")).await.unwrap();
    assert_eq!(journal.trouble(), None);
    assert_eq!(Files::new(&place).read_all("integration").unwrap().len(), 1);
    drop(journal.try_hold(&name("s")).await);
    let found = Files::new(&place).read_all("integration").unwrap().len();
    assert_eq!(found, 2, "what was in memory is written when the page is held the next time");
}

//! What stands in pages, and what is made of odd ones.

use std::{fs, path::PathBuf};

use tempfile::TempDir;
use tokio::time::{Duration, Instant};

use super::super::{FORMAT, Journal, Name, Record, State, Unreadable, read};

fn name() -> Name {
    Name { integration: "integration".into(), subscription: "subscription".into() }
}

fn path(dir: &TempDir) -> PathBuf {
    dir.path().join("journal/integration/subscription.jsonl")
}

async fn journal_with(text: &[u8]) -> (TempDir, Journal) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("journal/integration")).unwrap();
    fs::write(path(&dir), text).unwrap();
    let journal = Journal::open(dir.path()).await;
    (dir, journal)
}

fn aside(dir: &TempDir) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(dir.path().join("journal/integration")).unwrap().map(|entry| entry.unwrap());
    let aside = entries.filter(|entry| entry.file_name().to_str().unwrap().contains(".aside-"));
    aside.map(|entry| fs::read(entry.path()).unwrap_or_else(|_| b"a folder".to_vec())).collect()
}

#[tokio::test]
async fn pages_of_the_previous_version_are_opened_and_go_on() {
    let (dir, journal) = journal_with(include_bytes!("../fixtures/version-1.jsonl")).await;
    let page = journal.try_hold(&name()).await.unwrap();
    let records = page.records().await;
    let states: Vec<_> = records.iter().map(|record| record.state).collect();
    assert_eq!(states, [State::Live, State::Intended]);
    assert_eq!((records[0].key_id.as_deref(), records[0].plan.as_deref(), records[0].tries), (Some("k1"), None, 0));
    page.put(Record { tries: 2, ..records[0].clone() }.now(State::Removing)).await.unwrap();
    drop(page);
    assert!(aside(&dir).is_empty());
    let text = fs::read_to_string(path(&dir)).unwrap();
    assert!(text.lines().last().unwrap().starts_with(&format!("{{\"v\":{FORMAT},")), "{text}");
    assert_eq!(read(text.as_bytes()).unwrap()[0].state, State::Removing);
}

#[tokio::test]
async fn a_newer_version_is_put_aside_and_not_misread() {
    let newer = b"{\"v\":3,\"grant\":\"g\",\"what\":\"ever\"}\n";
    assert_eq!(read(newer), Err(Unreadable::Newer { line: 1, found: 3 }));
    let (dir, journal) = journal_with(newer).await;
    assert_eq!(journal.read("integration").await.unreadable.len(), 1);
    assert!(journal.try_hold(&name()).await.unwrap().records().await.is_empty());
    assert_eq!(aside(&dir), [newer.to_vec()]);
}

#[tokio::test]
async fn what_cannot_be_read_is_put_aside_whole_and_the_page_is_used() {
    let foreign = Record::intended(&Name { subscription: "other".into(), ..name() }, "api", "command").line();
    let mut broken = Record::intended(&name(), "api", "command").line();
    broken[40] = 0;
    for odd in [&b"garbage\n"[..], b"\xff\xfe\n", b"\0\0\0\n", b"{}\n", b"[]\n", &foreign, &broken] {
        let (dir, journal) = journal_with(odd).await;
        let page = journal.try_hold(&name()).await.unwrap();
        assert!(page.records().await.is_empty());
        page.put(Record::intended(&name(), "api", "command")).await.unwrap();
        assert_eq!((journal.trouble(), aside(&dir)), (None, vec![odd.to_vec()]));
        assert_eq!(journal.read("integration").await.records.len(), 1);
    }
}

#[tokio::test]
async fn empty_and_torn_pages_are_nothing_to_put_aside() {
    for harmless in [&b""[..], b"{\"v\":2,\"gra", b"\0\0\0\0"] {
        let (dir, journal) = journal_with(harmless).await;
        drop(journal.try_hold(&name()).await.unwrap());
        drop(journal.try_hold(&name()).await.unwrap());
        assert_eq!((aside(&dir).len(), journal.trouble()), (0, None));
    }
}

#[tokio::test]
async fn a_huge_file_is_not_read_and_a_folder_in_a_pages_place_is_moved() {
    let (dir, journal) = journal_with(b"").await;
    fs::File::create(path(&dir)).unwrap().set_len(100 << 20).unwrap();
    assert_eq!(journal.read("integration").await.unreadable.len(), 1);
    let page = journal.try_hold(&name()).await.unwrap();
    page.put(Record::intended(&name(), "api", "command")).await.unwrap();
    assert_eq!((journal.trouble(), aside(&dir).len()), (None, 1));

    let (dir, journal) = journal_with(b"").await;
    fs::remove_file(path(&dir)).unwrap();
    fs::create_dir(path(&dir)).unwrap();
    let page = journal.try_hold(&name()).await.unwrap();
    page.put(Record::intended(&name(), "api", "command")).await.unwrap();
    assert_eq!((journal.trouble(), aside(&dir)), (None, vec![b"a folder".to_vec()]));
}

#[tokio::test]
async fn a_symbolic_link_is_not_followed() {
    let (dir, journal) = journal_with(b"").await;
    let target = dir.path().join("precious");
    fs::write(&target, "precious").unwrap();
    fs::remove_file(path(&dir)).unwrap();
    std::os::unix::fs::symlink(&target, path(&dir)).unwrap();
    let page = journal.try_hold(&name()).await.unwrap();
    page.put(Record::intended(&name(), "api", "command")).await.unwrap();
    assert!(journal.trouble().is_some());
    assert_eq!(fs::read_to_string(target).unwrap(), "precious");
}

#[tokio::test]
async fn a_page_that_is_written_for_ever_stays_small() {
    let (dir, journal) = journal_with(b"").await;
    let page = journal.try_hold(&name()).await.unwrap();
    let mut record = Record::intended(&name(), "api", "command").now(State::Removing);
    for tries in 0..700 {
        record.tries = tries;
        record.why = Some("x".repeat(100));
        page.put(record.clone()).await.unwrap();
    }
    let size = fs::metadata(path(&dir)).unwrap().len();
    assert!(size <= 65 << 10, "{size}");
    assert_eq!(read(&fs::read(path(&dir)).unwrap()).unwrap()[0].tries, 699);
}

#[tokio::test]
async fn unknown_fields_are_passed_over() {
    let line = String::from_utf8(Record::intended(&name(), "api", "command").line()).unwrap();
    let more = line.replace("\"v\":2", "\"v\":2,\"later\":{\"a\":[1]}");
    assert_eq!(read(more.as_bytes()).unwrap().len(), 1);
}

#[tokio::test]
async fn a_held_page_is_waited_for_and_pages_let_go_of_leave_no_file_open() {
    let (dir, journal) = journal_with(b"").await;
    let other = Journal::open(dir.path()).await;
    let page = journal.try_hold(&name()).await.unwrap();
    assert!(journal.try_hold(&name()).await.is_none());
    let soon = Instant::now() + Duration::from_millis(60);
    assert!(other.hold(&name(), soon).await.is_err(), "another process");
    let waiting = tokio::spawn({
        let other = other.clone();
        async move { other.hold(&name(), Instant::now() + Duration::from_secs(10)).await.map(drop) }
    });
    page.put(Record::intended(&name(), "api", "command").now(State::Live)).await.unwrap();
    drop(page);
    waiting.await.unwrap().unwrap();
    for number in 0..200 {
        let name = Name { subscription: format!("s{number}"), ..name() };
        let page = journal.try_hold(&name).await.unwrap();
        page.put(Record::intended(&name, "api", "command").now(State::Live)).await.unwrap();
    }
    drop(journal.try_hold(&name()).await);
    let open = fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    let ours = open.filter(|path| path.starts_with(dir.path())).count();
    assert!(ours <= 2, "{ours} files are open, and 200 grants are live");
}

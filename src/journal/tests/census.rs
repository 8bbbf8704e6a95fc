//! The journal in numbers.

use std::{collections::BTreeMap, fs};

use tempfile::TempDir;
use tokio::time::Instant;

use super::{
    super::{Journal, Name, Record, State},
    faults::{name, record},
    flaky::{Fate, Flaky},
};
use crate::observe::{Census, Ledger};

async fn put(journal: &Journal, subscription: &str, states: &[State]) {
    let name = Name { integration: "one".into(), subscription: subscription.into() };
    let page = journal.hold(&name, Instant::now()).await.unwrap();
    for state in states {
        assert!(page.put(Record::intended(&name, "orders", "c1").now(*state)).await.is_ok());
    }
}

#[tokio::test]
async fn grants_are_counted_by_state_and_what_cannot_be_read_is_not_passed_over() {
    let data = TempDir::new().unwrap();
    let journal = Journal::open(data.path()).await;
    assert_eq!(journal.census("one").unwrap(), Census::default(), "there is no folder yet");
    put(&journal, "s1", &[State::Live, State::Live, State::Gone]).await;
    put(&journal, "s2", &[State::Stuck]).await;
    let census = journal.census("one").unwrap();
    assert_eq!(census.grants, BTreeMap::from([("live", 2), ("stuck", 1)]));
    let folder = data.path().join("journal").join("one");
    let on_disk: u64 = fs::read_dir(&folder).unwrap().map(|page| page.unwrap().metadata().unwrap().len()).sum();
    assert_eq!((census.bytes, census.unreadable), (on_disk, 0));

    fs::write(folder.join("s2.jsonl"), "what is this\n").unwrap();
    let census = journal.census("one").unwrap();
    assert_eq!((census.grants, census.unreadable), (BTreeMap::from([("live", 2)]), 1));
    assert_eq!(journal.census("two").unwrap(), Census::default());
    assert!(!journal.states().contains(&"gone"));
}

#[tokio::test]
async fn what_the_disk_did_not_take_counts_too_and_once() {
    let disk = Flaky::default();
    let journal = Journal::new(std::sync::Arc::new(disk.clone()));
    let page = journal.hold(&name(), Instant::now()).await.unwrap();
    assert!(page.put(record(0, State::Unconfirmed)).await.is_ok());
    disk.0.lock().unwrap().fates = vec![Fate::Failed; 9];
    let _ = page.put(record(0, State::Live)).await;
    let _ = page.put(record(1, State::Stuck)).await;
    drop(page);
    assert!(Ledger::trouble(&journal).is_some());
    let census = journal.census(&name().integration).unwrap();
    assert_eq!(census.grants, BTreeMap::from([("live", 1), ("stuck", 1)]));
}

//! A journal that cannot be written at the worst moment.

use std::sync::atomic::AtomicBool;

use super::*;
use crate::journal::{Found as Lying, Memory, Name, Record, Sheet, State as Stage, Store};

/// A disk on which nothing can be changed while it is full.
#[derive(Debug, Clone, Default)]
struct Full {
    disk: Memory,
    full: Arc<AtomicBool>,
}

#[derive(Debug)]
struct FullSheet(Box<dyn Sheet>, Arc<AtomicBool>);

impl Store for Full {
    fn read_all(&self, integration: &str) -> io::Result<Vec<Lying>> {
        self.disk.read_all(integration)
    }

    fn take(&self, name: &Name) -> io::Result<Option<Box<dyn Sheet>>> {
        Ok(self.disk.take(name)?.map(|sheet| Box::new(FullSheet(sheet, Arc::clone(&self.full))) as _))
    }
}

impl FullSheet {
    fn room(&self) -> io::Result<()> {
        if self.1.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl Sheet for FullSheet {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.0.read()
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.room().and_then(|()| self.0.append(line))
    }

    fn clear(&mut self) -> io::Result<()> {
        self.room().and_then(|()| self.0.clear())
    }

    fn replace(&mut self, text: &[u8]) -> io::Result<()> {
        self.room().and_then(|()| self.0.replace(text))
    }

    fn put_aside(&mut self) -> io::Result<String> {
        self.room().and_then(|()| self.0.put_aside())
    }
}

/// What the journal knows of the grant.
fn live() -> Record {
    let name = Name { integration: "integration-1".into(), subscription: "s1".into() };
    let metadata = Texts::from([("key-id".into(), "key-of-s1".into())]);
    Record { key_id: Some("key-of-s1".into()), metadata, ..Record::intended(&name, "orders", "c0") }.now(Stage::Live)
}

#[tokio::test]
async fn a_failed_unsubscribe_that_the_journal_cannot_take_back_is_named_whether_its_grant_was_known_or_not() {
    for known in [vec![live()], vec![]] {
        let log = Log::new();
        let disk = Full::default();
        let (full, journal) = (Arc::clone(&disk.full), Journal::new(Arc::new(disk.clone())));
        for record in known {
            journal.try_hold(&record.name()).await.unwrap().put(record).await.unwrap();
        }
        let filling = Arc::clone(&full);
        let gateway = Gateway::of(&[]).unsubscribe(move |_, _| {
            // Between the two lines.
            filling.store(true, Ordering::SeqCst);
            async { Err(Error::denied("no right")) }
        });
        let rig = Rig::on(journal, gateway, |_| {});
        let mut line = rig.connect();
        let mut asked = subscription("s1");
        asked.metadata.insert("key-id".into(), "key-of-s1".into());
        let body = CommandBody::Unsubscribe { api_id: "orders".into(), subscription: asked };
        assert_eq!(sentence(&rig.ask(&mut line, "c1", body).await), "no right");
        let named = log.with("UNSUBSCRIBE has failed");
        assert_eq!(named.len(), 1, "{}", log.text());
        for part in ["ERROR", "subscription=\"s1\"", "key-of-s1"] {
            assert!(named[0].contains(part), "{named:?}");
        }
        assert_eq!(rig.book("s1").await, [("key-of-s1".into(), "live")], "it is known while this process lives");

        full.store(false, Ordering::SeqCst);
        drop(rig.journal.try_hold(&live().name()).await.unwrap());
        let next = Journal::new(Arc::new(disk)).read("integration-1").await.records;
        assert_eq!(next.into_iter().map(|record| record.state).collect::<Vec<_>>(), [Stage::Live]);
    }
}

#[tokio::test]
async fn what_the_disk_did_not_take_is_written_at_the_end_or_named() {
    for stays_full in [false, true] {
        let log = Log::new();
        let disk = Full::default();
        let (full, journal) = (Arc::clone(&disk.full), Journal::new(Arc::new(disk.clone())));
        full.store(true, Ordering::SeqCst);
        let rig = Rig::on(journal, Gateway::of(&[]), |_| {});
        rig.journal.try_hold(&live().name()).await.unwrap().put(live()).await.unwrap();
        let lies_there = async || Journal::new(Arc::new(disk.clone())).read("integration-1").await.records.len();
        assert_eq!(lies_there().await, 0);

        full.store(stays_full, Ordering::SeqCst);
        rig.agent.write_rest().await;
        let named = log.with("the disk did not take what the journal knows");
        if stays_full {
            assert_eq!(named.len(), 1, "{}", log.text());
            assert!(named[0].contains("ERROR") && named[0].contains("subscriptions=\"s1\""), "{named:?}");
        } else {
            assert_eq!((lies_there().await, named.len()), (1, 0), "{}", log.text());
        }
    }
}

//! A page that is held: what is known of a subscription's grants, and how that reaches the folder.
//!
//! When the folder fails, what lies there may stay as long as settling by it would be right: an earlier state, at worst.
//! It must not stay where it would have a key removed that the plane may have; then it is put aside.

use std::{
    io::{Error, ErrorKind},
    mem,
    sync::Arc,
};

use tokio::{runtime::Handle, sync::oneshot, time::timeout};

use super::{Journal, Name, Record, Sheet, State, held::Mine, record::read};

/// A page that grows larger is written anew, with what counts.
const LARGE: usize = 64 << 10;

/// A page that is held. Dropping it lets go of it.
#[derive(Debug)]
pub struct Page {
    journal: Journal,
    name: Name,
    leaf: tokio::sync::Mutex<Leaf>,
    mine: Option<Mine>,
}

#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) disk: Disk,
    pub(super) known: Known,
    /// Whether the folder says what is known.
    pub(super) kept: bool,
    /// How many bytes lie in the folder.
    pub(super) bytes: usize,
}

/// What is known of a subscription's grants.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// Those that are not gone, the oldest first.
    pub(super) records: Vec<Record>,
    /// Those that are, as long as the folder may say something else.
    pub(super) gone: Vec<String>,
    /// What the folder may say of which grant.
    pub(super) laid: Vec<(String, State)>,
    /// The folder could not be asked.
    pub(super) blind: bool,
}

/// The page's file.
#[derive(Debug)]
pub(super) enum Disk {
    Here(Box<dyn Sheet>),
    /// A thread has it, and gives it back when the disk has answered.
    Away(oneshot::Receiver<Box<dyn Sheet>>),
    /// It could not be taken.
    Gone,
}

/// What lies in the journal's folder would have a key removed that the plane may have, and could not be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal could not be written, and what it holds of this subscription is out of date")]
pub struct Stale;

/// How the file is to change.
enum Change {
    Append(Vec<u8>),
    Replace(Vec<u8>),
    Clear,
}

/// What came of it.
struct Failed {
    error: Error,
    /// What lies there now, if that could be read.
    laid: Option<Vec<Record>>,
}

impl Known {
    pub(super) fn laid_as(records: &[Record]) -> Vec<(String, State)> {
        records.iter().map(|record| (record.grant.clone(), record.state)).collect()
    }

    /// What is known now may be in the folder soon.
    fn lay_all(&mut self) {
        for laid in Self::laid_as(&self.records) {
            if !self.laid.contains(&laid) {
                self.laid.push(laid);
            }
        }
    }

    /// Whether settling by what the folder may say could remove a key that the plane may have.
    fn is_dangerous(&self) -> bool {
        self.laid.iter().any(|(grant, laid)| {
            let now = self.records.iter().find(|record| record.grant == *grant).map(|record| record.state);
            matches!(laid, State::Making | State::Made | State::Removing)
                && matches!(now, Some(State::Unconfirmed | State::Live))
        })
    }

    /// Adds what the folder tells of grants that nothing is known of: another process wrote it meanwhile.
    pub(super) fn merge(&mut self, folder: Vec<Record>) {
        for record in folder {
            let known = self.gone.contains(&record.grant) || self.records.iter().any(|one| one.grant == record.grant);
            if !known {
                self.records.push(record);
            }
        }
    }
}

impl Page {
    pub(super) fn new(journal: Journal, name: Name, mine: Mine, leaf: Leaf) -> Self {
        Self { journal, name, leaf: tokio::sync::Mutex::new(leaf), mine: Some(mine) }
    }

    /// The grants of this subscription that are not gone, the oldest first.
    pub async fn records(&self) -> Vec<Record> {
        self.leaf.lock().await.known.records.clone()
    }

    /// The record of `grant` as it stands.
    pub async fn record(&self, grant: &str) -> Option<Record> {
        self.leaf.lock().await.known.records.iter().find(|record| record.grant == grant).cloned()
    }

    /// Writes `record` in the place of the one of the same grant. When this returns it outlives the process, unless the
    /// journal is in [trouble](Journal::trouble): then the page goes on in memory, and is written with the next record
    /// that can be. What lies in the folder then is an earlier state by which settling would be right, or nothing.
    /// When it is cancelled, either may be there.
    ///
    /// # Errors
    /// [`Stale`]: not even that could be done.
    pub async fn put(&self, record: Record) -> Result<(), Stale> {
        let state = record.state.word();
        crate::faultpoint::reached(&format!("journal:{state}:before")).await;
        let mut leaf = self.leaf.lock().await;
        let line = record.line();
        let Known { records, gone, laid, blind } = &mut leaf.known;
        let place = records.iter().position(|known| known.grant == record.grant);
        if *blind && place.is_none() && record.state != State::Intended {
            // It began before this page was held: the folder may say anything of it.
            laid.push((record.grant.clone(), State::Making));
        }
        match (place, record.state == State::Gone) {
            (Some(place), true) => gone.push(records.remove(place).grant),
            (Some(place), false) => records[place] = record,
            (None, true) => {}
            (None, false) => records.push(record),
        }
        let written = self.write(&mut leaf, Some(line)).await;
        drop(leaf);
        crate::faultpoint::reached(&format!("journal:{state}:after")).await;
        written
    }

    /// Writes all that is known once more, where the folder does not say it.
    pub(super) async fn catch_up(&self) {
        let mut leaf = self.leaf.lock().await;
        if !leaf.kept {
            // Whether it is stale is asked when something is put.
            let _ = self.write(&mut leaf, None).await;
        }
    }

    async fn write(&self, leaf: &mut Leaf, line: Option<Vec<u8>>) -> Result<(), Stale> {
        let all: Vec<u8> = leaf.known.records.iter().flat_map(Record::line).collect();
        let large = LARGE.max(2 * all.len());
        let (change, bytes) = match line {
            _ if leaf.known.records.is_empty() => (Change::Clear, 0),
            Some(line) if leaf.kept && leaf.bytes + line.len() <= large => {
                let bytes = leaf.bytes + line.len();
                (Change::Append(line), bytes)
            }
            _ => {
                let bytes = all.len();
                (Change::Replace(all), bytes)
            }
        };
        // Should this be cancelled, nobody knows what is there.
        leaf.kept = false;
        let failed = match self.change(leaf, change).await {
            Ok(()) => {
                (leaf.kept, leaf.bytes) = (true, bytes);
                leaf.known.gone.clear();
                leaf.known.laid = Known::laid_as(&leaf.known.records);
                leaf.known.blind = false;
                self.journal.astray().remove(&self.name);
                self.journal.works_again();
                return Ok(());
            }
            Err(failed) => failed,
        };
        self.journal.troubled(&failed.error);
        if let Some(laid) = failed.laid {
            leaf.known.laid = Known::laid_as(&laid);
        }
        self.journal.astray().insert(self.name.clone(), leaf.known.clone());
        if leaf.known.is_dangerous() { Err(Stale) } else { Ok(()) }
    }

    /// Changes the file where that may block, and waits for it a little while only.
    async fn change(&self, leaf: &mut Leaf, change: Change) -> Result<(), Failed> {
        let lost = |error| Failed { error, laid: None };
        let patience = self.journal.patience();
        if let Disk::Away(back) = &mut leaf.disk {
            leaf.disk = match timeout(patience, back).await {
                Ok(sheet) => sheet.map_or(Disk::Gone, Disk::Here),
                Err(_) => return Err(lost(self.journal.late())),
            };
        }
        let permit = timeout(patience, Arc::clone(&self.journal.0.threads).acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(lost(self.journal.late())) };
        let (give_back, back) = oneshot::channel();
        let Disk::Here(mut sheet) = mem::replace(&mut leaf.disk, Disk::Gone) else {
            return Err(lost(Error::new(ErrorKind::NotFound, "the page's file could not be opened")));
        };
        let dangerous = leaf.known.is_dangerous();
        leaf.known.lay_all();
        let busy = self.journal.busy(&self.name);
        let (tell, mut told) = oneshot::channel();
        tokio::task::spawn_blocking(move || {
            let changed = match change {
                Change::Append(line) => sheet.append(&line),
                Change::Replace(all) => sheet.replace(&all),
                Change::Clear => sheet.clear(),
            };
            let changed = changed.map_err(|error| {
                if dangerous && !put_aside(sheet.as_mut()) {
                    // For lack of room, perhaps; emptying it asks for none.
                    let _ = sheet.clear();
                }
                let laid = sheet.read().ok().and_then(|text| read(&text).ok());
                Failed { error, laid }
            });
            let _ = tell.send(changed);
            // Nobody there to take it back: let go of here, where that may block.
            drop(give_back.send(sheet));
            drop((busy, permit));
        });
        leaf.disk = Disk::Away(back);
        let changed = timeout(patience, &mut told).await;
        let Disk::Away(returned) = &mut leaf.disk else { return Err(lost(self.journal.late())) };
        match changed {
            Ok(Ok(changed)) => {
                leaf.disk = returned.await.map_or(Disk::Gone, Disk::Here);
                changed
            }
            Ok(Err(_)) => Err(lost(Error::other("the thread that wrote has ended"))),
            Err(_) => Err(lost(self.journal.late())),
        }
    }
}

/// Whether what lay in `sheet` is out of the way.
fn put_aside(sheet: &mut dyn Sheet) -> bool {
    sheet.put_aside().map_or_else(|error| error.kind() == ErrorKind::WouldBlock, |_| true)
}

impl Drop for Page {
    /// Lets go of the file where that may block; whoever wants the page next waits for it.
    fn drop(&mut self) {
        let (Some(mine), disk) = (self.mine.take(), mem::replace(&mut self.leaf.get_mut().disk, Disk::Gone)) else {
            return;
        };
        let Disk::Here(sheet) = disk else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        mine.closing();
        let threads = Arc::clone(&self.journal.0.threads);
        runtime.spawn(async move {
            let permit = threads.acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                drop(sheet);
                drop((mine, permit));
            });
        });
    }
}

//! The journal: what is being done to grants, on the disk before it is done, so that whoever comes after a crash can
//! finish or undo it. Holds no secret.
//!
//! A page is a subscription of an integration; a line in it is a [`Record`] of one of its grants. Whoever writes a page
//! [holds](Journal::hold) it, and nobody else in any process that shares the folder can write it meanwhile. A journal
//! that cannot be read or written never stops anybody: what lies there is put aside under another name, the log says
//! what that costs, and the page goes on in memory.

mod files;
pub mod ingested;
mod memory;
mod names;
mod place;
mod record;
mod store;

pub use files::Files;
pub use memory::Memory;
pub use place::{Lasting, lasting};
pub use record::{FORMAT, Record, State, Unreadable, read};
pub use store::{Found, Name, Sheet, Store};

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use crate::model::{Error, Texts};

/// A disk that does not answer for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many threads may wait for the disk: name look-ups need the others.
const AT_ONCE: usize = 2;

/// How often a page is asked for that another process holds.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// The journal of a process. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    /// The folder that it lies in.
    folder: Option<PathBuf>,
    /// The pages that could not be kept in the store.
    memory: Memory,
    threads: Arc<Semaphore>,
    trouble: Mutex<Option<String>>,
}

/// What the journal knows of an integration.
#[derive(Debug, Default)]
pub struct Contents {
    /// Its grants, by subscription, the oldest first.
    pub records: Vec<Record>,
    /// Pages that cannot be read: which, as far as it is known, and a sentence.
    pub unreadable: Vec<(Option<Name>, String)>,
}

/// A page that is held. Dropping it lets go of it.
#[derive(Debug)]
pub struct Page {
    journal: Journal,
    name: Name,
    leaf: tokio::sync::Mutex<Leaf>,
}

#[derive(Debug)]
struct Leaf {
    /// `None` while a thread has it, and when a thread never gave it back.
    sheet: Option<Box<dyn Sheet>>,
    records: Vec<Record>,
}

impl Journal {
    /// A journal in `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self::with(store, None)
    }

    /// The journal in `dir`/journal. Touches nothing yet: [`look`](Self::look) does.
    pub fn at(dir: &Path) -> Self {
        let files = Files::new(dir);
        let folder = files.folder().to_owned();
        Self::with(Arc::new(files), Some(folder))
    }

    /// Makes the folder if need be, and tries it. In one that cannot be used, what is written goes on in memory, the log
    /// says what that costs, and [`trouble`](Self::trouble) tells why; it is used as soon as it can.
    pub async fn look(&self) {
        let Some(folder) = &self.0.folder else { return };
        let files = folder.parent().map(Files::new);
        if let Err(error) = self.blocking(move || files.map_or(Ok(()), |files| files.check())).await {
            self.troubled(&error);
        }
    }

    /// The journal in `dir`/journal, [looked at](Self::look).
    pub async fn open(dir: &Path) -> Self {
        let journal = Self::at(dir);
        journal.look().await;
        journal
    }

    /// For people: where it lies, and whether that outlives the container. A sentence without its full stop.
    pub async fn describe(&self) -> String {
        let Some(folder) = self.0.folder.clone() else {
            return "the journal of grants is in memory: it ends with this process".into();
        };
        let place = folder.display().to_string();
        if let Some(trouble) = self.trouble() {
            return format!(
                "the journal of grants is in memory, and ends with this process: {place} cannot be used ({trouble})"
            );
        }
        let lasting = self.blocking(move || Ok(place::of(&folder))).await.unwrap_or(Lasting::Unknown);
        format!("the journal of grants is in {place}, {lasting}")
    }

    fn with(store: Arc<dyn Store>, folder: Option<PathBuf>) -> Self {
        Self(Arc::new(Inner {
            store,
            folder,
            memory: Memory::default(),
            threads: Arc::new(Semaphore::new(AT_ONCE)),
            trouble: Mutex::default(),
        }))
    }

    /// A journal that ends with the process.
    pub fn in_memory() -> Self {
        Self::new(Arc::new(Memory::default()))
    }

    /// Where it lies; `None`: in memory.
    pub fn folder(&self) -> Option<&Path> {
        self.0.folder.as_deref()
    }

    /// Why what is written now would not outlive the process; `None`: it does, as far as is known.
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known of `integration`, without holding anything: others may be writing.
    pub async fn read(&self, integration: &str) -> Contents {
        let mut contents = Contents::default();
        let (store, whose) = (Arc::clone(&self.0.store), integration.to_owned());
        let mut found = match self.blocking(move || store.read_all(&whose)).await {
            Ok(found) => found,
            Err(error) => {
                contents.unreadable.push((None, format!("the journal cannot be read: {error}")));
                Vec::new()
            }
        };
        found.retain(|page| page.name.as_ref().is_none_or(|name| !self.0.memory.has(name)));
        found.extend(self.0.memory.read_all(integration).unwrap_or_default());
        for page in found {
            let read = match &page.text {
                Ok(text) => read(text).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match read {
                Ok(records) => contents.records.extend(records),
                Err(why) => contents.unreadable.push((page.name, format!("{}: {why}", page.place))),
            }
        }
        contents.records.sort_by_key(|record| record.since);
        contents
    }

    /// Takes the page of `name` for writing, waiting for whoever has it until `by`. What cannot be read in it is put
    /// aside.
    ///
    /// # Errors
    /// `Unavailable`: another process has it all that time.
    pub async fn hold(&self, name: &Name, by: Instant) -> Result<Page, Error> {
        loop {
            if let Some(page) = self.try_hold(name).await {
                return Ok(page);
            }
            if Instant::now() >= by {
                return Err(Error::unavailable(
                    "another agent on the same data folder works on this subscription; nothing was done, try again in \
                     a minute",
                ));
            }
            sleep(ASK_AGAIN.min(by.saturating_duration_since(Instant::now()))).await;
        }
    }

    /// The same without waiting; `None` while somebody else has it.
    pub async fn try_hold(&self, name: &Name) -> Option<Page> {
        let in_memory = self.0.memory.has(name);
        let store = if in_memory { Arc::new(self.0.memory.clone()) } else { Arc::clone(&self.0.store) };
        let wanted = name.clone();
        let taken = self.blocking(move || {
            let Some(mut sheet) = store.take(&wanted)? else { return Ok(None) };
            let text = match sheet.read() {
                Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(error.to_string()),
                text => Ok(text?),
            };
            Ok(Some((sheet, text)))
        });
        let (mut sheet, text) = match taken.await {
            Ok(Some(taken)) => taken,
            Ok(None) => return None,
            Err(error) => {
                self.troubled(&error);
                (self.0.memory.take(name).ok().flatten()?, Ok(Vec::new()))
            }
        };
        let records = match text.and_then(|text| read(&text).map_err(|why| why.to_string())) {
            Ok(records) => records,
            Err(why) => {
                let put_aside = self.blocking(move || {
                    let place = sheet.put_aside()?;
                    Ok((sheet, place))
                });
                let place;
                (sheet, place) = match put_aside.await {
                    Ok(put_aside) => put_aside,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                    Err(error) => {
                        self.troubled(&error);
                        (self.0.memory.take(name).ok().flatten()?, "left where it is".to_owned())
                    }
                };
                tracing::error!(
                    integration = name.integration,
                    subscription = name.subscription,
                    place,
                    "what the journal knew of this subscription cannot be read and was put aside ({why}): if it was in \
                     the making, its key may be left in the gateway; `federation-agent grants --orphans` finds it"
                );
                Vec::new()
            }
        };
        let leaf = tokio::sync::Mutex::new(Leaf { sheet: Some(sheet), records });
        Some(Page { journal: self.clone(), name: name.clone(), leaf })
    }

    /// Runs `work` where it may block, and waits for it a little while only.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("the disk has not answered for {PATIENCE:?}"));
        let threads = Arc::clone(&self.0.threads);
        let patience = if self.trouble().is_some() { PATIENCE / 10 } else { PATIENCE };
        let working = async {
            let permit = threads.acquire_owned().await.map_err(io::Error::other)?;
            let task = tokio::task::spawn_blocking(move || {
                let done = work();
                drop(permit);
                done
            });
            task.await.map_err(io::Error::other)?
        };
        timeout(patience, working).await.map_err(|_| late())?
    }

    /// The store failed: told once, until it works again.
    fn troubled(&self, error: &io::Error) {
        let mut trouble = self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_none() {
            let place = self.0.folder.as_ref().map_or_else(String::new, |folder| format!(" in {}", folder.display()));
            tracing::error!(
                "the journal{place} cannot be written ({error}): it goes on in memory, and what is under way when this \
                 process dies is not settled by the next one; give the agent a folder with room that it may write \
                 (FEDERATION_AGENT_DATA_DIR): in the image it runs as user 65532, who must own what is mounted there"
            );
        }
        *trouble = Some(error.to_string());
    }

    fn works_again(&self) {
        if self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!("the journal can be written again");
        }
    }
}

impl Page {
    /// The grants of this subscription that are not gone, the oldest first.
    pub async fn records(&self) -> Vec<Record> {
        self.leaf.lock().await.records.clone()
    }

    /// The record of `grant` as it stands.
    pub async fn record(&self, grant: &str) -> Option<Record> {
        self.leaf.lock().await.records.iter().find(|record| record.grant == grant).cloned()
    }

    /// Writes `record` in the place of the one of the same grant; when this returns it outlives the process, unless the
    /// journal is in [trouble](Journal::trouble): then the page goes on in memory, and what lay in the folder is put
    /// aside, so that nobody takes it for the truth later.
    ///
    /// # Errors
    /// [`Stale`]: not even that could be done, and what lies in the folder now says something that is not true.
    pub async fn put(&self, record: Record) -> Result<(), Stale> {
        let state = record.state.word();
        crate::faultpoint::reached(&format!("journal:{state}:before")).await;
        let mut leaf = self.leaf.lock().await;
        let line = record.line();
        let first = leaf.records.is_empty();
        leaf.records.retain(|known| known.grant != record.grant || record.state != State::Gone);
        if record.state != State::Gone {
            match leaf.records.iter_mut().find(|known| known.grant == record.grant) {
                Some(known) => *known = record,
                None => leaf.records.push(record),
            }
        }
        let empty = leaf.records.is_empty();
        let sheet = leaf.sheet.take();
        let writing = self.journal.blocking(move || {
            let Some(mut sheet) = sheet else { return Err(io::Error::other("an earlier write has not come back")) };
            let written = if empty { sheet.clear() } else { sheet.append(&line) };
            Ok(match written {
                Ok(()) => Written::Kept(sheet),
                Err(error) if first => Written::Lost(error),
                Err(error) => match sheet.put_aside() {
                    Ok(_) => Written::Lost(error),
                    Err(aside) if aside.kind() == io::ErrorKind::WouldBlock => Written::Lost(error),
                    Err(_) => Written::Stale(error),
                },
            })
        });
        let written =
            writing.await.unwrap_or_else(|error| if first { Written::Lost(error) } else { Written::Stale(error) });
        let outdated = matches!(written, Written::Stale(_));
        match written {
            Written::Kept(sheet) => {
                leaf.sheet = Some(sheet);
                if !self.journal.0.memory.has(&self.name) {
                    self.journal.works_again();
                }
            }
            Written::Lost(error) | Written::Stale(error) => {
                self.journal.troubled(&error);
                self.go_on_in_memory(&mut leaf);
            }
        }
        drop(leaf);
        crate::faultpoint::reached(&format!("journal:{state}:after")).await;
        if outdated { Err(Stale) } else { Ok(()) }
    }

    /// From now on the page is in memory, with all that is known.
    fn go_on_in_memory(&self, leaf: &mut Leaf) {
        if let Ok(Some(mut sheet)) = self.journal.0.memory.take(&self.name) {
            let lines: Vec<u8> = leaf.records.iter().flat_map(Record::line).collect();
            // Memory does not fail.
            let _ = sheet.clear().and_then(|()| sheet.append(&lines));
            leaf.sheet = Some(sheet);
        }
    }
}

/// What came of a write.
enum Written {
    Kept(Box<dyn Sheet>),
    /// It could not be written, and what was written before is out of the way.
    Lost(io::Error),
    /// It could not be written, and what was written before lies there still.
    Stale(io::Error),
}

/// What lies in the journal's folder about a subscription is not true any more, and could not be taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the journal could not be written, and what it holds of this subscription is out of date")]
pub struct Stale;

impl Record {
    /// A grant that is intended for the subscription of `name`.
    pub fn intended(name: &Name, api: &str, command: &str) -> Self {
        Self {
            grant: uuid::Uuid::new_v4().to_string(),
            integration: name.integration.clone(),
            subscription: name.subscription.clone(),
            api: api.to_owned(),
            plan: None,
            command: command.to_owned(),
            key_id: None,
            metadata: Texts::new(),
            state: State::Intended,
            since: SystemTime::now(),
            tries: 0,
            why: None,
        }
    }

    /// The same in another state, since now.
    #[must_use]
    pub fn now(self, state: State) -> Self {
        Self { state, since: SystemTime::now(), ..self }
    }

    /// Whose page it stands in.
    pub fn name(&self) -> Name {
        Name { integration: self.integration.clone(), subscription: self.subscription.clone() }
    }
}

#[cfg(test)]
mod tests;

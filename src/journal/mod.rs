//! The journal: what is being done to grants, on the disk before it is done, so that whoever comes after a crash can
//! finish or undo it. Holds no secret.
//!
//! A page is a subscription of an integration; a line in it is a [`Record`] of one of its grants. Whoever writes a page
//! [holds](Journal::hold) it, and nobody else in any process that shares the folder can write it meanwhile. A journal
//! that cannot be read or written never stops anybody: what cannot be read is put aside under another name, what cannot
//! be written goes on in memory until it can, and the log says what that costs.

mod census;
mod disk;
mod files;
mod held;
pub mod ingested;
mod memory;
mod names;
mod page;
mod paper;
mod place;
mod record;
mod store;

pub use files::Files;
pub use memory::Memory;
pub use page::{Page, Stale};
pub use place::{Lasting, is_contained, lasting, of as lasting_of};
pub use record::{FORMAT, Record, State, Unreadable, read};
pub use store::{Found, Name, Sheet, Store};

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    sync::Semaphore,
    time::{Instant, timeout, timeout_at},
};

use self::{
    held::{Held, Mine},
    page::{Disk, Known, Leaf},
};
use crate::model::{Error, Texts};

/// A disk that does not answer for so long is not waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same when the last thing that was asked of it has failed.
const LITTLE_PATIENCE: Duration = Duration::from_millis(250);

/// How many threads may wait for the disk: name look-ups need the others.
const AT_ONCE: usize = 2;

/// How often a page is asked for that another process holds.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// The journal of a process. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    /// The folder that it lies in.
    folder: Option<PathBuf>,
    held: Held,
    /// The pages of which the store does not say all that is known.
    astray: Mutex<HashMap<Name, Known>>,
    /// The pages whose files threads are writing.
    busy: Mutex<HashSet<Name>>,
    threads: Arc<Semaphore>,
    trouble: Mutex<Option<String>>,
}

/// What the journal knows of an integration.
#[derive(Debug, Default)]
pub struct Contents {
    /// Its grants, those first that have stood longest as they stand.
    pub records: Vec<Record>,
    /// Pages that cannot be read: which, as far as it is known, and a sentence.
    pub unreadable: Vec<(Option<Name>, String)>,
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
        self.place().await.0
    }

    /// The same, and whether what lies there outlives the next replacement of the container, as far as is known.
    pub async fn place(&self) -> (String, bool) {
        let Some(folder) = self.0.folder.clone() else {
            return ("the journal of grants is in memory: it ends with this process".into(), false);
        };
        let place = folder.display().to_string();
        if let Some(trouble) = self.trouble() {
            let line = format!(
                "the journal of grants is in memory, and ends with this process: {place} cannot be used ({trouble})"
            );
            return (line, false);
        }
        let lasting = self.blocking(move || Ok(place::of(&folder))).await.unwrap_or(Lasting::Unknown);
        let lasts = !matches!(lasting, Lasting::Container | Lasting::Memory);
        (format!("the journal of grants is in {place}, {lasting}"), lasts)
    }

    fn with(store: Arc<dyn Store>, folder: Option<PathBuf>) -> Self {
        Self(Arc::new(Inner {
            store,
            folder,
            held: Held::default(),
            astray: Mutex::default(),
            busy: Mutex::default(),
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
        {
            let astray = self.astray();
            found.retain(|page| page.name.as_ref().is_none_or(|name| !astray.contains_key(name)));
            let known = astray.iter().filter(|(name, _)| name.integration == integration);
            contents.records.extend(known.flat_map(|(_, known)| known.records.clone()));
        }
        for page in found {
            let read = match &page.text {
                Ok(text) => read_page(page.name.as_ref(), text),
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
            // Another process tells nobody when it lets go.
            let _ = timeout_at(by.min(Instant::now() + ASK_AGAIN), self.0.held.let_go.notified()).await;
        }
    }

    /// The same without waiting; `None` while somebody else has it.
    pub async fn try_hold(&self, name: &Name) -> Option<Page> {
        let by = Instant::now() + self.patience();
        let mine = Mine::take(self, name, by).await?;
        let (store, wanted) = (Arc::clone(&self.0.store), name.clone());
        let taken = if self.is_free(name, by).await {
            self.blocking(move || {
                let Some(mut sheet) = store.take(&wanted)? else { return Ok(None) };
                let text = match sheet.read() {
                    Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(error.to_string()),
                    text => Ok(text?),
                };
                Ok(Some((sheet, text)))
            })
            .await
        } else {
            Err(self.late())
        };
        let known = self.astray().get(name).cloned();
        let leaf = match taken {
            Ok(Some((sheet, text))) => self.leaf(name, known, sheet, text).await?,
            Ok(None) => return None,
            Err(error) => {
                self.troubled(&error);
                let known = known.unwrap_or_else(|| Known { blind: true, ..Known::default() });
                self.astray().insert(name.clone(), known.clone());
                Leaf { disk: Disk::Gone, known, kept: false, bytes: 0 }
            }
        };
        let page = Page::new(self.clone(), name.clone(), mine, leaf);
        page.catch_up().await;
        Some(page)
    }

    /// What is known of `name`: by this process, and by `text`, which lies in `sheet`. `None`: another process was
    /// quicker.
    async fn leaf(
        &self,
        name: &Name,
        known: Option<Known>,
        mut sheet: Box<dyn Sheet>,
        text: Result<Vec<u8>, String>,
    ) -> Option<Leaf> {
        let bytes = text.as_ref().map_or(0, Vec::len);
        let why = match text.and_then(|text| read_page(Some(name), &text)) {
            Ok(records) => {
                let mut now = known.clone().unwrap_or_default();
                (now.laid, now.blind) = (Known::laid_as(&records), false);
                now.merge(records);
                return Some(Leaf { disk: Disk::Here(sheet), known: now, kept: known.is_none(), bytes });
            }
            Err(why) => why,
        };
        let put_aside = self.blocking(move || {
            let place = sheet.put_aside()?;
            Ok((sheet, place))
        });
        let (disk, place) = match put_aside.await {
            Ok((sheet, place)) => (Disk::Here(sheet), place),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) => {
                self.troubled(&error);
                (Disk::Gone, "left where it is".to_owned())
            }
        };
        tracing::error!(
            integration = name.integration,
            subscription = name.subscription,
            path = place,
            "what the journal knew of this subscription cannot be read and was put aside ({why}): if it was in the making, \
             its key may be left in the gateway; `federation-agent grants --orphans` finds it"
        );
        let kept = known.is_none() && matches!(disk, Disk::Here(_));
        // Nobody settles by what cannot be read.
        let known = Known { laid: Vec::new(), blind: false, ..known.unwrap_or_default() };
        Some(Leaf { disk, known, kept, bytes: 0 })
    }

    /// The subscriptions of `integration` whose grants are known to this process and not, or not all, to the disk.
    pub fn unwritten(&self, integration: &str) -> Vec<String> {
        let astray = self.astray();
        let known = astray.iter().filter(|(name, known)| name.integration == integration && !known.records.is_empty());
        let mut subscriptions: Vec<_> = known.map(|(name, _)| name.subscription.clone()).collect();
        subscriptions.sort();
        subscriptions
    }

    /// Writes what is known and could not be written yet, as far as that can be done now.
    pub async fn catch_up(&self) {
        let names: Vec<Name> = self.astray().keys().cloned().collect();
        for name in names {
            let Some(page) = self.try_hold(&name).await else { continue };
            drop(page);
            if self.astray().contains_key(&name) {
                // The others would have to wait for the same disk.
                return;
            }
        }
    }

    /// Whether no thread is writing the page's file, waiting for it until `by`.
    async fn is_free(&self, name: &Name, by: Instant) -> bool {
        loop {
            let let_go = self.0.held.let_go.notified();
            tokio::pin!(let_go);
            let_go.as_mut().enable();
            if !self.busy_ones().contains(name) {
                return true;
            }
            if timeout_at(by, let_go).await.is_err() {
                return false;
            }
        }
    }

    /// That a thread is writing the file of `name`, until what this returns is dropped.
    fn busy(&self, name: &Name) -> impl Sized + Send + 'static {
        struct Busy(Journal, Name);
        impl Drop for Busy {
            fn drop(&mut self) {
                self.0.busy_ones().remove(&self.1);
                self.0.0.held.let_go.notify_waiters();
            }
        }
        self.busy_ones().insert(name.clone());
        Busy(self.clone(), name.clone())
    }

    fn busy_ones(&self) -> MutexGuard<'_, HashSet<Name>> {
        self.0.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn astray(&self) -> MutexGuard<'_, HashMap<Name, Known>> {
        self.0.astray.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn patience(&self) -> Duration {
        if self.trouble().is_some() { LITTLE_PATIENCE } else { PATIENCE }
    }

    fn late(&self) -> io::Error {
        let waited = self.patience();
        io::Error::new(io::ErrorKind::TimedOut, format!("the disk has not answered for {waited:?}"))
    }

    /// Runs `work` where it may block, and waits for it a little while only.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let threads = Arc::clone(&self.0.threads);
        let working = async {
            let permit = threads.acquire_owned().await.map_err(io::Error::other)?;
            let task = tokio::task::spawn_blocking(move || {
                let done = work();
                drop(permit);
                done
            });
            task.await.map_err(io::Error::other)?
        };
        timeout(self.patience(), working).await.map_err(|_| self.late())?
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

/// What `text` tells, which is the page of `name`.
fn read_page(name: Option<&Name>, text: &[u8]) -> Result<Vec<Record>, String> {
    let records = read(text).map_err(|why| why.to_string())?;
    let foreign = |record: &Record| name.is_some_and(|name| record.name() != *name);
    if records.iter().any(foreign) { Err("it tells of another subscription".into()) } else { Ok(records) }
}

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

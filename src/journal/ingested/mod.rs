//! What the plane has of each API's plans: one file an integration, replaced as a whole. By it an ingest knows which plans
//! an API has lost since.
//!
//! Several agents may share the folder: each reads under a lock, puts its own APIs over what stands there and replaces the
//! file. A file that cannot be read is put aside; a folder that cannot be written is told of once, and what was to be
//! written is known for this life of the process.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::{
    Journal,
    disk::{knows_no_locks, make_folder, options, sync_folder},
    names::encode,
};
use crate::model::{Api, Texts};

/// The version of the format that is written.
const FORMAT: u32 = 1;

/// How long another process may hold the lock; it needs milliseconds.
const LOCKED: Duration = Duration::from_secs(2);

/// How often the lock is asked for.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// An API as the plane took it last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// [`Api::id`].
    pub id: String,
    /// Its plans: by [`Plan::id`](crate::model::Plan::id), their names.
    pub plans: Texts,
}

/// What the plane has of one integration, as far as is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// By [`Api::unique_id`].
    pub apis: BTreeMap<String, Taken>,
    /// When the one ingest that was allowed to lose plans has done so.
    pub once_used: Option<String>,
    /// Why what the folder holds is not part of it.
    pub unreadable: Option<String>,
}

/// What is to be changed.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// APIs that the plane has taken, by [`Api::unique_id`].
    pub apis: BTreeMap<String, Taken>,
    /// What becomes of [`Known::once_used`].
    pub once: Option<Once>,
}

/// What becomes of the one ingest that may lose plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Once {
    /// It has been used up now.
    Used,
    /// It may be used again.
    Afresh,
}

/// What the plane has taken, of every integration of a process. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Ingested(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Whose threads are waited in.
    journal: Journal,
    /// `None`: it ends with the process.
    folder: Option<PathBuf>,
    /// What is known and not in the folder, by integration.
    ahead: Mutex<HashMap<String, Known>>,
    writing: tokio::sync::Mutex<()>,
    trouble: Mutex<Option<String>>,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sheet {
    v: u32,
    integration: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    once_used: Option<String>,
    apis: BTreeMap<String, Taken>,
}

impl Taken {
    /// What there is to know of `api`.
    pub fn of(api: &Api) -> Self {
        let plans = api.plans.iter().map(|plan| (plan.id.clone(), plan.name.clone())).collect();
        Self { id: api.id.clone(), plans }
    }
}

impl Ingested {
    /// In the folder `folder`, which is made when something is to be written; on the threads of `journal`.
    pub fn in_folder(folder: impl Into<PathBuf>, journal: &Journal) -> Self {
        Self::of(Some(folder.into()), journal)
    }

    /// For this life of the process only.
    pub fn in_memory() -> Self {
        Self::of(None, &Journal::in_memory())
    }

    fn of(folder: Option<PathBuf>, journal: &Journal) -> Self {
        Self(Arc::new(Inner {
            journal: journal.clone(),
            folder,
            ahead: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            trouble: Mutex::default(),
        }))
    }

    /// Why what is kept now would not outlive the process; `None`: it does, as far as is known.
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What is known of `integration`. Writes nothing, and makes nothing: it may be called beside a running agent.
    pub async fn read(&self, integration: &str) -> Known {
        let mut known = Known::default();
        if let Some(path) = self.path(integration) {
            let place = path.display().to_string();
            match self.0.journal.blocking(move || fs_read(&path)).await {
                Ok(Ok(read)) => known = read,
                Ok(Err(why)) => known.unreadable = Some(format!("{place} cannot be read: {why}")),
                Err(error) => known.unreadable = Some(format!("{place} cannot be read: {error}")),
            }
        }
        if let Some(ahead) = self.ahead().get(integration) {
            known.apis.extend(ahead.apis.clone());
            if ahead.once_used.is_some() {
                known.once_used.clone_from(&ahead.once_used);
            }
        }
        known
    }

    /// Puts `change` over what is known of `integration`. When this returns it outlives the process, unless it is in
    /// [trouble](Self::trouble).
    pub async fn keep(&self, integration: &str, change: Change) {
        let _turn = self.0.writing.lock().await;
        let afresh = change.once == Some(Once::Afresh);
        let pending = {
            let mut ahead = self.ahead();
            let ahead = ahead.entry(integration.to_owned()).or_default();
            ahead.apis.extend(change.apis);
            match change.once {
                Some(Once::Used) => {
                    ahead.once_used = Some(humantime::format_rfc3339_seconds(SystemTime::now()).to_string());
                }
                Some(Once::Afresh) => ahead.once_used = None,
                None => {}
            }
            ahead.clone()
        };
        let Some(path) = self.path(integration) else { return };
        match self.written(path, integration, pending, afresh).await {
            Ok(aside) => {
                self.ahead().remove(integration);
                if self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
                    tracing::info!(integration, "what the plane has of the plans can be kept again");
                }
                if let Some((place, why)) = aside {
                    tracing::error!(
                        integration,
                        path = place,
                        "what earlier ingests had cannot be read and was put aside ({why}): until every API has been \
                         ingested once more, only what a live grant names is known, and only that is held back"
                    );
                }
            }
            Err(error) => self.troubled(integration, &error),
        }
    }

    /// Writes `news`, waiting a little while another process has the folder; what was put aside for it, and why.
    async fn written(
        &self,
        path: PathBuf,
        integration: &str,
        news: Known,
        afresh: bool,
    ) -> io::Result<Option<(String, String)>> {
        let (news, by) = (Arc::new(news), Instant::now() + LOCKED);
        loop {
            let (path, whose, news) = (path.clone(), integration.to_owned(), Arc::clone(&news));
            match self.0.journal.blocking(move || fs_keep(&path, &whose, &news, afresh)).await? {
                Kept::Yes(aside) => return Ok(aside),
                Kept::Busy if Instant::now() >= by => {
                    let sentence = format!("another process has held the folder's lock for {LOCKED:?}");
                    return Err(io::Error::new(io::ErrorKind::TimedOut, sentence));
                }
                Kept::Busy => sleep(ASK_AGAIN).await,
            }
        }
    }

    fn ahead(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, integration: &str) -> Option<PathBuf> {
        let folder = self.0.folder.as_ref()?;
        Some(folder.join(encode(integration) + ".json"))
    }

    /// It could not be written: told once, until it works again.
    fn troubled(&self, integration: &str, error: &io::Error) {
        let mut trouble = self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if trouble.is_none() {
            tracing::error!(
                integration,
                "what the plane has of the plans cannot be kept ({error}): it is known while this process lives, and the \
                 first ingest after a restart holds back only what a live grant names; give the agent a folder that it \
                 may write (FEDERATION_AGENT_DATA_DIR)"
            );
        }
        *trouble = Some(error.to_string());
    }
}

/// Whether the folder is ours alone.
#[derive(PartialEq, Eq)]
enum Locked {
    Yes,
    ByAnother,
    /// The file system knows no locks.
    Never,
}

/// What came of a write.
enum Kept {
    /// It is on the disk. What could not be read before was put aside: where, and why it could not.
    Yes(Option<(String, String)>),
    /// Another process has the folder.
    Busy,
}

/// What stands in the file at `path`; nothing, when there is none. The inner error is one of its content.
fn fs_read(path: &Path) -> io::Result<Result<Known, String>> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ok(Known::default())),
        Err(error) => return Err(error),
    };
    Ok(parse(&text))
}

fn parse(text: &[u8]) -> Result<Known, String> {
    #[derive(Deserialize)]
    struct Version {
        v: u32,
    }
    let damaged = |error: serde_json::Error| {
        format!("{:?} error in line {}, column {}", error.classify(), error.line(), error.column())
    };
    let Version { v } = serde_json::from_slice(text).map_err(damaged)?;
    if v > FORMAT {
        return Err(format!("it has format {v}, and this release knows none above {FORMAT}"));
    }
    let Sheet { apis, once_used, .. } = serde_json::from_slice(text).map_err(damaged)?;
    Ok(Known { apis, once_used, unreadable: None })
}

/// Puts `news` over what stands in the file.
fn fs_keep(path: &Path, integration: &str, news: &Known, afresh: bool) -> io::Result<Kept> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder)?;
    let lock = options().create(true).open(folder.join(".lock"))?;
    let locked = locked(&lock)?;
    if locked == Locked::ByAnother {
        return Ok(Kept::Busy);
    }
    let (mut known, mut aside) = (Known::default(), None);
    match fs_read(path)? {
        Ok(read) => known = read,
        Err(why) => {
            let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let place = path.with_extension(format!("json.unreadable-{seconds}"));
            fs::rename(path, &place)?;
            aside = Some((place.display().to_string(), why));
        }
    }
    let before = known.clone();
    known.apis.extend(news.apis.clone());
    if afresh || news.once_used.is_some() {
        known.once_used.clone_from(&news.once_used);
    }
    // An ingest in which nothing is new, as most are, costs no write.
    if known == before && aside.is_none() {
        return Ok(Kept::Yes(None));
    }
    let Known { apis, once_used, .. } = known;
    let text = serde_json::to_vec(&Sheet { v: FORMAT, integration: integration.to_owned(), once_used, apis })?;
    let fresh = path.with_extension(if locked == Locked::Yes {
        "json.tmp".into()
    } else {
        format!("json.{}.tmp", uuid::Uuid::new_v4())
    });
    let mut file = options().create(true).truncate(true).open(&fresh)?;
    let written = file.write_all(&text).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&fresh, path));
    if let Err(error) = written {
        let _full = fs::remove_file(&fresh);
        return Err(error);
    }
    sync_folder(folder)?;
    Ok(Kept::Yes(aside))
}

/// Takes the lock. Closing the file lets go of it.
fn locked(lock: &File) -> io::Result<Locked> {
    match lock.try_lock() {
        Ok(()) => Ok(Locked::Yes),
        Err(TryLockError::WouldBlock) => Ok(Locked::ByAnother),
        // The journal tells of that.
        Err(TryLockError::Error(error)) if knows_no_locks(&error) => Ok(Locked::Never),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests;

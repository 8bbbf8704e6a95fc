//! Pages in a folder: a file a subscription, `journal/<integration>/<subscription>.jsonl`, to which whole lines are added.
//!
//! Whoever writes a page holds an exclusive lock on its very file, which the kernel frees when the process dies, however
//! it dies. Files are removed and replaced only by who holds them; whoever has locked a file looks whether the name still
//! leads to it. Every line is on the disk when it is said to be. Symbolic links are not followed within the journal.

use std::{
    collections::HashSet,
    fmt,
    fs::{self, File, TryLockError},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    disk::{AGAIN, folder_aside, knows_no_locks, leads_to, look, make_folder, open, options},
    names::{decode, encode},
    paper::Paper,
    record,
    store::{Found, Name, Sheet, Store},
};

/// The ending of pages; whatever has another one is nobody's page.
const ENDING: &str = ".jsonl";

/// Pages in a folder. Clones are the same ones.
#[derive(Clone)]
pub struct Files(Arc<Folder>);

struct Folder {
    journal: PathBuf,
    /// What this process holds: what counts where the file system knows no locks.
    held: Mutex<HashSet<Name>>,
    /// Whether it was said that it knows none.
    unlocked: AtomicBool,
}

impl Files {
    /// The pages in `dir`/journal, without looking whether that can be used.
    pub fn new(dir: &Path) -> Self {
        let journal = dir.join("journal");
        Self(Arc::new(Folder { journal, held: Mutex::default(), unlocked: AtomicBool::default() }))
    }

    /// The pages in `dir`/journal, which is made if need be.
    ///
    /// # Errors
    /// Nothing can be made, written or read there.
    pub fn open(dir: &Path) -> io::Result<Self> {
        let files = Self::new(dir);
        files.check()?;
        Ok(files)
    }

    /// Writes, reads and removes a file in the folder.
    ///
    /// # Errors
    /// One of these failed.
    pub fn check(&self) -> io::Result<()> {
        let folder = &self.0.journal;
        make_folder(folder)?;
        fs::read_dir(folder)?;
        let place = folder.join(format!(".check-{}", uuid::Uuid::new_v4()));
        let written = options().create_new(true).open(&place).and_then(|mut file| {
            file.write_all(b"The agent looks whether it may write here. This can be removed.\n")?;
            file.sync_data()
        });
        let removed = fs::remove_file(&place);
        written.and(removed)
    }

    /// The integrations that have had pages here, in the order of their names. None, when there is no folder.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn integrations(&self) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(&self.0.journal) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())) else {
                continue;
            };
            found.extend(decode(name).or_else(|| told_within(&entry.path(), name)));
        }
        found.sort();
        Ok(found)
    }

    /// The folder that the pages lie in.
    pub fn folder(&self) -> &Path {
        &self.0.journal
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Files").field(&self.0.journal).finish()
    }
}

impl Store for Files {
    fn read_all(&self, integration: &str) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        self.visit(integration, &mut |page| found.push(page))?;
        Ok(found)
    }

    fn visit(&self, integration: &str, show: &mut dyn FnMut(Found)) -> io::Result<()> {
        let folder = self.0.journal.join(encode(integration));
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in entries {
            let file = entry?.file_name();
            let Some(page) = file.to_str().and_then(|name| name.strip_suffix(ENDING)) else { continue };
            let path = folder.join(&file);
            let text = look(&path);
            if text.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
                continue;
            }
            let subscription = decode(page).or_else(|| {
                let records = record::read(text.as_ref().ok()?).ok()?;
                records.first().map(|record| record.subscription.clone()).filter(|id| encode(id) == page)
            });
            show(Found {
                name: subscription.map(|subscription| Name { integration: integration.to_owned(), subscription }),
                place: path.display().to_string(),
                text,
            });
        }
        Ok(())
    }

    fn take(&self, name: &Name) -> io::Result<Option<Box<dyn Sheet>>> {
        let Some(mine) = Mine::take(&self.0, name) else { return Ok(None) };
        let folder = self.0.journal.join(encode(&name.integration));
        make_folder(&folder)?;
        let path = folder.join(encode(&name.subscription) + ENDING);
        for _ in 0..AGAIN {
            let file = match open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => match options().create_new(true).open(&path) {
                    Ok(file) => file,
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                    Err(error) => return Err(error),
                },
                Err(error) if error.kind() == ErrorKind::IsADirectory => {
                    let path = folder_aside(&path)?;
                    tracing::error!(path, "a folder lay where a page of the journal belongs, and was put aside");
                    continue;
                }
                Err(error) => return Err(error),
            };
            if !self.lock(&file)? {
                return Ok(None);
            }
            if !leads_to(&path, &file)? {
                continue;
            }
            return Ok(Some(Box::new(Paper::new(self.clone(), path, file, mine)?)));
        }
        Ok(None)
    }
}

impl Files {
    /// Locks `file` for this process; `false`: somebody else has it.
    pub(super) fn lock(&self, file: &File) -> io::Result<bool> {
        match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) if knows_no_locks(&error) => {
                if !self.0.unlocked.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        path = %self.0.journal.display(),
                        "the journal's file system knows no locks ({error}): two agents on this folder do not see what the \
                         other one is working on; give each its own folder, or one on a file system with locks"
                    );
                }
                Ok(true)
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// What this process holds.
pub(super) struct Mine(Arc<Folder>, Name);

impl Mine {
    fn take(folder: &Arc<Folder>, name: &Name) -> Option<Self> {
        let new = folder.held.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        new.then(|| Self(Arc::clone(folder), name.clone()))
    }
}

impl Drop for Mine {
    fn drop(&mut self) {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// The integration whose folder is called `name`, of which its id is only the beginning: as a page in it says.
fn told_within(folder: &Path, name: &str) -> Option<String> {
    fs::read_dir(folder).ok()?.flatten().find_map(|entry| {
        if !entry.file_name().to_str()?.ends_with(ENDING) {
            return None;
        }
        let text = look(&entry.path()).ok()?;
        let records = record::read(&text).ok()?;
        records.first().map(|record| record.integration.clone()).filter(|id| encode(id) == name)
    })
}

//! Pages in a folder: a file a subscription, `journal/<integration>/<subscription>.jsonl`, to which whole lines are added.
//!
//! Whoever writes a page holds an exclusive lock on its very file, which the kernel frees when the process dies, however
//! it dies. Files are removed and replaced only by who holds them; whoever has locked a file looks whether the name still
//! leads to it. Every line is on the disk when it is said to be. Symbolic links are not followed within the journal.

use std::{
    collections::HashSet,
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use super::{
    names::{decode, encode},
    record,
    store::{Found, Name, Sheet, Store},
};

/// The ending of pages; whatever has another one is nobody's page.
const ENDING: &str = ".jsonl";

/// Of one page so many are put aside; then the oldest of them goes.
const ASIDE: usize = 8;

/// A page is some kilobytes; what is larger is none of ours and is not read.
const LARGEST: u64 = 4 << 20;

/// How often a page is opened anew because somebody else has just removed or replaced it.
const AGAIN: u32 = 100;

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
        let folder = self.0.journal.join(encode(integration));
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut found = Vec::new();
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
            found.push(Found {
                name: subscription.map(|subscription| Name { integration: integration.to_owned(), subscription }),
                place: path.display().to_string(),
                text,
            });
        }
        Ok(found)
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
                    let place = folder_aside(&path)?;
                    tracing::error!(place, "a folder lay where a page of the journal belongs, and was put aside");
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
            let length = file.metadata()?.len();
            let mut paper = Paper {
                files: self.clone(),
                path,
                file,
                length,
                torn: false,
                fresh: length == 0,
                away: false,
                _mine: mine,
            };
            paper.cut_torn_line()?;
            return Ok(Some(Box::new(paper)));
        }
        Ok(None)
    }
}

impl Files {
    /// Locks `file` for this process; `false`: somebody else has it.
    fn lock(&self, file: &File) -> io::Result<bool> {
        match file.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) if knows_no_locks(&error) => {
                if !self.0.unlocked.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        folder = %self.0.journal.display(),
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
struct Mine(Arc<Folder>, Name);

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

/// A page that this process has locked. Closing the file unlocks it; only then it is not ours any more.
struct Paper {
    files: Files,
    path: PathBuf,
    file: File,
    /// How much of the file are whole lines.
    length: u64,
    /// Something that is no whole line may stand behind them.
    torn: bool,
    /// The folder may not know of the file yet.
    fresh: bool,
    /// The file was put aside, and there is no new one.
    away: bool,
    _mine: Mine,
}

impl fmt::Debug for Paper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paper").field("path", &self.path).field("length", &self.length).finish_non_exhaustive()
    }
}

impl Paper {
    /// Takes away the last line when it does not end: it was being written when its writer died.
    fn cut_torn_line(&mut self) -> io::Result<()> {
        if self.length == 0 || self.length > LARGEST {
            return Ok(());
        }
        let text = whole(&mut self.file)?;
        let lines = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if lines < text.len() {
            self.length = lines as u64;
            self.torn = true;
            self.mend()?;
        }
        Ok(())
    }

    /// Takes away what stands behind the whole lines.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.length)?;
            self.file.sync_data()?;
            self.torn = false;
        }
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.path.parent().map_or(Ok(()), sync_folder)
    }

    /// An empty file in the place of the one that was put aside.
    fn start_anew(&mut self) -> io::Result<()> {
        if !self.away {
            return Ok(());
        }
        let meanwhile = || io::Error::new(ErrorKind::WouldBlock, "another process has taken this page meanwhile");
        let file = options().create_new(true).open(&self.path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => meanwhile(),
            _ => error,
        })?;
        if !self.files.lock(&file)? || !leads_to(&self.path, &file)? {
            return Err(meanwhile());
        }
        (self.file, self.length, self.torn, self.fresh, self.away) = (file, 0, false, true, false);
        Ok(())
    }
}

impl Sheet for Paper {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut text = whole(&mut self.file)?;
        text.truncate(usize::try_from(self.length).unwrap_or(usize::MAX));
        Ok(text)
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.start_anew()?;
        self.mend()?;
        self.torn = true;
        let written = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(line))
            .and_then(|()| self.file.sync_data())
            .and_then(|()| if self.fresh { self.sync_folder() } else { Ok(()) });
        if let Err(error) = written {
            // Tried once more before the next line, should this fail too.
            let _ = self.mend();
            return Err(error);
        }
        (self.torn, self.fresh) = (false, false);
        self.length += line.len() as u64;
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.start_anew()?;
        let before = std::mem::take(&mut self.length);
        self.torn = true;
        self.mend().inspect_err(|_| self.length = before)
    }

    fn replace(&mut self, text: &[u8]) -> io::Result<()> {
        self.start_anew()?;
        let mut place = self.path.clone().into_os_string();
        place.push(".new");
        let place = PathBuf::from(place);
        // One that lies there is of somebody who held the page before and died over it.
        match fs::remove_file(&place) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = options().create_new(true).open(&place)?;
        let written = file.write_all(text).and_then(|()| file.sync_data()).and_then(|()| {
            // Nobody opens it under this name; from the moment when it has the page's, it is held.
            let locked = self.files.lock(&file)?;
            if locked { fs::rename(&place, &self.path) } else { Err(ErrorKind::WouldBlock.into()) }
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&place);
            return Err(error);
        }
        (self.file, self.length, self.torn, self.fresh) = (file, text.len() as u64, false, true);
        self.sync_folder()?;
        self.fresh = false;
        Ok(())
    }

    fn put_aside(&mut self) -> io::Result<String> {
        let aside = reserve(&self.path, |place| options().create_new(true).open(place).map(drop))?;
        // Over the empty file that holds the name for us.
        if let Err(error) = fs::rename(&self.path, &aside) {
            let _ = fs::remove_file(&aside);
            return Err(error);
        }
        (self.length, self.away) = (0, true);
        self.sync_folder()?;
        forget_old(&self.path);
        match self.start_anew() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(error),
            // The rest is seen when something is to be written.
            _ => Ok(aside.display().to_string()),
        }
    }
}

impl Drop for Paper {
    /// A page in which nothing stands is removed while it is still locked. Should that fail: an empty file says nothing.
    fn drop(&mut self) {
        let empty = self.length == 0 && !self.away && self.file.metadata().is_ok_and(|now| now.len() == 0);
        if empty && leads_to(&self.path, &self.file).unwrap_or_default() {
            let _ = fs::remove_file(&self.path);
        }
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

/// For reading and writing, by nobody else, never through a symbolic link, never waiting for a pipe's other end.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
}

/// Opens the file that lies there.
fn open(path: &Path) -> io::Result<File> {
    a_file(options().open(path)?)
}

/// What stands in the file that lies there, also for who may only read it.
fn look(path: &Path) -> io::Result<Vec<u8>> {
    whole(&mut a_file(options().write(false).open(path)?)?)
}

fn a_file(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("what lies there is not a file")) }
}

/// All that stands in `file`.
fn whole(file: &mut File) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    if length > LARGEST {
        let why = format!("{length} bytes; a page has not so many ({LARGEST} at most)");
        return Err(io::Error::new(ErrorKind::FileTooLarge, why));
    }
    // One call of the system's reads it, as a rule: whoever reads without the lock gets it as it was at one moment.
    let mut text = Vec::with_capacity(usize::try_from(length).unwrap_or_default() + 4096);
    file.seek(SeekFrom::Start(0))?;
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(text)
}

/// Whether `path` still leads to `file`, and not to nothing or to what somebody else has put there.
fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let ours = file.metadata()?;
    Ok((there.dev(), there.ino()) == (ours.dev(), ours.ino()))
}

pub(super) fn knows_no_locks(error: &io::Error) -> bool {
    error.kind() == ErrorKind::Unsupported || error.raw_os_error() == Some(libc::ENOLCK)
}

/// Makes the folder and those above it, on the disk when this returns.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_folder),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                make_folder(parent)?;
                make_folder(path)
            }
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Some file systems write folders when they like, and do not know the question.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match File::open(path)?.sync_all() {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        done => done,
    }
}

/// A name beside `path` that nobody has, held by what `make` puts there.
fn reserve(path: &Path, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
    let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string().replace(':', "");
    for number in 0..AGAIN {
        let mut place = path.as_os_str().to_owned();
        place.push(format!(".aside-{time}"));
        if number > 0 {
            place.push(format!("-{number}"));
        }
        match make(Path::new(&place)) {
            Ok(()) => return Ok(place.into()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Puts the folder aside that lies where a page belongs. Renaming it onto a folder fails should it be a page by now.
fn folder_aside(path: &Path) -> io::Result<String> {
    let aside = reserve(path, |place| DirBuilder::new().mode(0o700).create(place))?;
    if let Err(error) = fs::rename(path, &aside) {
        let _ = fs::remove_dir(&aside);
        return if open(path).is_ok() { Ok(path.display().to_string()) } else { Err(error) };
    }
    Ok(aside.display().to_string())
}

/// Removes what was put aside of this page too long ago. It is for people; that it cannot be removed harms nobody.
fn forget_old(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else { return };
    let beginning = format!("{name}.aside-");
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut aside: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    aside.retain(|name| name.to_str().is_some_and(|name| name.starts_with(&beginning)));
    aside.sort();
    for old in aside.iter().rev().skip(ASIDE) {
        let _ = fs::remove_file(folder.join(old));
    }
}

//! Files and folders as the journal wants them: nobody else's, never through a symbolic link, on the disk when that is said.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Of one page so many are put aside; then the oldest of them goes.
const ASIDE: usize = 8;

/// A page is some kilobytes; what is larger is none of ours and is not read.
pub(super) const LARGEST: u64 = 4 << 20;

/// How often a page is opened anew because somebody else has just removed or replaced it, and another name tried.
pub(super) const AGAIN: u32 = 100;

/// For reading and writing, by nobody else, never through a symbolic link, never waiting for a pipe's other end.
pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options
}

/// Opens the file that lies there.
pub(super) fn open(path: &Path) -> io::Result<File> {
    a_file(options().open(path)?)
}

/// What stands in the file that lies there, also for who may only read it.
pub(super) fn look(path: &Path) -> io::Result<Vec<u8>> {
    whole(&mut a_file(options().write(false).open(path)?)?)
}

fn a_file(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("what lies there is not a file")) }
}

/// All that stands in `file`.
pub(super) fn whole(file: &mut File) -> io::Result<Vec<u8>> {
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
pub(super) fn leads_to(path: &Path, file: &File) -> io::Result<bool> {
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
    match make_one(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => {
                make_folder(parent)?;
                // Once: where nothing can be made, as in /proc, the kernel says so for ever.
                make_one(path)
            }
            _ => Err(error),
        },
        made => made,
    }
}

fn make_one(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_folder),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Some file systems write folders when they like, and do not know the question.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let done = File::open(path)?.sync_all();
    #[cfg(test)]
    SYNCED.with_borrow_mut(|synced| synced.push(path.to_owned()));
    match done {
        Err(error) if matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
thread_local! {
    /// The folders that this thread has written to the disk: nothing else than a power cut would tell.
    pub(super) static SYNCED: std::cell::RefCell<Vec<PathBuf>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// A name beside `path` that nobody has, held by what `make` puts there.
pub(super) fn reserve(path: &Path, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<PathBuf> {
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
pub(super) fn folder_aside(path: &Path) -> io::Result<String> {
    let aside = reserve(path, |place| DirBuilder::new().mode(0o700).create(place))?;
    if let Err(error) = fs::rename(path, &aside) {
        let _ = fs::remove_dir(&aside);
        return if open(path).is_ok() { Ok(path.display().to_string()) } else { Err(error) };
    }
    Ok(aside.display().to_string())
}

/// Removes what was put aside of this page too long ago. It is for people; that it cannot be removed harms nobody.
pub(super) fn forget_old(path: &Path) {
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

//! A page's file that this process holds: how lines get into it so that they are on the disk, whole or not at all.

use std::{
    fmt,
    fs::{self, File},
    io::{self, ErrorKind, Seek, SeekFrom, Write},
    path::PathBuf,
};

use super::{
    disk::{LARGEST, forget_old, leads_to, options, reserve, sync_folder, whole},
    files::{Files, Mine},
    store::Sheet,
};

/// A page that this process has locked. Closing the file unlocks it; only then it is not ours any more.
pub(super) struct Paper {
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
    /// The page in `file`, which is locked and lies at `path`, without a torn last line.
    pub(super) fn new(files: Files, path: PathBuf, file: File, mine: Mine) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let fresh = length == 0;
        let mut paper = Self { files, path, file, length, torn: false, fresh, away: false, _mine: mine };
        paper.cut_torn_line()?;
        Ok(paper)
    }

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
        if self.away {
            return Ok(Vec::new());
        }
        self.mend()?;
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
            crate::faultpoint::reached_by_thread("journal:compaction:before");
            if locked { fs::rename(&place, &self.path) } else { Err(ErrorKind::WouldBlock.into()) }
        });
        if let Err(error) = written {
            let _ = fs::remove_file(&place);
            return Err(error);
        }
        (self.file, self.length, self.torn, self.fresh) = (file, text.len() as u64, false, true);
        crate::faultpoint::reached_by_thread("journal:compaction:after");
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

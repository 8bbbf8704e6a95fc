//! A disk that fails at will.

use std::{
    io,
    sync::{Arc, Mutex},
};

use super::{
    super::{Found, Name, Sheet, Store},
    faults::name,
};

/// What happens to one thing that is asked of the disk.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    Done,
    /// Nothing is done.
    Failed,
    /// It is done, and said to have failed.
    DoneAndFailed,
    /// Half of it is done.
    Torn,
}

/// A disk of one page, with what becomes of the next things that are asked of it; afterwards all is done.
#[derive(Debug, Default, Clone)]
pub(super) struct Flaky(pub(super) Arc<Mutex<Plate>>);

#[derive(Debug, Default)]
pub(super) struct Plate {
    pub(super) text: Vec<u8>,
    pub(super) taken: bool,
    pub(super) fates: Vec<Fate>,
    /// What lay there after each thing that was asked.
    pub(super) seen: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Held(Flaky);

impl Flaky {
    /// What lay there after each thing that was asked, and what lies there now.
    pub(super) fn seen(&self) -> (Vec<Vec<u8>>, Vec<u8>) {
        let plate = self.0.lock().unwrap();
        (plate.seen.clone(), plate.text.clone())
    }

    fn ask<R: Default>(&self, text: &[u8], change: impl Fn(&mut Vec<u8>, &[u8]) -> R) -> io::Result<R> {
        let mut plate = self.0.lock().unwrap();
        let fate = plate.fates.pop().unwrap_or(Fate::Done);
        let failed = || Err(io::Error::other("no room"));
        // What is torn is taken away before anything is added, as the real one does it.
        if !matches!(fate, Fate::Failed) {
            let whole = plate.text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            plate.text.truncate(whole);
        }
        let result = match fate {
            Fate::Done => Ok(change(&mut plate.text, text)),
            Fate::Failed => failed(),
            Fate::DoneAndFailed => {
                change(&mut plate.text, text);
                failed()
            }
            Fate::Torn => {
                if !text.is_empty() {
                    plate.text.extend_from_slice(&text[..text.len() / 2]);
                }
                failed()
            }
        };
        let now = plate.text.clone();
        plate.seen.push(now);
        result
    }
}

impl Store for Flaky {
    fn read_all(&self, _: &str) -> io::Result<Vec<Found>> {
        let text = Ok(self.0.lock().unwrap().text.clone());
        Ok(vec![Found { name: Some(name()), place: "plate".into(), text }])
    }

    fn take(&self, _: &Name) -> io::Result<Option<Box<dyn Sheet>>> {
        self.ask(b"", |_, _| ())?;
        if std::mem::replace(&mut self.0.lock().unwrap().taken, true) {
            return Ok(None);
        }
        Ok(Some(Box::new(Held(self.clone()))))
    }
}

impl Sheet for Held {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.0.ask(b"", |text, _| text.clone())
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.0.ask(line, Vec::extend_from_slice)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.0.ask(b"", |text, _| text.clear())
    }

    fn replace(&mut self, all: &[u8]) -> io::Result<()> {
        // Whole or not at all: it is never torn.
        self.0.ask(b"", |text, _| all.clone_into(text))
    }

    fn put_aside(&mut self) -> io::Result<String> {
        self.0.ask(b"", |text, _| {
            text.clear();
            "aside".to_owned()
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().taken = false;
    }
}

//! Pages in memory: for a folder that cannot be written, and for tests. They end with the process.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::store::{Found, Name, Sheet, Store};

/// Pages in memory. Clones are the same ones.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<HashMap<Name, Slot>>>);

#[derive(Debug, Default)]
struct Slot {
    text: Vec<u8>,
    taken: bool,
}

#[derive(Debug)]
struct Taken {
    memory: Memory,
    name: Name,
}

impl Memory {
    fn slots(&self) -> MutexGuard<'_, HashMap<Name, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a page of that name.
    pub fn has(&self, name: &Name) -> bool {
        self.slots().contains_key(name)
    }
}

impl Store for Memory {
    fn read_all(&self, integration: &str) -> io::Result<Vec<Found>> {
        let slots = self.slots();
        let of_integration = slots.iter().filter(|(name, _)| name.integration == integration);
        Ok(of_integration
            .map(|(name, slot)| Found {
                name: Some(name.clone()),
                place: format!("{} in memory", name.subscription),
                text: Ok(slot.text.clone()),
            })
            .collect())
    }

    fn take(&self, name: &Name) -> io::Result<Option<Box<dyn Sheet>>> {
        let mut slots = self.slots();
        let slot = slots.entry(name.clone()).or_default();
        if std::mem::replace(&mut slot.taken, true) {
            return Ok(None);
        }
        Ok(Some(Box::new(Taken { memory: self.clone(), name: name.clone() })))
    }
}

impl Taken {
    fn with<R>(&self, change: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        change(&mut self.memory.slots().entry(self.name.clone()).or_default().text)
    }
}

impl Sheet for Taken {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.with(|text| text.clone()))
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.with(|text| text.extend_from_slice(line));
        Ok(())
    }

    fn clear(&mut self) -> io::Result<()> {
        self.with(Vec::clear);
        Ok(())
    }

    fn replace(&mut self, text: &[u8]) -> io::Result<()> {
        self.with(|old| text.clone_into(old));
        Ok(())
    }

    fn put_aside(&mut self) -> io::Result<String> {
        self.with(Vec::clear);
        Ok("nowhere".into())
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut slots = self.memory.slots();
        match slots.get_mut(&self.name) {
            Some(slot) if !slot.text.is_empty() => slot.taken = false,
            _ => {
                slots.remove(&self.name);
            }
        }
    }
}

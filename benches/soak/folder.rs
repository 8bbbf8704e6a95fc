//! What a folder holds.

use std::{io, path::Path};

/// Files and bytes in a folder and all below it. What goes away meanwhile is not counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Holds {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

impl Holds {
    pub(crate) fn of(folder: &Path) -> Self {
        let mut holds = Self::default();
        // A folder that is not there holds nothing.
        let _ = holds.add(folder);
        holds
    }

    fn add(&mut self, folder: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let Ok(entry) = entry else { continue };
            match entry.metadata() {
                Ok(told) if told.is_dir() => {
                    let _ = self.add(&entry.path());
                }
                Ok(told) => {
                    self.files += 1;
                    self.bytes += told.len();
                }
                Err(_) => {}
            }
        }
        Ok(())
    }
}

//! Where the journal's pages lie: the few things it asks of a disk, as a trait that a test can fail at will.
//!
//! All of it blocks, and is called from threads that may.

use std::{fmt, io};

/// The name of a page: a subscription of an integration, by the plane's ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// The plane's id of the integration.
    pub integration: String,
    /// The plane's id of the subscription.
    pub subscription: String,
}

/// Where pages lie.
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Every page of `integration`, as it stands, without holding it: the last line may be half written.
    fn read_all(&self, integration: &str) -> io::Result<Vec<Found>>;

    /// Shows every page of `integration`, one after the other, so that no two of them are in memory.
    fn visit(&self, integration: &str, look: &mut dyn FnMut(Found)) -> io::Result<()> {
        self.read_all(integration)?.into_iter().for_each(look);
        Ok(())
    }

    /// Takes the page for writing, making it if need be; `None` while somebody else, in whatever process, has it.
    fn take(&self, name: &Name) -> io::Result<Option<Box<dyn Sheet>>>;
}

/// A page as it was found.
#[derive(Debug)]
pub struct Found {
    /// Its name, unless where it lies does not tell.
    pub name: Option<Name>,
    /// For people: where it lies.
    pub place: String,
    /// What stands in it, or why it could not be read.
    pub text: io::Result<Vec<u8>>,
}

/// A page that is held for writing. Dropping it lets go of it; one in which nothing stands is gone then.
pub trait Sheet: fmt::Debug + Send {
    /// All that stands in it, and would be found by who opens it next. `FileTooLarge`: nothing of ours.
    fn read(&mut self) -> io::Result<Vec<u8>>;

    /// Adds `line`, which ends in a newline; on the disk when this returns.
    fn append(&mut self, line: &[u8]) -> io::Result<()>;

    /// Takes everything out of it; on the disk when this returns.
    fn clear(&mut self) -> io::Result<()>;

    /// Puts `text`, which is whole lines, in the place of all that stands in it: afterwards either stands there, whole. On
    /// the disk when this returns.
    fn replace(&mut self, text: &[u8]) -> io::Result<()>;

    /// Puts what stands in it aside under another name, for people, and goes on with an empty page; the new name.
    /// `WouldBlock`: it was put aside, and another process has taken the empty page before this one could.
    fn put_aside(&mut self) -> io::Result<String>;
}

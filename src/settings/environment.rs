//! The environment, read once and whole, and the files that it names.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError, mpsc},
    thread,
    time::Duration,
};

use super::files::{Layers, SecretName, Secrets};

/// The longest file that a setting may name. Trust stores of a whole operating system have some hundred kilobytes.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;

/// How long a pipe or a device may take to come to its end. A file of the disk takes what it takes.
const PIPE: Duration = Duration::from_secs(5);

/// How a file that a setting names is read.
type ReadFile = dyn Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync;

/// Variables by name, and the way to the files that they name. Comes from the process once, in `main`; from a map in
/// tests. Its `Debug` form has the names only.
#[derive(Clone)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    not_text: Vec<String>,
    read_file: Arc<ReadFile>,
    secrets: Option<Arc<dyn Secrets>>,
    /// Made when the first setting is asked for, and then for all copies.
    layers: Arc<OnceLock<Layers>>,
    /// What the store of secrets has said: each secret is asked for once.
    told: Arc<Mutex<Told>>,
}

/// The keys of secrets, or why there are none.
type Told = BTreeMap<SecretName, Result<BTreeMap<String, Vec<u8>>, String>>;

impl Environment {
    /// The process's own. A variable that is not UTF-8 has no value; [`not_text`](Self::not_text) names it.
    pub fn of_process() -> Self {
        Self::of_os(std::env::vars_os())
    }

    /// Of variables as the operating system has them.
    pub fn of_os(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => {
                    environment.variables.insert(name, value);
                }
                Err(_) => environment.not_text.push(name),
            }
        }
        environment
    }

    /// The same with files read by `read_file` instead of from the disk.
    #[must_use]
    pub fn with_files(mut self, read_file: impl Fn(&Path) -> io::Result<Vec<u8>> + Send + Sync + 'static) -> Self {
        self.read_file = Arc::new(read_file);
        self.layers = Arc::default();
        self
    }

    /// The same with secrets that are not mounted asked of `secrets`.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Arc<dyn Secrets>) -> Self {
        self.secrets = Some(secrets);
        self.layers = Arc::default();
        self.told = Arc::default();
        self
    }

    /// The value of `name`, also when it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// All names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// All variables.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The names of variables whose value is not UTF-8.
    pub fn not_text(&self) -> &[String] {
        &self.not_text
    }

    /// The keys of a secret of Kubernetes, by the store of secrets. Blocks the first time.
    pub(super) fn secret(&self, asked: &SecretName) -> Result<BTreeMap<String, Vec<u8>>, String> {
        let Some(secrets) = &self.secrets else { return Err("no store of secrets is at hand".into()) };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = told.get(asked) {
            return known.clone();
        }
        let found = secrets.read(self, asked);
        told.insert(asked.clone(), found.clone());
        found
    }

    /// What stands below the variables: files, and options for Java.
    pub(super) fn layers(&self) -> &Layers {
        self.layers.get_or_init(|| Layers::of(self))
    }

    /// The content of the file at `path`; of at most 16 MiB.
    pub fn read_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        (self.read_file)(path)
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self {
            variables: BTreeMap::new(),
            not_text: Vec::new(),
            read_file: Arc::new(from_disk),
            secrets: None,
            layers: Arc::default(),
            told: Arc::default(),
        }
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self {
            variables: variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            ..Self::default()
        }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")?;
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

fn from_disk(path: &Path) -> io::Result<Vec<u8>> {
    from_disk_within(path, PIPE)
}

/// The content of the file at `path`, of which a pipe or a device has so long to come to its end.
fn from_disk_within(path: &Path, patience: Duration) -> io::Result<Vec<u8>> {
    let kind = fs::metadata(path)?.file_type();
    if kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    if kind.is_file() {
        return to_its_end(path);
    }
    // Even opening a pipe waits for whoever writes into it, who may never come. The thread is then left behind.
    let (tell, told) = mpsc::sync_channel(1);
    let path = PathBuf::from(path);
    thread::Builder::new().name("pipe".into()).spawn(move || tell.send(to_its_end(&path)))?;
    told.recv_timeout(patience).unwrap_or_else(|_| {
        let says = format!("it is no file of a disk, and did not come to its end within {patience:?}");
        Err(io::Error::new(io::ErrorKind::TimedOut, says))
    })
}

fn to_its_end(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    fs::File::open(path)?.take(LONGEST_FILE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LONGEST_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 16 MiB"));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_pipe_is_read_to_its_end_and_one_that_nobody_writes_into_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let error = from_disk_within(&pipe, Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("within 20ms"), "{error}");

        let other = folder.path().join("other");
        assert!(Command::new("mkfifo").arg(&other).status().unwrap().success());
        let writer = thread::spawn({
            let other = other.clone();
            move || fs::write(other, "token")
        });
        assert_eq!(from_disk(&other).unwrap(), b"token");
        writer.join().unwrap().unwrap();
        assert_eq!(from_disk(Path::new("/dev/zero")).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(from_disk(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }
}

//! The environment, read once and whole, and the files that it names.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs,
    io::{self, Read},
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use super::files::{Layers, SecretName, Secrets};

/// The longest file that a setting may name. Trust stores of a whole operating system have some hundred kilobytes.
const LONGEST_FILE: u64 = 16 * 1024 * 1024;

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
    let file = fs::File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    let mut content = Vec::new();
    file.take(LONGEST_FILE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LONGEST_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 16 MiB"));
    }
    Ok(content)
}

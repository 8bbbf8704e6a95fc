//! What every setting is and where it comes from, for `config`.

use super::Fault;

/// A setting as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The environment variable: the one that is set, or the one that would be.
    pub variable: String,
    /// Its value, secrets masked; `None` when there is none, or a wrong one.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: Source,
    /// What it is when nothing is set.
    pub default: Option<&'static str>,
    /// What it is for.
    pub help: &'static str,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From the variable.
    Variable,
    /// From the file of this path, which `<variable>_FILE` names.
    File(String),
    /// From a file of Gravitee's names or an option for Java: `gravitee.yml:12`, `JDK_JAVA_OPTIONS`.
    Property(String),
    /// From the table of declared keys.
    Default,
    /// From nowhere.
    Unset,
}

/// All settings as they stand, right or wrong.
#[derive(Debug, Clone, Default)]
pub struct Explanation {
    /// Every declared setting, in the order of the tables.
    pub settings: Vec<Setting>,
    /// What is wrong.
    pub faults: Vec<Fault>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// What is set and not needed here.
    pub notes: Vec<String>,
}

impl std::fmt::Display for Source {
    /// As people read it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Variable => f.write_str("variable"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Property(place) => f.write_str(place),
            Self::Default => f.write_str("default"),
            Self::Unset => f.write_str("unset"),
        }
    }
}

//! What is wrong with the settings.

use std::fmt;

/// One wrong setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The variable's name, as the person wrote it or would write it.
    pub variable: String,
    /// What was found; `None` when nothing was. Secrets are masked before they come here.
    pub found: Option<String>,
    /// What is wrong and what is accepted, in one sentence.
    pub says: String,
}

/// All that is wrong, at once. Exit code 2.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) if found.is_empty() => write!(f, "{} is empty: {}", self.variable, self.says),
            Some(found) => write!(f, "{}={found}: {}", self.variable, self.says),
            None => write!(f, "{}: {}", self.variable, self.says),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.0.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

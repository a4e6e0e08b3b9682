//! Why a configuration is refused.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

use crate::origin::Origin;

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration file {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What was read is not a valid configuration: at least one problem.
    #[error("{}", listed(.0))]
    Invalid(Vec<Problem>),
}

impl ConfigError {
    /// All problems; none if the file could not be read at all.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Read { .. } => &[],
            Self::Invalid(problems) => problems,
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it was written; `None` for what is missing.
    pub origin: Option<Origin>,
    /// The whole path of the key; empty for a text that is no TOML at all.
    pub key: String,
    /// The value, shortened; `None` for an unknown or missing key.
    pub value: Option<String>,
    /// What is wrong, what is expected, what to do.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}", self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.what)
    }
}

fn listed(problems: &[Problem]) -> String {
    match problems {
        [one] => one.to_string(),
        many => many.iter().fold(
            format!("the configuration has {} problems", many.len()),
            |text, problem| format!("{text}\n  {problem}"),
        ),
    }
}

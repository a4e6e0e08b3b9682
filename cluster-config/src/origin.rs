//! Where a value comes from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a value, or a key, was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File {
        /// The file, as it was named.
        path: Arc<Path>,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// The environment variable of this name.
    Environment(Arc<str>),
    /// An override of the command line for this key.
    Override(Arc<str>),
}

impl Origin {
    /// How a key is written in the layer of this origin, so that a suggestion can be copied.
    pub(crate) fn spell(&self, key: &str) -> String {
        match self {
            Self::Environment(_) => variable_of(key),
            Self::Default | Self::File { .. } | Self::Override(_) => key.to_owned(),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Override(key) => write!(f, "--set {key}"),
        }
    }
}

/// One key of the configuration in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The whole path, such as `lanes[0].devices[1].kind`.
    pub key: String,
    /// The value as TOML.
    pub value: String,
    /// Which layer won.
    pub origin: Origin,
}

/// What environment variables of the configuration begin with.
pub(crate) const PREFIX: &str = "PORTCULLIS_";

/// The environment variable that sets a key.
pub(crate) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.replace('.', "__").to_ascii_uppercase())
}

/// Turns byte offsets of one text into origins.
pub(crate) struct Places {
    path: Arc<Path>,
    starts: Vec<usize>,
    text: Arc<str>,
}

impl Places {
    pub(crate) fn new(path: &Path, text: &str) -> Self {
        let starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            path: PathBuf::from(path).into(),
            starts,
            text: text.into(),
        }
    }

    pub(crate) fn at(&self, offset: usize) -> Origin {
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        // Characters, not bytes: editors count so.
        let column = self.text.get(start..offset).map_or(0, |before| before.chars().count()) + 1;
        Origin::File {
            path: Arc::clone(&self.path),
            line,
            column,
        }
    }
}

//! The program as a person runs it.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::process::Command;

/// A run that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Exit code; none after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Finished {
    /// All of stdout as one JSON document.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not one JSON document: {error}: {self:?}"))
    }

    /// The JSON document of a run that ended well.
    pub(crate) fn good(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.json()
    }
}

/// The program, with nothing in its environment that would configure it: what the machine of the test is set up for must
/// not matter.
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("PORTCULLIS_")) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// Runs the program to its end, which must come in time.
pub(crate) async fn portcullis(arguments: &[&str], within: Duration) -> Finished {
    let started = Instant::now();
    let output = tokio::time::timeout(within, program().args(arguments).output())
        .await
        .unwrap_or_else(|_| panic!("{arguments:?} did not end within {within:?}"))
        .unwrap();
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        took: started.elapsed(),
    }
}

/// Where public input files are; none, with a message, where they are not.
pub(crate) fn test_data(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("PORTCULLIS_TEST_DATA")
        .map(PathBuf::from)
        .filter(|folder| folder.is_dir());
    if folder.is_none() {
        eprintln!("skipped: {test} needs the public input files; set PORTCULLIS_TEST_DATA to their folder");
    }
    folder
}

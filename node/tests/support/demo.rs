//! A demo that goes on until it is told to end.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{DEADLINE, program};

/// A demo's process, ready.
pub(crate) struct Demo {
    /// Of its nodes, by id from 1.
    pub(crate) endpoints: Vec<String>,
    pub(crate) dir: PathBuf,
    child: Child,
    remarks: JoinHandle<()>,
}

impl Demo {
    /// Starts a demo on free ports and waits until it says that it is ready.
    pub(crate) async fn start(dir: &Path, arguments: &[&str]) -> Self {
        let mut child = program()
            .args(["demo", "--port", "0", "--dir"])
            .arg(dir)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut remarks = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let endpoints = timeout(DEADLINE, async {
            loop {
                let line = remarks
                    .next_line()
                    .await
                    .unwrap()
                    .unwrap_or_else(|| panic!("the demo ended: {said:?}"));
                if line.starts_with("nodes ") {
                    return endpoints(&line);
                }
                said.push(line);
            }
        })
        .await
        .expect("the demo is ready in time");
        // The pipe is read on, or the demo would block.
        let remarks = tokio::spawn(async move { while let Ok(Some(_)) = remarks.next_line().await {} });
        Self {
            endpoints,
            dir: dir.to_owned(),
            child,
            remarks,
        }
    }

    /// Ctrl-C, and what it leaves: how it ended, and what it had printed.
    pub(crate) async fn interrupt(mut self) -> (ExitStatus, String) {
        let pid = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .unwrap();
        kill_process(pid, Signal::INT).unwrap();
        let status = timeout(Duration::from_secs(20), self.child.wait())
            .await
            .expect("it ends soon")
            .unwrap();
        let mut printed = String::new();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut printed)
            .await
            .unwrap();
        self.remarks.abort();
        (status, printed)
    }
}

/// The addresses in the line `nodes      node 1 http://127.0.0.1:1, node 2 ...`.
fn endpoints(line: &str) -> Vec<String> {
    line.split([' ', ','])
        .filter(|word| word.starts_with("http://"))
        .map(str::to_owned)
        .collect()
}

//! Running `portcullis-sim`.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Deserialize;
use tokio::process::Command;

use super::outcome::Outcome;
use crate::program;

/// A kind of fault that the simulation knows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FaultKind {
    /// Its word in plans and tables.
    pub name: String,
    /// The family that it belongs to.
    pub family: String,
    /// What happens.
    pub what: String,
}

/// The program, and how long one seed may take.
#[derive(Debug, Clone)]
pub struct Simulator {
    program: PathBuf,
    within: Duration,
    mutant: Option<String>,
}

impl Simulator {
    /// The simulation of the same build as this program; it is built if it is missing or older than its sources.
    ///
    /// # Errors
    /// If it cannot be built.
    pub fn find(within: Duration) -> anyhow::Result<Self> {
        Ok(Self::at(program::simulator()?, within))
    }

    /// This program.
    pub fn at(program: &Path, within: Duration) -> Self {
        Self {
            program: program.to_owned(),
            within,
            mutant: None,
        }
    }

    /// The same with a bug planted. Only a program that was built with mutants has any.
    #[must_use]
    pub fn with_mutant(&self, name: &str) -> Self {
        Self {
            mutant: Some(name.to_owned()),
            ..self.clone()
        }
    }

    /// Runs a seed, with all its faults or `only` those of these numbers. A process that does not end by itself, or not in
    /// order, is a broken promise of the seed.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub async fn run(&self, seed: u64, only: Option<&[u32]>, trace: Option<&Path>) -> anyhow::Result<Outcome> {
        let mut command = self.command();
        command.arg("--seed").arg(seed.to_string());
        if let Some(mutant) = &self.mutant {
            command.arg("--mutant").arg(mutant);
        }
        if let Some(only) = only {
            let only: Vec<String> = only.iter().map(ToString::to_string).collect();
            command.arg(format!("--only={}", only.join(",")));
        }
        if let Some(trace) = trace {
            command.arg("--trace").arg(trace);
        }
        let failed = |what: String| Outcome {
            seed,
            violations: vec![what],
            ..Outcome::default()
        };
        let began = Instant::now();
        let output = match tokio::time::timeout(self.within, command.output()).await {
            Ok(output) => output.with_context(|| format!("running {}", self.program.display()))?,
            Err(_) => {
                return Ok(failed(format!(
                    "hang: the simulation did not end within {:?}",
                    self.within
                )));
            }
        };
        match serde_json::from_slice(&output.stdout) {
            Ok(outcome) => Ok(Outcome {
                real_s: began.elapsed().as_secs_f64(),
                ..outcome
            }),
            Err(_) => {
                let said = String::from_utf8_lossy(&output.stderr);
                let said: Vec<&str> = said.lines().rev().take(5).collect();
                Ok(failed(format!(
                    "bug: the simulation ended with {} and no result: {}",
                    output.status,
                    said.into_iter().rev().collect::<Vec<_>>().join(" | ")
                )))
            }
        }
    }

    /// The kinds of faults that it knows.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn kinds(&self) -> anyhow::Result<Vec<FaultKind>> {
        self.list("--list-faults").await
    }

    /// Places in the code of the nodes that many seeds together have to reach.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn places(&self) -> anyhow::Result<Vec<String>> {
        self.list("--list-places").await
    }

    /// What it lists, one JSON value a line.
    pub(super) async fn list<T: for<'a> Deserialize<'a>>(&self, option: &str) -> anyhow::Result<Vec<T>> {
        let output = self.command().arg(option).output().await;
        let output = output.with_context(|| format!("running {}", self.program.display()))?;
        if !output.status.success() {
            bail!(
                "{} {option}: {}",
                self.program.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let read = |line: &str| serde_json::from_str(line).with_context(|| format!("{option}: {line}"));
        text.lines().map(read).collect()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

//! Where a measurement runs: a folder, the systems in it, and what a person sees meanwhile. Nothing of it is left at the end.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::etcd;
use super::machine::Machine;
use super::system::{Kind, System};
use crate::cli::{BedArgs, Beside, Global};

/// Systems that use less than this share of a core together are at rest.
const AT_REST: f64 = 0.25;
/// How long that is looked at.
const REST_LOOK: Duration = Duration::from_millis(500);
/// Nobody waits longer for it.
const REST_WITHIN: Duration = Duration::from_secs(15);

/// The folder of a measurement.
enum Folder {
    /// Removed at the end.
    Temporary(TempDir),
    /// Kept.
    Given(PathBuf),
}

/// A measurement's surroundings.
pub(super) struct Bed {
    folder: Folder,
    pub(super) machine: Machine,
    pub(super) systems: Vec<System>,
    bar: Option<ProgressBar>,
}

impl Bed {
    /// A bed without systems.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(super) fn make(dir: Option<&Path>) -> anyhow::Result<Self> {
        let folder = match dir {
            None => Folder::Temporary(
                tempfile::Builder::new()
                    .prefix("portcullis-bench-")
                    .tempdir()
                    .context("making a folder for temporary files; choose another place with --dir")?,
            ),
            Some(dir) => {
                std::fs::create_dir_all(dir).with_context(|| format!("--dir: making {}", dir.display()))?;
                if std::fs::read_dir(dir)?.next().is_some() {
                    bail!(
                        "--dir: {} is not empty; name a new folder, so that nothing is mixed or lost",
                        dir.display()
                    );
                }
                // The nodes run elsewhere than this process.
                Folder::Given(dir.canonicalize()?)
            }
        };
        let machine = Machine::look(folder.path())?;
        Ok(Self {
            folder,
            machine,
            systems: Vec::new(),
            bar: None,
        })
    }

    /// Lays out ours, or takes the one that was named, and the one beside it; then starts them.
    ///
    /// # Errors
    /// When one of them does not come up.
    pub(super) async fn start(
        &mut self,
        global: &Global,
        args: &BedArgs,
        actors: bool,
        etcd_flags: &[String],
    ) -> anyhow::Result<()> {
        self.say("starting");
        let dir = self.folder.path().to_owned();
        // Whatever is missing is said before anything is started.
        let beside = match args.beside {
            Some(Beside::Etcd) => Some(System::etcd(&dir, args, etcd_flags)?),
            None => None,
        };
        self.systems.push(if global.endpoints_given {
            self.machine
                .warnings
                .push("the cluster was running before; it is not known on what it ran".to_owned());
            System::existing(&global.endpoints)
        } else {
            System::portcullis(&dir, args, actors)?
        });
        self.systems.extend(beside);
        for system in &mut self.systems {
            system.start().await?;
        }
        if let Some(system) = self.systems.iter().find(|system| system.kind == Kind::Etcd)
            && let Some(address) = system.addresses.values().next()
            && let Some(status) = etcd::status(address).await
        {
            self.machine.etcd = Some(format!("etcd {}", status.version));
        }
        Ok(())
    }

    /// Shows a bar of so many steps on standard error, if that is a terminal.
    pub(super) fn expect(&mut self, steps: u64) {
        self.bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(steps);
            bar.set_style(
                ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
    }

    /// What is being done.
    pub(super) fn say(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// One step is done.
    pub(super) fn step(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Waits until no system has work left from the last turn, such as indexes, snapshots or compaction: it would take the
    /// machine from the next. After [`REST_WITHIN`] the turn begins all the same.
    pub(super) async fn rest(&self) {
        let deadline = Instant::now() + REST_WITHIN;
        let used = || self.systems.iter().filter_map(System::cpu).sum::<Duration>();
        loop {
            let before = used();
            sleep(REST_LOOK).await;
            if used().saturating_sub(before) < REST_LOOK.mul_f64(AT_REST) || Instant::now() > deadline {
                return;
            }
        }
    }

    /// The folder.
    pub(super) fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Ends every process and removes what is temporary.
    pub(super) async fn end(mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        for system in &mut self.systems {
            system.stop().await;
        }
        if let Folder::Temporary(dir) = self.folder
            && let Err(error) = dir.close()
        {
            eprintln!("portcullis: the folder for temporary files was not removed: {error}");
        }
    }
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Self::Temporary(dir) => dir.path(),
            Self::Given(dir) => dir,
        }
    }
}

//! Runs a server of somebody else so that it ends with the process that measures it, however that ends: our own nodes watch
//! their standard input for that, others cannot be expected to.

use std::convert::Infallible;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, bail};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

/// Becomes the command. The kernel kills it when the process `to`, which must have started this one, ends.
///
/// # Errors
/// When the command cannot be run, or `to` is gone already.
pub(super) fn run(to: u32, command: &[OsString]) -> anyhow::Result<Infallible> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("tying a process to its parent")?;
    // Whoever was gone before the line above sends no signal any more.
    if getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs()) != Some(to) {
        bail!("process {to} did not start this one, or has ended");
    }
    let (program, arguments) = command.split_first().context("no command")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("running {}", program.display()))
}

//! The command `nemesis`: outside of its sandbox, and inside.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use portcullis_chaos::nemesis::fault::{self, Fault};
use portcullis_chaos::nemesis::report::StepReport;
use portcullis_chaos::nemesis::run::{self, Run};
use portcullis_chaos::nemesis::sandbox;
use portcullis_chaos::program;

use crate::VERIFICATION_FAILED;

/// Stopped by who started it, as shells say it.
const INTERRUPTED: u8 = 130;

#[derive(Debug, Args)]
pub(crate) struct Nemesis {
    /// What faults, victims and moments are drawn from.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// No fault begins after so many minutes.
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// Stop after so many steps, also before the time is over.
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    steps: u64,
    /// Only these, separated by commas; by default all that can be done here.
    #[arg(long, value_delimiter = ',', value_parser = Fault::of_name)]
    faults: Vec<Fault>,
    /// Print what faults there are, and end.
    #[arg(long)]
    list: bool,
    /// How many nodes, 3 to 9.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(3..=9))]
    nodes: u64,
    /// Kills of the leader that are timed at the end, on this cluster and on etcd beside it.
    #[arg(long, default_value_t = 10)]
    control_kills: u32,
    /// Longest time until the cluster serves again, seconds.
    #[arg(long, default_value_t = 30)]
    within: u64,
    /// Where everything goes; by default a new folder, which is removed if no promise was broken.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The portcullis program; by default the one of the same build, built if need be.
    #[arg(long)]
    program: Option<PathBuf>,
    /// For the process in the sandbox.
    #[arg(long, hide = true, requires = "dir", requires = "program")]
    inside: bool,
}

/// Does what the command says; returns the exit code.
pub(crate) async fn run(nemesis: Nemesis) -> anyhow::Result<u8> {
    match (nemesis.list, nemesis.inside) {
        (true, _) => list(),
        (false, true) => hurt(nemesis).await,
        (false, false) => enter(nemesis).await,
    }
}

/// Prints the faults, with those that cannot be done here.
fn list() -> anyhow::Result<u8> {
    let mut out = std::io::stdout().lock();
    for fault in fault::ALL {
        let missing = fault.unusable().map(|why| format!(" [{why}]")).unwrap_or_default();
        writeln!(out, "{:<16} {}{missing}", fault.name(), fault.about())?;
    }
    Ok(0)
}

/// Makes what a run needs outside of its sandbox, and runs it inside.
async fn enter(nemesis: Nemesis) -> anyhow::Result<u8> {
    let asked_to_stop = crate::signal::asked_to_stop()?;
    let missing = sandbox::missing();
    if !missing.is_empty() {
        bail!("the nemesis cannot be run here; missing: {}", missing.join("; "));
    }
    let program = match nemesis.program {
        Some(program) => program
            .canonicalize()
            .with_context(|| format!("finding {}", program.display()))?,
        None => program::program()?.to_owned(),
    };
    let temporary = match &nemesis.dir {
        Some(_) => None,
        None => Some(sandbox::folder()?),
    };
    let dir = match (&temporary, nemesis.dir) {
        (Some(temporary), _) => temporary.path().to_owned(),
        (None, dir) => dir.context("--dir is given")?,
    };
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let dir = dir.canonicalize()?;
    let mut arguments: Vec<OsString> = ["nemesis", "--inside", "--dir"].map(Into::into).into();
    arguments.extend([dir.clone().into(), "--program".into(), program.into()]);
    for (name, value) in [
        ("--seed", nemesis.seed),
        ("--minutes", nemesis.minutes),
        ("--steps", nemesis.steps),
        ("--nodes", nemesis.nodes),
        ("--control-kills", nemesis.control_kills.into()),
        ("--within", nemesis.within),
    ] {
        arguments.extend([name.into(), value.to_string().into()]);
    }
    if !nemesis.faults.is_empty() {
        let names: Vec<&str> = nemesis.faults.iter().map(|fault| fault.name()).collect();
        arguments.extend(["--faults".into(), names.join(",").into()]);
    }
    let code = sandbox::enter(&arguments, asked_to_stop).await;
    if !matches!(code, Ok(0 | INTERRUPTED)) {
        let dir = match temporary {
            Some(temporary) => sandbox::keep(temporary)?,
            None => dir,
        };
        eprintln!("logs and the clients' account are in {}", dir.display());
    }
    code
}

/// The run itself, in its sandbox.
async fn hurt(nemesis: Nemesis) -> anyhow::Result<u8> {
    let stop = sandbox::inside()?;
    let (Some(dir), Some(program)) = (nemesis.dir, nemesis.program) else {
        bail!("--inside needs --dir and --program");
    };
    let mut faults = nemesis.faults;
    if faults.is_empty() {
        faults = fault::ALL.to_vec();
    }
    let mut skipped = BTreeMap::new();
    faults.retain(|fault| match fault.unusable() {
        None => true,
        Some(why) => {
            eprintln!("skipped: {}: {why}", fault.name());
            skipped.insert(fault.name(), why);
            false
        }
    });
    let plan = run::Plan {
        seed: nemesis.seed,
        faults,
        nodes: nemesis.nodes,
        at_most: Duration::from_secs(nemesis.minutes * 60),
        steps: nemesis.steps,
        within: Duration::from_secs(nemesis.within),
        control_kills: nemesis.control_kills,
    };
    let run = async { Run::start(plan, &program, &dir).await?.run(tell).await };
    let mut report = tokio::select! {
        ended = run => ended?,
        _ = stop => {
            eprintln!("interrupted");
            return Ok(INTERRUPTED);
        }
    };
    report.skipped = skipped;
    writeln!(std::io::stdout(), "{}", serde_json::json!({ "report": report }))?;
    eprintln!("{}", report.table());
    Ok(match (report.violations.is_empty(), report.passed) {
        (false, _) => VERIFICATION_FAILED,
        (true, true) => 0,
        (true, false) => {
            eprintln!("this run shows nothing: not every fault is proven done and undone");
            1
        }
    })
}

fn tell(step: &StepReport) {
    // Whoever reads the lines may have gone; the steps are in steps.jsonl as well.
    let _ = writeln!(std::io::stdout(), "{}", serde_json::json!({ "step": step }));
}

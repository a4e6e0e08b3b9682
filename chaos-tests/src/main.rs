//! The `portcullis-chaos` program: the long runs of the fault tests, behind named commands.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use portcullis_chaos::campaign::{Campaign, Cycle, Harm, Plan};
use portcullis_chaos::cluster::Blueprint;
use portcullis_chaos::report::Report;
use portcullis_chaos::{disk, program};

mod hurt;
mod signal;
mod sim;

use hurt::Nemesis;
use sim::SimArgs;

/// A promise was broken, as with `portcullis`.
const VERIFICATION_FAILED: u8 = 12;

/// Hurts a cluster of real node processes and checks that nothing acknowledged is lost or changed. Prints one JSON object a
/// line: each cycle, and at the end the report. Exits with 12 if a promise was broken.
#[derive(Debug, Parser)]
#[command(name = "portcullis-chaos", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Kill -9 of the leader, a follower, two nodes or all of them, over and over.
    Kills {
        /// How many cycles, with those done before when it goes on.
        #[arg(long, default_value_t = 1000)]
        cycles: u64,
        /// Go on with the campaign in --dir.
        #[arg(long, requires = "dir")]
        resume: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Power losses of one node, two or all at once: what was not fsynced is gone, or partly there. Needs FUSE and root.
    Power {
        /// How many losses.
        #[arg(long, default_value_t = 200)]
        losses: u64,
        #[command(flatten)]
        common: Common,
    },
    /// The whole cluster in one deterministic process for each seed, with simulated network, disks and clocks, and faults
    /// drawn from the seed.
    Sim(SimArgs),
    /// Everything at once: each node in a network namespace of its own, under load, hurt by faults of processes, network,
    /// disks and clocks, one by one and in pairs; each proven done and proven undone. Needs root, FUSE and nftables.
    Nemesis(Nemesis),
}

#[derive(Debug, Args)]
struct Common {
    /// What victims and moments are drawn from.
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Where everything goes; by default a new folder, which is removed if no promise was broken.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Stop after so many minutes, also before all cycles are done.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Longest time until the cluster serves again, seconds.
    #[arg(long, default_value_t = 20)]
    within: u64,
    /// The portcullis program; by default the one of the same build, built if need be.
    #[arg(long)]
    program: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")
        .and_then(|runtime| {
            runtime.block_on(async {
                match cli.command {
                    Command::Sim(args) => sim::run(args).await,
                    Command::Nemesis(nemesis) => hurt::run(nemesis).await,
                    Command::Kills { cycles, resume, common } => campaign(Harm::Kill, cycles, resume, common).await,
                    Command::Power { losses, common } => campaign(Harm::PowerLoss, losses, false, common).await,
                }
            })
        });
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("portcullis-chaos: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn campaign(harm: Harm, cycles: u64, resume: bool, common: Common) -> anyhow::Result<u8> {
    if harm == Harm::PowerLoss
        && let Some(why) = disk::unusable()
    {
        bail!("power cannot be made to fail here: {why}");
    }
    let asked_to_stop = signal::asked_to_stop()?;
    let program = match common.program {
        Some(program) => program,
        None => program::program()?.to_owned(),
    };
    let (dir, temporary) = match common.dir {
        Some(dir) => (dir, None),
        None => {
            let temporary = tempfile::Builder::new().prefix("portcullis-chaos-").tempdir()?;
            (temporary.path().to_owned(), Some(temporary))
        }
    };
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let dir = dir.canonicalize()?;
    let plan = Plan {
        harm,
        cycles,
        seed: common.seed,
        within: Duration::from_secs(common.within),
        at_most: Duration::from_secs(common.minutes * 60),
    };
    let blueprint = Blueprint {
        power: harm == Harm::PowerLoss,
        ..Blueprint::new(&program, &dir)
    };
    let bar = progress(cycles);
    let campaign = async {
        let campaign = Campaign::start(plan, &blueprint, resume).await?;
        campaign.run(|cycle| show(&bar, cycle)).await
    };
    let ended = tokio::select! {
        ended = campaign => ended,
        () = asked_to_stop => Err(anyhow::anyhow!("interrupted")),
    };
    bar.finish_and_clear();
    let kept = |temporary: Option<tempfile::TempDir>| {
        let dir = temporary.map_or(dir.clone(), tempfile::TempDir::keep);
        eprintln!("logs, data and the clients' account are in {}", dir.display());
    };
    let report = match ended {
        Ok(report) => report,
        Err(error) => {
            kept(temporary);
            return Err(error);
        }
    };
    print(&report)?;
    if !report.violations.is_empty() {
        kept(temporary);
    } else if !report.passed {
        eprintln!("stopped after {} of {cycles} cycles: the time is over", report.cycles);
    }
    Ok(match report.violations.is_empty() {
        true => 0,
        false => VERIFICATION_FAILED,
    })
}

fn progress(cycles: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(cycles);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} cycles, {eta} left  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn show(bar: &ProgressBar, cycle: &Cycle) {
    bar.set_position(cycle.cycle);
    bar.set_message(format!(
        "{}: served again after {} ms, {} entries",
        cycle.harm, cycle.serving_ms, cycle.entries
    ));
    let line = serde_json::to_string(cycle).unwrap_or_default();
    // Whoever reads the lines may have gone; the cycles are in cycles.jsonl as well.
    let _ = bar.suspend(|| writeln!(std::io::stdout(), "{line}"));
}

fn print(report: &Report) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{}", serde_json::json!({ "report": report }))?;
    Ok(())
}

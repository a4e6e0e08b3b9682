//! `portcullis-chaos sim`: many seeds, one seed again, or planted bugs.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use portcullis_chaos::program;
use portcullis_chaos::simulation::{Caught, Outcome, Simulator, Summary, Sweep, hunt, reduce, sweep};

use crate::VERIFICATION_FAILED;

/// From so many seeds on every kind of fault has to be proven.
const COMPLETE: u64 = 200;

/// What is simulated.
#[derive(Debug, Args)]
pub(crate) struct SimArgs {
    /// How many seeds.
    #[arg(long, default_value_t = 20, conflicts_with_all = ["seed", "mutants"])]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1, conflicts_with_all = ["seed", "mutants"])]
    first_seed: u64,
    /// Runs on until a promise is broken, whatever --seeds says.
    #[arg(long, conflicts_with_all = ["seed", "mutants"])]
    until_failure: bool,
    /// Begins no seed after so many minutes.
    #[arg(long, conflicts_with_all = ["seed", "mutants"])]
    minutes: Option<u64>,
    /// Replays one seed and shows all that it shows.
    #[arg(long, conflicts_with = "mutants")]
    seed: Option<u64>,
    /// Of its faults only these, by their numbers.
    #[arg(long, value_delimiter = ',', num_args = 0.., requires = "seed")]
    only: Option<Vec<u32>>,
    /// Writes what happens into this file; RUST_LOG says how much.
    #[arg(long, requires = "seed")]
    trace: Option<PathBuf>,
    /// Builds the simulation with planted bugs and shows how many seeds it takes to catch each of them.
    #[arg(long)]
    mutants: bool,
    /// Of these only the one of this name.
    #[arg(long, requires = "mutants")]
    mutant: Option<String>,
    /// Longest real time that one seed may take, seconds.
    #[arg(long, default_value_t = 300)]
    patience: u64,
}

/// The exit code: 0 if no promise was broken, every fault was proven where that is asked for, and no planted bug survived.
pub(crate) async fn run(args: SimArgs) -> anyhow::Result<u8> {
    Ok(match kept(args).await? {
        true => 0,
        false => VERIFICATION_FAILED,
    })
}

async fn kept(args: SimArgs) -> anyhow::Result<bool> {
    let patience = Duration::from_secs(args.patience);
    if args.mutants {
        return mutants(&Simulator::at(&program::mutants()?, patience), args.mutant.as_deref()).await;
    }
    let simulator = Simulator::find(patience)?;
    if let Some(seed) = args.seed {
        let outcome = simulator.run(seed, args.only.as_deref(), args.trace.as_deref()).await?;
        print(&outcome)?;
        return Ok(outcome.violations.is_empty());
    }
    many(&simulator, &args).await
}

async fn many(simulator: &Simulator, args: &SimArgs) -> anyhow::Result<bool> {
    let asked_to_stop = crate::signal::asked_to_stop()?;
    let plan = Sweep {
        first: args.first_seed,
        seeds: (!args.until_failure).then_some(args.seeds),
        until_failure: args.until_failure,
        at_most: args.minutes.map(|minutes| Duration::from_secs(minutes * 60)),
    };
    let bar = progress(plan.seeds);
    let mut failures: Vec<Outcome> = Vec::new();
    let mut total = 0.0;
    let summary = sweep(simulator, &plan, |outcome| {
        total += outcome.simulated_s;
        bar.inc(1);
        bar.set_message(format!("{total:.0} simulated s, {} failed", failures.len()));
        if !outcome.violations.is_empty() {
            failures.push(outcome.clone());
            bar.suspend(|| tell(outcome));
        }
    });
    let summary = tokio::select! {
        summary = summary => summary?,
        () = asked_to_stop => anyhow::bail!("interrupted"),
    };
    bar.finish_and_clear();
    // Few are made small: each takes as many runs as it has faults.
    for failure in failures.iter().take(3) {
        let reduced = reduce(simulator, failure).await?;
        if std::io::stdout().is_terminal() {
            let mut out = std::io::stdout();
            writeln!(
                out,
                "seed {} still fails with {:?} alone:",
                reduced.seed, reduced.faults
            )?;
            for violation in &reduced.violations {
                writeln!(out, "  {violation}")?;
            }
            writeln!(out, "  at step {}; again: {}", reduced.step, reduced.replay)?;
        } else {
            print(&serde_json::json!({ "reduced": reduced }))?;
        }
    }
    show(&summary)?;
    let unproven = summary.unproven();
    let unreached = summary.unreached();
    let complete = summary.seeds < COMPLETE || (unproven.is_empty() && unreached.is_empty());
    if !complete {
        eprintln!(
            "no seed proves these faults: [{}]; none reaches these places: {unreached:?}",
            unproven.join(", ")
        );
    }
    Ok(summary.failed.is_empty() && complete)
}

async fn mutants(simulator: &Simulator, only: Option<&str>) -> anyhow::Result<bool> {
    let terminal = std::io::stdout().is_terminal();
    let mut out = std::io::stdout();
    if terminal {
        writeln!(
            out,
            "{:<28} {:<6} {:>6} {:>7}  found",
            "planted bug", "breaks", "seeds", "allowed"
        )?;
    }
    let all = hunt(simulator, only, |caught| {
        let line = if terminal {
            row(caught)
        } else {
            serde_json::to_string(caught).unwrap_or_default()
        };
        // Whoever reads may have gone; the exit code says it as well.
        let _ = writeln!(std::io::stdout(), "{line}");
    });
    let all = all.await?;
    let survived: Vec<&str> = all
        .iter()
        .filter(|one| one.seeds.is_none())
        .map(|one| one.name.as_str())
        .collect();
    if !survived.is_empty() {
        eprintln!("not caught: {}; the checkers have a hole", survived.join(", "));
    }
    Ok(survived.is_empty())
}

fn row(caught: &Caught) -> String {
    let seeds = caught.seeds.map_or_else(|| "-".to_owned(), |seeds| seeds.to_string());
    let found: String = caught.found.as_deref().unwrap_or("survived").chars().take(90).collect();
    format!(
        "{:<28} {:<6} {seeds:>6} {:>7}  {found}",
        caught.name, caught.promise, caught.within
    )
}

fn progress(seeds: Option<u64>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = seeds.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {eta} left  {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn tell(outcome: &Outcome) {
    let faults: Vec<&str> = outcome.faults.iter().map(|fault| fault.kind.as_str()).collect();
    let line = match std::io::stdout().is_terminal() {
        true => format!(
            "seed {} ({}): {}",
            outcome.seed,
            faults.join(", "),
            outcome.violations.join("; ")
        ),
        false => {
            serde_json::json!({ "seed": outcome.seed, "faults": faults, "violations": outcome.violations }).to_string()
        }
    };
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn show(summary: &Summary) -> anyhow::Result<()> {
    match std::io::stdout().is_terminal() {
        true => write!(std::io::stdout(), "{}", summary.table())?,
        false => print(&serde_json::json!({ "summary": summary }))?,
    }
    Ok(())
}

fn print(value: &impl serde::Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string(value).context("writing JSON")?;
    writeln!(std::io::stdout(), "{text}")?;
    Ok(())
}

//! One seed of the simulation, in one process: `portcullis-chaos sim` runs many.

mod control;
mod fault;
mod invariants;
mod machine;
#[cfg(feature = "mutants")]
mod mutants;
mod network;
mod places;
mod plan;
mod run;
mod world;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use rand::SeedableRng as _;
use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::fault::Kind;
use crate::places::Places;
use crate::plan::Plan;

/// A run allocates small things without end: glibc's own allocator takes a fifth of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A promise was broken, as with `portcullis`.
const VERIFICATION_FAILED: u8 = 12;

/// Runs one seed and prints what it showed as one JSON object. Exits with 12 if a promise was broken.
#[derive(Debug, Parser)]
#[command(name = "portcullis-sim", version)]
struct Cli {
    /// The seed, which fixes everything.
    #[arg(long)]
    seed: Option<u64>,
    /// Only these faults of the plan, by their numbers; none with an empty list.
    #[arg(long, value_delimiter = ',', num_args = 0..)]
    only: Option<Vec<u32>>,
    /// Writes what happens into this file. What is written is set by RUST_LOG.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Runs with this mistake planted.
    #[cfg(feature = "mutants")]
    #[arg(long)]
    mutant: Option<String>,
    /// Lists the mistakes that can be planted, one JSON object a line.
    #[cfg(feature = "mutants")]
    #[arg(long)]
    list_mutants: bool,
    /// Prints the plan and does not run it.
    #[arg(long)]
    plan: bool,
    /// Prints the kinds of faults, one JSON object a line.
    #[arg(long)]
    list_faults: bool,
    /// Prints the places in the code that many seeds together have to reach, one JSON string a line.
    #[arg(long)]
    list_places: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match simulate(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(VERIFICATION_FAILED),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "portcullis-sim: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn simulate(cli: &Cli) -> anyhow::Result<bool> {
    if cli.list_faults {
        for kind in Kind::ALL {
            let line = serde_json::json!({ "name": kind.name(), "family": kind.family(), "what": kind.what() });
            writeln!(std::io::stdout(), "{line}")?;
        }
        return Ok(true);
    }
    if cli.list_places {
        for place in places::SOMETIMES {
            writeln!(std::io::stdout(), "{}", serde_json::json!(place))?;
        }
        return Ok(true);
    }
    #[cfg(feature = "mutants")]
    if mutants::chosen(cli.mutant.as_deref(), cli.list_mutants)? {
        return Ok(true);
    }
    let seed = cli.seed.context("--seed is missing: name the seed that is to be run")?;
    let mut plan = Plan::drawn(seed);
    if let Some(only) = &cli.only {
        plan.faults.retain(|planned| only.contains(&planned.number));
    }
    if cli.plan {
        writeln!(std::io::stdout(), "{plan:#?}")?;
        return Ok(true);
    }
    let places = Places::default();
    let layer = places
        .clone()
        .with_filter(filter_fn(Places::counts).with_max_level_hint(Level::INFO));
    let trace = cli.trace.as_ref().map(|path| {
        let file = std::fs::File::create(path).with_context(|| format!("--trace: writing {}", path.display()))?;
        let layer = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(std::sync::Mutex::new(std::io::BufWriter::new(file)))
            .with_filter(EnvFilter::from_default_env());
        anyhow::Ok(layer)
    });
    tracing_subscriber::registry()
        .with(layer)
        .with(trace.transpose()?)
        .init();
    run::note_panics();
    // On a thread that has drawn nothing yet, so that a trace, which draws for its maps, changes nothing.
    let simulation = std::thread::Builder::new()
        .name("simulation".to_owned())
        .spawn(move || {
            mad_turmoil::rand::set_rng(rand::rngs::StdRng::seed_from_u64(seed));
            let _clocks = mad_turmoil::time::SimClocksGuard::init();
            run::run(plan, &places)
        })?;
    let result = simulation
        .join()
        .map_err(|_| anyhow::anyhow!("the simulation panicked"))??;
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&result)?)?;
    Ok(result.violations.is_empty())
}

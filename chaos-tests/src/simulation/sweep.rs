//! A range of seeds, as many at the same time as there are cores.

use std::time::{Duration, Instant};

use futures::StreamExt as _;

use super::outcome::Outcome;
use super::process::Simulator;
use super::summary::Summary;

/// Which seeds.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// The first one.
    pub first: u64,
    /// How many; none stands for no end.
    pub seeds: Option<u64>,
    /// It ends with the first seed that fails.
    pub until_failure: bool,
    /// No seed is begun after this time.
    pub at_most: Option<Duration>,
}

/// Runs the seeds, and tells each one as it ends.
///
/// # Errors
/// If the simulation cannot be run. Broken promises are no errors.
pub async fn sweep(simulator: &Simulator, plan: &Sweep, mut tell: impl FnMut(&Outcome)) -> anyhow::Result<Summary> {
    let began = Instant::now();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kinds = simulator.kinds().await?;
    let mut summary = Summary::new(kinds, simulator.places().await?, cores);
    let last = plan.seeds.map_or(u64::MAX, |seeds| plan.first.saturating_add(seeds));
    let seeds = (plan.first..last).take_while(|_| plan.at_most.is_none_or(|most| began.elapsed() < most));
    let runs = futures::stream::iter(seeds).map(|seed| simulator.run(seed, None, None));
    let mut runs = std::pin::pin!(runs.buffer_unordered(cores));
    while let Some(outcome) = runs.next().await {
        let outcome = outcome?;
        tell(&outcome);
        let failed = !outcome.violations.is_empty();
        summary.add(outcome);
        if failed && plan.until_failure {
            break;
        }
    }
    summary.took(began.elapsed());
    Ok(summary)
}

//! Planted bugs: each has to be caught, or the checkers have a hole.

use serde::{Deserialize, Serialize};

use super::process::Simulator;

/// Every planted bug has to be caught within so many seeds.
const WITHIN: u64 = 40;

/// A bug that can be planted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Mutant {
    name: String,
    broken: String,
    promise: String,
}

/// What became of a planted bug.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Caught {
    /// Its name.
    pub name: String,
    /// What is wrong.
    pub what: String,
    /// The promise that it breaks.
    pub promise: String,
    /// Seeds it may take.
    pub within: u64,
    /// Seeds it took; absent if it survived.
    pub seeds: Option<u64>,
    /// What was found first.
    pub found: Option<String>,
}

/// Plants one bug after the other and runs seeds from 1 on until it is caught. `only` chooses one by its name.
///
/// # Errors
/// If the simulation was not built with mutants, or cannot be run.
pub async fn hunt(
    simulator: &Simulator,
    only: Option<&str>,
    mut tell: impl FnMut(&Caught),
) -> anyhow::Result<Vec<Caught>> {
    use futures::StreamExt as _;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut mutants: Vec<Mutant> = simulator.list("--list-mutants").await?;
    if let Some(only) = only {
        mutants.retain(|mutant| mutant.name == only);
        anyhow::ensure!(!mutants.is_empty(), "--mutant: there is no planted bug named {only}");
    }
    let mut all = Vec::new();
    for mutant in mutants {
        let simulator = simulator.with_mutant(&mutant.name);
        let mut caught = Caught {
            name: mutant.name,
            what: mutant.broken,
            promise: mutant.promise,
            within: WITHIN,
            seeds: None,
            found: None,
        };
        let runs = futures::stream::iter(1..=WITHIN).map(|seed| simulator.run(seed, None, None));
        // In their order, so that the number of seeds does not depend on the machine.
        let mut runs = std::pin::pin!(runs.buffered(cores));
        while let Some(outcome) = runs.next().await {
            let outcome = outcome?;
            if let Some(first) = outcome.violations.first() {
                caught.seeds = Some(outcome.seed);
                caught.found = Some(first.clone());
                break;
            }
        }
        tell(&caught);
        all.push(caught);
    }
    Ok(all)
}

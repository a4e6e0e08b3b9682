//! The smallest list of faults with which a seed still fails.

use serde::Serialize;

use super::outcome::Outcome;
use super::process::Simulator;

/// A failure, made small.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reduced {
    /// The seed.
    pub seed: u64,
    /// When it was found, in steps of the simulation.
    pub step: u64,
    /// The faults that are needed, by number and kind.
    pub faults: Vec<(u32, String)>,
    /// What breaks with these alone.
    pub violations: Vec<String>,
    /// What shows it again.
    pub replay: String,
}

/// Leaves out one fault after the other, as long as the same promise is broken.
///
/// # Errors
/// If the simulation cannot be run.
pub async fn reduce(simulator: &Simulator, failed: &Outcome) -> anyhow::Result<Reduced> {
    let broken = failed.broken();
    let mut needed: Vec<(u32, String)> = failed
        .faults
        .iter()
        .map(|fault| (fault.number, fault.kind.clone()))
        .collect();
    let mut small = failed.clone();
    let mut at = 0;
    while at < needed.len() {
        let mut fewer = needed.clone();
        fewer.remove(at);
        let numbers: Vec<u32> = fewer.iter().map(|(number, _)| *number).collect();
        let outcome = simulator.run(failed.seed, Some(&numbers), None).await?;
        match outcome.broken().iter().any(|promise| broken.contains(promise)) {
            true => (needed, small) = (fewer, outcome),
            false => at += 1,
        }
    }
    let numbers: Vec<String> = needed.iter().map(|(number, _)| number.to_string()).collect();
    Ok(Reduced {
        seed: failed.seed,
        step: small.steps,
        replay: format!(
            "cargo run --release -p portcullis-chaos -- sim --seed {} --only={}",
            failed.seed,
            numbers.join(",")
        ),
        faults: needed,
        violations: small.violations,
    })
}

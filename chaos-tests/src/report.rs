//! What a campaign has shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::account::Account;
use crate::campaign::{Cycle, Harm, Plan};
use crate::oracle::Violation;
use crate::write::Told;

/// The end of a campaign, as printed.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// No promise was broken and all cycles were run.
    pub passed: bool,
    /// What was done.
    pub harm: &'static str,
    /// What was drawn from.
    pub seed: u64,
    /// Cycles run, of all runs in this folder.
    pub cycles: u64,
    /// Cycles wanted.
    pub of: u64,
    /// Processes that were hurt; more than cycles, as some lose several.
    pub victims: u64,
    /// Writes that took effect, with their answers.
    pub applied: u64,
    /// Writes that were refused.
    pub refused: u64,
    /// Writes whose outcome nobody was told.
    pub unknown: u64,
    /// Until a write was applied after the leader alone was hurt.
    pub leader: Times,
    /// Until a write was applied after the majority was hurt, since the start of its processes.
    pub majority: Times,
    /// Until all nodes agreed about the whole log, since the start of those that were hurt.
    pub agreed: Times,
    /// Of this run.
    pub seconds: u64,
    /// Broken promises.
    pub violations: Vec<String>,
    /// Where everything is.
    pub dir: PathBuf,
}

/// A distribution, milliseconds.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Times {
    /// How many there are.
    pub count: usize,
    /// The middle.
    pub p50_ms: u64,
    /// 99 of 100 are no longer.
    pub p99_ms: u64,
    /// The longest.
    pub max_ms: u64,
}

impl Times {
    pub(crate) fn new(times: impl Iterator<Item = u64>) -> Self {
        let mut times: Vec<u64> = times.collect();
        times.sort_unstable();
        let at = |percent: usize| {
            times
                .get((times.len() * percent).div_ceil(100).saturating_sub(1))
                .copied()
        };
        Self {
            count: times.len(),
            p50_ms: at(50).unwrap_or_default(),
            p99_ms: at(99).unwrap_or_default(),
            max_ms: times.last().copied().unwrap_or_default(),
        }
    }
}

impl Report {
    pub(crate) fn new(
        plan: &Plan,
        dir: &Path,
        cycles: &[Cycle],
        account: &Account,
        violations: Vec<Violation>,
        took: Duration,
    ) -> Self {
        let count = |wanted: fn(&Told) -> bool| account.told().values().filter(|told| wanted(told)).count() as u64;
        let serving = |wanted: &[&str]| {
            let of = cycles
                .iter()
                .filter(|cycle| wanted.iter().any(|who| cycle.harm.ends_with(who)));
            Times::new(of.map(|cycle| cycle.serving_ms))
        };
        Self {
            passed: violations.is_empty() && cycles.len() as u64 >= plan.cycles,
            harm: match plan.harm {
                Harm::Kill => "kill -9",
                Harm::PowerLoss => "power loss",
            },
            seed: plan.seed,
            cycles: cycles.len() as u64,
            of: plan.cycles,
            victims: cycles
                .iter()
                .map(|cycle| cycle.victims.len() as u64 * (1 + u64::from(cycle.twice)))
                .sum(),
            applied: count(|told| matches!(told, Told::Applied(_))),
            refused: count(|told| matches!(told, Told::Refused(_))),
            unknown: count(|told| matches!(told, Told::Unknown)),
            leader: serving(&[" leader"]),
            majority: serving(&[" two", " all"]),
            agreed: Times::new(cycles.iter().map(|cycle| cycle.agreed_ms)),
            seconds: took.as_secs(),
            violations: violations.iter().map(ToString::to_string).collect(),
            dir: dir.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let times = Times::new((1..=200).rev());
        assert_eq!(
            (times.count, times.p50_ms, times.p99_ms, times.max_ms),
            (200, 100, 198, 200)
        );
        let none = Times::new(std::iter::empty());
        assert_eq!((none.count, none.p50_ms, none.max_ms), (0, 0, 0));
    }
}

//! What a run has shown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::arena::Ended;
use super::control::Control;
use super::fault::Fault;
use super::run::Plan;
use crate::account::Account;
use crate::court::Court;
use crate::port::Counts;
use crate::report::Times;
use crate::write::Told;

/// Answers to writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// They took effect.
    pub applied: u64,
    /// They certainly have no effect.
    pub refused: u64,
    /// They may have one or not.
    pub unknown: u64,
}

impl Tally {
    /// Of the writes from this number on.
    pub fn of(account: &Account, from: u64) -> Self {
        let mut tally = Self::default();
        for told in account.told().range(from..).map(|(_, told)| told) {
            match told {
                Told::Applied(_) => tally.applied += 1,
                Told::Refused(_) => tally.refused += 1,
                Told::Unknown => tally.unknown += 1,
            }
        }
        tally
    }

    fn add(&mut self, other: Self) {
        self.applied += other.applied;
        self.refused += other.refused;
        self.unknown += other.unknown;
    }
}

/// A fault that was done and undone.
#[derive(Debug, Clone, Serialize)]
pub struct Done {
    /// Which.
    pub fault: Fault,
    /// The nodes that it was done to.
    pub victims: Vec<u64>,
    /// What proves that it was in force; or why that is not proven.
    pub injected: Proof,
    /// What proves that it has ended; or why that is not proven.
    pub reverted: Proof,
}

/// A proof, or why there is none.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// What was seen.
    Proven(String),
    /// What was seen instead.
    Missing(String),
}

impl Proof {
    /// It is proven.
    pub fn holds(&self) -> bool {
        matches!(self, Self::Proven(_))
    }
}

impl From<anyhow::Result<String>> for Proof {
    fn from(proof: anyhow::Result<String>) -> Self {
        match proof {
            Ok(what) => Self::Proven(what),
            Err(why) => Self::Missing(format!("{why:#}")),
        }
    }
}

impl Done {
    pub(super) fn new(ended: Ended, reverted: anyhow::Result<String>) -> Self {
        Self {
            fault: ended.fault,
            victims: ended.victims,
            injected: ended.proof.into(),
            reverted: reverted.into(),
        }
    }
}

/// One step, as printed.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// Its number, from 1.
    pub step: u64,
    /// What was done.
    pub faults: Vec<Done>,
    /// From the beginning of the first until the end of all, milliseconds.
    pub lasted_ms: u64,
    /// What clients were told meanwhile.
    pub during: Tally,
    /// From when all were in force until a write that was sent afterwards was applied, if one was before the end, milliseconds.
    pub served_ms: Option<u64>,
    /// From the end of all until a write that was sent afterwards was applied, milliseconds.
    pub recovery_ms: u64,
    /// From the end of all until all nodes held what was acknowledged, milliseconds.
    pub caught_up_ms: u64,
    /// Entries of the log.
    pub entries: u64,
}

/// What was seen of one fault.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Which.
    pub fault: Fault,
    /// How often it was done.
    pub done: u64,
    /// How often that was proven.
    pub proven: u64,
    /// How often its end was proven.
    pub reverted: u64,
    /// What clients were told meanwhile.
    pub during: Tally,
    /// From its end until a write was applied.
    pub recovery: Times,
}

/// The end of a run, as printed.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// No promise was broken, every fault was done and proven, and so was its end.
    pub passed: bool,
    /// What was drawn from.
    pub seed: u64,
    /// How many nodes.
    pub nodes: u64,
    /// By fault.
    pub faults: Vec<Row>,
    /// Faults that could not be done here, and why.
    pub skipped: BTreeMap<&'static str, String>,
    /// Faults that had no turn.
    pub not_reached: Vec<Fault>,
    /// Different pairs of faults that were in force at the same time.
    pub pairs: usize,
    /// Steps.
    pub steps: usize,
    /// Under faults, of this run.
    pub seconds: u64,
    /// What clients were told altogether.
    pub writes: Tally,
    /// Everybody's calls, by kind and answer, and what else happened in the port.
    pub port: Counts,
    /// Entries of the log.
    pub entries: u64,
    /// From the end of all faults until a write was applied.
    pub recovery: Times,
    /// Kills of the leader, on ours and on etcd.
    pub control: Control,
    /// Broken promises.
    pub violations: Vec<String>,
    /// Where everything is.
    pub dir: PathBuf,
}

impl Report {
    /// Without what the port and the control have to add.
    pub(super) fn new(
        plan: &Plan,
        dir: &Path,
        steps: &[StepReport],
        court: &Court,
        violations: Vec<String>,
        took: Duration,
    ) -> Self {
        let faults: Vec<Row> = plan.faults.iter().filter_map(|fault| row(*fault, steps)).collect();
        let reached = |fault: &Fault| faults.iter().any(|row| row.fault == *fault);
        let pairs: std::collections::BTreeSet<Vec<Fault>> = steps
            .iter()
            .filter(|step| step.faults.len() > 1)
            .map(|step| step.faults.iter().map(|done| done.fault).collect())
            .collect();
        let all_proven = faults
            .iter()
            .all(|row| row.proven == row.done && row.reverted == row.done);
        Self {
            passed: violations.is_empty() && all_proven && !faults.is_empty(),
            seed: plan.seed,
            nodes: plan.nodes,
            skipped: BTreeMap::new(),
            not_reached: plan.faults.iter().copied().filter(|fault| !reached(fault)).collect(),
            faults,
            pairs: pairs.len(),
            steps: steps.len(),
            seconds: took.as_secs(),
            writes: Tally::of(&court.load().account(), 0),
            port: Counts::default(),
            entries: court.size(),
            recovery: Times::new(steps.iter().map(|step| step.recovery_ms)),
            control: Control::default(),
            violations,
            dir: dir.to_owned(),
        }
    }

    /// The faults as a table for people, and the control.
    pub fn table(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING).force_no_tty();
        table.set_header([
            "fault",
            "done",
            "proven",
            "reverted",
            "applied",
            "refused",
            "unknown",
            "again p50 ms",
            "max ms",
        ]);
        for row in &self.faults {
            let Row { during, recovery, .. } = row;
            let numbers = [
                row.done,
                row.proven,
                row.reverted,
                during.applied,
                during.refused,
                during.unknown,
                recovery.p50_ms,
                recovery.max_ms,
            ];
            let cells = std::iter::once(row.fault.name().to_owned()).chain(numbers.map(|number| number.to_string()));
            table.add_row(cells);
        }
        format!("{table}\n{}", self.control)
    }
}

fn row(fault: Fault, steps: &[StepReport]) -> Option<Row> {
    let with = |step: &&StepReport| step.faults.iter().any(|done| done.fault == fault);
    let mut row = Row {
        fault,
        done: 0,
        proven: 0,
        reverted: 0,
        during: Tally::default(),
        recovery: Times::new(steps.iter().filter(with).map(|step| step.recovery_ms)),
    };
    for step in steps.iter().filter(with) {
        row.during.add(step.during);
        for done in step.faults.iter().filter(|done| done.fault == fault) {
            row.done += 1;
            row.proven += u64::from(done.injected.holds());
            row.reverted += u64::from(done.reverted.holds());
        }
    }
    (row.done > 0).then_some(row)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    fn step(fault: Fault, injected: Proof) -> StepReport {
        StepReport {
            step: 1,
            faults: vec![Done {
                fault,
                victims: vec![1],
                injected,
                reverted: Proof::Proven("it has".to_owned()),
            }],
            lasted_ms: 1,
            during: Tally {
                applied: 2,
                refused: 3,
                unknown: 4,
            },
            served_ms: None,
            recovery_ms: 70,
            caught_up_ms: 90,
            entries: 5,
        }
    }

    #[test]
    fn a_row_counts_what_was_proven_and_what_was_not() {
        let steps = [
            step(Fault::Loss, Proof::Proven("packets: 3".to_owned())),
            step(Fault::Loss, Proof::Missing("packets: 0".to_owned())),
            step(Fault::KillAll, Proof::Proven("gone".to_owned())),
        ];
        let row = row(Fault::Loss, &steps).unwrap();
        assert_eq!((row.done, row.proven, row.reverted), (2, 1, 2));
        assert_eq!((row.during.applied, row.during.refused, row.during.unknown), (4, 6, 8));
        assert_eq!((row.recovery.count, row.recovery.max_ms), (2, 70));
        assert!(super::row(Fault::Bridge, &steps).is_none());
    }
}

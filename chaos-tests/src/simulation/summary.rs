//! What many seeds show together: the odometer, and which faults were proven.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::outcome::Outcome;
use super::process::FaultKind;

/// A fault in the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Its kind.
    pub name: String,
    /// The family that it belongs to.
    pub family: String,
    /// How often the plans had it.
    pub planned: u64,
    /// How often it was proven to have happened.
    pub proven: u64,
}

/// What many seeds show.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Seeds that were run.
    pub seeds: u64,
    /// Those in which a promise was broken.
    pub failed: Vec<u64>,
    /// Simulated seconds.
    pub simulated_s: f64,
    /// Real seconds.
    pub real_s: f64,
    /// Simulated seconds in a real second of one core.
    pub speed: f64,
    /// The same of the seeds with three nodes, each by itself: the median, and the slowest and the fastest tenth.
    pub speed_of_three: [f64; 3],
    /// Processes side by side.
    pub processes: usize,
    /// Calls of clients, and how many of them were answered one way or the other.
    pub operations: u64,
    /// See `operations`.
    pub answered: u64,
    /// Entries of all decision logs.
    pub entries: u64,
    /// Faults that were proven.
    pub faults: u64,
    /// Pairs of kinds that met in a seed, both proven.
    pub pairs: u64,
    /// Looks at all nodes at once.
    pub looks: u64,
    /// Times that a node's process was started.
    pub starts: u64,
    /// Longest time until a write was applied after the faults, milliseconds.
    pub served_max_ms: u64,
    /// Every kind of fault.
    pub coverage: Vec<Coverage>,
    /// Places in the code of the nodes, and how often they were reached.
    pub reached: BTreeMap<String, u64>,
    #[serde(skip)]
    speeds: Vec<f64>,
    #[serde(skip)]
    met: std::collections::BTreeSet<(String, String)>,
}

/// What clients and devices do wrong by themselves: events in their counts, as faults of a family of their own.
const APPLICATION: [(&str, &str); 19] = [
    ("reading-replayed", "pass replay"),
    ("reading-forged", "pass forge"),
    ("reading-late", "pass late"),
    ("reading-twice", "pass duplicate"),
    ("reading-gap", "pass gap"),
    ("device-clock", "pass wrong_clock"),
    ("device-old-boot", "pass old_boot"),
    ("device-silent", "pass silence"),
    ("device-floods", "pass flood"),
    ("device-dropped", "dropped"),
    ("device-twice", "attached_twice"),
    ("device-restart", "device_restart"),
    ("truck-no-show", "no_show"),
    ("watch-resumed", "watch"),
    ("lane-closed", "close_lane"),
    ("operator-drains", "drain_node"),
    ("operator-hands-over", "transfer_leader"),
    ("officer-decides", "adjudicate"),
    ("policy-changes", "activate_policy"),
];

impl Summary {
    pub(super) fn new(kinds: Vec<FaultKind>, places: Vec<String>, processes: usize) -> Self {
        let kinds = kinds.into_iter().map(|kind| (kind.name, kind.family));
        let application = APPLICATION.map(|(name, _)| (name.to_owned(), "application".to_owned()));
        let coverage = kinds.chain(application).map(|(name, family)| Coverage {
            name,
            family,
            planned: 0,
            proven: 0,
        });
        Self {
            seeds: 0,
            failed: Vec::new(),
            simulated_s: 0.0,
            real_s: 0.0,
            speed: 0.0,
            speed_of_three: [0.0; 3],
            processes,
            operations: 0,
            answered: 0,
            entries: 0,
            faults: 0,
            pairs: 0,
            looks: 0,
            starts: 0,
            served_max_ms: 0,
            coverage: coverage.collect(),
            reached: places.into_iter().map(|place| (place, 0)).collect(),
            speeds: Vec::new(),
            met: std::collections::BTreeSet::new(),
        }
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        if !outcome.violations.is_empty() {
            self.failed.push(outcome.seed);
        }
        self.simulated_s += outcome.simulated_s;
        if outcome.nodes == 3 && outcome.real_s > 0.0 {
            self.speeds.push(outcome.simulated_s / outcome.real_s);
        }
        self.operations += outcome.operations;
        self.answered += outcome.answered;
        self.entries += outcome.entries;
        self.looks += outcome.looks;
        self.starts += outcome.starts;
        self.served_max_ms = self.served_max_ms.max(outcome.served_ms.unwrap_or(0));
        for fault in &outcome.faults {
            self.count(&fault.kind, 1, u64::from(fault.proof.is_some()));
        }
        for (name, event) in APPLICATION {
            let calls = outcome.calls.get(event).map_or(0, |answers| answers.values().sum());
            let happened = outcome.events.get(event).copied().unwrap_or(0) + calls;
            self.count(name, happened, happened);
        }
        let proven: Vec<&str> = outcome
            .faults
            .iter()
            .filter(|fault| fault.proof.is_some())
            .map(|fault| fault.kind.as_str())
            .collect();
        for (at, one) in proven.iter().enumerate() {
            for other in &proven[at + 1..] {
                self.met
                    .insert((one.min(other).to_string(), one.max(other).to_string()));
            }
        }
        self.pairs = self.met.len() as u64;
        for (place, times) in outcome.reached {
            *self.reached.entry(place).or_default() += times;
        }
    }

    pub(super) fn took(&mut self, real: Duration) {
        self.real_s = real.as_secs_f64();
        self.failed.sort_unstable();
        let busy = self.real_s * self.processes.min(usize::try_from(self.seeds).unwrap_or(1)).max(1) as f64;
        self.speed = if busy > 0.0 { self.simulated_s / busy } else { 0.0 };
        self.speeds.sort_unstable_by(f64::total_cmp);
        let at = |tenths: usize| self.speeds.get(self.speeds.len() * tenths / 10).copied();
        self.speed_of_three = [5, 1, 9].map(|tenths| at(tenths).unwrap_or(0.0));
    }

    fn count(&mut self, name: &str, planned: u64, proven: u64) {
        if let Some(row) = self.coverage.iter_mut().find(|row| row.name == name) {
            row.planned += planned;
            row.proven += proven;
            self.faults += proven;
        }
    }

    /// Kinds of which none was proven, so that the run says nothing about them.
    pub fn unproven(&self) -> Vec<&str> {
        let none = self.coverage.iter().filter(|row| row.proven == 0);
        none.map(|row| row.name.as_str()).collect()
    }

    /// Places in the code that should have been reached and were not.
    pub fn unreached(&self) -> Vec<&str> {
        let none = self.reached.iter().filter(|(_, times)| **times == 0);
        none.map(|(place, _)| place.as_str()).collect()
    }

    /// For a person: the odometer and the table of faults.
    pub fn table(&self) -> String {
        let mut text = String::new();
        let mut line = |what: std::fmt::Arguments<'_>| {
            // A string takes everything.
            let _ = writeln!(text, "{what}");
        };
        line(format_args!(
            "{:<14} {:<22} {:>8} {:>8}",
            "family", "fault", "planned", "proven"
        ));
        for row in &self.coverage {
            line(format_args!(
                "{:<14} {:<22} {:>8} {:>8}",
                row.family, row.name, row.planned, row.proven
            ));
        }
        line(format_args!(""));
        line(format_args!(
            "{} seeds, {} failed; {:.0} simulated s in {:.0} s: {:.0} a second on each of {} cores; with three nodes {:.0} ({:.0} to {:.0})",
            self.seeds,
            self.failed.len(),
            self.simulated_s,
            self.real_s,
            self.speed,
            self.processes,
            self.speed_of_three[0],
            self.speed_of_three[1],
            self.speed_of_three[2]
        ));
        line(format_args!(
            "{} faults proven, {} different pairs of kinds; {} operations, {} answered for certain; {} entries; {} process starts; {} looks \
             at all nodes; served again within {} ms",
            self.faults,
            self.pairs,
            self.operations,
            self.answered,
            self.entries,
            self.starts,
            self.looks,
            self.served_max_ms
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulation::Injected;

    #[test]
    fn a_fault_that_did_nothing_is_planned_and_not_proven() {
        let kind = |name: &str| FaultKind {
            name: name.to_owned(),
            family: "process".to_owned(),
            what: String::new(),
        };
        let mut summary = Summary::new(vec![kind("kill-all"), kind("ring")], vec!["a pass ends".to_owned()], 2);
        let fault = |kind: &str, proof: Option<&str>| Injected {
            number: 0,
            kind: kind.to_owned(),
            proof: proof.map(str::to_owned),
        };
        summary.add(Outcome {
            seed: 4,
            faults: vec![fault("kill-all", Some("ended 3")), fault("ring", None)],
            events: BTreeMap::from([("pass forge".to_owned(), 3)]),
            violations: vec!["P1: lost".to_owned()],
            ..Outcome::default()
        });
        let row = |name: &str| {
            let row = summary.coverage.iter().find(|row| row.name == name);
            row.map(|row| (row.planned, row.proven))
        };
        assert_eq!(
            (row("kill-all"), row("ring"), row("reading-forged")),
            (Some((1, 1)), Some((1, 0)), Some((3, 3)))
        );
        assert!(summary.unproven().contains(&"ring") && !summary.unproven().contains(&"kill-all"));
        assert_eq!(summary.unreached(), ["a pass ends"]);
        for (nodes, real_s) in [(3, 1.0), (3, 2.0), (3, 5.0), (5, 100.0)] {
            summary.add(Outcome {
                nodes,
                real_s,
                simulated_s: 40.0,
                ..Outcome::default()
            });
        }
        summary.took(Duration::from_secs(54));
        assert_eq!(summary.speed_of_three, [20.0, 8.0, 40.0]);
        assert_eq!(
            (summary.failed.as_slice(), summary.faults, summary.pairs),
            (&[4][..], 4, 0)
        );
    }
}

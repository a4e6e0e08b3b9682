//! The promises P1 to P10, each a check of what a run left behind: what clients saw, and what the nodes hold.
//!
//! A check judges evidence and asks nobody. The runner gathers: a [`crate::history::History`] from its workload, the
//! logs from the nodes, and what only it knows, such as when everything was healed.

mod evidence;
mod p01;
mod p02;
mod p03;
mod p04;
mod p05;
mod p06;
mod p07;
mod p08;
mod p09;
mod p10;
mod record;
#[cfg(test)]
mod sample;

use std::fmt;

pub use evidence::{CutOff, Evidence, Figure, Head, Recovery};
pub use record::{Record, Replayed};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Which, such as `P4`.
    pub promise: &'static str,
    /// What was found, and where.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// Collects what one check finds.
struct Found {
    promise: &'static str,
    violations: Vec<Violation>,
}

impl Found {
    fn of(promise: &'static str) -> Self {
        Self {
            promise,
            violations: Vec::new(),
        }
    }

    fn add(&mut self, what: impl Into<String>) {
        self.violations.push(Violation {
            promise: self.promise,
            what: what.into(),
        });
    }
}

/// All promises, in their order. Nothing is found if all were kept.
pub fn check(evidence: &Evidence) -> Vec<Violation> {
    let record = Record::of(evidence);
    let replayed = Replayed::of(&record);
    let found = [
        p01::check(evidence, &record),
        p02::check(evidence, &record),
        p03::check(evidence, &record, &replayed),
        p04::check(&record),
        p05::check(evidence, &record),
        p06::check(evidence, &replayed),
        p07::check(evidence, &record, &replayed),
        p08::check(&record, &replayed),
        p09::check(evidence),
        p10::check(evidence),
    ];
    found.into_iter().flat_map(|found| found.violations).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_run_breaks_no_promise() {
        assert_eq!(check(&sample::run()), []);
    }
}

//! What can be guaranteed about misses: conformal risk control.

use serde::Serialize;

use crate::binormal::positives_needed;

/// Threats of one family, and those of them that were released.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Caught {
    positives: u64,
    missed: u64,
    weight: f64,
    weight_missed: f64,
    heaviest: f64,
}

impl Caught {
    pub(super) fn add(&mut self, missed: bool, weight: f64) {
        self.positives += 1;
        self.weight += weight;
        self.heaviest = self.heaviest.max(weight);
        if missed {
            self.missed += 1;
            self.weight_missed += weight;
        }
    }
}

/// A bound on the expected miss rate of containers exchangeable with the samples: (missed + 1) / (n + 1)
/// (arXiv 2208.02814). Samples that stand for different numbers of containers count with their weights, and the one that is still to
/// come with the greatest (weighted exchangeability: arXiv 1904.06019).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Guarantee {
    /// Positives in samples that served for nothing else.
    pub positives: u64,
    /// Of those released.
    pub missed: u64,
    /// The expected miss rate is at most this.
    pub bound: f64,
    /// What was asked.
    pub alpha: f64,
    /// The bound is what was asked or better.
    pub holds: bool,
    /// Positives without which nothing can be guaranteed at `alpha`, if all stand for as many containers.
    pub positives_needed: u64,
    /// There is enough weight to guarantee it if none is missed.
    pub enough: bool,
}

impl Guarantee {
    pub(super) fn new(caught: &Caught, alpha: f64) -> Self {
        // Without any positive, whatever comes may be missed.
        let next = if caught.positives == 0 { 1.0 } else { caught.heaviest };
        let rate = |missed: f64| (missed + next) / (caught.weight + next);
        let bound = rate(caught.weight_missed);
        Self {
            positives: caught.positives,
            missed: caught.missed,
            bound,
            alpha,
            // Sums of equal weights round in the last digits.
            holds: bound <= alpha * (1.0 + 1e-9),
            positives_needed: positives_needed(alpha),
            enough: rate(0.0) <= alpha * (1.0 + 1e-9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarantee(positives: u64, missed: u64) -> Guarantee {
        let mut caught = Caught::default();
        (0..positives).for_each(|at| caught.add(at < missed, 0.3));
        Guarantee::new(&caught, 0.05)
    }

    #[test]
    fn too_few_positives_guarantee_nothing_and_it_is_said() {
        let few = guarantee(18, 0);
        assert!(!few.holds && !few.enough && few.positives_needed == 19);
        assert!(guarantee(19, 0).holds);
        assert!(!guarantee(200, 10).holds && guarantee(200, 9).holds);
        assert_eq!(guarantee(0, 0).bound, 1.0);
    }

    #[test]
    fn a_missed_threat_that_stands_for_many_counts_as_many() {
        let mut caught = Caught::default();
        (0..200).for_each(|_| caught.add(false, 1.0));
        assert!(Guarantee::new(&caught, 0.05).holds);
        caught.add(true, 50.0);
        let guarantee = Guarantee::new(&caught, 0.05);
        assert!((guarantee.bound - 100.0 / 300.0).abs() < 1e-12);
        assert!(!guarantee.holds && !guarantee.enough && guarantee.missed == 1);
    }
}

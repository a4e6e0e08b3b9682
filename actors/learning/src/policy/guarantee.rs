//! What can be guaranteed about misses: conformal risk control.

use serde::Serialize;

use crate::binormal::positives_needed;

/// A bound on the expected miss rate of containers exchangeable with the samples: (missed + 1) / (n + 1)
/// (arXiv 2208.02814).
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
    /// Positives without which nothing can be guaranteed at `alpha`.
    pub positives_needed: u64,
    /// There are as many.
    pub enough: bool,
}

impl Guarantee {
    pub(super) fn new(positives: u64, missed: u64, alpha: f64) -> Self {
        let bound = (missed as f64 + 1.0) / (positives as f64 + 1.0);
        let needed = positives_needed(alpha);
        Self {
            positives,
            missed,
            bound,
            alpha,
            holds: bound <= alpha,
            positives_needed: needed,
            enough: positives >= needed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_positives_guarantee_nothing_and_it_is_said() {
        let few = Guarantee::new(18, 0, 0.05);
        assert!(!few.holds && !few.enough && few.positives_needed == 19);
        let enough = Guarantee::new(19, 0, 0.05);
        assert!(enough.holds && enough.enough);
        assert!(!Guarantee::new(200, 10, 0.05).holds && Guarantee::new(200, 9, 0.05).holds);
    }
}

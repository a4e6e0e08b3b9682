//! What an interpreter hands on: weights, how well it could see, and what casts doubt on it.

use portcullis_domain::evidence::{Ability, Weights};
use portcullis_domain::finding::Finding;

/// No interpreter of this crate gives more than this for or against a family, in milli-decibans: a likelihood ratio of
/// 10,000. Its models are simple, and beyond that they would only state how wrong they are. The ledger's own limit is
/// wider, for sensors that are known better.
pub const WEIGHT_CAP: i32 = 40_000;

/// What one source makes of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpretation {
    /// Weight of evidence for each family, milli-decibans.
    pub weights: Weights,
    /// Whether it could see.
    pub ability: Ability,
    /// Quality findings.
    pub findings: Vec<Finding>,
}

/// The weight of a natural-log likelihood ratio: 10,000 log10 LR, rounded half away from zero, between `low` and `high`.
///
/// Here floats end. `ln` and `exp` may differ in the last bit between platforms, so a weight may differ by one
/// milli-deciban between machines. That is harmless: a reading is interpreted once, by the lane that took it in, and
/// the weight is recorded; nobody computes it again to agree on it.
pub(crate) fn milli_decibans(log_ratio: f64, low: i32, high: i32) -> i32 {
    if log_ratio.is_nan() {
        return 0;
    }
    let weight = (log_ratio * 10_000.0 * std::f64::consts::LOG10_E).round();
    weight.clamp(f64::from(low), f64::from(high)) as i32
}

/// ln(sum of exp), without overflow.
pub(crate) fn log_sum(terms: &[f64]) -> f64 {
    let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !top.is_finite() {
        return top;
    }
    top + terms.iter().map(|term| (term - top).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_rounded_half_away_from_zero_and_capped() {
        let ten = 10.0_f64.ln();
        assert_eq!(milli_decibans(ten, -40_000, 40_000), 10_000);
        assert_eq!(milli_decibans(-ten / 2.0, -40_000, 40_000), -5_000);
        assert_eq!(milli_decibans(1e9, -40_000, 15_000), 15_000);
        assert_eq!(milli_decibans(f64::NEG_INFINITY, -40_000, 15_000), -40_000);
        assert_eq!(milli_decibans(f64::NAN, -40_000, 15_000), 0);
    }
}

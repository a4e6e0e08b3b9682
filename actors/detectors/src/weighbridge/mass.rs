//! What a difference between measured and declared mass says.

use crate::interpretation::log_sum;

/// Natural-log likelihood ratio of goods that differ from the declared mass by this much, for undeclared goods; kilograms.
/// Whatever measures the mass of a load can use it with its own deviation.
pub(crate) fn log_likelihood_ratio(excess: f64, declared_kg: f64, sigma: f64) -> f64 {
    /// Paper errors put the mass anywhere up to this.
    const ANYWHERE_KG: f64 = 40_000.0;
    const STEPS: u32 = 24;
    let gauss = |mean: f64, sigma: f64| {
        -0.5 * ((excess - mean) / sigma).powi(2) - sigma.ln() - 0.5 * std::f64::consts::TAU.ln()
    };
    let honest = log_sum(&[
        f64::ln(0.80) + gauss(0.0, sigma.hypot(0.015 * declared_kg)),
        f64::ln(0.15) + gauss(0.0, sigma.hypot(0.05 * declared_kg)),
        f64::ln(0.045) + gauss(0.0, sigma.hypot(0.20 * declared_kg)),
        f64::ln(0.005) - ANYWHERE_KG.ln(),
    ]);
    let careful = sigma.hypot(0.015 * declared_kg);
    let even = -f64::from(STEPS).ln();
    let mut threat = vec![f64::ln(0.35) + honest];
    for step in 0..STEPS {
        let at = f64::from(step) / f64::from(STEPS - 1);
        let added = 50.0 * (240.0_f64.ln() * at).exp();
        threat.push(f64::ln(0.5) + even + gauss(added, careful));
        let missing = declared_kg * (0.05 + 0.85 * at);
        threat.push(f64::ln(0.15) + even + gauss(-missing, careful));
    }
    log_sum(&threat) - honest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_surplus_says_nothing_and_a_large_one_speaks_for_undeclared_goods() {
        let ratio = |excess| log_likelihood_ratio(excess, 14_000.0, 200.0);
        assert!((ratio(0.0) - ratio(50.0)).abs() < 0.05);
        assert!(ratio(0.0) < 0.0 && ratio(5_000.0) > 1.0 && ratio(-5_000.0) > 0.0);
    }
}

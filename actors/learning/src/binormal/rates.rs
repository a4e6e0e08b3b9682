//! Rates of one score, base rates, and how many positives a guarantee needs.

use super::normal::{cdf, quantile};

/// Probability of detection at a false-positive rate: Phi(d' - z(1 - FP)).
pub fn pd(d_prime: f64, false_positive: f64) -> f64 {
    cdf(d_prime + quantile(false_positive))
}

/// Area under the curve of Pd over FP: Phi(d' / sqrt 2).
pub fn auc(d_prime: f64) -> f64 {
    cdf(d_prime / std::f64::consts::SQRT_2)
}

/// The d' of a sensor that detects `pd` at `false_positive`: z(Pd) - z(FP).
pub fn d_prime(pd: f64, false_positive: f64) -> f64 {
    quantile(pd) - quantile(false_positive)
}

/// 10 log10 of a likelihood ratio or of odds.
pub fn decibans(ratio: f64) -> f64 {
    10.0 * libm::log10(ratio)
}

/// Share of true positives among all positives (Bayes).
pub fn ppv(pd: f64, false_positive: f64, prevalence: f64) -> f64 {
    let caught = pd * prevalence;
    caught / (caught + false_positive * (1.0 - prevalence))
}

/// Conformal risk control on the miss rate (arXiv 2208.02814): the most misses among `n` positives with
/// (missed + 1) / (n + 1) <= alpha; none if n is too small for any guarantee.
pub fn misses_allowed(n: u64, alpha: f64) -> Option<u64> {
    // A relative 1e-12 keeps products such as 0.05 x 20, which are whole on paper, whole here.
    let most = (alpha * (n as f64 + 1.0) * (1.0 + 1e-12)).floor();
    (most >= 1.0).then(|| (most as u64 - 1).min(n))
}

/// The least number of positives with which a miss rate of `alpha` can be guaranteed at all: 1 / alpha - 1.
pub fn positives_needed(alpha: f64) -> u64 {
    (1.0 / alpha * (1.0 - 1e-12)).ceil() as u64 - 1
}

/// Upper bound (one-sided 95 %) of the miss rate after `n` positives without a miss: 1 - 0.05^(1/n).
pub fn bound_after_no_miss(n: u64) -> f64 {
    1.0 - libm::pow(0.05, 1.0 / n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::binormal::Correlation;

    fn shows(value: f64, text: &str) {
        let digits = text.split('.').nth(1).map_or(0, str::len);
        assert_eq!(format!("{value:.digits$}"), text);
    }

    #[test]
    fn the_table_of_what_can_be_reached_comes_out() {
        let all = Correlation::uniform(4, 0.3).unwrap();
        let joint = |d: &[f64]| libm::sqrt(d.iter().map(|d| d * d).sum());
        let rows: [(f64, &str, [&str; 4]); 8] = [
            (d_prime(0.75, 0.20), "1.52", ["0.858", "0.21", "0.45", "0.59"]),
            (d_prime(0.95, 0.10), "2.93", ["0.981", "0.73", "0.90", "0.95"]),
            (d_prime(0.90, 0.06), "2.84", ["0.978", "0.69", "0.88", "0.94"]),
            (1.1, "1.10", ["0.782", "0.11", "0.29", "0.43"]),
            (joint(&[2.84, 1.1]), "3.05", ["0.984", "0.76", "0.92", "0.96"]),
            (joint(&[2.836, 1.1, 1.0]), "3.20", ["0.988", "0.81", "0.94", "0.97"]),
            (
                joint(&[2.836, 1.1, 1.0, 1.0]),
                "3.35",
                ["0.991", "0.85", "0.96", "0.98"],
            ),
            (
                all.joint_d_prime(&[2.84, 1.1, 1.0, 1.0]),
                "2.85",
                ["0.978", "0.70", "0.89", "0.94"],
            ),
        ];
        for (d, shown, [area, at_1, at_5, at_10]) in rows {
            shows(d, shown);
            shows(auc(d), area);
            shows(pd(d, 0.01), at_1);
            shows(pd(d, 0.05), at_5);
            shows(pd(d, 0.10), at_10);
        }
        // Unrounded, X-ray recognition has 2.836, with which the manifest makes 3.04.
        shows(joint(&[d_prime(0.90, 0.06), 1.1]), "3.04");
    }

    #[test]
    fn base_rates_decide_what_a_hold_is_worth() {
        shows(decibans(9.5), "9.8");
        shows(100.0 * ppv(0.95, 0.10, 0.001), "0.94");
        shows(100.0 * ppv(0.95, 0.10, 0.01), "8.8");
        // The page computes with the rounded figure.
        let target = 2.93;
        for (fp, detected, rare, common) in [
            (0.01, "0.73", "0.07", "0.42"),
            (0.005, "0.64", "0.11", "0.56"),
            (0.001, "0.44", "0.30", "0.82"),
        ] {
            shows(pd(target, fp), detected);
            shows(ppv(pd(target, fp), fp, 0.001), rare);
            shows(ppv(pd(target, fp), fp, 0.01), common);
        }
    }

    #[test]
    fn misses_allowed_follow_from_the_number_of_positives() {
        for (n, allowed) in [(19, 0), (78, 2), (200, 9), (500, 24)] {
            assert_eq!(misses_allowed(n, 0.05), Some(allowed));
        }
        assert_eq!(misses_allowed(18, 0.05), None);
        assert_eq!(positives_needed(0.05), 19);
        assert_eq!(positives_needed(0.01), 99);
        for (n, percent) in [(59, "5"), (100, "3"), (299, "1")] {
            shows(100.0 * bound_after_no_miss(n), percent);
        }
    }
}

//! What one more look is worth.

use super::normal::{cdf, tail};

/// Costs in one unit of the port's choice.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Costs {
    /// A threat that is released.
    pub miss: f64,
    /// An innocent container that is held.
    pub needless: f64,
    /// The look itself, with its time and queue.
    pub look: f64,
}

/// One look with a sensor, before it is taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Expected cost of the best action without it.
    pub cost_now: f64,
    /// Score from which on the container is held, after it.
    pub threshold: f64,
    /// False positives at the threshold.
    pub false_positive: f64,
    /// Detection at the threshold.
    pub pd: f64,
    /// Expected cost of the best action after it, without its own cost.
    pub cost_after: f64,
    /// What it is worth: take it if this is positive.
    pub value: f64,
}

impl Look {
    /// With probability `prior` of a threat, and a sensor with `d_prime`.
    ///
    /// Threshold x = (ln((1 - p) c_needless / (p c_miss)) + d'^2 / 2) / d': where the likelihood ratio makes both actions
    /// cost the same.
    pub fn at(prior: f64, d_prime: f64, costs: Costs) -> Self {
        let cost_now = (prior * costs.miss).min((1.0 - prior) * costs.needless);
        let ratio = (1.0 - prior) * costs.needless / (prior * costs.miss);
        let threshold = (libm::log(ratio) + d_prime * d_prime / 2.0) / d_prime;
        let (false_positive, pd) = (tail(threshold), cdf(d_prime - threshold));
        let cost_after = prior * costs.miss * (1.0 - pd) + (1.0 - prior) * costs.needless * false_positive;
        Self {
            cost_now,
            threshold,
            false_positive,
            pd,
            cost_after,
            value: cost_now - cost_after - costs.look,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs {
        miss: 1000.0,
        needless: 20.0,
        look: 1.3,
    };

    #[test]
    fn the_value_of_one_look_is_the_published_one() {
        let often = Look::at(0.01, 2.84, COSTS);
        assert_eq!(format!("{:.1} {:.4}", often.cost_now, often.threshold), "10.0 1.6605");
        assert_eq!(format!("{:.4} {:.4}", often.false_positive, often.pd), "0.0484 0.8809");
        assert_eq!(format!("{:.4} {:+.2}", often.cost_after, often.value), "2.1495 +6.55");
        let rare = Look::at(0.001, 2.84, COSTS);
        assert_eq!(format!("{:.1} {:.4}", rare.cost_now, rare.threshold), "1.0 2.4745");
        assert_eq!(format!("{:.4} {:.4}", rare.false_positive, rare.pd), "0.0067 0.6426");
        assert_eq!(format!("{:.4} {:+.2}", rare.cost_after, rare.value), "0.4907 -0.79");
        assert_eq!(format!("{:+.2}", Look::at(0.01, 1.0, COSTS).value), "+0.63");
    }
}

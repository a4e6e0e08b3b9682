//! The sequential test: look until enough is known (Wald's SPRT).

use super::normal::quantile;
use crate::noise::Noise;

/// A sequential test between "clear" and "threat" by looks that are independent of each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sequential {
    /// Allowed probability of calling a clear box a threat.
    pub alpha: f64,
    /// Allowed probability of calling a threat clear.
    pub beta: f64,
    /// d' of one look.
    pub d_prime: f64,
}

/// How many looks a test takes on average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MeanLooks {
    /// At a clear box.
    pub clear: f64,
    /// At a threat.
    pub threat: f64,
}

impl Sequential {
    /// Bounds on the summed log-likelihood ratio, nats: clear below the first, a threat above the second.
    /// Wald: ln(beta / (1 - alpha)) and ln((1 - beta) / alpha).
    pub fn bounds(&self) -> (f64, f64) {
        (
            libm::log(self.beta / (1.0 - self.alpha)),
            libm::log((1.0 - self.beta) / self.alpha),
        )
    }

    /// Mean looks by Wald's identity, which neglects that the last look overshoots the bound.
    pub fn mean_looks(&self) -> MeanLooks {
        let (lower, upper) = self.bounds();
        let step = self.d_prime * self.d_prime / 2.0;
        MeanLooks {
            clear: -(self.alpha * upper + (1.0 - self.alpha) * lower) / step,
            threat: ((1.0 - self.beta) * upper + self.beta * lower) / step,
        }
    }

    /// Looks that a test of fixed size needs for the same errors: ((z(1 - alpha) + z(1 - beta)) / d')^2.
    pub fn fixed_looks(&self) -> f64 {
        let root = (quantile(self.alpha) + quantile(self.beta)) / self.d_prime;
        root * root
    }

    /// Runs the test `boxes` times each on clear boxes and threats, whose looks correlate by `rho` (between 0 and 1) with
    /// each other, and counts. At most `most` looks are taken; the sign decides then.
    pub fn simulate(&self, rho: f64, boxes: u32, most: u32, seed: u64) -> Simulated {
        let (lower, upper) = self.bounds();
        let run = |mean: f64, stream: u64| {
            let mut noise = Noise::new(seed, stream);
            let (mut looks, mut alarms) = (0_u64, 0_u64);
            for _ in 0..boxes {
                let shared = noise.normal() * libm::sqrt(rho);
                let mut sum = 0.0;
                for _ in 0..most {
                    let score = mean + shared + noise.normal() * libm::sqrt(1.0 - rho);
                    sum += self.d_prime * score - self.d_prime * self.d_prime / 2.0;
                    looks += 1;
                    if sum <= lower || sum >= upper {
                        break;
                    }
                }
                alarms += u64::from(sum > 0.0);
            }
            let boxes = f64::from(boxes.max(1));
            (looks as f64 / boxes, alarms as f64 / boxes)
        };
        let (clear, false_positive) = run(0.0, 0);
        let (threat, pd) = run(self.d_prime, 1);
        Simulated {
            looks: MeanLooks { clear, threat },
            false_positive,
            missed: 1.0 - pd,
        }
    }
}

/// What a simulated test did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Simulated {
    /// Mean looks, the overshoot of the last one included.
    pub looks: MeanLooks,
    /// Share of clear boxes called threats.
    pub false_positive: f64,
    /// Share of threats called clear.
    pub missed: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(d_prime: f64) -> Sequential {
        Sequential {
            alpha: 0.001,
            beta: 0.05,
            d_prime,
        }
    }

    #[test]
    fn bounds_and_mean_looks_are_the_published_ones() {
        let (lower, upper) = test(1.0).bounds();
        assert_eq!(
            format!("{upper:+.2} {:.1}", upper * 10.0 / std::f64::consts::LN_10),
            "+6.86 29.8"
        );
        // The page shows -2.99 for -2.9947.
        assert_eq!(
            format!("{lower:.2} {:.1}", lower * 10.0 / std::f64::consts::LN_10),
            "-2.99 -13.0"
        );
        for (d_prime, clear, threat, fixed) in [
            (0.5, "23.9", "50.9", "89.7"),
            (1.0, "6.0", "12.7", "22.4"),
            (1.5, "2.7", "5.7", "10.0"),
            (2.0, "1.5", "3.2", "5.6"),
        ] {
            let looks = test(d_prime).mean_looks();
            assert_eq!(
                format!("{:.1} {:.1}", looks.clear, looks.threat),
                format!("{clear} {threat}")
            );
            assert_eq!(format!("{:.1}", test(d_prime).fixed_looks()), fixed);
        }
    }

    #[test]
    fn simulated_looks_keep_the_errors_and_take_what_wald_says_plus_the_overshoot() {
        let wald = test(0.5).mean_looks();
        let seen = test(0.5).simulate(0.0, 4_000, 10_000, 1);
        assert_eq!(seen, test(0.5).simulate(0.0, 4_000, 10_000, 1));
        assert!(seen.false_positive <= 0.003 && seen.missed <= 0.055, "{seen:?}");
        assert!(
            seen.looks.clear > wald.clear && seen.looks.clear < 1.2 * wald.clear,
            "{seen:?}"
        );
        assert!(
            seen.looks.threat > wald.threat && seen.looks.threat < 1.2 * wald.threat,
            "{seen:?}"
        );
    }

    #[test]
    fn looks_that_share_their_errors_break_the_bounds() {
        let seen = test(1.0).simulate(0.3, 4_000, 100, 2);
        assert!(seen.false_positive > 0.02, "{seen:?}");
    }
}

//! Figures with how well they are known, and shares of weighted samples.

use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::policy::Tier;
use serde::Serialize;

/// z(0.975): two-sided 95 %.
pub(crate) const Z: f64 = 1.959_963_984_540_054;

/// A figure with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// The figure; 0 if there was nothing to count.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Estimate {
    /// A share of `hits` in `trials`, with Wilson's interval (J. Am. Stat. Assoc. 22 (1927) 209). Without trials anything between
    /// 0 and 1 is possible.
    pub fn of(hits: u64, trials: u64) -> Self {
        Self::wilson(hits as f64 / (trials as f64).max(1.0), trials as f64)
    }

    fn wilson(share: f64, trials: f64) -> Self {
        if trials <= 0.0 {
            return Self {
                value: 0.0,
                low: 0.0,
                high: 1.0,
            };
        }
        let z2 = Z * Z / trials;
        let middle = (share + z2 / 2.0) / (1.0 + z2);
        let half = libm::sqrt(share * (1.0 - share) * z2 + z2 * z2 / 4.0) / (1.0 + z2);
        Self {
            value: share,
            // At shares of 0 and 1 an end falls on the share itself, but for rounding.
            low: (middle - half).clamp(0.0, share),
            high: (middle + half).clamp(share, 1.0),
        }
    }

    /// Whether two rates can be the same: either lies in the other's interval.
    pub fn agrees_with(&self, other: &Self) -> bool {
        (self.low..=self.high).contains(&other.value) || (other.low..=other.high).contains(&self.value)
    }
}

/// A weighted share in the making.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Share {
    hits: f64,
    all: f64,
    squares: f64,
}

impl Share {
    pub(crate) fn add(&mut self, hit: bool, weight: f64) {
        self.hits += if hit { weight } else { 0.0 };
        self.all += weight;
        self.squares += weight * weight;
    }

    pub(crate) fn value(&self) -> f64 {
        if self.all > 0.0 { self.hits / self.all } else { 0.0 }
    }

    /// As many unweighted trials would know as much (Kish: (sum w)^2 / sum w^2).
    pub(crate) fn trials(&self) -> f64 {
        if self.all > 0.0 {
            self.all * self.all / self.squares
        } else {
            0.0
        }
    }

    /// Wilson's interval, with as many trials as unweighted ones would know as much (Kish: (sum w)^2 / sum w^2).
    pub(crate) fn estimate(&self) -> Estimate {
        match self.all > 0.0 {
            true => Estimate::wilson(self.value(), self.trials()),
            false => Estimate::wilson(0.0, 0.0),
        }
    }
}

/// How verdicts compare with the truth.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tally {
    pub(crate) missed: Share,
    pub(crate) needless_review: Share,
    pub(crate) needless_exam: Share,
    pub(crate) ppv: Share,
}

impl Tally {
    pub(crate) fn add(&mut self, content: Option<ThreatFamily>, weight: f64, tier: Tier) {
        if content.is_some() {
            self.missed.add(tier == Tier::Release, weight);
        } else {
            self.needless_review.add(tier == Tier::Review, weight);
            self.needless_exam.add(tier == Tier::Exam, weight);
        }
        if tier != Tier::Release {
            self.ppv.add(content.is_some(), weight);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_wilsons_and_weights_count_for_what_they_know() {
        let mut even = Share::default();
        let mut uneven = Share::default();
        for trial in 0..100 {
            even.add(trial < 10, 2.0);
            uneven.add(trial < 10, if trial % 10 == 0 { 9.1 } else { 0.1 });
        }
        let rate = even.estimate();
        // Wilson, 10 of 100: 0.0552 to 0.1744.
        assert_eq!(format!("{:.4} {:.4}", rate.low, rate.high), "0.0552 0.1744");
        let wider = uneven.estimate();
        assert!(wider.high - wider.low > 2.0 * (rate.high - rate.low));
        assert_eq!(Share::default().estimate().high, 1.0);
    }
}

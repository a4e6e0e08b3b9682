//! What a policy expects of the port while nothing has changed, so that the ledger can notice when something has.
//!
//! Everything the ledger needs to sum log-likelihood ratios is here as an integer, in micro-nats: logarithms and exponentials
//! are taken once, by whoever learns the policy. See [`crate::drift`] for what is done with it.

use std::fmt;
use std::str::FromStr;

use super::Tier;
use super::check::{Checked, bad};
use crate::codec::canonical;
use crate::evidence::{Modality, WEIGHT_LIMIT};
use crate::id::InvalidId;

/// The furthest that the sum of a piece of evidence's six weights can lie from 0, milli-decibans.
pub const SUM_LIMIT: i32 = 6 * WEIGHT_LIMIT;
/// The largest shift that may be watched for, thousandths of a deviation: anybody sees more than that without a chart.
const SHIFT_MAX: u32 = 5_000;
/// An alarm limit below this is reached by chance every few containers, one above its largest value never, micro-nats.
const LIMIT_RANGE: std::ops::RangeInclusive<u32> = 1_000_000..=100_000_000;
/// The most that one container may add to a chart or take off it, micro-nats.
const STEP_MAX: u32 = 20_000_000;
/// All containers, in millionths.
const ALL_PPM: u32 = 1_000_000;

/// What is watched for drift, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// A shift of the mean weight that matters, thousandths of its deviation.
    pub shift_permille: u32,
    /// A chart alarms when its sum reaches this, micro-nats. Its mean number of containers between false alarms is then
    /// at least e^(limit / 1,000,000).
    pub limit: u32,
    /// What each modality's evidence weighs; modalities not named are not watched.
    pub weights: Vec<WeightReference>,
    /// How many containers go which way; shares not named are not watched.
    pub shares: Vec<ShareReference>,
    /// The least tier of a conclusion that rests on a device which is adrift; never Release.
    pub device_tier: Tier,
    /// The least tier of every conclusion while the declarations or a share are adrift; Release leaves it at the alarm.
    pub port_tier: Tier,
}

canonical!(struct Watch { shift_permille, limit, weights, shares, device_tier, port_tier });

/// What the evidence of a modality weighs while nothing has changed: the sum of its weights for all families, in
/// milli-decibans, over the containers in which it was able to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightReference {
    /// The modality.
    pub modality: Modality,
    /// Sums below count as this, so that a few odd containers are no drift.
    pub low: i32,
    /// Sums above count as this, so that a few threats are no drift.
    pub high: i32,
    /// Mean of what counts.
    pub mean: i32,
    /// Standard deviation of what counts.
    pub deviation: u32,
    /// What each container takes off the chart that looks for a rise, micro-nats: the logarithm of the mean of
    /// e^(shift x deviations above the mean), or more.
    pub rise_toll: u32,
    /// The same of the chart that looks for a fall.
    pub fall_toll: u32,
}

canonical!(struct WeightReference { modality, low, high, mean, deviation, rise_toll, fall_toll });

/// A share of the containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Share {
    /// Those not released although everything that is required could be seen.
    Held,
    /// Those sent to Exam.
    Examined,
    /// Those of which something required was missing, could not see, or was too old, though the pass was not cut short.
    Unseen,
    /// Those of the unseen of which what could be seen speaks for a threat: so look containers whose threat shields itself.
    Hiding,
}

canonical!(enum Share { 1 => Held, 2 => Examined, 3 => Unseen, 4 => Hiding });

impl Share {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Held, Self::Examined, Self::Unseen, Self::Hiding];

    /// The word in configuration, API and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Examined => "examined",
            Self::Unseen => "unseen",
            Self::Hiding => "hiding",
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Share {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let found = Self::ALL.into_iter().find(|share| share.as_str() == text);
        found.ok_or_else(|| InvalidId::new("share", text, "known are held, examined, unseen and hiding"))
    }
}

/// How many containers go one way while nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShareReference {
    /// Which way.
    pub share: Share,
    /// How many, millionths.
    pub ppm: u32,
    /// What a container that goes this way adds to the chart, micro-nats: ln of the share that matters over this one.
    pub hit: u32,
    /// What any other takes off it, micro-nats.
    pub toll: u32,
}

canonical!(struct ShareReference { share, ppm, hit, toll });

impl Watch {
    /// What is expected of a modality, if it is watched.
    pub fn weight(&self, modality: Modality) -> Option<&WeightReference> {
        self.weights.iter().find(|one| one.modality == modality)
    }

    pub(super) fn check(&self) -> Checked {
        if !(1..=SHIFT_MAX).contains(&self.shift_permille) {
            let found = self.shift_permille;
            return bad(
                "watch.shift_permille",
                format!("{found} is not between 1 and {SHIFT_MAX}"),
            );
        }
        if !LIMIT_RANGE.contains(&self.limit) {
            let (least, most) = (LIMIT_RANGE.start(), LIMIT_RANGE.end());
            return bad(
                "watch.limit",
                format!("{} is not between {least} and {most} micro-nats", self.limit),
            );
        }
        if self.device_tier == Tier::Release {
            return bad(
                "watch.device_tier",
                "what rests on a device that is adrift cannot be released",
            );
        }
        for modality in Modality::ALL {
            let mut named = self.weights.iter().filter(|one| one.modality == modality);
            if let Some(reference) = named.next() {
                reference.check()?;
            }
            if named.next().is_some() {
                return bad(format!("watch.weights.{modality}"), "named twice");
            }
        }
        for share in Share::ALL {
            let mut named = self.shares.iter().filter(|one| one.share == share);
            if let Some(reference) = named.next() {
                reference.check()?;
            }
            if named.next().is_some() {
                return bad(format!("watch.shares.{share}"), "named twice");
            }
        }
        Ok(())
    }
}

impl WeightReference {
    fn check(&self) -> Checked {
        let wrong = |field: &str, why: String| bad(format!("watch.weights.{}.{field}", self.modality), why);
        for (field, value) in [("low", self.low), ("mean", self.mean), ("high", self.high)] {
            if value.unsigned_abs() > SUM_LIMIT.unsigned_abs() {
                return wrong(field, format!("{value} is beyond {SUM_LIMIT} milli-decibans"));
            }
        }
        if self.low > self.mean || self.mean > self.high {
            let (low, mean, high) = (self.low, self.mean, self.high);
            return wrong("mean", format!("{mean} does not lie between low {low} and high {high}"));
        }
        if self.deviation == 0 {
            return wrong(
                "deviation",
                "what never varies cannot be watched; leave it out".to_owned(),
            );
        }
        for (field, toll) in [("rise_toll", self.rise_toll), ("fall_toll", self.fall_toll)] {
            if !(1..=STEP_MAX).contains(&toll) {
                return wrong(field, format!("{toll} is not between 1 and {STEP_MAX} micro-nats"));
            }
        }
        Ok(())
    }
}

impl ShareReference {
    fn check(&self) -> Checked {
        let wrong = |field: &str, why: String| bad(format!("watch.shares.{}.{field}", self.share), why);
        if !(1..ALL_PPM).contains(&self.ppm) {
            return wrong("ppm", format!("{} is not above 0 and below {ALL_PPM}", self.ppm));
        }
        for (field, step) in [("hit", self.hit), ("toll", self.toll)] {
            if !(1..=STEP_MAX).contains(&step) {
                return wrong(field, format!("{step} is not between 1 and {STEP_MAX} micro-nats"));
            }
        }
        let (adds, takes) = (
            u64::from(self.ppm) * u64::from(self.hit),
            u64::from(ALL_PPM - self.ppm) * u64::from(self.toll),
        );
        if adds >= takes {
            return wrong(
                "toll",
                format!(
                    "with hit {} and a share of {} ppm the chart would rise by itself",
                    self.hit, self.ppm
                ),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    /// Sums with mean 0 and deviation 1,000, and the shares of a quiet port.
    fn watch() -> Watch {
        let weight = |modality| WeightReference {
            modality,
            low: -3_000,
            high: 3_000,
            mean: 0,
            deviation: 1_000,
            rise_toll: 31_250,
            fall_toll: 31_250,
        };
        Watch {
            shift_permille: 250,
            limit: 14_000_000,
            weights: vec![weight(Modality::Radiation), weight(Modality::Weighbridge)],
            shares: vec![ShareReference {
                share: Share::Examined,
                ppm: 20_000,
                hit: 405_465,
                toll: 10_257,
            }],
            device_tier: Tier::Review,
            port_tier: Tier::Review,
        }
    }

    #[test]
    fn each_rule_names_the_field_that_breaks_it() {
        type Spoil = fn(&mut Watch);
        let field = |spoil: Spoil| {
            let mut policy = Policy::first();
            let mut watch = watch();
            spoil(&mut watch);
            policy.watch = Some(watch);
            policy.check().map_err(|error| error.field)
        };
        assert_eq!(field(|_| ()), Ok(()));
        let cases: [(Spoil, &str); 11] = [
            (|w| w.shift_permille = 0, "watch.shift_permille"),
            (|w| w.limit = 100, "watch.limit"),
            (|w| w.device_tier = Tier::Release, "watch.device_tier"),
            (|w| w.weights[0].mean = 3_001, "watch.weights.radiation.mean"),
            (|w| w.weights[0].low = i32::MIN, "watch.weights.radiation.low"),
            (|w| w.weights[1].deviation = 0, "watch.weights.weighbridge.deviation"),
            (|w| w.weights[1].fall_toll = 0, "watch.weights.weighbridge.fall_toll"),
            (|w| w.weights.extend_from_within(..1), "watch.weights.radiation"),
            (|w| w.shares[0].ppm = 1_000_000, "watch.shares.examined.ppm"),
            (|w| w.shares[0].toll = 8_000, "watch.shares.examined.toll"),
            (|w| w.shares.extend_from_within(..), "watch.shares.examined"),
        ];
        for (spoil, expected) in cases {
            assert_eq!(field(spoil), Err(expected.to_owned()));
        }
    }

    #[test]
    fn the_port_may_be_left_at_the_alarm() {
        let mut policy = Policy::first();
        policy.watch = Some(Watch {
            port_tier: Tier::Release,
            ..watch()
        });
        assert_eq!(policy.check(), Ok(()));
    }
}

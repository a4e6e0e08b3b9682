//! The policy: everything about fusing and deciding that a port may choose, as integers, by digest.

mod check;
mod watch;

use std::fmt;

use crate::codec::{canonical, to_bytes};
use crate::evidence::{Modality, ThreatFamily};
use crate::finding::FindingCode;
use crate::id::Digest;

pub use check::{InvalidPolicy, NAME_MAX, POINTS_MAX, RULES_MAX};
pub use watch::{SUM_LIMIT, Share, ShareReference, Watch, WeightReference};

/// The engine's verdict, worse is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Let it go.
    Release,
    /// An officer looks at the evidence.
    Review,
    /// Open it.
    Exam,
}

canonical!(enum Tier { 1 => Release, 2 => Review, 3 => Exam });

impl Tier {
    /// The word in API and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Review => "review",
            Self::Exam => "exam",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How much of a modality's weight counts, to allow for what it shares with the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coefficient {
    /// The modality.
    pub modality: Modality,
    /// Thousandths of its weight that count; 1000 is all of it.
    pub permille: i32,
}

canonical!(struct Coefficient { modality, permille });

/// What must be known about a family before a tier is left behind, in milli-decibans of posterior odds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyRule {
    /// The family.
    pub family: ThreatFamily,
    /// Prior odds: 10,000 log10(p / (1 - p)).
    pub prior: i32,
    /// At or above: at least Review.
    pub review: i32,
    /// At or above: Exam.
    pub exam: i32,
}

canonical!(struct FamilyRule { family, prior, review, exam });

/// For which containers something is required.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    Every,
    /// Those not declared empty.
    Laden,
    /// Those with goods whose commodity code starts so.
    Commodity(String),
}

canonical!(enum Scope { 1 => Every, 2 => Laden, 3 => Commodity(prefix) });

/// Evidence that must be there, clear enough, fresh and authentic, or the container is not released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// What is required.
    pub modality: Modality,
    /// Of which containers.
    pub scope: Scope,
    /// The worst ability that still counts as having looked; true accepts Degraded.
    pub degraded_is_enough: bool,
    /// The tier if it is not there.
    pub otherwise: Tier,
}

canonical!(struct Requirement { modality, scope, degraded_is_enough, otherwise });

/// A finding that by itself leads to a tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FindingRule {
    /// The finding.
    pub code: FindingCode,
    /// The least tier then.
    pub tier: Tier,
}

canonical!(struct FindingRule { code, tier });

/// How old evidence may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaximumAge {
    /// Of which modality.
    pub modality: Modality,
    /// Seconds of the port's clock between capture and conclusion.
    pub seconds: u32,
}

canonical!(struct MaximumAge { modality, seconds });

/// When enough is known to stop a pass early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopping {
    /// Never before this sample.
    pub least_samples: u32,
    /// Stop for release when every family lies at least this far below its review threshold, in milli-decibans.
    pub release_margin: i32,
    /// Stop for exam when a family lies at least this far above its exam threshold, in milli-decibans.
    pub exam_margin: i32,
}

canonical!(struct Stopping { least_samples, release_margin, exam_margin });

/// One point of the calibration table: what a score is worth as probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CalibrationPoint {
    /// Fused score, milli-decibans.
    pub score: i32,
    /// Probability in millionths.
    pub ppm: u32,
}

canonical!(struct CalibrationPoint { score, ppm });

/// Which learned model weighs the manifest for a family, in place of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManifestModel {
    /// The family that its weight is for.
    pub family: ThreatFamily,
    /// The model, by the digest of its bytes. The ledger has it before the policy takes effect.
    pub model: Digest,
}

canonical!(struct ManifestModel { family, model });

/// How evidence becomes a conclusion. Immutable; known by the digest of its canonical bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// For people.
    pub name: String,
    /// Version of the fusion algorithm that reads it.
    pub algorithm: u16,
    /// One for each modality that counts; others count nothing.
    pub coefficients: Vec<Coefficient>,
    /// One for each family.
    pub families: Vec<FamilyRule>,
    /// What must have been seen.
    pub required: Vec<Requirement>,
    /// What leads to a tier by itself.
    pub findings: Vec<FindingRule>,
    /// How old evidence may be; modalities not named may be of any age.
    pub maximum_ages: Vec<MaximumAge>,
    /// When enough is known.
    pub stopping: Stopping,
    /// After so many passes that broke off, the container goes to Exam without another try.
    pub passes_max: u32,
    /// Ascending in both columns; for people, decides nothing.
    pub calibration: Vec<CalibrationPoint>,
    /// What is watched for drift; without it nothing is.
    pub watch: Option<Watch>,
    /// At most one for each family; families not named are weighed by rules.
    pub manifest_models: Vec<ManifestModel>,
}

canonical!(struct Policy {
    name, algorithm, coefficients, families, required, findings, maximum_ages, stopping, passes_max, calibration, watch,
    manifest_models
});

/// The fusion algorithm of this version: see [`crate::fusion`].
pub const ALGORITHM: u16 = 1;

/// No prior or threshold may lie further from even odds, in milli-decibans: far beyond any sensible value, and far from
/// where a sum of weights would overflow.
pub const ODDS_LIMIT: u32 = 1_000_000;

impl Policy {
    /// What the ledger knows it by.
    pub fn digest(&self) -> Digest {
        Digest::of(&to_bytes(self))
    }

    /// Thousandths of a modality's weight that count.
    pub fn permille(&self, modality: Modality) -> i32 {
        self.coefficients
            .iter()
            .find(|c| c.modality == modality)
            .map_or(0, |c| c.permille)
    }

    /// Seconds after which evidence of a modality is stale.
    pub fn maximum_age_s(&self, modality: Modality) -> Option<u32> {
        self.maximum_ages
            .iter()
            .find(|age| age.modality == modality)
            .map(|age| age.seconds)
    }

    /// Probability in millionths that a score stands for: linear between the points, flat beyond them.
    pub fn probability_ppm(&self, score: i32) -> u32 {
        let after = self.calibration.partition_point(|point| point.score <= score);
        match (
            after.checked_sub(1).and_then(|i| self.calibration.get(i)),
            self.calibration.get(after),
        ) {
            (None, None) => 0,
            (Some(last), None) => last.ppm,
            (None, Some(first)) => first.ppm,
            (Some(a), Some(b)) => {
                let span = i64::from(b.score) - i64::from(a.score);
                let rise = i64::from(b.ppm) - i64::from(a.ppm);
                let along = i64::from(score) - i64::from(a.score);
                let ppm = i64::from(a.ppm) + rise * along / span.max(1);
                u32::try_from(ppm).unwrap_or(0)
            }
        }
    }

    /// The same policy with what belongs to modalities and families in their order, so that it has one digest, however
    /// somebody listed them.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        self.coefficients.sort_by_key(|one| one.modality);
        self.families.sort_by_key(|one| one.family);
        self.maximum_ages.sort_by_key(|one| one.modality);
        self.manifest_models.sort_by_key(|one| one.family);
        if let Some(watch) = &mut self.watch {
            watch.weights.sort_by_key(|one| one.modality);
            watch.shares.sort_by_key(|one| one.share);
        }
        self
    }

    /// The policy a new cluster starts with: priors of the order published for sea ports, thresholds set so that one
    /// strong source is enough for Review, and radiation, weighing and number reading required of every container. It
    /// watches nothing: its values were not learned from any port, so there is nothing to compare with.
    pub fn first() -> Self {
        let family = |family, prior, review, exam| FamilyRule {
            family,
            prior,
            review,
            exam,
        };
        let required = |modality, scope| Requirement {
            modality,
            scope,
            degraded_is_enough: true,
            otherwise: Tier::Review,
        };
        Self {
            name: "first".to_owned(),
            algorithm: ALGORITHM,
            coefficients: [
                (Modality::Manifest, 1000),
                (Modality::Radiography, 1000),
                (Modality::Radiation, 1000),
                (Modality::Magnetometer, 700),
                (Modality::Nqr, 1000),
                (Modality::Trace, 800),
                (Modality::Weighbridge, 800),
                (Modality::Ocr, 900),
            ]
            .map(|(modality, permille)| Coefficient { modality, permille })
            .to_vec(),
            families: vec![
                family(ThreatFamily::Narcotics, -24_000, -10_000, 5_000),
                family(ThreatFamily::Explosives, -37_000, -22_000, -5_000),
                family(ThreatFamily::Nuclear, -37_000, -25_000, -12_000),
                family(ThreatFamily::Weapons, -30_000, -14_000, 2_000),
                family(ThreatFamily::People, -33_000, -17_000, -2_000),
                family(ThreatFamily::Undeclared, -17_000, -6_000, 8_000),
            ],
            required: vec![
                required(Modality::Radiation, Scope::Every),
                required(Modality::Weighbridge, Scope::Laden),
                required(Modality::Ocr, Scope::Every),
            ],
            findings: vec![
                FindingRule {
                    code: FindingCode::NeutronAlarm,
                    tier: Tier::Exam,
                },
                FindingRule {
                    code: FindingCode::OcrMismatch,
                    tier: Tier::Review,
                },
                // No officer would let these go unseen, however rare the threat is.
                FindingRule {
                    code: FindingCode::SubstanceFound,
                    tier: Tier::Review,
                },
                FindingRule {
                    code: FindingCode::LoadInEmpty,
                    tier: Tier::Review,
                },
                // Somebody may be tampering with the sensor or its line.
                FindingRule {
                    code: FindingCode::ReadingRefused,
                    tier: Tier::Review,
                },
            ],
            maximum_ages: [Modality::Radiation, Modality::Weighbridge, Modality::Ocr]
                .map(|modality| MaximumAge {
                    modality,
                    seconds: 24 * 3600,
                })
                .to_vec(),
            stopping: Stopping {
                least_samples: 5,
                // More than the distance between prior and threshold of nuclear and undeclared: nothing is released early
                // before radiation, scale and camera have spoken for it.
                release_margin: 14_000,
                exam_margin: 6_000,
            },
            passes_max: 8,
            calibration: [
                (-50_000, 10),
                (-40_000, 100),
                (-30_000, 999),
                (-20_000, 9_901),
                (-15_000, 30_653),
                (-10_000, 90_909),
                (-5_000, 240_253),
                (0, 500_000),
                (5_000, 759_747),
                (10_000, 909_091),
                (15_000, 969_347),
                (20_000, 990_099),
                (30_000, 999_001),
            ]
            .map(|(score, ppm)| CalibrationPoint { score, ppm })
            .to_vec(),
            watch: None,
            manifest_models: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_follow_the_table_and_stay_flat_beyond_it() {
        let policy = Policy::first();
        assert_eq!(policy.probability_ppm(i32::MIN), 10);
        assert_eq!(policy.probability_ppm(0), 500_000);
        assert_eq!(policy.probability_ppm(2_500), 629_873);
        assert_eq!(policy.probability_ppm(i32::MAX), 999_001);
    }

    #[test]
    fn the_order_in_which_modalities_are_listed_changes_no_digest() {
        let first = Policy::first();
        assert_eq!(first.clone().in_order(), first);
        let mut other = first.clone();
        other.coefficients.reverse();
        other.families.reverse();
        other.maximum_ages.reverse();
        assert_ne!(other.digest(), first.digest());
        assert_eq!(other.in_order().digest(), first.digest());
    }
}

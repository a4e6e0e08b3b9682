//! Fusion: from a set of evidence to a verdict, in integers, so that everyone who repeats it gets the same bits.
//!
//! Score of a family = prior + sum over sources of floor(coefficient x weight / (1000 x n)), where n is how many sources
//! share the modality: they share their errors too, so they are averaged, not added. Each summand is what the officer
//! sees; they add up exactly because the score is defined as their sum.
//!
//! A pass is judged at the first sample at which the stopping rule holds, else at its end. So the verdict depends on
//! what was seen, and not on when somebody noticed that it was enough.
//!
//! Drift changes no score and does not stop a pass sooner or later. It adds a reason, and with it a least tier.

mod sweep;

use crate::codec::canonical;
use crate::drift::ChartKey;
use crate::evidence::{Ability, Evidence, Modality, ThreatFamily, Weights};
use crate::finding::FindingCode;
use crate::id::{SampleNo, Timestamp};
use crate::manifest::Manifest;
use crate::policy::{Policy, Requirement, Scope, Stopping, Tier};
use sweep::Sweep;

/// How far a device's clock may be ahead of log time, milliseconds of the port's clock.
pub const CLOCKS_APART_MS: u64 = 10 * 60 * 1000;

/// One summand of a score: what one source adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contribution {
    /// Which source.
    pub modality: Modality,
    /// Position of the evidence in the set that was fused.
    pub index: u32,
    /// How well it could see.
    pub ability: Ability,
    /// What it adds to each family's score, milli-decibans.
    pub adds: Weights,
}

/// Why the tier is what it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A family's score reached a threshold.
    Score {
        /// The family.
        family: ThreatFamily,
        /// Its score.
        score: i32,
        /// The threshold it reached.
        threshold: i32,
        /// The tier behind the threshold.
        tier: Tier,
    },
    /// Required evidence is not there.
    Missing {
        /// Of which modality.
        modality: Modality,
        /// The tier that follows.
        tier: Tier,
    },
    /// Required evidence could not see.
    NotSeen {
        /// Of which modality.
        modality: Modality,
        /// How well it saw.
        ability: Ability,
        /// The tier that follows.
        tier: Tier,
    },
    /// Required evidence is too old.
    Stale {
        /// Of which modality.
        modality: Modality,
        /// Its age, seconds.
        age_s: u32,
        /// The tier that follows.
        tier: Tier,
    },
    /// A finding leads to a tier by itself.
    Found {
        /// The finding.
        code: FindingCode,
        /// The tier that follows.
        tier: Tier,
    },
    /// Too many passes broke off.
    PassesExhausted {
        /// How many were tried.
        passes: u32,
    },
    /// Nothing speaks against it.
    NothingAgainst,
    /// What it rests on is adrift.
    Drifting {
        /// The chart whose alarm stands.
        chart: ChartKey,
        /// The tier that follows.
        tier: Tier,
    },
}

canonical!(enum Reason {
    1 => Score { family, score, threshold, tier },
    2 => Missing { modality, tier },
    3 => NotSeen { modality, ability, tier },
    4 => Stale { modality, age_s, tier },
    5 => Found { code, tier },
    6 => PassesExhausted { passes },
    7 => NothingAgainst,
    8 => Drifting { chart, tier },
});

impl Reason {
    /// The tier that this reason alone would lead to.
    pub fn tier(&self) -> Tier {
        match self {
            Self::Score { tier, .. }
            | Self::Missing { tier, .. }
            | Self::NotSeen { tier, .. }
            | Self::Stale { tier, .. }
            | Self::Found { tier, .. }
            | Self::Drifting { tier, .. } => *tier,
            Self::PassesExhausted { .. } => Tier::Exam,
            Self::NothingAgainst => Tier::Release,
        }
    }
}

/// The result of fusing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What follows.
    pub tier: Tier,
    /// Fused score of each family, milli-decibans of posterior odds.
    pub scores: Weights,
    /// The sample after which it was judged.
    pub at_sample: SampleNo,
    /// The stopping rule held there: enough was known, and nothing that came later counts.
    pub stopped: bool,
    /// Why, worst first; never empty.
    pub reasons: Vec<Reason>,
}

canonical!(struct Verdict { tier, scores, at_sample, stopped, reasons });

impl Verdict {
    /// Whether something required was missing, could not see, or was too old. A pass that is stopped early leaves sensors
    /// unasked; that is no failure to see.
    pub fn unseen(&self) -> bool {
        let not_seen = |reason: &Reason| {
            matches!(
                reason,
                Reason::Missing { .. } | Reason::NotSeen { .. } | Reason::Stale { .. }
            )
        };
        !self.stopped && self.reasons.iter().any(not_seen)
    }

    /// Whether both say the same, but for the age of stale evidence: it grows between proposing and applying, and a
    /// verdict must not be refused for that.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let ageless = |verdict: &Self| {
            let mut verdict = verdict.clone();
            for reason in &mut verdict.reasons {
                if let Reason::Stale { age_s, .. } = reason {
                    *age_s = 0;
                }
            }
            verdict
        };
        ageless(self) == ageless(other)
    }
}

/// What a verdict is about.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// What is declared; requirements depend on it.
    pub manifest: &'a Manifest,
    /// The evidence set, in any order.
    pub evidence: &'a [&'a Evidence],
    /// Passes that were started.
    pub passes: u32,
    /// When it is judged, on the port's clock.
    pub now: Timestamp,
    /// What is adrift: the charts whose alarm stands. Without a watch in the policy it means nothing.
    pub adrift: &'a [ChartKey],
}

/// Judges a finished pass.
pub fn judge(policy: &Policy, case: &Case<'_>) -> Verdict {
    let end = last_sample(case.evidence);
    // Only changes are recorded, so a pass that was stopped at the least sample may have its last step before it. What
    // was known then holds on, and the rule is asked there as it was during the pass.
    let through = match end {
        SampleNo(0) => end,
        end => end.max(SampleNo(policy.stopping.least_samples)),
    };
    match first_stop(policy, case, through) {
        Some(sample) => verdict_at(policy, case, sample, true),
        None => verdict_at(policy, case, end, false),
    }
}

/// The first sample, up to `through`, at which enough is known; the caller sees to it that every source has spoken up to
/// `through`.
pub fn first_stop(policy: &Policy, case: &Case<'_>, through: SampleNo) -> Option<SampleNo> {
    let least = SampleNo(policy.stopping.least_samples);
    let limits = Limits::of(policy);
    let mut sweep = Sweep::new(policy, case.evidence);
    let mut next = Some(least);
    if least == SampleNo(0) {
        // Nothing is judged before the first sample.
        sweep.go_to(least);
        next = sweep.next_sample();
    }
    while let Some(sample) = next.filter(|sample| *sample <= through) {
        sweep.go_to(sample);
        if enough(policy, case, &limits, &sweep) {
            return Some(sample);
        }
        next = sweep.next_sample();
    }
    None
}

fn last_sample(evidence: &[&Evidence]) -> SampleNo {
    evidence
        .iter()
        .filter_map(|evidence| evidence.total())
        .map(|step| step.sample)
        .max()
        .unwrap_or(SampleNo(0))
}

/// The scores at which a pass may end, each family's by its position: worked out once for all samples.
struct Limits {
    /// At this score or above the container is examined, whatever else comes.
    exam: [i64; 6],
    /// All scores have to be at these or below, so that what is still to come hardly changes anything.
    release: [i64; 6],
}

impl Limits {
    fn of(policy: &Policy) -> Self {
        let mut limits = Self {
            exam: [i64::MAX; 6],
            release: [i64::MAX; 6],
        };
        let Stopping {
            exam_margin,
            release_margin,
            ..
        } = policy.stopping;
        for rule in &policy.families {
            let exam = &mut limits.exam[rule.family.index()];
            *exam = (i64::from(rule.exam) + i64::from(exam_margin)).min(*exam);
            let release = &mut limits.release[rule.family.index()];
            *release = (i64::from(rule.review) - i64::from(release_margin)).min(*release);
        }
        limits
    }

    /// Whether any score is at its exam limit, and whether all are at their release limits or below.
    fn reached(&self, scores: Weights) -> (bool, bool) {
        let limits = self.exam.iter().zip(self.release);
        // Without branches: which family is the first to say no cannot be foretold.
        scores
            .0
            .iter()
            .zip(limits)
            .fold((false, true), |(exam, below), (score, limit)| {
                let score = i64::from(*score);
                (exam | (score >= *limit.0), below & (score <= limit.1))
            })
    }
}

fn enough(policy: &Policy, case: &Case<'_>, limits: &Limits, sweep: &Sweep<'_>) -> bool {
    let (exam, far_below) = limits.reached(sweep.scores());
    if exam {
        return true;
    }
    // Age is judged at the end; here it is enough that every required source has seen.
    far_below
        && required_of(policy, case.manifest).all(|requirement| {
            sweep
                .spoken()
                .filter(|(evidence, _)| evidence.modality == requirement.modality)
                .any(|(_, step)| is_enough(requirement, step.ability))
        })
}

fn is_enough(requirement: &Requirement, ability: Ability) -> bool {
    match ability {
        Ability::Clear => true,
        Ability::Degraded => requirement.degraded_is_enough,
        Ability::Shielded => mutant!(ShieldedIsEnough, true, false),
    }
}

/// What the policy requires of the container with this manifest.
pub fn required_of<'a>(policy: &'a Policy, manifest: &'a Manifest) -> impl Iterator<Item = &'a Requirement> {
    policy.required.iter().filter(|requirement| match &requirement.scope {
        Scope::Every => true,
        Scope::Laden => !manifest.empty,
        Scope::Commodity(prefix) => manifest
            .goods
            .iter()
            .any(|item| item.commodity_code.starts_with(prefix.as_str())),
    })
}

/// What each source adds to the scores after `sample`; sources that had not spoken by then add nothing and are left out.
pub fn contributions(policy: &Policy, evidence: &[&Evidence], sample: SampleNo) -> Vec<Contribution> {
    evidence
        .iter()
        .enumerate()
        .filter_map(|(index, one)| {
            let step = one.at(sample)?;
            let sharing = evidence
                .iter()
                .filter(|other| other.modality == one.modality && other.at(sample).is_some())
                .count();
            Some(Contribution {
                modality: one.modality,
                index: u32::try_from(index).unwrap_or(u32::MAX),
                ability: step.ability,
                adds: summands(policy.permille(one.modality), step.weights, sharing),
            })
        })
        .collect()
}

/// What a source of these weights adds to each score, if so many share its modality: floor(permille x weight / (1000 x
/// sharing)).
fn summands(permille: i32, weights: Weights, sharing: usize) -> Weights {
    const WHOLE: i64 = 1000;
    /// Up to these a product is at most [`SHIFT`], and 32 bits are enough.
    const PERMILLE_NARROW: u32 = 2000;
    const WEIGHT_NARROW: u32 = 500_000;
    /// A multiple of the divisor that makes every product positive, because a division that cuts is then one that floors.
    const SHIFT: i32 = 1_000_000_000;
    let narrow = weights
        .0
        .iter()
        .fold(permille.unsigned_abs() <= PERMILLE_NARROW, |narrow, weight| {
            narrow & (weight.unsigned_abs() <= WEIGHT_NARROW)
        });
    // Hardly any modality is shared, and valid weights are below the limit; a divisor that the compiler knows needs no
    // division, and six narrow families are weighed side by side.
    if narrow && sharing <= 1 {
        return Weights(weights.0.map(|weight| {
            let shifted = (permille * weight + SHIFT).unsigned_abs();
            (shifted / 1000).cast_signed() - SHIFT / 1000
        }));
    }
    let divisor = WHOLE * i64::try_from(sharing.max(1)).unwrap_or(1);
    Weights(weights.0.map(|weight| {
        let scaled = (i64::from(permille) * i64::from(weight)).div_euclid(divisor);
        i32::try_from(scaled).unwrap_or(if scaled < 0 { i32::MIN / 64 } else { i32::MAX / 64 })
    }))
}

/// The prior of each family: the first summand of each score.
pub fn priors(policy: &Policy) -> Weights {
    policy
        .families
        .iter()
        .fold(Weights::ZERO, |sum, rule| sum.with(rule.family, rule.prior))
}

fn scores_at(policy: &Policy, evidence: &[&Evidence], sample: SampleNo) -> Weights {
    let mut scores = priors(policy);
    for contribution in contributions(policy, evidence, sample) {
        for (score, adds) in scores.0.iter_mut().zip(contribution.adds.0) {
            *score = score.saturating_add(adds);
        }
    }
    scores
}

fn verdict_at(policy: &Policy, case: &Case<'_>, sample: SampleNo, stopped: bool) -> Verdict {
    let scores = scores_at(policy, case.evidence, sample);
    let mut reasons: Vec<Reason> = policy
        .families
        .iter()
        .filter_map(|rule| {
            let score = scores.of(rule.family);
            let (threshold, tier) = if score >= rule.exam {
                (rule.exam, Tier::Exam)
            } else if score >= rule.review {
                (rule.review, Tier::Review)
            } else {
                return None;
            };
            Some(Reason::Score {
                family: rule.family,
                score,
                threshold,
                tier,
            })
        })
        .collect();
    reasons
        .extend(required_of(policy, case.manifest).filter_map(|requirement| unmet(policy, case, requirement, sample)));
    for rule in &policy.findings {
        let found = case
            .evidence
            .iter()
            .filter(|evidence| evidence.at(sample).is_some())
            .flat_map(|evidence| &evidence.findings)
            .any(|noted| noted.sample <= sample && noted.finding.code == rule.code);
        if found {
            reasons.push(Reason::Found {
                code: rule.code,
                tier: rule.tier,
            });
        }
    }
    let unscanned = case
        .evidence
        .iter()
        .all(|evidence| evidence.modality == Modality::Manifest);
    if unscanned && case.passes >= policy.passes_max {
        reasons.push(Reason::PassesExhausted { passes: case.passes });
    }
    reasons.extend(
        case.adrift
            .iter()
            .filter_map(|chart| drifting(policy, case, chart, sample)),
    );
    let tier = reasons.iter().map(Reason::tier).max().unwrap_or(Tier::Release);
    if reasons.is_empty() {
        reasons.push(Reason::NothingAgainst);
    }
    reasons.sort_by(|a, b| b.tier().cmp(&a.tier()).then_with(|| a.cmp(b)));
    reasons.dedup();
    Verdict {
        tier,
        scores,
        at_sample: sample,
        stopped,
        reasons,
    }
}

/// The reason that follows from an alarm: for what a device says if it has spoken, for the port's in any case.
fn drifting(policy: &Policy, case: &Case<'_>, chart: &ChartKey, sample: SampleNo) -> Option<Reason> {
    let tier = policy.watch.as_ref()?.tier(chart);
    let concerned = match chart {
        ChartKey::Device(device) => case.evidence.iter().any(|evidence| {
            evidence.at(sample).is_some() && evidence.readings.as_ref().is_some_and(|range| range.device == *device)
        }),
        ChartKey::Declarations | ChartKey::Share(_) => true,
    };
    (concerned && tier > Tier::Release).then(|| Reason::Drifting {
        chart: chart.clone(),
        tier,
    })
}

fn unmet(policy: &Policy, case: &Case<'_>, requirement: &Requirement, sample: SampleNo) -> Option<Reason> {
    let modality = requirement.modality;
    let tier = requirement.otherwise;
    let limit_s = policy.maximum_age_s(modality).unwrap_or(u32::MAX);
    let age_s = |evidence: &Evidence| {
        // A capture time in the future says nothing about the age, and what has no known age is too old.
        if evidence.captured_at.millis_since(case.now) > CLOCKS_APART_MS {
            return u32::MAX;
        }
        u32::try_from(case.now.millis_since(evidence.captured_at) / 1000).unwrap_or(u32::MAX)
    };
    let spoke: Vec<(&Evidence, Ability)> = case
        .evidence
        .iter()
        .filter(|evidence| evidence.modality == modality)
        .filter_map(|evidence| Some((*evidence, evidence.at(sample)?.ability)))
        .collect();
    let best = spoke.iter().map(|(_, ability)| *ability).min();
    match best {
        None => mutant!(MissingIsEnough, None, Some(Reason::Missing { modality, tier })),
        Some(ability) if !is_enough(requirement, ability) => Some(Reason::NotSeen {
            modality,
            ability,
            tier,
        }),
        Some(_) => {
            let youngest = spoke
                .iter()
                .filter(|(_, ability)| is_enough(requirement, *ability))
                .map(|(evidence, _)| age_s(evidence))
                .min()
                .unwrap_or(u32::MAX);
            mutant!(StaleIsEnough, false, youngest > limit_s).then_some(Reason::Stale {
                modality,
                age_s: youngest,
                tier,
            })
        }
    }
}

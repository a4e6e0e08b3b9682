//! Learning: the steps in order.

use std::collections::BTreeSet;

use portcullis_domain::evidence::{Ability, Modality, ThreatFamily};
use portcullis_domain::policy::{ALGORITHM, FamilyRule, Policy, Requirement, Scope, Tier};

use super::guarantee::{Caught, Guarantee};
use super::report::LearnReport;
use super::scoring::{Scored, judge, never, score};
use super::thresholds::{Thresholds, spend};
use super::{Claims, Labelled, LearnError, LearnOptions, Learned, calibration, coefficients, stopping, watch};
use crate::estimate::{Share, Tally};
use crate::noise::Noise;

/// Steps that progress is reported in.
const STEPS: u64 = 5;
/// Rounds of setting thresholds and stopping rule; after two, less than a thousandth of the containers is left over.
const ROUNDS: usize = 2;
/// Halvings of the share reviewed in search of the guarantee: to a thousandth of the containers.
const HALVINGS: u32 = 10;
/// Without so many of each kind in each third, rates are noise.
const INNOCENT_MIN: usize = 100;
const THREATS_MIN: usize = 10;
/// Prior odds of a family that no sample has, milli-decibans: one in a million.
const NEVER_SEEN: f64 = -60_000.0;

/// Learns a policy from containers whose content is known.
///
/// The samples must be exchangeable with the containers that the policy will judge: what it claims holds for those, and no
/// others. Threats may be over-sampled if the weights say so.
pub fn learn(samples: &[Labelled], options: &LearnOptions, progress: &dyn Fn(u64, u64)) -> Result<Learned, LearnError> {
    check(samples, options)?;
    let [fitting, setting, claiming] = divide(samples, options.seed)?;
    progress(0, STEPS);
    let mut policy = options.base.clone();
    policy.name.clone_from(&options.name);
    policy.algorithm = ALGORITHM;
    policy.coefficients = coefficients::fit(&fitting);
    policy.families = priors(samples, options);
    policy.calibration = Vec::new();
    progress(1, STEPS);
    let left_out = require(&mut policy, samples, &fitting, options);
    progress(2, STEPS);
    let scored = score(&policy, setting.iter().copied(), &options.kept);
    policy.calibration = calibration::table(&scored);
    progress(3, STEPS);
    let review = set_thresholds_and_stopping(&mut policy, &scored, &setting, options);
    progress(4, STEPS);
    let (choosing, claiming) = if options.guarantee_first {
        // What thresholds are chosen by cannot serve for claims too.
        claiming.split_at(claiming.len() / 2)
    } else {
        (&claiming[..], &claiming[..])
    };
    let guarantees = guarantee(&mut policy, &scored, choosing, review, options);
    policy.watch = Some(watch::watch(&policy, claiming, options));
    policy.check()?;
    let (claims, _) = claim(&policy, claiming, options.alpha);
    let counts = [fitting.len(), setting.len(), claiming.len()].map(|count| count as u64);
    progress(5, STEPS);
    Ok(Learned {
        report: LearnReport::new(&policy, counts, left_out, claims, &guarantees),
        policy,
        claims,
    })
}

/// Sets thresholds for the budgets and then the stopping rule, which releases some innocent containers that the whole pass
/// would hold: what that leaves of the budget is spent in a second round. Returns the budget for Review of the last round.
fn set_thresholds_and_stopping(
    policy: &mut Policy,
    scored: &[Scored],
    setting: &[&Labelled],
    options: &LearnOptions,
) -> f64 {
    let all = options.needless_review + options.needless_exam;
    let exam = exam_budget(options);
    let mut review = all - exam;
    for round in 0..ROUNDS {
        apply(
            policy,
            &options.kept,
            &spend(scored, review, exam, &options.harm, &options.kept),
        );
        stopping::set(
            policy,
            setting,
            options.missed_by_stopping,
            options.examined_by_stopping,
        );
        let (claims, _) = claim(policy, setting, options.alpha);
        let left = all - claims.needless_review.value - claims.needless_exam.value;
        if round + 1 < ROUNDS {
            review += left.max(0.0);
        }
    }
    review
}

/// What stopping early may add to the exams comes out of their budget.
fn exam_budget(options: &LearnOptions) -> f64 {
    (options.needless_exam - options.examined_by_stopping).max(0.0)
}

/// What is guaranteed for each family. If the guarantee comes first, thresholds are lowered until it holds for every family
/// that has enough positives: conformal risk control, with the share reviewed as its one parameter. Stopping margins hang
/// on the thresholds and stay, so more review catches more.
fn guarantee(
    policy: &mut Policy,
    scored: &[Scored],
    choosing: &[&Labelled],
    review: f64,
    options: &LearnOptions,
) -> Vec<Guarantee> {
    let holds = |found: &[Guarantee]| found.iter().all(|one| one.holds || !one.enough);
    let (_, found) = claim(policy, choosing, options.alpha);
    if !options.guarantee_first || holds(&found) {
        return found;
    }
    let exam = exam_budget(options);
    let mut tried = |review: f64| {
        apply(
            policy,
            &options.kept,
            &spend(scored, review, exam, &options.harm, &options.kept),
        );
        claim(policy, choosing, options.alpha).1
    };
    let (mut low, mut high) = (review, 1.0 - exam);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if holds(&tried(middle)) {
            high = middle;
        } else {
            low = middle;
        }
    }
    tried(high)
}

/// Puts thresholds into a policy, but for families whose rules are kept.
pub(super) fn apply(policy: &mut Policy, kept: &BTreeSet<ThreatFamily>, thresholds: &Thresholds) {
    for rule in policy.families.iter_mut().filter(|rule| !kept.contains(&rule.family)) {
        let of = |values: &[i32; 6]| values.get(rule.family.index()).copied().unwrap_or(0);
        (rule.review, rule.exam) = (of(&thresholds.review), of(&thresholds.exam));
    }
}

/// What a policy says of itself, and what is guaranteed for each family.
pub(super) fn claim(policy: &Policy, samples: &[&Labelled], alpha: f64) -> (Claims, Vec<Guarantee>) {
    let mut tally = Tally::default();
    let mut counts: [Caught; 6] = Default::default();
    for sample in samples {
        let tier = judge(policy, sample).tier;
        tally.add(sample.content, sample.weight, tier);
        let slot = sample.content.and_then(|family| counts.get_mut(family.index()));
        if let Some(caught) = slot {
            caught.add(tier == Tier::Release, sample.weight);
        }
    }
    let claims = Claims {
        missed: tally.missed.estimate(),
        needless_review: tally.needless_review.estimate(),
        needless_exam: tally.needless_exam.estimate(),
    };
    let guarantees = counts.map(|caught| Guarantee::new(&caught, alpha));
    (claims, guarantees.to_vec())
}

fn check(samples: &[Labelled], options: &LearnOptions) -> Result<(), LearnError> {
    let bad = |name, why: &str| {
        Err(LearnError::Option {
            name,
            why: why.to_owned(),
        })
    };
    let budgets = [options.needless_review, options.needless_exam];
    if !budgets.iter().all(|budget| (0.0..=1.0).contains(budget)) || budgets.iter().sum::<f64>() > 1.0 {
        return bad(
            "needless",
            "budgets are shares of innocent containers; give 0 to 1, together at most 1",
        );
    }
    if !(options.alpha > 0.0 && options.alpha < 1.0) {
        return bad("alpha", "give a share between 0 and 1");
    }
    for (name, share) in [
        ("missed_by_stopping", options.missed_by_stopping),
        ("examined_by_stopping", options.examined_by_stopping),
    ] {
        if !(0.0..=1.0).contains(&share) {
            return bad(name, "give a share, 0 to 1");
        }
    }
    if !(1_000.0..=1e12).contains(&options.false_alarm_every) {
        return bad("false_alarm_every", "give a number of containers, 1,000 to 10^12");
    }
    if !options.harm.iter().all(|harm| harm.is_finite() && *harm >= 0.0) {
        return bad("harm", "give numbers of at least 0");
    }
    for (index, sample) in samples.iter().enumerate() {
        let refused = |why: String| LearnError::Sample { index, why };
        if !(sample.weight > 0.0 && sample.weight.is_finite()) {
            return Err(refused("its weight is not above 0".to_owned()));
        }
        for evidence in &sample.evidence {
            evidence.check().map_err(|error| refused(error.to_string()))?;
        }
    }
    Ok(())
}

/// Three parts by lot.
fn divide(samples: &[Labelled], seed: u64) -> Result<[Vec<&Labelled>; 3], LearnError> {
    let mut parts: [Vec<&Labelled>; 3] = Default::default();
    let mut noise = Noise::new(seed, u64::MAX);
    for sample in samples {
        let lot = (noise.unit() * 3.0) as usize;
        if let Some(part) = parts.get_mut(lot) {
            part.push(sample);
        }
    }
    for (what, needed, threat) in [
        ("innocent containers", INNOCENT_MIN, false),
        ("containers with threats", THREATS_MIN, true),
    ] {
        let count = |part: &Vec<&Labelled>| part.iter().filter(|one| one.content.is_some() == threat).count();
        let found = parts.iter().map(count).min().unwrap_or(0);
        if found < needed {
            return Err(LearnError::TooFew { what, found, needed });
        }
    }
    Ok(parts)
}

/// Prior odds as the samples have them; the whole rule of the base policy for families that are kept.
fn priors(samples: &[Labelled], options: &LearnOptions) -> Vec<FamilyRule> {
    ThreatFamily::ALL
        .into_iter()
        .map(|family| {
            let base = || options.base.families.iter().find(|rule| rule.family == family);
            if let Some(rule) = options.kept.get(&family).and_then(|_| base()) {
                return *rule;
            }
            let mut share = Share::default();
            for sample in samples {
                share.add(sample.content == Some(family), sample.weight);
            }
            let p = share.value();
            let odds = if p > 0.0 {
                10_000.0 * libm::log10(p / (1.0 - p).max(1e-6))
            } else {
                NEVER_SEEN
            };
            FamilyRule {
                family,
                prior: odds.max(NEVER_SEEN).round() as i32,
                review: 0,
                exam: 0,
            }
        })
        .collect()
}

/// A sensor that is blind to a larger share of containers is one for the few that it can see, such as NQR before steel:
/// required of all, it would hold most of them for nothing. What it cannot see is left to the others.
const BLIND_TO_MOST: f64 = 0.5;

/// What is required: what the base policy requires of sensors that the samples have, what could not see now and then, and
/// what the miss rate that was asked cannot do without. Returns the base policy's requirements that were left out.
fn require(
    policy: &mut Policy,
    samples: &[Labelled],
    fitting: &[&Labelled],
    options: &LearnOptions,
) -> Vec<&'static str> {
    let present: Vec<Modality> = policy.coefficients.iter().map(|one| one.modality).collect();
    let (kept, left_out): (Vec<_>, Vec<_>) = std::mem::take(&mut policy.required)
        .into_iter()
        .partition(|one| present.contains(&one.modality));
    policy.required = kept;
    for modality in &present {
        let blind = blind_share(samples, *modality);
        if blind > 0.0 && blind <= BLIND_TO_MOST {
            require_always(policy, *modality);
        }
    }
    // Where all sensors together miss more than was asked, no requirement mends it, and each would cost needless holds.
    if missed_without(policy, fitting, None, options) <= options.alpha {
        let needed: Vec<Modality> = present
            .into_iter()
            .filter(|modality| blind_share(samples, *modality) <= BLIND_TO_MOST)
            .filter(|modality| missed_without(policy, fitting, Some(*modality), options) > options.alpha)
            .collect();
        for modality in needed {
            require_always(policy, modality);
        }
    }
    left_out.iter().map(|one| one.modality.as_str()).collect()
}

fn require_always(policy: &mut Policy, modality: Modality) {
    let covered = policy
        .required
        .iter()
        .any(|one| one.modality == modality && one.scope == Scope::Every);
    if !covered {
        policy.required.push(Requirement {
            modality,
            scope: Scope::Every,
            degraded_is_enough: true,
            otherwise: Tier::Review,
        });
    }
}

/// Share of containers that a sensor looked at and could not see.
fn blind_share(samples: &[Labelled], modality: Modality) -> f64 {
    let mut blind = Share::default();
    for sample in samples {
        for one in sample.evidence.iter().filter(|one| one.modality == modality) {
            let shielded = one.total().is_some_and(|step| step.ability == Ability::Shielded);
            blind.add(shielded, sample.weight);
        }
    }
    blind.value()
}

/// Share of threats released within the budgets if one modality said nothing, with what is required so far.
fn missed_without(policy: &Policy, fitting: &[&Labelled], modality: Option<Modality>, options: &LearnOptions) -> f64 {
    let mut blind = policy.clone();
    blind.coefficients.retain(|one| Some(one.modality) != modality);
    let scored = score(&blind, fitting.iter().copied(), &options.kept);
    apply(
        &mut blind,
        &options.kept,
        &spend(
            &scored,
            options.needless_review,
            options.needless_exam,
            &options.harm,
            &options.kept,
        ),
    );
    blind.stopping = never();
    let (claims, _) = claim(&blind, fitting, options.alpha);
    claims.missed.value
}

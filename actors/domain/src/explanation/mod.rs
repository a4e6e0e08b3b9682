//! The explanation of a conclusion: the sum itself, what each source saw, what could not be seen, and what would have
//! changed the tier.

mod chances;
mod words;

use crate::drift::ChartKey;
use crate::evidence::{Ability, Modality, ThreatFamily, Weights};
use crate::fusion::{Reason, Verdict, contributions, priors, required_of};
use crate::inspection::Inspection;
use crate::policy::{Policy, Tier};

pub use words::{chance, instrument, threat};

/// Why a conclusion is what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// One sentence for the officer.
    pub sentence: String,
    /// What each source saw, in the order of the terms of each sum.
    pub views: Vec<View>,
    /// The sum of each family, worst distance to a threshold first.
    pub sums: Vec<Sum>,
    /// What could not be seen, a sentence each.
    pub unseen: Vec<String>,
    /// What would have changed the tier, a sentence each.
    pub would_change: Vec<String>,
}

/// What one source saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Which source: the device, or the modality where there is none.
    pub source: String,
    /// Its modality.
    pub modality: Modality,
    /// How well it could see.
    pub ability: Ability,
    /// In words, with what it found.
    pub says: String,
}

/// The sum behind one family's score: prior and terms add up to the score exactly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// The family.
    pub family: ThreatFamily,
    /// First summand, milli-decibans.
    pub prior: i32,
    /// The others.
    pub terms: Vec<Term>,
    /// The sum, milli-decibans.
    pub score: i32,
    /// Probability of this family by the policy's calibration, millionths; together they are that of any threat.
    pub probability_ppm: u32,
    /// Where Review begins.
    pub review: i32,
    /// Where Exam begins.
    pub exam: i32,
}

/// What one source adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Which source: modality and device.
    pub source: String,
    /// Its modality.
    pub modality: Modality,
    /// How well it could see.
    pub ability: Ability,
    /// What it adds, milli-decibans.
    pub adds: i32,
}

/// Explains the conclusion of an inspection under the policy it was judged by; none without a conclusion.
pub fn explain(policy: &Policy, inspection: &Inspection) -> Option<Explanation> {
    let conclusion = inspection.conclusion.as_ref()?;
    let verdict = &conclusion.verdict;
    let evidence = inspection.evidence_at(&conclusion.evidence);
    let terms = contributions(policy, &evidence, verdict.at_sample);
    let prior = priors(policy);

    let views: Vec<View> = terms
        .iter()
        .filter_map(|term| {
            let source = evidence.get(term.index as usize)?;
            Some(words::view(source, term.ability, verdict.at_sample))
        })
        .collect();
    let mut sums: Vec<Sum> = policy
        .families
        .iter()
        .map(|rule| {
            let family = rule.family;
            let terms = terms
                .iter()
                .map(|term| Term {
                    source: evidence
                        .get(term.index as usize)
                        .map_or_else(|| term.modality.to_string(), |one| words::source_of(one)),
                    modality: term.modality,
                    ability: term.ability,
                    adds: term.adds.of(family),
                })
                .collect();
            let score = verdict.scores.of(family);
            Sum {
                family,
                prior: prior.of(family),
                terms,
                score,
                probability_ppm: chances::of_family(policy, &verdict.scores, family),
                review: rule.review,
                exam: rule.exam,
            }
        })
        .collect();
    sums.sort_by_key(|sum| (i64::from(sum.review) - i64::from(sum.score), sum.family));

    let unseen = views
        .iter()
        .filter(|view| view.ability != Ability::Clear)
        .map(words::unseen)
        .chain(
            required_of(policy, &inspection.manifest)
                .filter(|requirement| !terms.iter().any(|term| term.modality == requirement.modality))
                .map(|requirement| {
                    format!(
                        "{} says nothing, which the policy requires",
                        words::instrument(requirement.modality)
                    )
                }),
        )
        .collect();

    Some(Explanation {
        sentence: words::sentence(verdict, &sums, &views),
        would_change: would_change(policy, verdict, &sums),
        views,
        sums,
        unseen,
    })
}

/// A reason in words.
pub fn describe(reason: &Reason) -> String {
    match reason {
        Reason::Score {
            family,
            score,
            threshold,
            tier,
        } => format!(
            "{family} stands at {} dB, at or above the {tier} threshold of {} dB",
            decibans(i64::from(*score)),
            decibans(i64::from(*threshold))
        ),
        Reason::Missing { modality, .. } => format!("{modality} evidence is required and missing"),
        Reason::NotSeen { modality, ability, .. } => {
            format!("{modality} evidence is required and could not see ({ability})")
        }
        Reason::Stale { modality, age_s, .. } => {
            format!("{modality} evidence is required and {age_s} s old, which is too old")
        }
        Reason::Found { code, .. } => format!("the finding {code}"),
        Reason::PassesExhausted { passes } => format!("{passes} passes broke off"),
        Reason::NothingAgainst => "nothing speaks against it".to_owned(),
        Reason::Drifting { chart, .. } => match chart {
            ChartKey::Device(device) => format!("{device} has drifted from what the policy was learned from"),
            ChartKey::Declarations => "declarations have drifted from what the policy was learned from".to_owned(),
            ChartKey::Share(share) => format!("more containers are {share} than when the policy was learned"),
        },
    }
}

fn would_change(policy: &Policy, verdict: &Verdict, sums: &[Sum]) -> Vec<String> {
    let tier = verdict.tier;
    if tier == Tier::Release {
        return sums
            .iter()
            .take(2)
            .map(|sum| {
                let distance = i64::from(sum.review) - i64::from(sum.score);
                format!(
                    "{} dB more for {} would mean a review ({} instead of {})",
                    decibans(distance),
                    words::threat(sum.family),
                    words::chance(chances::of_family(
                        policy,
                        &verdict.scores.with(sum.family, sum.review),
                        sum.family
                    )),
                    words::chance(sum.probability_ppm)
                )
            })
            .collect();
    }
    let decisive = verdict.reasons.iter().filter(|reason| reason.tier() == tier);
    decisive
        .map(|reason| would_take_away(policy, verdict, reason, sums))
        .collect()
}

fn would_take_away(policy: &Policy, verdict: &Verdict, reason: &Reason, sums: &[Sum]) -> String {
    match reason {
        Reason::Score {
            family,
            score,
            threshold,
            ..
        } => {
            let over = i64::from(*score) - i64::from(*threshold) + 1;
            let terms = sums.iter().find(|sum| sum.family == *family);
            let sources = terms.map_or_else(Vec::new, |sum| words::decisive_sources(&sum.terms, *score, *threshold));
            let without = if sources.is_empty() {
                String::new()
            } else {
                format!("; without what {} adds it would be so", sources.join(" or "))
            };
            format!(
                "{} dB less for {} would take this reason away: it begins at {}{without}",
                decibans(over),
                words::threat(*family),
                words::chance(chances::of_family(
                    policy,
                    &verdict.scores.with(*family, *threshold),
                    *family
                ))
            )
        }
        Reason::Missing { modality, .. } | Reason::NotSeen { modality, .. } | Reason::Stale { modality, .. } => {
            format!(
                "a fresh and clear look of {} would take this reason away",
                words::instrument(*modality)
            )
        }
        Reason::Found { code, .. } => {
            format!("without the finding {code} this reason falls away")
        }
        Reason::PassesExhausted { .. } => "a complete pass would take this reason away".to_owned(),
        Reason::NothingAgainst => String::new(),
        Reason::Drifting { chart, .. } => {
            format!("checking the source and resetting the drift chart {chart} would take this reason away")
        }
    }
}

/// Milli-decibans as decibans with three decimals, exactly.
pub fn decibans(milli: i64) -> String {
    let sign = if milli < 0 { "-" } else { "" };
    let magnitude = milli.unsigned_abs();
    format!("{sign}{}.{:03}", magnitude / 1000, magnitude % 1000)
}

/// Whether prior and terms add up to the score.
pub fn adds_up(sum: &Sum) -> bool {
    let total: i64 = i64::from(sum.prior) + sum.terms.iter().map(|term| i64::from(term.adds)).sum::<i64>();
    total == i64::from(sum.score)
}

/// Scores of all families, for a line of a report.
pub fn score_line(scores: &Weights) -> String {
    ThreatFamily::ALL
        .iter()
        .map(|family| format!("{family} {}", decibans(i64::from(scores.of(*family)))))
        .collect::<Vec<_>>()
        .join(", ")
}

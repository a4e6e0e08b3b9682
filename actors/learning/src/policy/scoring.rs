//! Scores and verdicts, always by the domain's own rules.

use std::collections::BTreeSet;

use portcullis_domain::evidence::{Evidence, ThreatFamily, Weights};
use portcullis_domain::fusion::{self, Case, Verdict};
use portcullis_domain::policy::{ODDS_LIMIT, Policy, Stopping, Tier};

use super::Labelled;

/// What thresholds are set from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scored {
    pub(super) content: Option<ThreatFamily>,
    pub(super) weight: f64,
    /// At the end of the whole pass.
    pub(super) scores: Weights,
    /// The tier that requirements, findings and kept rules lead to, whatever the other scores are.
    pub(super) least: Tier,
}

/// The domain's verdict on a labelled container.
pub(crate) fn judge(policy: &Policy, sample: &Labelled) -> Verdict {
    let evidence: Vec<&Evidence> = sample.evidence.iter().collect();
    let case = Case {
        manifest: &sample.manifest,
        evidence: &evidence,
        passes: 1,
        now: sample.at,
        adrift: &[],
    };
    fusion::judge(policy, &case)
}

/// The same policy with thresholds that no score reaches, but for families whose rules are kept, and no early stop: what is
/// left are the scores at the end of the pass, and the tiers of everything but those that thresholds are to be set for.
pub(super) fn unreachable(policy: &Policy, kept: &BTreeSet<ThreatFamily>) -> Policy {
    let mut open = policy.clone();
    let limit = i32::try_from(ODDS_LIMIT).unwrap_or(i32::MAX);
    for rule in open.families.iter_mut().filter(|rule| !kept.contains(&rule.family)) {
        rule.review = limit;
        rule.exam = limit;
    }
    open.stopping = never();
    open
}

/// A stopping rule that never holds: no score lies so far from any threshold.
pub(super) fn never() -> Stopping {
    Stopping {
        least_samples: 1,
        release_margin: i32::MAX,
        exam_margin: i32::MAX,
    }
}

/// Scores all samples with the coefficients, priors and requirements of a policy.
pub(super) fn score<'a>(
    policy: &Policy,
    samples: impl IntoIterator<Item = &'a Labelled>,
    kept: &BTreeSet<ThreatFamily>,
) -> Vec<Scored> {
    let open = unreachable(policy, kept);
    samples
        .into_iter()
        .map(|sample| {
            let verdict = judge(&open, sample);
            Scored {
                content: sample.content,
                weight: sample.weight,
                scores: verdict.scores,
                least: verdict.tier,
            }
        })
        .collect()
}

/// The score that the calibration table is about: the highest of all families, because a container is held when any
/// family's score says so.
pub(crate) fn highest(scores: &Weights) -> i32 {
    scores.0.into_iter().max().unwrap_or(0)
}

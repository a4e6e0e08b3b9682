//! What a learned policy is made of, for people.

use std::collections::BTreeMap;

use portcullis_domain::policy::Policy;
use serde::Serialize;

use super::Claims;
use super::guarantee::Guarantee;

/// A learned policy in words and numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LearnReport {
    /// Its name.
    pub name: String,
    /// SHA-256 of its canonical bytes, hex: what the ledger knows it by.
    pub digest: String,
    /// Containers for the coefficients, for thresholds and table, and for claims.
    pub samples: [u64; 3],
    /// Thousandths of each modality's weight that count.
    pub permille: BTreeMap<&'static str, i32>,
    /// What must have been seen of every container or of some.
    pub required: Vec<&'static str>,
    /// Requirements of the base policy on sensors that no sample has, which were left out.
    pub requirements_left_out: Vec<&'static str>,
    /// What it claims of itself.
    pub claims: Claims,
    /// Of each family.
    pub families: BTreeMap<&'static str, FamilyReport>,
    /// Margin for an early release, milli-decibans; none if passes are not stopped for it.
    pub release_margin: Option<i32>,
    /// Margin for an early exam, milli-decibans; none if passes are not stopped for it.
    pub exam_margin: Option<i32>,
}

/// One family's thresholds and what they are worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FamilyReport {
    /// Prior odds, milli-decibans.
    pub prior: i32,
    /// Threshold of Review, milli-decibans of posterior odds.
    pub review: i32,
    /// Threshold of Exam, milli-decibans of posterior odds.
    pub exam: i32,
    /// What can be guaranteed about misses.
    pub guarantee: Guarantee,
}

impl LearnReport {
    pub(super) fn new(
        policy: &Policy,
        samples: [u64; 3],
        left_out: Vec<&'static str>,
        claims: Claims,
        guarantees: &[Guarantee],
    ) -> Self {
        let margin = |margin: i32| (margin < i32::MAX).then_some(margin);
        let mut required: Vec<&'static str> = policy.required.iter().map(|one| one.modality.as_str()).collect();
        required.sort_unstable();
        required.dedup();
        Self {
            name: policy.name.clone(),
            digest: policy.digest().to_string(),
            samples,
            permille: policy
                .coefficients
                .iter()
                .map(|one| (one.modality.as_str(), one.permille))
                .collect(),
            required,
            requirements_left_out: left_out,
            claims,
            families: policy
                .families
                .iter()
                .zip(guarantees)
                .map(|(rule, guarantee)| {
                    let report = FamilyReport {
                        prior: rule.prior,
                        review: rule.review,
                        exam: rule.exam,
                        guarantee: *guarantee,
                    };
                    (rule.family.as_str(), report)
                })
                .collect(),
            release_margin: margin(policy.stopping.release_margin),
            exam_margin: margin(policy.stopping.exam_margin),
        }
    }
}

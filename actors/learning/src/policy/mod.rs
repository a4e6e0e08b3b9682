//! Fusion policies learned from labelled outcomes.
//!
//! The domain fuses by a sum of weighted evidence, and takes coefficients, thresholds, requirements and stopping rule from
//! its policy. [`learn`] finds them from containers whose content is known, [`learn_in`] from a [`World`]. Three parts of
//! the samples serve once each: one for the coefficients, one for thresholds, stopping rule and calibration table, one for
//! what the policy claims of itself and what it expects while nothing drifts. Every score and verdict comes from the domain's own rules.

mod calibration;
mod coefficients;
mod guarantee;
mod learning;
mod naive;
pub mod outcomes;
mod report;
mod scoring;
mod stopping;
mod thresholds;
mod watch;

use std::collections::BTreeSet;

use portcullis_domain::evidence::{Evidence, ThreatFamily};
use portcullis_domain::id::Timestamp;
use portcullis_domain::manifest::Manifest;
use portcullis_domain::policy::Policy;
use serde::Serialize;

use crate::estimate::Estimate;
use crate::world::{Stratified, World};

pub use guarantee::Guarantee;
pub use learning::learn;
pub(crate) use naive::naive;
pub use report::{FamilyReport, LearnReport};
pub(crate) use scoring::{highest, judge};
pub(crate) use watch::{false_alarm_every, observed};

/// A container whose content became known.
#[derive(Debug, Clone)]
pub struct Labelled {
    /// What was declared; requirements depend on it.
    pub manifest: Manifest,
    /// What the sensors said.
    pub evidence: Vec<Evidence>,
    /// What was inside, if anything.
    pub content: Option<ThreatFamily>,
    /// How many containers of the port it stands for, relative to the others.
    pub weight: f64,
    /// When it was judged, on the port's clock.
    pub at: Timestamp,
}

/// What is asked of a policy.
#[derive(Debug, Clone)]
pub struct LearnOptions {
    /// Name of the policy.
    pub name: String,
    /// Share of innocent containers that may be sent to Review.
    pub needless_review: f64,
    /// Share of innocent containers that may be sent to Exam.
    pub needless_exam: f64,
    /// Miss rate to be guaranteed for each family (conformal risk control); it is reported whether the budgets allow it.
    pub alpha: f64,
    /// Review more than the budget allows where the guarantee needs it. Otherwise the budget comes first.
    pub guarantee_first: bool,
    /// What a missed container of each family costs, relative to the others.
    pub harm: [f64; 6],
    /// Share of threats that stopping early may miss beyond those missed at the end of the pass.
    pub missed_by_stopping: f64,
    /// Share of innocent containers that stopping early may send to Exam beyond those sent there at the end of the pass. It
    /// comes out of the budget.
    pub examined_by_stopping: f64,
    /// Policy from which rules about findings, maximum ages, passes, and requirements on sensors that the samples have,
    /// are kept.
    pub base: Policy,
    /// Families that cannot be learned, because samples have too few of them: their rules stay those of the base policy.
    pub kept: BTreeSet<ThreatFamily>,
    /// Containers between two false alarms of all drift charts together, on average and at least.
    pub false_alarm_every: f64,
    /// Decides how the samples are divided.
    pub seed: u64,
}

impl Default for LearnOptions {
    fn default() -> Self {
        Self {
            name: "learned".to_owned(),
            needless_review: 0.10,
            needless_exam: 0.02,
            alpha: 0.05,
            guarantee_first: false,
            harm: [1.0; 6],
            missed_by_stopping: 0.0005,
            examined_by_stopping: 0.0005,
            base: Policy::first(),
            kept: BTreeSet::new(),
            // About a day of the busiest port on Earth.
            false_alarm_every: 100_000.0,
            seed: 1,
        }
    }
}

/// What a policy says of itself, from samples that served for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Claims {
    /// Share of threats released.
    pub missed: Estimate,
    /// Share of innocent containers reviewed.
    pub needless_review: Estimate,
    /// Share of innocent containers examined.
    pub needless_exam: Estimate,
}

/// A policy and what is known about it.
#[derive(Debug, Clone)]
pub struct Learned {
    /// The policy; it passes its own check.
    pub policy: Policy,
    /// What it claims.
    pub claims: Claims,
    /// The same and more, for people.
    pub report: LearnReport,
}

/// Why nothing could be learned.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// Too few of a kind.
    #[error("{what}: there are {found}, at least {needed} are needed in each third of the samples")]
    TooFew {
        /// Of what.
        what: &'static str,
        /// How many there are in the smallest third.
        found: usize,
        /// How many are needed.
        needed: usize,
    },
    /// An option out of range.
    #[error("option {name}: {why}")]
    Option {
        /// Which.
        name: &'static str,
        /// What is wrong and what would be right.
        why: String,
    },
    /// A sample is not usable.
    #[error("sample {index}: {why}")]
    Sample {
        /// Which, from 0.
        index: usize,
        /// What is wrong.
        why: String,
    },
    /// The policy that was made contradicts itself, which the base policy may cause.
    #[error("the learned policy is refused: {0}")]
    Policy(#[from] portcullis_domain::policy::InvalidPolicy),
}

/// Learns a policy in a world before anything changes, from so many drawn containers.
pub fn learn_in(
    world: &World,
    containers: u64,
    options: &LearnOptions,
    progress: &dyn Fn(u64, u64),
) -> Result<Learned, LearnError> {
    let still = world.unchanged();
    let samples = labelled(&still, containers, options.seed);
    learn(&samples, options, progress)
}

/// Labelled containers of a world.
pub(crate) fn labelled(world: &World, containers: u64, seed: u64) -> Vec<Labelled> {
    Stratified::new(world, containers, 24.0, seed)
        .iter()
        .map(|drawn| Labelled {
            manifest: Manifest::default(),
            evidence: drawn.container.evidence(world),
            content: drawn.container.content,
            weight: drawn.weight,
            at: drawn.container.at(),
        })
        .collect()
}

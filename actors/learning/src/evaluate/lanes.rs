//! The evaluation of a policy on containers of simulated lanes.

use std::collections::BTreeMap;

use portcullis_domain::policy::Policy;
use serde::Serialize;

use super::founding::{self, Founding};
use super::fusion::{FamilyMeasure, by_family};
use super::measure::{Judged, Measure, measure};
use crate::policy::{Claims, Labelled, judge};

/// How good a policy is on lanes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LanesReport {
    /// The policy's name.
    pub policy: String,
    /// Containers judged.
    pub containers: u64,
    /// What the policy did.
    #[serde(flatten)]
    pub measure: Measure,
    /// Of each family that occurs.
    pub by_family: BTreeMap<&'static str, FamilyMeasure>,
    /// Beside the figures that the system was founded on.
    pub founding: Vec<Founding>,
}

/// Judges labelled containers. Without `claims` the policy claims what its calibration table says of them.
pub fn lanes(policy: &Policy, containers: &[Labelled], claims: Option<&Claims>) -> LanesReport {
    let judged: Vec<Judged> = containers
        .iter()
        .map(|container| {
            let verdict = judge(policy, container);
            let last = container
                .evidence
                .iter()
                .filter_map(|one| one.total())
                .map(|step| step.sample.0);
            let through = if verdict.stopped {
                verdict.at_sample.0
            } else {
                last.max().unwrap_or(0)
            };
            // Samples are seconds.
            let minutes = f64::from(through) / 60.0;
            Judged::new(container.content, container.weight, &verdict, policy, minutes)
        })
        .collect();
    LanesReport {
        policy: policy.name.clone(),
        containers: containers.len() as u64,
        measure: measure(&judged, claims),
        by_family: by_family(&judged),
        founding: founding::figures(&judged),
    }
}

//! The evaluation of a fusion policy.

use std::collections::BTreeMap;

use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::manifest::Manifest;
use portcullis_domain::policy::{Policy, Tier};
use serde::Serialize;

use super::drift::{self, Drift};
use super::founding::{self, Founding};
use super::limit::{self, Limit};
use super::measure::{Judged, Measure, measure};
use crate::estimate::{Estimate, Share};
use crate::policy::{Claims, Labelled, LearnOptions, judge, naive};
use crate::world::{Container, Stratified, World};

/// Containers that the naive policy is set and judged by, at most: enough for a tenth of a point.
const NAIVE_MAX: u64 = 60_000;
/// Containers that the drift charts watch, at most.
const WATCHED_MAX: u64 = 20_000;

/// What is to be evaluated.
#[derive(Debug, Clone)]
pub struct FusionInput<'a> {
    /// Where.
    pub world: &'a World,
    /// Containers to draw.
    pub containers: u64,
    /// Decides every draw. Take another one than the policy was learned with.
    pub seed: u64,
    /// The world that the policy was calibrated in, where false alarms of its drift charts are counted; without, the same
    /// world before anything changed.
    pub calibrated_in: Option<&'a World>,
    /// Which policy.
    pub policy: &'a Policy,
    /// What it claims; without, it claims what its calibration table says of the containers drawn.
    pub claims: Option<&'a Claims>,
    /// The budgets of needless holds, which the naive policy is set for too.
    pub needless_review: f64,
    /// See `needless_review`.
    pub needless_exam: f64,
    /// Hours of operation since the sensors were calibrated that containers are drawn from.
    pub hours: f64,
}

impl<'a> FusionInput<'a> {
    /// With the budgets of the design (10 % needless review, 2 % needless exam) and a day of operation.
    pub fn new(world: &'a World, policy: &'a Policy, containers: u64, seed: u64) -> Self {
        Self {
            world,
            containers,
            seed,
            policy,
            calibrated_in: None,
            claims: None,
            needless_review: 0.10,
            needless_exam: 0.02,
            hours: 24.0,
        }
    }
}

/// How good a policy is in a world.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FusionReport {
    /// The world's name.
    pub world: String,
    /// The policy's name.
    pub policy: String,
    /// Containers drawn.
    pub containers: u64,
    /// The seed.
    pub seed: u64,
    /// What the policy did.
    #[serde(flatten)]
    pub measure: Measure,
    /// What the plain sum did, that takes the sensors for independent, with thresholds for the same budgets.
    pub naive: Measure,
    /// The fewest misses that are possible at the policy's needless rates, on the same containers.
    pub bayes_limit_missed: Estimate,
    /// Of each family that occurs.
    pub by_family: BTreeMap<&'static str, FamilyMeasure>,
    /// Beside the figures that the system was founded on.
    pub founding: Vec<Founding>,
    /// Whether drift was noticed.
    pub drift: Drift,
}

/// What the policy did with one family.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct FamilyMeasure {
    /// Containers drawn with it.
    pub containers: u64,
    /// Of those, released.
    pub missed: Estimate,
    /// Of those, sent to Exam.
    pub examined: Estimate,
}

/// Evaluates a policy. `progress` is told how many containers are done, of how many.
pub fn fusion(input: &FusionInput<'_>, progress: &dyn Fn(u64, u64)) -> FusionReport {
    let world = input.world;
    let options = LearnOptions {
        needless_review: input.needless_review,
        needless_exam: input.needless_exam,
        // Its calibration must be other containers than those that are judged below.
        seed: input.seed.wrapping_add(0x9e37_79b9_7f4a_7c15),
        ..LearnOptions::default()
    };
    let (naive_policy, naive_claims) = naive(world, input.policy, &options, input.containers.min(NAIVE_MAX));
    let sample = Stratified::new(world, input.containers, input.hours, input.seed);
    let mut limit = Limit::new(world);
    let (mut judged, mut naively, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for (done, drawn) in (1..).zip(sample.iter()) {
        let container = labelled(world, drawn.container, drawn.weight);
        judged.push(verdict(world, input.policy, &container.1));
        naively.push(verdict(world, &naive_policy, &container.1));
        ratios.push((
            limit.log_ratio(&container.0),
            container.0.content.is_some(),
            drawn.weight,
        ));
        if done % 1_000 == 0 || done == input.containers {
            progress(done, input.containers);
        }
    }
    let measured = measure(&judged, input.claims);
    let needless = measured.needless_review.value + measured.needless_exam.value;
    FusionReport {
        world: world.name.clone(),
        policy: input.policy.name.clone(),
        containers: input.containers,
        seed: input.seed,
        naive: measure(&naively, Some(&naive_claims)),
        bayes_limit_missed: limit::missed(&ratios, needless),
        by_family: by_family(&judged),
        founding: founding::figures(&judged),
        drift: drift::watch(
            world,
            &input.calibrated_in.unwrap_or(world).unchanged(),
            input.policy,
            input.containers.min(WATCHED_MAX),
            input.seed,
        ),
        measure: measured,
    }
}

/// A container in the form that is judged.
pub(super) fn labelled(world: &World, container: Container, weight: f64) -> (Container, Labelled) {
    let labelled = Labelled {
        manifest: Manifest::default(),
        evidence: container.evidence(world),
        content: container.content,
        weight,
        at: container.at(),
    };
    (container, labelled)
}

fn verdict(world: &World, policy: &Policy, container: &Labelled) -> Judged {
    let verdict = judge(policy, container);
    let through = if verdict.stopped {
        verdict.at_sample
    } else {
        world.last_sample()
    };
    Judged::new(
        container.content,
        container.weight,
        &verdict,
        policy,
        world.minutes(through),
    )
}

pub(super) fn by_family(judged: &[Judged]) -> BTreeMap<&'static str, FamilyMeasure> {
    ThreatFamily::ALL
        .into_iter()
        .filter_map(|family| {
            let (mut missed, mut examined, mut containers) = (Share::default(), Share::default(), 0);
            for one in judged.iter().filter(|one| one.content == Some(family)) {
                missed.add(one.tier == Tier::Release, one.weight);
                examined.add(one.tier == Tier::Exam, one.weight);
                containers += 1;
            }
            let measure = FamilyMeasure {
                containers,
                missed: missed.estimate(),
                examined: examined.estimate(),
            };
            (containers > 0).then_some((family.as_str(), measure))
        })
        .collect()
}

//! The Bayes limit: what nobody could do better with one pass, knowing everything about the world but the content.

use std::collections::BTreeMap;

use portcullis_domain::evidence::ThreatFamily;

use super::ranking::steps;
use crate::binormal::Correlation;
use crate::estimate::{Estimate, Share};
use crate::world::{Container, Look, World};

/// The likelihood ratio of a threat, with the true dependence, drift and habits of shielding of a world.
pub(super) struct Limit<'a> {
    world: &'a World,
    /// By which sensors saw, one bit each: how to weigh their scores.
    seen: BTreeMap<u64, Seen>,
}

/// For one set of sensors that saw.
struct Seen {
    /// For each family that occurs: its share of threats, R^-1 d, and d^T R^-1 d / 2.
    families: Vec<(f64, Vec<f64>, f64)>,
}

impl<'a> Limit<'a> {
    pub(super) fn new(world: &'a World) -> Self {
        Self {
            world,
            seen: BTreeMap::new(),
        }
    }

    /// ln of the likelihood ratio, threat as it occurs against none, of everything the sensors gave. The test on it has the
    /// fewest misses of all with as many needless holds (Neyman and Pearson).
    pub(super) fn log_ratio(&mut self, container: &Container) -> f64 {
        let mut bits = 0;
        let mut scores = Vec::new();
        let mut habits = 0.0;
        for (index, ((sensor, look), shields)) in self
            .world
            .sensors
            .iter()
            .zip(&container.looks)
            .zip(&self.world.shields)
            .enumerate()
        {
            match look {
                Look::Seen(score) => {
                    bits |= 1_u64 << index;
                    scores.push(score - sensor.drift_per_hour * container.hours);
                    habits += libm::log((1.0 - shields).max(f64::MIN_POSITIVE));
                }
                Look::Shielded => {
                    let by_itself = sensor.shielded_share;
                    let with_habit = by_itself + (1.0 - by_itself) * shields;
                    habits += libm::log(with_habit / by_itself.max(1e-12));
                }
                Look::Failed => {}
            }
        }
        let world = self.world;
        let seen = self.seen.entry(bits).or_insert_with(|| Seen::new(world, bits));
        let logs: Vec<f64> = seen
            .families
            .iter()
            .map(|(share, weights, offset)| {
                let sum: f64 = weights.iter().zip(&scores).map(|(weight, score)| weight * score).sum();
                libm::log(*share) + sum - offset
            })
            .collect();
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs.iter().map(|log| libm::exp(log - largest)).sum();
        largest + libm::log(sum) + habits
    }
}

impl Seen {
    fn new(world: &World, bits: u64) -> Self {
        let sensors: Vec<usize> = (0..world.sensors.len())
            .filter(|index| bits >> index & 1 == 1)
            .collect();
        // A part of a positive definite matrix is one too; without one, independence is the nearest to it.
        let part = world
            .dependence
            .part(&sensors)
            .or_else(|_| Correlation::uniform(sensors.len(), 0.0))
            .ok();
        let all = world.threats();
        let families = ThreatFamily::ALL
            .into_iter()
            .filter_map(|family| {
                let share = world.threat_share.get(family.index())? / all;
                let d: Vec<f64> = sensors
                    .iter()
                    .filter_map(|index| world.sensors.get(*index)?.d_prime.get(family.index()).copied())
                    .collect();
                let weights = part.as_ref()?.solve(&d);
                let offset = weights.iter().zip(&d).map(|(weight, d)| weight * d).sum::<f64>() / 2.0;
                (share > 0.0).then_some((share, weights, offset))
            })
            .collect();
        Self { families }
    }
}

/// Missed at a needless rate, from ln likelihood ratio, whether it is a threat, and weight of each container.
pub(super) fn missed(ratios: &[(f64, bool, f64)], needless: f64) -> Estimate {
    let innocent: f64 = ratios.iter().filter(|one| !one.1).map(|one| one.2).sum();
    let mut left = needless * innocent;
    let mut threshold = f64::INFINITY;
    for (ratio, _, harmless) in steps(ratios.iter().copied()) {
        if harmless > left {
            break;
        }
        left -= harmless;
        threshold = ratio;
    }
    let mut missed = Share::default();
    for (ratio, _, weight) in ratios.iter().filter(|one| one.1) {
        missed.add(*ratio < threshold, *weight);
    }
    missed.estimate()
}

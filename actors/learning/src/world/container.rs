//! One container of a world: what is inside, what the sensors saw, and the evidence they make of it.

use portcullis_domain::evidence::{Ability, Evidence, ReadingRange, Step, ThreatFamily, WEIGHT_LIMIT, Weights};
use portcullis_domain::id::{DeviceId, Digest, Timestamp};

use super::{World, of};
use crate::noise::Noise;

/// What one sensor's look came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Look {
    /// It saw; its score, in standard deviations above the innocent mean of its last calibration.
    Seen(f64),
    /// It could not see.
    Shielded,
    /// There is no reading.
    Failed,
}

/// A container with its truth.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// What is hidden inside, if anything.
    pub content: Option<ThreatFamily>,
    /// When it was looked at, hours since the sensors were calibrated.
    pub hours: f64,
    /// One look for each sensor of the world, in its order.
    pub looks: Vec<Look>,
}

const MILLIS_PER_HOUR: f64 = 3_600_000.0;
/// Natural logarithm of a likelihood ratio to milli-decibans: 10,000 / ln 10.
const MILLI_DECIBANS_PER_NAT: f64 = 10_000.0 / std::f64::consts::LN_10;

impl World {
    /// Draws what the sensors see of a container with this content.
    pub(super) fn look_at(&self, content: Option<ThreatFamily>, hours: f64, noise: &mut Noise) -> Container {
        let independent: Vec<f64> = self.sensors.iter().map(|_| noise.normal()).collect();
        let looks = self
            .sensors
            .iter()
            .zip(self.dependence.mix(&independent))
            .zip(&self.shields)
            .map(|((sensor, error), shields)| {
                // Each is drawn in any case, so that changing one share moves no other draw.
                let failed = noise.chance(sensor.failed_share);
                let shielded = noise.chance(sensor.shielded_share);
                let hides = noise.chance(*shields) && content.is_some();
                if failed {
                    Look::Failed
                } else if shielded || hides {
                    Look::Shielded
                } else {
                    let moved = content.map_or(0.0, |family| of(&sensor.d_prime, family));
                    Look::Seen(moved + error + sensor.drift_per_hour * hours)
                }
            })
            .collect();
        Container { content, hours, looks }
    }
}

impl Container {
    /// When it is judged, on the port's clock.
    pub fn at(&self) -> Timestamp {
        Timestamp::ZERO.plus_millis((self.hours.max(0.0) * MILLIS_PER_HOUR) as u64)
    }

    /// The evidence of this container: each sensor's own log-likelihood ratio for each family, d' x - d'^2 / 2, rounded
    /// down to milli-decibans and cut at [`WEIGHT_LIMIT`]. A sensor that could not see weighs nothing, one without a
    /// reading gives no evidence.
    pub fn evidence(&self, world: &World) -> Vec<Evidence> {
        world
            .sensors
            .iter()
            .zip(&self.looks)
            .zip(world.samples())
            .filter_map(|((sensor, look), sample)| {
                let (ability, weights) = match look {
                    Look::Failed => return None,
                    Look::Shielded => (Ability::Shielded, Weights::ZERO),
                    Look::Seen(score) => (Ability::Clear, Weights(sensor.d_prime.map(|d| weight(d, *score)))),
                };
                let device = DeviceId::new(sensor.modality.as_str()).ok();
                let readings = device.map(|device| ReadingRange {
                    device,
                    boot: 1,
                    first: 1,
                    last: 1,
                });
                Some(Evidence {
                    modality: sensor.modality,
                    readings: readings.filter(|_| sensor.modality != portcullis_domain::evidence::Modality::Manifest),
                    // There is no reading behind a drawn score.
                    digest: Digest([0; 32]),
                    interpreter: "world/1".to_owned(),
                    captured_at: self.at(),
                    findings: Vec::new(),
                    steps: vec![Step {
                        sample,
                        ability,
                        weights,
                    }],
                })
            })
            .collect()
    }
}

fn weight(d_prime: f64, score: f64) -> i32 {
    let nats = d_prime * score - d_prime * d_prime / 2.0;
    let limit = f64::from(WEIGHT_LIMIT);
    (nats * MILLI_DECIBANS_PER_NAT).floor().clamp(-limit, limit) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_the_log_likelihood_ratio_in_milli_decibans_rounded_down() {
        // ln LR = 2 * 1.5 - 2 = 1 nat = 4.3429 decibans.
        assert_eq!(weight(2.0, 1.5), 4_342);
        assert_eq!(weight(2.0, 0.5), -4_343);
        assert_eq!(weight(0.0, 3.0), 0);
        assert_eq!(weight(9.0, 30.0), WEIGHT_LIMIT);
    }
}

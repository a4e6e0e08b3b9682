//! Drawing containers: as they come, or with the rare ones over-sampled and weighted back.

use portcullis_domain::evidence::ThreatFamily;

use super::{ByFamily, Container, World, of};
use crate::noise::Noise;

/// Streams of a seed from here on draw what comes in natural order; below it, stratified samples.
const NATURAL: u64 = 1 << 40;

/// A container with how many containers of the world it stands for, relative to the others of its sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// The container.
    pub container: Container,
    /// Its weight; the mean over a sample is 1.
    pub weight: f64,
}

/// How a sample of a world is divided: half innocent, a quarter threats as they occur, a quarter threats evenly over the
/// families, so that the rare ones can be judged too. Weights make up for it.
#[derive(Debug, Clone)]
pub struct Stratified<'a> {
    world: &'a World,
    seed: u64,
    hours: f64,
    innocent: u64,
    threats: [u64; 6],
    containers: u64,
}

impl<'a> Stratified<'a> {
    /// A sample of so many containers, over the first `hours` hours after calibration.
    pub fn new(world: &'a World, containers: u64, hours: f64, seed: u64) -> Self {
        let all = world.threats();
        let present = world.threat_share.iter().filter(|share| **share > 0.0).count().max(1) as f64;
        let quarter = containers as f64 / 4.0;
        let threats = world.threat_share.map(|share| {
            if share > 0.0 {
                (quarter * (share / all + 1.0 / present)).floor() as u64
            } else {
                0
            }
        });
        Self {
            world,
            seed,
            hours,
            innocent: containers - threats.iter().sum::<u64>().min(containers),
            threats,
            containers,
        }
    }

    /// How many containers it has.
    pub fn len(&self) -> u64 {
        self.containers
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.containers == 0
    }

    /// The container at a position; the same for the same seed, in whatever order they are asked for.
    pub fn get(&self, index: u64) -> Drawn {
        let (content, weight) = self.stratum(index);
        let mut noise = Noise::new(self.seed, index);
        let hours = noise.unit() * self.hours;
        Drawn {
            container: self.world.look_at(content, hours, &mut noise),
            weight,
        }
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Drawn> + '_ {
        (0..self.containers).map(|index| self.get(index))
    }

    fn stratum(&self, index: u64) -> (Option<ThreatFamily>, f64) {
        let total = self.containers as f64;
        let mut left = index;
        for family in ThreatFamily::ALL {
            let count = self.threats.get(family.index()).copied().unwrap_or(0);
            if left < count {
                return (
                    Some(family),
                    of(&self.world.threat_share, family) * total / count as f64,
                );
            }
            left -= count;
        }
        (None, (1.0 - self.world.threats()) * total / self.innocent.max(1) as f64)
    }
}

impl World {
    /// Containers as they come, one after the other at the world's pace, without end.
    pub fn arrivals(&self, seed: u64) -> impl Iterator<Item = Container> + '_ {
        (0..).map(move |index: u64| {
            let mut noise = Noise::new(seed, NATURAL + index);
            let content = content(&self.threat_share, noise.unit());
            self.look_at(content, index as f64 / self.per_hour, &mut noise)
        })
    }
}

fn content(shares: &ByFamily, mut at: f64) -> Option<ThreatFamily> {
    ThreatFamily::ALL.into_iter().find(|family| {
        at -= of(shares, *family);
        at < 0.0
    })
}

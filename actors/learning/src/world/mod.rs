//! A world: a port whose statistics are known, so that a policy's claims can be held against the truth.
//!
//! What is inside a container is drawn first; then each sensor's score is normal with deviation 1, moved by its d' for
//! the family inside, and dependent on the other sensors' scores. The sensors turn their scores into evidence as each
//! would alone: dependence is the policy's problem, as it is in reality.

mod check;
mod container;
mod file;
mod sampling;

use std::path::Path;

use portcullis_domain::evidence::{Modality, ThreatFamily};
use portcullis_domain::id::SampleNo;

use crate::binormal::Correlation;

pub use container::{Container, Look};
pub use sampling::{Drawn, Stratified};

/// One value for each family, in the order of [`ThreatFamily::ALL`].
pub type ByFamily = [f64; 6];

/// One source of knowledge.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensor {
    /// How it sees.
    pub modality: Modality,
    /// How far each family moves its score, in standard deviations.
    pub d_prime: ByFamily,
    /// Lane time of one look, seconds.
    pub seconds: f64,
    /// Share of containers that it cannot see, whatever is inside.
    pub shielded_share: f64,
    /// Share of containers of which it has no reading.
    pub failed_share: f64,
    /// How far its baseline, the mean of innocent containers, moves each hour, in standard deviations. All scores move
    /// with it.
    pub drift_per_hour: f64,
}

/// A port whose statistics are known.
#[derive(Debug, Clone, PartialEq)]
pub struct World {
    /// Its name.
    pub name: String,
    /// Share of all containers that hold each family; a container holds one at most.
    pub threat_share: ByFamily,
    /// Containers an hour.
    pub per_hour: f64,
    /// The sensors, in the order in which they look.
    pub sensors: Vec<Sensor>,
    /// How their scores depend on each other, given what is inside.
    pub dependence: Correlation,
    /// Share of threats that shield themselves from each sensor.
    pub shields: Vec<f64>,
}

/// Why a world was refused.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The file could not be read.
    #[error("{file}: cannot read it")]
    Read {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is no TOML, or has keys that are not known.
    #[error("{file}: {message}")]
    Shape {
        /// The file.
        file: String,
        /// Line, key and what is wrong, from the parser.
        message: String,
    },
    /// A value is out of range.
    #[error("{file}: {key}: {why}")]
    Value {
        /// The file.
        file: String,
        /// Path of the key, such as `sensor[2].d_prime.people`.
        key: String,
        /// What is wrong and what would be right.
        why: String,
    },
}

impl World {
    /// Reads and checks a world file.
    pub fn load(path: &Path) -> Result<Self, WorldError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| WorldError::Read {
            file: file.clone(),
            source,
        })?;
        Self::parse(&file, &text)
    }

    /// Checks the text of a world file; `file` is what errors call it.
    pub fn parse(file: &str, text: &str) -> Result<Self, WorldError> {
        let shape: file::File = toml::from_str(text).map_err(|error| WorldError::Shape {
            file: file.to_owned(),
            message: error.to_string(),
        })?;
        check::world(shape).map_err(|(key, why)| WorldError::Value {
            file: file.to_owned(),
            key,
            why,
        })
    }

    /// Share of all containers that hold any threat.
    pub fn threats(&self) -> f64 {
        self.threat_share.iter().sum()
    }

    /// The same world with sensors that are independent of each other: the one that a plain sum believes in.
    pub fn independent(&self) -> Self {
        let size = self.sensors.len();
        Self {
            // The identity is positive definite; were it refused, the world as it is would be the answer nearest to it.
            dependence: Correlation::uniform(size, 0.0).unwrap_or_else(|_| self.dependence.clone()),
            ..self.clone()
        }
    }

    /// The same world before anything changed, which a policy is learned in: nothing drifts, and nobody hides yet from what
    /// the policy asks for.
    pub fn unchanged(&self) -> Self {
        let mut still = self.clone();
        still.shields.fill(0.0);
        for sensor in &mut still.sensors {
            sensor.drift_per_hour = 0.0;
        }
        still
    }

    /// After which sample of a pass each sensor has looked: one sample a look, in order; what takes no time (the
    /// manifest) is known before the pass.
    pub fn samples(&self) -> Vec<SampleNo> {
        let mut next = 0;
        self.sensors
            .iter()
            .map(|sensor| {
                if sensor.seconds > 0.0 {
                    next += 1;
                    SampleNo(next)
                } else {
                    SampleNo(0)
                }
            })
            .collect()
    }

    /// Lane time up to and including a sample, minutes.
    pub fn minutes(&self, through: SampleNo) -> f64 {
        let seconds: f64 = self
            .sensors
            .iter()
            .zip(self.samples())
            .filter(|(_, sample)| *sample <= through)
            .map(|(sensor, _)| sensor.seconds)
            .sum();
        seconds / 60.0
    }

    /// The last sample of a whole pass.
    pub fn last_sample(&self) -> SampleNo {
        self.samples().into_iter().max().unwrap_or(SampleNo(0))
    }
}

/// Value of a family.
pub(crate) fn of(values: &ByFamily, family: ThreatFamily) -> f64 {
    values.get(family.index()).copied().unwrap_or(0.0)
}

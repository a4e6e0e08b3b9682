//! The devices of a lane: how they respond to what is really there.
//!
//! These models are the simulator's own. They share nothing with the interpreters but the types of readings.

mod axles;
mod magnetometer;
mod nqr;
mod radiation;
mod radiography;
mod recognition;
mod scintillator;
mod seal;
mod trace;
mod weighing;

pub use nqr::{Access, CARRIERS};
pub use radiation::{BACKGROUND_GAMMA_CPS, BACKGROUND_NEUTRON_CPS, GAMMA_DETECTORS, NEUTRON_DETECTORS, Portal};

use portcullis_domain::id::SampleNo;
use portcullis_domain::reading::{
    ImageStrip, IonMobility, MagneticProfile, NqrWaveform, RadiationSample, Recognition, SwabPurpose, Weighing,
};

use crate::plan::Visit;

/// All devices of any lane of one port. Every lane has the same ones, so a lane has no name here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sensors {
    seed: u64,
    portal: Portal,
}

impl Sensors {
    /// The devices of the port with this seed; the radiation portals count only.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            portal: Portal::Counting,
        }
    }

    /// The same with other radiation portals.
    #[must_use]
    pub fn with_portal(self, portal: Portal) -> Self {
        Self { portal, ..self }
    }

    /// Five minutes of the empty portal: the same whatever lane or time.
    pub fn background(&self) -> RadiationSample {
        radiation::background(self.seed, self.portal)
    }

    /// Number of samples of a pass.
    pub fn pass_samples(&self, visit: &Visit) -> u32 {
        visit.truck.pass_samples
    }

    /// One second of the portal with the vehicle in it. None for sample 0 and beyond the last sample of the pass.
    pub fn radiation(&self, visit: &Visit, sample: SampleNo) -> Option<RadiationSample> {
        (1..=visit.truck.pass_samples)
            .contains(&sample.0)
            .then(|| radiation::sample(self.seed, visit, sample, self.portal))
    }

    /// The columns of the X-ray image that pass the beam in one second. None while no part of the box, or of the air around
    /// it, is before the beam.
    pub fn radiography(&self, visit: &Visit, sample: SampleNo) -> Option<ImageStrip> {
        (1..=visit.truck.pass_samples)
            .contains(&sample.0)
            .then(|| radiography::strip(self.seed, visit, sample))
            .flatten()
    }

    /// The weighing in motion.
    pub fn weighing(&self, visit: &Visit) -> Weighing {
        weighing::weigh(self.seed, visit)
    }

    /// A swab of the container: positive ions as sample 1, negative ones as sample 2, none else.
    pub fn trace(&self, visit: &Visit, sample: SampleNo) -> Option<IonMobility> {
        trace::analysis(self.seed, visit, sample, SwabPurpose::Sample)
    }

    /// The blank that was analysed before the swab of the same number.
    pub fn trace_blank(&self, visit: &Visit, sample: SampleNo) -> Option<IonMobility> {
        trace::analysis(self.seed, visit, sample, SwabPurpose::Blank)
    }

    /// What the camera made of the painted number and of the seal.
    pub fn recognition(&self, visit: &Visit) -> Recognition {
        recognition::recognise(self.seed, visit)
    }

    /// One excitation of the resonance station, each sample from 1 to [`CARRIERS`] with its own carrier. None for others.
    pub fn nqr(&self, visit: &Visit, access: Access, sample: SampleNo) -> Option<NqrWaveform> {
        nqr::excite(self.seed, visit, access, sample)
    }

    /// The magnetic field beside the lane while the box passes.
    pub fn magnetic_profile(&self, visit: &Visit) -> MagneticProfile {
        magnetometer::pass(self.seed, visit)
    }
}

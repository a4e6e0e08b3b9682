//! What one device sends during a pass.

use portcullis_domain::evidence::Modality;
use portcullis_domain::id::SampleNo;
use portcullis_domain::manifest::GoodsItem;
use portcullis_domain::reading::ReadingContent;

use crate::plan::Visit;
use crate::sensors::{Access, CARRIERS, Portal, Sensors};
use crate::truck::SAMPLE_PERIOD_MS;

/// Which devices the lanes of a simulated port have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outfit {
    /// What every container has to pass: a radiation portal that counts, a weighbridge, a camera. Cheap to simulate.
    #[default]
    Basic,
    /// Every kind of detector, and a portal that tells energies. A pass makes about two megabytes of readings.
    Full,
}

impl Outfit {
    /// The modalities that have a device, in the order of [`Modality::ALL`].
    pub fn modalities(self) -> &'static [Modality] {
        match self {
            Self::Basic => &[Modality::Radiation, Modality::Weighbridge, Modality::Ocr],
            Self::Full => &[
                Modality::Radiography,
                Modality::Radiation,
                Modality::Magnetometer,
                Modality::Nqr,
                Modality::Trace,
                Modality::Weighbridge,
                Modality::Ocr,
            ],
        }
    }

    fn portal(self) -> Portal {
        match self {
            Self::Basic => Portal::Counting,
            Self::Full => Portal::Spectroscopic,
        }
    }
}

/// The readings of the devices of a lane, in the order in which they are captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadingSource {
    sensors: Sensors,
}

impl ReadingSource {
    /// The devices of the port with this seed and outfit.
    pub fn new(seed: u64, outfit: Outfit) -> Self {
        Self {
            sensors: Sensors::new(seed).with_portal(outfit.portal()),
        }
    }

    /// The response models behind it.
    pub fn sensors(&self) -> Sensors {
        self.sensors
    }

    /// Everything that the device of a modality reads in a pass of this container, whether the outfit has the device or
    /// not. Readings are made one by one as they are asked for.
    /// - radiation: a background as sample 0 and then samples 1, 2, ...
    /// - radiography: columns while the box is before the beam
    /// - magnetometer: the whole profile, at the last sample
    /// - NQR: one excitation for each carrier, at samples 1, 2, ...
    /// - trace: two blanks as sample 0 and two swabs
    /// - weighbridge and camera: one reading each, at sample 1
    pub fn readings<'a>(
        &self,
        modality: Modality,
        visit: &'a Visit,
    ) -> impl Iterator<Item = (SampleNo, ReadingContent)> + use<'a> {
        let sensors = self.sensors;
        let last = sensors.pass_samples(visit);
        let samples = match modality {
            Modality::Radiation => 0..last + 1,
            Modality::Weighbridge | Modality::Ocr => 1..2,
            Modality::Radiography => 1..last + 1,
            Modality::Magnetometer => last..last + 1,
            Modality::Nqr => 1..CARRIERS + 1,
            Modality::Trace => 0..4,
            Modality::Manifest => 0..0,
        };
        samples.filter_map(move |number| {
            let sample = match modality {
                // 0, 0, 1, 2.
                Modality::Trace => SampleNo(number.saturating_sub(1)),
                _ => SampleNo(number),
            };
            let content = match modality {
                Modality::Radiation if number == 0 => ReadingContent::RadiationBackground(sensors.background()),
                Modality::Radiation => ReadingContent::Radiation(sensors.radiation(visit, sample)?),
                Modality::Weighbridge => ReadingContent::Weighing(sensors.weighing(visit)),
                Modality::Ocr => ReadingContent::Recognition(sensors.recognition(visit)),
                Modality::Radiography => ReadingContent::ImageStrip(sensors.radiography(visit, sample)?),
                Modality::Magnetometer => ReadingContent::MagneticProfile(sensors.magnetic_profile(visit)),
                Modality::Nqr => ReadingContent::Nqr(sensors.nqr(visit, access(visit), sample)?),
                // Numbers 0 and 1 are the blanks of samples 1 and 2; both come before the pass.
                Modality::Trace if number < 2 => {
                    ReadingContent::IonMobility(sensors.trace_blank(visit, SampleNo(number + 1))?)
                }
                Modality::Trace => ReadingContent::IonMobility(sensors.trace(visit, sample)?),
                Modality::Manifest => return None,
            };
            Some((sample, content))
        })
    }

    /// When a sample is complete, milliseconds of the port's clock after the start of the pass; 0 for a background.
    pub fn captured_after_ms(sample: SampleNo) -> u64 {
        u64::from(sample.0) * SAMPLE_PERIOD_MS
    }
}

/// Dangerous goods stand with open doors before the coil, where their stowage is looked at anyway. All other boxes stay
/// shut, and steel lets no radio wave through.
fn access(visit: &Visit) -> Access {
    let dangerous = |item: &GoodsItem| item.dangerous_goods.is_some();
    if visit.announcement.manifest.goods.iter().any(dangerous) {
        Access::DoorsOpen
    } else {
        Access::Shut
    }
}

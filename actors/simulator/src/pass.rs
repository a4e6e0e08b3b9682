//! What one device sends during a pass.

use portcullis_domain::evidence::Modality;
use portcullis_domain::id::SampleNo;
use portcullis_domain::reading::ReadingContent;

use crate::plan::Visit;
use crate::sensors::Sensors;
use crate::truck::SAMPLE_PERIOD_MS;

/// The readings of the devices of a lane, in the order in which they are captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadingSource {
    sensors: Sensors,
}

impl ReadingSource {
    /// The modalities that have devices in a simulated port.
    pub const MODALITIES: [Modality; 3] = [Modality::Radiation, Modality::Weighbridge, Modality::Ocr];

    /// The devices of the port with this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            sensors: Sensors::new(seed),
        }
    }

    /// The response models behind it.
    pub fn sensors(&self) -> Sensors {
        self.sensors
    }

    /// Everything that the device of a modality reads in a pass of this container: the portal a background as sample 0
    /// and then samples 1, 2, ...; weighbridge and camera one reading each, at sample 1. Nothing for a modality without
    /// a device. Readings are made one by one as they are asked for.
    pub fn readings<'a>(
        &self,
        modality: Modality,
        visit: &'a Visit,
    ) -> impl Iterator<Item = (SampleNo, ReadingContent)> + use<'a> {
        let sensors = self.sensors;
        let samples = match modality {
            Modality::Radiation => 0..sensors.pass_samples(visit) + 1,
            Modality::Weighbridge | Modality::Ocr => 1..2,
            _ => 0..0,
        };
        samples.filter_map(move |number| {
            let sample = SampleNo(number);
            let content = match modality {
                Modality::Radiation if number == 0 => ReadingContent::RadiationBackground(sensors.background()),
                Modality::Radiation => ReadingContent::Radiation(sensors.radiation(visit, sample)?),
                Modality::Weighbridge => ReadingContent::Weighing(sensors.weighing(visit)),
                Modality::Ocr => ReadingContent::Recognition(sensors.recognition(visit)),
                _ => return None,
            };
            Some((sample, content))
        })
    }

    /// When a sample is complete, milliseconds of the port's clock after the start of the pass; 0 for a background.
    pub fn captured_after_ms(sample: SampleNo) -> u64 {
        u64::from(sample.0) * SAMPLE_PERIOD_MS
    }
}

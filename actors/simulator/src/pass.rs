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
    /// and then samples 1, 2, ...; weighbridge and camera one reading each, at sample 1. The X-ray portal sends columns while
    /// the box is before its beam, the trace detector two blanks as sample 0 and two swabs; no lane has these two yet, so
    /// they are not in [`ReadingSource::MODALITIES`]. Nothing for any other modality. Readings are made one by one as they
    /// are asked for.
    pub fn readings<'a>(
        &self,
        modality: Modality,
        visit: &'a Visit,
    ) -> impl Iterator<Item = (SampleNo, ReadingContent)> + use<'a> {
        let sensors = self.sensors;
        let samples = match modality {
            Modality::Radiation => 0..sensors.pass_samples(visit) + 1,
            Modality::Weighbridge | Modality::Ocr => 1..2,
            Modality::Radiography => 1..sensors.pass_samples(visit) + 1,
            Modality::Trace => 0..4,
            _ => 0..0,
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
                // Numbers 0 and 1 are the blanks of samples 1 and 2; both come before the pass.
                Modality::Trace if number < 2 => {
                    ReadingContent::IonMobility(sensors.trace_blank(visit, SampleNo(number + 1))?)
                }
                Modality::Trace => ReadingContent::IonMobility(sensors.trace(visit, sample)?),
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

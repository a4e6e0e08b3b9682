//! Readings: raw measurements as devices capture them, before anybody interprets them.
//!
//! Readings are not replicated state; they are kept by digest and become evidence, where floats end. So calibration
//! coefficients may be floats here.

mod image;
mod trace;

use crate::codec::canonical;
use crate::equipment::EquipmentId;
use crate::evidence::Modality;
use crate::finding::Finding;
use crate::id::{DeviceId, Digest, InspectionNo, SampleNo, Timestamp};

pub use image::{
    AbilityAssessment, AlarmDecision, BoundingBox, EnergyImage, ImageStrip, References, RowRange, STRIP_ENERGIES_MAX,
    STRIP_ROWS_MAX, STRIP_SAMPLES_MAX, THREAT_OBJECTS_MAX, TRANSMISSION_FULL, ThreatCategory, ThreatFlag, ThreatObject,
    ThreatReport,
};
pub use trace::{
    Calibrant, DRIFT_POINTS_MAX, DriftSpectrum, IonMobility, Polarity, SwabPurpose, TRACE_ALARMS_MAX, TraceAlarm,
};

/// What is hashed in front of a reading's body before signing, so that a signature means nothing elsewhere.
pub const SIGNING_CONTEXT: &[u8] = b"portcullis.reading.v1\0";

/// A reading as a device signed it. What one sensor read in one pass is kept together, as the canonical bytes of a list of
/// these, under the SHA-256 of the bytes, which the evidence names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedReading {
    /// The serialised reading: what is signed.
    pub body: Vec<u8>,
    /// Ed25519 over [`SignedReading::digest`].
    pub signature: Vec<u8>,
}

canonical!(struct SignedReading { body, signature });

impl SignedReading {
    /// SHA-256 of the signing context and the body: what is signed.
    pub fn digest(&self) -> Digest {
        let mut bytes = SIGNING_CONTEXT.to_vec();
        bytes.extend_from_slice(&self.body);
        Digest::of(&bytes)
    }
}

/// A reading, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Who, when, about what.
    pub header: ReadingHeader,
    /// What was measured.
    pub content: ReadingContent,
}

/// What stands in front of every reading's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadingHeader {
    /// The device.
    pub device: DeviceId,
    /// Grows with each start of the device.
    pub boot: u64,
    /// Grows by one with each reading since then, from 1.
    pub sequence: u64,
    /// When it was captured, on the port's clock.
    pub captured_at: Timestamp,
    /// The inspection that it is about; none for a background.
    pub inspection: Option<InspectionNo>,
    /// The container, as the device was told.
    pub equipment: Option<EquipmentId>,
    /// Which sample of the pass, from 1; 0 for backgrounds and documents.
    pub sample: SampleNo,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadingContent {
    /// Counts of a radiation portal with a vehicle in it.
    Radiation(RadiationSample),
    /// Counts of a radiation portal with nothing in it.
    RadiationBackground(RadiationSample),
    /// A weighing.
    Weighing(Weighing),
    /// Reading of a container number.
    Recognition(Recognition),
    /// The samples that follow were read from this document; what was odd about it.
    SourceDocument(SourceDocument),
    /// Echoes of one excitation of nuclear quadrupole resonance.
    Nqr(NqrWaveform),
    /// The magnetic field beside a passing container.
    MagneticProfile(MagneticProfile),
    /// Columns of a transmission image.
    ImageStrip(ImageStrip),
    /// What a vendor's recognition found in the image.
    ThreatReport(ThreatReport),
    /// An analysis of a swab.
    IonMobility(IonMobility),
}

impl ReadingContent {
    /// The modality that the content belongs to; none for a document, which belongs to its device's.
    pub fn modality(&self) -> Option<Modality> {
        match self {
            Self::Radiation(_) | Self::RadiationBackground(_) => Some(Modality::Radiation),
            Self::Weighing(_) => Some(Modality::Weighbridge),
            Self::Recognition(_) => Some(Modality::Ocr),
            Self::Nqr(_) => Some(Modality::Nqr),
            Self::MagneticProfile(_) => Some(Modality::Magnetometer),
            Self::SourceDocument(_) => None,
            Self::ImageStrip(_) | Self::ThreatReport(_) => Some(Modality::Radiography),
            Self::IonMobility(_) => Some(Modality::Trace),
        }
    }

    /// Whether it belongs in front of a pass: a background, a blank, a document.
    pub fn precedes_pass(&self) -> bool {
        match self {
            Self::RadiationBackground(_) | Self::SourceDocument(_) => true,
            Self::IonMobility(analysis) => analysis.purpose == SwabPurpose::Blank,
            Self::Radiation(_)
            | Self::Weighing(_)
            | Self::Recognition(_)
            | Self::Nqr(_)
            | Self::MagneticProfile(_)
            | Self::ImageStrip(_)
            | Self::ThreatReport(_) => false,
        }
    }
}

/// One time slice of a radiation portal.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RadiationSample {
    /// Length of the slice, microseconds.
    pub real_time_us: u64,
    /// What each detector counted.
    pub detectors: Vec<DetectorCounts>,
}

/// What a detector counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RadiationKind {
    /// Gamma rays.
    Gamma,
    /// Neutrons.
    Neutron,
}

/// Counts of one detector in one slice.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectorCounts {
    /// Its name.
    pub name: String,
    /// What it counts.
    pub kind: RadiationKind,
    /// Time it was able to count, microseconds.
    pub live_time_us: u64,
    /// Counts in the slice.
    pub counts: u64,
    /// By energy, where the detector resolves it.
    pub spectrum: Option<Spectrum>,
}

/// Counts by energy channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Spectrum {
    /// Energy of the lower edge of channel i is the polynomial in i with these coefficients, keV.
    pub calibration_kev: Vec<f64>,
    /// Counts of each channel.
    pub counts: Vec<u32>,
}

/// One weighing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighing {
    /// Everything on the scale, kilograms.
    pub gross_mass_kg: i64,
    /// Tractor, chassis and fuel, kilograms, if known.
    pub vehicle_mass_kg: Option<i64>,
    /// The scale's own standard uncertainty, kilograms, if it states one.
    pub sigma_kg: Option<u32>,
    /// Speed over the scale, millimetres per second; 0 is standing.
    pub speed_mm_s: u32,
    /// Mass by axle, kilograms.
    pub axles_kg: Vec<u32>,
}

/// What a camera made of the container number, and of the seal on its doors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recognition {
    /// Best first; empty if nothing could be read. Alternatives of one look: at most one of them is right.
    pub candidates: Vec<Candidate>,
    /// What was seen of the seal; none if the camera does not look at the doors, or could not see them.
    pub seal: Option<SealReading>,
}

/// One reading of a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// As read; `?` for a character that could not be read.
    pub text: String,
    /// How sure, thousandths.
    pub confidence_permille: u32,
}

/// What a camera made of the seal on the doors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealReading {
    /// In what state it is.
    pub state: SealState,
    /// Its number, best first; empty if it could not be read.
    pub candidates: Vec<Candidate>,
}

/// In what state a seal was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SealState {
    /// It is there and closed.
    Intact,
    /// It is there and broken or open.
    Broken,
    /// The doors were seen and there is no seal on them.
    Absent,
}

/// A document that samples were read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceDocument {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its format, such as `n42-2006`.
    pub format: String,
    /// What was odd about it.
    pub findings: Vec<Finding>,
}

/// The most complex samples of one resonance reading, echoes and reference together.
pub const NQR_SAMPLES_MAX: usize = 65_536;
/// The most field values of one magnetic profile, all sensors together.
pub const MAGNETIC_VALUES_MAX: usize = 65_536;
/// The most sensors of one magnetic profile.
pub const MAGNETIC_SENSORS_MAX: usize = 32;

/// What a receiver of nuclear quadrupole resonance took down after one excitation at one carrier: the train of echoes
/// between the pulses of a spin-locking sequence.
///
/// The receiver mixes with the carrier, so that a line at the carrier stands still. Echo `k` was sampled in the window
/// after pulse `k`; windows follow each other in `echo_train`, all of the same length. The echo is expected half the
/// spacing after its pulse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NqrWaveform {
    /// The carrier, hertz.
    pub carrier_hz: u32,
    /// Complex samples a second.
    pub sample_rate_hz: u32,
    /// What one count is at the input of the receiver, femtovolts.
    pub femtovolts_per_count: u32,
    /// Number of echoes.
    pub echoes: u32,
    /// From one pulse to the next, middle to middle, microseconds.
    pub echo_spacing_us: u32,
    /// From the middle of a pulse to the first sample of its window, microseconds.
    pub window_start_us: u32,
    /// Temperature of the goods, millikelvin, if it was measured.
    pub goods_temperature_mk: Option<u32>,
    /// Quality factor of the coil around these goods.
    pub quality_factor: u32,
    /// Quality factor of the empty coil.
    pub quality_factor_empty: u32,
    /// Calibration: amplitude of the first echo at the input of the receiver for one mole of nuclei of one site, at the
    /// place where the empty coil sees worst, picovolts.
    pub picovolts_per_mole: u32,
    /// The echoes, one window after the other.
    pub echo_train: Vec<Iq>,
    /// What the receiver took down before the first pulse, at the same rate: noise and interference, no signal. May be
    /// empty.
    pub reference: Vec<Iq>,
}

/// One complex sample: in phase and in quadrature with the carrier, counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Iq {
    /// In phase.
    pub i: i32,
    /// In quadrature.
    pub q: i32,
}

/// The magnetic field at an array of total-field magnetometers beside the lane while a container passed.
///
/// Coordinates are those of the lane: x along it in the direction of travel, y to the left of its middle, z up from the
/// road; millimetres.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MagneticProfile {
    /// The field of the Earth here, by axis, picotesla. The sensors measure what is added along it.
    pub earth_pt: [i32; 3],
    /// Length of the container, millimetres.
    pub box_length_mm: u32,
    /// x of the container's front end at each sample, millimetres, never going back.
    pub positions_mm: Vec<i32>,
    /// The sensors.
    pub sensors: Vec<MagneticSensor>,
}

/// One magnetometer of an array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MagneticSensor {
    /// Along the lane, millimetres.
    pub x_mm: i32,
    /// Across it, millimetres.
    pub y_mm: i32,
    /// Above the road, millimetres.
    pub z_mm: i32,
    /// Its own noise in one sample, root mean square, picotesla.
    pub noise_pt: u32,
    /// Magnitude of the field at each sample, picotesla.
    pub field_pt: Vec<i64>,
}

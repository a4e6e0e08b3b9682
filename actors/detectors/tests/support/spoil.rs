//! Makes hostile readings out of sound ones: one value on a random way through the reading is set to an extreme.

use portcullis_domain::reading::{
    AbilityAssessment, AlarmDecision, BoundingBox, Calibrant, Candidate, DetectorCounts, DriftSpectrum, EnergyImage,
    ImageStrip, IonMobility, Iq, MagneticProfile, MagneticSensor, NqrWaveform, Polarity, RadiationKind,
    RadiationSample, Recognition, References, RowRange, SealReading, SealState, Spectrum, SwabPurpose, ThreatCategory,
    ThreatFlag, ThreatObject, ThreatReport, TraceAlarm, Weighing,
};

use crate::noise::Noise;

/// A list that is doubled again and again stays below this.
const ELEMENTS_MAX: usize = 70_000;

/// Something a hostile device can set.
pub trait Spoil {
    /// Sets one value in it to something extreme.
    fn spoil(&mut self, noise: &mut Noise);
}

macro_rules! spoil_integers {
    ($($type:ty),*) => {$(
        impl Spoil for $type {
            fn spoil(&mut self, noise: &mut Noise) {
                *self = match noise.below(9) {
                    0 => 0,
                    1 => 1,
                    2 => <$type>::MAX,
                    3 => <$type>::MIN,
                    4 => self.wrapping_add(1),
                    5 => self.wrapping_sub(1),
                    6 => self.wrapping_mul(2),
                    7 => *self ^ (1 << noise.below(<$type>::BITS as usize)),
                    _ => noise.bits() as $type,
                };
            }
        }
    )*};
}

spoil_integers!(u16, u32, u64, i32, i64);

impl Spoil for f64 {
    fn spoil(&mut self, noise: &mut Noise) {
        *self = match noise.below(12) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => f64::NEG_INFINITY,
            3 => 0.0,
            4 => -0.0,
            5 => f64::MIN_POSITIVE,
            6 => 1e308,
            7 => -1e308,
            8 => -*self,
            9 => *self * (1.0 + 1e-12),
            10 => *self * 1e3,
            _ => f64::from_bits(noise.bits()),
        };
    }
}

impl Spoil for String {
    fn spoil(&mut self, noise: &mut Noise) {
        match noise.below(5) {
            0 => self.clear(),
            1 => *self = "\u{1f4a3}\u{0}\u{202e}".to_owned(),
            2 => *self = "ä".repeat(5_000),
            3 => *self = "????U??????".to_owned(),
            _ => self.push('\u{301}'),
        }
    }
}

impl<T: Spoil> Spoil for Option<T> {
    fn spoil(&mut self, noise: &mut Noise) {
        match self {
            Some(value) if noise.below(4) > 0 => value.spoil(noise),
            _ => *self = None,
        }
    }
}

impl<T: Spoil, const N: usize> Spoil for [T; N] {
    fn spoil(&mut self, noise: &mut Noise) {
        let at = noise.below(N);
        self[at].spoil(noise);
    }
}

impl<T: Spoil + Clone> Spoil for Vec<T> {
    fn spoil(&mut self, noise: &mut Noise) {
        let length = self.len();
        match noise.below(10) {
            _ if length == 0 => {}
            0 => self.clear(),
            1 => self.truncate(noise.below(length)),
            2 => _ = self.pop(),
            3 => {
                let one = self[noise.below(length)].clone();
                self.insert(noise.below(length), one);
            }
            4 if 2 * length <= ELEMENTS_MAX => self.extend_from_within(..),
            5 => self.reverse(),
            6 => {
                // The same value everywhere from somewhere on.
                let mut one = self[noise.below(length)].clone();
                one.spoil(noise);
                let from = noise.below(length);
                self[from..].fill(one);
            }
            _ => self[noise.below(length)].spoil(noise),
        }
    }
}

macro_rules! spoil_fields {
    ($($type:ty { $($field:ident),* })*) => {$(
        impl Spoil for $type {
            fn spoil(&mut self, noise: &mut Noise) {
                let mut fields: Vec<&mut dyn Spoil> = vec![$(&mut self.$field),*];
                let at = noise.below(fields.len());
                fields[at].spoil(noise);
            }
        }
    )*};
}

spoil_fields! {
    RadiationSample { real_time_us, detectors }
    DetectorCounts { name, kind, live_time_us, counts, spectrum }
    Spectrum { calibration_kev, counts }
    Weighing { gross_mass_kg, vehicle_mass_kg, sigma_kg, speed_mm_s, axles_kg }
    Recognition { candidates, seal }
    SealReading { state, candidates }
    Candidate { text, confidence_permille }
    NqrWaveform {
        carrier_hz, sample_rate_hz, femtovolts_per_count, echoes, echo_spacing_us, window_start_us, goods_temperature_mk,
        quality_factor, quality_factor_empty, picovolts_per_mole, echo_train, reference
    }
    Iq { i, q }
    MagneticProfile { earth_pt, box_length_mm, positions_mm, sensors }
    MagneticSensor { x_mm, y_mm, z_mm, noise_pt, field_pt }
    ImageStrip { first_column, columns_planned, width, height, column_um, row_um, container_rows, energies }
    RowRange { first, end }
    EnergyImage { endpoint_kev, references, pixels }
    References { dark, air }
    ThreatReport { maker, algorithm, version, decision, abort, test_prevalence_ppm, objects }
    ThreatObject { flag, category, ability, probability_ppm, bounds }
    BoundingBox { column, row, width, height }
    IonMobility { swab, purpose, polarity, spectrum, alarms }
    DriftSpectrum { start_ns, step_ns, intensities, full_scale, calibrant }
    Calibrant { name, reduced_mobility, expected_ns }
    TraceAlarm { substance, channel, true_alarm_ppm, false_alarm_ppm }
}

macro_rules! spoil_choices {
    ($($type:ident { $($choice:ident),* })*) => {$(
        impl Spoil for $type {
            fn spoil(&mut self, noise: &mut Noise) {
                let choices = [$($type::$choice),*];
                *self = choices[noise.below(choices.len())];
            }
        }
    )*};
}

spoil_choices! {
    RadiationKind { Gamma, Neutron }
    Polarity { Positive, Negative }
    SealState { Intact, Broken, Absent }
    SwabPurpose { Sample, Blank }
    AlarmDecision { Alarm, Clear, Unknown }
    ThreatFlag { HighThreat, Threat, NoThreat, Unknown }
    ThreatCategory { Explosive, ProhibitedItem, Contraband, Pharmaceutical, Person, Anomaly, Other }
    AbilityAssessment { NoInterference, Shield, Unknown }
}

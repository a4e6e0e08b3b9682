//! The trace detector: an ion mobility spectrometer that a swab of the container is put into, once for ions of each sign.
//!
//! Drift times come from field, length, temperature and pressure of the tube; peaks are as wide as gate and diffusion make
//! them (H. E. Revercomb and E. A. Mason, Anal. Chem. 47 (1975) 970) and have a tail.

use portcullis_domain::evidence::{Modality, ThreatFamily};
use portcullis_domain::id::SampleNo;
use portcullis_domain::reading::{Calibrant, DriftSpectrum, IonMobility, Polarity, SwabPurpose};

use crate::noise::Noise;
use crate::plan::Visit;

/// Drift length, centimetres, and voltage along it.
const LENGTH_CM: f64 = 7.0;
const VOLTS: f64 = 2_000.0;
/// What the instrument takes for granted when it says where its calibrant should be: kelvins and millibars.
const USUAL_K: f64 = 373.0;
const USUAL_MBAR: f64 = 1_013.0;
/// How long the gate is open, nanoseconds.
const GATE_NS: f64 = 180_000.0;
/// The tail of a peak, relative to its drift time.
const TAIL: f64 = 0.003;
const STEP_NS: u32 = 20_000;
const POINTS: u32 = 1_400;
const FULL_SCALE: u32 = 65_535;
/// Of a thousand containers with a threat, those with enough of it on the outside.
const LEAVES_TRACE_PERMILLE: u32 = 600;
/// Of ten thousand honest ones, those with a substance on them all the same.
const HANDLED_PER_10_000: u64 = 60;
/// Of a thousand swabs, those with something harmless that makes an ion.
const HARMLESS_PERMILLE: u32 = 150;
/// Of a thousand blanks, those of an instrument that was not clean.
const DIRTY_PERMILLE: u32 = 15;

/// Reduced mobilities as this instrument sees them, cm²/(V s), with how often each is what there is.
const NARCOTICS: [(f64, u32); 3] = [(1.160, 14), (1.041, 3), (1.635, 3)];
const EXPLOSIVES: [(f64, u32); 4] = [(1.450, 8), (1.390, 6), (1.151, 4), (1.339, 2)];

/// What an instrument looks for with ions of one sign.
struct Mode {
    family: ThreatFamily,
    substances: &'static [(f64, u32)],
    calibrant: (&'static str, f64),
    /// Reduced mobility of the ions that are always there.
    reactant: f64,
}

fn mode(polarity: Polarity) -> Mode {
    match polarity {
        Polarity::Positive => Mode {
            family: ThreatFamily::Narcotics,
            substances: &NARCOTICS,
            calibrant: ("nicotinamide", 1.860),
            reactant: 2.20,
        },
        Polarity::Negative => Mode {
            family: ThreatFamily::Explosives,
            substances: &EXPLOSIVES,
            calibrant: ("4-nitrobenzonitrile", 1.652),
            reactant: 2.70,
        },
    }
}

/// The sign of the ions of a sample: positive first.
fn polarity(sample: SampleNo) -> Option<Polarity> {
    match sample.0 {
        1 => Some(Polarity::Positive),
        2 => Some(Polarity::Negative),
        _ => None,
    }
}

pub(super) fn analysis(seed: u64, visit: &Visit, sample: SampleNo, purpose: SwabPurpose) -> Option<IonMobility> {
    let polarity = polarity(sample)?;
    let mode = mode(polarity);
    // What is on the swab and in the instrument belongs to the pass; blank and swab share the second.
    let mut of_pass = Noise::of_pass(seed, &visit.equipment, Modality::Trace);
    let weather = (of_pass.range(0.97, 1.03), of_pass.range(0.995, 1.005));
    let mut peaks = Vec::new();
    for each in [Polarity::Positive, Polarity::Negative] {
        let carried = of_pass
            .chance(DIRTY_PERMILLE)
            .then(|| substance(&mut of_pass, &self::mode(each)));
        let left = left_on_swab(&mut of_pass, visit, &self::mode(each));
        if each == polarity {
            peaks.extend(carried);
            peaks.extend(left.into_iter().filter(|_| purpose == SwabPurpose::Sample));
        }
    }
    // A number of its own for each analysis of a pass.
    let number = SampleNo(sample.0 * 2 + u32::from(purpose == SwabPurpose::Blank));
    let mut noise = Noise::of_reading(seed, &visit.equipment, Modality::Trace, number);
    let all: f64 = peaks.iter().map(|(_, height)| height).sum();
    // Charge that the substances take is missing in the reactant ions.
    peaks.push((mode.reactant, 9_000.0 / (1.0 + all / 9_000.0)));
    peaks.push((mode.calibrant.1, noise.range(1_500.0, 3_000.0)));
    let tube = Tube {
        kelvins: USUAL_K * weather.1,
        millibars: USUAL_MBAR * weather.0,
    };
    let usual = Tube {
        kelvins: USUAL_K,
        millibars: USUAL_MBAR,
    };
    Some(IonMobility {
        swab: format!("swab-{}-{}", visit.index, number.0),
        purpose,
        polarity,
        spectrum: Some(DriftSpectrum {
            start_ns: 0,
            step_ns: STEP_NS,
            intensities: tube.spectrum(&mut noise, &peaks),
            full_scale: Some(FULL_SCALE),
            calibrant: Some(Calibrant {
                name: mode.calibrant.0.to_owned(),
                reduced_mobility: libm::round(mode.calibrant.1 * 1e4) as u32,
                expected_ns: libm::round(usual.drift_ns(mode.calibrant.1)) as u64,
            }),
        }),
        alarms: Vec::new(),
    })
}

/// Mobility and height of a substance that the instrument looks for.
fn substance(noise: &mut Noise, mode: &Mode) -> (f64, f64) {
    let chosen = noise.pick(mode.substances, |substance| substance.1);
    (chosen.map_or(1.2, |substance| substance.0), noise.spread(80.0, 3_000.0))
}

/// What a swab picks up from the outside of the container. Draws the same number of values whatever is there.
fn left_on_swab(noise: &mut Noise, visit: &Visit, mode: &Mode) -> Vec<(f64, f64)> {
    let threat = visit.truth.families.contains(&mode.family);
    let left = noise.chance(LEAVES_TRACE_PERMILLE);
    let handled = noise.below(10_000) < HANDLED_PER_10_000;
    let found = substance(noise, mode);
    let harmless = noise.chance(HARMLESS_PERMILLE);
    let other = (noise.range(1.0, 1.55), noise.spread(80.0, 3_000.0));
    let mut peaks = Vec::new();
    if (threat && left) || handled {
        peaks.push(found);
    }
    if harmless {
        peaks.push(other);
    }
    peaks
}

/// A drift tube in its weather.
struct Tube {
    kelvins: f64,
    millibars: f64,
}

impl Tube {
    /// Drift time of an ion of this reduced mobility, nanoseconds.
    fn drift_ns(&self, reduced_mobility: f64) -> f64 {
        let mobility = reduced_mobility * (1_013.25 / self.millibars) * (self.kelvins / 273.15);
        LENGTH_CM * LENGTH_CM / (mobility * VOLTS) * 1e9
    }

    fn spectrum(&self, noise: &mut Noise, peaks: &[(f64, f64)]) -> Vec<u32> {
        /// Full width at half maximum of a normal peak over its standard deviation.
        const FWHM: f64 = 2.354_82;
        /// Boltzmann's constant over the charge of an electron, volts a kelvin.
        const VOLTS_PER_KELVIN: f64 = 8.617e-5;
        let spread = 16.0 * VOLTS_PER_KELVIN * self.kelvins * std::f64::consts::LN_2 / VOLTS;
        let shaped: Vec<[f64; 4]> = peaks
            .iter()
            .map(|(mobility, height)| {
                let drift = self.drift_ns(*mobility) * (1.0 + 3e-4 * noise.normal());
                let sigma = libm::sqrt(GATE_NS * GATE_NS + spread * drift * drift) / FWHM;
                [drift, sigma, TAIL * drift, *height]
            })
            .collect();
        let level = noise.range(60.0, 200.0);
        (0..POINTS)
            .map(|point| {
                let time = f64::from(point) * f64::from(STEP_NS);
                let ions: f64 = shaped
                    .iter()
                    .map(|[drift, sigma, tail, height]| height * tailed(time - drift, *sigma, *tail))
                    .sum();
                let current = level + 400.0 * libm::exp(-time / 3e6) + ions;
                u32::try_from(noise.poisson(current))
                    .unwrap_or(FULL_SCALE)
                    .min(FULL_SCALE)
            })
            .collect()
    }
}

/// A normal peak with an exponential tail, of height about 1.
fn tailed(off: f64, sigma: f64, tail: f64) -> f64 {
    if off < -8.0 * sigma || off > 8.0 * sigma + 30.0 * tail {
        return 0.0;
    }
    let ratio = sigma / tail;
    sigma / tail
        * libm::sqrt(std::f64::consts::FRAC_PI_2)
        * libm::exp(0.5 * ratio * ratio - off / tail)
        * libm::erfc((ratio - off / sigma) / std::f64::consts::SQRT_2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tailed_peak_is_about_one_high_and_leans_to_later_times() {
        let (sigma, tail) = (100.0, 40.0);
        let values: Vec<f64> = (-600..900).map(|off| tailed(f64::from(off), sigma, tail)).collect();
        let top = values.iter().copied().fold(0.0, f64::max);
        assert!((0.85..1.05).contains(&top), "{top}");
        let sum: f64 = values.iter().sum();
        let mean = values
            .iter()
            .zip(-600..900)
            .map(|(value, off)| value * f64::from(off))
            .sum::<f64>()
            / sum;
        assert!((mean - tail).abs() < 1.0, "{mean}");
    }
}

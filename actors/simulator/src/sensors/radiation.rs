//! The radiation portal: four gamma and two neutron detectors. Gamma detectors count only, or tell energies as well.

use portcullis_domain::evidence::Modality;
use portcullis_domain::id::SampleNo;
use portcullis_domain::reading::{DetectorCounts, RadiationKind, RadiationSample};

use super::scintillator::{Emitter, Scale, Shape, long_spectrum, spectrum};
use crate::noise::Noise;
use crate::plan::Visit;
use crate::truck::Truck;
use crate::truth::{Place, RadiationSource, Shielding};

/// What the gamma detectors of a portal tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Portal {
    /// Counts only, as plastic scintillators do.
    #[default]
    Counting,
    /// Counts by energy, as sodium iodide does.
    Spectroscopic,
}

/// Gamma counts a second of one detector in an empty portal, on average.
pub const BACKGROUND_GAMMA_CPS: f64 = 430.0;
/// Neutron counts a second of one detector in an empty portal, on average.
pub const BACKGROUND_NEUTRON_CPS: f64 = 2.0;

/// Names of the gamma detectors.
pub const GAMMA_DETECTORS: [&str; 4] = [
    "gamma-left-low",
    "gamma-left-high",
    "gamma-right-low",
    "gamma-right-high",
];
/// Names of the neutron detectors.
pub const NEUTRON_DETECTORS: [&str; 2] = ["neutron-left", "neutron-right"];

const BACKGROUND_US: u64 = 300_000_000;
const SAMPLE_US: u64 = 1_000_000;
/// How long a detector is blind after each count, seconds.
const GAMMA_DEAD_S: f64 = 4e-6;
const NEUTRON_DEAD_S: f64 = 20e-6;
/// Detectors see background from this far to each side, millimetres.
const APERTURE_MM: f64 = 2_000.0;
/// Distance between detectors and the middle of the vehicle, millimetres.
const STAND_OFF_MM: f64 = 2_400.0;
/// A vehicle shadows fewer neutrons than gamma rays.
const NEUTRON_SHADOW: f64 = 0.5;
/// How many of a thousand passes have something wrong with the portal.
const QUIRK_PERMILLE: u32 = 10;

/// Where a detector stands.
#[derive(Debug, Clone, Copy)]
struct Detector {
    name: &'static str,
    kind: RadiationKind,
    left: bool,
    /// Neutron detectors reach from low to high.
    low: Option<bool>,
}

const fn gamma(name: &'static str, left: bool, low: bool) -> Detector {
    Detector {
        name,
        kind: RadiationKind::Gamma,
        left,
        low: Some(low),
    }
}

const fn neutron(name: &'static str, left: bool) -> Detector {
    Detector {
        name,
        kind: RadiationKind::Neutron,
        left,
        low: None,
    }
}

const DETECTORS: [Detector; 6] = [
    gamma(GAMMA_DETECTORS[0], true, true),
    gamma(GAMMA_DETECTORS[1], true, false),
    gamma(GAMMA_DETECTORS[2], false, true),
    gamma(GAMMA_DETECTORS[3], false, false),
    neutron(NEUTRON_DETECTORS[0], true),
    neutron(NEUTRON_DETECTORS[1], false),
];

/// What can be wrong with the portal during a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quirk {
    /// One detector sends nothing.
    Silent(usize),
    /// The electronics report no live time.
    NoLiveTime,
    /// One detector counts half as much again in one sample: a spark, a bump.
    Burst(usize, u32),
}

fn quirk(seed: u64, visit: &Visit) -> Option<Quirk> {
    let mut noise = Noise::of_pass(seed, &visit.equipment, Modality::Radiation);
    noise.chance(QUIRK_PERMILLE).then(|| match noise.below(4) {
        0 | 1 => Quirk::Silent(noise.below(DETECTORS.len() as u64) as usize),
        2 => Quirk::NoLiveTime,
        _ => Quirk::Burst(
            noise.below(GAMMA_DETECTORS.len() as u64) as usize,
            noise.between(1, u64::from(visit.truck.pass_samples)) as u32,
        ),
    })
}

pub(super) fn background(seed: u64, portal: Portal) -> RadiationSample {
    let mut noise = Noise::of_port(seed, "radiation background");
    let mut energies = Noise::of_port(seed, "background spectra");
    let sky = Shape::of(Emitter::Surroundings, Shielding::None);
    let detectors = DETECTORS
        .iter()
        .zip(base_rates(seed))
        .zip(scales(seed))
        .map(|((detector, rate), scale)| {
            let mut counted = count(&mut noise, detector, rate, BACKGROUND_US);
            if portal == Portal::Spectroscopic && detector.kind == RadiationKind::Gamma {
                let long = long_spectrum(&mut energies, sky, counted.counts as f64, scale);
                counted.counts = long.counts.iter().copied().map(u64::from).sum();
                counted.spectrum = Some(long);
            }
            counted
        })
        .collect();
    RadiationSample {
        real_time_us: BACKGROUND_US,
        detectors,
    }
}

pub(super) fn sample(seed: u64, visit: &Visit, sample: SampleNo, portal: Portal) -> RadiationSample {
    let mut noise = Noise::of_reading(seed, &visit.equipment, Modality::Radiation, sample);
    let mut energies = Noise::of_spectra(seed, &visit.equipment, sample);
    let front_mm = visit.truck.front_mm(sample.0);
    let quirk = quirk(seed, visit);
    let shapes = match portal {
        Portal::Counting => Vec::new(),
        Portal::Spectroscopic => shapes(seed, visit),
    };
    let mut detectors = Vec::with_capacity(DETECTORS.len());
    let scaled = base_rates(seed).into_iter().zip(scales(seed));
    for (index, (detector, (base, scale))) in DETECTORS.iter().zip(scaled).enumerate() {
        let sky = base * open_sky(detector, visit, front_mm);
        let rates: Vec<f64> = visit
            .truth
            .sources
            .iter()
            .map(|source| rate_of(detector, source, &visit.truck, front_mm))
            .collect();
        let rate = sky + rates.iter().sum::<f64>();
        // Counted also when it is not sent, so that a quirk changes nothing else.
        let mut counted = count(&mut noise, detector, rate, SAMPLE_US);
        match quirk {
            Some(Quirk::Silent(silent)) if silent == index => continue,
            Some(Quirk::NoLiveTime) => counted.live_time_us = 0,
            Some(Quirk::Burst(burst, at)) if burst == index && at == sample.0 => {
                counted.counts += counted.counts / 2;
            }
            _ => {}
        }
        if portal == Portal::Spectroscopic && detector.kind == RadiationKind::Gamma {
            let mut mixture = vec![(sky, Shape::of(Emitter::Surroundings, Shielding::None))];
            for (rate, emitters) in rates.iter().zip(&shapes) {
                mixture.extend(emitters.iter().map(|(share, shape)| (rate * share, *shape)));
            }
            counted.spectrum = Some(spectrum(&mut energies, &mixture, counted.counts, scale));
        }
        detectors.push(counted);
    }
    RadiationSample {
        real_time_us: SAMPLE_US,
        detectors,
    }
}

/// Rate of each detector in the empty portal. No two detectors are quite alike.
fn base_rates(seed: u64) -> [f64; 6] {
    let mut noise = Noise::of_port(seed, "detector efficiencies");
    DETECTORS.map(|detector| {
        let rate = match detector.kind {
            RadiationKind::Gamma => BACKGROUND_GAMMA_CPS,
            RadiationKind::Neutron => BACKGROUND_NEUTRON_CPS,
        };
        rate * noise.range(0.95, 1.05)
    })
}

/// The energy scale of each detector, as it was calibrated. No two are quite alike.
fn scales(seed: u64) -> [Scale; 6] {
    let mut noise = Noise::of_port(seed, "energy scales");
    DETECTORS.map(|_| Scale {
        offset_kev: noise.range(-3.0, 3.0),
        gain_kev: 6.0 * noise.range(0.985, 1.015),
    })
}

/// What each source of a container emits: shares and shapes.
fn shapes(seed: u64, visit: &Visit) -> Vec<Vec<(f64, &'static Shape)>> {
    let mut noise = Noise::of_spectra(seed, &visit.equipment, SampleNo(0));
    let manifest = &visit.announcement.manifest;
    let shape =
        |(emitter, share): (Emitter, f64), source: &RadiationSource| (share, Shape::of(emitter, source.shielding));
    let sources = visit.truth.sources.iter();
    sources
        .map(|source| {
            let emitters = Emitter::of(source, manifest, &mut noise);
            emitters.into_iter().map(|one| shape(one, source)).collect()
        })
        .collect()
}

/// How much of the background is left with the vehicle in the portal. The box hides more of it than the rest does.
fn open_sky(detector: &Detector, visit: &Visit, front_mm: f64) -> f64 {
    let truck = &visit.truck;
    let whole = cover(front_mm, 0, truck.length_mm);
    let load = cover(front_mm, truck.box_from_mm, truck.box_to_mm);
    let depth = f64::from(visit.truth.shadow_permille) / 1_000.0
        * match detector.kind {
            RadiationKind::Gamma => 1.0,
            RadiationKind::Neutron => NEUTRON_SHADOW,
        };
    1.0 - depth * (0.3 * whole + 0.7 * load)
}

/// Share of the aperture that lies beside the part of the vehicle between two distances behind its front.
fn cover(front_mm: f64, from_mm: u32, to_mm: u32) -> f64 {
    let fore = (front_mm - f64::from(from_mm)).min(APERTURE_MM);
    let rear = (front_mm - f64::from(to_mm)).max(-APERTURE_MM);
    ((fore - rear) / (2.0 * APERTURE_MM)).max(0.0)
}

/// Counts a second that a source adds to a detector. A point follows the inverse square of the distance, a load fills
/// the aperture.
fn rate_of(detector: &Detector, source: &RadiationSource, truck: &Truck, front_mm: f64) -> f64 {
    let emitted = match detector.kind {
        RadiationKind::Gamma => f64::from(source.gamma_cps) * f64::from(source.shielding.gamma_permille()) / 1_000.0,
        RadiationKind::Neutron => {
            f64::from(source.neutron_milli_cps) / 1_000.0 * f64::from(source.shielding.neutron_permille()) / 1_000.0
        }
    };
    let side = |permille: u32, first: bool| {
        let share = f64::from(permille) / 1_000.0;
        if first { share } else { 1.0 - share }
    };
    match source.place {
        Place::Load => {
            let share = if detector.low.is_some() { 0.25 } else { 0.5 };
            emitted * share * cover(front_mm, truck.box_from_mm, truck.box_to_mm)
        }
        Place::Point {
            behind_front_mm,
            left_permille,
            low_permille,
        } => {
            let off = (front_mm - f64::from(behind_front_mm)) / STAND_OFF_MM;
            let share = side(left_permille, detector.left) * detector.low.map_or(1.0, |low| side(low_permille, low));
            emitted * share / (1.0 + off * off)
        }
    }
}

/// Counts with dead time: a rate n is seen for 1 / (1 + n x dead) of the time.
fn count(noise: &mut Noise, detector: &Detector, rate_cps: f64, real_time_us: u64) -> DetectorCounts {
    let dead_s = match detector.kind {
        RadiationKind::Gamma => GAMMA_DEAD_S,
        RadiationKind::Neutron => NEUTRON_DEAD_S,
    };
    let live_us = real_time_us as f64 / (1.0 + rate_cps * dead_s);
    DetectorCounts {
        name: detector.name.to_owned(),
        kind: detector.kind,
        live_time_us: libm::round(live_us) as u64,
        counts: noise.poisson(rate_cps * live_us / 1e6),
        spectrum: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vehicle_covers_the_aperture_only_while_it_is_beside_it() {
        assert_eq!(cover(-2_000.0, 0, 17_000), 0.0);
        assert_eq!(cover(0.0, 0, 17_000), 0.5);
        assert_eq!(cover(9_000.0, 0, 17_000), 1.0);
        assert_eq!(cover(17_000.0, 0, 17_000), 0.5);
        assert_eq!(cover(19_000.0, 0, 17_000), 0.0);
        assert_eq!(cover(40_000.0, 0, 17_000), 0.0);
    }

    #[test]
    fn a_strong_source_costs_live_time() {
        let mut noise = Noise::of_port(1, "test");
        let quiet = count(&mut noise, &DETECTORS[0], BACKGROUND_GAMMA_CPS, SAMPLE_US);
        assert!(quiet.live_time_us > 998_000 && quiet.live_time_us < SAMPLE_US);
        let strong = count(&mut noise, &DETECTORS[0], 50_000.0, SAMPLE_US);
        assert_eq!(strong.live_time_us, 833_333);
        let rate = strong.counts as f64 / strong.live_time_us as f64 * 1e6;
        assert!((rate - 50_000.0).abs() < 1_500.0, "{rate}");
    }
}

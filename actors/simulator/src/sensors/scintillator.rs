//! What a sodium iodide detector makes of gamma rays: how likely a count is in each part of the energy scale.
//!
//! Lines and intensities are published nuclear data (IAEA Live Chart of Nuclides), written down here for the simulator
//! alone. The response is a plain one: a full-energy peak of 7.5 % width at 662 keV, a flat Compton continuum up to its
//! edge, and what the surroundings have scattered down. Attenuation is photoelectric with a power of the energy, and
//! Klein-Nishina. Shares and thicknesses are working values.

use std::sync::OnceLock;

use portcullis_domain::manifest::Manifest;
use portcullis_domain::reading::Spectrum;

use crate::noise::Noise;
use crate::truth::{RadiationSource, Shielding, SourceKind};

/// Width of a step of the energy scale, keV.
const STEP_KEV: f64 = 3.0;
/// Steps of the energy scale.
const STEPS: usize = 1_024;
/// What the electronics do not count, keV.
const THRESHOLD_KEV: f64 = 30.0;
/// Channels that a detector sends.
const CHANNELS: usize = 512;
/// Rest energy of the electron, keV.
const ELECTRON_KEV: f64 = 511.0;

/// What emits gamma rays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Emitter {
    Surroundings,
    Potassium40,
    ThoriumSeries,
    RadiumSeries,
    Technetium99m,
    Fluorine18,
    Iodine131,
    Thallium201,
    Caesium137,
    Cobalt60,
    Iridium192,
    Americium241,
    EnrichedUranium,
    Plutonium,
}

const EMITTERS: usize = Emitter::Plutonium as usize + 1;
const SHIELDINGS: usize = 4;

/// Energy in keV and relative intensity.
type Line = (f64, f64);

const POTASSIUM: &[Line] = &[(1_460.8, 10.7)];
const THORIUM: &[Line] = &[
    (77.1, 17.0),
    (238.6, 43.6),
    (338.3, 11.3),
    (583.2, 30.6),
    (727.3, 6.7),
    (860.6, 4.5),
    (911.2, 25.8),
    (969.0, 15.8),
    (1_588.2, 3.2),
    (2_614.5, 35.8),
];
const RADIUM: &[Line] = &[
    (77.1, 17.0),
    (186.2, 3.6),
    (242.0, 7.3),
    (295.2, 18.4),
    (351.9, 35.6),
    (609.3, 45.5),
    (768.4, 4.9),
    (934.1, 3.1),
    (1_120.3, 14.9),
    (1_238.1, 5.8),
    (1_377.7, 4.0),
    (1_764.5, 15.3),
    (2_204.2, 4.9),
];

impl Emitter {
    fn lines(self) -> &'static [Line] {
        match self {
            Self::Surroundings => &[],
            Self::Potassium40 => POTASSIUM,
            Self::ThoriumSeries => THORIUM,
            Self::RadiumSeries => RADIUM,
            Self::Technetium99m => &[(140.5, 89.0)],
            Self::Fluorine18 => &[(511.0, 193.0)],
            Self::Iodine131 => &[(80.2, 2.6), (284.3, 6.1), (364.5, 81.5), (637.0, 7.2), (722.9, 1.8)],
            Self::Thallium201 => &[(70.8, 73.0), (80.3, 20.0), (135.3, 2.6), (167.4, 10.0)],
            Self::Caesium137 => &[(32.0, 5.6), (661.7, 85.1)],
            Self::Cobalt60 => &[(1_173.2, 99.9), (1_332.5, 100.0)],
            Self::Iridium192 => &[
                (296.0, 28.7),
                (308.5, 29.7),
                (316.5, 82.8),
                (468.1, 47.8),
                (604.4, 8.2),
                (612.5, 5.3),
            ],
            Self::Americium241 => &[(59.5, 35.9)],
            Self::EnrichedUranium => &[
                (93.4, 5.8),
                (143.8, 11.0),
                (163.4, 5.1),
                (185.7, 57.2),
                (205.3, 5.0),
                (1_001.0, 0.05),
            ],
            // Plutonium of weapons grade, some years old, in its cladding; relative to 10^5 decays of 239Pu.
            Self::Plutonium => &[
                (59.5, 4.0),
                (101.0, 10.0),
                (129.3, 6.3),
                (203.5, 0.57),
                (332.4, 0.6),
                (345.0, 0.56),
                (375.0, 1.55),
                (413.7, 1.47),
                (451.5, 0.19),
                (662.4, 0.1),
                (722.0, 0.06),
            ],
        }
    }

    /// What a source sends, with the share of each emitter.
    pub(super) fn of(source: &RadiationSource, manifest: &Manifest, noise: &mut Noise) -> Vec<(Self, f64)> {
        let one = |emitter| vec![(emitter, 1.0)];
        match source.kind {
            SourceKind::NaturalGoods => natural(manifest),
            SourceKind::Medical => one(match noise.below(20) {
                0..=9 => Self::Technetium99m,
                10..=13 => Self::Fluorine18,
                14..=16 => Self::Iodine131,
                _ => Self::Thallium201,
            }),
            SourceKind::Industrial if source.neutron_milli_cps > 0 => one(Self::Americium241),
            SourceKind::Industrial => one(match noise.below(10) {
                0..=4 => Self::Caesium137,
                5..=7 => Self::Cobalt60,
                _ => Self::Iridium192,
            }),
            SourceKind::SpecialNuclear if source.neutron_milli_cps > 1_000 => one(Self::Plutonium),
            SourceKind::SpecialNuclear => one(Self::EnrichedUranium),
        }
    }
}

/// Shares of potassium, thorium and radium in naturally radioactive goods.
fn natural(manifest: &Manifest) -> Vec<(Emitter, f64)> {
    let heading = |prefix: &str| {
        manifest
            .goods
            .iter()
            .any(|item| item.commodity_code.starts_with(prefix))
    };
    let [potassium, thorium, radium] = if heading("3104") {
        [1.0, 0.0, 0.0]
    } else if heading("2615") || heading("6902") {
        [0.02, 0.45, 0.53]
    } else if ["25", "68", "69"].into_iter().any(heading) {
        [0.3, 0.38, 0.32]
    } else {
        // Plants: fruit, vegetables, tobacco.
        [1.0, 0.0, 0.0]
    };
    vec![
        (Emitter::Potassium40, potassium),
        (Emitter::ThoriumSeries, thorium),
        (Emitter::RadiumSeries, radium),
    ]
}

/// A detector's energy scale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// Energy where the first channel begins, keV.
    pub(super) offset_kev: f64,
    /// Width of a channel, keV.
    pub(super) gain_kev: f64,
}

impl Scale {
    fn channel(&self, energy_kev: f64) -> usize {
        (((energy_kev - self.offset_kev) / self.gain_kev).max(0.0) as usize).min(CHANNELS - 1)
    }

    fn of(self, counts: Vec<u32>) -> Spectrum {
        Spectrum {
            calibration_kev: vec![self.offset_kev, self.gain_kev],
            counts,
        }
    }
}

/// How counts are spread over the energy scale.
#[derive(Debug)]
pub(super) struct Shape {
    /// Share of the counts up to the end of each step; the last is 1.
    cumulative: Vec<f64>,
}

impl Shape {
    /// The shape of an emitter behind a shielding. Made once in a process.
    pub(super) fn of(emitter: Emitter, shielding: Shielding) -> &'static Self {
        static SHAPES: [[OnceLock<Shape>; SHIELDINGS]; EMITTERS] =
            [const { [const { OnceLock::new() }; SHIELDINGS] }; EMITTERS];
        let (emitter_index, shielding_index) = (emitter as usize, shielding as usize);
        SHAPES[emitter_index][shielding_index].get_or_init(|| {
            Self::from_steps(&match emitter {
                Emitter::Surroundings => surroundings(),
                _ => broadened(&response(emitter.lines(), shielding)),
            })
        })
    }

    fn from_steps(steps: &[f64]) -> Self {
        let counted = |index: usize| (index as f64 + 0.5) * STEP_KEV >= THRESHOLD_KEV;
        let sum: f64 = steps
            .iter()
            .enumerate()
            .filter(|(i, _)| counted(*i))
            .map(|(_, s)| s)
            .sum();
        let mut so_far = 0.0;
        let cumulative = steps
            .iter()
            .enumerate()
            .map(|(index, step)| {
                if counted(index) {
                    so_far += step / sum;
                }
                so_far
            })
            .collect();
        Self { cumulative }
    }

    fn draw_kev(&self, noise: &mut Noise) -> f64 {
        let wanted = noise.unit();
        let step = self.cumulative.partition_point(|share| *share <= wanted).min(STEPS - 1);
        (step as f64 + noise.unit()) * STEP_KEV
    }

    /// Share of the counts between two energies.
    fn between(&self, from_kev: f64, to_kev: f64) -> f64 {
        self.below(to_kev) - self.below(from_kev)
    }

    fn below(&self, kev: f64) -> f64 {
        let at = (kev / STEP_KEV).clamp(0.0, STEPS as f64);
        let whole = at as usize;
        let before = whole
            .checked_sub(1)
            .and_then(|i| self.cumulative.get(i))
            .copied()
            .unwrap_or(0.0);
        let after = self.cumulative.get(whole).copied().unwrap_or(1.0);
        before + (after - before) * (at - whole as f64)
    }
}

/// So many counts of a mixture, each of its own energy.
pub(super) fn spectrum(noise: &mut Noise, mixture: &[(f64, &Shape)], counts: u64, scale: Scale) -> Spectrum {
    let total: f64 = mixture.iter().map(|(rate, _)| rate).sum();
    let mut channels = vec![0_u32; CHANNELS];
    for _ in 0..counts {
        let mut left = noise.unit() * total;
        let shape = mixture.iter().find(|(rate, _)| {
            left -= rate;
            left < 0.0
        });
        let Some((_, shape)) = shape.or(mixture.last()) else {
            break;
        };
        let channel = scale.channel(shape.draw_kev(noise));
        if let Some(count) = channels.get_mut(channel) {
            *count += 1;
        }
    }
    scale.of(channels)
}

/// A long measurement: so many counts on average, channel by channel.
pub(super) fn long_spectrum(noise: &mut Noise, shape: &Shape, mean: f64, scale: Scale) -> Spectrum {
    let channels = (0..CHANNELS)
        .map(|channel| {
            let from = scale.offset_kev + channel as f64 * scale.gain_kev;
            noise.poisson(mean * shape.between(from.max(0.0), from + scale.gain_kev)) as u32
        })
        .collect();
    scale.of(channels)
}

/// Counts of an empty portal: potassium, thorium and radium of ground and concrete, most of it scattered.
fn surroundings() -> Vec<f64> {
    let normalised = |steps: Vec<f64>, share: f64| -> Vec<f64> {
        let sum: f64 = steps.iter().sum();
        steps.into_iter().map(|step| step * share / sum).collect()
    };
    let energy = |index: usize| (index as f64 + 0.5) * STEP_KEV;
    let scattered = |index: usize| {
        let kev = energy(index);
        0.7 * (kev / 80.0) * (kev / 80.0) * libm::exp(-kev / 55.0) / 2.1 + 0.3 * libm::exp(-kev / 400.0) / 5.0
    };
    let parts = [
        normalised((0..STEPS).map(scattered).collect(), 0.62),
        normalised(broadened(&response(POTASSIUM, Shielding::None)), 0.15),
        normalised(broadened(&response(THORIUM, Shielding::None)), 0.12),
        normalised(broadened(&response(RADIUM, Shielding::None)), 0.11),
    ];
    (0..STEPS)
        .map(|index| parts.iter().filter_map(|part| part.get(index)).sum())
        .collect()
}

/// What lines become behind shielding and in the crystal, with perfect resolution.
fn response(lines: &[Line], shielding: Shielding) -> Vec<f64> {
    let mut steps = vec![0.0; STEPS];
    for (energy, intensity) in lines.iter().copied() {
        let (through, scattering) = transmission(energy, shielding);
        // Less is stopped in the crystal the higher the energy.
        let stopped = 1.0 / (1.0 + energy / 2_500.0);
        let peak = 1.0 / (1.0 + libm::pow(energy / 760.0, 1.3));
        let counts = intensity * through * stopped;
        add(
            &mut steps,
            energy - STEP_KEV / 2.0,
            energy + STEP_KEV / 2.0,
            counts * peak,
        );
        let alpha = 2.0 * energy / ELECTRON_KEV;
        let edge = energy * alpha / (1.0 + alpha);
        add(&mut steps, 0.0, edge, 0.85 * counts * (1.0 - peak));
        add(&mut steps, edge, energy, 0.15 * counts * (1.0 - peak));
        let back = energy / (1.0 + alpha);
        add(&mut steps, back, energy, counts * (0.25 + scattering));
    }
    steps
}

/// Spreads counts evenly over a range of energies.
fn add(steps: &mut [f64], from_kev: f64, to_kev: f64, counts: f64) {
    let width = to_kev - from_kev;
    if width <= 0.0 {
        return;
    }
    for (index, step) in steps.iter_mut().enumerate() {
        let low = index as f64 * STEP_KEV;
        let overlap = to_kev.min(low + STEP_KEV) - from_kev.max(low);
        if overlap > 0.0 {
            *step += counts * overlap / width;
        }
    }
}

fn broadened(steps: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; STEPS];
    for (index, counts) in steps.iter().enumerate().filter(|(_, counts)| **counts > 0.0) {
        let energy = (index as f64 + 0.5) * STEP_KEV;
        let sigma = 0.075 * 661.7 * libm::sqrt(energy / 661.7) / 2.355;
        let reach = (4.0 * sigma / STEP_KEV) as usize + 1;
        let range = index.saturating_sub(reach)..=(index + reach).min(STEPS - 1);
        let weight = |at: usize| {
            let off = (at as f64 - index as f64) * STEP_KEV / sigma;
            libm::exp(-0.5 * off * off)
        };
        let sum: f64 = range.clone().map(weight).sum();
        for at in range {
            if let Some(step) = out.get_mut(at) {
                *step += counts * weight(at) / sum;
            }
        }
    }
    out
}

/// What comes through unscattered, and what is scattered on the way for each quantum that comes through.
fn transmission(energy_kev: f64, shielding: Shielding) -> (f64, f64) {
    // Steel of the container's wall and of what stands before it, then the shielding, g/cm2.
    let layers: &[(Metal, f64)] = match shielding {
        Shielding::None => &[(Metal::Iron, 2.5)],
        Shielding::DenseCargo => &[(Metal::Iron, 22.0)],
        Shielding::Lead => &[(Metal::Iron, 2.5), (Metal::Lead, 40.0)],
        Shielding::LeadAndPolyethylene => &[(Metal::Iron, 12.0), (Metal::Lead, 45.0)],
    };
    let (mut depth, mut compton_depth) = (0.0, 0.0);
    for (metal, thickness) in layers {
        let compton = metal.electrons() * 0.602_2 * klein_nishina_barn(energy_kev);
        depth += thickness * (metal.photoelectric(energy_kev) + compton);
        compton_depth += thickness * compton;
    }
    (libm::exp(-depth), 0.5 * compton_depth.min(6.0))
}

#[derive(Debug, Clone, Copy)]
enum Metal {
    Iron,
    Lead,
}

impl Metal {
    /// Electrons for each nucleon.
    fn electrons(self) -> f64 {
        match self {
            Self::Iron => 0.466,
            Self::Lead => 0.396,
        }
    }

    /// Photoelectric attenuation, cm2/g: powers of the energy through values of the NIST tables at 60 to 200 keV.
    fn photoelectric(self, energy_kev: f64) -> f64 {
        let ratio = 100.0 / energy_kev;
        match self {
            Self::Iron => 0.22 * libm::pow(ratio, 3.0),
            // Below the K edge at 88 keV the innermost electrons do not take part.
            Self::Lead => 5.3 * libm::pow(ratio, 2.6) * if energy_kev < 88.0 { 0.25 } else { 1.0 },
        }
    }
}

/// Total cross-section of an electron for Compton scattering, barn.
fn klein_nishina_barn(energy_kev: f64) -> f64 {
    // 2 pi r_e^2.
    const SCALE: f64 = 0.498_9;
    let k = energy_kev / ELECTRON_KEV;
    let double = 1.0 + 2.0 * k;
    let log = libm::log(double);
    SCALE
        * ((1.0 + k) / (k * k) * (2.0 * (1.0 + k) / double - log / k) + log / (2.0 * k)
            - (1.0 + 3.0 * k) / (double * double))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attenuation_is_of_the_size_that_tables_give() {
        // NIST: iron at 662 keV 0.0735 cm2/g, lead at 200 keV 0.999, at 1 MeV 0.0710.
        let of =
            |metal: Metal, kev: f64| metal.photoelectric(kev) + metal.electrons() * 0.602_2 * klein_nishina_barn(kev);
        for (metal, kev, table) in [
            (Metal::Iron, 662.0, 0.0735),
            (Metal::Iron, 100.0, 0.372),
            (Metal::Lead, 200.0, 0.999),
            (Metal::Lead, 1_000.0, 0.071),
        ] {
            let found = of(metal, kev);
            assert!((found / table - 1.0).abs() < 0.15, "{metal:?} {kev}: {found} {table}");
        }
    }

    #[test]
    fn a_peak_stands_where_its_line_is_and_lead_takes_the_low_ones() {
        let caesium = Shape::of(Emitter::Caesium137, Shielding::None);
        assert!(caesium.between(600.0, 720.0) > 0.3);
        assert!(caesium.between(720.0, 3_000.0) < 0.02);
        assert!((caesium.below(3_072.0) - 1.0).abs() < 1e-9);
        let high = |shielding| Shape::of(Emitter::RadiumSeries, shielding).between(1_000.0, 3_000.0);
        assert!(high(Shielding::Lead) > 1.5 * high(Shielding::None));
    }

    #[test]
    fn every_count_is_in_the_spectrum() {
        let mut noise = Noise::of_port(1, "test");
        let scale = Scale {
            offset_kev: 0.0,
            gain_kev: 6.0,
        };
        let sky = Shape::of(Emitter::Surroundings, Shielding::None);
        let cobalt = Shape::of(Emitter::Cobalt60, Shielding::None);
        let drawn = spectrum(&mut noise, &[(400.0, sky), (100.0, cobalt)], 5_000, scale);
        assert_eq!(drawn.counts.iter().sum::<u32>(), 5_000);
        let long = long_spectrum(&mut noise, sky, 1e6, scale);
        let sum = f64::from(long.counts.iter().sum::<u32>());
        assert!((sum - 1e6).abs() < 5_000.0, "{sum}");
    }
}

//! The resonance station: a coil with a spin-locking spectrometer, which takes one carrier after the other.
//!
//! Lines come from coupling constants and asymmetries here, and the shape of an echo from a spread of temperatures and
//! crystal defects that is Gaussian. The air holds broadcast and switching supplies, the coil rings, and metal takes
//! its quality.

use portcullis_domain::evidence::{Modality, ThreatFamily};
use portcullis_domain::id::SampleNo;
use portcullis_domain::reading::{Iq, NqrWaveform};

use crate::noise::Noise;
use crate::plan::Visit;
use crate::truth::Truth;

/// How the coil gets at the goods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Through the walls of the shut container: steel, and nothing gets through.
    Shut,
    /// Through the open doors, at the first rows of packages.
    DoorsOpen,
    /// At packages that were taken out.
    TakenOut,
}

/// One setting of the spectrometer.
#[derive(Debug, Clone, Copy)]
struct Setting {
    carrier_hz: u32,
    spacing_us: u32,
    echoes: u32,
    /// Samples of each window.
    length: usize,
}

const SETTINGS: [Setting; 3] = [
    Setting {
        carrier_hz: 3_410_000,
        spacing_us: 600,
        echoes: 64,
        length: 48,
    },
    Setting {
        carrier_hz: 862_000,
        spacing_us: 1_500,
        echoes: 192,
        length: 96,
    },
    Setting {
        carrier_hz: 424_000,
        spacing_us: 5_000,
        echoes: 240,
        length: 192,
    },
];

/// How many carriers the station takes.
pub const CARRIERS: u32 = SETTINGS.len() as u32;

const RATE_HZ: f64 = 100_000.0;
/// Samples before the first pulse.
const REFERENCE: usize = 2_048;
const FEMTOVOLTS_PER_COUNT: u32 = 250;
const QUALITY_EMPTY: f64 = 120.0;
/// First echo of a mole of one site in the middle of the empty coil at 3.41 MHz, picovolts. The voltage of a precessing
/// magnetisation rises with the square of the frequency, its polarisation included.
const PICOVOLTS_PER_MOLE: f64 = 400.0;
/// Noise of coil and receiver in a bandwidth of the sample rate, picovolts in each of I and Q.
const NOISE_PV: f64 = 900.0;

/// A site of 14N: e2qQ/h and its change for a kelvin, both in hertz, the asymmetry, moles of the site in a kilogram, and the
/// decay of the train in seconds.
#[derive(Debug, Clone, Copy)]
struct Site {
    coupling_hz: f64,
    coupling_per_kelvin: f64,
    asymmetry: f64,
    /// Whether the upper line is taken, nu+; else the lower one, nu-.
    upper: bool,
    moles_per_kg: f64,
    decay_s: f64,
}

/// Kinds of hidden explosives with the sites that matter near the carriers.
const EXPLOSIVES: [&[Site]; 4] = [
    // RDX.
    &[Site {
        coupling_hz: 5_735_000.0,
        coupling_per_kelvin: -500.0,
        asymmetry: 0.6215,
        upper: false,
        moles_per_kg: 4.5,
        decay_s: 0.009,
    }],
    // TNT.
    &[
        Site {
            coupling_hz: 1_063_000.0,
            coupling_per_kelvin: -145.0,
            asymmetry: 0.1684,
            upper: true,
            moles_per_kg: 2.2,
            decay_s: 0.033,
        },
        Site {
            coupling_hz: 1_086_000.0,
            coupling_per_kelvin: -140.0,
            asymmetry: 0.2044,
            upper: true,
            moles_per_kg: 2.2,
            decay_s: 0.028,
        },
    ],
    // PETN.
    &[Site {
        coupling_hz: 923_300.0,
        coupling_per_kelvin: -90.0,
        asymmetry: 0.8555,
        upper: true,
        moles_per_kg: 12.6,
        decay_s: 0.12,
    }],
    // Ammonium nitrate: of its two lines the lower one.
    &[Site {
        coupling_hz: 613_400.0,
        coupling_per_kelvin: -40.0,
        asymmetry: 0.238,
        upper: false,
        moles_per_kg: 12.5,
        decay_s: 0.35,
    }],
];

impl Site {
    /// Its line at a temperature in kelvin, hertz. Coupling constants here hold for 297 K.
    fn hertz(&self, kelvin: f64) -> f64 {
        let coupling = self.coupling_hz + self.coupling_per_kelvin * (kelvin - 297.0);
        let sign = if self.upper { 1.0 } else { -1.0 };
        coupling * (0.75 + sign * 0.25 * self.asymmetry)
    }
}

/// What the coil has before it.
struct Load {
    sites: &'static [Site],
    /// In reach of the coil, kilograms.
    kg: f64,
    kelvin: f64,
    quality: f64,
}

fn load(seed: u64, visit: &Visit, access: Access) -> Load {
    let mut noise = Noise::of_pass(seed, &visit.equipment, Modality::Nqr);
    let kelvin = noise.range(278.0, 308.0);
    let kind = noise.below(EXPLOSIVES.len() as u64) as usize;
    let reach = noise.unit();
    let screened = noise.chance(200);
    let loss = noise.unit();
    let hidden_kg = hidden_kg(&visit.truth);
    let (share, quality) = match access {
        Access::Shut => (0.0, 0.05 + 0.10 * loss),
        Access::DoorsOpen => (0.1 * reach, 0.45 + 0.30 * loss),
        Access::TakenOut => (0.2 + 0.6 * reach, 0.85 + 0.12 * loss),
    };
    Load {
        sites: EXPLOSIVES.get(kind).copied().unwrap_or_default(),
        // A tin box in one of five: it screens what is in it.
        kg: if screened { 0.0 } else { (hidden_kg * share).min(10.0) },
        kelvin,
        quality: if screened && access == Access::TakenOut {
            quality * 0.4
        } else {
            quality
        },
    }
}

fn hidden_kg(truth: &Truth) -> f64 {
    let explosives = truth
        .concealed
        .iter()
        .filter(|hidden| hidden.family == ThreatFamily::Explosives);
    explosives.map(|hidden| hidden.mass_g as f64 / 1_000.0).sum()
}

/// One excitation: the carrier with this number, from sample 1.
pub(super) fn excite(seed: u64, visit: &Visit, access: Access, sample: SampleNo) -> Option<NqrWaveform> {
    let setting = SETTINGS.get(sample.0.checked_sub(1)? as usize)?;
    let load = load(seed, visit, access);
    let mut noise = Noise::of_reading(seed, &visit.equipment, Modality::Nqr, sample);
    let carrier = f64::from(setting.carrier_hz);
    let quality = QUALITY_EMPTY * load.quality;
    let per_mole = PICOVOLTS_PER_MOLE * libm::sqrt(carrier / 3.41e6);
    let spacing_s = f64::from(setting.spacing_us) * 1e-6;
    let start_us = (setting.spacing_us / 2).saturating_sub((setting.length as f64 / RATE_HZ * 5e5) as u32);
    let start_s = f64::from(start_us) * 1e-6;
    let air = Air::draw(&mut noise);
    let phase = noise.range(0.0, std::f64::consts::TAU);
    let ringing_pv = noise.spread(1e4, 1e7);
    let ringing_s = quality / (std::f64::consts::PI * carrier);
    let mut previous = [0.0; 2];
    let mut sample = |noise: &mut Noise, at: f64, added: [f64; 2]| {
        // A receiver's noise is a little stronger near the carrier, where the coil is tuned.
        for part in &mut previous {
            *part = 0.25 * *part + NOISE_PV * noise.normal();
        }
        let tone = air.at(at);
        let count = |value: f64| libm::round(value * 1_000.0 / f64::from(FEMTOVOLTS_PER_COUNT)) as i32;
        Iq {
            i: count(previous[0] + tone[0] + added[0]),
            q: count(previous[1] + tone[1] + added[1]),
        }
    };
    let reference = (0..REFERENCE)
        .map(|number| sample(&mut noise, number as f64 / RATE_HZ - 0.05, [0.0; 2]))
        .collect();
    let mut echo_train = Vec::with_capacity(setting.echoes as usize * setting.length);
    for echo in 0..setting.echoes {
        let begun = f64::from(echo) * spacing_s;
        for number in 0..setting.length {
            let after = start_s + number as f64 / RATE_HZ;
            let from_middle = after - spacing_s / 2.0;
            let mut added = [ringing_pv * libm::exp(-after / ringing_s), 0.0];
            for site in load.sites {
                // A spread of 110 Hz over crystals and temperatures, so that the echo is Gaussian in time.
                let spread = std::f64::consts::TAU * 110.0 * from_middle;
                let size = per_mole
                    * load.quality
                    * site.moles_per_kg
                    * load.kg
                    * libm::exp(-begun / site.decay_s - 0.5 * spread * spread);
                let angle = phase + std::f64::consts::TAU * (site.hertz(load.kelvin) - carrier) * from_middle;
                added[0] += size * libm::cos(angle);
                added[1] += size * libm::sin(angle);
            }
            echo_train.push(sample(&mut noise, begun + after, added));
        }
    }
    let measured_mk = (load.kelvin + 1.5 * noise.normal()) * 1_000.0;
    Some(NqrWaveform {
        carrier_hz: setting.carrier_hz,
        sample_rate_hz: RATE_HZ as u32,
        femtovolts_per_count: FEMTOVOLTS_PER_COUNT,
        echoes: setting.echoes,
        echo_spacing_us: setting.spacing_us,
        window_start_us: start_us,
        goods_temperature_mk: noise.chance(700).then_some(measured_mk as u32),
        quality_factor: libm::round(quality).max(1.0) as u32,
        quality_factor_empty: QUALITY_EMPTY as u32,
        picovolts_per_mole: per_mole as u32,
        echo_train,
        reference,
    })
}

/// What is in the air besides noise: transmitters and supplies, each at its own offset from the carrier and each swaying a
/// little in strength.
struct Air(Vec<Tone>);

#[derive(Debug, Clone, Copy)]
struct Tone {
    offset_hz: f64,
    picovolts: f64,
    phase: f64,
    sway_hz: f64,
}

impl Air {
    fn draw(noise: &mut Noise) -> Self {
        let tones = noise.below(4);
        let tone = |_| Tone {
            offset_hz: noise.range(-40_000.0, 40_000.0),
            picovolts: noise.spread(100.0, 20_000.0),
            phase: noise.range(0.0, std::f64::consts::TAU),
            sway_hz: noise.range(20.0, 400.0),
        };
        Self((0..tones).map(tone).collect())
    }

    fn at(&self, seconds: f64) -> [f64; 2] {
        let mut sum = [0.0; 2];
        for tone in &self.0 {
            let strength = tone.picovolts * (1.0 + 0.3 * libm::sin(std::f64::consts::TAU * tone.sway_hz * seconds));
            let angle = tone.phase + std::f64::consts::TAU * tone.offset_hz * seconds;
            sum[0] += strength * libm::cos(angle);
            sum[1] += strength * libm::sin(angle);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coupling_constants_put_the_lines_where_they_are_known() {
        let at = |kind: usize, site: usize| EXPLOSIVES[kind][site].hertz(297.0);
        for (hertz, known) in [
            (at(0, 0), 3_410_200.0),
            (at(1, 0), 842_000.0),
            (at(1, 1), 870_000.0),
            (at(2, 0), 890_000.0),
            (at(3, 0), 423_500.0),
        ] {
            assert!((hertz - known).abs() < 500.0, "{hertz} {known}");
        }
    }

    #[test]
    fn warmth_lowers_a_line() {
        assert!(EXPLOSIVES[0][0].hertz(307.0) < EXPLOSIVES[0][0].hertz(297.0) - 2_000.0);
    }
}

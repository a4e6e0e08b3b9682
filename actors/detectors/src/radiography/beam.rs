//! How much of a bremsstrahlung beam comes through how much mass.
//!
//! # Model
//! - The spectrum is Kramers' law of a thick target: photons N(E) in proportion to (E0 - E) / E up to
//!   the endpoint E0 (H. A. Kramers, Phil. Mag. 46 (1923) 836), filtered by the target itself, taken as 3 mm of tungsten.
//! - Detectors integrate energy. Their scintillator, 25 mm of cadmium tungstate, attenuates nearly like tungsten.
//! - Narrow beam: what is scattered does not come back, which collimated detector lines hold to within a percent or so.
//! - Mass attenuation coefficients are those of NIST (J. H. Hubbell and S. M. Seltzer, NISTIR 5632; XCOM), log-log
//!   between the energies of the tables.
//!
//! The sum over energies contains beam hardening: the deeper, the harder what is left. No effective energy is assumed.

use std::sync::OnceLock;

use portcullis_domain::reading::TRANSMISSION_FULL;

/// Below this transmission nothing is said about mass: about 28 cm of steel at 6 MV.
pub(super) const PENETRATION_LIMIT: f64 = 4e-4;

/// The lowest and the highest endpoint that the tables are good for, keV.
pub(super) const ENDPOINTS_KEV: std::ops::RangeInclusive<u32> = 2_000..=10_000;

const POINTS: usize = 17;
const ENERGIES_MEV: [f64; POINTS] = [
    0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0,
];
/// cm²/g.
const WATER: [f64; POINTS] = [
    0.1505, 0.1370, 0.1186, 0.1061, 0.09687, 0.08956, 0.07865, 0.07072, 0.06323, 0.05754, 0.04942, 0.03969, 0.03403,
    0.03031, 0.02770, 0.02429, 0.02219,
];
const CARBON: [f64; POINTS] = [
    0.1347, 0.1229, 0.1066, 0.09546, 0.08715, 0.08058, 0.07076, 0.06361, 0.05690, 0.05179, 0.04442, 0.03562, 0.03047,
    0.02708, 0.02469, 0.02154, 0.01959,
];
const ALUMINIUM: [f64; POINTS] = [
    0.1378, 0.1223, 0.1042, 0.09276, 0.08445, 0.07802, 0.06841, 0.06146, 0.05496, 0.05006, 0.04324, 0.03541, 0.03106,
    0.02836, 0.02655, 0.02437, 0.02318,
];
const IRON: [f64; POINTS] = [
    0.1964, 0.1460, 0.1099, 0.09400, 0.08414, 0.07704, 0.06699, 0.05995, 0.05350, 0.04883, 0.04265, 0.03621, 0.03312,
    0.03146, 0.03057, 0.02991, 0.02994,
];
const TUNGSTEN: [f64; POINTS] = [
    1.581, 0.7844, 0.3238, 0.1925, 0.1378, 0.1093, 0.08066, 0.06618, 0.05577, 0.05000, 0.04433, 0.04075, 0.04038,
    0.04103, 0.04210, 0.04472, 0.04747,
];

/// Half of the target, 3 mm of tungsten, g/cm².
const TARGET: f64 = 5.8;
/// The scintillator, 25 mm of cadmium tungstate, g/cm².
const SCINTILLATOR: f64 = 19.8;
/// Steps of the sum over energies.
const BINS: u32 = 64;
/// Curves are tabulated up to this areal mass, in steps of 1 g/cm².
const MASS_MAX: u16 = 420;

/// What goods are made of, as far as the beam can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Material {
    /// Dry plants, paper, textiles, sugar: the mean of water and carbon is cellulose within one percent.
    Cellulose,
    /// Water, wet food, plastics.
    Water,
    /// Minerals and light metals: as aluminium.
    Mineral,
    /// Iron, and what is near it.
    Iron,
}

impl Material {
    pub(super) const ALL: [Self; 4] = [Self::Cellulose, Self::Water, Self::Mineral, Self::Iron];

    /// Mass attenuation, cm²/g.
    fn attenuation(self, mev: f64) -> f64 {
        match self {
            Self::Cellulose => f64::midpoint(interpolate(&WATER, mev), interpolate(&CARBON, mev)),
            Self::Water => interpolate(&WATER, mev),
            Self::Mineral => interpolate(&ALUMINIUM, mev),
            Self::Iron => interpolate(&IRON, mev),
        }
    }
}

/// Log-log between the points; constant beyond the ends.
fn interpolate(values: &[f64; POINTS], mev: f64) -> f64 {
    let above = ENERGIES_MEV.partition_point(|energy| *energy < mev);
    match above {
        0 => values[0],
        POINTS => values[POINTS - 1],
        _ => {
            let along = (mev / ENERGIES_MEV[above - 1]).ln() / (ENERGIES_MEV[above] / ENERGIES_MEV[above - 1]).ln();
            values[above - 1] * (values[above] / values[above - 1]).powf(along)
        }
    }
}

/// Transmission of one material at one endpoint, and back.
#[derive(Debug, Clone)]
struct Curve {
    /// ln of the transmission of 0, 1, 2, ... g/cm²; strictly falling.
    log: Vec<f64>,
}

impl Curve {
    fn new(spectrum: &[(f64, f64)], material: Material) -> Self {
        let attenuation: Vec<(f64, f64)> = spectrum
            .iter()
            .map(|(mev, weight)| (material.attenuation(*mev), *weight))
            .collect();
        let whole: f64 = spectrum.iter().map(|(_, weight)| weight).sum();
        let log = (0..=MASS_MAX)
            .map(|mass| {
                let through: f64 = attenuation
                    .iter()
                    .map(|(per_mass, weight)| weight * (-per_mass * f64::from(mass)).exp())
                    .sum();
                (through / whole).ln()
            })
            .collect();
        Self { log }
    }

    /// Areal mass, g/cm², from the natural log of a transmission; below 0 for more than open beam.
    fn mass(&self, log: f64) -> f64 {
        let above = self
            .log
            .partition_point(|value| *value > log)
            .clamp(1, self.log.len() - 1);
        let (low, high) = (self.log[above - 1], self.log[above]);
        ((above - 1) as f64 + (low - log) / (low - high)).min(f64::from(MASS_MAX))
    }

    /// ln of the transmission of an areal mass; straight on through 0.
    fn log(&self, mass: f64) -> f64 {
        let at = (mass.max(0.0) as usize).min(self.log.len() - 2);
        self.log[at] + (self.log[at + 1] - self.log[at]) * (mass - at as f64)
    }
}

/// A beam with this endpoint, as the detectors see it.
#[derive(Debug, Clone)]
pub(super) struct Beam {
    curves: [Curve; 4],
    /// Areal mass as cellulose, g/cm², of each corrected pixel value.
    by_pixel: Vec<f32>,
}

impl Beam {
    /// The beam with this endpoint; none outside [`ENDPOINTS_KEV`]. The two usual ones are computed once in a process.
    pub(super) fn of(endpoint_kev: u32) -> Option<std::borrow::Cow<'static, Self>> {
        static SIX: OnceLock<Beam> = OnceLock::new();
        static NINE: OnceLock<Beam> = OnceLock::new();
        use std::borrow::Cow;
        match endpoint_kev {
            6_000 => Some(Cow::Borrowed(SIX.get_or_init(|| Self::new(6_000)))),
            9_000 => Some(Cow::Borrowed(NINE.get_or_init(|| Self::new(9_000)))),
            other if ENDPOINTS_KEV.contains(&other) => Some(Cow::Owned(Self::new(other))),
            _ => None,
        }
    }

    fn new(endpoint_kev: u32) -> Self {
        let endpoint = f64::from(endpoint_kev) / 1_000.0;
        let lowest = ENERGIES_MEV[0];
        let width = (endpoint - lowest) / f64::from(BINS);
        let spectrum: Vec<(f64, f64)> = (0..BINS)
            .map(|bin| {
                let mev = lowest + (f64::from(bin) + 0.5) * width;
                let tungsten = interpolate(&TUNGSTEN, mev);
                let absorbed = 1.0 - (-tungsten * SCINTILLATOR).exp();
                // Photons (E0 - E) / E, each worth its energy E.
                (mev, (endpoint - mev) * (-tungsten * TARGET).exp() * absorbed)
            })
            .collect();
        let curves = Material::ALL.map(|material| Curve::new(&spectrum, material));
        let by_pixel = (0..=u16::MAX)
            .map(|pixel| {
                let transmission = f64::from(pixel) / f64::from(TRANSMISSION_FULL);
                curves[0].mass(transmission.max(PENETRATION_LIMIT).ln()) as f32
            })
            .collect();
        Self { curves, by_pixel }
    }

    /// Areal mass as if it were cellulose, g/cm².
    pub(super) fn cellulose(&self, transmission: f64) -> f64 {
        let pixel = (transmission * f64::from(TRANSMISSION_FULL)).round();
        // A float to an integer saturates, and not-a-number becomes 0.
        f64::from(self.by_pixel[usize::from(pixel as u16)])
    }

    /// The areal mass of a material that lets through as much as this much cellulose, g/cm².
    pub(super) fn as_material(&self, cellulose: f64, material: Material) -> f64 {
        match material {
            Material::Cellulose => cellulose,
            _ => self.curves[material as usize].mass(self.curves[0].log(cellulose)),
        }
    }

    /// The areal mass of cellulose that lets through as much as this much of a material, g/cm².
    pub(super) fn as_cellulose(&self, mass: f64, material: Material) -> f64 {
        self.curves[0].mass(self.curves[material as usize].log(mass))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mass_and_transmission_agree_both_ways_and_the_beam_hardens() {
        for endpoint in [2_000, 6_000, 7_500, 9_000, 10_000] {
            let beam = Beam::of(endpoint).unwrap();
            for material in Material::ALL {
                let curve = &beam.curves[material as usize];
                assert!(curve.log.is_sorted_by(|a, b| a > b));
                for mass in [0.0, 0.4, 7.3, 55.5, 180.0] {
                    assert!((curve.mass(curve.log(mass)) - mass).abs() < 1e-9);
                }
                // Attenuation for each gram falls with depth.
                assert!(curve.log(1.0).abs() > (curve.log(100.0) - curve.log(99.0)).abs());
            }
        }
        assert!(Beam::of(160).is_none() && Beam::of(15_000).is_none());
    }

    #[test]
    fn steel_absorbs_nine_tenths_in_somewhat_less_than_broad_beams_need() {
        // Tenth-value layers of steel for broad beams, with what is scattered: 10 cm at 6 MV, 11 cm at 10 MV (NCRP 151).
        for (endpoint, broad_cm) in [(6_000, 10.0), (10_000, 11.0)] {
            let beam = Beam::of(endpoint).unwrap();
            let steel = &beam.curves[Material::Iron as usize];
            let tenth_cm = (steel.mass(steel.log(80.0) - 10.0_f64.ln()) - 80.0) / 7.86;
            assert!(
                (0.75 * broad_cm..broad_cm).contains(&tenth_cm),
                "{endpoint}: {tenth_cm}"
            );
        }
    }

    #[test]
    fn no_transmission_is_beyond_the_tables() {
        let beam = Beam::of(6_000).unwrap();
        for transmission in [-1.0, 0.0, 1e-9, 2.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(beam.cellulose(transmission).is_finite());
        }
        assert!(beam.cellulose(1.0).abs() < 1e-6);
        assert!(beam.cellulose(1.05) < 0.0);
    }
}

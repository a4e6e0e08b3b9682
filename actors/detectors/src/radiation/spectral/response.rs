//! What a detector makes of photons: peaks, Compton continuum, escape.

use super::attenuation::{self, ELECTRON_KEV, GERMANIUM, Material, SODIUM_IODIDE};
use super::grid::Grid;

/// A kind of gamma detector.
///
/// The model is a slab: what is absorbed follows from thickness and cross-sections, not from measured efficiencies. Only
/// shapes are needed, because the strength of every template is fitted.
#[derive(Debug, Clone, Copy)]
pub struct Detector {
    /// Its name, such as `NaI(Tl)`.
    pub name: &'static str,
    /// Full width at half maximum at 661.66 keV, keV.
    pub fwhm_662_kev: f64,
    /// Part of the width squared that does not grow with energy, keV².
    pub noise_kev2: f64,
    /// Bins that resolve it: two or three for each width.
    pub bins: usize,
    /// How many smooth continua scatter is made of: as many as stay several times wider than a peak.
    pub continua: usize,
    material: Material,
    /// Mean path of a photon through it, g/cm².
    depth: f64,
}

impl Detector {
    /// A sodium iodide log of 5 cm: 7 % at 662 keV (Knoll, Radiation Detection and Measurement, ch. 10).
    pub const NAI: Self = Self {
        name: "NaI(Tl)",
        fwhm_662_kev: 46.3,
        noise_kev2: 4.0,
        bins: 128,
        continua: 12,
        material: SODIUM_IODIDE,
        depth: 5.08 * 3.67,
    };

    /// A coaxial germanium crystal of 50 %: 1.5 keV at 662 keV (Knoll, ch. 12). The grid is coarser than its peaks;
    /// 512 bins keep neighbouring lines apart at a portal's counts.
    pub const HPGE: Self = Self {
        name: "HPGe",
        fwhm_662_kev: 1.5,
        noise_kev2: 0.8,
        bins: 512,
        continua: 24,
        material: GERMANIUM,
        depth: 6.0 * 5.32,
    };

    /// Which of the two a spectrum with channels of this width comes from: nobody gives a scintillator channels of half
    /// a keV, nor germanium ones of more.
    pub fn of_channel_width(kev: f64) -> Self {
        if kev < 0.75 { Self::HPGE } else { Self::NAI }
    }

    /// Full width at half maximum of a peak, keV: noise and a part that grows like the square root of the energy.
    pub fn fwhm_kev(&self, kev: f64) -> f64 {
        let growing = (self.fwhm_662_kev * self.fwhm_662_kev - self.noise_kev2).max(0.0);
        libm::sqrt(self.noise_kev2 + growing * kev / 661.66)
    }

    /// Share of photons that interact at all.
    fn interacting(&self, kev: f64) -> f64 {
        1.0 - libm::exp(-self.material.total(kev) * self.depth)
    }

    /// Share of scattered photons that interact again before they leave, half the depth on.
    fn again(&self, kev: f64) -> f64 {
        1.0 - libm::exp(-self.material.total(kev) * self.depth * 0.5)
    }

    /// Of the photons that interact, the share that leaves everything: at once, or after scatterings.
    fn full(&self, kev: f64, depth: u32) -> f64 {
        let absorbed = 1.0 - self.material.scattering(kev) / self.material.total(kev);
        if depth == 0 {
            return absorbed;
        }
        let scattered = kev - mean_transfer(kev);
        absorbed + (1.0 - absorbed) * self.again(scattered) * self.full(scattered, depth - 1)
    }

    /// Adds what the detector shows of `photons` of one energy to a spectrum on the grid that is not broadened yet, and
    /// the full-energy peak to one that is.
    pub(super) fn deposit(&self, grid: &Grid, kev: f64, photons: f64, continuum: &mut [f64], peaks: &mut [f64]) {
        if photons <= 0.0 {
            return;
        }
        let seen = photons * self.interacting(kev);
        let full = self.full(kev, 6);
        let once = (1.0 - self.again(kev - mean_transfer(kev))).min(1.0 - full);
        let several = (1.0 - full - once).max(0.0);
        self.add_peak(grid, kev, seen * full, peaks);
        if kev > 2.0 * ELECTRON_KEV + 500.0 {
            // Pairs: one or both annihilation quanta leave. Pairs are what the total has beyond scattering up there.
            let pairs = 1.0 - self.material.scattering(kev) / self.material.total(kev);
            let leaves = 1.0 - self.again(ELECTRON_KEV);
            let single = seen * pairs * 2.0 * leaves * (1.0 - leaves) * 0.5;
            self.add_peak(grid, kev - ELECTRON_KEV, single, peaks);
            self.add_peak(
                grid,
                kev - 2.0 * ELECTRON_KEV,
                seen * pairs * leaves * leaves * 0.5,
                peaks,
            );
        }
        let total = attenuation::klein_nishina_total(kev);
        let edge = attenuation::compton_edge(kev);
        let pairs = grid.edges_kev().iter().zip(grid.edges_kev().iter().skip(1));
        for ((low, high), bin) in pairs.zip(continuum.iter_mut()) {
            if *low >= kev {
                break;
            }
            let to = high.min(edge);
            if *low < to {
                let middle = 0.5 * (low + to);
                *bin += seen * once * attenuation::klein_nishina(kev, middle) / total * (to - low);
            }
            // Several scatterings fill what is between the middle of the continuum and the peak.
            let from = low.max(0.5 * edge);
            let to = high.min(kev);
            if from < to {
                *bin += seen * several * (to - from) / (kev - 0.5 * edge);
            }
        }
    }

    fn add_peak(&self, grid: &Grid, kev: f64, counts: f64, peaks: &mut [f64]) {
        let sigma = self.fwhm_kev(kev) / 2.354_82;
        let below = |edge: f64| 0.5 * libm::erfc((kev - edge) / (sigma * std::f64::consts::SQRT_2));
        let edges = grid.edges_kev();
        let from = edges
            .partition_point(|edge| *edge < kev - 6.0 * sigma)
            .saturating_sub(1);
        let mut before = edges.get(from).map_or(0.0, |edge| below(*edge));
        for (edge, bin) in edges.iter().skip(from + 1).zip(peaks.iter_mut().skip(from)) {
            let upto = below(*edge);
            *bin += counts * (upto - before);
            before = upto;
            if *edge > kev + 6.0 * sigma {
                break;
            }
        }
    }

    /// Spreads each bin of a continuum by the resolution and adds it to `peaks`.
    pub(super) fn broaden(&self, grid: &Grid, continuum: &[f64], peaks: &mut [f64]) {
        let edges = grid.edges_kev().iter().zip(grid.edges_kev().iter().skip(1));
        for ((low, high), counts) in edges.zip(continuum) {
            if *counts > 0.0 {
                self.add_peak(grid, 0.5 * (low + high), *counts, peaks);
            }
        }
    }
}

/// Mean energy that a scattering gives to the electron, keV, to a few percent: half the edge, less for hard photons.
fn mean_transfer(kev: f64) -> f64 {
    let a = kev / ELECTRON_KEV;
    kev * a / (1.0 + 2.0 * a) * (1.0 + 0.15 * a / (1.0 + a))
}

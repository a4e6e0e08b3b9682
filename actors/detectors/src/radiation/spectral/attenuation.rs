//! How matter takes photons out of a beam and how they scatter on electrons.

/// Electron rest energy, keV.
pub(super) const ELECTRON_KEV: f64 = 510.999;

/// A material as photons see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Material {
    /// Total mass attenuation without coherent refinements, by energy in keV, cm²/g: NIST XCOM (Hubbell and Seltzer,
    /// NISTIR 5632), rounded to three digits.
    table: &'static [(f64, f64)],
    /// Electrons per gram in units of Avogadro's number: the mean of Z/A.
    z_over_a: f64,
}

/// Water, for organic cargo and bodies.
pub(super) const WATER: Material = Material {
    table: &[
        (30.0, 0.376),
        (40.0, 0.268),
        (50.0, 0.227),
        (60.0, 0.206),
        (80.0, 0.184),
        (100.0, 0.171),
        (150.0, 0.151),
        (200.0, 0.137),
        (300.0, 0.119),
        (400.0, 0.106),
        (500.0, 0.0969),
        (600.0, 0.0896),
        (800.0, 0.0787),
        (1_000.0, 0.0707),
        (1_500.0, 0.0575),
        (2_000.0, 0.0494),
        (3_000.0, 0.0397),
    ],
    z_over_a: 0.555,
};

/// Iron, for steel.
pub(super) const IRON: Material = Material {
    table: &[
        (30.0, 8.18),
        (40.0, 3.63),
        (50.0, 1.96),
        (60.0, 1.21),
        (80.0, 0.595),
        (100.0, 0.372),
        (150.0, 0.196),
        (200.0, 0.146),
        (300.0, 0.110),
        (400.0, 0.0940),
        (500.0, 0.0841),
        (600.0, 0.0770),
        (800.0, 0.0670),
        (1_000.0, 0.0600),
        (1_500.0, 0.0488),
        (2_000.0, 0.0427),
        (3_000.0, 0.0362),
    ],
    z_over_a: 0.466,
};

/// Sodium iodide, above the K edge of iodine.
pub(super) const SODIUM_IODIDE: Material = Material {
    table: &[
        (34.0, 29.0),
        (40.0, 18.9),
        (50.0, 10.5),
        (60.0, 6.45),
        (80.0, 3.01),
        (100.0, 1.67),
        (150.0, 0.611),
        (200.0, 0.329),
        (300.0, 0.166),
        (400.0, 0.117),
        (500.0, 0.0955),
        (600.0, 0.0826),
        (800.0, 0.0676),
        (1_000.0, 0.0581),
        (1_500.0, 0.0470),
        (2_000.0, 0.0417),
        (3_000.0, 0.0368),
    ],
    z_over_a: 0.427,
};

/// Germanium, above its K edge.
pub(super) const GERMANIUM: Material = Material {
    table: &[
        (30.0, 13.8),
        (40.0, 6.21),
        (50.0, 3.34),
        (60.0, 2.02),
        (80.0, 0.950),
        (100.0, 0.555),
        (150.0, 0.249),
        (200.0, 0.166),
        (300.0, 0.113),
        (400.0, 0.0933),
        (500.0, 0.0821),
        (600.0, 0.0745),
        (800.0, 0.0643),
        (1_000.0, 0.0573),
        (1_500.0, 0.0466),
        (2_000.0, 0.0409),
        (3_000.0, 0.0352),
    ],
    z_over_a: 0.441,
};

impl Material {
    /// Total mass attenuation at an energy, cm²/g: log-log between the points of the table, the nearest beyond them.
    pub(super) fn total(&self, kev: f64) -> f64 {
        let above = self.table.partition_point(|(energy, _)| *energy < kev);
        let below = above.checked_sub(1).and_then(|index| self.table.get(index));
        match (below, self.table.get(above)) {
            (Some((low, at_low)), Some((high, at_high))) => {
                let share = libm::log(kev / low) / libm::log(high / low);
                at_low * libm::pow(at_high / at_low, share)
            }
            (Some((_, nearest)), None) | (None, Some((_, nearest))) => *nearest,
            (None, None) => 0.0,
        }
    }

    /// Mass attenuation by incoherent scattering, cm²/g, at most the total.
    pub(super) fn scattering(&self, kev: f64) -> f64 {
        (AVOGADRO_BARN * self.z_over_a * klein_nishina_total(kev)).min(self.total(kev))
    }
}

/// Avogadro's number times a barn, cm²/mol.
const AVOGADRO_BARN: f64 = 0.602_214;
/// Classical electron radius squared, barn.
const RADIUS_SQUARED_BARN: f64 = 0.079_407_9;

/// Klein-Nishina cross-section of an electron, barn (Evans, The Atomic Nucleus, 1955, ch. 23, eq. 4.1).
pub(super) fn klein_nishina_total(kev: f64) -> f64 {
    let a = kev / ELECTRON_KEV;
    let log = libm::log(1.0 + 2.0 * a);
    let first = (1.0 + a) / (a * a) * (2.0 * (1.0 + a) / (1.0 + 2.0 * a) - log / a);
    let rest = log / (2.0 * a) - (1.0 + 3.0 * a) / ((1.0 + 2.0 * a) * (1.0 + 2.0 * a));
    std::f64::consts::TAU * RADIUS_SQUARED_BARN * (first + rest)
}

/// The most an electron can get from a photon by scattering: the Compton edge, keV.
pub(super) fn compton_edge(kev: f64) -> f64 {
    let a = kev / ELECTRON_KEV;
    kev * 2.0 * a / (1.0 + 2.0 * a)
}

/// Klein-Nishina cross-section by electron energy, barn per keV; zero above the edge (Evans, ch. 23, eq. 5.6).
pub(super) fn klein_nishina(kev: f64, electron_kev: f64) -> f64 {
    if electron_kev < 0.0 || electron_kev > compton_edge(kev) {
        return 0.0;
    }
    let a = kev / ELECTRON_KEV;
    let s = electron_kev / kev;
    let term = s / (a * (1.0 - s));
    let shape = 2.0 + term * term + s / (1.0 - s) * (s - 2.0 / a);
    std::f64::consts::PI * RADIUS_SQUARED_BARN / (a * a * ELECTRON_KEV) * shape
}

/// Cosine of the angle by which a photon that loses this energy is scattered.
pub(super) fn cosine(kev: f64, scattered_kev: f64) -> f64 {
    1.0 - ELECTRON_KEV * (1.0 / scattered_kev - 1.0 / kev)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cross_section_by_energy_adds_up_to_the_total() {
        for kev in [100.0, 661.7, 2_614.5] {
            let edge = compton_edge(kev);
            let steps = 20_000;
            let width = edge / f64::from(steps);
            let sum: f64 = (0..steps)
                .map(|step| klein_nishina(kev, (f64::from(step) + 0.5) * width) * width)
                .sum();
            let total = klein_nishina_total(kev);
            assert!((sum / total - 1.0).abs() < 1e-3, "{kev}: {sum} {total}");
        }
    }

    #[test]
    fn the_edge_of_caesium_and_the_attenuation_of_steel_are_the_known_ones() {
        assert!((compton_edge(661.66) - 477.3).abs() < 0.2);
        assert!((IRON.total(661.66) - 0.0735).abs() < 0.001);
        assert!((cosine(661.66, 661.66 - compton_edge(661.66)) + 1.0).abs() < 1e-9);
        for material in [WATER, IRON, SODIUM_IODIDE, GERMANIUM] {
            assert!(material.scattering(1_000.0) > 0.8 * material.total(1_000.0));
        }
    }
}

//! The resonance lines that are looked for.
//!
//! Sources: RDX from its measured coupling constants 5.735, 5.799 and 5.604 MHz with asymmetries 0.6215, 0.6146 and
//! 0.6024 (single crystal; quoted by Pati et al., J. Phys. Chem. 99 (1995) 9051), which give nu- = (e2qQ/4h)(3 - eta).
//! TNT, PETN and ammonium nitrate: the positions in common use in the field, of which the last digits differ between
//! authors and crystal forms (Garroway et al., IEEE Trans. Geosci. Remote Sens. 39 (2001) 1108; Somasundaram et al., the
//! same 45 (2007) 925). Potassium chlorate: 28,213,372 Hz at 273.16 K, the point of reference of the quadrupole
//! thermometer, carried to 297 K with its slope; and the line at 531 kHz that arXiv 2312.10228 looked for.
//!
//! Slopes, widths and decay times depend on crystals, pulse angles and spacing. They are working values, and each line
//! says how far its position may be off: the window that is searched is wider by that much. No line of a narcotic is
//! here, because none is confirmed well enough: this sensor says nothing about narcotics.

/// Temperature that the positions hold for, kelvin.
pub(super) const REFERENCE_K: f64 = 297.0;
/// Goods of unknown temperature are between these, kelvin: a container in the sun or in frost.
pub(super) const UNKNOWN_K: (f64, f64) = (258.0, 328.0);
/// How far a measured temperature may be off inside the load, kelvin.
pub(super) const MEASURED_OFF_K: f64 = 5.0;

/// A substance with its lines.
#[derive(Debug)]
pub(super) struct Substance {
    pub(super) name: &'static str,
    /// Share of hidden explosives that are of this kind; a stated assumption. The shares of all add up to 1.
    pub(super) share: f64,
    /// Headings of the Harmonised System whose goods contain it lawfully.
    pub(super) headings: &'static [&'static str],
    pub(super) lines: &'static [Line],
}

/// One resonance line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    /// Position at 297 K, hertz.
    pub(super) hertz: f64,
    /// How far the position may be off at 297 K, hertz.
    pub(super) hertz_off: f64,
    /// Change with temperature, hertz per kelvin.
    pub(super) slope: f64,
    /// How far the slope may be off, hertz per kelvin.
    pub(super) slope_off: f64,
    /// Full width at half height, hertz.
    pub(super) width: f64,
    /// Decay of the echo train (T2e), seconds.
    pub(super) decay_s: f64,
    /// Nuclei of this site, moles in a kilogram: from the molar mass.
    pub(super) moles_per_kg: f64,
}

impl Line {
    /// From where to where the line may stand, hertz, for goods of a measured or unknown temperature in kelvin.
    pub(super) fn window(&self, kelvin: Option<f64>) -> (f64, f64) {
        let (cold, warm) = kelvin.map_or(UNKNOWN_K, |kelvin| (kelvin - MEASURED_OFF_K, kelvin + MEASURED_OFF_K));
        let ends = [cold, warm].map(|kelvin| {
            let from_reference = kelvin - REFERENCE_K;
            let middle = self.hertz + self.slope * from_reference;
            let off = self.hertz_off + self.slope_off * from_reference.abs();
            (middle - off, middle + off)
        });
        (ends[0].0.min(ends[1].0), ends[0].1.max(ends[1].1))
    }
}

const fn rdx(hertz: f64) -> Line {
    Line {
        hertz,
        hertz_off: 1_000.0,
        slope: -300.0,
        slope_off: 100.0,
        width: 300.0,
        decay_s: 0.010,
        moles_per_kg: 4.502,
    }
}

const fn tnt(hertz: f64) -> Line {
    Line {
        hertz,
        hertz_off: 1_000.0,
        slope: -120.0,
        slope_off: 60.0,
        width: 300.0,
        decay_s: 0.030,
        // Each of the three nitrogens of two molecules has a site of its own.
        moles_per_kg: 2.201,
    }
}

const fn nitrate(hertz: f64) -> Line {
    Line {
        hertz,
        hertz_off: 1_000.0,
        slope: 0.0,
        slope_off: 100.0,
        width: 150.0,
        decay_s: 0.3,
        moles_per_kg: 12.49,
    }
}

/// All substances that are looked for.
pub(super) const SUBSTANCES: [Substance; 5] = [
    Substance {
        name: "RDX",
        share: 0.25,
        headings: &["3602"],
        lines: &[rdx(3_410_200.0), rdx(3_458_200.0), rdx(3_359_000.0)],
    },
    Substance {
        name: "TNT",
        share: 0.20,
        headings: &["3602"],
        lines: &[tnt(842_000.0), tnt(870_000.0)],
    },
    Substance {
        name: "PETN",
        share: 0.20,
        headings: &["3602", "3603"],
        lines: &[Line {
            hertz: 890_000.0,
            hertz_off: 1_500.0,
            slope: -100.0,
            slope_off: 100.0,
            width: 300.0,
            decay_s: 0.1,
            moles_per_kg: 12.65,
        }],
    },
    Substance {
        name: "ammonium nitrate",
        share: 0.25,
        headings: &["3102", "3105", "3602"],
        lines: &[nitrate(423_500.0), nitrate(496_500.0)],
    },
    Substance {
        name: "potassium chlorate",
        share: 0.10,
        headings: &["2829", "3602", "3604", "3605"],
        lines: &[
            Line {
                hertz: 28_096_600.0,
                hertz_off: 2_000.0,
                slope: -4_900.0,
                slope_off: 200.0,
                width: 600.0,
                decay_s: 0.006,
                // Three in four chlorine nuclei are 35Cl.
                moles_per_kg: 6.182,
            },
            Line {
                hertz: 531_000.0,
                hertz_off: 1_000.0,
                slope: 0.0,
                slope_off: 100.0,
                width: 300.0,
                decay_s: 0.006,
                moles_per_kg: 7.61,
            },
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_rdx_follow_from_its_coupling_constants() {
        let measured = [(5.735e6, 0.6215), (5.799e6, 0.6146), (5.604e6, 0.6024)];
        for ((coupling, asymmetry), line) in measured.into_iter().zip(SUBSTANCES[0].lines) {
            let low = coupling / 4.0 * (3.0 - asymmetry);
            assert!((low - line.hertz).abs() < 500.0, "{low} {line:?}");
        }
    }

    #[test]
    fn amounts_of_nuclei_follow_from_molar_masses() {
        // Grams a mole, and nuclei of the site in a molecule.
        let expected = [
            (222.12, 1.0),
            (227.13, 0.5),
            (316.14, 4.0),
            (80.04, 1.0),
            (122.55, 0.7576),
        ];
        for (substance, (molar_mass, nuclei)) in SUBSTANCES.iter().zip(expected) {
            let moles = 1_000.0 / molar_mass * nuclei;
            assert!(
                (moles / substance.lines[0].moles_per_kg - 1.0).abs() < 0.01,
                "{}",
                substance.name
            );
        }
    }

    #[test]
    fn shares_add_up_and_a_measured_temperature_narrows_the_window() {
        let sum: f64 = SUBSTANCES.iter().map(|substance| substance.share).sum();
        assert!((sum - 1.0).abs() < 1e-12);
        for line in SUBSTANCES.iter().flat_map(|substance| substance.lines) {
            let (low, high) = line.window(None);
            let (from, to) = line.window(Some(297.0));
            assert!(
                low <= from && from < line.hertz && line.hertz < to && to <= high,
                "{line:?}"
            );
        }
    }
}

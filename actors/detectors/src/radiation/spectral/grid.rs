//! The common energy grid, and spectra of any calibration brought onto it.

use portcullis_domain::finding::{Finding, FindingCode};

use super::rebinning::Rebinning;

/// Lower end of the grid, keV. Portals cut off somewhere below, and what is below seldom leaves a container.
pub const ENERGY_MIN_KEV: f64 = 45.0;
/// Upper end, keV: above the 2614 keV line with its resolution.
pub const ENERGY_MAX_KEV: f64 = 2_900.0;

/// Bins whose edges are evenly spaced in the square root of the energy, as the resolution of a scintillator is.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    edges_kev: Vec<f64>,
    root_min: f64,
    step: f64,
}

/// Counts on a grid.
#[derive(Debug, Clone, PartialEq)]
pub struct Binned {
    /// Counts by bin; shared channels make them fractional.
    pub counts: Vec<f64>,
    /// First bin that lies wholly within the calibrated range.
    pub first: usize,
    /// One past the last such bin.
    pub end: usize,
}

impl Grid {
    /// A grid of so many bins, at least one.
    pub fn new(bins: usize) -> Self {
        let bins = bins.max(1);
        let root_min = libm::sqrt(ENERGY_MIN_KEV);
        let step = (libm::sqrt(ENERGY_MAX_KEV) - root_min) / bins as f64;
        let edge = |index: usize| {
            let root = root_min + step * index as f64;
            root * root
        };
        Self {
            edges_kev: (0..=bins).map(edge).collect(),
            root_min,
            step,
        }
    }

    /// How many bins.
    pub fn bins(&self) -> usize {
        self.edges_kev.len() - 1
    }

    /// Edges in keV, ascending; one more than bins.
    pub fn edges_kev(&self) -> &[f64] {
        &self.edges_kev
    }

    /// The bin of an energy.
    pub fn bin_of(&self, kev: f64) -> Option<usize> {
        if !(ENERGY_MIN_KEV..ENERGY_MAX_KEV).contains(&kev) {
            return None;
        }
        let bin = ((libm::sqrt(kev) - self.root_min) / self.step) as usize;
        Some(bin.min(self.bins() - 1))
    }

    /// Brings counts by channel onto the grid. A channel's counts are spread evenly between its edges.
    ///
    /// # Errors
    /// A finding that names the field: wrong lengths, edges that are not finite or not ascending, counts that are
    /// negative or not finite, or no common range.
    pub fn rebin<C: Copy + Into<f64>>(&self, edges_kev: &[f64], counts: &[C]) -> Result<Binned, Finding> {
        if counts.is_empty() || edges_kev.len() != counts.len() + 1 {
            let detail = format!("{} edges for {} channels", edges_kev.len(), counts.len());
            return Err(Finding::new(FindingCode::CalibrationOdd, "calibration", detail));
        }
        Rebinning::new(self, edges_kev)?.rebin(counts)
    }
}

/// Edges of `channels` channels, keV: the polynomial in the channel number with these coefficients.
///
/// # Errors
/// A finding if there are no coefficients or one of them is not finite.
pub fn channel_edges(calibration_kev: &[f64], channels: usize) -> Result<Vec<f64>, Finding> {
    if calibration_kev.len() < 2 || calibration_kev.iter().any(|term| !term.is_finite()) {
        let detail = "no usable energy calibration; the spectrum was left out";
        return Err(Finding::new(FindingCode::CalibrationOdd, "calibration", detail));
    }
    let edge = |channel: usize| {
        let channel = channel as f64;
        calibration_kev.iter().rev().fold(0.0, |sum, term| sum * channel + term)
    };
    Ok((0..=channels).map(edge).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn counts_within_the_range_are_kept_whatever_the_channels() {
        let grid = Grid::new(128);
        for (width, channels) in [(3.0, 1_024), (0.19, 16_384), (50.0, 60)] {
            let edges = channel_edges(&[0.0, width], channels).unwrap();
            let mut counts = vec![0_u32; channels];
            let at = (600.0 / width) as usize;
            counts[at] = 1_000;
            let binned = grid.rebin(&edges, &counts).unwrap();
            assert!((binned.counts.iter().sum::<f64>() - 1_000.0).abs() < 1e-6);
            let bin = grid.bin_of(600.0).unwrap();
            assert!(binned.counts[bin.saturating_sub(4)..bin + 5].iter().sum::<f64>() > 900.0);
        }
    }

    #[test]
    fn bad_spectra_are_findings() {
        let grid = Grid::new(64);
        let edges = [0.0, 1_000.0, 2_000.0, 3_000.0];
        for counts in [[1.0, f64::NAN, 1.0], [1.0, -1.0, 1.0], [f64::INFINITY, 0.0, 0.0]] {
            let finding = grid.rebin(&edges, &counts).unwrap_err();
            assert_eq!(finding.code, FindingCode::ValueUnreadable);
        }
        for edges in [
            vec![0.0, 1_000.0, 500.0, 3_000.0],
            vec![0.0, f64::NAN, 2_000.0, 3_000.0],
            vec![0.0, 1_000.0, 2_000.0],
            vec![5_000.0, 6_000.0, 7_000.0, 8_000.0],
        ] {
            let finding = grid.rebin(&edges, &[1.0, 1.0, 1.0]).unwrap_err();
            assert_eq!(finding.code, FindingCode::CalibrationOdd);
        }
        assert!(channel_edges(&[1.0], 10).is_err());
        assert!(channel_edges(&[0.0, f64::INFINITY], 10).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_spectra_never_panic_and_never_gain_counts(
            calibration in prop::collection::vec(prop::num::f64::ANY, 0..5),
            counts in prop::collection::vec(any::<u32>(), 0..200),
            bins in 0_usize..300,
        ) {
            let grid = Grid::new(bins);
            if let Ok(edges) = channel_edges(&calibration, counts.len())
                && let Ok(binned) = grid.rebin(&edges, &counts)
            {
                let before: f64 = counts.iter().copied().map(f64::from).sum();
                let after: f64 = binned.counts.iter().sum();
                prop_assert!(after <= before * (1.0 + 1e-9) + 1e-9);
                prop_assert!(binned.first < binned.end && binned.end <= grid.bins());
            }
        }
    }
}

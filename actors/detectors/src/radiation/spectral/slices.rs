//! Samples to slices of a second on the grid, and the background they are compared with.

use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::reading::{RadiationKind, RadiationSample};

use super::super::{Background, Origin};
use super::grid::{Grid, channel_edges};
use super::rebinning::Rebinning;
use super::response::Detector;

/// More calibrations than this are not remembered; a portal has one for each detector.
const CALIBRATIONS_MAX: usize = 64;
/// The most kinds of findings about spectra that are kept.
const FINDINGS_MAX: usize = 16;
/// Mean counts for each bin below which a background is smoothed over neighbouring bins.
const SMOOTH_BELOW: f64 = 100.0;

/// Counts of all detectors over an interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Counts by bin.
    pub counts: Vec<f64>,
    /// Live time, summed over the detectors, seconds.
    pub live_s: f64,
    /// Length of the interval, microseconds.
    pub real_us: u64,
    /// First bin that every spectrum covers.
    pub first: usize,
    /// One past the last such bin.
    pub end: usize,
}

impl Slice {
    /// Nothing yet, on a grid of so many bins.
    pub fn empty(bins: usize) -> Self {
        Self {
            counts: vec![0.0; bins],
            live_s: 0.0,
            real_us: 0,
            first: 0,
            end: bins,
        }
    }

    /// Adds another interval.
    pub fn add(&mut self, other: &Self) {
        for (sum, counts) in self.counts.iter_mut().zip(&other.counts) {
            *sum += counts;
        }
        self.live_s += other.live_s;
        self.real_us = self.real_us.saturating_add(other.real_us);
        self.first = self.first.max(other.first);
        self.end = self.end.min(other.end);
    }

    /// Counts by second of live time.
    pub fn cps(&self) -> f64 {
        if self.live_s > 0.0 {
            self.counts.iter().sum::<f64>() / self.live_s
        } else {
            0.0
        }
    }
}

/// Where the channels of a calibration fall.
#[derive(Debug, Clone)]
struct Calibration {
    calibration_kev: Vec<f64>,
    channels: usize,
    rebinning: Rebinning,
}

/// Brings spectra onto the grid, remembers calibrations and what could not be used.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    grid: Grid,
    calibrations: Vec<Calibration>,
    pub(super) findings: Vec<Finding>,
    pub(super) used: u64,
    pub(super) refused: u64,
    pub(super) live_share_min: f64,
}

impl Reader {
    pub(super) fn new(grid: Grid) -> Self {
        Self {
            grid,
            calibrations: Vec::new(),
            findings: Vec::new(),
            used: 0,
            refused: 0,
            live_share_min: 1.0,
        }
    }

    /// Adds the spectra of a sample to a slice. A spectrum that cannot be used becomes a finding and adds nothing.
    pub(super) fn read(&mut self, sample: &RadiationSample, slice: &mut Slice) {
        slice.real_us = slice.real_us.saturating_add(sample.real_time_us);
        for detector in &sample.detectors {
            let (RadiationKind::Gamma, Some(spectrum)) = (detector.kind, &detector.spectrum) else {
                continue;
            };
            if detector.live_time_us == 0 {
                let detail = "a spectrum has no live time and was left out";
                self.refuse(Finding::new(
                    FindingCode::LiveTimeMissing,
                    detector.name.as_str(),
                    detail,
                ));
                continue;
            }
            let known = self.calibration(&spectrum.calibration_kev, spectrum.counts.len());
            match known.map(|at| self.calibrations.get(at)) {
                Err(finding) => {
                    let field = format!("{} {}", detector.name, finding.field);
                    self.refuse(Finding::new(finding.code, field, finding.detail));
                }
                Ok(None) => {}
                Ok(Some(Calibration { rebinning, .. })) => {
                    self.used += 1;
                    let share = detector.live_time_us as f64 / sample.real_time_us.max(1) as f64;
                    self.live_share_min = self.live_share_min.min(share);
                    rebinning.add(&spectrum.counts, &mut slice.counts);
                    slice.live_s += detector.live_time_us as f64 / 1e6;
                    let covered = rebinning.covered();
                    slice.first = slice.first.max(covered.start);
                    slice.end = slice.end.min(covered.end);
                }
            }
        }
    }

    fn refuse(&mut self, finding: Finding) {
        self.refused += 1;
        let known = self
            .findings
            .iter()
            .any(|known| known.code == finding.code && known.field == finding.field);
        if !known && self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    /// Where this calibration is remembered.
    fn calibration(&mut self, calibration_kev: &[f64], channels: usize) -> Result<usize, Finding> {
        let known = self
            .calibrations
            .iter()
            .position(|known| known.calibration_kev == calibration_kev && known.channels == channels);
        if let Some(known) = known {
            return Ok(known);
        }
        let edges = channel_edges(calibration_kev, channels)?;
        let rebinning = Rebinning::new(&self.grid, &edges)?;
        if self.calibrations.len() >= CALIBRATIONS_MAX {
            self.calibrations.clear();
        }
        self.calibrations.push(Calibration {
            calibration_kev: calibration_kev.to_vec(),
            channels,
            rebinning,
        });
        Ok(self.calibrations.len() - 1)
    }
}

/// The kind of detector that the first usable spectrum of a sample comes from, by the width of its channels.
pub fn detector_of(sample: &RadiationSample) -> Option<Detector> {
    sample.detectors.iter().find_map(|detector| {
        let spectrum = detector
            .spectrum
            .as_ref()
            .filter(|_| detector.kind == RadiationKind::Gamma)?;
        let channels = spectrum.counts.len();
        let edges = channel_edges(&spectrum.calibration_kev, channels).ok()?;
        let width = (edges.last()? - edges.first()?) / channels.max(1) as f64;
        (width.is_finite() && width > 0.0).then(|| Detector::of_channel_width(width))
    })
}

/// Spectrum of an empty portal.
#[derive(Debug, Clone, PartialEq)]
pub struct SpectralBackground {
    /// The counts it is made of.
    slice: Slice,
    /// Counts by bin and second of live time of one detector.
    rates: Vec<f64>,
    /// Gross counts, of which the neutrons are used.
    gross: Option<Background>,
    origin: Origin,
}

impl SpectralBackground {
    /// The background that samples of an empty portal show to a kind of detector; none without a usable spectrum.
    pub fn measured<'s>(
        detector: &Detector,
        samples: impl IntoIterator<Item = &'s RadiationSample> + Clone,
    ) -> Option<Self> {
        let grid = Grid::new(detector.bins);
        let mut slice = Slice::empty(grid.bins());
        let mut reader = Reader::new(grid);
        for sample in samples.clone() {
            reader.read(sample, &mut slice);
        }
        Self::of(slice, Background::measured(samples), Origin::Measured)
    }

    /// The background that counts on the grid show; none without counts or live time.
    pub fn of(slice: Slice, gross: Option<Background>, origin: Origin) -> Option<Self> {
        let sum: f64 = slice.counts.iter().sum();
        if !(slice.live_s > 0.0 && sum > 0.0 && sum.is_finite() && slice.first < slice.end) {
            return None;
        }
        let sparse = sum / (slice.counts.len() as f64) < SMOOTH_BELOW;
        let smooth = |index: usize| {
            let at = |index: Option<usize>| index.and_then(|index| slice.counts.get(index)).copied();
            let own = at(Some(index)).unwrap_or(0.0);
            if !sparse {
                return own;
            }
            let below = at(index.checked_sub(1)).unwrap_or(own);
            let above = at(index.checked_add(1)).unwrap_or(own);
            0.25 * below + 0.5 * own + 0.25 * above
        };
        let rates = (0..slice.counts.len())
            .map(|index| (smooth(index) + 0.01) / slice.live_s)
            .collect();
        Some(Self {
            rates,
            slice,
            gross,
            origin,
        })
    }

    /// How many bins it has.
    pub fn bins(&self) -> usize {
        self.rates.len()
    }

    /// Counts expected in a slice, by bin, and the variance of that from counting the background.
    pub fn expected(&self, slice: &Slice) -> (Vec<f64>, Vec<f64>) {
        let expected: Vec<f64> = self.rates.iter().map(|rate| rate * slice.live_s).collect();
        let share = slice.live_s / self.slice.live_s;
        let variance = expected.iter().map(|expected| expected * share).collect();
        (expected, variance)
    }

    /// The bins that both cover.
    pub fn common(&self, slice: &Slice) -> std::ops::Range<usize> {
        self.slice.first.max(slice.first)..self.slice.end.min(slice.end)
    }

    /// Counts by second of live time of one detector.
    pub fn cps(&self) -> f64 {
        self.slice.cps()
    }

    /// Where it comes from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// Gross counts, if they are known.
    pub fn gross(&self) -> Option<&Background> {
        self.gross.as_ref()
    }
}

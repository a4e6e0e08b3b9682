//! How well spectra are detected and told apart: reference spectra, thinned to a lane's seconds.
//!
//! Each row of the table is a long spectrum with background in it. Its rates give Poisson counts for a pass of some seconds,
//! against a background that was itself measured for [`Settings::background_seconds`]. The threshold of detection comes
//! from one set of resampled backgrounds and the false-alarm rate from another. Templates are not fitted to the table, so
//! all of it is a test.

pub mod spectra;

use std::collections::BTreeMap;

use portcullis_detectors::radiation::Origin;
use portcullis_detectors::radiation::spectral::explain::{Explanation, explain};
use portcullis_detectors::radiation::spectral::fit::Observation;
use portcullis_detectors::radiation::spectral::grid::channel_edges;
use portcullis_detectors::radiation::spectral::nuclides::NuclideClass;
use portcullis_detectors::radiation::spectral::response::Detector;
use portcullis_detectors::radiation::spectral::slices::{Slice, SpectralBackground};
use portcullis_detectors::radiation::spectral::templates::Templates;
use portcullis_detectors::radiation::spectral::templates_of;
use serde::Serialize;
use thiserror::Error;

use crate::Estimate;
use crate::noise::Noise;
use spectra::{BACKGROUND, ReferenceSpectrum, SpectraError};

/// How to evaluate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Length of a pass, seconds of live time.
    pub seconds: f64,
    /// Passes for each spectrum.
    pub trials: u32,
    /// Fixes every random number.
    pub seed: u64,
    /// Share of empty passes that may alarm.
    pub false_alarm_rate: f64,
    /// For how long the background was measured, seconds.
    pub background_seconds: f64,
    /// Width of the table's channels, keV; the first begins at 0.
    pub kev_per_channel: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            seconds: 5.0,
            trials: 200,
            seed: 1,
            false_alarm_rate: 0.01,
            background_seconds: 300.0,
            kev_per_channel: 3.0,
        }
    }
}

/// Why nothing was evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RadiationError {
    /// The table.
    #[error(transparent)]
    Spectra(#[from] SpectraError),
    /// A setting out of range.
    #[error("{field} cannot be used: {why}")]
    Setting {
        /// Which.
        field: &'static str,
        /// What is wrong and what to give.
        why: &'static str,
    },
    /// A row that the grid refuses.
    #[error("spectrum {name}: {why}; correct the row or kev_per_channel")]
    Row {
        /// The row's name.
        name: String,
        /// The finding.
        why: String,
    },
}

/// What one row of the table came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpectrumReport {
    /// The row's name.
    pub name: String,
    /// Its class; absent for nuclides without templates.
    pub class: Option<&'static str>,
    /// Counts a second beyond the background.
    pub excess_cps: f64,
    /// Alarmed.
    pub detected: Estimate,
    /// Called its class.
    pub right_class: Option<Estimate>,
    /// Named its nuclide.
    pub named: Option<Estimate>,
    /// Weight for nuclear material, milli-decibans, mean.
    pub weight_mean: f64,
}

/// One row of the confusion table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfusionRow {
    /// Spectra of this class.
    pub spectra: u64,
    /// Passes drawn of them.
    pub passes: u64,
    /// Passes that alarmed.
    pub detected: Estimate,
    /// How often each class was called.
    pub called: BTreeMap<&'static str, Estimate>,
}

/// How good detection and identification are.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RadiationReport {
    /// Length of a pass, seconds.
    pub seconds: f64,
    /// Passes for each spectrum.
    pub trials: u32,
    /// The seed.
    pub seed: u64,
    /// Asked share of false alarms.
    pub false_alarm_rate: f64,
    /// Share of false alarms in backgrounds that the threshold has not seen.
    pub false_alarms: Estimate,
    /// Natural log of the likelihood ratio from which on it alarms.
    pub threshold: f64,
    /// Alarms among passes with a source of the library.
    pub detection: Estimate,
    /// True class to called classes; rows of the library's nuclides and background.
    pub confusion: BTreeMap<&'static str, ConfusionRow>,
    /// Spectra of nuclides that have no template: what they were called.
    pub outside_library: ConfusionRow,
    /// Row by row.
    pub spectra: Vec<SpectrumReport>,
}

/// What was counted of a group of spectra.
#[derive(Debug, Default)]
struct Tally {
    spectra: u64,
    passes: u64,
    detected: u64,
    called: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn row(&self) -> ConfusionRow {
        let called = self
            .called
            .iter()
            .map(|(class, hits)| (*class, Estimate::of(*hits, self.passes)));
        ConfusionRow {
            spectra: self.spectra,
            passes: self.passes,
            detected: Estimate::of(self.detected, self.passes),
            called: called.collect(),
        }
    }
}

/// Draws passes of the spectra of a table and explains them.
struct Bench<'s> {
    settings: &'s Settings,
    templates: &'static Templates,
    background: SpectralBackground,
}

/// Draws passes from the spectra of `csv` and says how many are detected, and as what. `progress` is told how many spectra
/// of how many are done.
///
/// # Errors
/// [`RadiationError`] names the line and column of the table, or the setting.
pub fn evaluate(
    csv: &str,
    settings: &Settings,
    progress: &dyn Fn(u64, u64),
) -> Result<RadiationReport, RadiationError> {
    check(settings)?;
    let spectra = spectra::read(csv)?;
    let detector = Detector::of_channel_width(settings.kev_per_channel);
    let empty = spectra
        .iter()
        .find(|spectrum| spectrum.name == BACKGROUND)
        .ok_or(SpectraError::Missing { what: BACKGROUND })?;
    let templates = templates_of(&detector);
    let mut noise = Noise::new(settings.seed, 0);
    let slice = drawn(templates, settings, empty, settings.background_seconds, &mut noise)?;
    let background = SpectralBackground::of(slice, None, Origin::Measured).ok_or_else(|| RadiationError::Row {
        name: BACKGROUND.to_owned(),
        why: "it has no counts".to_owned(),
    })?;
    let bench = Bench {
        settings,
        templates,
        background,
    };
    let of = spectra.len() as u64 + 1;
    let threshold = bench.threshold(empty)?;
    progress(1, of);

    let mut tallies: BTreeMap<&'static str, Tally> = BTreeMap::new();
    let mut outside = Tally::default();
    let mut reports = Vec::new();
    for (index, spectrum) in spectra.iter().enumerate() {
        let class = spectrum.class();
        let tally = match class {
            Some(class) => tallies.entry(class.as_str()).or_default(),
            None => &mut outside,
        };
        let mut noise = Noise::new(settings.seed, 2 + index as u64);
        reports.push(bench.spectrum(spectrum, empty, threshold, tally, &mut noise)?);
        progress(index as u64 + 2, of);
    }
    let (mut hits, mut passes) = (0, 0);
    for (class, tally) in &tallies {
        if *class != NuclideClass::Background.as_str() {
            hits += tally.detected;
            passes += tally.passes;
        }
    }
    let confusion: BTreeMap<_, _> = tallies.iter().map(|(class, tally)| (*class, tally.row())).collect();
    let false_alarms = confusion
        .get(NuclideClass::Background.as_str())
        .map_or_else(|| Estimate::of(0, 0), |row| row.detected);
    Ok(RadiationReport {
        seconds: settings.seconds,
        trials: settings.trials,
        seed: settings.seed,
        false_alarm_rate: settings.false_alarm_rate,
        false_alarms,
        threshold,
        detection: Estimate::of(hits, passes),
        confusion,
        outside_library: outside.row(),
        spectra: reports,
    })
}

fn check(settings: &Settings) -> Result<(), RadiationError> {
    let positive = |value: f64| value.is_finite() && value > 0.0;
    let bad = |field, why| Err(RadiationError::Setting { field, why });
    if !positive(settings.seconds) || settings.seconds > 3_600.0 {
        return bad("seconds", "give more than 0 and at most 3600");
    }
    if settings.trials == 0 || settings.trials > 1_000_000 {
        return bad("trials", "give 1 to 1000000");
    }
    if !(settings.false_alarm_rate > 0.0 && settings.false_alarm_rate < 1.0) {
        return bad("false_alarm_rate", "give a share between 0 and 1");
    }
    if !positive(settings.background_seconds) || settings.background_seconds > 1e6 {
        return bad("background_seconds", "give more than 0 and at most a million");
    }
    if !positive(settings.kev_per_channel) {
        return bad("kev_per_channel", "give the width of a channel in keV");
    }
    Ok(())
}

impl Bench<'_> {
    /// Passes of empty portals for each side: as many as make the asked rate visible.
    fn empty_passes(&self) -> u64 {
        let visible = (20.0 / self.settings.false_alarm_rate).min(100_000.0) as u64;
        visible.max(u64::from(self.settings.trials))
    }

    /// The evidence that the asked share of empty passes exceeds.
    fn threshold(&self, empty: &ReferenceSpectrum) -> Result<f64, RadiationError> {
        let mut noise = Noise::new(self.settings.seed, 1);
        let mut evidence = Vec::new();
        for _ in 0..self.empty_passes() {
            evidence.push(self.pass(empty, &mut noise)?.evidence);
        }
        evidence.sort_by(f64::total_cmp);
        let above = (self.settings.false_alarm_rate * evidence.len() as f64) as usize;
        let at = evidence.len().saturating_sub(above + 1);
        Ok(evidence.get(at).copied().unwrap_or(0.0))
    }

    fn pass(&self, spectrum: &ReferenceSpectrum, noise: &mut Noise) -> Result<Explanation, RadiationError> {
        let slice = drawn(self.templates, self.settings, spectrum, self.settings.seconds, noise)?;
        let (expected, variance) = self.background.expected(&slice);
        let bins = self.background.common(&slice);
        let observation = Observation::new(self.templates, bins, &slice.counts, &expected, &variance);
        Ok(explain(&observation, false, 1))
    }

    fn spectrum(
        &self,
        spectrum: &ReferenceSpectrum,
        empty: &ReferenceSpectrum,
        threshold: f64,
        tally: &mut Tally,
        noise: &mut Noise,
    ) -> Result<SpectrumReport, RadiationError> {
        let class = spectrum.class();
        let passes = if class == Some(NuclideClass::Background) {
            self.empty_passes()
        } else {
            u64::from(self.settings.trials)
        };
        let (mut detected, mut right, mut named, mut weights) = (0, 0, 0, 0.0);
        for _ in 0..passes {
            let explanation = self.pass(spectrum, noise)?;
            detected += u64::from(explanation.evidence > threshold);
            *tally.called.entry(explanation.class.as_str()).or_default() += 1;
            right += u64::from(Some(explanation.class) == class);
            named += u64::from(
                spectrum
                    .nuclide()
                    .is_some_and(|nuclide| explanation.names(nuclide.name)),
            );
            weights += f64::from(explanation.weight());
        }
        tally.spectra += 1;
        tally.passes += passes;
        tally.detected += detected;
        let cps = |spectrum: &ReferenceSpectrum| spectrum.counts.iter().sum::<f64>() / spectrum.live_s;
        Ok(SpectrumReport {
            name: spectrum.name.clone(),
            class: class.map(NuclideClass::as_str),
            excess_cps: cps(spectrum) - cps(empty),
            detected: Estimate::of(detected, passes),
            right_class: class.map(|_| Estimate::of(right, passes)),
            named: spectrum.nuclide().map(|_| Estimate::of(named, passes)),
            weight_mean: weights / passes as f64,
        })
    }
}

/// Poisson counts of a spectrum over some seconds, on the grid.
fn drawn(
    templates: &Templates,
    settings: &Settings,
    spectrum: &ReferenceSpectrum,
    seconds: f64,
    noise: &mut Noise,
) -> Result<Slice, RadiationError> {
    let row = |finding: portcullis_domain::finding::Finding| RadiationError::Row {
        name: spectrum.name.clone(),
        why: finding.to_string(),
    };
    let edges = channel_edges(&[0.0, settings.kev_per_channel], spectrum.counts.len()).map_err(row)?;
    let share = seconds / spectrum.live_s;
    let counts: Vec<f64> = spectrum
        .counts
        .iter()
        .map(|counts| noise.poisson(counts * share))
        .collect();
    let binned = templates.grid.rebin(&edges, &counts).map_err(row)?;
    Ok(Slice {
        counts: binned.counts,
        live_s: seconds,
        real_us: (seconds * 1e6) as u64,
        first: binned.first,
        end: binned.end,
    })
}

#[cfg(test)]
mod tests;

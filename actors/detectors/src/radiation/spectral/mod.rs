//! Gamma spectra of a portal to nuclides and a weight for nuclear material, second by second.
//!
//! - [`nuclides`]: published gamma lines and what each nuclide usually is
//! - [`response`], [`templates`]: what a detector shows of them behind some shieldings; generated, not measured
//! - [`grid`], [`rebinning`]: spectra of any calibration on common bins
//! - [`slices`]: spectra of a second, and the background
//! - [`fit`]: maximum likelihood of background plus templates
//! - [`explain`]: class, names and weight of the best explanation
//! - [`goods`]: goods that radiate by themselves
//!
//! After every second two observations are explained: everything so far and the last four seconds, in which a source that
//! passes is not yet diluted. That there was a choice among so many observations costs likelihood, so a longer pass buys
//! no evidence.

mod attenuation;
pub mod explain;
pub mod fit;
pub mod goods;
pub mod grid;
pub mod nuclides;
pub mod rebinning;
pub mod response;
pub mod slices;
pub mod templates;

use std::sync::OnceLock;

use portcullis_domain::evidence::{Ability, ThreatFamily, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::manifest::Manifest;
use portcullis_domain::reading::{RadiationKind, RadiationSample};

use super::scan::{Hypotheses, Scan};
use super::{Background, Counted, Origin, Progress};
use crate::interpretation::{Interpretation, WEIGHT_CAP, milli_decibans};
use explain::{Explanation, PRICE};
use fit::Observation;
use nuclides::NuclideClass;
use response::Detector;
use slices::{Reader, Slice, SpectralBackground};
use templates::Templates;

/// Name and version of this interpreter.
pub const VERSION: &str = "radiation-spectral/1";

/// How many seconds a pass is taken to have if nobody says.
pub const PLANNED_SECONDS: usize = 16;
/// How often an interpretation may move forward, microseconds.
const SECOND_US: u64 = 1_000_000;
/// Length of the shorter observation, seconds.
const WINDOW: usize = 4;
/// How many seconds at an end of the pass stand in for a background that was not measured.
const END_SECONDS: usize = 2;
/// Seconds that are kept; a pass that is longer is seen as a whole and in its last seconds only.
const SECONDS_MAX: usize = 240;
/// With less than this share of the time live, counts are too distorted to call the view clear.
const LIVE_SHARE_CLEAR: f64 = 0.5;
/// A second belongs to the vehicle if its counts leave the background by this share and by three deviations.
const OCCUPIED_SHARE: f64 = 0.05;
/// Evidence of neutrons, as a natural log, at which an alarm is noted: 1,000 to 1.
const NEUTRON_ALARM: f64 = 6.9;

/// The templates of a kind of detector, made once in a process.
pub fn templates_of(detector: &Detector) -> &'static Templates {
    static NAI: OnceLock<Templates> = OnceLock::new();
    static HPGE: OnceLock<Templates> = OnceLock::new();
    if detector.bins == Detector::HPGE.bins {
        HPGE.get_or_init(|| Templates::new(Detector::HPGE))
    } else {
        NAI.get_or_init(|| Templates::new(Detector::NAI))
    }
}

/// The seconds in which the count rate shows a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// First second, from 1.
    pub first: usize,
    /// Last second.
    pub last: usize,
}

/// Interprets the spectra of a pass while it happens.
#[derive(Debug, Clone)]
pub struct SpectralInterpreter {
    goods: Option<(&'static str, &'static str)>,
    planned: usize,
    background: Option<SpectralBackground>,
    /// The kind of detector, once a spectrum has come, and what reads its spectra.
    reader: Option<(Detector, Reader)>,
    current: Option<Slice>,
    seconds: Vec<Slice>,
    total: Option<Slice>,
    best: Option<Explanation>,
    neutron: Option<Scan>,
    neutron_seen: bool,
    passed: bool,
}

impl SpectralInterpreter {
    /// Starts a pass. Without a background the quieter end of the pass stands in, which costs certainty and is a finding.
    /// The manifest says which goods may radiate by themselves. `planned_seconds` is how long the pass is expected to be.
    pub fn new(background: Option<SpectralBackground>, manifest: Option<&Manifest>, planned_seconds: usize) -> Self {
        let neutron = background
            .as_ref()
            .and_then(|background| background.gross()?.neutron)
            .map(|rate| Scan::new(Hypotheses::neutron(rate.cps), rate, planned_seconds.saturating_mul(4)));
        Self {
            goods: manifest.and_then(goods::radiating),
            planned: planned_seconds,
            background,
            reader: None,
            current: None,
            seconds: Vec::new(),
            total: None,
            best: None,
            neutron,
            neutron_seen: false,
            passed: false,
        }
    }

    /// Takes the next sample and says what everything up to the last full second weighs.
    pub fn push(&mut self, sample: &RadiationSample) -> Progress {
        if let Some(counted) = Counted::of(sample, RadiationKind::Neutron) {
            self.neutron_seen = true;
            if let Some(scan) = &mut self.neutron {
                scan.push(&counted);
            }
        }
        if self.reader.is_none() {
            self.reader = slices::detector_of(sample).map(|detector| {
                let templates = templates_of(&detector);
                (detector, Reader::new(templates.grid.clone()))
            });
        }
        if let Some((detector, reader)) = &mut self.reader {
            let current = self.current.get_or_insert_with(|| Slice::empty(detector.bins));
            reader.read(sample, current);
            if current.real_us >= SECOND_US {
                self.end_second();
            }
        }
        self.progress()
    }

    /// The vehicle is through: what is known now is about all of it.
    pub fn finish(&mut self) -> Progress {
        if self.current.as_ref().is_some_and(|slice| slice.live_s > 0.0) {
            self.end_second();
        }
        self.passed = true;
        let from_pass = self
            .background
            .as_ref()
            .is_none_or(|known| known.origin() == Origin::Pass);
        if from_pass && self.seconds.len() > 2 * END_SECONDS {
            let seconds = std::mem::take(&mut self.seconds);
            let last = seconds.iter().rev().take(END_SECONDS);
            let quieter = pass_background(last)
                .filter(|last| self.background.as_ref().is_none_or(|first| last.cps() < first.cps()));
            if let Some(quieter) = quieter {
                // Everything is seen anew against it, from the quiet end.
                self.background = Some(quieter);
                self.total = None;
                self.best = None;
                for second in seconds.into_iter().rev() {
                    self.add_second(second);
                }
                self.seconds.reverse();
            } else {
                self.seconds = seconds;
            }
        }
        self.progress()
    }

    fn end_second(&mut self) {
        if let Some(second) = self.current.take() {
            self.add_second(second);
        }
    }

    fn add_second(&mut self, second: Slice) {
        if self.seconds.len() >= SECONDS_MAX {
            self.seconds.remove(0);
        }
        self.seconds.push(second);
        let Some(background) = &self.background else {
            if self.seconds.len() >= END_SECONDS {
                self.background = pass_background(self.seconds.iter());
            }
            return;
        };
        if background.origin() == Origin::Pass && self.seconds.len() <= END_SECONDS {
            return;
        }
        let Some(second) = self.seconds.last() else { return };
        let total = self.total.get_or_insert_with(|| Slice::empty(second.counts.len()));
        total.add(second);
        let mut window = Slice::empty(second.counts.len());
        for second in self.seconds.iter().rev().take(WINDOW) {
            window.add(second);
        }
        let total = total.clone();
        let whole = self.explain(&total);
        let recent = if self.seconds.len() > WINDOW {
            self.explain(&window)
        } else {
            None
        };
        // The named explanation with the most evidence, uranium and plutonium before all others. As long as nothing is
        // named, the whole pass speaks.
        let named = |known: &Explanation| known.evidence > PRICE && known.class != NuclideClass::Background;
        let rank = |known: &Explanation| (known.class == NuclideClass::SpecialNuclear, known.evidence);
        let mut best = self.best.take().filter(named);
        for next in [recent.filter(named), whole].into_iter().flatten() {
            let better = best.as_ref().is_none_or(|best| {
                let (next_rank, rank) = (rank(&next), rank(best));
                named(&next) && next_rank > rank
            });
            if better {
                best = Some(next);
            }
        }
        self.best = best;
    }

    fn explain(&self, slice: &Slice) -> Option<Explanation> {
        let background = self.background.as_ref()?;
        let (detector, _) = self.reader.as_ref()?;
        if background.bins() != slice.counts.len() || slice.live_s <= 0.0 {
            return None;
        }
        let (expected, variance) = background.expected(slice);
        let bins = background.common(slice);
        let observation = Observation::new(templates_of(detector), bins, &slice.counts, &expected, &variance);
        let looks = 2 * self.planned.max(self.seconds.len());
        Some(explain::explain(&observation, self.goods.is_some(), looks))
    }

    /// What everything so far weighs.
    pub fn progress(&self) -> Progress {
        let gamma = self.best.as_ref().map_or(0, Explanation::weight);
        let neutron = self
            .neutron
            .as_ref()
            .map_or(0, |scan| milli_decibans(scan.log_ratio(), -WEIGHT_CAP, WEIGHT_CAP));
        let weight = gamma.saturating_add(neutron).clamp(-WEIGHT_CAP, WEIGHT_CAP);
        let used = self.reader.as_ref().is_some_and(|(_, reader)| reader.used > 0);
        let clear = self.best.is_some()
            && self.neutron.is_some() == self.neutron_seen
            && self
                .reader
                .as_ref()
                .is_some_and(|(_, reader)| reader.refused == 0 && reader.live_share_min >= LIVE_SHARE_CLEAR);
        Progress {
            weights: Weights::ZERO.with(ThreatFamily::Nuclear, weight),
            ability: match (self.passed && used, clear) {
                (false, _) => Ability::Shielded,
                (true, true) => Ability::Clear,
                (true, false) => Ability::Degraded,
            },
        }
    }

    /// What the pass came to.
    pub fn interpretation(&self) -> Interpretation {
        let progress = self.progress();
        Interpretation {
            weights: progress.weights,
            ability: progress.ability,
            findings: self.findings(),
        }
    }

    /// The best explanation so far.
    pub fn explanation(&self) -> Option<&Explanation> {
        self.best.as_ref()
    }

    /// The background in use.
    pub fn background(&self) -> Option<&SpectralBackground> {
        self.background.as_ref()
    }

    /// Full seconds so far.
    pub fn seconds(&self) -> usize {
        self.seconds.len()
    }

    /// When the vehicle was there, as far as count rates show it: above the background by a source, below it by shadow.
    pub fn occupancy(&self) -> Option<Occupancy> {
        let background = self.background.as_ref()?;
        let occupied = |slice: &Slice| {
            let expected = background.cps() * slice.live_s;
            let off = (slice.counts.iter().sum::<f64>() - expected).abs();
            off > OCCUPIED_SHARE * expected && off > 3.0 * libm::sqrt(expected)
        };
        let first = self.seconds.iter().position(occupied)?;
        let last = self.seconds.iter().rposition(occupied)?;
        Some(Occupancy {
            first: first + 1,
            last: last + 1,
        })
    }

    /// What casts doubt on the weights, or explains them.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        let mut note = |code, field: &str, detail: String| findings.push(Finding::new(code, field, detail));
        match &self.background {
            None => note(
                FindingCode::BackgroundMissing,
                "background",
                "no background spectrum was measured, and the pass gives none".to_owned(),
            ),
            Some(background) if background.origin() == Origin::Pass => note(
                FindingCode::BackgroundFromPass,
                "background",
                format!(
                    "{:.0} counts/s by detector, from the quieter end of the pass",
                    background.cps()
                ),
            ),
            Some(_) => {}
        }
        if !self.neutron_seen {
            note(
                FindingCode::NeutronsAbsent,
                "neutron",
                "no neutron counts came".to_owned(),
            );
        }
        if let Some(scan) = self.neutron.as_ref().filter(|scan| scan.evidence() > NEUTRON_ALARM) {
            note(FindingCode::NeutronAlarm, "neutron", scan.highest());
        }
        if self.reader.as_ref().is_none_or(|(_, reader)| reader.used == 0) {
            note(
                FindingCode::SpectrumMissing,
                "spectrum",
                "no gamma spectrum could be used".to_owned(),
            );
        }
        if let Some(best) = &self.best {
            self.note_explanation(best, &mut note);
        }
        if let Some((_, reader)) = &self.reader {
            if reader.live_share_min < 0.9 {
                let detail = format!("live for {:.0} % of a sample", reader.live_share_min * 100.0);
                note(FindingCode::DeadTimeHigh, "live_time", detail);
            }
            findings.extend(reader.findings.iter().cloned());
        }
        findings
    }

    fn note_explanation(&self, best: &Explanation, note: &mut impl FnMut(FindingCode, &str, String)) {
        if best.evidence > PRICE {
            let detail = format!("natural log of the likelihood ratio {:.0}", best.evidence);
            note(FindingCode::GammaAlarm, "gamma", detail);
        }
        if best.background_scale < 0.9 {
            let detail = format!("{:.0} % of the background were left", best.background_scale * 100.0);
            note(FindingCode::BackgroundSuppressed, "gamma", detail);
        }
        if !best.nuclides.is_empty() {
            note(FindingCode::NuclideFound, best.class.as_str(), best.summary());
        }
        if best.class == NuclideClass::Unknown {
            let detail = format!("misfit {:.1} for each degree of freedom", best.misfit);
            note(FindingCode::SourceUnknown, "gamma", detail);
        }
        let natural = best.nuclides.iter().find(|named| named.class == NuclideClass::Norm);
        match (natural, self.goods) {
            (Some(natural), Some((heading, why))) => note(
                FindingCode::NaturalExplained,
                "commodity_code",
                format!("{}: heading {heading} is known for {why}", natural.nuclide),
            ),
            (Some(natural), None) => note(
                FindingCode::NaturalUnexplained,
                "commodity_code",
                format!("{}: no declared goods are known for it", natural.nuclide),
            ),
            (None, _) => {}
        }
    }
}

/// A background out of seconds of the pass itself.
fn pass_background<'s>(seconds: impl Iterator<Item = &'s Slice>) -> Option<SpectralBackground> {
    let mut sum: Option<Slice> = None;
    for second in seconds.take(END_SECONDS) {
        sum.get_or_insert_with(|| Slice::empty(second.counts.len())).add(second);
    }
    SpectralBackground::of(sum?, None::<Background>, Origin::Pass)
}

#[cfg(test)]
mod tests;

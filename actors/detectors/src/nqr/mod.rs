//! Nuclear quadrupole resonance to weights for explosives.
//!
//! # What is compared
//! Explosives of a stated mass, within reach of the coil, against none. The reading says how large the first echo of a
//! mole of nuclei would be; the tables say how many moles a kilogram has, where its lines are and how its echoes decay.
//! The mass is one of 0.5 to 8 kg. Three in ten hidden explosives are taken as out of reach of this sensor: packed in
//! metal, liquid, of another kind, or behind too much of anything.
//!
//! # How
//! A line is looked for everywhere where its temperature may have put it. The likelihood ratio is averaged over the places
//! and not the largest taken: a wide search buys no evidence. Places where interference stands say nothing, and count as 1.
//! So does a substance of which no line is near the carrier: one carrier says little about all the others. The evidence of
//! several carriers in one pass adds up by substance.
//!
//! # What it cannot see
//! Metal screens everything; it shows as a loss of quality of the coil. Beyond [`QUALITY_SHIELDED`] nothing is
//! claimed at all: a shut steel container is always shielded, and readings make sense of opened ones and of goods taken out.
//! Liquids have no lines. Narcotics have no line here that is known well enough, so their weight is always zero.

mod complex;
mod interference;
mod lines;
mod statistic;
mod train;

use portcullis_domain::evidence::{Ability, ThreatFamily, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::manifest::Manifest;
use portcullis_domain::reading::NqrWaveform;

use crate::interpretation::{Interpretation, WEIGHT_CAP, log_sum, milli_decibans};
use interference::Interference;
use lines::{Line, SUBSTANCES, Substance};
use statistic::{Filter, Fit};
use train::Train;

/// Name and version of this interpreter.
pub const VERSION: &str = "nqr-echo-train/1";

/// With less than this share of the quality of the empty coil, the goods are screened.
pub const QUALITY_SHIELDED: f64 = 0.4;
/// With less than this share, the view is degraded.
pub const QUALITY_DEGRADED: f64 = 0.8;
/// How often a line is named in a reading that holds none, at most.
pub const FALSE_ALARM: f64 = 1e-3;

/// The masses that are looked for, kilograms, each as likely as the others.
const MASSES_KG: [f64; 5] = [0.5, 1.0, 2.0, 4.0, 8.0];
/// The mass that a clear view should show, kilograms.
const VISIBLE_KG: f64 = 2.0;
/// Share of hidden explosives that this sensor cannot reach.
const OUT_OF_REACH: f64 = 0.3;
/// The score that the visible mass should have on average: as rare in noise alone as one in 3,000.
const SCORE_CLEAR: f64 = 8.0;
/// With less, nothing could be seen.
const SCORE_BLIND: f64 = 2.0;
/// Ringing that takes more of the window than this degrades the view; twice as much ends it.
const RINGING_DEGRADED: f64 = 0.3;
/// Steps of the search, as a share of what can be told apart.
const SEARCH_STEP: f64 = 0.4;
/// How many tones are looked for in the window of one line before it is given up.
const TONES_MAX: usize = 6;
/// A score worth asking whether it comes from a tone.
const SCORE_NOTICED: f64 = 4.0;

/// Interprets the readings of one pass, one after the other.
#[derive(Debug, Clone)]
pub struct NqrInterpreter {
    /// Natural log of the likelihood ratio of each substance, over all readings.
    log_ratios: [f64; SUBSTANCES.len()],
    best: Option<Ability>,
    worst: Ability,
}

impl Default for NqrInterpreter {
    fn default() -> Self {
        Self {
            log_ratios: [0.0; SUBSTANCES.len()],
            best: None,
            worst: Ability::Clear,
        }
    }
}

/// What one line in one reading amounts to.
struct Search {
    /// Natural log of the mean likelihood ratio over all places.
    log_ratio: f64,
    /// The best fit that no interference explains.
    best: Option<Fit>,
    places: usize,
    /// Score that the visible mass would have on average.
    visible: f64,
    /// Frequencies that were left out, hertz.
    left_out: Vec<f64>,
}

impl NqrInterpreter {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a reading in: what all readings so far weigh, and what is to be said about this one.
    pub fn push(&mut self, waveform: &NqrWaveform, manifest: &Manifest) -> Interpretation {
        let mut findings = Vec::new();
        let ability = self.take(waveform, manifest, &mut findings);
        self.best = Some(self.best.map_or(ability, |best| best.min(ability)));
        self.worst = self.worst.max(ability);
        Interpretation {
            weights: self.weights(),
            // Clear if every reading was; shielded if none saw anything.
            ability: match self.best {
                Some(Ability::Shielded) => Ability::Shielded,
                _ => self.worst.min(Ability::Degraded),
            },
            findings,
        }
    }

    fn weights(&self) -> Weights {
        let seen: Vec<f64> = SUBSTANCES
            .iter()
            .zip(self.log_ratios)
            .map(|(substance, log_ratio)| substance.share.ln() + log_ratio)
            .collect();
        let ratio = log_sum(&[OUT_OF_REACH.ln(), (1.0 - OUT_OF_REACH).ln() + log_sum(&seen)]);
        let weight = milli_decibans(ratio, -WEIGHT_CAP, WEIGHT_CAP);
        Weights::ZERO.with(ThreatFamily::Explosives, weight)
    }

    fn take(&mut self, waveform: &NqrWaveform, manifest: &Manifest, findings: &mut Vec<Finding>) -> Ability {
        let train = match Train::new(waveform) {
            Ok(train) => train,
            Err((field, why)) => {
                findings.push(Finding::new(FindingCode::NqrUnusable, field, why));
                return Ability::Shielded;
            }
        };
        let mut ability = Ability::Clear;
        if train.quality < QUALITY_DEGRADED {
            let detail = format!(
                "{:.0} % of the quality of the empty coil is left",
                100.0 * train.quality
            );
            findings.push(Finding::new(FindingCode::NqrMetalLoad, "quality_factor", detail));
            if train.quality < QUALITY_SHIELDED {
                return Ability::Shielded;
            }
            ability = Ability::Degraded;
        }
        if train.ringing > RINGING_DEGRADED {
            let detail = format!("{:.0} % of each window", 100.0 * train.ringing);
            findings.push(Finding::new(FindingCode::NqrRinging, "echo_train", detail));
            if train.ringing > 2.0 * RINGING_DEGRADED {
                return Ability::Shielded;
            }
            ability = Ability::Degraded;
        }
        if train.reference.is_empty() {
            let detail = "only tones in the echoes themselves are noticed";
            findings.push(Finding::new(FindingCode::NqrReferenceMissing, "reference", detail));
            ability = Ability::Degraded;
        }
        self.search_all(&train, manifest, findings).max(ability)
    }

    fn search_all(&mut self, train: &Train, manifest: &Manifest, findings: &mut Vec<Finding>) -> Ability {
        let interference = Interference::find(train);
        let mut searches = Vec::new();
        for (index, substance) in SUBSTANCES.iter().enumerate() {
            for line in substance.lines {
                if let Some(search) = search(train, line, &interference) {
                    searches.push((index, search));
                }
            }
        }
        let left_out: Vec<f64> = searches
            .iter()
            .flat_map(|(_, search)| search.left_out.iter().copied())
            .collect();
        if let Some(first) = left_out.first() {
            let detail = format!("{} places, the first at {:.2} kHz", left_out.len(), first / 1_000.0);
            findings.push(Finding::new(FindingCode::NqrInterference, "echo_train", detail));
        }
        let visible = searches.iter().map(|(_, search)| search.visible).fold(0.0, f64::max);
        if visible < SCORE_BLIND {
            let detail = if searches.is_empty() {
                "no line that is looked for can be near this carrier".to_owned()
            } else {
                format!("{VISIBLE_KG:.0} kg would have a score of {visible:.1}")
            };
            findings.push(Finding::new(FindingCode::NqrBlind, "carrier_hz", detail));
            return Ability::Shielded;
        }
        let places: usize = searches.iter().map(|(_, search)| search.places).sum();
        let alarm = (places as f64 / FALSE_ALARM).ln();
        for (index, search) in &searches {
            let Some(substance) = SUBSTANCES.get(*index) else {
                continue;
            };
            let explained = explains(manifest, substance);
            if let Some(log_ratio) = self.log_ratios.get_mut(*index).filter(|_| !explained) {
                *log_ratio += search.log_ratio;
            }
            if let Some(best) = search.best.filter(|best| best.score > alarm) {
                let code = if explained {
                    FindingCode::NqrLineExplained
                } else {
                    FindingCode::NqrLineFound
                };
                let detail = format!(
                    "at {:.2} kHz, score {:.1} over {alarm:.1}",
                    best.hertz / 1_000.0,
                    best.score
                );
                findings.push(Finding::new(code, substance.name, detail));
            }
        }
        if visible < SCORE_CLEAR || left_out.len() * 2 > places {
            Ability::Degraded
        } else {
            Ability::Clear
        }
    }
}

/// Whether declared goods contain the substance lawfully.
fn explains(manifest: &Manifest, substance: &Substance) -> bool {
    let declared = |heading: &&str| {
        manifest
            .goods
            .iter()
            .any(|item| item.commodity_code.starts_with(*heading))
    };
    substance.headings.iter().any(declared)
}

/// Looks for a line wherever it may stand within the band of the receiver; none if it cannot stand there.
fn search(train: &Train, line: &Line, interference: &Interference) -> Option<Search> {
    /// The outermost part of the band is behind the slopes of the receiver's filters.
    const BAND: f64 = 0.45;
    let (low, high) = line.window(train.kelvin);
    let from = low.max(train.carrier_hz - BAND * train.rate_hz);
    let to = high.min(train.carrier_hz + BAND * train.rate_hz);
    if from > to || train.times.is_empty() {
        return None;
    }
    let filter = Filter::new(train, line);
    let step = SEARCH_STEP * filter.resolution_hz();
    // Places outside the band were not looked at: they are in the mean, and say nothing.
    let outside = ((high - low - (to - from)) / step).floor().max(0.0) as usize;
    let inside = ((to - from) / step).floor() as usize + 1;
    let mut left_out = Vec::new();
    let mut fits = Vec::with_capacity(inside);
    for place in 0..inside {
        let hertz = from + place as f64 * step;
        match filter.fit(hertz) {
            Some(fit) if !interference.spoils(hertz) => fits.push(fit),
            _ => left_out.push(hertz),
        }
    }
    for _ in 0..TONES_MAX {
        let Some(best) = best(&fits).filter(|best| best.score > SCORE_NOTICED) else {
            break;
        };
        if !filter.is_tone(best.hertz) {
            break;
        }
        fits.retain(|fit| {
            let spoiled = (fit.hertz - best.hertz).abs() <= 2.0 * filter.resolution_hz();
            if spoiled {
                left_out.push(fit.hertz);
            }
            !spoiled
        });
    }
    let amplitude = |kg: f64| kg * line.moles_per_kg * train.picovolts_per_mole;
    let mut ratios: Vec<f64> = fits
        .iter()
        .flat_map(|fit| MASSES_KG.map(|kg| fit.log_ratio(amplitude(kg)) - (MASSES_KG.len() as f64).ln()))
        .collect();
    let silent = left_out.len() + outside;
    if silent > 0 {
        ratios.push((silent as f64).ln());
    }
    let mut gains: Vec<f64> = fits.iter().map(|fit| fit.gain).collect();
    gains.sort_by(f64::total_cmp);
    let gain = gains.get(gains.len() / 2).copied().unwrap_or(0.0);
    Some(Search {
        log_ratio: log_sum(&ratios) - ((inside + outside) as f64).ln(),
        best: best(&fits),
        places: inside,
        visible: gain * amplitude(VISIBLE_KG).powi(2),
        left_out,
    })
}

fn best(fits: &[Fit]) -> Option<Fit> {
    fits.iter().copied().max_by(|a, b| a.score.total_cmp(&b.score))
}

#[cfg(test)]
mod tests;

//! Ion mobility spectra of swabs to weights for explosives and narcotics.
//!
//! # What is compared
//! Somebody who packs explosives or narcotics leaves traces on the outside of a container, or does not; honest containers
//! carry traces too, from hands, pallets and neighbours, and other substances have ions of nearly the same mobility. So a peak
//! is compared with three ways to come about: the substance with a threat, the substance without one, and something else
//! anywhere near. What tells them apart is how well the mobility fits; a high peak says no more than a clear one.
//!
//! The shares in `weigh` are assumptions, not measurements: no published figures for swabs of containers are known here.
//!
//! # Seeing
//! Without a calibrant, drift times mean nothing: such a spectrum did not see. A blank that shows the same substance explains
//! it. An instrument that sends alarms alone gives a degraded view, whatever it alarms about, and so does one that looks for
//! ions of one sign only.

mod library;
mod spectrum;
mod weigh;

use portcullis_domain::evidence::{Ability, ThreatFamily, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::reading::{IonMobility, Polarity, SwabPurpose, TraceAlarm};

use crate::interpretation::{Interpretation, WEIGHT_CAP, milli_decibans};
use library::{IONS, Ion};
use spectrum::{Peak, Scaled, Unusable};

/// Name and version of this interpreter.
pub const VERSION: &str = "trace-ims/1";

/// Analyses of one pass that are taken in; later ones are left out.
pub const ANALYSES_MAX: usize = 64;

/// A peak counts if it stands out by so many times the noise.
const SIGNIFICANCE: f64 = 5.0;
/// A blank explains a peak of up to so many times its own height.
const BLANK_EXPLAINS: f64 = 3.0;

/// What a blank showed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Carried {
    ion: Ion,
    height: f64,
}

/// Interprets the analyses of a container as they come.
#[derive(Debug, Clone, Default)]
pub struct TraceInterpreter {
    analyses: usize,
    /// Ions of which sign a usable blank was analysed for.
    blanks: Vec<Polarity>,
    carried: Vec<Carried>,
    /// Ions of which sign a usable spectrum of the container was analysed for.
    seen: Vec<Polarity>,
    alarms: bool,
    log_ratios: [Option<f64>; 6],
    degraded: bool,
    findings: Vec<Finding>,
}

impl TraceInterpreter {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an analysis in. Blanks count for the swabs that come after them.
    pub fn push(&mut self, analysis: &IonMobility) {
        if self.analyses >= ANALYSES_MAX {
            return;
        }
        self.analyses += 1;
        if let Some(spectrum) = &analysis.spectrum {
            match (Scaled::of(spectrum), analysis.purpose) {
                (Ok(scaled), SwabPurpose::Blank) => self.take_blank(&scaled, analysis.polarity),
                (Ok(scaled), SwabPurpose::Sample) => self.take_sample(&scaled, analysis),
                (Err(unusable), _) => {
                    self.degraded = true;
                    let (code, why) = match unusable {
                        Unusable::Spectrum(why) => (FindingCode::TraceUnusable, why),
                        Unusable::Calibrant(why) => (FindingCode::CalibrantMissing, why),
                    };
                    self.note(code, &analysis.swab, why);
                }
            }
        }
        match analysis.purpose {
            SwabPurpose::Sample => analysis.alarms.iter().for_each(|alarm| self.take_alarm(alarm)),
            SwabPurpose::Blank => {
                for alarm in &analysis.alarms {
                    self.degraded = true;
                    let detail = format!("the instrument itself alarms for {} on a blank", alarm.substance);
                    self.note(FindingCode::BlankContaminated, &alarm.substance, detail);
                }
            }
        }
    }

    fn take_blank(&mut self, scaled: &Scaled<'_>, polarity: Polarity) {
        self.blanks.push(polarity);
        // The latest blank is the state of the instrument.
        self.carried.retain(|carried| carried.ion.polarity != polarity);
        for ion in IONS.iter().filter(|ion| ion.polarity == polarity) {
            let peaks = scaled.peaks(ion.reduced_mobility, SIGNIFICANCE).unwrap_or_default();
            if let Some(peak) = peaks.iter().find(|peak| weigh::fits(peak)) {
                self.carried.push(Carried {
                    ion: *ion,
                    height: peak.height,
                });
            }
        }
    }

    fn take_sample(&mut self, scaled: &Scaled<'_>, analysis: &IonMobility) {
        let clean = self.blanks.contains(&analysis.polarity);
        if !clean {
            self.degraded = true;
            self.note(
                FindingCode::BlankMissing,
                &analysis.swab,
                "nothing shows that the instrument was clean".to_owned(),
            );
        }
        for ion in IONS.iter().filter(|ion| ion.polarity == analysis.polarity) {
            let Some(peaks) = scaled.peaks(ion.reduced_mobility, SIGNIFICANCE) else {
                self.degraded = true;
                let detail = format!("the drift time of {} is not in the spectrum", ion.substance);
                self.note(FindingCode::TraceUnusable, ion.substance, detail);
                continue;
            };
            if !self.seen.contains(&ion.polarity) {
                self.seen.push(ion.polarity);
            }
            let nearest = peaks.iter().min_by(|a, b| a.off.abs().total_cmp(&b.off.abs()));
            match nearest {
                Some(peak) => self.take_peak(ion, peak, clean),
                None => self.take_ratio(ion.family, weigh::nothing_found(ion.family)),
            }
        }
    }

    fn take_peak(&mut self, ion: &Ion, peak: &Peak, clean: bool) {
        let ratio = weigh::peak_found(ion.family, peak, clean);
        let fits = weigh::fits(peak);
        if peak.saturated && fits {
            self.degraded = true;
            let detail = format!("at the peak of {}", ion.substance);
            self.note(FindingCode::SpectrumSaturated, ion.substance, detail);
        }
        let carried = self.carried.iter().find(|carried| carried.ion == *ion);
        if let Some(carried) = carried.filter(|carried| fits && peak.height <= BLANK_EXPLAINS * carried.height) {
            self.degraded = true;
            let detail = format!(
                "{}: {:.0} on the swab, {:.0} on the blank before it",
                ion.substance, peak.height, carried.height
            );
            self.note(FindingCode::BlankContaminated, ion.substance, detail);
            // It may be there all the same: that other ions of the family are not must not speak against it.
            self.take_ratio(ion.family, 0.0);
            return;
        }
        if fits {
            let detail = format!(
                "{}: reduced mobility {:.3} cm2/(V s), {:+.2} % from published, {:.0} times the noise",
                ion.substance,
                ion.reduced_mobility * (1.0 + peak.off),
                peak.off * 100.0,
                peak.significance
            );
            self.note(FindingCode::SubstanceFound, ion.substance, detail);
        }
        self.take_ratio(ion.family, ratio);
    }

    fn take_alarm(&mut self, alarm: &TraceAlarm) {
        self.alarms = true;
        let family = library::family_of(&alarm.substance);
        let known = family.map_or("not a known threat", ThreatFamily::as_str);
        let detail = format!("{} ({known}), channel {}", alarm.substance, alarm.channel);
        self.note(FindingCode::TraceAlarm, &alarm.substance, detail);
        if let Some(family) = family {
            self.take_ratio(family, weigh::alarm_raised(family, alarm));
        }
    }

    /// Substances and swabs of a family share hands and instrument, so the greatest ratio counts and not the sum.
    fn take_ratio(&mut self, family: ThreatFamily, ratio: f64) {
        let slot = &mut self.log_ratios[family.index()];
        *slot = Some(slot.map_or(ratio, |known| known.max(ratio)));
    }

    fn note(&mut self, code: FindingCode, field: &str, detail: String) {
        let finding = Finding::new(code, field, detail);
        let known = |noted: &Finding| noted.code == finding.code && noted.field == finding.field;
        if !self.findings.iter().any(known) {
            self.findings.push(finding);
        }
    }

    /// What everything so far weighs.
    pub fn interpret(&self) -> Interpretation {
        let mut findings = self.findings.clone();
        let one_sign = self.seen.len() == 1;
        if one_sign {
            let detail = "ions of one sign only: the other family was not looked for".to_owned();
            findings.push(Finding::new(FindingCode::ElementMissing, "polarity", detail));
        }
        let ability = match (self.seen.is_empty(), self.alarms) {
            (true, false) => Ability::Shielded,
            (true, true) => Ability::Degraded,
            (false, _) if self.degraded || one_sign => Ability::Degraded,
            (false, _) => Ability::Clear,
        };
        let mut weights = Weights::ZERO;
        for family in ThreatFamily::ALL {
            if let Some(ratio) = self.log_ratios[family.index()] {
                weights = weights.with(family, milli_decibans(ratio, -WEIGHT_CAP, WEIGHT_CAP));
            }
        }
        Interpretation {
            weights,
            ability,
            findings,
        }
    }
}

#[cfg(test)]
mod tests;

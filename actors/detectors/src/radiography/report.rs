//! What a vendor's recognition says, with the meaning of a DICOS threat report.
//!
//! A probability is the vendor's posterior in its own test: divided by the odds of that test, it is a likelihood ratio. If
//! the share of threats in the test is not stated, it is taken as one half, as in a balanced test. An alarm without a
//! probability is taken at the published operating point of 90 % at 6 % false alarms (arXiv 1609.02805).
//!
//! "Could not look" is never "saw nothing": a shielded object says nothing, and an image that was decided clear says
//! nothing about families that no object names, because nobody says what was looked for.

use portcullis_domain::evidence::{Ability, ThreatFamily};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::reading::{
    AbilityAssessment, AlarmDecision, ThreatCategory, ThreatFlag, ThreatObject, ThreatReport,
};

/// Probabilities are believed between these.
const BELIEVED: std::ops::RangeInclusive<f64> = 0.005..=0.995;
/// Share of threats in a test that does not state it.
const TEST_PREVALENCE: f64 = 0.5;
/// Alarms among threats and among none, where no probability is given.
const OPERATING_POINT: (f64, f64) = (0.90, 0.06);
/// Nobody is sure beyond this, natural log: a likelihood ratio of 200. It keeps a vendor's own calibration from being the
/// whole verdict.
const LOG_RATIO_MAX: f64 = 5.3;

/// What all reports of a pass come to.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Opinion {
    /// Natural-log likelihood ratios by family; none for a family that no object names.
    pub(super) log_ratios: [Option<f64>; 6],
    pub(super) ability: Ability,
    pub(super) findings: Vec<Finding>,
}

impl Opinion {
    /// Of several objects and reports, the greatest ratio of a family counts: they share one image and its errors.
    pub(super) fn of(reports: &[ThreatReport]) -> Self {
        let mut opinion = Self {
            log_ratios: [None; 6],
            ability: Ability::Clear,
            findings: Vec::new(),
        };
        for report in reports {
            opinion.add(report);
        }
        opinion
    }

    fn add(&mut self, report: &ThreatReport) {
        let who = format!("{} {} {}", report.maker, report.algorithm, report.version);
        let mut incomplete = |why: String| {
            self.ability = self.ability.max(Ability::Degraded);
            let finding = Finding::new(FindingCode::RecognitionIncomplete, "threat_report", why);
            self.findings.push(finding);
        };
        if let Some(abort) = &report.abort {
            incomplete(format!("{who} broke off: {abort}"));
        } else if report.decision == AlarmDecision::Unknown {
            incomplete(format!("{who} could not decide"));
        }
        let count = |ability| report.objects.iter().filter(|object| object.ability == ability).count();
        let (shielded, unknown) = (count(AbilityAssessment::Shield), count(AbilityAssessment::Unknown));
        if shielded + unknown > 0 {
            incomplete(format!(
                "{who}: {shielded} objects are shielded, {unknown} were not assessed"
            ));
        }
        if report.objects.is_empty() && report.decision == AlarmDecision::Alarm {
            self.take(ThreatFamily::Undeclared, alarm());
        }
        let prevalence = report
            .test_prevalence_ppm
            .map_or(TEST_PREVALENCE, |ppm| f64::from(ppm) / 1e6);
        for object in &report.objects {
            if object.ability == AbilityAssessment::Shield {
                continue;
            }
            // A report that broke off may still have found something, but cannot say that something is not there.
            let ratio = log_ratio(object, prevalence).filter(|ratio| *ratio > 0.0 || report.abort.is_none());
            if let Some(ratio) = ratio {
                self.take(family(object.category), ratio);
            }
        }
        if report.decision == AlarmDecision::Alarm {
            let detail = format!("{who}: alarm, {} objects", report.objects.len());
            let finding = Finding::new(FindingCode::RecognitionAlarm, "threat_report", detail);
            self.findings.push(finding);
        }
    }

    fn take(&mut self, family: ThreatFamily, ratio: f64) {
        let slot = &mut self.log_ratios[family.index()];
        *slot = Some(slot.map_or(ratio, |known| known.max(ratio)));
    }
}

fn alarm() -> f64 {
    (OPERATING_POINT.0 / OPERATING_POINT.1).ln()
}

fn no_alarm() -> f64 {
    ((1.0 - OPERATING_POINT.0) / (1.0 - OPERATING_POINT.1)).ln()
}

/// What one object says; nothing if neither probability nor flag does.
fn log_ratio(object: &ThreatObject, prevalence: f64) -> Option<f64> {
    let logit = |share: f64| {
        let share = share.clamp(*BELIEVED.start(), *BELIEVED.end());
        (share / (1.0 - share)).ln()
    };
    let ratio = match (object.probability_ppm, object.flag) {
        (Some(ppm), _) => logit(f64::from(ppm) / 1e6) - logit(prevalence),
        (None, ThreatFlag::HighThreat | ThreatFlag::Threat) => alarm(),
        (None, ThreatFlag::NoThreat) => no_alarm(),
        (None, ThreatFlag::Unknown) => return None,
    };
    Some(ratio.clamp(-LOG_RATIO_MAX, LOG_RATIO_MAX))
}

fn family(category: ThreatCategory) -> ThreatFamily {
    match category {
        ThreatCategory::Explosive => ThreatFamily::Explosives,
        ThreatCategory::ProhibitedItem => ThreatFamily::Weapons,
        ThreatCategory::Contraband | ThreatCategory::Pharmaceutical => ThreatFamily::Narcotics,
        ThreatCategory::Person => ThreatFamily::People,
        ThreatCategory::Anomaly | ThreatCategory::Other => ThreatFamily::Undeclared,
    }
}

//! Explanations in words, for somebody who knows the port and not the program.

use super::{Sum, Term, View, decibans};
use crate::evidence::{Ability, Evidence, Modality, ThreatFamily};
use crate::finding::Finding;
use crate::fusion::{Reason, Verdict};
use crate::id::SampleNo;
use crate::policy::Tier;

/// Findings of one source that are put into words; the others are listed with the evidence.
const FINDINGS_SHOWN: usize = 3;
/// Between two things that a source says.
const PART: &str = "; ";

/// What people call a source.
pub fn instrument(modality: Modality) -> &'static str {
    match modality {
        Modality::Manifest => "the declaration",
        Modality::Radiography => "the X-ray image",
        Modality::Radiation => "the radiation portal",
        Modality::Magnetometer => "the magnetometers",
        Modality::Nqr => "the NQR coil",
        Modality::Trace => "the trace detector",
        Modality::Weighbridge => "the weighbridge",
        Modality::Ocr => "the number camera",
    }
}

/// What people call what a family stands for.
pub fn threat(family: ThreatFamily) -> &'static str {
    match family {
        ThreatFamily::Nuclear => "nuclear material",
        ThreatFamily::Undeclared => "undeclared goods",
        other => other.as_str(),
    }
}

/// Millionths as odds that people can picture.
pub fn chance(ppm: u32) -> String {
    match ppm {
        0 => "less than 1 in a million".to_owned(),
        1..=333_333 => format!("about 1 in {}", grouped((1_000_000 + ppm / 2) / ppm)),
        _ => format!("about {} in 100", ((ppm + 5_000) / 10_000).min(99)),
    }
}

/// 12,345.
fn grouped(number: u32) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// What a source saw up to a sample.
pub(super) fn view(evidence: &Evidence, ability: Ability, at: SampleNo) -> View {
    let known: Vec<&Finding> = evidence
        .findings
        .iter()
        .filter(|noted| noted.sample <= at)
        .map(|noted| &noted.finding)
        .collect();
    let mut parts: Vec<String> = known.iter().take(FINDINGS_SHOWN).map(|finding| said(finding)).collect();
    if let Some(more) = known.len().checked_sub(FINDINGS_SHOWN).filter(|more| *more > 0) {
        parts.push(format!("{more} more findings"));
    }
    let saw = match (ability, parts.is_empty()) {
        (Ability::Clear, true) => Some("noticed nothing unusual"),
        (Ability::Clear, false) => None,
        (Ability::Degraded, _) => Some("saw only in part"),
        (Ability::Shielded, _) => Some("could not see"),
    };
    let says: Vec<String> = saw.map(str::to_owned).into_iter().chain(parts).collect();
    View {
        source: source_of(evidence),
        modality: evidence.modality,
        ability,
        says: says.join(PART),
    }
}

/// The device, or the modality where there is none.
pub(super) fn source_of(evidence: &Evidence) -> String {
    evidence
        .readings
        .as_ref()
        .map_or_else(|| evidence.modality.to_string(), |range| range.device.to_string())
}

fn said(finding: &Finding) -> String {
    let meaning = finding.code.meaning().trim_end_matches('.');
    if finding.detail.is_empty() {
        meaning.to_owned()
    } else {
        format!("{meaning} ({})", finding.detail)
    }
}

/// The whole in one sentence, or two.
pub(super) fn sentence(verdict: &Verdict, sums: &[Sum], views: &[View]) -> String {
    let outcome = match verdict.tier {
        Tier::Release => "Released",
        Tier::Review => "Held for an officer's review",
        Tier::Exam => "Held for an exam",
    };
    let decisive: Vec<&Reason> = verdict
        .reasons
        .iter()
        .filter(|reason| reason.tier() == verdict.tier)
        .collect();
    let why = decisive.first().map_or_else(
        || "no reason was recorded".to_owned(),
        |reason| plain(reason, sums, views),
    );
    let more = match decisive.len() {
        0 | 1 => String::new(),
        2 => " There is one more reason.".to_owned(),
        count => format!(" There are {} more reasons.", count - 1),
    };
    let nearest = sums.first().filter(|_| verdict.tier == Tier::Release).map(|sum| {
        let distance = i64::from(sum.review) - i64::from(sum.score);
        format!(
            " Nearest to a review is {}: {}, {} dB below where one begins.",
            threat(sum.family),
            chance(sum.probability_ppm),
            decibans(distance)
        )
    });
    let early = if verdict.stopped {
        format!(" Enough was known after sample {}.", verdict.at_sample)
    } else {
        String::new()
    };
    format!("{outcome}: {why}.{more}{}{early}", nearest.unwrap_or_default())
}

fn plain(reason: &Reason, sums: &[Sum], views: &[View]) -> String {
    match reason {
        Reason::Score { family, .. } => {
            let Some(sum) = sums.iter().find(|sum| sum.family == *family) else {
                return super::describe(reason);
            };
            let strongest = sum
                .terms
                .iter()
                .zip(views)
                .filter(|(term, _)| term.adds > 0)
                .max_by_key(|(term, _)| term.adds);
            let mostly = strongest
                .map(|(term, view)| format!(", mostly because of {}: {}", instrument(term.modality), foremost(view)));
            format!(
                "{} cannot be ruled out, {}{}",
                threat(*family),
                chance(sum.probability_ppm),
                mostly.unwrap_or_default()
            )
        }
        Reason::Missing { modality, .. } => {
            format!("{} says nothing, and the policy requires it", instrument(*modality))
        }
        Reason::NotSeen { modality, ability, .. } => format!(
            "{} {}, and the policy requires a clear look",
            instrument(*modality),
            match ability {
                Ability::Shielded => "could not see",
                Ability::Degraded | Ability::Clear => "saw only in part",
            }
        ),
        Reason::Stale { modality, age_s, .. } => format!(
            "what {} saw is {} s old, and the policy wants it fresher",
            instrument(*modality),
            age_s
        ),
        Reason::Found { code, .. } => {
            let meaning = code.meaning().trim_end_matches('.');
            let by = views.iter().find(|view| view.says.contains(meaning));
            let by = by.map(|view| format!(", says {}", instrument(view.modality)));
            format!("\"{meaning}\"{}", by.unwrap_or_default())
        }
        Reason::PassesExhausted { passes } => format!("{passes} passes broke off, and no more are tried"),
        Reason::NothingAgainst => "nothing speaks against it".to_owned(),
        Reason::Drifting { .. } => format!("{}, so people have to look", super::describe(reason)),
    }
}

/// The first thing that a source found, else how well it saw.
fn foremost(view: &View) -> &str {
    let mut parts = view.says.split(PART);
    let first = parts.next().unwrap_or_default();
    match view.ability {
        Ability::Clear => first,
        Ability::Degraded | Ability::Shielded => parts.next().unwrap_or(first),
    }
}

/// Why a source could not see, in a line.
pub(super) fn unseen(view: &View) -> String {
    let parts: Vec<&str> = view.says.split(PART).take(2).collect();
    format!("{} ({}): {}", instrument(view.modality), view.source, parts.join(PART))
}

/// Sources whose contribution alone makes the difference between a score and what lies below a threshold.
pub(super) fn decisive_sources(terms: &[Term], score: i32, threshold: i32) -> Vec<&'static str> {
    let over = i64::from(score) - i64::from(threshold);
    let mut names: Vec<&'static str> = terms
        .iter()
        .filter(|term| i64::from(term.adds) > over)
        .map(|term| instrument(term.modality))
        .collect();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_such_as_people_can_picture() {
        assert_eq!(chance(0), "less than 1 in a million");
        assert_eq!(chance(10), "about 1 in 100,000");
        assert_eq!(chance(163_000), "about 1 in 6");
        assert_eq!(chance(500_000), "about 50 in 100");
        assert_eq!(chance(1_000_000), "about 99 in 100");
    }

    #[test]
    fn thousands_are_grouped() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}

//! The container number that the cameras read, against the one that was announced, and the seal on the doors.
//!
//! # Model of the number
//! Two explanations of a reading are compared: the announced number is painted on the box, or another one is.
//! - *The announced number*: it was read with the confusions of optical readers (`confusion`, `alignment`), or whoever
//!   announced it made a typing error. One look in two hundred shows something else than the number.
//! - *Another number*: one that any box may have, read in the same way. Its check digit fits in nearly all cases (`numbers`).
//!   So a digit that fits makes another box likelier, and one that does not a garbled reading.
//!
//! The check digit alone proves little: letters that are equal modulo 11 (`S` and `I`, `M` and `C`, ...) are never told
//! apart by it, about 2 % of other single errors pass, and some real boxes carry wrong digits.
//!
//! Candidates of one look are alternatives: at most one is right, so their likelihoods are averaged by the reader's
//! confidence. What is left of the confidence is doubt: half of it is taken for a number near those that were read, half
//! says nothing. Several looks at one box share paint, dirt and light. Their log-likelihoods add up, scaled by 1 / (1 + (n - 1) 0.5), which is
//! right for bell-shaped errors with a correlation of 0.5 (a working value).
//!
//! Some honest boxes come under a wrong number, and many undeclared goods come in the box that was announced, or in one on
//! which its number was painted. So a match says little, and another number is no proof.

mod alignment;
mod confusion;
mod differences;
mod numbers;
mod seal;

use portcullis_domain::equipment::{EquipmentId, Iso6346};
use portcullis_domain::evidence::{Ability, ThreatFamily, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::manifest::Manifest;
use portcullis_domain::reading::{Candidate, Recognition};

use self::confusion::Sight;
use self::differences::differences;
use self::numbers::{Numbers, Text};
use crate::interpretation::{Interpretation, WEIGHT_CAP, log_sum, milli_decibans};

/// Name and version of this interpreter.
pub const VERSION: &str = "ocr-match/2";

/// A look without any text of this confidence, in thousandths, is not taken as read.
pub const CONFIDENCE_MIN: u32 = 300;
/// The most looks that are taken together; further ones of a pass add nothing.
pub const LOOKS_MAX: usize = 16;
/// The most candidates of a look, the surest first.
const CANDIDATES_MAX: usize = 16;

/// Of honest boxes, those that come under another number than the announced one: mix-ups at the depot. Working value.
const MIXED_UP_SHARE: f64 = 0.002;
/// Of boxes with undeclared goods, those that are another box than the announced one. No figure is published; half says that
/// nothing is known.
const SWAPPED_SHARE: f64 = 0.5;
/// Of the doubt that a reader leaves, what says nothing at all; the rest is a number near those that were read. Working value.
const UNRELATED_SHARE: f64 = 0.5;
/// Correlation of the errors of several looks at one box. Working value.
const LOOKS_CORRELATION: f64 = 0.5;
/// The explanation that is so many times likelier is taken for the right one.
const DECISIVE: f64 = 10.0;

/// Compares what was read in all looks of a pass with what was announced. The order of looks and candidates does not
/// matter.
pub fn interpret(recognitions: &[Recognition], announced: &EquipmentId, manifest: &Manifest) -> Interpretation {
    let recognitions = recognitions.get(..LOOKS_MAX).unwrap_or(recognitions);
    let mut seen = number(recognitions, announced);
    let seals = seal::interpret(recognitions, manifest);
    for (family, weight) in seals.weights {
        let sum = seen.weights.of(family).saturating_add(weight);
        seen.weights = seen.weights.with(family, sum.clamp(-WEIGHT_CAP, WEIGHT_CAP));
    }
    seen.findings.extend(seals.findings);
    seen
}

/// What one look at the number came to.
struct Look {
    /// Surest first; ties by text.
    texts: Vec<(Text, f64)>,
    /// What the confidences leave.
    doubt: f64,
    /// The factor of each way in which the announced number may be painted, with the doubt.
    factors: Vec<f64>,
    /// How much likelier the texts are with the announced number than with another, without the doubt.
    as_read: f64,
    /// The announced number itself is among what was read.
    exact: bool,
}

impl Look {
    fn new(candidates: &[Candidate], numbers: &Numbers) -> Option<Self> {
        let (texts, doubt) = texts(candidates)?;
        let sure = 1.0 - doubt;
        let mut factors = vec![0.0; numbers.ways().count()];
        let mut as_read = 0.0;
        for (text, share) in &texts {
            // Parts of a number do not speak for another box.
            let least = if text.is_whole() { 0.0 } else { 1.0 };
            let sharp = numbers.factors(text, Sight::Sharp);
            let blurred = numbers.factors(text, Sight::Blurred);
            for ((sum, sharp), blurred) in factors.iter_mut().zip(&sharp).zip(&blurred) {
                let near = doubt * (1.0 - UNRELATED_SHARE) * share / sure;
                *sum += share * sharp.max(least) + near * blurred.max(least);
            }
            let of_all: f64 = numbers.ways().zip(&sharp).map(|(share, factor)| share * factor).sum();
            as_read += share / sure * of_all.max(least);
        }
        for sum in &mut factors {
            *sum += doubt * UNRELATED_SHARE;
        }
        let exact = texts
            .iter()
            .any(|(text, share)| *share >= least_share() && text.symbols == numbers.symbols());
        Some(Self {
            texts,
            doubt,
            factors,
            as_read,
            exact,
        })
    }

    fn best(&self) -> Option<&Text> {
        self.texts.first().map(|(text, _)| text)
    }
}

fn least_share() -> f64 {
    f64::from(CONFIDENCE_MIN) / 1_000.0
}

/// The texts of a look with the probability of each, and what they leave; none if nothing was read surely enough.
fn texts(candidates: &[Candidate]) -> Option<(Vec<(Text, f64)>, f64)> {
    let mut legible: Vec<(Text, f64)> = candidates
        .iter()
        .filter_map(|one| {
            Some((
                Text::of(&one.text)?,
                f64::from(one.confidence_permille.min(1_000)) / 1_000.0,
            ))
        })
        .filter(|(_, share)| *share > 0.0)
        .collect();
    legible.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    legible.truncate(CANDIDATES_MAX);
    if legible.first().is_none_or(|(_, share)| *share < least_share()) {
        return None;
    }
    // Readers that give each candidate a confidence of its own may promise more than certainty.
    let total: f64 = legible.iter().map(|(_, share)| share).sum::<f64>().max(1.0);
    for (_, share) in &mut legible {
        *share /= total;
    }
    let doubt = (1.0 - legible.iter().map(|(_, share)| share).sum::<f64>()).clamp(0.0, 1.0);
    Some((legible, doubt))
}

fn number(recognitions: &[Recognition], announced: &EquipmentId) -> Interpretation {
    let numbers = Numbers::new(announced);
    let mut looks: Vec<Look> = recognitions
        .iter()
        .filter_map(|recognition| Look::new(&recognition.candidates, &numbers))
        .collect();
    // Sums of floats depend on their order, and what a pass comes to must not.
    looks.sort_by(|a, b| {
        a.texts
            .iter()
            .map(|(text, _)| text)
            .cmp(b.texts.iter().map(|(text, _)| text))
            .then(a.doubt.total_cmp(&b.doubt))
    });
    if looks.is_empty() {
        let count: usize = recognitions.iter().map(|one| one.candidates.len()).sum();
        let detail = format!("{count} candidates, none readable with enough confidence");
        return Interpretation {
            weights: Weights::ZERO,
            ability: Ability::Shielded,
            findings: vec![Finding::new(FindingCode::OcrUnreadable, "ocr", detail)],
        };
    }
    let announced_ratio = combine(&looks, &numbers);
    let comparable = Iso6346::of(announced.as_str()) != Iso6346::Other;
    let (ability, findings) = judge(&looks, announced_ratio.exp(), announced, &numbers, comparable);
    // Where the announced id is of another kind, such as a trailer's plate, another number proves nothing.
    let high = if comparable { WEIGHT_CAP } else { 0 };
    let weight = milli_decibans(log_ratio(announced_ratio), -WEIGHT_CAP, high);
    Interpretation {
        weights: Weights::ZERO.with(ThreatFamily::Undeclared, weight),
        ability,
        findings,
    }
}

/// How much likelier all looks together are if the announced number is painted, mistyped or not, than if another is: natural
/// logarithm.
fn combine(looks: &[Look], numbers: &Numbers) -> f64 {
    let scale = scale(looks.len());
    let ways: Vec<f64> = numbers
        .ways()
        .enumerate()
        .map(|(way, share)| {
            let sum: f64 = looks
                .iter()
                .map(|look| look.factors.get(way).copied().unwrap_or(1.0).ln())
                .sum();
            share.ln() + scale * sum
        })
        .collect();
    log_sum(&ways)
}

/// What the sum of so many log-likelihoods is scaled with, because their errors are not independent.
fn scale(looks: usize) -> f64 {
    1.0 / (1.0 + (looks.max(1) - 1) as f64 * LOOKS_CORRELATION)
}

/// Natural-log likelihood ratio of undeclared goods, from that of the announced number.
fn log_ratio(announced: f64) -> f64 {
    let honest = log_sum(&[(1.0 - MIXED_UP_SHARE).ln() + announced, MIXED_UP_SHARE.ln()]);
    log_sum(&[(1.0 - SWAPPED_SHARE).ln(), SWAPPED_SHARE.ln() - honest])
}

/// Whether the number was seen, and what the officer should know.
fn judge(
    looks: &[Look],
    ratio: f64,
    announced: &EquipmentId,
    numbers: &Numbers,
    comparable: bool,
) -> (Ability, Vec<Finding>) {
    let another = looks.iter().find(|look| look.as_read <= 1.0 / DECISIVE);
    let exact = looks.iter().any(|look| look.exact);
    let Some(shown) = another.or_else(|| looks.first()) else {
        return (Ability::Shielded, Vec::new());
    };
    let Some(read) = shown.best() else {
        return (Ability::Shielded, Vec::new());
    };
    if exact && another.is_none() {
        return (Ability::Clear, Vec::new());
    }
    let mut findings = Vec::new();
    if let Some(digit) = read.check_digit.filter(|digit| !digit.fits) {
        let detail = format!("read {read}, whose check digit should be {}", digit.expected);
        findings.push(Finding::new(FindingCode::CheckDigitWrong, "ocr", detail));
    }
    let mut detail = format!("read {read}, announced {announced}");
    let (ability, code) = match another {
        Some(_) if exact || ratio >= DECISIVE => {
            detail.push_str("; looks at the same box disagree, so look at the pictures");
            (Ability::Degraded, FindingCode::OcrUncertain)
        }
        Some(_) if !comparable => {
            detail.push_str(", which is not an ISO 6346 number to compare with");
            (Ability::Degraded, FindingCode::OcrMismatch)
        }
        Some(_) => {
            let seen = ratio <= 1.0 / DECISIVE;
            detail.push_str(&differences(&read.symbols, numbers.symbols()));
            let ability = if seen { Ability::Clear } else { Ability::Degraded };
            (ability, FindingCode::OcrMismatch)
        }
        None => {
            detail.push_str(&differences(&read.symbols, numbers.symbols()));
            (Ability::Degraded, FindingCode::OcrUncertain)
        }
    };
    findings.push(Finding::new(code, "ocr", detail));
    (ability, findings)
}

#[cfg(test)]
mod tests;

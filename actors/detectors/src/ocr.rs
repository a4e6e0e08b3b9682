//! The container number that the cameras read, against the one that was announced.
//!
//! The check digit alone proves little: letters that are equal modulo 11 (`S` and `I`, `M` and `C`, ...) are never told
//! apart by it, about 2 % of other single errors pass, and some real boxes carry wrong digits. So the announced number,
//! the reader's confidence and the digit are taken together. Gate readers are right 95 to 99 % of the time: one or two
//! wrong characters are a reading error far more often than another box.
//!
//! A match says little, since whoever clones a box paints the right number on it.

use portcullis_domain::equipment::{EquipmentId, Iso6346};
use portcullis_domain::evidence::{Ability, ThreatFamily, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::reading::Recognition;

use crate::interpretation::Interpretation;

/// Name and version of this interpreter.
pub const VERSION: &str = "ocr-match/1";

/// Below this confidence a text is not taken as read, in thousandths.
pub const CONFIDENCE_MIN: u32 = 300;

/// Weights at full confidence, milli-decibans.
const MATCH: i32 = -3_000;
/// One character off with a right check digit: still most likely a reading error.
const ONE_OFF: i32 = 1_000;
const TWO_OFF: i32 = 4_000;
const ANOTHER_NUMBER: i32 = 12_000;
/// Another number whose own check digit is wrong: the reading itself is in doubt.
const ANOTHER_NUMBER_DOUBTFUL: i32 = 5_000;

/// Letters with equal value modulo 11 under ISO 6346; the check digit cannot tell them apart.
const SAME_TO_CHECK_DIGIT: [&str; 10] = ["AKU", "BLV", "CMW", "DNX", "EOY", "FPZ", "GQ", "HR", "IS", "JT"];

/// Compares what was read with what was announced.
pub fn interpret(recognition: &Recognition, announced: &EquipmentId) -> Interpretation {
    let legible = recognition
        .candidates
        .iter()
        .filter(|c| c.confidence_permille >= CONFIDENCE_MIN);
    let mut whole: Vec<(EquipmentId, u32)> = legible
        .clone()
        .filter_map(|c| Some((EquipmentId::new(&c.text).ok()?, c.confidence_permille.min(1_000))))
        .collect();
    // The announced number first if it is among them, then by confidence; ties by text, so that order does not matter.
    whole.sort_by(|a, b| {
        (b.0 == *announced, b.1)
            .cmp(&(a.0 == *announced, a.1))
            .then_with(|| a.0.cmp(&b.0))
    });
    if let Some((id, confidence)) = whole.into_iter().next() {
        let (weight, ability, findings) = compare(&id, announced);
        let weight = weight * i32::try_from(confidence).unwrap_or(1_000) / 1_000;
        let weights = Weights::ZERO.with(ThreatFamily::Undeclared, weight);
        return Interpretation {
            weights,
            ability,
            findings,
        };
    }
    // Parts of a number cannot tell another box from a bad picture.
    let part = legible
        .map(|candidate| candidate.text.chars().take(40).collect::<String>())
        .filter(|text| text.contains(|c: char| c.is_ascii_alphanumeric()))
        .min();
    let (ability, finding) = match part {
        Some(part) => {
            let detail = format!("read {part:?}, announced {announced}");
            (
                Ability::Degraded,
                Finding::new(FindingCode::OcrUncertain, "ocr", detail),
            )
        }
        None => {
            let count = recognition.candidates.len();
            let detail = format!("{count} candidates, none readable with enough confidence");
            (
                Ability::Shielded,
                Finding::new(FindingCode::OcrUnreadable, "ocr", detail),
            )
        }
    };
    Interpretation {
        weights: Weights::ZERO,
        ability,
        findings: vec![finding],
    }
}

/// Weight at full confidence, ability and findings.
fn compare(read: &EquipmentId, announced: &EquipmentId) -> (i32, Ability, Vec<Finding>) {
    if read == announced {
        return (MATCH, Ability::Clear, Vec::new());
    }
    let Iso6346::Number { expected, found, .. } = Iso6346::of(read.as_str()) else {
        let detail = format!("read {read}, announced {announced}; it is not a whole container number");
        return (
            0,
            Ability::Degraded,
            vec![Finding::new(FindingCode::OcrUncertain, "ocr", detail)],
        );
    };
    if Iso6346::of(announced.as_str()) == Iso6346::Other {
        let detail = format!("read {read}; the announced {announced} is not an ISO 6346 number to compare with");
        return (
            0,
            Ability::Degraded,
            vec![Finding::new(FindingCode::OcrMismatch, "ocr", detail)],
        );
    }
    let digit_right = found == Some(expected);
    let mut findings = Vec::new();
    if !digit_right {
        let detail = format!("read {read}, whose check digit should be {expected}");
        findings.push(Finding::new(FindingCode::CheckDigitWrong, "ocr", detail));
    }
    let pairs: Vec<(char, char)> = read
        .as_str()
        .chars()
        .zip(announced.as_str().chars())
        .filter(|(a, b)| a != b)
        .collect();
    let same_number = read.as_str().get(..10) == announced.as_str().get(..10);
    if same_number && digit_right && announced.as_str().len() == 10 {
        // The announcement left the check digit out.
        return (MATCH, Ability::Clear, Vec::new());
    }
    let differing = if same_number { 1 } else { pairs.len() };
    let blind = pairs.iter().all(|pair| same_to_check_digit(*pair));
    let (weight, code) = match (differing, digit_right) {
        (0 | 1, true) => (ONE_OFF, FindingCode::OcrUncertain),
        (2, true) => (TWO_OFF, FindingCode::OcrMismatch),
        (_, true) => (ANOTHER_NUMBER, FindingCode::OcrMismatch),
        (0..=2, false) => (0, FindingCode::OcrUncertain),
        (_, false) => (ANOTHER_NUMBER_DOUBTFUL, FindingCode::OcrMismatch),
    };
    let mut detail = format!("read {read}, announced {announced}: {differing} characters differ");
    if blind && digit_right {
        detail.push_str("; the check digit cannot tell these letters apart");
    }
    findings.push(Finding::new(code, "ocr", detail));
    let ability = if code == FindingCode::OcrUncertain {
        Ability::Degraded
    } else {
        Ability::Clear
    };
    (weight, ability, findings)
}

fn same_to_check_digit((a, b): (char, char)) -> bool {
    SAME_TO_CHECK_DIGIT
        .iter()
        .any(|group| group.contains(a) && group.contains(b))
}

#[cfg(test)]
mod tests {
    use portcullis_domain::reading::Candidate;

    use super::*;

    fn candidate(text: &str, confidence_permille: u32) -> Candidate {
        Candidate {
            text: text.to_owned(),
            confidence_permille,
        }
    }

    fn interpret_one(text: &str, confidence: u32, announced: &str) -> (i32, Ability, Vec<FindingCode>) {
        let recognition = Recognition {
            candidates: vec![candidate(text, confidence)],
        };
        let result = interpret(&recognition, &EquipmentId::new(announced).unwrap());
        (
            result.weights.of(ThreatFamily::Undeclared),
            result.ability,
            result.findings.iter().map(|finding| finding.code).collect(),
        )
    }

    #[test]
    fn the_announced_number_speaks_a_little_against_another_box() {
        assert_eq!(
            interpret_one("CBHU 619203-1", 1_000, "CBHU6192031"),
            (-3_000, Ability::Clear, vec![])
        );
        assert_eq!(interpret_one("CBHU6192031", 500, "CBHU6192031").0, -1_500);
    }

    #[test]
    fn a_number_with_remainder_ten_and_digit_zero_is_as_good_as_any() {
        assert_eq!(interpret_one("FSCU8710190", 1_000, "FSCU8710190").2, []);
        let (weight, _, codes) = interpret_one("FSCU8710190", 1_000, "CBHU6192031");
        assert_eq!((weight, codes), (12_000, vec![FindingCode::OcrMismatch]));
    }

    #[test]
    fn letters_that_the_check_digit_cannot_tell_apart_stay_uncertain() {
        // S read as I: the digit still fits, and nobody could have known.
        let (weight, ability, codes) = interpret_one("MIKU1234565", 1_000, "MSKU1234565");
        assert_eq!(
            (weight, ability, codes),
            (1_000, Ability::Degraded, vec![FindingCode::OcrUncertain])
        );
        for group in SAME_TO_CHECK_DIGIT {
            let digits: Vec<_> = group
                .chars()
                .map(|letter| match Iso6346::of(&format!("{letter}SKU1234565")) {
                    Iso6346::Number { expected, .. } => expected,
                    Iso6346::Other => panic!("{letter} makes a number"),
                })
                .collect();
            assert!(digits.windows(2).all(|pair| pair[0] == pair[1]), "{group}");
        }
    }

    #[test]
    fn a_wrong_check_digit_makes_the_reading_doubtful_and_not_the_box() {
        let (weight, ability, codes) = interpret_one("CBHU6192081", 1_000, "CBHU6192031");
        assert_eq!((weight, ability), (0, Ability::Degraded));
        assert_eq!(codes, [FindingCode::CheckDigitWrong, FindingCode::OcrUncertain]);
        let (weight, _, codes) = interpret_one("TTNU4873280", 1_000, "CBHU6192031");
        assert_eq!((weight, codes.len()), (5_000, 2));
    }

    #[test]
    fn a_box_that_carries_the_wrong_digit_it_was_announced_with_matches() {
        assert_eq!(interpret_one("CONU1234567", 1_000, "CONU1234567").2, []);
        assert_eq!(interpret_one("MSTI6415664", 1_000, "MSTI6415664").2, []);
    }

    #[test]
    fn nothing_readable_is_not_the_same_as_nothing_wrong() {
        for (text, confidence) in [("CBHU6192031", 299), ("", 1_000), ("????", 1_000)] {
            assert_eq!(
                interpret_one(text, confidence, "CBHU6192031"),
                (0, Ability::Shielded, vec![FindingCode::OcrUnreadable])
            );
        }
        assert_eq!(
            interpret_one("CBHU61", 900, "CBHU6192031").2,
            [FindingCode::OcrUncertain]
        );
        assert_eq!(
            interpret_one("CBHU61?2031", 900, "CBHU6192031").2,
            [FindingCode::OcrUncertain]
        );
        assert_eq!(interpret_one("CBHU6192031", 900, "CBHU619203").2, []);
    }

    #[test]
    fn a_declaration_with_another_kind_of_id_cannot_be_compared() {
        let (weight, _, codes) = interpret_one("CBHU6192031", 1_000, "DM1234");
        assert_eq!((weight, codes), (0, vec![FindingCode::OcrMismatch]));
    }

    #[test]
    fn the_announced_number_among_the_candidates_wins_and_their_order_does_not_matter() {
        let mut recognition = Recognition {
            candidates: vec![candidate("TTNU4873285", 900), candidate("CBHU6192031", 600)],
        };
        let announced = EquipmentId::new("CBHU6192031").unwrap();
        let first = interpret(&recognition, &announced);
        recognition.candidates.reverse();
        assert_eq!(first, interpret(&recognition, &announced));
        assert_eq!(first.weights.of(ThreatFamily::Undeclared), -1_800);
    }
}

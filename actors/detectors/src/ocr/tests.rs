use portcullis_domain::reading::{SealReading, SealState};
use proptest::prelude::*;

use super::*;

fn candidate(text: &str, confidence_permille: u32) -> Candidate {
    Candidate {
        text: text.to_owned(),
        confidence_permille,
    }
}

fn recognition(candidates: &[(&str, u32)]) -> Recognition {
    Recognition {
        candidates: candidates.iter().map(|(text, sure)| candidate(text, *sure)).collect(),
        seal: None,
    }
}

fn of_looks(looks: &[Recognition], announced: &str) -> (i32, Ability, Vec<FindingCode>) {
    let result = interpret(looks, &EquipmentId::new(announced).unwrap(), &Manifest::default());
    (
        result.weights.of(ThreatFamily::Undeclared),
        result.ability,
        result.findings.iter().map(|finding| finding.code).collect(),
    )
}

fn of_one(text: &str, confidence: u32, announced: &str) -> (i32, Ability, Vec<FindingCode>) {
    of_looks(&[recognition(&[(text, confidence)])], announced)
}

#[test]
fn the_announced_number_speaks_a_little_against_another_box() {
    // Half of undeclared goods would come in another box: a match halves the odds, whatever the reader's doubt, because no
    // other box has this very number.
    for confidence in [500, 1_000] {
        assert_eq!(
            of_one("CBHU 619203-1", confidence, "CBHU6192031"),
            (-3_010, Ability::Clear, vec![])
        );
    }
}

#[test]
fn a_number_with_remainder_ten_and_digit_zero_is_as_good_as_any() {
    assert_eq!(of_one("FSCU8710190", 1_000, "FSCU8710190").2, []);
    let (weight, ability, codes) = of_one("FSCU8710190", 1_000, "CBHU6192031");
    assert_eq!((ability, codes), (Ability::Clear, vec![FindingCode::OcrMismatch]));
    assert!((15_000..25_000).contains(&weight), "{weight}");
}

#[test]
fn a_single_wrong_character_is_a_misreading_also_where_the_check_digit_is_blind() {
    // S read as I: the digit still fits. No box is swapped for one whose number differs in one letter by chance.
    for read in ["MIKU1234565", "M5KU1234565", "MSKU1234S65", "MSKU1234665"] {
        let (weight, ability, codes) = of_one(read, 950, "MSKU1234565");
        assert!((-3_011..-2_000).contains(&weight), "{read}: {weight}");
        assert_eq!(ability, Ability::Degraded);
        assert_eq!(codes.last(), Some(&FindingCode::OcrUncertain));
    }
}

#[test]
fn a_sister_of_the_same_owner_is_held_for_another_box_if_its_check_digit_fits() {
    let Iso6346::Number { expected, .. } = Iso6346::of("CBHU619757") else {
        panic!("a number")
    };
    let (weight, _, codes) = of_one(&format!("CBHU619757{expected}"), 980, "CBHU6192031");
    assert!(weight > 10_000, "{weight}");
    assert_eq!(codes, [FindingCode::OcrMismatch]);
}

#[test]
fn a_wrong_check_digit_makes_the_reading_doubtful_and_not_the_box() {
    let (_, ability, codes) = of_one("CBHU6192081", 1_000, "CBHU6192031");
    assert_eq!(ability, Ability::Degraded);
    assert_eq!(codes, [FindingCode::CheckDigitWrong, FindingCode::OcrUncertain]);
    let (doubtful, _, codes) = of_one("TTNU4873280", 1_000, "CBHU6192031");
    assert_eq!(codes, [FindingCode::CheckDigitWrong, FindingCode::OcrMismatch]);
    let (sound, ..) = of_one("TTNU4873285", 1_000, "CBHU6192031");
    assert!(doubtful > 5_000 && doubtful + 5_000 < sound, "{doubtful} {sound}");
}

#[test]
fn a_box_that_carries_the_wrong_digit_it_was_announced_with_matches() {
    assert_eq!(of_one("CONU1234567", 1_000, "CONU1234567").2, []);
    assert_eq!(of_one("MSTI6415664", 1_000, "MSTI6415664").2, []);
}

#[test]
fn exchanged_neighbours_are_a_typing_error_rather_than_another_box() {
    let (weight, ability, codes) = of_one("CBHU6129031", 980, "CBHU6192031");
    assert!(weight < -1_000, "{weight}");
    assert_eq!(ability, Ability::Degraded);
    assert_eq!(codes.last(), Some(&FindingCode::OcrUncertain));
}

#[test]
fn nothing_readable_is_not_the_same_as_nothing_wrong() {
    for (text, confidence) in [("CBHU6192031", 299), ("", 1_000), ("????", 1_000), ("Ω", 1_000)] {
        assert_eq!(
            of_one(text, confidence, "CBHU6192031"),
            (0, Ability::Shielded, vec![FindingCode::OcrUnreadable])
        );
    }
    assert_eq!(of_looks(&[], "CBHU6192031").1, Ability::Shielded);
}

#[test]
fn parts_of_a_number_may_excuse_a_box_and_never_accuse_it() {
    for text in ["CBHU61", "CBHU61?2031", "6192031"] {
        let (weight, ability, codes) = of_one(text, 900, "CBHU6192031");
        assert!(weight < -2_000, "{text}: {weight}");
        assert_eq!((ability, codes), (Ability::Degraded, vec![FindingCode::OcrUncertain]));
    }
    for text in ["TTNU48", "TTNU48?32?5", "MAERSK"] {
        let (weight, ability, codes) = of_one(text, 1_000, "CBHU6192031");
        assert_eq!(
            (weight, ability, codes),
            (0, Ability::Degraded, vec![FindingCode::OcrUncertain]),
            "{text}"
        );
    }
    assert_eq!(of_one("CBHU6192031", 900, "CBHU619203").2, []);
}

#[test]
fn a_declaration_with_another_kind_of_id_cannot_be_compared() {
    let (weight, ability, codes) = of_one("CBHU6192031", 1_000, "DM1234");
    assert_eq!(
        (weight, ability, codes),
        (0, Ability::Degraded, vec![FindingCode::OcrMismatch])
    );
    assert_eq!(of_one("DM1234", 1_000, "DM1234"), (-3_010, Ability::Clear, vec![]));
}

#[test]
fn doubt_takes_weight_from_another_number() {
    let weights = [400, 600, 800, 950, 1_000].map(|sure| of_one("TTNU4873285", sure, "CBHU6192031").0);
    assert!(weights.is_sorted_by(|a, b| a < b), "{weights:?}");
    assert!(weights[0] > 0 && weights[4] > 15_000, "{weights:?}");
}

#[test]
fn candidates_of_one_look_are_alternatives() {
    // The announced number among them explains the look, even if another text is surer.
    let both = recognition(&[("TTNU4873285", 600), ("CBHU6192031", 380)]);
    assert_eq!(of_looks(&[both], "CBHU6192031"), (-3_010, Ability::Clear, vec![]));
    // As a faint second it still does, but somebody should look.
    let faint = recognition(&[("TTNU4873285", 900), ("CBHU6192031", 60)]);
    assert_eq!(of_looks(&[faint], "CBHU6192031").1, Ability::Degraded);
    // The same text twice is no second witness.
    let once = of_one("TTNU4873285", 900, "CBHU6192031").0;
    let twice = recognition(&[("TTNU4873285", 450), ("TTNU 487328-5", 450)]);
    assert!((of_looks(&[twice], "CBHU6192031").0 - once).abs() <= 1);
}

#[test]
fn looks_add_up_to_less_than_if_their_errors_were_independent() {
    let look = recognition(&[("TTNU4873285", 700)]);
    let weights: Vec<i32> = (1..=3)
        .map(|count| of_looks(&vec![look.clone(); count], "CBHU6192031").0)
        .collect();
    assert!(weights.is_sorted_by(|a, b| a < b), "{weights:?}");
    assert!(weights[1] < 2 * weights[0], "{weights:?}");
}

#[test]
fn looks_that_disagree_are_a_finding_and_not_an_average() {
    let looks = [
        recognition(&[("CBHU6192031", 980)]),
        recognition(&[("TTNU4873285", 980)]),
    ];
    let (_, ability, codes) = of_looks(&looks, "CBHU6192031");
    assert_eq!((ability, codes), (Ability::Degraded, vec![FindingCode::OcrUncertain]));
    let unclear = [recognition(&[("CBHU6192031", 980)]), recognition(&[("CBHU??", 400)])];
    assert_eq!(of_looks(&unclear, "CBHU6192031").1, Ability::Clear);
}

#[test]
fn the_seal_adds_its_weight_and_its_finding() {
    let manifest = Manifest {
        seals: vec!["SL0012345".to_owned()],
        ..Manifest::default()
    };
    let mut look = recognition(&[("CBHU6192031", 980)]);
    look.seal = Some(SealReading {
        state: SealState::Broken,
        candidates: Vec::new(),
    });
    let result = interpret(&[look], &EquipmentId::new("CBHU6192031").unwrap(), &manifest);
    assert_eq!(result.weights.of(ThreatFamily::Narcotics), 9_031);
    assert_eq!(result.weights.of(ThreatFamily::Undeclared), 7_782 - 3_010);
    assert_eq!(result.findings[0].code, FindingCode::SealBroken);
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Z]{3}U[0-9]{7}",
        "[A-Z0-9?]{0,14}",
        Just("CBHU6192031".to_owned()),
        Just("CBHU6192O31".to_owned()),
        ".{0,70}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn weights_are_bounded_and_the_order_of_looks_and_candidates_does_not_matter(
        looks in prop::collection::vec(prop::collection::vec((any_text(), 0..=2_000_u32), 0..4), 0..4),
        announced in "[A-Z0-9]{1,17}|CBHU6192031",
    ) {
        let looks: Vec<Recognition> = looks
            .iter()
            .map(|candidates| Recognition {
                candidates: candidates.iter().map(|(text, sure)| candidate(text, *sure)).collect(),
                seal: None,
            })
            .collect();
        let announced = EquipmentId::new(&announced).unwrap();
        let result = interpret(&looks, &announced, &Manifest::default());
        let weight = result.weights.of(ThreatFamily::Undeclared);
        prop_assert!((-3_011..=WEIGHT_CAP).contains(&weight), "{weight}");
        let mut reversed = looks;
        reversed.reverse();
        for look in &mut reversed {
            look.candidates.reverse();
        }
        prop_assert_eq!(result, interpret(&reversed, &announced, &Manifest::default()));
    }
}

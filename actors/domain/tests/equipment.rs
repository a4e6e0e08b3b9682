//! Container numbers against a public list of real and made ones.

use std::path::PathBuf;

use portcullis_domain::codec::{from_bytes, to_bytes};
use portcullis_domain::equipment::{EquipmentId, Iso6346};
use portcullis_domain::finding::FindingCode;
use proptest::prelude::*;

/// The list, if the folder of public test data is there.
fn vectors() -> Option<String> {
    let folder = std::env::var_os("PORTCULLIS_TEST_DATA").map(PathBuf::from);
    let path = folder.map(|folder| folder.join("refs/iso6346-vectors.csv"));
    let text = path.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
    if text.is_none() {
        eprintln!("skipped: refs/iso6346-vectors.csv is not in the folder that PORTCULLIS_TEST_DATA names");
    }
    text
}

#[test]
fn every_number_of_the_public_list_is_judged_as_listed() {
    let Some(text) = vectors() else { return };
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("id,remainder_mod11,expected_check_digit,check_ok,category_ok,note")
    );
    let mut count = 0;
    for line in lines {
        let [id, remainder, digit, check_ok, category_ok, _note] = line.splitn(6, ',').collect::<Vec<_>>()[..] else {
            panic!("{line:?} has not six columns");
        };
        let digit: u8 = digit.parse().unwrap();
        assert_eq!(remainder.parse::<u8>().unwrap() % 10, digit, "{id}");
        let equipment = EquipmentId::new(id).unwrap();
        let Iso6346::Number { expected, found, .. } = Iso6346::of(equipment.as_str()) else {
            panic!("{id} has the shape of a container number");
        };
        assert_eq!(expected, digit, "{id}");
        assert_eq!(found == Some(expected), check_ok == "1", "{id}");
        let codes: Vec<_> = equipment.findings().into_iter().map(|one| one.code).collect();
        assert_eq!(codes.contains(&FindingCode::CheckDigitWrong), check_ok == "0", "{id}");
        assert_eq!(
            codes.contains(&FindingCode::EquipmentCategory),
            category_ok == "0",
            "{id}"
        );
        count += 1;
    }
    assert!(count >= 20, "only {count} numbers are listed");
}

#[test]
fn without_its_check_digit_every_listed_number_still_names_the_right_one() {
    let Some(text) = vectors() else { return };
    for line in text.lines().skip(1) {
        let mut columns = line.split(',');
        let (id, digit) = (columns.next().unwrap(), columns.nth(1).unwrap());
        let findings = EquipmentId::new(&id[..10]).unwrap().findings();
        let missing = findings
            .iter()
            .find(|finding| finding.code == FindingCode::CheckDigitMissing)
            .unwrap();
        assert!(missing.detail.ends_with(&format!("{digit} is expected")), "{missing}");
    }
}

proptest! {
    #[test]
    fn an_id_is_read_written_and_ordered_as_its_text(one in "[A-Z0-9]{1,17}", other in "[A-Z0-9]{1,17}") {
        let id = EquipmentId::new(&one).unwrap();
        prop_assert_eq!(id.as_str(), &one);
        prop_assert_eq!(to_bytes(&id), to_bytes(&one));
        let read: EquipmentId = from_bytes(&to_bytes(&one)).unwrap();
        prop_assert_eq!(&read, &id);
        prop_assert_eq!(id.cmp(&EquipmentId::new(&other).unwrap()), one.cmp(&other));
        let longer = format!("{one}{other}");
        prop_assert_eq!(EquipmentId::new(&longer).is_ok(), longer.len() <= 17);
        let lower = one.to_lowercase();
        prop_assert_eq!(from_bytes::<EquipmentId>(&to_bytes(&lower)).is_err(), lower != one);
    }
}

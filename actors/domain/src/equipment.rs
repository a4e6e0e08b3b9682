//! Equipment ids and what ISO 6346 says about them.
//!
//! Real declarations carry ids such as `DM1234`, real boxes carry check digits that were computed by other rules, and
//! swap bodies have codes of another standard. So an odd id is a finding; only what cannot be an id at all is refused.

use std::fmt;
use std::str::FromStr;

use crate::codec::{self, Canonical, CodecError, Reader};
use crate::finding::{Finding, FindingCode};
use crate::id::InvalidId;

/// The longest id that customs data may carry (WCO Data Model: an..17).
pub const EQUIPMENT_ID_MAX: usize = 17;

/// The id of a container, trailer or swap body: 1 to 17 letters or digits, upper case.
///
/// Held in place: the ledger finds open inspections by it, and a key of an ordered map that lies elsewhere costs a look into
/// cold memory for each comparison.
// Zeros fill up, so the derived order is that of the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EquipmentId {
    text: [u8; EQUIPMENT_ID_MAX],
    len: u8,
}

impl EquipmentId {
    /// Takes an id as it is written, without the separators people put in (`MSKU 123456-5`).
    ///
    /// # Errors
    /// Refuses emptiness, more than 17 characters, and anything but letters, digits, spaces, hyphens and slashes.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        const WHAT: &str = "equipment id";
        let mut id = Self {
            text: [0; EQUIPMENT_ID_MAX],
            len: 0,
        };
        for c in text.chars() {
            let c = match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' => c.to_ascii_uppercase() as u8,
                ' ' | '-' | '/' => continue,
                other => {
                    return Err(InvalidId::new(
                        WHAT,
                        text,
                        format!("character {other:?} is not a letter or digit"),
                    ));
                }
            };
            match id.text.get_mut(usize::from(id.len)) {
                Some(place) => *place = c,
                None => {
                    return Err(InvalidId::new(
                        WHAT,
                        text,
                        format!("it is longer than {EQUIPMENT_ID_MAX} characters"),
                    ));
                }
            }
            id.len += 1;
        }
        if id.len == 0 {
            return Err(InvalidId::new(WHAT, text, "it is empty"));
        }
        Ok(id)
    }

    /// The id in its normal form.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).expect("letters and digits alone are put in")
    }

    /// What ISO 6346 has to say: nothing for a proper container number, else one finding for each deviation.
    pub fn findings(&self) -> Vec<Finding> {
        match Iso6346::of(self.as_str()) {
            Iso6346::Other => vec![Finding::new(
                FindingCode::EquipmentIdShape,
                "equipment_id",
                format!("{self} is not three letters, a category letter, six digits and a check digit"),
            )],
            Iso6346::Number {
                category,
                expected,
                found,
            } => {
                let mut findings = Vec::new();
                if !matches!(category, 'U' | 'J' | 'Z') {
                    findings.push(Finding::new(
                        FindingCode::EquipmentCategory,
                        "equipment_id",
                        format!("category letter {category} of {self} is not U, J or Z"),
                    ));
                }
                match found {
                    None => findings.push(Finding::new(
                        FindingCode::CheckDigitMissing,
                        "equipment_id",
                        format!("{self} has no check digit; {expected} is expected"),
                    )),
                    Some(digit) if digit != expected => findings.push(Finding::new(
                        FindingCode::CheckDigitWrong,
                        "equipment_id",
                        format!("{self} ends in {digit}; ISO 6346 expects {expected}"),
                    )),
                    Some(_) => {}
                }
                findings
            }
        }
    }
}

impl fmt::Display for EquipmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for EquipmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EquipmentId({})", self.as_str())
    }
}

impl FromStr for EquipmentId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl Canonical for EquipmentId {
    fn put(&self, out: &mut Vec<u8>) {
        codec::put_text(self.as_str(), out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        let text = from.text()?;
        let id = Self::new(text).map_err(|error| CodecError::Invalid {
            what: "equipment id",
            why: error.why,
        })?;
        if id.as_str() != text {
            return Err(CodecError::Invalid {
                what: "equipment id",
                why: "it is not in normal form".to_owned(),
            });
        }
        Ok(id)
    }
}

/// How an id reads under ISO 6346.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Iso6346 {
    /// Four letters and six digits, with or without a check digit.
    Number {
        /// The fourth letter: U container, J detachable gear, Z trailer or chassis.
        category: char,
        /// The check digit that the rule gives.
        expected: u8,
        /// The check digit that is written, if there is one.
        found: Option<u8>,
    },
    /// Anything else.
    Other,
}

impl Iso6346 {
    /// Reads an id in normal form.
    pub fn of(id: &str) -> Self {
        let bytes = id.as_bytes();
        let shaped = matches!(bytes.len(), 10 | 11)
            && bytes[..4].iter().all(u8::is_ascii_uppercase)
            && bytes[4..].iter().all(u8::is_ascii_digit);
        if !shaped {
            return Self::Other;
        }
        Self::Number {
            category: char::from(bytes[3]),
            expected: check_digit(&bytes[..10]),
            found: bytes.get(10).map(|digit| digit - b'0'),
        }
    }
}

/// The ISO 6346 check digit of four letters and six digits: the sum of value x 2^position, mod 11, mod 10. Letters count
/// from 10 and skip multiples of 11. A remainder of 10 is written 0 and does occur on real boxes.
fn check_digit(first_ten: &[u8]) -> u8 {
    let sum: u32 = first_ten
        .iter()
        .enumerate()
        .map(|(position, byte)| character_value(*byte) << position)
        .sum();
    u8::try_from(sum % 11 % 10).unwrap_or(0)
}

fn character_value(byte: u8) -> u32 {
    match byte {
        b'0'..=b'9' => u32::from(byte - b'0'),
        letter => {
            let plain = u32::from(letter - b'A') + 10;
            plain + (plain - 1) / 10
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(id: &str) -> Vec<FindingCode> {
        EquipmentId::new(id)
            .unwrap()
            .findings()
            .into_iter()
            .map(|f| f.code)
            .collect()
    }

    #[test]
    fn letter_values_skip_the_multiples_of_eleven() {
        let values: Vec<u32> = (b'A'..=b'Z').map(character_value).collect();
        assert_eq!(values[0], 10);
        assert_eq!(values[1], 12);
        assert_eq!(values[10], 21);
        assert_eq!(values[11], 23);
        assert_eq!(values[20], 32);
        assert_eq!(values[21], 34);
        assert_eq!(values[25], 38);
        assert!(values.iter().all(|value| value % 11 != 0));
    }

    #[test]
    fn real_numbers_have_no_findings_also_those_with_remainder_ten() {
        for id in ["CBHU6192031", "FSCU8710190", "TEMU3412100", "msku 123456-5"] {
            assert_eq!(codes(id), [], "{id}");
        }
    }

    #[test]
    fn deviations_are_findings_and_not_refusals() {
        assert_eq!(codes("CONU1234567"), [FindingCode::CheckDigitWrong]);
        assert_eq!(
            codes("MSTI6415664"),
            [FindingCode::EquipmentCategory, FindingCode::CheckDigitWrong]
        );
        assert_eq!(codes("MSKU123456"), [FindingCode::CheckDigitMissing]);
        assert_eq!(codes("DM1234"), [FindingCode::EquipmentIdShape]);
    }

    #[test]
    fn only_what_cannot_be_an_id_is_refused() {
        for id in [
            "",
            " - ",
            "ABCDEFGHIJKLMNOPQR",
            "MSKU\u{7}123",
            "MSKU,123456",
            "ÄBCU123",
        ] {
            assert!(EquipmentId::new(id).is_err(), "{id:?}");
        }
        assert!(EquipmentId::new("ABCDEFGHIJKLMNOPQ").is_ok());
    }
}

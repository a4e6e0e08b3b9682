//! Container numbers, most of them proper, some as odd as those in real declarations.

use std::collections::BTreeSet;

use portcullis_domain::equipment::EquipmentId;

use crate::noise::Noise;

/// Codes in the style of container owners. Made up.
const OWNERS: [&str; 12] = [
    "QPT", "ZLX", "VRK", "KWJ", "XQM", "BZV", "JXC", "WQH", "YVT", "DQX", "HZK", "UFQ",
];

/// How many of a thousand numbers are odd.
pub const ODD_PERMILLE: u32 = 20;

/// Draws a number that is not among `taken`.
///
/// About 2 % are odd: a wrong check digit, remainder 10 (written 0), a missing digit, another category letter, or not
/// the shape of ISO 6346 at all. Owners avoid serials with remainder 10, so ordinary numbers have none.
pub(crate) fn draw(seed: u64, index: u64, taken: &BTreeSet<EquipmentId>) -> EquipmentId {
    draw_for(seed, "number", index, taken)
}

/// As [`draw`], for another purpose: the number that is really painted on a container that was swapped.
pub(crate) fn draw_painted(seed: u64, index: u64, taken: &BTreeSet<EquipmentId>) -> EquipmentId {
    draw_for(seed, "painted number", index, taken)
}

fn draw_for(seed: u64, aspect: &str, index: u64, taken: &BTreeSet<EquipmentId>) -> EquipmentId {
    let mut noise = Noise::of_visit(seed, aspect, index);
    let mut attempt = 0_u32;
    loop {
        let text = if attempt < 8 && noise.chance(ODD_PERMILLE) {
            odd(&mut noise)
        } else {
            let owner = owner(&mut noise, attempt);
            proper(&mut noise, &owner, 'U', |remainder| remainder != 10)
        };
        match EquipmentId::new(&text) {
            Ok(id) if !taken.contains(&id) => return id,
            _ => attempt = attempt.saturating_add(1),
        }
    }
}

/// A known owner first; when their numbers run out, any three consonants, of which there are enough for every plan.
fn owner(noise: &mut Noise, attempt: u32) -> String {
    const CONSONANTS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";
    if attempt < 8 {
        return noise
            .pick(&OWNERS, |_| 1)
            .map_or_else(String::new, |owner| (*owner).to_owned());
    }
    (0..3)
        .filter_map(|_| noise.pick(CONSONANTS, |_| 1))
        .map(|letter| char::from(*letter))
        .collect()
}

fn proper(noise: &mut Noise, owner: &str, category: char, wanted: impl Fn(u32) -> bool) -> String {
    loop {
        let first_ten = format!("{owner}{category}{:06}", noise.below(1_000_000));
        let remainder = remainder(&first_ten);
        if wanted(remainder) {
            return format!("{first_ten}{}", remainder % 10);
        }
    }
}

fn odd(noise: &mut Noise) -> String {
    let owner = owner(noise, 0);
    let any = |_| true;
    match noise.below(8) {
        // A digit that another rule or a typing error gave.
        0..=2 => {
            let mut number = proper(noise, &owner, 'U', any);
            let digit = number.pop().and_then(|digit| digit.to_digit(10)).unwrap_or(0);
            let wrong = (u64::from(digit) + noise.between(1, 9)) % 10;
            format!("{number}{wrong}")
        }
        3 | 4 => proper(noise, &owner, 'U', |remainder| remainder == 10),
        5 => {
            let mut number = proper(noise, &owner, 'U', any);
            number.pop();
            number
        }
        6 => {
            let category = if noise.chance(500) { 'J' } else { 'I' };
            proper(noise, &owner, category, any)
        }
        _ => format!(
            "{}{:0width$}",
            if noise.chance(500) { "DM" } else { "AD" },
            noise.below(10_000),
            width = 4
        ),
    }
}

/// Sum of value x 2^position, mod 11 (ISO 6346). Letters count from 10 and skip 11, 22 and 33.
fn remainder(first_ten: &str) -> u32 {
    let value = |c: char| match c {
        '0'..='9' => u32::from(c) - u32::from('0'),
        letter => {
            let plain = u32::from(letter) - u32::from('A') + 10;
            plain + u32::from(plain > 10) + u32::from(plain > 20) + u32::from(plain > 30)
        }
    };
    first_ten
        .chars()
        .enumerate()
        .map(|(position, c)| value(c) << position)
        .sum::<u32>()
        % 11
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_domain::finding::FindingCode;

    #[test]
    fn the_check_digit_is_that_of_a_published_number() {
        assert_eq!(remainder("CBHU619203"), 1);
    }

    #[test]
    fn about_two_percent_are_odd_and_every_kind_occurs() {
        let mut taken = BTreeSet::new();
        let mut findings = BTreeSet::new();
        let (mut odd, mut remainder_ten) = (0, 0);
        for index in 0..20_000 {
            let id = draw(3, index, &taken);
            let found = id.findings();
            let ten = id.as_str().len() == 11 && remainder(&id.as_str()[..10]) == 10;
            odd += u32::from(!found.is_empty() || ten);
            remainder_ten += u32::from(found.is_empty() && ten);
            findings.extend(found.into_iter().map(|finding| finding.code));
            assert!(taken.insert(id));
        }
        assert!((300..500).contains(&odd), "{odd} odd of 20,000");
        assert!(remainder_ten > 30, "{remainder_ten}");
        assert_eq!(
            findings.into_iter().collect::<Vec<_>>(),
            [
                FindingCode::EquipmentIdShape,
                FindingCode::EquipmentCategory,
                FindingCode::CheckDigitWrong,
                FindingCode::CheckDigitMissing
            ]
        );
    }
}

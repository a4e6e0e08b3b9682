//! The number camera: mostly right, sometimes taken in by characters that look alike, sometimes blind.

use portcullis_domain::evidence::Modality;
use portcullis_domain::id::SampleNo;
use portcullis_domain::reading::{Candidate, Recognition};

use super::seal;
use crate::noise::Noise;
use crate::plan::Visit;

/// Of a thousand pictures, those in which no number can be read.
const UNREADABLE_PERMILLE: u32 = 10;
/// Of a thousand readable pictures, those whose best reading is wrong.
const WRONG_PERMILLE: u32 = 20;

pub(super) fn recognise(seed: u64, visit: &Visit) -> Recognition {
    let mut noise = Noise::of_reading(seed, &visit.equipment, Modality::Ocr, SampleNo(1));
    let painted = visit.truth.painted.as_str();
    if noise.chance(UNREADABLE_PERMILLE) {
        return Recognition {
            candidates: Vec::new(),
            seal: seal::look(seed, visit),
        };
    }
    let mut candidates = Vec::new();
    let mut add = |text: String, confidence_permille: u64| {
        candidates.push(Candidate {
            text,
            confidence_permille: confidence_permille as u32,
        });
    };
    if noise.chance(WRONG_PERMILLE) {
        let best = noise.between(450, 850);
        add(misread(&mut noise, painted), best);
        // The right one is often second.
        if noise.chance(700) {
            add(painted.to_owned(), noise.between(200, 440));
        }
    } else {
        let best = noise.between(860, 998);
        add(painted.to_owned(), best);
        if noise.chance(200) {
            add(misread(&mut noise, painted), noise.between(20, 1_000 - best));
        }
    }
    Recognition {
        candidates,
        seal: seal::look(seed, visit),
    }
}

/// The text with one or two characters taken for others, or one not readable; never the text itself.
pub(super) fn misread(noise: &mut Noise, text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let alike: Vec<usize> = (0..characters.len())
        .filter(|at| look_alike(characters[*at]).is_some())
        .collect();
    let errors = if noise.chance(800) { 1 } else { 2 };
    let mut changed = Vec::new();
    for _ in 0..errors {
        // Nine in ten errors are at characters that have a double.
        let at = if !alike.is_empty() && noise.chance(900) {
            alike[noise.below(alike.len() as u64) as usize]
        } else {
            noise.below(characters.len() as u64) as usize
        };
        if changed.contains(&at) {
            continue;
        }
        changed.push(at);
        let original = characters[at];
        characters[at] = if noise.chance(150) {
            '?'
        } else {
            look_alike(original).unwrap_or_else(|| another(noise, original))
        };
    }
    characters.into_iter().collect()
}

/// The character that it is most often taken for.
fn look_alike(c: char) -> Option<char> {
    Some(match c {
        '0' => 'O',
        'O' | 'D' | 'Q' => '0',
        '1' => 'I',
        'I' | 'L' => '1',
        '8' => 'B',
        'B' => '8',
        '5' => 'S',
        'S' => '5',
        '2' => 'Z',
        'Z' => '2',
        '6' => 'G',
        'G' => '6',
        '7' => 'T',
        'T' => '7',
        'U' => 'V',
        'V' => 'U',
        _ => return None,
    })
}

/// Another digit for a digit, another letter for a letter.
fn another(noise: &mut Noise, c: char) -> char {
    let (first, count) = if c.is_ascii_digit() { (b'0', 10) } else { (b'A', 26) };
    let position = u64::from((c as u8).saturating_sub(first));
    let step = noise.between(1, count - 1);
    char::from(first + ((position + step) % count) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misreading_is_another_text_of_the_same_length() {
        for number in 0..2_000 {
            let mut noise = Noise::of_visit(1, "test", number);
            for text in ["QPTU1234567", "WKKU3334449", "DM1234"] {
                let wrong = misread(&mut noise, text);
                assert_ne!(wrong, text);
                assert_eq!(wrong.len(), text.len());
            }
        }
    }

    #[test]
    fn no_character_is_its_own_double() {
        for c in ('A'..='Z').chain('0'..='9') {
            assert_ne!(look_alike(c), Some(c));
        }
    }
}

//! What a reader makes of a painted character.
//!
//! A camera sees a shape and names a character. Mostly it is right, sometimes it names a character that looks alike, now and
//! then it names none. The probabilities are working values, set so that a number of eleven characters is read without an error
//! in about 97 of 100 cases: gate readers promise 95 % at least and are usually at 98 to 99 %. Which pairs look alike is
//! published, how often each is mixed up is not: it depends on the font, the reader and the dirt.

use std::fmt::{self, Write as _};
use std::sync::LazyLock;

/// Digits, letters, and the mark for a character that was not read.
pub(super) const SYMBOLS: usize = 37;
/// Position of the mark for a character that was not read.
const UNREAD: usize = 36;

/// That a character is there and could not be read. Working value.
const UNREAD_SHARE: f64 = 0.002;
/// That a character is taken for one that does not look like it: all of them together. Working value.
const UNLIKE_SHARE: f64 = 0.000_2;

/// Characters that look alike, with the probability that one is read as the other, either way. The first group is what a vendor
/// of plate readers ships as equivalent (Genetec, "OCR equivalence": 0 O D Q, 1 I, 2 Z, 5 S, 8 B, 6 G), the second what
/// a review of plate readers lists besides. The probabilities are working values.
const ALIKE: [(char, char, f64); 26] = [
    ('0', 'O', 0.003),
    ('0', 'D', 0.001),
    ('0', 'Q', 0.001),
    ('O', 'D', 0.001),
    ('O', 'Q', 0.001),
    ('1', 'I', 0.003),
    ('2', 'Z', 0.002),
    ('5', 'S', 0.002),
    ('8', 'B', 0.002),
    ('6', 'G', 0.002),
    ('P', 'B', 0.000_3),
    ('P', 'R', 0.000_3),
    ('C', 'G', 0.000_3),
    ('K', 'X', 0.000_3),
    ('F', 'E', 0.000_3),
    ('V', 'W', 0.000_3),
    ('X', 'Y', 0.000_3),
    ('V', 'U', 0.000_3),
    ('4', 'A', 0.000_3),
    ('3', '8', 0.000_3),
    ('6', '8', 0.000_3),
    ('5', '3', 0.000_3),
    ('5', '8', 0.000_3),
    ('0', '8', 0.000_3),
    ('3', '9', 0.000_3),
    ('4', '9', 0.000_3),
];

/// When the reader is in doubt it takes a character for any other with this probability. Working value.
const BLURRED_SHARE: f64 = 0.25;

/// A character as it is read: a digit, a letter, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Symbol(usize);

impl Symbol {
    /// A character that stands for itself; none for what is neither a digit nor a letter.
    pub(super) fn of(c: char) -> Option<Self> {
        let c = c.to_ascii_uppercase();
        match c {
            '0'..='9' => Some(Self(c as usize - '0' as usize)),
            'A'..='Z' => Some(Self(c as usize - 'A' as usize + 10)),
            _ => None,
        }
    }

    /// Whether it names a character.
    pub(super) fn is_legible(self) -> bool {
        self.0 < UNREAD
    }

    /// All digits.
    pub(super) fn digits() -> impl Iterator<Item = Self> + Clone {
        (0..10).map(Self)
    }

    /// All letters.
    pub(super) fn letters() -> impl Iterator<Item = Self> + Clone {
        (10..UNREAD).map(Self)
    }

    /// Whether it is a digit.
    pub(super) fn is_digit(self) -> bool {
        self.0 < 10
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ".get(self.0);
        f.write_char(sign.map_or('?', |sign| char::from(*sign)))
    }
}

/// A text as symbols: separators are left out, whatever is no digit and no letter counts as not read.
pub(super) fn symbols(text: &str) -> Vec<Symbol> {
    text.chars()
        .filter(|c| !matches!(c, ' ' | '-' | '/'))
        .map(|c| Symbol::of(c).unwrap_or(Symbol(UNREAD)))
        .collect()
}

/// What may be read at one place of a number: the probability of each symbol.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place([f64; SYMBOLS]);

/// How sharply the reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// As in a reading that it is sure of.
    Sharp,
    /// As in the rest of its readings.
    Blurred,
}

impl Place {
    /// Where this character is painted.
    pub(super) fn painted(symbol: Symbol, sight: Sight) -> Self {
        let row = match sight {
            Sight::Sharp => MATRIX.get(symbol.0).copied(),
            Sight::Blurred => Some(blurred(symbol)),
        };
        // Only an unread symbol has no row, and nobody paints one.
        Self(row.unwrap_or([1.0 / SYMBOLS as f64; SYMBOLS]))
    }

    /// Where any of these characters is painted, each as likely as the others.
    pub(super) fn any_of(painted: impl Iterator<Item = Symbol>, sight: Sight) -> Self {
        let mut sum = [0.0; SYMBOLS];
        let mut count = 0.0;
        for symbol in painted {
            count += 1.0;
            for (total, share) in sum.iter_mut().zip(Self::painted(symbol, sight).0) {
                *total += share;
            }
        }
        Self(sum.map(|total| total / f64::max(count, 1.0)))
    }

    /// The probability that this symbol is read here.
    pub(super) fn read_as(&self, symbol: Symbol) -> f64 {
        self.0.get(symbol.0).copied().unwrap_or(0.0)
    }
}

static MATRIX: LazyLock<[[f64; SYMBOLS]; UNREAD]> = LazyLock::new(|| {
    let mut matrix = [[UNLIKE_SHARE / (UNREAD - 1) as f64; SYMBOLS]; UNREAD];
    for (a, b, share) in ALIKE {
        if let (Some(Symbol(a)), Some(Symbol(b))) = (Symbol::of(a), Symbol::of(b)) {
            matrix[a][b] = share;
            matrix[b][a] = share;
        }
    }
    for (at, row) in matrix.iter_mut().enumerate() {
        row[UNREAD] = UNREAD_SHARE;
        row[at] = 0.0;
        row[at] = 1.0 - row.iter().sum::<f64>();
    }
    matrix
});

/// A character seen badly: read right, not read, or taken for any other.
fn blurred(Symbol(at): Symbol) -> [f64; SYMBOLS] {
    let mut row = [BLURRED_SHARE / (UNREAD - 1) as f64; SYMBOLS];
    row[UNREAD] = UNREAD_SHARE;
    if let Some(right) = row.get_mut(at) {
        *right = 1.0 - BLURRED_SHARE - UNREAD_SHARE;
    }
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(painted: char, read: char, sight: Sight) -> f64 {
        Place::painted(Symbol::of(painted).unwrap(), sight).read_as(Symbol::of(read).unwrap())
    }

    #[test]
    fn what_is_read_of_a_character_adds_up_to_certainty() {
        for sight in [Sight::Sharp, Sight::Blurred] {
            for symbol in Symbol::digits().chain(Symbol::letters()) {
                let total: f64 = Place::painted(symbol, sight).0.iter().sum();
                assert!((total - 1.0).abs() < 1e-12, "{symbol:?}");
            }
            let total: f64 = Place::any_of(Symbol::letters(), sight).0.iter().sum();
            assert!((total - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn what_looks_alike_is_mixed_up_a_hundred_times_as_often_as_what_does_not() {
        for (a, b, _) in ALIKE {
            assert!(read(a, b, Sight::Sharp) > 40.0 * read('7', 'M', Sight::Sharp), "{a}{b}");
            assert_eq!(read(a, b, Sight::Sharp), read(b, a, Sight::Sharp));
        }
        assert!(read('0', 'O', Sight::Sharp) > 400.0 * read('7', 'M', Sight::Sharp));
    }

    #[test]
    fn a_whole_number_is_read_right_as_often_as_gate_readers_are() {
        let whole: f64 = "CBHU6192031".chars().map(|c| read(c, c, Sight::Sharp)).product();
        assert!((0.95..0.99).contains(&whole), "{whole}");
    }

    #[test]
    fn separators_are_left_out_and_other_signs_count_as_not_read() {
        let text = symbols("cbhu 61-9/2?ä");
        assert_eq!(text.len(), 10);
        assert_eq!(text.iter().filter(|symbol| symbol.is_legible()).count(), 8);
        assert_eq!(symbols("CBHU6192")[..], text[..8]);
    }
}

//! Which numbers may be painted on a box: the announced one, the announced one as it was before somebody mistyped it, another
//! box's.

use std::fmt;

use portcullis_domain::equipment::{EquipmentId, Iso6346};

use super::alignment::likelihood;
use super::confusion::{Place, Sight, Symbol, symbols};

/// Of announced numbers, those with a typing error: one digit or letter for another, or two neighbours exchanged. Working
/// value.
const MISTYPED_SHARE: f64 = 0.003;
/// Of typing errors, those that exchange neighbours. Working value.
const EXCHANGED_SHARE: f64 = 0.4;
/// Of boxes that come in the place of another, those of the same owner: yards keep owners together. Working value.
const SAME_OWNER_SHARE: f64 = 0.1;
/// Of real boxes, those whose painted number has the check digit of ISO 6346. Some were given other digits.
const CHECK_DIGIT_HOLDS: f64 = 0.98;
/// Of numbers, those that are read without an error (gate readers: 95 % at least, usually 98 to 99 %).
const READ_WHOLE: f64 = 0.97;
/// Of whole numbers that were read of real boxes, those whose check digit fits: errors leave one in ten right by chance.
const FITS_AS_READ: f64 = CHECK_DIGIT_HOLDS * READ_WHOLE + (1.0 - CHECK_DIGIT_HOLDS * READ_WHOLE) / 10.0;
/// Of looks, those in which something else than the number was read for it: another number in view, or a garbled text.
/// Working value: one look in two hundred.
const STRAY_SHARE: f64 = 0.005;
/// What a stray text is: a real number of something else, a text in the shape of a number, any text. Working values.
const STRAY_REAL: f64 = 0.45;
const STRAY_SHAPED: f64 = 0.45;
const STRAY_ANY: f64 = 0.1;
/// Lengths that any text may have, each as likely as the others.
const LENGTHS: f64 = 17.0;

/// One way in which the announced number may stand on the box, with the probability of it.
struct Painted {
    share: f64,
    sharp: Vec<Place>,
    blurred: Vec<Place>,
}

impl Painted {
    fn new(share: f64, places: impl Fn(Sight) -> Vec<Place>) -> Self {
        Self {
            share,
            sharp: places(Sight::Sharp),
            blurred: places(Sight::Blurred),
        }
    }

    fn places(&self, sight: Sight) -> &[Place] {
        match sight {
            Sight::Sharp => &self.sharp,
            Sight::Blurred => &self.blurred,
        }
    }
}

/// A text that was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text {
    /// Its symbols.
    pub(super) symbols: Vec<Symbol>,
    /// Whether its check digit fits; none if it is no whole ISO 6346 number.
    pub(super) check_digit: Option<CheckDigit>,
}

/// What the check digit of a whole number says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CheckDigit {
    /// What it should be.
    pub(super) expected: u8,
    /// It is that.
    pub(super) fits: bool,
}

/// A text with more symbols is no number, however it is read.
const SYMBOLS_MAX: usize = 24;
/// A number has eleven characters; one may be missing.
const LEGIBLE_MIN: usize = 10;

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.symbols.iter().try_for_each(|symbol| symbol.fmt(f))
    }
}

impl Text {
    /// Reads a text as a reader sends it. None if no character of it is legible, or it is far too long to be a number.
    pub(super) fn of(text: &str) -> Option<Self> {
        let symbols = symbols(text);
        if symbols.len() > SYMBOLS_MAX || !symbols.iter().any(|symbol| symbol.is_legible()) {
            return None;
        }
        let check_digit = EquipmentId::new(text)
            .ok()
            .and_then(|id| match Iso6346::of(id.as_str()) {
                Iso6346::Number { expected, found, .. } => found.map(|found| CheckDigit {
                    expected,
                    fits: found == expected,
                }),
                Iso6346::Other => None,
            });
        Some(Self { symbols, check_digit })
    }

    /// Whether nothing but the places of a few characters is missing from a whole number. Parts of a number may excuse a box,
    /// but they cannot tell another box from a bad picture.
    pub(super) fn is_whole(&self) -> bool {
        self.legible() >= LEGIBLE_MIN
    }

    /// How many of its symbols name a character.
    fn legible(&self) -> usize {
        self.symbols.iter().filter(|symbol| symbol.is_legible()).count()
    }
}

/// What may be painted on the box that was announced under a number.
pub(super) struct Numbers {
    symbols: Vec<Symbol>,
    announced: Vec<Painted>,
    same_owner: Option<Painted>,
    any_owner: Painted,
}

impl Numbers {
    /// For this announced number. Where an ISO 6346 number was announced without its check digit, it is put there.
    pub(super) fn new(announced: &EquipmentId) -> Self {
        let mut text = announced.as_str().to_owned();
        let shape = Iso6346::of(&text);
        if let Iso6346::Number {
            expected, found: None, ..
        } = shape
        {
            text.push(char::from(b'0' + expected % 10));
        }
        let symbols = symbols(&text);
        let owner = symbols.get(..4).filter(|_| shape != Iso6346::Other);
        Self {
            same_owner: owner.map(|owner| Painted::new(SAME_OWNER_SHARE, |sight| number_of(Some(owner), sight))),
            any_owner: Painted::new(1.0 - SAME_OWNER_SHARE, |sight| number_of(None, sight)),
            announced: ways(&symbols),
            symbols,
        }
    }

    /// The announced number itself, with its check digit.
    pub(super) fn symbols(&self) -> &[Symbol] {
        &self.symbols
    }

    /// The ways in which the announced number may stand on the box: their probabilities, which add up to 1.
    pub(super) fn ways(&self) -> impl Iterator<Item = f64> {
        self.announced.iter().map(|painted| painted.share)
    }

    /// For each way: how much likelier the text is with it than with another box's number. A factor.
    pub(super) fn factors(&self, text: &Text, sight: Sight) -> Vec<f64> {
        let shaped = self.shaped(text, sight);
        // A blurred reading keeps the check digit no more often than chance does.
        let real = match (sight, text.check_digit) {
            (Sight::Sharp, Some(digit)) => shaped * check_digit_factor(digit),
            _ => shaped,
        };
        let stray = STRAY_REAL * real + STRAY_SHAPED * shaped + STRAY_ANY * any_text(text);
        let seen = |likelihood: f64| (1.0 - STRAY_SHARE) * likelihood + STRAY_SHARE * stray;
        let other = seen(real);
        self.announced
            .iter()
            .map(|painted| seen(likelihood(painted.places(sight), &text.symbols)) / other)
            .collect()
    }

    /// The likelihood of a text with another number of ISO 6346, whatever its check digit.
    fn shaped(&self, text: &Text, sight: Sight) -> f64 {
        let any = likelihood(self.any_owner.places(sight), &text.symbols);
        match &self.same_owner {
            Some(same) => same.share * likelihood(same.places(sight), &text.symbols) + self.any_owner.share * any,
            None => any,
        }
    }
}

/// How much likelier than among texts of ten equally likely check digits one that fits, or does not, is among those read of real
/// boxes.
fn check_digit_factor(digit: CheckDigit) -> f64 {
    if digit.fits {
        FITS_AS_READ * 10.0
    } else {
        (1.0 - FITS_AS_READ) * 10.0 / 9.0
    }
}

/// The likelihood of a text as one of all texts.
fn any_text(text: &Text) -> f64 {
    let each = 1.0 / (Symbol::digits().count() + Symbol::letters().count()) as f64;
    text.symbols.iter().map(|_| each).product::<f64>() / LENGTHS
}

/// A number of ISO 6346: three letters, U, six digits and a check digit, of this owner and category or of any.
fn number_of(owner: Option<&[Symbol]>, sight: Sight) -> Vec<Place> {
    let letters = match owner {
        Some(owner) => owner.iter().map(|letter| Place::painted(*letter, sight)).collect(),
        None => {
            let mut letters = vec![Place::any_of(Symbol::letters(), sight); 3];
            letters.extend(Symbol::of('U').map(|category| Place::painted(category, sight)));
            letters
        }
    };
    let digit = Place::any_of(Symbol::digits(), sight);
    letters.into_iter().chain(std::iter::repeat_n(digit, 7)).collect()
}

/// The number as it is announced, and every number that one typing error makes it of.
fn ways(announced: &[Symbol]) -> Vec<Painted> {
    let plain = |symbols: &[Symbol], sight: Sight| -> Vec<Place> {
        symbols.iter().map(|symbol| Place::painted(*symbol, sight)).collect()
    };
    let exchanges: Vec<Vec<Symbol>> = (1..announced.len())
        .filter_map(|at| {
            let mut exchanged = announced.to_vec();
            exchanged.swap(at - 1, at);
            (exchanged != announced).then_some(exchanged)
        })
        .collect();
    let exchanged_share = if exchanges.is_empty() { 0.0 } else { EXCHANGED_SHARE };
    let replaced_share = 1.0 - exchanged_share;
    let mut ways = vec![Painted::new(1.0 - MISTYPED_SHARE, |sight| plain(announced, sight))];
    for (at, typed) in announced.iter().enumerate() {
        let share = MISTYPED_SHARE * replaced_share / announced.len() as f64;
        let of_its_kind = |symbol: &Symbol| *symbol != *typed;
        ways.push(Painted::new(share, |sight| {
            let mut places = plain(announced, sight);
            if let Some(place) = places.get_mut(at) {
                *place = if typed.is_digit() {
                    Place::any_of(Symbol::digits().filter(of_its_kind), sight)
                } else {
                    Place::any_of(Symbol::letters().filter(of_its_kind), sight)
                };
            }
            places
        }));
    }
    for exchanged in &exchanges {
        let share = MISTYPED_SHARE * exchanged_share / exchanges.len() as f64;
        ways.push(Painted::new(share, |sight| plain(exchanged, sight)));
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(announced: &str) -> Numbers {
        Numbers::new(&EquipmentId::new(announced).unwrap())
    }

    /// How much likelier the text is with the announced number, mistyped or not, than with another.
    fn factor(announced: &str, text: &str) -> f64 {
        let numbers = numbers(announced);
        let factors = numbers.factors(&Text::of(text).unwrap(), Sight::Sharp);
        numbers.ways().zip(factors).map(|(share, factor)| share * factor).sum()
    }

    #[test]
    fn the_ways_of_a_number_add_up_to_certainty() {
        for announced in ["CBHU6192031", "CBHU619203", "DM1234", "A", "AAAA", "MSTI6415664"] {
            let total: f64 = numbers(announced).ways().sum();
            assert!((total - 1.0).abs() < 1e-9, "{announced}: {total}");
        }
    }

    #[test]
    fn one_wrong_character_is_a_misreading_and_another_number_is_another_box() {
        // A box of the same owner has this serial once in a million.
        assert!(factor("CBHU6192031", "CBHU6192031") > 1e6);
        assert!(factor("CBHU619203", "CBHU6192031") > 1e6);
        for text in ["CBHU6I92031", "CBHU6192038", "CBHU619203", "CBHU6192O31"] {
            assert!(factor("CBHU6192031", text) > 100.0, "{text}");
        }
        assert!(factor("CBHU6192031", "TTNU4873285") < 0.01);
    }

    #[test]
    fn a_check_digit_that_does_not_fit_speaks_for_a_garbled_reading() {
        let (fits, does_not) = (
            factor("CBHU6192031", "TTNU4873285"),
            factor("CBHU6192031", "TTNU4873280"),
        );
        assert!(does_not > 5.0 * fits, "{fits} {does_not}");
        assert!(does_not < 0.1, "{does_not}");
    }

    #[test]
    fn a_mistyped_number_is_more_likely_than_another_box_with_nearly_the_same_number() {
        // Neighbours exchanged, which a camera hardly does; the digit does not fit then.
        assert!(factor("CBHU6192031", "CBHU6129031") > 10.0);
    }

    #[test]
    fn a_sister_of_the_same_owner_is_told_from_a_misreading_by_its_check_digit() {
        // Serial 619205 instead of 619203: two digits differ, and the digit fits.
        let Iso6346::Number { expected, .. } = Iso6346::of("CBHU619205") else {
            panic!("a number")
        };
        let sister = factor("CBHU6192031", &format!("CBHU619205{expected}"));
        assert!(sister < 1.0, "{sister}");
    }

    #[test]
    fn texts_without_a_legible_character_and_far_too_long_ones_are_none() {
        assert!(Text::of("").is_none() && Text::of("????").is_none() && Text::of(&"A1".repeat(13)).is_none());
        assert_eq!(Text::of("cbhu 619203-1"), Text::of("CBHU6192031"));
    }
}

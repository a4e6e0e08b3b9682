//! How likely a text is when a number with certain places is painted: a sum over all ways in which the places can have become
//! the text.
//!
//! Characters are taken for others (see [`Place`]), left out, put in, or exchanged with their neighbour; the picture may
//! cut off the beginning or the end. The sum is the forward algorithm of a pair hidden Markov model (Durbin et al.,
//! Biological Sequence Analysis, 1998, chapter 4). Its probabilities of paths are not normalised over all texts; only
//! ratios for the same text are used.

use super::confusion::{Place, SYMBOLS, Symbol};

/// A character is painted and left out. Working value.
const LEFT_OUT: f64 = 0.000_5;
/// Something that is no character of the number is read as one. Working value.
const PUT_IN: f64 = 0.000_5;
/// Neighbours are read in the wrong order. Readers see places, so it is rare. Working value.
const EXCHANGED: f64 = 0.000_01;
/// The picture begins or ends within the number, each. Working value.
const CUT_OFF: f64 = 0.005;

/// The likelihood of a text; above 0 as long as the text has at most a few dozen symbols.
pub(super) fn likelihood(places: &[Place], text: &[Symbol]) -> f64 {
    let (rows, columns) = (places.len(), text.len());
    let width = columns + 1;
    let cut = CUT_OFF / rows.max(1) as f64;
    let put_in = PUT_IN / (SYMBOLS - 1) as f64;
    let go_on = 1.0 - LEFT_OUT - PUT_IN - EXCHANGED;
    // Place after place, how likely each beginning of the text is after it; the last two rows are enough to go on.
    let mut before: Vec<f64> = vec![0.0; width];
    let mut last: Vec<f64> = vec![0.0; width];
    let mut total = 0.0;
    for row in 0..=rows {
        let mut now = vec![0.0; width];
        for column in 0..width {
            let at = |line: &[f64], column: Option<usize>| column.and_then(|at| line.get(at)).copied().unwrap_or(0.0);
            let read = |back: usize, place: usize| {
                let symbol = column.checked_sub(back).and_then(|at| text.get(at));
                let place = row.checked_sub(place).and_then(|at| places.get(at));
                symbol.zip(place).map_or(0.0, |(symbol, place)| place.read_as(*symbol))
            };
            let begins = match (row, column) {
                (0, 0) => 1.0 - CUT_OFF,
                (1.., 0) if row < rows => cut,
                _ => 0.0,
            };
            let (one, two) = (column.checked_sub(1), column.checked_sub(2));
            let value = begins
                + at(&last, one) * read(1, 1) * go_on
                + at(&last, Some(column)) * LEFT_OUT
                + at(&now, one) * put_in
                + at(&before, two) * read(2, 1) * read(1, 2) * EXCHANGED;
            if let Some(cell) = now.get_mut(column) {
                *cell = value;
            }
        }
        let reached = now.last().copied().unwrap_or(0.0);
        total += if row == rows {
            reached * (1.0 - CUT_OFF)
        } else if row > 0 {
            reached * cut
        } else {
            0.0
        };
        before = std::mem::replace(&mut last, now);
    }
    total
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::confusion::{Sight, symbols};
    use super::*;

    fn painted(text: &str) -> Vec<Place> {
        symbols(text)
            .iter()
            .map(|symbol| Place::painted(*symbol, Sight::Sharp))
            .collect()
    }

    fn of(number: &str, text: &str) -> f64 {
        likelihood(&painted(number), &symbols(text))
    }

    #[test]
    fn the_number_itself_is_by_far_the_likeliest_text() {
        assert!(of("CBHU6192031", "CBHU6192031") > 0.9);
        for text in [
            "CBHU6192O31",
            "CBHU619203",
            "CBHU61920311",
            "CBHU6129031",
            "BHU6192031",
            "CBHU61?2031",
        ] {
            let likelihood = of("CBHU6192031", text);
            assert!(likelihood > 1e-6 && likelihood < 0.01, "{text}: {likelihood}");
        }
        assert!(of("CBHU6192031", "TTNU4873285") < 1e-30);
    }

    #[test]
    fn what_looks_alike_what_is_exchanged_and_what_is_cut_off_comes_in_this_order_of_likelihood() {
        let texts = ["CBHU6192O31", "U6192031", "CBHU6129031", "CBHU6194031", "CBHU7129031"];
        let likelihoods = texts.map(|text| of("CBHU6192031", text));
        assert!(likelihoods.is_sorted_by(|a, b| a > b), "{likelihoods:?}");
    }

    proptest! {
        #[test]
        fn likelihoods_are_positive_and_no_more_than_certainty(number in "[A-Z0-9]{1,17}", text in "[A-Z0-9?]{1,24}") {
            let found = of(&number, &text);
            prop_assert!(found > 0.0 && found <= 1.0, "{found}");
        }
    }
}

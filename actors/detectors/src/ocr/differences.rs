//! In what way a number that was read differs from the announced one, for the officer.

use super::confusion::Symbol;

/// Letters with equal value modulo 11 under ISO 6346; the check digit cannot tell them apart.
pub(super) const SAME_TO_CHECK_DIGIT: [&str; 10] = ["AKU", "BLV", "CMW", "DNX", "EOY", "FPZ", "GQ", "HR", "IS", "JT"];

/// The rest of a sentence about what was read.
pub(super) fn differences(read: &[Symbol], announced: &[Symbol]) -> String {
    if read.len() != announced.len() {
        return format!(": {} characters for {}", read.len(), announced.len());
    }
    let unread = read.iter().filter(|symbol| !symbol.is_legible()).count();
    if unread > 0 {
        return format!(": {unread} characters could not be read");
    }
    let at: Vec<usize> = (0..read.len())
        .filter(|at| read.get(*at) != announced.get(*at))
        .collect();
    if let [first, second] = at[..]
        && second == first + 1
        && read.get(first) == announced.get(second)
        && read.get(second) == announced.get(first)
    {
        return format!(": characters {} and {} are exchanged", first + 1, second + 1);
    }
    let pairs = || at.iter().filter_map(|at| read.get(*at).zip(announced.get(*at)));
    let mut text = format!(": {} characters differ", at.len());
    if !at.is_empty() && pairs().all(|(a, b)| same_to_check_digit(*a, *b)) {
        text.push_str("; the check digit cannot tell these letters apart");
    }
    text
}

fn same_to_check_digit(a: Symbol, b: Symbol) -> bool {
    let has = |group: &str, symbol| group.chars().filter_map(Symbol::of).any(|one| one == symbol);
    SAME_TO_CHECK_DIGIT.iter().any(|group| has(group, a) && has(group, b))
}

#[cfg(test)]
mod tests {
    use portcullis_domain::equipment::Iso6346;

    use super::super::confusion::symbols;
    use super::*;

    #[test]
    fn the_officer_is_told_what_differs() {
        for (read, wanted) in [
            ("CBHU6192O31", ": 1 characters differ"),
            ("CBHU6129031", ": characters 7 and 8 are exchanged"),
            ("CBHU61?2031", ": 1 characters could not be read"),
            ("CBHU61", ": 6 characters for 11"),
            ("LBHU6192031", ": 1 characters differ"),
            (
                "CLHU6192031",
                ": 1 characters differ; the check digit cannot tell these letters apart",
            ),
        ] {
            assert_eq!(differences(&symbols(read), &symbols("CBHU6192031")), wanted, "{read}");
        }
    }

    #[test]
    fn letters_of_a_group_have_the_same_check_digit() {
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
}

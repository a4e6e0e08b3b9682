//! Lengths of time as people type them.

use std::time::Duration;

/// Reads `10s`, `500ms`, `2m`, `1h`, or a bare number of seconds. More than a day is a slip of units.
pub(super) fn parse_span(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a time such as 10s, 500ms, 2m or 1h, above 0 and at most 24h";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(EXPECTED.to_owned()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit_ms))
        .filter(|ms| (1..=86_400_000).contains(ms))
        .map(Duration::from_millis)
        .ok_or_else(|| EXPECTED.to_owned())
}

/// A length of time for people, to two digits.
pub(super) fn show_span(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_their_units_and_bare_numbers_are_seconds() {
        for (text, ms) in [
            ("10", 10_000),
            ("10s", 10_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn nothing_negative_endless_or_without_number_is_a_time() {
        for text in ["", "s", "0", "-1s", "1.5s", "25h", "10 s", "99999999999999999999h"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_shown_to_two_units() {
        assert_eq!(show_span(999), "999 ms");
        assert_eq!(show_span(1_250), "1.2 s");
        assert_eq!(show_span(61_000), "1 min 1 s");
        assert_eq!(show_span(7_260_000), "2 h 1 min");
    }
}

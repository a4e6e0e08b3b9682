//! Durations, times and counts as N42.42 writes them.

/// An `xs:duration` of days and smaller units, in microseconds. Years and months have no fixed length.
pub(super) fn duration_us(text: &str) -> Result<u64, String> {
    const SECOND: u64 = 1_000_000;
    let why = |what: &str| {
        Err(format!(
            "{:?} is not a duration such as PT0.25S: {what}",
            shortened(text)
        ))
    };
    let Some(mut rest) = text.strip_prefix('P') else {
        return why(if text.starts_with('-') {
            "it is negative"
        } else {
            "it does not start with P"
        });
    };
    let mut total: u64 = 0;
    let mut in_time = false;
    let mut any = false;
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T') {
            if in_time {
                return why("it has two T");
            }
            in_time = true;
            rest = time;
            continue;
        }
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (number, tail) = rest.split_at(end);
        let mut unit = tail.chars();
        let scale = match (unit.next(), in_time) {
            (Some('D'), false) => 86_400 * SECOND,
            (Some('H'), true) => 3_600 * SECOND,
            (Some('M'), true) => 60 * SECOND,
            (Some('S'), true) => SECOND,
            (Some('Y' | 'M'), false) if number.bytes().all(|digit| digit == b'0') && !number.is_empty() => 0,
            _ => return why("units are D, then T, then H, M and S"),
        };
        let Some(part) = scaled(number, scale) else {
            return why("a number is missing, malformed or too large");
        };
        let Some(sum) = total.checked_add(part) else {
            return why("it is too long");
        };
        total = sum;
        any = true;
        rest = unit.as_str();
    }
    if any { Ok(total) } else { why("it has no number") }
}

/// `number` (digits with an optional fraction) times `scale`, rounded half up.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Twelve digits are far below a microsecond of a day; more would overflow.
    let fraction = fraction.get(..fraction.len().min(12))?;
    let places = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let digits: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let part = (digits * u128::from(scale) * 2 + places) / (places * 2);
    whole.checked_mul(scale)?.checked_add(u64::try_from(part).ok()?)
}

/// An `xs:dateTime` with a zone, in milliseconds since 1970 UTC. Without a zone the instant is unknown.
pub(super) fn time_ms(text: &str) -> Result<Option<i64>, String> {
    let bad = || format!("{:?} is not a time such as 2010-01-24T00:08:24.078Z", shortened(text));
    let (date, time) = text.split_once('T').ok_or_else(bad)?;
    let mut parts = date.splitn(3, '-');
    let mut number = |low: i64, high: i64| -> Option<i64> {
        let part = parts.next()?;
        let value: i64 = part.parse().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit()))?;
        (low..=high).contains(&value).then_some(value)
    };
    let (year, month, day) = (number(1900, 9999), number(1, 12), number(1, 31));
    let (Some(year), Some(month), Some(day)) = (year, month, day) else {
        return Err(bad());
    };
    let zone_at = time.find(['Z', '+', '-']);
    let (clock, zone) = time.split_at(zone_at.unwrap_or(time.len()));
    let clock = clock_ms(clock).ok_or_else(bad)?;
    let offset_minutes = match zone {
        "" => return Ok(None),
        "Z" => 0,
        zone => offset_minutes(zone).ok_or_else(bad)?,
    };
    let days = days_since_1970(year, month, day);
    Ok(Some((days * 86_400_000) + clock - offset_minutes * 60_000))
}

fn clock_ms(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let hours: i64 = two_digits(parts.next()?, 24)?;
    let minutes = two_digits(parts.next()?, 59)?;
    let seconds = parts.next()?;
    if parts.next().is_some() {
        return None;
    }
    let whole = seconds.split('.').next()?;
    two_digits(whole, 60)?;
    let millis = i64::try_from(scaled(seconds, 1000)?).ok()?;
    Some(hours * 3_600_000 + minutes * 60_000 + millis)
}

fn offset_minutes(text: &str) -> Option<i64> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    Some(sign * (two_digits(hours, 14)? * 60 + two_digits(minutes, 59)?))
}

fn two_digits(text: &str, high: i64) -> Option<i64> {
    if text.len() != 2 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|value| *value <= high)
}

/// Days of the proleptic Gregorian calendar, by the algorithm of H. Hinnant ("chrono-compatible low-level date
/// algorithms").
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// What counts by channel come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Channels {
    /// How many channels there are.
    pub(super) len: usize,
    /// Sum, rounded.
    pub(super) total: u64,
    /// Some counts were not whole.
    pub(super) fractional: bool,
}

/// Why channel data cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BadCounts {
    /// A value that is no count.
    Value(String),
    /// More channels than are left of the limit.
    TooMany,
}

/// Reads white-space separated counts, and appends them to `words` if they are to be kept. With `counted_zeros`, `0 n` stands
/// for n zeros, in `words` as well; runs may cross lines. At most `limit` channels are taken.
pub(super) fn channels(
    text: &str,
    counted_zeros: bool,
    mut words: Option<&mut Vec<u32>>,
    limit: usize,
) -> Result<Channels, BadCounts> {
    let mut keep = |word: u32| {
        if let Some(words) = &mut words {
            words.push(word);
        }
    };
    let mut out = Channels {
        len: 0,
        total: 0,
        fractional: false,
    };
    let mut whole: u64 = 0;
    let mut parts = 0.0_f64;
    let mut numbers = Counts { text, at: 0 };
    while let Some(number) = numbers.next() {
        let run = match number.map_err(BadCounts::Value)? {
            Count::Whole(0) if counted_zeros => {
                let before = numbers.at;
                match numbers.next().transpose().map_err(BadCounts::Value)? {
                    Some(Count::Whole(length)) if length > 0 => {
                        keep(0);
                        keep(length);
                        length as usize
                    }
                    Some(_) => {
                        let rest = text.get(before..).unwrap_or_default();
                        let length = rest.split_ascii_whitespace().next().unwrap_or_default();
                        return Err(BadCounts::Value(format!(
                            "{:?} is not the length of a run of zeros",
                            shortened(length)
                        )));
                    }
                    None => return Err(BadCounts::Value("it ends in the middle of a run of zeros".to_owned())),
                }
            }
            Count::Whole(value) => {
                whole += u64::from(value);
                keep(value);
                1
            }
            Count::Part(value) => {
                out.fractional = true;
                parts += value;
                // Checked against the range of u32 when it was read.
                let rounded = value.round() as u32;
                keep(rounded);
                if counted_zeros && rounded == 0 {
                    keep(1);
                }
                1
            }
        };
        out.len = out.len.saturating_add(run);
        if out.len > limit {
            return Err(BadCounts::TooMany);
        }
    }
    out.total = whole.saturating_add(parts.round() as u64);
    Ok(out)
}

enum Count {
    Whole(u32),
    Part(f64),
}

/// The counts of a text, one after the other. Most are short and whole, and are read while their end is looked for.
struct Counts<'t> {
    text: &'t str,
    /// Bytes that were read.
    at: usize,
}

impl Iterator for Counts<'_> {
    type Item = Result<Count, String>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        /// More could be beyond 32 bits.
        const DIGITS_MAX: usize = 9;
        let bytes = self.text.as_bytes();
        let mut at = self.at;
        while bytes.get(at)?.is_ascii_whitespace() {
            at += 1;
        }
        if let Some((value, digits)) = bytes.get(at..).and_then(short) {
            self.at = at + digits;
            return Some(Ok(Count::Whole(value)));
        }
        let start = at;
        let mut value = 0_u32;
        while let Some(byte) = bytes.get(at) {
            // What is no digit becomes more than 9.
            let digit = byte ^ b'0';
            if digit > 9 {
                break;
            }
            // Of too many digits the value is not used.
            value = value.wrapping_mul(10).wrapping_add(u32::from(digit));
            at += 1;
        }
        let ends = bytes.get(at).is_none_or(u8::is_ascii_whitespace);
        if ends && at - start <= DIGITS_MAX {
            self.at = at;
            return Some(Ok(Count::Whole(value)));
        }
        Some(self.odd(start))
    }
}

/// A whole number of at most seven digits with a space behind it, and how many digits it has; none for anything else, and
/// for the last bytes of a text. How long a count is cannot be foretold, so all eight bytes are looked at together and not one
/// after the other (D. Lemire, "Number parsing at a gigabyte per second", Softw. Pract. Exp. 51 (2021) 1700).
#[inline(always)]
fn short(rest: &[u8]) -> Option<(u32, usize)> {
    const ALL: u64 = 0x0101_0101_0101_0101;
    let digits_first = u64::from_le_bytes(*rest.first_chunk()?) ^ (ALL * u64::from(b'0'));
    // What is no digit is more than 9, and gets its highest bit so. A carry reaches only what comes after it.
    let others = (digits_first.wrapping_add(ALL * (0x80 - 10)) | digits_first) & (ALL * 0x80);
    let digits = (others.trailing_zeros() / 8) as usize;
    if digits == 0 || !rest.get(digits)?.is_ascii_whitespace() {
        return None;
    }
    // Zeros before the first digit, then pairs, fours and all eight.
    let digit = digits_first << (64 - 8 * digits);
    let pairs = digit.wrapping_mul(10 * 0x100 + 1) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 * 0x1_0000 + 1) >> 16;
    let eights = (fours & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 * 0x1_0000_0000 + 1) >> 32;
    Some((eights as u32, digits))
}

impl Counts<'_> {
    /// A count that is not short and whole.
    #[cold]
    fn odd(&mut self, start: usize) -> Result<Count, String> {
        let rest = self.text.get(start..).unwrap_or_default();
        let length = rest
            .bytes()
            .position(|byte| byte.is_ascii_whitespace())
            .unwrap_or(rest.len());
        self.at = start + length;
        count(rest.get(..length).unwrap_or_default())
    }
}

/// A count with a fraction, an exponent, a sign or many digits.
fn count(token: &str) -> Result<Count, String> {
    let value: f64 = token
        .parse()
        .map_err(|_| format!("{:?} is not a count", shortened(token)))?;
    if !(0.0..=f64::from(u32::MAX)).contains(&value) {
        return Err(format!("{:?} is negative, too large or not a number", shortened(token)));
    }
    if value.fract() == 0.0 {
        Ok(Count::Whole(value as u32))
    } else {
        Ok(Count::Part(value))
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::super::packed::PackedCounts;
    use super::*;

    #[test]
    fn durations_are_read_to_the_microsecond() {
        for (text, us) in [
            ("PT0.250S", 250_000),
            ("PT0.999998S", 999_998),
            ("PT1800.000000S", 1_800_000_000),
            ("PT1M30S", 90_000_000),
            ("P0Y0M1DT2H", 93_600_000_000),
            ("PT.5S", 500_000),
            ("PT0.0000005S", 1),
            ("PT0S", 0),
        ] {
            assert_eq!(duration_us(text), Ok(us), "{text}");
        }
        for text in [
            "",
            "P",
            "PT",
            "1",
            "-PT1S",
            "PT1",
            "PTS",
            "P1Y",
            "PT1.2.3S",
            "PT1e3S",
            "PT1D",
            "PT99999999999999999999S",
        ] {
            assert!(duration_us(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_need_a_zone_to_be_an_instant() {
        assert_eq!(time_ms("1970-01-01T00:00:00Z"), Ok(Some(0)));
        assert_eq!(time_ms("2010-01-24T00:08:24.078Z"), Ok(Some(1_264_291_704_078)));
        assert_eq!(time_ms("2016-02-29T01:00:00+01:00"), Ok(Some(1_456_704_000_000)));
        assert_eq!(time_ms("2010-04-17T11:33:19.409"), Ok(None));
        for text in [
            "",
            "2010-13-01T00:00:00Z",
            "2010-01-01",
            "2010-01-01T1:2:3Z",
            "T",
            "2010-01-01T00:00:00+5",
        ] {
            assert!(time_ms(text).is_err(), "{text}");
        }
    }

    /// Each channel, and what all come to.
    fn counts_of(text: &str, counted_zeros: bool) -> Result<(Vec<u32>, Channels), BadCounts> {
        let mut words = Vec::new();
        let read = channels(text, counted_zeros, Some(&mut words), 100)?;
        let counts = PackedCounts::new(&words, counted_zeros, read.len).unpack();
        assert_eq!(counts.len(), read.len);
        Ok((counts, read))
    }

    #[test]
    fn runs_of_zeros_are_expanded_also_across_lines() {
        let (counts, read) = counts_of(" 0 2 5\n 0\n 3 7", true).unwrap();
        assert_eq!(counts, [0, 0, 5, 0, 0, 0, 7]);
        assert_eq!((read.len, read.total, read.fractional), (7, 12, false));
        let (plain, _) = counts_of("0 2 5", false).unwrap();
        assert_eq!(plain, [0, 2, 5]);
        assert_eq!(channels(" 0 2 5\n 0\n 3 7", true, None, 100), Ok(read));
    }

    #[test]
    fn short_long_and_odd_spellings_of_counts_are_read_alike() {
        let text = "0007\t123456789\r\n4294967295 1e3 +5 2. 4294967295.0\n000000000012";
        let (counts, read) = counts_of(text, false).unwrap();
        assert_eq!(counts, [7, 123_456_789, u32::MAX, 1_000, 5, 2, u32::MAX, 12]);
        assert_eq!(read.total, counts.iter().copied().map(u64::from).sum::<u64>());
        for text in ["4294967296", "12x", "1\u{a0}2", "\u{663}", "1-", "--1"] {
            for padded in [
                text.to_owned(),
                format!("{text}          "),
                format!("         {text} 1 2 3 4"),
            ] {
                assert!(channels(&padded, false, None, 100).is_err(), "{padded}");
            }
        }
        assert_eq!(channels(" \n\t", true, None, 100).unwrap().len, 0);
    }

    #[test]
    fn counts_of_any_length_are_read_alike_wherever_a_text_ends() {
        // Around each length the least and the greatest number, with what may stand behind it.
        let numbers: Vec<u64> = (0..=9)
            .flat_map(|digits| [10_u64.pow(digits), 10_u64.pow(digits) - 1])
            .collect();
        for first in &numbers {
            for second in &numbers {
                for space in [" ", "\n", "\t", "\r\n", "   "] {
                    let text = format!("{first}{space}{second:09}{space}{second}");
                    let (counts, _) = counts_of(&text, false).unwrap();
                    let wanted = [*first, *second, *second].map(|number| number as u32);
                    assert_eq!(counts, wanted, "{text:?}");
                }
            }
        }
    }

    #[test]
    fn a_fraction_that_rounds_to_nothing_is_one_channel_among_runs_too() {
        let (counts, read) = counts_of("0 2 0.25 3 0.75 0 1", true).unwrap();
        assert_eq!(counts, [0, 0, 0, 3, 1, 0]);
        assert_eq!((read.len, read.total, read.fractional), (6, 4, true));
    }

    #[test]
    fn fractional_counts_are_summed_before_rounding() {
        let (counts, read) = counts_of("0.4 0.4 0.4 2.000", false).unwrap();
        assert_eq!((read.total, read.fractional), (3, true));
        assert_eq!(counts, [0, 0, 0, 2]);
    }

    #[test]
    fn unreadable_counts_and_endless_runs_are_refused() {
        for text in ["1 x", "-1", "nan", "inf", "1e99", "0", "0 0", "0 1.5"] {
            assert!(
                matches!(channels(text, true, None, 10), Err(BadCounts::Value(_))),
                "{text}"
            );
        }
        assert_eq!(channels("0 11", true, None, 10), Err(BadCounts::TooMany));
        assert_eq!(channels("0 4294967295", true, None, 10), Err(BadCounts::TooMany));
    }
}

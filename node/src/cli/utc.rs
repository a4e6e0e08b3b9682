//! Moments in UTC, ISO 8601.

/// A moment, given in milliseconds since 1970, as `2026-03-01T12:00:00.000Z`.
pub(super) fn utc(ms: u64) -> String {
    let (year, month, day) = civil(ms / 86_400_000);
    let (seconds, millis) = (ms / 1000 % 86_400, ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Reads a moment of UTC: date and time to the minute, second or millisecond, with or without `Z`.
pub(super) fn parse_utc(text: &str) -> Option<u64> {
    let text = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut date = date.split('-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut clock = clock.split(':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next().unwrap_or(Some(0))?);
    if date.next().is_some() || clock.next().is_some() || fraction.is_empty() || fraction.len() > 3 {
        return None;
    }
    let millis = number(fraction)? * 10_u64.pow(3 - u32::try_from(fraction.len()).ok()?);
    if !(1970..=9999).contains(&year) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969);
    // The days of a year are few: looking for the date is simpler than a closed formula, and checks it.
    let day_number = (days..days + 366).find(|at| civil(*at) == (year, month, day))?;
    Some((day_number * 86_400 + hour * 3600 + minute * 60 + second) * 1000 + millis)
}

fn number(text: &str) -> Option<u64> {
    let plain = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

/// Leap days up to the end of a year.
fn leap_days(year: u64) -> u64 {
    year / 4 - year / 100 + year / 400
}

/// Year, month and day of a day since 1970-01-01, in the Gregorian calendar. The year is taken to begin in March, so
/// that the leap day is its last (H. Hinnant, "chrono-compatible low-level date algorithms", 2014).
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_written_as_everybody_writes_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_210_096_789, "2024-02-29T12:34:56.789Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(ms), text);
            assert_eq!(parse_utc(text), Some(ms));
        }
        assert!(!utc(u64::MAX).is_empty());
    }

    #[test]
    fn every_day_of_five_centuries_reads_back() {
        for day in 0..200_000 {
            let ms = day * 86_400_000 + 1;
            assert_eq!(parse_utc(&utc(ms)), Some(ms));
        }
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "2026-03-01",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00",
            "2026-03-01T24:00",
            "soon",
        ] {
            assert_eq!(parse_utc(text), None, "{text}");
        }
        assert_eq!(parse_utc("2026-03-01T12:00"), Some(1_772_366_400_000));
        assert_eq!(parse_utc("2026-03-01 12:00:00.5"), Some(1_772_366_400_500));
    }
}

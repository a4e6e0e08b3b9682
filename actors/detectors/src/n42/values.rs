//! Durations and times as N42.42 writes them.

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

/// What a message shows of a text that could be long.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
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
}

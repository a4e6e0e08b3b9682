//! Elements that both forms have under different names: durations, times, compression, calibration, flags.

use portcullis_domain::finding::FindingCode;

use super::notes::Notes;
use super::{N42Error, place, values};
use crate::xml::Element;

/// A duration under one of these names. An empty element counts as missing.
pub(super) fn duration(element: &Element<'_>, names: &[&str]) -> Result<Option<u64>, N42Error> {
    let Some(found) = names.iter().find_map(|name| element.child(name)) else {
        return Ok(None);
    };
    if found.trimmed().is_empty() {
        return Ok(None);
    }
    values::duration_us(found.trimmed())
        .map(Some)
        .map_err(|why| N42Error::Value {
            element: found.name.to_owned(),
            place: place(found, element.name),
            why,
        })
}

/// A start time under one of these names. What cannot be read is a finding: counts are worth having without it.
pub(super) fn start_time(element: &Element<'_>, names: &[&str], notes: &mut Notes) -> Option<i64> {
    let found = names.iter().find_map(|name| element.child(name))?;
    match values::time_ms(found.trimmed()) {
        Ok(Some(start)) => Some(start),
        Ok(None) => {
            notes.add(FindingCode::TimesMixed, found.name, || {
                format!("{:?} has no time zone, so the instant is unknown", found.trimmed())
            });
            None
        }
        Err(why) => {
            notes.add(FindingCode::ValueUnreadable, found.name, || why);
            None
        }
    }
}

/// Whether runs of zeros are counted. Either edition's attribute is taken in either form.
pub(super) fn compression(data: &Element<'_>, own: &str, other: &str, notes: &mut Notes) -> Result<bool, N42Error> {
    let value = data.attribute(own).or_else(|| {
        let value = data.attribute(other)?;
        notes.add(FindingCode::AttributeSpelling, other, || {
            format!("the attribute is called {own} in this edition")
        });
        Some(value)
    });
    match value {
        None | Some("None" | "") => Ok(false),
        Some("CountedZeroes") => Ok(true),
        Some("CountedZeros") => {
            notes.add(FindingCode::AttributeSpelling, own, || {
                "CountedZeros for CountedZeroes".to_owned()
            });
            Ok(true)
        }
        Some(unknown) => Err(N42Error::Value {
            element: data.name.to_owned(),
            place: place(data, "Spectrum"),
            why: format!(
                "compression {:?} is neither CountedZeroes nor None",
                unknown.chars().take(40).collect::<String>()
            ),
        }),
    }
}

/// Energy coefficients in keV. The schema wants three; devices write two to five.
pub(super) fn coefficients(element: Option<&Element<'_>>, notes: &mut Notes) -> Vec<f64> {
    const COEFFICIENTS_MAX: usize = 16;
    let Some(element) = element else {
        notes.add(FindingCode::CalibrationOdd, "Coefficients", || {
            "a spectrum has no energy calibration".to_owned()
        });
        return Vec::new();
    };
    let read: Option<Vec<f64>> = element
        .text
        .split_ascii_whitespace()
        .take(COEFFICIENTS_MAX + 1)
        .map(|number| number.parse().ok().filter(|value: &f64| value.is_finite()))
        .collect();
    match read {
        Some(values) if (1..=COEFFICIENTS_MAX).contains(&values.len()) => {
            if values.len() != 3 {
                notes.add(FindingCode::CalibrationOdd, element.name, || {
                    format!("{} coefficients where the standard has 3", values.len())
                });
            }
            values
        }
        _ => {
            notes.add(FindingCode::CalibrationOdd, element.name, || {
                "the energy coefficients cannot be read and were left out".to_owned()
            });
            Vec::new()
        }
    }
}

/// A truth value.
pub(super) fn flag_value(text: &str, field: &str, notes: &mut Notes) -> Option<bool> {
    match text {
        "1" | "true" => Some(true),
        "0" | "false" => Some(false),
        other => {
            notes.add(FindingCode::ValueUnreadable, field, || {
                format!("{other:?} is neither 0 nor 1")
            });
            None
        }
    }
}

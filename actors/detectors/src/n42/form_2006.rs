//! The form of 2006: `N42InstrumentData/Measurement/DetectorData/DetectorMeasurement/SpectrumMeasurement/Spectrum`.
//!
//! Devices leave levels out and put times, detector names and sample numbers on different ones. So the tree is walked
//! with what the levels above have said, and whatever is nearer to the counts wins.

use portcullis_domain::finding::FindingCode;

use super::elements::{coefficients, compression, duration, flag_value, start_time};
use super::notes::Notes;
use super::samples::{Interval, Key, Samples};
use super::{DetectorInfo, DetectorKind, DetectorSample, Instrument, N42Error, SampleClass, counts, place};
use crate::xml::Element;

/// Elements that hold a count without a spectrum. Their form differs between devices.
const GROSS_COUNTS: [&str; 4] = [
    "GrossCountMeasurement",
    "GrossCountData",
    "GrossCounts",
    "CountDoseData",
];
/// Elements in them that hold the number.
const COUNT_VALUES: [&str; 6] = [
    "CountData",
    "GrossCounts",
    "GrossCount",
    "Counts",
    "NeutronCounts",
    "GammaCounts",
];

/// What the levels above have said.
#[derive(Debug, Clone)]
struct Context {
    position: usize,
    number: Option<u32>,
    start_ms: Option<i64>,
    sample_time_us: Option<u64>,
    occupied: Option<bool>,
    detector: String,
    kind: Option<DetectorKind>,
}

pub(super) fn read(root: &Element<'_>, samples: &mut Samples, notes: &mut Notes) -> Result<Instrument, N42Error> {
    let mut instrument: Option<Instrument> = None;
    let mut position = 0;
    for measurement in root.children("Measurement") {
        if let Some(information) = measurement.child("InstrumentInformation") {
            let found = read_instrument(information);
            declare_detectors(information, samples)?;
            match &instrument {
                None => instrument = Some(found),
                Some(first) if *first != found => {
                    notes.add(FindingCode::ValueUnreadable, "InstrumentInformation", || {
                        "it differs between measurements; the first was kept".to_owned()
                    });
                }
                Some(_) => {}
            }
        }
        position += 1;
        let context = Context {
            position,
            number: None,
            start_ms: None,
            sample_time_us: None,
            occupied: None,
            detector: String::new(),
            kind: None,
        };
        walk(measurement, &context, &mut position, samples, notes)?;
    }
    if instrument.is_none() {
        notes.add(FindingCode::ElementMissing, "InstrumentInformation", || {
            "nothing says which instrument measured".to_owned()
        });
    }
    Ok(instrument.unwrap_or_default())
}

fn read_instrument(information: &Element<'_>) -> Instrument {
    let text = |name: &str| information.text_at(&[name]).map(str::to_owned);
    Instrument {
        manufacturer: text("Manufacturer"),
        model: text("InstrumentModel"),
        serial: text("InstrumentID"),
        class: text("InstrumentType"),
        lane_number: information
            .text_at(&["LaneNumber"])
            .and_then(|number| number.parse().ok()),
    }
}

fn declare_detectors(information: &Element<'_>, samples: &mut Samples) -> Result<(), N42Error> {
    for status in information.children("DetectorStatus") {
        if let Some(name) = status.attribute("Detector").or_else(|| status.attribute("Sensor")) {
            let kind = DetectorKind::Other;
            samples.declare(
                status,
                DetectorInfo {
                    name: name.to_owned(),
                    kind,
                    description: None,
                },
            )?;
        }
    }
    Ok(())
}

fn walk(
    element: &Element<'_>,
    above: &Context,
    position: &mut usize,
    samples: &mut Samples,
    notes: &mut Notes,
) -> Result<(), N42Error> {
    let here = context(element, above, notes)?;
    for child in &element.children {
        match child.name {
            "Spectrum" => spectrum(child, &here, samples, notes)?,
            "DetectorData" => {
                // Each one is an interval of its own, unless sample numbers say otherwise.
                *position += 1;
                let inner = Context {
                    position: *position,
                    ..here.clone()
                };
                walk(child, &inner, position, samples, notes)?;
            }
            "InstrumentInformation" | "MeasuredItemInformation" | "AnalysisResults" | "Calibration" => {}
            name if GROSS_COUNTS.contains(&name) => gross_counts(child, &here, samples, notes)?,
            _ => walk(child, &here, position, samples, notes)?,
        }
    }
    Ok(())
}

/// What is known inside `element`: its own values before those from above.
fn context(element: &Element<'_>, above: &Context, notes: &mut Notes) -> Result<Context, N42Error> {
    let mut here = above.clone();
    if let Some(name) = detector_name(element, notes) {
        here.detector = name.to_owned();
    }
    if let Some(kind) = element.attribute("DetectorType").and_then(kind) {
        here.kind = Some(kind);
    }
    if let Some(number) = element
        .attribute("SampleNumber")
        .or_else(|| element.attribute("Number"))
    {
        match number.parse() {
            Ok(number) => here.number = Some(number),
            Err(_) => notes.add(FindingCode::ValueUnreadable, "SampleNumber", || {
                format!("{number:?} is not a sample number; the position was used")
            }),
        }
    }
    if let Some(start) = start_time(element, &["StartTime", "StartDateTime"], notes) {
        here.start_ms = Some(start);
    }
    if let Some(time) = duration(element, &["SampleRealTime"])? {
        here.sample_time_us = Some(time);
    }
    if let Some(flag) = element.text_at(&["Occupied"]) {
        here.occupied = flag_value(flag, "Occupied", notes);
    }
    Ok(here)
}

fn spectrum(element: &Element<'_>, above: &Context, samples: &mut Samples, notes: &mut Notes) -> Result<(), N42Error> {
    let here = context(element, above, notes)?;
    let Some(data) = element.child("ChannelData") else {
        notes.add(FindingCode::ElementMissing, "ChannelData", || {
            format!("a spectrum of detector {:?} has none; it was left out", here.detector)
        });
        return Ok(());
    };
    let counted_zeros = compression(data, "Compression", "compressionCode", notes)?;
    let calibration = element
        .children("Calibration")
        .find(|calibration| calibration.attribute("Type").is_none_or(|kind| kind == "Energy"))
        .and_then(|calibration| calibration.at(&["Equation", "Coefficients"]));
    let energy = coefficients(calibration, notes);
    let (counts, spectrum) = samples.spectrum(data, counted_zeros, energy, &here.detector, notes)?;
    let kind = here
        .kind
        .filter(|kind| *kind != DetectorKind::Other)
        .unwrap_or(DetectorKind::Gamma);
    let share = DetectorSample {
        detector: here.detector.clone(),
        kind,
        real_time_us: duration(element, &["RealTime", "RealTimeDuration"])?,
        live_time_us: duration(element, &["LiveTime", "LiveTimeDuration"])?,
        counts,
        spectrum,
    };
    let description = element.text_at(&["DetectorType"]).map(str::to_owned);
    let interval = interval(element, &here, notes);
    samples.add(element, interval, share, description, notes)
}

fn gross_counts(
    element: &Element<'_>,
    above: &Context,
    samples: &mut Samples,
    notes: &mut Notes,
) -> Result<(), N42Error> {
    let here = context(element, above, notes)?;
    let Some(value) = count_element(element) else {
        // A dose rate without counts is common and says nothing here.
        return Ok(());
    };
    let counts = counts::channels(&value.text, false, None, 1).map_err(|_| N42Error::Value {
        element: value.name.to_owned(),
        place: place(value, element.name),
        why: format!(
            "{:?} is not one count",
            value.trimmed().chars().take(40).collect::<String>()
        ),
    })?;
    let kind = here
        .kind
        .or_else(|| samples.kind_of(&here.detector))
        .unwrap_or(DetectorKind::Other);
    if kind == DetectorKind::Other {
        notes.add(FindingCode::ElementMissing, "DetectorType", || {
            format!(
                "nothing says what detector {:?} counts; its counts were not used",
                here.detector
            )
        });
    }
    let parent = holder(element, value);
    let share = DetectorSample {
        detector: here.detector.clone(),
        kind,
        real_time_us: duration(parent, &["RealTime", "RealTimeDuration", "SampleRealTime"])?,
        live_time_us: duration(parent, &["LiveTime", "LiveTimeDuration"])?,
        counts: counts.total,
        spectrum: None,
    };
    let interval = interval(element, &here, notes);
    samples.add(element, interval, share, None, notes)
}

/// The element that holds the number: the innermost of the usual names.
fn count_element<'e, 'a>(element: &'e Element<'a>) -> Option<&'e Element<'a>> {
    let inner = element
        .children
        .iter()
        .filter(|child| COUNT_VALUES.contains(&child.name) || GROSS_COUNTS.contains(&child.name))
        .find_map(count_element);
    let own = element.children.is_empty() && !element.trimmed().is_empty();
    inner.or(own.then_some(element))
}

/// The nearest element around the number that has times in it.
fn holder<'e, 'a>(element: &'e Element<'a>, value: &Element<'a>) -> &'e Element<'a> {
    element
        .children
        .iter()
        .find(|child| child.children.iter().any(|inner| std::ptr::eq(inner, value)))
        .unwrap_or(element)
}

fn interval(element: &Element<'_>, here: &Context, notes: &mut Notes) -> Interval {
    Interval {
        key: here.number.map_or(Key::Position(here.position), Key::Number),
        class: class(element, notes),
        start_ms: here.start_ms,
        real_time_us: here.sample_time_us,
        occupied: here.occupied,
    }
}

fn class(element: &Element<'_>, notes: &mut Notes) -> SampleClass {
    match element.text_at(&["SourceType"]) {
        None => SampleClass::Unspecified,
        Some("Item") => SampleClass::Foreground,
        Some("Background") => SampleClass::Background,
        Some("Calibration" | "Stabilization") => SampleClass::Calibration,
        Some(other) => {
            notes.add(FindingCode::ValueUnreadable, "SourceType", || {
                format!("{other:?} is not Item, Background, Calibration or Stabilization")
            });
            SampleClass::Unspecified
        }
    }
}

fn detector_name<'e>(element: &'e Element<'_>, notes: &mut Notes) -> Option<&'e str> {
    if let Some(name) = element.attribute("Detector") {
        return Some(name);
    }
    let name = element.attribute("Sensor")?;
    notes.add(FindingCode::AttributeSpelling, "Sensor", || {
        format!("detector {name:?} is named by Sensor and not by Detector")
    });
    Some(name)
}

fn kind(text: &str) -> Option<DetectorKind> {
    match text {
        "Gamma" => Some(DetectorKind::Gamma),
        "Neutron" => Some(DetectorKind::Neutron),
        _ => None,
    }
}

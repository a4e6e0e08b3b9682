//! The form of 2012: `RadInstrumentData/RadMeasurement/Spectrum` with detectors and calibrations by reference.

use std::collections::BTreeMap;

use portcullis_domain::finding::FindingCode;

use super::elements::{coefficients, compression, duration, flag_value, start_time};
use super::notes::Notes;
use super::samples::{Interval, Key, Samples};
use super::{DetectorInfo, DetectorKind, DetectorSample, Instrument, N42Error, SampleClass, counts, place};
use crate::xml::Element;

pub(super) fn read(root: &Element<'_>, samples: &mut Samples, notes: &mut Notes) -> Result<Instrument, N42Error> {
    for information in root.children("RadDetectorInformation") {
        samples.declare(
            information,
            DetectorInfo {
                name: information.attribute("id").unwrap_or_default().to_owned(),
                kind: kind(information.text_at(&["RadDetectorCategoryCode"])),
                description: information.text_at(&["RadDetectorKindCode"]).map(str::to_owned),
            },
        )?;
    }
    let calibrations: BTreeMap<&str, &Element<'_>> = root
        .children("EnergyCalibration")
        .filter_map(|calibration| Some((calibration.attribute("id")?, calibration.child("CoefficientValues")?)))
        .collect();
    for (position, measurement) in root.children("RadMeasurement").enumerate() {
        read_measurement(measurement, position, &calibrations, samples, notes)?;
    }
    Ok(root
        .child("RadInstrumentInformation")
        .map(read_instrument)
        .unwrap_or_default())
}

fn read_instrument(information: &Element<'_>) -> Instrument {
    let text = |name: &str| information.text_at(&[name]).map(str::to_owned);
    Instrument {
        manufacturer: text("RadInstrumentManufacturerName"),
        model: text("RadInstrumentModelName"),
        serial: text("RadInstrumentIdentifier"),
        class: text("RadInstrumentClassCode"),
        lane_number: None,
    }
}

fn read_measurement(
    measurement: &Element<'_>,
    position: usize,
    calibrations: &BTreeMap<&str, &Element<'_>>,
    samples: &mut Samples,
    notes: &mut Notes,
) -> Result<(), N42Error> {
    let interval = Interval {
        key: Key::Position(position),
        class: class(measurement, notes),
        start_ms: start_time(measurement, &["StartDateTime", "StartTime"], notes),
        real_time_us: duration(measurement, &["RealTimeDuration", "RealTime"])?,
        occupied: measurement
            .text_at(&["OccupancyIndicator"])
            .or_else(|| measurement.text_at(&["Occupied"]))
            .and_then(|flag| flag_value(flag, "OccupancyIndicator", notes)),
    };
    for element in &measurement.children {
        match element.name {
            "Spectrum" => {
                let Some(data) = element.child("ChannelData") else {
                    notes.add(FindingCode::ElementMissing, "ChannelData", || {
                        "a spectrum has none; it was left out".to_owned()
                    });
                    continue;
                };
                let detector = detector_name(element);
                let counted_zeros = compression(data, "compressionCode", "Compression", notes)?;
                let calibration = element
                    .attribute("energyCalibrationReference")
                    .and_then(|id| calibrations.get(id).copied());
                let energy = coefficients(calibration, notes);
                let (counts, spectrum) = samples.spectrum(data, counted_zeros, energy, &detector, notes)?;
                let kind = samples.kind_of(&detector).unwrap_or(DetectorKind::Gamma);
                let share = share(element, detector, kind, counts, &interval)?;
                samples.add(element, interval, DetectorSample { spectrum, ..share }, None, notes)?;
            }
            "GrossCounts" => {
                let Some(data) = element.child("CountData") else {
                    notes.add(FindingCode::ElementMissing, "CountData", || {
                        "gross counts have none; they were left out".to_owned()
                    });
                    continue;
                };
                // A detector may send several numbers, one for each of its tubes.
                let counts = counts::channels(&data.text, false, None, 1024).ok();
                let counts = counts.filter(|counts| counts.len > 0).ok_or_else(|| N42Error::Value {
                    element: data.name.to_owned(),
                    place: place(data, "GrossCounts"),
                    why: format!(
                        "{:?} is not a list of counts",
                        data.trimmed().chars().take(40).collect::<String>()
                    ),
                })?;
                let detector = detector_name(element);
                let kind = samples.kind_of(&detector).unwrap_or(DetectorKind::Other);
                if kind == DetectorKind::Other {
                    notes.add(FindingCode::ElementMissing, "RadDetectorCategoryCode", || {
                        format!("nothing says what detector {detector:?} counts; its counts were not used")
                    });
                }
                let share = share(element, detector, kind, counts.total, &interval)?;
                samples.add(element, interval, share, None, notes)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn share(
    element: &Element<'_>,
    detector: String,
    kind: DetectorKind,
    counts: u64,
    interval: &Interval,
) -> Result<DetectorSample, N42Error> {
    let own = duration(element, &["RealTimeDuration", "RealTime"])?;
    Ok(DetectorSample {
        detector,
        kind,
        real_time_us: own.or(interval.real_time_us),
        live_time_us: duration(element, &["LiveTimeDuration", "LiveTime"])?,
        counts,
        spectrum: None,
    })
}

fn detector_name(element: &Element<'_>) -> String {
    element
        .attribute("radDetectorInformationReference")
        .unwrap_or_default()
        .to_owned()
}

fn kind(text: Option<&str>) -> DetectorKind {
    match text {
        Some("Gamma") => DetectorKind::Gamma,
        Some("Neutron") => DetectorKind::Neutron,
        _ => DetectorKind::Other,
    }
}

fn class(measurement: &Element<'_>, notes: &mut Notes) -> SampleClass {
    match measurement.text_at(&["MeasurementClassCode"]) {
        None => {
            notes.add(FindingCode::ElementMissing, "MeasurementClassCode", || {
                "a measurement does not say what it is of".to_owned()
            });
            SampleClass::Unspecified
        }
        Some("Foreground") => SampleClass::Foreground,
        Some("Background") => SampleClass::Background,
        Some("Calibration" | "IntrinsicActivity") => SampleClass::Calibration,
        Some("NotSpecified") => SampleClass::Unspecified,
        Some(other) => {
            notes.add(FindingCode::ValueUnreadable, "MeasurementClassCode", || {
                format!("{other:?} is not a measurement class")
            });
            SampleClass::Unspecified
        }
    }
}

//! Readings: the bytes that a device signs, read and written.

mod image;
mod quantum;
mod trace;

use portcullis_domain::id::{InspectionNo, SampleNo, Timestamp};
use portcullis_domain::manifest::FINDINGS_MAX;
use portcullis_domain::reading::{
    Candidate, DetectorCounts, RadiationKind, RadiationSample, Reading, ReadingContent, ReadingHeader, Recognition,
    SealReading, SealState, SignedReading, SourceDocument, Spectrum, Weighing,
};
use portcullis_proto::v1 as pb;
use prost::Message as _;

use crate::announcement::encode_digest;
use crate::invalid::{self, InvalidField, Within};
use crate::vocabulary::{decode_finding, encode_finding};

/// The longest reading, in bytes.
pub const READING_BODY_MAX: usize = 1 << 20;
/// The most detectors of one radiation sample.
pub const DETECTORS_MAX: usize = 64;
/// The most energy channels of one spectrum.
pub const CHANNELS_MAX: usize = 65_536;
const COEFFICIENTS_MAX: usize = 16;
const NAME_MAX: usize = 64;
const AXLES_MAX: usize = 32;
const CANDIDATES_MAX: usize = 16;
const MILLION: u32 = 1_000_000;

/// Reads the body of a signed reading.
///
/// # Errors
/// When the bytes are not a `ReadingBody`, are too many, or a field cannot be; the path starts at the body.
pub fn decode_reading(body: &[u8]) -> Result<Reading, InvalidField> {
    if body.len() > READING_BODY_MAX {
        return Err(InvalidField::new(
            "body",
            format!("it has {} bytes; at most {READING_BODY_MAX} are allowed", body.len()),
        ));
    }
    let body = pb::ReadingBody::decode(body)
        .map_err(|error| InvalidField::new("body", format!("it is not a ReadingBody: {error}")))?;
    Ok(Reading {
        header: ReadingHeader {
            device: invalid::parse("device", &body.device)?,
            boot: body.boot,
            sequence: invalid::positive("sequence", body.sequence)?,
            captured_at: Timestamp(body.captured_at_ms),
            inspection: body.inspection.map(InspectionNo),
            equipment: match body.equipment_id.as_str() {
                "" => None,
                text => Some(invalid::parse("equipment_id", text)?),
            },
            sample: SampleNo(body.sample),
        },
        content: decode_content(invalid::required("content", body.content)?)?,
    })
}

/// Writes the body of a reading: what its device signs.
pub fn encode_reading(reading: &Reading) -> Vec<u8> {
    use pb::reading_body::Content;
    let header = &reading.header;
    let content = match &reading.content {
        ReadingContent::Radiation(sample) => Content::Radiation(encode_radiation(sample)),
        ReadingContent::RadiationBackground(sample) => Content::RadiationBackground(encode_radiation(sample)),
        ReadingContent::Weighing(weighing) => Content::Weighing(pb::Weighing {
            gross_mass_kg: weighing.gross_mass_kg,
            vehicle_mass_kg: weighing.vehicle_mass_kg,
            sigma_kg: weighing.sigma_kg,
            speed_mm_s: weighing.speed_mm_s,
            axles_kg: weighing.axles_kg.clone(),
        }),
        ReadingContent::Recognition(recognition) => Content::Recognition(pb::Recognition {
            candidates: encode_candidates(&recognition.candidates),
            seal: recognition.seal.as_ref().map(encode_seal),
        }),
        ReadingContent::SourceDocument(document) => Content::SourceDocument(pb::SourceDocument {
            sha256: encode_digest(&document.digest),
            format: document.format.clone(),
            findings: document.findings.iter().map(encode_finding).collect(),
        }),
        ReadingContent::Nqr(waveform) => Content::Nqr(quantum::encode_nqr(waveform)),
        ReadingContent::MagneticProfile(profile) => Content::MagneticProfile(quantum::encode_profile(profile)),
        ReadingContent::ImageStrip(strip) => Content::ImageStrip(image::encode_strip(strip)),
        ReadingContent::ThreatReport(report) => Content::ThreatReport(image::encode_report(report)),
        ReadingContent::IonMobility(analysis) => Content::IonMobility(trace::encode_analysis(analysis)),
    };
    pb::ReadingBody {
        device: header.device.to_string(),
        boot: header.boot,
        sequence: header.sequence,
        captured_at_ms: header.captured_at.0,
        inspection: header.inspection.map(|inspection| inspection.0),
        equipment_id: header.equipment.as_ref().map(ToString::to_string).unwrap_or_default(),
        sample: header.sample.0,
        content: Some(content),
    }
    .encode_to_vec()
}

/// Reads a signed reading without looking into its body.
///
/// # Errors
/// When the body is empty or too long, or the signature does not have 64 bytes.
pub fn decode_signed_reading(reading: pb::SignedReading) -> Result<SignedReading, InvalidField> {
    if reading.body.is_empty() {
        return Err(InvalidField::missing("body"));
    }
    if reading.body.len() > READING_BODY_MAX {
        return Err(InvalidField::new(
            "body",
            format!(
                "it has {} bytes; at most {READING_BODY_MAX} are allowed",
                reading.body.len()
            ),
        ));
    }
    let signature: [u8; 64] = invalid::array("signature", &reading.signature)?;
    Ok(SignedReading {
        body: reading.body.into(),
        signature: signature.to_vec(),
    })
}

/// Writes a signed reading, its body untouched.
pub fn encode_signed_reading(reading: &SignedReading) -> pb::SignedReading {
    pb::SignedReading {
        body: reading.body.clone().into(),
        signature: reading.signature.clone().into(),
    }
}

fn decode_content(content: pb::reading_body::Content) -> Result<ReadingContent, InvalidField> {
    use pb::reading_body::Content;
    Ok(match content {
        Content::Radiation(sample) => ReadingContent::Radiation(decode_radiation(sample).within("radiation")?),
        Content::RadiationBackground(sample) => {
            ReadingContent::RadiationBackground(decode_radiation(sample).within("radiation_background")?)
        }
        Content::Weighing(weighing) => ReadingContent::Weighing(Weighing {
            gross_mass_kg: weighing.gross_mass_kg,
            vehicle_mass_kg: weighing.vehicle_mass_kg,
            sigma_kg: weighing.sigma_kg,
            speed_mm_s: weighing.speed_mm_s,
            axles_kg: invalid::list("weighing.axles_kg", weighing.axles_kg, AXLES_MAX, Ok)?,
        }),
        Content::Recognition(recognition) => ReadingContent::Recognition(Recognition {
            candidates: invalid::list(
                "recognition.candidates",
                recognition.candidates,
                CANDIDATES_MAX,
                decode_candidate,
            )?,
            seal: recognition
                .seal
                .map(decode_seal)
                .transpose()
                .within("recognition.seal")?,
        }),
        Content::SourceDocument(document) => {
            ReadingContent::SourceDocument(decode_source_document(document).within("source_document")?)
        }
        Content::Nqr(waveform) => ReadingContent::Nqr(quantum::decode_nqr(waveform).within("nqr")?),
        Content::MagneticProfile(profile) => {
            ReadingContent::MagneticProfile(quantum::decode_profile(profile).within("magnetic_profile")?)
        }
        Content::ImageStrip(strip) => ReadingContent::ImageStrip(image::decode_strip(strip).within("image_strip")?),
        Content::ThreatReport(report) => {
            ReadingContent::ThreatReport(image::decode_report(report).within("threat_report")?)
        }
        Content::IonMobility(analysis) => {
            ReadingContent::IonMobility(trace::decode_analysis(analysis).within("ion_mobility")?)
        }
    })
}

/// A number up to a limit.
fn at_most(field: &str, value: u32, max: u32) -> Result<u32, InvalidField> {
    if value > max {
        return Err(InvalidField::new(field, format!("{value} is above {max}")));
    }
    Ok(value)
}

fn decode_candidate(candidate: pb::recognition::Candidate) -> Result<Candidate, InvalidField> {
    if candidate.confidence_permille > 1000 {
        return Err(InvalidField::new(
            "confidence_permille",
            format!("{} is above 1000", candidate.confidence_permille),
        ));
    }
    Ok(Candidate {
        text: invalid::text("text", candidate.text, NAME_MAX)?,
        confidence_permille: candidate.confidence_permille,
    })
}

fn decode_seal(seal: pb::SealReading) -> Result<SealReading, InvalidField> {
    Ok(SealReading {
        state: invalid::known("state", seal.state, |state| match state {
            pb::SealState::Unspecified => None,
            pb::SealState::Intact => Some(SealState::Intact),
            pb::SealState::Broken => Some(SealState::Broken),
            pb::SealState::Absent => Some(SealState::Absent),
        })?,
        candidates: invalid::list("candidates", seal.candidates, CANDIDATES_MAX, decode_candidate)?,
    })
}

fn encode_seal(seal: &SealReading) -> pb::SealReading {
    let state = match seal.state {
        SealState::Intact => pb::SealState::Intact,
        SealState::Broken => pb::SealState::Broken,
        SealState::Absent => pb::SealState::Absent,
    };
    pb::SealReading {
        state: state as i32,
        candidates: encode_candidates(&seal.candidates),
    }
}

fn encode_candidates(candidates: &[Candidate]) -> Vec<pb::recognition::Candidate> {
    candidates
        .iter()
        .map(|candidate| pb::recognition::Candidate {
            text: candidate.text.clone(),
            confidence_permille: candidate.confidence_permille,
        })
        .collect()
}

fn decode_source_document(document: pb::SourceDocument) -> Result<SourceDocument, InvalidField> {
    Ok(SourceDocument {
        digest: invalid::digest("sha256", &document.sha256)?,
        format: invalid::text("format", document.format, NAME_MAX)?,
        findings: invalid::list("findings", document.findings, FINDINGS_MAX, decode_finding)?,
    })
}

fn decode_radiation(sample: pb::RadiationSample) -> Result<RadiationSample, InvalidField> {
    Ok(RadiationSample {
        real_time_us: sample.real_time_us,
        detectors: invalid::list("detectors", sample.detectors, DETECTORS_MAX, decode_detector)?,
    })
}

fn decode_detector(detector: pb::DetectorCounts) -> Result<DetectorCounts, InvalidField> {
    Ok(DetectorCounts {
        name: invalid::text("name", detector.name, NAME_MAX)?,
        kind: invalid::known("kind", detector.kind, |kind| match kind {
            pb::RadiationKind::Unspecified => None,
            pb::RadiationKind::Gamma => Some(RadiationKind::Gamma),
            pb::RadiationKind::Neutron => Some(RadiationKind::Neutron),
        })?,
        live_time_us: detector.live_time_us,
        counts: detector.counts,
        spectrum: detector.spectrum.map(decode_spectrum).transpose().within("spectrum")?,
    })
}

fn decode_spectrum(spectrum: pb::Spectrum) -> Result<Spectrum, InvalidField> {
    Ok(Spectrum {
        calibration_kev: invalid::list("calibration_kev", spectrum.calibration_kev, COEFFICIENTS_MAX, |value| {
            if value.is_finite() {
                Ok(value)
            } else {
                Err(InvalidField::new("", "it is not a finite number"))
            }
        })?,
        counts: if spectrum.counts.len() <= CHANNELS_MAX {
            spectrum.counts
        } else {
            return Err(InvalidField::new(
                "counts",
                format!(
                    "it has {} channels; at most {CHANNELS_MAX} are allowed",
                    spectrum.counts.len()
                ),
            ));
        },
    })
}

fn encode_radiation(sample: &RadiationSample) -> pb::RadiationSample {
    pb::RadiationSample {
        real_time_us: sample.real_time_us,
        detectors: sample.detectors.iter().map(encode_detector).collect(),
    }
}

fn encode_detector(detector: &DetectorCounts) -> pb::DetectorCounts {
    let kind = match detector.kind {
        RadiationKind::Gamma => pb::RadiationKind::Gamma,
        RadiationKind::Neutron => pb::RadiationKind::Neutron,
    };
    pb::DetectorCounts {
        name: detector.name.clone(),
        kind: kind as i32,
        live_time_us: detector.live_time_us,
        counts: detector.counts,
        spectrum: detector.spectrum.as_ref().map(|spectrum| pb::Spectrum {
            calibration_kev: spectrum.calibration_kev.clone(),
            counts: spectrum.counts.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::samples;

    #[test]
    fn each_kind_of_reading_reads_back() {
        for reading in samples::readings() {
            assert_eq!(decode_reading(&encode_reading(&reading)), Ok(reading));
        }
    }

    #[test]
    fn a_signed_reading_keeps_its_bytes() {
        let signed = SignedReading {
            body: vec![1, 2, 3],
            signature: vec![9; 64],
        };
        assert_eq!(
            decode_signed_reading(encode_signed_reading(&signed)),
            Ok(signed.clone())
        );
        let short = pb::SignedReading {
            signature: vec![9; 63].into(),
            ..encode_signed_reading(&signed)
        };
        assert_eq!(decode_signed_reading(short).unwrap_err().field, "signature");
        let empty = pb::SignedReading {
            body: Vec::new().into(),
            ..encode_signed_reading(&signed)
        };
        assert_eq!(decode_signed_reading(empty).unwrap_err().field, "body");
    }

    fn refused(spoil: impl FnOnce(&mut pb::ReadingBody)) -> String {
        let mut body = pb::ReadingBody::decode(encode_reading(&samples::readings()[0]).as_slice()).unwrap();
        spoil(&mut body);
        decode_reading(&body.encode_to_vec()).unwrap_err().field
    }

    fn detector(body: &mut pb::ReadingBody) -> &mut pb::DetectorCounts {
        match body.content.as_mut().unwrap() {
            pb::reading_body::Content::Radiation(sample) => &mut sample.detectors[0],
            other => panic!("the first sample reading is radiation, not {other:?}"),
        }
    }

    #[test]
    fn each_bad_field_is_named_by_its_path() {
        use pb::reading_body::Content;
        assert_eq!(refused(|body| body.device.clear()), "device");
        assert_eq!(refused(|body| body.sequence = 0), "sequence");
        assert_eq!(refused(|body| body.equipment_id = "?".into()), "equipment_id");
        assert_eq!(refused(|body| body.content = None), "content");
        assert_eq!(refused(|body| detector(body).kind = 0), "radiation.detectors[0].kind");
        assert_eq!(
            refused(|body| detector(body).name = "x".repeat(65)),
            "radiation.detectors[0].name"
        );
        let spectrum = |counts, calibration_kev| {
            Some(pb::Spectrum {
                calibration_kev,
                counts,
            })
        };
        assert_eq!(
            refused(|body| detector(body).spectrum = spectrum(vec![0; CHANNELS_MAX + 1], vec![])),
            "radiation.detectors[0].spectrum.counts"
        );
        assert_eq!(
            refused(|body| detector(body).spectrum = spectrum(vec![], vec![0.0, f64::NAN])),
            "radiation.detectors[0].spectrum.calibration_kev[1]"
        );
        assert_eq!(
            refused(|body| {
                let detectors = vec![
                    pb::DetectorCounts {
                        kind: 1,
                        ..Default::default()
                    };
                    DETECTORS_MAX + 1
                ];
                body.content = Some(Content::RadiationBackground(pb::RadiationSample {
                    detectors,
                    real_time_us: 1,
                }));
            }),
            "radiation_background.detectors"
        );
        assert_eq!(
            refused(|body| {
                let candidate = pb::recognition::Candidate {
                    text: "A".into(),
                    confidence_permille: 1001,
                };
                body.content = Some(Content::Recognition(pb::Recognition {
                    candidates: vec![candidate],
                    seal: None,
                }));
            }),
            "recognition.candidates[0].confidence_permille"
        );
        assert_eq!(
            refused(|body| {
                body.content = Some(Content::Recognition(pb::Recognition {
                    candidates: Vec::new(),
                    seal: Some(pb::SealReading::default()),
                }));
            }),
            "recognition.seal.state"
        );
        assert_eq!(
            refused(|body| body.content = Some(Content::SourceDocument(pb::SourceDocument::default()))),
            "source_document.sha256"
        );
        assert_eq!(
            decode_reading(&vec![0; READING_BODY_MAX + 1]).unwrap_err().field,
            "body"
        );
    }

    /// What is refused of the sample reading with this position once its content is spoiled.
    fn refused_content(which: usize, spoil: impl FnOnce(&mut pb::reading_body::Content)) -> String {
        let mut body = pb::ReadingBody::decode(encode_reading(&samples::readings()[which]).as_slice()).unwrap();
        spoil(body.content.as_mut().unwrap());
        decode_reading(&body.encode_to_vec()).unwrap_err().field
    }

    #[test]
    fn each_bad_field_of_an_image_strip_is_named_by_its_path() {
        let refused = |spoil: fn(&mut pb::ImageStrip)| {
            refused_content(7, |content| match content {
                pb::reading_body::Content::ImageStrip(strip) => spoil(strip),
                other => panic!("the sample is a strip, not {other:?}"),
            })
        };
        assert_eq!(refused(|strip| strip.width = 0), "image_strip.width");
        assert_eq!(refused(|strip| strip.width = u32::MAX), "image_strip.width");
        assert_eq!(refused(|strip| strip.height = 5_000), "image_strip.height");
        assert_eq!(refused(|strip| strip.column_um = 0), "image_strip.column_um");
        assert_eq!(refused(|strip| strip.row_um = 0), "image_strip.row_um");
        assert_eq!(
            refused(|strip| strip.first_column = u32::MAX),
            "image_strip.first_column"
        );
        assert_eq!(refused(|strip| strip.energies.clear()), "image_strip.energies");
        assert_eq!(
            refused(|strip| strip.energies.push(strip.energies[0].clone())),
            "image_strip.energies"
        );
        assert_eq!(
            refused(|strip| strip.energies[1].pixels = vec![0; 11].into()),
            "image_strip.energies[1].pixels"
        );
        assert_eq!(
            refused(|strip| strip.energies[0].references.as_mut().unwrap().air = Vec::new().into()),
            "image_strip.energies[0].references.air"
        );
        assert_eq!(
            refused(|strip| strip.container_rows = Some(pb::RowRange { first: 1, end: 4 })),
            "image_strip.container_rows.end"
        );
    }

    #[test]
    fn each_bad_field_of_report_and_analysis_is_named_by_its_path() {
        let report = |spoil: fn(&mut pb::ThreatReport)| {
            refused_content(8, |content| match content {
                pb::reading_body::Content::ThreatReport(report) => spoil(report),
                other => panic!("the sample is a report, not {other:?}"),
            })
        };
        assert_eq!(report(|report| report.decision = 0), "threat_report.decision");
        assert_eq!(
            report(|report| report.objects[0].probability_ppm = Some(MILLION + 1)),
            "threat_report.objects[0].probability_ppm"
        );
        assert_eq!(
            report(|report| report.objects[0].ability = 0),
            "threat_report.objects[0].ability"
        );
        let analysis = |spoil: fn(&mut pb::IonMobility)| {
            refused_content(9, |content| match content {
                pb::reading_body::Content::IonMobility(analysis) => spoil(analysis),
                other => panic!("the sample is an analysis, not {other:?}"),
            })
        };
        assert_eq!(analysis(|analysis| analysis.purpose = 0), "ion_mobility.purpose");
        assert_eq!(
            analysis(|analysis| analysis.spectrum.as_mut().unwrap().step_ns = 0),
            "ion_mobility.spectrum.step_ns"
        );
        assert_eq!(
            analysis(|analysis| {
                analysis.spectrum.as_mut().unwrap().intensities =
                    vec![0; portcullis_domain::reading::DRIFT_POINTS_MAX + 1];
            }),
            "ion_mobility.spectrum.intensities"
        );
        assert_eq!(
            analysis(|analysis| analysis.alarms[0].false_alarm_ppm = Some(MILLION + 1)),
            "ion_mobility.alarms[0].false_alarm_ppm"
        );
    }

    #[test]
    fn the_largest_strip_fits_into_a_reading() {
        use portcullis_domain::reading::{EnergyImage, ImageStrip, STRIP_SAMPLES_MAX};
        let mut reading = samples::readings()[7].clone();
        let energy = EnergyImage {
            endpoint_kev: 6_000,
            references: None,
            pixels: vec![u16::MAX; STRIP_SAMPLES_MAX],
        };
        reading.content = ReadingContent::ImageStrip(ImageStrip {
            width: 500,
            height: 1_000,
            column_um: 5_000,
            row_um: 5_000,
            energies: vec![energy],
            ..ImageStrip::default()
        });
        assert_eq!(decode_reading(&encode_reading(&reading)), Ok(reading));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_read_or_refused_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_reading(&bytes);
        }

        #[test]
        fn a_damaged_reading_is_read_or_refused_and_never_panics(
            which in 0_usize..samples::readings().len(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let mut bytes = encode_reading(&samples::readings()[which]);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = decode_reading(&bytes);
            let _ = decode_reading(&bytes[..at]);
        }
    }
}

//! Real files with their published figures, the deviations one by one, and hostile input.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::test_data;

fn codes(record: &RadiationRecord) -> BTreeSet<FindingCode> {
    record.findings.iter().map(|finding| finding.code).collect()
}

fn gamma(sample: &Sample) -> u64 {
    sample.counts(DetectorKind::Gamma).unwrap()
}

#[test]
fn the_portal_pass_has_its_published_figures() {
    let Some(bytes) = test_data::load("n42/passthrough.n42") else {
        return;
    };
    let record = read(&bytes).unwrap();
    assert_eq!(record.form, Form::Form2006);
    assert_eq!(record.instrument.manufacturer.as_deref(), Some("ORTEC"));
    assert_eq!(record.instrument.model.as_deref(), Some("OSASP"));
    assert_eq!(record.instrument.serial.as_deref(), Some("Serial #10000033"));
    assert_eq!(record.instrument.class.as_deref(), Some("SpecPortal"));
    assert_eq!(record.instrument.lane_number, Some(1));
    assert_eq!(record.detectors.len(), 8);
    assert!(
        record
            .detectors
            .iter()
            .all(|detector| detector.kind == DetectorKind::Gamma)
    );
    assert_eq!(record.detectors[0].description.as_deref(), Some("HPGe 50%"));
    assert_eq!(record.samples.len(), 133);
    assert_eq!(gamma(&record.samples[0]), 454);
    assert_eq!(record.samples[90].number, 91);
    assert_eq!(gamma(&record.samples[90]), 20_301);
    assert_eq!(record.samples.iter().map(gamma).max(), Some(20_301));
    assert_eq!(record.samples.iter().map(gamma).sum::<u64>(), 600_266);
    let first = &record.samples[0];
    assert_eq!((first.class, first.occupied), (SampleClass::Foreground, Some(true)));
    assert_eq!(
        (first.start_ms, first.real_time_us),
        (Some(1_264_291_704_078), Some(250_000))
    );
    assert_eq!(first.detectors.len(), 8);
    assert_eq!(first.detectors[1].live_time_us, Some(230_000));
    assert_eq!(first.counts(DetectorKind::Neutron), None);
    for share in record.samples.iter().flat_map(|sample| &sample.detectors) {
        let spectrum = share.spectrum.as_ref().unwrap();
        assert_eq!(spectrum.counts.len(), 16_384);
        assert_eq!(
            spectrum.counts.unpack().into_iter().map(u64::from).sum::<u64>(),
            share.counts
        );
        assert_eq!(spectrum.calibration_kev.len(), 3);
    }
    assert_eq!(
        codes(&record),
        BTreeSet::from([
            FindingCode::OccupancyUnusable,
            FindingCode::TimesMixed,
            FindingCode::DeadTimeHigh,
            FindingCode::NeutronsAbsent,
        ])
    );
    let summed = read_with(&bytes, Spectra::SumOnly).unwrap();
    assert_eq!(summed.samples.iter().map(gamma).sum::<u64>(), 600_266);
    assert!(summed.samples[0].detectors[0].spectrum.is_none());
    assert_eq!(summed.findings, record.findings);
}

#[test]
fn the_portal_pass_is_read_fast_enough_to_follow_a_lane() {
    let Some(bytes) = test_data::load("n42/passthrough.n42") else {
        return;
    };
    let start = Instant::now();
    let record = read(&bytes).unwrap();
    let taken = start.elapsed();
    eprintln!("{} samples in {taken:?}", record.samples.len());
    // The pass itself lasts 33 s. Release builds take a tenth of this; the slack is for loaded machines.
    assert!(taken < Duration::from_secs(2), "{taken:?}");
}

#[test]
fn the_background_and_the_barium_source_have_their_published_figures() {
    for (file, total, live_min) in [
        ("n42/background_20100317.n42", 467_199, 596_520_000),
        ("n42/ba133_source_640s_20100317.n42", 2_621_142, 624_460_000),
    ] {
        let Some(bytes) = test_data::load(file) else {
            continue;
        };
        let record = read(&bytes).unwrap();
        assert_eq!(record.samples.len(), 1, "{file}");
        let sample = &record.samples[0];
        assert_eq!(gamma(sample), total, "{file}");
        assert_eq!(
            sample.detectors.iter().filter_map(|d| d.live_time_us).min(),
            Some(live_min)
        );
        assert_eq!(sample.class, SampleClass::Foreground, "software calls both an item");
        let codes = codes(&record);
        assert!(codes.contains(&FindingCode::OccupancyUnusable), "{file}");
        assert!(codes.contains(&FindingCode::TimesMixed), "{file}");
    }
}

#[test]
fn the_helicopter_flight_has_a_measurement_for_each_sample_and_names_sensors() {
    let Some(bytes) = test_data::load("n42/Q8910_Helicopter.N42") else {
        return;
    };
    let record = read(&bytes).unwrap();
    assert_eq!(record.samples.len(), 81);
    assert_eq!(record.samples.iter().map(gamma).max(), Some(418_494));
    assert_eq!(record.samples.iter().map(gamma).sum::<u64>(), 2_769_195);
    assert_eq!((record.samples[0].number, record.samples[80].number), (5623, 5703));
    assert_eq!(record.detectors[0].name, "Fusion.Vgd00");
    assert_eq!(record.samples[33].detectors[0].live_time_us, Some(986_407));
    assert_eq!(
        codes(&record),
        BTreeSet::from([FindingCode::AttributeSpelling, FindingCode::NeutronsAbsent])
    );
}

#[test]
fn the_uranium_file_is_read_although_a_strict_parser_stops_at_it() {
    let Some(bytes) = test_data::load("n42/U235_Unshielded_6000.n42") else {
        return;
    };
    let record = read(&bytes).unwrap();
    assert_eq!(record.form, Form::Form2012);
    assert_eq!(record.document_id, None);
    let foreground: Vec<_> = record.of_class(SampleClass::Foreground).collect();
    let background: Vec<_> = record.of_class(SampleClass::Background).collect();
    assert_eq!((foreground.len(), background.len()), (1, 1));
    assert_eq!((gamma(foreground[0]), gamma(background[0])), (247_264, 148_833));
    assert_eq!(foreground[0].detectors[0].live_time_us, Some(1_800_000_000));
    assert_eq!(foreground[0].detectors[0].real_time_us, Some(1_808_689_941));
    let spectrum = foreground[0].detectors[0].spectrum.as_ref().unwrap();
    assert_eq!(spectrum.counts.len(), 16_384);
    assert_eq!(spectrum.calibration_kev[1], 0.488_827_497);
    assert_eq!(record.detectors[0].description.as_deref(), Some("HPGe"));
    assert_eq!(
        codes(&record),
        BTreeSet::from([
            FindingCode::PrefixUndeclared,
            FindingCode::DocumentIdEmpty,
            FindingCode::NeutronsAbsent,
        ])
    );
}

#[test]
fn every_file_of_the_test_data_is_read() {
    for file in test_data::list("n42") {
        let Some(bytes) = test_data::load(&file) else {
            continue;
        };
        let record = read_with(&bytes, Spectra::SumOnly).unwrap_or_else(|error| panic!("{file}: {error:?}"));
        assert!(!record.samples.is_empty(), "{file}");
    }
}

#[test]
fn a_real_file_cut_anywhere_is_refused_with_the_place_where_it_ends() {
    let Some(bytes) = test_data::load("n42/U235_Unshielded_6000.n42") else {
        return;
    };
    let end = bytes.iter().rposition(|byte| *byte == b'>').unwrap();
    for cut in (1..end).step_by(997) {
        match read_with(&bytes[..cut], Spectra::SumOnly) {
            Err(N42Error::Xml(XmlError::Truncated { place })) => {
                assert_eq!(place.offset, cut);
                assert!(
                    cut < 200 || place.path.starts_with("RadInstrumentData"),
                    "{cut}: {place}"
                );
            }
            Err(N42Error::Xml(XmlError::NoRoot)) if cut < 100 => {}
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
}

/// A document of 2006 with one spectrum.
fn form_2006(spectrum: &str) -> String {
    format!(
        "<?xml version='1.0'?><N42InstrumentData xmlns='http://physics.nist.gov/Divisions/Div846/Gp4/ANSIN4242/2005/ANSIN4242'>\
         <Measurement><InstrumentInformation/><DetectorData><DetectorMeasurement DetectorType='Gamma'><SpectrumMeasurement>\
         {spectrum}</SpectrumMeasurement></DetectorMeasurement></DetectorData></Measurement></N42InstrumentData>"
    )
}

/// A document of 2012 with this in its root.
fn form_2012(content: &str) -> String {
    format!(
        "<?xml version='1.0'?><RadInstrumentData n42DocUUID='x' xmlns='http://physics.nist.gov/N42/2011/N42'>{content}</RadInstrumentData>"
    )
}

fn read_text(text: &str) -> Result<RadiationRecord, N42Error> {
    read(text.as_bytes())
}

const CALIBRATION: &str =
    "<Calibration Type='Energy'><Equation><Coefficients>0 3 0</Coefficients></Equation></Calibration>";

#[test]
fn gamma_and_neutron_counts_without_spectra_are_read_in_the_form_of_2012() {
    let text = form_2012(
        "<RadDetectorInformation id='g'><RadDetectorCategoryCode>Gamma</RadDetectorCategoryCode></RadDetectorInformation>\
         <RadDetectorInformation id='n'><RadDetectorCategoryCode>Neutron</RadDetectorCategoryCode></RadDetectorInformation>\
         <RadDetectorInformation id='silent'><RadDetectorCategoryCode>Gamma</RadDetectorCategoryCode></RadDetectorInformation>\
         <RadMeasurement><MeasurementClassCode>Foreground</MeasurementClassCode><RealTimeDuration>PT1S</RealTimeDuration>\
         <OccupancyIndicator>true</OccupancyIndicator>\
         <GrossCounts radDetectorInformationReference='g'><LiveTimeDuration>PT0.9S</LiveTimeDuration><CountData>100 20</CountData></GrossCounts>\
         <GrossCounts radDetectorInformationReference='n'><LiveTimeDuration>PT1S</LiveTimeDuration><CountData>3</CountData></GrossCounts>\
         </RadMeasurement><RadMeasurement><MeasurementClassCode>Foreground</MeasurementClassCode>\
         <OccupancyIndicator>false</OccupancyIndicator>\
         <GrossCounts radDetectorInformationReference='g'><CountData>90</CountData></GrossCounts></RadMeasurement>",
    );
    let record = read_text(&text).unwrap();
    let sample = &record.samples[0];
    assert_eq!(sample.counts(DetectorKind::Gamma), Some(120));
    assert_eq!(sample.counts(DetectorKind::Neutron), Some(3));
    assert_eq!(sample.occupied, Some(true));
    assert_eq!(
        codes(&record),
        BTreeSet::from([FindingCode::DetectorSilent, FindingCode::LiveTimeMissing])
    );
}

#[test]
fn neutrons_of_2006_are_read_beside_spectra() {
    let text = form_2006(&format!(
        "<Spectrum Detector='A' SampleNumber='1'><RealTime>PT1S</RealTime><LiveTime>PT1S</LiveTime>{CALIBRATION}<ChannelData>1 2</ChannelData></Spectrum>"
    ))
    .replace(
        "</DetectorMeasurement>",
        "</DetectorMeasurement><DetectorMeasurement DetectorType='Neutron'><GrossCountMeasurement Detector='N' SampleNumber='1'>\
         <GrossCountData><LiveTime>PT1S</LiveTime><GrossCounts>4</GrossCounts></GrossCountData></GrossCountMeasurement></DetectorMeasurement>",
    );
    let record = read_text(&text).unwrap();
    assert_eq!(record.samples.len(), 1);
    assert_eq!(record.samples[0].counts(DetectorKind::Gamma), Some(3));
    assert_eq!(record.samples[0].counts(DetectorKind::Neutron), Some(4));
    assert_eq!(record.samples[0].detectors[1].live_time_us, Some(1_000_000));
}

#[test]
fn each_deviation_of_a_spectrum_is_a_finding() {
    let times = "<RealTime>PT1S</RealTime><LiveTime>PT1S</LiveTime>";
    let cases = [
        (
            format!("<Spectrum Sensor='A'>{times}{CALIBRATION}<ChannelData>1</ChannelData></Spectrum>"),
            FindingCode::AttributeSpelling,
        ),
        (
            format!(
                "<Spectrum>{times}{CALIBRATION}<ChannelData compressionCode='CountedZeroes'>0 3 1</ChannelData></Spectrum>"
            ),
            FindingCode::AttributeSpelling,
        ),
        (
            format!("<Spectrum>{times}{CALIBRATION}<ChannelData>1.25 0.25</ChannelData></Spectrum>"),
            FindingCode::CountsFractional,
        ),
        (
            format!("<Spectrum>{times}<ChannelData>1</ChannelData></Spectrum>"),
            FindingCode::CalibrationOdd,
        ),
        (
            format!(
                "<Spectrum>{times}<Calibration><Equation><Coefficients>1 2 3 4 5</Coefficients></Equation></Calibration><ChannelData>1</ChannelData></Spectrum>"
            ),
            FindingCode::CalibrationOdd,
        ),
        (
            format!("<Spectrum>{CALIBRATION}<ChannelData>1</ChannelData></Spectrum>"),
            FindingCode::LiveTimeMissing,
        ),
        (
            format!("<Spectrum><LiveTime>PT0S</LiveTime>{CALIBRATION}<ChannelData>1</ChannelData></Spectrum>"),
            FindingCode::LiveTimeMissing,
        ),
        (
            format!(
                "<Spectrum><RealTime>PT1S</RealTime><LiveTime>PT2S</LiveTime>{CALIBRATION}<ChannelData>1</ChannelData></Spectrum>"
            ),
            FindingCode::LiveTimeImpossible,
        ),
        (
            format!("<Spectrum SampleNumber='x'>{times}{CALIBRATION}<ChannelData>1</ChannelData></Spectrum>"),
            FindingCode::ValueUnreadable,
        ),
        (
            format!(
                "<Spectrum><StartTime>2010-01-01T00:00:00</StartTime>{times}{CALIBRATION}<ChannelData>1</ChannelData></Spectrum>"
            ),
            FindingCode::TimesMixed,
        ),
        (
            format!(
                "<Spectrum Detector='A' SampleNumber='1'>{times}{CALIBRATION}<ChannelData>1</ChannelData></Spectrum><Spectrum Detector='A' SampleNumber='2'>{times}{CALIBRATION}<ChannelData>1 2</ChannelData></Spectrum>"
            ),
            FindingCode::ChannelsDiffer,
        ),
        (
            format!(
                "<Spectrum SampleNumber='1'>{times}{CALIBRATION}<ChannelData>1</ChannelData></Spectrum><Spectrum SampleNumber='3'>{times}{CALIBRATION}<ChannelData>1</ChannelData></Spectrum>"
            ),
            FindingCode::SampleGap,
        ),
    ];
    for (spectrum, code) in cases {
        let record = read_text(&form_2006(&spectrum)).unwrap_or_else(|error| panic!("{spectrum}: {error}"));
        let mut found = codes(&record);
        assert!(found.remove(&FindingCode::NeutronsAbsent));
        assert_eq!(found, BTreeSet::from([code]), "{spectrum}");
    }
}

#[test]
fn the_attribute_of_2006_is_taken_in_the_form_of_2012() {
    let text = form_2012(
        "<RadMeasurement><MeasurementClassCode>Background</MeasurementClassCode><Spectrum><LiveTimeDuration>PT1S</LiveTimeDuration>\
         <ChannelData Compression='CountedZeroes'>0 5 7</ChannelData></Spectrum></RadMeasurement>",
    );
    let record = read_text(&text).unwrap();
    assert_eq!(
        record.samples[0].detectors[0].spectrum.as_ref().unwrap().counts.len(),
        6
    );
    assert!(codes(&record).contains(&FindingCode::AttributeSpelling));
}

#[test]
fn what_cannot_be_used_is_refused_with_element_and_reason() {
    let spectrum = |inner: &str| form_2006(&format!("<Spectrum>{inner}</Spectrum>"));
    for (text, words) in [
        ("<gpx/>".to_owned(), "gpx"),
        (form_2012(""), "RadMeasurement"),
        (form_2012("<RadMeasurement/>"), "RadMeasurement"),
        (form_2006(""), "Measurement"),
        (
            spectrum("<RealTime>soon</RealTime><ChannelData>1</ChannelData>"),
            "RealTime",
        ),
        (
            spectrum("<LiveTime>-PT1S</LiveTime><ChannelData>1</ChannelData>"),
            "LiveTime",
        ),
        (spectrum("<ChannelData>1 two 3</ChannelData>"), "two"),
        (spectrum("<ChannelData>1 -2</ChannelData>"), "-2"),
        (spectrum("<ChannelData Compression='zip'>1</ChannelData>"), "zip"),
        (
            spectrum("<ChannelData Compression='CountedZeroes'>1 0</ChannelData>"),
            "run of zeros",
        ),
        (
            spectrum("<ChannelData Compression='CountedZeroes'>0 4000000000</ChannelData>"),
            "channels of one spectrum",
        ),
    ] {
        let error = read_text(&text).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn runs_of_zeros_cannot_fill_memory() {
    let one = "<Spectrum><ChannelData Compression='CountedZeroes'>0 65536</ChannelData></Spectrum>";
    let text = form_2006(&one.repeat(RECORD_CHANNELS_MAX / CHANNELS_MAX + 1));
    let error = read_with(text.as_bytes(), Spectra::SumOnly).unwrap_err();
    assert!(
        matches!(
            error,
            N42Error::Limit {
                what: "channels of one record",
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn hostile_documents_are_refused_quickly() {
    let deep = "<a>".repeat(100_000);
    let large = vec![b'1'; 50 << 20];
    let wide = format!("<N42InstrumentData>{}</N42InstrumentData>", "<a/>".repeat(1_000_000));
    let entities =
        "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]><N42InstrumentData>&b;</N42InstrumentData>";
    let attributes = format!(
        "<N42InstrumentData {}/>",
        (0..100_000).map(|i| format!("a{i}='' ")).collect::<String>()
    );
    let prefixes = format!(
        "<N42InstrumentData {}/>",
        (0..100_000).map(|i| format!("xmlns:a{i}='' ")).collect::<String>()
    );
    let start = Instant::now();
    for bytes in [
        deep.as_bytes(),
        &large,
        wide.as_bytes(),
        entities.as_bytes(),
        attributes.as_bytes(),
        prefixes.as_bytes(),
    ] {
        let error = read(bytes).unwrap_err();
        assert!(matches!(error, N42Error::Xml(_)), "{error:?}");
    }
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
    }

    #[test]
    fn arbitrary_values_in_a_real_frame_never_panic(counts in "[ 0-9.eE+-]{0,60}", time in "[-PTDHMS0-9.]{0,12}", start in "[-TZ:+0-9.]{0,24}", flag in "[01a]?") {
        let text = form_2006(&format!(
            "<Spectrum SampleNumber='{flag}'><StartTime>{start}</StartTime><LiveTime>{time}</LiveTime><Occupied>{flag}</Occupied>\
             <ChannelData Compression='CountedZeroes'>{counts}</ChannelData></Spectrum>"
        ));
        let kept = read_text(&text);
        let summed = read_with(text.as_bytes(), Spectra::SumOnly);
        prop_assert_eq!(kept.is_ok(), summed.is_ok());
    }
}

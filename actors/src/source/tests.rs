//! What a sensor's part of a pass becomes.

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::{STEPS_MAX, ThreatFamily};
use portcullis_domain::id::InspectionNo;
use portcullis_domain::manifest::Manifest;
use portcullis_domain::reading::{
    AbilityAssessment, AlarmDecision, Candidate, DetectorCounts, EnergyImage, ImageStrip, IonMobility, Iq,
    MagneticProfile, NqrWaveform, Polarity, RadiationKind, ReadingHeader, Recognition, RowRange, SwabPurpose,
    ThreatCategory, ThreatFlag, ThreatObject, ThreatReport, TraceAlarm,
};

use portcullis_detectors::{magnetometer, nqr, radiography, trace};

use super::*;

fn portal(counts: u64) -> RadiationSample {
    RadiationSample {
        real_time_us: 250_000,
        detectors: vec![DetectorCounts {
            name: "gamma".to_owned(),
            kind: RadiationKind::Gamma,
            live_time_us: 250_000,
            counts,
            spectrum: None,
        }],
    }
}

fn reading(sequence: u64, sample: u32, content: ReadingContent) -> Authentic {
    let header = ReadingHeader {
        device: DeviceId::new("rpm-1").unwrap(),
        boot: 1,
        sequence,
        captured_at: Timestamp(1_000 + sequence),
        inspection: Some(InspectionNo(9)),
        equipment: None,
        sample: SampleNo(sample),
    };
    Authentic {
        signed: SignedReading {
            body: sequence.to_be_bytes().to_vec(),
            signature: Vec::new(),
        },
        reading: Reading { header, content },
    }
}

fn pass(prelude: &mut Prelude, samples: u32) -> Evidence {
    let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
    let declared = Declared {
        manifest: &manifest,
        equipment: &equipment,
    };
    let mut source = Source::new(DeviceId::new("rpm-1").unwrap(), 1, Modality::Radiation, 1, prelude);
    for sample in 1..=samples {
        let content = ReadingContent::Radiation(portal(500 + u64::from(sample % 7)));
        source.take_sample(reading(100 + u64::from(sample), sample, content), declared, prelude);
    }
    source.evidence().unwrap()
}

#[test]
fn the_background_before_the_pass_counts_and_is_kept_for_a_pass_that_brings_none() {
    let mut prelude = Prelude::default();
    prelude.push(reading(1, 0, ReadingContent::RadiationBackground(portal(500))));
    let first = pass(&mut prelude, 20);
    assert_eq!(first.readings.as_ref().unwrap().first, 1);
    let second = pass(&mut prelude, 20);
    assert_eq!(second.readings.as_ref().unwrap().first, 101);
    assert_eq!(first.steps, second.steps);
    let codes: Vec<_> = second.findings.iter().map(|noted| noted.finding.code).collect();
    assert!(!codes.contains(&FindingCode::BackgroundFromPass), "{codes:?}");
}

#[test]
fn what_an_earlier_pass_left_behind_does_not_matter_to_one_with_its_own_background() {
    let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
    let declared = Declared {
        manifest: &manifest,
        equipment: &equipment,
    };
    let steps = |left_behind: Option<u64>| {
        let mut prelude = Prelude::default();
        if let Some(counts) = left_behind {
            prelude.push(reading(1, 0, ReadingContent::RadiationBackground(portal(counts))));
        }
        let id = DeviceId::new("rpm-1").unwrap();
        let mut source = Source::new(id, 1, Modality::Radiation, 1, &mut prelude);
        source.take_prelude(reading(2, 0, ReadingContent::RadiationBackground(portal(500))));
        for sample in 1..=10 {
            let content = ReadingContent::Radiation(portal(520));
            source.take_sample(reading(2 + u64::from(sample), sample, content), declared, &mut prelude);
        }
        source.evidence().unwrap().steps
    };
    assert_eq!(steps(None), steps(Some(900)));
}

#[test]
fn a_trajectory_never_has_more_steps_than_the_ledger_takes() {
    let evidence = pass(&mut Prelude::default(), 600);
    assert!(evidence.steps.len() <= STEPS_MAX);
    evidence.check().unwrap();
}

#[test]
fn missing_samples_degrade_the_view_from_there_on() {
    let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
    let declared = Declared {
        manifest: &manifest,
        equipment: &equipment,
    };
    let mut prelude = Prelude::default();
    prelude.push(reading(1, 0, ReadingContent::RadiationBackground(portal(500))));
    let mut source = Source::new(DeviceId::new("rpm-1").unwrap(), 1, Modality::Radiation, 1, &mut prelude);
    for sample in [1, 2, 3, 7, 8] {
        let content = ReadingContent::Radiation(portal(500));
        source.take_sample(reading(u64::from(sample) + 1, sample, content), declared, &mut prelude);
    }
    source.end(declared);
    let evidence = source.evidence().unwrap();
    assert_eq!(evidence.at(SampleNo(8)).unwrap().ability, Ability::Degraded);
    assert!(
        evidence
            .findings
            .iter()
            .any(|noted| { noted.sample == SampleNo(7) && noted.finding.code == FindingCode::SampleGap })
    );
}

#[test]
fn a_doubt_that_comes_after_the_only_reading_degrades_the_view_in_the_end() {
    let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
    let declared = Declared {
        manifest: &manifest,
        equipment: &equipment,
    };
    let candidates = vec![Candidate {
        text: "CBHU6192031".to_owned(),
        confidence_permille: 990,
    }];
    let mut prelude = Prelude::default();
    let mut source = Source::new(DeviceId::new("ocr-1").unwrap(), 1, Modality::Ocr, 1, &mut prelude);
    let content = ReadingContent::Recognition(Recognition { candidates, seal: None });
    source.take_sample(reading(1, 1, content), declared, &mut prelude);
    assert_eq!(source.knowledge().0, Ability::Clear);
    source.doubt(Finding::new(FindingCode::ReadingRefused, "SIGNATURE_INVALID", "forged"));
    source.end(declared);
    assert_eq!(source.knowledge().0, Ability::Degraded);
    source.evidence().unwrap().check().unwrap();
}

#[test]
fn readings_before_a_pass_are_bounded_in_bytes_and_the_oldest_give_way() {
    let mut prelude = Prelude::default();
    for sequence in 1..=9 {
        let mut large = reading(sequence, 0, ReadingContent::RadiationBackground(portal(500)));
        large.signed.body = vec![0; 1 << 20];
        prelude.push(large);
    }
    let left: Vec<_> = prelude.new.iter().map(|one| one.reading.header.sequence).collect();
    assert_eq!(left, [7, 8, 9]);
    prelude.forget_used(DeviceMark { boot: 1, sequence: 8 });
    assert_eq!(prelude.new.len(), 1);
    assert!(prelude.bytes < (1 << 20) + 16);
}

#[test]
fn several_looks_at_the_number_are_taken_together() {
    let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
    let declared = Declared {
        manifest: &manifest,
        equipment: &equipment,
    };
    let mut prelude = Prelude::default();
    let mut source = Source::new(DeviceId::new("ocr-1").unwrap(), 1, Modality::Ocr, 1, &mut prelude);
    for (sample, text) in [(1, "CBHU6??????"), (2, "CBHU6192031")] {
        let candidates = vec![Candidate {
            text: text.to_owned(),
            confidence_permille: 900,
        }];
        let content = ReadingContent::Recognition(Recognition { candidates, seal: None });
        source.take_sample(reading(u64::from(sample), sample, content), declared, &mut prelude);
    }
    let evidence = source.evidence().unwrap();
    assert_eq!(evidence.total().unwrap().ability, Ability::Clear);
}

/// Columns of a container with light goods, 100 of 646 of a centimetre each.
fn columns(first_column: u32) -> ImageStrip {
    let width = 100.min(646 - first_column);
    let of_column = |column: u32| {
        let inside = (20..626).contains(&column);
        (0..240_u32).map(move |row| if inside && row >= 20 { 40_000 } else { 60_000 })
    };
    ImageStrip {
        first_column,
        columns_planned: Some(646),
        width,
        height: 240,
        column_um: 10_000,
        row_um: 10_000,
        container_rows: Some(RowRange { first: 20, end: 240 }),
        energies: vec![EnergyImage {
            endpoint_kev: 6_000,
            references: None,
            pixels: (first_column..first_column + width).flat_map(of_column).collect(),
        }],
    }
}

#[test]
fn an_image_is_evidence_from_its_first_columns_on_and_seen_when_the_pass_ends() {
    let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
    let declared = Declared {
        manifest: &manifest,
        equipment: &equipment,
    };
    let image = |strips: u32| {
        let mut prelude = Prelude::default();
        let id = DeviceId::new("xray-1").unwrap();
        let mut source = Source::new(id, 1, Modality::Radiography, 1, &mut prelude);
        for number in 0..strips {
            let content = ReadingContent::ImageStrip(columns(number * 100));
            let sample = number + 3;
            source.take_sample(reading(u64::from(sample), sample, content), declared, &mut prelude);
            assert_eq!(source.knowledge().0, Ability::Shielded);
        }
        source.end(declared);
        source.evidence().unwrap()
    };
    let whole = image(7);
    whole.check().unwrap();
    assert_eq!(whole.interpreter, radiography::VERSION);
    assert_eq!(whole.total().unwrap().ability, Ability::Clear, "{whole:?}");
    assert_eq!(whole.steps[0].sample, SampleNo(3));
    assert!(whole.total().unwrap().weights.of(ThreatFamily::Narcotics) < 0);
    assert_eq!(image(5).total().unwrap().ability, Ability::Degraded);
    assert_eq!(image(2).total().unwrap().ability, Ability::Shielded);
}

#[test]
fn a_vendors_report_is_evidence_beside_the_image() {
    let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
    let declared = Declared {
        manifest: &manifest,
        equipment: &equipment,
    };
    let mut prelude = Prelude::default();
    let id = DeviceId::new("xray-1").unwrap();
    let mut source = Source::new(id, 1, Modality::Radiography, 1, &mut prelude);
    let report = ThreatReport {
        maker: "Acme".to_owned(),
        algorithm: "find".to_owned(),
        version: "1".to_owned(),
        decision: AlarmDecision::Alarm,
        abort: None,
        test_prevalence_ppm: None,
        objects: vec![ThreatObject {
            flag: ThreatFlag::Threat,
            category: ThreatCategory::ProhibitedItem,
            ability: AbilityAssessment::NoInterference,
            probability_ppm: Some(900_000),
            bounds: None,
        }],
    };
    for number in 0..7 {
        let content = ReadingContent::ImageStrip(columns(number * 100));
        source.take_sample(
            reading(u64::from(number) + 1, number + 1, content),
            declared,
            &mut prelude,
        );
    }
    source.take_sample(
        reading(8, 8, ReadingContent::ThreatReport(report)),
        declared,
        &mut prelude,
    );
    source.end(declared);
    let evidence = source.evidence().unwrap();
    evidence.check().unwrap();
    assert_eq!(evidence.total().unwrap().weights.of(ThreatFamily::Weapons), 9_542);
}

#[test]
fn a_swab_is_evidence_and_the_blank_before_the_pass_counts_for_it() {
    let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
    let declared = Declared {
        manifest: &manifest,
        equipment: &equipment,
    };
    let analysis = |purpose: SwabPurpose| IonMobility {
        swab: "swab-1".to_owned(),
        purpose,
        polarity: Polarity::Negative,
        spectrum: None,
        alarms: vec![TraceAlarm {
            substance: "RDX".to_owned(),
            channel: "RDX-Cl".to_owned(),
            true_alarm_ppm: None,
            false_alarm_ppm: None,
        }],
    };
    let blank = ReadingContent::IonMobility(analysis(SwabPurpose::Blank));
    let swab = ReadingContent::IonMobility(analysis(SwabPurpose::Sample));
    assert!(blank.precedes_pass() && !swab.precedes_pass());
    let mut prelude = Prelude::default();
    prelude.push(reading(1, 0, blank));
    let id = DeviceId::new("ims-1").unwrap();
    let mut source = Source::new(id, 1, Modality::Trace, 1, &mut prelude);
    source.take_sample(reading(2, 1, swab), declared, &mut prelude);
    source.end(declared);
    let evidence = source.evidence().unwrap();
    evidence.check().unwrap();
    assert_eq!(evidence.interpreter, trace::VERSION);
    assert_eq!(evidence.readings.as_ref().unwrap().first, 1);
    assert!(evidence.total().unwrap().weights.of(ThreatFamily::Explosives) > 0);
    let codes: Vec<_> = evidence.findings.iter().map(|noted| noted.finding.code).collect();
    assert_eq!(codes, [FindingCode::BlankContaminated, FindingCode::TraceAlarm]);
}

#[test]
fn readings_of_quantum_sensors_become_evidence_under_their_interpreters_names() {
    let (manifest, equipment) = (Manifest::default(), EquipmentId::new("CBHU6192031").unwrap());
    let declared = Declared {
        manifest: &manifest,
        equipment: &equipment,
    };
    // Metal takes the quality of the coil: nothing can be seen, and that is what the evidence says.
    let waveform = NqrWaveform {
        carrier_hz: 3_410_000,
        sample_rate_hz: 100_000,
        femtovolts_per_count: 250,
        echoes: 16,
        echo_spacing_us: 500,
        window_start_us: 100,
        goods_temperature_mk: None,
        quality_factor: 10,
        quality_factor_empty: 100,
        picovolts_per_mole: 50,
        echo_train: vec![Iq { i: 1, q: 2 }; 16 * 32],
        reference: Vec::new(),
    };
    let evidence_of = |modality, content| {
        let mut prelude = Prelude::default();
        let id = DeviceId::new("quantum-1").unwrap();
        let mut source = Source::new(id, 1, modality, 1, &mut prelude);
        source.take_sample(reading(1, 1, content), declared, &mut prelude);
        source.evidence().unwrap()
    };
    let resonance = evidence_of(Modality::Nqr, ReadingContent::Nqr(waveform));
    resonance.check().unwrap();
    assert_eq!(
        (resonance.modality, resonance.interpreter.as_str()),
        (Modality::Nqr, nqr::VERSION)
    );
    assert_eq!(resonance.total().unwrap().ability, Ability::Shielded);
    assert_eq!(resonance.findings[0].finding.code, FindingCode::NqrMetalLoad);
    let empty = ReadingContent::MagneticProfile(MagneticProfile::default());
    let magnetic = evidence_of(Modality::Magnetometer, empty);
    magnetic.check().unwrap();
    assert_eq!(magnetic.interpreter, magnetometer::VERSION);
    assert_eq!(magnetic.findings[0].finding.code, FindingCode::MagneticUnusable);
}

#[test]
fn a_sensor_that_saw_nothing_has_no_evidence() {
    let source = Source::new(
        DeviceId::new("x").unwrap(),
        1,
        Modality::Ocr,
        1,
        &mut Prelude::default(),
    );
    assert_eq!(source.evidence(), None);
}

//! Readings that a broken or hostile device sends: interpreters never panic, cost bounded time and memory, never weigh more
//! than they may, and give no weight for what cannot be.
//!
//! A bounded run is part of the tests; the head of `hostile_documents.rs` says how to run a long one.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unreachable_pub, dead_code, reason = "the support modules are shared with benches")]

#[path = "support/allocator.rs"]
mod allocator;
#[path = "support/cases.rs"]
mod cases;
#[path = "../benches/support/noise.rs"]
mod noise;
#[path = "../benches/support/readings.rs"]
mod readings;
#[path = "support/spoil.rs"]
mod spoil;

use noise::Noise;
use portcullis_detectors::nqr::NqrInterpreter;
use portcullis_detectors::radiation::RadiationInterpreter;
use portcullis_detectors::radiation::spectral::SpectralInterpreter;
use portcullis_detectors::radiography::RadiographyInterpreter;
use portcullis_detectors::trace::TraceInterpreter;
use portcullis_detectors::{Interpretation, WEIGHT_CAP, magnetometer, ocr, weighbridge};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::{Ability, EVIDENCE_FINDINGS_MAX, Weights};
use portcullis_domain::reading::{
    AbilityAssessment, AlarmDecision, BoundingBox, Candidate, RadiationKind, RadiationSample, Recognition, SealReading,
    SealState, ThreatCategory, ThreatFlag, ThreatObject, ThreatReport, Weighing,
};
use spoil::Spoil;

const MEBIBYTE: usize = 1 << 20;

fn check(result: &Interpretation) {
    assert!(
        result.weights.0.iter().all(|weight| weight.abs() <= WEIGHT_CAP),
        "{result:?}"
    );
    assert!(
        result.findings.len() <= EVIDENCE_FINDINGS_MAX,
        "{}",
        result.findings.len()
    );
}

/// Nothing was seen, and it says why.
fn nothing(result: &Interpretation, what: &str) {
    assert_eq!(
        (result.weights, result.ability),
        (Weights::ZERO, Ability::Shielded),
        "{what}: {result:?}"
    );
    assert!(!result.findings.is_empty(), "{what}");
}

fn spoiled<T: Spoil + Clone>(noise: &mut Noise, sound: &T) -> T {
    let mut reading = sound.clone();
    for _ in 0..=noise.below(4) {
        reading.spoil(noise);
    }
    reading
}

fn pass() -> Vec<RadiationSample> {
    let mut noise = Noise(3);
    (0..10).map(|_| readings::radiation(&mut noise, 0.5, 2, 256)).collect()
}

#[test]
fn radiation_samples() {
    let sound = pass();
    let mut interpreter = SpectralInterpreter::new(None, None, 5);
    sound.iter().for_each(|sample| _ = interpreter.push(sample));
    assert_ne!(interpreter.finish().ability, Ability::Shielded);
    cases::run("radiation", 60, |noise| {
        let samples = spoiled(noise, &sound);
        let mut gross = RadiationInterpreter::new(None, samples.len());
        let mut spectral = SpectralInterpreter::new(None, None, 5);
        for sample in &samples {
            let weights = [gross.push(sample).weights, spectral.push(sample).weights];
            assert!(
                weights
                    .iter()
                    .all(|weights| weights.0.iter().all(|weight| weight.abs() <= WEIGHT_CAP))
            );
        }
        let progress = gross.finish();
        check(&Interpretation {
            weights: progress.weights,
            ability: progress.ability,
            findings: gross.findings(),
        });
        spectral.finish();
        check(&spectral.interpretation());
        8 * MEBIBYTE
    });
}

#[test]
fn spectra_that_cannot_be_give_no_weight() {
    type Change = fn(&mut RadiationSample);
    fn calibrated(sample: &mut RadiationSample, calibration: &[f64]) {
        let spectra = sample
            .detectors
            .iter_mut()
            .filter_map(|detector| detector.spectrum.as_mut());
        spectra.for_each(|spectrum| spectrum.calibration_kev = calibration.to_vec());
    }
    let changes: [(&str, Change); 8] = [
        ("no live time", |sample| {
            sample
                .detectors
                .iter_mut()
                .for_each(|detector| detector.live_time_us = 0)
        }),
        ("no calibration", |sample| calibrated(sample, &[])),
        ("calibration not a number", |sample| {
            calibrated(sample, &[0.0, f64::NAN])
        }),
        ("infinite calibration", |sample| {
            calibrated(sample, &[0.0, f64::INFINITY, 0.0])
        }),
        ("falling calibration", |sample| calibrated(sample, &[3_000.0, -3.0])),
        ("one energy for all", |sample| calibrated(sample, &[600.0, 0.0])),
        ("energies of the sun", |sample| calibrated(sample, &[1e300, 1e290])),
        ("no channels", |sample| {
            let spectra = sample
                .detectors
                .iter_mut()
                .filter_map(|detector| detector.spectrum.as_mut());
            spectra.for_each(|spectrum| spectrum.counts.clear());
        }),
    ];
    for (what, change) in changes {
        let mut samples = pass();
        for sample in &mut samples {
            sample
                .detectors
                .retain(|detector| detector.kind == RadiationKind::Gamma);
            change(sample);
        }
        let mut interpreter = SpectralInterpreter::new(None, None, 5);
        samples.iter().for_each(|sample| _ = interpreter.push(sample));
        interpreter.finish();
        nothing(&interpreter.interpretation(), what);
    }
}

#[test]
fn magnetic_profiles() {
    let sound = readings::magnetic(&mut Noise(4), 60);
    let manifest = readings::bananas();
    assert_ne!(magnetometer::interpret(&sound, &manifest).ability, Ability::Shielded);
    cases::run("magnetic profile", 60, |noise| {
        let result = magnetometer::interpret(&spoiled(noise, &sound), &manifest);
        check(&result);
        if result.ability == Ability::Shielded {
            nothing(&result, "profile");
        }
        24 * MEBIBYTE
    });
}

#[test]
fn resonance_waveforms() {
    let sound = readings::resonance(&mut Noise(5), 64);
    let manifest = readings::bananas();
    assert_ne!(NqrInterpreter::new().push(&sound, &manifest).ability, Ability::Shielded);
    cases::run("resonance", 60, |noise| {
        let mut interpreter = NqrInterpreter::new();
        check(&interpreter.push(&sound, &manifest));
        check(&interpreter.push(&spoiled(noise, &sound), &manifest));
        8 * MEBIBYTE
    });
}

fn report() -> ThreatReport {
    ThreatReport {
        maker: "Maker".to_owned(),
        algorithm: "recognition".to_owned(),
        version: "1".to_owned(),
        decision: AlarmDecision::Alarm,
        abort: None,
        test_prevalence_ppm: Some(10_000),
        objects: vec![
            ThreatObject {
                flag: ThreatFlag::Threat,
                category: ThreatCategory::Contraband,
                ability: AbilityAssessment::NoInterference,
                probability_ppm: Some(900_000),
                bounds: Some(BoundingBox {
                    column: 10,
                    row: 10,
                    width: 5,
                    height: 5,
                }),
            };
            2
        ],
    }
}

#[test]
fn image_strips_and_threat_reports() {
    let strips = readings::image(20_000);
    let manifest = readings::bananas();
    let sound = report();
    let mut interpreter = RadiographyInterpreter::new();
    strips.iter().for_each(|strip| _ = interpreter.push_strip(strip));
    interpreter.finish();
    assert_ne!(interpreter.interpret(&manifest).ability, Ability::Shielded);
    cases::run("image", 30, |noise| {
        let strips = spoiled(noise, &strips);
        let mut interpreter = RadiographyInterpreter::new();
        for strip in &strips {
            if interpreter.push_strip(strip) && noise.below(3) == 0 {
                check(&interpreter.interpret(&manifest));
            }
        }
        interpreter.push_report(&spoiled(noise, &sound));
        interpreter.finish();
        check(&interpreter.interpret(&manifest));
        24 * MEBIBYTE
    });
}

#[test]
fn ion_mobility_spectra() {
    let sound = readings::swabs();
    let mut interpreter = TraceInterpreter::new();
    sound.iter().for_each(|swab| interpreter.push(swab));
    assert_ne!(interpreter.interpret().ability, Ability::Shielded);
    cases::run("trace", 6, |noise| {
        let mut interpreter = TraceInterpreter::new();
        for swab in spoiled(noise, &sound).iter().take(20) {
            interpreter.push(swab);
        }
        check(&interpreter.interpret());
        4 * MEBIBYTE
    });
}

#[test]
fn weighings_and_recognitions() {
    let weighing = Weighing {
        gross_mass_kg: 36_000,
        vehicle_mass_kg: Some(15_000),
        sigma_kg: Some(50),
        speed_mm_s: 0,
        axles_kg: vec![7_000, 9_000, 10_000, 10_000],
    };
    let recognition = Recognition {
        candidates: vec![
            Candidate {
                text: "MSKU1234565".to_owned(),
                confidence_permille: 950,
            };
            2
        ],
        seal: Some(SealReading {
            state: SealState::Intact,
            candidates: vec![Candidate {
                text: "ML-GB1234567".to_owned(),
                confidence_permille: 900,
            }],
        }),
    };
    let looks = vec![recognition; 3];
    let manifest = readings::bananas();
    let equipment = EquipmentId::new("MSKU1234565").unwrap();
    cases::run("weighing", 1, |noise| {
        let result = weighbridge::interpret(&spoiled(noise, &weighing), &manifest);
        check(&result);
        if result.ability == Ability::Shielded {
            nothing(&result, "weighing");
        }
        MEBIBYTE
    });
    cases::run("recognition", 1, |noise| {
        check(&ocr::interpret(&spoiled(noise, &looks), &equipment, &manifest));
        MEBIBYTE
    });
}

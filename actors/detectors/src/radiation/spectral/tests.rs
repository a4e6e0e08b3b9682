//! The spectral interpreter against spectra made from lines by other means, and against a recorded pass.

use portcullis_domain::evidence::{STEPS_MAX, Step};
use portcullis_domain::id::SampleNo;
use portcullis_domain::manifest::GoodsItem;
use portcullis_domain::reading::{DetectorCounts, Spectrum};
use proptest::prelude::*;

use super::*;
use crate::n42::{self, SampleClass};
use crate::radiation::tests::Noise;
use crate::test_data;

const CHANNELS: usize = 1_024;
const KEV: f64 = 3.0;
const BACKGROUND_CPS: f64 = 1_700.0;

/// Expected counts by channel: a peak of Gaussian shape for each line and a flat continuum of the same size below it. This
/// is cruder than the templates and made without them.
fn source(lines: &[(f64, f64)], counts: f64) -> Vec<f64> {
    let sum: f64 = lines.iter().map(|(_, share)| share).sum();
    let mut spectrum = vec![0.0; CHANNELS];
    for (kev, share) in lines {
        let sigma = 0.07 * (662.0 * kev).sqrt() / 2.355;
        for (channel, bin) in spectrum.iter_mut().enumerate() {
            let middle = (channel as f64 + 0.5) * KEV;
            let peak = (-0.5 * ((middle - kev) / sigma).powi(2)).exp() * KEV / (sigma * 2.5066);
            let below = if middle > 45.0 && middle < 0.75 * kev {
                KEV / (0.75 * kev - 45.0)
            } else {
                0.0
            };
            *bin += counts * share / sum * (0.6 * peak + 0.4 * below);
        }
    }
    spectrum
}

/// A background: falling, with the three natural lines that stand out in any.
fn surroundings(counts: f64) -> Vec<f64> {
    let falling: Vec<f64> = (0..CHANNELS)
        .map(|channel| (-(channel as f64) * KEV / 280.0).exp())
        .collect();
    let sum: f64 = falling.iter().sum();
    let lines = source(&[(1_460.8, 5.0), (609.3, 2.0), (2_614.5, 1.0)], 0.1 * counts);
    let falling = falling.into_iter().map(|share| 0.9 * counts * share / sum);
    falling.zip(lines).map(|(falling, lines)| falling + lines).collect()
}

fn sample(noise: &mut Noise, seconds: f64, parts: &[&[f64]], neutrons: Option<u64>) -> RadiationSample {
    let counts: Vec<u32> = (0..CHANNELS)
        .map(|channel| noise.poisson(seconds * parts.iter().map(|part| part[channel]).sum::<f64>()) as u32)
        .collect();
    let time_us = (seconds * 1e6) as u64;
    let gamma = DetectorCounts {
        name: "G".to_owned(),
        kind: RadiationKind::Gamma,
        live_time_us: time_us,
        counts: counts.iter().map(|count| u64::from(*count)).sum(),
        spectrum: Some(Spectrum {
            calibration_kev: vec![0.0, KEV],
            counts,
        }),
    };
    let neutron = neutrons.map(|counts| DetectorCounts {
        name: "N".to_owned(),
        kind: RadiationKind::Neutron,
        live_time_us: time_us,
        counts,
        spectrum: None,
    });
    RadiationSample {
        real_time_us: time_us,
        detectors: std::iter::once(gamma).chain(neutron).collect(),
    }
}

fn background() -> SpectralBackground {
    let empty = [sample(
        &mut Noise(1),
        300.0,
        &[&surroundings(BACKGROUND_CPS)],
        Some(600),
    )];
    SpectralBackground::measured(&Detector::NAI, &empty).unwrap()
}

/// A pass of ten seconds in which the vehicle takes a tenth of the background away and a source adds counts a second.
fn pass(seed: u64, added: &[f64], manifest: Option<&Manifest>, neutrons: u64) -> (SpectralInterpreter, Vec<Progress>) {
    let mut noise = Noise(seed);
    let shadowed = surroundings(0.9 * BACKGROUND_CPS);
    let mut interpreter = SpectralInterpreter::new(Some(background()), manifest, 10);
    let mut steps: Vec<Progress> = (0..40)
        .map(|_| interpreter.push(&sample(&mut noise, 0.25, &[&shadowed, added], Some(neutrons))))
        .collect();
    steps.push(interpreter.finish());
    (interpreter, steps)
}

fn nuclear(progress: &Progress) -> i32 {
    progress.weights.of(ThreatFamily::Nuclear)
}

fn weight(interpreter: &SpectralInterpreter) -> i32 {
    nuclear(&interpreter.progress())
}

fn codes(interpreter: &SpectralInterpreter) -> Vec<FindingCode> {
    interpreter.findings().iter().map(|finding| finding.code).collect()
}

const POTASSIUM: &[(f64, f64)] = &[(1_460.8, 1.0)];
const URANIUM: &[(f64, f64)] = &[(185.7, 57.0), (143.8, 11.0), (163.4, 5.0), (205.3, 5.0), (93.0, 9.0)];

#[test]
fn an_empty_pass_in_the_shadow_of_a_vehicle_speaks_a_little_against_nuclear_material() {
    for seed in 10..15 {
        let (interpreter, steps) = pass(seed, &[0.0; CHANNELS], None, 0);
        assert!(
            (-8_000..0).contains(&weight(&interpreter)),
            "{:?}",
            interpreter.explanation()
        );
        assert_eq!(interpreter.progress().ability, Ability::Clear);
        assert!(steps[..40].iter().all(|step| step.ability == Ability::Shielded));
        let scale = interpreter.explanation().unwrap().background_scale;
        assert!((0.85..0.95).contains(&scale), "{scale}");
        assert!(
            codes(&interpreter)
                .iter()
                .all(|code| *code != FindingCode::NuclideFound)
        );
    }
}

#[test]
fn uranium_and_potash_of_the_same_counts_are_told_apart() {
    for seed in 20..25 {
        let (potash, _) = pass(seed, &source(POTASSIUM, 500.0), None, 0);
        let (uranium, _) = pass(seed, &source(URANIUM, 500.0), None, 0);
        let (potassium, found) = (potash.explanation().unwrap(), uranium.explanation().unwrap());
        assert_eq!(potassium.class, NuclideClass::Norm, "{potassium:?}");
        assert!(potassium.names("K40"));
        assert_eq!(found.class, NuclideClass::SpecialNuclear, "{found:?}");
        assert!(found.names("U235"));
        assert!(weight(&uranium) > weight(&potash) + 15_000);
    }
}

#[test]
fn uranium_under_potash_is_found() {
    let mixed: Vec<f64> = source(POTASSIUM, 500.0)
        .iter()
        .zip(&source(URANIUM, 400.0))
        .map(|(potassium, uranium)| potassium + uranium)
        .collect();
    let (interpreter, _) = pass(30, &mixed, None, 0);
    let found = interpreter.explanation().unwrap();
    assert!(found.names("U235") && found.names("K40"), "{found:?}");
    assert!(weight(&interpreter) > 15_000);
}

#[test]
fn medical_nuclides_are_named_and_weigh_nothing_for_nuclear_material() {
    let cases: [(&str, &[(f64, f64)]); 3] = [
        ("Tc99m", &[(140.5, 1.0)]),
        ("F18", &[(511.0, 1.0)]),
        (
            "I131",
            &[(364.5, 81.5), (284.3, 6.1), (637.0, 7.2), (80.2, 2.6), (722.9, 1.8)],
        ),
    ];
    for (name, lines) in cases {
        let (interpreter, _) = pass(40, &source(lines, 800.0), None, 0);
        let found = interpreter.explanation().unwrap();
        assert_eq!(found.class, NuclideClass::Medical, "{found:?}");
        assert!(found.names(name), "{name}: {found:?}");
        assert!(weight(&interpreter) < 5_000, "{name}: {found:?}");
        assert!(codes(&interpreter).contains(&FindingCode::NuclideFound));
    }
}

#[test]
fn goods_that_explain_potassium_lower_the_weight_and_others_are_a_finding() {
    let manifest = |code: &str| Manifest {
        goods: vec![GoodsItem {
            commodity_code: code.to_owned(),
            ..GoodsItem::default()
        }],
        ..Manifest::default()
    };
    let added = source(POTASSIUM, 500.0);
    let (potash, _) = pass(50, &added, Some(&manifest("310420")), 0);
    let (shirts, _) = pass(50, &added, Some(&manifest("610510")), 0);
    assert!(weight(&potash) < 0 && weight(&potash) + 4_000 < weight(&shirts));
    assert!(codes(&potash).contains(&FindingCode::NaturalExplained));
    assert!(codes(&shirts).contains(&FindingCode::NaturalUnexplained));
}

#[test]
fn neutrons_add_to_what_the_spectrum_says() {
    let (without, _) = pass(60, &[0.0; CHANNELS], None, 0);
    let (with, _) = pass(60, &[0.0; CHANNELS], None, 60);
    assert!(weight(&with) > weight(&without) + 10_000);
    assert!(codes(&with).contains(&FindingCode::NeutronAlarm));
}

#[test]
fn evidence_is_there_after_a_second_and_grows() {
    let (interpreter, steps) = pass(70, &source(URANIUM, 900.0), None, 0);
    assert!(nuclear(&steps[2]) <= 0, "{:?}", steps[2]);
    assert!(steps[3..].iter().all(|step| nuclear(step) > 10_000), "{steps:?}");
    let (short, _) = pass(70, &source(URANIUM, 300.0), None, 0);
    let evidence = |interpreter: &SpectralInterpreter| interpreter.explanation().map_or(0.0, |found| found.evidence);
    assert!(evidence(&interpreter) > evidence(&short));
}

#[test]
fn bad_spectra_are_findings_and_never_weigh() {
    let good = sample(&mut Noise(80), 1.0, &[&surroundings(BACKGROUND_CPS)], Some(1));
    let with = |change: &dyn Fn(&mut DetectorCounts)| {
        let mut bad = good.clone();
        change(&mut bad.detectors[0]);
        let mut interpreter = SpectralInterpreter::new(Some(background()), None, 4);
        interpreter.push(&good);
        let before = interpreter.explanation().cloned();
        assert!(before.is_some());
        interpreter.push(&bad);
        interpreter.push(&bad);
        assert_eq!(interpreter.explanation().cloned(), before);
        assert_eq!(interpreter.finish().ability, Ability::Degraded);
        codes(&interpreter)
    };
    assert!(with(&|bad| bad.live_time_us = 0).contains(&FindingCode::LiveTimeMissing));
    let calibrated = |calibration: Vec<f64>| {
        with(&move |bad| {
            if let Some(spectrum) = &mut bad.spectrum {
                spectrum.calibration_kev.clone_from(&calibration);
            }
        })
    };
    for calibration in [vec![], vec![0.0, f64::NAN], vec![0.0, -3.0], vec![0.0, 3.0, -0.01]] {
        assert!(calibrated(calibration).contains(&FindingCode::CalibrationOdd));
    }
}

#[test]
fn without_any_spectrum_nothing_was_seen() {
    let mut blind = sample(&mut Noise(90), 1.0, &[&surroundings(BACKGROUND_CPS)], None);
    blind.detectors[0].spectrum = None;
    let mut interpreter = SpectralInterpreter::new(Some(background()), None, 4);
    interpreter.push(&blind);
    let result = {
        interpreter.finish();
        interpreter.interpretation()
    };
    assert_eq!((result.weights, result.ability), (Weights::ZERO, Ability::Shielded));
    assert!(codes(&interpreter).contains(&FindingCode::SpectrumMissing));
}

#[test]
fn every_template_is_a_spectrum_and_peaks_stand_where_the_lines_are() {
    for detector in [Detector::NAI, Detector::HPGE] {
        let templates = templates_of(&detector);
        for template in &templates.templates {
            assert!(template.shape.iter().all(|share| share.is_finite() && *share >= 0.0));
            assert!((template.shape.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
        let caesium = templates
            .templates
            .iter()
            .find(|template| template.nuclide.name == "Cs137")
            .unwrap();
        let peak = templates.grid.bin_of(661.7).unwrap();
        let at = |bin: usize| caesium.shape[bin];
        let valley = templates.grid.bin_of(560.0).unwrap();
        assert!(at(peak) > 4.0 * at(valley) && at(peak) > at(peak + 8));
        let above = templates.grid.bin_of(900.0).unwrap();
        assert!(caesium.shape[above..].iter().sum::<f64>() < 1e-6);
    }
}

#[test]
fn the_recorded_pass_gives_occupancy_a_background_and_evidence_after_each_second() {
    let Some(bytes) = test_data::load("n42/passthrough.n42") else {
        return;
    };
    let record = n42::read(&bytes).unwrap();
    let samples: Vec<RadiationSample> = record
        .of_class(SampleClass::Foreground)
        .cloned()
        .map(RadiationSample::from)
        .collect();
    assert_eq!(samples.len(), 133);
    let mut interpreter = SpectralInterpreter::new(None, None, 33);
    let mut steps = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        let seconds = interpreter.seconds();
        let progress = interpreter.push(sample);
        if interpreter.seconds() > seconds {
            steps.push(Step {
                sample: SampleNo(index as u32 + 1),
                ability: progress.ability,
                weights: progress.weights,
            });
        }
    }
    assert_eq!(interpreter.finish().ability, Ability::Degraded);
    assert!((30..=STEPS_MAX).contains(&steps.len()), "{}", steps.len());
    assert!(interpreter.background().unwrap().cps() > 50.0);
    let occupancy = interpreter.occupancy().unwrap();
    assert!(
        occupancy.first < occupancy.last && (occupancy.first..=occupancy.last).contains(&22),
        "{occupancy:?}"
    );
    let found = interpreter.explanation().unwrap();
    // The lines at 1173 and 1332 keV stand out of the recorded spectra.
    assert!(
        found.names("Co60") && found.class == NuclideClass::Industrial,
        "{found:?}"
    );
    assert!(steps.is_sorted_by(|a, b| a.sample < b.sample));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn arbitrary_samples_never_panic_and_weights_stay_within_the_cap(
        times in prop::collection::vec((any::<u64>(), any::<u64>()), 1..6),
        calibration in prop::collection::vec(prop_oneof![prop::num::f64::ANY, -10.0..10.0], 0..4),
        counts in prop::collection::vec(prop_oneof![0_u32..50, any::<u32>()], 0..300),
        measured in any::<bool>(),
    ) {
        let known = measured.then(background);
        let mut interpreter = SpectralInterpreter::new(known, None, 4);
        let spectrum = Spectrum { calibration_kev: calibration, counts };
        for (real, live) in times {
            let detector = DetectorCounts {
                name: "G".to_owned(),
                kind: RadiationKind::Gamma,
                live_time_us: live % 3_000_000,
                counts: 0,
                spectrum: Some(spectrum.clone()),
            };
            let sample = RadiationSample { real_time_us: real % 3_000_000, detectors: vec![detector] };
            let weight = nuclear(&interpreter.push(&sample));
            prop_assert!(weight.abs() <= WEIGHT_CAP);
        }
        prop_assert!(nuclear(&interpreter.finish()).abs() <= WEIGHT_CAP);
        prop_assert!(interpreter.findings().len() < 40);
    }
}

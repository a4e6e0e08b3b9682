use portcullis_domain::reading::{Calibrant, DriftSpectrum};
use proptest::prelude::*;

use super::*;

const STEP_NS: u32 = 20_000;
const EXPECTED_NS: u64 = 12_000_000;

/// Peaks (reduced mobility, height) over a falling baseline; all drift times are `stretch` times as long as usual.
fn spectrum(calibrant: (&str, f64), peaks: &[(f64, f64)], stretch: f64) -> DriftSpectrum {
    let constant = calibrant.1 * EXPECTED_NS as f64 * stretch;
    let mut intensities = Vec::new();
    for point in 0..1_500_u32 {
        let time = f64::from(point * STEP_NS);
        let mut value = 200.0 + 300.0 * (-time / 5e6).exp();
        for (mobility, height) in peaks.iter().chain([&(calibrant.1, 4_000.0)]) {
            let centre = constant / mobility;
            let sigma = centre / 40.0 / 2.354_82;
            value += height * (-0.5 * ((time - centre) / sigma).powi(2)).exp();
        }
        // A little noise that is always the same.
        value += f64::from(point * 7_919 % 13) - 6.0;
        intensities.push(value.round() as u32);
    }
    DriftSpectrum {
        start_ns: 0,
        step_ns: STEP_NS,
        intensities,
        full_scale: None,
        calibrant: Some(Calibrant {
            name: calibrant.0.to_owned(),
            reduced_mobility: (calibrant.1 * 1e4).round() as u32,
            expected_ns: EXPECTED_NS,
        }),
    }
}

fn analysis(purpose: SwabPurpose, polarity: Polarity, peaks: &[(f64, f64)], stretch: f64) -> IonMobility {
    let calibrant = match polarity {
        Polarity::Positive => ("nicotinamide", 1.860),
        Polarity::Negative => ("4-nitrobenzonitrile", 1.652),
    };
    IonMobility {
        swab: "swab-1".to_owned(),
        purpose,
        polarity,
        spectrum: Some(spectrum(calibrant, peaks, stretch)),
        alarms: Vec::new(),
    }
}

fn interpret(analyses: &[IonMobility]) -> Interpretation {
    let mut interpreter = TraceInterpreter::new();
    analyses.iter().for_each(|analysis| interpreter.push(analysis));
    interpreter.interpret()
}

/// Blanks and swabs of both signs.
fn swabs(positive: &[(f64, f64)], negative: &[(f64, f64)], stretch: f64) -> Vec<IonMobility> {
    use SwabPurpose::{Blank, Sample};
    vec![
        analysis(Blank, Polarity::Positive, &[], stretch),
        analysis(Blank, Polarity::Negative, &[], stretch),
        analysis(Sample, Polarity::Positive, positive, stretch),
        analysis(Sample, Polarity::Negative, negative, stretch),
    ]
}

fn codes(result: &Interpretation) -> Vec<FindingCode> {
    result.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn each_substance_is_named_at_its_mobility_and_weighs_for_its_family() {
    for ion in IONS {
        let peaks = [(ion.reduced_mobility, 600.0)];
        let result = match ion.polarity {
            Polarity::Positive => interpret(&swabs(&peaks, &[], 1.0)),
            Polarity::Negative => interpret(&swabs(&[], &peaks, 1.0)),
        };
        assert_eq!(result.ability, Ability::Clear, "{ion:?} {result:?}");
        assert_eq!(codes(&result), [FindingCode::SubstanceFound], "{ion:?} {result:?}");
        assert_eq!(result.findings[0].field, ion.substance);
        for family in ThreatFamily::ALL {
            let weight = result.weights.of(family);
            if family == ion.family {
                assert!((12_000..25_000).contains(&weight), "{ion:?} {result:?}");
            } else {
                assert!(weight <= 0, "{ion:?} {result:?}");
            }
        }
    }
}

#[test]
fn clean_swabs_speak_a_little_against() {
    let result = interpret(&swabs(&[], &[], 1.0));
    assert_eq!((result.ability, codes(&result)), (Ability::Clear, vec![]));
    for family in [ThreatFamily::Narcotics, ThreatFamily::Explosives] {
        assert!((-4_000..-1_000).contains(&result.weights.of(family)), "{result:?}");
    }
}

#[test]
fn weather_moves_all_drift_times_and_changes_nothing() {
    for stretch in [0.96, 0.985, 1.03, 1.05] {
        let result = interpret(&swabs(&[(1.161, 600.0)], &[], stretch));
        assert_eq!(codes(&result), [FindingCode::SubstanceFound], "{stretch}: {result:?}");
        assert!(result.weights.of(ThreatFamily::Narcotics) > 12_000);
    }
}

#[test]
fn an_ion_two_percent_away_is_another_substance() {
    let result = interpret(&swabs(&[(1.161 * 1.02, 600.0)], &[], 1.0));
    assert_eq!(codes(&result), []);
}

#[test]
fn a_dirty_blank_is_no_alarm() {
    let mut analyses = swabs(&[(1.161, 600.0)], &[], 1.0);
    analyses[0] = analysis(SwabPurpose::Blank, Polarity::Positive, &[(1.161, 500.0)], 1.0);
    let result = interpret(&analyses);
    assert_eq!(codes(&result), [FindingCode::BlankContaminated]);
    assert_eq!(
        result.weights.of(ThreatFamily::Narcotics),
        0,
        "cocaine may be there; that heroin is not must not hide it"
    );
    assert_eq!(result.ability, Ability::Degraded);
    assert!(result.weights.of(ThreatFamily::Narcotics) <= 0, "{result:?}");
    // Ten times what the blank shows did not come from the instrument.
    analyses[2] = analysis(SwabPurpose::Sample, Polarity::Positive, &[(1.161, 5_000.0)], 1.0);
    assert!(interpret(&analyses).weights.of(ThreatFamily::Narcotics) > 12_000);
    // And a clean blank after it is what counts then.
    analyses[2] = analysis(SwabPurpose::Sample, Polarity::Positive, &[(1.161, 600.0)], 1.0);
    analyses.insert(1, analysis(SwabPurpose::Blank, Polarity::Positive, &[], 1.0));
    assert!(interpret(&analyses).weights.of(ThreatFamily::Narcotics) > 12_000);
}

#[test]
fn without_a_blank_the_same_peak_says_less() {
    let analyses = swabs(&[(1.161, 600.0)], &[], 1.0);
    let result = interpret(&analyses[1..]);
    assert!(codes(&result).contains(&FindingCode::BlankMissing));
    assert_eq!(result.ability, Ability::Degraded);
    let weight = |result: &Interpretation| result.weights.of(ThreatFamily::Narcotics);
    assert!(0 < weight(&result) && weight(&result) < weight(&interpret(&analyses)));
}

#[test]
fn without_a_calibrant_nothing_was_seen() {
    for spoil in [0, 1, 2] {
        let mut analyses = swabs(&[(1.161, 600.0)], &[(1.389, 600.0)], 1.0);
        for analysis in &mut analyses {
            let spectrum = analysis.spectrum.as_mut().unwrap();
            match spoil {
                0 => spectrum.calibrant = None,
                1 => spectrum.calibrant.as_mut().unwrap().expected_ns = 29_000_000,
                _ => spectrum.intensities.fill(300),
            }
        }
        let result = interpret(&analyses);
        assert_eq!(result.ability, Ability::Shielded, "{spoil}");
        assert_eq!(result.weights, Weights::ZERO);
        assert!(codes(&result).contains(&FindingCode::CalibrantMissing));
    }
}

#[test]
fn a_peak_at_the_limit_of_the_instrument_still_counts_and_is_noted() {
    let mut analyses = swabs(&[(1.161, 6_000.0)], &[], 1.0);
    let spectrum = analyses[2].spectrum.as_mut().unwrap();
    spectrum.full_scale = Some(5_000);
    for point in &mut spectrum.intensities {
        *point = (*point).min(5_000);
    }
    let result = interpret(&analyses);
    assert!(codes(&result).contains(&FindingCode::SpectrumSaturated), "{result:?}");
    assert_eq!(result.ability, Ability::Degraded);
    assert!(result.weights.of(ThreatFamily::Narcotics) > 8_000, "{result:?}");
}

#[test]
fn one_sign_of_ions_says_nothing_about_the_other_family() {
    let analyses = swabs(&[], &[], 1.0);
    let result = interpret(&[analyses[0].clone(), analyses[2].clone()]);
    assert_eq!(result.ability, Ability::Degraded);
    assert_eq!(result.weights.of(ThreatFamily::Explosives), 0);
    assert!(result.weights.of(ThreatFamily::Narcotics) < 0);
}

#[test]
fn an_alarm_weighs_what_its_rates_say() {
    let alarm = |true_alarm_ppm, false_alarm_ppm| {
        let mut only = swabs(&[], &[], 1.0).remove(2);
        only.spectrum = None;
        only.alarms = vec![TraceAlarm {
            substance: "RDX".to_owned(),
            channel: "RDX-Cl".to_owned(),
            true_alarm_ppm,
            false_alarm_ppm,
        }];
        interpret(&[only])
    };
    let weight = |result: &Interpretation| result.weights.of(ThreatFamily::Explosives);
    let good = alarm(Some(950_000), Some(1_000));
    let usual = alarm(None, None);
    let poor = alarm(Some(500_000), Some(400_000));
    assert_eq!(good.ability, Ability::Degraded);
    assert_eq!(codes(&good), [FindingCode::TraceAlarm]);
    assert!(
        weight(&good) > weight(&usual) && weight(&usual) > weight(&poor),
        "{good:?} {usual:?} {poor:?}"
    );
    // (0.5 x 0.95 + 0.5 x 0.001) / (0.005 x 0.95 + 0.995 x 0.001) = 82.8, 19.2 decibans.
    assert!((weight(&good) - 19_180).abs() < 20, "{good:?}");
    assert_eq!(weight(&alarm(Some(0), Some(1_000_000))), 0);
}

#[test]
fn an_alarm_on_a_blank_is_the_instruments_own() {
    let mut analyses = swabs(&[], &[], 1.0);
    analyses[0].alarms = vec![TraceAlarm {
        substance: "cocaine".to_owned(),
        channel: String::new(),
        true_alarm_ppm: None,
        false_alarm_ppm: None,
    }];
    let result = interpret(&analyses);
    assert_eq!(codes(&result), [FindingCode::BlankContaminated]);
    assert!(result.weights.of(ThreatFamily::Narcotics) < 0);
}

#[test]
fn analyses_beyond_the_limit_are_left_out() {
    let mut interpreter = TraceInterpreter::new();
    let alarm = swabs(&[(1.161, 600.0)], &[], 1.0).remove(2);
    let blank = IonMobility {
        spectrum: None,
        ..alarm.clone()
    };
    (0..ANALYSES_MAX).for_each(|_| interpreter.push(&blank));
    interpreter.push(&alarm);
    assert_eq!(interpreter.interpret().weights, Weights::ZERO);
}

proptest! {
    #[test]
    fn arbitrary_spectra_never_panic_and_never_weigh_beyond_the_cap(
        intensities in prop::collection::vec(prop_oneof![Just(0_u32), Just(u32::MAX), any::<u32>(), 0_u32..500], 0..400),
        start_ns in prop_oneof![Just(0_u64), any::<u64>(), 0_u64..20_000_000],
        step_ns in prop_oneof![Just(0_u32), any::<u32>(), 10_000_u32..100_000],
        full_scale in any::<Option<u32>>(),
        mobility in prop_oneof![any::<u32>(), 8_000_u32..25_000],
        expected_ns in prop_oneof![any::<u64>(), 1_000_000_u64..30_000_000],
        calibrated in any::<bool>(),
        positive in any::<bool>(),
    ) {
        let calibrant = Calibrant { name: "x".to_owned(), reduced_mobility: mobility, expected_ns };
        let spectrum = DriftSpectrum {
            start_ns, step_ns, intensities, full_scale, calibrant: calibrated.then_some(calibrant),
        };
        let analysis = IonMobility {
            swab: String::new(),
            purpose: SwabPurpose::Sample,
            polarity: if positive { Polarity::Positive } else { Polarity::Negative },
            spectrum: Some(spectrum),
            alarms: Vec::new(),
        };
        let result = interpret(&[analysis]);
        prop_assert!(result.weights.0.iter().all(|weight| weight.abs() <= WEIGHT_CAP));
        prop_assert!(result.ability != Ability::Clear);
        if result.ability == Ability::Shielded {
            prop_assert_eq!(result.weights, Weights::ZERO);
        }
    }

    #[test]
    fn noise_alone_names_nothing(seed in any::<u64>()) {
        let mut state = seed | 1;
        let mut analyses = swabs(&[], &[], 1.0);
        for analysis in &mut analyses {
            for point in &mut analysis.spectrum.as_mut().unwrap().intensities {
                // Sums of four uniform values (xorshift, Marsaglia 2003): near enough to normal.
                let mut sum = 0;
                for _ in 0..4 {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    sum += (state >> 40) % 16;
                }
                *point += sum as u32;
            }
        }
        let result = interpret(&analyses);
        prop_assert!(!codes(&result).contains(&FindingCode::SubstanceFound), "{:?}", result);
    }
}

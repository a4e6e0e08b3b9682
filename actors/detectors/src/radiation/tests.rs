//! The interpreter against simulated passes and real files.

use std::time::Instant;

use portcullis_domain::reading::DetectorCounts;

use super::*;
use crate::n42::{self, SampleClass, Spectra};
use crate::test_data;

const BACKGROUND_CPS: f64 = 2_000.0;
const NEUTRON_CPS: f64 = 2.0;

/// A small generator for reproducible passes (Steele, Lea, Flood 2014: SplitMix).
pub(super) struct Noise(pub(super) u64);

impl Noise {
    /// Between 0 and 1, and neither.
    pub(super) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((bits ^ (bits >> 31)) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Poisson by inversion for small means, by the normal approximation for large ones.
    pub(super) fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 50.0 {
            let gauss = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
            return (mean + gauss * mean.sqrt()).round().max(0.0) as u64;
        }
        let (mut count, mut product) = (0, self.unit());
        while product > (-mean).exp() {
            count += 1;
            product *= self.unit();
        }
        count
    }
}

fn sample(gamma: u64, neutron: Option<u64>) -> RadiationSample {
    let counts = |kind, counts| DetectorCounts {
        name: format!("{kind:?}"),
        kind,
        live_time_us: 250_000,
        counts,
        spectrum: None,
    };
    let mut detectors = vec![counts(RadiationKind::Gamma, gamma)];
    detectors.extend(neutron.map(|neutron| counts(RadiationKind::Neutron, neutron)));
    RadiationSample {
        real_time_us: 250_000,
        detectors,
    }
}

/// A pass of a vehicle that shadows the background in its middle by `suppression`; in the middle quarter a source adds
/// this many counts per second.
fn pass(seed: u64, samples: usize, suppression: f64, gamma: f64, neutron: f64) -> Vec<RadiationSample> {
    let mut noise = Noise(seed);
    (0..samples)
        .map(|index| {
            let at = index as f64 / samples as f64;
            let shadow = if (0.2..0.8).contains(&at) {
                1.0 - suppression
            } else {
                1.0
            };
            let source = if (0.4..0.65).contains(&at) { 1.0 } else { 0.0 };
            let counts = noise.poisson((BACKGROUND_CPS * shadow + gamma * source) * 0.25);
            sample(counts, Some(noise.poisson((NEUTRON_CPS + neutron * source) * 0.25)))
        })
        .collect()
}

fn background() -> Background {
    let mut noise = Noise(7);
    let samples: Vec<_> = (0..2_400)
        .map(|_| {
            sample(
                noise.poisson(BACKGROUND_CPS * 0.25),
                Some(noise.poisson(NEUTRON_CPS * 0.25)),
            )
        })
        .collect();
    Background::measured(&samples).unwrap()
}

fn interpret(background: Option<Background>, samples: &[RadiationSample]) -> (i32, RadiationInterpreter) {
    let mut interpreter = RadiationInterpreter::new(background, samples.len());
    for sample in samples {
        assert_eq!(
            interpreter.push(sample).ability,
            Ability::Shielded,
            "the vehicle is still passing"
        );
    }
    (interpreter.finish().weights.of(ThreatFamily::Nuclear), interpreter)
}

fn codes(interpreter: &RadiationInterpreter) -> Vec<FindingCode> {
    interpreter.findings().iter().map(|finding| finding.code).collect()
}

#[test]
fn an_innocent_pass_speaks_a_little_against_nuclear_material() {
    for seed in 0..20 {
        for suppression in [0.0, 0.1, 0.2, 0.3] {
            let (weight, interpreter) = interpret(Some(background()), &pass(seed, 60, suppression, 0.0, 0.0));
            assert!((-8_000..0).contains(&weight), "{seed} {suppression}: {weight}");
            assert_eq!(interpreter.progress().ability, Ability::Clear);
        }
    }
}

#[test]
fn a_shadowed_background_is_noted_and_is_no_evidence() {
    let (weight, interpreter) = interpret(Some(background()), &pass(1, 60, 0.3, 0.0, 0.0));
    assert!(weight < 0, "{weight}");
    assert_eq!(codes(&interpreter), [FindingCode::BackgroundSuppressed]);
}

#[test]
fn weight_rises_with_the_strength_of_a_gamma_source_up_to_its_cap() {
    let weights: Vec<i32> = [0.0, 400.0, 1_000.0, 3_000.0, 10_000.0, 100_000.0]
        .iter()
        .map(|cps| interpret(Some(background()), &pass(3, 60, 0.1, *cps, 0.0)).0)
        .collect();
    eprintln!("0 to 50 times the background: {weights:?}");
    assert!(weights.is_sorted(), "{weights:?}");
    assert!(
        weights[0] < 0 && weights[2] > 2_000 && weights[5] > 10_000,
        "{weights:?}"
    );
    assert!(weights[5] <= GAMMA_CAP, "{weights:?}");
}

#[test]
fn an_excess_that_goods_often_have_weighs_less_than_one_that_they_never_have() {
    // Half the background again: ceramics do that. Five times the background: they do not.
    let natural = interpret(Some(background()), &pass(3, 60, 0.1, 1_000.0, 0.0)).0;
    let beyond = interpret(Some(background()), &pass(3, 60, 0.1, 10_000.0, 0.0)).0;
    assert!(natural < 8_000, "{natural}");
    assert!(beyond > natural + 4_000, "{natural} {beyond}");
}

#[test]
fn neutrons_may_weigh_more_than_gamma_counts() {
    let (weight, interpreter) = interpret(Some(background()), &pass(4, 60, 0.1, 0.0, 100.0));
    assert!(weight > GAMMA_CAP, "{weight}");
    assert!(codes(&interpreter).contains(&FindingCode::NeutronAlarm));
    let few = interpret(Some(background()), &pass(4, 60, 0.1, 0.0, 1.0)).0;
    assert!(few < 3_000, "the ship effect makes one more per second: {few}");
}

#[test]
fn a_longer_pass_does_not_collect_evidence_by_waiting() {
    let mut worst = i32::MIN;
    for seed in 0..10 {
        for samples in [60, 200, 600] {
            worst = worst.max(interpret(Some(background()), &pass(seed, samples, 0.15, 0.0, 0.0)).0);
        }
    }
    assert!(worst < 0, "{worst}");
}

#[test]
fn over_innocent_traffic_the_likelihood_ratio_averages_to_one_or_less() {
    // What the weights claim: LR times its probability without a source sums to one. One box in twenty radiates.
    let background = background();
    let ratios: Vec<f64> = (0..300)
        .map(|seed| {
            let mut noise = Noise(1_000 + seed);
            let (suppression, strength) = (0.3 * noise.unit(), 0.05 * 30.0_f64.powf(noise.unit()));
            let natural = if seed % 20 == 0 { strength * BACKGROUND_CPS } else { 0.0 };
            let (weight, _) = interpret(Some(background), &pass(seed, 60, suppression, natural, 0.0));
            10.0_f64.powf(f64::from(weight) / 10_000.0)
        })
        .collect();
    let average = ratios.iter().sum::<f64>() / ratios.len() as f64;
    eprintln!("average likelihood ratio {average:.2}");
    assert!((0.2..1.0).contains(&average), "{average}");
}

#[test]
fn before_the_vehicle_is_through_little_is_claimed() {
    let samples = pass(5, 60, 0.1, 0.0, 0.0);
    let mut interpreter = RadiationInterpreter::new(Some(background()), 60);
    let weights: Vec<i32> = samples
        .iter()
        .map(|sample| interpreter.push(sample).weights.of(ThreatFamily::Nuclear))
        .collect();
    assert!(weights[0] > -500, "{weights:?}");
    assert!(weights[59] < weights[10], "{weights:?}");
}

#[test]
fn without_a_background_the_quiet_ends_of_the_pass_are_used_and_said() {
    let (weight, interpreter) = interpret(None, &pass(6, 60, 0.1, 10_000.0, 0.0));
    assert!(weight > 5_000, "{weight}");
    assert!(codes(&interpreter).contains(&FindingCode::BackgroundFromPass));
    let (weight, _) = interpret(None, &pass(6, 60, 0.2, 0.0, 0.0));
    assert!(weight < 1_000, "{weight}");
}

/// What a pass comes to if everything is made anew from its samples so far and their background.
fn from_scratch(samples: &[RadiationSample]) -> RadiationInterpreter {
    let mut interpreter = RadiationInterpreter::new(Background::from_quiet_ends(samples), PLANNED_SAMPLES);
    if interpreter.background.is_none() {
        // Nothing is looked for in samples that have no background yet.
        interpreter.unmeasured = None;
    }
    samples.iter().for_each(|sample| _ = interpreter.push(sample));
    interpreter
}

#[test]
fn without_a_background_each_sample_gives_the_evidence_of_the_pass_made_anew() {
    let mut rising = pass(11, 70, 0.2, 5_000.0, 20.0);
    rising.sort_by_key(|sample| sample.detectors[0].counts);
    let mut falling = rising.clone();
    falling.reverse();
    let mut gaps = pass(12, 40, 0.1, 500.0, 0.0);
    for (index, sample) in gaps.iter_mut().enumerate() {
        match index % 7 {
            0 => sample.detectors.clear(),
            3 => sample.detectors[0].live_time_us = 0,
            5 => sample.detectors.truncate(1),
            _ => {}
        }
    }
    let shadow = pass(13, 70, 0.3, 0.0, 0.0);
    let long = pass(14, SEARCH_SAMPLES + 8, 0.1, 300.0, 3.0);
    let mut kept = 0;
    for samples in [rising, falling, gaps, shadow, long] {
        let mut interpreter = RadiationInterpreter::new(None, PLANNED_SAMPLES);
        let mut before = None;
        for (index, sample) in samples.iter().enumerate() {
            interpreter.push(sample);
            kept += usize::from(interpreter.background.is_some() && interpreter.background == before);
            before = interpreter.background;
            // Long passes stop looking for a background, and then are compared at their end alone.
            let so_far = &samples[..=index.min(SEARCH_SAMPLES - 1)];
            if index < SEARCH_SAMPLES && (index < 80 || index % 40 == 0) {
                let anew = from_scratch(so_far);
                assert_eq!(interpreter.progress(), anew.progress(), "sample {index}");
                assert_eq!(interpreter.findings(), anew.findings(), "sample {index}");
                assert_eq!(interpreter.background, anew.background, "sample {index}");
            }
        }
    }
    assert!(kept > 50, "the background held at {kept} samples: nothing was kept");
}

#[test]
fn no_counts_are_no_evidence_and_not_a_clear_view() {
    let empty = RadiationSample {
        real_time_us: 250_000,
        detectors: Vec::new(),
    };
    let (weight, interpreter) = interpret(None, &[empty.clone(), empty.clone()]);
    assert_eq!((weight, interpreter.progress().ability), (0, Ability::Degraded));
    assert!(codes(&interpreter).contains(&FindingCode::BackgroundMissing));
    let (weight, interpreter) = interpret(Some(background()), &[empty]);
    assert_eq!((weight, interpreter.progress().ability), (0, Ability::Degraded));
    assert!(codes(&interpreter).contains(&FindingCode::DetectorSilent));
}

#[test]
fn a_saturated_detector_is_degraded_and_stays_a_strong_hint() {
    let mut samples = pass(8, 60, 0.1, 50_000.0, 0.0);
    for sample in &mut samples[24..39] {
        sample.detectors[0].live_time_us = 40_000;
    }
    let (weight, interpreter) = interpret(Some(background()), &samples);
    assert!(weight > 10_000, "{weight}");
    assert_eq!(interpreter.progress().ability, Ability::Degraded);
    assert!(codes(&interpreter).contains(&FindingCode::DeadTimeHigh));
}

#[test]
fn a_detector_less_than_in_the_background_is_scaled_and_noted() {
    let two = |sample: &RadiationSample| {
        let mut sample = sample.clone();
        let mut other = sample.detectors[0].clone();
        other.name = "second".to_owned();
        sample.detectors.push(other);
        sample
    };
    let quiet = pass(9, 600, 0.0, 0.0, 0.0);
    let doubled: Vec<_> = quiet.iter().map(two).collect();
    let background = Background::measured(&doubled).unwrap();
    let (weight, interpreter) = interpret(Some(background), &quiet[..60]);
    assert!((-8_000..0).contains(&weight), "{weight}");
    assert!(codes(&interpreter).contains(&FindingCode::DetectorSilent));
}

#[test]
fn extreme_counts_and_times_give_bounded_weights() {
    for counts in [0, 1, u64::MAX] {
        for live in [0, 1, u64::MAX] {
            let mut odd = sample(counts, Some(counts));
            for detector in &mut odd.detectors {
                detector.live_time_us = live;
            }
            let (weight, _) = interpret(Some(background()), &[odd.clone(), odd.clone()]);
            assert!(weight.abs() <= WEIGHT_CAP);
            let (weight, _) = interpret(None, &[odd.clone(), odd]);
            assert!(weight.abs() <= WEIGHT_CAP);
        }
    }
}

fn real(path: &str, class: SampleClass) -> Option<Vec<RadiationSample>> {
    let bytes = test_data::load(path)?;
    let record = n42::read_with(&bytes, Spectra::SumOnly).unwrap();
    Some(record.of_class(class).cloned().map(RadiationSample::from).collect())
}

#[test]
fn real_files_weigh_what_their_counts_allow() {
    let class = SampleClass::Foreground;
    let (Some(empty), Some(barium), Some(pass), Some(flight), Some(uranium), Some(beside)) = (
        real("n42/background_20100317.n42", class),
        real("n42/ba133_source_640s_20100317.n42", class),
        real("n42/passthrough.n42", class),
        real("n42/Q8910_Helicopter.N42", class),
        real("n42/U235_Unshielded_6000.n42", class),
        real("n42/U235_Unshielded_6000.n42", SampleClass::Background),
    ) else {
        return;
    };
    let background = Background::measured(&empty);
    assert!((780.0..785.0).contains(&background.unwrap().gamma.unwrap().cps));
    let start = Instant::now();
    let weights = [
        ("background", interpret(background, &empty).0),
        ("barium", interpret(background, &barium).0),
        ("pass", interpret(background, &pass).0),
        ("pass, own background", interpret(None, &pass).0),
        ("flight, own background", interpret(None, &flight).0),
        ("uranium", interpret(Background::measured(&beside), &uranium).0),
    ];
    eprintln!("{weights:?} in {:?}", start.elapsed());
    let [(_, quiet), (_, barium), (_, pass), (_, own), (_, flight), (_, uranium)] = weights;
    assert!((-4_000..-1_000).contains(&quiet), "{weights:?}");
    assert_eq!((barium, pass), (GAMMA_CAP, GAMMA_CAP), "{weights:?}");
    assert!(own > 10_000 && flight > 10_000, "{weights:?}");
    // Gross counts of uranium lie where those of potassium do: evidence, and far from certainty.
    assert!((2_000..10_000).contains(&uranium), "{weights:?}");
}

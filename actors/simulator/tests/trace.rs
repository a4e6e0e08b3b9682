//! Swabs of simulated containers, interpreted: what is named, and how often wrongly.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::plan;
use portcullis_detectors::Interpretation;
use portcullis_detectors::trace::TraceInterpreter;
use portcullis_domain::evidence::{Ability, Modality, ThreatFamily};
use portcullis_domain::finding::FindingCode;
use portcullis_domain::id::SampleNo;
use portcullis_simulator::{Outfit, ReadingSource, Sensors, Visit};

const SEED: u64 = 23;
const SAMPLES: [SampleNo; 2] = [SampleNo(1), SampleNo(2)];

fn interpret(visit: &Visit) -> Interpretation {
    let sensors = Sensors::new(SEED);
    let mut interpreter = TraceInterpreter::new();
    for sample in SAMPLES {
        interpreter.push(&sensors.trace_blank(visit, sample).unwrap());
    }
    for sample in SAMPLES {
        interpreter.push(&sensors.trace(visit, sample).unwrap());
    }
    interpreter.interpret()
}

/// The same visit with these threats and no others.
fn with(visit: &Visit, families: &[ThreatFamily]) -> Visit {
    let mut visit = visit.clone();
    visit.truth.families = families.iter().copied().collect();
    visit
}

#[test]
fn swabs_are_calibrated_in_all_weathers() {
    for visit in plan(SEED, 300).visits() {
        let result = interpret(&with(visit, &[]));
        let lost = result
            .findings
            .iter()
            .find(|finding| matches!(finding.code, FindingCode::CalibrantMissing | FindingCode::TraceUnusable));
        assert_eq!(lost, None);
        assert_ne!(result.ability, Ability::Shielded);
    }
}

#[test]
fn half_of_all_threats_are_named_and_few_honest_containers() {
    const FAMILIES: [ThreatFamily; 2] = [ThreatFamily::Narcotics, ThreatFamily::Explosives];
    let (mut found, mut false_alarms, mut looks) = ([0; 2], [0; 2], 0);
    for visit in plan(SEED, 400).visits() {
        let honest = interpret(&with(visit, &[]));
        let guilty = interpret(&with(visit, &FAMILIES));
        looks += 1;
        for (at, family) in FAMILIES.into_iter().enumerate() {
            found[at] += usize::from(guilty.weights.of(family) > 8_000);
            false_alarms[at] += usize::from(honest.weights.of(family) > 8_000);
        }
    }
    eprintln!("of {looks}: {found:?} found, {false_alarms:?} false alarms");
    for at in 0..2 {
        // Six in ten leave a trace.
        assert!(
            (0.5..0.7).contains(&(f64::from(found[at] as u32) / f64::from(looks))),
            "{found:?}"
        );
        assert!(false_alarms[at] * 100 <= 3 * looks as usize, "{false_alarms:?}");
    }
}

#[test]
fn an_instrument_that_was_not_clean_is_found_out_by_its_blank() {
    let mut dirty = 0;
    for visit in plan(SEED, 400).visits() {
        let visit = with(visit, &[]);
        let result = interpret(&visit);
        if result
            .findings
            .iter()
            .any(|finding| finding.code == FindingCode::BlankContaminated)
        {
            dirty += 1;
            assert_eq!(result.ability, Ability::Degraded);
        }
    }
    assert!((4..25).contains(&dirty), "{dirty} of 400");
}

#[test]
fn a_swab_is_the_same_whenever_it_is_analysed() {
    let plan = plan(SEED, 2);
    let sensors = Sensors::new(SEED);
    let [a, b] = plan.visits() else { panic!("two visits") };
    assert_eq!(sensors.trace(a, SampleNo(1)), sensors.trace(a, SampleNo(1)));
    assert_ne!(sensors.trace(a, SampleNo(1)), sensors.trace(b, SampleNo(1)));
    assert_ne!(sensors.trace(a, SampleNo(1)), sensors.trace_blank(a, SampleNo(1)));
    assert_eq!(sensors.trace(a, SampleNo(0)), None);
    assert_eq!(sensors.trace(a, SampleNo(3)), None);
}

#[test]
fn blanks_come_before_the_pass_and_swabs_in_it() {
    let plan = plan(SEED, 1);
    let visit = &plan.visits()[0];
    let samples: Vec<_> = ReadingSource::new(SEED, Outfit::Full)
        .readings(Modality::Trace, visit)
        .map(|(sample, content)| (sample.0, content.precedes_pass()))
        .collect();
    assert_eq!(samples, [(0, true), (0, true), (1, false), (2, false)]);
    let strips = ReadingSource::new(SEED, Outfit::Full).readings(Modality::Radiography, visit);
    let samples: Vec<_> = strips.map(|(sample, _)| sample).collect();
    assert!(samples.len() > 3 && samples.is_sorted_by(|a, b| a < b), "{samples:?}");
    assert!(!Outfit::Basic.modalities().contains(&Modality::Radiography));
}

//! Images of the simulated portal, interpreted: what is recovered of what is really there.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::plan;
use portcullis_detectors::Interpretation;
use portcullis_detectors::radiography::RadiographyInterpreter;
use portcullis_domain::evidence::{Ability, ThreatFamily};
use portcullis_domain::finding::FindingCode;
use portcullis_domain::id::SampleNo;
use portcullis_simulator::{Concealed, Sensors, Visit};

const SEED: u64 = 11;

/// The image of a visit, up to this share of its columns.
fn look(seed: u64, visit: &Visit, share: f64) -> RadiographyInterpreter {
    let sensors = Sensors::new(seed);
    let mut interpreter = RadiographyInterpreter::new();
    for strip in (1..=visit.pass_samples()).filter_map(|sample| sensors.radiography(visit, SampleNo(sample))) {
        if f64::from(strip.first_column) < share * f64::from(strip.columns_planned.unwrap()) {
            interpreter.push_strip(&strip);
        }
    }
    interpreter.finish();
    interpreter
}

fn interpret(seed: u64, visit: &Visit) -> Interpretation {
    look(seed, visit, 1.0).interpret(&visit.announcement.manifest)
}

/// An honest visit with these goods alone.
fn loaded_with(visit: &Visit, code: &str, kg: u64) -> Visit {
    let mut visit = visit.clone();
    visit.truth.concealed.clear();
    visit.truth.families.clear();
    visit.truth.true_mass_g = kg * 1_000;
    let manifest = &mut visit.announcement.manifest;
    manifest.empty = false;
    manifest.goods.truncate(1);
    manifest.goods[0].commodity_code = code.to_owned();
    manifest.goods[0].gross_mass_g = Some(kg * 1_000);
    manifest.gross_mass_g = Some(kg * 1_000);
    visit
}

fn dry(count: usize) -> Vec<Visit> {
    let plan = plan(SEED, 400);
    let dry = plan.visits().iter().filter(|visit| {
        let manifest = &visit.announcement.manifest;
        !manifest.goods.is_empty() && manifest.size_type.chars().nth(2) != Some('R')
    });
    dry.take(count).cloned().collect()
}

fn hiding(visit: &Visit, family: ThreatFamily, kg: u64) -> Visit {
    let mut visit = visit.clone();
    visit.truth.families.insert(family);
    visit.truth.concealed.push(Concealed {
        family,
        mass_g: kg * 1_000,
    });
    visit.truth.true_mass_g += kg * 1_000;
    visit
}

fn declared_empty(visit: &Visit) -> Visit {
    let mut visit = loaded_with(visit, "", 0);
    let manifest = &mut visit.announcement.manifest;
    manifest.goods.clear();
    manifest.empty = true;
    manifest.gross_mass_g = Some(0);
    visit
}

fn codes(result: &Interpretation) -> Vec<FindingCode> {
    result.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn the_mass_of_goods_is_recovered_within_five_percent() {
    // None of these is a material of the interpreter's tables, which hold water, carbon, aluminium and iron.
    let visits = dry(8);
    let goods = [
        "100630", "090111", "610910", "390120", "080390", "870899", "220421", "440711",
    ];
    let mut errors = Vec::new();
    for (visit, code) in visits.iter().zip(goods) {
        let visit = loaded_with(visit, code, 12_000);
        let view = look(SEED, &visit, 1.0);
        let (kg, sigma_kg) = view.goods_kg(&visit.announcement.manifest).unwrap();
        let error = kg / 12_000.0 - 1.0;
        eprintln!(
            "{code} {}: {:+.1} %",
            visit.announcement.manifest.size_type,
            error * 100.0
        );
        assert!(error.abs() < 0.05, "{code}: {kg:.0} kg");
        assert!(
            (kg - 12_000.0).abs() < 3.0 * sigma_kg,
            "{code}: {kg:.0} kg, sigma {sigma_kg:.0} kg"
        );
        let result = view.interpret(&visit.announcement.manifest);
        assert_eq!(result.ability, Ability::Clear, "{code}: {result:?}");
        assert!(result.weights.of(ThreatFamily::Undeclared) < 0, "{code}: {result:?}");
        errors.push(error);
    }
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    eprintln!("mean {:+.1} %", mean * 100.0);
}

#[test]
fn a_third_more_than_declared_weighs_for_undeclared_goods() {
    for visit in &dry(4) {
        let mut visit = loaded_with(visit, "610910", 9_000);
        visit.truth.true_mass_g = 12_000_000;
        let result = interpret(SEED, &visit);
        assert!(codes(&result).contains(&FindingCode::MassOverDeclared), "{result:?}");
        assert!(result.weights.of(ThreatFamily::Undeclared) > 3_000, "{result:?}");
    }
}

/// Of this many honest and loaded images, how many weigh more than nothing for narcotics.
#[test]
fn fifty_kilograms_of_powder_in_even_goods_stand_out() {
    const EACH: usize = 30;
    let (mut false_alarms, mut found, mut right_place) = (0, 0, 0);
    for (number, visit) in dry(EACH).iter().enumerate() {
        let seed = 1_000 + number as u64;
        let code = ["100630", "090111", "180100"][number % 3];
        let honest = loaded_with(visit, code, 11_000 + 300 * (number as u64 % 10));
        let result = interpret(seed, &honest);
        false_alarms += usize::from(result.weights.of(ThreatFamily::Narcotics) > 0);
        let result = interpret(seed, &hiding(&honest, ThreatFamily::Narcotics, 50));
        found += usize::from(result.weights.of(ThreatFamily::Narcotics) > 3_000);
        right_place += usize::from(codes(&result).contains(&FindingCode::DensityAnomaly));
    }
    eprintln!("of {EACH}: {found} found, {false_alarms} false alarms");
    assert!(found * 10 >= EACH * 9, "{found} of {EACH} found");
    assert!(right_place >= found);
    assert!(false_alarms * 10 <= EACH, "{false_alarms} of {EACH} false alarms");
}

#[test]
fn groupage_explains_what_even_goods_do_not() {
    for visit in &dry(3) {
        let mut visit = loaded_with(visit, "870899", 9_000);
        let mut other = visit.announcement.manifest.goods[0].clone();
        other.commodity_code = "610910".to_owned();
        visit.announcement.manifest.goods[0].gross_mass_g = Some(5_000_000);
        other.gross_mass_g = Some(4_000_000);
        visit.announcement.manifest.goods.push(other);
        let result = interpret(SEED, &visit);
        assert!(result.weights.of(ThreatFamily::Narcotics) < 5_000, "{result:?}");
    }
}

#[test]
fn an_empty_container_is_seen_to_be_empty_or_not() {
    for visit in &dry(4) {
        let empty = declared_empty(visit);
        let result = interpret(SEED, &empty);
        assert_eq!((result.ability, codes(&result)), (Ability::Clear, vec![]), "{result:?}");
        assert!(result.weights.of(ThreatFamily::Undeclared) < 0, "{result:?}");

        let loaded = hiding(&empty, ThreatFamily::Undeclared, 1_500);
        let result = interpret(SEED, &loaded);
        assert!(codes(&result).contains(&FindingCode::LoadInEmpty), "{result:?}");
        assert!(result.weights.of(ThreatFamily::Undeclared) > 6_000, "{result:?}");
    }
}

#[test]
fn bags_in_an_empty_container_are_seen_and_not_declared() {
    for visit in &dry(4) {
        let result = interpret(SEED, &hiding(&declared_empty(visit), ThreatFamily::Narcotics, 60));
        for family in [ThreatFamily::Narcotics, ThreatFamily::Undeclared] {
            assert!(result.weights.of(family) > 6_000, "{result:?}");
        }
    }
}

#[test]
fn honest_containers_are_not_spoken_against_on_the_whole() {
    // If the weights are right, their likelihood ratios are 1 on average without a threat.
    let plan = plan(78, 60);
    let honest: Vec<_> = plan.visits().iter().filter(|visit| visit.truth.is_honest()).collect();
    let results: Vec<_> = honest.iter().map(|visit| interpret(78, visit)).collect();
    for family in ThreatFamily::ALL {
        let ratios = results
            .iter()
            .map(|result| 10_f64.powf(f64::from(result.weights.of(family)) / 10_000.0));
        let mean = ratios.sum::<f64>() / results.len() as f64;
        eprintln!("{family}: {mean:.2}");
        assert!(mean < 1.5, "{family}: {mean}");
    }
}

#[test]
fn a_person_in_an_empty_container_is_seen() {
    for visit in &dry(4) {
        let result = interpret(SEED, &hiding(&declared_empty(visit), ThreatFamily::People, 75));
        assert!(result.weights.of(ThreatFamily::People) > 6_000, "{result:?}");
    }
}

#[test]
fn arms_in_light_goods_are_dense() {
    for visit in &dry(4) {
        let visit = hiding(&loaded_with(visit, "950300", 5_000), ThreatFamily::Weapons, 200);
        let result = interpret(SEED, &visit);
        assert!(result.weights.of(ThreatFamily::Weapons) > 3_000, "{result:?}");
    }
}

#[test]
fn half_a_pass_speaks_from_the_columns_that_came() {
    for visit in &dry(4) {
        let visit = loaded_with(visit, "610910", 9_000);
        let whole = look(SEED, &visit, 1.0).interpret(&visit.announcement.manifest);
        let part = look(SEED, &visit, 0.6);
        let result = part.interpret(&visit.announcement.manifest);
        assert_eq!(result.ability, Ability::Degraded, "{result:?}");
        assert!(codes(&result).contains(&FindingCode::ColumnsMissing), "{result:?}");
        let saw = |result: &Interpretation| result.weights.of(ThreatFamily::Narcotics);
        assert!(saw(&whole) < saw(&result) && saw(&result) < 0, "{whole:?} {result:?}");
        assert!(result.weights.of(ThreatFamily::Undeclared).abs() < 5_000, "{result:?}");
        let (kg, _) = part.goods_kg(&visit.announcement.manifest).unwrap();
        assert!((2_000.0..8_500.0).contains(&kg), "{kg}");
    }
}

#[test]
fn a_wall_of_steel_shields_and_speaks_for_nobody() {
    for visit in &dry(4) {
        let wall = loaded_with(visit, "260800", 120_000);
        let result = interpret(SEED, &wall);
        assert_eq!(result.ability, Ability::Shielded, "{result:?}");
        assert!(codes(&result).contains(&FindingCode::NotPenetrated), "{result:?}");
        assert!(result.weights.0.iter().all(|weight| *weight >= 0), "{result:?}");
        assert!(result.weights.of(ThreatFamily::Undeclared) <= 0, "{result:?}");
    }
}

#[test]
fn an_image_is_the_same_whenever_it_is_taken_and_other_containers_look_otherwise() {
    let visits = dry(2);
    let sensors = Sensors::new(SEED);
    let middle = |visit: &Visit| SampleNo(visit.pass_samples() / 2);
    let strip = |visit: &Visit| sensors.radiography(visit, middle(visit)).unwrap();
    assert_eq!(strip(&visits[0]), strip(&visits[0]));
    assert_ne!(strip(&visits[0]).energies, strip(&visits[1]).energies);
    assert_eq!(sensors.radiography(&visits[0], SampleNo(0)), None);
    assert_eq!(sensors.radiography(&visits[0], SampleNo(10_000)), None);
    let strips: Vec<_> = (1..=visits[0].pass_samples())
        .filter_map(|sample| sensors.radiography(&visits[0], SampleNo(sample)))
        .collect();
    let mut next = 0;
    for strip in &strips {
        assert_eq!(strip.first_column, next);
        next += strip.width;
    }
    assert_eq!(Some(next), strips[0].columns_planned);
}

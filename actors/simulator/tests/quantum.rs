//! What the interpreters make of the simulated resonance station and magnetometer arch, whose models they do not share.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use portcullis_detectors::{Interpretation, magnetometer, nqr::NqrInterpreter};
use portcullis_domain::evidence::{Ability, ThreatFamily, Weights};
use portcullis_domain::finding::FindingCode;
use portcullis_domain::id::SampleNo;
use portcullis_simulator::sensors::{Access, CARRIERS};
use portcullis_simulator::{PortOptions, PortPlan, Sensors, Visit};

const SEED: u64 = 11;

/// A port in which so many of a thousand containers hide a threat of one family, and no other threat is about.
fn plan(family: ThreatFamily, permille: u32, containers: u32) -> PortPlan {
    let mut options = PortOptions::for_terminal("T1").unwrap();
    options.threat_permille = [0; 6];
    options.threat_permille[family.index()] = permille;
    options.swapped_permille = 0;
    PortPlan::new(SEED, containers, options)
}

fn resonance(visit: &Visit, access: Access) -> Interpretation {
    let mut interpreter = NqrInterpreter::new();
    let manifest = &visit.announcement.manifest;
    let mut findings = Vec::new();
    let mut last = None;
    for carrier in 1..=CARRIERS {
        let reading = Sensors::new(SEED).nqr(visit, access, SampleNo(carrier)).unwrap();
        let known = interpreter.push(&reading, manifest);
        findings.extend(known.findings.clone());
        last = Some(known);
    }
    let last = last.unwrap();
    Interpretation { findings, ..last }
}

fn has(result: &Interpretation, code: FindingCode) -> bool {
    result.findings.iter().any(|finding| finding.code == code)
}

#[test]
fn readings_depend_on_seed_container_and_sample_alone() {
    let plan = plan(ThreatFamily::Explosives, 1_000, 3);
    let (sensors, visit) = (Sensors::new(SEED), &plan.visits()[1]);
    let first = sensors.nqr(visit, Access::TakenOut, SampleNo(1));
    assert!(first.is_some());
    assert_eq!(first, sensors.nqr(visit, Access::TakenOut, SampleNo(1)));
    assert_ne!(first, Sensors::new(SEED + 1).nqr(visit, Access::TakenOut, SampleNo(1)));
    assert_ne!(first, sensors.nqr(&plan.visits()[2], Access::TakenOut, SampleNo(1)));
    assert_eq!(sensors.nqr(visit, Access::TakenOut, SampleNo(0)), None);
    assert_eq!(sensors.nqr(visit, Access::TakenOut, SampleNo(CARRIERS + 1)), None);
    assert_eq!(sensors.magnetic_profile(visit), sensors.magnetic_profile(visit));
    assert_ne!(
        sensors.magnetic_profile(visit),
        Sensors::new(SEED + 1).magnetic_profile(visit)
    );
}

#[test]
fn a_shut_container_shields_resonance_whatever_it_hides() {
    for visit in plan(ThreatFamily::Explosives, 1_000, 20).visits() {
        let result = resonance(visit, Access::Shut);
        assert_eq!(
            (result.ability, result.weights),
            (Ability::Shielded, Weights::ZERO),
            "{}",
            visit.equipment
        );
    }
}

#[test]
fn packages_taken_out_show_their_explosives_and_harmless_ones_show_none() {
    let taken_out = |explosives: u32, containers: u32| {
        let plan = plan(ThreatFamily::Explosives, explosives, containers);
        let visits = plan.visits().iter();
        let results: Vec<_> = visits.map(|visit| resonance(visit, Access::TakenOut)).collect();
        let has_line = |result: &&Interpretation| has(result, FindingCode::NqrLineFound);
        let found = results.iter().filter(has_line).count();
        (results, found)
    };
    let (_, found) = taken_out(1_000, 40);
    // One load in five is in tins, and some is too little.
    assert!((24..=36).contains(&found), "{found} of 40");
    // At most one false line in a thousand readings is stated; there are 300.
    let (results, found) = taken_out(0, 100);
    assert!(found <= 2, "{found} of 100");
    let against = results
        .iter()
        .filter(|result| result.weights.of(ThreatFamily::Explosives) < 0)
        .count();
    assert!(against >= 70, "{against} of 100");
}

fn plain(visit: &&Visit) -> bool {
    let goods = &visit.announcement.manifest.goods;
    // Food, wood, paper, clothing: chapters that hold no iron.
    let chapter = |code: &str| code.get(..2).and_then(|two| two.parse::<u32>().ok()).unwrap_or(99);
    !goods.is_empty()
        && goods
            .iter()
            .all(|item| matches!(chapter(&item.commodity_code), 1..=24 | 44..=63))
}

#[test]
fn arms_among_plain_goods_stand_out_and_plain_goods_do_not() {
    let magnetic = |visit: &Visit| {
        let profile = Sensors::new(SEED).magnetic_profile(visit);
        magnetometer::interpret(&profile, &visit.announcement.manifest)
    };
    let weight = |result: &Interpretation| result.weights.of(ThreatFamily::Weapons);
    // A few boxes are too short to tell their middle from their ends; then the view says so.
    let seen = |result: &Interpretation| result.ability != Ability::Shielded;
    let armed = plan(ThreatFamily::Weapons, 1_000, 120);
    let crates = armed
        .visits()
        .iter()
        .filter(plain)
        .filter(|visit| visit.truth.concealed[0].mass_g >= 200_000);
    let results: Vec<_> = crates.map(magnetic).filter(seen).collect();
    let stand_out = results.iter().filter(|result| weight(result) > 1_000).count();
    assert!(
        results.len() >= 12 && stand_out * 10 >= results.len() * 9,
        "{stand_out} of {}",
        results.len()
    );
    let harmless = plan(ThreatFamily::Weapons, 0, 120);
    let results: Vec<_> = harmless
        .visits()
        .iter()
        .filter(plain)
        .map(magnetic)
        .filter(seen)
        .collect();
    let needless = results.iter().filter(|result| weight(result) > 1_000).count();
    let against = results.iter().filter(|result| weight(result) < -2_000).count();
    assert!(
        results.len() >= 20 && needless * 10 <= results.len(),
        "{needless} of {}",
        results.len()
    );
    assert!(against * 10 >= results.len() * 8, "{against} of {}", results.len());
}

#[test]
fn machines_and_iron_explain_whatever_is_found() {
    let harmless = plan(ThreatFamily::Weapons, 500, 60);
    let iron = harmless.visits().iter().filter(|visit| {
        let goods = &visit.announcement.manifest.goods;
        goods
            .iter()
            .any(|item| matches!(item.commodity_code.get(..2), Some("72" | "73" | "84" | "85" | "87")))
    });
    let mut seen = 0;
    for visit in iron {
        let profile = Sensors::new(SEED).magnetic_profile(visit);
        let result = magnetometer::interpret(&profile, &visit.announcement.manifest);
        assert_eq!(result.weights, Weights::ZERO, "{}", visit.equipment);
        assert!(!has(&result, FindingCode::MagneticDipole));
        seen += 1;
    }
    assert!(seen >= 5, "{seen}");
}

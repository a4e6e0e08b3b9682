//! The scale and the camera of the simulated port, as the interpreters of weighings and numbers see them. The port has
//! chassis, loads, misreadings and seals of its own.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use portcullis_detectors::{ocr, weighbridge};
use portcullis_domain::evidence::{Ability, ThreatFamily};
use portcullis_domain::finding::FindingCode;
use portcullis_domain::id::TerminalId;
use portcullis_simulator::{PortOptions, PortPlan, Sensors, Visit};

const SEED: u64 = 11;

fn port(swapped_permille: u32, threat_permille: [u32; 6]) -> PortPlan {
    let mut options = PortOptions::new(TerminalId::new("T").unwrap());
    options.swapped_permille = swapped_permille;
    options.threat_permille = threat_permille;
    PortPlan::new(SEED, 4_000, options)
}

fn has(findings: &[portcullis_domain::finding::Finding], code: FindingCode) -> bool {
    findings.iter().any(|finding| finding.code == code)
}

fn swapped(visit: &Visit) -> bool {
    visit.truth.painted != visit.equipment
}

#[test]
fn swapped_boxes_are_found_and_honest_ones_are_not_taken_for_them() {
    let plan = port(50, [0; 6]);
    let sensors = Sensors::new(SEED);
    let (mut boxes, mut found, mut honest, mut accused, mut degraded) = (0, 0, 0, 0, 0);
    for visit in plan.visits() {
        let mut recognition = sensors.recognition(visit);
        // The seal has a test of its own.
        recognition.seal = None;
        let result = ocr::interpret(&[recognition], &visit.equipment, &visit.announcement.manifest);
        let weight = result.weights.of(ThreatFamily::Undeclared);
        let mismatch = has(&result.findings, FindingCode::OcrMismatch);
        if swapped(visit) {
            boxes += 1;
            found += u32::from(mismatch);
        } else {
            honest += 1;
            accused += u32::from(mismatch || weight > 1_000);
            degraded += u32::from(result.ability != Ability::Clear);
        }
    }
    eprintln!("swapped: {found} of {boxes} found; honest: {accused} of {honest} accused, {degraded} not seen clearly");
    assert!(
        boxes > 150 && f64::from(found) > 0.95 * f64::from(boxes),
        "{found} of {boxes}"
    );
    // In two of a hundred the camera is wrong, in one it is blind.
    assert!(accused <= honest / 500, "{accused} of {honest}");
    assert!(
        (honest / 100..honest / 20).contains(&degraded),
        "{degraded} of {honest}"
    );
}

#[test]
fn seals_speak_for_drugs_where_they_differ() {
    let plan = port(0, [200, 0, 0, 0, 0, 0]);
    let sensors = Sensors::new(SEED);
    let mean = |drugs: bool| {
        let weights: Vec<f64> = plan
            .visits()
            .iter()
            .filter(|visit| visit.truth.is_honest() != drugs)
            .map(|visit| {
                let result = ocr::interpret(
                    &[sensors.recognition(visit)],
                    &visit.equipment,
                    &visit.announcement.manifest,
                );
                f64::from(result.weights.of(ThreatFamily::Narcotics))
            })
            .collect();
        weights.iter().sum::<f64>() / weights.len() as f64
    };
    let (drugs, honest) = (mean(true), mean(false));
    eprintln!("mean weight of seals for narcotics: {drugs:.0} with drugs, {honest:.0} without");
    assert!(drugs > honest + 1_000.0 && honest < 0.0, "{drugs} {honest}");
}

#[test]
fn axles_fit_the_whole_and_honest_loads_seldom_look_uneven() {
    let plan = port(0, [0; 6]);
    let sensors = Sensors::new(SEED);
    let (mut n, mut differ, mut silent, mut uneven, mut rating) = (0, 0, 0, 0, 0);
    for visit in plan.visits() {
        let result = weighbridge::interpret(&sensors.weighing(visit), &visit.announcement.manifest);
        n += 1;
        differ += u32::from(has(&result.findings, FindingCode::AxlesDiffer));
        silent += u32::from(has(&result.findings, FindingCode::AxleSilent));
        uneven += u32::from(has(&result.findings, FindingCode::LoadUneven));
        rating += u32::from(has(&result.findings, FindingCode::MassOverRating));
    }
    eprintln!("of {n} honest: {differ} axles differ, {silent} silent, {uneven} uneven, {rating} over rating");
    assert!(differ <= n / 500, "{differ}");
    assert!((1..n / 200).contains(&silent), "{silent}");
    assert!(uneven < n / 25, "{uneven}");
    assert!(rating < n / 100, "{rating}");
}

#[test]
fn heavy_goods_hidden_behind_the_doors_move_the_centre_of_mass() {
    let mut plan = port(0, [0, 0, 0, 0, 0, 500]);
    let sensors = Sensors::new(SEED);
    // The same weighing with and without its axles: what they add.
    let added = |plan: &PortPlan, honest: bool| {
        let added: Vec<f64> = plan
            .visits()
            .iter()
            .filter(|visit| visit.truth.is_honest() == honest && !visit.announcement.manifest.empty)
            .map(|visit| {
                let mut weighing = sensors.weighing(visit);
                weighing.vehicle_mass_kg.get_or_insert(14_500);
                let weight = |weighing: &_| {
                    let result = weighbridge::interpret(weighing, &visit.announcement.manifest);
                    f64::from(result.weights.of(ThreatFamily::Undeclared))
                };
                let with = weight(&weighing);
                weighing.axles_kg.clear();
                with - weight(&weighing)
            })
            .collect();
        added.iter().sum::<f64>() / added.len() as f64
    };
    let (hidden, honest) = (added(&plan, false), added(&plan, true));
    eprintln!("axles add {hidden:.0} with hidden goods, {honest:.0} without");
    assert!(hidden > honest + 200.0, "{hidden} {honest}");
    plan = port(0, [0; 6]);
    // A tenth of a deciban more or less: chassis are not built as the interpreter takes them to be.
    assert!(added(&plan, true).abs() < 300.0);
}

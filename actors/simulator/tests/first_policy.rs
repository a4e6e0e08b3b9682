//! With the defaults, a plain reading of the devices and the first policy, most containers go, some are looked at and a
//! few are opened. The interpretation here is a rough one of its own: it guards the defaults of the simulated world.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeMap;

use common::plan;
use portcullis_domain::evidence::{Ability, Evidence, Modality, Noted, ReadingRange, Step, ThreatFamily, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::fusion::{Case, judge};
use portcullis_domain::id::{DeviceId, Digest, SampleNo, Timestamp};
use portcullis_domain::policy::{Policy, Tier};
use portcullis_domain::reading::{RadiationKind, RadiationSample, ReadingContent};
use portcullis_simulator::{Assessment, Outfit, ReadingSource, Visit};

const NOW: Timestamp = Timestamp(1_000_000);

fn evidence(modality: Modality, findings: Vec<FindingCode>, steps: Vec<Step>) -> Evidence {
    let sample = steps.last().unwrap().sample;
    Evidence {
        modality,
        readings: Some(ReadingRange {
            device: DeviceId::new("d").unwrap(),
            boot: 1,
            first: 1,
            last: 1,
        }),
        digest: Digest::of(b""),
        interpreter: "rough/1".to_owned(),
        captured_at: NOW,
        findings: findings
            .into_iter()
            .map(|code| Noted {
                sample,
                finding: Finding::new(code, "", ""),
            })
            .collect(),
        steps,
    }
}

fn step(sample: u32, ability: Ability, family: ThreatFamily, weight: i32) -> Step {
    Step {
        sample: SampleNo(sample),
        ability,
        weights: Weights::ZERO.with(family, weight),
    }
}

fn counts(sample: &RadiationSample, kind: RadiationKind) -> f64 {
    let real = sample.real_time_us as f64;
    sample
        .detectors
        .iter()
        .filter(|detector| detector.kind == kind)
        .map(|d| {
            d.counts as f64 * 1e6
                / if d.live_time_us == 0 {
                    real
                } else {
                    d.live_time_us as f64
                }
        })
        .sum()
}

fn radiation(source: &ReadingSource, visit: &Visit) -> Evidence {
    let mut background = (0.0, 0.0);
    let (mut worst, mut neutrons, mut expected) = (0.0_f64, 0.0, 0.0);
    let mut steps = Vec::new();
    let mut findings = Vec::new();
    for (sample, content) in source.readings(Modality::Radiation, visit) {
        match content {
            ReadingContent::RadiationBackground(sample) => {
                background = (
                    counts(&sample, RadiationKind::Gamma),
                    counts(&sample, RadiationKind::Neutron),
                );
            }
            ReadingContent::Radiation(counted) => {
                let gamma = counts(&counted, RadiationKind::Gamma);
                worst = worst.max((gamma - background.0) / background.0.sqrt());
                neutrons += counts(&counted, RadiationKind::Neutron);
                expected += background.1;
                // In between it may be the goods; no goods are as strong as the last.
                let weight = match worst {
                    ..5.0 => -300 * i32::try_from(sample.0).unwrap(),
                    ..150.0 => 15_000,
                    _ => 30_000,
                };
                // Before the whole vehicle went through, nobody may say that there is nothing.
                let through = sample.0 == visit.pass_samples();
                let ability = if through { Ability::Clear } else { Ability::Shielded };
                steps.push(step(sample.0, ability, ThreatFamily::Nuclear, weight));
            }
            other => panic!("{other:?}"),
        }
    }
    if neutrons - expected > 5.0 * f64::sqrt(expected) {
        findings.push(FindingCode::NeutronAlarm);
    }
    evidence(Modality::Radiation, findings, steps)
}

fn weighing(source: &ReadingSource, visit: &Visit) -> Evidence {
    let Some((_, ReadingContent::Weighing(weighing))) = source.readings(Modality::Weighbridge, visit).next() else {
        panic!("no weighing")
    };
    let manifest = &visit.announcement.manifest;
    let declared_kg = (manifest.declared_mass_g().unwrap() + manifest.tare_mass_g.unwrap()) as f64 / 1_000.0;
    let vehicle_kg = weighing.vehicle_mass_kg.unwrap_or(14_500) as f64;
    let vehicle_sigma = if weighing.vehicle_mass_kg.is_some() {
        120.0
    } else {
        800.0
    };
    let off_kg = weighing.gross_mass_kg as f64 - vehicle_kg - declared_kg;
    let sigma = f64::hypot(f64::from(weighing.sigma_kg.unwrap_or(300)), vehicle_sigma).hypot(0.015 * declared_kg);
    let weight = if off_kg.abs() > 4.0 * sigma { 20_000 } else { -2_000 };
    evidence(
        Modality::Weighbridge,
        vec![],
        vec![step(1, Ability::Clear, ThreatFamily::Undeclared, weight)],
    )
}

fn recognition(source: &ReadingSource, visit: &Visit) -> Evidence {
    let Some((_, ReadingContent::Recognition(recognition))) = source.readings(Modality::Ocr, visit).next() else {
        panic!("no recognition")
    };
    let best = recognition.candidates.first();
    let ability = if best.is_none() {
        Ability::Shielded
    } else {
        Ability::Clear
    };
    let differs = best.is_some_and(|best| best.text != visit.equipment.as_str());
    let findings = if differs {
        vec![FindingCode::OcrMismatch]
    } else {
        vec![]
    };
    evidence(
        Modality::Ocr,
        findings,
        vec![step(1, ability, ThreatFamily::Undeclared, -500)],
    )
}

#[test]
fn most_containers_go_some_are_looked_at_and_a_few_are_opened() {
    let policy = Policy::first();
    for seed in [1, 7, 42] {
        let plan = plan(seed, 1_000);
        let source = ReadingSource::new(seed, Outfit::Basic);
        let tiers: BTreeMap<_, _> = plan
            .visits()
            .iter()
            .map(|visit| {
                let all = [
                    radiation(&source, visit),
                    weighing(&source, visit),
                    recognition(&source, visit),
                ];
                let case = Case {
                    manifest: &visit.announcement.manifest,
                    evidence: &all.iter().collect::<Vec<_>>(),
                    passes: 1,
                    now: NOW,
                    adrift: &[],
                };
                (visit.equipment.clone(), judge(&policy, &case).tier)
            })
            .collect();
        let count = |tier| tiers.values().filter(|decided| **decided == tier).count();
        let (released, reviewed, examined) = (count(Tier::Release), count(Tier::Review), count(Tier::Exam));
        let assessment = Assessment::of(&plan, |id| tiers.get(id).copied());
        eprintln!(
            "seed {seed}: {released} released, {reviewed} reviewed, {examined} examined; \
             honest {:?}, threats {:?}, {:?}",
            assessment.honest, assessment.threats, assessment.families
        );
        assert!((800..=920).contains(&released), "seed {seed}: {released} released");
        assert!((3..=40).contains(&examined), "seed {seed}: {examined} examined");
        assert!(assessment.threats[1] + assessment.threats[2] > assessment.threats[0] / 3);
    }
}

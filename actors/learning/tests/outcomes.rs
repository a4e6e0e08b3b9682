//! Policies learned from files of outcomes: what they are worth, and which files teach nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot learn fails")]

use std::fmt::Write as _;
use std::path::Path;

use portcullis_domain::evidence::{Modality, ThreatFamily};
use portcullis_domain::policy::Policy;
use portcullis_learning::evaluate::{FusionInput, FusionReport, fusion};
use portcullis_learning::policy::outcomes::{LearnedFromOutcomes, Outcomes, OutcomesError};
use portcullis_learning::policy::{LearnOptions, Learned, learn_in};
use portcullis_learning::world::{Drawn, Stratified, World};
use serde_json::{Value, json};

const CONTAINERS: u64 = 45_000;

fn calm() -> World {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cluster-config/worlds/calm.toml");
    World::load(&path).unwrap()
}

fn quiet(_: u64, _: u64) {}

/// A line about a drawn container.
fn line(world: &World, index: u64, drawn: &Drawn, selection: &str, probability: f64) -> Value {
    let evidence: Vec<Value> = drawn
        .container
        .evidence(world)
        .iter()
        .map(|one| {
            let step = one.total().unwrap();
            let weights: Value = ThreatFamily::ALL
                .into_iter()
                .map(|family| (family.as_str().to_owned(), json!(step.weights.of(family))))
                .collect::<serde_json::Map<_, _>>()
                .into();
            json!({
                "modality": one.modality.as_str(), "ability": step.ability.as_str(), "sample": step.sample.0,
                "weights": weights,
            })
        })
        .collect();
    let content: Vec<&str> = drawn.container.content.iter().map(|family| family.as_str()).collect();
    json!({
        "container": format!("QPTU{index:07}"), "selection": selection, "sampling_probability": probability,
        "content": content, "evidence": evidence,
    })
}

/// Containers of a world as lines. `select` says whether a container was picked by lot or aimed at, and with which chance; a
/// draw of its own decides whether it was.
fn file(world: &World, seed: u64, select: impl Fn(&Drawn) -> (&'static str, f64)) -> String {
    let sample = Stratified::new(world, CONTAINERS, 24.0, seed);
    // The sample holds more threats than the world does, as if these had been opened more often.
    let rarest = sample.iter().map(|drawn| drawn.weight).fold(f64::INFINITY, f64::min);
    let mut text = String::new();
    for (index, drawn) in (0..).zip(sample.iter()) {
        let (selection, chance) = select(&drawn);
        // Golden-ratio steps fill the unit interval evenly.
        let draw = (index as f64 * 0.618_033_988_749_894_9).fract();
        if draw < chance {
            let probability = chance * rarest / drawn.weight;
            writeln!(text, "{}", line(world, index, &drawn, selection, probability)).unwrap();
        }
    }
    text
}

fn outcomes(text: &str) -> Result<Outcomes, OutcomesError> {
    Outcomes::read(text.as_bytes(), "outcomes.jsonl")
}

fn learned(text: &str) -> LearnedFromOutcomes {
    outcomes(text)
        .unwrap()
        .learn(None, &LearnOptions::default(), &quiet)
        .unwrap()
}

fn measured(world: &World, learned: &Learned) -> FusionReport {
    let input = FusionInput {
        claims: Some(&learned.claims),
        ..FusionInput::new(world, &learned.policy, 60_000, 9)
    };
    fusion(&input, &quiet)
}

/// Weight of the image for undeclared goods: what a port aims its exams by.
fn suspicion(world: &World, drawn: &Drawn) -> i32 {
    drawn
        .container
        .evidence(world)
        .iter()
        .filter(|one| one.modality == Modality::Radiography)
        .map(|one| one.total().unwrap().weights.of(ThreatFamily::Undeclared))
        .sum()
}

#[test]
fn a_file_drawn_from_a_world_teaches_what_the_world_teaches() {
    let world = calm();
    let from_file = learned(&file(&world, 21, |_| ("random", 1.0)));
    let from_world = learn_in(&world, CONTAINERS, &LearnOptions::default(), &quiet).unwrap();
    assert!(from_file.kept.is_empty());
    let (a, b) = (from_file.learned.claims, from_world.claims);
    for (a, b) in [
        (a.missed, b.missed),
        (a.needless_review, b.needless_review),
        (a.needless_exam, b.needless_exam),
    ] {
        assert!(a.agrees_with(&b), "{a:?} {b:?}");
    }
    let (a, b) = (measured(&world, &from_file.learned), measured(&world, &from_world));
    assert!(
        a.measure.missed.agrees_with(&b.measure.missed),
        "{:?} {:?}",
        a.measure.missed,
        b.measure.missed
    );
    assert!((a.measure.needless_review.value - b.measure.needless_review.value).abs() < 0.01);
}

#[test]
fn exams_aimed_at_suspects_teach_the_truth_if_the_chance_of_selection_is_given_and_else_they_do_not() {
    let world = calm();
    // Every suspect is opened, and of the others one in four by lot.
    let text = file(&world, 22, |drawn| {
        if suspicion(&world, drawn) > 0 {
            ("targeted", 1.0)
        } else {
            ("random", 0.25)
        }
    });
    let weighted = learned(&text);
    let report = measured(&world, &weighted.learned);
    let claims = weighted.learned.claims;
    assert!(
        report.measure.missed.agrees_with(&claims.missed),
        "{:?} {claims:?}",
        report.measure.missed
    );
    let needless = report.measure.needless_review;
    assert!(
        (needless.value - claims.needless_review.value).abs() < 0.015,
        "{needless:?} {claims:?}"
    );
    // Undeclared goods are in 2 % of the containers: odds of -16.9 decibans.
    let prior = |learned: &LearnedFromOutcomes| {
        let rules = &learned.learned.policy.families;
        rules
            .iter()
            .find(|rule| rule.family == ThreatFamily::Undeclared)
            .unwrap()
            .prior
    };
    assert!((prior(&weighted) + 16_900).abs() < 600, "{}", prior(&weighted));
    // The same file with every chance put to 1.
    let flat: String = text
        .lines()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line["sampling_probability"] = json!(1.0);
            format!("{line}\n")
        })
        .collect();
    assert!(prior(&learned(&flat)) > -10_000);
}

#[test]
fn targeted_exams_alone_teach_nothing_and_it_is_said_what_is_missing() {
    let world = calm();
    let text = file(&world, 23, |drawn| {
        let suspect = suspicion(&world, drawn) > 0;
        ("targeted", if suspect { 1.0 } else { 0.0 })
    });
    let refused = outcomes(&text).unwrap_err().to_string();
    assert!(
        refused.contains("by lot") && refused.contains("at least 300"),
        "{refused}"
    );
}

#[test]
fn families_without_examples_keep_their_rules_if_there_is_a_policy_to_keep_them_from() {
    let world = calm();
    let text: String = file(&world, 24, |_| ("random", 1.0))
        .lines()
        .filter(|line| !line.contains("\"people\"]") && !line.contains("\"nuclear\"]"))
        .map(|line| format!("{line}\n"))
        .collect();
    let outcomes = outcomes(&text).unwrap();
    let refused = outcomes
        .learn(None, &LearnOptions::default(), &quiet)
        .unwrap_err()
        .to_string();
    for word in ["nuclear (0)", "people (0)", "needs 30", "a guarantee 57", "--base"] {
        assert!(refused.contains(word), "{refused}");
    }
    let mut base = Policy::first();
    base.name = "base".to_owned();
    let learned = outcomes
        .learn(Some(base.clone()), &LearnOptions::default(), &quiet)
        .unwrap();
    assert_eq!(learned.kept, ["nuclear", "people"]);
    for rule in &learned.learned.policy.families {
        let before = base.families.iter().find(|one| one.family == rule.family).unwrap();
        let kept = learned.kept.contains(&rule.family.as_str());
        assert_eq!(rule == before, kept, "{rule:?}");
    }
    let claims = learned.learned.claims;
    assert!(
        claims.needless_review.value + claims.needless_exam.value < 0.14,
        "{claims:?}"
    );
}

#[test]
fn hostile_files_are_refused_with_line_and_field() {
    let good = r#"{"container":"A1","selection":"random","sampling_probability":1,"content":[],"evidence":[]}"#;
    for (text, line, field) in [
        (format!("{good}\n{{\"container\":3}}"), 2, ""),
        (format!("\n{good}\n\n{good}"), 4, "container"),
        (good.replace(":1,", ":1e-9,"), 1, "sampling_probability"),
        (format!("{}{good}", "[".repeat(100_000)), 1, ""),
        (format!("{{\"container\":\"{}", "A".repeat(2 << 20)), 1, ""),
        ("\u{0}\u{1}".to_owned(), 1, ""),
    ] {
        match outcomes(&text).unwrap_err() {
            OutcomesError::Line {
                line: at,
                field: found,
                why,
                ..
            } => {
                assert_eq!((at, found.as_str()), (line, field), "{why}");
            }
            other => panic!("{other}"),
        }
    }
    assert!(matches!(
        outcomes("").unwrap_err(),
        OutcomesError::NotRandom { found: 0, .. }
    ));
}

#[test]
fn containers_that_stand_for_very_different_numbers_know_too_little() {
    let mut text = String::new();
    for index in 0..1_000 {
        let probability = if index < 5 { 1e-4 } else { 1.0 };
        writeln!(
            text,
            r#"{{"container":"A{index}","selection":"random","sampling_probability":{probability},"content":[],"evidence":[]}}"#
        )
        .unwrap();
    }
    assert!(matches!(
        outcomes(&text).unwrap_err(),
        OutcomesError::Uneven { effective: 5, .. }
    ));
}

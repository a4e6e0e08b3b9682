//! The worlds that come with the system load; those that contradict themselves are refused by the key's name.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the worlds fails")]

use std::path::{Path, PathBuf};

use portcullis_domain::evidence::{Modality, ThreatFamily};
use portcullis_learning::world::{Stratified, World};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../cluster-config/worlds")
}

fn calm() -> String {
    std::fs::read_to_string(folder().join("calm.toml")).unwrap()
}

#[test]
fn every_world_loads_under_the_name_of_its_file() {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let world = World::load(&path).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(path.file_stem().unwrap().to_str(), Some(world.name.as_str()));
        names.push(world.name);
    }
    names.sort();
    assert_eq!(names, ["adversary", "calm", "correlated", "drifting", "hidden", "rush"]);
}

#[test]
fn calm_is_the_reference_with_a_joint_distance_of_3_08() {
    let world = World::parse("calm", &calm()).unwrap();
    let d: Vec<f64> = world.sensors.iter().map(|sensor| sensor.d_prime[0]).collect();
    assert_eq!(format!("{:.2}", world.dependence.joint_d_prime(&d)), "3.08");
}

#[test]
fn what_is_wrong_in_a_world_is_refused_with_its_key() {
    for (from, to, key) in [
        (
            "narcotics = 0.004",
            "narcotics = 1.4",
            "containers.threat_share.narcotics",
        ),
        (
            "narcotics = 0.004",
            "narcotic = 0.004",
            "containers.threat_share.narcotic",
        ),
        ("undeclared = 0.02", "undeclared = 0.6", "containers.threat_share"),
        (
            "shielded_share = 0.01",
            "shielded_share = -0.1",
            "sensor[1].shielded_share",
        ),
        ("shielded_share = 0.01", "failed_share = nan", "sensor[1].failed_share"),
        (
            "shielded_share = 0.01",
            "drift_per_hour = inf",
            "sensor[1].drift_per_hour",
        ),
        ("seconds = 25.0", "seconds = -1.0", "sensor[1].seconds"),
        ("narcotics = 2.84", "narcotics = -1.0", "sensor[1].d_prime.narcotics"),
        ("modality = \"trace\"", "modality = \"smell\"", "sensor[3].modality"),
        (
            "modality = \"trace\"",
            "modality = \"radiography\"",
            "sensor[3].modality",
        ),
        ("rho = 0.1", "rho = 1.0", "dependence[0].rho"),
        ("rho = 0.1", "rho = -0.9", "dependence.rho"),
        (
            "sensors = [\"manifest\", \"radiography\"]",
            "sensors = [\"ocr\", \"trace\"]",
            "dependence[0].sensors",
        ),
        (
            "sensors = [\"manifest\", \"radiography\"]",
            "sensors = [\"trace\"]",
            "dependence[0].sensors",
        ),
        (
            "sensors = [\"manifest\", \"radiography\"]",
            "sensors = [\"weighbridge\", \"trace\"]",
            "dependence[5].sensors",
        ),
        ("shielded_share", "shelded_share", "shelded_share"),
        ("name = \"calm\"", "name = \"\"", "name"),
        ("[containers]", "[containers]\nper_hour = 0.0", "containers.per_hour"),
    ] {
        let text = calm();
        assert!(text.contains(from), "{from}");
        // Contradictory correlations need more than one.
        let changed = if key == "dependence.rho" {
            text.replace(from, to)
        } else {
            text.replacen(from, to, 1)
        };
        let error = World::parse("my.toml", &changed).unwrap_err().to_string();
        assert!(error.starts_with("my.toml: ") && error.contains(key), "{key}: {error}");
    }
    let adversary = calm() + "\n[adversary]\nshields = { ocr = 0.1 }\n";
    let error = World::parse("my.toml", &adversary).unwrap_err().to_string();
    assert!(error.contains("adversary.shields.ocr"), "{error}");
}

#[test]
fn a_sample_has_every_family_and_weighs_as_the_world_does() {
    let world = World::parse("calm", &calm()).unwrap();
    let sample = Stratified::new(&world, 10_000, 24.0, 7);
    let all: f64 = sample.iter().map(|drawn| drawn.weight).sum();
    assert!((all - 10_000.0).abs() < 1e-6);
    for family in ThreatFamily::ALL {
        let of_it = |drawn: &portcullis_learning::world::Drawn| drawn.container.content == Some(family);
        let count = sample.iter().filter(of_it).count();
        let weight: f64 = sample.iter().filter(of_it).map(|drawn| drawn.weight).sum();
        assert!(count >= 400, "{family}: {count}");
        assert!((weight / all - world.threat_share[family.index()]).abs() < 1e-9);
    }
    assert_eq!(sample.get(4_321), Stratified::new(&world, 10_000, 24.0, 7).get(4_321));
    assert_ne!(sample.get(4_321), Stratified::new(&world, 10_000, 24.0, 8).get(4_321));
}

#[test]
fn drawn_evidence_is_evidence_that_the_ledger_would_take() {
    let world = World::load(&folder().join("rush.toml")).unwrap();
    let mut unseen = 0;
    for container in world.arrivals(3).take(2_000) {
        let evidence = container.evidence(&world);
        for one in &evidence {
            one.check().unwrap();
        }
        unseen += usize::from(!evidence.iter().any(|one| one.modality == Modality::Radiography));
    }
    assert!((1..40).contains(&unseen), "{unseen}");
}

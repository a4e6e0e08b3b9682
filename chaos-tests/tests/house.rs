//! The walls of the house: who may import whom, and where the large libraries may appear. Reads the manifests and fails on
//! any other arrow.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the house fails")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Folder, package, and which of our packages it may depend on. `None` stands for "all".
const HOUSE: &[(&str, &str, Option<&[&str]>)] = &[
    ("proto", "portcullis-proto", Some(&[])),
    ("actors/domain", "portcullis-domain", Some(&[])),
    ("actors/detectors", "portcullis-detectors", Some(&["portcullis-domain"])),
    (
        "actors/learning",
        "portcullis-learning",
        Some(&["portcullis-domain", "portcullis-detectors", "portcullis-simulator"]),
    ),
    (
        "actors/simulator",
        "portcullis-simulator",
        Some(&["portcullis-domain", "portcullis-detectors"]),
    ),
    (
        "actors",
        "portcullis-actors",
        Some(&["portcullis-domain", "portcullis-detectors"]),
    ),
    ("cluster-config", "portcullis-config", Some(&["portcullis-domain"])),
    (
        "node/wire",
        "portcullis-wire",
        Some(&["portcullis-domain", "portcullis-proto"]),
    ),
    (
        "node/consensus",
        "portcullis-consensus",
        Some(&["portcullis-domain", "portcullis-wire", "portcullis-proto"]),
    ),
    (
        "node",
        "portcullis",
        Some(&[
            "portcullis-actors",
            "portcullis-config",
            "portcullis-consensus",
            "portcullis-detectors",
            "portcullis-domain",
            "portcullis-learning",
            "portcullis-proto",
            "portcullis-simulator",
            "portcullis-wire",
        ]),
    ),
    ("chaos-tests", "portcullis-chaos", None),
    ("chaos-tests/sim", "portcullis-sim", None),
];

/// Libraries that may appear in one place only.
const CONFINED: &[(&str, &str)] = &[
    ("openraft", "node/consensus"),
    ("sled", "node/consensus"),
    ("ractor", "actors"),
    // It replaces clock and entropy of the C library in whatever links it.
    ("mad-turmoil", "chaos-tests/sim"),
    ("turmoil", "chaos-tests/sim"),
];

/// What the pure core must not depend on.
const BANNED_FROM_DOMAIN: &[&str] = &["serde", "tokio", "rand", "prost", "tonic", "futures", "tracing"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn manifest(folder: &str) -> toml::Table {
    let path = root().join(folder).join("Cargo.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Dependencies that end up in the product; those of tests may reach further.
fn dependencies(manifest: &toml::Table) -> BTreeSet<String> {
    ["dependencies", "build-dependencies"]
        .iter()
        .filter_map(|section| manifest.get(*section)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect()
}

#[test]
fn no_package_depends_on_one_that_it_may_not_know() {
    for (folder, name, allowed) in HOUSE {
        let manifest = manifest(folder);
        assert_eq!(manifest["package"]["name"].as_str(), Some(*name), "{folder}");
        let Some(allowed) = allowed else { continue };
        for dependency in dependencies(&manifest)
            .iter()
            .filter(|name| name.starts_with("portcullis"))
        {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} depends on {dependency}, which ARCHITECTURE.md does not allow"
            );
        }
    }
}

#[test]
fn every_member_of_the_workspace_is_in_the_house_and_is_listed_by_name() {
    let workspace = manifest("");
    let members: BTreeSet<&str> = workspace["workspace"]["members"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|member| member.as_str())
        .collect();
    let house: BTreeSet<&str> = HOUSE.iter().map(|(folder, ..)| *folder).collect();
    assert_eq!(members, house);
}

#[test]
fn large_libraries_stay_where_they_belong() {
    for (folder, ..) in HOUSE {
        let all = dependencies(&manifest(folder));
        for (library, home) in CONFINED {
            assert!(
                !all.contains(*library) || folder == home,
                "{folder} depends on {library}, which belongs in {home}"
            );
        }
    }
}

#[test]
fn the_domain_stays_pure() {
    let all = dependencies(&manifest("actors/domain"));
    for banned in BANNED_FROM_DOMAIN {
        assert!(!all.contains(*banned), "actors/domain depends on {banned}");
    }
    for path in sources(&root().join("actors/domain/src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for banned in [
            "std::fs",
            "std::net",
            "std::time::Instant",
            "SystemTime",
            "HashMap",
            "HashSet",
            "async fn",
        ] {
            assert!(!text.contains(banned), "{} uses {banned}", path.display());
        }
        let floats = text.contains("f64") || text.contains("f32");
        // Readings are raw measurements and not replicated state.
        assert!(
            !floats || path.ends_with("reading.rs"),
            "{} uses floats",
            path.display()
        );
    }
}

/// Only the simulation can be built with planted mistakes, and only if it is asked to: `portcullis-domain` has the feature,
/// `portcullis-sim` passes it on, and no manifest turns it on.
#[test]
fn nothing_that_is_shipped_is_built_with_planted_mistakes() {
    let members = manifest("")["workspace"]["members"].as_array().unwrap().clone();
    for folder in members.iter().filter_map(|member| member.as_str()).chain([""]) {
        let path = root().join(folder).join("Cargo.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let named: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| line.contains("mutants"))
            .collect();
        let allowed: &[&str] = match folder {
            "actors/domain" => &["mutants = []"],
            "chaos-tests/sim" => &["mutants = [\"portcullis-domain/mutants\"]"],
            _ => &[],
        };
        assert_eq!(named, allowed, "{}", path.display());
    }
}

#[test]
fn protobuf_meets_the_domain_only_in_wire() {
    for folder in [
        "actors",
        "actors/detectors",
        "actors/learning",
        "actors/simulator",
        "cluster-config",
    ] {
        let all = dependencies(&manifest(folder));
        assert!(
            !all.contains("prost") && !all.contains("tonic"),
            "{folder} knows protobuf"
        );
    }
}

#[test]
fn the_public_face_of_the_actors_shows_no_ractor_type() {
    for path in sources(&root().join("actors/src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            let public = line.trim_start().starts_with("pub ") && line.contains("ractor::");
            assert!(!public, "{}:{}: {line}", path.display(), number + 1);
        }
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

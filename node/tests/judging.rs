//! `portcullis policy`, `evaluate` and `risk` from the outside.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use support::portcullis;

/// Longer than any of it takes on a busy machine.
const WITHIN: Duration = Duration::from_secs(120);

async fn json(arguments: &[&str]) -> Value {
    portcullis(arguments, WITHIN).await.good()
}

async fn refusal(arguments: &[&str]) -> String {
    let finished = portcullis(arguments, WITHIN).await;
    assert_eq!(
        (finished.code, finished.stdout.as_str()),
        (Some(1), ""),
        "{arguments:?}"
    );
    finished.stderr
}

fn world(name: &str) -> String {
    let worlds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster-config/worlds");
    worlds.join(name).to_str().unwrap().to_owned()
}

fn value(report: &Value, key: &str) -> f64 {
    report[key]["value"]
        .as_f64()
        .unwrap_or_else(|| panic!("{key} in {report}"))
}

#[tokio::test]
async fn a_policy_that_was_learned_keeps_its_budget_and_its_claims_in_its_world() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("calm.toml");
    let file = file.to_str().unwrap();
    let calm = world("calm.toml");
    let learned = json(&[
        "policy",
        "learn",
        "--world",
        &calm,
        "--containers",
        "30000",
        "--to",
        file,
    ])
    .await;
    let shown = json(&["policy", "show", file]).await;
    assert_eq!(shown["digest"], learned["report"]["digest"]);

    let judge = [
        "evaluate",
        "fusion",
        "--world",
        &calm,
        "--containers",
        "20000",
        "--policy",
        file,
    ];
    let report = json(&judge).await;
    assert_eq!(report, json(&judge).await, "the same seed gives the same report");
    let needless = value(&report, "needless_review") + value(&report, "needless_exam");
    assert!(needless < 0.135, "{needless}");
    assert!(value(&report, "missed") < 0.05, "{report}");
    assert!(report["missed"]["low"].as_f64() >= report["bayes_limit_missed"]["low"].as_f64());
    let naive = &report["naive"];
    let kept = value(naive, "needless_review") + value(naive, "needless_exam");
    assert!(
        kept > value(naive, "claimed_needless") + 0.01,
        "the plain sum claims too much: {naive}"
    );

    // For people the same.
    let table = portcullis(&[&judge[..], &["-o", "table"]].concat(), WITHIN)
        .await
        .stdout;
    assert!(
        table.contains("threats released") && table.contains("NAIVE SUM"),
        "{table}"
    );

    let text = std::fs::read_to_string(file).unwrap();
    let other = folder.path().join("other.toml");
    std::fs::write(&other, text.replacen("passes_max = 8", "passes_max = 9", 1)).unwrap();
    let difference = json(&["policy", "diff", file, other.to_str().unwrap()]).await;
    assert_eq!(difference["changed"][0]["key"], "passes_max");
    assert_eq!(difference["changed"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let text = "name = \"x\"\n[containers]\nthreat_share = { ghosts = 0.1 }\n[[sensor]]\nmodality = \"manifest\"\n\
                d_prime = { narcotics = 1.0 }\nseconds = 0.0\n";
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let missing = refusal(&["evaluate", "fusion", "--world", "no-such-world.toml"]).await;
    assert!(missing.contains("no-such-world.toml"), "{missing}");
    let ghosts = refusal(&["policy", "learn", "--world", file]).await;
    assert!(ghosts.contains("ghosts"), "{ghosts}");
    let policy = refusal(&["policy", "show", file]).await;
    assert!(policy.contains("containers") && policy.contains("file"), "{policy}");
    let spectra = refusal(&["evaluate", "radiation", "--spectra", file]).await;
    assert!(spectra.contains("file"), "{spectra}");
    let records = refusal(&["risk", "train", "--train", file, "--to", "never-written.risk"]).await;
    assert!(records.contains("Declaration ID"), "{records}");
    assert!(!Path::new("never-written.risk").exists());
}

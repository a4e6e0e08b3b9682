//! `portcullis policy`: learning a policy, what a policy file says, and how two of them differ.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use portcullis_config::{PolicyFile, policy_from_toml, policy_to_toml};
use portcullis_domain::policy::Policy;
use portcullis_learning::policy::{LearnOptions, Learned, learn_in};
use portcullis_learning::world::World;
use serde_json::{Value, json};

use super::PolicyLearnArgs;
use super::figures::{Bar, figure, percent};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, facts, or_dash, section, table};

/// Reads a policy from its file.
pub(super) fn read(file: &Path) -> Result<Policy, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    policy_from_toml(&text).map_err(|error| named(file, error.to_string()))
}

/// A file that cannot be read.
pub(super) fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    named(file, format!("cannot be read: {error}"))
}

/// Something is wrong with a file.
pub(super) fn named(file: &Path, what: impl Into<String>) -> Failure {
    Failure::new(Exit::Error, what).field(file.display().to_string())
}

/// Reads a world.
pub(super) fn world(file: &Path) -> Result<World, Failure> {
    World::load(file).map_err(|error| Failure::new(Exit::Error, error.to_string()))
}

/// Learns a policy in a world.
pub(super) fn learned(world: &World, containers: u64, options: &LearnOptions) -> Result<Learned, Failure> {
    let bar = Bar::new("learning");
    learn_in(world, containers, options, &|done, of| bar.at(done, of))
        .map_err(|error| Failure::new(Exit::Error, error.to_string()))
}

/// Learns a policy and writes it: the policy to its file, what is known about it to standard output.
pub(super) fn learn(output: &mut Output, args: &PolicyLearnArgs) -> Result<Exit, Failure> {
    let world = world(&args.world)?;
    let options = LearnOptions {
        name: world.name.clone(),
        needless_review: args.review / 100.0,
        needless_exam: args.exam / 100.0,
        seed: args.seed,
        ..LearnOptions::default()
    };
    let learned = learned(&world, args.containers, &options)?;
    let text = policy_to_toml(&learned.policy).map_err(|error| Failure::new(Exit::Error, error.to_string()))?;
    let Some(to) = &args.to else {
        output.document(|| value(&learned.policy), |_| text.clone())?;
        return Ok(Exit::Ok);
    };
    std::fs::write(to, &text).map_err(|error| named(to, format!("cannot be written: {error}")))?;
    let report = serde_json::to_value(&learned.report).unwrap_or_default();
    let claim = |key: &str| figure(&report["claims"][key], percent);
    output.document(
        || json!({ "policy": to, "report": report }),
        |width| {
            let claims = facts(&[
                ("threats released", claim("missed")),
                ("needless reviews", claim("needless_review")),
                ("needless exams", claim("needless_exam")),
            ]);
            let left_out = learned.report.requirements_left_out.join("\n");
            let digest = learned.policy.digest().to_string();
            [
                text_of(&learned.policy, &digest, width),
                section(
                    "What it claims of itself, from containers that served for nothing else",
                    &claims,
                ),
                section(
                    "Required before, and left out because the world has no such sensor",
                    &left_out,
                ),
            ]
            .concat()
        },
    )?;
    Ok(Exit::Ok)
}

fn value(policy: &Policy) -> Value {
    serde_json::to_value(PolicyFile::from(policy)).unwrap_or_default()
}

/// Shows one.
pub(super) fn show(output: &mut Output, file: &Path) -> Result<Exit, Failure> {
    let policy = read(file)?;
    let digest = policy.digest().to_string();
    output.document(
        || json!({ "digest": digest, "policy": value(&policy) }),
        |width| text_of(&policy, &digest, width),
    )?;
    Ok(Exit::Ok)
}

fn text_of(policy: &Policy, digest: &str, width: Option<u16>) -> String {
    let decibans = |value: i32| format!("{:.3}", f64::from(value) / 1000.0);
    let families = policy.families.iter().map(|rule| {
        let thresholds = [rule.prior, rule.review, rule.exam].map(decibans);
        [rule.family.to_string()].into_iter().chain(thresholds).collect()
    });
    let families = table(
        &["FAMILY", "PRIOR", "REVIEW AT", "EXAM AT"],
        families.collect(),
        &[1, 2, 3],
        width,
    );
    let counts = policy
        .coefficients
        .iter()
        .map(|one| vec![one.modality.to_string(), one.permille.to_string()]);
    let counts = table(&["MODALITY", "PERMILLE"], counts.collect(), &[1], width);
    let required: Vec<String> = policy
        .required
        .iter()
        .map(|one| format!("{} of {:?}, else {}", one.modality, one.scope, one.otherwise))
        .collect();
    let stopping = &policy.stopping;
    let head = facts(&[
        ("name", policy.name.clone()),
        ("digest", digest.to_owned()),
        ("algorithm", policy.algorithm.to_string()),
        (
            "stops",
            format!(
                "after {} samples at the earliest; {} dB below every review threshold, or {} dB above one for exam",
                stopping.least_samples,
                decibans(stopping.release_margin),
                decibans(stopping.exam_margin)
            ),
        ),
    ]);
    [
        head,
        "
"
        .to_owned(),
        section("Families, dB of posterior odds", &families),
        section("How much of a source's weight counts", &counts),
        section("Required", &required.join("\n").to_lowercase()),
    ]
    .concat()
}

/// Shows what differs.
pub(super) fn diff(output: &mut Output, old: &Path, new: &Path) -> Result<Exit, Failure> {
    let (before, after) = (flat(&value(&read(old)?)), flat(&value(&read(new)?)));
    let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed: Vec<_> = keys
        .into_iter()
        .map(|key| (key, before.get(key), after.get(key)))
        .filter(|(_, before, after)| before != after)
        .collect();
    output.document(
        || {
            let rows: Vec<Value> = changed
                .iter()
                .map(|(key, before, after)| json!({ "key": key, "old": before, "new": after }))
                .collect();
            json!({ "changed": rows })
        },
        |width| match changed.is_empty() {
            true => "they say the same".to_owned(),
            false => {
                let rows = changed
                    .iter()
                    .map(|(key, before, after)| vec![(*key).clone(), or_dash(*before), or_dash(*after)]);
                table(&["KEY", "OLD", "NEW"], rows.collect(), &[], width)
            }
        },
    )?;
    Ok(Exit::Ok)
}

/// Every value under the path that leads to it.
fn flat(value: &Value) -> BTreeMap<String, Value> {
    fn walk(path: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
        let below = |key: &str| match path.is_empty() {
            true => key.to_owned(),
            false => format!("{path}.{key}"),
        };
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| walk(&below(key), value, into)),
            Value::Array(items) => items
                .iter()
                .enumerate()
                .for_each(|(at, value)| walk(&format!("{path}[{at}]"), value, into)),
            value => {
                into.insert(path.to_owned(), value.clone());
            }
        }
    }
    let mut into = BTreeMap::new();
    walk("", value, &mut into);
    into
}

#[cfg(test)]
mod tests {
    use portcullis_config::policy_to_toml;

    use super::*;

    #[test]
    fn every_value_of_a_policy_has_a_path() {
        let flat = flat(&value(&Policy::first()));
        assert_eq!(flat["families.nuclear.prior"], json!(-37_000));
        assert_eq!(flat["required[0].modality"], json!("radiation"));
    }

    #[test]
    fn a_policy_is_shown_with_its_thresholds_in_decibans() {
        let policy = Policy::first();
        let text = text_of(&policy, "d", None);
        assert!(text.contains("nuclear") && text.contains("-37.000"), "{text}");
        assert!(text.contains("radiation of every, else review"), "{text}");
    }

    #[test]
    fn a_file_that_is_no_policy_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = policy_to_toml(&Policy::first()).unwrap();
        std::fs::write(file.path(), text.replace("passes_max = 8", "passes_max = 0")).unwrap();
        let failure = read(file.path()).unwrap_err().to_string();
        assert!(failure.contains("passes_max"), "{failure}");
    }
}

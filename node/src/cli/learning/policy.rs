//! `portcullis policy learn`: learning a policy and saying what it is worth.

use std::path::Path;

use portcullis_config::{policy_from_toml, policy_to_toml};
use portcullis_domain::policy::Policy;
use portcullis_learning::policy::{LearnOptions, Learned, learn_in};
use portcullis_learning::world::World;
use serde_json::json;

use super::PolicyLearnArgs;
use super::figures::{Bar, figure, percent};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, facts, section};
use crate::cli::policy::{text_of, value};

/// Reads a policy from its file.
pub(in crate::cli) fn read(file: &Path) -> Result<Policy, Failure> {
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
pub(in crate::cli) fn learn(output: &mut Output, args: &PolicyLearnArgs) -> Result<Exit, Failure> {
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
                text_of(&learned.policy, &digest, &[], width),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_policy_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = policy_to_toml(&Policy::first()).unwrap();
        std::fs::write(file.path(), text.replace("passes_max = 8", "passes_max = 0")).unwrap();
        let failure = read(file.path()).unwrap_err().to_string();
        assert!(failure.contains("passes_max"), "{failure}");
    }
}

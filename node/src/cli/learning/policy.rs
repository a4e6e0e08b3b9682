//! `portcullis policy learn`: learning a policy and saying what it is worth.

use std::path::Path;

use portcullis_config::{all_detectors_policy, policy_from_toml, policy_to_toml};
use portcullis_domain::policy::Policy;
use portcullis_learning::policy::{Labelled, LearnOptions, Learned, learn_in};
use portcullis_learning::world::World;
use portcullis_simulator::Outfit;
use serde_json::json;

use super::figures::{Bar, figure, percent};
use super::{PolicyLearnArgs, Sensors};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, facts, section};
use crate::cli::policy::{text_of, value};

/// Containers that a policy is learned from, unless the command says otherwise.
const WORLD_CONTAINERS: u64 = 200_000;
const LANE_CONTAINERS: u64 = 4_000;

/// Reads a policy from its file.
pub(in crate::cli) fn read(file: &Path) -> Result<Policy, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
    policy_from_toml(&text).map_err(|error| named(file, error.to_string()))
}

/// The policy that ships for lanes with these detectors.
pub(super) fn shipped(sensors: Sensors) -> Result<Policy, Failure> {
    match sensors {
        Sensors::All => {
            all_detectors_policy().map_err(|error| Failure::new(Exit::Error, format!("the shipped policy: {error}")))
        }
        Sensors::Basic => Ok(Policy::first()),
    }
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

/// Labelled containers of simulated lanes.
pub(super) fn lane_containers(outfit: Outfit, count: u32, seed: u64) -> Result<Vec<Labelled>, Failure> {
    let bar = Bar::new("scanning");
    portcullis_learning::lanes::containers(outfit, count, seed, &|done, of| bar.at(done, of))
        .map_err(|error| Failure::new(Exit::Error, error.to_string()))
}

/// Learns a policy and writes it: the policy to its file, what is known about it to standard output.
pub(in crate::cli) fn learn(output: &mut Output, args: &PolicyLearnArgs) -> Result<Exit, Failure> {
    let world = args.world.as_deref().map(world).transpose()?;
    let of_source = world.as_ref().map_or("simulated lanes", |world| world.name.as_str());
    let options = LearnOptions {
        name: args.name.clone().unwrap_or_else(|| of_source.to_owned()),
        needless_review: args.review / 100.0,
        needless_exam: args.exam / 100.0,
        seed: args.seed,
        ..LearnOptions::default()
    };
    let learned = match &world {
        Some(world) => learned(world, args.containers.unwrap_or(WORLD_CONTAINERS), &options)?,
        None => {
            let count = args.containers.unwrap_or(LANE_CONTAINERS);
            let count = u32::try_from(count).map_err(|_| {
                Failure::new(
                    Exit::Error,
                    "so many containers would take years before simulated lanes",
                )
                .field("--containers")
            })?;
            let samples = lane_containers(Outfit::Full, count, args.seed)?;
            portcullis_learning::policy::learn(&samples, &options, &|_, _| ())
                .map_err(|error| Failure::new(Exit::Error, error.to_string()))?
        }
    };
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
                    "Required before, and left out because there is no such sensor",
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

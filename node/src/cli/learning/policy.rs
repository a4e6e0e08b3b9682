//! `portcullis policy learn`: learning a policy and saying what it is worth.

use std::path::Path;

use portcullis_config::{all_detectors_policy, policy_from_toml, policy_to_toml};
use portcullis_detectors::manifest::ManifestModels;
use portcullis_domain::policy::Policy;
use portcullis_learning::policy::outcomes::{Outcomes, OutcomesError, OutcomesSummary};
use portcullis_learning::policy::{Labelled, LearnOptions, Learned, learn_in};
use portcullis_learning::world::World;
use portcullis_simulator::Outfit;
use serde_json::json;

use super::figures::{Bar, figure, percent};
use super::risk::models_for;
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
pub(super) fn lane_containers(
    outfit: Outfit,
    count: u32,
    seed: u64,
    models: &ManifestModels,
) -> Result<Vec<Labelled>, Failure> {
    let bar = Bar::new("scanning");
    portcullis_learning::lanes::containers(outfit, count, seed, models, &|done, of| bar.at(done, of))
        .map_err(|error| Failure::new(Exit::Error, error.to_string()))
}

/// A policy, and where it was learned from.
struct Source {
    learned: Learned,
    /// Of a file of outcomes: what it holds, and the families that keep the rules of the base policy.
    outcomes: Option<(OutcomesSummary, Vec<&'static str>)>,
}

fn learn_from(args: &PolicyLearnArgs) -> Result<Source, Failure> {
    let base = args.base.as_deref().map(read).transpose()?;
    let options = LearnOptions {
        needless_review: args.review / 100.0,
        needless_exam: args.exam / 100.0,
        seed: args.seed,
        ..LearnOptions::default()
    };
    if let Some(file) = &args.outcomes {
        return learn_outcomes(file, args.name.as_ref(), base, &options);
    }
    if args.lanes {
        return learn_lanes(args, base, options);
    }
    let file = args.world.as_deref().unwrap_or(Path::new(""));
    let world = world(file)?;
    let options = LearnOptions {
        name: args.name.clone().unwrap_or_else(|| world.name.clone()),
        base: base.unwrap_or(options.base),
        ..options
    };
    Ok(Source {
        learned: learned(&world, args.containers.unwrap_or(WORLD_CONTAINERS), &options)?,
        outcomes: None,
    })
}

fn learn_lanes(args: &PolicyLearnArgs, base: Option<Policy>, options: LearnOptions) -> Result<Source, Failure> {
    let count = u32::try_from(args.containers.unwrap_or(LANE_CONTAINERS)).map_err(|_| {
        Failure::new(
            Exit::Error,
            "so many containers would take years before simulated lanes",
        )
        .field("--containers")
    })?;
    let (models, manifest_models) = models_for(&args.models)?;
    let options = LearnOptions {
        name: args.name.clone().unwrap_or_else(|| "simulated lanes".to_owned()),
        base: Policy {
            manifest_models,
            ..base.unwrap_or_else(|| options.base.clone())
        },
        ..options
    };
    let samples = lane_containers(Outfit::Full, count, args.seed, &models)?;
    let bar = Bar::new("learning");
    let learned = portcullis_learning::policy::learn(&samples, &options, &|done, of| bar.at(done, of))
        .map_err(|error| Failure::new(Exit::Error, error.to_string()))?;
    Ok(Source {
        learned,
        outcomes: None,
    })
}

fn learn_outcomes(
    file: &Path,
    name: Option<&String>,
    base: Option<Policy>,
    options: &LearnOptions,
) -> Result<Source, Failure> {
    let outcomes = Outcomes::load(file).map_err(refused)?;
    let of_file = || {
        file.file_stem()
            .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
    };
    let name = name.cloned().unwrap_or_else(of_file);
    let options = LearnOptions {
        name: if name.is_empty() { options.name.clone() } else { name },
        ..options.clone()
    };
    let bar = Bar::new("learning");
    let found = outcomes
        .learn(base, &options, &|done, of| bar.at(done, of))
        .map_err(refused)?;
    Ok(Source {
        learned: found.learned,
        outcomes: Some((outcomes.summary().clone(), found.kept)),
    })
}

fn refused(error: OutcomesError) -> Failure {
    let why = std::error::Error::source(&error).map(|source| format!(": {source}"));
    Failure::new(Exit::Error, format!("{error}{}", why.unwrap_or_default()))
}

/// What a file of outcomes held, for people.
fn held(summary: &OutcomesSummary) -> String {
    let threats: Vec<String> = summary
        .threats
        .iter()
        .map(|(family, count)| format!("{family} {count}"))
        .collect();
    facts(&[
        (
            "containers",
            format!("{}, {} picked by lot", summary.containers, summary.random),
        ),
        (
            "innocent",
            format!(
                "{}, worth {:.0} equally likely ones",
                summary.innocent, summary.innocent_effective
            ),
        ),
        ("threats", threats.join(", ")),
        ("with several families", summary.with_several.to_string()),
        (
            "one stands for at most",
            format!("{:.1} times the mean", summary.heaviest),
        ),
    ])
}

/// Learns a policy and writes it: the policy to its file, what is known about it to standard output.
pub(in crate::cli) fn learn(output: &mut Output, args: &PolicyLearnArgs) -> Result<Exit, Failure> {
    let Source { learned, outcomes } = learn_from(args)?;
    let text = policy_to_toml(&learned.policy).map_err(|error| Failure::new(Exit::Error, error.to_string()))?;
    let Some(to) = &args.to else {
        output.document(|| value(&learned.policy), |_| text.clone())?;
        return Ok(Exit::Ok);
    };
    std::fs::write(to, &text).map_err(|error| named(to, format!("cannot be written: {error}")))?;
    let report = serde_json::to_value(&learned.report).unwrap_or_default();
    let claim = |key: &str| figure(&report["claims"][key], percent);
    output.document(
        || match &outcomes {
            Some((summary, kept)) => json!({ "policy": to, "report": report, "outcomes": summary, "kept": kept }),
            None => json!({ "policy": to, "report": report }),
        },
        |width| {
            let claims = facts(&[
                ("threats released", claim("missed")),
                ("needless reviews", claim("needless_review")),
                ("needless exams", claim("needless_exam")),
            ]);
            let left_out = learned.report.requirements_left_out.join("\n");
            let digest = learned.policy.digest().to_string();
            let (held, kept) = outcomes
                .as_ref()
                .map(|(summary, kept)| (held(summary), kept.join("\n")))
                .unwrap_or_default();
            [
                text_of(&learned.policy, &digest, &[], width),
                section("What the outcomes hold", &held),
                section(
                    "Families with too few outcomes, whose rules are those of the base policy",
                    &kept,
                ),
                section(
                    "What it claims of itself, from containers that served for nothing else",
                    &claims,
                ),
                section(
                    "Required before, and left out because no container was seen by such a sensor",
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
    fn outcomes_that_teach_nothing_are_refused_with_what_is_wrong_or_missing() {
        let refused = |text: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), text).unwrap();
            let failure = learn_outcomes(file.path(), None, None, &LearnOptions::default())
                .err()
                .unwrap();
            failure.to_string()
        };
        let one = r#"{"container":"A1","selection":"random","sampling_probability":1,"content":[],"evidence":[]}"#;
        assert!(refused(one).contains("1 containers have selection"), "{}", refused(one));
        let spoiled = one.replace(":1,", ":2,");
        let wanted = "line 1, field sampling_probability";
        assert!(refused(&spoiled).contains(wanted), "{}", refused(&spoiled));
        let missing = learn_outcomes(
            Path::new("/nowhere/outcomes.jsonl"),
            None,
            None,
            &LearnOptions::default(),
        );
        assert!(missing.err().unwrap().to_string().contains("cannot read it: "));
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

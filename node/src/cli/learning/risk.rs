//! `portcullis risk train`: a manifest risk model learned from declarations with outcomes; and models as files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::{ArgGroup, Args, ValueEnum};
use portcullis_config::shipped_models;
use portcullis_detectors::manifest::ManifestModels;
use portcullis_detectors::risk::RiskModel;
use portcullis_domain::codec::{from_bytes, to_bytes};
use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::model::MODEL_BYTES_MAX;
use portcullis_domain::policy::{ManifestModel, Policy};
use portcullis_learning::risk::{Record, TrainOptions, read_records};
use serde_json::json;

use super::figures::Bar;
use super::policy::{named, unreadable};
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, facts};

/// `portcullis risk train`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("source").required(true).args(["train", "simulated"]))]
pub struct RiskTrainArgs {
    /// The declarations, CSV in time order.
    #[arg(long, value_name = "CSV")]
    pub train: Option<PathBuf>,
    /// Declarations of the simulated port instead, with whether a threat of this family was behind them.
    #[arg(long, value_name = "FAMILY", value_parser = family)]
    pub simulated: Option<ThreatFamily>,
    /// How many containers of the simulated port.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub containers: u32,
    /// Which fields of a declaration count.
    #[arg(long, value_enum, default_value_t)]
    pub fields: Fields,
    /// Where the model goes.
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    /// What random choices are drawn from.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
}

/// Which fields of a declaration a model looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Fields {
    /// All of them, for ranking declarations outside the cluster.
    #[default]
    All,
    /// Those that the decision log holds in the clear, for weighing manifests in the cluster: goods code, countries, mass, price.
    Manifest,
}

/// A family by its name.
pub(super) fn family(word: &str) -> Result<ThreatFamily, String> {
    let found = ThreatFamily::ALL.into_iter().find(|family| family.as_str() == word);
    found.ok_or_else(|| {
        let known = ThreatFamily::ALL.map(ThreatFamily::as_str).join(", ");
        format!("{word:?} is not a threat family: {known}")
    })
}

/// `FAMILY=FILE`.
pub(super) fn family_and_file(text: &str) -> Result<(ThreatFamily, PathBuf), String> {
    let (word, file) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not FAMILY=FILE, such as narcotics=seizures.model"))?;
    Ok((family(word)?, PathBuf::from(file)))
}

/// Reads declarations with outcomes.
pub(super) fn records(file: &Path) -> Result<Vec<Record>, Failure> {
    read_records(file).map_err(|error| Failure::new(Exit::Error, error.to_string()))
}

/// Reads a model from its file.
pub(in crate::cli) fn read(file: &Path) -> Result<RiskModel, Failure> {
    let bytes = std::fs::read(file).map_err(|error| unreadable(file, &error))?;
    from_bytes(&bytes).map_err(|error| named(file, error.to_string()))
}

/// The models that a policy names, from these files and from those that ship.
pub(super) fn models_of(policy: &Policy, files: &[PathBuf]) -> Result<ManifestModels, Failure> {
    let mut known = Vec::new();
    for file in files {
        known.push(read(file)?);
    }
    for bytes in shipped_models() {
        known.extend(from_bytes::<RiskModel>(bytes));
    }
    let known: Vec<_> = known
        .into_iter()
        .map(|model| (model.digest(), Arc::new(model)))
        .collect();
    let mut models = ManifestModels::none();
    for ManifestModel { family, model } in &policy.manifest_models {
        let found = known.iter().find(|(digest, _)| digest == model).ok_or_else(|| {
            Failure::usage(
                "--model",
                format!("the policy has {family} weighed by the model {model}, which is not given and does not ship"),
            )
            .next("name its file: --model FILE; from a cluster: portcullis risk export")
        })?;
        models = models.with(*family, Some(Arc::clone(&found.1)));
    }
    Ok(models)
}

/// Models given for families: to weigh with, and as a policy names them.
pub(super) fn models_for(given: &[(ThreatFamily, PathBuf)]) -> Result<(ManifestModels, Vec<ManifestModel>), Failure> {
    let mut models = ManifestModels::none();
    let mut names: Vec<ManifestModel> = Vec::new();
    for (family, file) in given {
        let read = read(file)?;
        names.retain(|one| one.family != *family);
        names.push(ManifestModel {
            family: *family,
            model: read.digest(),
        });
        models = models.with(*family, Some(Arc::new(read)));
    }
    Ok((models, names))
}

/// Fits a model and writes it.
pub(in crate::cli) fn train(output: &mut Output, args: &RiskTrainArgs) -> Result<Exit, Failure> {
    let mut declared = match (&args.train, args.simulated) {
        (Some(file), _) => records(file)?,
        (None, family) => {
            let family = family.unwrap_or(ThreatFamily::Undeclared);
            portcullis_learning::lanes::declarations(family, args.containers, args.seed)
                .map_err(|error| Failure::new(Exit::Error, error.to_string()))?
        }
    };
    if args.fields == Fields::Manifest {
        for record in &mut declared {
            record.item = record.item.as_in_manifest();
        }
    }
    let options = TrainOptions {
        seed: args.seed,
        ..TrainOptions::default()
    };
    let begun = Instant::now();
    let bar = Bar::new("fitting");
    let model =
        portcullis_learning::risk::train(&declared, &options, &|done, of| bar.at(done, of)).map_err(|error| {
            let error = error.to_string();
            match &args.train {
                Some(file) => named(file, error),
                None => Failure::new(Exit::Error, error),
            }
        })?;
    drop(bar);
    let fit_s = begun.elapsed().as_secs_f64();
    let to = &args.to;
    let bytes = to_bytes(&model);
    std::fs::write(to, &bytes).map_err(|error| named(to, format!("cannot be written: {error}")))?;
    let (digest, trees, features) = (
        model.digest().to_string(),
        model.parts().trees.len(),
        model.feature_names().len(),
    );
    let fits = bytes.len() <= MODEL_BYTES_MAX;
    output.document(
        || {
            json!({
                "model": to, "digest": digest, "bytes": bytes.len(), "rows": declared.len(), "trees": trees,
                "features": features, "fit_s": fit_s, "fits_the_log": fits,
            })
        },
        |_| {
            let size = if fits {
                bytes.len().to_string()
            } else {
                format!(
                    "{}: more than the {MODEL_BYTES_MAX} that a cluster takes in",
                    bytes.len()
                )
            };
            facts(&[
                ("model", to.display().to_string()),
                ("digest", digest.clone()),
                ("bytes", size),
                ("rows", declared.len().to_string()),
                ("trees", trees.to_string()),
                ("features", features.to_string()),
                ("fitted in", format!("{fit_s:.1} s")),
            ])
        },
    )?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_given_as_family_and_file() {
        let given = family_and_file("narcotics=a=b.model").unwrap();
        assert_eq!(given, (ThreatFamily::Narcotics, PathBuf::from("a=b.model")));
        assert!(family_and_file("narcotics").unwrap_err().contains("not FAMILY=FILE"));
        assert!(
            family_and_file("drugs=x")
                .unwrap_err()
                .contains("narcotics, explosives")
        );
    }

    #[test]
    fn a_policy_whose_model_is_not_at_hand_says_which() {
        let mut policy = Policy::first();
        policy.manifest_models.push(ManifestModel {
            family: ThreatFamily::People,
            model: portcullis_domain::id::Digest([5; 32]),
        });
        let failure = models_of(&policy, &[]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
    }
}

//! `portcullis risk`: manifest risk models, as files and in a running cluster.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use portcullis_detectors::risk::RiskModel;
use portcullis_domain::codec::{from_bytes, to_bytes};
use portcullis_proto::v1;
use portcullis_proto::v1::policy_service_client::PolicyServiceClient;
use serde_json::json;

use super::args::{Asker, Global};
use super::asker::{context, encode, receipt, receipt_text};
use super::client::{Cluster, timed};
use super::failure::{Asked, Exit, Failure};
use super::json::to_json;
use super::learning::{self, RiskTrainArgs, read_model};
use super::output::{Output, facts, section, table};
use super::words;

/// A whole digest, in digits.
const DIGITS: usize = 64;

/// `portcullis risk`.
#[derive(Debug, Clone, Subcommand)]
pub enum RiskCommand {
    /// Fit a manifest risk model to declarations with outcomes.
    Train(RiskTrainArgs),
    /// Show what a model was learned from and what it looks at.
    Show {
        /// The model's file.
        #[arg(value_name = "FILE")]
        model: PathBuf,
    },
    /// Bring a model into the cluster, so that a policy can name it.
    Add {
        /// The model's file.
        #[arg(value_name = "FILE")]
        model: PathBuf,
        /// Who asks.
        #[command(flatten)]
        asker: Asker,
    },
    /// The models of the cluster.
    Ls,
    /// Write a model of the cluster as a file.
    Export {
        /// Its digest, 64 digits.
        digest: String,
        /// Where it goes.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
}

pub(super) async fn run(global: &Global, output: &mut Output, command: &RiskCommand) -> Result<Exit, Failure> {
    match command {
        RiskCommand::Train(args) => learning::train_risk(output, args),
        RiskCommand::Show { model } => show(output, &read_model(model)?),
        RiskCommand::Add { model, asker } => add(&Cluster::new(global)?, output, model, asker).await,
        RiskCommand::Ls => ls(&Cluster::new(global)?, output).await,
        RiskCommand::Export { digest, to } => export(&Cluster::new(global)?, output, digest, to).await,
    }
}

fn show(output: &mut Output, model: &RiskModel) -> Result<Exit, Failure> {
    let parts = model.parts();
    let digest = model.digest().to_string();
    let values: usize = parts.categories.iter().map(|table| table.categories.len()).sum();
    let asked: Vec<&str> = (0..parts.features.len())
        .filter(|at| asks(model, *at))
        .filter_map(|at| model.feature_names().get(at).map(String::as_str))
        .collect();
    let decibans = |odds: i32| format!("{:.3} dB", f64::from(odds) / 1000.0);
    output.document(
        || {
            json!({
                "digest": digest, "name": parts.name, "prior_milli_decibans": parts.prior,
                "bias_milli_decibans": parts.bias, "trees": parts.trees.len(), "values": values,
                "bytes": to_bytes(model).len(), "features": asked,
            })
        },
        |_| {
            let head = facts(&[
                ("digest", digest.clone()),
                ("learned from", parts.name.clone()),
                ("odds there", decibans(parts.prior)),
                ("trees", parts.trees.len().to_string()),
                ("values known", values.to_string()),
                ("bytes", to_bytes(model).len().to_string()),
            ]);
            [head, section("\nWhat it asks for", &asked.join("\n"))].concat()
        },
    )?;
    Ok(Exit::Ok)
}

/// Whether any tree asks for a feature.
fn asks(model: &RiskModel, feature: usize) -> bool {
    let nodes = model.parts().trees.iter().flat_map(|tree| &tree.nodes);
    let mut splits = nodes.filter_map(|node| node.split);
    splits.any(|split| usize::from(split.feature) == feature)
}

async fn add(cluster: &Cluster, output: &mut Output, file: &Path, asker: &Asker) -> Result<Exit, Failure> {
    let model = read_model(file)?;
    let bytes = to_bytes(&model);
    let context = context(asker, None)?;
    let answer = cluster
        .ask(Asked::Write(context.request.as_str()), async |channel, limit| {
            let request = v1::AddModelRequest {
                context: encode(&context),
                model: bytes.clone().into(),
            };
            PolicyServiceClient::new(channel).add_model(timed(request, limit)).await
        })
        .await?;
    let digest = hex::encode(&answer.sha256);
    output.document(
        || {
            let mut json = receipt(answer.applied, &context);
            json["digest"] = json!(digest);
            json
        },
        |_| {
            format!(
                "the cluster has the model; a policy names it under [manifest_models]\ndigest: {digest}\n{}",
                receipt_text(answer.applied, &context)
            )
        },
    )?;
    Ok(Exit::Ok)
}

async fn ls(cluster: &Cluster, output: &mut Output) -> Result<Exit, Failure> {
    let request = v1::ListModelsRequest {
        consistency: v1::Consistency::Quorum.into(),
    };
    let answer = cluster
        .read(request, async |channel, request| {
            PolicyServiceClient::new(channel).list_models(request).await
        })
        .await?;
    output.document(
        || to_json("ListModelsResponse", &answer),
        |width| {
            let rows = answer.models.iter().map(|record| {
                let weighs: Vec<String> = record.weighs.iter().map(|family| words::family(*family)).collect();
                vec![
                    hex::encode(&record.sha256),
                    record.size.to_string(),
                    weighs.join(", "),
                    record.name.clone(),
                ]
            });
            table(
                &["DIGEST", "BYTES", "WEIGHS", "LEARNED FROM"],
                rows.collect(),
                &[1],
                width,
            )
        },
    )?;
    Ok(Exit::Ok)
}

async fn export(cluster: &Cluster, output: &mut Output, digest: &str, to: &Path) -> Result<Exit, Failure> {
    let sha256 = hex::decode(digest)
        .ok()
        .filter(|_| digest.len() == DIGITS)
        .ok_or_else(|| {
            Failure::usage("DIGEST", format!("{digest:?} is not {DIGITS} hexadecimal digits"))
                .next("see: portcullis risk ls")
        })?;
    let request = v1::GetModelRequest {
        sha256: sha256.clone().into(),
        consistency: v1::Consistency::Quorum.into(),
    };
    let answer = cluster
        .read(request, async |channel, request| {
            PolicyServiceClient::new(channel).get_model(request).await
        })
        .await?;
    let known = from_bytes::<RiskModel>(&answer.model).ok();
    if known.is_none_or(|model| model.digest().0.as_slice() != sha256) {
        let what = "the node sent something else than the model of this digest";
        return Err(Failure::new(Exit::VerificationFailed, what).field(digest));
    }
    std::fs::write(to, &answer.model).map_err(|error| {
        Failure::new(Exit::Error, format!("cannot be written: {error}")).field(to.display().to_string())
    })?;
    output.document(
        || json!({ "model": to, "digest": digest }),
        |_| format!("{digest} is in {}", to.display()),
    )?;
    Ok(Exit::Ok)
}

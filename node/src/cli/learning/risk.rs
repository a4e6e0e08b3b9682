//! `portcullis risk`: a manifest risk model learned from declarations with outcomes.

use std::path::Path;
use std::time::Instant;

use portcullis_domain::codec::to_bytes;
use portcullis_learning::risk::{Record, TrainOptions, read_records};
use serde_json::json;

use super::figures::Bar;
use super::policy::named;
use crate::cli::failure::{Exit, Failure};
use crate::cli::output::{Output, facts};

/// Reads declarations with outcomes.
pub(super) fn records(file: &Path) -> Result<Vec<Record>, Failure> {
    read_records(file).map_err(|error| Failure::new(Exit::Error, error.to_string()))
}

/// Fits a model and writes it.
pub(super) fn train(output: &mut Output, file: &Path, to: &Path, seed: u64) -> Result<Exit, Failure> {
    let records = records(file)?;
    let options = TrainOptions {
        seed,
        ..TrainOptions::default()
    };
    let begun = Instant::now();
    let bar = Bar::new("fitting");
    let model = portcullis_learning::risk::train(&records, &options, &|done, of| bar.at(done, of))
        .map_err(|error| named(file, error.to_string()))?;
    drop(bar);
    let fit_s = begun.elapsed().as_secs_f64();
    let bytes = to_bytes(&model);
    std::fs::write(to, &bytes).map_err(|error| named(to, format!("cannot be written: {error}")))?;
    let (digest, trees, features) = (
        model.digest().to_string(),
        model.parts().trees.len(),
        model.feature_names().len(),
    );
    output.document(
        || {
            json!({
                "model": to, "digest": digest, "bytes": bytes.len(), "rows": records.len(), "trees": trees,
                "features": features, "fit_s": fit_s,
            })
        },
        |_| {
            facts(&[
                ("model", to.display().to_string()),
                ("digest", digest.clone()),
                ("rows", records.len().to_string()),
                ("trees", trees.to_string()),
                ("features", features.to_string()),
                ("fitted in", format!("{fit_s:.1} s")),
            ])
        },
    )?;
    Ok(Exit::Ok)
}

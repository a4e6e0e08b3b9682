//! Learning a risk model: trees and calibration are chosen on the later part, then all is learned again from everything.

use portcullis_detectors::risk::{InvalidModel, ModelParts, NODE_LIMIT, Node, RiskModel, Split, Tree};
use thiserror::Error;

use super::booster::{Boosted, GrownNode, fit};
use super::calibrate::Calibration;
use super::encode::Encoding;
use super::records::Record;

/// How to learn. The defaults were chosen on the last quarter of a training year.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// Decides folds and samples; the same seed gives the same model.
    pub seed: u64,
    /// Greatest number of trees.
    pub trees: usize,
    /// Trees without a gain on the later part after which no more are tried.
    pub patience: usize,
    /// Share of its step that a tree may take, above 0 and up to 1.
    pub learning_rate: f64,
    /// Greatest number of leaves of a tree.
    pub leaves: usize,
    /// Least curvature of the loss in a leaf: about five times as many rows of even odds.
    pub child_curvature: f64,
    /// Draws the values of leaves to zero.
    pub l2: f64,
    /// Share of the rows that each tree sees.
    pub row_share: f64,
    /// Share of the features that each tree sees.
    pub feature_share: f64,
    /// How often a row of critical fraud counts. Calibration makes up for it.
    pub critical_weight: f64,
    /// Share of the rows, the latest, on which trees and calibration are chosen.
    pub later_share: f64,
    /// Parts in which a row's own outcome is kept from its numbers.
    pub folds: u32,
    /// As how many rows the share of all rows counts in the odds of one value.
    pub smoothing: f64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            seed: 1,
            trees: 600,
            patience: 60,
            learning_rate: 0.05,
            leaves: 63,
            child_curvature: 5.0,
            l2: 5.0,
            row_share: 0.8,
            feature_share: 0.4,
            critical_weight: 4.0,
            later_share: 0.25,
            folds: 5,
            smoothing: 10.0,
        }
    }
}

/// Why nothing can be learned.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrainError {
    /// Too little to learn from.
    #[error(
        "{part} has {rows} declarations, {frauds} of them fraud; at least {ROWS_LEAST} are needed, with {OUTCOMES_LEAST} \
         of each outcome: give a longer period"
    )]
    TooFew {
        /// Which part of the data.
        part: &'static str,
        /// How many declarations it has.
        rows: usize,
        /// How many of them are fraud.
        frauds: usize,
    },
    /// An option outside its range.
    #[error("option {option}: {why}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What it must be.
        why: &'static str,
    },
    /// More values or trees than a model may have.
    #[error(transparent)]
    Model(#[from] InvalidModel),
}

/// Least number of declarations in each part of the data.
const ROWS_LEAST: usize = 100;
/// Least number of declarations of each outcome in each part.
const OUTCOMES_LEAST: usize = 10;

impl TrainOptions {
    /// Refuses options outside their range.
    pub fn check(&self) -> Result<(), TrainError> {
        let share = |value: f64| value > 0.0 && value <= 1.0;
        let need = |holds: bool, option, why| {
            if holds {
                Ok(())
            } else {
                Err(TrainError::Option { option, why })
            }
        };
        need((1..=4096).contains(&self.trees), "trees", "must lie from 1 to 4096")?;
        need((2..=1024).contains(&self.leaves), "leaves", "must lie from 2 to 1024")?;
        need(self.patience >= 1, "patience", "must be at least 1")?;
        need(
            share(self.learning_rate),
            "learning_rate",
            "must be above 0 and at most 1",
        )?;
        need(share(self.row_share), "row_share", "must be above 0 and at most 1")?;
        need(
            share(self.feature_share),
            "feature_share",
            "must be above 0 and at most 1",
        )?;
        need(
            (0.05..=0.5).contains(&self.later_share),
            "later_share",
            "must lie from 0.05 to 0.5",
        )?;
        need((2..=100).contains(&self.folds), "folds", "must lie from 2 to 100")?;
        need(
            (0.1..=100.0).contains(&self.critical_weight),
            "critical_weight",
            "must lie from 0.1 to 100",
        )?;
        need(
            (0.1..=1e6).contains(&self.smoothing),
            "smoothing",
            "must lie from 0.1 to 1,000,000",
        )?;
        need((0.1..=1e6).contains(&self.l2), "l2", "must lie from 0.1 to 1,000,000")?;
        need(
            (0.0..=1e6).contains(&self.child_curvature),
            "child_curvature",
            "must lie from 0 to 1,000,000",
        )
    }
}

/// Learns a model from `records`, which are in the order of time.
///
/// A first model learns from the earlier part; the later part decides how many trees it takes and how scores become odds.
/// The model that is returned learns from all records with these choices. `progress` is told how many trees of how many
/// are done.
pub fn train(records: &[Record], options: &TrainOptions, progress: &dyn Fn(u64, u64)) -> Result<RiskModel, TrainError> {
    let later = (records.len() as f64 * options.later_share.clamp(0.0, 1.0)) as usize;
    let (early, later) = records.split_at(records.len() - later);
    let choice = choose(early, later, options, progress)?;
    finish(records, choice, options, progress)
}

/// Like [`train`], with the later part given: all of `records` are learned from, and `later` only decides the number of trees
/// and the calibration.
pub fn train_with(
    records: &[Record],
    later: &[Record],
    options: &TrainOptions,
    progress: &dyn Fn(u64, u64),
) -> Result<RiskModel, TrainError> {
    let choice = choose(records, later, options, progress)?;
    finish(records, choice, options, progress)
}

/// What the later part decides.
#[derive(Debug, Clone, Copy)]
struct Choice {
    trees: usize,
    calibration: Calibration,
}

fn enough(part: &'static str, records: &[Record]) -> Result<(), TrainError> {
    let frauds = records.iter().filter(|record| record.fraud).count();
    let rows = records.len();
    if rows < ROWS_LEAST || frauds < OUTCOMES_LEAST || rows - frauds < OUTCOMES_LEAST {
        return Err(TrainError::TooFew { part, rows, frauds });
    }
    Ok(())
}

fn outcomes(records: &[Record]) -> Vec<bool> {
    records.iter().map(|record| record.fraud).collect()
}

fn weights(records: &[Record], options: &TrainOptions) -> Vec<f64> {
    records
        .iter()
        .map(|record| if record.critical { options.critical_weight } else { 1.0 })
        .collect()
}

fn choose(
    early: &[Record],
    later: &[Record],
    options: &TrainOptions,
    progress: &dyn Fn(u64, u64),
) -> Result<Choice, TrainError> {
    options.check()?;
    enough("the earlier part", early)?;
    enough("the later part", later)?;
    let (encoding, matrix) = Encoding::learn(early, options.folds, options.smoothing, options.seed);
    let numbers = encoding.numbers(later);
    let (later_outcomes, later_weights) = (outcomes(later), weights(later, options));
    let mut scores = vec![0.0; later.len()];
    let mut best = (f64::INFINITY, 0, scores.clone());
    let mut done = 0;
    let all = 2 * options.trees as u64;
    let boosted = fit(
        &matrix,
        &outcomes(early),
        &weights(early, options),
        options.trees,
        options,
        |base, tree| {
            for (row, score) in scores.iter_mut().enumerate() {
                *score += Boosted::tree_value(tree, &numbers, row);
            }
            done += 1;
            let loss = loss(&scores, base, &later_outcomes, &later_weights);
            if loss < best.0 {
                best = (loss, done, scores.clone());
            }
            progress(done as u64, all);
            done < best.1 + options.patience
        },
    );
    let (_, trees, best_scores) = best;
    let raw: Vec<f64> = best_scores.iter().map(|score| score + boosted.base).collect();
    Ok(Choice {
        trees,
        calibration: Calibration::fit(&raw, &later_outcomes),
    })
}

fn finish(
    records: &[Record],
    choice: Choice,
    options: &TrainOptions,
    progress: &dyn Fn(u64, u64),
) -> Result<RiskModel, TrainError> {
    let (encoding, matrix) = Encoding::learn(records, options.folds, options.smoothing, options.seed);
    let all = (options.trees + choice.trees) as u64;
    let mut done = options.trees as u64;
    let boosted = fit(
        &matrix,
        &outcomes(records),
        &weights(records, options),
        choice.trees,
        options,
        |_, _| {
            done += 1;
            progress(done, all);
            true
        },
    );
    Ok(to_model(
        name(records, options),
        encoding,
        &boosted,
        choice.calibration,
    )?)
}

/// Mean logistic loss, each row with its weight.
fn loss(scores: &[f64], base: f64, outcomes: &[bool], weights: &[f64]) -> f64 {
    let mut sum = 0.0;
    let mut all = 0.0;
    for ((score, outcome), weight) in scores.iter().zip(outcomes).zip(weights) {
        let signed = if *outcome { score + base } else { -(score + base) };
        sum += weight * libm::log1p(libm::exp(-signed));
        all += weight;
    }
    sum / all
}

/// What a model was learned from, for people. Days are the ten characters that the reader of records makes sure of; those of
/// records made otherwise are shortened.
fn name(records: &[Record], options: &TrainOptions) -> String {
    let day =
        |record: Option<&Record>| -> String { record.iter().flat_map(|record| record.date.chars()).take(10).collect() };
    format!(
        "{} declarations from {} to {}, seed {}",
        records.len(),
        day(records.first()),
        day(records.last()),
        options.seed
    )
}

/// Natural-log odds in milli-decibans.
const MILLI_DECIBANS: f64 = 10_000.0 * std::f64::consts::LOG10_E;

/// Makes integers of everything. The calibration goes into the values of the nodes and the bias, so it needs no summand.
fn to_model(
    name: String,
    encoding: Encoding,
    boosted: &Boosted,
    calibration: Calibration,
) -> Result<RiskModel, InvalidModel> {
    let scale = calibration.slope * MILLI_DECIBANS;
    let mut bias = boosted.base * scale + calibration.offset * MILLI_DECIBANS;
    let mut trees = Vec::with_capacity(boosted.trees.len());
    for tree in &boosted.trees {
        let root = tree.first().map_or(0.0, |root| root.value);
        bias += root * scale;
        trees.push(Tree {
            nodes: tree.iter().map(|node| to_node(node, root, scale)).collect(),
        });
    }
    RiskModel::new(ModelParts {
        name,
        prior: encoding.prior,
        categories: encoding.categories,
        prices: encoding.prices,
        features: encoding.features,
        bias: libm::round(bias) as i32,
        trees,
    })
}

fn to_node(node: &GrownNode, root: f64, scale: f64) -> Node {
    let limit = f64::from(NODE_LIMIT);
    Node {
        value: libm::round((node.value - root) * scale).clamp(-limit, limit) as i32,
        // A model holds at most 4096 nodes in a tree and 1024 features, which the options and the encoding respect.
        split: node.split.map(|(feature, threshold, left, right)| Split {
            feature: feature as u16,
            threshold,
            left: left as u16,
            right: right as u16,
        }),
    }
}

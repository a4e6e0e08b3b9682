//! How risky a declared goods item is, by a model learned from past outcomes, as an exact sum of integers.
//!
//! The model is a sum of decision trees over numbers that tables and logarithms give. Every node of a tree has a value in
//! milli-decibans; a step from a node to its child is worth the difference, and is put down to the feature that the node
//! asks about. The steps of one walk telescope, so the bias and one contribution for each feature add up to the score
//! without a remainder: what an officer reads is all that was decided on.
//!
//! A value that the model never saw takes the odds of all declarations, has no count, and sets the feature
//! "never seen". Training is elsewhere; this module only scores.

mod bytes;
mod feature;
mod item;
mod tables;
mod tree;

#[cfg(test)]
mod tests;

use portcullis_domain::codec::to_bytes;
use portcullis_domain::id::Digest;
use thiserror::Error;

pub use feature::{Feature, Known};
pub use item::{DeclaredItem, Field};
pub use tables::{Category, CategoryTable, MISSING, PriceTable, UsualPrice, log_quantity, log_unit_price};
pub use tree::{NODE_LIMIT, Node, Split, Tree};

/// Version of the way of scoring; a model of another one is refused.
pub const ALGORITHM: u16 = 1;

/// No walk through all trees may add up to more than this without signs, in milli-decibans. It keeps every sum far inside 32
/// bits, however the walk goes.
pub const SUM_LIMIT: i64 = 1_000_000_000;

/// Why parts do not make a model.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a risk model: {why}")]
pub struct InvalidModel {
    why: String,
}

/// What a model is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelParts {
    /// For people: what it was learned from.
    pub name: String,
    /// What is known about values without order.
    pub categories: Vec<CategoryTable>,
    /// Usual prices.
    pub prices: Vec<PriceTable>,
    /// What the trees ask about.
    pub features: Vec<Feature>,
    /// Odds of fraud among everything that it was learned from, in milli-decibans: a score above it speaks for fraud.
    pub prior: i32,
    /// The score before any tree, in milli-decibans of odds.
    pub bias: i32,
    /// The trees.
    pub trees: Vec<Tree>,
}

/// A model that was checked. Immutable; known by the digest of its canonical bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RiskModel {
    parts: ModelParts,
    names: Vec<String>,
}

/// How risky an item is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score {
    /// Odds of fraud, in milli-decibans: the bias and all contributions.
    pub total: i32,
    /// What every item starts with.
    pub bias: i32,
    /// What each feature adds, in the order of [`RiskModel::feature_names`].
    pub contributions: Vec<i32>,
}

impl Score {
    /// Probability of fraud in millionths.
    pub fn probability_ppm(&self) -> u32 {
        probability_ppm(self.total)
    }
}

/// The probability in millionths that odds in milli-decibans stand for.
pub fn probability_ppm(odds: i32) -> u32 {
    let exponent = -f64::from(odds) / 10_000.0;
    libm::round(1_000_000.0 / (1.0 + libm::pow(10.0, exponent))) as u32
}

impl RiskModel {
    /// Checks the parts: sizes, sorted tables, features whose tables are there, and trees that are trees.
    pub fn new(parts: ModelParts) -> Result<Self, InvalidModel> {
        check(&parts).map_err(|why| InvalidModel { why })?;
        let names = parts
            .features
            .iter()
            .map(|feature| feature.words(&parts.categories, &parts.prices))
            .collect();
        Ok(Self { parts, names })
    }

    /// What it is made of.
    pub fn parts(&self) -> &ModelParts {
        &self.parts
    }

    /// What decisions name it by.
    pub fn digest(&self) -> Digest {
        Digest::of(&to_bytes(self))
    }

    /// The features in words, in the order of a score's contributions.
    pub fn feature_names(&self) -> &[String] {
        &self.names
    }

    /// Scores one item.
    pub fn score(&self, item: &DeclaredItem) -> Score {
        let ModelParts {
            categories,
            prices,
            features,
            bias,
            trees,
            ..
        } = &self.parts;
        let known: Vec<Known<'_>> = categories.iter().map(|table| Known::new(table, item)).collect();
        let values: Vec<i32> = features
            .iter()
            .map(|feature| feature.value(item, &known, prices))
            .collect();
        let mut contributions = vec![0; features.len()];
        let sum: i32 = trees.iter().map(|tree| tree.walk(&values, &mut contributions)).sum();
        Score {
            total: bias + sum,
            bias: *bias,
            contributions,
        }
    }

    /// What moved a score, in words: the `most` largest contributions of either sign, the largest first.
    pub fn explain(&self, score: &Score, most: usize) -> Vec<(&str, i32)> {
        let mut terms: Vec<(&str, i32)> = self
            .names
            .iter()
            .map(String::as_str)
            .zip(score.contributions.iter().copied())
            .filter(|(_, weight)| *weight != 0)
            .collect();
        terms.sort_by_key(|(_, weight)| std::cmp::Reverse(weight.unsigned_abs()));
        terms.truncate(most);
        terms
    }
}

fn check(parts: &ModelParts) -> Result<(), String> {
    bytes::check_sizes(parts)?;
    for (at, table) in parts.categories.iter().enumerate() {
        if !table.categories.is_sorted_by(|a, b| a.key < b.key) {
            return Err(format!("category table {at} is not sorted, or names a value twice"));
        }
    }
    for (at, table) in parts.prices.iter().enumerate() {
        if !table.prices.is_sorted_by(|a, b| a.key < b.key) {
            return Err(format!("price table {at} is not sorted, or names a value twice"));
        }
    }
    for (at, feature) in parts.features.iter().enumerate() {
        let category = feature
            .category_table()
            .is_some_and(|table| usize::from(table) >= parts.categories.len());
        let price = feature
            .price_table()
            .is_some_and(|table| usize::from(table) >= parts.prices.len());
        if category || price {
            return Err(format!("feature {at} reads a table that is not there"));
        }
    }
    let mut sum = i64::from(parts.bias).abs() + i64::from(parts.prior).abs();
    for (at, tree) in parts.trees.iter().enumerate() {
        sum += tree.check(&parts.features).map_err(|why| format!("tree {at}: {why}"))?;
    }
    if sum > SUM_LIMIT {
        return Err(format!(
            "a walk may add up to {sum} milli-decibans; at most {SUM_LIMIT} are allowed"
        ));
    }
    Ok(())
}

//! Gradient boosting of decision trees on the logistic loss, with histograms (as XGBoost and LightGBM do it).

mod bins;
mod grow;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use self::bins::Cuts;
use self::grow::{Binned, Grown, Limits, Sums, grow};
use super::encode::Matrix;
use super::train::TrainOptions;

/// A sum of trees in natural-log odds.
#[derive(Debug, Clone)]
pub(super) struct Boosted {
    /// Odds of all rows.
    pub(super) base: f64,
    pub(super) trees: Vec<Vec<GrownNode>>,
}

/// A node with its value after the learning rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct GrownNode {
    pub(super) value: f64,
    /// Feature, threshold, left child, right child.
    pub(super) split: Option<(usize, i32, usize, usize)>,
}

impl Boosted {
    /// The value of one tree for one row of numbers.
    pub(super) fn tree_value(tree: &[GrownNode], matrix: &Matrix, row: usize) -> f64 {
        let mut at = 0;
        loop {
            let node = tree[at];
            match node.split {
                None => return node.value,
                Some((feature, threshold, left, right)) => {
                    at = if matrix[feature][row] <= threshold { left } else { right };
                }
            }
        }
    }
}

/// Fits up to `trees` trees to the outcomes, and calls `after` with the base and each tree; it ends early when `after` says so.
///
/// `weights` says how much each row counts.
pub(super) fn fit(
    matrix: &Matrix,
    outcomes: &[bool],
    weights: &[f64],
    trees: usize,
    options: &TrainOptions,
    mut after: impl FnMut(f64, &[GrownNode]) -> bool,
) -> Boosted {
    let cuts: Vec<Cuts> = matrix.iter().map(|column| Cuts::of(column)).collect();
    let bins: Vec<Vec<u8>> = matrix
        .iter()
        .zip(&cuts)
        .map(|(column, cuts)| column.iter().map(|value| cuts.bin(*value)).collect())
        .collect();
    let data = Binned {
        cuts: &cuts,
        bins: &bins,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let (mut positive, mut all) = (0.0, 0.0);
    for (outcome, weight) in outcomes.iter().zip(weights) {
        positive += if *outcome { *weight } else { 0.0 };
        all += weight;
    }
    let share = (positive + 0.5) / (all + 1.0);
    let base = libm::log(share / (1.0 - share));
    let mut scores = vec![base; outcomes.len()];
    let mut boosted = Boosted {
        base,
        trees: Vec::new(),
    };
    let limits = Limits {
        leaves: options.leaves,
        child_curvature: options.child_curvature,
        l2: options.l2,
    };
    for _ in 0..trees {
        let slopes: Vec<Sums> = scores
            .iter()
            .zip(outcomes)
            .zip(weights)
            .map(|((score, outcome), weight)| {
                let probability = 1.0 / (1.0 + libm::exp(-score));
                let target = f64::from(u8::from(*outcome));
                [
                    weight * (probability - target),
                    weight * (probability * (1.0 - probability)).max(1e-9),
                ]
            })
            .collect();
        let rows = sample(outcomes.len(), options.row_share, &mut rng);
        let features: Vec<usize> = sample(matrix.len(), options.feature_share, &mut rng)
            .into_iter()
            .map(|feature| feature as usize)
            .collect();
        let tree: Vec<GrownNode> = grow(&data, &slopes, rows, &features, limits)
            .into_iter()
            .map(|Grown { value, split }| GrownNode {
                value: value * options.learning_rate,
                split,
            })
            .collect();
        for (row, score) in scores.iter_mut().enumerate() {
            *score += Boosted::tree_value(&tree, matrix, row);
        }
        let go_on = after(base, &tree);
        boosted.trees.push(tree);
        if !go_on {
            break;
        }
    }
    boosted
}

/// Some of the numbers below `count`, each taken with the chance `share`; all of them if none was taken.
fn sample(count: usize, share: f64, rng: &mut ChaCha8Rng) -> Vec<u32> {
    let taken: Vec<u32> = (0..count as u32)
        .filter(|_| f64::from(rng.next_u32()) < share * 4_294_967_296.0)
        .collect();
    if taken.is_empty() {
        (0..count as u32).collect()
    } else {
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> TrainOptions {
        TrainOptions {
            learning_rate: 0.3,
            leaves: 4,
            child_curvature: 0.1,
            row_share: 1.0,
            feature_share: 1.0,
            ..Default::default()
        }
    }

    fn score(boosted: &Boosted, matrix: &Matrix, row: usize) -> f64 {
        let trees: f64 = boosted
            .trees
            .iter()
            .map(|tree| Boosted::tree_value(tree, matrix, row))
            .sum();
        boosted.base + trees
    }

    #[test]
    fn trees_learn_what_only_two_features_together_tell() {
        // The outcome is whether just one of two numbers is large; a few more rows on one side show the way in.
        let rows: Vec<(i32, i32)> = (0..430).map(|i| (i % 2, (i / 2) % 2)).chain([(1, 0); 20]).collect();
        let matrix: Matrix = vec![
            rows.iter().map(|row| row.0).collect(),
            rows.iter().map(|row| row.1).collect(),
        ];
        let outcomes: Vec<bool> = rows.iter().map(|row| row.0 != row.1).collect();
        let boosted = fit(&matrix, &outcomes, &vec![1.0; rows.len()], 60, &options(), |_, _| true);
        for (row, outcome) in outcomes.iter().enumerate() {
            let score = score(&boosted, &matrix, row);
            assert!(if *outcome { score > 2.0 } else { score < -2.0 }, "row {row}: {score}");
        }
    }

    #[test]
    fn a_leaf_takes_the_newton_step() {
        let matrix: Matrix = vec![vec![0, 0, 0, 0, 1, 1, 1, 1]];
        let outcomes = [false, false, false, false, true, true, true, true];
        let boosted = fit(&matrix, &outcomes, &[1.0; 8], 1, &options(), |_, _| true);
        // Even odds at first: gradients of a half, curvatures of a quarter, four rows to a leaf, l2 of 5.
        let step = 0.3 * 2.0 / (1.0 + 5.0);
        assert!((score(&boosted, &matrix, 0) + step).abs() < 1e-12);
        assert!((score(&boosted, &matrix, 7) - step).abs() < 1e-12);
    }

    #[test]
    fn no_tree_has_more_leaves_than_allowed_and_fitting_ends_when_told() {
        let matrix: Matrix = vec![(0..500).map(|i| (i * 37) % 500).collect()];
        let outcomes: Vec<bool> = (0..500).map(|i| ((i * 37) % 500 / 20) % 2 == 0).collect();
        let mut trees = 0;
        let boosted = fit(&matrix, &outcomes, &[1.0; 500], 50, &options(), |_, _| {
            trees += 1;
            trees < 7
        });
        assert_eq!(boosted.trees.len(), 7);
        for tree in &boosted.trees {
            assert!(tree.iter().filter(|node| node.split.is_none()).count() <= 4);
        }
    }
}

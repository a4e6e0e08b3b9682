//! One regression tree on gradients, grown where it helps most.

use super::bins::{BINS, Cuts};

/// Sum of gradients and sum of curvatures.
pub(super) type Sums = [f64; 2];
/// The sums of every bin of one feature.
type Histogram = [Sums; BINS];

/// How a tree may grow.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) leaves: usize,
    pub(super) child_curvature: f64,
    pub(super) l2: f64,
}

/// The rows as bins, one list for each feature.
pub(super) struct Binned<'a> {
    pub(super) cuts: &'a [Cuts],
    pub(super) bins: &'a [Vec<u8>],
}

/// A node of a growing tree, with its value in natural-log odds before the learning rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grown {
    pub(super) value: f64,
    /// Feature, threshold, left child, right child.
    pub(super) split: Option<(usize, i32, usize, usize)>,
}

struct Candidate {
    gain: f64,
    feature: usize,
    bin: usize,
    left: Sums,
}

struct Leaf {
    node: usize,
    rows: Vec<u32>,
    sums: Sums,
    histograms: Vec<Histogram>,
    best: Option<Candidate>,
}

/// Grows a tree on `rows`, asking only about `features`. `slopes` holds the gradient and curvature of every row.
pub(super) fn grow(
    data: &Binned<'_>,
    slopes: &[Sums],
    rows: Vec<u32>,
    features: &[usize],
    limits: Limits,
) -> Vec<Grown> {
    let sums = total(slopes, &rows);
    let mut nodes = vec![Grown {
        value: value(sums, limits),
        split: None,
    }];
    let mut root = Leaf {
        node: 0,
        sums,
        histograms: histograms(data, slopes, &rows, features),
        rows,
        best: None,
    };
    root.best = best(data, &root, features, limits);
    let mut leaves = vec![root];
    while leaves.len() < limits.leaves {
        let Some((at, _)) = leaves
            .iter()
            .enumerate()
            .filter_map(|(at, leaf)| Some((at, leaf.best.as_ref()?.gain)))
            .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
        else {
            break;
        };
        let leaf = leaves.swap_remove(at);
        let Some(cut) = &leaf.best else { break };
        let (left, right) = (nodes.len(), nodes.len() + 1);
        nodes[leaf.node].split = Some((cut.feature, data.cuts[cut.feature].threshold(cut.bin), left, right));
        let column = &data.bins[cut.feature];
        let (left_rows, right_rows): (Vec<u32>, Vec<u32>) = leaf
            .rows
            .iter()
            .partition(|row| usize::from(column[**row as usize]) <= cut.bin);
        let right_sums = [leaf.sums[0] - cut.left[0], leaf.sums[1] - cut.left[1]];
        let small_is_left = left_rows.len() <= right_rows.len();
        let small = histograms(
            data,
            slopes,
            if small_is_left { &left_rows } else { &right_rows },
            features,
        );
        let mut large = leaf.histograms;
        for (large, small) in large.iter_mut().zip(&small) {
            for (large, small) in large.iter_mut().zip(small) {
                large[0] -= small[0];
                large[1] -= small[1];
            }
        }
        let (left_histograms, right_histograms) = if small_is_left { (small, large) } else { (large, small) };
        for (node, rows, sums, histograms) in [
            (left, left_rows, cut.left, left_histograms),
            (right, right_rows, right_sums, right_histograms),
        ] {
            nodes.push(Grown {
                value: value(sums, limits),
                split: None,
            });
            let mut child = Leaf {
                node,
                rows,
                sums,
                histograms,
                best: None,
            };
            child.best = best(data, &child, features, limits);
            leaves.push(child);
        }
    }
    nodes
}

fn total(slopes: &[Sums], rows: &[u32]) -> Sums {
    rows.iter().fold([0.0; 2], |sums, row| {
        let slope = slopes[*row as usize];
        [sums[0] + slope[0], sums[1] + slope[1]]
    })
}

/// The Newton step -G / (H + l2).
fn value(sums: Sums, limits: Limits) -> f64 {
    -sums[0] / (sums[1] + limits.l2)
}

fn histograms(data: &Binned<'_>, slopes: &[Sums], rows: &[u32], features: &[usize]) -> Vec<Histogram> {
    // Gathered once, so that each feature reads them in order.
    let here: Vec<Sums> = rows.iter().map(|row| slopes[*row as usize]).collect();
    features
        .iter()
        .map(|feature| {
            let mut histogram = [[0.0; 2]; BINS];
            let column = &data.bins[*feature];
            for (row, slope) in rows.iter().zip(&here) {
                let bin = &mut histogram[usize::from(column[*row as usize])];
                bin[0] += slope[0];
                bin[1] += slope[1];
            }
            histogram
        })
        .collect()
}

/// The split with the greatest gain (Chen and Guestrin 2016, equation 7), if any gains.
fn best(data: &Binned<'_>, leaf: &Leaf, features: &[usize], limits: Limits) -> Option<Candidate> {
    let part = |sums: Sums| sums[0] * sums[0] / (sums[1] + limits.l2);
    let whole = part(leaf.sums);
    let mut found: Option<Candidate> = None;
    if leaf.sums[1] < 2.0 * limits.child_curvature {
        return None;
    }
    for (feature, histogram) in features.iter().zip(&leaf.histograms) {
        let mut left = [0.0; 2];
        let last = data.cuts[*feature].count().saturating_sub(1);
        for (bin, sums) in histogram.iter().enumerate().take(last) {
            left[0] += sums[0];
            left[1] += sums[1];
            let right = [leaf.sums[0] - left[0], leaf.sums[1] - left[1]];
            if left[1] < limits.child_curvature {
                continue;
            }
            if right[1] < limits.child_curvature {
                break;
            }
            let gain = part(left) + part(right) - whole;
            if gain > 1e-9 && found.as_ref().is_none_or(|found| gain > found.gain) {
                found = Some(Candidate {
                    gain,
                    feature: *feature,
                    bin,
                    left,
                });
            }
        }
    }
    found
}

//! How much of each modality's weight counts: a logistic regression on the weights.
//!
//! When scores are normal with a common covariance, the best coefficients are (R^-1 d)_i / d_i, and the regression finds
//! them; when they are not, it still finds the sum that separates best. One coefficient serves all families, because the
//! domain has one for each modality: what sensors share are their errors, and those do not depend on what is inside.
//! Slopes do not change when threats are over-sampled, only intercepts do, which are thrown away (Prentice and Pyke 1979).

use portcullis_domain::evidence::{Modality, ThreatFamily};
use portcullis_domain::policy::Coefficient;

use super::Labelled;

/// Milli-decibans in one nat: features are in nats, so that a coefficient of 1 is the sensor's own claim.
const PER_NAT: f64 = 10_000.0 / std::f64::consts::LN_10;
/// Most rounds of Newton's method; it needs about ten.
const ROUNDS: usize = 50;
/// Pull of each coefficient towards 1, in pseudo-observations: decides only where the samples say nothing.
const RIDGE: f64 = 1.0;
/// What the domain allows.
const LARGEST: f64 = 2.0;

/// One row: what each modality adds for one family, nats.
struct Row {
    weights: Vec<f64>,
    family: ThreatFamily,
    threat: bool,
}

/// A coefficient for each modality that any sample has.
pub(super) fn fit(samples: &[&Labelled]) -> Vec<Coefficient> {
    let modalities: Vec<Modality> = Modality::ALL
        .into_iter()
        .filter(|modality| {
            samples
                .iter()
                .any(|sample| sample.evidence.iter().any(|one| one.modality == *modality))
        })
        .collect();
    let rows = rows(samples, &modalities);
    // Coefficients below 0 or above the domain's limit are fixed there one after the other, the worst first, and the others
    // fitted again.
    let mut fixed: Vec<Option<f64>> = vec![None; modalities.len()];
    let mut fitted = newton(&rows, &fixed);
    while let Some((index, value)) = worst(&fitted, &fixed) {
        if let Some(slot) = fixed.get_mut(index) {
            *slot = Some(value.clamp(0.0, LARGEST));
        }
        fitted = newton(&rows, &fixed);
    }
    modalities
        .into_iter()
        .zip(fitted)
        .map(|(modality, value)| Coefficient {
            modality,
            permille: (1000.0 * value.clamp(0.0, LARGEST)).round() as i32,
        })
        .collect()
}

/// The free coefficient that lies furthest outside.
fn worst(fitted: &[f64], fixed: &[Option<f64>]) -> Option<(usize, f64)> {
    let outside = |value: f64| (-value).max(value - LARGEST);
    fitted
        .iter()
        .copied()
        .enumerate()
        .zip(fixed)
        .filter(|((_, value), fixed)| fixed.is_none() && outside(*value) > 0.0)
        .map(|(found, _)| found)
        .max_by(|a, b| outside(a.1).total_cmp(&outside(b.1)))
}

/// Threats speak for their family; innocent containers speak against the families in turn.
fn rows(samples: &[&Labelled], modalities: &[Modality]) -> Vec<Row> {
    let present: Vec<ThreatFamily> = ThreatFamily::ALL
        .into_iter()
        .filter(|family| samples.iter().any(|sample| sample.content == Some(*family)))
        .collect();
    let mut turn = present.iter().cycle();
    samples
        .iter()
        .filter_map(|sample| {
            let family = match sample.content {
                Some(family) => family,
                None => *turn.next()?,
            };
            let weights = modalities
                .iter()
                .map(|modality| {
                    let of_it: Vec<f64> = sample
                        .evidence
                        .iter()
                        .filter(|one| one.modality == *modality)
                        .filter_map(|one| Some(f64::from(one.total()?.weights.of(family)) / PER_NAT))
                        .collect();
                    // Sources that share a modality are averaged, as the domain does.
                    of_it.iter().sum::<f64>() / of_it.len().max(1) as f64
                })
                .collect();
            Some(Row {
                weights,
                family,
                threat: sample.content.is_some(),
            })
        })
        .collect()
}

/// Maximum likelihood with an intercept for each family; gives the coefficients only.
fn newton(rows: &[Row], fixed: &[Option<f64>]) -> Vec<f64> {
    let inputs = fixed.len();
    let size = inputs + ThreatFamily::ALL.len();
    let mut beta: Vec<f64> = fixed
        .iter()
        .map(|fixed| fixed.unwrap_or(1.0))
        .chain(ThreatFamily::ALL.map(|_| 0.0))
        .collect();
    let start = beta.clone();
    for _ in 0..ROUNDS {
        let mut gradient: Vec<f64> = beta
            .iter()
            .zip(&start)
            .map(|(now, start)| RIDGE * (now - start))
            .collect();
        let mut hessian: Vec<Vec<f64>> = (0..size)
            .map(|i| (0..size).map(|j| if i == j { RIDGE } else { 0.0 }).collect())
            .collect();
        for row in rows {
            let intercept = inputs + row.family.index();
            // Few entries are not 0: the sensors, and the family's intercept.
            let entries = || row.weights.iter().copied().enumerate().chain([(intercept, 1.0)]);
            let z: f64 = entries().map(|(i, x)| x * beta.get(i).copied().unwrap_or(0.0)).sum();
            let p = 1.0 / (1.0 + libm::exp(-z));
            let error = p - f64::from(u8::from(row.threat));
            let curvature = p * (1.0 - p);
            for (i, x) in entries() {
                if let Some(slope) = gradient.get_mut(i) {
                    *slope += error * x;
                }
                let Some(line) = hessian.get_mut(i) else { continue };
                for (j, y) in entries() {
                    if let Some(cell) = line.get_mut(j) {
                        *cell += curvature * x * y;
                    }
                }
            }
        }
        for (i, _) in fixed.iter().enumerate().filter(|(_, fixed)| fixed.is_some()) {
            hold(&mut hessian, &mut gradient, i);
        }
        let step = solve(hessian, gradient);
        let largest = step.iter().fold(0.0_f64, |largest, step| largest.max(step.abs()));
        // A long step is shortened: far out the curvature vanishes and Newton overshoots.
        let length = if largest > 1.0 { 1.0 / largest } else { 1.0 };
        for (value, step) in beta.iter_mut().zip(&step) {
            *value -= length * step;
        }
        if largest < 1e-9 {
            break;
        }
    }
    beta.truncate(inputs);
    beta
}

/// Takes one unknown out of the equations.
fn hold(matrix: &mut [Vec<f64>], right: &mut [f64], index: usize) {
    for (i, line) in matrix.iter_mut().enumerate() {
        for (j, cell) in line.iter_mut().enumerate() {
            if i == index || j == index {
                *cell = if i == j { 1.0 } else { 0.0 };
            }
        }
    }
    if let Some(value) = right.get_mut(index) {
        *value = 0.0;
    }
}

/// Gauss-Jordan elimination; the matrix is positive definite, so no pivoting is needed.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    for i in 0..right.len() {
        let (Some(pivot_row), Some(value)) = (matrix.get(i).cloned(), right.get(i).copied()) else {
            continue;
        };
        let pivot = pivot_row.get(i).copied().unwrap_or(1.0);
        for (j, (line, target)) in matrix.iter_mut().zip(&mut right).enumerate() {
            if j == i {
                continue;
            }
            let factor = line.get(i).copied().unwrap_or(0.0) / pivot;
            for (cell, above) in line.iter_mut().zip(&pivot_row) {
                *cell -= factor * above;
            }
            *target -= factor * value;
        }
    }
    matrix
        .iter()
        .zip(&right)
        .enumerate()
        .map(|(i, (line, value))| value / line.get(i).copied().unwrap_or(1.0))
        .collect()
}

//! How good a ranking and its probabilities are, each figure with a 95 % interval.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde::Serialize;

use crate::estimate::{Estimate, Z};

/// Resamples of a bootstrap.
const RESAMPLES: usize = 200;

/// Bins of equal width in which claimed and observed shares are compared.
const BINS: usize = 10;

/// The ends of a 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// The area under the curve of hits against false alarms, with the interval of DeLong (1988). Ties count half.
pub(super) fn area_under_curve(scores: &[i32], outcomes: &[bool]) -> Estimate {
    let pick = |wanted: bool| {
        let mut picked: Vec<i32> = scores
            .iter()
            .zip(outcomes)
            .filter(|(_, outcome)| **outcome == wanted)
            .map(|(score, _)| *score)
            .collect();
        picked.sort_unstable();
        picked
    };
    let (positive, negative) = (pick(true), pick(false));
    if positive.is_empty() || negative.is_empty() {
        return Estimate {
            value: 0.5,
            low: 0.0,
            high: 1.0,
        };
    }
    // The share of the others that lie below a score; ties count half.
    let below = |score: i32, others: &[i32]| {
        let less = others.partition_point(|other| *other < score);
        let up_to = others.partition_point(|other| *other <= score);
        (less + up_to) as f64 / (2.0 * others.len() as f64)
    };
    let hits: Vec<f64> = positive.iter().map(|score| below(*score, &negative)).collect();
    let misses: Vec<f64> = negative.iter().map(|score| 1.0 - below(*score, &positive)).collect();
    let value = hits.iter().sum::<f64>() / hits.len() as f64;
    let spread = |parts: &[f64]| {
        let count = parts.len() as f64;
        let sum: f64 = parts.iter().map(|part| (part - value) * (part - value)).sum();
        sum / (count - 1.0).max(1.0) / count
    };
    let half = Z * libm::sqrt(spread(&hits) + spread(&misses));
    Estimate {
        value,
        low: (value - half).max(0.0),
        high: (value + half).min(1.0),
    }
}

/// Mean squared distance of probabilities from outcomes (Brier 1950).
pub(super) fn brier(probabilities: &[f64], outcomes: &[bool], rows: &[usize]) -> f64 {
    let sum: f64 = rows
        .iter()
        .filter_map(|row| Some((probabilities.get(*row)?, outcomes.get(*row)?)))
        .map(|(probability, outcome)| {
            let error = probability - f64::from(u8::from(*outcome));
            error * error
        })
        .sum();
    sum / rows.len().max(1) as f64
}

/// Expected calibration error: in ten bins of equal width, the distance of the mean probability from the share of frauds,
/// each bin by its rows (Naeini 2015).
pub(super) fn calibration_error(probabilities: &[f64], outcomes: &[bool], rows: &[usize]) -> f64 {
    let mut differences = [0.0; BINS];
    for row in rows {
        let (Some(probability), Some(outcome)) = (probabilities.get(*row), outcomes.get(*row)) else {
            continue;
        };
        let bin = ((probability * BINS as f64) as usize).min(BINS - 1);
        if let Some(difference) = differences.get_mut(bin) {
            *difference += probability - f64::from(u8::from(*outcome));
        }
    }
    differences.iter().map(|difference| difference.abs()).sum::<f64>() / rows.len().max(1) as f64
}

/// A figure of many rows, with the middle 95 % of what it is on rows drawn again with replacement (basic bootstrap: an error
/// that resampling adds on top is taken off again).
pub(super) fn bootstrap(rows: usize, seed: u64, figure: impl Fn(&[usize]) -> f64) -> Estimate {
    let all: Vec<usize> = (0..rows).collect();
    let value = figure(&all);
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut found: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn: Vec<usize> = (0..rows)
                .map(|_| ((u128::from(rng.next_u64()) * rows as u128) >> 64) as usize)
                .collect();
            figure(&drawn)
        })
        .collect();
    found.sort_by(f64::total_cmp);
    let at = |place: usize| found.get(place).copied().unwrap_or(value);
    let (low, high) = (at(RESAMPLES / 40), at(RESAMPLES - 1 - RESAMPLES / 40));
    Estimate {
        value,
        low: (2.0 * value - high).clamp(0.0, value),
        high: (2.0 * value - low).max(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 5e-4, "{found} is not {expected}");
    }

    #[test]
    fn shares_have_the_intervals_of_wilson() {
        let found = Estimate::of(8, 10);
        near(found.value, 0.8);
        near(found.low, 0.4902);
        near(found.high, 0.9433);
        let none = Estimate::of(0, 100);
        near(none.low, 0.0);
        near(none.high, 0.0370);
        assert_eq!(Estimate::of(0, 0).high, 1.0);
    }

    #[test]
    fn the_area_counts_ordered_pairs_and_half_of_ties() {
        let outcomes = [true, true, false, false];
        near(area_under_curve(&[3, 2, 1, 0], &outcomes).value, 1.0);
        near(area_under_curve(&[3, 1, 1, 0], &outcomes).value, 0.875);
        near(area_under_curve(&[1, 1, 1, 1], &outcomes).value, 0.5);
    }

    #[test]
    fn the_interval_of_the_area_is_that_of_delong() {
        // Worked by hand: V10 = 1, 2/3, 1/3 and V01 = 1, 2/3, 1/3, so the area is 2/3 and its variance 2 (1/9) / 3.
        let found = area_under_curve(&[6, 4, 2, 5, 3, 1], &[true, true, true, false, false, false]);
        near(found.value, 2.0 / 3.0);
        near(found.low, 2.0 / 3.0 - Z * libm::sqrt(2.0 / 27.0));
        near(found.high, 1.0);
    }

    #[test]
    fn the_calibration_error_is_the_gap_between_claimed_and_observed() {
        let probabilities = [0.9, 0.9, 0.9, 0.9, 0.1, 0.1];
        let outcomes = [true, true, false, false, false, false];
        let rows = [0, 1, 2, 3, 4, 5];
        near(
            calibration_error(&probabilities, &outcomes, &rows),
            (4.0 * 0.4 + 2.0 * 0.1) / 6.0,
        );
        near(
            brier(&probabilities, &outcomes, &rows),
            (2.0 * 0.01 + 2.0 * 0.81 + 2.0 * 0.01) / 6.0,
        );
    }

    #[test]
    fn a_bootstrap_of_a_mean_is_as_wide_as_its_standard_error_says() {
        let values: Vec<f64> = (0..1000).map(|i| f64::from(i % 2)).collect();
        let mean = |rows: &[usize]| rows.iter().filter_map(|row| values.get(*row)).sum::<f64>() / rows.len() as f64;
        let found = bootstrap(values.len(), 3, mean);
        let half = Z * 0.5 / libm::sqrt(1000.0);
        assert!((found.high - found.low - 2.0 * half).abs() < 0.5 * half, "{found:?}");
        assert_eq!(found, bootstrap(values.len(), 3, mean), "the seed decides");
    }
}

//! How good a risk model is on declarations of a later time.

use std::collections::BTreeMap;
use std::time::Instant;

use portcullis_detectors::risk::{RiskModel, Score};
use serde::Serialize;

use super::measures::{Interval, area_under_curve, bootstrap, brier, calibration_error};
use super::records::Record;
use super::train::{TrainError, TrainOptions, train, train_with};
use crate::Estimate;

/// The shares of all declarations that are reviewed, in percent.
const REVIEWED: [usize; 4] = [1, 2, 5, 10];

/// How good a model is. Figures by share of declarations reviewed have the percentage as key: "1", "2", "5", "10".
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RiskReport {
    /// Chance that a fraud ranks above a declaration without fraud.
    pub auc: f64,
    /// Its 95 % interval.
    pub auc_interval: Interval,
    /// Share of frauds among the declarations reviewed.
    pub precision_at: BTreeMap<String, Estimate>,
    /// Share of all frauds that is among the declarations reviewed.
    pub recall_at: BTreeMap<String, Estimate>,
    /// Mean squared error of the probabilities.
    pub brier: Estimate,
    /// Expected calibration error in ten bins of equal width.
    pub ece: Estimate,
    /// The same ranking, asked for critical fraud.
    pub critical: CriticalReport,
    /// Seconds that learning took.
    pub fit_s: f64,
    /// Microseconds that scoring one declaration took, on one core.
    pub score_us_per_row: f64,
}

/// How well the ranking finds critical fraud.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CriticalReport {
    /// Share of all critical frauds that is among the declarations reviewed.
    pub recall_at: BTreeMap<String, Estimate>,
}

/// Learns from `records`, and measures on `test`, which is of a later time and is used for nothing else. With `valid`, the
/// number of trees and the calibration are chosen on it; without, on the later part of `records`.
///
/// All figures but the two times are the same for the same data, options and seed.
pub fn evaluate(
    records: &[Record],
    test: &[Record],
    valid: Option<&[Record]>,
    options: &TrainOptions,
    progress: &dyn Fn(u64, u64),
) -> Result<RiskReport, TrainError> {
    let begin = Instant::now();
    let model = match valid {
        Some(valid) => train_with(records, valid, options, progress)?,
        None => train(records, options, progress)?,
    };
    let fit_s = begin.elapsed().as_secs_f64();
    Ok(measure(&model, test, fit_s, options.seed))
}

/// A declaration with its score.
type Ranked<'a> = (i32, &'a Record);

/// Measures a model on declarations that it has not seen. `fit_s` is handed on; `seed` decides the resamples.
pub fn measure(model: &RiskModel, test: &[Record], fit_s: f64, seed: u64) -> RiskReport {
    let begin = Instant::now();
    let scored: Vec<Score> = test.iter().map(|record| model.score(&record.item)).collect();
    let score_us_per_row = begin.elapsed().as_secs_f64() * 1e6 / test.len().max(1) as f64;
    let scores: Vec<i32> = scored.iter().map(|score| score.total).collect();
    let probabilities: Vec<f64> = scored
        .iter()
        .map(|score| f64::from(score.probability_ppm()) / 1e6)
        .collect();
    let frauds: Vec<bool> = test.iter().map(|record| record.fraud).collect();
    let area = area_under_curve(&scores, &frauds);
    let mut order: Vec<Ranked<'_>> = scores.iter().copied().zip(test).collect();
    // The riskiest first; equals stay in the order of time.
    order.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    let at = |figure: &dyn Fn(&[Ranked<'_>]) -> Estimate| {
        REVIEWED
            .iter()
            .map(|percent| {
                let reviewed = (order.len() * percent).div_ceil(100);
                (percent.to_string(), figure(order.get(..reviewed).unwrap_or_default()))
            })
            .collect::<BTreeMap<_, _>>()
    };
    let fraud_count = frauds.iter().filter(|fraud| **fraud).count();
    let critical_count = test.iter().filter(|record| record.critical).count();
    let share = |hits: usize, all: usize| Estimate::of(hits as u64, all as u64);
    let hits = |top: &[Ranked<'_>]| top.iter().filter(|(_, record)| record.fraud).count();
    let criticals = |top: &[Ranked<'_>]| top.iter().filter(|(_, record)| record.critical).count();
    RiskReport {
        auc: area.value,
        auc_interval: Interval {
            low: area.low,
            high: area.high,
        },
        precision_at: at(&|top| share(hits(top), top.len())),
        recall_at: at(&|top| share(hits(top), fraud_count)),
        brier: bootstrap(test.len(), seed, |rows| brier(&probabilities, &frauds, rows)),
        ece: bootstrap(test.len(), seed, |rows| {
            calibration_error(&probabilities, &frauds, rows)
        }),
        critical: CriticalReport {
            recall_at: at(&|top| share(criticals(top), critical_count)),
        },
        fit_s,
        score_us_per_row,
    }
}

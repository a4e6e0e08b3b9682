//! The figures that the system was founded on, and what this policy does at the same needless rates.

use serde::Serialize;

use super::measure::Judged;
use super::ranking::{missed_at, steps};

/// A published figure beside the policy's, at the same needless rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Founding {
    /// What it is about.
    pub what: &'static str,
    /// Share of innocent containers that are held.
    pub needless: f64,
    /// Share of threats that are missed, as published.
    pub missed: f64,
    /// Share of threats that this policy's highest score would miss if it held as many.
    pub missed_here: f64,
}

/// Manual selection detects 75 % at 20 to 30 % of containers held; the system was founded to detect 95 % at 10 %.
const FIGURES: [(&str, f64, f64); 3] = [
    ("manual selection, lower end", 0.20, 0.25),
    ("manual selection, upper end", 0.30, 0.25),
    ("founding target", 0.10, 0.05),
];

pub(super) fn figures(judged: &[Judged]) -> Vec<Founding> {
    let steps = steps(
        judged
            .iter()
            .map(|one| (f64::from(one.score), one.content.is_some(), one.weight)),
    );
    FIGURES
        .into_iter()
        .map(|(what, needless, missed)| Founding {
            what,
            needless,
            missed,
            missed_here: missed_at(&steps, needless),
        })
        .collect()
}

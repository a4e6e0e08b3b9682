//! How well a score ranks and how honest its probability is, on weighted samples.

use super::measure::Judged;
use crate::estimate::{Estimate, Z};

/// Groups for the calibration error, each with the same number of containers.
const GROUPS: usize = 20;

/// Containers by score, the highest first, grouped where scores are equal: score, weight of threats, weight of innocents.
pub(super) fn steps(scores: impl Iterator<Item = (f64, bool, f64)>) -> Vec<(f64, f64, f64)> {
    let mut all: Vec<(f64, bool, f64)> = scores.collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    all.chunk_by(|a, b| a.0 == b.0)
        .map(|tied| {
            let sum = |threat: bool| tied.iter().filter(|one| one.1 == threat).map(|one| one.2).sum();
            (tied.first().map_or(0.0, |one| one.0), sum(true), sum(false))
        })
        .collect()
}

/// Area under the curve of detection over false positives, ties counted half. Interval after Hanley and McNeil (1982), with
/// as many threats and innocent containers as the weighted ones are worth.
pub(super) fn auc(judged: &[Judged]) -> Estimate {
    let steps = steps(
        judged
            .iter()
            .map(|one| (f64::from(one.score), one.content.is_some(), one.weight)),
    );
    let innocent: f64 = steps.iter().map(|step| step.2).sum();
    let threats: f64 = steps.iter().map(|step| step.1).sum();
    let mut below = innocent;
    let mut area = 0.0;
    for (_, caught, needless) in &steps {
        below -= needless;
        area += caught * (below + needless / 2.0);
    }
    if threats <= 0.0 || innocent <= 0.0 {
        return Estimate {
            value: 0.5,
            low: 0.0,
            high: 1.0,
        };
    }
    let a = area / (threats * innocent);
    let worth = |threat: bool| {
        let of_it = || {
            judged
                .iter()
                .filter(move |one| one.content.is_some() == threat)
                .map(|one| one.weight)
        };
        let sum: f64 = of_it().sum();
        sum * sum / of_it().map(|weight| weight * weight).sum::<f64>()
    };
    let (n, m) = (worth(true), worth(false));
    let (q1, q2) = (a / (2.0 - a), 2.0 * a * a / (1.0 + a));
    let variance = (a * (1.0 - a) + (n - 1.0) * (q1 - a * a) + (m - 1.0) * (q2 - a * a)) / (n * m);
    let half = Z * libm::sqrt(variance.max(0.0));
    Estimate {
        value: a,
        low: (a - half).max(0.0),
        high: (a + half).min(1.0),
    }
}

/// Expected calibration error: mean distance of claimed probability and frequency of threats, over groups of containers
/// with similar probability, weighted by how many containers of the world they stand for.
pub(super) fn ece(judged: &[Judged]) -> f64 {
    let mut order: Vec<&Judged> = judged.iter().collect();
    order.sort_by_key(|one| (one.ppm, one.score));
    let all: f64 = order.iter().map(|one| one.weight).sum();
    let apart: f64 = order
        .chunks(order.len().div_ceil(GROUPS).max(1))
        .map(|group| {
            let claimed: f64 = group
                .iter()
                .map(|one| one.weight * f64::from(one.ppm) / 1_000_000.0)
                .sum();
            let found: f64 = group
                .iter()
                .filter(|one| one.content.is_some())
                .map(|one| one.weight)
                .sum();
            (claimed - found).abs()
        })
        .sum();
    if all > 0.0 { apart / all } else { 0.0 }
}

/// Share of threats missed if so many innocent containers were held, by score alone.
pub(super) fn missed_at(steps: &[(f64, f64, f64)], needless: f64) -> f64 {
    let innocent: f64 = steps.iter().map(|step| step.2).sum();
    let threats: f64 = steps.iter().map(|step| step.1).sum();
    let mut left = needless * innocent;
    let mut caught = 0.0;
    for (_, threat, harmless) in steps {
        if *harmless > left {
            // Of containers with the same score, as many as still fit.
            caught += threat * left / harmless;
            break;
        }
        left -= harmless;
        caught += threat;
    }
    if threats > 0.0 { 1.0 - caught / threats } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misses_follow_the_curve_of_the_score() {
        let scores = (0..10).map(|i| (f64::from(i), i >= 5, 1.0));
        let all = steps(scores.clone());
        assert_eq!(missed_at(&all, 0.0), 0.0);
        let turned = steps(scores.map(|(score, threat, weight)| (-score, threat, weight)));
        assert_eq!(missed_at(&turned, 0.9), 1.0);
        // All alike: half of the innocent ones held catches half of the threats.
        let alike = steps((0..10).map(|i| (0.0, i % 2 == 0, 1.0)));
        assert!((missed_at(&alike, 0.5) - 0.5).abs() < 1e-12);
    }
}

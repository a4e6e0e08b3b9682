//! Whether the containers are still those that the policy was calibrated for: Page's test on what needs no truth.
//!
//! Most containers are innocent, so the mean of the highest score is theirs. Five charts watch it rise and fall, and the
//! shares of containers rise that are held though they could be seen, that are examined, and that could not be seen. Each
//! chart sums log-likelihood ratios of "drifted" against "as calibrated", never below 0, and alarms at h. Its mean time
//! between false alarms is at least e^h containers (Lorden 1971), so h = ln(charts x the time that is wanted for all of
//! them together).

use portcullis_domain::policy::{Policy, Tier};
use serde::Serialize;

use super::fusion::{at_natural_rates, lane};
use super::measure::Judged;
use crate::world::World;

/// Mean containers between false alarms of all charts together: about a day of the busiest port on Earth.
const FALSE_ALARM_EVERY: f64 = 100_000.0;
/// A shift of the mean score that matters, in standard deviations.
const SHIFT: f64 = 0.25;
/// A factor of shares that matters.
const FACTOR: f64 = 1.5;
/// Scores further out count as this far: a few threats must not look like drift.
const CLIP: f64 = 3.0;
const CHARTS: [&str; 5] = ["score rises", "score falls", "held", "examined", "unseen"];

/// Whether and when drift was noticed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drift {
    /// Containers after which the first chart alarmed, if any did.
    pub alarm_after: Option<u64>,
    /// Which chart.
    pub alarm_by: Option<&'static str>,
    /// Containers that were watched at most.
    pub watched: u64,
    /// Stated: one false alarm in so many containers at most, on average.
    pub false_alarm_every: u64,
    /// Counted: false alarms in as many further containers of the world that the charts were calibrated in.
    pub false_alarms: u64,
}

/// Watches a world's containers as they come, after calibrating the charts on those of the world `still`.
pub(super) fn watch(world: &World, still: &World, policy: &Policy, containers: u64, seed: u64) -> Drift {
    let draw = |world: &World, seed: u64| -> Vec<Judged> { at_natural_rates(world, policy, containers, seed) };
    let mut charts = Charts::calibrate(&draw(still, seed));
    let mut false_alarms = 0;
    for one in draw(still, seed.wrapping_add(1)) {
        if charts.alarm(&one).is_some() {
            false_alarms += 1;
            charts.sums = [0.0; 5];
        }
    }
    charts.sums = [0.0; 5];
    let alarm = lane(world, policy, seed.wrapping_add(2))
        .zip(1..=containers)
        .find_map(|(one, count)| Some((charts.alarm(&one)?, count)));
    Drift {
        alarm_after: alarm.map(|(_, count)| count),
        alarm_by: alarm.map(|(name, _)| name),
        watched: containers,
        false_alarm_every: FALSE_ALARM_EVERY as u64,
        false_alarms,
    }
}

struct Charts {
    /// Median and half the width of the middle 68 %: what scores are measured in before they are clipped.
    middle: f64,
    width: f64,
    /// Mean and deviation after clipping.
    mean: f64,
    deviation: f64,
    /// Shares of held, examined and unseen containers.
    shares: [f64; 3],
    sums: [f64; 5],
}

impl Charts {
    fn calibrate(reference: &[Judged]) -> Self {
        let mut scores: Vec<f64> = reference.iter().map(|one| f64::from(one.score)).collect();
        scores.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let index = (share * scores.len() as f64) as usize;
            scores.get(index).copied().unwrap_or(0.0)
        };
        let mut charts = Self {
            middle: at(0.5),
            width: ((at(0.84) - at(0.16)) / 2.0).max(1.0),
            mean: 0.0,
            deviation: 1.0,
            shares: [0.0; 3],
            sums: [0.0; 5],
        };
        let n = (reference.len() as f64).max(1.0);
        let clipped: Vec<f64> = reference.iter().map(|one| charts.clipped(one)).collect();
        charts.mean = clipped.iter().sum::<f64>() / n;
        let square = clipped
            .iter()
            .map(|u| (u - charts.mean) * (u - charts.mean))
            .sum::<f64>()
            / n;
        charts.deviation = libm::sqrt(square).max(1e-6);
        // Laplace's rule keeps a share that was never seen above 0.
        let share =
            |hit: fn(&Judged) -> bool| (reference.iter().filter(|one| hit(one)).count() as f64 + 1.0) / (n + 2.0);
        charts.shares = EVENTS.map(share);
        charts
    }

    fn clipped(&self, one: &Judged) -> f64 {
        ((f64::from(one.score) - self.middle) / self.width).clamp(-CLIP, CLIP)
    }

    /// Takes one container; the name of the chart that alarms.
    fn alarm(&mut self, one: &Judged) -> Option<&'static str> {
        let u = (self.clipped(one) - self.mean) / self.deviation;
        let shift = |u: f64| SHIFT * u - SHIFT * SHIFT / 2.0;
        let [held, examined, unseen] = EVENTS.map(|hit| hit(one));
        let [p_held, p_examined, p_unseen] = self.shares;
        let steps = [
            shift(u),
            shift(-u),
            ratio(held, p_held),
            ratio(examined, p_examined),
            ratio(unseen, p_unseen),
        ];
        let limit = libm::log(FALSE_ALARM_EVERY * CHARTS.len() as f64);
        for (sum, step) in self.sums.iter_mut().zip(steps) {
            *sum = (*sum + step).max(0.0);
        }
        CHARTS
            .into_iter()
            .zip(self.sums)
            .find(|(_, sum)| *sum >= limit)
            .map(|(name, _)| name)
    }
}

/// What each chart of a share counts; a container that could not be seen shows in its own chart alone.
const EVENTS: [fn(&Judged) -> bool; 3] = [
    |one| one.tier != Tier::Release && !one.unseen,
    |one| one.tier == Tier::Exam,
    |one| one.unseen,
];

/// ln of the likelihood ratio of one container, for a share that has grown by [`FACTOR`], half-way to 1 at most.
fn ratio(hit: bool, share: f64) -> f64 {
    let grown = (share * FACTOR).min((1.0 + share) / 2.0);
    if hit {
        libm::log(grown / share)
    } else {
        libm::log((1.0 - grown) / (1.0 - share))
    }
}

//! What one policy did with all containers.

use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::fusion::Verdict;
use portcullis_domain::policy::{Policy, Tier};
use serde::Serialize;

use super::ranking::{auc, ece};
use crate::estimate::{Estimate, Share, Tally};
use crate::policy::{Claims, highest};

/// What is kept of one verdict.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judged {
    pub(super) content: Option<ThreatFamily>,
    pub(super) weight: f64,
    pub(super) tier: Tier,
    /// The highest score, milli-decibans.
    pub(super) score: i32,
    /// What the policy's table makes of it, millionths.
    pub(super) ppm: u32,
    pub(super) minutes: f64,
    pub(super) stopped: bool,
    /// Something required was not there, could not see, or was too old, though the pass was not cut short.
    pub(super) unseen: bool,
}

impl Judged {
    pub(super) fn new(
        content: Option<ThreatFamily>,
        weight: f64,
        verdict: &Verdict,
        policy: &Policy,
        minutes: f64,
    ) -> Self {
        let score = highest(&verdict.scores);
        Self {
            content,
            weight,
            tier: verdict.tier,
            score,
            ppm: policy.probability_ppm(score),
            minutes,
            stopped: verdict.stopped,
            unseen: verdict.unseen(),
        }
    }
}

/// Lane time of a container, minutes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LaneMinutes {
    /// On average.
    pub mean: f64,
    /// 95 of 100 take at most so long.
    pub p95: f64,
}

/// What one policy did; every share has a 95 % interval.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measure {
    /// Threats that were released, of all threats.
    pub missed: Estimate,
    /// Innocent containers that were reviewed, of all innocent ones; those that could not be seen are among them.
    pub needless_review: Estimate,
    /// Innocent containers that were examined, of all innocent ones.
    pub needless_exam: Estimate,
    /// `missed` as the policy claims it.
    pub claimed_missed: Estimate,
    /// `needless_review` and `needless_exam` together as the policy claims them.
    pub claimed_needless: Estimate,
    /// Innocent containers held because something required was not there or could not see, of all innocent ones: a part of
    /// the needless ones that no threshold changes.
    pub unseen: Estimate,
    /// Area under the curve of the highest score.
    pub auc: Estimate,
    /// Expected calibration error of the probability of a threat.
    pub ece: f64,
    /// Time in the lane.
    pub lane_minutes: LaneMinutes,
    /// Containers whose pass was stopped early, of all.
    pub stopped_early: Estimate,
    /// Threats among the containers held.
    pub ppv: Estimate,
}

/// Without claims from its calibration, a policy claims what its table says of these containers.
pub(super) fn measure(judged: &[Judged], claims: Option<&Claims>) -> Measure {
    let mut tally = Tally::default();
    let (mut unseen, mut stopped) = (Share::default(), Share::default());
    for one in judged {
        tally.add(one.content, one.weight, one.tier);
        stopped.add(one.stopped, one.weight);
        if one.content.is_none() {
            unseen.add(one.unseen, one.weight);
        }
    }
    let (claimed_missed, claimed_needless) = match claims {
        Some(claims) => (claims.missed, sum(claims.needless_review, claims.needless_exam)),
        None => by_table(judged),
    };
    Measure {
        missed: tally.missed.estimate(),
        needless_review: tally.needless_review.estimate(),
        needless_exam: tally.needless_exam.estimate(),
        claimed_missed,
        claimed_needless,
        unseen: unseen.estimate(),
        auc: auc(judged),
        ece: ece(judged),
        lane_minutes: lane_minutes(judged),
        stopped_early: stopped.estimate(),
        ppv: tally.ppv.estimate(),
    }
}

/// Rates of exclusive events. Their errors are nearly independent, so half-widths add in squares.
pub(super) fn sum(a: Estimate, b: Estimate) -> Estimate {
    let value = a.value + b.value;
    let root = |x: f64, y: f64| libm::sqrt(x * x + y * y);
    Estimate {
        value,
        low: (value - root(a.value - a.low, b.value - b.low)).max(0.0),
        high: (value + root(a.high - a.value, b.high - b.value)).min(1.0),
    }
}

/// Expected shares by the table's probabilities, without a look at the truth.
fn by_table(judged: &[Judged]) -> (Estimate, Estimate) {
    let (mut missed, mut needless) = (Share::default(), Share::default());
    for one in judged {
        let p = f64::from(one.ppm) / 1_000_000.0;
        missed.add(one.tier == Tier::Release, one.weight * p);
        needless.add(one.tier != Tier::Release, one.weight * (1.0 - p));
    }
    (missed.estimate(), needless.estimate())
}

fn lane_minutes(judged: &[Judged]) -> LaneMinutes {
    let mut order: Vec<&Judged> = judged.iter().collect();
    order.sort_by(|a, b| a.minutes.total_cmp(&b.minutes));
    let all: f64 = order.iter().map(|one| one.weight).sum();
    let mean = order.iter().map(|one| one.weight * one.minutes).sum::<f64>() / all.max(f64::MIN_POSITIVE);
    let mut so_far = 0.0;
    let p95 = order
        .iter()
        .find(|one| {
            so_far += one.weight;
            so_far >= 0.95 * all
        })
        .map_or(0.0, |one| one.minutes);
    LaneMinutes { mean, p95 }
}

//! When enough is known to stop a pass: the least margins that change almost nothing.

use portcullis_domain::policy::{Policy, Tier};

use super::Labelled;
use super::scoring::{judge, never};
use crate::estimate::Share;

/// Margins are sought in steps of half a deciban, up to 50 decibans; beyond, the pass is not stopped.
const STEP: i32 = 500;
const STEPS: i32 = 100;

/// Sets the stopping rule: for release the least margin that misses at most so many more threats (a share of them) than
/// whole passes do, for exam the least that examines at most so many more innocent containers (a share of them).
pub(super) fn set(policy: &mut Policy, samples: &[&Labelled], more_missed: f64, more_examined: f64) {
    policy.stopping = never();
    let missed = |policy: &Policy| {
        rate(
            policy,
            samples,
            |sample| sample.content.is_some(),
            |tier| tier == Tier::Release,
        )
    };
    let examined = |policy: &Policy| {
        rate(
            policy,
            samples,
            |sample| sample.content.is_none(),
            |tier| tier == Tier::Exam,
        )
    };
    let (most_missed, most_examined) = (missed(policy) + more_missed, examined(policy) + more_examined);
    let release_margin = least(|margin| {
        let mut tried = policy.clone();
        tried.stopping.release_margin = margin;
        missed(&tried) <= most_missed
    });
    let exam_margin = least(|margin| {
        let mut tried = policy.clone();
        tried.stopping.exam_margin = margin;
        examined(&tried) <= most_examined
    });
    policy.stopping.release_margin = release_margin;
    policy.stopping.exam_margin = exam_margin;
}

fn rate(policy: &Policy, samples: &[&Labelled], about: impl Fn(&Labelled) -> bool, hit: impl Fn(Tier) -> bool) -> f64 {
    let mut share = Share::default();
    for sample in samples.iter().filter(|sample| about(sample)) {
        share.add(hit(judge(policy, sample).tier), sample.weight);
    }
    share.value()
}

/// The least margin that is good enough, by bisection: a wider margin stops fewer passes.
fn least(good: impl Fn(i32) -> bool) -> i32 {
    if !good(STEP * STEPS) {
        return never().release_margin;
    }
    let (mut low, mut high) = (-1, STEPS);
    while high - low > 1 {
        let middle = low.midpoint(high);
        if good(STEP * middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    STEP * high
}

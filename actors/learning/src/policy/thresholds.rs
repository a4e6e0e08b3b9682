//! Thresholds that catch the most for a budget of needless holds.
//!
//! A container is held when any family's score reaches its threshold, so the thresholds share one budget. They are lowered
//! in small steps, each time the one that catches the most threats for the innocent containers it holds, until the budget is
//! spent. What holds no further innocent container is always taken. So families whose scores rise and fall together (their
//! sensors do not tell them apart) end at the same height above their priors, and a family that no sensor sees gets none of
//! the budget.

use std::collections::BTreeSet;

use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::policy::{ODDS_LIMIT, Tier};

use super::scoring::Scored;

/// One step is so much of the innocent containers.
const STEP: f64 = 0.000_5;

/// Thresholds of each family, milli-decibans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Thresholds {
    pub(super) review: [i32; 6],
    pub(super) exam: [i32; 6],
}

/// Spends `exam` of the innocent containers on exams, and `review` more on reviews; what requirements and findings hold
/// counts too. The thresholds of `kept` families stand already and are not lowered; what they hold is among the tiers of
/// the samples, and their places in the result mean nothing.
pub(super) fn spend(
    scored: &[Scored],
    review: f64,
    exam: f64,
    harm: &[f64; 6],
    kept: &BTreeSet<ThreatFamily>,
) -> Thresholds {
    let mut spending = Spending::new(scored, harm, kept);
    spending.hold(Tier::Exam);
    spending.until(exam);
    let exam_thresholds = spending.thresholds();
    spending.hold(Tier::Review);
    spending.until(review + exam);
    Thresholds {
        review: spending.thresholds(),
        exam: exam_thresholds,
    }
}

/// Scores of one family, the highest first, and how far down its threshold is.
struct Ladder {
    family: ThreatFamily,
    /// Positions in the samples.
    order: Vec<usize>,
    /// How many of them reach the threshold.
    reached: usize,
}

struct Spending<'a> {
    scored: &'a [Scored],
    harm: &'a [f64; 6],
    held: Vec<bool>,
    ladders: Vec<Ladder>,
    innocent: f64,
    /// Weight of innocent containers held.
    spent: f64,
}

/// What lowering a threshold would bring.
#[derive(Debug, Clone, Copy)]
struct Offer {
    ladder: usize,
    reached: usize,
    cost: f64,
    gain: f64,
}

impl<'a> Spending<'a> {
    fn new(scored: &'a [Scored], harm: &'a [f64; 6], kept: &BTreeSet<ThreatFamily>) -> Self {
        let ladders = ThreatFamily::ALL
            .into_iter()
            .filter(|family| !kept.contains(family))
            .map(|family| {
                let mut order: Vec<usize> = (0..scored.len()).collect();
                let score = |index: &usize| scored.get(*index).map_or(0, |one| one.scores.of(family));
                order.sort_by_key(|index| std::cmp::Reverse(score(index)));
                Ladder {
                    family,
                    order,
                    reached: 0,
                }
            })
            .collect();
        Self {
            scored,
            harm,
            held: vec![false; scored.len()],
            ladders,
            innocent: scored
                .iter()
                .filter(|one| one.content.is_none())
                .map(|one| one.weight)
                .sum(),
            spent: 0.0,
        }
    }

    /// Holds what is held whatever the scores are.
    fn hold(&mut self, tier: Tier) {
        for (one, held) in self.scored.iter().zip(&mut self.held) {
            if one.least >= tier && !*held {
                *held = true;
                self.spent += if one.content.is_none() { one.weight } else { 0.0 };
            }
        }
    }

    /// Lowers thresholds until this share of innocent containers is held.
    fn until(&mut self, share: f64) {
        let budget = share * self.innocent;
        loop {
            let left = (budget - self.spent).max(0.0);
            let best = (0..self.ladders.len())
                .filter_map(|ladder| self.offer(ladder, left))
                .max_by(|a, b| worth(a).total_cmp(&worth(b)));
            let Some(best) = best else { return };
            self.take(best);
        }
    }

    /// The next step of one family that fits into what is left.
    fn offer(&self, ladder: usize, left: f64) -> Option<Offer> {
        let Ladder { family, order, reached } = self.ladders.get(ladder)?;
        let mut offer = Offer {
            ladder,
            reached: *reached,
            cost: 0.0,
            gain: 0.0,
        };
        let rest = order.get(*reached..)?;
        // Containers with the same score can only be held together.
        let score = |index: &usize| self.scored.get(*index).map_or(0, |one| one.scores.of(*family));
        for tied in rest.chunk_by(|a, b| score(a) == score(b)) {
            let (mut cost, mut gain) = (0.0, 0.0);
            for index in tied {
                if self.held.get(*index) == Some(&true) {
                    continue;
                }
                let Some(one) = self.scored.get(*index) else { continue };
                match one.content {
                    None => cost += one.weight,
                    Some(content) => gain += one.weight * self.harm.get(content.index()).copied().unwrap_or(1.0),
                }
            }
            // A step goes on until it has caught something, or the next threat behind many innocent containers is not found.
            // What is free is a step of its own: it is taken even if nothing that costs follows.
            let far_enough = offer.cost >= STEP * self.innocent && offer.gain > 0.0;
            let free = offer.cost == 0.0 && offer.reached > *reached;
            if cost > 0.0 && (far_enough || free || offer.cost + cost > left) {
                break;
            }
            offer.reached += tied.len();
            offer.cost += cost;
            offer.gain += gain;
        }
        // A step that only costs is no offer; the budget is a limit and no goal.
        (offer.reached > *reached && (offer.gain > 0.0 || offer.cost == 0.0)).then_some(offer)
    }

    fn take(&mut self, offer: Offer) {
        let Some(ladder) = self.ladders.get_mut(offer.ladder) else {
            return;
        };
        for index in ladder.order.get(ladder.reached..offer.reached).unwrap_or(&[]) {
            if let Some(held) = self.held.get_mut(*index) {
                *held = true;
            }
        }
        ladder.reached = offer.reached;
        self.spent += offer.cost;
    }

    /// Half-way between the last score that reaches and the first that does not.
    fn thresholds(&self) -> [i32; 6] {
        let mut thresholds = [0; 6];
        for ladder in &self.ladders {
            let score = |at: usize| {
                let index = ladder.order.get(at)?;
                self.scored
                    .get(*index)
                    .map(|one| i64::from(one.scores.of(ladder.family)))
            };
            let below = score(ladder.reached);
            let above = ladder.reached.checked_sub(1).and_then(score);
            let between = match (above, below) {
                (Some(above), Some(below)) => below + (above - below + 1) / 2,
                (Some(above), None) => above,
                (None, Some(below)) => below + 1,
                (None, None) => i64::from(ODDS_LIMIT),
            };
            let limit = i64::from(ODDS_LIMIT);
            if let Some(slot) = thresholds.get_mut(ladder.family.index()) {
                *slot = i32::try_from(between.clamp(-limit, limit)).unwrap_or(i32::MAX);
            }
        }
        thresholds
    }
}

/// Threats caught for each innocent container held; what is free comes first.
fn worth(offer: &Offer) -> f64 {
    if offer.cost > 0.0 {
        offer.gain / offer.cost
    } else {
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_domain::evidence::Weights;

    fn one(content: Option<ThreatFamily>, narcotics: i32, nuclear: i32) -> Scored {
        let scores = Weights::ZERO
            .with(ThreatFamily::Narcotics, narcotics)
            .with(ThreatFamily::Nuclear, nuclear);
        Scored {
            content,
            weight: 1.0,
            scores,
            least: Tier::Release,
        }
    }

    #[test]
    fn the_budget_goes_to_the_family_whose_scores_tell_threats_apart() {
        let mut scored: Vec<Scored> = (0..1000).map(|i| one(None, i, (i * 7) % 1000)).collect();
        // Narcotics stand out; what nuclear material scores means nothing.
        scored.extend((0..100).map(|i| one(Some(ThreatFamily::Narcotics), 900 + i, i * 10)));
        let thresholds = spend(&scored, 0.08, 0.02, &[1.0; 6], &BTreeSet::new());
        let held = |threshold: [i32; 6]| {
            scored
                .iter()
                .filter(|one| one.content.is_none())
                .filter(|one| one.scores.0.iter().zip(threshold).any(|(score, t)| *score >= t))
                .count()
        };
        assert!((90..=100).contains(&held(thresholds.review)), "{thresholds:?}");
        assert!((15..=20).contains(&held(thresholds.exam)), "{thresholds:?}");
        assert!((900..=912).contains(&thresholds.review[0]), "{thresholds:?}");
        // A family whose score never changes is never held.
        assert_eq!(thresholds.review[1], 1);
    }

    #[test]
    fn families_that_sensors_do_not_tell_apart_end_at_the_same_height() {
        let mut scored: Vec<Scored> = (0..1000).map(|i| one(None, i, i - 5000)).collect();
        scored.extend((0..100).map(|i| one(Some(ThreatFamily::Narcotics), 800 + 5 * i, 800 + 5 * i - 5000)));
        let thresholds = spend(&scored, 0.10, 0.02, &[1.0; 6], &BTreeSet::new());
        assert_eq!(thresholds.review[0], thresholds.review[2] + 5000);
        assert_eq!(thresholds.exam[0], thresholds.exam[2] + 5000);
        assert!(thresholds.review[0] < thresholds.exam[0]);
    }

    #[test]
    fn what_must_be_held_anyway_is_paid_from_the_budget() {
        let mut scored: Vec<Scored> = (0..1000).map(|i| one(None, i, 0)).collect();
        scored.extend((0..100).map(|i| one(Some(ThreatFamily::Narcotics), 500 + 5 * i, 0)));
        let free = spend(&scored, 0.10, 0.0, &[1.0; 6], &BTreeSet::new());
        for held in scored.iter_mut().take(60) {
            held.least = Tier::Review;
        }
        let paid = spend(&scored, 0.10, 0.0, &[1.0; 6], &BTreeSet::new());
        assert_eq!(paid.review[0] - free.review[0], 60);
    }
}

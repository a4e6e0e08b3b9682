//! What a score is worth as probability of its own family, for people; decides nothing.
//!
//! The calibration table speaks of the highest score and of a threat of any family: that is what can be counted often
//! enough. Scores are odds, so the families share that probability in proportion to the odds that their scores stand for.

use crate::evidence::{ThreatFamily, Weights};
use crate::policy::Policy;

/// 10^(-n / 10) in millionths for n from 0 to 10: decibels to ratios.
const RATIOS: [u64; 11] = [
    1_000_000, 794_328, 630_957, 501_187, 398_107, 316_228, 251_189, 199_526, 158_489, 125_893, 100_000,
];

/// Probability of a family in millionths, given the scores of all families in milli-decibans.
pub(super) fn of_family(policy: &Policy, scores: &Weights, family: ThreatFamily) -> u32 {
    let highest = scores.0.into_iter().max().unwrap_or(0);
    let parts = scores.0.map(|score| ratio(i64::from(highest) - i64::from(score)));
    let all: u64 = parts.iter().sum();
    let own = ratio(i64::from(highest) - i64::from(scores.of(family)));
    let any = u64::from(policy.probability_ppm(highest));
    // At least the highest is in the sum, so it is not 0.
    u32::try_from(any * own / all.max(1)).unwrap_or(0)
}

/// 10^(-below / 10,000) in millionths: linear between whole decibels, which is off by less than 1 %.
fn ratio(below: i64) -> u64 {
    let below = below.unsigned_abs();
    let tens = u32::try_from(below / 10_000).unwrap_or(u32::MAX);
    let rest = below % 10_000;
    let (at, within) = ((rest / 1_000) as usize, rest % 1_000);
    let (upper, lower) = (RATIOS[at], RATIOS[at + 1]);
    let ratio = upper - (upper - lower) * within / 1_000;
    ratio
        .checked_div(10_u64.checked_pow(tens).unwrap_or(u64::MAX))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::CalibrationPoint;

    fn policy() -> Policy {
        let point = |score, ppm| CalibrationPoint { score, ppm };
        Policy {
            calibration: vec![point(-40_000, 100), point(-10_000, 200_000), point(10_000, 900_000)],
            ..Policy::first()
        }
    }

    #[test]
    fn families_share_the_probability_of_any_threat_by_their_odds() {
        let mut scores = Weights([-30_000; 6]).with(ThreatFamily::People, -10_000);
        let chances = |scores: &Weights| ThreatFamily::ALL.map(|family| of_family(&policy(), scores, family));
        // Five families of a hundredth of the odds each: 1 / 1.05 and 0.01 / 1.05 of 0.2.
        let found = chances(&scores);
        assert_eq!(found[ThreatFamily::People.index()], 190_476);
        assert_eq!(found[ThreatFamily::Nuclear.index()], 1_904);
        let sum: u32 = found.iter().sum();
        assert!((199_990..=200_000).contains(&sum), "{sum}");
        // Two alike have half each.
        scores = scores.with(ThreatFamily::Weapons, -10_000);
        let found = chances(&scores);
        assert_eq!(
            found[ThreatFamily::People.index()],
            found[ThreatFamily::Weapons.index()]
        );
        assert!(
            (97_000..98_100).contains(&found[ThreatFamily::People.index()]),
            "{found:?}"
        );
    }

    #[test]
    fn ratios_are_those_of_decibels() {
        for (below, wanted) in [
            (0_i64, 1_000_000_u64),
            (3_010, 500_000),
            (10_000, 100_000),
            (25_500, 2_818),
            (60_000, 1),
        ] {
            let found = ratio(below);
            assert!(found.abs_diff(wanted) <= wanted / 100, "{below}: {found}");
        }
        assert_eq!((ratio(70_000), ratio(i64::MAX)), (0, 0));
    }

    #[test]
    fn without_a_table_nothing_is_claimed_and_wide_scores_do_no_harm() {
        let bare = Policy {
            calibration: Vec::new(),
            ..Policy::first()
        };
        assert_eq!(of_family(&bare, &Weights::ZERO, ThreatFamily::People), 0);
        let wide = Weights([i32::MIN, i32::MAX, 0, 0, 0, 0]);
        assert_eq!(of_family(&policy(), &wide, ThreatFamily::ALL[0]), 0);
        assert_eq!(of_family(&policy(), &wide, ThreatFamily::ALL[1]), 900_000);
    }
}

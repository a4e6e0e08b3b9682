//! From scores to odds that come true: a slope and an offset, fitted on later outcomes (Platt scaling).

/// Calibrated odds are `offset + slope * score`, all in natural-log odds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Calibration {
    pub(super) slope: f64,
    pub(super) offset: f64,
}

impl Calibration {
    /// Leaves scores as they are.
    pub(super) const NONE: Self = Self {
        slope: 1.0,
        offset: 0.0,
    };

    /// Fits slope and offset by Newton's method on the logistic loss; a little weight on the middle of the slope keeps it
    /// finite when the scores separate the outcomes.
    ///
    /// The slope stays between a quarter and two, so that more evidence never counts as less, and few outcomes do not make a
    /// certainty of a guess.
    pub(super) fn fit(scores: &[f64], outcomes: &[bool]) -> Self {
        let mut at = Self::NONE;
        for _ in 0..50 {
            let mut gradient = [at.slope - 1.0, 0.0];
            let mut curvature = [1.0, 0.0, 1e-6];
            for (score, outcome) in scores.iter().zip(outcomes) {
                let probability = 1.0 / (1.0 + libm::exp(-(at.offset + at.slope * score)));
                let error = probability - f64::from(u8::from(*outcome));
                let weight = probability * (1.0 - probability);
                gradient[0] += error * score;
                gradient[1] += error;
                curvature[0] += weight * score * score;
                curvature[1] += weight * score;
                curvature[2] += weight;
            }
            let determinant = curvature[0] * curvature[2] - curvature[1] * curvature[1];
            if determinant <= 0.0 {
                break;
            }
            let step = [
                (curvature[2] * gradient[0] - curvature[1] * gradient[1]) / determinant,
                (curvature[0] * gradient[1] - curvature[1] * gradient[0]) / determinant,
            ];
            at.slope = (at.slope - step[0]).clamp(0.25, 2.0);
            at.offset = (at.offset - step[1]).clamp(-20.0, 20.0);
            if step.iter().all(|step| step.abs() < 1e-10) {
                break;
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_that_claim_too_much_are_drawn_in() {
        // At a score of 2 and -2 three of four outcomes agree: odds of 3 instead of 7.4.
        let scores: Vec<f64> = (0..4000).map(|i| if i < 2000 { 2.0 } else { -2.0 }).collect();
        let outcomes: Vec<bool> = (0..4000).map(|i| (i < 2000) == (i % 4 != 0)).collect();
        let fitted = Calibration::fit(&scores, &outcomes);
        assert!((fitted.slope - libm::log(3.0) / 2.0).abs() < 0.001, "{fitted:?}");
        assert!(fitted.offset.abs() < 0.001, "{fitted:?}");
    }

    #[test]
    fn scores_that_separate_the_outcomes_stay_finite() {
        let scores = [-1.0, -1.0, 1.0, 1.0];
        let fitted = Calibration::fit(&scores, &[false, false, true, true]);
        assert!(fitted.slope <= 2.0 && fitted.offset.is_finite(), "{fitted:?}");
    }
}

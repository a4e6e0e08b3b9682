//! Boxes that one sensor cannot see, and two ways to keep book on them.

use super::normal::{cdf, tail};

/// What the sensor that could not see contributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// Nothing: a likelihood ratio of 1. Right.
    SaysNothing,
    /// What it would say of an average innocent box: -d'^2 / 2 nats. Wrong, and what reading "no alarm" as "clear" does.
    ReadAsClear,
}

/// Detection over all boxes at a common threshold on the log-likelihood ratio that gives `false_positive` over all boxes.
///
/// A share `hidden` of boxes, threat or not, hides from the sensor with `d_prime`; the others have d' `rest` for them,
/// independently. The threshold is found by bisection.
pub fn hidden_pd(d_prime: f64, rest: f64, hidden: f64, reading: Hidden, false_positive: f64) -> f64 {
    let joint = libm::sqrt(d_prime * d_prime + rest * rest);
    let shift = match reading {
        Hidden::SaysNothing => 0.0,
        Hidden::ReadAsClear => d_prime * d_prime / 2.0,
    };
    // A log-likelihood ratio is normal with mean -+ d'^2 / 2 and deviation d'.
    let false_positives = |t: f64| {
        (1.0 - hidden) * tail((t + joint * joint / 2.0) / joint) + hidden * tail((t + shift + rest * rest / 2.0) / rest)
    };
    let (mut low, mut high) = (-100.0, 100.0);
    for _ in 0..100 {
        let middle = (low + high) / 2.0;
        if false_positives(middle) > false_positive {
            low = middle;
        } else {
            high = middle;
        }
    }
    let seen = cdf((joint * joint / 2.0 - low) / joint);
    let unseen = cdf((rest * rest / 2.0 - low - shift) / rest);
    (1.0 - hidden) * seen + hidden * unseen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_boxes_that_cannot_be_seen_comes_out() {
        let row =
            |reading| [0.0, 0.05, 0.10, 0.20, 0.30].map(|hidden| 1000.0 * hidden_pd(2.836, 1.1, hidden, reading, 0.10));
        // In thousandths; the table shows hundredths, and halves where it says so.
        for (value, shown) in row(Hidden::SaysNothing)
            .into_iter()
            .zip([960.0, 945.0, 925.0, 880.0, 830.0])
        {
            assert!((value - shown).abs() <= 5.0, "{value} is not {shown}");
        }
        for (value, shown) in row(Hidden::ReadAsClear)
            .into_iter()
            .zip([960.0, 920.0, 870.0, 780.0, 690.0])
        {
            assert!((value - shown).abs() <= 5.0, "{value} is not {shown}");
        }
    }
}

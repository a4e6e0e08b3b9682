//! Silhouettes of people: as thick as a body, as large as one, and not what goods are.
//!
//! A body is water, 8 to 40 cm of it. Whoever hides among goods takes some out, so a body shows as a hole that is not empty, and
//! as a spot where there is nothing else; which of the two does not matter here. Sizes are those of adults and of
//! children from school age on: sitting they are 0.6 to 1 m high and at least 0.25 m deep or wide, lying at least 1.2 m long
//! (ranges of ISO 7250-2, rounded outwards). All of them may huddle, so a silhouette has no greatest size.

use super::goods::Order;

/// Areal mass of a body, g/cm².
pub(super) const AREAL: std::ops::Range<f64> = 8.0..40.0;
/// Least height and width of somebody who sits or stands, millimetres.
const UPRIGHT_MM: (f64, f64) = (600.0, 250.0);
/// Least height and length of somebody who lies, millimetres.
const LYING_MM: (f64, f64) = (200.0, 1_200.0);
/// Least mass, kilograms: a part of a child may be hidden by its own side of a pallet.
const MASS_MIN_KG: f64 = 20.0;
/// Where there are no goods above or below, at least this share of a silhouette stands out from its row.
const OUTLYING_MIN: f64 = 0.3;
/// A silhouette fills at least this share of its bounds: cracks between stacks do not.
const FILLED_MIN: f64 = 0.5;
/// What is this near to the thickness of the goods, as a share of it, is goods.
const LIKE_GOODS: std::ops::Range<f64> = 0.75..1.25;

/// A part of the image that a body could fill.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Silhouette {
    /// Left, top, width and height, millimetres from the first column of the image and the first row of the load.
    pub(super) bounds_mm: [f64; 4],
    /// Size, cm².
    pub(super) area_cm2: f64,
    /// Median areal mass, g/cm².
    pub(super) areal: f64,
    /// Median areal mass of the goods above and below it, g/cm²; none if there are hardly any.
    pub(super) stack: Option<f64>,
    /// Share of it that stands out from its row.
    pub(super) outlying: f64,
}

impl Silhouette {
    /// Mass of what fills it, kilograms.
    pub(super) fn mass_kg(&self) -> f64 {
        self.areal * self.area_cm2 / 1_000.0
    }

    /// Whether size, mass and thickness are a body's.
    pub(super) fn could_be_body(&self) -> bool {
        let [_, _, width, height] = self.bounds_mm;
        let upright = height >= UPRIGHT_MM.0 && width >= UPRIGHT_MM.1;
        let lying = height >= LYING_MM.0 && width >= LYING_MM.1;
        // Goods above and below that are of another thickness, or else those beside it.
        let distinct = match self.stack {
            Some(goods) => !LIKE_GOODS.contains(&(self.areal / goods)),
            None => self.outlying >= OUTLYING_MIN,
        };
        (upright || lying)
            && self.mass_kg() >= MASS_MIN_KG
            && self.area_cm2 * 100.0 >= FILLED_MIN * width * height
            && distinct
    }
}

/// Natural-log likelihood ratio for people of such silhouettes, or of none, when this share of the load was seen; `shown` is the
/// share of people who show in an image of the whole load.
///
/// Honest loads have a silhouette that could be somebody once in so many containers: working values, which the simulated port
/// does not exceed. Several weigh no more than one, because a load that makes one by its unevenness makes more.
pub(super) fn log_ratio(silhouettes: &[Silhouette], order: Order, shown: f64, seen: f64) -> f64 {
    let honest = match order {
        Order::Empty | Order::Homogeneous => 0.01,
        Order::Packed => 0.03,
        Order::Mixed => 0.05,
    };
    if silhouettes.is_empty() {
        let shown = shown * seen;
        return (1.0 - shown).ln();
    }
    ((shown + (1.0 - shown) * honest) / honest).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody of 66 kg who sits among goods.
    fn sitting() -> Silhouette {
        Silhouette {
            bounds_mm: [2_000.0, 1_200.0, 500.0, 1_000.0],
            area_cm2: 4_400.0,
            areal: 15.0,
            stack: Some(60.0),
            outlying: 1.0,
        }
    }

    #[test]
    fn size_mass_and_thickness_make_a_body() {
        assert!(sitting().could_be_body());
        let no_body = [
            // A layer that is missing, a gap between stacks, a crack along a pallet, a packet, and cracks that cross.
            Silhouette {
                bounds_mm: [0.0, 0.0, 600.0, 350.0],
                ..sitting()
            },
            Silhouette {
                bounds_mm: [0.0, 0.0, 130.0, 2_000.0],
                ..sitting()
            },
            Silhouette {
                bounds_mm: [0.0, 0.0, 2_000.0, 100.0],
                ..sitting()
            },
            Silhouette {
                area_cm2: 1_200.0,
                ..sitting()
            },
            Silhouette {
                bounds_mm: [0.0, 0.0, 1_500.0, 1_500.0],
                ..sitting()
            },
        ];
        for silhouette in no_body {
            assert!(!silhouette.could_be_body(), "{silhouette:?}");
        }
        let lying = Silhouette {
            bounds_mm: [0.0, 0.0, 1_700.0, 300.0],
            ..sitting()
        };
        assert!(lying.could_be_body());
    }

    #[test]
    fn what_is_as_thick_as_the_goods_above_and_below_is_goods() {
        for (goods, body) in [(12.5, false), (15.0, false), (19.5, false), (11.0, true), (25.0, true)] {
            let silhouette = Silhouette {
                stack: Some(goods),
                ..sitting()
            };
            assert_eq!(silhouette.could_be_body(), body, "{goods}");
        }
        // Without goods above and below, those beside it tell.
        for (outlying, body) in [(0.0, false), (0.2, false), (0.5, true)] {
            let silhouette = Silhouette {
                stack: None,
                outlying,
                ..sitting()
            };
            assert_eq!(silhouette.could_be_body(), body, "{outlying}");
        }
    }

    #[test]
    fn seeing_nobody_weighs_less_the_less_was_seen_and_somebody_weighs_most_in_even_goods() {
        let nobody = |seen| log_ratio(&[], Order::Packed, 0.6, seen);
        assert_eq!(nobody(0.0), 0.0);
        assert!(nobody(1.0) < nobody(0.5) && nobody(0.5) < 0.0);
        let somebody = |order, shown| log_ratio(&[sitting()], order, shown, 1.0);
        let weights = [
            somebody(Order::Empty, 0.8),
            somebody(Order::Packed, 0.6),
            somebody(Order::Mixed, 0.4),
        ];
        assert!(weights.is_sorted_by(|a, b| a > b) && weights[2] > 0.0, "{weights:?}");
        assert_eq!(
            log_ratio(&[sitting(), sitting()], Order::Packed, 0.6, 1.0),
            somebody(Order::Packed, 0.6)
        );
    }
}

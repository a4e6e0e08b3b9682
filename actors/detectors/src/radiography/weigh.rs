//! What mass and anomalies of a load weigh, against what is declared.
//!
//! # Mass
//! The hypotheses are those of the weighbridge, which measures the same thing in another way; only the error differs.
//!
//! # Anomalies
//! In honest containers, the largest anomaly has a mass that is log-normal, with a median that the declared goods explain:
//! little in bulk goods, much in groupage. With a threat that shows, it is as many deviations greater as the d' of its
//! goods says (equal-variance binormal). For even goods d' is 2.84: recognition of contraband in X-ray images, 90 % at 6 %
//! false alarms (arXiv 1609.02805). For packed goods and groupage it is taken as 2.0 and 1.1. Part of all threats never
//! shows, and neither does what lies where the beam has not been, so seeing nothing weighs little.
//!
//! Medians and shares are assumptions; the simulated port only checks that they are not absurd.

use portcullis_domain::evidence::ThreatFamily;

use super::anomaly::{Anomaly, Outliers};
use super::body;
use super::goods::Order;
use super::load::Load;
use crate::weighbridge;

/// What an order of goods explains, and lets show.
struct Expectation {
    /// Median of the largest anomaly without a threat, kilograms.
    honest_kg: f64,
    /// Its deviation, natural log.
    spread: f64,
    /// Distance of the two bells.
    d_prime: f64,
    /// Share of threats that show in an image of the whole load.
    shown: f64,
}

impl Expectation {
    fn of(order: Order) -> Self {
        let (honest_kg, spread, d_prime, shown) = match order {
            Order::Empty | Order::Homogeneous => (1.0, 0.8, 2.84, 0.8),
            Order::Packed => (10.0, 1.0, 2.0, 0.6),
            Order::Mixed => (50.0, 1.0, 1.1, 0.4),
        };
        Self {
            honest_kg,
            spread,
            d_prime,
            shown,
        }
    }

    /// The same for objects that are thicker than the goods of their own stack and stand out of their unevenness. Goods that lie
    /// unevenly do not explain those, only what is denser than the goods does: parts of machines and single packages of
    /// groupage. So little is expected without a threat. Working values.
    fn of_dense(order: Order) -> Self {
        let all = Self::of(order);
        let (honest_kg, spread, d_prime) = match order {
            Order::Empty | Order::Homogeneous => return all,
            Order::Packed => (3.0, 1.1, 2.84),
            Order::Mixed => (6.0, 1.2, 2.4),
        };
        Self {
            honest_kg,
            spread,
            d_prime,
            ..all
        }
    }

    /// Natural-log likelihood ratio of the largest anomaly of a kind, or of none, when this share of the load was seen.
    fn log_ratio(&self, largest_kg: Option<f64>, seen: f64) -> f64 {
        let d = self.d_prime;
        let deviations = largest_kg.map_or(-0.5, |kg| (kg / self.honest_kg).ln() / self.spread);
        // Beyond d' deviations the bells are only tails, and no model of tails is to be trusted.
        let binormal = d * deviations.clamp(-0.5, d) - d * d / 2.0;
        // What stands out stands out however little was seen; what does not may lie elsewhere.
        let shown = if binormal < 0.0 { self.shown * seen } else { self.shown };
        (1.0 - shown + shown * binormal.exp()).ln()
    }
}

/// An object that is not this many times as thick as the goods of its stack may be goods that are missing beside it.
const THICKER_THAN_STACK: f64 = 1.15;
/// A layer of goods is at most this many times as thick as they are elsewhere.
const LAYER_MAX: f64 = 1.25;
/// No hidden block of organic matter is thicker than this, g/cm²: 80 cm of powder.
const ORGANIC_MAX: f64 = 80.0;
/// What stands out less than this, in units of the local noise, may be the unevenness of the goods: twice what an anomaly needs,
/// because of hundreds of packages some stand out that far, and the noise of packages that are averaged is less than theirs.
const CLEARLY_OUT: f64 = 8.0;
/// Less is not dense, g/cm²: 4 cm of steel.
const DENSE_MIN: f64 = 30.0;

/// What an anomaly could be.
impl Anomaly {
    /// Much mass on a small area: metal, or a thick block of something lighter, which one energy cannot tell apart.
    pub(super) fn is_dense(&self) -> bool {
        self.contrast() >= DENSE_MIN && self.area_cm2 <= 6_000.0
    }

    /// Dense, and more than one more package of the goods of its stack would be. Where most of what stands there is itself,
    /// the goods elsewhere are what it is compared with; among several kinds of goods it may then be a stack of another kind.
    fn is_denser_than_goods(&self, order: Order, typical: f64) -> bool {
        let like_goods = match self.stack {
            _ if order == Order::Empty => false,
            Some(stack) => self.inside <= THICKER_THAN_STACK * stack,
            None if self.around < 0.2 * self.contrast() => self.is_layer(typical),
            None => order == Order::Mixed || self.inside <= LAYER_MAX * typical,
        };
        self.is_dense() && self.inside >= DENSE_MIN && !like_goods
    }

    /// Nothing was loaded here, which is a space and not a hiding place.
    fn is_space(&self) -> bool {
        self.around + self.contrast() < 0.2 * self.around
    }

    /// One more layer of the goods on a stack, or a stack that is a little higher than those beside it: nothing is around
    /// it, and it is as much as the goods are elsewhere, or thin.
    fn is_layer(&self, typical: f64) -> bool {
        let contrast = self.contrast();
        let like_goods = (0.5 * typical..LAYER_MAX * typical).contains(&contrast) || self.bounds_mm[3] < 150.0;
        contrast > 0.0 && self.around < 0.2 * contrast && like_goods
    }

    fn fits(&self, family: ThreatFamily, order: Order, typical: f64) -> bool {
        if family == ThreatFamily::Weapons {
            return self.is_denser_than_goods(order, typical);
        }
        if order != Order::Empty && self.is_layer(typical) {
            return false;
        }
        // Stacks differ in height; only in even goods is something lighter odd.
        if self.excess_kg < 0.0 && (order != Order::Homogeneous || self.is_space()) {
            return false;
        }
        match family {
            // A block of organic matter, or goods that were taken out to make room for something lighter.
            ThreatFamily::Narcotics | ThreatFamily::Explosives => self.contrast() < ORGANIC_MAX,
            // In a container without goods, anything is.
            ThreatFamily::Undeclared => order == Order::Empty,
            ThreatFamily::Weapons | ThreatFamily::People | ThreatFamily::Nuclear => false,
        }
    }
}

/// Families about which anomalies say something.
pub(super) fn families(order: Order) -> &'static [ThreatFamily] {
    const ALL: [ThreatFamily; 5] = [
        ThreatFamily::Narcotics,
        ThreatFamily::Explosives,
        ThreatFamily::Weapons,
        ThreatFamily::People,
        ThreatFamily::Undeclared,
    ];
    match order {
        Order::Empty => &ALL,
        Order::Homogeneous | Order::Packed | Order::Mixed => &ALL[..4],
    }
}

/// Natural-log likelihood ratio for one of [`families`].
pub(super) fn by_outliers(family: ThreatFamily, outliers: &Outliers, order: Order, load: &Load) -> f64 {
    let seen = load.coverage * (1.0 - load.dark_share);
    let expectation = Expectation::of(order);
    if family == ThreatFamily::People {
        return body::log_ratio(&outliers.silhouettes, order, expectation.shown, seen);
    }
    let of_dense = Expectation::of_dense(order);
    let fitting = outliers
        .anomalies
        .iter()
        .filter(|anomaly| anomaly.fits(family, order, load.typical));
    fitting
        .map(|anomaly| {
            let clearly_dense = family == ThreatFamily::Weapons && anomaly.contrast() >= CLEARLY_OUT * anomaly.noise;
            let expectation = if clearly_dense { &of_dense } else { &expectation };
            expectation.log_ratio(Some(anomaly.excess_kg.abs()), seen)
        })
        .reduce(f64::max)
        .unwrap_or_else(|| expectation.log_ratio(None, seen))
}

/// What the mass of the load is compared with, and what came of it.
pub(super) struct Mass {
    /// Declared mass of the part that was seen, kilograms.
    pub(super) declared_kg: f64,
    /// How much more is there, kilograms; negative for less.
    pub(super) excess_kg: f64,
    pub(super) sigma_kg: f64,
    /// Natural-log likelihood ratio for undeclared goods.
    pub(super) log_ratio: f64,
}

/// Compares the mass of the load with the declared one. Goods lie unevenly, so the declared mass of a part of the container
/// is uncertain by half of what was not seen. Where the beam did not get through, there may be as much more as fits in.
pub(super) fn by_mass(load: &Load, declared_kg: f64) -> Mass {
    let unseen = 1.0 - load.coverage;
    let part_kg = declared_kg * load.coverage;
    let sigma_kg = load.sigma_kg.hypot(0.5 * unseen * part_kg).max(1.0);
    let measured = load.goods_kg - part_kg;
    // What is missing may be where the beam did not get through.
    let excess_kg = if measured < 0.0 {
        (measured + load.hidden_kg_max).min(0.0)
    } else {
        measured
    };
    Mass {
        declared_kg: part_kg,
        excess_kg,
        sigma_kg,
        log_ratio: weighbridge::log_likelihood_ratio(excess_kg, part_kg, sigma_kg),
    }
}

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

use super::anomaly::Anomaly;
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

/// No hidden block of organic matter is thicker than this, g/cm²: 80 cm of powder.
const ORGANIC_MAX: f64 = 80.0;

/// What an anomaly could be.
impl Anomaly {
    /// Much mass on a small area: metal, or a thick block of something lighter, which one energy cannot tell apart.
    pub(super) fn is_dense(&self) -> bool {
        self.contrast() >= 30.0 && self.area_cm2 <= 6_000.0
    }

    /// A body: as much as 8 to 40 cm of water, the size of a person, with nearly nothing around it.
    pub(super) fn is_body(&self) -> bool {
        (8.0..40.0).contains(&self.contrast())
            && (1_200.0..12_000.0).contains(&self.area_cm2)
            && (20.0..160.0).contains(&self.excess_kg)
            && self.around <= 8.0
    }

    /// Nothing was loaded here, which is a space and not a hiding place.
    fn is_space(&self) -> bool {
        self.around + self.contrast() < 0.2 * self.around
    }

    /// One more layer of the goods on a stack, or a stack that is a little higher than those beside it: nothing is around
    /// it, and it is as much as the goods are elsewhere, or thin.
    fn is_layer(&self, typical: f64) -> bool {
        let contrast = self.contrast();
        let like_goods = (0.5 * typical..1.25 * typical).contains(&contrast) || self.bounds_mm[3] < 150.0;
        contrast > 0.0 && self.around < 0.2 * contrast && like_goods
    }

    fn fits(&self, family: ThreatFamily, order: Order, typical: f64) -> bool {
        if family == ThreatFamily::People {
            return self.is_body();
        }
        if order != Order::Empty && self.is_layer(typical) {
            return false;
        }
        // Stacks differ in height; only in even goods is something lighter odd.
        if self.excess_kg < 0.0 && (order != Order::Homogeneous || self.is_space()) {
            return false;
        }
        match family {
            ThreatFamily::Weapons => self.is_dense(),
            // A block of organic matter, or goods that were taken out to make room for something lighter.
            ThreatFamily::Narcotics | ThreatFamily::Explosives => self.contrast() < ORGANIC_MAX,
            // In a container without goods, anything is.
            ThreatFamily::Undeclared => order == Order::Empty,
            ThreatFamily::People | ThreatFamily::Nuclear => false,
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
pub(super) fn by_anomalies(family: ThreatFamily, anomalies: &[Anomaly], order: Order, load: &Load) -> f64 {
    let largest = anomalies
        .iter()
        .filter(|anomaly| anomaly.fits(family, order, load.typical))
        .map(|anomaly| anomaly.excess_kg.abs())
        .reduce(f64::max);
    Expectation::of(order).log_ratio(largest, load.coverage * (1.0 - load.dark_share))
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

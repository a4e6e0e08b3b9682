//! Measured against declared mass: weight for undeclared goods.
//!
//! # Model
//! The goods weigh what the scale shows less tractor, chassis and empty container. Its error is Gaussian, with the
//! deviation sent by the scale, or else derived from the speed.
//! - *As declared*: most declarations are right within a few percent (France tolerates 5 % for the verified gross mass),
//!   some are far off (before that rule up to 20 % of units were wrong), and a few are plain paper errors.
//! - *Undeclared goods*: a third is too light to be noticed; half adds 50 kg to 12 t, evenly in the logarithm; the rest
//!   has had goods taken out or exchanged and is too light.
//!
//! 50 kg among 14 t stay unseen by any scale, and the weight is then close to zero, as it should be.

use portcullis_domain::evidence::{Ability, ThreatFamily, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::manifest::Manifest;
use portcullis_domain::reading::Weighing;

use crate::interpretation::{Interpretation, WEIGHT_CAP, log_sum, milli_decibans};

/// Name and version of this interpreter.
pub const VERSION: &str = "weighbridge-gaussian/1";

/// No road train that a port lane takes is heavier, kilograms.
pub const GROSS_MAX_KG: i64 = 80_000;
/// Faster weighings are of little use, km/h.
pub const SPEED_MAX_KMH: f64 = 30.0;
/// The scale's weigh-in-motion bounds start here, km/h; below it counts as slow.
const SPEED_SLOW_KMH: f64 = 5.0;

/// A mass that is taken off, with its standard deviation, kilograms.
#[derive(Debug, Clone, Copy)]
struct Tare {
    kg: f64,
    sigma_kg: f64,
}

/// Compares a weighing with what the manifest declares.
pub fn interpret(weighing: &Weighing, manifest: &Manifest) -> Interpretation {
    let mut findings = Vec::new();
    if let Some(why) = impossible(weighing) {
        findings.push(Finding::new(FindingCode::WeighingImpossible, "gross_mass_kg", why));
        return Interpretation {
            weights: Weights::ZERO,
            ability: Ability::Shielded,
            findings,
        };
    }
    let mut ability = Ability::Clear;
    let speed = speed_kmh(weighing);
    if speed > SPEED_MAX_KMH {
        let detail = format!("{speed:.0} km/h; above {SPEED_MAX_KMH:.0} km/h the error is 6 %");
        findings.push(Finding::new(FindingCode::WeighingTooFast, "speed_mm_s", detail));
        ability = Ability::Degraded;
    }
    let declared_kg = manifest.declared_mass_g().map(|grams| grams as f64 / 1_000.0);
    let Some(declared_kg) = declared_kg.filter(|kg| *kg > 0.0 || manifest.empty) else {
        findings.push(Finding::new(
            FindingCode::MassUnknown,
            "gross_mass_g",
            "the manifest declares no mass, so the weighing proves nothing",
        ));
        return Interpretation {
            weights: Weights::ZERO,
            ability: Ability::Degraded,
            findings,
        };
    };
    if weighing.vehicle_mass_kg.is_none() {
        let detail = format!("the vehicle was taken to have {:.0} kg", VEHICLE.kg);
        findings.push(Finding::new(FindingCode::ElementMissing, "vehicle_mass_kg", detail));
        ability = Ability::Degraded;
    }
    let (vehicle, container) = (vehicle(weighing), container(manifest));
    let goods_kg = weighing.gross_mass_kg as f64 - vehicle.kg - container.kg;
    let sigma = sigma_kg(weighing).hypot(vehicle.sigma_kg).hypot(container.sigma_kg);
    let excess = goods_kg - declared_kg;
    let tolerance = (3.0 * sigma).max(0.05 * declared_kg);
    let code = if excess > tolerance {
        Some(FindingCode::MassOverDeclared)
    } else if excess < -tolerance {
        Some(FindingCode::MassUnderDeclared)
    } else {
        None
    };
    if let Some(code) = code {
        let detail = format!("measured {goods_kg:.0} kg, declared {declared_kg:.0} kg, sigma {sigma:.0} kg");
        findings.push(Finding::new(code, "gross_mass_g", detail));
    }
    let ratio = log_likelihood_ratio(excess, declared_kg, sigma);
    let weight = milli_decibans(ratio, -WEIGHT_CAP, WEIGHT_CAP);
    Interpretation {
        weights: Weights::ZERO.with(ThreatFamily::Undeclared, weight),
        ability,
        findings,
    }
}

fn impossible(weighing: &Weighing) -> Option<String> {
    let gross = weighing.gross_mass_kg;
    if gross <= 0 || gross > GROSS_MAX_KG {
        return Some(format!("{gross} kg is not between 1 and {GROSS_MAX_KG} kg"));
    }
    match weighing.vehicle_mass_kg {
        Some(vehicle) if vehicle < 0 || vehicle > gross => Some(format!(
            "a vehicle of {vehicle} kg does not fit a gross mass of {gross} kg"
        )),
        _ => None,
    }
}

fn speed_kmh(weighing: &Weighing) -> f64 {
    f64::from(weighing.speed_mm_s) * 0.0036
}

/// A tractor with chassis, if nobody says what it weighs.
const VEHICLE: Tare = Tare {
    kg: 15_000.0,
    sigma_kg: 1_500.0,
};

/// Tractor and chassis; fuel and driver make up most of the deviation of a known one.
fn vehicle(weighing: &Weighing) -> Tare {
    weighing.vehicle_mass_kg.map_or(VEHICLE, |kg| Tare {
        kg: kg as f64,
        sigma_kg: 150.0,
    })
}

/// The empty container: as declared, else as usual for its length (the first sign of ISO 6346 size codes).
fn container(manifest: &Manifest) -> Tare {
    if let Some(grams) = manifest.tare_mass_g {
        return Tare {
            kg: grams as f64 / 1_000.0,
            sigma_kg: 50.0,
        };
    }
    match manifest.size_type.chars().next() {
        Some('2') => Tare {
            kg: 2_300.0,
            sigma_kg: 200.0,
        },
        Some('4') => Tare {
            kg: 3_900.0,
            sigma_kg: 300.0,
        },
        Some('L') => Tare {
            kg: 4_800.0,
            sigma_kg: 300.0,
        },
        _ => Tare {
            kg: 3_400.0,
            sigma_kg: 900.0,
        },
    }
}

/// The deviation of the scale. Weigh-in-motion errors are published as 95 % bounds (0.5 % at 2 to 5 km/h, 2 % at 10 to
/// 30 km/h, 6 % at road speed), so half of each is one deviation.
fn sigma_kg(weighing: &Weighing) -> f64 {
    let speed = speed_kmh(weighing);
    let share = if speed <= SPEED_SLOW_KMH {
        0.0025
    } else if speed <= SPEED_MAX_KMH {
        0.01
    } else {
        0.03
    };
    weighing
        .sigma_kg
        .map_or(share * weighing.gross_mass_kg as f64, f64::from)
}

/// Natural-log likelihood ratio of goods that differ from the declared mass by this much, for undeclared goods; kilograms.
/// Whatever measures the mass of a load can use it with its own deviation.
pub(crate) fn log_likelihood_ratio(excess: f64, declared_kg: f64, sigma: f64) -> f64 {
    /// Paper errors put the mass anywhere up to this.
    const ANYWHERE_KG: f64 = 40_000.0;
    const STEPS: u32 = 24;
    let gauss = |mean: f64, sigma: f64| {
        -0.5 * ((excess - mean) / sigma).powi(2) - sigma.ln() - 0.5 * std::f64::consts::TAU.ln()
    };
    let honest = log_sum(&[
        f64::ln(0.80) + gauss(0.0, sigma.hypot(0.015 * declared_kg)),
        f64::ln(0.15) + gauss(0.0, sigma.hypot(0.05 * declared_kg)),
        f64::ln(0.045) + gauss(0.0, sigma.hypot(0.20 * declared_kg)),
        f64::ln(0.005) - ANYWHERE_KG.ln(),
    ]);
    let careful = sigma.hypot(0.015 * declared_kg);
    let even = -f64::from(STEPS).ln();
    let mut threat = vec![f64::ln(0.35) + honest];
    for step in 0..STEPS {
        let at = f64::from(step) / f64::from(STEPS - 1);
        let added = 50.0 * (240.0_f64.ln() * at).exp();
        threat.push(f64::ln(0.5) + even + gauss(added, careful));
        let missing = declared_kg * (0.05 + 0.85 * at);
        threat.push(f64::ln(0.15) + even + gauss(-missing, careful));
    }
    log_sum(&threat) - honest
}

#[cfg(test)]
mod tests {
    use portcullis_domain::manifest::GoodsItem;

    use super::*;

    const SLOW_MM_S: u32 = 1_000;

    fn manifest(declared_kg: Option<u64>) -> Manifest {
        let item = GoodsItem {
            gross_mass_g: declared_kg.map(|kg| kg * 1_000),
            ..GoodsItem::default()
        };
        Manifest {
            goods: vec![item],
            tare_mass_g: Some(3_900_000),
            size_type: "45G1".to_owned(),
            ..Manifest::default()
        }
    }

    fn scale(gross_mass_kg: i64) -> Weighing {
        Weighing {
            gross_mass_kg,
            vehicle_mass_kg: Some(14_100),
            sigma_kg: None,
            speed_mm_s: SLOW_MM_S,
            axles_kg: Vec::new(),
        }
    }

    fn weigh(goods_kg: i64, declared_kg: u64) -> Interpretation {
        interpret(&scale(goods_kg + 18_000), &manifest(Some(declared_kg)))
    }

    fn undeclared(result: &Interpretation) -> i32 {
        result.weights.of(ThreatFamily::Undeclared)
    }

    #[test]
    fn goods_of_the_declared_mass_speak_a_little_against_undeclared_goods() {
        let result = weigh(14_050, 14_000);
        assert!((-4_000..0).contains(&undeclared(&result)), "{result:?}");
        assert_eq!((result.ability, result.findings.len()), (Ability::Clear, 0));
        for family in ThreatFamily::ALL {
            assert!(family == ThreatFamily::Undeclared || result.weights.of(family) == 0);
        }
    }

    #[test]
    fn weight_rises_with_the_surplus_and_is_bounded() {
        let surplus = [0, 800, 1_200, 2_500, 5_000];
        let weights: Vec<i32> = surplus
            .iter()
            .map(|kg| undeclared(&weigh(14_000 + kg, 14_000)))
            .collect();
        assert!(weights.is_sorted(), "{weights:?}");
        assert!(
            weights[0] < 0 && weights[3] > 3_000 && weights[4] > 5_000,
            "{weights:?}"
        );
        assert!(weights.iter().all(|weight| *weight < 25_000), "{weights:?}");
        assert_eq!(weigh(16_500, 14_000).findings[0].code, FindingCode::MassOverDeclared);
    }

    #[test]
    fn missing_goods_are_noticed_too() {
        let result = weigh(9_000, 14_000);
        assert!(undeclared(&result) > 2_000, "{result:?}");
        assert_eq!(result.findings[0].code, FindingCode::MassUnderDeclared);
    }

    #[test]
    fn small_contraband_stays_unseen_and_weighs_next_to_nothing() {
        let none = undeclared(&weigh(14_000, 14_000));
        let fifty = undeclared(&weigh(14_050, 14_000));
        assert!((none - fifty).abs() < 500);
    }

    #[test]
    fn a_fast_weighing_is_degraded_and_says_less() {
        let fast = Weighing {
            speed_mm_s: 17_000,
            ..scale(35_000)
        };
        let fast = interpret(&fast, &manifest(Some(14_000)));
        assert_eq!(fast.ability, Ability::Degraded);
        assert_eq!(fast.findings[0].code, FindingCode::WeighingTooFast);
        assert!(undeclared(&fast) < undeclared(&weigh(17_000, 14_000)));
    }

    #[test]
    fn an_unknown_vehicle_says_less() {
        let unknown = Weighing {
            vehicle_mass_kg: None,
            ..scale(35_000)
        };
        let unknown = interpret(&unknown, &manifest(Some(14_000)));
        assert_eq!(unknown.ability, Ability::Degraded);
        assert_eq!(unknown.findings[0].code, FindingCode::ElementMissing);
        assert!(undeclared(&unknown) < undeclared(&weigh(17_000, 14_000)));
    }

    #[test]
    fn impossible_weighings_see_nothing() {
        for bad in [
            scale(0),
            scale(-5),
            scale(80_001),
            Weighing {
                vehicle_mass_kg: Some(-1),
                ..scale(30_000)
            },
            Weighing {
                vehicle_mass_kg: Some(30_001),
                ..scale(30_000)
            },
        ] {
            let result = interpret(&bad, &manifest(Some(1)));
            assert_eq!(result.findings[0].code, FindingCode::WeighingImpossible, "{bad:?}");
            assert_eq!(result.ability, Ability::Shielded);
            assert_eq!(result.weights, Weights::ZERO);
        }
    }

    #[test]
    fn without_a_declared_mass_nothing_is_claimed() {
        for declared in [None, Some(0)] {
            let result = interpret(&scale(30_000), &manifest(declared));
            assert_eq!(result.findings[0].code, FindingCode::MassUnknown);
            assert_eq!(result.weights, Weights::ZERO);
        }
    }

    #[test]
    fn a_container_declared_empty_that_is_not_stands_out() {
        let mut empty = Manifest {
            empty: true,
            gross_mass_g: Some(0),
            ..manifest(None)
        };
        empty.goods.clear();
        assert!(undeclared(&interpret(&scale(18_000), &empty)) < 0);
        assert!(undeclared(&interpret(&scale(22_000), &empty)) > 8_000);
    }
}

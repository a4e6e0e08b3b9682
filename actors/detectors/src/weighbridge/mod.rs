//! Measured against declared mass, and where the load lies: weight for undeclared goods.
//!
//! # Model of the mass
//! The goods weigh what the scale shows less tractor, chassis and empty container. Its error is Gaussian, with the
//! deviation sent by the scale, or else derived from the speed (`scale`).
//! - *As declared*: most declarations are right within a few percent (France tolerates 5 % for the verified gross mass),
//!   some are far off (before that rule up to 20 % of units were wrong), and a few are plain paper errors.
//! - *Undeclared goods*: a third is too light to be noticed; half adds 50 kg to 12 t, evenly in the logarithm; the rest
//!   has had goods taken out or exchanged and is too light.
//!
//! 50 kg among 14 t stay unseen by any scale, and the weight is then close to zero, as it should be.
//!
//! # Axles
//! Axles must add up to the whole. If they do, they say where the load lies: something heavy at one end of a load
//! that should be even weighs a little for undeclared goods (`axles`). Loads above legal limits, and above what a container may carry,
//! are findings for the officer and no evidence of a threat.

mod axles;
mod mass;
mod scale;

use portcullis_domain::evidence::{Ability, ThreatFamily, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::manifest::Manifest;
use portcullis_domain::reading::Weighing;

use self::axles::{Axles, Length, Sound};
use self::scale::{Tare, container, sigma_kg, speed_kmh, vehicle};
use crate::interpretation::{Interpretation, WEIGHT_CAP, milli_decibans};

pub(crate) use self::mass::log_likelihood_ratio;
pub use self::scale::SPEED_MAX_KMH;

/// Name and version of this interpreter.
pub const VERSION: &str = "weighbridge-gaussian/2";

/// No road train that a port lane takes is heavier, kilograms.
pub const GROSS_MAX_KG: i64 = 80_000;

/// What most containers may weigh with their load, kilograms: ISO 668 with amendment 1 of 2005.
const RATING_USUAL_KG: f64 = 30_480.0;
/// What no container may exceed, kilograms: ISO 668 with amendment 2 of 2016.
const RATING_MAX_KG: f64 = 36_000.0;
/// An empty container holds wood, lashings and water now and then; standard deviation in kilograms. Working value.
const DUNNAGE_KG: f64 = 80.0;

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
        let detail = format!("{speed:.0} km/h; above {SPEED_MAX_KMH:.0} km/h the error grows to 6 %");
        findings.push(Finding::new(FindingCode::WeighingTooFast, "speed_mm_s", detail));
        ability = Ability::Degraded;
    }
    let (sound, unsure_kg, doubt) = believe(Axles::of(weighing));
    if let Some(doubt) = doubt {
        findings.push(doubt);
        ability = Ability::Degraded;
    }
    if let Some(detail) = sound.as_ref().and_then(Sound::overloaded) {
        findings.push(Finding::new(FindingCode::AxleOverloaded, "axles_kg", detail));
    }
    let (vehicle, container) = (vehicle(weighing), container(manifest));
    let box_sigma = sigma_kg(weighing).hypot(vehicle.sigma_kg).hypot(unsure_kg);
    let box_kg = weighing.gross_mass_kg as f64 - vehicle.kg;
    findings.extend(over_rating(box_kg, box_sigma));
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
        let axles = weighing.axles_kg.len();
        let detail = format!("a vehicle of {axles} axles was taken to have {:.0} kg", vehicle.kg);
        findings.push(Finding::new(FindingCode::ElementMissing, "vehicle_mass_kg", detail));
        ability = Ability::Degraded;
    }
    let goods_kg = box_kg - container.kg;
    let dunnage_kg = if manifest.empty { DUNNAGE_KG } else { 0.0 };
    let sigma = box_sigma.hypot(container.sigma_kg).hypot(dunnage_kg);
    findings.extend(beyond_tolerance(goods_kg, declared_kg, sigma));
    let (uneven, finding) = position(sound.as_ref(), goods_kg, container, manifest);
    findings.extend(finding);
    let ratio = log_likelihood_ratio(goods_kg - declared_kg, declared_kg, sigma) + uneven;
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

/// Axles to go on with, how unsure they make the whole mass in kilograms, and a finding if they cannot be believed.
fn believe(axles: Axles) -> (Option<Sound>, f64, Option<Finding>) {
    match axles {
        Axles::None => (None, 0.0, None),
        Axles::Sound(sound) => (Some(sound), 0.0, None),
        Axles::Silent(detail) => {
            let finding = Finding::new(FindingCode::AxleSilent, "axles_kg", detail);
            (None, 0.0, Some(finding))
        }
        Axles::Differ(off_kg) => {
            let detail = format!("together they are {off_kg:+.0} kg off the gross mass; have the scale checked");
            let finding = Finding::new(FindingCode::AxlesDiffer, "axles_kg", detail);
            // One of the two is wrong, and nobody knows which.
            (None, off_kg.abs() / 2.0, Some(finding))
        }
    }
}

fn over_rating(box_kg: f64, sigma: f64) -> Option<Finding> {
    let surely = box_kg - 2.0 * sigma;
    let what = if surely > RATING_MAX_KG {
        format!("more than the {RATING_MAX_KG:.0} kg that any container may weigh")
    } else if surely > RATING_USUAL_KG {
        format!("more than the {RATING_USUAL_KG:.0} kg of most containers; see its CSC plate")
    } else {
        return None;
    };
    let detail = format!("container and goods weigh {box_kg:.0} kg, {what}");
    Some(Finding::new(FindingCode::MassOverRating, "gross_mass_kg", detail))
}

fn beyond_tolerance(goods_kg: f64, declared_kg: f64, sigma: f64) -> Option<Finding> {
    let excess = goods_kg - declared_kg;
    let tolerance = (3.0 * sigma).max(0.05 * declared_kg);
    let code = if excess > tolerance {
        FindingCode::MassOverDeclared
    } else if excess < -tolerance {
        FindingCode::MassUnderDeclared
    } else {
        return None;
    };
    let detail = format!("measured {goods_kg:.0} kg, declared {declared_kg:.0} kg, sigma {sigma:.0} kg");
    Some(Finding::new(code, "gross_mass_g", detail))
}

/// What the position of the load weighs, as a natural logarithm, and a finding if it is far off the middle.
fn position(sound: Option<&Sound>, goods_kg: f64, container: Tare, manifest: &Manifest) -> (f64, Option<Finding>) {
    let length = Length::of(&manifest.size_type);
    let Some((sound, length)) = sound.zip(length).filter(|_| !manifest.empty) else {
        return (0.0, None);
    };
    let Some(offset) = sound.load_offset(goods_kg, container, length) else {
        return (0.0, None);
    };
    let finding = offset.is_uneven(length).then(|| {
        let (metres, sigma) = (offset.metres.abs(), offset.sigma_m);
        let end = if offset.metres > 0.0 { "doors" } else { "front" };
        let detail =
            format!("its centre of mass lies {metres:.1} m (sigma {sigma:.1} m) from the middle, towards the {end}");
        Finding::new(FindingCode::LoadUneven, "axles_kg", detail)
    });
    (offset.log_ratio(length), finding)
}

#[cfg(test)]
mod tests;

//! What each axle of a road train carries: levers and weights.
//!
//! A tractor of two axles pulls a chassis of three. The load presses on king pin and trailer axles, the king pin on the tractor's
//! axles. Lengths are metres, masses kilograms.

use crate::noise::Noise;
use crate::plan::Visit;

/// From the tractor's first to its second axle.
const TRACTOR_AXLES_M: f64 = 3.75;
/// The king pin stands so far before the second axle.
const KING_PIN_LEAD_M: f64 = 0.6;
/// Share of the vehicle's mass that is the tractor, and of that on its first axle.
const TRACTOR_SHARE: f64 = 0.56;
const TRACTOR_FRONT_SHARE: f64 = 0.7;
/// Height of the centre of mass above the road, for braking.
const HEIGHT_M: f64 = 1.9;
/// Standard deviation of what drivers brake or accelerate on the scale, metres a second squared.
const BRAKING_M_S2: f64 = 0.12;
const GRAVITY_M_S2: f64 = 9.81;
/// Of a thousand containers, those that nobody loaded evenly.
const CARELESS_PERMILLE: u32 = 60;

/// Where a chassis carries its box.
struct Chassis {
    /// From king pin to the middle of the three axles.
    supports_m: f64,
    /// The box begins so far before the king pin; negative is behind it.
    before_pin_m: f64,
}

/// What the five axles carry, first to last.
pub(super) fn carried_kg(visit: &Visit, noise: &mut Noise) -> [f64; 5] {
    let length_m = f64::from(visit.truck.box_to_mm.saturating_sub(visit.truck.box_from_mm)) / 1_000.0;
    let chassis = if length_m < 9.0 {
        Chassis {
            supports_m: noise.range(4.3, 5.2),
            before_pin_m: noise.range(-0.4, 0.1),
        }
    } else {
        Chassis {
            supports_m: noise.range(7.7, 8.4),
            before_pin_m: noise.range(0.8, 1.2),
        }
    };
    let vehicle = visit.truck.mass_g as f64 / 1_000.0;
    let (tractor, trailer) = (vehicle * TRACTOR_SHARE, vehicle * (1.0 - TRACTOR_SHARE));
    let behind_pin = |behind_box_front_m: f64| behind_box_front_m - chassis.before_pin_m;
    let mut loads = vec![
        (trailer, 0.68 * chassis.supports_m),
        (visit.truth.tare_mass_g as f64 / 1_000.0, behind_pin(length_m / 2.0)),
    ];
    let concealed: f64 = visit.truth.concealed.iter().map(|c| c.mass_g as f64 / 1_000.0).sum();
    let goods = (visit.truth.true_mass_g as f64 / 1_000.0 - concealed).max(0.0);
    let spread = if noise.chance(CARELESS_PERMILLE) { 0.12 } else { 0.035 };
    let middle = length_m * (0.5 + (spread * noise.normal()).clamp(-0.3, 0.3));
    loads.push((goods, behind_pin(middle)));
    // What is hidden in a hurry lies behind the doors.
    let hidden = if noise.chance(500) {
        length_m - 0.8
    } else {
        noise.range(0.8, length_m - 0.8)
    };
    loads.push((concealed, behind_pin(hidden)));
    let on_trailer: f64 = loads.iter().map(|(kg, behind)| kg * behind / chassis.supports_m).sum();
    let all: f64 = loads.iter().map(|(kg, _)| kg).sum();
    // Braking presses the front down and lifts the rear.
    let braking = BRAKING_M_S2 * noise.normal() / GRAVITY_M_S2;
    let shifted = all * braking * HEIGHT_M / chassis.supports_m;
    let (rear, pin) = (on_trailer - shifted, all - on_trailer + shifted);
    let front = tractor * TRACTOR_FRONT_SHARE + pin * KING_PIN_LEAD_M / TRACTOR_AXLES_M;
    let driven = tractor + pin - front;
    // The suspension shares out what the three axles carry, not quite evenly.
    let tilt = 0.02 * noise.normal();
    let third = |share: f64| rear * (1.0 + share) / 3.0;
    [front, driven, third(tilt), third(0.0), third(-tilt)].map(|kg| kg.max(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{PortOptions, PortPlan};

    #[test]
    fn the_axles_carry_the_whole_vehicle_and_none_of_them_is_lifted() {
        let plan = PortPlan::new(3, 400, PortOptions::for_terminal("T").unwrap());
        let mut noise = Noise::of_visit(3, "test", 0);
        for visit in plan.visits() {
            let carried = carried_kg(visit, &mut noise);
            let truth = &visit.truth;
            let gross = (truth.true_mass_g + truth.tare_mass_g + visit.truck.mass_g) as f64 / 1_000.0;
            assert!(
                (carried.iter().sum::<f64>() - gross).abs() < 1.0,
                "{carried:?} of {gross}"
            );
            assert!(carried.iter().all(|kg| *kg > 500.0), "{carried:?}");
        }
    }
}

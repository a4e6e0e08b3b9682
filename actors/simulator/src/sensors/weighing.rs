//! The weighbridge: a scale for axles that the truck rolls over.

use portcullis_domain::evidence::Modality;
use portcullis_domain::id::SampleNo;
use portcullis_domain::reading::Weighing;

use super::axles;
use crate::noise::Noise;
use crate::plan::Visit;

/// Step of the scale, kilograms.
const STEP_KG: f64 = 20.0;
/// Of a thousand weighings, those with a vehicle whose own mass is registered.
const VEHICLE_KNOWN_PERMILLE: u32 = 930;
/// Of a thousand scales' answers, those that state an uncertainty.
const SIGMA_STATED_PERMILLE: u32 = 900;
/// Fuel, driver and belongings since the vehicle was registered, standard deviation in kilograms.
const VEHICLE_DRIFT_KG: f64 = 90.0;
/// Of a thousand weighings, those in which the sensor of one axle is dead.
const AXLE_DEAD_PERMILLE: u32 = 2;

pub(super) fn weigh(seed: u64, visit: &Visit) -> Weighing {
    let mut noise = Noise::of_reading(seed, &visit.equipment, Modality::Weighbridge, SampleNo(1));
    let truth = &visit.truth;
    let gross_kg = (truth.true_mass_g + truth.tare_mass_g + visit.truck.mass_g) as f64 / 1_000.0;
    // One driver in a hundred does not slow down for the scale.
    let speed_mm_s = if noise.chance(10) {
        noise.between(5_000, 12_000)
    } else {
        u64::from(visit.truck.speed_mm_s)
    } as u32;
    let sigma = relative_sigma(speed_mm_s);
    let measured = |noise: &mut Noise, kg: f64| libm::round(kg * (1.0 + sigma * noise.normal()) / STEP_KG) * STEP_KG;
    let gross_mass_kg = measured(&mut noise, gross_kg);
    let vehicle_kg = visit.truck.mass_g as f64 / 1_000.0 + VEHICLE_DRIFT_KG * noise.normal();
    let vehicle_known = noise.chance(VEHICLE_KNOWN_PERMILLE);
    let sigma_stated = noise.chance(SIGMA_STATED_PERMILLE);
    // What the whole is off, each axle is off too; each has its own error besides.
    let off = gross_mass_kg / gross_kg;
    let mut load_noise = Noise::of_pass(seed, &visit.equipment, Modality::Weighbridge);
    let mut axles_kg: Vec<u32> = axles::carried_kg(visit, &mut load_noise)
        .into_iter()
        .map(|kg| {
            let shown = kg * off * (1.0 + 0.9 * sigma * load_noise.normal());
            (libm::round(shown / STEP_KG) * STEP_KG).max(0.0) as u32
        })
        .collect();
    if load_noise.chance(AXLE_DEAD_PERMILLE) {
        let dead = load_noise.below(axles_kg.len() as u64) as usize;
        if let Some(axle) = axles_kg.get_mut(dead) {
            *axle = 0;
        }
    }
    Weighing {
        gross_mass_kg: gross_mass_kg as i64,
        vehicle_mass_kg: vehicle_known.then(|| libm::round(vehicle_kg / 10.0) as i64 * 10),
        sigma_kg: sigma_stated.then(|| libm::ceil(sigma * gross_mass_kg) as u32),
        speed_mm_s,
        axles_kg,
    }
}

/// Standard deviation relative to the mass. Published limits hold for 95 %: 0.2 to 0.5 % at 2 to 5 km/h, 1 to 2 % at
/// 10 to 30 km/h, 6 % at road speed; half of them is one standard deviation. Linear in between.
fn relative_sigma(speed_mm_s: u32) -> f64 {
    const POINTS: [(f64, f64); 5] = [
        (560.0, 0.001),
        (1_390.0, 0.002_5),
        (2_780.0, 0.005),
        (8_330.0, 0.01),
        (22_000.0, 0.03),
    ];
    let speed = f64::from(speed_mm_s);
    if speed <= POINTS[0].0 {
        return POINTS[0].1;
    }
    POINTS
        .windows(2)
        .find(|pair| speed <= pair[1].0)
        .map_or(POINTS[4].1, |pair| {
            let along = (speed - pair[0].0) / (pair[1].0 - pair[0].0);
            pair[0].1 + (pair[1].1 - pair[0].1) * along
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_errs_more_the_faster_the_vehicle_is() {
        let at = [0, 560, 1_000, 1_390, 2_780, 8_330, 22_000, 40_000].map(relative_sigma);
        assert!(at.is_sorted(), "{at:?}");
        assert_eq!(at[0], 0.001);
        assert_eq!(at[4], 0.005);
        assert_eq!(at[7], 0.03);
    }
}

//! How well a scale knows, and what is taken off its answer: tractor, chassis, container.

use portcullis_domain::manifest::Manifest;
use portcullis_domain::reading::Weighing;

/// Faster weighings are of little use, km/h.
pub const SPEED_MAX_KMH: f64 = 30.0;

/// Limits of error of the whole vehicle that hold for 95 %, by speed in km/h: what an instrument does that was made for
/// the speed. Standing and at walking pace the accuracy classes 0.2 and 0.5 of OIML R 134-1, up to 10 km/h class 1, up to 30
/// km/h class 2; at road speed 6 %, between the classes A(5) and B+(7) of COST 323. Linear in between.
///
/// What braking and accelerating add is left out: they move load between axles and bounce the body, and no
/// reading says how the driver drove.
const LIMITS: [(f64, f64); 5] = [(0.0, 0.002), (5.0, 0.005), (10.0, 0.01), (30.0, 0.02), (80.0, 0.06)];

/// A single axle is known worse than the vehicle: classes of COST 323 allow 8 % for an axle where they allow 5 % for the
/// vehicle.
pub(super) const AXLE_OVER_GROSS: f64 = 1.6;

/// A mass that is taken off, with its standard deviation, kilograms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tare {
    pub(super) kg: f64,
    pub(super) sigma_kg: f64,
}

pub(super) fn speed_kmh(weighing: &Weighing) -> f64 {
    f64::from(weighing.speed_mm_s) * 0.0036
}

/// Standard deviation of the whole vehicle's mass at a speed, as a share: half the limit that holds for 95 %.
pub(super) fn relative_sigma(kmh: f64) -> f64 {
    let [.., (_, widest)] = LIMITS;
    LIMITS
        .windows(2)
        .find_map(|pair| match pair {
            [(from, low), (to, high)] if kmh <= *to => Some(low + (high - low) * (kmh - from) / (to - from)),
            _ => None,
        })
        .unwrap_or(widest)
        / 2.0
}

/// The deviation of the scale, kilograms: as it states, else as its speed allows.
pub(super) fn sigma_kg(weighing: &Weighing) -> f64 {
    weighing.sigma_kg.map_or(
        relative_sigma(speed_kmh(weighing)) * weighing.gross_mass_kg as f64,
        f64::from,
    )
}

/// Tractor and chassis, if nobody says what they weigh: by the number of axles. Tractors of two axles weigh 7 to 8.5 t, of
/// three 9 to 10 t, container chassis 4 to 6 t (makers' data sheets). Working values.
pub(super) fn usual_vehicle(axles: usize) -> Tare {
    let (kg, sigma_kg) = match axles {
        3 => (11_000.0, 1_200.0),
        4 => (12_500.0, 1_100.0),
        5 => (14_200.0, 1_000.0),
        6 => (16_200.0, 1_200.0),
        _ => (15_000.0, 1_500.0),
    };
    Tare { kg, sigma_kg }
}

/// Tractor and chassis; fuel and driver make up most of the deviation of a known one.
pub(super) fn vehicle(weighing: &Weighing) -> Tare {
    weighing
        .vehicle_mass_kg
        .map_or(usual_vehicle(weighing.axles_kg.len()), |kg| Tare {
            kg: kg as f64,
            sigma_kg: 150.0,
        })
}

/// The empty container: as declared, else as usual for its length (the first sign of ISO 6346 size codes).
pub(super) fn container(manifest: &Manifest) -> Tare {
    if let Some(grams) = manifest.tare_mass_g {
        return Tare {
            kg: grams as f64 / 1_000.0,
            sigma_kg: 50.0,
        };
    }
    let (kg, sigma_kg) = match manifest.size_type.chars().next() {
        Some('2') => (2_300.0, 200.0),
        Some('4') => (3_900.0, 300.0),
        Some('L') => (4_800.0, 300.0),
        _ => (3_400.0, 900.0),
    };
    Tare { kg, sigma_kg }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_knows_less_the_faster_the_vehicle_is() {
        let at = [0.0, 2.0, 5.0, 10.0, 30.0, 80.0, 120.0].map(relative_sigma);
        assert!(at.is_sorted(), "{at:?}");
        assert_eq!([at[0], at[2], at[3], at[4], at[6]], [0.001, 0.0025, 0.005, 0.01, 0.03]);
    }

    #[test]
    fn more_axles_mean_a_heavier_vehicle() {
        let masses = [3, 4, 5, 6].map(|axles| usual_vehicle(axles).kg);
        assert!(masses.is_sorted());
    }
}

//! The magnetometer arch: eight total-field sensors on two posts, which the truck drives between.
//!
//! Iron is a crowd of small pieces here, each with a moment of its own, and a sensor shows the magnitude of the whole
//! vector sum. Goods are magnetic by their code, the box is made of panels, and the tractor of a few lumps.

use portcullis_domain::evidence::{Modality, ThreatFamily};
use portcullis_domain::id::SampleNo;
use portcullis_domain::reading::{MagneticProfile, MagneticSensor};

use crate::noise::Noise;
use crate::plan::Visit;

/// The field of the Earth at the port, picotesla, by axis of the lane.
const EARTH_PT: [f64; 3] = [17_500_000.0, 3_000_000.0, -45_500_000.0];
/// Posts to each side of the lane, and heights of sensors on them, millimetres.
const POSTS_MM: [i32; 2] = [-2_150, 2_150];
const HEIGHTS_MM: [i32; 4] = [900, 1_900, 2_900, 3_900];
/// Noise of one sample: the sensors have less, but trucks shake the ground.
const NOISE_PT: f64 = 300.0;
/// The front end of the box is sampled every so many millimetres.
const STEP_MM: i32 = 110;
/// From how far before the posts to how far behind them, millimetres.
const MARGIN_MM: i32 = 1_800;
/// Floor of the box above the road, and its inner height and half width, metres.
const FLOOR_M: f64 = 1.25;
const HEIGHT_M: f64 = 2.4;
const HALF_WIDTH_M: f64 = 1.1;
/// Moment that a kilogram of arms or machines in the field of the Earth has, A m2: iron parts with their remanence.
const ARMS_PER_KG: f64 = 0.05;

/// A piece of iron: behind the front of the box, to the left, above the road, metres; and its moment, A m2.
#[derive(Debug, Clone, Copy)]
struct Piece {
    at: [f64; 3],
    moment: [f64; 3],
}

/// Moment along the field of the Earth with a part that points anywhere.
fn moment(noise: &mut Noise, size: f64, remanent: f64) -> [f64; 3] {
    let strength = libm::sqrt(EARTH_PT.iter().map(|part| part * part).sum::<f64>());
    EARTH_PT.map(|part| size * (part / strength + remanent * noise.normal()))
}

/// Iron in a kilogram of goods with this code, as moment in A m2.
fn goods_per_kg(code: &str) -> f64 {
    match code.get(..2) {
        Some("72" | "73" | "82") => 0.06,
        Some("84" | "86" | "87" | "93") => 0.04,
        Some("85" | "94" | "40") => 0.004,
        Some("95" | "83") => 0.001,
        _ => 0.0,
    }
}

fn pieces(seed: u64, visit: &Visit) -> Vec<Piece> {
    let mut noise = Noise::of_pass(seed, &visit.equipment, Modality::Magnetometer);
    let length = box_length_m(visit);
    let mut pieces = Vec::new();
    // Engine, axles and saddle before the box; axles and lamps behind it.
    for (behind, height, size) in [(-3.6, 1.1, 160.0), (-2.6, 0.9, 120.0), (-1.4, 0.9, 80.0)] {
        let at = [behind + noise.range(-0.2, 0.2), 0.0, height];
        let moment = moment(&mut noise, size, 0.3);
        pieces.push(Piece { at, moment });
    }
    let frame = moment(&mut noise, 120.0, 0.2);
    // Panels of floor, roof and walls; each is magnetised much like the others, and a little as it was bent.
    let panels = 30_u32;
    let walls = moment(&mut noise, 110.0, 0.2);
    for number in 0..panels {
        let behind = length * (f64::from(number) + 0.5) / f64::from(panels);
        let share = 1.0 / f64::from(panels);
        pieces.push(Piece {
            at: [behind, 0.0, 0.95],
            moment: frame.map(|part| part * share),
        });
        for (across, height) in [
            (-HALF_WIDTH_M - 0.1, FLOOR_M + 1.2),
            (HALF_WIDTH_M + 0.1, FLOOR_M + 1.2),
            (0.0, FLOOR_M + HEIGHT_M + 0.1),
        ] {
            let bent = 0.03 * noise.normal();
            pieces.push(Piece {
                at: [behind, across, height],
                moment: walls.map(|part| part * share / 3.0 * (1.0 + bent)),
            });
        }
    }
    let anywhere = |noise: &mut Noise, low: f64| {
        [
            noise.range(0.8, (length - 0.8).max(0.9)),
            noise.range(-0.8, 0.8),
            FLOOR_M + noise.range(low, 1.8),
        ]
    };
    for item in &visit.announcement.manifest.goods {
        let kg = item.gross_mass_g.unwrap_or(0) as f64 / 1_000.0;
        let size = kg * goods_per_kg(&item.commodity_code);
        if size > 0.0 {
            for _ in 0..20 {
                let at = anywhere(&mut noise, 0.2);
                let moment = moment(&mut noise, size / 20.0, 0.5);
                pieces.push(Piece { at, moment });
            }
        }
    }
    for hidden in &visit.truth.concealed {
        let kg = hidden.mass_g as f64 / 1_000.0;
        let share = match hidden.family {
            ThreatFamily::Weapons => 0.7,
            ThreatFamily::Nuclear => 0.1,
            ThreatFamily::Undeclared if noise.chance(300) => 0.5,
            _ => 0.0,
        };
        if share > 0.0 {
            let at = anywhere(&mut noise, 0.1);
            let moment = moment(&mut noise, kg * share * ARMS_PER_KG, 0.8);
            pieces.push(Piece { at, moment });
        }
    }
    pieces
}

fn box_length_m(visit: &Visit) -> f64 {
    f64::from(visit.truck.box_to_mm.saturating_sub(visit.truck.box_from_mm)) / 1_000.0
}

/// The profile of a pass.
pub(super) fn pass(seed: u64, visit: &Visit) -> MagneticProfile {
    let pieces = pieces(seed, visit);
    let mut noise = Noise::of_reading(seed, &visit.equipment, Modality::Magnetometer, SampleNo(1));
    let box_length_mm = visit.truck.box_to_mm.saturating_sub(visit.truck.box_from_mm);
    let steps = (box_length_mm as i32 + 2 * MARGIN_MM) / STEP_MM;
    let positions_mm: Vec<i32> = (0..=steps).map(|step| step * STEP_MM - MARGIN_MM).collect();
    // Trains and cranes move the field for all sensors alike.
    let mut wander = 0.0;
    let drift: Vec<f64> = positions_mm
        .iter()
        .map(|_| {
            wander = 0.97 * wander + 1_500.0 * noise.normal();
            wander
        })
        .collect();
    let mut sensors = Vec::new();
    for y_mm in POSTS_MM {
        for z_mm in HEIGHTS_MM {
            let offset = 30_000.0 * noise.normal();
            let field_pt = positions_mm
                .iter()
                .zip(&drift)
                .map(|(front_mm, drift)| {
                    let front = f64::from(*front_mm) / 1_000.0;
                    let sensor = [front, f64::from(y_mm) / 1_000.0, f64::from(z_mm) / 1_000.0];
                    let value = magnitude(sensor, &pieces) + offset + drift + NOISE_PT * noise.normal();
                    libm::round(value) as i64
                })
                .collect();
            sensors.push(MagneticSensor {
                x_mm: 0,
                y_mm,
                z_mm,
                noise_pt: NOISE_PT as u32,
                field_pt,
            });
        }
    }
    MagneticProfile {
        earth_pt: EARTH_PT.map(|part| part as i32),
        box_length_mm,
        positions_mm,
        sensors,
    }
}

/// Magnitude of the field at a sensor, given behind the front of the box, picotesla. The field of a magnetic moment as two
/// opposite poles a hand apart, each falling off with the square of the distance.
fn magnitude(sensor: [f64; 3], pieces: &[Piece]) -> f64 {
    const APART_M: f64 = 0.1;
    let mut field = EARTH_PT;
    for piece in pieces {
        let size = libm::sqrt(piece.moment.iter().map(|part| part * part).sum::<f64>());
        if size <= 0.0 {
            continue;
        }
        for pole in [-0.5, 0.5] {
            let mut r = [0.0; 3];
            for axis in 0..3 {
                let at = piece.at[axis] + pole * APART_M * piece.moment[axis] / size * MIRROR[axis];
                // Behind the front grows against the direction of travel.
                r[axis] = (sensor[axis] - at) * MIRROR[axis];
            }
            let square = r.iter().map(|part| part * part).sum::<f64>();
            let strength = 1e5 * 2.0 * pole * size / APART_M / (square * libm::sqrt(square));
            for (field, part) in field.iter_mut().zip(r) {
                *field += strength * part;
            }
        }
    }
    libm::sqrt(field.iter().map(|part| part * part).sum::<f64>())
}

/// From the axes of the box, which count from its front to the back, to those of the lane.
const MIRROR: [f64; 3] = [-1.0, 1.0, 1.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_poles_make_the_field_of_a_dipole() {
        let piece = Piece {
            at: [5.0, 0.0, 2.0],
            moment: [0.0, 0.0, 10.0],
        };
        // On the axis 2 mu0/4pi m/r3, downwards field: less of it by the part along.
        let above = magnitude([5.0, 0.0, 4.0], &[piece]);
        let wanted = libm::sqrt(
            EARTH_PT[0] * EARTH_PT[0]
                + EARTH_PT[1] * EARTH_PT[1]
                + (EARTH_PT[2] + 1e5 * 2.0 * 10.0 / 8.0) * (EARTH_PT[2] + 1e5 * 2.0 * 10.0 / 8.0),
        );
        assert!((above - wanted).abs() < 2_000.0, "{above} {wanted}");
    }
}

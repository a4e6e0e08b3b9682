//! The large iron that stands beside the load: its places are known, its moments are not.

use super::gradient::{Column, Gradient};

/// The columns of the vehicle's large iron.
pub(super) fn columns(gradient: &Gradient) -> Vec<Column> {
    /// Height of the iron of chassis and engine, and of the middle of the container, metres above the road.
    const LOW: f64 = 1.0;
    const MIDDLE: f64 = 2.5;
    const ROOF: f64 = 3.8;
    /// Parts that floor, walls and roof are made of.
    const PARTS: u32 = 24;
    let mut columns = Vec::new();
    for place in [
        [-3.0, 0.0, LOW],
        [-1.5, 0.0, LOW],
        [0.0, 0.0, MIDDLE],
        [gradient.length, 0.0, MIDDLE],
        [gradient.length + 0.5, 0.0, LOW],
    ] {
        columns.extend(gradient.dipole(place));
    }
    for (across, height) in [(0.0, LOW), (-1.2, MIDDLE), (1.2, MIDDLE), (0.0, ROOF)] {
        let mut sides = [const { Vec::new() }; 3];
        for part in 0..PARTS {
            let behind = gradient.length * (f64::from(part) + 0.5) / f64::from(PARTS);
            for (side, column) in sides.iter_mut().zip(gradient.dipole([behind, across, height])) {
                if side.is_empty() {
                    *side = column;
                } else {
                    for (sum, value) in side.iter_mut().zip(column) {
                        *sum += value;
                    }
                }
            }
        }
        columns.extend(sides);
    }
    columns
}

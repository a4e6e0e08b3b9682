//! The large iron that stands beside the load: its places are known, its moments are not.

use super::gradient::Gradient;
use super::known::Column;

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
        add(&mut columns, &gradient.dipole(place));
    }
    for (across, height) in [(0.0, LOW), (-1.2, MIDDLE), (1.2, MIDDLE), (0.0, ROOF)] {
        let mut side: Vec<[f64; 3]> = Vec::new();
        for part in 0..PARTS {
            let behind = gradient.length * (f64::from(part) + 0.5) / f64::from(PARTS);
            let dipole = gradient.dipole([behind, across, height]);
            if side.is_empty() {
                side = dipole;
                continue;
            }
            for (sums, values) in side.iter_mut().zip(dipole) {
                for (sum, value) in sums.iter_mut().zip(values) {
                    *sum += value;
                }
            }
        }
        add(&mut columns, &side);
    }
    columns
}

/// Adds a column for each axis.
fn add(columns: &mut Vec<Column>, dipole: &[[f64; 3]]) {
    columns.extend((0..3).map(|axis| dipole.iter().map(|values| values[axis]).collect::<Column>()));
}

//! The field of a dipole along a straight line, in Anderson's functions.
//!
//! Along a line, any component of the field of a dipole is a sum of three functions of w, the distance along the line
//! from the closest point in units of the distance R at the closest point: w^n / (1 + w^2)^(5/2) with n = 0, 1, 2
//! (J. E. Anderson, Magnetic airborne detector frequency responses, Naval Air Development Center, 1949). Made orthonormal
//! over the whole line, they are the basis in which a passing dipole is detected by its energy (Ginzburg, Frumkis and
//! Kaplan, Sensors and Actuators A 102 (2002) 67).

/// The three functions at `w`.
pub(super) fn functions(w: f64) -> [f64; 3] {
    let square = 1.0 + w * w;
    let first = 1.0 / (square * square * square.sqrt());
    [first, first * w, first * w * w]
}

/// The same subspace, orthonormal over the whole line. With a, b the inner products of the functions (35 pi/128, 5 pi/128
/// and 3 pi/128 for powers 0, 2 and 4 of w), the third one is the second even one without its part along the first.
pub(super) fn orthonormal(w: f64) -> [f64; 3] {
    use std::f64::consts::PI;
    let [first, second, third] = functions(w);
    [
        first * (128.0 / (35.0 * PI)).sqrt(),
        second * (128.0 / (5.0 * PI)).sqrt(),
        (third - first / 7.0) * (56.0 / PI).sqrt(),
    ]
}

/// What a unit moment along each axis puts onto the three functions, in picotesla for a moment of 1 A m2.
///
/// `across` is the vector from the dipole to the closest point of the line through the sensor, metres, without a part along
/// the lane; `earth` is the direction of the field that is measured along. From
/// B = mu0/4pi (3 r (m r) / r^5 - m / r^3) and mu0/4pi = 1e-7 T m / A. None for a dipole on the line itself.
pub(super) fn coefficients(across: [f64; 2], earth: [f64; 3]) -> Option<([[f64; 3]; 3], f64)> {
    let closest = across[0].hypot(across[1]);
    if closest.is_nan() || closest < 0.05 {
        return None;
    }
    let unit = [0.0, across[0] / closest, across[1] / closest];
    let earth_across = earth[1] * unit[1] + earth[2] * unit[2];
    let scale = 1e5 / closest.powi(3);
    let of_axis = |axis: usize| {
        let along = f64::from(u8::from(axis == 0));
        [
            scale * (3.0 * unit[axis] * earth_across - earth[axis]),
            scale * 3.0 * (along * earth_across + unit[axis] * earth[0]),
            scale * (3.0 * along * earth[0] - earth[axis]),
        ]
    };
    Some(([of_axis(0), of_axis(1), of_axis(2)], closest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orthonormal_functions_are_orthonormal() {
        let step = 1e-3;
        let mut products = [[0.0; 3]; 3];
        for number in -60_000..60_000 {
            let values = orthonormal((f64::from(number) + 0.5) * step);
            for (row, left) in products.iter_mut().zip(values) {
                for (sum, right) in row.iter_mut().zip(values) {
                    *sum += left * right * step;
                }
            }
        }
        for (i, row) in products.iter().enumerate() {
            for (j, product) in row.iter().enumerate() {
                let wanted = f64::from(u8::from(i == j));
                assert!((product - wanted).abs() < 1e-4, "{i} {j}: {product}");
            }
        }
    }

    #[test]
    fn the_functions_sum_up_to_the_field_of_a_dipole() {
        let earth = [0.36, 0.1, -0.928_8];
        let moment = [3.0, -7.0, 11.0];
        let across = [1.3, -0.8];
        let (coefficients, closest) = coefficients(across, earth).unwrap();
        for x in [-4.0, -1.0, 0.0, 0.3, 2.5] {
            let r: [f64; 3] = [x, across[0], across[1]];
            let distance = r.iter().map(|part| part * part).sum::<f64>().sqrt();
            let along = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            let direct = 1e5
                * (3.0 * along(moment, r) * along(earth, r) / distance.powi(5)
                    - along(moment, earth) / distance.powi(3));
            let values = functions(x / closest);
            let summed: f64 = coefficients
                .iter()
                .zip(moment)
                .map(|(of_axis, moment)| moment * of_axis.iter().zip(values).map(|(c, f)| c * f).sum::<f64>())
                .sum();
            assert!(
                (direct - summed).abs() < 1e-6 * direct.abs().max(1.0),
                "{x}: {direct} {summed}"
            );
        }
    }
}

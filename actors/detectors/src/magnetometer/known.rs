//! What is known of a profile and taken out of everything that it is compared with: what all sensors share, and a set of
//! orthonormal directions.
//!
//! To weigh a place, only inner products of its columns without the known are needed. With P the projection onto what is
//! known, (a - Pa)(b - Pb) = ab - (Pa)(Pb), so that no column has to be made anew for each place.
#![allow(clippy::needless_range_loop, reason = "small matrices are read by their indices")]

/// One value for each sensor and sample, sample by sample: what a vector of the whole profile is here.
pub(super) type Column = Vec<f64>;

/// Directions that are left of a column after everything known was taken out count if they have this share of it.
const INDEPENDENT: f64 = 1e-6;
/// Directions that lie side by side, so that a processor can work on several at once.
const LANES: usize = 4;

/// What is known.
#[derive(Debug, Clone)]
pub(super) struct Known {
    sensors: usize,
    /// 1/noise of each value. Along it is what all sensors share in a sample, in units of noise.
    inverse_noise: Column,
    /// Its power in each sample.
    shared_power: Vec<f64>,
    /// Orthonormal, and orthogonal to what is shared; by fours, the last ones filled up with zeros.
    directions: Vec<Vec<[f64; LANES]>>,
    count: usize,
}

/// Inner products of columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gram<const N: usize> {
    /// Power of each column as it is.
    pub(super) before: [f64; N],
    /// Inner products without what is known.
    pub(super) products: [[f64; N]; N],
    /// Inner products with what is left of the measurement.
    pub(super) along: [f64; N],
}

impl Known {
    /// Nothing but what all sensors share, with noise as given: value by value, all above zero.
    pub(super) fn new(sensors: usize, noise: &[f64]) -> Self {
        let inverse_noise: Column = noise.iter().map(|noise| 1.0 / noise).collect();
        let samples = inverse_noise.chunks(sensors.max(1));
        Self {
            sensors,
            shared_power: samples.map(|sample| inner(sample, sample)).collect(),
            inverse_noise,
            directions: Vec::new(),
            count: 0,
        }
    }

    /// Directions, without what is shared.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// 1/noise of each value.
    pub(super) fn inverse_noise(&self) -> &[f64] {
        &self.inverse_noise
    }

    /// Samples, with the share of each of them that all sensors see. A single sensor shares with nobody.
    fn shared(&self) -> impl Iterator<Item = (&[f64], f64)> {
        let several = self.sensors > 1;
        let samples = self.inverse_noise.chunks(self.sensors.max(1)).zip(&self.shared_power);
        samples
            .filter(move |_| several)
            .map(|(inverse, power)| (inverse, *power))
    }

    /// A column without everything known.
    pub(super) fn without(&self, mut column: Column) -> Column {
        for (sample, (inverse, power)) in column.chunks_mut(self.sensors.max(1)).zip(self.shared()) {
            let shared = inner(sample, inverse) / power;
            for (value, inverse) in sample.iter_mut().zip(inverse) {
                *value -= shared * inverse;
            }
        }
        for directions in &self.directions {
            let mut along = [0.0; LANES];
            for (value, directions) in column.iter().zip(directions) {
                for lane in 0..LANES {
                    along[lane] += value * directions[lane];
                }
            }
            for (value, directions) in column.iter_mut().zip(directions) {
                for lane in 0..LANES {
                    *value -= along[lane] * directions[lane];
                }
            }
        }
        column
    }

    /// Adds what is new of a column. Returns it as a direction of length 1, or nothing if the column was known.
    pub(super) fn add(&mut self, column: Column) -> Option<Column> {
        let before = inner(&column, &column);
        let once = self.without(column);
        self.add_rest(before, once)
    }

    /// The same for a column that `before` had this power, and out of which everything known was taken once; taken out
    /// twice, nothing but rounding is left of it (Giraud, Langou and Rozloznik, Computers and Mathematics with
    /// Applications 50 (2005) 1069).
    fn add_rest(&mut self, before: f64, once: Column) -> Option<Column> {
        let mut rest = self.without(once);
        let power = inner(&rest, &rest);
        if !power.is_finite() || power <= INDEPENDENT * before {
            return None;
        }
        let length = power.sqrt();
        rest.iter_mut().for_each(|value| *value /= length);
        let lane = self.count % LANES;
        if lane == 0 {
            self.directions.push(vec![[0.0; LANES]; rest.len()]);
        }
        for (directions, value) in self.directions.last_mut()?.iter_mut().zip(&rest) {
            directions[lane] = *value;
        }
        self.count += 1;
        Some(rest)
    }

    /// Adds what is new of a column if at least the share `least` of its power is. Returns it as a direction of length 1.
    pub(super) fn add_if_new(&mut self, column: Column, least: f64) -> Option<Column> {
        let before = inner(&column, &column);
        let once = self.without(column);
        let left = inner(&once, &once);
        if left < least * before {
            return None;
        }
        self.add_rest(left, once)
    }

    /// Inner products of columns, which are given value by value, without what is known. `left` is what is left of the
    /// measurement.
    pub(super) fn gram<const N: usize>(&self, columns: &[[f64; N]], left: &[f64]) -> Gram<N> {
        let mut products = [[0.0; N]; N];
        let mut along = [0.0; N];
        for (values, left) in columns.iter().zip(left) {
            for a in 0..N {
                along[a] += values[a] * left;
                for b in 0..=a {
                    products[a][b] += values[a] * values[b];
                }
            }
        }
        let before = std::array::from_fn(|a| products[a][a]);
        for (sample, (inverse, power)) in columns.chunks(self.sensors.max(1)).zip(self.shared()) {
            let mut shared = [0.0; N];
            for (values, inverse) in sample.iter().zip(inverse) {
                for a in 0..N {
                    shared[a] += values[a] * inverse;
                }
            }
            for a in 0..N {
                for b in 0..=a {
                    products[a][b] -= shared[a] * shared[b] / power;
                }
            }
        }
        self.take_out_from(0, columns, &mut products);
        for a in 0..N {
            for b in 0..a {
                products[b][a] = products[a][b];
            }
        }
        Gram {
            before,
            products,
            along,
        }
    }

    /// Inner products as they are with the directions from `first` on known as well. `left` is what they leave of the
    /// measurement.
    pub(super) fn gram_from<const N: usize>(
        &self,
        first: usize,
        gram: &Gram<N>,
        columns: &[[f64; N]],
        left: &[f64],
    ) -> Gram<N> {
        let mut gram = *gram;
        self.take_out_from(first, columns, &mut gram.products);
        gram.along = [0.0; N];
        for (values, left) in columns.iter().zip(left) {
            for a in 0..N {
                gram.along[a] += values[a] * left;
            }
        }
        for a in 0..N {
            for b in 0..a {
                gram.products[b][a] = gram.products[a][b];
            }
        }
        gram
    }

    /// Takes the directions from `first` on out of inner products, the lower half of which is given.
    fn take_out_from<const N: usize>(&self, first: usize, columns: &[[f64; N]], products: &mut [[f64; N]; N]) {
        for (block, directions) in self.directions.iter().enumerate().skip(first / LANES) {
            let mut sums = [[0.0; LANES]; N];
            for (values, directions) in columns.iter().zip(directions) {
                for a in 0..N {
                    for lane in 0..LANES {
                        sums[a][lane] += values[a] * directions[lane];
                    }
                }
            }
            for lane in first.saturating_sub(block * LANES)..LANES {
                for a in 0..N {
                    for b in 0..=a {
                        products[a][b] -= sums[a][lane] * sums[b][lane];
                    }
                }
            }
        }
    }
}

/// Sum of the products of two columns.
pub(super) fn inner(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

/// Takes the part along a direction of length 1 out of a column.
pub(super) fn take_out(column: &mut [f64], direction: &[f64]) {
    let along = inner(direction, column);
    for (value, direction) in column.iter_mut().zip(direction) {
        *value -= along * direction;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_noise::Noise;

    const SENSORS: usize = 3;
    const VALUES: usize = 60;

    fn column(noise: &mut Noise) -> Column {
        (0..VALUES).map(|_| noise.normal()).collect()
    }

    #[test]
    fn inner_products_are_those_of_columns_without_the_known_however_many_directions_there_are() {
        let mut noise = Noise(5);
        let sigma: Column = (0..VALUES).map(|_| 1.0 + noise.unit()).collect();
        let mut known = Known::new(SENSORS, &sigma);
        let mut few = None;
        let rows: Vec<[f64; 2]> = (0..VALUES).map(|_| [noise.normal(), noise.normal()]).collect();
        for directions in 1..=10 {
            let direction = known.add(column(&mut noise)).unwrap();
            assert!((inner(&direction, &direction) - 1.0).abs() < 1e-12);
            let left = known.without(column(&mut noise));
            let gram = known.gram(&rows, &left);
            let columns = [0, 1].map(|a| known.without(rows.iter().map(|row| row[a]).collect()));
            for a in 0..2 {
                for b in 0..2 {
                    assert!((gram.products[a][b] - inner(&columns[a], &columns[b])).abs() < 1e-9);
                }
                assert!((gram.along[a] - inner(&columns[a], &left)).abs() < 1e-9);
            }
            if directions == 3 {
                few = Some(gram);
            } else if let Some(few) = &few {
                let later = known.gram_from(3, few, &rows, &left);
                for a in 0..2 {
                    assert!(
                        (later.products[a][0] - gram.products[a][0]).abs() < 1e-9,
                        "{directions}"
                    );
                    assert!((later.along[a] - gram.along[a]).abs() < 1e-9);
                }
            }
        }
        assert_eq!(known.len(), 10);
    }

    #[test]
    fn what_is_known_is_not_added_twice_and_what_all_share_is_nothing() {
        let mut noise = Noise(6);
        let sigma: Column = (0..VALUES).map(|_| 1.0 + noise.unit()).collect();
        let mut known = Known::new(SENSORS, &sigma);
        let first = column(&mut noise);
        assert!(known.add(first.clone()).is_some());
        assert!(known.add(first).is_none());
        // A field that changes with time and is the same for all sensors, in units of noise.
        let drift: Column = (0..VALUES)
            .map(|at| ((at / SENSORS) as f64).sin() / sigma[at])
            .collect();
        let left = known.without(drift);
        assert!(inner(&left, &left) < 1e-20);
    }
}

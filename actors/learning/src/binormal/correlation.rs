//! Sensors that share their errors: the joint d', and what becomes of a sum that ignores the sharing.

use super::normal::{cdf, quantile};

/// A correlation matrix, positive definite, with its Cholesky factor L (R = L L^T, lower triangle).
#[derive(Debug, Clone, PartialEq)]
pub struct Correlation {
    rows: Vec<Vec<f64>>,
    factor: Vec<Vec<f64>>,
}

/// A matrix that no set of scores can have as correlations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the correlations contradict each other (the matrix is not symmetric with ones on its diagonal and positive \
     definite, first seen in row {row}); bring them nearer to 0"
)]
pub struct NotPositiveDefinite {
    /// First row, from 0, at which it shows.
    pub row: usize,
}

impl Correlation {
    /// Checks and takes a matrix, row by row.
    pub fn new(rows: Vec<Vec<f64>>) -> Result<Self, NotPositiveDefinite> {
        let size = rows.len();
        for (i, row) in rows.iter().enumerate() {
            let mirrored = |(j, value): (usize, &f64)| rows.get(j).and_then(|other| other.get(i)) == Some(value);
            if row.len() != size || row.get(i) != Some(&1.0) || !row.iter().enumerate().all(mirrored) {
                return Err(NotPositiveDefinite { row: i });
            }
        }
        let mut factor: Vec<Vec<f64>> = Vec::with_capacity(size);
        for (i, row) in rows.iter().enumerate() {
            let mut line: Vec<f64> = Vec::with_capacity(i + 1);
            for (above, value) in factor.iter().zip(row) {
                let done = dot(above, &line);
                let pivot = above.last().copied().unwrap_or(1.0);
                line.push((value - done) / pivot);
            }
            let rest = 1.0 - dot(&line, &line);
            // Below this the inverse is rounding noise.
            if rest.is_nan() || rest < 1e-9 {
                return Err(NotPositiveDefinite { row: i });
            }
            line.push(libm::sqrt(rest));
            factor.push(line);
        }
        Ok(Self { rows, factor })
    }

    /// `size` sensors, each pair with the same correlation.
    pub fn uniform(size: usize, rho: f64) -> Result<Self, NotPositiveDefinite> {
        let row = |i: usize| (0..size).map(|j| if i == j { 1.0 } else { rho }).collect();
        Self::new((0..size).map(row).collect())
    }

    /// How many sensors it is about.
    pub fn size(&self) -> usize {
        self.rows.len()
    }

    /// Correlation of sensors `i` and `j`; 0 for sensors it does not know.
    pub fn of(&self, i: usize, j: usize) -> f64 {
        self.rows.get(i).and_then(|row| row.get(j)).copied().unwrap_or(0.0)
    }

    /// The matrix of some of the sensors, in the order given; a part of a positive definite matrix is one too.
    pub fn part(&self, sensors: &[usize]) -> Result<Self, NotPositiveDefinite> {
        Self::new(
            sensors
                .iter()
                .map(|i| sensors.iter().map(|j| self.of(*i, *j)).collect())
                .collect(),
        )
    }

    /// Independent standard normal values made dependent: L z.
    pub fn mix(&self, independent: &[f64]) -> Vec<f64> {
        self.factor.iter().map(|line| dot(line, independent)).collect()
    }

    /// R^-1 v, by forward and backward substitution.
    pub fn solve(&self, v: &[f64]) -> Vec<f64> {
        let mut forward: Vec<f64> = Vec::with_capacity(v.len());
        for (line, value) in self.factor.iter().zip(v) {
            let pivot = line.last().copied().unwrap_or(1.0);
            forward.push((value - dot(line, &forward)) / pivot);
        }
        let mut solution = forward;
        for i in (0..self.size()).rev() {
            let Some(line) = self.factor.get(i) else { continue };
            let pivot = line.last().copied().unwrap_or(1.0);
            let Some(value) = solution.get_mut(i).map(|value| {
                *value /= pivot;
                *value
            }) else {
                continue;
            };
            for (earlier, weight) in solution.iter_mut().take(i).zip(line) {
                *earlier -= weight * value;
            }
        }
        solution
    }

    /// d' of the best joint use of all sensors: sqrt(d^T R^-1 d).
    pub fn joint_d_prime(&self, d_primes: &[f64]) -> f64 {
        libm::sqrt(dot(d_primes, &self.solve(d_primes)))
    }

    /// What happens to the sum of log-likelihood ratios that takes the sensors for independent.
    ///
    /// The sum is proportional to d^T x. It believes in variance d^T d, its real variance is d^T R d, and a threat moves
    /// it by d^T d either way.
    pub fn naive_sum(&self, d_primes: &[f64], claimed_false_positive: f64) -> NaiveSum {
        let believed = dot(d_primes, d_primes);
        let real: f64 = self
            .rows
            .iter()
            .zip(d_primes)
            .map(|(row, d)| d * dot(row, d_primes))
            .sum();
        let (believed_deviation, real_deviation) = (libm::sqrt(believed), libm::sqrt(real));
        let threshold = -quantile(claimed_false_positive) * believed_deviation;
        NaiveSum {
            claimed_pd: cdf((believed - threshold) / believed_deviation),
            false_positive: cdf(-threshold / real_deviation),
            pd: cdf((believed - threshold) / real_deviation),
        }
    }
}

/// Claimed and real rates of a sum that ignores dependence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NaiveSum {
    /// The detection it claims.
    pub claimed_pd: f64,
    /// Its real false-positive rate.
    pub false_positive: f64,
    /// Its real detection.
    pub pd: f64,
}

/// Of as many elements as both have.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENSORS: [f64; 4] = [2.84, 1.1, 1.0, 1.0];

    #[test]
    fn the_correlation_trap_has_the_published_depth() {
        let rows = [
            (
                0.01,
                [("1.7", ".85", ".83"), ("3.5", ".85", ".79"), ("5.3", ".85", ".76")],
            ),
            (
                0.05,
                [("6.8", ".96", ".94"), ("9.9", ".96", ".91"), ("12.6", ".96", ".88")],
            ),
            (
                0.10,
                [("12.2", ".98", ".97"), ("15.8", ".98", ".95"), ("18.6", ".98", ".93")],
            ),
        ];
        for (set, cells) in rows {
            for (rho, (false_positive, claimed, real)) in [0.1, 0.3, 0.5].into_iter().zip(cells) {
                let sum = Correlation::uniform(4, rho).unwrap().naive_sum(&SENSORS, set);
                assert_eq!(
                    format!("{:.1}", 100.0 * sum.false_positive),
                    false_positive,
                    "{set} {rho}"
                );
                assert_eq!(format!("{:.2}", sum.claimed_pd), format!("0{claimed}"), "{set} {rho}");
                assert_eq!(format!("{:.2}", sum.pd), format!("0{real}"), "{set} {rho}");
            }
        }
    }

    #[test]
    fn four_slightly_dependent_sensors_make_three_standard_deviations() {
        let joint = Correlation::uniform(4, 0.1).unwrap().joint_d_prime(&SENSORS);
        assert_eq!(format!("{joint:.2}"), "3.08");
    }

    #[test]
    fn solving_undoes_multiplying() {
        let r = Correlation::new(vec![vec![1.0, 0.5, -0.2], vec![0.5, 1.0, 0.3], vec![-0.2, 0.3, 1.0]]).unwrap();
        let x = r.solve(&[1.0, 2.0, 3.0]);
        for (i, wanted) in [1.0, 2.0, 3.0].into_iter().enumerate() {
            let product: f64 = x.iter().enumerate().map(|(j, x)| r.of(i, j) * x).sum();
            assert!((product - wanted).abs() < 1e-12);
        }
    }

    #[test]
    fn correlations_that_contradict_each_other_are_refused() {
        assert!(Correlation::uniform(3, -0.6).is_err());
        assert!(Correlation::uniform(2, 1.0).is_err());
        assert!(Correlation::new(vec![vec![1.0, 0.2], vec![0.3, 1.0]]).is_err());
        assert!(Correlation::new(vec![vec![1.0, 0.2]]).is_err());
        assert!(Correlation::uniform(2, f64::NAN).is_err());
    }
}

//! Poisson counts, fixed by a seed.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Above this mean the normal distribution stands in: its error is far below a template's.
const NORMAL_ABOVE: f64 = 200.0;

/// A stream of counts.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of one spectrum: the same seed and stream give the same counts on every platform.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(stream);
        Self(generator)
    }

    /// Even between 0 and 1, never 0.
    fn unit(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// A Poisson count of this mean: by inversion, or by Box and Muller's normal for large means.
    pub(super) fn poisson(&mut self, mean: f64) -> f64 {
        if mean > NORMAL_ABOVE {
            let radius = libm::sqrt(-2.0 * libm::log(self.unit()));
            let normal = radius * libm::cos(std::f64::consts::TAU * self.unit());
            return libm::round(mean + normal * libm::sqrt(mean)).max(0.0);
        }
        let (mut count, mut term, dice) = (0.0, libm::exp(-mean), self.unit());
        let mut sum = term;
        while sum < dice && term > 1e-300 {
            count += 1.0;
            term *= mean / count;
            sum += term;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_the_mean_and_the_variance_of_a_poisson_distribution() {
        for mean in [0.0, 0.3, 12.0, 180.0, 900.0] {
            let mut draw = Draw::new(5, 1);
            let counts: Vec<f64> = (0..20_000).map(|_| draw.poisson(mean)).collect();
            let average = counts.iter().sum::<f64>() / 20_000.0;
            let variance = counts.iter().map(|count| (count - average).powi(2)).sum::<f64>() / 20_000.0;
            assert!(
                (average - mean).abs() <= 5.0 * (mean / 20_000.0).sqrt(),
                "{mean}: {average}"
            );
            assert!((variance - mean).abs() <= 0.06 * mean + 1e-9, "{mean}: {variance}");
        }
    }
}

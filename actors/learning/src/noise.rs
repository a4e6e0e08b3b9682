//! Random numbers that are fixed by a seed and a place in the sequence, the same on every platform.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

/// Above this mean the normal distribution stands in for Poisson's.
const NORMAL_ABOVE: f64 = 200.0;

/// A stream of random values.
#[derive(Debug, Clone)]
pub(crate) struct Noise {
    rng: ChaCha8Rng,
    /// The second value of the last pair, not used yet.
    spare: Option<f64>,
}

impl Noise {
    /// The stream with this number under this seed. No two streams of a seed have anything in common.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self { rng, spare: None }
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Normal with mean 0 and standard deviation 1 (Marsaglia's polar method).
    pub(crate) fn normal(&mut self) -> f64 {
        if let Some(value) = self.spare.take() {
            return value;
        }
        loop {
            let x = 2.0 * self.unit() - 1.0;
            let y = 2.0 * self.unit() - 1.0;
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let factor = libm::sqrt(-2.0 * libm::log(square) / square);
                self.spare = Some(y * factor);
                return x * factor;
            }
        }
    }

    /// A Poisson count of this mean: by inversion, or by the normal distribution where it is as good.
    pub(crate) fn poisson(&mut self, mean: f64) -> f64 {
        if mean > NORMAL_ABOVE {
            return libm::round(mean + self.normal() * libm::sqrt(mean)).max(0.0);
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
            let mut noise = Noise::new(5, 1);
            let counts: Vec<f64> = (0..20_000).map(|_| noise.poisson(mean)).collect();
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

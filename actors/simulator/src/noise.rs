//! Randomness without state: every draw is named, and the name decides the value.

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::Modality;
use portcullis_domain::id::SampleNo;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

const CONTEXT: &[u8] = b"portcullis.simulator.v1\0";

/// A stream of random values that is fixed by its name.
///
/// The stream is ChaCha8 keyed with SHA-256 of the name. Logarithm and exponential come from plain Rust code, so the
/// same name gives the same bits on every platform.
#[derive(Debug, Clone)]
pub struct Noise(ChaCha8Rng);

impl Noise {
    /// The stream of one sample of one modality of one container.
    pub fn of_reading(seed: u64, equipment: &EquipmentId, modality: Modality, sample: SampleNo) -> Self {
        Self::named(
            seed,
            "reading",
            equipment.as_str(),
            modality.as_str(),
            u64::from(sample.0),
        )
    }

    /// The stream of what stays the same over a whole pass of one container, such as a broken detector.
    pub fn of_pass(seed: u64, equipment: &EquipmentId, modality: Modality) -> Self {
        Self::named(seed, "pass", equipment.as_str(), modality.as_str(), 0)
    }

    /// The stream of the energies of one radiation sample of one container; of what emits them for sample 0.
    pub(crate) fn of_spectra(seed: u64, equipment: &EquipmentId, sample: SampleNo) -> Self {
        Self::named(seed, "spectra", equipment.as_str(), "", u64::from(sample.0))
    }

    /// The stream of what belongs to the port as a whole, such as the efficiency of its detectors.
    pub(crate) fn of_port(seed: u64, what: &str) -> Self {
        Self::named(seed, "port", what, "", 0)
    }

    /// The stream of one aspect of the visit with this index.
    pub(crate) fn of_visit(seed: u64, aspect: &str, index: u64) -> Self {
        Self::named(seed, "visit", aspect, "", index)
    }

    fn named(seed: u64, realm: &str, subject: &str, modality: &str, number: u64) -> Self {
        let mut hash = Sha256::new();
        hash.update(CONTEXT);
        hash.update(seed.to_be_bytes());
        // With its length in front of each part, no two names have the same bytes.
        for part in [realm, subject, modality] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.update(number.to_be_bytes());
        Self(ChaCha8Rng::from_seed(hash.finalize().into()))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True with probability `permille` / 1000.
    pub fn chance(&mut self, permille: u32) -> bool {
        self.below(1_000) < u64::from(permille)
    }

    /// Uniform in 0 to `end` - 1; 0 if `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The high half of the product: the bias is at most end / 2^64.
        let wide = u128::from(self.bits()) * u128::from(end);
        (wide >> 64) as u64
    }

    /// Uniform in `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low.saturating_add(self.below(high.saturating_sub(low).saturating_add(1)))
    }

    /// Uniform in [`low`, `high`).
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Log-uniform in [`low`, `high`), both positive: each factor is as likely as any other.
    pub fn spread(&mut self, low: f64, high: f64) -> f64 {
        low * libm::exp(libm::log(high / low) * self.unit())
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -libm::log(1.0 - self.unit())
    }

    /// Normal with mean 0 and standard deviation 1 (Marsaglia's polar method).
    pub fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (self.range(-1.0, 1.0), self.range(-1.0, 1.0));
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                return x * libm::sqrt(-2.0 * libm::log(square) / square);
            }
        }
    }

    /// Poisson with the given mean: by multiplying uniforms when it is small, else by transformed rejection
    /// (Hörmann 1993, PTRS). A mean that is not positive gives 0.
    pub fn poisson(&mut self, mean: f64) -> u64 {
        if mean.is_nan() || mean <= 0.0 {
            return 0;
        }
        if mean < 10.0 {
            let end = libm::exp(-mean);
            let mut count = 0;
            let mut product = self.unit();
            while product > end {
                count += 1;
                product *= self.unit();
            }
            return count;
        }
        let b = 0.931 + 2.53 * libm::sqrt(mean);
        let a = -0.059 + 0.024_83 * b;
        let inverse_alpha = 1.123_9 + 1.132_8 / (b - 3.4);
        let v_r = 0.927_7 - 3.622_4 / (b - 2.0);
        loop {
            let u = self.unit() - 0.5;
            let v = 1.0 - self.unit();
            let us = 0.5 - libm::fabs(u);
            let k = libm::floor((2.0 * a / us + b) * u + mean + 0.43);
            if us >= 0.07 && v <= v_r {
                return k as u64;
            }
            if k < 0.0 || (us < 0.013 && v > us) {
                continue;
            }
            let left = libm::log(v * inverse_alpha / (a / (us * us) + b));
            if left <= k * libm::log(mean) - mean - log_factorial(k) {
                return k as u64;
            }
        }
    }

    /// One of `items`, with the weights that `weight` gives. The last one if all weights are 0; none if there is none.
    pub fn pick<'a, T>(&mut self, items: &'a [T], weight: impl Fn(&T) -> u32) -> Option<&'a T> {
        let total: u64 = items.iter().map(|item| u64::from(weight(item))).sum();
        let mut left = self.below(total);
        for item in items {
            let share = u64::from(weight(item));
            if left < share {
                return Some(item);
            }
            left -= share;
        }
        items.last()
    }
}

/// ln k! for a whole k: exact products below 10, Stirling's series above (error below 1e-10).
fn log_factorial(k: f64) -> f64 {
    const SMALL: [f64; 10] = [1.0, 1.0, 2.0, 6.0, 24.0, 120.0, 720.0, 5_040.0, 40_320.0, 362_880.0];
    const HALF_LOG_TWO_PI: f64 = 0.918_938_533_204_672_7;
    if k < 10.0 {
        return SMALL.get(k as usize).map_or(0.0, |factorial| libm::log(*factorial));
    }
    let n = k + 1.0;
    let square = n * n;
    (n - 0.5) * libm::log(n) - n
        + HALF_LOG_TWO_PI
        + (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / (1_260.0 * square)) / square) / n
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(number: u64) -> Noise {
        Noise::of_visit(7, "test", number)
    }

    #[test]
    fn the_name_decides_the_stream_and_any_other_name_gives_another() {
        let id = EquipmentId::new("CBHU6192031").unwrap();
        let first = |noise: &mut Noise| (noise.bits(), noise.bits());
        let reading = |seed, modality, sample| first(&mut Noise::of_reading(seed, &id, modality, SampleNo(sample)));
        let one = reading(1, Modality::Radiation, 1);
        assert_eq!(one, reading(1, Modality::Radiation, 1));
        assert_ne!(one, reading(2, Modality::Radiation, 1));
        assert_ne!(one, reading(1, Modality::Ocr, 1));
        assert_ne!(one, reading(1, Modality::Radiation, 2));
        let other = EquipmentId::new("CBHU6192032").unwrap();
        assert_ne!(
            one,
            first(&mut Noise::of_reading(1, &other, Modality::Radiation, SampleNo(1)))
        );
    }

    #[test]
    fn poisson_has_mean_and_variance_of_its_parameter_over_both_methods() {
        for (number, mean) in [0.3, 2.0, 9.9, 10.1, 50.0, 430.0, 130_000.0].into_iter().enumerate() {
            let mut noise = noise(number as u64);
            let n = 20_000;
            let (mut sum, mut squares) = (0.0, 0.0);
            for _ in 0..n {
                let off = noise.poisson(mean) as f64 - mean;
                sum += off;
                squares += off * off;
            }
            let (bias, variance) = (sum / f64::from(n), squares / f64::from(n));
            let sigma = (mean / f64::from(n)).sqrt();
            assert!(bias.abs() < 4.5 * sigma, "mean {mean}: off by {bias}");
            // The variance of the sample variance is about (2 + 1/mean) mean^2 / n.
            let spread = ((2.0 + 1.0 / mean) / f64::from(n)).sqrt();
            assert!(
                (variance / mean - 1.0).abs() < 4.5 * spread,
                "mean {mean}: variance {variance}"
            );
        }
        assert_eq!(noise(0).poisson(0.0), 0);
        assert_eq!(noise(0).poisson(-1.0), 0);
        assert_eq!(noise(0).poisson(f64::NAN), 0);
    }

    #[test]
    fn normal_and_exponential_have_their_moments() {
        let mut noise = noise(0);
        let n = 50_000;
        let normals: Vec<f64> = (0..n).map(|_| noise.normal()).collect();
        let mean = normals.iter().sum::<f64>() / f64::from(n);
        let variance = normals.iter().map(|x| x * x).sum::<f64>() / f64::from(n);
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
        let waited = (0..n).map(|_| noise.exponential()).sum::<f64>() / f64::from(n);
        assert!((waited - 1.0).abs() < 0.02, "{waited}");
    }

    #[test]
    fn log_factorial_agrees_with_the_sum_of_logarithms() {
        let mut sum = 0.0;
        for k in 1..200 {
            sum += f64::from(k).ln();
            assert!((log_factorial(f64::from(k)) - sum).abs() < 1e-9, "{k}");
        }
    }

    #[test]
    fn pick_follows_the_weights() {
        let mut noise = noise(1);
        let items = [("never", 0), ("rare", 1), ("often", 3)];
        let mut counts = [0; 3];
        for _ in 0..4_000 {
            let chosen = noise.pick(&items, |item| item.1).unwrap();
            counts[items.iter().position(|item| item == chosen).unwrap()] += 1;
        }
        assert_eq!(counts[0], 0);
        assert!((900..1_100).contains(&counts[1]), "{counts:?}");
        assert!(noise.pick(&[] as &[u8], |_| 1).is_none());
    }
}

//! One line at one frequency: how well the echo train fits it, and what that would be worth.
//!
//! # Model
//! A line at offset d from the carrier adds to sample t of echo e
//! `A exp(-e T / T2e) exp(-pi w |t|) exp(i 2 pi d t)`, with t from the middle of the echo, width w, spacing T and an unknown
//! complex amplitude A: the echo train model of Somasundaram et al., IEEE Trans. Geosci. Remote Sens. 45 (2007) 925.
//!
//! Each echo is filtered with the echo's shape, which leaves one complex number for each echo. Of these, whatever is the
//! same in all echoes is taken out first: ringing of coil and container, which follows the pulses, and a carrier that
//! beats in step with them. What decays as the line does remains. The noise is what is left without line and constant,
//! *at this very frequency*: coloured noise needs no model then, and interference that keeps no step with the pulses only
//! raises it. The price is that a train shorter than T2e shows nothing.
//!
//! With m = echoes - 2 left over, S = m ln(1 + F/m) of the ratio F of line to noise is exponential with mean 1 when there
//! is only Gaussian noise, whatever its level (F follows the distribution F(2, 2m)).

use super::complex::{Complex, dot};
use super::lines::Line;
use super::train::Train;

/// Sums of echoes in which a tone is looked for.
const SUMS_MAX: usize = 512;

/// The fit of one line at one frequency.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fit {
    /// Where, hertz.
    pub(super) hertz: f64,
    /// How well a line fits: exponential with mean 1 in noise alone.
    pub(super) score: f64,
    /// What the score rises by for an amplitude of one picovolt in the first echo, on average.
    pub(super) gain: f64,
}

/// The filter for one line in one train.
#[derive(Debug)]
pub(super) struct Filter<'a> {
    train: &'a Train,
    line: &'a Line,
    /// Decay over the echoes, without its mean.
    decay: Vec<f64>,
    decay_power: f64,
}

/// One complex number for each echo, and what a unit amplitude makes of it.
pub(super) struct Filtered {
    pub(super) echoes: Vec<Complex>,
    shape_power: f64,
}

impl<'a> Filter<'a> {
    pub(super) fn new(train: &'a Train, line: &'a Line) -> Self {
        let echoes = train.echoes.len();
        let mut decay: Vec<f64> = (0..echoes)
            .map(|echo| (-(echo as f64) * train.spacing_s / line.decay_s).exp())
            .collect();
        let mean = decay.iter().sum::<f64>() / echoes.max(1) as f64;
        for value in &mut decay {
            *value -= mean;
        }
        let decay_power = decay.iter().map(|value| value * value).sum();
        Self {
            train,
            line,
            decay,
            decay_power,
        }
    }

    /// How finely frequencies can be told apart, hertz.
    pub(super) fn resolution_hz(&self) -> f64 {
        self.line.width.max(1.0 / self.train.window_s())
    }

    /// Filters each echo with the shape of the line's echo at a frequency in hertz.
    pub(super) fn apply(&self, hertz: f64) -> Filtered {
        use std::f64::consts::{PI, TAU};
        let offset = hertz - self.train.carrier_hz;
        let mut shape_power = 0.0;
        let shape: Vec<Complex> = self
            .train
            .times
            .iter()
            .map(|time| {
                let envelope = (-PI * self.line.width * time.abs()).exp();
                shape_power += envelope * envelope;
                Complex::turn(-TAU * offset * time).times(envelope)
            })
            .collect();
        Filtered {
            echoes: self.train.echoes.iter().map(|echo| dot(echo, &shape)).collect(),
            shape_power,
        }
    }

    /// The fit at a frequency in hertz; none where there is no noise to compare with, as in a dead receiver.
    pub(super) fn fit(&self, hertz: f64) -> Option<Fit> {
        let filtered = self.apply(hertz);
        let left_over = self.decay.len().checked_sub(2).filter(|left| *left > 0)? as f64;
        let (line, power, rest) = self.split(&filtered);
        let noise = (rest - line) / left_over;
        // Below this share, what is left is rounding and no noise.
        if noise.is_nan() || noise <= power * 1e-12 {
            return None;
        }
        Some(Fit {
            hertz,
            score: left_over * (line / noise / left_over).ln_1p(),
            gain: self.decay_power * filtered.shape_power / noise,
        })
    }

    /// Power that the decaying line explains beside a constant, power of everything, and power without the constant.
    fn split(&self, filtered: &Filtered) -> (f64, f64, f64) {
        let (mut along, mut sum, mut power) = (Complex::ZERO, Complex::ZERO, 0.0);
        for (decay, echo) in self.decay.iter().zip(&filtered.echoes) {
            along += echo.times(*decay);
            sum += *echo;
            power += echo.power();
        }
        let shape = filtered.shape_power;
        let constant = sum.power() / (self.decay.len() as f64 * shape);
        let line = along.power() / (self.decay_power * shape);
        (line, power / shape, power / shape - constant)
    }

    /// Whether a steady tone explains the echoes at this frequency better than a decaying line: then it is no resonance.
    pub(super) fn is_tone(&self, hertz: f64) -> bool {
        let echoes = self.apply(hertz).echoes;
        // Only tones that turn slowly from echo to echo can look like a line, and those survive sums of neighbours.
        let sums: Vec<Complex> = echoes
            .chunks(echoes.len().div_ceil(SUMS_MAX).max(1))
            .map(|some| some.iter().fold(Complex::ZERO, |sum, echo| sum + *echo))
            .collect();
        // A tone turns by the same angle from echo to echo.
        let tone = |angle: f64| {
            let turn = Complex::turn(-angle);
            let (mut phase, mut sum) = (Complex { re: 1.0, im: 0.0 }, Complex::ZERO);
            for echo in &sums {
                sum += *echo * phase;
                phase = phase * turn;
            }
            sum.power() / echoes.len() as f64
        };
        let mut step = std::f64::consts::PI / sums.len() as f64;
        let mut best = (0..2 * sums.len())
            .map(|number| step * number as f64)
            .map(|angle| (tone(angle), angle))
            .fold((0.0, 0.0), |best, other| if other.0 > best.0 { other } else { best });
        for _ in 0..4 {
            step /= 2.0;
            for angle in [best.1 - step, best.1 + step] {
                let power = tone(angle);
                if power > best.0 {
                    best = (power, angle);
                }
            }
        }
        let (mut along, mut power) = (Complex::ZERO, 0.0);
        for (number, echo) in echoes.iter().enumerate() {
            let decay = (-(number as f64) * self.train.spacing_s / self.line.decay_s).exp();
            along += echo.times(decay);
            power += decay * decay;
        }
        best.0 > along.power() / power
    }
}

impl Fit {
    /// Natural log of the likelihood ratio of a line with this amplitude in picovolts and unknown phase, against noise:
    /// exp(-L) I0(2 sqrt(L S)) with L the mean rise of the score.
    pub(super) fn log_ratio(&self, picovolts: f64) -> f64 {
        let rise = self.gain * picovolts * picovolts;
        log_bessel_i0(2.0 * (rise * self.score.max(0.0)).sqrt()) - rise
    }
}

/// ln of the modified Bessel function I0 (Abramowitz and Stegun 9.8.1 and 9.8.2; error below 2e-7).
fn log_bessel_i0(x: f64) -> f64 {
    let horner = |t: f64, coefficients: &[f64]| coefficients.iter().rev().fold(0.0, |sum, c| sum * t + c);
    if x < 3.75 {
        let t = (x / 3.75).powi(2);
        horner(
            t,
            &[
                1.0,
                3.515_622_9,
                3.089_942_4,
                1.206_749_2,
                0.265_973_2,
                0.036_076_8,
                0.004_581_3,
            ],
        )
        .ln()
    } else {
        let t = 3.75 / x;
        let rest = horner(
            t,
            &[
                0.398_942_28,
                0.013_285_92,
                0.002_253_19,
                -0.001_575_65,
                0.009_162_81,
                -0.020_577_06,
                0.026_355_37,
                -0.016_476_33,
                0.003_923_77,
            ],
        );
        x - 0.5 * x.ln() + rest.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bessel_agrees_with_its_series() {
        for x in [0.0_f64, 0.3, 1.0, 3.7, 3.8, 9.0, 30.0] {
            let (mut term, mut sum) = (1.0, 1.0);
            for k in 1..200 {
                term *= (x / 2.0 / f64::from(k)).powi(2);
                sum += term;
            }
            assert!((log_bessel_i0(x) - f64::ln(sum)).abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn in_noise_alone_the_mean_likelihood_ratio_is_one() {
        // The score is exponential there; the mean over its distribution, by small steps.
        let step = 1e-3;
        for rise in [0.5, 2.0, 5.0] {
            let mean: f64 = (0..60_000)
                .map(|number| {
                    let score = (f64::from(number) + 0.5) * step;
                    let fit = Fit {
                        hertz: 0.0,
                        score,
                        gain: rise,
                    };
                    (fit.log_ratio(1.0) - score).exp() * step
                })
                .sum();
            assert!((mean - 1.0).abs() < 1e-3, "{rise}: {mean}");
        }
    }
}

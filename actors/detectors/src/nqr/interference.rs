//! Narrow lines of radio transmitters and machines in the noise reference, which holds no signal.

use super::complex::{Complex, dot};
use super::train::Train;

/// Longest piece of the reference that is looked at as one, samples.
const PIECE: usize = 256;
/// A peak is this many standard deviations of the mean spectrum above its surroundings.
const STANDS_OUT: f64 = 7.0;
/// Bins to each side whose median is the level of the noise there.
const SURROUNDINGS: usize = 12;

/// Frequencies that a narrow line in the reference spoils.
#[derive(Debug, Default)]
pub(super) struct Interference {
    /// Middle of each spoiled bin, hertz.
    pub(super) hertz: Vec<f64>,
    /// To each side, hertz.
    reach: f64,
}

impl Interference {
    /// Looks for narrow lines in the noise reference of a train: in the mean of the spectra of its pieces, a bin that
    /// stands out of the median of its surroundings. Pieces are tapered (Hann), so that a strong line stays narrow.
    pub(super) fn find(train: &Train) -> Self {
        let piece = train.reference.len().min(PIECE);
        if piece < 32 {
            return Self::default();
        }
        let taper: Vec<f64> = (0..piece)
            .map(|sample| {
                let phase = std::f64::consts::TAU * (sample as f64 + 0.5) / piece as f64;
                0.5 - 0.5 * phase.cos()
            })
            .collect();
        let pieces: Vec<&[Complex]> = train.reference.chunks_exact(piece).collect();
        let spectrum: Vec<f64> = (0..piece)
            .map(|bin| {
                let turn = -std::f64::consts::TAU * bin as f64 / piece as f64;
                let wave: Vec<Complex> = taper
                    .iter()
                    .enumerate()
                    .map(|(sample, taper)| Complex::turn(turn * sample as f64).times(*taper))
                    .collect();
                pieces.iter().map(|piece| dot(piece, &wave).power()).sum::<f64>()
            })
            .collect();
        let factor = 1.0 + STANDS_OUT / (pieces.len() as f64).sqrt();
        let bin_hz = train.rate_hz / piece as f64;
        let mut found = Self {
            hertz: Vec::new(),
            reach: 2.0 * bin_hz,
        };
        for (bin, power) in spectrum.iter().enumerate() {
            let mut around: Vec<f64> = (1..=SURROUNDINGS)
                .flat_map(|away| [(bin + away) % piece, (bin + piece - away) % piece])
                .map(|bin| spectrum[bin])
                .collect();
            around.sort_by(f64::total_cmp);
            let level = around[SURROUNDINGS];
            // The median of few exponential powers is below their mean by up to ln 2.
            if *power > factor * level / std::f64::consts::LN_2 && level > 0.0 {
                let signed = if bin > piece / 2 {
                    bin as f64 - piece as f64
                } else {
                    bin as f64
                };
                found.hertz.push(train.carrier_hz + signed * bin_hz);
            }
        }
        found
    }

    /// Whether a frequency in hertz is spoiled.
    pub(super) fn spoils(&self, hertz: f64) -> bool {
        self.hertz.iter().any(|spoiled| (spoiled - hertz).abs() <= self.reach)
    }
}

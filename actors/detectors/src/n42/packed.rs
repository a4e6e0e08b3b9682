//! Spectra as documents hold them: runs of zeros stay counted until somebody wants channels.
//!
//! A pass of a germanium portal is 3 MB of text and 17 million channels, nearly all of them empty. Whoever interprets it takes one
//! sample after the other, so its channels need to be there for one sample at a time.

use portcullis_domain::reading::Spectrum;

/// A spectrum of one detector.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedSpectrum {
    /// Energy of the lower edge of channel i is the polynomial in i with these coefficients, keV; empty if the document gives
    /// none.
    pub calibration_kev: Vec<f64>,
    /// Counts of each channel.
    pub counts: PackedCounts,
}

/// Counts by channel. Two are equal if their channels are.
#[derive(Debug, Clone, Default)]
pub struct PackedCounts {
    /// Counts; with `runs`, a zero is followed by how many zeros it stands for.
    words: Vec<u32>,
    runs: bool,
    channels: usize,
}

impl PackedCounts {
    /// Counts from their words: with `runs`, a zero is followed by how many zeros it stands for, which `channels` counts.
    pub(super) fn new(words: &[u32], runs: bool, channels: usize) -> Self {
        Self {
            words: words.to_vec(),
            runs,
            channels,
        }
    }

    /// How many channels there are.
    pub fn len(&self) -> usize {
        self.channels
    }

    /// Whether there is no channel.
    pub fn is_empty(&self) -> bool {
        self.channels == 0
    }

    /// The counts of each channel.
    pub fn unpack(&self) -> Vec<u32> {
        if !self.runs {
            return self.words.clone();
        }
        let mut counts = vec![0; self.channels];
        let mut channel = 0;
        let mut words = self.words.iter();
        while let Some(word) = words.next() {
            match word {
                0 => channel += words.next().map_or(0, |run| *run as usize),
                count => {
                    if let Some(slot) = counts.get_mut(channel) {
                        *slot = *count;
                    }
                    channel += 1;
                }
            }
        }
        counts
    }
}

impl PartialEq for PackedCounts {
    fn eq(&self, other: &Self) -> bool {
        self.channels == other.channels && self.unpack() == other.unpack()
    }
}

impl Eq for PackedCounts {}

impl From<PackedSpectrum> for Spectrum {
    fn from(packed: PackedSpectrum) -> Self {
        Self {
            calibration_kev: packed.calibration_kev,
            counts: packed.counts.unpack(),
        }
    }
}

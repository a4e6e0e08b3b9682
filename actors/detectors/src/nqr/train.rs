//! An echo train in volts, checked, with the ringing of the coil cut off.

use portcullis_domain::reading::{Iq, NQR_SAMPLES_MAX, NqrWaveform};

use super::complex::Complex;

/// Fewer echoes than this do not show what decays and what does not.
const ECHOES_MIN: usize = 16;
/// Samples of one window.
const WINDOW_SAMPLES: std::ops::RangeInclusive<usize> = 16..=512;

/// A checked echo train.
#[derive(Debug)]
pub(super) struct Train {
    pub(super) carrier_hz: f64,
    pub(super) rate_hz: f64,
    /// From one echo to the next, seconds.
    pub(super) spacing_s: f64,
    pub(super) kelvin: Option<f64>,
    /// Amplitude of the first echo of a mole of nuclei with the coil as it is now, picovolts.
    pub(super) picovolts_per_mole: f64,
    /// Quality of the coil as a share of that of the empty coil.
    pub(super) quality: f64,
    /// Time of each sample that is left of a window, relative to the middle of the echo, seconds.
    pub(super) times: Vec<f64>,
    /// The echoes, picovolts; each is as long as `times`.
    pub(super) echoes: Vec<Vec<Complex>>,
    /// Without excitation, picovolts.
    pub(super) reference: Vec<Complex>,
    /// Share of the window that the ringing of the coil took.
    pub(super) ringing: f64,
}

impl Train {
    /// Checks a reading and brings it into volts.
    ///
    /// # Errors
    /// The field that cannot be, and why.
    pub(super) fn new(waveform: &NqrWaveform) -> Result<Self, (&'static str, String)> {
        let within = |field: &'static str, value: u32, low: u32, high: u32| {
            if (low..=high).contains(&value) {
                Ok(f64::from(value))
            } else {
                Err((field, format!("{value} is not between {low} and {high}")))
            }
        };
        let carrier_hz = within("carrier_hz", waveform.carrier_hz, 10_000, 100_000_000)?;
        let rate_hz = within("sample_rate_hz", waveform.sample_rate_hz, 1_000, 10_000_000)?;
        let picovolts_per_count = within("femtovolts_per_count", waveform.femtovolts_per_count, 1, u32::MAX)? / 1_000.0;
        let spacing_s = within("echo_spacing_us", waveform.echo_spacing_us, 20, 1_000_000)? * 1e-6;
        let empty = within("quality_factor_empty", waveform.quality_factor_empty, 1, 100_000)?;
        let loaded = within("quality_factor", waveform.quality_factor, 1, 100_000)?;
        let per_mole = within("picovolts_per_mole", waveform.picovolts_per_mole, 1, u32::MAX)?;
        let kelvin = waveform
            .goods_temperature_mk
            .map(|millikelvin| within("goods_temperature_mk", millikelvin, 200_000, 400_000))
            .transpose()?
            .map(|millikelvin| millikelvin / 1_000.0);
        let quality = loaded / empty;
        if quality > 1.25 {
            let why = format!("{loaded} around goods is more than {empty} of the empty coil");
            return Err(("quality_factor", why));
        }
        let samples = waveform.echo_train.len();
        if samples.saturating_add(waveform.reference.len()) > NQR_SAMPLES_MAX {
            return Err(("echo_train", format!("more than {NQR_SAMPLES_MAX} samples")));
        }
        let count = waveform.echoes as usize;
        if count < ECHOES_MIN || !samples.is_multiple_of(count) {
            let why =
                format!("{samples} samples are not at least {ECHOES_MIN} windows of one length: {count} are stated");
            return Err(("echoes", why));
        }
        let length = samples / count;
        if !WINDOW_SAMPLES.contains(&length) {
            let (low, high) = (WINDOW_SAMPLES.start(), WINDOW_SAMPLES.end());
            return Err((
                "echo_train",
                format!("windows of {length} samples; {low} to {high} are read"),
            ));
        }
        let start_s = f64::from(waveform.window_start_us) * 1e-6;
        let end_s = start_s + (length - 1) as f64 / rate_hz;
        let middle_s = spacing_s / 2.0;
        if start_s >= middle_s || end_s <= middle_s || end_s > spacing_s {
            let why = format!("windows from {start_s} s to {end_s} s do not fit echoes every {spacing_s} s");
            return Err(("window_start_us", why));
        }
        let volts = |samples: &[Iq]| -> Vec<Complex> {
            let volts = |sample: &Iq| Complex {
                re: f64::from(sample.i) * picovolts_per_count,
                im: f64::from(sample.q) * picovolts_per_count,
            };
            samples.iter().map(volts).collect()
        };
        let mut echoes: Vec<Vec<Complex>> = waveform.echo_train.chunks(length).map(volts).collect();
        let mut times: Vec<f64> = (0..length)
            .map(|sample| start_s + sample as f64 / rate_hz - middle_s)
            .collect();
        let cut = ringing_samples(&echoes, loaded, carrier_hz, rate_hz).min(length);
        times.drain(..cut);
        for echo in &mut echoes {
            echo.drain(..cut);
        }
        Ok(Self {
            carrier_hz,
            rate_hz,
            spacing_s,
            kelvin,
            picovolts_per_mole: per_mole * quality,
            quality,
            times,
            echoes,
            reference: volts(&waveform.reference),
            ringing: cut as f64 / length as f64,
        })
    }

    /// Length of what is left of a window, seconds.
    pub(super) fn window_s(&self) -> f64 {
        self.times.len() as f64 / self.rate_hz
    }
}

/// How many samples at the start of each window the coil still rings.
///
/// The voltage of a coil of quality Q decays with the time Q / (pi f). It rings alike after each pulse, so that the mean
/// over the echoes shows it above the noise of that mean, which the second half of the window tells. Everything is cut
/// until the ringing has fallen to half that noise.
fn ringing_samples(echoes: &[Vec<Complex>], quality: f64, carrier_hz: f64, rate_hz: f64) -> usize {
    const STANDS_OUT: f64 = 5.0;
    let count = echoes.len() as f64;
    let length = echoes.first().map_or(0, Vec::len);
    let mean = |sample: usize| {
        let mut sum = Complex::ZERO;
        for echo in echoes {
            sum += echo[sample];
        }
        sum.times(1.0 / count)
    };
    let late = length / 2..length;
    let mut spread = 0.0;
    for sample in late.clone() {
        let mean = mean(sample);
        spread += echoes.iter().map(|echo| (echo[sample] - mean).power()).sum::<f64>();
    }
    let noise = (spread / (late.len() as f64 * (count - 1.0) * count)).sqrt();
    let first = (0..length.min(4))
        .map(|sample| mean(sample).power().sqrt())
        .fold(0.0, f64::max);
    if noise.is_nan() || first <= STANDS_OUT * noise || noise <= 0.0 {
        return 0;
    }
    let decay_s = quality / (std::f64::consts::PI * carrier_hz);
    let seconds = decay_s * (first / (0.5 * noise)).ln();
    (seconds * rate_hz).ceil().clamp(0.0, length as f64) as usize
}

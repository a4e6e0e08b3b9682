//! A drift spectrum with its own noise and its own scale of mobility, and the peaks in it.
//!
//! In one spectrum, field, pressure and temperature are the same for all ions, so reduced mobility times drift time is a
//! constant (E. A. Mason and E. W. McDaniel, Transport Properties of Ions in Gases, 1988). The calibrant gives it, whatever
//! the weather does to all drift times together.

use portcullis_domain::reading::{DRIFT_POINTS_MAX, DriftSpectrum};

/// Fewer points are no spectrum.
const POINTS_MIN: usize = 64;
/// No drift tube takes longer, nanoseconds.
const DRIFT_MAX_NS: f64 = 1e9;
/// The calibrant is looked for this far from where it is expected, relative: pressure and temperature move it by less.
const CALIBRANT_WITHIN: f64 = 0.06;
/// Its peak must stand out by so many times the noise.
const CALIBRANT_SNR: f64 = 10.0;
/// Drift time over full width at half maximum of any drift tube in use.
const RESOLVING_POWER: std::ops::RangeInclusive<f64> = 10.0..=250.0;
/// A normal peak: full width at half maximum over standard deviation.
const FWHM: f64 = 2.354_82;
/// Peaks are looked for this far to each side of an ion, relative, in steps.
pub(super) const AROUND: f64 = 0.04;
const STEPS: i32 = 54;

/// Why nothing can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unusable {
    /// Not a spectrum, for this reason.
    Spectrum(String),
    /// The calibrant was not found, for this reason.
    Calibrant(String),
}

/// A peak near an ion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Peak {
    /// Mobility over that of the ion, less one.
    pub(super) off: f64,
    /// Height, units of the instrument.
    pub(super) height: f64,
    /// Height over its standard deviation.
    pub(super) significance: f64,
    /// It reaches the limit of the instrument.
    pub(super) saturated: bool,
}

/// A spectrum with its scale.
#[derive(Debug, Clone)]
pub(super) struct Scaled<'a> {
    spectrum: &'a DriftSpectrum,
    /// Standard deviation of one point, units of the instrument.
    noise: f64,
    /// Reduced mobility times drift time, cm²/(V s) x ns.
    constant: f64,
    resolving_power: f64,
}

impl<'a> Scaled<'a> {
    /// Finds noise, calibrant and width of peaks.
    pub(super) fn of(spectrum: &'a DriftSpectrum) -> Result<Self, Unusable> {
        let points = &spectrum.intensities;
        if !(POINTS_MIN..=DRIFT_POINTS_MAX).contains(&points.len()) {
            let why = format!(
                "{} points; {POINTS_MIN} to {DRIFT_POINTS_MAX} can be used",
                points.len()
            );
            return Err(Unusable::Spectrum(why));
        }
        let end = spectrum.start_ns as f64 + f64::from(spectrum.step_ns) * points.len() as f64;
        if spectrum.step_ns == 0 || end > DRIFT_MAX_NS {
            let why = format!(
                "drift times up to {:.1} ms in steps of {} ns",
                end / 1e6,
                spectrum.step_ns
            );
            return Err(Unusable::Spectrum(why));
        }
        let Some(calibrant) = &spectrum.calibrant else {
            return Err(Unusable::Calibrant("the instrument states none".to_owned()));
        };
        let mobility = f64::from(calibrant.reduced_mobility) / 1e4;
        if !(0.3..=4.0).contains(&mobility) {
            let why = format!("no ion has a reduced mobility of {mobility} cm2/(V s)");
            return Err(Unusable::Calibrant(why));
        }
        let mut scaled = Self {
            spectrum,
            noise: noise(points),
            constant: 0.0,
            resolving_power: 0.0,
        };
        let (time, width) = scaled
            .highest(calibrant.expected_ns as f64)
            .map_err(|why| Unusable::Calibrant(format!("{}: {why}", calibrant.name)))?;
        scaled.constant = mobility * time;
        scaled.resolving_power = time / width;
        Ok(scaled)
    }

    fn time(&self, point: usize) -> f64 {
        self.spectrum.start_ns as f64 + f64::from(self.spectrum.step_ns) * point as f64
    }

    /// The points from one drift time to another.
    fn between(&self, from: f64, to: f64) -> std::ops::Range<usize> {
        let point = |time: f64| {
            let at = ((time - self.spectrum.start_ns as f64) / f64::from(self.spectrum.step_ns)).ceil();
            (at.max(0.0) as usize).min(self.spectrum.intensities.len())
        };
        let from = point(from);
        from..point(to).max(from)
    }

    /// Drift time and full width at half maximum of the highest peak near a drift time.
    fn highest(&self, expected: f64) -> Result<(f64, f64), String> {
        let range = self.between(expected * (1.0 - CALIBRANT_WITHIN), expected * (1.0 + CALIBRANT_WITHIN));
        let points = &self.spectrum.intensities;
        let (Some(top), Some(low)) = (range.clone().max_by_key(|at| points[*at]), points[range].iter().min()) else {
            return Err(format!("no drift times near {:.2} ms", expected / 1e6));
        };
        let base = f64::from(*low);
        let height = f64::from(points[top]) - base;
        if height < CALIBRANT_SNR * self.noise {
            return Err(format!("no peak near {:.2} ms", expected / 1e6));
        }
        let is_high = |at: &usize| f64::from(points[*at]) - base >= height / 2.0;
        let first = (0..=top).rev().take_while(is_high).last().unwrap_or(top);
        let last = (top..points.len()).take_while(is_high).last().unwrap_or(top);
        let (mut sum, mut moment) = (0.0, 0.0);
        for (at, point) in points.iter().enumerate().take(last + 1).skip(first) {
            let above = f64::from(*point) - base;
            sum += above;
            moment += above * self.time(at);
        }
        let (time, width) = (moment / sum, self.time(last + 1) - self.time(first));
        if !RESOLVING_POWER.contains(&(time / width)) {
            return Err(format!(
                "the peak near {:.2} ms is {:.2} ms wide",
                time / 1e6,
                width / 1e6
            ));
        }
        Ok((time, width))
    }

    /// The peaks near an ion of this reduced mobility that stand out by so many times the noise; none if its place is
    /// not within the spectrum.
    pub(super) fn peaks(&self, mobility: f64, significance: f64) -> Option<Vec<Peak>> {
        let inside = self.between(
            self.constant / mobility * (1.0 - AROUND),
            self.constant / mobility * (1.0 + AROUND),
        );
        if inside.len() < 6 || inside.start == 0 || inside.end == self.spectrum.intensities.len() {
            return None;
        }
        let fits: Vec<Option<Peak>> = (-STEPS..=STEPS)
            .map(|step| self.fit(mobility, f64::from(step) / f64::from(STEPS) * AROUND))
            .collect();
        let at = |index: usize| fits[index].map_or(0.0, |peak| peak.significance);
        let last = fits.len() - 1;
        let found = (1..last)
            .filter(|index| at(*index) > at(index - 1) && at(*index) >= at(index + 1) && at(*index) >= significance)
            .filter_map(|index| fits[index])
            .collect();
        Some(found)
    }

    /// Least squares of a normal peak of known place and width over a straight baseline.
    fn fit(&self, mobility: f64, off: f64) -> Option<Peak> {
        let centre = self.constant / (mobility * (1.0 + off));
        let sigma = centre / self.resolving_power / FWHM;
        let range = self.between(centre - 3.5 * sigma, centre + 3.5 * sigma);
        if range.len() < 6 {
            return None;
        }
        let points = &self.spectrum.intensities[range.clone()];
        // Gram-Schmidt: what of the peak a straight line cannot make.
        let along = |at: usize| (self.time(at) - centre) / sigma;
        let count = range.len() as f64;
        let mean_along = range.clone().map(along).sum::<f64>() / count;
        let spread: f64 = range.clone().map(|at| (along(at) - mean_along).powi(2)).sum();
        let shape = |at: usize| (-0.5 * along(at).powi(2)).exp();
        let mean_shape = range.clone().map(shape).sum::<f64>() / count;
        let slope = range
            .clone()
            .map(|at| shape(at) * (along(at) - mean_along))
            .sum::<f64>()
            / spread;
        let (mut norm, mut product) = (0.0, 0.0);
        for (at, point) in range.clone().zip(points) {
            let rest = shape(at) - mean_shape - slope * (along(at) - mean_along);
            norm += rest * rest;
            product += rest * f64::from(*point);
        }
        let peak = Peak {
            off,
            height: product / norm,
            significance: product / norm.sqrt() / self.noise,
            saturated: self
                .spectrum
                .full_scale
                .is_some_and(|full| points.iter().any(|point| *point >= full)),
        };
        peak.significance.is_finite().then_some(peak)
    }
}

/// Noise of a point: the median absolute difference of neighbours, which peaks hardly touch, as of a normal distribution.
/// Never less than what rounding to whole units makes.
fn noise(points: &[u32]) -> f64 {
    let mut differences: Vec<u32> = points.windows(2).map(|pair| pair[0].abs_diff(pair[1])).collect();
    let middle = differences.len() / 2;
    let median = *differences.select_nth_unstable(middle).1;
    (f64::from(median) * 1.4826 / std::f64::consts::SQRT_2).max(0.5)
}

//! The count rate without a source, and how well it is known.

use portcullis_domain::reading::RadiationSample;

use super::{Counted, SampleCounts};

/// A background may be off by this share, even if measured with many counts: weather, season, what stands nearby.
const SYSTEMATIC: f64 = 0.02;
/// The same for a background that was taken from the pass itself, with the vehicle near or in the portal.
const SYSTEMATIC_PASS: f64 = 0.10;
/// How many samples at either end of a pass may be quiet.
const END_SAMPLES: usize = 8;

/// A count rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Counts per second of live time, all detectors together.
    pub cps: f64,
    /// Relative standard deviation: counting and systematic together.
    pub relative_sigma: f64,
    /// How many detectors counted.
    pub detectors: u16,
}

/// Where a background comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From a measurement of its own.
    Measured,
    /// From the quieter end of the pass.
    Pass,
}

/// The count rates of an empty portal.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Background {
    /// Gamma rate.
    pub gamma: Option<Rate>,
    /// Neutron rate.
    pub neutron: Option<Rate>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Background {
    /// The background that these samples of an empty portal show; none if they show no usable rate.
    pub fn measured<'s>(samples: impl IntoIterator<Item = &'s RadiationSample>) -> Option<Self> {
        Self::of(samples.into_iter().map(SampleCounts::of), SYSTEMATIC, Origin::Measured)
    }

    /// The background at the quieter end of a pass; none before a pass has a few samples with counts.
    pub fn from_quiet_ends(samples: &[RadiationSample]) -> Option<Self> {
        let counted: Vec<SampleCounts> = samples.iter().map(SampleCounts::of).collect();
        Self::from_quiet_counts(&counted)
    }

    /// The same from what was counted.
    pub(super) fn from_quiet_counts(samples: &[SampleCounts]) -> Option<Self> {
        let count = END_SAMPLES.min(samples.len() / 2);
        if count == 0 {
            return None;
        }
        let of = |end: &mut dyn Iterator<Item = &SampleCounts>| Self::of(end.copied(), SYSTEMATIC_PASS, Origin::Pass);
        let first = of(&mut samples.iter().take(count))?;
        let last = of(&mut samples.iter().rev().take(count))?;
        let rate = |background: &Self| background.gamma.or(background.neutron).map_or(0.0, |rate| rate.cps);
        Some(if rate(&last) < rate(&first) { last } else { first })
    }

    fn of(samples: impl IntoIterator<Item = SampleCounts>, systematic: f64, origin: Origin) -> Option<Self> {
        let (mut gamma, mut neutron) = (Vec::new(), Vec::new());
        for sample in samples {
            gamma.extend(sample.gamma);
            neutron.extend(sample.neutron);
        }
        // No gamma counts at all is a dead detector and not a quiet place; neutrons may well be none for seconds.
        let gamma = rate(&gamma, systematic, 0.0).filter(|rate| rate.cps > 0.0);
        let neutron = rate(&neutron, systematic, 0.5);
        (gamma.is_some() || neutron.is_some()).then_some(Self { gamma, neutron, origin })
    }
}

/// Counts over live time. `prior` counts are added, so that no counts do not make a rate of nothing (Jeffreys: 1/2).
fn rate(samples: &[Counted], systematic: f64, prior: f64) -> Option<Rate> {
    let live: f64 = samples.iter().map(|sample| sample.live_us as f64 / 1e6).sum();
    if live <= 0.0 {
        return None;
    }
    let counts: f64 = samples.iter().map(|sample| sample.counts as f64).sum::<f64>() + prior;
    let counting = if counts > 0.0 { 1.0 / counts } else { 1.0 };
    Some(Rate {
        cps: counts / live,
        relative_sigma: (systematic * systematic + counting).sqrt(),
        detectors: samples.iter().map(|sample| sample.detectors).max().unwrap_or(0),
    })
}

//! The likelihood ratio of a source that passes at an unknown time with an unknown strength.

use std::collections::VecDeque;

use super::{Counted, Rate};
use crate::interpretation::log_sum;

/// Window lengths, in samples.
const WIDTHS: [usize; 3] = [1, 4, 16];
const WIDTH_MAX: usize = 16;
/// How many multipliers of the background are tried.
const MULTIPLIERS: usize = 8;

/// What may add to a background and how probable that is under either hypothesis.
#[derive(Debug, Clone)]
pub(super) struct Hypotheses {
    /// Levels without a source.
    without: [Level; MULTIPLIERS],
    /// Levels for each source strength.
    with: Vec<[Level; MULTIPLIERS]>,
    /// Log prior of each strength if nuclear material is there and is seen.
    threat: Vec<f64>,
    /// Log prior of each strength if something harmless radiates or not, over the same strengths.
    harmless: Vec<f64>,
    /// Log probability that nuclear material adds nothing that could be seen.
    hidden: f64,
    /// Log probability that a container without nuclear material adds nothing.
    clean: f64,
}

/// One level of counts, as a multiple of the expected background.
#[derive(Debug, Clone, Copy)]
struct Level {
    level: f64,
    /// Natural log of the level: the same in every window, so it is worked out once.
    log: f64,
    /// Log of the prior of the background's multiplier in it.
    prior: f64,
}

impl Hypotheses {
    /// What may be there: multipliers of the expected background with the log of their prior (shadowing, weather,
    /// overdispersion), and source strengths relative to the background.
    fn levels(
        background: [(f64, f64); MULTIPLIERS],
        strengths: &[f64],
    ) -> ([Level; MULTIPLIERS], Vec<[Level; MULTIPLIERS]>) {
        let of_strength = |strength: f64| {
            background.map(|(multiplier, prior)| {
                let level = multiplier + strength;
                Level {
                    level,
                    log: level.ln(),
                    prior,
                }
            })
        };
        (
            of_strength(0.0),
            strengths.iter().map(|strength| of_strength(*strength)).collect(),
        )
    }

    /// Gamma. About 4 to 5 % of boxes alarm a portal, nearly all by natural radioactivity; 1 % for every other harmless
    /// source is deliberately generous. Half of all nuclear material is taken to be shielded beyond detection.
    pub(super) fn gamma() -> Self {
        const NATURAL: f64 = 0.05;
        const OTHER: f64 = 0.01;
        const HIDDEN: f64 = 0.5;
        let strengths = log_spaced(0.05, 100.0, 24);
        let even = 1.0 / strengths.len() as f64;
        // Goods at most double the background as a rule; beyond that they soon become rare.
        let natural = |strength: f64| strength.max(1.0).powi(-2);
        let natural_sum: f64 = strengths.iter().map(|strength| natural(*strength)).sum();
        let harmless = strengths
            .iter()
            .map(|strength| (NATURAL * natural(*strength) / natural_sum + OTHER * even).ln());
        // Falls in steps of 5 % to 30 % below, and 5 % above for rain and drift.
        let background = normalised([
            (1.05, 0.05),
            (1.0, 0.30),
            (0.95, 0.20),
            (0.90, 0.15),
            (0.85, 0.12),
            (0.80, 0.09),
            (0.75, 0.06),
            (0.70, 0.03),
        ]);
        let (without, with) = Self::levels(background, &strengths);
        Self {
            without,
            with,
            harmless: harmless.collect(),
            threat: vec![((1.0 - HIDDEN) * even).ln(); strengths.len()],
            hidden: f64::ln(HIDDEN),
            clean: (1.0 - NATURAL - OTHER).ln(),
        }
    }

    /// Neutrons, over a background of `cps`. Harmless sources of neutrons (moisture and well-logging gauges) are taken
    /// as one in a thousand boxes; uranium gives practically none, so most nuclear material stays unseen here.
    pub(super) fn neutron(cps: f64) -> Self {
        const OTHER: f64 = 0.001;
        const HIDDEN: f64 = 0.6;
        let floor = cps.max(0.01);
        let strengths: Vec<f64> = log_spaced(0.3, 3_000.0, 20)
            .into_iter()
            .map(|excess| excess / floor)
            .collect();
        let even = 1.0 / strengths.len() as f64;
        let background = normalised([
            (0.5, 0.03),
            (0.7, 0.10),
            (0.85, 0.20),
            (1.0, 0.34),
            (1.2, 0.18),
            (1.5, 0.09),
            (2.0, 0.045),
            (3.0, 0.015),
        ]);
        let (without, with) = Self::levels(background, &strengths);
        Self {
            without,
            with,
            harmless: vec![(OTHER * even).ln(); strengths.len()],
            threat: vec![((1.0 - HIDDEN) * even).ln(); strengths.len()],
            hidden: f64::ln(HIDDEN),
            clean: (1.0 - OTHER).ln(),
        }
    }
}

/// Averages the likelihood ratios of all windows of a pass.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    hypotheses: Hypotheses,
    rate: Rate,
    /// Variance that does not shrink with counts, relative.
    systematic: f64,
    planned: usize,
    /// Counts and expected counts of the last samples.
    recent: VecDeque<(f64, f64)>,
    samples: usize,
    /// For each width: how many windows are complete.
    windows: [usize; WIDTHS.len()],
    /// For each width and strength: the log of the sum of likelihood ratios.
    sums: [Vec<f64>; WIDTHS.len()],
    highest: (f64, usize),
    lowest: f64,
}

impl Scan {
    pub(super) fn new(hypotheses: Hypotheses, rate: Rate, planned: usize) -> Self {
        /// Steps of the background multipliers are 5 % apart; half of that must not look like a source.
        const GRID: f64 = 0.02;
        let none = vec![f64::NEG_INFINITY; hypotheses.with.len()];
        Self {
            hypotheses,
            rate,
            systematic: rate.relative_sigma * rate.relative_sigma + GRID * GRID,
            planned,
            recent: VecDeque::with_capacity(WIDTH_MAX),
            samples: 0,
            windows: [0; WIDTHS.len()],
            sums: [none.clone(), none.clone(), none],
            highest: (0.0, 0),
            lowest: f64::INFINITY,
        }
    }

    /// Adds a sample. One without live time or detectors says nothing about rates.
    pub(super) fn push(&mut self, counted: &Counted) {
        self.samples += 1;
        let detectors = f64::from(counted.detectors) / f64::from(self.rate.detectors.max(1));
        let expected = self.rate.cps * detectors * counted.live_us as f64 / 1e6;
        if expected <= 0.0 {
            return;
        }
        if self.recent.len() == WIDTH_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((counted.counts as f64, expected));
        let ratio = counted.counts as f64 / expected;
        if ratio > self.highest.0 {
            self.highest = (ratio, self.samples);
        }
        for (index, width) in WIDTHS.into_iter().enumerate() {
            if self.recent.len() < width {
                continue;
            }
            let (counts, expected) = self
                .recent
                .iter()
                .rev()
                .take(width)
                .fold((0.0, 0.0), |sum, sample| (sum.0 + sample.0, sum.1 + sample.1));
            self.add_window(index, counts, expected);
        }
    }

    fn add_window(&mut self, index: usize, counts: f64, expected: f64) {
        if index > 0 {
            self.lowest = self.lowest.min(counts / expected);
        }
        // A quasi-Poisson likelihood: the counts are worth no more than the systematic variance lets them be, so that
        // ten minutes of counting do not turn a two percent drift into certainty.
        let worth = 1.0 / (1.0 + self.systematic * counts.max(expected));
        let likelihood = |levels: &[Level; MULTIPLIERS]| {
            log_sum(&levels.map(|Level { level, log, prior }| prior + worth * (counts * log - expected * level)))
        };
        let without = likelihood(&self.hypotheses.without);
        self.windows[index] += 1;
        for (sum, levels) in self.sums[index].iter_mut().zip(&self.hypotheses.with) {
            *sum = log_sum(&[*sum, likelihood(levels) - without]);
        }
    }

    /// For each strength: log of the likelihood ratio, averaged over widths and windows, those to come counted as 1.
    fn averages(&self) -> impl Iterator<Item = f64> + '_ {
        let samples = self.planned.max(self.samples);
        (0..self.hypotheses.with.len()).map(move |strength| {
            let mut terms = [f64::NEG_INFINITY; WIDTHS.len()];
            let mut widths = 0_u32;
            for (index, width) in WIDTHS.into_iter().enumerate() {
                // A pass too short for a window of this width will never have one.
                let Some(rest) = samples.checked_sub(width) else {
                    continue;
                };
                let seen = self.windows[index];
                let all = (rest + 1).max(seen);
                let to_come = ((all - seen) as f64).ln();
                terms[index] = log_sum(&[self.sums[index][strength], to_come]) - (all as f64).ln();
                widths += 1;
            }
            if widths == 0 {
                0.0
            } else {
                log_sum(&terms) - f64::from(widths).ln()
            }
        })
    }

    /// Natural log of the likelihood ratio of nuclear material against none.
    pub(super) fn log_ratio(&self) -> f64 {
        let hypotheses = &self.hypotheses;
        let mut threat = vec![hypotheses.hidden];
        let mut harmless = vec![hypotheses.clean];
        for (index, average) in self.averages().enumerate() {
            threat.push(hypotheses.threat[index] + average);
            harmless.push(hypotheses.harmless[index] + average);
        }
        log_sum(&threat) - log_sum(&harmless)
    }

    /// Natural log of how much the counts speak for any source at all, harmless or not.
    pub(super) fn evidence(&self) -> f64 {
        let averages: Vec<f64> = self.averages().collect();
        log_sum(&averages) - (averages.len() as f64).ln()
    }

    /// The highest sample, for a person.
    pub(super) fn highest(&self) -> String {
        let (ratio, sample) = self.highest;
        format!("{ratio:.1} times the background at sample {sample}")
    }

    /// The lowest share of the background over a second or more, if it is clearly below.
    pub(super) fn suppression(&self) -> Option<f64> {
        (self.lowest < 0.9).then_some(self.lowest)
    }
}

fn log_spaced(low: f64, high: f64, count: usize) -> Vec<f64> {
    let step = (high / low).ln() / (count - 1) as f64;
    (0..count).map(|index| low * (step * index as f64).exp()).collect()
}

fn normalised(weights: [(f64, f64); MULTIPLIERS]) -> [(f64, f64); MULTIPLIERS] {
    let sum: f64 = weights.iter().map(|(_, weight)| weight).sum();
    weights.map(|(value, weight)| (value, (weight / sum).ln()))
}

//! What a policy is to expect of a port in which nothing changes, from samples that served for nothing but its claims.
//!
//! Weights: the domain's charts take the sum of a piece of evidence's weights, cut at three widths from the median, and
//! ask for mean and deviation of what is left, and for a toll: ln E[e^(s x)], x in deviations and s the shift that matters.
//! With the toll that belongs to the distribution as it is, the false alarms hold whatever its shape. The mean is known to
//! 1 / sqrt(n) deviations only; two of these errors times the shift are added to the toll, so that an error of the samples is
//! no drift of the port. Shares are taken at the upper end of their 95 % interval for the same reason.

use portcullis_domain::drift::{Observed, weight};
use portcullis_domain::evidence::{Evidence, Modality};
use portcullis_domain::fusion::Verdict;
use portcullis_domain::policy::{Policy, SUM_LIMIT, Share, ShareReference, Tier, Watch, WeightReference};

use super::scoring::judge;
use super::{Labelled, LearnOptions};
use crate::estimate;

/// A shift of the mean that matters, deviations: a quarter turns 5 % beyond a threshold into 8 % (working value).
const SHIFT: f64 = 0.25;
/// A factor of shares that matters (working value).
const FACTOR: f64 = 1.5;
/// The same of the share that looks like hiding: so few do that less would be noticed too late to matter (working value).
const HIDING_FACTOR: f64 = 2.0;
/// Sums count up to so many widths from the median: a few threats must not look like drift.
const CUT: f64 = 3.0;
/// Standard errors of the mean that the toll allows for.
const ERRORS: f64 = 2.0;
/// Fewer pieces of evidence say too little about what is usual.
const SAMPLES_MIN: f64 = 100.0;
const MICRO: f64 = 1_000_000.0;

/// What each container's charts would be given.
struct Seen<'a> {
    sample: &'a Labelled,
    verdict: Verdict,
}

/// The watch of a policy whose everything else is settled. A modality or share is left out if the samples say too little
/// about it or if it never varies.
pub(super) fn watch(policy: &Policy, samples: &[&Labelled], options: &LearnOptions) -> Watch {
    let seen: Vec<Seen<'_>> = samples
        .iter()
        .map(|sample| Seen {
            sample,
            verdict: judge(policy, sample),
        })
        .collect();
    let weights: Vec<WeightReference> = Modality::ALL
        .into_iter()
        .filter_map(|modality| weights_of(modality, &seen))
        .collect();
    let shares: Vec<ShareReference> = Share::ALL
        .into_iter()
        .filter_map(|share| share_of(share, &seen))
        .collect();
    // A conclusion moves both charts of every device that looked, and one of each share. So the charts of all of them
    // together raise false alarms this rarely, however many lanes the port has.
    let charts = 2 * weights.len() + shares.len();
    Watch {
        shift_permille: (SHIFT * 1000.0) as u32,
        limit: (libm::log(charts.max(1) as f64 * options.false_alarm_every) * MICRO).ceil() as u32,
        weights,
        shares,
        device_tier: Tier::Review,
        port_tier: Tier::Review,
    }
}

fn weights_of(modality: Modality, seen: &[Seen<'_>]) -> Option<WeightReference> {
    let mut sums: Vec<(f64, f64)> = Vec::new();
    for one in seen {
        let evidence = one
            .sample
            .evidence
            .iter()
            .filter(|evidence| evidence.modality == modality);
        sums.extend(
            evidence.filter_map(|evidence| Some((f64::from(weight(evidence, &one.verdict)?), one.sample.weight))),
        );
    }
    let all: f64 = sums.iter().map(|(_, weight)| weight).sum();
    let squares: f64 = sums.iter().map(|(_, weight)| weight * weight).sum();
    // As many unweighted samples would know as much (Kish).
    let n = all * all / squares.max(f64::MIN_POSITIVE);
    if n < SAMPLES_MIN {
        return None;
    }
    sums.sort_by(|a, b| a.0.total_cmp(&b.0));
    let at = |share: f64| {
        let mut below = 0.0;
        sums.iter()
            .find(|(_, weight)| {
                below += weight;
                below >= share * all
            })
            .map_or(0.0, |(sum, _)| *sum)
    };
    let (middle, width) = (at(0.5), ((at(0.84) - at(0.16)) / 2.0).max(1.0));
    let limit = f64::from(SUM_LIMIT);
    let (low, high) = (
        (middle - CUT * width).floor().max(-limit),
        (middle + CUT * width).ceil().min(limit),
    );
    let mean_of = |of: &dyn Fn(f64) -> f64| {
        sums.iter()
            .map(|(sum, weight)| weight * of(sum.clamp(low, high)))
            .sum::<f64>()
            / all
    };
    // The ledger has integers, so the tolls are those of the rounded mean and deviation.
    let mean = mean_of(&|sum| sum).round();
    let deviation = libm::sqrt(mean_of(&|sum| (sum - mean) * (sum - mean))).round();
    if deviation < 1.0 {
        return None;
    }
    let toll = |sign: f64| {
        let tilted = mean_of(&|sum| libm::exp(sign * SHIFT * (sum - mean) / deviation));
        ((libm::log(tilted) + ERRORS * SHIFT / libm::sqrt(n)) * MICRO)
            .ceil()
            .max(1.0) as u32
    };
    Some(WeightReference {
        modality,
        low: low as i32,
        high: high as i32,
        mean: mean as i32,
        deviation: deviation as u32,
        rise_toll: toll(1.0),
        fall_toll: toll(-1.0),
    })
}

fn share_of(share: Share, seen: &[Seen<'_>]) -> Option<ShareReference> {
    let mut tally = estimate::Share::default();
    for one in seen {
        let evidence: Vec<&Evidence> = one.sample.evidence.iter().collect();
        tally.add(share.counts(&evidence, &one.verdict), one.sample.weight);
    }
    let ppm = (tally.estimate().high * MICRO).ceil();
    if !(1.0..MICRO).contains(&ppm) {
        return None;
    }
    let p = ppm / MICRO;
    // Half-way to everything at most.
    let factor = match share {
        Share::Held | Share::Examined | Share::Unseen => FACTOR,
        Share::Hiding => HIDING_FACTOR,
    };
    let grown = (p * factor).min((1.0 + p) / 2.0);
    let hit = libm::log(grown / p);
    let toll = libm::log((1.0 - p) / (1.0 - grown));
    Some(ShareReference {
        share,
        ppm: ppm as u32,
        hit: (hit * MICRO).floor() as u32,
        toll: (toll * MICRO).ceil() as u32,
    })
}

/// A judged container, as the charts of a cluster would take it in.
pub(crate) fn observed<'a>(sample: &Labelled, evidence: &'a [&'a Evidence], verdict: &'a Verdict) -> Observed<'a> {
    Observed {
        inspection: portcullis_domain::id::InspectionNo(0),
        lane: None,
        at: sample.at,
        evidence,
        verdict,
    }
}

/// Containers between two false alarms of all charts together that a watch is set for.
pub(crate) fn false_alarm_every(watch: &Watch) -> f64 {
    let charts = 2 * watch.weights.len() + watch.shares.len();
    libm::exp(f64::from(watch.limit) / MICRO) / charts.max(1) as f64
}

//! Magnetic profiles to weights for weapons and undeclared goods.
//!
//! # What is compared
//! Sensors beside the lane measure the field while the container passes. The field of the Earth with its drift is the same
//! for all of them and is taken out of every sample; each sensor's own offset is, too, and so are tractor, chassis and the
//! steel of the container itself, whose places are known though not their moments. What is left are dipoles in the load.
//! Each hypothesis says how often there is one, and how strong it is:
//! - *as declared*: goods that explain iron may hold any; goods that explain none hold, now and then, a forgotten tool, nails
//!   in pallets, a drum, or a piece of the container that is magnetised otherwise than the rest;
//! - *weapons*: three in ten containers with weapons show as little as any other. The rest hold 3 to 100 A m2: a rifle has
//!   a few tenths of an A m2 to some A m2, and weapons come by the crate;
//! - *undeclared goods*: four in ten are of iron, or packed with it.
//!
//! # How
//! A dipole at a place, of normal moment, gives a likelihood ratio in closed form. It is averaged over places all over the
//! container and not the largest taken, so that its mean without a dipole is 1. A share of the vehicle's field counts as noise where it
//! is strong, and where vehicle and dipoles together leave more than the noise, log-likelihoods are divided by that misfit. Goods of iron explain everything: then nothing is
//! claimed, whatever is found.

mod anderson;
mod dipole;
mod goods;
mod gradient;
mod known;
mod refine;
mod solve;
mod vehicle;

use portcullis_domain::evidence::{Ability, ThreatFamily, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::manifest::Manifest;
use portcullis_domain::reading::MagneticProfile;

use crate::interpretation::{Interpretation, WEIGHT_CAP, log_sum, milli_decibans};
use dipole::Fit;
use goods::Explains;
use gradient::Gradient;

/// Name and version of this interpreter.
pub const VERSION: &str = "magnetometer-dipoles/1";

/// Deviations of moments along each axis that hypotheses speak of, A m2.
const SCALES: [f64; 6] = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0];
/// Blur of a moment, in more than a tenth of the places, above which the view is degraded, A m2.
const BLUR_DEGRADED: f64 = 3.0;
/// Blur, in half of the places, above which nothing can be seen, A m2.
const BLUR_BLIND: f64 = 30.0;
/// Weaker dipoles are not named: the container's own steel has as much that is not where it is expected, A m2.
const MOMENT_LEAST: f64 = 5.0;
/// Share of the container that has to pass for a clear view.
const COVERED_CLEAR: f64 = 0.95;
/// With less, nothing is claimed.
const COVERED_LEAST: f64 = 0.5;

/// How often a container shows a dipole of each of [`SCALES`]; the rest shows none.
type Shares = [f64; SCALES.len()];

/// Goods that explain no iron.
const PLAIN: Shares = [0.20, 0.15, 0.07, 0.02, 0.01, 0.002];
/// Goods that explain some.
const SOME_IRON: Shares = [0.20, 0.20, 0.20, 0.15, 0.10, 0.05];
/// Weapons that show.
const WEAPONS: Shares = [0.0, 0.20, 0.35, 0.30, 0.13, 0.02];
/// Undeclared goods of iron.
const UNDECLARED_IRON: Shares = [0.0, 0.10, 0.20, 0.30, 0.25, 0.15];
/// Share of weapons, and of undeclared goods, that show as little as anything else.
const WEAPONS_HIDDEN: f64 = 0.3;
const UNDECLARED_OTHER: f64 = 0.6;

/// Compares a profile with what the manifest declares.
pub fn interpret(profile: &MagneticProfile, manifest: &Manifest) -> Interpretation {
    let shielded = |code, field: &str, why: String| Interpretation {
        weights: Weights::ZERO,
        ability: Ability::Shielded,
        findings: vec![Finding::new(code, field, why)],
    };
    let gradient = match Gradient::new(profile) {
        Ok(gradient) => gradient,
        Err((field, why)) => return shielded(FindingCode::MagneticUnusable, field, why),
    };
    if gradient.covered < COVERED_LEAST {
        let why = format!("{:.0} % of the container passed the sensors", 100.0 * gradient.covered);
        return shielded(FindingCode::MagneticIncomplete, "positions_mm", why);
    }
    let mut findings = Vec::new();
    let mut ability = Ability::Clear;
    if gradient.covered < COVERED_CLEAR || gradient.rows.len() < 2 {
        let detail = format!(
            "{:.0} % of the container passed {} sensors",
            100.0 * gradient.covered,
            gradient.rows.len()
        );
        findings.push(Finding::new(FindingCode::MagneticIncomplete, "sensors", detail));
        ability = Ability::Degraded;
    }
    let candidates = dipole::candidates(&gradient);
    let fits: Vec<Fit> = candidates.iter().map(dipole::Candidate::fit).collect();
    let (found, rest) = dipole::find(&gradient, &candidates);
    let misfit = rest.misfit().max(1.0);
    let mut blurs: Vec<f64> = fits.iter().map(|fit| fit.blur(misfit)).collect();
    blurs.sort_by(f64::total_cmp);
    let blur_in = |tenths: usize| blurs.get(blurs.len() * tenths / 10).copied().unwrap_or(f64::INFINITY);
    for (tenths, least) in [(5, BLUR_BLIND), (9, BLUR_DEGRADED)] {
        let blur = blur_in(tenths);
        if blur <= least {
            continue;
        }
        let detail = if blur.is_finite() {
            format!(
                "in {} tenths of the container, {blur:.0} A m2 are no stronger than the noise",
                10 - tenths
            )
        } else {
            format!(
                "in {} tenths of the container, nothing can be told from the vehicle",
                10 - tenths
            )
        };
        if tenths == 5 {
            return shielded(FindingCode::MagneticBlind, "sensors", detail);
        }
        findings.push(Finding::new(FindingCode::MagneticBlind, "sensors", detail));
        ability = Ability::Degraded;
    }
    let explains = goods::explained(manifest);
    let code = if explains == Explains::Everything {
        FindingCode::MagneticExplained
    } else {
        FindingCode::MagneticDipole
    };
    // What stands in one row alone is a spark, or something on the next lane.
    let counted = found
        .iter()
        .filter(|dipole| !dipole.one_row && dipole.size() >= MOMENT_LEAST);
    for (number, dipole) in counted.enumerate() {
        let [behind, across, height] = dipole.place;
        let detail = format!(
            "{:.1} A m2, {behind:.1} m behind the front, {across:.1} m left of the middle, {height:.1} m up, power {:.0}",
            dipole.size(),
            dipole.power
        );
        findings.push(Finding::new(code, format!("dipole {}", number + 1), detail));
    }
    Interpretation {
        weights: weigh(explains, &ratios(&fits, misfit)),
        ability,
        findings,
    }
}

/// For each scale, the natural log of the likelihood ratio of a dipole of that scale anywhere, against none.
fn ratios(fits: &[Fit], misfit: f64) -> [f64; SCALES.len()] {
    SCALES.map(|scale| {
        let at_places: Vec<f64> = fits.iter().map(|fit| fit.log_ratio(scale, misfit)).collect();
        log_sum(&at_places) - (fits.len().max(1) as f64).ln()
    })
}

fn weigh(explains: Explains, ratios: &[f64; SCALES.len()]) -> Weights {
    let usual = match explains {
        Explains::Nothing => PLAIN,
        Explains::Some => SOME_IRON,
        Explains::Everything => return Weights::ZERO,
    };
    let of = |shares: Shares| {
        let none = 1.0 - shares.iter().sum::<f64>();
        let mut terms = vec![none.max(0.0).ln()];
        terms.extend(shares.iter().zip(ratios).map(|(share, ratio)| share.ln() + ratio));
        log_sum(&terms)
    };
    let usual = of(usual);
    let against = |hidden: f64, shares: Shares| {
        let ratio = log_sum(&[hidden.ln() + usual, (1.0 - hidden).ln() + of(shares)]) - usual;
        milli_decibans(ratio, -WEIGHT_CAP, WEIGHT_CAP)
    };
    Weights::ZERO
        .with(ThreatFamily::Weapons, against(WEAPONS_HIDDEN, WEAPONS))
        .with(ThreatFamily::Undeclared, against(UNDECLARED_OTHER, UNDECLARED_IRON))
}

#[cfg(test)]
mod tests;

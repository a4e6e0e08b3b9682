//! From fits to a class, names and a weight for nuclear material.
//!
//! Every explanation is weighed under both hypotheses: how often harmless containers carry what it names, and how often
//! containers with material out of control do. Half of all such material is taken to be hidden, so nothing seen weighs a
//! little against it and never much. The likelihoods are at their maxima, for which each nuclide pays three units; where the
//! best explanation leaves a misfit, all differences are divided by it (quasi-likelihood: Burnham and Anderson, Model
//! Selection and Multimodel Inference, 2002, ch. 2.5).

use super::fit::{Fit, Observation};
use super::nuclides::NuclideClass;
use crate::interpretation::{WEIGHT_CAP, log_sum, milli_decibans};

/// Log-likelihood that a nuclide must win to be named: with a hundred templates tried, noise seldom does.
pub const PRICE: f64 = 9.0;
/// What an explanation pays for the freedom of each amount: half the log of some hundred counts.
const OCCAM: f64 = 3.0;
/// A best explanation that fits worse is none: the source is unknown.
const MISFIT_UNKNOWN: f64 = 3.0;
/// The weight of a source that no template explains, as a natural log, 20 to 1: legal ones are mostly in the library.
const UNKNOWN_RATIO: f64 = 2.995_732_273_553_991;

/// How many harmless containers carry natural radioactivity that shows, if nothing is known of their goods.
const NORM_SHARE: f64 = 0.02;
/// The same if their goods are known for it.
const NORM_SHARE_DECLARED: f64 = 0.6;
/// How many containers with nuclear material carry such goods over it, to hide it.
const NORM_SHARE_THREAT: f64 = 0.1;
/// How many harmless containers hold a patient's or hospital's nuclide, an industrial source, or licensed uranium.
const MEDICAL_SHARE: f64 = 0.005;
const INDUSTRIAL_SHARE: f64 = 0.01;
const SPECIAL_SHARE: f64 = 0.000_02;
/// Of material out of control: hidden, industrial, special nuclear.
const HIDDEN: f64 = 0.5;
const THREAT_INDUSTRIAL: f64 = 0.15;
const THREAT_SPECIAL: f64 = 0.35;

/// One nuclide of an explanation.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// Its name.
    pub nuclide: &'static str,
    /// Its class.
    pub class: NuclideClass,
    /// Counts that it adds, all its templates together.
    pub counts: f64,
}

/// What a spectrum is explained by.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// Its class: special nuclear if any such nuclide is named, else the class with most counts.
    pub class: NuclideClass,
    /// Nuclides, most counts first.
    pub nuclides: Vec<Named>,
    /// What was left of the background, as a share of what was expected.
    pub background_scale: f64,
    /// Natural log of how much better the explanation is than background alone.
    pub evidence: f64,
    /// Weighted deviance for each degree of freedom.
    pub misfit: f64,
    /// Natural log of the likelihood ratio, nuclear material out of control against none.
    pub log_ratio: f64,
}

impl Explanation {
    /// The weight for nuclear material, milli-decibans.
    pub fn weight(&self) -> i32 {
        milli_decibans(self.log_ratio, -WEIGHT_CAP, WEIGHT_CAP)
    }

    /// Whether the nuclide is named.
    pub fn names(&self, nuclide: &str) -> bool {
        self.nuclides.iter().any(|named| named.nuclide == nuclide)
    }

    /// The nuclides in one line, for a person.
    pub fn summary(&self) -> String {
        let names: Vec<String> = self
            .nuclides
            .iter()
            .map(|named| format!("{} {:.0} counts", named.nuclide, named.counts))
            .collect();
        names.join(", ")
    }
}

/// Explains an observation. `norm_declared`: the goods are known to radiate. `looks`: among how many observations of the
/// same pass it was chosen; each costs likelihood.
pub fn explain(observation: &Observation<'_>, norm_declared: bool, looks: usize) -> Explanation {
    let choice = libm::log(looks.max(1) as f64);
    let price = PRICE + choice;
    let none = observation.background();
    let harmless = observation.explain(&none, price, |class| class != NuclideClass::SpecialNuclear);
    let mut best = harmless.clone();
    let first = observation.extended(&none, |_| true);
    let mut others = Vec::new();
    // With nothing named, it is the background, which is the other start.
    if !harmless.sources.is_empty() {
        others.push(observation.explain(&harmless, price, |_| true));
    }
    others.push(observation.explain_from(&none, first.clone(), price, |_| true));
    for other in others {
        if price_paid(observation, &other, price) > price_paid(observation, &best, price) {
            best = other;
        }
    }
    // Weaker than anything that is named, but still a measure of how far from background the counts are.
    let highest = first.map_or(none.log_likelihood, |first| {
        first.log_likelihood.max(best.log_likelihood)
    });
    let misfit = observation.misfit(&best);
    let temper = misfit.max(1.0);
    if temper > 1.0 {
        best = observation.pruned(best, price * temper);
    }
    let threat = if has(observation, &best, NuclideClass::SpecialNuclear) {
        Some(best.clone())
    } else {
        observation.extended(&harmless, |class| class == NuclideClass::SpecialNuclear)
    };
    let evidence = (highest - none.log_likelihood) / temper - choice;
    let mut candidates = vec![none, harmless, best.clone()];
    candidates.extend(threat);
    let mut log_ratio = ratio(observation, &candidates, temper, norm_declared, choice);
    let mut nuclides = named(observation, &best);
    nuclides.sort_by(|a, b| b.counts.total_cmp(&a.counts));
    let mut class = class_of(&nuclides);
    let smooth = nuclides.is_empty() && !best.sources.is_empty();
    if (misfit > MISFIT_UNKNOWN || smooth) && evidence > PRICE {
        if class != NuclideClass::SpecialNuclear {
            class = NuclideClass::Unknown;
        }
        // As likely unknown as what the templates say.
        log_ratio = log_sum(&[log_ratio, UNKNOWN_RATIO]) - std::f64::consts::LN_2;
    }
    Explanation {
        class,
        background_scale: best.scale,
        nuclides,
        evidence,
        misfit,
        log_ratio,
    }
}

/// What a fit is worth after paying for its nuclides.
fn price_paid(observation: &Observation<'_>, fit: &Fit, price: f64) -> f64 {
    fit.log_likelihood - price * observation.nuclides(fit).len() as f64
}

fn has(observation: &Observation<'_>, fit: &Fit, class: NuclideClass) -> bool {
    fit.sources
        .iter()
        .any(|(template, amount)| *amount > 0.0 && observation.templates().class(*template) == class)
}

fn named(observation: &Observation<'_>, fit: &Fit) -> Vec<Named> {
    let mut nuclides: Vec<Named> = Vec::new();
    for (template, counts) in &fit.sources {
        let Some(template) = observation.templates().templates.get(*template) else {
            continue;
        };
        match nuclides.iter_mut().find(|named| named.nuclide == template.nuclide.name) {
            Some(named) => named.counts += counts,
            None => nuclides.push(Named {
                nuclide: template.nuclide.name,
                class: template.nuclide.class,
                counts: *counts,
            }),
        }
    }
    nuclides
}

fn class_of(nuclides: &[Named]) -> NuclideClass {
    let counts = |class| -> f64 {
        let of_class = nuclides.iter().filter(|named| named.class == class);
        of_class.map(|named| named.counts).sum()
    };
    if counts(NuclideClass::SpecialNuclear) > 0.0 {
        return NuclideClass::SpecialNuclear;
    }
    [NuclideClass::Industrial, NuclideClass::Medical, NuclideClass::Norm]
        .into_iter()
        .filter(|class| counts(*class) > 0.0)
        .max_by(|a, b| counts(*a).total_cmp(&counts(*b)))
        .unwrap_or(NuclideClass::Background)
}

/// Log of the likelihood ratio over a few explanations that stand for all.
fn ratio(observation: &Observation<'_>, candidates: &[Fit], temper: f64, norm_declared: bool, choice: f64) -> f64 {
    let norm_share = if norm_declared { NORM_SHARE_DECLARED } else { NORM_SHARE };
    let (mut threat, mut harmless) = (Vec::new(), Vec::new());
    for fit in candidates {
        let classes = classes(observation, fit);
        let occam = OCCAM * observation.nuclides(fit).len() as f64;
        let choice = if fit.sources.is_empty() { 0.0 } else { choice };
        let likelihood = fit.log_likelihood / temper - occam - choice;
        let share = |norm: f64| {
            let share = |class: NuclideClass, of: f64| {
                if classes.contains(&class) {
                    libm::log(of)
                } else {
                    libm::log(1.0 - of)
                }
            };
            share(NuclideClass::Norm, norm) + share(NuclideClass::Medical, MEDICAL_SHARE)
        };
        let special = classes.contains(&NuclideClass::SpecialNuclear);
        let industrial = classes.contains(&NuclideClass::Industrial);
        let legal = [(special, SPECIAL_SHARE), (industrial, INDUSTRIAL_SHARE)]
            .iter()
            .map(|(there, share)| libm::log(if *there { *share } else { 1.0 - share }))
            .sum::<f64>();
        harmless.push(likelihood + share(norm_share) + legal);
        let norm_threat = norm_share.max(NORM_SHARE_THREAT);
        threat.push(likelihood + share(norm_threat) + libm::log(HIDDEN) + legal);
        if special {
            let industrial = libm::log(if industrial { INDUSTRIAL_SHARE } else { 1.0 });
            threat.push(likelihood + share(norm_threat) + libm::log(THREAT_SPECIAL) + industrial);
        } else if industrial {
            threat.push(likelihood + share(norm_threat) + libm::log(THREAT_INDUSTRIAL));
        }
    }
    log_sum(&threat) - log_sum(&harmless)
}

fn classes(observation: &Observation<'_>, fit: &Fit) -> Vec<NuclideClass> {
    fit.sources
        .iter()
        .map(|(template, _)| observation.templates().class(*template))
        .collect()
}

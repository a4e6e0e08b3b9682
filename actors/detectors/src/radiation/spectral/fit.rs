//! Poisson maximum likelihood of a spectrum as background plus templates and smooth scatter, none negative.
//!
//! The log-likelihood is concave in every amount and its slope convex and falling, so that Newton's step never overshoots
//! from below and lands below the optimum from above: one amount after the other, clamped at zero, converges without a
//! step length. Bins count for less where the templates or the background are known less well than the counts.

use std::ops::Range;

use super::nuclides::NuclideClass;
use super::templates::Templates;

/// Relative uncertainty of a bin of a measured background, beyond counting: drift, weather, shadowing that depends on
/// energy.
const SYSTEMATIC_BACKGROUND: f64 = 0.02;
/// Relative uncertainty of a bin of a template: simple geometry, two shieldings for all, uncertain cross-sections.
const SYSTEMATIC_TEMPLATE: f64 = 0.15;
/// The vehicle lets through this much of the background, give or take (PNNL-14363: up to 30 % less); weather adds a few
/// percent. A gamma distribution with this mean and relative deviation.
const SCALE_MEAN: f64 = 0.95;
const SCALE_DEVIATION: f64 = 0.1;
/// A scale below this is a dead detector and not a truck.
const SCALE_MIN: f64 = 0.2;
/// Sweeps over all amounts; a dozen is enough unless templates are nearly alike.
const SWEEPS: usize = 20;
/// A sweep that changes the log-likelihood by less ends the fit.
const CONVERGED: f64 = 0.02;
/// How many nuclides are tried out in each round, the most promising first.
const TRIED: usize = 4;
/// How many nuclides an explanation may have.
const NUCLIDES_MAX: usize = 5;

/// A spectrum to be explained.
#[derive(Debug, Clone)]
pub struct Observation<'t> {
    templates: &'t Templates,
    /// Bins that are calibrated in every spectrum.
    bins: Range<usize>,
    counts: Vec<f64>,
    expected: Vec<f64>,
    worth: Vec<f64>,
    /// Worth times counts, by bin.
    worth_counts: Vec<f64>,
    /// What a count more of each template or continuum costs by the counts that it expects: worth times shape, summed over
    /// the bins that are used.
    costs: Vec<f64>,
}

/// One explanation of a spectrum.
#[derive(Debug, Clone)]
pub struct Fit {
    /// Multiplier of the expected background.
    pub scale: f64,
    /// Templates and continua, by index, with their counts over the whole grid.
    pub sources: Vec<(usize, f64)>,
    /// Natural log of the likelihood, up to a constant of the observation.
    pub log_likelihood: f64,
    model: Vec<f64>,
}

impl<'t> Observation<'t> {
    /// `expected` are the counts of the background alone in the same live time, with the variance of each bin that comes
    /// from counting it.
    pub fn new(
        templates: &'t Templates,
        bins: Range<usize>,
        counts: &[f64],
        expected: &[f64],
        variance: &[f64],
    ) -> Self {
        let expected: Vec<f64> = expected.iter().map(|expected| expected.max(1e-3)).collect();
        let worth = counts
            .iter()
            .zip(&expected)
            .zip(variance)
            .map(|((counts, expected), variance)| {
                let excess = (counts - expected).max(0.0);
                let background = SYSTEMATIC_BACKGROUND * expected;
                let template = SYSTEMATIC_TEMPLATE * excess;
                let uncertain = variance + background * background + template * template;
                1.0 / (1.0 + uncertain / counts.max(*expected).max(1.0))
            });
        let worth: Vec<f64> = worth.collect();
        let worth_counts = worth.iter().zip(counts).map(|(worth, counts)| worth * counts);
        let bins = bins.start.min(counts.len())..bins.end.min(counts.len());
        let mut observation = Self {
            templates,
            bins,
            counts: counts.to_vec(),
            expected,
            worth_counts: worth_counts.collect(),
            worth,
            costs: Vec::new(),
        };
        let shapes = templates.templates.len() + templates.continua.len();
        let cost = |index| observation.cost(templates.shape(index), &templates.support(index));
        observation.costs = (0..shapes).map(cost).collect();
        observation
    }

    /// The library that it is explained with.
    pub fn templates(&self) -> &'t Templates {
        self.templates
    }

    /// All counts in bins that are used.
    pub fn gross(&self) -> f64 {
        self.counts
            .get(self.bins.clone())
            .map_or(0.0, |counts| counts.iter().sum())
    }

    /// The bins of a support that are used.
    fn used(&self, support: &Range<usize>) -> Range<usize> {
        let start = self.bins.start.max(support.start);
        start..self.bins.end.min(support.end).max(start)
    }

    /// Worth times shape, summed over the bins that are used.
    fn cost(&self, shape: &[f64], support: &Range<usize>) -> f64 {
        let bins = self.used(support);
        let (Some(worth), Some(shape)) = (self.worth.get(bins.clone()), shape.get(bins)) else {
            return 0.0;
        };
        worth.iter().zip(shape).map(|(worth, shape)| worth * shape).sum()
    }

    /// First and negative second derivative of the log-likelihood along a shape of this cost.
    fn slope(&self, model: &[f64], shape: &[f64], support: &Range<usize>, cost: f64) -> (f64, f64) {
        let bins = self.used(support);
        let (Some(worth_counts), Some(model), Some(shape)) = (
            self.worth_counts.get(bins.clone()),
            model.get(bins.clone()),
            shape.get(bins),
        ) else {
            return (0.0, 0.0);
        };
        let (gain, bend) = ratio_sums(worth_counts, model, shape);
        (gain - cost, bend)
    }

    /// The same along a template or continuum.
    fn slope_of(&self, model: &[f64], index: usize) -> (f64, f64) {
        let cost = self.costs.get(index).copied().unwrap_or(0.0);
        self.slope(model, self.templates.shape(index), &self.templates.support(index), cost)
    }

    /// Changes the amount of a template or continuum in a model.
    fn add_source(&self, model: &mut [f64], index: usize, amount: f64) {
        let support = self.templates.support(index);
        let shape = self.templates.shape(index).get(support.clone());
        if let (Some(model), Some(shape)) = (model.get_mut(support), shape) {
            add(model, shape, amount);
        }
    }

    fn log_likelihood(&self, model: &[f64], scale: f64) -> f64 {
        let bins = self.counts.iter().zip(&self.worth).zip(model);
        let counts: f64 = bins
            .skip(self.bins.start)
            .take(self.bins.len())
            .map(|((counts, worth), model)| worth * (counts * libm::log(*model) - model))
            .sum();
        let (shape, rate) = scale_prior();
        counts + (shape - 1.0) * libm::log(scale) - rate * scale
    }

    /// Fits the background and these templates, starting from the given amounts.
    pub fn fit(&self, mut scale: f64, mut sources: Vec<(usize, f64)>) -> Fit {
        let (prior_shape, prior_rate) = scale_prior();
        let mut model = self.model(scale, &sources);
        let all = 0..self.expected.len();
        let cost = self.cost(&self.expected, &all);
        // Most amounts are nothing and stay so: they are asked again only once the others have settled.
        let mut all_asked = true;
        for _ in 0..SWEEPS {
            let (slope, bend) = self.slope(&model, &self.expected, &all, cost);
            let slope = slope + (prior_shape - 1.0) / scale - prior_rate;
            let bend = bend + (prior_shape - 1.0) / (scale * scale);
            let next = (scale + slope / bend).max(SCALE_MIN);
            let mut gain = newton_gain(slope, bend, next - scale);
            add(&mut model, &self.expected, next - scale);
            scale = next;
            for (index, amount) in sources.iter_mut().filter(|(_, amount)| all_asked || *amount > 0.0) {
                let (slope, bend) = self.slope_of(&model, *index);
                if bend > 0.0 {
                    let next = (*amount + slope / bend).max(0.0);
                    let step = next - *amount;
                    if step != 0.0 {
                        gain += newton_gain(slope, bend, step);
                        self.add_source(&mut model, *index, step);
                        *amount = next;
                    }
                }
            }
            let settled = gain < CONVERGED;
            if settled && all_asked {
                break;
            }
            all_asked = settled;
        }
        // The small differences of many updates are taken out.
        let model = self.model(scale, &sources);
        Fit {
            scale,
            log_likelihood: self.log_likelihood(&model, scale),
            sources,
            model,
        }
    }

    fn model(&self, scale: f64, sources: &[(usize, f64)]) -> Vec<f64> {
        let mut model: Vec<f64> = self.expected.iter().map(|expected| expected * scale).collect();
        for (index, amount) in sources {
            self.add_source(&mut model, *index, *amount);
        }
        model
    }

    /// The background alone.
    pub fn background(&self) -> Fit {
        self.fit(SCALE_MEAN, Vec::new())
    }

    /// The best explanation that adds one nuclide of an allowed class, by one of its templates.
    pub fn extended(&self, fit: &Fit, allowed: impl Fn(NuclideClass) -> bool) -> Option<Fit> {
        let known = self.nuclides(fit);
        let mut promising: Vec<(f64, usize, f64)> = Vec::new();
        let mut last = "";
        for (index, template) in self.templates.templates.iter().enumerate() {
            let nuclide = template.nuclide;
            if !allowed(nuclide.class) || known.contains(&nuclide.name) {
                continue;
            }
            let (slope, bend) = self.slope_of(&fit.model, index);
            if slope <= 0.0 || bend <= 0.0 {
                continue;
            }
            // The score test: about twice what the template would win if it were added alone. Of each nuclide the most
            // promising template is tried.
            let candidate = (slope * slope / bend, index, slope / bend);
            match promising.last_mut() {
                Some(best) if last == nuclide.name => {
                    if candidate.0 > best.0 {
                        *best = candidate;
                    }
                }
                _ => promising.push(candidate),
            }
            last = nuclide.name;
        }
        promising.sort_by(|a, b| b.0.total_cmp(&a.0));
        promising
            .into_iter()
            .take(TRIED)
            .map(|(_, index, amount)| {
                let mut sources = fit.sources.clone();
                sources.push((index, amount));
                self.fit(fit.scale, sources)
            })
            .max_by(|a, b| a.log_likelihood.total_cmp(&b.log_likelihood))
    }

    /// The nuclides of a fit.
    pub fn nuclides(&self, fit: &Fit) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = Vec::new();
        for (index, _) in &fit.sources {
            if let Some(template) = self.templates.templates.get(*index)
                && !names.contains(&template.nuclide.name)
            {
                names.push(template.nuclide.name);
            }
        }
        names
    }

    /// Frees the geometry of what a fit names: every template of its nuclides, and smooth scatter below their highest
    /// lines. What comes out at nothing is left out.
    pub fn relaxed(&self, fit: &Fit) -> Fit {
        self.relaxed_below(fit, 0.0)
    }

    /// The same, with smooth scatter at least up to an energy in keV.
    fn relaxed_below(&self, fit: &Fit, kev: f64) -> Fit {
        let names = self.nuclides(fit);
        let mut sources = fit.sources.clone();
        let mut highest = kev;
        let mut free = |index: usize| {
            if sources.iter().all(|(known, _)| *known != index) {
                sources.push((index, 0.0));
            }
        };
        for (index, template) in self.templates.templates.iter().enumerate() {
            if names.contains(&template.nuclide.name) {
                highest = highest.max(template.nuclide.highest_kev());
                free(index);
            }
        }
        for (number, (kev, _)) in self.templates.continua.iter().enumerate() {
            if *kev < highest {
                free(self.templates.templates.len() + number);
            }
        }
        let mut fit = self.fit(fit.scale, sources);
        fit.sources.retain(|(_, amount)| *amount > 0.0);
        fit
    }

    /// Adds nuclides of allowed classes as long as each wins more than `price`, then takes out those that no longer do.
    pub fn explain(&self, start: &Fit, price: f64, allowed: impl Fn(NuclideClass) -> bool) -> Fit {
        let first = self.room(start).then(|| self.extended(start, &allowed)).flatten();
        self.explain_from(start, first, price, allowed)
    }

    /// The same, if the best explanation with the first nuclide is known already.
    pub fn explain_from(
        &self,
        start: &Fit,
        first: Option<Fit>,
        price: f64,
        allowed: impl Fn(NuclideClass) -> bool,
    ) -> Fit {
        let mut best = start.clone();
        let mut next = first;
        while let Some(found) = next.filter(|found| found.log_likelihood - best.log_likelihood > price) {
            best = self.relaxed(&found);
            next = self.room(&best).then(|| self.extended(&best, &allowed)).flatten();
        }
        self.pruned(best, price)
    }

    /// Whether a fit may have one nuclide more.
    fn room(&self, fit: &Fit) -> bool {
        self.nuclides(fit).len() < NUCLIDES_MAX
    }

    /// Takes out nuclides that win less than `price`, the least first.
    pub fn pruned(&self, mut fit: Fit, price: f64) -> Fit {
        loop {
            let without = self
                .nuclides(&fit)
                .into_iter()
                .map(|name| self.without(&fit, name))
                .max_by(|a, b| a.log_likelihood.total_cmp(&b.log_likelihood));
            match without {
                Some(without)
                    if fit.log_likelihood - without.log_likelihood <= self.worth_of(&fit, &without, price) =>
                {
                    fit = without;
                }
                _ => return fit.or_background(self, price),
            }
        }
    }

    /// What a nuclide has to win over a fit without it. Scatter that takes its place pays one for each amount (Akaike).
    fn worth_of(&self, with: &Fit, without: &Fit, price: f64) -> f64 {
        let templates = self.templates.templates.len();
        let amounts = |fit: &Fit| fit.sources.iter().filter(|(index, _)| *index >= templates).count();
        let more = amounts(without).saturating_sub(amounts(with)) as f64;
        (price - more).max(0.5 * price)
    }

    /// The best fit with one nuclide less, in which smooth scatter may take its place: a nuclide is only named for what
    /// its lines alone explain.
    fn without(&self, fit: &Fit, name: &str) -> Fit {
        let mut rest = fit.clone();
        let mut highest: f64 = 0.0;
        rest.sources.retain(|(index, _)| {
            let template = self.templates.templates.get(*index);
            template.is_none_or(|template| {
                let keep = template.nuclide.name != name;
                if !keep {
                    highest = highest.max(template.nuclide.highest_kev());
                }
                keep
            })
        });
        self.relaxed_below(&rest, highest)
    }

    /// Weighted deviance of a fit for each degree of freedom; about 1 if it explains the counts.
    pub fn misfit(&self, fit: &Fit) -> f64 {
        let bins = self.counts.iter().zip(&self.worth).zip(&fit.model);
        let deviance: f64 = bins
            .skip(self.bins.start)
            .take(self.bins.len())
            .map(|((counts, worth), model)| {
                let log = if *counts > 0.0 {
                    counts * libm::log(counts / model)
                } else {
                    0.0
                };
                2.0 * worth * (log - (counts - model))
            })
            .sum();
        let free = self.bins.len().saturating_sub(1 + fit.sources.len()).max(1);
        deviance / free as f64
    }
}

impl Fit {
    /// Scatter without a nuclide has to pay for each of its amounts, or it is nothing but background.
    fn or_background(self, observation: &Observation<'_>, price: f64) -> Self {
        if self.sources.is_empty() || !observation.nuclides(&self).is_empty() {
            return self;
        }
        let none = observation.background();
        let wins = self.log_likelihood - none.log_likelihood;
        if wins > price + self.sources.len() as f64 {
            self
        } else {
            none
        }
    }
}

/// Shape and rate of the gamma distribution of the background's multiplier.
fn scale_prior() -> (f64, f64) {
    let shape = 1.0 / (SCALE_DEVIATION * SCALE_DEVIATION);
    (shape, shape / SCALE_MEAN)
}

/// What a step along one amount wins, by the parabola that the derivatives describe.
fn newton_gain(slope: f64, bend: f64, step: f64) -> f64 {
    step * (slope - 0.5 * bend * step)
}

/// Sums of `w r` and `w r r` with `r = shape / model`: four sums side by side, so that a processor can work on several bins at
/// once, which the fixed order of a single sum forbids.
fn ratio_sums(weights: &[f64], model: &[f64], shape: &[f64]) -> (f64, f64) {
    const LANES: usize = 4;
    let (mut gains, mut bends) = ([0.0; LANES], [0.0; LANES]);
    let (weights, weights_left) = weights.as_chunks::<LANES>();
    let (model, model_left) = model.as_chunks::<LANES>();
    let (shape, shape_left) = shape.as_chunks::<LANES>();
    for ((weights, model), shape) in weights.iter().zip(model).zip(shape) {
        for lane in 0..LANES {
            let relative = shape[lane] / model[lane];
            let gain = weights[lane] * relative;
            gains[lane] += gain;
            bends[lane] += gain * relative;
        }
    }
    for ((weight, model), shape) in weights_left.iter().zip(model_left).zip(shape_left) {
        let relative = shape / model;
        let gain = weight * relative;
        gains[0] += gain;
        bends[0] += gain * relative;
    }
    (gains.iter().sum(), bends.iter().sum())
}

fn add(model: &mut [f64], shape: &[f64], amount: f64) {
    for (model, shape) in model.iter_mut().zip(shape) {
        *model = (*model + amount * shape).max(1e-9);
    }
}

//! Dipoles in a profile: what one at a place would explain, and which ones there are.

use super::gradient::{self, Gradient, Place, TOLD_APART};
use super::known::Gram;
use super::refine::{TRIED, TRIED_ROUGHLY, refine};
use super::solve::{cholesky, solve};

/// The most dipoles that are told apart.
pub(super) const DIPOLES_MAX: usize = 4;
/// A dipole is found if it explains this many times the power of the noise.
const FOUND: f64 = 40.0;
/// Places from which a dipole is looked for: beside a strong one there are false summits, and the places are too far apart
/// to tell which is the true one.
const STARTS: usize = 3;
/// Two dipoles that are closer than this are one, metres.
pub(super) const APART_M: f64 = 1.2;

/// What a dipole at one place would explain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    /// Inner products of the three columns of the place.
    products: [[f64; 3]; 3],
    /// Inner products of the columns with what was measured.
    along: [f64; 3],
}

/// A place with what a dipole there adds to the profile.
pub(super) struct Candidate {
    pub(super) place: Place,
    pub(super) dipole: gradient::Dipole,
    gram: Gram<3>,
}

impl Candidate {
    pub(super) fn new(gradient: &Gradient, place: Place) -> Self {
        let dipole = gradient.dipole(place);
        Self {
            place,
            gram: gradient.gram(&dipole),
            dipole,
        }
    }

    /// What it would explain of what was left when it was made.
    pub(super) fn fit(&self) -> Fit {
        Fit::of(&self.gram)
    }

    /// What it would explain of what is left with more known than in `base`, for which it was made.
    fn fit_beyond(&self, base: &Gradient, gradient: &Gradient) -> Fit {
        Fit::of(&gradient.gram_beyond(base, &self.gram, &self.dipole))
    }
}

/// A dipole that was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dipole {
    pub(super) place: Place,
    /// Moment by axis, A m2.
    pub(super) moment: [f64; 3],
    /// Power that it explains, in units of noise.
    pub(super) power: f64,
    /// It stands in the row of one sensor alone.
    pub(super) one_row: bool,
}

impl Dipole {
    /// Magnitude of the moment, A m2.
    pub(super) fn size(&self) -> f64 {
        self.moment.iter().map(|part| part * part).sum::<f64>().sqrt()
    }
}

impl Fit {
    /// Where hardly anything of a column is left, it cannot be told from what is known, and counts as nothing.
    fn of(gram: &Gram<3>) -> Self {
        let (mut products, mut along) = (gram.products, gram.along);
        for axis in 0..3 {
            if products[axis][axis] < TOLD_APART * gram.before[axis] {
                products[axis] = [0.0; 3];
                products.iter_mut().for_each(|row| row[axis] = 0.0);
                along[axis] = 0.0;
            }
        }
        Self { products, along }
    }

    /// The moment that fits best, A m2, and the power that it explains; no moment along an axis that nothing is left of.
    /// None where the columns cannot be told apart.
    pub(super) fn best(&self) -> Option<([f64; 3], f64)> {
        let trace: f64 = (0..3).map(|axis| self.products[axis][axis]).sum();
        let mut products = self.products;
        for (axis, row) in products.iter_mut().enumerate() {
            if row[axis] <= 0.0 {
                row[axis] = trace;
            }
        }
        let (factor, _) = cholesky(products, 1e-9 * trace)?;
        let moment = solve(&factor, self.along);
        let power = moment
            .iter()
            .zip(self.along)
            .map(|(moment, along)| moment * along)
            .sum();
        Some((moment, power))
    }

    pub(super) fn power(&self) -> f64 {
        self.best().map_or(0.0, |(_, power)| power)
    }

    /// Natural log of the likelihood ratio of a dipole here against none, if moments are normal with deviation `scale` in
    /// A m2 along each axis, and noise is `misfit` times as strong in power as stated.
    pub(super) fn log_ratio(&self, scale: f64, misfit: f64) -> f64 {
        let square = scale * scale;
        let mut spread = self.products;
        for (axis, row) in spread.iter_mut().enumerate() {
            row.iter_mut().for_each(|product| *product *= square / misfit);
            row[axis] += 1.0;
        }
        let Some((factor, log_determinant)) = cholesky(spread, 0.0) else {
            return 0.0;
        };
        let along = self.along.map(|along| along / misfit);
        let solved = solve(&factor, along);
        let explained: f64 = solved.iter().zip(along).map(|(solved, along)| solved * along).sum();
        0.5 * square * explained - 0.5 * log_determinant
    }

    /// The moment, A m2 along the middle one of the axes, whose power would be that of the noise. Infinite if more than
    /// one axis cannot be seen here.
    pub(super) fn blur(&self, misfit: f64) -> f64 {
        let mut seen = [0, 1, 2].map(|axis: usize| self.products[axis][axis]);
        seen.sort_by(f64::total_cmp);
        if seen[1] > 0.0 {
            (misfit / seen[1]).sqrt()
        } else {
            f64::INFINITY
        }
    }
}

/// Places all over the inside of the container, about half a metre apart along it.
pub(super) fn candidates(gradient: &Gradient) -> Vec<Candidate> {
    let steps = (gradient.length / 0.5).ceil().max(1.0) as u32;
    let mut candidates = Vec::new();
    for step in 0..steps {
        let behind = gradient.length * (f64::from(step) + 0.5) / f64::from(steps);
        for across in [-0.8, 0.0, 0.8] {
            for height in [1.6, 2.5, 3.4] {
                candidates.push(Candidate::new(gradient, [behind, across, height]));
            }
        }
    }
    candidates
}

/// Looks for dipoles one after the other, the strongest first, until what is left is noise. After each one, all are moved
/// to where they explain most beside the others. Returns them with the profile without them.
pub(super) fn find(base: &Gradient, candidates: &[Candidate]) -> (Vec<Dipole>, Gradient) {
    let mut places: Vec<Place> = Vec::new();
    let mut rest = base.clone();
    while places.len() < DIPOLES_MAX {
        let (place, power) = summit(base, &rest, candidates, &places);
        if power <= 0.0 {
            break;
        }
        let mut without = rest.clone();
        without.know_dipole(place);
        // Against what is left without it, so that it does not count as its own noise.
        if power.is_nan() || power < FOUND * without.misfit().max(1.0) {
            break;
        }
        places.push(place);
        rest = without;
        if places.len() > 1 {
            for moved in 0..places.len() {
                let mut others = places.clone();
                let start = others.swap_remove(moved);
                (places[moved], _) = refine(&beside(base, &places, moved), start, &others, TRIED);
            }
            rest = beside(base, &places, usize::MAX);
        }
    }
    let misfit = rest.misfit().max(1.0);
    let dipoles = (0..places.len()).filter_map(|number| {
        let (place, beside) = (places[number], beside(base, &places, number));
        let (moment, power) = Candidate::new(&beside, place).fit().best()?;
        Some(Dipole {
            place,
            moment,
            power: power / misfit,
            one_row: beside.stands_in_one_row(place, misfit),
        })
    });
    // One that explains nothing any more once the others have moved was never there.
    (dipoles.filter(|dipole| dipole.power >= FOUND).collect(), rest)
}

/// Where one dipole more explains most of what is left, and the power that it explains there; no power if nowhere.
fn summit(base: &Gradient, rest: &Gradient, candidates: &[Candidate], places: &[Place]) -> (Place, f64) {
    let mut powers: Vec<(f64, Place)> = candidates
        .iter()
        .filter(|candidate| places.iter().all(|place| distance(*place, candidate.place) > APART_M))
        .map(|candidate| (candidate.fit_beyond(base, rest).power(), candidate.place))
        .collect();
    powers.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut starts: Vec<Place> = Vec::new();
    for (_, place) in powers {
        if starts.len() < STARTS && starts.iter().all(|start| distance(*start, place) > APART_M / 2.0) {
            starts.push(place);
        }
    }
    let rough = starts
        .into_iter()
        .map(|start| refine(rest, start, places, TRIED_ROUGHLY))
        .fold(
            ([0.0; 3], 0.0),
            |best, other| if other.1 > best.1 { other } else { best },
        );
    if rough.1 > 0.0 {
        refine(rest, rough.0, places, TRIED)
    } else {
        rough
    }
}

/// The profile with all dipoles but one taken out.
fn beside(base: &Gradient, places: &[Place], but: usize) -> Gradient {
    let mut gradient = base.clone();
    for (_, place) in places.iter().enumerate().filter(|(number, _)| *number != but) {
        gradient.know_dipole(*place);
    }
    gradient
}

pub(super) fn distance(a: Place, b: Place) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

//! Dipoles in a profile: what one at a place would explain, and which ones there are.

use super::gradient::{Column, Gradient, Place, inner, take_out};

/// The most dipoles that are told apart.
pub(super) const DIPOLES_MAX: usize = 4;
/// A dipole is found if it explains this many times the power of the noise.
const FOUND: f64 = 40.0;
/// Two dipoles that are closer than this are one, metres.
const APART_M: f64 = 1.2;

/// What a dipole at one place would explain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit {
    /// Inner products of the three columns of the place.
    products: [[f64; 3]; 3],
    /// Inner products of the columns with what was measured.
    along: [f64; 3],
}

/// A place with the columns of a dipole there, without what is known.
pub(super) struct Candidate {
    place: Place,
    columns: [Column; 3],
}

impl Candidate {
    pub(super) fn new(gradient: &Gradient, place: Place) -> Self {
        Self {
            place,
            columns: gradient.seen_dipole(place),
        }
    }

    /// What it would explain of what is left.
    pub(super) fn fit(&self, gradient: &Gradient) -> Fit {
        let mut products = [[0.0; 3]; 3];
        for (row, a) in products.iter_mut().zip(&self.columns) {
            for (product, b) in row.iter_mut().zip(&self.columns) {
                *product = inner(a, b);
            }
        }
        Fit {
            products,
            along: [0, 1, 2].map(|axis: usize| inner(&self.columns[axis], &gradient.left)),
        }
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
    /// The moment that fits best, A m2, and the power that it explains; no moment along an axis that nothing is left of.
    /// None where the columns cannot be told apart.
    fn best(&self) -> Option<([f64; 3], f64)> {
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

    fn power(&self) -> f64 {
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
pub(super) fn find(base: &Gradient, mut candidates: Vec<Candidate>) -> (Vec<Dipole>, Gradient) {
    let mut places: Vec<Place> = Vec::new();
    let mut rest = base.clone();
    while places.len() < DIPOLES_MAX {
        let start = candidates
            .iter()
            .filter(|candidate| places.iter().all(|place| distance(*place, candidate.place) > APART_M))
            .map(|candidate| (candidate.fit(&rest).power(), candidate.place))
            .fold(
                (0.0, [0.0; 3]),
                |best, other| if other.0 > best.0 { other } else { best },
            );
        if start.0 <= 0.0 {
            break;
        }
        let candidate = refine(&rest, start, &places);
        let place = candidate.place;
        let power = candidate.fit(&rest).power();
        let mut without = rest.clone();
        for column in candidate.columns {
            let Some(new) = without.know(column) else { continue };
            for column in candidates.iter_mut().flat_map(|candidate| &mut candidate.columns) {
                take_out(column, new);
            }
        }
        // Against what is left without it, so that it does not count as its own noise.
        if power.is_nan() || power < FOUND * without.misfit().max(1.0) {
            break;
        }
        places.push(place);
        for moved in 0..places.len() {
            let beside = beside(base, &places, moved);
            let start = Candidate::new(&beside, places[moved]);
            let start = (start.fit(&beside).power(), start.place);
            let mut others = places.clone();
            others.swap_remove(moved);
            places[moved] = refine(&beside, start, &others).place;
        }
        rest = beside(base, &places, usize::MAX);
    }
    let misfit = rest.misfit().max(1.0);
    let dipoles = (0..places.len()).filter_map(|number| {
        let (place, beside) = (places[number], beside(base, &places, number));
        let (moment, power) = Candidate::new(&beside, place).fit(&beside).best()?;
        Some(Dipole {
            place,
            moment,
            power: power / misfit,
            one_row: beside.stands_in_one_row(place, misfit),
        })
    });
    (dipoles.collect(), rest)
}

/// The profile with all dipoles but one taken out.
fn beside(base: &Gradient, places: &[Place], but: usize) -> Gradient {
    let mut gradient = base.clone();
    for (_, place) in places.iter().enumerate().filter(|(number, _)| *number != but) {
        for column in gradient.seen_dipole(*place) {
            gradient.know(column);
        }
    }
    gradient
}

fn distance(a: Place, b: Place) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// Moves a place by ever smaller steps to where it explains most, within the container and not onto
/// another dipole.
fn refine(gradient: &Gradient, start: (f64, Place), others: &[Place]) -> Candidate {
    let inside = |place: Place| {
        (0.2..=gradient.length - 0.2).contains(&place[0])
            && (-1.2..=1.2).contains(&place[1])
            && (1.1..=4.2).contains(&place[2])
            && others.iter().all(|other| distance(*other, place) > APART_M)
    };
    let (mut power, place) = start;
    let mut best = Candidate::new(gradient, place);
    let mut step = 0.4;
    while step > 0.02 {
        let mut moved = false;
        for (axis, sign) in [(0, -1.0), (0, 1.0), (1, -1.0), (1, 1.0), (2, -1.0), (2, 1.0)] {
            let mut other = best.place;
            other[axis] += sign * step;
            if !inside(other) {
                continue;
            }
            let other = Candidate::new(gradient, other);
            let there = other.fit(gradient).power();
            // A hair more is rounding, and could be gone after for ever.
            if there > power * (1.0 + 1e-9) {
                (power, best, moved) = (there, other, true);
            }
        }
        if !moved {
            step /= 2.0;
        }
    }
    best
}

/// The lower Cholesky factor of a symmetric matrix, and the log of its determinant. None if a pivot is not above `least`.
fn cholesky(matrix: [[f64; 3]; 3], least: f64) -> Option<([[f64; 3]; 3], f64)> {
    let mut factor = [[0.0; 3]; 3];
    let mut log_determinant = 0.0;
    for i in 0..3 {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| factor[i][k] * factor[j][k]).sum();
            let rest = matrix[i][j] - sum;
            if i == j {
                if !rest.is_finite() || rest <= least {
                    return None;
                }
                factor[i][i] = rest.sqrt();
                log_determinant += rest.ln();
            } else {
                factor[i][j] = rest / factor[j][j];
            }
        }
    }
    Some((factor, log_determinant))
}

/// Solves with a Cholesky factor.
fn solve(factor: &[[f64; 3]; 3], right: [f64; 3]) -> [f64; 3] {
    let mut x = right;
    for i in 0..3 {
        for k in 0..i {
            x[i] -= factor[i][k] * x[k];
        }
        x[i] /= factor[i][i];
    }
    for i in (0..3).rev() {
        for k in i + 1..3 {
            x[i] -= factor[k][i] * x[k];
        }
        x[i] /= factor[i][i];
    }
    x
}

//! Moves a dipole to where it explains most.
//!
//! Place and moment are fitted together by least squares: the profile is linear in the moment and, near enough, in small
//! steps of the place. Steps are damped along the place alone (K. Levenberg, Quarterly of Applied Mathematics 2 (1944)
//! 164), and only those that explain more are taken. A few steps do what a search by halving takes dozens of places for.

use super::dipole::{APART_M, Candidate, distance};
use super::gradient::{Gradient, Place, TOLD_APART};
use super::solve::{cholesky, solve};

/// Where a dipole may be beside the length, metres: to the right and left of the middle, and above the road.
const ACROSS_M: (f64, f64) = (-1.2, 1.2);
const HEIGHT_M: (f64, f64) = (1.1, 4.2);
/// From either end of the container, metres.
const END_M: f64 = 0.2;
/// Steps shorter than this change nothing that is reported, metres.
const STEP_LEAST_M: f64 = 0.01;
/// A longer step is cut: further away the profile is not linear in the place, metres.
const STEP_MOST_M: f64 = 0.4;
/// Places that are tried.
pub(super) const TRIED: usize = 24;
/// Places that are tried to see where a start leads.
pub(super) const TRIED_ROUGHLY: usize = 2;
/// By how much damping falls after a step that explains more, and grows after one that does not.
const DAMPING_FACTOR: f64 = 6.0;
/// How far apart the places are by which the slope along the place is taken, metres.
const SLOPE_M: f64 = 1e-3;

/// Where a dipole near `start` explains most of what is left, within the container and not onto another dipole, and the
/// power that it explains there, in units of noise. At most `tried` places are looked at.
pub(super) fn refine(gradient: &Gradient, start: Place, others: &[Place], tried: usize) -> (Place, f64) {
    let bounds = [(END_M, gradient.length - END_M), ACROSS_M, HEIGHT_M];
    let mut best = Candidate::new(gradient, start);
    let mut power = best.fit().power();
    let mut damping = 1e-2;
    let mut system = System::new(gradient, &best);
    for _ in 0..tried {
        let Some(step) = system
            .as_ref()
            .and_then(|system| system.step(best.place, &bounds, damping))
        else {
            break;
        };
        let mut place = best.place;
        for ((place, step), (low, high)) in place.iter_mut().zip(step).zip(bounds) {
            *place = (*place + step).clamp(low, high);
        }
        let moved = distance(place, best.place);
        if moved < STEP_LEAST_M {
            break;
        }
        let apart = others.iter().all(|other| distance(*other, place) > APART_M);
        let other = apart.then(|| Candidate::new(gradient, place));
        match other.map(|other| (other.fit().power(), other)) {
            Some((there, other)) if there > power => {
                (power, best) = (there, other);
                damping /= DAMPING_FACTOR;
                system = System::new(gradient, &best);
            }
            _ => damping *= DAMPING_FACTOR,
        }
    }
    (best.place, power)
}

/// Normal equations of a moment and a place, each quantity in units in which its own product is 1.
struct System {
    products: [[f64; 6]; 6],
    right: [f64; 6],
    units: [f64; 6],
}

impl System {
    /// At a place with the moment that fits best there; none if none fits.
    fn new(gradient: &Gradient, at: &Candidate) -> Option<Self> {
        let (moment, _) = at.fit().best()?;
        let field = |values: &[f64; 3]| {
            values
                .iter()
                .zip(moment)
                .map(|(value, moment)| value * moment)
                .sum::<f64>()
        };
        let mut columns: Vec<[f64; 6]> = at.dipole.iter().map(|[x, y, z]| [*x, *y, *z, 0.0, 0.0, 0.0]).collect();
        for axis in 0..3 {
            let mut place = at.place;
            place[axis] += SLOPE_M;
            let there = gradient.dipole(place);
            for ((columns, here), there) in columns.iter_mut().zip(&at.dipole).zip(&there) {
                columns[3 + axis] = (field(there) - field(here)) / SLOPE_M;
            }
        }
        let gram = gradient.gram(&columns);
        let units = std::array::from_fn(|a| {
            let left = gram.products[a][a];
            if left > 0.0 && left >= TOLD_APART * gram.before[a] {
                left.sqrt()
            } else {
                0.0
            }
        });
        let scaled = |value: f64, unit: f64| if unit > 0.0 { value / unit } else { 0.0 };
        let mut system = Self {
            products: [[0.0; 6]; 6],
            right: [0.0; 6],
            units,
        };
        for a in 0..6 {
            let explained: f64 = (0..3).map(|b| gram.products[a][b] * moment[b]).sum();
            system.right[a] = scaled(gram.along[a] - explained, units[a]);
            for b in 0..6 {
                system.products[a][b] = scaled(scaled(gram.products[a][b], units[a]), units[b]);
            }
        }
        Some(system)
    }

    /// The damped step of the place, metres. Along an axis that leads out of the bounds from where it stands, or of which
    /// nothing can be told, it stays. None if the equations have no solution.
    fn step(&self, place: Place, bounds: &[(f64, f64); 3], damping: f64) -> Option<[f64; 3]> {
        let (mut products, mut right) = (self.products, self.right);
        for a in 0..6 {
            let stays = a >= 3 && {
                let ((low, high), place) = (bounds[a - 3], place[a - 3]);
                (place <= low && right[a] < 0.0) || (place >= high && right[a] > 0.0)
            };
            if stays || self.units[a] == 0.0 {
                products[a] = [0.0; 6];
                products.iter_mut().for_each(|row| row[a] = 0.0);
                products[a][a] = 1.0;
                right[a] = 0.0;
            } else if a >= 3 {
                products[a][a] += damping;
            }
        }
        let (factor, _) = cholesky(products, 1e-12)?;
        let solved = solve(&factor, right);
        let step: [f64; 3] = std::array::from_fn(|axis| {
            let unit = self.units[3 + axis];
            if unit > 0.0 { solved[3 + axis] / unit } else { 0.0 }
        });
        let length = distance(step, [0.0; 3]);
        let cut = if length > STEP_MOST_M {
            STEP_MOST_M / length
        } else {
            1.0
        };
        Some(step.map(|part| part * cut))
    }
}

//! A profile made ready for comparing: checked, thinned, in units of its noise, without what all sensors share and
//! without the vehicle.

use portcullis_domain::reading::{MAGNETIC_SENSORS_MAX, MAGNETIC_VALUES_MAX, MagneticProfile};

use super::known::{Column, Gram, Known, inner, take_out};
use super::{anderson, vehicle};

/// Fewer samples than this are no profile.
const SAMPLES_MIN: usize = 16;
/// Values that are computed with; neighbours of longer profiles are averaged.
const VALUES: usize = 2_048;
/// Samples this far before and behind the container are still used, metres.
const MARGIN_M: f64 = 1.5;
/// Share of the vehicle's field that its model misses: panels are bent, axles stand elsewhere, and the field that a
/// sensor shows is not quite the part along that of the Earth.
const MODEL_ERROR: f64 = 0.02;
/// A dipole can be told from what is known if this share of its power is not explained by that.
pub(super) const TOLD_APART: f64 = 0.005;

/// Where something is in the container: behind its front end, to the left of its middle, above the road; metres.
pub(super) type Place = [f64; 3];

/// A sensor in metres.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    x: f64,
    y: f64,
    z: f64,
}

/// What a moment of 1 A m2 along each axis adds to each value, in units of noise.
pub(super) type Dipole = Vec<[f64; 3]>;

/// A profile ready for comparing.
#[derive(Debug, Clone)]
pub(super) struct Gradient {
    pub(super) rows: Vec<Row>,
    /// x of the front end at each sample that is left, metres.
    positions: Vec<f64>,
    earth: [f64; 3],
    /// Length of the container, metres.
    pub(super) length: f64,
    /// Share of the container that passed the sensors.
    pub(super) covered: f64,
    /// Noise of each value, picotesla.
    noise: Column,
    /// What was measured, in units of noise, without everything in `known`.
    pub(super) left: Column,
    /// What is taken out of everything.
    known: Known,
}

impl Gradient {
    /// Checks a profile and takes out of it the field of the Earth with its drift, which all sensors share, and the large
    /// iron of the vehicle, whose places are known: tractor, chassis, and both ends and the length of the container.
    ///
    /// # Errors
    /// The field that cannot be, and why.
    pub(super) fn new(profile: &MagneticProfile) -> Result<Self, (&'static str, String)> {
        let metres = |mm: i32| f64::from(mm) / 1_000.0;
        if !(1_000..=20_000).contains(&profile.box_length_mm) {
            let why = format!("{} mm is no length of a container", profile.box_length_mm);
            return Err(("box_length_mm", why));
        }
        let strength = profile
            .earth_pt
            .iter()
            .map(|part| f64::from(*part).powi(2))
            .sum::<f64>()
            .sqrt();
        // The field at the ground is 22 to 67 microtesla everywhere (International Geomagnetic Reference Field).
        if !(15e6..=80e6).contains(&strength) {
            return Err(("earth_pt", format!("{strength:.0} pT is not the field of the Earth")));
        }
        let samples = profile.positions_mm.len();
        let sensors = profile.sensors.len();
        if sensors == 0 || sensors > MAGNETIC_SENSORS_MAX || sensors.saturating_mul(samples) > MAGNETIC_VALUES_MAX {
            return Err(("sensors", format!("{sensors} sensors with {samples} samples")));
        }
        if profile.sensors.iter().any(|sensor| sensor.field_pt.len() != samples) {
            return Err(("sensors", "not every sensor has a value at each position".to_owned()));
        }
        if !profile.positions_mm.is_sorted() {
            return Err(("positions_mm", "they go back".to_owned()));
        }
        let length = f64::from(profile.box_length_mm) / 1_000.0;
        let (first, last) = profile
            .sensors
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), sensor| {
                (low.min(metres(sensor.x_mm)), high.max(metres(sensor.x_mm)))
            });
        let beside = |position: f64| position > first - MARGIN_M && position < last + length + MARGIN_M;
        let used: Vec<usize> = (0..samples)
            .filter(|at| beside(metres(profile.positions_mm[*at])))
            .collect();
        if used.len() < SAMPLES_MIN {
            let why = format!(
                "{} samples beside the container; at least {SAMPLES_MIN} are needed",
                used.len()
            );
            return Err(("positions_mm", why));
        }
        // The field beside tractors stays below a millitesla, and beyond that no such sensor works.
        let absurd = |value: &i64| !(0..=1_000_000_000).contains(value);
        if profile.sensors.iter().any(|sensor| sensor.field_pt.iter().any(absurd)) {
            return Err(("field_pt", "a value is not between 0 and 1 mT".to_owned()));
        }
        let thinning = (used.len() * sensors).div_ceil(VALUES).max(1);
        let groups: Vec<&[usize]> = used.chunks(thinning).collect();
        let mean = |group: &[usize], value: &dyn Fn(usize) -> f64| {
            group.iter().map(|at| value(*at)).sum::<f64>() / group.len() as f64
        };
        let positions: Vec<f64> = groups
            .iter()
            .map(|group| mean(group, &|at| metres(profile.positions_mm[at])))
            .collect();
        let rows: Vec<Row> = profile
            .sensors
            .iter()
            .map(|sensor| Row {
                x: metres(sensor.x_mm),
                y: metres(sensor.y_mm),
                z: metres(sensor.z_mm),
            })
            .collect();
        let mut measured = Column::with_capacity(groups.len() * sensors);
        let mut noise = Column::with_capacity(groups.len() * sensors);
        for group in &groups {
            for sensor in &profile.sensors {
                measured.push(mean(group, &|at| sensor.field_pt[at] as f64 - strength));
                // Not below a picotesla: the vehicle shakes more than that.
                noise.push((f64::from(sensor.noise_pt) / (thinning as f64).sqrt()).max(1.0));
            }
        }
        let seen = |behind: f64| {
            rows.iter().all(|row| {
                positions.first().is_some_and(|first| first - row.x <= behind)
                    && positions.last().is_some_and(|last| last - row.x >= behind)
            })
        };
        let covered = (0..40)
            .filter(|part| seen(length * (f64::from(*part) + 0.5) / 40.0))
            .count() as f64
            / 40.0;
        let mut gradient = Self {
            rows,
            positions,
            earth: profile.earth_pt.map(|part| f64::from(part) / strength),
            length,
            covered,
            known: Known::new(sensors, &noise),
            noise,
            left: Vec::new(),
        };
        // First with the noise of the sensors alone, to learn what the vehicle adds where; then with a share of that as noise.
        let mut columns = vehicle::columns(&gradient);
        let vehicle = gradient.take_vehicle(&measured, &columns);
        for (at, (noise, vehicle)) in gradient.noise.iter_mut().zip(vehicle).enumerate() {
            let before = *noise;
            *noise = noise.hypot(MODEL_ERROR * vehicle);
            for value in columns.iter_mut().filter_map(|column| column.get_mut(at)) {
                *value *= before / *noise;
            }
        }
        gradient.take_vehicle(&measured, &columns);
        Ok(gradient)
    }

    /// Takes offsets and vehicle out of what was measured, in picotesla; the vehicle's columns are in units of noise. Returns
    /// what it takes for the vehicle's, picotesla, without what all sensors share.
    fn take_vehicle(&mut self, measured: &[f64], columns: &[Column]) -> Column {
        let sensors = self.rows.len();
        self.known = Known::new(sensors, &self.noise);
        for sensor in 0..sensors {
            let offset = self.known.inverse_noise().iter().enumerate();
            let offset = offset.map(|(at, inverse)| if at % sensors == sensor { *inverse } else { 0.0 });
            self.known.add(offset.collect());
        }
        let measured = measured.iter().zip(&self.noise).map(|(field, noise)| field / noise);
        let with_vehicle = self.known.without(measured.collect());
        self.left.clone_from(&with_vehicle);
        for column in columns {
            if let Some(direction) = self.known.add(column.clone()) {
                take_out(&mut self.left, &direction);
            }
        }
        let parts = with_vehicle.iter().zip(&self.left).zip(&self.noise);
        parts.map(|((with, without), noise)| (with - without) * noise).collect()
    }

    /// What a dipole at a place adds to the profile.
    pub(super) fn dipole(&self, place: Place) -> Dipole {
        let geometry: Vec<_> = self
            .rows
            .iter()
            .map(|row| anderson::coefficients([row.y - place[1], row.z - place[2]], self.earth))
            .collect();
        let mut dipole = Dipole::with_capacity(self.noise.len());
        let inverse_noise = self.known.inverse_noise().chunks(self.rows.len());
        for (position, inverse_noise) in self.positions.iter().zip(inverse_noise) {
            for ((row, inverse_noise), geometry) in self.rows.iter().zip(inverse_noise).zip(&geometry) {
                let Some((coefficients, closest)) = geometry else {
                    dipole.push([0.0; 3]);
                    continue;
                };
                let along = row.x - (position - place[0]);
                let functions = anderson::functions(along / closest).map(|function| function * inverse_noise);
                let [first, second, third] = functions;
                dipole.push(coefficients.map(|of_axis| of_axis[0] * first + of_axis[1] * second + of_axis[2] * third));
            }
        }
        dipole
    }

    /// Inner products of columns without what is known, and with what is left.
    pub(super) fn gram<const N: usize>(&self, columns: &[[f64; N]]) -> Gram<N> {
        self.known.gram(columns, &self.left)
    }

    /// Inner products that were taken in `base`, which knows less, as they are here.
    pub(super) fn gram_beyond(&self, base: &Self, gram: &Gram<3>, columns: &[[f64; 3]]) -> Gram<3> {
        self.known.gram_from(base.known.len(), gram, columns, &self.left)
    }

    /// From here on, a dipole of any moment at this place is taken out of everything.
    pub(super) fn know_dipole(&mut self, place: Place) {
        let dipole = self.dipole(place);
        for axis in 0..3 {
            let column = dipole.iter().map(|values| values[axis]).collect();
            if let Some(direction) = self.known.add_if_new(column, TOLD_APART) {
                take_out(&mut self.left, &direction);
            }
        }
    }

    /// Power of what is left for each value that could still vary: 1 for noise as stated.
    pub(super) fn misfit(&self) -> f64 {
        let shared = if self.rows.len() > 1 { self.positions.len() } else { 0 };
        let free = self.left.len().saturating_sub(self.known.len() + shared).max(1);
        inner(&self.left, &self.left) / free as f64
    }

    /// Whether what is left around a place stands in the row of one sensor alone, as a spark does: by its energy in the
    /// orthonormal basis of a passing dipole, less that of noise, which is 3 for three functions.
    ///
    /// Taking out what all share leaves a spark in one of n rows with 1 - 1/n of its energy, and spreads the rest. With
    /// two sensors, nobody can tell.
    pub(super) fn stands_in_one_row(&self, place: Place, misfit: f64) -> bool {
        let sensors = self.rows.len();
        let energies: Vec<f64> = (0..sensors)
            .map(|sensor| (self.row_energy(sensor, place) - 3.0 * misfit).max(0.0))
            .collect();
        let (sum, most) = energies
            .iter()
            .fold((0.0, 0.0_f64), |(sum, most), energy| (sum + energy, most.max(*energy)));
        sensors > 2 && most > sum * (1.0 - 1.5 / sensors as f64)
    }

    fn row_energy(&self, sensor: usize, place: Place) -> f64 {
        let (row, sensors) = (&self.rows[sensor], self.rows.len());
        let closest = (row.y - place[1]).hypot(row.z - place[2]).max(0.05);
        let (mut along, mut power) = ([0.0; 3], [0.0; 3]);
        for (position, value) in self
            .positions
            .iter()
            .zip(self.left.iter().skip(sensor).step_by(sensors))
        {
            let basis = anderson::orthonormal((row.x - (position - place[0])) / closest);
            for (index, basis) in basis.into_iter().enumerate() {
                along[index] += basis * value;
                power[index] += basis * basis;
            }
        }
        let energies = along.iter().zip(power).filter(|(_, power)| *power > 0.0);
        energies.map(|(along, power)| along * along / power).sum()
    }
}

//! A profile made ready for comparing: checked, thinned, in units of its noise, without what all sensors share and
//! without the vehicle.

use portcullis_domain::reading::{MAGNETIC_SENSORS_MAX, MAGNETIC_VALUES_MAX, MagneticProfile};

use super::{anderson, vehicle};

/// Fewer samples than this are no profile.
const SAMPLES_MIN: usize = 16;
/// Values that are computed with; neighbours of longer profiles are averaged.
const VALUES: usize = 2_048;
/// Samples this far before and behind the container are still used, metres.
const MARGIN_M: f64 = 1.5;
/// Directions that are left of a column after everything known was taken out count if they have this share of it.
const INDEPENDENT: f64 = 1e-6;
/// Share of the vehicle's field that its model misses: panels are bent, axles stand elsewhere, and the field that a
/// sensor shows is not quite the part along that of the Earth.
const MODEL_ERROR: f64 = 0.02;
/// A dipole can be told from what is known if this share of its power is not explained by that.
const TOLD_APART: f64 = 0.005;

/// Where something is in the container: behind its front end, to the left of its middle, above the road; metres.
pub(super) type Place = [f64; 3];

/// A sensor in metres.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    x: f64,
    y: f64,
    z: f64,
}

/// One value for each sensor and sample, sample by sample: what a vector of the whole profile is here.
pub(super) type Column = Vec<f64>;

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
    /// Orthonormal: what is taken out of everything, besides what all sensors share.
    known: Vec<Column>,
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
            noise,
            left: Vec::new(),
            known: Vec::new(),
        };
        // First with the noise of the sensors alone, to learn what the vehicle adds where; then with a share of that as noise.
        let vehicle = gradient.take_vehicle(&measured);
        for (noise, vehicle) in gradient.noise.iter_mut().zip(vehicle) {
            *noise = noise.hypot(MODEL_ERROR * vehicle);
        }
        gradient.take_vehicle(&measured);
        Ok(gradient)
    }

    /// Takes offsets and vehicle out of what was measured, in picotesla. Returns what it takes for the vehicle's,
    /// picotesla, without what all sensors share.
    fn take_vehicle(&mut self, measured: &[f64]) -> Column {
        self.known.clear();
        self.left.clear();
        let sensors = self.rows.len();
        for sensor in 0..sensors {
            let offset = self.noise.iter().enumerate();
            let offset = offset.map(|(at, noise)| if at % sensors == sensor { 1.0 / noise } else { 0.0 });
            self.know(offset.collect());
        }
        let measured = measured.iter().zip(&self.noise).map(|(field, noise)| field / noise);
        let with_vehicle = self.without_known(measured.collect());
        self.left.clone_from(&with_vehicle);
        for column in vehicle::columns(self) {
            self.know(column);
        }
        let parts = with_vehicle.iter().zip(&self.left).zip(&self.noise);
        parts.map(|((with, without), noise)| (with - without) * noise).collect()
    }

    /// What a moment of 1 A m2 along each axis at a place adds to the profile, in units of noise.
    pub(super) fn dipole(&self, place: Place) -> [Column; 3] {
        let mut columns = [const { Vec::new() }; 3];
        let geometry: Vec<_> = self
            .rows
            .iter()
            .map(|row| anderson::coefficients([row.y - place[1], row.z - place[2]], self.earth))
            .collect();
        let noise = self.noise.chunks(self.rows.len());
        for (position, noise) in self.positions.iter().zip(noise) {
            for ((row, noise), geometry) in self.rows.iter().zip(noise).zip(&geometry) {
                let Some((coefficients, closest)) = geometry else {
                    columns.iter_mut().for_each(|column| column.push(0.0));
                    continue;
                };
                let along = row.x - (position - place[0]);
                let functions = anderson::functions(along / closest);
                for (column, of_axis) in columns.iter_mut().zip(coefficients) {
                    let field: f64 = of_axis.iter().zip(functions).map(|(c, f)| c * f).sum();
                    column.push(field / noise);
                }
            }
        }
        columns
    }

    /// The columns of a dipole at a place, without what is known.
    ///
    /// Where hardly anything of a column is left, it cannot be told from what is known, and is all zero.
    pub(super) fn seen_dipole(&self, place: Place) -> [Column; 3] {
        self.dipole(place).map(|column| {
            let before = inner(&column, &column);
            let mut left = self.without_known(column);
            if inner(&left, &left) < TOLD_APART * before {
                left.fill(0.0);
            }
            left
        })
    }

    /// Takes out of a column what all sensors share at each sample, and everything known.
    ///
    /// With noise that differs by sensor, what they share is along 1/noise in units of noise. A single sensor shares with
    /// nobody: there the field of the Earth stays in, but for its mean.
    fn without_known(&self, mut column: Column) -> Column {
        let sensors = self.rows.len();
        if sensors > 1 {
            for (sample, noise) in column.chunks_mut(sensors).zip(self.noise.chunks(sensors)) {
                let power: f64 = noise.iter().map(|noise| noise.powi(-2)).sum();
                let shared = sample
                    .iter()
                    .zip(noise)
                    .map(|(value, noise)| value / noise)
                    .sum::<f64>()
                    / power;
                for (value, noise) in sample.iter_mut().zip(noise) {
                    *value -= shared / noise;
                }
            }
        }
        for known in &self.known {
            take_out(&mut column, known);
        }
        column
    }

    /// From here on, this is taken out of everything (modified Gram-Schmidt, twice for the sake of rounding).
    ///
    /// Returns the direction that is new, if there is one.
    pub(super) fn know(&mut self, column: Column) -> Option<&Column> {
        let before = inner(&column, &column);
        let once = self.without_known(column);
        let mut rest = self.without_known(once);
        let power = inner(&rest, &rest);
        if !power.is_finite() || power <= INDEPENDENT * before {
            return None;
        }
        rest.iter_mut().for_each(|value| *value /= power.sqrt());
        take_out(&mut self.left, &rest);
        self.known.push(rest);
        self.known.last()
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

/// Sum of the products of two columns.
pub(super) fn inner(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}

/// Takes the part along a direction of length 1 out of a column.
pub(super) fn take_out(column: &mut [f64], direction: &[f64]) {
    let along = inner(direction, column);
    for (value, direction) in column.iter_mut().zip(direction) {
        *value -= along * direction;
    }
}

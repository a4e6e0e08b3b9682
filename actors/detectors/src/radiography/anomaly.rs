//! Where the load is denser or lighter than what is around it.
//!
//! # How
//! 1. What is around a cell is the median of its row within 1.2 m to each side: it follows floor, roof and layers, and keeps
//!    the edges of stacks (J. W. Tukey, Exploratory Data Analysis, 1977, on medians and their polish).
//! 2. From what is left, what is odd about single columns is taken off: gaps between pallets, and a beam that was not steady.
//!    That is the median of each column, less the median of those within 0.15 m to each side: something wider fills more
//!    than half of that window and stays, also if it fills most of its column.
//! 3. The rest is averaged over 3 x 3 cells. Its local noise is the median absolute deviation within 1.8 m, times 1.4826 as
//!    for a normal distribution. So what repeats, such as cartons, counts as noise, and a single block does not.
//!    Where layers meet, the step between them counts as noise too.
//! 4. Cells beyond [`THRESHOLD`] times the noise that touch by their sides and have one sign are one anomaly.
//! 5. Cells that are as thick as a body are put together to silhouettes (`body`), whether they are denser or lighter than what
//!    is around: a body in goods is lighter than they are, its head above them heavier than air.

use std::collections::BTreeSet;

use super::body::{AREAL, Silhouette};
use super::grid::Grid;
use super::load::{GOODS_MIN, Load};

/// Half a window of the row median, millimetres.
const WINDOW_MM: f64 = 1_200.0;
/// Half a window of the medians of columns, millimetres: gaps between pallets are 40 mm wide, whatever is looked for at least 250.
const NARROW_MM: f64 = 150.0;
/// Side of a block that has one noise, millimetres; the blocks around it count too.
const BLOCK_MM: f64 = 600.0;
/// In units of the local noise: four keep single cells of honest noise to 1 in 16,000, and a lone cell is too small to count.
const THRESHOLD: f64 = 4.0;
/// The noise is taken to be at least this, g/cm² and as a share of what is around.
const NOISE_MIN: f64 = 0.1;
const NOISE_SHARE_MIN: f64 = 0.002;
/// Where layers meet, a stack that is a little higher or lower is no anomaly: the noise is at least this share of the step
/// between the rows above and below.
const STEP_SHARE: f64 = 0.35;
/// Smaller ones are dropped, cm².
const AREA_MIN_CM2: f64 = 150.0;
/// Where goods begin and end they stand unevenly: nothing is looked for this near to the ends of the load, millimetres.
const MARGIN_MM: f64 = 60.0;
/// Cells so near to a dark one are not looked at.
const DARK_CELLS: usize = 2;
/// The most that are kept.
const KEPT: usize = 16;

/// A part of the load that differs from what is around it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Anomaly {
    /// Left, top, width and height, millimetres from the first column of the image and the first row of the load.
    pub(super) bounds_mm: [f64; 4],
    /// Size, cm².
    pub(super) area_cm2: f64,
    /// Mass more than what is around it, as cellulose, kilograms; negative for less.
    pub(super) excess_kg: f64,
    /// Areal mass of what is around it without the walls, as cellulose, g/cm².
    pub(super) around: f64,
    /// Median areal mass in it without the walls, as cellulose, g/cm²: all that a ray meets there.
    pub(super) inside: f64,
    /// Median areal mass of the goods above and below it, in its own columns, g/cm²; none if it is most of what stands there.
    pub(super) stack: Option<f64>,
    /// Mean of the local noise where it is, g/cm².
    pub(super) noise: f64,
}

impl Anomaly {
    /// Mean areal mass more than what is around it, g/cm².
    pub(super) fn contrast(&self) -> f64 {
        self.excess_kg * 1_000.0 / self.area_cm2
    }
}

/// A field of cells, column after column; not-a-number where nothing was seen.
struct Field {
    columns: usize,
    rows: usize,
    values: Vec<f32>,
}

impl Field {
    fn at(&self, column: usize, row: usize) -> f32 {
        self.values[column * self.rows + row]
    }

    /// All cells, with column and row.
    fn cells(&self) -> impl Iterator<Item = (usize, usize, f32)> {
        let rows = self.rows.max(1);
        self.values
            .iter()
            .enumerate()
            .map(move |(at, value)| (at / rows, at % rows, *value))
    }

    fn map(&self, each: impl Fn(usize, usize, f32) -> f32) -> Self {
        Self {
            values: self
                .cells()
                .map(|(column, row, value)| each(column, row, value))
                .collect(),
            ..*self
        }
    }

    /// Mean of the up to nine cells around each one.
    fn smoothed(&self) -> Self {
        self.map(|column, row, value| {
            if value.is_nan() {
                return value;
            }
            let (mut sum, mut count) = (0.0, 0.0);
            for column in column.saturating_sub(1)..(column + 2).min(self.columns) {
                for row in row.saturating_sub(1)..(row + 2).min(self.rows) {
                    let value = self.at(column, row);
                    if !value.is_nan() {
                        sum += value;
                        count += 1.0;
                    }
                }
            }
            sum / count
        })
    }
}

/// The median of what is a number; none if nothing is.
fn median(scratch: &mut Vec<f32>) -> Option<f32> {
    scratch.retain(|value| !value.is_nan());
    let middle = scratch.len() / 2;
    if scratch.is_empty() {
        return None;
    }
    Some(*scratch.select_nth_unstable_by(middle, f32::total_cmp).1)
}

/// What stands out in a load.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Outliers {
    /// The largest first.
    pub(super) anomalies: Vec<Anomaly>,
    /// What could be people, the largest first.
    pub(super) silhouettes: Vec<Silhouette>,
}

/// Everything that stands out.
pub(super) fn find(grid: &Grid, load: &Load) -> Outliers {
    let (cell_width, cell_height) = grid.cell_mm();
    let margin = (MARGIN_MM / cell_width).ceil() as usize;
    let (from, to) = (load.columns.0 + margin, load.columns.1.saturating_sub(margin));
    if from >= to {
        return Outliers::default();
    }
    let (_, rows) = grid.size();
    // Beside what the beam did not get through, a cell is partly dark, and so is what it would be compared with.
    let near_dark = |column: usize, row: usize| {
        let rows = row.saturating_sub(DARK_CELLS)..(row + DARK_CELLS + 1).min(rows);
        let mut columns = column.saturating_sub(DARK_CELLS)..column + DARK_CELLS + 1;
        columns.any(|column| rows.clone().any(|row| grid.is_dark(column, row)))
    };
    let areal = |column, row| {
        let seen = grid.areal(column, row, 0).filter(|_| !near_dark(column, row));
        seen.map_or(f32::NAN, |areal| areal as f32)
    };
    let values = (from..to)
        .flat_map(|column| (0..rows).map(move |row| (column, row)))
        .map(|(column, row)| areal(column, row))
        .collect();
    let field = Field {
        columns: to - from,
        rows,
        values,
    };
    let around = row_medians(&field, (WINDOW_MM / cell_width) as usize);
    let beside = Field {
        values: field
            .values
            .iter()
            .zip(&around.values)
            .map(|(value, around)| value - around)
            .collect(),
        ..field
    };
    let rest = without_odd_columns(&beside, (NARROW_MM / cell_width) as usize).smoothed();
    let noise = Noise::of(&rest, cell_width, cell_height);
    let noise = rest.map(|column, row, _| {
        let noise = noise
            .at(column, row)
            .max(NOISE_MIN)
            .max(NOISE_SHARE_MIN * f64::from(around.at(column, row)))
            .max(STEP_SHARE * step(&around, column, row));
        noise as f32
    });
    let sign = rest.map(|column, row, value| {
        if f64::from(value.abs()) > THRESHOLD * f64::from(noise.at(column, row)) {
            value.signum()
        } else {
            0.0
        }
    });
    // First column and row of a component, and how many of each it spans.
    let bounds = |component: &[usize]| {
        let columns = component.iter().map(|at| at / rows);
        let lines = component.iter().map(|at| at % rows);
        let (left, right) = (columns.clone().min()?, columns.max()?);
        let (top, bottom) = (lines.clone().min()?, lines.max()?);
        Some([from + left, top, right + 1 - left, bottom + 1 - top])
    };
    let bounds_mm = |[left, top, columns, lines]: [usize; 4]| {
        [
            left as f64 * cell_width,
            top as f64 * cell_height,
            columns as f64 * cell_width,
            lines as f64 * cell_height,
        ]
    };
    let cell = cell_width * cell_height / 100.0;
    let mut anomalies: Vec<Anomaly> = components(&sign)
        .into_iter()
        .filter_map(|component| {
            let area_cm2 = component.len() as f64 * cell;
            if area_cm2 < AREA_MIN_CM2 {
                return None;
            }
            let sum = |of: &Field| -> f64 { component.iter().map(|at| f64::from(of.values[*at])).sum() };
            Some(Anomaly {
                bounds_mm: bounds_mm(bounds(&component)?),
                area_cm2,
                excess_kg: sum(&rest) * cell / 1_000.0,
                around: sum(&around) / component.len() as f64 - load.walls,
                inside: inside(&field, &component) - load.walls,
                stack: stack(&field, &component, load.walls),
                noise: sum(&noise) / component.len() as f64,
            })
        })
        .collect();
    anomalies.sort_by(|a, b| b.excess_kg.abs().total_cmp(&a.excess_kg.abs()));
    anomalies.truncate(KEPT);
    // As thick as a body, and so are most of the cells around: what is thinner than two cells is an edge of something else.
    let fits = field
        .map(|_, _, value| f32::from(u8::from(AREAL.contains(&(f64::from(value) - load.walls)))))
        .smoothed()
        .map(|_, _, share| f32::from(u8::from(share > 0.6)));
    let mut silhouettes: Vec<Silhouette> = components(&fits)
        .into_iter()
        .filter_map(|component| {
            let bounds = bounds(&component)?;
            let outlying = component.iter().filter(|at| sign.values[**at] != 0.0).count();
            Some(Silhouette {
                outlying: outlying as f64 / component.len() as f64,
                bounds_mm: bounds_mm(bounds),
                area_cm2: component.len() as f64 * cell,
                areal: inside(&field, &component) - load.walls,
                stack: stack(&field, &component, load.walls),
            })
        })
        .filter(Silhouette::could_be_body)
        .collect();
    silhouettes.sort_by(|a, b| b.mass_kg().total_cmp(&a.mass_kg()));
    silhouettes.truncate(KEPT);
    Outliers { anomalies, silhouettes }
}

/// Median of a field over a component.
fn inside(field: &Field, component: &[usize]) -> f64 {
    let mut values = component.iter().map(|at| field.values[*at]).collect();
    f64::from(median(&mut values).unwrap_or(0.0))
}

/// Median areal mass of goods in the columns of a component and not in it; none if there are fewer such cells than half of
/// its own.
fn stack(field: &Field, component: &[usize], walls: f64) -> Option<f64> {
    let own: BTreeSet<usize> = component.iter().copied().collect();
    let columns: BTreeSet<usize> = component.iter().map(|at| at / field.rows).collect();
    let mut goods: Vec<f32> = columns
        .into_iter()
        .flat_map(|column| column * field.rows..(column + 1) * field.rows)
        .filter(|at| !own.contains(at))
        .map(|at| field.values[at] - walls as f32)
        .filter(|goods| f64::from(*goods) > GOODS_MIN)
        .collect();
    if goods.len() * 2 < component.len() {
        return None;
    }
    median(&mut goods).map(f64::from)
}

/// The largest difference between the rows up to two cells above and below.
fn step(around: &Field, column: usize, row: usize) -> f64 {
    let rows = row.saturating_sub(2)..(row + 3).min(around.rows);
    let (low, high) = rows
        .map(|row| around.at(column, row))
        .filter(|value| !value.is_nan())
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    f64::from(high - low).max(0.0)
}

/// For each cell the median of its row, `half` cells to each side.
fn row_medians(field: &Field, half: usize) -> Field {
    let mut scratch = Vec::with_capacity(2 * half + 1);
    let mut values = Vec::with_capacity(field.values.len());
    for column in 0..field.columns {
        let window = column.saturating_sub(half)..(column + half + 1).min(field.columns);
        for row in 0..field.rows {
            scratch.clear();
            scratch.extend(window.clone().map(|column| field.at(column, row)));
            values.push(median(&mut scratch).unwrap_or(f32::NAN));
        }
    }
    Field { values, ..*field }
}

fn without_odd_columns(field: &Field, half: usize) -> Field {
    let mut scratch = Vec::with_capacity(field.rows);
    let medians: Vec<f32> = (0..field.columns)
        .map(|column| {
            scratch.clear();
            scratch.extend((0..field.rows).map(|row| field.at(column, row)));
            median(&mut scratch).unwrap_or(f32::NAN)
        })
        .collect();
    let odd: Vec<f32> = (0..field.columns)
        .map(|column| {
            scratch.clear();
            scratch.extend(&medians[column.saturating_sub(half)..(column + half + 1).min(field.columns)]);
            medians[column] - median(&mut scratch).unwrap_or(0.0)
        })
        .collect();
    field.map(|column, _, value| value - odd[column])
}

/// Local noise, one value for each block.
struct Noise {
    block: (usize, usize),
    rows: usize,
    sigma: Vec<f64>,
}

impl Noise {
    fn of(rest: &Field, cell_width: f64, cell_height: f64) -> Self {
        let block = (
            ((BLOCK_MM / cell_width) as usize).max(1),
            ((BLOCK_MM / cell_height) as usize).max(1),
        );
        let (columns, rows) = (rest.columns.div_ceil(block.0), rest.rows.div_ceil(block.1));
        let mut scratch = Vec::new();
        let mut sigma = Vec::with_capacity(columns * rows);
        let around = |at: usize, block: usize, end: usize| at.saturating_sub(1) * block..((at + 2) * block).min(end);
        for block_column in 0..columns {
            for block_row in 0..rows {
                scratch.clear();
                for column in around(block_column, block.0, rest.columns) {
                    let lines = around(block_row, block.1, rest.rows);
                    scratch.extend(lines.map(|row| rest.at(column, row).abs()));
                }
                sigma.push(1.4826 * f64::from(median(&mut scratch).unwrap_or(0.0)));
            }
        }
        Self { block, rows, sigma }
    }

    fn at(&self, column: usize, row: usize) -> f64 {
        self.sigma[column / self.block.0 * self.rows + row / self.block.1]
    }
}

/// Cells that touch by their sides and have the same sign, as positions in the field.
fn components(sign: &Field) -> Vec<Vec<usize>> {
    let mut left: Vec<f32> = sign.values.clone();
    let mut found = Vec::new();
    for start in 0..left.len() {
        let kind = left[start];
        if kind == 0.0 || kind.is_nan() {
            continue;
        }
        let mut component = vec![start];
        left[start] = 0.0;
        let mut next = 0;
        while let Some(at) = component.get(next).copied() {
            next += 1;
            let (column, row) = (at / sign.rows, at % sign.rows);
            let neighbours = [
                (column > 0).then(|| at - sign.rows),
                (column + 1 < sign.columns).then(|| at + sign.rows),
                (row > 0).then(|| at - 1),
                (row + 1 < sign.rows).then(|| at + 1),
            ];
            for neighbour in neighbours.into_iter().flatten() {
                if left[neighbour] == kind {
                    left[neighbour] = 0.0;
                    component.push(neighbour);
                }
            }
        }
        found.push(component);
    }
    found
}

//! The image so far, as cells of about 3 cm: enough for whatever is looked for, and bounded however fine the pixels are.

use std::borrow::Cow;

use portcullis_domain::reading::{EnergyImage, ImageStrip, TRANSMISSION_FULL};

use super::beam::{Beam, ENDPOINTS_KEV, PENETRATION_LIMIT};

/// Wanted size of a cell, micrometres.
const CELL_UM: u32 = 30_000;
/// Pixels may be this far apart, micrometres: finer is not built, coarser shows nothing that is looked for.
const PITCH_UM: std::ops::RangeInclusive<u32> = 1_000..=20_000;
/// No image is longer than the longest road vehicle, or higher than a portal, micrometres.
const LENGTH_MAX_UM: u64 = 25_000_000;
const HEIGHT_MAX_UM: u64 = 6_000_000;
/// Rows of air above the container that are needed to follow the beam, and rows of margin below them.
const AIR_ROWS: usize = 4;
const AIR_MARGIN: usize = 2;
/// A beam that changes by more than this is not followed.
const BEAM_CHANGE_MAX: f64 = 0.2;

/// What all strips of an image have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Geometry {
    height: u32,
    column_um: u32,
    row_um: u32,
    /// Rows of the load, first and end.
    rows: (u32, u32),
    /// Those rows are stated, and not simply all of them.
    outlined: bool,
    endpoints_kev: [u32; 2],
    /// 1 or 2.
    energies: usize,
}

/// Sums over the pixels of a cell.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Cell {
    /// Areal mass as cellulose, g/cm², for each energy.
    sums: [f32; 2],
    pixels: u32,
    /// Pixels that the beam did not get through to, at every energy.
    dark: u32,
}

/// What came of a strip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Taken {
    /// All of it is new and in order.
    InOrder,
    /// It is not where the last one ended.
    OutOfOrder,
    /// Nothing of it could be used, for this reason.
    Refused(String),
}

/// The image so far.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    geometry: Geometry,
    beams: Vec<Cow<'static, Beam>>,
    /// Pixels of a cell, across and down.
    cell_pixels: (u32, u32),
    cell_rows: usize,
    /// Column after column, each from top to bottom.
    cells: Vec<Cell>,
    /// Which pixel columns have come.
    covered: Vec<bool>,
    next_column: u32,
    pub(super) columns_planned: Option<u32>,
    /// Columns in which the beam changed too much to be followed.
    pub(super) unsteady_columns: u32,
    /// Rows whose detector gives nothing.
    pub(super) dead_rows: u32,
}

impl Geometry {
    fn of(strip: &ImageStrip) -> Result<Self, String> {
        let pitches = [strip.column_um, strip.row_um];
        if !pitches.iter().all(|pitch| PITCH_UM.contains(pitch)) {
            return Err(format!("pixels of {pitches:?} micrometres; {PITCH_UM:?} can be used"));
        }
        if u64::from(strip.height) * u64::from(strip.row_um) > HEIGHT_MAX_UM {
            return Err(format!("{} rows are higher than any portal", strip.height));
        }
        let rows = strip
            .container_rows
            .map_or((0, strip.height), |rows| (rows.first, rows.end));
        if rows.0 >= rows.1 || rows.1 > strip.height {
            return Err(format!("rows {} to {} are not within {}", rows.0, rows.1, strip.height));
        }
        let mut endpoints_kev = [0; 2];
        if strip.energies.is_empty() || strip.energies.len() > endpoints_kev.len() {
            return Err(format!("{} energies; 1 or 2 can be used", strip.energies.len()));
        }
        for (endpoint, energy) in endpoints_kev.iter_mut().zip(&strip.energies) {
            *endpoint = energy.endpoint_kev;
            if !ENDPOINTS_KEV.contains(endpoint) {
                return Err(format!("a beam of {endpoint} keV; {ENDPOINTS_KEV:?} keV can be used"));
            }
        }
        Ok(Self {
            height: strip.height,
            column_um: strip.column_um,
            row_um: strip.row_um,
            rows,
            outlined: strip.container_rows.is_some(),
            endpoints_kev,
            energies: strip.energies.len(),
        })
    }
}

impl Grid {
    /// An image that begins with this strip, which is still to be pushed.
    pub(super) fn new(strip: &ImageStrip) -> Result<Self, String> {
        let geometry = Geometry::of(strip)?;
        let beams: Vec<_> = geometry.endpoints_kev[..geometry.energies]
            .iter()
            .filter_map(|endpoint| Beam::of(*endpoint))
            .collect();
        let across = |pitch: u32| ((CELL_UM + pitch / 2) / pitch).max(1);
        let cell_pixels = (across(geometry.column_um), across(geometry.row_um));
        Ok(Self {
            cell_rows: (geometry.rows.1 - geometry.rows.0).div_ceil(cell_pixels.1) as usize,
            geometry,
            beams,
            cell_pixels,
            cells: Vec::new(),
            covered: Vec::new(),
            next_column: strip.first_column,
            columns_planned: None,
            unsteady_columns: 0,
            dead_rows: 0,
        })
    }

    /// Takes a strip in. Columns that came before are left out.
    pub(super) fn push(&mut self, strip: &ImageStrip) -> Taken {
        match Geometry::of(strip) {
            Ok(geometry) if geometry == self.geometry => {}
            Ok(_) => return Taken::Refused("its geometry is not that of the strips before".to_owned()),
            Err(why) => return Taken::Refused(why),
        }
        let pixels = u64::from(strip.width) * u64::from(strip.height);
        if strip.width == 0 || strip.energies.iter().any(|energy| energy.pixels.len() as u64 != pixels) {
            return Taken::Refused(format!("its pixels are not {} x {}", strip.width, strip.height));
        }
        let end = u64::from(strip.first_column) + u64::from(strip.width);
        if end * u64::from(strip.column_um) > LENGTH_MAX_UM {
            return Taken::Refused(format!("column {end} is beyond the longest vehicle"));
        }
        let rows = strip.height as usize;
        let references_fit = |energy: &EnergyImage| {
            let of_rows = |values: &Vec<u16>| values.len() == rows;
            energy
                .references
                .as_ref()
                .is_none_or(|references| of_rows(&references.dark) && of_rows(&references.air))
        };
        if !strip.energies.iter().all(references_fit) {
            return Taken::Refused(format!("its references are not of {rows} rows"));
        }
        let scales: Vec<Vec<Scale>> = strip
            .energies
            .iter()
            .map(|energy| Scale::of_rows(energy, rows))
            .collect();
        let live = |row: usize| scales.iter().all(|scale| scale[row].full > 0.0);
        let dead = (self.geometry.rows.0..self.geometry.rows.1).filter(|row| !live(*row as usize));
        self.dead_rows = u32::try_from(dead.count()).unwrap_or(u32::MAX).max(self.dead_rows);
        let end = end as usize;
        if self.covered.len() < end {
            self.covered.resize(end, false);
            let columns = end.div_ceil(self.cell_pixels.0 as usize);
            self.cells.resize(columns * self.cell_rows, Cell::default());
        }
        let first = strip.first_column as usize;
        let mut repeated = false;
        for column in 0..strip.width as usize {
            if std::mem::replace(&mut self.covered[first + column], true) {
                repeated = true;
                continue;
            }
            let range = column * rows..(column + 1) * rows;
            let lines: Vec<(&[u16], &[Scale])> = strip
                .energies
                .iter()
                .zip(&scales)
                .map(|(energy, scale)| (&energy.pixels[range.clone()], scale.as_slice()))
                .collect();
            self.push_column(first + column, &lines);
        }
        self.columns_planned = strip.columns_planned.or(self.columns_planned);
        let in_order = strip.first_column == self.next_column && !repeated;
        self.next_column = strip.first_column + strip.width;
        if in_order { Taken::InOrder } else { Taken::OutOfOrder }
    }

    fn push_column(&mut self, column: usize, lines: &[(&[u16], &[Scale])]) {
        let (first, end) = (self.geometry.rows.0 as usize, self.geometry.rows.1 as usize);
        let mut beam_now = [1.0; 2];
        let mut unsteady = false;
        for (factor, (pixels, scale)) in beam_now.iter_mut().zip(lines) {
            match beam_of_column(pixels, scale, if self.geometry.outlined { first } else { 0 }) {
                Some(now) if (now - 1.0).abs() <= BEAM_CHANGE_MAX => *factor = now,
                Some(_) => unsteady = true,
                None => {}
            }
        }
        self.unsteady_columns += u32::from(unsteady);
        let at = column / self.cell_pixels.0 as usize * self.cell_rows;
        for row in first..end {
            if lines.iter().any(|(_, scale)| scale[row].full <= 0.0) {
                continue;
            }
            let cell = &mut self.cells[at + (row - first) / self.cell_pixels.1 as usize];
            let mut dark = true;
            for (energy, (pixels, scale)) in lines.iter().enumerate() {
                let transmission = scale[row].transmission(pixels[row]) / beam_now[energy];
                dark &= transmission < PENETRATION_LIMIT;
                cell.sums[energy] += self.beams[energy].cellulose(transmission) as f32;
            }
            cell.pixels += 1;
            cell.dark += u32::from(dark);
        }
    }

    /// Whether the rows of the load are known.
    pub(super) fn outlined(&self) -> bool {
        self.geometry.outlined
    }

    pub(super) fn beam(&self, energy: usize) -> Option<&Beam> {
        self.beams.get(energy).map(AsRef::as_ref)
    }

    /// Columns of cells, and rows.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.cells.len() / self.cell_rows.max(1), self.cell_rows)
    }

    /// Width and height of a cell, millimetres.
    pub(super) fn cell_mm(&self) -> (f64, f64) {
        (
            f64::from(self.cell_pixels.0 * self.geometry.column_um) / 1_000.0,
            f64::from(self.cell_pixels.1 * self.geometry.row_um) / 1_000.0,
        )
    }

    /// Mean areal mass of a cell as cellulose, g/cm²; none if too little of it has come.
    pub(super) fn areal(&self, column: usize, row: usize, energy: usize) -> Option<f64> {
        let cell = self.cells.get(column * self.cell_rows + row)?;
        // A quarter of a full cell, since cells at the edges are cut.
        let enough = cell.pixels * 4 >= self.cell_pixels.0 * self.cell_pixels.1;
        enough.then(|| f64::from(cell.sums[energy] / cell.pixels as f32))
    }

    /// Area of a cell that was seen, cm².
    pub(super) fn area_cm2(&self, column: usize, row: usize) -> f64 {
        let pixel = f64::from(self.geometry.column_um) * f64::from(self.geometry.row_um) / 1e8;
        self.cells
            .get(column * self.cell_rows + row)
            .map_or(0.0, |cell| f64::from(cell.pixels) * pixel)
    }

    /// Whether the beam failed to get through to more than half of a cell.
    pub(super) fn is_dark(&self, column: usize, row: usize) -> bool {
        self.cells
            .get(column * self.cell_rows + row)
            .is_some_and(|cell| cell.dark * 2 > cell.pixels)
    }

    /// How many pixel columns have come.
    pub(super) fn columns_seen(&self) -> usize {
        self.covered.iter().filter(|covered| **covered).count()
    }

    /// Whether columns between the first and the last are missing.
    pub(super) fn has_hole(&self) -> bool {
        let first = self.covered.iter().position(|covered| *covered);
        first.is_some_and(|first| self.covered[first..].iter().any(|covered| !covered))
    }

    /// Distance of two pixel columns, millimetres.
    pub(super) fn column_mm(&self) -> f64 {
        f64::from(self.geometry.column_um) / 1_000.0
    }
}

/// How a pixel of one row becomes transmission.
#[derive(Debug, Clone, Copy)]
struct Scale {
    dark: f64,
    /// Open beam above dark; not positive for a dead detector.
    full: f64,
}

impl Scale {
    fn of_rows(energy: &EnergyImage, rows: usize) -> Vec<Self> {
        match &energy.references {
            None => vec![
                Self {
                    dark: 0.0,
                    full: f64::from(TRANSMISSION_FULL)
                };
                rows
            ],
            Some(references) => references
                .dark
                .iter()
                .zip(&references.air)
                .map(|(dark, air)| Self {
                    dark: f64::from(*dark),
                    full: f64::from(*air) - f64::from(*dark),
                })
                .collect(),
        }
    }

    fn transmission(self, pixel: u16) -> f64 {
        (f64::from(pixel) - self.dark) / self.full
    }
}

/// The beam in a column relative to the reference, from the air above the container; none if too little air is seen.
fn beam_of_column(pixels: &[u16], scale: &[Scale], first: usize) -> Option<f64> {
    let rows = first.checked_sub(AIR_MARGIN)?;
    let (sum, count) = pixels
        .iter()
        .zip(scale)
        .take(rows)
        .filter(|(_, scale)| scale.full > 0.0)
        .fold((0.0, 0_usize), |(sum, count), (pixel, scale)| {
            (sum + scale.transmission(*pixel), count + 1)
        });
    (count >= AIR_ROWS).then(|| sum / count as f64)
}

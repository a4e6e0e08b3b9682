//! The X-ray portal: a beam of 6 MV from one side, a line of detectors on the other.

mod matter;
mod stowage;

use portcullis_domain::evidence::Modality;
use portcullis_domain::id::SampleNo;
use portcullis_domain::reading::{EnergyImage, ImageStrip, References, RowRange};

use self::matter::{BINS, Matter, STEEL, Spectrum};
use self::stowage::{Ray, Stowage};
use crate::noise::Noise;
use crate::plan::Visit;

/// Distance of two pixels at the object plane, millimetres.
const PIXEL_MM: f64 = 8.0;
const ENDPOINT_KEV: u32 = 6_000;
/// The beam is on from this far in front of the box to this far behind it, millimetres.
const AIR_MM: f64 = 304.0;
/// Rows of air above the roof, rows of the roof, and rows of the floor.
const AIR_ROWS: u32 = 30;
const ROOF_ROWS: u32 = 3;
const FLOOR_ROWS: u32 = 6;
/// Quanta that one pixel counts in open beam.
const OPEN_QUANTA: f64 = 400_000.0;
/// What the electronics make of open beam.
const OPEN_UNITS: f64 = 50_000.0;
const DARK_UNITS: f64 = 900.0;
const ELECTRONIC_NOISE: f64 = 3.0;
/// Scattered quanta that reach a pixel: of all that come through to its column, and of the open beam.
const SCATTER_OF_COLUMN: f64 = 2e-4;
const SCATTER_OF_BEAM: f64 = 1e-5;
/// The beam wanders by this much, and forgets it over some fifty columns.
const BEAM_DRIFT: f64 = 0.01;
const BEAM_MEMORY: f64 = 0.98;

pub(super) fn strip(seed: u64, visit: &Visit, sample: SampleNo) -> Option<ImageStrip> {
    let stowage = Stowage::of(seed, visit);
    let column_of = |front_mm: f64| {
        let in_image = front_mm - f64::from(visit.truck.box_from_mm) + AIR_MM;
        (in_image.clamp(0.0, stowage.length_mm + 2.0 * AIR_MM) / PIXEL_MM) as u32
    };
    let half_mm = f64::from(visit.truck.speed_mm_s) / 2.0;
    let front_mm = visit.truck.front_mm(sample.0);
    let (first_column, end_column) = (column_of(front_mm - half_mm), column_of(front_mm + half_mm));
    let width = end_column.checked_sub(first_column).filter(|width| *width > 0)?;
    let load_rows = libm::floor(stowage.height_mm / PIXEL_MM) as u32;
    let height = AIR_ROWS + ROOF_ROWS + load_rows + FLOOR_ROWS;

    let mut noise = Noise::of_reading(seed, &visit.equipment, Modality::Radiography, sample);
    let references = references(seed, height);
    let spectrum = Spectrum::new(f64::from(ENDPOINT_KEV) / 1_000.0);
    let mut film = Film::new(&spectrum);
    // Where the beam has wandered to by now must not depend on the samples before: it starts anew at each.
    let mut drift = noise.normal();
    let mut pixels = Vec::with_capacity((width * height) as usize);
    let mut through = Vec::with_capacity(height as usize);
    for column in first_column..end_column {
        drift = BEAM_MEMORY * drift + libm::sqrt(1.0 - BEAM_MEMORY * BEAM_MEMORY) * noise.normal();
        let beam = 1.0 + BEAM_DRIFT * drift.clamp(-3.5, 3.5);
        let x_mm = (f64::from(column) + 0.5) * PIXEL_MM - AIR_MM;
        through.clear();
        through.extend((0..height).map(|row| {
            let below_roof = f64::from(row) - f64::from(AIR_ROWS + ROOF_ROWS);
            if row < AIR_ROWS {
                return 1.0;
            }
            let y_mm = stowage.height_mm - (below_roof + 0.5) * PIXEL_MM;
            film.transmission(&stowage.ray(x_mm, y_mm))
        }));
        let mean = through.iter().sum::<f64>() / f64::from(height);
        let scattered = SCATTER_OF_COLUMN * mean + SCATTER_OF_BEAM;
        for (transmission, (dark, air)) in through.iter().zip(references.dark.iter().zip(&references.air)) {
            let quanta = noise.poisson(OPEN_QUANTA * beam * (transmission + scattered)) as f64;
            let open = f64::from(*air) - f64::from(*dark);
            let units = f64::from(*dark) + quanta / OPEN_QUANTA * open + ELECTRONIC_NOISE * noise.normal();
            pixels.push(libm::round(units.clamp(0.0, f64::from(u16::MAX))) as u16);
        }
    }
    Some(ImageStrip {
        first_column,
        columns_planned: Some(((stowage.length_mm + 2.0 * AIR_MM) / PIXEL_MM) as u32),
        width,
        height,
        column_um: (PIXEL_MM * 1_000.0) as u32,
        row_um: (PIXEL_MM * 1_000.0) as u32,
        container_rows: Some(RowRange {
            first: AIR_ROWS + ROOF_ROWS,
            end: AIR_ROWS + ROOF_ROWS + load_rows,
        }),
        energies: vec![EnergyImage {
            endpoint_kev: ENDPOINT_KEV,
            references: Some(references),
            pixels,
        }],
    })
}

/// What the detectors read without beam and without vehicle; no two are quite alike. Measured long, so without noise.
fn references(seed: u64, rows: u32) -> References {
    let mut noise = Noise::of_port(seed, "x-ray detectors");
    let mut references = References::default();
    for _ in 0..rows {
        let dark = DARK_UNITS + 30.0 * noise.normal();
        references.dark.push(libm::round(dark) as u16);
        let open = OPEN_UNITS * (1.0 + 0.04 * noise.normal().clamp(-3.0, 3.0));
        references.air.push(libm::round(dark + open) as u16);
    }
    references
}

/// Transmission of rays, with the attenuation of what was met last at hand.
struct Film<'a> {
    spectrum: &'a Spectrum,
    steel: [f64; BINS],
    goods: (Matter, [f64; BINS]),
    hidden: (Matter, [f64; BINS]),
}

impl<'a> Film<'a> {
    fn new(spectrum: &'a Spectrum) -> Self {
        let steel = spectrum.attenuation(STEEL);
        Self {
            spectrum,
            steel,
            goods: (STEEL, steel),
            hidden: (STEEL, steel),
        }
    }

    fn transmission(&mut self, ray: &Ray) -> f64 {
        if ray.goods.0 != self.goods.0 {
            self.goods = (ray.goods.0, self.spectrum.attenuation(ray.goods.0));
        }
        if ray.hidden.0 != self.hidden.0 {
            self.hidden = (ray.hidden.0, self.spectrum.attenuation(ray.hidden.0));
        }
        (0..BINS)
            .map(|bin| {
                let depth =
                    self.steel[bin] * ray.steel + self.goods.1[bin] * ray.goods.1 + self.hidden.1[bin] * ray.hidden.1;
                self.spectrum.share[bin] * libm::exp(-depth)
            })
            .sum()
    }
}

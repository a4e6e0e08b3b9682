//! The part of an image that shows the load, and its mass.
//!
//! The load is what lies between the ends of the container, in the rows from below the roof to above the floor. What is seen
//! there of the container itself are its two side walls; roof, floor, ends and corner posts lie outside. So the empty
//! container is taken off as an areal mass in each column, and the declared tare, most of which is not in view, is not used.

use portcullis_domain::manifest::Manifest;

use super::beam::Material;
use super::goods::Declared;
use super::grid::Grid;

/// Two side walls of corrugated steel of 1.6 mm, g/cm²: 2 x 0.16 cm x 7.86 g/cm3 x 1.2 for the corrugation. Their standard
/// deviation covers sheets of 1.5 to 2 mm.
pub(super) const WALLS: f64 = 3.0;
const WALLS_SIGMA: f64 = 0.3;
/// Two insulated walls of a refrigerated container, g/cm²: thin steel or aluminium skins, foam and lining.
const INSULATED: f64 = 4.5;
const INSULATED_SIGMA: f64 = 1.2;
/// A column belongs to the container if its mean areal mass is at least this, g/cm²: a third of the walls.
const COLUMN_MIN: f64 = 1.0;
/// At each end, doors, front wall and corner posts stand in the way, millimetres.
const END_MM: f64 = 120.0;
/// The most that can stand in the way: a container full of steel, g/cm².
const SOLID: f64 = 235.0 * 7.86;
/// Below this there are no goods, g/cm².
pub(super) const GOODS_MIN: f64 = 5.0;
/// Goods thinner than this say nothing about what they are made of, g/cm².
const MATERIAL_MIN: f64 = 20.0;

/// The load as far as it was seen.
#[derive(Debug, Clone)]
pub(super) struct Load {
    /// First column of cells and one behind the last.
    pub(super) columns: (usize, usize),
    /// Share of the load that was before the beam, 0 to 1.
    pub(super) coverage: f64,
    /// The length of the container is known, so that the share is.
    pub(super) length_known: bool,
    /// Share of what was seen that the beam did not get through.
    pub(super) dark_share: f64,
    /// Mass of the goods in the columns that were seen, kilograms, with its standard deviation.
    pub(super) goods_kg: f64,
    pub(super) sigma_kg: f64,
    /// What may be there besides, at most, where the beam did not get through, kilograms.
    pub(super) hidden_kg_max: f64,
    /// Areal mass of the walls as cellulose, g/cm².
    pub(super) walls: f64,
    /// Median areal mass of the goods where there are any, as cellulose without the walls, g/cm².
    pub(super) typical: f64,
}

/// Inner length by the first sign of an ISO 6346 size code, millimetres (ISO 668: 20, 40, 45 and 48 feet).
fn length_mm(manifest: &Manifest) -> Option<f64> {
    match manifest.size_type.chars().next()? {
        '2' => Some(6_058.0),
        '4' => Some(12_192.0),
        'L' => Some(13_716.0),
        'M' => Some(14_630.0),
        _ => None,
    }
}

/// Refrigerated or insulated: the third sign of the size and type code.
fn is_insulated(manifest: &Manifest) -> bool {
    matches!(manifest.size_type.chars().nth(2), Some('R' | 'H'))
}

impl Load {
    /// Finds the load; none if no column shows a container yet.
    pub(super) fn find(grid: &Grid, manifest: &Manifest, declared: &Declared) -> Option<Self> {
        let beam = grid.beam(0)?;
        let (columns, rows) = grid.size();
        let solid = |column: &usize| {
            let seen: Vec<f64> = (0..rows).filter_map(|row| grid.areal(*column, row, 0)).collect();
            !seen.is_empty() && seen.iter().sum::<f64>() / seen.len() as f64 >= COLUMN_MIN
        };
        let first = (0..columns).find(solid)?;
        let last = (0..columns).rev().find(solid)?;
        let (cell_mm, _) = grid.cell_mm();
        let end = (END_MM / cell_mm).ceil() as usize;
        let from = first + end;
        // The last column seen is the end of the container only if air was seen behind it.
        let air_behind = last + 1 < columns;
        let to = (last + 1).saturating_sub(if air_behind { end } else { 0 });
        if from >= to {
            return None;
        }

        let insulated = is_insulated(manifest);
        let (walls, walls_sigma) = if insulated {
            (INSULATED, INSULATED_SIGMA)
        } else {
            (WALLS, WALLS_SIGMA)
        };
        let walls = beam.as_cellulose(walls, Material::Iron);
        let materials = materials(grid, (from, to), declared, walls);
        let as_goods = |cellulose: f64| -> f64 {
            materials
                .iter()
                .map(|(material, share)| share * beam.as_material(cellulose, *material))
                .sum()
        };
        let walls_as_goods = as_goods(walls);
        let (mut goods_g, mut area, mut dark, mut seen_columns) = (0.0, 0.0, 0.0, 0_usize);
        let mut laden = Vec::new();
        for column in from..to {
            let mut seen = false;
            for row in 0..rows {
                let Some(areal) = grid.areal(column, row, 0) else {
                    continue;
                };
                let cell = grid.area_cm2(column, row);
                laden.extend(Some(areal - walls).filter(|goods| *goods > GOODS_MIN));
                goods_g += (as_goods(areal) - walls_as_goods) * cell;
                area += cell;
                dark += if grid.is_dark(column, row) { cell } else { 0.0 };
                seen = true;
            }
            seen_columns += usize::from(seen);
        }
        let length = length_mm(manifest);
        let planned = grid.columns_planned.filter(|planned| *planned > 0);
        // The scanner may be wrong about the whole, and so may the declaration: the lesser share counts.
        let coverage = [
            planned.map(|planned| grid.columns_seen() as f64 / f64::from(planned)),
            length.map(|length| seen_columns as f64 * cell_mm / (length - 2.0 * END_MM - 2.0 * cell_mm)),
        ]
        .into_iter()
        .flatten()
        .fold(1.0, f64::min);
        let goods_kg = goods_g / 1_000.0;
        Some(Self {
            columns: (from, to),
            coverage,
            length_known: planned.is_some() || length.is_some(),
            dark_share: if area > 0.0 { dark / area } else { 1.0 },
            goods_kg,
            sigma_kg: (declared.relative_sigma() * goods_kg).hypot(walls_sigma * area / 1_000.0),
            hidden_kg_max: dark * SOLID / 1_000.0,
            walls,
            typical: median(&mut laden),
        })
    }
}

/// The median; 0 of nothing.
fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

/// What the goods are taken to be made of: as declared, else as two energies of the beam say, else cellulose.
fn materials(grid: &Grid, columns: (usize, usize), declared: &Declared, walls: f64) -> Vec<(Material, f64)> {
    if !declared.materials.is_empty() {
        return declared.materials.clone();
    }
    vec![(
        by_two_energies(grid, columns, walls).unwrap_or(Material::Cellulose),
        1.0,
    )]
}

/// The material for which both energies give the same mass; none if there is one energy or too little mass.
fn by_two_energies(grid: &Grid, columns: (usize, usize), walls: f64) -> Option<Material> {
    let (low, high) = (grid.beam(0)?, grid.beam(1)?);
    let (_, rows) = grid.size();
    let cells: Vec<(f64, f64)> = (columns.0..columns.1)
        .flat_map(|column| (0..rows).map(move |row| (column, row)))
        .filter(|(column, row)| !grid.is_dark(*column, *row))
        .filter_map(|(column, row)| Some((grid.areal(column, row, 0)?, grid.areal(column, row, 1)?)))
        .filter(|(areal, _)| *areal > walls + MATERIAL_MIN)
        .collect();
    if cells.is_empty() {
        return None;
    }
    let disagreement = |material: Material| {
        let (a, b) = cells.iter().fold((0.0, 0.0), |(a, b), (at_low, at_high)| {
            (
                a + low.as_material(*at_low, material),
                b + high.as_material(*at_high, material),
            )
        });
        ((a - b) / (a + b)).abs()
    };
    Material::ALL
        .into_iter()
        .min_by(|a, b| disagreement(*a).total_cmp(&disagreement(*b)))
}

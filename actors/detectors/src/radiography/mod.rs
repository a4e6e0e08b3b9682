//! Transmission images to mass and anomalies, strip by strip, and what a vendor's recognition makes of the same image.
//!
//! # What is weighed
//! - **Mass.** Transmission becomes areal mass (`beam`), the walls of the container are taken off (`load`), and what is left
//!   is compared with the declared mass: a weight for undeclared goods.
//! - **Anomalies.** What differs from its surroundings (`anomaly`) beyond what the declared goods explain (`goods`) weighs for
//!   narcotics and explosives (an image cannot tell one organic block from another), weapons if it is denser than the goods
//!   of its stack.
//! - **Silhouettes** of the size and thickness of a body (`body`) weigh for people, in free space and among goods.
//! - **Recognition** of a third party (`report`). It looks at the same image and shares its errors, so the greater of both
//!   weights counts and not their sum.
//!
//! # Seeing
//! What has not been before the beam was not seen, so the view is shielded until the pass has ended. It stays so if less than
//! half of the container came, or if the beam did not get through more than a quarter of what came; it is degraded if any
//! noticeable part is missing or dark, or the rows that show the load are not known.
//!
//! # Limits
//! One view from the side. Rays are taken as level: what they are longer at the edges of the fan is part of the stated error
//! of 4 to 8 % for the mass. Scatter is not corrected. Goods are taken to be made of what their HS chapter is mostly made of.

mod anomaly;
mod beam;
mod body;
mod goods;
mod grid;
mod load;
mod report;
mod weigh;

use portcullis_domain::evidence::{Ability, ThreatFamily, Weights};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::manifest::Manifest;
use portcullis_domain::reading::{ImageStrip, ThreatReport};

use crate::interpretation::{Interpretation, WEIGHT_CAP, milli_decibans};
use anomaly::Anomaly;
use body::Silhouette;
use goods::{Declared, Order};
use grid::{Grid, Taken};
use load::Load;
use report::Opinion;

/// Name and version of this interpreter.
pub const VERSION: &str = "radiography-areal/2";

/// Threat reports of one pass that are taken in; later ones are left out.
pub const REPORTS_MAX: usize = 16;

/// With less of the load seen than this, the view is shielded, and with less than [`COVERAGE_CLEAR`] it is degraded.
const COVERAGE_MIN: f64 = 0.5;
const COVERAGE_CLEAR: f64 = 0.93;
/// With more of the load dark than this, the view is shielded, and with more than [`DARK_CLEAR`] it is degraded.
const DARK_MAX: f64 = 0.25;
const DARK_CLEAR: f64 = 0.01;
/// An image is weighed again after so many millimetres.
const STRIDE_MM: f64 = 500.0;
/// Anomalies that are described in a finding.
const DESCRIBED: usize = 3;

/// Interprets an image while it grows.
#[derive(Debug, Clone, Default)]
pub struct RadiographyInterpreter {
    grid: Option<Grid>,
    reports: Vec<ThreatReport>,
    /// Columns that had come when the image was last found worth weighing.
    weighed_columns: usize,
    strips_refused: u32,
    why_refused: Option<String>,
    strips_disordered: u32,
    passed: bool,
}

impl RadiographyInterpreter {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes columns in. True if enough has come since the last time to be worth weighing.
    pub fn push_strip(&mut self, strip: &ImageStrip) -> bool {
        let taken = match &mut self.grid {
            Some(grid) => grid.push(strip),
            None => match Grid::new(strip) {
                Ok(mut grid) => {
                    let taken = grid.push(strip);
                    // A first strip of no use must not fix what all others have to look like.
                    if !matches!(taken, Taken::Refused(_)) {
                        self.grid = Some(grid);
                    }
                    taken
                }
                Err(why) => Taken::Refused(why),
            },
        };
        match taken {
            Taken::InOrder => {}
            Taken::OutOfOrder => self.strips_disordered += 1,
            Taken::Refused(why) => {
                self.strips_refused += 1;
                self.why_refused.get_or_insert(why);
                return self.strips_refused == 1;
            }
        }
        let Some(grid) = &self.grid else { return false };
        let seen = grid.columns_seen();
        let grown_mm = seen.saturating_sub(self.weighed_columns) as f64 * grid.column_mm();
        let worth = self.weighed_columns == 0 || grown_mm >= STRIDE_MM;
        if worth {
            self.weighed_columns = seen;
        }
        worth
    }

    /// Takes in what a vendor's recognition says about the image.
    pub fn push_report(&mut self, report: &ThreatReport) {
        if self.reports.len() < REPORTS_MAX {
            self.reports.push(report.clone());
        }
    }

    /// The vehicle is through: what is known now is about all of it.
    pub fn finish(&mut self) {
        self.passed = true;
    }

    /// What everything so far weighs, against what is declared.
    pub fn interpret(&self, manifest: &Manifest) -> Interpretation {
        let declared = Declared::of(manifest);
        let opinion = Opinion::of(&self.reports);
        let mut findings = opinion.findings.clone();
        let mut log_ratios = opinion.log_ratios;
        let load = self
            .grid
            .as_ref()
            .and_then(|grid| Some((grid, Load::find(grid, manifest, &declared)?)));
        let ability = match &load {
            Some((grid, load)) => {
                if self.passed {
                    self.note_quality(grid, load, &mut findings);
                }
                // With so little that got through, what is left to compare is edges.
                if load.dark_share <= DARK_MAX {
                    let outliers = anomaly::find(grid, load);
                    note_anomalies(&outliers.anomalies, declared.order, &mut findings);
                    note_silhouettes(&outliers.silhouettes, declared.order, &mut findings);
                    for family in weigh::families(declared.order) {
                        let own = weigh::by_outliers(*family, &outliers, declared.order, load);
                        take(&mut log_ratios, *family, own);
                    }
                }
                let mut mass_findings = Vec::new();
                if let Some(mass) = weigh_mass(grid, load, manifest, &mut mass_findings) {
                    take(&mut log_ratios, ThreatFamily::Undeclared, mass);
                }
                // A part of a load is no ground for a finding about its mass.
                if self.passed {
                    findings.append(&mut mass_findings);
                }
                self.ability(grid, load).max(opinion.ability)
            }
            None => Ability::Shielded,
        };
        if self.passed && load.is_none() && !self.reports.is_empty() {
            findings.push(Finding::new(
                FindingCode::ImageUnusable,
                "image",
                "a report came about an image that did not",
            ));
        }
        if let Some(why) = &self.why_refused {
            let detail = format!("{} strips left out; the first: {why}", self.strips_refused);
            findings.push(Finding::new(FindingCode::ImageUnusable, "image_strip", detail));
        }
        // Could not see is not saw nothing: a shielded view speaks for a threat or not at all.
        let low = if self.passed && ability == Ability::Shielded {
            0
        } else {
            -WEIGHT_CAP
        };
        let mut weights = Weights::ZERO;
        for family in ThreatFamily::ALL {
            if let Some(ratio) = log_ratios[family.index()] {
                weights = weights.with(family, milli_decibans(ratio, low, WEIGHT_CAP));
            }
        }
        Interpretation {
            weights,
            ability,
            findings,
        }
    }

    /// The mass of the load in what was seen, with its standard deviation, kilograms; none before a load was seen, or if the
    /// rows that show it are not known.
    pub fn goods_kg(&self, manifest: &Manifest) -> Option<(f64, f64)> {
        let grid = self.grid.as_ref().filter(|grid| grid.outlined())?;
        let load = Load::find(grid, manifest, &Declared::of(manifest))?;
        Some((load.goods_kg, load.sigma_kg))
    }

    fn ability(&self, grid: &Grid, load: &Load) -> Ability {
        if !self.passed || load.coverage < COVERAGE_MIN || load.dark_share > DARK_MAX {
            return Ability::Shielded;
        }
        let clear = load.coverage >= COVERAGE_CLEAR
            && load.length_known
            && load.dark_share <= DARK_CLEAR
            && grid.outlined()
            && !grid.has_hole()
            && grid.unsteady_columns == 0
            && grid.dead_rows == 0
            && self.strips_refused == 0
            && self.strips_disordered == 0;
        if clear { Ability::Clear } else { Ability::Degraded }
    }

    fn note_quality(&self, grid: &Grid, load: &Load, findings: &mut Vec<Finding>) {
        let mut note = |code, field: &str, detail: String| findings.push(Finding::new(code, field, detail));
        if grid.has_hole() || load.coverage < COVERAGE_CLEAR {
            let detail = format!("{:.0} % of the load was before the beam", load.coverage * 100.0);
            note(FindingCode::ColumnsMissing, "image", detail);
        }
        if self.strips_disordered > 0 {
            let detail = format!(
                "{} strips did not begin where the last one ended",
                self.strips_disordered
            );
            note(FindingCode::ColumnsDisordered, "first_column", detail);
        }
        if !grid.outlined() {
            let detail = "the mass cannot be compared: chassis and floor may be in the image".to_owned();
            note(FindingCode::OutlineUnknown, "container_rows", detail);
        }
        if grid.unsteady_columns > 0 {
            let detail = format!("in {} columns", grid.unsteady_columns);
            note(FindingCode::BeamUnsteady, "image", detail);
        }
        if grid.dead_rows > 0 {
            let detail = format!("the references of {} rows show no beam", grid.dead_rows);
            note(FindingCode::ImageUnusable, "references", detail);
        }
        if load.dark_share > DARK_CLEAR {
            let detail = format!("{:.0} % of what was seen of the load", load.dark_share * 100.0);
            note(FindingCode::NotPenetrated, "image", detail);
        }
    }
}

/// Of two opinions about one image the greater counts.
fn take(log_ratios: &mut [Option<f64>; 6], family: ThreatFamily, ratio: f64) {
    let slot = &mut log_ratios[family.index()];
    *slot = Some(slot.map_or(ratio, |known| known.max(ratio)));
}

fn weigh_mass(grid: &Grid, load: &Load, manifest: &Manifest, findings: &mut Vec<Finding>) -> Option<f64> {
    if !grid.outlined() {
        return None;
    }
    let declared_kg = manifest.declared_mass_g().map(|grams| grams as f64 / 1_000.0);
    let declared_kg = if manifest.empty {
        Some(0.0)
    } else {
        declared_kg.filter(|kg| *kg > 0.0)
    };
    let Some(declared_kg) = declared_kg else {
        findings.push(Finding::new(
            FindingCode::MassUnknown,
            "gross_mass_g",
            "the manifest declares no mass, so that of the image proves nothing",
        ));
        return None;
    };
    let mass = weigh::by_mass(load, declared_kg);
    let excess = mass.excess_kg;
    let tolerance = (3.0 * mass.sigma_kg).max(0.05 * mass.declared_kg);
    let code = match () {
        () if excess > tolerance && manifest.empty => Some(FindingCode::LoadInEmpty),
        () if excess > tolerance => Some(FindingCode::MassOverDeclared),
        () if excess < -tolerance => Some(FindingCode::MassUnderDeclared),
        () => None,
    };
    if let Some(code) = code {
        let detail = format!(
            "{:.0} kg in the image, {:.0} kg declared of what was seen, sigma {:.0} kg",
            load.goods_kg, mass.declared_kg, mass.sigma_kg
        );
        findings.push(Finding::new(code, "image", detail));
    }
    Some(mass.log_ratio)
}

fn note_anomalies(anomalies: &[Anomaly], order: Order, findings: &mut Vec<Finding>) {
    if order == Order::Mixed {
        // Groupage is full of them.
        return;
    }
    for anomaly in anomalies.iter().take(DESCRIBED) {
        let [left, top, width, height] = anomaly.bounds_mm.map(|mm| mm / 1_000.0);
        let what = if anomaly.is_dense() {
            "dense"
        } else if anomaly.excess_kg < 0.0 {
            "lighter"
        } else {
            "denser"
        };
        let detail = format!(
            "{what}: {:+.0} kg, {:+.1} g/cm2 over {:.1}, {width:.2} x {height:.2} m at {left:.2} m from the front, {top:.2} m \
             below the roof",
            anomaly.excess_kg,
            anomaly.contrast(),
            anomaly.around
        );
        // Named by its place, so that it stays the same finding while the image grows.
        let place = format!("image.{:.0}m", left + width / 2.0);
        findings.push(Finding::new(FindingCode::DensityAnomaly, place, detail));
    }
}

fn note_silhouettes(silhouettes: &[Silhouette], order: Order, findings: &mut Vec<Finding>) {
    if order == Order::Mixed {
        return;
    }
    for silhouette in silhouettes.iter().take(DESCRIBED) {
        let [left, top, width, height] = silhouette.bounds_mm.map(|mm| mm / 1_000.0);
        let detail = format!(
            "like a body: {:.0} kg, {:.1} g/cm2, {width:.2} x {height:.2} m at {left:.2} m from the front, {top:.2} m below the \
             roof",
            silhouette.mass_kg(),
            silhouette.areal,
        );
        let place = format!("image.body.{:.0}m", left + width / 2.0);
        findings.push(Finding::new(FindingCode::DensityAnomaly, place, detail));
    }
}

#[cfg(test)]
mod tests;

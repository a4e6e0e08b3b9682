//! What lies where in a container, as seen from its side.
//!
//! Drawn from the declared goods and the truth, with a stream of its own: it belongs to the visit, so every pass of a
//! container shows the same.

use portcullis_domain::evidence::ThreatFamily;

use super::matter::{
    ALUMINIUM, BOTTLES, CELLULOSE, LEAD, MACHINES, Matter, POLYMER, POTASH, POWDER, SILICATE, STEEL, WET, ZIRCON,
};
use crate::noise::Noise;
use crate::plan::Visit;

/// Inner width of a container, which the beam crosses, centimetres.
const DEPTH_CM: f64 = 235.0;
/// Nothing is loaded nearer to the ends than this, millimetres.
const CLEARANCE_MM: f64 = 120.0;
/// Corrugation of the side walls: period in millimetres, and how much thicker its slopes are.
const CORRUGATION_MM: f64 = 278.0;
const CORRUGATION: f64 = 0.10;

/// How goods of a chapter are packed.
struct Packing {
    matter: Matter,
    /// g/cm3, with all the air between.
    density: f64,
    /// Deviation of one unit from the next, seen through the whole depth.
    uneven: f64,
    /// On pallets, with gaps between them.
    pallets: bool,
}

fn packing(chapter: u32) -> Packing {
    let (matter, density, uneven, pallets) = match chapter {
        9 => (CELLULOSE, 0.62, 0.006, false),
        10 => (CELLULOSE, 0.78, 0.005, false),
        17 => (CELLULOSE, 0.85, 0.004, false),
        18 => (CELLULOSE, 0.55, 0.007, false),
        1..=8 | 16 | 20 => (WET, 0.45, 0.02, true),
        22 => (BOTTLES, 0.75, 0.02, true),
        24 => (CELLULOSE, 0.40, 0.02, true),
        25 => (SILICATE, 0.90, 0.008, false),
        26 => (ZIRCON, 2.2, 0.006, false),
        28..=38 if chapter != 31 => (BOTTLES, 0.80, 0.02, true),
        31 => (POTASH, 1.05, 0.005, false),
        39 | 40 => (POLYMER, 0.55, 0.02, true),
        44 | 47 | 48 => (CELLULOSE, 0.60, 0.02, true),
        68 | 69 => (SILICATE, 1.60, 0.03, true),
        72 => (STEEL, 4.0, 0.05, true),
        73 => (STEEL, 1.0, 0.08, true),
        76 => (ALUMINIUM, 1.6, 0.04, true),
        84..=87 => (MACHINES, 0.40, 0.15, true),
        64 | 95 => (POLYMER, 0.18, 0.03, true),
        _ => (CELLULOSE, 0.25, 0.03, true),
    };
    Packing {
        matter,
        density,
        uneven,
        pallets,
    }
}

/// A run of one kind of goods along the container.
struct Segment {
    from_mm: f64,
    to_mm: f64,
    matter: Matter,
    pallets: bool,
    /// g/cm² through the whole depth.
    areal: f64,
    unit_mm: (f64, f64),
    /// Units of a stack.
    high: usize,
    /// Stack after stack, from the floor up.
    factors: Vec<f64>,
    /// Height of each stack, millimetres.
    heights_mm: Vec<f64>,
}

impl Segment {
    fn at(&self, x_mm: f64, y_mm: f64) -> f64 {
        let stack = ((x_mm - self.from_mm) / self.unit_mm.0) as usize;
        let unit = (y_mm / self.unit_mm.1) as usize;
        let height = self.heights_mm.get(stack).copied().unwrap_or(0.0);
        if y_mm >= height {
            return 0.0;
        }
        let gap = self.pallets && (x_mm - self.from_mm) % 1_200.0 < 40.0;
        let factor = self
            .factors
            .get(stack * self.high + unit.min(self.high - 1))
            .copied()
            .unwrap_or(1.0);
        self.areal * factor * if gap { 0.5 } else { 1.0 }
    }
}

/// Something hidden, as a box.
struct Block {
    x_mm: (f64, f64),
    y_mm: (f64, f64),
    matter: Matter,
    areal: f64,
    /// Goods that are left in front of and behind it.
    beside: f64,
}

/// What one ray meets, g/cm².
#[derive(Debug, Clone, Copy)]
pub(super) struct Ray {
    pub(super) goods: (Matter, f64),
    pub(super) hidden: (Matter, f64),
    pub(super) steel: f64,
}

/// What lies where.
pub(super) struct Stowage {
    /// Length of the box, millimetres.
    pub(super) length_mm: f64,
    /// From the floor to the roof, millimetres.
    pub(super) height_mm: f64,
    walls: f64,
    segments: Vec<Segment>,
    blocks: Vec<Block>,
}

impl Stowage {
    pub(super) fn of(seed: u64, visit: &Visit) -> Self {
        let mut noise = Noise::of_visit(seed, "stowage", u64::from(visit.index));
        let manifest = &visit.announcement.manifest;
        let mut size = manifest.size_type.chars();
        let (length, height, kind) = (size.next(), size.next(), size.next());
        let high_cube = height == Some('5') || length == Some('L');
        let length_mm = f64::from(visit.truck.box_to_mm - visit.truck.box_from_mm);
        let sheet_cm = noise.range(0.155, 0.170);
        let walls = if kind == Some('R') {
            noise.range(4.0, 5.2)
        } else {
            2.0 * sheet_cm * 7.86 * 1.18
        };
        let mut stowage = Self {
            length_mm,
            height_mm: if high_cube { 2_690.0 } else { 2_390.0 },
            walls,
            segments: Vec::new(),
            blocks: Vec::new(),
        };
        let truth = &visit.truth;
        let hidden_kg: f64 = truth.concealed.iter().map(|c| c.mass_g as f64 / 1e3).sum();
        let other_kg: f64 = truth
            .concealed
            .iter()
            .filter(|c| c.family == ThreatFamily::Undeclared)
            .map(|c| c.mass_g as f64 / 1e3)
            .sum();
        let honest_kg = (truth.true_mass_g as f64 / 1e3 - hidden_kg).max(0.0);
        let declared_g: u64 = manifest.goods.iter().filter_map(|item| item.gross_mass_g).sum();
        let mut kinds: Vec<(u32, f64)> = manifest
            .goods
            .iter()
            .map(|item| {
                let chapter = item.commodity_code.get(..2).and_then(|text| text.parse().ok());
                let share = item.gross_mass_g.unwrap_or(0) as f64 / declared_g.max(1) as f64;
                (chapter.unwrap_or(0), honest_kg * share)
            })
            .collect();
        if other_kg > 0.0 {
            // Goods that nobody declared are like any others.
            kinds.push((0, other_kg));
        }
        kinds.retain(|(_, kg)| *kg > 0.0);
        stowage.load(&mut noise, &kinds);
        for concealed in &truth.concealed {
            stowage.hide(&mut noise, concealed.family, concealed.mass_g as f64 / 1e3);
        }
        stowage
    }

    /// Puts the kinds one behind the other, each with a length in proportion to its volume.
    fn load(&mut self, noise: &mut Noise, kinds: &[(u32, f64)]) {
        let volume = |(chapter, kg): &(u32, f64)| kg * 1e3 / packing(*chapter).density;
        let whole: f64 = kinds.iter().map(volume).sum();
        let inside_mm = self.length_mm - 2.0 * CLEARANCE_MM;
        let mixed = if kinds.len() > 1 { 0.08 } else { 0.0 };
        let mut from_mm = CLEARANCE_MM;
        for kind in kinds {
            let packing = packing(kind.0);
            let length = inside_mm * volume(kind) / whole;
            let to_mm = from_mm + length;
            let room_mm = self.height_mm - 80.0;
            let height = (volume(kind) / (length / 10.0 * DEPTH_CM) * 10.0).clamp(60.0, room_mm);
            let unit_mm = (noise.range(350.0, 600.0), noise.range(150.0, 350.0).min(height));
            let stacks = (libm::ceil(length / unit_mm.0) as usize).max(1);
            let high = (libm::ceil(room_mm / unit_mm.1) as usize).max(1);
            let uneven = libm::hypot(packing.uneven, mixed);
            let factors = (0..stacks * high)
                .map(|_| (1.0 + uneven * noise.normal()).max(0.2))
                .collect();
            let heights_mm = (0..stacks)
                .map(|_| {
                    // A stack may lack a layer where goods are packed; bulk is only a little wavy.
                    let low = packing.pallets && noise.chance(150) && height > 2.0 * unit_mm.1;
                    height
                        - if low {
                            unit_mm.1
                        } else {
                            noise.range(0.0, 25.0).min(height / 4.0)
                        }
                })
                .collect();
            let mut segment = Segment {
                from_mm,
                to_mm,
                matter: packing.matter,
                pallets: packing.pallets,
                areal: 1.0,
                unit_mm,
                high,
                factors,
                heights_mm,
            };
            segment.areal = kind.1 * 1e3 / integral(&segment, room_mm);
            self.segments.push(segment);
            from_mm = to_mm;
        }
    }

    fn hide(&mut self, noise: &mut Noise, family: ThreatFamily, kg: f64) {
        let (matter, density, most_kg) = match family {
            ThreatFamily::Narcotics => (POWDER, 1.0, 120.0),
            ThreatFamily::Explosives => (POWDER, 1.5, 150.0),
            ThreatFamily::Weapons => (STEEL, 2.0, 200.0),
            ThreatFamily::People => (WET, 1.0, 75.0),
            ThreatFamily::Nuclear => (LEAD, 11.3, 1_200.0),
            // Loaded with the goods.
            ThreatFamily::Undeclared => return,
        };
        let mut left_kg = kg;
        while left_kg > 0.5 {
            let block_kg = left_kg.min(most_kg);
            left_kg -= block_kg;
            let volume = block_kg * 1e3 / density;
            let side = libm::cbrt(volume);
            let (width, height) = if family == ThreatFamily::People {
                (45.0, 110.0)
            } else {
                (side * noise.range(0.95, 1.25), side * noise.range(0.8, 1.05))
            };
            let depth = volume / (width * height);
            let x = noise.range(300.0, (self.length_mm - 300.0 - width * 10.0).max(301.0));
            let top = self
                .segments
                .iter()
                .filter(|segment| (segment.from_mm..segment.to_mm).contains(&x))
                .flat_map(|segment| segment.heights_mm.iter().copied())
                .fold(0.0, f64::max);
            let y = noise.range(0.0, (top - height * 10.0).max(1.0));
            self.blocks.push(Block {
                x_mm: (x, x + width * 10.0),
                y_mm: (y, y + height * 10.0),
                matter,
                areal: block_kg * 1e3 / (width * height),
                // People make themselves a room.
                beside: if family == ThreatFamily::People {
                    0.0
                } else {
                    (1.0 - depth / DEPTH_CM).max(0.0)
                },
            });
        }
    }

    /// What a ray meets at this distance from the front of the box, this high above the floor, millimetres.
    pub(super) fn ray(&self, x_mm: f64, y_mm: f64) -> Ray {
        let mut ray = Ray {
            goods: (CELLULOSE, 0.0),
            hidden: (CELLULOSE, 0.0),
            steel: 0.0,
        };
        if !(0.0..self.length_mm).contains(&x_mm) {
            return ray;
        }
        let slope = libm::fabs(x_mm % CORRUGATION_MM / CORRUGATION_MM - 0.5) * 4.0 - 1.0;
        ray.steel = self.walls * (1.0 + CORRUGATION * slope);
        if x_mm < 60.0 || x_mm > self.length_mm - 60.0 {
            ray.steel += 80.0;
        }
        // Roof and floor seen from their edges.
        if y_mm < 0.0 || y_mm >= self.height_mm {
            ray.steel += 250.0;
            return ray;
        }
        if let Some(segment) = self
            .segments
            .iter()
            .find(|segment| (segment.from_mm..segment.to_mm).contains(&x_mm))
        {
            ray.goods = (segment.matter, segment.at(x_mm, y_mm));
        }
        for block in &self.blocks {
            if (block.x_mm.0..block.x_mm.1).contains(&x_mm) && (block.y_mm.0..block.y_mm.1).contains(&y_mm) {
                ray.goods.1 *= block.beside;
                ray.hidden = (block.matter, ray.hidden.1 + block.areal);
            }
        }
        ray
    }
}

/// Mass of a segment of 1 g/cm², grams: by cells of 2 cm.
fn integral(segment: &Segment, room_mm: f64) -> f64 {
    const STEP_MM: f64 = 20.0;
    let steps = |length: f64| (libm::ceil(length / STEP_MM) as usize).max(1);
    let (across, up) = (steps(segment.to_mm - segment.from_mm), steps(room_mm));
    let cell = (segment.to_mm - segment.from_mm) / across as f64 / 10.0 * (room_mm / up as f64 / 10.0);
    let mut sum = 0.0;
    for column in 0..across {
        let x = segment.from_mm + (column as f64 + 0.5) / across as f64 * (segment.to_mm - segment.from_mm);
        for row in 0..up {
            sum += segment.at(x, (row as f64 + 0.5) / up as f64 * room_mm);
        }
    }
    (sum * cell).max(1e-6)
}

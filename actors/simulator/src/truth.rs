//! What is really in a container.

use std::collections::BTreeSet;
use std::fmt;

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::ThreatFamily;

use crate::goods::{CLASS_7, Cargo, Goods};
use crate::noise::Noise;
use crate::truck::Truck;

/// Where radiation comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SourceKind {
    /// Natural radioactivity of the goods: potassium, thorium, uranium.
    NaturalGoods,
    /// A driver after nuclear medicine.
    Medical,
    /// A source of industry.
    Industrial,
    /// Special nuclear material: plutonium, enriched uranium.
    SpecialNuclear,
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NaturalGoods => "naturally radioactive goods",
            Self::Medical => "a driver after nuclear medicine",
            Self::Industrial => "an industrial source",
            Self::SpecialNuclear => "special nuclear material",
        })
    }
}

/// Where in the vehicle it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// All over the load.
    Load,
    /// At one point.
    Point {
        /// Distance behind the front bumper, millimetres.
        behind_front_mm: u32,
        /// Share that the detectors on the left see, thousandths; the right ones see the rest.
        left_permille: u32,
        /// Share that the low detectors see, thousandths; the high ones see the rest.
        low_permille: u32,
    },
}

/// What stands between a source and the portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shielding {
    /// Only the walls of the container.
    None,
    /// Heavy goods around it.
    DenseCargo,
    /// A lead container.
    Lead,
    /// Lead and polyethylene: against neutrons too.
    LeadAndPolyethylene,
}

impl Shielding {
    /// Gamma rays that come through, thousandths.
    pub fn gamma_permille(self) -> u32 {
        match self {
            Self::None => 1_000,
            Self::DenseCargo => 300,
            Self::Lead => 20,
            Self::LeadAndPolyethylene => 15,
        }
    }

    /// Neutrons that come through, thousandths.
    pub fn neutron_permille(self) -> u32 {
        match self {
            Self::None => 1_000,
            Self::DenseCargo => 600,
            Self::Lead => 850,
            Self::LeadAndPolyethylene => 60,
        }
    }

    /// What the shielding itself weighs, grams.
    fn mass_g(self) -> u64 {
        match self {
            Self::None | Self::DenseCargo => 0,
            Self::Lead => 450_000,
            Self::LeadAndPolyethylene => 1_100_000,
        }
    }
}

/// Something in the vehicle that radiates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RadiationSource {
    /// What it is.
    pub kind: SourceKind,
    /// Gamma counts a second of all gamma detectors together at the closest point, without shielding.
    pub gamma_cps: u32,
    /// Neutron counts of all neutron detectors together at the closest point, without shielding, in thousandths of a
    /// count a second.
    pub neutron_milli_cps: u32,
    /// Where it is.
    pub place: Place,
    /// What is around it.
    pub shielding: Shielding,
}

/// Something hidden that nobody declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concealed {
    /// What kind of threat it is.
    pub family: ThreatFamily,
    /// Its mass with packing, grams.
    pub mass_g: u64,
}

/// What is really in a container and what was done to hide it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Which threats are there. Empty for an honest container.
    pub families: BTreeSet<ThreatFamily>,
    /// What is hidden. Nothing for goods that were exchanged for others of the same mass, and for a swapped container.
    pub concealed: Vec<Concealed>,
    /// Mass of everything inside the container, grams.
    pub true_mass_g: u64,
    /// Mass of the empty container, grams.
    pub tare_mass_g: u64,
    /// The declared mass is wrong by carelessness. No threat.
    pub careless_mass: bool,
    /// What radiates, threats and others.
    pub sources: Vec<RadiationSource>,
    /// How much of the background the vehicle hides at most, thousandths: 50 to 250.
    pub shadow_permille: u32,
    /// The number that is really painted on the container. Another than the announced one when it was swapped.
    pub painted: EquipmentId,
}

/// What truth is drawn from.
pub(crate) struct Circumstances<'a> {
    pub(crate) threat_permille: &'a [u32; 6],
    pub(crate) careless_permille: u32,
    pub(crate) cargo: Cargo,
    /// Declared goods with their declared gross mass in grams.
    pub(crate) goods: &'a [(&'static Goods, u64)],
    pub(crate) origin: &'a str,
    pub(crate) declared_tare_g: u64,
    pub(crate) truck: &'a Truck,
    pub(crate) painted: EquipmentId,
    /// Another container than the announced one.
    pub(crate) swapped: bool,
}

const KG: f64 = 1_000.0;

impl Truth {
    /// Without any threat.
    pub fn is_honest(&self) -> bool {
        self.families.is_empty()
    }

    /// One line for people: what is hidden and what radiates.
    pub fn summary(&self) -> String {
        let mut parts: Vec<String> = self
            .families
            .iter()
            .map(|family| {
                let mass_g: u64 = self
                    .concealed
                    .iter()
                    .filter(|c| c.family == *family)
                    .map(|c| c.mass_g)
                    .sum();
                if mass_g == 0 {
                    family.to_string()
                } else {
                    format!("{family} ({} kg)", mass_g / 1_000)
                }
            })
            .collect();
        parts.extend(self.sources.iter().map(|source| source.kind.to_string()));
        if self.careless_mass {
            parts.push("careless mass".to_owned());
        }
        if parts.is_empty() {
            "nothing but what is declared".to_owned()
        } else {
            parts.join(", ")
        }
    }

    pub(crate) fn draw(noise: &mut Noise, about: &Circumstances<'_>) -> Self {
        let declared_g: u64 = about.goods.iter().map(|(_, mass_g)| mass_g).sum();
        let careless_mass = declared_g > 0 && noise.chance(about.careless_permille);
        let off = if careless_mass {
            noise.range(0.05, 0.18) * if noise.chance(600) { 1.0 } else { -1.0 }
        } else {
            0.008 * noise.normal()
        };
        let mut truth = Self {
            families: BTreeSet::new(),
            concealed: Vec::new(),
            true_mass_g: whole_kg(declared_g as f64 * (1.0 + off)),
            tare_mass_g: whole_kg(about.declared_tare_g as f64 * (1.0 + 0.01 * noise.normal())),
            careless_mass,
            sources: Vec::new(),
            shadow_permille: 0,
            painted: about.painted.clone(),
        };
        if about.swapped {
            truth.families.insert(ThreatFamily::Undeclared);
        }
        truth.add_lawful_sources(noise, about);
        for family in ThreatFamily::ALL {
            if noise.chance(permille_of(about.threat_permille, family, about.origin)) {
                truth.hide(noise, family, declared_g, about.truck);
            }
        }
        let concealed_g: u64 = truth.concealed.iter().map(|c| c.mass_g).sum();
        truth.true_mass_g += concealed_g;
        // A full box hides more sky than an empty one.
        let load = (truth.true_mass_g as f64 / (26_000.0 * KG)).min(1.0);
        truth.shadow_permille = (50.0 + 150.0 * load + noise.range(0.0, 50.0)) as u32;
        truth
    }

    fn add_lawful_sources(&mut self, noise: &mut Noise, about: &Circumstances<'_>) {
        const FULL_LOAD_G: f64 = 22_000.0 * KG;
        let natural: f64 = about
            .goods
            .iter()
            .map(|(goods, mass_g)| f64::from(goods.norm_cps) * *mass_g as f64 / FULL_LOAD_G)
            .sum();
        let factor = noise.spread(0.5, 2.0);
        if natural > 0.0 {
            self.sources.push(RadiationSource {
                kind: SourceKind::NaturalGoods,
                gamma_cps: (natural * factor) as u32,
                neutron_milli_cps: 0,
                place: Place::Load,
                shielding: Shielding::None,
            });
        }
        if noise.chance(2) {
            self.sources.push(RadiationSource {
                kind: SourceKind::Medical,
                gamma_cps: noise.spread(300.0, 20_000.0) as u32,
                neutron_milli_cps: 0,
                place: Place::Point {
                    behind_front_mm: 1_800,
                    left_permille: 650,
                    low_permille: 450,
                },
                shielding: Shielding::None,
            });
        }
        if about.cargo == Cargo::Dangerous && about.goods.iter().any(|(goods, _)| goods.code == CLASS_7) {
            let place = point(noise, about.truck);
            let neutrons = noise.chance(300);
            self.sources.push(RadiationSource {
                kind: SourceKind::Industrial,
                gamma_cps: noise.spread(300.0, 4_000.0) as u32,
                neutron_milli_cps: if neutrons {
                    noise.spread(8_000.0, 50_000.0) as u32
                } else {
                    0
                },
                place,
                shielding: Shielding::None,
            });
        }
    }

    fn hide(&mut self, noise: &mut Noise, family: ThreatFamily, declared_g: u64, truck: &Truck) {
        self.families.insert(family);
        let mass_kg = match family {
            ThreatFamily::Narcotics => noise.spread(20.0, 900.0),
            ThreatFamily::Explosives => noise.spread(30.0, 600.0),
            ThreatFamily::Weapons => noise.spread(40.0, 1_500.0),
            ThreatFamily::People => 75.0 * noise.between(1, 14) as f64,
            ThreatFamily::Undeclared if declared_g > 0 && noise.chance(300) => {
                // Other goods in the place of the declared ones: the scale sees nothing.
                return;
            }
            ThreatFamily::Undeclared => {
                (declared_g as f64 / KG * noise.range(0.08, 0.35)).max(noise.range(800.0, 3_000.0))
            }
            ThreatFamily::Nuclear => {
                let source = illicit_source(noise, truck);
                self.sources.push(source);
                5.0 + source.shielding.mass_g() as f64 / KG
            }
        };
        self.concealed.push(Concealed {
            family,
            mass_g: whole_kg(mass_kg * KG),
        });
    }
}

/// How many of a thousand containers with goods of this origin hide a threat of this family.
pub(crate) fn permille_of(threat_permille: &[u32; 6], family: ThreatFamily, origin: &str) -> u32 {
    let permille = threat_permille[family.index()].saturating_mul(lure_permille(family, origin)) / 1_000;
    permille.min(1_000)
}

/// How much likelier than elsewhere a family is with goods of this origin, thousandths.
fn lure_permille(family: ThreatFamily, origin: &str) -> u32 {
    match (family, origin) {
        (ThreatFamily::Narcotics, "EC" | "CO" | "CR" | "PA" | "BR") => 4_000,
        (ThreatFamily::Narcotics, _) => 700,
        _ => 1_000,
    }
}

fn illicit_source(noise: &mut Noise, truck: &Truck) -> RadiationSource {
    let place = point(noise, truck);
    let shielding = match noise.below(100) {
        0..=44 => Shielding::None,
        45..=69 => Shielding::DenseCargo,
        70..=89 => Shielding::Lead,
        _ => Shielding::LeadAndPolyethylene,
    };
    if noise.chance(500) {
        let gamma_cps = noise.spread(1_000.0, 60_000.0) as u32;
        return RadiationSource {
            kind: SourceKind::Industrial,
            gamma_cps,
            neutron_milli_cps: 0,
            place,
            shielding,
        };
    }
    // Plutonium gives neutrons, uranium hardly any.
    let plutonium = noise.chance(600);
    let gamma_cps = noise.spread(60.0, 1_500.0) as u32;
    let neutrons = noise.spread(8_000.0, 120_000.0) as u32;
    RadiationSource {
        kind: SourceKind::SpecialNuclear,
        gamma_cps,
        neutron_milli_cps: if plutonium { neutrons } else { 300 },
        place,
        shielding,
    }
}

fn point(noise: &mut Noise, truck: &Truck) -> Place {
    let from = u64::from(truck.box_from_mm) + 500;
    let to = u64::from(truck.box_to_mm).saturating_sub(500);
    Place::Point {
        behind_front_mm: noise.between(from, to) as u32,
        left_permille: noise.between(250, 750) as u32,
        low_permille: noise.between(300, 700) as u32,
    }
}

fn whole_kg(mass_g: f64) -> u64 {
    libm::round(mass_g.max(0.0) / KG) as u64 * 1_000
}

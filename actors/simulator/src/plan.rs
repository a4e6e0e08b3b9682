//! The plan of a port: which containers come, when, with which declaration, and what is really in them.

use std::collections::{BTreeMap, BTreeSet};

use portcullis_domain::codec::to_bytes;
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::id::{Digest, InvalidId, TerminalId, Timestamp};
use portcullis_domain::manifest::{Amount, Announcement, Document, GoodsItem, Manifest, Party, PartyRole, Personal};

use crate::arrivals::{ArrivalTimes, Arrivals};
use crate::goods::{CATALOGUE, Cargo, Goods};
use crate::noise::Noise;
use crate::number;
use crate::truck::Truck;
use crate::truth::{Circumstances, Truth, permille_of};

/// What a port is like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortOptions {
    /// The terminal that containers are announced at.
    pub terminal: TerminalId,
    /// The port's clock at the start of the plan.
    pub starts_at: Timestamp,
    /// How trucks arrive.
    pub arrivals: Arrivals,
    /// How many of a thousand containers hide a threat, by family in the order of
    /// [`ThreatFamily::ALL`](portcullis_domain::evidence::ThreatFamily::ALL). Narcotics are four times as likely with
    /// goods of some origins and rarer with others.
    pub threat_permille: [u32; 6],
    /// How many of a thousand laden containers have a careless declared mass, wrong by 5 to 18 %.
    pub careless_permille: u32,
    /// How many of a thousand containers were swapped: another number is painted on the box than was announced.
    /// The truth counts them as undeclared goods.
    pub swapped_permille: u32,
}

impl PortOptions {
    /// The defaults for a terminal. Threats are somewhat more frequent than in reality (where most families are far
    /// below one in a thousand), so that 500 containers show every tier.
    pub fn new(terminal: TerminalId) -> Self {
        Self {
            terminal,
            // Thursday, 1 January 2026, 08:00 UTC: four hours before the peak of the week.
            starts_at: Timestamp(1_767_254_400_000),
            arrivals: Arrivals::default(),
            threat_permille: [10, 2, 14, 4, 4, 30],
            careless_permille: 80,
            swapped_permille: 2,
        }
    }

    /// As [`PortOptions::new`], for the terminal with this label.
    ///
    /// # Errors
    /// Refuses a label that cannot name a terminal.
    pub fn for_terminal(label: &str) -> Result<Self, InvalidId> {
        Ok(Self::new(TerminalId::new(label)?))
    }
}

impl PortOptions {
    /// How likely it is that a container with goods of this origin has this threat in it.
    fn threat_chance(&self, family: ThreatFamily, origin: &str) -> f64 {
        let hidden = f64::from(permille_of(&self.threat_permille, family, origin)) / 1_000.0;
        match family {
            // A swapped container counts as undeclared goods too.
            ThreatFamily::Undeclared => 1.0 - (1.0 - hidden) * (1.0 - f64::from(self.swapped_permille) / 1_000.0),
            _ => hidden,
        }
    }
}

/// One container that comes to the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Position in the plan, from 0.
    pub index: u32,
    /// The announced number.
    pub equipment: EquipmentId,
    /// What the terminal system says.
    pub announcement: Announcement,
    /// When the truck is there, milliseconds of the port's clock after the start of the plan.
    pub ready_after_ms: u64,
    /// What is really there. Not for the port to see.
    pub truth: Truth,
    /// The vehicle.
    pub truck: Truck,
}

impl Visit {
    /// The announcement with its times moved, as if the plan started at `start`.
    pub fn announcement_from(&self, start: Timestamp) -> Announcement {
        let mut announcement = self.announcement.clone();
        let planned = announcement.ready_at;
        announcement.ready_at = Some(start.plus_millis(self.ready_after_ms));
        announcement.due_at = announcement
            .due_at
            .zip(planned)
            .map(|(due, ready)| start.plus_millis(self.ready_after_ms + due.millis_since(ready)));
        announcement
    }

    /// How many containers of a port with the options `wanted` this one stands for, if it was drawn with the options
    /// `drawn`: the ratio of the probabilities of what it hides and does not hide.
    pub fn importance(&self, drawn: &PortOptions, wanted: &PortOptions) -> f64 {
        let origin = self.announcement.manifest.dispatch_country.as_str();
        let ratio = |family: ThreatFamily| {
            let present = self.truth.families.contains(&family);
            let chance = |options: &PortOptions| {
                let chance = options.threat_chance(family, origin);
                if present { chance } else { 1.0 - chance }
            };
            chance(wanted) / chance(drawn)
        };
        ThreatFamily::ALL.into_iter().map(ratio).product()
    }

    /// From call-up to standing before the lane, milliseconds of the port's clock.
    pub fn travel_ms(&self) -> u64 {
        self.truck.travel_ms
    }

    /// Samples of a pass.
    pub fn pass_samples(&self) -> u32 {
        self.truck.pass_samples
    }
}

/// Everything that comes to a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortPlan {
    seed: u64,
    options: PortOptions,
    visits: Vec<Visit>,
    by_equipment: BTreeMap<EquipmentId, usize>,
}

impl PortPlan {
    /// Plans `containers` visits. The same arguments give the same plan; a longer plan begins with the shorter one.
    /// Every container number is used once.
    pub fn new(seed: u64, containers: u32, options: PortOptions) -> Self {
        let mut arrivals = ArrivalTimes::new(options.arrivals, seed, options.starts_at);
        let mut taken = BTreeSet::new();
        let visits: Vec<Visit> = (0..containers)
            .map(|index| {
                let ready_after_ms = arrivals.next_ms();
                plan_visit(seed, index, &options, ready_after_ms, &mut taken)
            })
            .collect();
        let by_equipment = visits
            .iter()
            .enumerate()
            .map(|(at, visit)| (visit.equipment.clone(), at))
            .collect();
        Self {
            seed,
            options,
            visits,
            by_equipment,
        }
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What the port is like.
    pub fn options(&self) -> &PortOptions {
        &self.options
    }

    /// All visits, in order of arrival.
    pub fn visits(&self) -> &[Visit] {
        &self.visits
    }

    /// The visit of the container that was announced under this number.
    pub fn visit(&self, equipment: &EquipmentId) -> Option<&Visit> {
        self.visits.get(*self.by_equipment.get(equipment)?)
    }
}

/// A size of container.
struct Size {
    /// First sign of the size and type code, with the second for height.
    code: &'static str,
    share: u32,
    length_mm: u32,
    tare_kg: u64,
    /// Relative frequency of 2, 4, ... 30 tonnes in all, times 2.
    weights: [u32; 15],
}

const OF_20_FEET: [u32; 15] = [2, 2, 4, 5, 5, 6, 6, 6, 5, 5, 4, 4, 4, 2, 2];
const OF_40_FEET: [u32; 15] = [0, 4, 10, 12, 18, 22, 22, 18, 8, 6, 6, 6, 2, 2, 2];

/// Shares and weight classes: conflowgen, MIT. Old all-digit codes stand beside new ones, as in real lists.
const SIZES: [Size; 5] = [
    Size {
        code: "22",
        share: 400,
        length_mm: 6_058,
        tare_kg: 2_280,
        weights: OF_20_FEET,
    },
    Size {
        code: "42",
        share: 270,
        length_mm: 12_192,
        tare_kg: 3_750,
        weights: OF_40_FEET,
    },
    Size {
        code: "45",
        share: 300,
        length_mm: 12_192,
        tare_kg: 3_900,
        weights: OF_40_FEET,
    },
    Size {
        code: "L5",
        share: 29,
        length_mm: 13_716,
        tare_kg: 4_700,
        weights: OF_40_FEET,
    },
    Size {
        code: "M5",
        share: 1,
        length_mm: 14_630,
        tare_kg: 4_900,
        weights: OF_40_FEET,
    },
];

/// Of a thousand containers.
const CARGO_SHARES: [(Cargo, u32); 4] = [
    (Cargo::Empty, 120),
    (Cargo::Reefer, 70),
    (Cargo::Dangerous, 81),
    (Cargo::Standard, 729),
];

const REEFER_EXTRA_TARE_KG: u64 = 900;

fn plan_visit(
    seed: u64,
    index: u32,
    options: &PortOptions,
    ready_after_ms: u64,
    taken: &mut BTreeSet<EquipmentId>,
) -> Visit {
    let number = u64::from(index);
    let equipment = number::draw(seed, number, taken);
    taken.insert(equipment.clone());

    let mut noise = Noise::of_visit(seed, "cargo", number);
    let cargo = noise
        .pick(&CARGO_SHARES, |item| item.1)
        .map_or(Cargo::Standard, |item| item.0);
    let size = noise.pick(&SIZES, |size| size.share).unwrap_or(&SIZES[0]);
    let load = Load::draw(&mut noise, cargo, size);
    let manifest = declare(&mut noise, index, cargo, size, &load);

    let truck = Truck::draw(&mut Noise::of_visit(seed, "truck", number), size.length_mm);
    let mut noise = Noise::of_visit(seed, "truth", number);
    let swapped = noise.chance(options.swapped_permille);
    let painted = if swapped {
        let painted = number::draw_painted(seed, number, taken);
        taken.insert(painted.clone());
        painted
    } else {
        equipment.clone()
    };
    let truth = Truth::draw(
        &mut noise,
        &Circumstances {
            threat_permille: &options.threat_permille,
            careless_permille: options.careless_permille,
            cargo,
            goods: &load.goods,
            origin: load.origin,
            declared_tare_g: load.tare_g,
            truck: &truck,
            painted,
            swapped,
        },
    );

    let mut noise = Noise::of_visit(seed, "times", number);
    let ready_at = options.starts_at.plus_millis(ready_after_ms);
    let has_cut_off = noise.chance(350);
    let until_due_ms = noise.between(6, 48) * 3_600_000;
    let priority = if noise.chance(30) { noise.between(1, 3) as u8 } else { 0 };
    let announcement = Announcement {
        equipment: equipment.clone(),
        terminal: options.terminal.clone(),
        ready_at: Some(ready_at),
        due_at: has_cut_off.then(|| ready_at.plus_millis(until_due_ms)),
        priority,
        manifest,
        findings: Vec::new(),
    };
    Visit {
        index,
        equipment,
        announcement,
        ready_after_ms,
        truth,
        truck,
    }
}

/// What is declared to be inside.
struct Load {
    /// Goods with their declared gross mass in grams.
    goods: Vec<(&'static Goods, u64)>,
    origin: &'static str,
    tare_g: u64,
}

impl Load {
    fn draw(noise: &mut Noise, cargo: Cargo, size: &Size) -> Self {
        let extra_kg = if cargo == Cargo::Reefer {
            REEFER_EXTRA_TARE_KG
        } else {
            0
        };
        let tare_kg = size.tare_kg + extra_kg;
        let classes: Vec<(u64, u32)> = (1..=15).map(|class| class * 2_000).zip(size.weights).collect();
        let class_kg = noise.pick(&classes, |class| class.1).map_or(14_000, |class| class.0);
        let gross_kg = class_kg - 1_000 + noise.below(2_000);
        let goods_kg = gross_kg.saturating_sub(tare_kg).max(500);
        let kinds = match noise.below(100) {
            0..=69 => 1,
            70..=89 => 2,
            _ => 3,
        };
        let goods = if cargo == Cargo::Empty {
            Vec::new()
        } else {
            load_goods(noise, cargo, goods_kg, kinds)
        };
        let origin = goods
            .first()
            .and_then(|(goods, _)| noise.pick(goods.origins, |_| 1))
            .copied()
            .or_else(|| noise.pick(&["NL", "DE", "GB", "BE", "FR"], |_| 1).copied())
            .unwrap_or("ZZ");
        Self {
            goods,
            origin,
            tare_g: tare_kg * 1_000,
        }
    }
}

/// Splits a mass among up to `kinds` different goods.
fn load_goods(noise: &mut Noise, cargo: Cargo, goods_kg: u64, kinds: u32) -> Vec<(&'static Goods, u64)> {
    let carried: Vec<&'static Goods> = CATALOGUE.iter().filter(|goods| goods.cargo == cargo).collect();
    let mut goods: Vec<(&'static Goods, u64)> = Vec::new();
    let mut left_kg = goods_kg;
    for kind in 1..=kinds {
        let Some(chosen) = noise.pick(&carried, |goods| goods.share) else {
            break;
        };
        let share_kg = if kind == kinds {
            left_kg
        } else {
            left_kg * noise.between(400, 800) / 1_000
        };
        left_kg -= share_kg;
        match goods.iter_mut().find(|(known, _)| known.code == chosen.code) {
            Some((_, mass_g)) => *mass_g += share_kg * 1_000,
            None => goods.push((chosen, share_kg * 1_000)),
        }
    }
    goods
}

fn declare(noise: &mut Noise, index: u32, cargo: Cargo, size: &Size, load: &Load) -> Manifest {
    let currency = noise.pick(&["EUR", "USD", "GBP"], |_| 1).copied().unwrap_or("EUR");
    let goods: Vec<GoodsItem> = load
        .goods
        .iter()
        .zip(1..)
        .map(|((goods, mass_g), sequence)| {
            let packing = noise.between(20, 80);
            let factor = noise.range(0.8, 1.25);
            let hundredths = *mass_g as f64 / 1_000.0 * f64::from(goods.cents_per_kg) * factor;
            // Every third code comes with the two digits of the combined nomenclature.
            let code = if noise.chance(333) {
                format!("{}00", goods.code)
            } else {
                goods.code.to_owned()
            };
            GoodsItem {
                sequence,
                commodity_code: code,
                description: goods.description.to_owned(),
                gross_mass_g: Some(*mass_g),
                net_mass_g: Some(*mass_g / 1_000 * (1_000 - packing)),
                packages: Some(u32::try_from(mass_g / noise.between(8_000, 25_000)).unwrap_or(1).max(1)),
                origin: load.origin.to_owned(),
                amount: Some(Amount {
                    hundredths: hundredths as i64,
                    currency: currency.to_owned(),
                }),
                dangerous_goods: goods.un_number,
            }
        })
        .collect();
    let kind = match cargo {
        Cargo::Reefer => "R1",
        _ => "G1",
    };
    let old_code = noise.chance(60) && size.code.bytes().all(|sign| sign.is_ascii_digit());
    let size_type = if old_code && kind == "G1" {
        format!("{}10", size.code)
    } else {
        format!("{}{kind}", size.code)
    };
    let seals = (0..if cargo == Cargo::Empty { 0 } else { noise.between(1, 2) })
        .map(|_| format!("SL{:07}", noise.below(10_000_000)))
        .collect();
    let parties = [
        (PartyRole::Importer, "IM", 4_000),
        (PartyRole::Declarant, "DE", 300),
        (PartyRole::Carrier, "CA", 60),
    ]
    .map(|(role, prefix, known)| {
        let value = format!("{prefix}{:06}", noise.below(known));
        let mut salt = [0; 16];
        salt[..8].copy_from_slice(&noise.bits().to_be_bytes());
        salt[8..].copy_from_slice(&noise.bits().to_be_bytes());
        Party {
            role,
            identity: Personal::Open { salt, value },
        }
    })
    .to_vec();
    let mut manifest = Manifest {
        document: None,
        gross_mass_g: Some(load.goods.iter().map(|(_, mass_g)| mass_g).sum()),
        goods,
        tare_mass_g: Some(load.tare_g),
        size_type,
        empty: cargo == Cargo::Empty,
        dispatch_country: load.origin.to_owned(),
        seals,
        parties,
    };
    // There is no file behind it, so its own bytes stand for the document.
    manifest.document = Some(Document {
        digest: Digest::of(&to_bytes(&manifest)),
        format: "simulated/1".to_owned(),
        reference: Some(format!("SIM-{:08}", u64::from(index) + 1)),
    });
    manifest
}

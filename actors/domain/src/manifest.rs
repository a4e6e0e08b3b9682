//! What is declared about a container: its manifest, and the announcement that brings it.

use crate::codec::{Canonical, canonical};
use crate::equipment::EquipmentId;
use crate::finding::Finding;
use crate::id::{Digest, InvalidId, TerminalId, Timestamp};

/// The most goods items one manifest may have.
pub const GOODS_ITEMS_MAX: usize = 999;
/// The most findings an announcement may bring.
pub const FINDINGS_MAX: usize = 200;
/// The longest text field of a manifest, in bytes.
pub const TEXT_MAX: usize = 512;

/// The document that a manifest was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// SHA-256 of its bytes.
    pub digest: Digest,
    /// Its format, such as `wco-dm/3.6`.
    pub format: String,
    /// The trader's or customs' reference in it (LRN, MRN), if any.
    pub reference: Option<String>,
}

canonical!(struct Document { digest, format, reference });

/// One kind of goods in a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GoodsItem {
    /// Position in the declaration, from 1.
    pub sequence: u32,
    /// Harmonised System or longer commodity code, digits only, empty if unknown.
    pub commodity_code: String,
    /// The trader's words.
    pub description: String,
    /// Gross mass, grams.
    pub gross_mass_g: Option<u64>,
    /// Net mass, grams.
    pub net_mass_g: Option<u64>,
    /// Number of packages.
    pub packages: Option<u32>,
    /// Country of origin, two letters, empty if unknown.
    pub origin: String,
    /// Invoice amount in hundredths of the currency's unit.
    pub amount: Option<Amount>,
    /// UN number of dangerous goods.
    pub dangerous_goods: Option<u16>,
}

canonical!(struct GoodsItem {
    sequence, commodity_code, description, gross_mass_g, net_mass_g, packages, origin, amount, dangerous_goods
});

/// A sum of money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount {
    /// Hundredths of the currency's unit.
    pub hundredths: i64,
    /// ISO 4217 code.
    pub currency: String,
}

canonical!(struct Amount { hundredths, currency });

/// What a party does in the declaration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartyRole {
    /// Who imports.
    Importer,
    /// Who exports.
    Exporter,
    /// Who declares.
    Declarant,
    /// Who represents the declarant.
    Agent,
    /// Who carries.
    Carrier,
}

canonical!(enum PartyRole { 1 => Importer, 2 => Exporter, 3 => Declarant, 4 => Agent, 5 => Carrier });

/// A name or number that may belong to a person. The decision log holds it sealed only: a salted hash, worthless once
/// value and salt are erased from the side store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Personal {
    /// The value and its salt.
    Open {
        /// Random, from whoever took the announcement in.
        salt: [u8; 16],
        /// The name or number.
        value: String,
    },
    /// SHA-256 of the salt and the value.
    Sealed(Digest),
}

canonical!(enum Personal { 1 => Open { salt, value }, 2 => Sealed(digest) });

impl Personal {
    /// The salted hash.
    pub fn sealed(&self) -> Self {
        match self {
            Self::Open { salt, value } => {
                let mut bytes = salt.to_vec();
                bytes.extend_from_slice(value.as_bytes());
                Self::Sealed(Digest::of(&bytes))
            }
            Self::Sealed(digest) => Self::Sealed(*digest),
        }
    }
}

/// Somebody named in a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// What they do.
    pub role: PartyRole,
    /// Who they are.
    pub identity: Personal,
}

canonical!(struct Party { role, identity });

/// What is declared about one container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// Where it was read from.
    pub document: Option<Document>,
    /// What is said to be inside.
    pub goods: Vec<GoodsItem>,
    /// Declared gross mass of goods and packing together, grams. Taken from the items when the document states none.
    pub gross_mass_g: Option<u64>,
    /// Declared mass of the empty container, grams.
    pub tare_mass_g: Option<u64>,
    /// ISO 6346 size and type, such as `45G1`, empty if unknown.
    pub size_type: String,
    /// Said to be empty.
    pub empty: bool,
    /// Country of dispatch, two letters, empty if unknown.
    pub dispatch_country: String,
    /// Seal numbers.
    pub seals: Vec<String>,
    /// Who is involved.
    pub parties: Vec<Party>,
}

canonical!(struct Manifest {
    document, goods, gross_mass_g, tare_mass_g, size_type, empty, dispatch_country, seals, parties
});

impl Manifest {
    /// Declared mass of the goods: the stated total, else the sum of the items if every item states one. Grams.
    pub fn declared_mass_g(&self) -> Option<u64> {
        self.gross_mass_g.or_else(|| {
            let sum = self
                .goods
                .iter()
                .map(|item| item.gross_mass_g)
                .try_fold(0_u64, |sum, mass| mass.and_then(|mass| sum.checked_add(mass)))?;
            (!self.goods.is_empty()).then_some(sum)
        })
    }

    /// The same manifest with every personal field sealed.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        for party in &mut self.parties {
            party.identity = party.identity.sealed();
        }
        self
    }

    /// Everything but the parties, in a form that is only good for comparing.
    fn put_without_parties(&self, out: &mut Vec<u8>) {
        self.document.put(out);
        self.put_cargo(out);
    }

    /// Whether it says the same about the cargo, whoever is involved and whichever document says it.
    pub(crate) fn same_cargo(&self, other: &Self) -> bool {
        let cargo = |manifest: &Self| {
            let mut out = Vec::new();
            manifest.put_cargo(&mut out);
            out
        };
        cargo(self) == cargo(other)
    }

    /// What it says about the cargo itself. Canonical, so that two say the same exactly if the bytes are the same.
    fn put_cargo(&self, out: &mut Vec<u8>) {
        let Self {
            document: _,
            goods,
            gross_mass_g,
            tare_mass_g,
            size_type,
            empty,
            dispatch_country,
            seals,
            parties: _,
        } = self;
        goods.put(out);
        gross_mass_g.put(out);
        tare_mass_g.put(out);
        size_type.put(out);
        empty.put(out);
        dispatch_country.put(out);
        seals.put(out);
    }

    /// Refuses what is too large to be a manifest.
    pub fn check(&self) -> Result<(), InvalidId> {
        const WHAT: &str = "manifest";
        if self.goods.len() > GOODS_ITEMS_MAX {
            return Err(InvalidId::new(
                WHAT,
                "goods",
                format!("more than {GOODS_ITEMS_MAX} goods items"),
            ));
        }
        if self.seals.len() > 100 || self.parties.len() > 100 {
            return Err(InvalidId::new(WHAT, "seals, parties", "more than 100 of a kind"));
        }
        let texts = self
            .goods
            .iter()
            .flat_map(|item| [&item.commodity_code, &item.description, &item.origin])
            .chain([&self.size_type, &self.dispatch_country])
            .chain(&self.seals);
        for text in texts {
            if text.len() > TEXT_MAX {
                return Err(InvalidId::new(
                    WHAT,
                    text,
                    format!("a text is longer than {TEXT_MAX} bytes"),
                ));
            }
        }
        Ok(())
    }
}

/// A source tells the port that a container is coming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Which container.
    pub equipment: EquipmentId,
    /// At which terminal.
    pub terminal: TerminalId,
    /// From when on it can be called up; at once if absent.
    pub ready_at: Option<Timestamp>,
    /// When it must leave (cut-off), if that is known.
    pub due_at: Option<Timestamp>,
    /// 0 is ordinary; higher goes first.
    pub priority: u8,
    /// What is declared.
    pub manifest: Manifest,
    /// What was odd about the document.
    pub findings: Vec<Finding>,
}

impl Announcement {
    /// Everything but the parties, in a form that is only good for comparing two announcements.
    pub(crate) fn put_without_parties(&self, out: &mut Vec<u8>) {
        let Self {
            equipment,
            terminal,
            ready_at,
            due_at,
            priority,
            manifest,
            findings,
        } = self;
        equipment.put(out);
        terminal.put(out);
        ready_at.put(out);
        due_at.put(out);
        priority.put(out);
        manifest.put_without_parties(out);
        findings.put(out);
    }
}

canonical!(struct Announcement { equipment, terminal, ready_at, due_at, priority, manifest, findings });

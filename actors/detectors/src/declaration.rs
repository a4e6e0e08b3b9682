//! Reader of WCO Data Model declarations (3.6, in the profile of the United Kingdom's declaration system).
//!
//! One declaration may name several containers and several goods items. Equipment stands under the consignment or under
//! a goods item's commodity, depending on the declaration: both are read. Traders' XML is seldom tidy, so whatever
//! leaves containers and goods readable is a finding; only what is no declaration, or is not there at all, is refused.

use portcullis_domain::equipment::{EQUIPMENT_ID_MAX, EquipmentId};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::id::Digest;
use portcullis_domain::manifest::{
    Amount, Document, FINDINGS_MAX, GOODS_ITEMS_MAX, GoodsItem, Manifest, Party, PartyRole, Personal, TEXT_MAX,
};
use thiserror::Error;

use crate::country;
use crate::xml::{Element, Limits, Place, Source, XmlError};

/// Name and version of this reader.
pub const VERSION: &str = "wco-declaration/1";

/// The most containers of one declaration.
pub const EQUIPMENT_MAX: usize = 200;

/// A declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// SHA-256 of the document's bytes.
    pub digest: Digest,
    /// Version of the data model, as stated.
    pub model_version: Option<String>,
    /// The trader's reference (LRN).
    pub local_reference: Option<String>,
    /// Customs' reference (MRN), if the declaration already has one.
    pub movement_reference: Option<String>,
    /// Kind of declaration, such as `IMA`.
    pub kind: Option<String>,
    /// The containers, in document order.
    pub equipment: Vec<Equipment>,
    /// The goods, in document order.
    pub goods: Vec<Goods>,
    /// Who is named, by role.
    pub parties: Vec<(PartyRole, String)>,
    /// Country of dispatch, two letters, empty if not stated.
    pub dispatch_country: String,
    /// Means of transport on arrival: id and type of id, as stated.
    pub arrival_transport: Option<(String, String)>,
    /// Where the goods are to be found, as stated.
    pub goods_location: Option<String>,
    /// What deviates from the standard or from itself.
    pub findings: Vec<Finding>,
}

/// A container of a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Equipment {
    /// Its id.
    pub id: EquipmentId,
    /// Size and type, empty if not stated.
    pub size_type: String,
    /// Seal numbers.
    pub seals: Vec<String>,
}

/// A goods item of a declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Goods {
    /// What is declared.
    pub item: GoodsItem,
    /// The containers that the item itself names; none if it leaves that to the consignment.
    pub equipment: Vec<EquipmentId>,
}

/// What a declaration says about one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredContainer {
    /// The container.
    pub equipment: EquipmentId,
    /// Its goods and everything else that is declared.
    pub manifest: Manifest,
    /// The findings of the declaration and of this container.
    pub findings: Vec<Finding>,
}

/// Why a document is not a declaration that can be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DeclarationError {
    /// Not readable as XML.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// Another kind of document.
    #[error("root element {root} is neither MetaData nor Declaration; send a WCO Data Model declaration")]
    Root {
        /// The local name of the root.
        root: String,
    },
    /// An answer of customs.
    #[error(
        "this is an answer of customs (WCOTypeName {kind}, Response), not a declaration; send it to the intake of notifications"
    )]
    Answer {
        /// The stated type.
        kind: String,
    },
    /// An element without which nothing can be announced.
    #[error("{path} is missing: {why}; complete the declaration")]
    Missing {
        /// The path of the element.
        path: &'static str,
        /// What it is needed for.
        why: &'static str,
    },
    /// A value that makes it another kind of message.
    #[error("{element} {place} cannot be used: {why}; correct the declaration")]
    Value {
        /// The element's local name.
        element: &'static str,
        /// Where it is.
        place: Place,
        /// What is wrong.
        why: String,
    },
    /// More than this reader takes.
    #[error("there are more than {limit} {what}; split the declaration")]
    Limit {
        /// What there are too many of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// Reads a declaration.
///
/// # Errors
/// [`DeclarationError`] names the element, the place where it has one, the reason and what to do.
pub fn read(bytes: &[u8]) -> Result<Declaration, DeclarationError> {
    let source = Source::decode(bytes, &Limits::DECLARATION)?;
    let document = source.parse(&Limits::DECLARATION)?;
    let mut reader = Reader {
        findings: document.findings,
    };
    let root = &document.root;
    let (meta, declaration) = match root.name {
        "MetaData" => (Some(root), root.child("Declaration")),
        "Declaration" => (None, Some(root)),
        other => {
            return Err(DeclarationError::Root {
                root: other.chars().take(80).collect(),
            });
        }
    };
    let kind = meta.and_then(|meta| meta.text_at(&["WCOTypeName"]));
    if kind.is_some_and(|kind| kind == "RES") || root.child("Response").is_some() {
        let kind = kind.unwrap_or("not stated").chars().take(20).collect();
        return Err(DeclarationError::Answer { kind });
    }
    let declaration = declaration.ok_or(DeclarationError::Missing {
        path: "MetaData/Declaration",
        why: "it holds everything that is declared",
    })?;
    if !document
        .namespace
        .as_deref()
        .is_some_and(|uri| uri.starts_with("urn:wco:datamodel"))
    {
        let found = document.namespace.as_deref().unwrap_or("none");
        reader.note(
            FindingCode::NamespaceUnexpected,
            root.name,
            format!("namespace {found}"),
        );
    }
    let mut read = reader.declaration(declaration)?;
    read.digest = Digest::of(bytes);
    read.model_version = meta
        .and_then(|meta| meta.text_at(&["WCODataModelVersionCode"]))
        .map(str::to_owned);
    read.findings = reader.findings;
    read.findings.truncate(FINDINGS_MAX);
    Ok(read)
}

impl Declaration {
    /// What is declared about each container, in document order.
    ///
    /// Names and numbers of parties may belong to persons, so each is salted; `salt` must give random bytes.
    /// Goods that several containers share lose their masses here: the whole mass belongs to no single container, and
    /// a weighing must not be compared with it.
    pub fn containers(&self, mut salt: impl FnMut() -> [u8; 16]) -> Vec<DeclaredContainer> {
        let shared = self.equipment.len() > 1 && self.goods.iter().any(|goods| goods.equipment.is_empty());
        let parties: Vec<Party> = self
            .parties
            .iter()
            .map(|(role, value)| Party {
                role: *role,
                identity: Personal::Open {
                    salt: salt(),
                    value: value.clone(),
                },
            })
            .collect();
        self.equipment
            .iter()
            .map(|equipment| {
                let mut findings = self.findings.clone();
                findings.extend(equipment.id.findings());
                if shared {
                    findings.push(Finding::new(
                        FindingCode::SharedManifest,
                        "TransportEquipment",
                        format!("{} containers share goods; masses were left out", self.equipment.len()),
                    ));
                }
                findings.truncate(FINDINGS_MAX);
                DeclaredContainer {
                    equipment: equipment.id.clone(),
                    manifest: self.manifest(equipment, &parties),
                    findings,
                }
            })
            .collect()
    }

    fn manifest(&self, equipment: &Equipment, parties: &[Party]) -> Manifest {
        let alone = self.equipment.len() == 1;
        let goods = self.goods.iter().filter_map(|goods| match goods.equipment.as_slice() {
            [] if alone => Some(goods.item.clone()),
            [only] if *only == equipment.id => Some(goods.item.clone()),
            several if several.is_empty() || several.contains(&equipment.id) => Some(GoodsItem {
                gross_mass_g: None,
                net_mass_g: None,
                ..goods.item.clone()
            }),
            _ => None,
        });
        let version = self.model_version.as_deref().unwrap_or("unknown");
        Manifest {
            document: Some(Document {
                digest: self.digest,
                format: format!("wco-dm/{version}"),
                reference: self.local_reference.clone().or_else(|| self.movement_reference.clone()),
            }),
            goods: goods.collect(),
            gross_mass_g: None,
            tare_mass_g: None,
            size_type: equipment.size_type.clone(),
            empty: false,
            dispatch_country: self.dispatch_country.clone(),
            seals: equipment.seals.clone(),
            parties: parties.to_vec(),
        }
    }
}

struct Reader {
    findings: Vec<Finding>,
}

impl Reader {
    fn note(&mut self, code: FindingCode, field: &str, detail: impl Into<String>) {
        // One more than is kept shows that there were more; hostile documents must not fill memory with notes.
        if self.findings.len() <= FINDINGS_MAX {
            self.findings.push(Finding::new(code, field, detail));
        }
    }

    fn declaration(&mut self, root: &Element<'_>) -> Result<Declaration, DeclarationError> {
        match root.child("FunctionCode") {
            None => self.note(FindingCode::ElementMissing, "FunctionCode", "taken as 9, an original"),
            Some(code) if code.trimmed() == "9" => {}
            Some(code) => {
                let code_text: String = code.trimmed().chars().take(20).collect();
                return Err(DeclarationError::Value {
                    element: "FunctionCode",
                    place: place(code),
                    why: format!("{code_text:?} is not 9: only original declarations announce a container"),
                });
            }
        }
        let shipment = root.child("GoodsShipment").ok_or(DeclarationError::Missing {
            path: "Declaration/GoodsShipment",
            why: "it holds containers and goods",
        })?;
        let local_reference = self.text(root, "FunctionalReferenceID");
        if local_reference.is_none() {
            self.note(
                FindingCode::ElementMissing,
                "FunctionalReferenceID",
                "there is no trader's reference",
            );
        }
        let mut equipment = Vec::new();
        let consignment = shipment.child("Consignment");
        for element in consignment
            .into_iter()
            .flat_map(|parent| parent.children("TransportEquipment"))
        {
            self.equipment(element, &mut equipment)?;
        }
        let goods = self.goods(shipment, &mut equipment)?;
        self.counts(root, &goods);
        match consignment.and_then(|parent| parent.text_at(&["ContainerCode"])) {
            Some("1") => {}
            Some("0") => self.note(
                FindingCode::NotContainerised,
                "ContainerCode",
                "0: the goods are said not to be in a container",
            ),
            Some(other) => {
                let detail = format!("{other:?} is neither 0 nor 1");
                self.note(FindingCode::ValueUnreadable, "ContainerCode", detail);
            }
            None => self.note(
                FindingCode::ElementMissing,
                "ContainerCode",
                "nothing says whether there is a container",
            ),
        }
        if equipment.is_empty() {
            self.note(
                FindingCode::EquipmentMissing,
                "TransportEquipment",
                "no container is named",
            );
        }
        let dispatch_country = shipment.text_at(&["ExportCountry", "ID"]).unwrap_or_default();
        let dispatch_country = self.country(dispatch_country, "ExportCountry/ID");
        let transport = consignment.and_then(|parent| parent.child("ArrivalTransportMeans"));
        Ok(Declaration {
            digest: Digest::of(&[]),
            model_version: None,
            local_reference,
            movement_reference: self.text(root, "ID"),
            kind: self.text(root, "TypeCode"),
            equipment,
            goods,
            parties: self.parties(root, shipment),
            dispatch_country,
            arrival_transport: transport.and_then(|means| {
                let kind = self.text(means, "IdentificationTypeCode").unwrap_or_default();
                Some((self.text(means, "ID")?, kind))
            }),
            goods_location: consignment
                .and_then(|parent| parent.child("GoodsLocation"))
                .and_then(|location| self.text(location, "Name")),
            findings: Vec::new(),
        })
    }

    /// Adds a container if it is new, and gives its id.
    fn equipment(
        &mut self,
        element: &Element<'_>,
        known: &mut Vec<Equipment>,
    ) -> Result<Option<EquipmentId>, DeclarationError> {
        let written = element.text_at(&["ID"]).unwrap_or_default();
        let id = match EquipmentId::new(written) {
            Ok(id) => id,
            Err(error) => {
                let detail =
                    format!("{error}; at most {EQUIPMENT_ID_MAX} letters and digits; this container was left out");
                self.note(FindingCode::ValueUnreadable, "TransportEquipment/ID", detail);
                return Ok(None);
            }
        };
        if known.iter().all(|equipment| equipment.id != id) {
            if known.len() >= EQUIPMENT_MAX {
                return Err(DeclarationError::Limit {
                    what: "containers",
                    limit: EQUIPMENT_MAX,
                });
            }
            let seals = element
                .children("Seal")
                .take(100)
                .filter_map(|seal| self.text(seal, "ID"))
                .collect();
            let size_type = self.text(element, "CharacteristicCode").unwrap_or_default();
            known.push(Equipment {
                id: id.clone(),
                size_type,
                seals,
            });
        }
        Ok(Some(id))
    }

    fn goods(
        &mut self,
        shipment: &Element<'_>,
        equipment: &mut Vec<Equipment>,
    ) -> Result<Vec<Goods>, DeclarationError> {
        let mut goods = Vec::new();
        for (index, element) in shipment.children("GovernmentAgencyGoodsItem").enumerate() {
            if index >= GOODS_ITEMS_MAX {
                return Err(DeclarationError::Limit {
                    what: "goods items",
                    limit: GOODS_ITEMS_MAX,
                });
            }
            let position = u32::try_from(index + 1).unwrap_or(u32::MAX);
            goods.push(self.item(element, position, equipment)?);
        }
        if goods.is_empty() {
            return Err(DeclarationError::Missing {
                path: "Declaration/GoodsShipment/GovernmentAgencyGoodsItem",
                why: "a declaration without goods declares nothing",
            });
        }
        Ok(goods)
    }

    fn item(
        &mut self,
        element: &Element<'_>,
        position: u32,
        equipment: &mut Vec<Equipment>,
    ) -> Result<Goods, DeclarationError> {
        let sequence = element.text_at(&["SequenceNumeric"]).and_then(|text| text.parse().ok());
        let sequence = sequence.unwrap_or_else(|| {
            let detail = format!("goods item {position} has no number; its position was used");
            self.note(
                FindingCode::ElementMissing,
                "GovernmentAgencyGoodsItem/SequenceNumeric",
                detail,
            );
            position
        });
        let here = |name: &str| format!("goods item {sequence} {name}");
        let commodity = element.child("Commodity");
        let mut own = Vec::new();
        for named in commodity
            .into_iter()
            .flat_map(|parent| parent.children("TransportEquipment"))
        {
            self.note(
                FindingCode::ElementMisplaced,
                &here("TransportEquipment"),
                "the container stands under Commodity and not under Consignment; it was read there",
            );
            own.extend(self.equipment(named, equipment)?);
        }
        let (gross, net) = self.masses(commodity, &here);
        let packages: u64 = element
            .children("Packaging")
            .filter_map(|packaging| packaging.text_at(&["QuantityQuantity"]))
            .filter_map(|count| count.parse::<u32>().ok())
            .map(u64::from)
            .sum();
        let has_packages = element.child("Packaging").is_some();
        let origin = element
            .children("Origin")
            .find(|origin| origin.text_at(&["TypeCode"]) == Some("1"))
            .or_else(|| element.child("Origin"))
            .and_then(|origin| origin.text_at(&["CountryCode"]))
            .unwrap_or_default();
        let item = GoodsItem {
            sequence,
            commodity_code: self.commodity_code(commodity, &here),
            description: commodity
                .and_then(|parent| self.text(parent, "Description"))
                .unwrap_or_default(),
            gross_mass_g: gross,
            net_mass_g: net,
            packages: has_packages.then(|| u32::try_from(packages).unwrap_or(u32::MAX)),
            origin: self.country(origin, &here("Origin/CountryCode")),
            amount: self.amount(commodity, &here),
            dangerous_goods: self.dangerous_goods(commodity, &here),
        };
        Ok(Goods { item, equipment: own })
    }

    /// `TSP` is the eight-digit code of the Combined Nomenclature, `TRC` the two digits that TARIC adds.
    fn commodity_code(&mut self, commodity: Option<&Element<'_>>, here: &impl Fn(&str) -> String) -> String {
        let class = |kind: &str| {
            commodity
                .into_iter()
                .flat_map(|parent| parent.children("Classification"))
                .find(|class| class.text_at(&["IdentificationTypeCode"]) == Some(kind))
                .and_then(|class| class.text_at(&["ID"]))
        };
        let Some(main) = class("TSP") else {
            self.note(
                FindingCode::CommodityCodeOdd,
                &here("Classification"),
                "there is no code of type TSP",
            );
            return String::new();
        };
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(main) || !matches!(main.len(), 6 | 8 | 10) {
            let detail = format!(
                "{:?} is not 6, 8 or 10 digits",
                main.chars().take(40).collect::<String>()
            );
            self.note(FindingCode::CommodityCodeOdd, &here("Classification/ID"), detail);
            if !digits(main) || main.len() > 11 {
                return String::new();
            }
        }
        let added = class("TRC").filter(|added| main.len() == 8 && added.len() == 2 && digits(added));
        format!("{main}{}", added.unwrap_or_default())
    }

    /// Gross and net mass in grams.
    fn masses(
        &mut self,
        commodity: Option<&Element<'_>>,
        here: &impl Fn(&str) -> String,
    ) -> (Option<u64>, Option<u64>) {
        let measure = commodity.and_then(|parent| parent.child("GoodsMeasure"));
        let gross = measure.and_then(|parent| parent.child("GrossMassMeasure"));
        let net = measure.and_then(|parent| {
            parent
                .child("NetNetWeightMeasure")
                .or_else(|| parent.child("NetWeightMeasure"))
        });
        if gross.is_none() && net.is_none() {
            self.note(
                FindingCode::MassMissing,
                &here("GoodsMeasure"),
                "neither gross nor net mass is stated",
            );
        }
        let gross = gross.and_then(|mass| self.mass(mass, here));
        let net = net.and_then(|mass| self.mass(mass, here));
        if let (Some(gross), Some(net)) = (gross, net)
            && net > gross
        {
            let detail = format!("net {net} g is above gross {gross} g");
            self.note(FindingCode::MassInconsistent, &here("GoodsMeasure"), detail);
        }
        (gross, net)
    }

    fn mass(&mut self, element: &Element<'_>, here: &impl Fn(&str) -> String) -> Option<u64> {
        let field = here(element.name);
        // A unit may carry a qualifier after `#`.
        let unit = element
            .attribute("unitCode")
            .map(|unit| unit.split('#').next().unwrap_or(unit));
        let places = match unit {
            None => {
                self.note(
                    FindingCode::ElementMissing,
                    &format!("{field}@unitCode"),
                    "kilograms were assumed",
                );
                3
            }
            Some("KGM") => 3,
            Some("TNE") => 6,
            Some("GRM") => 0,
            Some(other) => {
                let detail = format!("unit {other:?} is not KGM, TNE or GRM; the mass was left out");
                self.note(FindingCode::ValueUnreadable, &field, detail);
                return None;
            }
        };
        let Some(grams) = scaled(element.trimmed(), places) else {
            let written: String = element.trimmed().chars().take(40).collect();
            let detail = format!("{written:?} is not a mass; it was left out");
            self.note(FindingCode::ValueUnreadable, &field, detail);
            return None;
        };
        if grams == 0 {
            self.note(FindingCode::MassZero, &field, "the stated mass is zero");
        }
        Some(grams)
    }

    fn amount(&mut self, commodity: Option<&Element<'_>>, here: &impl Fn(&str) -> String) -> Option<Amount> {
        let element = commodity?.at(&["InvoiceLine", "ItemChargeAmount"])?;
        let hundredths = scaled(element.trimmed(), 2).and_then(|value| i64::try_from(value).ok());
        let currency = element.attribute("currencyID").unwrap_or_default();
        let proper = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
        match hundredths {
            Some(hundredths) if proper => Some(Amount {
                hundredths,
                currency: currency.to_owned(),
            }),
            _ => {
                let written: String = element.trimmed().chars().take(40).collect();
                let detail = format!("{written:?} in currency {currency:?} cannot be used; it was left out");
                self.note(FindingCode::ValueUnreadable, &here("ItemChargeAmount"), detail);
                None
            }
        }
    }

    fn dangerous_goods(&mut self, commodity: Option<&Element<'_>>, here: &impl Fn(&str) -> String) -> Option<u16> {
        let written = commodity?.text_at(&["DangerousGoods", "UNDGID"])?;
        let number = written.trim_start_matches("UN").trim().parse().ok();
        if number.is_none() {
            let detail = format!("{:?} is not a UN number", written.chars().take(40).collect::<String>());
            self.note(FindingCode::ValueUnreadable, &here("DangerousGoods/UNDGID"), detail);
        }
        number
    }

    fn country(&mut self, code: &str, field: &str) -> String {
        if !country::is_known(code) {
            let written: String = code.chars().take(20).collect();
            self.note(
                FindingCode::CountryUnknown,
                field,
                format!("{written:?} is not a country code in use"),
            );
        }
        let shaped = code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_uppercase());
        if shaped { code.to_owned() } else { String::new() }
    }

    /// Compares stated counts with what is there.
    fn counts(&mut self, root: &Element<'_>, goods: &[Goods]) {
        let packages: u64 = goods
            .iter()
            .filter_map(|goods| goods.item.packages)
            .map(u64::from)
            .sum();
        let items = goods.len() as u64;
        for (name, found) in [("GoodsItemQuantity", items), ("TotalPackageQuantity", packages)] {
            let Some(stated) = root.text_at(&[name]) else {
                self.note(FindingCode::ElementMissing, name, "the count is not stated");
                continue;
            };
            if stated.parse::<u64>().ok() != Some(found) {
                let stated: String = stated.chars().take(20).collect();
                self.note(
                    FindingCode::CountDiffers,
                    name,
                    format!("{stated:?} is stated, {found} were found"),
                );
            }
        }
    }

    fn parties(&mut self, root: &Element<'_>, shipment: &Element<'_>) -> Vec<(PartyRole, String)> {
        let roles = [
            (PartyRole::Importer, "Importer"),
            (PartyRole::Exporter, "Exporter"),
            (PartyRole::Declarant, "Declarant"),
            (PartyRole::Agent, "Agent"),
            (PartyRole::Carrier, "Carrier"),
        ];
        let consignment = shipment.child("Consignment");
        let mut parties = Vec::new();
        for (role, name) in roles {
            let holder = [Some(shipment), Some(root), consignment]
                .into_iter()
                .flatten()
                .find_map(|parent| parent.child(name));
            let identity = holder.and_then(|party| self.text(party, "ID").or_else(|| self.text(party, "Name")));
            parties.extend(identity.map(|identity| (role, identity)));
        }
        parties
    }

    /// The text of a child, cut to what a manifest may hold.
    fn text(&mut self, parent: &Element<'_>, name: &str) -> Option<String> {
        let text = parent.text_at(&[name])?;
        if text.len() <= TEXT_MAX {
            return Some(text.to_owned());
        }
        let end = (0..=TEXT_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let detail = format!("the text has {} bytes and was cut to {end}", text.len());
        self.note(FindingCode::ValueUnreadable, name, detail);
        text.get(..end).map(str::to_owned)
    }
}

/// A decimal number times 10^`places`, rounded half up; none if it is negative, malformed or too large.
fn scaled(text: &str, places: usize) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let kept: String = whole
        .chars()
        .chain(fraction.chars().chain(std::iter::repeat('0')).take(places))
        .collect();
    let value: u64 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    let up = fraction.as_bytes().get(places).is_some_and(|digit| *digit >= b'5');
    value.checked_add(u64::from(up))
}

fn place(element: &Element<'_>) -> Place {
    Place {
        path: format!("Declaration/{}", element.name),
        offset: element.offset,
    }
}

#[cfg(test)]
mod tests;

//! Announcements and manifests.

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::id::{Digest, Timestamp};
use portcullis_domain::manifest::{
    Amount, Announcement, Document, FINDINGS_MAX, GOODS_ITEMS_MAX, GoodsItem, Manifest, Party, PartyRole, Personal,
    TEXT_MAX,
};
use portcullis_proto::v1 as pb;
use prost::bytes::Bytes;

use crate::invalid::{self, InvalidField, Within};
use crate::vocabulary::{decode_finding, encode_finding};

/// The most seals, and the most parties, that one manifest may name.
const SEALS_MAX: usize = 100;

/// Reads an announcement. `salt` is random, from whoever takes it in; each party gets its own salt, made from it, so
/// that equal names do not show as equal hashes.
///
/// # Errors
/// Names the first field that cannot be, by its path from the announcement: `manifest.goods[3].origin`.
pub fn decode_announcement(announcement: pb::Announcement, salt: &[u8; 16]) -> Result<Announcement, InvalidField> {
    Ok(Announcement {
        equipment: decode_equipment("equipment_id", &announcement.equipment_id)?,
        terminal: invalid::parse("terminal", &announcement.terminal)?,
        ready_at: announcement.ready_at_ms.map(Timestamp),
        due_at: announcement.due_at_ms.map(Timestamp),
        priority: u8::try_from(announcement.priority)
            .map_err(|_| InvalidField::new("priority", format!("{} is above 255", announcement.priority)))?,
        manifest: decode_manifest(invalid::required("manifest", announcement.manifest)?, salt).within("manifest")?,
        findings: invalid::list("findings", announcement.findings, FINDINGS_MAX, decode_finding)?,
    })
}

/// Writes an announcement as a client sends it, names in the clear.
pub fn encode_announcement(announcement: &Announcement) -> pb::Announcement {
    pb::Announcement {
        equipment_id: announcement.equipment.to_string(),
        terminal: announcement.terminal.to_string(),
        ready_at_ms: announcement.ready_at.map(|at| at.0),
        due_at_ms: announcement.due_at.map(|at| at.0),
        priority: u32::from(announcement.priority),
        manifest: Some(encode_manifest(&announcement.manifest, true)),
        findings: announcement.findings.iter().map(encode_finding).collect(),
    }
}

/// Reads a container's id out of the field named.
///
/// # Errors
/// When it is empty, too long or has characters that no id has.
pub fn decode_equipment(field: &str, text: &str) -> Result<EquipmentId, InvalidField> {
    invalid::parse(field, text)
}

fn decode_manifest(manifest: pb::Manifest, salt: &[u8; 16]) -> Result<Manifest, InvalidField> {
    let mut number = 0_u32;
    Ok(Manifest {
        document: manifest.document.map(decode_document).transpose().within("document")?,
        goods: invalid::list("goods", manifest.goods, GOODS_ITEMS_MAX, decode_goods_item)?,
        gross_mass_g: manifest.gross_mass_g,
        tare_mass_g: manifest.tare_mass_g,
        size_type: invalid::text("size_type", manifest.size_type, TEXT_MAX)?,
        empty: manifest.empty,
        dispatch_country: invalid::text("dispatch_country", manifest.dispatch_country, TEXT_MAX)?,
        seals: invalid::list("seals", manifest.seals, SEALS_MAX, |seal| {
            invalid::text("", seal, TEXT_MAX)
        })?,
        parties: invalid::list("parties", manifest.parties, SEALS_MAX, |party| {
            number += 1;
            decode_party(party, salt_of(salt, number))
        })?,
    })
}

/// Writes a manifest. Names are sealed unless `open` says that the reader is the one who may see them.
pub(crate) fn encode_manifest(manifest: &Manifest, open: bool) -> pb::Manifest {
    pb::Manifest {
        document: manifest.document.as_ref().map(|document| pb::Document {
            sha256: encode_digest(&document.digest),
            format: document.format.clone(),
            reference: document.reference.clone(),
        }),
        goods: manifest.goods.iter().map(encode_goods_item).collect(),
        gross_mass_g: manifest.gross_mass_g,
        tare_mass_g: manifest.tare_mass_g,
        size_type: manifest.size_type.clone(),
        empty: manifest.empty,
        dispatch_country: manifest.dispatch_country.clone(),
        seals: manifest.seals.clone(),
        parties: manifest.parties.iter().map(|party| encode_party(party, open)).collect(),
    }
}

pub(crate) fn encode_digest(digest: &Digest) -> Bytes {
    Bytes::copy_from_slice(&digest.0)
}

fn decode_document(document: pb::Document) -> Result<Document, InvalidField> {
    Ok(Document {
        digest: invalid::digest("sha256", &document.sha256)?,
        format: invalid::text("format", document.format, TEXT_MAX)?,
        reference: document
            .reference
            .map(|reference| invalid::text("reference", reference, TEXT_MAX))
            .transpose()?,
    })
}

fn decode_goods_item(item: pb::GoodsItem) -> Result<GoodsItem, InvalidField> {
    if let Some(odd) = item.commodity_code.chars().find(|c| !c.is_ascii_digit()) {
        return Err(InvalidField::new("commodity_code", format!("{odd:?} is not a digit")));
    }
    Ok(GoodsItem {
        sequence: item.sequence,
        commodity_code: invalid::text("commodity_code", item.commodity_code, TEXT_MAX)?,
        description: invalid::text("description", item.description, TEXT_MAX)?,
        gross_mass_g: item.gross_mass_g,
        net_mass_g: item.net_mass_g,
        packages: item.packages,
        origin: invalid::text("origin", item.origin, TEXT_MAX)?,
        amount: item
            .amount
            .map(|amount| {
                Ok(Amount {
                    hundredths: amount.hundredths,
                    currency: invalid::text("currency", amount.currency, 16)?,
                })
            })
            .transpose()
            .within("amount")?,
        dangerous_goods: item
            .dangerous_goods
            .map(|number| match u16::try_from(number) {
                Ok(number @ 1..=9999) => Ok(number),
                _ => Err(InvalidField::new(
                    "dangerous_goods",
                    format!("{number} is not a UN number from 1 to 9999"),
                )),
            })
            .transpose()?,
    })
}

fn encode_goods_item(item: &GoodsItem) -> pb::GoodsItem {
    pb::GoodsItem {
        sequence: item.sequence,
        commodity_code: item.commodity_code.clone(),
        description: item.description.clone(),
        gross_mass_g: item.gross_mass_g,
        net_mass_g: item.net_mass_g,
        packages: item.packages,
        origin: item.origin.clone(),
        amount: item.amount.as_ref().map(|amount| pb::Amount {
            hundredths: amount.hundredths,
            currency: amount.currency.clone(),
        }),
        dangerous_goods: item.dangerous_goods.map(u32::from),
    }
}

fn decode_role(value: i32) -> Result<PartyRole, InvalidField> {
    invalid::known("role", value, |role| match role {
        pb::PartyRole::Unspecified => None,
        pb::PartyRole::Importer => Some(PartyRole::Importer),
        pb::PartyRole::Exporter => Some(PartyRole::Exporter),
        pb::PartyRole::Declarant => Some(PartyRole::Declarant),
        pb::PartyRole::Agent => Some(PartyRole::Agent),
        pb::PartyRole::Carrier => Some(PartyRole::Carrier),
    })
}

pub(crate) fn encode_role(role: PartyRole) -> pb::PartyRole {
    match role {
        PartyRole::Importer => pb::PartyRole::Importer,
        PartyRole::Exporter => pb::PartyRole::Exporter,
        PartyRole::Declarant => pb::PartyRole::Declarant,
        PartyRole::Agent => pb::PartyRole::Agent,
        PartyRole::Carrier => pb::PartyRole::Carrier,
    }
}

fn decode_party(party: pb::Party, salt: [u8; 16]) -> Result<Party, InvalidField> {
    use pb::party::Identity;
    let role = decode_role(party.role)?;
    match party.identity {
        None => Err(InvalidField::missing("value")),
        Some(Identity::Value(value)) if value.is_empty() => Err(InvalidField::missing("value")),
        Some(Identity::Value(value)) => {
            let value = invalid::text("value", value, TEXT_MAX)?;
            Ok(Party {
                role,
                identity: Personal::Open { salt, value },
            })
        }
        Some(Identity::SealedSha256(_)) => Err(InvalidField::new(
            "sealed_sha256",
            "it is output only; give the name or number in `value`",
        )),
    }
}

fn encode_party(party: &Party, open: bool) -> pb::Party {
    use pb::party::Identity;
    let identity = match &party.identity {
        Personal::Open { value, .. } if open => Identity::Value(value.clone()),
        other => match other.sealed() {
            Personal::Sealed(digest) => Identity::SealedSha256(encode_digest(&digest)),
            // Sealing gives a sealed value; a name that is not sealed is never shown.
            Personal::Open { .. } => Identity::SealedSha256(Bytes::new()),
        },
    };
    pb::Party {
        role: encode_role(party.role) as i32,
        identity: Some(identity),
    }
}

fn salt_of(salt: &[u8; 16], number: u32) -> [u8; 16] {
    let mut bytes = b"portcullis.salt.v1\0".to_vec();
    bytes.extend_from_slice(salt);
    bytes.extend_from_slice(&number.to_be_bytes());
    let mut own = [0; 16];
    own.copy_from_slice(&Digest::of(&bytes).0[..16]);
    own
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    const SALT: [u8; 16] = [7; 16];

    #[test]
    fn an_announcement_reads_back() {
        let sent = encode_announcement(&samples::announcement());
        let read = decode_announcement(sent.clone(), &SALT).unwrap();
        assert_eq!(encode_announcement(&read), sent);
        // Everything but the salts is the same.
        assert_eq!(
            Announcement {
                manifest: Manifest::default(),
                ..read.clone()
            },
            Announcement {
                manifest: Manifest::default(),
                ..samples::announcement()
            }
        );
        assert_eq!(
            Manifest {
                parties: vec![],
                ..read.manifest
            },
            Manifest {
                parties: vec![],
                ..samples::announcement().manifest
            }
        );
    }

    #[test]
    fn equal_names_in_one_announcement_have_unequal_hashes() {
        let mut sent = encode_announcement(&samples::announcement());
        let manifest = sent.manifest.as_mut().unwrap();
        manifest.parties = vec![manifest.parties[0].clone(); 2];
        let read = decode_announcement(sent, &SALT).unwrap().manifest.sealed();
        assert_ne!(read.parties[0].identity, read.parties[1].identity);
    }

    #[test]
    fn names_are_sealed_in_everything_that_is_not_the_announcement_itself() {
        let shown = encode_manifest(&samples::announcement().manifest, false);
        for party in shown.parties {
            assert!(matches!(party.identity, Some(pb::party::Identity::SealedSha256(digest)) if digest.len() == 32));
        }
    }

    type Spoil = fn(&mut pb::Announcement);

    #[test]
    fn each_bad_field_is_named_by_its_path() {
        fn manifest(a: &mut pb::Announcement) -> &mut pb::Manifest {
            a.manifest.as_mut().unwrap()
        }
        let cases: [(&str, Spoil); 22] = [
            ("equipment_id", |a| a.equipment_id.clear()),
            ("equipment_id", |a| a.equipment_id = "MSKU\u{7}123".into()),
            ("equipment_id", |a| a.equipment_id = "ABCDEFGHIJKLMNOPQR".into()),
            ("terminal", |a| a.terminal = "north east".into()),
            ("priority", |a| a.priority = 256),
            ("manifest", |a| a.manifest = None),
            ("findings", |a| a.findings = vec![pb::Finding::default(); 201]),
            ("findings[1].code", |a| {
                a.findings.push(pb::Finding {
                    code: "X".into(),
                    ..Default::default()
                })
            }),
            ("manifest.document.sha256", |a| {
                manifest(a).document.as_mut().unwrap().sha256 = vec![1; 31].into()
            }),
            ("manifest.document.format", |a| {
                manifest(a).document.as_mut().unwrap().format = "x".repeat(513)
            }),
            ("manifest.document.reference", |a| {
                manifest(a).document.as_mut().unwrap().reference = Some("x".repeat(513));
            }),
            ("manifest.goods", |a| {
                manifest(a).goods = vec![pb::GoodsItem::default(); 1000]
            }),
            ("manifest.goods[0].commodity_code", |a| {
                manifest(a).goods[0].commodity_code = "84-71".into()
            }),
            ("manifest.goods[0].description", |a| {
                manifest(a).goods[0].description = "x".repeat(513)
            }),
            ("manifest.goods[0].dangerous_goods", |a| {
                manifest(a).goods[0].dangerous_goods = Some(70_000)
            }),
            ("manifest.goods[0].amount.currency", |a| {
                manifest(a).goods[0].amount.as_mut().unwrap().currency = "x".repeat(17);
            }),
            ("manifest.seals", |a| manifest(a).seals = vec![String::new(); 101]),
            ("manifest.seals[0]", |a| manifest(a).seals[0] = "x".repeat(513)),
            ("manifest.parties[0].role", |a| manifest(a).parties[0].role = 0),
            ("manifest.parties[0].role", |a| manifest(a).parties[0].role = 77),
            ("manifest.parties[0].value", |a| manifest(a).parties[0].identity = None),
            ("manifest.parties[0].sealed_sha256", |a| {
                manifest(a).parties[0].identity = Some(pb::party::Identity::SealedSha256(vec![0; 32].into()));
            }),
        ];
        for (field, spoil) in cases {
            let mut sent = encode_announcement(&samples::announcement());
            spoil(&mut sent);
            let invalid = decode_announcement(sent, &SALT).unwrap_err();
            assert_eq!(invalid.field, field, "{invalid}");
            assert!(!invalid.reason.is_empty());
        }
    }
}

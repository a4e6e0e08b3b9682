//! Real declarations against a table read by eye, the deviations one by one, and hostile input.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::test_data;

/// What a file says: name, LRN, kind, container, commodity code, description starts with, gross g, net g, packages,
/// origin, amount in hundredths of GBP, importer, declarant, dispatch, findings.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    Option<u64>,
    Option<u64>,
    u32,
    &'static str,
    Option<i64>,
    &'static str,
    &'static str,
    &'static str,
    &'static [FindingCode],
);

use FindingCode::{
    ByteOrderMark as Bom, ElementMisplaced as Misplaced, ElementMissing as Unit, LeadingWhitespace as Space,
    XmlDeclarationMissing as NoXml,
};

/// Read by eye from the files. Each mass lacks a unit, which is one finding for each.
const TABLE: [Row; 9] = [
    (
        "Step1_TT_IM002a.XML",
        "7849431OU9IZ",
        "IMZ",
        "DM1234",
        "1804000000",
        "Cocoa Butter",
        Some(15_000),
        Some(10_000),
        55,
        "BR",
        Some(100_000),
        "GB553202734852",
        "GB603202734852",
        "US",
        &[Unit, Unit],
    ),
    (
        "Step1_TT_IM008a.xml",
        "U.7849431FLA2T",
        "IMA",
        "AD12345",
        "9306210000",
        "12 gauge shotgun",
        Some(110_000),
        Some(100_000),
        200,
        "CN",
        Some(100_000),
        "GB896458895015",
        "GB896458895015",
        "CN",
        &[Unit, Unit],
    ),
    (
        "TT_IM002a.xml",
        "TT_IM02a_EIDR_1511_004",
        "IMZ",
        "DM1234",
        "1804000000",
        "Cocoa Butter",
        Some(15_000),
        Some(10_000),
        55,
        "BR",
        Some(100_000),
        "GB553202734852",
        "GB603202734852",
        "US",
        &[NoXml, Unit, Unit],
    ),
    (
        "TT_IM004a.xml",
        "IM04_080721_001",
        "IMA",
        "AD12345",
        "1604204005",
        "Curried Fish Balls",
        Some(600_000),
        Some(500_000),
        250,
        "ME",
        Some(40_000),
        "GB553202734852",
        "GB553202734852",
        "ME",
        &[Bom, NoXml, Misplaced, Unit, Unit],
    ),
    (
        "TT_IM006a.xml",
        "R260_E2E_TC13_1506_02",
        "IMA",
        "AD12345",
        "0207129000",
        "Plucked and Drawn",
        Some(1_100_000),
        Some(1_000_000),
        10,
        "AR",
        Some(150_000),
        "GB553202734852",
        "GB603202734852",
        "AR",
        &[NoXml, Misplaced, Unit, Unit],
    ),
    (
        "TT_IM008b.xml",
        "R280_E2E_TC03_1803_003",
        "IMA",
        "AD12345",
        "9306210000",
        "12 gauge shotgun",
        Some(110_000),
        Some(100_000),
        200,
        "CN",
        Some(1_000_000),
        "GB896458895015",
        "GB896458895015",
        "CN",
        &[NoXml, Unit, Unit],
    ),
    (
        "TT_IM012a.xml",
        "TT_IM12a_2402_01",
        "IMD",
        "AD12345",
        "42021219",
        "Vanity case",
        Some(150_000),
        None,
        50,
        "US",
        None,
        "GB201909014000",
        "GB201909014000",
        "US",
        &[Space, NoXml, Unit],
    ),
    (
        "TT_IM014a.xml",
        "TT_IM14a_v2.1_2306_01",
        "IMY",
        "AD12345",
        "0703200000",
        "Israel origin fresh",
        Some(1_080_000),
        Some(1_000_000),
        10,
        "IL",
        None,
        "GB553202734852",
        "GB553202734852",
        "IL",
        &[NoXml, Unit, Unit],
    ),
    (
        "TT_IM016a.xml",
        "TT_IM16a_v1.3_06062023",
        "IMA",
        "AD12345",
        "8510900000",
        "ttimportdocblocking",
        Some(150_000),
        Some(100_000),
        80,
        "US",
        Some(100_000),
        "GB553202734852",
        "GB603202734852",
        "US",
        &[NoXml, Unit, Unit],
    ),
];

fn codes(declaration: &Declaration) -> Vec<FindingCode> {
    declaration.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn every_real_declaration_is_read_as_the_table_says() {
    for (
        file,
        lrn,
        kind,
        equipment,
        code,
        description,
        gross,
        net,
        packages,
        origin,
        amount,
        importer,
        declarant,
        dispatch,
        findings,
    ) in TABLE
    {
        let Some(bytes) = test_data::load(&format!("wco-dm/declarations/{file}")) else {
            continue;
        };
        let read = read(&bytes).unwrap_or_else(|error| panic!("{file}: {error:?}"));
        assert_eq!(read.model_version.as_deref(), Some("3.6"), "{file}");
        assert_eq!(read.local_reference.as_deref(), Some(lrn), "{file}");
        assert_eq!(read.kind.as_deref(), Some(kind), "{file}");
        assert_eq!(read.dispatch_country, dispatch, "{file}");
        let ids: Vec<&str> = read.equipment.iter().map(|equipment| equipment.id.as_str()).collect();
        assert_eq!(ids, [equipment], "{file}");
        assert_eq!(read.goods.len(), 1, "{file}");
        let item = &read.goods[0].item;
        assert_eq!(item.commodity_code, code, "{file}");
        assert!(
            item.description.starts_with(description),
            "{file}: {}",
            item.description
        );
        assert_eq!((item.gross_mass_g, item.net_mass_g), (gross, net), "{file}");
        assert_eq!(item.packages, Some(packages), "{file}");
        assert_eq!(item.origin, origin, "{file}");
        let money = item
            .amount
            .as_ref()
            .map(|amount| (amount.hundredths, amount.currency.as_str()));
        assert_eq!(money, amount.map(|hundredths| (hundredths, "GBP")), "{file}");
        let party = |role| read.parties.iter().find(|(r, _)| *r == role).map(|(_, id)| id.as_str());
        assert_eq!(party(PartyRole::Importer), Some(importer), "{file}");
        assert_eq!(party(PartyRole::Declarant), Some(declarant), "{file}");
        assert_eq!(codes(&read), findings, "{file}: {:?}", read.findings);
        let containers = read.containers(|| [7; 16]);
        assert_eq!(containers.len(), 1, "{file}");
        assert_eq!(containers[0].equipment.as_str(), equipment, "{file}");
        assert_eq!(containers[0].manifest.check(), Ok(()), "{file}");
        assert_eq!(containers[0].manifest.declared_mass_g(), gross, "{file}");
        assert!(
            containers[0]
                .findings
                .iter()
                .any(|f| f.code == FindingCode::EquipmentIdShape)
        );
    }
}

#[test]
fn every_file_of_the_folder_is_in_the_table() {
    for file in test_data::list("wco-dm/declarations") {
        let name = file.rsplit('/').next().unwrap();
        assert!(TABLE.iter().any(|row| row.0 == name), "{file} has no row");
    }
}

#[test]
fn transport_and_place_of_the_goods_are_read() {
    let Some(bytes) = test_data::load("wco-dm/declarations/TT_IM004a.xml") else {
        return;
    };
    let read = read(&bytes).unwrap();
    assert_eq!(read.arrival_transport, Some(("12345".to_owned(), "10".to_owned())));
    assert_eq!(read.goods_location.as_deref(), Some("CW1117770GB"));
    let exporter = read.parties.iter().find(|(role, _)| *role == PartyRole::Exporter);
    assert_eq!(exporter.unwrap().1, "US Trading Commodities Inc.");
}

#[test]
fn answers_of_customs_are_refused_as_answers() {
    let mut folders = test_data::list("wco-dm/notifications");
    folders.extend(test_data::list("wco-dm/notification-sequences/im008a"));
    for file in folders {
        let Some(bytes) = test_data::load(&file) else {
            continue;
        };
        let error = read(&bytes).unwrap_err();
        assert!(matches!(error, DeclarationError::Answer { .. }), "{file}: {error:?}");
    }
}

#[test]
fn a_real_file_cut_anywhere_is_refused_with_the_place_where_it_ends() {
    let Some(bytes) = test_data::load("wco-dm/declarations/TT_IM004a.xml") else {
        return;
    };
    let end = bytes.iter().rposition(|byte| *byte == b'>').unwrap();
    for cut in (1..end).step_by(97) {
        let error = read(&bytes[..cut]).unwrap_err();
        let truncated = matches!(&error, DeclarationError::Xml(XmlError::Truncated { place }) if place.offset <= cut);
        let nothing = matches!(&error, DeclarationError::Xml(XmlError::NoRoot)) && cut < 5;
        assert!(truncated || nothing, "cut at {cut}: {error:?}");
    }
}

/// A sound declaration of one container and one goods item.
const SOUND: &str = "<?xml version='1.0'?><MetaData xmlns='urn:wco:datamodel:WCO:DocumentMetaData-DMS:2'><WCODataModelVersionCode>3.6</WCODataModelVersionCode>\
    <WCOTypeName>DEC</WCOTypeName><Declaration><FunctionCode>9</FunctionCode><FunctionalReferenceID>L1</FunctionalReferenceID>\
    <TypeCode>IMA</TypeCode><GoodsItemQuantity>1</GoodsItemQuantity><TotalPackageQuantity>5</TotalPackageQuantity><Declarant><ID>D1</ID></Declarant>\
    <GoodsShipment><Consignment><ContainerCode>1</ContainerCode>\
    <TransportEquipment><ID>CBHU6192031</ID><Seal><ID>S1</ID></Seal></TransportEquipment></Consignment><ExportCountry><ID>US</ID></ExportCountry>\
    <GovernmentAgencyGoodsItem><SequenceNumeric>1</SequenceNumeric><Commodity><Description>Cocoa</Description>\
    <Classification><ID>18040000</ID><IdentificationTypeCode>TSP</IdentificationTypeCode></Classification>\
    <DangerousGoods><UNDGID>1203</UNDGID></DangerousGoods>\
    <GoodsMeasure><GrossMassMeasure unitCode='KGM'>15.5</GrossMassMeasure><NetNetWeightMeasure unitCode='TNE'>0.0102504</NetNetWeightMeasure></GoodsMeasure>\
    <InvoiceLine><ItemChargeAmount currencyID='EUR'>12.345</ItemChargeAmount></InvoiceLine></Commodity>\
    <Origin><CountryCode>BR</CountryCode></Origin><Packaging><QuantityQuantity>5</QuantityQuantity></Packaging>\
    </GovernmentAgencyGoodsItem></GoodsShipment></Declaration></MetaData>";

fn changed(from: &str, to: &str) -> Result<Declaration, DeclarationError> {
    assert!(SOUND.contains(from), "{from}");
    read(SOUND.replace(from, to).as_bytes())
}

#[test]
fn a_sound_declaration_has_no_findings_and_exact_numbers() {
    let read = read(SOUND.as_bytes()).unwrap();
    assert_eq!(codes(&read), []);
    let item = &read.goods[0].item;
    assert_eq!((item.gross_mass_g, item.net_mass_g), (Some(15_500), Some(10_250)));
    assert_eq!(
        item.amount,
        Some(Amount {
            hundredths: 1_235,
            currency: "EUR".to_owned()
        })
    );
    assert_eq!(item.dangerous_goods, Some(1_203));
    let container = &read.containers(|| [1; 16])[0];
    assert!(container.findings.is_empty());
    assert_eq!(container.manifest.seals, ["S1"]);
    let document = container.manifest.document.as_ref().unwrap();
    assert_eq!(document.digest, Digest::of(SOUND.as_bytes()));
    assert_eq!(
        (document.format.as_str(), document.reference.as_deref()),
        ("wco-dm/3.6", Some("L1"))
    );
}

#[test]
fn each_deviation_is_a_finding() {
    for (from, to, code) in [
        (
            " xmlns='urn:wco:datamodel:WCO:DocumentMetaData-DMS:2'",
            "",
            FindingCode::NamespaceUnexpected,
        ),
        ("<FunctionCode>9</FunctionCode>", "", FindingCode::ElementMissing),
        (
            "<FunctionalReferenceID>L1</FunctionalReferenceID>",
            "",
            FindingCode::ElementMissing,
        ),
        (
            "<GoodsItemQuantity>1<",
            "<GoodsItemQuantity>2<",
            FindingCode::CountDiffers,
        ),
        (
            "<GoodsItemQuantity>1<",
            "<GoodsItemQuantity>one<",
            FindingCode::CountDiffers,
        ),
        (
            "<TotalPackageQuantity>5<",
            "<TotalPackageQuantity>6<",
            FindingCode::CountDiffers,
        ),
        ("<ContainerCode>1<", "<ContainerCode>0<", FindingCode::NotContainerised),
        ("<ContainerCode>1<", "<ContainerCode>x<", FindingCode::ValueUnreadable),
        ("<ID>US</ID>", "<ID>ZZ</ID>", FindingCode::CountryUnknown),
        ("<CountryCode>BR<", "<CountryCode>Brazil<", FindingCode::CountryUnknown),
        (" unitCode='KGM'", "", FindingCode::ElementMissing),
        ("'KGM'", "'LBR'", FindingCode::ValueUnreadable),
        (">15.5<", ">-15.5<", FindingCode::ValueUnreadable),
        (">15.5<", ">9<", FindingCode::MassInconsistent),
        (">0.0102504<", ">0<", FindingCode::MassZero),
        ("<ID>18040000</ID>", "<ID>1804000</ID>", FindingCode::CommodityCodeOdd),
        ("<ID>18040000</ID>", "<ID>cocoa</ID>", FindingCode::CommodityCodeOdd),
        (">TSP<", ">XXX<", FindingCode::CommodityCodeOdd),
        ("'EUR'", "'euro'", FindingCode::ValueUnreadable),
        ("<UNDGID>1203<", "<UNDGID>petrol<", FindingCode::ValueUnreadable),
        ("<SequenceNumeric>1</SequenceNumeric>", "", FindingCode::ElementMissing),
    ] {
        let read = changed(from, to).unwrap_or_else(|error| panic!("{from} -> {to}: {error}"));
        assert_eq!(codes(&read), [code], "{from} -> {to}: {:?}", read.findings);
    }
}

#[test]
fn missing_masses_and_containers_are_findings() {
    let from = SOUND.find("<GoodsMeasure>").unwrap();
    let to = SOUND.find("<InvoiceLine>").unwrap();
    let read = read(format!("{}{}", &SOUND[..from], &SOUND[to..]).as_bytes()).unwrap();
    assert_eq!(codes(&read), [FindingCode::MassMissing]);
    let read = changed(
        "<TransportEquipment><ID>CBHU6192031</ID><Seal><ID>S1</ID></Seal></TransportEquipment>",
        "",
    )
    .unwrap();
    assert_eq!(codes(&read), [FindingCode::EquipmentMissing]);
    assert!(read.containers(|| [0; 16]).is_empty());
    let read = changed("CBHU6192031", "box no. 1 on the left").unwrap();
    assert_eq!(
        codes(&read),
        [FindingCode::ValueUnreadable, FindingCode::EquipmentMissing]
    );
}

#[test]
fn an_id_that_breaks_iso_6346_is_announced_with_a_finding() {
    let read = changed("CBHU6192031", "CBHU6192032").unwrap();
    assert_eq!(codes(&read), []);
    let container = &read.containers(|| [0; 16])[0];
    assert_eq!(container.findings[0].code, FindingCode::CheckDigitWrong);
}

#[test]
fn goods_go_to_the_container_they_name() {
    let second = "</Commodity><TransportEquipment/>";
    let read = changed(
        "</InvoiceLine></Commodity>",
        "</InvoiceLine><TransportEquipment><ID>TTNU4873285</ID></TransportEquipment></Commodity>",
    )
    .unwrap();
    assert!(!SOUND.contains(second));
    let containers = read.containers(|| [0; 16]);
    assert_eq!(containers.len(), 2);
    assert_eq!(containers[0].manifest.goods.len(), 0);
    assert_eq!(containers[1].equipment.as_str(), "TTNU4873285");
    assert_eq!(containers[1].manifest.declared_mass_g(), Some(15_500));
}

#[test]
fn goods_that_containers_share_keep_their_words_and_lose_their_masses() {
    let read = changed(
        "</Consignment>",
        "<TransportEquipment><ID>TTNU4873285</ID></TransportEquipment></Consignment>",
    )
    .unwrap();
    for container in read.containers(|| [0; 16]) {
        assert_eq!(container.findings.last().unwrap().code, FindingCode::SharedManifest);
        assert_eq!(container.manifest.goods[0].description, "Cocoa");
        assert_eq!(container.manifest.declared_mass_g(), None);
    }
}

#[test]
fn parties_are_salted_each_on_its_own() {
    let read = changed("<Declarant>", "<Exporter><Name>E</Name></Exporter><Declarant>").unwrap();
    let mut next = 0;
    let containers = read.containers(|| {
        next += 1;
        [next; 16]
    });
    let salts: Vec<_> = containers[0]
        .manifest
        .parties
        .iter()
        .map(|party| match &party.identity {
            Personal::Open { salt, .. } => salt[0],
            Personal::Sealed(_) => 0,
        })
        .collect();
    assert_eq!(salts, [1, 2]);
}

#[test]
fn over_long_texts_are_cut_and_noted() {
    let read = changed("Cocoa", &"ä".repeat(400)).unwrap();
    assert_eq!(read.goods[0].item.description, "ä".repeat(256));
    assert_eq!(codes(&read), [FindingCode::ValueUnreadable]);
}

#[test]
fn what_is_no_declaration_is_refused_with_the_reason() {
    for (text, words) in [
        (SOUND.replace("MetaData", "Invoice"), "Invoice"),
        (SOUND.replace(">DEC<", ">RES<"), "answer of customs"),
        (SOUND.replace("Declaration>", "Other>"), "MetaData/Declaration"),
        (
            SOUND.replace("<FunctionCode>9<", "<FunctionCode>13<"),
            "\"13\" is not 9",
        ),
        (
            SOUND.replace("GoodsShipment>", "Shipment>"),
            "Declaration/GoodsShipment",
        ),
        (
            SOUND.replace("GovernmentAgencyGoodsItem>", "Item>"),
            "GovernmentAgencyGoodsItem",
        ),
    ] {
        let error = read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn hostile_declarations_are_refused_quickly() {
    let start = Instant::now();
    let item = "<GovernmentAgencyGoodsItem/>";
    let many = SOUND.replace("</GoodsShipment>", &format!("{}</GoodsShipment>", item.repeat(100_000)));
    assert!(matches!(
        read(many.as_bytes()),
        Err(DeclarationError::Limit {
            what: "goods items",
            ..
        })
    ));
    let boxes: String = (0..10_000)
        .map(|i| format!("<TransportEquipment><ID>A{i}</ID></TransportEquipment>"))
        .collect();
    let many = SOUND.replace("</Consignment>", &format!("{boxes}</Consignment>"));
    assert!(matches!(
        read(many.as_bytes()),
        Err(DeclarationError::Limit { what: "containers", .. })
    ));
    for bytes in ["<a>".repeat(100_000).into_bytes(), vec![b' '; 50 << 20]] {
        assert!(matches!(read(&bytes), Err(DeclarationError::Xml(_))));
    }
    let items = SOUND.replace("</GoodsShipment>", &format!("{}</GoodsShipment>", item.repeat(900)));
    assert_eq!(read(items.as_bytes()).unwrap().findings.len(), FINDINGS_MAX);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
    }

    #[test]
    fn a_sound_declaration_with_one_part_replaced_never_panics(at in 0..SOUND.len(), len in 0_usize..40, text in r#"[ -~]{0,12}"#) {
        let end = (at + len).min(SOUND.len());
        let changed = format!("{}{text}{}", &SOUND[..at], &SOUND[end..]);
        if let Ok(read) = read(changed.as_bytes()) {
            for container in read.containers(|| [0; 16]) {
                prop_assert_eq!(container.manifest.check(), Ok(()));
            }
        }
    }
}

//! Documents that somebody made to do harm: whatever the bytes, a reader refuses them or reads them, in bounded time and
//! memory, and what it reads keeps its promises.
//!
//! A bounded run is part of the tests. A long one, with other cases each time:
//! `PORTCULLIS_FUZZ_CASES=1000000 PORTCULLIS_FUZZ_SEED=$RANDOM cargo test --release -p portcullis-detectors --test hostile_documents --test hostile_readings -- --nocapture`.
//! A failure names target, seed and case.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unreachable_pub, dead_code, reason = "the support modules are shared with benches")]

#[path = "support/allocator.rs"]
mod allocator;
#[path = "support/cases.rs"]
mod cases;
#[path = "../benches/support/documents.rs"]
mod documents;
#[path = "support/mutator.rs"]
mod mutator;
#[path = "../benches/support/noise.rs"]
mod noise;

use noise::Noise;
use portcullis_detectors::WEIGHT_CAP;
use portcullis_detectors::declaration;
use portcullis_detectors::manifest::{self, ManifestModels};
use portcullis_detectors::n42::{self, CHANNELS_MAX, N42Error, RadiationRecord, Spectra};
use portcullis_detectors::radiation::RadiationInterpreter;
use portcullis_detectors::risk::{
    Category, CategoryTable, DeclaredItem, Feature, Field, ModelParts, Node, PriceTable, RiskModel, Split, Tree,
    UsualPrice,
};
use portcullis_domain::codec::{from_bytes, to_bytes};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::ThreatFamily;
use portcullis_domain::finding::FindingCode;
use portcullis_domain::reading::RadiationSample;

/// Bytes of heap that reading a document may hold for each of its bytes: the tree of its elements above all, the smallest
/// of which has four bytes.
const HELD_BY_BYTE: usize = 64;
/// And besides.
const HELD: usize = 64 << 10;

fn records() -> Vec<Vec<u8>> {
    let mut noise = Noise(7);
    let mut all = Vec::new();
    for zeros_counted in [false, true] {
        all.push(documents::form_2006(&mut noise, 3, 2, 64, zeros_counted).into_bytes());
        all.push(documents::form_2012(&mut noise, 3, 2, 64, zeros_counted).into_bytes());
    }
    all
}

/// What holds for every record that was read.
fn check_record(record: &RadiationRecord) {
    assert!(!record.samples.is_empty() && record.samples.len() <= n42::SAMPLES_MAX);
    assert!(record.detectors.len() <= n42::DETECTORS_MAX);
    for share in record.samples.iter().flat_map(|sample| &sample.detectors) {
        let Some(spectrum) = &share.spectrum else { continue };
        assert!(spectrum.counts.len() <= CHANNELS_MAX);
        assert!(spectrum.calibration_kev.iter().all(|term| term.is_finite()));
    }
    let mut interpreter = RadiationInterpreter::new(None, record.samples.len());
    for sample in record.samples.iter().take(300).cloned() {
        interpreter.push(&RadiationSample::from(sample));
    }
    let weight = interpreter.finish().weights.of(ThreatFamily::Nuclear);
    assert!(weight.abs() <= WEIGHT_CAP);
}

#[test]
fn radiation_records_are_read_or_refused() {
    let sound = records();
    let (mut read, mut refused) = (0_u32, 0_u32);
    cases::run("n42", 1, |noise| {
        let mut bytes = sound[noise.below(sound.len())].clone();
        let other = &sound[noise.below(sound.len())];
        mutator::text(noise, &mut bytes, other);
        // A run of zeros of a few bytes stands for as many channels as a spectrum may have.
        let spectra = bytes.windows(8).filter(|window| window == b"<Spectru").count();
        let allowed = HELD + HELD_BY_BYTE * bytes.len() + (spectra + 1) * 8 * CHANNELS_MAX;
        let kept = n42::read(&bytes);
        let summed = n42::read_with(&bytes, Spectra::SumOnly);
        match (&kept, &summed) {
            (Ok(kept), Ok(summed)) => {
                read += 1;
                check_record(kept);
                assert_eq!(kept.findings, summed.findings);
            }
            (Err(kept), Err(summed)) => {
                refused += 1;
                assert_eq!(kept, summed);
                assert!(kept.to_string().len() < 1_000, "{kept}");
            }
            _ => panic!("kept {kept:?}, summed {summed:?}"),
        }
        allowed
    });
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}

#[test]
fn counts_and_times_that_cannot_be_never_become_counts() {
    let sound = String::from_utf8(records().swap_remove(0)).unwrap();
    let data = sound.find("<ChannelData>").unwrap() + "<ChannelData>".len();
    for value in ["-1", "NaN", "inf", "-inf", "1e99", "4294967296", "0x10", "1;", "--"] {
        let text = format!("{}{value} {}", &sound[..data], &sound[data..]);
        let error = n42::read(text.as_bytes()).unwrap_err();
        assert!(matches!(error, N42Error::Value { .. }), "{value}: {error}");
    }
    for time in [
        "PT-1S",
        "-PT1S",
        "PTNaNS",
        "PTinfS",
        "1",
        "PT1e3S",
        "PT99999999999999999999S",
    ] {
        let text = sound.replacen("PT0.245S", time, 1);
        assert_ne!(text, sound);
        let error = n42::read(text.as_bytes()).unwrap_err();
        assert!(matches!(error, N42Error::Value { .. }), "{time}: {error}");
    }
    for energy in ["NaN 1 0", "inf 1 0", "0 x 0", ""] {
        let text = sound.replace("0.1 0.1875 0", energy);
        let record = n42::read(text.as_bytes()).unwrap();
        let shares = || record.samples.iter().flat_map(|sample| &sample.detectors);
        assert!(shares().all(|share| share.spectrum.as_ref().unwrap().calibration_kev.is_empty()));
        assert!(
            record
                .findings
                .iter()
                .any(|finding| finding.code == FindingCode::CalibrationOdd)
        );
    }
}

const DECLARATION: &str = "<?xml version='1.0'?><MetaData xmlns='urn:wco:datamodel:WCO:DocumentMetaData-DMS:2'><WCODataModelVersionCode>3.6</WCODataModelVersionCode>\
    <WCOTypeName>DEC</WCOTypeName><Declaration><FunctionCode>9</FunctionCode><FunctionalReferenceID>L1</FunctionalReferenceID>\
    <TypeCode>IMA</TypeCode><GoodsItemQuantity>1</GoodsItemQuantity><TotalPackageQuantity>5</TotalPackageQuantity><Declarant><ID>D1</ID></Declarant>\
    <GoodsShipment><Consignment><ContainerCode>1</ContainerCode>\
    <TransportEquipment><ID>CBHU6192031</ID><Seal><ID>S1</ID></Seal></TransportEquipment></Consignment><ExportCountry><ID>US</ID></ExportCountry>\
    <GovernmentAgencyGoodsItem><SequenceNumeric>1</SequenceNumeric><Commodity><Description>Cocoa &amp; more</Description>\
    <Classification><ID>18040000</ID><IdentificationTypeCode>TSP</IdentificationTypeCode></Classification>\
    <DangerousGoods><UNDGID>1203</UNDGID></DangerousGoods>\
    <GoodsMeasure><GrossMassMeasure unitCode='KGM'>15.5</GrossMassMeasure><NetNetWeightMeasure unitCode='TNE'>0.0102504</NetNetWeightMeasure></GoodsMeasure>\
    <InvoiceLine><ItemChargeAmount currencyID='EUR'>12.345</ItemChargeAmount></InvoiceLine></Commodity>\
    <Origin><CountryCode>BR</CountryCode></Origin><Packaging><QuantityQuantity>5</QuantityQuantity></Packaging>\
    </GovernmentAgencyGoodsItem></GoodsShipment></Declaration></MetaData>";

#[test]
fn declarations_are_read_or_refused() {
    let other = records().swap_remove(0);
    let equipment = EquipmentId::new("CBHU6192031").unwrap();
    let (mut read, mut refused) = (0_u32, 0_u32);
    cases::run("declaration", 1, |noise| {
        let mut bytes = DECLARATION.as_bytes().to_vec();
        mutator::text(noise, &mut bytes, &other);
        match declaration::read(&bytes) {
            Ok(declared) => {
                read += 1;
                for container in declared.containers(|| [7; 16]) {
                    let result = manifest::interpret(&container.manifest, &equipment, &ManifestModels::none());
                    assert!(result.weights.0.iter().all(|weight| weight.abs() <= WEIGHT_CAP));
                }
            }
            Err(error) => {
                refused += 1;
                assert!(error.to_string().len() < 1_000, "{error}");
            }
        }
        HELD + HELD_BY_BYTE * bytes.len()
    });
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}

fn model() -> RiskModel {
    let category = |key: &str, odds| Category {
        key: key.to_owned(),
        odds,
        critical_odds: odds - 10_000,
        count: 40,
    };
    let leaf = |value| Node { value, split: None };
    let split = |value, feature, left, right| Node {
        value,
        split: Some(Split {
            feature,
            threshold: -1_000,
            left,
            right,
        }),
    };
    RiskModel::new(ModelParts {
        prior: -6_000,
        name: "by hand".to_owned(),
        categories: vec![CategoryTable {
            fields: vec![Field::Origin],
            prior: -6_000,
            critical_prior: -20_000,
            categories: vec![category("BE", -9_000), category("CN", 2_000)],
        }],
        prices: vec![PriceTable {
            fields: vec![Field::Hs6, Field::Origin],
            otherwise: 500,
            prices: vec![UsualPrice {
                key: "180400BR".to_owned(),
                median: 700,
            }],
        }],
        features: vec![
            Feature::Odds(0),
            Feature::Unseen(0),
            Feature::Price,
            Feature::Overprice(0),
        ],
        bias: -5_500,
        trees: vec![Tree {
            nodes: vec![
                split(0, 0, 1, 2),
                split(-700, 3, 3, 4),
                leaf(1_200),
                leaf(-900),
                leaf(400),
            ],
        }],
    })
    .unwrap()
}

#[test]
fn risk_models_are_read_or_refused() {
    let sound = to_bytes(&model());
    let item = DeclaredItem {
        origin: "CN".to_owned(),
        price: u64::MAX,
        ..DeclaredItem::default()
    };
    let (mut read, mut refused) = (0_u32, 0_u32);
    cases::run("risk model", 1, |noise| {
        let mut bytes = sound.clone();
        for _ in 0..=noise.below(3) {
            mutator::binary(noise, &mut bytes, &sound);
        }
        match from_bytes::<RiskModel>(&bytes) {
            Ok(model) => {
                read += 1;
                assert_eq!(to_bytes(&model), bytes, "other bytes for the same model");
                let score = model.score(&item);
                let sum: i32 = score.contributions.iter().sum();
                assert_eq!(score.total, score.bias + sum);
            }
            Err(_) => refused += 1,
        }
        HELD + HELD_BY_BYTE * bytes.len()
    });
    assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
}

//! One line of a file of outcomes, checked.

use std::collections::BTreeMap;

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::{
    Ability, Evidence, Modality, Noted, ReadingRange, Step, ThreatFamily, WEIGHT_LIMIT, Weights,
};
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::id::{DeviceId, Digest, SampleNo, Timestamp};
use portcullis_domain::manifest::{GoodsItem, Manifest};
use serde::Deserialize;

/// Field and reason.
type Refused = (String, String);

/// The most pieces of evidence of one container.
const EVIDENCE_MAX: usize = 64;
/// The most goods items of one container.
const GOODS_MAX: usize = 999;
/// A container that is picked less often than once in a million stands for more than a port has.
const PROBABILITY_MIN: f64 = 1e-6;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    container: String,
    #[serde(default)]
    at_ms: u64,
    selection: Selection,
    sampling_probability: f64,
    content: Vec<String>,
    #[serde(default)]
    empty: bool,
    #[serde(default)]
    commodity_codes: Vec<String>,
    evidence: Vec<Piece>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Selection {
    Random,
    Targeted,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Piece {
    modality: String,
    ability: String,
    weights: BTreeMap<String, i64>,
    sample: Option<u32>,
    #[serde(default)]
    findings: Vec<String>,
}

/// A container whose truth was found out.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub(super) container: String,
    pub(super) at: Timestamp,
    /// Picked by lot, whatever was known about it.
    pub(super) random: bool,
    /// The chance with which the truth of a container like this one was found out: above 0, at most 1.
    pub(super) sampling_probability: f64,
    /// What was inside, each family once.
    pub(super) content: Vec<ThreatFamily>,
    pub(super) manifest: Manifest,
    pub(super) evidence: Vec<Evidence>,
}

impl Outcome {
    /// Reads a line.
    pub(super) fn parse(line: &[u8]) -> Result<Self, Refused> {
        // What is missing or unknown is named in the message; "" is the line itself.
        let line: Line = serde_json::from_slice(line).map_err(|error| (String::new(), error.to_string()))?;
        let container = EquipmentId::new(&line.container).map_err(|error| refused("container", error.to_string()))?;
        let probability = line.sampling_probability;
        if !(PROBABILITY_MIN..=1.0).contains(&probability) {
            return Err(refused(
                "sampling_probability",
                format!(
                    "{probability} is not between {PROBABILITY_MIN} and 1; it is the chance with which such a container was opened"
                ),
            ));
        }
        let mut content = Vec::new();
        for (index, word) in line.content.iter().enumerate() {
            let field = format!("content[{index}]");
            let family = family(&field, word)?;
            if content.contains(&family) {
                return Err(refused(field, format!("{family} is there already; give each once")));
            }
            content.push(family);
        }
        if line.commodity_codes.len() > GOODS_MAX {
            return Err(refused("commodity_codes", format!("there are more than {GOODS_MAX}")));
        }
        if line.evidence.len() > EVIDENCE_MAX {
            return Err(refused(
                "evidence",
                format!("there are more than {EVIDENCE_MAX} pieces"),
            ));
        }
        let at = Timestamp(line.at_ms);
        let evidence = line
            .evidence
            .into_iter()
            .enumerate()
            .map(|(index, piece)| evidence(&format!("evidence[{index}]"), piece, at))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            container: container.as_str().to_owned(),
            at,
            random: line.selection == Selection::Random,
            sampling_probability: probability,
            content,
            manifest: manifest(line.empty, line.commodity_codes),
            evidence,
        })
    }
}

/// What requirements and their scopes look at.
fn manifest(empty: bool, commodity_codes: Vec<String>) -> Manifest {
    Manifest {
        empty,
        goods: commodity_codes
            .into_iter()
            .zip(1..)
            .map(|(commodity_code, sequence)| GoodsItem {
                sequence,
                commodity_code,
                ..GoodsItem::default()
            })
            .collect(),
        ..Manifest::default()
    }
}

fn evidence(path: &str, piece: Piece, at: Timestamp) -> Result<Evidence, Refused> {
    let field = |name: &str| format!("{path}.{name}");
    let modality: Modality = piece
        .modality
        .parse()
        .map_err(|error: portcullis_domain::id::InvalidId| refused(field("modality"), error.to_string()))?;
    let known = [Ability::Clear, Ability::Degraded, Ability::Shielded];
    let ability = known
        .into_iter()
        .find(|ability| ability.as_str() == piece.ability)
        .ok_or_else(|| {
            refused(
                field("ability"),
                format!("{:?} is none of clear, degraded, shielded", piece.ability),
            )
        })?;
    let mut weights = Weights::ZERO;
    for (word, value) in &piece.weights {
        let field = field(&format!("weights.{word}"));
        let family = family(&field, word)?;
        let weight = i32::try_from(*value)
            .ok()
            .filter(|weight| weight.unsigned_abs() <= WEIGHT_LIMIT.unsigned_abs())
            .ok_or_else(|| refused(field, format!("{value} is beyond {WEIGHT_LIMIT} milli-decibans")))?;
        weights = weights.with(family, weight);
    }
    // What is declared is known before the pass.
    let manifest = modality == Modality::Manifest;
    let sample = SampleNo(piece.sample.unwrap_or(u32::from(!manifest)));
    let findings = piece
        .findings
        .iter()
        .enumerate()
        .map(|(index, word)| {
            let code: FindingCode = word.parse().map_err(|error: portcullis_domain::id::InvalidId| {
                refused(field(&format!("findings[{index}]")), error.to_string())
            })?;
            Ok(Noted {
                sample,
                finding: Finding::new(code, "", ""),
            })
        })
        .collect::<Result<Vec<_>, Refused>>()?;
    let readings = DeviceId::new(modality.as_str()).ok().filter(|_| !manifest);
    let evidence = Evidence {
        modality,
        readings: readings.map(|device| ReadingRange {
            device,
            boot: 1,
            first: 1,
            last: 1,
        }),
        // The file does not bring the readings along.
        digest: Digest([0; 32]),
        interpreter: "outcomes/1".to_owned(),
        captured_at: at,
        findings,
        steps: vec![Step {
            sample,
            ability,
            weights,
        }],
    };
    evidence.check().map_err(|error| refused(path, error.to_string()))?;
    Ok(evidence)
}

fn family(field: &str, word: &str) -> Result<ThreatFamily, Refused> {
    ThreatFamily::ALL
        .into_iter()
        .find(|family| family.as_str() == word)
        .ok_or_else(|| {
            let known = ThreatFamily::ALL.map(ThreatFamily::as_str).join(", ");
            refused(field, format!("{word:?} is no family; known are {known}"))
        })
}

fn refused(field: impl Into<String>, why: impl Into<String>) -> Refused {
    (field.into(), why.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = r#"{"container":"CBHU6192031","at_ms":5,"selection":"random","sampling_probability":0.01,
        "content":["narcotics"],"empty":false,"commodity_codes":["180400"],"evidence":[
        {"modality":"manifest","ability":"clear","weights":{"undeclared":-1000}},
        {"modality":"ocr","ability":"degraded","sample":2,"weights":{},"findings":["OCR_MISMATCH"]}]}"#;

    #[test]
    fn a_line_is_read_with_all_it_says() {
        let outcome = Outcome::parse(GOOD.as_bytes()).unwrap();
        assert_eq!(outcome.content, [ThreatFamily::Narcotics]);
        assert_eq!(outcome.evidence[0].steps[0].sample, SampleNo(0));
        assert_eq!(
            outcome.evidence[0].steps[0].weights.of(ThreatFamily::Undeclared),
            -1_000
        );
        assert_eq!(outcome.evidence[1].findings[0].finding.code, FindingCode::OcrMismatch);
        assert_eq!(outcome.manifest.goods[0].commodity_code, "180400");
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_field() {
        for (from, to, field) in [
            ("CBHU6192031", "CBHU,", "container"),
            (":0.01", ":0", "sampling_probability"),
            (":0.01", ":1.5", "sampling_probability"),
            (":0.01", ":-1e-9", "sampling_probability"),
            ("\"narcotics\"", "\"drugs\"", "content[0]"),
            ("[\"narcotics\"]", "[\"people\",\"people\"]", "content[1]"),
            ("\"ocr\"", "\"sniffer\"", "evidence[1].modality"),
            ("\"degraded\"", "\"dim\"", "evidence[1].ability"),
            ("-1000", "70001", "evidence[0].weights.undeclared"),
            ("-1000", "-9223372036854775808", "evidence[0].weights.undeclared"),
            ("\"undeclared\":", "\"tax\":", "evidence[0].weights.tax"),
            ("OCR_MISMATCH", "OCR", "evidence[1].findings[0]"),
            ("\"random\"", "\"chosen\"", ""),
            ("\"at_ms\"", "\"at\"", ""),
            ("-1000", "-1000.5", ""),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let spoiled = GOOD.replacen(from, to, 1);
            let (found, why) = Outcome::parse(spoiled.as_bytes()).unwrap_err();
            assert_eq!(found, field, "{to}: {why}");
            assert!(!why.is_empty());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..400_usize) {
            let _ = Outcome::parse(&bytes);
            let _ = Outcome::parse(GOOD.as_bytes().get(..cut).unwrap_or_default());
        }
    }
}

//! `portcullis policy outcomes`: what inspections found, joined with the evidence that the decision log has of them.
//!
//! The log knows what every source said and what officers ruled, but not what was inside and with which chance a container was
//! picked. A list of exams says that; together they are a file that `policy learn --outcomes` reads.

use std::io::Write as _;
use std::path::Path;

use portcullis_learning::policy::outcomes::check_line;
use portcullis_proto::v1;
use portcullis_proto::v1::get_inspection_request::Target;
use serde_json::{Map, Value, json};

use crate::cli::client::Cluster;
use crate::cli::failure::{Exit, Failure};
use crate::cli::inspection::get;
use crate::cli::output::{Output, facts};
use crate::cli::words;

/// What a line of the list of exams says; the rest comes from the log.
const LISTED: [&str; 4] = ["inspection", "selection", "sampling_probability", "content"];

/// Writes one line for each line of the list.
pub(super) async fn write(cluster: &Cluster, output: &mut Output, exams: &Path, to: &Path) -> Result<Exit, Failure> {
    let named = |file: &Path, what: String| Failure::new(Exit::Error, what).field(file.display().to_string());
    let text = std::fs::read_to_string(exams).map_err(|error| named(exams, format!("cannot be read: {error}")))?;
    // A file half written is not left in the place of a whole one.
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))
        .map_err(|error| named(to, format!("cannot be written: {error}")))?;
    let mut written = 0_usize;
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let refused = |what: String| named(exams, format!("line {number}: {what}"));
        let (inspection, listed) = listed(line).map_err(refused)?;
        let answer = get(cluster, Target::Inspection(inspection), v1::InspectionView::Full).await?;
        let joined = join(listed, &answer.inspection.unwrap_or_default())
            .map_err(refused)?
            .to_string();
        check_line(joined.as_bytes()).map_err(|(field, why)| refused(format!("field {field}: {why}")))?;
        writeln!(file, "{joined}").map_err(|error| named(to, format!("cannot be written: {error}")))?;
        written += 1;
    }
    file.persist(to)
        .map_err(|error| named(to, format!("cannot be written: {error}")))?;
    output.document(
        || json!({ "outcomes": to, "containers": written }),
        |_| {
            facts(&[
                ("outcomes", to.display().to_string()),
                ("containers", written.to_string()),
            ])
        },
    )?;
    Ok(Exit::Ok)
}

/// The inspection of a line, and what else it says.
fn listed(line: &str) -> Result<(u64, Map<String, Value>), String> {
    let value: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let Value::Object(mut fields) = value else {
        return Err(format!("give an object with {}", LISTED.join(", ")));
    };
    if let Some(unknown) = fields.keys().find(|key| !LISTED.contains(&key.as_str())) {
        return Err(format!("field {unknown}: unknown; known are {}", LISTED.join(", ")));
    }
    let inspection = fields.remove("inspection").and_then(|number| number.as_u64());
    let inspection = inspection.ok_or("field inspection: give its number, such as 41")?;
    Ok((inspection, fields))
}

/// What was found, with what the log has about the container: the manifest's evidence and that of the last pass.
fn join(mut line: Map<String, Value>, inspection: &v1::Inspection) -> Result<Value, String> {
    let Some(conclusion) = &inspection.conclusion else {
        return Err(format!(
            "insp-{} has no conclusion yet, so its evidence is not complete",
            inspection.number
        ));
    };
    let manifest = inspection.manifest.clone().unwrap_or_default();
    let codes: Vec<String> = manifest.goods.into_iter().map(|item| item.commodity_code).collect();
    let last = inspection.evidence.iter().map(|one| one.pass).max().unwrap_or(0);
    let evidence: Vec<Value> = inspection
        .evidence
        .iter()
        .filter(|one| one.pass == 0 || one.pass == last)
        .filter_map(piece)
        .collect();
    line.insert("container".to_owned(), json!(inspection.equipment_id));
    line.insert("at_ms".to_owned(), json!(conclusion.concluded_at_ms));
    line.insert("empty".to_owned(), json!(manifest.empty));
    line.insert("commodity_codes".to_owned(), json!(codes));
    line.insert("evidence".to_owned(), json!(evidence));
    Ok(Value::Object(line))
}

fn piece(evidence: &v1::Evidence) -> Option<Value> {
    let total = evidence.total.as_ref()?;
    let weights = total.weights.unwrap_or_default();
    let findings: Vec<&str> = evidence
        .findings
        .iter()
        .filter_map(|noted| Some(noted.finding.as_ref()?.code.as_str()))
        .collect();
    Some(json!({
        "modality": words::modality(evidence.modality),
        "ability": words::ability(total.ability),
        "sample": total.sample,
        "weights": {
            "narcotics": weights.narcotics, "explosives": weights.explosives, "nuclear": weights.nuclear,
            "weapons": weights.weapons, "people": weights.people, "undeclared": weights.undeclared,
        },
        "findings": findings,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected() -> v1::Inspection {
        let piece = |modality: v1::Modality, pass, narcotics| v1::Evidence {
            pass,
            modality: modality as i32,
            total: Some(v1::EvidenceStep {
                sample: pass * 7,
                ability: v1::Ability::Clear as i32,
                weights: Some(v1::MilliDecibans {
                    narcotics,
                    ..v1::MilliDecibans::default()
                }),
            }),
            findings: vec![v1::NotedFinding {
                sample: 0,
                finding: Some(v1::Finding {
                    code: "OCR_UNCERTAIN".to_owned(),
                    ..v1::Finding::default()
                }),
            }],
            ..v1::Evidence::default()
        };
        v1::Inspection {
            number: 41,
            equipment_id: "CBHU6192031".to_owned(),
            conclusion: Some(v1::Conclusion {
                concluded_at_ms: 5,
                ..v1::Conclusion::default()
            }),
            evidence: vec![
                piece(v1::Modality::Manifest, 0, 100),
                piece(v1::Modality::Ocr, 1, 200),
                piece(v1::Modality::Ocr, 2, 300),
            ],
            ..v1::Inspection::default()
        }
    }

    const LINE: &str = r#"{"inspection":41,"selection":"random","sampling_probability":0.01,"content":["narcotics"]}"#;

    #[test]
    fn a_line_and_the_log_make_an_outcome_of_the_last_pass() {
        let (number, fields) = listed(LINE).unwrap();
        assert_eq!(number, 41);
        let line = join(fields, &inspected()).unwrap();
        check_line(line.to_string().as_bytes()).unwrap();
        assert_eq!(line["container"], "CBHU6192031");
        assert_eq!(line["evidence"].as_array().unwrap().len(), 2);
        assert_eq!(line["evidence"][1]["weights"]["narcotics"], 300);
        assert_eq!(line["evidence"][1]["sample"], 14);
        assert_eq!(line["evidence"][0]["modality"], "manifest");
    }

    #[test]
    fn a_list_that_says_too_little_or_too_much_is_refused_with_its_field() {
        for (line, word) in [
            ("[]", "object"),
            ("{", "EOF"),
            (r#"{"selection":"random"}"#, "inspection"),
            (r#"{"inspection":"insp-41"}"#, "inspection"),
            (r#"{"inspection":41,"verdict":"guilty"}"#, "verdict"),
        ] {
            assert!(listed(line).unwrap_err().contains(word), "{line}");
        }
        let (_, fields) = listed(r#"{"inspection":41,"content":[]}"#).unwrap();
        let line = join(fields, &inspected()).unwrap();
        assert!(
            check_line(line.to_string().as_bytes())
                .unwrap_err()
                .1
                .contains("selection")
        );
        let unfinished = v1::Inspection {
            conclusion: None,
            ..inspected()
        };
        assert!(join(Map::new(), &unfinished).unwrap_err().contains("no conclusion"));
    }
}

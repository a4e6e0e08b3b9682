//! `portcullis inspection show`: everything about one inspection, and the sum behind its conclusion.

mod why;

use portcullis_domain::explanation::decibans;
use portcullis_proto::v1;

use super::cluster::short;
use super::output::{facts, or_dash, section, table};
use super::utc::utc;
use super::words;

/// The most characters of an event's details in a line of the timeline.
const DETAIL_MAX: usize = 90;

/// The whole case as text.
pub(super) fn text(answer: &v1::GetInspectionResponse, width: Option<u16>) -> String {
    let inspection = answer.inspection.clone().unwrap_or_default();
    // What is indented has two columns less.
    let inner = width.map(|width| width.saturating_sub(2));
    [
        header(&inspection),
        section("Why", &why::text(&inspection, inner)),
        section("Goods", &goods(&inspection, inner)),
        section(
            "Findings about id, document and course of events",
            &findings(&inspection.findings, inner),
        ),
        section("Timeline", &timeline(&answer.timeline, inner)),
        section("Evidence", &evidence(&inspection.evidence, inner)),
        section(
            "Findings about the evidence",
            &evidence_findings(&inspection.evidence, inner),
        ),
        section(
            "Sum of weights, dB (prior + what each source adds = score)",
            &sums(&inspection, inner),
        ),
        section("Conclusion", &conclusion(&inspection)),
        section("Adjudications", &adjudications(&inspection.adjudications, inner)),
    ]
    .concat()
}

fn header(inspection: &v1::Inspection) -> String {
    let manifest = inspection.manifest.clone().unwrap_or_default();
    let document = manifest.document.map(|document| {
        let reference = document
            .reference
            .map(|reference| format!(", reference {reference}"))
            .unwrap_or_default();
        format!(
            "{}, sha256 {}{reference}",
            document.format,
            hex::encode(&document.sha256)
        )
    });
    let lane = inspection
        .lane
        .map(|lane| format!(" at lane-{lane}"))
        .unwrap_or_default();
    let others = match inspection.other_sources.as_slice() {
        [] => String::new(),
        others => format!(", also by {}", others.join(", ")),
    };
    let passes = match inspection.passes {
        0 => String::new(),
        passes => format!(
            "{passes}{}",
            if inspection.pass_complete {
                ", the last one complete"
            } else {
                ""
            }
        ),
    };
    let mass = manifest.gross_mass_g.map(kilograms).unwrap_or_default();
    let facts = facts(&[
        ("stage", format!("{}{lane}", words::stage(inspection.stage))),
        ("terminal", inspection.terminal.clone()),
        (
            "announced",
            format!("{} by {}{others}", utc(inspection.announced_at_ms), inspection.source),
        ),
        ("ready", utc(inspection.ready_at_ms)),
        ("due", inspection.due_at_ms.map(utc).unwrap_or_default()),
        ("departed", inspection.departed_at_ms.map(utc).unwrap_or_default()),
        ("priority", inspection.priority.to_string()),
        ("passes", passes),
        ("document", document.unwrap_or_default()),
        ("size, type", manifest.size_type),
        ("declared", mass),
        ("empty", if manifest.empty { "said to be" } else { "" }.to_owned()),
        ("from", manifest.dispatch_country),
        ("seals", manifest.seals.join(", ")),
    ]);
    format!(
        "{} (insp-{})\n{facts}\n",
        super::failure::plain(&inspection.equipment_id),
        inspection.number
    )
}

fn goods(inspection: &v1::Inspection, width: Option<u16>) -> String {
    let rows: Vec<Vec<String>> = inspection
        .manifest
        .iter()
        .flat_map(|manifest| &manifest.goods)
        .map(|item| {
            vec![
                item.sequence.to_string(),
                item.commodity_code.clone(),
                item.description.clone(),
                or_dash(item.gross_mass_g.map(kilograms)),
                or_dash(item.net_mass_g.map(kilograms)),
                or_dash(item.packages),
                item.origin.clone(),
                item.dangerous_goods
                    .map(|number| format!("UN {number:04}"))
                    .unwrap_or_default(),
            ]
        })
        .collect();
    some_table(
        &[
            "#",
            "CODE",
            "DESCRIPTION",
            "GROSS",
            "NET",
            "PACKAGES",
            "ORIGIN",
            "DANGEROUS",
        ],
        rows,
        &[0, 3, 4, 5],
        width,
    )
}

fn findings(findings: &[v1::Finding], width: Option<u16>) -> String {
    let rows = findings
        .iter()
        .map(|finding| {
            vec![
                finding.code.clone(),
                finding.field.clone(),
                finding.detail.clone(),
                finding.meaning.clone(),
            ]
        })
        .collect();
    some_table(&["FINDING", "WHERE", "WHAT", "MEANING"], rows, &[], width)
}

fn timeline(events: &[v1::Event], width: Option<u16>) -> String {
    let rows = events
        .iter()
        .map(|event| {
            let actor = event.actor.as_ref().map(|actor| actor.text.clone()).unwrap_or_default();
            vec![
                event.entry.to_string(),
                utc(event.at_ms),
                event.kind.clone(),
                actor,
                detail(event),
            ]
        })
        .collect();
    some_table(&["ENTRY", "TIME", "EVENT", "BY", "DETAIL"], rows, &[0], width)
}

/// What else an event says, in a line: its plain values, without what stands in other columns and without
/// digests; of a list, how long it is.
pub(super) fn detail(event: &v1::Event) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::from_str(&event.detail_json) else {
        return String::new();
    };
    let mut words: Vec<String> = event.lane.map(|lane| format!("lane-{lane}")).into_iter().collect();
    for (name, value) in &fields {
        let value = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Number(number) => number.to_string(),
            serde_json::Value::Bool(value) => value.to_string(),
            serde_json::Value::Array(items) if !items.is_empty() => items.len().to_string(),
            serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => continue,
        };
        let elsewhere = matches!(name.as_str(), "inspection" | "lane" | "equipment_id");
        if !elsewhere && !name.ends_with("_sha256") {
            words.push(format!("{name}={value}"));
        }
    }
    let text = words.join(" ");
    match text.char_indices().nth(DETAIL_MAX) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn evidence(evidence: &[v1::Evidence], width: Option<u16>) -> String {
    let rows = evidence
        .iter()
        .enumerate()
        .map(|(index, one)| {
            let total = one.total.unwrap_or_default();
            let source = one.readings.as_ref().map_or_else(
                || words::modality(one.modality),
                |range| format!("{} {}..{}", range.device, range.first, range.last),
            );
            vec![
                index.to_string(),
                one.entry.to_string(),
                one.pass.to_string(),
                words::modality(one.modality),
                source,
                words::ability(total.ability),
                total.sample.to_string(),
                one.findings.len().to_string(),
                one.interpreter.clone(),
                utc(one.captured_at_ms),
                short(&one.digest),
            ]
        })
        .collect();
    let headers = [
        "#",
        "ENTRY",
        "PASS",
        "MODALITY",
        "SOURCE, READINGS",
        "SAW",
        "LAST NEWS",
        "FINDINGS",
        "INTERPRETER",
        "CAPTURED",
        "DIGEST",
    ];
    some_table(&headers, rows, &[0, 1, 2, 6, 7], width)
}

fn evidence_findings(evidence: &[v1::Evidence], width: Option<u16>) -> String {
    let rows = evidence
        .iter()
        .enumerate()
        .flat_map(|(index, one)| {
            one.findings.iter().map(move |noted| {
                let finding = noted.finding.clone().unwrap_or_default();
                vec![
                    index.to_string(),
                    noted.sample.to_string(),
                    finding.code,
                    finding.field,
                    finding.detail,
                    finding.meaning,
                ]
            })
        })
        .collect();
    some_table(
        &["#", "FROM SAMPLE", "FINDING", "WHERE", "WHAT", "MEANING"],
        rows,
        &[0, 1],
        width,
    )
}

/// One row a family, one column a source. The same source twice in one sum has two columns.
fn sums(inspection: &v1::Inspection, width: Option<u16>) -> String {
    let Some(explanation) = &inspection.explanation else {
        return String::new();
    };
    let mut columns: Vec<(String, usize)> = Vec::new();
    for family in &explanation.families {
        for column in numbered(&family.contributions).map(|(column, _)| column) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
    }
    let sources: Vec<String> = columns
        .iter()
        .map(|(source, time)| {
            if *time == 0 {
                source.clone()
            } else {
                format!("{source} ({})", time + 1)
            }
        })
        .collect();
    let mut headers = vec!["FAMILY", "PRIOR"];
    headers.extend(sources.iter().map(String::as_str));
    headers.extend(["= SCORE", "PROBABILITY", "REVIEW AT", "EXAM AT", ""]);
    let rows = explanation
        .families
        .iter()
        .map(|family| {
            let adds: Vec<_> = numbered(&family.contributions).collect();
            let mut row = vec![
                words::family(family.family),
                decibans(i64::from(family.prior_milli_decibans)),
            ];
            row.extend(columns.iter().map(|column| {
                let found = adds.iter().find(|(known, _)| known == column);
                found.map_or_else(|| "-".to_owned(), |(_, adds)| signed(*adds))
            }));
            row.extend([
                decibans(i64::from(family.score_milli_decibans)),
                percent(family.probability_ppm),
                decibans(i64::from(family.review_milli_decibans)),
                decibans(i64::from(family.exam_milli_decibans)),
                if adds_up(family) { "adds up" } else { "DOES NOT ADD UP" }.to_owned(),
            ]);
            row
        })
        .collect();
    let right: Vec<usize> = (1..headers.len() - 1).collect();
    some_table(&headers, rows, &right, width)
}

/// Contributions with their source and how many times it occurred before.
fn numbered(contributions: &[v1::Contribution]) -> impl Iterator<Item = ((String, usize), i32)> {
    contributions.iter().enumerate().map(|(index, one)| {
        let before = contributions
            .iter()
            .take(index)
            .filter(|other| other.source == one.source)
            .count();
        ((one.source.clone(), before), one.adds_milli_decibans)
    })
}

fn adds_up(family: &v1::FamilyExplanation) -> bool {
    let adds: i64 = family
        .contributions
        .iter()
        .map(|one| i64::from(one.adds_milli_decibans))
        .sum();
    i64::from(family.prior_milli_decibans) + adds == i64::from(family.score_milli_decibans)
}

/// What is wrong with the sums: families that do not add up, or whose score is not the one concluded from.
pub(super) fn check_sums(inspection: &v1::Inspection) -> Vec<String> {
    let Some(explanation) = &inspection.explanation else {
        return Vec::new();
    };
    let scores = inspection.conclusion.as_ref().and_then(|conclusion| conclusion.scores);
    let mut troubles = Vec::new();
    for family in &explanation.families {
        let name = words::family(family.family);
        if !adds_up(family) {
            troubles.push(format!("the sum of {name} does not add up"));
        }
        if scores.is_some_and(|scores| score_of(&scores, family.family) != family.score_milli_decibans) {
            troubles.push(format!(
                "the explained score of {name} is not the one that was concluded from"
            ));
        }
    }
    troubles
}

fn score_of(scores: &v1::MilliDecibans, family: i32) -> i32 {
    match v1::ThreatFamily::try_from(family) {
        Ok(v1::ThreatFamily::Narcotics) => scores.narcotics,
        Ok(v1::ThreatFamily::Explosives) => scores.explosives,
        Ok(v1::ThreatFamily::Nuclear) => scores.nuclear,
        Ok(v1::ThreatFamily::Weapons) => scores.weapons,
        Ok(v1::ThreatFamily::People) => scores.people,
        Ok(v1::ThreatFamily::Undeclared) => scores.undeclared,
        Ok(v1::ThreatFamily::Unspecified) | Err(_) => 0,
    }
}

/// The conclusion in a few lines; what is missing if there is none yet.
pub(super) fn conclusion(inspection: &v1::Inspection) -> String {
    let Some(conclusion) = &inspection.conclusion else {
        return format!("none yet: {}", words::stage(inspection.stage));
    };
    let moment = match (conclusion.at_sample, conclusion.stopped) {
        (0, _) => "before any sample".to_owned(),
        (sample, true) => format!("after sample {sample}: enough was known before the end of the pass"),
        (sample, false) => format!("after sample {sample}, the last that told anything new"),
    };
    let evidence: Vec<String> = conclusion.evidence.iter().map(ToString::to_string).collect();
    let reasons: Vec<String> = conclusion.reasons.iter().map(reason).collect();
    let sentence = inspection
        .explanation
        .as_ref()
        .map(|why| why.sentence.clone())
        .unwrap_or_default();
    facts(&[
        ("tier", words::tier(conclusion.tier)),
        ("why", sentence),
        ("reasons", reasons.join("; ")),
        ("judged", moment),
        ("evidence", format!("# {}", evidence.join(", "))),
        ("policy", hex::encode(&conclusion.policy_sha256)),
        (
            "concluded",
            format!("{}, log entry {}", utc(conclusion.concluded_at_ms), conclusion.entry),
        ),
    ])
}

fn reason(reason: &v1::Reason) -> String {
    use v1::reason::Reason as Why;
    let tier = words::tier(reason.tier);
    match &reason.reason {
        Some(Why::ScoreReached(score)) => format!(
            "{tier}: {} stands at {} dB, threshold {} dB",
            words::family(score.family),
            decibans(i64::from(score.score_milli_decibans)),
            decibans(i64::from(score.threshold_milli_decibans))
        ),
        Some(Why::Missing(modality)) => {
            format!(
                "{tier}: {} evidence is required and missing",
                words::modality(*modality)
            )
        }
        Some(Why::NotSeen(seen)) => format!(
            "{tier}: {} evidence is required and could not see ({})",
            words::modality(seen.modality),
            words::ability(seen.ability)
        ),
        Some(Why::Stale(stale)) => {
            format!(
                "{tier}: {} evidence is {} s old, too old",
                words::modality(stale.modality),
                stale.age_s
            )
        }
        Some(Why::Found(code)) => format!("{tier}: the finding {code}"),
        Some(Why::PassesExhausted(passes)) => format!("{tier}: {passes} passes broke off"),
        Some(Why::NothingAgainst(_)) => format!("{tier}: nothing speaks against it"),
        Some(Why::Drifting(chart)) => format!("{tier}: {chart} is adrift"),
        None => format!("{tier}: a reason that this program does not know"),
    }
}

fn adjudications(adjudications: &[v1::Adjudication], width: Option<u16>) -> String {
    let rows = adjudications
        .iter()
        .map(|one| {
            vec![
                utc(one.adjudicated_at_ms),
                words::ruling(one.ruling),
                one.by.clone(),
                one.reason.clone(),
            ]
        })
        .collect();
    some_table(&["TIME", "RULING", "BY", "REASON"], rows, &[], width)
}

/// A table, or nothing if it has no rows.
fn some_table(headers: &[&str], rows: Vec<Vec<String>>, right: &[usize], width: Option<u16>) -> String {
    if rows.is_empty() {
        String::new()
    } else {
        table(headers, rows, right, width)
    }
}

fn bullets(lines: Option<&[String]>) -> String {
    lines
        .unwrap_or_default()
        .iter()
        .map(|line| format!("- {}", super::failure::plain(line)))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Grams as kilograms, exactly.
fn kilograms(grams: u64) -> String {
    let text = format!("{}.{:03}", grams / 1000, grams % 1000);
    format!("{} kg", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Decibans with their sign.
fn signed(milli: i32) -> String {
    let sign = if milli > 0 { "+" } else { "" };
    format!("{sign}{}", decibans(i64::from(milli)))
}

/// Millionths as a percentage, exactly.
fn percent(ppm: u32) -> String {
    format!("{}.{:04} %", ppm / 10_000, ppm % 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contribution(source: &str, modality: v1::Modality, adds: i32) -> v1::Contribution {
        v1::Contribution {
            source: source.to_owned(),
            modality: modality as i32,
            ability: v1::Ability::Clear as i32,
            adds_milli_decibans: adds,
        }
    }

    fn view(source: &str, modality: v1::Modality, says: &str) -> v1::SourceView {
        v1::SourceView {
            source: source.to_owned(),
            modality: modality as i32,
            ability: v1::Ability::Clear as i32,
            says: says.to_owned(),
        }
    }

    fn family(family: v1::ThreatFamily, manifest: i32, radiation: i32) -> v1::FamilyExplanation {
        v1::FamilyExplanation {
            family: family as i32,
            prior_milli_decibans: -30_000,
            contributions: vec![
                contribution("manifest", v1::Modality::Manifest, manifest),
                contribution("lane-9-radiation", v1::Modality::Radiation, radiation),
            ],
            score_milli_decibans: -30_000 + manifest + radiation,
            probability_ppm: 1_234,
            review_milli_decibans: -10_000,
            exam_milli_decibans: 0,
        }
    }

    fn answer() -> v1::GetInspectionResponse {
        let finding = |code: &str, meaning: &str| v1::Finding {
            code: code.to_owned(),
            field: "Occupied".to_owned(),
            detail: "always 1".to_owned(),
            meaning: meaning.to_owned(),
        };
        v1::GetInspectionResponse {
            inspection: Some(v1::Inspection {
                number: 41,
                equipment_id: "DM1234".to_owned(),
                terminal: "T1".to_owned(),
                source: "cli".to_owned(),
                announced_at_ms: 1_772_366_400_000,
                ready_at_ms: 1_772_366_400_000,
                stage: v1::Stage::UnderReview as i32,
                passes: 1,
                pass_complete: true,
                manifest: Some(v1::Manifest {
                    document: Some(v1::Document {
                        sha256: vec![0xaa; 2].into(),
                        format: "wco-dm/3.6".to_owned(),
                        reference: Some("LRN1".to_owned()),
                    }),
                    goods: vec![v1::GoodsItem {
                        sequence: 1,
                        commodity_code: "18040000".to_owned(),
                        description: "Cocoa\u{1b}[2Jbutter".to_owned(),
                        gross_mass_g: Some(15_500),
                        dangerous_goods: Some(4),
                        ..Default::default()
                    }],
                    ..Default::default()
                }),
                findings: vec![finding(
                    "EQUIPMENT_ID_SHAPE",
                    "The id does not have the shape of ISO 6346.",
                )],
                evidence: vec![v1::Evidence {
                    entry: 12,
                    pass: 1,
                    modality: v1::Modality::Radiation as i32,
                    readings: Some(v1::ReadingRange {
                        device: "lane-9-radiation".to_owned(),
                        boot: 1,
                        first: 1,
                        last: 134,
                    }),
                    digest: vec![0xbb; 32].into(),
                    interpreter: "radiation-gross/1".to_owned(),
                    captured_at_ms: 1_772_366_433_000,
                    findings: vec![v1::NotedFinding {
                        sample: 0,
                        finding: Some(finding(
                            "OCCUPANCY_UNUSABLE",
                            "The occupancy flag never changes and says nothing.",
                        )),
                    }],
                    total: Some(v1::EvidenceStep {
                        sample: 133,
                        ability: v1::Ability::Degraded as i32,
                        weights: None,
                    }),
                    ..Default::default()
                }],
                conclusion: Some(v1::Conclusion {
                    tier: v1::Tier::Review as i32,
                    scores: Some(v1::MilliDecibans {
                        nuclear: -15_000,
                        undeclared: -30_450,
                        ..Default::default()
                    }),
                    at_sample: 133,
                    reasons: vec![v1::Reason {
                        tier: v1::Tier::Review as i32,
                        reason: Some(v1::reason::Reason::Missing(v1::Modality::Weighbridge as i32)),
                    }],
                    policy_sha256: vec![0xcc; 2].into(),
                    evidence: vec![0],
                    concluded_at_ms: 1_772_366_434_000,
                    entry: 13,
                    ..Default::default()
                }),
                explanation: Some(v1::Explanation {
                    sentence: "Held for an officer's review: the weighbridge says nothing.".to_owned(),
                    families: vec![
                        family(v1::ThreatFamily::Nuclear, 0, 15_000),
                        family(v1::ThreatFamily::Undeclared, 1_500, -1_950),
                    ],
                    unseen: vec!["the radiation portal saw only in part".to_owned()],
                    would_change: vec!["a fresh look of the weighbridge would take this reason away".to_owned()],
                    sources: vec![
                        view("manifest", v1::Modality::Manifest, "noticed nothing unusual"),
                        view("lane-9-radiation", v1::Modality::Radiation, "saw only in part"),
                    ],
                }),
                ..Default::default()
            }),
            timeline_truncated: false,
            timeline: vec![v1::Event {
                entry: 11,
                at_ms: 1_772_366_400_000,
                kind: "pass_started".to_owned(),
                lane: Some(9),
                actor: Some(v1::Actor {
                    text: "lane/9 e7".to_owned(),
                    actor: None,
                }),
                detail_json: r#"{"inspection":41,"lane":9,"pass":1}"#.to_owned(),
                ..Default::default()
            }],
            read_point: None,
        }
    }

    #[test]
    fn the_case_file_tells_the_whole_story_and_its_sum_adds_up() {
        let expected = "\
DM1234 (insp-41)
stage      under_review
terminal   T1
announced  2026-03-01T12:00:00.000Z by cli
ready      2026-03-01T12:00:00.000Z
priority   0
passes     1, the last one complete
document   wco-dm/3.6, sha256 aaaa, reference LRN1

Why
  Held for an officer's review: the weighbridge says nothing.

  How nuclear material comes to about 1 in 810 (10 dB more is ten times as likely):
  WHAT                           DB  SEEN
  before anything was seen  -30.000  how common it is among containers
  manifest                    0.000  noticed nothing unusual
  lane-9-radiation          +15.000  saw only in part
  = together                -15.000  about 1 in 810
  a review begins at        -10.000
  an exam begins at           0.000

  What could not be seen:
  - the radiation portal saw only in part

  What would change it:
  - a fresh look of the weighbridge would take this reason away

Goods
  #  CODE      DESCRIPTION        GROSS  NET  PACKAGES  ORIGIN  DANGEROUS
  1  18040000  Cocoa\u{fffd}[2Jbutter  15.5 kg    -         -          UN 0004

Findings about id, document and course of events
  FINDING             WHERE     WHAT      MEANING
  EQUIPMENT_ID_SHAPE  Occupied  always 1  The id does not have the shape of ISO 6346.

Timeline
  ENTRY  TIME                      EVENT         BY         DETAIL
     11  2026-03-01T12:00:00.000Z  pass_started  lane/9 e7  lane-9 pass=1

Evidence
  #  ENTRY  PASS  MODALITY   SOURCE, READINGS         SAW       LAST NEWS  FINDINGS  INTERPRETER        CAPTURED                  DIGEST
  0     12     1  radiation  lane-9-radiation 1..134  degraded        133         1  radiation-gross/1  2026-03-01T12:00:33.000Z  bbbbbbbbbbbb

Findings about the evidence
  #  FROM SAMPLE  FINDING             WHERE     WHAT      MEANING
  0            0  OCCUPANCY_UNUSABLE  Occupied  always 1  The occupancy flag never changes and says nothing.

Sum of weights, dB (prior + what each source adds = score)
  FAMILY        PRIOR  manifest  lane-9-radiation  = SCORE  PROBABILITY  REVIEW AT  EXAM AT
  nuclear     -30.000     0.000           +15.000  -15.000     0.1234 %    -10.000    0.000  adds up
  undeclared  -30.000    +1.500            -1.950  -30.450     0.1234 %    -10.000    0.000  adds up

Conclusion
  tier       review
  why        Held for an officer's review: the weighbridge says nothing.
  reasons    review: weighbridge evidence is required and missing
  judged     after sample 133, the last that told anything new
  evidence   # 0
  policy     cccc
  concluded  2026-03-01T12:00:34.000Z, log entry 13
";
        assert_eq!(text(&answer(), None), expected);
        assert_eq!(check_sums(&answer().inspection.unwrap()), Vec::<String>::new());
    }

    #[test]
    fn a_sum_that_does_not_add_up_or_is_not_the_concluded_one_is_found() {
        let mut inspection = answer().inspection.unwrap();
        inspection.explanation.as_mut().unwrap().families[0].prior_milli_decibans += 1;
        inspection
            .conclusion
            .as_mut()
            .unwrap()
            .scores
            .as_mut()
            .unwrap()
            .undeclared = 0;
        assert_eq!(
            check_sums(&inspection),
            [
                "the sum of nuclear does not add up",
                "the explained score of undeclared is not the one that was concluded from"
            ]
        );
        assert!(sums(&inspection, None).contains("DOES NOT ADD UP"));
    }

    #[test]
    fn the_same_source_twice_has_two_columns() {
        let mut inspection = answer().inspection.unwrap();
        let family = &mut inspection.explanation.as_mut().unwrap().families[0];
        family
            .contributions
            .push(contribution("manifest", v1::Modality::Manifest, 7));
        let text = sums(&inspection, None);
        assert!(text.contains("manifest (2)") && text.contains("+0.007"), "{text}");
    }

    #[test]
    fn a_case_without_conclusion_says_where_it_stands() {
        let inspection = v1::Inspection {
            stage: v1::Stage::Queued as i32,
            ..Default::default()
        };
        assert_eq!(conclusion(&inspection), "none yet: queued");
        let text = text(&v1::GetInspectionResponse::default(), Some(80));
        assert!(text.contains("none yet"), "{text}");
    }
}

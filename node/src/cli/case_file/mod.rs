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
mod tests;

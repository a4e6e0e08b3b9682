//! `portcullis inspection ls`, `show`, `adjudicate` and `depart`.

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::id::InspectionNo;
use portcullis_proto::v1;
use portcullis_proto::v1::get_inspection_request::Target;
use portcullis_proto::v1::inspection_service_client::InspectionServiceClient;
use serde_json::json;

use super::args::{Asker, Ruling};
use super::asker::{context, encode, receipt, receipt_text};
use super::case_file;
use super::client::{Cluster, timed};
use super::failure::{Asked, Exit, Failure};
use super::json::to_json;
use super::output::{Output, or_dash, remark, table};
use super::utc::utc;
use super::words;

/// The most inspections of one page.
const PAGE: usize = 500;

/// Which inspections are wanted.
pub(super) struct Wanted {
    pub(super) stages: Vec<String>,
    pub(super) equipment: Option<String>,
    pub(super) terminal: Option<String>,
    /// 0 for all.
    pub(super) limit: usize,
}

pub(super) async fn ls(cluster: &Cluster, output: &mut Output, wanted: Wanted) -> Result<Exit, Failure> {
    let stages = wanted
        .stages
        .iter()
        .map(|stage| words::parse_stage(stage))
        .collect::<Result<Vec<_>, _>>()?;
    let limit = if wanted.limit == 0 { usize::MAX } else { wanted.limit };
    let mut inspections = Vec::new();
    let mut page_token = String::new();
    let mut read_point;
    loop {
        let request = v1::ListInspectionsRequest {
            stages: stages.clone(),
            terminal: wanted.terminal.clone().unwrap_or_default(),
            equipment_id_prefix: wanted.equipment.clone().unwrap_or_default(),
            page_size: u32::try_from(PAGE.min(limit - inspections.len())).unwrap_or(u32::MAX),
            page_token,
            consistency: v1::Consistency::Local.into(),
            view: v1::InspectionView::Basic as i32,
        };
        let page = cluster
            .read(request, async |channel, request| {
                InspectionServiceClient::new(channel).list_inspections(request).await
            })
            .await?;
        inspections.extend(page.inspections);
        page_token = page.next_page_token;
        read_point = page.read_point;
        if page_token.is_empty() || inspections.len() >= limit {
            break;
        }
    }
    inspections.truncate(limit);
    let more = !page_token.is_empty();
    output.document(
        || {
            let list = v1::ListInspectionsResponse {
                inspections: inspections.clone(),
                next_page_token: String::new(),
                read_point,
            };
            let mut json = to_json("ListInspectionsResponse", &list);
            if let Some(fields) = json.as_object_mut() {
                fields.remove("next_page_token");
                fields.insert("more".to_owned(), json!(more));
            }
            json
        },
        |width| list_text(&inspections, width),
    )?;
    if more {
        remark(format!(
            "there are more than {}: --limit 0 shows all",
            inspections.len()
        ));
    }
    Ok(Exit::Ok)
}

fn list_text(inspections: &[v1::Inspection], width: Option<u16>) -> String {
    if inspections.is_empty() {
        return "no inspections".to_owned();
    }
    let rows = inspections
        .iter()
        .map(|inspection| {
            vec![
                format!("insp-{}", inspection.number),
                inspection.equipment_id.clone(),
                inspection.terminal.clone(),
                words::stage(inspection.stage),
                or_dash(inspection.lane.map(|lane| format!("lane-{lane}"))),
                or_dash(
                    inspection
                        .conclusion
                        .as_ref()
                        .map(|conclusion| words::tier(conclusion.tier)),
                ),
                inspection.findings.len().to_string(),
                inspection.priority.to_string(),
                or_dash(inspection.due_at_ms.map(utc)),
                utc(inspection.announced_at_ms),
            ]
        })
        .collect();
    let headers = [
        "INSPECTION",
        "CONTAINER",
        "TERMINAL",
        "STAGE",
        "LANE",
        "TIER",
        "FINDINGS",
        "PRIORITY",
        "DUE",
        "ANNOUNCED",
    ];
    table(&headers, rows, &[6, 7], width)
}

pub(super) async fn show(cluster: &Cluster, output: &mut Output, target: Target) -> Result<Exit, Failure> {
    let answer = get(cluster, target, v1::InspectionView::Full).await?;
    let sums = answer
        .inspection
        .as_ref()
        .map(case_file::check_sums)
        .unwrap_or_default();
    output.document(
        || {
            let mut json = to_json("GetInspectionResponse", &answer);
            json["sums_add_up"] = json!(sums.is_empty());
            json
        },
        |width| case_file::text(&answer, width),
    )?;
    if sums.is_empty() {
        return Ok(Exit::Ok);
    }
    Err(Failure::new(Exit::VerificationFailed, sums.join("; "))
        .field("explanation")
        .next("ask another node, and compare: --endpoint HOST:PORT"))
}

/// An inspection, from whichever node answers first.
pub(super) async fn get(
    cluster: &Cluster,
    target: Target,
    view: v1::InspectionView,
) -> Result<v1::GetInspectionResponse, Failure> {
    let request = v1::GetInspectionRequest {
        target: Some(target),
        consistency: v1::Consistency::Local.into(),
        view: view as i32,
    };
    cluster
        .read(request, async |channel, request| {
            InspectionServiceClient::new(channel).get_inspection(request).await
        })
        .await
}

/// What people mean by an inspection: its number, or its container.
pub(super) fn target(text: &str, container: bool) -> Result<Target, Failure> {
    if !container && let Ok(number) = text.parse::<InspectionNo>() {
        return Ok(Target::Inspection(number.0));
    }
    Ok(Target::EquipmentId(equipment(text)?.to_string()))
}

/// A container's id on the command line.
pub(super) fn equipment(text: &str) -> Result<EquipmentId, Failure> {
    EquipmentId::new(text).map_err(|error| {
        Failure::new(Exit::Error, error.to_string())
            .field("equipment_id")
            .next("an id has 1 to 17 letters and digits, such as MSKU1234565")
    })
}

pub(super) async fn adjudicate(
    cluster: &Cluster,
    output: &mut Output,
    wanted: Target,
    ruling: Ruling,
    reason: String,
    asker: &Asker,
) -> Result<Exit, Failure> {
    let context = context(asker, None)?;
    let inspection = match wanted {
        Target::Inspection(number) => number,
        container @ Target::EquipmentId(_) => {
            get(cluster, container, v1::InspectionView::Basic)
                .await?
                .inspection
                .unwrap_or_default()
                .number
        }
    };
    let number = match ruling {
        Ruling::Release => v1::Ruling::Release,
        Ruling::Hold => v1::Ruling::Hold,
        Ruling::Seize => v1::Ruling::Seize,
    };
    let request = v1::AdjudicateRequest {
        context: encode(&context),
        inspection,
        ruling: number as i32,
        reason,
    };
    let applied = cluster
        .ask(Asked::Write(context.request.as_str()), async |channel, limit| {
            InspectionServiceClient::new(channel)
                .adjudicate(timed(request.clone(), limit))
                .await
        })
        .await?
        .applied;
    let word = words::ruling(number as i32);
    output.document(
        || {
            let mut json = receipt(applied, &context);
            json["inspection"] = json!(inspection);
            json["ruling"] = json!(word);
            json
        },
        |_| format!("insp-{inspection}: {word}\n{}", receipt_text(applied, &context)),
    )?;
    Ok(Exit::Ok)
}

pub(super) async fn depart(
    cluster: &Cluster,
    output: &mut Output,
    container: &str,
    asker: &Asker,
) -> Result<Exit, Failure> {
    let context = context(asker, None)?;
    let equipment = equipment(container)?;
    let request = v1::ReportDepartureRequest {
        context: encode(&context),
        equipment_id: equipment.to_string(),
    };
    let applied = cluster
        .ask(Asked::Write(context.request.as_str()), async |channel, limit| {
            InspectionServiceClient::new(channel)
                .report_departure(timed(request.clone(), limit))
                .await
        })
        .await?
        .applied;
    output.document(
        || {
            let mut json = receipt(applied, &context);
            json["equipment_id"] = json!(equipment.as_str());
            json
        },
        |_| format!("{equipment} has left\n{}", receipt_text(applied, &context)),
    )?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_number_or_a_container() {
        assert_eq!(target("41", false).unwrap(), Target::Inspection(41));
        assert_eq!(target("insp-41", false).unwrap(), Target::Inspection(41));
        assert_eq!(target("41", true).unwrap(), Target::EquipmentId("41".to_owned()));
        assert_eq!(
            target("msku 123456-5", false).unwrap(),
            Target::EquipmentId("MSKU1234565".to_owned())
        );
        let failure = target("MSKU;DROP", false).unwrap_err();
        assert_eq!(failure.field.as_deref(), Some("equipment_id"));
    }

    #[test]
    fn inspections_are_listed_one_a_line() {
        let inspections = [
            v1::Inspection {
                number: 41,
                equipment_id: "MSKU1234565".to_owned(),
                terminal: "T1".to_owned(),
                stage: v1::Stage::InPass as i32,
                lane: Some(3),
                announced_at_ms: 1_772_366_400_000,
                ..Default::default()
            },
            v1::Inspection {
                number: 7,
                equipment_id: "DM1234".to_owned(),
                terminal: "T1".to_owned(),
                stage: v1::Stage::Held as i32,
                conclusion: Some(v1::Conclusion {
                    tier: v1::Tier::Exam as i32,
                    ..Default::default()
                }),
                findings: vec![v1::Finding::default()],
                priority: 9,
                due_at_ms: Some(1_772_370_000_000),
                announced_at_ms: 1_772_366_400_000,
                ..Default::default()
            },
        ];
        let expected = "\
INSPECTION  CONTAINER    TERMINAL  STAGE    LANE    TIER  FINDINGS  PRIORITY  DUE                       ANNOUNCED
insp-41     MSKU1234565  T1        in_pass  lane-3  -            0         0  -                         2026-03-01T12:00:00.000Z
insp-7      DM1234       T1        held     -       exam         1         9  2026-03-01T13:00:00.000Z  2026-03-01T12:00:00.000Z";
        assert_eq!(list_text(&inspections, None), expected);
    }
}

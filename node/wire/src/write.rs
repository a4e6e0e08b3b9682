//! Requests that write, as commands; and the effect of a command, as a client is told.

use portcullis_domain::command::{ExternalBody, ExternalCommand};
use portcullis_domain::id::{InspectionNo, LaneId};
use portcullis_domain::manifest::TEXT_MAX;
use portcullis_domain::outcome::{Answer, Applied};
use portcullis_proto::v1 as pb;

use crate::announcement::{decode_announcement, decode_equipment};
use crate::context::decode_context;
use crate::invalid::{self, InvalidField, Within};
use crate::lane::decode_lane_spec;
use crate::vocabulary::decode_ruling;

/// Reads a request to announce. `salt` is random, from whoever takes it in.
///
/// # Errors
/// Names the first field that cannot be, by its path within the request. The same holds for the functions below.
pub fn decode_announce(request: pb::AnnounceRequest, salt: &[u8; 16]) -> Result<ExternalCommand, InvalidField> {
    let context = decode_context(request.context)?;
    let announcement = invalid::required("announcement", request.announcement)?;
    let announcement = decode_announcement(announcement, salt).within("announcement")?;
    Ok(context.command(ExternalBody::Announce(announcement)))
}

/// Reads an officer's decision.
///
/// # Errors
/// Names the first field that cannot be.
pub fn decode_adjudicate(request: pb::AdjudicateRequest) -> Result<ExternalCommand, InvalidField> {
    let context = decode_context(request.context)?;
    if request.reason.trim().is_empty() {
        return Err(InvalidField::missing("reason"));
    }
    Ok(context.command(ExternalBody::Adjudicate {
        inspection: InspectionNo(invalid::positive("inspection", request.inspection)?),
        ruling: decode_ruling("ruling", request.ruling)?,
        reason: invalid::text("reason", request.reason, TEXT_MAX)?,
    }))
}

/// Reads a report from the gate.
///
/// # Errors
/// Names the first field that cannot be.
pub fn decode_report_departure(request: pb::ReportDepartureRequest) -> Result<ExternalCommand, InvalidField> {
    let context = decode_context(request.context)?;
    let equipment = decode_equipment("equipment_id", &request.equipment_id)?;
    Ok(context.command(ExternalBody::ReportDeparture { equipment }))
}

/// Reads a lane's definition.
///
/// # Errors
/// Names the first field that cannot be.
pub fn decode_define_lane(request: pb::DefineLaneRequest) -> Result<ExternalCommand, InvalidField> {
    let context = decode_context(request.context)?;
    let definition = invalid::required("definition", request.definition)?;
    let spec = decode_lane_spec(definition).within("definition")?;
    Ok(context.command(ExternalBody::DefineLane(spec)))
}

/// Reads a request to open a lane.
///
/// # Errors
/// Names the first field that cannot be.
pub fn decode_open_lane(request: pb::OpenLaneRequest) -> Result<ExternalCommand, InvalidField> {
    Ok(decode_context(request.context)?.command(ExternalBody::OpenLane {
        lane: LaneId(request.lane),
    }))
}

/// Reads a request to close a lane.
///
/// # Errors
/// Names the first field that cannot be.
pub fn decode_close_lane(request: pb::CloseLaneRequest) -> Result<ExternalCommand, InvalidField> {
    Ok(decode_context(request.context)?.command(ExternalBody::CloseLane {
        lane: LaneId(request.lane),
    }))
}

/// Writes the effect of a command.
pub fn encode_applied(applied: &Applied) -> pb::Applied {
    pb::Applied {
        command_number: applied.number.0,
        entry: applied.entry.map(|entry| entry.0),
    }
}

/// Writes the answer to an announcement.
pub fn encode_announce(applied: &Applied) -> pb::AnnounceResponse {
    let (inspection, known) = match applied.answer {
        Answer::Inspection { inspection, known } => (inspection.0, known),
        // The ledger answers an announcement with its inspection; 0 is no number.
        Answer::Done | Answer::Placed { .. } | Answer::Pass { .. } | Answer::Node { .. } => (0, false),
    };
    pb::AnnounceResponse {
        inspection,
        known,
        applied: Some(encode_applied(applied)),
    }
}

#[cfg(test)]
mod tests {
    use portcullis_domain::id::{CommandNo, EntryNo};

    use super::*;
    use crate::announcement::encode_announcement;
    use crate::context::encode_context;
    use crate::lane::encode_lane_spec;
    use crate::samples;

    fn context() -> Option<pb::RequestContext> {
        Some(encode_context(&samples::context()))
    }

    #[test]
    fn requests_become_commands_of_whoever_asked() {
        let announcement = Some(encode_announcement(&samples::announcement()));
        let command = decode_announce(
            pb::AnnounceRequest {
                context: context(),
                announcement,
            },
            &[1; 16],
        )
        .unwrap();
        assert_eq!(command.source, samples::context().source);
        assert!(matches!(command.body, ExternalBody::Announce(a) if a.equipment == samples::equipment()));

        let request = pb::AdjudicateRequest {
            context: context(),
            inspection: 9,
            ruling: 2,
            reason: "seal broken".into(),
        };
        let body = decode_adjudicate(request).unwrap().body;
        assert!(matches!(
            body,
            ExternalBody::Adjudicate {
                inspection: InspectionNo(9),
                ..
            }
        ));

        let request = pb::ReportDepartureRequest {
            context: context(),
            equipment_id: "MSKU1234565".into(),
        };
        assert!(decode_report_departure(request).is_ok());

        let definition = Some(encode_lane_spec(&samples::lane_spec()));
        let body = decode_define_lane(pb::DefineLaneRequest {
            context: context(),
            definition,
        })
        .unwrap()
        .body;
        assert_eq!(body, ExternalBody::DefineLane(samples::lane_spec()));

        let request = pb::OpenLaneRequest {
            context: context(),
            lane: 3,
        };
        assert_eq!(
            decode_open_lane(request).unwrap().body,
            ExternalBody::OpenLane { lane: LaneId(3) }
        );
        let request = pb::CloseLaneRequest {
            context: context(),
            lane: 3,
        };
        assert_eq!(
            decode_close_lane(request).unwrap().body,
            ExternalBody::CloseLane { lane: LaneId(3) }
        );
    }

    #[test]
    fn each_bad_field_is_named_by_its_path_within_the_request() {
        let field = |result: Result<ExternalCommand, InvalidField>| result.unwrap_err().field;
        let announce = |announcement| {
            decode_announce(
                pb::AnnounceRequest {
                    context: context(),
                    announcement,
                },
                &[1; 16],
            )
        };
        assert_eq!(field(announce(None)), "announcement");
        assert_eq!(
            field(announce(Some(pb::Announcement::default()))),
            "announcement.equipment_id"
        );
        let adjudicate = |inspection, ruling, reason: &str| {
            let reason = reason.to_owned();
            decode_adjudicate(pb::AdjudicateRequest {
                context: context(),
                inspection,
                ruling,
                reason,
            })
        };
        assert_eq!(field(adjudicate(0, 1, "x")), "inspection");
        assert_eq!(field(adjudicate(1, 0, "x")), "ruling");
        assert_eq!(field(adjudicate(1, 1, " ")), "reason");
        assert_eq!(field(adjudicate(1, 1, &"x".repeat(513))), "reason");
        assert_eq!(field(decode_open_lane(pb::OpenLaneRequest::default())), "context");
        assert_eq!(field(decode_close_lane(pb::CloseLaneRequest::default())), "context");
        let definition = Some(pb::LaneDefinition::default());
        let request = pb::DefineLaneRequest {
            context: context(),
            definition,
        };
        assert_eq!(field(decode_define_lane(request)), "definition.terminal");
        let request = pb::ReportDepartureRequest {
            context: context(),
            equipment_id: String::new(),
        };
        assert_eq!(field(decode_report_departure(request)), "equipment_id");
    }

    #[test]
    fn an_answer_tells_the_inspection_and_the_entry() {
        let applied = Applied {
            number: CommandNo(12),
            entry: Some(EntryNo(0)),
            answer: Answer::Inspection {
                inspection: InspectionNo(12),
                known: false,
            },
        };
        let response = encode_announce(&applied);
        assert_eq!((response.inspection, response.known), (12, false));
        assert_eq!(
            response.applied,
            Some(pb::Applied {
                command_number: 12,
                entry: Some(0)
            })
        );
    }
}

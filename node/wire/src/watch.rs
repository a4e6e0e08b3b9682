//! What a watch asks for, and what a list asks for.

use std::collections::BTreeSet;

use portcullis_domain::equipment::{EQUIPMENT_ID_MAX, EquipmentId};
use portcullis_domain::event::Event;
use portcullis_domain::id::{ClusterId, EntryNo, InspectionNo, LaneId, TerminalId, Timestamp};
use portcullis_domain::inspection::Inspection;
use portcullis_proto::v1 as pb;

use crate::announcement::decode_equipment;
use crate::event::KINDS;
use crate::inspection::{View, decode_view};
use crate::invalid::{self, InvalidField};
use crate::token::{Conditions, TokenError, decode_page_token, decode_resume_token};
use crate::vocabulary::{decode_stage, encode_stage};

/// The most values of one condition.
const VALUES_MAX: usize = 1000;
/// Inspections on a page when the client does not say.
pub const PAGE_SIZE: usize = 50;
/// The most inspections on a page.
pub const PAGE_SIZE_MAX: usize = 500;

/// A request that cannot be: a field, or the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A field.
    #[error(transparent)]
    Field(#[from] InvalidField),
    /// The token.
    #[error(transparent)]
    Token(#[from] TokenError),
}

/// Which events are wanted. All conditions hold; an empty one holds always.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WatchFilter {
    inspections: BTreeSet<InspectionNo>,
    equipment: BTreeSet<EquipmentId>,
    kinds: BTreeSet<String>,
    lanes: BTreeSet<LaneId>,
}

impl WatchFilter {
    /// The conditions that a resume token is good for.
    pub fn conditions(&self) -> Conditions {
        fn texts<T: ToString>(values: &BTreeSet<T>) -> Vec<String> {
            values.iter().map(ToString::to_string).collect()
        }
        Conditions::of(&[
            texts(&self.inspections),
            texts(&self.equipment),
            texts(&self.kinds),
            texts(&self.lanes),
        ])
    }

    /// The containers that are asked for by their ids.
    pub fn containers(&self) -> impl Iterator<Item = &EquipmentId> {
        self.equipment.iter()
    }

    /// Whether an event is wanted. `equipment_of` knows the container of an inspection, where the event does not name it.
    pub fn matches(&self, event: &Event, equipment_of: impl Fn(InspectionNo) -> Option<EquipmentId>) -> bool {
        let subjects = event.subjects();
        let kind = self.kinds.is_empty() || self.kinds.contains(event.kind());
        let lane = self.lanes.is_empty() || subjects.lane.is_some_and(|lane| self.lanes.contains(&lane));
        let inspection = self.inspections.is_empty()
            || subjects
                .inspections
                .iter()
                .any(|inspection| self.inspections.contains(inspection));
        kind && lane
            && inspection
            && (self.equipment.is_empty()
                || subjects
                    .equipment
                    .is_some_and(|equipment| self.equipment.contains(&equipment))
                || subjects
                    .inspections
                    .iter()
                    .filter_map(|inspection| equipment_of(*inspection))
                    .any(|equipment| self.equipment.contains(&equipment)))
    }
}

/// Where a watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchFrom {
    /// At this entry.
    Entry(EntryNo),
    /// At the first entry that was made then or after it.
    Time(Timestamp),
    /// At the end of the log, whatever comes next.
    Now,
}

/// Reads what a watch asks for, and where it begins.
///
/// # Errors
/// Names the field, or says what is wrong with the token.
pub fn decode_watch(request: pb::WatchRequest, cluster: ClusterId) -> Result<(WatchFilter, WatchFrom), Unusable> {
    let inspections = invalid::list("inspections", request.inspections, VALUES_MAX, |number| {
        Ok(InspectionNo(number))
    })?;
    let equipment = invalid::list("equipment_ids", request.equipment_ids, VALUES_MAX, |text| {
        decode_equipment("", &text)
    })?;
    let kinds = invalid::list("kinds", request.kinds, VALUES_MAX, |kind| {
        if KINDS.contains(&kind.as_str()) {
            Ok(kind)
        } else {
            let kind: String = kind.chars().take(40).collect();
            Err(InvalidField::new(
                "",
                format!("{kind:?} is not a kind of event; known are {}", KINDS.join(", ")),
            ))
        }
    })?;
    let lanes = invalid::list("lanes", request.lanes, VALUES_MAX, |lane| Ok(LaneId(lane)))?;
    let filter = WatchFilter {
        inspections: inspections.into_iter().collect(),
        equipment: equipment.into_iter().collect(),
        kinds: kinds.into_iter().collect(),
        lanes: lanes.into_iter().collect(),
    };
    let from = match (request.resume_token.as_str(), request.from_entry, request.from_time_ms) {
        ("", None, None) => WatchFrom::Now,
        ("", Some(entry), None) => WatchFrom::Entry(EntryNo(entry)),
        ("", None, Some(at)) => WatchFrom::Time(Timestamp(at)),
        (token, None, None) => WatchFrom::Entry(decode_resume_token(token, cluster, filter.conditions())?),
        (_, _, Some(_)) => {
            let why = "it cannot be given together with resume_token or from_entry";
            return Err(InvalidField::new("from_time_ms", why).into());
        }
        (_, Some(_), None) => {
            return Err(InvalidField::new("from_entry", "it cannot be given together with resume_token").into());
        }
    };
    Ok((filter, from))
}

/// Which inspections are wanted, how many, after which, and how much of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListQuery {
    stages: BTreeSet<i32>,
    terminal: Option<TerminalId>,
    prefix: String,
    /// Closed inspections are wanted, instead of open ones.
    pub closed: bool,
    /// How many at most.
    pub page_size: usize,
    /// Only those after this one.
    pub after: Option<InspectionNo>,
    /// How much of each.
    pub view: View,
}

impl ListQuery {
    /// The conditions that a page token is good for.
    pub fn conditions(&self) -> Conditions {
        list_conditions(&self.stages, self.terminal.as_ref(), &self.prefix)
    }

    /// Whether an inspection is wanted; says nothing about the page.
    pub fn matches(&self, inspection: &Inspection) -> bool {
        (self.stages.is_empty() || self.stages.contains(&(encode_stage(inspection.stage) as i32)))
            && self
                .terminal
                .as_ref()
                .is_none_or(|terminal| *terminal == inspection.terminal)
            && inspection.equipment.as_str().starts_with(&self.prefix)
    }
}

fn list_conditions(stages: &BTreeSet<i32>, terminal: Option<&TerminalId>, prefix: &str) -> Conditions {
    Conditions::of(&[
        stages.iter().map(ToString::to_string).collect(),
        terminal.iter().map(ToString::to_string).collect(),
        vec![prefix.to_owned()],
    ])
}

/// Reads what a list asks for.
///
/// # Errors
/// Names the field, or says what is wrong with the token.
pub fn decode_list(request: pb::ListInspectionsRequest, cluster: ClusterId) -> Result<ListQuery, Unusable> {
    let stages: BTreeSet<i32> = invalid::list("stages", request.stages, VALUES_MAX, |stage| {
        decode_stage("", stage).map(|stage| stage as i32)
    })?
    .into_iter()
    .collect();
    let closed = stages.contains(&(pb::Stage::Departed as i32));
    if closed && stages.len() > 1 {
        let why = "DEPARTED cannot be asked for together with other stages; list twice";
        return Err(InvalidField::new("stages", why).into());
    }
    let terminal = match request.terminal.as_str() {
        "" => None,
        text => Some(invalid::parse("terminal", text)?),
    };
    let prefix = request.equipment_id_prefix.to_ascii_uppercase();
    if prefix.len() > EQUIPMENT_ID_MAX || !prefix.chars().all(|c| c.is_ascii_alphanumeric()) {
        let why = format!("it can only have letters and digits, at most {EQUIPMENT_ID_MAX}");
        return Err(InvalidField::new("equipment_id_prefix", why).into());
    }
    let after = match request.page_token.as_str() {
        "" => None,
        token => Some(decode_page_token(
            token,
            cluster,
            list_conditions(&stages, terminal.as_ref(), &prefix),
        )?),
    };
    let page_size = match usize::try_from(request.page_size).unwrap_or(usize::MAX) {
        0 => PAGE_SIZE,
        size => size.min(PAGE_SIZE_MAX),
    };
    Ok(ListQuery {
        stages,
        terminal,
        prefix,
        closed,
        page_size,
        after,
        view: decode_view(request.view, View::Basic),
    })
}

#[cfg(test)]
mod tests {
    use portcullis_domain::inspection::Stage;
    use portcullis_domain::policy::Policy;

    use super::*;
    use crate::samples;
    use crate::token::{encode_page_token, encode_resume_token};

    const CLUSTER: ClusterId = ClusterId([5; 16]);

    fn filter(request: pb::WatchRequest) -> WatchFilter {
        decode_watch(request, CLUSTER).unwrap().0
    }

    fn no_one(_: InspectionNo) -> Option<EquipmentId> {
        None
    }

    #[test]
    fn an_empty_filter_wants_everything() {
        for event in samples::events() {
            assert!(WatchFilter::default().matches(&event, no_one));
        }
    }

    #[test]
    fn each_condition_keeps_only_its_own() {
        let event = Event::Assigned {
            inspection: InspectionNo(5),
            lane: LaneId(3),
            claimed: false,
        };
        let matches = |request| filter(request).matches(&event, |_| Some(samples::equipment()));
        let nothing = pb::WatchRequest::default;
        assert!(matches(pb::WatchRequest {
            inspections: vec![4, 5],
            ..nothing()
        }));
        assert!(!matches(pb::WatchRequest {
            inspections: vec![4],
            ..nothing()
        }));
        assert!(matches(pb::WatchRequest {
            lanes: vec![3],
            ..nothing()
        }));
        assert!(!matches(pb::WatchRequest {
            lanes: vec![4],
            ..nothing()
        }));
        assert!(matches(pb::WatchRequest {
            kinds: vec!["assigned".into()],
            ..nothing()
        }));
        assert!(!matches(pb::WatchRequest {
            kinds: vec!["concluded".into()],
            ..nothing()
        }));
        assert!(matches(pb::WatchRequest {
            equipment_ids: vec!["msku 123456-5".into()],
            ..nothing()
        }));
        assert!(!matches(pb::WatchRequest {
            equipment_ids: vec!["CBHU6192031".into()],
            ..nothing()
        }));
        assert!(!matches(pb::WatchRequest {
            inspections: vec![5],
            lanes: vec![4],
            ..nothing()
        }));
    }

    #[test]
    fn a_watch_begins_now_at_an_entry_at_a_time_or_at_its_token() {
        let from = |request| decode_watch(request, CLUSTER).map(|(_, from)| from);
        let nothing = pb::WatchRequest::default;
        assert_eq!(from(nothing()), Ok(WatchFrom::Now));
        assert_eq!(
            from(pb::WatchRequest {
                from_entry: Some(0),
                ..nothing()
            }),
            Ok(WatchFrom::Entry(EntryNo(0)))
        );
        let since = pb::WatchRequest {
            from_time_ms: Some(1_772_366_400_000),
            ..nothing()
        };
        assert_eq!(from(since.clone()), Ok(WatchFrom::Time(Timestamp(1_772_366_400_000))));
        let with = pb::WatchRequest {
            lanes: vec![2, 1, 1],
            ..nothing()
        };
        let resume_token = encode_resume_token(CLUSTER, EntryNo(9), filter(with).conditions());
        // Order and repetition do not make other conditions.
        let again = pb::WatchRequest {
            lanes: vec![1, 2],
            resume_token: resume_token.clone(),
            ..nothing()
        };
        assert_eq!(from(again.clone()), Ok(WatchFrom::Entry(EntryNo(9))));
        let other = pb::WatchRequest {
            lanes: vec![1],
            ..again.clone()
        };
        assert_eq!(from(other), Err(Unusable::Token(TokenError::OtherConditions)));
        let both = pb::WatchRequest {
            from_entry: Some(1),
            ..again
        };
        assert!(matches!(from(both), Err(Unusable::Field(invalid)) if invalid.field == "from_entry"));
        for (resume_token, from_entry) in [("AQEx".to_owned(), None), (String::new(), Some(1))] {
            let both = pb::WatchRequest {
                resume_token,
                from_entry,
                ..since.clone()
            };
            assert!(matches!(from(both), Err(Unusable::Field(invalid)) if invalid.field == "from_time_ms"));
        }
    }

    #[test]
    fn a_kind_that_does_not_exist_is_refused_with_those_that_do() {
        let request = pb::WatchRequest {
            kinds: vec!["concluded".into(), "conclude".into()],
            ..Default::default()
        };
        let Err(Unusable::Field(invalid)) = decode_watch(request, CLUSTER) else {
            panic!("it is refused")
        };
        assert_eq!(invalid.field, "kinds[1]");
        assert!(invalid.reason.contains("departed"), "{invalid}");
    }

    #[test]
    fn a_list_keeps_what_its_conditions_say() {
        let inspection = samples::concluded(&Policy::first());
        let stage = encode_stage(inspection.stage) as i32;
        let matches = |request| decode_list(request, CLUSTER).unwrap().matches(&inspection);
        let nothing = pb::ListInspectionsRequest::default;
        assert!(matches(nothing()));
        assert!(matches(pb::ListInspectionsRequest {
            stages: vec![stage],
            ..nothing()
        }));
        let queued = encode_stage(Stage::Queued) as i32;
        assert!(!matches(pb::ListInspectionsRequest {
            stages: vec![queued],
            ..nothing()
        }));
        assert!(matches(pb::ListInspectionsRequest {
            equipment_id_prefix: "msk".into(),
            ..nothing()
        }));
        assert!(!matches(pb::ListInspectionsRequest {
            equipment_id_prefix: "X".into(),
            ..nothing()
        }));
        assert!(!matches(pb::ListInspectionsRequest {
            terminal: "elsewhere".into(),
            ..nothing()
        }));
    }

    #[test]
    fn closed_inspections_are_listed_by_themselves() {
        let list = |stages: &[pb::Stage]| {
            let stages = stages.iter().map(|stage| *stage as i32).collect();
            let request = pb::ListInspectionsRequest {
                stages,
                ..Default::default()
            };
            decode_list(request, CLUSTER).map(|query| query.closed)
        };
        assert_eq!(list(&[]), Ok(false));
        assert_eq!(list(&[pb::Stage::Held, pb::Stage::Queued]), Ok(false));
        assert_eq!(list(&[pb::Stage::Departed]), Ok(true));
        let mixed = list(&[pb::Stage::Held, pb::Stage::Departed]);
        assert!(matches!(mixed, Err(Unusable::Field(invalid)) if invalid.field == "stages"));
    }

    #[test]
    fn page_sizes_are_coerced_and_page_tokens_need_the_same_conditions() {
        let list = |request| decode_list(request, CLUSTER);
        let nothing = pb::ListInspectionsRequest::default;
        assert_eq!(list(nothing()).unwrap().page_size, PAGE_SIZE);
        let large = pb::ListInspectionsRequest {
            page_size: u32::MAX,
            ..nothing()
        };
        assert_eq!(list(large).unwrap().page_size, PAGE_SIZE_MAX);
        let page_token = encode_page_token(CLUSTER, InspectionNo(9), list(nothing()).unwrap().conditions());
        let next = pb::ListInspectionsRequest {
            page_token,
            ..nothing()
        };
        assert_eq!(list(next.clone()).unwrap().after, Some(InspectionNo(9)));
        let other = pb::ListInspectionsRequest {
            terminal: "north".into(),
            ..next
        };
        assert_eq!(list(other), Err(Unusable::Token(TokenError::OtherConditions)));
        let field = |request| match list(request) {
            Err(Unusable::Field(invalid)) => invalid.field,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            field(pb::ListInspectionsRequest {
                stages: vec![3, 99],
                ..nothing()
            }),
            "stages[1]"
        );
        assert_eq!(
            field(pb::ListInspectionsRequest {
                terminal: "a b".into(),
                ..nothing()
            }),
            "terminal"
        );
        let odd = pb::ListInspectionsRequest {
            equipment_id_prefix: "*".into(),
            ..nothing()
        };
        assert_eq!(field(odd), "equipment_id_prefix");
    }
}

//! P4: a container is on at most one lane, a lane has at most one container in a pass and one called up. Followed from the
//! leaves by rules of its own, not by the ledger's.

use std::collections::BTreeMap;

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::event::{Event, Leaf};
use portcullis_domain::id::{InspectionNo, LaneId};

use super::{Found, Record};

/// What a lane has.
#[derive(Debug, Default)]
struct OnLane {
    called: Option<InspectionNo>,
    in_pass: Option<InspectionNo>,
}

#[derive(Debug, Default)]
struct Port {
    lanes: BTreeMap<LaneId, OnLane>,
    open: BTreeMap<EquipmentId, InspectionNo>,
}

pub(super) fn check(record: &Record) -> Found {
    let mut found = Found::of("P4");
    let mut port = Port::default();
    for (entry, leaf) in &record.leaves {
        port.follow(leaf, &mut |what: String| found.add(format!("entry {entry}: {what}")));
    }
    found
}

impl Port {
    fn follow(&mut self, leaf: &Leaf, found: &mut impl FnMut(String)) {
        match &leaf.event {
            Event::Announced {
                inspection,
                announcement,
                ..
            } => {
                let equipment = &announcement.equipment;
                if let Some(other) = self.open.insert(equipment.clone(), *inspection) {
                    found(format!("{equipment} is opened as {inspection} and is open as {other}"));
                }
            }
            Event::Departed { inspection, equipment } => {
                if self.open.remove(equipment) != Some(*inspection) {
                    found(format!("{equipment} leaves as {inspection}, which was not open"));
                }
                if let Some(lane) = self.lane_of(*inspection) {
                    found(format!("{inspection} leaves the port and is on {lane}"));
                }
            }
            Event::Assigned {
                inspection,
                lane,
                claimed,
            } => {
                match self.lane_of(*inspection) {
                    // It stands before another lane than the one that it was called up to.
                    Some(other) if *claimed && self.lanes[&other].in_pass != Some(*inspection) => {
                        self.leave(*inspection)
                    }
                    Some(other) => found(format!("{inspection} is assigned to {lane} and is on {other}")),
                    None => {}
                }
                let on_lane = self.lanes.entry(*lane).or_default();
                if let Some(other) = on_lane.called.replace(*inspection) {
                    found(format!(
                        "{inspection} is called up to {lane}, to which {other} is called up"
                    ));
                }
            }
            Event::PassStarted { inspection, lane, .. } => {
                let on_lane = self.lanes.entry(*lane).or_default();
                if on_lane.called != Some(*inspection) {
                    found(format!(
                        "a pass of {inspection} starts on {lane}, to which {:?} is called up",
                        on_lane.called
                    ));
                }
                on_lane.called = None;
                if let Some(other) = on_lane.in_pass.replace(*inspection) {
                    found(format!(
                        "a pass of {inspection} starts on {lane}, where {other} is in one"
                    ));
                }
            }
            Event::EvidenceRecorded { inspection, .. } if !self.is_in_pass(*inspection) => {
                found(format!("evidence of a pass of {inspection}, which is on no lane"));
            }
            Event::Aborted { inspection, lane, .. } => {
                if self.lane_of(*inspection) != Some(*lane) {
                    found(format!("{inspection} breaks off on {lane} and was not there"));
                }
                self.leave(*inspection);
            }
            Event::Concluded { inspection, .. } => self.leave(*inspection),
            Event::NodeUp { aborted, .. } | Event::NodeDown { aborted, .. } | Event::Placed { aborted, .. } => {
                for inspection in aborted {
                    self.leave(*inspection);
                }
            }
            Event::LaneDefined { spec } => {
                let on_lane = self.lanes.entry(spec.id).or_default();
                if on_lane.called.is_some() || on_lane.in_pass.is_some() {
                    found(format!("{} is defined anew while it has {on_lane:?}", spec.id));
                }
                *on_lane = OnLane::default();
            }
            _ => {}
        }
    }

    fn is_in_pass(&self, inspection: InspectionNo) -> bool {
        self.lanes.values().any(|lane| lane.in_pass == Some(inspection))
    }

    fn lane_of(&self, inspection: InspectionNo) -> Option<LaneId> {
        let has = |on_lane: &OnLane| on_lane.called == Some(inspection) || on_lane.in_pass == Some(inspection);
        self.lanes
            .iter()
            .find(|(_, on_lane)| has(on_lane))
            .map(|(lane, _)| *lane)
    }

    fn leave(&mut self, inspection: InspectionNo) {
        for on_lane in self.lanes.values_mut() {
            on_lane.called.take_if(|called| *called == inspection);
            on_lane.in_pass.take_if(|in_pass| *in_pass == inspection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Evidence, sample};
    use super::*;

    fn judge(evidence: &Evidence) -> Vec<String> {
        sample::words(check(&Record::of(evidence)))
    }

    #[test]
    fn a_clean_run_passes() {
        assert_eq!(judge(&sample::run()), [""; 0]);
    }

    #[test]
    fn a_container_on_two_lanes_and_a_lane_with_two_containers_are_found() {
        let (inspection, other) = (InspectionNo(900), InspectionNo(901));
        let assigned = |inspection, lane| Event::Assigned {
            inspection,
            lane: LaneId(lane),
            claimed: false,
        };
        let started = |inspection| Event::PassStarted {
            inspection,
            lane: LaneId(1),
            pass: portcullis_domain::id::PassNo(1),
        };
        let two_lanes = sample::and_then(vec![assigned(inspection, 1), assigned(inspection, 2)]);
        assert!(judge(&two_lanes)[0].contains("is on"));
        let two_called = sample::and_then(vec![assigned(inspection, 1), assigned(other, 1)]);
        assert!(judge(&two_called)[0].contains("is called up to"));
        let two_in_pass = sample::and_then(vec![
            assigned(inspection, 1),
            started(inspection),
            assigned(other, 1),
            started(other),
        ]);
        assert!(judge(&two_in_pass)[0].contains("is in one"));
        let out_of_nowhere = sample::and_then(vec![started(inspection)]);
        assert!(judge(&out_of_nowhere)[0].contains("to which None is called up"));
    }

    #[test]
    fn a_container_that_is_open_twice_or_leaves_twice_is_found() {
        let mut run = sample::run();
        let announced = usize::try_from(sample::first_announcement()).unwrap();
        for log in run.logs.values_mut() {
            let again = log[announced].clone();
            log.extend([again.clone(), again]);
        }
        assert!(judge(&run).iter().any(|what| what.contains("and is open as")));
        let mut run = sample::run();
        for log in run.logs.values_mut() {
            let again = log.last().cloned().unwrap();
            log.push(again);
        }
        assert!(judge(&run)[0].contains("which was not open"));
    }
}

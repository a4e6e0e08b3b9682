//! Taking events into the state. Nothing here can fail or refuse: what was decided is what happened.

use std::sync::Arc;

use super::{DeviceMark, Ledger};
use crate::course::Spot;
use crate::drift::Alarm;
use crate::event::{Actor, Event, Leaf};
use crate::evidence::Evidence;
use crate::id::{EntryNo, InspectionNo, LaneId, NodeId};
use crate::inspection::Inspection;
use crate::lane::Lane;
use crate::placement::{ActorKey, NodeRecord, Placement};

impl Ledger {
    /// Returns the drift alarms that the event raises. They are not part of what it does: each is an event of its own.
    pub(super) fn evolve(&mut self, entry: EntryNo, leaf: Leaf) -> Vec<Alarm> {
        let mut raised = Vec::new();
        let Leaf {
            number,
            at,
            actor,
            event,
        } = leaf;
        let spot = Spot { entry, number, at };
        match event {
            Event::Founded { cluster, policy } => {
                self.cluster = Some(cluster);
                self.version = 1;
                let digest = policy.digest();
                self.policies.insert(digest, Arc::new(policy));
                self.activate(spot, digest, actor, String::new());
            }
            Event::NodeUp {
                node,
                boot,
                capacity,
                version,
                aborted,
            } => {
                self.unplace_all(node);
                self.requeue(spot, &aborted);
                let record = NodeRecord {
                    boot,
                    up: true,
                    capacity,
                    version,
                    since: spot.at,
                };
                self.nodes.insert(node, record);
            }
            Event::NodeDown { node, aborted, .. } => {
                self.unplace_all(node);
                self.requeue(spot, &aborted);
                if let Some(record) = self.nodes.get_mut(&node) {
                    record.up = false;
                    record.since = spot.at;
                }
            }
            Event::Placed {
                key,
                epoch,
                node,
                boot,
                aborted,
            } => {
                self.requeue(spot, &aborted);
                let placement = Placement {
                    node,
                    boot,
                    epoch,
                    live: true,
                };
                self.placements.insert(key, placement);
            }
            Event::VersionActivated { version } => self.version = version,
            Event::LaneDefined { spec } => {
                let id = spec.id;
                let open = self.lanes.get(&id).is_none_or(|lane| lane.open);
                let lane = Lane {
                    spec,
                    open,
                    next: None,
                    current: None,
                    entry,
                };
                self.lanes.insert(id, lane);
                self.forget_charts();
            }
            Event::LaneOpened { lane } => self.change_lane(spot, lane, |lane| lane.open = true),
            Event::LaneClosed { lane } => self.change_lane(spot, lane, |lane| lane.open = false),
            Event::PolicyAdded { policy } => {
                self.policies.insert(policy.digest(), Arc::new(policy));
            }
            // Its bytes come with the command, see `keep_model`.
            Event::ModelAdded { .. } => {}
            Event::PolicyActivated { policy } => self.activate(spot, policy, actor, String::new()),
            Event::PolicyAdopted { policy, reason } => {
                let digest = policy.digest();
                self.policies.insert(digest, Arc::new(policy));
                self.activate(spot, digest, actor, reason);
            }
            Event::Announced {
                inspection,
                announcement,
                findings,
            } => {
                let Actor::External { source, .. } = actor else {
                    return raised;
                };
                let case = Inspection::opened(spot, inspection, source, announcement, findings);
                self.open.insert(case.equipment.clone(), inspection);
                self.by_version.insert((case.version, inspection));
                self.inspections.insert(inspection, Arc::new(case));
            }
            Event::AnnouncedAgain { inspection, .. }
            | Event::Profiled { inspection, .. }
            | Event::Enqueued { inspection }
            | Event::Adjudicated { inspection, .. } => self.follow(spot, inspection, &actor, event),
            Event::Assigned { inspection, lane, .. } => {
                self.leave_lane(spot, inspection);
                self.follow(spot, inspection, &actor, event);
                self.change_lane(spot, lane, |lane| lane.next = Some(inspection));
            }
            Event::PassStarted { inspection, lane, .. } => {
                self.follow(spot, inspection, &actor, event);
                self.change_lane(spot, lane, |lane| {
                    lane.next = None;
                    lane.current = Some(inspection);
                });
            }
            Event::EvidenceRecorded {
                inspection,
                ref evidence,
                ..
            }
            | Event::EvidenceAfterConclusion {
                inspection,
                ref evidence,
                ..
            } => {
                self.mark_devices(evidence);
                self.follow(spot, inspection, &actor, event);
            }
            Event::Aborted { inspection, .. } => {
                self.leave_lane(spot, inspection);
                self.follow(spot, inspection, &actor, event);
            }
            Event::Concluded {
                inspection,
                ref evidence,
                ref verdict,
                ..
            } => {
                raised = self.watch_for_drift(spot, inspection, evidence, verdict);
                self.leave_lane(spot, inspection);
                self.follow(spot, inspection, &actor, event);
            }
            Event::Departed { inspection, equipment } => {
                self.open.remove(&equipment);
                self.close(inspection);
            }
            Event::NodeEnrolled {
                node,
                incarnation,
                address,
            } => {
                let enrolment = self.roster.entry(node).or_default();
                enrolment.incarnation = Some(incarnation);
                enrolment.address = address;
            }
            Event::NodeDrained { node } => self.roster.entry(node).or_default().drained = true,
            Event::NodeUndrained { node } => self.roster.entry(node).or_default().drained = false,
            Event::NodeRemoved { node } => self.roster.entry(node).or_default().removed = true,
            Event::Restored { cluster, .. } => {
                self.cluster = Some(cluster);
                self.former = None;
                // The folders of the former cluster are not part of this one. Their ids stay in `nodes`.
                self.roster.clear();
            }
            Event::DriftAlarmed { alarm } => self.charts.stand(alarm, entry, at),
            Event::ChartReset { chart, .. } => self.charts.reset(&chart),
        }
        raised
    }

    fn follow(&mut self, spot: Spot, no: InspectionNo, by: &Actor, event: Event) {
        self.change(spot, no, |case| case.follow(spot, by, event));
    }

    fn change(&mut self, spot: Spot, no: InspectionNo, change: impl FnOnce(&mut Inspection)) {
        let Some(case) = self.inspections.get_mut(&no) else {
            return;
        };
        let case = Arc::make_mut(case);
        self.by_version.remove(&(case.version, no));
        change(case);
        self.by_version.insert((spot.number, no));
    }

    /// What is closed is in the decision log alone: nothing may stay here that grows with every visit.
    fn close(&mut self, no: InspectionNo) {
        let Some(case) = self.inspections.remove(&no) else {
            return;
        };
        self.by_version.remove(&(case.version, no));
        self.personal.remove(&no);
        self.closed += 1;
        self.let_answers_expire(no);
    }

    fn change_lane(&mut self, spot: Spot, id: LaneId, change: impl FnOnce(&mut Lane)) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.entry = spot.entry;
            change(lane);
        }
    }

    fn leave_lane(&mut self, spot: Spot, no: InspectionNo) {
        let lane = self.inspections.get(&no).and_then(|case| case.stage.lane());
        if let Some(lane) = lane {
            self.change_lane(spot, lane, |lane| {
                lane.current = lane.current.filter(|current| *current != no);
                lane.next = lane.next.filter(|next| *next != no);
            });
        }
    }

    fn requeue(&mut self, spot: Spot, broken_off: &[InspectionNo]) {
        for no in broken_off {
            self.leave_lane(spot, *no);
            self.change(spot, *no, |case| case.broke_off(spot));
        }
    }

    fn unplace_all(&mut self, node: NodeId) {
        let lost: Vec<ActorKey> = self
            .placements
            .iter()
            .filter(|(_, placement)| placement.node == node && placement.live)
            .map(|(key, _)| key.clone())
            .collect();
        for key in lost {
            if let Some(placement) = self.placements.get_mut(&key) {
                placement.live = false;
            }
        }
    }

    fn mark_devices(&mut self, evidence: &[Evidence]) {
        for range in evidence.iter().filter_map(|one| one.readings.as_ref()) {
            let mark = DeviceMark {
                boot: range.boot,
                sequence: range.last,
            };
            let known = self.devices.get(&range.device).copied();
            self.devices
                .insert(range.device.clone(), known.map_or(mark, |known| known.max(mark)));
        }
    }
}

//! Taking events into the state. Nothing here can fail or refuse: what was decided is what happened.

use std::sync::Arc;

use super::{DeviceMark, Ledger, NO_SHOW_AGAIN_MS};
use crate::command::AbortCause;
use crate::event::{Actor, Event, Leaf};
use crate::evidence::Evidence;
use crate::finding::{Finding, FindingCode};
use crate::id::{CommandNo, EntryNo, Epoch, InspectionNo, LaneId, NodeId, PassNo, Timestamp};
use crate::inspection::{Adjudication, Conclusion, Inspection, RecordedEvidence, Ruling, Stage};
use crate::lane::Lane;
use crate::placement::{ActorKey, NodeRecord, Placement};
use crate::policy::Tier;

/// Where and when an event stands in the log.
#[derive(Clone, Copy)]
struct Spot {
    entry: EntryNo,
    number: CommandNo,
    at: Timestamp,
}

impl Ledger {
    pub(super) fn evolve(&mut self, entry: EntryNo, leaf: &Leaf) {
        let spot = Spot {
            entry,
            number: leaf.number,
            at: leaf.at,
        };
        match &leaf.event {
            Event::Founded { cluster, policy } => {
                self.cluster = Some(*cluster);
                self.version = 1;
                let digest = policy.digest();
                self.policies.insert(digest, Arc::new(policy.clone()));
                self.policy = Some(digest);
            }
            Event::NodeUp {
                node,
                boot,
                capacity,
                version,
                aborted,
            } => {
                self.unplace_all(*node);
                self.requeue(spot, aborted);
                let record = NodeRecord {
                    boot: *boot,
                    up: true,
                    capacity: *capacity,
                    version: *version,
                    since: spot.at,
                };
                self.nodes.insert(*node, record);
            }
            Event::NodeDown { node, aborted, .. } => {
                self.unplace_all(*node);
                self.requeue(spot, aborted);
                if let Some(record) = self.nodes.get_mut(node) {
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
                self.requeue(spot, aborted);
                self.placements.insert(
                    key.clone(),
                    Placement {
                        node: *node,
                        boot: *boot,
                        epoch: *epoch,
                        live: true,
                    },
                );
            }
            Event::VersionActivated { version } => self.version = *version,
            Event::LaneDefined { spec } => {
                let open = self.lanes.get(&spec.id).is_none_or(|lane| lane.open);
                self.lanes.insert(
                    spec.id,
                    Lane {
                        spec: spec.clone(),
                        open,
                        next: None,
                        current: None,
                        entry,
                    },
                );
            }
            Event::LaneOpened { lane } => self.change_lane(spot, *lane, |lane| lane.open = true),
            Event::LaneClosed { lane } => self.change_lane(spot, *lane, |lane| lane.open = false),
            Event::PolicyAdded { policy } => {
                self.policies.insert(policy.digest(), Arc::new(policy.clone()));
            }
            Event::PolicyActivated { policy } => self.policy = Some(*policy),
            Event::Announced {
                inspection,
                announcement,
                findings,
            } => {
                let Actor::External { source, .. } = &leaf.actor else {
                    return;
                };
                let case = Inspection {
                    no: *inspection,
                    version: spot.number,
                    equipment: announcement.equipment.clone(),
                    terminal: announcement.terminal.clone(),
                    source: source.clone(),
                    other_sources: Vec::new(),
                    announced_at: spot.at,
                    ready_at: announcement.ready_at.unwrap_or(spot.at),
                    due_at: announcement.due_at,
                    priority: announcement.priority,
                    manifest: announcement.manifest.clone(),
                    findings: findings.clone(),
                    stage: Stage::Announced,
                    passes: PassNo(0),
                    pass_epoch: Epoch::NONE,
                    pass_complete: false,
                    evidence: Vec::new(),
                    conclusion: None,
                    adjudications: Vec::new(),
                    departed_at: None,
                };
                self.open.insert(case.equipment.clone(), case.no);
                self.by_version.entry(case.version).or_default().insert(case.no);
                self.inspections.insert(case.no, Arc::new(case));
            }
            Event::AnnouncedAgain {
                inspection, findings, ..
            } => {
                let source = match &leaf.actor {
                    Actor::External { source, .. } => Some(source.clone()),
                    _ => None,
                };
                self.change(spot, *inspection, |case| {
                    case.findings.extend(findings.iter().cloned());
                    if let Some(source) = source
                        && source != case.source
                        && !case.other_sources.contains(&source)
                    {
                        case.other_sources.push(source);
                    }
                });
            }
            Event::Profiled {
                inspection,
                evidence,
                queued,
            } => self.change(spot, *inspection, |case| {
                record(case, spot, PassNo(0), std::slice::from_ref(evidence));
                case.stage = if *queued { Stage::Queued } else { Stage::Profiled };
            }),
            Event::Enqueued { inspection } => {
                self.change(spot, *inspection, |case| case.stage = Stage::Queued);
            }
            Event::Assigned { inspection, lane, .. } => {
                self.leave_lane(spot, *inspection);
                self.change(spot, *inspection, |case| case.stage = Stage::Assigned { lane: *lane });
                self.change_lane(spot, *lane, |lane| lane.next = Some(*inspection));
            }
            Event::PassStarted { inspection, lane, pass } => {
                let epoch = match &leaf.actor {
                    Actor::Placed { epoch, .. } => *epoch,
                    _ => Epoch::NONE,
                };
                self.change(spot, *inspection, |case| {
                    case.stage = Stage::InPass { lane: *lane };
                    case.passes = *pass;
                    case.pass_epoch = epoch;
                    case.pass_complete = false;
                });
                self.change_lane(spot, *lane, |lane| {
                    lane.next = None;
                    lane.current = Some(*inspection);
                });
            }
            Event::EvidenceRecorded {
                inspection,
                pass,
                evidence,
                completes_pass,
            } => {
                self.mark_devices(evidence);
                self.change(spot, *inspection, |case| {
                    record(case, spot, *pass, evidence);
                    case.pass_complete = *completes_pass;
                });
            }
            Event::Aborted { inspection, cause, .. } => {
                let called_up = self
                    .inspections
                    .get(inspection)
                    .is_some_and(|case| matches!(case.stage, Stage::Assigned { .. }));
                self.requeue(spot, std::slice::from_ref(inspection));
                if called_up && *cause == AbortCause::TimedOut {
                    // It never came. As the oldest in the queue it would be called up again at once, and hold the lanes
                    // up for ever; so others go first for a while, and it may still be claimed when it comes.
                    self.change(spot, *inspection, |case| {
                        case.stage = Stage::Profiled;
                        case.ready_at = spot.at.plus_millis(NO_SHOW_AGAIN_MS);
                    });
                }
            }
            Event::Concluded {
                inspection,
                policy,
                evidence,
                verdict,
                ..
            } => {
                self.leave_lane(spot, *inspection);
                self.change(spot, *inspection, |case| {
                    case.stage = match verdict.tier {
                        Tier::Release => Stage::Released,
                        Tier::Review => Stage::UnderReview,
                        Tier::Exam => Stage::Held,
                    };
                    case.conclusion = Some(Conclusion {
                        verdict: verdict.clone(),
                        policy: *policy,
                        evidence: evidence.clone(),
                        at: spot.at,
                        entry,
                    });
                });
            }
            Event::EvidenceAfterConclusion {
                inspection,
                evidence,
                reopened,
            } => {
                self.mark_devices(evidence);
                self.change(spot, *inspection, |case| {
                    let pass = case.passes;
                    record(case, spot, pass, evidence);
                    case.findings.push(Finding::new(
                        FindingCode::EvidenceAfterConclusion,
                        "evidence",
                        format!("{} pieces came at entry {entry}", evidence.len()),
                    ));
                    if *reopened {
                        case.stage = Stage::UnderReview;
                    }
                });
            }
            Event::Adjudicated {
                inspection,
                ruling,
                reason,
                ..
            } => {
                let Actor::External { principal, .. } = &leaf.actor else {
                    return;
                };
                let by = principal.clone();
                self.change(spot, *inspection, |case| {
                    case.stage = match ruling {
                        Ruling::Release => Stage::Released,
                        Ruling::Hold => Stage::Held,
                        Ruling::Seize => Stage::Seized,
                    };
                    case.adjudications.push(Adjudication {
                        ruling: *ruling,
                        by,
                        reason: reason.clone(),
                        at: spot.at,
                    });
                });
            }
            Event::Departed { inspection, equipment } => {
                self.open.remove(equipment);
                self.change(spot, *inspection, |case| {
                    case.stage = Stage::Departed;
                    case.departed_at = Some(spot.at);
                });
            }
            Event::NodeEnrolled {
                node,
                incarnation,
                address,
            } => {
                let enrolment = self.roster.entry(*node).or_default();
                enrolment.incarnation = Some(*incarnation);
                enrolment.address.clone_from(address);
            }
            Event::NodeDrained { node } => self.roster.entry(*node).or_default().drained = true,
            Event::NodeUndrained { node } => self.roster.entry(*node).or_default().drained = false,
            Event::NodeRemoved { node } => self.roster.entry(*node).or_default().removed = true,
            Event::Restored { cluster, .. } => {
                self.cluster = Some(*cluster);
                self.former = None;
                // The folders of the former cluster are not part of this one. Their ids stay in `nodes`.
                self.roster.clear();
            }
        }
    }

    fn change(&mut self, spot: Spot, no: InspectionNo, change: impl FnOnce(&mut Inspection)) {
        let Some(case) = self.inspections.get_mut(&no) else {
            return;
        };
        let case = Arc::make_mut(case);
        if let Some(numbers) = self.by_version.get_mut(&case.version) {
            numbers.remove(&no);
            if numbers.is_empty() {
                self.by_version.remove(&case.version);
            }
        }
        case.version = spot.number;
        change(case);
        self.by_version.entry(spot.number).or_default().insert(no);
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
            self.change(spot, *no, |case| {
                case.stage = Stage::Queued;
                case.pass_epoch = Epoch::NONE;
                case.pass_complete = false;
            });
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

fn record(case: &mut Inspection, spot: Spot, pass: PassNo, evidence: &[Evidence]) {
    case.evidence.extend(evidence.iter().map(|one| RecordedEvidence {
        entry: spot.entry,
        pass,
        at: spot.at,
        evidence: one.clone(),
    }));
}

//! The container that stands before the lane: its pass starts, it waits, or whoever reported it is told why not.

use std::collections::BTreeSet;
use std::time::Duration;

use portcullis_domain::command::ActorBody;
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::id::{DeviceId, InspectionNo, Timestamp};
use portcullis_domain::inspection::{Inspection, Stage};
use portcullis_domain::lane::{DeviceKind, Lane as LaneRecord};
use portcullis_domain::ledger::Ledger;
use tokio::time::Instant;
use tracing::info;

use super::barrier::Order;
use super::{Lane, LaneTicket};

/// How long a container that nobody knows may stand before that is said: an announcement may still be on its way to
/// this replica.
const UNKNOWN_GRACE: Duration = Duration::from_secs(1);

/// A container that stands before the lane.
pub(super) struct Standing {
    pub(super) equipment: EquipmentId,
    pub(super) by: DeviceId,
    pub(super) since: Timestamp,
    pub(super) since_real: Instant,
    pub(super) not_before: Instant,
    pub(super) tries: u32,
}

impl Lane {
    pub(super) fn arrived(&mut self, by: &DeviceId, equipment: EquipmentId) {
        info!(%equipment, "container stands before the lane");
        let now = Instant::now();
        let ledger = self.context.ledger();
        let gone = |order: &Order| {
            let case = ledger.inspection(order.inspection);
            order.sent && case.is_none_or(|case| case.equipment != equipment)
        };
        if self.order.as_ref().is_some_and(gone) {
            // Another container stands there now: the order for the one before it must not be given again.
            self.order = None;
        }
        self.standing = Some(Standing {
            equipment,
            by: by.clone(),
            since: self.context.now(),
            since_real: now,
            not_before: now,
            tries: 0,
        });
    }

    /// Nothing comes of the container that stands before the lane: whoever reported it is told why.
    pub(super) fn turn_away(&mut self, reason: &str, detail: String) {
        if let Some(standing) = self.standing.take() {
            self.refuse(&standing.by, 0, reason, detail);
        }
    }

    pub(super) fn receive_standing(&mut self, ledger: &Ledger, lane: &LaneRecord) {
        let Some(standing) = &self.standing else { return };
        if self.is_pending(&[LaneTicket::Claim, LaneTicket::StartPass, LaneTicket::Abort])
            || Instant::now() < standing.not_before
        {
            return;
        }
        let equipment = standing.equipment.clone();
        let Some(case) = ledger.open_inspection(&equipment) else {
            if standing.since_real.elapsed() >= UNKNOWN_GRACE {
                self.turn_away("UNKNOWN_CONTAINER", format!("nobody announced {equipment}"));
            }
            return;
        };
        if lane.current == Some(case.no) {
            self.standing = None;
        } else if case.conclusion.is_some() {
            // It was concluded while the lane changed hands: the order is due again, whoever was called up since.
            self.order = Some(Order {
                inspection: case.no,
                sent: false,
            });
            self.standing = None;
            self.order_barrier(ledger, lane);
        } else if lane.current.is_some() {
            // It waits until the lane is free.
        } else if lane.next == Some(case.no) {
            self.start_pass(lane, case.no);
        } else if let Some(next) = lane.next {
            let detail = format!("{} has called up {next}, and {equipment} is {}", self.id, case.stage);
            self.turn_away("NOT_CALLED_UP", detail);
        } else if !lane.open {
            self.turn_away("LANE_CLOSED", format!("{} takes no containers now", self.id));
        } else {
            self.claim(case);
        }
    }

    fn claim(&mut self, case: &Inspection) {
        let Some(standing) = &self.standing else { return };
        match case.stage {
            // Also one that another lane has called up: it stands here and not there.
            Stage::Profiled | Stage::Queued | Stage::Assigned { .. } => {
                if self.has_quorum() {
                    info!(inspection = %case.no, equipment = %case.equipment, "claiming");
                    self.context
                        .submit(ActorBody::Claim { inspection: case.no }, LaneTicket::Claim);
                }
            }
            Stage::Announced => {
                if self.is_past(standing.since, standing.since_real, self.context.config.standing_ms) {
                    let detail = format!(
                        "the manifest of {} was not weighed in time; report it again",
                        case.equipment
                    );
                    self.turn_away("NOT_PROFILED", detail);
                }
            }
            stage => {
                let detail = format!("{} is {stage}", case.equipment);
                self.turn_away("ASSIGNED_ELSEWHERE", detail);
            }
        }
    }

    fn start_pass(&mut self, lane: &LaneRecord, inspection: InspectionNo) {
        let Some(standing) = &self.standing else { return };
        let present: BTreeSet<DeviceId> = self.sensors().map(|(id, ..)| id.clone()).collect();
        let all = lane
            .spec
            .devices
            .iter()
            .filter(|device| matches!(device.kind, DeviceKind::Sensor(_)))
            .all(|device| present.contains(&device.id));
        // A pass without one of its sensors may end in a needless review, so a lane that has just moved waits for them.
        let waited = self.is_past(standing.since, standing.since_real, self.context.config.sensors_ms);
        if present.is_empty() || !(all || waited) || !self.has_quorum() {
            return;
        }
        if self
            .context
            .submit(ActorBody::StartPass { inspection }, LaneTicket::StartPass)
        {
            self.starting = present;
        }
    }
}

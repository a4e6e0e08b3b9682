//! Calling a container up, and giving the call-up up when nobody comes.

use portcullis_domain::command::{AbortCause, ActorBody};
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::id::{DeviceId, EntryNo, InspectionNo, Timestamp};
use portcullis_domain::lane::Lane as LaneRecord;
use portcullis_domain::ledger::Ledger;
use portcullis_domain::message::ToDevice;
use tokio::time::Instant;
use tracing::info;

use super::{Lane, LaneTicket};

/// A container that is called up.
pub(super) struct Called {
    pub(super) inspection: InspectionNo,
    /// From when on it could be called up: later when it is called up again after it did not come.
    ready_at: Timestamp,
    pub(super) entry: EntryNo,
    pub(super) since: Timestamp,
    pub(super) since_real: Instant,
    pub(super) sent: bool,
}

impl Lane {
    pub(super) fn follow_call_up(&mut self, ledger: &Ledger, lane: &LaneRecord) {
        let Some(case) = lane.next.and_then(|no| ledger.inspection(no)) else {
            self.called = None;
            return;
        };
        // A lane that is late itself may see a call-up given up and the container called up anew at once.
        let same = |called: &Called| called.inspection == case.no && called.ready_at == case.ready_at;
        if !self.called.as_ref().is_some_and(same) {
            self.called = Some(Called {
                inspection: case.no,
                ready_at: case.ready_at,
                entry: lane.entry,
                since: self.context.now(),
                since_real: Instant::now(),
                sent: false,
            });
        }
        let Some(called) = &self.called else { return };
        let is_there = self
            .standing
            .as_ref()
            .is_some_and(|standing| standing.equipment == case.equipment);
        let late = self.is_past(called.since, called.since_real, self.context.config.call_up_ms);
        let cause = match (lane.open, is_there) {
            (false, false) => Some(AbortCause::LaneClosed),
            (_, false) if late => Some(AbortCause::TimedOut),
            (_, true) if late && lane.current.is_none() && self.sensors().next().is_none() => {
                Some(AbortCause::DeviceLost)
            }
            _ => None,
        };
        let may_abort = self.may_abort() && !self.is_pending(&[LaneTicket::StartPass]);
        if let Some(cause) = cause {
            if may_abort {
                info!(inspection = %case.no, cause = cause.as_str(), "giving up the call-up");
                self.context.submit(
                    ActorBody::Abort {
                        inspection: case.no,
                        cause,
                    },
                    LaneTicket::Abort,
                );
            }
        } else if !called.sent && !is_there && self.has_quorum() {
            info!(inspection = %case.no, equipment = %case.equipment, "calling up");
            let message = self.call_up(called, &case.equipment);
            if let Some(called) = &mut self.called {
                called.sent = true;
            }
            let everybody: Vec<DeviceId> = self.devices.keys().cloned().collect();
            self.send_all(&everybody, &message);
        }
    }

    pub(super) fn call_up(&self, called: &Called, equipment: &EquipmentId) -> ToDevice {
        ToDevice::CallUp {
            inspection: called.inspection,
            equipment: equipment.clone(),
            lane_epoch: self.context.epoch,
            entry: called.entry,
        }
    }
}

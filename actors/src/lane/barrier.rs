//! The barrier: it is ordered once for each conclusion that is committed.

use portcullis_domain::id::InspectionNo;
use portcullis_domain::inspection::Stage;
use portcullis_domain::lane::Lane as LaneRecord;
use portcullis_domain::ledger::Ledger;
use portcullis_domain::message::ToDevice;
use portcullis_domain::policy::Tier;
use tracing::info;

use super::Lane;

/// The last order for the barrier.
pub(super) struct Order {
    pub(super) inspection: InspectionNo,
    pub(super) sent: bool,
}

impl Lane {
    /// A container that has left the lane in the ledger has a conclusion, or its pass broke off.
    pub(super) fn follow_conclusion(&mut self, ledger: &Ledger, lane: &LaneRecord) {
        if self.on_lane == lane.current {
            return;
        }
        if let Some(no) = std::mem::replace(&mut self.on_lane, lane.current)
            && ledger.inspection(no).is_some_and(|case| case.conclusion.is_some())
        {
            self.order = Some(Order {
                inspection: no,
                sent: false,
            });
        }
    }

    /// The barrier moves for committed conclusions only, and never while this node may be cut off.
    pub(super) fn order_barrier(&mut self, ledger: &Ledger, lane: &LaneRecord) {
        let Some(order) = self.order.as_ref().filter(|order| !order.sent) else {
            return;
        };
        let Some(case) = ledger.inspection(order.inspection) else {
            // It has left the port: there is nothing to let through any more.
            self.order = None;
            return;
        };
        let Some(conclusion) = &case.conclusion else { return };
        let ends = self.barrier_ends(lane);
        if ends.is_empty() || !self.has_quorum() {
            return;
        }
        let message = ToDevice::Barrier {
            open: portcullis_domain::mutant!(
                OpensForReview,
                conclusion.verdict.tier <= Tier::Review,
                conclusion.verdict.tier == Tier::Release && case.stage == Stage::Released,
            ),
            inspection: case.no,
            equipment: case.equipment.clone(),
            lane_epoch: self.context.epoch,
            entry: conclusion.entry,
        };
        info!(inspection = %case.no, tier = %conclusion.verdict.tier, entry = conclusion.entry.0, "ordering the barrier");
        if let Some(order) = &mut self.order {
            order.sent = true;
        }
        self.send_all(&ends, &message);
    }
}

//! The drift charts of a running cluster: when they count, and who may set them back.

use super::{Decision, Ledger};
use crate::course::Spot;
use crate::drift::{Alarm, ChartKey, Observed};
use crate::event::Event;
use crate::fusion::{Reason, Verdict};
use crate::id::InspectionNo;
use crate::manifest::TEXT_MAX;
use crate::outcome::{Answer, Refusal, RefusalReason};

impl Ledger {
    /// Lets the charts count a conclusion, before it becomes the inspection's. Returns the alarms it raises.
    pub(super) fn watch_for_drift(
        &mut self,
        spot: Spot,
        no: InspectionNo,
        evidence: &[u32],
        verdict: &Verdict,
    ) -> Vec<Alarm> {
        let policy = self.policy.and_then(|digest| self.policies.get(&digest));
        let (Some(watch), Some(case)) = (
            policy.and_then(|policy| policy.watch.as_ref()),
            self.inspections.get(&no),
        ) else {
            return Vec::new();
        };
        let observed = Observed {
            inspection: no,
            lane: case.stage.lane(),
            at: spot.at,
            evidence: &case.evidence_at(evidence),
            verdict,
        };
        self.charts.observe(watch, &observed)
    }

    /// Charts are kept for devices that some lane has, so that there are never more of them than devices.
    pub(super) fn forget_charts(&mut self) {
        let lanes = &self.lanes;
        self.charts
            .keep_devices(|device| lanes.values().any(|lane| lane.spec.device(device).is_some()));
    }

    pub(super) fn reset_chart(&self, chart: ChartKey, reason: String) -> Result<Decision, Refusal> {
        if reason.trim().is_empty() || reason.len() > TEXT_MAX {
            return Err(Refusal::new(
                RefusalReason::InvalidArgument,
                "reason",
                format!("a reason of 1 to {TEXT_MAX} bytes is needed: what was checked, and what was found"),
            ));
        }
        let Some(known) = self.charts.get(&chart) else {
            return Err(Refusal::new(
                RefusalReason::UnknownChart,
                "chart",
                format!("nothing was counted for {chart} under the active policy; see `policy drift`"),
            ));
        };
        // Whoever sets back a chart that is silent would only hide what it has seen so far.
        if self.charts.standing(&chart).is_none() {
            return Decision::nothing_new(Answer::Done);
        }
        let lane = known.lane;
        Decision::event(Event::ChartReset { chart, lane, reason })
    }
}

/// Whether both verdicts were made with the same things adrift.
pub(super) fn same_drift(a: &Verdict, b: &Verdict) -> bool {
    let drifting = |reason: &&Reason| matches!(reason, Reason::Drifting { .. });
    a.reasons.iter().filter(drifting).eq(b.reasons.iter().filter(drifting))
}

//! A pass from its first sample until its evidence is recorded, or until it is broken off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis_detectors::Declared;
use portcullis_domain::command::{AbortCause, ActorBody};
use portcullis_domain::evidence::Modality;
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::id::{DeviceId, InspectionNo, PassNo, SampleNo};
use portcullis_domain::inspection::{Inspection, Stage};
use portcullis_domain::lane::{DeviceKind, Lane as LaneRecord};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::message::{Steer, ToDevice};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{Lane, LaneMessage, LaneTicket};
use crate::pass::{Pass, Phase};
use crate::source::Source;

const KEEP_AGAIN: Duration = Duration::from_millis(200);
/// Readings that cannot be kept for so long (real time) break the pass off: the lane is worth more than this pass.
const KEEP_WITHIN: Duration = Duration::from_secs(20);

impl Lane {
    fn begin_pass(&mut self, ledger: &Ledger, lane: &LaneRecord, case: Arc<Inspection>) {
        let wanted = std::mem::take(&mut self.starting);
        self.begun = Some((case.no, case.passes));
        self.standing = self
            .standing
            .take()
            .filter(|standing| standing.equipment != case.equipment);
        self.order = None;
        let mut sources = BTreeMap::new();
        let present: Vec<(DeviceId, u64, Modality)> = self
            .sensors()
            .map(|(id, device, modality)| (id.clone(), device.boot, modality))
            .collect();
        let count = present.len();
        for (id, boot, modality) in present {
            let prelude = self.preludes.entry(id.clone()).or_default();
            if let Some(used) = ledger.device_mark(&id) {
                prelude.forget_used(used);
            }
            sources.insert(id.clone(), Source::new(id, boot, modality, count, prelude));
        }
        let lost = sources.is_empty() || wanted.iter().any(|id| !sources.contains_key(id));
        let absent = lane
            .spec
            .devices
            .iter()
            .filter(|device| matches!(device.kind, DeviceKind::Sensor(_)) && !sources.contains_key(&device.id));
        let findings = absent
            .map(|device| {
                let detail = format!("{} was not attached when the pass began", device.id);
                Finding::new(FindingCode::DeviceLost, device.id.as_str(), detail)
            })
            .collect();
        info!(inspection = %case.no, pass = case.passes.0, sensors = sources.len(), "pass starts");
        let start = ToDevice::Start {
            inspection: case.no,
            equipment: case.equipment.clone(),
            pass: case.passes,
            lane_epoch: self.context.epoch,
        };
        let ids: Vec<DeviceId> = sources.keys().cloned().collect();
        // Gaps are counted within a pass: what was lost between passes casts no doubt on this one.
        for device in self.devices.values_mut() {
            device.last = None;
        }
        self.pass = Some(Pass {
            inspection: case.no,
            pass: case.passes,
            equipment: case.equipment.clone(),
            case,
            started_at: self.context.now(),
            started: Instant::now(),
            sources,
            stop_sent: false,
            phase: Phase::Measuring,
            findings,
        });
        if lost {
            self.break_off(AbortCause::DeviceLost);
        } else {
            self.send_all(&ids, &start);
        }
    }

    pub(super) fn follow_pass(&mut self, ledger: &Ledger, lane: &LaneRecord) {
        if let Some(pass) = &self.pass {
            let runs = ledger.inspection(pass.inspection).is_some_and(|case| {
                case.stage == Stage::InPass { lane: self.id }
                    && case.passes == pass.pass
                    && case.pass_epoch == self.context.epoch
                    && !case.pass_complete
            });
            let aborting = match pass.phase {
                Phase::Aborting(cause) => Some(cause),
                Phase::Measuring | Phase::Recording => None,
            };
            let late = aborting.is_none()
                && !self.is_pending(&[LaneTicket::Record])
                && self.is_past(
                    pass.started_at,
                    pass.started,
                    self.context.config.pass_factor * u64::from(lane.spec.usual_pass_s) * 1000,
                );
            if !runs {
                if pass.phase == Phase::Measuring {
                    self.stop_sensors();
                }
                self.pass = None;
                self.idle_since = self.context.now();
            } else if late {
                self.break_off(AbortCause::TimedOut);
            } else if let Some(cause) = aborting.filter(|_| self.may_abort()) {
                // It was refused, and yet the pass still runs as far as this replica knows.
                let inspection = pass.inspection;
                self.context
                    .submit(ActorBody::Abort { inspection, cause }, LaneTicket::Abort);
            }
        }
        if self.pass.is_some() {
            return;
        }
        let Some(case) = lane.current.and_then(|no| ledger.inspection(no)) else {
            return;
        };
        let mine = case.stage == Stage::InPass { lane: self.id } && case.pass_epoch == self.context.epoch;
        if mine && !case.pass_complete && self.begun != Some((case.no, case.passes)) {
            self.begin_pass(ledger, lane, Arc::clone(case));
        }
    }

    /// Fusion knows what features reached it; some may be lost. So the lane, which has every reading, looks once more
    /// before it stops: a pass that stops too early could end in another conclusion than the same readings would.
    pub(super) fn steer(&mut self, steer: Steer) {
        let Some(pass) = &self.pass else { return };
        let meant = (pass.inspection, pass.pass) == (steer.inspection, steer.pass);
        if !steer.stop || !meant || pass.stop_sent || pass.phase != Phase::Measuring {
            return;
        }
        let ledger = self.context.ledger();
        let Some((_, policy)) = ledger.policy() else { return };
        let Some(sample) = pass.enough(policy, self.context.now()) else {
            debug!(inspection = %steer.inspection, sample = steer.sample.0, "not enough is known here, going on");
            return;
        };
        info!(inspection = %steer.inspection, sample = sample.0, "enough is known, stopping");
        let running: Vec<DeviceId> = pass
            .sources
            .iter()
            .filter(|(_, source)| !source.ended)
            .map(|(id, _)| id.clone())
            .collect();
        if let Some(pass) = &mut self.pass {
            pass.stop_sent = true;
        }
        self.send_all(
            &running,
            &ToDevice::Stop {
                inspection: steer.inspection,
                sample,
            },
        );
    }

    pub(super) fn ended(&mut self, id: &DeviceId, inspection: InspectionNo, no: PassNo) {
        let Some(pass) = self.pass.as_mut().filter(|pass| pass.phase == Phase::Measuring) else {
            return;
        };
        if (pass.inspection, pass.pass) != (inspection, no) {
            return;
        }
        let sources = u32::try_from(pass.sources.len()).unwrap_or(u32::MAX);
        let case = Arc::clone(&pass.case);
        let declared = Declared {
            manifest: &case.manifest,
            equipment: &case.equipment,
        };
        match pass.sources.get_mut(id) {
            Some(source) if !source.ended => source.end(declared),
            _ => return,
        }
        let complete = pass.is_complete();
        let feature = self.feature(inspection, no, id, sources, true);
        self.tell_fusion(feature);
        if complete {
            self.keep_readings();
        }
    }

    /// Readings are kept before the evidence names them.
    fn keep_readings(&mut self) {
        let Some(pass) = &mut self.pass else { return };
        pass.phase = Phase::Recording;
        let took_s = u32::try_from(self.context.now().millis_since(pass.started_at) / 1000).unwrap_or(u32::MAX);
        self.pass_s = Some(match self.pass_s {
            // A new pass counts an eighth.
            Some(average) => average - average / 8 + took_s / 8,
            None => took_s,
        });
        let (inspection, no) = (pass.inspection, pass.pass);
        let readings = pass.take_readings();
        debug!(%inspection, pass = no.0, sources = readings.len(), "keeping readings");
        let blobs = Arc::clone(&self.context.ports.blobs);
        self.context.later(async move {
            let kept = async {
                while let Err(error) = blobs.put(readings.clone()).await {
                    warn!(%inspection, %error, "trying again");
                    tokio::time::sleep(KEEP_AGAIN).await;
                }
            };
            match tokio::time::timeout(KEEP_WITHIN, kept).await {
                Ok(()) => LaneMessage::Kept { inspection, pass: no },
                Err(_) => LaneMessage::NotKept { inspection, pass: no },
            }
        });
    }

    pub(super) fn not_kept(&mut self, inspection: InspectionNo, no: PassNo) {
        let waits = self
            .pass
            .as_ref()
            .is_some_and(|pass| pass.phase == Phase::Recording && (pass.inspection, pass.pass) == (inspection, no));
        if waits {
            warn!(%inspection, pass = no.0, "the readings of the pass could not be kept in {KEEP_WITHIN:?}");
            self.break_off(AbortCause::TimedOut);
        }
    }

    pub(super) fn record(&mut self, inspection: InspectionNo, no: PassNo) {
        let Some(pass) = self.pass.as_mut().filter(|pass| pass.phase == Phase::Recording) else {
            return;
        };
        if (pass.inspection, pass.pass) != (inspection, no) {
            return;
        }
        let evidence = pass.evidence();
        info!(%inspection, pass = no.0, sources = evidence.len(), "pass complete");
        let body = ActorBody::RecordEvidence {
            inspection,
            pass: no,
            evidence,
            completes_pass: true,
        };
        self.context.submit(body, LaneTicket::Record);
    }

    /// The pass cannot be completed: sensors stop, the ledger puts the container back into the queue.
    pub(super) fn break_off(&mut self, cause: AbortCause) {
        let Some(pass) = &mut self.pass else { return };
        if matches!(pass.phase, Phase::Aborting(_)) {
            return;
        }
        pass.phase = Phase::Aborting(cause);
        let inspection = pass.inspection;
        warn!(%inspection, pass = pass.pass.0, cause = cause.as_str(), "breaking off the pass");
        self.stop_sensors();
        self.context
            .submit(ActorBody::Abort { inspection, cause }, LaneTicket::Abort);
    }

    fn stop_sensors(&mut self) {
        let Some(pass) = &self.pass else { return };
        let stop = ToDevice::Stop {
            inspection: pass.inspection,
            sample: SampleNo(0),
        };
        let ids: Vec<DeviceId> = pass.sources.keys().cloned().collect();
        self.send_all(&ids, &stop);
    }
}

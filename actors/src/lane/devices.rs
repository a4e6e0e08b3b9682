//! The devices of a lane: which are attached, what they are told and what they say.

use portcullis_domain::command::AbortCause;
use portcullis_domain::evidence::Modality;
use portcullis_domain::finding::{Finding, FindingCode};
use portcullis_domain::id::DeviceId;
use portcullis_domain::lane::{DeviceKind, DeviceSpec, Lane as LaneRecord};
use portcullis_domain::ledger::DeviceMark;
use portcullis_domain::message::ToDevice;
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::Lane;
use crate::device::Said;
use crate::pass::Phase;
use crate::source::Source;

/// A device that is attached.
pub(super) struct Device {
    pub(super) spec: DeviceSpec,
    pub(super) port: u64,
    pub(super) boot: u64,
    pub(super) outgoing: mpsc::Sender<ToDevice>,
    /// The last reading of the pass under way, or since the last one began.
    pub(super) last: Option<u64>,
}

impl Lane {
    pub(super) fn attach(&mut self, id: DeviceId, port: u64, boot: u64, outgoing: mpsc::Sender<ToDevice>) {
        let ledger = self.context.ledger();
        let Some(spec) = ledger.lane(self.id).and_then(|lane| lane.spec.device(&id)).cloned() else {
            let reason = format!("{id} does not belong to {}", self.id);
            let _ = outgoing.try_send(ToDevice::Detached { reason });
            return;
        };
        if let Some(old) = self.devices.get(&id) {
            if old.boot > boot {
                let reason = format!("start {} of {id} is attached, which came after start {boot}", old.boot);
                let _ = outgoing.try_send(ToDevice::Detached { reason });
                return;
            }
            let old_port = old.port;
            self.detach(&id, old_port, "the device attached again");
        }
        let mark = self
            .marks
            .entry(id.clone())
            .or_insert(DeviceMark { boot: 0, sequence: 0 });
        *mark = (*mark).max(ledger.device_mark(&id).unwrap_or(*mark));
        let prelude = self.preludes.entry(id.clone()).or_default();
        if mark.boot != boot {
            prelude.sensor_restarted();
        }
        let welcome = ToDevice::Welcome {
            lane_epoch: self.context.epoch,
        };
        let device = Device {
            spec,
            port,
            boot,
            outgoing,
            last: None,
        };
        info!(device = %id, boot, "device attached");
        self.devices.insert(id.clone(), device);
        self.send(&id, welcome);
        // What the others were told before it came.
        if let Some(called) = self.called.as_ref().filter(|called| called.sent)
            && let Some(case) = ledger.inspection(called.inspection)
        {
            let call = self.call_up(called, &case.equipment);
            self.send(&id, call);
        }
        // Whoever moves the barrier may have missed the order.
        let moves_barrier = ledger
            .lane(self.id)
            .is_some_and(|lane| self.barrier_ends(lane).contains(&id));
        if let Some(order) = self.order.as_mut().filter(|_| moves_barrier) {
            order.sent = false;
        }
    }

    pub(super) fn detach(&mut self, id: &DeviceId, port: u64, reason: &str) {
        if self.devices.get(id).is_none_or(|device| device.port != port) {
            return;
        }
        let Some(device) = self.devices.remove(id) else { return };
        info!(device = %id, reason, "device detached");
        let _ = device.outgoing.try_send(ToDevice::Detached {
            reason: reason.to_owned(),
        });
        let needed = self.pass.as_ref().is_some_and(|pass| {
            pass.phase == Phase::Measuring && pass.sources.get(id).is_some_and(|source| !source.ended)
        });
        if needed {
            self.break_off(AbortCause::DeviceLost);
        }
    }

    /// Sends what the device must get. One that does not take its messages is given up.
    fn send(&mut self, id: &DeviceId, message: ToDevice) {
        let Some(device) = self.devices.get(id) else { return };
        debug!(device = %id, ?message, "to device");
        if device.outgoing.try_send(message).is_err() {
            let port = device.port;
            self.detach(id, port, "the device does not take its messages");
        }
    }

    pub(super) fn send_all(&mut self, ids: &[DeviceId], message: &ToDevice) {
        for id in ids {
            self.send(id, message.clone());
        }
    }

    /// Sends what the device may miss.
    pub(super) fn hint(&self, id: &DeviceId, message: ToDevice) {
        if let Some(device) = self.devices.get(id) {
            let _ = device.outgoing.try_send(message);
        }
    }

    pub(super) fn refuse(&self, id: &DeviceId, sequence: u64, reason: &str, detail: String) {
        info!(device = %id, sequence, reason, detail, "refused");
        self.hint(
            id,
            ToDevice::Refused {
                sequence,
                reason: reason.to_owned(),
                detail,
            },
        );
    }

    pub(super) fn sensors(&self) -> impl Iterator<Item = (&DeviceId, &Device, Modality)> {
        self.devices.iter().filter_map(|(id, device)| match device.spec.kind {
            DeviceKind::Sensor(modality) => Some((id, device, modality)),
            DeviceKind::Controller => None,
        })
    }

    /// Who gets barrier orders: the controllers; on a lane that has none, everybody.
    pub(super) fn barrier_ends(&self, lane: &LaneRecord) -> Vec<DeviceId> {
        let has_controller = lane
            .spec
            .devices
            .iter()
            .any(|device| device.kind == DeviceKind::Controller);
        self.devices
            .iter()
            .filter(|(_, device)| !has_controller || device.spec.kind == DeviceKind::Controller)
            .map(|(id, _)| id.clone())
            .collect()
    }

    pub(super) fn hear(&mut self, id: &DeviceId, port: u64, said: Said) {
        if self.devices.get(id).is_none_or(|device| device.port != port) {
            return;
        }
        match said {
            Said::Reading(reading) => self.take_reading(id, *reading),
            Said::Unfit { reason, detail } => {
                self.refuse(id, 0, reason, detail.clone());
                if let Some(source) = self.source(id) {
                    source.doubt(Finding::new(FindingCode::ReadingRefused, reason, detail));
                }
            }
            Said::Arrived(equipment) => self.arrived(id, equipment),
            Said::PassEnded(inspection, pass) => self.ended(id, inspection, pass),
        }
    }

    /// The device's part of the pass, while it measures.
    pub(super) fn source(&mut self, id: &DeviceId) -> Option<&mut Source> {
        let pass = self.pass.as_mut().filter(|pass| pass.phase == Phase::Measuring)?;
        pass.sources.get_mut(id).filter(|source| !source.ended)
    }

    pub(super) fn give_up_changed_devices(&mut self, lane: &LaneRecord) {
        let changed: Vec<(DeviceId, u64)> = self
            .devices
            .iter()
            .filter(|(id, device)| lane.spec.device(id) != Some(&device.spec))
            .map(|(id, device)| (id.clone(), device.port))
            .collect();
        for (id, port) in changed {
            self.detach(&id, port, "the lane was defined anew");
        }
    }
}

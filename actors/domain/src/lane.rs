//! Screening lanes: what they can see, which devices belong to them, which containers they have.

use crate::codec::canonical;
use crate::evidence::Modality;
use crate::id::{DeviceId, EntryNo, InspectionNo, InvalidId, LaneId, NodeId, TerminalId};

/// The most devices one lane may have.
pub const DEVICES_MAX: usize = 32;

/// What a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeviceKind {
    /// Measures.
    Sensor(Modality),
    /// Controls the lane: shows the call-up, reports the truck, moves the barrier.
    Controller,
}

canonical!(enum DeviceKind { 1 => Sensor(modality), 2 => Controller });

/// A device as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSpec {
    /// Its id.
    pub id: DeviceId,
    /// What it is.
    pub kind: DeviceKind,
    /// Its Ed25519 public key; readings that it does not verify are refused.
    pub public_key: [u8; 32],
}

canonical!(struct DeviceSpec { id, kind, public_key });

/// A lane as configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneSpec {
    /// Its id.
    pub id: LaneId,
    /// Where it is.
    pub terminal: TerminalId,
    /// Its devices.
    pub devices: Vec<DeviceSpec>,
    /// Nodes wired to its hardware, preferred as its home; empty if any will do.
    pub nodes: Vec<NodeId>,
    /// How long a pass usually takes, seconds of the port's clock: the scheduler's first guess.
    pub usual_pass_s: u32,
    /// Called up by the scheduler. False for a lane that only takes containers that stand before it.
    pub scheduled: bool,
}

canonical!(struct LaneSpec { id, terminal, devices, nodes, usual_pass_s, scheduled });

impl LaneSpec {
    /// Modalities that the lane's sensors cover, each once.
    pub fn modalities(&self) -> Vec<Modality> {
        let mut modalities: Vec<_> = self
            .devices
            .iter()
            .filter_map(|device| match device.kind {
                DeviceKind::Sensor(modality) => Some(modality),
                DeviceKind::Controller => None,
            })
            .collect();
        modalities.sort_unstable();
        modalities.dedup();
        modalities
    }

    /// The device with this id.
    pub fn device(&self, id: &DeviceId) -> Option<&DeviceSpec> {
        self.devices.iter().find(|device| device.id == *id)
    }

    /// Refuses a lane that contradicts itself.
    pub fn check(&self) -> Result<(), InvalidId> {
        let bad = |why: &str| Err(InvalidId::new("lane", &self.id.to_string(), why));
        if self.devices.len() > DEVICES_MAX {
            return bad("it has more than 32 devices");
        }
        if self.usual_pass_s == 0 {
            return bad("usual_pass_s is zero");
        }
        for (index, device) in self.devices.iter().enumerate() {
            if self.devices[..index].iter().any(|other| other.id == device.id) {
                return bad("a device is named twice");
            }
            if device.kind == DeviceKind::Sensor(Modality::Manifest) {
                return bad("a manifest is not measured by a device");
            }
        }
        Ok(())
    }
}

/// A lane as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// How it is configured.
    pub spec: LaneSpec,
    /// Takes containers.
    pub open: bool,
    /// Called up, next to be scanned.
    pub next: Option<InspectionNo>,
    /// In a pass.
    pub current: Option<InspectionNo>,
    /// The log entry of the last change, which call-ups carry; a barrier order carries that of its conclusion.
    pub entry: EntryNo,
}

canonical!(struct Lane { spec, open, next, current, entry });

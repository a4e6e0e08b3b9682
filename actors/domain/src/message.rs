//! What actors tell each other and devices, on one node or between nodes. Messages are for speed; whatever must not be
//! lost is ledger state.

use crate::equipment::EquipmentId;
use crate::evidence::{Ability, Modality, Weights};
use crate::id::{DeviceId, EntryNo, Epoch, InspectionNo, LaneId, PassNo, SampleNo, Timestamp};
use crate::placement::ActorKey;
use crate::reading::SignedReading;

/// A message to an actor, with the sender's view of who that is.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// To whom.
    pub to: ActorKey,
    /// Under which placement the sender believes it to run; another epoch refuses it.
    pub to_epoch: Epoch,
    /// From whom.
    pub from: ActorKey,
    /// W3C trace context, empty if none.
    pub traceparent: String,
    /// What.
    pub message: Message,
}

/// What actors tell each other. All of these may be lost without harm.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Lane to fusion: what a source knows after a sample.
    Feature(Feature),
    /// Fusion to lane: enough is known.
    Steer(Steer),
    /// Lane to scheduler: how it stands.
    LaneLoad(LaneLoad),
}

/// What one source knows after one sample of a running pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feature {
    /// The lane, so that the answer finds its way.
    pub lane: LaneId,
    /// The lane's epoch.
    pub lane_epoch: Epoch,
    /// The inspection.
    pub inspection: InspectionNo,
    /// The pass.
    pub pass: PassNo,
    /// The source.
    pub device: DeviceId,
    /// Its modality.
    pub modality: Modality,
    /// After which sample.
    pub sample: SampleNo,
    /// How well it sees.
    pub ability: Ability,
    /// What it knows, cumulative.
    pub weights: Weights,
    /// Nothing more will come from this source in this pass.
    pub last: bool,
    /// How many sensors take part in the pass, so that fusion knows when all have spoken.
    pub sources: u32,
}

/// What fusion answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steer {
    /// The inspection.
    pub inspection: InspectionNo,
    /// The pass.
    pub pass: PassNo,
    /// After which sample this was known.
    pub sample: SampleNo,
    /// Enough is known: stop. Lanes let their sensors go on by themselves, so nobody sends anything else.
    pub stop: bool,
}

/// How a lane stands, as its actor sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaneLoad {
    /// Which lane.
    pub lane: LaneId,
    /// Under which placement.
    pub epoch: Epoch,
    /// Modalities whose sensors are attached right now.
    pub live: Vec<Modality>,
    /// A controller is attached.
    pub controller: bool,
    /// When the lane expects to be free, on the port's clock; in the past if it is.
    pub free_at: Timestamp,
    /// Moving average of what a pass takes, seconds of the port's clock.
    pub pass_s: u32,
}

/// A device to the lane's actor.
#[derive(Debug, Clone, PartialEq)]
pub enum FromDevice {
    /// A measurement.
    Reading(SignedReading),
    /// A container stands before the lane; called up or not.
    Arrived {
        /// Which container.
        equipment: EquipmentId,
    },
    /// The sensor has nothing more to say about this pass.
    PassEnded {
        /// The inspection.
        inspection: InspectionNo,
        /// The pass.
        pass: PassNo,
    },
}

/// The lane's actor to a device.
#[derive(Debug, Clone, PartialEq)]
pub enum ToDevice {
    /// The lane takes the device.
    Welcome {
        /// The lane's placement.
        lane_epoch: Epoch,
    },
    /// This container comes next.
    CallUp {
        /// The inspection.
        inspection: InspectionNo,
        /// The container.
        equipment: EquipmentId,
        /// The lane's placement.
        lane_epoch: Epoch,
        /// The log entry that assigned it.
        entry: EntryNo,
    },
    /// The pass has started: measure.
    Start {
        /// The inspection.
        inspection: InspectionNo,
        /// The container.
        equipment: EquipmentId,
        /// The pass.
        pass: PassNo,
        /// The lane's placement.
        lane_epoch: Epoch,
    },
    /// Go on: readings up to here are taken in.
    Continue {
        /// The inspection.
        inspection: InspectionNo,
        /// Up to which sample.
        sample: SampleNo,
    },
    /// Enough is known, or the pass broke off.
    Stop {
        /// The inspection.
        inspection: InspectionNo,
        /// After which sample this was known.
        sample: SampleNo,
    },
    /// Move the barrier. A device refuses an order that is older than one it has seen.
    Barrier {
        /// Open for this container; false sends it to the holding area with the exit closed.
        open: bool,
        /// The inspection.
        inspection: InspectionNo,
        /// The container.
        equipment: EquipmentId,
        /// The lane's placement.
        lane_epoch: Epoch,
        /// The log entry of the conclusion.
        entry: EntryNo,
    },
    /// A reading or report was refused.
    Refused {
        /// Sequence number of the reading, 0 if it was none.
        sequence: u64,
        /// Why, UPPER_SNAKE.
        reason: String,
        /// For a person.
        detail: String,
    },
    /// The lane gives the device up; attach again.
    Detached {
        /// Why.
        reason: String,
    },
}

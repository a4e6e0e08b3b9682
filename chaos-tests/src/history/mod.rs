//! What the clients of a port saw: every call with its request and its answer, every barrier order, every misdeed.
//!
//! The order of things is a counter, not a clock: what returned before something else was invoked has the smaller number.

mod batch;
mod recorder;
mod request;

use std::sync::Arc;
use std::time::Duration;

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::id::{DeviceId, EntryNo, Epoch, InspectionNo, LaneId, PassNo};

pub use batch::submit;
pub use recorder::Recorder;
pub use request::{GRACE, Request};

use crate::write::Told;

/// A moment of a history.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Grows with everything that is put down.
    pub order: u64,
    /// Since the history began, on tokio's clock.
    pub at: Duration,
}

/// One call.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Who called.
    pub client: Arc<str>,
    /// The node that was asked.
    pub node: u64,
    /// What was asked.
    pub request: Arc<Request>,
    /// When it was sent.
    pub invoked: Moment,
    /// When the answer came. Without one it stays open for ever.
    pub returned: Option<Moment>,
    /// The deadline that it carried.
    pub limit: Duration,
    /// The answer. Of a read, `Unknown` says only that it failed.
    pub told: Told,
}

/// An order that a lane's controller was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarrierOrder {
    /// When it came.
    pub given: Moment,
    /// Through which node.
    pub node: u64,
    /// To whom.
    pub device: DeviceId,
    /// Of which lane.
    pub lane: LaneId,
    /// Under which placement of the lane.
    pub epoch: Epoch,
    /// The entry that it appeals to.
    pub entry: EntryNo,
    /// The inspection.
    pub inspection: InspectionNo,
    /// The container.
    pub equipment: EquipmentId,
    /// Open, or keep shut.
    pub open: bool,
    /// The controller obeyed: it had seen no newer one, and the container stood before it.
    pub obeyed: bool,
}

/// What a device of the port does wrong on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misdeed {
    /// Sends a reading of an earlier pass again.
    Replay,
    /// Signs a reading with a wrong signature.
    Forge,
    /// Sends its readings after it has said that it is done.
    Late,
    /// Sends each reading twice.
    Duplicate,
    /// Leaves sequence numbers out.
    Gap,
    /// Has a clock that is hours off.
    WrongClock,
    /// Names a former start of the device in a reading.
    OldBoot,
    /// Says nothing at all in a pass.
    Silence,
    /// Sends one reading hundreds of times.
    Flood,
}

impl Misdeed {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Replay,
        Self::Forge,
        Self::Late,
        Self::Duplicate,
        Self::Gap,
        Self::WrongClock,
        Self::OldBoot,
        Self::Silence,
        Self::Flood,
    ];

    /// The word in counts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Forge => "forge",
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::Gap => "gap",
            Self::WrongClock => "wrong_clock",
            Self::OldBoot => "old_boot",
            Self::Silence => "silence",
            Self::Flood => "flood",
        }
    }
}

/// Something that a sensor did wrong in a pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// When.
    pub at: Moment,
    /// Who.
    pub device: DeviceId,
    /// In which inspection.
    pub inspection: InspectionNo,
    /// In which pass.
    pub pass: PassNo,
    /// What.
    pub misdeed: Misdeed,
    /// The start of the device.
    pub boot: u64,
    /// The sequence number that was misused: that of a forged reading, or the first one left out.
    pub sequence: u64,
}

/// A hole in a stream of events that has none by contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Who watched.
    pub client: Arc<str>,
    /// Through which node.
    pub node: u64,
    /// The entry that should have come.
    pub expected: u64,
    /// The one that came.
    pub came: u64,
}

/// Everything that the clients of a port saw.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// All calls, in the order in which they were sent.
    pub operations: Vec<Operation>,
    /// All barrier orders, in the order in which they came.
    pub orders: Vec<BarrierOrder>,
    /// What sensors did wrong.
    pub wrongs: Vec<Wrong>,
    /// Events that watchers missed.
    pub holes: Vec<Hole>,
}

impl History {
    /// When the first write was applied that was sent at this time or later: the cluster serves again.
    pub fn applied_after(&self, moment: Duration) -> Option<Duration> {
        self.operations
            .iter()
            .filter(|one| {
                one.invoked.at >= moment && one.request.context().is_some() && matches!(one.told, Told::Applied(_))
            })
            .filter_map(|one| one.returned.map(|returned| returned.at))
            .min()
    }
}

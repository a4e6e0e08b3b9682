//! The actor of a lane: calls containers up, runs their passes, records what the sensors say, orders the barrier.
//!
//! It follows the ledger: every wake-up compares what the ledger says about the lane with what was last done about it.
//! So a lost message delays and never misleads, and a new owner of the lane continues from the ledger alone.

mod barrier;
mod call_up;
mod devices;
mod load;
mod readings;
mod running;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portcullis_domain::command::AbortCause;
use portcullis_domain::id::{DeviceId, InspectionNo, LaneId, PassNo, Timestamp};
use portcullis_domain::ledger::DeviceMark;
use portcullis_domain::message::{LaneLoad, Steer, ToDevice};
use portcullis_domain::outcome::Refusal;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::error;

use self::barrier::Order;
use self::call_up::Called;
use self::devices::Device;
use self::standing::Standing;
use crate::device::Said;
use crate::pass::Pass;
use crate::shell::{Context, Halt, Role};
use crate::source::Prelude;

/// A refused claim or start is tried again this often, because the plan may have changed in between.
const TRIES: u32 = 3;
const TRY_AGAIN: Duration = Duration::from_millis(250);

/// What reaches a lane.
#[derive(Debug)]
pub(crate) enum LaneMessage {
    /// A device comes.
    Attach {
        device: DeviceId,
        port: u64,
        boot: u64,
        outgoing: mpsc::Sender<ToDevice>,
    },
    /// A device goes.
    Detach { device: DeviceId, port: u64 },
    /// A device said something.
    Said { device: DeviceId, port: u64, said: Said },
    /// Fusion says whether enough is known.
    Steer(Steer),
    /// The readings of a pass are kept.
    Kept { inspection: InspectionNo, pass: PassNo },
    /// They could not be kept in time.
    NotKept { inspection: InspectionNo, pass: PassNo },
}

/// What a command is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LaneTicket {
    Claim,
    StartPass,
    Record,
    Abort,
}

/// The actor.
pub(crate) struct Lane {
    context: Context<Self>,
    id: LaneId,
    devices: BTreeMap<DeviceId, Device>,
    /// How far the readings of each device were seen, here or in the ledger.
    marks: BTreeMap<DeviceId, DeviceMark>,
    preludes: BTreeMap<DeviceId, Prelude>,
    called: Option<Called>,
    standing: Option<Standing>,
    /// The sensors that were there when the start of the pass was asked for.
    starting: BTreeSet<DeviceId>,
    pass: Option<Pass>,
    /// The pass that was last begun, so that none begins twice.
    begun: Option<(InspectionNo, PassNo)>,
    /// Which inspection the ledger had on the lane when it was last looked at.
    on_lane: Option<InspectionNo>,
    order: Option<Order>,
    abort_not_before: Instant,
    /// Moving average of what a pass takes, seconds of the port's clock; none before the first.
    pass_s: Option<u32>,
    idle_since: Timestamp,
    reported: Option<(LaneLoad, Instant)>,
}

impl Role for Lane {
    type Message = LaneMessage;
    type Ticket = LaneTicket;
    type Setup = LaneId;

    fn start(context: Context<Self>, id: LaneId) -> Self {
        Self {
            context,
            id,
            devices: BTreeMap::new(),
            marks: BTreeMap::new(),
            preludes: BTreeMap::new(),
            called: None,
            standing: None,
            starting: BTreeSet::new(),
            pass: None,
            begun: None,
            on_lane: None,
            order: None,
            abort_not_before: Instant::now(),
            pass_s: None,
            idle_since: Timestamp::ZERO,
            reported: None,
        }
    }

    fn context(&mut self) -> &mut Context<Self> {
        &mut self.context
    }

    fn wake(&mut self, _: BTreeSet<InspectionNo>) -> Result<(), Halt> {
        self.follow_ledger();
        Ok(())
    }

    fn receive(&mut self, message: LaneMessage) -> Result<(), Halt> {
        match message {
            LaneMessage::Attach {
                device,
                port,
                boot,
                outgoing,
            } => self.attach(device, port, boot, outgoing),
            LaneMessage::Detach { device, port } => self.detach(&device, port, "the device left"),
            LaneMessage::Said { device, port, said } => self.hear(&device, port, said),
            LaneMessage::Steer(steer) => self.steer(steer),
            LaneMessage::Kept { inspection, pass } => self.record(inspection, pass),
            LaneMessage::NotKept { inspection, pass } => self.not_kept(inspection, pass),
        }
        self.follow_ledger();
        Ok(())
    }

    fn refused(&mut self, ticket: LaneTicket, refusal: Refusal) -> Result<(), Halt> {
        match ticket {
            LaneTicket::Claim | LaneTicket::StartPass => {
                self.starting.clear();
                if let Some(standing) = &mut self.standing {
                    standing.tries += 1;
                    standing.not_before = Instant::now() + TRY_AGAIN;
                    if standing.tries >= TRIES {
                        self.turn_away(refusal.reason.as_str(), refusal.detail);
                    }
                }
            }
            LaneTicket::Record => {
                // Either the pass is over, which the ledger will show, or this evidence can never be recorded.
                error!(%refusal, "evidence refused");
                self.break_off(AbortCause::DeviceLost);
            }
            LaneTicket::Abort => {
                // What it is about may be over already; ask again only when this replica has had time to learn it.
                self.abort_not_before = Instant::now() + TRY_AGAIN;
            }
        }
        self.follow_ledger();
        Ok(())
    }

    fn stopping(&mut self) {
        for device in self.devices.values() {
            let reason = "the lane moves to another owner".to_owned();
            let _ = device.outgoing.try_send(ToDevice::Detached { reason });
        }
    }
}

// What the parts share.
impl Lane {
    fn follow_ledger(&mut self) {
        let ledger = self.context.ledger();
        let Some(lane) = ledger.lane(self.id) else { return };
        self.give_up_changed_devices(lane);
        self.follow_pass(&ledger, lane);
        self.follow_conclusion(&ledger, lane);
        self.order_barrier(&ledger, lane);
        self.follow_call_up(&ledger, lane);
        self.receive_standing(&ledger, lane);
        self.report(lane);
    }

    fn is_pending(&self, tickets: &[LaneTicket]) -> bool {
        self.context.commands.pending().any(|ticket| tickets.contains(ticket))
    }

    fn may_abort(&self) -> bool {
        Instant::now() >= self.abort_not_before && !self.is_pending(&[LaneTicket::Abort])
    }

    fn has_quorum(&self) -> bool {
        self.context.ports.quorum.has_quorum()
    }

    /// A deadline of the port has passed, and at least as much real time as the cluster needs.
    fn is_past(&self, since: Timestamp, since_real: Instant, limit_ms: u64) -> bool {
        self.context.now().millis_since(since) >= limit_ms && since_real.elapsed() >= self.context.config.least_wait
    }
}

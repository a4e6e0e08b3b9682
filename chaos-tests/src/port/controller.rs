//! A lane's controller: brings the truck that is called up, and obeys barrier orders unless it has seen a newer one.

use std::sync::Arc;

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::message::{FromDevice, ToDevice};
use rand::RngExt as _;
use tokio::task::JoinSet;

use super::client::Client;
use super::device::{Device, Outbox, say};
use crate::history::{BarrierOrder, Moment};

/// Port time that the truck of a container needs which the port did not announce.
const STRANGER_TRAVEL_MS: u64 = 5 * 60 * 1000;

/// The truck that is on its way. It turns back when this is dropped.
#[derive(Default)]
pub(super) struct Truck {
    called: Option<EquipmentId>,
    on_its_way: JoinSet<()>,
}

impl Truck {
    /// This container is to come.
    pub(super) fn call(&mut self, device: &Arc<Device>, client: &mut Client, equipment: EquipmentId, outbox: Outbox) {
        if self.called.as_ref() == Some(&equipment) && !self.on_its_way.is_empty() {
            return;
        }
        self.on_its_way.abort_all();
        self.called = Some(equipment.clone());
        if client.misbehaves(|share| share.no_show) {
            device.shared.counts().happened("no_show");
            return;
        }
        let stammers = client.misbehaves(|share| share.repeat);
        let nudge = client.rng.random_range(0..2_000);
        let (shared, lane) = (device.shared.clone(), device.lane);
        self.on_its_way.spawn(async move {
            let visit = shared.plan.visit(&equipment);
            let travel_ms = visit.map_or(STRANGER_TRAVEL_MS, portcullis_simulator::Visit::travel_ms);
            let time = shared.time().await;
            tokio::time::sleep(time.real_wait(travel_ms + nudge)).await;
            shared.counts().happened("arrived");
            // Wherever it stood before: it is in one place.
            shared.world().standing.insert(equipment.clone(), lane);
            for _ in 0..=u32::from(stammers) {
                let equipment = equipment.clone();
                say(&outbox, FromDevice::Arrived { equipment }).await;
            }
        });
    }
}

/// Takes a barrier order. One that is older than the newest, or for a container that does not stand here, is refused; every one
/// is put down.
pub(super) fn order(device: &Device, node: u64, order: ToDevice) {
    let ToDevice::Barrier {
        open,
        inspection,
        equipment,
        lane_epoch,
        entry,
    } = order
    else {
        return;
    };
    // Held until it is put down, so that the history has orders in the order in which they were judged.
    let mut memory = device.memory();
    let this = (lane_epoch.0, entry.0);
    let newest = this >= memory.newest_order;
    let obeyed = newest && device.shared.world().leave(&equipment, device.lane);
    memory.newest_order = memory.newest_order.max(this);
    device.shared.counts().happened(match (obeyed, open) {
        (false, _) => "barrier_refused",
        (true, true) => "barrier_open",
        (true, false) => "barrier_shut",
    });
    device.shared.recorder.order(BarrierOrder {
        given: Moment {
            order: 0,
            at: device.shared.recorder.elapsed(),
        },
        node,
        device: device.id.clone(),
        lane: device.lane,
        epoch: lane_epoch,
        entry,
        inspection,
        equipment,
        open,
        obeyed,
    });
}

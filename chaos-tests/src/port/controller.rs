//! A lane's controller: brings the truck that is called up, and obeys barrier orders unless it has seen a newer one.

use std::sync::Arc;

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::message::{FromDevice, ToDevice};
use rand::RngExt as _;
use tokio_util::task::AbortOnDropHandle;

use super::client::Client;
use super::device::{Device, Outbox, say};
use crate::history::{BarrierOrder, Moment};

/// Port time that the truck of a container needs which the port did not announce.
const STRANGER_TRAVEL_MS: u64 = 5 * 60 * 1000;

/// The truck that is on its way. It turns back when this is dropped.
#[derive(Default)]
pub(super) struct Truck {
    on_its_way: Option<(EquipmentId, AbortOnDropHandle<()>)>,
}

impl Truck {
    /// This container is to come.
    pub(super) fn call(&mut self, device: &Arc<Device>, client: &mut Client, equipment: EquipmentId, outbox: Outbox) {
        // One that has come, and was sent away because it came late, drives up again when it is called again.
        let comes =
            |(called, drive): &(EquipmentId, AbortOnDropHandle<()>)| *called == equipment && !drive.is_finished();
        if self.on_its_way.as_ref().is_some_and(comes) {
            return;
        }
        self.on_its_way = None;
        if client.misbehaves(|share| share.no_show) {
            device.shared.counts().happened("no_show");
            return;
        }
        let stammers = client.misbehaves(|share| share.repeat);
        let nudge = client.rng.random_range(0..2_000);
        let (shared, lane) = (device.shared.clone(), device.lane);
        let called = equipment.clone();
        let drive = tokio::spawn(async move {
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
        self.on_its_way = Some((called, AbortOnDropHandle::new(drive)));
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use ed25519_dalek::SigningKey;
    use portcullis_domain::id::{DeviceId, LaneId};
    use portcullis_domain::lane::DeviceKind;
    use tokio::sync::mpsc;

    use super::super::clock::PortTime;
    use super::super::{Misbehaviour, Nodes, Port, PortOptions};
    use super::*;

    /// Trucks that arrive when one is called each time the former had more than enough time, under this share of no-shows.
    async fn arrivals(calls: u32, no_show: u32) -> u32 {
        let misbehaviour = Misbehaviour {
            no_show,
            ..Misbehaviour::NONE
        };
        let options = PortOptions {
            misbehaviour,
            containers: 10,
            ..PortOptions::default()
        };
        let port = Port::new(options, Nodes::default()).unwrap();
        port.shared.clock.send_replace(Some(PortTime::starting(0, 60.0)));
        let id = DeviceId::new("controller-1").unwrap();
        let key = SigningKey::from_bytes(&[7; 32]);
        let device = Arc::new(Device::new(&port.shared, LaneId(1), id, DeviceKind::Controller, key));
        let mut client = Client::new(&port.shared, "controller-1");
        let (outbox, mut said) = mpsc::channel(64);
        let mut truck = Truck::default();
        let equipment = port.shared.plan.visits()[0].equipment.clone();
        for _ in 0..calls {
            for _ in 0..2 {
                // The lane repeats itself while the truck is on its way: that brings no second one.
                truck.call(&device, &mut client, equipment.clone(), outbox.clone());
            }
            tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
        }
        let mut arrived = 0;
        while said.try_recv().is_ok() {
            arrived += 1;
        }
        arrived
    }

    #[tokio::test(start_paused = true)]
    async fn a_truck_comes_each_time_its_container_is_called_again() {
        assert_eq!(arrivals(3, 0).await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_truck_that_did_not_come_once_comes_when_it_is_called_again() {
        let arrived = arrivals(20, 500).await;
        assert!((5..20).contains(&arrived), "{arrived} of 20");
    }
}

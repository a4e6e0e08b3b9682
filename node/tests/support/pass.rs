//! A lane with every sensor, and a whole pass over it.

use portcullis_domain::id::{LaneId, TerminalId};
use portcullis_domain::lane::{DeviceKind, LaneSpec};
use portcullis_domain::message::{FromDevice, ToDevice};
use portcullis_simulator::{Outfit, ReadingSource, Visit};

use super::{Attached, Cluster, device, sensor_of};

/// Lane 1 of terminal T1, with a controller and the sensors that the simulator has readings for.
pub(crate) fn full_lane() -> LaneSpec {
    let mut devices = vec![device("lane-1-controller", DeviceKind::Controller)];
    devices.extend(
        Outfit::Basic
            .modalities()
            .iter()
            .map(|modality| sensor_of(1, *modality)),
    );
    LaneSpec {
        id: LaneId(1),
        terminal: TerminalId::new("T1").unwrap(),
        devices,
        nodes: Vec::new(),
        usual_pass_s: 90,
        scheduled: true,
    }
}

/// Runs a whole pass on [`full_lane`] through node 1, until the barrier is ordered. Each call needs a higher boot number of
/// the devices than the one before.
pub(crate) async fn scanned(cluster: &Cluster, inspection: u64, visit: &Visit, boot: u64) {
    let channel = cluster.nodes[&1].channel.clone();
    let source = ReadingSource::new(7, Outfit::Basic);
    let mut controller = Attached::attach(&channel, 1, "lane-1-controller", boot).await;
    let mut sensors = Vec::new();
    for modality in Outfit::Basic.modalities().iter().copied() {
        let sensor = Attached::attach(&channel, 1, &format!("lane-1-{modality}"), boot).await;
        sensors.push((modality, sensor));
    }
    let equipment = visit.equipment.clone();
    controller.say(FromDevice::Arrived { equipment }).await;
    let passes = sensors
        .iter_mut()
        .map(|(modality, sensor)| sensor.measure(*modality, &source, visit));
    futures::future::join_all(passes).await;
    controller
        .expect("an order to the barrier", |message| {
            // A controller that attaches is told the last order again, which may be about the container before.
            matches!(message, ToDevice::Barrier { inspection: of, .. } if of.0 == inspection).then_some(())
        })
        .await;
}

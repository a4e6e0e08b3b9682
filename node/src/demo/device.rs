//! A simulated device: attaches to its lane over gRPC, as a real one would, and signs what it reads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey};
use portcullis_config::PortClock;
use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::evidence::Modality;
use portcullis_domain::id::{DeviceId, InspectionNo, LaneId, PassNo, SampleNo};
use portcullis_domain::lane::{DeviceKind, LaneSpec};
use portcullis_domain::message::{FromDevice, ToDevice};
use portcullis_domain::reading::{Reading, ReadingHeader, SignedReading};
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::lane_service_client::LaneServiceClient;
use portcullis_simulator::{Arrivals, Outfit, PortOptions, PortPlan, ReadingSource};
use portcullis_wire::device::{DeviceFrame, Hello, LaneFrame, decode_lane_message, encode_device_message};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;

use super::cluster::TERMINAL;
use super::rpc::Nodes;
use crate::clock::PortTime;

/// A node pings several times a second; one that is silent for longer is given up.
const SILENCE: Duration = Duration::from_millis(2500);
/// Port time that the truck of a container needs which the simulated port did not announce.
const STRANGER_TRAVEL_MS: u64 = 15 * 60 * 1000;
/// Messages that may wait for the socket.
const OUTBOX: usize = 64;

/// What all devices of a demo share.
pub(crate) struct Port {
    pub(crate) plan: PortPlan,
    pub(super) source: ReadingSource,
    pub(crate) clock: PortTime,
    pub(super) nodes: Nodes,
    /// Barrier orders that were older than one seen before, and so refused.
    pub(super) stale_orders: AtomicU64,
    pub(super) stop: CancellationToken,
    /// Told when a device has said everything about a pass.
    pub(super) done: Option<mpsc::UnboundedSender<(InspectionNo, Instant)>>,
}

impl Port {
    /// A simulated port for so many lanes: what comes to it, what scans it, and how nodes are reached.
    pub(crate) fn new(
        seed: u64,
        containers: u32,
        lanes: (u32, Outfit),
        clock: PortClock,
        nodes: Nodes,
        stop: CancellationToken,
    ) -> Self {
        let mut options = PortOptions::for_terminal(TERMINAL).unwrap_or_else(|_| unreachable!("a valid label"));
        // A little more than the lanes can take, so that they are busy and a queue is there to be scheduled.
        options.arrivals = Arrivals::Poisson { per_hour: lanes.0 * 56 };
        options.starts_at = clock.origin;
        Self {
            plan: PortPlan::new(seed, containers, options),
            source: ReadingSource::new(seed, lanes.1),
            clock: PortTime::new(clock),
            nodes,
            stale_orders: AtomicU64::new(0),
            stop,
            done: None,
        }
    }

    /// Says to `done` when a device has sent its last word about a pass, of which inspection.
    pub(crate) fn telling(mut self, done: mpsc::UnboundedSender<(InspectionNo, Instant)>) -> Self {
        self.done = Some(done);
        self
    }

    fn said_everything(&self, inspection: InspectionNo) {
        if let Some(done) = &self.done {
            let _ = done.send((inspection, Instant::now()));
        }
    }
}

/// Starts the devices of every lane that containers are called up to.
pub(crate) fn start_devices(lanes: &[LaneSpec], keys: &BTreeMap<DeviceId, SigningKey>, port: &Arc<Port>) {
    for lane in lanes.iter().filter(|lane| lane.scheduled) {
        for spec in &lane.devices {
            let Some(key) = keys.get(&spec.id).cloned() else {
                continue;
            };
            let device = Device {
                id: spec.id.clone(),
                lane: lane.id,
                kind: spec.kind,
                key,
            };
            device.start(port.clone());
        }
    }
}

/// One device.
struct Device {
    id: DeviceId,
    lane: LaneId,
    kind: DeviceKind,
    key: SigningKey,
}

/// A device with what it remembers between attachments.
struct Running {
    device: Arc<Device>,
    port: Arc<Port>,
    boot: u64,
    sequence: Arc<AtomicU64>,
    last_order: (u64, u64),
    measuring: Option<Measuring>,
}

/// A pass that the device measures.
struct Measuring {
    inspection: InspectionNo,
    pass: PassNo,
    task: JoinHandle<()>,
}

impl Device {
    /// Attaches, and attaches again, until the demo ends.
    fn start(self, port: Arc<Port>) {
        tokio::spawn(async move {
            let mut running = Running {
                boot: crate::clock::unix_ms(),
                sequence: Arc::new(AtomicU64::new(0)),
                last_order: (0, 0),
                measuring: None,
                device: Arc::new(self),
                port: port.clone(),
            };
            // Devices of one lane start at different nodes.
            let mut turn = running.device.lane.0 as usize + running.device.id.as_str().len();
            while !port.stop.is_cancelled() {
                let attached = tokio::select! {
                    () = port.stop.cancelled() => break,
                    attached = running.attach(turn) => attached,
                };
                running.end_measuring();
                if !attached {
                    turn += 1;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
}

impl Running {
    /// One attachment, until it ends. True if the lane took the device: then the same node is asked again.
    async fn attach(&mut self, turn: usize) -> bool {
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let hello = DeviceFrame::Hello(Hello {
            lane: self.device.lane,
            device: self.device.id.clone(),
            boot: self.boot,
        });
        if outbox.try_send(encode_device_message(&hello)).is_err() {
            return false;
        }
        let mut client = LaneServiceClient::new(self.port.nodes.nth(turn));
        let Ok(Ok(response)) = timeout(SILENCE, client.attach(ReceiverStream::new(messages))).await else {
            return false;
        };
        let mut incoming = response.into_inner();
        let mut welcome = false;
        while let Ok(Ok(Some(message))) = timeout(SILENCE, incoming.message()).await {
            match decode_lane_message(message) {
                Ok(LaneFrame::Ping(nonce)) => {
                    if outbox
                        .send(encode_device_message(&DeviceFrame::Pong(nonce)))
                        .await
                        .is_err()
                    {
                        break;
                    }
                }
                Ok(LaneFrame::Message(ToDevice::Detached { reason })) => {
                    tracing::debug!(device = %self.device.id, reason, "detached");
                    break;
                }
                Ok(LaneFrame::Message(message)) => {
                    welcome |= matches!(message, ToDevice::Welcome { .. });
                    self.hear(message, &outbox);
                }
                Err(invalid) => tracing::warn!(device = %self.device.id, %invalid, "a message was not understood"),
            }
        }
        welcome
    }

    fn hear(&mut self, message: ToDevice, outbox: &mpsc::Sender<pb::DeviceMessage>) {
        match (self.device.kind, message) {
            (DeviceKind::Controller, ToDevice::CallUp { equipment, .. }) => self.drive_up(equipment, outbox.clone()),
            (DeviceKind::Controller, ToDevice::Barrier { lane_epoch, entry, .. }) => {
                let order = (lane_epoch.0, entry.0);
                if order < self.last_order {
                    self.port.stale_orders.fetch_add(1, Ordering::Relaxed);
                } else {
                    self.last_order = order;
                }
            }
            (
                DeviceKind::Sensor(modality),
                ToDevice::Start {
                    inspection,
                    equipment,
                    pass,
                    ..
                },
            ) => {
                self.end_measuring();
                self.measure(modality, inspection, equipment, pass, outbox.clone());
            }
            (DeviceKind::Sensor(_), ToDevice::Stop { inspection, .. }) => {
                if let Some(measuring) = self.measuring.take_if(|measuring| measuring.inspection == inspection) {
                    measuring.task.abort();
                    let ended = FromDevice::PassEnded {
                        inspection,
                        pass: measuring.pass,
                    };
                    let (outbox, port) = (outbox.clone(), self.port.clone());
                    tokio::spawn(async move {
                        let _ = outbox.send(encode_device_message(&DeviceFrame::Message(ended))).await;
                        port.said_everything(inspection);
                    });
                }
            }
            (_, ToDevice::Refused { reason, detail, .. }) => {
                tracing::debug!(device = %self.device.id, reason, detail, "refused");
            }
            _ => {}
        }
    }

    /// The truck needs its time from the waiting area to the lane.
    fn drive_up(&self, equipment: EquipmentId, outbox: mpsc::Sender<pb::DeviceMessage>) {
        let port = self.port.clone();
        tokio::spawn(async move {
            // A container that is none of ours may stand before another lane, where somebody replays its pass.
            let travel_ms = port
                .plan
                .visit(&equipment)
                .map_or(STRANGER_TRAVEL_MS, portcullis_simulator::Visit::travel_ms);
            tokio::time::sleep(port.clock.rate.real_wait(travel_ms)).await;
            let arrived = DeviceFrame::Message(FromDevice::Arrived { equipment });
            let _ = outbox.send(encode_device_message(&arrived)).await;
        });
    }

    fn measure(
        &mut self,
        modality: Modality,
        inspection: InspectionNo,
        equipment: EquipmentId,
        pass: PassNo,
        outbox: mpsc::Sender<pb::DeviceMessage>,
    ) {
        let (device, port) = (self.device.clone(), self.port.clone());
        let (boot, sequence) = (self.boot, self.sequence.clone());
        let task = tokio::spawn(async move {
            let started = Instant::now();
            if let Some(visit) = port.plan.visit(&equipment) {
                for (sample, content) in port.source.readings(modality, visit) {
                    let due = started + port.clock.rate.real_wait(ReadingSource::captured_after_ms(sample));
                    tokio::time::sleep_until(due).await;
                    let background = content.precedes_pass();
                    let reading = Reading {
                        header: ReadingHeader {
                            device: device.id.clone(),
                            boot,
                            sequence: sequence.fetch_add(1, Ordering::Relaxed) + 1,
                            captured_at: port.clock.now(),
                            inspection: (!background).then_some(inspection),
                            equipment: (!background).then(|| equipment.clone()),
                            sample: if background { SampleNo(0) } else { sample },
                        },
                        content,
                    };
                    let message = FromDevice::Reading(sign(&device.key, &reading));
                    if outbox
                        .send(encode_device_message(&DeviceFrame::Message(message)))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
            }
            let ended = DeviceFrame::Message(FromDevice::PassEnded { inspection, pass });
            let _ = outbox.send(encode_device_message(&ended)).await;
            port.said_everything(inspection);
        });
        self.measuring = Some(Measuring { inspection, pass, task });
    }

    fn end_measuring(&mut self) {
        if let Some(measuring) = self.measuring.take() {
            measuring.task.abort();
        }
    }
}

/// Signs a reading as its device.
pub fn sign(key: &SigningKey, reading: &Reading) -> SignedReading {
    let mut signed = SignedReading {
        body: portcullis_wire::reading::encode_reading(reading),
        signature: Vec::new(),
    };
    signed.signature = key.sign(&signed.digest().0).to_bytes().to_vec();
    signed
}

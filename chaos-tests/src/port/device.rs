//! A device of a lane: attaches anywhere, is dropped, attaches elsewhere, sometimes twice at the same time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use portcullis_domain::id::{DeviceId, LaneId};
use portcullis_domain::lane::DeviceKind;
use portcullis_domain::message::{FromDevice, ToDevice};
use portcullis_domain::reading::SignedReading;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::lane_service_client::LaneServiceClient;
use portcullis_wire::device::{DeviceFrame, Hello, LaneFrame, decode_lane_message, encode_device_message};
use rand::RngExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::client::Client;
use super::shared::Shared;
use super::{controller, sensor};

/// A node pings several times a second; one that is silent for longer is given up.
const SILENCE: Duration = Duration::from_millis(2500);
/// Messages that may wait for the socket.
const OUTBOX: usize = 64;
/// A device tries again after so long.
const AGAIN: Duration = Duration::from_millis(150);

/// One device.
pub(super) struct Device {
    pub(super) shared: Arc<Shared>,
    pub(super) id: DeviceId,
    pub(super) lane: LaneId,
    pub(super) kind: DeviceKind,
    pub(super) key: SigningKey,
    memory: Mutex<Memory>,
}

/// What a device remembers, however often it attaches.
#[derive(Default)]
pub(super) struct Memory {
    /// This start of the device.
    pub(super) boot: u64,
    /// The last reading of this start.
    pub(super) sequence: u64,
    /// The newest barrier order: lane epoch and log entry.
    pub(super) newest_order: (u64, u64),
    /// Some readings of earlier passes.
    pub(super) past: VecDeque<SignedReading>,
    attachments: u64,
}

/// The way from a device to its lane, while it is attached.
pub(super) type Outbox = mpsc::Sender<pb::DeviceMessage>;

impl Device {
    pub(super) fn new(shared: &Arc<Shared>, lane: LaneId, id: DeviceId, kind: DeviceKind, key: SigningKey) -> Self {
        Self {
            shared: shared.clone(),
            id,
            lane,
            kind,
            key,
            memory: Mutex::default(),
        }
    }

    /// Attaches, and attaches again, for ever.
    pub(super) async fn run(self: Arc<Self>) {
        let mut client = Client::new(&self.shared, self.id.as_str());
        // Above that of any earlier start, also of an earlier run against the same cluster.
        self.memory().boot = self.shared.time().await.now().0;
        loop {
            // No line holds for ever, and some hardly at all.
            let stay = match client.misbehaves(|share| share.drop) {
                true => client.rng.random_range(300..10_000),
                false => client.rng.random_range(20_000..120_000),
            };
            let attached = async {
                if client.misbehaves(|share| share.twice) {
                    self.shared.counts().happened("attached_twice");
                    let (one, two) = (self.attachment(), self.attachment());
                    tokio::join!(one, two);
                } else {
                    self.attachment().await;
                }
            };
            let dropped = timeout(Duration::from_millis(stay), attached).await.is_err();
            if dropped {
                self.shared.counts().happened("dropped");
            }
            if dropped && client.rng.random_range(0..3) == 0 && !self.shared.is_calm() {
                let mut memory = self.memory();
                memory.boot += 1;
                memory.sequence = 0;
                self.shared.counts().happened("device_restart");
            }
            client.pause(AGAIN).await;
        }
    }

    /// One attachment at some node, until it ends.
    async fn attachment(self: &Arc<Self>) {
        let (boot, count) = {
            let mut memory = self.memory();
            memory.attachments += 1;
            (memory.boot, memory.attachments)
        };
        let mut client = Client::new(&self.shared, format!("{}/{count}", self.id));
        let Some((node, channel)) = self.shared.nodes.any(&mut client.rng) else {
            return;
        };
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let hello = DeviceFrame::Hello(Hello {
            lane: self.lane,
            device: self.id.clone(),
            boot,
        });
        if outbox.try_send(encode_device_message(&hello)).is_err() {
            return;
        }
        let mut lane = LaneServiceClient::new(channel);
        let Ok(Ok(response)) = timeout(SILENCE, lane.attach(ReceiverStream::new(messages))).await else {
            self.shared.counts().happened("attach_failed");
            return;
        };
        let mut incoming = response.into_inner();
        let mut ear = Ear::new(self, client, node, outbox);
        while let Ok(Ok(Some(message))) = timeout(SILENCE, incoming.message()).await {
            let goes_on = match decode_lane_message(message) {
                Ok(LaneFrame::Ping(nonce)) => {
                    let pong = encode_device_message(&DeviceFrame::Pong(nonce));
                    timeout(SILENCE, ear.outbox.send(pong))
                        .await
                        .is_ok_and(|sent| sent.is_ok())
                }
                Ok(LaneFrame::Message(message)) => ear.hear(message),
                Err(_) => {
                    self.shared.counts().happened("not_understood");
                    true
                }
            };
            if !goes_on {
                return;
            }
        }
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What takes in the messages of one attachment. What it started ends with it.
struct Ear {
    device: Arc<Device>,
    client: Client,
    node: u64,
    outbox: Outbox,
    truck: controller::Truck,
    measuring: sensor::Measuring,
}

impl Ear {
    fn new(device: &Arc<Device>, client: Client, node: u64, outbox: Outbox) -> Self {
        Self {
            device: device.clone(),
            client,
            node,
            outbox,
            truck: controller::Truck::default(),
            measuring: sensor::Measuring::default(),
        }
    }

    /// False when the attachment is over.
    fn hear(&mut self, message: ToDevice) -> bool {
        let counts = |what| self.device.shared.counts().happened(what);
        match (self.device.kind, message) {
            (_, ToDevice::Welcome { .. }) => counts("attached"),
            (_, ToDevice::Detached { .. }) => {
                counts("detached");
                return false;
            }
            (_, ToDevice::Refused { reason, .. }) => counts(&format!("device_refused {reason}")),
            (DeviceKind::Controller, ToDevice::CallUp { equipment, .. }) => {
                self.truck
                    .call(&self.device, &mut self.client, equipment, self.outbox.clone());
            }
            (DeviceKind::Controller, order @ ToDevice::Barrier { .. }) => {
                controller::order(&self.device, self.node, order);
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
                let about = sensor::About {
                    modality,
                    inspection,
                    equipment,
                    pass,
                };
                self.measuring
                    .start(&self.device, &mut self.client, about, self.outbox.clone());
            }
            (DeviceKind::Sensor(_), ToDevice::Stop { inspection, .. }) => {
                self.measuring.stop(inspection, &self.outbox);
            }
            _ => {}
        }
        true
    }
}

/// Says something to the lane; false when nobody listens any more.
pub(super) async fn say(outbox: &Outbox, message: FromDevice) -> bool {
    let message = encode_device_message(&DeviceFrame::Message(message));
    outbox.send(message).await.is_ok()
}

//! Attaching devices: any node takes a device's stream and carries it to the lane's actor, here or over the link.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::Stream;
use portcullis_actors::{Attachment, DevicePort};
use portcullis_domain::id::{DeviceId, LaneId};
use portcullis_domain::message::{FromDevice, ToDevice};
use portcullis_domain::outcome::RefusalReason;
use portcullis_domain::placement::{ActorKey, Placement};
use portcullis_proto::v1 as pb;
use portcullis_wire::InvalidField;
use portcullis_wire::device::{DeviceFrame, Hello, LaneFrame, decode_device_message, encode_lane_message};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::Gateway;
use super::homes::Homes;
use crate::link::RemotePort;

/// How long the first message of a device may take.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// Pings show both sides within seconds that the other one is gone.
const PING_EVERY: Duration = Duration::from_millis(750);
/// Messages of the lane that may wait for the device.
const TO_DEVICE: usize = 64;
/// A device that does not take a message within this time is as good as gone.
const SEND_WITHIN: Duration = Duration::from_secs(2);

/// A device's way to its lane.
enum Route {
    Here(Box<DevicePort>),
    There(RemotePort),
}

impl Route {
    async fn deliver(&self, message: FromDevice) -> bool {
        match self {
            Self::Here(port) => port.deliver(message, String::new()).await.is_ok(),
            Self::There(port) => port.deliver(message).await.is_ok(),
        }
    }

    /// Resolves with the reason when the lane's node gave the device up.
    async fn gone(&self) -> String {
        match self {
            // The lane closes the channel to the device instead.
            Self::Here(_) => std::future::pending().await,
            Self::There(port) => port.gone().await,
        }
    }
}

impl Gateway {
    pub(super) async fn attach_device(
        &self,
        mut incoming: Streaming<pb::DeviceMessage>,
    ) -> Result<impl Stream<Item = Result<pb::LaneMessage, Status>> + Send + use<>, Status> {
        let permit = self.inner.devices.clone().try_acquire_owned().map_err(|_| {
            let detail = format!(
                "this node takes {} devices at most",
                self.inner.config.limits.attached_devices
            );
            super::full("TOO_MANY_DEVICES", &detail)
        })?;
        let first = tokio::time::timeout(HELLO_WITHIN, incoming.message())
            .await
            .map_err(|_| Status::deadline_exceeded("hello: it did not come in time"))??
            .ok_or_else(|| Status::invalid_argument("hello: the stream ended before it"))?;
        let hello = match decode_device_message(first).map_err(|invalid| portcullis_wire::status::invalid(&invalid))? {
            DeviceFrame::Hello(hello) => hello,
            DeviceFrame::Message(_) | DeviceFrame::Pong(_) => {
                let invalid = InvalidField::new("message", "an attached stream starts with hello");
                return Err(portcullis_wire::status::invalid(&invalid));
            }
        };
        let (to_device, from_lane) = mpsc::channel(TO_DEVICE);
        let (route, placement) = self.route(&hello, to_device)?;
        let (out, answers) = mpsc::channel(TO_DEVICE);
        let serving = Serving {
            gateway: self.clone(),
            hello,
            route,
            placement,
            out,
            _counted: Counted::new(permit, self.inner.attached.clone()),
        };
        tokio::spawn(serving.run(incoming, from_lane));
        Ok(ReceiverStream::new(answers))
    }

    /// Finds the lane's actor and announces the device to it.
    fn route(&self, hello: &Hello, to_device: mpsc::Sender<ToDevice>) -> Result<(Route, Placement), Status> {
        let view = self.inner.consensus.view();
        let lane = view.ledger.lane(hello.lane).ok_or_else(|| {
            super::absent(
                RefusalReason::UnknownLane,
                "hello.lane",
                format!("there is no {}", hello.lane),
            )
        })?;
        if lane.spec.device(&hello.device).is_none() {
            let detail = format!("{} is not a device of {}; see `lane ls`", hello.device, hello.lane);
            return Err(super::absent(RefusalReason::InvalidArgument, "hello.device", detail));
        }
        let retry = |detail: String| {
            portcullis_wire::status::unavailable("LANE_NOT_RUNNING", &detail, Duration::from_millis(250))
        };
        let placement = *view
            .ledger
            .placement(&ActorKey::Lane(hello.lane))
            .filter(|placement| placement.live)
            .ok_or_else(|| retry(format!("{} has no home right now", hello.lane)))?;
        if placement.node == self.inner.config.node.id && placement.boot == self.inner.boot {
            let host = self
                .inner
                .host
                .load_full()
                .ok_or_else(|| retry("this node is starting".to_owned()))?;
            let port = attach_here(&host, hello.lane, hello.device.clone(), hello.boot, to_device)?;
            return Ok((Route::Here(Box::new(port)), placement));
        }
        let port = self
            .inner
            .links
            .open_device(
                placement.node,
                hello.lane,
                placement.epoch,
                hello.device.clone(),
                hello.boot,
                to_device,
            )
            .map_err(|error| retry(format!("{} runs on {}: {error}", hello.lane, placement.node)))?;
        Ok((Route::There(port), placement))
    }
}

fn attach_here(
    host: &portcullis_actors::Host,
    lane: LaneId,
    device: DeviceId,
    boot: u64,
    outgoing: mpsc::Sender<ToDevice>,
) -> Result<DevicePort, Status> {
    host.attach(Attachment {
        lane,
        device,
        boot,
        outgoing,
    })
    .map_err(|refused| {
        portcullis_wire::status::unavailable(&refused.reason, &refused.detail, Duration::from_millis(250))
    })
}

/// A place among the devices of this node, given back when the device detaches.
struct Counted {
    _permit: OwnedSemaphorePermit,
    attached: Arc<AtomicU32>,
}

impl Counted {
    fn new(permit: OwnedSemaphorePermit, attached: Arc<AtomicU32>) -> Self {
        attached.fetch_add(1, Ordering::Relaxed);
        Self {
            _permit: permit,
            attached,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.attached.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One attached device.
struct Serving {
    gateway: Gateway,
    hello: Hello,
    route: Route,
    placement: Placement,
    out: mpsc::Sender<Result<pb::LaneMessage, Status>>,
    _counted: Counted,
}

impl Serving {
    async fn run(self, mut incoming: Streaming<pb::DeviceMessage>, mut from_lane: mpsc::Receiver<ToDevice>) {
        let idle = self.gateway.inner.config.limits.stream_idle;
        let mut pings = tokio::time::interval(PING_EVERY);
        pings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut heard = tokio::time::Instant::now();
        let mut homes = self.gateway.inner.homes.clone();
        // It may have moved since the route was found.
        homes.mark_changed();
        let stop = self.gateway.inner.stop.clone();
        let why = loop {
            tokio::select! {
                // What the lane has said goes out before anything ends the attachment.
                biased;
                message = from_lane.recv() => {
                    let Some(message) = message else { break "LANE_GAVE_UP".to_owned() };
                    let last = matches!(message, ToDevice::Detached { .. });
                    if !self.send(LaneFrame::Message(message)).await || last {
                        return;
                    }
                }
                () = stop.cancelled() => break "NODE_STOPPING".to_owned(),
                reason = self.route.gone() => {
                    while let Ok(message) = from_lane.try_recv() {
                        if !self.send(LaneFrame::Message(message)).await {
                            return;
                        }
                    }
                    break reason;
                }
                () = self.out.closed() => return,
                message = incoming.message() => {
                    let message = match message {
                        Ok(Some(message)) => message,
                        Ok(None) | Err(_) => return,
                    };
                    match decode_device_message(message) {
                        Ok(DeviceFrame::Message(message)) => {
                            if let Err(why) = self.deliver(message, idle).await {
                                break why;
                            }
                        }
                        Ok(DeviceFrame::Pong(_)) => {}
                        Ok(DeviceFrame::Hello(_)) => {
                            self.refuse(&InvalidField::new("hello", "it comes first and only once")).await;
                            return;
                        }
                        Err(invalid) => {
                            self.refuse(&invalid).await;
                            return;
                        }
                    }
                    // Time that the lane took to hear it is not the device's silence.
                    heard = tokio::time::Instant::now();
                }
                _ = pings.tick() => {
                    if heard.elapsed() > idle {
                        let text = format!("nothing came from the device for {} s", idle.as_secs());
                        let _ = self.out.send_timeout(Err(Status::deadline_exceeded(text)), SEND_WITHIN).await;
                        return;
                    }
                    if !self.send(LaneFrame::Ping(self.gateway.next_nonce())).await {
                        return;
                    }
                }
                changed = homes.changed() => {
                    if changed.is_err() || self.moved(&homes) {
                        break "LANE_MOVED".to_owned();
                    }
                }
            }
        };
        tracing::debug!(lane = %self.hello.lane, device = %self.hello.device, reason = why, "device detached");
        let _ = self.send(LaneFrame::Message(ToDevice::Detached { reason: why })).await;
    }

    /// Waits for room at the lane, but not when that cannot come any more.
    async fn deliver(&self, message: FromDevice, idle: Duration) -> Result<(), String> {
        tokio::select! {
            taken = self.route.deliver(message) => if taken { Ok(()) } else { Err("LANE_GAVE_UP".to_owned()) },
            reason = self.route.gone() => Err(reason),
            () = self.gateway.inner.stop.cancelled() => Err("NODE_STOPPING".to_owned()),
            () = self.out.closed() => Err("DEVICE_GONE".to_owned()),
            () = tokio::time::sleep(idle) => Err("LANE_OVERLOADED".to_owned()),
        }
    }

    /// The device does not keep to the contract.
    async fn refuse(&self, invalid: &InvalidField) {
        let _ = self
            .out
            .send_timeout(Err(portcullis_wire::status::invalid(invalid)), SEND_WITHIN)
            .await;
    }

    /// Whether the lane's actor runs elsewhere or again since the device was announced to it.
    fn moved(&self, homes: &watch::Receiver<Homes>) -> bool {
        // What is known here may be older than what the route was found with.
        homes
            .borrow()
            .get(&self.hello.lane)
            .is_some_and(|home| *home != self.placement && home.epoch >= self.placement.epoch)
    }

    /// A device that does not take its messages within seconds is as good as gone.
    async fn send(&self, frame: LaneFrame) -> bool {
        self.out
            .send_timeout(Ok(encode_lane_message(&frame)), SEND_WITHIN)
            .await
            .is_ok()
    }
}

//! The answering side: hands messages to the actors here, grants credits as they are handled.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use portcullis_actors::{Attachment, Refused};
use portcullis_domain::id::{Epoch, NodeId};
use portcullis_domain::message::FromDevice;
use portcullis_proto::internal::v1 as pb;
use portcullis_proto::internal::v1::link_service_server::LinkService;
use portcullis_wire::link::{Class, DeviceOpen, Frame, Nack, NackReason, Tell, decode_frame, encode_frame};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::{
    ACTOR_WINDOW, DEVICE_WINDOW, GREET_EVERY, HELLO_WITHIN, HostSlot, IDLE, Speaker, check_hello, close, credit, hello,
};

/// Frames that may wait for the socket.
const OUTBOX: usize = 1024;
/// Messages of a lane to one of its devices that may wait here.
const TO_DEVICE: usize = 64;

/// Answers the links that other nodes dial.
#[derive(Clone)]
pub struct LinkServer {
    me: Speaker,
    host: HostSlot,
    stop: CancellationToken,
}

impl LinkServer {
    /// Serves the actors in `host` until `stop`.
    pub fn new(me: Speaker, host: HostSlot, stop: CancellationToken) -> Self {
        Self { me, host, stop }
    }
}

#[tonic::async_trait]
impl LinkService for LinkServer {
    type LinkStream = Pin<Box<dyn Stream<Item = Result<pb::LinkFrame, Status>> + Send>>;

    async fn link(&self, request: Request<Streaming<pb::LinkFrame>>) -> Result<Response<Self::LinkStream>, Status> {
        let mut incoming = request.into_inner();
        let first = tokio::time::timeout(HELLO_WITHIN, incoming.message())
            .await
            .map_err(|_| Status::deadline_exceeded("hello: it did not come in time"))??
            .ok_or_else(|| Status::invalid_argument("hello: the stream ended before it"))?;
        let theirs = match decode_frame(first).map_err(|invalid| portcullis_wire::status::invalid(&invalid))? {
            Frame::Hello(theirs) => theirs,
            _ => return Err(Status::invalid_argument("frame: a link starts with hello")),
        };
        check_hello(self.me, &theirs).map_err(Status::failed_precondition)?;
        let (outbox, frames) = mpsc::channel(OUTBOX);
        for first in [
            hello(self.me, theirs.node),
            credit(Class::Actor, ACTOR_WINDOW),
            credit(Class::Device, DEVICE_WINDOW),
        ] {
            outbox
                .try_send(Ok(first))
                .map_err(|_| Status::internal("no room for the first frames"))?;
        }
        let serving = Serving {
            me: self.me,
            peer: theirs.node,
            host: self.host.clone(),
            outbox,
            devices: BTreeMap::new(),
            handled: 0,
        };
        let stop = self.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = serving.run(incoming) => {}
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(frames))))
    }
}

/// One link that is served.
struct Serving {
    me: Speaker,
    peer: NodeId,
    host: HostSlot,
    outbox: mpsc::Sender<Result<pb::LinkFrame, Status>>,
    devices: BTreeMap<u64, mpsc::Sender<FromDevice>>,
    handled: u32,
}

impl Serving {
    async fn run(mut self, mut incoming: Streaming<pb::LinkFrame>) {
        let mut greetings = tokio::time::interval(GREET_EVERY);
        greetings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let next = tokio::select! {
                next = tokio::time::timeout(IDLE, incoming.message()) => next,
                _ = greetings.tick() => {
                    // A full outbox is no silence.
                    let _ = self.outbox.try_send(Ok(hello(self.me, self.peer)));
                    continue;
                }
            };
            let next = match next {
                Ok(Ok(Some(next))) => next,
                Ok(Ok(None)) => return,
                Ok(Err(status)) => {
                    tracing::debug!(peer = %self.peer, reason = status.message(), "link ended");
                    return;
                }
                Err(_) => {
                    tracing::debug!(peer = %self.peer, "nothing came on the link, it is given up");
                    return;
                }
            };
            let alive = match decode_frame(next) {
                Ok(Frame::Tell(tell)) => self.tell(tell).await,
                Ok(Frame::DeviceOpen(open)) => self.open(open).await,
                Ok(Frame::DeviceIn { attachment, message }) => self.device(attachment, message).await,
                Ok(Frame::DeviceClose { attachment, .. }) => {
                    self.devices.remove(&attachment);
                    true
                }
                Ok(Frame::Hello(_) | Frame::Credit { .. } | Frame::Nack(_) | Frame::DeviceOut { .. }) => true,
                Err(invalid) => {
                    // Whatever it was, its credit is spent on the other side; only a new stream sets that right.
                    tracing::warn!(%invalid, "a frame could not be read; the link starts again");
                    return;
                }
            };
            if !alive {
                return;
            }
        }
    }

    async fn send(&self, frame: pb::LinkFrame) -> bool {
        self.outbox.send(Ok(frame)).await.is_ok()
    }

    async fn tell(&mut self, tell: Tell) -> bool {
        // Credits go back in halves of the window, not one by one.
        self.handled += 1;
        if self.handled >= ACTOR_WINDOW / 2 {
            let count = std::mem::take(&mut self.handled);
            if !self.send(credit(Class::Actor, count)).await {
                return false;
            }
        }
        let told = match self.host.load_full() {
            Some(host) => host.deliver(tell.envelope),
            None => Err(Refused::NotHere),
        };
        let (reason, epoch) = match told {
            Ok(()) => return true,
            Err(Refused::WrongEpoch { current }) => (NackReason::OtherEpoch, current),
            Err(Refused::Overloaded) => (NackReason::Overloaded, Epoch::NONE),
            Err(Refused::NotHere) => (NackReason::NotHere, Epoch::NONE),
        };
        self.send(encode_frame(&Frame::Nack(Nack {
            id: tell.id,
            reason,
            epoch,
        })))
        .await
    }

    async fn open(&mut self, open: DeviceOpen) -> bool {
        let attachment = open.attachment;
        let Some(host) = self.host.load_full() else {
            return self.send(close(attachment, "LANE_NOT_RUNNING")).await;
        };
        let (to_device, mut outgoing) = mpsc::channel(TO_DEVICE);
        let port = match host.attach(Attachment {
            lane: open.lane,
            device: open.device,
            boot: open.boot,
            outgoing: to_device,
        }) {
            Ok(port) => port,
            Err(refused) => {
                return self.send(close(attachment, &refused.reason)).await;
            }
        };
        // Credits bound what is under way over all devices, so this queue never overflows.
        let (queue, mut queued) = mpsc::channel::<FromDevice>(DEVICE_WINDOW as usize);
        self.devices.insert(attachment, queue);
        let outbox = self.outbox.clone();
        tokio::spawn(async move {
            let port = Arc::new(port);
            let mut given = 0;
            loop {
                tokio::select! {
                    message = queued.recv() => {
                        let Some(message) = message else { break };
                        let taken = port.deliver(message, String::new()).await.is_ok();
                        given += 1;
                        // A lone device must not wait for half a window of others; small steps cost little here.
                        if (given >= 16 || queued.is_empty())
                            && outbox.send(Ok(credit(Class::Device, std::mem::take(&mut given)))).await.is_err()
                        {
                            break;
                        }
                        if !taken {
                            break;
                        }
                    }
                    message = outgoing.recv() => {
                        let Some(message) = message else { break };
                        let frame = encode_frame(&Frame::DeviceOut { attachment, message });
                        let sending = outbox.send_timeout(Ok(frame), Duration::from_secs(5));
                        if sending.await.is_err() {
                            break;
                        }
                    }
                }
            }
            // What is still queued will not be handled; its credits go back all the same.
            queued.close();
            while queued.recv().await.is_some() {
                given += 1;
            }
            if given > 0 {
                let _ = outbox.send(Ok(credit(Class::Device, given))).await;
            }
            let _ = outbox.send(Ok(close(attachment, "LANE_GAVE_UP"))).await;
        });
        true
    }

    async fn device(&mut self, attachment: u64, message: FromDevice) -> bool {
        if self
            .devices
            .get(&attachment)
            .is_some_and(|queue| queue.try_send(message).is_ok())
        {
            return true;
        }
        // Nobody will handle it: its credit goes back at once.
        self.devices.remove(&attachment);
        self.send(credit(Class::Device, 1)).await && self.send(close(attachment, "LANE_GAVE_UP")).await
    }
}

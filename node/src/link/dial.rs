//! The dialling side: keeps one stream to a peer up, spends the credits the peer grants.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use portcullis_actors::LinkError;
use portcullis_domain::id::{DeviceId, Epoch, LaneId, NodeId};
use portcullis_domain::message::{Envelope, FromDevice, ToDevice};
use portcullis_proto::internal::v1 as pb;
use portcullis_proto::internal::v1::link_service_client::LinkServiceClient;
use portcullis_wire::link::{Class, DeviceOpen, Frame, TTL, Tell, decode_frame, encode_frame};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::{
    ACTOR_WINDOW, DEVICE_WINDOW, GREET_EVERY, HELLO_WITHIN, IDLE, RemotePort, Speaker, check_hello, close, hello,
};

/// Redial delays: quick at first, since a peer usually comes back or was only restarted.
const BACKOFF: [Duration; 4] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
];
/// Frames that may wait for the socket; credits keep the number lower.
const OUTBOX: usize = (ACTOR_WINDOW + DEVICE_WINDOW + 64) as usize;

/// One peer and the stream to it.
#[derive(Clone)]
pub(super) struct Dialer {
    inner: Arc<Inner>,
}

struct Inner {
    peer: NodeId,
    up: Mutex<Option<Arc<Stream>>>,
    next: AtomicU64,
}

/// One life of the stream.
struct Stream {
    outbox: mpsc::Sender<pb::LinkFrame>,
    actor_credit: Semaphore,
    device_credit: Semaphore,
    attachments: Mutex<BTreeMap<u64, Attached>>,
}

struct Attached {
    outgoing: mpsc::Sender<ToDevice>,
    gone: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialer({})", self.inner.peer)
    }
}

impl Dialer {
    pub(super) fn start(me: Speaker, peer: NodeId, channel: Channel, stop: CancellationToken) -> Self {
        let inner = Arc::new(Inner {
            peer,
            up: Mutex::new(None),
            next: AtomicU64::new(1),
        });
        let dialer = Self { inner: inner.clone() };
        tokio::spawn(async move {
            let mut failures = 0_usize;
            while !stop.is_cancelled() {
                let life = run(me, &inner, channel.clone());
                let ended = tokio::select! {
                    () = stop.cancelled() => break,
                    ended = life => ended,
                };
                let was_up = inner.take_down();
                failures = if was_up { 0 } else { failures + 1 };
                tracing::debug!(peer = %inner.peer, reason = ended, "link is down");
                let delay = BACKOFF[failures.min(BACKOFF.len() - 1)];
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(delay) => {}
                }
            }
            inner.take_down();
        });
        dialer
    }

    fn stream(&self) -> Result<Arc<Stream>, LinkError> {
        lock(&self.inner.up).clone().ok_or(LinkError::Unreachable)
    }

    pub(super) fn tell(&self, envelope: Envelope) -> Result<(), LinkError> {
        let stream = self.stream()?;
        let permit = stream.actor_credit.try_acquire().map_err(|_| LinkError::Overloaded)?;
        let tell = Tell {
            id: self.inner.next.fetch_add(1, Ordering::Relaxed),
            ttl: TTL,
            envelope,
        };
        stream
            .outbox
            .try_send(encode_frame(&Frame::Tell(tell)))
            .map_err(|_| LinkError::Overloaded)?;
        // The peer gives the credit back once the message is handled.
        permit.forget();
        Ok(())
    }

    pub(super) fn open_device(
        &self,
        lane: LaneId,
        epoch: Epoch,
        device: DeviceId,
        boot: u64,
        outgoing: mpsc::Sender<ToDevice>,
    ) -> Result<RemotePort, LinkError> {
        let stream = self.stream()?;
        let attachment = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let gone = CancellationToken::new();
        let reason = Arc::new(OnceLock::new());
        lock(&stream.attachments).insert(
            attachment,
            Attached {
                outgoing,
                gone: gone.clone(),
                reason: reason.clone(),
            },
        );
        let open = DeviceOpen {
            attachment,
            lane,
            lane_epoch: epoch,
            device,
            boot,
        };
        if stream.outbox.try_send(encode_frame(&Frame::DeviceOpen(open))).is_err() {
            lock(&stream.attachments).remove(&attachment);
            return Err(LinkError::Overloaded);
        }
        Ok(RemotePort {
            attachment,
            dialer: self.clone(),
            gone,
            reason,
        })
    }

    pub(super) async fn device_in(&self, attachment: u64, message: FromDevice) -> Result<(), LinkError> {
        let stream = self.stream()?;
        if !lock(&stream.attachments).contains_key(&attachment) {
            return Err(LinkError::Unreachable);
        }
        let permit = stream
            .device_credit
            .acquire()
            .await
            .map_err(|_| LinkError::Unreachable)?;
        let frame = encode_frame(&Frame::DeviceIn { attachment, message });
        stream.outbox.send(frame).await.map_err(|_| LinkError::Unreachable)?;
        permit.forget();
        Ok(())
    }

    pub(super) fn close_device(&self, attachment: u64, reason: &str) {
        if let Ok(stream) = self.stream()
            && lock(&stream.attachments).remove(&attachment).is_some()
        {
            // If there is no room for this frame, the stream is in trouble and its end closes the attachment too.
            let _ = stream.outbox.try_send(close(attachment, reason));
        }
    }
}

impl Inner {
    fn take_down(&self) -> bool {
        let Some(stream) = lock(&self.up).take() else {
            return false;
        };
        stream.actor_credit.close();
        stream.device_credit.close();
        for (_, attached) in std::mem::take(&mut *lock(&stream.attachments)) {
            attached.gone.cancel();
        }
        true
    }
}

/// One life of the stream: dial, greet, then take in what comes back. Ends with the reason.
async fn run(me: Speaker, inner: &Inner, channel: Channel) -> String {
    let (outbox, frames) = mpsc::channel(OUTBOX);
    if outbox.try_send(hello(me, inner.peer)).is_err() {
        return "no room for the first frame".to_owned();
    }
    let mut client = LinkServiceClient::new(channel);
    let opened = tokio::time::timeout(HELLO_WITHIN, client.link(ReceiverStream::new(frames))).await;
    let mut incoming = match opened {
        Err(_) => return "no answer to the call".to_owned(),
        Ok(Err(status)) => return status.message().to_owned(),
        Ok(Ok(response)) => response.into_inner(),
    };
    let first = match tokio::time::timeout(HELLO_WITHIN, incoming.message()).await {
        Ok(Ok(Some(first))) => decode_frame(first),
        _ => return "no greeting came".to_owned(),
    };
    match first {
        Ok(Frame::Hello(hello)) => {
            if let Err(why) = check_hello(me, &hello) {
                tracing::warn!(peer = %inner.peer, %why, "link refused");
                return why;
            }
        }
        other => return format!("the first frame was no greeting: {other:?}"),
    }
    let stream = Arc::new(Stream {
        outbox,
        actor_credit: Semaphore::new(0),
        device_credit: Semaphore::new(0),
        attachments: Mutex::new(BTreeMap::new()),
    });
    *lock(&inner.up) = Some(stream.clone());
    tracing::debug!(peer = %inner.peer, "link is up");
    let mut greetings = tokio::time::interval(GREET_EVERY);
    greetings.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let next = tokio::select! {
            next = tokio::time::timeout(IDLE, incoming.message()) => next,
            _ = greetings.tick() => {
                // A full outbox is no silence.
                let _ = stream.outbox.try_send(hello(me, inner.peer));
                continue;
            }
        };
        match next {
            Ok(Ok(Some(next))) => match decode_frame(next) {
                Ok(frame) => take_in(inner, &stream, frame),
                Err(invalid) => {
                    tracing::warn!(peer = %inner.peer, %invalid, "a frame could not be read; the link starts again");
                    return format!("unreadable: {invalid}");
                }
            },
            Ok(Ok(None)) => return "the peer ended it".to_owned(),
            Ok(Err(status)) => return status.message().to_owned(),
            Err(_) => return format!("nothing came for {} s", IDLE.as_secs()),
        }
    }
}

fn take_in(inner: &Inner, stream: &Stream, frame: Frame) {
    match frame {
        Frame::Credit {
            class: Class::Actor,
            count,
        } => grant(&stream.actor_credit, count, ACTOR_WINDOW),
        Frame::Credit {
            class: Class::Device,
            count,
        } => grant(&stream.device_credit, count, DEVICE_WINDOW),
        Frame::Nack(nack) => {
            tracing::debug!(peer = %inner.peer, reason = ?nack.reason, epoch = %nack.epoch, "message refused");
        }
        Frame::DeviceOut { attachment, message } => {
            let outgoing = lock(&stream.attachments)
                .get(&attachment)
                .map(|attached| attached.outgoing.clone());
            if outgoing.is_some_and(|outgoing| outgoing.try_send(message).is_err()) {
                detach(stream, attachment, "DEVICE_SLOW");
            }
        }
        Frame::DeviceClose { attachment, reason } => {
            tracing::debug!(peer = %inner.peer, reason, "lane gave the device up");
            detach(stream, attachment, &reason);
        }
        // The peer greets again so that the stream does not fall silent.
        Frame::Hello(_) => {}
        Frame::Tell(_) | Frame::DeviceOpen(_) | Frame::DeviceIn { .. } => {
            tracing::warn!(peer = %inner.peer, "the answering side sent a frame that only the dialling side sends");
        }
    }
}

/// A peer cannot grant more than the window that this side is prepared for.
fn grant(credit: &Semaphore, count: u32, window: u32) {
    let room = (window as usize).saturating_sub(credit.available_permits());
    credit.add_permits((count as usize).min(room));
}

fn detach(stream: &Stream, attachment: u64, reason: &str) {
    if let Some(attached) = lock(&stream.attachments).remove(&attachment) {
        let _ = attached.reason.set(reason.to_owned());
        attached.gone.cancel();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

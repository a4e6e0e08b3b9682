//! The link: one bidirectional stream for each ordered pair of nodes.
//!
//! The node that dials sends its actors' messages and the frames of devices that attached to it; the node that answers
//! sends back credits, refusals and what its lanes tell those devices. Credits bound what may be under way (HTTP/2 windows
//! count bytes, not messages, and would let one class starve the other). A message is told at most once; whatever must not
//! be lost is ledger state.

mod dial;
mod serve;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use portcullis_actors::{Host, Link, LinkError};
use portcullis_consensus::Connector;
use portcullis_domain::id::{BootId, ClusterId, CommandNo, DeviceId, Epoch, LaneId, NodeId};
use portcullis_domain::message::{Envelope, FromDevice, ToDevice};
use portcullis_proto::internal::v1 as pb;
use portcullis_wire::link::{Class, Frame, Hello, encode_frame};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use serve::LinkServer;

use crate::neighbours::{Neighbours, PerNeighbour};

/// The version of the link's frames that this program speaks.
const PROTO: u32 = 1;
/// Messages of actors that may be under way to one node.
const ACTOR_WINDOW: u32 = 512;
/// Frames of devices that may be under way to one node.
const DEVICE_WINDOW: u32 = 512;
/// Both sides greet again this often, so that a stream never falls silent.
const GREET_EVERY: Duration = Duration::from_secs(5);
/// A stream on which nothing came for so long is given up.
const IDLE: Duration = Duration::from_secs(20);
/// How long the first frame of either side may take.
const HELLO_WITHIN: Duration = Duration::from_secs(2);

/// Who speaks on a link.
#[derive(Debug, Clone, Copy)]
pub struct Speaker {
    /// The cluster; links between clusters are refused.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// Its process.
    pub boot: BootId,
}

/// Where the actors of this process are found: none before they start and while they start again.
pub type HostSlot = Arc<ArcSwapOption<Host>>;

/// All links that this node dials.
#[derive(Clone)]
pub struct Links {
    dialers: Arc<Mutex<PerNeighbour<dial::Dialer>>>,
}

/// A device's route to a lane on another node. Dropping it detaches the device.
#[derive(Debug)]
pub struct RemotePort {
    attachment: u64,
    dialer: dial::Dialer,
    gone: CancellationToken,
    reason: Arc<OnceLock<String>>,
}

impl Links {
    /// Dials every neighbour and keeps the streams up until `stop`.
    pub fn start(
        me: Speaker,
        mut neighbours: watch::Receiver<Neighbours>,
        connector: &Connector,
        stop: &CancellationToken,
    ) -> Self {
        let links = Self {
            dialers: Arc::new(Mutex::new(PerNeighbour::new(stop))),
        };
        let (following, connector) = (links.clone(), Arc::clone(connector));
        tokio::spawn(async move {
            loop {
                let others = neighbours.borrow_and_update().others.clone();
                following.dialers().follow(&others, |node, address, stop| {
                    dial::Dialer::start(me, node, connector(address), stop)
                });
                if neighbours.changed().await.is_err() {
                    return;
                }
            }
        });
        links
    }

    fn dialers(&self) -> MutexGuard<'_, PerNeighbour<dial::Dialer>> {
        self.dialers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dialer(&self, node: NodeId) -> Result<dial::Dialer, LinkError> {
        self.dialers().get(node).cloned().ok_or(LinkError::Unreachable)
    }

    /// Brings a device to its lane's owner.
    ///
    /// # Errors
    /// When there is no link to that node right now.
    pub fn open_device(
        &self,
        node: NodeId,
        lane: LaneId,
        epoch: Epoch,
        device: DeviceId,
        boot: u64,
        outgoing: mpsc::Sender<ToDevice>,
    ) -> Result<RemotePort, LinkError> {
        self.dialer(node)?.open_device(lane, epoch, device, boot, outgoing)
    }
}

impl Link for Links {
    fn tell(&self, node: NodeId, envelope: Envelope) -> Result<(), LinkError> {
        self.dialer(node)?.tell(envelope)
    }
}

impl RemotePort {
    /// Sends one frame, waiting for room.
    ///
    /// # Errors
    /// When the link has gone; the device has to attach again.
    pub async fn deliver(&self, message: FromDevice) -> Result<(), LinkError> {
        self.dialer.device_in(self.attachment, message).await
    }

    /// Resolves with the reason when the link or the lane gave the device up.
    pub async fn gone(&self) -> String {
        self.gone.cancelled().await;
        self.reason
            .get()
            .cloned()
            .unwrap_or_else(|| "LANE_HOST_LOST".to_owned())
    }
}

impl Drop for RemotePort {
    fn drop(&mut self) {
        self.dialer.close_device(self.attachment, "DEVICE_DETACHED");
    }
}

fn hello(me: Speaker, to: NodeId) -> pb::LinkFrame {
    encode_frame(&Frame::Hello(Hello {
        cluster: me.cluster,
        node: me.node,
        boot: me.boot,
        proto_min: PROTO,
        proto_max: PROTO,
        applied: CommandNo(0),
        to,
    }))
}

/// Whether the other side is who we expect; the text says what is wrong.
fn check_hello(me: Speaker, hello: &Hello) -> Result<(), String> {
    if hello.cluster != me.cluster {
        return Err(format!(
            "the other node belongs to cluster {}, this one to {}; check the peers",
            hello.cluster, me.cluster
        ));
    }
    if hello.to != me.node {
        return Err(format!(
            "the call is for {}, but this is {}; check the addresses of peers",
            hello.to, me.node
        ));
    }
    if hello.proto_min > PROTO || hello.proto_max < PROTO {
        return Err(format!(
            "the other node speaks link versions {} to {}, this one {PROTO}; upgrade one of them",
            hello.proto_min, hello.proto_max
        ));
    }
    Ok(())
}

fn credit(class: Class, count: u32) -> pb::LinkFrame {
    encode_frame(&Frame::Credit { class, count })
}

fn close(attachment: u64, reason: &str) -> pb::LinkFrame {
    encode_frame(&Frame::DeviceClose {
        attachment,
        reason: reason.to_owned(),
    })
}

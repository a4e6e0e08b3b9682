//! The configuration in force, in the types of the domain.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use portcullis_domain::id::{ClusterId, NodeId};
use portcullis_domain::lane::LaneSpec;

use crate::clock::PortClock;
use crate::peer_address::PeerAddress;

/// Everything that one node is told when it starts. `REFERENCE.md` explains each key, its range and its default.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeConfig {
    /// The cluster.
    pub cluster: ClusterSection,
    /// This node.
    pub node: NodeSection,
    /// Agreement.
    pub raft: RaftSection,
    /// When a node counts as gone.
    pub liveness: LivenessSection,
    /// Bounds of everything that waits.
    pub limits: LimitsSection,
    /// The port's clock.
    pub clock: PortClock,
    /// What the node writes about itself.
    pub log: LogSection,
    /// The lanes, ids ascending.
    pub lanes: Vec<LaneSpec>,
}

/// The cluster that the node belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSection {
    /// For people.
    pub name: String,
    /// The id that it must have; `None` to found one, or to learn it.
    pub id: Option<ClusterId>,
    /// This node founds the cluster if its data directory is empty.
    pub bootstrap: bool,
    /// The nodes that found the cluster, this one included, ids ascending. Only this one if it joins.
    pub peers: Vec<Peer>,
    /// Nodes of a running cluster that this one asks to be taken in.
    pub join: Vec<PeerAddress>,
}

/// A node of the cluster and where it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its number.
    pub id: NodeId,
    /// Where its gRPC is reached.
    pub address: PeerAddress,
}

/// This node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSection {
    /// Its number, one of the peers; [`NodeId::NONE`] until the cluster that it joins has granted one.
    pub id: NodeId,
    /// Where it keeps its files.
    pub data_dir: PathBuf,
    /// Where it listens: a loopback address.
    pub listen: SocketAddr,
    /// What it carries relative to the others; 0 for nothing.
    pub capacity: u32,
}

/// Timers and sizes of Raft, real time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RaftSection {
    /// How often a leader shows itself.
    pub heartbeat: Duration,
    /// Earliest election after a leader fell silent.
    pub election_min: Duration,
    /// Latest election after a leader fell silent.
    pub election_max: Duration,
    /// Log entries between snapshots.
    pub snapshot_every: u64,
}

/// Timers of the failure detector, real time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivenessSection {
    /// How often a node reports.
    pub beat: Duration,
    /// Silence after which a node gets no new work.
    pub suspect: Duration,
    /// Silence after which its actors are placed elsewhere.
    pub down: Duration,
    /// Time without a quorum after which a node suspends its actors.
    pub suspend: Duration,
}

/// Bounds of everything that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitsSection {
    /// Largest gRPC message, bytes.
    pub message_bytes: usize,
    /// Longest call.
    pub call: Duration,
    /// Longest silence on a stream.
    pub stream_idle: Duration,
    /// Commands that wait for their outcome.
    pub proposals: usize,
    /// Messages that wait for one actor.
    pub mailbox: usize,
    /// Clients that follow events.
    pub watchers: usize,
    /// Devices attached to this node.
    pub attached_devices: usize,
}

/// What the node writes about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSection {
    /// In which form.
    pub format: LogFormat,
    /// What: levels by target, in the notation of `tracing_subscriber::EnvFilter`.
    pub filter: String,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl NodeConfig {
    /// The peers that are not this node.
    pub fn others(&self) -> impl Iterator<Item = &Peer> {
        self.cluster.peers.iter().filter(|peer| peer.id != self.node.id)
    }

    /// Where a node is reached.
    pub fn address_of(&self, node: NodeId) -> Option<&PeerAddress> {
        self.cluster
            .peers
            .iter()
            .find(|peer| peer.id == node)
            .map(|peer| &peer.address)
    }
}

//! How a host of actors is configured. Times of the port are milliseconds of its clock; times of the cluster are real.

use std::time::Duration;

use portcullis_domain::id::{BootId, NodeId};

/// Which process this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The node.
    pub node: NodeId,
    /// This start of it.
    pub boot: BootId,
}

/// How a host is configured.
#[derive(Debug, Clone)]
pub struct HostConfig {
    /// Which process this is.
    pub identity: Identity,
    /// Relative capacity for actors; 0 carries none.
    pub capacity: u32,
    /// Highest cluster version that this process speaks.
    pub version: u32,
    /// A node that has not been heard of for so long gets no new actors, and keeps those it has.
    pub suspect_after: Duration,
    /// A node that has not been heard of for so long is declared down by the leader.
    pub down_after: Duration,
    /// From call-up to arrival, port time.
    pub call_up_ms: u64,
    /// A pass may take this many times the lane's usual time.
    pub pass_factor: u64,
    /// How long a container that stands before a lane waits for its manifest to be weighed, port time.
    pub standing_ms: u64,
    /// How long a container that stands before a lane waits for sensors that are not attached, port time.
    pub sensors_ms: u64,
    /// No deadline of the port is shorter than this in real time: a fast clock must not outrun the cluster.
    pub least_wait: Duration,
    /// The most bytes of readings that one pass may bring.
    pub pass_bytes_max: usize,
    /// Messages that may wait for one actor.
    pub mailbox: usize,
    /// Messages of one device that may wait.
    pub device_mailbox: usize,
    /// How long a stopping actor may take to finish its message.
    pub stop_within: Duration,
}

impl HostConfig {
    /// The usual configuration of a process.
    pub fn new(identity: Identity) -> Self {
        Self {
            identity,
            capacity: 100,
            version: 1,
            suspect_after: Duration::from_secs(1),
            down_after: Duration::from_secs(5),
            call_up_ms: 30 * 60 * 1000,
            pass_factor: 10,
            standing_ms: 10 * 60 * 1000,
            sensors_ms: 2 * 60 * 1000,
            least_wait: Duration::from_secs(10),
            pass_bytes_max: 64 << 20,
            mailbox: 256,
            device_mailbox: 32,
            stop_within: Duration::from_secs(5),
        }
    }
}

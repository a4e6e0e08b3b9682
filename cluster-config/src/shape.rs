//! The file as serde sees it: plain numbers and texts, no more and no fewer keys than the schema has.

use portcullis_domain::id::NodeId;
use portcullis_domain::lane::{DeviceKind, DeviceSpec, LaneSpec};
use serde::{Deserialize, Serialize};

use crate::clock::PortClock;
use crate::node_config::{LogFormat, NodeConfig, Peer};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shape {
    pub(crate) cluster: ClusterShape,
    pub(crate) node: NodeShape,
    pub(crate) raft: RaftShape,
    pub(crate) liveness: LivenessShape,
    pub(crate) limits: LimitsShape,
    pub(crate) clock: ClockShape,
    pub(crate) log: LogShape,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lanes: Vec<LaneShape>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterShape {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    pub(crate) bootstrap: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) peers: Vec<PeerShape>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) join: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeerShape {
    pub(crate) id: u64,
    pub(crate) address: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeShape {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u64>,
    pub(crate) data_dir: String,
    pub(crate) listen: String,
    pub(crate) capacity: u32,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RaftShape {
    pub(crate) heartbeat_ms: u64,
    pub(crate) election_min_ms: u64,
    pub(crate) election_max_ms: u64,
    pub(crate) snapshot_every: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LivenessShape {
    pub(crate) beat_ms: u64,
    pub(crate) suspect_ms: u64,
    pub(crate) down_ms: u64,
    pub(crate) suspend_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsShape {
    pub(crate) message_bytes: usize,
    pub(crate) call_ms: u64,
    pub(crate) stream_idle_ms: u64,
    pub(crate) proposals: usize,
    pub(crate) mailbox: usize,
    pub(crate) watchers: usize,
    pub(crate) attached_devices: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClockShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) origin_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) epoch_ms: Option<u64>,
    pub(crate) speed: f64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogShape {
    pub(crate) format: String,
    pub(crate) filter: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LaneShape {
    pub(crate) id: u32,
    pub(crate) terminal: String,
    pub(crate) nodes: Vec<u64>,
    pub(crate) usual_pass_s: u32,
    pub(crate) scheduled: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) devices: Vec<DeviceShape>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeviceShape {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) public_key: String,
}

/// A file that loads to this configuration, with every key, so that it does not change with the defaults of a later
/// version. What no file can say (a node id beyond 63 bits, a path that is not UTF-8, parts of a millisecond) is written
/// as near as possible.
#[must_use]
pub fn to_toml(config: &NodeConfig) -> String {
    toml::to_string(&Shape::from(config)).expect("texts, truths and numbers below 2^63 are TOML")
}

impl From<&NodeConfig> for Shape {
    fn from(config: &NodeConfig) -> Self {
        let NodeConfig {
            cluster,
            node,
            raft,
            liveness,
            limits,
            clock,
            log,
            lanes,
        } = config;
        Self {
            cluster: ClusterShape {
                name: cluster.name.clone(),
                id: cluster.id.map(|id| id.to_string()),
                bootstrap: cluster.bootstrap,
                // A node that joins learns them.
                peers: match cluster.join.is_empty() {
                    true => cluster.peers.iter().map(PeerShape::from).collect(),
                    false => Vec::new(),
                },
                join: cluster.join.iter().map(ToString::to_string).collect(),
            },
            node: NodeShape {
                id: (node.id != NodeId::NONE).then_some(whole(node.id.0)),
                data_dir: node.data_dir.to_string_lossy().into_owned(),
                listen: node.listen.to_string(),
                capacity: node.capacity,
            },
            raft: RaftShape {
                heartbeat_ms: millis(raft.heartbeat),
                election_min_ms: millis(raft.election_min),
                election_max_ms: millis(raft.election_max),
                snapshot_every: whole(raft.snapshot_every),
            },
            liveness: LivenessShape {
                beat_ms: millis(liveness.beat),
                suspect_ms: millis(liveness.suspect),
                down_ms: millis(liveness.down),
                suspend_ms: millis(liveness.suspend),
            },
            limits: LimitsShape {
                message_bytes: limits.message_bytes,
                call_ms: millis(limits.call),
                stream_idle_ms: millis(limits.stream_idle),
                proposals: limits.proposals,
                mailbox: limits.mailbox,
                watchers: limits.watchers,
                attached_devices: limits.attached_devices,
            },
            clock: ClockShape::from(clock),
            log: LogShape {
                format: match log.format {
                    LogFormat::Text => "text".to_owned(),
                    LogFormat::Json => "json".to_owned(),
                },
                filter: log.filter.clone(),
            },
            lanes: lanes.iter().map(LaneShape::from).collect(),
        }
    }
}

impl From<&Peer> for PeerShape {
    fn from(peer: &Peer) -> Self {
        Self {
            id: whole(peer.id.0),
            address: peer.address.to_string(),
        }
    }
}

impl From<&PortClock> for ClockShape {
    fn from(clock: &PortClock) -> Self {
        let set = *clock != PortClock::REAL;
        Self {
            origin_ms: set.then_some(whole(clock.origin.0)),
            epoch_ms: set.then_some(whole(clock.epoch_ms)),
            speed: clock.speed,
        }
    }
}

impl From<&LaneSpec> for LaneShape {
    fn from(lane: &LaneSpec) -> Self {
        Self {
            id: lane.id.0,
            terminal: lane.terminal.to_string(),
            nodes: lane.nodes.iter().map(|node| whole(node.0)).collect(),
            usual_pass_s: lane.usual_pass_s,
            scheduled: lane.scheduled,
            devices: lane.devices.iter().map(DeviceShape::from).collect(),
        }
    }
}

impl From<&DeviceSpec> for DeviceShape {
    fn from(device: &DeviceSpec) -> Self {
        Self {
            id: device.id.to_string(),
            kind: match device.kind {
                DeviceKind::Controller => "controller".to_owned(),
                DeviceKind::Sensor(modality) => modality.to_string(),
            },
            public_key: hex::encode(device.public_key),
        }
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    whole(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// TOML's integers have a sign.
fn whole(number: u64) -> u64 {
    number.min(i64::MAX.unsigned_abs())
}

//! From the shape to the configuration: texts become domain types, and values must agree with each other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use portcullis_domain::evidence::Modality;
use portcullis_domain::id::{ClusterId, DeviceId, InvalidId, LABEL_MAX, LaneId, NodeId, TerminalId, Timestamp};
use portcullis_domain::lane::{DEVICES_MAX, DeviceKind, DeviceSpec, LaneSpec};

use crate::clock::PortClock;
use crate::error::Problem;
use crate::node_config::{
    ClusterSection, LimitsSection, LivenessSection, LogFormat, LogSection, NodeConfig, NodeSection, Peer, RaftSection,
};
use crate::origin::Setting;
use crate::peer_address::PeerAddress;
use crate::shape::{
    ClockShape, ClusterShape, DeviceShape, LaneShape, LimitsShape, LivenessShape, LogShape, NodeShape, RaftShape, Shape,
};

/// Turns a shape into a configuration. `settings` says where each value was written.
pub(crate) fn validate(shape: Shape, settings: &[Setting]) -> Result<NodeConfig, Vec<Problem>> {
    let mut checks = Checks {
        settings: settings.iter().map(|setting| (setting.key.as_str(), setting)).collect(),
        problems: Vec::new(),
    };
    let node = checks.node(&shape.node);
    let cluster = checks.cluster(&shape.cluster, &shape.node, node.as_ref());
    let raft = checks.raft(&shape.raft);
    let liveness = checks.liveness(&shape.liveness, &shape.raft);
    let clock = checks.clock(&shape.clock);
    let lanes = checks.lanes(&shape.lanes, &shape.cluster, &shape.node);
    match (cluster, node) {
        (Some(cluster), Some(node)) if checks.problems.is_empty() => Ok(NodeConfig {
            cluster,
            node,
            raft,
            liveness,
            limits: limits(&shape.limits),
            clock,
            log: log(shape.log),
            lanes,
        }),
        _ => Err(checks.problems),
    }
}

struct Checks<'a> {
    settings: BTreeMap<&'a str, &'a Setting>,
    problems: Vec<Problem>,
}

impl Checks<'_> {
    fn refuse(&mut self, key: &str, what: impl Into<String>) {
        let setting = self.settings.get(key);
        self.problems.push(Problem {
            origin: setting.map(|setting| setting.origin.clone()),
            key: key.to_owned(),
            value: setting.map(|setting| setting.value.clone()),
            what: what.into(),
        });
    }

    /// Another key in a message: its value, and who set it.
    fn cite(&self, key: &str) -> String {
        match self.settings.get(key) {
            Some(setting) => format!("{key} = {} ({})", setting.value, setting.origin),
            None => key.to_owned(),
        }
    }

    /// Takes what was read, or refuses it under its key.
    fn take<T>(&mut self, key: &str, read: Result<T, InvalidId>) -> Option<T> {
        read.map_err(|error| self.refuse(key, error.why)).ok()
    }

    /// Demands that `key` lies above `factor` times `other`.
    fn above(&mut self, key: &str, value: u64, factor: u64, other: &str, other_value: u64) {
        if value <= other_value.saturating_mul(factor) {
            let times = if factor == 1 { "" } else { "twice " };
            self.refuse(key, format!("must be more than {times}{}", self.cite(other)));
        }
    }

    fn node(&mut self, shape: &NodeShape) -> Option<NodeSection> {
        const KEY: &str = "node.listen";
        let Ok(listen) = shape.listen.parse::<SocketAddr>() else {
            self.refuse(
                KEY,
                "expected an IP address and a port such as 127.0.0.1:7401 or [::1]:7401",
            );
            return None;
        };
        if !listen.ip().to_canonical().is_loopback() {
            self.refuse(
                KEY,
                "only loopback addresses such as 127.0.0.1 are taken: identities and mutual TLS do not exist yet, so \
                 that anyone on a network could act as a node or an officer. Reach other machines through a tunnel",
            );
        }
        if listen.port() == 0 {
            self.refuse(
                KEY,
                "port 0 stands for any port, and the peers must know which: name one from 1 to 65535",
            );
        }
        Some(NodeSection {
            id: shape.id.map_or(NodeId::NONE, NodeId),
            data_dir: PathBuf::from(&shape.data_dir),
            listen,
            capacity: shape.capacity,
        })
    }

    fn cluster(
        &mut self,
        shape: &ClusterShape,
        this: &NodeShape,
        node: Option<&NodeSection>,
    ) -> Option<ClusterSection> {
        let name = &shape.name;
        if name.len() > LABEL_MAX || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            self.refuse(
                "cluster.name",
                format!("expected 1 to {LABEL_MAX} letters, digits, hyphens, underscores or dots"),
            );
        }
        let id = match &shape.id {
            Some(text) => self.take("cluster.id", text.parse::<ClusterId>()),
            None => None,
        };
        let join = self.join(shape, this);
        let mut peers = self.peers(shape);
        let this_id = this.id.unwrap_or(NodeId::NONE.0);
        if shape.peers.is_empty() {
            let address = PeerAddress::from(node?.listen);
            peers.push(Peer {
                id: NodeId(this_id),
                address,
            });
        } else if this.id.is_some() && !shape.peers.iter().any(|peer| peer.id == this_id) {
            let known: Vec<_> = shape.peers.iter().map(|peer| peer.id.to_string()).collect();
            self.refuse(
                "node.id",
                format!(
                    "is not in cluster.peers, which has {}: add this node there",
                    known.join(", ")
                ),
            );
        }
        Some(ClusterSection {
            name: name.clone(),
            id,
            bootstrap: shape.bootstrap,
            peers,
            join,
        })
    }

    fn join(&mut self, shape: &ClusterShape, this: &NodeShape) -> Vec<PeerAddress> {
        const KEY: &str = "cluster.join";
        if shape.join.is_empty() {
            if this.id.is_none() {
                self.refuse(
                    "node.id",
                    "required unless the node joins a cluster, which grants one. Set it in [node] of the file, as \
                     PORTCULLIS_NODE__ID, or with --set node.id=...",
                );
            }
            return Vec::new();
        }
        if shape.bootstrap {
            self.refuse(
                KEY,
                format!(
                    "cannot go with {}: a node joins a cluster or founds one",
                    self.cite("cluster.bootstrap")
                ),
            );
        }
        if !shape.peers.is_empty() {
            self.refuse(
                KEY,
                "cannot go with cluster.peers: who joins learns the members from the cluster",
            );
        }
        let mut join = Vec::new();
        for (index, text) in shape.join.iter().enumerate() {
            join.extend(self.take(&format!("{KEY}[{index}]"), text.parse::<PeerAddress>()));
        }
        join
    }

    fn peers(&mut self, shape: &ClusterShape) -> Vec<Peer> {
        let mut peers: Vec<Peer> = Vec::new();
        for (index, peer) in shape.peers.iter().enumerate() {
            let key = format!("cluster.peers[{index}]");
            let Some(address) = self.take(&format!("{key}.address"), peer.address.parse::<PeerAddress>()) else {
                continue;
            };
            let before = &shape.peers[..index];
            if let Some(first) = before.iter().position(|other| other.id == peer.id) {
                self.twice(&format!("{key}.id"), &format!("cluster.peers[{first}].id"));
            }
            if let Some(first) = before.iter().position(|other| other.address == peer.address) {
                self.twice(&format!("{key}.address"), &format!("cluster.peers[{first}].address"));
            }
            peers.push(Peer {
                id: NodeId(peer.id),
                address,
            });
        }
        peers.sort_by_key(|peer| peer.id);
        peers
    }

    fn twice(&mut self, key: &str, first: &str) {
        self.refuse(key, format!("is there already: {}", self.cite(first)));
    }

    fn raft(&mut self, shape: &RaftShape) -> RaftSection {
        const MIN: &str = "raft.election_min_ms";
        self.above(MIN, shape.election_min_ms, 2, "raft.heartbeat_ms", shape.heartbeat_ms);
        self.above(
            "raft.election_max_ms",
            shape.election_max_ms,
            1,
            MIN,
            shape.election_min_ms,
        );
        RaftSection {
            heartbeat: Duration::from_millis(shape.heartbeat_ms),
            election_min: Duration::from_millis(shape.election_min_ms),
            election_max: Duration::from_millis(shape.election_max_ms),
            snapshot_every: shape.snapshot_every,
        }
    }

    fn liveness(&mut self, shape: &LivenessShape, raft: &RaftShape) -> LivenessSection {
        const SUSPECT: &str = "liveness.suspect_ms";
        const DOWN: &str = "liveness.down_ms";
        const SUSPEND: &str = "liveness.suspend_ms";
        if shape.suspect_ms < shape.beat_ms.saturating_mul(2) {
            self.refuse(
                SUSPECT,
                format!("must be at least twice {}", self.cite("liveness.beat_ms")),
            );
        }
        self.above(DOWN, shape.down_ms, 1, SUSPECT, shape.suspect_ms);
        self.above(DOWN, shape.down_ms, 1, SUSPEND, shape.suspend_ms);
        self.above(
            SUSPEND,
            shape.suspend_ms,
            1,
            "raft.election_max_ms",
            raft.election_max_ms,
        );
        LivenessSection {
            beat: Duration::from_millis(shape.beat_ms),
            suspect: Duration::from_millis(shape.suspect_ms),
            down: Duration::from_millis(shape.down_ms),
            suspend: Duration::from_millis(shape.suspend_ms),
        }
    }

    fn clock(&mut self, shape: &ClockShape) -> PortClock {
        match (shape.origin_ms, shape.epoch_ms) {
            (Some(origin), Some(epoch_ms)) => {
                return PortClock {
                    origin: Timestamp(origin),
                    epoch_ms,
                    speed: shape.speed,
                };
            }
            (Some(_), None) => self.refuse("clock.origin_ms", "needs clock.epoch_ms: the real time when it holds"),
            (None, Some(_)) => self.refuse(
                "clock.epoch_ms",
                "needs clock.origin_ms: the port's time at that moment",
            ),
            (None, None) if shape.speed != 1.0 => self.refuse(
                "clock.speed",
                "needs clock.origin_ms and clock.epoch_ms: the moment from which the port's clock runs at this speed",
            ),
            (None, None) => {}
        }
        PortClock::REAL
    }

    fn lanes(&mut self, shapes: &[LaneShape], cluster: &ClusterShape, this: &NodeShape) -> Vec<LaneSpec> {
        let mut seen = Seen::default();
        let mut lanes = Vec::new();
        for (index, shape) in shapes.iter().enumerate() {
            let key = format!("lanes[{index}]");
            if let Some(first) = seen.lanes.insert(shape.id, format!("{key}.id")) {
                self.twice(&format!("{key}.id"), &first);
            }
            for node in &shape.nodes {
                let known = this.id == Some(*node)
                    || !cluster.join.is_empty()
                    || cluster.peers.iter().any(|peer| peer.id == *node);
                if !known {
                    self.refuse(&format!("{key}.nodes"), format!("node {node} is not in cluster.peers"));
                }
            }
            let terminal = self.take(&format!("{key}.terminal"), TerminalId::new(shape.terminal.as_str()));
            let devices = self.devices(&key, shape, &mut seen);
            let Some(terminal) = terminal else { continue };
            let lane = LaneSpec {
                id: LaneId(shape.id),
                terminal,
                devices,
                nodes: shape.nodes.iter().copied().map(NodeId).collect(),
                usual_pass_s: shape.usual_pass_s,
                scheduled: shape.scheduled,
            };
            // The domain has the last word; what it would say is said above with the exact key.
            if self.problems.is_empty() {
                self.take(&format!("{key}.id"), lane.check());
            }
            lanes.push(lane);
        }
        lanes.sort_by_key(|lane| lane.id);
        lanes
    }

    fn devices(&mut self, lane_key: &str, lane: &LaneShape, seen: &mut Seen) -> Vec<DeviceSpec> {
        if lane.devices.len() > DEVICES_MAX {
            let count = lane.devices.len();
            self.refuse(
                &format!("{lane_key}.id"),
                format!("the lane has {count} devices, at most {DEVICES_MAX} are taken"),
            );
        }
        let mut devices = Vec::new();
        for (index, shape) in lane.devices.iter().enumerate() {
            let key = format!("{lane_key}.devices[{index}]");
            if let Some(first) = seen.devices.insert(shape.id.clone(), format!("{key}.id")) {
                self.twice(&format!("{key}.id"), &first);
            }
            devices.extend(self.device(&key, shape));
        }
        devices
    }

    fn device(&mut self, key: &str, shape: &DeviceShape) -> Option<DeviceSpec> {
        let id = self.take(&format!("{key}.id"), DeviceId::new(shape.id.as_str()));
        let kind = match shape.kind.as_str() {
            "controller" => Some(DeviceKind::Controller),
            word => self.take(&format!("{key}.kind"), word.parse::<Modality>().map(DeviceKind::Sensor)),
        };
        let mut public_key = [0; 32];
        if hex::decode_to_slice(&shape.public_key, &mut public_key).is_err() {
            self.refuse(
                &format!("{key}.public_key"),
                "expected an Ed25519 public key: 32 bytes, so 64 hex digits",
            );
            return None;
        }
        Some(DeviceSpec {
            id: id?,
            kind: kind?,
            public_key,
        })
    }
}

/// Ids that were used, and under which key.
#[derive(Default)]
struct Seen {
    lanes: BTreeMap<u32, String>,
    devices: BTreeMap<String, String>,
}

fn limits(shape: &LimitsShape) -> LimitsSection {
    LimitsSection {
        message_bytes: shape.message_bytes,
        call: Duration::from_millis(shape.call_ms),
        stream_idle: Duration::from_millis(shape.stream_idle_ms),
        proposals: shape.proposals,
        mailbox: shape.mailbox,
        watchers: shape.watchers,
        attached_devices: shape.attached_devices,
    }
}

fn log(shape: LogShape) -> LogSection {
    // The schema knows no third word.
    let format = if shape.format == "json" {
        LogFormat::Json
    } else {
        LogFormat::Text
    };
    LogSection {
        format,
        filter: shape.filter,
    }
}

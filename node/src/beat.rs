//! Heartbeats between nodes, outside Raft: who is there, how far its log is, whether its roots and its clock agree.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_config::LivenessSection;
use portcullis_consensus::{Agreement, Connector, Consensus};
use portcullis_domain::id::{BootId, ClusterId, Incarnation, NodeId};
use portcullis_domain::outcome::RefusalReason;
use portcullis_domain::roster;
use portcullis_proto::internal::v1 as pb;
use portcullis_proto::internal::v1::heartbeat_service_client::HeartbeatServiceClient;
use portcullis_proto::internal::v1::heartbeat_service_server::HeartbeatService;
use portcullis_wire::beat::{
    Beat, BeatAnswer, Load, LogPoint, decode_beat, decode_beat_answer, encode_beat, encode_beat_answer,
};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

use crate::clock::PortTime;
use crate::link::HostSlot;
use crate::neighbours::{Neighbours, PerNeighbour};

/// A node whose clock is off the majority by more does not lead.
const CLOCK_OFF_MS: i64 = 2_000;

/// What the last heartbeat of a node said.
#[derive(Debug, Clone)]
pub struct Heard {
    /// When it came.
    pub at: Instant,
    /// What it said.
    pub beat: Beat,
}

/// What is known of the other nodes from their heartbeats and from their answers to ours.
#[derive(Debug, Default)]
struct Table {
    heard: BTreeMap<NodeId, Heard>,
    answered: BTreeMap<NodeId, Answered>,
    differing: BTreeMap<NodeId, u64>,
}

#[derive(Debug, Clone, Copy)]
struct Answered {
    at: Instant,
    offset_ms: i64,
}

/// Sends, takes in and judges heartbeats.
#[derive(Clone)]
pub struct Beats {
    inner: Arc<Inner>,
}

struct Inner {
    cluster: ClusterId,
    node: NodeId,
    boot: BootId,
    address: String,
    capacity: u32,
    incarnation: Incarnation,
    neighbours: watch::Receiver<Neighbours>,
    timing: LivenessSection,
    port_time: PortTime,
    memory: fn() -> u64,
    consensus: Consensus,
    host: HostSlot,
    table: Mutex<Table>,
    quorum: watch::Sender<bool>,
    devices: Arc<AtomicU32>,
    yielding: AtomicBool,
}

/// Who this node is, for its heartbeats.
#[derive(Debug, Clone)]
pub struct Sender {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
    /// Its process.
    pub boot: BootId,
    /// Where it is reached.
    pub address: String,
    /// Relative capacity.
    pub capacity: u32,
    /// How often it sends, and what counts as silence.
    pub timing: LivenessSection,
    /// The port's clock here.
    pub port_time: PortTime,
    /// Memory that the process has resident, bytes.
    pub memory: fn() -> u64,
    /// How many devices are attached here.
    pub devices: Arc<AtomicU32>,
}

impl Beats {
    /// Starts sending to the neighbours until `stop`.
    pub fn start(
        me: Sender,
        neighbours: watch::Receiver<Neighbours>,
        connector: &Connector,
        consensus: Consensus,
        host: HostSlot,
        stop: &CancellationToken,
    ) -> Self {
        let alone = neighbours.borrow().voters == [me.node];
        let beats = Self {
            inner: Arc::new(Inner {
                cluster: me.cluster,
                node: me.node,
                boot: me.boot,
                address: me.address,
                capacity: me.capacity,
                incarnation: consensus.incarnation(),
                neighbours: neighbours.clone(),
                timing: me.timing,
                port_time: me.port_time,
                memory: me.memory,
                consensus,
                host,
                table: Mutex::default(),
                quorum: watch::channel(alone).0,
                devices: me.devices,
                yielding: AtomicBool::new(false),
            }),
        };
        tokio::spawn(
            beats
                .clone()
                .send_to_all(neighbours, Arc::clone(connector), stop.clone()),
        );
        tokio::spawn(beats.clone().judge(stop.clone()));
        beats
    }

    /// Whether a majority, this node included, has answered lately.
    pub fn quorum(&self) -> watch::Receiver<bool> {
        self.inner.quorum.subscribe()
    }

    /// The last heartbeat of another node.
    pub fn heard(&self, node: NodeId) -> Option<Heard> {
        self.table().heard.get(&node).cloned()
    }

    /// The other voter that was heard of last, if it was lately; one that is drained only if there is no other.
    pub fn freshest(&self) -> Option<NodeId> {
        let view = self.inner.consensus.view();
        let voters = self.inner.neighbours.borrow().voters.clone();
        let table = self.table();
        let lately = table
            .heard
            .iter()
            .filter(|(node, heard)| heard.at.elapsed() <= self.inner.timing.suspect && voters.contains(node));
        let (node, _) = lately.max_by_key(|(node, heard)| (!view.ledger.carries_nothing(**node), heard.at))?;
        Some(*node)
    }

    /// Whether a node has been heard of lately; this one always has.
    pub fn is_up(&self, node: NodeId) -> bool {
        let heard = || {
            self.heard(node)
                .is_some_and(|heard| heard.at.elapsed() <= self.inner.timing.suspect)
        };
        node == self.inner.node || heard()
    }

    /// How far another node's clock is ahead of this one's, milliseconds.
    pub fn clock_offset_ms(&self, node: NodeId) -> Option<i64> {
        self.table().answered.get(&node).map(|answered| answered.offset_ms)
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        self.inner.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This node's own heartbeat.
    pub fn beat(&self) -> Beat {
        let inner = &self.inner;
        let view = inner.consensus.view();
        let leadership = *inner.consensus.leadership().borrow();
        let host = inner.host.load();
        Beat {
            cluster: inner.cluster,
            node: inner.node,
            boot: inner.boot,
            applied: view.ledger.number(),
            head: LogPoint {
                size: view.log_size,
                root: view.root,
            },
            checkpoints: Vec::new(),
            port_time: inner.port_time.now(),
            unix_time_ms: inner.port_time.unix_ms(),
            load: Load {
                actors: host
                    .as_ref()
                    .map_or(0, |host| u32::try_from(host.running().len()).unwrap_or(u32::MAX)),
                devices: inner.devices.load(Ordering::Relaxed),
                memory_bytes: (inner.memory)(),
            },
            term: leadership.term,
            leads: leadership.leader == Some(inner.node.0),
            address: inner.address.clone(),
            capacity: inner.capacity,
            incarnation: inner.incarnation,
            version: crate::process::CLUSTER_VERSION,
        }
    }

    async fn send_to_all(
        self,
        mut neighbours: watch::Receiver<Neighbours>,
        connector: Connector,
        stop: CancellationToken,
    ) {
        let mut senders = PerNeighbour::new(&stop);
        loop {
            let others = neighbours.borrow_and_update().others.clone();
            {
                let mut table = self.table();
                table.answered.retain(|node, _| others.contains_key(node));
                table.differing.retain(|node, _| others.contains_key(node));
            }
            senders.follow(&others, |node, address, stop| {
                let client = HeartbeatServiceClient::new(connector(address));
                tokio::spawn(self.clone().send(node, client, stop));
            });
            self.count();
            tokio::select! {
                () = stop.cancelled() => return,
                changed = neighbours.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn send(
        self,
        to: NodeId,
        mut client: HeartbeatServiceClient<tonic::transport::Channel>,
        stop: CancellationToken,
    ) {
        let mut refusal: Option<String> = None;
        let mut ticks = tokio::time::interval(self.inner.timing.beat);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let mut request = Request::new(encode_beat(&self.beat()));
            let within = self.inner.timing.beat.max(Duration::from_millis(100)) * 2;
            request.set_timeout(within);
            let sent = self.inner.port_time.unix_ms();
            let response = match tokio::time::timeout(within, client.beat(request)).await {
                Ok(Ok(response)) => response,
                Ok(Err(status)) => {
                    if let Some(reason) = turned_away(&status) {
                        self.inner.consensus.stop_for(reason);
                        return;
                    }
                    // Silence is normal while a node is away; a refusal is a mistake in a configuration.
                    let mistaken = matches!(status.code(), Code::FailedPrecondition | Code::InvalidArgument);
                    if mistaken && refusal.as_deref() != Some(status.message()) {
                        tracing::warn!(%to, why = status.message(), "the heartbeat is refused");
                        refusal = Some(status.message().to_owned());
                    }
                    continue;
                }
                Err(_) => continue,
            };
            refusal = None;
            let Ok(answer) = decode_beat_answer(response.into_inner()) else {
                continue;
            };
            let middle = i64::try_from(sent.midpoint(self.inner.port_time.unix_ms())).unwrap_or(i64::MAX);
            let offset_ms = i64::try_from(answer.unix_time_ms)
                .unwrap_or(i64::MAX)
                .saturating_sub(middle);
            self.table().answered.insert(
                to,
                Answered {
                    at: Instant::now(),
                    offset_ms,
                },
            );
            self.count();
        }
    }

    /// Counts who answered lately.
    fn count(&self) {
        let now = Instant::now();
        let voters = self.inner.neighbours.borrow().voters.clone();
        let there = {
            let table = self.table();
            let lately = |node: &NodeId| {
                let answered = table.answered.get(node);
                answered.is_some_and(|answered| now.duration_since(answered.at) <= self.inner.timing.suspend)
            };
            voters
                .iter()
                .filter(|node| **node == self.inner.node || lately(node))
                .count()
        };
        let has = 2 * there > voters.len();
        self.inner.quorum.send_if_modified(|quorum| {
            let changed = *quorum != has;
            *quorum = has;
            changed
        });
    }

    /// Notices silence, a clock that is off, and a log that differs from the majority's.
    async fn judge(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(self.inner.timing.beat);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.count();
            let voters = self.inner.neighbours.borrow().voters.clone();
            let differing = {
                let table = self.table();
                voters.iter().filter(|node| table.differing.contains_key(node)).count()
            };
            if differing > 0 && 2 * differing > voters.len() {
                self.inner.consensus.stop_for(
                    "the decision log of this node differs from that of the majority; keep its data folder for the \
                     auditors, remove the node from the cluster and add a new one with a new id",
                );
                return;
            }
            self.yield_if_clock_is_off();
        }
    }

    /// Hands leadership over, in a task of its own, when this node's clock is off that of a majority.
    fn yield_if_clock_is_off(&self) {
        if !self.inner.consensus.leads() || self.inner.yielding.swap(true, Ordering::Relaxed) {
            return;
        }
        let now = Instant::now();
        let suspend = self.inner.timing.suspend;
        let voters = self.inner.neighbours.borrow().voters.len();
        let (off, freshest) = {
            let table = self.table();
            let lately = || {
                table
                    .answered
                    .iter()
                    .filter(|(_, peer)| now.duration_since(peer.at) <= suspend)
            };
            let off = lately().filter(|(_, peer)| peer.offset_ms.abs() > CLOCK_OFF_MS).count();
            (off, lately().next().is_some())
        };
        let beats = self.clone();
        let Some(to) = self.freshest().filter(|_| freshest).filter(|_| 2 * off > voters) else {
            self.inner.yielding.store(false, Ordering::Relaxed);
            return;
        };
        tokio::spawn(async move {
            tracing::error!(%to, "this node's clock is off the majority's by more than 2 s; leadership goes elsewhere");
            if let Err(error) = beats
                .inner
                .consensus
                .transfer_leader(to.0, Duration::from_secs(2))
                .await
            {
                tracing::warn!(%error, "leadership could not be handed over");
            }
            beats.inner.yielding.store(false, Ordering::Relaxed);
        });
    }
}

#[tonic::async_trait]
impl HeartbeatService for Beats {
    async fn beat(&self, request: Request<pb::BeatRequest>) -> Result<Response<pb::BeatResponse>, Status> {
        let beat = decode_beat(request.into_inner()).map_err(|invalid| portcullis_wire::status::invalid(&invalid))?;
        if beat.cluster != self.inner.cluster {
            return Err(Status::failed_precondition(
                "cluster_id: the heartbeat is of another cluster; check the peers",
            ));
        }
        let (node, boot) = (beat.node, beat.boot);
        let view = self.inner.consensus.view();
        if let Some(enrolment) = view.ledger.enrolment(node) {
            let member = self.inner.neighbours.borrow().others.contains_key(&node);
            if enrolment.removed && !member {
                return Err(portcullis_wire::status::refused(&roster::has_left(node)));
            }
            if enrolment.incarnation.is_some_and(|known| known != beat.incarnation) {
                return Err(portcullis_wire::status::refused(&roster::taken(node)));
            }
        }
        match self.inner.consensus.check_root(beat.head.size, &beat.head.root) {
            Agreement::Different => {
                tracing::error!(%node, size = beat.head.size, "the decision logs of two nodes differ");
                self.table().differing.insert(node, beat.head.size);
            }
            Agreement::Same => {
                self.table().differing.remove(&node);
            }
            Agreement::Unknown => {}
        }
        self.table().heard.insert(
            node,
            Heard {
                at: Instant::now(),
                beat,
            },
        );
        if let Some(host) = self.inner.host.load_full() {
            host.node_seen(node, boot);
        }
        Ok(Response::new(encode_beat_answer(&BeatAnswer {
            node: self.inner.node,
            boot: self.inner.boot,
            port_time: self.inner.port_time.now(),
            unix_time_ms: self.inner.port_time.unix_ms(),
        })))
    }
}

/// Why a node that is answered so must not go on: it was removed, or its id belongs to another folder.
fn turned_away(status: &Status) -> Option<String> {
    let details = status.get_error_details();
    let reason = &details.error_info()?.reason;
    let fatal = [RefusalReason::NodeRemoved, RefusalReason::NodeIdUsed];
    let fatal = fatal.iter().any(|fatal| fatal.as_str() == reason);
    fatal.then(|| status.message().to_owned())
}

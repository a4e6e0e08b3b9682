//! A cluster of real node processes on loopback, each with its own folder, that can be killed and started again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use portcullis_config::{NodeConfig, Peer, PeerAddress, to_toml};
use portcullis_domain::id::{ClusterId, NodeId};
use portcullis_domain::lane::LaneSpec;
use portcullis_domain::placement::FUSION_SHARDS;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::cluster_service_client::ClusterServiceClient;
use portcullis_proto::v1::inspection_service_client::InspectionServiceClient;
use portcullis_proto::v1::lane_service_client::LaneServiceClient;
use portcullis_proto::v1::log_service_client::LogServiceClient;
use portcullis_wire::status::WriteAnswer;
use tempfile::TempDir;
use tokio::process::Child;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use super::{deadline, eventually, free_port, program};

/// No call takes longer.
const CALL: Duration = Duration::from_secs(5);

/// Node processes and where they are.
pub(crate) struct Cluster {
    pub(crate) id: ClusterId,
    pub(crate) nodes: BTreeMap<u64, Node>,
    lanes: Vec<LaneSpec>,
    // Removed once the processes, which are above, are gone.
    dir: TempDir,
}

/// One node.
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    pub(crate) channel: Channel,
    config: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

/// A channel that connects when it is used, and again when the node is back.
pub(crate) fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}"))
        .unwrap()
        .connect_timeout(Duration::from_millis(500))
        .tcp_nodelay(true)
        .connect_lazy()
}

impl Cluster {
    /// Starts so many nodes with these lanes, and waits until every actor has a home and every node serves.
    pub(crate) async fn start(nodes: u64, lanes: Vec<LaneSpec>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let id = ClusterId(rand::random());
        let addresses: BTreeMap<u64, SocketAddr> = (1..=nodes).map(|id| (id, free_port().unwrap())).collect();
        let mut cluster = Self {
            id,
            nodes: BTreeMap::new(),
            lanes,
            dir,
        };
        for (number, address) in &addresses {
            let mut config = cluster.config(&format!("node-{number}"), *number, *address);
            config.cluster.bootstrap = *number == 1;
            let peer = |(id, address): (&u64, &SocketAddr)| Peer {
                id: NodeId(*id),
                address: PeerAddress::from(*address),
            };
            config.cluster.peers = addresses.iter().map(peer).collect();
            cluster.nodes.insert(*number, Node::started(&config));
        }
        cluster.ready().await;
        cluster
    }

    /// A configuration of this cluster, with a folder of its own.
    pub(crate) fn config(&self, name: &str, number: u64, address: SocketAddr) -> NodeConfig {
        let folder = self.dir.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut config = NodeConfig::with_defaults(NodeId(number), &folder.join("data"), address).unwrap();
        config.cluster.id = Some(self.id);
        config.lanes = self.lanes.clone();
        // Soon enough for a test, late enough for a process that only waits for its turn on a busy machine.
        config.raft.heartbeat = Duration::from_millis(100);
        config.raft.election_min = Duration::from_millis(400);
        config.raft.election_max = Duration::from_millis(600);
        config.liveness.beat = Duration::from_millis(200);
        config.liveness.suspect = Duration::from_millis(800);
        config.liveness.suspend = Duration::from_millis(1500);
        config.liveness.down = Duration::from_millis(2500);
        config
    }

    /// A configuration of a node that asks a member to be taken in.
    pub(crate) fn joining(&self, name: &str, at: u64) -> NodeConfig {
        let mut config = self.config(name, 1, free_port().unwrap());
        config.node.id = NodeId::NONE;
        config.cluster.join = vec![PeerAddress::from(self.nodes[&at].address)];
        config.cluster.peers.clear();
        config
    }

    /// Starts a node that joins, and waits until it votes. Returns the id that it was granted.
    pub(crate) async fn join(&mut self, name: &str, at: u64) -> u64 {
        let node = Node::started(&self.joining(name, at));
        let mut status = self.status_of(at);
        let id = eventually("the new node votes", async || {
            let status = call(status.get_status(deadline(pb::GetStatusRequest {}, CALL))).await?;
            let address = node.address.to_string();
            let new = status.nodes.iter().find(|new| new.address == address);
            match new {
                Some(new) if new.voter && new.up => Ok(new.id),
                other => Err(format!("{other:?}; {}", last_lines(&node.log))),
            }
        })
        .await;
        self.nodes.insert(id, node);
        id
    }

    pub(crate) fn node(&mut self, id: u64) -> &mut Node {
        self.nodes.get_mut(&id).unwrap()
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    pub(crate) fn endpoint(&self, id: u64) -> String {
        format!("http://{}", self.nodes[&id].address)
    }

    pub(crate) fn inspections(&self, id: u64) -> InspectionServiceClient<Channel> {
        InspectionServiceClient::new(self.nodes[&id].channel.clone())
    }

    pub(crate) fn lanes(&self, id: u64) -> LaneServiceClient<Channel> {
        LaneServiceClient::new(self.nodes[&id].channel.clone())
    }

    pub(crate) fn log(&self, id: u64) -> LogServiceClient<Channel> {
        LogServiceClient::new(self.nodes[&id].channel.clone())
    }

    pub(crate) fn status_of(&self, id: u64) -> ClusterServiceClient<Channel> {
        ClusterServiceClient::new(self.nodes[&id].channel.clone())
    }

    /// Waits until every node is up, knows the leader, and has its actors.
    pub(crate) async fn ready(&self) {
        let terminals: BTreeSet<_> = self.lanes.iter().map(|lane| &lane.terminal).collect();
        let wanted = self.lanes.len() + usize::from(FUSION_SHARDS) + terminals.len();
        eventually("the cluster is ready", async || {
            for id in self.nodes.keys() {
                let mut client = self.status_of(*id);
                let status = call(client.get_status(deadline(pb::GetStatusRequest {}, CALL)))
                    .await
                    .map_err(|why| format!("{why}; {}", self.tail()))?;
                let up = status.nodes.iter().filter(|node| node.up).count();
                let live = status.placements.iter().filter(|placement| placement.live).count();
                if up != self.nodes.len() || live != wanted || status.leader.is_none() || !status.has_quorum {
                    return Err(format!(
                        "node {id} sees {up} nodes up, {live} of {wanted} actors, leader {:?}; see {}",
                        status.leader,
                        self.tail()
                    ));
                }
            }
            Ok(())
        })
        .await;
    }

    /// The leader, as most nodes that answer see it.
    pub(crate) async fn leader(&self) -> u64 {
        eventually("there is a leader", async || {
            let mut votes: BTreeMap<u64, usize> = BTreeMap::new();
            for id in self.nodes.keys() {
                let mut client = self.status_of(*id);
                if let Ok(status) = call(client.get_status(deadline(pb::GetStatusRequest {}, CALL))).await
                    && let Some(leader) = status.leader.filter(|_| status.has_quorum)
                {
                    *votes.entry(leader).or_default() += 1;
                }
            }
            let leader = votes.iter().find(|(_, votes)| **votes > self.nodes.len() / 2);
            leader.map(|(leader, _)| *leader).ok_or_else(|| format!("{votes:?}"))
        })
        .await
    }

    /// A node that follows.
    pub(crate) async fn follower(&self) -> u64 {
        let leader = self.leader().await;
        self.ids().into_iter().find(|id| *id != leader).unwrap()
    }

    /// Asks as a client does: one node after the other, until the answer is certain. The last answer is the answer.
    pub(crate) async fn ask<T>(
        &self,
        what: &str,
        mut ask: impl AsyncFnMut(Channel) -> Result<Response<T>, Status>,
    ) -> Result<T, Status> {
        let mut turn = self.ids().into_iter().cycle();
        eventually(what, async || {
            let id = turn.next().unwrap();
            match ask(self.nodes[&id].channel.clone()).await {
                Ok(response) => Ok(Ok(response.into_inner())),
                Err(status) => match WriteAnswer::from_status(&status).again_after() {
                    Some(_) => Err(format!("node {id}: {status}")),
                    None => Ok(Err(status)),
                },
            }
        })
        .await
    }

    /// Announces through whichever node answers.
    pub(crate) async fn announce(&self, request: &pb::AnnounceRequest) -> pb::AnnounceResponse {
        self.ask("the announcement is answered", async |channel| {
            InspectionServiceClient::new(channel)
                .announce(deadline(request.clone(), CALL))
                .await
        })
        .await
        .unwrap()
    }

    /// One inspection as a node sees it, with every write that was acknowledged before.
    pub(crate) async fn inspection(&self, node: u64, number: u64) -> pb::GetInspectionResponse {
        eventually("the inspection is read", async || {
            let request = pb::GetInspectionRequest {
                target: Some(pb::get_inspection_request::Target::Inspection(number)),
                consistency: pb::Consistency::Quorum.into(),
                ..pb::GetInspectionRequest::default()
            };
            call(self.inspections(node).get_inspection(deadline(request, CALL))).await
        })
        .await
    }

    /// Waits until an inspection is at a stage.
    pub(crate) async fn at_stage(&self, node: u64, number: u64, stage: pb::Stage) -> pb::Inspection {
        eventually(&format!("inspection {number} is at {stage:?}"), async || {
            let found = self.inspection(node, number).await.inspection.unwrap();
            if found.stage() == stage {
                Ok(found)
            } else {
                Err(format!("{:?}", found.stage()))
            }
        })
        .await
    }

    /// The head of the log, once all nodes agree about it.
    pub(crate) async fn head(&self) -> pb::GetHeadResponse {
        eventually("all nodes have the same log", async || {
            let mut heads = Vec::new();
            for id in self.nodes.keys() {
                let request = deadline(
                    pb::GetHeadRequest {
                        consistency: pb::Consistency::Quorum.into(),
                    },
                    CALL,
                );
                heads.push(call(self.log(*id).get_head(request)).await?);
            }
            let same = heads
                .windows(2)
                .all(|pair| pair[0].size == pair[1].size && pair[0].root == pair[1].root);
            if same {
                Ok(heads.remove(0))
            } else {
                Err(format!("{heads:?}"))
            }
        })
        .await
    }

    /// The events of entries `from..to`.
    pub(crate) async fn events(&self, node: u64, from: u64, to: u64) -> Vec<pb::Event> {
        let mut events = Vec::new();
        for entry in from..to {
            // A follower may apply it a moment later than the node that was asked.
            let event = eventually("the node has the entry", async || {
                let request = deadline(pb::GetEntryRequest { entry }, CALL);
                let answer = self.log(node).get_entry(request).await;
                answer.map_err(|status| status.message().to_owned())
            });
            events.push(event.await.into_inner().event.unwrap());
        }
        events
    }

    /// Kills every node at once.
    pub(crate) async fn kill_all(&mut self) {
        for node in self.nodes.values_mut() {
            node.child.as_mut().unwrap().start_kill().unwrap();
        }
        for node in self.nodes.values_mut() {
            node.kill().await;
        }
    }

    /// The ends of the nodes' logs, for a message.
    fn tail(&self) -> String {
        self.nodes
            .values()
            .map(|node| last_lines(&node.log))
            .collect::<Vec<_>>()
            .join("\n--\n")
    }
}

impl Node {
    /// Writes a configuration beside its data folder and starts a node with it.
    pub(crate) fn started(config: &NodeConfig) -> Self {
        let folder = config.node.data_dir.parent().unwrap();
        let path = folder.join("node.toml");
        std::fs::write(&path, to_toml(config)).unwrap();
        let mut node = Self {
            address: config.node.listen,
            channel: channel(config.node.listen),
            config: path,
            log: folder.join("log.txt"),
            child: None,
        };
        node.start();
        node
    }

    /// Where its process writes about itself.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its data folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.config.parent().unwrap().join("data")
    }

    /// Waits until the process has ended, by itself.
    pub(crate) async fn ended(&mut self) -> bool {
        let mut child = self.child.take().unwrap();
        // Waiting closes it, and the process would stop for that.
        let _stdin = child.stdin.take();
        let status = tokio::time::timeout(super::DEADLINE, child.wait()).await;
        status.unwrap().unwrap().success()
    }

    /// SIGTERM, and waits until the process has stopped in order.
    pub(crate) async fn stop(&mut self) {
        let child = self.child.as_ref().unwrap();
        let pid = i32::try_from(child.id().unwrap()).unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.ended().await, "it stops in order: {}", last_lines(&self.log));
    }

    /// Starts the node's process, which ends with this one.
    pub(crate) fn start(&mut self) {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let child = program()
            .args(["node", "run", "--stop-with-stdin", "--config"])
            .arg(&self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// SIGKILL, and waits until the process is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.take().unwrap().kill().await.unwrap();
    }
}

async fn call<T>(answer: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, String> {
    match tokio::time::timeout(CALL, answer).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(status.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

fn last_lines(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}

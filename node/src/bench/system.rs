//! The systems under test: clusters of server processes, ours or another, or ours that runs already.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use portcullis_domain::id::ClusterId;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::cluster_service_client::ClusterServiceClient;
use tokio::time::Instant;
use tonic::transport::Channel;

use super::grpc::connect;
use super::{cpu, etcd};
use crate::cli::{BedArgs, ClientArgs, Target};
use crate::local::{Server, stop_all};
use crate::loopback::addresses;

/// A cluster that is not ready after this time has failed.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Longest time of a status call.
const CALL_WITHIN: Duration = Duration::from_secs(1);

/// A node that has not caught up after this time has failed.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);
/// Replicas that differ for longer do not agree.
const AGREE_WITHIN: Duration = Duration::from_secs(15);

/// Which system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ours.
    Portcullis,
    /// etcd.
    Etcd,
}

impl Kind {
    /// Its name in results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Portcullis => "portcullis",
            Self::Etcd => "etcd",
        }
    }
}

/// A cluster under test.
pub(super) struct System {
    pub(super) kind: Kind,
    /// Where its nodes are reached, by id.
    pub(super) addresses: BTreeMap<u64, String>,
    /// Its processes; none if it was running before.
    pub(super) servers: BTreeMap<u64, Server>,
}

impl System {
    /// Our nodes, laid out in `dir`.
    pub(super) fn portcullis(dir: &Path, args: &BedArgs, actors: bool) -> anyhow::Result<Self> {
        Self::portcullis_of(dir, args, actors, ClusterId(rand::random()))
    }

    /// Our nodes of a given cluster, laid out in `dir`: node 1 has its data in `node-1/data`.
    pub(super) fn portcullis_of(dir: &Path, args: &BedArgs, actors: bool, cluster: ClusterId) -> anyhow::Result<Self> {
        let addresses = addresses(args.nodes, 0)?;
        let servers = Server::nodes(dir, cluster, &addresses, &args.set, |config| {
            "bench".clone_into(&mut config.cluster.name);
            if !actors {
                config.node.capacity = 0;
            }
            "warn".clone_into(&mut config.log.filter);
        })?;
        Ok(Self::of(Kind::Portcullis, servers))
    }

    /// etcd, laid out in `dir`, with its defaults but for what `flags` say.
    pub(super) fn etcd(dir: &Path, args: &BedArgs, flags: &[String]) -> anyhow::Result<Self> {
        let program = etcd::find(&args.etcd)?;
        Ok(Self::of(Kind::Etcd, etcd::lay_out(dir, &program, args.nodes, flags)?))
    }

    /// A cluster of ours that runs already. Its nodes' ids are not known; they are counted from 1.
    pub(super) fn existing(endpoints: &[String]) -> Self {
        let addresses = (1..).zip(endpoints.iter().cloned()).collect();
        Self {
            kind: Kind::Portcullis,
            addresses,
            servers: BTreeMap::new(),
        }
    }

    /// A system of these processes.
    pub(super) fn of(kind: Kind, servers: BTreeMap<u64, Server>) -> Self {
        Self {
            kind,
            addresses: servers
                .values()
                .map(|server| (server.id, server.address.clone()))
                .collect(),
            servers,
        }
    }

    /// Starts its processes and waits until it serves.
    ///
    /// # Errors
    /// When it does not in time, or a process ends.
    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        for server in self.servers.values_mut() {
            server.start()?;
        }
        self.ready().await.map(drop)
    }

    /// Waits until every node is up and a leader is known to all, and returns the leader's id.
    ///
    /// # Errors
    /// When that does not happen in time, or a process has ended.
    pub(super) async fn ready(&mut self) -> anyhow::Result<u64> {
        if self.kind == Kind::Etcd {
            return etcd::ready(&mut self.servers).await;
        }
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            self.look_after()?;
            match self.leader_known_to_all().await {
                Ok(leader) => return Ok(leader),
                Err(why) if Instant::now() > deadline => {
                    return Err(why.context(format!("the nodes were not ready after {} s", READY_WITHIN.as_secs())));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Notices processes that have ended by themselves.
    ///
    /// # Errors
    /// Names the first of them.
    pub(super) fn look_after(&mut self) -> anyhow::Result<()> {
        for server in self.servers.values_mut() {
            if let Some(status) = server.ended()? {
                bail!(
                    "{} {} ended ({status}); the reason is in {}",
                    self.kind.name(),
                    server.id,
                    server.log.display()
                );
            }
        }
        Ok(())
    }

    /// A node that does not lead.
    pub(super) fn follower(&self, leader: u64) -> anyhow::Result<u64> {
        // Round and round, so that each has its turn.
        let after = self.addresses.keys().find(|node| **node > leader);
        let first = self.addresses.keys().find(|node| **node != leader);
        after.or(first).copied().context("one node alone has no follower")
    }

    /// The process of a node.
    pub(super) fn server(&mut self, node: u64) -> anyhow::Result<&mut Server> {
        self.servers
            .get_mut(&node)
            .with_context(|| format!("there is no process of node {node}"))
    }

    /// Waits until a node, or each of them, has applied what the leader has applied by now.
    ///
    /// # Errors
    /// When that does not happen in time, or a process has ended.
    pub(super) async fn caught_up(&mut self, node: Option<u64>) -> anyhow::Result<()> {
        let deadline = Instant::now() + CAUGHT_UP_WITHIN;
        let mut target = 0;
        for address in self.addresses.values() {
            target = target.max(self.applied(address).await.unwrap_or(0));
        }
        for (id, address) in self.addresses.clone() {
            if node.is_some_and(|node| node != id) {
                continue;
            }
            while self.applied(&address).await.is_none_or(|applied| applied < target) {
                if Instant::now() > deadline {
                    bail!("node {id} has not caught up after {} s", CAUGHT_UP_WITHIN.as_secs());
                }
                self.look_after()?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(())
    }

    async fn applied(&self, address: &str) -> Option<u64> {
        match self.kind {
            Kind::Portcullis => Some(status_of(address).await?.node?.applied_command),
            Kind::Etcd => Some(etcd::status(address).await?.raft_applied_index),
        }
    }

    /// Whether all replicas come to hold the same, by the roots of their logs or the hashes of their stores.
    pub(super) async fn replicas_agree(&self) -> anyhow::Result<bool> {
        if self.kind == Kind::Etcd {
            return etcd::replicas_agree(self.addresses.values()).await;
        }
        let deadline = Instant::now() + AGREE_WITHIN;
        loop {
            let mut states = Vec::new();
            for address in self.addresses.values() {
                let node = status_of(address).await.and_then(|status| status.node);
                states.extend(node.map(|node| (node.applied_command, node.log_size, node.root)));
            }
            let agree = states.len() == self.addresses.len() && states.windows(2).all(|pair| pair[0] == pair[1]);
            if agree || Instant::now() > deadline {
                return Ok(agree);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn leader_known_to_all(&self) -> anyhow::Result<u64> {
        let mut leaders = Vec::new();
        for (at, address) in &self.addresses {
            let mut client = ClusterServiceClient::new(connect(address)?);
            let call = tokio::time::timeout(CALL_WITHIN, client.get_status(pb::GetStatusRequest {}));
            let status = call
                .await
                .with_context(|| format!("{address} does not answer"))?
                .map_err(|status| anyhow::anyhow!("{address}: {}", status.message()))?
                .into_inner();
            if let Some(down) = status.nodes.iter().find(|node| !node.up) {
                bail!("node {} is not up", down.id);
            }
            let leader = status.leader.with_context(|| format!("{address} knows no leader"))?;
            leaders.push((leader, status.answering_node, *at));
        }
        let leader = leaders.first().context("there are no nodes")?.0;
        if leaders.iter().any(|(other, ..)| *other != leader) {
            bail!("the nodes do not agree who leads");
        }
        // Of a cluster that was running, only the nodes given with --endpoint are known.
        leaders
            .iter()
            .find(|(_, node, _)| *node == leader)
            .map(|(_, _, at)| *at)
            .with_context(|| {
                format!("node {leader} leads and is not among the endpoints; name it with --endpoint, too")
            })
    }

    /// Where a node is reached.
    pub(super) fn address(&self, node: u64) -> anyhow::Result<&str> {
        let address = self.addresses.get(&node);
        address
            .map(String::as_str)
            .with_context(|| format!("there is no node {node}"))
    }

    /// Connections as the clients of a measurement use them.
    pub(super) fn connections(&self, leader: u64, args: &ClientArgs, clients: u32) -> anyhow::Result<Vec<Channel>> {
        let to: Vec<&String> = match args.target {
            Target::Leader => self.addresses.get(&leader).into_iter().collect(),
            Target::All => self.addresses.values().collect(),
        };
        to.iter()
            .cycle()
            .take(args.connections.min(clients) as usize)
            .map(|address| connect(address))
            .collect()
    }

    /// Processor time that its processes have used; none if they are not ours to look at.
    pub(super) fn cpu(&self) -> Option<Duration> {
        if self.servers.is_empty() {
            return None;
        }
        self.servers.values().filter_map(Server::pid).map(cpu::used).sum()
    }

    /// Ends its processes.
    pub(super) async fn stop(&mut self) {
        stop_all(self.servers.values_mut()).await;
    }
}

/// What one of our nodes says about itself, if it answers.
pub(super) async fn status_of(address: &str) -> Option<pb::GetNodeStatusResponse> {
    let mut client = ClusterServiceClient::new(connect(address).ok()?);
    let call = client.get_node_status(pb::GetNodeStatusRequest {});
    Some(tokio::time::timeout(CALL_WITHIN, call).await.ok()?.ok()?.into_inner())
}

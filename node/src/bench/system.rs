//! The systems under test: clusters of server processes, ours or another, or ours that runs already.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use portcullis_config::{NodeConfig, Peer, PeerAddress, to_toml};
use portcullis_domain::id::{ClusterId, NodeId};
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::cluster_service_client::ClusterServiceClient;
use tokio::time::Instant;
use tonic::transport::Channel;

use super::grpc::connect;
use super::{cpu, etcd};
use crate::cli::{BedArgs, ClientArgs, Target};
use crate::local::{Server, addresses, stop_all};

/// A cluster that is not ready after this time has failed.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Longest time of a status call.
const CALL_WITHIN: Duration = Duration::from_secs(1);

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
        let addresses = addresses(args.nodes, 0)?;
        let cluster = ClusterId(rand::random());
        let mut servers = BTreeMap::new();
        for (id, address) in &addresses {
            let folder = dir.join(format!("node-{id}"));
            std::fs::create_dir_all(&folder)?;
            let mut config = NodeConfig::with_defaults(NodeId(*id), &folder.join("data"), *address)?;
            "bench".clone_into(&mut config.cluster.name);
            config.cluster.id = Some(cluster);
            config.cluster.bootstrap = *id == 1;
            config.cluster.peers = addresses
                .iter()
                .map(|(id, address)| Peer {
                    id: NodeId(*id),
                    address: PeerAddress::from(*address),
                })
                .collect();
            if !actors {
                config.node.capacity = 0;
            }
            "warn".clone_into(&mut config.log.filter);
            let path = folder.join("node.toml");
            std::fs::write(&path, to_toml(&config))?;
            let log = folder.join("log.txt");
            servers.insert(*id, Server::node(*id, address.to_string(), log, &path, &args.set)?);
        }
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

    fn of(kind: Kind, servers: BTreeMap<u64, Server>) -> Self {
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
            for server in self.servers.values_mut() {
                if let Some(status) = server.ended()? {
                    bail!(
                        "node {} ended ({status}); the reason is in {}",
                        server.id,
                        server.log.display()
                    );
                }
            }
            match self.leader_known_to_all().await {
                Ok(leader) => return Ok(leader),
                Err(why) if Instant::now() > deadline => {
                    return Err(why.context(format!("the nodes were not ready after {} s", READY_WITHIN.as_secs())));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
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

//! What a run leaves behind for its judges.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use portcullis_domain::id::Digest;
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::log_service_client::LogServiceClient;
use prost::Message as _;
use tonic::transport::Channel;

use crate::cluster::deadline;
use crate::history::{History, Request};
use crate::port::Nodes;
use crate::write::Told;

/// Entries that are asked for at the same time.
const AT_ONCE: usize = 32;

/// What is judged.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// What clients saw.
    pub history: History,
    /// The leaves that each node holds at the end, from entry 0, by node id.
    pub logs: BTreeMap<u64, Vec<Vec<u8>>>,
    /// Heads that nodes stated, beside those in the history.
    pub heads: Vec<Head>,
    /// When a node was first seen to have applied so many entries, by their number. Empty if nobody looked.
    pub applied: BTreeMap<u64, Duration>,
    /// Times in which no node had a quorum and knew it. Nothing may open then.
    pub cut_off: Vec<CutOff>,
    /// What came after faults.
    pub recoveries: Vec<Recovery>,
    /// Figures of queues and the like.
    pub figures: Vec<Figure>,
    /// A call may take so much longer than its deadline: what the machine or the simulation adds.
    pub slack: Duration,
}

/// Size and root of the log, as a node stated them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The node.
    pub node: u64,
    /// How many entries.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

/// A time without any quorum. Times are those of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CutOff {
    /// From when on every node must have known it: after the fault, and after the time in which it is noticed.
    pub from: Duration,
    /// Until when.
    pub until: Duration,
}

/// What came after the last of some faults ended. Times are those of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// When nothing was broken any more.
    pub healed: Duration,
    /// When a write that was sent after that was applied.
    pub served: Option<Duration>,
    /// How long that may take.
    pub serve_within: Duration,
    /// When every inspection that was announced had its conclusion; only for the recovery after which the port was calm.
    pub concluded: Option<Duration>,
    /// How long that may take; absent if the port went on.
    pub conclude_within: Option<Duration>,
}

/// A queue, or something else that is bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figure {
    /// The node.
    pub node: u64,
    /// What is counted.
    pub name: String,
    /// How much it was.
    pub value: u64,
    /// How much it may be.
    pub limit: u64,
}

impl Evidence {
    /// What clients saw, and what the nodes hold as soon as they agree about size and root. If they never do, their logs as
    /// they are, which is for P6 to judge.
    ///
    /// # Errors
    /// If a node does not answer within the time.
    pub async fn gather(history: History, nodes: &Nodes, within: Duration) -> anyhow::Result<Self> {
        let end = tokio::time::Instant::now() + within;
        let heads = loop {
            let heads = heads(nodes, within).await;
            let agree = |heads: &[Head]| {
                heads
                    .windows(2)
                    .all(|pair| (pair[0].size, pair[0].root) == (pair[1].size, pair[1].root))
            };
            match heads {
                Ok(heads) if agree(&heads) => break heads,
                last if tokio::time::Instant::now() > end => break last?,
                _ => tokio::time::sleep(within / 200).await,
            }
        };
        let mut logs = BTreeMap::new();
        for head in &heads {
            let channel = nodes.channel(head.node).context("a node left while its log was read")?;
            let log = leaves(&channel, head.size, within).await;
            logs.insert(
                head.node,
                log.with_context(|| format!("reading the log of node {}", head.node))?,
            );
        }
        Ok(Self {
            history,
            logs,
            heads,
            ..Self::default()
        })
    }

    /// Puts down how many devices and actors each node said that it had, whenever a client asked it.
    pub fn count_loads(&mut self, devices: u64, actors: u64) {
        for operation in &self.history.operations {
            let (Request::GetNodeStatus(_), Told::Applied(bytes)) = (&*operation.request, &operation.told) else {
                continue;
            };
            let status = pb::GetNodeStatusResponse::decode(&**bytes).unwrap_or_default();
            let load = status.node.unwrap_or_default().load.unwrap_or_default();
            for (name, value, limit) in [
                ("attached devices", u64::from(load.devices), devices),
                ("actors", u64::from(load.actors), actors),
            ] {
                self.figures.push(Figure {
                    node: operation.node,
                    name: name.to_owned(),
                    value,
                    limit,
                });
            }
        }
    }

    /// The log that the others are compared with: of the longest ones, the one that most nodes hold.
    pub(super) fn reference(&self) -> &[Vec<u8>] {
        let alike = |log: &Vec<Vec<u8>>| self.logs.values().filter(|other| *other == log).count();
        let longest = self.logs.values().max_by_key(|log| (log.len(), alike(log)));
        longest.map_or(&[], Vec::as_slice)
    }
}

/// The heads of all nodes, as each one holds it now.
async fn heads(nodes: &Nodes, within: Duration) -> anyhow::Result<Vec<Head>> {
    let mut heads = Vec::new();
    for id in nodes.ids() {
        let Some(channel) = nodes.channel(id) else { continue };
        let answer = head(&channel, within)
            .await
            .with_context(|| format!("the head of node {id}"))?;
        heads.push(Head {
            node: id,
            size: answer.size,
            root: digest(&answer.root).with_context(|| format!("node {id} states a root that is none"))?,
        });
    }
    Ok(heads)
}

async fn head(node: &Channel, within: Duration) -> anyhow::Result<pb::GetHeadResponse> {
    let mut log = LogServiceClient::new(node.clone());
    let request = pb::GetHeadRequest {
        consistency: pb::Consistency::Local.into(),
    };
    let answer = log.get_head(deadline(request, within));
    let answer = tokio::time::timeout(within, answer).await.context("no answer")?;
    Ok(answer?.into_inner())
}

/// The first so many leaves that a node holds.
async fn leaves(node: &Channel, size: u64, within: Duration) -> anyhow::Result<Vec<Vec<u8>>> {
    let entries = futures::stream::iter(0..size).map(|entry| leaf(node.clone(), entry, within));
    let mut entries = std::pin::pin!(entries.buffered(AT_ONCE));
    let mut leaves = Vec::new();
    while let Some(leaf) = entries.next().await {
        leaves.push(leaf?);
    }
    Ok(leaves)
}

/// One leaf. A node that lacks a bundle fetches it first, which may take more than one try.
async fn leaf(node: Channel, entry: u64, within: Duration) -> anyhow::Result<Vec<u8>> {
    let mut log = LogServiceClient::new(node);
    let end = tokio::time::Instant::now() + within;
    loop {
        let answer = log.get_entry(deadline(pb::GetEntryRequest { entry }, within));
        match tokio::time::timeout(within, answer).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner().leaf.to_vec()),
            Ok(Err(status)) if tokio::time::Instant::now() > end => {
                return Err(anyhow::Error::new(status).context(format!("entry {entry}")));
            }
            Ok(Err(_)) => tokio::time::sleep(within / 200).await,
            Err(_) => anyhow::bail!("entry {entry} was not answered within {within:?}"),
        }
    }
}

/// A digest from the wire.
pub(super) fn digest(bytes: &[u8]) -> Option<Digest> {
    bytes.try_into().ok().map(Digest)
}

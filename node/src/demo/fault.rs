//! Injecting a fault at its moment, and measuring how long the failed node's work takes to go on.

use std::collections::BTreeSet;
use std::time::Duration;

use portcullis_proto::v1 as pb;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::course::{Course, Happened};
use crate::cli::{FaultKind, FaultSpec};

/// A fault that has been injected.
pub(super) struct Injected {
    pub(super) node: u64,
    kind: FaultKind,
    at: Instant,
    over: bool,
    /// Inspections that the node owned then; none stands for "any".
    owned: Option<BTreeSet<u64>>,
    /// Conclusions count from this entry of the log on: what was under way before is no recovery.
    from: Option<u64>,
    pub(super) recovery: Option<Duration>,
}

/// How long a node stays away.
fn lasts(kind: FaultKind) -> Duration {
    match kind {
        FaultKind::KillLeader | FaultKind::KillLaneHost => Duration::from_secs(5),
        FaultKind::PauseLaneHost => Duration::from_secs(10),
    }
}

/// Injects the fault if there is a node that it fits right now.
///
/// # Errors
/// When the process cannot be killed.
pub(super) async fn inject(
    spec: FaultSpec,
    cluster: &mut Cluster,
    status: &pb::GetStatusResponse,
    course: &Course,
) -> anyhow::Result<Option<Injected>> {
    let Some(leader) = status.leader else { return Ok(None) };
    let node = match spec.kind {
        FaultKind::KillLeader => Some(leader),
        FaultKind::KillLaneHost | FaultKind::PauseLaneHost => course
            .scanning()
            .filter_map(|lane| home_of(status, |key| key == &pb::actor_key::Key::Lane(lane)))
            .find(|node| *node != leader),
    };
    let Some(node) = node else { return Ok(None) };
    let owned = (spec.kind != FaultKind::KillLeader).then(|| owned_by(node, status, course));
    let Some(process) = cluster.nodes.get_mut(&node) else {
        return Ok(None);
    };
    let at = Instant::now();
    match spec.kind {
        FaultKind::KillLeader | FaultKind::KillLaneHost => process.kill().await?,
        FaultKind::PauseLaneHost => process.pause(),
    }
    // The leader is dead by now: what the others do not have yet is committed by its successor or never. A lane's host can
    // still have commands on their way, so its work counts as recovered only once the cluster has noticed its loss.
    let from = match spec.kind {
        FaultKind::KillLeader => Some(survivors(status, node)),
        FaultKind::KillLaneHost | FaultKind::PauseLaneHost => None,
    };
    Ok(Some(Injected {
        node,
        kind: spec.kind,
        at,
        over: false,
        owned,
        from,
        recovery: None,
    }))
}

/// The longest log among the other nodes, as of the status.
fn survivors(status: &pb::GetStatusResponse, dead: u64) -> u64 {
    status
        .nodes
        .iter()
        .filter(|node| node.id != dead)
        .map(|node| node.log_size)
        .max()
        .unwrap_or(0)
}

fn home_of(status: &pb::GetStatusResponse, wanted: impl Fn(&pb::actor_key::Key) -> bool) -> Option<u64> {
    status
        .placements
        .iter()
        .find(|placed| {
            placed.live
                && placed
                    .key
                    .as_ref()
                    .and_then(|key| key.key.as_ref())
                    .is_some_and(&wanted)
        })
        .map(|placed| placed.node)
}

/// Inspections without a conclusion that a lane of the node has, or whose fusion shard runs there.
fn owned_by(node: u64, status: &pb::GetStatusResponse, course: &Course) -> BTreeSet<u64> {
    let on_lanes = course
        .on_lanes()
        .filter(|(no, lane)| {
            // A pass that is complete waits for its fusion shard and needs the lane no more.
            !course.is_complete(*no) && home_of(status, |key| key == &pb::actor_key::Key::Lane(*lane)) == Some(node)
        })
        .map(|(no, _)| no);
    let shards: BTreeSet<u32> = status
        .placements
        .iter()
        .filter(|placed| placed.node == node && placed.live)
        .filter_map(|placed| match placed.key.as_ref()?.key.as_ref()? {
            pb::actor_key::Key::FusionShard(shard) => Some(*shard),
            _ => None,
        })
        .collect();
    let in_shards = course.unconcluded().filter(|no| {
        shards.contains(&u32::from(portcullis_domain::placement::shard_of(
            portcullis_domain::id::InspectionNo(*no),
        )))
    });
    on_lanes.chain(in_shards).collect()
}

impl Injected {
    /// Takes notice of what happened.
    pub(super) fn notice(&mut self, event: &Happened) {
        match (event.kind.as_str(), self.from) {
            ("node_down" | "node_up", None) => self.from = Some(event.entry),
            ("concluded", Some(from)) if event.entry >= from && self.recovery.is_none() => {
                let owned = |no| self.owned.as_ref().is_none_or(|owned| owned.contains(no));
                if event.inspections.iter().any(owned) {
                    self.recovery = Some(self.at.elapsed());
                }
            }
            _ => {}
        }
    }

    /// Brings the node back once its time has come.
    ///
    /// # Errors
    /// When its process cannot be started.
    pub(super) fn heal_when_due(&mut self, cluster: &mut Cluster) -> anyhow::Result<()> {
        if self.over || self.at.elapsed() < lasts(self.kind) {
            return Ok(());
        }
        self.over = true;
        if let Some(process) = cluster.nodes.get_mut(&self.node) {
            match self.kind {
                FaultKind::KillLeader | FaultKind::KillLaneHost => process.start()?,
                FaultKind::PauseLaneHost => process.resume(),
            }
        }
        Ok(())
    }

    /// Whether the node is back.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }
}

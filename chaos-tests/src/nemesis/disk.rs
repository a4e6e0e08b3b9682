//! What is done to disks: they are full, fail to sync, are slow, or lose their power with the machine.

use std::time::Duration;

use anyhow::Context;
use rand::Rng;

use crate::cluster::{Cluster, Node};
use crate::disk::{Loss, Met, PowerDisk, Trouble};
use crate::wait::eventually;

/// A node under load syncs and writes all the time.
const MET_WITHIN: Duration = Duration::from_secs(15);
/// Longest time from a failed write to the end of the process.
const ENDS_WITHIN: Duration = Duration::from_secs(30);

fn disk(cluster: &Cluster, id: u64) -> anyhow::Result<&PowerDisk> {
    let disk = cluster.nodes.get(&id).and_then(Node::disk);
    disk.with_context(|| format!("node {id} has no disk of ours"))
}

/// Something is wrong with a node's disk from now on. Waits until the node has met it, and until it has ended itself if what
/// it met is no reason to go on.
///
/// # Errors
/// If the node does not meet it in time, or goes on after a write or sync of its log has failed.
pub async fn trouble(cluster: &mut Cluster, id: u64, trouble: Trouble) -> anyhow::Result<String> {
    let met = meet(cluster, id, trouble).await?;
    match trouble {
        Trouble::None | Trouble::SyncSlow(_) => Ok(met),
        Trouble::Full | Trouble::SyncFails => {
            let status = cluster.node(id).ends(ENDS_WITHIN).await.with_context(|| met.clone())?;
            Ok(format!("{met}, which then ended itself ({status})"))
        }
    }
}

async fn meet(cluster: &Cluster, id: u64, trouble: Trouble) -> anyhow::Result<String> {
    let disk = disk(cluster, id)?;
    let before = disk.met();
    disk.trouble(trouble);
    let count = |met: Met| match trouble {
        Trouble::None => 0,
        Trouble::Full => met.no_room,
        Trouble::SyncFails => met.failed_syncs,
        Trouble::SyncSlow(_) => met.slow_syncs,
    };
    eventually("the node meets the trouble of its disk", MET_WITHIN, async || {
        match count(disk.met()) - count(before) {
            0 => Err(format!("{trouble:?} was met by nothing")),
            times => Ok(format!("{trouble:?} was met {times} times by node {id}")),
        }
    })
    .await
}

/// The disk is well again, and its node is started if it has ended itself.
///
/// # Errors
/// If the process cannot be started.
pub fn well(cluster: &mut Cluster, id: u64) -> anyhow::Result<()> {
    disk(cluster, id)?.trouble(Trouble::None);
    let node = cluster.node(id);
    if node.pid().is_none() {
        node.start()?;
    }
    Ok(())
}

/// Power fails for these nodes at once: their processes are killed, and their disks keep what `loss` leaves.
///
/// # Errors
/// If a process cannot be killed or a disk not be mounted again.
pub async fn lose_power(cluster: &mut Cluster, ids: &[u64], loss: Loss, rng: &mut impl Rng) -> anyhow::Result<String> {
    let processes = super::process::processes(cluster, ids)?;
    cluster.lose_power(ids, loss, rng).await?;
    Ok(format!(
        "gone with what was not synced ({loss:?}), by node: {processes:?}"
    ))
}

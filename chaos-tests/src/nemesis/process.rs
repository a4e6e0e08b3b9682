//! What is done to processes: signals, and starts and stops.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cluster::{Cluster, Node};
use crate::wait::eventually;

/// A signal has worked by then.
const WORKS_WITHIN: Duration = Duration::from_secs(10);
/// Starts of a storm.
const STORM: usize = 5;
/// A process that is starved runs so long at a time...
const TURN: Duration = Duration::from_millis(10);
/// ...and then has to wait so long.
const WAITS: Duration = Duration::from_millis(60);

/// Processes of these nodes.
///
/// # Errors
/// If one does not run.
pub fn processes(cluster: &Cluster, ids: &[u64]) -> anyhow::Result<BTreeMap<u64, u32>> {
    let of = |id: &u64| cluster.nodes.get(id).and_then(Node::pid).map(|pid| (*id, pid));
    ids.iter()
        .map(|id| of(id).with_context(|| format!("node {id} does not run")))
        .collect()
}

/// SIGKILL for all of them at once. Says which processes are gone.
///
/// # Errors
/// If one was gone already, or is still there.
pub async fn kill(cluster: &mut Cluster, ids: &[u64]) -> anyhow::Result<String> {
    let processes = processes(cluster, ids)?;
    cluster.kill(ids).await?;
    for pid in processes.values() {
        if state(*pid).is_some() {
            bail!("process {pid} is still there after SIGKILL");
        }
    }
    Ok(format!("gone, by node: {processes:?}"))
}

/// Starts nodes that do not run.
///
/// # Errors
/// If a process cannot be started.
pub fn start(cluster: &mut Cluster, ids: &[u64]) -> anyhow::Result<()> {
    ids.iter().try_for_each(|id| cluster.node(*id).start())
}

/// Waits until these nodes answer, and says which processes do.
///
/// # Errors
/// If they do not in time, or have ended.
pub async fn answer(cluster: &Cluster, ids: &[u64], within: Duration) -> anyhow::Result<String> {
    let processes = processes(cluster, ids)?;
    for id in ids {
        let node = &cluster.nodes[id];
        eventually(&format!("node {id} answers"), within, async || {
            node.status().await.map(drop)
        })
        .await
        .with_context(|| format!("the end of {}:\n{}", node.log.display(), node.last_words()))?;
    }
    Ok(format!("answer, by node: {processes:?}"))
}

/// Kills a node and starts it, over and over: some starts are cut short, the last one is not.
///
/// # Errors
/// If a process cannot be killed or started.
pub async fn storm(cluster: &mut Cluster, id: u64, rng: &mut ChaCha8Rng) -> anyhow::Result<String> {
    let mut gone = processes(cluster, &[id])?;
    let mut all = Vec::new();
    for _ in 0..STORM {
        cluster.kill(&[id]).await?;
        all.extend(gone.values().copied());
        cluster.node(id).start()?;
        gone = processes(cluster, &[id])?;
        tokio::time::sleep(Duration::from_millis(rng.random_range(20..400))).await;
    }
    for pid in &all {
        if state(*pid).is_some() {
            bail!("process {pid} is still there after SIGKILL");
        }
    }
    Ok(format!("gone, one after the other: {all:?}"))
}

/// Stops and starts each node as an operator would, one after the other.
///
/// # Errors
/// If one does not stop in good order.
pub async fn rolling(cluster: &mut Cluster, ids: &[u64], within: Duration) -> anyhow::Result<String> {
    let processes = processes(cluster, ids)?;
    for id in ids {
        cluster.node(*id).stop_in_order(within).await?;
        cluster.node(*id).start()?;
        answer(cluster, &[*id], within).await?;
    }
    Ok(format!("stopped in order with success, by node: {processes:?}"))
}

/// SIGSTOP; returns when all threads stand.
///
/// # Errors
/// If the process does not run, or does not stand.
pub async fn pause(cluster: &Cluster, id: u64) -> anyhow::Result<String> {
    let pid = pid(cluster, id)?;
    signal(pid, Signal::STOP)?;
    stands(pid, true).await?;
    Ok(format!("process {pid} stands"))
}

/// SIGCONT.
///
/// # Errors
/// If the process does not run.
pub fn resume(cluster: &Cluster, id: u64) -> anyhow::Result<()> {
    signal(pid(cluster, id)?, Signal::CONT)
}

/// That a process does not stand any more.
///
/// # Errors
/// If it does, or does not run.
pub async fn resumed(cluster: &Cluster, id: u64) -> anyhow::Result<String> {
    let pid = pid(cluster, id)?;
    stands(pid, false).await?;
    Ok(format!("process {pid} runs"))
}

/// A process that gets little of the processor.
#[derive(Debug)]
pub struct Starved {
    /// The node.
    pub node: u64,
    stop: oneshot::Sender<()>,
    task: JoinHandle<anyhow::Result<u64>>,
}

impl Starved {
    /// Lets a node's process run for short turns only.
    ///
    /// # Errors
    /// If it does not run.
    pub fn start(cluster: &Cluster, node: u64, seed: u64) -> anyhow::Result<Self> {
        let pid = pid(cluster, node)?;
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut turns = 0;
            loop {
                signal(pid, Signal::STOP)?;
                let over = tokio::time::timeout(WAITS.mul_f64(rng.random_range(0.5..2.0)), &mut stopped).await;
                signal(pid, Signal::CONT)?;
                turns += 1;
                if over.is_ok() {
                    return Ok(turns);
                }
                if tokio::time::timeout(TURN, &mut stopped).await.is_ok() {
                    return Ok(turns);
                }
            }
        });
        Ok(Self { node, stop, task })
    }

    /// Lets it run as it likes. Returns how many turns it had to make do with.
    ///
    /// # Errors
    /// If it has ended.
    pub async fn end(self) -> anyhow::Result<u64> {
        let _ = self.stop.send(());
        self.task.await?
    }
}

fn pid(cluster: &Cluster, id: u64) -> anyhow::Result<u32> {
    let pid = cluster.nodes.get(&id).and_then(Node::pid);
    pid.with_context(|| format!("node {id} does not run"))
}

fn signal(process: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    let pid = pid.with_context(|| format!("{process} is no process"))?;
    kill_process(pid, signal).with_context(|| format!("sending a signal to process {process}"))
}

async fn stands(pid: u32, wanted: bool) -> anyhow::Result<()> {
    eventually("the signal works", WORKS_WITHIN, async || match state(pid) {
        Some(state) if (state == 'T') == wanted => Ok(()),
        state => Err(format!("process {pid} is in state {state:?}")),
    })
    .await
}

/// The state of a process as the kernel gives it, `T` for one that stands; `None` if it is gone.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may have anything in it.
    stat.rsplit_once(") ")?.1.chars().next()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use super::*;

    #[tokio::test]
    async fn a_stopped_process_is_seen_to_stand_and_a_continued_one_to_run() {
        let mut child = tokio::process::Command::new("sleep")
            .arg("60")
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = child.id().unwrap();
        signal(pid, Signal::STOP).unwrap();
        stands(pid, true).await.unwrap();
        signal(pid, Signal::CONT).unwrap();
        stands(pid, false).await.unwrap();
        child.kill().await.unwrap();
        assert_eq!(state(pid), None);
    }
}

//! The control: the leader is killed again and again, on ours and on etcd, in the same network, by the same schedule, timed by
//! the same client: from SIGKILL until the next put that was sent afterwards is accepted.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use tonic::transport::Channel;

use super::arena::Arena;
use super::etcd::{self, Etcd};
use super::run::Plan;
use crate::court::Court;
use crate::report::Times;
use crate::write::{self, Told};

/// A put that has no answer after this time is given up, and another node is asked.
const TRY: Duration = Duration::from_millis(200);
/// Between two tries that failed.
const PAUSE: Duration = Duration::from_millis(10);
/// Tries under way at the same time.
const AT_ONCE: u64 = 4;
/// Timers of ours for this: those that a node has by default.
const OUR_TIMERS: [(&str, u32); 3] = [
    ("raft.heartbeat_ms", 30),
    ("raft.election_min_ms", 100),
    ("raft.election_max_ms", 150),
];
/// How long puts were not accepted after the leader was killed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Control {
    /// Ours.
    pub ours: Times,
    /// etcd.
    pub etcd: Times,
    /// Why etcd was not measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

impl fmt::Display for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.ours.count == 0 {
            return Ok(());
        }
        writeln!(f, "from SIGKILL of the leader to the next accepted put, ms:")?;
        for (name, times) in [("portcullis", &self.ours), ("etcd", &self.etcd)] {
            if times.count > 0 {
                let Times {
                    count, p50_ms, max_ms, ..
                } = times;
                writeln!(f, "  {name}: {count} kills, p50 {p50_ms}, max {max_ms}")?;
            }
        }
        match &self.skipped {
            Some(why) => writeln!(f, "  etcd: skipped: {why}"),
            None => Ok(()),
        }
    }
}

/// Kills and times.
///
/// # Errors
/// If one of the two does not accept puts in time.
pub(super) async fn run(arena: &mut Arena, court: &Court, dir: &Path, plan: &Plan) -> anyhow::Result<Control> {
    let mut control = Control::default();
    if plan.control_kills == 0 {
        return Ok(control);
    }
    arena.cluster.stop().await;
    for node in arena.cluster.nodes.values_mut() {
        for (option, ms) in OUR_TIMERS {
            node.set_option(&format!("{option}={ms}"));
        }
        node.start()?;
    }
    arena.cluster.agree(plan.within).await?;
    control.ours = ours(arena, court, plan).await.context("ours")?;
    match etcd::program() {
        Ok(program) => {
            // Not beside it: both get the whole machine.
            arena.cluster.stop().await;
            let started = Etcd::start(&program, arena.network.seats(), dir).await;
            control.etcd = etcd(started.context("starting etcd")?, plan).await.context("etcd")?;
            for node in arena.cluster.nodes.values_mut() {
                node.start()?;
            }
            arena.cluster.agree(plan.within).await?;
        }
        Err(why) => control.skipped = Some(format!("{why:#}")),
    }
    Ok(control)
}

/// The schedule of both: how long all is well before each kill.
fn calm(plan: &Plan) -> impl Iterator<Item = Duration> + use<> {
    let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
    (0..plan.control_kills).map(move |_| Duration::from_millis(rng.random_range(100..500)))
}

async fn ours(arena: &mut Arena, court: &Court, plan: &Plan) -> anyhow::Result<Times> {
    let nodes: Vec<Channel> = arena.cluster.nodes.values().map(|node| node.channel.clone()).collect();
    let put = async |turn: u64| {
        let Ok(serial) = court.load().account().reserve() else {
            return false;
        };
        let told = tokio::time::timeout(TRY, write::send(of(&nodes, turn), serial)).await;
        let told = told.unwrap_or(Told::Unknown);
        let accepted = matches!(told, Told::Applied(_));
        court.load().account().record(serial, told).is_ok() && accepted
    };
    let mut times = Vec::new();
    for calm in calm(plan) {
        let leader = arena.cluster.leader(plan.within).await?;
        accepted(&put, plan.within).await?;
        tokio::time::sleep(calm).await;
        let killed = Instant::now();
        arena.cluster.kill(&[leader]).await?;
        accepted(&put, plan.within).await?;
        times.push(millis(killed.elapsed()));
        arena.cluster.node(leader).start()?;
        arena.cluster.agree(plan.within).await?;
    }
    Ok(Times::new(times.into_iter()))
}

/// The same on etcd.
async fn etcd(mut etcd: Etcd, plan: &Plan) -> anyhow::Result<Times> {
    let nodes = etcd.channels();
    let put = async |turn: u64| {
        let put = etcd::put(of(&nodes, turn), format!("container-{turn}"));
        matches!(tokio::time::timeout(TRY, put).await, Ok(Ok(())))
    };
    let mut times = Vec::new();
    for calm in calm(plan) {
        let leader = etcd.leader(plan.within).await?;
        accepted(&put, plan.within).await?;
        tokio::time::sleep(calm).await;
        let killed = Instant::now();
        etcd.member(leader)?.kill().await?;
        accepted(&put, plan.within).await?;
        times.push(millis(killed.elapsed()));
        etcd.member(leader)?.start()?;
    }
    etcd.end().await?;
    Ok(Times::new(times.into_iter()))
}

/// Returns when a put is accepted. The tries that are still under way are given up.
async fn accepted(put: &impl AsyncFn(u64) -> bool, within: Duration) -> anyhow::Result<()> {
    let mut tries = FuturesUnordered::new();
    let attempt = async |turn: u64| {
        let accepted = put(turn).await;
        if !accepted {
            tokio::time::sleep(PAUSE).await;
        }
        accepted
    };
    let mut next = 0;
    while next < AT_ONCE {
        tries.push(attempt(next));
        next += 1;
    }
    let first = async {
        while let Some(accepted) = tries.next().await {
            if accepted {
                return;
            }
            tries.push(attempt(next));
            next += 1;
        }
    };
    tokio::time::timeout(within, first)
        .await
        .map_err(|_| anyhow::anyhow!("no put is accepted within {within:?}"))
}

fn of(nodes: &[Channel], turn: u64) -> Channel {
    let at = usize::try_from(turn).unwrap_or_default() % nodes.len();
    nodes[at].clone()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

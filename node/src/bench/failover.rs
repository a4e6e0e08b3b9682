//! `bench failover`: the leader is killed under load, again and again. How long until a write is acknowledged, and was any
//! acknowledged write lost.

use std::time::Duration;

use anyhow::Context;
use portcullis_config::NodeConfig;
use tokio::time::{Instant, sleep};

use super::bed::Bed;
use super::ledger;
use super::report::{Gaps, Report, Rows};
use super::system::{Kind, System};
use super::writers::{Manner, Writers};
use crate::cli::{FailoverArgs, Global};

/// A cluster that acknowledges nothing for so long after a kill has failed.
const RECOVERS_WITHIN: Duration = Duration::from_secs(30);
/// How long writers may take to finish what they have in hand.
const FINISH_WITHIN: Duration = Duration::from_secs(20);

/// Measures.
pub(super) async fn run(bed: &mut Bed, global: &Global, args: &FailoverArgs) -> anyhow::Result<Report> {
    anyhow::ensure!(
        !global.endpoints_given,
        "bench failover kills nodes, and only those that it has started itself: leave out --endpoint"
    );
    let systems = if args.bed.beside.is_some() { 2 } else { 1 };
    bed.expect(u64::from(args.kills) * systems);
    let flags = if args.same_timing {
        same_timing(args)?
    } else {
        Vec::new()
    };
    bed.start(global, &args.bed, false, &flags).await?;
    let manner = Manner {
        writers: args.writers,
        pause: args.pause,
        try_within: args.try_within,
    };
    let mut report = Report::new(bed.machine.clone());
    let mut rows = Vec::new();
    for at in 0..bed.systems.len() {
        rows.push(one_system(bed, at, args, manner).await?);
    }
    // What the system beside ours loses is its own affair; it is in its row.
    for row in rows.iter().filter(|row| row.system == Kind::Portcullis.name()) {
        report.wrong.extend(row.wrong());
    }
    report.rows = Rows::Gaps(rows);
    Ok(report)
}

/// etcd's flags for our timing, as near as its rule lets: an election takes at least five heartbeats.
fn same_timing(args: &FailoverArgs) -> anyhow::Result<Vec<String>> {
    let address = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 1));
    let defaults = NodeConfig::with_defaults(portcullis_domain::id::NodeId(1), std::path::Path::new("data"), address)?;
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), portcullis_config::to_toml(&defaults))?;
    let raft = NodeConfig::load(Some(file.path()), std::iter::empty(), &args.bed.set)?.raft;
    let election = raft.election_min.max(raft.heartbeat * 5);
    Ok(vec![
        format!("--heartbeat-interval={}", raft.heartbeat.as_millis()),
        format!("--election-timeout={}", election.as_millis()),
    ])
}

async fn one_system(bed: &mut Bed, at: usize, args: &FailoverArgs, manner: Manner) -> anyhow::Result<Gaps> {
    bed.systems[at].ready().await?;
    let writers = Writers::start(&bed.systems[at], manner)?;
    let mut gaps = Gaps::new(bed.systems[at].kind.name(), "failover");
    for kill in 1..=args.kills {
        bed.say(&format!("{}, kill {kill}", bed.systems[at].kind.name()));
        let system = &mut bed.systems[at];
        let took = one_kill(system, &writers)
            .await
            .with_context(|| format!("kill {kill}"))?;
        gaps.add(took);
        bed.step();
    }
    let system = &mut bed.systems[at];
    gaps.first_failure = writers.failed_tries().1;
    let written = writers.stop(FINISH_WITHIN).await;
    gaps.failed = written.given_up;
    ledger::verify(system, &written, &mut gaps).await?;
    Ok(gaps)
}

/// Kills the leader and returns the time from the kill to the first answer to a try that began after it; then brings the node
/// back and waits until it has caught up.
async fn one_kill(system: &mut System, writers: &Writers) -> anyhow::Result<Duration> {
    let leader = system.ready().await?;
    // Everyone writes again, and the kill meets the writers and the timers of the nodes at any moment.
    let calm = writers.count();
    writers
        .wait(calm, RECOVERS_WITHIN, |new| (new.len() >= 20).then_some(()))
        .await?;
    sleep(Duration::from_millis(rand::random_range(0..200))).await;

    let from = writers.count();
    let killed = Instant::now();
    system.server(leader)?.kill().await?;
    let took = writers
        .wait(from, RECOVERS_WITHIN, |new| {
            let after = new.iter().filter(|write| write.tried > killed);
            after.map(|write| write.at - killed).min()
        })
        .await?;
    system.server(leader)?.start()?;
    system.caught_up(Some(leader)).await?;
    Ok(took)
}

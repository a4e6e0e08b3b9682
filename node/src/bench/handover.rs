//! `bench handover`: leadership is handed over under load, again and again. The longest pause between two acknowledged writes
//! around it, and whether any request failed.

use std::time::Duration;

use anyhow::Context;
use portcullis_proto::v1 as pb;
use tokio::time::{Instant, sleep, timeout};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;

use super::bed::Bed;
use super::etcd;
use super::grpc::{connect, unary};
use super::ledger;
use super::report::{Gaps, Report, Rows};
use super::system::{Kind, System};
use super::writers::{Manner, Writers};
use crate::cli::{Global, HandoverArgs};

/// Writes that are looked at before a hand-over is asked for, and after it is done.
const AROUND: Duration = Duration::from_millis(300);
/// Longest time of a hand-over.
const WITHIN: Duration = Duration::from_secs(10);

/// Measures.
pub(super) async fn run(bed: &mut Bed, global: &Global, args: &HandoverArgs) -> anyhow::Result<Report> {
    anyhow::ensure!(
        !global.endpoints_given,
        "bench handover moves the leadership of nodes that it has started itself: leave out --endpoint"
    );
    let systems = if args.bed.beside.is_some() { 2 } else { 1 };
    bed.expect(u64::from(args.rounds) * systems);
    bed.start(global, &args.bed, false, &[]).await?;
    let manner = Manner {
        writers: args.writers,
        pause: Duration::ZERO,
        // A client of a planned hand-over has no reason to give up soon.
        try_within: WITHIN,
    };
    let mut rows = Vec::new();
    for at in 0..bed.systems.len() {
        bed.systems[at].ready().await?;
        let kind = bed.systems[at].kind;
        let writers = Writers::start(&bed.systems[at], manner)?;
        let mut gaps = Gaps::new(kind.name(), "handover");
        for round in 1..=args.rounds {
            bed.say(&format!("{}, round {round}", kind.name()));
            let gap = one_round(&mut bed.systems[at], &writers).await;
            gaps.add(gap.with_context(|| format!("hand-over {round}"))?);
            bed.step();
        }
        let (failed, why) = writers.failed_tries();
        gaps.failed = failed;
        gaps.first_failure = why;
        let written = writers.stop(WITHIN).await;
        ledger::verify(&mut bed.systems[at], &written, &mut gaps).await?;
        rows.push(gaps);
    }
    let mut report = Report::new(bed.machine.clone());
    // What the system beside ours loses is its own affair; it is in its row.
    for row in rows.iter().filter(|row| row.system == Kind::Portcullis.name()) {
        report.wrong.extend(row.wrong());
    }
    report.rows = Rows::Gaps(rows);
    Ok(report)
}

async fn one_round(system: &mut System, writers: &Writers) -> anyhow::Result<Duration> {
    let leader = system.ready().await?;
    let from = writers.count();
    sleep(AROUND).await;
    let to = system.follower(leader)?;
    let begin = Instant::now();
    timeout(WITHIN, hand_over(system, leader, to))
        .await
        .with_context(|| format!("no answer within {} s", WITHIN.as_secs()))??;
    // Until somebody's write was both tried and answered after it.
    let done = Instant::now();
    writers
        .wait(from, WITHIN, |new| {
            new.last().filter(|write| write.tried > done).map(drop)
        })
        .await?;
    sleep(AROUND).await;
    let now = Instant::now();
    writers
        .wait(from, WITHIN, |new| {
            let mut before = begin - AROUND;
            let mut longest = Duration::ZERO;
            for write in new.iter().filter(|write| write.at > begin - AROUND) {
                longest = longest.max(write.at.saturating_duration_since(before));
                before = write.at;
            }
            Some(longest.max(now.saturating_duration_since(before)))
        })
        .await
}

async fn hand_over(system: &System, leader: u64, to: u64) -> anyhow::Result<()> {
    let address = system.address(leader)?;
    let done = match system.kind {
        Kind::Portcullis => {
            let context = pb::RequestContext {
                source: "bench".to_owned(),
                request_id: format!("{:016x}", rand::random::<u64>()),
                principal: "bench".to_owned(),
            };
            // TransferLeaderRequest: who asks, and to which node.
            let mut body = Vec::new();
            prost::encoding::message::encode(1, &context, &mut body);
            prost::encoding::uint64::encode(2, &to, &mut body);
            let path = PathAndQuery::from_static("/portcullis.v1.ClusterService/TransferLeader");
            unary(&mut Grpc::new(connect(address)?), path, body.into())
                .await
                .map(drop)
        }
        Kind::Etcd => {
            let target = etcd::status(system.address(to)?).await.and_then(|status| status.header);
            let request = etcd::pb::MoveLeaderRequest {
                target_id: target.context("the follower does not answer")?.member_id,
            };
            let mut client = etcd::pb::maintenance_client::MaintenanceClient::new(connect(address)?);
            client.move_leader(request).await.map(drop)
        }
    };
    done.map_err(|status| anyhow::anyhow!("handing over from node {leader} to {to}: {status}"))
}

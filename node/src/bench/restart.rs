//! `bench restart`: nodes start on a long history. How long until they serve, how fast a new node catches up, how much memory
//! they need.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use portcullis_consensus::{HistoryWriter, Member, Settings};
use portcullis_domain::id::{ClusterId, Timestamp};
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::inspection_service_client::InspectionServiceClient;
use portcullis_proto::v1::log_service_client::LogServiceClient;
use tokio::time::{Instant, sleep, timeout};

use super::bed::Bed;
use super::body::Series;
use super::closed::Past;
use super::grpc::connect;
use super::report::{Report, Restarted, Rows};
use super::system::{System, status_of};
use crate::cli::{Global, RestartArgs};
use crate::clock::unix_ms;

/// Longest time of one call while the nodes come up.
const CALL_WITHIN: Duration = Duration::from_millis(500);

/// Measures.
pub(super) async fn run(bed: &mut Bed, global: &Global, args: &RestartArgs) -> anyhow::Result<Report> {
    anyhow::ensure!(
        !global.endpoints_given,
        "bench restart makes data folders and starts nodes on them: leave out --endpoint"
    );
    bed.expect(5);
    bed.say(&format!("writing a history of {} closed inspections", args.closed));
    let cluster = ClusterId(rand::random());
    let mut system = System::portcullis_of(bed.dir(), &args.bed, false, cluster)?;
    let folders: Vec<_> = system
        .servers
        .keys()
        .map(|id| (*id, bed.dir().join(format!("node-{id}/data"))))
        .collect();
    let members: BTreeMap<u64, Member> = system
        .addresses
        .iter()
        .map(|(id, address)| (*id, Member::new(address.clone())))
        .collect();
    // The last node is left empty; it catches up over the network.
    let (empty, kept) = folders.split_last().context("there are nodes")?;
    let (closed, kept) = (args.closed, kept.to_vec());
    let written = tokio::task::spawn_blocking(move || write(cluster, &kept, &members, closed));
    let entries = written.await.context("writing the history")??;
    let history_bytes = size_of(&bed.dir().join("node-1/data"))?;
    bed.step();

    bed.say("starting nodes on it");
    let mut result = Restarted::new(args.closed, entries, history_bytes);
    let begin = Instant::now();
    let within = Duration::from_secs(args.within_s);
    for (id, server) in &mut system.servers {
        if *id != empty.0 {
            server.start()?;
        }
    }
    bed.systems.push(system);
    serves(&mut bed.systems[0], begin + within).await?;
    result.serve_s = begin.elapsed().as_secs_f64();
    bed.step();

    // A node that had led through this history would have its index already.
    bed.say("the nodes index it");
    let system = &mut bed.systems[0];
    let old: Vec<_> = system.addresses.iter().filter(|(id, _)| **id != empty.0).collect();
    let old: Vec<_> = old.into_iter().map(|(_, address)| address.clone()).collect();
    for address in old {
        until(system, &address, within, |status| status.indexed >= entries).await?;
    }
    bed.step();

    bed.say("a new node catches up");
    let begin = Instant::now();
    let system = &mut bed.systems[0];
    system.server(empty.0)?.start()?;
    let address = system.address(empty.0)?.to_owned();
    let whole = |status: &pb::GetNodeStatusResponse| {
        let reached = status.node.as_ref().map_or(0, |node| node.log_size);
        reached >= entries && status.missing_bundle.is_none()
    };
    until(system, &address, within, whole).await?;
    result.catch_up_s = begin.elapsed().as_secs_f64();
    result.catch_up_mb_per_s = history_bytes as f64 / 1e6 / result.catch_up_s;
    bed.step();

    let system = &mut bed.systems[0];
    until(system, &address, within, |status| status.indexed >= entries).await?;
    let resident = system
        .servers
        .values()
        .filter_map(|server| super::cpu::peak_resident_mb(server.pid()?));
    result.rss_mb = resident.fold(0.0, f64::max);
    let mut report = Report::new(bed.machine.clone());
    system.caught_up(None).await?;
    result.replicas_agree = system.replicas_agree().await?;
    if !result.replicas_agree {
        report.wrong.push("the replicas differ".to_owned());
    }
    report.rows = Rows::Restarted(vec![result]);
    bed.step();
    Ok(report)
}

/// Writes the same history into every folder, and returns the number of its entries.
fn write(
    cluster: ClusterId,
    folders: &[(u64, std::path::PathBuf)],
    members: &BTreeMap<u64, Member>,
    closed: u64,
) -> anyhow::Result<u64> {
    let mut writers = Vec::new();
    for (node, folder) in folders {
        let settings = Settings::new(folder, cluster, *node, Arc::new(|| Timestamp(unix_ms())));
        writers.push(HistoryWriter::create(&settings)?);
    }
    let mut past = Past::found(cluster, Timestamp(unix_ms()), closed)?;
    let mut entries = 0;
    let mut push = |leaves: Vec<Vec<u8>>| -> anyhow::Result<()> {
        for leaf in leaves {
            let leaf = Bytes::from(leaf);
            entries += 1;
            for writer in &mut writers {
                writer.push(leaf.clone())?;
            }
        }
        Ok(())
    };
    push(past.leaves())?;
    for number in 0..closed {
        push(past.inspection(number)?)?;
    }
    for writer in writers {
        writer.finish(past.ledger(), members.clone())?;
    }
    Ok(entries)
}

/// Waits until a read that has seen everything and a write are both answered.
async fn serves(system: &mut System, deadline: Instant) -> anyhow::Result<()> {
    let series = Series::random();
    let mut number = 0;
    loop {
        for address in system.addresses.values() {
            if Instant::now() > deadline {
                bail!("the nodes do not serve in time; their logs are beside their data, keep them with --dir");
            }
            if serves_at(address, series, number).await? {
                return Ok(());
            }
            number += 1;
        }
        system.look_after()?;
        sleep(Duration::from_millis(5)).await;
    }
}

async fn serves_at(address: &str, series: Series, number: u64) -> anyhow::Result<bool> {
    let channel = connect(address)?;
    let head = pb::GetHeadRequest {
        consistency: pb::Consistency::Quorum.into(),
    };
    let mut log = LogServiceClient::new(channel.clone());
    let read = timeout(CALL_WITHIN, log.get_head(head)).await;
    if !matches!(read, Ok(Ok(_))) {
        return Ok(false);
    }
    let body = super::body::Template::new(&series.announce(), series).body(number);
    let request = <pb::AnnounceRequest as prost::Message>::decode(body)?;
    let mut inspections = InspectionServiceClient::new(channel);
    let write = timeout(CALL_WITHIN, inspections.announce(request)).await;
    Ok(matches!(write, Ok(Ok(_))))
}

/// Waits until a node says so of itself.
async fn until(
    system: &mut System,
    address: &str,
    within: Duration,
    enough: impl Fn(&pb::GetNodeStatusResponse) -> bool,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    loop {
        let status = status_of(address).await;
        if status.as_ref().is_some_and(&enough) {
            return Ok(());
        }
        if begin.elapsed() > within {
            bail!("after {} s the node at {address} says: {status:?}", within.as_secs());
        }
        system.look_after()?;
        sleep(Duration::from_millis(10)).await;
    }
}

/// Bytes of all files in a folder and below.
fn size_of(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() {
            size_of(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(bytes)
}

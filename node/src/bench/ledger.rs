//! Holding a system to what it acknowledged: every acknowledged write must be there, once, and all replicas must be equal.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, bail};
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::inspection_service_client::InspectionServiceClient;
use portcullis_proto::v1::log_service_client::LogServiceClient;
use tokio::time::timeout;

use super::body::Series;
use super::etcd::pb as etcd;
use super::etcd::pb::kv_client::KvClient;
use super::grpc::connect;
use super::report::Gaps;
use super::system::{Kind, System};
use super::writers::{Acknowledged, Written};

/// A stream that is silent for longer has failed; a node sends a bookmark every second.
const SILENCE: Duration = Duration::from_secs(10);
/// Keys in one answer.
const PAGE: i64 = 10_000;

/// Looks up every acknowledged write of the series, and compares the replicas.
pub(super) async fn verify(system: &mut System, written: &Written, gaps: &mut Gaps) -> anyhow::Result<()> {
    let Written {
        series, acknowledged, ..
    } = written;
    let leader = system.ready().await?;
    system.caught_up(None).await?;
    let address = system.address(leader)?.to_owned();
    let (there, twice) = match system.kind {
        Kind::Portcullis => in_decision_log(&address, &series.source()).await?,
        Kind::Etcd => (in_etcd(&address, *series).await?, 0),
    };
    gaps.acked = acknowledged.len() as u64;
    let lost = |write: &&Acknowledged| !there.contains(&write.number);
    gaps.acked_lost = acknowledged.iter().filter(lost).count() as u64;
    gaps.applied_twice = twice;
    gaps.replicas_agree = system.replicas_agree().await?;
    Ok(())
}

/// Numbers of the requests of this source that opened an inspection, from the first entry of the decision log to its head,
/// and how many did so more than once.
async fn in_decision_log(address: &str, source: &str) -> anyhow::Result<(BTreeSet<u64>, u64)> {
    let head = LogServiceClient::new(connect(address)?)
        .get_head(pb::GetHeadRequest {
            consistency: pb::Consistency::Quorum.into(),
        })
        .await
        .map_err(|status| anyhow::anyhow!("reading the head of the log: {status}"))?
        .into_inner();
    let mut there = BTreeSet::new();
    let mut twice = 0;
    if head.size == 0 {
        return Ok((there, twice));
    }
    let request = pb::WatchRequest {
        from_entry: Some(0),
        ..pb::WatchRequest::default()
    };
    let mut events = InspectionServiceClient::new(connect(address)?)
        .watch(request)
        .await
        .map_err(|status| anyhow::anyhow!("reading the log: {status}"))?
        .into_inner();
    let mut next = 0;
    while next < head.size {
        let answer = timeout(SILENCE, events.message())
            .await
            .context("the log's stream is silent")?;
        let item = answer
            .map_err(|status| anyhow::anyhow!("reading the log: {status}"))?
            .context("the log's stream ended")?
            .item;
        let Some(pb::watch_response::Item::Event(event)) = item else {
            continue;
        };
        if event.entry != next {
            bail!("the log's stream jumped from entry {next} to {}", event.entry);
        }
        next += 1;
        let external = match event.actor.and_then(|actor| actor.actor) {
            Some(pb::actor::Actor::External(external)) if external.source == source => external,
            _ => continue,
        };
        if event.kind == "announced"
            && let Ok(number) = external.request_id.parse()
            && !there.insert(number)
        {
            twice += 1;
        }
    }
    Ok((there, twice))
}

/// Numbers of the keys of this series.
async fn in_etcd(address: &str, series: Series) -> anyhow::Result<BTreeSet<u64>> {
    let mut client = KvClient::new(connect(address)?).max_decoding_message_size(64 << 20);
    let prefix = series.key("");
    // Keys are digits after the prefix, and ':' follows '9'.
    let end = series.key(":");
    let mut from = prefix.clone();
    let mut there = BTreeSet::new();
    loop {
        let request = etcd::RangeRequest {
            key: from.clone().into(),
            range_end: end.clone().into(),
            limit: PAGE,
            keys_only: true,
            ..etcd::RangeRequest::default()
        };
        let page = client
            .range(request)
            .await
            .map_err(|status| anyhow::anyhow!("reading etcd's keys: {status}"))?
            .into_inner();
        for found in &page.kvs {
            let key = std::str::from_utf8(&found.key).context("a key that is not text")?;
            there.insert(
                key.trim_start_matches(&prefix)
                    .parse()
                    .context("a key that was not written")?,
            );
            // The next key in order.
            from = format!("{key}\0");
        }
        if !page.more {
            return Ok(there);
        }
    }
}

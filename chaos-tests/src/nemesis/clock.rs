//! What is done to clocks: a node is started with one that is wrong, by Debian's libfaketime.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use portcullis_proto::v1 as pb;

use crate::cluster::Cluster;
use crate::wait::eventually;

/// A clock may be so far from what it should show: the answer takes time on its way.
const SLACK_MS: i64 = 1_000;

/// The library that gives a process another clock.
///
/// # Errors
/// If it is not here; says how it is had.
pub fn library() -> anyhow::Result<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let folders = folders.map(|entry| entry.path().join("faketime"));
    folders
        .chain([PathBuf::from("/usr/lib/faketime")])
        .map(|folder| folder.join("libfaketimeMT.so.1"))
        .find(|file| file.is_file())
        .context("clocks cannot be set wrong without libfaketime (Debian, Ubuntu: apt-get install libfaketime)")
}

/// Stops a node as an operator would, and starts it with a clock that is so many milliseconds ahead, or behind if negative;
/// right again for 0.
///
/// # Errors
/// If it does not stop in good order or cannot be started.
pub async fn set(cluster: &mut Cluster, id: u64, ahead_ms: i64, within: Duration) -> anyhow::Result<()> {
    let environment = match ahead_ms {
        0 => BTreeMap::new(),
        ahead_ms => environment(&library()?, ahead_ms),
    };
    let node = cluster.node(id);
    node.stop_in_order(within).await?;
    node.set_environment(environment);
    node.start()
}

fn environment(library: &Path, ahead_ms: i64) -> BTreeMap<String, String> {
    let seconds = ahead_ms as f64 / 1000.0;
    BTreeMap::from([
        ("LD_PRELOAD".to_owned(), library.display().to_string()),
        ("FAKETIME".to_owned(), format!("{seconds:+}")),
        // Only the clock on the wall is wrong; time passes as it does.
        ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
        ("DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
    ])
}

/// Waits until a node shows a time that is so many milliseconds ahead of another node's, on the real clock.
///
/// # Errors
/// If it does not in time.
pub async fn shows(cluster: &Cluster, id: u64, ahead_ms: i64, within: Duration) -> anyhow::Result<String> {
    let node = cluster
        .nodes
        .get(&id)
        .with_context(|| format!("there is no node {id}"))?;
    let other = cluster.nodes.values().find(|node| node.id != id);
    let other = other.context("a clock is compared with another node's")?;
    eventually("the node shows the time that it was given", within, async || {
        let (status, right) = (node.status().await?, other.status().await?);
        let is = ahead(&status, &right);
        match (is - ahead_ms).abs() <= SLACK_MS {
            true => Ok(format!("the clock of node {id} is {is} ms ahead")),
            false => Err(format!("it is {is} ms ahead, not {ahead_ms}")),
        }
    })
    .await
}

/// How far a node's real clock is ahead of the other's, milliseconds. The port's clock may run faster than the real one.
fn ahead(status: &pb::GetStatusResponse, other: &pb::GetStatusResponse) -> i64 {
    let port = |status: &pb::GetStatusResponse| i64::try_from(status.port_time_ms).unwrap_or(i64::MAX);
    let speed = i64::from(status.port_speed_permille.max(1));
    (port(status) - port(other)).saturating_mul(1000) / speed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_port_clock_is_not_taken_for_a_wrong_one() {
        let status = |port_time_ms| pb::GetStatusResponse {
            port_time_ms,
            port_speed_permille: 60_000,
            ..pb::GetStatusResponse::default()
        };
        assert_eq!(ahead(&status(1_600_000), &status(1_000_000)), 10_000);
        assert_eq!(ahead(&status(1_000_000), &status(1_600_000)), -10_000);
    }
}

//! `portcullis cluster status`: the cluster as one node sees it, and whether it is well.

use std::collections::BTreeMap;

use portcullis_proto::v1;
use portcullis_proto::v1::cluster_service_client::ClusterServiceClient;
use serde_json::json;

use super::client::Cluster;
use super::failure::{Exit, Failure};
use super::json::to_json;
use super::output::{Output, facts, or_dash, section, table};
use super::span::show_span;
use super::utc::utc;
use super::words;

pub(super) async fn status(cluster: &Cluster, output: &mut Output, placements: bool) -> Result<Exit, Failure> {
    let status = get(cluster).await?;
    let (exit, troubles) = health(&status);
    output.document(
        || {
            let mut json = to_json("GetStatusResponse", &status);
            json["health"] = json!(match exit {
                Exit::Ok => "healthy",
                Exit::Degraded => "degraded",
                _ => "unhealthy",
            });
            json["troubles"] = json!(troubles);
            json
        },
        |width| text(&status, &troubles, placements, width),
    )?;
    Ok(exit)
}

/// The status, from whichever node answers first.
pub(super) async fn get(cluster: &Cluster) -> Result<v1::GetStatusResponse, Failure> {
    cluster
        .read(v1::GetStatusRequest {}, async |channel, request| {
            ClusterServiceClient::new(channel).get_status(request).await
        })
        .await
}

/// How the cluster is, and what is wrong with it.
fn health(status: &v1::GetStatusResponse) -> (Exit, Vec<String>) {
    let mut exit = Exit::Ok;
    let mut troubles = Vec::new();
    for node in &status.nodes {
        if node.leaving {
            // It is on its way out, up or not.
        } else if !node.up {
            exit = Exit::Degraded;
            troubles.push(format!("node-{} is down", node.id));
        } else if node.role == v1::NodeRole::Stopped as i32 {
            exit = Exit::Degraded;
            troubles.push(format!("node-{} has stopped itself", node.id));
        }
    }
    // Replicas of the same size have the same root, or somebody's log is not the log.
    let mut roots: BTreeMap<u64, &v1::Node> = BTreeMap::new();
    for node in status
        .nodes
        .iter()
        .filter(|node| node.log_size > 0 && !node.root.is_empty())
    {
        let first = *roots.entry(node.log_size).or_insert(node);
        if first.root != node.root {
            exit = Exit::Unhealthy;
            troubles.push(format!(
                "node-{} and node-{} differ at {} entries",
                first.id, node.id, node.log_size
            ));
        }
    }
    if !status.has_quorum || status.leader.is_none() {
        exit = Exit::Unhealthy;
        troubles.insert(
            0,
            format!("node-{} sees no leader with a quorum", status.answering_node),
        );
    }
    (exit, troubles)
}

fn text(status: &v1::GetStatusResponse, troubles: &[String], placements: bool, width: Option<u16>) -> String {
    let stages: Vec<String> = status
        .stages
        .iter()
        .map(|stage| format!("{} {}", stage.count, words::stage(stage.stage)))
        .collect();
    let policy = status
        .active_policy
        .as_ref()
        .map(|policy| format!("{} {}", policy.name, short(&policy.sha256)))
        .unwrap_or_default();
    let head = facts(&[
        (
            "cluster",
            format!("{}, version {}", status.cluster_id, status.cluster_version),
        ),
        ("leader", or_dash(status.leader.map(|leader| format!("node-{leader}")))),
        (
            "answered by",
            format!("node-{}, {}", status.answering_node, words::role(status.role)),
        ),
        ("quorum", if status.has_quorum { "yes" } else { "NO" }.to_owned()),
        ("policy", policy),
        ("adrift", status.adrift.join(", ")),
        (
            "port time",
            format!(
                "{}, x{}",
                utc(status.port_time_ms),
                permille(status.port_speed_permille)
            ),
        ),
        (
            "inspections",
            if stages.is_empty() {
                "none open".to_owned()
            } else {
                stages.join(", ")
            },
        ),
        ("fenced", format!("{} commands", status.fenced_commands)),
        ("trouble", troubles.join("; ")),
    ]);
    let newest = status.nodes.iter().map(|node| node.applied_command).max().unwrap_or(0);
    let nodes = status
        .nodes
        .iter()
        .map(|node| {
            let load = node.load.unwrap_or_default();
            vec![
                format!("node-{}", node.id),
                node.address.clone(),
                words::role(node.role),
                state(node).to_owned(),
                node.term.to_string(),
                node.applied_command.to_string(),
                newest.saturating_sub(node.applied_command).to_string(),
                node.log_size.to_string(),
                short(&node.root),
                or_dash(node.heartbeat_age_ms.map(show_span)),
                load.actors.to_string(),
                load.devices.to_string(),
                format!("{} MB", load.memory_bytes / 1_000_000),
            ]
        })
        .collect();
    let headers = [
        "NODE", "ADDRESS", "ROLE", "STATE", "TERM", "APPLIED", "LAG", "LOG", "ROOT", "HEARD", "ACTORS", "DEVICES",
        "MEMORY",
    ];
    let nodes = table(&headers, nodes, &[4, 5, 6, 7, 9, 10, 11, 12], width);
    let title = if placements {
        "Placements"
    } else {
        "Placements (fusion shards counted; all with --placements)"
    };
    format!(
        "{head}\n\n{nodes}\n{}",
        section(title, &placed(&status.placements, placements))
    )
}

/// Whether a node is in service.
fn state(node: &v1::Node) -> &'static str {
    match node {
        node if node.leaving => "leaving",
        node if !node.up => "DOWN",
        node if node.drained => "drained",
        _ => "up",
    }
}

fn placed(placements: &[v1::ActorPlacement], all: bool) -> String {
    let is_fusion = |placement: &&v1::ActorPlacement| {
        let key = placement.key.as_ref().and_then(|key| key.key.as_ref());
        matches!(key, Some(v1::actor_key::Key::FusionShard(_)))
    };
    let mut rows: Vec<Vec<String>> = placements
        .iter()
        .filter(|placement| all || !is_fusion(placement))
        .map(|placement| {
            vec![
                placement.text.clone(),
                format!("node-{}", placement.node),
                placement.epoch.to_string(),
                if placement.live { "live" } else { "HOMELESS" }.to_owned(),
            ]
        })
        .collect();
    if !all {
        let mut shards: BTreeMap<(u64, bool), usize> = BTreeMap::new();
        for placement in placements.iter().filter(is_fusion) {
            *shards.entry((placement.node, placement.live)).or_default() += 1;
        }
        rows.extend(shards.into_iter().map(|((node, live), count)| {
            vec![
                format!("fusion x{count}"),
                format!("node-{node}"),
                "-".to_owned(),
                if live { "live" } else { "HOMELESS" }.to_owned(),
            ]
        }));
    }
    if rows.is_empty() {
        return "none".to_owned();
    }
    table(&["ACTOR", "NODE", "EPOCH", "STATE"], rows, &[2], None)
}

/// The beginning of a digest, enough to compare by eye.
pub(super) fn short(digest: &[u8]) -> String {
    match digest {
        [] => "-".to_owned(),
        _ => hex::encode(digest.get(..6).unwrap_or(digest)),
    }
}

/// Thousandths as a decimal number.
pub(super) fn permille(value: u32) -> String {
    let text = format!("{}.{:03}", value / 1000, value % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u64, root: u8) -> v1::Node {
        v1::Node {
            id,
            address: format!("127.0.0.1:740{id}"),
            up: true,
            role: if id == 1 {
                v1::NodeRole::Leader
            } else {
                v1::NodeRole::Follower
            } as i32,
            term: 3,
            applied_command: 120,
            log_size: 77,
            root: vec![root; 32].into(),
            heartbeat_age_ms: Some(id * 100 - 100),
            load: Some(v1::NodeLoad {
                actors: 25,
                memory_bytes: 50_000_000,
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn status() -> v1::GetStatusResponse {
        let placement = |key, node, text: &str| v1::ActorPlacement {
            key: Some(v1::ActorKey { key: Some(key) }),
            node,
            boot: 5,
            epoch: 9,
            live: true,
            text: text.to_owned(),
        };
        v1::GetStatusResponse {
            cluster_id: "00ff".to_owned(),
            cluster_version: 1,
            leader: Some(1),
            answering_node: 2,
            role: v1::NodeRole::Follower as i32,
            nodes: vec![node(1, 7), node(2, 7)],
            placements: vec![
                placement(v1::actor_key::Key::FusionShard(0), 1, "fusion/0"),
                placement(v1::actor_key::Key::FusionShard(1), 1, "fusion/1"),
                placement(v1::actor_key::Key::Lane(3), 2, "lane/3"),
            ],
            stages: vec![v1::StageCount {
                stage: v1::Stage::Queued as i32,
                count: 4,
            }],
            port_time_ms: 1_772_366_400_000,
            port_speed_permille: 60_000,
            has_quorum: true,
            ..Default::default()
        }
    }

    #[test]
    fn the_status_reads_at_a_glance() {
        let expected = "\
cluster      00ff, version 1
leader       node-1
answered by  node-2, follower
quorum       yes
port time    2026-03-01T12:00:00.000Z, x60
inspections  4 queued
fenced       0 commands

NODE    ADDRESS         ROLE      STATE  TERM  APPLIED  LAG  LOG  ROOT           HEARD  ACTORS  DEVICES  MEMORY
node-1  127.0.0.1:7401  leader    up        3      120    0   77  070707070707    0 ms      25        0   50 MB
node-2  127.0.0.1:7402  follower  up        3      120    0   77  070707070707  100 ms      25        0   50 MB

Placements (fusion shards counted; all with --placements)
  ACTOR      NODE    EPOCH  STATE
  lane/3     node-2      9  live
  fusion x2  node-1      -  live
";
        assert_eq!(text(&status(), &[], false, None), expected);
    }

    #[test]
    fn a_node_that_is_down_degrades_the_cluster() {
        let mut status = status();
        status.nodes[1].up = false;
        let (exit, troubles) = health(&status);
        assert_eq!((exit, troubles), (Exit::Degraded, vec!["node-2 is down".to_owned()]));
    }

    #[test]
    fn a_missing_quorum_or_a_differing_replica_makes_it_unhealthy() {
        assert_eq!(health(&status()).0, Exit::Ok);
        let leaderless = v1::GetStatusResponse {
            leader: None,
            has_quorum: false,
            ..status()
        };
        assert_eq!(health(&leaderless).0, Exit::Unhealthy);
        let mut differing = status();
        differing.nodes[1].root = vec![8; 32].into();
        let (exit, troubles) = health(&differing);
        assert_eq!(
            (exit, troubles),
            (
                Exit::Unhealthy,
                vec!["node-1 and node-2 differ at 77 entries".to_owned()]
            )
        );
        // At another size another root is right.
        differing.nodes[1].log_size = 76;
        assert_eq!(health(&differing).0, Exit::Ok);
    }
}

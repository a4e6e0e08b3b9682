//! The members of a running cluster change: nodes join, are drained, replaced and removed, and nobody comes back under an id
//! that is not his. Real processes, asked with the program's own commands.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::time::Duration;

use portcullis_domain::id::{ClusterId, NodeId};
use portcullis_proto::v1 as pb;
use serde_json::Value;
use support::{Cluster, Finished, Node, announce, deadline, eventually, portcullis};

const CALL: Duration = Duration::from_secs(5);
const RUN: Duration = Duration::from_secs(40);

/// `portcullis cluster ...` asked of one node.
async fn cluster_command(cluster: &Cluster, at: u64, words: &[&str]) -> Finished {
    let endpoint = cluster.endpoint(at);
    let mut arguments = vec!["cluster"];
    arguments.extend(words);
    arguments.extend(["--endpoint", &endpoint, "-o", "json"]);
    if !words.contains(&"--timeout") {
        arguments.extend(["--timeout", "30s"]);
    }
    portcullis(&arguments, RUN).await
}

async fn status(cluster: &Cluster, at: u64) -> pb::GetStatusResponse {
    let request = deadline(pb::GetStatusRequest {}, CALL);
    cluster.status_of(at).get_status(request).await.unwrap().into_inner()
}

fn voters(status: &pb::GetStatusResponse) -> Vec<u64> {
    status
        .nodes
        .iter()
        .filter(|node| node.voter)
        .map(|node| node.id)
        .collect()
}

fn carried(status: &pb::GetStatusResponse, node: u64) -> usize {
    let placed = status.placements.iter();
    placed
        .filter(|placement| placement.node == node && placement.live)
        .count()
}

/// The events of one kind, from the log.
async fn events(cluster: &Cluster, at: u64, kind: &str) -> Vec<pb::Event> {
    let head = cluster.head().await;
    let mut events = cluster.events(at, 0, head.size).await;
    events.retain(|event| event.kind == kind);
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_join_are_drained_and_leave_a_running_cluster_and_ids_stay_with_their_folders() {
    let mut cluster = Cluster::start(3, Vec::new()).await;
    let kept = cluster.announce(&announce("req-1", "MSKU1234565", "T9")).await;

    let fourth = a_new_node_gets_a_fresh_id_and_a_vote(&mut cluster).await;
    assert_eq!(
        cluster
            .inspection(fourth, kept.inspection)
            .await
            .inspection
            .unwrap()
            .number,
        kept.inspection
    );
    a_drained_node_carries_nothing_and_keeps_its_vote(&mut cluster, fourth).await;
    leadership_goes_where_it_is_told(&cluster, fourth).await;
    a_member_of_another_cluster_or_of_a_used_id_is_not_taken_in(&cluster).await;
    a_wiped_folder_does_not_come_back_under_its_id(&mut cluster, fourth).await;
    a_replaced_node_leaves_when_the_new_one_votes(&mut cluster, fourth).await;
    a_leader_that_is_removed_hands_over_first(&mut cluster).await;

    let again = cluster.announce(&announce("req-1", "MSKU1234565", "T9")).await;
    assert_eq!(again.inspection, kept.inspection, "nothing is lost on the way");
    cluster.head().await;
}

async fn a_new_node_gets_a_fresh_id_and_a_vote(cluster: &mut Cluster) -> u64 {
    let fourth = cluster.join("fourth", 2).await;
    assert_eq!(fourth, 4);
    cluster.ready().await;
    assert_eq!(voters(&status(cluster, fourth).await), [1, 2, 3, 4]);
    let enrolled = events(cluster, fourth, "node_enrolled").await;
    let last: Value = serde_json::from_str(&enrolled.last().unwrap().detail_json).unwrap();
    assert_eq!(last["node"], 4);
    let actor = enrolled.last().unwrap().actor.clone().unwrap().text;
    assert!(actor.starts_with("folder-"), "who asked is in the log: {actor}");

    // It finds its id in its folder when it starts again.
    cluster.node(fourth).stop().await;
    cluster.node(fourth).start();
    cluster.ready().await;
    fourth
}

async fn a_drained_node_carries_nothing_and_keeps_its_vote(cluster: &mut Cluster, node: u64) {
    let done = cluster_command(cluster, 1, &["drain", &node.to_string(), "--principal", "ana"]).await;
    assert_eq!(done.good()["drained"], true);
    eventually("it gives its actors away", async || {
        let status = status(cluster, node).await;
        match carried(&status, node) {
            0 => Ok(()),
            carried => Err(format!("{carried}")),
        }
    })
    .await;
    let seen = status(cluster, 1).await;
    assert!(seen.nodes.iter().any(|one| one.id == node && one.drained && one.voter));
    let drained = events(cluster, 1, "node_drained").await;
    assert_eq!(drained[0].actor.clone().unwrap().text, "ana via cli");

    let done = cluster_command(cluster, 2, &["undrain", &node.to_string()]).await;
    assert_eq!(done.good()["drained"], false);
}

async fn leadership_goes_where_it_is_told(cluster: &Cluster, to: u64) {
    // Any node passes the request on.
    for to in [to, 1] {
        let moved = cluster_command(cluster, 2, &["transfer-leader", &to.to_string()]).await;
        assert_eq!(moved.good()["leader"], to);
        assert_eq!(cluster.leader().await, to);
    }
    let nobody = cluster_command(cluster, 2, &["transfer-leader", "77"]).await;
    assert_eq!(nobody.code, Some(5), "{nobody:?}");
}

async fn a_member_of_another_cluster_or_of_a_used_id_is_not_taken_in(cluster: &Cluster) {
    let mut foreign = cluster.joining("foreign", 1);
    foreign.cluster.id = Some(ClusterId([9; 16]));
    let mut node = Node::started(&foreign);
    assert!(!node.ended().await);
    assert!(node.said().contains("this is cluster"), "{}", node.said());

    let mut used = cluster.joining("used", 1);
    used.node.id = NodeId(2);
    let mut node = Node::started(&used);
    assert!(!node.ended().await);
    assert!(
        node.said().contains("node-2 belongs to another data folder"),
        "{}",
        node.said()
    );
}

async fn a_wiped_folder_does_not_come_back_under_its_id(cluster: &mut Cluster, node: u64) {
    cluster.node(3).kill().await;
    let data = cluster.node(3).data();
    let aside = data.with_extension("aside");
    std::fs::rename(&data, &aside).unwrap();
    cluster.node(3).start();
    assert!(!cluster.node(3).ended().await);
    let said = cluster.node(3).said();
    assert!(said.contains("belongs to another data folder"), "{said}");

    // With its own folder it is welcome.
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(&aside, &data).unwrap();
    cluster.node(3).start();
    cluster.ready().await;
    assert!(voters(&status(cluster, node).await).contains(&3));
}

async fn a_replaced_node_leaves_when_the_new_one_votes(cluster: &mut Cluster, old: u64) {
    let config = cluster.joining("fifth", 3);
    let address = config.node.listen.to_string();
    let new = Node::started(&config);
    let done = cluster_command(cluster, 1, &["replace", &old.to_string(), "--with", &address]).await;
    let done = done.good();
    assert_eq!(
        (&done["node"], &done["replaced_by"], &done["left"]),
        (&old.into(), &5.into(), &true.into())
    );
    cluster.nodes.insert(5, new);

    let mut gone = cluster.nodes.remove(&old).unwrap();
    assert!(!gone.ended().await, "a removed node stops itself");
    assert!(gone.said().contains("was removed from the cluster"), "{}", gone.said());
    assert_eq!(voters(&status(cluster, 5).await), [1, 2, 3, 5]);
    // Neither it nor anybody else comes back under its id.
    gone.start();
    assert!(!gone.ended().await);
    let removed = cluster_command(cluster, 5, &["drain", &old.to_string()]).await;
    assert_eq!(removed.code, Some(6), "{removed:?}");
    assert!(removed.stderr.contains("NODE_REMOVED"), "{removed:?}");
    cluster.ready().await;
}

async fn a_leader_that_is_removed_hands_over_first(cluster: &mut Cluster) {
    let leader = cluster.leader().await;
    let asked = cluster.follower().await;
    let done = cluster_command(cluster, asked, &["remove", &leader.to_string()]).await;
    assert_eq!(done.good()["left"], true);
    let mut gone = cluster.nodes.remove(&leader).unwrap();
    assert!(!gone.ended().await, "a removed node stops itself");
    cluster.ready().await;

    // Of three voters one is down: without another one nothing would go on.
    let [down, other]: [u64; 2] = {
        let leader = cluster.leader().await;
        let others: Vec<u64> = cluster.ids().into_iter().filter(|id| *id != leader).collect();
        others.try_into().unwrap()
    };
    cluster.node(down).kill().await;
    eventually("the silence is noticed", async || {
        let done = cluster_command(cluster, other, &["remove", &other.to_string(), "--timeout", "2s"]).await;
        match done.stderr.contains("QUORUM_AT_RISK") {
            true => Ok(()),
            false => Err(format!("{done:?}")),
        }
    })
    .await;
    cluster.node(down).start();
    cluster.ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_alone_and_starts_again_at_another_address_takes_others_in_there() {
    let mut cluster = Cluster::start(1, Vec::new()).await;
    let kept = cluster.announce(&announce("req-1", "MSKU1234565", "T9")).await;
    cluster.node(1).stop().await;
    let config = cluster.config("node-1", 1, support::free_port().unwrap());
    let address = config.node.listen.to_string();
    cluster.nodes.insert(1, Node::started(&config));
    eventually("it is a member at its new address", async || {
        let mut client = cluster.status_of(1);
        let status = client.get_status(deadline(pb::GetStatusRequest {}, CALL)).await;
        let status = status.map_err(|why| why.to_string())?.into_inner();
        match status.nodes.iter().find(|node| node.id == 1) {
            Some(node) if node.address == address && node.up && node.voter => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    // Who joins is told the address that the cluster knows, and is brought up from there.
    let second = cluster.join("second", 1).await;
    cluster.ready().await;
    let found = cluster.inspection(second, kept.inspection).await.inspection.unwrap();
    assert_eq!(found.number, kept.inspection);
    cluster.head().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_starts_again_at_another_address_is_found_there() {
    let mut cluster = Cluster::start(3, Vec::new()).await;
    let moving = cluster.leader().await;
    cluster.node(moving).stop().await;
    let config = cluster.config(&format!("node-{moving}"), moving, support::free_port().unwrap());
    let address = config.node.listen.to_string();
    cluster.nodes.insert(moving, Node::started(&config));
    let other = moving % 3 + 1;
    eventually("it is a member at its new address", async || {
        let mut client = cluster.status_of(other);
        let status = client.get_status(deadline(pb::GetStatusRequest {}, CALL)).await;
        let status = status.map_err(|why| why.to_string())?.into_inner();
        match status.nodes.iter().find(|node| node.id == moving) {
            Some(node) if node.address == address && node.up && node.voter => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    cluster.announce(&announce("req-1", "MSKU1234565", "T9")).await;
    cluster.head().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_wait_are_founded_as_one_cluster() {
    let mut cluster = Cluster::start(1, Vec::new()).await;
    let outside = cluster.id;
    cluster.nodes.clear();
    cluster.id = ClusterId(rand::random());
    for number in 1..=2 {
        let config = cluster.config(&format!("waiting-{number}"), number, support::free_port().unwrap());
        cluster.nodes.insert(number, Node::started(&config));
    }
    let members: Vec<String> = cluster
        .nodes
        .iter()
        .map(|(id, node)| format!("{id}={}", node.address))
        .collect();
    let swapped = members.join(",").replace("1=", "3=");
    let refused = eventually("the node answers", async || {
        let done = cluster_command(&cluster, 1, &["init", "--members", &swapped]).await;
        match done.code {
            Some(3) => Err(format!("{done:?}")),
            _ => Ok(done),
        }
    })
    .await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("node-1 is asked and is not among them"),
        "{refused:?}"
    );
    let founded = cluster_command(&cluster, 1, &["init", "--members", &members.join(",")]).await;
    let id = founded.good()["cluster_id"].as_str().unwrap().to_owned();
    assert_eq!(id, cluster.id.to_string());
    assert_ne!(id, outside.to_string());
    cluster.ready().await;
    cluster.announce(&announce("req-1", "MSKU1234565", "T9")).await;
}

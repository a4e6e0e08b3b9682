//! A stopped node's folder is backed up and restored as a new cluster, which serves what the old one knew.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::path::Path;
use std::time::Duration;

use portcullis_domain::id::ClusterId;
use prost::Message as _;
use serde_json::Value;
use support::{Cluster, Finished, Node, announce, portcullis};

const RUN: Duration = Duration::from_secs(40);

async fn run(words: &[&str], paths: &[(&str, &Path)]) -> Finished {
    let mut arguments = vec!["cluster"];
    arguments.extend(words);
    for (option, path) in paths {
        arguments.extend([*option, path.to_str().unwrap()]);
    }
    arguments.extend(["-o", "json"]);
    portcullis(&arguments, RUN).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored_as_a_new_cluster_that_serves_what_the_old_one_knew() {
    let mut cluster = Cluster::start(3, Vec::new()).await;
    let first = announce("req-1", "MSKU1234565", "T9");
    let kept = cluster.announce(&first).await;
    for number in 0..600 {
        cluster
            .announce(&announce(&format!("more-{number}"), &format!("MORE{number}"), "T9"))
            .await;
    }
    let head = cluster.head().await;
    let data = cluster.node(2).data();
    let to = data.with_extension("backup");

    let busy = run(&["backup"], &[("--data-dir", &data), ("--to", &to)]).await;
    assert!(busy.stderr.contains("in use by another process"), "{busy:?}");
    for id in cluster.ids() {
        cluster.node(id).stop().await;
    }
    let made = run(&["backup"], &[("--data-dir", &data), ("--to", &to)]).await.good();
    assert!(made["log_size"].as_u64().unwrap() >= head.size, "{made}");

    damage_is_refused_and_named(&to).await;

    // As node 9 of a cluster that nobody else belongs to.
    let address = support::free_port().unwrap();
    let mut config = cluster.config("restored", 9, address);
    let cluster_id = ClusterId(rand::random());
    config.cluster.id = Some(cluster_id);
    let (number, listen, new) = (9.to_string(), address.to_string(), cluster_id.to_string());
    let words = [
        "restore",
        "--node-id",
        &number,
        "--address",
        &listen,
        "--cluster-id",
        &new,
    ];
    let paths = [("--from", to.as_path()), ("--data-dir", config.node.data_dir.as_path())];
    let restored = run(&words, &paths).await.good();
    assert_eq!(restored["log_root"], made["log_root"]);
    let again = run(&words, &paths).await;
    assert!(again.stderr.contains("is not empty"), "{again:?}");

    cluster.nodes.clear();
    cluster.id = cluster_id;
    cluster.nodes.insert(9, Node::started(&config));
    let answer = cluster.announce(&first).await;
    assert_eq!(
        answer.encode_to_vec(),
        kept.encode_to_vec(),
        "the first answer, byte for byte"
    );
    assert!(cluster.inspection(9, kept.inspection).await.inspection.is_some());
    cluster.ready().await;

    let size = made["log_size"].as_u64().unwrap();
    let event = cluster.events(9, size, size + 1).await.remove(0);
    assert_eq!(event.kind, "restored", "the first thing that the new cluster says");
    let detail: Value = serde_json::from_str(&event.detail_json).unwrap();
    assert_eq!(detail["former_cluster_id"], made["cluster_id"]);
    assert_eq!(
        (&detail["former_size"], &detail["former_root"]),
        (&made["log_size"], &made["log_root"])
    );
    assert!(
        event.command_number > made["command_number"].as_u64().unwrap(),
        "numbers go on"
    );

    // Others join it; ids of the old cluster are not given again.
    assert_eq!(cluster.join("tenth", 9).await, 10);
    cluster.head().await;
}

async fn damage_is_refused_and_named(backup: &Path) {
    let folder = backup.join("snap");
    let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(&file, damaged).unwrap();
    let target = backup.with_extension("target");
    let words = ["restore", "--node-id", "9", "--address", "127.0.0.1:7401"];
    let refused = run(&words, &[("--from", backup), ("--data-dir", &target)]).await;
    assert!(refused.code.is_some_and(|code| code != 0), "{refused:?}");
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(
        refused.stderr.contains(name) && refused.stderr.contains("is damaged"),
        "{refused:?}"
    );
    assert!(!target.exists(), "nothing is half done");
    std::fs::write(&file, whole).unwrap();
}

//! A node that cannot start says why, where, and what to do, and ends at once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use support::{Finished, eventually, free_port, portcullis, program};
use tokio::process::Child;

/// Long enough for a busy machine; nothing here waits for anything.
const AT_ONCE: Duration = Duration::from_secs(15);
const CLUSTER: &str = "00112233445566778899aabbccddeeff";

/// A folder with the configuration of a cluster of one node.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Writes a configuration: id of the cluster, where to listen, and further lines.
    fn config(&self, name: &str, cluster: &str, listen: impl std::fmt::Display, more: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        let text = format!(
            "[cluster]\nid = \"{cluster}\"\nbootstrap = true\n\n[node]\nid = 1\ndata_dir = {data:?}\nlisten = \
             \"{listen}\"\n\n{more}",
            data = self.data(),
        );
        std::fs::write(&path, text).unwrap();
        path
    }
}

/// Runs a node that is expected to end by itself, with an error.
async fn refused(config: &Path) -> Finished {
    let ended = portcullis(&["node", "run", "--config", config.to_str().unwrap()], AT_ONCE).await;
    assert!(ended.code.is_some_and(|code| code != 0), "{ended:?}");
    assert_eq!(ended.stdout, "", "data goes to stdout, and this is none");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    ended
}

fn assert_says(ended: &Finished, phrases: &[&str]) {
    for phrase in phrases {
        assert!(
            ended.stderr.contains(phrase),
            "{phrase:?} is missing in:\n{}",
            ended.stderr
        );
    }
}

/// A node that runs.
async fn running(config: &Path, address: SocketAddr) -> Child {
    let child = program()
        .args(["node", "run", "--stop-with-stdin", "--config"])
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("the node is healthy", async || {
        let endpoint = format!("http://{address}");
        let status = portcullis(&["cluster", "status", "--endpoint", &endpoint], AT_ONCE).await;
        if status.code == Some(0) {
            Ok(())
        } else {
            Err(status.stderr)
        }
    })
    .await;
    child
}

#[tokio::test]
async fn an_unknown_key_is_refused_with_its_place_and_the_key_that_was_meant() {
    let place = Place::new();
    let config = place.config(
        "node.toml",
        CLUSTER,
        free_port().unwrap(),
        "[raft]\nhartbeat_ms = 100\n",
    );
    let ended = refused(&config).await;
    let line = format!("{}:11:1", config.display());
    assert_says(&ended, &[&line, "raft.hartbeat_ms", "did you mean raft.heartbeat_ms?"]);
    assert!(!place.data().exists(), "nothing was begun");
}

#[tokio::test]
async fn a_configuration_file_that_is_not_there_is_named() {
    let place = Place::new();
    let missing = place.dir.path().join("no-such.toml");
    let ended = refused(&missing).await;
    assert_says(
        &ended,
        &[
            "cannot read the configuration file",
            missing.to_str().unwrap(),
            "No such file",
        ],
    );
}

#[tokio::test]
async fn an_address_that_is_not_loopback_is_refused() {
    let place = Place::new();
    let ended = refused(&place.config("node.toml", CLUSTER, "0.0.0.0:7401", "")).await;
    assert_says(
        &ended,
        &["node.listen", "0.0.0.0:7401", "only loopback addresses", "127.0.0.1"],
    );
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_key_to_choose_another() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let ended = refused(&place.config("node.toml", CLUSTER, address, "")).await;
    assert_says(
        &ended,
        &["node.listen", &address.to_string(), "in use", "--set node.listen="],
    );
}

#[tokio::test]
async fn a_data_folder_is_refused_while_another_process_has_it_and_ever_after_by_another_cluster_or_node() {
    let place = Place::new();
    let address = free_port().unwrap();
    let config = place.config("node.toml", CLUSTER, address, "");
    let mut first = running(&config, address).await;

    let second = place.config("second.toml", CLUSTER, free_port().unwrap(), "");
    let folder = place.data();
    let folder = folder.to_str().unwrap();
    let ended = refused(&second).await;
    assert_says(
        &ended,
        &[
            folder,
            "in use by another process",
            "stop that process or choose another",
        ],
    );

    // It stops when its standard input ends.
    drop(first.stdin.take());
    let status = tokio::time::timeout(AT_ONCE, first.wait())
        .await
        .expect("it stops soon")
        .unwrap();
    assert!(status.success(), "{status}");

    let other = "ffeeddccbbaa99887766554433221100";
    let ended = refused(&place.config("other.toml", other, free_port().unwrap(), "")).await;
    assert_says(
        &ended,
        &[
            folder,
            &format!("belongs to cluster {CLUSTER}"),
            other,
            "correct the cluster id",
        ],
    );
    let as_two = place.config("two.toml", CLUSTER, free_port().unwrap(), "");
    let text = std::fs::read_to_string(&as_two)
        .unwrap()
        .replace("\nid = 1\n", "\nid = 2\n");
    std::fs::write(&as_two, text).unwrap();
    let ended = refused(&as_two).await;
    assert_says(
        &ended,
        &[
            folder,
            "belongs to node 1",
            "configured as node 2",
            "correct the node id",
        ],
    );

    // None of this has harmed it.
    let again = running(&config, address).await;
    drop(again);
}

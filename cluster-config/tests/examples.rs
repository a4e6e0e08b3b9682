//! The examples load, say what they claim, and survive being written and read again.

#![allow(clippy::unwrap_used, reason = "a test that cannot write its file fails")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use portcullis_config::{LogFormat, NodeConfig, PortClock, to_toml};
use portcullis_domain::evidence::Modality;
use portcullis_domain::id::{ClusterId, NodeId, Timestamp};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

fn load(name: &str, env: &[(&str, &str)]) -> NodeConfig {
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    NodeConfig::load(Some(&example(name)), env, &[]).unwrap_or_else(|error| panic!("{error}"))
}

/// Writes a configuration and reads it again.
fn again(config: &NodeConfig) -> NodeConfig {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    std::fs::write(&path, to_toml(config)).unwrap();
    NodeConfig::load(Some(&path), std::iter::empty(), &[]).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_example_loads_and_is_the_same_after_writing_and_reading() {
    let mut count = 0;
    for entry in std::fs::read_dir(example("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let config = load(&name, &[]);
        assert_eq!(again(&config), config, "{name}");
        count += 1;
    }
    assert_eq!(count, 3);
}

#[test]
fn the_three_nodes_share_one_file() {
    let first = load("three-node.toml", &[]);
    let second = load(
        "three-node.toml",
        &[
            ("PORTCULLIS_NODE__ID", "2"),
            ("PORTCULLIS_NODE__LISTEN", "127.0.0.1:7402"),
            ("PORTCULLIS_NODE__DATA_DIR", "/var/lib/portcullis/node-2"),
            ("PORTCULLIS_CLUSTER__BOOTSTRAP", "false"),
        ],
    );
    assert_eq!(first.cluster.peers, second.cluster.peers);
    assert!(first.cluster.bootstrap && !second.cluster.bootstrap);
    assert_eq!(
        second.address_of(NodeId(2)).unwrap().to_string(),
        second.node.listen.to_string()
    );
    assert_eq!(second.others().count(), 2);
}

#[test]
fn what_the_three_node_example_suggests_for_shared_machines_is_valid() {
    let text = std::fs::read_to_string(example("three-node.toml")).unwrap();
    let (plain, suggested) = text.split_once("# [raft]").unwrap();
    let text = format!("{plain}[raft]{}", suggested.replace("# ", ""));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("node.toml");
    std::fs::write(&path, text).unwrap();
    let config = NodeConfig::load(Some(&path), std::iter::empty(), &[]).unwrap();
    assert_eq!(config.raft.election_max, Duration::from_millis(600));
}

#[test]
fn the_port_has_eight_lanes_that_see_what_the_first_policy_requires() {
    let config = load("port-eight-lanes.toml", &[]);
    assert_eq!(config.lanes.len(), 8);
    let (spare, lanes) = config.lanes.split_last().unwrap();
    for lane in lanes {
        let modalities = lane.modalities();
        for needed in [Modality::Radiation, Modality::Weighbridge, Modality::Ocr] {
            assert!(modalities.contains(&needed), "{} lacks {needed}", lane.id);
        }
        assert!(lane.scheduled && !lane.nodes.is_empty());
    }
    assert!(spare.devices.is_empty() && !spare.scheduled);
    let keys: std::collections::BTreeSet<_> = lanes
        .iter()
        .flat_map(|lane| &lane.devices)
        .map(|device| device.public_key)
        .collect();
    assert_eq!(keys.len(), lanes.iter().map(|lane| lane.devices.len()).sum::<usize>());
}

#[test]
fn a_configuration_that_differs_from_every_default_survives_writing_and_reading() {
    let mut config = load("port-eight-lanes.toml", &[]);
    config.cluster.id = Some(ClusterId([0xab; 16]));
    config.node.capacity = 0;
    config.node.data_dir = "with \"quotes\", a \\ and ü".into();
    config.raft.heartbeat = Duration::from_millis(40);
    config.raft.snapshot_every = 100;
    config.liveness.down = Duration::from_millis(5000);
    config.limits.mailbox = 7;
    config.clock = PortClock {
        origin: Timestamp(1),
        epoch_ms: 2,
        speed: 123.456,
    };
    config.log.format = LogFormat::Text;
    config.log.filter = "debug".to_owned();
    assert_eq!(again(&config), config);
}

#[test]
fn a_program_starts_from_the_defaults_and_writes_files_that_load() {
    let listen = "127.0.0.1:7405".parse().unwrap();
    let mut config = NodeConfig::with_defaults(NodeId(5), Path::new("a b/c"), listen).unwrap();
    config.cluster.bootstrap = true;
    assert_eq!(again(&config), config);
    let everywhere = "0.0.0.0:7405".parse().unwrap();
    assert!(NodeConfig::with_defaults(NodeId(5), Path::new("c"), everywhere).is_err());
}

#[test]
fn what_no_file_can_say_is_written_as_near_as_possible_and_does_not_panic() {
    let mut config = load("single-node.toml", &[]);
    config.node.id = NodeId(u64::MAX);
    config.raft.heartbeat = Duration::MAX;
    config.clock.speed = f64::NAN;
    assert!(to_toml(&config).contains("id = 9223372036854775807"));
}

//! Which layer wins, and that it is told.

mod common;

use std::time::Duration;

use common::{LEAST, load};
use portcullis_config::{LogFormat, NodeConfig, OTHER_VARIABLES, Origin, PortClock};
use portcullis_domain::id::{NodeId, Timestamp};

#[test]
fn without_any_file_two_keys_are_enough_and_the_cluster_is_this_node() {
    let overrides = ["node.id=7".to_owned(), "node.data_dir=data".to_owned()];
    let config = NodeConfig::load(None, std::iter::empty(), &overrides).unwrap();
    assert_eq!(config.node.id, NodeId(7));
    assert_eq!(config.node.capacity, 100);
    assert_eq!(config.cluster.peers.len(), 1);
    assert_eq!(config.address_of(NodeId(7)).unwrap().to_string(), "127.0.0.1:7401");
    assert_eq!(config.others().count(), 0);
    assert!(!config.cluster.bootstrap);
    assert_eq!(config.raft.heartbeat, Duration::from_millis(30));
    assert_eq!(config.limits.message_bytes, 4 << 20);
    assert_eq!(config.clock, PortClock::REAL);
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(config.lanes, []);
}

#[test]
fn flags_win_over_the_environment_and_it_over_the_file_and_it_over_the_defaults() {
    let text = format!("{LEAST}[raft]\nheartbeat_ms = 101\nelection_min_ms = 501\nelection_max_ms = 701\n");
    let env = [
        ("PORTCULLIS_RAFT__ELECTION_MIN_MS", "502"),
        ("PORTCULLIS_RAFT__ELECTION_MAX_MS", "702"),
    ];
    let loaded = load(&text, &env, &["raft.election_max_ms=703", "raft.election_max_ms=704"]).unwrap();
    let raft = &loaded.config.raft;
    assert_eq!(raft.snapshot_every, 10_000);
    assert_eq!(raft.heartbeat, Duration::from_millis(101));
    assert_eq!(raft.election_min, Duration::from_millis(502));
    assert_eq!(raft.election_max, Duration::from_millis(704));

    let told: Vec<_> = loaded
        .settings
        .iter()
        .filter(|setting| setting.key.starts_with("raft."))
        .map(|setting| {
            let origin = match &setting.origin {
                Origin::File { line, column, .. } => format!("{line}:{column}"),
                other => other.to_string(),
            };
            format!("{} = {} ({origin})", setting.key, setting.value)
        })
        .collect();
    assert_eq!(
        told,
        [
            "raft.heartbeat_ms = 101 (4:16)",
            "raft.election_min_ms = 502 (environment PORTCULLIS_RAFT__ELECTION_MIN_MS)",
            "raft.election_max_ms = 704 (--set raft.election_max_ms)",
            "raft.snapshot_every = 10000 (default)",
        ]
    );
}

#[test]
fn texts_need_no_quotes_outside_the_file_and_may_have_them() {
    let env = [
        ("PORTCULLIS_CLUSTER__NAME", "2026"),
        ("PORTCULLIS_LOG__FILTER", "\"info,raft=debug\""),
    ];
    let config = load(LEAST, &env, &["node.data_dir=C:\\data", "log.format='json'"])
        .unwrap()
        .config;
    assert_eq!(config.cluster.name, "2026");
    assert_eq!(config.log.filter, "info,raft=debug");
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.node.data_dir.to_str(), Some("C:\\data"));
}

#[test]
fn lists_are_set_as_toml_and_replace_those_of_the_file() {
    let text = format!("{LEAST}[[cluster.peers]]\nid = 1\naddress = \"old:1\"\n");
    let env = [("PORTCULLIS_LANES", "[{ id = 2, terminal = \"t\", nodes = [1] }]")];
    let peers = "cluster.peers=[{ id = 2, address = \"b:2\" }, { id = 1, address = \"a:1\" }]";
    let config = load(&text, &env, &[peers]).unwrap().config;
    let addresses: Vec<_> = config
        .cluster
        .peers
        .iter()
        .map(|peer| peer.address.to_string())
        .collect();
    assert_eq!(addresses, ["a:1", "b:2"]);
    assert_eq!(config.lanes[0].nodes, [NodeId(1)]);
    assert!(config.lanes[0].scheduled);
    assert_eq!(config.lanes[0].usual_pass_s, 120);
}

#[test]
fn variables_of_others_and_of_the_command_line_are_left_alone() {
    let mut env: Vec<_> = OTHER_VARIABLES.iter().map(|name| (*name, "anything")).collect();
    env.extend([("PATH", "/bin"), ("PORTCULLISX", "1"), ("portcullis_node__id", "9")]);
    assert_eq!(
        load(LEAST, &env, &[]).unwrap().config,
        load(LEAST, &[], &[]).unwrap().config
    );
}

#[test]
fn the_clock_runs_from_its_origin_at_its_speed() {
    let clock = "clock = { origin_ms = 5000, epoch_ms = 1000, speed = 60 }";
    let config = load(&format!("{LEAST}{clock}"), &[], &[]).unwrap().config;
    assert_eq!(config.clock.port_time(2_000), Timestamp(65_000));
}

//! What is refused, and in which words.

mod common;

use common::{LEAST, load, problem, problem_after_least, problems};
use portcullis_config::{ConfigError, NodeConfig};

const KEY: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

#[test]
fn a_missing_file_is_named() {
    let error = NodeConfig::load(Some("no/such.toml".as_ref()), std::iter::empty(), &[]).unwrap_err();
    assert_eq!(error.to_string(), "cannot read the configuration file no/such.toml");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn a_file_that_is_no_text_or_far_too_long_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (bytes, why) in [(vec![0xff, 0xfe], "UTF-8"), (vec![b'#'; (1 << 20) + 1], "1 MiB")] {
        let path = dir.path().join("odd.toml");
        std::fs::write(&path, bytes).unwrap();
        let error = NodeConfig::load(Some(&path), std::iter::empty(), &[]).unwrap_err();
        let ConfigError::Read { source, .. } = error else {
            panic!("{error}")
        };
        assert!(source.to_string().contains(why), "{source}");
    }
}

#[test]
fn a_text_that_is_no_toml_is_refused_with_its_place() {
    let found = problem("[node]\nid = = 1\n");
    assert!(found.starts_with("node.toml:2:6: not valid TOML: "), "{found}");
    let found = problem("[node]\nid = 1\nid = 2\n");
    assert!(
        found.starts_with("node.toml:3:1: not valid TOML: duplicate key"),
        "{found}"
    );
}

#[test]
fn an_unknown_key_of_the_file_gets_its_place_the_nearest_key_and_all_keys_of_its_table() {
    assert_eq!(
        problem_after_least("[raft]\nhartbeat_ms = 100\n"),
        "node.toml:4:1: raft.hartbeat_ms: unknown key; did you mean raft.heartbeat_ms? \
         Known in [raft] are heartbeat_ms, election_min_ms, election_max_ms, snapshot_every"
    );
}

#[test]
fn an_unknown_key_that_resembles_nothing_gets_no_suggestion() {
    assert_eq!(
        problem_after_least("[log]\ncolour = \"ü\"\n"),
        "node.toml:4:1: log.colour: unknown key. Known in [log] are format, filter"
    );
}

#[test]
fn columns_count_characters_and_not_bytes() {
    let found = problem_after_least("log = { filter = \"ü\", colour = 1 }\n");
    assert!(found.starts_with("node.toml:3:23: log.colour: unknown key"), "{found}");
}

#[test]
fn an_unknown_table_gets_the_nearest_table() {
    assert_eq!(
        problem_after_least("[raff]\nheartbeat_ms = 100\n"),
        "node.toml:3:2: raff: unknown table; did you mean raft? \
         Known in the file are cluster, node, raft, liveness, limits, clock, log, lanes"
    );
}

#[test]
fn a_key_under_the_wrong_heading_is_sent_to_the_right_one() {
    assert_eq!(
        problem_after_least("[cluster]\nheartbeat_ms = 100\n"),
        "node.toml:4:1: cluster.heartbeat_ms: unknown key; did you mean raft.heartbeat_ms? \
         Known in [cluster] are name, id, bootstrap, peers, join"
    );
}

#[test]
fn an_unknown_key_of_a_list_names_the_item() {
    assert_eq!(
        problem_after_least("[[lanes]]\nid = 1\nterminal = \"t\"\n[[lanes.devices]]\nid = \"d\"\npubkey = 2\n"),
        "node.toml:8:1: lanes[0].devices[0].pubkey: unknown key; did you mean lanes[0].devices[0].public_key? \
         Known in [[lanes.devices]] are id, kind, public_key"
    );
}

#[test]
fn a_variable_of_no_key_is_refused_with_the_name_of_the_variable_that_was_meant() {
    assert_eq!(
        problems(LEAST, &[("PORTCULLIS_RAFT__HEARTBEET_MS", "100")], &[]),
        [
            "environment PORTCULLIS_RAFT__HEARTBEET_MS: raft.heartbeet_ms: unknown key; \
          did you mean PORTCULLIS_RAFT__HEARTBEAT_MS? \
          Known in [raft] are heartbeat_ms, election_min_ms, election_max_ms, snapshot_every"
        ]
    );
    let found = problems(LEAST, &[("PORTCULLIS_ENDPIONT", "x")], &[]);
    assert!(found[0].contains("did you mean PORTCULLIS_ENDPOINT?"), "{found:?}");
    let found = problems(LEAST, &[("PORTCULLIS_SPEED", "60")], &[]);
    assert!(found[0].contains("did you mean PORTCULLIS_CLOCK__SPEED?"), "{found:?}");
}

#[test]
fn a_variable_in_small_letters_is_refused() {
    assert_eq!(
        problems(LEAST, &[("PORTCULLIS_node__id", "2")], &[]),
        ["environment PORTCULLIS_node__id: not a key: variables are written in capitals, PORTCULLIS_NODE__ID"]
    );
}

#[test]
fn the_variables_that_kubernetes_adds_are_refused_with_the_remedy() {
    for name in [
        "PORTCULLIS_SERVICE_HOST",
        "PORTCULLIS_PORT",
        "PORTCULLIS_API_PORT_7401_TCP_ADDR",
    ] {
        let found = problems(LEAST, &[(name, "10.0.0.1")], &[]);
        assert!(found[0].contains("enableServiceLinks: false"), "{found:?}");
    }
}

#[test]
fn an_override_of_no_key_or_no_form_is_refused() {
    assert_eq!(
        problems(LEAST, &[], &["node.idd=2", "quiet"]),
        [
            "--set node.idd: node.idd: unknown key; did you mean node.id? \
             Known in [node] are id, data_dir, listen, capacity",
            "--set quiet: expected KEY=VALUE, such as raft.heartbeat_ms=100",
        ]
    );
}

#[test]
fn tables_are_set_key_by_key_and_lists_as_a_whole() {
    assert_eq!(
        problems(
            LEAST,
            &[("PORTCULLIS_LOG__FILTER__X", "1")],
            &["log=1", "cluster.peers.0.id=1"]
        ),
        [
            "environment PORTCULLIS_LOG__FILTER__X: log.filter: is a value and has no keys of its own",
            "--set log: log: is a table; set one of log.format, log.filter",
            "--set cluster.peers.0.id: cluster.peers: is a list and set as a whole: cluster.peers='[{ id = 1, ... }]'",
        ]
    );
}

#[test]
fn a_wrong_type_names_key_value_expectation_and_origin_in_every_layer() {
    let text = format!("{LEAST}raft.heartbeat_ms = \"fast\"\n");
    assert_eq!(
        problems(
            &text,
            &[("PORTCULLIS_NODE__CAPACITY", "much")],
            &["cluster.bootstrap=yes"]
        ),
        [
            "node.toml:3:21: raft.heartbeat_ms = \"fast\": expected an integer from 10 to 10000, found text",
            "environment PORTCULLIS_NODE__CAPACITY: node.capacity = \"much\": \
             expected an integer from 0 to 10000, found text",
            "--set cluster.bootstrap: cluster.bootstrap = \"yes\": expected true or false, found text",
        ]
    );
}

#[test]
fn other_wrong_types_say_what_was_found() {
    for (text, said) in [
        (
            "raft.heartbeat_ms = 1.5",
            "1.5: expected an integer from 10 to 10000, found a number with a fraction",
        ),
        (
            "raft.heartbeat_ms = 99999999999999999999",
            "expected an integer from 10 to 10000, found a number beyond 64",
        ),
        (
            "raft.heartbeat_ms = 2024-01-01",
            "2024-01-01: expected an integer from 10 to 10000, found a date",
        ),
        ("raft = 1", "raft = 1: expected a table, found an integer"),
        ("lanes = [1]", "lanes[0] = 1: expected a table, found an integer"),
        (
            "[lanes]\nid = 1",
            "expected a list of tables, found a table: write [[lanes]]",
        ),
        (
            "cluster.name = \" \"",
            "cluster.name = \" \": expected text that is not empty",
        ),
        (
            "log.format = \"xml\"",
            "log.format = \"xml\": expected one of \"text\", \"json\"",
        ),
        (
            "clock.speed = true",
            "clock.speed = true: expected a number above 0 and at most 10000, found true or false",
        ),
    ] {
        let found = problem_after_least(text);
        assert!(found.contains(said), "{found}");
    }
}

#[test]
fn a_list_that_is_no_toml_is_refused_with_the_reason() {
    let found = problems(LEAST, &[], &["cluster.peers=[{ id = 1"]);
    assert!(
        found[0].starts_with("--set cluster.peers: cluster.peers = \"[{ id = 1\": expected a list of tables as TOML: "),
        "{found:?}"
    );
}

#[test]
fn long_values_are_shortened() {
    let found = problem_after_least(&format!("raft.heartbeat_ms = \"{}\"", "x".repeat(5_000)));
    assert!(found.len() < 200, "{found}");
}

#[test]
fn values_out_of_range_name_the_range() {
    for (text, said) in [
        (
            "raft.heartbeat_ms = 0",
            "raft.heartbeat_ms = 0: expected an integer from 10 to 10000",
        ),
        ("raft.snapshot_every = 0", "expected an integer from 10 to 100000000"),
        (
            "node.capacity = -1",
            "node.capacity = -1: expected an integer from 0 to 10000",
        ),
        (
            "limits.message_bytes = 1000",
            "expected an integer from 65536 to 67108864",
        ),
        ("limits.mailbox = 0", "expected an integer from 1 to 65536"),
        (
            "clock.speed = 0",
            "clock.speed = 0: expected a number above 0 and at most 10000",
        ),
        ("clock.speed = 10000.5", "expected a number above 0 and at most 10000"),
        ("clock.speed = nan", "expected a number above 0 and at most 10000"),
        ("clock.speed = inf", "expected a number above 0 and at most 10000"),
        (
            "[[lanes]]\nid = 1\nterminal = \"t\"\nnodes = [0]",
            "lanes[0].nodes[0] = 0: expected an integer from 1",
        ),
    ] {
        let found = problem_after_least(text);
        assert!(found.ends_with(said) || found.contains(said), "{found}");
    }
}

#[test]
fn what_is_required_says_how_to_set_it() {
    assert_eq!(
        problems("", &[], &[]),
        [
            "node.data_dir: required, and nobody set it: expected text that is not empty. \
             Set it in [node] of the file, as PORTCULLIS_NODE__DATA_DIR, or with --set node.data_dir=..."
        ]
    );
    assert_eq!(
        problem("[node]\ndata_dir = \"d\"\n"),
        "node.id: required unless the node joins a cluster, which grants one. \
         Set it in [node] of the file, as PORTCULLIS_NODE__ID, or with --set node.id=..."
    );
}

#[test]
fn a_node_that_joins_needs_no_id_and_names_no_peers() {
    let joining = "[node]\ndata_dir = \"d\"\n[cluster]\njoin = [\"127.0.0.1:7402\"]\n";
    let config = load(joining, &[], &[]).unwrap().config;
    assert_eq!(config.node.id, portcullis_domain::id::NodeId::NONE);
    assert_eq!(config.cluster.join[0].to_string(), "127.0.0.1:7402");
    let again = load(&portcullis_config::to_toml(&config), &[], &[]).unwrap().config;
    assert_eq!(again, config);

    let found = problem(&format!("{joining}bootstrap = true\n"));
    assert!(found.contains("a node joins a cluster or founds one"), "{found}");
    let found = problem(&format!("{joining}peers = [{{ id = 1, address = \"a:1\" }}]\n"));
    assert!(found.contains("cannot go with cluster.peers"), "{found}");
    let found = problem(&joining.replace("127.0.0.1:7402", "http://a"));
    assert!(
        found.contains("cluster.join[0]") && found.contains("host:port"),
        "{found}"
    );
}

#[test]
fn what_is_required_of_an_item_names_the_item() {
    assert_eq!(
        problem_after_least("[[cluster.peers]]\nid = 1\naddress = \"a:1\"\n[[cluster.peers]]\nid = 2\n"),
        "node.toml:6:1: cluster.peers[1].address: required in each [[cluster.peers]]: expected text that is not empty"
    );
}

#[test]
fn several_problems_are_listed_together() {
    let error = load("[raft]\na = 1\nheartbeat_ms = 0\n", &[], &[]).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("the configuration has 2 problems\n  "), "{text}");
    assert_eq!(text.lines().count(), 3);
}

#[test]
fn listeners_refuse_any_address_but_loopback() {
    assert_eq!(
        problem_after_least("node.listen = \"0.0.0.0:7401\""),
        "node.toml:3:15: node.listen = \"0.0.0.0:7401\": only loopback addresses such as 127.0.0.1 are taken: \
         identities and mutual TLS do not exist yet, so that anyone on a network could act as a node or an officer. \
         Reach other machines through a tunnel"
    );
    for good in ["127.0.0.1:1", "127.1.2.3:7401", "[::1]:7401", "[::ffff:127.0.0.1]:7401"] {
        load(&format!("{LEAST}node.listen = \"{good}\""), &[], &[]).unwrap();
    }
    for bad in ["[::]:7401", "192.168.0.1:7401", "[fe80::1]:7401"] {
        assert!(problem_after_least(&format!("node.listen = \"{bad}\"")).contains("only loopback"));
    }
    assert!(problem_after_least("node.listen = \"localhost:7401\"").contains("expected an IP address and a port"));
    assert!(problem_after_least("node.listen = \"127.0.0.1:0\"").contains("port 0 stands for any port"));
}

#[test]
fn peers_must_not_repeat_and_must_include_this_node() {
    let peers = |peers: &str| problem_after_least(&format!("cluster.peers = [{peers}]"));
    assert_eq!(
        peers("{ id = 1, address = \"a:1\" }, { id = 1, address = \"b:1\" }"),
        "node.toml:3:54: cluster.peers[1].id = 1: is there already: cluster.peers[0].id = 1 (node.toml:3:25)"
    );
    assert!(
        peers("{ id = 1, address = \"a:1\" }, { id = 2, address = \"a:1\" }")
            .contains("cluster.peers[1].address = \"a:1\": is there already: cluster.peers[0].address = \"a:1\"")
    );
    assert_eq!(
        peers("{ id = 2, address = \"a:1\" }, { id = 3, address = \"b:1\" }"),
        "node.toml:1:11: node.id = 1: is not in cluster.peers, which has 2, 3: add this node there"
    );
    assert!(peers("{ id = 1, address = \"http://a:1\" }").contains("without a scheme"));
}

#[test]
fn names_and_ids_of_the_cluster_are_checked() {
    assert!(problem_after_least("cluster.name = \"a b\"").contains("expected 1 to 64 letters, digits"));
    assert_eq!(
        problem_after_least("cluster.id = \"abc\""),
        "node.toml:3:14: cluster.id = \"abc\": expected 16 bytes in hex"
    );
}

#[test]
fn timers_that_contradict_each_other_are_refused_with_both_sides() {
    assert_eq!(
        problem_after_least("raft.election_min_ms = 60"),
        "node.toml:3:24: raft.election_min_ms = 60: must be more than twice raft.heartbeat_ms = 30 (default)"
    );
    for (text, said) in [
        (
            "raft.election_max_ms = 100",
            "= 100: must be more than raft.election_min_ms = 100 (default)",
        ),
        (
            "liveness.beat_ms = 501",
            "liveness.suspect_ms = 1000: must be at least twice liveness.beat_ms = 501",
        ),
        (
            "liveness.suspect_ms = 3000",
            "liveness.down_ms = 3000: must be more than liveness.suspect_ms = 3000",
        ),
        (
            "liveness.suspend_ms = 3000",
            "liveness.down_ms = 3000: must be more than liveness.suspend_ms = 3000",
        ),
        (
            "liveness.suspend_ms = 150",
            "= 150: must be more than raft.election_max_ms = 150 (default)",
        ),
    ] {
        let found = problem_after_least(text);
        assert!(found.contains(said), "{found}");
    }
}

#[test]
fn a_clock_is_set_completely_or_not_at_all() {
    assert!(problem_after_least("clock.speed = 60").contains("clock.speed = 60.0: needs clock.origin_ms and"));
    assert!(problem_after_least("clock.origin_ms = 5").contains("needs clock.epoch_ms"));
    assert!(problem_after_least("clock.epoch_ms = 5").contains("needs clock.origin_ms"));
}

#[test]
fn lanes_and_devices_are_checked_across_the_cluster() {
    let lane = |id: u32, devices: &str| format!("[[lanes]]\nid = {id}\nterminal = \"t\"\ndevices = [{devices}]\n");
    let device =
        |id: &str, kind: &str, key: &str| format!("{{ id = \"{id}\", kind = \"{kind}\", public_key = \"{key}\" }}");
    let good = device("d", "ocr", KEY);
    for (text, said) in [
        (
            lane(1, "") + &lane(1, ""),
            "lanes[1].id = 1: is there already: lanes[0].id = 1",
        ),
        (
            lane(1, &good) + &lane(2, &good),
            "lanes[1].devices[0].id = \"d\": is there already: lanes[0].devices[0].id",
        ),
        (
            lane(1, &device("a b", "ocr", KEY)),
            "lanes[0].devices[0].id = \"a b\": character ' ' is not visible ASCII",
        ),
        (
            lane(1, &device("d", "manifest", KEY)),
            "kind = \"manifest\": expected one of \"controller\", \"radiography\"",
        ),
        (
            lane(1, &device("d", "ocr", "12")),
            "public_key = \"12\": expected an Ed25519 public key: 32 bytes, so 64 hex",
        ),
        (
            lane(1, "").replace("\"t\"", "\"t t\""),
            "lanes[0].terminal = \"t t\": character ' ' is not visible ASCII",
        ),
        (
            lane(1, "") + "nodes = [7]",
            "lanes[0].nodes = [7]: node 7 is not in cluster.peers",
        ),
        (
            lane(1, "") + "usual_pass_s = 0",
            "lanes[0].usual_pass_s = 0: expected an integer from 1 to 86400",
        ),
    ] {
        let found = problem_after_least(&text);
        assert!(found.contains(said), "{found}");
    }
    let many: Vec<_> = (0..33)
        .map(|number| device(&format!("d{number}"), "ocr", KEY))
        .collect();
    assert!(problem_after_least(&lane(1, &many.join(", "))).contains("the lane has 33 devices, at most 32 are taken"));
}

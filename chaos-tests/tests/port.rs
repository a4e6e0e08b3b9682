//! A whole port in front of three real processes that nobody hurts: everybody does something, and all promises hold.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_chaos::cluster::{Blueprint, Cluster};
use portcullis_chaos::port::{Nodes, Port, PortOptions};
use portcullis_chaos::program::program;
use portcullis_config::PortClock;
use portcullis_domain::id::Timestamp;

const WITHIN: Duration = Duration::from_secs(30);
/// How long the port is busy before it calms down.
const BUSY: Duration = Duration::from_secs(10);
/// Port seconds in a real one.
const SPEED: f64 = 240.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_nobody_hurts_keeps_every_promise_and_every_client_does_something() {
    let place = tempfile::tempdir().unwrap();
    let nodes = Nodes::default();
    let mut port = Port::new(PortOptions::default(), nodes.clone()).unwrap();
    let epoch_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let blueprint = Blueprint {
        lanes: port.lanes(),
        clock: PortClock {
            origin: Timestamp(1_767_592_800_000),
            epoch_ms: u64::try_from(epoch_ms).unwrap(),
            speed: SPEED,
        },
        ..Blueprint::new(program().unwrap(), place.path())
    };
    let mut cluster = Cluster::start(&blueprint, WITHIN).await.unwrap();
    for node in cluster.nodes.values() {
        nodes.add(node.id, node.channel.clone());
    }
    port.start();
    tokio::time::sleep(BUSY).await;
    port.calm();
    let open = |port: &Port| match port.open() {
        open if open.is_empty() => Ok(()),
        open => Err(format!("{open:?} are open")),
    };
    let concluded = portcullis_chaos::wait::eventually("all is concluded", WITHIN, async || open(&port)).await;
    let counts = port.counts();
    eprintln!("{counts:#?}");
    concluded.unwrap();
    let history = port.stop().await;
    cluster.stop().await;
    for kind in [
        "announce",
        "adjudicate",
        "depart",
        "get_inspection",
        "get_head",
        "list_lanes",
    ] {
        assert!(counts.applied(kind) > 0, "{kind}: {counts:#?}");
    }
    for what in [
        "attached",
        "arrived",
        "pass honest",
        "barrier_open",
        "event",
        "bookmark",
    ] {
        assert!(counts.event(what) > 0, "{what}: {counts:#?}");
    }
    assert!(history.operations.len() > 200 && !history.orders.is_empty());
}

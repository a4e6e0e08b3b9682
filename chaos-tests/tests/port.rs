//! A whole port in front of three real processes: everybody does something, and all promises hold, whether nobody is hurt or the
//! leader is killed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portcullis_chaos::cluster::{Blueprint, Cluster};
use portcullis_chaos::port::{Counts, Nodes, Port, PortOptions};
use portcullis_chaos::program::program;
use portcullis_chaos::promises::{Evidence, Recovery, check};
use portcullis_chaos::wait::eventually;
use portcullis_config::PortClock;
use portcullis_domain::id::Timestamp;
use portcullis_domain::placement::FUSION_SHARDS;

const WITHIN: Duration = Duration::from_secs(40);
/// How long the port is busy before it calms down, and before somebody is hurt.
const BUSY: Duration = Duration::from_secs(8);
/// Port seconds in a real one.
const SPEED: f64 = 240.0;

/// A port and the cluster that it is a client of.
struct Bed {
    cluster: Cluster,
    nodes: Nodes,
    port: Port,
}

impl Bed {
    async fn start(seed: u64, place: &Path) -> Self {
        let nodes = Nodes::default();
        let options = PortOptions {
            seed,
            // So few that they come again.
            containers: 60,
            operator_pause: Duration::from_millis(700),
            ..PortOptions::default()
        };
        let mut port = Port::new(options, nodes.clone()).unwrap();
        let epoch_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let blueprint = Blueprint {
            lanes: port.lanes(),
            clock: PortClock {
                origin: Timestamp(1_767_592_800_000),
                epoch_ms: u64::try_from(epoch_ms).unwrap(),
                speed: SPEED,
            },
            ..Blueprint::new(program().unwrap(), place)
        };
        let cluster = Cluster::start(&blueprint, WITHIN).await.unwrap();
        for node in cluster.nodes.values() {
            nodes.add(node.id, node.channel.clone());
        }
        port.start();
        Self { cluster, nodes, port }
    }

    /// Waits until everything that was announced is concluded.
    async fn concluded(&self) {
        self.port.calm();
        let open = async || match self.port.is_settled() {
            true => Ok(()),
            false => Err(format!("inspections {:?} are open", self.port.open())),
        };
        if let Err(why) = eventually("everything is concluded", WITHIN, open).await {
            let (cases, counts) = (self.port.open_cases().await, self.port.counts());
            panic!("{why:#}: {cases:#?}, {counts:#?}");
        }
    }

    async fn stop(mut self) -> (Counts, Evidence) {
        let counts = self.port.counts();
        let history = self.port.stop().await;
        let mut evidence = Evidence::gather(history, &self.nodes, WITHIN).await.unwrap();
        evidence.slack = Duration::from_secs(1);
        // Every device may try at one node, twice; every actor may run there.
        let lanes = u64::from(PortOptions::default().lanes);
        evidence.count_loads(lanes * 4 * 2, lanes + u64::from(FUSION_SHARDS) + 1);
        self.cluster.stop().await;
        (counts, evidence)
    }
}

fn judge(counts: &Counts, evidence: &Evidence) {
    let began = Instant::now();
    assert_eq!(check(evidence), [], "{counts:#?}");
    let history = &evidence.history;
    let (operations, orders) = (history.operations.len(), history.orders.len());
    eprintln!(
        "{operations} operations and {orders} orders were judged in {:?}",
        began.elapsed()
    );
    assert!(operations > 300 && orders > 20, "else this has shown nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_nobody_hurts_keeps_every_promise_and_every_client_does_something() {
    let place = tempfile::tempdir().unwrap();
    let bed = Bed::start(1, place.path()).await;
    tokio::time::sleep(BUSY).await;
    bed.concluded().await;
    let (counts, evidence) = bed.stop().await;
    judge(&counts, &evidence);
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
    let operator = [
        "define_lane",
        "open_lane",
        "close_lane",
        "drain_node",
        "undrain_node",
        "transfer_leader",
    ];
    let acts: u64 = operator.iter().map(|kind| counts.of(kind)).sum();
    assert!(acts > 2, "{counts:#?}");
    for what in [
        "batch",
        "attached",
        "dropped",
        "arrived",
        "pass honest",
        "barrier_open",
        "event",
    ] {
        assert!(counts.event(what) > 0, "{what}: {counts:#?}");
    }
    assert!(counts.answers("announce", "REQUEST_ID_REUSED") > 0, "{counts:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_killed_under_a_whole_port_breaks_no_promise() {
    let place = tempfile::tempdir().unwrap();
    let mut bed = Bed::start(2, place.path()).await;
    tokio::time::sleep(BUSY / 2).await;
    let leader = bed.cluster.leader(WITHIN).await.unwrap();
    bed.cluster.kill(&[leader]).await.unwrap();
    tokio::time::sleep(BUSY / 2).await;
    bed.cluster.node(leader).start().unwrap();
    let recorder = bed.port.recorder();
    let healed = recorder.elapsed();
    bed.cluster.agree(WITHIN).await.unwrap();
    tokio::time::sleep(BUSY / 2).await;
    bed.concluded().await;
    let concluded = Some(recorder.elapsed());
    let served = recorder.look(|history| history.applied_after(healed));
    let (counts, mut evidence) = bed.stop().await;
    evidence.recoveries.push(Recovery {
        healed,
        served,
        serve_within: Duration::from_secs(5),
        concluded,
        conclude_within: Some(WITHIN * 2),
    });
    judge(&counts, &evidence);
    let (all, known) = counts.total();
    assert!(known < all, "nobody noticed that the leader was gone: {counts:#?}");
    eprintln!("{counts:#?}");
}

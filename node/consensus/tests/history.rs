//! Long histories: written without a node, opened by one, fetched by another, and damaged.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use portcullis_consensus::{
    Consensus, HistoryError, HistoryReader, HistoryWriter, Member, ReadError, Settings, StdDisk, tcp_connector,
};
use portcullis_domain::command::{ClusterCommand, Command, CommandBody};
use portcullis_domain::id::{BootId, ClusterId, NodeId, Timestamp};
use portcullis_domain::ledger::Ledger;
use portcullis_domain::policy::Policy;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

const CLUSTER: ClusterId = ClusterId([4; 16]);
const DEADLINE: Duration = Duration::from_secs(30);
const BUNDLE: u64 = 4096;

fn settings(folder: &Path, node: u64) -> Settings {
    Settings::new(folder, CLUSTER, node, Arc::new(|| Timestamp(1_700_000_000_000)))
}

fn command(body: ClusterCommand) -> Command {
    Command {
        at: Timestamp(1),
        traceparent: String::new(),
        body: CommandBody::Cluster(body),
    }
}

fn up(number: u64) -> Command {
    command(ClusterCommand::NodeUp {
        node: NodeId(number % 50),
        boot: BootId(number + 1),
        expect: (number >= 50).then(|| BootId(number - 49)),
        capacity: 1,
        version: 1,
    })
}

/// A ledger that has written so many leaves, and the leaves.
fn history(size: u64) -> (Ledger, Vec<Bytes>) {
    let mut ledger = Ledger::new();
    let mut leaves = Vec::new();
    let found = ClusterCommand::Found {
        cluster: CLUSTER,
        policy: Policy::first(),
    };
    let mut next = command(found);
    for number in 0..size {
        let applied = ledger.apply(&next);
        leaves.push(applied.entry.unwrap().bytes.into());
        next = up(number);
    }
    (ledger, leaves)
}

fn address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn write(settings: &Settings, history: &(Ledger, Vec<Bytes>), members: BTreeMap<u64, Member>) {
    let mut writer = HistoryWriter::create(settings).unwrap();
    for leaf in &history.1 {
        writer.push(leaf.clone()).unwrap();
    }
    assert_eq!(writer.size(), history.1.len() as u64);
    writer.finish(&history.0, members).unwrap();
}

/// A node in a runtime of its own, so that it can be killed.
struct Node {
    runtime: Option<Runtime>,
    consensus: Consensus,
}

impl Node {
    async fn start(settings: Settings, address: SocketAddr) -> Self {
        let start = move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            let consensus = runtime.block_on(async {
                let consensus = Consensus::open(settings, tcp_connector()).await.unwrap();
                let listener = TcpListener::bind(address).await.unwrap();
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                let server = Server::builder().add_service(consensus.grpc_service());
                tokio::spawn(server.serve_with_incoming(incoming));
                consensus
            });
            (runtime, consensus)
        };
        let (runtime, consensus) = tokio::task::spawn_blocking(start).await.unwrap();
        Node {
            runtime: Some(runtime),
            consensus,
        }
    }

    async fn kill(mut self) {
        let runtime = self.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(5)))
            .await
            .unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < DEADLINE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn check_entries(node: &Consensus, leaves: &[Bytes]) {
    let mut next = 0;
    while next < leaves.len() {
        let entries = node.entries(next as u64, 1000).await.unwrap();
        assert!(!entries.is_empty());
        for (number, leaf) in entries {
            assert_eq!((number, &leaf), (next as u64, &leaves[next]));
            next += 1;
        }
    }
}

#[test]
fn a_history_is_read_back_leaf_by_leaf_and_any_damage_of_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path(), 1);
    let size = 3 * BUNDLE + 77;
    let history = history(size);
    write(&settings, &history, BTreeMap::from([(1, Member::new("127.0.0.1:1"))]));
    let again = HistoryWriter::create(&settings).unwrap_err();
    assert!(matches!(again, HistoryError::NotEmpty { .. }), "{again}");

    let open = || HistoryReader::open(Arc::new(StdDisk), folder.path());
    let reader = open().unwrap();
    assert_eq!(reader.head().0, size);
    assert_eq!(reader.ledger(), &history.0);
    reader.verify().unwrap();
    for from in [0, 1, BUNDLE - 1, 2 * BUNDLE, 3 * BUNDLE + 1, size, size + BUNDLE] {
        let mut next = from;
        for leaf in reader.leaves(from) {
            let (number, leaf) = leaf.unwrap();
            assert_eq!((number, &leaf), (next, &history.1[next as usize]));
            next += 1;
        }
        assert_eq!(next, size.max(from));
    }

    let bundle = folder.path().join("tlog/00000000000000000001.bundle");
    let whole = std::fs::read(&bundle).unwrap();
    let other = std::fs::read(folder.path().join("tlog/00000000000000000002.bundle")).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (bytes, why) in [
        (&flipped[..], "do not have the root"),
        (&whole[..whole.len() - 1], "bytes, its head says"),
        (&[][..], "cut off"),
        (&other[..], "it is bundle 2, not 1"),
    ] {
        std::fs::write(&bundle, bytes).unwrap();
        let error = reader.verify().unwrap_err().to_string();
        assert!(error.contains("1.bundle is damaged") && error.contains(why), "{error}");
        let read: Vec<_> = reader.leaves(0).collect();
        assert_eq!(
            read.len() as u64,
            BUNDLE + 1,
            "the whole bundle before it, and the error"
        );
        assert!(read[BUNDLE as usize].is_err());
    }
    std::fs::remove_file(&bundle).unwrap();
    let error = open().unwrap().verify().unwrap_err().to_string();
    assert!(error.contains("1.bundle is missing"), "{error}");

    let empty = tempfile::tempdir().unwrap();
    let error = HistoryReader::open(Arc::new(StdDisk), empty.path()).unwrap_err();
    assert!(error.to_string().contains("holds no snapshot"), "{error}");
}

#[test]
fn leaves_that_the_ledger_has_not_written_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (ledger, leaves) = history(300);
    let mut writer = HistoryWriter::create(&settings(folder.path(), 1)).unwrap();
    for leaf in &leaves[1..] {
        writer.push(leaf.clone()).unwrap();
    }
    let members = BTreeMap::from([(1, Member::new("127.0.0.1:1"))]);
    let error = writer.finish(&ledger, members).unwrap_err();
    assert!(error.to_string().contains("are not the decision log"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_goes_on_from_a_history_and_a_new_node_gets_all_of_it_also_when_it_is_killed_on_the_way() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (at, joining) = (address(), address());
    let history = history(40 * BUNDLE + 5);
    write(
        &settings(first.path(), 1),
        &history,
        BTreeMap::from([(1, Member::new(at.to_string()))]),
    );
    let node = Node::start(settings(first.path(), 1), at).await;
    // Founding it again does nothing: it is part of a cluster.
    let members = BTreeMap::from([(1, Member::new(at.to_string()))]);
    node.consensus.initialize(members).await.unwrap();
    let written = node.consensus.propose_within(vec![up(50 * BUNDLE)], DEADLINE).await;
    assert!(written[0].is_ok(), "{written:?}");
    check_entries(&node.consensus, &history.1).await;

    let mut joined = Node::start(settings(second.path(), 2), joining).await;
    let member = Member::new(joining.to_string());
    node.consensus.add_learner(2, member, DEADLINE).await.unwrap();
    let mut kills = 0;
    loop {
        let holding = joined.consensus.holding();
        if holding.bundles == 40 && holding.is_whole() {
            break;
        }
        // Killed in the middle as soon as it has something, and half a bundle left lying about.
        if kills < 3 && (1..40).contains(&(holding.bundles - holding.missing)) {
            kills += 1;
            joined.kill().await;
            std::fs::write(second.path().join("tlog/00000000000000000039.bundle.9.tmp"), b"half").unwrap();
            joined = Node::start(settings(second.path(), 2), joining).await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(node.consensus.holding_of(2, DEADLINE).await.unwrap().is_whole());
    check_entries(&joined.consensus, &history.1).await;
    let files = std::fs::read_dir(second.path().join("tlog")).unwrap();
    assert_eq!(files.count(), 40, "nothing unfinished is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_bundle_is_named_when_it_is_read_and_fetched_again_when_it_was_moved_away() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let addresses = [address(), address()];
    let members: BTreeMap<u64, Member> = (1..).zip(addresses.map(|at| Member::new(at.to_string()))).collect();
    let history = history(4 * BUNDLE + 5);
    for (id, folder) in (1..).zip(&folders) {
        write(&settings(folder.path(), id), &history, members.clone());
    }
    let bundle = folders[0].path().join("tlog/00000000000000000000.bundle");
    let mut bytes = std::fs::read(&bundle).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&bundle, bytes).unwrap();

    let damaged = Node::start(settings(folders[0].path(), 1), addresses[0]).await;
    let error = damaged.consensus.entries(0, 10).await.unwrap_err();
    assert!(
        matches!(&error, ReadError::Storage(why) if why.contains("0.bundle is damaged") && why.contains("move the file away")),
        "{error}"
    );
    damaged.kill().await;

    std::fs::remove_file(&bundle).unwrap();
    let mended = Node::start(settings(folders[0].path(), 1), addresses[0]).await;
    assert_eq!(mended.consensus.holding().missing, 1);
    let _other = Node::start(settings(folders[1].path(), 2), addresses[1]).await;
    eventually("the bundle is here again", || {
        mended.consensus.holding().is_whole().then_some(())
    })
    .await;
    check_entries(&mended.consensus, &history.1).await;
}

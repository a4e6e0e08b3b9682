//! Whole nodes over loopback: what is acknowledged stays, whoever stops, and all replicas hold the same log.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "cluster/history.rs"]
mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt;
use portcullis_consensus::{
    Agreement, Consensus, Consistency, Disk, DiskFile, Lock, Member, OpenError, ProposeError, RandomAccess, ReadError,
    Reason, Settings, StdDisk, tcp_connector,
};
use portcullis_domain::command::{ClusterCommand, Command, CommandBody};
use portcullis_domain::id::{BootId, ClusterId, Digest, NodeId, Timestamp};
use portcullis_domain::outcome::Outcome;
use portcullis_domain::policy::Policy;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

const CLUSTER: ClusterId = ClusterId([9; 16]);
const DEADLINE: Duration = Duration::from_secs(20);

/// One node in a runtime of its own, so that it can be killed.
struct Node {
    runtime: Option<Runtime>,
    consensus: Consensus,
}

fn settings(folder: &Path, id: u64) -> Settings {
    let clock = Arc::new(|| Timestamp(1_700_000_000_000));
    let mut settings = Settings::new(folder, CLUSTER, id, clock);
    settings.snapshot_every = 40;
    settings.keep_entries = 10;
    settings
}

fn start(settings: Settings, address: SocketAddr) -> Result<Node, OpenError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let opened = runtime.block_on(async {
        let consensus = Consensus::open(settings, tcp_connector()).await?;
        let listener = TcpListener::bind(address).await.unwrap();
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let server = Server::builder().add_service(consensus.grpc_service());
        tokio::spawn(server.serve_with_incoming(incoming));
        Ok(consensus)
    });
    let consensus = match opened {
        Ok(consensus) => consensus,
        Err(error) => {
            runtime.shutdown_background();
            return Err(error);
        }
    };
    Ok(Node {
        runtime: Some(runtime),
        consensus,
    })
}

impl Node {
    /// The process is gone in the middle of whatever it did.
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

/// Folders and addresses of some nodes, and those that run.
struct Cluster {
    folders: Vec<tempfile::TempDir>,
    addresses: Vec<SocketAddr>,
    nodes: Vec<Option<Node>>,
}

impl Cluster {
    async fn of(size: usize) -> Self {
        let mut cluster = Cluster {
            folders: Vec::new(),
            addresses: Vec::new(),
            nodes: Vec::new(),
        };
        for _ in 0..size {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            cluster.addresses.push(listener.local_addr().unwrap());
            cluster.folders.push(tempfile::tempdir().unwrap());
            cluster.nodes.push(None);
        }
        for at in 0..size {
            cluster.start(at).await;
        }
        let members: BTreeMap<u64, Member> = cluster
            .addresses
            .iter()
            .enumerate()
            .map(|(at, address)| (at as u64 + 1, Member::new(address.to_string())))
            .collect();
        cluster.at(0).initialize(members.clone()).await.unwrap();
        cluster.at(0).initialize(members).await.unwrap();
        let found = ClusterCommand::Found {
            cluster: CLUSTER,
            policy: Policy::first(),
        };
        propose(cluster.at(0), found).await.unwrap();
        cluster
    }

    fn folder(&self, at: usize) -> PathBuf {
        self.folders[at].path().to_owned()
    }

    async fn try_start(&mut self, at: usize) -> Result<(), OpenError> {
        let settings = settings(self.folders[at].path(), at as u64 + 1);
        let address = self.addresses[at];
        let node = tokio::task::spawn_blocking(move || start(settings, address))
            .await
            .unwrap()?;
        self.nodes[at] = Some(node);
        Ok(())
    }

    async fn start(&mut self, at: usize) {
        self.try_start(at).await.unwrap();
    }

    async fn kill(&mut self, at: usize) {
        self.nodes[at].take().unwrap().kill().await;
    }

    fn at(&self, at: usize) -> &Consensus {
        &self.nodes[at].as_ref().unwrap().consensus
    }

    fn running(&self) -> impl Iterator<Item = &Consensus> {
        self.nodes.iter().flatten().map(|node| &node.consensus)
    }

    /// Position of the leader that all running nodes agree on.
    async fn leader(&self) -> usize {
        eventually("the nodes agree on a leader", || {
            let leaders: Vec<_> = self.running().map(|node| node.leadership().borrow().leader).collect();
            let leader = leaders[0]?;
            let runs = self.nodes[leader as usize - 1].is_some();
            (runs && leaders.iter().all(|one| *one == Some(leader))).then_some(leader as usize - 1)
        })
        .await
    }

    /// Waits until all running nodes have the same log as this one has now, and checks that they say so to each other.
    async fn same_everywhere(&self, at: usize) {
        let view = self.at(at).view();
        for node in self.running() {
            eventually("the replica catches up", || {
                (node.view().log_size >= view.log_size).then_some(())
            })
            .await;
            if node.view().log_size == view.log_size {
                assert_eq!(node.view().root, view.root);
            }
            assert_ne!(node.check_root(view.log_size, &view.root), Agreement::Different);
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

fn command(body: ClusterCommand) -> Command {
    Command {
        at: Timestamp(0),
        traceparent: String::new(),
        body: CommandBody::Cluster(body),
    }
}

/// A command that writes one entry, and none when it is repeated.
fn up(number: u64) -> ClusterCommand {
    ClusterCommand::NodeUp {
        node: NodeId(number),
        boot: BootId(number),
        expect: None,
        capacity: 1,
        version: 1,
    }
}

async fn propose(node: &Consensus, body: ClusterCommand) -> Result<Outcome, ProposeError> {
    let mut answers = node.propose(vec![command(body)]).await;
    answers.remove(0)
}

async fn propose_ups(node: &Consensus, numbers: std::ops::Range<u64>) {
    let commands = numbers.map(|number| command(up(number))).collect();
    for answer in node.propose(commands).await {
        assert!(matches!(answer.unwrap(), Outcome::Applied(_)));
    }
}

/// Takes a snapshot now. By itself a node waits for a lull.
async fn take_snapshot(node: &Consensus) {
    let applied = node.status().applied;
    node.snapshot().await.unwrap();
    eventually("the snapshot is there", || {
        (node.status().snapshot >= applied).then_some(())
    })
    .await;
}

async fn all_entries(node: &Consensus) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while (entries.len() as u64) < node.view().log_size {
        let more = node.entries(entries.len() as u64, 100).await.unwrap();
        assert!(!more.is_empty());
        for (number, bytes) in more {
            assert_eq!(number, entries.len() as u64);
            entries.push(bytes.to_vec());
        }
    }
    entries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_from_disk_keeps_everything_and_following_has_no_gap() {
    let mut cluster = Cluster::of(1).await;
    for round in 0..120 {
        propose_ups(cluster.at(0), round * 5..(round + 1) * 5).await;
        if [60, 110].contains(&round) {
            take_snapshot(cluster.at(0)).await;
        }
    }
    let node = cluster.at(0);
    eventually("a snapshot is taken and the log purged", || node.status().purged).await;
    let (size, root) = (node.view().log_size, node.view().root);
    assert_eq!(size, 601);
    let before = all_entries(node).await;
    let followed: Vec<_> = node.follow(0).take(300).collect().await;

    cluster.kill(0).await;
    cluster.start(0).await;
    let node = cluster.at(0);
    node.read(Consistency::Quorum).await.unwrap();
    assert_eq!((node.view().log_size, node.view().root), (size, root));
    assert_eq!(node.view().ledger.nodes().count(), 600);
    assert_eq!(all_entries(node).await, before);

    let rest = node.follow(300);
    propose_ups(node, 1000..1300).await;
    let rest: Vec<_> = rest.take(601).collect().await;
    let numbers: Vec<u64> = followed
        .iter()
        .chain(&rest)
        .map(|entry| entry.as_ref().unwrap().0)
        .collect();
    assert_eq!(numbers, (0..901).collect::<Vec<_>>());

    // And in good order.
    node.shutdown().await;
    assert!(matches!(
        propose(node, up(1)).await,
        Err(ProposeError::Stopped { .. } | ProposeError::NotApplied { .. })
    ));
    cluster.kill(0).await;
    cluster.start(0).await;
    let view = cluster.at(0).read(Consistency::Quorum).await.unwrap();
    assert_eq!(view.log_size, 901);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn losing_the_leader_loses_no_acknowledged_command() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let survivors: Vec<usize> = (0..3).filter(|at| *at != leader).collect();

    // Two followers and the leader take commands all the time.
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for at in 0..3 {
        let node = cluster.at(at).clone();
        let stop = Arc::clone(&stop);
        writers.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            let mut number = at as u64 * 1_000_000;
            while !stop.load(Ordering::Relaxed) && acknowledged.len() < 5_000 {
                number += 1;
                match propose(&node, up(number)).await {
                    Ok(_) => acknowledged.push(number),
                    Err(ProposeError::Stopped { .. }) => break,
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
            acknowledged
        }));
    }
    let watched = cluster.at(survivors[0]).clone();
    let enough = watched.view().log_size + 200;
    eventually("commands are applied", || {
        (watched.view().log_size > enough).then_some(())
    })
    .await;

    let killed = Instant::now();
    cluster.kill(leader).await;
    let new = cluster.leader().await;
    assert_ne!(new, leader);
    let size = cluster.at(new).view().log_size;
    eventually("commands are applied again", || {
        (watched.view().log_size > size + 100).then_some(())
    })
    .await;
    eprintln!(
        "served again {} ms after the leader was killed",
        killed.elapsed().as_millis()
    );

    cluster.start(leader).await;
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = Vec::new();
    for (at, writer) in writers.into_iter().enumerate() {
        if at == leader {
            // Its tasks died with its runtime; what it had acknowledged cannot be asked for any more.
            writer.abort();
        } else {
            acknowledged.extend(writer.await.unwrap());
        }
    }
    assert!(acknowledged.len() > 100);
    for node in cluster.running() {
        let view = node.read(Consistency::Quorum).await.unwrap();
        for number in &acknowledged {
            assert!(view.ledger.node(NodeId(*number)).is_some(), "command {number} is lost");
        }
    }
    cluster.same_everywhere(survivors[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_away_gets_a_snapshot_and_the_bundles_it_lacks() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    cluster.kill(away).await;
    for round in 0..200 {
        propose_ups(cluster.at(leader), round * 60..(round + 1) * 60).await;
        if [100, 190].contains(&round) {
            take_snapshot(cluster.at(leader)).await;
        }
    }
    let node = cluster.at(leader);
    eventually("the log is purged", || node.status().purged.filter(|index| *index > 60)).await;
    let content = bytes::Bytes::from(vec![7; 3_000_000]);
    let digest = Digest::of(&content);
    node.put_blobs(vec![(digest, content)]).await.unwrap();

    cluster.start(away).await;
    cluster.same_everywhere(leader).await;
    let back = cluster.at(away);
    assert!(back.status().snapshot.is_some());
    assert_eq!(back.holding().bundles, 2);
    assert_eq!(back.blob(digest).await.unwrap().unwrap().len(), 3_000_000);
    assert_eq!(all_entries(back).await, all_entries(cluster.at(leader)).await);
    eventually("all bundles are here", || {
        back.status().missing_bundle.is_none().then_some(())
    })
    .await;
    for node in 1..=3 {
        let holding = cluster.at(leader).holding_of(node, DEADLINE).await.unwrap();
        assert!(holding.is_whole() && holding.bundles == 2, "{holding:?}");
    }
    let nobody = cluster.at(leader).holding_of(9, DEADLINE).await.unwrap_err();
    assert!(nobody.contains("node 9 is not a member"), "{nobody}");
    eventually("the index is whole", || (back.status().indexed == 12_001).then_some(())).await;

    // It can be the one that everything comes from.
    cluster
        .at(leader)
        .transfer_leader(away as u64 + 1, DEADLINE)
        .await
        .unwrap();
    assert_eq!(cluster.leader().await, away);
    propose_ups(cluster.at(leader), 50_000..50_010).await;
    let seen = cluster.at((leader + 2) % 3).read(Consistency::Quorum).await.unwrap();
    assert!(seen.ledger.node(NodeId(50_009)).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_everything_answers_in_time_and_nothing_is_applied() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    propose_ups(cluster.at((leader + 1) % 3), 1..50).await;
    let size = cluster.at(leader).read(Consistency::Quorum).await.unwrap().log_size;
    for at in [(leader + 1) % 3, (leader + 2) % 3] {
        cluster.kill(at).await;
    }
    let node = cluster.at(leader);
    let start = Instant::now();
    let answers = node
        .propose_within(vec![command(up(100)), command(up(101))], Duration::from_millis(1500))
        .await;
    assert!(answers.iter().all(|answer| matches!(
        answer,
        Err(ProposeError::Unknown { .. }
            | ProposeError::NotApplied {
                reason: Reason::NoLeader,
                ..
            })
    )));
    eventually("the leader knows that it does not lead", || {
        let age = node.status().quorum_age;
        age.is_none_or(|age| age > Duration::from_millis(600)).then_some(())
    })
    .await;
    // Not only before its deadline: at once.
    let asked = Instant::now();
    let answer = node.propose_within(vec![command(up(102))], DEADLINE).await;
    assert!(
        matches!(
            &answer[0],
            Err(ProposeError::NotApplied {
                reason: Reason::NoQuorum | Reason::NoLeader,
                ..
            })
        ),
        "{answer:?}"
    );
    assert!(asked.elapsed() < Duration::from_secs(2));
    assert!(matches!(
        node.read(Consistency::Quorum).await,
        Err(ReadError::NoQuorum { .. })
    ));
    // A reader that has less time is told in that time.
    let asked = Instant::now();
    let patience = Duration::from_millis(200);
    for consistency in [Consistency::Lease, Consistency::Quorum] {
        let answer = node.read_within(consistency, patience).await;
        assert!(
            matches!(answer, Err(ReadError::NoQuorum { waited }) if waited >= patience),
            "{answer:?}"
        );
    }
    assert!(asked.elapsed() < Duration::from_secs(2));
    assert!(start.elapsed() < DEADLINE);
    assert_eq!(node.view().log_size, size);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path(), 1);
    settings.queue = 4;
    // Nobody was told to found a cluster: commands wait.
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let node = tokio::task::spawn_blocking(move || start(settings, address))
        .await
        .unwrap()
        .unwrap();
    let commands = |numbers: std::ops::Range<u64>| numbers.map(|number| command(up(number))).collect();
    let patience = Duration::from_millis(300);
    let (waiting, refused) = tokio::join!(
        node.consensus.propose_within(commands(0..3), patience),
        node.consensus.propose_within(commands(3..6), patience),
    );
    let reasons = |answers: Vec<Result<Outcome, ProposeError>>| -> Vec<Reason> {
        let reason = |answer| match answer {
            Err(ProposeError::NotApplied { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        answers.into_iter().map(reason).collect()
    };
    assert_eq!(reasons(waiting), [Reason::NoLeader; 3]);
    assert_eq!(
        reasons(refused),
        [Reason::Overloaded; 3],
        "all of a batch or none of it"
    );
}

/// A node with three snapshots' worth of history that is not running.
async fn stopped_node() -> Cluster {
    let mut cluster = Cluster::of(1).await;
    for number in 0..130 {
        propose_ups(cluster.at(0), number * 3..(number + 1) * 3).await;
        if [45, 85, 120].contains(&number) {
            take_snapshot(cluster.at(0)).await;
        }
    }
    let node = cluster.at(0);
    eventually("the index is whole", || (node.status().indexed == 391).then_some(())).await;
    eventually("two snapshots are there", || {
        let files = std::fs::read_dir(cluster.folder(0).join("snap")).unwrap();
        (files.count() >= 2).then_some(())
    })
    .await;
    cluster.at(0).shutdown().await;
    cluster.kill(0).await;
    cluster
}

fn newest(folder: &Path) -> PathBuf {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files.pop().unwrap()
}

fn flip_a_bit(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 4;
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_snapshot_is_set_aside_when_the_one_before_it_and_the_log_are_enough() {
    let mut cluster = stopped_node().await;
    let folder = cluster.folder(0).join("snap");
    let file = newest(&folder);
    flip_a_bit(&file, 500);
    cluster.start(0).await;
    assert_eq!(cluster.at(0).read(Consistency::Quorum).await.unwrap().log_size, 391);
    assert!(!file.exists());
    let aside = file.with_extension("snap.damaged");
    assert!(aside.exists());
    cluster.at(0).shutdown().await;
    cluster.kill(0).await;

    // Without any it does not start: the beginning of the log is gone.
    std::fs::remove_file(aside).unwrap();
    let file = newest(&folder);
    let files = || std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    for file in files() {
        flip_a_bit(&file, 500);
    }
    let error = cluster.try_start(0).await.unwrap_err();
    assert!(matches!(error, OpenError::NeededSnapshot(_)), "{error}");
    let message = error.to_string();
    assert!(
        message.contains(file.to_str().unwrap()) && message.contains("restore it again"),
        "{message}"
    );
    for file in files() {
        std::fs::remove_file(file).unwrap();
    }
    let error = cluster.try_start(0).await.unwrap_err();
    assert!(matches!(error, OpenError::Gap { snapshot: None, .. }), "{error}");
    assert!(error.to_string().contains("there is no snapshot"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_lost_index_store_is_made_again() {
    let mut cluster = stopped_node().await;
    let sled = cluster.folder(0).join("sled");
    for damage in ["overwritten", "cut", "gone"] {
        let file = sled.join("db");
        let bytes = std::fs::read(&file).unwrap();
        match damage {
            "overwritten" => std::fs::write(&file, vec![0xa5; bytes.len()]).unwrap(),
            "cut" => std::fs::write(&file, &bytes[..bytes.len() / 3]).unwrap(),
            _ => std::fs::remove_dir_all(&sled).unwrap(),
        }
        cluster.start(0).await;
        let node = cluster.at(0);
        eventually("the index is whole again", || {
            (node.status().indexed == 391).then_some(())
        })
        .await;
        assert_eq!(node.status().fatal, None);
        node.shutdown().await;
        cluster.kill(0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_index_is_made_again_also_while_nothing_is_applied() {
    let mut cluster = Cluster::of(3).await;
    for number in 0..60 {
        propose_ups(cluster.at(0), number..number + 1).await;
    }
    cluster.same_everywhere(0).await;
    let node = cluster.at(2);
    eventually("a snapshot is taken", || node.status().snapshot).await;
    for at in 0..3 {
        cluster.at(at).shutdown().await;
        cluster.kill(at).await;
    }
    std::fs::remove_dir_all(cluster.folder(2).join("sled")).unwrap();
    // Alone it has no leader, so nothing new is committed.
    cluster.start(2).await;
    let node = cluster.at(2);
    let size = node.view().log_size;
    assert!(size > 0);
    eventually("the index is whole", || (node.status().indexed == size).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfinished_record_at_the_end_of_the_log_is_cut_and_other_damage_refuses_to_start() {
    let mut cluster = stopped_node().await;
    let file = newest(&cluster.folder(0).join("raft"));
    // A segment is made at its full length; behind the last record there are zeros.
    let used = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let mut torn = std::fs::read(&file).unwrap();
    // A record that was being written when the power went: its beginning, then nothing.
    let behind = used(&torn) + 64;
    torn.copy_within(300..307, behind);
    std::fs::write(&file, &torn).unwrap();
    cluster.start(0).await;
    assert_eq!(cluster.at(0).read(Consistency::Quorum).await.unwrap().log_size, 391);
    cluster.at(0).shutdown().await;
    cluster.kill(0).await;

    let file = newest(&cluster.folder(0).join("raft"));
    flip_a_bit(&file, used(&std::fs::read(&file).unwrap()) / 2);
    let error = cluster.try_start(0).await.unwrap_err();
    assert!(matches!(error, OpenError::Log { .. }), "{error}");
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    assert!(error.to_string().contains("add a new one with a new id"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_in_use_or_of_another_cluster_is_refused() {
    let cluster = Cluster::of(1).await;
    let folder = cluster.folder(0);
    let other: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let refused = |settings| tokio::task::spawn_blocking(move || start(settings, other));

    let Err(error) = refused(settings(&folder, 1)).await.unwrap() else {
        panic!("a second process was let in");
    };
    assert!(error.to_string().contains("in use by another process"), "{error}");

    cluster.at(0).shutdown().await;
    let mut foreign = settings(&folder, 1);
    foreign.cluster = ClusterId([8; 16]);
    let Err(error) = refused(foreign).await.unwrap() else {
        panic!("a foreign cluster was let in");
    };
    assert!(error.to_string().contains("belongs to cluster 0909"), "{error}");
    let Err(error) = refused(settings(&folder, 2)).await.unwrap() else {
        panic!("a foreign node was let in");
    };
    assert!(error.to_string().contains("belongs to node 1"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_joins_as_a_learner_becomes_a_voter_and_another_leaves() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    propose_ups(cluster.at(leader), 0..300).await;

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    cluster.addresses.push(listener.local_addr().unwrap());
    drop(listener);
    cluster.folders.push(tempfile::tempdir().unwrap());
    cluster.nodes.push(None);
    cluster.start(3).await;
    let member = Member::new(cluster.addresses[3].to_string());
    let node = cluster.at(leader);
    let follower = cluster.at((leader + 1) % 3);
    assert!(follower.add_learner(4, member.clone(), DEADLINE).await.is_err());
    node.add_learner(4, member, DEADLINE).await.unwrap();
    assert!(node.status().learners.contains_key(&4));

    let leaving = (leader as u64 + 2) % 3 + 1;
    let voters: BTreeSet<u64> = (1..=4).filter(|id| *id != leaving).collect();
    node.set_voters(voters.clone(), DEADLINE).await.unwrap();
    cluster.kill(leaving as usize - 1).await;
    let node = cluster.at(leader);
    propose_ups(node, 300..600).await;
    let joined = cluster.at(3);
    let view = joined.read(Consistency::Quorum).await.unwrap();
    assert_eq!(view.ledger.nodes().count(), 600);
    assert_eq!(joined.status().voters.into_keys().collect::<BTreeSet<_>>(), voters);
    cluster.same_everywhere(leader).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handing_leadership_over_fails_no_request() {
    let cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let to = (leader + 1) % 3;
    let node = cluster.at((leader + 2) % 3).clone();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let writer = tokio::spawn(async move {
        let (mut number, mut longest) = (0, Duration::ZERO);
        while !stopped.load(Ordering::Relaxed) {
            number += 1;
            let start = Instant::now();
            // What the old leader did not answer is asked again: that is what request ids are for.
            while let Err(error) = propose(&node, up(number)).await {
                assert!(matches!(error, ProposeError::Unknown { .. }), "{error}");
            }
            longest = longest.max(start.elapsed());
        }
        (number, longest)
    });
    let seen = cluster.at(to).clone();
    eventually("commands are applied", || (seen.view().log_size > 50).then_some(())).await;
    cluster
        .at(leader)
        .transfer_leader(to as u64 + 1, DEADLINE)
        .await
        .unwrap();
    let size = seen.view().log_size;
    eventually("commands are applied again", || {
        (seen.view().log_size > size + 50).then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    let (number, longest) = writer.await.unwrap();
    eprintln!("{number} commands, the longest took {} ms", longest.as_millis());
    assert!(longest < Duration::from_secs(5));
    assert_eq!(
        seen.read(Consistency::Quorum).await.unwrap().ledger.nodes().count(),
        number as usize
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_is_dialled_with_pauses() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let dead = (leader + 1) % 3;
    cluster.kill(dead).await;
    // In its place somebody who hangs up at once and counts.
    let listener = TcpListener::bind(cluster.addresses[dead]).await.unwrap();
    propose_ups(cluster.at(leader), 0..10).await;
    let start = Instant::now();
    let mut calls = 0;
    while let Ok(call) = tokio::time::timeout(
        Duration::from_secs(2).saturating_sub(start.elapsed()),
        listener.accept(),
    )
    .await
    {
        drop(call);
        calls += 1;
    }
    // Replication pauses up to 200 ms, heartbeats come every 100 ms.
    assert!((1..200).contains(&calls), "{calls} calls in 2 s");
}

/// A disk that fails from some moment on.
#[derive(Debug)]
struct FailingDisk {
    disk: StdDisk,
    failing: AtomicBool,
}

impl Disk for FailingDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.disk.read(path)
    }
    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.disk.read_at(path, offset, length)
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        self.disk.len(path)
    }
    fn exists(&self, path: &Path) -> bool {
        self.disk.exists(path)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        match self.failing.load(Ordering::Relaxed) {
            true => Err(io::Error::other("input/output error")),
            false => self.disk.create(path),
        }
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn RandomAccess>> {
        self.disk.open(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Lock> {
        self.disk.lock(path)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_stops_the_node_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(FailingDisk {
        disk: StdDisk,
        failing: AtomicBool::new(false),
    });
    let mut settings = settings(folder.path(), 1);
    settings.disk = Arc::clone(&disk) as Arc<dyn Disk>;
    let address = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let node = tokio::task::spawn_blocking(move || start(settings, address))
        .await
        .unwrap()
        .unwrap();
    let members = BTreeMap::from([(1, Member::new(address.to_string()))]);
    node.consensus.initialize(members).await.unwrap();
    disk.failing.store(true, Ordering::Relaxed);
    let fatal = node.consensus.fatal();
    for number in 0..60 {
        // Refused, because there is no cluster yet; entries in the Raft log all the same.
        let _ = propose(&node.consensus, up(number)).await;
    }
    let reason = tokio::time::timeout(DEADLINE, fatal).await.unwrap();
    assert!(reason.contains("input/output error"), "{reason}");
    assert!(matches!(
        propose(&node.consensus, up(1)).await,
        Err(ProposeError::Stopped { .. })
    ));
    assert_eq!(
        node.consensus.read(Consistency::Quorum).await.unwrap_err(),
        ReadError::Stopped
    );
}

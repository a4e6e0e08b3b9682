//! Long histories: written without a node, opened by one, fetched by another, and damaged.
use bytes::Bytes;
use portcullis_consensus::{HistoryError, HistoryReader, HistoryWriter};
use portcullis_domain::ledger::Ledger;
use portcullis_proto::internal::v1 as pb;
use portcullis_proto::internal::v1::raft_client::RaftClient;

use super::*;

const BUNDLE: u64 = 4096;

/// Fifty nodes that start again and again: a long log and a small ledger.
fn restart(number: u64) -> Command {
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
        let applied = ledger.apply(next);
        leaves.push(applied.entry.unwrap().bytes.into());
        next = restart(number);
    }
    (ledger, leaves)
}

/// The same, with leaves that are made in pairs, one pair a second.
fn timed_history(size: u64) -> (Ledger, Vec<Bytes>) {
    let mut ledger = Ledger::new();
    let mut leaves = Vec::new();
    let mut next = command(ClusterCommand::Found {
        cluster: CLUSTER,
        policy: Policy::first(),
    });
    for number in 0..size {
        next.at = Timestamp(1000 * (1 + number / 2));
        leaves.push(ledger.apply(next).entry.unwrap().bytes.into());
        next = restart(number);
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

async fn run(settings: Settings, address: SocketAddr) -> Node {
    let started = tokio::task::spawn_blocking(move || start(settings, address));
    started.await.unwrap().unwrap()
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
    let node = run(settings(first.path(), 1), at).await;
    // Founding it again does nothing: it is part of a cluster.
    let members = BTreeMap::from([(1, Member::new(at.to_string()))]);
    node.consensus.initialize(members).await.unwrap();
    let written = node
        .consensus
        .propose_within(vec![restart(50 * BUNDLE)], DEADLINE)
        .await;
    assert!(written[0].is_ok(), "{written:?}");
    check_entries(&node.consensus, &history.1).await;

    let mut joined = run(settings(second.path(), 2), joining).await;
    let member = Member::new(joining.to_string());
    node.consensus.add_learner(2, member, DEADLINE).await.unwrap();
    let (begun, mut kills) = (Instant::now(), 0);
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
            joined = run(settings(second.path(), 2), joining).await;
        }
        assert!(begun.elapsed() < 3 * DEADLINE, "{holding:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(node.consensus.holding_of(2, DEADLINE).await.unwrap().is_whole());
    check_entries(&joined.consensus, &history.1).await;
    let files = std::fs::read_dir(second.path().join("tlog")).unwrap();
    assert_eq!(files.count(), 40, "nothing unfinished is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_entry_since_a_time_is_found_wherever_it_is_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let at = address();
    let size = 2 * BUNDLE + 500;
    let history = timed_history(size);
    let members = BTreeMap::from([(1, Member::new(at.to_string()))]);
    write(&settings(folder.path(), 1), &history, members);
    let node = run(settings(folder.path(), 1), at).await;
    eventually("the index is whole", || {
        (node.consensus.status().indexed == size).then_some(())
    })
    .await;
    // Of a pair the first, of a moment between two pairs the next one, at the edges of bundles as within them.
    for entry in [0, 2, 300, BUNDLE - 2, BUNDLE, BUNDLE + 2, 2 * BUNDLE, size - 2] {
        let at = 1000 * (1 + entry / 2);
        for at in [at, at - 999] {
            let found = node.consensus.first_entry_since(Timestamp(at)).await.unwrap();
            assert_eq!(found, entry, "since {at}");
        }
    }
    let last = 1000 * (size / 2);
    assert_eq!(node.consensus.first_entry_since(Timestamp(0)).await.unwrap(), 0);
    assert_eq!(
        node.consensus.first_entry_since(Timestamp(last + 1)).await.unwrap(),
        size
    );
}

/// Folders of two nodes that have the same history of some bundles, and where the nodes are.
fn two_with_a_history() -> ([tempfile::TempDir; 2], [SocketAddr; 2], (Ledger, Vec<Bytes>)) {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let addresses = [address(), address()];
    let members: BTreeMap<u64, Member> = (1..).zip(addresses.map(|at| Member::new(at.to_string()))).collect();
    let history = history(4 * BUNDLE + 5);
    for (id, folder) in (1..).zip(&folders) {
        write(&settings(folder.path(), id), &history, members.clone());
    }
    (folders, addresses, history)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_bundle_is_named_when_it_is_read_and_fetched_again_when_it_was_moved_away() {
    let (folders, addresses, history) = two_with_a_history();
    let bundle = folders[0].path().join("tlog/00000000000000000000.bundle");
    let mut bytes = std::fs::read(&bundle).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&bundle, bytes).unwrap();

    let damaged = run(settings(folders[0].path(), 1), addresses[0]).await;
    let error = damaged.consensus.entries(0, 10).await.unwrap_err();
    assert!(
        matches!(&error, ReadError::Storage(why) if why.contains("0.bundle is damaged") && why.contains("move the file away")),
        "{error}"
    );
    damaged.kill().await;

    std::fs::remove_file(&bundle).unwrap();
    let mended = run(settings(folders[0].path(), 1), addresses[0]).await;
    assert_eq!(mended.consensus.holding().missing, 1);
    let _other = run(settings(folders[1].path(), 2), addresses[1]).await;
    eventually("the bundle is here again", || {
        mended.consensus.holding().is_whole().then_some(())
    })
    .await;
    check_entries(&mended.consensus, &history.1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_node_that_holds_the_log_cannot_be_let_go_before_the_others_have_it() {
    let (folders, addresses, _) = two_with_a_history();
    let bundle = |folder: &tempfile::TempDir| folder.path().join("tlog/00000000000000000002.bundle");
    std::fs::remove_file(bundle(&folders[1])).unwrap();
    // The holder cannot give it away yet.
    let whole = std::fs::read(bundle(&folders[0])).unwrap();
    let mut damaged = whole.clone();
    damaged[1000] ^= 1;
    std::fs::write(bundle(&folders[0]), damaged).unwrap();

    let holder = run(settings(folders[0].path(), 1), addresses[0]).await;
    let lacking = run(settings(folders[1].path(), 2), addresses[1]).await;
    let leads = async |node: &Consensus| {
        eventually("there is a leader", || node.leadership().borrow().leader).await == node.node()
    };
    if !leads(&lacking.consensus).await {
        holder.consensus.transfer_leader(2, DEADLINE).await.unwrap();
    }
    let only_itself = BTreeSet::from([2]);
    for refused in [
        lacking.consensus.demote(1, DEADLINE).await,
        lacking.consensus.set_voters(only_itself, DEADLINE).await,
    ] {
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("node 2 lacks 1 of 4 bundles") && refused.contains("wait and ask again"),
            "{refused}"
        );
    }
    assert_eq!(lacking.consensus.membership().borrow().voters.len(), 2);

    // Who cannot be asked counts as one that has nothing.
    let nobody = lacking
        .consensus
        .log_survives_with(&BTreeSet::from([9]), DEADLINE)
        .await;
    assert!(nobody.unwrap_err().contains("node 9 is not a member"));

    std::fs::write(bundle(&folders[0]), whole).unwrap();
    eventually("the bundle is fetched", || {
        lacking.consensus.holding().is_whole().then_some(())
    })
    .await;
    lacking.consensus.demote(1, DEADLINE).await.unwrap();
    assert!(lacking.consensus.membership().borrow().learners.contains_key(&1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_right_after_a_received_snapshot_got_its_name_goes_on_from_it() {
    let mut cluster = Cluster::of(3).await;
    let leader = cluster.leader().await;
    let away = (leader + 1) % 3;
    propose_ups(cluster.at(leader), 0..100).await;
    cluster.kill(away).await;
    for round in 1..90 {
        propose_ups(cluster.at(leader), round * 100..(round + 1) * 100).await;
    }
    let view = cluster.at(leader).view();
    eventually("a newer snapshot is taken", || {
        cluster
            .at(leader)
            .status()
            .snapshot
            .filter(|index| index + 45 > view.raft_index)
    })
    .await;
    // What an installation leaves when it ends there: the Raft log still has what was before.
    let snapshot = newest(&cluster.folder(leader).join("snap"));
    let place = cluster.folder(away).join("snap").join(snapshot.file_name().unwrap());
    std::fs::copy(&snapshot, place).unwrap();
    // Alone, so that nobody sends it anything.
    let others: Vec<usize> = (0..3).filter(|at| *at != away).collect();
    for at in &others {
        cluster.kill(*at).await;
    }
    cluster.start(away).await;
    assert!(cluster.at(away).view().log_size > 4096);
    assert_eq!(cluster.at(away).holding().missing, cluster.at(away).holding().bundles);
    for at in others {
        cluster.start(at).await;
    }
    cluster.leader().await;
    eventually("it has caught up", || {
        (cluster.at(away).view().log_size >= view.log_size).then_some(())
    })
    .await;
    eventually("it holds everything", || {
        cluster.at(away).holding().is_whole().then_some(())
    })
    .await;
    cluster.same_everywhere(away).await;
    assert_eq!(all_entries(cluster.at(away)).await.len() as u64, view.log_size);
}

/// A call to node 1 of the cluster, as node 2 would make it.
fn call<T>(message: T) -> tonic::Request<T> {
    let mut call = tonic::Request::new(message);
    let cluster = CLUSTER.to_string();
    for (key, value) in [("cluster", &cluster[..]), ("group", "0"), ("to", "1"), ("from", "2")] {
        let key = tonic::metadata::MetadataKey::from_bytes(format!("portcullis-{key}").as_bytes()).unwrap();
        call.metadata_mut().insert(key, value.parse().unwrap());
    }
    call
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_breaks_off_or_is_damaged_leaves_nothing_behind_and_the_node_as_it_was() {
    use pb::snapshot_chunk::{Part, Piece, SnapshotStart};
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let at = address();
    let history = history(BUNDLE + 5);
    for folder in &folders {
        write(
            &settings(folder.path(), 1),
            &history,
            BTreeMap::from([(1, Member::new(at.to_string()))]),
        );
    }
    let snapshot = std::fs::read(newest(&folders[1].path().join("snap"))).unwrap();
    let node = run(settings(folders[0].path(), 1), at).await;
    let before = node.consensus.view().root;
    let mut client = RaftClient::new(tcp_connector()(&at.to_string()));

    let mut flipped = snapshot.clone();
    flipped[snapshot.len() / 2] ^= 1;
    for (bytes, why) in [
        (&snapshot[..snapshot.len() / 2], "broke off"),
        (&flipped[..], "is damaged"),
    ] {
        let vote = Some(pb::RaftVote {
            term: 99,
            node: 2,
            committed: true,
        });
        let length = snapshot.len() as u64;
        let piece = Piece {
            crc: crc32fast::hash(bytes),
            data: Bytes::copy_from_slice(bytes),
        };
        let parts = [Part::Start(SnapshotStart { vote, length }), Part::Piece(piece)];
        let chunks = parts.map(|part| pb::SnapshotChunk { part: Some(part) });
        let sent = client.install_snapshot(call(futures::stream::iter(chunks))).await;
        let mut progress = sent.unwrap().into_inner();
        let refused = loop {
            match progress.message().await {
                Ok(Some(message)) => assert!(matches!(
                    message.progress,
                    Some(pb::snapshot_progress::Progress::Received(_))
                )),
                Ok(None) => panic!("no answer"),
                Err(status) => break status,
            }
        };
        assert!(refused.message().contains(why), "{refused}");
        eventually("the file is gone", || {
            (std::fs::read_dir(folders[0].path().join("snap")).unwrap().count() == 1).then_some(())
        })
        .await;
    }
    assert_eq!(node.consensus.view().root, before);
    assert_eq!(node.consensus.status().fatal, None);
}

/// How fast a node starts with a long history, and how fast a new one gets it, with three nodes on one disk:
/// `cargo test --release -p portcullis-consensus --test cluster -- --ignored --nocapture measure`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures; takes a minute and 2 GB of disk"]
async fn measure_start_and_catch_up() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let addresses: Vec<_> = (0..3).map(|_| address()).collect();
    let members = (1..3).map(|id| (id, Member::new(addresses[id as usize - 1].to_string())));
    let members: BTreeMap<u64, Member> = members.collect();
    let history = history(4_000_000);
    for id in 1..3 {
        write(
            &settings(folders[id as usize - 1].path(), id),
            &history,
            members.clone(),
        );
    }
    drop(history);
    let mut nodes = Vec::new();
    for id in 1..3 {
        let begun = Instant::now();
        let at = id as usize - 1;
        nodes.push(run(settings(folders[at].path(), id), addresses[at]).await);
        eprintln!("node {id} opened in {} ms", begun.elapsed().as_millis());
    }
    let first = &nodes[0].consensus;
    let leader = eventually("there is a leader", || first.leadership().borrow().leader).await;
    let leader = &nodes[leader as usize - 1].consensus;
    let joined = run(settings(folders[2].path(), 3), addresses[2]).await;
    let begun = Instant::now();
    let member = Member::new(addresses[2].to_string());
    leader.add_learner(3, member, 4 * DEADLINE).await.unwrap();
    eprintln!("snapshot installed after {} ms", begun.elapsed().as_millis());
    eventually("it holds everything", || {
        let holding = joined.consensus.holding();
        (holding.bundles > 0 && holding.is_whole()).then_some(())
    })
    .await;
    let seconds = begun.elapsed().as_secs_f64();
    let files = std::fs::read_dir(folders[2].path().join("tlog")).unwrap();
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    let megabytes = bytes as f64 / 1e6;
    eprintln!("{megabytes:.0} MB in {seconds:.2} s: {:.0} MB/s", megabytes / seconds);
}

//! A damaged data folder is refused with what is wrong and what to do, or repaired as documented; never served.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt as _;
use portcullis_chaos::account::Account;
use portcullis_chaos::cluster::{Blueprint, Cluster, call, command, deadline};
use portcullis_chaos::damage::{copy, files, flip, flip_middle, forge, newest, places, tear, unfinished_record};
use portcullis_chaos::load::Load;
use portcullis_chaos::oracle::Oracle;
use portcullis_chaos::program::program;
use portcullis_chaos::wait::eventually;
use portcullis_chaos::write::{self, Told, equipment};
use portcullis_proto::v1 as pb;
use portcullis_proto::v1::log_service_client::LogServiceClient;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

const WITHIN: Duration = Duration::from_secs(30);
/// A start that fails needs no longer, also on a busy machine.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);
/// Enough for several snapshots and a bundle of 4096 entries: each write is announced and profiled.
const WRITES: u64 = 2200;
/// Writes under way at the same time.
const AT_ONCE: usize = 128;
/// The node that is hurt.
const VICTIM: u64 = 3;

/// A folder that must be refused.
struct Refused {
    name: &'static str,
    harm: fn(&Path),
    /// What the message says, beside the folder.
    says: &'static [&'static str],
}

const REFUSED: &[Refused] = &[
    Refused {
        name: "a bit in the middle of the log is flipped",
        harm: |data| {
            let places = places(&data.join("raft"), equipment(WRITES / 2).as_bytes()).unwrap();
            assert!(!places.is_empty(), "the write is in the log");
            places.iter().for_each(|(file, at)| flip(file, *at).unwrap());
        },
        says: &["/raft/", ".log at offset", "damaged", "new one with a new id"],
    },
    Refused {
        name: "the end of a log that was closed is missing",
        harm: |data| tear(&newest(&data.join("raft")).unwrap()).unwrap(),
        says: &["/raft/", ".log at offset", "damaged", "new one with a new id"],
    },
    Refused {
        name: "a segment of the log is cut short",
        harm: |data| cut_in_half(&newest(&data.join("raft")).unwrap()),
        says: &[
            "/raft/",
            ".log at offset",
            "the file ends here",
            "new one with a new id",
        ],
    },
    Refused {
        name: "the log is gone",
        harm: |data| {
            let segments = files(&data.join("raft")).unwrap();
            segments.iter().for_each(|file| fs::remove_file(file).unwrap());
        },
        says: &["/raft", "damaged", "votes that it has cast", "new one with a new id"],
    },
    Refused {
        name: "every segment of the log is empty",
        harm: |data| {
            let segments = files(&data.join("raft")).unwrap();
            segments.iter().for_each(|file| fs::write(file, b"").unwrap());
        },
        says: &["/raft", "damaged", "votes that it has cast", "new one with a new id"],
    },
    Refused {
        name: "a file of somebody else is in the log",
        harm: |data| fs::write(data.join("raft/notes.txt"), b"call the supplier").unwrap(),
        says: &["/raft/notes.txt", "no file of this log", "move it away"],
    },
    Refused {
        name: "the folder belongs to another cluster",
        harm: |data| edit_meta(data, "cluster ", "cluster ffeeddccbbaa99887766554433221100"),
        says: &[
            "belongs to cluster ffeeddccbbaa99887766554433221100",
            "correct the cluster id",
        ],
    },
    Refused {
        name: "the folder belongs to another node",
        harm: |data| edit_meta(data, "node ", "node 7"),
        says: &["belongs to node 7", "configured as node 3", "correct the node id"],
    },
    Refused {
        name: "the folder is of a newer version",
        harm: |data| edit_meta(data, "portcullis-node ", "portcullis-node 99"),
        says: &["has format 99", "start the newer version"],
    },
    Refused {
        name: "the folder does not say whose it is",
        harm: |data| fs::remove_file(data.join("meta/node")).unwrap(),
        says: &["no meta/node", "put the file back", "new one with a new id"],
    },
    Refused {
        name: "whose the folder is cannot be read",
        harm: |data| cut_in_half(&data.join("meta/node")),
        says: &["/meta/node is damaged", "put the file back from a copy"],
    },
    Refused {
        name: "which life of the folder it is cannot be read",
        harm: |data| cut_in_half(&data.join("meta/incarnation")),
        says: &["/meta/incarnation", "32 hex digits", "from a copy", "join as a new one"],
    },
];

fn cut_in_half(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn edit_meta(data: &Path, key: &str, line: &str) {
    let path = data.join("meta/node");
    let text = fs::read_to_string(&path).unwrap();
    let lines = text.lines().map(|old| if old.starts_with(key) { line } else { old });
    fs::write(&path, lines.collect::<Vec<_>>().join("\n") + "\n").unwrap();
}

/// Starts the victim on another folder; it must end by itself, with an error that has these phrases.
async fn refused(cluster: &Cluster, data: &Path, set: &[String], says: &[&str]) {
    let node = &cluster.nodes[&VICTIM];
    let mut command = command(program().unwrap());
    command.args(["node", "run", "--config"]).arg(&node.config);
    for set in set.iter().chain([&format!("node.data_dir={}", data.display())]) {
        command.args(["--set", set]);
    }
    let Output { status, stderr, .. } = tokio::time::timeout(REFUSED_WITHIN, command.output())
        .await
        .unwrap_or_else(|_| panic!("a node runs on {}", data.display()))
        .unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(status.code().is_some_and(|code| code != 0), "{status}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    assert_says(&stderr, &[data.to_str().unwrap()]);
    assert_says(&stderr, says);
}

fn assert_says(said: &str, phrases: &[&str]) {
    for phrase in phrases {
        assert!(said.contains(phrase), "{phrase:?} is missing in:\n{said}");
    }
}

/// The victim runs on its folder again and agrees with the others.
async fn agrees_again(cluster: &mut Cluster, what: &str) -> pb::GetHeadResponse {
    cluster.node(VICTIM).start().unwrap();
    let agreed = cluster.agree(WITHIN).await;
    agreed.unwrap_or_else(|error| panic!("{what}: {error:#}"))
}

/// The victim runs on its folder again, agrees with the others, and serves what was acknowledged.
async fn serves_again(cluster: &mut Cluster, load: &Load, what: &str) {
    let head = agrees_again(cluster, what).await;
    let mut oracle = Oracle::default();
    oracle.follow(&cluster.nodes[&VICTIM].channel, &head).await.unwrap();
    assert_eq!(oracle.judge(&load.account()), [], "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_folder_is_refused_with_a_remedy_or_repaired_and_never_served() {
    let place = tempfile::tempdir().unwrap();
    let blueprint = Blueprint {
        set: vec!["raft.snapshot_every=50".to_owned()],
        ..Blueprint::new(program().unwrap(), place.path())
    };
    let mut cluster = Cluster::start(&blueprint, WITHIN).await.unwrap();
    let account = Account::open(&place.path().join("account.jsonl")).unwrap();
    let load = Load::new(
        cluster.nodes.values().map(|node| node.channel.clone()).collect(),
        account,
    );
    fill(&cluster, &load).await;
    // Of the two that are on disk after the first round, the older one may have been begun before it.
    settle(&mut cluster, &load).await;
    settle(&mut cluster, &load).await;

    let data = cluster.nodes[&VICTIM].data.clone();
    cluster.node(VICTIM).stop().await;
    for case in REFUSED {
        let folder = place.path().join(case.name.replace(' ', "-"));
        copy(&data, &folder).unwrap();
        (case.harm)(&folder);
        refused(&cluster, &folder, &[], case.says).await;
        // Trying again changes nothing.
        refused(&cluster, &folder, &[], case.says).await;
        fs::remove_dir_all(&folder).unwrap();
    }
    a_damaged_or_foreign_snapshot_that_nothing_replaces_is_refused(&cluster, &data, place.path()).await;
    a_locked_folder_is_refused(&cluster, &data).await;
    a_read_only_folder_is_refused(&cluster, &data, place.path()).await;

    // Three kinds of damage that are repaired, all of them at once.
    unfinished_record(&newest(&data.join("raft")).unwrap()).unwrap();
    for file in files(&data.join("sled")).unwrap() {
        fs::write(&file, b"this is no index").unwrap();
    }
    flip_middle(files(&data.join("snap")).unwrap().last().unwrap()).unwrap();
    let before = cluster.nodes[&VICTIM].said().len();
    serves_again(&mut cluster, &load, "log, index and snapshot are repaired").await;
    let said = &cluster.nodes[&VICTIM].said()[before..];
    assert_says(
        said,
        &[
            "cut off writes of the Raft log that a crash left unfinished",
            "moved aside and is being rebuilt from the decision log",
            "a snapshot is damaged and is set aside",
        ],
    );

    a_damaged_bundle_is_never_served_and_fetched_again_once_it_is_moved_away(&mut cluster, &load, &data).await;
    a_full_disk_ends_the_node_and_room_heals_it(&mut cluster, &load, &data, place.path()).await;
    // The last one: no folder comes back from that.
    a_replica_that_differs_stops_itself(&mut cluster, &load, &data).await;
    cluster.stop().await;
}

/// Acknowledged writes, by many clients.
async fn fill(cluster: &Cluster, load: &Load) {
    let serials: Vec<u64> = (0..WRITES).map(|_| load.account().reserve().unwrap()).collect();
    let node = cluster.nodes[&1].channel.clone();
    let mut answers = futures::stream::iter(serials)
        .map(|serial| {
            let node = node.clone();
            async move { (serial, write::send(node, serial).await) }
        })
        .buffer_unordered(AT_ONCE);
    while let Some((serial, told)) = answers.next().await {
        load.account().record(serial, told).unwrap();
    }
}

/// Goes on until both snapshots that the victim keeps were finished after this began. Done twice, both were also begun after
/// the first call, and hold all that was there then: whichever the victim starts from, it reads the bundle from its file.
async fn settle(cluster: &mut Cluster, load: &Load) {
    cluster.agree(WITHIN).await.unwrap();
    let moment = SystemTime::now();
    let node = &cluster.nodes[&VICTIM];
    eventually("the victim has taken two snapshots", WITHIN, async || {
        for _ in 0..8 {
            let serial = load.account().reserve().unwrap();
            let told = write::send(node.channel.clone(), serial).await;
            load.account().record(serial, told).unwrap();
        }
        let snapshots = files(&node.data.join("snap")).map_err(|error| error.to_string())?;
        let later = |path: &PathBuf| fs::metadata(path).is_ok_and(|meta| meta.modified().is_ok_and(|at| at > moment));
        let whole = snapshots
            .iter()
            .filter(|path| path.extension().is_some_and(|ending| ending == "snap"));
        match whole.filter(|path| later(path)).count() {
            2 => Ok(()),
            _ => Err(format!("{snapshots:?}")),
        }
    })
    .await
    .unwrap();
    cluster.agree(WITHIN).await.unwrap();
}

/// A restored folder has no Raft log that would lead to its snapshot.
async fn a_damaged_or_foreign_snapshot_that_nothing_replaces_is_refused(cluster: &Cluster, data: &Path, place: &Path) {
    const CLUSTER: &str = "00112233445566778899aabbccddeeff";
    let [stopped, backup, restored] = ["stopped", "backup", "restored"].map(|name| place.join(name));
    copy(data, &stopped).unwrap();
    let portcullis = async |args: &[&str]| {
        let output = command(program().unwrap()).args(args).output().await.unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    let [stopped_, backup_, restored_] = [&stopped, &backup, &restored].map(|path| path.to_str().unwrap());
    portcullis(&["cluster", "backup", "--data-dir", stopped_, "--to", backup_]).await;
    let address = cluster.nodes[&VICTIM].address.to_string();
    let victim = VICTIM.to_string();
    let restore = ["cluster", "restore", "--from", backup_, "--data-dir", restored_];
    let identity = ["--node-id", &victim, "--address", &address, "--cluster-id", CLUSTER];
    portcullis(&[restore, identity].concat()).await;

    let snapshot = files(&restored.join("snap")).unwrap().remove(0);
    fs::copy(&snapshot, stopped.join("snap").join("99999999999999999999.snap")).unwrap();
    let foreign = format!("belongs to cluster {CLUSTER}");
    refused(cluster, &stopped, &[], &["/snap/9999", &foreign, "move it away"]).await;

    flip_middle(&snapshot).unwrap();
    let ours = [format!("cluster.id={CLUSTER}")];
    let says = [snapshot.to_str().unwrap(), "is damaged", "restore it again"];
    refused(cluster, &restored, &ours, &says).await;
    assert!(snapshot.exists(), "what can be looked into stays where it is");
}

/// What is answered from the bundle is what the others answer, and what cannot be answered says why and what to do.
async fn a_damaged_bundle_is_never_served_and_fetched_again_once_it_is_moved_away(
    cluster: &mut Cluster,
    load: &Load,
    data: &Path,
) {
    const LEAVES: u64 = 4096;
    const PAGE: usize = 256;
    cluster.node(VICTIM).stop().await;
    let bundle = files(&data.join("tlog")).unwrap().swap_remove(0);
    flip_middle(&bundle).unwrap();
    agrees_again(cluster, "the bundle is damaged").await;
    let read = async |cluster: &Cluster, node: u64, entry: u64| {
        let mut log = LogServiceClient::new(cluster.nodes[&node].channel.clone());
        let answer = call(log.get_entry(deadline(pb::GetEntryRequest { entry }, WITHIN))).await;
        answer.map(|answer| answer.leaf)
    };
    let mut refused = 0;
    for entry in (0..LEAVES).step_by(PAGE) {
        match read(cluster, VICTIM, entry).await {
            Ok(leaf) => assert_eq!(leaf, read(cluster, 1, entry).await.unwrap(), "entry {entry}"),
            Err(why) => {
                assert_says(&why, &[bundle.to_str().unwrap(), "is damaged", "move the file away"]);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 1, "one page is damaged, the others are right");
    cluster.node(VICTIM).stop().await;
    fs::remove_file(&bundle).unwrap();
    serves_again(cluster, load, "the bundle is fetched").await;
    assert!(bundle.exists());
}

/// What a disk cannot do and a person can: another container in a committed entry, with all checksums in order.
async fn a_replica_that_differs_stops_itself(cluster: &mut Cluster, load: &Load, data: &Path) {
    let serial = write_behind_the_snapshots(cluster, load, data).await;
    for (segment, at) in places(&data.join("raft"), equipment(serial).as_bytes()).unwrap() {
        forge(&segment, at, b'X').unwrap();
    }
    // It remembers the root of the log before the last stop, and would see by itself that this is another one.
    fs::remove_dir_all(data.join("sled")).unwrap();
    cluster.node(VICTIM).start().unwrap();
    let status = cluster.node(VICTIM).ends(WITHIN).await.unwrap();
    let said = cluster.nodes[&VICTIM].last_words();
    assert!(status.code().is_some_and(|code| code != 0), "{status}: {said}");
    assert_says(
        &said,
        &[
            "the node has to stop",
            "differs from that of the majority",
            "keep its data folder for the auditors",
            "new one with a new id",
        ],
    );
}

/// A write that the victim, which is stopped then, has in its Raft log only.
async fn write_behind_the_snapshots(cluster: &mut Cluster, load: &Load, data: &Path) -> u64 {
    loop {
        let serial = load.account().reserve().unwrap();
        let told = write::send(cluster.nodes[&1].channel.clone(), serial).await;
        assert!(matches!(told, Told::Applied(_)), "{told:?}");
        load.account().record(serial, told).unwrap();
        cluster.agree(WITHIN).await.unwrap();
        cluster.node(VICTIM).stop().await;
        if places(&data.join("snap"), equipment(serial).as_bytes())
            .unwrap()
            .is_empty()
        {
            return serial;
        }
        cluster.node(VICTIM).start().unwrap();
    }
}

async fn a_locked_folder_is_refused(cluster: &Cluster, data: &Path) {
    let lock = fs::File::open(data.join("LOCK")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    refused(cluster, data, &[], &["in use by another process", "stop that process"]).await;
}

/// A file system in memory, of so many bytes at most. Unmounted when dropped.
struct Memory(PathBuf);

impl Memory {
    fn new(folder: PathBuf, bytes: u64) -> Option<Self> {
        fs::create_dir_all(&folder).unwrap();
        let size = CString::new(format!("size={bytes}")).unwrap();
        match mount(
            "portcullis-chaos",
            &folder,
            "tmpfs",
            MountFlags::empty(),
            size.as_c_str(),
        ) {
            Ok(()) => Some(Self(folder)),
            Err(error) => {
                eprintln!("skipped: read-only and full disks need root: mounting a tmpfs: {error}");
                None
            }
        }
    }

    fn change(&self, flags: MountFlags, bytes: u64) {
        let size = CString::new(format!("size={bytes}")).unwrap();
        mount_remount(&self.0, flags, size.as_c_str()).unwrap();
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

async fn a_read_only_folder_is_refused(cluster: &Cluster, data: &Path, place: &Path) {
    const SIZE: u64 = 1 << 30;
    let Some(memory) = Memory::new(place.join("read-only"), SIZE) else {
        return;
    };
    let folder = memory.0.join("data");
    copy(data, &folder).unwrap();
    memory.change(MountFlags::RDONLY, SIZE);
    refused(cluster, &folder, &[], &["Read-only file system", "mount it writable"]).await;
}

async fn a_full_disk_ends_the_node_and_room_heals_it(cluster: &mut Cluster, load: &Load, data: &Path, place: &Path) {
    cluster.node(VICTIM).stop().await;
    let used: u64 = files(data)
        .unwrap()
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    let Some(memory) = Memory::new(place.join("small"), 2 * used + (64 << 20)) else {
        cluster.node(VICTIM).start().unwrap();
        return;
    };
    let folder = memory.0.join("data");
    copy(data, &folder).unwrap();
    cluster.node(VICTIM).set_data(&folder);
    cluster.node(VICTIM).start().unwrap();
    cluster.agree(WITHIN).await.unwrap();
    // Something else takes all the room that is left.
    {
        let mut ballast = fs::File::create(memory.0.join("ballast")).unwrap();
        let filled = std::io::copy(&mut std::io::repeat(1), &mut ballast);
        assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    }

    load.go();
    let status = cluster.node(VICTIM).ends(WITHIN).await.unwrap();
    let full = Instant::now();
    load.applied_after(full, WITHIN).await.unwrap();
    load.pause().await.unwrap();
    let said = cluster.nodes[&VICTIM].last_words();
    assert!(status.code().is_some_and(|code| code != 0), "{status}: {said}");
    assert_says(
        &said,
        &["No space left on device", "free space", folder.to_str().unwrap()],
    );

    fs::remove_file(memory.0.join("ballast")).unwrap();
    serves_again(cluster, load, "the disk was full").await;
    // Its disk is taken away.
    cluster.node(VICTIM).stop().await;
    fs::remove_dir_all(data).unwrap();
    copy(&folder, data).unwrap();
    cluster.node(VICTIM).set_data(data);
    cluster.node(VICTIM).start().unwrap();
}

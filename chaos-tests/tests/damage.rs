//! A damaged data folder is refused with what is wrong and what to do, or repaired as documented; never served.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use portcullis_chaos::account::Account;
use portcullis_chaos::cluster::{Blueprint, Cluster, command};
use portcullis_chaos::damage::{copy, files, flip_middle, fullest, newest, tear};
use portcullis_chaos::load::Load;
use portcullis_chaos::oracle::Oracle;
use portcullis_chaos::program::program;
use portcullis_chaos::write;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

const WITHIN: Duration = Duration::from_secs(30);
/// A start that fails needs no longer, also on a busy machine.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);
/// Enough for several snapshots and bundles.
const WRITES: u64 = 600;
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
        name: "a bit of the log is flipped in the middle",
        harm: |data| flip_middle(&fullest(&data.join("raft")).unwrap()).unwrap(),
        says: &["/raft", "damaged", "new one with a new id"],
    },
    Refused {
        name: "a bit of every snapshot is flipped",
        harm: |data| {
            let snapshots = files(&data.join("snap")).unwrap();
            assert!(!snapshots.is_empty());
            snapshots.iter().for_each(|file| flip_middle(file).unwrap());
        },
        says: &["/snap/", "damaged", "new one with a new id"],
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
        name: "the folder does not say whose it is",
        harm: |data| fs::remove_file(data.join("meta/node")).unwrap(),
        says: &[
            "no meta/node",
            "restore it whole from a backup",
            "new one with a new id",
        ],
    },
];

fn edit_meta(data: &Path, key: &str, line: &str) {
    let path = data.join("meta/node");
    let text = fs::read_to_string(&path).unwrap();
    let lines = text.lines().map(|old| if old.starts_with(key) { line } else { old });
    fs::write(&path, lines.collect::<Vec<_>>().join("\n") + "\n").unwrap();
}

/// Starts the victim on another folder; it must end by itself, with an error.
async fn refused(cluster: &Cluster, data: &Path) -> String {
    let node = &cluster.nodes[&VICTIM];
    let Output { status, stderr, .. } = tokio::time::timeout(
        REFUSED_WITHIN,
        command(program().unwrap())
            .args(["node", "run", "--config"])
            .arg(&node.config)
            .args(["--set", &format!("node.data_dir={}", data.display())])
            .output(),
    )
    .await
    .unwrap_or_else(|_| panic!("a node runs on {}", data.display()))
    .unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(status.code().is_some_and(|code| code != 0), "{status}: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

/// The victim runs on its folder again, agrees with the others, and serves what was acknowledged.
async fn serves_again(cluster: &mut Cluster, load: &Load, what: &str) {
    cluster.node(VICTIM).start().unwrap();
    let head = cluster
        .agree(WITHIN)
        .await
        .unwrap_or_else(|error| panic!("{what}: {error:#}"));
    let mut oracle = Oracle::default();
    oracle.follow(&cluster.nodes[&VICTIM].channel, &head).await.unwrap();
    assert_eq!(oracle.judge(&load.account()), [], "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_folder_is_refused_with_a_remedy_or_repaired_and_never_served() {
    let place = tempfile::tempdir().unwrap();
    let blueprint = Blueprint {
        program: program().unwrap().to_owned(),
        dir: place.path().to_owned(),
        nodes: 3,
        power: false,
        set: vec!["raft.snapshot_every=100".to_owned()],
    };
    let mut cluster = Cluster::start(&blueprint, WITHIN).await.unwrap();
    let account = Account::open(&place.path().join("account.jsonl")).unwrap();
    let load = Load::new(
        cluster.nodes.values().map(|node| node.channel.clone()).collect(),
        account,
    );
    fill(&cluster, &load).await;

    let data = cluster.nodes[&VICTIM].data.clone();
    cluster.node(VICTIM).stop().await;
    for case in REFUSED {
        let folder = place.path().join(case.name.replace(' ', "-"));
        copy(&data, &folder).unwrap();
        (case.harm)(&folder);
        let said = refused(&cluster, &folder).await;
        for phrase in [folder.to_str().unwrap()].iter().chain(case.says) {
            assert!(
                said.contains(phrase),
                "{}: {phrase:?} is missing in:\n{said}",
                case.name
            );
        }
    }
    a_locked_folder_is_refused(&cluster, &data).await;
    a_read_only_folder_is_refused(&cluster, &data, place.path()).await;

    tear(&newest(&data.join("raft")).unwrap()).unwrap();
    serves_again(&mut cluster, &load, "the tail of the log is torn").await;

    cluster.node(VICTIM).stop().await;
    for file in files(&data.join("sled")).unwrap() {
        fs::write(&file, b"this is no index").unwrap();
    }
    serves_again(&mut cluster, &load, "the indexes are damaged").await;

    cluster.node(VICTIM).stop().await;
    a_full_disk_ends_the_node_and_room_heals_it(&mut cluster, &load, &data, place.path()).await;
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
        .buffer_unordered(8);
    while let Some((serial, told)) = answers.next().await {
        load.account().record(serial, told).unwrap();
    }
}

async fn a_locked_folder_is_refused(cluster: &Cluster, data: &Path) {
    let lock = fs::File::open(data.join("LOCK")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let said = refused(cluster, data).await;
    for phrase in [data.to_str().unwrap(), "in use by another process", "stop that process"] {
        assert!(said.contains(phrase), "{phrase:?} is missing in:\n{said}");
    }
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
    let said = refused(cluster, &folder).await;
    for phrase in [folder.to_str().unwrap(), "Read-only file system"] {
        assert!(said.contains(phrase), "{phrase:?} is missing in:\n{said}");
    }
}

async fn a_full_disk_ends_the_node_and_room_heals_it(cluster: &mut Cluster, load: &Load, data: &Path, place: &Path) {
    let used: u64 = files(data)
        .unwrap()
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    let Some(memory) = Memory::new(place.join("small"), 2 * used + (64 << 20)) else {
        return;
    };
    let folder = memory.0.join("data");
    copy(data, &folder).unwrap();
    cluster.node(VICTIM).set_data(&folder);
    cluster.node(VICTIM).start().unwrap();
    cluster.agree(WITHIN).await.unwrap();
    // Something else takes all the room that is left.
    let mut ballast = fs::File::create(memory.0.join("ballast")).unwrap();
    assert!(
        std::io::copy(&mut std::io::repeat(1), &mut ballast).is_err(),
        "the disk is full"
    );

    load.go();
    let status = cluster.node(VICTIM).ends(WITHIN).await.unwrap();
    let full = Instant::now();
    load.applied_after(full, WITHIN).await.unwrap();
    load.pause().await.unwrap();
    let said = cluster.nodes[&VICTIM].last_words();
    assert!(status.code().is_some_and(|code| code != 0), "{status}: {said}");
    assert!(
        said.contains("No space left on device") && said.contains(folder.to_str().unwrap()),
        "{said}"
    );

    fs::remove_file(memory.0.join("ballast")).unwrap();
    serves_again(cluster, load, "the disk was full").await;
    // Before its disk is taken away.
    cluster.node(VICTIM).stop().await;
}

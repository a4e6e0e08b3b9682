//! The folder of a node: who it belongs to, and that only one process uses it.
//!
//! ```text
//! meta/node   text: format version, cluster id, node id; written once
//! meta/incarnation   which life of the folder this is; written once
//! meta/raft   there is a Raft log; written once it is durable, so that a log which is lost is missed
//! LOCK        locked as long as the process runs
//! raft/       log and vote: <number>.log, and <number>.spare to be used again
//! snap/       <index>.snap
//! tlog/       <number>.bundle, the decision log
//! blobs/      raw readings: <number>.pack, and <number>.table of where they are in it
//! sled/       indexes, rebuildable; beside it sled.rebuild when the next start has to make them again
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, Lock, TEMPORARY};
use crate::incarnation;
use crate::ledger::{ClusterId, Incarnation, NodeId};
use crate::remedy::remedy;

/// Version of the layout of the folder and of the files in it.
pub const FORMAT: u32 = 3;
/// File in `meta` that says that the Raft log was begun.
const LOG_BEGUN: &str = "raft";

/// Why a folder is refused.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Another process uses the folder.
    #[error(
        "{folder} is in use by another process (it holds the lock on {folder}/LOCK); stop that process or choose another \
         data folder"
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder belongs to another cluster.
    #[error(
        "{folder} belongs to cluster {found}, but this node is configured for cluster {wanted}; correct the cluster id in \
         the configuration or choose another data folder"
    )]
    ForeignCluster {
        /// The folder.
        folder: PathBuf,
        /// Cluster id in `meta/node`.
        found: ClusterId,
        /// Cluster id in the configuration.
        wanted: ClusterId,
    },
    /// The folder belongs to another node.
    #[error(
        "{folder} belongs to node {found}, but this node is configured as node {wanted}; correct the node id in the \
         configuration or choose another data folder (a node id is never given to another folder)"
    )]
    ForeignNode {
        /// The folder.
        folder: PathBuf,
        /// Node id in `meta/node`.
        found: u64,
        /// Node id in the configuration.
        wanted: u64,
    },
    /// The folder was written by a newer version of the program.
    #[error(
        "{folder} has format {found}, this program reads format {FORMAT} only; start the newer version of the program \
         that wrote it"
    )]
    NewerFormat {
        /// The folder.
        folder: PathBuf,
        /// Format in `meta/node`.
        found: u32,
    },
    /// The folder was written by an older version of the program, in a layout that this one does not read.
    #[error(
        "{folder} has format {found}, this program reads format {FORMAT} only; start the version of the program that wrote \
         it, or choose another data folder"
    )]
    OlderFormat {
        /// The folder.
        folder: PathBuf,
        /// Format in `meta/node`.
        found: u32,
    },
    /// The meta file cannot be understood.
    #[error(
        "{file} is damaged: {why}; if the rest of the folder is whole, put the file back from a copy, otherwise remove this \
         node from the cluster and add a new one with a new id"
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The folder has data but no meta file.
    #[error(
        "{folder} holds a Raft log but no meta/node; the folder is incomplete: put the file back if you have it, or remove \
         this node from the cluster and add a new one with a new id; an older copy of the whole folder has forgotten entries \
         and votes"
    )]
    NoMeta {
        /// The folder.
        folder: PathBuf,
    },
    /// The file system failed.
    #[error("cannot {doing} {path}: {source}; {}", remedy(source))]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// An opened folder. The lock is released when it is dropped.
#[derive(Debug)]
pub(crate) struct Home {
    folder: PathBuf,
    incarnation: Incarnation,
    /// Has this folder ever had a Raft log?
    log_begun: bool,
    _lock: Lock,
}

impl Home {
    /// Locks the folder, checks whose it is and makes the sub-folders. An empty folder is claimed.
    pub(crate) fn open(disk: &Arc<dyn Disk>, folder: &Path, cluster: ClusterId, node: u64) -> Result<Self, HomeError> {
        let io = |doing, path: &Path| {
            let path = path.to_owned();
            move |source| HomeError::Io { doing, path, source }
        };
        let existed = disk.exists(folder);
        disk.create_dir_all(folder)
            .map_err(io("make the data folder", folder))?;
        // Its name has to be durable too. A parent that this user may not read holds a folder that somebody else made.
        let parent = match folder.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            None => folder,
        };
        match disk.sync_dir(parent) {
            Err(error) if existed && error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced.map_err(io("sync", parent))?,
        }
        let lock = lock(disk, folder)?;

        let meta = folder.join("meta");
        let file = meta.join("node");
        if disk.exists(&file) {
            let bytes = disk.read(&file).map_err(io("read", &file))?;
            check(folder, &file, &bytes, cluster, node)?;
        } else {
            let raft = folder.join("raft");
            if disk.exists(&raft) && !disk.list(&raft).map_err(io("list", &raft))?.is_empty() {
                return Err(HomeError::NoMeta {
                    folder: folder.to_owned(),
                });
            }
            disk.create_dir_all(&meta).map_err(io("create", &meta))?;
            let text = format!("portcullis-node {FORMAT}\ncluster {cluster}\nnode {node}\n");
            disk.publish(&file, text.as_bytes()).map_err(io("write", &file))?;
        }
        let incarnation = incarnation::path(&meta);
        let incarnation = incarnation::read_or_make(disk, &meta).map_err(io("read", &incarnation))?;
        for name in ["meta", "raft", "snap", "tlog", "blobs"] {
            let path = folder.join(name);
            disk.create_dir_all(&path).map_err(io("create", &path))?;
            clean(disk, &path)?;
        }
        disk.sync_dir(folder).map_err(io("sync", folder))?;
        Ok(Home {
            log_begun: disk.exists(&meta.join(LOG_BEGUN)),
            folder: folder.to_owned(),
            incarnation,
            _lock: lock,
        })
    }

    /// Has this folder a Raft log, or had it one that is gone?
    pub(crate) fn log_begun(&self) -> bool {
        self.log_begun
    }

    /// Notes durably that there is a Raft log now. From here on a folder without one has lost the node's votes.
    pub(crate) fn note_log_begun(&self, disk: &Arc<dyn Disk>) -> Result<(), HomeError> {
        if self.log_begun {
            return Ok(());
        }
        let note = self.folder.join("meta").join(LOG_BEGUN);
        disk.publish(&note, b"begun\n").map_err(|source| HomeError::Io {
            doing: "write",
            path: note,
            source,
        })
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub(crate) fn raft(&self) -> PathBuf {
        self.folder.join("raft")
    }

    pub(crate) fn snapshots(&self) -> PathBuf {
        self.folder.join("snap")
    }

    pub(crate) fn bundles(&self) -> PathBuf {
        self.folder.join("tlog")
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.folder.join("blobs")
    }

    pub(crate) fn sled(&self) -> PathBuf {
        self.folder.join("sled")
    }
}

/// The cluster and the node that a folder belongs to, if it belongs to one. Does not lock the folder.
pub fn owner_of(disk: &dyn Disk, folder: &Path) -> Option<(ClusterId, NodeId)> {
    let text = disk.read(&folder.join("meta").join("node")).ok()?;
    let text = std::str::from_utf8(&text).ok()?;
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
    Some((value("cluster ")?.parse().ok()?, NodeId(value("node ")?.parse().ok()?)))
}

/// Removes what a crash left half written.
fn clean(disk: &Arc<dyn Disk>, folder: &Path) -> Result<(), HomeError> {
    let failed = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| HomeError::Io { doing, path, source }
    };
    for name in disk.list(folder).map_err(failed("list", folder))? {
        if name.ends_with(TEMPORARY) {
            let path = folder.join(name);
            disk.remove(&path).map_err(failed("remove", &path))?;
        }
    }
    Ok(())
}

fn lock(disk: &Arc<dyn Disk>, folder: &Path) -> Result<Lock, HomeError> {
    let path = folder.join("LOCK");
    disk.lock(&path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => HomeError::Locked {
            folder: folder.to_owned(),
        },
        _ => HomeError::Io {
            doing: "lock",
            path,
            source,
        },
    })
}

fn check(folder: &Path, file: &Path, bytes: &[u8], cluster: ClusterId, node: u64) -> Result<(), HomeError> {
    let damaged = |why: &str| HomeError::Damaged {
        file: file.to_owned(),
        why: why.to_owned(),
    };
    let text = std::str::from_utf8(bytes).map_err(|_| damaged("it is not text"))?;
    let mut lines = text.lines();
    let mut field = |name: &str| {
        lines
            .next()
            .and_then(|line| line.strip_prefix(name))
            .and_then(|rest| rest.strip_prefix(' '))
            .ok_or_else(|| damaged(&format!("the line \"{name} ...\" is missing")))
    };
    let format: u32 = field("portcullis-node")?
        .parse()
        .map_err(|_| damaged("the format is not a number"))?;
    if format > FORMAT {
        return Err(HomeError::NewerFormat {
            folder: folder.to_owned(),
            found: format,
        });
    }
    if format < FORMAT {
        return Err(HomeError::OlderFormat {
            folder: folder.to_owned(),
            found: format,
        });
    }
    let found: ClusterId = field("cluster")?
        .parse()
        .map_err(|_| damaged("the cluster id is not 32 hex digits"))?;
    if found != cluster {
        return Err(HomeError::ForeignCluster {
            folder: folder.to_owned(),
            found,
            wanted: cluster,
        });
    }
    let found: u64 = field("node")?
        .parse()
        .map_err(|_| damaged("the node id is not a number"))?;
    if found != node {
        return Err(HomeError::ForeignNode {
            folder: folder.to_owned(),
            found,
            wanted: node,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::StdDisk;
    use crate::faulty::{FaultyDisk, Operation};

    const OURS: ClusterId = ClusterId([7; 16]);

    fn open(folder: &Path, cluster: ClusterId, node: u64) -> Result<Home, HomeError> {
        let disk: Arc<dyn Disk> = Arc::new(StdDisk);
        Home::open(&disk, folder, cluster, node)
    }

    #[test]
    fn a_folder_opens_again_for_the_same_node_only() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path(), OURS, 1).unwrap());
        drop(open(folder.path(), OURS, 1).unwrap());

        let error = open(folder.path(), ClusterId([8; 16]), 1).unwrap_err();
        assert!(matches!(error, HomeError::ForeignCluster { .. }));
        assert!(error.to_string().contains(&OURS.to_string()), "{error}");

        let error = open(folder.path(), OURS, 2).unwrap_err();
        assert!(matches!(
            error,
            HomeError::ForeignNode {
                found: 1,
                wanted: 2,
                ..
            }
        ));
    }

    #[test]
    fn a_folder_that_cannot_be_made_or_written_says_why_and_what_to_do() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("file");
        std::fs::write(&file, b"x").unwrap();
        for folder in [file.clone(), file.join("below")] {
            let error = open(&folder, OURS, 1).unwrap_err().to_string();
            assert!(
                error.contains(folder.to_str().unwrap()) && error.contains("choose another data folder"),
                "{error}"
            );
        }
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull};
        for (operation, kind, advice) in [
            (Operation::MakeFolder, ReadOnlyFilesystem, "mount it writable"),
            (Operation::MakeFolder, PermissionDenied, "owner and permissions"),
            (Operation::MakeFolder, StorageFull, "free space"),
            (Operation::Write, StorageFull, "free space"),
            (Operation::List, PermissionDenied, "owner and permissions"),
        ] {
            let disk: Arc<dyn Disk> = Arc::new(FaultyDisk(operation, kind));
            let folder = place.path().join(format!("{operation:?}-{kind}"));
            let error = Home::open(&disk, &folder, OURS, 1).unwrap_err().to_string();
            assert!(
                error.contains(folder.to_str().unwrap()) && error.contains(advice),
                "{operation:?}: {error}"
            );
        }
    }

    #[test]
    fn the_owner_of_a_folder_is_known_while_it_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(owner_of(&StdDisk, folder.path()), None);
        let _open = open(folder.path(), OURS, 1).unwrap();
        assert_eq!(owner_of(&StdDisk, folder.path()), Some((OURS, NodeId(1))));
    }

    #[test]
    fn what_a_crash_left_half_written_is_removed_also_among_the_blobs() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path(), OURS, 1).unwrap());
        let files = ["tlog/1.bundle.3.tmp", "snap/incoming-0.tmp", "blobs/1.table.9.tmp"];
        let files = files.map(|file| folder.path().join(file));
        for file in &files {
            std::fs::write(file, b"half").unwrap();
        }
        drop(open(folder.path(), OURS, 1).unwrap());
        assert!(files.iter().all(|file| !file.exists()));
    }

    #[test]
    fn a_second_user_of_the_folder_is_refused_and_told_why() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path(), OURS, 1).unwrap();
        let error = open(folder.path(), OURS, 1).unwrap_err();
        assert!(matches!(error, HomeError::Locked { .. }));
        assert!(error.to_string().contains("in use by another process"));
        drop(first);
        open(folder.path(), OURS, 1).unwrap();
    }

    #[test]
    fn another_format_and_a_damaged_meta_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path(), OURS, 1).unwrap());
        let file = folder.path().join("meta/node");
        let text = std::fs::read_to_string(&file).unwrap();

        let claimed = format!("portcullis-node {FORMAT}");
        std::fs::write(&file, text.replace(&claimed, "portcullis-node 99")).unwrap();
        let error = open(folder.path(), OURS, 1).unwrap_err();
        assert!(matches!(error, HomeError::NewerFormat { found: 99, .. }));
        std::fs::write(&file, text.replace(&claimed, "portcullis-node 1")).unwrap();
        let error = open(folder.path(), OURS, 1).unwrap_err();
        assert!(matches!(error, HomeError::OlderFormat { found: 1, .. }));

        std::fs::write(&file, &text[..20]).unwrap();
        let error = open(folder.path(), OURS, 1).unwrap_err();
        assert!(matches!(error, HomeError::Damaged { .. }), "{error}");
    }

    #[test]
    fn a_log_without_its_meta_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        drop(open(folder.path(), OURS, 1).unwrap());
        std::fs::remove_file(folder.path().join("meta/node")).unwrap();
        std::fs::write(folder.path().join("raft/something"), b"x").unwrap();
        let error = open(folder.path(), OURS, 1).unwrap_err();
        assert!(matches!(error, HomeError::NoMeta { .. }));
    }
}

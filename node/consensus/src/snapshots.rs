//! The folder of snapshots. The newest is what a node starts from; the one before it is kept until the next, in case the
//! disk loses one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::chunks::ChunkWriter;
use crate::disk::{Disk, TEMPORARY, temporary_name};
use crate::ledger::ClusterId;
use crate::remedy::remedy;
use crate::snapshot::{Content, Flaw};
use crate::types::LogId;

/// Snapshots that stay on disk.
const KEPT: usize = 2;
/// Ending of a snapshot.
const SUFFIX: &str = ".snap";
/// Ending of a snapshot that was found damaged and set aside.
const DAMAGED: &str = ".damaged";

/// A snapshot on disk, as openraft hands it around.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotFile {
    pub(crate) path: PathBuf,
    /// What was read from it, when it was read just now to be installed.
    pub(crate) content: Option<Arc<Content>>,
}

impl SnapshotFile {
    pub(crate) fn at(path: PathBuf) -> Self {
        SnapshotFile { path, content: None }
    }
}

/// A snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It is not what was written.
    #[error("the snapshot {path} is damaged: {source}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: io::Error,
    },
    /// It was written by another version of the program.
    #[error(
        "the snapshot {path} cannot be understood: {why}; its checksum is right, so another version of the program wrote it: \
         start that version"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// What is not understood.
        why: String,
    },
    /// It belongs to another cluster.
    #[error(
        "the snapshot {path} belongs to cluster {found}, this node to {wanted}; somebody has put it there: move it away and \
         start again"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Cluster id in the file.
        found: ClusterId,
        /// Cluster id of this node.
        wanted: ClusterId,
    },
    /// The disk does not give it.
    #[error("the snapshot {path} cannot be read: {source}; {}", remedy(source))]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a node can start from.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    /// The newest snapshot that is whole.
    pub(crate) snapshot: Option<(Content, SnapshotFile)>,
    /// Newer ones that are damaged.
    pub(crate) damaged: Vec<SnapshotError>,
}

impl Newest {
    /// Raft index of the newest one that is damaged.
    pub(crate) fn damaged_up_to(&self) -> Option<u64> {
        let indexes = self.damaged.iter().filter_map(|error| match error {
            SnapshotError::Damaged { path, .. } => index_of(path.file_name()?.to_str()?),
            _ => None,
        });
        indexes.max()
    }
}

/// The folder of snapshots.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    cluster: ClusterId,
}

impl Snapshots {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: PathBuf, cluster: ClusterId) -> Self {
        Snapshots { disk, folder, cluster }
    }

    /// The newest snapshot that is whole, and the damaged ones that are newer. Whether the Raft log reaches back to it is
    /// for the caller to see.
    pub(crate) fn newest(&self) -> Result<Newest, SnapshotError> {
        let mut newest = Newest::default();
        let names = self.names().map_err(|source| SnapshotError::Disk {
            path: self.folder.clone(),
            source,
        })?;
        for name in names.iter().rev() {
            let path = self.folder.join(name);
            match self.read(&path) {
                Ok(content) => {
                    newest.snapshot = Some((content, SnapshotFile::at(path)));
                    break;
                }
                Err(damaged @ SnapshotError::Damaged { .. }) => newest.damaged.push(damaged),
                Err(other) => return Err(other),
            }
        }
        Ok(newest)
    }

    /// Raft index of the newest snapshot on disk that is older than this one.
    pub(crate) fn before(&self, index: u64) -> io::Result<Option<u64>> {
        let names = self.names()?;
        let indexes = names.iter().filter_map(|name| index_of(name));
        Ok(indexes.filter(|older| *older < index).max())
    }

    /// Gives damaged snapshots another name: they are not tried again, and do not count among those that are kept.
    pub(crate) fn set_aside(&self, damaged: &[SnapshotError]) -> io::Result<()> {
        for error in damaged {
            if let SnapshotError::Damaged { path, source } = error {
                tracing::error!(
                    path = %path.display(),
                    %source,
                    "a snapshot is damaged and is set aside; the node starts from the one before it and the Raft log"
                );
                let mut aside = path.as_os_str().to_owned();
                aside.push(DAMAGED);
                self.disk.rename(path, Path::new(&aside))?;
            }
        }
        Ok(())
    }

    /// Reads and checks a snapshot file.
    pub(crate) fn read(&self, path: &Path) -> Result<Content, SnapshotError> {
        Content::read(&self.disk, path, self.cluster).map_err(|flaw| {
            let path = path.to_owned();
            match flaw {
                Flaw::Damaged(source) => SnapshotError::Damaged { path, source },
                Flaw::Version(why) => SnapshotError::Version { path, why },
                Flaw::Foreign(found) => SnapshotError::Foreign {
                    path,
                    found,
                    wanted: self.cluster,
                },
                Flaw::Disk(source) => SnapshotError::Disk { path, source },
            }
        })
    }

    /// Writes a snapshot so that it is durable, and removes those that are too old.
    pub(crate) fn write(&self, content: &Content) -> io::Result<SnapshotFile> {
        let path = self.path(content.last);
        let unfinished = temporary_name(&path);
        let written = self
            .disk
            .create(&unfinished)
            .and_then(|file| content.write(ChunkWriter::new(file), self.cluster))
            .and_then(|()| self.disk.rename(&unfinished, &path))
            .and_then(|()| self.disk.sync_dir(&self.folder));
        if let Err(error) = written {
            // What cannot be removed now is removed at the next start.
            let _ = self.disk.remove(&unfinished);
            return Err(io::Error::new(
                error.kind(),
                format!(
                    "the snapshot {} cannot be written: {error}; {}",
                    path.display(),
                    remedy(&error)
                ),
            ));
        }
        self.prune()?;
        Ok(SnapshotFile::at(path))
    }

    /// Gives a received file its name. Its content is durable already.
    pub(crate) fn adopt(&self, last: Option<LogId>, received: &Path) -> io::Result<SnapshotFile> {
        let path = self.path(last);
        if path != received {
            self.disk.rename(received, &path)?;
            self.disk.sync_dir(&self.folder)?;
        }
        self.prune()?;
        Ok(SnapshotFile::at(path))
    }

    /// A name for a file that is being received.
    pub(crate) fn incoming(&self, unique: u64) -> PathBuf {
        self.folder.join(format!("incoming-{unique}{TEMPORARY}"))
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    fn path(&self, last: Option<LogId>) -> PathBuf {
        self.folder
            .join(format!("{:020}{SUFFIX}", last.map_or(0, |id| id.index)))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = self.disk.list(&self.folder)?;
        names.retain(|name| name.ends_with(SUFFIX));
        Ok(names)
    }

    fn prune(&self) -> io::Result<()> {
        let names = self.names()?;
        for name in names.iter().rev().skip(KEPT) {
            self.disk.remove(&self.folder.join(name))?;
        }
        Ok(())
    }
}

/// The Raft index that a snapshot's file name says.
fn index_of(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use portcullis_domain::command::{ClusterCommand, Command, CommandBody};
    use portcullis_domain::id::{BootId, NodeId, Timestamp};
    use portcullis_domain::policy::Policy;

    use super::*;
    use crate::bundle::{Bundle, LEAVES};
    use crate::disk::StdDisk;
    use crate::faulty::{FaultyDisk, Operation};
    use crate::ledger::{Digest, Ledger};
    use crate::types::{StoredMembership, log_id};

    const OURS: ClusterId = ClusterId([1; 16]);

    fn snapshots(folder: &Path, disk: impl Disk, cluster: ClusterId) -> Snapshots {
        Snapshots::new(Arc::new(disk), folder.to_owned(), cluster)
    }

    /// What a node has after so many leaves.
    fn content(leaves: u64) -> Content {
        let mut ledger = Ledger::new();
        let mut bytes: Vec<Bytes> = Vec::new();
        for number in 0..leaves {
            let body = match number {
                0 => ClusterCommand::Found {
                    cluster: OURS,
                    policy: Policy::first(),
                },
                _ => ClusterCommand::NodeUp {
                    node: NodeId(number),
                    boot: BootId(number),
                    expect: None,
                    capacity: 1,
                    version: 1,
                },
            };
            let command = Command {
                at: Timestamp(1),
                traceparent: String::new(),
                body: CommandBody::Cluster(body),
            };
            bytes.push(ledger.apply(command).entry.unwrap().bytes.into());
        }
        let full = bytes.chunks_exact(LEAVES as usize);
        let open_leaves = full.remainder().to_vec();
        let roots: Vec<Digest> = (0..)
            .zip(full)
            .map(|(number, leaves)| Bundle::of(number, leaves).root)
            .collect();
        Content {
            last: Some(log_id(1, 1, leaves)),
            membership: StoredMembership::default(),
            ledger,
            roots,
            open_leaves,
        }
    }

    #[test]
    fn a_snapshot_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = snapshots(folder.path(), StdDisk, OURS);
        for leaves in [0, 1, LEAVES - 1, LEAVES, 2 * LEAVES + 3] {
            let content = content(leaves);
            let file = snapshots.write(&content).unwrap();
            let back = snapshots.read(&file.path).unwrap();
            assert_eq!(back.meta(), content.meta());
            assert_eq!(back.ledger, content.ledger);
            assert_eq!((back.roots, back.open_leaves), (content.roots, content.open_leaves));
        }
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, KEPT);
    }

    #[test]
    fn roots_and_leaves_that_are_not_those_of_the_ledger_are_never_written() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = snapshots(folder.path(), StdDisk, OURS);
        let whole = content(LEAVES + 2);
        let mut other_root = whole.clone();
        other_root.roots[0] = Digest::of(b"other");
        let mut less = whole.clone();
        less.open_leaves.pop();
        for bad in [other_root, less] {
            let error = snapshots.write(&bad).unwrap_err();
            assert!(error.to_string().contains("are not the decision log"), "{error}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_newest_whole_snapshot_is_found_behind_a_damaged_one() {
        let folder = tempfile::tempdir().unwrap();
        let snapshots = snapshots(folder.path(), StdDisk, OURS);
        assert!(snapshots.newest().unwrap().snapshot.is_none());
        let before = snapshots.write(&content(5)).unwrap();
        let newest = snapshots.write(&content(9)).unwrap();
        assert_eq!(snapshots.before(9).unwrap(), Some(5));
        assert_eq!(snapshots.before(5).unwrap(), None);
        let whole = std::fs::read(&newest.path).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damage in [&flipped[..], &whole[..whole.len() / 2], b""] {
            std::fs::write(&newest.path, damage).unwrap();
            let found = snapshots.newest().unwrap();
            assert_eq!(found.snapshot.unwrap().1.path, before.path);
            let message = found.damaged[0].to_string();
            assert!(
                message.contains("is damaged") && message.contains(newest.path.to_str().unwrap()),
                "{message}"
            );
        }
        let damaged = snapshots.newest().unwrap().damaged;
        snapshots.set_aside(&damaged).unwrap();
        let found = snapshots.newest().unwrap();
        assert!(found.damaged.is_empty() && found.snapshot.unwrap().1.path == before.path);
    }

    #[test]
    fn a_snapshot_of_another_cluster_or_version_is_refused_and_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let ours = snapshots(folder.path(), StdDisk, OURS);
        ours.write(&content(5)).unwrap();
        let file = snapshots(folder.path(), StdDisk, ClusterId([9; 16]))
            .write(&content(9))
            .unwrap();
        let error = ours.newest().unwrap_err().to_string();
        assert!(error.contains("belongs to cluster 0909"), "{error}");

        // As a later version would write it, with everything right but the format.
        let mut out = ChunkWriter::new(StdDisk.create(&file.path).unwrap());
        out.write(b"PSNP\x03\x00\x00").unwrap();
        out.finish().unwrap();
        let error = ours.newest().unwrap_err().to_string();
        assert!(
            error.contains("format 3") && error.contains("start that version"),
            "{error}"
        );
    }

    #[test]
    fn a_disk_that_fails_is_named_with_what_to_do_and_leaves_the_old_snapshot() {
        use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem, StorageFull};
        for (operation, kind, advice) in [
            (Operation::Write, StorageFull, "free space"),
            (Operation::Sync, StorageFull, "free space"),
            (Operation::Rename, ReadOnlyFilesystem, "mount it writable"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let old = snapshots(folder.path(), StdDisk, OURS).write(&content(5)).unwrap();
            let failing = snapshots(folder.path(), FaultyDisk(operation, kind), OURS);
            let error = failing.write(&content(9)).unwrap_err();
            assert_eq!(error.kind(), kind);
            assert!(error.to_string().contains(advice), "{error}");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "{operation:?}");
            assert_eq!(failing.newest().unwrap().snapshot.unwrap().1.path, old.path);
        }
        let folder = tempfile::tempdir().unwrap();
        snapshots(folder.path(), StdDisk, OURS).write(&content(5)).unwrap();
        for operation in [Operation::List, Operation::Read] {
            let failing = snapshots(folder.path(), FaultyDisk(operation, PermissionDenied), OURS);
            let error = failing.newest().unwrap_err().to_string();
            assert!(error.contains("owner and permissions"), "{error}");
        }
    }
}

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
        self.folder.join(format!("{:020}.snap", last.map_or(0, |id| id.index)))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = self.disk.list(&self.folder)?;
        names.retain(|name| name.ends_with(".snap"));
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

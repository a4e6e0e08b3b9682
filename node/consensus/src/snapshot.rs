//! Snapshot files: the ledger, the leaves outside of full bundles, and where in the Raft log both were.
//!
//! ```text
//! "PSNP"  u8 format 1  u16 group  16 bytes cluster id
//! last log id   log id of the membership   membership         as in a log record
//! u64 log size  32 bytes log root
//! u32 count     count x (u32 length, leaf)
//! u64 length    ledger in canonical bytes
//! 32 bytes SHA-256 of all before
//! ```
//! The newest is what a node starts from; the one before it is kept until the next, in case the disk loses one.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use portcullis_domain::codec;
use sha2::{Digest as _, Sha256};

use crate::bundle::checked;
use crate::disk::Disk;
use crate::ledger::{self, ClusterId, Digest, Ledger};
use crate::record::{get_bytes, get_log_id, get_membership, invalid, nothing_left, put_log_id, put_membership, short};
use crate::types::{GROUP, LogId, SnapshotMeta, StoredMembership};

const MAGIC: &[u8; 4] = b"PSNP";
const FORMAT: u8 = 1;
/// Snapshots that stay on disk.
const KEPT: usize = 2;

/// A snapshot on disk, as openraft hands it around.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotFile {
    pub(crate) path: PathBuf,
}

/// The content of a snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) last: Option<LogId>,
    pub(crate) membership: StoredMembership,
    pub(crate) ledger: Ledger,
    pub(crate) open_leaves: Vec<Bytes>,
}

impl Content {
    pub(crate) fn meta(&self) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: self.last,
            last_membership: self.membership.clone(),
        }
    }

    pub(crate) fn encode(&self, cluster: ClusterId) -> Vec<u8> {
        let ledger = codec::to_bytes(&self.ledger);
        let (size, root) = ledger::head(&self.ledger);
        let leaves: usize = self.open_leaves.iter().map(|leaf| leaf.len() + 4).sum();
        let mut out = Vec::with_capacity(1024 + leaves + ledger.len());
        out.put_slice(MAGIC);
        out.put_u8(FORMAT);
        out.put_u16(GROUP);
        out.put_slice(&cluster.0);
        put_log_id(&mut out, self.last.as_ref());
        put_log_id(&mut out, self.membership.log_id().as_ref());
        put_membership(&mut out, self.membership.membership());
        out.put_u64(size);
        out.put_slice(&root.0);
        out.put_u32(self.open_leaves.len() as u32);
        for leaf in &self.open_leaves {
            out.put_u32(leaf.len() as u32);
            out.put_slice(leaf);
        }
        out.put_u64(ledger.len() as u64);
        out.put_slice(&ledger);
        let sum = Sha256::digest(&out);
        out.put_slice(&sum);
        out
    }

    /// Reads and checks everything, also that the ledger has the log size and root that stand beside it.
    pub(crate) fn decode(bytes: Bytes, cluster: ClusterId) -> io::Result<Self> {
        let mut rest = checked(bytes)?;
        if rest.len() < 23 || &rest.split_to(4)[..] != MAGIC {
            return Err(invalid("it is not a snapshot"));
        }
        let format = rest.try_get_u8().map_err(short)?;
        if format != FORMAT {
            return Err(invalid(format!("it has format {format}, this program reads {FORMAT}")));
        }
        let group = rest.try_get_u16().map_err(short)?;
        if group != GROUP {
            return Err(invalid(format!("it belongs to group {group}")));
        }
        let mut found = ClusterId([0; 16]);
        rest.split_to(16).copy_to_slice(&mut found.0);
        if found != cluster {
            return Err(invalid(format!(
                "it belongs to cluster {found}, this node to {cluster}"
            )));
        }
        let last = get_log_id(&mut rest)?;
        let membership_at = get_log_id(&mut rest)?;
        let membership = get_membership(&mut rest)?;
        let size = rest.try_get_u64().map_err(short)?;
        let mut root = Digest([0; 32]);
        if rest.remaining() < root.0.len() {
            return Err(invalid("a field ends early"));
        }
        rest.copy_to_slice(&mut root.0);
        let mut open_leaves = Vec::new();
        for _ in 0..rest.try_get_u32().map_err(short)? {
            open_leaves.push(get_bytes(&mut rest)?);
        }
        let length = rest.try_get_u64().map_err(short)?;
        if length > rest.remaining() as u64 {
            return Err(invalid("the ledger ends early"));
        }
        let state = rest.split_to(length as usize);
        nothing_left(&rest, "snapshot")?;
        let ledger: Ledger =
            codec::from_bytes(&state).map_err(|error| invalid(format!("the ledger in it: {error}")))?;
        if ledger::head(&ledger) != (size, root) {
            return Err(invalid(
                "the ledger in it does not have the log size and root that stand beside it",
            ));
        }
        Ok(Content {
            last,
            membership: StoredMembership::new(membership_at, membership),
            ledger,
            open_leaves,
        })
    }
}

/// The folder of snapshots.
#[derive(Debug, Clone)]
pub(crate) struct Snapshots {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    cluster: ClusterId,
}

/// The newest snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "the snapshot {path} is damaged: {source}; remove the file to start from the snapshot before it, if there is one (the \
     start fails when the Raft log does not reach back to it), otherwise remove this node from the cluster and add a new one \
     with a new id"
)]
pub struct SnapshotError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: io::Error,
}

impl Snapshots {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: PathBuf, cluster: ClusterId) -> Self {
        Snapshots { disk, folder, cluster }
    }

    /// The newest snapshot, if there is any.
    pub(crate) fn newest(&self) -> Result<Option<(Content, SnapshotFile)>, SnapshotError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| SnapshotError { path, source }
        };
        let names = self.names().map_err(failed(&self.folder))?;
        let Some(name) = names.last() else {
            return Ok(None);
        };
        let path = self.folder.join(name);
        let content = self.read(&path).map_err(failed(&path))?;
        Ok(Some((content, SnapshotFile { path })))
    }

    /// Reads and checks a snapshot file.
    pub(crate) fn read(&self, path: &Path) -> io::Result<Content> {
        Content::decode(self.disk.read(path)?.into(), self.cluster)
    }

    /// Writes a snapshot so that it is durable, and removes those that are too old.
    pub(crate) fn write(&self, content: &Content) -> io::Result<SnapshotFile> {
        let path = self.path(content.last);
        self.disk.publish(&path, &content.encode(self.cluster))?;
        self.prune()?;
        Ok(SnapshotFile { path })
    }

    /// Gives a received file its name. Its content is durable already.
    pub(crate) fn adopt(&self, last: Option<LogId>, received: &Path) -> io::Result<SnapshotFile> {
        let path = self.path(last);
        if path != received {
            self.disk.rename(received, &path)?;
            self.disk.sync_dir(&self.folder)?;
        }
        self.prune()?;
        Ok(SnapshotFile { path })
    }

    /// A name for a file that is being received.
    pub(crate) fn incoming(&self, unique: u64) -> PathBuf {
        self.folder.join(format!("incoming-{unique}{}", crate::disk::TEMPORARY))
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

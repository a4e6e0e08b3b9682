//! What a snapshot holds, and its bytes: the ledger, the roots of all full bundles, the leaves after them, and where in the
//! Raft log all of that was.
//!
//! ```text
//! first piece:
//!   "PSNP"  u8 format 2  u16 group  16 bytes cluster id
//!   last log id   log id of the membership   membership         as in a log record
//!   u64 log size  32 bytes log root
//! the other pieces, joined:
//!   (log size / 4096) x 32 bytes root of a full bundle
//!   (log size % 4096) x (u32 length, leaf)
//!   ledger in canonical bytes, to the end
//! ```
//! Integers are big-endian; the pieces are those of [`crate::chunks`]. A reader believes nothing that stands beside the
//! ledger: bundles and leaves must have the root that the ledger has.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use portcullis_domain::codec;

use crate::bundle::LEAVES;
use crate::chunks::{ChunkReader, ChunkWriter};
use crate::disk::Disk;
use crate::ledger::{self, ClusterId, Digest, Ledger};
use crate::record::{get_bytes, get_log_id, get_membership, invalid, nothing_left, put_log_id, put_membership, short};
use crate::tlog;
use crate::types::{GROUP, LogId, SnapshotMeta, StoredMembership};

const MAGIC: &[u8; 4] = b"PSNP";
const FORMAT: u8 = 2;

/// The content of a snapshot.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) last: Option<LogId>,
    pub(crate) membership: StoredMembership,
    pub(crate) ledger: Ledger,
    /// Merkle roots of all full bundles of the decision log.
    pub(crate) roots: Vec<Digest>,
    /// The leaves after the last full bundle.
    pub(crate) open_leaves: Vec<Bytes>,
}

/// Why the bytes are not a snapshot for this node.
#[derive(Debug)]
pub(crate) enum Flaw {
    /// They are not what was written.
    Damaged(io::Error),
    /// They are whole, but this program does not understand them.
    Version(String),
    /// They are whole, but of another cluster.
    Foreign(ClusterId),
    /// The disk does not give them.
    Disk(io::Error),
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Flaw::Damaged(error),
            _ => Flaw::Disk(error),
        }
    }
}

impl Content {
    /// The state before the first entry.
    pub(crate) fn empty() -> Self {
        Content {
            last: None,
            membership: StoredMembership::default(),
            ledger: Ledger::new(),
            roots: Vec::new(),
            open_leaves: Vec::new(),
        }
    }

    pub(crate) fn meta(&self) -> SnapshotMeta {
        SnapshotMeta {
            last_log_id: self.last,
            last_membership: self.membership.clone(),
        }
    }

    /// Writes everything and returns when it is durable. Needs memory for the ledger's bytes once.
    pub(crate) fn write(&self, mut out: ChunkWriter, cluster: ClusterId) -> io::Result<()> {
        let (size, root) = ledger::head(&self.ledger);
        self.check(size, &root)?;
        let mut head = Vec::with_capacity(1024);
        head.put_slice(MAGIC);
        head.put_u8(FORMAT);
        head.put_u16(GROUP);
        head.put_slice(&cluster.0);
        put_log_id(&mut head, self.last.as_ref());
        put_log_id(&mut head, self.membership.log_id().as_ref());
        put_membership(&mut head, self.membership.membership());
        head.put_u64(size);
        head.put_slice(&root.0);
        out.write(&head)?;
        out.cut()?;
        for root in &self.roots {
            out.write(&root.0)?;
        }
        for leaf in &self.open_leaves {
            out.write(&(leaf.len() as u32).to_be_bytes())?;
            out.write(leaf)?;
        }
        out.write(&codec::to_bytes(&self.ledger))?;
        out.finish()
    }

    /// Reads and checks everything. Needs memory for the file once, beside what comes out of it.
    pub(crate) fn read(disk: &Arc<dyn Disk>, path: &Path, cluster: ClusterId) -> Result<Self, Flaw> {
        let length = usize::try_from(disk.len(path)?).unwrap_or(usize::MAX);
        let mut reader = ChunkReader::new(Arc::clone(disk), path);
        let Some(head) = reader.next()? else {
            return Err(Flaw::Damaged(invalid("it is empty")));
        };
        let mut body = Vec::with_capacity(length);
        while let Some(piece) = reader.next()? {
            body.extend_from_slice(&piece);
        }
        // From here on nothing is damaged: what is odd was written so.
        let odd = |error: io::Error| Flaw::Version(error.to_string());
        let mut rest = head;
        let magic = rest.split_to(rest.len().min(MAGIC.len()));
        if &magic[..] != MAGIC {
            return Err(Flaw::Version("it is not a snapshot".to_owned()));
        }
        let format = rest.try_get_u8().map_err(short).map_err(odd)?;
        if format != FORMAT {
            return Err(Flaw::Version(format!(
                "it has format {format}, this program reads {FORMAT}"
            )));
        }
        let group = rest.try_get_u16().map_err(short).map_err(odd)?;
        if group != GROUP {
            return Err(Flaw::Version(format!("it belongs to group {group}")));
        }
        let found = ClusterId(get_array(&mut rest).map_err(odd)?);
        if found != cluster {
            return Err(Flaw::Foreign(found));
        }
        Self::decode(rest, body.into()).map_err(odd)
    }

    fn decode(mut head: Bytes, mut body: Bytes) -> io::Result<Self> {
        let last = get_log_id(&mut head)?;
        let membership_at = get_log_id(&mut head)?;
        let membership = get_membership(&mut head)?;
        let size = head.try_get_u64().map_err(short)?;
        let root = Digest(get_array(&mut head)?);
        nothing_left(&head, "the head of the snapshot")?;

        let mut roots = Vec::new();
        for _ in 0..size / LEAVES {
            roots.push(Digest(get_array(&mut body)?));
        }
        let mut open_leaves = Vec::new();
        for _ in 0..size % LEAVES {
            // Copied, so that a few leaves do not hold the whole file in memory.
            open_leaves.push(Bytes::copy_from_slice(&get_bytes(&mut body)?));
        }
        let ledger: Ledger = codec::from_bytes(&body).map_err(|error| invalid(format!("the ledger in it: {error}")))?;
        if ledger::head(&ledger) != (size, root) {
            return Err(invalid(
                "the ledger in it does not have the log size and root that stand beside it",
            ));
        }
        let content = Content {
            last,
            membership: StoredMembership::new(membership_at, membership),
            ledger,
            roots,
            open_leaves,
        };
        content.check(size, &root)?;
        Ok(content)
    }

    /// Do bundles and leaves give the root that the ledger has?
    fn check(&self, size: u64, root: &Digest) -> io::Result<()> {
        let count = self.roots.len() as u64 * LEAVES + self.open_leaves.len() as u64;
        if count != size || tlog::root(&self.roots, &self.open_leaves) != *root {
            return Err(invalid(format!(
                "its {} bundles and {} leaves are not the decision log of {size} entries that its ledger has written",
                self.roots.len(),
                self.open_leaves.len()
            )));
        }
        Ok(())
    }
}

fn get_array<const N: usize>(rest: &mut Bytes) -> io::Result<[u8; N]> {
    if rest.len() < N {
        return Err(invalid("a field ends early"));
    }
    let mut bytes = [0; N];
    rest.split_to(N).copy_to_slice(&mut bytes);
    Ok(bytes)
}

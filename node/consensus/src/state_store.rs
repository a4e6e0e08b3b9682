//! The seam for the store of indexes: what is in it can always be made again from the decision log.
//!
//! Keys, in one key space so that a batch and its checkpoint change together (numbers big-endian):
//! ```text
//! 'c'                               checkpoint
//! 'i' u64 inspection  u64 entry     an entry about an inspection
//! 'k' container 0x00  u64 inspection  an inspection of a container
//! ```

use std::fmt;
use std::io;

use bytes::{Buf, BufMut};
use portcullis_domain::equipment::EquipmentId;

use crate::ledger::{Digest, Subjects};
use crate::record::{invalid, nothing_left, short};

/// Where the state machine was when the store was last written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Index of the last Raft entry applied.
    pub raft_index: u64,
    /// Leaves in the decision log after it. All of them are in the indexes.
    pub log_size: u64,
    /// Root of the decision log at that size.
    pub root: Digest,
}

/// What goes into the store at once.
#[derive(Debug, Default)]
pub struct StateBatch {
    /// Keys to be added. Their values are empty.
    pub keys: Vec<Vec<u8>>,
    /// Where this leads.
    pub checkpoint: Option<Checkpoint>,
}

/// A store of ordered keys. Calls block.
pub trait StateStore: fmt::Debug + Send + Sync + 'static {
    /// The checkpoint of the last batch, if any.
    fn checkpoint(&self) -> io::Result<Option<Checkpoint>>;
    /// Applies a batch whole or not at all.
    fn apply(&self, batch: StateBatch) -> io::Result<()>;
    /// Returns when everything applied is durable.
    fn flush(&self) -> io::Result<()>;
    /// Up to `max` keys with a prefix, from `from` on, in order.
    fn keys(&self, prefix: &[u8], from: &[u8], max: usize) -> io::Result<Vec<Vec<u8>>>;
    /// Bytes on disk.
    fn disk_bytes(&self) -> u64;
}

pub(crate) const CHECKPOINT: &[u8] = b"c";
const INSPECTION: u8 = b'i';
const CONTAINER: u8 = b'k';

impl StateBatch {
    /// Adds the keys of one entry.
    pub(crate) fn add(&mut self, entry: u64, subjects: &Subjects) {
        for inspection in &subjects.inspections {
            let mut key = inspection_prefix(inspection.0);
            key.put_u64(entry);
            self.keys.push(key);
            if let Some(equipment) = &subjects.equipment {
                let mut key = container_prefix(equipment);
                key.put_u64(inspection.0);
                self.keys.push(key);
            }
        }
    }
}

/// Beginning of the keys of an inspection; an entry number follows.
pub(crate) fn inspection_prefix(inspection: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(17);
    key.put_u8(INSPECTION);
    key.put_u64(inspection);
    key
}

/// Beginning of the keys of a container; an inspection number follows. Container numbers have no zero byte.
pub(crate) fn container_prefix(container: &EquipmentId) -> Vec<u8> {
    let mut key = vec![CONTAINER];
    key.put_slice(container.to_string().as_bytes());
    key.put_u8(0);
    key
}

/// The number at the end of a key.
pub(crate) fn number_at_end(key: &[u8]) -> io::Result<u64> {
    key.last_chunk()
        .map(|bytes| u64::from_be_bytes(*bytes))
        .ok_or_else(|| invalid("an index key is shorter than its number"))
}

impl Checkpoint {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(48);
        out.put_u64(self.raft_index);
        out.put_u64(self.log_size);
        out.put_slice(&self.root.0);
        out
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> io::Result<Self> {
        let raft_index = bytes.try_get_u64().map_err(short)?;
        let log_size = bytes.try_get_u64().map_err(short)?;
        let mut root = [0; 32];
        bytes.try_copy_to_slice(&mut root).map_err(short)?;
        nothing_left(&bytes, "checkpoint")?;
        Ok(Checkpoint {
            raft_index,
            log_size,
            root: Digest(root),
        })
    }
}

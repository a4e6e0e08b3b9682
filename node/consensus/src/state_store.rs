//! The seam for the store of indexes: what is in it can always be made again from the decision log.
//!
//! Keys and values, in one key space so that a batch and its checkpoint change together (numbers big-endian):
//! ```text
//! 'c'                                 checkpoint
//! 'n'                                 u64 how many entries are indexed
//! 'i' u64 inspection                  the entries about it, see `crate::course`
//! 'k' container 0x00 u64 inspection   nothing: an inspection of a container
//! 't' u64 log time u64 entry          nothing: when the first entry of a bundle was made
//! ```
//! One key an inspection, not one an entry: sled's start and its size go by the number of keys.

use std::fmt;
use std::io;

use bytes::{Buf, BufMut};
use portcullis_domain::equipment::EquipmentId;

use crate::ledger::{Digest, Timestamp};
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
    /// Keys with their values, which replace those that are there.
    pub puts: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where this leads, if it is a place at which the root is known.
    pub checkpoint: Option<Checkpoint>,
}

/// A store of ordered keys with values. Calls block.
pub trait StateStore: fmt::Debug + Send + Sync + 'static {
    /// The last checkpoint, if any.
    fn checkpoint(&self) -> io::Result<Option<Checkpoint>>;
    /// Applies a batch whole or not at all.
    fn apply(&self, batch: StateBatch) -> io::Result<()>;
    /// Returns when everything applied is durable.
    fn flush(&self) -> io::Result<()>;
    /// The value of a key.
    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>>;
    /// Up to `max` keys with a prefix, from `from` on, in order.
    fn keys(&self, prefix: &[u8], from: &[u8], max: usize) -> io::Result<Vec<Vec<u8>>>;
    /// The last key with a prefix that comes before `end`.
    fn last(&self, prefix: &[u8], end: &[u8]) -> io::Result<Option<Vec<u8>>>;
    /// Bytes on disk.
    fn disk_bytes(&self) -> u64;
}

pub(crate) const CHECKPOINT: &[u8] = b"c";
pub(crate) const INDEXED: &[u8] = b"n";
pub(crate) const INSPECTIONS: &[u8] = b"i";
pub(crate) const TIMES: &[u8] = b"t";
const CONTAINER: u8 = b'k';

/// The key of an inspection.
pub(crate) fn inspection_key(inspection: u64) -> Vec<u8> {
    let mut key = INSPECTIONS.to_vec();
    key.put_u64(inspection);
    key
}

/// Beginning of the keys of a container; an inspection number follows. Container numbers have no zero byte.
pub(crate) fn container_prefix(container: &EquipmentId) -> Vec<u8> {
    let text = container.as_str();
    let mut key = Vec::with_capacity(text.len() + 10);
    key.put_u8(CONTAINER);
    key.put_slice(text.as_bytes());
    key.put_u8(0);
    key
}

/// Beginning of the keys of a time; the number of an entry follows.
pub(crate) fn time_prefix(at: Timestamp) -> Vec<u8> {
    let mut key = TIMES.to_vec();
    key.put_u64(at.0);
    key
}

/// A key that is a prefix and a number.
pub(crate) fn numbered(mut prefix: Vec<u8>, number: u64) -> Vec<u8> {
    prefix.put_u64(number);
    prefix
}

/// The number at the end of a key.
pub(crate) fn number_at_end(key: &[u8]) -> io::Result<u64> {
    key.last_chunk()
        .map(|bytes| u64::from_be_bytes(*bytes))
        .ok_or_else(|| invalid("an index key is shorter than its number"))
}

/// How many entries a store has indexed.
pub(crate) fn indexed(store: &dyn StateStore) -> io::Result<u64> {
    store.get(INDEXED)?.map_or(Ok(0), |value| number_at_end(&value))
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

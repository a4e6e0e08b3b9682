//! A pack: blobs one after the other in a file that only grows.
//!
//! ```text
//! "PBLP"  u8 format 1  u64 number
//! any number of   u32 length   32 bytes SHA-256 of the content   u32 CRC-32 (IEEE) of both   content
//! ```
//! Integers are big-endian. The CRC says how far the next blob is when the content of one is damaged.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use bytes::{Buf, BufMut};

use crate::disk::Disk;
use crate::ledger::Digest;
use crate::record::invalid;

/// What stands at the beginning of a pack, bytes.
pub(super) const HEAD: usize = MAGIC.len() + 1 + 8;
const MAGIC: &[u8; 4] = b"PBLP";
const FORMAT: u8 = 1;
/// What stands before each blob, bytes.
const RECORD: usize = 4 + 32 + 4;

/// Where the content of a blob is within its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u32,
    pub(super) length: u32,
}

pub(super) type Places = HashMap<Digest, Place>;

/// Name of the file.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:020}.pack")
}

/// Number from the name of a file.
pub(super) fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".pack")?.parse().ok()
}

/// The beginning of a pack.
pub(super) fn head(number: u64) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    head.put_u8(FORMAT);
    head.put_u64(number);
    head
}

/// Bytes that a blob takes in a pack.
pub(super) fn record_bytes(content: &[u8]) -> u64 {
    (RECORD + content.len()) as u64
}

/// Appends a blob to what is to be written at `at`, and says where its content will be.
pub(super) fn put(out: &mut Vec<u8>, at: u64, digest: Digest, content: &[u8]) -> io::Result<Place> {
    let too_large = |_| invalid("a blob or a pack is larger than 4 GiB");
    let length = u32::try_from(content.len()).map_err(too_large)?;
    let offset = u32::try_from(at + (out.len() + RECORD) as u64).map_err(too_large)?;
    let begin = out.len();
    out.put_u32(length);
    out.put_slice(&digest.0);
    let check = crc32fast::hash(&out[begin..]);
    out.put_u32(check);
    out.put_slice(content);
    Ok(Place { offset, length })
}

/// What a pack holds.
#[derive(Debug, Default)]
pub(super) struct Scanned {
    pub(super) places: Places,
    /// Length of the file.
    pub(super) length: u64,
    /// First byte that is not part of a whole blob.
    pub(super) torn_at: Option<u64>,
}

/// Reads a whole pack. What is not whole is left out.
///
/// # Errors
/// When the disk fails, or another version of the program wrote it.
pub(super) fn scan(disk: &dyn Disk, path: &Path, number: u64) -> io::Result<Scanned> {
    let file = disk.open(path)?;
    let mut scanned = Scanned {
        length: disk.len(path)?,
        ..Scanned::default()
    };
    let found = file.read_at(0, HEAD)?;
    if found != head(number) {
        if found.len() == HEAD && found.starts_with(MAGIC) && found[4] > FORMAT {
            return Err(invalid(format!(
                "it has format {}, this program reads {FORMAT}: start the newer version of the program that wrote it",
                found[4]
            )));
        }
        scanned.torn_at = Some(0);
        return Ok(scanned);
    }
    let mut at = HEAD as u64;
    while at < scanned.length {
        let Some((digest, length)) = record(&file.read_at(at, RECORD)?) else {
            scanned.torn_at.get_or_insert(at);
            break;
        };
        let content = at + RECORD as u64;
        let whole = Digest::of(&file.read_at(content, length as usize)?) == digest;
        match u32::try_from(content) {
            Ok(offset) if whole => {
                scanned.places.insert(digest, Place { offset, length });
            }
            _ => {
                scanned.torn_at.get_or_insert(at);
            }
        }
        at = content + u64::from(length);
    }
    Ok(scanned)
}

/// Digest and length of the content that follows, unless this is not the beginning of a blob.
fn record(mut bytes: &[u8]) -> Option<(Digest, u32)> {
    let check = crc32fast::hash(bytes.get(..RECORD - 4)?);
    let length = bytes.get_u32();
    let mut digest = [0; 32];
    bytes.copy_to_slice(&mut digest);
    (bytes.try_get_u32().ok()? == check).then_some((Digest(digest), length))
}

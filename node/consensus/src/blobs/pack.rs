//! A pack: blobs one after the other in a file that only grows.
//!
//! ```text
//! "PBLP"  u8 format 1  u64 number
//! any number of   u32 length   32 bytes SHA-256 of the content   u32 CRC-32 (IEEE) of both   content
//! ```
//! Integers are big-endian. The CRC tells the beginning of a blob from any other bytes, so that damage costs
//! the blobs that it is in and no others.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use bytes::{Buf, BufMut};

use super::BLOB_BYTES;
use crate::disk::{Disk, RandomAccess};
use crate::ledger::Digest;
use crate::record::invalid;

/// What stands at the beginning of a pack, bytes.
pub(super) const HEAD: usize = MAGIC.len() + 1 + 8;
const MAGIC: &[u8; 4] = b"PBLP";
const FORMAT: u8 = 1;
/// What stands before each blob, bytes.
const RECORD: usize = 4 + 32 + 4;
/// So much of a damaged pack is looked through at once, bytes.
const WINDOW: usize = 1 << 20;

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
    pub(super) odd_at: Option<u64>,
}

/// Reads a whole pack. What is not whole is left out, and what comes after it is looked for.
///
/// # Errors
/// When the file cannot be opened, or another version of the program wrote it.
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
        scanned.odd_at = Some(0);
    }
    let mut at = HEAD as u64;
    while at < scanned.length {
        match blob_at(&*file, at, scanned.length) {
            Ok(Some((digest, place, end))) => {
                scanned.places.insert(digest, place);
                at = end;
            }
            // A disk that cannot read a part of the file may still read the next.
            Ok(None) | Err(_) => {
                scanned.odd_at.get_or_insert(at);
                match next_blob(&*file, at + 1, scanned.length) {
                    Some(next) => at = next,
                    None => break,
                }
            }
        }
    }
    Ok(scanned)
}

/// The whole blob that begins here, if one does: its digest, its place, and where the next may begin.
fn blob_at(file: &dyn RandomAccess, at: u64, length: u64) -> io::Result<Option<(Digest, Place, u64)>> {
    let Some((digest, size)) = record(&file.read_at(at, RECORD)?) else {
        return Ok(None);
    };
    let content = at + RECORD as u64;
    let end = content + u64::from(size);
    let Ok(offset) = u32::try_from(content) else {
        return Ok(None);
    };
    if end > length || Digest::of(&file.read_at(content, size as usize)?) != digest {
        return Ok(None);
    }
    Ok(Some((digest, Place { offset, length: size }, end)))
}

/// Where the next whole blob begins, from `from` on.
fn next_blob(file: &dyn RandomAccess, from: u64, length: u64) -> Option<u64> {
    let mut begin = from;
    while begin + (RECORD as u64) < length {
        if let Ok(window) = file.read_at(begin, WINDOW + RECORD) {
            for (offset, bytes) in (0_u64..).zip(window.windows(RECORD)) {
                // The length rules nearly all places out, before a checksum is made.
                let plausible = bytes[0] <= (BLOB_BYTES >> 24) as u8;
                if plausible && record(bytes).is_some() && matches!(blob_at(file, begin + offset, length), Ok(Some(_)))
                {
                    return Some(begin + offset);
                }
            }
        }
        begin += WINDOW as u64;
    }
    None
}

/// Digest and length of the content that follows, unless this is not the beginning of a blob.
fn record(mut bytes: &[u8]) -> Option<(Digest, u32)> {
    let check = crc32fast::hash(bytes.get(..RECORD - 4)?);
    let length = bytes.get_u32();
    let mut digest = [0; 32];
    bytes.copy_to_slice(&mut digest);
    (bytes.try_get_u32().ok()? == check).then_some((Digest(digest), length))
}

//! The table of a pack that does not grow any more: where each of its blobs is. It can be made again from the pack.
//!
//! ```text
//! "PBLT"  u8 format 1  u64 number of the pack
//! 256 x (u32 entries up to and with this first byte of the digest, u32 CRC-32 (IEEE) of those with it)
//! u32 CRC-32 of all before
//! entries by digest: 32 bytes digest, u32 offset, u32 length
//! ```
//! Integers are big-endian. Looking one up takes two reads of some thousand bytes, whatever the size of the pack, and no memory.

use std::io;
use std::path::Path;

use bytes::{Buf, BufMut};

use super::pack::{Place, Places};
use crate::disk::Disk;
use crate::ledger::Digest;
use crate::record::{invalid, short};

const MAGIC: &[u8; 4] = b"PBLT";
const FORMAT: u8 = 1;
const FIXED: usize = MAGIC.len() + 1 + 8;
/// Groups of entries, by the first byte of the digest.
const GROUPS: usize = 256;
const HEAD: usize = FIXED + GROUPS * 8 + 4;
const ENTRY: usize = 32 + 4 + 4;

/// Name of the file.
pub(super) fn file_name(number: u64) -> String {
    format!("{number:020}.table")
}

/// Number from the name of a file.
pub(super) fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".table")?.parse().ok()
}

/// The file.
pub(super) fn encode(number: u64, places: &Places) -> Vec<u8> {
    let mut sorted: Vec<(&Digest, &Place)> = places.iter().collect();
    sorted.sort_unstable_by_key(|(digest, _)| digest.0);
    let mut entries = Vec::with_capacity(sorted.len() * ENTRY);
    for (digest, place) in &sorted {
        entries.put_slice(&digest.0);
        entries.put_u32(place.offset);
        entries.put_u32(place.length);
    }
    let mut file = Vec::with_capacity(HEAD + entries.len());
    file.put_slice(MAGIC);
    file.put_u8(FORMAT);
    file.put_u64(number);
    let mut begin = 0;
    for group in 0..GROUPS {
        let end = sorted.partition_point(|(digest, _)| usize::from(digest.0[0]) <= group);
        file.put_u32(end as u32);
        file.put_u32(crc32fast::hash(&entries[begin * ENTRY..end * ENTRY]));
        begin = end;
    }
    let check = crc32fast::hash(&file);
    file.put_u32(check);
    file.put_slice(&entries);
    file
}

/// Looks a blob up.
///
/// # Errors
/// `InvalidData` when the table is damaged, else what the disk says.
pub(super) fn find(disk: &dyn Disk, path: &Path, number: u64, digest: Digest) -> io::Result<Option<Place>> {
    let head = disk.read_at(path, 0, HEAD)?;
    let (fixed, mut check) = head
        .split_last_chunk::<4>()
        .filter(|(fixed, _)| fixed.len() == HEAD - 4)
        .map(|(fixed, check)| (fixed, &check[..]))
        .ok_or_else(|| invalid("the table is cut off"))?;
    if crc32fast::hash(fixed) != check.get_u32() {
        return Err(invalid("the head of the table is damaged"));
    }
    let mut begins = &fixed[..FIXED];
    if !begins.starts_with(MAGIC) || begins[4] != FORMAT {
        return Err(invalid("it is not a table of this version"));
    }
    begins.advance(5);
    if begins.get_u64() != number {
        return Err(invalid("it is the table of another pack"));
    }
    let group = usize::from(digest.0[0]);
    let end_of = |group: usize| {
        let mut at = &fixed[FIXED + group * 8..];
        (at.get_u32() as usize, at.get_u32())
    };
    let begin = group.checked_sub(1).map_or(0, |before| end_of(before).0);
    let (end, check) = end_of(group);
    let length = end.saturating_sub(begin) * ENTRY;
    let entries = disk.read_at(path, (HEAD + begin * ENTRY) as u64, length)?;
    if entries.len() != length || crc32fast::hash(&entries) != check {
        return Err(invalid("entries of the table are damaged"));
    }
    let Some(mut entry) = entries.chunks_exact(ENTRY).find(|entry| entry[..32] == digest.0) else {
        return Ok(None);
    };
    entry.advance(32);
    Ok(Some(Place {
        offset: entry.try_get_u32().map_err(short)?,
        length: entry.try_get_u32().map_err(short)?,
    }))
}

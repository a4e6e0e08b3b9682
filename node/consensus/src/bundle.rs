//! One file of the decision log: 256 leaves in a row, the same bytes on every replica.
//!
//! ```text
//! "PTLB"  u8 format 1  u16 group  u64 number  u32 count  32 bytes subtree root
//! count x (u32 length, bytes)
//! 32 bytes SHA-256 of all before
//! ```
//! Integers are big-endian. Leaves are `number * 256 ..`.

use std::io;

use bytes::{Buf, BufMut, Bytes};
use portcullis_domain::merkle::leaf_hash;
use sha2::{Digest as _, Sha256};

use crate::ledger::Digest;
use crate::merkle;
use crate::record::{get_bytes, invalid, nothing_left, short};
use crate::types::GROUP;

/// Leaves in a bundle.
pub(crate) const LEAVES: u64 = 256;

const MAGIC: &[u8; 4] = b"PTLB";
const FORMAT: u8 = 1;
const HEAD: usize = 4 + 1 + 2 + 8 + 4;

/// A bundle in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bundle {
    pub(crate) number: u64,
    pub(crate) leaves: Vec<Bytes>,
    pub(crate) root: Digest,
}

impl Bundle {
    /// Takes the leaves of a full bundle.
    pub(crate) fn new(number: u64, leaves: Vec<Bytes>) -> Self {
        debug_assert_eq!(leaves.len() as u64, LEAVES);
        let hashes: Vec<Digest> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        Bundle {
            number,
            leaves,
            root: merkle::root(&hashes),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let size: usize = self.leaves.iter().map(|leaf| 4 + leaf.len()).sum();
        let mut out = Vec::with_capacity(HEAD + 64 + size);
        out.put_slice(MAGIC);
        out.put_u8(FORMAT);
        out.put_u16(GROUP);
        out.put_u64(self.number);
        out.put_u32(self.leaves.len() as u32);
        out.put_slice(&self.root.0);
        for leaf in &self.leaves {
            out.put_u32(leaf.len() as u32);
            out.put_slice(leaf);
        }
        let sum = Sha256::digest(&out);
        out.put_slice(&sum);
        out
    }

    /// Reads and checks everything: checksum, number, count and that the leaves have the root in the head.
    pub(crate) fn decode(number: u64, bytes: Bytes) -> io::Result<Self> {
        let mut rest = checked(bytes)?;
        let root = read_head(&mut rest, number)?;
        let mut leaves = Vec::with_capacity(LEAVES as usize);
        for _ in 0..LEAVES {
            leaves.push(get_bytes(&mut rest)?);
        }
        nothing_left(&rest, "bundle")?;
        let bundle = Bundle::new(number, leaves);
        if bundle.root != root {
            return Err(invalid("the leaves do not have the root in the head"));
        }
        Ok(bundle)
    }

    /// Only the root, from the first [`Bundle::HEAD_BYTES`] of the file.
    pub(crate) fn root_in_head(number: u64, head: &[u8]) -> io::Result<Digest> {
        read_head(&mut Bytes::copy_from_slice(head), number)
    }

    /// How much of a file [`Bundle::root_in_head`] needs.
    pub(crate) const HEAD_BYTES: usize = HEAD + 32;

    /// Name of the file.
    pub(crate) fn file_name(number: u64) -> String {
        format!("{number:020}.bundle")
    }

    /// Number from the name of a file.
    pub(crate) fn number_of(name: &str) -> Option<u64> {
        name.strip_suffix(".bundle")?.parse().ok()
    }
}

fn read_head(rest: &mut Bytes, number: u64) -> io::Result<Digest> {
    if rest.len() < Bundle::HEAD_BYTES || &rest.split_to(4)[..] != MAGIC {
        return Err(invalid("it is not a bundle"));
    }
    let format = rest.try_get_u8().map_err(short)?;
    if format != FORMAT {
        return Err(invalid(format!(
            "the bundle has format {format}, this program reads {FORMAT}"
        )));
    }
    let group = rest.try_get_u16().map_err(short)?;
    if group != GROUP {
        return Err(invalid(format!("the bundle belongs to group {group}")));
    }
    let found = rest.try_get_u64().map_err(short)?;
    if found != number {
        return Err(invalid(format!("it is bundle {found}, not {number}")));
    }
    let count = rest.try_get_u32().map_err(short)?;
    if u64::from(count) != LEAVES {
        return Err(invalid(format!("it has {count} leaves, not {LEAVES}")));
    }
    let mut root = [0; 32];
    rest.split_to(32).copy_to_slice(&mut root);
    Ok(Digest(root))
}

/// Checks and removes the SHA-256 at the end.
pub(crate) fn checked(mut bytes: Bytes) -> io::Result<Bytes> {
    let Some(end) = bytes.len().checked_sub(32) else {
        return Err(invalid("the file is shorter than its checksum"));
    };
    let sum = bytes.split_off(end);
    if Sha256::digest(&bytes)[..] != sum[..] {
        return Err(invalid("the SHA-256 at its end is not that of its content"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves() -> Vec<Bytes> {
        (0..256_u32).map(|i| Bytes::from(i.to_be_bytes().repeat(3))).collect()
    }

    #[test]
    fn a_bundle_comes_back_whole_and_any_changed_byte_is_seen() {
        let bundle = Bundle::new(3, leaves());
        let bytes = bundle.encode();
        assert_eq!(Bundle::decode(3, bytes.clone().into()).unwrap(), bundle);
        assert_eq!(
            Bundle::root_in_head(3, &bytes[..Bundle::HEAD_BYTES]).unwrap(),
            bundle.root
        );
        assert!(Bundle::decode(4, bytes.clone().into()).is_err());
        for at in (0..bytes.len()).step_by(97) {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(Bundle::decode(3, bad.into()).is_err(), "byte {at}");
        }
        assert!(Bundle::decode(3, Bytes::from_static(b"PTLB")).is_err());
    }

    #[test]
    fn the_bytes_of_a_bundle_never_change() {
        let sum = Sha256::digest(Bundle::new(1, leaves()).encode());
        assert_eq!(
            hex::encode(sum),
            "b2bf777581e3c9bcabdd9e1a3c9c76f7a54a0d13f18029a6ec86adb7aed4a1da"
        );
    }
}

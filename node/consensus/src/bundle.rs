//! One file of the decision log: 4096 leaves in a row, the same bytes on every replica.
//!
//! ```text
//! "PTLB"  u8 format 2  u16 group  u64 number  u32 leaves
//! 16 x (u32 length of the page, 32 bytes Merkle root of the page)
//! 16 pages of 256 x (u32 length, bytes)
//! ```
//! Integers are big-endian. Leaves are `number * 4096 ..`. A page is read and checked by itself: its leaves have the root
//! in the head, and the roots in the head have the root of the bundle, which everyone knows from the log's own tree. So every
//! byte of the file is covered, and there is no checksum besides.

use std::io;

use bytes::{Buf, BufMut, Bytes};
use portcullis_domain::event::LEAF_MAX;
use portcullis_domain::merkle::{leaf_hash, root_of};

use crate::ledger::Digest;
use crate::merkle;
use crate::record::{get_bytes, invalid, short};
use crate::types::GROUP;

/// Leaves in a bundle.
pub(crate) const LEAVES: u64 = 4096;
/// Leaves in a page.
pub(crate) const PAGE: u64 = 256;
/// The largest file, bytes.
pub(crate) const FILE_BYTES: u64 = HEAD_BYTES as u64 + LEAVES * (4 + LEAF_MAX as u64);
/// How much of a file [`Head::decode`] needs.
pub(crate) const HEAD_BYTES: usize = FIXED + PAGES * (4 + 32);

const PAGES: usize = (LEAVES / PAGE) as usize;
const FIXED: usize = 4 + 1 + 2 + 8 + 4;
const MAGIC: &[u8; 4] = b"PTLB";
const FORMAT: u8 = 2;

/// A bundle as it stands in its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bundle {
    pub(crate) number: u64,
    /// Merkle root of its leaves.
    pub(crate) root: Digest,
    pub(crate) file: Bytes,
}

/// A leaf of the log with its hash, which apply needed already.
#[derive(Debug, Clone)]
pub(crate) struct Hashed {
    pub(crate) bytes: Bytes,
    pub(crate) hash: Digest,
}

impl From<Bytes> for Hashed {
    fn from(bytes: Bytes) -> Self {
        let hash = leaf_hash(&bytes);
        Self { bytes, hash }
    }
}

/// What stands at the beginning of the file: where the pages are, and their roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// Merkle root of all leaves.
    pub(crate) root: Digest,
    pages: [(u32, Digest); PAGES],
}

impl Bundle {
    /// Hashes leaves and writes them into a file. There must be exactly [`LEAVES`].
    pub(crate) fn of(number: u64, leaves: &[Bytes]) -> Self {
        let hashed: Vec<Hashed> = leaves.iter().cloned().map(Hashed::from).collect();
        Self::of_hashed(number, &hashed)
    }

    /// Writes leaves into a file. There must be exactly [`LEAVES`].
    pub(crate) fn of_hashed(number: u64, leaves: &[Hashed]) -> Self {
        assert_eq!(leaves.len() as u64, LEAVES, "a bundle is full");
        let size: usize = leaves.iter().map(|leaf| 4 + leaf.bytes.len()).sum();
        let mut out = Vec::with_capacity(HEAD_BYTES + size);
        out.put_slice(MAGIC);
        out.put_u8(FORMAT);
        out.put_u16(GROUP);
        out.put_u64(number);
        out.put_u32(leaves.len() as u32);
        let mut roots = Vec::with_capacity(PAGES);
        for page in leaves.chunks(PAGE as usize) {
            let length: usize = page.iter().map(|leaf| 4 + leaf.bytes.len()).sum();
            let root = root_of(page.iter().map(|leaf| leaf.hash));
            out.put_u32(length as u32);
            out.put_slice(&root.0);
            roots.push(root);
        }
        for leaf in leaves {
            out.put_u32(leaf.bytes.len() as u32);
            out.put_slice(&leaf.bytes);
        }
        Bundle {
            number,
            root: merkle::root(&roots),
            file: out.into(),
        }
    }

    /// Takes a file from elsewhere when it is, to the last byte, the bundle with this root.
    pub(crate) fn checked(number: u64, root: Digest, file: Bytes) -> io::Result<Self> {
        let head = Head::decode(number, &file)?;
        if head.root != root {
            return Err(head.foreign(&root));
        }
        if file.len() as u64 != head.file_bytes() {
            return Err(invalid(format!(
                "it has {} bytes, its head says {}",
                file.len(),
                head.file_bytes()
            )));
        }
        for index in 0..PAGES {
            let (offset, length) = head.place(index);
            let mut page = &file[offset as usize..offset as usize + length];
            let mut hashes = Vec::with_capacity(PAGE as usize);
            for _ in 0..PAGE {
                let length = page.try_get_u32().map_err(short)? as usize;
                let leaf = page.get(..length).ok_or_else(|| invalid("a leaf ends early"))?;
                hashes.push(leaf_hash(leaf));
                page.advance(length);
            }
            head.check(index, page.len(), hashes)?;
        }
        Ok(Bundle { number, root, file })
    }

    /// All leaves. They share the memory of the file.
    pub(crate) fn leaves(&self) -> io::Result<Vec<Bytes>> {
        let mut rest = self.file.slice(HEAD_BYTES..);
        (0..LEAVES).map(|_| get_bytes(&mut rest)).collect()
    }

    /// Name of the file.
    pub(crate) fn file_name(number: u64) -> String {
        format!("{number:020}.bundle")
    }

    /// Number from the name of a file.
    pub(crate) fn number_of(name: &str) -> Option<u64> {
        name.strip_suffix(".bundle")?.parse().ok()
    }
}

impl Head {
    /// Reads the beginning of a file, at least [`HEAD_BYTES`] of it.
    pub(crate) fn decode(number: u64, file: &[u8]) -> io::Result<Self> {
        let mut rest = file.get(..HEAD_BYTES).ok_or_else(|| invalid("the file is cut off"))?;
        if &rest[..4] != MAGIC {
            return Err(invalid("it is not a bundle"));
        }
        rest.advance(4);
        let format = rest.get_u8();
        if format != FORMAT {
            return Err(invalid(format!(
                "the bundle has format {format}, this program reads {FORMAT}"
            )));
        }
        let group = rest.get_u16();
        if group != GROUP {
            return Err(invalid(format!("the bundle belongs to group {group}")));
        }
        let found = rest.get_u64();
        if found != number {
            return Err(invalid(format!("it is bundle {found}, not {number}")));
        }
        let count = rest.get_u32();
        if u64::from(count) != LEAVES {
            return Err(invalid(format!("it has {count} leaves, not {LEAVES}")));
        }
        let pages = std::array::from_fn(|_| {
            let length = rest.get_u32();
            let mut root = Digest([0; 32]);
            rest.copy_to_slice(&mut root.0);
            (length, root)
        });
        let roots = pages.map(|(_, root)| root);
        Ok(Head {
            root: merkle::root(&roots),
            pages,
        })
    }

    /// Offset and length in bytes of a page.
    pub(crate) fn place(&self, index: usize) -> (u64, usize) {
        let before: u64 = self.pages[..index].iter().map(|(length, _)| u64::from(*length)).sum();
        (HEAD_BYTES as u64 + before, self.pages[index].0 as usize)
    }

    /// The leaves of a page from its bytes, when they are what the head says.
    pub(crate) fn page(&self, index: usize, bytes: Bytes) -> io::Result<Vec<Bytes>> {
        let mut rest = bytes;
        let mut leaves = Vec::with_capacity(PAGE as usize);
        for _ in 0..PAGE {
            leaves.push(get_bytes(&mut rest)?);
        }
        self.check(index, rest.len(), leaves.iter().map(|leaf| leaf_hash(leaf)))?;
        Ok(leaves)
    }

    /// The error of a bundle whose root is not the one that the log has in its place.
    pub(crate) fn foreign(&self, wanted: &Digest) -> io::Error {
        invalid(format!(
            "its root is {}, that of the log in this place is {wanted}",
            self.root
        ))
    }

    fn check(&self, index: usize, left: usize, hashes: impl IntoIterator<Item = Digest>) -> io::Result<()> {
        if left > 0 {
            return Err(invalid(format!("{left} bytes are left over in page {index}")));
        }
        if root_of(hashes) != self.pages[index].1 {
            return Err(invalid(format!(
                "the leaves of page {index} do not have the root in the head"
            )));
        }
        Ok(())
    }

    fn file_bytes(&self) -> u64 {
        let (offset, length) = self.place(PAGES - 1);
        offset + length as u64
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn leaves() -> Vec<Bytes> {
        (0..LEAVES as u32)
            .map(|i| Bytes::from(i.to_be_bytes().repeat(3)))
            .collect()
    }

    #[test]
    fn a_bundle_is_taken_whole_and_any_changed_byte_is_seen() {
        let bundle = Bundle::of(3, &leaves());
        let take = |file: Vec<u8>| Bundle::checked(3, bundle.root, file.into());
        let bytes = bundle.file.to_vec();
        assert_eq!(take(bytes.clone()).unwrap(), bundle);
        assert!(Bundle::checked(4, bundle.root, bundle.file.clone()).is_err());
        let other = Bundle::checked(3, Digest::of(b"other"), bundle.file.clone()).unwrap_err();
        assert!(other.to_string().contains("its root is"), "{other}");
        for at in (0..HEAD_BYTES).chain((HEAD_BYTES..bytes.len()).step_by(997)) {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(take(bad).is_err(), "byte {at}");
        }
        for length in [0, 3, HEAD_BYTES - 1, HEAD_BYTES, bytes.len() - 1] {
            assert!(take(bytes[..length].to_vec()).is_err(), "cut after {length}");
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(take(longer).is_err());
    }

    #[test]
    fn a_page_is_read_and_checked_by_itself() {
        let leaves = leaves();
        let bundle = Bundle::of(0, &leaves);
        let head = Head::decode(0, &bundle.file).unwrap();
        assert_eq!(head.root, bundle.root);
        let (offset, length) = head.place(5);
        let bytes = bundle.file.slice(offset as usize..offset as usize + length);
        assert_eq!(head.page(5, bytes.clone()).unwrap(), leaves[5 * 256..6 * 256]);
        assert!(head.page(6, bytes.clone()).is_err());
        assert!(head.page(5, bytes.slice(..length - 1)).is_err());
    }

    #[test]
    fn the_root_of_a_bundle_is_that_of_its_leaves() {
        let leaves = leaves();
        let hashes: Vec<Digest> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        assert_eq!(Bundle::of(0, &leaves).root, merkle::root(&hashes));
    }

    #[test]
    fn the_bytes_of_a_bundle_never_change() {
        let sum = Sha256::digest(Bundle::of(1, &leaves()).file);
        assert_eq!(
            hex::encode(sum),
            "29eda534bf5b31e60c50593eac2b0759de914951f6311eff8189e5abb9e3dd04"
        );
    }
}

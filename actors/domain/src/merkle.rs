//! The Merkle tree of RFC 6962, section 2.1: leaf hash = SHA-256(0x00 || leaf), node hash = SHA-256(0x01 || left || right).

use sha2::{Digest as _, Sha256};

use crate::codec::{Canonical, CodecError, Reader};
use crate::id::Digest;

/// Hash of a leaf's bytes.
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update([0]).chain_update(leaf).finalize().into())
}

/// Hash of an inner node.
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    Digest(
        Sha256::new()
            .chain_update([1])
            .chain_update(left.0)
            .chain_update(right.0)
            .finalize()
            .into(),
    )
}

/// The right edge of a growing tree: the roots of its perfect subtrees, largest first. Enough to append and to know the
/// root, in space of the logarithm of its size.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Digest>,
}

impl Frontier {
    /// How many leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash.
    pub fn append(&mut self, leaf: Digest) {
        let mut node = leaf;
        // Each trailing one-bit of the size is a perfect subtree that the new leaf completes a larger one with.
        for _ in 0..self.size.trailing_ones() {
            let left = self
                .peaks
                .pop()
                .expect("a frontier has one peak for each one-bit of its size");
            node = node_hash(&left, &node);
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The root; of an empty tree the hash of nothing.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => Digest::of(b""),
            Some(last) => peaks.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

impl Canonical for Frontier {
    fn put(&self, out: &mut Vec<u8>) {
        self.size.put(out);
        self.peaks.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        let size = u64::take(from)?;
        let peaks = Vec::<Digest>::take(from)?;
        if peaks.len() != size.count_ones() as usize {
            return Err(CodecError::Invalid {
                what: "Merkle frontier",
                why: format!("{} peaks cannot be a tree of {size} leaves", peaks.len()),
            });
        }
        Ok(Self { size, peaks })
    }
}

/// Root of a list of leaf hashes.
pub fn root_of(leaves: impl IntoIterator<Item = Digest>) -> Digest {
    let mut frontier = Frontier::default();
    for leaf in leaves {
        frontier.append(leaf);
    }
    frontier.root()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 6962, section 2.1, word for word: split at the largest power of two below n.
    fn by_definition(leaves: &[Vec<u8>]) -> Digest {
        match leaves {
            [] => Digest::of(b""),
            [one] => leaf_hash(one),
            many => {
                let split = many.len().next_power_of_two() / 2;
                node_hash(&by_definition(&many[..split]), &by_definition(&many[split..]))
            }
        }
    }

    #[test]
    fn the_frontier_gives_the_root_of_the_definition_at_every_size() {
        let leaves: Vec<Vec<u8>> = (0..70_u8).map(|i| vec![i; usize::from(i)]).collect();
        let mut frontier = Frontier::default();
        for size in 0..=leaves.len() {
            assert_eq!(frontier.root(), by_definition(&leaves[..size]), "size {size}");
            if let Some(next) = leaves.get(size) {
                frontier.append(leaf_hash(next));
            }
        }
    }

    #[test]
    fn the_root_of_the_published_test_tree_is_met() {
        // Leaves and root of the reference tree that Certificate Transparency implementations share.
        let leaves: [&[u8]; 8] = [
            &[],
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            &[
                0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f,
            ],
        ];
        let root = root_of(leaves.map(leaf_hash));
        assert_eq!(
            root.to_string(),
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
        );
    }

    #[test]
    fn a_frontier_that_cannot_be_is_refused() {
        let bytes = crate::codec::to_bytes(&(3_u64, vec![Digest::of(b"x")]));
        assert!(crate::codec::from_bytes::<Frontier>(&bytes).is_err());
    }
}

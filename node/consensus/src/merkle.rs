//! The tree of RFC 6962 over hashes of equal subtrees.
//!
//! A page of 256 leaves and a bundle of 4096 are whole subtrees, so the log's tree is also a tree over one hash for each
//! bundle (the last one for what is not a full bundle yet), and a bundle's over one for each page.

use portcullis_domain::merkle::node_hash;

use crate::ledger::Digest;

/// Root over hashes that are already hashes of leaves or of equal subtrees. The empty tree has SHA-256 of nothing.
pub(crate) fn root(hashes: &[Digest]) -> Digest {
    match hashes {
        [] => Digest::of(&[]),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(split(many.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use portcullis_domain::merkle::{leaf_hash, root_of};

    use super::*;

    fn hashes(count: usize) -> Vec<Digest> {
        (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    #[test]
    fn roots_are_those_of_rfc_6962() {
        // Test vectors of the certificate-transparency project: the empty tree and its first leaves.
        assert_eq!(
            root(&[]).to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let leaves: [&[u8]; 3] = [b"", &[0], &[0x10]];
        let leaves: Vec<Digest> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        assert_eq!(
            root(&leaves[..1]).to_string(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
        assert_eq!(
            root(&leaves[..2]).to_string(),
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
        );
        assert_eq!(
            root(&leaves).to_string(),
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
        );
    }

    #[test]
    fn the_tree_over_bundles_is_the_tree_over_leaves() {
        for count in (1..70).chain([255, 256, 257, 511, 512, 513, 1000, 1024, 1300]) {
            let leaves = hashes(count);
            for bundle in [1, 2, 16, 256] {
                let bundles: Vec<Digest> = leaves.chunks(bundle).map(root).collect();
                assert_eq!(root(&bundles), root(&leaves), "{count} leaves in bundles of {bundle}");
            }
            assert_eq!(
                root_of(leaves.iter().copied()),
                root(&leaves),
                "{count} leaves one by one"
            );
        }
    }
}

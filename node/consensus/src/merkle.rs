//! Proofs that a bundle belongs to a decision log, over the tree of RFC 6962.
//!
//! A full bundle of 256 leaves is a whole subtree, so the log's tree is also a tree over one hash for each bundle (the last
//! one for what is not a full bundle yet). Proof and check work on these hashes.

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

/// The hashes beside the way from `index` to the root, nearest first (RFC 6962 section 2.1.1).
pub(crate) fn proof(hashes: &[Digest], index: usize) -> Vec<Digest> {
    if hashes.len() < 2 {
        return Vec::new();
    }
    let at = split(hashes.len());
    let (left, right) = hashes.split_at(at);
    let (mut path, beside) = if index < at {
        (proof(left, index), root(right))
    } else {
        (proof(right, index - at), root(left))
    };
    path.push(beside);
    path
}

/// Does the hash at `index` of `count` lead to the root? (RFC 9162 section 2.1.3.2)
pub(crate) fn leads_to(want: &Digest, hash: Digest, index: u64, count: u64, path: &[Digest]) -> bool {
    if index >= count {
        return false;
    }
    let (mut at, mut last) = (index, count - 1);
    let mut hash = hash;
    for beside in path {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(beside, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, beside);
        }
        at >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *want
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: usize) -> usize {
    count.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use portcullis_domain::merkle::leaf_hash;

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
    fn every_proof_holds_for_its_place_and_for_no_other() {
        for count in 1..=33 {
            let hashes = hashes(count);
            let root = root(&hashes);
            for (index, hash) in hashes.iter().enumerate() {
                let path = proof(&hashes, index);
                let check = |hash, index| leads_to(&root, hash, index as u64, count as u64, &path);
                assert!(check(*hash, index), "{index} of {count}");
                assert!(!check(leaf_hash(b"other"), index));
                assert!(!check(*hash, index + 1));
                let mut longer = path.clone();
                longer.push(leaf_hash(b"more"));
                assert!(!leads_to(&root, *hash, index as u64, count as u64, &longer));
            }
        }
    }

    #[test]
    fn the_tree_over_bundles_is_the_tree_over_leaves() {
        for count in [256, 257, 511, 512, 513, 1000, 1024, 1300] {
            let leaves = hashes(count);
            let bundles: Vec<Digest> = leaves.chunks(256).map(root).collect();
            assert_eq!(root(&bundles), root(&leaves), "{count} leaves");
        }
    }
}

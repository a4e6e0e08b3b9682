//! Do replicas hold the same log? Each remembers its newest (size, root) pairs, others ask about theirs.

use std::collections::VecDeque;

use crate::ledger::Digest;

/// Pairs remembered. Replicas that are further apart than that are compared once they have come closer.
const KEPT: usize = 8192;

/// Answer to "my log of this size has this root".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// Here it has the same root.
    Same,
    /// Here it has another root: one of the two replicas is wrong.
    Different,
    /// This replica is not there yet, has forgotten it, or never stopped at that size.
    Unknown,
}

/// The newest pairs, sizes ascending. Pairs are taken after each Raft entry, so all replicas have the same sizes.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    pairs: VecDeque<(u64, Digest)>,
}

impl Roots {
    /// Remembers a pair. A size that is not new is ignored.
    pub(crate) fn push(&mut self, size: u64, root: Digest) {
        if self.pairs.back().is_some_and(|(last, _)| size <= *last) {
            return;
        }
        if self.pairs.len() == KEPT {
            self.pairs.pop_front();
        }
        self.pairs.push_back((size, root));
    }

    pub(crate) fn check(&self, size: u64, root: &Digest) -> Agreement {
        match self.pairs.binary_search_by_key(&size, |(size, _)| *size) {
            Ok(at) if self.pairs[at].1 == *root => Agreement::Same,
            Ok(_) => Agreement::Different,
            Err(_) => Agreement::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_different_and_unknown_roots_are_told_apart() {
        let mut roots = Roots::default();
        for size in [0, 2, 2, 5] {
            roots.push(size, Digest([size as u8; 32]));
        }
        assert_eq!(roots.check(2, &Digest([2; 32])), Agreement::Same);
        assert_eq!(roots.check(5, &Digest([2; 32])), Agreement::Different);
        assert_eq!(roots.check(3, &Digest([3; 32])), Agreement::Unknown);
        assert_eq!(roots.check(9, &Digest([9; 32])), Agreement::Unknown);
    }

    #[test]
    fn old_pairs_are_forgotten() {
        let mut roots = Roots::default();
        for size in 0..=KEPT as u64 {
            roots.push(size, Digest([0; 32]));
        }
        assert_eq!(roots.check(0, &Digest([0; 32])), Agreement::Unknown);
        assert_eq!(roots.check(1, &Digest([0; 32])), Agreement::Same);
        assert_eq!(roots.pairs.len(), KEPT);
    }
}

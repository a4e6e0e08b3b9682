//! Which requests were answered so long ago that only this is still known of them.
//!
//! One key of 16 bytes a request, for ever, so the set has to be small: a trie over the keys' half-bytes whose leaves are
//! sorted arrays. A key costs about 21 bytes in memory (in an ordered map 31) and 16 in a snapshot. Keys are digests, so the
//! trie is as deep as its size needs and no deeper. Its shape follows from the keys alone, not from their history.

use std::sync::Arc;

use crate::codec::{Canonical, CodecError, Reader};

/// Half of the SHA-256 of a request's source and id: plenty to recognise it.
pub(super) type RequestKey = [u8; 16];

/// The most keys of a leaf. An insertion copies one leaf, so small is fast; each leaf costs some 45 bytes, so large is small.
const LEAF_MAX: usize = 64;
const FANOUT: usize = 16;

/// A set of keys that only grows. Cloning is O(1); a clone shares what has not changed since.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Spent {
    root: Node,
    len: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Leaf(Arc<[RequestKey]>),
    Branch(Arc<[Node; FANOUT]>),
}

impl Default for Node {
    fn default() -> Self {
        Self::Leaf(Arc::default())
    }
}

impl Spent {
    /// How many keys.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains(&self, key: &RequestKey) -> bool {
        let mut node = &self.root;
        for depth in 0.. {
            match node {
                Node::Leaf(keys) => return keys.binary_search(key).is_ok(),
                Node::Branch(children) => node = &children[half_byte(key, depth)],
            }
        }
        false
    }

    /// Adds a key; adding it again changes nothing.
    pub(super) fn insert(&mut self, key: RequestKey) {
        self.len += usize::from(self.root.insert(key, 0));
    }
}

impl Node {
    /// From keys in order that share their first `depth` half-bytes.
    fn of(keys: &[RequestKey], depth: usize) -> Self {
        if keys.len() <= LEAF_MAX {
            return Self::Leaf(keys.into());
        }
        let mut rest = keys;
        Self::Branch(Arc::new(std::array::from_fn(|child| {
            let count = rest.partition_point(|key| half_byte(key, depth) <= child);
            let (own, others) = rest.split_at(count);
            rest = others;
            Self::of(own, depth + 1)
        })))
    }

    /// Whether the key is new.
    fn insert(&mut self, key: RequestKey, depth: usize) -> bool {
        match self {
            Self::Branch(children) => Arc::make_mut(children)[half_byte(&key, depth)].insert(key, depth + 1),
            Self::Leaf(keys) => {
                let Err(at) = keys.binary_search(&key) else {
                    return false;
                };
                let mut more = Vec::with_capacity(keys.len() + 1);
                more.extend_from_slice(&keys[..at]);
                more.push(key);
                more.extend_from_slice(&keys[at..]);
                *self = Self::of(&more, depth);
                true
            }
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Leaf(keys) => out.extend_from_slice(keys.as_flattened()),
            Self::Branch(children) => children.iter().for_each(|child| child.put(out)),
        }
    }
}

fn half_byte(key: &RequestKey, depth: usize) -> usize {
    let byte = key[depth / 2];
    usize::from(if depth.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 0x0f
    })
}

/// The number of keys and the keys in order.
impl Canonical for Spent {
    fn put(&self, out: &mut Vec<u8>) {
        crate::codec::put_len(self.len, out);
        out.reserve(self.len * size_of::<RequestKey>());
        self.root.put(out);
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        const WHAT: &str = "set of spent requests";
        let len = u32::take(from)? as usize;
        let size = len
            .checked_mul(size_of::<RequestKey>())
            .ok_or(CodecError::Truncated { what: WHAT })?;
        let (keys, _) = from.take(size, WHAT)?.as_chunks::<{ size_of::<RequestKey>() }>();
        if !keys.is_sorted_by(|one, next| one < next) {
            return Err(CodecError::Invalid {
                what: WHAT,
                why: "keys are not in order".to_owned(),
            });
        }
        Ok(Self {
            root: Node::of(keys, 0),
            len,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{from_bytes, to_bytes};
    use crate::id::Digest;

    fn key(number: u64) -> RequestKey {
        let digest = Digest::of(&number.to_be_bytes());
        std::array::from_fn(|at| digest.0[at])
    }

    fn set(numbers: impl IntoIterator<Item = u64>) -> Spent {
        let mut set = Spent::default();
        numbers.into_iter().for_each(|number| set.insert(key(number)));
        set
    }

    #[test]
    fn what_was_added_is_found_and_nothing_else() {
        let set = set(0..5000);
        assert_eq!(set.len(), 5000);
        assert!((0..5000).all(|number| set.contains(&key(number))));
        assert!((5000..10_000).all(|number| !set.contains(&key(number))));
    }

    #[test]
    fn order_and_repetition_of_additions_do_not_matter() {
        let forth = set(0..3000);
        let back = set((0..3000).rev().chain(10..500));
        assert_eq!(forth, back);
        assert_eq!(to_bytes(&forth), to_bytes(&back));
    }

    #[test]
    fn its_bytes_are_the_count_and_the_keys_in_order_and_read_back_the_same() {
        for count in [0, 1, LEAF_MAX as u64, LEAF_MAX as u64 + 1, 4000] {
            let set = set(0..count);
            let bytes = to_bytes(&set);
            let mut keys: Vec<_> = (0..count).map(key).collect();
            keys.sort_unstable();
            assert_eq!(bytes, [&(count as u32).to_be_bytes()[..], keys.as_flattened()].concat());
            assert_eq!(from_bytes::<Spent>(&bytes).as_ref(), Ok(&set));
        }
    }

    #[test]
    fn a_clone_does_not_see_what_is_added_later() {
        let mut set = set(0..1000);
        let before = set.clone();
        set.insert(key(1000));
        assert!(!before.contains(&key(1000)) && set.contains(&key(1000)));
        assert_eq!((before.len(), set.len()), (1000, 1001));
    }

    #[test]
    fn bytes_out_of_order_twice_the_same_or_too_few_are_refused() {
        let bytes = |keys: &[RequestKey], count: u32| [&count.to_be_bytes()[..], keys.as_flattened()].concat();
        for wrong in [
            bytes(&[[2; 16], [1; 16]], 2),
            bytes(&[[1; 16], [1; 16]], 2),
            bytes(&[[1; 16]], 2),
            bytes(&[[1; 16]], u32::MAX),
        ] {
            assert!(from_bytes::<Spent>(&wrong).is_err());
        }
    }

    #[test]
    fn keys_that_share_a_long_beginning_are_kept_apart() {
        let mut set = Spent::default();
        for last in 0..=255 {
            let mut key = [7; 16];
            key[15] = last;
            set.insert(key);
        }
        assert_eq!(set.len(), 256);
        assert_eq!(from_bytes::<Spent>(&to_bytes(&set)).as_ref(), Ok(&set));
    }
}

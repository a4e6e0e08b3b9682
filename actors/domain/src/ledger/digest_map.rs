//! A map whose keys are digests: what the ledger knows of requests, of which there may be millions.
//!
//! A trie over the keys' half-bytes whose leaves are sorted arrays. Digests are spread evenly, so the trie is as deep as its size
//! needs and no deeper, and a look-up touches a few small pieces of memory where an ordered tree compares its way through large
//! ones. Its shape follows from the keys alone, not from their history. A set is a map to nothing: a key then costs about 21
//! bytes in memory (in an ordered tree 31) and 16 in a snapshot.

use std::sync::Arc;

use crate::codec::{Canonical, CodecError, Reader};

/// Half of a SHA-256: plenty to tell requests apart.
pub(super) type Key = [u8; 16];

const FANOUT: usize = 16;

/// Keys with values. A leaf holds at most `LEAF` of them: an insertion copies one leaf, so small is fast; each leaf costs some
/// 45 bytes, so large is small. Cloning is O(1); a clone shares what has not changed since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DigestMap<V, const LEAF: usize> {
    root: Node<V, LEAF>,
    len: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node<V, const LEAF: usize> {
    Leaf(Arc<[(Key, V)]>),
    Branch(Arc<[Node<V, LEAF>; FANOUT]>),
}

impl<V, const LEAF: usize> Default for DigestMap<V, LEAF> {
    fn default() -> Self {
        Self {
            root: Node::Leaf(Arc::new([])),
            len: 0,
        }
    }
}

impl<V: Clone, const LEAF: usize> DigestMap<V, LEAF> {
    /// How many keys.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: &Key) -> Option<&V> {
        let mut node = &self.root;
        for depth in 0.. {
            match node {
                Node::Leaf(pairs) => return Some(&pairs[find(pairs, key).ok()?].1),
                Node::Branch(children) => node = &children[half_byte(key, depth)],
            }
        }
        None
    }

    /// Adds a key; the value of one that is there is replaced.
    pub(super) fn insert(&mut self, key: Key, value: V) {
        self.len += usize::from(self.root.insert(key, value, 0));
    }

    /// Takes a key out, if it is there.
    pub(super) fn remove(&mut self, key: &Key) {
        self.len -= usize::from(self.root.remove(key, 0));
    }

    /// All pairs, in the order of the keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(Key, V)> {
        let mut open = vec![std::slice::from_ref(&self.root).iter()];
        let mut pairs = [].iter();
        std::iter::from_fn(move || {
            loop {
                if let Some(pair) = pairs.next() {
                    return Some(pair);
                }
                match open.last_mut()?.next() {
                    Some(Node::Leaf(leaf)) => pairs = leaf.iter(),
                    Some(Node::Branch(children)) => open.push(children.iter()),
                    None => drop(open.pop()),
                }
            }
        })
    }
}

impl<V: Clone, const LEAF: usize> Node<V, LEAF> {
    /// From pairs in order whose keys share their first `depth` half-bytes.
    fn of(pairs: &[(Key, V)], depth: usize) -> Self {
        if pairs.len() <= LEAF {
            return Self::Leaf(pairs.into());
        }
        let mut rest = pairs;
        Self::Branch(Arc::new(std::array::from_fn(|child| {
            let count = rest.partition_point(|(key, _)| half_byte(key, depth) <= child);
            let (own, others) = rest.split_at(count);
            rest = others;
            Self::of(own, depth + 1)
        })))
    }

    /// Whether the key is new.
    fn insert(&mut self, key: Key, value: V, depth: usize) -> bool {
        match self {
            Self::Branch(children) => Arc::make_mut(children)[half_byte(&key, depth)].insert(key, value, depth + 1),
            Self::Leaf(pairs) => match find(pairs, &key) {
                Ok(at) => {
                    Arc::make_mut(pairs)[at].1 = value;
                    false
                }
                Err(at) => {
                    let (before, after) = pairs.split_at(at);
                    let new = std::iter::once((key, value));
                    let more: Arc<[_]> = before.iter().cloned().chain(new).chain(after.iter().cloned()).collect();
                    *self = match more.len() <= LEAF {
                        true => Self::Leaf(more),
                        false => Self::of(&more, depth),
                    };
                    true
                }
            },
        }
    }

    /// Whether the key was there.
    fn remove(&mut self, key: &Key, depth: usize) -> bool {
        match self {
            Self::Leaf(pairs) => {
                let found = find(pairs, key);
                if let Ok(at) = found {
                    let (before, after) = pairs.split_at(at);
                    let fewer = before.iter().chain(&after[1..]).cloned().collect();
                    *self = Self::Leaf(fewer);
                }
                found.is_ok()
            }
            Self::Branch(children) => {
                let children = Arc::make_mut(children);
                let removed = children[half_byte(key, depth)].remove(key, depth + 1);
                if removed && let Some(fewer) = gathered(children) {
                    *self = Self::Leaf(fewer);
                }
                removed
            }
        }
    }
}

/// All pairs below a branch, if they fit into one leaf.
fn gathered<V: Clone, const LEAF: usize>(children: &[Node<V, LEAF>; FANOUT]) -> Option<Arc<[(Key, V)]>> {
    let mut len = 0;
    for child in children {
        match child {
            Node::Leaf(pairs) => len += pairs.len(),
            // A branch has more than fits.
            Node::Branch(_) => return None,
        }
    }
    let leaves = children.iter().filter_map(|child| match child {
        Node::Leaf(pairs) => Some(pairs),
        Node::Branch(_) => None,
    });
    (len <= LEAF).then(|| leaves.flat_map(|pairs| pairs.iter().cloned()).collect())
}

fn find<V>(pairs: &[(Key, V)], key: &Key) -> Result<usize, usize> {
    pairs.binary_search_by(|(one, _)| one.cmp(key))
}

fn half_byte(key: &Key, depth: usize) -> usize {
    let byte = key[depth / 2];
    usize::from(if depth.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 0x0f
    })
}

/// As any map: the number of pairs, and the pairs in the order of their keys.
impl<V: Canonical + Clone, const LEAF: usize> Canonical for DigestMap<V, LEAF> {
    fn put(&self, out: &mut Vec<u8>) {
        crate::codec::put_len(self.len, out);
        out.reserve(self.len * size_of::<(Key, V)>());
        for (key, value) in self.iter() {
            out.extend_from_slice(key);
            value.put(out);
        }
    }

    fn take(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        let len = u32::take(from)? as usize;
        // Not more than the bytes can hold.
        let mut pairs: Vec<(Key, V)> = Vec::with_capacity(len.min(from.remaining() / size_of::<(Key, V)>()));
        for _ in 0..len {
            let key = from.array("map of digests")?;
            if pairs.last().is_some_and(|(last, _)| *last >= key) {
                return Err(CodecError::Invalid {
                    what: "map of digests",
                    why: "keys are not in order".to_owned(),
                });
            }
            pairs.push((key, V::take(from)?));
        }
        Ok(Self {
            root: Node::of(&pairs, 0),
            len,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::codec::{from_bytes, to_bytes};
    use crate::id::Digest;

    type Set = DigestMap<(), 64>;
    type Map = DigestMap<u32, 4>;

    fn key(number: u64) -> Key {
        let digest = Digest::of(&number.to_be_bytes());
        std::array::from_fn(|at| digest.0[at])
    }

    fn set(numbers: impl IntoIterator<Item = u64>) -> Set {
        let mut set = Set::default();
        numbers.into_iter().for_each(|number| set.insert(key(number), ()));
        set
    }

    #[test]
    fn what_was_added_is_found_and_nothing_else() {
        let set = set(0..5000);
        assert_eq!(set.len(), 5000);
        assert!((0..5000).all(|number| set.get(&key(number)).is_some()));
        assert!((5000..10_000).all(|number| set.get(&key(number)).is_none()));
    }

    #[test]
    fn order_and_repetition_of_additions_do_not_matter() {
        let forth = set(0..3000);
        let back = set((0..3000).rev().chain(10..500));
        assert_eq!(forth, back);
        assert_eq!(to_bytes(&forth), to_bytes(&back));
    }

    proptest! {
        #[test]
        fn it_is_a_map_and_its_shape_does_not_tell_its_history(
            steps in prop::collection::vec((any::<bool>(), 0u64..200, any::<u32>()), 0..400),
        ) {
            let (mut map, mut model) = (Map::default(), BTreeMap::new());
            for (add, number, value) in steps {
                let key = key(number);
                match add {
                    true => {
                        map.insert(key, value);
                        model.insert(key, value);
                    }
                    false => {
                        map.remove(&key);
                        model.remove(&key);
                    }
                }
                prop_assert_eq!(map.len(), model.len());
            }
            prop_assert!(map.iter().copied().eq(model.clone()));
            prop_assert!((0..200).all(|number| map.get(&key(number)) == model.get(&key(number))));
            let mut fresh = Map::default();
            for (key, value) in model {
                fresh.insert(key, value);
            }
            let read: Map = from_bytes(&to_bytes(&map)).unwrap();
            prop_assert_eq!(&read, &fresh);
            prop_assert_eq!(map, fresh);
        }
    }

    #[test]
    fn its_bytes_are_those_of_an_ordered_map() {
        for count in [0, 1, 4, 5, 64, 65, 4000] {
            let mut map = Map::default();
            let mut model = imbl::OrdMap::new();
            for number in 0..count {
                map.insert(key(number), number as u32);
                model.insert(key(number), number as u32);
            }
            assert_eq!(to_bytes(&map), to_bytes(&model));
        }
    }

    #[test]
    fn a_clone_does_not_see_what_changes_later() {
        let mut set = set(0..1000);
        let before = set.clone();
        set.insert(key(1000), ());
        set.remove(&key(3));
        assert!(before.get(&key(1000)).is_none() && set.get(&key(1000)).is_some());
        assert!(before.get(&key(3)).is_some() && set.get(&key(3)).is_none());
        assert_eq!((before.len(), set.len()), (1000, 1000));
    }

    #[test]
    fn bytes_out_of_order_twice_the_same_or_too_few_are_refused() {
        let bytes = |keys: &[Key], count: u32| [&count.to_be_bytes()[..], keys.as_flattened()].concat();
        for wrong in [
            bytes(&[[2; 16], [1; 16]], 2),
            bytes(&[[1; 16], [1; 16]], 2),
            bytes(&[[1; 16]], 2),
            bytes(&[[1; 16]], u32::MAX),
        ] {
            assert!(from_bytes::<Set>(&wrong).is_err());
        }
    }

    #[test]
    fn keys_that_share_a_long_beginning_are_kept_apart() {
        let mut set = Set::default();
        for last in 0..=255 {
            let mut key = [7; 16];
            key[15] = last;
            set.insert(key, ());
        }
        assert_eq!(set.len(), 256);
        assert_eq!(from_bytes::<Set>(&to_bytes(&set)).as_ref(), Ok(&set));
        for last in 0..255 {
            let mut key = [7; 16];
            key[15] = last;
            set.remove(&key);
        }
        assert!(matches!(&set.root, Node::Leaf(pairs) if pairs.len() == 1));
    }
}

//! A store of indexes in memory. Batches that were not flushed are lost at a crash, from some batch on.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Random;
use crate::state_store::{CHECKPOINT, Checkpoint, StateBatch, StateStore};

type Keys = BTreeMap<Vec<u8>, Vec<u8>>;
/// The values that a batch replaced.
type Replaced = Vec<(Vec<u8>, Option<Vec<u8>>)>;

#[derive(Debug, Default)]
struct Contents {
    keys: Keys,
    /// Of all keys and values.
    bytes: u64,
    /// Of each batch that is not flushed.
    replaced: Vec<Replaced>,
}

impl Contents {
    /// Sets or removes a key; what it was before.
    fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Option<Vec<u8>> {
        let size = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, |value| (key.len() + value.len()) as u64);
        let after = size(&value);
        let before = match value {
            Some(value) => self.keys.insert(key.clone(), value),
            None => self.keys.remove(&key),
        };
        self.bytes = self.bytes + after - size(&before);
        before
    }
}

/// The store. Clones are the same store.
#[derive(Debug, Clone, Default)]
pub struct ModelStore {
    contents: Arc<Mutex<Contents>>,
}

impl ModelStore {
    /// Cuts the power: some of the newest batches are lost unless they were flushed.
    pub fn crash(&self, seed: u64) {
        let mut contents = self.lock();
        let kept = Random(seed).below(contents.replaced.len() as u64 + 1) as usize;
        for batch in contents.replaced.split_off(kept).into_iter().rev() {
            for (key, before) in batch.into_iter().rev() {
                contents.put(key, before);
            }
        }
        contents.replaced.clear();
    }

    /// Loses everything, as a store that was moved aside.
    pub fn clear(&self) {
        *self.lock() = Contents::default();
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for ModelStore {
    fn checkpoint(&self) -> io::Result<Option<Checkpoint>> {
        self.lock()
            .keys
            .get(CHECKPOINT)
            .map(|bytes| Checkpoint::decode(bytes))
            .transpose()
    }

    fn apply(&self, batch: StateBatch) -> io::Result<()> {
        let mut contents = self.lock();
        let noted = batch
            .checkpoint
            .map(|checkpoint| (CHECKPOINT.to_vec(), checkpoint.encode()));
        let mut replaced = Vec::with_capacity(batch.puts.len() + 1);
        for (key, value) in batch.puts.into_iter().chain(noted) {
            let before = contents.put(key.clone(), Some(value));
            replaced.push((key, before));
        }
        contents.replaced.push(replaced);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.lock().replaced.clear();
        Ok(())
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(self.lock().keys.get(key).cloned())
    }

    fn keys(&self, prefix: &[u8], from: &[u8], max: usize) -> io::Result<Vec<Vec<u8>>> {
        let contents = self.lock();
        let keys = contents.keys.range(from.to_vec()..).map(|(key, _)| key);
        Ok(keys
            .take_while(|key| key.starts_with(prefix))
            .take(max)
            .cloned()
            .collect())
    }

    fn last(&self, prefix: &[u8], end: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let contents = self.lock();
        let before = contents.keys.range(prefix.to_vec()..end.to_vec()).next_back();
        Ok(before.map(|(key, _)| key.clone()))
    }

    fn disk_bytes(&self) -> u64 {
        self.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ledger::Digest;
    use crate::sled_store::SledStore;

    fn batch(number: u64, puts: &[(Vec<u8>, Vec<u8>)]) -> StateBatch {
        StateBatch {
            puts: puts.to_vec(),
            checkpoint: Some(Checkpoint {
                raft_index: number,
                log_size: number * 3,
                root: Digest([number as u8; 32]),
            }),
        }
    }

    fn puts() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
        let key = proptest::collection::vec(100..104_u8, 1..4);
        proptest::collection::vec((key, proptest::collection::vec(0..9_u8, 0..3)), 0..6)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn it_answers_as_sled_does(batches in proptest::collection::vec(puts(), 1..5), prefix in proptest::collection::vec(100..104_u8, 1..3),
            more in proptest::collection::vec(100..104_u8, 0..3), max in 1..5_usize)
        {
            let folder = tempfile::tempdir().unwrap();
            let (model, sled) = (ModelStore::default(), SledStore::open(&folder.path().join("sled")).unwrap());
            for (number, puts) in batches.iter().enumerate() {
                model.apply(batch(number as u64, puts)).unwrap();
                sled.apply(batch(number as u64, puts)).unwrap();
            }
            let place = [prefix.clone(), more].concat();
            prop_assert_eq!(model.checkpoint().unwrap(), sled.checkpoint().unwrap());
            prop_assert_eq!(model.get(&place).unwrap(), sled.get(&place).unwrap());
            prop_assert_eq!(model.keys(&prefix, &place, max).unwrap(), sled.keys(&prefix, &place, max).unwrap());
            prop_assert_eq!(model.last(&prefix, &place).unwrap(), sled.last(&prefix, &place).unwrap());
        }
    }

    #[test]
    fn a_crash_loses_the_newest_batches_only_and_none_that_was_flushed() {
        let mut kept = std::collections::BTreeSet::new();
        for seed in 0..40 {
            let store = ModelStore::default();
            for number in 1..=5_u64 {
                store.apply(batch(number, &[(vec![9], vec![number as u8])])).unwrap();
                if number == 2 {
                    store.flush().unwrap();
                }
            }
            store.crash(seed);
            let last = store.checkpoint().unwrap().unwrap().raft_index;
            assert_eq!(store.get(&[9]).unwrap(), Some(vec![last as u8]), "whole batches");
            let held: usize = store
                .lock()
                .keys
                .iter()
                .map(|(key, value)| key.len() + value.len())
                .sum();
            assert_eq!(store.disk_bytes(), held as u64);
            kept.insert(last);
        }
        assert_eq!(kept, (2..=5).collect());
    }
}

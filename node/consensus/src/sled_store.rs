//! The store of indexes on sled.
//!
//! sled's `flush` writes but does not make durable (on Linux it never calls fsync), so a checkpoint is `flush` and then
//! `fdatasync` on a descriptor of our own of its file. A store that does not open is moved aside and made again.

use std::fs::File;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::state_store::{CHECKPOINT, Checkpoint, INDEXED, StateBatch, StateStore};

/// Version of what is in the store. Another version is another tree, which is filled from the decision log.
const FORMAT: u32 = 2;
/// Name of the tree of a version, up to the number.
const TREE: &str = "state-";
/// Memory for pages, bytes; sled uses many times as much.
const CACHE: u64 = 8 << 20;
/// How long opening waits for a store that is in use.
const LOCKED: Duration = Duration::from_secs(5);

/// An opened store.
#[derive(Debug)]
pub(crate) struct SledStore {
    db: sled::Db,
    tree: sled::Tree,
    file: File,
}

impl SledStore {
    /// Opens the store; one that cannot be opened is moved aside and an empty one takes its place.
    ///
    /// Only damage counts: a disk that is full or a store that is in use is not cured by an empty one.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let note = note(folder);
        if note.exists() {
            if folder.exists() {
                let aside = move_aside(folder)?;
                tracing::error!(
                    folder = %folder.display(),
                    aside = %aside.display(),
                    "the index store failed before the last restart; it was moved aside and is being rebuilt from the \
                     decision log"
                );
            }
            std::fs::remove_file(&note)?;
        }
        let until = Instant::now() + LOCKED;
        let opened = loop {
            match Self::try_open(folder) {
                Err(Failure::Locked(_)) if Instant::now() < until => std::thread::sleep(LOCKED / 50),
                opened => break opened,
            }
        };
        match opened {
            Ok(store) => Ok(store),
            Err(Failure::Damaged(error)) => {
                let aside = move_aside(folder)?;
                tracing::error!(
                    folder = %folder.display(),
                    aside = %aside.display(),
                    %error,
                    "the index store does not open; it was moved aside and is being rebuilt from the decision log"
                );
                Self::try_open(folder).map_err(Failure::into_error)
            }
            Err(failure) => Err(failure.into_error()),
        }
    }

    fn try_open(folder: &Path) -> Result<Self, Failure> {
        let config = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE)
            .flush_every_ms(None);
        // sled asserts in its recovery code; damage must not take the node down.
        let opened = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let db = config.open()?;
            let tree = db.open_tree(format!("{TREE}{FORMAT}"))?;
            drop_older(&db)?;
            // Reads the checkpoint too: a page that is damaged shows here.
            tree.get(CHECKPOINT)?;
            Ok::<_, sled::Error>((db, tree))
        }));
        let (db, tree) = opened
            .map_err(|_| Failure::Damaged(io::Error::other("sled panicked while it recovered")))?
            .map_err(Failure::of)?;
        let file = File::open(folder.join("db")).map_err(Failure::Machine)?;
        // sled does not make its own creation durable.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(Failure::Machine)?;
        Ok(SledStore { db, tree, file })
    }
}

/// Frees what earlier versions of the program had in the store.
fn drop_older(db: &sled::Db) -> sled::Result<()> {
    for name in db.tree_names() {
        let version = std::str::from_utf8(&name).ok().and_then(|name| name.strip_prefix(TREE));
        if version
            .and_then(|version| version.parse().ok())
            .is_some_and(|version: u32| version < FORMAT)
        {
            db.drop_tree(&name)?;
        }
    }
    Ok(())
}

/// Why a store does not open.
enum Failure {
    /// What is in it makes no sense.
    Damaged(io::Error),
    /// Somebody else has it open, or an instance of this process that is just being closed.
    Locked(io::Error),
    /// The file system refuses.
    Machine(io::Error),
}

impl Failure {
    fn of(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => Failure::Locked(error),
            // Errors that do not come from the system are sled's own about what it read.
            sled::Error::Io(error) if error.raw_os_error().is_some() && error.kind() != io::ErrorKind::IsADirectory => {
                Failure::Machine(error)
            }
            other => Failure::Damaged(self::error(other)),
        }
    }

    fn into_error(self) -> io::Error {
        match self {
            Failure::Damaged(error) | Failure::Locked(error) | Failure::Machine(error) => error,
        }
    }
}

/// The note that a store has to be made again, beside its folder.
fn note(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".rebuild");
    PathBuf::from(name)
}

/// Has the next start move the store aside.
pub(crate) fn mark_damaged(folder: &Path) {
    let note = note(folder);
    if let Err(error) = File::create(&note).and_then(|file| file.sync_all()) {
        tracing::warn!(%error, note = %note.display(), "the next start will try the same index store again");
    }
}

/// Gives the folder another name, beside it.
pub(crate) fn move_aside(folder: &Path) -> io::Result<PathBuf> {
    for number in 1.. {
        let mut name = folder.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        let aside = PathBuf::from(name);
        if !aside.exists() {
            std::fs::rename(folder, &aside)?;
            return Ok(aside);
        }
    }
    unreachable!("there is always a number that is free")
}

impl StateStore for SledStore {
    fn checkpoint(&self) -> io::Result<Option<Checkpoint>> {
        self.tree
            .get(CHECKPOINT)
            .map_err(error)?
            .map(|bytes| Checkpoint::decode(&bytes))
            .transpose()
    }

    fn apply(&self, batch: StateBatch) -> io::Result<()> {
        let mut changes = sled::Batch::default();
        let count = batch.puts.len();
        for (key, value) in batch.puts {
            changes.insert(key, value);
        }
        if let Some(checkpoint) = batch.checkpoint {
            changes.insert(CHECKPOINT, checkpoint.encode());
        }
        self.tree.apply_batch(changes).map_err(error)?;
        // Each change leaves an old copy of a page behind, and sled frees a few of them every so many calls, whatever a call
        // does. A batch is one call: without as many others, batches of thousands take gigabytes.
        for _ in 0..count {
            self.tree.get(INDEXED).map_err(error)?;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.tree.flush().map_err(error)?;
        self.file.sync_data()
    }

    fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(self.tree.get(key).map_err(error)?.map(|value| value.to_vec()))
    }

    fn keys(&self, prefix: &[u8], from: &[u8], max: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut keys = Vec::new();
        for item in self.tree.range(from..) {
            let (key, _) = item.map_err(error)?;
            if !key.starts_with(prefix) || keys.len() == max {
                break;
            }
            keys.push(key.to_vec());
        }
        Ok(keys)
    }

    fn last(&self, prefix: &[u8], end: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match self.tree.range(prefix..end).next_back() {
            Some(item) => Ok(Some(item.map_err(error)?.0.to_vec())),
            None => Ok(None),
        }
    }

    fn disk_bytes(&self) -> u64 {
        self.db.size_on_disk().unwrap_or(0)
    }
}

fn error(error: sled::Error) -> io::Error {
    match error {
        sled::Error::Io(error) => error,
        other => io::Error::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_domain::equipment::EquipmentId;

    use crate::ledger::Digest;
    use crate::state_store::{container_prefix, inspection_key, number_at_end, numbered};

    fn batch() -> StateBatch {
        let prefix = || container_prefix(&EquipmentId::new("MSKU1234565").unwrap());
        StateBatch {
            puts: vec![
                (inspection_key(7), vec![0, 2]),
                (numbered(prefix(), 8), Vec::new()),
                (numbered(prefix(), 7), Vec::new()),
            ],
            checkpoint: Some(Checkpoint {
                raft_index: 9,
                log_size: 301,
                root: Digest([3; 32]),
            }),
        }
    }

    #[test]
    fn values_and_keys_in_order_are_found_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sled");
        let store = SledStore::open(&path).unwrap();
        store.apply(batch()).unwrap();
        store.flush().unwrap();
        drop(store);

        let store = SledStore::open(&path).unwrap();
        assert_eq!(store.checkpoint().unwrap(), batch().checkpoint);
        assert_eq!(store.get(&inspection_key(7)).unwrap(), Some(vec![0, 2]));
        assert_eq!(store.get(&inspection_key(9)).unwrap(), None);
        let prefix = |container| container_prefix(&EquipmentId::new(container).unwrap());
        let numbers = |prefix: Vec<u8>, from| -> Vec<u64> {
            let keys = store.keys(&prefix, &numbered(prefix.clone(), from), 10).unwrap();
            keys.iter().map(|key| number_at_end(key).unwrap()).collect()
        };
        assert_eq!(numbers(prefix("MSKU1234565"), 0), [7, 8]);
        assert_eq!(numbers(prefix("MSKU1234565"), 8), [8]);
        assert_eq!(numbers(prefix("MSKU123456"), 0), [0; 0]);
        let last = |prefix: Vec<u8>, end| {
            let key = store.last(&prefix, &numbered(prefix.clone(), end)).unwrap();
            key.map(|key| number_at_end(&key).unwrap())
        };
        assert_eq!(last(prefix("MSKU1234565"), 9), Some(8));
        assert_eq!(last(prefix("MSKU1234565"), 8), Some(7));
        assert_eq!(last(prefix("MSKU1234565"), 7), None);
    }

    #[test]
    fn what_older_versions_had_in_the_store_is_dropped_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sled");
        let store = SledStore::open(&path).unwrap();
        store.apply(batch()).unwrap();
        let newer = format!("state-{}", FORMAT + 1);
        for name in ["state-1", &newer, "another"] {
            store.db.open_tree(name).unwrap().insert(b"k", b"value").unwrap();
        }
        store.db.flush().unwrap();
        drop(store);

        for _ in 0..2 {
            let store = SledStore::open(&path).unwrap();
            let names: std::collections::BTreeSet<_> = store.db.tree_names().into_iter().collect();
            let has = |name: &str| names.contains(name.as_bytes());
            assert!(!has("state-1") && has(&newer) && has("another"), "{names:?}");
            assert_eq!(store.checkpoint().unwrap(), batch().checkpoint);
            store.flush().unwrap();
        }
    }

    #[test]
    fn a_store_that_does_not_open_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sled");
        let store = SledStore::open(&path).unwrap();
        store.apply(batch()).unwrap();
        store.flush().unwrap();
        drop(store);
        std::fs::remove_file(path.join("db")).unwrap();
        std::fs::create_dir(path.join("db")).unwrap();

        let store = SledStore::open(&path).unwrap();
        assert_eq!(store.checkpoint().unwrap(), None);
        assert!(folder.path().join("sled.damaged-1").exists());
    }

    #[test]
    fn a_store_that_failed_while_it_was_used_is_moved_aside_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sled");
        let store = SledStore::open(&path).unwrap();
        store.apply(batch()).unwrap();
        store.flush().unwrap();
        drop(store);
        mark_damaged(&path);

        let store = SledStore::open(&path).unwrap();
        assert_eq!(store.checkpoint().unwrap(), None);
        drop(store);
        SledStore::open(&path).unwrap();
        assert!(folder.path().join("sled.damaged-1").exists());
        assert!(!folder.path().join("sled.damaged-2").exists());
    }

    #[test]
    fn a_store_that_is_in_use_for_a_moment_is_waited_for_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sled");
        let store = SledStore::open(&path).unwrap();
        store.apply(batch()).unwrap();
        store.flush().unwrap();
        let second = std::thread::spawn({
            let path = path.clone();
            move || SledStore::open(&path).unwrap()
        });
        // Whether it has tried by now or not: it gets the store once this one lets go.
        std::thread::yield_now();
        drop(store);
        assert_eq!(second.join().unwrap().checkpoint().unwrap(), batch().checkpoint);
        assert!(!folder.path().join("sled.damaged-1").exists());
    }
}

//! Keeps the index store up to date by following the decision log from where the store was left.
//!
//! Apply does not wait for it. What the store holds is always a prefix of the log, so a lost store is made again by the same
//! loop, from number 0.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_domain::equipment::EquipmentId;
use portcullis_domain::id::InspectionNo;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::consensus::Consensus;
use crate::errors::ReadError;
use crate::ledger;
use crate::record::invalid;
use crate::replica::Replica;
use crate::sled_store::{SledStore, mark_damaged, move_aside};
use crate::state_store::{Checkpoint, StateBatch, StateStore, container_prefix, inspection_prefix, number_at_end};

/// Entries in one batch.
const BATCH: usize = 1024;
/// Time between batches: a few entries more make a batch hardly dearer.
const REST: Duration = Duration::from_millis(2);
/// The store is made durable after this time or this many entries.
const FLUSH_AFTER: Duration = Duration::from_millis(500);
const FLUSH_ENTRIES: u64 = 10_000;
/// Pause before entries that could not be had are asked for again.
const RETRY: Duration = Duration::from_millis(500);
/// How long a question waits for the index to catch up.
const PATIENCE: Duration = Duration::from_secs(2);

/// Opens a store of indexes in a folder. Blocks.
pub type OpenStore = Arc<dyn Fn(&Path) -> io::Result<Arc<dyn StateStore>> + Send + Sync>;

/// The production store.
pub(crate) fn open_sled() -> OpenStore {
    Arc::new(|folder| {
        let store = SledStore::open(folder)?;
        if let Err(error) = store.checkpoint() {
            drop(store);
            let aside = move_aside(folder)?;
            tracing::error!(%error, aside = %aside.display(), "the index store is damaged; it was moved aside and is being rebuilt");
            return Ok(Arc::new(SledStore::open(folder)?));
        }
        Ok(Arc::new(store))
    })
}

/// The index of one replica.
#[derive(Debug)]
pub(crate) struct Index {
    folder: PathBuf,
    store: Mutex<Option<Arc<dyn StateStore>>>,
    /// Entries that can be found.
    indexed: watch::Sender<u64>,
    /// The newest checkpoint that is durable.
    durable: watch::Sender<Option<Checkpoint>>,
}

impl Index {
    pub(crate) fn new(folder: PathBuf, store: Arc<dyn StateStore>, checkpoint: Option<Checkpoint>) -> Self {
        Index {
            folder,
            store: Mutex::new(Some(store)),
            indexed: watch::channel(checkpoint.map_or(0, |checkpoint| checkpoint.log_size)).0,
            durable: watch::channel(checkpoint).0,
        }
    }

    fn store(&self) -> Option<Arc<dyn StateStore>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets go of the store, so that another process can open it.
    pub(crate) fn close(&self) {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(crate) fn durable(&self) -> Option<Checkpoint> {
        *self.durable.borrow()
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.store().map_or(0, |store| store.disk_bytes())
    }

    /// Follows the log until stopped. An error of the store is final for the node.
    pub(crate) async fn run(self: Arc<Self>, consensus: Consensus, stop: CancellationToken) -> io::Result<()> {
        let replica = Arc::clone(consensus.replica());
        let mut applied = replica.applied.subscribe();
        // What was replayed before this began has to be indexed also when nothing new is applied.
        applied.mark_changed();
        let mut unflushed: Option<(Checkpoint, Instant, u64)> = None;
        loop {
            let behind = *self.indexed.borrow() < replica.view.load().log_size;
            let retry_at = behind.then(|| Instant::now() + RETRY);
            let flush_at = unflushed.as_ref().map(|(_, since, _)| *since + FLUSH_AFTER);
            tokio::select! {
                changed = applied.changed() => if changed.is_err() { break },
                () = sleep_until(flush_at) => {}
                () = sleep_until(retry_at) => {}
                () = stop.cancelled() => break,
            }
            let from = *self.indexed.borrow();
            if let Some(checkpoint) = self.catch_up(&consensus, &replica, &stop).await? {
                let entries = checkpoint.log_size - from + unflushed.as_ref().map_or(0, |(_, _, entries)| *entries);
                let since = unflushed.as_ref().map_or_else(Instant::now, |(_, since, _)| *since);
                unflushed = Some((checkpoint, since, entries));
            }
            if let Some((checkpoint, since, entries)) = unflushed.take() {
                if entries >= FLUSH_ENTRIES || since.elapsed() >= FLUSH_AFTER {
                    self.flush(&replica, checkpoint).await?;
                } else {
                    unflushed = Some((checkpoint, since, entries));
                }
            }
            tokio::time::sleep(REST).await;
        }
        if let Some((checkpoint, _, _)) = unflushed {
            self.flush(&replica, checkpoint).await?;
        }
        Ok(())
    }

    async fn flush(&self, replica: &Replica, checkpoint: Checkpoint) -> io::Result<()> {
        if let Some(store) = self.store() {
            let flushed = replica.blocking.run(move || store.flush()).await;
            self.noted(flushed)?;
            self.durable.send_replace(Some(checkpoint));
        }
        Ok(())
    }

    /// Leaves a note for the next start when the store itself seems damaged: it is made again then, instead of failing in
    /// the same way for ever.
    fn noted<T>(&self, result: io::Result<T>) -> io::Result<T> {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        if let Err(error) = &result
            && !matches!(
                error.kind(),
                StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied
            )
        {
            mark_damaged(&self.folder);
        }
        result
    }

    /// Indexes up to the newest view. `None` when it had to stop or entries cannot be had now.
    async fn catch_up(
        &self,
        consensus: &Consensus,
        replica: &Replica,
        stop: &CancellationToken,
    ) -> io::Result<Option<Checkpoint>> {
        let view = replica.view.load_full();
        let mut next = *self.indexed.borrow();
        if view.log_size < next {
            // The store was ahead of what has been replayed so far.
            return Ok(None);
        }
        loop {
            let want = usize::try_from(view.log_size - next).unwrap_or(BATCH).min(BATCH);
            let entries = tokio::select! {
                entries = consensus.entries(next, want) => entries,
                () = stop.cancelled() => return Ok(None),
            };
            let entries = match entries {
                Ok(entries) => entries,
                Err(ReadError::Storage(error)) => return Err(io::Error::other(error)),
                Err(error) => {
                    tracing::warn!(%error, "the index waits for entries of the decision log");
                    return Ok(None);
                }
            };
            let Some(store) = self.store() else {
                return Ok(None);
            };
            let last = next + entries.len() as u64;
            let checkpoint = (last == view.log_size).then_some(Checkpoint {
                raft_index: view.raft_index,
                log_size: view.log_size,
                root: view.root,
            });
            let mut batch = StateBatch::default();
            for (number, leaf) in &entries {
                let subjects = ledger::subjects(leaf)
                    .map_err(|error| invalid(format!("entry {number} of the decision log: {error}")))?;
                batch.add(*number, &subjects);
            }
            batch.checkpoint = checkpoint;
            let written = replica.blocking.run(move || store.apply(batch)).await;
            self.noted(written)?;
            next = last;
            self.indexed.send_replace(next);
            if checkpoint.is_some() {
                return Ok(checkpoint);
            }
        }
    }

    /// Waits until everything in the current view can be found.
    async fn current(&self, replica: &Replica) -> Result<Arc<dyn StateStore>, ReadError> {
        let size = replica.view.load().log_size;
        let mut indexed = self.indexed.subscribe();
        match timeout(PATIENCE, indexed.wait_for(|indexed| *indexed >= size)).await {
            Ok(Ok(_)) => self.store().ok_or(ReadError::Stopped),
            Ok(Err(_)) => Err(ReadError::Stopped),
            Err(_) => Err(ReadError::NotHere {
                entry: *self.indexed.borrow(),
                detail: "the index is being rebuilt".to_owned(),
            }),
        }
    }

    async fn numbers(&self, replica: &Replica, prefix: Vec<u8>, from: u64, max: usize) -> Result<Vec<u64>, ReadError> {
        let store = self.current(replica).await?;
        replica
            .blocking
            .run(move || {
                let mut first = prefix.clone();
                first.extend(from.to_be_bytes());
                let keys = store.keys(&prefix, &first, max)?;
                keys.iter().map(|key| number_at_end(key)).collect()
            })
            .await
            .map_err(|error| ReadError::Storage(error.to_string()))
    }
}

impl Consensus {
    /// Numbers of the entries about an inspection, from entry `from` on, ascending, at most `max`.
    ///
    /// # Errors
    /// When the index is being rebuilt, or damaged.
    pub async fn entries_of_inspection(
        &self,
        inspection: InspectionNo,
        from: u64,
        max: usize,
    ) -> Result<Vec<u64>, ReadError> {
        let prefix = inspection_prefix(inspection.0);
        self.index().numbers(self.replica(), prefix, from, max).await
    }

    /// Numbers of the inspections of a container, ascending from `from` on, at most `max`.
    ///
    /// # Errors
    /// When the index is being rebuilt, or damaged.
    pub async fn inspections_of_container(
        &self,
        container: &EquipmentId,
        from: u64,
        max: usize,
    ) -> Result<Vec<u64>, ReadError> {
        let prefix = container_prefix(container);
        self.index().numbers(self.replica(), prefix, from, max).await
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

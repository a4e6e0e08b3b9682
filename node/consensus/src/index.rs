//! Keeps the index store up to date by following the decision log from where the store was left.
//!
//! Neither start nor apply waits for it: the store is opened in the background, and what it holds is always a prefix of the
//! log, so a lost store is made again by the same loop, from number 0.

use std::io;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::consensus::Consensus;
use crate::course::Courses;
use crate::errors::ReadError;
use crate::pace::Pace;
use crate::recheck::same_as_before;
use crate::replica::Replica;
use crate::shown::Head;
use crate::sled_store::{SledStore, mark_damaged, move_aside};
use crate::state_store::{self, Checkpoint, StateStore};

/// Entries in one batch. While the store is made again most inspections open and close within one, and are written once.
const BATCH: usize = 4 * 1024;
/// Entries asked for at once.
const READ: usize = 1024;
/// Time between batches, unless somebody waits: a batch costs wake-ups of several threads, a few entries more cost little.
const REST: Duration = Duration::from_millis(50);
/// Beside a busy log the index lags, and catches up in the next lull or when somebody asks it something: entries in one batch
/// then, and how many times as long as the batch took it rests after it.
const BUSY_BATCH: usize = 1024;
const BUSY_REST: u32 = 30;
/// The longest rest: a batch that the disk held up says nothing about the machine.
const REST_MAX: Duration = Duration::from_secs(1);
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
pub fn sled_opener() -> OpenStore {
    Arc::new(|folder| {
        let store = SledStore::open(folder)?;
        if let Err(error) = store.checkpoint().and_then(|_| state_store::indexed(&store)) {
            drop(store);
            let aside = move_aside(folder)?;
            tracing::error!(%error, aside = %aside.display(), "the index store is damaged; it was moved aside and is being rebuilt");
            return Ok(Arc::new(SledStore::open(folder)?));
        }
        Ok(Arc::new(store))
    })
}

/// The index of one replica.
pub(crate) struct Index {
    folder: PathBuf,
    open: OpenStore,
    store: Mutex<Option<Arc<dyn StateStore>>>,
    /// Entries that can be found; none while the store is being opened.
    indexed: watch::Sender<Option<u64>>,
    /// Somebody waits for the newest entries to be found.
    wanted: Notify,
}

/// What was written and is not durable yet.
struct Unflushed {
    since: Instant,
    entries: u64,
}

impl Index {
    pub(crate) fn new(folder: PathBuf, open: OpenStore) -> Self {
        Index {
            folder,
            open,
            store: Mutex::default(),
            indexed: watch::channel(None).0,
            wanted: Notify::new(),
        }
    }

    fn store(&self) -> Option<Arc<dyn StateStore>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets go of the store, so that another process can open it.
    pub(crate) fn close(&self) {
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner).take();
        // sled writes once more when it is dropped, and panics if that fails. A node with a disk that has failed would hang
        // there instead of ending.
        if std::panic::catch_unwind(AssertUnwindSafe(|| drop(store))).is_err() {
            tracing::warn!(folder = %self.folder.display(), "the index store could not be closed in order");
        }
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.store().map_or(0, |store| store.disk_bytes())
    }

    /// Opens the store and follows the log until stopped. An error of the store is final for the node, and so is a replica
    /// that is not what it was when the store was last written.
    pub(crate) async fn run(self: Arc<Self>, consensus: Consensus, stop: CancellationToken) -> io::Result<()> {
        let replica = Arc::clone(consensus.replica());
        let noted = self.open(&replica).await?;
        let compare = async {
            match noted {
                Some(noted) => same_as_before(Arc::clone(&replica), noted, stop.clone()).await,
                None => Ok(()),
            }
        };
        tokio::try_join!(compare, self.follow(&consensus, &replica, &stop))?;
        Ok(())
    }

    async fn open(&self, replica: &Replica) -> io::Result<Option<Checkpoint>> {
        let (open, folder) = (Arc::clone(&self.open), self.folder.clone());
        let opening = move || {
            let store = open(&folder)?;
            let checkpoint = store.checkpoint()?;
            let indexed = state_store::indexed(&*store)?;
            Ok((store, checkpoint, indexed))
        };
        let since = Instant::now();
        let (store, checkpoint, indexed) = replica.blocking.run(opening).await.map_err(|error| {
            io::Error::new(
                error.kind(),
                format!(
                    "the index store {} cannot be opened: {error}; check the disk, its free space and the permissions of the \
                     folder, then start again; the folder holds nothing that cannot be made again: if it is in the way, move \
                     it aside",
                    self.folder.display()
                ),
            )
        })?;
        tracing::info!(
            ms = since.elapsed().as_millis(),
            entries = indexed,
            "the index store is open"
        );
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Some(store);
        self.indexed.send_replace(Some(indexed));
        Ok(checkpoint)
    }

    async fn follow(&self, consensus: &Consensus, replica: &Replica, stop: &CancellationToken) -> io::Result<()> {
        let mut applied = replica.applied.subscribe();
        // What was replayed before this began has to be indexed also when nothing new is applied.
        applied.mark_changed();
        let mut courses = Courses::default();
        let mut unflushed: Option<Unflushed> = None;
        let mut pace = Pace::new(replica.shown.head().log_size);
        let mut asked = false;
        loop {
            let behind = self.indexed() < replica.shown.head().log_size;
            let retry_at = behind.then(|| Instant::now() + RETRY);
            let flush_at = unflushed.as_ref().map(|unflushed| unflushed.since + FLUSH_AFTER);
            tokio::select! {
                changed = applied.changed() => if changed.is_err() { break },
                () = sleep_until(flush_at) => {}
                () = sleep_until(retry_at) => {}
                () = std::future::ready(()), if asked && behind => {}
                () = stop.cancelled() => break,
            }
            let begun = Instant::now();
            let head = replica.shown.head();
            // Bundles that are being fetched come first too: until they are here this replica cannot answer for its log.
            let fetching = !replica.tlog.bundles.missing(1).is_empty();
            let busy = (pace.busy(head.log_size) || fetching) && !asked;
            let most = if busy { BUSY_BATCH } else { BATCH };
            // The other way round, the store is ahead of what has been replayed so far.
            while self.indexed() <= head.log_size {
                let from = self.indexed();
                let (kept, written) = self.step(consensus, replica, stop, courses, head, most).await?;
                courses = kept;
                let Some(checkpoint) = written else { break };
                let sum = unflushed.get_or_insert_with(|| Unflushed {
                    since: Instant::now(),
                    entries: 0,
                });
                sum.entries += self.indexed() - from;
                // Also while the store is made again from number 0, so that it goes on from there after the next start.
                if unflushed.take_if(|sum| sum.entries >= FLUSH_ENTRIES).is_some() {
                    self.flush(replica).await?;
                }
                if checkpoint.is_some() || busy {
                    break;
                }
            }
            if unflushed.take_if(|sum| sum.since.elapsed() >= FLUSH_AFTER).is_some() {
                self.flush(replica).await?;
            }
            // The log does not wait for the index, so the index must not take the machine from the log.
            let rest = if busy { begun.elapsed() * BUSY_REST } else { REST };
            tokio::select! {
                () = tokio::time::sleep(rest.clamp(REST, REST_MAX)) => asked = false,
                () = self.wanted.notified() => asked = true,
                () = stop.cancelled() => break,
            }
        }
        match unflushed {
            Some(_) => self.flush(replica).await,
            None => Ok(()),
        }
    }

    /// How many entries can be found.
    pub(crate) fn indexed(&self) -> u64 {
        self.indexed.borrow().unwrap_or(0)
    }

    async fn flush(&self, replica: &Replica) -> io::Result<()> {
        if let Some(store) = self.store() {
            let flushed = replica.blocking.run(move || store.flush()).await;
            self.noted(flushed)?;
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

    /// Writes one batch of entries towards the head, with a checkpoint when it gets there. `None` when it had to stop or
    /// entries cannot be had now.
    async fn step(
        &self,
        consensus: &Consensus,
        replica: &Replica,
        stop: &CancellationToken,
        mut courses: Courses,
        head: Head,
        most: usize,
    ) -> io::Result<(Courses, Option<Option<Checkpoint>>)> {
        let from = self.indexed();
        let mut entries: Vec<(u64, Bytes)> = Vec::new();
        let mut next = from;
        while next < head.log_size && entries.len() < most {
            let want = usize::try_from(head.log_size - next)
                .unwrap_or(READ)
                .min(READ)
                .min(most);
            let read = tokio::select! {
                read = consensus.entries(next, want) => read,
                () = stop.cancelled() => return Ok((courses, None)),
            };
            match read {
                Ok(read) => entries.extend(read),
                Err(ReadError::Storage(error)) => return Err(io::Error::other(error)),
                Err(error) if entries.is_empty() => {
                    tracing::warn!(%error, "the index waits for entries of the decision log");
                    return Ok((courses, None));
                }
                // What there is goes in first.
                Err(_) => break,
            }
            next = from + entries.len() as u64;
        }
        let checkpoint = (next == head.log_size).then_some(Checkpoint {
            raft_index: head.raft_index,
            log_size: head.log_size,
            root: head.root,
        });
        let Some(store) = self.store() else {
            return Ok((courses, None));
        };
        let writing = move || {
            let mut batch = courses.note(&*store, &entries)?;
            batch.checkpoint = checkpoint;
            store.apply(batch)?;
            Ok(courses)
        };
        let written = replica.blocking.run(writing).await;
        let courses = self.noted(written)?;
        self.indexed.send_replace(Some(next));
        Ok((courses, Some(checkpoint)))
    }

    /// The store, once everything in the current view can be found in it.
    pub(crate) async fn current(&self, replica: &Replica) -> Result<Arc<dyn StateStore>, ReadError> {
        let size = replica.shown.head().log_size;
        let mut indexed = self.indexed.subscribe();
        self.wanted.notify_one();
        let reached = indexed.wait_for(|indexed| indexed.is_some_and(|indexed| indexed >= size));
        match timeout(PATIENCE, reached).await {
            Ok(Ok(_)) => self.store().ok_or(ReadError::Stopped),
            Ok(Err(_)) => Err(ReadError::Stopped),
            Err(_) => Err(ReadError::IndexBehind {
                indexed: *self.indexed.borrow(),
                size,
            }),
        }
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

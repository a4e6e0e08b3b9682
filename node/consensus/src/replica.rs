//! What one replica knows and shows: the newest view of the ledger, the decision log, and whether it has to stop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_domain::merkle::Frontier;
use tokio::sync::watch;

use crate::agreement::{Agreement, Roots};
use crate::blocking::Blocking;
use crate::ledger::{self, Digest, Ledger};
use crate::membership::Members;
use crate::shown::Shown;
use crate::snapshots::{SnapshotFile, Snapshots};
use crate::tlog::Tlog;
use crate::types::{LogId, SnapshotMeta};

/// Shared by apply, which writes, and everything else, which reads.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) shown: Shown,
    /// Raft entries applied: the index of the last one plus one.
    pub(crate) applied: watch::Sender<u64>,
    /// Leaves in the decision log.
    pub(crate) changes: watch::Sender<u64>,
    /// Who belongs to the Raft group.
    pub(crate) members: watch::Sender<Members>,
    pub(crate) tlog: Arc<Tlog>,
    pub(crate) snapshots: Snapshots,
    pub(crate) blocking: Blocking,
    /// Why the node has to stop, once it has to.
    pub(crate) fatal: watch::Sender<Option<String>>,
    /// Head of the decision log where this process began: at the snapshot that it started from or was given.
    origin: Mutex<Frontier>,
    /// Raft index of the newest snapshot that was taken here since the start; 0 before the first.
    pub(crate) taken: watch::Sender<u64>,
    roots: Mutex<Roots>,
    current: Mutex<Option<(SnapshotMeta, SnapshotFile)>>,
}

impl Replica {
    pub(crate) fn new(
        ledger: Ledger,
        last: Option<LogId>,
        tlog: Tlog,
        snapshots: Snapshots,
        blocking: Blocking,
    ) -> Self {
        let (size, root) = ledger::head(&ledger);
        let replica = Replica {
            applied: watch::channel(0).0,
            members: watch::channel(Members::default()).0,
            changes: watch::channel(size).0,
            shown: Shown::new(ledger, last),
            tlog: Arc::new(tlog),
            snapshots,
            blocking,
            fatal: watch::channel(None).0,
            origin: Mutex::default(),
            taken: watch::channel(0).0,
            roots: Mutex::default(),
            current: Mutex::default(),
        };
        replica.remember(size, root);
        replica
    }

    /// Tells everyone who waits that the ledger has gone on to this entry.
    pub(crate) fn progressed(&self, last: Option<LogId>) {
        let size = self.tlog.size();
        self.applied.send_replace(last.map_or(0, |id| id.index + 1));
        self.changes.send_if_modified(|current| {
            let grown = *current != size;
            *current = size;
            grown
        });
    }

    /// The ledger of a snapshot takes the place of what was there.
    pub(crate) fn install(&self, ledger: Ledger, last: Option<LogId>) {
        let (size, root) = ledger::head(&ledger);
        self.set_origin(ledger.log().clone());
        self.remember(size, root);
        self.shown.replace(ledger, last);
        self.progressed(last);
    }

    pub(crate) fn origin(&self) -> Frontier {
        lock(&self.origin).clone()
    }

    pub(crate) fn set_origin(&self, head: Frontier) {
        *lock(&self.origin) = head;
    }

    pub(crate) fn remember(&self, size: u64, root: Digest) {
        lock(&self.roots).push(size, root);
    }

    pub(crate) fn check_root(&self, size: u64, root: &Digest) -> Agreement {
        lock(&self.roots).check(size, root)
    }

    pub(crate) fn current_snapshot(&self) -> Option<(SnapshotMeta, SnapshotFile)> {
        lock(&self.current).clone()
    }

    /// Takes note of a snapshot on disk unless a newer one is there.
    pub(crate) fn set_current_snapshot(&self, meta: SnapshotMeta, file: SnapshotFile) {
        let mut current = lock(&self.current);
        if current
            .as_ref()
            .is_none_or(|(old, _)| old.last_log_id <= meta.last_log_id)
        {
            *current = Some((meta, file));
        }
    }

    /// The node has to stop. The first reason stays.
    pub(crate) fn stop_for(&self, reason: impl Into<String>) {
        self.fatal.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason.into());
            }
            first
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What the locks guard is changed in steps that cannot panic half way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

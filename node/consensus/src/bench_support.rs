//! What the benches need of the insides. Not part of the interface.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use openraft::EntryPayload;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::type_config::TypeConfigExt;

use crate::blocking::Blocking;
use crate::disk::{Disk, StdDisk};
use crate::ledger::Command;
use crate::log::{LogSettings, LogStore};
use crate::proposal::Packing;
use crate::types::{Entry, Group, Proposal, log_id};

/// The bytes of a Raft entry with these commands.
///
/// # Panics
/// When a command is too large for one.
#[allow(clippy::expect_used, reason = "a bench that cannot go on fails")]
pub fn pack(commands: &[Command]) -> Bytes {
    let mut packing = Packing::default();
    for command in commands {
        packing.push(command).expect("a command of a usual size");
    }
    packing.finish().0
}

/// The commands of a Raft entry.
///
/// # Panics
/// When the bytes are not those of one.
#[allow(clippy::expect_used, reason = "a bench that cannot go on fails")]
pub fn unpack(entry: &Bytes) -> Vec<Command> {
    Proposal(entry.clone()).commands().expect("an entry")
}

/// The Raft log of a node, and nothing around it.
pub struct Log {
    store: LogStore,
    next: u64,
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Log {
    /// A new log in an empty folder.
    ///
    /// # Panics
    /// When that fails.
    #[allow(clippy::expect_used, reason = "a bench that cannot go on fails")]
    pub fn create(folder: &Path) -> Self {
        let disk: Arc<dyn Disk> = Arc::new(StdDisk);
        let store = LogStore::open(&disk, folder, &LogSettings::default(), false, Blocking::Threads);
        Log {
            store: store.expect("a new log"),
            next: 0,
        }
    }

    /// Appends that many entries with this payload in one call and waits until they are durable. Keeps the newest 20 000.
    ///
    /// # Panics
    /// When that fails.
    #[allow(clippy::expect_used, reason = "a bench that cannot go on fails")]
    pub async fn append(&mut self, count: u64, payload: &Bytes) {
        let next = self.next;
        let entries = (next..next + count).map(|index| {
            let payload = EntryPayload::Normal(Proposal(payload.clone()));
            Entry::new(log_id(1, 1, index), payload)
        });
        let (done, durable) = Group::oneshot();
        let appended = self.store.append(entries, IOFlushed::signal(done)).await;
        appended.expect("an append");
        durable.await.expect("an answer").expect("a durable append");
        self.next += count;
        if next / 256 != self.next / 256 && self.next > 20_000 {
            let purged = self.store.purge(log_id(1, 1, self.next - 20_000)).await;
            purged.expect("a purge");
        }
    }
}

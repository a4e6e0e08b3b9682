//! When a snapshot is taken: after so many Raft entries, and beside a busy log only when it cannot wait any longer.
//!
//! openraft would take one at once. But a snapshot costs processor time and disk for everything that is open, and it comes
//! on all nodes at the same moment, when a log that is busy has the least of both to spare.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::leadership::Raft;
use crate::pace::Pace;
use crate::replica::Replica;

/// Time between looks.
const LOOK: Duration = Duration::from_millis(200);
/// A snapshot waits for a lull until so many times the usual number of Raft entries has come together ...
pub(crate) const PATIENCE: u64 = 10;
/// ... or this many entries of the decision log: what is applied again after a restart in the worst case, some seconds.
const ENTRIES_MOST: u64 = 500_000;

/// Takes a snapshot whenever one is due: `every` so many Raft entries.
pub(crate) async fn run(raft: Raft, replica: Arc<Replica>, every: u64, stop: CancellationToken) -> io::Result<()> {
    let mut taken = replica.taken.subscribe();
    let mut pace = Pace::new(replica.shown.head().log_size);
    // Size of the decision log at the last snapshot; what was applied again at the start was not more than is allowed.
    let mut size_then = replica.shown.head().log_size;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return Ok(()),
        }
        let head = replica.shown.head();
        let busy = pace.busy(head.log_size);
        let snapshot = replica.current_snapshot().and_then(|(meta, _)| meta.last_log_id);
        let since = head.raft_index.saturating_sub(snapshot.map_or(0, |id| id.index));
        let late = since >= every.saturating_mul(PATIENCE) || head.log_size.saturating_sub(size_then) >= ENTRIES_MOST;
        if since < every || (busy && !late) {
            continue;
        }
        taken.mark_unchanged();
        // When Raft has stopped, whoever follows it says why.
        if raft.trigger().snapshot().await.is_err() {
            return Ok(());
        }
        tokio::select! {
            changed = taken.changed() => if changed.is_err() { return Ok(()) },
            () = stop.cancelled() => return Ok(()),
        }
        size_then = head.log_size;
    }
}

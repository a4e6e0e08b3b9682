//! When a snapshot is taken: after so many Raft entries, and beside a busy log only when it cannot wait any longer.
//!
//! openraft would take one at once. But a snapshot costs processor time and disk for everything that is open, and it comes
//! on all nodes at the same moment, when a log that is busy has the least of both to spare.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::leadership::Raft;
use crate::pace::Pace;
use crate::replica::Replica;

/// Time between looks.
const LOOK: Duration = Duration::from_millis(200);
/// A snapshot waits for a lull until so many times the usual number of Raft entries has come together ...
const PATIENCE: u64 = 10;
/// ... or this many entries of the decision log: what is applied again after a restart in the worst case, some seconds.
const ENTRIES_MOST: u64 = 500_000;
/// One that was asked for and has not come is asked for again after this time: openraft leaves out what is asked of it while
/// it is about to note that the last one is done.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Takes a snapshot whenever one is due: `every` so many Raft entries.
pub(crate) async fn run(raft: Raft, replica: Arc<Replica>, every: u64, stop: CancellationToken) -> io::Result<()> {
    let mut pace = Pace::new(replica.shown.head().log_size);
    let newest = || {
        let (meta, _) = replica.current_snapshot()?;
        meta.last_log_id.map(|id| id.index)
    };
    // Where the newest snapshot ends, and the size of the decision log there. Afterwards it is taken a little too large.
    let (mut snapshot, mut size_then) = (newest(), replica.origin().size());
    let mut asked: Option<Instant> = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return Ok(()),
        }
        let head = replica.shown.head();
        let busy = pace.busy(head.log_size);
        let newest = newest();
        if newest != snapshot {
            (snapshot, size_then, asked) = (newest, head.log_size, None);
        }
        let since = head.raft_index.saturating_sub(snapshot.unwrap_or(0));
        let waits = asked.is_some_and(|asked| asked.elapsed() < ASK_AGAIN);
        if waits || !is_due(since, head.log_size.saturating_sub(size_then), every, busy) {
            continue;
        }
        asked = Some(Instant::now());
        // When Raft has stopped, whoever follows it says why.
        if raft.trigger().snapshot().await.is_err() {
            return Ok(());
        }
    }
}

/// Is a snapshot due, so many Raft entries and entries of the decision log after the last?
fn is_due(raft_entries: u64, entries: u64, every: u64, busy: bool) -> bool {
    let late = raft_entries >= every.saturating_mul(PATIENCE) || entries >= ENTRIES_MOST;
    raft_entries >= every && (late || !busy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_waits_for_a_lull_but_not_for_ever() {
        assert!(!is_due(99, 99, 100, false));
        assert!(is_due(100, 100, 100, false));
        assert!(!is_due(100, 100, 100, true));
        assert!(!is_due(999, ENTRIES_MOST - 1, 100, true));
        assert!(is_due(1000, 1000, 100, true));
        assert!(is_due(100, ENTRIES_MOST, 100, true));
        // A few Raft entries are applied again in no time, however large they are.
        assert!(!is_due(99, ENTRIES_MOST, 100, false));
    }
}

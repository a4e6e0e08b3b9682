//! Removing entries of the Raft log that snapshots have made superfluous.
//!
//! openraft would keep a fixed number of entries. But the log has to reach back to the snapshot before the newest, in case
//! the disk loses that one, and how far apart two snapshots are depends on how long one takes.

use std::io;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::leadership::Raft;
use crate::replica::Replica;

/// After each new snapshot, removes what is in the one before it, but leaves `keep` entries behind the newest: a short
/// absence of a node shall need no snapshot.
pub(crate) async fn run(raft: Raft, replica: Arc<Replica>, keep: u64, stop: CancellationToken) -> io::Result<()> {
    let mut taken = replica.taken.subscribe();
    loop {
        tokio::select! {
            changed = taken.changed() => if changed.is_err() { return Ok(()) },
            () = stop.cancelled() => return Ok(()),
        }
        let newest = *taken.borrow_and_update();
        let snapshots = replica.snapshots.clone();
        let before = replica.blocking.run(move || snapshots.before(newest)).await?;
        let upto = before.map_or(0, |before| before.min(newest.saturating_sub(keep)));
        #[allow(clippy::redundant_locals, reason = "it is one only where nothing is planted")]
        let upto = portcullis_domain::mutant!(PurgesTooMuch, newest, upto);
        // When Raft has stopped, whoever follows it says why.
        if upto > 0 && raft.trigger().purge_log(upto).await.is_err() {
            return Ok(());
        }
    }
}

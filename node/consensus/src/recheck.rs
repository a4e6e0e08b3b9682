//! Is this replica what it was before the last restart?
//!
//! The index store notes how large the decision log was and which root it had. The replay gives the same root at the same
//! size, or this replica differs from what it was, and stops. The store is opened while the node already serves, so the
//! answer comes a moment after the replay.

use std::io;
use std::sync::Arc;

use portcullis_domain::merkle::leaf_hash;
use tokio_util::sync::CancellationToken;

use crate::agreement::Agreement;
use crate::bundle::LEAVES;
use crate::ledger::Digest;
use crate::record::invalid;
use crate::replica::Replica;
use crate::state_store::Checkpoint;
use crate::tlog::Found;

/// Waits until the replay has come to the place that was noted and compares. An error when it is not the same.
pub(crate) async fn same_as_before(
    replica: Arc<Replica>,
    noted: Checkpoint,
    stop: CancellationToken,
) -> io::Result<()> {
    let mut applied = replica.applied.subscribe();
    tokio::select! {
        reached = applied.wait_for(|applied| *applied > noted.raft_index) => if reached.is_err() {
            return Ok(());
        },
        () = stop.cancelled() => return Ok(()),
    }
    let found = match replica.check_root(noted.log_size, &noted.root) {
        Agreement::Same => return Ok(()),
        Agreement::Different | Agreement::Unknown => {
            let of = Arc::clone(&replica);
            replica.blocking.run(move || root_at(&of, noted.log_size)).await?
        }
    };
    let here = match found {
        // A snapshot that is newer than the note has been checked by itself.
        Root::TooOld => return Ok(()),
        Root::Known(root) if root == noted.root => return Ok(()),
        Root::Known(root) => format!("has root {root} at this size"),
        Root::TooNew(size) => format!("has {size} entries only"),
    };
    Err(invalid(format!(
        "before the last restart the decision log had {} entries and root {} after Raft entry {}; now it {here}: this replica \
         differs from what it was; remove this node from the cluster and add a new one with a new id",
        noted.log_size, noted.root, noted.raft_index,
    )))
}

/// What can be said about the root at a size.
enum Root {
    Known(Digest),
    /// This process began with a larger log, from a snapshot.
    TooOld,
    /// The log is not that large.
    TooNew(u64),
}

/// The root when the log had `size` entries: from where this process began and the leaves since.
fn root_at(replica: &Replica, size: u64) -> io::Result<Root> {
    let mut head = replica.origin();
    while head.size() < size {
        let want = (size - head.size()).min(LEAVES) as usize;
        match replica.tlog.read(head.size(), want)? {
            Found::Leaves(leaves) if leaves.is_empty() => return Ok(Root::TooNew(head.size())),
            Found::Leaves(leaves) => leaves.iter().for_each(|(_, leaf)| head.append(leaf_hash(leaf))),
            // A snapshot was installed meanwhile.
            Found::Missing(_) => return Ok(Root::TooOld),
        }
    }
    Ok(match head.size() == size {
        true => Root::Known(head.root()),
        false => Root::TooOld,
    })
}

#[cfg(test)]
mod tests {
    use portcullis_domain::merkle::root_of;

    use super::*;
    use crate::blocking::Blocking;
    use crate::disk::StdDisk;
    use crate::ledger::{ClusterId, Ledger};
    use crate::snapshots::Snapshots;
    use crate::tlog::Tlog;
    use crate::types::log_id;

    /// A replica that has replayed so many leaves, up to Raft entry 9.
    fn replayed(folder: &std::path::Path, leaves: u64) -> Arc<Replica> {
        let disk = Arc::new(StdDisk);
        let tlog = Tlog::open(disk.clone(), folder.to_owned()).unwrap();
        let snapshots = Snapshots::new(disk, folder.to_owned(), ClusterId([1; 16]));
        let replica = Replica::new(Ledger::new(), None, tlog, snapshots, Blocking::Threads);
        for leaf in 0..leaves {
            replica
                .tlog
                .append(bytes::Bytes::from(leaf.to_be_bytes().to_vec()).into());
        }
        replica.progressed(Some(log_id(1, 1, 9)));
        Arc::new(replica)
    }

    fn noted(size: u64, leaves: u64) -> Checkpoint {
        Checkpoint {
            raft_index: 9,
            log_size: size,
            root: root_of((0..leaves).map(|leaf| leaf_hash(&leaf.to_be_bytes()))),
        }
    }

    #[tokio::test]
    async fn a_replay_that_gives_another_root_or_too_few_entries_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let replica = replayed(folder.path(), 700);
        let check = async |noted| same_as_before(Arc::clone(&replica), noted, CancellationToken::new()).await;
        check(noted(700, 700)).await.unwrap();
        check(noted(300, 300)).await.unwrap();
        let error = check(noted(300, 299)).await.unwrap_err();
        assert!(error.to_string().contains("differs from what it was"), "{error}");
        let error = check(noted(701, 701)).await.unwrap_err();
        assert!(error.to_string().contains("700 entries only"), "{error}");
    }

    #[tokio::test]
    async fn nothing_is_said_before_the_replay_has_come_to_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let replica = replayed(folder.path(), 5);
        let mut later = noted(7, 7);
        later.raft_index = 10;
        let stop = CancellationToken::new();
        let check = tokio::spawn(same_as_before(Arc::clone(&replica), later, stop.clone()));
        tokio::task::yield_now().await;
        assert!(!check.is_finished());
        stop.cancel();
        check.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_snapshot_that_is_newer_than_the_note_settles_it() {
        let folder = tempfile::tempdir().unwrap();
        let replica = replayed(folder.path(), 600);
        let mut head = replica.origin();
        (0..512_u64).for_each(|leaf| head.append(leaf_hash(&leaf.to_be_bytes())));
        replica.set_origin(head);
        let check = async |noted| same_as_before(Arc::clone(&replica), noted, CancellationToken::new()).await;
        check(noted(511, 3)).await.unwrap();
        check(noted(512, 512)).await.unwrap();
        assert!(check(noted(513, 512)).await.is_err());
    }
}

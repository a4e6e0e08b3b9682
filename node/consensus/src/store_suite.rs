//! openraft's own tests for stores, on ours.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::blocking::Blocking;
use crate::disk::{Disk, StdDisk};
use crate::ledger::ClusterId;
use crate::log::{LogSettings, LogStore};
use crate::machine::Machine;
use crate::replica::Replica;
use crate::snapshot::Content;
use crate::snapshots::Snapshots;
use crate::tlog::Tlog;
use crate::types::Group;

struct OnDisk;

impl StoreBuilder<Group, LogStore, Machine, TempDir> for OnDisk {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError<Group>> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let disk: Arc<dyn Disk> = Arc::new(StdDisk);
        let log = LogStore::open(&disk, &path("raft"), &LogSettings::default(), false, Blocking::Threads).unwrap();
        let tlog = Tlog::open(disk.clone(), path("tlog")).unwrap();
        let snapshots = Snapshots::new(disk, path("snap"), ClusterId([1; 16]));
        let content = Content::empty();
        let replica = Arc::new(Replica::new(
            content.ledger.clone(),
            None,
            tlog,
            snapshots,
            Blocking::Threads,
        ));
        let mut machine = Machine::new(replica, content).unwrap();
        machine.gaps = true;
        Ok((folder, log, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_and_the_state_machine_pass_the_suite_of_openraft() {
    Suite::test_all(OnDisk).await.unwrap();
}

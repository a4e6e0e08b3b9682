//! openraft's own tests for stores, on ours.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::blocking::Blocking;
use crate::disk::{Disk, StdDisk};
use crate::log::{LogSettings, LogStore};
use crate::machine::Machine;
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
        let mut machine = Machine::in_empty(&path("state"));
        machine.gaps = true;
        Ok((folder, log, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_and_the_state_machine_pass_the_suite_of_openraft() {
    Suite::test_all(OnDisk).await.unwrap();
}

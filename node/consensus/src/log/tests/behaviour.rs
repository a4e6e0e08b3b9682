//! The promises one by one.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openraft::entry::RaftEntry;
use openraft::storage::{RaftLogReader, RaftLogStorage, RaftLogStorageExt};

use super::{append, entry, files, open, seen};
use crate::blocking::Blocking;
use crate::disk::{Disk, StdDisk};
use crate::errors::OpenError;
use crate::log::{LogSettings, LogStore, READ_BYTES};
use crate::model::{Call, ModelDisk};
use crate::types::{Vote, log_id};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

fn on_thread(folder: &Path, settings: &LogSettings) -> LogStore {
    let disk: Arc<dyn Disk> = Arc::new(StdDisk);
    LogStore::open(&disk, folder, settings, false, Blocking::Threads).unwrap()
}

#[tokio::test]
async fn votes_entries_and_the_committed_index_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = on_thread(folder.path(), &LogSettings::default());
    let vote = Vote::new_committed(1, 1);
    log.save_vote(&vote).await.unwrap();
    log.blocking_append((0..100).map(|index| entry(1, index, 0)))
        .await
        .unwrap();
    log.save_committed(Some(log_id(1, 1, 90))).await.unwrap();
    log.truncate_after(Some(log_id(1, 1, 95))).await.unwrap();
    log.purge(log_id(1, 1, 10)).await.unwrap();
    // Only a hint: an index that the log does not reach is not kept, and not an error.
    log.save_committed(Some(log_id(1, 1, 500))).await.unwrap();
    drop(log);

    let mut log = on_thread(folder.path(), &LogSettings::default());
    assert_eq!(log.read_vote().await.unwrap(), Some(vote));
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(1, 1, 90)));
    let entries = log.try_get_log_entries(..).await.unwrap();
    let indexes: Vec<u64> = entries.iter().map(|entry| entry.log_id().index).collect();
    assert_eq!(indexes, (11..96).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_entry_is_readable_at_once_and_everything_that_has_queued_shares_a_sync() {
    let disk = ModelDisk::default();
    let mut log = open(&disk).unwrap();
    let before = disk.calls(Call::Sync);
    let mut waiting = Vec::new();
    for index in 0..10 {
        waiting.push(append(&mut log, vec![entry(1, index, 20)]).await.unwrap());
    }
    assert_eq!(seen(&mut log).await.entries.len(), 10);
    assert_eq!(disk.calls(Call::Sync), before);
    assert!(waiting.iter_mut().all(|appended| appended.now().is_none()));
    for appended in waiting {
        appended.durable().await.unwrap();
    }
    assert_eq!(disk.calls(Call::Sync), before + 1);
}

#[tokio::test]
async fn hints_cost_no_sync_and_a_log_that_is_idle_does_nothing() {
    let disk = ModelDisk::default();
    let mut log = open(&disk).unwrap();
    let appended = append(&mut log, (0..10).map(|index| entry(1, index, 20)).collect())
        .await
        .unwrap();
    appended.durable().await.unwrap();
    let (syncs, writes) = (disk.calls(Call::Sync), disk.calls(Call::Write));
    log.save_committed(Some(log_id(1, 1, 7))).await.unwrap();
    log.truncate_after(Some(log_id(1, 1, 8))).await.unwrap();
    log.purge(log_id(1, 1, 2)).await.unwrap();
    // The hints and a mark behind them, in a lull.
    let deadline = Instant::now() + Duration::from_secs(10);
    while disk.calls(Call::Write) < writes + 2 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Nothing is left to be done.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!((disk.calls(Call::Sync), disk.calls(Call::Write)), (syncs, writes + 2));
    // A process that is killed leaves what it has written.
    let copy = disk.copy();
    let mut log = open(&copy).unwrap();
    assert_eq!(log.read_committed().await.unwrap(), Some(log_id(1, 1, 7)));
    assert_eq!(seen(&mut log).await.purged, Some(log_id(1, 1, 2)));
}

#[tokio::test]
async fn a_failed_sync_is_final() {
    let disk = ModelDisk::default();
    let mut log = open(&disk).unwrap();
    append(&mut log, vec![entry(1, 0, 20)])
        .await
        .unwrap()
        .durable()
        .await
        .unwrap();
    disk.fail(Call::Sync, 0, EIO);
    let failed = append(&mut log, vec![entry(1, 1, 20)]).await.unwrap();
    let queued = append(&mut log, vec![entry(1, 2, 20)]).await.unwrap();
    let error = failed.durable().await.unwrap_err().to_string();
    assert!(error.contains("cannot sync /raft/00000000000000000001.log"), "{error}");
    assert!(queued.durable().await.is_err());
    let syncs = disk.calls(Call::Sync);
    // A second sync could succeed although the data is gone.
    assert!(log.save_vote(&Vote::new(1, 1)).await.is_err());
    assert!(append(&mut log, vec![entry(1, 3, 20)]).await.is_err());
    assert!(log.purge(log_id(1, 1, 0)).await.is_err());
    assert!(log.try_get_log_entries(..).await.is_err());
    log.close().await;
    assert_eq!(disk.calls(Call::Sync), syncs);
}

#[tokio::test]
async fn a_full_disk_is_named_when_it_stops_the_log() {
    let disk = ModelDisk::default();
    let mut log = open(&disk).unwrap();
    // The first large entry needs a new file.
    disk.fail(Call::Write, 0, ENOSPC);
    let appended = append(&mut log, vec![entry(1, 0, 5000)]).await.unwrap();
    let error = appended.durable().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    assert!(
        error.to_string().contains("cannot make /raft/00000000000000000002.log"),
        "{error}"
    );

    let disk = ModelDisk::default();
    disk.fail(Call::Write, 0, ENOSPC);
    let error = OpenError::of_log("/raft".into(), open(&disk).err().unwrap());
    assert!(error.to_string().contains("free space"), "{error}");
    // Half a file does not stay in the way.
    disk.crash(1);
    open(&disk).unwrap();
}

#[tokio::test]
async fn files_are_used_again_and_what_was_in_them_never_comes_back() {
    let disk = ModelDisk::default();
    let mut log = open(&disk).unwrap();
    let mut index = 0;
    // All records have the same length, so old ones stand exactly where new ones end.
    while !files(&disk)
        .iter()
        .any(|file| file.extension().is_some_and(|ending| ending == "spare"))
    {
        assert!(index < 100);
        append(&mut log, vec![entry(1, index, 400)])
            .await
            .unwrap()
            .durable()
            .await
            .unwrap();
        log.purge(log_id(1, 1, index)).await.unwrap();
        index += 1;
    }
    let bytes = log.disk_bytes();
    for seed in 0..200 {
        for _ in 0..3 {
            append(&mut log, vec![entry(seed, index, 400)])
                .await
                .unwrap()
                .durable()
                .await
                .unwrap();
            log.purge(log_id(seed, 1, index - 1)).await.unwrap();
            index += 1;
        }
        // Not on disk when the power is cut.
        let lost = append(&mut log, vec![entry(seed, index, 400)]).await.unwrap();
        disk.crash(seed);
        drop((lost, log));
        log = open(&disk).unwrap();
        let state = seen(&mut log).await;
        assert_eq!(state.last, Some(log_id(seed, 1, index - 1)));
    }
    assert!(
        log.disk_bytes() <= bytes + 3 * 4096,
        "{bytes} bytes became {}",
        log.disk_bytes()
    );
    let on_disk: u64 = files(&disk).iter().map(|file| disk.len(file).unwrap()).sum();
    assert_eq!(log.disk_bytes(), on_disk);
}

#[tokio::test]
async fn a_log_that_rotates_under_load_is_whole_after_a_restart_and_frees_its_folder_when_closed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = LogSettings {
        segment_bytes: 32 << 10,
        cache_bytes: 8 << 10,
    };
    let mut log = on_thread(folder.path(), &settings);
    let mut last = None;
    for round in 0..200_u64 {
        let entries = (round * 20..round * 20 + 20)
            .map(|index| entry(1, index, 200))
            .collect();
        last = Some(append(&mut log, entries).await.unwrap());
        if round % 10 == 9 {
            log.purge(log_id(1, 1, round * 20 - 100)).await.unwrap();
            let from = round * 20 - 50;
            assert_eq!(log.limited_get_log_entries(from, from + 40).await.unwrap().len(), 40);
        }
    }
    last.unwrap().durable().await.unwrap();
    let state = seen(&mut log).await;
    let clone = log.clone();
    log.close().await;
    assert!(append(&mut log, vec![entry(1, 4000, 1)]).await.is_err());
    // A clone that somebody still holds is no obstacle.
    let mut log = on_thread(folder.path(), &settings);
    drop(clone);
    assert_eq!(seen(&mut log).await, state);
    assert_eq!(state.last, Some(log_id(1, 1, 3999)));
    assert!(log.disk_bytes() < 20 * (32 << 10), "{}", log.disk_bytes());
}

#[tokio::test]
async fn a_read_for_replication_is_bounded_in_bytes_but_never_empty() {
    let disk = ModelDisk::default();
    let mut log = open(&disk).unwrap();
    let entries = (0..4).map(|index| entry(1, index, READ_BYTES * 2 / 3)).collect();
    append(&mut log, entries).await.unwrap().durable().await.unwrap();
    assert_eq!(log.limited_get_log_entries(0, 4).await.unwrap().len(), 1);
    assert_eq!(log.try_get_log_entries(0..4).await.unwrap().len(), 4);
}

#[tokio::test]
async fn a_new_log_is_small() {
    let folder = tempfile::tempdir().unwrap();
    let log = on_thread(folder.path(), &LogSettings::default());
    assert_eq!(log.disk_bytes(), 1 << 20);
}

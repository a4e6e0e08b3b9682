//! Files that are not as they were left: recovered with everything acknowledged, or refused with a message that says where.

use std::io;
use std::path::{Path, PathBuf};

use openraft::storage::{RaftLogReader, RaftLogStorage};

use super::{Seen, append, entry, files, open, open_begun, seen};
use crate::disk::Disk;
use crate::model::ModelDisk;
use crate::types::{Vote, log_id};

/// Three segments with everything that a log can hold, closed. The state it is in.
async fn closed() -> (ModelDisk, Seen) {
    let disk = ModelDisk::default();
    let mut log = open(&disk).unwrap();
    log.save_vote(&Vote::new(2, 1)).await.unwrap();
    for index in 0..18 {
        let appended = append(&mut log, vec![entry(2, index, 400)]).await.unwrap();
        appended.durable().await.unwrap();
    }
    log.save_committed(Some(log_id(2, 1, 10))).await.unwrap();
    log.truncate_after(Some(log_id(2, 1, 16))).await.unwrap();
    log.purge(log_id(2, 1, 2)).await.unwrap();
    let appended = append(&mut log, vec![entry(3, 17, 30)]).await.unwrap();
    appended.durable().await.unwrap();
    let state = seen(&mut log).await;
    log.close().await;
    assert_eq!(files(&disk).len(), 3);
    (disk, state)
}

async fn state_of(disk: &ModelDisk) -> io::Result<Seen> {
    let mut log = open(disk)?;
    Ok(seen(&mut log).await)
}

fn refused(result: io::Result<Seen>, file: &Path, what: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
    let text = error.to_string();
    assert!(
        text.contains(file.to_str().unwrap()) && text.contains("at offset"),
        "{what}: {text}"
    );
}

#[tokio::test]
async fn a_flipped_byte_anywhere_loses_nothing_or_is_refused() {
    let (disk, state) = closed().await;
    let mut refusals = 0;
    for file in files(&disk) {
        let content = disk.read(&file).unwrap();
        for at in 0..content.len() {
            let copy = disk.copy();
            let mut damaged = content.clone();
            damaged[at] ^= 0x41;
            copy.put(&file, damaged);
            match state_of(&copy).await {
                Ok(found) => assert_eq!(found, state, "{} at {at}", file.display()),
                Err(error) => {
                    refused(Err(error), Path::new(super::FOLDER), "flipped");
                    refusals += 1;
                }
            }
        }
    }
    // All but what is not used.
    assert!(refusals > 8000, "{refusals}");
}

#[tokio::test]
async fn damage_to_what_an_earlier_sync_covered_is_refused_also_after_a_crash() {
    let disk = ModelDisk::default();
    let mut log = open(&disk).unwrap();
    let mut ends = Vec::new();
    for index in 0..3 {
        let appended = append(&mut log, vec![entry(1, index, 100)]).await.unwrap();
        appended.durable().await.unwrap();
        ends.push(seen(&mut log).await);
    }
    disk.crash(1);
    let file = &files(&disk)[0];
    let content = disk.read(file).unwrap();
    for at in 0..content.len() {
        let copy = disk.copy();
        let mut damaged = content.clone();
        damaged[at] ^= 0x41;
        copy.put(file, damaged);
        match state_of(&copy).await {
            // The last batch has nothing behind it: damage to it looks like a torn write.
            Ok(found) => assert!(found == ends[1] || found == ends[2], "at {at}"),
            Err(error) => refused(Err(error), file, "flipped"),
        }
    }
}

#[tokio::test]
async fn a_segment_that_is_cut_short_is_refused_at_every_length() {
    let (disk, _) = closed().await;
    let last = files(&disk).pop().unwrap();
    let content = disk.read(&last).unwrap();
    for length in 0..content.len() {
        let copy = disk.copy();
        copy.put(&last, content[..length].to_vec());
        refused(state_of(&copy).await, &last, "cut short");
    }
}

#[tokio::test]
async fn a_tail_that_was_zeroed_is_refused() {
    let (disk, _) = closed().await;
    let last = files(&disk).pop().unwrap();
    let content = disk.read(&last).unwrap();
    // The last bytes are padding.
    let used = content.iter().rposition(|byte| *byte != 0).unwrap();
    for length in 0..used {
        let copy = disk.copy();
        let mut damaged = content.clone();
        damaged[length..].fill(0);
        copy.put(&last, damaged);
        refused(state_of(&copy).await, &last, "zeroed");
    }
}

#[tokio::test]
async fn a_missing_segment_is_refused_by_name_the_newest_too() {
    let (disk, _) = closed().await;
    for file in files(&disk) {
        let copy = disk.copy();
        copy.remove(&file).unwrap();
        refused(state_of(&copy).await, &file, "missing");
    }
}

#[tokio::test]
async fn a_segment_under_the_name_of_another_is_refused() {
    let (disk, _) = closed().await;
    let names = files(&disk);
    disk.put(&names[1], disk.read(&names[0]).unwrap());
    refused(
        state_of(&disk).await,
        &names[1],
        "the first under the name of the second",
    );
}

#[tokio::test]
async fn a_segment_that_follows_another_history_is_refused() {
    let (disk, _) = closed().await;
    let other = ModelDisk::default();
    let mut log = open(&other).unwrap();
    for index in 0..18 {
        let appended = append(&mut log, vec![entry(9, index, 400)]).await.unwrap();
        appended.durable().await.unwrap();
    }
    log.close().await;
    let names = files(&disk);
    assert_eq!(files(&other), names);
    disk.put(&names[2], other.read(&names[2]).unwrap());
    refused(
        state_of(&disk).await,
        Path::new(super::FOLDER),
        "the third of another log",
    );
}

#[tokio::test]
async fn a_folder_with_other_files_is_refused() {
    let disk = ModelDisk::default();
    let file = PathBuf::from("/raft/r-00000000000000000000.wal");
    disk.put(&file, vec![1, 2, 3]);
    let error = state_of(&disk).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn a_log_that_was_begun_is_not_begun_anew_when_its_segments_are_gone() {
    let disk = ModelDisk::default();
    let mut log = open(&disk).unwrap();
    log.save_vote(&Vote::new(2, 1)).await.unwrap();
    log.close().await;
    let file = files(&disk).remove(0);
    let gone: fn(&ModelDisk, &Path) = |disk, file| disk.remove(file).unwrap();
    let emptied: fn(&ModelDisk, &Path) = |disk, file| disk.put(file, Vec::new());
    for harm in [gone, emptied] {
        let copy = disk.copy();
        harm(&copy, &file);
        let error = open_begun(&copy).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        assert!(error.to_string().contains("the votes that it has cast"), "{error}");
        // Nothing in the folder alone says that it is not a new one.
        open(&copy).unwrap();
    }
    let mut log = open_begun(&disk).unwrap();
    assert_eq!(log.read_vote().await.unwrap(), Some(Vote::new(2, 1)));
}

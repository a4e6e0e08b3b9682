//! What the model disk does at the worst moment.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::{Call, Latency, ModelDisk};
use crate::blocking::in_place;
use crate::disk::Disk;

const EIO: i32 = 5;

/// A test sets it as it likes; each test has a thread of its own.
fn clock() -> Duration {
    NOW.get()
}

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

fn content(disk: &ModelDisk) -> Vec<u8> {
    Disk::read(disk, Path::new("d/file")).unwrap_or_default()
}

#[test]
fn a_sync_that_is_not_over_at_a_crash_may_have_done_nothing_and_one_that_is_over_stays() {
    let slow = Latency {
        least: Duration::from_millis(10),
        most: Duration::from_millis(10),
    };
    let mut found = BTreeSet::new();
    for seed in 0..40 {
        NOW.set(Duration::ZERO);
        let disk = ModelDisk::default();
        disk.slow(slow, clock, 1);
        let file = disk.process().open(Path::new("d/file")).unwrap();
        disk.sync_dir(Path::new("d")).unwrap();
        file.write_at(0, &[1; 700]).unwrap();
        file.sync_data().unwrap();
        NOW.set(Duration::from_millis(11));
        file.write_at(600, &[2; 1000]).unwrap();
        file.sync_data().unwrap();
        disk.crash_at(seed, Duration::from_millis(15));
        let content = content(&disk);
        assert_eq!(content[..600], [1; 600]);
        found.insert(content[600]);
        if content.len() == 1600 && content[600..] == [2; 1000] {
            found.insert(3);
        }
        disk.crash_at(seed, Duration::MAX);
    }
    assert_eq!(found, BTreeSet::from([1, 2, 3]));
}

#[tokio::test(start_paused = true)]
async fn what_follows_a_sync_in_one_piece_of_work_has_not_happened_before_the_sync_is_over() {
    let slow = Latency {
        least: Duration::from_millis(10),
        most: Duration::from_millis(10),
    };
    let mut in_time = BTreeSet::new();
    for seed in 0..40 {
        for (cut_ms, whole) in [(5, false), (11, true)] {
            NOW.set(Duration::ZERO);
            let disk = ModelDisk::default();
            disk.slow(slow, clock, 1);
            let process = disk.process();
            in_place(|| {
                let mut file = process.create(Path::new("d/file.new")).unwrap();
                file.write(&[1; 700]).unwrap();
                file.sync().unwrap();
                process.rename(Path::new("d/file.new"), Path::new("d/file")).unwrap();
                process.sync_dir(Path::new("d")).unwrap();
            })
            .await;
            disk.crash_at(seed, Duration::from_millis(cut_ms));
            assert_eq!(content(&disk), if whole { vec![1; 700] } else { Vec::new() });
            if !whole {
                in_time.insert(disk.list(Path::new("d")).unwrap().concat());
            }
        }
    }
    assert_eq!(in_time, ["", "file.new"].map(str::to_owned).into());
}

#[test]
fn names_that_were_not_synced_are_lost_from_some_moment_on() {
    let mut found = BTreeSet::new();
    for seed in 0..60 {
        let disk = ModelDisk::default();
        let process = disk.process();
        for name in ["d/a", "d/b", "d/c"] {
            process.create(Path::new(name)).unwrap();
        }
        process.sync_dir(Path::new("d")).unwrap();
        process.remove(Path::new("d/a")).unwrap();
        process.rename(Path::new("d/b"), Path::new("d/z")).unwrap();
        disk.crash(seed);
        assert!(process.create(Path::new("d/q")).is_err(), "it is dead");
        found.insert(disk.list(Path::new("d")).unwrap().concat());
    }
    assert_eq!(found, ["abc", "bc", "cz"].map(str::to_owned).into());
}

#[test]
fn a_disk_that_dies_does_no_call_after_the_last_one_until_the_power_comes_back() {
    let disk = ModelDisk::default();
    let process = disk.process();
    let mut file = process.create(Path::new("d/file")).unwrap();
    process.sync_dir(Path::new("d")).unwrap();
    disk.die_after(2);
    file.write(b"whole").unwrap();
    assert!(!disk.is_dead());
    file.sync().unwrap();
    assert!(disk.is_dead() && file.write(b"more").is_err() && process.read(Path::new("d/file")).is_err());
    disk.crash(3);
    assert_eq!(content(&disk), b"whole");
}

#[test]
fn failures_are_of_one_kind_in_one_folder_and_end_after_so_many() {
    let disk = ModelDisk::default();
    let mut here = disk.create(Path::new("d/raft/1")).unwrap();
    let mut there = disk.create(Path::new("d/snap/1")).unwrap();
    disk.fail_in(Some("raft"), Call::Sync, 1, 1, EIO);
    here.sync().unwrap();
    there.sync().unwrap();
    assert_eq!(here.sync().unwrap_err().raw_os_error(), Some(EIO));
    here.sync().unwrap();
    assert_eq!(disk.failed(), 1);
    disk.limit(Some(10));
    there.write(&[0; 10]).unwrap();
    assert_eq!(there.write(&[0]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.heal();
    there.write(&[0]).unwrap();
}

#[test]
fn one_process_holds_the_lock_until_it_lets_go_or_dies() {
    let disk = ModelDisk::default();
    let place = Path::new("d/LOCK");
    let held = Disk::lock(&disk.process(), place).unwrap();
    assert!(Disk::lock(&disk.process(), place).is_err());
    drop(held);
    let _held = Disk::lock(&disk.process(), place).unwrap();
    disk.kill();
    Disk::lock(&disk.process(), place).unwrap();
}

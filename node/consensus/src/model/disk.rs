//! A disk in memory that does what disks do at the worst moment.
//!
//! What was written and not synced is lost at a crash in pieces of 512 bytes, each or not, in no order. Creations, renames and
//! removals that were not synced with their folder are lost from some moment on, because file systems journal them in order.
//! A byte that was synced stays, once the sync has taken its time. Calls can be made to fail, to be slow, to find the disk full,
//! or to be the last ones.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::Random;
use super::file::File;
use crate::blocking::Blocking;
use crate::disk::{Disk, DiskFile, Lock, RandomAccess};

/// Codes of the operating system.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// Calls that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Of a file's content.
    Write,
    /// Of a file.
    Sync,
    /// Of a folder.
    SyncDir,
    /// Of a file's content.
    Read,
}

/// How long syncs take: each a time drawn evenly from a range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// The shortest.
    pub least: Duration,
    /// The longest.
    pub most: Duration,
}

type Shared = Arc<Mutex<File>>;

/// What had the names that one call changed, while it is not certain that the disk has that.
#[derive(Debug)]
struct Renamed {
    at: Duration,
    /// When a sync of a folder that was asked for makes it durable.
    durable: Option<Duration>,
    before: Vec<(PathBuf, Option<Shared>)>,
}

/// Which calls fail, from when on.
#[derive(Debug, Clone)]
struct Failing {
    call: Call,
    /// Only files with this folder in their path.
    folder: Option<String>,
    after: u64,
    /// Only so many; then the disk works again.
    times: u64,
    code: i32,
}

#[derive(Debug, Default)]
struct Contents {
    names: BTreeMap<PathBuf, Shared>,
    journal: Vec<Renamed>,
    /// Number of crashes. Processes of an earlier life are dead.
    life: u64,
    failing: Option<Failing>,
    /// Failed calls so far.
    failed: u64,
    /// Writes, syncs, syncs of folders, reads.
    calls: [u64; 4],
    latency: Latency,
    random: Random,
    clock: Option<fn() -> Duration>,
    /// Most bytes in all files.
    capacity: Option<u64>,
    /// Calls that change something and are still done. The disk is dead after them.
    left: Option<u64>,
    locked: Weak<()>,
}

impl Contents {
    /// Changes names in one step.
    fn rename<const N: usize>(&mut self, changes: [(&Path, Option<Shared>); N]) {
        let clock = self.clock();
        self.journal
            .retain(|renamed| renamed.durable.is_none_or(|at| at > clock));
        let before = changes.map(|(path, file)| (path.to_owned(), self.name(path, file)));
        self.journal.push(Renamed {
            at: self.now(),
            durable: None,
            before: before.into(),
        });
    }

    fn name(&mut self, path: &Path, file: Option<Shared>) -> Option<Shared> {
        match file {
            Some(file) => self.names.insert(path.to_owned(), file),
            None => self.names.remove(path),
        }
    }

    fn clock(&self) -> Duration {
        self.clock.map_or(Duration::ZERO, |clock| clock())
    }

    /// When what is done now happens: work in place runs ahead of the clock and waits afterwards.
    fn now(&self) -> Duration {
        self.clock() + Blocking::taken()
    }

    /// Counts a call, which may be one that fails.
    fn call(&mut self, call: Call, path: &Path) -> io::Result<()> {
        self.calls[call as usize] += 1;
        if call != Call::Read {
            self.change()?;
        }
        if call == Call::Read && self.left == Some(0) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let Some(failing) = &mut self.failing else {
            return Ok(());
        };
        let meant = failing.call == call
            && failing
                .folder
                .as_ref()
                .is_none_or(|folder| path.components().any(|part| part.as_os_str() == folder.as_str()));
        if !meant {
            return Ok(());
        }
        if let Some(left) = failing.after.checked_sub(1) {
            failing.after = left;
            return Ok(());
        }
        let code = failing.code;
        failing.times -= 1;
        if failing.times == 0 {
            self.failing = None;
        }
        self.failed += 1;
        Err(io::Error::from_raw_os_error(code))
    }

    /// Something is about to be changed: the last time, if the disk dies now.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.left {
            Some(0) => Err(io::Error::from_raw_os_error(EIO)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn has_room(&mut self, more: usize) -> io::Result<()> {
        let Some(capacity) = self.capacity else {
            return Ok(());
        };
        let used: usize = self.names.values().map(|file| lock(file).len()).sum();
        if (used + more) as u64 > capacity {
            self.failed += 1;
            return Err(io::Error::from_raw_os_error(ENOSPC));
        }
        Ok(())
    }
}

fn lock(file: &Shared) -> MutexGuard<'_, File> {
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct ModelDisk {
    contents: Arc<Mutex<Contents>>,
    /// The life that it belongs to; `None` for the test itself, which is never dead.
    life: Option<u64>,
}

impl ModelDisk {
    /// The disk for a process that starts now. A crash ends it.
    pub fn process(&self) -> Self {
        ModelDisk {
            contents: Arc::clone(&self.contents),
            life: Some(self.lock().life),
        }
    }

    /// Makes syncs take time, by this clock.
    pub fn slow(&self, latency: Latency, clock: fn() -> Duration, seed: u64) {
        let mut contents = self.lock();
        contents.latency = latency;
        contents.clock = Some(clock);
        contents.random = Random(seed);
    }

    /// Sets how long syncs take from now on, by the same clock.
    pub fn set_latency(&self, latency: Latency) {
        self.lock().latency = latency;
    }

    /// Ends the process, as `kill -9` does: what it wrote stays.
    pub fn kill(&self) {
        let mut contents = self.lock();
        contents.life += 1;
        contents.locked = Weak::new();
    }

    /// Cuts the power. Processes and their files are dead; what a new process finds depends on the seed.
    pub fn crash(&self, seed: u64) {
        self.crash_at(seed, Duration::MAX);
    }

    /// The same, at a moment of the disk's clock: syncs that are not over by then may have done nothing, and what comes after them
    /// in the same piece of work has not happened.
    pub fn crash_at(&self, seed: u64, now: Duration) {
        let mut random = Random(seed);
        let mut contents = self.lock();
        contents.life += 1;
        contents.locked = Weak::new();
        contents.failing = None;
        contents.left = None;
        let done = |renamed: &Renamed| renamed.at <= now;
        let open = |renamed: &Renamed| done(renamed) && renamed.durable.is_none_or(|at| at > now);
        let mut kept = random.below(contents.journal.iter().filter(|one| open(one)).count() as u64 + 1);
        let mut lost = Vec::new();
        for renamed in std::mem::take(&mut contents.journal) {
            if open(&renamed) && kept > 0 {
                kept -= 1;
            } else if open(&renamed) || !done(&renamed) {
                lost.extend(renamed.before);
            }
        }
        for (path, before) in lost.into_iter().rev() {
            contents.name(&path, before);
        }
        for file in contents.names.values() {
            lock(file).crash(&mut random, now);
        }
    }

    /// After `after` more calls of a kind, all of them fail with an error of the operating system.
    pub fn fail(&self, call: Call, after: u64, code: i32) {
        self.fail_in(None, call, after, u64::MAX, code);
    }

    /// The same for files in a folder of this name only, and so many times only.
    pub fn fail_in(&self, folder: Option<&str>, call: Call, after: u64, times: u64, code: i32) {
        self.lock().failing = Some(Failing {
            call,
            folder: folder.map(str::to_owned),
            after,
            times: times.max(1),
            code,
        });
    }

    /// The disk dies after so many more calls that change something: all later ones fail, until a crash.
    pub fn die_after(&self, calls: u64) {
        self.lock().left = Some(calls);
    }

    /// Is it dead?
    pub fn is_dead(&self) -> bool {
        self.lock().left == Some(0)
    }

    /// Most bytes that it holds.
    pub fn limit(&self, capacity: Option<u64>) {
        self.lock().capacity = capacity;
    }

    /// What was made to fail works again.
    pub fn heal(&self) {
        let mut contents = self.lock();
        contents.failing = None;
        contents.capacity = None;
        contents.left = None;
    }

    /// Calls that failed because they were made to, so far.
    pub fn failed(&self) -> u64 {
        self.lock().failed
    }

    /// Calls so far.
    pub fn calls(&self, call: Call) -> u64 {
        self.lock().calls[call as usize]
    }

    /// Bytes in all files.
    pub fn used(&self) -> u64 {
        let contents = self.lock();
        contents.names.values().map(|file| lock(file).len() as u64).sum()
    }

    /// All files.
    pub fn files(&self) -> Vec<PathBuf> {
        self.lock().names.keys().cloned().collect()
    }

    /// Another disk with the same files, all of them durable.
    pub fn copy(&self) -> Self {
        let copy = ModelDisk::default();
        for (path, file) in &self.lock().names {
            copy.put(path, lock(file).content().to_vec());
        }
        copy
    }

    /// Puts a durable file in place.
    pub fn put(&self, path: &Path, content: Vec<u8>) {
        let file = File::durable(content);
        self.lock().names.insert(path.to_owned(), Arc::new(Mutex::new(file)));
    }

    /// Removes all files, durably.
    pub fn wipe(&self) {
        let mut contents = self.lock();
        contents.names.clear();
        contents.journal.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The contents, for a process that is alive.
    fn alive(&self) -> io::Result<MutexGuard<'_, Contents>> {
        let contents = self.lock();
        match self.life {
            Some(life) if life != contents.life => Err(io::Error::other("the power was cut")),
            _ => Ok(contents),
        }
    }

    fn find(&self, path: &Path) -> io::Result<Shared> {
        self.alive()?
            .names
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn handle(&self, path: &Path, file: Shared) -> Handle {
        Handle {
            disk: self.clone(),
            path: path.to_owned(),
            file,
        }
    }
}

impl Disk for ModelDisk {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let contents = self.alive()?;
        let names = contents.names.keys().filter(|name| name.parent() == Some(path));
        let names = names.filter_map(|name| name.file_name()?.to_str());
        Ok(names.map(str::to_owned).collect())
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.alive()?.call(Call::Read, path)?;
        Ok(lock(&self.find(path)?).content().to_vec())
    }
    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.handle(path, self.find(path)?).read_at(offset, length)
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(lock(&self.find(path)?).len() as u64)
    }
    fn exists(&self, path: &Path) -> bool {
        // Folders are there as long as something is in them.
        self.alive().is_ok_and(|contents| {
            let mut from = contents.names.range(path.to_owned()..);
            from.next().is_some_and(|(name, _)| name.starts_with(path))
        })
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = Shared::default();
        let mut contents = self.alive()?;
        contents.change()?;
        contents.has_room(1)?;
        contents.rename([(path, Some(Arc::clone(&file)))]);
        drop(contents);
        Ok(Box::new(self.handle(path, file)))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn RandomAccess>> {
        let found = match self.find(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.create(path)?;
                self.find(path)?
            }
            found => found?,
        };
        Ok(Arc::new(self.handle(path, found)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut contents = self.alive()?;
        let file = contents.names.get(from).cloned().ok_or(io::ErrorKind::NotFound)?;
        contents.change()?;
        contents.rename([(from, None), (to, Some(file))]);
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut contents = self.alive()?;
        if !contents.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        contents.change()?;
        contents.rename([(path, None)]);
        Ok(())
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut contents = self.alive()?;
        contents.call(Call::SyncDir, path)?;
        let now = contents.now();
        for renamed in &mut contents.journal {
            renamed.durable = Some(renamed.durable.map_or(now, |at| at.min(now)));
        }
        Ok(())
    }
    fn lock(&self, _: &Path) -> io::Result<Lock> {
        let mut contents = self.alive()?;
        if contents.locked.strong_count() > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let held = Arc::new(());
        contents.locked = Arc::downgrade(&held);
        Ok(Lock::new(held))
    }
}

struct Handle {
    disk: ModelDisk,
    path: PathBuf,
    file: Shared,
}

impl Handle {
    fn write_to(&self, offset: Option<u64>, bytes: &[u8]) -> io::Result<()> {
        let mut contents = self.disk.alive()?;
        contents.call(Call::Write, &self.path)?;
        let length = lock(&self.file).len();
        let offset = offset.map_or(length, |offset| offset as usize);
        contents.has_room((offset + bytes.len()).saturating_sub(length))?;
        lock(&self.file).write_at(contents.now(), offset, bytes);
        Ok(())
    }
}

impl RandomAccess for Handle {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.disk.alive()?.call(Call::Read, &self.path)?;
        let file = lock(&self.file);
        let start = (offset as usize).min(file.len());
        let end = (start + length).min(file.len());
        Ok(file.content()[start..end].to_vec())
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_to(Some(offset), bytes)
    }
    fn sync_data(&self) -> io::Result<()> {
        let mut contents = self.disk.alive()?;
        contents.call(Call::Sync, &self.path)?;
        let Latency { least, most } = contents.latency;
        let range = most.saturating_sub(least).as_micros() as u64;
        let takes = match most.is_zero() {
            true => Duration::ZERO,
            false => least + Duration::from_micros(contents.random.below(range + 1)),
        };
        let (clock, now) = (contents.clock(), contents.now());
        lock(&self.file).sync(clock, now, now + takes);
        Blocking::took(takes);
        Ok(())
    }
}

impl DiskFile for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_to(None, bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

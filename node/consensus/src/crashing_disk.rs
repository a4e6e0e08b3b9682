//! A disk in memory that does what disks do at the worst moment.
//!
//! What was written and not synced is lost at a crash in pieces of 512 bytes, each or not, in no order. Creations, renames and
//! removals that were not synced with their folder are lost from some moment on, because file systems journal them in order.
//! A byte that was synced stays. Chosen calls can fail.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::disk::{Disk, DiskFile, RandomAccess};

/// What is written as one: a sector.
const SECTOR: usize = 512;

/// Calls that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Write,
    Sync,
    SyncDir,
}

#[derive(Debug, Default)]
struct File {
    /// As a program sees it.
    content: Vec<u8>,
    /// As the disk has it.
    durable: Vec<u8>,
    /// Sectors in which they differ.
    dirty: BTreeSet<usize>,
}

impl File {
    fn write_at(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if end > self.content.len() {
            self.content.resize(end, 0);
        }
        self.content[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(offset / SECTOR..=(end - 1) / SECTOR);
        }
    }

    fn persist(&mut self, sector: usize) {
        let start = sector * SECTOR;
        let end = (start + SECTOR).min(self.content.len());
        if self.durable.len() < end {
            self.durable.resize(end, 0);
        }
        self.durable[start..end].copy_from_slice(&self.content[start..end]);
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.content);
        self.dirty.clear();
    }

    /// Some of what was not synced is there.
    fn crash(&mut self, random: &mut Random) {
        for sector in std::mem::take(&mut self.dirty) {
            if random.next().is_multiple_of(2) {
                self.persist(sector);
            }
        }
        self.content.clone_from(&self.durable);
    }
}

type Names = BTreeMap<PathBuf, Arc<Mutex<File>>>;

#[derive(Debug, Default)]
struct Contents {
    names: Names,
    /// The names after each change since the last sync of a folder, the durable ones first.
    history: Vec<Names>,
    /// Number of crashes. Processes of an earlier life are dead.
    life: u64,
    failing: Option<(Call, u64, i32)>,
    /// Number of writes, syncs and syncs of folders.
    calls: [u64; 3],
}

impl Contents {
    fn renamed(&mut self, change: impl FnOnce(&mut Names) -> io::Result<()>) -> io::Result<()> {
        if self.history.is_empty() {
            self.history.push(self.names.clone());
        }
        change(&mut self.names)?;
        self.history.push(self.names.clone());
        Ok(())
    }

    fn count(&mut self, call: Call) -> io::Result<()> {
        self.calls[call as usize] += 1;
        match &mut self.failing {
            Some((failing, after, code)) if *failing == call => match after.checked_sub(1) {
                Some(left) => {
                    *after = left;
                    Ok(())
                }
                None => Err(io::Error::from_raw_os_error(*code)),
            },
            _ => Ok(()),
        }
    }
}

/// A small generator, so that a failure can be repeated by its seed. Source: Vigna, `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct CrashingDisk {
    contents: Arc<Mutex<Contents>>,
    /// The life that it belongs to; `None` for the test itself, which is never dead.
    life: Option<u64>,
}

impl CrashingDisk {
    /// The disk for a process that starts now. A crash ends it.
    pub(crate) fn process(&self) -> Self {
        CrashingDisk {
            contents: Arc::clone(&self.contents),
            life: Some(self.lock().life),
        }
    }

    /// Cuts the power. Processes and their files are dead; what a new process finds depends on the seed.
    pub(crate) fn crash(&self, seed: u64) {
        let mut random = Random(seed);
        let mut contents = self.lock();
        contents.life += 1;
        contents.failing = None;
        let history = std::mem::take(&mut contents.history);
        if !history.is_empty() {
            let at = random.next() as usize % history.len();
            contents.names = history.into_iter().nth(at).unwrap();
        }
        for file in contents.names.values() {
            file.lock().unwrap().crash(&mut random);
        }
    }

    /// After `after` more calls of a kind, all of them fail with an error of the operating system.
    pub(crate) fn fail(&self, call: Call, after: u64, code: i32) {
        self.lock().failing = Some((call, after, code));
    }

    /// Calls so far.
    pub(crate) fn calls(&self, call: Call) -> u64 {
        self.lock().calls[call as usize]
    }

    /// Another disk with the same files, all of them durable.
    pub(crate) fn copy(&self) -> Self {
        let copy = CrashingDisk::default();
        for (path, file) in &self.lock().names {
            copy.put(path, file.lock().unwrap().content.clone());
        }
        copy
    }

    /// Puts a durable file in place.
    pub(crate) fn put(&self, path: &Path, content: Vec<u8>) {
        let mut file = File {
            content,
            ..File::default()
        };
        file.sync();
        self.lock().names.insert(path.to_owned(), Arc::new(Mutex::new(file)));
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap()
    }

    /// The contents, for a process that is alive.
    fn alive(&self) -> io::Result<MutexGuard<'_, Contents>> {
        let contents = self.lock();
        match self.life {
            Some(life) if life != contents.life => Err(io::Error::other("the power was cut")),
            _ => Ok(contents),
        }
    }

    fn find(&self, path: &Path) -> io::Result<Arc<Mutex<File>>> {
        self.alive()?
            .names
            .get(path)
            .cloned()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn handle(&self, file: Arc<Mutex<File>>) -> Handle {
        Handle {
            disk: self.clone(),
            file,
        }
    }
}

impl Disk for CrashingDisk {
    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let contents = self.alive()?;
        let names = contents.names.keys().filter(|name| name.parent() == Some(path));
        Ok(names
            .map(|name| name.file_name().unwrap().to_str().unwrap().to_owned())
            .collect())
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        Ok(self.find(path)?.lock().unwrap().content.clone())
    }
    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.open(path)?.read_at(offset, length)
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        Ok(self.read(path)?.len() as u64)
    }
    fn exists(&self, path: &Path) -> bool {
        self.find(path).is_ok()
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = Arc::<Mutex<File>>::default();
        self.alive()?.renamed(|names| {
            names.insert(path.to_owned(), Arc::clone(&file));
            Ok(())
        })?;
        Ok(Box::new(self.handle(file)))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn RandomAccess>> {
        if !self.exists(path) {
            self.create(path)?;
        }
        Ok(Arc::new(self.handle(self.find(path)?)))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.alive()?.renamed(|names| {
            let file = names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            names.insert(to.to_owned(), file);
            Ok(())
        })
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.alive()?.renamed(|names| match names.remove(path) {
            Some(_) => Ok(()),
            None => Err(io::ErrorKind::NotFound.into()),
        })
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        let mut contents = self.alive()?;
        contents.count(Call::SyncDir)?;
        contents.history.clear();
        Ok(())
    }
}

struct Handle {
    disk: CrashingDisk,
    file: Arc<Mutex<File>>,
}

impl Handle {
    fn call<T>(&self, call: Option<Call>, work: impl FnOnce(&mut File) -> T) -> io::Result<T> {
        let mut contents = self.disk.alive()?;
        call.map_or(Ok(()), |call| contents.count(call))?;
        let mut file = self.file.lock().unwrap();
        Ok(work(&mut file))
    }
}

impl RandomAccess for Handle {
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.call(None, |file| {
            let start = (offset as usize).min(file.content.len());
            let end = (start + length).min(file.content.len());
            file.content[start..end].to_vec()
        })
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.call(Some(Call::Write), |file| file.write_at(offset as usize, bytes))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.call(Some(Call::Sync), File::sync)
    }
}

impl DiskFile for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.call(Some(Call::Write), |file| file.write_at(file.content.len(), bytes))
    }
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

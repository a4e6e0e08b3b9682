//! A disk that refuses one kind of operation, for tests.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, Lock, RandomAccess, StdDisk};

/// What it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    MakeFolder,
    List,
    Read,
    Write,
    Sync,
    Rename,
}

/// The disk of the machine, but one operation fails with one kind of error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FaultyDisk(pub(crate) Operation, pub(crate) io::ErrorKind);

impl FaultyDisk {
    fn allow(self, operation: Operation) -> io::Result<()> {
        match operation == self.0 {
            true => Err(self.1.into()),
            false => Ok(()),
        }
    }
}

struct FaultyFile(FaultyDisk, Box<dyn DiskFile>);

impl DiskFile for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.allow(Operation::Write)?;
        self.1.write(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.0.allow(Operation::Sync)?;
        self.1.sync()
    }
}

impl Disk for FaultyDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.allow(Operation::MakeFolder)?;
        StdDisk.create_dir_all(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.allow(Operation::List)?;
        StdDisk.list(path)
    }
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.allow(Operation::Read)?;
        StdDisk.read(path)
    }
    fn read_at(&self, path: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        self.allow(Operation::Read)?;
        StdDisk.read_at(path, offset, length)
    }
    fn len(&self, path: &Path) -> io::Result<u64> {
        StdDisk.len(path)
    }
    fn exists(&self, path: &Path) -> bool {
        StdDisk.exists(path)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FaultyFile(*self, StdDisk.create(path)?)))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn RandomAccess>> {
        StdDisk.open(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.allow(Operation::Rename)?;
        StdDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        StdDisk.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        StdDisk.sync_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Lock> {
        StdDisk.lock(path)
    }
}
